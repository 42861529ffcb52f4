/*
 * cmd_list.c
 *	  walarch list: what an archive holds, and what it lacks.
 */
#include "cli/cli.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "cli/list.h"
#include "cli/text.h"

static const char usage[] =
"walarch list shows what an archive holds, what it lacks, and to which points\n"
"it can be recovered.\n"
"\n"
"Usage:\n"
"  walarch list --archive DIR [OPTION]...\n"
"\n"
"Options:\n"
"  --archive DIR         the archive directory (or WALARCH_ARCHIVE)\n"
"  --segments            each segment with its times, instead of the summary\n"
"  --restore-point NAME  where this named restore point lies\n"
"  --at TIME             which segment a recovery to this time ends in, such as\n"
"                        \"2026-11-23 02:15:00\" (local time), with \"UTC\" or an\n"
"                        offset such as \"+02\" behind it if that is meant\n"
"  --timeline N          only this timeline; for --at, the one to be recovered\n"
"                        (default: the latest)\n"
"  --json                JSON instead of text; sizes in bytes, times in UTC\n"
"  --help                this text\n"
"\n"
"Reads names, the small files and the ends of objects; decompresses no\n"
"segment. Whether they are whole is what \"walarch get\" proves of each.\n"
"\n"
"Exit status: 0 fine; 1 something is missing between segments, is in doubt, was\n"
"not found, or the archive could not be read; 2 wrong usage.\n";

/* One kind of question, one function. */
static WaCode
answer(const WaListOptions *options, WaStore *store,
	   const WaCatalogue *catalogue, bool *found, WaError *err)
{
	if (options->restore_point != NULL)
		return wa_list_point(options, store, catalogue, found, err);
	if (options->at_given)
		return wa_list_moment(options, store, catalogue, found, err);
	if (options->segments)
		return wa_list_segments(options, store, catalogue, found, err);
	return wa_list_summary(options, store, catalogue, found, err);
}

static int
run(const char *path, const WaListOptions *options)
{
	WaCatalogue catalogue;
	WaStore    *store;
	WaError		err;
	bool		good = false;

	if (wa_cli_catalogue(path, &store, &catalogue, &err) != WA_OK)
	{
		wa_cli_error("list", &err);
		return WA_EXIT_FAILED;
	}
	if (answer(options, store, &catalogue, &good, &err) != WA_OK)
	{
		wa_cli_error("list", &err);
		good = false;
	}
	wa_catalogue_free(&catalogue);
	wa_store_close(store);
	return good ? WA_EXIT_OK : WA_EXIT_FAILED;
}

int
wa_cmd_list(int argc, char **argv)
{
	static const struct option long_options[] = {
		{"archive", required_argument, NULL, 'a'},
		{"segments", no_argument, NULL, 's'},
		{"restore-point", required_argument, NULL, 'r'},
		{"at", required_argument, NULL, 't'},
		{"timeline", required_argument, NULL, 'T'},
		{"json", no_argument, NULL, 'j'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0}
	};
	WaListOptions options = {0};
	const char *archive = NULL;
	uint64_t	number;
	int			c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, ":", long_options, NULL)) != -1)
		switch (c)
		{
			case 'a':
				archive = optarg;
				break;
			case 's':
				options.segments = true;
				break;
			case 'r':
				options.restore_point = optarg;
				break;
			case 't':
				if (!wa_cli_time_parse(optarg, &options.at_us))
					return wa_cli_usage("list", "\"%s\" is not a point in "
										"time, or not one only", optarg);
				options.at_given = true;
				break;
			case 'T':
				if (!wa_text_number(optarg, 1, UINT32_MAX, &number))
					return wa_cli_usage("list", "\"%s\" is not a timeline",
										optarg);
				options.tli = (uint32_t) number;
				break;
			case 'j':
				options.json = true;
				break;
			case 'h':
				fputs(usage, stdout);
				return WA_EXIT_OK;
			default:
				return wa_cli_usage("list", "invalid option \"%s\"",
									argv[optind - 1]);
		}
	if (optind < argc)
		return wa_cli_usage("list", "unexpected argument \"%s\"",
							argv[optind]);
	if (options.segments + options.at_given +
		(options.restore_point != NULL) > 1)
		return wa_cli_usage("list", "--segments, --at and --restore-point "
							"exclude each other");
	archive = wa_cli_archive(archive);
	if (archive == NULL)
		return wa_cli_usage("list", "no archive was given: use --archive");
	return run(archive, &options);
}
