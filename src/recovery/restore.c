/*
 * restore.c
 *	  A data directory made from a backup of the archive.
 */
#include "recovery/restore.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "archive/bases.h"
#include "cli/cli.h"
#include "recovery/combine.h"
#include "recovery/configure.h"
#include "recovery/hold.h"
#include "recovery/manifest.h"
#include "recovery/process.h"

#define OUTPUT_BYTES	600

void
wa_restore_tidy(char *path)
{
	char	   *to = path;

	for (const char *from = path; *from != '\0'; from++)
		if (*from != '/' || to == path || to[-1] != '/')
			*to++ = *from;
	if (to - path > 1 && to[-1] == '/')
		to--;
	*to = '\0';
}

/* ---- before anything is written --------------------------------------------- */

static WaCode
check_version(const WaBaseBackup *backup, const WaBinaries *binaries,
			  WaError *err)
{
	uint32_t	major = backup->server_version / 10000;

	if (!binaries->server || binaries->major == major)
		return WA_OK;
	wa_fail(err, WA_UNSUPPORTED, "backup %s is of PostgreSQL %" PRIu32 ", and "
			"the programs in \"%s\" are of PostgreSQL %" PRIu32, backup->id,
			major, binaries->directory, binaries->major);
	wa_hint(err, "Install PostgreSQL %" PRIu32 ", and say where its programs "
			"are: --bindir.", major);
	return err->code;
}

/* Not there, or an empty directory. */
static WaCode
check_empty(const char *path, WaError *err)
{
	DIR		   *dir;
	struct dirent *entry;
	bool		empty = true;

	if (path[0] != '/')
		return wa_fail(err, WA_INVALID, "\"%s\" is not an absolute path",
					   path);
	dir = opendir(path);
	if (dir == NULL && errno == ENOENT)
		return WA_OK;
	if (dir == NULL)
		return wa_fail_errno(err, errno, "could not open directory \"%s\"",
							 path);
	while (empty && (entry = readdir(dir)) != NULL)
		empty = strcmp(entry->d_name, ".") == 0 ||
			strcmp(entry->d_name, "..") == 0;
	closedir(dir);
	if (empty)
		return WA_OK;
	wa_fail(err, WA_EXISTS, "directory \"%s\" exists but is not empty", path);
	wa_hint(err, "Nothing is overwritten. Name another directory, or move away "
			"what is in this one.");
	return err->code;
}

/* The file system that a path is on, or will be; false: there is no telling. */
static bool
file_system_of(const char *path, struct statvfs *vfs, dev_t *device)
{
	char		part[PATH_MAX];
	struct stat st;

	snprintf(part, sizeof(part), "%s", path);
	while (stat(part, &st) != 0)
	{
		char	   *slash = strrchr(part, '/');

		if (slash == NULL)
			return false;
		slash[slash == part] = '\0';
		if (slash == part && stat("/", &st) != 0)
			return false;
	}
	*device = st.st_dev;
	return statvfs(part, vfs) == 0;
}

static uint64_t
needs_below(const WaRestorePlan *plan, dev_t device)
{
	bool		parts = plan->chain_count > 1;
	uint64_t	bytes = 0;

	for (size_t i = 0; i < plan->places_count; i++)
	{
		struct statvfs ignored;
		dev_t		its_device;

		if (!file_system_of(plan->places[i].directory, &ignored,
							&its_device) || its_device != device)
			continue;
		bytes += plan->places[i].file->raw_bytes;
		/* what is combined is unpacked below the data directory */
		if (parts && plan->places[i].oid == 0)
			bytes += plan->raw_bytes;
	}
	return bytes;
}

static WaCode
check_room(const WaRestorePlan *plan, WaError *err)
{
	for (size_t i = 0; i < plan->places_count; i++)
	{
		const char *directory = plan->places[i].directory;
		uint64_t	needed;
		uint64_t	room;
		struct statvfs vfs;
		dev_t		device;

		if (!file_system_of(directory, &vfs, &device))
			continue;
		needed = needs_below(plan, device);
		room = (uint64_t) vfs.f_bavail * vfs.f_frsize;
		if (room < needed)
			return wa_fail(err, WA_NO_SPACE, "there is no room in \"%s\": the "
						   "backup takes %" PRIu64 " MB there, and %" PRIu64
						   " MB are free", directory, needed >> 20,
						   room >> 20);
	}
	return WA_OK;
}

/* ---- where things go -------------------------------------------------------- */

