/*
 * restore_plan.c
 *	  What a restore will be made of, and whether it can be done.
 */
#include "recovery/restore.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "archive/bases.h"
#include "cli/cli.h"
#include "recovery/combine.h"
#include "recovery/hold.h"

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
