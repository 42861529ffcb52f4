/*
 * store_dir_put.c
 *	  A directory as a store: writing an object.
 *
 * The sequence "file synced, name published without replacing" exists here
 * and nowhere else.
 */
#include "store/store_dir.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/store_memo.h"

#define WRITE_BYTES_MAX		(8 * 1024 * 1024)	/* so that progress shows */

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE	(1 << 0)
#define RENAME_EXCHANGE		(1 << 1)
#endif

/* A name no other temporary of this process has had. */
static void
name_temporary(DirStore *self, DirPut *put)
{
	uint64_t	number = self->options.memo != NULL ?
		wa_memo_next_number(self->options.memo) : self->sequence++;

	snprintf(put->temporary, sizeof(put->temporary), "tmp/%s-%" PRIu64,
			 self->options.token, number);
}

WaCode
wa_dir_put_begin(WaStore *store, const char *key, WaPut **put, WaError *err)
{
	DirStore   *self = (DirStore *) store;
	DirPut	   *result = calloc(1, sizeof(*result));

	if (result == NULL)
		return wa_fail(err, WA_NO_MEMORY, "out of memory storing \"%s\"", key);
	result->put.ops = store->ops;
	result->put.store = store;
	memccpy(result->put.key, key, '\0', WA_KEY_BYTES);
	name_temporary(self, result);

	if (wa_dir_make_parents(self, result->temporary, err) != WA_OK)
		goto fail;
	for (;;)
	{
		result->fd = wa_dir_open(self, result->temporary,
								 O_WRONLY | O_CREAT | O_EXCL);
		if (result->fd >= 0)
			break;
		if (errno != EEXIST)
		{
			wa_dir_fail(err, errno, "create", self, result->temporary);
			goto fail;
		}
		name_temporary(self, result);
	}
	result->named = true;
	*put = &result->put;
	return WA_OK;

fail:
	free(result);
	return err->code;
}

