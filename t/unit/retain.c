/*
 * retain.c
 *	  What a policy promises stays, whatever the archive looks like, and no
 *	  more goes than the rules name: random archives against a model that
 *	  knows nothing of roots.
 */
#include "archive/retain.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fixture.h"
#include "tap.h"

#define MB			(UINT64_C(1) << 20)
#define SECOND		INT64_C(1000000)
#define NOON_US		INT64_C(1790000000000000)
#define TIMELINES	5
#define SEGMENTS	60
#define BACKUPS		10

/* ---- an archive in memory ---------------------------------------------------- */

typedef struct Segment
{
	bool		there;
	bool		known;
	bool		commits;
	int64_t		us;				/* of its commits */
	bool		damaged;
	bool		astray;			/* does not follow the one before it */
	uint64_t	cut_lsn;		/* ends there; 0: at its end */
} Segment;

typedef struct World
{
	int			timelines;		/* numbered from 1 on */
	int			parent[TIMELINES + 1];
	int			fork[TIMELINES + 1];	/* number of the segment of the switch */
	int64_t		history_at_us[TIMELINES + 1];	/* 0: not known */
	Segment		segments[TIMELINES + 1][SEGMENTS];
	int			backups_count;
	WaBackup	backups[BACKUPS];
	bool		gone[BACKUPS];
	WaUnfinished unfinished;	/* none without an id */
	int			pins_count;
	WaPin		pins[3];
	WaPolicy	policy;
	int64_t		now_us;
} World;

/* The same as the code under test wants it. */
typedef struct Question
{
	WaCatalogue catalogue;
	WaTimeline	timelines[TIMELINES];
	WaRange		ranges[TIMELINES][SEGMENTS];
	WaHistoryEntry entries[TIMELINES][TIMELINES];
	WaUnfinished unfinished;
	WaBackup	backups[BACKUPS];
	WaSegmentTime times[TIMELINES * SEGMENTS];
	WaTimes		all_times;
	WaRetainQuestion question;
} Question;

static World world;
static Question asked;
static WaPlan plan;
static WaError err;
static uint32_t seed;

static int
random_to(int limit)
{
	seed = seed * 1103515245 + 12345;
	return (int) ((seed >> 8) % (uint32_t) limit);
}

static void
put_time(char *text, int64_t us)
{
	time_t		seconds = (time_t) (us / SECOND);
	struct tm	parts;

	gmtime_r(&seconds, &parts);
	strftime(text, WA_BACKUP_TIME_BYTES, "%Y-%m-%d %H:%M:%S UTC", &parts);
}

/* Which timeline's segment is replayed on the way to a timeline? */
static int
owner(const World *w, int tli, int segno)
{
	while (w->parent[tli] != 0 && segno < w->fork[tli])
		tli = w->parent[tli];
	return tli;
}

static WaBackup *
add_backup(World *w, int tli, int start, int stop, bool stored)
{
	WaBackup   *backup = &w->backups[w->backups_count];
	int64_t		us = w->segments[tli][start].us;

	memset(backup, 0, sizeof(*backup));
	snprintf(backup->id, sizeof(backup->id), "b%d", w->backups_count);
	if (!stored)
		snprintf(backup->key, sizeof(backup->key), "b%d", w->backups_count);
	w->backups_count++;
	backup->stored = stored;
	backup->stored_bytes = stored ? 3 * MB : 0;
	backup->readable = true;
	backup->tli = backup->history.start_tli = backup->history.stop_tli =
		(uint32_t) tli;
	backup->start_segno = (uint64_t) start;
	backup->stop_segno = (uint64_t) stop;
	backup->history.start_lsn = (uint64_t) start * MB + MB / 4;
	backup->history.stop_lsn = (uint64_t) stop * MB + MB / 2;
	put_time(backup->history.start_time, us);
	put_time(backup->history.stop_time, w->segments[tli][stop].us);
	return backup;
}

/* A whole archive of one timeline: a segment every ten minutes. */
static void
plain_world(World *w, int segments)
{
	memset(w, 0, sizeof(*w));
	w->timelines = 1;
	w->now_us = NOON_US + SEGMENTS * 600 * SECOND;
	for (int s = 1; s < segments; s++)
		w->segments[1][s] = (Segment) {true, true, true,
		NOON_US + s * 600 * SECOND, false, false, 0};
}

