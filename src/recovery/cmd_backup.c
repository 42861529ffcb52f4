/*
 * cmd_backup.c
 *	  walarch backup: take a base backup into an archive.
 */
#include "recovery/recovery.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "archive/basefile.h"
#include "archive/bases.h"
#include "archive/identity.h"
#include "archive/layout.h"
#include "cli/cli.h"
#include "cli/json.h"
#include "cli/progress.h"
#include "cli/text.h"
#include "core/array.h"
#include "core/lsn.h"
#include "core/sink_check.h"
#include "core/sink_zstd.h"
#include "recovery/arrival.h"
#include "recovery/hold.h"
#include "recovery/parent.h"
#include "recovery/policy.h"
#include "recovery/stream.h"

static const char usage[] =
"walarch backup takes a base backup of a running server into an archive, from\n"
"which walarch restore brings it back. The backup counts only when all of it,\n"
"and the WAL that it needs, is there and durable.\n"
"\n"
"Usage:\n"
"  walarch backup --archive DIR [-d CONNSTR] [-h HOST] [-p PORT] [-U USER]\n"
"                 [--incremental] [--label TEXT] [--checkpoint fast|spread]\n"
"                 [--max-rate RATE] [--level N] [--threads N]\n"
"                 [--wal-timeout TIME] [--json] [--quiet]\n"
"\n"
"Options:\n"
"  --archive DIR            archive directory (or WALARCH_ARCHIVE)\n"
"  -d, --dbname CONNSTR, -h, --host HOST, -p, --port PORT, -U, --username USER\n"
"                           the server, a primary or a standby; as for all\n"
"                           tools of PostgreSQL, the environment (PGHOST ...)\n"
"                           and password files serve, too. The user needs\n"
"                           REPLICATION, and pg_hba.conf must allow it\n"
"  --incremental            only what has changed since the newest backup in the\n"
"                           archive, which may be incremental, too. PostgreSQL\n"
"                           17 and later, with summarize_wal = on\n"
"  --label TEXT             a label for people (default: walarch backup)\n"
"  --checkpoint fast|spread begin with a checkpoint at once, or with one that\n"
"                           is spread over time (default: spread)\n"
"  --max-rate RATE          at most so much from the server per second: a\n"
"                           number and kB, MB or GB (default: no limit)\n"
"  --level N                zstd level, -7 to 19 (default: 3)\n"
"  --threads N              threads that compress, 0 to 64 (default: 2)\n"
"  --wal-timeout TIME       how long to wait at the end for the WAL that the\n"
"                           backup needs to arrive in the archive (default:\n"
"                           10min)\n"
"  --json                   one JSON object at the end; sizes in bytes\n"
"  --quiet                  print nothing but errors and warnings\n"
"  --help                   this text\n"
"\n"
"An interrupted backup leaves nothing that counts, and is swept by the next.\n"
"With walarch.auto_prune = on, what retention lets go of is deleted at the end.\n"
"\n"
"Exit status: 0 taken; 1 failed, or taken although the server reported damaged\n"
"data pages; 2 wrong usage.\n";

#define DEFAULT_LABEL			"walarch backup"
#define WAL_TIMEOUT_US			(INT64_C(600) * 1000000)
#define LOCK_POLL_US			100000
#define LOCK_TRIES				50
#define WAL_POLL_US				200000
#define SAY_EVERY_MS			15000

typedef struct Options
{
	const char *archive;
	WaServer	server;
	WaStreamOptions stream;
	bool		incremental;
	int			level;
	int			threads;
	int64_t		wal_timeout_us;
	bool		json;
	bool		quiet;
} Options;

/* A backup on its way from the server into the archive. */
typedef struct Taking
{
	const Options *options;
	WaStore    *store;
	WaMarker	marker;
	WaStreamServer server;
	WaBaseBackup backup;
	WaBaseBackup parent;		/* of an incremental one, */
	char		pin[WA_PIN_NAME_BYTES]; /* which this keeps */
	WaZstd	   *zstd;
	uint64_t	total_bytes;	/* as the server estimates them */
	bool		open;			/* a file is being written: */
	WaPut	   *put;
	WaPutSink	put_sink;
	WaCheckSink check;
	WaSink	   *sink;
} Taking;

static void __attribute__((format(printf, 2, 3)))
say(const Options *options, const char *format,...)
{
	va_list		args;

	if (options->quiet || options->json)
		return;
	wa_progress_wipe();
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
}

/* ---- one file --------------------------------------------------------------- */

