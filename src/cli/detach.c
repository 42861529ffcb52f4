/*
 * detach.c
 *	  Start this command again, as a process of its own in the background.
 *
 * The program is executed anew, so that nothing of what its parent did is
 * left in it, and ps shows what it is.  Between fork and exec nothing is
 * called that is not safe after threads were started.
 */
#include "cli/detach.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PARENT_WAITS_MAX	1000	/* of a millisecond */

static int	words_count;
static char **words;

void
wa_detach_remember(int argc, char **argv)
{
	words_count = argc;
	words = argv;
}

/* In the child: its child, once it has lost its parent, is the one. */
static void
detached(char **argv)
{
	static const struct timespec pause = {0, 1000 * 1000};
	pid_t		parent = getpid();

	(void) setsid();
	if (fork() != 0)
		_exit(0);

	/* who becomes its parent then decides whether it goes on */
	for (int i = 0; getppid() == parent && i < PARENT_WAITS_MAX; i++)
		(void) nanosleep(&pause, NULL);
	execv("/proc/self/exe", argv);
	_exit(1);
}

void
wa_detach(const char *subcommand)
{
	char	  **argv = calloc((size_t) words_count + 1, sizeof(*argv));
	sigset_t	all;
	sigset_t	before;
	pid_t		child;

	if (argv == NULL || words_count < 2)
	{
		free(argv);
		return;
	}
	memcpy(argv, words, (size_t) words_count * sizeof(*argv));
	argv[0] = (char *) "walarch";
	argv[1] = (char *) subcommand;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	child = fork();
	if (child == 0)
		detached(argv);
	while (child > 0 && waitpid(child, NULL, 0) < 0 && errno == EINTR)
		;
	sigprocmask(SIG_SETMASK, &before, NULL);
	free(argv);
}
