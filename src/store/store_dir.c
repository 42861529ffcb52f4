/*
 * store_dir.c
 *	  A directory as a store.
 *
 * All calls are relative to one open directory, so that what was proven of
 * it once (by its marker) holds for every later lookup.  The sequence
 * "file synced, name published without replacing, directory synced, its
 * parents synced once" exists here and nowhere else.
 */
#include "store/store.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "store/store_memo.h"

#define PATH_BYTES			1024
#define WRITE_BYTES_MAX		(1024 * 1024)	/* so that progress shows */
#define READ_BYTES			(256 * 1024)
#define DIRTY_MAX			16	/* directories awaiting their fsync */
#define TEMPORARY_AGE_S		(24 * 60 * 60)

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE	(1 << 0)
#define RENAME_EXCHANGE		(1 << 1)
#endif

typedef struct DirStore
{
	WaStore		store;
	WaStoreOptions options;
	int			fd;
	uint64_t	sequence;		/* makes names of temporaries unique */
	unsigned char *read_buffer; /* READ_BYTES, allocated when first needed */
	int			dirty_count;	/* keys whose directories await fsync */
	char		dirty[DIRTY_MAX][WA_KEY_BYTES];
	char		path[PATH_BYTES];	/* for messages */
} DirStore;

typedef struct DirPut
{
	WaPut		put;
	int			fd;				/* -1 once staged */
	bool		named;			/* the temporary still has its name */
	char		temporary[WA_KEY_BYTES];
} DirPut;

/* Every call that may wait for storage goes through this. */
#define IO(self, result, call) WA_BEAT((self)->options.beat, result, call)

static WaCode
fail_io(WaError *err, int errno_value, const char *verb, DirStore *self,
		const char *key)
{
	if (errno_value == ECANCELED)
		return wa_fail(err, WA_CANCELLED, "gave up on \"%s/%s\"",
					   self->path, key);
	wa_fail_errno(err, errno_value, "could not %s \"%s%s%s\"", verb,
				  self->path, *key != '\0' ? "/" : "", key);
	if (errno_value == EACCES || errno_value == EPERM)
		wa_hint(err, "The operating system user of the server needs read, "
				"write and search permission there.");
	else if (errno_value == EROFS)
		wa_hint(err, "The file system is mounted read-only: look into the "
				"kernel log for the reason before remounting it.");
	return err->code;
}

/* The directory part of a key; "" for the top. */
static void
parent_of(const char *key, char *parent)
{
	const char *slash = strrchr(key, '/');
	size_t		length = slash != NULL ? (size_t) (slash - key) : 0;

	memcpy(parent, key, length);
	parent[length] = '\0';
}

