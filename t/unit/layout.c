/*
 * layout.c
 *	  The keys are those that the format document promises, and the store
 *	  takes each of them.
 */
#include "archive/layout.h"

#include "tap.h"

static void
check(const char *name, const char *expected)
{
	WaWalName	parsed;
	WaError		err;
	char		key[WA_KEY_BYTES];
	char		aside[WA_KEY_BYTES];

	must(wa_walname_parse(name, &parsed, &err) == WA_OK);
	wa_layout_key(&parsed, key);
	is_str(key, expected, "%s", name);
	ok(wa_key_valid(key), "a valid key");
	wa_layout_aside_key(key, ".incomplete", 1000, aside);
	ok(wa_key_valid(aside), "so is \"%s\"", aside);
}

int
main(void)
{
	WaWalName	parsed;
	WaDigest	digest = {{0x9f, 0x3a, 0x11, 0xc2, 0xff}};
	WaError		err;
	char		key[WA_KEY_BYTES];
	char		aside[WA_KEY_BYTES];

	check("000000010000000000000042",
		  "wal/0000000100000000/000000010000000000000042.zst");
	check("000000010000000000000042.00000028.backup",
		  "wal/0000000100000000/000000010000000000000042.00000028.backup.zst");
	check("0000000200000AFF00000051.partial",
		  "wal/0000000200000AFF/0000000200000AFF00000051.partial.zst");
	check("00000002.history", "wal/00000002.history.zst");

	must(wa_walname_parse("000000020000000000000051.partial", &parsed,
						  &err) == WA_OK);
	wa_layout_second_partial_key(&parsed, &digest, key);
	is_str(key, "wal/0000000200000000/"
		   "000000020000000000000051.partial.9f3a11c2.zst",
		   "a second .partial");
	wa_layout_aside_key(key, "", 3, aside);
	is_str(aside, "damaged/000000020000000000000051.partial.9f3a11c2.zst.3",
		   "where a damaged one is kept");
	wa_layout_aside_key("archive.id", "", 1, aside);
	is_str(aside, "damaged/archive.id.1", "one without a directory");
	ok(wa_key_valid(WA_KEY_MARKER), "the marker's key");
	return done_testing();
}
