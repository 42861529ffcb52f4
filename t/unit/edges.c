/*
 * edges.c
 *	  Small texts, fields and records at the edge of what they may be: what is
 *	  too long is cut or refused, what contradicts itself is named.
 */
#include <unistd.h>

#include "core/backuphistory.h"
#include "core/basebackup.h"
#include "core/bytes.h"
#include "core/envelope_scan.h"
#include "core/keyvalue.h"
#include "core/marker.h"
#include "core/pin.h"
#include "core/walchain.h"
#include "core/walheader.h"
#include "core/walscan.h"
#include "fixture.h"
#include "tap.h"
#include "walwriter.h"

#define NOON_US		INT64_C(1790000000000000)

static WaError err;

static void
test_backuphistory(void)
{
	static const struct
	{
		const char *zone;
		int			minutes;	/* -1: refused */
	}			zones[] = {
		{"UTC", 0}, {"GMT", 0}, {"+05", 300}, {"-0330", -210}, {"+05:45", 345},
		{"+16", -1}, {"+05:60", -1}, {"*05", -1}, {"CET", -1}, {"+5x", -1}
	};
	static const char incremental[] =
		"START WAL LOCATION: 0/2000028 (file 000000010000000000000002)\n"
		"STOP WAL LOCATION: 0/2000100 (file 000000010000000000000002)\n"
		"INCREMENTAL FROM LSN: 0/1000028\nSTART TIMELINE: 3\n";
	static const char backward[] =
		"START WAL LOCATION: 0/2000028 (file 000000010000000000000002)\n"
		"STOP WAL LOCATION: 0/2000000 (file 000000010000000000000002)\n"
		"START TIMELINE: 3\n";
	WaBackupHistory backup;
	char		text[4000];
	int64_t		utc;

	must(wa_backuphistory_time("2026-01-02 03:04:05 UTC", &utc));
	for (size_t i = 0; i < sizeof(zones) / sizeof(zones[0]); i++)
	{
		int64_t		us = 0;
		bool		good;

		snprintf(text, sizeof(text), "2026-01-02 03:04:05 %s", zones[i].zone);
		good = wa_backuphistory_time(text, &us);
		if (zones[i].minutes == -1)
			ok(!good, "no zone that can be known: %s", zones[i].zone);
		else
			ok(good && us == utc - zones[i].minutes * INT64_C(60000000),
			   "the zone %s", zones[i].zone);
	}
	is_code(wa_backuphistory_parse(incremental, strlen(incremental), "x",
								   &backup, &err), WA_OK, &err,
			"an incremental backup");
	is_int(backup.incremental_from, 0x1000028, "and what it is incremental to");
	is_int(backup.stop_tli, 3, "without a stop timeline it is that of the start");
	is_code(wa_backuphistory_parse(backward, strlen(backward), "x", &backup,
								   &err), WA_DAMAGED, &err,
			"one that stops before it starts");
	snprintf(text, sizeof(text), "%sLABEL: %03000d\n", incremental, 1);
	is_code(wa_backuphistory_parse(text, strlen(text), "x", &backup, &err),
			WA_OK, &err, "a line that is too long");
	is_int(strlen(backup.label), WA_BACKUP_LABEL_BYTES - 1, "is cut");
}

