/*
 * drill_run.c
 *	  A drill: restore, recover, look, measure.
 */
#include "recovery/drill.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/progress.h"
#include "cli/text.h"
#include "core/lsn.h"
#include "recovery/hold.h"
#include "recovery/policy.h"
#include "recovery/process.h"

#define POLL_US			20000
#define ANSWER_MS		60000
#define OUTPUT_BYTES	400
#define PRIMARY_MS		10000
#define CONNECT_SECONDS	"10"

/* ---- what was not loaded ---------------------------------------------------- */

/* The value of the last such line of a file of ALTER SYSTEM, as it stands. */
static void
find_setting(const char *path, const char *name, char *value, size_t bytes)
{
	char		line[1000];
	FILE	   *from = fopen(path, "re");

	while (from != NULL && fgets(line, sizeof(line), from) != NULL)
	{
		size_t		length = strlen(name);

		if (strncmp(line, name, length) == 0 &&
			strncmp(line + length, " = ", 3) == 0)
			snprintf(value, bytes, "%.*s",
					 (int) strcspn(line + length + 3, "\r\n"),
					 line + length + 3);
	}
	if (from != NULL)
		fclose(from);
}

/* What the original server would have loaded, as far as its files tell. */
static void
ask_setting(const WaInstance *instance, const char *name, char *value,
			size_t bytes)
{
	char		path[PATH_MAX + 64];
	char		config[PATH_MAX + 64];
	const char *const argv[] = {
		"postgres", "-C", name, "-D", instance->data, "-c", config, NULL
	};
	char		output[OUTPUT_BYTES];
	int			status;
	WaError		ignored;

	value[0] = '\0';
	snprintf(config, sizeof(config), "config_file=%.3000s/postgresql.conf",
			 instance->data);
	if (access(config + strlen("config_file="), R_OK) == 0 &&
		wa_binaries_ask(instance->binaries, argv, ANSWER_MS, output,
						sizeof(output), &status, &ignored) == WA_OK &&
		status == 0)
	{
		/* warnings come before it */
		wa_program_line(output);
		snprintf(value, bytes, "%s", output);
	}
	snprintf(path, sizeof(path), "%.3000s/postgresql.auto.conf.original",
			 instance->data);
	find_setting(path, name, value, bytes);
	if (strcmp(value, "''") == 0)
		value[0] = '\0';
}

static void
note_preloads(WaDrill *drill, const WaInstance *instance)
{
	static const char *const names[] = {
		"shared_preload_libraries", "session_preload_libraries",
		"local_preload_libraries"
	};
	size_t		length = 0;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
	{
		char		value[200];

		ask_setting(instance, names[i], value, sizeof(value));
		if (value[0] != '\0' && length < sizeof(drill->preloads))
			length += (size_t) snprintf(drill->preloads + length,
										sizeof(drill->preloads) - length,
										"%s%s = %s", length > 0 ? "; " : "",
										names[i], value);
	}
}

/* ---- the parts -------------------------------------------------------------- */

static void
describe_target(const WaRestore *restore, WaDrill *drill)
{
	const WaTarget *target = &restore->target;
	char		time[WA_TIME_TEXT_BYTES];

	drill->latest = target->kind == WA_TARGET_LATEST;
	switch (target->kind)
	{
		case WA_TARGET_TIME:
			snprintf(drill->target, sizeof(drill->target), "%s",
					 wa_cli_time_text(target->time_us, true, time));
			break;
		case WA_TARGET_LSN:
			snprintf(drill->target, sizeof(drill->target), WA_LSN_FORMAT,
					 WA_LSN_ARGS(target->lsn));
			break;
		case WA_TARGET_NAME:
			snprintf(drill->target, sizeof(drill->target),
					 "restore point \"%.100s\"", target->name);
			break;
		case WA_TARGET_XID:
			snprintf(drill->target, sizeof(drill->target),
					 "transaction %" PRIu32, target->xid);
			break;
		case WA_TARGET_IMMEDIATE:
			snprintf(drill->target, sizeof(drill->target),
					 "the end of the backup");
			break;
		default:
			snprintf(drill->target, sizeof(drill->target),
					 "all that the archive has");
	}
}

