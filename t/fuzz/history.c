/*
 * history.c
 *	  Timeline histories: what is accepted is in order, each part begins where
 *	  the one before it ended, and it comes back when written again.
 */
#include "core/history.h"

#include <inttypes.h>

#include "core/lsn.h"
#include "fuzz.h"

/* libFuzzer: -max_len=2048 */

static void
check_again(const WaHistory *history, uint32_t tli)
{
	size_t		room = history->count * 64;
	char	   *text = malloc(room);
	size_t		length = 0;
	WaHistory	again;
	WaError		err;

	hold(text != NULL);
	for (uint32_t i = 0; i + 1 < history->count; i++)
		length += (size_t) snprintf(text + length, room - length,
									"%" PRIu32 "\t" WA_LSN_FORMAT "\tno reason\n",
									history->entries[i].tli,
									WA_LSN_ARGS(history->entries[i].end));
	hold(wa_history_parse(text, length, tli, "again", &again, &err) == WA_OK);
	hold(again.count == history->count);
	for (uint32_t i = 0; i < again.count; i++)
		hold(again.entries[i].tli == history->entries[i].tli &&
			 again.entries[i].begin == history->entries[i].begin &&
			 again.entries[i].end == history->entries[i].end);
	wa_history_free(&again);
	free(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	WaHistory	history;
	WaError		err;
	uint32_t	tli;
	uint8_t    *exact;

	fuzz_take(&data, &size, &tli, sizeof(tli));
	exact = malloc(size + 1);
	hold(exact != NULL);
	memcpy(exact + 1, data, size);	/* no NUL behind it, as in a mapped file */
	if (wa_history_parse((char *) exact + 1, size, tli, "fuzzed", &history,
						 &err) == WA_OK)
	{
		hold(history.count >= 2);
		hold(history.entries[0].begin == 0);
		hold(history.entries[history.count - 1].tli == tli);
		hold(history.entries[history.count - 1].end == UINT64_MAX);
		for (uint32_t i = 1; i < history.count; i++)
		{
			hold(history.entries[i].tli > history.entries[i - 1].tli);
			hold(history.entries[i].begin == history.entries[i - 1].end);
		}
		hold(wa_history_find(&history, tli) ==
			 &history.entries[history.count - 1]);
		check_again(&history, tli);
	}
	else
		hold(history.entries == NULL);
	wa_history_free(&history);
	free(exact);
	return 0;
}
