/*
 * cmd_prefetch.c
 *	  walarch prefetch: fetches segments before the recovery asks for them.
 *
 * `walarch get` starts it, with its own command line.  It belongs to nobody
 * and must hurt nobody: where the postmaster is process 1 it is its child,
 * and one that ends with anything but 0 or 1 restarts the server.  So every
 * signal that can be caught is, it holds nothing open that others wait for,
 * and it ends by itself with the recovery.  As its files have no names, to
 * end is all that has to be done, at any moment.
 */
#include "cli/cli.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "archive/handover.h"
#include "archive/prefetch.h"
#include "cli/ahead.h"

#define LOOK_MS			1000	/* how often to look whether it is over */
#define LOOK_ALIVE_MS	100		/* the same without pidfd_open() */
#define IDLE_MS			10000	/* nobody asks, and there is nothing to give */
#define LONELY_MS		600000	/* nobody asks */
#define WAITING_MAX		4
#define HOLD_ON_MS		250		/* how often whoever waits is told to */
#define STALLED_MS		1000	/* an operation takes too long to wait for */

static void
end_by_signal(int signal_number, siginfo_t *info, void *context)
{
	(void) signal_number;
	(void) context;
	_exit(info->si_code > 0 ? WA_EXIT_FAILED : WA_EXIT_OK);
}

static void
handle_signals(void)
{
	static const int harmless[] = {
		SIGPIPE, SIGXFSZ, SIGCHLD, SIGCONT, SIGURG, SIGWINCH, SIGTSTP,
		SIGTTIN, SIGTTOU
	};
	struct sigaction action;
	sigset_t	none;

	memset(&action, 0, sizeof(action));
	action.sa_sigaction = end_by_signal;
	action.sa_flags = SA_SIGINFO;
	for (int number = 1; number <= SIGRTMAX; number++)
		(void) sigaction(number, &action, NULL);
	action.sa_handler = SIG_IGN;
	action.sa_flags = 0;
	for (size_t i = 0; i < sizeof(harmless) / sizeof(harmless[0]); i++)
		(void) sigaction(harmless[i], &action, NULL);
	sigemptyset(&none);
	(void) sigprocmask(SIG_SETMASK, &none, NULL);
}

/*
 * Let go of whatever was inherited: the server's pipe to its log collector,
 * for one, which would not end before us.
 */
static bool
let_go(void)
{
	int			null = open("/dev/null", O_RDWR | O_CLOEXEC);
	DIR		   *entries;
	struct dirent *entry;

	if (null < 0)
		return false;
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (dup2(null, fd) < 0)
			return false;
#ifdef SYS_close_range
	if (syscall(SYS_close_range, STDERR_FILENO + 1, ~0U, 0) == 0)
		return true;
#endif
	entries = opendir("/proc/self/fd");
	if (entries == NULL)
		return false;
	while ((entry = readdir(entries)) != NULL)
	{
		int			fd = (int) strtol(entry->d_name, NULL, 10);

		if (fd > STDERR_FILENO && fd != dirfd(entries))
			close(fd);
	}
	closedir(entries);
	return true;
}

static int
processors(void)
{
	cpu_set_t	set;

	return sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
}

/* Becomes readable when the server has ended; -1 where there is no such. */
static int
watch_process(pid_t pid)
{
#ifdef SYS_pidfd_open
	return (int) syscall(SYS_pidfd_open, pid, 0);
#else
	return -1;
#endif
}

/* Requests for a segment that is being fetched. */
typedef struct Waiting
{
	int			count;
	uint64_t	told_ms;
	struct
	{
		int			client;
		WaWalName	name;
	}			clients[WAITING_MAX];
} Waiting;

/* Answer, or note it as waiting. */
static void
answer(WaPrefetch *prefetch, int client, const WaWalName *name,
	   Waiting *waiting)
{
	int			fd = -1;
	WaPrefetchTake taken = wa_prefetch_take(prefetch, name, &fd);

	if (taken == WA_PREFETCH_WORKING &&
		waiting->count < WAITING_MAX)
	{
		waiting->clients[waiting->count].client = client;
		waiting->clients[waiting->count++].name = *name;
	}
	else
		wa_handover_answer(client, fd);
}

