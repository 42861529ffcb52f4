/*
 * text.c
 *	  Text as people type and read it.
 */
#include "cli/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

size_t
wa_text_character(const char *text)
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
		value > 0x10FFFF || value < 0xA0)
		return 0;
	return length;
}

void
wa_text_print(FILE *file, const char *text)
{
	while (*text != '\0')
	{
		size_t		good = 0;
		size_t		length;

		/* stderr has no buffer: what belongs together goes out together */
		while ((length = wa_text_character(text + good)) > 0)
			good += length;
		fwrite(text, 1, good, file);
		text += good;
		if (*text != '\0')
		{
			fputc('?', file);
			text++;
		}
	}
}

bool
wa_text_number(const char *text, uint64_t least, uint64_t most,
			   uint64_t *value)
{
	if (*text == '\0' || strspn(text, "0123456789") != strlen(text))
		return false;
	errno = 0;
	*value = strtoull(text, NULL, 10);
	return errno == 0 && *value >= least && *value <= most;
}
