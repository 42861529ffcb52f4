/*
 * second.c
 *	  The second program, walarch-recovery.
 */
#include "cli/second.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

#define PROGRAM		"walarch-recovery"

int
wa_second_run(int argc, char **argv)
{
	char		path[PATH_MAX];
	ssize_t		length = readlink("/proc/self/exe", path, sizeof(path) - 1);
	char	   *slash;
	char	  **words;
	WaError		err;

	path[length > 0 ? length : 0] = '\0';
	slash = strrchr(path, '/');
	words = calloc((size_t) argc + 2, sizeof(char *));
	if (words != NULL && slash != NULL &&
		(size_t) (slash - path) + sizeof("/" PROGRAM) <= sizeof(path))
	{
		memcpy(slash, "/" PROGRAM, sizeof("/" PROGRAM));
		words[0] = path;
		memcpy(words + 1, argv, (size_t) argc * sizeof(char *));
		execv(path, words);
	}
	wa_fail_errno(&err, errno, "could not run \"%s\"", path);
	wa_hint(&err, "It is installed beside walarch, by the same \"make "
			"install\".");
	wa_cli_error(argv[0], &err);
	free(words);
	return WA_EXIT_FAILED;
}
