/*
 * push_records.c
 *	  What is archived is walked: its envelope says what was found; copies of
 *	  a segment that differ only behind their records are the same, a longer
 *	  one takes the place of a shorter one, and any other is a conflict.
 */
#include "archive/push.h"

#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "archive/object.h"
#include "fixture.h"
#include "tap.h"
#include "walwriter.h"

#define SEGNO	2
#define NOON_US	INT64_C(1790000000000000)

static WalWriter wal;
static unsigned char *copy;
static WaBench *bench;
static WaArchive *archive;
static WaPushResult result;
static WaError err;

static const char *
object_key(const char *name)
{
	static char key[WA_KEY_BYTES];

	snprintf(key, sizeof(key), "wal/%.16s/%s.zst", name, name);
	return key;
}

static void
fresh(uint32_t segment_bytes)
{
	WaArchiveConfig config;

	wa_archive_close(archive);
	remove_tree(path_in_scratch("archive"));
	(void) unlink("walarch.known");
	must(mkdir(path_in_scratch("archive"), 0700) == 0);
	archive_config(&config, path_in_scratch("archive"), segment_bytes);
	archive = wa_archive_open(&config);
	must(archive != NULL);
	wal_close(&wal);
	wal_open(&wal, segment_bytes, SEGNO);
	free(copy);
	copy = NULL;
}

static WaCode
push_as(const char *name, const unsigned char *bytes)
{
	write_file("source", bytes, wal.segment_bytes);
	return wa_push(archive, bench, NULL, 1, name, "source", 4711, &result,
				   &err);
}

static WaCode
push(const unsigned char *bytes)
{
	return push_as(wal_name(&wal, 0), bytes);
}

/* A copy of the first segment to be changed. */
static unsigned char *
copied(void)
{
	if (copy == NULL)
		copy = malloc(wal.segment_bytes);
	must(copy != NULL);
	memcpy(copy, wal_segment(&wal, 0), wal.segment_bytes);
	return copy;
}

/* The copy as a server would have it that received no more than that. */
static unsigned char *
cut_copy(uint64_t lsn)
{
	unsigned char *bytes = copied();
	size_t		at = (size_t) (lsn - wal.start);

	fill(bytes + at, wal.segment_bytes - at, 77);
	return bytes;
}

static bool
stored_is(const char *key, const unsigned char *bytes)
{
	size_t		length;
	unsigned char *object = read_file(path_in_scratch("archive/%s", key),
									  &length);
	unsigned char *raw = malloc(wal.segment_bytes);
	bool		good = object != NULL &&
		ZSTD_decompress(raw, wal.segment_bytes, object, length) ==
		wal.segment_bytes && memcmp(raw, bytes, wal.segment_bytes) == 0;

	free(raw);
	free(object);
	return good;
}

static void
read_envelope(const char *key, WaEnvelope *envelope)
{
	WaStoreOptions options;
	WaStore    *store;
	WaStat		stat;

	store_options(&options);
	must(wa_store_dir_open(path_in_scratch("archive"), &options, &store,
						   &err) == WA_OK);
	is_code(wa_object_envelope(store, key, &stat, envelope, &err), WA_OK,
			&err, "its envelope");
	wa_store_close(store);
}

