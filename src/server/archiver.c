/*
 * archiver.c
 *	  The archiver process: its workers, its counters, and the body of the
 *	  callbacks.
 *
 * The main thread does no I/O on the archive.  It hands the file to a
 * worker, waits on its latch, serves interrupts (DROP DATABASE waits for
 * every process to do so), and gives up on storage that does not move.
 */
#include "server/archiver.h"

#include <sys/stat.h>
#include <time.h>

#include "access/xlog.h"
#include "archive/pool.h"
#include "archive/push.h"
#include "common/file_perm.h"
#include "miscadmin.h"
#include "server/compat.h"
#include "server/report.h"
#include "server/settings.h"
#include "server/status.h"
#include "storage/latch.h"
#include "utils/timestamp.h"

#define WAIT_MS		100			/* longest time without serving interrupts */

/* What the workers are to be like; compared when a file comes. */
typedef struct Setup
{
	char		archive[WA_ARCHIVE_PATH_BYTES];
	int			workers;
} Setup;

static WaPool *pool = NULL;
static WaArchive *archive = NULL;
static Setup setup;
static WaStatus status;
static bool started = false;
static TimestampTz settings_checked_at = 0;
static bool latch_was_set = false;	/* by somebody, and reset by us */

/* One file on its way through a worker. */
typedef struct PushTask
{
	WaTask		task;			/* first: the pool knows only this */
	WaArchive  *archive;
	int			level;
	int64		archived_at_us;
	WaCode		code;
	WaPushResult result;
	WaError		err;
	char		file[WA_WALNAME_BYTES];
	char		path[MAXPGPATH];
} PushTask;

/*
 * The one being waited for.  When the postmaster dies, waiting ends in
 * proc_exit, and the shutdown callback must not wait for it.
 */
static PushTask *in_flight = NULL;

/* Called by workers, too: no PostgreSQL in here. */
static uint64_t
monotonic_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t) now.tv_sec * 1000000 + (uint64_t) now.tv_nsec / 1000;
}

/* In a worker. */
static void
push_run(WaTask *task, WaWorker *worker)
{
	PushTask   *self = (PushTask *) task;

	if (worker->workspace == NULL)
	{
		worker->workspace = wa_bench_open();
		worker->workspace_close = wa_bench_close;
	}
	if (worker->workspace == NULL)
		self->code = wa_fail(&self->err, WA_NO_MEMORY,
							 "out of memory archiving \"%s\"", self->file);
	else
		self->code = wa_push(self->archive, worker->workspace, &worker->beat,
							 self->level, self->file, self->path,
							 self->archived_at_us, &self->result,
							 &self->err);
}

/* In a worker that comes back late, or in the main thread. */
static void
push_release(WaTask *task)
{
	PushTask   *self = (PushTask *) task;

	wa_archive_close(self->archive);
	free(self);
}

static bool
random_text(char *text, size_t digits)
{
	unsigned char bytes[32];

	Assert(digits / 2 <= sizeof(bytes));
	if (!pg_strong_random(bytes, digits / 2))
		return false;
	for (size_t i = 0; i < digits / 2; i++)
		snprintf(text + 2 * i, 3, "%02x", bytes[i]);
	return true;
}

/* Once per process: take over the counters, take a token of our own. */
static bool
start(WaError *err)
{
	bool		damaged;

	if (started)
		return true;
	if (!walarch_status_read(&status, &damaged) && damaged)
		ereport(LOG,
				(errmsg("status file \"%s\" is damaged or of another version "
						"of walarch, its counters begin anew",
						WA_STATUS_FILE)));
	if (status.epoch == 0)
	{
		if (!pg_strong_random(&status.epoch, sizeof(status.epoch)))
			goto fail;
		status.epoch |= 1;
		status.since_us = walarch_now_unix_us();
	}

	/* the last archiver may have died before it had swept its predecessor's */
	if (status.unswept_token[0] == '\0')
		strlcpy(status.unswept_token, status.token,
				sizeof(status.unswept_token));
	started = true;
	return true;

fail:
	wa_fail(err, WA_IO, "could not generate a random number");
	return false;
}

