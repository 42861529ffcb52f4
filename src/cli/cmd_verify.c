/*
 * cmd_verify.c
 *	  walarch verify: prove that an archive is what it should be.
 */
#include "cli/cli.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "archive/verify.h"
#include "cli/json.h"
#include "cli/progress.h"
#include "cli/text.h"

static const char usage[] =
"walarch verify proves that an archive is what it should be: every object, of\n"
"base backups too, is unpacked and compared with its digest, every WAL record\n"
"with its checksum, and each segment with the one before it.\n"
"\n"
"Usage:\n"
"  walarch verify --archive DIR [OPTION]...\n"
"\n"
"Options:\n"
"  --archive DIR      the archive directory (or WALARCH_ARCHIVE)\n"
"  --quick            unpack nothing: names, the ends of objects, and by what\n"
"                     these tell of the records, the chain of segments\n"
"  --sample PERCENT   unpack so many of the segments, others each time, and no\n"
"                     base backups\n"
"  --since TIME       unpack only what was archived since, such as\n"
"                     \"2026-11-23 02:15\" (local time)\n"
"  --timeline N       only this timeline\n"
"  --jobs N           so many at the same time (default: one a processor)\n"
"  --resume FILE      when interrupted, note in FILE how far it came, and go on\n"
"                     from there if FILE exists; removed at the end\n"
"  --timeout SECONDS  give up when storage has not answered for so long\n"
"                     (default: 60)\n"
"  --json             JSON instead of text\n"
"  --help             this text\n"
"\n"
"Exit status: 0 nothing was found but notices; 1 something was found, or not all\n"
"could be looked at; 2 wrong usage.\n";

typedef struct Run
{
	bool		json;
	size_t		notices;
	size_t		warnings;
	size_t		errors;
	const char *resume_file;
	char		archive_id[WA_ARCHIVE_ID_TEXT_BYTES];
	size_t		found_before;	/* by the run that is resumed */
} Run;

static volatile sig_atomic_t interrupted;

static void
note_signal(int signal_number)
{
	interrupted = 1;
}

static bool
should_stop(void *arg)
{
	return interrupted != 0;
}

static void
show_progress(void *arg, const WaVerifyProgress *progress)
{
	wa_progress_show(progress->done_bytes, progress->total_bytes);
}

/* "LABEL: OBJECT: TEXT" without what there is not. */
static void
line(const char *label, const char *object, const char *text)
{
	if (text[0] == '\0')
		return;
	printf("%s: ", label);
	if (object != NULL)
	{
		wa_text_print(stdout, object);
		printf(": ");
	}
	wa_text_print(stdout, text);
	printf("\n");
}

static void
print_finding(void *arg, const WaFinding *finding)
{
	Run		   *run = arg;

	switch (finding->severity)
	{
		case WA_SEVERITY_NOTICE:
			run->notices++;
			break;
		case WA_SEVERITY_WARNING:
			run->warnings++;
			break;
		case WA_SEVERITY_ERROR:
			run->errors++;
			break;
	}
	wa_progress_wipe();
	if (run->json)
	{
		wa_json_object(NULL);
		wa_json_string("object", finding->object);
		wa_json_string("severity", wa_severity_name(finding->severity));
		wa_json_string("finding", finding->finding);
		wa_json_string("consequence", finding->consequence);
		wa_json_string("hint", finding->hint);
		wa_json_end();
		return;
	}
	line(wa_severity_name(finding->severity), finding->object,
		 finding->finding);
	line("  consequence", NULL, finding->consequence);
	line("  what to do", NULL, finding->hint);
	fflush(stdout);
}

/* ---- going on where a run was interrupted ---------------------------------- */

