/*
 * sqlfuncs.c
 *	  The SQL functions.
 *
 * They run in backends, read local files, and never touch the archive, with
 * one exception: check_setup() looks at the directory from a thread, so that
 * a hung mount costs the asking session a time-out and nothing more.
 */
#include "postgres.h"

#include <dirent.h>
#include <sys/stat.h>
#include <time.h>

#include "access/htup_details.h"
#include "access/xlog.h"
#include "access/xlogarchive.h"
#include "archive/probe.h"
#include "core/walname.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "server/clock.h"
#include "server/compat.h"
#include "server/inquiry.h"
#include "server/row.h"
#include "server/settings.h"
#include "server/status.h"
#include "storage/fd.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(walarch_status);
PG_FUNCTION_INFO_V1(walarch_reset_status);
PG_FUNCTION_INFO_V1(walarch_check_setup);

#define BEHIND_AFTER_S		60
#define PROBE_TIMEOUT_MS	10000
#define FREE_SEGMENTS_MIN	64	/* less room than this is said to be little */

/* What waits in pg_wal/archive_status. */
typedef struct Backlog
{
	int64		files;
	int64		bytes;
	char		oldest[WA_WALNAME_BYTES];	/* next in PostgreSQL's order */
	TimestampTz oldest_since;	/* 0: none waits */
} Backlog;

static void
read_backlog(Backlog *backlog)
{
	char		path[MAXPGPATH];
	DIR		   *dir = AllocateDir(XLOGDIR "/archive_status");
	struct dirent *entry;
	WaWalName	oldest;
	struct stat st;

	memset(backlog, 0, sizeof(*backlog));
	memset(&oldest, 0, sizeof(oldest));
	while ((entry = ReadDir(dir, XLOGDIR "/archive_status")) != NULL)
	{
		WaWalName	name;

		if (!wa_walname_ready(entry->d_name, &name))
			continue;

		backlog->files++;
		if (name.kind == WA_KIND_SEGMENT || name.kind == WA_KIND_PARTIAL)
			backlog->bytes += wal_segment_size;
		else
		{
			snprintf(path, sizeof(path), XLOGDIR "/%s", name.text);
			if (stat(path, &st) == 0)
				backlog->bytes += st.st_size;
		}
		if (backlog->files == 1 || wa_walname_archived_before(&name, &oldest))
			oldest = name;
	}
	FreeDir(dir);
	if (backlog->files == 0)
		return;

	strlcpy(backlog->oldest, oldest.text, sizeof(backlog->oldest));
	snprintf(path, sizeof(path), XLOGDIR "/archive_status/%s.ready",
			 oldest.text);
	if (stat(path, &st) == 0)
		backlog->oldest_since = time_t_to_timestamptz(st.st_mtime);
	else
		backlog->oldest_since = GetCurrentTimestamp();	/* just archived */
}

/* Is this library the one the archiver uses, by whatever path? */
static bool
library_is_ours(void)
{
	const char *slash = XLogArchiveLibrary != NULL ?
		strrchr(XLogArchiveLibrary, '/') : NULL;
	const char *base = slash != NULL ? slash + 1 : XLogArchiveLibrary;

	return base != NULL &&
		(strcmp(base, "walarch") == 0 || strcmp(base, "walarch.so") == 0);
}

/* The one word for the state of archiving, and why. */
static const char *
judge_state(const WaStatus *status, const Backlog *backlog, char **detail)
{
	long		waiting_s = 0;

	if (backlog->files > 0)
		waiting_s = (long) ((GetCurrentTimestamp() - backlog->oldest_since) /
							USECS_PER_SEC);

	if (XLogArchiveMode == ARCHIVE_MODE_OFF)
	{
		*detail = "archive_mode is off";
		return "off";
	}
	if (!library_is_ours())
	{
		*detail = psprintf("archive_library is \"%s\", not \"walarch\"",
						   XLogArchiveLibrary != NULL ?
						   XLogArchiveLibrary : "");
		return "off";
	}
	if (RecoveryInProgress() && XLogArchiveMode != ARCHIVE_MODE_ALWAYS)
	{
		*detail = "a server in recovery archives only with archive_mode = always";
		return "off";
	}
	if (walarch_archive == NULL || walarch_archive[0] == '\0')
	{
		*detail = "walarch.archive is not set, WAL is kept in pg_wal";
		return "unconfigured";
	}
	if (status->consecutive_failures > 0)
	{
		*detail = psprintf("%s: %s", status->last_failed_wal,
						   status->last_error);
		return "failing";
	}
	if (waiting_s > BEHIND_AFTER_S)
	{
		*detail = psprintf("%lld files wait, the oldest for %ld s",
						   (long long) backlog->files, waiting_s);
		return "behind";
	}
	*detail = NULL;
	return "ok";
}

