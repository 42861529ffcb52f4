/*
 * faults.c
 *	  System calls that fail on demand.
 */
#include "faults.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fixture.h"

Fault		fault;

const FaultKind fault_kinds[FAULT_KINDS] = {
	{"EIO", EIO},
	{"ENOSPC", ENOSPC},
	{"EDQUOT", EDQUOT},
	{"EACCES", EACCES},
	{"ESTALE", ESTALE},
	{"EINTR", EINTR},
	{"half a transfer", FAULT_SHORT}
};

void
fault_begin(int n, int fail_with)
{
	fault.trace[0] = '\0';
	fault.failed_call[0] = '\0';
	fault.fired = false;
	fault.cut = false;
	fault.countdown = n;
	fault.fail_with = fail_with;
	fault.active = true;
}

void
fault_end(void)
{
	fault.active = false;
	fault.countdown = 0;
	fault.and_all_later = false;
	fault.cancel_at = NULL;
}

static const char *
path_of(int fd)
{
	static char path[600];
	char		link[64];
	ssize_t		length;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	length = readlink(link, path, sizeof(path) - 1);
	path[length > 0 ? length : 0] = '\0';
	if (strncmp(path, scratch(), strlen(scratch())) == 0)
		return path + strlen(scratch());
	return path;
}

/* Is it one of the words of fault.refuse? */
static bool
refused(const char *call)
{
	size_t		length = strlen(call);

	for (const char *at = fault.refuse; at != NULL;)
	{
		if (strncmp(at, call, length) == 0 &&
			(at[length] == '\0' || at[length] == ' '))
			return true;
		at = strchr(at, ' ');
		at = at != NULL ? at + 1 : NULL;
	}
	return false;
}

/* Count one operation; false when it is to fail, with errno set. */
static bool
step(const char *call, const char *what)
{
	size_t		length = strlen(fault.trace);

	if (!fault.active)
		return true;
	if (fault.slow != NULL && strcmp(call, fault.slow) == 0)
		(void) sleep(1);
	snprintf(fault.trace + length, sizeof(fault.trace) - length, "%s:%s\n",
			 call, what);
	if (refused(call))
	{
		errno = strcmp(call, "linkat") == 0 ? EPERM : EINVAL;
		return false;
	}
	if (fault.countdown == 0)
		return !(fault.fired && fault.and_all_later) ||
			(errno = fault.fail_with, false);
	if (--fault.countdown > 0)
		return true;
	fault.fired = true;
	snprintf(fault.failed_call, sizeof(fault.failed_call), "%s", call);
	if (fault.cancel_at != NULL)
	{
		atomic_store(&fault.cancel_at->cancelled, true);
		return true;
	}
	if (fault.fail_with == FAULT_SHORT || fault.fail_with == FAULT_END)
		return true;
	errno = fault.fail_with;
	return false;
}

/* How much of a transfer is done: half, or nothing, when that is the fault. */
static size_t
transfer(size_t length, bool reading)
{
	bool		ends = fault.fail_with == FAULT_END && reading;
	bool		cut = fault.active && fault.fired && !fault.cut &&
		(ends || (fault.fail_with == FAULT_SHORT && length > 1));

	if (!cut)
		return length;
	fault.cut = true;
	return ends ? 0 : length / 2;
}