/* "ARCHIVE-ID TIMELINE SEGMENT-NUMBER FINDINGS" */
static WaCode
read_resume(Run *run, WaPlace *place, WaError *err)
{
	FILE	   *file = fopen(run->resume_file, "r");
	char		id[64];
	int			fields;

	place->tli = 0;
	place->segno = 0;
	if (file == NULL && errno == ENOENT)
		return WA_OK;
	if (file == NULL)
		return wa_fail_errno(err, errno, "could not open \"%s\"",
							 run->resume_file);
	fields = fscanf(file, "%63s %" SCNu32 " %" SCNu64 " %zu", id, &place->tli,
					&place->segno, &run->found_before);
	fclose(file);
	if (fields == 4 && place->tli != 0 && strcmp(id, run->archive_id) == 0)
		return WA_OK;
	wa_fail(err, WA_INVALID, "\"%s\" does not tell how far a walarch verify "
			"of this archive came", run->resume_file);
	wa_hint(err, "Remove it to begin anew, or name another file.");
	return err->code;
}

static WaCode
write_resume(const Run *run, WaPlace place, WaError *err)
{
	FILE	   *file;

	if (place.tli == 0)
		return WA_OK;
	file = fopen(run->resume_file, "w");
	if (file == NULL ||
		fprintf(file, "%s %" PRIu32 " %" PRIu64 " %zu\n", run->archive_id,
				place.tli, place.segno, run->found_before + run->warnings +
				run->errors) < 0)
	{
		wa_fail_errno(err, errno, "could not write \"%s\"", run->resume_file);
		if (file != NULL)
			fclose(file);
		return err->code;
	}
	if (fclose(file) != 0)
		return wa_fail_errno(err, errno, "could not write \"%s\"",
							 run->resume_file);
	return WA_OK;
}

/* ---- the run --------------------------------------------------------------- */

static void
print_end(const Run *run, const WaVerifyProgress *progress, bool complete)
{
	if (run->json)
	{
		wa_json_end();
		wa_json_bool("complete", complete);
		wa_json_number("segments", (int64_t) progress->segments);
		wa_json_number("unpacked", (int64_t) progress->unpacked);
		wa_json_number("raw_bytes", (int64_t) progress->raw_bytes);
		wa_json_number("records", (int64_t) progress->records);
		wa_json_number("backups", (int64_t) progress->backups);
		wa_json_number("backup_bytes", (int64_t) progress->backup_bytes);
		wa_json_number("errors", (int64_t) run->errors);
		wa_json_number("warnings", (int64_t) run->warnings);
		wa_json_number("notices", (int64_t) run->notices);
		wa_json_number("found_before", (int64_t) run->found_before);
		wa_json_end();
		return;
	}
	printf("%" PRIu64 " segments looked at, %" PRIu64 " of them unpacked: %"
		   PRIu64 " MB, %" PRIu64 " records; ", progress->segments,
		   progress->unpacked, progress->raw_bytes >> 20, progress->records);
	if (progress->backups > 0)
		printf("%" PRIu64 " base backups unpacked: %" PRIu64 " MB; ",
			   progress->backups, progress->backup_bytes >> 20);
	printf("errors %zu, warnings %zu, notices %zu\n", run->errors,
		   run->warnings, run->notices);
	if (run->found_before > 0)
		printf("The run that was interrupted had found %zu.\n",
			   run->found_before);
}

