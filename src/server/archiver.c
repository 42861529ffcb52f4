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
#include "archive/lookahead.h"
#include "common/file_perm.h"
#include "miscadmin.h"
#include "server/autoprune.h"
#include "server/clock.h"
#include "server/compat.h"
#include "server/report.h"
#include "server/settings.h"
#include "server/status.h"
#include "server/token.h"
#include "storage/latch.h"
#include "utils/timestamp.h"

#define WAIT_MS		100			/* longest time without serving interrupts */
#define PATIENCE_MS	1000		/* with workers whose work is not wanted */

_Static_assert(WA_SUSPECTS_MAX == WA_STATUS_SUSPECTS_MAX &&
			   WA_KEY_BYTES == WA_STATUS_KEY_BYTES,
			   "the status file holds what an archive lists");

/* What the workers are to be like; compared when a file comes. */
typedef struct Setup
{
	char		archive[WA_ARCHIVE_PATH_BYTES];
	int			workers;
} Setup;

static WaArchive *archive = NULL;
static WaLookahead *ahead = NULL;	/* with the workers; of that archive */
static Setup setup;
static WaStatus status;
static bool started = false;
static TimestampTz settings_checked_at = 0;
static bool latch_was_set = false;	/* by somebody, and reset by us */

/* Called by workers, too: no PostgreSQL in here. */
static uint64_t
monotonic_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t) now.tv_sec * 1000000 + (uint64_t) now.tv_nsec / 1000;
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
		if (!walarch_random_text(status.token, WA_TOKEN_BYTES - 1))
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

/* What the next archive, or the next archiver, is to know. */
static void
note_suspects(void)
{
	WaSuspects	suspects = {0};

	if (archive == NULL)
		return;
	wa_archive_list_suspects(archive, &suspects);
	status.suspects_count = suspects.count;
	memcpy(status.suspect_keys, suspects.keys, sizeof(status.suspect_keys));
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
	if (ahead != NULL && memcmp(&wanted, &setup, sizeof(setup)) == 0)
		return true;

	/* what hangs there keeps what it needs and nothing else */
	wa_lookahead_close(ahead, PATIENCE_MS);
	ahead = NULL;
	if (archive == NULL || strcmp(wanted.archive, setup.archive) != 0)
	{
		note_suspects();
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

		/* also those of another archive: we may come back to it */
		config.suspects.count = status.suspects_count;
		memcpy(config.suspects.keys, status.suspect_keys,
			   sizeof(config.suspects.keys));
		if (!new_tokens(&config, err))
			return false;
		if (!walarch_random_text(config.new_archive_id, WA_ARCHIVE_ID_TEXT_BYTES - 1))
		{
			wa_fail(err, WA_IO, "could not generate a random number");
			return false;
		}
		archive = wa_archive_open(&config);
	}
	if (archive != NULL)
		ahead = wa_lookahead_open(archive, wanted.workers);
	if (ahead == NULL)
	{
		wa_fail(err, WA_NO_MEMORY, "could not set up workers");
		return false;
	}
	setup = wanted;
	return true;
}

/* Wait for the answer, serving interrupts. */
static void
wait_for_answer(void)
{
	while (!wa_lookahead_answered(ahead, monotonic_us() / 1000,
								  (uint64_t) walarch_timeout))
	{
		int			events;

		events = WaitLatchOrSocket(MyLatch,
								   WL_LATCH_SET | WL_SOCKET_READABLE |
								   WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
								   wa_lookahead_event_fd(ahead), WAIT_MS,
								   walarch_wait_event());
		if (events & WL_LATCH_SET)
		{
			ResetLatch(MyLatch);
			latch_was_set = true;
		}
		if (events & WL_SOCKET_READABLE)
			wa_lookahead_drain_events(ahead);
		CHECK_FOR_INTERRUPTS();
	}
}

/*
 * Have the file archived.  On true *result is filled, otherwise *err.
 */
static bool
run_push(const char *file, const char *path, WaPushResult *result,
		 WaError *err)
{
	WaAheadRequest request = {
		.file = file,
		.path = path,
		.level = walarch_compression_level,
		.catchup_level = walarch_catchup_level,
		.archived_at_us = walarch_now_unix_us()
	};

	if (!start(err) || !set_up(err) ||
		wa_lookahead_ask(ahead, &request, err) != WA_OK)
		return false;
	PG_TRY();
	{
		wait_for_answer();
	}
	PG_CATCH();
	{
		wa_lookahead_give_up(ahead);
		PG_RE_THROW();
	}
	PG_END_TRY();
	return wa_lookahead_answer(ahead, result, err) == WA_OK;
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
	if (result->outcome == WA_PUSH_COMPLETED)
		ereport(LOG,
				(errmsg("the archive's copy of \"%s\" was incomplete and has "
						"been replaced by a longer one", file),
				 errdetail("The incomplete file is kept as \"%s/%s\".",
						   setup.archive, result->aside_key)));
	if (result->damage[0] != '\0' && result->torn)
		ereport(WARNING,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("\"%s\" was archived, but %s", file, result->damage),
				 errdetail("Either the file is damaged there, or this server "
						   "has received no more of it."),
				 errhint("Recovery ends at this place. Unless a longer copy "
						 "comes from another server, take a new base "
						 "backup.")));
	else if (result->damage[0] != '\0')
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
	if (result->outcome == WA_PUSH_REPLACED ||
		result->outcome == WA_PUSH_COMPLETED)
		status.replaced_count++;
	if (result->damage[0] != '\0')
	{
		status.damaged_source_count++;
		status.last_damaged_us = now;
		strlcpy(status.last_damaged_wal, file,
				sizeof(status.last_damaged_wal));
		strlcpy(status.last_damage, result->damage,
				sizeof(status.last_damage));
	}
	if (result->stored_bytes > 0)
	{
		/* the ratio is that of what was stored */
		status.compression_level = result->level;
		status.raw_bytes += result->raw_bytes;
		status.stored_bytes += result->stored_bytes;
	}
	status.read_us += result->read_us;
	status.compress_us += result->compress_us;
	status.store_us += result->store_us;
	status.consecutive_failures = 0;
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
count_failure(const char *file, const WaError *err)
{
	if (status.archived_count == 0)
		status.compression_level = walarch_compression_level;
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
	note_suspects();
	status.archiver_pid = MyProcPid;
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

	/* the archive may be another one when it is set again */
	if (ahead != NULL)
		wa_lookahead_forget(ahead);

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
		walarch_autoprune_look();
		archived = run_push(file, path, &result, &err);
		if (archived)
		{
			/* whoever sees it in the status finds it in the log */
			count_success(file, &result);
			tell(file, &result);
			publish();
			walarch_autoprune_begin(file, setup.archive);
		}
		else
		{
			count_failure(file, &err);
			walarch_report(WARNING, file, &err);
			publish();
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
	walarch_autoprune_end();
	wa_lookahead_close(ahead, PATIENCE_MS);
	ahead = NULL;
	note_suspects();
	wa_archive_close(archive);
	archive = NULL;
	if (started)
	{
		status.archiver_pid = 0;
		walarch_status_write(&status);
	}
}
