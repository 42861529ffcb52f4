/*
 * binaries.c
 *	  PostgreSQL's own programs: where they are, of which version, and running
 *	  them.
 */
#include "recovery/binaries.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

WaCode
wa_binaries_find(const char *directory, WaBinaries *binaries, WaError *err)
{
	const char *const argv[] = {"postgres", "--version", NULL};
	ssize_t		length;
	char	   *slash;
	char		text[128];
	int			status;

	memset(binaries, 0, sizeof(*binaries));
	length = readlink("/proc/self/exe", binaries->walarch,
					  sizeof(binaries->walarch) - 16);
	slash = length > 0 ? strrchr(binaries->walarch, '/') : NULL;
	if (slash == NULL)
		return wa_fail(err, WA_IO, "cannot tell where this program is");
	*slash = '\0';
	if (snprintf(binaries->directory, sizeof(binaries->directory), "%s",
				 directory != NULL ? directory : binaries->walarch) >=
		(int) sizeof(binaries->directory) - 64)
		return wa_fail(err, WA_INVALID, "the path of the programs is too long");
	memcpy(slash, "/walarch", sizeof("/walarch"));

	if (wa_binaries_ask(binaries, argv, text, sizeof(text), &status,
						err) != WA_OK)
		return err->code;
	binaries->server = status == 0 &&
		sscanf(text, "postgres (PostgreSQL) %u", &binaries->major) == 1;
	if (directory != NULL && !binaries->server)
		return wa_fail(err, WA_INVALID, "there is no PostgreSQL server in "
					   "\"%s\"", directory);
	return WA_OK;
}

bool
wa_binaries_have(const WaBinaries *binaries, const char *program)
{
	char		path[PATH_MAX + 64];

	snprintf(path, sizeof(path), "%s/%.60s", binaries->directory, program);
	return access(path, X_OK) == 0;
}

static void
become(const WaBinaries *binaries, const char *const *argv, int output)
{
	char		path[PATH_MAX + 64];
	int			null = open("/dev/null", O_RDWR | O_CLOEXEC);

	snprintf(path, sizeof(path), "%s/%.60s", binaries->directory, argv[0]);
	if (null < 0 || dup2(null, STDIN_FILENO) < 0 ||
		dup2(output >= 0 ? output : null, STDOUT_FILENO) < 0 ||
		dup2(output >= 0 ? output : null, STDERR_FILENO) < 0)
		_exit(126);
	execv(path, (char *const *) argv);
	_exit(127);
}

WaCode
wa_binaries_run(const WaBinaries *binaries, const char *const *argv,
				int output, int *status, WaError *err)
{
	pid_t		pid;

	fflush(NULL);
	pid = fork();
	if (pid < 0)
		return wa_fail_errno(err, errno, "could not start \"%s\"", argv[0]);
	if (pid == 0)
		become(binaries, argv, output);
	while (waitpid(pid, status, 0) < 0)
		if (errno != EINTR)
			return wa_fail_errno(err, errno, "could not wait for \"%s\"",
								 argv[0]);
	return WA_OK;
}

WaCode
wa_binaries_ask(const WaBinaries *binaries, const char *const *argv,
				char *text, size_t bytes, int *status, WaError *err)
{
	int			fds[2];
	size_t		length = 0;
	char		rest[512];
	ssize_t		got;
	pid_t		pid;

	text[0] = '\0';
	if (pipe2(fds, O_CLOEXEC) != 0)
		return wa_fail_errno(err, errno, "could not make a pipe");
	fflush(NULL);
	pid = fork();
	if (pid == 0)
		become(binaries, argv, fds[1]);
	close(fds[1]);
	while (pid > 0 && ((got = read(fds[0], rest, sizeof(rest))) > 0 ||
					   (got < 0 && errno == EINTR)))
		for (ssize_t i = 0; i < got; i++)
			if (length + 1 < bytes)
				text[length++] = rest[i];
	text[length] = '\0';
	close(fds[0]);
	if (pid < 0)
		return wa_fail_errno(err, errno, "could not start \"%s\"", argv[0]);
	while (waitpid(pid, status, 0) < 0)
		if (errno != EINTR)
			return wa_fail_errno(err, errno, "could not wait for \"%s\"",
								 argv[0]);
	*status = WIFEXITED(*status) ? WEXITSTATUS(*status) : 128;
	return WA_OK;
}