/* As it was, unless it is to lie elsewhere. */
static WaCode
find_place(const WaRestore *restore, const WaBaseFile *file,
		   WaRestorePlace *place, WaError *err)
{
	const char *directory = file->location;
	char		below[WA_BASE_PATH_BYTES];

	place->file = file;
	(void) wa_base_file_valid(file->name, &place->oid);
	if (place->oid == 0)
		directory = restore->directory;
	else if (restore->tablespaces != NULL)
	{
		snprintf(below, sizeof(below), "%.900s/%" PRIu32,
				 restore->tablespaces, place->oid);
		directory = below;
	}
	for (size_t i = 0; i < restore->mappings_count; i++)
		if (place->oid != 0 &&
			strcmp(restore->mappings[i].from, file->location) == 0)
			directory = restore->mappings[i].to;
	if (!wa_base_path_valid(directory))
		return wa_fail(err, WA_INVALID, "\"%.200s\" is not a directory for a "
					   "tablespace", directory);
	snprintf(place->directory, sizeof(place->directory), "%s", directory);
	if (check_empty(directory, err) == WA_OK)
		return WA_OK;
	if (place->oid != 0)
		wa_hint(err, "That is where tablespace %" PRIu32 " lies. Put it "
				"elsewhere: --tablespace-mapping '%s=NEW'.", place->oid,
				file->location);
	return err->code;
}

static int
compare_places(const void *a, const void *b)
{
	const WaRestorePlace *left = a;
	const WaRestorePlace *right = b;

	return left->oid < right->oid ? -1 : left->oid > right->oid;
}

static WaCode
make_places(const WaRestore *restore, WaRestorePlan *plan, WaError *err)
{
	const WaBaseBackup *backup = wa_restore_backup(plan);

	plan->places = calloc(backup->files_count, sizeof(WaRestorePlace));
	if (plan->places == NULL)
		return wa_fail(err, WA_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < backup->files_count; i++)
		if (strcmp(backup->files[i].name, WA_BASE_MANIFEST) != 0 &&
			find_place(restore, &backup->files[i],
					   &plan->places[plan->places_count++], err) != WA_OK)
			return err->code;
	for (size_t i = 0; i < plan->places_count; i++)
		for (size_t j = 0; j < i; j++)
			if (strcmp(plan->places[i].directory,
					   plan->places[j].directory) == 0)
				return wa_fail(err, WA_INVALID, "two parts of the backup would "
							   "go to \"%s\"", plan->places[i].directory);
	qsort(plan->places, plan->places_count, sizeof(WaRestorePlace),
		  compare_places);
	return WA_OK;
}

/* What has to be unpacked, and to where. */
static WaCode
make_jobs(const WaRestore *restore, WaRestorePlan *plan, WaError *err)
{
	size_t		count = 0;

	for (size_t i = 0; i < plan->chain_count; i++)
		count += plan->chain[i].files_count;
	plan->jobs = calloc(count, sizeof(WaUnpackJob));
	if (plan->jobs == NULL)
		return wa_fail(err, WA_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < plan->chain_count; i++)
		for (size_t j = 0; j < plan->chain[i].files_count; j++)
		{
			const WaBaseFile *file = &plan->chain[i].files[j];
			WaUnpackJob *job = &plan->jobs[plan->jobs_count];
			uint32_t	oid;

			if (strcmp(file->name, WA_BASE_MANIFEST) == 0)
				continue;
			(void) wa_base_file_valid(file->name, &oid);
			job->backup = &plan->chain[i];
			job->file = file;
			if (plan->chain_count > 1 &&
				wa_combine_part(restore->directory, i, oid, job->directory,
								err) != WA_OK)
				return err->code;
			for (size_t k = 0; k < plan->places_count &&
				 plan->chain_count == 1; k++)
				if (plan->places[k].file == file)
					snprintf(job->directory, sizeof(job->directory), "%s",
							 plan->places[k].directory);
			plan->raw_bytes += file->raw_bytes;
			plan->jobs_count++;
		}
	return WA_OK;
}

static WaCode
check_mappings(const WaRestore *restore, const WaBaseBackup *backup,
			   WaError *err)
{
	for (size_t i = 0; i < restore->mappings_count; i++)
	{
		bool		found = false;

		for (size_t j = 0; j < backup->files_count; j++)
			found |= strcmp(restore->mappings[i].from,
							backup->files[j].location) == 0;
		if (!found)
			return wa_fail(err, WA_INVALID, "backup %s has no tablespace in "
						   "\"%s\"", backup->id, restore->mappings[i].from);
	}
	return WA_OK;
}

static void
free_plan(WaRestorePlan *plan)
{
	for (size_t i = 0; i < plan->chain_count; i++)
		wa_base_free(&plan->chain[i]);
	free(plan->chain);
	free(plan->places);
	free(plan->jobs);
	memset(plan, 0, sizeof(*plan));
}

/* The backup that was chosen, and those that it is incremental to. */
static WaCode
read_chain(WaStore *store, const WaCatalogue *catalogue, WaRestorePlan *plan,
		   WaError *err)
{
	const WaBackup *at = plan->choice.backup;
	size_t		count = 1;

	/* it is usable, hence all of them are there */
	while (at->parent[0] != '\0')
	{
		at = wa_catalogue_stored(catalogue, at->parent);
		count++;
	}
	plan->chain = calloc(count, sizeof(WaBaseBackup));
	if (plan->chain == NULL)
		return wa_fail(err, WA_NO_MEMORY, "out of memory");
	plan->chain_count = count;
	at = plan->choice.backup;
	for (size_t i = count; i-- > 0;)
	{
		if (wa_base_read(store, at->id, &plan->chain[i], err) != WA_OK)
			return err->code;
		if (i > 0)
			at = wa_catalogue_stored(catalogue, at->parent);
	}
	return WA_OK;
}

