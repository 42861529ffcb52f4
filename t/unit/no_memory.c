/*
 * no_memory.c
 *	  Archiving ahead and fetching ahead when the n-th allocation fails, or the
 *	  n-th thread cannot be had, for every n: what is acknowledged is there,
 *	  what is handed over is right, nothing is leaked, and the next try
 *	  succeeds.
 */
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive/handover.h"
#include "archive/lookahead.h"
#include "archive/prefetch.h"
#include "fixture.h"
#include "memory.h"
#include "tap.h"

#define SEGMENTS	6
#define CALLS_MAX	1000
#define BOUND		20000		/* polls of 1 ms at most */

static unsigned char segments[SEGMENTS][SEG_1MB];
static WaWalName names[SEGMENTS];
static WaControlFile control;
static WaError err;

static uint64_t
now_ms(void)
{
	return test_clock_us() / 1000;
}

static void
make_segments(void)
{
	must(mkdir("pg_wal", 0700) == 0 &&
		 mkdir("pg_wal/archive_status", 0700) == 0 &&
		 mkdir("files", 0700) == 0);
	for (int i = 0; i < SEGMENTS; i++)
	{
		char		text[WA_WALNAME_BYTES];

		wa_segment_name(text, 1, (uint64_t) i + 1, SEG_1MB);
		must(wa_walname_parse(text, &names[i], &err) == WA_OK);
		make_segment(segments[i], SEG_1MB, text, SYSID, (uint32_t) i);
		write_file(path_in_scratch("pg_wal/%s", text), segments[i], SEG_1MB);
	}
	control = (WaControlFile) {
		.system_identifier = SYSID,.version = 1300,.known = true,
		.segment_bytes = SEG_1MB
	};
}

static void
fresh(void)
{
	remove_tree("archive");
	(void) unlink("walarch.known");
	must(mkdir("archive", 0700) == 0);
	for (int i = 0; i < SEGMENTS; i++)
		write_file(path_in_scratch("pg_wal/archive_status/%s.ready",
								   names[i].text), "", 0);
}

static bool
is_stored(int i)
{
	return access(path_in_scratch("archive/wal/0000000100000000/%s.zst",
								  names[i].text), F_OK) == 0;
}

/* ---- archiving ---- */

static WaCode
archive_one(WaLookahead *ahead, int i)
{
	WaAheadRequest request = {
		.file = names[i].text,.level = 1,.catchup_level = 1
	};
	struct pollfd event = {.events = POLLIN};
	WaPushResult result;
	char		path[100];

	snprintf(path, sizeof(path), "pg_wal/%s", names[i].text);
	request.path = path;
	if (wa_lookahead_ask(ahead, &request, &err) != WA_OK)
		return err.code;
	event.fd = wa_lookahead_event_fd(ahead);
	for (int n = 0; n < BOUND; n++)
	{
		if (wa_lookahead_answered(ahead, now_ms(), 60000))
			return wa_lookahead_answer(ahead, &result, &err);
		(void) poll(&event, 1, 1);
		wa_lookahead_drain_events(ahead);
	}
	must(!"an answer in time");
	return WA_OK;
}

/* In PostgreSQL's place: in order, and no further than the first failure. */
static WaCode
archive_all(int *acknowledged)
{
	WaArchiveConfig config;
	WaArchive  *archive;
	WaLookahead *ahead = NULL;
	WaCode		code = WA_OK;

	*acknowledged = 0;
	archive_config(&config, path_in_scratch("archive"), SEG_1MB);
	archive = wa_archive_open(&config);
	if (archive != NULL)
		ahead = wa_lookahead_open(archive, 2);
	if (ahead == NULL)
		code = wa_fail(&err, WA_NO_MEMORY, "out of memory");
	for (int i = 0; i < SEGMENTS && code == WA_OK; i++)
	{
		/* one changes when it has been staged, and is begun anew */
		for (int n = 0; i == 2 && n < 100 && count_names("archive/tmp") < 2; n++)
			(void) poll(NULL, 0, 1);
		if (i == 2)
			must(chmod(path_in_scratch("pg_wal/%s", names[i].text), 0600) == 0);
		code = archive_one(ahead, i);
		*acknowledged += code == WA_OK;
		(void) unlink(path_in_scratch("pg_wal/archive_status/%s.ready",
									  names[i].text));
	}
	wa_lookahead_close(ahead, 60000);
	wa_archive_close(archive);
	return code;
}

