/*
 * scratch.c
 *	  Many drills begin below one directory at once: each has a scratch
 *	  directory that stays until it removes it, and what one leaves is removed
 *	  by the next, unless it was left on purpose.
 */
#include "recovery/scratch.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fixture.h"
#include "tap.h"

#define PROCESSES	4
#define ROUNDS		500			/* each keeps a file descriptor */

static const char *below;
static WaError err;

/* What a drill does first, and last; the exit status of a process. */
static int
make_and_use(void)
{
	WaError		failed;

	for (int i = 0; i < ROUNDS; i++)
	{
		char	   *path;
		char		inside[600];

		if (wa_scratch_make(below, &path, &failed) != WA_OK)
		{
			diag("round %d: %s", i, failed.message);
			return 1;
		}
		snprintf(inside, sizeof(inside), "%s/data", path);
		if (mkdir(inside, 0700) != 0 || access(inside, F_OK) != 0)
		{
			diag("round %d: \"%s\" was removed", i, path);
			return 2;
		}
		/* as when it had been killed here; the lock goes with it */
		if (i % 100 != 0 && wa_scratch_remove(path, &failed) != WA_OK)
		{
			diag("round %d: %s", i, failed.message);
			return 3;
		}
		free(path);
	}
	return 0;
}

static void
test_together(void)
{
	pid_t		pids[PROCESSES];
	int			failed = 0;

	fflush(stdout);
	for (int i = 0; i < PROCESSES; i++)
	{
		pids[i] = fork();
		if (pids[i] == 0)
			_exit(make_and_use());
		must(pids[i] > 0);
	}
	for (int i = 0; i < PROCESSES; i++)
	{
		int			status;

		must(waitpid(pids[i], &status, 0) == pids[i]);
		failed += !WIFEXITED(status) || WEXITSTATUS(status) != 0;
	}
	is_int(failed, 0, "nobody removes what another one has just made");
}

/* What a drill leaves on purpose; its process ends here. */
static void
test_kept(void)
{
	char		path[600];
	char	   *other;
	pid_t		pid;
	int			status;
	int			ends[2];
	ssize_t		length;

	fflush(stdout);
	must(pipe(ends) == 0);
	pid = fork();
	if (pid == 0)
	{
		char	   *kept;

		if (wa_scratch_make(below, &kept, &err) != WA_OK ||
			wa_scratch_keep(kept, &err) != WA_OK ||
			write(ends[1], kept, strlen(kept)) < 0)
			_exit(1);
		_exit(0);
	}
	must(waitpid(pid, &status, 0) == pid && status == 0);
	length = read(ends[0], path, sizeof(path) - 1);
	must(length > 0);
	path[length] = '\0';
	close(ends[0]);
	close(ends[1]);
	must(wa_scratch_make(below, &other, &err) == WA_OK);
	ok(access(path, X_OK) == 0, "what is kept outlasts the next one");
	is_code(wa_scratch_keep(path, &err), WA_IO, &err, "and is kept once");
	must(wa_scratch_remove(path, &err) == WA_OK);
	must(wa_scratch_remove(other, &err) == WA_OK);
	is_code(wa_scratch_keep(path, &err), WA_IO, &err,
			"one that is gone cannot be kept");
	has_str(err.message, "could not create", "which is said");
	free(other);
}

/* One that could not be locked would be removed under a drill. */
static void
test_no_descriptor(void)
{
	struct rlimit limit;
	char	   *path;
	int			before = count_names(below);
	rlim_t		usual;

	must(getrlimit(RLIMIT_NOFILE, &limit) == 0);
	usual = limit.rlim_cur;
	limit.rlim_cur = 3;
	must(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	is_code(wa_scratch_make(below, &path, &err), WA_IO, &err,
			"a directory that cannot be opened");
	limit.rlim_cur = usual;
	must(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	ok(strstr(err.message, below) != NULL, "the error names it");
	ok(path == NULL, "it is not given out");
	is_int(count_names(below), before, "and not left");
}

int
main(void)
{
	char	   *path;

	below = strdup(path_in_scratch("drills"));
	must(below != NULL && mkdir(below, 0700) == 0);
	test_together();
	is_code(wa_scratch_make(below, &path, &err), WA_OK, &err, "one more");
	is_int(count_names(below), 1, "what the others left is gone");
	ok(strncmp(path, below, strlen(below)) == 0 && access(path, X_OK) == 0,
	   "it is there");
	free(path);
	test_no_descriptor();
	test_kept();
	return done_testing();
}
