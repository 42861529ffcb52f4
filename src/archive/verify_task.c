/*
 * verify_task.c
 *	  The look at one segment, or at the data of one base backup, in a worker.
 */
#include "archive/verify_task.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "archive/basefile.h"
#include "archive/bases.h"
#include "archive/identity.h"
#include "archive/layout.h"
#include "archive/object.h"
#include "core/sink_scan.h"

#define TRIES_MAX	5

/* What a worker keeps from segment to segment. */
typedef struct Bench
{
	WaStore    *store;
	WaZstd	   *zstd;
} Bench;

static void
bench_close(void *workspace)
{
	Bench	   *bench = workspace;

	wa_store_close(bench->store);
	wa_zstd_close(bench->zstd);
	free(bench);
}

/* Opened once, and proven to be the archive that was listed. */
static WaCode
open_bench(WaVerifyTask *self, WaWorker *worker, Bench **bench, WaError *err)
{
	WaStoreOptions options = {.beat = &worker->beat};
	WaMarker	marker;

	*bench = worker->workspace;
	if (*bench != NULL)
		return WA_OK;
	*bench = calloc(1, sizeof(Bench));
	if (*bench == NULL)
		return wa_fail(err, WA_NO_MEMORY, "out of memory");
	(*bench)->zstd = wa_zstd_open();
	if ((*bench)->zstd == NULL)
		wa_fail(err, WA_NO_MEMORY, "out of memory");
	else if (wa_store_dir_open(self->path, &options,
							   &(*bench)->store, err) == WA_OK &&
			 wa_identity_read((*bench)->store, self->path, &marker,
							  err) == WA_OK)
	{
		if (strcmp(marker.archive_id, self->marker.archive_id) == 0)
		{
			worker->workspace = *bench;
			worker->workspace_close = bench_close;
			return WA_OK;
		}
		wa_fail(err, WA_INVALID, "\"%s\" is another archive by now",
				self->path);
	}
	bench_close(*bench);
	return err->code;
}

static WaCode
read_whole(WaVerifyTask *self, Bench *bench, const char *key,
	   const WaWalName *name, WaError *err)
{
	WaScan	   *scan = wa_scan_open(name, self->marker.segment_bytes,
									self->envelope.wal_magic);
	WaScanSink	sink;
	WaCode		code;

	if (scan == NULL)
		return wa_fail(err, WA_NO_MEMORY, "out of memory");
	code = wa_object_read(bench->store, key, &self->stat, &self->envelope,
						  bench->zstd, wa_sink_scan(&sink, scan, NULL), err);
	if (code == WA_OK)
	{
		self->scan = *wa_scan_finish(scan);
		self->scanned = true;
	}
	wa_scan_close(scan);
	return code;
}

static WaCode
look(WaVerifyTask *self, WaWorker *worker, WaError *err)
{
	WaWalName	name;
	char		key[WA_KEY_BYTES];
	Bench	   *bench;

	wa_layout_segment(self->place.tli, self->place.segno,
					  self->marker.segment_bytes, &name, key);
	if (open_bench(self, worker, &bench, err) != WA_OK)
		return err->code;
	if (wa_segment_envelope(bench->store, &self->marker, self->place,
							&self->stat, &self->envelope, err) != WA_OK)
		return err->code;
	self->scanned = self->envelope.scanned;
	self->scan = self->envelope.scan;
	if (self->since_us != 0 &&
		self->envelope.archived_at_us < self->since_us)
		self->unpack = false;
	return self->unpack ? read_whole(self, bench, key, &name, err) : WA_OK;
}

/* ---- base backups ----------------------------------------------------------- */

/* Where its bytes end: they are counted, so that one sees it go on. */
typedef struct CountSink
{
	WaSink		sink;
	WaVerifyTask *task;
	const WaBaseFile *file;
	uint64_t	before;			/* stored bytes of the files before this one */
	uint64_t	raw_bytes;
} CountSink;

static WaCode
count_write(WaSink *sink, const void *data, size_t length, WaError *err)
{
	CountSink  *self = (CountSink *) sink;
	double		part;

	self->raw_bytes += length;
	part = (double) self->raw_bytes / (double) self->file->raw_bytes;
	atomic_store(&self->task->done_bytes, self->before +
				 (uint64_t) (part * (double) self->file->stored_bytes));
	return WA_OK;
}

static void
count_close(WaSink *sink)
{
	(void) sink;				/* the caller owns everything */
}

static const WaSinkOps count_ops = {
	.write = count_write,
	.finish = wa_sink_forward_finish,
	.close = count_close
};

static WaCode
look_at_base(WaVerifyTask *self, WaWorker *worker, WaError *err)
{
	WaBaseBackup backup;
	WaError		ignored;
	Bench	   *bench;
	uint64_t	before = 0;
	WaCode		code = WA_OK;

	self->raw_bytes = 0;
	if (open_bench(self, worker, &bench, err) != WA_OK ||
		wa_base_read(bench->store, self->base, &backup, err) != WA_OK)
		return err->code;
	for (size_t i = 0; i < backup.files_count && code == WA_OK; i++)
	{
		const WaBaseFile *file = &backup.files[i];
		CountSink	sink = {
			.sink.ops = &count_ops,
			.task = self,
			.file = file,
			.before = before
		};

		code = wa_basefile_read(bench->store, &backup, file, &sink.sink, err);
		before += file->stored_bytes;
		self->raw_bytes += sink.raw_bytes;
	}
	wa_base_free(&backup);
	/* a file that is gone is gone with the backup, or it is missing */
	if (code == WA_NOT_FOUND &&
		wa_base_read(bench->store, self->base, &backup, &ignored) == WA_OK)
	{
		wa_base_free(&backup);
		code = err->code = WA_DAMAGED;
	}
	return code;
}

/* ---- the task ---------------------------------------------------------------- */

static void
run(WaTask *task, WaWorker *worker)
{
	WaVerifyTask *self = (WaVerifyTask *) task;
	bool		unpack = self->unpack;

	/* an object that is just being replaced by a longer one is looked at anew */
	for (int tries = 0; tries == 0 ||
		 (self->code == WA_CHANGED && tries < TRIES_MAX); tries++)
	{
		self->unpack = unpack;
		self->code = self->base[0] != '\0' ?
			look_at_base(self, worker, &self->error) :
			look(self, worker, &self->error);
	}
}

static void
release(WaTask *task)
{
	free(task);
}

static WaVerifyTask *
new_task(const WaVerifyOptions *options, const WaMarker *marker)
{
	WaVerifyTask *self = calloc(1, sizeof(*self));

	if (self == NULL)
		return NULL;
	self->task.run = run;
	self->task.release = release;
	memccpy(self->path, options->path, '\0', sizeof(self->path) - 1);
	self->since_us = options->since_us;
	self->marker = *marker;
	return self;
}

WaVerifyTask *
wa_verify_task(const WaVerifyOptions *options, const WaMarker *marker,
			   WaPlace place, bool unpacked)
{
	WaVerifyTask *self = new_task(options, marker);

	if (self == NULL)
		return NULL;
	self->place = place;
	self->unpack = unpacked;
	return self;
}

WaVerifyTask *
wa_verify_base_task(const WaVerifyOptions *options, const WaMarker *marker,
					const char *id)
{
	WaVerifyTask *self = new_task(options, marker);

	if (self != NULL)
		snprintf(self->base, sizeof(self->base), "%s", id);
	return self;
}
