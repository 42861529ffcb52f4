/*
 * cli.c
 *	  What the subcommands share.
 */
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "archive/identity.h"
#include "cli/text.h"

#define CONTROL_TRIES		5
#define PATH_BYTES	4096

void
wa_cli_error(const char *subcommand, const WaError *err)
{
	fprintf(stderr, "walarch %s: ", subcommand);
	wa_text_print(stderr, err->message);
	if (err->hint[0] != '\0')
	{
		fprintf(stderr, "\nwalarch %s: hint: ", subcommand);
		wa_text_print(stderr, err->hint);
	}
	fputc('\n', stderr);
}

int
wa_cli_usage(const char *subcommand, const char *format,...)
{
	va_list		args;

	fprintf(stderr, "walarch %s: ", subcommand);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, "\nTry \"walarch %s --help\".\n", subcommand);
	return WA_EXIT_USAGE;
}

static const char *
option_or_environment(const char *option, const char *variable)
{
	const char *value = option != NULL ? option : getenv(variable);

	return value != NULL && value[0] != '\0' ? value : NULL;
}

/* Without doubled or trailing slashes: walarch.known compares paths. */
const char *
wa_cli_archive(const char *option)
{
	static char path[PATH_BYTES];
	const char *given = option_or_environment(option, "WALARCH_ARCHIVE");
	size_t		length = 0;

	if (given == NULL || strlen(given) >= sizeof(path))
		return given;
	for (const char *c = given; *c != '\0'; c++)
		if (*c != '/' || length == 0 || path[length - 1] != '/')
			path[length++] = *c;
	while (length > 1 && path[length - 1] == '/')
		length--;
	path[length] = '\0';
	return path;
}

const char *
wa_cli_datadir(const char *option)
{
	return option_or_environment(option, "PGDATA");
}

static WaCode
read_control(const char *datadir, WaControlFile *control, WaError *err)
{
	unsigned char bytes[WA_CONTROLFILE_BYTES];
	char		path[2048];
	size_t		length = 0;
	ssize_t		got = 1;
	int			fd;

	snprintf(path, sizeof(path), "%s/global/pg_control", datadir);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return wa_fail(err, WA_NOT_FOUND, "\"%s\" does not exist", path);
	if (fd < 0)
		return wa_fail_errno(err, errno, "could not open \"%s\"", path);
	while (got > 0 && length < sizeof(bytes))
	{
		got = read(fd, bytes + length, sizeof(bytes) - length);
		if (got > 0)
			length += (size_t) got;
		else if (got < 0 && errno == EINTR)
			got = 1;
	}
	if (got < 0)
	{
		wa_fail_errno(err, errno, "could not read \"%s\"", path);
		close(fd);
		return err->code;
	}
	close(fd);
	return wa_controlfile_parse(bytes, length, path, control, err);
}

WaCode
wa_cli_control(const char *datadir, WaControlFile *control, WaError *err)
{
	static const struct timespec pause = {0, 20 * 1000 * 1000};
	WaCode		code = read_control(datadir, control, err);

	/* the server may have been writing it: look again */
	for (int tries = 0; code == WA_DAMAGED && tries < CONTROL_TRIES; tries++)
	{
		nanosleep(&pause, NULL);
		code = read_control(datadir, control, err);
	}
	return code;
}

void
wa_cli_modes(const char *directory, mode_t *file_mode, mode_t *dir_mode)
{
	struct stat st;
	bool		group = stat(directory, &st) == 0 &&
		(st.st_mode & S_IRGRP) != 0 && (st.st_mode & S_IXGRP) != 0;

	*file_mode = group ? 0640 : 0600;
	*dir_mode = group ? 0750 : 0700;
}

bool
wa_cli_random(char *text, size_t digits)
{
	unsigned char bytes[32];

	if (digits / 2 > sizeof(bytes) ||
		getrandom(bytes, digits / 2, 0) != (ssize_t) (digits / 2))
		return false;
	for (size_t i = 0; i < digits / 2; i++)
		snprintf(text + 2 * i, 3, "%02x", bytes[i]);
	return true;
}

WaCode
wa_cli_archive_open_noted(const char *path, char *token, WaStore **store,
						  WaMarker *marker, WaError *err)
{
	WaStoreOptions options = {0};
	struct stat st;

	*store = NULL;
	wa_cli_modes(path, &options.file_mode, &options.dir_mode);
	/* as the server does: the group's right must not hang on who asks */
	(void) umask(options.dir_mode == 0750 ? 027 : 077);
	if (!wa_cli_random(options.token, WA_TOKEN_BYTES - 1))
		return wa_fail(err, WA_IO, "could not get random numbers");
	memcpy(token, options.token, WA_TOKEN_BYTES);
	/* what root makes, the server could not read */
	if (stat(path, &st) == 0 && st.st_uid != geteuid())
		return wa_fail(err, WA_INVALID,
					   "must be run by the user that owns \"%s\"", path);
	if (wa_store_dir_open(path, &options, store, err) == WA_OK &&
		wa_identity_read(*store, path, marker, err) == WA_OK)
		return WA_OK;
	wa_store_close(*store);
	*store = NULL;
	return err->code;
}

WaCode
wa_cli_archive_open(const char *path, WaStore **store, WaMarker *marker,
					WaError *err)
{
	char		token[WA_TOKEN_BYTES];

	return wa_cli_archive_open_noted(path, token, store, marker, err);
}

