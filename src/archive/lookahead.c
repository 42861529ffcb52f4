/*
 * lookahead.c
 *	  PostgreSQL asks for one file at a time; workers are ahead of it.
 *
 * The window holds consecutive segments of one timeline, the asked one first.
 */
#include "archive/lookahead.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "archive/ahead_task.h"

struct WaLookahead
{
	WaArchive  *archive;
	WaPool	   *pool;
	int			window_max;
	bool		proven;			/* the last answer was a success */
	bool		behind;			/* the window was full, and is more than half */
	int			count;
	WaAheadEntry *window[WA_AHEAD_MAX];
	WaAheadEntry *asked;			/* window[0], or a file that is no segment */
	WaAheadRun *run;			/* at most one */
	WaAheadEntry *leaving;		/* not wanted, but with the pool */
	bool		answered;
	WaCode		code;
	WaPushResult result;
	WaError		err;
};

WaLookahead *
wa_lookahead_open(WaArchive *archive, int workers)
{
	WaLookahead *ahead = calloc(1, sizeof(*ahead));

	if (ahead == NULL)
		return NULL;
	ahead->pool = wa_pool_open(workers);
	if (ahead->pool == NULL)
	{
		free(ahead);
		return NULL;
	}
	wa_archive_hold(archive);
	ahead->archive = archive;
	ahead->window_max = workers * WA_AHEAD_PER_WORKER;
	return ahead;
}

static void
leave(WaLookahead *ahead, WaAheadEntry *entry)
{
	entry->next = ahead->leaving;
	ahead->leaving = entry;
}

/* Have what was staged removed, by a worker. */
static void
discard(WaLookahead *ahead, WaAheadEntry *entry)
{
	WaError		ignored;

	entry->job = WA_AHEAD_DISCARD;
	if (entry->push != NULL &&
		wa_pool_submit_patient(ahead->pool, &entry->task, &ignored) == WA_OK)
	{
		entry->state = WA_AHEAD_WORKING;
		leave(ahead, entry);
	}
	else
		wa_ahead_entry_free(entry);
}

/* An entry that is in no list any more. */
static void
drop(WaLookahead *ahead, WaAheadEntry *entry)
{
	if (entry->state == WA_AHEAD_WORKING)
	{
		atomic_store(&entry->unwanted, true);
		leave(ahead, entry);
	}
	else
		discard(ahead, entry);
}

static void
hint_at_storage(WaError *err)
{
	wa_hint(err, "Look at the storage of the archive: a network file system "
			"that does not answer, a disk that hangs. PostgreSQL keeps the "
			"WAL and tries again.");
}

static void
shift_window(WaLookahead *ahead, int by)
{
	ahead->count -= by;
	memmove(ahead->window, ahead->window + by,
			sizeof(ahead->window[0]) * (size_t) ahead->count);
}

static void
drop_window(WaLookahead *ahead, int count)
{
	for (int i = 0; i < count; i++)
		drop(ahead, ahead->window[i]);
	shift_window(ahead, count);
}

/* What became of those that nobody wants. */
static void
look_after_leaving(WaLookahead *ahead, uint64_t now_ms, uint64_t timeout_ms)
{
	WaAheadEntry *left = ahead->leaving;

	ahead->leaving = NULL;
	while (left != NULL)
	{
		WaAheadEntry *entry = left;

		left = entry->next;
		switch (wa_pool_watch(ahead->pool, &entry->task, now_ms, timeout_ms))
		{
			case WA_TASK_DONE:
				discard(ahead, entry);
				break;
			case WA_TASK_STUCK:
				if (!wa_pool_abandon(ahead->pool, &entry->task))
					discard(ahead, entry);	/* not reached: done meanwhile */
				break;
			default:
				leave(ahead, entry);
		}
	}
}

