/*
 * sink_zstd.h
 *	  zstd frames: in one call where the bytes are at hand, as sinks where
 *	  they are not.
 */
#ifndef WA_SINK_ZSTD_H
#define WA_SINK_ZSTD_H

#include "core/sink.h"

#define WA_ZSTD_LEVEL_MIN	(-7)
#define WA_ZSTD_LEVEL_MAX	19

/* The contexts of one thread, reused from file to file. */
typedef struct WaZstd WaZstd;

extern WaZstd *wa_zstd_open(void);	/* NULL when out of memory */
extern void wa_zstd_close(WaZstd *zstd);	/* safe on NULL */

/* Compress with so many threads of libzstd's own, where it has any; 0: none. */
extern void wa_zstd_threads(WaZstd *zstd, int threads);

/* Room that wa_zstd_compress needs for so many bytes. */
extern size_t wa_zstd_bound(size_t raw_bytes);

/* One frame with content size and checksum, in one call. */
extern WaCode wa_zstd_compress(WaZstd *zstd, int level,
							   const void *raw, size_t raw_bytes,
							   void *frame, size_t frame_capacity,
							   size_t *frame_bytes, WaError *err);

/*
 * The same as a sink, with bounded memory, for exactly raw_bytes, or for as
 * many as come with WA_ZSTD_UNKNOWN: then the frame has no content size.  The
 * context must outlive the sink.  NULL when out of memory; then `next` has
 * been closed.
 */
#define WA_ZSTD_UNKNOWN		UINT64_MAX
extern WaSink *wa_sink_zstd_compress(WaZstd *zstd, int level,
									 uint64_t raw_bytes, WaSink *next);

typedef enum WaZstdFrames
{
	WA_ZSTD_ANY,				/* as many frames as there are */
	WA_ZSTD_ONE,				/* bytes behind the first are damage */
	WA_ZSTD_SIZED				/* likewise, and it has a content size */
} WaZstdFrames;

/*
 * Decompress what is written.  More than raw_bytes_max bytes, a frame that
 * is none, a checksum that fails, or an end in mid-frame is WA_DAMAGED; so is
 * a frame that needs more memory than 128 MB, or with WA_ZSTD_SIZED more than
 * its bytes can need: 8 MB, or raw_bytes_max (to the next power of two).
 */
extern WaSink *wa_sink_zstd_decompress(WaZstd *zstd, uint64_t raw_bytes_max,
									   WaZstdFrames frames, const char *what,
									   WaSink *next);

#endif							/* WA_SINK_ZSTD_H */