static int
open_dir(DirStore *self, const char *key)
{
	int			fd;

	IO(self, fd, openat(self->fd, *key != '\0' ? key : ".",
						O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	return fd;
}

static WaCode
sync_dir(DirStore *self, const char *key, struct stat *st, WaError *err)
{
	int			fd = open_dir(self, key);
	int			result;
	int			errno_value;

	if (fd < 0)
		return fail_io(err, errno, "open directory", self, key);
	IO(self, result, fsync(fd));
	errno_value = errno;
	if (result == 0 && st != NULL)
	{
		IO(self, result, fstat(fd, st));
		errno_value = errno;
	}
	close(fd);
	if (result != 0)
		return fail_io(err, errno_value, "fsync directory", self, key);
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

	IO(self, fd, openat(self->fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	if (fd < 0)
	{
		if (errno == EACCES || errno == EPERM)
			return WA_OK;
		return fail_io(err, errno, "open parent of", self, "");
	}
	IO(self, result, fsync(fd));
	errno_value = errno;
	close(fd);
	/* a read-only or odd parent file system cannot hold unsynced names */
	if (result != 0 && errno_value != EROFS && errno_value != EINVAL)
		return fail_io(err, errno_value, "fsync parent of", self, "");
	return WA_OK;
}

/*
 * Make the name of `key` durable: its directory now, and the directories
 * above once per process, since that they exist does not show that their
 * names are on disk.
 */
static WaCode
sync_name(DirStore *self, const char *key, WaError *err)
{
	char		at[WA_KEY_BYTES];
	char		above[WA_KEY_BYTES];
	struct stat st;

	parent_of(key, at);
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
		parent_of(at, above);
		if (sync_dir(self, above, &st, err) != WA_OK)
			return err->code;
		wa_memo_learn(self->options.memo, device, inode);
		memcpy(at, above, sizeof(at));
	}
	return WA_OK;
}

/* Create the directories above a key where they are missing. */
static WaCode
make_parents(DirStore *self, const char *key, WaError *err)
{
	char		part[WA_KEY_BYTES];

	for (const char *slash = strchr(key, '/'); slash != NULL;
		 slash = strchr(slash + 1, '/'))
	{
		int			result;

		memcpy(part, key, (size_t) (slash - key));
		part[slash - key] = '\0';
		IO(self, result, mkdirat(self->fd, part, self->options.dir_mode));
		if (result != 0 && errno != EEXIST)
			return fail_io(err, errno, "create directory", self, part);
	}
	return WA_OK;
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

static bool
same_stat(const struct stat *st, const WaStat *expected)
{
	WaStat		now;

	fill_stat(st, &now);
	return now.bytes == expected->bytes &&
		memcmp(now.identity, expected->identity, sizeof(now.identity)) == 0;
}

/*
 * ENOENT proves absence only below a first part that is there: a "wal" that
 * was renamed, or is a file system of its own and not mounted, proves
 * nothing.
 */
static WaCode
fail_absent(DirStore *self, const char *key, WaError *err)
{
	const char *slash = strchr(key, '/');
	char		first[WA_KEY_BYTES];
	struct stat st;
	int			result;

	if (slash != NULL)
	{
		memcpy(first, key, (size_t) (slash - key));
		first[slash - key] = '\0';
		IO(self, result, fstatat(self->fd, first, &st, 0));
		if (result != 0 && errno == ENOENT)
		{
			fail_io(err, ENOENT, "open directory", self, first);
			wa_hint(err, "The archive has lost this directory: is it a file "
					"system of its own that is not mounted, was it renamed?");
			return err->code;
		}
		if (result != 0)
			return fail_io(err, errno, "stat", self, first);
	}
	return wa_fail(err, WA_NOT_FOUND, "\"%s/%s\" does not exist",
				   self->path, key);
}

/* Open an object for reading; anything but a regular file is an error. */
static WaCode
open_object(DirStore *self, const char *key, int *fd, struct stat *st,
			WaError *err)
{
	int			result;

	IO(self, *fd, openat(self->fd, key, O_RDONLY | O_CLOEXEC | O_NONBLOCK));
	if (*fd < 0)
	{
		if (errno == ENOENT)
			return fail_absent(self, key, err);
		return fail_io(err, errno, "open", self, key);
	}
	IO(self, result, fstat(*fd, st));
	if (result != 0)
	{
		fail_io(err, errno, "stat", self, key);
		close(*fd);
		return err->code;
	}
	if (!S_ISREG(st->st_mode))
	{
		close(*fd);
		return wa_fail(err, WA_INVALID, "\"%s/%s\" is not a regular file",
					   self->path, key);
	}
	return WA_OK;
}

static WaCode
dir_put_begin(WaStore *store, const char *key, WaPut **put, WaError *err)
{
	DirStore   *self = (DirStore *) store;
	DirPut	   *result = calloc(1, sizeof(*result));

	if (result == NULL)
		return wa_fail(err, WA_NO_MEMORY, "out of memory storing \"%s\"", key);
	result->put.store = store;
	memccpy(result->put.key, key, '\0', WA_KEY_BYTES);
	snprintf(result->temporary, sizeof(result->temporary), "tmp/%s-%" PRIu64,
			 self->options.token, self->sequence++);

	if (make_parents(self, result->temporary, err) != WA_OK)
		goto fail;
	for (;;)
	{
		IO(self, result->fd, openat(self->fd, result->temporary,
									O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
									self->options.file_mode));
		if (result->fd >= 0)
			break;
		if (errno != EEXIST)
		{
			fail_io(err, errno, "create", self, result->temporary);
			goto fail;
		}
		/* another store of this process with the same token was here */
		snprintf(result->temporary, sizeof(result->temporary),
				 "tmp/%s-%" PRIu64, self->options.token, self->sequence++);
	}
	result->named = true;
	*put = &result->put;
	return WA_OK;

fail:
	free(result);
	return err->code;
}

static WaCode
dir_put_write(WaPut *put, const void *data, size_t length, WaError *err)
{
	DirPut	   *self = (DirPut *) put;
	DirStore   *store = (DirStore *) put->store;
	const char *at = data;

	while (length > 0)
	{
		size_t		some = length < WRITE_BYTES_MAX ? length : WRITE_BYTES_MAX;
		ssize_t		written;

		IO(store, written, write(self->fd, at, some));
		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
			return fail_io(err, written < 0 ? errno : ENOSPC, "write", store,
						   self->temporary);
		at += written;
		length -= (size_t) written;
	}
	return WA_OK;
}

/*
 * A file whose fsync failed is thrown away by put_close and never synced
 * again: the kernel may have dropped the dirty pages and would report
 * success the next time.
 */
static WaCode
dir_put_stage(WaPut *put, WaError *err)
{
	DirPut	   *self = (DirPut *) put;
	DirStore   *store = (DirStore *) put->store;
	int			result;

	IO(store, result, fsync(self->fd));
	if (result != 0)
		return fail_io(err, errno, "fsync", store, self->temporary);
	result = close(self->fd);
	self->fd = -1;
	if (result != 0)
		return fail_io(err, errno, "close", store, self->temporary);
	return WA_OK;
}

/* Remember that the directory of a key awaits its fsync. */
static WaCode
note_dirty(DirStore *self, const char *key, WaError *err)
{
	if (self->dirty_count == DIRTY_MAX &&
		wa_store_sync(&self->store, err) != WA_OK)
	{
		wa_store_memo_suspect_add(self->options.memo, key);
		return err->code;
	}
	memccpy(self->dirty[self->dirty_count++], key, '\0', WA_KEY_BYTES);
	return WA_OK;
}

/* Publish a name that must not exist, by whatever the file system has. */
static int
publish(DirStore *self, const char *from, const char *to, bool *moved)
{
	int			result;

	*moved = true;
	IO(self, result, renameat2(self->fd, from, self->fd, to,
							   RENAME_NOREPLACE));
	if (result == 0 ||
		(errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP))
		return result;

	*moved = false;
	IO(self, result, linkat(self->fd, from, self->fd, to, 0));
	return result;
}

static WaCode
dir_put_commit(WaPut *put, WaError *err)
{
	DirPut	   *self = (DirPut *) put;
	DirStore   *store = (DirStore *) put->store;
	bool		moved;

	assert(self->fd == -1);
	if (make_parents(store, put->key, err) != WA_OK)
		return err->code;
	if (publish(store, self->temporary, put->key, &moved) != 0)
	{
		if (errno == EEXIST)
			return wa_fail(err, WA_EXISTS, "\"%s/%s\" already exists",
						   store->path, put->key);
		if (!moved && (errno == EPERM || errno == EOPNOTSUPP ||
					   errno == ENOSYS || errno == EMLINK))
		{
			wa_fail(err, WA_UNSUPPORTED,
					"the file system of \"%s\" can neither rename without "
					"replacing nor make hard links", store->path);
			wa_hint(err, "Without one of them a file could be overwritten. "
					"Use another file system for the archive.");
			return err->code;
		}
		return fail_io(err, errno, "publish", store, put->key);
	}
	if (moved)
		self->named = false;
	return note_dirty(store, put->key, err);
}

/* Is the object under this name the one that was judged? */
static WaCode
check_judged(DirStore *self, const char *name, const WaStat *judged,
			 WaError *err)
{
	struct stat st;
	int			result;

	IO(self, result, fstatat(self->fd, name, &st, AT_SYMLINK_NOFOLLOW));
	if (result != 0)
		return fail_io(err, errno, "stat", self, name);
	if (!same_stat(&st, judged))
		return wa_fail(err, WA_CHANGED,
					   "\"%s/%s\" was replaced in the meantime",
					   self->path, name);
	return WA_OK;
}

/*
 * Where names can be exchanged: ours becomes durable under aside_key first,
 * then both names are exchanged in one step.  At no moment is the key absent
 * or the old object without a name, and nothing that a sweep would take ever
 * holds it.  Had somebody else put another object there since we judged the
 * old one, the exchange brings it to light and is undone.
 *
 * EINVAL, ENOSYS or EOPNOTSUPP in errno with *exchanged false: not here.
 */
static WaCode
exchange(DirStore *self, DirPut *put, const WaStat *judged,
		 const char *aside_key, bool *exchanged, WaError *err)
{
	int			result;
	bool		moved;

	*exchanged = false;
	if (publish(self, put->temporary, aside_key, &moved) != 0)
	{
		if (errno == EEXIST)
			return wa_fail(err, WA_EXISTS, "\"%s/%s\" already exists",
						   self->path, aside_key);
		return fail_io(err, errno, "publish", self, aside_key);
	}
	put->named = !moved;
	if (sync_name(self, aside_key, err) != WA_OK)
		goto undo;

	IO(self, result, renameat2(self->fd, aside_key, self->fd, put->put.key,
							   RENAME_EXCHANGE));
	if (result != 0)
	{
		int			errno_value = errno;

		if (errno_value == EINVAL || errno_value == ENOSYS ||
			errno_value == EOPNOTSUPP)
			err->code = WA_OK;	/* the caller knows another way */
		else
			fail_io(err, errno_value, "replace", self, put->put.key);
		goto undo;
	}
	if (check_judged(self, aside_key, judged, err) == WA_OK)
	{
		*exchanged = true;
		return WA_OK;
	}
	IO(self, result, renameat2(self->fd, aside_key, self->fd, put->put.key,
							   RENAME_EXCHANGE));
	if (result != 0)
		return err->code;		/* both are there for a person to see */

undo:
	/* back under the temporary's name, for another try or for put_close */
	if (moved && renameat(self->fd, aside_key, self->fd, put->temporary) == 0)
		put->named = true;
	else if (!moved)
		(void) unlinkat(self->fd, aside_key, 0);
	return err->code;
}

/*
 * Where they cannot: a second name for the old bytes, then a plain rename.
 * Weaker: what somebody else published in the moment between the last look
 * and the rename is replaced unseen.
 */
static WaCode
link_and_rename(DirStore *self, DirPut *put, const WaStat *judged,
				const char *aside_key, WaError *err)
{
	int			result;

	IO(self, result, linkat(self->fd, put->put.key, self->fd, aside_key, 0));
	if (result != 0)
	{
		if (errno == EEXIST)
			return wa_fail(err, WA_EXISTS, "\"%s/%s\" already exists",
						   self->path, aside_key);
		return fail_io(err, errno, "set aside", self, put->put.key);
	}
	if (check_judged(self, aside_key, judged, err) != WA_OK ||
		sync_name(self, aside_key, err) != WA_OK ||
		check_judged(self, put->put.key, judged, err) != WA_OK)
		goto undo;
	IO(self, result, renameat(self->fd, put->temporary, self->fd,
							  put->put.key));
	if (result != 0)
	{
		fail_io(err, errno, "replace", self, put->put.key);
		goto undo;
	}
	put->named = false;
	return WA_OK;

undo:
	(void) unlinkat(self->fd, aside_key, 0);
	return err->code;
}

static WaCode
dir_put_set_aside(WaPut *put, const WaStat *judged, const char *aside_key,
				  WaError *err)
{
	DirPut	   *self = (DirPut *) put;
	DirStore   *store = (DirStore *) put->store;
	bool		exchanged;

	assert(self->fd == -1);
	if (check_judged(store, put->key, judged, err) != WA_OK ||
		make_parents(store, aside_key, err) != WA_OK ||
		exchange(store, self, judged, aside_key, &exchanged, err) != WA_OK)
		return err->code;
	if (!exchanged &&
		link_and_rename(store, self, judged, aside_key, err) != WA_OK)
		return err->code;

	wa_memo_suspect_clear(store->options.memo, put->key);
	if (note_dirty(store, aside_key, err) != WA_OK)
		return err->code;
	return note_dirty(store, put->key, err);
}

static void
dir_put_close(WaPut *put)
{
	DirPut	   *self = (DirPut *) put;
	DirStore   *store = (DirStore *) put->store;

	if (self->fd >= 0)
		close(self->fd);
	/* not under io_begin: a put given up must still clean up behind itself */
	if (self->named)
		(void) unlinkat(store->fd, self->temporary, 0);
	free(self);
}

static WaCode
dir_sync(WaStore *store, WaError *err)
{
	DirStore   *self = (DirStore *) store;
	WaCode		code = WA_OK;
	char		parents[DIRTY_MAX][WA_KEY_BYTES];

	for (int i = 0; i < self->dirty_count && code == WA_OK; i++)
	{
		bool		done = false;

		/* one fsync for a run of objects in one directory */
		parent_of(self->dirty[i], parents[i]);
		for (int j = 0; j < i && !done; j++)
			done = strcmp(parents[i], parents[j]) == 0;
		if (!done)
			code = sync_name(self, self->dirty[i], err);
	}
	if (code != WA_OK)
		for (int i = 0; i < self->dirty_count; i++)
			wa_store_memo_suspect_add(self->options.memo, self->dirty[i]);
	self->dirty_count = 0;
	return code;
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
	IO(self, result, fsync(fd));
	errno_value = errno;
	close(fd);
	if (result != 0)
	{
		if (errno_value != ECANCELED)
			wa_store_memo_suspect_add(self->options.memo, key);
		return fail_io(err, errno_value, "fsync", self, key);
	}
	if (sync_name(self, key, err) != WA_OK)
	{
		if (err->code != WA_CANCELLED)
			wa_store_memo_suspect_add(self->options.memo, key);
		return err->code;
	}
	return WA_OK;
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
	if (expected != NULL && !same_stat(&st, expected))
	{
		wa_fail(err, WA_CHANGED, "\"%s/%s\" was replaced while it was read",
				self->path, key);
		goto fail;
	}

	while (limit > 0)
	{
		size_t		some = limit < READ_BYTES ? (size_t) limit : READ_BYTES;
		ssize_t		got;

		IO(self, got, pread(fd, self->read_buffer, some, (off_t) offset));
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
		{
			fail_io(err, errno, "read", self, key);
			goto fail;
		}
		if (got == 0)
			break;
		if (wa_sink_write(to, self->read_buffer, (size_t) got, err) != WA_OK)
			goto fail;
		offset += (uint64_t) got;
		limit -= (uint64_t) got;
	}
	close(fd);
	return WA_OK;

fail:
	close(fd);
	return err->code;
}

static WaCode
dir_stat(WaStore *store, const char *key, WaStat *result, WaError *err)
{
	DirStore   *self = (DirStore *) store;
	struct stat st;
	int			rc;

	IO(self, rc, fstatat(self->fd, key, &st, 0));
	if (rc != 0)
	{
		if (errno == ENOENT)
			return fail_absent(self, key, err);
		return fail_io(err, errno, "stat", self, key);
	}
	if (!S_ISREG(st.st_mode))
		return wa_fail(err, WA_INVALID, "\"%s/%s\" is not a regular file",
					   self->path, key);
	fill_stat(&st, result);
	return WA_OK;
}

static WaCode
dir_make_prefix(WaStore *store, const char *prefix, WaError *err)
{
	DirStore   *self = (DirStore *) store;
	int			result;

	IO(self, result, mkdirat(self->fd, prefix, self->options.dir_mode));
	if (result != 0 && errno != EEXIST)
		return fail_io(err, errno, "create directory", self, prefix);
	return sync_name(self, prefix, err);
}

static WaCode
dir_list(WaStore *store, const char *prefix, WaListFn each, void *arg,
		 WaError *err)
{
	DirStore   *self = (DirStore *) store;
	int			fd = open_dir(self, prefix);
	DIR		   *dir;
	WaCode		code = WA_OK;

	if (fd < 0)
	{
		if (errno == ENOENT)
			return WA_OK;		/* nothing was ever put below it */
		return fail_io(err, errno, "open directory", self, prefix);
	}
	dir = fdopendir(fd);
	if (dir == NULL)
	{
		fail_io(err, errno, "read directory", self, prefix);
		close(fd);
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
				code = fail_io(err, errno, "read directory", self, prefix);
			break;
		}
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		code = each(arg, entry->d_name, entry->d_type == DT_DIR, err);
	}
	closedir(dir);
	return code;
}

static WaCode
dir_remove(WaStore *store, const char *key, WaError *err)
{
	DirStore   *self = (DirStore *) store;
	int			result;

	IO(self, result, unlinkat(self->fd, key, 0));
	if (result != 0)
	{
		if (errno == ENOENT)
			return wa_fail(err, WA_NOT_FOUND, "\"%s/%s\" does not exist",
						   self->path, key);
		return fail_io(err, errno, "remove", self, key);
	}
	return note_dirty(self, key, err);
}

/* What the sweep needs to know while it walks tmp/. */
typedef struct Sweep
{
	DirStore   *self;
	const char *const *tokens;
	int			tokens_count;
	int64_t		now_s;			/* by the file system's own clock */
	uint64_t	swept;
} Sweep;

/* "<16 hexadecimal digits>-<number>": nothing else in tmp/ is ours. */
static bool
temporary_name(const char *name)
{
	return strspn(name, "0123456789abcdef") == WA_TOKEN_BYTES - 1 &&
		name[WA_TOKEN_BYTES - 1] == '-' &&
		name[WA_TOKEN_BYTES] != '\0' &&
		name[WA_TOKEN_BYTES + strspn(name + WA_TOKEN_BYTES,
									 "0123456789")] == '\0';
}

static WaCode
sweep_one(void *arg, const char *name, bool is_prefix, WaError *err)
{
	Sweep	   *sweep = arg;
	DirStore   *self = sweep->self;
	char		key[WA_KEY_BYTES];
	struct stat st;
	bool		ours = false;
	int			result;

	(void) err;
	if (is_prefix || !temporary_name(name) ||
		strncmp(name, self->options.token, WA_TOKEN_BYTES - 1) == 0)
		return WA_OK;
	for (int i = 0; i < sweep->tokens_count && !ours; i++)
		ours = *sweep->tokens[i] != '\0' &&
			strncmp(name, sweep->tokens[i], WA_TOKEN_BYTES - 1) == 0;

	snprintf(key, sizeof(key), "tmp/%s", name);
	IO(self, result, fstatat(self->fd, key, &st, AT_SYMLINK_NOFOLLOW));
	if (result != 0 || !S_ISREG(st.st_mode))
		return WA_OK;
	if (!ours && (st.st_mtim.tv_sec + TEMPORARY_AGE_S > sweep->now_s ||
				  st.st_ctim.tv_sec + TEMPORARY_AGE_S > sweep->now_s))
		return WA_OK;
	IO(self, result, unlinkat(self->fd, key, 0));
	if (result == 0)
		sweep->swept++;
	return WA_OK;
}

static WaCode
dir_sweep(WaStore *store, const char *const *tokens, int tokens_count,
		  uint64_t *swept, WaError *err)
{
	DirStore   *self = (DirStore *) store;
	Sweep		sweep = {self, tokens, tokens_count, 0, 0};
	WaPut	   *probe;
	struct stat st;
	int			result;

	*swept = 0;
	/* a file made now tells the time of the file system, maybe a server's */
	if (wa_put_begin(store, "tmp/clock", &probe, err) != WA_OK)
		return err->code;
	IO(self, result, fstat(((DirPut *) probe)->fd, &st));
	if (result != 0)
		fail_io(err, errno, "stat", self, "tmp");
	wa_put_close(probe);
	if (result != 0)
		return err->code;

	sweep.now_s = st.st_mtim.tv_sec;
	if (dir_list(store, "tmp", sweep_one, &sweep, err) != WA_OK)
		return err->code;
	*swept = sweep.swept;
	return WA_OK;
}

static WaCode
dir_free_bytes(WaStore *store, uint64_t *bytes, WaError *err)
{
	DirStore   *self = (DirStore *) store;
	struct statvfs vfs;
	int			result;

	IO(self, result, fstatvfs(self->fd, &vfs));
	if (result != 0)
		return fail_io(err, errno, "get free space of", self, "");
	*bytes = (uint64_t) vfs.f_bavail * vfs.f_frsize;
	return WA_OK;
}

static void
dir_close(WaStore *store)
{
	DirStore   *self = (DirStore *) store;

	close(self->fd);
	free(self->read_buffer);
	free(self);
}

static const WaStoreOps dir_ops = {
	.put_begin = dir_put_begin,
	.put_write = dir_put_write,
	.put_stage = dir_put_stage,
	.put_commit = dir_put_commit,
	.put_set_aside = dir_put_set_aside,
	.put_close = dir_put_close,
	.sync = dir_sync,
	.persist = dir_persist,
	.get = dir_get,
	.stat = dir_stat,
	.make_prefix = dir_make_prefix,
	.list = dir_list,
	.remove = dir_remove,
	.sweep = dir_sweep,
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
	if (strlen(path) >= PATH_BYTES)
		return wa_fail(err, WA_INVALID,
					   "the path of the archive directory is too long");
	self = calloc(1, sizeof(*self));
	if (self == NULL)
		return wa_fail(err, WA_NO_MEMORY, "out of memory opening \"%s\"",
					   path);
	self->store.ops = &dir_ops;
	self->store.place = self->path;
	self->options = *options;
	memccpy(self->path, path, 0, PATH_BYTES);

	IO(self, self->fd, open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
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
			fail_io(err, errno_value, "open archive directory", self, "");
	}
	free(self);
	return err->code;
}
