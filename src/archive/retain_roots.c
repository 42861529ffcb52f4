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

#include "archive/retain_life.h"
#include "core/array.h"
#include "core/lsn.h"

static WaCode add_root(WaRoots *roots, WaError *err, WaRoot root,
					   const char *format,...)
			__attribute__((format(printf, 4, 5)));

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

/* Is a backup, all of what it needs, on the way that a lineage is? */
static bool
on_the_way(const WaLineage *lineage, const WaBackup *backup)
{
	WaPlace		stop = {backup->tli, backup->stop_segno};

	return wa_lineage_holds(lineage, wa_backup_start(backup)) &&
		wa_lineage_holds(lineage, stop);
}

const WaBackup *
wa_retain_backup_before(const WaCatalogue *catalogue,
						const WaTimes *times, const WaLineage *lineage,
						uint64_t segno, bool stored_only)
{
	const WaBackup *newest = NULL;

	for (size_t i = 0; i < catalogue->backups_count; i++)
	{
		const WaBackup *backup = &catalogue->backups[i];

		if ((stored_only && !backup->stored) ||
			!wa_times_sound(times, catalogue, backup) ||
			!on_the_way(lineage, backup) || backup->stop_segno >= segno)
			continue;
		if (newest == NULL ||
			backup->history.start_lsn > newest->history.start_lsn)
			newest = backup;
	}
	return newest;
}

/* ---- what must not be there ------------------------------------------------- */

/* Is a backup just not there yet to its end, because the archive is not? */
static bool
still_comes(const WaCatalogue *catalogue, const WaBackup *backup)
{
	const WaTimeline *timeline = wa_catalogue_timeline(catalogue,
													   backup->tli);
	WaPlace		missing;

	return backup->readable && timeline != NULL &&
		!wa_backup_complete(catalogue, backup, &missing) &&
		(timeline->ranges_count == 0 ||
		 timeline->ranges[timeline->ranges_count - 1].last < missing.segno);
}

static void
doubt_newest(const WaRetainQuestion *question, WaPlan *plan)
{
	const WaCatalogue *catalogue = question->catalogue;
	const WaBackup *newest = NULL;
	bool		stored = wa_catalogue_stores_backups(catalogue);
	char		reason[WA_BACKUP_REASON_BYTES];
	char		name[WA_WALNAME_BYTES];
	WaPlace		place;

	for (size_t i = 0; i < catalogue->backups_count; i++)
	{
		const WaBackup *backup = &catalogue->backups[i];

		if (backup->stored == stored && !still_comes(catalogue, backup) &&
			(newest == NULL || newest->history.start_lsn <=
			 backup->history.start_lsn))
			newest = backup;
	}
	if (newest == NULL)
		return;
	if (!wa_backup_usable(catalogue, newest, reason))
		wa_plan_doubt(plan, "the newest backup, %s, cannot be restored: %.200s",
					  newest->id, reason);
	else if (wa_times_obstacle(question->times, newest, &place))
	{
		wa_segment_name(name, place.tli, place.segno,
						catalogue->marker.segment_bytes);
		wa_plan_doubt(plan, "the newest backup, %s, cannot be restored: WAL "
					  "that it needs is damaged, or ends early: %s",
					  newest->id, name);
	}
}

/* A history is that of the parent, and one line more. */
static bool
agrees(const WaCatalogue *catalogue, const WaTimeline *timeline)
{
	const WaHistory *history = &timeline->history;
	const WaTimeline *parent;
	const WaHistoryEntry *of_parent;
	WaHistoryEntry first = {.tli = 1, .end = UINT64_MAX};
	uint32_t	count;

	if (history->count < 2)
		return true;
	parent = wa_catalogue_timeline(catalogue,
								   history->entries[history->count - 2].tli);
	if (parent == NULL || !parent->history_known)
		return true;			/* nothing to compare with */
	of_parent = parent->history.count > 0 ? parent->history.entries : &first;
	count = parent->history.count > 0 ? parent->history.count : 1;
	if (history->count != count + 1)
		return false;
	for (uint32_t i = 0; i < count; i++)
		if (history->entries[i].tli != of_parent[i].tli ||
			history->entries[i].begin != of_parent[i].begin)
			return false;
	return true;
}

static void
look_for_doubts(const WaRetainQuestion *question, WaPlan *plan)
{
	const WaCatalogue *catalogue = question->catalogue;

	if (catalogue->doubts_count > 0)
		wa_plan_doubt(plan, "%.80s: %.120s", catalogue->doubts[0].object,
				   catalogue->doubts[0].reason);
	for (size_t i = 0; i < catalogue->timelines_count; i++)
	{
		const WaTimeline *timeline = &catalogue->timelines[i];

		/* an archive may begin with the timeline that the server was on */
		if (!timeline->history_known && i > 0)
			wa_plan_doubt(plan, "the history of timeline %" PRIu32
					   " is not in the archive", timeline->tli);
		if (!agrees(catalogue, timeline))
			wa_plan_doubt(plan, "the history of timeline %" PRIu32
					   " contradicts that of timeline %" PRIu32, timeline->tli,
					   timeline->history.entries[timeline->history.count - 2].tli);
	}
	doubt_newest(question, plan);
}

