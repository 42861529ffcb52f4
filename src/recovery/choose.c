/*
 * choose.c
 *	  Which backup a recovery to a target begins with.
 */
#include "recovery/choose.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "archive/segments.h"
#include "archive/times.h"
#include "archive/xids.h"
#include "cli/cli.h"
#include "core/lsn.h"

/* What is known while a choice is made. */
typedef struct Choosing
{
	WaStore    *store;
	const WaCatalogue *catalogue;
	const WaTarget *target;
	const WaTimeline *timeline;
	WaLineage	lineage;
	WaTimes		times;			/* of a time target only */
	WaPlace		place;			/* of the target, unless it is an end */
	uint64_t	lsn;			/* recovery must not have to begin behind it */
	WaChoice   *choice;
} Choosing;

static const char *
segment_of(const Choosing *self, WaPlace place, char *name)
{
	wa_segment_name(name, place.tli, place.segno,
					self->catalogue->marker.segment_bytes);
	return name;
}

/* ---- the timeline ----------------------------------------------------------- */

/*
 * PostgreSQL takes the last one before a number that has no history.  One that
 * was made while nothing was archived has none here: so the highest counts.
 */
static WaCode
find_timeline(Choosing *self, WaError *err)
{
	const WaCatalogue *catalogue = self->catalogue;
	uint32_t	tli = self->target->tli;

	if (catalogue->timelines_count == 0)
		return wa_fail(err, WA_NOT_FOUND, "there is no WAL in the archive");
	if (tli == 0)
		tli = catalogue->timelines[catalogue->timelines_count - 1].tli;
	self->timeline = wa_catalogue_timeline(catalogue, tli);
	if (self->timeline == NULL)
		return wa_fail(err, WA_NOT_FOUND, "timeline %" PRIu32 " is not in the "
					   "archive", tli);
	/* archiving may have begun after it did: then it stands alone */
	self->choice->history_known = self->timeline->history_known;
	if (!wa_lineage_of(catalogue, self->timeline, &self->lineage))
		return wa_fail(err, WA_NO_MEMORY, "out of memory");
	self->choice->tli = tli;
	return WA_OK;
}

/* The timeline of the lineage that a segment number is replayed from. */
static bool
place_of(const Choosing *self, uint64_t segno, WaPlace *place)
{
	for (size_t i = 0; i < self->lineage.count; i++)
	{
		const WaStretch *stretch = &self->lineage.stretches[i];

		if (segno >= stretch->first && segno <= stretch->last)
		{
			*place = (WaPlace) {stretch->tli, segno};
			return true;
		}
	}
	return false;
}

static bool serves(const Choosing *self, const WaBackup *backup);
static WaCode no_backup(const Choosing *self, WaError *err);

/* ---- the target ------------------------------------------------------------- */

static WaCode
locate_time(Choosing *self, WaError *err)
{
	int64_t		last;
	char		wanted[WA_TIME_TEXT_BYTES];
	char		latest[WA_TIME_TEXT_BYTES];

	if (wa_times_read(self->store, self->catalogue, &self->times,
					  err) != WA_OK)
		return err->code;
	/* recovery stops before the first commit behind the target */
	if (wa_times_first(&self->times, &self->lineage,
					   self->target->time_us + 1, INT64_MAX, &self->place))
	{
		self->lsn = self->place.segno *
			self->catalogue->marker.segment_bytes;
		return WA_OK;
	}
	wa_cli_time_text(self->target->time_us, false, wanted);
	if (!wa_times_last(&self->times, &self->lineage, UINT64_MAX, &last))
		return wa_fail(err, WA_NOT_FOUND, "no commit is known on timeline %"
					   PRIu32 ": whether %s is in it cannot be told",
					   self->choice->tli, wanted);
	wa_fail(err, WA_NOT_FOUND, "%s lies behind the last commit that is in the "
			"archive, of %s", wanted, wa_cli_time_text(last, false, latest));
	wa_hint(err, "A recovery to there would fail at its end. Use --latest for "
			"all that there is.");
	return err->code;
}

typedef struct PointSearch
{
	const char *name;
	size_t		found;
	WaRestorePoint point;		/* the last one */
	WaPlace		place;
	uint64_t	before_lsn;		/* the one before it; 0: none */
} PointSearch;

