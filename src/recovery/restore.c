/*
 * restore.c
 *	  A data directory made from a backup of the archive.
 */
#include "recovery/restore.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/progress.h"
#include "recovery/combine.h"
#include "recovery/configure.h"
#include "recovery/manifest.h"
#include "recovery/process.h"

#define OUTPUT_BYTES	600
#define SYNC_PAUSE_US	50000

/* ---- progress --------------------------------------------------------------- */

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

WaUnpackProgressFn
wa_restore_progress(bool talks)
{
	return talks ? show_progress : show_nothing;
}

/* ---- doing it --------------------------------------------------------------- */

static bool
same_directory(const char *a, const char *b)
{
	struct stat left;
	struct stat right;

	return stat(a, &left) == 0 && stat(b, &right) == 0 &&
		left.st_dev == right.st_dev && left.st_ino == right.st_ino;
}

static WaCode
make_directories(const WaRestorePlan *plan, WaError *err)
{
	for (size_t i = 0; i < plan->places_count; i++)
	{
		const char *path = plan->places[i].directory;

		/* what is there was found to be empty, and becomes ours alone */
		if (mkdir(path, 0700) != 0 &&
			(errno != EEXIST || chmod(path, 0700) != 0))
		{
			wa_fail_errno(err, errno, "could not create directory \"%s\"",
						  path);
			wa_hint(err, "The directory above it must be there, and writable "
					"for whoever restores.");
			return err->code;
		}
	}
	/* two names may be one directory, by links or mounts */
	for (size_t i = 0; i < plan->places_count; i++)
		for (size_t j = 0; j < i; j++)
			if (same_directory(plan->places[i].directory,
							   plan->places[j].directory))
				return wa_fail(err, WA_INVALID, "\"%s\" and \"%s\" are one "
							   "directory, for two parts of the backup",
							   plan->places[j].directory,
							   plan->places[i].directory);
	return WA_OK;
}

/*
 * A cluster that its group may read has directories that say so; those on top
 * do not come with the backup.
 */
static WaCode
open_to_group(const WaRestore *restore, const WaRestorePlan *plan,
			  WaError *err)
{
	char		path[PATH_MAX];
	struct stat st;

	snprintf(path, sizeof(path), "%.2000s/global", restore->directory);
	if (stat(path, &st) != 0 || (st.st_mode & 050) != 050)
		return WA_OK;
	for (size_t i = 0; i < plan->places_count; i++)
		if (chmod(plan->places[i].directory, 0750) != 0)
			return wa_fail_errno(err, errno, "could not change the mode of "
								 "\"%s\"", plan->places[i].directory);
	return WA_OK;
}

/* What was unpacked is what was backed up; whether that is what the server
 * read, its manifest tells. */
static WaCode
verify(const char *directory, const WaBinaries *binaries, WaError *err)
{
	const char *const argv[] = {
		"pg_verifybackup", "--no-parse-wal", "--quiet",
		"--ignore=" WA_CONTROL_FILE, "--ignore=" WA_CONTROL_HELD,
		directory, NULL
	};
	char		output[OUTPUT_BYTES];
	int			status;

	if (!wa_binaries_have(binaries, argv[0]))
		return wa_manifest_check(directory, NULL, err);
	if (wa_binaries_ask(binaries, argv, 0, output, sizeof(output), &status,
						err) != WA_OK)
		return err->code;
	/* it does not know that one by its other name */
	if (status == 0)
		return wa_manifest_check(directory, WA_CONTROL_FILE, err);
	wa_program_line(output);
	return wa_fail(err, WA_DAMAGED, "the backup is not what its manifest says: "
				   "%s", output);
}

/* One backup of the chain is unpacked; make it whole, and look at it. */
static WaCode
complete(WaStore *store, const WaBaseBackup *backup, const char *directory,
		 const WaBinaries *binaries, WaError *err)
{
	char		path[PATH_MAX];

	snprintf(path, sizeof(path), "%.2000s/backup_manifest", directory);
	if (wa_unpack_file(store, backup, wa_base_file(backup, WA_BASE_MANIFEST),
					   path, err) != WA_OK)
		return err->code;
	return verify(directory, binaries, err);
}