/* ... and with timelines, holes, idle hours and what not. */
static void
random_world(World *w)
{
	int			holes = random_to(3) == 0 ? 12 : 400;

	memset(w, 0, sizeof(*w));
	w->timelines = 1 + (random_to(2) ? random_to(TIMELINES) : 0);
	w->now_us = NOON_US + 10 * SEGMENTS * 600 * SECOND;
	for (int t = 1; t <= w->timelines; t++)
	{
		int			first = 1;
		int			last = SEGMENTS - 1 - random_to(25);
		int64_t		later = 0;

		if (t > 1)
		{
			w->parent[t] = 1 + random_to(t - 1);
			w->fork[t] = first = 2 + random_to(SEGMENTS - 10);
			if (w->fork[t] <= w->fork[w->parent[t]])
				w->fork[t] = first = w->fork[w->parent[t]] + 1;
			later = random_to(3) * 20 * 600 * SECOND;
			if (random_to(2))
				w->history_at_us[t] = NOON_US + later +
					(first + random_to(SEGMENTS)) * 600 * SECOND;
		}
		if (last < first)
			last = first;
		for (int s = first; s <= last && s < SEGMENTS; s++)
		{
			Segment    *segment = &w->segments[t][s];

			segment->there = random_to(holes) != 0;
			segment->known = random_to(30) != 0;
			segment->commits = segment->known && random_to(4) != 0;
			segment->damaged = random_to(holes) == 0;
			segment->astray = random_to(holes) == 0;
			segment->us = NOON_US + s * 600 * SECOND + later;
		}
	}
	for (int i = random_to(BACKUPS); i > 0; i--)
	{
		int			t = 1 + random_to(w->timelines);
		int			start = (t > 1 ? w->fork[t] : 1) + random_to(30);
		int			stop = start + random_to(3);

		if (stop < SEGMENTS && w->segments[t][start].us != 0 &&
			w->segments[t][stop].us != 0)
		{
			WaBackup   *backup = add_backup(w, t, start, stop, random_to(2));

			if (backup->stored && random_to(8) == 0)
				snprintf(backup->damage, sizeof(backup->damage), "torn");
		}
	}
	for (int i = random_to(3) == 0 ? random_to(3) : 0; i > 0; i--)
	{
		WaPin	   *pin = &w->pins[w->pins_count++];

		snprintf(pin->name, sizeof(pin->name), "p%d", i);
		pin->keep_from = (uint64_t) random_to(SEGMENTS) * MB + 40;
		pin->expires = random_to(2);
		pin->expires_us = w->now_us + (random_to(2) ? 1 : -1);
	}
	w->policy.backups = random_to(2) ? (uint32_t) random_to(4) : 0;
	w->policy.window_us = random_to(3) ? random_to(40) * 600 * SECOND : 0;
	w->policy.bytes = random_to(5) == 0 ? (uint64_t) random_to(60) * MB : 0;
}

static void
ask(const World *w)
{
	WaCatalogue *catalogue = &asked.catalogue;

	memset(&asked, 0, sizeof(asked));
	catalogue->marker.segment_bytes = SEG_1MB;
	catalogue->timelines = asked.timelines;
	catalogue->timelines_count = (size_t) w->timelines;
	catalogue->backups = asked.backups;
	asked.unfinished = w->unfinished;
	catalogue->unfinished = &asked.unfinished;
	catalogue->unfinished_count = w->unfinished.id[0] != '\0';
	for (int i = 0; i < w->backups_count; i++)
		if (!w->gone[i])
			asked.backups[catalogue->backups_count++] = w->backups[i];
	asked.all_times.segments = asked.times;
	for (int t = 1; t <= w->timelines; t++)
	{
		WaTimeline *timeline = &asked.timelines[t - 1];
		int			way[TIMELINES + 1];
		int			length = 0;

		timeline->tli = (uint32_t) t;
		timeline->history_known = true;
		timeline->history_at_us = w->history_at_us[t];
		timeline->ranges = asked.ranges[t - 1];
		for (int u = t; u != 0 && t > 1; u = w->parent[u])
			way[length++] = u;
		timeline->history.entries = asked.entries[t - 1];
		timeline->history.count = (uint32_t) length;
		for (int i = 0; i < length; i++)
		{
			WaHistoryEntry *entry = &asked.entries[t - 1][length - 1 - i];

			entry->tli = (uint32_t) way[i];
			entry->begin = (uint64_t) w->fork[way[i]] * MB + MB / 2;
			entry->end = i == 0 ? UINT64_MAX :
				(uint64_t) w->fork[way[i - 1]] * MB + MB / 2;
			if (w->parent[way[i]] == 0)
				entry->begin = 0;
		}
		for (int s = 0; s < SEGMENTS; s++)
		{
			const Segment *segment = &w->segments[t][s];
			WaSegmentTime *time = &asked.times[asked.all_times.count];
			WaRange    *range = &timeline->ranges[timeline->ranges_count];

			if (!segment->there)
				continue;
			if (timeline->ranges_count > 0 &&
				range[-1].last + 1 == (uint64_t) s)
				range[-1].last++;
			else
			{
				range->first = range->last = (uint64_t) s;
				timeline->ranges_count++;
			}
			time->place = (WaPlace) {(uint32_t) t, (uint64_t) s};
			time->damaged = segment->damaged;
			time->astray = segment->astray;
			time->cut_lsn = segment->cut_lsn;
			time->known = segment->known;
			time->commits = segment->commits;
			time->earliest_us = time->latest_us = segment->us;
			time->archived_us = segment->known ? segment->us + SECOND : 0;
			time->stored_bytes = MB;
			asked.all_times.count++;
		}
	}
	asked.question = (WaRetainQuestion) {
		.catalogue = catalogue,
		.times = &asked.all_times,
		.pins = w->pins,
		.pins_count = (size_t) w->pins_count,
		.policy = w->policy,
		.now_us = w->now_us
	};
	wa_plan_free(&plan);
	must(wa_retain_plan(&asked.question, &plan, &err) == WA_OK);
}

/* Carry out the plan, or the first so many deletions of it. */
static int
apply(World *w, int most)
{
	int			done = 0;

	for (size_t i = 0; i < plan.count; i++)
		if (plan.groups[i].goes &&
			(plan.groups[i].kind == WA_GROUP_BACKUP_HISTORY ||
			 plan.groups[i].kind == WA_GROUP_BASE))
			for (int j = 0; j < w->backups_count; j++)
				if (strcmp(w->backups[j].id, plan.groups[i].key) == 0)
					w->gone[j] = true;
	for (size_t i = 0; i < plan.count; i++)
	{
		const WaGroup *group = &plan.groups[i];

		if (!group->goes || group->kind != WA_GROUP_SEGMENTS)
			continue;
		for (uint64_t s = group->first; s <= group->last && done < most; s++)
		{
			w->segments[group->tli][s].there = false;
			done++;
		}
	}
	return done;
}

