/*
 * keyvalue.c
 *	  Lines "key: value", as in archive.id, in pins and in backups.
 */
#include "core/keyvalue.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

bool
wa_keyvalue_split(char *line, char **value)
{
	char	   *colon = strchr(line, ':');
	size_t		length;

	if (colon == NULL)
		return false;
	*colon = '\0';
	*value = colon + 1 + strspn(colon + 1, " \t");
	length = strlen(*value);
	while (length > 0 && isspace((unsigned char) (*value)[length - 1]))
		(*value)[--length] = '\0';
	return true;
}

bool
wa_keyvalue_copy(char *to, size_t bytes, const char *value)
{
	size_t		length = strlen(value);

	if (length >= bytes)
		return false;
	memcpy(to, value, length + 1);
	return true;
}

const char *
wa_keyvalue_time_text(int64_t unix_us, char *text)
{
	time_t		seconds = (time_t) (unix_us / 1000000);
	struct tm	parts;

	if (gmtime_r(&seconds, &parts) == NULL ||
		strftime(text, WA_KEYVALUE_TIME_BYTES, "%Y-%m-%d %H:%M:%S UTC",
				 &parts) == 0)
		text[0] = '\0';			/* not reached: the years of 64 bits fit */
	return text;
}

bool
wa_keyvalue_name_valid(const char *name, size_t bytes)
{
	size_t		length = strlen(name);

	return length > 0 && length < bytes && name[0] != '.' &&
		strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
			   "0123456789.-_") == length;
}
