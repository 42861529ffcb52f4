/*
 * utf8.c
 *	  Characters that can be shown to people.
 */
#include "core/utf8.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * Marks that turn the direction of what stands around them, end a line or show
 * nothing: Unicode's Bidi_Control, LS, PS and the byte order mark.
 */
static bool
steers(uint32_t value)
{
	return value == 0x061C || value == 0x200E || value == 0x200F ||
		(value >= 0x2028 && value <= 0x202E) ||
		(value >= 0x2066 && value <= 0x2069) || value == 0xFEFF;
}

size_t
wa_utf8_character(const char *text)
{
	/* the smallest value that needs so many bytes */
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	unsigned char first = (unsigned char) *text;
	size_t		length = first < 0x80 ? 1 : first >= 0xC2 && first < 0xE0 ? 2 :
		(first & 0xF0) == 0xE0 ? 3 : (first & 0xF8) == 0xF0 ? 4 : 0;
	uint32_t	value;

	if (length == 1)
		return first >= ' ' && first != 0x7F ? 1 : 0;
	value = length == 0 ? 0 : first & (0x7FU >> length);
	for (size_t i = 1; i < length; i++)
	{
		unsigned char next = (unsigned char) text[i];

		if ((next & 0xC0) != 0x80)
			return 0;
		value = value << 6 | (next & 0x3F);
	}
	/* overlong, a surrogate, past the end, or a control character */
	if (value < least[length] || (value >= 0xD800 && value < 0xE000) ||
		value > 0x10FFFF || value < 0xA0 || steers(value))
		return 0;
	return length;
}
