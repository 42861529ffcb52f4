/*
 * walscan.c
 *	  The walk over a segment finds every record, sees every damage, and takes
 *	  no healthy segment for a damaged one; whatever the bytes are, it ends.
 */
#include "core/walscan.h"

#include "core/walheader.h"
#include "core/walchain.h"
#include "fixture.h"
#include "tap.h"
#include "walwriter.h"

#define NOON_US		INT64_C(1790000000000000)
#define SEGNO		5
#define LSN			(SEGNO * (uint64_t) SEG_1MB)

static WalWriter wal;

/* Scan a segment of that name; the result is a copy. */
static WaScanResult
scan_bytes(const char *name, const unsigned char *bytes, size_t length,
		   size_t piece)
{
	WaWalName	parsed;
	WaError		err;
	WaScan	   *scan;
	WaScanResult result;

	must(wa_walname_parse(name, &parsed, &err) == WA_OK);
	scan = wa_scan_open(&parsed, wal.segment_bytes, wal.magic);
	must(scan != NULL);
	for (size_t at = 0; at < length; at += piece)
		wa_scan_feed(scan, bytes + at, length - at < piece ? length - at : piece);
	result = *wa_scan_finish(scan);
	wa_scan_close(scan);
	return result;
}

static WaScanResult
scan(int n)
{
	return scan_bytes(wal_name(&wal, n), wal_segment(&wal, n),
					  wal.segment_bytes, wal.segment_bytes);
}

static void
is_end(const WaScanResult *result, WaScanEnd end, const char *what)
{
	if (!ok(result->end == end, "%s", what))
		diag("got %d, wanted %d: \"%s\" at %llx", result->end, end,
			 result->reason, (unsigned long long) result->stop_lsn);
}

static void
test_records(void)
{
	WaScanResult result;
	WaScanResult again;
	uint64_t	count = 0;
	uint64_t	first;
	uint64_t	last;
	uint64_t	point;
	static const size_t pieces[] = {1, 7, 4096, 8192, 100000};

	wal_open(&wal, SEG_1MB, SEGNO);
	first = wal_commit(&wal, NOON_US + 5);
	wal_commit(&wal, NOON_US - 5);
	point = wal_restore_point(&wal, "before the upgrade", NOON_US + 7);
	count = 3;
	last = point;
	point = wal.at;
	for (;;)
	{
		uint64_t	prev = wal.prev;
		uint64_t	lsn = wal_filler(&wal, 13 + wal.at / 8 % 9000);

		if (wal.at >= LSN + SEG_1MB)
		{
			last = prev;
			must(lsn < LSN + SEG_1MB);
			break;
		}
		count++;
	}
	result = scan(0);
	is_end(&result, WA_SCAN_FULL, "a full segment");
	is_int(result.records, count, "all whole records");
	is_int(result.first_lsn, first, "the first one");
	is_int(first, LSN + 40, "behind the long header");
	is_int(result.first_prev, 0, "and its link");
	is_int(result.last_lsn, last, "the last whole one");
	is_int(result.used_bytes, SEG_1MB, "all is used");
	is_int(result.transactions, 2, "commits");
	is_int(result.earliest_us, NOON_US - 5, "earliest commit");
	is_int(result.latest_us, NOON_US + 5, "latest commit");
	is_int(result.points_count, 1, "restore points");
	is_str(result.points[0].name, "before the upgrade", "name");
	is_int(result.points[0].time_us, NOON_US + 7, "time");
	is_int(result.points[0].lsn, point, "LSN: where it ends");
	is_int(result.head.due_bytes, 0, "it begins with a record");
	is_int(result.tail.lsn, wal.prev, "the record that goes on");
	is_int(result.tail.bytes + (wal.at - LSN - SEG_1MB) - 40 - 24 *
		   ((wal.at - LSN - SEG_1MB) / 8192), (result.tail.total_bytes + 7) / 8 * 8,
		   "and how much of it is here");

	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++)
	{
		again = scan_bytes(wal_name(&wal, 0), wal_segment(&wal, 0), SEG_1MB,
						   pieces[i]);
		ok(memcmp(&again, &result, sizeof(result)) == 0,
		   "the same in pieces of %zu", pieces[i]);
	}

	again = scan(1);
	is_int(again.head.due_bytes, result.tail.total_bytes - result.tail.bytes,
		   "the next one begins with the rest");
	is_end(&again, WA_SCAN_EARLY, "and ends behind it");
	is_int(again.stop_lsn, wal.at, "there");
	is_int(again.end_lsn, wal.at, "which is its end");
	ok(again.unused_zero, "zeros follow");
	wal_close(&wal);
}

