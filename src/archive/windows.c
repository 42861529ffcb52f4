/*
 * windows.c
 *	  To which points can each backup be recovered?
 */
#include "archive/windows.h"

#include <stdlib.h>
#include <string.h>

#include "archive/layout.h"
#include "archive/object.h"

WaCode
wa_segment_envelope(WaStore *store, const WaMarker *marker, WaPlace place,
					WaStat *stat, WaEnvelope *envelope, WaError *err)
{
	WaWalName	name;
	char		key[WA_KEY_BYTES];

	wa_layout_segment(place.tli, place.segno, marker->segment_bytes, &name,
					  key);
	if (wa_object_envelope(store, key, stat, envelope, err) != WA_OK)
		return err->code;
	return wa_object_check_name(store, key, envelope, &name,
								marker->system_identifier,
								marker->segment_bytes, err);
}

/* What one object does not tell, another may. */
static bool
skipped(WaCode code)
{
	return code == WA_NOT_FOUND || code == WA_DAMAGED ||
		code == WA_UNSUPPORTED || code == WA_WRONG_CLUSTER;
}

static bool
same_place(WaPlace a, WaPlace b)
{
	return a.tli == b.tli && a.segno == b.segno;
}

typedef bool (*StepFn) (const WaLineage *lineage, WaPlace *place);

/* Go from one place to another until a segment with a commit is found. */
static WaCode
find_commit(WaStore *store, const WaCatalogue *catalogue,
			const WaLineage *lineage, WaPlace from, WaPlace to, StepFn step,
			WaMoment *moment, WaError *err)
{
	moment->known = false;
	for (;;)
	{
		WaStat		stat;
		WaEnvelope	envelope;
		WaCode		code = wa_segment_envelope(store, &catalogue->marker,
											   from, &stat, &envelope, err);

		if (code == WA_OK && envelope.scanned &&
			envelope.scan.transactions > 0)
		{
			moment->known = true;
			moment->us = step == wa_lineage_next ?
				envelope.scan.earliest_us : envelope.scan.latest_us;
			return WA_OK;
		}
		if (code != WA_OK && !skipped(code))
			return code;
		if (same_place(from, to) || !step(lineage, &from))
			return WA_OK;
	}
}

WaCode
wa_range_times(WaStore *store, const WaCatalogue *catalogue, uint32_t tli,
			   const WaRange *range, WaMoment *earliest, WaMoment *latest,
			   WaError *err)
{
	WaStretch	stretch = {tli, range->first, range->last};
	WaLineage	alone = {.count = 1, .stretches = &stretch};
	WaPlace		first = {tli, range->first};
	WaPlace		last = {tli, range->last};

	if (find_commit(store, catalogue, &alone, first, last, wa_lineage_next,
					earliest, err) != WA_OK)
		return err->code;
	return find_commit(store, catalogue, &alone, last, first,
					   wa_lineage_previous, latest, err);
}

/*
 * A recovery cannot end before the backup did.  The time of that is in its
 * history file; where its time zone has no one meaning, the last commit of
 * the segment it ended in is late enough.
 */
static WaCode
find_earliest(WaStore *store, const WaCatalogue *catalogue,
			  const WaLineage *lineage, WaWindow *window, WaError *err)
{
	const WaBackup *backup = window->backup;
	WaPlace		stop = {backup->tli, backup->stop_segno};
	WaPlace		start = wa_backup_start(backup);

	window->earliest_lsn = backup->history.stop_lsn;
	window->earliest.known =
		wa_backuphistory_time(backup->history.stop_time,
							  &window->earliest.us);
	if (window->earliest.known)
		return WA_OK;
	return find_commit(store, catalogue, lineage, stop, start,
					   wa_lineage_previous, &window->earliest, err);
}

static WaCode
find_latest(WaStore *store, const WaCatalogue *catalogue,
			const WaLineage *lineage, WaWindow *window, WaError *err)
{
	WaPlace		start = {window->backup->tli, window->backup->start_segno};
	WaStat		stat;
	WaEnvelope	envelope;
	WaCode		code;

	code = wa_segment_envelope(store, &catalogue->marker, window->reached,
							   &stat, &envelope, err);
	if (code == WA_OK && envelope.scanned)
		window->latest_lsn = envelope.scan.end_lsn;
	else if (code != WA_OK && !skipped(code))
		return code;
	return find_commit(store, catalogue, lineage, window->reached, start,
					   wa_lineage_previous, &window->latest, err);
}

/* The window of one backup along one lineage, if it has one. */
static WaCode
try_window(WaStore *store, const WaCatalogue *catalogue,
		   const WaTimeline *timeline, const WaLineage *lineage,
		   const WaBackup *backup, WaWindow *window, bool *found,
		   WaError *err)
{
	WaPlace		start = wa_backup_start(backup);

	*found = false;
	if (!wa_backup_usable(catalogue, backup, NULL) ||
		!wa_lineage_reach(catalogue, lineage, start, &window->reached))
		return WA_OK;

	/* stopped on the way there: the ancestor's window says as much */
	if (window->reached.tli != timeline->tli &&
		backup->tli != timeline->tli)
		return WA_OK;
	window->backup = backup;
	window->tli = timeline->tli;
	window->latest_lsn = 0;
	*found = true;
	if (find_earliest(store, catalogue, lineage, window, err) != WA_OK)
		return err->code;
	return find_latest(store, catalogue, lineage, window, err);
}

WaCode
wa_windows_find(WaStore *store, const WaCatalogue *catalogue,
				WaWindow **windows, size_t *count, WaError *err)
{
	size_t		most = catalogue->backups_count * catalogue->timelines_count;
	WaCode		code = WA_OK;

	*count = 0;
	*windows = calloc(most > 0 ? most : 1, sizeof(WaWindow));
	if (*windows == NULL)
		return wa_fail(err, WA_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < catalogue->timelines_count && code == WA_OK; i++)
	{
		const WaTimeline *timeline = &catalogue->timelines[i];
		WaLineage	lineage;

		if (!wa_lineage_of(catalogue, timeline, &lineage))
			code = wa_fail(err, WA_NO_MEMORY, "out of memory");
		for (size_t j = 0; j < catalogue->backups_count && code == WA_OK; j++)
		{
			bool		found;

			code = try_window(store, catalogue, timeline, &lineage,
							  &catalogue->backups[j], &(*windows)[*count],
							  &found, err);
			*count += found;
		}
		wa_lineage_free(&lineage);
	}
	if (code != WA_OK)
	{
		free(*windows);
		*windows = NULL;
		*count = 0;
	}
	return code;
}
