/*
 * binaries.c
 *	  PostgreSQL's own programs: where they are, of which version, and running
 *	  them.
 */
#include "recovery/binaries.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "recovery/process.h"

WaCode
wa_binaries_find(const char *directory, WaBinaries *binaries, WaError *err)
{
	const char *const argv[] = {"postgres", "--version", NULL};
	ssize_t		length;
	char	   *slash;
	char		text[1000];
	const char *version;
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

	if (wa_binaries_ask(binaries, argv, 0, text, sizeof(text), &status,
						err) != WA_OK)
		return err->code;
	/* a warning may stand before it */
	version = strstr(text, "postgres (PostgreSQL) ");
	binaries->server = status == 0 && version != NULL &&
		sscanf(version, "postgres (PostgreSQL) %u", &binaries->major) == 1;
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

WaCode
wa_binaries_ask(const WaBinaries *binaries, const char *const *argv,
				uint64_t most_ms, char *text, size_t bytes, int *status,
				WaError *err)
{
	char		path[PATH_MAX + 64];
	const char **words;
	size_t		count = 0;
	WaCode		code;

	while (argv[count] != NULL)
		count++;
	words = calloc(count + 1, sizeof(*words));
	if (words == NULL)
		return wa_fail(err, WA_NO_MEMORY, "out of memory");
	/* PostgreSQL's programs look for themselves, and for each other, by that */
	snprintf(path, sizeof(path), "%s/%.60s", binaries->directory, argv[0]);
	memcpy(words, argv, count * sizeof(*words));
	words[0] = path;
	code = wa_program_run(path, words, most_ms, text, bytes, status, err);
	free(words);
	return code;
}