static WaCode
take_point(void *arg, const WaSegmentRow *row, WaError *err)
{
	PointSearch *search = arg;
	WaRestorePoint point;

	for (size_t i = 0; wa_segment_point(row, i, &point); i++)
		if (strcmp(point.name, search->name) == 0)
		{
			search->before_lsn = search->found > 0 ? search->point.lsn : 0;
			search->found++;
			search->point = point;
			search->place = row->place;
		}
	return WA_OK;
}

static WaCode
locate_name(Choosing *self, PointSearch *search, WaError *err)
{
	search->name = self->target->name;
	for (size_t i = 0; i < self->lineage.count; i++)
	{
		const WaStretch *stretch = &self->lineage.stretches[i];
		const WaTimeline *timeline = wa_catalogue_timeline(self->catalogue,
														   stretch->tli);

		if (timeline != NULL &&
			wa_segments_each(self->store, self->catalogue, timeline,
							 stretch->first, stretch->last == UINT64_MAX ?
							 UINT64_MAX - 1 : stretch->last, take_point,
							 search, err) != WA_OK)
			return err->code;
	}
	if (search->found == 0)
	{
		wa_fail(err, WA_NOT_FOUND, "no restore point \"%s\" is known on the "
				"way to timeline %" PRIu32, self->target->name,
				self->choice->tli);
		wa_hint(err, "\"walarch list --restore-point NAME\" looks on all "
				"timelines; --timeline chooses one. Of a segment that has "
				"more than %d, only the first are noted.",
				WA_SCAN_POINTS_MAX);
		return err->code;
	}
	self->place = search->place;
	self->lsn = search->point.lsn;
	self->choice->target_lsn = search->point.lsn;
	self->choice->target_us = search->point.time_us;
	return WA_OK;
}

static bool
go_on(void *arg, uint64_t segments)
{
	return true;
}

/* Searched from the end back to the oldest backup that might serve. */
static WaCode
locate_xid(Choosing *self, WaError *err)
{
	const WaBackup *oldest = NULL;
	WaXidFound	found;
	WaPlace		from;
	WaPlace		reached;

	for (size_t i = 0; i < self->catalogue->backups_count; i++)
	{
		const WaBackup *backup = &self->catalogue->backups[i];

		if (serves(self, backup) && (oldest == NULL ||
									 backup->start_segno < oldest->start_segno))
			oldest = backup;
	}
	if (oldest == NULL || !place_of(self, oldest->start_segno, &from) ||
		!wa_lineage_reach(self->catalogue, &self->lineage, from, &reached))
		return no_backup(self, err);
	if (wa_xid_find(self->store, self->catalogue, &self->lineage, reached, from,
					self->target->xid, go_on, NULL, &found, err) != WA_OK)
	{
		if (err->code == WA_NOT_FOUND)
			wa_hint(err, "A prepared transaction is not found by its number: "
					"use its time or LSN.");
		return err->code;
	}
	self->place = found.place;
	self->lsn = found.end_lsn;
	self->choice->target_lsn = found.end_lsn;
	self->choice->target_us = found.time_us;
	return WA_OK;
}

static WaCode
locate_lsn(Choosing *self, WaError *err)
{
	uint64_t	segno = self->target->lsn /
		self->catalogue->marker.segment_bytes;

	self->lsn = self->target->lsn;
	if (place_of(self, segno, &self->place))
		return WA_OK;
	return wa_fail(err, WA_NOT_FOUND, WA_LSN_FORMAT " is not on the way to "
				   "timeline %" PRIu32, WA_LSN_ARGS(self->target->lsn),
				   self->choice->tli);
}

/* ---- the backup ------------------------------------------------------------- */

/*
 * Is the backup on the way to the timeline?  It may have ended in the very
 * segment in which the timeline was left, whose WAL is the child's, too.
 */
static bool
on_the_way(const Choosing *self, const WaBackup *backup)
{
	const WaHistory *history = &self->timeline->history;

	if (backup->tli == self->timeline->tli)
		return true;
	for (uint32_t i = 0; i < history->count; i++)
		if (history->entries[i].tli == backup->tli)
			return backup->history.start_lsn >= history->entries[i].begin &&
				backup->history.stop_lsn <= history->entries[i].end;
	return false;
}

/*
 * Did it begin before the time?  What was committed since is in the archive,
 * and was looked at; of what was before nothing may be known.  A later commit
 * that is not too late proves it by the server's own clock.
 */
