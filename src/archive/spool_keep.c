/*
 * spool_keep.c
 *	  The spool as its keeper sees it: who may fill it, and what goes when.
 *
 * Nothing is removed but what has the name of something a keeper makes, and
 * only by who holds the lock.  The lock's own file goes last, when the
 * directory is empty otherwise; whoever locks a file that has lost its name
 * meanwhile starts over.
 */
#include "archive/spool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define CLAIM_TRIES_MAX		10
#define ASK_BYTES			4096

/* Lock the file "lock" of an open directory; -1 when another holds it. */
static int
lock_directory(int dir_fd)
{
	struct stat held;
	struct stat named;
	int			fd = openat(dir_fd, "lock", O_RDWR | O_CREAT | O_NOFOLLOW |
							O_NONBLOCK | O_CLOEXEC, 0600);

	if (fd < 0)
		return -1;
	if (flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &held) == 0 &&
		fstatat(dir_fd, "lock", &named, AT_SYMLINK_NOFOLLOW) == 0 &&
		held.st_ino == named.st_ino && held.st_dev == named.st_dev)
		return fd;
	close(fd);
	return -1;
}

/* A segment, or one with the suffix of a temporary; else false. */
static bool
is_segment(const char *entry, WaWalName *name)
{
	char		text[WA_SEGMENT_NAME_LENGTH + 1];
	char		temporary[WA_DELIVERY_PATH_BYTES];
	WaError		ignored;

	snprintf(text, sizeof(text), "%.*s", WA_SEGMENT_NAME_LENGTH, entry);
	return wa_walname_parse(text, name, &ignored) == WA_OK &&
		name->kind == WA_KIND_SEGMENT &&
		(strcmp(entry, text) == 0 ||
		 (wa_delivery_temporary(text, temporary) &&
		  strcmp(entry, temporary) == 0));
}

/* A stream of a directory's entries, which does not take the descriptor. */
static DIR *
entries_of(int dir_fd)
{
	int			fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR		   *entries = fd >= 0 ? fdopendir(fd) : NULL;

	if (fd >= 0 && entries == NULL)
		close(fd);
	return entries;
}

void
wa_spool_prune(const WaSpool *spool,
			   bool (*keep) (void *arg, const WaWalName *name), void *arg)
{
	DIR		   *entries = entries_of(spool->dir_fd);
	struct dirent *entry;
	WaWalName	name;

	if (entries == NULL)
		return;
	while ((entry = readdir(entries)) != NULL)
	{
		if (!is_segment(entry->d_name, &name) ||
			(keep != NULL && keep(arg, &name)))
			continue;
		if (unlinkat(spool->dir_fd, entry->d_name, 0) != 0 &&
			(errno == EISDIR || errno == EPERM))
			(void) unlinkat(spool->dir_fd, entry->d_name, AT_REMOVEDIR);
	}
	closedir(entries);
}

bool
wa_spool_claim(const char *place, const char *key, WaSpool *spool)
{
	char		directory[WA_DELIVERY_PATH_BYTES];
	int			length = snprintf(directory, sizeof(directory), "%s/%s",
								  place, key);

	if (key[0] == '\0' || length >= (int) sizeof(directory))
		return false;
	for (int tries = 0; tries < CLAIM_TRIES_MAX; tries++)
	{
		/* one that ends may be removing any of it at the same time */
		(void) mkdir(place, 0700);
		(void) mkdir(directory, 0700);
		if (!wa_spool_open(place, key, spool))
			continue;
		spool->lock_fd = lock_directory(spool->dir_fd);
		if (spool->lock_fd >= 0)
			break;
		wa_spool_close(spool);
	}
	if (spool->lock_fd < 0)
		return false;

	/* what a keeper that was killed left; also a FIFO without a reader */
	wa_spool_prune(spool, NULL, NULL);
	(void) unlinkat(spool->dir_fd, "ask", 0);
	if (mkfifoat(spool->dir_fd, "ask", 0600) == 0)
		spool->ask_fd = openat(spool->dir_fd, "ask", O_RDWR | O_NONBLOCK |
							   O_NOFOLLOW | O_CLOEXEC);
	if (spool->ask_fd >= 0)
		return true;
	wa_spool_release(spool, place, false);
	return false;
}

bool
wa_spool_asked(const WaSpool *spool, WaWalName *name, bool *useless)
{
	char		text[ASK_BYTES + 1];
	bool		asked = false;
	ssize_t		length;

	/* lines are written whole; should we cut one, the next question mends it */
	while ((length = read(spool->ask_fd, text, ASK_BYTES)) > 0)
	{
		char	   *save = NULL;

		text[length] = '\0';
		for (char *line = strtok_r(text, "\n", &save); line != NULL;
			 line = strtok_r(NULL, "\n", &save))
		{
			WaWalName	found;
			WaError		ignored;

			if (strcmp(line, WA_SPOOL_USELESS) == 0)
				*useless = asked = true;
			else if (wa_walname_parse(line, &found, &ignored) == WA_OK &&
					 found.kind == WA_KIND_SEGMENT)
			{
				*name = found;
				asked = true;
			}
		}
	}
	return asked;
}

bool
wa_spool_room(const WaSpool *spool, uint64_t bytes)
{
	struct statvfs space;

	return fstatvfs(spool->dir_fd, &space) == 0 &&
		(uint64_t) space.f_bavail * space.f_frsize >= bytes;
}

/* Sixteen lower-case hexadecimal digits. */
static bool
is_key(const char *entry)
{
	return strlen(entry) == WA_SPOOL_KEY_BYTES - 1 &&
		strspn(entry, "0123456789abcdef") == WA_SPOOL_KEY_BYTES - 1;
}

void
wa_spool_sweep(const char *place, const char *own_key)
{
	DIR		   *entries = opendir(place);
	struct dirent *entry;
	WaSpool		spool;

	if (entries == NULL)
		return;
	while ((entry = readdir(entries)) != NULL)
	{
		if (!is_key(entry->d_name) || strcmp(entry->d_name, own_key) == 0 ||
			!wa_spool_open(place, entry->d_name, &spool))
			continue;
		spool.lock_fd = lock_directory(spool.dir_fd);
		if (spool.lock_fd >= 0)
			wa_spool_release(&spool, place, false);
		wa_spool_close(&spool);
	}
	closedir(entries);
}

void
wa_spool_release(WaSpool *spool, const char *place, bool also_place)
{
	wa_spool_prune(spool, NULL, NULL);
	(void) unlinkat(spool->dir_fd, "ask", 0);
	(void) unlinkat(spool->dir_fd, "lock", 0);
	(void) rmdir(spool->directory);
	if (also_place)
		(void) rmdir(place);
	wa_spool_close(spool);
}
