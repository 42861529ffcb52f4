/*
 * cmd_init.c
 *	  walarch init: make a directory the archive of a cluster.
 */
#include "cli/cli.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive/identity.h"

static const char usage[] =
"walarch init makes a directory the archive of a cluster.\n"
"\n"
"Usage:\n"
"  walarch init --archive DIR -D DATADIR [--private]\n"
"\n"
"Options:\n"
"  --archive DIR     archive directory (or WALARCH_ARCHIVE); created if it is\n"
"                    not there\n"
"  -D, --pgdata DIR  data directory of the cluster (or PGDATA); its system\n"
"                    identifier and segment size are read from pg_control\n"
"  --private         for a new archive that serves one standby alone: allows\n"
"                    \"walarch prune --before\" as its archive_cleanup_command\n"
"  --help            this text\n"
"\n"
"The server does this by itself for an empty directory that it has never used.\n"
"Everything else is refused until a person who has looked runs this command:\n"
"a directory that is not empty, or one whose marker has vanished (is the file\n"
"system mounted?). The archive of another cluster is always refused.\n"
"\n"
"Exit status: 0 done, or it was this cluster's archive already; 1 failed;\n"
"2 wrong usage.\n";

static int
fail(const WaError *err)
{
	wa_cli_error("init", err);
	return WA_EXIT_FAILED;
}

static WaCode
init(const char *archive, const char *datadir, bool is_private,
	 WaMarker *marker, WaError *err)
{
	WaStoreOptions options = {0};
	WaControlFile control;
	WaIdentity	identity = {.path = archive, .is_private = is_private};
	WaStore    *store;
	WaCode		code;

	if (wa_cli_control(datadir, &control, err) != WA_OK)
	{
		if (err->code == WA_NOT_FOUND)
			wa_hint(err, "-D must name the data directory of the cluster.");
		return err->code;
	}
	if (!control.known)
		return wa_fail(err, WA_UNSUPPORTED,
					   "\"%s\" is the data directory of a version of "
					   "PostgreSQL that this walarch does not know", datadir);
	identity.system_identifier = control.system_identifier;
	identity.segment_bytes = control.segment_bytes;
	wa_cli_modes(datadir, &options.file_mode, &options.dir_mode);
	if (!wa_cli_random(options.token, WA_TOKEN_BYTES - 1) ||
		!wa_cli_random(identity.new_archive_id, WA_ARCHIVE_ID_TEXT_BYTES - 1))
		return wa_fail(err, WA_IO, "could not get random numbers");

	if (archive[0] == '/' && mkdir(archive, options.dir_mode) != 0 &&
		errno != EEXIST)
		return wa_fail_errno(err, errno, "could not create directory \"%s\"",
							 archive);
	if (wa_store_dir_open(archive, &options, &store, err) != WA_OK)
		return err->code;
	code = wa_identity_init(store, &identity, marker, err);
	wa_store_close(store);
	return code;
}

int
wa_cmd_init(int argc, char **argv)
{
	static const struct option long_options[] = {
		{"archive", required_argument, NULL, 'a'},
		{"pgdata", required_argument, NULL, 'D'},
		{"private", no_argument, NULL, 'p'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0}
	};
	const char *archive = NULL;
	const char *datadir = NULL;
	bool		is_private = false;
	struct stat st;
	WaMarker	marker;
	WaError		err;
	WaCode		code;
	int			c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, ":D:", long_options, NULL)) != -1)
	{
		switch (c)
		{
			case 'a':
				archive = optarg;
				break;
			case 'D':
				datadir = optarg;
				break;
			case 'p':
				is_private = true;
				break;
			case 'h':
				fputs(usage, stdout);
				return WA_EXIT_OK;
			default:
				return wa_cli_usage("init", "invalid option \"%s\"",
									argv[optind - 1]);
		}
	}
	archive = wa_cli_archive(archive);
	datadir = wa_cli_datadir(datadir);
	if (optind < argc)
		return wa_cli_usage("init", "unexpected argument \"%s\"",
							argv[optind]);
	if (archive == NULL)
		return wa_cli_usage("init", "no archive was given: use --archive");
	if (datadir == NULL)
		return wa_cli_usage("init", "no data directory was given: use -D");

	/* what root makes, the server could not read */
	if (stat(datadir, &st) != 0)
	{
		wa_fail_errno(&err, errno, "could not open \"%s\"", datadir);
		return fail(&err);
	}
	if (st.st_uid != geteuid())
	{
		wa_fail(&err, WA_INVALID, "must be run by the user that owns \"%s\"",
				datadir);
		return fail(&err);
	}

	umask(0);
	code = init(archive, datadir, is_private, &marker, &err);
	if (code != WA_OK && code != WA_EXISTS)
		return fail(&err);
	if (is_private && !marker.is_private)
	{
		wa_fail(&err, WA_INVALID, "\"%s\" is an archive already, and not a "
				"private one", archive);
		wa_hint(&err, "If it really serves one standby alone, add the line "
				"\"private: yes\" to its archive.id.");
		return fail(&err);
	}
	printf("\"%s\" is %sthe archive of the cluster with system identifier "
		   "%" PRIu64 ", archive id %s\n", archive,
		   code == WA_EXISTS ? "already " : "now ",
		   marker.system_identifier, marker.archive_id);
	return WA_EXIT_OK;
}
