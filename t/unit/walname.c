/*
 * walname.c
 *	  Every form of name PostgreSQL archives is taken apart rightly, every
 *	  other one is refused, and segment numbers agree with PostgreSQL's for
 *	  each segment size.
 */
#include "core/walname.h"

#include "tap.h"

static const char *const malformed[] = {
	"", "0", "0000000", "00000001", "00000001.", "00000001.histor",
	"00000001.historyy", "00000001.History", "00000000.history",
	"0000001g.history", "0000001a.history", "00000001.history.zst",
	"../00000001.history", "00000001/.history",
	"00000001000000000000000", "0000000100000000000000020",
	"000000010000000000000g02", "00000001000000000000000a",
	"000000000000000000000001",
	"00000001000000000000000 ", " 00000001000000000000000",
	"000000010000000000000001\n", "-00000010000000000000001",
	"0x0000010000000000000001", "00000001000000000000000\xff",
	"000000010000000000000001.", "000000010000000000000001.partial.",
	"000000010000000000000001.Partial", "000000010000000000000001.partial.zst",
	"000000010000000000000001.zst", "000000010000000000000001.backup",
	"000000010000000000000001.0000028.backup",
	"000000010000000000000001.000000028.backup",
	"000000010000000000000001.0000002g.backup",
	"000000010000000000000001.0000002a.backup",
	"000000010000000000000001.00000028.backup.zst",
	"000000010000000000000001.00000028.bakcup",
	"000000010000000000000001_00000028.backup",
	"000000010000000000000001/00000028.backup",
	"archive_status", ".", "..", "RECOVERYXLOG", "RECOVERYHISTORY",
	"/000000010000000000000001", "pg_wal/000000010000000000000001",
	"0000000100000000000000010000000100000000000000010000000100000000000001",
};

static void
test_forms(void)
{
	WaWalName	name;
	WaError		err;

	is_code(wa_walname_parse("0000000A000000B0000000FF", &name, &err), WA_OK,
			&err, "a segment");
	is_int(name.kind, WA_KIND_SEGMENT, "its kind");
	is_int(name.tli, 0xA, "its timeline");
	is_int(name.log, 0xB0, "its log");
	is_int(name.seg, 0xFF, "its last digits");
	is_str(name.text, "0000000A000000B0000000FF", "its text");

	is_code(wa_walname_parse("FFFFFFFF0000000000000001.partial", &name, &err),
			WA_OK, &err, "a .partial");
	is_int(name.kind, WA_KIND_PARTIAL, "its kind");
	is_int(name.tli, 0xFFFFFFFF, "the highest timeline");

	is_code(wa_walname_parse("00000002.history", &name, &err), WA_OK, &err,
			"a .history");
	is_int(name.kind, WA_KIND_HISTORY, "its kind");
	is_int(name.tli, 2, "its timeline");
	is_int(name.log + name.seg, 0, "it has no segment");

	is_code(wa_walname_parse("000000010000000000000042.00D01028.backup",
							 &name, &err), WA_OK, &err, "a .backup");
	is_int(name.kind, WA_KIND_BACKUP, "its kind");
	is_int(name.seg, 0x42, "its segment");
	is_int(name.backup_offset, 0xD01028, "its offset");
	is_str(name.text, "000000010000000000000042.00D01028.backup", "its text");
}

static void
test_malformed(void)
{
	for (size_t i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++)
	{
		WaWalName	name;
		WaError		err = {0};
		char		shown[80];
		size_t		at = 0;

		for (; malformed[i][at] != '\0' && at < sizeof(shown) - 1; at++)
			shown[at] = malformed[i][at] >= ' ' && malformed[i][at] < 0x7f
				? malformed[i][at] : '?';
		shown[at] = '\0';
		is_code(wa_walname_parse(malformed[i], &name, &err), WA_INVALID, &err,
				"refused: <%s>", shown);
	}
}

/* Each single byte of a good name, replaced by each other value. */
static void
test_every_byte(void)
{
	static const char *const good[] = {
		"000000010000000000000042", "000000010000000000000042.partial",
		"00000002.history", "000000010000000000000042.00D01028.backup"
	};
	int			wrong = 0;

	for (size_t g = 0; g < sizeof(good) / sizeof(good[0]); g++)
		for (size_t at = 0; good[g][at] != '\0'; at++)
			for (int c = 1; c < 256; c++)
			{
				char		text[64];
				WaWalName	name;
				WaError		err;
				bool		taken;
				bool		digit = strchr("0123456789ABCDEF", c) != NULL &&
					strchr("0123456789ABCDEF", good[g][at]) != NULL;

				strcpy(text, good[g]);
				text[at] = (char) c;
				taken = wa_walname_parse(text, &name, &err) == WA_OK;
				/* "B" in ".backup" is no digit: lower case there */
				if (strncmp(text, "00000000", 8) == 0)
					digit = false;
				if (taken != (digit || c == good[g][at]) && wrong++ == 0)
					diag("\"%s\", byte %zu = %02x: taken %d", good[g], at, c,
						 taken);
			}
	is_int(wrong, 0, "any one byte changed is taken only as another digit");
}