/* The previous token, and a new one; on disk before its first use. */
static bool
new_tokens(WaArchiveConfig *config, WaError *err)
{
	static bool have_token = false;

	if (!have_token)
	{
		strlcpy(config->last_tokens[0], status.token,
				sizeof(config->last_tokens[0]));
		strlcpy(config->last_tokens[1], status.unswept_token,
				sizeof(config->last_tokens[1]));
		if (!random_text(status.token, WA_TOKEN_BYTES - 1))
		{
			wa_fail(err, WA_IO, "could not generate a random number");
			return false;
		}
		have_token = true;
		walarch_status_write(&status);
	}
	else
		strlcpy(config->last_tokens[1], status.unswept_token,
				sizeof(config->last_tokens[1]));
	strlcpy(config->token, status.token, sizeof(config->token));
	return true;
}

/* A pool and an archive as the settings want them now. */
static bool
set_up(WaError *err)
{
	Setup		wanted;
	WaArchiveConfig config;

	memset(&wanted, 0, sizeof(wanted));
	if (!walarch_settings_archive(wanted.archive))
	{
		wa_fail(err, WA_INVALID, "walarch.archive is not set");
		return false;
	}
	wanted.workers = walarch_workers;
	if (pool != NULL && memcmp(&wanted, &setup, sizeof(setup)) == 0)
		return true;

	/* what hangs in the old pool keeps what it needs and nothing else */
	wa_pool_close(pool);
	pool = NULL;
	if (archive == NULL || strcmp(wanted.archive, setup.archive) != 0)
	{
		wa_archive_close(archive);
		archive = NULL;

		memset(&config, 0, sizeof(config));
		strlcpy(config.path, wanted.archive, sizeof(config.path));
		config.system_identifier = GetSystemIdentifier();
		config.segment_bytes = (uint32_t) wal_segment_size;
		config.wal_magic = XLOG_PAGE_MAGIC;
		config.file_mode = pg_file_create_mode;
		config.dir_mode = pg_dir_create_mode;
		config.now_us = monotonic_us;
		if (strcmp(wanted.archive, status.archive) == 0)
			strlcpy(config.suspect_key, status.suspect_key,
					sizeof(config.suspect_key));
		if (!new_tokens(&config, err))
			return false;
		if (!random_text(config.new_archive_id, WA_ARCHIVE_ID_TEXT_BYTES - 1))
		{
			wa_fail(err, WA_IO, "could not generate a random number");
			return false;
		}
		archive = wa_archive_open(&config);
	}
	if (archive != NULL)
		pool = wa_pool_open(wanted.workers);
	if (pool == NULL)
	{
		wa_fail(err, WA_NO_MEMORY, "could not set up workers");
		return false;
	}
	setup = wanted;
	return true;
}

/* Wait until the worker is done or stuck. */
static WaTaskState
wait_for(PushTask *push)
{
	uint64_t	timeout_ms = (uint64_t) walarch_timeout;
	WaTaskState state;

	while ((state = wa_pool_watch(pool, &push->task, monotonic_us() / 1000,
								  timeout_ms)) == WA_TASK_RUNNING)
	{
		int			events;

		events = WaitLatchOrSocket(MyLatch,
								   WL_LATCH_SET | WL_SOCKET_READABLE |
								   WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
								   wa_pool_event_fd(pool), WAIT_MS,
								   walarch_wait_event());
		if (events & WL_LATCH_SET)
		{
			ResetLatch(MyLatch);
			latch_was_set = true;
		}
		if (events & WL_SOCKET_READABLE)
			wa_pool_drain_events(pool);
		CHECK_FOR_INTERRUPTS();
	}
	return state;
}

static void
give_up_in_flight(void)
{
	if (in_flight != NULL && !wa_pool_abandon(pool, &in_flight->task))
		push_release(&in_flight->task);
	in_flight = NULL;
}

/*
 * Have the file archived.  On true *result is filled, otherwise *err.
 */
