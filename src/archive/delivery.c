/*
 * delivery.c
 *	  A restored file on its way to the name PostgreSQL asked for.
 */
#include "archive/delivery.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEMPORARY_SUFFIX	".walarch"
#define OPEN_TRIES_MAX		10

struct WaDelivery
{
	WaSink		sink;
	WaBeat	   *beat;
	int			fd;
	WaUnnamed  *unnamed;		/* NULL: it has a name */
	bool		committed;
	char		temporary[WA_DELIVERY_PATH_BYTES];
	bool		(*still_wanted) (void);
	char		destination[WA_DELIVERY_PATH_BYTES];
};

bool
wa_delivery_temporary(const char *destination, char *temporary)
{
	int			length = snprintf(temporary, WA_DELIVERY_PATH_BYTES, "%s%s",
								  destination, TEMPORARY_SUFFIX);

	return length > 0 && length < WA_DELIVERY_PATH_BYTES;
}

static WaCode
delivery_write(WaSink *sink, const void *data, size_t length, WaError *err)
{
	WaDelivery *self = (WaDelivery *) sink;
	const char *at = data;

	while (length > 0)
	{
		ssize_t		written;

		WA_BEAT(self->beat, written, write(self->fd, at, length));
		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
			return wa_fail_errno(err, written < 0 ? errno : ENOSPC,
								 "could not write \"%s\"", self->temporary);
		at += written;
		length -= (size_t) written;
	}
	return WA_OK;
}

static void
delivery_sink_close(WaSink *sink)
{
	(void) sink;				/* wa_delivery_close ends it */
}

static const WaSinkOps delivery_ops = {
	.write = delivery_write,
	.finish = wa_sink_forward_finish,
	.close = delivery_sink_close
};

/* Is the file we hold still the one under the temporary's name? */
static bool
still_named(const WaDelivery *self)
{
	struct stat held;
	struct stat named;

	return fstat(self->fd, &held) == 0 &&
		lstat(self->temporary, &named) == 0 &&
		held.st_dev == named.st_dev && held.st_ino == named.st_ino;
}

/*
 * Whoever asked by hand may have named a directory that others write to: a
 * file that is theirs, or has another name, they could read or change later.
 */
static bool
is_ours_alone(const WaDelivery *self, bool *regular)
{
	struct stat held;
	bool		known = fstat(self->fd, &held) == 0;

	*regular = known && S_ISREG(held.st_mode);
	return *regular && held.st_uid == geteuid() && held.st_nlink <= 1;
}

/* Make the temporary, or take the one that an earlier attempt has left. */
static int
open_temporary(WaDelivery *self, mode_t mode, bool *made)
{
	int			flags = O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW |
		O_NONBLOCK | O_NOCTTY;
	int			fd;

	WA_BEAT(self->beat, fd, open(self->temporary, flags | O_EXCL, mode));
	*made = fd >= 0;
	if (fd < 0 && errno == EEXIST)
		WA_BEAT(self->beat, fd, open(self->temporary, flags & ~O_CREAT));
	return fd;
}

