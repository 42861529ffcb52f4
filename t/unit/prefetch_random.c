/*
 * prefetch_random.c
 *	  Fetching ahead, driven at random in PostgreSQL's place: restore commands
 *	  that ask in order or not, on two timelines, and may go away; objects that
 *	  are damaged, missing and mended; a store that is slow, fails and hangs; a
 *	  keeper that ends at any moment.  Whatever changes hands is the very segment
 *	  that was asked for, what is held stays within its bounds, and at the end
 *	  neither a descriptor nor a thread is left.
 *
 * Arguments: a seed, and how many steps.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive/handover.h"
#include "archive/prefetch.h"
#include "archive/push.h"
#include "fixture.h"
#include "tap.h"

#define TIMELINES	2
#define SEGMENTS	24			/* of each, from 1 on */
#define CLIENTS		2
#define WAITING_MAX	4
#define WINDOW_MOST	8
#define THREADS_MOST	2
/* each file, task, client, and what a fetch opens */
#define FDS_MOST	(WINDOW_MOST + 2 * THREADS_MOST + 6 * THREADS_MOST + \
					 WAITING_MAX + 3 * CLIENTS + 16)

static unsigned char *bytes_of[TIMELINES][SEGMENTS];
static WaWalName names[TIMELINES][SEGMENTS];
static bool spoilt[TIMELINES][SEGMENTS];
static WaControlFile control;
static char archive[512];
static char key[WA_HANDOVER_KEY_BYTES];

/* ---- trouble ---------------------------------------------------------------- */

/* For the threads that fetch; the others are no part of the play. */
static __thread bool bystander;
static atomic_int slow_us;		/* each call takes up to so long */
static atomic_int fail_with;	/* the call that counts down to 0 */
static atomic_int fail_in;
static atomic_bool hang;		/* whoever comes stays until that is over */
static atomic_int hanging;
static atomic_uint dice = 1;

static unsigned
throw_dice(void)
{
	unsigned	value = atomic_fetch_add(&dice, 0x9E3779B9u);

	value = (value ^ value >> 16) * 0x85EBCA6Bu;
	value = (value ^ value >> 13) * 0xC2B2AE35u;
	return value ^ value >> 16;
}

/* An errno, or 0. */
static int
trouble(void)
{
	int			us = atomic_load(&slow_us);

	if (bystander)
		return 0;
	if (us > 0)
		usleep(throw_dice() % (unsigned) us);
	if (atomic_load(&hang))
	{
		atomic_fetch_add(&hanging, 1);
		while (atomic_load(&hang))
			usleep(500);
		atomic_fetch_sub(&hanging, 1);
	}
	if (atomic_load(&fail_in) > 0 && atomic_fetch_sub(&fail_in, 1) == 1)
		return atomic_load(&fail_with);
	return 0;
}

