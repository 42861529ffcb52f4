/*
 * source.c
 *	  A file of pg_wal that is to be archived.
 */
#include "archive/source.h"

#include <stdio.h>
#include <string.h>

#define PATH_BYTES	2048

void
wa_source_of(const struct stat *st, WaSource *source)
{
	source->device = st->st_dev;
	source->inode = st->st_ino;
	source->bytes = (uint64_t) st->st_size;
	source->changed_s = st->st_ctim.tv_sec;
	source->changed_ns = st->st_ctim.tv_nsec;
}

bool
wa_source_unchanged(const char *path, const WaSource *source, WaBeat *beat)
{
	struct stat st;
	WaSource	now;
	int			result;

	WA_BEAT(beat, result, stat(path, &st));
	if (result != 0)
		return false;
	wa_source_of(&st, &now);
	return now.device == source->device && now.inode == source->inode &&
		now.bytes == source->bytes && now.changed_s == source->changed_s &&
		now.changed_ns == source->changed_ns;
}

bool
wa_source_due(const char *path, WaBeat *beat)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash != NULL ? slash + 1 : path;
	char		ready[PATH_BYTES];
	struct stat st;
	int			length;
	int			result;

	length = snprintf(ready, sizeof(ready), "%.*sarchive_status/%s.ready",
					  (int) (name - path), path, name);
	if (length < 0 || (size_t) length >= sizeof(ready))
		return false;
	WA_BEAT(beat, result, stat(ready, &st));
	return result == 0;
}