static bool
began_before(const Choosing *self, const WaBackup *backup, int64_t time_us)
{
	int64_t		start_us;

	for (size_t i = 0; i < self->lineage.count; i++)
	{
		size_t		at;
		size_t		end;

		wa_times_stretch(&self->times, &self->lineage.stretches[i], &at, &end);
		for (; at < end; at++)
			if (self->times.segments[at].commits &&
				self->times.segments[at].place.segno > backup->start_segno &&
				self->times.segments[at].earliest_us <= time_us)
				return true;
	}
	/* whole seconds */
	return wa_backuphistory_time(backup->history.start_time, &start_us) &&
		start_us + 1000000 <= time_us;
}

/*
 * Could a recovery that begins with this backup stop at the target, if the
 * backup can be restored?
 */
static bool
fits(const Choosing *self, const WaBackup *backup)
{
	uint64_t	segment_bytes = self->catalogue->marker.segment_bytes;
	WaPlace		ignored;

	if (!backup->stored || !on_the_way(self, backup) ||
		!place_of(self, backup->start_segno, &ignored))
		return false;
	switch (self->target->kind)
	{
		case WA_TARGET_XID:
			/* while it is being located, any */
			return self->lsn == 0 || backup->history.stop_lsn <= self->lsn;
		case WA_TARGET_LSN:
		case WA_TARGET_NAME:
			return backup->history.stop_lsn <= self->lsn;
		case WA_TARGET_TIME:
			/* where in its segment the commit lies is not known */
			return (backup->stop_segno + 1) * segment_bytes <= self->lsn &&
				began_before(self, backup, self->target->time_us);
		default:
			return true;
	}
}

static bool
serves(const Choosing *self, const WaBackup *backup)
{
	return wa_backup_usable(self->catalogue, backup, NULL) &&
		fits(self, backup);
}

/*
 * The newest that fits, begun after another one (NULL: whichever), and cannot
 * be restored for this reason; NULL: none.
 */
static const WaBackup *
newest_unusable(const Choosing *self, const WaBackup *after, char *reason)
{
	const WaCatalogue *catalogue = self->catalogue;

	/* in order of their starts */
	for (size_t i = catalogue->backups_count; i-- > 0;)
	{
		const WaBackup *backup = &catalogue->backups[i];

		if (backup == after)
			return NULL;
		if (fits(self, backup) && !wa_backup_usable(catalogue, backup, reason))
			return backup;
	}
	return NULL;
}

static WaCode
no_backup(const Choosing *self, WaError *err)
{
	const WaTarget *target = self->target;
	char		reason[WA_BACKUP_REASON_BYTES];
	const WaBackup *oldest = NULL;
	const WaBackup *unusable;

	for (size_t i = 0; i < self->catalogue->backups_count; i++)
	{
		const WaBackup *backup = &self->catalogue->backups[i];

		if (target->backup != NULL && strcmp(backup->id, target->backup) == 0 &&
			!wa_backup_usable(self->catalogue, backup, reason))
			return wa_fail(err, WA_NOT_FOUND, "backup %s cannot be restored: "
						   "%s", backup->id, reason);
		if (backup->stored && oldest == NULL)
			oldest = backup;
	}
	if (oldest == NULL)
	{
		wa_fail(err, WA_NOT_FOUND, "there is no base backup in the archive");
		wa_hint(err, "\"walarch backup\" takes one. From a backup that lies "
				"elsewhere, recover by hand: see README, \"Point-in-time "
				"recovery\".");
	}
	else if (target->backup == NULL &&
			 (unusable = newest_unusable(self, NULL, reason)) != NULL)
	{
		wa_fail(err, WA_NOT_FOUND, "backup %s cannot be restored, and no other "
				"one serves: %s", unusable->id, reason);
		wa_hint(err, "\"walarch list\" shows all backups, and \"walarch verify\" "
				"what is wrong.");
	}
	else if (target->backup != NULL)
		wa_fail(err, WA_NOT_FOUND, "backup \"%s\" is not in the archive, or did "
				"not end before the target on the way to timeline %" PRIu32,
				target->backup, self->choice->tli);
	else if (!self->timeline->history_known)
	{
		wa_fail(err, WA_NOT_FOUND, "no base backup in the archive is of timeline "
				"%" PRIu32 ", the latest, whose history is missing",
				self->choice->tli);
		wa_hint(err, "Take one there, or recover along another timeline: "
				"--timeline.");
	}
	else
	{
		wa_fail(err, WA_NOT_FOUND, "no base backup in the archive ended before "
				"the target on the way to timeline %" PRIu32,
				self->choice->tli);
		wa_hint(err, "The oldest, %s, ended at " WA_LSN_FORMAT " on timeline %"
				PRIu32 ", %s. \"walarch list\" shows all.", oldest->id,
				WA_LSN_ARGS(oldest->history.stop_lsn), oldest->tli,
				oldest->history.stop_time);
	}
	return err->code;
}

