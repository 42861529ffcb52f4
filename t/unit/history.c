/*
 * history.c
 *	  Timeline histories are read as PostgreSQL reads them, in the forms of
 *	  all majors, and anything else is damage, never a shorter ancestry.
 */
#include "core/history.h"

#include "tap.h"

static WaCode
parse(const char *text, uint32_t tli, WaHistory *history, WaError *err)
{
	return wa_history_parse(text, strlen(text), tli, "the file", history, err);
}

static void
test_good(void)
{
	WaHistory	history;
	WaError		err;
	const WaHistoryEntry *entry;

	is_code(parse("1\t0/3000158\tno recovery target specified\n"
				  "\n"
				  "2\tA/BC000000\tbefore 2026-01-01\n", 3, &history, &err),
			WA_OK, &err, "two parents, the form of 15 to 18");
	is_int(history.count, 3, "three entries");
	is_int(history.entries[0].tli, 1, "the oldest first");
	is_int(history.entries[0].begin, 0, "it has no beginning");
	is_int(history.entries[0].end, 0x3000158, "its end");
	is_int(history.entries[1].begin, 0x3000158, "begins where that ended");
	is_int(history.entries[1].end, UINT64_C(0xABC000000), "both halves count");
	is_int(history.entries[2].tli, 3, "the last is the timeline itself");
	is_int(history.entries[2].begin, UINT64_C(0xABC000000), "its beginning");
	is_int(history.entries[2].end, UINT64_MAX, "it has no end");
	entry = wa_history_find(&history, 2);
	ok(entry == &history.entries[1], "found by number");
	ok(wa_history_find(&history, 4) == NULL, "one that is not there");
	wa_history_free(&history);
	wa_history_free(&history);
	is_int(history.count, 0, "freed twice");

	is_code(parse("1\t0/03000158\tno recovery target specified\n", 2, &history,
				  &err), WA_OK, &err, "the form of 19");
	is_int(history.entries[0].end, 0x3000158, "the same place");
	wa_history_free(&history);

	is_code(parse("# a comment\n  \t# another\n\n  5  1/0  x\n", 9, &history,
				  &err), WA_OK, &err, "comments, blanks, a gap in numbers");
	is_int(history.count, 2, "one parent");
	is_int(history.entries[0].end, UINT64_C(1) << 32, "its end");
	wa_history_free(&history);

	is_code(parse("1\t0/3000158\tx\r\n\r\n2\t0/4000000\r\n", 3, &history,
				  &err), WA_OK, &err, "line ends of another system");
	is_int(history.count, 3, "all lines");
	wa_history_free(&history);

	is_code(parse("1\t0/3000158", 2, &history, &err), WA_OK, &err,
			"no reason, no line end");
	wa_history_free(&history);
	is_code(parse("1\tffffffff/FFFFFFFF\tx\n", 2, &history, &err), WA_OK, &err,
			"the highest LSN, lower-case digits");
	is_int(history.entries[0].end, UINT64_MAX, "its value");
	wa_history_free(&history);
	is_code(parse("4294967294\t0/1\tx\n", UINT32_MAX, &history, &err), WA_OK,
			&err, "the highest timelines");
	wa_history_free(&history);
}

static void
test_bad(void)
{
	static const char *const bad[] = {
		"", "\n", "# only a comment\n", "x\n", "1\n", "1\t\n", "1\t0\n",
		"1\t0/\n", "1\t/3000158\n", "1 0-3000158\n", "0/3000158\n",
		"0\t0/3000158\tx\n", "-1\t0/3000158\tx\n", "1a\t0/3000158\tx\n",
		"1\t0/3000158x\n", "1\t0/3000158/1\n", "1\t123456789/0\tx\n",
		"1\t0/123456789\tx\n", "4294967296\t0/3000158\tx\n",
		"2\t0/3000158\tx\n1\t0/4000000\tx\n",	/* decreasing */
		"1\t0/3000158\tx\n1\t0/4000000\tx\n",	/* twice */
		"7\t0/3000158\tx\n",	/* itself */
		"8\t0/3000158\tx\n",	/* later than itself */
		"1\t0/3000158\tx\n2\t0/\n",		/* cut off */
		"1\t0/3000158\tx\ngarbage\n",
	};
	char		zeros[100] = {0};
	WaHistory	history;
	WaError		err;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		err.message[0] = '\0';
		is_code(parse(bad[i], 7, &history, &err), WA_DAMAGED, &err,
				"damage, text %zu", i);
		if (history.count != 0 || history.entries != NULL)
			ok(false, "text %zu left an ancestry behind", i);
	}
	has_str(err.message, "the file", "the message names the file");
	is_code(wa_history_parse(zeros, sizeof(zeros), 7, "zeros", &history, &err),
			WA_DAMAGED, &err, "zeros");
}

static void
test_size(void)
{
	size_t		length = WA_HISTORY_BYTES_MAX + 1;
	char	   *text = malloc(length);
	WaHistory	history;
	WaError		err;

	must(text != NULL);
	memset(text, '\n', length);
	memcpy(text, "1\t0/1\tx", 7);
	is_code(wa_history_parse(text, length, 2, "large", &history, &err),
			WA_DAMAGED, &err, "one byte more than a history may have");
	is_code(wa_history_parse(text, length - 1, 2, "large", &history, &err),
			WA_OK, &err, "as many as it may");
	wa_history_free(&history);
	free(text);
}

int
main(void)
{
	test_good();
	test_bad();
	test_size();
	return done_testing();
}
