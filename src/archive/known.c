/*
 * known.c
 *	  walarch.known in the data directory.
 */
#include "archive/known.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/marker.h"

#define KNOWN_BYTES_MAX		(1024 * 1024)
#define TEMPORARY_SUFFIX	".tmp"

/*
 * After a reload the thread of an old archive may still be at work beside
 * that of the new one.  Only local files are touched under it, and no other
 * lock is taken.
 */
static pthread_mutex_t adding = PTHREAD_MUTEX_INITIALIZER;

/* The whole file as a string; an empty one when there is no file. */
static WaCode
read_all(const char *file, char **text, size_t *length, WaError *err)
{
	int			fd = open(file, O_RDONLY | O_CLOEXEC);
	struct stat st;

	*length = 0;
	*text = NULL;
	if (fd < 0 && errno != ENOENT)
		return wa_fail_errno(err, errno, "could not open \"%s\"", file);
	if (fd >= 0 && fstat(fd, &st) != 0)
	{
		wa_fail_errno(err, errno, "could not stat \"%s\"", file);
		goto fail;
	}
	if (fd >= 0 && st.st_size > KNOWN_BYTES_MAX)
	{
		wa_fail(err, WA_DAMAGED, "\"%s\" is too large", file);
		goto fail;
	}
	*text = malloc((fd >= 0 ? (size_t) st.st_size : 0) + 1);
	if (*text == NULL)
	{
		wa_fail(err, WA_NO_MEMORY, "out of memory reading \"%s\"", file);
		goto fail;
	}
	while (fd >= 0 && *length < (size_t) st.st_size)
	{
		ssize_t		got = read(fd, *text + *length,
							   (size_t) st.st_size - *length);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
		{
			wa_fail_errno(err, errno, "could not read \"%s\"", file);
			goto fail;
		}
		if (got == 0)
			break;				/* not reached: the file is replaced, never cut */
		*length += (size_t) got;
	}
	(*text)[*length] = '\0';
	if (fd >= 0)
		close(fd);
	return WA_OK;

fail:
	if (fd >= 0)
		close(fd);
	free(*text);
	*text = NULL;
	return err->code;
}

WaCode
wa_known_find(const char *file, const char *path, const char *archive_id,
			  bool *path_known, bool *id_known, WaError *err)
{
	char	   *text;
	char	   *save = NULL;
	size_t		length;

	*path_known = false;
	*id_known = false;
	if (read_all(file, &text, &length, err) != WA_OK)
		return err->code;
	if (strlen(text) != length)
		goto damaged;
	for (char *line = strtok_r(text, "\n", &save); line != NULL;
		 line = strtok_r(NULL, "\n", &save))
	{
		char	   *blank = strchr(line, ' ');

		if (*line == '#')
			continue;
		if (blank != line + WA_ARCHIVE_ID_TEXT_BYTES - 1 || blank[1] != '/')
			goto damaged;
		if (strcmp(blank + 1, path) != 0)
			continue;
		*blank = '\0';
		*path_known = true;
		if (strcmp(line, archive_id) == 0)
			*id_known = true;
	}
	free(text);
	return WA_OK;

damaged:
	free(text);
	wa_fail(err, WA_DAMAGED, "\"%s\" is damaged", file);
	wa_hint(err, "It names the archives this cluster has used, a line "
			"\"<archive id> <path>\" each. Make sure that the archive is "
			"mounted, then remove the file: it is written anew.");
	return err->code;
}

static WaCode
write_all(int fd, const char *text, size_t length, const char *file,
		  WaError *err)
{
	while (length > 0)
	{
		ssize_t		written = write(fd, text, length);

		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
			return wa_fail_errno(err, written < 0 ? errno : ENOSPC,
								 "could not write \"%s\"", file);
		text += written;
		length -= (size_t) written;
	}
	return WA_OK;
}

static WaCode
sync_current_directory(WaError *err)
{
	int			fd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int			result = fd >= 0 ? fsync(fd) : -1;
	int			errno_value = errno;

	if (fd >= 0)
		close(fd);
	if (result != 0)
		return wa_fail_errno(err, errno_value,
							 "could not fsync the data directory");
	return WA_OK;
}

static WaCode
add(const char *file, const char *path, const char *archive_id, mode_t mode,
	WaError *err)
{
	static const char head[] =
		"# Archives this cluster has used: archive id and path, a line each.\n"
		"# Kept by walarch, so that an empty mount point is not taken for a\n"
		"# new archive.\n";
	char		temporary[256];
	char		line[WA_ARCHIVE_ID_TEXT_BYTES + 1100];
	char	   *text;
	size_t		length;
	int			line_length;
	int			fd;

	if (read_all(file, &text, &length, err) != WA_OK)
		return err->code;
	line_length = snprintf(line, sizeof(line), "%s %s\n", archive_id, path);
	snprintf(temporary, sizeof(temporary), "%s" TEMPORARY_SUFFIX, file);

	(void) unlink(temporary);
	fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	if (fd < 0)
	{
		wa_fail_errno(err, errno, "could not create \"%s\"", temporary);
		free(text);
		return err->code;
	}
	if ((length == 0 &&
		 write_all(fd, head, sizeof(head) - 1, temporary, err) != WA_OK) ||
		write_all(fd, text, length, temporary, err) != WA_OK ||
		(length > 0 && text[length - 1] != '\n' &&
		 write_all(fd, "\n", 1, temporary, err) != WA_OK) ||
		write_all(fd, line, (size_t) line_length, temporary, err) != WA_OK)
		goto fail;
	if (fsync(fd) != 0)
	{
		wa_fail_errno(err, errno, "could not fsync \"%s\"", temporary);
		goto fail;
	}
	close(fd);
	fd = -1;
	if (rename(temporary, file) != 0)
	{
		wa_fail_errno(err, errno, "could not rename \"%s\" to \"%s\"",
					  temporary, file);
		goto fail;
	}
	free(text);
	return sync_current_directory(err);

fail:
	if (fd >= 0)
		close(fd);
	(void) unlink(temporary);
	free(text);
	return err->code;
}

WaCode
wa_known_add(const char *file, const char *path, const char *archive_id,
			 mode_t mode, WaError *err)
{
	WaCode		code;

	pthread_mutex_lock(&adding);
	code = add(file, path, archive_id, mode, err);
	pthread_mutex_unlock(&adding);
	return code;
}