/* ---- what must be true, told without roots ----------------------------------- */

/* Can a recovery that began there go through a segment of a timeline? */
static bool
passable(const World *w, int tli, int from, int s)
{
	const Segment *segment = &w->segments[owner(w, tli, s)][s];

	return segment->there && !segment->damaged &&
		(!segment->astray || s == from);
}

/* From there to there along a timeline. */
static bool
unbroken(const World *w, int tli, int from, int to)
{
	for (int s = from; s <= to; s++)
		if (!passable(w, tli, from, s))
			return false;
	return true;
}

static bool
on_way(const World *w, int tli, const WaBackup *backup)
{
	return owner(w, tli, (int) backup->start_segno) == (int) backup->tli &&
		owner(w, tli, (int) backup->stop_segno) == (int) backup->tli;
}

static bool
whole(const World *w, const WaBackup *backup)
{
	return backup->damage[0] == '\0' &&
		unbroken(w, (int) backup->tli, (int) backup->start_segno,
				 (int) backup->stop_segno);
}

static bool
any_stored(const World *w)
{
	for (int i = 0; i < w->backups_count; i++)
		if (!w->gone[i] && w->backups[i].stored)
			return true;
	return false;
}

/* Can a point in that segment be reached along that timeline? */
static bool
recoverable(const World *w, int tli, int segno, bool stored_only)
{
	for (int i = 0; i < w->backups_count; i++)
	{
		const WaBackup *backup = &w->backups[i];

		if (!w->gone[i] && (backup->stored || !stored_only) &&
			on_way(w, tli, backup) && (int) backup->stop_segno < segno &&
			whole(w, backup) &&
			unbroken(w, tli, (int) backup->start_segno, segno))
			return true;
	}
	return false;
}

/* The newest commit that can be recovered; 0: none. */
static int64_t
newest_point(const World *w)
{
	int64_t		newest = 0;

	for (int t = 1; t <= w->timelines; t++)
	{
		const WaBackup *latest = NULL;
		int64_t		last = 0;
		int			s;

		for (int i = 0; i < w->backups_count; i++)
			if (!w->gone[i] && on_way(w, t, &w->backups[i]) &&
				whole(w, &w->backups[i]) &&
				(latest == NULL ||
				 w->backups[i].start_segno > latest->start_segno))
				latest = &w->backups[i];
		if (latest == NULL)
			continue;
		s = (int) latest->start_segno;
		while (s < SEGMENTS &&
			   passable(w, t, (int) latest->start_segno, s))
			s++;
		while (--s > 0 && last == 0)
		{
			const Segment *segment = &w->segments[owner(w, t, s)][s];

			if (segment->there && segment->commits)
				last = segment->us;
		}
		if (last > newest)
			newest = last;
	}
	return newest;
}

/* What was to be recovered in the window before can be now. */
static bool
window_holds(const World *before, const World *after)
{
	int64_t		newest = newest_point(before);
	bool		stored_only = any_stored(before);

	if (before->policy.window_us == 0 || newest == 0)
		return true;
	for (int t = 1; t <= before->timelines; t++)
		for (int s = 1; s < SEGMENTS; s++)
		{
			const Segment *segment = &before->segments[owner(before, t, s)][s];

			if (segment->there && segment->commits &&
				segment->us >= newest - before->policy.window_us &&
				recoverable(before, t, s, stored_only) &&
				!recoverable(after, t, s, stored_only))
			{
				diag("timeline %d, segment %d", t, s);
				return false;
			}
		}
	return true;
}

/* Might somebody recover to that timeline, beyond doubt? */
static bool
surely_living(const World *w, int tli)
{
	int64_t		newest = newest_point(w);

	if (tli == w->timelines)
		return true;			/* the latest */
	for (int s = w->fork[tli] + 1; s < SEGMENTS; s++)
	{
		const Segment *segment = &w->segments[tli][s];
		bool		later = false;

		if (!segment->there || !segment->commits)
			continue;
		if (w->policy.window_us > 0 && newest > 0)
		{
			if (segment->us >= newest - w->policy.window_us)
				return true;
			continue;
		}
		/* no backup of another timeline began after that */
		for (int i = 0; i < w->backups_count; i++)
			later = later || ((int) w->backups[i].tli != tli &&
							  w->segments[w->backups[i].tli]
							  [w->backups[i].start_segno].us >= segment->us);
		if (!later)
			return true;
	}
	return false;
}

/* The newest backups on the way to a timeline lead there as before. */
static bool
counted_backups_hold(const World *before, const World *after)
{
	for (int t = 1; t <= before->timelines && before->policy.backups > 0; t++)
	{
		int			newest_first = SEGMENTS;

		if (!surely_living(before, t))
			continue;
		for (uint32_t found = 0; found < before->policy.backups &&
			 newest_first > 0; found++)
		{
			int			next = 0;

			for (int i = 0; i < before->backups_count; i++)
			{
				const WaBackup *backup = &before->backups[i];

				if (backup->stored && on_way(before, t, backup) &&
					whole(before, backup) &&
					(int) backup->start_segno < newest_first &&
					(int) backup->start_segno > next)
					next = (int) backup->start_segno;
			}
			newest_first = next;
		}
		for (int s = newest_first; s < SEGMENTS && any_stored(before); s++)
		{
			int			from = owner(before, t, s);

			if (before->segments[from][s].there &&
				!after->segments[from][s].there)
			{
				diag("timeline %d, segment %d of %d", t, s, from);
				return false;
			}
		}
	}
	return true;
}

