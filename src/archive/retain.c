/*
 * retain.c
 *	  What may go, what must stay, and why.
 */
#include "archive/retain.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "archive/layout.h"
#include "archive/retain_roots.h"
#include "core/array.h"

typedef struct Planner
{
	const WaRetainQuestion *question;
	WaPlan	   *plan;
	WaRoots		roots;
} Planner;

static const char *const kind_names[] = {
	[WA_GROUP_SEGMENTS] = "segments",
	[WA_GROUP_PARTIAL] = "partial",
	[WA_GROUP_BACKUP_HISTORY] = "backup",
	[WA_GROUP_HISTORY] = "history",
	[WA_GROUP_BASE] = "base"
};

void
wa_plan_doubt(WaPlan *plan, const char *format,...)
{
	va_list		args;

	if (plan->doubt)
		return;
	plan->doubt = true;
	va_start(args, format);
	vsnprintf(plan->doubt_reason, sizeof(plan->doubt_reason), format, args);
	va_end(args);
}

const char *
wa_group_kind_name(WaGroupKind kind)
{
	return kind_names[kind];
}

static bool
goes(const Planner *planner, WaPlace place)
{
	const WaRoots *roots = &planner->roots;

	if (planner->plan->doubt)
		return false;
	for (size_t i = 0; i < roots->count; i++)
		if (wa_root_holds(roots, &roots->roots[i], place))
			return false;
	return true;
}

/*
 * The first segment of a backup that goes; the one it begins in, if none does.
 * Only those that are there: what a backup says of its end may be nonsense.
 */
static WaPlace
fate_of(const Planner *planner, const WaBackup *backup)
{
	const WaTimeline *timeline =
		wa_catalogue_timeline(planner->question->catalogue, backup->tli);

	for (size_t i = 0; timeline != NULL && i < timeline->ranges_count; i++)
	{
		const WaRange *range = &timeline->ranges[i];
		WaPlace		at = {backup->tli, range->first};

		if (at.segno < backup->start_segno)
			at.segno = backup->start_segno;
		for (; at.segno <= range->last && at.segno <= backup->stop_segno;
			 at.segno++)
			if (goes(planner, at))
				return at;
	}
	return wa_backup_start(backup);
}

/*
 * The backup that stays and cannot be restored without the data of this one:
 * itself, or one that is incremental to it.  NULL: none does.
 */
static const WaBackup *
needed_by(const Planner *planner, const WaBackup *backup)
{
	const WaCatalogue *catalogue = planner->question->catalogue;

	if (!goes(planner, fate_of(planner, backup)))
		return backup;
	for (size_t i = 0; i < catalogue->backups_count; i++)
	{
		const WaBackup *child = &catalogue->backups[i];

		if (!child->stored || goes(planner, fate_of(planner, child)))
			continue;
		/* a chain has no more links than there are backups */
		for (size_t n = 0; n < catalogue->backups_count &&
			 child != NULL && child->parent[0] != '\0'; n++)
		{
			if (strcmp(child->parent, backup->id) == 0)
				return &catalogue->backups[i];
			child = wa_catalogue_stored(catalogue, child->parent);
		}
	}
	return NULL;
}

/* What remains stored, in bytes. */
static uint64_t
kept_bytes(const Planner *planner)
{
	const WaCatalogue *catalogue = planner->question->catalogue;
	const WaTimes *times = planner->question->times;
	uint64_t	bytes = 0;

	for (size_t i = 0; i < catalogue->timelines_count; i++)
	{
		WaStretch	all = {catalogue->timelines[i].tli, 0, UINT64_MAX};
		size_t		at;
		size_t		end;

		wa_times_stretch(times, &all, &at, &end);
		for (; at < end; at++)
			if (!goes(planner, times->segments[at].place))
				bytes += times->segments[at].stored_bytes;
	}
	for (size_t i = 0; i < catalogue->backups_count; i++)
		if (catalogue->backups[i].stored &&
			needed_by(planner, &catalogue->backups[i]) != NULL)
			bytes += catalogue->backups[i].stored_bytes;
	return bytes;
}

/* The window gives way to the size, as far as backups in the archive allow. */
static void
fit_size(Planner *planner)
{
	uint64_t	limit = planner->question->policy.bytes;
	uint64_t	kept = kept_bytes(planner);

	while (kept > limit && wa_roots_shrink(planner->question, &planner->roots))
		kept = kept_bytes(planner);
	if (kept > limit)
		snprintf(planner->plan->warning, sizeof(planner->plan->warning),
				 "what must be kept takes %" PRIu64 " MB, more than the %"
				 PRIu64 " MB of retention_size", kept >> 20, limit >> 20);
}

