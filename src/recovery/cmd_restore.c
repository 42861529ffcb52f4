/*
 * cmd_restore.c
 *	  walarch restore: a backup of the archive, ready to recover to a target.
 */
#include "recovery/recovery.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/json.h"
#include "cli/progress.h"
#include "cli/text.h"
#include "core/lsn.h"
#include "recovery/hold.h"
#include "recovery/process.h"
#include "recovery/restore.h"
#include "recovery/target.h"

static const char usage[] =
"walarch restore makes a data directory from a base backup in an archive, and\n"
"sets it up to recover to a target. Before it writes anything it proves that all\n"
"the WAL from the backup to the target is there.\n"
"\n"
"Usage:\n"
"  walarch restore --archive DIR -D DIR [TARGET] [--timeline TLI] [--backup ID]\n"
"                  [--target-action ACTION] [--tablespace-mapping OLD=NEW]...\n"
"                  [--standby [--primary-conninfo CONNSTR] [--slot NAME]]\n"
"                  [--archiving on|off] [--bindir DIR] [--jobs N] [--dry-run]\n"
"                  [--json] [--quiet]\n"
"\n"
"Options:\n"
"  --archive DIR            archive directory (or WALARCH_ARCHIVE)\n"
"  -D, --pgdata DIR         data directory to make: not there, or empty\n"
"  --latest                 recover all that the archive has (the default)\n"
"  --immediate              only to the end of the backup\n"
"  --target-time TIME       to this moment, such as \"2026-11-23 02:15\", in the\n"
"                           time zone of whoever asks (TZ) unless it has one\n"
"  --target-lsn LSN         to this place in WAL\n"
"  --target-name NAME       to this restore point\n"
"  --target-xid XID         to the end of this transaction, which is searched in\n"
"                           the WAL, backwards\n"
"  --timeline TLI           along this timeline (default: the latest)\n"
"  --backup ID              from this backup (default: the newest that serves)\n"
"  --target-action ACTION   at the target: pause (the default), promote or\n"
"                           shutdown, as recovery_target_action\n"
"  --tablespace-mapping OLD=NEW\n"
"                           put the tablespace that lay in OLD into NEW; \\= is\n"
"                           an equals sign within a name\n"
"  --standby                make a standby, which goes on following\n"
"  --primary-conninfo CONNSTR\n"
"                           where it streams from\n"
"  --slot NAME              replication slot that it uses there\n"
"  --archiving on|off       leave archive_mode as it was, or off (default: off,\n"
"                           with --standby on): a copy must not write into the\n"
"                           archive of the original. When off, nor does it\n"
"                           subscribe to what the original subscribes to\n"
"  --bindir DIR             where PostgreSQL's programs are (default: where\n"
"                           walarch is)\n"
"  --jobs N                 tablespaces unpacked at the same time (default: 2)\n"
"  --dry-run                only say what would be done\n"
"  --json                   one JSON object on what was chosen\n"
"  --quiet                  print nothing but errors\n"
"  --help                   this text\n"
"\n"
"Exit status: 0 done; 1 failed, or it cannot be done; 2 wrong usage.\n";

typedef struct Options
{
	WaRestore	restore;
	WaMapping  *mappings;
	bool		target_given;
	bool		archiving_given;
	const char *bindir;
	bool		dry_run;
	bool		json;
	bool		quiet;
} Options;

/* ---- talk ------------------------------------------------------------------- */

static void
print_target(const Options *options, const WaRestorePlan *plan)
{
	const WaTarget *target = &options->restore.target;
	const WaChoice *choice = &plan->choice;
	char		local[WA_TIME_TEXT_BYTES];
	char		utc[WA_TIME_TEXT_BYTES];

	printf("target     ");
	switch (target->kind)
	{
		case WA_TARGET_IMMEDIATE:
			printf("the end of the backup, " WA_LSN_FORMAT "\n",
				   WA_LSN_ARGS(choice->backup->history.stop_lsn));
			break;
		case WA_TARGET_TIME:
			printf("%s, that is %s\n",
				   wa_cli_time_text(target->time_us, false, local),
				   wa_cli_time_text(target->time_us, true, utc));
			break;
		case WA_TARGET_LSN:
			printf(WA_LSN_FORMAT "\n", WA_LSN_ARGS(target->lsn));
			break;
		case WA_TARGET_NAME:
			printf("restore point \"");
			wa_text_print(stdout, target->name);
			printf("\", " WA_LSN_FORMAT ", %s\n",
				   WA_LSN_ARGS(choice->target_lsn),
				   wa_cli_time_text(choice->target_us, false, local));
			break;
		case WA_TARGET_XID:
			printf("transaction %" PRIu32 ", ended at " WA_LSN_FORMAT ", %s\n",
				   target->xid, WA_LSN_ARGS(choice->target_lsn),
				   wa_cli_time_text(choice->target_us, false, local));
			break;
		default:
			printf("all that the archive has");
			if (choice->latest_lsn != 0)
				printf(", to " WA_LSN_FORMAT,
					   WA_LSN_ARGS(choice->latest_lsn));
			if (choice->latest_known)
				printf(", last commit %s",
					   wa_cli_time_text(choice->latest_us, false, local));
			printf("\n");
	}
}