static void
drop_file(Taking *self)
{
	if (!self->open)
		return;
	wa_sink_close(self->sink);
	wa_put_close(self->put);
	self->open = false;
}

/* The file that is open becomes durable, under its name. */
static WaCode
end_file(Taking *self, WaError *err)
{
	WaBaseFile *file;
	WaCode		code;

	if (!self->open)
		return WA_OK;
	file = &self->backup.files[self->backup.files_count - 1];
	code = wa_sink_finish(self->sink, err);
	if (code == WA_OK)
	{
		file->raw_bytes = self->check.bytes;
		file->stored_bytes = self->put_sink.written;
		wa_sink_check_digest(&self->check, &file->digest);
		code = wa_put_stage(self->put, err);
	}
	if (code == WA_OK)
		code = wa_put_commit(self->put, err);
	if (code == WA_OK)
		code = wa_store_sync(self->store, err);
	drop_file(self);
	return code;
}

static WaCode
send_manifest(void *arg, WaSink *to, WaError *err)
{
	Taking	   *self = arg;

	/* what can be read as a backup has one */
	return wa_basefile_read(self->store, &self->parent,
							wa_base_file(&self->parent, WA_BASE_MANIFEST), to,
							err);
}

static WaCode
take_file(void *arg, const char *name, const char *location, WaError *err)
{
	Taking	   *self = arg;
	WaBaseBackup *backup = &self->backup;
	WaBaseFile	file = {0};
	WaBaseFile *larger;
	char		key[WA_KEY_BYTES];
	uint32_t	oid;
	WaSink	   *next;

	if (end_file(self, err) != WA_OK)
		return err->code;
	snprintf(file.name, sizeof(file.name), "%.30s.zst", name);
	if (strlen(name) > 30 || !wa_base_file_valid(file.name, &oid) ||
		(oid != 0) != (location[0] != '\0'))
		return wa_fail(err, WA_INVALID, "the server sent an archive \"%.100s\" "
					   "that is not part of a backup", name);
	if (!wa_base_path_valid(location))
		return wa_fail(err, WA_INVALID, "the location of tablespace %" PRIu32
					   " cannot be noted: it holds control characters, or is "
					   "too long", oid);
	snprintf(file.location, sizeof(file.location), "%s", location);
	larger = wa_array_room(backup->files, backup->files_count, sizeof(file));
	if (larger == NULL)
		return wa_fail(err, WA_NO_MEMORY, "out of memory");
	backup->files = larger;
	backup->files[backup->files_count++] = file;

	wa_layout_base_key(backup->id, file.name, key);
	if (wa_put_begin(self->store, key, &self->put, err) != WA_OK)
		return err->code;
	next = wa_sink_zstd_compress(self->zstd, self->options->level,
								 WA_ZSTD_UNKNOWN,
								 wa_put_sink(&self->put_sink, self->put));
	self->sink = next != NULL ? wa_sink_check(&self->check, next) : NULL;
	if (self->sink == NULL)
	{
		wa_put_close(self->put);
		return wa_fail(err, WA_NO_MEMORY, "out of memory");
	}
	self->open = true;
	return WA_OK;
}

static WaCode
take_data(void *arg, const char *data, size_t length, WaError *err)
{
	Taking	   *self = arg;

	if (!self->open)
		return wa_fail(err, WA_INVALID, "the server sent bytes of no file");
	return wa_sink_write(self->sink, data, length, err);
}

static void
take_progress(void *arg, uint64_t done_bytes)
{
	Taking	   *self = arg;

	if (!self->options->quiet && !self->options->json)
		wa_progress_show(done_bytes, self->total_bytes);
}

static WaCode
take_begin(void *arg, uint64_t start_lsn, uint32_t tli, uint64_t total_bytes,
		   WaError *err)
{
	Taking	   *self = arg;
	WaBaseBackup *backup = &self->backup;

	backup->start_lsn = start_lsn;
	backup->start_tli = tli;
	backup->start_us = wa_cli_now_us();
	self->total_bytes = total_bytes;
	if (wa_base_begin(self->store, self->marker.segment_bytes, backup,
					  err) != WA_OK)
		return err->code;
	say(self->options, "backup %s begins at " WA_LSN_FORMAT " on timeline %"
		PRIu32 "%s%s\n", backup->id, WA_LSN_ARGS(start_lsn), tli,
		backup->parent[0] != '\0' ? ", incremental to " : "", backup->parent);
	return WA_OK;
}

/* ---- the WAL that it needs -------------------------------------------------- */