/* What was chosen, and what the archive has. */
static void
note_choice(const WaRestore *restore, const WaRestoreView *view,
			WaDrill *drill)
{
	const WaRestorePlan *plan = &view->plan;
	const WaChoice *choice = &plan->choice;

	snprintf(drill->backup_id, sizeof(drill->backup_id), "%s",
			 choice->backup->id);
	snprintf(drill->backup_time, sizeof(drill->backup_time), "%s",
			 choice->backup->history.stop_time);
	describe_target(restore, drill);
	drill->server_version = wa_restore_backup(plan)->server_version;
	drill->tli = choice->tli;
	drill->segments = choice->segments;
	drill->raw_bytes = plan->raw_bytes;
	drill->archived_lsn = (choice->until.segno + 1) *
		view->catalogue.marker.segment_bytes;
	drill->record_lsn = choice->latest_lsn;
	drill->archived_known = choice->latest_known;
	drill->archived_us = choice->latest_us;
	wa_drill_check(drill, "choose", WA_CHECK_PASSED, "backup %s, %" PRIu64
				   " segments: all there", choice->backup->id,
				   choice->segments);
	if (choice->passed_over != NULL)
		wa_drill_check(drill, "newest", WA_CHECK_FAILED, "backup %s, which is "
					   "newer, cannot be restored: %s",
					   choice->passed_over->id, choice->passed_reason);
	if (!choice->sound)
		wa_drill_check(drill, "backup", WA_CHECK_FAILED, WA_BACKUP_CHECKSUMS);
}

/* Choose and copy, by the very code of walarch restore. */
static bool
restore_copy(const WaDrillWanted *wanted, const WaRestore *restore,
			 const WaBinaries *binaries, WaDrill *drill, char *hold)
{
	uint64_t	begun_ms = wa_cli_now_ms();
	WaRestoreView view;
	WaError		err;
	WaCode		code;

	if (wa_restore_look(restore, binaries, &view, &err) != WA_OK ||
		wa_restore_hold(restore, binaries, "drill", &view, hold, &err) != WA_OK)
	{
		wa_drill_check(drill, "choose", WA_CHECK_FAILED, "%s", err.message);
		return false;
	}
	drill->choose_ms = (int64_t) (wa_cli_now_ms() - begun_ms);
	note_choice(restore, &view, drill);
	begun_ms = wa_cli_now_ms();
	code = wa_restore_run(view.store, &view.catalogue, restore, &view.plan,
						  binaries, wa_restore_progress(wanted->talks), &view.plan, &err);
	wa_progress_wipe();
	drill->copy_ms = (int64_t) (wa_cli_now_ms() - begun_ms);
	if (code == WA_OK)
		wa_drill_check(drill, "copy", WA_CHECK_PASSED, "%s",
					   wa_binaries_have(binaries, "pg_verifybackup") ?
					   "checked by pg_verifybackup" :
					   "compared with its manifest");
	else
		wa_drill_check(drill, "copy", WA_CHECK_FAILED, "%s", err.message);
	wa_restore_view_free(&view);
	return code == WA_OK;
}

