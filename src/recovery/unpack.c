/*
 * unpack.c
 *	  The files of a base backup, from the archive into directories.
 */
#include "recovery/unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive/basefile.h"
#include "core/sink.h"
#include "recovery/process.h"

#define PIPE_BYTES		(1024 * 1024)
#define READ_BYTES		(256 * 1024)
#define TELL_BYTES		(1024 * 1024)
#define POLL_US			100000

/* ---- a sink into a descriptor ----------------------------------------------- */

typedef struct FdSink
{
	WaSink		sink;
	int			fd;
	const char *what;
	int			progress;		/* told of each megabyte; -1: nobody is */
	uint64_t	untold;
} FdSink;

static WaCode
fd_write(WaSink *sink, const void *data, size_t length, WaError *err)
{
	FdSink	   *self = (FdSink *) sink;
	const char *at = data;

	while (length > 0)
	{
		ssize_t		written = write(self->fd, at, length);

		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			return wa_fail_errno(err, errno, "could not write \"%s\"",
								 self->what);
		at += written;
		length -= (size_t) written;
		self->untold += (uint64_t) written;
	}
	/* when the pipe is full somebody will hear of it later */
	if (self->progress >= 0 && self->untold >= TELL_BYTES &&
		write(self->progress, &self->untold, sizeof(self->untold)) > 0)
		self->untold = 0;
	return WA_OK;
}

static void
fd_close(WaSink *sink)
{
}

static const WaSinkOps fd_ops = {
	.write = fd_write,
	.finish = wa_sink_forward_finish,
	.close = fd_close
};

static WaSink *
fd_sink(FdSink *self, int fd, const char *what, int progress)
{
	*self = (FdSink) {
		.sink = {.ops = &fd_ops},
		.fd = fd,
		.what = what,
		.progress = progress
	};
	return &self->sink;
}

WaCode
wa_unpack_file(WaStore *store, const WaBaseBackup *backup,
			   const WaBaseFile *file, const char *path, WaError *err)
{
	FdSink		to;
	WaCode		code;
	int			fd;

	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
			  0600);
	if (fd < 0)
		return wa_fail_errno(err, errno, "could not create \"%s\"", path);
	code = wa_basefile_read(store, backup, file, fd_sink(&to, fd, path, -1),
							err);
	if (close(fd) != 0 && code == WA_OK)
		code = wa_fail_errno(err, errno, "could not write \"%s\"", path);
	return code;
}

WaCode
wa_unpack_link(const char *data, uint32_t oid, const char *to, WaError *err)
{
	char		path[PATH_MAX];

	snprintf(path, sizeof(path), "%.2000s/pg_tblspc/%" PRIu32, data, oid);
	if (symlink(to, path) != 0)
		return wa_fail_errno(err, errno, "could not create \"%s\"", path);
	return WA_OK;
}

/* ---- one tar archive -------------------------------------------------------- */

static WaCode
refuse(const WaUnpackJob *job, const char *path, const char *why, WaError *err)
{
	wa_fail(err, WA_REFUSED, "\"%s/%s\" holds \"%.300s\", which %s",
			job->backup->id, job->file->name, path, why);
	wa_hint(err, "No backup has that: somebody may have changed the archive. "
			"Use another backup.");
	return err->code;
}

/*
 * Is it the name of something below the directory, and the only one it has?
 * A slash may stand at its end.
 */
static bool
stays_below(const char *path)
{
	if (path[0] == '\0')
		return false;
	while (*path != '\0')
	{
		size_t		length = strcspn(path, "/");

		if (length == 0 || (length == 1 && path[0] == '.') ||
			(length == 2 && strncmp(path, "..", 2) == 0))
			return false;
		path += length;
		if (*path == '/')
			path++;
	}
	return true;
}

/* "./pg_wal/archive_status/" is how PostgreSQL calls that one. */
static const char *
tidy_name(struct archive_entry *entry)
{
	const char *path = archive_entry_pathname(entry);
	char	   *copy;

	if (path == NULL || strncmp(path, "./", 2) != 0)
		return path;
	copy = strdup(path + 2);
	if (copy == NULL)
		return NULL;
	archive_entry_set_pathname(entry, copy);
	free(copy);
	return archive_entry_pathname(entry);
}

