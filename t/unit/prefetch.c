/*
 * prefetch.c
 *	  Segments are fetched ahead with the proofs of a fetch, into files without
 *	  names, and change hands once; what is damaged or missing never does.
 */
#include "archive/prefetch.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "archive/handover.h"
#include "archive/push.h"
#include "archive/unnamed.h"
#include "fixture.h"
#include "tap.h"

#define SEGMENTS	12

static unsigned char segments[SEGMENTS][SEG_1MB];
static WaWalName names[SEGMENTS];	/* number i is segment i + 1 */
static WaControlFile control;
static WaPrefetchConfig config;
static WaError err;

static void
make_archive(void)
{
	WaArchiveConfig settings;
	WaArchive  *archive;
	WaBench    *bench = wa_bench_open();
	WaPushResult result;
	char		text[WA_WALNAME_BYTES];

	must(mkdir("archive", 0700) == 0 && mkdir("files", 0700) == 0);
	archive_config(&settings, path_in_scratch("archive"), SEG_1MB);
	archive = wa_archive_open(&settings);
	for (int i = 0; i < SEGMENTS; i++)
	{
		wa_segment_name(text, 1, (uint64_t) i + 1, SEG_1MB);
		must(wa_walname_parse(text, &names[i], &err) == WA_OK);
		make_segment(segments[i], SEG_1MB, text, SYSID, (uint32_t) i);
		write_file("source", segments[i], SEG_1MB);
		must(wa_push(archive, bench, NULL, 3, text, "source", 0, &result,
					 &err) == WA_OK);
	}
	wa_archive_close(archive);
	wa_bench_close(bench);
	control = (WaControlFile) {
		.system_identifier = SYSID, .version = 1300, .known = true,
		.segment_bytes = SEG_1MB
	};
}

static void
configure(int window, int threads)
{
	static char path[512];

	snprintf(path, sizeof(path), "%s", path_in_scratch("archive"));
	memset(&config, 0, sizeof(config));
	store_options(&config.fetch.store);
	config.fetch.archive = path;
	config.fetch.control = &control;
	config.fetch.mode = 0640;
	config.dir_fd = open("files", O_RDONLY | O_DIRECTORY);
	config.window = window;
	config.threads = threads;
	config.last = UINT64_MAX;
}

/* Let it work until it holds so many, or a bound. */
static int
work_until(WaPrefetch *prefetch, int count)
{
	struct pollfd event = {.events = POLLIN};

	event.fd = wa_prefetch_event_fd(prefetch);
	for (int i = 0; i < 200; i++)
	{
		wa_prefetch_work(prefetch, 1);
		if (poll(&event, 1, 50) == 0 && wa_prefetch_holds(prefetch) == count)
			break;
	}
	return wa_prefetch_holds(prefetch);
}

static bool
fd_is(int fd, int segment)
{
	static unsigned char bytes[SEG_1MB];

	return fd >= 0 && pread(fd, bytes, SEG_1MB, 0) == SEG_1MB &&
		memcmp(bytes, segments[segment], SEG_1MB) == 0;
}

static void
test_fetch(int threads)
{
	WaPrefetch *prefetch;
	struct stat st;
	int			good = 0;
	int			fd = -1;

	configure(4, threads);
	prefetch = wa_prefetch_open(&config);
	is_int(wa_prefetch_take(prefetch, &names[0], &fd), WA_PREFETCH_MISSING,
		   "%d threads: nothing at first", threads);
	wa_prefetch_move(prefetch, &names[0]);
	is_int(work_until(prefetch, 4), 4, "as many as the window");
	is_int(count_names("files"), 0, "and no name");
	for (int i = 1; i < SEGMENTS; i++)
	{
		WaPrefetchTake taken;

		while ((taken = wa_prefetch_take(prefetch, &names[i], &fd)) ==
			   WA_PREFETCH_WORKING)
			wa_prefetch_work(prefetch, 1);
		if (taken == WA_PREFETCH_TAKEN && fd_is(fd, i))
			good++;
		if (i == 1)
		{
			must(fstat(fd, &st) == 0);
			is_int(st.st_mode & 0777, 0640, "its mode");
			is_int(st.st_nlink, 0, "it has no name");
		}
		close(fd);
		is_int(wa_prefetch_take(prefetch, &names[i], &fd),
			   WA_PREFETCH_MISSING, "taken once");
		wa_prefetch_move(prefetch, &names[i]);
		wa_prefetch_work(prefetch, 1);
	}
	is_int(good, SEGMENTS - 1, "all of them, the very bytes");
	wa_prefetch_close(prefetch);
	close(config.dir_fd);
}

