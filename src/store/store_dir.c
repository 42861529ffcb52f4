/*
 * store_dir.c
 *	  A directory as a store: opening, reading, listing.
 *
 * All calls are relative to one open directory, so that what was proven of
 * it once (by its marker) holds for every later lookup.
 */
#include "store/store_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "store/store_memo.h"

#define READ_BYTES			(256 * 1024)

WaCode
wa_dir_fail(WaError *err, int errno_value, const char *verb, DirStore *self,
		const char *key)
{
	if (errno_value == ECANCELED)
		return wa_fail(err, WA_CANCELLED, "gave up on \"%s/%s\"",
					   self->path, key);
	if ((errno_value == ELOOP || errno_value == ENOTDIR) && *key != '\0' &&
		wa_dir_blame_link(err, self, key))
		return err->code;
	wa_fail_errno(err, errno_value, "could not %s \"%s%s%s\"", verb,
				  self->path, *key != '\0' ? "/" : "", key);
	if (errno_value == EACCES || errno_value == EPERM)
		wa_hint(err, "The operating system user of the server needs read, "
				"write and search permission there.");
	else if (errno_value == EXDEV)
		wa_hint(err, "An archive is one file system, and a part of this one is "
				"mounted by itself: move its files back, and mount the whole "
				"directory.");
	else if (errno_value == EROFS)
		wa_hint(err, "The file system is mounted read-only: look into the "
				"kernel log for the reason before remounting it.");
	return err->code;
}

void
wa_dir_parent_of(const char *key, char *parent)
{
	const char *slash = strrchr(key, '/');
	size_t		length = slash != NULL ? (size_t) (slash - key) : 0;

	memcpy(parent, key, length);
	parent[length] = '\0';
}

static void
fill_stat(const struct stat *st, WaStat *result)
{
	result->bytes = (uint64_t) st->st_size;
	result->identity[0] = st->st_dev;
	result->identity[1] = st->st_ino;
	result->identity[2] = (uint64_t) st->st_mtim.tv_sec;
	result->identity[3] = (uint64_t) st->st_mtim.tv_nsec;
}

bool
wa_dir_same_stat(const struct stat *st, const WaStat *expected)
{
	WaStat		now;

	fill_stat(st, &now);
	return wa_stat_equal(&now, expected);
}

/*
 * ENOENT proves absence only when the way there is whole: a "wal" that was
 * renamed, or is a file system of its own and not mounted, proves nothing.
 */
static WaCode
fail_absent(DirStore *self, const char *key, WaError *err)
{
	char		first[WA_KEY_BYTES];
	const char *slash = strchr(key, '/');
	struct stat st;

	if (slash != NULL)
	{
		memcpy(first, key, (size_t) (slash - key));
		first[slash - key] = '\0';
		if (wa_dir_stat(self, first, &st) != 0)
		{
			wa_dir_fail(err, errno, "open directory", self, first);
			wa_hint(err, "The archive has lost this: is it a file system of "
					"its own that is not mounted, was it renamed?");
			return err->code;
		}
	}
	return wa_fail(err, WA_NOT_FOUND, "\"%s/%s\" does not exist",
				   self->path, key);
}

static WaCode
fail_irregular(DirStore *self, const char *key, const struct stat *st,
			   WaError *err)
{
	if (S_ISLNK(st->st_mode))
		return wa_dir_fail_link(err, self, key);
	wa_fail(err, WA_INVALID, "\"%s/%s\" is not a regular file", self->path,
			key);
	wa_hint(err, "Nothing of walarch makes such a thing: find out who did, "
			"and move it away.");
	return err->code;
}

/* Open an object for reading; anything but a regular file is an error. */
static WaCode
open_object(DirStore *self, const char *key, int *fd, struct stat *st,
			WaError *err)
{
	int			result;

	*fd = wa_dir_open(self, key, O_RDONLY | O_NONBLOCK);
	if (*fd < 0)
	{
		if (errno == ENOENT)
			return fail_absent(self, key, err);
		/* a socket cannot even be opened */
		if (errno == ENXIO && wa_dir_stat(self, key, st) == 0 &&
			!S_ISREG(st->st_mode))
			return fail_irregular(self, key, st, err);
		return wa_dir_fail(err, errno, "open", self, key);
	}
	WA_DIR_IO(self, result, fstat(*fd, st));
	if (result != 0)
	{
		wa_dir_fail(err, errno, "stat", self, key);
		close(*fd);
		return err->code;
	}
	if (!S_ISREG(st->st_mode))
	{
		close(*fd);
		return fail_irregular(self, key, st, err);
	}
	return WA_OK;
}