static void
test_texts(void)
{
	static const char pin_text[] =
		"walarch-pin: 1\nkeep-from: 0/1\nkind: lsn\ncolour: blue\n";
	WaBaseBackup backup = {
		.id = "000000010000000000000003.00000028",.label = "l",
		.server_version = 150000,.start_tli = 1,.start_lsn = 0x300028,
		.start_us = NOON_US
	};
	char		text[5000];
	char		small[4];
	char	   *formatted = wa_base_format(&backup);
	WaPin		pin;
	WaMarker	marker;
	static char large[WA_MARKER_BYTES_MAX + 1];

	memset(large, 'x', sizeof(large));
	is_code(wa_marker_parse(large, sizeof(large), "x", &marker, &err),
			WA_DAMAGED, &err, "a marker that is too large");
	is_code(wa_marker_parse("a\0b", 3, "x", &marker, &err), WA_DAMAGED, &err,
			"or holds a NUL");
	ok(!wa_keyvalue_copy(small, sizeof(small), "four") &&
	   wa_keyvalue_copy(small, sizeof(small), "thr"),
	   "a value that has no room");
	is_code(wa_pin_parse(pin_text, strlen(pin_text), "p", &pin, &err), WA_OK,
			&err, "a pin with a key of a later version");
	must(formatted != NULL);
	snprintf(text, sizeof(text), "%sfile: 16384.tar.zst 1 1 %032d /%02000d\n",
			 formatted, 1, 1);
	is_code(wa_base_parse(text, strlen(text), "x", false, &backup, &err),
			WA_DAMAGED, &err, "a backup with a location that is too long");
	wa_base_free(&backup);
	free(formatted);
}

/* Fields that a damaged envelope with a good checksum could have. */
static void
test_envelope(void)
{
	static WaScanResult scan;
	unsigned char data[300];

	memset(data, 'x', sizeof(data));
	for (unsigned type = 0; type < 20; type++)
	{
		memset(&scan, 0, sizeof(scan));
		(void) wa_envelope_scan_take(type, data, 3, &scan);
		ok(scan.head.due_bytes == 0 && scan.tail.lsn == 0 &&
		   scan.points[0].lsn == 0, "nothing is taken of a short field %u", type);
		for (int n = 0; n < WA_SCAN_POINTS_MAX + 2; n++)
			(void) wa_envelope_scan_take(type, data, sizeof(data), &scan);
		for (int n = 0; n < WA_SCAN_POINTS_MAX; n++)
			if (memchr(scan.points[n].name, '\0',
					   sizeof(scan.points[n].name)) == NULL)
				ok(false, "the name of a point has its end: %u", type);
	}
}

static void
test_header(void)
{
	WaWalName	name = {.kind = WA_KIND_SEGMENT,.tli = 1,.seg = UINT32_MAX,
	.text = "0000000100000000FFFFFFFF"};
	WaWalExpect expect = {.name = &name,.segment_bytes = SEG_1MB};
	unsigned char *page = malloc(SEG_1MB);
	WaWalHeader header;

	must(page != NULL);
	make_segment(page, SEG_1MB, SEG_NAME, SYSID, 1);
	wa_walheader_read(page, &header);
	is_code(wa_walheader_check(&header, &expect, "x", &err), WA_INVALID, &err,
			"a name that no cluster with such segments has");
	free(page);
}

/* ---- records ---- */

static const WaScanResult *
scan_of(WalWriter *wal, int n, const void *more, size_t length, WaScan **scan)
{
	WaWalName	name;

	must(wa_walname_parse(wal_name(wal, n), &name, &err) == WA_OK);
	*scan = wa_scan_open(&name, SEG_1MB, WAL_MAGIC);
	must(*scan != NULL);
	wa_scan_feed(*scan, wal_segment(wal, n), SEG_1MB);
	wa_scan_feed(*scan, more, length);
	return wa_scan_finish(*scan);
}

