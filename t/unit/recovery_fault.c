/*
 * recovery_fault.c
 *	  A backup and a restore in which the n-th system call fails, for every n:
 *	  what is offered as a backup is whole, what a server could start on is what
 *	  was backed up, no failure is silent, and the next try succeeds.
 *
 * Both are the shipped code, to which a canned server sends the backup.  Each call
 * fails with one of the errors in turn; WALARCH_FAULTS=all: with each of them.
 */
#include <fcntl.h>
#include <getopt.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "archive/basefile.h"
#include "archive/bases.h"
#include "archive/layout.h"
#include "archive/push.h"
#include "canned.h"
#include "core/bytes.h"
#include "core/walheader.h"
#include "faults.h"
#include "fixture.h"
#include "recovery/hold.h"
#include "recovery/recovery.h"
#include "recovery/restore.h"
#include "tap.h"
#include "walwriter.h"

#define N_MAX	3000

static char archive[512];
static char directory[512];
static char tablespace[512];
static WaError err;

static void
make_archive(void)
{
	WaArchiveConfig settings;
	WaArchive  *opened;
	WaBench    *bench = wa_bench_open();
	WaPushResult result;
	WalWriter	wal;

	must(mkdir("archive", 0700) == 0);
	archive_config(&settings, archive, SEG_1MB);
	opened = wa_archive_open(&settings);
	must(opened != NULL && bench != NULL);
	wal_open(&wal, SEG_1MB, 2);
	for (int i = 0; i < 3; i++)
	{
		wal_fill_until(&wal, 400);
		(void) wal_switch(&wal);
	}
	for (int i = 0; i < 3; i++)
	{
		unsigned char *bytes = wal_segment(&wal, i);

		wa_put64(bytes + WA_WALHEADER_SYSID, SYSID);
		write_file("source", bytes, SEG_1MB);
		if (wa_push(opened, bench, NULL, 3, wal_name(&wal, i), "source", 0,
					&result, &err) != WA_OK)
			diag("%s", err.message);
	}
	wal_close(&wal);
	wa_archive_close(opened);
	wa_bench_close(bench);
}

/* ---- a backup --------------------------------------------------------------- */

/* The server's walarch.auto_prune is off. */
int
wa_prune_by_server(const WaServer *server, const char *path,
				   char *const *more)
{
	return 1;
}

static void
no_backup(void)
{
	remove_tree("archive/base");
	(void) unlink("archive/base.lock");
	remove_tree("archive/tmp");
	must(mkdir("archive/tmp", 0700) == 0);
}

/* The shipped command; what it says goes to a file. */
static int
backup(void)
{
	char	   *words[] = {
		(char *) "backup", (char *) "--archive", archive,
		(char *) "--checkpoint", (char *) "fast", (char *) "--threads",
		(char *) "0", (char *) "--wal-timeout", (char *) "1s",
		(char *) "--quiet", NULL
	};

	optind = 0;
	return wa_cmd_backup(10, words);
}

static WaCode
count_bytes(WaSink *sink, const void *data, size_t length, WaError *error)
{
	return WA_OK;
}

static void
leave(WaSink *sink)
{
}

/* How many are offered; -1 when one of them is not whole. */
static int
offered(int *unfinished)
{
	static const WaSinkOps ops = {
		.write = count_bytes,.finish = wa_sink_forward_finish,.close = leave
	};
	WaStoreOptions options;
	WaStore    *store;
	WaBases		bases;
	int			count = 0;

	store_options(&options);
	must(wa_store_dir_open(archive, &options, &store, &err) == WA_OK);
	*unfinished = 0;
	if (wa_bases_read(store, &bases, &err) != WA_OK)
	{
		wa_store_close(store);
		return -1;
	}
	for (size_t i = 0; i < bases.count && count >= 0; i++)
	{
		const WaBaseBackup *base = &bases.bases[i].backup;

		if (bases.bases[i].state != WA_BASE_WHOLE)
		{
			(*unfinished)++;
			continue;
		}
		count = base->files_count == 3 ? count + 1 : -1;
		for (size_t j = 0; j < base->files_count; j++)
		{
			WaSink		sink = {.ops = &ops};

			if (wa_basefile_read(store, base, &base->files[j], &sink,
								 &err) != WA_OK)
				count = -1;
		}
	}
	wa_bases_free(&bases);
	wa_store_close(store);
	return count;
}

