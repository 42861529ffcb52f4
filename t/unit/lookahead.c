/*
 * lookahead.c
 *	  Whatever is staged ahead, the archive shows what PostgreSQL asked for,
 *	  in its order, and nothing that comes after a file that failed; what was
 *	  guessed wrong costs work only; and nothing that hangs holds up the
 *	  asking thread for longer than one time-out.
 *
 * Calls of the workers are defined here, in front of those of the C library:
 * they can be counted, made to fail and made to hang.  Nothing is really
 * synced.  Time is the test's own.
 */
#include "archive/lookahead.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "core/bytes.h"
#include "core/walheader.h"
#include "fixture.h"
#include "tap.h"

#define BOUND		20000		/* polls of 1 ms at most */

/* ---- calls that are counted, fail or hang ---- */

typedef struct Rule
{
	const char *call;			/* "" is any; NULL: no rule */
	char		what[64];		/* part of the path */
	int			errno_value;	/* 0: hang until released */
	int			times;			/* how often; < 0: always */
} Rule;

static pthread_mutex_t hook_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t hook_cond = PTHREAD_COND_INITIALIZER;
static Rule rule;
static int	generation;			/* of the rule */
static int	hanging;			/* threads inside a rule that hangs */
static int	hung;				/* how many ever were */
static int	failed;				/* calls failed by the rule */
static int	temporaries;		/* objects written, that is, compressed */
static int	dir_syncs;			/* of a directory of segments */
static char order[4000];		/* the last digits of what became visible */
static int	opened[256];		/* sources, by their number */

static int
number_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash != NULL ? slash + 1 : path;

	if (strlen(name) < 24)
		return -1;
	return (int) (strtoul(name + 16, NULL, 16) & 0xff);
}

/* False when the call is to fail, with errno set. */
static bool
hook(const char *call, const char *path)
{
	bool		good = true;
	int			errno_value = 0;

	pthread_mutex_lock(&hook_mutex);
	if (rule.call != NULL && rule.times != 0 &&
		(*rule.call == '\0' || strcmp(rule.call, call) == 0) &&
		strstr(path, rule.what) != NULL)
	{
		if (rule.times > 0)
			rule.times--;
		errno_value = rule.errno_value;
		good = errno_value == 0;
		if (!good)
			failed++;
		else
		{
			int			mine = generation;

			hanging++;
			hung++;
			while (generation == mine)
				pthread_cond_wait(&hook_cond, &hook_mutex);
			hanging--;
		}
	}
	pthread_mutex_unlock(&hook_mutex);
	errno = errno_value;
	return good;
}

static void
set_rule(const char *call, const char *what, int errno_value, int times)
{
	pthread_mutex_lock(&hook_mutex);
	rule.call = call;
	snprintf(rule.what, sizeof(rule.what), "%s", what);
	rule.errno_value = errno_value;
	rule.times = times;
	generation++;
	pthread_cond_broadcast(&hook_cond);
	pthread_mutex_unlock(&hook_mutex);
}

static void
no_rule(void)
{
	set_rule(NULL, "", 0, 0);
}

static int
counted(const int *counter)
{
	int			result;

	pthread_mutex_lock(&hook_mutex);
	result = *counter;
	pthread_mutex_unlock(&hook_mutex);
	return result;
}