/* ---- the groups ------------------------------------------------------------- */

/*
 * Why a segment stays: the latest of the roots that hold it, which holds it
 * when the others are gone.
 */
static const WaRoot *
holder(const WaRoots *roots, WaPlace place)
{
	const WaRoot *latest = NULL;

	for (size_t i = 0; i < roots->count; i++)
		if (wa_root_holds(roots, &roots->roots[i], place) &&
			(latest == NULL || roots->roots[i].segno > latest->segno))
			latest = &roots->roots[i];
	return latest;
}

/* The first of the roots that it lies before; NULL: it is on no way. */
static const WaRoot *
releaser(const WaRoots *roots, WaPlace place)
{
	const WaRoot *first = NULL;

	for (size_t i = 0; i < roots->count; i++)
		if (wa_root_releases(roots, &roots->roots[i], place) &&
			(first == NULL || roots->roots[i].segno < first->segno))
			first = &roots->roots[i];
	return first;
}

static void
give_reason(const Planner *planner, WaPlace place, WaGroup *group)
{
	const WaRoot *root;

	group->goes = goes(planner, place);
	if (planner->plan->doubt)
		snprintf(group->reason, sizeof(group->reason),
				 "nothing is deleted in doubt: %.200s",
				 planner->plan->doubt_reason);
	else if (!group->goes)
		snprintf(group->reason, sizeof(group->reason), "%s",
				 holder(&planner->roots, place)->why);
	else if ((root = releaser(&planner->roots, place)) != NULL)
		snprintf(group->reason, sizeof(group->reason),
				 "before backup %s, with which begins what is kept of "
				 "timeline %" PRIu32, root->backup,
				 planner->question->catalogue->timelines[root->timeline].tli);
	else
		snprintf(group->reason, sizeof(group->reason),
				 "timeline %" PRIu32 " was over before all that is kept",
				 group->tli);
}

static WaGroup *
new_group(WaPlan *plan)
{
	WaGroup    *larger = wa_array_room(plan->groups, plan->count,
									   sizeof(WaGroup));

	if (larger == NULL)
		return NULL;
	plan->groups = larger;
	memset(&larger[plan->count], 0, sizeof(WaGroup));
	return &larger[plan->count++];
}

/* Runs of segments, as long as nothing changes. */
static bool
group_segments(Planner *planner, size_t timeline)
{
	const WaTimes *times = planner->question->times;
	uint32_t	tli = planner->question->catalogue->timelines[timeline].tli;
	WaStretch	all = {tli, 0, UINT64_MAX};
	WaGroup    *group = NULL;
	size_t		at;
	size_t		end;

	wa_times_stretch(times, &all, &at, &end);
	for (; at < end; at++)
	{
		const WaSegmentTime *segment = &times->segments[at];
		WaGroup		next = {
			.kind = WA_GROUP_SEGMENTS,
			.tli = tli,
			.first = segment->place.segno
		};

		give_reason(planner, segment->place, &next);
		if (group == NULL || next.first != group->last + 1 ||
			next.goes != group->goes ||
			strcmp(next.reason, group->reason) != 0)
		{
			group = new_group(planner->plan);
			if (group == NULL)
				return false;
			*group = next;
		}
		group->last = segment->place.segno;
		group->bytes += segment->stored_bytes;
	}
	return true;
}

static bool
group_partials(Planner *planner, size_t timeline)
{
	const WaTimeline *of = &planner->question->catalogue->timelines[timeline];

	for (size_t i = 0; i < of->partials_count; i++)
	{
		WaGroup    *group = new_group(planner->plan);

		if (group == NULL)
			return false;
		group->kind = WA_GROUP_PARTIAL;
		group->tli = of->tli;
		group->first = group->last = of->partials[i].segno;
		memcpy(group->key, of->partials[i].key, sizeof(group->key));
		give_reason(planner, (WaPlace) {group->tli, group->first}, group);
	}
	return true;
}

