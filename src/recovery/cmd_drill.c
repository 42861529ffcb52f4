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
#include "recovery/process.h"
#include "recovery/scratch.h"
#include "recovery/target.h"

static const char usage[] =
"walarch drill restores a backup into a scratch directory, recovers it there,\n"
"checks the database, and measures how long that took and how much would have\n"
"been lost. The server that it starts has no TCP port, archives nowhere, streams\n"
"from nowhere, preloads no library and fires no event trigger; only the user who\n"
"drills can connect.\n"
"\n"
"Usage:\n"
"  walarch drill --archive DIR --scratch DIR [TARGET] [--timeline TLI]\n"
"                [--backup ID] [--primary CONNSTR [--max-behind SIZE]]\n"
"                [--check-sql FILE]... [--check-command PROGRAM]...\n"
"                [--dbname NAME] [--username NAME] [--setting NAME=VALUE]...\n"
"                [--preload LIBRARIES] [--timeout TIME] [--bindir DIR] [--keep]\n"
"                [--no-report] [--json] [--quiet]\n"
"\n"
"Options:\n"
"  --archive DIR            archive directory (or WALARCH_ARCHIVE)\n"
"  --scratch DIR            a directory with room for the cluster; what is made\n"
"                           below it is removed at the end\n"
"  --latest, --immediate, --target-time TIME, --target-lsn LSN,\n"
"  --target-name NAME, --target-xid XID, --timeline TLI, --backup ID\n"
"                           what to recover to: as for walarch restore\n"
"  --primary CONNSTR        measure the recovery point against this server, as it\n"
"                           was when the drill began\n"
"  --max-behind SIZE        fail when more WAL than that is not in the archive,\n"
"                           such as 64MB\n"
"  --check-sql FILE         run by psql, must not fail, and must not return a row\n"
"                           that is just false; as often as needed\n"
"  --check-command PROGRAM  path of a program, must exit with 0. It finds the\n"
"                           server by PGHOST, PGPORT, PGUSER, PGDATABASE and\n"
"                           PGOPTIONS; no other PG... variable is passed on\n"
"  --dbname NAME            database for these checks (default: postgres)\n"
"  --username NAME          superuser of the cluster (default: postgres, or the\n"
"                           name of whoever drills)\n"
"  --setting NAME=VALUE     a setting of the server, such as shared_buffers=8GB\n"
"  --preload LIBRARIES      shared_preload_libraries, for a cluster that cannot\n"
"                           be read without\n"
"  --timeout TIME           so long for the recovery, and again for the checks\n"
"                           (default: 1d)\n"
"  --bindir DIR             where PostgreSQL's programs are (default: where\n"
"                           walarch is)\n"
"  --keep                   leave what was made there for a look, until you\n"
"                           remove it\n"
"  --no-report              do not keep the report in the archive, in drills/\n"
"  --json                   the report as JSON instead of text\n"
"  --quiet                  print nothing but errors\n"
"  --help                   this text\n"
"\n"
"Exit status: 0 recovered, and every check passed or was skipped for want of its\n"
"program; 1 otherwise; 2 wrong usage.\n";

#define LIST_MAX		32
#define VALUE_BYTES_MAX	100
#define NAMES_TRIED		1000
#define TIMEOUT_US		(INT64_C(86400) * 1000000)

typedef struct Options
{
	WaDrillWanted wanted;
	bool		target_given;
	const char *sql[LIST_MAX];
	const char *commands[LIST_MAX];
	WaSetting	settings[LIST_MAX];
	const char *scratch;
	const char *bindir;
	bool		keep;
	bool		no_report;
	bool		json;
	bool		quiet;
} Options;

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
	WaCode		code = WA_EXISTS;

	if (wa_cli_archive_open(drill->archive, &store, &marker, err) != WA_OK)
		return err->code;
	/* others may have begun in that second */
	for (int n = 1; code == WA_EXISTS && n <= NAMES_TRIED; n++)
	{
		wa_drill_name(drill->begun_us, n, name);
		code = keep_one(store, drill, name, "html", wa_drill_print_html, err);
	}
	if (code == WA_OK)
		code = keep_one(store, drill, name, "json", wa_drill_print_json, err);
	if (code == WA_OK)
		code = keep_one(store, drill, name, "txt", wa_drill_print_text, err);
	wa_store_close(store);
	return code;
}

