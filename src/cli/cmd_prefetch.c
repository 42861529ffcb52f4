/*
 * cmd_prefetch.c
 *	  walarch prefetch: fetches segments before the recovery asks for them.
 *
 * `walarch get` starts it, with its own command line.  It belongs to nobody
 * and must hurt nobody: where the postmaster is process 1 it is its child,
 * and one that ends with anything but 0 or 1 restarts the server.  So every
 * signal that can be caught is, it holds nothing open that others wait for,
 * and it ends by itself, without leaving anything, soon after the recovery.
 */
#include "cli/cli.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "archive/known.h"
#include "archive/prefetch.h"
#include "cli/ahead.h"

#define LOOK_MS			1000	/* how often to look whether it is over */
#define IDLE_MS			10000

/* A signal has come: readable from then on. */
static int	end_fd = -1;

/*
 * Sent by somebody, it asks us to end.  Raised by what we did ourselves, it
 * leaves no choice: the next prefetcher removes what is left.
 */
static void
end_by_signal(int signal_number, siginfo_t *info, void *context)
{
	int			save_errno = errno;
	uint64_t	one = 1;
	ssize_t		written;

	(void) signal_number;
	(void) context;
	if (info->si_code > 0 || info->si_pid == getpid())
		_exit(WA_EXIT_FAILED);
	written = write(end_fd, &one, sizeof(one));
	(void) written;				/* it is readable already */
	errno = save_errno;
}

static bool
handle_signals(void)
{
	static const int harmless[] = {
		SIGPIPE, SIGXFSZ, SIGCHLD, SIGCONT, SIGURG, SIGWINCH, SIGTSTP,
		SIGTTIN, SIGTTOU
	};
	struct sigaction action;
	sigset_t	none;

	end_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (end_fd < 0)
		return false;
	memset(&action, 0, sizeof(action));
	action.sa_sigaction = end_by_signal;
	action.sa_flags = SA_SIGINFO | SA_RESTART;
	sigfillset(&action.sa_mask);
	for (int number = 1; number <= SIGRTMAX; number++)
		(void) sigaction(number, &action, NULL);
	action.sa_handler = SIG_IGN;
	action.sa_flags = 0;
	for (size_t i = 0; i < sizeof(harmless) / sizeof(harmless[0]); i++)
		(void) sigaction(harmless[i], &action, NULL);
	sigemptyset(&none);
	(void) sigprocmask(SIG_SETMASK, &none, NULL);
	return true;
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

static uint64_t
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t) now.tv_sec * 1000 + (uint64_t) now.tv_nsec / 1000000;
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

/* Fetch ahead until it is over. */
static void
go_on(const WaAhead *ahead, const WaSpool *spool, WaPrefetch *prefetch)
{
	struct pollfd events[] = {
		{.fd = end_fd, .events = POLLIN},
		{.fd = watch_process(ahead->postmaster.pid), .events = POLLIN},
		{.fd = spool->ask_fd, .events = POLLIN},
		{.fd = wa_prefetch_event_fd(prefetch), .events = POLLIN}
	};
	uint64_t	active_ms = now_ms();
	uint64_t	looked_ms = active_ms;
	WaWalName	name = ahead->name;

	wa_prefetch_move(prefetch, &name);
	for (;;)
	{
		uint64_t	now = now_ms();
		bool		useless = false;

		if (wa_spool_asked(spool, &name, &useless))
		{
			active_ms = now;
			if (useless)
				wa_prefetch_stop(prefetch);
			else
				wa_prefetch_move(prefetch, &name);
		}
		wa_prefetch_work(prefetch, now);
		if (wa_prefetch_busy(prefetch, now))
			active_ms = now;
		if (now - active_ms > IDLE_MS)
			break;
		if (now - looked_ms >= LOOK_MS)
		{
			if (!wa_ahead_goes_on(ahead))
				break;
			looked_ms = now;
		}
		(void) poll(events, sizeof(events) / sizeof(events[0]), LOOK_MS);
		if (events[0].revents != 0 || events[1].revents != 0)
			break;
	}
	if (events[1].fd >= 0)
		close(events[1].fd);
}

static void
prefetch_into(const WaAhead *ahead, WaSpool *spool)
{
	const WaGetOptions *options = ahead->options;
	WaPrefetchConfig config = {
		.fetch = {
			.archive = options->archive,
			.also = {.directories = options->also,.count = options->also_count},
			.control = &ahead->control,
			.known_file = WA_KNOWN_FILE,
			.durable = true
		},
		.spool = spool,
		.window = ahead->window,
		.threads = processors(),
		.last = ahead->last
	};
	char		directory[WA_DELIVERY_PATH_BYTES];
	mode_t		dir_mode;
	WaPrefetch *prefetch;

	(void) wa_get_split(options->destination, directory, sizeof(directory));
	wa_cli_modes(directory, &config.fetch.mode, &dir_mode);
	prefetch = wa_prefetch_open(&config);
	if (prefetch == NULL)
		return;
	go_on(ahead, spool, prefetch);
	wa_prefetch_close(prefetch);
}

int
wa_cmd_prefetch(int argc, char **argv)
{
	WaGetOptions options;
	WaAhead		ahead;
	WaSpool		spool;
	WaError		ignored;

	if (!let_go() || !handle_signals())
		return WA_EXIT_FAILED;
	wa_get_defaults(&options);
	if (wa_get_options(argc, argv, &options, &ignored) != WA_OK ||
		!wa_ahead_find(&options, &ahead) || ahead.place[0] == '\0')
		return WA_EXIT_FAILED;

	/* the server adopts what has no parent: see above */
	if (getppid() == ahead.postmaster.pid &&
		options.prefetch == WA_GET_PREFETCH_DEFAULT)
		return WA_EXIT_OK;
	if (!wa_spool_claim(ahead.place, ahead.key, &spool))
	{
		/* another was quicker: it should know where recovery is */
		if (wa_spool_open(ahead.place, ahead.key, &spool))
		{
			(void) wa_spool_ask(&spool, ahead.name.text);
			wa_spool_close(&spool);
		}
		return WA_EXIT_OK;
	}
	wa_spool_sweep(ahead.place, ahead.key);
	prefetch_into(&ahead, &spool);
	wa_spool_release(&spool, ahead.place, options.spool == NULL);

	/* a thread that hangs must not keep the exit */
	_exit(WA_EXIT_OK);
}
