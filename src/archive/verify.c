/*
 * verify.c
 *	  Is every byte of the archive what it should be?
 *
 * Workers look at segments, several at a time; their answers are judged in
 * order, so that each is compared with the one before it.
 */
#include "archive/verify_task.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "archive/layout.h"
#include "archive/object.h"
#include "archive/verify_small.h"
#include "core/lsn.h"

#define TASKS_PER_WORKER	4
#define TASKS_MAX			(TASKS_PER_WORKER * WA_POOL_WORKERS_MAX)
#define WAIT_MS				200

/* The chain at the end of the parent, for a child that goes on from there. */
typedef struct Fork
{
	uint32_t	child;
	uint32_t	parent;
	uint64_t	last_segno;		/* of the parent */
	bool		reached;
	WaChain		chain;
} Fork;

typedef struct Verify
{
	const WaVerifyOptions *options;
	const WaCatalogue *catalogue;
	WaVerifyProgress *progress;
	WaPool	   *pool;
	WaVerifyTask *tasks[TASKS_MAX]; /* a ring, in order */
	size_t		head;
	size_t		count;
	size_t		room;

	/* what comes next to be looked at */
	size_t		timeline;
	size_t		range;
	uint64_t	segno;
	bool		begun;
	size_t		backup;			/* after the segments */

	/* what was judged last */
	WaPlace		last;
	WaChain		chain;
	WaMoment	last_commit;
	Fork	   *forks;
	size_t		forks_count;
} Verify;

const char *
wa_severity_name(WaSeverity severity)
{
	switch (severity)
	{
		case WA_SEVERITY_NOTICE:
			return "notice";
		case WA_SEVERITY_WARNING:
			return "warning";
		default:
			return "error";
	}
}

/* ---- what comes next ------------------------------------------------------- */

static bool
behind(WaPlace place, WaPlace other)
{
	return place.tli != other.tli ? place.tli > other.tli :
		place.segno > other.segno;
}

/* The next segment in order of timelines and numbers; false: no more. */
static bool
next_place(Verify *self, WaPlace *place)
{
	const WaCatalogue *catalogue = self->catalogue;

	while (self->timeline < catalogue->timelines_count)
	{
		const WaTimeline *timeline = &catalogue->timelines[self->timeline];
		const WaRange *range = &timeline->ranges[self->range];

		if (self->range >= timeline->ranges_count ||
			(self->options->tli != 0 && self->options->tli != timeline->tli))
		{
			self->timeline++;
			self->range = 0;
			self->begun = false;
			continue;
		}
		if (!self->begun)
			self->segno = range->first;
		self->begun = true;
		if (self->segno > range->last)
		{
			self->range++;
			self->begun = false;
			continue;
		}
		place->tli = timeline->tli;
		place->segno = self->segno++;
		if (behind(*place, self->options->resume))
			return true;
	}
	return false;
}

/* Is all of the data of this backup to be read? */
static bool
reads_base(const WaVerifyOptions *options, const WaBackup *backup)
{
	int64_t		stop_us;

	if (!options->full || !backup->stored ||
		(options->sample_percent != 0 && options->sample_percent < 100) ||
		(options->tli != 0 && options->tli != backup->tli))
		return false;
	/* one whose files are not there as they should be was reported, or is now */
	return (backup->damage[0] == '\0' || options->resume.tli != 0) &&
		(options->since_us == 0 ||
		 !wa_backuphistory_time(backup->history.stop_time, &stop_us) ||
		 stop_us >= options->since_us);
}

static const WaBackup *
next_base(Verify *self)
{
	const WaCatalogue *catalogue = self->catalogue;

	while (self->backup < catalogue->backups_count)
	{
		const WaBackup *backup = &catalogue->backups[self->backup++];

		if (reads_base(self->options, backup))
			return backup;
	}
	return NULL;
}

