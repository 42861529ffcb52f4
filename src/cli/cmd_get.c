/*
 * cmd_get.c
 *	  walarch get: the restore_command.
 */
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "archive/delivery.h"
#include "archive/fetch.h"
#include "archive/known.h"
#include "archive/pool.h"
#include "cli/ahead.h"
#include "cli/exitcode.h"
#include "cli/get_options.h"
#include "cli/text.h"
#include "core/sink_zstd.h"

#define RETRY_FIRST_MS			100
#define RETRY_MAX_MS			1000

/* The attempt that runs in a thread, so that it can be given up. */
typedef struct GetTask
{
	WaTask		task;
	const WaGetOptions *options;
	WaCode		code;
	WaError		err;
} GetTask;

static char temporary[WA_DELIVERY_PATH_BYTES];

/* Take the temporary along, then die of the signal as PostgreSQL expects. */
static void
die_tidily(int signal_number)
{
	(void) unlink(temporary);
	(void) signal(signal_number, SIG_DFL);
	(void) raise(signal_number);
}

static void
handle_signals(const char *destination)
{
	static const int deadly[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT};
	struct sigaction action;

	memset(&action, 0, sizeof(action));
	action.sa_handler = SIG_IGN;
	sigaction(SIGPIPE, &action, NULL);
	sigaction(SIGXFSZ, &action, NULL);
	if (!wa_delivery_temporary(destination, temporary))
	{
		temporary[0] = '\0';	/* too long: none will be made */
		return;
	}
	action.sa_handler = die_tidily;
	action.sa_flags = SA_NODEFER;
	for (size_t i = 0; i < sizeof(deadly) / sizeof(deadly[0]); i++)
		sigaction(deadly[i], &action, NULL);
}

/*
 * A command that outlived its server must not put its file under a path
 * where the next server may be waiting for another.
 */
static pid_t parent;

static bool
still_wanted(void)
{
	return getppid() == parent;
}

/* Attempts follow each other; only one thread at a time touches these. */
static WaTrailStep step;
static bool also_alone;

/* All but the server's pg_control and the store's options. */
static void
fill_config(const WaGetOptions *options, WaFetchConfig *config,
			char *directory)
{
	const char *base = wa_get_split(options->destination, directory,
									WA_DELIVERY_PATH_BYTES);
	mode_t		dir_mode;

	memset(config, 0, sizeof(*config));
	config->archive = options->archive;
	config->also.directories = options->also;
	config->also.count = options->also_count;
	config->known_file = WA_KNOWN_FILE;
	config->still_wanted = still_wanted;
	config->standby = options->standby;
	wa_cli_modes(directory, &config->mode, &dir_mode);
	if (strcmp(base, "RECOVERYXLOG") == 0 ||
		strcmp(base, "RECOVERYHISTORY") == 0)
		config->pg_wal = directory;
}

static void
use_trail(WaFetchConfig *config)
{
	config->trail_file = WA_TRAIL_FILE;
	config->step = &step;
}

/* One attempt, in a thread. */
static void
get_run(WaTask *task, WaWorker *worker)
{
	GetTask    *self = (GetTask *) task;
	const WaGetOptions *options = self->options;
	WaFetchConfig config;
	WaControlFile control;
	WaZstd	   *zstd;
	char		directory[WA_DELIVERY_PATH_BYTES];

	fill_config(options, &config, directory);
	config.store.beat = &worker->beat;
	config.also_alone = &also_alone;
	self->code = wa_cli_control(".", &control, &self->err);
	if (self->code == WA_OK && config.pg_wal != NULL)
		use_trail(&config);
	if (self->code == WA_NOT_FOUND && config.pg_wal == NULL)
	{
		/* pg_rewind runs elsewhere, and asks for DATADIR/pg_wal/SEGMENT */
		char		datadir[WA_DELIVERY_PATH_BYTES + 4];

		snprintf(datadir, sizeof(datadir), "%s/..", directory);
		self->code = wa_cli_control(datadir, &control, &self->err);
	}
	if (self->code == WA_OK)
		config.control = &control;
	else if (self->code != WA_NOT_FOUND)
		return;
	zstd = wa_zstd_open();
	if (zstd == NULL)
		self->code = wa_fail(&self->err, WA_NO_MEMORY, "out of memory");
	else
		self->code = wa_fetch(&config, zstd, options->file,
							  options->destination, &self->err);
	wa_zstd_close(zstd);
}