WaCode
wa_delivery_open(const WaDestination *destination, WaBeat *beat,
				 WaDelivery **delivery, WaError *err)
{
	WaDelivery *self = calloc(1, sizeof(*self));
	bool		made;
	bool		regular;

	*delivery = NULL;
	if (self == NULL)
		return wa_fail(err, WA_NO_MEMORY, "out of memory restoring \"%s\"",
					   destination->path);
	self->sink.ops = &delivery_ops;
	self->beat = beat;
	self->fd = -1;
	self->unnamed = destination->unnamed;
	self->still_wanted = destination->still_wanted;
	snprintf(self->destination, sizeof(self->destination), "%s",
			 destination->path);
	if (!wa_delivery_temporary(destination->path, self->temporary))
	{
		wa_fail(err, WA_INVALID, "path \"%.100s...\" is too long",
				destination->path);
		goto fail;
	}

	if (self->unnamed != NULL)
	{
		WA_BEAT(beat, self->fd, openat(self->unnamed->dir_fd, ".",
									   O_TMPFILE | O_RDWR | O_CLOEXEC,
									   destination->mode));
		if (self->fd < 0)
		{
			wa_fail_errno(err, errno, "could not create a file for \"%s\"",
						  destination->path);
			goto fail;
		}
		*delivery = self;
		return WA_OK;
	}
	for (int tries = 0; tries < OPEN_TRIES_MAX; tries++)
	{
		self->fd = open_temporary(self, destination->mode, &made);
		if (self->fd < 0 && errno == ENOENT && tries + 1 < OPEN_TRIES_MAX)
			continue;			/* gone meanwhile, or no such directory */
		if (self->fd < 0)
		{
			wa_fail_errno(err, errno, "could not create \"%s\"",
						  self->temporary);
			goto fail;
		}
		if (flock(self->fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
		{
			wa_fail(err, WA_CHANGED,
					"another restore command is still writing \"%s\"",
					self->temporary);
			close(self->fd);
			self->fd = -1;
			goto fail;
		}
		if (still_named(self))
		{
			if (made || is_ours_alone(self, &regular))
				break;
			/* nobody writes it any longer, and our name is all that goes */
			if (!regular || unlink(self->temporary) != 0)
			{
				wa_fail(err, WA_INVALID, "\"%s\" is not a file of ours alone",
						self->temporary);
				wa_hint(err, "It has the name of the temporary file. Find out "
						"who made it, and remove it.");
				goto fail;
			}
		}
		/* its owner renamed it between our open and our lock, or we removed it */
		close(self->fd);
		self->fd = -1;
	}
	if (self->fd < 0)
	{
		wa_fail(err, WA_CHANGED, "could not take over \"%s\"",
				self->temporary);
		goto fail;
	}
	if (ftruncate(self->fd, 0) != 0)
	{
		wa_fail_errno(err, errno, "could not truncate \"%s\"",
					  self->temporary);
		wa_delivery_close(self);
		return err->code;
	}
	*delivery = self;
	return WA_OK;

fail:
	if (self->fd >= 0)
		close(self->fd);
	free(self);
	return err->code;
}

WaSink *
wa_delivery_sink(WaDelivery *delivery)
{
	return &delivery->sink;
}

WaCode
wa_delivery_commit(WaDelivery *delivery, WaError *err)
{
	int			result;

	if (delivery->unnamed != NULL)
	{
		WA_BEAT(delivery->beat, result, fsync(delivery->fd));
		if (result != 0)
			return wa_fail_errno(err, errno, "could not fsync \"%s\"",
								 delivery->temporary);
		delivery->unnamed->fd = delivery->fd;
		delivery->fd = -1;
		return WA_OK;
	}
	if (!still_named(delivery))
		return wa_fail(err, WA_CHANGED, "\"%s\" was removed meanwhile",
					   delivery->temporary);
	if (delivery->still_wanted != NULL && !delivery->still_wanted())
		return wa_fail(err, WA_CANCELLED,
					   "whoever asked for \"%s\" is gone",
					   delivery->destination);
	WA_BEAT(delivery->beat, result, rename(delivery->temporary,
										   delivery->destination));
	if (result != 0)
		return wa_fail_errno(err, errno, "could not rename \"%s\" to \"%s\"",
							 delivery->temporary, delivery->destination);
	delivery->committed = true;
	return WA_OK;
}

void
wa_delivery_close(WaDelivery *delivery)
{
	if (delivery == NULL)
		return;
	if (!delivery->committed && delivery->unnamed == NULL &&
		still_named(delivery))
		wa_beat_unlink(delivery->beat, AT_FDCWD, delivery->temporary);
	if (delivery->fd >= 0)
		(void) wa_beat_close(delivery->beat, delivery->fd);
	free(delivery);
}