static void
test_envelope(uint32_t segment_bytes)
{
	WaEnvelope	envelope;

	fresh(segment_bytes);
	wal_commit(&wal, NOON_US);
	wal_restore_point(&wal, "before", NOON_US + 1);
	wal_commit(&wal, NOON_US + 2);
	wal_fill_until(&wal, 64);
	wal_restore_point(&wal, "across", NOON_US + 3);
	is_code(push(wal_segment(&wal, 0)), WA_OK, &err, "a segment");
	is_str(result.damage, "", "no damage");
	read_envelope(object_key(wal_name(&wal, 0)), &envelope);
	ok(envelope.scanned, "was walked");
	is_int(envelope.scan.end, WA_SCAN_FULL, "full");
	is_int(envelope.scan.used_bytes, segment_bytes, "all of it");
	is_int(envelope.scan.transactions, 2, "commits");
	is_int(envelope.scan.earliest_us, NOON_US, "earliest");
	is_int(envelope.scan.latest_us, NOON_US + 2, "latest");
	is_int(envelope.scan.points_count, 1, "restore points");
	is_str(envelope.scan.points[0].name, "before", "its name");
	is_int(envelope.scan.points[0].time_us, NOON_US + 1, "its time");
	is_int(envelope.scan.tail.lsn, wal.prev, "what goes on");
	is_int(envelope.scan.tail.bytes, 64, "so much of it");
	is_code(push_as(wal_name(&wal, 1), wal_segment(&wal, 1)), WA_OK, &err,
			"the next");
	read_envelope(object_key(wal_name(&wal, 1)), &envelope);
	is_int(envelope.scan.head.bytes, 98 - 64, "the rest is there");
	is_int(envelope.scan.end, WA_SCAN_EARLY, "nothing follows");
	is_int(envelope.scan.end_lsn, wal.at, "behind that");
}

static void
test_equal(uint32_t segment_bytes)
{
	unsigned char *other;

	fresh(segment_bytes);
	for (int i = 0; i < 100; i++)
		wal_filler(&wal, 1000);
	wal_switch(&wal);
	is_code(push(wal_segment(&wal, 0)), WA_OK, &err, "a switched segment");
	other = copied();
	fill(other + segment_bytes / 2, segment_bytes / 2, 9);
	is_code(push(other), WA_OK, &err, "with another dead tail");
	is_int(result.outcome, WA_PUSH_IDENTICAL, "is the same");
	ok(stored_is(object_key(wal_name(&wal, 0)), wal_segment(&wal, 0)),
	   "the first copy stays");
	is_int(count_names(path_in_scratch("archive/damaged")), 0,
		   "nothing is set aside");
	is_int(count_names(path_in_scratch("archive/tmp")), 0, "nothing left");

	other = copied();
	other[90000] ^= 1;
	is_code(push(other), WA_CONFLICT, &err, "a damaged copy is a conflict");
	ok(result.damage[0] != '\0', "and seen to be damaged: %s", result.damage);
	has_str(err.message, result.damage, "which the message says");
	ok(strstr(err.message, " here, where the file is damaged at byte ") != NULL &&
	   labs(atol(strstr(err.message, "at byte ") + 8) - 90000) < 1100,
	   "and where: %s", err.message);
	has_str(err.hint, "The file in pg_wal is damaged, the archive's copy is "
			"whole", "nobody suspects another server");

	/* with both damaged, neither is the one to take */
	fresh(segment_bytes);
	for (int i = 0; i < 100; i++)
		wal_filler(&wal, 1000);
	wal_switch(&wal);
	other = copied();
	other[80000] ^= 1;
	is_code(push(other), WA_OK, &err, "damaged when it was archived");
	other[80000] ^= 1;
	other[90000] ^= 1;
	is_code(push(other), WA_CONFLICT, &err, "and damaged elsewhere");
	has_str(err.message, "the file is damaged at byte ", "says so");
	has_str(err.hint, "Two servers", "but nothing of a whole copy");

	/* what was archived before it was complete has less than a damaged one */
	fresh(segment_bytes);
	for (int i = 0; i < 100; i++)
		wal_filler(&wal, 1000);
	is_code(push(cut_copy(wal.at)), WA_OK, &err, "an incomplete segment");
	for (int i = 0; i < 100; i++)
		wal_filler(&wal, 1000);
	wal_switch(&wal);
	other = copied();
	other[80000] ^= 1;
	is_code(push(other), WA_CONFLICT, &err, "and a damaged one");
	has_str(err.message, "the file is damaged at byte ", "is called so");
	has_str(err.hint, "Two servers", "but the other one not whole");

	/* records of somebody else */
	wal_close(&wal);
	wal_open(&wal, segment_bytes, SEGNO);
	for (int i = 0; i < 50; i++)
		wal_filler(&wal, 700);
	wal_switch(&wal);
	is_code(push(wal_segment(&wal, 0)), WA_CONFLICT, &err, "other records");
	ok(strstr(err.message, "damaged") == NULL, "are not damaged");
	has_str(err.hint, "Two servers", "which is a case for the other hint");
}

