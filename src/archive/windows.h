/*
 * windows.h
 *	  To which points can each backup be recovered?  Read from the envelopes
 *	  of the segments at the ends.
 */
#ifndef WA_WINDOWS_H
#define WA_WINDOWS_H

#include "archive/lineage.h"
#include "core/envelope.h"

/* A value that may not be known. */
typedef struct WaMoment
{
	bool		known;
	int64_t		us;				/* microseconds since 1970-01-01 UTC */
} WaMoment;

typedef struct WaWindow
{
	const WaBackup *backup;		/* of the catalogue */
	uint32_t	tli;			/* recovery_target_timeline */
	WaPlace		reached;		/* the last segment of the unbroken row */
	uint64_t	earliest_lsn;
	WaMoment	earliest;
	uint64_t	latest_lsn;		/* end of the last whole record; 0: not known */
	WaMoment	latest;			/* last commit or abort */
} WaWindow;

/*
 * A row for each complete backup and each timeline that it reaches.  The
 * caller frees *windows.
 */
extern WaCode wa_windows_find(WaStore *store, const WaCatalogue *catalogue,
							  WaWindow **windows, size_t *count,
							  WaError *err);

/* The first and the last commit or abort in a range of a timeline. */
extern WaCode wa_range_times(WaStore *store, const WaCatalogue *catalogue,
							 uint32_t tli, const WaRange *range,
							 WaMoment *earliest, WaMoment *latest,
							 WaError *err);

/*
 * The envelope of a segment.  WA_NOT_FOUND and WA_DAMAGED are the caller's
 * to judge.
 */
extern WaCode wa_segment_envelope(WaStore *store, const WaMarker *marker,
								  WaPlace place, WaStat *stat,
								  WaEnvelope *envelope, WaError *err);

#endif							/* WA_WINDOWS_H */
