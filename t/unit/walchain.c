/*
 * walchain.c
 *	  Segments that go on where the one before ended are told from those that
 *	  do not; the record that crosses is checked.
 */
#include "core/walchain.h"

#include "core/walheader.h"

#include "fixture.h"
#include "tap.h"
#include "walwriter.h"

#define NOON_US		INT64_C(1790000000000000)
#define SEGNO		5

static WalWriter wal;
static WaChain chain;
static WaCrossed crossed;

static WaJoint
add(int n)
{
	WaWalName	name;
	WaError		err;
	WaScan	   *scan;
	WaJoint		joint;

	must(wa_walname_parse(wal_name(&wal, n), &name, &err) == WA_OK);
	scan = wa_scan_open(&name, wal.segment_bytes, wal.magic);
	must(scan != NULL);
	wa_scan_feed(scan, wal_segment(&wal, n), wal.segment_bytes);
	joint = wa_chain_add(&chain, wa_scan_finish(scan), &crossed);
	wa_scan_close(scan);
	return joint;
}

static void
is_joint(WaJoint joint, WaJoint want, const char *what)
{
	if (!ok(joint == want, "%s", what))
		diag("got %d, wanted %d: %s", joint, want, chain.reason);
}

/* A record with every possible cut: in the header, behind it, far behind. */
static void
test_cuts(void)
{
	static const uint32_t lefts[] = {8, 16, 24, 32, 64, 96, 104};

	for (size_t i = 0; i < sizeof(lefts) / sizeof(lefts[0]); i++)
	{
		uint64_t	point;

		wal_open(&wal, SEG_1MB, SEGNO);
		wal_fill_until(&wal, lefts[i]);
		wal_restore_point(&wal, "on the edge", NOON_US);
		point = wal.at;
		wal_switch(&wal);
		wal_commit(&wal, NOON_US);
		wa_chain_begin(&chain);
		is_joint(add(0), WA_JOINT_FIRST, "the first segment");
		is_joint(add(1), WA_JOINT_GOOD,
				 "the second goes on");
		if (lefts[i] < 104)
		{
			is_int(crossed.record.kind, WA_RECORD_RESTORE_POINT,
				   "with %u bytes in the first", lefts[i]);
			is_str(crossed.record.name, "on the edge", "its name");
			is_int(crossed.end_lsn, point, "its end");
		}
		else
			is_int(crossed.end_lsn, 0, "nothing crosses");
		is_joint(add(2), WA_JOINT_GOOD, "so does the third, behind a switch");
		wal_close(&wal);
	}
}

static void
test_long_record(void)
{
	wal_open(&wal, SEG_1MB, SEGNO);
	wal_filler(&wal, 100);
	wal_filler(&wal, 3 * SEG_1MB + 777);
	wal_commit(&wal, NOON_US);
	wal_switch(&wal);
	wal_commit(&wal, NOON_US);
	wa_chain_begin(&chain);
	add(0);
	is_joint(add(1), WA_JOINT_GOOD, "a segment within one record");
	is_int(crossed.end_lsn, 0, "which does not end there");
	is_joint(add(2), WA_JOINT_GOOD, "another");
	is_joint(add(3), WA_JOINT_GOOD, "it ends");
	ok(crossed.end_lsn != 0, "there");
	is_joint(add(4), WA_JOINT_GOOD, "and on");

	wal_segment(&wal, 2)[12345] ^= 1;
	wa_chain_begin(&chain);
	add(0);
	add(1);
	is_joint(add(2), WA_JOINT_GOOD, "damage in the middle of it");
	is_joint(add(3), WA_JOINT_BROKEN, "is seen at its end");
	has_str(chain.reason, "fails its checksum", "says so");
	is_joint(add(4), WA_JOINT_GOOD, "what follows is compared with that");
	wal_close(&wal);
}

static void
test_switch_crosses(void)
{
	wal_open(&wal, SEG_1MB, SEGNO);
	wal_fill_until(&wal, 8);
	wal_switch(&wal);
	wal_commit(&wal, NOON_US);
	wal_switch(&wal);
	wa_chain_begin(&chain);
	add(0);
	is_joint(add(1), WA_JOINT_GOOD, "a switch that crosses");
	is_joint(add(2), WA_JOINT_GOOD, "and what follows it");
	wa_chain_begin(&chain);
	add(1);
	is_joint(add(2), WA_JOINT_GOOD, "also when its beginning was not seen");
	wal_close(&wal);
}