static bool
run_push(const char *file, const char *path, WaPushResult *result,
		 WaError *err)
{
	PushTask   *push;
	WaCode		code;

	if (!start(err) || !set_up(err))
		return false;
	if (wa_pool_stuck(pool) > 0)
	{
		wa_fail(err, WA_STUCK,
				"an earlier operation on the archive \"%s\" has not come "
				"back", setup.archive);
		wa_hint(err, "Look at the storage of the archive: a network file "
				"system that does not answer, a disk that hangs. PostgreSQL "
				"keeps the WAL and tries again.");
		return false;
	}

	push = calloc(1, sizeof(*push));
	if (push == NULL)
	{
		wa_fail(err, WA_NO_MEMORY, "out of memory archiving \"%s\"", file);
		return false;
	}
	push->task.run = push_run;
	push->task.release = push_release;
	wa_archive_hold(archive);
	push->archive = archive;
	push->level = walarch_compression_level;
	push->archived_at_us = walarch_now_unix_us();
	strlcpy(push->file, file, sizeof(push->file));
	strlcpy(push->path, path, sizeof(push->path));
	if (wa_pool_submit(pool, &push->task, err) != WA_OK)
	{
		push_release(&push->task);
		return false;
	}

	in_flight = push;
	PG_TRY();
	{
		if (wait_for(push) == WA_TASK_STUCK &&
			wa_pool_abandon(pool, &push->task))
			push = NULL;
	}
	PG_CATCH();
	{
		give_up_in_flight();
		PG_RE_THROW();
	}
	PG_END_TRY();
	in_flight = NULL;

	if (push == NULL)
	{
		wa_fail(err, WA_STUCK,
				"an operation on the archive \"%s\" has made no progress for "
				"%d ms", setup.archive, walarch_timeout);
		wa_hint(err, "Look at the storage of the archive: a network file "
				"system that does not answer, a disk that hangs. PostgreSQL "
				"keeps the WAL and tries again.");
		return false;
	}
	code = push->code;
	*result = push->result;
	*err = push->err;
	push_release(&push->task);
	return code == WA_OK;
}

/* Things a DBA should find in the log although nothing failed. */
static void
tell(const char *file, const WaPushResult *result)
{
	if (result->visit.attached.created)
		ereport(LOG,
				(errmsg("directory \"%s\" is now the archive of this cluster, "
						"archive id %s", setup.archive,
						result->visit.attached.marker.archive_id)));
	else if (result->visit.attached.new_id)
		ereport(LOG,
				(errmsg("archive \"%s\" has a new archive id, %s",
						setup.archive, result->visit.attached.marker.archive_id),
				 errdetail("It has the system identifier of this cluster and "
						   "is accepted.")));
	if (result->visit.swept > 0)
		ereport(LOG,
				(errmsg("removed %llu abandoned temporary files from archive "
						"\"%s\"", (unsigned long long) result->visit.swept,
						setup.archive)));
	if (result->outcome == WA_PUSH_REPLACED)
		ereport(WARNING,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("the archive's copy of \"%s\" was damaged and has "
						"been replaced", file),
				 errdetail("The damaged file is kept as \"%s/%s\".",
						   setup.archive, result->aside_key),
				 errhint("Something damages files in the archive: look into "
						 "the kernel log of the machine that holds it.")));
	if (result->damage[0] != '\0')
		ereport(WARNING,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("\"%s\" was archived although it is damaged: %s",
						file, result->damage),
				 errhint("Recovery cannot pass this file: take a new base "
						 "backup, and look into the kernel log.")));
}

