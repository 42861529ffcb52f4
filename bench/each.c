/*
 * each.c
 *	  How long a restore_command takes, segment by segment.
 *
 *	each COMMAND PAUSE_MS <names
 *
 * Runs COMMAND (with %f and %p) through system() in the working directory,
 * once for each name, as recovery does: the destination is removed before,
 * and PAUSE_MS pass between two of them, in which recovery would replay.
 * Prints the milliseconds of each command.
 *
 * For walarch the working directory must look like that of a server in
 * recovery.  So this process, which is alive as long as it takes, writes
 * itself into postmaster.pid.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define DESTINATION		"pg_wal/RECOVERYXLOG"
#define COMMAND_BYTES	8192

static double
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double) now.tv_sec * 1e3 + (double) now.tv_nsec / 1e6;
}

static void
expand(const char *template, const char *name, char *command)
{
	size_t		length = 0;

	while (*template != '\0' && length < COMMAND_BYTES - 64)
	{
		const char *put = NULL;

		if (template[0] == '%' && template[1] == 'f')
			put = name;
		else if (template[0] == '%' && template[1] == 'p')
			put = DESTINATION;
		if (put != NULL)
		{
			length += (size_t) snprintf(command + length, 64, "%s", put);
			template += 2;
		}
		else
			command[length++] = *template++;
	}
	command[length] = '\0';
}

static void
pretend_to_be_a_postmaster(void)
{
	FILE	   *file = fopen("postmaster.pid", "w");
	char		directory[4096];

	if (file == NULL || getcwd(directory, sizeof(directory)) == NULL)
	{
		perror("postmaster.pid");
		exit(1);
	}
	fprintf(file, "%d\n%s\n%ld\n", (int) getpid(), directory,
			(long) time(NULL));
	fclose(file);
}

int
main(int argc, char **argv)
{
	char		name[64];
	char		command[COMMAND_BYTES];
	long		pause_ms;

	if (argc != 3)
	{
		fputs("usage: each COMMAND PAUSE_MS <names\n", stderr);
		return 2;
	}
	pause_ms = atol(argv[2]);
	pretend_to_be_a_postmaster();
	while (scanf("%63s", name) == 1)
	{
		struct timespec rest = {pause_ms / 1000, pause_ms % 1000 * 1000000};
		double		begun;

		unlink(DESTINATION);
		expand(argv[1], name, command);
		begun = now_ms();
		if (system(command) != 0)
		{
			fprintf(stderr, "failed: %s\n", command);
			unlink("postmaster.pid");
			return 1;
		}
		printf("%.3f\n", now_ms() - begun);
		if (access(DESTINATION, F_OK) != 0)
		{
			fprintf(stderr, "nothing was restored: %s\n", command);
			return 1;
		}
		nanosleep(&rest, NULL);
	}
	unlink("postmaster.pid");
	return 0;
}
