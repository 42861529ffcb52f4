/*
 * main.c
 *	  walarch-recovery: what of the command needs more libraries than the
 *	  command itself, which has to start fast.
 */
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "recovery/policy.h"
#include "recovery/recovery.h"

#define ARGUMENTS_MAX	32

int
wa_prune_by_server(const WaServer *server, const char *archive,
				   char *const *more)
{
	char	   *words[ARGUMENTS_MAX] = {
		(char *) "prune", (char *) "--archive", (char *) archive
	};
	int			count = 3;
	WaServerPolicy policy;
	char		cluster[24];
	WaError		err;

	if (wa_policy_ask(server, archive, &policy, &err) != WA_OK)
	{
		wa_cli_error("prune", &err);
		return err.code == WA_INVALID ? WA_EXIT_USAGE : WA_EXIT_FAILED;
	}
	snprintf(cluster, sizeof(cluster), "%" PRIu64, policy.system_identifier);
	words[count++] = (char *) "--of-cluster";
	words[count++] = cluster;
	words[count++] = (char *) "--retention-backups";
	words[count++] = policy.backups;
	words[count++] = (char *) "--retention-window";
	words[count++] = policy.window;
	words[count++] = (char *) "--retention-size";
	words[count++] = policy.size;
	while (*more != NULL && count < ARGUMENTS_MAX - 1)
		words[count++] = *more++;
	words[count] = NULL;
	optind = 1;
	return wa_cmd_prune(count, words);
}

/* walarch prune without a rule, as walarch hands it on: that of the server. */
static int
prune(int argc, char **argv)
{
	static const struct option long_options[] = {
		WA_SERVER_OPTIONS,
		{"archive", required_argument, NULL, 'a'},
		{"give-up", required_argument, NULL, 'g'},
		{"apply", no_argument, NULL, 'A'},
		{"json", no_argument, NULL, 'j'},
		{"quiet", no_argument, NULL, 'q'},
		{NULL, 0, NULL, 0}
	};
	char	   *more[6];
	int			count = 0;
	WaServer	server = {0};
	const char *archive = NULL;
	bool		apply = false;
	bool		json = false;
	bool		quiet = false;
	int			c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, WA_SERVER_LETTERS, long_options,
							NULL)) != -1)
	{
		if (wa_server_option(&server, c, optarg))
			continue;
		if (c == 'a')
			archive = optarg;
		else if (c == 'g')
		{
			more[count++] = (char *) "--give-up";
			more[count++] = optarg;
		}
		else if (c == 'A')
			apply = true;
		else if (c == 'j')
			json = true;
		else if (c == 'q')
			quiet = true;
		else
			return wa_cli_usage("prune", "invalid option \"%s\"",
								argv[optind - 1]);
	}
	if (archive == NULL)
		return wa_cli_usage("prune", "no archive was given: use --archive");
	if (apply)
		more[count++] = (char *) "--apply";
	if (json)
		more[count++] = (char *) "--json";
	if (quiet)
		more[count++] = (char *) "--quiet";
	more[count] = NULL;
	return wa_prune_by_server(&server, archive, more);
}

int
main(int argc, char **argv)
{
	/* whoever started us may have ignored it: then nobody could be waited for */
	(void) signal(SIGCHLD, SIG_DFL);
	if (argc >= 2 && strcmp(argv[1], "backup") == 0)
		return wa_cmd_backup(argc - 1, argv + 1);
	if (argc >= 2 && strcmp(argv[1], "drill") == 0)
		return wa_cmd_drill(argc - 1, argv + 1);
	if (argc >= 2 && strcmp(argv[1], "restore") == 0)
		return wa_cmd_restore(argc - 1, argv + 1);
	if (argc >= 2 && strcmp(argv[1], "prune") == 0)
		return prune(argc - 1, argv + 1);
	fprintf(stderr, "walarch-recovery is a part of walarch, which starts it when "
			"needed.\nTry \"walarch --help\".\n");
	return WA_EXIT_USAGE;
}