/* What became of those ahead of the asked one. */
static void
look_after_window(WaLookahead *ahead, uint64_t now_ms, uint64_t timeout_ms)
{
	for (int i = 0; i < ahead->count; i++)
	{
		WaAheadEntry *entry = ahead->window[i];

		if (entry == ahead->asked || entry->state != WA_AHEAD_WORKING)
			continue;
		switch (wa_pool_watch(ahead->pool, &entry->task, now_ms, timeout_ms))
		{
			case WA_TASK_DONE:
				entry->state = entry->code == WA_OK ? WA_AHEAD_STAGED :
					WA_AHEAD_FAILED;
				break;
			case WA_TASK_STUCK:

				/* those behind it cannot come before it */
				for (int j = i + 1; j < ahead->count; j++)
					drop(ahead, ahead->window[j]);
				ahead->count = i;
				if (!wa_pool_abandon(ahead->pool, &entry->task))
					discard(ahead, entry);	/* not reached: done meanwhile */
				break;
			default:
				break;
		}
	}
}

/*
 * What was committed ahead is good for the next calls only.  After a failure
 * they may be long in coming, and the archive be another one by then.
 */
static void
forget_committed(WaLookahead *ahead)
{
	int			count = 0;

	while (count < ahead->count &&
		   ahead->window[count]->state == WA_AHEAD_COMMITTED)
		count++;
	drop_window(ahead, count);
}

/* The asked file is answered for, and no part of the window any more. */
static void
answer(WaLookahead *ahead, WaCode code, const WaPushResult *result,
	   const WaError *err)
{
	memset(&ahead->result, 0, sizeof(ahead->result));
	memset(&ahead->err, 0, sizeof(ahead->err));
	if (result != NULL)
		ahead->result = *result;
	if (err != NULL)
		ahead->err = *err;
	ahead->err.code = code;
	ahead->code = code;
	ahead->answered = true;
	ahead->proven = code == WA_OK;
	if (ahead->count > 0 && ahead->window[0] == ahead->asked)
		shift_window(ahead, 1);
	ahead->asked = NULL;
	if (code == WA_OK)
		wa_archive_take_news(ahead->archive, &ahead->result.visit);
	else
		forget_committed(ahead);

	/* what is staged must not take the room that this one needs */
	if (code == WA_NO_SPACE)
		drop_window(ahead, ahead->count);
}

/* The answer is that of its own task. */
static void
answer_entry(WaLookahead *ahead)
{
	WaAheadEntry *entry = ahead->asked;

	answer(ahead, entry->code, &entry->result, &entry->err);
	discard(ahead, entry);
}

/* Hand the asked file to the pool as a whole, before everything else. */
static void
submit_asked(WaLookahead *ahead)
{
	WaAheadEntry *entry = ahead->asked;

	entry->state = WA_AHEAD_WORKING;
	if (wa_pool_submit_first(ahead->pool, &entry->task, &entry->err) == WA_OK)
		return;
	entry->state = WA_AHEAD_FAILED;
	entry->code = entry->err.code;
	answer_entry(ahead);
}

/* What was staged of the asked file does not serve: from the beginning. */
static void
start_over(WaLookahead *ahead)
{
	WaAheadEntry *entry = ahead->asked;
	WaAheadEntry *whole;

	whole = wa_ahead_entry(ahead->archive, WA_AHEAD_WHOLE, entry->file,
						   entry->path, entry->archived_at_us);
	if (whole == NULL)
	{
		wa_fail(&entry->err, WA_NO_MEMORY, "out of memory archiving \"%s\"",
				entry->file);
		entry->code = WA_NO_MEMORY;
		answer_entry(ahead);
		return;
	}
	whole->level = entry->level;
	drop(ahead, entry);
	ahead->window[0] = whole;
	ahead->asked = whole;
	submit_asked(ahead);
}

/* Commit what is staged from the asked segment on, without a gap. */
static void
begin_run(WaLookahead *ahead)
{
	WaAheadEntry *entry = ahead->asked;
	WaAheadRun *run = wa_ahead_run(ahead->archive);

	if (run == NULL)
	{
		entry->code = wa_fail(&entry->err, WA_NO_MEMORY,
							  "out of memory archiving \"%s\"", entry->file);
		answer_entry(ahead);
		return;
	}
	while (run->count < ahead->count && run->count < WA_PUSH_RUN_MAX &&
		   ahead->window[run->count]->state == WA_AHEAD_STAGED)
	{
		run->entries[run->count] = ahead->window[run->count];
		run->count++;
	}
	if (wa_pool_submit_first(ahead->pool, &run->task, &entry->err) != WA_OK)
	{
		wa_ahead_run_free(run);
		entry->code = entry->err.code;
		answer_entry(ahead);
		return;
	}
	for (int i = 0; i < run->count; i++)
		run->entries[i]->state = WA_AHEAD_COMMITTING;
	ahead->run = run;
}