static bool
pins_hold(const World *before, const World *after)
{
	for (int i = 0; i < before->pins_count; i++)
		for (int t = 1; t <= before->timelines; t++)
			for (int s = (int) (before->pins[i].keep_from / MB); s < SEGMENTS; s++)
				if ((!before->pins[i].expires ||
					 before->pins[i].expires_us > before->now_us) &&
					before->segments[t][s].there &&
					!after->segments[t][s].there)
					return false;
	return true;
}

/* What is still advertised as usable is. */
static bool
advertised_hold(const World *before, const World *after)
{
	for (int i = 0; i < before->backups_count; i++)
		if (!after->gone[i] && whole(before, &before->backups[i]) &&
			!whole(after, &after->backups[i]))
			return false;
	return true;
}

static int
holds(const World *before, const World *after)
{
	bool		shrunk = before->policy.bytes > 0;

	return (shrunk || window_holds(before, after)) &&
		counted_backups_hold(before, after) && pins_hold(before, after) &&
		advertised_hold(before, after);
}

static void
test_random(void)
{
	int			good = 0;
	int			prefixes = 0;
	int			again = 0;
	int			reasons = 0;
	int			rounds = 30000;
	int			deleting = 0;
	int			branched = 0;

	for (int round = 0; round < rounds; round++)
	{
		static World after;
		static World part;
		int			done;
		bool		all = true;

		seed = (uint32_t) round * 2654435761u + 1;
		random_world(&world);
		ask(&world);
		for (size_t i = 0; i < plan.count; i++)
			all = all && plan.groups[i].reason[0] != '\0' &&
				!(plan.doubt && plan.groups[i].goes);
		reasons += all;
		part = after = world;
		done = apply(&after, INT32_MAX);
		deleting += done > 0;
		branched += done > 0 && world.timelines > 1;
		(void) apply(&part, done > 0 ? random_to(done) : 0);
		if (holds(&world, &after))
			good++;
		else
			diag("round %d", round);
		prefixes += holds(&world, &part);
		ask(&after);
		/* what a size let go of may have been all that held something else */
		if (world.policy.bytes > 0 || apply(&after, INT32_MAX) == 0)
			again++;
		else
			diag("round %d, again", round);
	}
	is_int(good, rounds, "what is promised holds");
	is_int(prefixes, rounds, "also when deleting was cut short");
	is_int(again, rounds, "and a second plan finds nothing more");
	is_int(reasons, rounds, "everything has a reason, nothing goes in doubt");
	ok(deleting > rounds / 10 && branched > rounds / 30,
	   "%d of them deleted something, %d with branches", deleting, branched);
}

/* ---- one by one ------------------------------------------------------------- */

#define TEN_MINUTES		(600 * SECOND)

/* The first segment of a timeline that stays; also checks that all do then. */
static int
first_kept(int tli)
{
	int			first = 0;

	for (size_t i = 0; i < plan.count; i++)
	{
		const WaGroup *group = &plan.groups[i];

		if (group->kind != WA_GROUP_SEGMENTS || (int) group->tli != tli)
			continue;
		if (!group->goes && first == 0)
			first = (int) group->first;
		ok(group->goes == (first == 0), "%s: %s", group->goes ? "goes" : "stays",
		   group->reason);
	}
	return first;
}

/* Segments 1 to 59 of timeline 1, backups in 10, 30 and 48. */
static void
three_backups(bool stored)
{
	plain_world(&world, SEGMENTS);
	add_backup(&world, 1, 10, 10, stored);
	add_backup(&world, 1, 30, 31, stored);
	add_backup(&world, 1, 48, 48, stored);
}

static const char *
reason_of(WaGroupKind kind, uint64_t segno)
{
	for (size_t i = 0; i < plan.count; i++)
		if (plan.groups[i].kind == kind && plan.groups[i].first <= segno &&
			plan.groups[i].last >= segno)
			return plan.groups[i].reason;
	return "";
}