static void
print_plan(const Options *options, const WaCatalogue *catalogue,
		   const WaRestorePlan *plan)
{
	const WaChoice *choice = &plan->choice;
	char		first[WA_WALNAME_BYTES];
	char		last[WA_WALNAME_BYTES];
	char		size[WA_SIZE_TEXT_BYTES];

	wa_segment_name(first, choice->backup->tli, choice->backup->start_segno,
					catalogue->marker.segment_bytes);
	wa_segment_name(last, choice->until.tli, choice->until.segno,
					catalogue->marker.segment_bytes);
	printf("backup     %s, ended %s, %s, \"", choice->backup->id,
		   choice->backup->history.stop_time,
		   wa_text_of_size(plan->raw_bytes, size));
	wa_text_print(stdout, choice->backup->history.label);
	printf("\"\n");
	for (size_t i = plan->chain_count - 1; i-- > 0;)
		printf("%s%s\n", i + 2 == plan->chain_count ? "on top of  " :
			   "           ", plan->chain[i].id);
	print_target(options, plan);
	printf("timeline   %" PRIu32 "\n", choice->tli);
	printf("WAL        %" PRIu64 " segment%s, %s to %s: all there\n",
		   choice->segments, choice->segments == 1 ? "" : "s", first, last);
	for (size_t i = 0; i < plan->places_count; i++)
		printf("%s %s\n", plan->places[i].oid == 0 ? "directory " :
			   "tablespace", plan->places[i].directory);
}

static void
print_json(const Options *options, const WaCatalogue *catalogue,
		   const WaRestorePlan *plan, bool done, const char *pin)
{
	const WaChoice *choice = &plan->choice;
	const WaTarget *target = &options->restore.target;
	char		last[WA_WALNAME_BYTES];

	wa_segment_name(last, choice->until.tli, choice->until.segno,
					catalogue->marker.segment_bytes);
	wa_json_object(NULL);
	wa_json_bool("restored", done);
	wa_json_string("directory", options->restore.directory);
	wa_json_string("backup_id", choice->backup->id);
	wa_json_number("timeline", choice->tli);
	wa_json_time("target_time", target->kind == WA_TARGET_TIME,
				 target->time_us);
	wa_json_lsn("target_lsn", target->kind == WA_TARGET_LSN ? target->lsn :
				choice->target_lsn);
	wa_json_string("target_name", target->name);
	wa_json_string("last_wal", last);
	wa_json_number("segments", (int64_t) choice->segments);
	wa_json_lsn("latest_lsn", choice->latest_lsn);
	wa_json_time("latest_time", choice->latest_known, choice->latest_us);
	wa_json_number("raw_bytes", (int64_t) plan->raw_bytes);
	wa_json_string("passed_over", choice->passed_over != NULL ?
				   choice->passed_over->id : NULL);
	wa_json_bool("checksum_failures", !choice->sound);
	wa_json_bool("archiving", options->restore.archiving);
	wa_json_string("pin", pin);
	wa_json_end();
}

static void
print_end(const Options *options, const WaBinaries *binaries,
		  const char *pin, uint64_t took_ms)
{
	const WaRestore *restore = &options->restore;
	const char *action = restore->action;

	printf("\nrestored in %.1f s%s\n", (double) took_ms / 1000,
		   wa_binaries_have(binaries, "pg_verifybackup") ?
		   ", and checked by pg_verifybackup" :
		   ", and compared with its manifest");
	printf("archiving  %s\n", restore->archiving ?
		   "as the original had it: archive_mode was not changed" :
		   "off: archive_mode = off stands in postgresql.auto.conf");
	if (!restore->archiving && !restore->standby)
		printf("subscribing off: max_logical_replication_workers = 0, likewise\n");
	if (pin[0] != '\0')
		printf("pin        %s keeps the WAL for two days; "
			   "\"walarch unpin\" ends it\n", pin);
	printf("\nStart the server on it. ");
	if (restore->standby)
		printf("It replays what the archive has, and goes on as a standby%s.\n",
			   restore->primary_conninfo != NULL ?
			   " that streams from its primary" : "");
	else if (restore->target.kind == WA_TARGET_LATEST)
		printf("It replays what the archive has, and opens on a new "
			   "timeline.\n");
	else if (action == NULL || strcmp(action, "pause") == 0)
		printf("It replays up to the target, and waits there, open for "
			   "reading:\n\"SELECT pg_wal_replay_resume()\" opens it for "
			   "writing, on a new timeline.\n");
	else if (strcmp(action, "promote") == 0)
		printf("It replays up to the target, and opens on a new timeline.\n");
	else
		printf("It replays up to the target, and shuts down.\n");
}