WaCode
wa_cli_catalogue(const char *path, WaStore **store, WaCatalogue *catalogue,
				 WaError *err)
{
	WaStoreOptions options = {0};
	WaZstd	   *zstd = wa_zstd_open();
	WaMarker	marker;
	WaCode		code;

	*store = NULL;
	if (zstd == NULL)
		code = wa_fail(err, WA_NO_MEMORY, "out of memory");
	else
		code = wa_store_dir_open(path, &options, store, err);
	if (code == WA_OK)
		code = wa_identity_read(*store, path, &marker, err);
	if (code == WA_OK)
		code = wa_catalogue_read(*store, &marker, WA_CATALOGUE_SIZES, zstd,
								 catalogue, err);
	wa_zstd_close(zstd);
	if (code != WA_OK)
	{
		wa_store_close(*store);
		*store = NULL;
	}
	return code;
}

const char *
wa_cli_time_text(int64_t unix_us, bool for_programs, char *text)
{
	int64_t		whole = unix_us >= 0 ? unix_us / 1000000 :
		-((999999 - unix_us) / 1000000);
	time_t		seconds = (time_t) whole;
	struct tm	parts;

	if ((for_programs ? gmtime_r(&seconds, &parts) :
		 localtime_r(&seconds, &parts)) == NULL ||
		strftime(text, WA_TIME_TEXT_BYTES, for_programs ?
				 "%Y-%m-%dT%H:%M:%SZ" : "%Y-%m-%d %H:%M:%S %Z",
				 &parts) == 0)
		snprintf(text, WA_TIME_TEXT_BYTES, "?");
	return text;
}

/* The fraction of a second, as far as there is one; moves *at past it. */
static int64_t
parse_fraction(const char **at)
{
	int64_t		us = 0;
	int64_t		unit = 100000;

	if (**at != '.')
		return 0;
	for ((*at)++; **at >= '0' && **at <= '9'; (*at)++, unit /= 10)
		us += unit * (**at - '0');
	return us;
}

/* Local time: it must exist once, and come back as it was. */
static bool
local_seconds(const struct tm *given, time_t *seconds)
{
	struct tm	winter = *given;
	struct tm	summer = *given;
	time_t		candidates[2];
	bool		good[2];

	winter.tm_isdst = 0;
	summer.tm_isdst = 1;
	candidates[0] = mktime(&winter);
	candidates[1] = mktime(&summer);
	good[0] = winter.tm_hour == given->tm_hour &&
		winter.tm_min == given->tm_min && winter.tm_mday == given->tm_mday;
	good[1] = summer.tm_hour == given->tm_hour &&
		summer.tm_min == given->tm_min && summer.tm_mday == given->tm_mday;
	*seconds = good[0] ? candidates[0] : candidates[1];
	return (good[0] || good[1]) &&
		!(good[0] && good[1] && candidates[0] != candidates[1]);
}

/* The 31st of February is none. */
static bool
utc_seconds(const struct tm *given, time_t *seconds)
{
	struct tm	parts = *given;

	*seconds = timegm(&parts);
	return parts.tm_mday == given->tm_mday && parts.tm_mon == given->tm_mon;
}

/* "Z", "UTC", "+02", "-03:30": seconds east of Greenwich. */
static bool
parse_zone(const char *text, int *offset)
{
	int			hours;
	int			minutes = 0;
	int			end = 0;
	char		sign;

	*offset = 0;
	if (strcmp(text, "Z") == 0 || strcmp(text, "UTC") == 0)
		return true;
	if (sscanf(text, "%c%2d%n", &sign, &hours, &end) != 2 ||
		(sign != '+' && sign != '-'))
		return false;
	if (text[end] == ':' &&
		sscanf(text, "%c%2d:%2d%n", &sign, &hours, &minutes, &end) != 3)
		return false;
	*offset = (sign == '-' ? -1 : 1) * (hours * 3600 + minutes * 60);
	return text[end] == '\0' && hours >= 0 && hours <= 15 && minutes >= 0 &&
		minutes < 60;
}

bool
wa_cli_time_parse(const char *text, int64_t *unix_us)
{
	static const char *const formats[] = {
		"%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M",
		"%Y-%m-%dT%H:%M", "%Y-%m-%d"
	};
	struct tm	parts;
	const char *at = NULL;
	int64_t		fraction;
	time_t		seconds;
	int			offset;

	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]) && at == NULL; i++)
	{
		memset(&parts, 0, sizeof(parts));
		at = strptime(text, formats[i], &parts);
	}
	if (at == NULL)
		return false;
	fraction = parse_fraction(&at);
	at += strspn(at, " ");
	if (*at == '\0')
	{
		if (!local_seconds(&parts, &seconds))
			return false;
	}
	else if (!parse_zone(at, &offset) || !utc_seconds(&parts, &seconds))
		return false;
	else
		seconds -= offset;
	*unix_us = (int64_t) seconds * 1000000 + fraction;
	return true;
}

uint64_t
wa_cli_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t) now.tv_sec * 1000 + (uint64_t) now.tv_nsec / 1000000;
}

int64_t
wa_cli_now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t) now.tv_sec * 1000000 + now.tv_nsec / 1000;
}