static void
test_ends(void)
{
	WaScanResult result;
	uint64_t	end;
	char		name[24];

	wal_open(&wal, SEG_1MB, SEGNO);
	for (int i = 0; i < 40; i++)
	{
		snprintf(name, sizeof(name), "point %d", i);
		wal_restore_point(&wal, name, NOON_US);
	}
	wal_switch(&wal);
	result = scan(0);
	is_end(&result, WA_SCAN_SWITCHED, "a segment switch");
	is_int(result.points_count, 40, "all restore points are counted");
	is_str(result.points[WA_SCAN_POINTS_MAX - 1].name, "point 23", "some kept");
	ok(result.unused_zero, "zeros follow");
	is_int(result.used_bytes, wal.prev + 24 - LSN, "used up to the switch");
	wal_segment(&wal, 0)[SEG_1MB - 1] = 1;
	result = scan(0);
	is_end(&result, WA_SCAN_SWITCHED, "garbage behind a switch");
	ok(!result.unused_zero, "is seen");

	/* exactly full */
	wal_fill_until(&wal, 0);
	is_int(wal.at, LSN + 2 * (uint64_t) SEG_1MB, "the test fills a segment");
	result = scan(1);
	is_end(&result, WA_SCAN_FULL, "a segment that ends with a record");
	is_int(result.tail.lsn, 0, "nothing goes on");

	/* only the header of the next record, or less, fits */
	for (uint32_t left = 8; left <= 32; left += 8)
	{
		int			n = 1 + (int) left / 8;

		wal_fill_until(&wal, left);
		end = wal_filler(&wal, 100);
		result = scan(n);
		is_end(&result, WA_SCAN_FULL, "the last record begins near the end");
		is_int(result.tail.bytes, left, "%u bytes of it", left);
		is_int(result.tail.lsn, end, "where");
	}
	wal_close(&wal);
}

/* What else can stand behind the last record. */
static void
test_dead_tails(void)
{
	WaScanResult result;
	WalWriter	old;
	unsigned char *segment;
	uint64_t	end;
	uint64_t	last;

	wal_open(&wal, SEG_1MB, SEGNO);
	wal_open(&old, SEG_1MB, 2);
	wal_fill_until(&old, 0);
	for (int i = 0; i < 100; i++)
		wal_filler(&wal, 300);
	last = wal.prev;
	end = wal.at;
	segment = wal_segment(&wal, 0);

	/* pages that were never overwritten since the file was recycled */
	memcpy(segment + 5 * 8192, old.bytes + 5 * 8192, SEG_1MB - 5 * 8192);
	must(end - LSN < 5 * 8192 && end - LSN > 4 * 8192);
	result = scan(0);
	is_end(&result, WA_SCAN_EARLY, "recycled pages");
	is_int(result.end_lsn, end, "the end");
	ok(!result.unused_zero, "not zeros");

	/* the last page, too, has its old bytes behind the new ones */
	memcpy(segment + (end - LSN), old.bytes + (end - LSN),
		   (size_t) (5 * 8192 - (end - LSN)));
	result = scan(0);
	is_end(&result, WA_SCAN_EARLY, "recycled bytes in the last page");
	is_int(result.end_lsn, end, "the end");

	/* the last record is cut in its page */
	segment[end - LSN - 50] ^= 1;
	result = scan(0);
	is_end(&result, WA_SCAN_TORN, "a last record with wrong bytes");
	is_int(result.stop_lsn, last, "where it begins");
	is_int(result.end_lsn, last, "the end is before it");
	segment[end - LSN - 50] ^= 1;

	/* the last record is cut at the end of its page */
	last = wal_filler(&wal, 9000);
	memcpy(segment + 5 * 8192, old.bytes + 5 * 8192, SEG_1MB - 5 * 8192);
	result = scan(0);
	is_end(&result, WA_SCAN_TORN, "a record whose rest is missing");
	is_int(result.stop_lsn, last, "where it begins");
	is_int(result.end_lsn, last, "the end is before it");
	wal_close(&wal);
	wal_close(&old);
}

