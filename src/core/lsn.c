/*
 * lsn.c
 *	  Log sequence numbers as PostgreSQL prints them.
 */
#include "core/lsn.h"

#include <stdlib.h>
#include <string.h>

size_t
wa_lsn_parse(const char *text, uint64_t *lsn)
{
	const char *digits = "0123456789ABCDEFabcdef";
	size_t		high = strspn(text, digits);
	size_t		low = text[high] == '/' ? strspn(text + high + 1, digits) : 0;

	if (high == 0 || high > 8 || low == 0 || low > 8)
		return 0;
	*lsn = strtoull(text, NULL, 16) << 32 |
		strtoull(text + high + 1, NULL, 16);
	return high + 1 + low;
}

bool
wa_lsn_parse_whole(const char *text, uint64_t *lsn)
{
	size_t		length = wa_lsn_parse(text, lsn);

	return length > 0 && text[length] == '\0';
}
