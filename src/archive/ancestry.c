/*
 * ancestry.c
 *	  Which timeline a segment should come from.
 */
#include "archive/ancestry.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_BYTES	2048

/* The highest timeline with a history in the directory; 0 when none. */
static WaCode
find_newest(const char *pg_wal, WaBeat *beat, uint32_t *newest, WaError *err)
{
	DIR		   *dir = NULL;
	struct dirent *entry;
	WaWalName	name;
	WaError		ignored;

	*newest = 0;
	if (wa_beat_begin(beat))
	{
		dir = opendir(pg_wal);
		wa_beat_end(beat);
	}
	if (dir == NULL)
		return wa_fail_errno(err, errno, "could not open directory \"%s\"",
							 pg_wal);
	while (errno = 0, (entry = readdir(dir)) != NULL)
		if (wa_walname_parse(entry->d_name, &name, &ignored) == WA_OK &&
			name.kind == WA_KIND_HISTORY && name.tli > *newest)
			*newest = name.tli;
	if (errno != 0)
		wa_fail_errno(err, errno, "could not read directory \"%s\"", pg_wal);
	else
		err->code = WA_OK;
	closedir(dir);
	return err->code;
}

static WaCode
read_history(const char *path, uint32_t tli, WaBeat *beat,
			 WaHistory *history, WaError *err)
{
	char	   *text = malloc(WA_HISTORY_BYTES_MAX + 1);
	size_t		length = 0;
	ssize_t		got = 1;
	int			fd;

	if (text == NULL)
		return wa_fail(err, WA_NO_MEMORY, "out of memory reading \"%s\"",
					   path);
	WA_BEAT(beat, fd, open(path, O_RDONLY | O_CLOEXEC));
	if (fd < 0)
	{
		wa_fail_errno(err, errno, "could not open \"%s\"", path);
		free(text);
		return err->code;
	}
	while (got > 0 && length <= WA_HISTORY_BYTES_MAX)
	{
		WA_BEAT(beat, got, read(fd, text + length,
								WA_HISTORY_BYTES_MAX + 1 - length));
		if (got > 0)
			length += (size_t) got;
	}
	if (got < 0)
		wa_fail_errno(err, errno, "could not read \"%s\"", path);
	else
		err->code = wa_history_parse(text, length, tli, path, history, err);
	close(fd);
	free(text);
	return err->code;
}

WaCode
wa_ancestry_load(const char *pg_wal, const WaWalName *asked,
				 uint32_t segment_bytes, const WaControlFile *control,
				 WaBeat *beat, WaHistory *history, WaError *err)
{
	char		path[PATH_BYTES];
	char		file[WA_WALNAME_BYTES];
	uint32_t	newest;
	uint64_t	segno;
	const WaHistoryEntry *entry;
	bool		before_fork;
	bool		fork_passed;

	memset(history, 0, sizeof(*history));
	if (wa_walname_segno(asked, segment_bytes, &segno, err) != WA_OK ||
		find_newest(pg_wal, beat, &newest, err) != WA_OK)
		return err->code;
	if (newest <= asked->tli)
		return WA_OK;

	wa_history_name(file, newest);
	snprintf(path, sizeof(path), "%s/%s", pg_wal, file);
	if (read_history(path, newest, beat, history, err) != WA_OK)
		return err->code;
	entry = wa_history_find(history, asked->tli);

	before_fork = entry != NULL &&
		(segno + 1) * segment_bytes <= entry->end;

	/* a server that replayed the asked timeline past the fork stays on it */
	fork_passed = entry != NULL && control != NULL && control->known &&
		control->min_recovery_tli == asked->tli &&
		control->min_recovery_lsn > entry->end;
	if (entry == NULL || before_fork || fork_passed)
		wa_history_free(history);
	return WA_OK;
}