/* A backup history file goes with the first segment of the backup that does. */
static bool
group_backups(Planner *planner, size_t timeline)
{
	const WaCatalogue *catalogue = planner->question->catalogue;

	for (size_t i = 0; i < catalogue->backups_count; i++)
	{
		const WaBackup *backup = &catalogue->backups[i];
		WaGroup    *group;

		if (backup->tli != catalogue->timelines[timeline].tli ||
			backup->key[0] == '\0')
			continue;
		group = new_group(planner->plan);
		if (group == NULL)
			return false;
		group->kind = WA_GROUP_BACKUP_HISTORY;
		group->tli = backup->tli;
		group->first = group->last = backup->start_segno;
		memcpy(group->key, backup->key, sizeof(group->key));
		give_reason(planner, fate_of(planner, backup), group);
	}
	return true;
}

/* The data of a backup goes with its WAL, unless another one needs it. */
static bool
group_bases(Planner *planner, size_t timeline)
{
	const WaCatalogue *catalogue = planner->question->catalogue;

	for (size_t i = 0; i < catalogue->backups_count; i++)
	{
		const WaBackup *backup = &catalogue->backups[i];
		const WaBackup *needs;
		WaGroup    *group;

		if (backup->tli != catalogue->timelines[timeline].tli ||
			!backup->stored)
			continue;
		group = new_group(planner->plan);
		if (group == NULL)
			return false;
		group->kind = WA_GROUP_BASE;
		group->tli = backup->tli;
		group->first = group->last = backup->start_segno;
		group->bytes = backup->stored_bytes;
		snprintf(group->key, sizeof(group->key), "%s", backup->id);
		give_reason(planner, fate_of(planner, backup), group);
		needs = needed_by(planner, backup);
		if (!group->goes || needs == NULL)
			continue;
		group->goes = false;
		snprintf(group->reason, sizeof(group->reason),
				 "backup %s is incremental to it", needs->id);
	}
	return true;
}

/* What is no backup: not yet, or not any more. */
static bool
group_unfinished(Planner *planner)
{
	const WaCatalogue *catalogue = planner->question->catalogue;
	bool		doubt = planner->plan->doubt;

	for (size_t i = 0; i < catalogue->unfinished_count; i++)
	{
		const WaUnfinished *unfinished = &catalogue->unfinished[i];
		WaGroup    *group = new_group(planner->plan);

		if (group == NULL)
			return false;
		group->kind = WA_GROUP_BASE;
		group->left = !unfinished->begun;
		group->goes = group->left && !doubt;
		snprintf(group->key, sizeof(group->key), "%s", unfinished->id);
		if (unfinished->begun)
			snprintf(group->reason, sizeof(group->reason),
					 "is being taken, or was interrupted: the next backup "
					 "sweeps it");
		else if (doubt)
			snprintf(group->reason, sizeof(group->reason),
					 "nothing is deleted in doubt: %.200s",
					 planner->plan->doubt_reason);
		else
			snprintf(group->reason, sizeof(group->reason),
					 "left by a deletion that was interrupted");
	}
	return true;
}

static bool
group_history(Planner *planner, size_t timeline)
{
	const WaTimeline *of = &planner->question->catalogue->timelines[timeline];
	WaWalName	name = {.kind = WA_KIND_HISTORY, .tli = of->tli};
	WaGroup    *group;

	if (of->tli == 1 || !of->history_known)
		return true;
	group = new_group(planner->plan);
	if (group == NULL)
		return false;
	group->kind = WA_GROUP_HISTORY;
	group->tli = of->tli;
	wa_history_name(name.text, of->tli);
	wa_layout_key(&name, group->key);
	snprintf(group->reason, sizeof(group->reason),
			 "history files are never deleted");
	return true;
}

WaCode
wa_retain_plan(const WaRetainQuestion *question, WaPlan *plan, WaError *err)
{
	size_t		count = question->catalogue->timelines_count;
	Planner		planner = {
		.question = question,
		.plan = plan
	};
	WaCode		code;

	memset(plan, 0, sizeof(*plan));
	code = wa_roots_find(question, plan, &planner.roots, err);
	if (code == WA_OK)
	{
		bool		good = true;

		if (question->policy.bytes > 0)
			fit_size(&planner);
		for (size_t i = 0; i < count && good; i++)
			good = group_history(&planner, i) &&
				group_bases(&planner, i) && group_backups(&planner, i) &&
				group_segments(&planner, i) && group_partials(&planner, i);
		good = good && group_unfinished(&planner);
		if (!good)
			code = wa_fail(err, WA_NO_MEMORY, "out of memory");
	}
	wa_roots_free(question, &planner.roots);
	if (code != WA_OK)
		wa_plan_free(plan);
	return code;
}

