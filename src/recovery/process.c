/*
 * process.c
 *	  Processes of ours, and other people's programs.
 */
#include "recovery/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

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
		(void) prctl(PR_SET_PDEATHSIG, SIGKILL);
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

WaCode
wa_process_wait(WaProcess *process, WaError *err)
{
	int			status = 0;

	while (waitpid(process->pid, &status, 0) < 0 && errno == EINTR)
		;
	return take_report(process, status, err);
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

/* ---- programs --------------------------------------------------------------- */

WaCode
wa_program_start(const char *path, const char *const *argv, int output,
				 int last, pid_t *pid, WaError *err)
{
	int			null;

	fflush(NULL);
	*pid = fork();
	if (*pid < 0)
		return wa_fail_errno(err, errno, "could not start \"%s\"", path);
	if (*pid > 0)
		return WA_OK;
	(void) prctl(PR_SET_PDEATHSIG, last);
	null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (null >= 0 && dup2(null, STDIN_FILENO) >= 0 &&
		dup2(output, STDOUT_FILENO) >= 0 && dup2(output, STDERR_FILENO) >= 0)
		execv(path, (char *const *) argv);
	_exit(127);
}

WaCode
wa_program_run(const char *path, const char *const *argv, char *text,
			   size_t bytes, int *status, WaError *err)
{
	int			fds[2];
	size_t		length = 0;
	char		some[512];
	ssize_t		got;
	pid_t		pid;

	text[0] = '\0';
	if (pipe2(fds, O_CLOEXEC) != 0)
		return wa_fail_errno(err, errno, "could not make a pipe");
	if (wa_program_start(path, argv, fds[1], SIGTERM, &pid, err) != WA_OK)
	{
		close(fds[0]);
		close(fds[1]);
		return err->code;
	}
	close(fds[1]);
	while ((got = read(fds[0], some, sizeof(some))) > 0 ||
		   (got < 0 && errno == EINTR))
		for (ssize_t i = 0; i < got; i++)
			if (length + 1 < bytes)
				text[length++] = some[i];
	text[length] = '\0';
	close(fds[0]);
	while (waitpid(pid, status, 0) < 0)
		if (errno != EINTR)
			return wa_fail_errno(err, errno, "could not wait for \"%s\"",
								 path);
	*status = WIFEXITED(*status) ? WEXITSTATUS(*status) :
		128 + WTERMSIG(*status);
	return WA_OK;
}

void
wa_program_line(char *text)
{
	for (char *c = text; *c != '\0'; c++)
		if (*c == '\n')
			*c = c[1] == '\0' ? '\0' : ' ';
}
