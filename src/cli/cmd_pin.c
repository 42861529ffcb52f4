/*
 * cmd_pin.c
 *	  walarch pin and unpin: what must stay, whatever retention says.
 */
#include "cli/cli.h"

#include <getopt.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "archive/identity.h"
#include "archive/pins.h"
#include "archive/retention.h"
#include "cli/json.h"
#include "cli/text.h"
#include "core/lsn.h"

static const char pin_usage[] =
"walarch pin keeps WAL in an archive, whatever retention says, or lists what is\n"
"kept so.\n"
"\n"
"Usage:\n"
"  walarch pin --archive DIR NAME (--lsn LSN | --backup ID | --time TIME |\n"
"              --restore-point POINT) [--expires TIME]\n"
"  walarch pin --archive DIR [--json]\n"
"\n"
"Options:\n"
"  --archive DIR          archive directory (or WALARCH_ARCHIVE)\n"
"  --lsn LSN              keep all WAL from there on, such as from the start of\n"
"                         a backup that the archive does not know\n"
"  --backup ID            what this backup needs, and all after it\n"
"  --time TIME            what a recovery to this point in time needs: from the\n"
"                         start of the last backup before it on\n"
"  --restore-point POINT  likewise for a named restore point, the last of that\n"
"                         name\n"
"  --expires TIME         when the pin ends; never, without\n"
"  --json                 the list as JSON\n"
"  --help                 this text\n"
"\n"
"NAME: up to 63 letters, digits, \".\", \"-\" and \"_\". TIME is in your time zone\n"
"unless it names another. Without a name, lists the pins.\n"
"\n"
"Exit status: 0 done; 1 not found, or failed; 2 wrong usage.\n";

static const char unpin_usage[] =
"walarch unpin ends a pin.\n"
"\n"
"Usage:\n"
"  walarch unpin --archive DIR NAME\n"
"\n"
"Options:\n"
"  --archive DIR  archive directory (or WALARCH_ARCHIVE)\n"
"  --help         this text\n"
"\n"
"Nothing is deleted by that; the next prune no longer sees the pin.\n"
"\n"
"Exit status: 0 done; 1 there is no such pin, or failed; 2 wrong usage.\n";

static const char *
user_name(void)
{
	const struct passwd *user = getpwuid(geteuid());

	return user != NULL ? user->pw_name : "";
}

static WaCode
make_pin(const char *archive, WaPin *pin, int64_t at_us, WaError *err)
{
	WaZstd	   *zstd = wa_zstd_open();
	WaStore    *store = NULL;
	WaMarker	marker;
	WaCatalogue catalogue = {0};
	WaCode		code;

	if (zstd == NULL)
		return wa_fail(err, WA_NO_MEMORY, "out of memory");
	pin->created_us = wa_cli_now_us();
	snprintf(pin->by, sizeof(pin->by), "%.60s", user_name());
	code = wa_cli_archive_open(archive, &store, &marker, err);
	/* a prune at work could be deleting what is to be held */
	if (code == WA_OK)
		code = wa_retention_lock(store, err);
	if (code == WA_OK)
		code = wa_catalogue_read(store, &marker, WA_CATALOGUE_NAMES, zstd,
								 &catalogue, err);
	if (code == WA_OK)
		code = wa_pin_resolve(store, &catalogue, pin, at_us, err);
	if (code == WA_OK)
		code = wa_pin_put(store, pin, err);
	wa_catalogue_free(&catalogue);
	wa_zstd_close(zstd);
	wa_store_close(store);
	return code;
}

static void
print_pin(const WaPin *pin, bool json)
{
	char		text[WA_TIME_TEXT_BYTES];

	if (json)
	{
		wa_json_object(NULL);
		wa_json_string("name", pin->name);
		wa_json_string("kind", wa_pin_kind_name(pin->kind));
		wa_json_string("value", pin->value);
		wa_json_lsn("keep_from", pin->keep_from);
		wa_json_time("created", true, pin->created_us);
		wa_json_time("expires", pin->expires, pin->expires_us);
		wa_json_bool("expired", pin->expires &&
					 pin->expires_us <= wa_cli_now_us());
		wa_json_string("by", pin->by);
		wa_json_end();
		return;
	}
	printf("%s: %s ", pin->name, wa_pin_kind_name(pin->kind));
	wa_text_print(stdout, pin->value);
	printf(", keeps all WAL from " WA_LSN_FORMAT " on",
		   WA_LSN_ARGS(pin->keep_from));
	if (pin->expires)
		printf(", %s %s", pin->expires_us <= wa_cli_now_us() ?
			   "expired" : "until",
			   wa_cli_time_text(pin->expires_us, false, text));
	printf("\n");
}

static WaCode
list_pins(const char *archive, bool json, WaError *err)
{
	WaStoreOptions options = {0};
	WaStore    *store;
	WaMarker	marker;
	WaPin	   *pins = NULL;
	size_t		count = 0;
	WaCode		code;

	if (wa_store_dir_open(archive, &options, &store, err) != WA_OK)
		return err->code;
	code = wa_identity_read(store, archive, &marker, err);
	if (code == WA_OK)
		code = wa_pins_read(store, &pins, &count, err);
	if (code == WA_OK && json)
		wa_json_array(NULL);
	for (size_t i = 0; i < count; i++)
		print_pin(&pins[i], json);
	if (code == WA_OK && json)
		wa_json_end();
	free(pins);
	wa_store_close(store);
	return code;
}

