/*
 * spool_place.c
 *	  Where the spool of a server goes.
 *
 * A file is delivered by a rename, so that the place has to be on the file
 * system, and below the mount, of pg_wal.  And it must not be where a base
 * backup or pg_rewind would copy it: of the directories inside the data
 * directory both leave out pg_stat_tmp, which servers of today do not use.
 */
#include "archive/spool.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PLACE_INSIDE	"pg_stat_tmp/walarch.spool"

/* What a rename must not cross. */
typedef struct Mount
{
	uint32_t	major;
	uint32_t	minor;
	uint64_t	id;				/* 0: the kernel does not say */
} Mount;

static bool
mount_of(const char *path, Mount *mount)
{
	struct statx st;

	if (statx(AT_FDCWD, path, 0, STATX_TYPE | STATX_MNT_ID, &st) != 0 ||
		!S_ISDIR(st.stx_mode))
		return false;
	mount->major = st.stx_dev_major;
	mount->minor = st.stx_dev_minor;
	mount->id = (st.stx_mask & STATX_MNT_ID) != 0 ? st.stx_mnt_id : 0;
	return true;
}

static bool
same_mount(const char *path, const Mount *other)
{
	Mount		mount;

	return mount_of(path, &mount) && mount.major == other->major &&
		mount.minor == other->minor && mount.id == other->id;
}

/* "/wal/main.walarch" for a pg_wal that is a link to /wal/main. */
static bool
place_beside(const char *pg_wal, const Mount *wal, char *place)
{
	char		real[PATH_MAX];
	char		datadir[PATH_MAX];
	char		parent[PATH_MAX];
	char	   *slash;
	size_t		length;

	if (realpath(pg_wal, real) == NULL || realpath(".", datadir) == NULL ||
		strcmp(datadir, "/") == 0)
		return false;
	length = strlen(datadir);
	if (strncmp(real, datadir, length) == 0 && real[length] == '/')
		return false;			/* a base backup would take it along */
	snprintf(parent, sizeof(parent), "%s", real);
	slash = strrchr(parent, '/');
	if (slash == NULL || slash == parent)
		return false;			/* the root is nobody's place for files */
	*slash = '\0';
	return same_mount(parent, wal) &&
		snprintf(place, WA_DELIVERY_PATH_BYTES, "%s.walarch",
				 real) < WA_DELIVERY_PATH_BYTES;
}

bool
wa_spool_place(const char *given, const char *pg_wal, char *place,
			   const char **why)
{
	Mount		wal;

	*why = NULL;
	if (!mount_of(pg_wal, &wal))
		return false;
	if (given == NULL)
	{
		snprintf(place, WA_DELIVERY_PATH_BYTES, "%s", PLACE_INSIDE);
		return same_mount("pg_stat_tmp", &wal) ||
			place_beside(pg_wal, &wal, place);
	}
	if (snprintf(place, WA_DELIVERY_PATH_BYTES, "%s",
				 given) >= WA_DELIVERY_PATH_BYTES)
		*why = "its path is too long";
	else if (access(given, F_OK) != 0)
		*why = "it does not exist";
	else if (access(given, W_OK | X_OK) != 0)
		*why = "it cannot be written to";
	else if (!same_mount(given, &wal))
		*why = "it is not a directory on the file system of pg_wal, "
			"and what is fetched ahead is delivered by a rename";
	return *why == NULL;
}