static void
test_scan(void)
{
	static const unsigned char zeros[8192];
	static WaScanResult whole;
	const WaScanResult *result;
	WalWriter	wal;
	WaScan	   *scan;
	unsigned char *page;

	/* bytes behind the segment */
	wal_open(&wal, SEG_1MB, 2);
	wal_commit(&wal, NOON_US);
	result = scan_of(&wal, 0, NULL, 0, &scan);
	whole = *result;
	wa_scan_close(scan);
	result = scan_of(&wal, 0, zeros, sizeof(zeros), &scan);
	ok(memcmp(result, &whole, sizeof(whole)) == 0,
	   "what lies behind the segment does not count");
	wa_scan_close(scan);
	wal_close(&wal);

	/* a page that goes on with nothing */
	wal_open(&wal, SEG_1MB, 2);
	wal_filler(&wal, 20000);
	page = wal_segment(&wal, 0) + 8192;
	wa_put32(page + WA_WALHEADER_REM_LEN, 0);
	result = scan_of(&wal, 0, NULL, 0, &scan);
	ok(result->end != WA_SCAN_FULL && result->records == 0,
	   "a page that goes on with no byte of a record: %s", result->reason);
	wa_scan_close(scan);
	wal_close(&wal);

	/* a header in two pages, of which the second part is wrong */
	wal_open(&wal, SEG_1MB, 2);
	wal_filler(&wal, 8192 - 40 - 24 - 16);
	must(wal.at % 8192 == 8192 - 16);
	wal_commit(&wal, NOON_US);
	wal_commit(&wal, NOON_US);
	result = scan_of(&wal, 0, NULL, 0, &scan);
	is_int(result->records, 3, "a header in two pages");
	wa_scan_close(scan);
	wal_segment(&wal, 0)[8192 + 24 + 1] = 0x50;
	result = scan_of(&wal, 0, NULL, 0, &scan);
	is_int(result->records, 1, "and one whose second part is wrong: %s",
		   result->reason);
	wa_scan_close(scan);
	wal_close(&wal);

	/* the first record of a segment is given up by a crash */
	wal_open(&wal, SEG_1MB, 2);
	wal_filler(&wal, 20000);
	wal_crash(&wal, wal.start + 8192);
	result = scan_of(&wal, 0, NULL, 0, &scan);
	ok(result->records == 1 && result->first_lsn >= wal.start + 8192,
	   "the first record is the one behind the crash");
	wa_scan_close(scan);
	wal_close(&wal);
}

/*
 * The only record that begins in a segment begins in its last 16 bytes, with
 * a part of its header.
 */
static void
test_chain(void)
{
	static WaScanResult results[3];
	WalWriter	wal;
	WaChain		chain;
	WaCrossed	crossed;
	WaScan	   *scan;
	uint64_t	lsn;

	wal_open(&wal, SEG_1MB, 2);
	wal_filler(&wal, 2 * 8152 + 254 * 8168 - 16 - 24);
	must(wal.at % SEG_1MB == SEG_1MB - 16);
	lsn = wal_commit(&wal, NOON_US);
	for (int i = 0; i < 3; i++)
	{
		results[i] = *scan_of(&wal, i, NULL, 0, &scan);
		wa_scan_close(scan);
	}
	is_int(results[1].first_lsn, lsn, "a record of which a part of the header is here");
	wa_chain_begin(&chain);
	is_int(wa_chain_add(&chain, &results[1], &crossed), WA_JOINT_FIRST, "first");
	is_int(wa_chain_add(&chain, &results[2], &crossed), WA_JOINT_GOOD,
		   "it is proven without the record before it");
	is_int(crossed.record.kind, WA_RECORD_END_OF_TRANSACTION, "and read");

	/* a piece of a header, and one more */
	wa_chain_begin(&chain);
	(void) wa_chain_add(&chain, &results[1], &crossed);
	results[2].head.bytes = 4;
	results[2].head.end_lsn = 0;
	is_int(wa_chain_add(&chain, &results[2], &crossed), WA_JOINT_GOOD,
		   "a header in three pieces");
	is_int(chain.tail.bytes, 20, "of which two are known");

	/* a record where none goes on */
	memset(&results[0], 0, sizeof(results[0]));
	results[0].end = WA_SCAN_FULL;
	wa_chain_begin(&chain);
	(void) wa_chain_add(&chain, &results[0], &crossed);
	results[0].head.due_bytes = 5;
	is_int(wa_chain_add(&chain, &results[0], &crossed), WA_JOINT_BROKEN,
		   "a record that nobody began");
	has_str(chain.reason, "ends with a whole one", "says so");
	wal_close(&wal);
}

int
main(void)
{
	test_backuphistory();
	test_texts();
	test_envelope();
	test_header();
	test_scan();
	test_chain();
	return done_testing();
}
