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
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive/basefile.h"
#include "archive/pool.h"
#include "core/sink.h"
#include "recovery/process.h"

#define RING_PIECES		8
#define PIECE_BYTES		(256 * 1024)
#define TELL_BYTES		(1024 * 1024)
#define POLL_US			100000

/* ---- a sink into a descriptor ----------------------------------------------- */

typedef struct FdSink
{
	WaSink		sink;
	int			fd;
	const char *what;
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
	}
	return WA_OK;
}

static void
no_close(WaSink *sink)
{
}

static const WaSinkOps fd_ops = {
	.write = fd_write,
	.finish = wa_sink_forward_finish,
	.close = no_close
};

WaCode
wa_unpack_file(WaStore *store, const WaBaseBackup *backup,
			   const WaBaseFile *file, const char *path, WaError *err)
{
	FdSink		to = {.sink = {.ops = &fd_ops}, .what = path};
	WaCode		code;

	to.fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
				 0600);
	if (to.fd < 0)
		return wa_fail_errno(err, errno, "could not create \"%s\"", path);
	code = wa_basefile_read(store, backup, file, &to.sink, err);
	if (close(to.fd) != 0 && code == WA_OK)
		code = wa_fail_errno(err, errno, "could not write \"%s\"", path);
	return code;
}

