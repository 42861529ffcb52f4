/*
 * lineage.c
 *	  Which segments of which timelines a recovery replays, and which of them
 *	  are missing.
 */
#include "archive/lineage.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/array.h"

bool
wa_lineage_of(const WaCatalogue *catalogue, const WaTimeline *timeline,
			  WaLineage *lineage)
{
	const WaHistory *history = &timeline->history;
	uint32_t	segment_bytes = catalogue->marker.segment_bytes;
	size_t		count = history->count > 0 ? history->count : 1;

	lineage->stretches = calloc(count, sizeof(WaStretch));
	lineage->count = 0;
	if (lineage->stretches == NULL)
		return false;
	lineage->count = count;
	if (history->count == 0)
	{
		lineage->stretches[0].tli = timeline->tli;
		lineage->stretches[0].last = UINT64_MAX;
		return true;
	}
	for (size_t i = 0; i < count; i++)
	{
		const WaHistoryEntry *entry = &history->entries[i];
		WaStretch  *stretch = &lineage->stretches[i];

		stretch->tli = entry->tli;
		stretch->first = entry->begin / segment_bytes;
		stretch->last = UINT64_MAX;
		if (entry->end != UINT64_MAX && entry->end / segment_bytes > 0)
			stretch->last = entry->end / segment_bytes - 1;
		else if (entry->end != UINT64_MAX)
		{
			stretch->first = 1;	/* nothing of it is replayed */
			stretch->last = 0;
		}
	}
	return true;
}

void
wa_lineage_free(WaLineage *lineage)
{
	free(lineage->stretches);
	lineage->stretches = NULL;
	lineage->count = 0;
}

/* The stretch in which this segment of this timeline is replayed, or NULL. */
static const WaStretch *
find_stretch(const WaLineage *lineage, uint32_t tli, uint64_t segno)
{
	for (size_t i = 0; i < lineage->count; i++)
		if (lineage->stretches[i].tli == tli &&
			lineage->stretches[i].first <= segno &&
			segno <= lineage->stretches[i].last)
			return &lineage->stretches[i];
	return NULL;
}

bool
wa_lineage_holds(const WaLineage *lineage, WaPlace place)
{
	return find_stretch(lineage, place.tli, place.segno) != NULL;
}

static bool
is_empty(const WaStretch *stretch)
{
	return stretch->last < stretch->first;
}

/* The next stretch that is not empty; NULL: none. */
static const WaStretch *
next_stretch(const WaLineage *lineage, const WaStretch *stretch)
{
	for (stretch++; stretch < lineage->stretches + lineage->count; stretch++)
		if (!is_empty(stretch))
			return stretch;
	return NULL;
}

bool
wa_lineage_next(const WaLineage *lineage, WaPlace *place)
{
	const WaStretch *stretch = find_stretch(lineage, place->tli,
											   place->segno);

	if (stretch == NULL)
		return false;
	if (place->segno < stretch->last)
	{
		place->segno++;
		return true;
	}
	stretch = next_stretch(lineage, stretch);
	if (stretch == NULL)
		return false;
	place->tli = stretch->tli;
	place->segno = stretch->first;
	return true;
}

bool
wa_lineage_previous(const WaLineage *lineage, WaPlace *place)
{
	const WaStretch *stretch = find_stretch(lineage, place->tli,
											   place->segno);

	if (stretch == NULL)
		return false;
	if (place->segno > stretch->first)
	{
		place->segno--;
		return true;
	}
	while (stretch > lineage->stretches)
	{
		stretch--;
		if (!is_empty(stretch))
		{
			place->tli = stretch->tli;
			place->segno = stretch->last;
			return true;
		}
	}
	return false;
}

