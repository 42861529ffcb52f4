/*
 * cmd_prune.c
 *	  walarch prune: delete what retention lets go of.
 */
#include "cli/cli.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "archive/identity.h"
#include "archive/retention.h"
#include "cli/json.h"
#include "cli/second.h"
#include "cli/text.h"

static const char usage[] =
"walarch prune deletes what retention lets go of, and says why for everything\n"
"that goes or stays. Without --apply it only says so.\n"
"\n"
"Usage:\n"
"  walarch prune --archive DIR [--retention-backups N] [--retention-window TIME]\n"
"                [--retention-size SIZE] [--give-up TIMELINE] [--apply]\n"
"                [--json] [--quiet]\n"
"  walarch prune --archive DIR [-d CONNSTR] [-h HOST] [-p PORT] [-U USER]\n"
"                [--give-up TIMELINE] [--apply] [--json] [--quiet]\n"
"  walarch prune --archive DIR --before FILE [--force] [--quiet]\n"
"\n"
"Options:\n"
"  --archive DIR            archive directory (or WALARCH_ARCHIVE)\n"
"  --retention-backups N    keep the newest N backups whose data is in the\n"
"                           archive, and all WAL since the oldest of them\n"
"  --retention-window TIME  keep every point in time recoverable that lies so\n"
"                           far or less before the newest recoverable one: a\n"
"                           number and s, min, h or d\n"
"  --retention-size SIZE    let the window begin later while WAL and backups in\n"
"                           the archive take more than that, never below one\n"
"                           such backup: a number and kB, MB, GB or TB\n"
"  -d, --dbname CONNSTR, -h, --host HOST, -p, --port PORT, -U, --username USER\n"
"                           without a rule: ask this server for its settings\n"
"                           walarch.retention_*; as for all tools of PostgreSQL,\n"
"                           the environment (PGHOST ...) serves, too\n"
"  --give-up TIMELINE       nobody will recover to this timeline: needed to let\n"
"                           go of one that was written on beside a later one,\n"
"                           which looks like a server that is idle now\n"
"  --apply                  delete\n"
"  --json                   one JSON object; sizes in bytes\n"
"  --before FILE            the archive_cleanup_command of a standby that has\n"
"                           an archive of its own (walarch init --private):\n"
"                           delete all WAL before this file (%r), on every\n"
"                           timeline, except what is pinned\n"
"  --force                  with --before, also in an archive that is not\n"
"                           marked as private, and outside of the data\n"
"                           directory of a standby\n"
"  --quiet                  print nothing but errors\n"
"  --help                   this text\n"
"\n"
"What stays is the union of what each option and each pin wants kept. History\n"
"files and damaged/ are never deleted, and nothing at all while there is a\n"
"doubt: a file that cannot be read, a timeline without its history, a newest\n"
"backup that cannot be restored, commits that lie in the future.\n"
"\n"
"Exit status: 0 done, or nothing to do; 1 failed, or nothing was deleted because\n"
"of a doubt; 2 wrong usage, or no rule and no server that could be asked.\n";

#define SERVER_OPTIONS		4

typedef struct Options
{
	const char *archive;
	WaPolicy	policy;
	bool		policy_given;
	bool		apply;
	bool		json;
	const char *before;
	bool		force;
	bool		quiet;
	const char *server[SERVER_OPTIONS]; /* as given; NULL: not */
	bool		server_given;
	const char *give_up;		/* as given */
	uint64_t	cluster;		/* whose rule it is; 0: the caller's own */
} Options;

static const char *const server_options[SERVER_OPTIONS] = {
	"--dbname", "--host", "--port", "--username"
};

static void
print_json(const WaRetention *retention)
{
	const WaPlan *plan = &retention->plan;
	char		name[WA_GROUP_NAME_BYTES];

	wa_json_string("doubt", plan->doubt_reason);
	wa_json_string("warning", plan->warning);
	wa_json_array("objects");
	for (size_t i = 0; i < plan->count; i++)
	{
		const WaGroup *group = &plan->groups[i];

		wa_json_object(NULL);
		wa_json_string("object", wa_group_name(retention, group, name));
		wa_json_string("kind", wa_group_kind_name(group->kind));
		wa_json_number("bytes", (int64_t) group->bytes);
		wa_json_string("action", group->goes ? "delete" : "keep");
		wa_json_string("reason", group->reason);
		wa_json_end();
	}
	wa_json_end();
}

static void
print_text(const WaRetention *retention)
{
	const WaPlan *plan = &retention->plan;
	char		name[WA_GROUP_NAME_BYTES];
	char		size[WA_SIZE_TEXT_BYTES];

	for (size_t i = 0; i < plan->count; i++)
	{
		const WaGroup *group = &plan->groups[i];

		printf("%-6s  %-52s  %9s  ", group->goes ? "delete" : "keep",
			   wa_group_name(retention, group, name),
			   wa_text_of_size(group->bytes, size));
		wa_text_print(stdout, group->reason);
		printf("\n");
	}
}