static WaCode
wait_for_wal(Taking *self, WaError *err)
{
	const Options *options = self->options;
	uint64_t	segno = self->backup.start_lsn / self->marker.segment_bytes;
	uint64_t	begun_ms = wa_cli_now_ms();
	uint64_t	said_ms = begun_ms;
	WaWalName	name;
	bool		missing;

	for (;;)
	{
		uint64_t	now_ms;

		if (wa_arrival_look(self->store, &self->marker, &self->backup, &segno,
							&name, &missing, err) != WA_OK)
			return err->code;
		if (!missing)
			return WA_OK;
		now_ms = wa_cli_now_ms();
		if ((int64_t) (now_ms - begun_ms) * 1000 >= options->wal_timeout_us)
			break;
		if (now_ms - said_ms >= SAY_EVERY_MS)
		{
			say(options, "waiting for WAL segment %s%s\n", name.text,
				self->server.standby ? ", which the primary archives when it "
				"is full or switched" : " to be archived");
			said_ms = now_ms;
		}
		usleep(WAL_POLL_US);
	}
	wa_fail(err, WA_STUCK, "WAL segment %s, which the backup needs, has not "
			"arrived in \"%s\"", name.text, options->archive);
	wa_hint(err, self->server.standby ? "The primary archives it when it is "
			"full or switched: run pg_switch_wal() there, or set "
			"archive_timeout, and give more --wal-timeout." :
			"See walarch.status on the server, and whether walarch.archive "
			"is this archive.");
	return err->code;
}

/* ---- the whole -------------------------------------------------------------- */

/* A prune that removes what a deletion left soon ends. */
static WaCode
lock_bases(Taking *self, WaError *err)
{
	for (int i = 0; wa_bases_lock(self->store, &self->marker, err) != WA_OK; i++)
	{
		if (err->code != WA_EXISTS || i == LOCK_TRIES)
			return err->code;
		usleep(LOCK_POLL_US);
	}
	return WA_OK;
}

static WaCode
check_server(Taking *self, PGconn *connection, WaError *err)
{
	const Options *options = self->options;

	if (wa_stream_ask(connection, &self->server, err) != WA_OK ||
		wa_identity_check(&self->marker, options->archive,
						  self->server.system_identifier,
						  self->marker.segment_bytes, err) != WA_OK)
		return err->code;
	if (!self->server.standby && !self->server.archives)
	{
		wa_fail(err, WA_INVALID, "archive_mode is off on the server: the WAL "
				"that a backup needs would never arrive");
		wa_hint(err, "Set archive_mode = on and archive_library = 'walarch', "
				"and restart the server.");
		return err->code;
	}
	return WA_OK;
}

static WaCode
take(Taking *self, PGconn *connection, WaError *err)
{
	const WaStreamTaker taker = {
		.manifest = self->options->incremental ? send_manifest : NULL,
		.begin = take_begin,
		.file = take_file,
		.data = take_data,
		.progress = take_progress,
		.arg = self
	};
	WaBaseBackup *backup = &self->backup;
	WaStreamEnd end;

	backup->server_version = self->server.version;
	backup->from_standby = self->server.standby;
	snprintf(backup->label, sizeof(backup->label), "%s",
			 self->options->stream.label);
	snprintf(backup->parent, sizeof(backup->parent), "%s", self->parent.id);
	if (!self->options->stream.fast)
		say(self->options, "waiting for a checkpoint\n");
	if (wa_stream_backup(connection, &self->options->stream, &taker, &end,
						 err) != WA_OK ||
		end_file(self, err) != WA_OK)
		return err->code;
	backup->stop_lsn = end.stop_lsn;
	backup->stop_tli = end.stop_tli;
	backup->stop_us = wa_cli_now_us();
	backup->checksum_failures = end.checksum_failures;
	wa_progress_wipe();
	if (backup->stop_tli != backup->start_tli)
		return wa_fail(err, WA_CHANGED, "the server went from timeline %" PRIu32
					   " to %" PRIu32 " during the backup", backup->start_tli,
					   backup->stop_tli);
	return wait_for_wal(self, err);
}

/*
 * It is whole: say so.  Its parent was pinned, but not for ever, and nobody is
 * kept from deleting files.
 */
static WaCode
advertise(Taking *self, WaError *err)
{
	WaBaseBackup parent = {0};
	WaCode		code = WA_OK;

	if (self->options->incremental)
		code = wa_base_read(self->store, self->parent.id, &parent, err);
	wa_base_free(&parent);
	if (code != WA_OK)
		return code;
	self->backup.token[0] = '\0';
	return wa_base_advertise(self->store, &self->backup, err);
}