/* The newest that serves; one with damaged pages for want of another only. */
static WaCode
find_backup(Choosing *self, WaError *err)
{
	const WaTarget *target = self->target;
	const WaBackup *best = NULL;
	bool		best_sound = false;

	for (size_t i = 0; i < self->catalogue->backups_count; i++)
	{
		const WaBackup *backup = &self->catalogue->backups[i];
		bool		sound = wa_backup_sound(self->catalogue, backup);

		if (!serves(self, backup) ||
			(target->backup != NULL &&
			 strcmp(target->backup, backup->id) != 0) ||
			(best_sound && !sound))
			continue;
		/* in order of their starts */
		best = backup;
		best_sound = sound;
	}
	self->choice->backup = best;
	self->choice->sound = best_sound;
	if (best == NULL)
		return no_backup(self, err);
	if (target->backup == NULL)
		self->choice->passed_over =
			newest_unusable(self, best, self->choice->passed_reason);
	return WA_OK;
}

/* ---- the WAL ---------------------------------------------------------------- */

typedef struct Proof
{
	const Choosing *self;
	uint64_t	segments;
} Proof;

static WaCode
prove_segment(void *arg, const WaSegmentRow *row, WaError *err)
{
	Proof	   *proof = arg;

	proof->segments++;
	if (row->code != WA_OK)
		return wa_fail(err, WA_HOLE, "WAL on the way cannot be used: %s",
					   row->error->message);
	if (row->envelope->damage[0] != '\0')
		return wa_fail(err, WA_HOLE, "WAL on the way cannot be used: \"%s\" "
					   "was damaged when it was archived: %s", row->name,
					   row->envelope->damage);
	if (row->joint == WA_JOINT_BROKEN)
		return wa_fail(err, WA_HOLE, "WAL on the way cannot be used: \"%s\" "
					   "does not follow the segment before it: %s", row->name,
					   row->joint_reason);
	return WA_OK;
}

static WaCode
prove_row(Choosing *self, WaPlace from, WaPlace to, WaError *err)
{
	Proof		proof = {.self = self};

	for (size_t i = 0; i < self->lineage.count; i++)
	{
		const WaStretch *stretch = &self->lineage.stretches[i];
		const WaTimeline *timeline = wa_catalogue_timeline(self->catalogue,
														   stretch->tli);
		uint64_t	first = stretch->first > from.segno ? stretch->first :
			from.segno;
		uint64_t	last = stretch->last < to.segno ? stretch->last : to.segno;

		if (timeline != NULL && first <= last &&
			wa_segments_each(self->store, self->catalogue, timeline, first,
							 last, prove_segment, &proof, err) != WA_OK)
			return err->code;
	}
	self->choice->segments = proof.segments;
	return WA_OK;
}

/* Is there WAL of the lineage behind a place? */
static bool
goes_on_behind(const Choosing *self, WaPlace place)
{
	for (size_t i = 0; i < self->lineage.count; i++)
	{
		const WaStretch *stretch = &self->lineage.stretches[i];
		const WaTimeline *timeline = wa_catalogue_timeline(self->catalogue,
														   stretch->tli);

		for (size_t j = 0; timeline != NULL && j < timeline->ranges_count; j++)
			if (timeline->ranges[j].last > place.segno &&
				stretch->last > place.segno &&
				timeline->ranges[j].first <= stretch->last)
				return true;
	}
	return false;
}

static WaCode
fail_hole(const Choosing *self, WaPlace reached, WaError *err)
{
	WaPlace		missing = reached;
	char		name[WA_WALNAME_BYTES];
	WaStat		stat;
	WaEnvelope	envelope;
	WaError		ignored;

	(void) wa_lineage_next(&self->lineage, &missing);
	wa_fail(err, WA_HOLE, "WAL is missing on the way from backup %s to the "
			"target: \"%s\"", self->choice->backup->id,
			segment_of(self, missing, name));
	if (wa_segment_envelope(self->store, &self->catalogue->marker, reached,
							&stat, &envelope, &ignored) == WA_OK &&
		envelope.scanned)
		wa_hint(err, "With that backup the latest point that can be reached is "
				WA_LSN_FORMAT ": --target-lsn.",
				WA_LSN_ARGS(envelope.scan.last_lsn));
	return err->code;
}