static void
test_archiving(void)
{
	int			live;
	int			acknowledged;
	int			n = 0;
	int			failed = 0;
	int			lied = 0;
	int			leaked = 0;
	int			unhealed = 0;
	bool		fired = true;

	fresh();
	is_code(archive_all(&acknowledged), WA_OK, &err, "archiving");
	live = memory_live(0);
	while (fired && n < CALLS_MAX)
	{
		WaCode		code;

		fresh();
		memory_begin(++n);
		code = archive_all(&acknowledged);
		fired = memory_end();
		failed += code != WA_OK;
		if (code != WA_OK && code != WA_NO_MEMORY && lied++ == 0)
			diag("allocation %d: \"%s\", %s", n, wa_code_name(code),
				 err.message);
		for (int i = 0; i < acknowledged; i++)
			if (!is_stored(i) && lied++ == 0)
				diag("allocation %d: acknowledged, and not there", n);
		for (int i = acknowledged + 1; i < SEGMENTS; i++)
			if (is_stored(i) && lied++ == 0)
				diag("allocation %d: visible before its turn", n);
		if (memory_live(live) > live && leaked++ == 0)
			diag("allocation %d: %d blocks more", n, memory_live(live) - live);
		if (archive_all(&acknowledged) != WA_OK && unhealed++ == 0)
			diag("after allocation %d: %s", n, err.message);
	}
	ok(n > 20 && n < CALLS_MAX, "archiving: %d allocations", n - 1);
	ok(failed > 5, "of which %d matter", failed);
	is_int(lied, 0, "in order, and acknowledged when there");
	is_int(leaked, 0, "no leak");
	is_int(unhealed, 0, "the next try succeeds");
}

/* ---- fetching ahead ---- */

static bool
fd_is(int fd, int segment)
{
	static unsigned char bytes[SEG_1MB];

	return pread(fd, bytes, SEG_1MB, 0) == SEG_1MB &&
		memcmp(bytes, segments[segment], SEG_1MB) == 0;
}

/* How many were handed over; -1: a wrong one. */
static int
fetch_all(void)
{
	WaPrefetchConfig config = {
		.window = 3,.threads = 2,.last = UINT64_MAX,
		.fetch = {.control = &control,.mode = 0600}
	};
	struct pollfd event = {.events = POLLIN};
	WaPrefetch *prefetch;
	int			taken = 0;

	store_options(&config.fetch.store);
	config.fetch.archive = path_in_scratch("archive");
	config.dir_fd = open("files", O_RDONLY | O_DIRECTORY);
	must(config.dir_fd >= 0);
	prefetch = wa_prefetch_open(&config);
	if (prefetch == NULL)
	{
		close(config.dir_fd);
		return 0;
	}
	event.fd = wa_prefetch_event_fd(prefetch);
	wa_prefetch_move(prefetch, &names[0]);
	for (int i = 1; i < SEGMENTS && taken >= 0; i++)
	{
		WaPrefetchTake take;
		int			fd = -1;

		wa_prefetch_work(prefetch, 1);
		while ((take = wa_prefetch_take(prefetch, &names[i], &fd)) ==
			   WA_PREFETCH_WORKING)
		{
			(void) poll(&event, 1, 1);
			wa_prefetch_work(prefetch, 1);
		}
		if (take == WA_PREFETCH_TAKEN)
		{
			taken = fd_is(fd, i) ? taken + 1 : -1;
			close(fd);
		}
		wa_prefetch_move(prefetch, &names[i]);
	}
	wa_prefetch_close(prefetch);
	close(config.dir_fd);
	return taken;
}

static void
test_fetching(void)
{
	int			live;
	int			acknowledged;
	int			n = 0;
	int			wrong = 0;
	int			without = 0;
	int			leaked = 0;
	bool		fired = true;

	fresh();
	must(archive_all(&acknowledged) == WA_OK);
	is_int(fetch_all(), SEGMENTS - 1, "fetching ahead");
	live = memory_live(0);
	while (fired && n < CALLS_MAX)
	{
		int			taken;

		memory_begin(++n);
		taken = fetch_all();
		fired = memory_end();
		wrong += taken < 0;
		without += taken < SEGMENTS - 1;
		if (memory_live(live) > live && leaked++ == 0)
			diag("allocation %d: %d blocks more", n, memory_live(live) - live);
	}
	ok(n > 20 && n < CALLS_MAX, "fetching: %d allocations", n - 1);
	is_int(wrong, 0, "nothing wrong is handed over");
	ok(without > 3, "and nothing at all where memory was missing: %d", without);
	is_int(leaked, 0, "no leak");
	is_int(fetch_all(), SEGMENTS - 1, "the next try succeeds");
	is_int(count_names("files"), 0, "no file is left");
}

static void
test_key(void)
{
	WaPostmaster postmaster = {.pid = 1};
	const char *words[] = {"a"};
	char		key[WA_HANDOVER_KEY_BYTES];

	memory_begin(1);
	ok(!wa_handover_key(&postmaster, SYSID, words, 1, key),
	   "no name for a socket");
	ok(memory_end(), "since there was no memory");
	ok(wa_handover_key(&postmaster, SYSID, words, 1, key), "and with some");
}

int
main(void)
{
	scratch();
	make_segments();
	test_archiving();
	test_fetching();
	test_key();
	return done_testing();
}