/* Start it, and wait until it has recovered and opened. */
static bool
recover(const WaDrillWanted *wanted, WaInstance *instance, WaDrill *drill)
{
	uint64_t	begun_ms = wa_cli_now_ms();
	int64_t		begun_us = wa_cli_now_us();
	WaInstanceTimes *times = &instance->times;
	WaError		err;
	WaCode		code;

	code = wa_instance_configure(instance, wanted->settings_count,
								 wanted->settings, &err);
	if (code == WA_OK)
		code = wa_instance_start(instance, &err);
	while (code == WA_OK && times->ready == 0)
	{
		code = wa_process_told(&err);
		if (code == WA_OK)
			code = wa_instance_look(instance, &err);
		if (code == WA_OK && times->ready == 0)
			usleep(POLL_US);
		if (code == WA_OK && times->ready == 0 &&
			(int64_t) (wa_cli_now_ms() - begun_ms) * 1000 >
			wanted->timeout_us)
			code = wa_fail(&err, WA_STUCK, "it has not opened in the time that "
						   "it was given");
	}
	if (code != WA_OK)
	{
		wa_drill_check(drill, "recovers", WA_CHECK_FAILED, "%s", err.message);
		return false;
	}
	/* the clock of the log is that of this machine */
	if (times->redo_done == 0)
		times->redo_done = times->ready;
	drill->replay_ms = times->redo_done - begun_us / 1000;
	drill->open_ms = times->ready - times->redo_done;
	if (times->consistent == 0)
		wa_drill_check(drill, "recovers", WA_CHECK_FAILED, "it opened, but did "
					   "not say that it was consistent");
	else
		wa_drill_check(drill, "recovers", WA_CHECK_PASSED,
					   "consistent after %.1f s, open after %.1f s",
					   (double) (times->consistent - begun_us / 1000) / 1000,
					   (double) (times->ready - begun_us / 1000) / 1000);
	return true;
}

/* How far did it come? */
static void
measure_point(WaInstance *instance, const char *dbname, WaDrill *drill)
{
	PGconn	   *connection;
	PGresult   *row;
	WaError		err;

	/* whoever cannot connect will be told so by the checks */
	if (wa_instance_connect(instance, dbname, &connection, &err) != WA_OK)
		return;
	/* the end of the timeline that was replayed: where the new one begins */
	if (wa_server_ask(connection, "SELECT pg_catalog.pg_last_wal_replay_lsn(), "
					  "(extract(epoch FROM pg_catalog."
					  "pg_last_xact_replay_timestamp()) * 1000000)::bigint",
					  ANSWER_MS, &row, &err) == WA_OK)
	{
		if (!wa_lsn_parse_whole(PQgetvalue(row, 0, 0), &drill->recovered_lsn))
			drill->recovered_lsn = 0;
		drill->commit_known = !PQgetisnull(row, 0, 1);
		drill->commit_us = strtoll(PQgetvalue(row, 0, 1), NULL, 10);
		PQclear(row);
	}
	if (drill->recovered_lsn == 0)
		wa_drill_check(drill, "recovery point", WA_CHECK_FAILED,
					   "the server does not say how far it has come");
	else if (drill->latest && drill->recovered_lsn < drill->record_lsn)
		wa_drill_check(drill, "recovery point", WA_CHECK_FAILED, "recovery "
					   "ended at " WA_LSN_FORMAT ", and the archive goes to "
					   WA_LSN_FORMAT, WA_LSN_ARGS(drill->recovered_lsn),
					   WA_LSN_ARGS(drill->record_lsn));
	PQfinish(connection);
}

/* ---- the primary ------------------------------------------------------------ */

typedef struct Primary
{
	uint64_t	system_identifier;
	uint32_t	tli;
} Primary;

/* Where the primary is, before the drill begins: what is behind is lost. */
static WaCode
ask_primary(const WaDrillWanted *wanted, WaDrill *drill, Primary *primary,
			WaError *err)
{
	const WaServer server = {
		.dbname = wanted->primary,
		.timeout = CONNECT_SECONDS
	};
	PGconn	   *connection;
	PGresult   *row;
	WaCode		code = wa_server_connect(&server, false, &connection, err);

	if (code != WA_OK)
		return code;
	code = wa_server_ask(connection, "SELECT CASE WHEN "
						 "pg_catalog.pg_is_in_recovery() "
						 "THEN pg_catalog.pg_last_wal_replay_lsn() "
						 "ELSE pg_catalog.pg_current_wal_lsn() END, "
						 "(SELECT system_identifier "
						 "FROM pg_catalog.pg_control_system()), "
						 "(SELECT timeline_id "
						 "FROM pg_catalog.pg_control_checkpoint())",
						 PRIMARY_MS, &row, err);
	if (code == WA_OK)
	{
		if (!wa_lsn_parse_whole(PQgetvalue(row, 0, 0), &drill->primary_lsn))
			drill->primary_lsn = 0;
		primary->system_identifier = strtoull(PQgetvalue(row, 0, 1), NULL, 10);
		primary->tli = (uint32_t) strtoul(PQgetvalue(row, 0, 2), NULL, 10);
		PQclear(row);
	}
	PQfinish(connection);
	return code;
}

