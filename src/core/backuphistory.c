/*
 * backuphistory.c
 *	  Backup history files: what a base backup needs, and when it was taken.
 */
#include "core/backuphistory.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "core/lsn.h"

#define LINE_BYTES	2048
#define TEXT_BYTES_MAX	(1024 * 1024)

/* The value of "KEY: value", or NULL. */
static const char *
value_of(const char *line, const char *key)
{
	size_t		length = strlen(key);

	return strncmp(line, key, length) == 0 ? line + length : NULL;
}

/* "0/2000028 (file ...)" */
static bool
parse_lsn(const char *text, uint64_t *lsn)
{
	return wa_lsn_parse(text, lsn) > 0;
}

static void
copy_text(char *to, size_t size, const char *from)
{
	size_t		length = strnlen(from, size - 1);

	memcpy(to, from, length);
	to[length] = '\0';
}

static bool
parse_line(const char *line, WaBackupHistory *backup)
{
	const char *value;

	if ((value = value_of(line, "START WAL LOCATION: ")) != NULL)
		return parse_lsn(value, &backup->start_lsn);
	if ((value = value_of(line, "STOP WAL LOCATION: ")) != NULL)
		return parse_lsn(value, &backup->stop_lsn);
	if ((value = value_of(line, "INCREMENTAL FROM LSN: ")) != NULL)
		return parse_lsn(value, &backup->incremental_from);
	if ((value = value_of(line, "START TIMELINE: ")) != NULL)
		return sscanf(value, "%" SCNu32, &backup->start_tli) == 1;
	if ((value = value_of(line, "STOP TIMELINE: ")) != NULL)
		return sscanf(value, "%" SCNu32, &backup->stop_tli) == 1;
	if ((value = value_of(line, "BACKUP FROM: ")) != NULL)
		backup->from_standby = strcmp(value, "standby") == 0;
	else if ((value = value_of(line, "LABEL: ")) != NULL)
		copy_text(backup->label, sizeof(backup->label), value);
	else if ((value = value_of(line, "START TIME: ")) != NULL)
		copy_text(backup->start_time, sizeof(backup->start_time), value);
	else if ((value = value_of(line, "STOP TIME: ")) != NULL)
		copy_text(backup->stop_time, sizeof(backup->stop_time), value);
	return true;
}

WaCode
wa_backuphistory_parse(const char *text, size_t length, const char *what,
					   WaBackupHistory *backup, WaError *err)
{
	const char *end = text + length;
	bool		good = length <= TEXT_BYTES_MAX;

	memset(backup, 0, sizeof(*backup));
	for (const char *at = text; at < end && good;)
	{
		const char *newline = memchr(at, '\n', (size_t) (end - at));
		size_t		line_length = (size_t) ((newline != NULL ? newline : end) - at);
		char		line[LINE_BYTES];

		if (line_length >= sizeof(line))
			line_length = sizeof(line) - 1;
		memcpy(line, at, line_length);
		line[line_length] = '\0';
		good = parse_line(line, backup);
		at = newline != NULL ? newline + 1 : end;
	}
	if (backup->stop_tli == 0)
		backup->stop_tli = backup->start_tli;
	if (!good || backup->start_lsn == 0 || backup->start_tli == 0 ||
		backup->stop_lsn < backup->start_lsn ||
		backup->stop_tli < backup->start_tli)
		return wa_fail(err, WA_DAMAGED,
					   "\"%s\" is not a backup history file", what);
	return WA_OK;
}

/* Minutes east of Greenwich of "UTC", "GMT", "+02", "-0330" or "+05:30". */
static bool
parse_zone(const char *zone, int *minutes)
{
	int			hours = 0;
	int			rest = 0;
	char		sign;
	int			end = 0;

	*minutes = 0;
	if (strcmp(zone, "UTC") == 0 || strcmp(zone, "GMT") == 0)
		return true;
	if ((sscanf(zone, "%c%2d%n", &sign, &hours, &end) != 2 ||
		 zone[end] != '\0') &&
		(sscanf(zone, "%c%2d%2d%n", &sign, &hours, &rest, &end) != 3 ||
		 zone[end] != '\0') &&
		(sscanf(zone, "%c%2d:%2d%n", &sign, &hours, &rest, &end) != 3 ||
		 zone[end] != '\0'))
		return false;
	if ((sign != '+' && sign != '-') || hours < 0 || hours > 15 || rest < 0 ||
		rest > 59)
		return false;
	*minutes = (sign == '-' ? -1 : 1) * (hours * 60 + rest);
	return true;
}

bool
wa_backuphistory_time(const char *text, int64_t *time_us)
{
	struct tm	tm = {0};
	char		zone[16];
	int			minutes;
	time_t		seconds;

	if (sscanf(text, "%4d-%2d-%2d %2d:%2d:%2d %15s", &tm.tm_year, &tm.tm_mon,
			   &tm.tm_mday, &tm.tm_hour, &tm.tm_min, &tm.tm_sec, zone) != 7 ||
		!parse_zone(zone, &minutes) ||
		tm.tm_year < 1970 || tm.tm_mon < 1 || tm.tm_mon > 12)
		return false;
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	seconds = timegm(&tm);
	*time_us = ((int64_t) seconds - minutes * 60) * 1000000;
	return true;
}