/* ---- the drill -------------------------------------------------------------- */

/* What went wrong is an error, which is printed however quiet. */
static void
print_failed(const WaDrill *drill)
{
	for (size_t i = 0; i < drill->checks_count; i++)
		if (drill->checks[i].result == WA_CHECK_FAILED)
		{
			fprintf(stderr, "walarch drill: %s FAILED: ",
					drill->checks[i].name);
			wa_text_print(stderr, drill->checks[i].detail);
			fprintf(stderr, "\n");
		}
}

static void
keep_scratch(const char *scratch, WaDrill *result)
{
	WaError		err;

	result->kept = scratch;
	if (wa_scratch_keep(scratch, &err) != WA_OK)
		wa_drill_check(result, "kept", WA_CHECK_FAILED, "%s", err.message);
	fprintf(stderr, "walarch drill: \"%s\" is left\n", scratch);
}

static int
drill(Options *options)
{
	WaDrill		result = {
		.archive = options->wanted.restore.archive,
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

	wa_process_heed();
	if (wa_binaries_find(options->bindir, &binaries, &err) != WA_OK ||
		(!binaries.server &&
		 wa_fail(&err, WA_INVALID, "there is no PostgreSQL server in \"%s\": "
				 "use --bindir", binaries.directory) != WA_OK) ||
		wa_scratch_make(options->scratch, &scratch, &err) != WA_OK)
	{
		wa_cli_error("drill", &err);
		return WA_EXIT_FAILED;
	}
	wa_drill_run(&options->wanted, scratch, &binaries, &result);
	if (options->keep)
		keep_scratch(scratch, &result);
	else if (wa_scratch_remove(scratch, &err) != WA_OK)
		wa_drill_check(&result, "cleaned up", WA_CHECK_FAILED, "%s",
					   err.message);
	if (wa_process_told(&err) != WA_OK)
		wa_drill_check(&result, "interrupted", WA_CHECK_FAILED, "%s",
					   err.message);
	if (!options->no_report && keep_report(&result, &err) != WA_OK)
	{
		wa_cli_error("drill", &err);
		wa_drill_check(&result, "report", WA_CHECK_FAILED, "%s", err.message);
	}
	if (options->json)
		wa_drill_print_json(&result, stdout);
	else if (!options->quiet)
		wa_drill_print_text(&result, stdout);
	else
		print_failed(&result);
	if (fflush(stdout) != 0)
	{
		wa_fail_errno(&err, errno, "could not write the report");
		wa_cli_error("drill", &err);
		result.passed = false;
	}
	free(result.checks);
	free(scratch);
	return result.passed ? WA_EXIT_OK : WA_EXIT_FAILED;
}

/* ---- options ---------------------------------------------------------------- */

static bool
add(const char **list, size_t *count, const char *value)
{
	if (*count == LIST_MAX)
		return false;
	list[(*count)++] = value;
	return true;
}

static bool
add_setting(Options *options, const char *name, const char *value)
{
	size_t	   *count = &options->wanted.settings_count;
	size_t		length = strlen(name);

	if (*count == LIST_MAX || length == 0 || length > 60 ||
		strlen(value) > VALUE_BYTES_MAX || strpbrk(value, "\r\n") != NULL ||
		strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
			   "0123456789_.") < length)
		return false;
	options->settings[(*count)++] = (WaSetting) {name, value};
	return true;
}

/* "NAME=VALUE" is cut in place. */
static bool
take_setting(Options *options, char *text)
{
	char	   *equals = strchr(text, '=');

	if (equals == NULL)
		return false;
	*equals = '\0';
	if (add_setting(options, text, equals + 1))
		return true;
	*equals = '=';
	return false;
}

