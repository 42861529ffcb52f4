/*
 * unnamed.c
 *	  Proven segments without a name, on their way to PostgreSQL.
 */
#include "archive/unnamed.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* What a link must not cross. */
static bool
mount_of(const char *path, struct statx *st)
{
	return statx(AT_FDCWD, path, 0, STATX_TYPE | STATX_MNT_ID, st) == 0 &&
		S_ISDIR(st->stx_mode);
}

bool
wa_unnamed_serves(const char *directory, const char *pg_wal, const char **why)
{
	struct statx there;
	struct statx wal;
	bool		mounts;
	int			fd;

	*why = "it is not a directory that can be looked at";
	if (!mount_of(directory, &there) || !mount_of(pg_wal, &wal))
		return false;

	/* the same file system mounted twice is not one place for link() */
	*why = "it is not on the file system of pg_wal";
	mounts = (there.stx_mask & wal.stx_mask & STATX_MNT_ID) != 0;
	if (there.stx_dev_major != wal.stx_dev_major ||
		there.stx_dev_minor != wal.stx_dev_minor ||
		(mounts && there.stx_mnt_id != wal.stx_mnt_id))
		return false;

	*why = "no file without a name can be made in it";
	fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0)
		return false;
	close(fd);
	return true;
}

/* Are these the size and the first page that the name promises? */
static bool
looks_right(int fd, const WaWalExpect *expect)
{
	unsigned char page[WA_WALHEADER_BYTES];
	WaWalHeader header;
	WaError		ignored;
	struct stat st;

	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_nlink != 0 ||
		st.st_uid != geteuid() ||
		st.st_size != (off_t) expect->segment_bytes ||
		pread(fd, page, sizeof(page), 0) != (ssize_t) sizeof(page))
		return false;
	wa_walheader_read(page, &header);
	return wa_walheader_check(&header, expect, expect->name->text,
							  &ignored) == WA_OK;
}

bool
wa_unnamed_deliver(int fd, const WaWalExpect *expect,
				   const WaDestination *destination)
{
	char		path[64];

	if (!looks_right(fd, expect) ||
		(destination->still_wanted != NULL && !destination->still_wanted()))
		return false;

	/* replaces nothing: a command that outlived its server does no harm */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return linkat(AT_FDCWD, path, AT_FDCWD, destination->path,
				  AT_SYMLINK_FOLLOW) == 0;
}