static WaCode
dir_persist(WaStore *store, const char *key, WaError *err)
{
	DirStore   *self = (DirStore *) store;
	struct stat st;
	int			fd;
	int			result;
	int			errno_value;

	if (open_object(self, key, &fd, &st, err) != WA_OK)
		return err->code;

	/* in doubt from here on: nobody may be left to hear of a late failure */
	wa_store_memo_suspect_add(self->options.memo, key);
	WA_DIR_IO(self, result, fsync(fd));
	errno_value = errno;
	wa_beat_close(self->options.beat, fd);
	err->code = WA_OK;
	if (result != 0)
		wa_dir_fail(err, errno_value, "fsync", self, key);
	else
		wa_dir_sync_name(self, key, err);
	if (err->code == WA_OK || err->code == WA_CANCELLED)
		wa_memo_suspect_clear(self->options.memo, key);
	return err->code;
}

static WaCode
dir_get(WaStore *store, const char *key, const WaStat *expected,
		uint64_t offset, uint64_t limit, WaSink *to, WaError *err)
{
	DirStore   *self = (DirStore *) store;
	struct stat st;
	int			fd;

	if (self->read_buffer == NULL)
		self->read_buffer = malloc(READ_BYTES);
	if (self->read_buffer == NULL)
		return wa_fail(err, WA_NO_MEMORY, "out of memory reading \"%s\"", key);
	if (open_object(self, key, &fd, &st, err) != WA_OK)
		return err->code;
	if (expected != NULL && !wa_dir_same_stat(&st, expected))
	{
		wa_fail(err, WA_CHANGED, "\"%s/%s\" was replaced while it was read",
				self->path, key);
		goto fail;
	}

	while (limit > 0)
	{
		size_t		some = limit < READ_BYTES ? (size_t) limit : READ_BYTES;
		ssize_t		got;

		WA_DIR_IO(self, got, pread(fd, self->read_buffer, some, (off_t) offset));
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
		{
			wa_dir_fail(err, errno, "read", self, key);
			goto fail;
		}
		if (got == 0)
			break;
		if (wa_sink_write(to, self->read_buffer, (size_t) got, err) != WA_OK)
			goto fail;
		offset += (uint64_t) got;
		limit -= (uint64_t) got;
	}
	wa_beat_close(self->options.beat, fd);
	return WA_OK;

fail:
	wa_beat_close(self->options.beat, fd);
	return err->code;
}

static WaCode
dir_stat(WaStore *store, const char *key, WaStat *result, WaError *err)
{
	DirStore   *self = (DirStore *) store;
	struct stat st;
	int			rc;

	rc = wa_dir_stat(self, key, &st);
	if (rc != 0)
	{
		if (errno == ENOENT)
			return fail_absent(self, key, err);
		return wa_dir_fail(err, errno, "stat", self, key);
	}
	if (!S_ISREG(st.st_mode))
		return fail_irregular(self, key, &st, err);
	fill_stat(&st, result);
	return WA_OK;
}

static WaCode
dir_make_prefix(WaStore *store, const char *prefix, WaError *err)
{
	DirStore   *self = (DirStore *) store;
	int			result;

	result = wa_dir_mkdir(self, prefix);
	if (result != 0 && errno != EEXIST)
		return wa_dir_fail(err, errno, "create directory", self, prefix);
	if (result != 0 && wa_dir_blame_link(err, self, prefix))
		return err->code;
	return wa_dir_sync_name(self, prefix, err);
}

/* Some file systems do not say so in the listing itself. */
static bool
is_directory(DirStore *self, int fd, const struct dirent *entry)
{
	struct stat st;
	int			result;

	if (entry->d_type != DT_UNKNOWN)
		return entry->d_type == DT_DIR;
	WA_DIR_IO(self, result, fstatat(fd, entry->d_name, &st,
									AT_SYMLINK_NOFOLLOW));
	return result == 0 && S_ISDIR(st.st_mode);
}