static bool
go_on(void *arg, const WaPruned *pruned)
{
	return true;
}

static WaCode
make_plan(const Options *options, WaStore *store, const WaMarker *marker,
		  WaZstd *zstd, WaRetention *retention, WaError *err)
{
	WaWalName	name;
	uint64_t	segno;

	if (options->before == NULL)
		return wa_retention_plan(store, marker, zstd, options->policy,
								 wa_cli_now_us(), retention, err);
	if (!marker->is_private && !options->force)
	{
		wa_fail(err, WA_REFUSED, "\"%s\" is not marked as the private archive "
				"of one standby", options->archive);
		wa_hint(err, "Other servers, and backups, may need what this standby "
				"does not. If none does, add the line \"private: yes\" to its "
				"archive.id, or use --force.");
		return err->code;
	}
	if (access("standby.signal", F_OK) != 0 && !options->force)
	{
		wa_fail(err, WA_REFUSED, "this is not the data directory of a standby: "
				"there is no \"standby.signal\"");
		wa_hint(err, "A recovery that ends runs archive_cleanup_command as "
				"well, and could not be repeated: remove it from its "
				"configuration. By hand, use --force.");
		return err->code;
	}
	if (wa_walname_parse(options->before, &name, err) != WA_OK ||
		wa_walname_segno(&name, marker->segment_bytes, &segno, err) != WA_OK)
		return err->code;
	return wa_retention_before(store, marker, zstd, segno, wa_cli_now_us(),
							   retention, err);
}

static void
report(const Options *options, const WaRetention *retention, bool done,
	   const WaPruned *pruned)
{
	const WaPlan *plan = &retention->plan;
	char		size[WA_SIZE_TEXT_BYTES];

	if (plan->warning[0] != '\0' && !options->quiet)
		fprintf(stderr, "walarch prune: warning: %s\n", plan->warning);
	if (plan->doubt)
		fprintf(stderr, "walarch prune: nothing is deleted in doubt: %s\n",
				plan->doubt_reason);
	if (options->json)
	{
		wa_json_bool("applied", done);
		wa_json_number("deleted_objects", (int64_t) pruned->objects);
		wa_json_number("deleted_bytes", (int64_t) pruned->bytes);
	}
	else if (!options->quiet && done)
		printf("%" PRIu64 " objects deleted, %s\n", pruned->objects,
			   wa_text_of_size(pruned->bytes, size));
	else if (!options->quiet && !plan->doubt && !options->apply)
	{
		uint64_t	bytes = 0;

		for (size_t i = 0; i < plan->count; i++)
			bytes += plan->groups[i].goes ? plan->groups[i].bytes : 0;
		printf("Nothing was deleted; --apply would free %s.\n",
			   wa_text_of_size(bytes, size));
	}
}

static WaCode
prune(const Options *options, bool *doubt, WaError *err)
{
	bool		apply = options->apply || options->before != NULL;
	WaZstd	   *zstd = wa_zstd_open();
	WaStore    *store = NULL;
	WaMarker	marker;
	WaRetention retention;
	WaPruned	pruned = {0};
	WaCode		code = WA_OK;

	*doubt = false;
	if (zstd == NULL)
		return wa_fail(err, WA_NO_MEMORY, "out of memory");
	if (wa_cli_archive_open(options->archive, &store, &marker, err) != WA_OK ||
		(options->cluster != 0 &&
		 wa_identity_check(&marker, options->archive, options->cluster,
						   marker.segment_bytes, err) != WA_OK) ||
		(apply && wa_retention_lock(store, err) != WA_OK) ||
		make_plan(options, store, &marker, zstd, &retention, err) != WA_OK)
	{
		wa_zstd_close(zstd);
		wa_store_close(store);
		return err->code;
	}
	*doubt = retention.plan.doubt;
	if (options->json)
	{
		wa_json_object(NULL);
		print_json(&retention);
	}
	else if (!options->quiet)
		print_text(&retention);
	fflush(stdout);				/* why, before anything is deleted */
	if (apply && !*doubt)
		code = wa_retention_prune(store, options->archive, &retention, go_on,
								  NULL, &pruned, err);
	report(options, &retention, apply && !*doubt && code == WA_OK, &pruned);
	if (options->json)
		wa_json_end();
	wa_retention_free(&retention);
	wa_zstd_close(zstd);
	wa_store_close(store);
	return code;
}