static void
test_broken(void)
{
	unsigned char saved[SEG_1MB];

	wal_open(&wal, SEG_1MB, SEGNO);
	for (int i = 0; i < 4000; i++)
		wal_filler(&wal, 900);

	wa_chain_begin(&chain);
	add(0);
	is_joint(add(1), WA_JOINT_GOOD, "a good chain");
	is_joint(add(2), WA_JOINT_GOOD, "goes on");

	wa_chain_begin(&chain);
	add(0);
	is_joint(add(2), WA_JOINT_BROKEN, "a segment left out");
	has_str(chain.reason, "bytes of a record of which", "says how");

	memcpy(saved, wal_segment(&wal, 1), SEG_1MB);
	memset(wal_segment(&wal, 1) + 500 * 1024, 0, SEG_1MB - 500 * 1024);
	wa_chain_begin(&chain);
	add(0);
	is_joint(add(1), WA_JOINT_GOOD, "a segment that ends early");
	is_joint(add(2), WA_JOINT_BROKEN, "and one behind it");
	has_str(chain.reason, "ends at 0/67", "says where");
	is_joint(add(3), WA_JOINT_GOOD, "the chain begins anew");
	memcpy(wal_segment(&wal, 1), saved, SEG_1MB);

	/* the last record of the first, and the first of the second, mutated */
	for (size_t at = SEG_1MB - 300; at < SEG_1MB; at += 37)
	{
		wal_segment(&wal, 0)[at] ^= 4;
		wa_chain_begin(&chain);
		add(0);
		is_joint(add(1), WA_JOINT_BROKEN, "damage before the edge");
		wal_segment(&wal, 0)[at] ^= 4;
	}
	for (size_t at = 40; at < 340; at += 37)
	{
		wal_segment(&wal, 1)[at] ^= 4;
		wa_chain_begin(&chain);
		add(0);
		is_joint(add(1), WA_JOINT_BROKEN, "damage behind the edge");
		wal_segment(&wal, 1)[at] ^= 4;
	}
	wal_close(&wal);
}

/* Another history that happens to begin at the same place. */
static void
test_other_history(void)
{
	WalWriter	other;

	wal_open(&wal, SEG_1MB, SEGNO);
	wal_fill_until(&wal, 0);
	wal_commit(&wal, NOON_US);
	wal_switch(&wal);
	wal_open(&other, SEG_1MB, SEGNO);
	wal_filler(&other, 200);
	wal_fill_until(&other, 1600);
	wal_filler(&other, 1600 - 24);
	wal_commit(&other, NOON_US);
	wal_switch(&other);
	must(memcmp(wal_segment(&wal, 1), wal_segment(&other, 1), SEG_1MB) != 0);
	wa_chain_begin(&chain);
	add(0);
	is_joint(add(1), WA_JOINT_GOOD, "its own");
	memcpy(wal_segment(&wal, 1), wal_segment(&other, 1), SEG_1MB);
	wa_chain_begin(&chain);
	add(0);
	is_joint(add(1), WA_JOINT_BROKEN, "the other's");
	has_str(chain.reason, "follows one at", "says so");
	wal_close(&wal);
	wal_close(&other);
}

/* The server crashed with a record half written, here over the edge. */
static void
test_overwritten(void)
{
	uint64_t	lsn;

	wal_open(&wal, SEG_1MB, SEGNO);
	wal_fill_until(&wal, 400);
	lsn = wal_filler(&wal, 9000);
	wal_crash(&wal, lsn + 400);
	wal_commit(&wal, NOON_US);
	wal_switch(&wal);
	wal_commit(&wal, NOON_US);
	wa_chain_begin(&chain);
	add(0);
	is_joint(add(1), WA_JOINT_GOOD, "a record cut by a crash");
	is_joint(add(2), WA_JOINT_GOOD, "and on");
	wal_close(&wal);

	/* on a later page of the next segment; then, a segment later */
	for (int later = 0; later <= 1; later++)
	{
		wal_open(&wal, SEG_1MB, SEGNO);
		wal_fill_until(&wal, 400);
		lsn = wal_filler(&wal, 60000 + (size_t) later * SEG_1MB);
		wal_crash(&wal, lsn + 400 + 2 * 8192 + (uint64_t) later * SEG_1MB);
		wal_commit(&wal, NOON_US);
		wal_switch(&wal);
		wal_commit(&wal, NOON_US);
		wa_chain_begin(&chain);
		for (int i = 0; i <= 2 + later; i++)
			is_joint(add(i), i == 0 ? WA_JOINT_FIRST : WA_JOINT_GOOD,
					 "a record cut by a crash further on");
		wal_segment(&wal, 1)[WA_WALHEADER_REM_LEN] ^= 8;
		wal_segment(&wal, 1)[8192 + WA_WALHEADER_REM_LEN] ^= 8;
		wa_chain_begin(&chain);
		add(0);
		is_joint(add(1), WA_JOINT_BROKEN, "of which another part is due");
		wal_close(&wal);
	}
}

int
main(void)
{
	test_cuts();
	test_long_record();
	test_switch_crosses();
	test_broken();
	test_other_history();
	test_overwritten();
	return done_testing();
}