#define REAL(type, name, ...) \
	type		(*real_##name) (__VA_ARGS__) = \
		(type (*) (__VA_ARGS__)) dlsym(RTLD_NEXT, #name)

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
	if (strncmp(path, "pg_wal/0", 8) == 0 && (flags & O_ACCMODE) == O_RDONLY)
	{
		pthread_mutex_lock(&hook_mutex);
		if (number_of(path) >= 0)
			opened[number_of(path)]++;
		pthread_mutex_unlock(&hook_mutex);
		if (!hook("open", path))
			return -1;
	}
	return real_open(path, flags, mode);
}

/* The path of a descriptor. */
static void
path_of(int fd, char *path, size_t bytes)
{
	char		link[64];
	ssize_t		length;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	length = readlink(link, path, bytes - 1);
	path[length > 0 ? length : 0] = '\0';
}

#define AT_BYTES	900

/* A name in a directory that was opened. */
static const char *
path_at(int dir, const char *name, char *path)
{
	char		directory[600];

	if (dir == AT_FDCWD || name[0] == '/')
		return name;
	path_of(dir, directory, sizeof(directory));
	snprintf(path, AT_BYTES, "%s/%s", directory, name);
	return path;
}

int
openat(int dir, const char *name, int flags,...)
{
	va_list		args;
	mode_t		mode;
	int			fd;
	char		buffer[AT_BYTES];
	const char *path = path_at(dir, name, buffer);

	REAL(int, openat, int, const char *, int, ...);
	va_start(args, flags);
	mode = mode_arg(flags, args);
	va_end(args);
	if (!hook("openat", path))
		return -1;
	fd = real_openat(dir, name, flags, mode);
	if (fd >= 0 && (flags & O_CREAT) != 0 && strstr(path, "/tmp/") != NULL)
	{
		pthread_mutex_lock(&hook_mutex);
		temporaries++;
		pthread_mutex_unlock(&hook_mutex);
	}
	return fd;
}

/* Syncs nothing. */
int
fsync(int fd)
{
	char		path[600];

	path_of(fd, path, sizeof(path));
	if (!hook("fsync", path))
		return -1;
	if (strstr(path, "/wal/0") != NULL && strstr(path, ".zst") == NULL)
	{
		pthread_mutex_lock(&hook_mutex);
		dir_syncs++;
		pthread_mutex_unlock(&hook_mutex);
	}
	return 0;
}

int
renameat2(int from_dir, const char *from, int to_dir, const char *to,
		  unsigned flags)
{
	int			result;
	char		buffer[AT_BYTES];
	const char *path = path_at(to_dir, to, buffer);

	REAL(int, renameat2, int, const char *, int, const char *, unsigned);
	if (!hook("renameat2", path))
		return -1;
	result = real_renameat2(from_dir, from, to_dir, to, flags);
	if (result == 0 && strstr(path, "/wal/0") != NULL && number_of(to) >= 0)
	{
		pthread_mutex_lock(&hook_mutex);
		if (strlen(order) + 8 > sizeof(order))
			order[0] = '\0';
		sprintf(order + strlen(order), " %d", number_of(to));
		pthread_mutex_unlock(&hook_mutex);
	}
	return result;
}

int
unlinkat(int dir, const char *name, int flags)
{
	char		buffer[AT_BYTES];

	REAL(int, unlinkat, int, const char *, int);
	return hook("unlinkat", path_at(dir, name, buffer)) ?
		real_unlinkat(dir, name, flags) : -1;
}

/* ---- a data directory and what asks for it ---- */

static WaArchive *archive;
static WaLookahead *ahead;
static WaPushResult result;
static WaError err;
static uint64_t clock_ms = 1000;
static int	tasks;				/* that are done */
static int	lives = 1;			/* of archivers, for their tokens */
static bool swept;				/* by this one */
static int	threads_before;
static int	level = 3;
static int	catchup_level = 1;

#define TIMEOUT_MS	1000

static const char *
in(const char *key)
{
	return path_in_scratch("%s", key);
}

static const char *
wal(int tli, int number)
{
	static char names[8][WA_WALNAME_BYTES];
	static int	next;
	char	   *name = names[next++ % 8];

	wa_segment_name(name, (uint32_t) tli, (uint64_t) number, SEG_1MB);
	return name;
}

static const char *
source_of(const char *name)
{
	static char path[100];

	snprintf(path, sizeof(path), "pg_wal/%s", name);
	return path;
}

static const char *place = "archive";

static const char *
object_of(const char *name)
{
	if (strlen(name) < 24)
		return path_in_scratch("%s/wal/%s.zst", place, name);
	return path_in_scratch("%s/wal/%.16s/%s.zst", place, name, name);
}

static bool
suspect(const char *name)
{
	char		key[WA_KEY_BYTES];

	snprintf(key, sizeof(key), "wal/%.16s/%s.zst", name, name);
	return wa_archive_suspects(archive, key);
}

static bool
there(const char *name)
{
	return access(object_of(name), F_OK) == 0;
}

static void
set_due(const char *name, bool due)
{
	char		path[100];

	snprintf(path, sizeof(path), "pg_wal/archive_status/%s.ready", name);
	if (due)
		write_file(path, "", 0);
	else
		(void) unlink(path);
}

/* The bytes of a segment: cheap to make, another for each seed. */
static const unsigned char *
bytes_of(int tli, int number, uint32_t seed)
{
	static unsigned char segment[SEG_1MB];

	if (segment[WA_WALHEADER_MAGIC] == 0)
		make_segment(segment, SEG_1MB, SEG_NAME, SYSID, 1);
	wa_put32(segment + WA_WALHEADER_TLI, (uint32_t) tli);
	wa_put64(segment + WA_WALHEADER_PAGEADDR, (uint64_t) number * SEG_1MB);
	wa_put32(segment + 4096, seed); /* the pages behind are another segment's */
	return segment;
}

static void
make_seeded(int tli, int number, uint32_t seed)
{
	write_file(source_of(wal(tli, number)), bytes_of(tli, number, seed),
			   SEG_1MB);
	set_due(wal(tli, number), true);
}

/* Segments first .. last of timeline 1, due. */
static void
make(int first, int last)
{
	for (int number = first; number <= last; number++)
		make_seeded(1, number, (uint32_t) number);
}

static bool
is_whole(int tli, int number, uint32_t seed)
{
	static unsigned char raw[SEG_1MB + 1];
	size_t		bytes;
	unsigned char *object = read_file(object_of(wal(tli, number)), &bytes);
	bool		good = object != NULL &&
		ZSTD_decompress(raw, sizeof(raw), object, bytes) == SEG_1MB &&
		memcmp(raw, bytes_of(tli, number, seed), SEG_1MB) == 0;

	free(object);
	return good;
}

static void
open_archive(void)
{
	WaArchiveConfig config;

	wa_archive_close(archive);
	archive_config(&config, in("archive"), SEG_1MB);
	/* whoever has not swept has not lived */
	lives += swept;
	swept = false;
	snprintf(config.last_tokens[0], sizeof(config.last_tokens[0]), "%016x",
			 lives - 1);
	snprintf(config.token, sizeof(config.token), "%016x", lives);
	archive = wa_archive_open(&config);
	must(archive != NULL);
}

static void
open_ahead(int workers)
{
	ahead = wa_lookahead_open(archive, workers);
	must(ahead != NULL);
	tasks = 0;
}

static int
threads_now(void)
{
	return count_threads() - threads_before;
}

static bool
threads_end(void)
{
	for (int i = 0; i < BOUND && threads_now() > 0; i++)
		usleep(1000);
	return threads_now() == 0;
}

static int
drain(void)
{
	struct pollfd fd = {wa_lookahead_event_fd(ahead), POLLIN, 0};
	uint64_t	count;

	if (poll(&fd, 1, 1) > 0 &&
		read(fd.fd, &count, sizeof(count)) == sizeof(count))
	{
		tasks += (int) count;
		return (int) count;
	}
	return 0;
}

/* Workers have done so many tasks since the opening. */
static void
tasks_become(int wanted)
{
	for (int i = 0; i < BOUND && tasks < wanted; i++)
		drain();
	if (tasks != wanted)
		diag("%d tasks are done, wanted %d", tasks, wanted);
	must(tasks >= wanted);
}

static bool
becomes(const int *counter, int wanted)
{
	for (int i = 0; i < BOUND && counted(counter) != wanted; i++)
		usleep(1000);
	return counted(counter) == wanted;
}

static WaCode
begin(const char *name)
{
	char		path[100];
	WaAheadRequest request = {
		.file = name,
		.level = level,
		.catchup_level = catchup_level,
		.archived_at_us = 4711
	};

	snprintf(path, sizeof(path), "pg_wal/%s", name);
	request.path = path;
	return wa_lookahead_ask(ahead, &request, &err);
}

static WaCode
take_answer(void)
{
	WaCode		code = wa_lookahead_answer(ahead, &result, &err);

	swept |= code == WA_OK && result.visit.sweep_done;
	return code;
}

static WaCode
await(void)
{
	for (int i = 0; i < BOUND; i++)
	{
		if (wa_lookahead_answered(ahead, ++clock_ms, TIMEOUT_MS * 1000))
			return take_answer();
		drain();
	}
	must(!"an answer");
	return WA_STUCK;
}

/* What the archiver does for a file, and PostgreSQL after it. */
static WaCode
ask(const char *name)
{
	WaCode		code = begin(name);

	if (code == WA_OK)
		code = await();
	if (code == WA_OK)
		set_due(name, false);
	return code;
}

/* Until an operation hangs for the time-out. */
static WaCode
ask_stuck(const char *name, int hanging_then)
{
	WaCode		code = begin(name);

	if (code != WA_OK)
		return code;
	for (int i = 0; i < BOUND && counted(&hanging) < hanging_then; i++)
	{
		if (wa_lookahead_answered(ahead, clock_ms, TIMEOUT_MS))
			return take_answer();
		usleep(1000);
	}
	must(counted(&hanging) >= hanging_then);
	(void) wa_lookahead_answered(ahead, clock_ms, TIMEOUT_MS);
	ok(!wa_lookahead_answered(ahead, clock_ms + TIMEOUT_MS / 2, TIMEOUT_MS),
	   "no answer before the time-out");
	clock_ms += TIMEOUT_MS;
	/* not the first of all that hang may be the one asked for */
	for (int i = 0; i < 10; i++)
		if (wa_lookahead_answered(ahead, clock_ms, TIMEOUT_MS))
			return take_answer();
	must(!"an answer after the time-out");
	return WA_OK;
}

/* Ask until what was given up has come back. */
static WaCode
ask_again(const char *name)
{
	WaCode		code = WA_STUCK;

	for (int i = 0; i < BOUND && code == WA_STUCK; i++)
	{
		code = ask(name);
		if (code == WA_STUCK)
			usleep(1000);
	}
	return code;
}

static void
close_ahead(void)
{
	wa_lookahead_close(ahead, 20000);
	ahead = NULL;
}

static void
fresh(int workers)
{
	if (ahead != NULL)
		close_ahead();
	no_rule();
	must(threads_end());
	remove_tree(in("archive"));
	remove_tree(in("pg_wal"));
	remove_tree(in("elsewhere"));
	(void) unlink("walarch.known");
	must(mkdir(in("archive"), 0700) == 0);
	must(mkdir(in("pg_wal"), 0700) == 0);
	must(mkdir(in("pg_wal/archive_status"), 0700) == 0);
	open_archive();
	open_ahead(workers);
	temporaries = dir_syncs = failed = hung = 0;
	order[0] = '\0';
	memset(opened, 0, sizeof(opened));
	level = 3;
	catchup_level = 1;
}

/*
 * 0 and 1 are archived, 2 .. last are staged: the usual start.  The marker
 * is a temporary as well.
 */
static void
staged_to(int workers, int last)
{
	fresh(workers);
	make(0, last);
	must(ask(wal(1, 0)) == WA_OK);
	must(ask(wal(1, 1)) == WA_OK);
	tasks_become(last + 1);
	temporaries = dir_syncs = 0;
	order[0] = '\0';
}

static void
nothing_staged(const char *what)
{
	close_ahead();
	is_int(count_names(in("archive/tmp")), 0, "nothing in tmp/: %s", what);
}

/* Visible are exactly those up to `last`. */
static bool
visible_to(int last)
{
	for (int number = 0; number < 40; number++)
		if (there(wal(1, number)) != (number <= last))
		{
			diag("%d is %s", number, number <= last ? "absent" : "visible");
			return false;
		}
	return true;
}

/* ---- tests ---- */

static void
test_order(void)
{
	fresh(2);
	make(0, 20);
	is_code(ask(wal(1, 0)), WA_OK, &err, "the first file");
	tasks_become(1);
	is_int(opened[1], 0, "the first file of a life: nothing is read ahead");
	temporaries = 1;			/* a new archive has one for its marker */
	for (int number = 1; number <= 20; number++)
		if (ask(wal(1, number)) != WA_OK || !there(wal(1, number)))
			diag("%d: %s", number, err.message);
	is_str(order, " 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20",
		   "a backlog becomes visible in PostgreSQL's order");
	for (int number = 0; number <= 20; number++)
		if (!is_whole(1, number, (uint32_t) number) || opened[number] != 1)
			ok(false, "%d is whole, read %d times", number, opened[number]);
	is_int(temporaries, 21, "each is compressed once");
	nothing_staged("a backlog");

	/* a run: four names under one sync */
	staged_to(2, 5);
	is_code(ask(wal(1, 2)), WA_OK, &err, "what is staged");
	is_str(order, " 2 3 4 5", "is committed with those behind it, in order");
	is_int(dir_syncs, 1, "under one sync of their directory");
	for (int number = 3; number <= 5; number++)
	{
		int			before = tasks;

		is_code(ask(wal(1, number)), WA_OK, &err, "%d", number);
		is_int(result.outcome, WA_PUSH_STORED, "%d was stored", number);
		is_int(tasks, before, "%d is answered from memory", number);
	}
	is_int(temporaries, 0, "nothing is compressed again");
	nothing_staged("a run");

	staged_to(2, 5);
	must(ask(wal(1, 2)) == WA_OK && ask(wal(1, 3)) == WA_OK);
	is_code(ask(wal(1, 3)), WA_OK, &err, "asked for once more");
	is_int(result.outcome, WA_PUSH_IDENTICAL, "memory answers one time only");
	is_code(ask(wal(1, 4)), WA_OK, &err, "the one behind it");
	is_int(result.outcome, WA_PUSH_STORED, "is still answered from memory");
	nothing_staged("asked for twice");
}

static void
test_window(void)
{
	/* 4 for each worker, the asked one included */
	for (int workers = 1; workers <= 2; workers++)
	{
		int			window = WA_AHEAD_PER_WORKER * workers;

		fresh(workers);
		make(0, 30);
		must(ask(wal(1, 0)) == WA_OK);
		temporaries = 0;
		must(ask(wal(1, 1)) == WA_OK);
		tasks_become(1 + window);
		is_int(temporaries, window, "%d workers: %d at a time",
			   workers, window);
		is_int(opened[window], 1, "up to the end of the window");
		is_int(opened[window + 1], 0, "and not beyond");
		ok(visible_to(1), "invisible");
		must(ask(wal(1, 2)) == WA_OK);
		tasks_become(1 + window + 2);
		is_int(opened[window + 1], 1, "the next comes with the next call");
		is_int(opened[window + 2], 0, "and only that");
		nothing_staged("the rest of a window");
	}

	/* idle: one task a file, one thread */
	fresh(4);
	for (int number = 0; number < 5; number++)
	{
		make(number, number);
		must(ask(wal(1, number)) == WA_OK);
	}
	tasks_become(5);
	is_int(tasks, 5, "one by one: a task a file");
	is_int(threads_now(), 1, "and a single thread");
	nothing_staged("idle");
}

static void
test_level(void)
{
	static const int wanted[] = {3, 1, 1, 1, 1, 1, 1, 3, 3};

	/* window 4: full when 1 to 3 are asked for */
	fresh(1);
	make(0, 6);
	for (int number = 0; number <= 8; number++)
	{
		if (number == 7)
			make(7, 8);
		must(ask(wal(1, number)) == WA_OK);
		is_int(result.level, wanted[number], "level of %d", number);
	}
	fresh(1);
	make(0, 3);
	catchup_level = 9;
	for (int number = 0; number <= 3; number++)
	{
		must(ask(wal(1, number)) == WA_OK);
		is_int(result.level, 3, "never full: level of %d", number);
	}
	nothing_staged("levels");

	/* once behind, until half of the window is left */
	fresh(1);
	make(0, 6);
	catchup_level = 1;
	for (int number = 0; number <= 8; number++)
	{
		if (number == 5)
			make(7, 7);
		if (number == 7)
			make(8, 8);
		must(ask(wal(1, number)) == WA_OK);
		is_int(result.level, number == 0 || number == 8 ? 3 : 1,
			   "almost caught up: level of %d", number);
	}
	nothing_staged("half a window");
}

static void
test_wrong_guess(void)
{
	staged_to(2, 6);
	make(12, 12);
	is_code(ask(wal(1, 12)), WA_OK, &err, "not the one that was expected");
	ok(there(wal(1, 12)) && !there(wal(1, 2)) && !there(wal(1, 3)),
	   "what was guessed wrong stays invisible");
	tasks_become(7 + 1 + 5);
	is_int(count_names(in("archive/tmp")), 0, "and is removed");
	for (int number = 2; number <= 6; number++)
		is_code(ask(wal(1, number)), WA_OK, &err, "%d, late", number);
	is_str(order, " 12 2 3 4 5 6", "in the order they were asked for");

	/* one in the middle: those before it are passed over, the others stay */
	staged_to(2, 5);
	is_code(ask(wal(1, 4)), WA_OK, &err, "one in the middle");
	is_str(order, " 4 5", "those from it on are committed");
	is_int(temporaries, 0, "as they were staged");
	ok(!there(wal(1, 2)) && !there(wal(1, 3)), "those before it are not");
	nothing_staged("passed over");

	/* a timeline switch */
	staged_to(2, 6);
	make_seeded(2, 2, 102);
	make_seeded(2, 3, 103);
	is_code(ask(wal(2, 2)), WA_OK, &err, "the same number of a new timeline");
	tasks_become(7 + 5 + 2);
	is_int(temporaries, 2, "is archived, and what follows it staged");
	is_code(ask(wal(2, 3)), WA_OK, &err, "the next");
	ok(is_whole(2, 2, 102) && is_whole(2, 3, 103), "their own bytes");
	ok(visible_to(1), "nothing of the old one");
	is_code(ask(wal(1, 2)), WA_OK, &err, "back to the old one");
	ok(is_whole(1, 2, 2), "its bytes");
	nothing_staged("two timelines");
}

static void
test_vanished(void)
{
	staged_to(2, 5);
	set_due(wal(1, 3), false);
	is_code(ask(wal(1, 2)), WA_OK, &err, "2, while 3 is not due any more");
	ok(visible_to(2), "3 is not committed, nor is anything behind it");
	is_code(ask(wal(1, 4)), WA_OK, &err, "PostgreSQL goes on with 4");
	ok(!there(wal(1, 3)) && there(wal(1, 4)), "3 never appears");
	is_int(temporaries, 0, "4 as it was staged");
	nothing_staged("vanished");
	ok(!there(wal(1, 3)), "not at the end either");

	staged_to(2, 5);
	set_due(wal(1, 2), false);
	set_due(wal(1, 3), false);
	is_code(ask(wal(1, 4)), WA_OK, &err, "two are gone");
	ok(!there(wal(1, 2)) && !there(wal(1, 3)), "neither appears");

	/* beyond the hole nothing is read */
	fresh(2);
	make(0, 8);
	set_due(wal(1, 3), false);
	must(ask(wal(1, 0)) == WA_OK);
	must(ask(wal(1, 1)) == WA_OK);
	tasks_become(3);
	is_int(opened[3] + opened[4], 0, "nobody looks beyond a hole");
}

/* Another file under the same name. */
static void
replace(int number, uint32_t seed, bool in_place)
{
	const unsigned char *bytes = bytes_of(1, number, seed);

	if (in_place)
	{
		write_file(source_of(wal(1, number)), bytes, SEG_1MB);
		return;
	}
	write_file("pg_wal/new", bytes, SEG_1MB);
	must(rename("pg_wal/new", source_of(wal(1, number))) == 0);
}

static void
test_source(void)
{
	for (int in_place = 0; in_place <= 1; in_place++)
	{
		const char *how = in_place ? "rewritten" : "replaced";

		/* between staging and commit */
		staged_to(2, 5);
		replace(2, 102, in_place);
		replace(4, 104, in_place);
		is_code(ask(wal(1, 2)), WA_OK, &err, "%s while staged", how);
		ok(is_whole(1, 2, 102), "the new bytes are archived: %s", how);
		is_code(ask(wal(1, 3)), WA_OK, &err, "the next");
		ok(visible_to(3), "one %s in the middle of a run ends it", how);
		is_code(ask(wal(1, 4)), WA_OK, &err, "that one");
		ok(is_whole(1, 4, 104), "its new bytes: %s", how);
		is_code(ask(wal(1, 5)), WA_OK, &err, "and the last");
		is_str(order, " 2 3 4 5", "in order: %s", how);
		is_int(temporaries, 2, "the others as they were staged: %s", how);

		/* between commit and ask */
		staged_to(2, 5);
		must(ask(wal(1, 2)) == WA_OK && there(wal(1, 5)));
		replace(3, 3, in_place);
		replace(4, 104, in_place);
		is_code(ask(wal(1, 3)), WA_OK, &err, "%s once committed", how);
		is_int(result.outcome, WA_PUSH_IDENTICAL, "compared anew: %s", how);
		is_code(ask(wal(1, 4)), WA_CONFLICT, &err, "other bytes: %s", how);
		ok(is_whole(1, 4, 4), "what was committed is not touched: %s", how);
		nothing_staged(how);
	}

	staged_to(2, 5);
	must(ask(wal(1, 2)) == WA_OK);
	must(truncate(source_of(wal(1, 3)), SEG_1MB / 2) == 0);
	is_code(ask(wal(1, 3)), WA_INVALID, &err, "truncated once committed");
	must(unlink(source_of(wal(1, 4))) == 0);
	is_code(ask(wal(1, 4)), WA_NOT_FOUND, &err, "gone once committed");
	staged_to(2, 5);
	must(unlink(source_of(wal(1, 2))) == 0);
	is_code(ask(wal(1, 2)), WA_NOT_FOUND, &err, "gone while staged");
	ok(visible_to(1), "and not visible");
	nothing_staged("gone");
}

static void
test_other_kinds(void)
{
	static const char history[] = "1\t0/2000000\tno recovery target\n";
	char		backup[WA_WALNAME_BYTES];
	char		partial[WA_WALNAME_BYTES];

	staged_to(2, 5);
	snprintf(backup, sizeof(backup), "%s.00000028.backup", wal(1, 1));
	snprintf(partial, sizeof(partial), "%s.partial", wal(1, 9));
	write_file("pg_wal/00000002.history", history, sizeof(history) - 1);
	write_file(source_of(backup), "START WAL LOCATION: 0/2000028\n", 30);
	write_file(source_of(partial), bytes_of(1, 9, 9), SEG_1MB);
	is_code(ask("00000002.history"), WA_OK, &err, "a history in between");
	is_code(ask(backup), WA_OK, &err, "a backup history");
	is_code(ask(partial), WA_OK, &err, "a .partial");
	ok(there("00000002.history") && there(backup) && there(partial),
	   "they are there");
	ok(visible_to(1), "nothing that is staged");
	temporaries = 0;
	for (int number = 2; number <= 5; number++)
		is_code(ask(wal(1, number)), WA_OK, &err, "then %d", number);
	is_int(temporaries, 0, "as it was staged");
	is_code(ask("nonsense"), WA_INVALID, &err, "no name of a file");
	nothing_staged("other kinds");
}

static void
test_failure(void)
{
	/* N cannot be committed, once */
	staged_to(2, 5);
	set_rule("renameat2", wal(1, 2), EIO, 1);
	is_code(ask(wal(1, 2)), WA_IO, &err, "2 fails");
	has_str(err.message, wal(1, 2), "the message names it");
	ok(visible_to(1), "nothing behind it is visible");
	is_code(ask(wal(1, 2)), WA_OK, &err, "2 succeeds");
	for (int number = 3; number <= 5; number++)
		is_code(ask(wal(1, number)), WA_OK, &err, "then %d", number);
	is_str(order, " 2 3 4 5", "in order");
	nothing_staged("a failure");
	staged_to(2, 5);
	set_rule("renameat2", wal(1, 2), EIO, 1);
	must(ask(wal(1, 2)) == WA_IO);
	for (int number = 2; number <= 5; number++)
		must(ask(wal(1, number)) == WA_OK);
	is_int(temporaries, 1, "only 2 was compressed again");

	/* while it fails nothing more is read ahead */
	staged_to(1, 4);
	make(5, 9);
	set_rule("renameat2", wal(1, 2), EIO, -1);
	for (int i = 0; i < 3; i++)
		must(ask(wal(1, 2)) == WA_IO);
	is_int(opened[6] + opened[7], 0, "while it fails nobody reads further");
	ok(visible_to(1), "and nothing appears");
	no_rule();
	is_code(ask(wal(1, 2)), WA_OK, &err, "until it succeeds");
	is_code(ask(wal(1, 3)), WA_OK, &err, "3");
	ok(becomes(&opened[6], 1), "then somebody does");
	nothing_staged("failing");

	/* in the middle of a run */
	staged_to(2, 5);
	set_rule("renameat2", wal(1, 4), EIO, -1);
	is_code(ask(wal(1, 2)), WA_OK, &err, "4 of 2 to 5 cannot be committed: 2");
	is_int(dir_syncs, 1, "those before it are synced");
	ok(visible_to(3), "those behind it are not visible");
	is_code(ask(wal(1, 3)), WA_OK, &err, "3");
	is_code(ask(wal(1, 4)), WA_IO, &err, "4 fails when it is asked for");
	ok(visible_to(3), "5 is still not visible");
	no_rule();
	is_code(ask(wal(1, 4)), WA_OK, &err, "4, mended");
	is_code(ask(wal(1, 5)), WA_OK, &err, "and 5");
	is_str(order, " 2 3 4 5", "in order");
	nothing_staged("a run that ended early");

	/* staging fails: what was ahead of its time is tried again */
	fresh(1);
	make(0, 5);
	must(ask(wal(1, 0)) == WA_OK);
	set_rule("open", wal(1, 3), EIO, 1);
	must(ask(wal(1, 1)) == WA_OK);
	tasks_become(5);
	for (int number = 2; number <= 5; number++)
		is_code(ask(wal(1, number)), WA_OK, &err, "3 could not be read: %d",
				number);
	is_str(order, " 0 1 2 3 4 5", "in order");
	nothing_staged("a failed staging");

	/* no room: what is staged gives way to what is asked for */
	staged_to(2, 5);
	set_rule("renameat2", wal(1, 2), ENOSPC, 1);
	is_code(ask(wal(1, 2)), WA_NO_SPACE, &err, "no room for 2");
	tasks_become(6 + 1 + 4);
	is_int(count_names(in("archive/tmp")), 0, "nothing takes up room");
	for (int number = 2; number <= 5; number++)
		is_code(ask(wal(1, number)), WA_OK, &err, "there is room: %d", number);
	nothing_staged("no room");
}

static void
test_sync(void)
{
	staged_to(2, 5);
	set_rule("fsync", "/wal/0", EIO, 1);
	is_code(ask(wal(1, 2)), WA_IO, &err, "a directory cannot be synced");
	ok(visible_to(5), "the run is visible");
	for (int number = 2; number <= 5; number++)
		ok(suspect(wal(1, number)), "%d is suspect", number);
	for (int number = 2; number <= 5; number++)
	{
		is_code(ask(wal(1, number)), WA_OK, &err, "%d", number);
		is_int(result.outcome, WA_PUSH_REPLACED, "%d is written anew", number);
		ok(is_whole(1, number, (uint32_t) number), "%d is whole", number);
	}
	is_int(count_names(in("archive/damaged")), 4, "the suspects are kept");
	nothing_staged("a failed sync");
}

static void
remove_temporaries(void)
{
	DIR		   *dir = opendir(in("archive/tmp"));
	struct dirent *entry;

	must(dir != NULL);
	while ((entry = readdir(dir)) != NULL)
		if (entry->d_name[0] != '.')
			must(unlink(path_in_scratch("archive/tmp/%s",
										entry->d_name)) == 0 ||
				 errno == ENOENT);	/* its worker was faster */
	closedir(dir);
}

static void
test_archive_changes(void)
{
	staged_to(2, 5);
	remove_temporaries();
	for (int number = 2; number <= 5; number++)
		is_code(ask(wal(1, number)), WA_OK, &err,
				"what was staged is gone: %d", number);
	is_str(order, " 2 3 4 5", "in order");
	nothing_staged("taken away");

	staged_to(2, 5);
	must(rename(in("archive"), in("elsewhere")) == 0);
	is_code(ask(wal(1, 2)), WA_NO_DIRECTORY, &err, "the archive is gone");
	must(mkdir(in("archive"), 0700) == 0);
	is_code(ask(wal(1, 2)), WA_NO_MARKER, &err, "the empty mount point");
	is_int(count_names(in("archive")), 0, "nothing was written there");
	must(rmdir(in("archive")) == 0);
	must(rename(in("elsewhere"), in("archive")) == 0);
	ok(visible_to(1), "nothing became visible");
	for (int number = 2; number <= 5; number++)
		is_code(ask(wal(1, number)), WA_OK, &err, "it is back: %d", number);
	is_str(order, " 2 3 4 5", "in order");
	close_ahead();
	ok(count_names(in("archive/tmp")) <= 1,
	   "what could not be removed is left to a sweep");
	open_archive();
	open_ahead(1);
	make(6, 6);
	must(ask(wal(1, 6)) == WA_OK);
	nothing_staged("gone and back");

	/* another archive of this cluster: what is staged is not there */
	staged_to(2, 5);
	must(rename(in("archive"), in("elsewhere")) == 0);
	must(mkdir(in("archive"), 0700) == 0);
	{
		size_t		length;
		unsigned char *marker = read_file(in("elsewhere/archive.id"), &length);

		write_file(in("archive/archive.id"), marker, length);
		must(mkdir(in("archive/wal"), 0700) == 0);
		free(marker);
	}
	for (int number = 2; number <= 5; number++)
		is_code(ask(wal(1, number)), WA_OK, &err, "another archive: %d",
				number);
	ok(there(wal(1, 2)) && there(wal(1, 5)) && !there(wal(1, 1)),
	   "they are in that one");
	nothing_staged("another archive");
}

/* Memory serves the next calls; who asks later asks the archive. */
static void
test_memory(void)
{
	staged_to(2, 5);
	must(ask(wal(1, 2)) == WA_OK);
	must(rename(object_of(wal(1, 3)), in("elsewhere")) == 0);
	wa_lookahead_forget(ahead);
	is_code(ask(wal(1, 3)), WA_OK, &err, "after nobody asked for a while");
	ok(there(wal(1, 3)), "it is not answered from memory");
	nothing_staged("forgotten");

	staged_to(2, 5);
	must(ask(wal(1, 2)) == WA_OK);
	is_code(ask("00000002.history"), WA_NOT_FOUND, &err, "a failure");
	must(unlink(object_of(wal(1, 3))) == 0);
	is_code(ask(wal(1, 3)), WA_OK, &err, "after a failure");
	ok(there(wal(1, 3)), "it is not answered from memory either");
	nothing_staged("a failure");

	staged_to(2, 5);
	wa_lookahead_forget(ahead);
	nothing_staged("forgotten before it was committed");

	/* what is new about the archive is told, whoever saw it first */
	staged_to(2, 5);
	{
		size_t		length;
		unsigned char *marker = read_file(in("archive/archive.id"), &length);
		char	   *id = strstr((char *) marker, "archive-id: ");
		bool		told = false;

		must(id != NULL);
		id[12] = id[12] == '0' ? '1' : '0';
		write_file(in("archive/archive.id"), marker, length);
		free(marker);
		for (int number = 2; number <= 5; number++)
		{
			must(ask(wal(1, number)) == WA_OK);
			told |= result.visit.attached.new_id;
		}
		ok(told, "another archive id is told of");
	}
	nothing_staged("another archive id");
}

static void
test_existing(void)
{
	size_t		length;
	unsigned char *object;

	fresh(2);
	make(2, 5);
	must(ask(wal(1, 2)) == WA_OK);
	replace(4, 104, true);
	must(ask(wal(1, 4)) == WA_OK);
	make(4, 4);
	must(ask(wal(1, 3)) == WA_OK);
	object = read_file(object_of(wal(1, 3)), &length);
	object[length / 2] ^= 1;
	write_file(object_of(wal(1, 3)), object, length);
	free(object);
	close_ahead();
	open_archive();
	open_ahead(2);
	make(0, 5);
	must(ask(wal(1, 0)) == WA_OK);
	must(ask(wal(1, 1)) == WA_OK);
	tasks_become(6);
	is_code(ask(wal(1, 2)), WA_OK, &err, "one that is there already");
	is_int(result.outcome, WA_PUSH_IDENTICAL, "identical");
	is_int(result.stored_bytes, 0, "nothing was stored");
	is_code(ask(wal(1, 3)), WA_OK, &err, "one that is damaged there");
	is_int(result.outcome, WA_PUSH_REPLACED, "replaced");
	ok(is_whole(1, 3, 3), "by a good one");
	is_int(count_names(in("archive/damaged")), 1, "the old one is kept");
	is_code(ask(wal(1, 4)), WA_CONFLICT, &err, "one that is different there");
	has_str(err.message, wal(1, 4), "the message names it");
	ok(is_whole(1, 4, 104) && !there(wal(1, 5)),
	   "nothing is replaced, nothing behind it visible");
	is_code(ask(wal(1, 4)), WA_CONFLICT, &err, "again");
	must(unlink(object_of(wal(1, 4))) == 0);
	is_code(ask(wal(1, 4)), WA_OK, &err, "until a person acts");
	is_code(ask(wal(1, 5)), WA_OK, &err, "then the one behind it");

	/* identical when staged, gone when committed; and the reverse */
	fresh(1);
	make(2, 2);
	must(ask(wal(1, 2)) == WA_OK);
	close_ahead();
	open_ahead(1);
	make(0, 3);
	must(ask(wal(1, 0)) == WA_OK);
	must(ask(wal(1, 1)) == WA_OK);
	tasks_become(4);
	must(unlink(object_of(wal(1, 2))) == 0);
	is_code(ask(wal(1, 2)), WA_OK, &err, "there when staged, then gone");
	ok(is_whole(1, 2, 2), "it is there again");
	nothing_staged("existing");

	fresh(1);
	make(2, 2);
	must(ask(wal(1, 2)) == WA_OK);
	must(rename(object_of(wal(1, 2)), in("kept")) == 0);
	close_ahead();
	open_ahead(1);
	make(0, 3);
	must(ask(wal(1, 0)) == WA_OK);
	must(ask(wal(1, 1)) == WA_OK);
	tasks_become(4);
	must(rename(in("kept"), object_of(wal(1, 2))) == 0);
	is_code(ask(wal(1, 2)), WA_OK, &err, "put there by another while staged");
	is_int(result.outcome, WA_PUSH_IDENTICAL, "identical");
	nothing_staged("put there by another");
}

static void
test_hanging(void)
{
	/* one that is ahead */
	fresh(2);
	make(0, 3);
	must(ask(wal(1, 0)) == WA_OK);
	set_rule("open", wal(1, 2), 0, -1);
	is_code(ask(wal(1, 1)), WA_OK, &err, "2 hangs while it is read ahead: 1");
	ok(becomes(&hanging, 1), "it hangs");
	is_code(ask_stuck(wal(1, 2), 1), WA_STUCK, &err, "2 itself: a time-out");
	has_str(err.message, "no progress for 1000 ms", "that says so");
	is_code(begin(wal(1, 2)), WA_STUCK, &err, "then failures at once");
	has_str(err.message, "has not come back", "that say why");
	ok(visible_to(1), "nothing behind it is visible");
	no_rule();
	is_code(ask_again(wal(1, 2)), WA_OK, &err, "when it has come back");
	is_code(ask(wal(1, 3)), WA_OK, &err, "and the next");
	nothing_staged("one that hung");

	/* one that is further ahead does not hurt those before it */
	fresh(2);
	make(0, 3);
	must(ask(wal(1, 0)) == WA_OK);
	set_rule("open", wal(1, 3), 0, -1);
	must(ask(wal(1, 1)) == WA_OK);
	must(becomes(&hanging, 1));
	(void) begin(wal(1, 2));
	for (int i = 0; i < BOUND && !there(wal(1, 2)); i++)
	{
		(void) wa_lookahead_answered(ahead, clock_ms, TIMEOUT_MS);
		usleep(1000);
	}
	clock_ms += TIMEOUT_MS;
	(void) wa_lookahead_answered(ahead, clock_ms, TIMEOUT_MS);
	is_code(await(), WA_OK, &err, "2, while 3 hangs for the time-out");
	set_due(wal(1, 2), false);
	is_code(begin(wal(1, 3)), WA_STUCK, &err, "3 fails at once");
	no_rule();
	is_code(ask_again(wal(1, 3)), WA_OK, &err, "and 3 when it has come back");
	nothing_staged("one further ahead that hung");

	/* everything */
	for (int workers = 1; workers <= 3; workers += 2)
	{
		staged_to(workers, 4);
		make(5, 9);
		set_rule("", "", 0, -1);
		is_code(ask_stuck(wal(1, 2), workers), WA_STUCK, &err,
				"everything hangs, %d workers: one time-out", workers);
		for (int i = 0; i < 3; i++)
			is_code(begin(wal(1, 2)), WA_STUCK, &err, "then at once");
		no_rule();
		for (int number = 2; number <= 9; number++)
			is_code(ask_again(wal(1, number)), WA_OK, &err,
					"it is back: %d", number);
		for (int number = 0; number <= 9; number++)
			if (!is_whole(1, number, (uint32_t) number))
				ok(false, "%d is whole", number);
		nothing_staged("everything hung");
	}

	/* a run given up by an interrupt, that goes to its end */
	staged_to(2, 5);
	set_rule("renameat2", wal(1, 3), 0, -1);
	must(begin(wal(1, 2)) == WA_OK);
	for (int i = 0; i < BOUND && counted(&hanging) == 0; i++)
	{
		must(!wa_lookahead_answered(ahead, clock_ms, TIMEOUT_MS));
		usleep(1000);
	}
	wa_lookahead_give_up(ahead);
	is_code(begin(wal(1, 2)), WA_STUCK, &err, "given up by an interrupt");
	no_rule();
	is_code(ask_again(wal(1, 2)), WA_OK, &err, "then archived all the same");
	for (int number = 3; number <= 5; number++)
		is_code(ask(wal(1, number)), WA_OK, &err, "%d", number);
	is_str(order, " 2 3 4 5", "each once, in order");
	nothing_staged("given up");

	/* given up when it is done: nothing is lost */
	staged_to(2, 5);
	set_rule("renameat2", "", 0, -1);
	must(begin(wal(1, 2)) == WA_OK);
	must(!wa_lookahead_answered(ahead, clock_ms, TIMEOUT_MS));
	no_rule();
	tasks_become(7);
	wa_lookahead_give_up(ahead);
	ok(visible_to(5), "given up when the run was done");
	temporaries = 0;
	for (int number = 2; number <= 5; number++)
		is_code(ask(wal(1, number)), WA_OK, &err, "%d", number);
	is_int(temporaries, 0, "answered from memory");
	nothing_staged("given up too late");
}

/* What nobody could remove when it was closed, the next life sweeps. */
static void
nothing_left(const char *what)
{
	open_archive();
	open_ahead(1);
	make(40, 40);
	must(ask(wal(1, 40)) == WA_OK);
	nothing_staged(what);
}

/* What cannot be swept stays on the list of what is to be swept. */
static void
test_sweep(void)
{
	char		left[64];

	fresh(1);
	make(0, 2);
	must(ask(wal(1, 0)) == WA_OK);
	snprintf(left, sizeof(left), "archive/tmp/%016x-77", lives);
	write_file(in(left), "x", 1);

	close_ahead();
	open_archive();
	open_ahead(1);
	set_rule("unlinkat", "-77", EIO, 1);
	is_code(ask(wal(1, 1)), WA_OK, &err, "a temporary cannot be removed");
	is_int(result.visit.swept, 0, "nothing is swept");
	ok(!result.visit.sweep_done, "which is said");

	close_ahead();
	open_archive();
	open_ahead(1);
	is_code(ask(wal(1, 2)), WA_OK, &err, "the next archiver");
	is_int(result.visit.swept, 1, "sweeps it");
	ok(result.visit.sweep_done, "which is said");
	nothing_staged("swept");
}

static void
test_close(void)
{
	wa_lookahead_close(NULL, 0);

	/* with a file asked for, others staged, being staged, and queued */
	for (int hang = 0; hang < 5; hang++)
	{
		static const char *const calls[] = {
			"open", "openat", "fsync", "renameat2", "unlinkat"
		};

		fresh(3);
		make(0, 30);
		must(ask(wal(1, 0)) == WA_OK);
		must(ask(wal(1, 1)) == WA_OK);
		tasks_become(6);
		set_rule(calls[hang], hang == 0 ? "pg_wal" : hang == 2 ? "/archive" :
				 hang == 3 ? "wal/" : "tmp/", 0, -1);
		if (begin(wal(1, 2)) == WA_OK && hang < 4)
			for (int i = 0; i < 50 && counted(&hanging) == 0; i++)
			{
				if (wa_lookahead_answered(ahead, clock_ms, TIMEOUT_MS))
					break;
				drain();
			}
		wa_lookahead_close(ahead, 50);
		ahead = NULL;
		ok(true, "closed while %s hangs", calls[hang]);
		no_rule();
		ok(threads_end(), "the threads end when it has come back");
		nothing_left(calls[hang]);
	}

	/* given up while it hangs, then closed */
	staged_to(2, 6);
	set_rule("", "", 0, -1);
	is_code(ask_stuck(wal(1, 2), 1), WA_STUCK, &err, "stuck");
	wa_lookahead_close(ahead, 50);
	ahead = NULL;
	ok(true, "closed with what is stuck");
	no_rule();
	ok(threads_end(), "the threads end");
	nothing_left("what was stuck");

	/*
	 * It comes back, and the release of what was given up hangs: still held,
	 * so that asking fails at once instead of waiting for ever.
	 */
	fresh(1);
	make(0, 3);
	must(ask(wal(1, 0)) == WA_OK);
	set_rule("open", wal(1, 2), 0, -1);
	must(ask(wal(1, 1)) == WA_OK);
	must(ask_stuck(wal(1, 2), 1) == WA_STUCK);
	set_rule("unlinkat", "tmp/", 0, -1);
	must(becomes(&hung, 2));
	is_code(begin(wal(1, 2)), WA_STUCK, &err, "still held");
	no_rule();
	is_code(ask_again(wal(1, 2)), WA_OK, &err, "until it is not");
	nothing_staged("a release that hangs");
}

/* Larger than what is held in memory. */
static void
test_streamed(void)
{
	const uint32_t bytes = 128 * SEG_1MB;
	WaArchiveConfig config;
	char		name[WA_WALNAME_BYTES];

	fresh(1);
	close_ahead();
	wa_archive_close(archive);
	archive_config(&config, in("archive"), bytes);
	archive = wa_archive_open(&config);
	open_ahead(1);
	for (uint64_t segno = 1; segno <= 5; segno++)
	{
		static unsigned char page[SEG_1MB];

		wa_segment_name(name, 1, segno, bytes);
		make_segment(page, SEG_1MB, name, SYSID, (uint32_t) segno);
		wa_put64(page + WA_WALHEADER_PAGEADDR, segno * bytes);
		wa_put32(page + WA_WALHEADER_SEG_SIZE, bytes);
		wa_put16(page + WA_WALHEADER_INFO, WA_XLP_LONG_HEADER);
		wa_put32(page + WA_WALHEADER_REM_LEN, 0);
		write_file(source_of(name), page, SEG_1MB);
		must(truncate(source_of(name), bytes) == 0);
		set_due(name, true);
	}
	for (uint64_t segno = 1; segno <= 5; segno++)
	{
		struct stat st;

		wa_segment_name(name, 1, segno, bytes);
		is_code(ask(name), WA_OK, &err, "128 MB, %d", (int) segno);
		is_int(result.outcome, WA_PUSH_STORED, "stored");
		is_str(result.damage, "", "without damage");
		must(stat(object_of(name), &st) == 0);
		is_int(result.stored_bytes, st.st_size, "its stored size");
		if (segno == 1)
			temporaries = 1;
		if (segno == 2)
			tasks_become(5);
	}
	is_str(order, " 1 2 3 4 5", "in order");
	is_int(temporaries, 5, "each compressed once");
	nothing_staged("streamed");
	wa_archive_close(archive);
	archive = NULL;
}

/*
 * ---- PostgreSQL, played at random ----
 *
 * Segments become due, the oldest is asked for, again and again when it
 * fails; meanwhile calls fail or hang, the archive goes away and comes back,
 * temporaries are taken away, sources are touched, `.ready` vanish and come
 * back, archivers are given other workers, stop and start.
 */
typedef struct Segment
{
	bool		due;
	bool		acknowledged;
	bool		was_gone;		/* was not due for a while */
	bool		hidden;			/* invisible, and not due since */
} Segment;

#define PLAYED_MAX		4000

static Segment segments[PLAYED_MAX];
static int	made;
static int	first_kept;			/* those before it were checked and removed */
static int	tli = 1;
static uint64_t random_state;
static bool away;
static bool unsettled;			/* something given up may still be at work */
static int	acknowledged;
static int	failures;
static int	violations;

static int
random_to(int n)
{
	random_state = random_state * UINT64_C(6364136223846793005) +
		1442695040888963407;
	return (int) ((random_state >> 33) % (unsigned) n);
}

static void __attribute__((format(printf, 2, 3)))
violated(int step, const char *format,...)
{
	va_list		args;
	char		text[300];

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (violations++ < 10)
		diag("step %d: %s", step, text);
}

static void
bring_back(void)
{
	if (away)
	{
		(void) rmdir(in("archive"));
		must(rename(in("elsewhere"), in("archive")) == 0);
	}
	away = false;
}

/* What must hold whenever nothing is being asked for. */
static void
check(int step)
{
	char		names[64];
	DIR		   *dir;
	struct dirent *entry;
	static bool visible[PLAYED_MAX + 1];

	if (away)
		return;
	memset(visible, 0, sizeof(visible));
	snprintf(names, sizeof(names), "archive/wal/%08X00000000", tli);
	dir = opendir(in(names));
	while (dir != NULL && (entry = readdir(dir)) != NULL)
	{
		char		digits[9] = "";
		long		number;

		if (entry->d_name[0] == '.')
			continue;
		if (strlen(entry->d_name) != 28)
		{
			violated(step, "\"%s\" is in the archive", entry->d_name);
			continue;
		}
		memcpy(digits, entry->d_name + 16, 8);
		number = strtol(digits, NULL, 16);
		if (number < 0 || number >= made)
			violated(step, "\"%s\" is in the archive", entry->d_name);
		else
			visible[number] = true;
	}
	if (dir != NULL)
		closedir(dir);
	for (int i = first_kept; i < made; i++)
	{
		const Segment *one = &segments[i];

		if (one->acknowledged && !visible[i])
			violated(step, "%d is acknowledged and not there", i);
		if (one->hidden && visible[i])
			violated(step, "%d was not due and appeared", i);
		if (i > first_kept && visible[i] && !visible[i - 1] &&
			segments[i - 1].due && !segments[i - 1].was_gone)
			violated(step, "%d is visible before %d", i, i - 1);
	}
}

static int
oldest_due(void)
{
	for (int i = first_kept; i < made; i++)
		if (segments[i].due)
			return i;
	return -1;
}

/* Ask for the oldest; the call may be given up, or what hangs be released. */
static void
play_ask(int step)
{
	int			number = oldest_due();
	int			give_up_at = random_to(40) == 0 ? random_to(5) : -1;
	WaCode		code;

	if (number < 0)
		return;
	code = begin(wal(tli, number));
	for (int i = 0; code == WA_OK; i++)
	{
		uint64_t	timeout = counted(&hanging) > 0 && i > 5 ? 1 :
			UINT64_C(1) << 40;

		if (i == give_up_at)
		{
			wa_lookahead_give_up(ahead);
			unsettled = true;
			return;
		}
		if (wa_lookahead_answered(ahead, ++clock_ms, timeout))
		{
			code = take_answer();
			break;
		}
		drain();
		must(i < BOUND);
	}
	if (code != WA_OK)
	{
		failures++;
		unsettled |= code == WA_STUCK;
		return;
	}
	unsettled = false;
	/* also from memory, when the archive went away after the commit */
	place = away ? "elsewhere" : "archive";
	if (!is_whole(tli, number, (uint32_t) number))
		violated(step, "%d is acknowledged and not whole", number);
	place = "archive";
	if (segments[number].acknowledged)
		violated(step, "%d twice", number);
	/* sometimes PostgreSQL cannot note it, and asks once more */
	if (random_to(20) == 0)
		return;
	set_due(wal(tli, number), false);
	segments[number].due = false;
	segments[number].acknowledged = true;
	segments[number].hidden = false;
	acknowledged++;
}

static void
play_vanish(void)
{
	int			from = oldest_due();
	int			number = from + 1 + random_to(6);

	if (from < 0 || number >= made || unsettled || away)
		return;
	if (segments[number].due)
	{
		set_due(wal(tli, number), false);
		segments[number].due = false;
		segments[number].was_gone = true;
		segments[number].hidden = !there(wal(tli, number));
	}
	else if (segments[number].was_gone && !segments[number].acknowledged)
	{
		set_due(wal(tli, number), true);
		segments[number].due = true;
		segments[number].hidden = false;
	}
}

static void
play_reopen(int step, bool process)
{
	wa_lookahead_close(ahead, random_to(2) == 0 ? 0 : 20000);
	ahead = NULL;
	if (process)
	{
		/* the process ends, and whatever hangs with it */
		no_rule();
		must(threads_end());
		open_archive();
	}
	else
		unsettled = true;
	open_ahead(1 + random_to(4));
	(void) step;
}

static void
play_trouble(void)
{
	static const char *const calls[] = {
		"open", "openat", "fsync", "renameat2", "unlinkat", ""
	};
	static const int errors[] = {EIO, EIO, ENOSPC, EACCES, 0};
	int			call = random_to(6);

	set_rule(calls[call], call == 0 ? "pg_wal" : "",
			 errors[random_to(5)], random_to(2) == 0 ? 1 : 1 + random_to(20));
}

static void
play_archive(void)
{
	if (away)
		bring_back();
	else if (counted(&hanging) == 0 && !unsettled)
	{
		must(rename(in("archive"), in("elsewhere")) == 0);
		if (random_to(2) == 0)
			must(mkdir(in("archive"), 0700) == 0);
		away = true;
	}
}

/* All that is due is archived; a new timeline begins. */
static void
play_switch(int step)
{
	bring_back();
	no_rule();
	for (int i = 0; i < 20000 && oldest_due() >= 0; i++)
	{
		play_ask(step);
		if (unsettled)
			usleep(1000);		/* what was given up is coming back */
	}
	if (!ok(oldest_due() < 0, "step %d: all that is due is archived", step))
		diag("%d: %s", oldest_due(), err.message);
	close_ahead();
	must(threads_end());
	open_archive();
	open_ahead(2);
	check(step);
	for (int i = first_kept; i < made; i++)
		if (segments[i].acknowledged &&
			!is_whole(tli, i, (uint32_t) i))
			violated(step, "%d is not whole any more", i);
	for (int i = first_kept; i < made; i++)
	{
		(void) unlink(source_of(wal(tli, i)));
		set_due(wal(tli, i), false);
	}
	remove_tree(path_in_scratch("archive/wal/%08X00000000", tli));
	remove_tree(in("archive/damaged"));
	first_kept = made;
	tli++;
	unsettled = false;
}

static void
play_step(int step)
{
	int			what = random_to(100);

	if (what < 22)
		for (int n = random_to(6); n >= 0 && made < PLAYED_MAX &&
			 made - first_kept < 200; n--)
		{
			make_seeded(tli, made, (uint32_t) made);
			segments[made++].due = true;
		}
	else if (what < 78)
		play_ask(step);
	else if (what < 82)
		play_trouble();
	else if (what < 90)
		no_rule();
	else if (what < 92)
		play_archive();
	else if (what < 93 && !away && access(in("archive/tmp"), F_OK) == 0)
		remove_temporaries();
	else if (what < 95)
		play_vanish();
	else if (what < 97 && oldest_due() >= 0)
	{
		/* the same bytes, a new file or a new time */
		int			number = oldest_due() + random_to(3);

		if (number < made)
			write_file(source_of(wal(tli, number)),
					   bytes_of(tli, number, (uint32_t) number), SEG_1MB);
	}
	else if (what < 98)
		play_reopen(step, random_to(2) == 0);
	else if (what == 98 && random_to(5) == 0)
		play_switch(step);
	else
		make(0, -1);
}

static void
test_random(int steps, uint64_t seed)
{
	fresh(2);
	random_state = seed;
	make_seeded(tli, made, 0);
	segments[made++].due = true;
	must(ask(wal(tli, 0)) == WA_OK);	/* the directory becomes an archive */
	segments[0] = (Segment) {.acknowledged = true};
	for (int step = 0; step < steps; step++)
	{
		play_step(step);
		check(step);
	}
	play_switch(steps);
	is_int(violations, 0, "%d steps, seed %llu: %d segments, %d failures",
		   steps, (unsigned long long) seed, acknowledged, failures);
	ok(acknowledged > steps / 8 && failures > steps / 100,
	   "much was archived, and much failed");
	make_seeded(tli, made, 1);
	must(ask(wal(tli, made)) == WA_OK);
	close_ahead();
	nothing_left("at the end");
}

static void *
note_thread(void *tid)
{
	*(int *) tid = gettid();
	return NULL;
}

/* Those that are there without us; a sanitizer has one, from the first on. */
static void
count_threads_before(void)
{
	pthread_t	thread;
	char		task[64];
	int			tid;

	must(pthread_create(&thread, NULL, note_thread, &tid) == 0);
	must(pthread_join(thread, NULL) == 0);
	snprintf(task, sizeof(task), "/proc/self/task/%d", tid);
	for (int i = 0; i < BOUND; i++)
		if (access(task, F_OK) != 0)
			break;
	threads_before = count_threads();
}

/* A question at a bad moment. */
static void
test_corners(void)
{
	static const char history[] = "1\t0/800000\tx\n";

	/* what is asked is staged, and the only worker hangs further on */
	fresh(1);
	make(0, 4);
	must(ask(wal(1, 0)) == WA_OK);
	set_rule("open", wal(1, 4), 0, 1);
	must(begin(wal(1, 1)) == WA_OK);
	must(becomes(&hanging, 1));
	must(wa_lookahead_answered(ahead, ++clock_ms, TIMEOUT_MS));
	is_code(take_answer(), WA_OK, &err, "the one before");
	must(begin(wal(1, 2)) == WA_OK);
	clock_ms += TIMEOUT_MS + 1;
	ok(wa_lookahead_answered(ahead, clock_ms, TIMEOUT_MS), "nobody can commit");
	is_code(take_answer(), WA_STUCK, &err, "and that is the answer");
	ok(!there(wal(1, 2)), "it is not visible");
	no_rule();
	is_code(ask_again(wal(1, 2)), WA_OK, &err, "when the worker is back");

	/* given up when it is done already */
	write_file(source_of("00000002.history"), history, strlen(history));
	set_due("00000002.history", true);
	drain();
	tasks = 0;
	must(begin("00000002.history") == WA_OK);
	tasks_become(1);
	wa_lookahead_give_up(ahead);
	is_code(ask("00000002.history"), WA_OK, &err,
			"a question that nobody has waited for");
	is_int(result.outcome, WA_PUSH_IDENTICAL, "is asked once more");

	/* the one before a full window is asked for after all */
	fresh(1);
	make(0, 8);
	must(ask(wal(1, 0)) == WA_OK);
	must(begin(wal(1, 5)) == WA_OK);
	tasks_become(1 + WA_AHEAD_PER_WORKER);
	is_code(ask(wal(1, 4)), WA_OK, &err, "the one before a full window");
	for (int number = 5; number <= 8; number++)
		is_code(ask(wal(1, number)), WA_OK, &err, "and %d behind it", number);

	/* what cannot be a segment has none behind it */
	set_due("0000000100000000FFFFFFFF", true);
	is_code(ask("0000000100000000FFFFFFFF"), WA_INVALID, &err,
			"a name that no segment has");
	nothing_staged("bad moments");
}

/* Arguments: another seed for what is played at random, and how many steps. */
int
main(int argc, char **argv)
{
	scratch();
	count_threads_before();
	/* whatever hangs ends here */
	alarm(600 + (argc > 2 ? (unsigned) atoi(argv[2]) / 10 : 0));
	test_order();
	test_window();
	test_level();
	test_wrong_guess();
	test_vanished();
	test_source();
	test_other_kinds();
	test_failure();
	test_sync();
	test_archive_changes();
	test_memory();
	test_existing();
	test_hanging();
	test_corners();
	test_close();
	test_sweep();
	test_random(argc > 2 ? atoi(argv[2]) : 3000,
				argc > 1 ? strtoull(argv[1], NULL, 10) : 4711);
	test_streamed();
	wa_archive_close(archive);
	return done_testing();
}
