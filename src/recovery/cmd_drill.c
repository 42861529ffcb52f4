/*
 * cmd_drill.c
 *	  walarch drill: recover a copy, check it, and measure it.
 */
#include "recovery/recovery.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive/drills.h"
#include "cli/cli.h"
#include "cli/progress.h"
#include "cli/text.h"
#include "core/lsn.h"
#include "recovery/drill.h"
#include "recovery/hold.h"
#include "recovery/scratch.h"

static const char usage[] =
"walarch drill restores a backup into a scratch directory, recovers it there,\n"
"checks the database, and measures how long that took and how much would have\n"
"been lost. The server that it starts has no TCP port, archives nowhere, streams\n"
"from nowhere and loads no library; only the user who drills can connect.\n"
"\n"
"Usage:\n"
"  walarch drill --archive DIR --scratch DIR [TARGET] [--timeline TLI]\n"
"                [--backup ID] [--primary CONNSTR] [--check-sql FILE]...\n"
"                [--check-command PROGRAM]... [--dbname NAME] [--username NAME]\n"
"                [--setting NAME=VALUE]... [--preload LIBRARIES]\n"
"                [--timeout TIME] [--bindir DIR] [--keep] [--no-report]\n"
"                [--json] [--quiet]\n"
"\n"
"Options:\n"
"  --archive DIR            archive directory (or WALARCH_ARCHIVE)\n"
"  --scratch DIR            a directory with room for the cluster; what is made\n"
"                           below it is removed at the end\n"
"  --latest, --target-time TIME, --target-lsn LSN, --target-name NAME,\n"
"  --timeline TLI, --backup ID\n"
"                           what to recover to: as for walarch restore\n"
"  --primary CONNSTR        measure the recovery point against this server\n"
"  --check-sql FILE         run by psql, must not fail; as often as needed\n"
"  --check-command PROGRAM  path of a program, run with PGHOST, PGPORT, PGUSER\n"
"                           and PGDATABASE set, must exit with 0\n"
"  --dbname NAME            database for these checks (default: postgres)\n"
"  --username NAME          superuser of the cluster (default: PGUSER, postgres,\n"
"                           or the name of whoever drills)\n"
"  --setting NAME=VALUE     a setting of the server, such as shared_buffers=8GB\n"
"  --preload LIBRARIES      shared_preload_libraries, for a cluster that cannot\n"
"                           be read without\n"
"  --timeout TIME           give up after so long a recovery (default: 1d)\n"
"  --bindir DIR             where PostgreSQL's programs are (default: where\n"
"                           walarch is)\n"
"  --keep                   leave the scratch directory for a look\n"
"  --no-report              do not keep the report in the archive, in drills/\n"
"  --json                   the report as JSON instead of text\n"
"  --quiet                  print nothing but errors\n"
"  --help                   this text\n"
"\n"
"Exit status: 0 recovered, and every check passed or was skipped for want of its\n"
"program; 1 otherwise; 2 wrong usage.\n";

#define LIST_MAX		32
#define SETTING_BYTES	300
#define POLL_US			20000
#define TIMEOUT_US		(INT64_C(86400) * 1000000)

typedef struct Options
{
	WaRestore	restore;
	bool		target_given;
	WaDrillChecks checks;
	const char *sql[LIST_MAX];
	const char *commands[LIST_MAX];
	char		settings[LIST_MAX][SETTING_BYTES];
	size_t		settings_count;
	const char *scratch;
	const char *primary;
	const char *user;
	int64_t		timeout_us;
	const char *bindir;
	bool		keep;
	bool		no_report;
	bool		json;
	bool		quiet;
} Options;

/* ---- what was not loaded ---------------------------------------------------- */