/*
 * The run is over.  Those behind the first that failed stay staged and
 * invisible, unless they became visible and an fsync failed.
 */
static void
end_run(WaLookahead *ahead)
{
	WaAheadRun *run = ahead->run;

	ahead->run = NULL;
	for (int i = 0; i < run->count; i++)
	{
		WaAheadEntry *entry = run->entries[i];

		entry->err = run->err;
		entry->code = i < run->done ? WA_OK : run->err.code;
		if (i < run->done)
		{
			entry->state = WA_AHEAD_COMMITTED;
			wa_push_close(entry->push);
			entry->push = NULL;
		}
		else if (i == run->done ||
				 wa_archive_suspects(ahead->archive, entry->result.key))
			entry->state = WA_AHEAD_FAILED;
		else
			entry->state = WA_AHEAD_STAGED;
	}
	wa_ahead_run_free(run);
}

/* The task of an entry is done, for better or worse. */
static void
end_work(WaAheadEntry *entry)
{
	if (entry->code != WA_OK)
		entry->state = WA_AHEAD_FAILED;
	else
		entry->state = entry->job == WA_AHEAD_STAGE ? WA_AHEAD_STAGED :
			WA_AHEAD_COMMITTED;
}

/*
 * Leave the asked file to whatever holds it.  False when it is done after
 * all.
 */
static bool
abandon_asked(WaLookahead *ahead)
{
	WaAheadEntry *entry = ahead->asked;
	WaAheadRun *run = ahead->run;
	int			gone = run != NULL ? run->count :
		ahead->count > 0 && ahead->window[0] == entry ? 1 : 0;

	/* from then on a worker may have freed it */
	if (!wa_pool_abandon(ahead->pool, run != NULL ? &run->task : &entry->task))
		return false;
	shift_window(ahead, gone);
	ahead->run = NULL;
	ahead->asked = NULL;
	return true;
}

void
wa_lookahead_give_up(WaLookahead *ahead)
{
	WaAheadEntry *entry = ahead->asked;

	if (entry == NULL)
		return;
	if (entry->state == WA_AHEAD_WORKING || entry->state == WA_AHEAD_COMMITTING)
	{
		if (abandon_asked(ahead))
			return;
		if (ahead->run != NULL)
			end_run(ahead);
		else
			end_work(entry);
	}
	ahead->asked = NULL;
	if (ahead->count == 0 || ahead->window[0] != entry)
		discard(ahead, entry);	/* no segment: it is in no window */
}

static void
answer_stuck(WaLookahead *ahead, uint64_t timeout_ms)
{
	WaError		err;

	wa_fail(&err, WA_STUCK, "an operation on the archive \"%s\" has made no "
			"progress for %" PRIu64 " ms",
			wa_archive_config(ahead->archive)->path, timeout_ms);
	hint_at_storage(&err);
	answer(ahead, WA_STUCK, NULL, &err);
}

/* What is to be done with the asked file, now that a task is done. */
static void
conclude(WaLookahead *ahead)
{
	WaAheadEntry *entry = ahead->asked;
	bool		ran = ahead->run != NULL;

	if (ran)
		end_run(ahead);
	else
		end_work(entry);
	if (entry->state == WA_AHEAD_FAILED && entry->job == WA_AHEAD_STAGE &&
		(!ran || entry->code == WA_CHANGED))
		start_over(ahead);		/* what was ahead of its time does not serve */
	else if (entry->state != WA_AHEAD_STAGED)
		answer_entry(ahead);
}