static const char *
backup_flaw(int status, bool silent)
{
	int			unfinished;
	int			count = offered(&unfinished);

	if (count < 0)
		return "what is offered is not whole";
	if (status == 0 && count != 1)
		return "taken, and not there";
	if (status != 0 && silent)
		return "it failed, and says nothing";
	if (count_names("archive/tmp") > 0 &&
		strcmp(fault.failed_call, "unlinkat") != 0 && !fault.and_all_later)
		return "something is left in tmp/";

	/* and once more */
	status = backup();
	if (status != 0 || offered(&unfinished) != count + 1 || unfinished > 0)
		return "the next backup did not succeed";
	return NULL;
}

/* Where is a line that begins so in the trace, after a place?  -1: nowhere. */
static long
at(const char *line, long from)
{
	const char *found = from < 0 ? NULL : strstr(fault.trace + from, line);

	return found != NULL ? found - fault.trace : -1;
}

static void
test_order(void)
{
	static const char *const parts[] = {
		WA_BASE_MAIN, "16384.tar.zst", WA_BASE_MANIFEST
	};
	long		advertised;
	long		named = -1;
	long		synced;
	long		wal;

	no_backup();
	fault_begin(0, 0);
	must(backup() == 0);
	fault_end();
	advertised = at("renameat2:/archive/base/000000010000000000000002.00000028"
					"/backup\n", 0);
	for (int i = 0; i < 3; i++)
	{
		char		line[200];

		snprintf(line, sizeof(line), "renameat2:/archive/base/"
				 "000000010000000000000002.00000028/%s\n", parts[i]);
		named = at(line, 0);
		synced = at("fsync:/archive/base/000000010000000000000002.00000028\n",
					named);
		ok(synced > named && synced < advertised,
		   "%s and its name are durable before", parts[i]);
	}
	synced = at("fsync:/archive/tmp/", named);
	ok(synced > named && synced < advertised,
	   "what offers a backup is synced before its name");
	for (int i = 2; i <= 3; i++)
	{
		char		line[200];

		snprintf(line, sizeof(line), "fsync:/archive/wal/0000000100000000/"
				 "00000001000000000000000%d.zst\n", i);
		wal = at(line, 0);
		ok(wal >= 0 && wal < advertised, "so is WAL that it needs");
		wal = at("fsync:/archive/wal/0000000100000000\n", wal);
		ok(wal >= 0 && wal < advertised, "with its name");
	}
}

/*
 * Before a backup loses its WAL to the next deletions it is known for good not
 * to be one any longer, and as one that is being deleted.
 */
static void
test_withdrawal(void)
{
	static const char id[] = "000000010000000000000002.00000028";
	static const char synced[] =
		"fsync:/archive/base/000000010000000000000002.00000028\n";
	WaStoreOptions options;
	WaStore    *store;
	long		marked;
	long		durable;
	long		removed;

	no_backup();
	must(backup() == 0);
	store_options(&options);
	must(wa_store_dir_open(archive, &options, &store, &err) == WA_OK);
	fault_begin(0, 0);
	must(wa_base_withdraw(store, id, &err) == WA_OK);
	fault_end();
	wa_store_close(store);
	marked = at("renameat2:/archive/base/000000010000000000000002.00000028"
				"/withdrawn\n", 0);
	durable = at(synced, marked);
	removed = at("unlinkat:/archive/base/000000010000000000000002.00000028"
				 "/backup\n", 0);
	ok(marked >= 0 && durable > marked && durable < removed,
	   "the sign of a deletion is durable before the backup is withdrawn");
	ok(at(synced, removed) > removed, "and that it is withdrawn, at once");
}

/* ---- a restore -------------------------------------------------------------- */

static void
no_restore(void)
{
	remove_tree("restored");
	remove_tree("tablespace");
	remove_tree("archive/pins");
	must(mkdir("archive/pins", 0700) == 0);
}

/* As wa_cmd_restore does it, which root may not. */
static int
restore(void)
{
	static const WaBinaries none = {
		.walarch = "/nowhere/walarch",.directory = "/nowhere"
	};
	WaMapping	mapping = {"/was/there", tablespace};
	WaRestore	wanted = {
		.archive = archive,
		.directory = directory,
		.mappings_count = 1,
		.mappings = &mapping,
		.processes = 1
	};
	WaRestoreView view;
	char		pin[WA_PIN_NAME_BYTES] = "";
	WaCode		code = wa_restore_look(&wanted, &none, &view, &err);

	if (code == WA_OK)
		code = wa_restore_hold(&wanted, &none, "restore", &view, pin, &err);
	if (code == WA_OK)
	{
		code = wa_restore_run(view.store, &view.catalogue, &wanted,
							  &view.plan, &none, wa_restore_progress(false),
							  &view.plan, &err);
		if (code != WA_OK)
			wa_hold_end(archive, pin);
		wa_restore_view_free(&view);
	}
	if (code != WA_OK)
		fprintf(stderr, "%s\n", err.message);
	return code != WA_OK;
}