static void
test_damage(void)
{
	WaPrefetch *prefetch;
	size_t		length;
	char		object[256];
	unsigned char *bytes;
	int			fd = -1;

	snprintf(object, sizeof(object), "archive/wal/0000000100000000/%s.zst",
			 names[3].text);
	bytes = read_file(object, &length);
	must(bytes != NULL);
	bytes[length / 2] ^= 0xFF;
	write_file(object, bytes, length);

	configure(8, 2);
	prefetch = wa_prefetch_open(&config);
	wa_prefetch_move(prefetch, &names[0]);
	is_int(work_until(prefetch, 2), 2, "two before a damaged one, none after");
	is_int(wa_prefetch_take(prefetch, &names[3], &fd), WA_PREFETCH_MISSING,
		   "the damaged one is not there");
	bytes[length / 2] ^= 0xFF;
	write_file(object, bytes, length);
	free(bytes);
	wa_prefetch_move(prefetch, &names[1]);
	is_int(work_until(prefetch, 8), 8, "mended: fetched after the next question");
	wa_prefetch_close(prefetch);
	close(config.dir_fd);

	configure(8, 2);
	config.last = 5;
	prefetch = wa_prefetch_open(&config);
	wa_prefetch_move(prefetch, &names[0]);
	is_int(work_until(prefetch, 4), 4, "none after the last one");
	wa_prefetch_move(prefetch, &names[11]);
	is_int(work_until(prefetch, 0), 0, "a leap: nothing of it stays");
	wa_prefetch_close(prefetch);
	close(config.dir_fd);

	configure(8, 2);
	control.system_identifier++;
	prefetch = wa_prefetch_open(&config);
	wa_prefetch_move(prefetch, &names[0]);
	is_int(work_until(prefetch, 0), 0, "another cluster's archive: nothing");
	wa_prefetch_close(prefetch);
	control.system_identifier--;
	close(config.dir_fd);
}

/* A file without a name, of these bytes. */
static int
unnamed_file(const void *data, size_t length)
{
	int			fd = open("files", O_TMPFILE | O_RDWR, 0600);

	must(fd >= 0 && write(fd, data, length) == (ssize_t) length);
	return fd;
}

static bool
wanted(void)
{
	return true;
}

static bool
unwanted(void)
{
	return false;
}

static void
test_delivery(void)
{
	WaWalExpect expect = {
		.name = &names[2],.system_identifier = SYSID,.segment_bytes = SEG_1MB
	};
	WaDestination destination = {.path = "delivered",.still_wanted = wanted};
	unsigned char bytes[WA_WALHEADER_BYTES];
	const char *why;
	int			fd;

	ok(wa_unnamed_serves("files", ".", &why), "a directory serves");
	ok(!wa_unnamed_serves("source", ".", &why), "a file does not");
	ok(!wa_unnamed_serves("/proc", ".", &why), "nor another file system: %s",
	   why);

	fd = unnamed_file(segments[2], SEG_1MB - 1);
	ok(!wa_unnamed_deliver(fd, &expect, &destination), "too short");
	close(fd);
	fd = unnamed_file(segments[3], SEG_1MB);
	ok(!wa_unnamed_deliver(fd, &expect, &destination), "another segment");
	close(fd);
	fd = open("source", O_RDONLY);
	expect.name = &names[SEGMENTS - 1];
	ok(!wa_unnamed_deliver(fd, &expect, &destination), "one that has a name");
	expect.name = &names[2];
	close(fd);
	fd = open("files", O_RDONLY);
	ok(!wa_unnamed_deliver(fd, &expect, &destination), "a directory");
	close(fd);
	fd = unnamed_file(segments[2], SEG_1MB);
	expect.system_identifier++;
	ok(!wa_unnamed_deliver(fd, &expect, &destination), "another cluster");
	expect.system_identifier--;
	destination.still_wanted = unwanted;
	ok(!wa_unnamed_deliver(fd, &expect, &destination), "not wanted any more");
	destination.still_wanted = wanted;
	write_file("delivered", "old", 3);
	ok(!wa_unnamed_deliver(fd, &expect, &destination), "replaces nothing");
	ok(file_is("delivered", "old", 3), "what is there stays");
	must(unlink("delivered") == 0);
	ok(wa_unnamed_deliver(fd, &expect, &destination), "delivered");
	ok(file_is("delivered", segments[2], SEG_1MB), "the very bytes");
	must(pread(fd, bytes, sizeof(bytes), 0) == (ssize_t) sizeof(bytes));
	ok(!wa_unnamed_deliver(fd, &expect, &destination), "and not twice");
	close(fd);
}