static void
test_incomplete(uint32_t segment_bytes)
{
	const char *aside;
	uint64_t	half;
	uint64_t	more;
	char		key[WA_KEY_BYTES];

	fresh(segment_bytes);
	for (int i = 0; i < 200; i++)
		wal_filler(&wal, 900);
	half = wal.at;
	for (int i = 0; i < 200; i++)
		wal_filler(&wal, 900);
	more = wal.at;
	wal_fill_until(&wal, 0);

	is_code(push(cut_copy(half)), WA_OK, &err, "an incomplete segment");
	is_str(result.damage, "", "is not damaged");
	is_code(push(cut_copy(more)), WA_OK, &err, "a longer one");
	is_int(result.outcome, WA_PUSH_COMPLETED, "takes its place");
	aside = "damaged/000000010000000000000002.zst.incomplete.1";
	is_str(result.aside_key, aside, "under a name that says why");
	ok(stored_is(aside, cut_copy(half)), "the shorter one is kept");
	is_code(push(wal_segment(&wal, 0)), WA_OK, &err, "the whole one");
	is_int(result.outcome, WA_PUSH_COMPLETED, "takes its place");
	is_str(result.aside_key, "damaged/000000010000000000000002.zst.incomplete.2",
		   "the next name");
	memcpy(key, object_key(wal_name(&wal, 0)), sizeof(key));
	ok(stored_is(key, wal_segment(&wal, 0)), "all records are there");
	is_code(push(cut_copy(more)), WA_OK, &err, "the shorter one again");
	is_int(result.outcome, WA_PUSH_IDENTICAL, "is held already");
	ok(stored_is(key, wal_segment(&wal, 0)), "all records are still there");
	is_int(count_names(path_in_scratch("archive/damaged")), 2, "two kept");

	/* cut in the middle of a record */
	fresh(segment_bytes);
	for (int i = 0; i < 200; i++)
		wal_filler(&wal, 900);
	half = wal.prev + 400;
	wal_fill_until(&wal, 0);
	is_code(push(cut_copy(half)), WA_OK, &err, "cut in a record");
	ok(result.torn, "is said to be torn: %s", result.damage);
	is_code(push(wal_segment(&wal, 0)), WA_OK, &err, "the whole one");
	is_int(result.outcome, WA_PUSH_COMPLETED, "takes its place");
	ok(!result.torn, "and is not torn");
}

/* Two histories. */
static void
test_divergent(uint32_t segment_bytes)
{
	WalWriter	other;

	fresh(segment_bytes);
	wal_open(&other, segment_bytes, SEGNO);
	for (int i = 0; i < 50; i++)
	{
		wal_filler(&wal, 900);
		wal_filler(&other, 900);
	}
	wal_commit(&wal, NOON_US);
	wal_commit(&other, NOON_US + 1);
	is_code(push(wal_segment(&wal, 0)), WA_OK, &err, "one");
	is_code(push(wal_segment(&other, 0)), WA_CONFLICT, &err,
			"the same length, another commit");
	wal_fill_until(&other, 0);
	is_code(push(wal_segment(&other, 0)), WA_CONFLICT, &err,
			"a longer one with another commit");
	is_code(push(wal_segment(&wal, 1)), WA_CONFLICT, &err,
			"one without a record");
	ok(stored_is(object_key(wal_name(&wal, 0)), wal_segment(&wal, 0)),
	   "nothing was overwritten");
	wal_close(&other);
}