static void
report(const Taking *self, uint64_t took_ms)
{
	const WaBaseBackup *backup = &self->backup;
	char		raw_text[WA_SIZE_TEXT_BYTES];
	char		stored_text[WA_SIZE_TEXT_BYTES];
	uint64_t	stored = wa_base_stored_bytes(backup);
	uint64_t	raw = 0;

	for (size_t i = 0; i < backup->files_count; i++)
		raw += backup->files[i].raw_bytes;
	if (backup->checksum_failures)
		fprintf(stderr, "walarch backup: the server reported damaged data "
				"pages (see above, and its log); the backup is kept and "
				"marked\n");
	if (self->options->json)
	{
		wa_json_object(NULL);
		wa_json_string("backup_id", backup->id);
		wa_json_string("label", backup->label);
		wa_json_string("parent", backup->parent);
		wa_json_number("timeline", backup->start_tli);
		wa_json_lsn("start_lsn", backup->start_lsn);
		wa_json_lsn("stop_lsn", backup->stop_lsn);
		wa_json_time("start_time", true, backup->start_us);
		wa_json_time("stop_time", true, backup->stop_us);
		wa_json_number("raw_bytes", (int64_t) raw);
		wa_json_number("bytes", (int64_t) stored);
		wa_json_number("ms", (int64_t) took_ms);
		wa_json_bool("from_standby", backup->from_standby);
		wa_json_bool("checksum_failures", backup->checksum_failures);
		wa_json_end();
	}
	else if (!self->options->quiet)
		printf("backup %s taken: %s in %s, %.1f s, up to " WA_LSN_FORMAT "\n",
			   backup->id, wa_text_of_size(raw, raw_text),
			   wa_text_of_size(stored, stored_text), (double) took_ms / 1000,
			   WA_LSN_ARGS(backup->stop_lsn));
}

/*
 * walarch.auto_prune: the last step of a backup.  Whoever may only replicate
 * cannot ask for it, and prunes by other means.
 */
static int
prune_after(const Options *options)
{
	char *const more[] = {
		(char *) "--apply",
		options->json || options->quiet ? (char *) "--quiet" : NULL,
		NULL
	};
	bool		wanted;
	WaError		err;

	if (wa_policy_auto_prune(&options->server, &wanted, &err) != WA_OK)
	{
		say(options, "nothing was pruned: %s\n", err.message);
		return WA_EXIT_OK;
	}
	if (!wanted || wa_prune_by_server(&options->server, options->archive,
									  more) == WA_EXIT_OK)
		return WA_EXIT_OK;
	fprintf(stderr, "walarch backup: the backup is taken, but what "
			"walarch.auto_prune lets go of was not deleted\n");
	return WA_EXIT_FAILED;
}

/* Nothing has been archived yet: then there is a simple way out. */
static void
explain_empty(const Options *options, WaError *err)
{
	WaStoreOptions ignored = {0};
	WaError		other;
	WaStore    *store;
	bool		empty;

	if (err->code != WA_NO_MARKER ||
		wa_store_dir_open(options->archive, &ignored, &store, &other) != WA_OK)
		return;
	if (wa_identity_empty(store, &empty, &other) == WA_OK && empty)
	{
		wa_fail(err, WA_NO_MARKER, "nothing has been archived into \"%s\" "
				"yet", options->archive);
		wa_hint(err, "The first file that the server archives makes it an "
				"archive: run pg_switch_wal() on the server, and see "
				"walarch.status when that does not help.");
	}
	wa_store_close(store);
}

