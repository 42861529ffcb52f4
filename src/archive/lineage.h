/*
 * lineage.h
 *	  Which segments of which timelines a recovery replays, and which of them
 *	  are missing.  Pure: all is in the catalogue.
 *
 * A recovery along a timeline takes the segments of its ancestors up to the
 * one before each switch, and from the segment of the switch on those of the
 * child, which begin with a copy of what the parent wrote.
 */
#ifndef WA_LINEAGE_H
#define WA_LINEAGE_H

#include "archive/catalogue.h"

typedef struct WaPlace
{
	uint32_t	tli;
	uint64_t	segno;
} WaPlace;

/* The segment that a backup begins in. */
static inline WaPlace
wa_backup_start(const WaBackup *backup)
{
	return (WaPlace) {backup->tli, backup->start_segno};
}

/* Segments of one timeline, both inclusive; empty when last < first. */
typedef struct WaStretch
{
	uint32_t	tli;
	uint64_t	first;
	uint64_t	last;			/* UINT64_MAX on the timeline itself */
} WaStretch;

typedef struct WaLineage
{
	size_t		count;
	WaStretch  *stretches;		/* from the oldest ancestor on */
} WaLineage;

/*
 * The lineage of a timeline of the catalogue; without a known history it is
 * the timeline alone.  False when out of memory.  The caller frees.
 */
extern bool wa_lineage_of(const WaCatalogue *catalogue,
						  const WaTimeline *timeline, WaLineage *lineage);
extern void wa_lineage_free(WaLineage *lineage);

/* Is this segment of this timeline replayed on the way? */
extern bool wa_lineage_holds(const WaLineage *lineage, WaPlace place);

/*
 * How far does an unbroken row of segments go from there?  False when not
 * even that one is there.
 */
extern bool wa_lineage_reach(const WaCatalogue *catalogue,
							 const WaLineage *lineage, WaPlace from,
							 WaPlace *reached);

/* The place after or before this one; false at the end. */
extern bool wa_lineage_next(const WaLineage *lineage, WaPlace *place);
extern bool wa_lineage_previous(const WaLineage *lineage, WaPlace *place);

typedef struct WaGap
{
	uint32_t	tli;
	uint64_t	first;
	uint64_t	last;
} WaGap;

/*
 * What is missing between segments of one lineage, in order of timelines and
 * numbers.  False when out of memory.  The caller frees *gaps.
 */
extern bool wa_gaps_find(const WaCatalogue *catalogue, WaGap **gaps,
						 size_t *count);

/* Can this backup not be recovered past the gap? */
extern bool wa_gap_affects(const WaCatalogue *catalogue, const WaGap *gap,
						   const WaBackup *backup);

/*
 * Is all the WAL there that the backup itself needs?  If not, *missing is
 * the first segment that is not.
 */
extern bool wa_backup_complete(const WaCatalogue *catalogue,
							   const WaBackup *backup, WaPlace *missing);

/*
 * Can it be restored?  If not, the reason in WA_BACKUP_REASON_BYTES;
 * otherwise that is empty.  reason may be NULL.
 */
extern bool wa_backup_usable(const WaCatalogue *catalogue,
							 const WaBackup *backup, char *reason);

/* And are its data what they should be, with those it is incremental to? */
extern bool wa_backup_sound(const WaCatalogue *catalogue,
							const WaBackup *backup);

#endif							/* WA_LINEAGE_H */