/* ---- the window ------------------------------------------------------------- */

static WaCode
keep_window(const WaRetainQuestion *question, size_t i, const WaLifeWindow *window,
			WaRoots *roots, WaError *err)
{
	const WaCatalogue *catalogue = question->catalogue;
	const WaLineage *lineage = &roots->lineages[i];
	uint32_t	tli = catalogue->timelines[i].tli;
	bool		stored = wa_catalogue_stores_backups(catalogue);
	WaRoot		root = {.timeline = i, .window = true};
	const WaBackup *backup;

	if (question->policy.window_us == 0)
		return add_root(roots, err, root, "no window ends, and the archive is "
						"no larger than it may be");
	if (!window->known)
		return add_root(roots, err, root, "no point in time is known to which "
						"the cluster can be recovered");
	if (wa_life_lies_ahead(question, lineage))
		return add_root(roots, err, root, "the last commits on timeline %"
						PRIu32 " lie in the future", tli);
	backup = wa_retain_backup_before(catalogue, question->times, lineage,
									 wa_life_begin(question, lineage,
													 window), stored);
	if (backup == NULL)
		return add_root(roots, err, root, "no backup is known from before the "
						"window on timeline %" PRIu32, tli);
	root.segno = backup->start_segno;
	root.backup = backup->id;
	return add_root(roots, err, root,
					"backup %s, the last before the window on timeline %"
					PRIu32 "%s", backup->id, tli,
					stored ? "" : ", if it still exists where you keep it");
}

/* ---- so many backups -------------------------------------------------------- */

/*
 * Keep the newest backups whose data is here, on the way to each timeline by
 * itself: another one's backups are of no use to it.
 */
static WaCode
keep_newest(const WaRetainQuestion *question, size_t i, WaRoots *roots,
			WaError *err)
{
	const WaCatalogue *catalogue = question->catalogue;
	const WaLineage *lineage = &roots->lineages[i];
	WaRoot		root = {.timeline = i, .segno = UINT64_MAX};
	uint32_t	found = 0;

	while (found < question->policy.backups)
	{
		/* one that began before, wherever it ended */
		const WaBackup *newest = NULL;

		for (size_t j = 0; j < catalogue->backups_count; j++)
		{
			const WaBackup *backup = &catalogue->backups[j];

			if (backup->stored &&
				wa_times_sound(question->times, catalogue, backup) &&
				on_the_way(lineage, backup) &&
				backup->start_segno < root.segno &&
				(newest == NULL || backup->history.start_lsn >
				 newest->history.start_lsn))
				newest = backup;
		}
		if (newest == NULL)
			break;
		found++;
		root.segno = newest->start_segno;
		root.backup = newest->id;
		if (add_root(roots, err, root, "backup %s, one of the newest %" PRIu32
					 " of timeline %" PRIu32, newest->id,
					 question->policy.backups,
					 catalogue->timelines[i].tli) != WA_OK)
			return err->code;
	}
	if (found == question->policy.backups)
		return WA_OK;
	root.segno = 0;
	root.backup = NULL;
	return add_root(roots, err, root, "of %" PRIu32 " backups to be kept for "
					"timeline %" PRIu32 " %" PRIu32 " are in the archive",
					question->policy.backups, catalogue->timelines[i].tli,
					found);
}

/* ---- all of them ------------------------------------------------------------ */

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

			if (backup->stored &&
				wa_times_sound(question->times, catalogue, backup) &&
				on_the_way(&roots->lineages[root->timeline], backup) &&
				backup->start_segno > root->segno &&
				(newer == NULL || backup->history.start_lsn <
				 newer->history.start_lsn))
				newer = backup;
		}
		if (newer != NULL && (oldest == NULL || root->segno < oldest->segno))
		{
			oldest = root;
			next = newer;
		}
	}
	if (oldest == NULL)
		return false;
	oldest->segno = next->start_segno;
	oldest->backup = next->id;
	snprintf(oldest->why, sizeof(oldest->why),
			 "backup %s, to which the size of the archive shrank the window "
			 "on timeline %" PRIu32, next->id,
			 catalogue->timelines[oldest->timeline].tli);
	return true;
}

static WaCode
keep_pins(const WaRetainQuestion *question, WaRoots *roots, WaError *err)
{
	for (size_t i = 0; i < question->pins_count; i++)
	{
		const WaPin *pin = &question->pins[i];
		WaRoot		root = {.any_timeline = true};

		if (pin->expires && pin->expires_us <= question->now_us)
			continue;
		root.segno = pin->keep_from /
			question->catalogue->marker.segment_bytes;
		if (add_root(roots, err, root, "pin \"%s\"", pin->name) != WA_OK)
			return err->code;
	}
	return WA_OK;
}

/* When a backup began, by the clock of whoever took it; 0: not known. */
static int64_t
begun_us(const WaBackup *backup)
{
	int64_t		us;

	return wa_backuphistory_time(backup->history.start_time, &us) ? us : 0;
}

