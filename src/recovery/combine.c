/*
 * combine.c
 *	  A data directory out of a full backup and those that are incremental to
 *	  it.
 */
#include "recovery/combine.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "recovery/process.h"
#include "recovery/scratch.h"

#define PROGRAM			"pg_combinebackup"
#define PARTS			".walarch-restore"	/* in the data directory */
#define COMBINED		PARTS "/combined"
#define OUTPUT_BYTES	600

WaCode
wa_combine_can(const WaBinaries *binaries, WaError *err)
{
	if (wa_binaries_have(binaries, PROGRAM))
		return WA_OK;
	wa_fail(err, WA_UNSUPPORTED, "the backup is incremental, and " PROGRAM
			" is not in \"%s\"", binaries->directory);
	wa_hint(err, "It comes with PostgreSQL 17 and later: say where its "
			"programs are, by --bindir, or restore a full backup: --backup.");
	return err->code;
}

WaCode
wa_combine_part(const char *directory, size_t n, uint32_t oid, char *part,
				WaError *err)
{
	char		name[12] = "data";

	if (oid != 0)
		snprintf(name, sizeof(name), "%" PRIu32, oid);
	if (snprintf(part, WA_BASE_PATH_BYTES, "%s/" PARTS "/%zu/%s", directory,
				 n + 1, name) < WA_BASE_PATH_BYTES)
		return WA_OK;
	return wa_fail(err, WA_INVALID, "the path \"%.200s...\" is too long",
				   directory);
}

static WaCode
make_directory(const char *path, WaError *err)
{
	if (mkdir(path, 0700) != 0)
		return wa_fail_errno(err, errno, "could not create directory \"%s\"",
							 path);
	return WA_OK;
}

WaCode
wa_combine_prepare(const char *directory, const WaRestorePlan *plan,
				   WaError *err)
{
	char		path[PATH_MAX];

	snprintf(path, sizeof(path), "%.2000s/" PARTS, directory);
	if (make_directory(path, err) != WA_OK)
		return err->code;
	for (size_t i = 0; i < plan->chain_count; i++)
	{
		snprintf(path, sizeof(path), "%.2000s/" PARTS "/%zu", directory, i + 1);
		if (make_directory(path, err) != WA_OK)
			return err->code;
	}
	for (size_t i = 0; i < plan->jobs_count; i++)
		if (make_directory(plan->jobs[i].directory, err) != WA_OK)
			return err->code;
	return WA_OK;
}

WaCode
wa_combine_link(const char *directory, const WaRestorePlan *plan,
				WaError *err)
{
	char		part[WA_BASE_PATH_BYTES];

	for (size_t i = 0; i < plan->jobs_count; i++)
	{
		const WaUnpackJob *job = &plan->jobs[i];
		uint32_t	oid;

		(void) wa_base_file_valid(job->file->name, &oid);
		if (wa_combine_part(directory, (size_t) (job->backup - plan->chain), 0,
							part, err) != WA_OK)
			return err->code;
		if ((oid == 0 ?
			 wa_unpack_name_control(part, false, err) :
			 wa_unpack_link(part, oid, job->directory, err)) != WA_OK)
			return err->code;
	}
	return WA_OK;
}

/* ---- the program ------------------------------------------------------------ */

/* "OLD=NEW", each with a backslash before its own equals signs; malloc'ed. */
static char *
mapping(const char *from, const char *to)
{
	const char *const sides[] = {from, to};
	char	   *text = malloc(2 * (strlen(from) + strlen(to)) + 2);
	char	   *at = text;

	for (int i = 0; text != NULL && i < 2; i++)
	{
		for (const char *c = sides[i]; *c != '\0'; c++)
		{
			if (*c == '=')
				*at++ = '\\';
			*at++ = *c;
		}
		*at++ = i == 0 ? '=' : '\0';
	}
	return text;
}

/*
 * Its arguments, the last NULL.  Those that are malloc'ed are noted in
 * *owned, which has room for as many.
 */