static void
test_window(void)
{
	three_backups(false);
	ask(&world);
	is_int(first_kept(1), 1, "without a policy all stays");
	is_str(reason_of(WA_GROUP_SEGMENTS, 1), "no retention is set", "why");

	world.policy.window_us = 10 * TEN_MINUTES;	/* begins in segment 49 */
	ask(&world);
	is_int(first_kept(1), 48, "from the last backup before the window on");
	is_str(reason_of(WA_GROUP_SEGMENTS, 59),
		   "backup b2, the last before the window on timeline 1, if it still "
		   "exists where you keep it", "why");
	is_str(reason_of(WA_GROUP_SEGMENTS, 1), "before backup b2, with which begins "
		   "what is kept of timeline 1", "and why not");
	is_str(reason_of(WA_GROUP_BACKUP_HISTORY, 30), "before backup b2, with which "
		   "begins what is kept of timeline 1", "its backup");
	world.policy.window_us = 11 * TEN_MINUTES;
	ask(&world);
	is_int(first_kept(1), 30, "one that ended in it is not before it");
	world.policy.window_us = 28 * TEN_MINUTES;
	ask(&world);
	is_int(first_kept(1), 10, "nor one that began before and ended in it");
	world.policy.window_us = 50 * TEN_MINUTES;
	ask(&world);
	is_int(first_kept(1), 1, "none is known from before: all stays");
	has_str(reason_of(WA_GROUP_SEGMENTS, 1), "no backup is known", "why");

	/* the clock of this machine does not matter, nor does silence */
	world.policy.window_us = 10 * TEN_MINUTES;
	world.now_us += 3650 * INT64_C(86400) * SECOND;
	ask(&world);
	is_int(first_kept(1), 48, "ten years later it is the same");
	world.now_us = NOON_US;
	ask(&world);
	is_int(first_kept(1), 1, "commits that lie in the future: all stays");
	has_str(plan.doubt_reason, "lie in the future", "why");

	/* times that are not known */
	three_backups(false);
	world.policy.window_us = 10 * TEN_MINUTES;
	for (int s = 47; s < 49; s++)
		world.segments[1][s].known = world.segments[1][s].commits = false;
	ask(&world);
	is_int(first_kept(1), 30, "unknown times before the window belong to it");
	three_backups(false);
	world.policy.window_us = 10 * TEN_MINUTES;
	world.segments[1][20].known = world.segments[1][20].commits = false;
	ask(&world);
	is_int(first_kept(1), 48, "unless what follows them is older");
	for (int s = 1; s < SEGMENTS; s++)
		world.segments[1][s].known = world.segments[1][s].commits = false;
	ask(&world);
	is_int(first_kept(1), 1, "no times at all: all stays");

	/* silence for longer than the window, or a clock that leapt */
	three_backups(false);
	world.policy.window_us = 10 * TEN_MINUTES;
	for (int s = 55; s < SEGMENTS; s++)
		world.segments[1][s].us += 1000 * TEN_MINUTES;
	world.now_us += 1000 * TEN_MINUTES;
	ask(&world);
	is_int(first_kept(1), 30, "the window reaches back before a silence");

	/* a hole behind the last backup: nothing is recoverable behind it */
	three_backups(false);
	world.policy.window_us = 10 * TEN_MINUTES;
	world.segments[1][50].there = false;
	ask(&world);
	is_int(first_kept(1), 30, "the window ends at a hole");

	/* nor behind a segment that no recovery can pass */
	three_backups(false);
	world.policy.window_us = 10 * TEN_MINUTES;
	world.segments[1][50].damaged = true;
	ask(&world);
	is_int(first_kept(1), 30, "or at a damaged segment");
	world.segments[1][50].damaged = false;
	world.segments[1][50].astray = true;
	ask(&world);
	is_int(first_kept(1), 30, "or at one that follows another history");
	world.segments[1][50].astray = false;
	world.segments[1][50].cut_lsn = 50 * MB + MB / 4;
	ask(&world);
	is_int(first_kept(1), 30, "or in one that ends early");
	world.segments[1][50].cut_lsn = 0;
	world.segments[1][59].cut_lsn = 59 * MB + MB / 4;
	ask(&world);
	is_int(first_kept(1), 48, "unless it is the last one");

	/* backups with their data here are the only ones that release */
	three_backups(false);
	world.policy.window_us = 10 * TEN_MINUTES;
	world.backups[0].stored = true;
	ask(&world);
	is_int(first_kept(1), 10, "one backup in base/, before the window");
	world.backups[0].stored = false;
	world.backups[2].stored = true;
	world.policy.window_us = 11 * TEN_MINUTES;
	ask(&world);
	is_int(first_kept(1), 1, "one in it: all stays");
}

static void
test_count(void)
{
	three_backups(true);
	world.policy.backups = 2;
	ask(&world);
	is_int(first_kept(1), 30, "two backups");
	world.policy.backups = 4;
	ask(&world);
	is_int(first_kept(1), 1, "four of three: all stays");
	is_str(reason_of(WA_GROUP_SEGMENTS, 1), "of 4 backups to be kept for "
		   "timeline 1 3 are in the archive", "why");
	three_backups(false);
	world.policy.backups = 1;
	ask(&world);
	is_int(first_kept(1), 1, "those known from files alone do not count");
	has_str(reason_of(WA_GROUP_SEGMENTS, 1), "no backup in the archive that "
			"could be counted", "why");
	world.policy.window_us = 10 * TEN_MINUTES;
	ask(&world);
	is_int(first_kept(1), 48, "with a window the count is silent then");

	/* with a window: what either wants */
	three_backups(true);
	world.policy.backups = 1;
	world.policy.window_us = 20 * TEN_MINUTES;
	ask(&world);
	is_int(first_kept(1), 30, "the window wants more");
	world.policy.backups = 3;
	ask(&world);
	is_int(first_kept(1), 10, "the count wants more");
}

