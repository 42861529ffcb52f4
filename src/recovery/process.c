/*
 * process.c
 *	  Processes of ours, and other people's programs.
 */
#include "recovery/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/cli.h"

#define LOOK_EVERY_MS	100
#define END_MS			5		/* from the end of output to that of a program */
#define GRACE_MS		3000	/* between SIGTERM and SIGKILL */

/* ---- being told to end ------------------------------------------------------ */

static const int heeded[] = {SIGINT, SIGTERM, SIGHUP};
static volatile sig_atomic_t told;

static void
note_signal(int number)
{
	told = number;
}

static void
set_signals(void (*handler) (int))
{
	struct sigaction action = {.sa_handler = handler};

	for (size_t i = 0; i < sizeof(heeded) / sizeof(heeded[0]); i++)
		(void) sigaction(heeded[i], &action, NULL);
}

void
wa_process_heed(void)
{
	set_signals(note_signal);
}

WaCode
wa_process_told(WaError *err)
{
	int			number = told;

	if (number == 0)
		return WA_OK;
	return wa_fail(err, WA_CANCELLED, "ended by signal %d (%s)", number,
				   strsignal(number));
}

/* ---- a part of our own work in another process ------------------------------ */

WaCode
wa_process_fork(WaProcess *process, WaError *err)
{
	int			fds[2];

	if (pipe2(fds, O_CLOEXEC) != 0)
		return wa_fail_errno(err, errno, "could not make a pipe");
	fflush(NULL);
	process->pid = fork();
	if (process->pid < 0)
	{
		wa_fail_errno(err, errno, "could not start a process");
		close(fds[0]);
		close(fds[1]);
		return err->code;
	}
	if (process->pid == 0)
	{
		(void) prctl(PR_SET_PDEATHSIG, SIGKILL);
		set_signals(SIG_DFL);
	}
	close(fds[process->pid == 0 ? 0 : 1]);
	process->report = fds[process->pid == 0 ? 1 : 0];
	return WA_OK;
}

void
wa_process_end(const WaProcess *process, WaCode code, const WaError *err)
{
	ssize_t		written = 0;

	if (code != WA_OK)
		written = write(process->report, err, sizeof(*err));
	(void) written;				/* the exit status tells as much */
	_exit(code == WA_OK ? 0 : 1);
}

static WaCode
take_report(WaProcess *process, int status, WaError *err)
{
	WaError		told;
	ssize_t		got = read(process->report, &told, sizeof(told));

	close(process->report);
	process->pid = 0;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return WA_OK;
	if (got == sizeof(told))
	{
		*err = told;
		return err->code;
	}
	return wa_fail(err, WA_IO, "a process of walarch has died");
}

bool
wa_process_ended(WaProcess *process, WaCode *code, WaError *err)
{
	int			status = 0;

	if (waitpid(process->pid, &status, WNOHANG) != process->pid)
		return false;
	*code = take_report(process, status, err);
	return true;
}

void
wa_process_stop(WaProcess *process)
{
	WaError		ignored;
	int			status = 0;

	if (process->pid <= 0)
		return;
	kill(process->pid, SIGKILL);
	while (waitpid(process->pid, &status, 0) < 0 && errno == EINTR)
		;
	(void) take_report(process, status, &ignored);
}

/* ---- programs --------------------------------------------------------------- */

/*
 * A shell lets what it starts in the background ignore SIGINT and SIGQUIT.  A
 * server would do so until it has its handlers: told to end before that, it
 * would never hear of it.
 */
static void
default_signals(void)
{
	static const int ending[] = {SIGINT, SIGQUIT, SIGTERM};

	for (size_t i = 0; i < sizeof(ending) / sizeof(ending[0]); i++)
		(void) signal(ending[i], SIG_DFL);
}

