/*
 * ahead_task.c
 *	  What look-ahead hands to the pool: a file, or a run of staged ones.
 */
#include "archive/ahead_task.h"

#include <stdio.h>
#include <stdlib.h>

/* The buffers of a worker, made when first needed. */
static WaBench *
bench_of(WaWorker *worker)
{
	if (worker->workspace == NULL)
	{
		worker->workspace = wa_bench_open();
		worker->workspace_close = wa_bench_close;
	}
	return worker->workspace;
}

static WaCode
stage(WaAheadEntry *entry, WaBench *bench, WaWorker *worker)
{
	WaCode		code;

	if (atomic_load(&entry->unwanted))
		return wa_fail(&entry->err, WA_CANCELLED, "\"%s\" is not wanted",
					   entry->file);
	code = wa_push_open(entry->archive, bench, &worker->beat, entry->file,
						entry->path, entry->archived_at_us, &entry->result,
						&entry->push, &entry->err);
	if (code == WA_OK)
		code = wa_push_stage(entry->push, entry->level, &entry->err);
	if (code == WA_OK && atomic_load(&entry->unwanted))
		code = wa_fail(&entry->err, WA_CANCELLED, "\"%s\" is not wanted",
					   entry->file);
	if (code == WA_OK)
		wa_push_part(entry->push);
	else
	{
		wa_push_close(entry->push);
		entry->push = NULL;
	}
	return code;
}

static void
entry_run(WaTask *task, WaWorker *worker)
{
	WaAheadEntry *self = (WaAheadEntry *) task;
	WaBench    *bench;

	if (self->job == WA_AHEAD_DISCARD)
	{
		wa_push_discard(self->push, &worker->beat);
		self->push = NULL;
		return;
	}
	bench = bench_of(worker);
	if (bench == NULL)
		self->code = wa_fail(&self->err, WA_NO_MEMORY,
							 "out of memory archiving \"%s\"", self->file);
	else if (self->job == WA_AHEAD_WHOLE)
		self->code = wa_push(self->archive, bench, &worker->beat, self->level,
							 self->file, self->path, self->archived_at_us,
							 &self->result, &self->err);
	else
		self->code = stage(self, bench, worker);
}

static void
entry_release(WaTask *task)
{
	WaAheadEntry *self = (WaAheadEntry *) task;

	if (self->push != NULL)
		wa_push_discard(self->push, NULL);
	self->push = NULL;
	wa_ahead_entry_free(self);
}

WaAheadEntry *
wa_ahead_entry(WaArchive *archive, WaAheadJob job, const char *file,
			   const char *path, int64_t archived_at_us)
{
	WaAheadEntry *entry = calloc(1, sizeof(*entry));

	if (entry == NULL)
		return NULL;
	entry->task.run = entry_run;
	entry->task.release = entry_release;
	wa_archive_hold(archive);
	entry->archive = archive;
	entry->job = job;
	entry->archived_at_us = archived_at_us;
	atomic_init(&entry->unwanted, false);
	snprintf(entry->file, sizeof(entry->file), "%s", file);
	snprintf(entry->path, sizeof(entry->path), "%s", path);
	return entry;
}

void
wa_ahead_entry_free(WaAheadEntry *entry)
{
	wa_push_close(entry->push);
	wa_archive_close(entry->archive);
	free(entry);
}

static void
run_run(WaTask *task, WaWorker *worker)
{
	WaAheadRun *self = (WaAheadRun *) task;
	WaBench    *bench = bench_of(worker);
	WaPush	   *pushes[WA_PUSH_RUN_MAX];

	for (int i = 0; i < self->count; i++)
		pushes[i] = self->entries[i]->push;
	if (bench == NULL)
		wa_fail(&self->err, WA_NO_MEMORY, "out of memory archiving \"%s\"",
				self->entries[0]->file);
	else
		self->done = wa_push_commit_run(self->archive, bench, &worker->beat,
										pushes, self->count, &self->err);
}

static void
run_release(WaTask *task)
{
	WaAheadRun *self = (WaAheadRun *) task;

	for (int i = 0; i < self->count; i++)
		entry_release(&self->entries[i]->task);
	wa_ahead_run_free(self);
}

WaAheadRun *
wa_ahead_run(WaArchive *archive)
{
	WaAheadRun *run = calloc(1, sizeof(*run));

	if (run == NULL)
		return NULL;
	run->task.run = run_run;
	run->task.release = run_release;
	wa_archive_hold(archive);
	run->archive = archive;
	return run;
}

void
wa_ahead_run_free(WaAheadRun *run)
{
	wa_archive_close(run->archive);
	free(run);
}