/*
 * What is to be made of an entry: *wanted false for the links to tablespaces,
 * which are made elsewhere.
 */
static WaCode
judge(const WaUnpackJob *job, struct archive_entry *entry, bool *wanted,
	  WaError *err)
{
	const char *path = tidy_name(entry);
	bool		main_archive = strcmp(job->file->name, WA_BASE_MAIN) == 0;

	*wanted = true;
	if (path == NULL || !stays_below(path))
		return refuse(job, path != NULL ? path : "", "leads out of the "
					  "directory", err);
	if (archive_entry_hardlink(entry) != NULL)
		return refuse(job, path, "is a hard link", err);
	if (archive_entry_filetype(entry) == AE_IFLNK && main_archive &&
		strncmp(path, "pg_tblspc/", 10) == 0)
		*wanted = false;
	else if (archive_entry_filetype(entry) != AE_IFREG &&
			 archive_entry_filetype(entry) != AE_IFDIR)
		return refuse(job, path, "is neither a file nor a directory", err);
	archive_entry_set_perm(entry, archive_entry_perm(entry) & 0750);
	if (main_archive && strcmp(path, WA_CONTROL_FILE) == 0)
		archive_entry_set_pathname(entry, WA_CONTROL_HELD);
	return WA_OK;
}

static WaCode
fail_write(struct archive *to, const char *path, WaError *err)
{
	int			errno_value = archive_errno(to);

	wa_fail_errno(err, errno_value > 0 ? errno_value : EIO,
				  "could not write \"%.500s\"", path);
	return err->code;
}

static WaCode
fail_read(struct archive *from, const WaUnpackJob *job, WaError *err)
{
	return wa_fail(err, WA_DAMAGED, "\"%s/%s\" is damaged: %s",
				   job->backup->id, job->file->name,
				   archive_error_string(from) != NULL ?
				   archive_error_string(from) : "it cannot be read");
}

static WaCode
write_entry(struct archive *from, struct archive *to,
			struct archive_entry *entry, const WaUnpackJob *job, WaError *err)
{
	const char *path = archive_entry_pathname(entry);
	const void *data;
	size_t		length;
	la_int64_t	offset;
	int			result;

	if (archive_write_header(to, entry) != ARCHIVE_OK)
		return fail_write(to, path, err);
	if (archive_entry_size(entry) > 0)
		while ((result = archive_read_data_block(from, &data, &length,
												 &offset)) != ARCHIVE_EOF)
		{
			if (result != ARCHIVE_OK)
				return fail_read(from, job, err);
			if (archive_write_data_block(to, data, length,
										 offset) != ARCHIVE_OK)
				return fail_write(to, path, err);
		}
	if (archive_write_finish_entry(to) != ARCHIVE_OK)
		return fail_write(to, path, err);
	return WA_OK;
}

static WaCode
write_entries(struct archive *from, struct archive *to,
			  const WaUnpackJob *job, WaError *err)
{
	struct archive_entry *entry;
	int			result;

	while ((result = archive_read_next_header(from, &entry)) == ARCHIVE_OK)
	{
		bool		wanted;

		if (judge(job, entry, &wanted, err) != WA_OK ||
			(wanted && write_entry(from, to, entry, job, err) != WA_OK))
			return err->code;
	}
	return result == ARCHIVE_EOF ? WA_OK : fail_read(from, job, err);
}

/* Unpack what comes through a pipe into the working directory. */
static WaCode
write_files(int fd, const WaUnpackJob *job, WaError *err)
{
	struct archive *from = archive_read_new();
	struct archive *to = archive_write_disk_new();
	char		rest[4096];
	WaCode		code;

	if (from == NULL || to == NULL)
		code = wa_fail(err, WA_NO_MEMORY, "out of memory");
	else if (archive_read_support_format_tar(from) != ARCHIVE_OK ||
			 archive_write_disk_set_options(to, ARCHIVE_EXTRACT_PERM |
											ARCHIVE_EXTRACT_NO_OVERWRITE |
											ARCHIVE_EXTRACT_SECURE_SYMLINKS |
											ARCHIVE_EXTRACT_SECURE_NODOTDOT |
											ARCHIVE_EXTRACT_SECURE_NOABSOLUTEPATHS) != ARCHIVE_OK ||
			 archive_read_open_fd(from, fd, READ_BYTES) != ARCHIVE_OK)
		code = fail_read(from, job, err);
	else
		code = write_entries(from, to, job, err);
	if (code == WA_OK && archive_write_close(to) != ARCHIVE_OK)
		code = fail_write(to, ".", err);
	/* whoever decompresses must come to its end to judge */
	while (code == WA_OK && read(fd, rest, sizeof(rest)) > 0)
		;
	archive_read_free(from);
	archive_write_free(to);
	return code;
}