static WaCode
link_tablespaces(const WaRestore *restore, const WaRestorePlan *plan,
				 WaError *err)
{
	for (size_t i = 0; i < plan->places_count; i++)
		if (plan->places[i].oid != 0 &&
			wa_unpack_link(restore->directory, plan->places[i].oid,
							   plan->places[i].directory, err) != WA_OK)
			return err->code;
	return WA_OK;
}

/*
 * The server makes the links anew from this file, as it was when the backup
 * was taken: it has to say where things are now.
 */
static WaCode
rewrite_map(const WaRestore *restore, const WaRestorePlan *plan, WaError *err)
{
	char		path[PATH_MAX];
	FILE	   *to;
	int			fd;
	bool		good;

	snprintf(path, sizeof(path), "%.2000s/tablespace_map", restore->directory);
	if (plan->places_count == 1 ||
		(restore->mappings_count == 0 && restore->tablespaces == NULL))
		return WA_OK;
	fd = open(path, O_WRONLY | O_TRUNC | O_CREAT | O_NOFOLLOW | O_CLOEXEC,
			  0600);
	to = fd >= 0 ? fdopen(fd, "w") : NULL;
	if (to == NULL)
		return wa_fail_errno(err, errno, "could not open \"%s\"", path);
	for (size_t i = 0; i < plan->places_count; i++)
	{
		if (plan->places[i].oid == 0)
			continue;
		fprintf(to, "%" PRIu32 " ", plan->places[i].oid);
		for (const char *c = plan->places[i].directory; *c != '\0'; c++)
		{
			if (*c == '\\')
				fputc('\\', to);
			fputc(*c, to);
		}
		fputc('\n', to);
	}
	good = !ferror(to);
	if (fclose(to) != 0 || !good)
		return wa_fail_errno(err, errno, "could not write \"%s\"", path);
	return WA_OK;
}

/*
 * One descriptor for each file system, from before anything is written: what
 * fails to be written meanwhile, whoever syncs, is told to each of them.
 */
static WaCode
open_for_sync(const WaRestorePlan *plan, int **fds, WaError *err)
{
	*fds = calloc(plan->places_count, sizeof(int));
	if (*fds == NULL)
		return wa_fail(err, WA_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < plan->places_count; i++)
		(*fds)[i] = -1;
	for (size_t i = 0; i < plan->places_count; i++)
	{
		(*fds)[i] = open(plan->places[i].directory, O_RDONLY | O_DIRECTORY |
						 O_CLOEXEC);
		if ((*fds)[i] < 0)
			return wa_fail_errno(err, errno, "could not open directory "
								 "\"%s\"", plan->places[i].directory);
	}
	return WA_OK;
}

static WaCode
sync_all(const WaRestorePlan *plan, const int *fds, WaError *err)
{
	for (size_t i = 0; i < plan->places_count; i++)
		if (syncfs(fds[i]) != 0)
			return wa_fail_errno(err, errno, "could not sync \"%s\"",
								 plan->places[i].directory);
	return WA_OK;
}