static int
backup(const Options *options)
{
	Taking		self = {.options = options, .zstd = wa_zstd_open()};
	PGconn	   *connection = NULL;
	uint64_t	begun_ms = wa_cli_now_ms();
	uint32_t	swept = 0;
	int			status = WA_EXIT_FAILED;
	WaError		err;

	if (self.zstd == NULL)
		wa_fail(&err, WA_NO_MEMORY, "out of memory");
	else if (wa_cli_archive_open_noted(options->archive, self.backup.token,
									   &self.store, &self.marker,
									   &err) == WA_OK &&
			 wa_server_connect(&options->server, true, &connection,
							   &err) == WA_OK &&
			 check_server(&self, connection, &err) == WA_OK &&
			 lock_bases(&self, &err) == WA_OK &&
			 wa_bases_sweep(self.store, &swept, &err) == WA_OK)
	{
		wa_zstd_threads(self.zstd, options->threads);
		if (swept > 0)
			say(options, "removed what %" PRIu32 " interrupted backup%s left\n",
				swept, swept == 1 ? "" : "s");
		if ((!options->incremental ||
			 wa_parent_choose(options->archive, &self.server, &self.parent,
							  self.pin, &err) == WA_OK) &&
			take(&self, connection, &err) == WA_OK &&
			advertise(&self, &err) == WA_OK)
			status = WA_EXIT_OK;
	}
	wa_hold_end(options->archive, self.pin);
	drop_file(&self);
	if (status != WA_EXIT_OK)
	{
		wa_progress_wipe();
		explain_empty(options, &err);
		wa_cli_error("backup", &err);
	}
	else
	{
		report(&self, wa_cli_now_ms() - begun_ms);
		if (self.backup.checksum_failures)
			status = WA_EXIT_FAILED;
		else
			status = prune_after(options);
	}
	PQfinish(connection);
	wa_base_free(&self.backup);
	wa_base_free(&self.parent);
	wa_zstd_close(self.zstd);
	wa_store_close(self.store);
	return status;
}

static bool
take_checkpoint(const char *value, bool *fast)
{
	*fast = strcmp(value, "fast") == 0;
	return *fast || strcmp(value, "spread") == 0;
}

/* As the server takes it: 32 kB/s to 1 GB/s. */
static bool
take_rate(const char *value, uint32_t *rate)
{
	uint64_t	bytes;

	if (!wa_text_size(value, &bytes) || bytes < 32 * 1024 ||
		bytes > UINT64_C(1024) * 1024 * 1024)
		return false;
	*rate = (uint32_t) (bytes / 1024);
	return true;
}

static bool
take_number(const char *value, int least, int most, int *number)
{
	char	   *end;
	long		parsed = strtol(value, &end, 10);

	if (*value == '\0' || *end != '\0' || parsed < least || parsed > most)
		return false;
	*number = (int) parsed;
	return true;
}

int
wa_cmd_backup(int argc, char **argv)
{
	static const struct option long_options[] = {
		WA_SERVER_OPTIONS,
		{"archive", required_argument, NULL, 'a'},
		{"incremental", no_argument, NULL, 'i'},
		{"label", required_argument, NULL, 'l'},
		{"checkpoint", required_argument, NULL, 'c'},
		{"max-rate", required_argument, NULL, 'r'},
		{"level", required_argument, NULL, 'L'},
		{"threads", required_argument, NULL, 't'},
		{"wal-timeout", required_argument, NULL, 'w'},
		{"json", no_argument, NULL, 'j'},
		{"quiet", no_argument, NULL, 'q'},
		{"help", no_argument, NULL, 'H'},
		{NULL, 0, NULL, 0}
	};
	Options		options = {
		.stream = {.label = DEFAULT_LABEL},
		.level = 3,
		.threads = 2,
		.wal_timeout_us = WAL_TIMEOUT_US
	};
	int			c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, ":" WA_SERVER_LETTERS, long_options,
							NULL)) != -1)
	{
		bool		good = true;

		if (wa_server_option(&options.server, c, optarg))
			continue;
		switch (c)
		{
			case 'a':
				options.archive = optarg;
				break;
			case 'i':
				options.incremental = true;
				break;
			case 'l':
				options.stream.label = optarg;
				good = wa_base_label_valid(optarg);
				break;
			case 'c':
				good = take_checkpoint(optarg, &options.stream.fast);
				break;
			case 'r':
				good = take_rate(optarg, &options.stream.max_rate);
				break;
			case 'L':
				good = take_number(optarg, WA_ZSTD_LEVEL_MIN,
								   WA_ZSTD_LEVEL_MAX, &options.level);
				break;
			case 't':
				good = take_number(optarg, 0, 64, &options.threads);
				break;
			case 'w':
				good = wa_text_duration(optarg, &options.wal_timeout_us);
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
				return wa_cli_usage("backup", "invalid option \"%s\"",
									argv[optind - 1]);
		}
		if (!good)
			return wa_cli_usage("backup", "invalid value \"%s\" of %s", optarg,
								argv[optind - 1] == optarg ?
								argv[optind - 2] : argv[optind - 1]);
	}
	if (optind < argc)
		return wa_cli_usage("backup", "unexpected argument \"%s\"",
							argv[optind]);
	options.archive = wa_cli_archive(options.archive);
	if (options.archive == NULL)
		return wa_cli_usage("backup", "no archive was given: use --archive");
	return backup(&options);
}