/* The value of the last such line of a configuration file, as it stands. */
static void
find_setting(const char *directory, const char *file, const char *name,
			 char *value, size_t bytes)
{
	char		path[PATH_MAX];
	char		line[1000];
	FILE	   *from;

	snprintf(path, sizeof(path), "%.2000s/%s", directory, file);
	from = fopen(path, "re");
	while (from != NULL && fgets(line, sizeof(line), from) != NULL)
	{
		const char *at = line + strspn(line, " \t");
		size_t		length = strlen(name);

		if (strncasecmp(at, name, length) != 0)
			continue;
		at += length;
		at += strspn(at, " \t=");
		snprintf(value, bytes, "%.*s", (int) strcspn(at, "\r\n#"), at);
	}
	if (from != NULL)
		fclose(from);
}

static void
note_preloads(WaDrill *drill, const char *data)
{
	static const char *const names[] = {
		"shared_preload_libraries", "session_preload_libraries",
		"local_preload_libraries"
	};
	size_t		length = 0;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
	{
		char		value[200] = "";

		find_setting(data, "postgresql.conf", names[i], value, sizeof(value));
		find_setting(data, "postgresql.auto.conf.original", names[i], value,
					 sizeof(value));
		if (value[0] != '\0' && strncmp(value, "''", 2) != 0 &&
			length < sizeof(drill->preloads))
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

	if (target->kind == WA_TARGET_TIME)
		snprintf(drill->target, sizeof(drill->target), "%s",
				 wa_cli_time_text(target->time_us, true, time));
	else if (target->kind == WA_TARGET_LSN)
		snprintf(drill->target, sizeof(drill->target), WA_LSN_FORMAT,
				 WA_LSN_ARGS(target->lsn));
	else if (target->kind == WA_TARGET_NAME)
		snprintf(drill->target, sizeof(drill->target), "restore point \"%.100s\"",
				 target->name);
	else
		snprintf(drill->target, sizeof(drill->target),
				 "all that the archive has");
}

static void
show_progress(void *arg, uint64_t done_bytes)
{
	const WaRestorePlan *plan = arg;

	wa_progress_show(done_bytes, plan->raw_bytes);
}

static void
show_nothing(void *arg, uint64_t done_bytes)
{
}

/* Choose and copy, by the very code of walarch restore. */
static bool
restore_copy(const Options *options, const WaRestore *restore,
			 const WaBinaries *binaries, WaDrill *drill, char *hold)
{
	uint64_t	begun_ms = wa_cli_now_ms();
	WaCatalogue catalogue;
	WaStore    *store;
	WaRestorePlan plan;
	WaError		err;
	WaCode		code;

	if (wa_cli_catalogue(restore->archive, &store, &catalogue, &err) != WA_OK)
	{
		wa_drill_check(drill, "choose", WA_CHECK_FAILED, "%s", err.message);
		return false;
	}
	code = wa_restore_plan(store, &catalogue, restore, binaries, &plan, &err);
	if (code != WA_OK)
		wa_drill_check(drill, "choose", WA_CHECK_FAILED, "%s", err.message);
	else
	{
		const WaBackup *backup = plan.choice.backup;

		drill->choose_ms = (int64_t) (wa_cli_now_ms() - begun_ms);
		snprintf(drill->backup_id, sizeof(drill->backup_id), "%s", backup->id);
		snprintf(drill->backup_time, sizeof(drill->backup_time), "%s",
				 backup->history.stop_time);
		describe_target(restore, drill);
		drill->server_version = wa_restore_backup(&plan)->server_version;
		drill->tli = plan.choice.tli;
		drill->segments = plan.choice.segments;
		drill->raw_bytes = plan.raw_bytes;
		wa_drill_check(drill, "choose", WA_CHECK_PASSED, "backup %s, %" PRIu64
					   " segments: all there", backup->id,
					   plan.choice.segments);
		if (backup->checksum_failures)
			wa_drill_check(drill, "backup", WA_CHECK_FAILED,
						   WA_BACKUP_CHECKSUMS);
		wa_hold(restore->archive, "drill", wa_restore_backup(&plan), hold);
		begun_ms = wa_cli_now_ms();
		code = wa_restore_run(store, &catalogue, restore, &plan, binaries,
							  options->quiet || options->json ? show_nothing :
							  show_progress, &plan, &err);
		wa_progress_wipe();
		drill->copy_ms = (int64_t) (wa_cli_now_ms() - begun_ms);
		if (code == WA_OK)
			wa_drill_check(drill, "copy", WA_CHECK_PASSED, "%s",
						   wa_binaries_have(binaries, "pg_verifybackup") ?
						   "checked by pg_verifybackup" :
						   "the digests of its archives fit");
		else
			wa_drill_check(drill, "copy", WA_CHECK_FAILED, "%s", err.message);
	}
	wa_restore_plan_free(&plan);
	wa_catalogue_free(&catalogue);
	wa_store_close(store);
	return code == WA_OK;
}

/* Start it, and wait until it has recovered and opened. */
static bool
recover(const Options *options, WaInstance *instance, WaDrill *drill)
{
	const char *settings[LIST_MAX + 1] = {NULL};
	uint64_t	begun_ms = wa_cli_now_ms();
	int64_t		begun_us = wa_cli_now_us();
	WaInstanceTimes times = {0};
	WaError		err;
	WaCode		code;

	for (size_t i = 0; i < options->settings_count; i++)
		settings[i] = options->settings[i];
	code = wa_instance_configure(instance, settings, &err);
	if (code == WA_OK)
		code = wa_instance_start(instance, &err);
	while (code == WA_OK && times.ready == 0)
	{
		code = wa_instance_look(instance, &times, &err);
		if (code == WA_OK && times.ready == 0)
			usleep(POLL_US);
		if (code == WA_OK && times.ready == 0 &&
			(int64_t) (wa_cli_now_ms() - begun_ms) * 1000 >
			options->timeout_us)
			code = wa_fail(&err, WA_STUCK, "it has not opened in the time that "
						   "it was given");
	}
	if (code != WA_OK)
	{
		wa_drill_check(drill, "recovers", WA_CHECK_FAILED, "%s", err.message);
		return false;
	}
	/* the clock of the log is that of this machine */
	if (times.redo_done == 0)
		times.redo_done = times.ready;
	drill->replay_ms = times.redo_done - begun_us / 1000;
	drill->open_ms = times.ready - times.redo_done;
	if (times.consistent == 0)
		wa_drill_check(drill, "recovers", WA_CHECK_FAILED, "it opened, but did "
					   "not say that it was consistent");
	else
		wa_drill_check(drill, "recovers", WA_CHECK_PASSED,
					   "consistent after %.1f s, open after %.1f s",
					   (double) (times.consistent - begun_us / 1000) / 1000,
					   (double) (times.ready - begun_us / 1000) / 1000);
	return true;
}

/* How far did it come? */
static void
measure_point(WaInstance *instance, const WaDrillChecks *checks,
			  WaDrill *drill)
{
	PGconn	   *connection;
	PGresult   *result;
	WaError		err;

	if (wa_instance_connect(instance, checks->dbname, &connection,
							&err) != WA_OK)
		return;
	/* the end of the timeline that was replayed: where the new one begins */
	result = PQexec(connection, "SELECT pg_catalog.pg_last_wal_replay_lsn(), "
					"(extract(epoch FROM pg_catalog."
					"pg_last_xact_replay_timestamp()) * 1000000)::bigint");
	if (PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1)
	{
		if (!wa_lsn_parse_whole(PQgetvalue(result, 0, 0),
								&drill->recovered_lsn))
			drill->recovered_lsn = 0;
		drill->commit_known = !PQgetisnull(result, 0, 1);
		drill->commit_us = strtoll(PQgetvalue(result, 0, 1), NULL, 10);
	}
	PQclear(result);
	PQfinish(connection);
}

/* Where the primary is, before the drill begins: what is behind is lost. */
static void
ask_primary(const Options *options, WaDrill *drill)
{
	const WaServer server = {.dbname = options->primary};
	PGconn	   *connection;
	PGresult   *result;
	WaError		err;

	if (wa_server_connect(&server, false, &connection, &err) != WA_OK)
	{
		wa_drill_check(drill, "primary", WA_CHECK_FAILED, "%s", err.message);
		return;
	}
	result = PQexec(connection, "SELECT CASE WHEN pg_catalog.pg_is_in_recovery()"
					" THEN pg_catalog.pg_last_wal_replay_lsn()"
					" ELSE pg_catalog.pg_current_wal_lsn() END");
	drill->primary_known = PQresultStatus(result) == PGRES_TUPLES_OK &&
		PQntuples(result) == 1 &&
		wa_lsn_parse_whole(PQgetvalue(result, 0, 0), &drill->primary_lsn);
	if (!drill->primary_known)
		wa_drill_check(drill, "primary", WA_CHECK_FAILED, "%s",
					   PQerrorMessage(connection));
	PQclear(result);
	PQfinish(connection);
}

/* ---- the report ------------------------------------------------------------- */

static WaCode
keep_one(WaStore *store, const WaDrill *drill, const char *name,
		 const char *extension, void (*print) (const WaDrill *, FILE *),
		 WaError *err)
{
	char	   *text = NULL;
	size_t		length = 0;
	FILE	   *to = open_memstream(&text, &length);
	WaCode		code;

	if (to == NULL)
		return wa_fail(err, WA_NO_MEMORY, "out of memory");
	print(drill, to);
	if (fclose(to) != 0)
		code = wa_fail(err, WA_NO_MEMORY, "out of memory");
	else
		code = wa_drills_put(store, name, extension, text, length, err);
	free(text);
	return code;
}

/* The text last: it is what counts. */
static WaCode
keep_report(const WaDrill *drill, WaError *err)
{
	char		name[WA_DRILL_NAME_BYTES];
	WaStore    *store;
	WaMarker	marker;
	WaCode		code;

	if (wa_cli_archive_open(drill->archive, &store, &marker, err) != WA_OK)
		return err->code;
	wa_drill_name(drill->begun_us, name);
	code = keep_one(store, drill, name, "html", wa_drill_print_html, err);
	if (code == WA_OK)
		code = keep_one(store, drill, name, "json", wa_drill_print_json, err);
	if (code == WA_OK)
		code = keep_one(store, drill, name, "txt", wa_drill_print_text, err);
	wa_store_close(store);
	return code;
}

/* ---- the drill -------------------------------------------------------------- */

static void
drill_in(const Options *options, const char *scratch,
		 const WaBinaries *binaries, WaDrill *drill)
{
	WaRestore	restore = options->restore;
	WaInstance	instance = {.binaries = binaries};
	char		spaces[PATH_MAX];
	char		hold[WA_PIN_NAME_BYTES] = "";

	snprintf(instance.place, sizeof(instance.place), "%.2000s", scratch);
	snprintf(instance.data, sizeof(instance.data), "%.2000s/data", scratch);
	snprintf(spaces, sizeof(spaces), "%.2000s/tablespaces", scratch);
	if (options->user != NULL)
		snprintf(instance.user, sizeof(instance.user), "%.63s", options->user);
	restore.directory = instance.data;
	restore.tablespaces = spaces;
	if (mkdir(spaces, 0700) != 0)
	{
		wa_drill_check(drill, "copy", WA_CHECK_FAILED, "could not create "
					   "\"%s\": %s", spaces, strerror(errno));
		return;
	}
	if (!restore_copy(options, &restore, binaries, drill, hold))
	{
		wa_hold_end(restore.archive, hold);
		return;
	}
	note_preloads(drill, instance.data);
	if (recover(options, &instance, drill))
	{
		measure_point(&instance, &options->checks, drill);
		wa_drill_check_open(drill, &instance, &options->checks);
		wa_instance_stop(&instance, false);
		wa_drill_check_files(drill, &instance);
	}
	wa_instance_stop(&instance, true);
	wa_hold_end(restore.archive, hold);
}

static int
drill(const Options *options)
{
	WaDrill		result = {
		.archive = options->restore.archive,
		.begun_us = wa_cli_now_us(),
		.passed = true,
		.choose_ms = -1,
		.copy_ms = -1,
		.replay_ms = -1,
		.open_ms = -1
	};
	WaBinaries	binaries;
	char	   *scratch = NULL;
	WaError		err;

	if (wa_binaries_find(options->bindir, &binaries, &err) != WA_OK ||
		(!binaries.server &&
		 wa_fail(&err, WA_INVALID, "there is no PostgreSQL server in \"%s\": "
				 "use --bindir", binaries.directory) != WA_OK) ||
		wa_scratch_make(options->scratch, &scratch, &err) != WA_OK)
	{
		wa_cli_error("drill", &err);
		return WA_EXIT_FAILED;
	}
	if (options->primary != NULL)
		ask_primary(options, &result);
	drill_in(options, scratch, &binaries, &result);
	if (options->keep)
		fprintf(stderr, "walarch drill: \"%s\" is left\n", scratch);
	else if (wa_scratch_remove(scratch, &err) != WA_OK)
	{
		wa_cli_error("drill", &err);
		result.passed = false;
	}
	free(scratch);
	if (!options->no_report && keep_report(&result, &err) != WA_OK)
	{
		wa_cli_error("drill", &err);
		result.passed = false;
	}
	if (options->json)
		wa_drill_print_json(&result, stdout);
	else if (!options->quiet)
		wa_drill_print_text(&result, stdout);
	return result.passed ? WA_EXIT_OK : WA_EXIT_FAILED;
}

/* ---- options ---------------------------------------------------------------- */

static bool
set_target(Options *options, WaTargetKind kind)
{
	bool		first = !options->target_given;

	options->target_given = true;
	options->restore.target.kind = kind;
	if (kind != WA_TARGET_LATEST)
		options->restore.action = "promote";
	return first;
}

static bool
add(const char **list, size_t *count, const char *value)
{
	if (*count == LIST_MAX)
		return false;
	list[(*count)++] = value;
	return true;
}

/* Into postgresql.conf: one line, the value quoted. */
static bool
add_setting(Options *options, const char *name, size_t length,
			const char *value)
{
	char	   *line;
	int			at;

	if (options->settings_count == LIST_MAX || length == 0 || length > 60 ||
		strlen(value) > SETTING_BYTES / 3 || strpbrk(value, "\r\n") != NULL ||
		strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
			   "0123456789_.") < length)
		return false;
	line = options->settings[options->settings_count];
	at = snprintf(line, SETTING_BYTES, "%.*s = '", (int) length, name);
	for (; *value != '\0'; value++)
	{
		if (*value == '\'' || *value == '\\')
			line[at++] = *value;
		line[at++] = *value;
	}
	snprintf(line + at, SETTING_BYTES - (size_t) at, "'");
	options->settings_count++;
	return true;
}