/* Is it the primary of this archive, and is what it writes in there? */
static void
judge_primary(const WaDrillWanted *wanted, WaDrill *drill,
			  const Primary *primary)
{
	char		size[WA_SIZE_TEXT_BYTES];
	uint64_t	behind;
	WaError		err;

	if (wa_policy_same_cluster(drill->archive, primary->system_identifier,
							   &err) != WA_OK)
		wa_drill_check(drill, "primary", WA_CHECK_FAILED, "%s", err.message);
	else if (drill->latest && wanted->restore.target.tli == 0 &&
			 primary->tli != drill->tli)
		wa_drill_check(drill, "primary", WA_CHECK_FAILED, "it is on timeline %"
					   PRIu32 ", and the latest one in the archive is %"
					   PRIu32, primary->tli, drill->tli);
	else
		drill->primary_known = drill->latest && drill->primary_lsn != 0;
	if (!drill->primary_known || !wanted->behind_given)
		return;
	behind = drill->primary_lsn > drill->archived_lsn ?
		drill->primary_lsn - drill->archived_lsn : 0;
	wa_drill_check(drill, "max behind", behind > wanted->most_behind ?
				   WA_CHECK_FAILED : WA_CHECK_PASSED, "%s of WAL were not in "
				   "the archive", wa_text_of_size(behind, size));
}

/* ---- the whole -------------------------------------------------------------- */

/* It has recovered: is it any good? */
static void
look(const WaDrillWanted *wanted, WaInstance *instance, WaDrill *drill)
{
	WaDrillChecks checks = wanted->checks;
	WaError		err;

	checks.until_ms = wa_cli_now_ms() + (uint64_t) wanted->timeout_us / 1000;
	if (wa_instance_open(instance, checks.dbname, &err) != WA_OK)
	{
		wa_drill_check(drill, "opens", WA_CHECK_FAILED, "%s", err.message);
		return;
	}
	measure_point(instance, checks.dbname, drill);
	wa_drill_check_open(drill, instance, &checks);
	wa_instance_stop(instance, false);
	wa_drill_check_files(drill, instance, &checks);
}

void
wa_drill_run(const WaDrillWanted *wanted, const char *scratch,
			 const WaBinaries *binaries, WaDrill *drill)
{
	WaRestore	restore = wanted->restore;
	WaInstance	instance = {.binaries = binaries};
	Primary		primary = {0};
	bool		asked = false;
	char		spaces[PATH_MAX];
	char		hold[WA_PIN_NAME_BYTES] = "";
	WaError		err;

	snprintf(instance.place, sizeof(instance.place), "%.2000s", scratch);
	snprintf(instance.data, sizeof(instance.data), "%.2000s/data", scratch);
	snprintf(spaces, sizeof(spaces), "%.2000s/tablespaces", scratch);
	if (wanted->user != NULL)
		snprintf(instance.user, sizeof(instance.user), "%.63s", wanted->user);
	restore.directory = instance.data;
	restore.tablespaces = spaces;
	if (mkdir(spaces, 0700) != 0)
	{
		wa_drill_check(drill, "copy", WA_CHECK_FAILED, "could not create "
					   "\"%s\": %s", spaces, strerror(errno));
		return;
	}
	if (wanted->primary != NULL)
	{
		asked = ask_primary(wanted, drill, &primary, &err) == WA_OK;
		if (!asked)
			wa_drill_check(drill, "primary", WA_CHECK_FAILED, "%s",
						   err.message);
	}
	if (restore_copy(wanted, &restore, binaries, drill, hold))
	{
		instance.version = drill->server_version;
		note_preloads(drill, &instance);
		if (recover(wanted, &instance, drill))
			look(wanted, &instance, drill);
		wa_instance_stop(&instance, true);
		if (asked)
			judge_primary(wanted, drill, &primary);
	}
	wa_hold_end(restore.archive, hold);
}
