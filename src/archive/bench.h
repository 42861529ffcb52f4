/*
 * bench.h
 *	  Buffers and contexts of one worker, reused from file to file.
 */
#ifndef WA_BENCH_H
#define WA_BENCH_H

#include "core/sink_zstd.h"

typedef struct WaBench
{
	unsigned char *raw;
	size_t		raw_capacity;
	unsigned char *frame;
	size_t		frame_capacity;
	WaZstd	   *zstd;
} WaBench;

extern WaBench *wa_bench_open(void);	/* NULL when out of memory */
extern void wa_bench_close(void *bench);	/* safe on NULL */

/* Make room; what was there before is lost.  False when out of memory. */
extern bool wa_bench_raw(WaBench *bench, size_t bytes);
extern bool wa_bench_frame(WaBench *bench, size_t bytes);

#endif							/* WA_BENCH_H */
