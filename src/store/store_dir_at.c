/*
 * store_dir_at.c
 *	  A directory as a store: the one door to what lies below it.
 *
 * Whoever may write somewhere in a shared archive may put a symbolic link
 * there.  So each key is walked part by part from the open directory, each
 * step says that it follows no link, and the call itself takes a bare name in
 * the directory that was reached.  Nothing is remembered between calls: what
 * is found absent is absent now.
 */
#include "store/store_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The directory of a key, and the name there. */
typedef struct Place
{
	DirStore   *self;
	bool		always;			/* also when given up: it cleans up */
	int			fd;				/* -1: not reached, see errno */
	const char *name;
} Place;

#define PLACE_IO(place, result, call) \
	do { \
		if ((place)->always) \
			WA_BEAT_ALWAYS((place)->self->options.beat, result, call); \
		else \
			WA_DIR_IO((place)->self, result, call); \
	} while (0)

/* Keeps errno. */
static void
leave(Place *place)
{
	int			save_errno = errno;

	if (place->fd >= 0 && place->fd != place->self->fd)
		(void) wa_beat_close(place->self->options.beat, place->fd);
	place->fd = -1;
	errno = save_errno;
}

/* False, with errno, when there is no way to it that is all directories. */
static bool
enter(DirStore *self, const char *key, bool always, Place *place)
{
	const char *slash;

	*place = (Place) {.self = self, .always = always, .fd = self->fd};
	while ((slash = strchr(key, '/')) != NULL)
	{
		char		part[WA_KEY_BYTES];
		int			fd;

		memcpy(part, key, (size_t) (slash - key));
		part[slash - key] = '\0';
		PLACE_IO(place, fd, openat(place->fd, part, O_PATH | O_DIRECTORY |
								   O_NOFOLLOW | O_CLOEXEC));
		leave(place);
		place->fd = fd;
		if (fd < 0)
			return false;
		key = slash + 1;
	}
	place->name = *key != '\0' ? key : ".";
	return true;
}

int
wa_dir_open(DirStore *self, const char *key, int flags)
{
	Place		place;
	int			fd = -1;

	/* nor does a terminal become ours */
	if (enter(self, key, false, &place))
		WA_DIR_IO(self, fd, openat(place.fd, place.name, flags | O_NOFOLLOW |
								   O_NOCTTY | O_CLOEXEC,
								   self->options.file_mode));
	leave(&place);
	return fd;
}

int
wa_dir_open_prefix(DirStore *self, const char *prefix)
{
	return wa_dir_open(self, prefix, O_RDONLY | O_DIRECTORY);
}

int
wa_dir_stat(DirStore *self, const char *key, struct stat *st)
{
	Place		place;
	int			result = -1;

	if (enter(self, key, false, &place))
		WA_DIR_IO(self, result, fstatat(place.fd, place.name, st,
										AT_SYMLINK_NOFOLLOW));
	leave(&place);
	return result;
}

int
wa_dir_mkdir(DirStore *self, const char *key)
{
	Place		place;
	int			result = -1;

	if (enter(self, key, false, &place))
		WA_DIR_IO(self, result, mkdirat(place.fd, place.name,
										self->options.dir_mode));
	leave(&place);
	return result;
}

int
wa_dir_unlink(DirStore *self, const char *key, int flags)
{
	Place		place;
	int			result = -1;

	if (enter(self, key, false, &place))
		WA_DIR_IO(self, result, unlinkat(place.fd, place.name, flags));
	leave(&place);
	return result;
}

void
wa_dir_discard(DirStore *self, const char *key)
{
	Place		place;

	/* what is not removed now stays until a sweep: that is worth a second try */
	if (enter(self, key, true, &place) || enter(self, key, true, &place))
		wa_beat_unlink(self->options.beat, place.fd, place.name);
	leave(&place);
}

static int
move(DirStore *self, const char *from, const char *to, unsigned flags,
	 bool always)
{
	Place		old;
	Place		new = {.self = self, .fd = -1};
	int			result = -1;

	if (enter(self, from, always, &old) && enter(self, to, always, &new))
		PLACE_IO(&old, result, flags != 0 ?
				 renameat2(old.fd, old.name, new.fd, new.name, flags) :
				 renameat(old.fd, old.name, new.fd, new.name));
	leave(&new);
	leave(&old);
	return result;
}

int
wa_dir_rename(DirStore *self, const char *from, const char *to,
			  unsigned flags)
{
	return move(self, from, to, flags, false);
}

int
wa_dir_move_back(DirStore *self, const char *from, const char *to)
{
	return move(self, from, to, 0, true);
}

/* A link that is the object itself is given a second name, not followed. */
int
wa_dir_link(DirStore *self, const char *from, const char *to)
{
	Place		old;
	Place		new = {.self = self, .fd = -1};
	int			result = -1;

	if (enter(self, from, false, &old) && enter(self, to, false, &new))
		WA_DIR_IO(self, result, linkat(old.fd, old.name, new.fd, new.name, 0));
	leave(&new);
	leave(&old);
	return result;
}

/* ---- whose fault it was ----------------------------------------------------- */

WaCode
wa_dir_fail_link(WaError *err, DirStore *self, const char *part)
{
	wa_fail(err, WA_INVALID, "\"%s/%s\" is a symbolic link, and none is "
			"followed in an archive", self->path, part);
	wa_hint(err, "Find out who made it, and remove it. An archive is one file "
			"system; the archive directory itself may be a link, or be "
			"mounted.");
	return err->code;
}

bool
wa_dir_blame_link(WaError *err, DirStore *self, const char *key)
{
	const char *slash = key - 1;

	do
	{
		char		part[WA_KEY_BYTES];
		size_t		length;
		struct stat st;

		slash = strchr(slash + 1, '/');
		length = slash != NULL ? (size_t) (slash - key) : strlen(key);
		memcpy(part, key, length);
		part[length] = '\0';
		if (length == 0 || wa_dir_stat(self, part, &st) != 0)
			return false;
		if (S_ISLNK(st.st_mode))
		{
			wa_dir_fail_link(err, self, part);
			return true;
		}
	}
	while (slash != NULL);
	return false;
}
