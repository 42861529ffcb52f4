/*
 * verify_task.c
 *	  The look at one segment, in a worker.
 */
#include "archive/verify_task.h"

#include <stdlib.h>
#include <string.h>

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
		self->code = look(self, worker, &self->error);
	}
}

static void
release(WaTask *task)
{
	free(task);
}

WaVerifyTask *
wa_verify_task(const WaVerifyOptions *options, const WaMarker *marker,
			   WaPlace place, bool unpacked)
{
	WaVerifyTask *self = calloc(1, sizeof(*self));

	if (self == NULL)
		return NULL;
	self->task.run = run;
	self->task.release = release;
	memccpy(self->path, options->path, '\0', sizeof(self->path) - 1);
	self->since_us = options->since_us;
	self->marker = *marker;
	self->place = place;
	self->unpack = unpacked;
	return self;
}
