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

	memset(&parsed, 0, sizeof(parsed));
	is_code(wa_layout_parse(key, &parsed, &err), WA_OK, &err, "and back");
	is_str(parsed.text, name, "the same name");
}

/* Keys that are none of ours, though they look like it. */
static void
test_foreign(void)
{
	static const char *const keys[] = {
		"", "wal", "wal/", "wal/.zst", "wal/00000002.history",
		"wal/00000002.history.zst.zst", "00000002.history.zst",
		"wal/000000010000000000000042.zst",
		"wal/0000000200000000/000000010000000000000042.zst",
		"wal/0000000100000000/00000002.history.zst",
		"wal/0000000100000000/000000010000000000000042",
		"wal/0000000100000000/000000010000000000000042.gz",
		"wal/0000000100000000/000000010000000000000042.9f3a11c2.zst",
		"wal/0000000100000000/000000010000000000000042.partial.9F3A11C2.zst",
		"wal/0000000100000000/000000010000000000000042.partial.9f3a11c.zst",
		"wal/0000000100000000/000000010000000000000042.partial..zst",
		"damaged/000000010000000000000042.zst",
	};
	WaWalName	parsed;
	WaError		err;

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		is_code(wa_layout_parse(keys[i], &parsed, &err), WA_INVALID, &err,
				"no object: \"%s\"", keys[i]);
	is_code(wa_layout_parse("wal/0000000100000000/"
							"000000010000000000000042.partial.9f3a11c2.zst",
							&parsed, &err), WA_OK, &err, "a second .partial");
	is_str(parsed.text, "000000010000000000000042.partial", "its name");
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
	test_foreign();
	return done_testing();
}
