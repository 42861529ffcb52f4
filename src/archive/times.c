/*
 * times.c
 *	  When what is in each segment was committed, by the envelopes.
 */
#include "archive/times.h"

#include <stdlib.h>
#include <string.h>

#include "archive/segments.h"
#include "core/array.h"

static void
add_time(WaSegmentTime *segment, int64_t earliest_us, int64_t latest_us)
{
	if (!segment->commits || earliest_us < segment->earliest_us)
		segment->earliest_us = earliest_us;
	if (!segment->commits || latest_us > segment->latest_us)
		segment->latest_us = latest_us;
	segment->commits = true;
}

static WaCode
take_segment(void *arg, const WaSegmentRow *row, WaError *err)
{
	WaTimes    *times = arg;
	WaSegmentTime *segment = wa_array_room(times->segments, times->count,
										   sizeof(*segment));

	if (segment == NULL)
		return wa_fail(err, WA_NO_MEMORY, "out of memory");
	times->segments = segment;
	segment = &times->segments[times->count++];
	memset(segment, 0, sizeof(*segment));
	segment->place = row->place;
	segment->stored_bytes = row->stat.bytes;
	segment->damaged = row->code != WA_OK ||
		row->envelope->damage[0] != '\0';
	segment->astray = row->joint == WA_JOINT_BROKEN;
	if (row->envelope != NULL)
		segment->archived_us = row->envelope->archived_at_us;
	segment->known = row->envelope != NULL && row->envelope->scanned;
	if (segment->known && wa_scan_ends_early(&row->envelope->scan))
		segment->cut_lsn = row->envelope->scan.stop_lsn;
	if (segment->known && row->envelope->scan.transactions > 0)
		add_time(segment, row->envelope->scan.earliest_us,
				 row->envelope->scan.latest_us);
	if (row->crossed.record.kind == WA_RECORD_END_OF_TRANSACTION)
		add_time(segment, row->crossed.record.time_us,
				 row->crossed.record.time_us);
	return WA_OK;
}

WaCode
wa_times_read(WaStore *store, const WaCatalogue *catalogue, WaTimes *times,
			  WaError *err)
{
	memset(times, 0, sizeof(*times));
	for (size_t i = 0; i < catalogue->timelines_count; i++)
	{
		WaCode		code = wa_segments_each(store, catalogue,
											&catalogue->timelines[i], 0,
											UINT64_MAX - 1, take_segment,
											times, err);

		if (code != WA_OK)
		{
			wa_times_free(times);
			return code;
		}
	}
	return WA_OK;
}

void
wa_times_free(WaTimes *times)
{
	free(times->segments);
	memset(times, 0, sizeof(*times));
}

/* How many are before that place. */
static size_t
before(const WaTimes *times, uint32_t tli, uint64_t segno)
{
	size_t		low = 0;
	size_t		high = times->count;

	while (low < high)
	{
		size_t		middle = low + (high - low) / 2;
		WaPlace		place = times->segments[middle].place;

		if (place.tli < tli || (place.tli == tli && place.segno < segno))
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

void
wa_times_stretch(const WaTimes *times, const WaStretch *stretch,
				 size_t *begin, size_t *end)
{
	*begin = before(times, stretch->tli, stretch->first);
	*end = stretch->last < stretch->first ? *begin :
		stretch->last == UINT64_MAX ?
		(stretch->tli == UINT32_MAX ? times->count :
		 before(times, stretch->tli + 1, 0)) :
		before(times, stretch->tli, stretch->last + 1);
}

bool
wa_times_first(const WaTimes *times, const WaLineage *lineage,
			   int64_t from_us, int64_t to_us, WaPlace *place)
{
	bool		waits = false;	/* for the next one with times */

	for (size_t i = 0; i < lineage->count; i++)
	{
		size_t		at;
		size_t		end;

		wa_times_stretch(times, &lineage->stretches[i], &at, &end);
		for (; at < end; at++)
		{
			const WaSegmentTime *segment = &times->segments[at];

			if (segment->commits && segment->latest_us >= from_us &&
				segment->earliest_us <= to_us)
			{
				if (!waits)
					*place = segment->place;
				return true;
			}
			if (segment->commits)
				waits = false;
			else if (!segment->known && !waits)
			{
				*place = segment->place;
				waits = true;
			}
		}
	}
	return waits;
}

bool
wa_times_last(const WaTimes *times, const WaLineage *lineage, uint64_t up_to,
			  int64_t *us)
{
	for (size_t i = lineage->count; i-- > 0;)
	{
		size_t		begin;
		size_t		at;

		wa_times_stretch(times, &lineage->stretches[i], &begin, &at);
		while (at-- > begin)
		{
			const WaSegmentTime *segment = &times->segments[at];

			if (segment->commits && segment->place.segno <= up_to)
			{
				*us = segment->latest_us;
				return true;
			}
		}
	}
	return false;
}

/*
 * The first segment of a stretch, from a number on, that keeps a recovery from
 * reaching an LSN behind all that it passed; NULL: none.
 */
static const WaSegmentTime *
find_obstacle(const WaTimes *times, WaStretch stretch, uint64_t from,
			  uint64_t lsn)
{
	size_t		at;
	size_t		end;

	if (stretch.first < from)
		stretch.first = from;
	wa_times_stretch(times, &stretch, &at, &end);
	for (; at < end; at++)
	{
		const WaSegmentTime *segment = &times->segments[at];

		if (segment->damaged ||
			(segment->astray && segment->place.segno > from) ||
			(segment->cut_lsn != 0 && segment->cut_lsn < lsn))
			return segment;
	}
	return NULL;
}

bool
wa_times_obstacle(const WaTimes *times, const WaBackup *backup,
				  WaPlace *place)
{
	WaStretch	needed = {backup->tli, 0, backup->stop_segno};
	const WaSegmentTime *obstacle;

	obstacle = find_obstacle(times, needed, backup->start_segno,
							 backup->history.stop_lsn);
	if (obstacle != NULL)
		*place = obstacle->place;
	return obstacle != NULL;
}

bool
wa_times_sound(const WaTimes *times, const WaCatalogue *catalogue,
			   const WaBackup *backup)
{
	WaPlace		ignored;

	return wa_backup_sound(catalogue, backup) &&
		!wa_times_obstacle(times, backup, &ignored);
}

bool
wa_times_reach(const WaTimes *times, const WaCatalogue *catalogue,
			   const WaLineage *lineage, const WaBackup *backup,
			   uint64_t *segno)
{
	WaPlace		place;

	if (!wa_lineage_reach(catalogue, lineage, wa_backup_start(backup),
						  &place))
		return false;
	*segno = place.segno;
	for (size_t i = 0; i < lineage->count; i++)
	{
		const WaSegmentTime *obstacle;
		uint64_t	last;

		obstacle = find_obstacle(times, lineage->stretches[i],
								 backup->start_segno, UINT64_MAX);
		if (obstacle == NULL)
			continue;
		/* what is only cut is replayed up to there */
		last = obstacle->place.segno;
		if (obstacle->damaged || obstacle->astray)
			last--;
		if (last < *segno)
			*segno = last;
		break;
	}
	return true;
}