/* A keeper that needs longer than anybody waits, and says so. */
static void *
slow_keeper(void *arg)
{
	struct pollfd asked = {.fd = *(int *) arg,.events = POLLIN};
	WaWalName	name;
	int			client;

	must(poll(&asked, 1, 10000) == 1);
	must(wa_handover_request(asked.fd, &name, &client) && client >= 0);
	for (int i = 0; i < 10; i++)
	{
		wa_handover_hold_on(client);
		must(poll(NULL, 0, 100) == 0);
	}
	wa_handover_answer(client, unnamed_file(segments[5], SEG_1MB));
	return NULL;
}

static void
test_hold_on(int listener, const char *key)
{
	pthread_t	keeper;
	int			fd;

	must(pthread_create(&keeper, NULL, slow_keeper, &listener) == 0);
	ok(wa_handover_take(key, &names[5], 500, &fd) && fd >= 0,
	   "what is being fetched is waited for");
	must(pthread_join(keeper, NULL) == 0);
	close(fd);
}

static void
test_handover(void)
{
	WaPostmaster postmaster = {.pid = getpid(),.started = (uint64_t) getpid()};
	const char *words[] = {"/archive", "8"};
	char		key[WA_HANDOVER_KEY_BYTES];
	char		other[WA_HANDOVER_KEY_BYTES];
	WaWalName	name;
	int			listener;
	int			client;
	int			fd;

	must(wa_handover_key(&postmaster, SYSID, words, 2, key));
	is_int(strlen(key), 16, "a key");
	must(wa_handover_key(&postmaster, SYSID, words, 1, other));
	ok(strcmp(key, other) != 0, "other words, another key");
	must(wa_handover_key(&postmaster, SYSID + 1, words, 2, other));
	ok(strcmp(key, other) != 0, "another cluster, another key");
	postmaster.inode++;
	must(wa_handover_key(&postmaster, SYSID, words, 2, other));
	ok(strcmp(key, other) != 0, "another start, another key");

	ok(!wa_handover_tell(key, &names[0]), "nobody listens");
	ok(!wa_handover_take(key, &names[0], 1, &fd) && fd == -1, "nobody gives");
	listener = wa_handover_listen(key);
	must(listener >= 0);
	is_int(wa_handover_listen(key), -1, "a second one cannot listen");
	ok(!wa_handover_request(listener, &name, &client), "no request yet");
	ok(wa_handover_tell(key, &names[4]), "told");
	ok(wa_handover_request(listener, &name, &client), "heard");
	is_str(name.text, names[4].text, "the name");
	is_int(client, -1, "no answer is wanted");
	ok(wa_handover_take(key, &names[5], 10, &fd) && fd == -1,
	   "no answer: nothing, after a while");
	ok(wa_handover_request(listener, &name, &client) && client >= 0,
	   "it was heard all the same");
	is_str(name.text, names[5].text, "the name");
	wa_handover_answer(client, unnamed_file(segments[5], SEG_1MB));
	test_hold_on(listener, key);
	close(listener);
	ok(!wa_handover_tell(key, &names[0]), "nobody listens any more");
}

/* What is held or on its way is of another timeline than what is asked for. */
static void
test_other_timeline(void)
{
	WaPrefetch *prefetch;
	WaWalName	other;
	char		text[WA_WALNAME_BYTES];
	int			fd = -1;

	configure(4, 2);
	prefetch = wa_prefetch_open(&config);
	must(prefetch != NULL);
	wa_prefetch_move(prefetch, &names[0]);
	wa_prefetch_work(prefetch, 1);
	for (int i = 1; i <= 4; i++)
	{
		wa_segment_name(text, 2, (uint64_t) i + 1, SEG_1MB);
		must(wa_walname_parse(text, &other, &err) == WA_OK);
		is_int(wa_prefetch_take(prefetch, &other, &fd), WA_PREFETCH_MISSING,
			   "segment %d of another timeline is not on its way", i);
	}
	is_int(work_until(prefetch, 4), 4, "four are held");
	for (int i = 1; i <= 4; i++)
	{
		wa_segment_name(text, 2, (uint64_t) i + 1, SEG_1MB);
		must(wa_walname_parse(text, &other, &err) == WA_OK);
		is_int(wa_prefetch_take(prefetch, &other, &fd), WA_PREFETCH_MISSING,
			   "segment %d of another timeline is not there", i);
	}
	is_int(fd, -1, "nothing changes hands");
	wa_prefetch_close(prefetch);
	close(config.dir_fd);
}

