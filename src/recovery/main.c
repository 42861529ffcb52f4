/*
 * main.c
 *	  walarch-recovery: what of the command needs more libraries than the
 *	  command itself, which has to start fast.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "recovery/policy.h"

#define ARGUMENTS_MAX	256

/* Take "--name VALUE" or "--name=VALUE", or "-n VALUE"; moves *at past it. */
static bool
take_option(int argc, char **argv, int *at, const char *name, char letter,
			const char **value)
{
	const char *word = argv[*at];
	size_t		length = strlen(name);

	if (strncmp(word, "--", 2) == 0 && strncmp(word + 2, name, length) == 0 &&
		word[2 + length] == '=')
		*value = word + 2 + length + 1;
	else if (word[0] == '-' && word[1] == letter && word[2] != '\0')
		*value = word + 2;
	else if (((word[0] == '-' && word[1] == letter && word[2] == '\0') ||
			  (strncmp(word, "--", 2) == 0 && strcmp(word + 2, name) == 0)) &&
			 *at + 1 < argc)
		*value = argv[++*at];
	else
		return false;
	return true;
}

/* walarch prune without a rule: that of the server. */
static int
prune(int argc, char **argv)
{
	char	   *words[ARGUMENTS_MAX];
	int			count = 0;
	WaServer	server = {0};
	WaServerPolicy policy;
	const char *archive = NULL;
	WaError		err;

	if (argc > ARGUMENTS_MAX - 8)
		return wa_cli_usage("prune", "too many arguments");
	for (int i = 0; i < argc; i++)
	{
		if (i > 0 &&
			(take_option(argc, argv, &i, "dbname", 'd', &server.dbname) ||
			 take_option(argc, argv, &i, "host", 'h', &server.host) ||
			 take_option(argc, argv, &i, "port", 'p', &server.port) ||
			 take_option(argc, argv, &i, "username", 'U', &server.user)))
			continue;
		words[count++] = argv[i];
		if (strcmp(argv[i], "--archive") == 0 && i + 1 < argc)
			words[count++] = argv[++i];
		if (strncmp(argv[i], "--archive=", 10) == 0)
			archive = argv[i] + 10;
		else if (count > 1 && strcmp(words[count - 2], "--archive") == 0)
			archive = words[count - 1];
	}
	archive = wa_cli_archive(archive);
	if (archive == NULL)
		return wa_cli_usage("prune", "no archive was given: use --archive");
	if (wa_policy_ask(&server, archive, &policy, &err) != WA_OK)
	{
		wa_cli_error("prune", &err);
		return err.code == WA_INVALID ? WA_EXIT_USAGE : WA_EXIT_FAILED;
	}
	words[count++] = (char *) "--retention-backups";
	words[count++] = policy.backups;
	words[count++] = (char *) "--retention-window";
	words[count++] = policy.window;
	words[count++] = (char *) "--retention-size";
	words[count++] = policy.size;
	words[count] = NULL;
	return wa_cmd_prune(count, words);
}

int
main(int argc, char **argv)
{
	if (argc >= 2 && strcmp(argv[1], "prune") == 0)
		return prune(argc - 1, argv + 1);
	fprintf(stderr, "walarch-recovery is a part of walarch, which starts it when "
			"needed.\nTry \"walarch --help\".\n");
	return WA_EXIT_USAGE;
}