/*
 * Change bytes all over a segment: what is not seen must lie where no
 * checksum of this segment reaches.
 */
static void
test_mutations(void)
{
	WaScanResult good;
	unsigned char *segment;
	uint32_t	head_end;
	uint32_t	tail_begin;
	int			invented = 0;
	int			missed = 0;
	int			tried = 0;
	int			early = 0;
	int			behind = 0;
	unsigned char *covered = calloc(1, SEG_1MB);

	must(covered != NULL);
	wal_open(&wal, SEG_1MB, SEGNO);
	wal_fill_until(&wal, 1000);
	wal_filler(&wal, 12000);
	for (int i = 0; i < 30; i++)
		wal_commit(&wal, NOON_US + i);
	wal_fill_until(&wal, 1000);
	wal_filler(&wal, 5000);
	for (int i = 0; i < 200; i++)
		wal_filler(&wal, 3001);

	segment = wal_segment(&wal, 1);
	good = scan(1);
	is_end(&good, WA_SCAN_FULL, "the segment is good");
	head_end = (uint32_t) (good.head.end_lsn - LSN - SEG_1MB);
	tail_begin = (uint32_t) (good.tail.lsn - LSN - SEG_1MB);

	/* what a page header and a record header say counts everywhere */
	for (uint32_t at = 0; at < SEG_1MB; at += 8192)
	{
		memset(covered + at, 1, 20);
		covered[at + WA_WALHEADER_INFO] = 0;	/* one of the flags is free */
	}
	memset(covered + tail_begin, 1, 24);
	for (uint32_t at = head_end; at < tail_begin;)
	{
		uint32_t	left;
		uint32_t	total;

		if (at % 8192 == 0)
			at += 24;
		memcpy(&total, segment + at, 4);
		for (left = total; left > 0; left--, at++)
		{
			if (at % 8192 == 0)
				at += 24;
			covered[at] = 1;
		}
		at = (at + 7) / 8 * 8;
	}

	for (uint32_t at = 0; at < SEG_1MB; at += at < 16384 || at > tail_begin - 9000 ? 1 : 97)
	{
		WaScanResult result;
		bool		seen;

		segment[at] ^= (unsigned char) (1 << at % 8);
		result = scan(1);
		segment[at] ^= (unsigned char) (1 << at % 8);
		seen = result.end != WA_SCAN_FULL ||
			memcmp(&result.head, &good.head, sizeof(good.head)) != 0 ||
			memcmp(&result.tail, &good.tail, sizeof(good.tail)) != 0;
		tried++;
		if (covered[at] && !seen && missed++ == 0)
			diag("missed at %u", at);
		if (!covered[at] && result.end != WA_SCAN_FULL && invented++ == 0)
			diag("invented at %u: %s", at, result.reason);
		if (at < tail_begin - 9000 && result.end != WA_SCAN_FULL &&
			result.end != WA_SCAN_DAMAGED && early++ == 0)
			diag("taken for an end at %u: %s", at, result.reason);
		/* of the record it begins in, a segment knows only the length */
		if (at >= head_end && result.end != WA_SCAN_FULL &&
			result.stop_lsn > LSN + SEG_1MB + at && behind++ == 0)
			diag("stops at %llx, behind %u", (unsigned long long) result.stop_lsn, at);
	}
	ok(tried > 20000, "%d bytes changed, one at a time", tried);
	is_int(missed, 0, "no damage is missed");
	is_int(invented, 0, "none is invented");
	is_int(early, 0, "none is taken for the end of WAL while more follows");
	is_int(behind, 0, "the walk stops before it or at it");
	free(covered);
	wal_close(&wal);
}