/* A trap that only whoever starts it can avoid. */
static void
warn_elsewhere(const Options *options, const WaBinaries *binaries)
{
	char		where[PATH_MAX];

	if (!wa_restore_leads_elsewhere(&options->restore, binaries, where,
									sizeof(where)))
		return;
	fprintf(stderr, "walarch restore: warning: postgresql.conf in there sets "
			"data_directory = '");
	wa_text_print(stderr, where);
	fprintf(stderr, "': a server started on \"%s\" would work there. Take "
			"that line out, or start it with -c data_directory=%s\n",
			options->restore.directory, options->restore.directory);
}

/* ---- doing it --------------------------------------------------------------- */

/* It was chosen, and can be done. */
static WaCode
run(const Options *options, const WaBinaries *binaries, WaRestoreView *view,
	char *pin, WaError *err)
{
	const WaRestore *wanted = &options->restore;
	bool		talks = !options->json && !options->quiet;
	uint64_t	begun_ms = wa_cli_now_ms();

	fflush(stdout);
	if (wa_restore_hold(wanted, binaries, "restore", view, pin, err) != WA_OK)
		return err->code;
	if (wa_restore_run(view->store, &view->catalogue, wanted, &view->plan,
					   binaries, wa_restore_progress(talks),
					   &view->plan, err) != WA_OK)
	{
		wa_progress_wipe();
		wa_hold_end(wanted->archive, pin);
		return err->code;
	}
	wa_progress_wipe();
	if (talks)
		print_end(options, binaries, pin, wa_cli_now_ms() - begun_ms);
	warn_elsewhere(options, binaries);
	return WA_OK;
}

static WaCode
restore(const Options *options, WaError *err)
{
	bool		talks = !options->json && !options->quiet;
	char		pin[WA_PIN_NAME_BYTES] = "";
	WaBinaries	binaries;
	WaRestoreView view;
	WaCode		code;

	if (wa_binaries_find(options->bindir, &binaries, err) != WA_OK ||
		wa_restore_look(&options->restore, &binaries, &view, err) != WA_OK)
		return err->code;
	if (talks)
		print_plan(options, &view.catalogue, &view.plan);
	if (view.plan.choice.passed_over != NULL)
		fprintf(stderr, "walarch restore: warning: backup %s, which is newer, "
				"cannot be restored: %s\n", view.plan.choice.passed_over->id,
				view.plan.choice.passed_reason);
	if (!view.plan.choice.sound)
		fprintf(stderr, "walarch restore: warning: of backup %s "
				WA_BACKUP_CHECKSUMS "\n", view.plan.choice.backup->id);
	code = options->dry_run ? WA_OK : run(options, &binaries, &view, pin, err);
	if (code == WA_OK && options->dry_run && talks)
		printf("\nNothing was written.\n");
	if (code == WA_OK && options->json)
		print_json(options, &view.catalogue, &view.plan, !options->dry_run, pin);
	wa_restore_view_free(&view);
	return code;
}

/* ---- options ---------------------------------------------------------------- */

/* Cut it at its "=", and take the backslash off "\=": as pg_basebackup has it. */
static char *
split_mapping(char *value)
{
	char	   *right = NULL;
	char	   *to = value;

	for (const char *from = value; *from != '\0'; from++)
	{
		bool		escaped = from[0] == '\\' && from[1] == '=';

		if (escaped)
			from++;
		if (*from == '=' && !escaped)
		{
			if (right != NULL)
				return NULL;
			*to++ = '\0';
			right = to;
		}
		else
			*to++ = *from;
	}
	*to = '\0';
	return right;
}

static bool
take_mapping(Options *options, const char *value)
{
	size_t		count = options->restore.mappings_count;
	WaMapping  *larger = realloc(options->mappings, (count + 1) *
								 sizeof(WaMapping));
	char	   *left = strdup(value);
	char	   *right;

	if (larger == NULL || left == NULL)
		return false;
	right = split_mapping(left);
	wa_restore_tidy(left);
	if (right != NULL)
		wa_restore_tidy(right);
	larger[count] = (WaMapping) {left, right};
	options->mappings = larger;
	options->restore.mappings = larger;
	if (right != NULL && left[0] == '/' && right[0] == '/')
		options->restore.mappings_count++;
	else
		free(left);
	return options->restore.mappings_count > count;
}

static bool
take_on_off(const char *value, bool *on)
{
	*on = strcmp(value, "on") == 0;
	return *on || strcmp(value, "off") == 0;
}