static WaCode
make_arguments(const char *directory, const WaRestorePlan *plan,
			   const char **argv, char **owned, size_t *owned_count,
			   WaError *err)
{
	size_t		last = plan->chain_count - 1;
	char		part[WA_BASE_PATH_BYTES];
	size_t		count = 0;
	char	   *word = NULL;

	argv[count++] = PROGRAM;
	/* everything is synced at the end, tablespaces included */
	argv[count++] = "--no-sync";
	argv[count++] = "--output";
	if (asprintf(&word, "%s/" COMBINED, directory) < 0)
		return wa_fail(err, WA_NO_MEMORY, "out of memory");
	argv[count++] = owned[(*owned_count)++] = word;
	for (size_t i = 0; i < plan->places_count; i++)
	{
		const WaRestorePlace *place = &plan->places[i];

		if (place->oid == 0)
			continue;
		if (wa_combine_part(directory, last, place->oid, part, err) != WA_OK)
			return err->code;
		word = mapping(part, place->directory);
		if (word == NULL)
			return wa_fail(err, WA_NO_MEMORY, "out of memory");
		argv[count++] = "--tablespace-mapping";
		argv[count++] = owned[(*owned_count)++] = word;
	}
	for (size_t i = 0; i <= last; i++)
	{
		if (wa_combine_part(directory, i, 0, part, err) != WA_OK)
			return err->code;
		word = strdup(part);
		if (word == NULL)
			return wa_fail(err, WA_NO_MEMORY, "out of memory");
		argv[count++] = owned[(*owned_count)++] = word;
	}
	argv[count] = NULL;
	return WA_OK;
}

static WaCode
run_program(const char *directory, const WaRestorePlan *plan,
			const WaBinaries *binaries, WaError *err)
{
	size_t		most = 5 + 2 * plan->places_count + plan->chain_count;
	const char **argv = calloc(most, sizeof(*argv));
	char	  **owned = calloc(most, sizeof(*owned));
	size_t		owned_count = 0;
	char		output[OUTPUT_BYTES];
	int			status = 0;
	WaCode		code;

	if (argv == NULL || owned == NULL)
		code = wa_fail(err, WA_NO_MEMORY, "out of memory");
	else
		code = make_arguments(directory, plan, argv, owned, &owned_count, err);
	if (code == WA_OK)
		code = wa_binaries_ask(binaries, argv, 0, output, sizeof(output), &status,
							   err);
	if (code == WA_OK && status != 0)
	{
		wa_program_line(output);
		code = wa_fail(err, WA_DAMAGED, "the backups cannot be combined: %s",
					   output);
	}
	for (size_t i = 0; i < owned_count; i++)
		free(owned[i]);
	free(owned);
	free(argv);
	return code;
}

/* ---- what came of it -------------------------------------------------------- */

/* All that is in a directory below the data directory, up into that. */
static WaCode
move_up(const char *directory, WaError *err)
{
	char		from[PATH_MAX];
	char		to[PATH_MAX];
	struct dirent *entry;
	DIR		   *dir;
	WaCode		code = WA_OK;

	snprintf(from, sizeof(from), "%.2000s/" COMBINED, directory);
	dir = opendir(from);
	if (dir == NULL)
		return wa_fail_errno(err, errno, "could not open directory \"%s\"",
							 from);
	while (code == WA_OK && (entry = readdir(dir)) != NULL)
	{
		if (strcmp(entry->d_name, ".") == 0 ||
			strcmp(entry->d_name, "..") == 0)
			continue;
		snprintf(from, sizeof(from), "%.2000s/" COMBINED "/%s", directory,
				 entry->d_name);
		snprintf(to, sizeof(to), "%.2000s/%s", directory, entry->d_name);
		if (rename(from, to) != 0)
			code = wa_fail_errno(err, errno, "could not rename \"%s\"", from);
	}
	closedir(dir);
	return code;
}

WaCode
wa_combine(const char *directory, const WaRestorePlan *plan,
		   const WaBinaries *binaries, WaError *err)
{
	char		path[PATH_MAX];

	snprintf(path, sizeof(path), "%.2000s/" COMBINED, directory);
	if (run_program(directory, plan, binaries, err) != WA_OK ||
		wa_unpack_name_control(path, true, err) != WA_OK ||
		move_up(directory, err) != WA_OK)
		return err->code;
	snprintf(path, sizeof(path), "%.2000s/" PARTS, directory);
	return wa_scratch_remove(path, err);
}