bool
wa_lineage_reach(const WaCatalogue *catalogue, const WaLineage *lineage,
				 WaPlace from, WaPlace *reached)
{
	const WaStretch *stretch = find_stretch(lineage, from.tli, from.segno);
	uint64_t	segno = from.segno;
	bool		any = false;

	while (stretch != NULL)
	{
		const WaTimeline *timeline = wa_catalogue_timeline(catalogue,
														   stretch->tli);
		const WaRange *range = timeline != NULL ?
			wa_timeline_range(timeline, segno) : NULL;

		if (range == NULL)
			break;
		any = true;
		reached->tli = stretch->tli;
		reached->segno = range->last < stretch->last ?
			range->last : stretch->last;
		if (reached->segno < stretch->last)
			break;
		stretch = next_stretch(lineage, stretch);
		if (stretch != NULL)
			segno = stretch->first;
	}
	return any;
}

/* Gaps being collected. */
typedef struct Gaps
{
	WaGap	   *gaps;
	size_t		count;
} Gaps;

static bool
add_gap(Gaps *all, uint32_t tli, uint64_t first, uint64_t last)
{
	WaGap	   *larger = wa_array_room(all->gaps, all->count, sizeof(WaGap));

	if (larger == NULL)
		return false;
	all->gaps = larger;
	all->gaps[all->count].tli = tli;
	all->gaps[all->count].first = first;
	all->gaps[all->count].last = last;
	all->count++;
	return true;
}

/*
 * Along one lineage: what is missing behind something that is there is a gap
 * when something that is there follows, or the timeline is known to have gone
 * on, since another left it later.
 */
static bool
find_along(const WaCatalogue *catalogue, const WaLineage *lineage, Gaps *all)
{
	bool		seen = false;

	for (size_t i = 0; i < lineage->count; i++)
	{
		const WaStretch *stretch = &lineage->stretches[i];
		const WaTimeline *timeline = wa_catalogue_timeline(catalogue,
														   stretch->tli);
		uint64_t	next = stretch->first;

		if (is_empty(stretch))
			continue;
		for (size_t j = 0; timeline != NULL && j < timeline->ranges_count; j++)
		{
			const WaRange *range = &timeline->ranges[j];

			if (range->last < stretch->first || range->first > stretch->last)
				continue;
			if (seen && range->first > next &&
				!add_gap(all, stretch->tli, next, range->first - 1))
				return false;
			seen = true;
			next = range->last + 1;
		}
		if (seen && stretch->last != UINT64_MAX && next <= stretch->last &&
			!add_gap(all, stretch->tli, next, stretch->last))
			return false;
	}
	return true;
}

static int
compare_gaps(const void *a, const void *b)
{
	const WaGap *left = a;
	const WaGap *right = b;

	if (left->tli != right->tli)
		return left->tli < right->tli ? -1 : 1;
	if (left->first != right->first)
		return left->first < right->first ? -1 : 1;
	return left->last < right->last ? -1 : left->last > right->last;
}

/* Several lineages share their ancestors' gaps. */
static void
merge_gaps(Gaps *all)
{
	size_t		kept = 0;

	if (all->count == 0)
		return;
	qsort(all->gaps, all->count, sizeof(WaGap), compare_gaps);
	for (size_t i = 1; i < all->count; i++)
	{
		WaGap	   *last = &all->gaps[kept];
		const WaGap *gap = &all->gaps[i];

		if (gap->tli == last->tli && gap->first <= last->last + 1)
		{
			if (gap->last > last->last)
				last->last = gap->last;
		}
		else
			all->gaps[++kept] = *gap;
	}
	all->count = kept + 1;
}

bool
wa_gaps_find(const WaCatalogue *catalogue, WaGap **gaps, size_t *count)
{
	Gaps		all = {0};
	bool		good = true;

	for (size_t i = 0; i < catalogue->timelines_count && good; i++)
	{
		WaLineage	lineage;

		good = wa_lineage_of(catalogue, &catalogue->timelines[i], &lineage) &&
			find_along(catalogue, &lineage, &all);
		wa_lineage_free(&lineage);
	}
	if (!good)
	{
		free(all.gaps);
		return false;
	}
	merge_gaps(&all);
	*gaps = all.gaps;
	*count = all.count;
	return true;
}

