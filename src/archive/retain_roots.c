/*
 * retain_roots.c
 *	  From which places on must everything stay?
 */
#include "archive/retain_roots.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/array.h"
#include "core/lsn.h"

/* Commits that lie further ahead of the clock show that one clock is wrong. */
#define AHEAD_US		(INT64_C(3600) * 1000000)

static void note_doubt(WaPlan *plan, const char *format,...)
			__attribute__((format(printf, 2, 3)));
static WaCode add_root(WaRoots *roots, WaError *err, WaRoot root,
					   const char *format,...)
			__attribute__((format(printf, 4, 5)));

/* The first one is the one to act upon. */
static void
note_doubt(WaPlan *plan, const char *format,...)
{
	va_list		args;

	if (plan->doubt)
		return;
	plan->doubt = true;
	va_start(args, format);
	vsnprintf(plan->doubt_reason, sizeof(plan->doubt_reason), format, args);
	va_end(args);
}

static WaCode
add_root(WaRoots *roots, WaError *err, WaRoot root, const char *format,...)
{
	WaRoot	   *larger = wa_array_room(roots->roots, roots->count,
									   sizeof(WaRoot));
	va_list		args;

	if (larger == NULL)
		return wa_fail(err, WA_NO_MEMORY, "out of memory");
	roots->roots = larger;
	va_start(args, format);
	vsnprintf(root.why, sizeof(root.why), format, args);
	va_end(args);
	roots->roots[roots->count++] = root;
	return WA_OK;
}

/* From the very beginning, on every timeline. */
static const WaRoot everything = {.any_timeline = true};

static WaPlace
start_of(const WaBackup *backup)
{
	return (WaPlace) {backup->tli, backup->start_segno};
}

static bool
usable(const WaCatalogue *catalogue, const WaBackup *backup)
{
	char		ignored[WA_BACKUP_REASON_BYTES];

	return wa_backup_usable(catalogue, backup, ignored);
}

static bool
any_stored(const WaCatalogue *catalogue)
{
	for (size_t i = 0; i < catalogue->backups_count; i++)
		if (catalogue->backups[i].stored)
			return true;
	return false;
}

/* Is a backup, all of what it needs, on the way that a lineage is? */
static bool
on_the_way(const WaLineage *lineage, const WaBackup *backup)
{
	WaPlace		stop = {backup->tli, backup->stop_segno};

	return wa_lineage_holds(lineage, start_of(backup)) &&
		wa_lineage_holds(lineage, stop);
}

const WaBackup *
wa_retain_backup_before(const WaCatalogue *catalogue,
						const WaLineage *lineage, WaPlace place,
						bool stored_only)
{
	const WaBackup *newest = NULL;

	for (size_t i = 0; i < catalogue->backups_count; i++)
	{
		const WaBackup *backup = &catalogue->backups[i];

		if ((stored_only && !backup->stored) ||
			!usable(catalogue, backup) || !on_the_way(lineage, backup) ||
			backup->stop_segno >= place.segno)
			continue;
		if (newest == NULL ||
			backup->history.start_lsn > newest->history.start_lsn)
			newest = backup;
	}
	return newest;
}

/* ---- what must not be there ------------------------------------------------- */

static void
look_for_doubts(const WaRetainQuestion *question, WaPlan *plan)
{
	const WaCatalogue *catalogue = question->catalogue;
	const WaBackup *newest = NULL;
	char		reason[WA_BACKUP_REASON_BYTES];
	bool		stored = any_stored(catalogue);

	if (catalogue->doubts_count > 0)
		note_doubt(plan, "%.80s: %.120s", catalogue->doubts[0].object,
				   catalogue->doubts[0].reason);
	for (size_t i = 0; i < catalogue->timelines_count; i++)
	{
		const WaTimeline *timeline = &catalogue->timelines[i];

		if (!timeline->history_known &&
			(timeline->ranges_count > 0 || timeline->partials_count > 0))
			note_doubt(plan, "the history of timeline %" PRIu32
					   " is not in the archive", timeline->tli);
	}
	for (size_t i = 0; i < catalogue->backups_count; i++)
	{
		const WaBackup *backup = &catalogue->backups[i];

		if (backup->stored == stored &&
			(newest == NULL || newest->history.start_lsn <=
			 backup->history.start_lsn))
			newest = backup;
	}
	if (newest != NULL && !wa_backup_usable(catalogue, newest, reason))
		note_doubt(plan, "the newest backup, %s, cannot be restored: %.120s",
				   newest->id, reason);
}

/* ---- so many backups -------------------------------------------------------- */

static bool
stop_time(const WaBackup *backup, int64_t *us)
{
	return wa_backuphistory_time(backup->history.stop_time, us);
}

/* By stop time where both tell it in a zone that has one meaning. */
static bool
is_newer(const WaBackup *a, const WaBackup *b, bool by_time)
{
	int64_t		left;
	int64_t		right;

	if (by_time && stop_time(a, &left) && stop_time(b, &right) &&
		left != right)
		return left > right;
	return a->history.start_lsn > b->history.start_lsn;
}

