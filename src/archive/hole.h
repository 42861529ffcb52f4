/*
 * hole.h
 *	  A segment that is not in the archive: is that its end, or a hole?
 *
 * PostgreSQL takes a missing segment for the end of WAL and opens the
 * database there.  That is right at the end and loses data in a hole.
 */
#ifndef WA_HOLE_H
#define WA_HOLE_H

#include "core/sink_zstd.h"
#include "core/walname.h"
#include "store/store.h"

typedef struct WaHoleQuestion
{
	WaStore    *store;
	WaZstd	   *zstd;
	WaBeat	   *beat;
	const char *pg_wal;			/* of the recovering server */
	uint64_t	system_identifier;
	uint32_t	segment_bytes;
} WaHoleQuestion;

/*
 * Does anything prove that the timeline went on behind this segment?
 * WA_HOLE when a later full segment of it is in the archive, or a timeline
 * that left it later is known; and the server has no whole copy of its own.
 * WA_OK: nothing does.  Anything else: could not be looked at.
 */
extern WaCode wa_hole_check(const WaHoleQuestion *question,
							const WaWalName *name, WaError *err);

/*
 * The same for a segment that is there but ends early: is there one behind
 * it, which no recovery can reach?
 */
extern WaCode wa_hole_check_behind(const WaHoleQuestion *question,
								   const WaWalName *name, uint64_t stop_lsn,
								   WaError *err);

#endif							/* WA_HOLE_H */