bool
wa_gap_affects(const WaCatalogue *catalogue, const WaGap *gap,
			   const WaBackup *backup)
{
	const WaTimeline *timeline = wa_catalogue_timeline(catalogue, gap->tli);
	WaTimeline	unknown = {.tli = gap->tli};
	WaLineage	lineage;
	bool		affects;

	if (timeline == NULL)
		timeline = &unknown;
	if (!wa_lineage_of(catalogue, timeline, &lineage))
		return true;			/* rather too many than too few */
	affects = gap->last >= backup->start_segno &&
		find_stretch(&lineage, backup->tli, backup->start_segno) != NULL;
	wa_lineage_free(&lineage);
	return affects;
}

/*
 * Is a segment in which a timeline was left there as that of a child, which
 * begins with a copy of it, up to this place?
 */
static bool
child_has(const WaCatalogue *catalogue, uint32_t tli, uint64_t segno,
		  uint64_t up_to)
{
	for (size_t i = 0; i < catalogue->timelines_count; i++)
	{
		const WaTimeline *child = &catalogue->timelines[i];
		const WaHistory *history = &child->history;

		if (history->count >= 2 &&
			history->entries[history->count - 2].tli == tli &&
			history->entries[history->count - 2].end >= up_to &&
			history->entries[history->count - 2].end /
			catalogue->marker.segment_bytes == segno &&
			wa_timeline_range(child, segno) != NULL)
			return true;
	}
	return false;
}

bool
wa_backup_complete(const WaCatalogue *catalogue, const WaBackup *backup,
				   WaPlace *missing)
{
	const WaTimeline *timeline = wa_catalogue_timeline(catalogue,
													   backup->tli);
	uint64_t	segno = backup->start_segno;

	missing->tli = backup->tli;
	while (segno <= backup->stop_segno)
	{
		const WaRange *range = timeline != NULL ?
			wa_timeline_range(timeline, segno) : NULL;

		if (range == NULL && segno == backup->stop_segno &&
			child_has(catalogue, backup->tli, segno,
					  backup->history.stop_lsn))
			return true;
		if (range == NULL)
		{
			missing->segno = segno;
			return false;
		}
		segno = range->last + 1;
	}
	return true;
}

bool
wa_backup_usable(const WaCatalogue *catalogue, const WaBackup *backup,
				 char *reason)
{
	char		name[WA_WALNAME_BYTES];
	WaPlace		missing;

	const WaBackup *child = backup;
	char		ignored[WA_BACKUP_REASON_BYTES];

	if (reason == NULL)
		reason = ignored;
	reason[0] = '\0';
	if (!backup->readable)
		snprintf(reason, WA_BACKUP_REASON_BYTES, "%s", backup->reason);
	else if (backup->damage[0] != '\0')
		snprintf(reason, WA_BACKUP_REASON_BYTES, "%s", backup->damage);
	else if (!wa_backup_complete(catalogue, backup, &missing))
	{
		wa_segment_name(name, missing.tli, missing.segno,
						catalogue->marker.segment_bytes);
		snprintf(reason, WA_BACKUP_REASON_BYTES,
				 "WAL that it needs is missing: %s", name);
	}
	/* a chain has no more links than there are backups */
	for (size_t i = 0; child->parent[0] != '\0' && reason[0] == '\0'; i++)
	{
		const char *parent = child->parent;

		child = wa_catalogue_stored(catalogue, parent);
		if (child == NULL || i == catalogue->backups_count)
		{
			snprintf(reason, WA_BACKUP_REASON_BYTES,
					 "backup %s, which it is incremental to, is missing",
					 parent);
			break;
		}
		if (child->damage[0] != '\0')
			snprintf(reason, WA_BACKUP_REASON_BYTES, "%.*s",
					 WA_BACKUP_REASON_BYTES - 1, child->damage);
	}
	return reason[0] == '\0';
}

bool
wa_backup_sound(const WaCatalogue *catalogue, const WaBackup *backup)
{
	if (!wa_backup_usable(catalogue, backup, NULL))
		return false;
	/* usable: the chain has an end */
	while (backup != NULL && !backup->checksum_failures &&
		   backup->parent[0] != '\0')
		backup = wa_catalogue_stored(catalogue, backup->parent);
	return backup != NULL && !backup->checksum_failures;
}