Datum
walarch_status(PG_FUNCTION_ARGS)
{
	TupleDesc	descriptor;
	WaStatus	status;
	Backlog		backlog;
	Row			row = {0};
	char	   *detail;
	char		configured[WA_ARCHIVE_PATH_BYTES];
	bool		damaged;
	bool		same_archive;

	if (get_call_result_type(fcinfo, NULL, &descriptor) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	(void) walarch_status_read(&status, &damaged);
	walarch_status_apply_baseline(&status);
	read_backlog(&backlog);
	same_archive = walarch_settings_archive(configured) &&
		strcmp(configured, status.archive) == 0;

	walarch_put_text(&row, judge_state(&status, &backlog, &detail));
	walarch_put_text(&row, damaged ? "the status file is damaged, counters are not "
			 "known" : detail);
	walarch_put_text(&row, walarch_archive);
	walarch_put_text(&row, same_archive ? status.archive_id : NULL);
	walarch_put_text(&row, status.last_archived_wal);
	walarch_put_time(&row, status.last_archived_us != 0, status.last_archived_us);
	walarch_put_int8(&row, status.archived_count);
	walarch_put_int8(&row, status.identical_count);
	walarch_put_int8(&row, status.conflict_count);
	walarch_put_int8(&row, status.replaced_count);
	walarch_put_int8(&row, status.damaged_source_count);
	walarch_put_int8(&row, status.failed_count);
	walarch_put_int8(&row, status.consecutive_failures);
	walarch_put_text(&row, status.last_failed_wal);
	walarch_put_time(&row, status.last_failed_us != 0, status.last_failed_us);
	walarch_put_text(&row, status.last_error);
	walarch_put_text(&row, status.last_error_sqlstate);
	walarch_put_text(&row, status.last_damaged_wal);
	walarch_put_time(&row, status.last_damaged_us != 0, status.last_damaged_us);
	walarch_put_text(&row, status.last_damage);
	walarch_put_int8(&row, backlog.files);
	walarch_put_int8(&row, backlog.bytes);
	walarch_put_text(&row, backlog.oldest);
	if (backlog.files > 0)
		walarch_put(&row, TimestampTzGetDatum(backlog.oldest_since));
	else
		walarch_put_null(&row);
	walarch_put_int8(&row, status.raw_bytes);
	walarch_put_int8(&row, status.stored_bytes);
	walarch_put_int8(&row, status.read_us / 1000);
	walarch_put_int8(&row, status.compress_us / 1000);
	walarch_put_int8(&row, status.store_us / 1000);
	walarch_put(&row, Int32GetDatum(status.compression_level));
	walarch_put(&row, Int32GetDatum(status.workers));
	if (same_archive && status.free_bytes_us != 0)
		walarch_put_int8(&row, status.free_bytes);
	else
		walarch_put_null(&row);
	walarch_put_time(&row, same_archive && status.free_bytes_us != 0,
					 status.free_bytes_us);
	walarch_put_time(&row, status.since_us != 0, status.since_us);

	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(descriptor),
													  row.values,
													  row.nulls)));
}

Datum
walarch_reset_status(PG_FUNCTION_ARGS)
{
	WaStatus	status;
	bool		damaged;

	if (!walarch_status_read(&status, &damaged))
		PG_RETURN_VOID();		/* nothing was counted yet */
	status.since_us = walarch_now_unix_us();
	walarch_status_write_baseline(&status);
	PG_RETURN_VOID();
}

/* check_setup: a look at the directory from a thread. */
typedef struct ProbeTask
{
	WaTask		task;
	char		path[WA_ARCHIVE_PATH_BYTES];
	uint64		system_identifier;
	uint32		segment_bytes;
	int64		now_us;
	WaProbe		probe;
} ProbeTask;

/* In a worker. */
static void
probe_run(WaTask *task, WaWorker *worker)
{
	ProbeTask  *self = (ProbeTask *) task;

	wa_probe(self->path, self->system_identifier, self->segment_bytes,
			 self->now_us, &worker->beat, &self->probe);
}

static void
probe_release(WaTask *task)
{
	free(task);
}

/* False: no answer in time, or no thread to ask; *err says which. */
static bool
probe_archive(const char *path, WaProbe *probe, WaError *err)
{
	ProbeTask  *task = calloc(1, sizeof(*task));

	if (task == NULL)
	{
		wa_fail(err, WA_NO_MEMORY, "out of memory");
		return false;
	}
	task->task.run = probe_run;
	task->task.release = probe_release;
	strlcpy(task->path, path, sizeof(task->path));
	task->system_identifier = GetSystemIdentifier();
	task->segment_bytes = (uint32) wal_segment_size;
	task->now_us = walarch_now_unix_us();
	if (!walarch_in_thread(&task->task, PROBE_TIMEOUT_MS, err))
	{
		if (err->code == WA_STUCK)
			wa_fail(err, WA_STUCK, "\"%s\" does not answer", path);
		return false;
	}
	*probe = task->probe;
	free(task);
	return true;
}