static void
test_damage(void)
{
	WaScanResult result;
	unsigned char *segment;
	unsigned char page[8192];

	wal_open(&wal, SEG_1MB, SEGNO);
	for (int i = 0; i < 2000; i++)
		wal_filler(&wal, 700);
	segment = wal_segment(&wal, 0);
	memcpy(page, segment + 3 * 8192, sizeof(page));

	memset(segment + 3 * 8192, 0, 8192);
	result = scan(0);
	is_end(&result, WA_SCAN_DAMAGED, "a page of zeros in the middle");
	has_str(result.reason, "no WAL page at 0/506000", "the reason names it");
	ok(result.stop_lsn <= LSN + 3 * 8192 && result.stop_lsn > LSN + 2 * 8192,
	   "the record that would go on there");

	memcpy(segment + 3 * 8192, segment + 9 * 8192, 8192);
	result = scan(0);
	is_end(&result, WA_SCAN_DAMAGED, "a page at the wrong place");
	has_str(result.reason, "another place", "says so");
	memcpy(segment + 3 * 8192, page, sizeof(page));

	segment[WA_WALHEADER_MAGIC] ^= 1;
	result = scan(0);
	is_end(&result, WA_SCAN_DAMAGED, "the first page is damaged");
	is_int(result.stop_lsn, LSN, "nothing of it is read");
	segment[WA_WALHEADER_MAGIC] ^= 1;

	segment[3 * 8192 + WA_WALHEADER_TLI] = 2;
	result = scan(0);
	is_end(&result, WA_SCAN_DAMAGED, "a page of a later timeline");
	segment[3 * 8192 + WA_WALHEADER_TLI] = 1;

	result = scan_bytes(wal_name(&wal, 0), segment, 100 * 8192, 8192);
	ok(result.end == WA_SCAN_EARLY || result.end == WA_SCAN_TORN,
	   "a short file ends early");
	is_int(scan_bytes(wal_name(&wal, 0), segment, 0, 1).end, WA_SCAN_EARLY,
		   "so does an empty one");
	result = scan(0);
	is_end(&result, WA_SCAN_FULL, "all is as it was");
	wal_close(&wal);
}

/* What only one of the checks can see. */
static void
test_single_checks(void)
{
	WaScanResult result;
	WalWriter	old;
	unsigned char *segment;
	uint64_t	end;

	/* an old record, whole, exactly where the next one would begin */
	wal_open(&wal, SEG_1MB, SEGNO);
	wal_open(&old, SEG_1MB, 2);
	for (int i = 0; i < 100; i++)
	{
		wal_filler(&wal, 300);
		wal_filler(&old, 300);
	}
	end = wal.at;
	must(end - wal.start == old.at - old.start);
	wal_commit(&old, NOON_US);
	segment = wal_segment(&wal, 0);
	memcpy(segment + (end - LSN), old.bytes + (end - LSN), 40);
	result = scan(0);
	is_end(&result, WA_SCAN_EARLY, "a whole record of an earlier life");
	is_int(result.end_lsn, end, "is not taken for the next one");
	is_int(result.transactions, 0, "nor its commit for one");
	wal_close(&old);
	wal_close(&wal);

	/* damage in the last page, with records behind it */
	wal_open(&wal, SEG_1MB, SEGNO);
	wal_fill_until(&wal, 2000);
	end = wal.at;
	for (int i = 0; i < 10; i++)
		wal_filler(&wal, 100);
	segment = wal_segment(&wal, 0);
	segment[end - LSN + 30] ^= 1;
	result = scan(0);
	is_end(&result, WA_SCAN_DAMAGED, "damage in the last page, WAL behind it");
	is_int(result.stop_lsn, end, "where");
	wal_close(&wal);

	/* a page that is due another number of bytes than the one before left */
	wal_open(&wal, SEG_1MB, SEGNO);
	wal_fill_until(&wal, 1000);
	wal_filler(&wal, 20000);
	wal_fill_until(&wal, 0);
	segment = wal_segment(&wal, 1);
	segment[8192 + WA_WALHEADER_REM_LEN] ^= 8;
	result = scan(1);
	is_end(&result, WA_SCAN_DAMAGED, "a page that does not go on");
	has_str(result.reason, "does not go on", "says so");
	wal_close(&wal);
}

/* A record cut by a crash, in the middle of a segment. */
static void
test_overwritten(uint16_t magic)
{
	WaScanResult result;
	uint64_t	cut;

	wal_open(&wal, SEG_1MB, SEGNO);
	wal.magic = magic;
	for (int i = 0; i < 50; i++)
		wal_filler(&wal, 300);
	cut = wal_filler(&wal, 30000);
	cut += 8192 - cut % 8192;
	wal_crash(&wal, cut + 8192);
	for (int i = 0; i < 10; i++)
		wal_commit(&wal, NOON_US);
	wal_switch(&wal);
	result = scan(0);
	is_end(&result, WA_SCAN_SWITCHED, "a record cut by a crash is no damage");
	is_int(result.records, 50 + 1 + 10 + 1, "the others are there (%X)", magic);
	wal_close(&wal);
}