/* All from the start of the backup to the target, or to the end. */
static WaCode
prove(Choosing *self, WaError *err)
{
	WaChoice   *choice = self->choice;
	const WaBackup *backup = choice->backup;
	WaTargetKind kind = self->target->kind;
	WaPlace		from = wa_backup_start(backup);
	WaPlace		reached;
	WaStat		stat;
	WaEnvelope	envelope;

	(void) place_of(self, backup->start_segno, &from);
	if (!wa_lineage_reach(self->catalogue, &self->lineage, from, &reached))
		return fail_hole(self, from, err);
	if (kind == WA_TARGET_IMMEDIATE)
		(void) place_of(self, backup->stop_segno, &self->place);
	if (kind == WA_TARGET_LATEST)
		self->place = reached;
	if (reached.segno < self->place.segno ||
		(kind == WA_TARGET_LATEST && goes_on_behind(self, reached)))
		return fail_hole(self, reached, err);
	choice->until = self->place;
	if (prove_row(self, from, self->place, err) != WA_OK ||
		wa_segment_envelope(self->store, &self->catalogue->marker,
							self->place, &stat, &envelope, err) != WA_OK)
		return err->code;
	if (envelope.scanned)
		choice->latest_lsn = envelope.scan.end_lsn;
	if (kind == WA_TARGET_LSN && choice->latest_lsn != 0 &&
		reached.segno == self->place.segno &&
		self->target->lsn > envelope.scan.last_lsn)
	{
		wa_fail(err, WA_NOT_FOUND, WA_LSN_FORMAT " lies behind the last record "
				"in the archive, at " WA_LSN_FORMAT,
				WA_LSN_ARGS(self->target->lsn),
				WA_LSN_ARGS(envelope.scan.last_lsn));
		wa_hint(err, "A recovery to there would fail at its end. Use --latest "
				"for all that there is.");
		return err->code;
	}
	return WA_OK;
}

/* The last commit in what will be replayed, for people. */
static WaCode
find_latest(Choosing *self, WaError *err)
{
	WaPlace		at = self->choice->until;
	uint64_t	from = self->choice->backup->start_segno;

	do
	{
		WaStat		stat;
		WaEnvelope	envelope;

		if (wa_segment_envelope(self->store, &self->catalogue->marker, at,
								&stat, &envelope, err) != WA_OK)
			return err->code;
		if (envelope.scanned && envelope.scan.transactions > 0)
		{
			self->choice->latest_known = true;
			self->choice->latest_us = envelope.scan.latest_us;
			return WA_OK;
		}
	} while (at.segno > from &&
			 wa_lineage_previous(&self->lineage, &at));
	return WA_OK;
}

WaCode
wa_choose(WaStore *store, const WaCatalogue *catalogue,
		  const WaTarget *target, WaChoice *choice, WaError *err)
{
	Choosing	self = {
		.store = store,
		.catalogue = catalogue,
		.target = target,
		.choice = choice
	};
	PointSearch search = {0};
	WaCode		code;

	memset(choice, 0, sizeof(*choice));
	code = find_timeline(&self, err);
	if (code == WA_OK && target->kind == WA_TARGET_TIME)
		code = locate_time(&self, err);
	if (code == WA_OK && target->kind == WA_TARGET_LSN)
		code = locate_lsn(&self, err);
	if (code == WA_OK && target->kind == WA_TARGET_NAME)
		code = locate_name(&self, &search, err);
	if (code == WA_OK && target->kind == WA_TARGET_XID)
		code = locate_xid(&self, err);
	if (code == WA_OK)
		code = find_backup(&self, err);
	/* recovery stops at the first of that name */
	if (code == WA_OK && search.before_lsn > choice->backup->history.start_lsn)
	{
		code = wa_fail(err, WA_INVALID, "there are several restore points "
					   "\"%s\" behind backup %s", target->name,
					   choice->backup->id);
		wa_hint(err, "Recovery would stop at the first of them. The last is "
				"at " WA_LSN_FORMAT ": --target-lsn.",
				WA_LSN_ARGS(search.point.lsn));
	}
	if (code == WA_OK)
		code = prove(&self, err);
	if (code == WA_OK && target->kind == WA_TARGET_LATEST)
		code = find_latest(&self, err);
	wa_times_free(&self.times);
	wa_lineage_free(&self.lineage);
	return code;
}
