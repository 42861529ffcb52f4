/*
 * keyvalue.c
 *	  Lines "key: value", as in archive.id and in pins.
 */
#include "core/keyvalue.h"

#include <ctype.h>
#include <stddef.h>
#include <string.h>

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