/* One of the ways to say what to hold; false: not such a value. */
static bool
take_value(WaPin *pin, WaPinKind kind, const char *value, int64_t *at_us)
{
	if (strlen(value) >= sizeof(pin->value) ||
		strpbrk(value, "\r\n") != NULL || value[0] == '\0')
		return false;
	pin->kind = kind;
	snprintf(pin->value, sizeof(pin->value), "%s", value);
	if (kind == WA_PIN_LSN)
		return wa_lsn_parse_whole(value, &pin->keep_from);
	if (kind == WA_PIN_TIME)
	{
		char		text[WA_TIME_TEXT_BYTES];

		if (!wa_cli_time_parse(value, at_us))
			return false;
		/* whoever reads the pin may live elsewhere */
		snprintf(pin->value, sizeof(pin->value), "%s",
				 wa_cli_time_text(*at_us, true, text));
	}
	return true;
}

int
wa_cmd_pin(int argc, char **argv)
{
	static const struct option long_options[] = {
		{"archive", required_argument, NULL, 'a'},
		{"lsn", required_argument, NULL, WA_PIN_LSN},
		{"backup", required_argument, NULL, WA_PIN_BACKUP},
		{"time", required_argument, NULL, WA_PIN_TIME},
		{"restore-point", required_argument, NULL, WA_PIN_RESTORE_POINT},
		{"expires", required_argument, NULL, 'e'},
		{"json", no_argument, NULL, 'j'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0}
	};
	const char *archive = NULL;
	WaPin		pin = {0};
	int64_t		at_us = 0;
	bool		json = false;
	WaError		err;
	WaCode		code;
	int			c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, ":", long_options, NULL)) != -1)
	{
		switch (c)
		{
			case 'a':
				archive = optarg;
				break;
			case WA_PIN_LSN:
			case WA_PIN_BACKUP:
			case WA_PIN_TIME:
			case WA_PIN_RESTORE_POINT:
				if (pin.kind != 0)
					return wa_cli_usage("pin", "a pin holds one thing only");
				if (!take_value(&pin, (WaPinKind) c, optarg, &at_us))
					return wa_cli_usage("pin", "\"%s\" is not such a value",
										optarg);
				break;
			case 'e':
				if (!wa_cli_time_parse(optarg, &pin.expires_us))
					return wa_cli_usage("pin", "\"%s\" is not a point in time, "
										"or not one only", optarg);
				pin.expires = true;
				break;
			case 'j':
				json = true;
				break;
			case 'h':
				fputs(pin_usage, stdout);
				return WA_EXIT_OK;
			default:
				return wa_cli_usage("pin", "invalid option \"%s\"",
									argv[optind - 1]);
		}
	}
	archive = wa_cli_archive(archive);
	if (archive == NULL)
		return wa_cli_usage("pin", "no archive was given: use --archive");
	if (argc - optind > 1)
		return wa_cli_usage("pin", "unexpected argument \"%s\"",
							argv[optind + 1]);
	if (optind == argc && (pin.kind != 0 || pin.expires))
		return wa_cli_usage("pin", "no name was given");
	if (optind < argc && pin.kind == 0)
		return wa_cli_usage("pin", "nothing to hold was given: use --lsn, "
							"--backup, --time or --restore-point");
	if (optind < argc && !wa_pin_name_valid(argv[optind]))
		return wa_cli_usage("pin", "\"%s\" is not a name for a pin",
							argv[optind]);

	if (optind == argc)
		code = list_pins(archive, json, &err);
	else
	{
		snprintf(pin.name, sizeof(pin.name), "%.63s", argv[optind]);
		code = make_pin(archive, &pin, at_us, &err);
		if (code == WA_OK)
			print_pin(&pin, json);
	}
	if (code == WA_OK)
		return WA_EXIT_OK;
	wa_cli_error("pin", &err);
	return WA_EXIT_FAILED;
}

int
wa_cmd_unpin(int argc, char **argv)
{
	static const struct option long_options[] = {
		{"archive", required_argument, NULL, 'a'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0}
	};
	const char *archive = NULL;
	WaStore    *store;
	WaMarker	marker;
	WaError		err;
	WaCode		code;
	int			c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, ":", long_options, NULL)) != -1)
	{
		switch (c)
		{
			case 'a':
				archive = optarg;
				break;
			case 'h':
				fputs(unpin_usage, stdout);
				return WA_EXIT_OK;
			default:
				return wa_cli_usage("unpin", "invalid option \"%s\"",
									argv[optind - 1]);
		}
	}
	archive = wa_cli_archive(archive);
	if (archive == NULL)
		return wa_cli_usage("unpin", "no archive was given: use --archive");
	if (argc - optind != 1)
		return wa_cli_usage("unpin", "give the name of one pin");
	code = wa_cli_archive_open(archive, &store, &marker, &err);
	if (code == WA_OK)
		code = wa_pin_remove(store, argv[optind], &err);
	wa_store_close(store);
	if (code == WA_OK)
		return WA_EXIT_OK;
	wa_cli_error("unpin", &err);
	return WA_EXIT_FAILED;
}