static void
check_row(ReturnSetInfo *result, const char *name, bool ok,
		  const char *detail, const char *hint)
{
	Row			row = {0};

	walarch_put_text(&row, name);
	walarch_put(&row, BoolGetDatum(ok));
	walarch_put_text(&row, detail);
	walarch_put_text(&row, ok ? NULL : hint);
	walarch_emit(result, &row);
}

static void
check_server(ReturnSetInfo *result)
{
	int			rejected;

	check_row(result, "archive_mode", XLogArchiveMode != ARCHIVE_MODE_OFF,
			  GetConfigOption("archive_mode", false, false),
			  "Set archive_mode = on and restart the server.");
	check_row(result, "wal_level", wal_level >= WAL_LEVEL_REPLICA,
			  GetConfigOption("wal_level", false, false),
			  "Set wal_level = replica and restart the server.");
	check_row(result, "archive_library", library_is_ours(),
			  XLogArchiveLibrary,
			  "Set archive_library = 'walarch' and reload.");
	check_row(result, "archive_command",
			  XLogArchiveCommand == NULL || XLogArchiveCommand[0] == '\0',
			  XLogArchiveCommand,
			  "Empty archive_command: from PostgreSQL 16 on the archiver does "
			  "not start while both it and archive_library are set.");
	rejected = walarch_settings_report_rejected(DEBUG1);
	check_row(result, "settings", rejected == 0,
			  rejected == 0 ? NULL :
			  psprintf("values of walarch.* in the configuration files that "
					   "are not valid and not used: %d", rejected),
			  "Look for the warnings in the server log after a reload, and "
			  "correct them.");
}

static void
check_directory(ReturnSetInfo *result)
{
	char		path[WA_ARCHIVE_PATH_BYTES];
	char		drills[WA_DRILLS_TEXT_BYTES];
	WaProbe		probe;
	WaError		err;
	bool		little;

	if (!walarch_settings_archive(path))
	{
		check_row(result, "archive", false, "walarch.archive is not set",
				  "Set walarch.archive to the absolute path of a directory "
				  "and reload.");
		return;
	}
	check_row(result, "archive", true, path, NULL);
	if (!probe_archive(path, &probe, &err))
	{
		check_row(result, "directory", false, err.message,
				  "Look at the storage of the archive: is it mounted, does it "
				  "answer?");
		return;
	}
	check_row(result, "directory", probe.reachable,
			  probe.reachable ? path : probe.error.message, probe.error.hint);
	if (!probe.reachable)
		return;
	check_row(result, "permissions", probe.writable,
			  probe.writable ? NULL :
			  psprintf("the server cannot write in \"%s\"", path),
			  "Make it owned by the operating system user of the server, "
			  "mode 0700, on a file system mounted read-write.");
	check_row(result, "marker", probe.ours || probe.empty,
			  probe.ours ? psprintf("archive id %s",
									probe.marker.archive_id) :
			  probe.empty ? "the directory is empty: the first archived file "
			  "makes it the archive" : probe.error.message,
			  probe.error.hint);
	if (wa_drills_text(&probe.drills, drills)[0] != '\0')
		check_row(result, "drill", wa_drills_fine(&probe.drills), drills,
				  "Read the last report in drills/ of the archive, and drill "
				  "again, at least each quarter: until then nobody knows whether the backups can be "
				  "restored.");
	if (!probe.free_bytes_known)
		return;
	little = probe.free_bytes < (uint64) wal_segment_size * FREE_SEGMENTS_MIN;
	check_row(result, "free_space", !little,
			  psprintf("%llu MB are free; less than %llu MB is called little",
					   (unsigned long long) (probe.free_bytes >> 20),
					   (unsigned long long) wal_segment_size *
					   FREE_SEGMENTS_MIN >> 20),
			  "Make room: when the archive is full, WAL stays in pg_wal until "
			  "that is full, too.");
}

static void
check_archiving(ReturnSetInfo *result)
{
	WaStatus	status;
	Backlog		backlog;
	bool		damaged;
	bool		late;

	(void) walarch_status_read(&status, &damaged);
	read_backlog(&backlog);
	late = backlog.files > 0 &&
		TimestampDifferenceExceeds(backlog.oldest_since,
								   GetCurrentTimestamp(),
								   BEHIND_AFTER_S * 1000);
	check_row(result, "backlog", !late,
			  psprintf("%lld files wait to be archived",
					   (long long) backlog.files),
			  "See walarch.status: if nothing fails, more walarch.workers or "
			  "a lower walarch.catchup_level make archiving faster.");
	check_row(result, "last_failure", status.consecutive_failures == 0,
			  status.consecutive_failures == 0 ? NULL :
			  psprintf("%s: %s", status.last_failed_wal, status.last_error),
			  "The server log has the same message with a hint; PostgreSQL "
			  "goes on trying.");
}

Datum
walarch_check_setup(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	check_server(result);
	check_directory(result);
	check_archiving(result);
	return (Datum) 0;
}
