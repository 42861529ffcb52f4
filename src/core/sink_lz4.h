/*
 * sink_lz4.h
 *	  lz4 files of archives that walarch did not write.
 */
#ifndef WA_SINK_LZ4_H
#define WA_SINK_LZ4_H

#include "core/sink.h"

/*
 * Decompress lz4 frames.  Damage as in wa_sink_zstd_decompress.  NULL when
 * out of memory; then `next` has been closed.
 */
extern WaSink *wa_sink_lz4_decompress(uint64_t raw_bytes_max,
									  const char *what, WaSink *next);

#endif							/* WA_SINK_LZ4_H */