/* One step nearer to the answer; false when there is nothing but to wait. */
static bool
advance(WaLookahead *ahead, uint64_t now_ms, uint64_t timeout_ms)
{
	WaAheadEntry *entry = ahead->asked;
	WaTask	   *task = ahead->run != NULL ? &ahead->run->task : &entry->task;
	bool		hopeless;

	if (entry->state == WA_AHEAD_STAGED)
	{
		begin_run(ahead);
		return true;
	}
	if (entry->state == WA_AHEAD_COMMITTED)
	{
		answer_entry(ahead);
		return true;
	}
	switch (wa_pool_watch(ahead->pool, task, now_ms, timeout_ms))
	{
		case WA_TASK_DONE:
			conclude(ahead);
			return true;
		case WA_TASK_STUCK:
			hopeless = true;
			break;
		default:

			/* it may wait for its turn behind others that do not come back */
			hopeless = wa_pool_stuck(ahead->pool) >=
				wa_pool_threads(ahead->pool);
	}
	if (hopeless && abandon_asked(ahead))
		answer_stuck(ahead, timeout_ms);
	return hopeless;
}

bool
wa_lookahead_answered(WaLookahead *ahead, uint64_t now_ms,
					  uint64_t timeout_ms)
{
	look_after_leaving(ahead, now_ms, timeout_ms);
	look_after_window(ahead, now_ms, timeout_ms);
	while (!ahead->answered && advance(ahead, now_ms, timeout_ms))
		;
	return ahead->answered;
}

WaCode
wa_lookahead_answer(WaLookahead *ahead, WaPushResult *result, WaError *err)
{
	assert(ahead->answered);
	ahead->answered = false;
	*result = ahead->result;
	*err = ahead->err;
	return ahead->code;
}

static bool
segment_number(WaLookahead *ahead, const char *file, uint32_t *tli,
			   uint64_t *segno)
{
	WaWalName	name;
	WaError		ignored;

	if (wa_walname_parse(file, &name, &ignored) != WA_OK ||
		wa_walname_segno(&name, wa_archive_config(ahead->archive)->segment_bytes,
						 segno, &ignored) != WA_OK)
		return false;
	*tli = name.tli;
	return true;
}

/* Does the window begin with the segment that follows this one? */
static bool
window_follows(WaLookahead *ahead, const char *file)
{
	uint32_t	tli;
	uint32_t	first_tli;
	uint64_t	segno;
	uint64_t	first_segno;

	return ahead->count > 0 &&
		segment_number(ahead, file, &tli, &segno) &&
		segment_number(ahead, ahead->window[0]->file, &first_tli,
					   &first_segno) &&
		tli == first_tli && segno + 1 == first_segno;
}

/*
 * The window begins with the asked segment, if that is in it and worth
 * waiting for; what PostgreSQL has passed over is dropped, what follows an
 * asked one that is not in it (it failed before) stays.
 */
static WaAheadEntry *
find_asked(WaLookahead *ahead, const char *file)
{
	WaAheadEntry *entry = NULL;
	int			at = 0;

	if (window_follows(ahead, file))
		return NULL;
	while (at < ahead->count && strcmp(ahead->window[at]->file, file) != 0)
		at++;
	drop_window(ahead, at);
	if (ahead->count == 0)
		return NULL;
	entry = ahead->window[0];
	if (entry->state == WA_AHEAD_FAILED ||
		(entry->state == WA_AHEAD_COMMITTED &&
		 !wa_source_unchanged(entry->path, &entry->result.source, NULL)))
	{
		drop_window(ahead, 1);
		return NULL;
	}
	return entry;
}

/* Put an entry before all others; drops the last if there is no room. */
static void
prepend(WaLookahead *ahead, WaAheadEntry *entry)
{
	if (ahead->count == ahead->window_max)
		drop(ahead, ahead->window[--ahead->count]);
	memmove(ahead->window + 1, ahead->window,
			sizeof(ahead->window[0]) * (size_t) ahead->count);
	ahead->window[0] = entry;
	ahead->count++;
}

/*
 * Add the segments that follow the last of the window, as long as each is
 * due.  Whatever goes wrong here only means fewer of them.
 */