static WaCode
make_plan(WaStore *store, const WaCatalogue *catalogue,
		  const WaRestore *restore, const WaBinaries *binaries,
		  WaRestorePlan *plan, WaError *err)
{
	memset(plan, 0, sizeof(*plan));
	if (wa_choose(store, catalogue, &restore->target, &plan->choice,
				  err) == WA_OK &&
		read_chain(store, catalogue, plan, err) == WA_OK &&
		check_version(wa_restore_backup(plan), binaries, err) == WA_OK &&
		(plan->chain_count == 1 || wa_combine_can(binaries, err) == WA_OK) &&
		check_mappings(restore, wa_restore_backup(plan), err) == WA_OK &&
		make_places(restore, plan, err) == WA_OK &&
		make_jobs(restore, plan, err) == WA_OK &&
		check_room(plan, err) == WA_OK)
		return WA_OK;
	free_plan(plan);
	return err->code;
}

/* ---- looking, twice --------------------------------------------------------- */

WaCode
wa_restore_look(const WaRestore *restore, const WaBinaries *binaries,
				WaRestoreView *view, WaError *err)
{
	memset(view, 0, sizeof(*view));
	if (wa_cli_catalogue(restore->archive, &view->store, &view->catalogue,
						 err) != WA_OK)
		return err->code;
	if (make_plan(view->store, &view->catalogue, restore, binaries,
						&view->plan, err) == WA_OK)
		return WA_OK;
	wa_restore_view_free(view);
	return err->code;
}

void
wa_restore_view_free(WaRestoreView *view)
{
	free_plan(&view->plan);
	wa_catalogue_free(&view->catalogue);
	wa_store_close(view->store);
	memset(view, 0, sizeof(*view));
}

WaCode
wa_restore_hold(const WaRestore *restore, const WaBinaries *binaries,
				const char *who, WaRestoreView *view, char *pin, WaError *err)
{
	wa_hold(restore->archive, who, wa_restore_backup(&view->plan), pin);
	wa_restore_view_free(view);
	if (wa_restore_look(restore, binaries, view, err) == WA_OK)
		return WA_OK;
	wa_hold_end(restore->archive, pin);
	pin[0] = '\0';
	return err->code;
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
	for (size_t i = 0; i < backup->files_count; i++)
		if (strcmp(backup->files[i].name, WA_BASE_MANIFEST) == 0 &&
			wa_unpack_file(store, backup, &backup->files[i], path,
						   err) != WA_OK)
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

static WaCode
sync_directory(const char *path, WaError *err)
{
	int			fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int			result = fd >= 0 ? syncfs(fd) : -1;

	if (result != 0)
		wa_fail_errno(err, errno, "could not sync \"%s\"", path);
	if (fd >= 0)
		close(fd);
	return result == 0 ? WA_OK : err->code;
}

/* From here on a server can start on it. */
static WaCode
release_control(const WaRestore *restore, WaError *err)
{
	char		held[PATH_MAX];
	char		path[PATH_MAX];

	snprintf(held, sizeof(held), "%.2000s/" WA_CONTROL_HELD,
			 restore->directory);
	snprintf(path, sizeof(path), "%.2000s/" WA_CONTROL_FILE,
			 restore->directory);
	if (rename(held, path) != 0)
		return wa_fail_errno(err, errno, "could not create \"%s\"", path);
	return sync_directory(restore->directory, err);
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

static WaCode
run(WaStore *store, const WaCatalogue *catalogue, const WaRestore *restore,
	const WaRestorePlan *plan, const WaBinaries *binaries,
	WaUnpackProgressFn progress, void *arg, WaError *err)
{
	bool		parts = plan->chain_count > 1;

	if (make_directories(plan, err) != WA_OK ||
		(parts && wa_combine_prepare(restore->directory, plan, err) != WA_OK) ||
		wa_unpack(store, plan->jobs, plan->jobs_count, restore->processes,
				  progress, arg, err) != WA_OK)
		return err->code;
	if (parts ? combine(store, restore, plan, binaries, err) != WA_OK :
		(link_tablespaces(restore, plan, err) != WA_OK ||
		 complete(store, wa_restore_backup(plan), restore->directory, binaries,
				  err) != WA_OK))
		return err->code;
	if (rewrite_map(restore, plan, err) != WA_OK ||
		wa_configure(catalogue, restore, plan, binaries, err) != WA_OK ||
		open_to_group(restore, plan, err) != WA_OK)
		return err->code;
	for (size_t i = 0; i < plan->places_count; i++)
		if (sync_directory(plan->places[i].directory, err) != WA_OK)
			return err->code;
	return release_control(restore, err);
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