static int
check(Options *options)
{
	WaRestore  *restore = &options->restore;

	restore->archive = wa_cli_archive(restore->archive);
	if (restore->archive == NULL)
		return wa_cli_usage("drill", "no archive was given: use --archive");
	if (restore->archive[0] != '/')
		return wa_cli_usage("drill", "the archive must be an absolute path");
	if (options->scratch == NULL || options->scratch[0] != '/')
		return wa_cli_usage("drill", "no scratch directory was given: use "
							"--scratch with an absolute path");
	/* the path of a socket is short */
	if (strlen(options->scratch) > 70)
		return wa_cli_usage("drill", "the path of the scratch directory is too "
							"long for a socket");
	if (geteuid() == 0)
		return wa_cli_usage("drill", "must not be run by root, as whom no "
							"PostgreSQL server runs");
	return WA_EXIT_OK;
}

int
wa_cmd_drill(int argc, char **argv)
{
	static const struct option long_options[] = {
		{"archive", required_argument, NULL, 'a'},
		{"scratch", required_argument, NULL, 's'},
		{"latest", no_argument, NULL, 'l'},
		{"target-time", required_argument, NULL, 't'},
		{"target-lsn", required_argument, NULL, 'L'},
		{"target-name", required_argument, NULL, 'n'},
		{"timeline", required_argument, NULL, 'T'},
		{"backup", required_argument, NULL, 'b'},
		{"primary", required_argument, NULL, 'P'},
		{"check-sql", required_argument, NULL, 'S'},
		{"check-command", required_argument, NULL, 'C'},
		{"dbname", required_argument, NULL, 'd'},
		{"username", required_argument, NULL, 'U'},
		{"setting", required_argument, NULL, 'e'},
		{"preload", required_argument, NULL, 'p'},
		{"timeout", required_argument, NULL, 'w'},
		{"bindir", required_argument, NULL, 'B'},
		{"keep", no_argument, NULL, 'k'},
		{"no-report", no_argument, NULL, 'N'},
		{"json", no_argument, NULL, 'j'},
		{"quiet", no_argument, NULL, 'q'},
		{"help", no_argument, NULL, 'H'},
		{NULL, 0, NULL, 0}
	};
	static Options options;
	WaTarget   *target = &options.restore.target;
	uint64_t	number;
	int			c;

	options = (Options) {
		.restore = {.processes = 2, .bare = true},
		.timeout_us = TIMEOUT_US
	};
	options.checks = (WaDrillChecks) {
		.sql = options.sql,
		.commands = options.commands,
		.dbname = "postgres"
	};
	opterr = 0;
	while ((c = getopt_long(argc, argv, ":d:U:", long_options, NULL)) != -1)
	{
		bool		good = true;
		bool		first = true;

		switch (c)
		{
			case 'a':
				options.restore.archive = optarg;
				break;
			case 's':
				options.scratch = optarg;
				break;
			case 'l':
				first = set_target(&options, WA_TARGET_LATEST);
				break;
			case 't':
				first = set_target(&options, WA_TARGET_TIME);
				good = wa_cli_time_parse(optarg, &target->time_us);
				break;
			case 'L':
				first = set_target(&options, WA_TARGET_LSN);
				good = wa_lsn_parse_whole(optarg, &target->lsn);
				break;
			case 'n':
				first = set_target(&options, WA_TARGET_NAME);
				target->name = optarg;
				break;
			case 'T':
				good = wa_text_number(optarg, 1, UINT32_MAX, &number);
				target->tli = (uint32_t) number;
				break;
			case 'b':
				target->backup = optarg;
				break;
			case 'P':
				options.primary = optarg;
				break;
			case 'S':
				good = add(options.sql, &options.checks.sql_count, optarg);
				break;
			case 'C':
				good = add(options.commands, &options.checks.commands_count,
						   optarg);
				break;
			case 'd':
				options.checks.dbname = optarg;
				break;
			case 'U':
				options.user = optarg;
				break;
			case 'e':
				good = strchr(optarg, '=') != NULL &&
					add_setting(&options, optarg, strcspn(optarg, "="),
								strchr(optarg, '=') + 1);
				break;
			case 'p':
				good = add_setting(&options, "shared_preload_libraries",
								   strlen("shared_preload_libraries"), optarg);
				break;
			case 'w':
				good = wa_text_duration(optarg, &options.timeout_us);
				break;
			case 'B':
				options.bindir = optarg;
				break;
			case 'k':
				options.keep = true;
				break;
			case 'N':
				options.no_report = true;
				break;
			case 'j':
				options.json = true;
				break;
			case 'q':
				options.quiet = true;
				break;
			case 'H':
				fputs(usage, stdout);
				return WA_EXIT_OK;
			default:
				return wa_cli_usage("drill", "invalid option \"%s\"",
									argv[optind - 1]);
		}
		if (!first)
			return wa_cli_usage("drill", "more than one target was given");
		if (!good)
			return wa_cli_usage("drill", "\"%s\" is not a value for that option, "
								"or one too many", optarg);
	}
	if (optind < argc)
		return wa_cli_usage("drill", "unexpected argument \"%s\"",
							argv[optind]);
	if (check(&options) != WA_EXIT_OK)
		return WA_EXIT_USAGE;
	return drill(&options);
}