/* A choice that is the same for the same seed, and spread evenly. */
static bool
in_sample(const WaVerifyOptions *options, WaPlace place)
{
	uint64_t	mixed = options->seed ^
		(place.segno + ((uint64_t) place.tli << 40));

	if (options->sample_percent == 0 || options->sample_percent >= 100)
		return true;
	/* the finalizer of splitmix64 */
	mixed = (mixed ^ mixed >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
	mixed = (mixed ^ mixed >> 27) * UINT64_C(0x94D049BB133111EB);
	mixed ^= mixed >> 31;
	return mixed % 100 < options->sample_percent;
}

static WaCode
submit_more(Verify *self, WaError *err)
{
	const WaMarker *marker = &self->catalogue->marker;
	const WaBackup *base = NULL;
	WaPlace		place;

	while (self->count < self->room &&
		   (next_place(self, &place) || (base = next_base(self)) != NULL))
	{
		WaVerifyTask *task = base != NULL ?
			wa_verify_base_task(self->options, marker, base->id) :
			wa_verify_task(self->options, marker, place,
						   self->options->full &&
						   in_sample(self->options, place));

		if (task == NULL)
			return wa_fail(err, WA_NO_MEMORY, "out of memory");
		if (wa_pool_submit(self->pool, &task->task, err) != WA_OK)
		{
			free(task);
			return err->code;
		}
		self->tasks[(self->head + self->count++) % TASKS_MAX] = task;
	}
	return WA_OK;
}

/* ---- what was found -------------------------------------------------------- */

/* What a segment that no recovery can pass means. */
static void
tell_consequence(Verify *self, WaPlace place, WaFinding *finding)
{
	WaGap		gap = {place.tli, place.segno, place.segno};
	size_t		affected = 0;
	const char *first = NULL;

	for (size_t i = 0; i < self->catalogue->backups_count; i++)
		if (wa_gap_affects(self->catalogue, &gap,
						   &self->catalogue->backups[i]))
		{
			affected++;
			if (first == NULL)
				first = self->catalogue->backups[i].id;
		}
	if (affected == 0)
		snprintf(finding->consequence, sizeof(finding->consequence),
				 "nothing after " WA_LSN_FORMAT " on timeline %" PRIu32
				 " can be recovered from a backup begun before it; none is "
				 "known to the archive",
				 WA_LSN_ARGS(place.segno *
							 self->catalogue->marker.segment_bytes),
				 place.tli);
	else
		snprintf(finding->consequence, sizeof(finding->consequence),
				 "nothing after " WA_LSN_FORMAT " on timeline %" PRIu32
				 " can be recovered from %zu backup%s begun before it, %s%s",
				 WA_LSN_ARGS(place.segno *
							 self->catalogue->marker.segment_bytes),
				 place.tli, affected, affected == 1 ? "" : "s", first,
				 affected == 1 ? "" : " the oldest");
}

static void
report(Verify *self, WaPlace place, WaSeverity severity, const char *finding,
	   const char *hint)
{
	WaFinding	row = {.severity = severity};
	WaWalName	name;

	wa_layout_segment(place.tli, place.segno,
					  self->catalogue->marker.segment_bytes, &name,
					  row.object);
	snprintf(row.finding, sizeof(row.finding), "%.*s",
			 (int) sizeof(row.finding) - 1, finding);
	snprintf(row.hint, sizeof(row.hint), "%s", hint);
	if (severity == WA_SEVERITY_ERROR)
		tell_consequence(self, place, &row);
	self->options->found(self->options->arg, &row);
}

static const char take_backup[] =
"look for another copy (a standby's pg_wal, a copy of the archive); without "
"one, take a new base backup";

/* Does anything of this timeline, or of a child of it, lie behind? */
static bool
goes_on_behind(const Verify *self, WaPlace place)
{
	const WaTimeline *timeline = wa_catalogue_timeline(self->catalogue,
													   place.tli);

	if (timeline != NULL && timeline->ranges_count > 0 &&
		timeline->ranges[timeline->ranges_count - 1].last > place.segno)
		return true;
	for (size_t i = 0; i < self->forks_count; i++)
		if (self->forks[i].parent == place.tli &&
			self->forks[i].last_segno >= place.segno)
			return true;
	return false;
}

static void
judge_scan(Verify *self, const WaVerifyTask *task)
{
	const WaScanResult *scan = &task->scan;
	char		text[WA_FINDING_TEXT_BYTES];

	if (task->envelope.damage[0] != '\0')
	{
		snprintf(text, sizeof(text), "it was damaged before it was archived: "
				 "%s", task->envelope.damage);
		report(self, task->place, WA_SEVERITY_ERROR, text, take_backup);
		return;
	}
	switch (scan->end)
	{
		case WA_SCAN_DAMAGED:
			snprintf(text, sizeof(text), "its WAL is damaged at "
					 WA_LSN_FORMAT ": %s", WA_LSN_ARGS(scan->stop_lsn),
					 scan->reason);
			report(self, task->place, WA_SEVERITY_ERROR, text, take_backup);
			break;
		case WA_SCAN_EARLY:
		case WA_SCAN_TORN:
			if (!wa_scan_ends_early(scan) ||
				!goes_on_behind(self, task->place))
				break;
			snprintf(text, sizeof(text), "its WAL ends at " WA_LSN_FORMAT
					 " although the timeline goes on behind it",
					 WA_LSN_ARGS(scan->stop_lsn));
			report(self, task->place, WA_SEVERITY_ERROR, text, take_backup);
			break;
		default:
			break;
	}
}

/* Does the segment go on where the one before it ended? */
static void
judge_joint(Verify *self, const WaVerifyTask *task)
{
	WaCrossed	crossed;
	char		text[WA_FINDING_TEXT_BYTES];
	bool		known_end = self->chain.begun && self->chain.stop_lsn != 0;

	if (wa_chain_add(&self->chain, &task->scan, &crossed) != WA_JOINT_BROKEN ||
		known_end)				/* said of the segment before */
		return;
	snprintf(text, sizeof(text), "it does not go on where the segment before "
			 "it ended: %s", self->chain.reason);
	report(self, task->place, WA_SEVERITY_ERROR, text,
		   "one of the two belongs to another history, or is damaged; take a "
		   "new base backup");
}

/* An envelope that tells something else than its file misleads listings. */
static void
judge_envelope(Verify *self, const WaVerifyTask *task)
{
	WaScanResult scan = task->scan;
	WaScanResult said = task->envelope.scan;

	if (!task->unpack || !task->envelope.scanned)
		return;
	memset(scan.reason, 0, sizeof(scan.reason));
	memset(said.reason, 0, sizeof(said.reason));
	if (memcmp(&scan, &said, sizeof(scan)) != 0)
		report(self, task->place, WA_SEVERITY_WARNING,
			   "its envelope does not tell what is in it",
			   "the segment itself is good; times and restore points shown of "
			   "it may be wrong");
}

static void
begin_chain(Verify *self, WaPlace place)
{
	wa_chain_begin(&self->chain);
	for (size_t i = 0; i < self->forks_count; i++)
		if (self->forks[i].child == place.tli &&
			self->forks[i].last_segno + 1 == place.segno &&
			self->forks[i].reached)
			self->chain = self->forks[i].chain;
}

static void
keep_chain(Verify *self, WaPlace place)
{
	for (size_t i = 0; i < self->forks_count; i++)
		if (self->forks[i].parent == place.tli &&
			self->forks[i].last_segno == place.segno)
		{
			self->forks[i].chain = self->chain;
			self->forks[i].reached = true;
		}
}

static void
judge_base(Verify *self, const WaVerifyTask *task)
{
	WaVerifyProgress *progress = self->progress;

	progress->done_bytes += atomic_load(&task->done_bytes);
	if (task->code == WA_NOT_FOUND)
		return;					/* let go of since the listing */
	progress->backups++;
	progress->backup_bytes += task->raw_bytes;
	if (task->code != WA_OK)
		wa_verify_report_base(self->options, task->base, task->error.message);
}

static void
judge(Verify *self, const WaVerifyTask *task)
{
	WaVerifyProgress *progress = self->progress;

	if (task->base[0] != '\0')
	{
		judge_base(self, task);
		return;
	}
	if (self->last.tli != task->place.tli ||
		self->last.segno + 1 != task->place.segno)
		begin_chain(self, task->place);
	self->last = task->place;
	progress->place = task->place;
	progress->segments++;
	progress->done_bytes += task->stat.bytes;

	if (task->code == WA_NOT_FOUND)
	{
		/* removed since the listing, lawfully: it was the oldest */
		wa_chain_begin(&self->chain);
		return;
	}
	if (task->code != WA_OK)
	{
		report(self, task->place, WA_SEVERITY_ERROR, task->error.message,
			   task->error.hint[0] != '\0' ? task->error.hint : take_backup);
		wa_chain_begin(&self->chain);
		return;
	}
	if (task->unpack)
	{
		progress->unpacked++;
		progress->raw_bytes += task->envelope.raw_bytes;
		progress->records += task->scan.records;
	}
	judge_scan(self, task);
	if (!task->scanned)
	{
		wa_chain_begin(&self->chain);
		return;
	}
	judge_joint(self, task);
	judge_envelope(self, task);
	keep_chain(self, task->place);
}

/* ---- the whole ------------------------------------------------------------- */

static void
report_gaps(Verify *self, const WaGap *gaps, size_t count)
{
	for (size_t i = 0; i < count; i++)
	{
		WaFinding	row = {.severity = WA_SEVERITY_NOTICE};
		WaPlace		place = {gaps[i].tli, gaps[i].first};
		char		last[WA_WALNAME_BYTES];

		if (self->options->tli != 0 && self->options->tli != gaps[i].tli)
			continue;
		for (size_t j = 0; j < self->catalogue->backups_count; j++)
			if (wa_gap_affects(self->catalogue, &gaps[i],
							   &self->catalogue->backups[j]))
				row.severity = WA_SEVERITY_ERROR;
		wa_segment_name(row.object, place.tli, gaps[i].first,
						self->catalogue->marker.segment_bytes);
		wa_segment_name(last, place.tli, gaps[i].last,
						self->catalogue->marker.segment_bytes);
		if (gaps[i].first == gaps[i].last)
			snprintf(row.finding, sizeof(row.finding), "it is missing");
		else
			snprintf(row.finding, sizeof(row.finding),
					 "%" PRIu64 " segments up to %s are missing",
					 gaps[i].last - gaps[i].first + 1, last);
		tell_consequence(self, place, &row);
		snprintf(row.hint, sizeof(row.hint), "%s",
				 row.severity == WA_SEVERITY_ERROR ? take_backup :
				 "nothing has to be done");
		self->options->found(self->options->arg, &row);
	}
}

static WaCode
find_gaps(Verify *self, WaError *err)
{
	WaGap	   *gaps;
	size_t		count;

	if (!wa_gaps_find(self->catalogue, &gaps, &count))
		return wa_fail(err, WA_NO_MEMORY, "out of memory");
	report_gaps(self, gaps, count);
	free(gaps);
	return WA_OK;
}

/* Where each timeline goes on from another. */
static WaCode
find_forks(Verify *self, WaError *err)
{
	const WaCatalogue *catalogue = self->catalogue;

	self->forks = calloc(catalogue->timelines_count + 1, sizeof(Fork));
	if (self->forks == NULL)
		return wa_fail(err, WA_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < catalogue->timelines_count; i++)
	{
		WaLineage	lineage;
		WaPlace		place;
		Fork	   *fork = &self->forks[self->forks_count];

		if (!wa_lineage_of(catalogue, &catalogue->timelines[i], &lineage))
			return wa_fail(err, WA_NO_MEMORY, "out of memory");
		place.tli = catalogue->timelines[i].tli;
		place.segno = lineage.stretches[lineage.count - 1].first;
		if (lineage.count > 1 && wa_lineage_previous(&lineage, &place))
		{
			fork->child = catalogue->timelines[i].tli;
			fork->parent = place.tli;
			fork->last_segno = place.segno;
			self->forks_count++;
		}
		wa_lineage_free(&lineage);
	}
	return WA_OK;
}

/* How far it is, with what is being read. */
static void
show(const Verify *self)
{
	WaVerifyProgress now = *self->progress;

	for (size_t i = 0; i < self->count; i++)
		now.done_bytes += atomic_load(
			&self->tasks[(self->head + i) % TASKS_MAX]->done_bytes);
	self->options->progress(self->options->arg, &now);
}

/* Wait for the oldest task; WA_STUCK when it makes no progress. */
static WaCode
await(Verify *self, WaVerifyTask *task, WaError *err)
{
	const WaVerifyOptions *options = self->options;
	struct pollfd event = {
		.fd = wa_pool_event_fd(self->pool),
		.events = POLLIN
	};

	for (;;)
	{
		wa_pool_drain_events(self->pool);
		switch (wa_pool_watch(self->pool, &task->task, options->now_ms(),
							  options->timeout_ms))
		{
			case WA_TASK_DONE:
				return WA_OK;
			case WA_TASK_STUCK:
				return wa_fail(err, WA_STUCK, "an operation on the archive "
							   "\"%s\" has not come back for %" PRIu64 " s",
							   options->path, options->timeout_ms / 1000);
			default:
				break;
		}
		if (options->stop(options->arg))
			return wa_fail(err, WA_CANCELLED, "interrupted");
		show(self);
		if (poll(&event, 1, WAIT_MS) < 0 && errno != EINTR)
			return wa_fail_errno(err, errno, "could not wait"); /* not reached: only EINTR */
	}
}

/* The way to the objects is lost, and nothing can be said of any of them. */
static bool
hopeless(WaCode code)
{
	return code == WA_NO_MEMORY || code == WA_NO_DIRECTORY ||
		code == WA_NO_MARKER || code == WA_INVALID || code == WA_CANCELLED;
}

static WaCode
verify_objects(Verify *self, WaError *err)
{
	WaCode		code = submit_more(self, err);

	while (code == WA_OK && self->count > 0)
	{
		WaVerifyTask *task = self->tasks[self->head];

		code = await(self, task, err);
		if (code != WA_OK)
			break;
		self->head = (self->head + 1) % TASKS_MAX;
		self->count--;
		if (hopeless(task->code))
		{
			*err = task->error;
			code = err->code;
		}
		else
			judge(self, task);
		free(task);
		show(self);
		if (code == WA_OK)
			code = submit_more(self, err);
	}
	while (self->count > 0)
	{
		WaVerifyTask *task = self->tasks[self->head];

		self->head = (self->head + 1) % TASKS_MAX;
		self->count--;
		if (!wa_pool_abandon(self->pool, &task->task))
			free(task);			/* it was done after all */
	}
	return code;
}

WaCode
wa_verify(const WaVerifyOptions *options, const WaCatalogue *catalogue,
		  WaVerifyProgress *progress, WaError *err)
{
	Verify		self = {
		.options = options,
		.catalogue = catalogue,
		.progress = progress,
		.room = (size_t) options->workers * TASKS_PER_WORKER
	};
	WaCode		code;

	memset(progress, 0, sizeof(*progress));
	progress->total_bytes = catalogue->stored_bytes;
	for (size_t i = 0; i < catalogue->backups_count; i++)
		if (reads_base(options, &catalogue->backups[i]))
			progress->total_bytes += catalogue->backups[i].stored_bytes;
	self.pool = wa_pool_open(options->workers);
	if (self.pool == NULL)
		return wa_fail(err, WA_NO_MEMORY, "out of memory");
	code = find_forks(&self, err);
	if (code == WA_OK && options->resume.tli == 0)
		code = wa_verify_small(options, catalogue, err);
	if (code == WA_OK && options->resume.tli == 0)
		code = find_gaps(&self, err);
	if (code == WA_OK)
		code = verify_objects(&self, err);
	wa_pool_close(self.pool, 0);
	free(self.forks);
	return code;
}