static int
check(Options *options)
{
	WaRestore  *restore = &options->wanted.restore;
	const char *dbname = options->wanted.checks.dbname;

	restore->archive = wa_cli_archive(restore->archive);
	if (restore->archive == NULL)
		return wa_cli_usage("drill", "no archive was given: use --archive");
	if (restore->archive[0] != '/')
		return wa_cli_usage("drill", "the archive must be an absolute path");
	if (options->scratch == NULL || options->scratch[0] != '/')
		return wa_cli_usage("drill", "no scratch directory was given: use "
							"--scratch with an absolute path");
	/* the path of a socket is short, and a comma ends it */
	if (strlen(options->scratch) > 70)
		return wa_cli_usage("drill", "the path of the scratch directory is too "
							"long for a socket");
	if (strpbrk(options->scratch, ",\"\r\n") != NULL)
		return wa_cli_usage("drill", "the path of the scratch directory cannot "
							"be that of a socket: it has a comma, a double "
							"quote or a line break");
	if (strchr(dbname, '=') != NULL || strstr(dbname, "://") != NULL)
		return wa_cli_usage("drill", "--dbname is the name of a database, "
							"not a connection string");
	if (options->wanted.behind_given && options->wanted.primary == NULL)
		return wa_cli_usage("drill", "--max-behind goes with --primary");
	if (geteuid() == 0)
		return wa_cli_usage("drill", "must not be run by root, as whom no "
							"PostgreSQL server runs");
	if (restore->target.kind != WA_TARGET_LATEST)
		restore->action = "promote";
	return WA_EXIT_OK;
}

int
wa_cmd_drill(int argc, char **argv)
{
	static const struct option long_options[] = {
		{"archive", required_argument, NULL, 'a'},
		{"scratch", required_argument, NULL, 's'},
		WA_TARGET_OPTIONS,
		{"primary", required_argument, NULL, 'P'},
		{"max-behind", required_argument, NULL, 'm'},
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
	WaDrillWanted *wanted = &options.wanted;
	int			c;

	options = (Options) {.scratch = NULL};
	*wanted = (WaDrillWanted) {
		.restore = {.processes = 2, .bare = true},
		.checks = {
			.sql = options.sql,
			.commands = options.commands,
			.dbname = "postgres"
		},
		.settings = options.settings,
		.timeout_us = TIMEOUT_US
	};
	opterr = 0;
	while ((c = getopt_long(argc, argv, ":d:U:", long_options, NULL)) != -1)
	{
		WaOptionTaken taken = wa_target_option(&wanted->restore.target,
											   &options.target_given, c,
											   optarg);
		bool		good = taken != WA_OPTION_BAD;

		if (taken == WA_OPTION_SECOND)
			return wa_cli_usage("drill", "more than one target was given");
		switch (taken == WA_OPTION_OTHER ? c : 0)
		{
			case 0:
				break;
			case 'a':
				wanted->restore.archive = optarg;
				break;
			case 's':
				options.scratch = optarg;
				break;
			case 'P':
				wanted->primary = optarg;
				break;
			case 'm':
				good = wa_text_size(optarg, &wanted->most_behind);
				wanted->behind_given = true;
				break;
			case 'S':
				good = add(options.sql, &wanted->checks.sql_count, optarg);
				break;
			case 'C':
				good = add(options.commands, &wanted->checks.commands_count,
						   optarg);
				break;
			case 'd':
				wanted->checks.dbname = optarg;
				break;
			case 'U':
				wanted->user = optarg;
				break;
			case 'e':
				good = take_setting(&options, optarg);
				break;
			case 'p':
				good = add_setting(&options, "shared_preload_libraries",
								   optarg);
				break;
			case 'w':
				good = wa_text_duration(optarg, &wanted->timeout_us);
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
		if (!good)
			return wa_cli_usage("drill", "\"%s\" is not a value for that option, "
								"or one too many%s", optarg,
								wa_target_explain(c));
	}
	if (optind < argc)
		return wa_cli_usage("drill", "unexpected argument \"%s\"",
							argv[optind]);
	if (check(&options) != WA_EXIT_OK)
		return WA_EXIT_USAGE;
	wanted->talks = !options.quiet && !options.json;
	return drill(&options);
}