static void
extend(WaLookahead *ahead, const WaAheadRequest *request)
{
	uint32_t	segment_bytes =
		wa_archive_config(ahead->archive)->segment_bytes;
	const WaAheadEntry *last = ahead->window[ahead->count - 1];
	int			directory = (int) (strlen(request->path) -
								   strlen(request->file));
	uint32_t	tli;
	uint64_t	segno;

	if (directory < 0 || last->state == WA_AHEAD_FAILED ||
		!segment_number(ahead, last->file, &tli, &segno))
		return;
	while (ahead->count < ahead->window_max)
	{
		char		file[WA_WALNAME_BYTES];
		char		path[WA_ARCHIVE_PATH_BYTES];
		WaAheadEntry *entry;

		wa_segment_name(file, tli, ++segno, segment_bytes);
		snprintf(path, sizeof(path), "%.*s%s", directory, request->path, file);
		if (!wa_source_due(path, NULL))
			return;
		entry = wa_ahead_entry(ahead->archive, WA_AHEAD_STAGE, file, path,
							   request->archived_at_us);
		if (entry == NULL)
			return;
		ahead->window[ahead->count++] = entry;
	}
}

/* Hand out what is new, at the level that the length of the queue asks for. */
static void
submit_window(WaLookahead *ahead, const WaAheadRequest *request)
{
	if (ahead->count == ahead->window_max)
		ahead->behind = true;
	else if (ahead->count <= ahead->window_max / 2)
		ahead->behind = false;
	for (int i = 0; i < ahead->count; i++)
	{
		WaAheadEntry *entry = ahead->window[i];

		if (entry->state != WA_AHEAD_NEW)
			continue;
		entry->level = ahead->behind ? request->catchup_level :
			request->level;
		if (entry == ahead->asked)
		{
			submit_asked(ahead);
			if (ahead->answered)
				return;
		}
		else if (wa_pool_submit(ahead->pool, &entry->task,
								&entry->err) == WA_OK)
			entry->state = WA_AHEAD_WORKING;
		else
			entry->state = WA_AHEAD_FAILED; /* not reached: none is stuck */
	}
}

WaCode
wa_lookahead_ask(WaLookahead *ahead, const WaAheadRequest *request,
				 WaError *err)
{
	WaWalName	name;
	bool		segment;

	wa_lookahead_give_up(ahead);	/* a question nobody has waited for */
	ahead->answered = false;
	if (wa_pool_stuck(ahead->pool) > 0)
	{
		wa_fail(err, WA_STUCK, "an earlier operation on the archive \"%s\" "
				"has not come back", wa_archive_config(ahead->archive)->path);
		hint_at_storage(err);
		return err->code;
	}

	segment = wa_walname_parse(request->file, &name, err) == WA_OK &&
		name.kind == WA_KIND_SEGMENT;
	if (segment)
		ahead->asked = find_asked(ahead, request->file);
	if (ahead->asked == NULL)
	{
		ahead->asked = wa_ahead_entry(ahead->archive, WA_AHEAD_WHOLE,
									  request->file, request->path,
									  request->archived_at_us);
		if (ahead->asked == NULL)
			return wa_fail(err, WA_NO_MEMORY,
						   "out of memory archiving \"%s\"", request->file);
		if (segment)
			prepend(ahead, ahead->asked);
	}
	if (segment)
	{
		/* the first file of all shows whether the archive is any good */
		if (ahead->proven)
			extend(ahead, request);
		submit_window(ahead, request);
	}
	else
	{
		ahead->asked->level = request->level;
		submit_asked(ahead);
	}
	return WA_OK;
}

void
wa_lookahead_forget(WaLookahead *ahead)
{
	wa_lookahead_give_up(ahead);
	ahead->answered = false;
	drop_window(ahead, ahead->count);
}

int
wa_lookahead_event_fd(WaLookahead *ahead)
{
	return wa_pool_event_fd(ahead->pool);
}

void
wa_lookahead_drain_events(WaLookahead *ahead)
{
	wa_pool_drain_events(ahead->pool);
}

void
wa_lookahead_close(WaLookahead *ahead, int patience_ms)
{
	if (ahead == NULL)
		return;
	wa_lookahead_give_up(ahead);
	drop_window(ahead, ahead->count);
	while (ahead->leaving != NULL)
	{
		WaAheadEntry *entry = ahead->leaving;

		ahead->leaving = entry->next;
		if (!wa_pool_abandon(ahead->pool, &entry->task))
			discard(ahead, entry);
	}
	wa_pool_close(ahead->pool, patience_ms);
	wa_archive_close(ahead->archive);
	free(ahead);
}
