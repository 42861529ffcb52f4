/*
 * scratch.c
 *	  A directory that is there for a while.
 */
#include "recovery/scratch.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OPEN_MAX_HERE	32

WaCode
wa_scratch_make(const char *below, char **path, WaError *err)
{
	size_t		bytes = strlen(below) + sizeof("/walarch-drill-XXXXXX");

	*path = malloc(bytes);
	if (*path == NULL)
		return wa_fail(err, WA_NO_MEMORY, "out of memory");
	snprintf(*path, bytes, "%s/walarch-drill-XXXXXX", below);
	if (mkdtemp(*path) != NULL)
		return WA_OK;
	wa_fail_errno(err, errno, "could not create a directory in \"%s\"", below);
	free(*path);
	*path = NULL;
	return err->code;
}

static int
remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	return remove(path);
}

WaCode
wa_scratch_remove(const char *path, WaError *err)
{
	if (nftw(path, remove_one, OPEN_MAX_HERE, FTW_DEPTH | FTW_PHYS) != 0)
		return wa_fail_errno(err, errno, "could not remove \"%s\"", path);
	return WA_OK;
}