/* The backups whose data is in the archive. */
static void
test_bases(void)
{
	WaBackup   *child;

	three_backups(true);
	world.policy.backups = 1;
	ask(&world);
	is_str(reason_of(WA_GROUP_BASE, 10), "before backup b2, with which begins "
		   "what is kept of timeline 1", "a backup goes with its WAL");
	has_str(reason_of(WA_GROUP_BASE, 48), "one of the newest 1", "or stays");

	/* one that cannot be restored releases nothing */
	world.policy.backups = 2;
	snprintf(world.backups[1].damage, sizeof(world.backups[1].damage), "torn");
	ask(&world);
	is_int(first_kept(1), 10, "an older one that is damaged does not count");
	ok(!plan.doubt, "and is no doubt");
	three_backups(true);
	world.policy.backups = 2;
	world.segments[1][31].damaged = true;
	ask(&world);
	is_int(first_kept(1), 10, "nor one whose WAL is");
	world.segments[1][31].damaged = false;
	world.segments[1][31].astray = true;
	ask(&world);
	is_int(first_kept(1), 10, "nor one whose WAL is of two histories");
	world.segments[1][31].astray = false;
	world.segments[1][30].astray = true;
	ask(&world);
	is_int(first_kept(1), 30, "what it begins with need not follow anything");
	world.segments[1][30].cut_lsn = 30 * MB + MB / 4;
	ask(&world);
	is_int(first_kept(1), 10, "but not end before the backup does");
	world.segments[1][30].cut_lsn = 0;
	world.segments[1][31].cut_lsn = 31 * MB + MB / 2;
	ask(&world);
	is_int(first_kept(1), 30, "as the last one may, behind that");
	world.segments[1][31].cut_lsn--;
	ask(&world);
	is_int(first_kept(1), 10, "not before");
	world.segments[1][31].cut_lsn = 0;
	snprintf(world.backups[2].damage, sizeof(world.backups[2].damage), "torn");
	ask(&world);
	is_int(first_kept(1), 1, "when the newest is damaged nothing goes");
	is_str(plan.doubt_reason, "the newest backup, b2, cannot be restored: torn",
		   "why");
	three_backups(true);
	world.policy.backups = 2;
	world.segments[1][48].damaged = true;
	ask(&world);
	is_int(first_kept(1), 1, "nor when its WAL is");
	is_str(plan.doubt_reason, "the newest backup, b2, cannot be restored: WAL "
		   "that it needs is damaged, or ends early: 000000010000000000000030", "why");
	three_backups(true);
	world.policy.backups = 1;

	/* an end that is nonsense takes no time */
	world.backups[1].stop_segno = UINT64_MAX / MB;
	ask(&world);
	has_str(reason_of(WA_GROUP_BASE, 30), "before backup b2", "it goes like any "
			"other");
	three_backups(true);
	world.policy.backups = 1;

	/* 30 is the parent of 48, and 10 that of 30 */
	strcpy(world.backups[2].parent, "b1");
	strcpy(world.backups[1].parent, "b0");
	ask(&world);
	is_int(first_kept(1), 48, "the WAL of a parent goes");
	is_str(reason_of(WA_GROUP_BASE, 30), "backup b2 is incremental to it",
		   "its data stays");
	is_str(reason_of(WA_GROUP_BASE, 10), "backup b2 is incremental to it",
		   "that of the parent's parent, too");

	/* nor is one of which a part cannot be read any more */
	snprintf(world.backups[0].damage, sizeof(world.backups[0].damage), "torn");
	ask(&world);
	is_str(plan.doubt_reason, "the newest backup, b2, cannot be restored: torn",
		   "damage at the bottom of the chain");
	world.backups[0].damage[0] = '\0';

	/* a chain that is broken is no backup that counts */
	strcpy(world.backups[2].parent, "gone");
	ask(&world);
	is_int(first_kept(1), 1, "without its parent a backup is none");
	has_str(plan.doubt_reason, "gone, which it is incremental to, is missing",
			"which is a doubt");
	strcpy(world.backups[2].parent, "b2");
	ask(&world);
	has_str(plan.doubt_reason, "incremental to", "a circle is one, too");

	/* nobody recovers to its timeline any more, but it is the newest */
	three_backups(false);
	child = add_backup(&world, 1, 20, 20, true);
	world.policy.window_us = 2 * TEN_MINUTES;
	ask(&world);
	has_str(reason_of(WA_GROUP_BASE, child->start_segno), "backup b3",
			"the last one stays");

	/* what is being taken */
	three_backups(true);
	world.policy.backups = 1;
	world.unfinished = (WaUnfinished) {"u1", true, 20};
	ask(&world);
	is_int(first_kept(1), 20, "a backup that is being taken holds WAL");
	has_str(reason_of(WA_GROUP_BASE, 0), "is being taken", "which is said");
	world.unfinished.begun = false;
	ask(&world);
	is_int(first_kept(1), 48, "what a deletion left holds nothing");
	has_str(reason_of(WA_GROUP_BASE, 0), "deletion", "and goes");
}

static void
test_size(void)
{
	three_backups(true);
	world.policy.window_us = 40 * TEN_MINUTES;
	ask(&world);
	is_int(first_kept(1), 10, "a window alone");
	world.policy.bytes = 36 * MB;
	ask(&world);
	is_int(first_kept(1), 30, "a size shrinks it");
	is_str(plan.warning, "", "and is kept");
	world.segments[1][31].damaged = true;
	ask(&world);
	is_int(first_kept(1), 48, "not to a backup whose WAL is damaged");
	world.segments[1][31].damaged = false;
	world.policy.bytes = 15 * MB;
	ask(&world);
	is_int(first_kept(1), 48, "to the last backup");
	world.policy.bytes = 14 * MB;
	ask(&world);
	is_int(first_kept(1), 48, "but no further");
	is_str(plan.warning, "what must be kept takes 15 MB, more than the 14 MB "
		   "of retention_size", "which it says");
	world.policy.window_us = 0;
	world.policy.bytes = 36 * MB;
	ask(&world);
	is_int(first_kept(1), 30, "a size alone");
	world.policy.bytes = 100 * MB;
	ask(&world);
	is_int(first_kept(1), 1, "which is not reached");
	world.policy.bytes = 36 * MB;
	world.policy.backups = 3;
	ask(&world);
	is_int(first_kept(1), 10, "backups that count are not shrunk");
	three_backups(false);
	world.policy.bytes = 36 * MB;
	ask(&world);
	is_int(first_kept(1), 1, "without backups in base/ a size only warns");
	has_str(plan.warning, "59 MB", "so it does");
}

