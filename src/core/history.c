/*
 * history.c
 *	  Timeline history files: which timelines led here, and where each ended.
 */
#include "core/history.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Digits of the given base up to the limit; moves *at past them. */
static bool
parse_number(const char **at, const char *end, unsigned base, uint32_t *value)
{
	const char *start = *at;
	uint64_t	result = 0;

	while (*at < end && isxdigit((unsigned char) **at))
	{
		unsigned	c = (unsigned char) **at;
		unsigned	digit = isdigit((int) c) ? c - '0' : (c | 32) - 'a' + 10;

		if (digit >= base)
			break;
		result = result * base + digit;
		if (result > UINT32_MAX)
			return false;
		(*at)++;
	}
	*value = (uint32_t) result;
	return *at > start;
}

/* "TLI<white>X/X<white or end>", as PostgreSQL's own reader takes it. */
static bool
parse_line(const char *at, const char *end, uint32_t *tli, uint64_t *lsn)
{
	uint32_t	high;
	uint32_t	low;

	if (!parse_number(&at, end, 10, tli) || *tli == 0)
		return false;
	if (at == end || !isspace((unsigned char) *at))
		return false;
	while (at < end && isspace((unsigned char) *at))
		at++;
	if (!parse_number(&at, end, 16, &high) || at == end || *at++ != '/' ||
		!parse_number(&at, end, 16, &low))
		return false;
	*lsn = (uint64_t) high << 32 | low;
	return at == end || isspace((unsigned char) *at);
}

static bool
append(WaHistory *history, uint32_t tli, uint64_t begin, uint64_t end)
{
	WaHistoryEntry *entries;

	entries = realloc(history->entries,
					  (history->count + 1) * sizeof(*entries));
	if (entries == NULL)
		return false;
	history->entries = entries;
	entries[history->count].tli = tli;
	entries[history->count].begin = begin;
	entries[history->count].end = end;
	history->count++;
	return true;
}

WaCode
wa_history_parse(const char *text, size_t length, uint32_t tli,
				 const char *what, WaHistory *history, WaError *err)
{
	const char *limit = text + length;
	uint64_t	begin = 0;
	uint32_t	last_tli = 0;

	memset(history, 0, sizeof(*history));
	if (length > WA_HISTORY_BYTES_MAX)
	{
		wa_fail(err, WA_DAMAGED, "timeline history \"%s\" is too large", what);
		goto fail;
	}

	for (const char *line = text; line < limit;)
	{
		const char *end = memchr(line, '\n', (size_t) (limit - line));
		const char *at = line;
		uint32_t	line_tli;
		uint64_t	lsn;

		if (end == NULL)
			end = limit;
		line = end + 1;
		while (at < end && isspace((unsigned char) *at))
			at++;
		if (at == end || *at == '#')
			continue;

		if (!parse_line(at, end, &line_tli, &lsn) || line_tli <= last_tli ||
			line_tli >= tli)
		{
			wa_fail(err, WA_DAMAGED,
					"timeline history \"%s\" has an invalid line", what);
			goto fail;
		}
		if (!append(history, line_tli, begin, lsn))
			goto out_of_memory;
		last_tli = line_tli;
		begin = lsn;
	}
	if (history->count == 0)
	{
		wa_fail(err, WA_DAMAGED,
				"timeline history \"%s\" names no parent timeline", what);
		goto fail;
	}
	if (!append(history, tli, begin, UINT64_MAX))
		goto out_of_memory;
	return WA_OK;

out_of_memory:
	wa_fail(err, WA_NO_MEMORY, "out of memory reading \"%s\"", what);
fail:
	wa_history_free(history);
	return err->code;
}

void
wa_history_free(WaHistory *history)
{
	free(history->entries);
	history->entries = NULL;
	history->count = 0;
}

const WaHistoryEntry *
wa_history_find(const WaHistory *history, uint32_t tli)
{
	for (uint32_t i = 0; i < history->count; i++)
		if (history->entries[i].tli == tli)
			return &history->entries[i];
	return NULL;
}