static void
close_all(const WaRestorePlan *plan, int *fds)
{
	for (size_t i = 0; fds != NULL && i < plan->places_count; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	free(fds);
}

/* Each backup of the chain by itself, and then what they make together. */
static WaCode
combine(WaStore *store, const WaRestore *restore, const WaRestorePlan *plan,
		const WaBinaries *binaries, WaError *err)
{
	char		part[WA_BASE_PATH_BYTES];

	if (wa_combine_link(restore->directory, plan, err) != WA_OK)
		return err->code;
	for (size_t i = 0; i < plan->chain_count; i++)
		if (wa_combine_part(restore->directory, i, 0, part, err) != WA_OK ||
			complete(store, &plan->chain[i], part, binaries, err) != WA_OK)
			return err->code;
	return wa_combine(restore->directory, plan, binaries, err);
}

/*
 * In a process of its own, until it is ended: have the disk begin while there
 * is still something to unpack.  What it does not come to, or what fails, is
 * seen at the end by the descriptors of whoever restores: it has its own.
 */
static void
sync_meanwhile(const WaRestorePlan *plan, WaProcess *process)
{
	int		   *fds = NULL;
	WaError		ignored;

	if (wa_process_fork(process, &ignored) != WA_OK || process->pid != 0)
		return;
	if (open_for_sync(plan, &fds, &ignored) == WA_OK)
		while (sync_all(plan, fds, &ignored) == WA_OK)
			usleep(SYNC_PAUSE_US);
	wa_process_end(process, WA_OK, &ignored);
}

/* All of it, as it was backed up. */
static WaCode
bring(WaStore *store, const WaRestore *restore, const WaRestorePlan *plan,
	  const WaBinaries *binaries, WaUnpackProgressFn progress, void *arg,
	  WaError *err)
{
	if (wa_unpack(store, plan->jobs, plan->jobs_count, restore->processes,
				  progress, arg, err) != WA_OK)
		return err->code;
	if (plan->chain_count > 1)
		return combine(store, restore, plan, binaries, err);
	if (link_tablespaces(restore, plan, err) != WA_OK)
		return err->code;
	return complete(store, wa_restore_backup(plan), restore->directory,
					binaries, err);
}

static WaCode
run(WaStore *store, const WaCatalogue *catalogue, const WaRestore *restore,
	const WaRestorePlan *plan, const WaBinaries *binaries,
	WaUnpackProgressFn progress, void *arg, WaError *err)
{
	WaProcess	syncing = {.pid = -1};
	int		   *fds = NULL;
	WaCode		code = make_directories(plan, err);

	if (code == WA_OK && plan->chain_count > 1)
		code = wa_combine_prepare(restore->directory, plan, err);
	if (code == WA_OK)
		code = open_for_sync(plan, &fds, err);
	if (code == WA_OK)
	{
		sync_meanwhile(plan, &syncing);
		code = bring(store, restore, plan, binaries, progress, arg, err);
		wa_process_stop(&syncing);
	}
	if (code == WA_OK)
		code = rewrite_map(restore, plan, err);
	if (code == WA_OK)
		code = wa_configure(catalogue, restore, plan, binaries, err);
	if (code == WA_OK)
		code = open_to_group(restore, plan, err);
	if (code == WA_OK)
		code = sync_all(plan, fds, err);
	/* from here on a server can start on it */
	if (code == WA_OK)
		code = wa_unpack_name_control(restore->directory, false, err);
	if (code == WA_OK)
		code = sync_all(plan, fds, err);
	close_all(plan, fds);
	return code;
}

WaCode
wa_restore_run(WaStore *store, const WaCatalogue *catalogue,
			   const WaRestore *restore, const WaRestorePlan *plan,
			   const WaBinaries *binaries, WaUnpackProgressFn progress,
			   void *arg, WaError *err)
{
	char		path[PATH_MAX];

	if (run(store, catalogue, restore, plan, binaries, progress, arg,
			err) == WA_OK)
		return WA_OK;
	snprintf(path, sizeof(path), "%.2000s/" WA_CONTROL_FILE,
			 restore->directory);
	if (err->hint[0] == '\0' && access(path, F_OK) != 0)
		wa_hint(err, "What is in \"%s\" cannot be started: it has no "
				WA_CONTROL_FILE ". Remove it.", restore->directory);
	return err->code;
}

bool
wa_restore_leads_elsewhere(const WaRestore *restore,
						   const WaBinaries *binaries, char *where,
						   size_t bytes)
{
	const char *const argv[] = {
		"postgres", "-C", "data_directory", "-D", restore->directory, NULL
	};
	char		path[PATH_MAX];
	char		output[PATH_MAX];
	char	   *line;
	size_t		length;
	int			status;
	WaError		ignored;

	snprintf(path, sizeof(path), "%.2000s/postgresql.conf",
			 restore->directory);
	if (!binaries->server || access(path, R_OK) != 0 ||
		wa_binaries_ask(binaries, argv, 0, output, sizeof(output), &status,
						&ignored) != WA_OK || status != 0)
		return false;
	/* warnings come before it */
	length = strlen(output);
	if (length > 0 && output[length - 1] == '\n')
		output[length - 1] = '\0';
	line = strrchr(output, '\n');
	line = line != NULL ? line + 1 : output;
	snprintf(where, bytes, "%s", line);
	return line[0] == '/' && !same_directory(line, restore->directory);
}