static void
test_partial(void)
{
	char		name[WA_WALNAME_BYTES];
	uint64_t	half;

	fresh(SEG_1MB);
	for (int i = 0; i < 100; i++)
		wal_filler(&wal, 900);
	half = wal.at;
	for (int i = 0; i < 100; i++)
		wal_filler(&wal, 900);
	snprintf(name, sizeof(name), "%.24s.partial", wal_name(&wal, 0));
	is_code(push_as(name, wal_segment(&wal, 0)), WA_OK, &err, "a .partial");
	is_str(result.damage, "", "that ends early is not damaged");
	is_code(push_as(name, cut_copy(wal.at)), WA_OK, &err,
			"with another dead tail");
	is_int(result.outcome, WA_PUSH_IDENTICAL, "is the same");
	is_code(push_as(name, cut_copy(half)), WA_OK, &err, "a shorter one");
	is_int(result.outcome, WA_PUSH_STORED, "stands beside it");
	is_code(push_as(name, cut_copy(half - 8)), WA_OK, &err, "a torn one");
	is_int(result.outcome, WA_PUSH_STORED, "stands beside it");
	is_str(result.damage, "", "and is no damage");
	is_int(count_names(path_in_scratch("archive/wal/0000000100000000")), 3,
		   "three of them");

	fresh(SEG_1MB);
	for (int i = 0; i < 100; i++)
		wal_filler(&wal, 900);
	half = wal.prev;
	snprintf(name, sizeof(name), "%.24s.partial", wal_name(&wal, 0));
	is_code(push_as(name, cut_copy(half)), WA_OK, &err, "a short .partial");
	is_code(push_as(name, wal_segment(&wal, 0)), WA_OK, &err, "a longer one");
	is_int(result.outcome, WA_PUSH_STORED, "stands beside it, too");
	ok(stored_is(object_key(name), cut_copy(half)), "the first stays");
}

static void
test_damaged(uint32_t segment_bytes)
{
	WaEnvelope	envelope;
	WalWriter	other;
	unsigned char *bytes;

	fresh(segment_bytes);
	wal_fill_until(&wal, 0);
	bytes = copied();
	bytes[segment_bytes / 2 + 100] ^= 1;
	is_code(push(bytes), WA_OK, &err, "a damaged segment is taken");
	ok(!result.torn, "not torn");
	has_str(result.damage, "WAL is damaged at 0/", "says where");
	read_envelope(object_key(wal_name(&wal, 0)), &envelope);
	is_str(envelope.damage, result.damage, "its envelope says so");
	is_int(envelope.scan.end, WA_SCAN_DAMAGED, "twice");
	is_code(push(bytes), WA_OK, &err, "the same again");
	is_int(result.outcome, WA_PUSH_IDENTICAL, "is identical");

	/* a whole copy of something else, and one that is no longer */
	wal_open(&other, segment_bytes, SEGNO);
	wal_filler(&other, 901);
	wal_fill_until(&other, 0);
	is_code(push(wal_segment(&other, 0)), WA_CONFLICT, &err,
			"a whole one that was another before the damage");
	wal_close(&other);
	is_code(push(cut_copy(wal.start + segment_bytes / 2 - 8192)), WA_CONFLICT,
			&err, "one that ends early, before the damage");
	is_code(push(cut_copy(wal.start + segment_bytes - 8192)), WA_CONFLICT,
			&err, "one that ends early, behind it");

	is_code(push(wal_segment(&wal, 0)), WA_OK, &err, "the whole one");
	is_int(result.outcome, WA_PUSH_COMPLETED, "takes its place");
	ok(stored_is(object_key(wal_name(&wal, 0)), wal_segment(&wal, 0)),
	   "and is there");
	bytes = copied();
	bytes[segment_bytes / 2 + 100] ^= 1;
	ok(stored_is("damaged/000000010000000000000002.zst.incomplete.1", bytes),
	   "the damaged one is kept");
	is_code(push(bytes), WA_CONFLICT, &err, "and does not come back");
}

int
main(void)
{
	scratch();
	bench = wa_bench_open();
	must(bench != NULL);
	test_envelope(SEG_1MB);
	test_equal(SEG_1MB);
	test_incomplete(SEG_1MB);
	test_divergent(SEG_1MB);
	test_damaged(SEG_1MB);
	test_partial();

	/* too large to be held in memory */
	test_envelope(128 * SEG_1MB);
	test_equal(128 * SEG_1MB);
	test_incomplete(128 * SEG_1MB);
	test_divergent(128 * SEG_1MB);
	test_damaged(128 * SEG_1MB);
	wal_close(&wal);
	free(copy);
	wa_archive_close(archive);
	wa_bench_close(bench);
	return done_testing();
}
