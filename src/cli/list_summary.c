/*
 * list_summary.c
 *	  What an archive holds as a whole: timelines, gaps, backups, and where
 *	  each of these can be recovered to.
 */
#include "cli/list.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/json.h"
#include "cli/text.h"
#include "core/lsn.h"

typedef struct Summary
{
	const WaCatalogue *catalogue;
	WaStore    *store;
	WaGap	   *gaps;
	size_t		gaps_count;
	WaWindow   *windows;
	size_t		windows_count;
} Summary;

static const char *
name_of(const Summary *summary, uint32_t tli, uint64_t segno)
{
	static char names[4][WA_WALNAME_BYTES];
	static int	next;

	next = (next + 1) % 4;
	wa_segment_name(names[next], tli, segno,
					summary->catalogue->marker.segment_bytes);
	return names[next];
}

static uint64_t
lsn_of(const Summary *summary, uint64_t segno)
{
	return segno * summary->catalogue->marker.segment_bytes;
}

static size_t
affected_count(const Summary *summary, const WaGap *gap)
{
	size_t		count = 0;

	for (size_t i = 0; i < summary->catalogue->backups_count; i++)
		count += wa_gap_affects(summary->catalogue, gap,
								&summary->catalogue->backups[i]);
	return count;
}

/* What cannot be read is not known; a listing goes on. */
static void
times_of(const Summary *summary, uint32_t tli, const WaRange *range,
		 WaMoment *earliest, WaMoment *latest)
{
	WaError		ignored;

	earliest->known = latest->known = false;
	(void) wa_range_times(summary->store, summary->catalogue, tli, range,
						  earliest, latest, &ignored);
}

static void
json_timelines(const Summary *summary)
{
	wa_json_array("timelines");
	for (size_t i = 0; i < summary->catalogue->timelines_count; i++)
	{
		const WaTimeline *timeline = &summary->catalogue->timelines[i];
		uint32_t	last = timeline->history.count;

		wa_json_object(NULL);
		wa_json_number("timeline", timeline->tli);
		if (last > 1)
		{
			wa_json_number("parent", timeline->history.entries[last - 2].tli);
			wa_json_lsn("switch_lsn", timeline->history.entries[last - 1].begin);
		}
		wa_json_bool("history_known", timeline->history_known);
		wa_json_number("partials", (int64_t) timeline->partials_count);
		wa_json_array("ranges");
		for (size_t j = 0; j < timeline->ranges_count; j++)
		{
			const WaRange *range = &timeline->ranges[j];
			WaMoment	earliest;
			WaMoment	latest;

			times_of(summary, timeline->tli, range, &earliest, &latest);
			wa_json_object(NULL);
			wa_json_string("first_wal", name_of(summary, timeline->tli,
												range->first));
			wa_json_string("last_wal", name_of(summary, timeline->tli,
											   range->last));
			wa_json_number("segments",
						   (int64_t) (range->last - range->first + 1));
			wa_json_lsn("start_lsn", lsn_of(summary, range->first));
			wa_json_lsn("end_lsn", lsn_of(summary, range->last + 1));
			wa_json_number("raw_bytes", (int64_t) lsn_of(summary, range->last -
														 range->first + 1));
			wa_json_number("stored_bytes", (int64_t) range->stored_bytes);
			wa_json_time("earliest_time", earliest.known, earliest.us);
			wa_json_time("latest_time", latest.known, latest.us);
			wa_json_end();
		}
		wa_json_end();
		wa_json_end();
	}
	wa_json_end();
}

static void
json_gaps(const Summary *summary)
{
	wa_json_array("gaps");
	for (size_t i = 0; i < summary->gaps_count; i++)
	{
		const WaGap *gap = &summary->gaps[i];

		wa_json_object(NULL);
		wa_json_number("timeline", gap->tli);
		wa_json_string("first_missing_wal", name_of(summary, gap->tli,
													gap->first));
		wa_json_string("last_missing_wal", name_of(summary, gap->tli,
												   gap->last));
		wa_json_number("segments", (int64_t) (gap->last - gap->first + 1));
		wa_json_lsn("start_lsn", lsn_of(summary, gap->first));
		wa_json_lsn("end_lsn", lsn_of(summary, gap->last + 1));
		wa_json_array("affects_backups");
		for (size_t j = 0; j < summary->catalogue->backups_count; j++)
			if (wa_gap_affects(summary->catalogue, gap,
							   &summary->catalogue->backups[j]))
				wa_json_string(NULL, summary->catalogue->backups[j].id);
		wa_json_end();
		wa_json_end();
	}
	wa_json_end();
}