#define REAL(type, name, ...) \
	static type (*real_##name) (__VA_ARGS__); \
	if (__atomic_load_n(&real_##name, __ATOMIC_RELAXED) == NULL) \
		__atomic_store_n(&real_##name, (type (*) (__VA_ARGS__)) \
						 dlsym(RTLD_NEXT, #name), __ATOMIC_RELAXED)
#define FAILS()	((errno = trouble()) != 0)

int
openat(int dir, const char *path, int flags,...)
{
	va_list		args;
	mode_t		mode = 0;

	REAL(int, openat, int, const char *, int, ...);
	va_start(args, flags);
	if ((flags & (O_CREAT | O_TMPFILE)) != 0)
		mode = (mode_t) va_arg(args, int);
	va_end(args);
	return FAILS() ? -1 : real_openat(dir, path, flags, mode);
}

ssize_t
pread(int fd, void *data, size_t length, off_t offset)
{
	REAL(ssize_t, pread, int, void *, size_t, off_t);
	return FAILS() ? -1 : real_pread(fd, data, length, offset);
}

ssize_t
write(int fd, const void *data, size_t length)
{
	REAL(ssize_t, write, int, const void *, size_t);
	/* an event of the pool is no file */
	return length > sizeof(uint64_t) && FAILS() ? -1 :
		real_write(fd, data, length);
}

/* No disk is asked. */
int
fsync(int fd)
{
	return FAILS() ? -1 : 0;
}

/* ---- what there is ---------------------------------------------------------- */

static void
make_archive(void)
{
	WaArchiveConfig settings;
	WaArchive  *opened;
	WaBench    *bench = wa_bench_open();
	WaPushResult result;
	WaError		err;

	must(mkdir("archive", 0700) == 0 && mkdir("files", 0700) == 0 &&
		 mkdir("aside", 0700) == 0);
	snprintf(archive, sizeof(archive), "%s", path_in_scratch("archive"));
	archive_config(&settings, archive, SEG_1MB);
	opened = wa_archive_open(&settings);
	must(opened != NULL && bench != NULL);
	for (int tli = 0; tli < TIMELINES; tli++)
		for (int i = 0; i < SEGMENTS; i++)
		{
			char		text[WA_WALNAME_BYTES];

			bytes_of[tli][i] = malloc(SEG_1MB);
			must(bytes_of[tli][i] != NULL);
			wa_segment_name(text, (uint32_t) tli + 1, (uint64_t) i + 1,
							SEG_1MB);
			must(wa_walname_parse(text, &names[tli][i], &err) == WA_OK);
			make_segment(bytes_of[tli][i], SEG_1MB, text, SYSID,
						 (uint32_t) (tli * SEGMENTS + i));
			write_file("source", bytes_of[tli][i], SEG_1MB);
			must(wa_push(opened, bench, NULL, 1, text, "source", 0, &result,
						 &err) == WA_OK);
		}
	wa_archive_close(opened);
	wa_bench_close(bench);
	control = (WaControlFile) {
		.system_identifier = SYSID,.version = 1300,.known = true,
		.segment_bytes = SEG_1MB
	};
}

static const char *
object_of(int tli, int i)
{
	return path_in_scratch("archive/wal/%08X00000000/%s.zst", tli + 1,
						   names[tli][i].text);
}

static const char *
aside_of(int tli, int i)
{
	return path_in_scratch("aside/%s", names[tli][i].text);
}

/* Missing, cut short, or with a byte changed: another file, as ever. */
static void
spoil(int tli, int i)
{
	size_t		length;
	unsigned char *object;

	if (spoilt[tli][i])
		return;
	spoilt[tli][i] = true;
	must(rename(object_of(tli, i), aside_of(tli, i)) == 0);
	if (throw_dice() % 3 == 0)
		return;
	object = read_file(aside_of(tli, i), &length);
	must(object != NULL && length > 0);
	if (throw_dice() % 2 == 0)
		length = throw_dice() % length;
	else
		object[throw_dice() % length] ^= (unsigned char) (1 + throw_dice() % 255);
	write_file(object_of(tli, i), object, length);
	free(object);
}

static void
mend(int tli, int i)
{
	if (spoilt[tli][i])
		must(rename(aside_of(tli, i), object_of(tli, i)) == 0);
	spoilt[tli][i] = false;
}

/* ---- restore commands ------------------------------------------------------- */

static atomic_bool over;
static atomic_int got;
static atomic_int went_without;
static atomic_int wrong;

/* Is it that segment, without a name? */
static bool
is_segment(int fd, int tli, int i)
{
	unsigned char *bytes = malloc(SEG_1MB);
	struct stat st;
	bool		good;

	must(bytes != NULL);
	good = fstat(fd, &st) == 0 && st.st_size == SEG_1MB && st.st_nlink == 0 &&
		pread(fd, bytes, SEG_1MB, 0) == SEG_1MB &&
		memcmp(bytes, bytes_of[tli][i], SEG_1MB) == 0;
	free(bytes);
	return good;
}

/* Where recovery is; all restore commands are of the same. */
static atomic_int place;

/* It recovers, for the most part in order, and is not always patient. */
static void *
client(void *arg)
{
	bystander = true;
	while (!atomic_load(&over))
	{
		unsigned	what = throw_dice() % 100;
		int			at = atomic_fetch_add(&place, what < 90) + 1;
		int			tli;
		int			i;
		int			fd = -1;

		if (what < 3)
		{
			at = (int) (throw_dice() % (TIMELINES * SEGMENTS));
			atomic_store(&place, at);
		}
		tli = at / SEGMENTS % TIMELINES;
		i = at % SEGMENTS;
		if (what < 8)
			(void) wa_handover_tell(key, &names[tli][i]);
		if (!wa_handover_take(key, &names[tli][i],
							  what < 20 ? 1 : (int) (throw_dice() % 40), &fd))
			usleep(1000);		/* nobody is there now */
		if (fd < 0)
			atomic_fetch_add(&went_without, 1);
		else
		{
			atomic_fetch_add(is_segment(fd, tli, i) ? &got : &wrong, 1);
			close(fd);
		}
		if (what > 95)
			usleep(throw_dice() % 5000);
	}
	return arg;
}

/* ---- the keeper ------------------------------------------------------------- */

static WaPrefetchConfig config;
static WaPrefetch *prefetch;
static int	listener = -1;
static uint64_t clock_ms = 1;
static int	most_held;
static int	most_fds;

static struct
{
	int			client;
	WaWalName	name;
}			waiting[WAITING_MAX];
static int	waiting_count;

static void
open_keeper(void)
{
	memset(&config, 0, sizeof(config));
	store_options(&config.fetch.store);
	config.fetch.archive = archive;
	config.fetch.control = &control;
	config.fetch.mode = 0600;
	config.dir_fd = open("files", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	config.window = 1 + (int) (throw_dice() % WINDOW_MOST);
	config.threads = 1 + (int) (throw_dice() % THREADS_MOST);
	config.last = throw_dice() % 4 == 0 ? throw_dice() % SEGMENTS : UINT64_MAX;
	prefetch = wa_prefetch_open(&config);
	listener = wa_handover_listen(key);
	must(config.dir_fd >= 0 && prefetch != NULL && listener >= 0);
}

static void
close_keeper(void)
{
	atomic_store(&hang, false);
	while (waiting_count > 0)
		wa_handover_answer(waiting[--waiting_count].client, -1);
	close(listener);
	wa_prefetch_close(prefetch);
	close(config.dir_fd);
}

/* As "walarch prefetch" does it. */
static void
answer(int to, const WaWalName *name)
{
	int			fd = -1;
	WaPrefetchTake taken = wa_prefetch_take(prefetch, name, &fd);

	if (taken == WA_PREFETCH_WORKING && waiting_count < WAITING_MAX)
	{
		waiting[waiting_count].client = to;
		waiting[waiting_count++].name = *name;
	}
	else
		wa_handover_answer(to, fd);
}

static void
serve(void)
{
	WaWalName	name;
	int			from;
	int			count;

	while (wa_handover_request(listener, &name, &from))
	{
		if (from >= 0)
			answer(from, &name);
		wa_prefetch_move(prefetch, &name);
	}
	wa_prefetch_work(prefetch, clock_ms);
	count = waiting_count;
	waiting_count = 0;
	for (int i = 0; i < count; i++)
	{
		name = waiting[i].name;
		answer(waiting[i].client, &name);
	}
	if (waiting_count > 0 && throw_dice() % 3 == 0 &&
		!wa_prefetch_stuck(prefetch, clock_ms, 50))
		for (int i = 0; i < waiting_count; i++)
			wa_handover_hold_on(waiting[i].client);
}

static int
count_fds(void)
{
	return count_names("/proc/self/fd");
}

static void
play_step(void)
{
	static const int errors[] = {EIO, ENOSPC, EDQUOT, EACCES, ESTALE, EMFILE};
	struct pollfd events[] = {
		{.fd = listener,.events = POLLIN},
		{.fd = wa_prefetch_event_fd(prefetch),.events = POLLIN}
	};
	int			tli = (int) (throw_dice() % TIMELINES);
	int			i = (int) (throw_dice() % SEGMENTS);
	unsigned	what = throw_dice() % 150;
	int			held;

	(void) poll(events, 2, (int) (throw_dice() % 3));
	clock_ms += throw_dice() % 20;
	serve();
	if (what < 6)
		spoil(tli, i);
	else if (what < 26)
		mend(tli, i);
	else if (what < 28)
	{
		atomic_store(&fail_with, errors[throw_dice() % 6]);
		atomic_store(&fail_in, 1 + (int) (throw_dice() % 30));
	}
	else if (what < 30)
		atomic_store(&slow_us, (int) (throw_dice() % 1000));
	else if (what < 40)
		atomic_store(&slow_us, 0);
	else if (what < 41)
		atomic_store(&hang, true);
	else if (what < 50)
		atomic_store(&hang, false);
	else if (what < 56)
		clock_ms += 40000;		/* a full disk is tried again */
	else if (what < 57)
	{
		close_keeper();
		open_keeper();
	}
	held = wa_prefetch_holds(prefetch);
	if (held > most_held)
		most_held = held;
	if (throw_dice() % 16 == 0 && count_fds() > most_fds)
		most_fds = count_fds();
}

/* ---- the whole -------------------------------------------------------------- */

static void *
note_thread(void *tid)
{
	*(int *) tid = gettid();
	return NULL;
}

/* Those that are there without us; a sanitizer has one, from the first on. */
static int
count_threads_before(void)
{
	pthread_t	thread;
	char		task[64];
	int			tid;

	must(pthread_create(&thread, NULL, note_thread, &tid) == 0);
	must(pthread_join(thread, NULL) == 0);
	snprintf(task, sizeof(task), "/proc/self/task/%d", tid);
	for (int i = 0; i < 2000 && access(task, F_OK) == 0; i++)
		usleep(1000);
	return count_threads();
}

/* Undisturbed it serves everything. */
static void
test_all_served(void)
{
	int			served = 0;

	atomic_store(&slow_us, 0);
	atomic_store(&fail_in, 0);
	atomic_store(&hang, false);
	for (int tli = 0; tli < TIMELINES; tli++)
		for (int i = 0; i < SEGMENTS; i++)
			mend(tli, i);
	close_keeper();
	open_keeper();
	wa_prefetch_close(prefetch);
	config.last = UINT64_MAX;
	prefetch = wa_prefetch_open(&config);
	must(prefetch != NULL);
	wa_prefetch_move(prefetch, &names[1][0]);
	for (int i = 1; i < SEGMENTS; i++)
	{
		WaPrefetchTake taken = WA_PREFETCH_MISSING;
		int			fd = -1;

		for (int try = 0; try < 20000 && taken != WA_PREFETCH_TAKEN; try++)
		{
			wa_prefetch_work(prefetch, clock_ms);
			taken = wa_prefetch_take(prefetch, &names[1][i], &fd);
			if (taken != WA_PREFETCH_TAKEN)
				usleep(1000);
		}
		if (taken != WA_PREFETCH_TAKEN)
			break;
		served += is_segment(fd, 1, i);
		close(fd);
		wa_prefetch_move(prefetch, &names[1][i]);
	}
	is_int(served, SEGMENTS - 1, "left alone, it serves every segment");
}

int
main(int argc, char **argv)
{
	const WaPostmaster postmaster = {
		.pid = getpid(),.started = (uint64_t) getpid()
	};
	unsigned	seed = argc > 1 ? (unsigned) strtoul(argv[1], NULL, 10) : 4711;
	int			steps = argc > 2 ? atoi(argv[2]) : 3000;
	pthread_t	clients[CLIENTS];
	int			fds_before;
	int			threads_before;

	bystander = true;
	scratch();
	alarm(600 + (unsigned) steps / 20);	/* whatever hangs ends here */
	threads_before = count_threads_before();
	make_archive();
	must(wa_handover_key(&postmaster, SYSID, NULL, 0, key));
	atomic_store(&dice, seed);
	fds_before = count_fds();

	open_keeper();
	for (int i = 0; i < CLIENTS; i++)
		must(pthread_create(&clients[i], NULL, client, NULL) == 0);
	for (int step = 0; step < steps; step++)
		play_step();
	atomic_store(&over, true);
	atomic_store(&hang, false);
	for (int i = 0; i < CLIENTS; i++)
		must(pthread_join(clients[i], NULL) == 0);

	is_int(atomic_load(&wrong), 0, "%d steps, seed %u: %d segments changed "
		   "hands, each the one asked for, and %d requests got none", steps,
		   seed, atomic_load(&got), atomic_load(&went_without));
	/* how many is a question of the machine */
	ok(atomic_load(&got) > 0, "some did");
	ok(most_held <= WINDOW_MOST + 2 * THREADS_MOST, "%d held at most",
	   most_held);
	ok(most_fds <= fds_before + FDS_MOST, "%d descriptors at most, %d before",
	   most_fds, fds_before);
	is_int(count_names("files"), 0, "none of them ever got a name");
	test_all_served();
	close_keeper();
	is_int(count_fds(), fds_before, "no descriptor is left");
	for (int i = 0; i < 2000 && count_threads() != threads_before; i++)
		usleep(1000);
	is_int(count_threads(), threads_before, "and no thread");
	for (int tli = 0; tli < TIMELINES; tli++)
		for (int i = 0; i < SEGMENTS; i++)
			free(bytes_of[tli][i]);
	return done_testing();
}