/* Only what was understood is handed on, in its full form. */
static int
ask_server(const Options *options)
{
	char	   *words[10 + 2 * SERVER_OPTIONS] = {
		(char *) "prune", (char *) "--archive", (char *) options->archive
	};
	int			count = 3;

	for (int i = 0; i < SERVER_OPTIONS; i++)
		if (options->server[i] != NULL)
		{
			words[count++] = (char *) server_options[i];
			words[count++] = (char *) options->server[i];
		}
	if (options->give_up != NULL)
	{
		words[count++] = (char *) "--give-up";
		words[count++] = (char *) options->give_up;
	}
	if (options->apply)
		words[count++] = (char *) "--apply";
	if (options->json)
		words[count++] = (char *) "--json";
	if (options->quiet)
		words[count++] = (char *) "--quiet";
	return wa_second_run(count, words);
}

static int
check(const Options *options)
{
	if (options->archive == NULL)
		return wa_cli_usage("prune", "no archive was given: use --archive");
	if (options->before != NULL &&
		(options->policy_given || options->json || options->give_up != NULL))
		return wa_cli_usage("prune", "--before goes with no other rule, and "
							"with no --json");
	if (options->before == NULL && options->force)
		return wa_cli_usage("prune", "--force goes with --before only");
	if (options->server_given &&
		(options->before != NULL || options->policy_given))
		return wa_cli_usage("prune", "a server is asked only when no rule is "
							"given");
	return WA_EXIT_OK;
}

int
wa_cmd_prune(int argc, char **argv)
{
	static const struct option long_options[] = {
		{"archive", required_argument, NULL, 'a'},
		{"retention-backups", required_argument, NULL, 'n'},
		{"retention-window", required_argument, NULL, 'w'},
		{"retention-size", required_argument, NULL, 's'},
		{"apply", no_argument, NULL, 'A'},
		{"json", no_argument, NULL, 'j'},
		{"before", required_argument, NULL, 'b'},
		{"force", no_argument, NULL, 'f'},
		{"quiet", no_argument, NULL, 'q'},
		{"dbname", required_argument, NULL, 'd'},
		{"host", required_argument, NULL, 'h'},
		{"port", required_argument, NULL, 'p'},
		{"username", required_argument, NULL, 'U'},
		{"give-up", required_argument, NULL, 'g'},
		{"of-cluster", required_argument, NULL, 'c'},
		{"help", no_argument, NULL, 'H'},
		{NULL, 0, NULL, 0}
	};
	Options		options = {0};
	uint64_t	number;
	bool		doubt;
	WaError		err;
	int			c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, ":d:h:p:U:", long_options, NULL)) != -1)
	{
		switch (c)
		{
			case 'a':
				options.archive = optarg;
				break;
			case 'n':
				if (!wa_text_number(optarg, 0, INT32_MAX, &number))
					return wa_cli_usage("prune", "\"%s\" is not a number of "
										"backups", optarg);
				options.policy.backups = (uint32_t) number;
				options.policy_given = true;
				break;
			case 'w':
				if (!wa_text_duration(optarg, &options.policy.window_us))
					return wa_cli_usage("prune", "\"%s\" is not a length of "
										"time, such as 7d", optarg);
				options.policy_given = true;
				break;
			case 's':
				if (!wa_text_size(optarg, &options.policy.bytes))
					return wa_cli_usage("prune", "\"%s\" is not a size, such "
										"as 500GB", optarg);
				options.policy_given = true;
				break;
			case 'g':
				if (!wa_text_number(optarg, 1, UINT32_MAX, &number))
					return wa_cli_usage("prune", "\"%s\" is not a timeline",
										optarg);
				options.policy.given_up = (uint32_t) number;
				options.give_up = optarg;
				break;
			case 'A':
				options.apply = true;
				break;
			case 'j':
				options.json = true;
				break;
			case 'b':
				options.before = optarg;
				break;
			case 'f':
				options.force = true;
				break;
			case 'q':
				options.quiet = true;
				break;
			case 'd':
			case 'h':
			case 'p':
			case 'U':
				options.server[c == 'd' ? 0 : c == 'h' ? 1 : c == 'p' ? 2 : 3] =
					optarg;
				options.server_given = true;
				break;
			case 'c':
				/* from the second program only */
				options.cluster = strtoull(optarg, NULL, 10);
				break;
			case 'H':
				fputs(usage, stdout);
				return WA_EXIT_OK;
			default:
				return wa_cli_usage("prune", "invalid option \"%s\"",
									argv[optind - 1]);
		}
	}
	if (optind < argc)
		return wa_cli_usage("prune", "unexpected argument \"%s\"",
							argv[optind]);
	options.archive = wa_cli_archive(options.archive);
	if (check(&options) != WA_EXIT_OK)
		return WA_EXIT_USAGE;
	if (options.before == NULL && !options.policy_given)
		return ask_server(&options);
	if (prune(&options, &doubt, &err) != WA_OK)
	{
		wa_cli_error("prune", &err);
		return WA_EXIT_FAILED;
	}
	return doubt ? WA_EXIT_FAILED : WA_EXIT_OK;
}