WaCode
wa_program_start(const char *path, const char *const *argv, int output,
				 int last, pid_t *pid, WaError *err)
{
	pid_t		parent = getpid();
	sigset_t	all;
	sigset_t	before;
	int			null;

	fflush(NULL);
	/* what ends it must not be lost while it is still like us */
	sigfillset(&all);
	(void) sigprocmask(SIG_SETMASK, &all, &before);
	*pid = fork();
	if (*pid != 0)
	{
		int			errno_value = errno;

		(void) sigprocmask(SIG_SETMASK, &before, NULL);
		return *pid > 0 ? WA_OK :
			wa_fail_errno(err, errno_value, "could not start \"%s\"", path);
	}
	(void) prctl(PR_SET_PDEATHSIG, last);
	default_signals();
	(void) sigprocmask(SIG_SETMASK, &before, NULL);
	/* a group of its own, to be ended with all that it starts */
	(void) setpgid(0, 0);
	null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	/* we may have died before we asked for the signal */
	if (getppid() == parent && null >= 0 && dup2(null, STDIN_FILENO) >= 0 &&
		dup2(output, STDOUT_FILENO) >= 0 && dup2(output, STDERR_FILENO) >= 0)
		execv(path, (char *const *) argv);
	_exit(127);
}

/* What a program has said since; false when it will say no more. */
static bool
take_output(int fd, char *text, size_t bytes, size_t *length)
{
	char		some[4096];
	ssize_t		got;

	while ((got = read(fd, some, sizeof(some))) > 0)
	{
		size_t		room = bytes - 1 - *length;
		size_t		taken = (size_t) got < room ? (size_t) got : room;

		memcpy(text + *length, some, taken);
		*length += taken;
		text[*length] = '\0';
	}
	return got < 0 && (errno == EAGAIN || errno == EINTR);
}

/* Has it ended? */
static bool
has_ended(pid_t pid, int *status)
{
	if (waitpid(pid, status, WNOHANG) != pid)
		return false;
	*status = WIFEXITED(*status) ? WEXITSTATUS(*status) :
		128 + WTERMSIG(*status);
	return true;
}

/* End it with all that it has started, by force if need be. */
static void
end_program(pid_t pid)
{
	uint64_t	since = wa_cli_now_ms();
	int			status;

	(void) setpgid(pid, pid);
	kill(-pid, SIGTERM);
	while (!has_ended(pid, &status))
	{
		if (wa_cli_now_ms() - since >= GRACE_MS)
			kill(-pid, SIGKILL);
		(void) poll(NULL, 0, LOOK_EVERY_MS);
	}
	kill(-pid, SIGKILL);
}

/* Until it ends: one that it has left behind may hold its output open. */
static WaCode
wait_program(pid_t pid, const char *path, int fd, uint64_t most_ms,
			 char *text, size_t bytes, int *status, WaError *err)
{
	uint64_t	since = wa_cli_now_ms();
	size_t		length = 0;
	struct pollfd output = {.fd = fd, .events = POLLIN};
	bool		talks = true;

	while (!has_ended(pid, status))
	{
		WaCode		code = wa_process_told(err);

		if (code == WA_OK && most_ms > 0 && wa_cli_now_ms() - since >= most_ms)
			code = wa_fail(err, WA_STUCK, "\"%s\" did not end in the time that "
						   "it was given", path);
		if (code != WA_OK)
		{
			end_program(pid);
			return code;
		}
		(void) poll(&output, talks ? 1 : 0, talks ? LOOK_EVERY_MS : END_MS);
		talks = talks && take_output(fd, text, bytes, &length);
	}
	if (talks)
		(void) take_output(fd, text, bytes, &length);
	return WA_OK;
}

WaCode
wa_program_run(const char *path, const char *const *argv, uint64_t most_ms,
			   char *text, size_t bytes, int *status, WaError *err)
{
	int			fds[2];
	pid_t		pid;
	WaCode		code;

	text[0] = '\0';
	if (pipe2(fds, O_CLOEXEC) != 0)
		return wa_fail_errno(err, errno, "could not make a pipe");
	/* the program's end is as programs expect it */
	code = fcntl(fds[0], F_SETFL, O_NONBLOCK) == 0 ?
		wa_program_start(path, argv, fds[1], SIGTERM, &pid, err) :
		wa_fail_errno(err, errno, "could not make a pipe");
	close(fds[1]);
	if (code == WA_OK)
		code = wait_program(pid, path, fds[0], most_ms, text, bytes, status,
							err);
	close(fds[0]);
	return code;
}

void
wa_program_line(char *text)
{
	for (char *c = text; *c != '\0'; c++)
		if (*c == '\n')
			*c = c[1] == '\0' ? '\0' : ' ';
}
