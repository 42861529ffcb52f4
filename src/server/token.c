/*
 * token.c
 *	  Random names.
 */
#include "server/token.h"

bool
walarch_random_text(char *text, size_t digits)
{
	unsigned char bytes[32];

	Assert(digits / 2 <= sizeof(bytes));
	if (!pg_strong_random(bytes, digits / 2))
		return false;
	for (size_t i = 0; i < digits / 2; i++)
		snprintf(text + 2 * i, 3, "%02x", bytes[i]);
	return true;
}