/*
 * An archive that has stored backups never loses the newest, whatever timeline
 * it is on: without any, what is kept for want of a backup would go as if
 * there had never been one.
 */
static WaCode
keep_last(const WaRetainQuestion *question, WaRoots *roots, WaError *err)
{
	const WaCatalogue *catalogue = question->catalogue;
	const WaBackup *newest = NULL;
	WaRoot		root = {0};

	for (size_t i = 0; i < catalogue->backups_count; i++)
	{
		const WaBackup *backup = &catalogue->backups[i];

		if (backup->stored &&
			wa_times_sound(question->times, catalogue, backup) &&
			(newest == NULL || begun_us(newest) <= begun_us(backup)))
			newest = backup;
	}
	while (newest != NULL && root.timeline < catalogue->timelines_count &&
		   catalogue->timelines[root.timeline].tli != newest->tli)
		root.timeline++;
	if (newest == NULL || root.timeline == catalogue->timelines_count)
		return WA_OK;
	root.segno = newest->start_segno;
	root.backup = newest->id;
	return add_root(roots, err, root, "backup %s, the newest in the archive",
					newest->id);
}

/* What is being taken needs all from its start on. */
static WaCode
keep_unfinished(const WaCatalogue *catalogue, WaRoots *roots, WaError *err)
{
	for (size_t i = 0; i < catalogue->unfinished_count; i++)
	{
		const WaUnfinished *unfinished = &catalogue->unfinished[i];
		WaRoot		root = {.any_timeline = true};

		root.segno = unfinished->start_segno;
		if (unfinished->begun &&
			add_root(roots, err, root, "backup %s, which is being taken or "
					 "was interrupted", unfinished->id) != WA_OK)
			return err->code;
	}
	return WA_OK;
}

/* What the policy wants kept on the way to one timeline. */
static WaCode
keep_timeline(const WaRetainQuestion *question, size_t i,
			  const WaLifeWindow *window, WaRoots *roots, WaError *err)
{
	const WaPolicy *policy = &question->policy;
	WaLifeWindow		own = wa_life_window_of(question, roots, i, window);
	WaRoot		whole = {.timeline = i};

	/* backups elsewhere are not counted: who has only those needs a window */
	bool		counts = policy->backups > 0 &&
		wa_catalogue_stores_backups(question->catalogue);

	roots->living[i] = wa_life_goes_on(question, i, window);
	if (!roots->living[i])
		return WA_OK;
	if (counts && keep_newest(question, i, roots, err) != WA_OK)
		return err->code;
	if (policy->window_us > 0 || (policy->bytes > 0 && policy->backups == 0))
		return keep_window(question, i, &own, roots, err);
	if (counts)
		return WA_OK;
	return add_root(roots, err, whole, policy->backups > 0 ?
					"there is no backup in the archive that could be counted" :
					"no retention is set");
}

WaCode
wa_roots_find(const WaRetainQuestion *question, WaPlan *plan, WaRoots *roots,
			  WaError *err)
{
	const WaCatalogue *catalogue = question->catalogue;
	WaLifeWindow		window = {0};

	memset(roots, 0, sizeof(*roots));
	roots->lineages = calloc(catalogue->timelines_count + 1,
							 sizeof(WaLineage));
	roots->living = calloc(catalogue->timelines_count + 1, sizeof(bool));
	if (roots->lineages == NULL || roots->living == NULL)
		return wa_fail(err, WA_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < catalogue->timelines_count; i++)
		if (!wa_lineage_of(catalogue, &catalogue->timelines[i],
						   &roots->lineages[i]))
			return wa_fail(err, WA_NO_MEMORY, "out of memory");
	look_for_doubts(question, plan);
	if (question->policy.window_us > 0)
		wa_life_window(question, roots, plan, &window);
	for (size_t i = 0; i < catalogue->timelines_count; i++)
		if (keep_timeline(question, i, &window, roots, err) != WA_OK)
			return err->code;
	if (keep_unfinished(catalogue, roots, err) != WA_OK ||
		keep_pins(question, roots, err) != WA_OK)
		return err->code;
	return keep_last(question, roots, err);
}

bool
wa_root_holds(const WaRoots *roots, const WaRoot *root, WaPlace place)
{
	return place.segno >= root->segno &&
		(root->any_timeline ||
		 wa_lineage_holds(&roots->lineages[root->timeline], place));
}

bool
wa_root_releases(const WaRoots *roots, const WaRoot *root, WaPlace place)
{
	return place.segno < root->segno && !root->any_timeline &&
		wa_lineage_holds(&roots->lineages[root->timeline], place);
}

void
wa_roots_free(const WaRetainQuestion *question, WaRoots *roots)
{
	for (size_t i = 0; roots->lineages != NULL &&
		 i < question->catalogue->timelines_count; i++)
		wa_lineage_free(&roots->lineages[i]);
	free(roots->lineages);
	free(roots->living);
	free(roots->roots);
	memset(roots, 0, sizeof(*roots));
}