/*
 * Keep the newest backups whose data is here; lineage NULL: by time, of all;
 * otherwise by LSN, of those on the way.  Returns how many there are.
 */
static WaCode
keep_newest(const WaRetainQuestion *question, const WaLineage *lineage,
			WaRoots *roots, uint32_t *found, WaError *err)
{
	const WaCatalogue *catalogue = question->catalogue;
	bool	   *taken = calloc(catalogue->backups_count + 1, sizeof(bool));
	WaCode		code = WA_OK;

	if (taken == NULL)
		return wa_fail(err, WA_NO_MEMORY, "out of memory");
	for (*found = 0; *found < question->policy.backups && code == WA_OK;)
	{
		size_t		best = catalogue->backups_count;

		for (size_t i = 0; i < catalogue->backups_count; i++)
		{
			const WaBackup *backup = &catalogue->backups[i];

			if (taken[i] || !backup->stored || !usable(catalogue, backup) ||
				(lineage != NULL && !on_the_way(lineage, backup)))
				continue;
			if (best == catalogue->backups_count ||
				is_newer(backup, &catalogue->backups[best], lineage == NULL))
				best = i;
		}
		if (best == catalogue->backups_count)
			break;
		taken[best] = true;
		(*found)++;
		code = add_root(roots, err,
						(WaRoot) {.place = start_of(&catalogue->backups[best]),
						.releases = true},
						"backup %s, one of the newest %" PRIu32,
						catalogue->backups[best].id,
						question->policy.backups);
	}
	free(taken);
	return code;
}

static WaCode
keep_backups(const WaRetainQuestion *question, WaRoots *roots, WaError *err)
{
	const WaCatalogue *catalogue = question->catalogue;
	uint32_t	found;
	uint32_t	ignored;

	if (keep_newest(question, NULL, roots, &found, err) != WA_OK)
		return err->code;
	if (found < question->policy.backups)
		return add_root(roots, err, everything,
						"of %" PRIu32 " backups to be kept %" PRIu32
						" are in the archive", question->policy.backups,
						found);
	/* a clock that once was wrong makes none of these old */
	return keep_newest(question,
					   &roots->lineages[catalogue->timelines_count - 1],
					   roots, &ignored, err);
}

/* ---- the window ------------------------------------------------------------- */

/* The last commit that can be recovered on a timeline. */
static bool
last_recoverable(const WaRetainQuestion *question, const WaLineage *lineage,
				 int64_t *us)
{
	static const WaPlace end = {UINT32_MAX, UINT64_MAX};
	const WaBackup *backup = wa_retain_backup_before(question->catalogue,
													 lineage, end, false);
	WaPlace		reached;

	return backup != NULL &&
		wa_lineage_reach(question->catalogue, lineage, start_of(backup),
						 &reached) &&
		wa_times_last(question->times, lineage, reached.segno, us);
}

/* From which point in time on must all be recoverable? */
static void
find_window(const WaRetainQuestion *question, WaRoots *roots, WaPlan *plan)
{
	bool		ahead = false;

	for (size_t i = 0; i < question->catalogue->timelines_count; i++)
	{
		int64_t		last;

		if (!last_recoverable(question, &roots->lineages[i], &last))
			continue;
		if (last > question->now_us + AHEAD_US)
		{
			ahead = true;
			continue;
		}
		last -= question->policy.window_us;
		if (!roots->window_known || last > roots->window_us)
			roots->window_us = last;
		roots->window_known = true;
	}
	if (!roots->window_known && ahead)
		note_doubt(plan, "the last commits lie in the future: the clock of "
				   "this machine or of the server is wrong");
}

/* What the window needs on the way to one timeline. */
static WaCode
keep_window_of(const WaRetainQuestion *question, size_t timeline,
			   WaRoots *roots, WaError *err)
{
	const WaCatalogue *catalogue = question->catalogue;
	const WaLineage *lineage = &roots->lineages[timeline];
	uint32_t	tli = catalogue->timelines[timeline].tli;
	const WaBackup *backup;
	WaRoot		root = {.window = true, .lineage = timeline};
	WaPlace		begin;

	if (!wa_times_first(question->times, lineage, roots->window_us,
						question->now_us + AHEAD_US, &begin))
		return WA_OK;			/* was over before */
	root.place.tli = lineage->stretches[0].tli;
	if (question->policy.window_us == 0)
		return add_root(roots, err, root, "no window ends, and the archive is "
						"no larger than it may be");
	backup = wa_retain_backup_before(catalogue, lineage, begin,
									 any_stored(catalogue));
	if (backup == NULL)
		return add_root(roots, err, root,
						"no backup is known from before the window on "
						"timeline %" PRIu32, tli);
	root.place = start_of(backup);
	root.releases = true;
	return add_root(roots, err, root,
					"backup %s, the last before the window on timeline %"
					PRIu32, backup->id, tli);
}