/* A segment that ends within the record it begins with. */
static void
test_cut_head(void)
{
	WaScanResult result;

	wal_open(&wal, SEG_1MB, SEGNO);
	wal_fill_until(&wal, 400);
	wal_filler(&wal, 100000);
	memset(wal_segment(&wal, 1) + 3 * 8192, 0, SEG_1MB - 3 * 8192);
	result = scan(1);
	is_end(&result, WA_SCAN_TORN, "cut in the record that went on");
	is_int(result.used_bytes, 3 * 8192, "what is there counts");
	is_int(result.end_lsn, 0, "but no record ended");
	wal_close(&wal);

	/* its rest alone, with zeros behind: a switch leaves less */
	for (uint32_t left = 8; left <= 32; left += 8)
	{
		wal_open(&wal, SEG_1MB, SEGNO);
		wal_fill_until(&wal, left);
		wal_filler(&wal, 16 + 8);
		result = scan(1);
		is_end(&result, WA_SCAN_EARLY, "ends early");
		is_int(result.head.due_bytes, 48 - left, "with the rest of a record");
		ok(wa_scan_perhaps_switched(&result) == (48 - left < 24),
		   "which may have been a switch, or not");
		ok(wa_scan_ends_early(&result) == (48 - left >= 24), "and the end");
		wal_close(&wal);
	}
}

/* Block sizes PostgreSQL can be built with, and large segments. */
static void
test_sizes(void)
{
	for (uint32_t block = 1024; block <= 65536; block *= 2)
	{
		WaScanResult result;

		wal_open(&wal, block == 65536 ? 4 * SEG_1MB : SEG_1MB, SEGNO);
		wal.block_bytes = block;
		for (int i = 0; i < 3000; i++)
			wal_filler(&wal, 100 + (size_t) i % 3000);
		result = scan(0);
		is_end(&result, WA_SCAN_FULL, "a block size");
		wal_close(&wal);
	}
}

/* Garbage, and valid pages in disorder. */
static void
test_hostile(void)
{
	uint32_t	seed = 12345;
	unsigned char *segment;
	int			ends = 0;

	wal_open(&wal, SEG_1MB, SEGNO);
	for (int i = 0; i < 3000; i++)
		wal_filler(&wal, 30 + (size_t) i % 900);
	segment = wal_segment(&wal, 0);
	for (int round = 0; round < 300; round++)
	{
		WaScanResult result;
		uint32_t	places[20];
		unsigned char was[20];

		for (int i = 0; i < 20; i++)
		{
			seed = seed * 1103515245 + 12345;
			places[i] = (seed >> 4) % (round % 2 == 0 ? SEG_1MB : 20000);
			was[i] = segment[places[i]];
			segment[places[i]] = (unsigned char) (seed >> 24);
		}
		result = scan_bytes(wal_name(&wal, 0), segment, SEG_1MB,
							1 + seed % 20000);
		for (int i = 19; i >= 0; i--)
			segment[places[i]] = was[i];
		ends += result.end >= WA_SCAN_FULL && result.end <= WA_SCAN_DAMAGED &&
			result.used_bytes <= SEG_1MB;
	}
	is_int(ends, 300, "garbage has a result each time");
	fill(segment, SEG_1MB, 99);
	is_int(scan(0).end, WA_SCAN_EARLY, "no WAL at all");
	is_int(scan(0).records, 0, "no records");
	wal_close(&wal);
}

int
main(void)
{
	WaWalName	name;
	WaError		err;

	test_records();
	test_ends();
	test_dead_tails();
	test_damage();
	test_single_checks();
	test_mutations();
	test_overwritten(0xD110);
	test_overwritten(0xD118);
	test_overwritten(0xD120);
	test_cut_head();
	test_sizes();
	test_hostile();

	must(wa_walname_parse("00000002.history", &name, &err) == WA_OK);
	ok(wa_scan_open(&name, SEG_1MB, 0) == NULL, "a history is not scanned");
	return done_testing();
}
