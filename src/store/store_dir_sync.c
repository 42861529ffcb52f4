/*
 * store_dir_sync.c
 *	  A directory as a store: names that last.
 *
 * A published name is on disk when its directory has been synced, and the
 * directories above once.
 */
#include "store/store_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "store/store_memo.h"

static WaCode
sync_dir(DirStore *self, const char *key, struct stat *st, WaError *err)
{
	int			fd = wa_dir_open_prefix(self, key);
	int			result;
	int			errno_value;

	if (fd < 0)
		return wa_dir_fail(err, errno, "open directory", self, key);
	WA_DIR_IO(self, result, fsync(fd));
	errno_value = errno;
	if (result == 0 && st != NULL)
	{
		WA_DIR_IO(self, result, fstat(fd, st));
		errno_value = errno;
	}
	wa_beat_close(self->options.beat, fd);
	if (result != 0)
		return wa_dir_fail(err, errno_value, "fsync directory", self, key);
	return WA_OK;
}

/*
 * The archive directory's own name.  Its parent may be closed to us, and
 * then somebody else has made the directory long ago.
 */
static WaCode
sync_above_top(DirStore *self, WaError *err)
{
	int			fd;
	int			result;
	int			errno_value;

	WA_DIR_IO(self, fd, openat(self->fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	if (fd < 0)
	{
		if (errno == EACCES || errno == EPERM)
			return WA_OK;
		return wa_dir_fail(err, errno, "open parent of", self, "");
	}
	WA_DIR_IO(self, result, fsync(fd));
	errno_value = errno;
	wa_beat_close(self->options.beat, fd);
	/* a read-only or odd parent file system cannot hold unsynced names */
	if (result != 0 && errno_value != EROFS && errno_value != EINVAL)
		return wa_dir_fail(err, errno_value, "fsync parent of", self, "");
	return WA_OK;
}

/*
 * Make the name of `key` durable: its directory now, and the directories
 * above once per process, since that they exist does not show that their
 * names are on disk.
 */
WaCode
wa_dir_sync_name(DirStore *self, const char *key, WaError *err)
{
	char		at[WA_KEY_BYTES];
	char		above[WA_KEY_BYTES];
	struct stat st;

	wa_dir_parent_of(key, at);
	if (sync_dir(self, at, &st, err) != WA_OK)
		return err->code;

	while (!wa_memo_knows(self->options.memo, st.st_dev, st.st_ino))
	{
		uint64_t	device = st.st_dev;
		uint64_t	inode = st.st_ino;

		if (*at == '\0')
		{
			if (sync_above_top(self, err) != WA_OK)
				return err->code;
			wa_memo_learn(self->options.memo, device, inode);
			break;
		}
		wa_dir_parent_of(at, above);
		if (sync_dir(self, above, &st, err) != WA_OK)
			return err->code;
		wa_memo_learn(self->options.memo, device, inode);
		memcpy(at, above, sizeof(at));
	}
	return WA_OK;
}

/* A directory made just now may have the inode of one that was removed. */
static WaCode
forget_dir(DirStore *self, const char *key, WaError *err)
{
	struct stat st;

	if (wa_dir_stat(self, key, &st) != 0)
		return wa_dir_fail(err, errno, "stat", self, key);
	wa_memo_forget(self->options.memo, st.st_dev, st.st_ino);
	return WA_OK;
}

/* Create the directories above a key where they are missing. */
WaCode
wa_dir_make_parents(DirStore *self, const char *key, WaError *err)
{
	char		part[WA_KEY_BYTES];

	for (const char *slash = strchr(key, '/'); slash != NULL;
		 slash = strchr(slash + 1, '/'))
	{
		int			result;

		memcpy(part, key, (size_t) (slash - key));
		part[slash - key] = '\0';
		result = wa_dir_mkdir(self, part);
		if (result != 0 && errno != EEXIST)
			return wa_dir_fail(err, errno, "create directory", self, part);
		if (result == 0 && forget_dir(self, part, err) != WA_OK)
			return err->code;
	}
	return WA_OK;
}

/*
 * Remember that the directory of a key awaits its fsync.  Nobody relies on
 * what was set aside: it never becomes suspect.
 */
WaCode
wa_dir_note_dirty(DirStore *self, const char *key, bool aside, WaError *err)
{
	if (self->dirty_count == WA_DIR_DIRTY_MAX &&
		wa_store_sync(&self->store, err) != WA_OK)
	{
		if (!aside)
			wa_store_memo_suspect_add(self->options.memo, key);
		self->dirty_lost = true;
		return err->code;
	}
	self->dirty_aside[self->dirty_count] = aside;
	memccpy(self->dirty[self->dirty_count++], key, '\0', WA_KEY_BYTES);
	return WA_OK;
}

WaCode
wa_dir_sync(WaStore *store, WaError *err)
{
	DirStore   *self = (DirStore *) store;
	WaCode		code = WA_OK;
	char		parents[WA_DIR_DIRTY_MAX][WA_KEY_BYTES];

	/* in doubt from here on: nobody may be left to hear of a late failure */
	for (int i = 0; i < self->dirty_count; i++)
		if (!self->dirty_aside[i])
			wa_store_memo_suspect_add(self->options.memo, self->dirty[i]);
	for (int i = 0; i < self->dirty_count && code == WA_OK; i++)
	{
		bool		done = false;

		/* one fsync for a run of objects in one directory */
		wa_dir_parent_of(self->dirty[i], parents[i]);
		for (int j = 0; j < i && !done; j++)
			done = strcmp(parents[i], parents[j]) == 0;
		if (!done)
			code = wa_dir_sync_name(self, self->dirty[i], err);
	}
	if (code == WA_OK || code == WA_CANCELLED)
		for (int i = 0; i < self->dirty_count; i++)
			wa_memo_suspect_clear(self->options.memo, self->dirty[i]);
	self->dirty_count = 0;
	if (code == WA_OK && self->dirty_lost)
		code = wa_fail(err, WA_IO, "an fsync of a directory below \"%s\" "
					   "has failed", self->path);
	self->dirty_lost = false;
	return code;
}
