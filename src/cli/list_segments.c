/*
 * list_segments.c
 *	  Single segments of an archive, and where something lies in them.
 */
#include "cli/list.h"

#include <inttypes.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/json.h"
#include "cli/text.h"
#include "core/lsn.h"

/* What the walks over the segments carry along. */
typedef struct Search
{
	const WaListOptions *options;
	const WaCatalogue *catalogue;
	size_t		count;
	size_t		unknown;		/* segments whose records were never walked */
	size_t		broken;
} Search;

static WaCode
walk_timelines(Search *search, WaStore *store, WaSegmentFn each,
			   WaError *err)
{
	const WaCatalogue *catalogue = search->catalogue;

	for (size_t i = 0; i < catalogue->timelines_count; i++)
	{
		const WaTimeline *timeline = &catalogue->timelines[i];

		if (search->options->tli != 0 &&
			search->options->tli != timeline->tli)
			continue;
		if (wa_segments_each(store, catalogue, timeline, 0, UINT64_MAX - 1,
							 each, search, err) != WA_OK)
			return err->code;
	}
	return WA_OK;
}

static bool
has_times(const WaSegmentRow *row)
{
	return row->envelope != NULL && row->envelope->scanned &&
		row->envelope->scan.transactions > 0;
}

/* What is wrong with a segment; NULL: nothing is known to be. */
static const char *
fault_of(const WaSegmentRow *row)
{
	if (row->envelope == NULL)
		return row->error->message;
	if (row->envelope->damage[0] != '\0')
		return row->envelope->damage;
	if (row->joint == WA_JOINT_BROKEN)
		return row->joint_reason;
	return NULL;
}

static WaCode
json_segment(void *arg, const WaSegmentRow *row, WaError *err)
{
	Search	   *search = arg;
	bool		times = has_times(row);
	WaRestorePoint point;

	search->count++;
	search->broken += fault_of(row) != NULL;
	wa_json_object(NULL);
	wa_json_string("name", row->name);
	wa_json_number("timeline", row->place.tli);
	wa_json_lsn("start_lsn", row->place.segno *
				search->catalogue->marker.segment_bytes);
	wa_json_number("raw_bytes", search->catalogue->marker.segment_bytes);
	wa_json_number("stored_bytes", (int64_t) row->stat.bytes);
	wa_json_time("archived_at", row->envelope != NULL,
				 row->envelope != NULL ? row->envelope->archived_at_us : 0);
	wa_json_time("earliest_time", times,
				 times ? row->envelope->scan.earliest_us : 0);
	wa_json_time("latest_time", times,
				 times ? row->envelope->scan.latest_us : 0);
	wa_json_array("restore_points");
	for (size_t i = 0; wa_segment_point(row, i, &point); i++)
		wa_json_string(NULL, point.name);
	wa_json_end();
	wa_json_string("damaged", fault_of(row));
	wa_json_end();
	return WA_OK;
}

static WaCode
print_segment(void *arg, const WaSegmentRow *row, WaError *err)
{
	Search	   *search = arg;
	char		earliest[WA_TIME_TEXT_BYTES];
	char		latest[WA_TIME_TEXT_BYTES];
	WaRestorePoint point;

	search->count++;
	search->broken += fault_of(row) != NULL;
	printf("%s  %8" PRIu64 " kB", row->name, (row->stat.bytes + 1023) / 1024);
	if (has_times(row))
		printf("  %s to %s",
			   wa_cli_time_text(row->envelope->scan.earliest_us, false,
								earliest),
			   wa_cli_time_text(row->envelope->scan.latest_us, false,
								latest));
	for (size_t i = 0; wa_segment_point(row, i, &point); i++)
	{
		printf("  \"");
		wa_text_print(stdout, point.name);
		printf("\"");
	}
	if (fault_of(row) != NULL)
		printf("  %s", fault_of(row));
	printf("\n");
	return WA_OK;
}

WaCode
wa_list_segments(const WaListOptions *options, WaStore *store,
				 const WaCatalogue *catalogue, bool *good, WaError *err)
{
	Search		search = {.options = options, .catalogue = catalogue};
	WaCode		code;

	if (options->json)
		wa_json_array(NULL);
	code = walk_timelines(&search, store,
						  options->json ? json_segment : print_segment, err);
	if (options->json)
		wa_json_end();
	*good = search.broken == 0;
	return code;
}