static void
test_pins(void)
{
	three_backups(false);
	world.policy.window_us = 10 * TEN_MINUTES;
	world.pins_count = 1;
	snprintf(world.pins[0].name, sizeof(world.pins[0].name), "audit");
	world.pins[0].keep_from = 20 * MB + 8;
	ask(&world);
	is_int(first_kept(1), 20, "a pin");
	is_str(reason_of(WA_GROUP_SEGMENTS, 20), "pin \"audit\"", "why");
	world.pins[0].expires = true;
	world.pins[0].expires_us = world.now_us + 1;
	ask(&world);
	is_int(first_kept(1), 20, "that has not expired");
	world.pins[0].expires_us = world.now_us;
	ask(&world);
	is_int(first_kept(1), 48, "and one that has");
	world.policy.window_us = 0;
	ask(&world);
	is_int(first_kept(1), 1, "a pin alone releases nothing");
}

static void
test_doubts(void)
{
	static WaDoubt doubt;

	/* of an archive that was begun after a promotion */
	three_backups(false);
	world.policy.window_us = 10 * TEN_MINUTES;
	ask(&world);
	asked.timelines[0].tli = 7;
	asked.timelines[0].history_known = false;
	for (size_t i = 0; i < asked.all_times.count; i++)
		asked.times[i].place.tli = 7;
	for (size_t i = 0; i < asked.catalogue.backups_count; i++)
		asked.backups[i].tli = 7;
	wa_plan_free(&plan);
	must(wa_retain_plan(&asked.question, &plan, &err) == WA_OK);
	is_int(first_kept(7), 48, "the first timeline there needs no history");

	/* what was never counted on */
	three_backups(true);
	world.policy.window_us = 10 * TEN_MINUTES;
	add_backup(&world, 1, 50, 52, false);
	world.segments[1][51].there = false;
	world.segments[1][53].there = false;
	ask(&world);
	ok(!plan.doubt, "a clone's backup is no doubt beside those in base/: %s",
	   plan.doubt_reason);

	/* its end has not been archived yet */
	three_backups(false);
	world.policy.window_us = 10 * TEN_MINUTES;
	add_backup(&world, 1, 58, 59, false);
	world.segments[1][59].there = false;
	ask(&world);
	is_int(first_kept(1), 30, "a backup that is still to come is no doubt");

	for (int what = 0; what < 3; what++)
	{
		three_backups(what == 1);
		world.policy.window_us = 10 * TEN_MINUTES;
		if (what < 2)
			add_backup(&world, 1, 55, 57, what == 1);
		if (what < 2)
			world.segments[1][56].there = false;
		ask(&world);
		if (what == 2)
		{
			snprintf(doubt.object, sizeof(doubt.object), "wal/00000002.history");
			snprintf(doubt.reason, sizeof(doubt.reason), "no history");
			asked.catalogue.doubts = &doubt;
			asked.catalogue.doubts_count = 1;
			wa_plan_free(&plan);
			must(wa_retain_plan(&asked.question, &plan, &err) == WA_OK);
		}
		ok(plan.doubt, "a doubt: %s", plan.doubt_reason);
		is_int(first_kept(1), 1, "all stays");
		has_str(reason_of(WA_GROUP_SEGMENTS, 1), "nothing is deleted in doubt: ",
				"why");
	}
	three_backups(false);
	world.policy.window_us = 10 * TEN_MINUTES;
	world.timelines = 2;
	world.parent[2] = 1;
	world.fork[2] = 55;
	world.segments[2][55] = world.segments[1][55];
	ask(&world);
	asked.timelines[1].history_known = false;
	asked.timelines[1].history.count = 0;
	wa_plan_free(&plan);
	must(wa_retain_plan(&asked.question, &plan, &err) == WA_OK);
	has_str(plan.doubt_reason, "the history of timeline 2", "no history");
	is_int(first_kept(1), 1, "all stays");
}

/* An old primary that went on, and a recovery that was given up. */
/* Timeline 2 left timeline 1 in a segment, and has been written since. */
static void
branch_off(int fork, int later)
{
	world.timelines = 2;
	world.parent[2] = 1;
	world.fork[2] = fork;
	for (int s = fork; s < SEGMENTS; s++)
		world.segments[2][s] = (Segment) {true, true, true,
		NOON_US + (s + later) * TEN_MINUTES, false, false, 0};
}

/* Segments and backups as before, and a backup on a timeline that left in 35. */
static void
four_backups(void)
{
	three_backups(false);
	branch_off(35, 40);
	world.now_us += 100 * TEN_MINUTES;
	add_backup(&world, 2, 50, 50, false);
	world.policy.window_us = 5 * TEN_MINUTES;
}