static void
count_success(const char *file, const WaPushResult *result)
{
	int64		now = walarch_now_unix_us();

	status.archived_count++;
	if (result->outcome == WA_PUSH_IDENTICAL)
		status.identical_count++;
	if (result->outcome == WA_PUSH_REPLACED)
		status.replaced_count++;
	if (result->damage[0] != '\0')
		status.damaged_source_count++;
	if (result->stored_bytes > 0)
	{
		/* the ratio is that of what was stored */
		status.raw_bytes += result->raw_bytes;
		status.stored_bytes += result->stored_bytes;
	}
	status.read_us += result->read_us;
	status.compress_us += result->compress_us;
	status.store_us += result->store_us;
	status.consecutive_failures = 0;
	if (strcmp(status.suspect_key, result->key) == 0)
		status.suspect_key[0] = '\0';
	status.last_archived_us = now;
	strlcpy(status.last_archived_wal, file, sizeof(status.last_archived_wal));
	strlcpy(status.archive_id, result->visit.attached.marker.archive_id,
			sizeof(status.archive_id));
	if (result->visit.free_bytes_known)
	{
		status.free_bytes = result->visit.free_bytes;
		status.free_bytes_us = now;
	}
	if (result->visit.sweep_done)
		status.unswept_token[0] = '\0';
}

static void
count_failure(const char *file, const WaPushResult *result,
			  const WaError *err)
{
	if (result->suspect_key[0] != '\0')
		strlcpy(status.suspect_key, result->suspect_key,
				sizeof(status.suspect_key));
	status.failed_count++;
	status.consecutive_failures++;
	if (err->code == WA_CONFLICT)
		status.conflict_count++;
	status.last_failed_us = walarch_now_unix_us();
	strlcpy(status.last_failed_wal, file, sizeof(status.last_failed_wal));
	strlcpy(status.last_error, err->message, sizeof(status.last_error));
	strlcpy(status.last_error_sqlstate,
			unpack_sql_state(walarch_sqlstate(err)),
			sizeof(status.last_error_sqlstate));
}

static void
publish(void)
{
	status.archiver_pid = MyProcPid;
	status.compression_level = walarch_compression_level;
	status.workers = walarch_workers;
	strlcpy(status.archive, setup.archive, sizeof(status.archive));
	walarch_status_write(&status);
}

/*
 * A bad value on reload would otherwise go unnoticed.  Never throws:
 * check_configured_cb runs outside of every handler.
 */
static void
check_settings(void)
{
	MemoryContext context = CurrentMemoryContext;

	if (settings_checked_at == PgReloadTime && settings_checked_at != 0)
		return;
	settings_checked_at = PgReloadTime;
	PG_TRY();
	{
		(void) walarch_settings_report_rejected(WARNING);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		EmitErrorReport();
		FlushErrorState();
	}
	PG_END_TRY();
}

bool
walarch_archiver_configured(void)
{
	if (walarch_archive != NULL && walarch_archive[0] != '\0')
		return true;

	/* perhaps it is set, to something that was not accepted */
	check_settings();
	return false;
}

bool
walarch_archiver_archive(const char *file, const char *path)
{
	MemoryContext context = CurrentMemoryContext;
	volatile bool archived = false;

	PG_TRY();
	{
		WaPushResult result;
		WaError		err;

		memset(&result, 0, sizeof(result));
		memset(&err, 0, sizeof(err));
		check_settings();
		archived = run_push(file, path, &result, &err);
		if (archived)
		{
			count_success(file, &result);
			publish();
			tell(file, &result);
		}
		else
		{
			count_failure(file, &result, &err);
			publish();
			walarch_report(WARNING, file, &err);
		}
	}
	PG_CATCH();
	{
		/* an ERROR would end the archiver of 15 and 16, uncounted */
		MemoryContextSwitchTo(context);
		EmitErrorReport();
		FlushErrorState();
		archived = false;
	}
	PG_END_TRY();

	/*
	 * If waiting has reset the latch, it had been set for the archiver's main
	 * loop, perhaps to shut down: without this that would sleep for a minute.
	 * Only then: after three failures it is to sleep.
	 */
	if (latch_was_set)
	{
		latch_was_set = false;
		SetLatch(MyLatch);
	}
	return archived;
}

void
walarch_archiver_shutdown(void)
{
	give_up_in_flight();
	wa_pool_close(pool);
	pool = NULL;
	wa_archive_close(archive);
	archive = NULL;
	if (started)
	{
		status.archiver_pid = 0;
		walarch_status_write(&status);
	}
}
