/*
 * cmd_status.c
 *	  walarch status: the counters of archiving, also when the server is
 *	  down.
 */
#include "cli/cli.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "archive/drills.h"
#include "cli/json.h"
#include "cli/text.h"
#include "core/statusfile.h"

static const char usage[] =
"walarch status shows how archiving goes on a server, also when it is down.\n"
"\n"
"Usage:\n"
"  walarch status [-D DATADIR] [--json]\n"
"\n"
"Options:\n"
"  -D, --pgdata DIR  data directory of the cluster (or PGDATA)\n"
"  --json            one JSON object instead of text; sizes in bytes, times in\n"
"                    milliseconds, points in time as ISO 8601 in UTC\n"
"  --help            this text\n"
"\n"
"Reads pg_stat_tmp/walarch.status and pg_wal/archive_status, nothing else.\n"
"In SQL the same is the view walarch.status.\n"
"\n"
"Exit status: 0 the last attempt succeeded, or there was none; 1 it failed, or\n"
"the status could not be read; 2 wrong usage.\n";

typedef struct Report
{
	WaStatus	status;
	bool		counted;		/* there is a status file */
	uint64_t	backlog_files;
	uint64_t	backlog_bytes;
	char		oldest[WA_WALNAME_BYTES];
	int64_t		oldest_since_s;
} Report;

static WaCode
read_status_file(const char *datadir, const char *file, bool *found,
				 WaStatus *status, WaError *err)
{
	unsigned char buffer[WA_STATUSFILE_BYTES + 1];
	char		path[2048];
	ssize_t		length;
	int			fd;

	*found = false;
	memset(status, 0, sizeof(*status));
	snprintf(path, sizeof(path), "%s/%s", datadir, file);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return WA_OK;
	if (fd < 0)
		return wa_fail_errno(err, errno, "could not open \"%s\"", path);
	length = read(fd, buffer, sizeof(buffer));
	if (length < 0)
	{
		wa_fail_errno(err, errno, "could not read \"%s\"", path);
		close(fd);
		return err->code;
	}
	close(fd);
	if (wa_statusfile_decode(buffer, (size_t) length, path, status,
							 err) != WA_OK)
		return err->code;
	*found = true;
	return WA_OK;
}

static WaCode
read_backlog(const char *datadir, Report *report, WaError *err)
{
	char		path[2048];
	char		file[4096];
	DIR		   *dir;
	struct dirent *entry;
	struct stat st;
	WaWalName	name;
	WaWalName	oldest = {0};

	snprintf(path, sizeof(path), "%s/pg_wal/archive_status", datadir);
	dir = opendir(path);
	if (dir == NULL)
		return wa_fail_errno(err, errno, "could not open directory \"%s\"",
							 path);
	while ((entry = readdir(dir)) != NULL)
	{
		if (!wa_walname_ready(entry->d_name, &name))
			continue;
		report->backlog_files++;
		snprintf(file, sizeof(file), "%s/pg_wal/%s", datadir, name.text);
		if (stat(file, &st) == 0)
			report->backlog_bytes += (uint64_t) st.st_size;
		if (report->backlog_files == 1 ||
			wa_walname_archived_before(&name, &oldest))
			oldest = name;
	}
	closedir(dir);
	if (report->backlog_files == 0)
		return WA_OK;
	memcpy(report->oldest, oldest.text, sizeof(report->oldest));
	snprintf(file, sizeof(file), "%s/%s.ready", path, oldest.text);
	if (stat(file, &st) == 0)
		report->oldest_since_s = (int64_t) st.st_mtime;
	return WA_OK;
}

static const char *
state_of(const Report *report)
{
	if (!report->counted)
		return "unknown";
	if (report->status.consecutive_failures > 0)
		return "failing";
	if (report->backlog_files > 0 &&
		(int64_t) time(NULL) - report->oldest_since_s > 60)
		return "behind";
	return "ok";
}

/* What the archive tells of drills, if it can be reached. */
static const char *
drills_of(const Report *report, char *text)
{
	WaStoreOptions options = {0};
	WaDrillsSeen seen;
	WaStore    *store;
	WaError		ignored;

	text[0] = '\0';
	if (report->status.archive[0] != '/' ||
		wa_store_dir_open(report->status.archive, &options, &store,
						  &ignored) != WA_OK)
		return text;
	if (wa_drills_look(store, wa_cli_now_us(), &seen, &ignored) == WA_OK)
		(void) wa_drills_text(&seen, text);
	wa_store_close(store);
	return text;
}