WaCode
wa_unpack_name_control(const char *directory, bool held, WaError *err)
{
	char		own[PATH_MAX];
	char		other[PATH_MAX];

	snprintf(own, sizeof(own), "%.2000s/" WA_CONTROL_FILE, directory);
	snprintf(other, sizeof(other), "%.2000s/" WA_CONTROL_HELD, directory);
	if (rename(held ? own : other, held ? other : own) != 0)
		return wa_fail_errno(err, errno, "could not rename \"%s\"",
							 held ? own : other);
	return WA_OK;
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

/* ---- from the thread that reads to the one that writes ----------------------- */

/* Pieces of what was decompressed, in a circle. */
typedef struct Ring
{
	WaTask		task;			/* that of the thread that reads */
	WaSink		sink;			/* the end that is filled */
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	char	   *pieces[RING_PIECES];
	size_t		lengths[RING_PIECES];
	unsigned	filled;			/* so many were, and were taken, so far; */
	unsigned	taken;			/* the one that is being read counts as not taken */
	bool		reading;
	bool		ended;			/* nothing more will come */
	bool		abandoned;		/* nothing more is wanted */

	const WaUnpackJob *job;
	WaStore    *store;
	int			progress;		/* told of each megabyte */
	uint64_t	untold;
	WaCode		code;			/* how reading ended */
	WaError		err;
} Ring;

/* Make the piece that is being filled one to be taken, and wait for room. */
static WaCode
hand_over(Ring *ring, bool ended, WaError *err)
{
	bool		abandoned;

	pthread_mutex_lock(&ring->mutex);
	if (ring->lengths[ring->filled % RING_PIECES] > 0)
		ring->filled++;
	ring->ended = ended;
	pthread_cond_broadcast(&ring->changed);
	while (!ended && !ring->abandoned &&
		   ring->filled - ring->taken >= RING_PIECES)
		pthread_cond_wait(&ring->changed, &ring->mutex);
	abandoned = ring->abandoned;
	if (!ended)
		ring->lengths[ring->filled % RING_PIECES] = 0;
	pthread_mutex_unlock(&ring->mutex);
	return abandoned && !ended ?
		wa_fail(err, WA_CANCELLED, "given up") : WA_OK;
}

static WaCode
ring_write(WaSink *sink, const void *data, size_t length, WaError *err)
{
	Ring	   *ring = (Ring *) ((char *) sink - offsetof(Ring, sink));
	const char *at = data;

	ring->untold += length;
	while (length > 0)
	{
		unsigned	piece = ring->filled % RING_PIECES;
		size_t		room = PIECE_BYTES - ring->lengths[piece];
		size_t		some = length < room ? length : room;

		memcpy(ring->pieces[piece] + ring->lengths[piece], at, some);
		ring->lengths[piece] += some;
		at += some;
		length -= some;
		if (some == room && hand_over(ring, false, err) != WA_OK)
			return err->code;
	}
	/* when the pipe is full somebody will hear of it later */
	if (ring->untold >= TELL_BYTES &&
		write(ring->progress, &ring->untold, sizeof(ring->untold)) > 0)
		ring->untold = 0;
	return WA_OK;
}

static const WaSinkOps ring_ops = {
	.write = ring_write,
	.finish = wa_sink_forward_finish,
	.close = no_close
};

/* The thread that reads. */
static void
fill_ring(WaTask *task, WaWorker *worker)
{
	Ring	   *ring = (Ring *) task;
	WaError		ignored;

	ring->code = wa_basefile_read(ring->store, ring->job->backup,
								  ring->job->file, &ring->sink, &ring->err);
	(void) hand_over(ring, true, &ignored);
}

static void
leave_ring(WaTask *task)
{
}

/* libarchive asks for more; what it got before it has read. */
static la_ssize_t
take_piece(struct archive *from, void *arg, const void **piece)
{
	Ring	   *ring = arg;
	size_t		length = 0;

	pthread_mutex_lock(&ring->mutex);
	if (ring->reading)
	{
		ring->taken++;
		ring->reading = false;
		pthread_cond_broadcast(&ring->changed);
	}
	while (ring->filled == ring->taken && !ring->ended)
		pthread_cond_wait(&ring->changed, &ring->mutex);
	if (ring->filled != ring->taken)
	{
		*piece = ring->pieces[ring->taken % RING_PIECES];
		length = ring->lengths[ring->taken % RING_PIECES];
		ring->reading = true;
	}
	pthread_mutex_unlock(&ring->mutex);
	return (la_ssize_t) length;
}

static void
abandon(Ring *ring)
{
	pthread_mutex_lock(&ring->mutex);
	ring->abandoned = true;
	pthread_cond_broadcast(&ring->changed);
	pthread_mutex_unlock(&ring->mutex);
}

static void
ring_free(Ring *ring)
{
	for (int i = 0; i < RING_PIECES; i++)
		free(ring->pieces[i]);
	pthread_cond_destroy(&ring->changed);
	pthread_mutex_destroy(&ring->mutex);
}

static WaCode
ring_make(Ring *ring, WaStore *store, const WaUnpackJob *job, int progress,
		  WaError *err)
{
	memset(ring, 0, sizeof(*ring));
	ring->task.run = fill_ring;
	ring->task.release = leave_ring;
	ring->sink.ops = &ring_ops;
	ring->code = WA_CANCELLED;	/* until it has begun */
	ring->store = store;
	ring->job = job;
	ring->progress = progress;
	pthread_mutex_init(&ring->mutex, NULL);
	pthread_cond_init(&ring->changed, NULL);
	for (int i = 0; i < RING_PIECES; i++)
		if ((ring->pieces[i] = malloc(PIECE_BYTES)) == NULL)
		{
			ring_free(ring);
			return wa_fail(err, WA_NO_MEMORY, "out of memory");
		}
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

/* Is it the name of something below the directory, and the only one it has? */
static bool
stays_below(const char *path)
{
	for (;;)
	{
		size_t		length = strcspn(path, "/");

		if (length == 0 || (length == 1 && path[0] == '.') ||
			(length == 2 && strncmp(path, "..", 2) == 0))
			return false;
		if (path[length] == '\0')
			return true;
		path += length + 1;
	}
}

/*
 * "./pg_wal/archive_status/" is how PostgreSQL calls that one. Without these
 * ends a file has one name only, which can be compared.
 */
static const char *
tidy_name(struct archive_entry *entry)
{
	const char *path = archive_entry_pathname(entry);
	const char *name;
	size_t		length;
	char	   *copy;

	if (path == NULL)
		return NULL;
	name = strncmp(path, "./", 2) == 0 ? path + 2 : path;
	length = strlen(name);
	if (length > 1 && name[length - 1] == '/')
		length--;
	copy = strndup(name, length);
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

/* Unpack what comes through a ring into the working directory. */
static WaCode
write_files(Ring *ring, WaError *err)
{
	const WaUnpackJob *job = ring->job;
	struct archive *from = archive_read_new();
	struct archive *to = archive_write_disk_new();
	const void *rest;
	WaCode		code;

	if (from == NULL || to == NULL)
		code = wa_fail(err, WA_NO_MEMORY, "out of memory");
	else if (archive_read_support_format_tar(from) != ARCHIVE_OK ||
			 archive_write_disk_set_options(to, ARCHIVE_EXTRACT_PERM |
											ARCHIVE_EXTRACT_NO_OVERWRITE |
											ARCHIVE_EXTRACT_SECURE_SYMLINKS |
											ARCHIVE_EXTRACT_SECURE_NODOTDOT |
											ARCHIVE_EXTRACT_SECURE_NOABSOLUTEPATHS) != ARCHIVE_OK ||
			 archive_read_open(from, ring, NULL, take_piece,
							   NULL) != ARCHIVE_OK)
		code = fail_read(from, job, err);
	else
		code = write_entries(from, to, job, err);
	if (code == WA_OK && archive_write_close(to) != ARCHIVE_OK)
		code = fail_write(to, ".", err);
	/* whoever decompresses must come to its end to judge */
	while (code == WA_OK && take_piece(from, ring, &rest) > 0)
		;
	archive_read_free(from);
	archive_write_free(to);
	return code;
}

/* In a process of its own. */
static WaCode
unpack_one(WaStore *store, const WaUnpackJob *job, int progress, WaError *err)
{
	Ring		ring;
	WaPool	   *pool;
	WaCode		code;

	if (chdir(job->directory) != 0)
		return wa_fail_errno(err, errno, "could not change to \"%s\"",
							 job->directory);
	(void) umask(0);			/* the modes are those that were backed up */
	if (ring_make(&ring, store, job, progress, err) != WA_OK)
		return err->code;
	pool = wa_pool_open(1);
	code = pool != NULL ? wa_pool_submit(pool, &ring.task, err) :
		wa_fail(err, WA_NO_MEMORY, "out of memory");
	if (code == WA_OK)
		code = write_files(&ring, err);
	abandon(&ring);
	wa_pool_close(pool, 0);
	/* damage explains whatever came of it; that we gave up does not */
	if (ring.code != WA_OK && (code == WA_OK || ring.code != WA_CANCELLED))
	{
		*err = ring.err;
		code = err->code;
	}
	ring_free(&ring);
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