WaCode
wa_dir_put_write(WaPut *put, const void *data, size_t length, WaError *err)
{
	DirPut	   *self = (DirPut *) put;
	DirStore   *store = (DirStore *) put->store;
	const char *at = data;

	while (length > 0)
	{
		size_t		some = length < WRITE_BYTES_MAX ? length : WRITE_BYTES_MAX;
		ssize_t		written;

		WA_DIR_IO(store, written, write(self->fd, at, some));
		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
			return wa_dir_fail(err, written < 0 ? errno : ENOSPC, "write", store,
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
WaCode
wa_dir_put_stage(WaPut *put, WaError *err)
{
	DirPut	   *self = (DirPut *) put;
	DirStore   *store = (DirStore *) put->store;
	int			result;

	WA_DIR_IO(store, result, fsync(self->fd));
	if (result != 0)
		return wa_dir_fail(err, errno, "fsync", store, self->temporary);
	result = wa_beat_close(store->options.beat, self->fd);
	self->fd = -1;
	if (result != 0)
		return wa_dir_fail(err, errno, "close", store, self->temporary);
	return WA_OK;
}

/* A staged file may have been taken away, as by a restored file system. */
static bool
temporary_gone(DirStore *self, const DirPut *put)
{
	struct stat st;

	return wa_dir_stat(self, put->temporary, &st) != 0 && errno == ENOENT;
}

/* Publish a name that must not exist, by whatever the file system has. */
static int
publish(DirStore *self, const char *from, const char *to, bool *moved)
{
	int			result;

	*moved = true;
	result = wa_dir_rename(self, from, to, RENAME_NOREPLACE);
	if (result == 0 ||
		(errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP))
		return result;

	*moved = false;
	return wa_dir_link(self, from, to);
}

WaCode
wa_dir_put_commit(WaPut *put, WaError *err)
{
	DirPut	   *self = (DirPut *) put;
	DirStore   *store = (DirStore *) put->store;
	bool		moved;

	assert(self->fd == -1);
	if (wa_dir_make_parents(store, put->key, err) != WA_OK)
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
		wa_dir_fail(err, errno, "publish", store, put->key);
		if (err->errno_value == ENOENT && temporary_gone(store, self))
			err->code = WA_CHANGED;
		return err->code;
	}
	if (moved)
		self->named = false;
	return wa_dir_note_dirty(store, put->key, false, err);
}

/* Is the object under this name the one that was judged? */
static WaCode
check_judged(DirStore *self, const char *name, const WaStat *judged,
			 WaError *err)
{
	struct stat st;

	if (wa_dir_stat(self, name, &st) != 0)
		return wa_dir_fail(err, errno, "stat", self, name);
	if (!wa_dir_same_stat(&st, judged))
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
		return wa_dir_fail(err, errno, "publish", self, aside_key);
	}
	put->named = !moved;
	if (wa_dir_sync_name(self, aside_key, err) != WA_OK)
		goto undo;

	result = wa_dir_rename(self, aside_key, put->put.key, RENAME_EXCHANGE);
	if (result != 0)
	{
		int			errno_value = errno;

		if (errno_value == EINVAL || errno_value == ENOSYS ||
			errno_value == EOPNOTSUPP)
			err->code = WA_OK;	/* the caller knows another way */
		else
			wa_dir_fail(err, errno_value, "replace", self, put->put.key);
		goto undo;
	}
	if (check_judged(self, aside_key, judged, err) == WA_OK)
	{
		*exchanged = true;
		return WA_OK;
	}
	result = wa_dir_rename(self, aside_key, put->put.key, RENAME_EXCHANGE);
	if (result != 0)
		return err->code;		/* both are there for a person to see */

undo:
	/* back under the temporary's name, for another try or for put_close */
	if (moved)
	{
		result = wa_dir_move_back(self, aside_key, put->temporary);
		put->named = result == 0;
	}
	else
		wa_dir_discard(self, aside_key);
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

	result = wa_dir_link(self, put->put.key, aside_key);
	if (result != 0)
	{
		if (errno == EEXIST)
			return wa_fail(err, WA_EXISTS, "\"%s/%s\" already exists",
						   self->path, aside_key);
		return wa_dir_fail(err, errno, "set aside", self, put->put.key);
	}
	if (check_judged(self, aside_key, judged, err) != WA_OK ||
		wa_dir_sync_name(self, aside_key, err) != WA_OK ||
		check_judged(self, put->put.key, judged, err) != WA_OK)
		goto undo;
	result = wa_dir_rename(self, put->temporary, put->put.key, 0);
	if (result != 0)
	{
		wa_dir_fail(err, errno, "replace", self, put->put.key);
		goto undo;
	}
	put->named = false;
	return WA_OK;

undo:
	wa_dir_discard(self, aside_key);
	return err->code;
}

WaCode
wa_dir_put_set_aside(WaPut *put, const WaStat *judged, const char *aside_key,
				  WaError *err)
{
	DirPut	   *self = (DirPut *) put;
	DirStore   *store = (DirStore *) put->store;
	bool		exchanged;

	assert(self->fd == -1);
	if (check_judged(store, put->key, judged, err) != WA_OK ||
		wa_dir_make_parents(store, aside_key, err) != WA_OK ||
		exchange(store, self, judged, aside_key, &exchanged, err) != WA_OK)
		return err->code;
	if (!exchanged &&
		link_and_rename(store, self, judged, aside_key, err) != WA_OK)
		return err->code;

	wa_memo_suspect_clear(store->options.memo, put->key);
	if (wa_dir_note_dirty(store, aside_key, true, err) != WA_OK)
		return err->code;
	return wa_dir_note_dirty(store, put->key, false, err);
}

void
wa_dir_put_close(WaPut *put)
{
	DirPut	   *self = (DirPut *) put;
	DirStore   *store = (DirStore *) put->store;

	if (self->fd >= 0)
		wa_beat_close(store->options.beat, self->fd);
	/* a put given up must still clean up behind itself */
	if (self->named && store != NULL)
		wa_dir_discard(store, self->temporary);
	free(self);
}
