/*
 * drills.c
 *	  Names and heads of the reports of drills: none counts twice, none from
 *	  the future counts, and the one line about them has an end.
 */
#include "archive/drills.h"

#include "fuzz.h"
#include "memstore.h"

/* libFuzzer: -max_len=512 */

#define NOW_US	INT64_C(1790000000000000)
#define DAY_US	(INT64_C(86400) * 1000000)

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char	   *name = fuzz_text(data, size);
	size_t		name_bytes = strcspn(name, "\n");
	MemStore	memory;
	WaStore    *store;
	WaDrillsSeen seen;
	WaError		err;
	char		text[WA_DRILLS_TEXT_BYTES];

	store = memstore(&memory, data + name_bytes, size - name_bytes);
	if (name_bytes < size)
		memory.data = data + name_bytes + 1, memory.length--;
	name[name_bytes] = '\0';
	memory.listed = name;
	if (wa_drills_look(store, NOW_US, &seen, &err) == WA_OK)
	{
		hold(seen.count + seen.unreadable <= 1);
		hold(seen.last_us <= NOW_US + 2 * DAY_US);
		hold(!wa_drills_fine(&seen) || seen.any_passed);
		hold(strlen(wa_drills_text(&seen, text)) < sizeof(text) - 1);
	}
	free(name);
	return 0;
}
