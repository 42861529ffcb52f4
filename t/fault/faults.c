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
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fixture.h"

/* until there is shared memory, which is before main() */
static Fault at_first;
Fault	   *fault_shared = &at_first;

static void __attribute__((constructor))
share(void)
{
	void	   *memory = mmap(NULL, sizeof(Fault), PROT_READ | PROT_WRITE,
							  MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (memory != MAP_FAILED)
		fault_shared = memory;
}

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
	memset(fault.trace, 0, fault.trace_bytes < sizeof(fault.trace) ?
		   fault.trace_bytes : sizeof(fault.trace));
	fault.trace_bytes = 0;
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
	static __thread char path[600];
	char		link[64];
	ssize_t		length;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	length = readlink(link, path, sizeof(path) - 1);
	path[length > 0 ? length : 0] = '\0';
	if (strncmp(path, scratch(), strlen(scratch())) == 0)
		return path + strlen(scratch());
	return path;
}

static void
note(const char *call, const char *what)
{
	char		line[700];
	size_t		length = (size_t) snprintf(line, sizeof(line), "%.30s:%.600s\n",
										   call, what);
	size_t		at = atomic_fetch_add(&fault.trace_bytes, length);

	if (at + length < sizeof(fault.trace))
		memcpy(fault.trace + at, line, length);
}

/* Is it this one's turn?  Threads and processes count together. */
static bool
counts_down(void)
{
	int			left = atomic_load(&fault.countdown);

	while (left > 0)
		if (atomic_compare_exchange_weak(&fault.countdown, &left, left - 1))
			return left == 1;
	return false;
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
	if (!fault.active)
		return true;
	if (fault.slow != NULL && strcmp(call, fault.slow) == 0)
		(void) sleep(1);
	note(call, what);
	if (refused(call))
	{
		errno = strcmp(call, "linkat") == 0 ? EPERM : EINVAL;
		return false;
	}
	if (!counts_down())
		return !(fault.fired && fault.and_all_later) ||
			(errno = fault.fail_with, false);
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
	bool		cut = fault.active && fault.fired &&
		(ends || (fault.fail_with == FAULT_SHORT && length > 1));

	if (!cut || atomic_exchange(&fault.cut, true))
		return length;
	return ends ? 0 : length / 2;
}

/* A name in a directory that was opened, for the trace. */
static const char *
path_at(int dir, const char *name)
{
	static __thread char path[1300];

	if (!fault.active || dir == AT_FDCWD || name[0] == '/')
		return name;
	snprintf(path, sizeof(path), "%s/%s", path_of(dir), name);
	return path;
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
	return step("openat", path_at(dir, path)) ? real_openat(dir, path, flags, mode) : -1;
}

/* Under these names libraries know them. */
int
open64(const char *path, int flags,...)
{
	va_list		args;
	mode_t		mode;

	REAL(int, open64, const char *, int, ...);
	va_start(args, flags);
	mode = mode_arg(flags, args);
	va_end(args);
	return step("open", path) ? real_open64(path, flags, mode) : -1;
}

int
openat64(int dir, const char *path, int flags,...)
{
	va_list		args;
	mode_t		mode;

	REAL(int, openat64, int, const char *, int, ...);
	va_start(args, flags);
	mode = mode_arg(flags, args);
	va_end(args);
	return step("openat", path) ? real_openat64(dir, path, flags, mode) : -1;
}

/* Whatever it says, the descriptor is gone. */
int
close(int fd)
{
	int			errno_value;
	int			result;

	REAL(int, close, int);
	if (!fault.closes || step("close", ""))
		return real_close(fd);
	errno_value = errno;
	result = real_close(fd);
	if (result == 0)
		errno = errno_value;
	return -1;
}

/* Stands for the writes of a stream, which nothing can stand in front of. */
int
fclose(FILE *stream)
{
	int			errno_value;

	REAL(int, fclose, FILE *);
	if (!fault.closes || step("fclose", ""))
		return real_fclose(stream);
	errno_value = errno;
	(void) real_fclose(stream);
	errno = errno_value;
	return EOF;
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

/* The disk is not asked: it has others to serve, and nobody cuts its power. */
int
fsync(int fd)
{
	return step("fsync", fault.active ? path_of(fd) : "") ? 0 : -1;
}

int
syncfs(int fd)
{
	return step("syncfs", "") ? 0 : -1;
}

int
renameat2(int from_dir, const char *from, int to_dir, const char *to,
		  unsigned flags)
{
	REAL(int, renameat2, int, const char *, int, const char *, unsigned);
	return step("renameat2", path_at(to_dir, to))
		? real_renameat2(from_dir, from, to_dir, to, flags) : -1;
}

int
renameat(int from_dir, const char *from, int to_dir, const char *to)
{
	REAL(int, renameat, int, const char *, int, const char *);
	/* its only way back from a failure is not failed as well */
	if (strstr(path_at(to_dir, to), "/tmp/") != NULL)
		return real_renameat(from_dir, from, to_dir, to);
	return step("renameat", path_at(to_dir, to)) ? real_renameat(from_dir, from, to_dir, to)
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
	return step("linkat", path_at(to_dir, to)) ? real_linkat(from_dir, from, to_dir, to, flags)
		: -1;
}

int
mkdirat(int dir, const char *path, mode_t mode)
{
	REAL(int, mkdirat, int, const char *, mode_t);
	return step("mkdirat", path_at(dir, path)) ? real_mkdirat(dir, path, mode) : -1;
}

int
mkdir(const char *path, mode_t mode)
{
	REAL(int, mkdir, const char *, mode_t);
	return step("mkdir", path) ? real_mkdir(path, mode) : -1;
}

int
symlink(const char *to, const char *path)
{
	REAL(int, symlink, const char *, const char *);
	return step("symlink", path) ? real_symlink(to, path) : -1;
}

int
unlink(const char *path)
{
	REAL(int, unlink, const char *);
	return step("unlink", path) ? real_unlink(path) : -1;
}

int
chmod(const char *path, mode_t mode)
{
	REAL(int, chmod, const char *, mode_t);
	return step("chmod", path) ? real_chmod(path, mode) : -1;
}

int
fchmod(int fd, mode_t mode)
{
	REAL(int, fchmod, int, mode_t);
	return step("fchmod", "") ? real_fchmod(fd, mode) : -1;
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
	return step("fstatat", path_at(dir, path)) ? real_fstatat(dir, path, st, flags) : -1;
}

int
unlinkat(int dir, const char *path, int flags)
{
	REAL(int, unlinkat, int, const char *, int);
	return step("unlinkat", path_at(dir, path)) ? real_unlinkat(dir, path, flags) : -1;
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