#define REAL(type, name, ...) \
	static type (*real_##name) (__VA_ARGS__); \
	if (real_##name == NULL) \
		real_##name = (type (*) (__VA_ARGS__)) dlsym(RTLD_NEXT, #name)

static mode_t
mode_arg(int flags, va_list args)
{
	return (flags & O_CREAT) != 0 ? (mode_t) va_arg(args, int) : 0;
}

int
open(const char *path, int flags,...)
{
	va_list		args;
	mode_t		mode;

	REAL(int, open, const char *, int, ...);
	va_start(args, flags);
	mode = mode_arg(flags, args);
	va_end(args);
	return step("open", path) ? real_open(path, flags, mode) : -1;
}

int
openat(int dir, const char *path, int flags,...)
{
	va_list		args;
	mode_t		mode;

	REAL(int, openat, int, const char *, int, ...);
	va_start(args, flags);
	mode = mode_arg(flags, args);
	va_end(args);
	return step("openat", path) ? real_openat(dir, path, flags, mode) : -1;
}

ssize_t
read(int fd, void *data, size_t length)
{
	REAL(ssize_t, read, int, void *, size_t);
	return step("read", "") ? real_read(fd, data, transfer(length, true)) : -1;
}

ssize_t
pread(int fd, void *data, size_t length, off_t offset)
{
	REAL(ssize_t, pread, int, void *, size_t, off_t);
	return step("pread", "") ?
		real_pread(fd, data, transfer(length, true), offset) : -1;
}

/* A failing write has written something, an interrupted one has not. */
ssize_t
write(int fd, const void *data, size_t length)
{
	REAL(ssize_t, write, int, const void *, size_t);
	if (!fault.active)
		return real_write(fd, data, length);
	if (step("write", path_of(fd)))
		return real_write(fd, data, transfer(length, false));
	{
		int			errno_value = errno;
		ssize_t		ignored = errno == EINTR ? 0 :
			real_write(fd, data, length / 2);

		(void) ignored;
		errno = errno_value;
		return -1;
	}
}

int
fsync(int fd)
{
	REAL(int, fsync, int);
	if (!step("fsync", fault.active ? path_of(fd) : ""))
		return -1;
	return fault.no_sync ? 0 : real_fsync(fd);
}

int
renameat2(int from_dir, const char *from, int to_dir, const char *to,
		  unsigned flags)
{
	REAL(int, renameat2, int, const char *, int, const char *, unsigned);
	return step("renameat2", to)
		? real_renameat2(from_dir, from, to_dir, to, flags) : -1;
}

int
renameat(int from_dir, const char *from, int to_dir, const char *to)
{
	REAL(int, renameat, int, const char *, int, const char *);
	/* its only way back from a failure is not failed as well */
	if (strncmp(to, "tmp/", 4) == 0)
		return real_renameat(from_dir, from, to_dir, to);
	return step("renameat", to) ? real_renameat(from_dir, from, to_dir, to)
		: -1;
}

int
rename(const char *from, const char *to)
{
	REAL(int, rename, const char *, const char *);
	return step("rename", to) ? real_rename(from, to) : -1;
}

int
linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
	REAL(int, linkat, int, const char *, int, const char *, int);
	return step("linkat", to) ? real_linkat(from_dir, from, to_dir, to, flags)
		: -1;
}

int
mkdirat(int dir, const char *path, mode_t mode)
{
	REAL(int, mkdirat, int, const char *, mode_t);
	return step("mkdirat", path) ? real_mkdirat(dir, path, mode) : -1;
}

int
fstat(int fd, struct stat *st)
{
	REAL(int, fstat, int, struct stat *);
	return step("fstat", "") ? real_fstat(fd, st) : -1;
}

int
fstatat(int dir, const char *path, struct stat *st, int flags)
{
	REAL(int, fstatat, int, const char *, struct stat *, int);
	return step("fstatat", path) ? real_fstatat(dir, path, st, flags) : -1;
}

int
unlinkat(int dir, const char *path, int flags)
{
	REAL(int, unlinkat, int, const char *, int);
	return step("unlinkat", path) ? real_unlinkat(dir, path, flags) : -1;
}

int
ftruncate(int fd, off_t length)
{
	REAL(int, ftruncate, int, off_t);
	return step("ftruncate", "") ? real_ftruncate(fd, length) : -1;
}

int
flock(int fd, int operation)
{
	REAL(int, flock, int, int);
	return step("flock", "") ? real_flock(fd, operation) : -1;
}

DIR *
fdopendir(int fd)
{
	REAL(DIR *, fdopendir, int);
	return step("fdopendir", "") ? real_fdopendir(fd) : NULL;
}

struct dirent *
readdir(DIR *dir)
{
	struct dirent *entry;

	REAL(struct dirent *, readdir, DIR *);
	if (!step("readdir", ""))
		return NULL;
	entry = real_readdir(dir);
	if (entry != NULL && fault.no_types)
		entry->d_type = DT_UNKNOWN;
	return entry;
}

/* A close that fails has closed all the same. */
int
close(int fd)
{
	REAL(int, close, int);
	if (step("close", ""))
		return real_close(fd);
	{
		int			errno_value = errno;

		(void) real_close(fd);
		errno = errno_value;
		return -1;
	}
}