static void
json_backups(const Summary *summary)
{
	wa_json_array("backups");
	for (size_t i = 0; i < summary->catalogue->backups_count; i++)
	{
		const WaBackup *backup = &summary->catalogue->backups[i];
		char		why[WA_BACKUP_REASON_BYTES];
		bool		usable = wa_backup_usable(summary->catalogue, backup, why);

		wa_json_object(NULL);
		wa_json_string("backup_id", backup->id);
		wa_json_string("source", backup->stored ? "base" : "history");
		wa_json_string("label", backup->history.label);
		wa_json_number("timeline", backup->tli);
		wa_json_lsn("start_lsn", backup->history.start_lsn);
		wa_json_lsn("stop_lsn", backup->history.stop_lsn);
		wa_json_string("start_time", backup->history.start_time);
		wa_json_string("stop_time", backup->history.stop_time);
		wa_json_string("start_wal", name_of(summary, backup->tli,
											backup->start_segno));
		wa_json_bool("incremental", backup->history.incremental_from != 0 ||
					 backup->parent[0] != '\0');
		wa_json_string("parent", backup->parent);
		if (backup->stored)
			wa_json_number("bytes", (int64_t) backup->stored_bytes);
		else
			wa_json_string("bytes", NULL);
		wa_json_bool("checksum_failures", backup->checksum_failures);
		wa_json_bool("usable", usable);
		wa_json_string("reason", why);
		wa_json_end();
	}
	wa_json_end();
}

static void
print_json(const Summary *summary, const char *place)
{
	const WaCatalogue *catalogue = summary->catalogue;

	wa_json_object(NULL);
	wa_json_string("archive", place);
	wa_json_string("archive_id", catalogue->marker.archive_id);
	wa_json_number("system_identifier",
				   (int64_t) catalogue->marker.system_identifier);
	wa_json_number("segment_size", catalogue->marker.segment_bytes);
	wa_json_number("objects", (int64_t) catalogue->objects);
	wa_json_number("stored_bytes", (int64_t) catalogue->stored_bytes);
	wa_json_number("set_aside", (int64_t) catalogue->aside);
	json_timelines(summary);
	json_gaps(summary);
	json_backups(summary);
	wa_json_array("recovery_window");
	for (size_t i = 0; i < summary->windows_count; i++)
	{
		const WaWindow *window = &summary->windows[i];

		wa_json_object(NULL);
		wa_json_number("timeline", window->tli);
		wa_json_string("backup_id", window->backup->id);
		wa_json_lsn("earliest_lsn", window->earliest_lsn);
		wa_json_time("earliest_time", window->earliest.known,
					 window->earliest.us);
		wa_json_lsn("latest_lsn", window->latest_lsn);
		wa_json_time("latest_time", window->latest.known, window->latest.us);
		wa_json_end();
	}
	wa_json_end();
	wa_json_array("doubts");
	for (size_t i = 0; i < catalogue->doubts_count; i++)
	{
		wa_json_object(NULL);
		wa_json_string("object", catalogue->doubts[i].object);
		wa_json_string("reason", catalogue->doubts[i].reason);
		wa_json_end();
	}
	wa_json_end();
	wa_json_end();
}

static void
print_timelines(const Summary *summary)
{
	for (size_t i = 0; i < summary->catalogue->timelines_count; i++)
	{
		const WaTimeline *timeline = &summary->catalogue->timelines[i];
		const WaHistory *history = &timeline->history;

		printf("\nTimeline %" PRIu32, timeline->tli);
		if (history->count > 1)
			printf(", from timeline %" PRIu32 " at " WA_LSN_FORMAT,
				   history->entries[history->count - 2].tli,
				   WA_LSN_ARGS(history->entries[history->count - 1].begin));
		else if (!timeline->history_known)
			printf(", of unknown history");
		printf("\n");
		for (size_t j = 0; j < timeline->ranges_count; j++)
		{
			const WaRange *range = &timeline->ranges[j];
			uint64_t	count = range->last - range->first + 1;
			char		raw[WA_SIZE_TEXT_BYTES];
			char		stored[WA_SIZE_TEXT_BYTES];
			char		from[WA_TIME_TEXT_BYTES];
			char		to[WA_TIME_TEXT_BYTES];
			WaMoment	earliest;
			WaMoment	latest;

			times_of(summary, timeline->tli, range, &earliest, &latest);
			printf("  %s to %s  %" PRIu64 " segment%s, %s in %s\n",
				   name_of(summary, timeline->tli, range->first),
				   name_of(summary, timeline->tli, range->last), count,
				   count == 1 ? "" : "s",
				   wa_text_of_size(lsn_of(summary, count), raw),
				   wa_text_of_size(range->stored_bytes, stored));
			if (earliest.known && latest.known)
				printf("    commits from %s to %s\n",
					   wa_cli_time_text(earliest.us, false, from),
					   wa_cli_time_text(latest.us, false, to));
		}
		for (size_t j = 0; j < timeline->partials_count; j++)
			printf("  %s.partial\n",
				   name_of(summary, timeline->tli,
						   timeline->partials[j].segno));
	}
}

