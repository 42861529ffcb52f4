/*
 * retain_life.c
 *	  Which timelines are alive, and from which moment on?
 */
#include "archive/retain_life.h"

#include <inttypes.h>

/* Commits that lie further ahead of the clock show that one clock is wrong. */
#define AHEAD_US		(INT64_C(3600) * 1000000)

/* The last commit that can be recovered on the way to a timeline. */
static bool
last_recoverable(const WaRetainQuestion *question, const WaLineage *lineage,
				 int64_t *us)
{
	const WaBackup *backup = wa_retain_backup_before(question->catalogue,
													 question->times, lineage,
													 UINT64_MAX, false);
	uint64_t	reached;

	return backup != NULL &&
		wa_times_reach(question->times, question->catalogue, lineage, backup,
					   &reached) &&
		wa_times_last(question->times, lineage, reached, us);
}

bool
wa_life_lies_ahead(const WaRetainQuestion *question, const WaLineage *lineage)
{
	int64_t		last;

	return last_recoverable(question, lineage, &last) &&
		last > question->now_us + AHEAD_US;
}

/* From which point in time on must all be recoverable? */
void
wa_life_window(const WaRetainQuestion *question, const WaRoots *roots,
			WaPlan *plan, WaLifeWindow *window)
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
		wa_plan_doubt(plan, "the last commits lie in the future: the clock of "
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
				wa_times_sound(question->times, catalogue, backup) &&
				began(question, backup, &us) && us > last;
		}
		if (own >= question->policy.backups)
			return true;
	}
	return false;
}

/*
 * Was anything written on a timeline after a later one had begun?  Then both
 * were alive, a server and a copy of it that archives here, and that one of
 * them has been silent since does not show that it is over.
 */
static bool
lived_beside(const WaRetainQuestion *question, size_t i)
{
	const WaCatalogue *catalogue = question->catalogue;
	int64_t		us;

	if (!last_written(question, &catalogue->timelines[i], &us))
		return false;
	for (size_t j = i + 1; j < catalogue->timelines_count; j++)
		if (catalogue->timelines[j].history_at_us != 0 &&
			catalogue->timelines[j].history_at_us < us)
			return true;
	return false;
}

/* The window of one timeline: such a one has its own. */
WaLifeWindow
wa_life_window_of(const WaRetainQuestion *question, const WaRoots *roots, size_t i,
		  const WaLifeWindow *window)
{
	WaLifeWindow		own = *window;
	int64_t		last;

	if (lived_beside(question, i) &&
		last_recoverable(question, &roots->lineages[i], &last) &&
		last - question->policy.window_us < own.begin_us)
		own.begin_us = last - question->policy.window_us;
	return own;
}

/*
 * Might anybody still recover to this timeline?  It was over before the
 * window when nothing was written on it since; without a window, when another
 * one has taken its place.  But that which PostgreSQL takes for the latest,
 * the last before a number without a history, is recovered to by everybody
 * who does not say otherwise.
 */
bool
wa_life_goes_on(const WaRetainQuestion *question, size_t i, const WaLifeWindow *window)
{
	const WaCatalogue *catalogue = question->catalogue;
	const WaTimeline *timeline = &catalogue->timelines[i];
	int64_t		us;

	if (i + 1 == catalogue->timelines_count ||
		catalogue->timelines[i + 1].tli != timeline->tli + 1)
		return true;
	if (timeline->tli == question->policy.given_up)
		return false;
	if (lived_beside(question, i))
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
uint64_t
wa_life_begin(const WaRetainQuestion *question, const WaLineage *lineage,
				const WaLifeWindow *window)
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