/* Groups of what lies before a number, all to go. */
static bool
group_before(const WaCatalogue *catalogue, const WaTimeline *timeline,
			 uint64_t segno, const char *reason, WaPlan *plan)
{
	WaGroup		group = {.tli = timeline->tli, .goes = true};

	snprintf(group.reason, sizeof(group.reason), "%s", reason);
	group.kind = WA_GROUP_BACKUP_HISTORY;
	for (size_t i = 0; i < catalogue->backups_count; i++)
	{
		const WaBackup *backup = &catalogue->backups[i];
		WaGroup    *new;

		if (backup->tli != timeline->tli || backup->key[0] == '\0' ||
			backup->start_segno >= segno)
			continue;
		group.first = group.last = backup->start_segno;
		memcpy(group.key, backup->key, sizeof(group.key));
		if ((new = new_group(plan)) == NULL)
			return false;
		*new = group;
	}
	group.kind = WA_GROUP_SEGMENTS;
	group.key[0] = '\0';
	for (size_t i = 0; i < timeline->ranges_count; i++)
	{
		const WaRange *range = &timeline->ranges[i];
		WaGroup    *new;

		if (range->first >= segno)
			continue;
		group.first = range->first;
		group.last = range->last < segno ? range->last : segno - 1;
		if ((new = new_group(plan)) == NULL)
			return false;
		*new = group;
	}
	group.kind = WA_GROUP_PARTIAL;
	for (size_t i = 0; i < timeline->partials_count; i++)
	{
		WaGroup    *new;

		if (timeline->partials[i].segno >= segno)
			continue;
		group.first = group.last = timeline->partials[i].segno;
		memcpy(group.key, timeline->partials[i].key, sizeof(group.key));
		if ((new = new_group(plan)) == NULL)
			return false;
		*new = group;
	}
	return true;
}

static void
note_held(WaPlan *plan, const char *what, const char *name, uint64_t segments)
{
	snprintf(plan->warning, sizeof(plan->warning),
			 "%s \"%s\" holds %" PRIu64 " of the segments before that", what,
			 name, segments);
}

WaCode
wa_retain_before(const WaCatalogue *catalogue, const WaPin *pins,
				 size_t pins_count, int64_t now_us, uint64_t segno,
				 WaPlan *plan, WaError *err)
{
	uint64_t	wanted = segno;
	char		reason[WA_REASON_BYTES];

	memset(plan, 0, sizeof(*plan));
	if (catalogue->doubts_count > 0)
	{
		wa_plan_doubt(plan, "%.80s: %.120s", catalogue->doubts[0].object,
					  catalogue->doubts[0].reason);
		return WA_OK;
	}
	for (size_t i = 0; i < catalogue->backups_count; i++)
		if (catalogue->backups[i].stored &&
			catalogue->backups[i].start_segno < segno)
		{
			segno = catalogue->backups[i].start_segno;
			note_held(plan, "backup", catalogue->backups[i].id,
					  wanted - segno);
		}
	for (size_t i = 0; i < catalogue->unfinished_count; i++)
		if (catalogue->unfinished[i].begun &&
			catalogue->unfinished[i].start_segno < segno)
		{
			segno = catalogue->unfinished[i].start_segno;
			note_held(plan, "unfinished backup", catalogue->unfinished[i].id,
					  wanted - segno);
		}
	for (size_t i = 0; i < pins_count; i++)
	{
		uint64_t	held = pins[i].keep_from / catalogue->marker.segment_bytes;

		if ((pins[i].expires && pins[i].expires_us <= now_us) || held >= segno)
			continue;
		segno = held;
		note_held(plan, "pin", pins[i].name, wanted - segno);
	}
	snprintf(reason, sizeof(reason), "before what the standby needs");
	for (size_t i = 0; i < catalogue->timelines_count; i++)
		if (!group_before(catalogue, &catalogue->timelines[i], segno, reason,
						  plan))
		{
			wa_plan_free(plan);
			return wa_fail(err, WA_NO_MEMORY, "out of memory");
		}
	return WA_OK;
}

void
wa_plan_free(WaPlan *plan)
{
	free(plan->groups);
	memset(plan, 0, sizeof(*plan));
}