static const char *
restore_flaw(int status, bool silent)
{
	const char *flaw = NULL;

	if (status == 0 || access("restored/global/pg_control", F_OK) == 0)
		flaw = canned_flaw(directory, tablespace);
	if (flaw != NULL)
		return flaw;
	if (status != 0 && silent)
		return "it failed, and says nothing";
	no_restore();
	return restore() == 0 ? canned_flaw(directory, tablespace) :
		"the next restore did not succeed";
}

/* Who waits for a process looks more often than it would. */
int
usleep(useconds_t us)
{
	struct timespec pause = {.tv_nsec = us == 100000 ? 1000000 : us * 1000L};

	return nanosleep(&pause, NULL);
}

/* ---- every call fails ------------------------------------------------------- */

typedef struct Work
{
	const char *name;
	void		(*reset) (void);
	int			(*run) (void);
	const char *(*flaw) (int status, bool silent);
} Work;

/* What is said on standard error goes to a file meanwhile. */
static int
quietly(const Work *work, bool *silent)
{
	int			kept = dup(STDERR_FILENO);
	int			to = open("said", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	int			status;
	struct stat st;

	must(kept >= 0 && to >= 0 && dup2(to, STDERR_FILENO) >= 0);
	fault.active = fault.countdown > 0;
	status = work->run();
	fault_end();
	fflush(stderr);
	must(dup2(kept, STDERR_FILENO) >= 0 && fstat(to, &st) == 0);
	*silent = st.st_size == 0;
	close(kept);
	close(to);
	return status;
}

static void
run_work(const Work *work, bool every_kind)
{
	int			counts[FAULT_KINDS] = {0};
	int			wrong = 0;
	int			n = 0;
	bool		fired = true;

	while (fired && n < N_MAX)
	{
		fired = false;
		n++;
		for (int i = 0; i < FAULT_KINDS; i++)
		{
			const FaultKind *kind = &fault_kinds[i];
			const char *flaw;
			bool		silent;
			int			status;

			if (!every_kind && i != n % FAULT_KINDS)
				continue;
			work->reset();
			fault_begin(n, kind->fail_with);
			fault.active = false;
			fault.closes = true;
			status = quietly(work, &silent);
			fired |= fault.fired;
			counts[i] += fault.fired;
			flaw = work->flaw(status, silent);
			if (flaw != NULL && wrong++ < 5)
				diag("%s, operation %d (%s), %s: it said %d; %s", work->name,
					 n, fault.failed_call, kind->name, status, flaw);
		}
	}
	ok(n > 50 && n < N_MAX, "%s: %d operations", work->name, n - 1);
	for (int i = 0; i < FAULT_KINDS; i++)
		ok(counts[i] > 5, "%s: %s, %d times", work->name,
		   fault_kinds[i].name, counts[i]);
	is_int(wrong, 0, "%s: old or new, never half, and the next try succeeds",
		   work->name);
}

int
main(void)
{
	static const Work works[] = {
		{"backup", no_backup, backup, backup_flaw},
		{"restore", no_restore, restore, restore_flaw}
	};
	const char *faults = getenv("WALARCH_FAULTS");
	bool		every_kind = faults != NULL && strcmp(faults, "all") == 0;
	int			unfinished;

	scratch();
	snprintf(archive, sizeof(archive), "%s", path_in_scratch("archive"));
	snprintf(directory, sizeof(directory), "%s", path_in_scratch("restored"));
	snprintf(tablespace, sizeof(tablespace), "%s",
			 path_in_scratch("tablespace"));
	make_archive();
	canned_make("/was/there");
	no_backup();
	is_int(backup(), 0, "a backup");
	is_int(offered(&unfinished), 1, "is offered");
	no_restore();
	is_int(restore(), 0, "it is restored");
	is_str(canned_flaw(directory, tablespace) != NULL ?
		   canned_flaw(directory, tablespace) : "whole", "whole",
		   "as it was");
	test_order();
	test_withdrawal();
	for (int i = 0; i < 2; i++)
	{
		no_backup();
		must(backup() == 0);
		run_work(&works[i], every_kind);
	}
	canned_free();
	return done_testing();
}
