/*
 * sink_gzip.h
 *	  gzip files of archives that walarch did not write.
 */
#ifndef WA_SINK_GZIP_H
#define WA_SINK_GZIP_H

#include "core/sink.h"

/*
 * Decompress gzip members.  Damage as in wa_sink_zstd_decompress.  NULL when
 * out of memory; then `next` has been closed.
 */
extern WaSink *wa_sink_gzip_decompress(uint64_t raw_bytes_max,
									   const char *what, WaSink *next);

#endif							/* WA_SINK_GZIP_H */