static bool
take_action(const char *value, const char **action)
{
	*action = value;
	return strcmp(value, "pause") == 0 || strcmp(value, "promote") == 0 ||
		strcmp(value, "shutdown") == 0;
}

static int
check(Options *options)
{
	WaRestore  *restore = &options->restore;

	if (restore->archive == NULL)
		return wa_cli_usage("restore", "no archive was given: use --archive");
	if (restore->archive[0] != '/')
		return wa_cli_usage("restore", "the archive must be an absolute path");
	if (restore->directory == NULL || restore->directory[0] != '/')
		return wa_cli_usage("restore", "no data directory was given: use -D "
							"with an absolute path");
	if (restore->standby && restore->target.kind != WA_TARGET_LATEST)
		return wa_cli_usage("restore", "a standby has no target");
	if (restore->standby && restore->target.tli != 0)
		return wa_cli_usage("restore", "a standby follows the latest timeline");
	if (!restore->standby &&
		(restore->primary_conninfo != NULL || restore->slot != NULL))
		return wa_cli_usage("restore", "--primary-conninfo and --slot go with "
							"--standby");
	if (restore->action != NULL && restore->target.kind == WA_TARGET_LATEST)
		return wa_cli_usage("restore", "--target-action goes with a target");
	if (!options->archiving_given)
		restore->archiving = restore->standby;
	if (geteuid() == 0)
		return wa_cli_usage("restore", "must be run by the user that the server "
							"will run as, not by root");
	return WA_EXIT_OK;
}

int
wa_cmd_restore(int argc, char **argv)
{
	static const struct option long_options[] = {
		{"archive", required_argument, NULL, 'a'},
		{"pgdata", required_argument, NULL, 'D'},
		WA_TARGET_OPTIONS,
		{"target-action", required_argument, NULL, 'A'},
		{"tablespace-mapping", required_argument, NULL, 'm'},
		{"standby", no_argument, NULL, 's'},
		{"primary-conninfo", required_argument, NULL, 'c'},
		{"slot", required_argument, NULL, 'S'},
		{"archiving", required_argument, NULL, 'o'},
		{"bindir", required_argument, NULL, 'B'},
		{"jobs", required_argument, NULL, 'J'},
		{"dry-run", no_argument, NULL, 'd'},
		{"json", no_argument, NULL, 'j'},
		{"quiet", no_argument, NULL, 'q'},
		{"help", no_argument, NULL, 'H'},
		{NULL, 0, NULL, 0}
	};
	Options		options = {.restore = {.processes = 2}};
	WaRestore  *restored = &options.restore;
	uint64_t	number;
	WaError		err;
	WaCode		code;
	int			c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, ":D:", long_options, NULL)) != -1)
	{
		WaOptionTaken taken = wa_target_option(&restored->target,
											   &options.target_given, c,
											   optarg);
		bool		good = taken != WA_OPTION_BAD;

		if (taken == WA_OPTION_SECOND)
			return wa_cli_usage("restore", "more than one target was given");
		switch (taken == WA_OPTION_OTHER ? c : 0)
		{
			case 0:
				break;
			case 'a':
				restored->archive = optarg;
				break;
			case 'D':
				wa_restore_tidy(optarg);
				restored->directory = optarg;
				break;
			case 'A':
				good = take_action(optarg, &restored->action);
				break;
			case 'm':
				good = take_mapping(&options, optarg);
				break;
			case 's':
				restored->standby = true;
				break;
			case 'c':
				restored->primary_conninfo = optarg;
				break;
			case 'S':
				restored->slot = optarg;
				break;
			case 'o':
				options.archiving_given = true;
				good = take_on_off(optarg, &restored->archiving);
				break;
			case 'B':
				options.bindir = optarg;
				break;
			case 'J':
				good = wa_text_number(optarg, 1, 64, &number);
				restored->processes = (int) number;
				break;
			case 'd':
				options.dry_run = true;
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
				return wa_cli_usage("restore", "invalid option \"%s\"",
									argv[optind - 1]);
		}
		if (!good)
			return wa_cli_usage("restore", "\"%s\" is not a value for that "
								"option, or not one only%s", optarg,
								wa_target_explain(c));
	}
	if (optind < argc)
		return wa_cli_usage("restore", "unexpected argument \"%s\"",
							argv[optind]);
	restored->archive = wa_cli_archive(restored->archive);
	if (check(&options) != WA_EXIT_OK)
		return WA_EXIT_USAGE;
	wa_process_heed();
	code = restore(&options, &err);
	for (size_t i = 0; i < restored->mappings_count; i++)
		free((char *) options.mappings[i].from);
	free(options.mappings);
	if (code == WA_OK)
		return WA_EXIT_OK;
	wa_cli_error("restore", &err);
	return WA_EXIT_FAILED;
}