static void
print_json(const Report *report)
{
	const WaStatus *status = &report->status;
	int64_t		oldest_us = report->oldest_since_s * 1000000;
	char		drills[WA_DRILLS_TEXT_BYTES];

	wa_json_object(NULL);
	wa_json_string("state", state_of(report));
	wa_json_string("archive", status->archive);
	wa_json_string("archive_id", status->archive_id);
	wa_json_string("last_archived_wal", status->last_archived_wal);
	wa_json_time("last_archived_time", status->last_archived_us != 0,
				 status->last_archived_us);
	wa_json_number("archived_count", (int64_t) status->archived_count);
	wa_json_number("identical_count", (int64_t) status->identical_count);
	wa_json_number("conflict_count", (int64_t) status->conflict_count);
	wa_json_number("replaced_count", (int64_t) status->replaced_count);
	wa_json_number("damaged_source_count", (int64_t) status->damaged_source_count);
	wa_json_number("failed_count", (int64_t) status->failed_count);
	wa_json_number("consecutive_failures", (int64_t) status->consecutive_failures);
	wa_json_string("last_failed_wal", status->last_failed_wal);
	wa_json_time("last_failed_time", status->last_failed_us != 0,
				 status->last_failed_us);
	wa_json_string("last_error", status->last_error);
	wa_json_string("last_error_sqlstate", status->last_error_sqlstate);
	wa_json_string("last_damaged_wal", status->last_damaged_wal);
	wa_json_time("last_damaged_time", status->last_damaged_us != 0,
				 status->last_damaged_us);
	wa_json_string("last_damage", status->last_damage);
	wa_json_number("backlog_files", (int64_t) report->backlog_files);
	wa_json_number("backlog_bytes", (int64_t) report->backlog_bytes);
	wa_json_string("oldest_waiting_wal", report->oldest);
	wa_json_time("oldest_waiting_since", oldest_us != 0, oldest_us);
	wa_json_number("raw_bytes", (int64_t) status->raw_bytes);
	wa_json_number("stored_bytes", (int64_t) status->stored_bytes);
	wa_json_number("read_ms", (int64_t) (status->read_us / 1000));
	wa_json_number("compress_ms", (int64_t) (status->compress_us / 1000));
	wa_json_number("store_ms", (int64_t) (status->store_us / 1000));
	wa_json_number("compression_level", (int64_t) status->compression_level);
	wa_json_number("workers", status->workers);
	if (status->free_bytes_us != 0)
		wa_json_number("free_bytes", (int64_t) status->free_bytes);
	else
		wa_json_string("free_bytes", NULL);
	wa_json_time("free_bytes_time", status->free_bytes_us != 0,
				 status->free_bytes_us);
	wa_json_time("stats_since", status->since_us != 0, status->since_us);
	wa_json_string("drill", drills_of(report, drills));
	wa_json_end();
}

static void
line(const char *name, const char *text)
{
	if (text[0] == '\0')
		return;
	printf("%-22s ", name);
	wa_text_print(stdout, text);
	printf("\n");
}

static void
time_line(const char *name, int64_t unix_us)
{
	char		text[WA_TIME_TEXT_BYTES];

	if (unix_us != 0)
		line(name, wa_cli_time_text(unix_us, true, text));
}

static void
print_text(const Report *report)
{
	const WaStatus *status = &report->status;
	char		text[WA_DRILLS_TEXT_BYTES];

	line("state", state_of(report));
	if (!report->counted)
		printf("%-22s %s\n", "",
			   "no file has been archived by walarch on this server");
	line("archive", status->archive);
	line("archive id", status->archive_id);
	line("last archived", status->last_archived_wal);
	time_line("  at", status->last_archived_us);
	printf("%-22s %" PRIu64 " (identical %" PRIu64 ", replaced %" PRIu64
		   ", damaged at source %" PRIu64 ")\n", "archived",
		   status->archived_count, status->identical_count,
		   status->replaced_count, status->damaged_source_count);
	printf("%-22s %" PRIu64 " (conflicts %" PRIu64 ", since last success %"
		   PRIu64 ")\n", "failed attempts", status->failed_count,
		   status->conflict_count, status->consecutive_failures);
	line("last failed", status->last_failed_wal);
	time_line("  at", status->last_failed_us);
	line("  error", status->last_error);
	line("last damaged in pg_wal", status->last_damaged_wal);
	time_line("  at", status->last_damaged_us);
	line("  damage", status->last_damage);
	printf("%-22s %" PRIu64 " files, %" PRIu64 " MB\n", "waiting",
		   report->backlog_files, report->backlog_bytes >> 20);
	line("  oldest", report->oldest);
	time_line("  since", report->oldest_since_s * 1000000);
	if (status->stored_bytes > 0)
		printf("%-22s %" PRIu64 " MB in %" PRIu64 " MB, ratio %.2f\n",
			   "stored", status->raw_bytes >> 20, status->stored_bytes >> 20,
			   (double) status->raw_bytes / (double) status->stored_bytes);
	time_line("counting since", status->since_us);
	line("drill", drills_of(report, text));
}

int
wa_cmd_status(int argc, char **argv)
{
	static const struct option long_options[] = {
		{"pgdata", required_argument, NULL, 'D'},
		{"json", no_argument, NULL, 'j'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0}
	};
	const char *datadir = NULL;
	bool		json = false;
	bool		based;
	Report		report = {0};
	WaStatus	baseline;
	WaError		err;
	int			c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, ":D:", long_options, NULL)) != -1)
	{
		switch (c)
		{
			case 'D':
				datadir = optarg;
				break;
			case 'j':
				json = true;
				break;
			case 'h':
				fputs(usage, stdout);
				return WA_EXIT_OK;
			default:
				return wa_cli_usage("status", "invalid option \"%s\"",
									argv[optind - 1]);
		}
	}
	if (optind < argc)
		return wa_cli_usage("status", "unexpected argument \"%s\"",
							argv[optind]);
	datadir = wa_cli_datadir(datadir);
	if (datadir == NULL)
		return wa_cli_usage("status", "no data directory was given: use -D");

	if (read_backlog(datadir, &report, &err) != WA_OK ||
		read_status_file(datadir, WA_STATUS_FILE, &report.counted,
						 &report.status, &err) != WA_OK ||
		read_status_file(datadir, WA_BASELINE_FILE, &based, &baseline,
						 &err) != WA_OK)
	{
		wa_cli_error("status", &err);
		return WA_EXIT_FAILED;
	}
	if (based)
		wa_status_subtract(&report.status, &baseline);
	if (json)
		print_json(&report);
	else
		print_text(&report);
	return report.status.consecutive_failures > 0 ?
		WA_EXIT_FAILED : WA_EXIT_OK;
}