static void
test_segment_numbers(void)
{
	static const uint64_t numbers[] = {
		0, 1, 3, 4, 255, 256, 257, 4095, 4096, 65536, 0xFFFFFF
	};
	WaWalName	name;
	WaError		err;
	uint64_t	segno;
	char		text[WA_WALNAME_BYTES];

	for (uint32_t bytes = WA_SEGMENT_BYTES_MIN; bytes != 0 &&
		 bytes <= WA_SEGMENT_BYTES_MAX; bytes *= 2)
	{
		uint32_t	per_log = (uint32_t) ((UINT64_C(1) << 32) / bytes);
		int			wrong = 0;

		ok(wa_segment_bytes_valid(bytes), "%u is a segment size", bytes);
		for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		{
			wa_segment_name(text, 7, numbers[i], bytes);
			if (wa_walname_parse(text, &name, &err) != WA_OK ||
				name.tli != 7 ||
				wa_walname_segno(&name, bytes, &segno, &err) != WA_OK ||
				segno != numbers[i])
				wrong++;
		}
		is_int(wrong, 0, "%u: number to name and back", bytes);

		snprintf(text, sizeof(text), "0000000100000002%08X", per_log - 1);
		must(wa_walname_parse(text, &name, &err) == WA_OK);
		is_code(wa_walname_segno(&name, bytes, &segno, &err), WA_OK, &err,
				"%u: the last segment of a log", bytes);
		is_int(segno, UINT64_C(3) * per_log - 1, "%u: its number", bytes);
		snprintf(text, sizeof(text), "0000000100000002%08X", per_log);
		must(wa_walname_parse(text, &name, &err) == WA_OK);
		is_code(wa_walname_segno(&name, bytes, &segno, &err), WA_INVALID,
				&err, "%u: one more cannot be", bytes);
	}

	wa_segment_name(text, 1, 0x1FF, 16 * 1024 * 1024);
	is_str(text, "0000000100000001000000FF", "16 MB: segment 511");
	wa_history_name(text, 0xAB);
	is_str(text, "000000AB.history", "the name of a history");
	must(wa_walname_parse(text, &name, &err) == WA_OK);
	is_code(wa_walname_segno(&name, 16 * 1024 * 1024, &segno, &err),
			WA_INVALID, &err, "a history has no segment number");

	ok(!wa_segment_bytes_valid(0), "0 is no segment size");
	ok(!wa_segment_bytes_valid(512 * 1024), "half a MB is none");
	ok(!wa_segment_bytes_valid(3 * 1024 * 1024), "3 MB is none");
	ok(!wa_segment_bytes_valid(UINT64_C(2) << 30), "2 GB is none");
	ok(!wa_segment_bytes_valid((UINT64_C(1) << 32) + (1 << 20)),
	   "a size beyond 32 bits is none");
}

/* What waits, and in which order PostgreSQL takes it. */
static void
test_waiting(void)
{
	static const char *const others[] = {
		"", ".ready", "000000010000000000000001.done",
		"000000010000000000000001", "000000010000000000000001.ready.ready",
		"00000001000000000000000g.ready",
		"000000010000000000000001.00000028.backup.extended.far.too.long.ready"
	};
	WaWalName	name;
	WaWalName	other;

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		ok(!wa_walname_ready(others[i], &name), "\"%s\" does not wait",
		   others[i]);
	ok(wa_walname_ready("000000020000000000000001.ready", &name) &&
	   name.kind == WA_KIND_SEGMENT && name.tli == 2, "a segment waits");
	ok(wa_walname_ready("00000003.history.ready", &other) &&
	   other.kind == WA_KIND_HISTORY && other.tli == 3, "a history waits");
	ok(wa_walname_archived_before(&other, &name), "histories come first");
	ok(!wa_walname_archived_before(&name, &other), "and nothing before them");
	must(wa_walname_ready("000000010000000000000009.ready", &other));
	ok(wa_walname_archived_before(&other, &name), "then by name");
}

int
main(void)
{
	test_waiting();
	test_forms();
	test_malformed();
	test_every_byte();
	test_segment_numbers();
	return done_testing();
}