static void
print_gaps(const Summary *summary)
{
	if (summary->gaps_count > 0)
		printf("\nMissing\n");
	for (size_t i = 0; i < summary->gaps_count; i++)
	{
		const WaGap *gap = &summary->gaps[i];
		uint64_t	count = gap->last - gap->first + 1;
		size_t		affected = affected_count(summary, gap);

		printf("  %s", name_of(summary, gap->tli, gap->first));
		if (count > 1)
			printf(" to %s  %" PRIu64 " segments",
				   name_of(summary, gap->tli, gap->last), count);
		if (affected == 0)
			printf("  no backup needs it\n");
		else
			printf("  %zu backup%s cannot be recovered past it\n", affected,
				   affected == 1 ? "" : "s");
	}
}

static void
print_backups(const Summary *summary)
{
	if (summary->catalogue->backups_count > 0)
		printf("\nBackups\n");
	for (size_t i = 0; i < summary->catalogue->backups_count; i++)
	{
		const WaBackup *backup = &summary->catalogue->backups[i];
		char		why[WA_BACKUP_REASON_BYTES];
		char		size[WA_SIZE_TEXT_BYTES];
		bool		usable = wa_backup_usable(summary->catalogue, backup, why);

		printf("  %s", backup->id);
		if (backup->readable)
		{
			printf("  " WA_LSN_FORMAT " to " WA_LSN_FORMAT "  ",
				   WA_LSN_ARGS(backup->history.start_lsn),
				   WA_LSN_ARGS(backup->history.stop_lsn));
			wa_text_print(stdout, backup->history.stop_time);
			printf("  \"");
			wa_text_print(stdout, backup->history.label);
			printf("\"");
		}
		if (backup->stored)
			printf("  here, %s", wa_text_of_size(backup->stored_bytes, size));
		printf("%s%s%s\n", usable ? "" : "  NOT USABLE: ", why,
			   usable && backup->checksum_failures ?
			   "  DAMAGED: " WA_BACKUP_CHECKSUMS : "");
	}
}

static void
print_moment(const WaMoment *moment)
{
	char		text[WA_TIME_TEXT_BYTES];

	if (moment->known)
		printf(" (%s)", wa_cli_time_text(moment->us, false, text));
}

static void
print_windows(const Summary *summary)
{
	if (summary->windows_count > 0)
		printf("\nRecoverable\n");
	for (size_t i = 0; i < summary->windows_count; i++)
	{
		const WaWindow *window = &summary->windows[i];

		printf("  %s on timeline %" PRIu32 ": from " WA_LSN_FORMAT,
			   window->backup->id, window->tli,
			   WA_LSN_ARGS(window->earliest_lsn));
		print_moment(&window->earliest);
		if (window->latest_lsn != 0)
			printf(" to " WA_LSN_FORMAT, WA_LSN_ARGS(window->latest_lsn));
		else
			printf(" to somewhere in %s",
				   name_of(summary, window->reached.tli,
						   window->reached.segno));
		print_moment(&window->latest);
		printf("\n");
	}
}

static void
print_text(const Summary *summary, const char *place)
{
	const WaCatalogue *catalogue = summary->catalogue;
	char		stored[WA_SIZE_TEXT_BYTES];

	printf("Archive \"%s\" of the cluster with system identifier %" PRIu64
		   "\n%" PRIu64 " files of WAL in %s, segments of %" PRIu32 " MB\n",
		   place, catalogue->marker.system_identifier, catalogue->objects,
		   wa_text_of_size(catalogue->stored_bytes, stored),
		   catalogue->marker.segment_bytes >> 20);
	if (catalogue->aside > 0)
		printf("%" PRIu64 " more in damaged/\n", catalogue->aside);
	print_timelines(summary);
	wa_list_draw(catalogue, summary->gaps, summary->gaps_count);
	print_gaps(summary);
	print_backups(summary);
	print_windows(summary);
	if (catalogue->doubts_count > 0)
		printf("\nIn doubt\n");
	for (size_t i = 0; i < catalogue->doubts_count; i++)
	{
		printf("  ");
		wa_text_print(stdout, catalogue->doubts[i].object);
		printf(": ");
		wa_text_print(stdout, catalogue->doubts[i].reason);
		printf("\n");
	}
}

WaCode
wa_list_summary(const WaListOptions *options, WaStore *store,
				const WaCatalogue *catalogue, bool *good, WaError *err)
{
	Summary		summary = {.catalogue = catalogue, .store = store};

	if (!wa_gaps_find(catalogue, &summary.gaps, &summary.gaps_count))
		return wa_fail(err, WA_NO_MEMORY, "out of memory");
	if (wa_windows_find(store, catalogue, &summary.windows,
						&summary.windows_count, err) != WA_OK)
	{
		free(summary.gaps);
		return err->code;
	}
	if (options->json)
		print_json(&summary, store->place);
	else
		print_text(&summary, store->place);
	*good = summary.gaps_count == 0 && catalogue->doubts_count == 0;
	free(summary.gaps);
	free(summary.windows);
	return WA_OK;
}
