/*
 * text.c
 *	  Text as people type and read it.
 */
#include "cli/text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/utf8.h"

void
wa_text_print(FILE *file, const char *text)
{
	while (*text != '\0')
	{
		size_t		good = 0;
		size_t		length;

		/* stderr has no buffer: what belongs together goes out together */
		while ((length = wa_utf8_character(text + good)) > 0)
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

typedef struct Unit
{
	const char *name;
	uint64_t	factor;
} Unit;

/* A whole number and one of the units; the first stands for none. */
static bool
parse_amount(const char *text, const Unit *units, size_t units_count,
			 uint64_t *value)
{
	size_t		digits = strspn(text, "0123456789");
	const char *unit = text + digits + strspn(text + digits, " ");
	char		number[24];

	if (digits == 0 || digits >= sizeof(number))
		return false;
	memcpy(number, text, digits);
	number[digits] = '\0';
	for (size_t i = 0; i < units_count; i++)
		if (strcmp(unit, units[i].name) == 0)
		{
			if (!wa_text_number(number, 0, INT64_MAX / units[i].factor, value))
				return false;
			*value *= units[i].factor;
			return true;
		}
	return false;
}

bool
wa_text_duration(const char *text, int64_t *us)
{
	static const Unit units[] = {
		{"", 1000000}, {"s", 1000000}, {"min", UINT64_C(60) * 1000000},
		{"h", UINT64_C(3600) * 1000000}, {"d", UINT64_C(86400) * 1000000}
	};
	uint64_t	value;

	/* room to reckon with it */
	if (!parse_amount(text, units, sizeof(units) / sizeof(units[0]), &value) ||
		value > INT64_MAX / 8)
		return false;
	*us = (int64_t) value;
	return true;
}

bool
wa_text_size(const char *text, uint64_t *bytes)
{
	static const Unit units[] = {
		{"", UINT64_C(1) << 20}, {"kB", UINT64_C(1) << 10},
		{"MB", UINT64_C(1) << 20}, {"GB", UINT64_C(1) << 30},
		{"TB", UINT64_C(1) << 40}
	};

	return parse_amount(text, units, sizeof(units) / sizeof(units[0]), bytes);
}

const char *
wa_text_of_size(uint64_t bytes, char *text)
{
	if (bytes >= UINT64_C(10) << 30)
		snprintf(text, WA_SIZE_TEXT_BYTES, "%.1f GB",
				 (double) bytes / (1 << 30));
	else if (bytes >= UINT64_C(10) << 20)
		snprintf(text, WA_SIZE_TEXT_BYTES, "%" PRIu64 " MB", bytes >> 20);
	else
		snprintf(text, WA_SIZE_TEXT_BYTES, "%" PRIu64 " kB",
				 (bytes + 1023) >> 10);
	return text;
}