static void
get_release(WaTask *task)
{
	free(task);
}

/* Run one attempt and wait for it, but not longer than the timeout. */
static WaCode
attempt(WaPool *pool, const WaGetOptions *options, WaError *err)
{
	GetTask    *get = calloc(1, sizeof(*get));
	struct pollfd event = {.fd = wa_pool_event_fd(pool), .events = POLLIN};
	WaTaskState state;
	WaCode		code;

	if (get == NULL)
		return wa_fail(err, WA_NO_MEMORY, "out of memory");
	get->task.run = get_run;
	get->task.release = get_release;
	get->options = options;
	if (wa_pool_submit(pool, &get->task, err) != WA_OK)
	{
		free(get);
		return err->code;
	}
	while ((state = wa_pool_watch(pool, &get->task, wa_cli_now_ms(),
								  (uint64_t) options->timeout_s * 1000)) ==
		   WA_TASK_RUNNING)
	{
		(void) poll(&event, 1, 100);
		wa_pool_drain_events(pool);
	}
	if (state == WA_TASK_STUCK && wa_pool_abandon(pool, &get->task))
	{
		wa_fail(err, WA_STUCK,
				"an operation on the archive \"%s\" has not come back for "
				"%ld s", options->archive, options->timeout_s);
		wa_hint(err, "Look at the storage of the archive: is it mounted, "
				"does it answer?");
		return err->code;
	}
	code = get->code;
	*err = get->err;
	free(get);
	return code;
}

static void
sleep_ms(uint64_t duration_ms)
{
	struct timespec rest = {
		.tv_sec = (time_t) (duration_ms / 1000),
		.tv_nsec = (long) (duration_ms % 1000) * 1000000
	};

	while (nanosleep(&rest, &rest) != 0 && errno == EINTR)
		;
}

/* Attempts until it is known, or until what may pass has not passed. */
static WaCode
get_with_retries(const WaGetOptions *options, bool patient, WaError *err)
{
	uint64_t	begun_ms = wa_cli_now_ms();
	uint64_t	delay_ms = RETRY_FIRST_MS;
	uint64_t	limit_ms = patient ? (uint64_t) options->retry_s * 1000 : 0;
	WaPool	   *pool = wa_pool_open(1);
	WaCode		code;

	if (pool == NULL)
		return wa_fail(err, WA_NO_MEMORY, "out of memory");
	for (;;)
	{
		code = attempt(pool, options, err);
		if (code == WA_OK || code == WA_NOT_FOUND || code == WA_STUCK ||
			!wa_error_transient(err) ||
			wa_cli_now_ms() - begun_ms + delay_ms > limit_ms)
			break;
		sleep_ms(delay_ms);
		delay_ms = delay_ms * 2 < RETRY_MAX_MS ? delay_ms * 2 : RETRY_MAX_MS;
	}
	/* a stuck thread would be waited for; the process ends it */
	if (code == WA_STUCK)
		(void) unlink(temporary);
	else
		wa_pool_close(pool, 0);
	return code;
}

/* One line: what happened, what PostgreSQL will make of it, the way out. */
static void
explain(const WaGetOptions *options, const WaAsker *asker, const WaError *err,
		int status)
{
	bool		history = options->file != NULL &&
		strstr(options->file, ".history") != NULL;

	fputs("walarch get: ", stderr);
	if (options->file != NULL)
		fprintf(stderr, "could not restore \"%s\": ", options->file);
	wa_text_print(stderr, err->message);
	if (status == WA_EXIT_GET_STOP)
		fprintf(stderr, "; recovery stops, because to call the file absent "
				"could end it early%s", history ? "" :
				" (if the recovery target lies before this segment, add "
				"--until SEGMENT to restore_command or set "
				"recovery_prefetch = off)");
	else if (asker->promoting)
		fprintf(stderr, "; reported as absent, because the server is being "
				"opened and must not be stopped half-way; it uses its own "
				"copy if it has one");
	else if (asker->beyond_until)
		fprintf(stderr, "; it lies past --until and is reported as absent");
	else if (!options->standby)
		fprintf(stderr, "; reported as absent because of --no-strict: "
				"recovery may end here, too early");
	else
		fprintf(stderr, "; reported as absent, the standby will ask again: do "
				"not promote it before this is mended, since a promotion "
				"could miss archived WAL or reuse a timeline number");
	if (err->hint[0] != '\0')
		fprintf(stderr, ". %s", err->hint);
	fputc('\n', stderr);
}

