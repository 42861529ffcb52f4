/*
 * walname.c
 *	  Names of WAL files and keys of their objects: what is accepted comes back
 *	  from its numbers, and from its key.
 */
#include "core/walname.h"

#include <inttypes.h>

#include "archive/layout.h"
#include "fuzz.h"
#include "store/store.h"

static void
check_numbers(const WaWalName *name)
{
	char		text[WA_WALNAME_BYTES];
	uint64_t	segno;
	WaError		err;

	if (name->kind == WA_KIND_HISTORY)
	{
		wa_history_name(text, name->tli);
		hold(strcmp(text, name->text) == 0);
	}
	for (uint32_t bytes = WA_SEGMENT_BYTES_MIN; bytes <= WA_SEGMENT_BYTES_MAX;
		 bytes *= 2)
		if (wa_walname_segno(name, bytes, &segno, &err) == WA_OK)
		{
			hold(name->kind != WA_KIND_HISTORY);
			wa_segment_name(text, name->tli, segno, bytes);
			hold(strncmp(text, name->text, WA_SEGMENT_NAME_LENGTH) == 0);
		}
	if (name->kind == WA_KIND_BACKUP)
	{
		snprintf(text, sizeof(text), "%08" PRIX32 ".backup",
				 name->backup_offset);
		hold(strcmp(text, name->text + WA_SEGMENT_NAME_LENGTH + 1) == 0);
	}
}

static void
check_key(const WaWalName *name)
{
	char		key[WA_KEY_BYTES];
	char		ready[WA_WALNAME_BYTES + 8];
	WaWalName	again;
	WaDigest	digest = {{0x9f, 0x3a}};
	WaError		err;

	wa_layout_key(name, key);
	hold(wa_key_valid(key));
	hold(wa_layout_parse(key, &again, &err) == WA_OK);
	hold(memcmp(&again, name, sizeof(again)) == 0);
	if (name->kind == WA_KIND_PARTIAL)
	{
		wa_layout_second_partial_key(name, &digest, key);
		hold(wa_layout_parse(key, &again, &err) == WA_OK);
		hold(memcmp(&again, name, sizeof(again)) == 0);
	}
	snprintf(ready, sizeof(ready), "%s.ready", name->text);
	hold(wa_walname_ready(ready, &again));
	hold(memcmp(&again, name, sizeof(again)) == 0);
	hold(!wa_walname_archived_before(name, &again));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char	   *text = fuzz_text(data, size);
	char		key[WA_KEY_BYTES];
	WaWalName	name;
	WaError		err;

	if (wa_walname_parse(text, &name, &err) == WA_OK)
	{
		hold(strcmp(name.text, text) == 0);
		check_numbers(&name);
		check_key(&name);
	}
	if (wa_walname_ready(text, &name))
		check_key(&name);
	if (wa_layout_parse(text, &name, &err) == WA_OK)
	{
		hold(wa_key_valid(text));
		check_numbers(&name);
		check_key(&name);
	}
	(void) wa_layout_parse_listed("wal/0000000100000000", text, key, &name);
	(void) wa_key_valid(text);
	free(text);
	return 0;
}
