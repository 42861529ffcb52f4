/*
 * get_options.c
 *	  The command line of `walarch get`, and of the prefetcher it starts.
 */
#include "cli/get_options.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "archive/window.h"
#include "cli/cli.h"
#include "cli/exitcode.h"
#include "cli/text.h"

#define SECONDS_MAX				86400

/* Defaults in seconds; a standby cannot be promoted while we run. */
#define TIMEOUT_RECOVERY_S		60
#define TIMEOUT_STANDBY_S		5
#define RETRY_RECOVERY_S		30
#define RETRY_STANDBY_S			5

const char *const wa_get_usage =
"walarch get restores one file from the archive: the restore_command.\n"
"\n"
"Usage:\n"
"  walarch get --archive DIR [OPTION]... %f %p\n"
"\n"
"Options:\n"
"  --archive DIR     archive directory (or WALARCH_ARCHIVE)\n"
"  --also DIR        look there, too, for FILE, FILE.zst, FILE.gz and FILE.lz4\n"
"                    as cp or a compressing archive_command left them; may be\n"
"                    given several times\n"
"  --until SEGMENT   recovery ends in this segment: failures for later ones do\n"
"                    not stop it\n"
"  --retry-for SEC   try again for so long what may pass (30; on a standby 5)\n"
"  --timeout SEC     wait no longer for a single operation (60; on a standby 5)\n"
"  --strict          stop also a standby when the answer is not known\n"
"  --no-strict       stop nobody\n"
"  --prefetch N|off  fetch up to N segments ahead in the background (8, and no\n"
"                    more than 128 MB)\n"
"  --spool DIR       where they wait, without a name; on the file system of\n"
"                    pg_wal (pg_wal itself)\n"
"  --new-tablespaces empty|none|any\n"
"                    deliver a segment that makes a tablespace only where the\n"
"                    directory is empty; not at all; or anyway, as PostgreSQL\n"
"                    does (any)\n"
"  --help            this text\n"
"\n"
"Exit status: 0 delivered and verified; 1 proven to be absent; 200 not known,\n"
"which stops recovery. On a standby (standby.signal in the working directory)\n"
"200 becomes 1, with a message: it asks again.\n";

void
wa_get_defaults(WaGetOptions *options)
{
	memset(options, 0, sizeof(*options));
	options->standby = wa_exit_on_standby();
	options->strict = !options->standby;
	options->retry_s = options->standby ? RETRY_STANDBY_S : RETRY_RECOVERY_S;
	options->timeout_s = options->standby ?
		TIMEOUT_STANDBY_S : TIMEOUT_RECOVERY_S;
	options->prefetch = WA_GET_PREFETCH_DEFAULT;
}

const char *
wa_get_split(const char *path, char *directory, size_t directory_bytes)
{
	const char *slash = strrchr(path, '/');

	if (slash == NULL)
	{
		snprintf(directory, directory_bytes, ".");
		return path;
	}
	snprintf(directory, directory_bytes, "%.*s",
			 slash == path ? 1 : (int) (slash - path), path);
	return slash + 1;
}

static bool
parse_prefetch(const char *text, int *value)
{
	uint64_t	number = 0;

	if (strcmp(text, "off") != 0 &&
		!wa_text_number(text, 1, WA_WINDOW_MAX, &number))
		return false;
	*value = (int) number;
	return true;
}

static bool
parse_tablespaces(const char *text, WaTablespaces *rule)
{
	if (strcmp(text, "empty") == 0)
		*rule = WA_TABLESPACES_EMPTY;
	else if (strcmp(text, "none") == 0)
		*rule = WA_TABLESPACES_NONE;
	else if (strcmp(text, "any") == 0)
		*rule = WA_TABLESPACES_ANY;
	else
		return false;
	return true;
}

/*
 * The word getopt_long could not make sense of.  It moves on before it
 * reports, unless more letters follow the first in a word of short options.
 */
static const char *
offending_word(int argc, char **argv)
{
	if (optopt != 0 && optind < argc && argv[optind][0] == '-' &&
		argv[optind][1] == optopt && argv[optind][2] != '\0')
		return argv[optind];
	return argv[optind - 1];
}

WaCode
wa_get_options(int argc, char **argv, WaGetOptions *options, WaError *err)
{
	static const struct option long_options[] = {
		{"archive", required_argument, NULL, 'a'},
		{"also", required_argument, NULL, 'A'},
		{"until", required_argument, NULL, 'u'},
		{"retry-for", required_argument, NULL, 'r'},
		{"timeout", required_argument, NULL, 't'},
		{"prefetch", required_argument, NULL, 'p'},
		{"spool", required_argument, NULL, 'S'},
		{"new-tablespaces", required_argument, NULL, 'T'},
		{"strict", no_argument, NULL, 's'},
		{"no-strict", no_argument, NULL, 'n'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0}
	};
	uint64_t	number;
	int			c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, ":", long_options, NULL)) != -1)
	{
		switch (c)
		{
			case 'a':
				options->archive = optarg;
				break;
			case 'A':
				if (options->also_count == WA_GET_ALSO_MAX)
					return wa_fail(err, WA_INVALID,
								   "more than %d directories with --also",
								   WA_GET_ALSO_MAX);
				options->also[options->also_count++] = optarg;
				break;
			case 'u':
				if (wa_walname_parse(optarg, &options->until, err) != WA_OK)
					return err->code;
				if (options->until.kind != WA_KIND_SEGMENT)
					return wa_fail(err, WA_INVALID,
								   "--until needs the name of a WAL segment, "
								   "not \"%s\"", optarg);
				options->until_given = true;
				break;
			case 'r':
				if (!wa_text_number(optarg, 0, SECONDS_MAX, &number))
					return wa_fail(err, WA_INVALID,
								   "--retry-for needs seconds from 0 to %d",
								   SECONDS_MAX);
				options->retry_s = (long) number;
				break;
			case 't':
				if (!wa_text_number(optarg, 1, SECONDS_MAX, &number))
					return wa_fail(err, WA_INVALID,
								   "--timeout needs seconds from 1 to %d",
								   SECONDS_MAX);
				options->timeout_s = (long) number;
				break;
			case 'p':
				if (!parse_prefetch(optarg, &options->prefetch))
					return wa_fail(err, WA_INVALID,
								   "--prefetch needs a number from 1 to %d, "
								   "or off", WA_WINDOW_MAX);
				break;
			case 'S':
				options->spool = optarg;
				break;
			case 'T':
				if (!parse_tablespaces(optarg, &options->tablespaces))
					return wa_fail(err, WA_INVALID, "--new-tablespaces needs "
								   "empty, none or any");
				break;
			case 's':
				options->strict = true;
				break;
			case 'n':
				options->strict = false;
				break;
			case 'h':
				return WA_CANCELLED;
			default:
				return wa_fail(err, WA_INVALID, c == ':' ?
							   "option \"%s\" needs a value" :
							   "unknown option \"%s\"",
							   offending_word(argc, argv));
		}
	}
	options->archive = wa_cli_archive(options->archive);
	if (argc - optind != 2)
		return wa_fail(err, WA_INVALID,
					   "two arguments are needed, %%f and %%p; %d were given",
					   argc - optind);
	options->file = argv[optind];
	options->destination = argv[optind + 1];
	if (options->archive == NULL)
		return wa_fail(err, WA_INVALID, "no archive was given: use --archive");
	return WA_OK;
}