static WaCode
find_point(void *arg, const WaSegmentRow *row, WaError *err)
{
	Search	   *search = arg;
	WaRestorePoint point;
	char		text[WA_TIME_TEXT_BYTES];

	if (row->envelope == NULL || !row->envelope->scanned ||
		row->envelope->scan.points_count > WA_SCAN_POINTS_MAX)
		search->unknown++;
	for (size_t i = 0; wa_segment_point(row, i, &point); i++)
	{
		if (strcmp(point.name, search->options->restore_point) != 0)
			continue;
		search->count++;
		if (search->options->json)
		{
			wa_json_object(NULL);
			wa_json_string("restore_point", point.name);
			wa_json_string("wal", row->name);
			wa_json_number("timeline", row->place.tli);
			wa_json_lsn("lsn", point.lsn);
			wa_json_time("time", true, point.time_us);
			wa_json_end();
		}
		else
		{
			printf("\"");
			wa_text_print(stdout, point.name);
			printf("\" lies in %s, at " WA_LSN_FORMAT ", made %s\n",
				   row->name, WA_LSN_ARGS(point.lsn),
				   wa_cli_time_text(point.time_us, false, text));
		}
	}
	return WA_OK;
}

WaCode
wa_list_point(const WaListOptions *options, WaStore *store,
			  const WaCatalogue *catalogue, bool *good, WaError *err)
{
	Search		search = {.options = options, .catalogue = catalogue};
	WaCode		code;

	if (options->json)
		wa_json_array(NULL);
	code = walk_timelines(&search, store, find_point, err);
	if (options->json)
		wa_json_end();
	if (code == WA_OK && search.count == 0 && !options->json)
		printf("no restore point \"%s\" is known in this archive\n",
			   options->restore_point);
	if (code == WA_OK && search.unknown > 0)
		fprintf(stderr, "walarch list: of %zu segments not all restore "
				"points are known\n", search.unknown);
	*good = search.count > 0;
	return code;
}

/* The timeline to be recovered: the one asked for, or the latest. */
static const WaTimeline *
target_timeline(const WaListOptions *options, const WaCatalogue *catalogue)
{
	if (options->tli != 0)
		return wa_catalogue_timeline(catalogue, options->tli);
	return catalogue->timelines_count > 0 ?
		&catalogue->timelines[catalogue->timelines_count - 1] : NULL;
}

/* The first segment of the lineage with a commit at that time or later. */
typedef struct Moment
{
	const WaListOptions *options;
	bool		found;
	char		name[WA_WALNAME_BYTES];
	WaMoment	last;			/* the latest commit seen before */
} Moment;

static WaCode
find_moment(void *arg, const WaSegmentRow *row, WaError *err)
{
	Moment	   *moment = arg;

	if (moment->found || !has_times(row))
		return WA_OK;
	if (row->envelope->scan.latest_us >= moment->options->at_us)
	{
		moment->found = true;
		memcpy(moment->name, row->name, sizeof(moment->name));
	}
	else
	{
		moment->last.known = true;
		moment->last.us = row->envelope->scan.latest_us;
	}
	return WA_OK;
}

WaCode
wa_list_moment(const WaListOptions *options, WaStore *store,
			   const WaCatalogue *catalogue, bool *good, WaError *err)
{
	const WaTimeline *timeline = target_timeline(options, catalogue);
	Moment		moment = {.options = options};
	WaLineage	lineage;
	char		text[WA_TIME_TEXT_BYTES];
	WaCode		code = WA_OK;

	if (timeline == NULL)
		return wa_fail(err, WA_NOT_FOUND, "the archive has no such timeline");
	if (!wa_lineage_of(catalogue, timeline, &lineage))
		return wa_fail(err, WA_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < lineage.count && code == WA_OK && !moment.found; i++)
	{
		const WaStretch *stretch = &lineage.stretches[i];
		const WaTimeline *part = wa_catalogue_timeline(catalogue,
													   stretch->tli);

		if (part != NULL && stretch->first <= stretch->last)
			code = wa_segments_each(store, catalogue, part, stretch->first,
									stretch->last, find_moment, &moment, err);
	}
	wa_lineage_free(&lineage);
	if (code != WA_OK)
		return code;

	*good = moment.found;
	if (options->json)
	{
		wa_json_object(NULL);
		wa_json_time("at", true, options->at_us);
		wa_json_number("timeline", timeline->tli);
		wa_json_string("wal", moment.found ? moment.name : NULL);
		wa_json_time("last_commit_before", moment.last.known, moment.last.us);
		wa_json_end();
		return WA_OK;
	}
	printf("%s, on timeline %" PRIu32 ": ",
		   wa_cli_time_text(options->at_us, false, text), timeline->tli);
	if (moment.found)
		printf("%s\n", moment.name);
	else if (moment.last.known)
		printf("after the last commit in the archive, %s\n",
			   wa_cli_time_text(moment.last.us, false, text));
	else
		printf("no commit is known in the archive\n");
	return WA_OK;
}