/* More threads than it has, names that cannot be, an end in the middle. */
static void
test_bounds(void)
{
	WaWalName	impossible = {
		.kind = WA_KIND_SEGMENT,.tli = 1,.seg = UINT32_MAX,
		.text = "0000000100000000FFFFFFFF"
	};
	WaPrefetch *prefetch;
	int			fd = -1;

	configure(2, 9);
	prefetch = wa_prefetch_open(&config);
	must(prefetch != NULL);
	is_int(wa_prefetch_take(prefetch, &impossible, &fd), WA_PREFETCH_MISSING,
		   "a name that cannot be");
	wa_prefetch_move(prefetch, &impossible);
	is_int(wa_prefetch_holds(prefetch), 0, "moves nothing");
	wa_prefetch_move(prefetch, &names[0]);
	wa_prefetch_work(prefetch, 1);
	is_int(wa_prefetch_holds(prefetch), 2, "two are being fetched");
	wa_prefetch_close(prefetch);
	wa_prefetch_close(NULL);
	close(config.dir_fd);
}

static char odd_key[WA_HANDOVER_KEY_BYTES];

static void *
take_odd(void *arg)
{
	(void) wa_handover_take(odd_key, &names[0], 5000, arg);
	return NULL;
}

/* No descriptors to ask with; an answer with a file that is not said to be one. */
static void
test_odd_answer(void)
{
	WaPostmaster postmaster = {.pid = getpid()};
	const char *words[] = {"odd"};
	struct rlimit before;
	struct rlimit none;
	union
	{
		struct cmsghdr align;
		char		bytes[CMSG_SPACE(sizeof(int))];
	}			control = {0};
	struct iovec data = {.iov_base = "X",.iov_len = 1};
	struct msghdr message = {
		.msg_iov = &data,.msg_iovlen = 1,.msg_control = &control,
		.msg_controllen = sizeof(control)
	};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	pthread_t	thread;
	WaWalName	asked;
	int			taken = -2;
	int			client = -1;
	int			listener;

	must(wa_handover_key(&postmaster, SYSID, words, 1, odd_key));
	must(getrlimit(RLIMIT_NOFILE, &before) == 0);
	none = before;
	none.rlim_cur = 0;
	must(setrlimit(RLIMIT_NOFILE, &none) == 0);
	ok(!wa_handover_tell(odd_key, &names[0]),
	   "without descriptors nobody is told");
	must(setrlimit(RLIMIT_NOFILE, &before) == 0);

	listener = wa_handover_listen(odd_key);
	must(listener >= 0);
	must(pthread_create(&thread, NULL, take_odd, &taken) == 0);
	for (int i = 0; i < 5000 && client < 0; i++)
		if (!wa_handover_request(listener, &asked, &client))
			usleep(1000);
	must(client >= 0);
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &listener, sizeof(int));
	must(sendmsg(client, &message, 0) == 1);
	must(pthread_join(thread, NULL) == 0);
	is_int(taken, -1, "a file that is not said to be the one is not taken");
	close(client);
	client = -1;
	taken = -2;
	must(pthread_create(&thread, NULL, take_odd, &taken) == 0);
	for (int i = 0; i < 5000 && client < 0; i++)
		if (!wa_handover_request(listener, &asked, &client))
			usleep(1000);
	must(client >= 0);
	close(client);
	must(pthread_join(thread, NULL) == 0);
	is_int(taken, -1, "a keeper that goes away has none");
	close(listener);
}

/* A connection to the listener of odd_key. */
static int
connect_odd(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int			length = snprintf(address.sun_path + 1,
								  sizeof(address.sun_path) - 1, "walarch-%s",
								  odd_key);
	int			fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);

	length += (int) offsetof(struct sockaddr_un, sun_path) + 1;
	must(connect(fd, (struct sockaddr *) &address, (socklen_t) length) == 0);
	return fd;
}

/* Whoever asks for no segment is sent away, and keeps nobody else waiting. */
static void
test_odd_requests(void)
{
	static const char *const requests[] = {
		"", "T", "T00000001000000000000000", "Tno segment, as long as one",
		"T00000002.history........."
	};
	int			listener = wa_handover_listen(odd_key);
	WaWalName	name;
	int			client;
	char		byte;

	must(listener >= 0);
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++)
	{
		int			fd = connect_odd();

		if (*requests[i] != '\0')
			must(send(fd, requests[i], strlen(requests[i]), 0) > 0);
		ok(wa_handover_tell(odd_key, &names[1]), "somebody tells after \"%s\"",
		   requests[i]);
		ok(wa_handover_request(listener, &name, &client) && client == -1 &&
		   strcmp(name.text, names[1].text) == 0, "and is heard");
		is_int(recv(fd, &byte, 1, MSG_DONTWAIT), 0, "the other one was sent away");
		close(fd);
	}
	close(listener);
}

int
main(void)
{
	scratch();
	make_archive();
	test_fetch(1);
	test_fetch(2);
	test_damage();
	test_delivery();
	test_handover();
	test_other_timeline();
	test_bounds();
	test_odd_answer();
	test_odd_requests();
	return done_testing();
}
