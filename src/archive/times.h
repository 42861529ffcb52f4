/*
 * times.h
 *	  When what is in each segment was committed, by the envelopes.
 */
#ifndef WA_TIMES_H
#define WA_TIMES_H

#include "archive/lineage.h"

typedef struct WaSegmentTime
{
	WaPlace		place;
	bool		damaged;		/* no recovery can pass it */
	bool		astray;			/* it does not follow the one before it */
	uint64_t	cut_lsn;		/* its WAL ends there, before it does; or 0 */
	bool		known;			/* its records were walked when it was stored */
	bool		commits;		/* commits or aborts, from .. to: */
	int64_t		earliest_us;	/* microseconds since 1970-01-01 UTC */
	int64_t		latest_us;
	int64_t		archived_us;	/* when it was stored; 0: not known */
	uint64_t	stored_bytes;
} WaSegmentTime;

/* In order of timelines and numbers. */
typedef struct WaTimes
{
	size_t		count;
	WaSegmentTime *segments;
} WaTimes;

/*
 * Those of all segments of the catalogue; some 50 bytes of memory for each.
 * A segment that vanished meanwhile is left out.  The caller frees; after an
 * error there is nothing to free, and that is safe.
 */
extern WaCode wa_times_read(WaStore *store, const WaCatalogue *catalogue,
							WaTimes *times, WaError *err);

/* Safe on zeroed times. */
extern void wa_times_free(WaTimes *times);

/*
 * The segments of a stretch that are there: the index of the first, and of
 * the one behind the last.
 */
extern void wa_times_stretch(const WaTimes *times, const WaStretch *stretch,
							 size_t *begin, size_t *end);

/*
 * The first segment along a lineage with a commit from one point in time to
 * another, both inclusive; false when there is none.  One whose times are not
 * known is taken to be of the time of the next one that has any.
 */
extern bool wa_times_first(const WaTimes *times, const WaLineage *lineage,
						   int64_t from_us, int64_t to_us, WaPlace *place);

/*
 * The first segment of those that a backup itself needs with which it cannot
 * be replayed to its end, by the envelopes; false when there is none.
 */
extern bool wa_times_obstacle(const WaTimes *times, const WaBackup *backup,
							  WaPlace *place);

/*
 * Can this backup be restored, and is nothing known against its data and the
 * WAL that it needs?  Only such a one lets others go.
 */
extern bool wa_times_sound(const WaTimes *times, const WaCatalogue *catalogue,
						   const WaBackup *backup);

/*
 * Up to which segment along a lineage can a recovery from this backup go?
 * False when not even its first one is there.
 */
extern bool wa_times_reach(const WaTimes *times, const WaCatalogue *catalogue,
						   const WaLineage *lineage, const WaBackup *backup,
						   uint64_t *segno);

/* The last commit in or before a segment along a lineage; false: none is known. */
extern bool wa_times_last(const WaTimes *times, const WaLineage *lineage,
						  uint64_t up_to, int64_t *us);

#endif							/* WA_TIMES_H */
