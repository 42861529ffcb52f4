/*
 * scratch.c
 *	  A directory that is there for a while.
 */
#include "recovery/scratch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define OPEN_MAX_HERE	32
#define PREFIX			"walarch-drill-"
#define RANDOM			"XXXXXX"
#define NAMES_TRIED		100
#define KEPT			"kept"	/* a file in what is to stay */

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

WaCode
wa_scratch_keep(const char *path, WaError *err)
{
	char		file[PATH_MAX];
	int			fd = -1;

	errno = ENAMETOOLONG;
	/* not another name for it: the paths of tablespaces and settings have it */
	if (snprintf(file, sizeof(file), "%s/" KEPT, path) < (int) sizeof(file))
		fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
				  0600);
	if (fd < 0)
		return wa_fail_errno(err, errno, "could not create \"%s\", so the "
							 "next drill there removes it", file);
	close(fd);
	return WA_OK;
}

/* Absent, not only unreadable. */
static bool
not_kept(int dir_fd)
{
	return faccessat(dir_fd, KEPT, F_OK, AT_SYMLINK_NOFOLLOW) != 0 &&
		errno == ENOENT;
}

/*
 * One that its process has left without a word, and only then: nobody holds
 * the lock.
 */
static void
remove_left(const char *path)
{
	int			fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;
	WaError		ignored;

	if (fd < 0)
		return;
	if (fstat(fd, &st) == 0 && st.st_uid == geteuid() &&
		flock(fd, LOCK_EX | LOCK_NB) == 0 && not_kept(fd))
		(void) wa_scratch_remove(path, &ignored);
	close(fd);
}

static void
sweep(const char *below)
{
	char		path[PATH_MAX];
	struct dirent *entry;
	DIR		   *dir = opendir(below);

	while (dir != NULL && (entry = readdir(dir)) != NULL)
	{
		if (strncmp(entry->d_name, PREFIX, strlen(PREFIX)) != 0 ||
			strlen(entry->d_name) != strlen(PREFIX RANDOM))
			continue;
		if (snprintf(path, sizeof(path), "%s/%s", below, entry->d_name) <
			(int) sizeof(path))
			remove_left(path);
	}
	if (dir != NULL)
		closedir(dir);
}

/*
 * Lock a directory that was just made.  Until then it looks like one that was
 * left, so that a sweep may have it by now: false when that removed it.
 */
static WaCode
lock_new(const char *path, bool *there, WaError *err)
{
	int			fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat locked;
	struct stat named;

	*there = false;
	if (fd < 0)
		return errno == ENOENT ? WA_OK :
			wa_fail_errno(err, errno, "could not open \"%s\"", path);
	/* a sweep lets go when it is through; where nothing locks, none removes */
	while (flock(fd, LOCK_EX) != 0 && errno == EINTR)
		;
	*there = fstat(fd, &locked) == 0 && lstat(path, &named) == 0 &&
		named.st_dev == locked.st_dev && named.st_ino == locked.st_ino;
	/* it stays open: the lock ends with the process */
	if (!*there)
		close(fd);
	return WA_OK;
}

static WaCode
make_locked(const char *below, char *path, size_t bytes, WaError *err)
{
	bool		there = false;

	for (int i = 0; i < NAMES_TRIED && !there; i++)
	{
		snprintf(path, bytes, "%s/" PREFIX RANDOM, below);
		if (mkdtemp(path) == NULL)
			return wa_fail_errno(err, errno, "could not create a directory in "
								 "\"%s\"", below);
		if (lock_new(path, &there, err) != WA_OK)
		{
			(void) rmdir(path);
			return err->code;
		}
	}
	return there ? WA_OK :
		wa_fail(err, WA_CHANGED, "every directory made in \"%s\" was removed "
				"by somebody else", below);
}

WaCode
wa_scratch_make(const char *below, char **path, WaError *err)
{
	size_t		bytes = strlen(below) + sizeof("/" PREFIX RANDOM);
	struct stat st;

	*path = NULL;
	/* others could put a link in the place of a directory being removed */
	if (stat(below, &st) == 0 && (st.st_mode & S_IWOTH) != 0 &&
		(st.st_mode & S_ISVTX) == 0)
	{
		wa_fail(err, WA_INVALID, "everybody may write to \"%s\"", below);
		wa_hint(err, "Use a directory of your own, or one with the sticky bit, "
				"such as /tmp.");
		return err->code;
	}
	sweep(below);
	*path = malloc(bytes);
	if (*path == NULL)
		return wa_fail(err, WA_NO_MEMORY, "out of memory");
	if (make_locked(below, *path, bytes, err) == WA_OK)
		return WA_OK;
	free(*path);
	*path = NULL;
	return err->code;
}