WaCode
wa_dir_list(WaStore *store, const char *prefix, WaListFn each, void *arg,
		 WaError *err)
{
	DirStore   *self = (DirStore *) store;
	int			fd = wa_dir_open_prefix(self, prefix);
	DIR		   *dir;
	WaCode		code = WA_OK;
	int			result;

	if (fd < 0)
	{
		if (errno == ENOENT)
			return WA_OK;		/* nothing was ever put below it */
		return wa_dir_fail(err, errno, "open directory", self, prefix);
	}
	dir = fdopendir(fd);
	if (dir == NULL)
	{
		wa_dir_fail(err, errno, "read directory", self, prefix);
		wa_beat_close(self->options.beat, fd);
		return err->code;
	}

	while (code == WA_OK)
	{
		struct dirent *entry = NULL;

		if (wa_beat_begin(self->options.beat))
		{
			errno = 0;
			entry = readdir(dir);
			wa_beat_end(self->options.beat);
		}
		if (entry == NULL)
		{
			if (errno != 0)
				code = wa_dir_fail(err, errno, "read directory", self, prefix);
			break;
		}
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		code = each(arg, entry->d_name, is_directory(self, fd, entry), err);
	}
	WA_BEAT_ALWAYS(self->options.beat, result, closedir(dir));
	(void) result;
	return code;
}

static WaCode
dir_remove(WaStore *store, const char *key, WaError *err)
{
	DirStore   *self = (DirStore *) store;
	int			result;

	result = wa_dir_unlink(self, key, 0);
	if (result != 0)
	{
		if (errno == ENOENT)
			return wa_fail(err, WA_NOT_FOUND, "\"%s/%s\" does not exist",
						   self->path, key);
		return wa_dir_fail(err, errno, "remove", self, key);
	}
	return wa_dir_note_dirty(self, key, false, err);
}

static WaCode
dir_remove_prefix(WaStore *store, const char *prefix, WaError *err)
{
	DirStore   *self = (DirStore *) store;
	int			result;

	result = wa_dir_unlink(self, prefix, AT_REMOVEDIR);
	if (result != 0 && errno != ENOTEMPTY && errno != EEXIST &&
		errno != ENOENT)
		return wa_dir_fail(err, errno, "remove directory", self, prefix);
	return WA_OK;
}

/* flock would take this process for somebody else. */
static bool
holds_lock(DirStore *self, const struct stat *st)
{
	for (int i = 0; i < self->locks_count; i++)
	{
		struct stat held;
		int			result;

		WA_DIR_IO(self, result, fstat(self->lock_fds[i], &held));
		if (result == 0 && held.st_ino == st->st_ino &&
			held.st_dev == st->st_dev)
			return true;
	}
	return false;
}

static WaCode
dir_lock(WaStore *store, const char *key, WaError *err)
{
	DirStore   *self = (DirStore *) store;
	struct stat locked;
	struct stat named;
	int			result;
	int			fd;

	if (self->locks_count > 0 && wa_dir_stat(self, key, &named) == 0 &&
		holds_lock(self, &named))
		return WA_OK;
	if (self->locks_count == WA_STORE_LOCKS_MAX)
		return wa_fail(err, WA_INVALID, "too many locks are held in \"%s\"",
					   self->path);
	/* open for writing, or NFS would refuse */
	fd = wa_dir_open(self, key, O_RDWR | O_CREAT | O_NONBLOCK);
	if (fd < 0)
		return wa_dir_fail(err, errno, "open", self, key);
	WA_DIR_IO(self, result, flock(fd, LOCK_EX | LOCK_NB));
	if (result == 0)
	{
		/* a file that was removed meanwhile keeps nobody away */
		WA_DIR_IO(self, result, fstat(fd, &locked));
		if (result == 0 && !S_ISREG(locked.st_mode))
		{
			fail_irregular(self, key, &locked, err);
			wa_beat_close(self->options.beat, fd);
			return err->code;
		}
		if (result == 0)
			result = wa_dir_stat(self, key, &named);
		if (result == 0 && locked.st_ino == named.st_ino &&
			locked.st_dev == named.st_dev)
		{
			self->lock_fds[self->locks_count++] = fd;
			return WA_OK;
		}
		wa_fail(err, WA_EXISTS, "\"%s/%s\" was replaced while it was being "
				"locked", self->path, key);
	}
	else if (errno == EWOULDBLOCK)
		wa_fail(err, WA_EXISTS, "\"%s/%s\" is locked by another process",
				self->path, key);
	else if (errno == ENOLCK || errno == EOPNOTSUPP || errno == ENOSYS)
		wa_fail(err, WA_UNSUPPORTED, "the file system of \"%s\" has no locks",
				self->path);
	else
		wa_dir_fail(err, errno, "lock", self, key);
	wa_beat_close(self->options.beat, fd);
	return err->code;
}