static void
test_branches(void)
{
	four_backups();
	ask(&world);
	is_int(first_kept(2), 50, "the new timeline, from its last backup on");
	is_int(first_kept(1), 0, "the old one was over");

	world.policy.window_us = 45 * TEN_MINUTES;	/* begins in its segment 54 */
	ask(&world);
	has_str(reason_of(WA_GROUP_SEGMENTS, 34), "on timeline 2", "on both ways");
	has_str(reason_of(WA_GROUP_SEGMENTS, 47), "before backup b2, ",
			"what lies behind the switch is on the way to nothing else");
	has_str(reason_of(WA_GROUP_SEGMENTS, 59), "backup b2, the last before the "
			"window on timeline 1", "it was not over before a longer window");

	/* a copy that archives here, beside a server that is idle now */
	world.policy.window_us = 5 * TEN_MINUTES;
	world.history_at_us[2] = NOON_US + 58 * TEN_MINUTES;
	ask(&world);
	is_int(first_kept(1), 48, "what went on beside a later one is not over");
	has_str(reason_of(WA_GROUP_SEGMENTS, 59), "backup b2, the last before the "
			"window on timeline 1", "and has a window of its own");
	is_int(first_kept(2), 50, "as the later one has");
	world.policy.given_up = 1;
	ask(&world);
	is_int(first_kept(1), 0, "unless it is given up");
	world.policy.given_up = 2;
	ask(&world);
	is_int(first_kept(2), 50, "which the latest cannot be");
	world.policy.given_up = 0;
	world.history_at_us[2] = NOON_US + 60 * TEN_MINUTES;
	ask(&world);
	is_int(first_kept(1), 0, "what had ended before is");
	world.history_at_us[2] = 0;

	/* the newest backup stays by the clock of who took it, where it is of use */
	three_backups(true);
	branch_off(20, 60);
	world.now_us += 200 * TEN_MINUTES;
	put_time(world.backups[2].history.start_time, NOON_US + 20 * TEN_MINUTES);
	world.policy.window_us = 5 * TEN_MINUTES;
	ask(&world);
	has_str(reason_of(WA_GROUP_SEGMENTS, 40), "backup b1, the newest in the "
			"archive", "on a timeline that was over");
	world.segments[1][31].damaged = true;
	ask(&world);
	has_str(reason_of(WA_GROUP_SEGMENTS, 59), "backup b2, the newest in the "
			"archive", "the next one, when its WAL is damaged");
	ok(!plan.doubt, "which is no doubt");

	/* when its end was written is not known */
	four_backups();
	world.segments[1][59].known = world.segments[1][59].commits = false;
	ask(&world);
	is_int(first_kept(1), 48, "what is not known to be over is not");

	/* PostgreSQL recovers to the last timeline by itself, however old */
	three_backups(false);
	world.timelines = 2;
	world.parent[2] = 1;
	world.fork[2] = 20;
	world.segments[2][20] = world.segments[1][20];
	world.policy.window_us = 5 * TEN_MINUTES;
	ask(&world);
	has_str(reason_of(WA_GROUP_SEGMENTS, 10), "backup b0, the last before the "
			"window on timeline 2", "the latest timeline is never over");

	/* a count alone: until another timeline has as many of its own */
	three_backups(true);
	world.timelines = 3;
	for (int t = 2; t <= 3; t++)
	{
		world.parent[t] = t - 1;
		world.fork[t] = 20 + 30 * (t - 2);
		for (int s = world.fork[t]; s < SEGMENTS; s++)
			world.segments[t][s] = (Segment) {true, true, true,
			NOON_US + (s + 70 * (t - 1)) * TEN_MINUTES, false, false, 0};
	}
	world.now_us += 1000 * TEN_MINUTES;
	add_backup(&world, 2, 30, 30, true);
	world.policy.backups = 2;
	ask(&world);
	has_str(reason_of(WA_GROUP_SEGMENTS, 59), "one of the newest 2 of timeline 1",
			"one is not enough");
	add_backup(&world, 2, 40, 40, true);
	ask(&world);
	is_str(reason_of(WA_GROUP_SEGMENTS, 58), "timeline 1 was over before all "
		   "that is kept", "two are");
	world.segments[2][30].damaged = true;
	ask(&world);
	has_str(reason_of(WA_GROUP_SEGMENTS, 59), "one of the newest 2 of timeline 1",
			"but not with damaged WAL");
	world.segments[2][30].damaged = false;
	world.segments[1][59].us = NOON_US + 500 * TEN_MINUTES;
	ask(&world);
	has_str(reason_of(WA_GROUP_SEGMENTS, 59), "one of the newest 2 of timeline 1",
			"but not of one that is still written");

	/* a timeline with a wrong clock is kept whole, and moves no window */
	three_backups(false);
	branch_off(35, 100000);
	add_backup(&world, 2, 40, 40, false);
	world.policy.window_us = 5 * TEN_MINUTES;
	ask(&world);
	is_int(first_kept(2), 35, "commits that lie ahead: all of that timeline");
	has_str(reason_of(WA_GROUP_SEGMENTS, 5), "on timeline 2 lie in the future",
			"and what leads there");
	has_str(reason_of(WA_GROUP_SEGMENTS, 40), "before backup b2", "but no more");

	/* a size moves on along the way to each timeline */
	three_backups(true);
	branch_off(20, 10);
	world.now_us += 100 * TEN_MINUTES;
	world.policy.bytes = MB;
	ask(&world);
	has_str(reason_of(WA_GROUP_SEGMENTS, 12), "shrank the window on timeline 2",
			"not to a backup of another timeline");

	/* histories that contradict each other */
	three_backups(true);
	world.timelines = 3;
	for (int t = 2; t <= 3; t++)
	{
		world.parent[t] = t - 1;
		world.fork[t] = 20 + 30 * (t - 2);
	}
	world.policy.backups = 2;
	ask(&world);

	asked.entries[2][0].end = asked.entries[2][1].begin = 19 * MB;
	wa_plan_free(&plan);
	must(wa_retain_plan(&asked.question, &plan, &err) == WA_OK);
	is_str(plan.doubt_reason, "the history of timeline 3 contradicts that of "
		   "timeline 2", "contradicting histories");
}

int
main(void)
{
	test_window();
	test_count();
	test_bases();
	test_size();
	test_pins();
	test_doubts();
	test_branches();
	test_random();
	return done_testing();
}
