/*
 * main.c
 *	  walarch: the command.
 */
#include "cli/cli.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "cli/detach.h"
#include "cli/exitcode.h"
#include "cli/second.h"

typedef struct Subcommand
{
	const char *name;
	int			(*run) (int argc, char **argv);
	const char *purpose;		/* NULL: not for people */
} Subcommand;

static const Subcommand subcommands[] = {
	{"backup", wa_second_run, "take a base backup into an archive"},
	{"drill", wa_second_run, "recover a copy, check it, and measure it"},
	{"get", wa_cmd_get, "restore one file: the restore_command"},
	{"init", wa_cmd_init, "make a directory the archive of a cluster"},
	{"list", wa_cmd_list, "show what an archive holds, and what it lacks"},
	{"pin", wa_cmd_pin, "keep WAL, whatever retention says"},
	{"prefetch", wa_cmd_prefetch, NULL},
	{"prune", wa_cmd_prune, "delete what retention lets go of"},
	{"restore", wa_second_run, "make a data directory from a base backup"},
	{"status", wa_cmd_status, "show how archiving goes on a server"},
	{"unpin", wa_cmd_unpin, "end a pin"},
	{"verify", wa_cmd_verify, "prove that an archive is what it should be"},
};

#define SUBCOMMANDS_COUNT	(sizeof(subcommands) / sizeof(subcommands[0]))

static void
print_help(void)
{
	printf("walarch archives PostgreSQL's WAL and brings it back.\n\n"
		   "Usage:\n  walarch SUBCOMMAND [OPTION]...\n\nSubcommands:\n");
	for (size_t i = 0; i < SUBCOMMANDS_COUNT; i++)
		if (subcommands[i].purpose != NULL)
			printf("  %-8s %s\n", subcommands[i].name,
				   subcommands[i].purpose);
	printf("\n\"walarch SUBCOMMAND --help\" tells more; --version the "
		   "version.\n");
}

/*
 * A missing standard descriptor would be given to the next file opened, and
 * a message would be written into it.
 */
static bool
hold_standard_descriptors(void)
{
	int			fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd < 0)
	{
		perror("walarch: could not open \"/dev/null\"");
		return false;
	}
	close(fd);
	return true;
}

int
main(int argc, char **argv)
{
	if (!hold_standard_descriptors())
		return argc > 1 && strcmp(argv[1], "prefetch") == 0 ?
			WA_EXIT_FAILED : WA_EXIT_GET_STOP;
	wa_detach_remember(argc, argv);
	if (argc < 2)
	{
		print_help();
		return wa_exit_misuse();
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-?") == 0)
	{
		print_help();
		return WA_EXIT_OK;
	}
	if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0)
	{
		printf("walarch %s\n", WA_VERSION);
		return WA_EXIT_OK;
	}
	for (size_t i = 0; i < SUBCOMMANDS_COUNT; i++)
		if (strcmp(argv[1], subcommands[i].name) == 0)
			return subcommands[i].run(argc - 1, argv + 1);
	fprintf(stderr, "walarch: unknown subcommand \"%s\"\n"
			"Try \"walarch --help\".\n", argv[1]);
	return wa_exit_misuse();
}