static WaCode
keep_window(const WaRetainQuestion *question, WaPlan *plan, WaRoots *roots,
			WaError *err)
{
	/* a size alone shrinks a window without an end */
	if (question->policy.window_us == 0)
		roots->window_us = INT64_MIN;
	else
	{
		find_window(question, roots, plan);
		if (!roots->window_known)
			return add_root(roots, err, everything, "no point in time is "
							"known to which the cluster can be recovered");
	}
	for (size_t i = 0; i < question->catalogue->timelines_count; i++)
		if (keep_window_of(question, i, roots, err) != WA_OK)
			return err->code;
	return WA_OK;
}

bool
wa_roots_shrink(const WaRetainQuestion *question, WaRoots *roots)
{
	const WaCatalogue *catalogue = question->catalogue;
	WaRoot	   *oldest = NULL;
	const WaBackup *next = NULL;

	for (size_t i = 0; i < roots->count; i++)
	{
		WaRoot	   *root = &roots->roots[i];
		const WaBackup *newer = NULL;

		if (!root->window)
			continue;
		for (size_t j = 0; j < catalogue->backups_count; j++)
		{
			const WaBackup *backup = &catalogue->backups[j];

			if (backup->stored && usable(catalogue, backup) &&
				on_the_way(&roots->lineages[root->lineage], backup) &&
				backup->start_segno > root->place.segno &&
				(newer == NULL || backup->history.start_lsn <
				 newer->history.start_lsn))
				newer = backup;
		}
		if (newer != NULL &&
			(oldest == NULL || root->place.segno < oldest->place.segno))
		{
			oldest = root;
			next = newer;
		}
	}
	if (oldest == NULL)
		return false;
	oldest->place = start_of(next);
	oldest->releases = true;
	snprintf(oldest->why, sizeof(oldest->why),
			 "backup %s, to which the size of the archive shrank the window "
			 "on timeline %" PRIu32, next->id,
			 catalogue->timelines[oldest->lineage].tli);
	return true;
}

/* ---- pins ------------------------------------------------------------------- */

static WaCode
keep_pins(const WaRetainQuestion *question, WaRoots *roots, WaError *err)
{
	for (size_t i = 0; i < question->pins_count; i++)
	{
		const WaPin *pin = &question->pins[i];
		WaRoot		root = {.any_timeline = true};

		if (pin->expires && pin->expires_us <= question->now_us)
			continue;
		root.place.segno = pin->keep_from /
			question->catalogue->marker.segment_bytes;
		if (add_root(roots, err, root, "pin \"%s\"", pin->name) != WA_OK)
			return err->code;
	}
	return WA_OK;
}

/* ---- all of them ------------------------------------------------------------ */

WaCode
wa_roots_find(const WaRetainQuestion *question, WaPlan *plan, WaRoots *roots,
			  WaError *err)
{
	const WaCatalogue *catalogue = question->catalogue;
	const WaPolicy *policy = &question->policy;

	memset(roots, 0, sizeof(*roots));
	roots->lineages = calloc(catalogue->timelines_count + 1,
							 sizeof(WaLineage));
	if (roots->lineages == NULL)
		return wa_fail(err, WA_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < catalogue->timelines_count; i++)
		if (!wa_lineage_of(catalogue, &catalogue->timelines[i],
						   &roots->lineages[i]))
			return wa_fail(err, WA_NO_MEMORY, "out of memory");

	if (catalogue->timelines_count == 0)
		return WA_OK;
	look_for_doubts(question, plan);
	if (policy->backups == 0 && policy->window_us == 0 && policy->bytes == 0)
		return add_root(roots, err, everything, "no retention is set");
	if (policy->backups > 0 && keep_backups(question, roots, err) != WA_OK)
		return err->code;
	if ((policy->window_us > 0 ||
		 (policy->bytes > 0 && policy->backups == 0)) &&
		keep_window(question, plan, roots, err) != WA_OK)
		return err->code;
	return keep_pins(question, roots, err);
}

uint64_t
wa_root_floor(const WaRoot *root, const WaRetainQuestion *question,
			  size_t timeline)
{
	const WaTimeline *reached = &question->catalogue->timelines[timeline];
	const WaHistoryEntry *entry;

	if (root->any_timeline || root->place.tli == reached->tli)
		return root->place.segno;
	entry = wa_history_find(&reached->history, root->place.tli);
	if (entry != NULL && entry->end != UINT64_MAX &&
		entry->end / question->catalogue->marker.segment_bytes >=
		root->place.segno)
		return root->place.segno;
	return UINT64_MAX;
}

void
wa_roots_free(const WaRetainQuestion *question, WaRoots *roots)
{
	for (size_t i = 0; roots->lineages != NULL &&
		 i < question->catalogue->timelines_count; i++)
		wa_lineage_free(&roots->lineages[i]);
	free(roots->lineages);
	free(roots->roots);
	memset(roots, 0, sizeof(*roots));
}