static WaCode
dir_free_bytes(WaStore *store, uint64_t *bytes, WaError *err)
{
	DirStore   *self = (DirStore *) store;
	struct statvfs vfs;
	int			result;

	WA_DIR_IO(self, result, fstatvfs(self->fd, &vfs));
	if (result != 0)
		return wa_dir_fail(err, errno, "get free space of", self, "");
	*bytes = (uint64_t) vfs.f_bavail * vfs.f_frsize;
	return WA_OK;
}

static void
dir_close(WaStore *store)
{
	DirStore   *self = (DirStore *) store;

	while (self->locks_count > 0)
		wa_beat_close(self->options.beat, self->lock_fds[--self->locks_count]);
	wa_beat_close(self->options.beat, self->fd);
	free(self->read_buffer);
	free(self);
}

static const WaStoreOps dir_ops = {
	.put_begin = wa_dir_put_begin,
	.put_write = wa_dir_put_write,
	.put_stage = wa_dir_put_stage,
	.put_commit = wa_dir_put_commit,
	.put_set_aside = wa_dir_put_set_aside,
	.put_close = wa_dir_put_close,
	.sync = wa_dir_sync,
	.persist = dir_persist,
	.get = dir_get,
	.stat = dir_stat,
	.make_prefix = dir_make_prefix,
	.list = wa_dir_list,
	.remove = dir_remove,
	.remove_prefix = dir_remove_prefix,
	.lock = dir_lock,
	.sweep = wa_dir_sweep,
	.free_bytes = dir_free_bytes,
	.close = dir_close
};

WaCode
wa_store_dir_open(const char *path, const WaStoreOptions *options,
				  WaStore **store, WaError *err)
{
	DirStore   *self;
	int			errno_value;

	*store = NULL;
	if (path[0] != '/')
	{
		wa_fail(err, WA_INVALID,
				"archive directory \"%s\" is not an absolute path", path);
		wa_hint(err, "Give the whole path, beginning with \"/\".");
		return err->code;
	}
	if (strlen(path) >= WA_DIR_PATH_BYTES)
		return wa_fail(err, WA_INVALID,
					   "the path of the archive directory is too long");
	self = calloc(1, sizeof(*self));
	if (self == NULL)
		return wa_fail(err, WA_NO_MEMORY, "out of memory opening \"%s\"",
					   path);
	self->store.ops = &dir_ops;
	self->store.place = self->path;
	self->options = *options;
	memccpy(self->path, path, 0, WA_DIR_PATH_BYTES);

	WA_DIR_IO(self, self->fd, open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	if (self->fd >= 0)
	{
		*store = &self->store;
		return WA_OK;
	}
	errno_value = errno;
	switch (errno_value)
	{
		case ENOENT:
			wa_fail(err, WA_NO_DIRECTORY,
					"archive directory \"%s\" does not exist", path);
			wa_hint(err, "If it lies on a file system of its own, is that "
					"mounted? For a new archive, create the directory, owned "
					"by the operating system user of the server.");
			break;
		case ENOTDIR:
			wa_fail(err, WA_INVALID, "\"%s\" is not a directory", path);
			wa_hint(err, "The archive must be a directory.");
			break;
		default:
			wa_dir_fail(err, errno_value, "open archive directory", self, "");
	}
	free(self);
	return err->code;
}