/* In a process of its own. */
static WaCode
unpack_one(WaStore *store, const WaUnpackJob *job, int progress, WaError *err)
{
	WaProcess	reader;
	int			fds[2];
	WaError		read_err;
	WaCode		code;

	if (chdir(job->directory) != 0)
		return wa_fail_errno(err, errno, "could not change to \"%s\"",
							 job->directory);
	(void) umask(0);			/* the modes are those that were backed up */
	if (pipe2(fds, O_CLOEXEC) != 0)
		return wa_fail_errno(err, errno, "could not make a pipe");
	(void) fcntl(fds[1], F_SETPIPE_SZ, PIPE_BYTES);
	if (wa_process_fork(&reader, err) != WA_OK)
		return err->code;
	if (reader.pid == 0)
	{
		FdSink		to;

		close(fds[0]);
		(void) signal(SIGPIPE, SIG_IGN);
		code = wa_basefile_read(store, job->backup, job->file,
								fd_sink(&to, fds[1], job->file->name,
										progress), err);
		wa_process_end(&reader, code, err);
	}
	close(fds[1]);
	code = write_files(fds[0], job, err);
	close(fds[0]);
	/* damage explains whatever came of it; a broken pipe does not */
	if (wa_process_wait(&reader, &read_err) != WA_OK &&
		(code == WA_OK || read_err.errno_value != EPIPE))
	{
		*err = read_err;
		code = err->code;
	}
	return code;
}

/* ---- all of them ------------------------------------------------------------ */

static WaCode
start(WaStore *store, const WaUnpackJob *job, WaProcess *process, int progress,
	  WaError *err)
{
	if (wa_process_fork(process, err) != WA_OK)
		return err->code;
	if (process->pid == 0)
		wa_process_end(process, unpack_one(store, job, progress, err),
					   err);
	return WA_OK;
}

/* Sum up what has been told. */
static void
read_progress(int fd, uint64_t *done)
{
	uint64_t	some;

	while (read(fd, &some, sizeof(some)) == sizeof(some))
		*done += some;
}

/* The first error ends the others: they are of no use then. */
static void
end_all(WaProcess *processes, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (processes[i].pid > 0)
			kill(processes[i].pid, SIGTERM);
}

WaCode
wa_unpack(WaStore *store, const WaUnpackJob *jobs, size_t count, int most,
		  WaUnpackProgressFn progress, void *arg, WaError *err)
{
	WaProcess  *processes = calloc(count + 1, sizeof(WaProcess));
	size_t		started = 0;
	int			running = 0;
	uint64_t	done = 0;
	int			fds[2];
	WaCode		code = WA_OK;

	if (processes == NULL)
		return wa_fail(err, WA_NO_MEMORY, "out of memory");
	if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) != 0)
	{
		free(processes);
		return wa_fail_errno(err, errno, "could not make a pipe");
	}
	while (running > 0 || (started < count && code == WA_OK))
	{
		int			ended = 0;

		while (started < count && running < most && code == WA_OK)
		{
			code = start(store, &jobs[started], &processes[started], fds[1],
						 err);
			running += code == WA_OK;
			started += code == WA_OK;
		}
		for (size_t i = 0; i < started; i++)
		{
			WaError		its_err;
			WaCode		its_code;

			if (processes[i].pid == 0 ||
				!wa_process_ended(&processes[i], &its_code, &its_err))
				continue;
			ended++;
			if (its_code != WA_OK && code == WA_OK)
			{
				*err = its_err;
				code = its_code;
				end_all(processes, started);
			}
		}
		if (code == WA_OK && (code = wa_process_told(err)) != WA_OK)
			end_all(processes, started);
		running -= ended;
		read_progress(fds[0], &done);
		progress(arg, done);
		if (ended == 0)
			usleep(POLL_US);
	}
	close(fds[0]);
	close(fds[1]);
	free(processes);
	return code;
}