/*
 * Absence is no news, but for this: the archive itself could not be asked,
 * and may be a file system that is not mounted.
 */
static void
explain_alone(const WaGetOptions *options)
{
	fprintf(stderr, "walarch get: \"%s\" is not there, by --also alone: "
			"archive directory \"", options->file);
	wa_text_print(stderr, options->archive);
	fputs("\" is empty and has no marker \"archive.id\"\n", stderr);
}

/* A later segment than --until, on whatever timeline. */
static bool
beyond_until(const WaGetOptions *options)
{
	WaWalName	name;
	WaError		ignored;

	return options->until_given && options->file != NULL &&
		wa_walname_parse(options->file, &name, &ignored) == WA_OK &&
		name.kind == WA_KIND_SEGMENT &&
		(name.log > options->until.log ||
		 (name.log == options->until.log && name.seg > options->until.seg));
}

/*
 * The last request of a recovery, for the history of the timeline it leaves,
 * comes when PostgreSQL has already removed the signal file.  To stop the
 * server now would let it come up again on the old timeline, as if there had
 * been no recovery.
 */
static bool
promoting(const char *destination)
{
	char		directory[WA_DELIVERY_PATH_BYTES];

	return strcmp(wa_get_split(destination, directory, sizeof(directory)),
				  "RECOVERYHISTORY") == 0 &&
		access("standby.signal", F_OK) != 0 &&
		access("recovery.signal", F_OK) != 0 &&
		access("global/pg_control", F_OK) == 0;
}

/* Does pg_wal hold the file?  Then PostgreSQL uses that when told 1. */
static bool
has_own_copy(const WaGetOptions *options)
{
	char		directory[WA_DELIVERY_PATH_BYTES];
	char		path[WA_DELIVERY_PATH_BYTES + WA_WALNAME_BYTES];

	(void) wa_get_split(options->destination, directory, sizeof(directory));
	snprintf(path, sizeof(path), "%s/%.40s", directory, options->file);
	return access(path, F_OK) == 0;
}

/* From what was fetched ahead, or else from the archive. */
static WaCode
get(const WaGetOptions *options, bool patient, WaError *err)
{
	char		directory[WA_DELIVERY_PATH_BYTES];
	WaFetchConfig config;
	WaAhead		ahead;
	WaCode		code;

	fill_config(options, &config, directory);
	use_trail(&config);
	if (wa_ahead_find(options, &ahead) && wa_ahead_deliver(&ahead, &config))
		return WA_OK;
	code = get_with_retries(options, patient, err);
	if (code == WA_OK)
		wa_ahead_start(&ahead);
	return code;
}

int
wa_cmd_get(int argc, char **argv)
{
	WaGetOptions options;
	WaAsker		asker = {0};
	WaError		err;
	WaCode		code;
	int			status;

	parent = getppid();
	wa_get_defaults(&options);
	code = wa_get_options(argc, argv, &options, &err);
	if (code == WA_CANCELLED)
	{
		fputs(wa_get_usage, stdout);
		return WA_EXIT_GET_DELIVERED;
	}
	asker.strict = options.strict;
	asker.beyond_until = beyond_until(&options);

	/* %p stands last, also on a command line that is wrong otherwise */
	asker.promoting = promoting(argv[argc - 1]);
	if (code == WA_OK && asker.promoting && has_own_copy(&options))
		options.retry_s = 0;
	if (code == WA_OK)
	{
		handle_signals(options.destination);
		code = get(&options, !asker.beyond_until, &err);
		if (code == WA_OK)
			code = wa_tablespaces_check(options.destination, options.file,
										options.tablespaces, &err);
		if (code == WA_REFUSED)
			(void) unlink(options.destination);
	}
	/* what was asked must not go unnoticed: an old trail would mislead */
	if (!step.taken && access("global/pg_control", F_OK) == 0)
		(void) unlink(WA_TRAIL_FILE);
	status = wa_exit_get(code, &asker);
	if (code != WA_OK && code != WA_NOT_FOUND)
		explain(&options, &asker, &err, status);
	else if (code == WA_NOT_FOUND && also_alone)
		explain_alone(&options);
	return status;
}