static int
run_verify(WaVerifyOptions *options, Run *run)
{
	struct sigaction action = {.sa_handler = note_signal};
	WaVerifyProgress progress;
	WaCatalogue catalogue = {0};
	WaStore    *store;
	WaError		err;
	WaError		write_err;
	WaCode		code;

	code = wa_cli_catalogue(options->path, &store, &catalogue, &err);
	if (code == WA_OK)
	{
		wa_store_close(store);	/* each worker opens its own */
		memcpy(run->archive_id, catalogue.marker.archive_id,
			   sizeof(run->archive_id));
		if (run->resume_file != NULL)
			code = read_resume(run, &options->resume, &err);
	}
	if (code != WA_OK)
	{
		wa_cli_error("verify", &err);
		wa_catalogue_free(&catalogue);
		return WA_EXIT_FAILED;
	}
	if (run->resume_file != NULL)
	{
		sigaction(SIGINT, &action, NULL);
		sigaction(SIGTERM, &action, NULL);
	}
	if (run->json)
	{
		wa_json_object(NULL);
		wa_json_array("findings");
	}
	code = wa_verify(options, &catalogue, &progress, &err);
	wa_progress_wipe();
	print_end(run, &progress, code == WA_OK);
	wa_catalogue_free(&catalogue);
	if (code != WA_OK)
		wa_cli_error("verify", &err);
	if (run->resume_file != NULL &&
		(code == WA_OK ? unlink(run->resume_file) != 0 && errno != ENOENT &&
		 wa_fail_errno(&write_err, errno, "could not remove \"%s\"",
					   run->resume_file) != WA_OK :
		 write_resume(run, progress.place, &write_err) != WA_OK))
	{
		wa_cli_error("verify", &write_err);
		code = write_err.code;
	}
	return code == WA_OK && run->errors + run->warnings +
		run->found_before == 0 ? WA_EXIT_OK : WA_EXIT_FAILED;
}

int
wa_cmd_verify(int argc, char **argv)
{
	static const struct option long_options[] = {
		{"archive", required_argument, NULL, 'a'},
		{"quick", no_argument, NULL, 'q'},
		{"sample", required_argument, NULL, 's'},
		{"since", required_argument, NULL, 't'},
		{"timeline", required_argument, NULL, 'T'},
		{"jobs", required_argument, NULL, 'J'},
		{"resume", required_argument, NULL, 'r'},
		{"timeout", required_argument, NULL, 'o'},
		{"json", no_argument, NULL, 'j'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0}
	};
	Run			run = {0};
	WaVerifyOptions options = {
		.full = true,
		.timeout_ms = 60 * 1000,
		.seed = (uint64_t) time(NULL),
		.now_ms = wa_cli_now_ms,
		.found = print_finding,
		.progress = show_progress,
		.stop = should_stop,
		.arg = &run
	};
	uint64_t	number = 0;
	long		processors = sysconf(_SC_NPROCESSORS_ONLN);
	const char *archive = NULL;
	int			c;

	options.workers = processors < 1 ? 1 : processors > WA_POOL_WORKERS_MAX ?
		WA_POOL_WORKERS_MAX : (int) processors;
	opterr = 0;
	while ((c = getopt_long(argc, argv, ":", long_options, NULL)) != -1)
	{
		bool		good = true;

		switch (c)
		{
			case 'a':
				archive = optarg;
				break;
			case 'q':
				options.full = false;
				break;
			case 's':
				good = wa_text_number(optarg, 1, 100, &number);
				options.sample_percent = (unsigned) number;
				break;
			case 't':
				good = wa_cli_time_parse(optarg, &options.since_us);
				break;
			case 'T':
				good = wa_text_number(optarg, 1, UINT32_MAX, &number);
				options.tli = (uint32_t) number;
				break;
			case 'J':
				good = wa_text_number(optarg, 1, WA_POOL_WORKERS_MAX, &number);
				options.workers = (int) number;
				break;
			case 'r':
				run.resume_file = optarg;
				break;
			case 'o':
				good = wa_text_number(optarg, 1, 86400, &number);
				options.timeout_ms = number * 1000;
				break;
			case 'j':
				run.json = true;
				break;
			case 'h':
				fputs(usage, stdout);
				return WA_EXIT_OK;
			default:
				return wa_cli_usage("verify", "invalid option \"%s\"",
									argv[optind - 1]);
		}
		if (!good)
			return wa_cli_usage("verify", "\"%s\" is not valid there", optarg);
	}
	if (optind < argc)
		return wa_cli_usage("verify", "unexpected argument \"%s\"",
							argv[optind]);
	options.path = wa_cli_archive(archive);
	if (options.path == NULL)
		return wa_cli_usage("verify", "no archive was given: use --archive");
	return run_verify(&options, &run);
}
