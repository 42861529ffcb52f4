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
						const WaLineage *lineage, uint64_t segno,
						bool stored_only)
{
	const WaBackup *newest = NULL;

	for (size_t i = 0; i < catalogue->backups_count; i++)
	{
		const WaBackup *backup = &catalogue->backups[i];

		if ((stored_only && !backup->stored) ||
			!usable(catalogue, backup) || !on_the_way(lineage, backup) ||
			backup->stop_segno >= segno)
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
doubt_newest(const WaCatalogue *catalogue, WaPlan *plan)
{
	const WaBackup *newest = NULL;
	bool		stored = wa_catalogue_stores_backups(catalogue);
	char		reason[WA_BACKUP_REASON_BYTES];

	for (size_t i = 0; i < catalogue->backups_count; i++)
	{
		const WaBackup *backup = &catalogue->backups[i];

		if (backup->stored == stored && !still_comes(catalogue, backup) &&
			(newest == NULL || newest->history.start_lsn <=
			 backup->history.start_lsn))
			newest = backup;
	}
	if (newest != NULL && !wa_backup_usable(catalogue, newest, reason))
		note_doubt(plan, "the newest backup, %s, cannot be restored: %.120s",
				   newest->id, reason);
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
		note_doubt(plan, "%.80s: %.120s", catalogue->doubts[0].object,
				   catalogue->doubts[0].reason);
	for (size_t i = 0; i < catalogue->timelines_count; i++)
	{
		const WaTimeline *timeline = &catalogue->timelines[i];

		/* an archive may begin with the timeline that the server was on */
		if (!timeline->history_known && i > 0)
			note_doubt(plan, "the history of timeline %" PRIu32
					   " is not in the archive", timeline->tli);
		if (!agrees(catalogue, timeline))
			note_doubt(plan, "the history of timeline %" PRIu32
					   " contradicts that of timeline %" PRIu32, timeline->tli,
					   timeline->history.entries[timeline->history.count - 2].tli);
	}
	doubt_newest(catalogue, plan);
}

/* ---- the window ------------------------------------------------------------- */

typedef struct Window
{
	bool		known;
	int64_t		begin_us;
} Window;

/* The last commit that can be recovered on the way to a timeline. */
static bool
last_recoverable(const WaRetainQuestion *question, const WaLineage *lineage,
				 int64_t *us)
{
	const WaBackup *backup = wa_retain_backup_before(question->catalogue,
													 lineage, UINT64_MAX,
													 false);
	WaPlace		reached;

	return backup != NULL &&
		wa_lineage_reach(question->catalogue, lineage, start_of(backup),
						 &reached) &&
		wa_times_last(question->times, lineage, reached.segno, us);
}

static bool
lies_ahead(const WaRetainQuestion *question, const WaLineage *lineage)
{
	int64_t		last;

	return last_recoverable(question, lineage, &last) &&
		last > question->now_us + AHEAD_US;
}

/* From which point in time on must all be recoverable? */
static void
find_window(const WaRetainQuestion *question, const WaRoots *roots,
			WaPlan *plan, Window *window)
{
	bool		ahead = false;

	window->known = false;
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
		if (!window->known || last > window->begin_us)
			window->begin_us = last;
		window->known = true;
	}
	if (!window->known && ahead)
		note_doubt(plan, "the last commits lie in the future: the clock of "
				   "this machine or of the server is wrong");
}

/*
 * When was anything last written on a timeline, at the latest?  What its
 * first segment holds was begun by its parent.  False: not known.
 */
static bool
last_written(const WaRetainQuestion *question, const WaTimeline *timeline,
			 int64_t *us)
{
	WaStretch	all = {timeline->tli, 0, UINT64_MAX};
	uint64_t	first = 0;
	bool		known = true;	/* of all up to the last that tells */
	size_t		at;
	size_t		end;

	if (timeline->history.count > 1)
		first = timeline->history.entries[timeline->history.count - 1].begin /
			question->catalogue->marker.segment_bytes;
	*us = timeline->history_at_us;
	wa_times_stretch(question->times, &all, &at, &end);
	for (; at < end; at++)
	{
		const WaSegmentTime *segment = &question->times->segments[at];
		bool		commits = segment->commits && segment->place.segno > first;
		int64_t		latest = commits ? segment->latest_us :
			segment->archived_us;

		known = latest != 0;
		if (latest > *us)
			*us = latest;
	}
	return known && *us != 0;
}

/* When was the segment stored that a backup begins in? */
static bool
began(const WaRetainQuestion *question, const WaBackup *backup, int64_t *us)
{
	WaStretch	one = {backup->tli, backup->start_segno, backup->start_segno};
	size_t		at;
	size_t		end;

	wa_times_stretch(question->times, &one, &at, &end);
	*us = at < end ? question->times->segments[at].archived_us : 0;
	return *us != 0;
}

/*
 * Has a timeline that left this one as many backups of its own as are to be
 * kept, all begun after anything was last written here?
 */
static bool
is_succeeded(const WaRetainQuestion *question, const WaTimeline *timeline)
{
	const WaCatalogue *catalogue = question->catalogue;
	int64_t		last;

	if (question->policy.backups == 0 ||
		!last_written(question, timeline, &last))
		return false;
	for (size_t i = 0; i < catalogue->timelines_count; i++)
	{
		const WaTimeline *later = &catalogue->timelines[i];
		uint32_t	own = 0;

		if (later->tli == timeline->tli ||
			wa_history_find(&later->history, timeline->tli) == NULL)
			continue;
		for (size_t j = 0; j < catalogue->backups_count; j++)
		{
			const WaBackup *backup = &catalogue->backups[j];
			int64_t		us;

			own += backup->stored && backup->tli == later->tli &&
				usable(catalogue, backup) && began(question, backup, &us) &&
				us > last;
		}
		if (own >= question->policy.backups)
			return true;
	}
	return false;
}

/*
 * Might anybody still recover to this timeline?  It was over before the
 * window when nothing was written on it since; without a window, when another
 * one has taken its place.  But that which PostgreSQL takes for the latest,
 * the last before a number without a history, is recovered to by everybody
 * who does not say otherwise.
 */
static bool
is_living(const WaRetainQuestion *question, size_t i, const Window *window)
{
	const WaCatalogue *catalogue = question->catalogue;
	const WaTimeline *timeline = &catalogue->timelines[i];
	int64_t		us;

	if (i + 1 == catalogue->timelines_count ||
		catalogue->timelines[i + 1].tli != timeline->tli + 1)
		return true;
	if (question->policy.window_us == 0)
		return !is_succeeded(question, timeline);
	return !window->known || !last_written(question, timeline, &us) ||
		us >= window->begin_us;
}

/*
 * The segment in which the window begins on the way to a timeline; its end
 * when it had no commit since.  A silence longer than the window, or a clock
 * that leapt, is followed by a window that reaches back before it.
 */
static uint64_t
begin_of_window(const WaRetainQuestion *question, const WaLineage *lineage,
				const Window *window)
{
	int64_t		until = question->now_us + AHEAD_US;
	int64_t		before;
	WaPlace		begin;
	WaPlace		earlier;

	if (!wa_times_first(question->times, lineage, window->begin_us, until,
						&begin))
		return UINT64_MAX;
	if (begin.segno > 0 &&
		wa_times_last(question->times, lineage, begin.segno - 1, &before) &&
		before < window->begin_us - question->policy.window_us &&
		wa_times_first(question->times, lineage,
					   before - question->policy.window_us, until, &earlier))
		return earlier.segno;
	return begin.segno;
}

static WaCode
keep_window(const WaRetainQuestion *question, size_t i, const Window *window,
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
	if (lies_ahead(question, lineage))
		return add_root(roots, err, root, "the last commits on timeline %"
						PRIu32 " lie in the future", tli);
	backup = wa_retain_backup_before(catalogue, lineage,
									 begin_of_window(question, lineage,
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

			if (backup->stored && usable(catalogue, backup) &&
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

			if (backup->stored && usable(catalogue, backup) &&
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
keep_last(const WaCatalogue *catalogue, WaRoots *roots, WaError *err)
{
	const WaBackup *newest = NULL;
	WaRoot		root = {0};

	for (size_t i = 0; i < catalogue->backups_count; i++)
	{
		const WaBackup *backup = &catalogue->backups[i];

		if (backup->stored && usable(catalogue, backup) &&
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
			  const Window *window, WaRoots *roots, WaError *err)
{
	const WaPolicy *policy = &question->policy;
	WaRoot		whole = {.timeline = i};

	/* backups elsewhere are not counted: who has only those needs a window */
	bool		counts = policy->backups > 0 &&
		wa_catalogue_stores_backups(question->catalogue);

	roots->living[i] = is_living(question, i, window);
	if (!roots->living[i])
		return WA_OK;
	if (counts && keep_newest(question, i, roots, err) != WA_OK)
		return err->code;
	if (policy->window_us > 0 || (policy->bytes > 0 && policy->backups == 0))
		return keep_window(question, i, window, roots, err);
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
	Window		window = {0};

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
		find_window(question, roots, plan, &window);
	for (size_t i = 0; i < catalogue->timelines_count; i++)
		if (keep_timeline(question, i, &window, roots, err) != WA_OK)
			return err->code;
	if (keep_unfinished(catalogue, roots, err) != WA_OK ||
		keep_pins(question, roots, err) != WA_OK)
		return err->code;
	return keep_last(catalogue, roots, err);
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