/* Serve who has asked and whom there is something for; was anybody there? */
static bool
serve(WaPrefetch *prefetch, int listener, Waiting *waiting, uint64_t now)
{
	Waiting		before = *waiting;
	WaWalName	name;
	int			client;
	bool		asked = false;

	while (wa_handover_request(listener, &name, &client))
	{
		asked = true;
		if (client >= 0)
			answer(prefetch, client, &name, &before);
		wa_prefetch_move(prefetch, &name);
	}
	wa_prefetch_work(prefetch, now);
	waiting->count = 0;
	for (int i = 0; i < before.count; i++)
		answer(prefetch, before.clients[i].client, &before.clients[i].name,
			   waiting);
	if (waiting->count > 0 && now - waiting->told_ms >= HOLD_ON_MS &&
		!wa_prefetch_stuck(prefetch, now, STALLED_MS))
	{
		for (int i = 0; i < waiting->count; i++)
			wa_handover_hold_on(waiting->clients[i].client);
		waiting->told_ms = now;
	}
	return asked;
}

/* Fetch ahead until nobody needs it any more. */
static void
go_on(const WaAhead *ahead, int datadir_fd, int listener,
	  WaPrefetch *prefetch)
{
	struct pollfd events[] = {
		{.fd = watch_process(ahead->postmaster.pid), .events = POLLIN},
		{.fd = listener, .events = POLLIN},
		{.fd = wa_prefetch_event_fd(prefetch), .events = POLLIN}
	};
	uint64_t	timeout_ms = (uint64_t) ahead->options->timeout_s * 1000;
	uint64_t	asked_ms = wa_cli_now_ms();
	uint64_t	looked_ms = 0;
	Waiting		waiting = {0};

	wa_prefetch_move(prefetch, &ahead->name);
	for (;;)
	{
		uint64_t	now = wa_cli_now_ms();

		if (serve(prefetch, listener, &waiting, now))
			asked_ms = now;
		if (now - asked_ms > LONELY_MS ||
			(now - asked_ms > IDLE_MS && wa_prefetch_holds(prefetch) == 0))
			return;
		if (now - looked_ms >= LOOK_MS)
		{
			if (!wa_ahead_goes_on(ahead, datadir_fd) ||
				wa_prefetch_stuck(prefetch, now, timeout_ms))
				_exit(WA_EXIT_OK);	/* and wait for no thread */
			looked_ms = now;
		}
		(void) poll(events, sizeof(events) / sizeof(events[0]),
					events[0].fd < 0 ? LOOK_ALIVE_MS :
					waiting.count > 0 ? HOLD_ON_MS : LOOK_MS);
		if (events[0].fd >= 0 ? events[0].revents != 0 :
			!wa_postmaster_lives(&ahead->postmaster))
			_exit(WA_EXIT_OK);
	}
}

/*
 * Nothing of --also: what lies there carries no digest, and is proven better
 * when recovery is there.
 */
static int
prefetch_for(const WaAhead *ahead, int listener)
{
	WaPrefetchConfig config = {
		.fetch = {
			.archive = ahead->options->archive,
			.control = &ahead->control
		},
		.dir_fd = open(wa_ahead_directory(ahead), O_RDONLY | O_DIRECTORY |
					   O_CLOEXEC),
		.window = ahead->window,
		.threads = processors(),
		.last = ahead->last
	};
	int			datadir_fd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	mode_t		dir_mode;
	WaPrefetch *prefetch;

	wa_cli_modes(ahead->directory, &config.fetch.mode, &dir_mode);
	if (config.dir_fd < 0 || datadir_fd < 0 || chdir("/") != 0)
		return WA_EXIT_FAILED;
	prefetch = wa_prefetch_open(&config);
	if (prefetch == NULL)
		return WA_EXIT_FAILED;
	go_on(ahead, datadir_fd, listener, prefetch);
	wa_prefetch_close(prefetch);
	return WA_EXIT_OK;
}

int
wa_cmd_prefetch(int argc, char **argv)
{
	WaGetOptions options;
	WaAhead		ahead;
	WaError		ignored;
	int			listener;

	/* what was executed is called exe: top and the kernel's log show that */
	(void) prctl(PR_SET_NAME, "walarch");
	handle_signals();
	if (!let_go())
		return WA_EXIT_FAILED;
	wa_get_defaults(&options);
	if (wa_get_options(argc, argv, &options, &ignored) != WA_OK ||
		!wa_ahead_find(&options, &ahead))
		return WA_EXIT_FAILED;

	/* the server adopts what has no parent: see above */
	if (getppid() == ahead.postmaster.pid &&
		options.prefetch == WA_GET_PREFETCH_DEFAULT)
		return WA_EXIT_OK;

	/*
	 * One for a server, also where each restore command has a network of its
	 * own and reaches no socket of another.
	 */
	if (wa_postmaster_lock(AT_FDCWD, strtoull(ahead.key, NULL, 16)) < 0 ||
		(listener = wa_handover_listen(ahead.key)) < 0)
	{
		/* another was quicker: it should know where recovery is */
		(void) wa_handover_tell(ahead.key, &ahead.name);
		return WA_EXIT_OK;
	}
	return prefetch_for(&ahead, listener);
}
