/*
 * pin.c
 *	  The text of a pin: lines "key: value".
 */
#include "core/pin.h"

#include <stdio.h>
#include <string.h>

#include "core/backuphistory.h"
#include "core/keyvalue.h"
#include "core/lsn.h"

#define PIN_VERSION		1

static const char *const kinds[] = {
	[WA_PIN_LSN] = "lsn",
	[WA_PIN_BACKUP] = "backup",
	[WA_PIN_TIME] = "time",
	[WA_PIN_RESTORE_POINT] = "restore-point"
};

#define KINDS	(sizeof(kinds) / sizeof(kinds[0]))

const char *
wa_pin_kind_name(WaPinKind kind)
{
	return kinds[kind];
}

bool
wa_pin_name_valid(const char *name)
{
	return wa_keyvalue_name_valid(name, WA_PIN_NAME_BYTES);
}

size_t
wa_pin_format(const WaPin *pin, char *buffer)
{
	char		created[WA_KEYVALUE_TIME_BYTES];
	char		expires[WA_KEYVALUE_TIME_BYTES];

	return (size_t) snprintf(buffer, WA_PIN_TEXT_BYTES,
							 "walarch-pin: %d\n"
							 "keep-from: " WA_LSN_FORMAT "\n"
							 "kind: %s\n"
							 "value: %s\n"
							 "created: %s\n"
							 "%s%s%s"
							 "by: %s\n",
							 PIN_VERSION, WA_LSN_ARGS(pin->keep_from),
							 kinds[pin->kind], pin->value,
							 wa_keyvalue_time_text(pin->created_us, created),
							 pin->expires ? "expires: " : "",
							 pin->expires ?
							 wa_keyvalue_time_text(pin->expires_us, expires) : "",
							 pin->expires ? "\n" : "", pin->by);
}

/* One line; false: a value that cannot be. */
static bool
parse_line(const char *key, const char *value, unsigned *version,
		   bool *placed, WaPin *pin)
{
	int			end = 0;

	if (strcmp(key, "walarch-pin") == 0)
		return sscanf(value, "%u%n", version, &end) == 1 &&
			value[end] == '\0' && *version > 0;
	if (strcmp(key, "keep-from") == 0)
	{
		/* of two, either could be the one that was meant */
		bool		second = *placed;

		*placed = wa_lsn_parse_whole(value, &pin->keep_from) && !second;
		return *placed;
	}
	if (strcmp(key, "kind") == 0)
	{
		for (size_t i = 1; i < KINDS; i++)
			if (strcmp(value, kinds[i]) == 0)
				pin->kind = (WaPinKind) i;
		return pin->kind != 0;
	}
	if (strcmp(key, "value") == 0)
		return wa_keyvalue_copy(pin->value, sizeof(pin->value), value);
	if (strcmp(key, "by") == 0)
		return wa_keyvalue_copy(pin->by, sizeof(pin->by), value);
	if (strcmp(key, "created") == 0)
		return wa_backuphistory_time(value, &pin->created_us);
	if (strcmp(key, "expires") == 0)
	{
		pin->expires = true;
		return wa_backuphistory_time(value, &pin->expires_us);
	}
	return true;
}

WaCode
wa_pin_parse(const char *text, size_t length, const char *name, WaPin *pin,
			 WaError *err)
{
	char		copy[WA_PIN_TEXT_BYTES + 1];
	unsigned	version = 0;
	bool		placed = false;
	bool		good;
	char	   *save;

	memset(pin, 0, sizeof(*pin));
	good = length <= WA_PIN_TEXT_BYTES && memchr(text, '\0', length) == NULL &&
		wa_pin_name_valid(name) && wa_keyvalue_copy(pin->name, sizeof(pin->name), name);
	if (good)
	{
		memcpy(copy, text, length);
		copy[length] = '\0';
		for (char *line = strtok_r(copy, "\n", &save);
			 line != NULL && good && version <= PIN_VERSION;
			 line = strtok_r(NULL, "\n", &save))
		{
			char	   *value;

			if (wa_keyvalue_split(line, &value))
				good = parse_line(line, value, &version, &placed, pin);
		}
	}
	if (good && version > PIN_VERSION)
		return wa_fail(err, WA_UNSUPPORTED, "pin \"%s\" has format version "
					   "%u; this walarch knows version %d", name, version,
					   PIN_VERSION);
	if (good && version > 0 && placed && pin->kind != 0)
		return WA_OK;
	wa_fail(err, WA_DAMAGED, "\"%.100s\" is not a pin, or it is damaged",
			name);
	wa_hint(err, "Nothing is deleted while it is there. Remove it with "
			"\"walarch unpin\" and make it anew.");
	return err->code;
}
