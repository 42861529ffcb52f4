/*
 * push.c
 *	  A file gets into the archive exactly once and exactly as it is: stored,
 *	  found identical, refused as a conflict, or put in the place of a damaged
 *	  object that is kept; and what is refused leaves nothing behind.
 */
#include "archive/push.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "archive/object.h"
#include "core/bytes.h"
#include "fixture.h"
#include "tap.h"

#define OBJECT	"archive/wal/0000000100000000/" SEG_NAME ".zst"
#define PARTIAL	SEG_NAME ".partial"
#define PARTIAL_OBJECT	"archive/wal/0000000100000000/" PARTIAL ".zst"

static unsigned char segment[SEG_1MB];
static WaBench *bench;
static WaArchive *archive;
static WaPushResult result;
static WaError err;

static const char *
in(const char *key)
{
	return path_in_scratch("%s", key);
}

/* A new process that archives there; the directory stays as it is. */
static void
reopen(uint32_t segment_bytes)
{
	WaArchiveConfig config;

	wa_archive_close(archive);
	archive_config(&config, in("archive"), segment_bytes);
	archive = wa_archive_open(&config);
	must(archive != NULL);
}

static void
fresh(uint32_t segment_bytes)
{
	remove_tree(in("archive"));
	(void) unlink("walarch.known");
	must(mkdir(in("archive"), 0700) == 0);
	reopen(segment_bytes);
	make_segment(segment, SEG_1MB, SEG_NAME, SYSID, 1);
}

static WaCode
push_bytes(const char *name, const void *data, size_t length)
{
	write_file("source", data, length);
	return wa_push(archive, bench, NULL, 3, name, "source", 4711, &result,
				   &err);
}

static WaCode
push_segment(const char *name)
{
	return push_bytes(name, segment, sizeof(segment));
}

/* The object is a plain zstd file of these bytes. */
static bool
object_is(const char *file, const void *data, size_t length)
{
	size_t		bytes;
	unsigned char *object = read_file(in(file), &bytes);
	unsigned char *raw = malloc(length + 1);
	bool		good = false;

	if (object != NULL)
		good = ZSTD_decompress(raw, length + 1, object, bytes) == length &&
			memcmp(raw, data, length) == 0;
	free(raw);
	free(object);
	return good;
}

static void
no_temporaries(void)
{
	is_int(count_names(in("archive/tmp")), 0, "nothing is left in tmp/");
}

static void
read_envelope(const char *key, WaEnvelope *envelope)
{
	WaStoreOptions options;
	WaStore    *store;
	WaStat		stat;

	store_options(&options);
	must(wa_store_dir_open(in("archive"), &options, &store, &err) == WA_OK);
	must(wa_object_envelope(store, key, &stat, envelope, &err) == WA_OK);
	wa_store_close(store);
}

static void
test_stored(void)
{
	static const char history[] = "1\t0/2000000\tno recovery target\n";
	static const char backup[] = "START WAL LOCATION: 0/2000028\n";
	WaEnvelope	envelope;
	WaDigest	digest;
	struct stat st;

	fresh(SEG_1MB);
	is_code(push_segment(SEG_NAME), WA_OK, &err, "a segment");
	is_int(result.outcome, WA_PUSH_STORED, "stored");
	ok(result.visit.attached.created, "in a directory that became an archive");
	is_int(result.raw_bytes, SEG_1MB, "its size");
	must(stat(in(OBJECT), &st) == 0);
	is_int(result.stored_bytes, st.st_size, "its stored size");
	ok(result.stored_bytes < SEG_1MB / 2, "it is compressed");
	ok(object_is(OBJECT, segment, SEG_1MB), "libzstd gives the bytes");
	read_envelope("wal/0000000100000000/" SEG_NAME ".zst", &envelope);
	wa_digest_of(segment, SEG_1MB, &digest);
	ok(wa_digest_equal(&digest, &envelope.digest), "envelope: digest");
	is_str(envelope.name, SEG_NAME, "envelope: name");
	is_int(envelope.system_identifier, SYSID, "envelope: system identifier");
	is_int(envelope.wal_magic, WAL_MAGIC, "envelope: page magic");
	is_int(envelope.archived_at_us, 4711, "envelope: time");
	is_str(envelope.damage, "", "envelope: no damage");
	no_temporaries();

	is_code(push_bytes("00000002.history", history, sizeof(history) - 1),
			WA_OK, &err, "a history");
	ok(object_is("archive/wal/00000002.history.zst", history,
				 sizeof(history) - 1), "its bytes");
	is_str(result.damage, "", "no damage");
	is_code(push_bytes(SEG_NAME ".00000028.backup", backup,
					   sizeof(backup) - 1), WA_OK, &err, "a backup history");
	ok(object_is("archive/wal/0000000100000000/" SEG_NAME
				 ".00000028.backup.zst", backup, sizeof(backup) - 1),
	   "its bytes");
	is_code(push_segment(PARTIAL), WA_OK, &err, "a .partial");
	ok(object_is(PARTIAL_OBJECT, segment, SEG_1MB), "its bytes");
	no_temporaries();
}

static void
test_identical(void)
{
	struct stat before;
	struct stat after;

	fresh(SEG_1MB);
	must(push_segment(SEG_NAME) == WA_OK);
	must(stat(in(OBJECT), &before) == 0);
	is_code(push_segment(SEG_NAME), WA_OK, &err, "once more");
	is_int(result.outcome, WA_PUSH_IDENTICAL, "identical");
	is_int(result.stored_bytes, 0, "nothing was written");
	reopen(SEG_1MB);
	write_file("source", segment, sizeof(segment));
	is_code(wa_push(archive, bench, NULL, 19, SEG_NAME, "source", 99, &result,
					&err), WA_OK, &err, "another process, another level");
	is_int(result.outcome, WA_PUSH_IDENTICAL, "identical by its content");
	must(stat(in(OBJECT), &after) == 0);
	ok(before.st_ino == after.st_ino && before.st_mtime == after.st_mtime,
	   "the object was not touched");
	no_temporaries();
}

static void
test_conflict(void)
{
	size_t		length;
	unsigned char *before;

	fresh(SEG_1MB);
	must(push_segment(SEG_NAME) == WA_OK);
	before = read_file(in(OBJECT), &length);
	segment[SEG_1MB - 1] ^= 1;
	is_code(push_segment(SEG_NAME), WA_CONFLICT, &err, "one bit differs");
	has_str(err.message, SEG_NAME, "the message names the file");
	{
		WaDigest	digest;
		char		text[WA_DIGEST_TEXT_BYTES];

		wa_digest_of(segment, SEG_1MB, &digest);
		wa_digest_text(&digest, text);
		has_str(err.message, text, "and our digest");
		segment[SEG_1MB - 1] ^= 1;
		wa_digest_of(segment, SEG_1MB, &digest);
		wa_digest_text(&digest, text);
		has_str(err.message, text, "and theirs");
	}
	ok(err.hint[0] != '\0', "and says what to do");
	ok(file_is(in(OBJECT), before, length), "the object is as it was");
	no_temporaries();

	must(push_bytes("00000002.history", "1\t0/2000000\ta\n", 14) == WA_OK);
	is_code(push_bytes("00000002.history", "1\t0/2000000\tb\n", 14),
			WA_CONFLICT, &err, "a history is not replaced either");
	free(before);
}

static void
test_partial(void)
{
	DIR		   *dir;
	struct dirent *entry;
	WaDigest	digest;
	char		text[WA_DIGEST_TEXT_BYTES];
	char		second[200];
	int			names = 0;

	fresh(SEG_1MB);
	must(push_segment(PARTIAL) == WA_OK);
	segment[SEG_1MB - 1] ^= 1;
	is_code(push_segment(PARTIAL), WA_OK, &err, "a second, different .partial");
	is_int(result.outcome, WA_PUSH_STORED, "stored");
	wa_digest_of(segment, SEG_1MB, &digest);
	wa_digest_text(&digest, text);
	snprintf(second, sizeof(second), "archive/wal/0000000100000000/" PARTIAL
			 ".%.8s.zst", text);
	ok(object_is(second, segment, SEG_1MB), "under its second name");
	is_code(push_segment(PARTIAL), WA_OK, &err, "once more");
	is_int(result.outcome, WA_PUSH_IDENTICAL, "identical");
	segment[SEG_1MB - 1] ^= 1;
	ok(object_is(PARTIAL_OBJECT, segment, SEG_1MB), "the first is as it was");
	is_code(push_segment(PARTIAL), WA_OK, &err, "the first once more");
	is_int(result.outcome, WA_PUSH_IDENTICAL, "identical");
	segment[SEG_1MB - 1] ^= 2;
	is_code(push_segment(PARTIAL), WA_OK, &err, "a third");
	dir = opendir(in("archive/wal/0000000100000000"));
	while ((entry = readdir(dir)) != NULL)
		names += entry->d_name[0] != '.';
	closedir(dir);
	is_int(names, 3, "three in all");
	no_temporaries();
}

/* Whatever the damage: ours takes the name, the old bytes are kept. */
static void
test_damaged_object(void)
{
	size_t		length;
	unsigned char *good;
	unsigned char *bad;
	size_t		bad_bytes;

	fresh(SEG_1MB);
	must(push_segment(SEG_NAME) == WA_OK);
	good = read_file(in(OBJECT), &length);
	for (int kind = 0; kind < 7; kind++)
	{
		char		aside[200];
		const char *what;
		size_t		other_bytes;

		fresh(SEG_1MB);
		must(push_segment(SEG_NAME) == WA_OK);
		free(good);
		good = read_file(in(OBJECT), &length);
		bad = malloc(length + 10);
		memcpy(bad, good, length);
		bad_bytes = length;
		switch (kind)
		{
			case 0:
				what = "empty";
				bad_bytes = 0;
				break;
			case 1:
				what = "truncated";
				bad_bytes = length - 1;
				break;
			case 2:
				what = "a byte of the body flipped";
				bad[length / 2] ^= 1;
				break;
			case 3:
				what = "a byte of the envelope flipped";
				bad[length - 60] ^= 1;
				break;
			case 4:
				what = "garbage behind";
				memset(bad + length, 0, 10);
				bad_bytes = length + 10;
				break;
			case 5:
				what = "zeros";
				memset(bad, 0, length);
				break;
			default:
				/* the good object of the next segment */
				what = "another object's bytes";
				make_segment(segment, SEG_1MB, "000000010000000000000003",
							 SYSID, 1);
				must(push_segment("000000010000000000000003") == WA_OK);
				make_segment(segment, SEG_1MB, SEG_NAME, SYSID, 1);
				free(bad);
				bad = read_file(in("archive/wal/0000000100000000/"
								   "000000010000000000000003.zst"),
								&other_bytes);
				bad_bytes = other_bytes;
		}
		write_file(in(OBJECT), bad, bad_bytes);
		reopen(SEG_1MB);
		is_code(push_segment(SEG_NAME), WA_OK, &err, "over one that is %s",
				what);
		is_int(result.outcome, WA_PUSH_REPLACED, "replaced: %s", what);
		ok(object_is(OBJECT, segment, SEG_1MB), "a good one is there: %s",
		   what);
		is_str(result.aside_key, "damaged/" SEG_NAME ".zst.1", "set aside: %s",
			   what);
		snprintf(aside, sizeof(aside), "archive/%s", result.aside_key);
		ok(file_is(in(aside), bad, bad_bytes), "its bytes are kept: %s", what);
		is_int(count_names(in("archive/tmp")), 0, "nothing in tmp/: %s", what);

		write_file(in(OBJECT), "again", 5);
		is_code(push_segment(SEG_NAME), WA_OK, &err, "damaged again: %s",
				what);
		ok(file_is(in("archive/damaged/" SEG_NAME ".zst.2"), "again", 5) &&
		   file_is(in(aside), bad, bad_bytes), "both are kept: %s", what);
		free(bad);
	}
	free(good);
}

/* A later format is no damage; a foreign object is none either. */
static void
test_not_damage(void)
{
	size_t		length;
	unsigned char *object;
	struct stat st;

	fresh(SEG_1MB);
	must(push_segment(SEG_NAME) == WA_OK);
	object = read_file(in(OBJECT), &length);
	{
		/* give its envelope a later version, with a right checksum */
		extern uint32_t wa_crc32c(uint32_t crc, const void *data,
								  size_t length);
		uint32_t	envelope_bytes = wa_get32(object + length - 16);
		unsigned char *at = object + length - envelope_bytes;

		wa_put16(at + 8, 2);
		wa_put32(object + length - 12, wa_crc32c(0, at, envelope_bytes - 12));
	}
	write_file(in(OBJECT), object, length);
	is_code(push_segment(SEG_NAME), WA_UNSUPPORTED, &err, "a later format");
	ok(file_is(in(OBJECT), object, length), "is left alone");
	ok(stat(in("archive/damaged"), &st) != 0, "nothing was set aside");
	free(object);

	must(unlink(in(OBJECT)) == 0);
	must(mkdir(in(OBJECT), 0700) == 0);
	is_code(push_segment(SEG_NAME), WA_INVALID, &err,
			"a directory where the object should be");
	no_temporaries();
}

static void
test_damaged_source(void)
{
	static unsigned char zeros[SEG_1MB];
	WaEnvelope	envelope;

	fresh(SEG_1MB);
	is_code(push_bytes(SEG_NAME, zeros, SEG_1MB), WA_OK, &err,
			"a source of zeros is taken");
	ok(result.damage[0] != '\0', "and said to be damaged: %s", result.damage);
	read_envelope("wal/0000000100000000/" SEG_NAME ".zst", &envelope);
	is_str(envelope.damage, result.damage, "its envelope says so");
	ok(object_is(OBJECT, zeros, SEG_1MB), "its bytes are stored");
	is_code(push_bytes(SEG_NAME, zeros, SEG_1MB), WA_OK, &err, "once more");
	is_int(result.outcome, WA_PUSH_IDENTICAL, "identical");
	is_code(push_segment(SEG_NAME), WA_CONFLICT, &err,
			"a good one does not silently replace it");

	make_segment(segment, SEG_1MB, "000000010000000000000007", SYSID, 1);
	is_code(push_segment("000000010000000000000003"), WA_OK, &err,
			"a page address that contradicts the name");
	ok(result.damage[0] != '\0', "damaged: %s", result.damage);
	is_code(push_bytes("00000003.history", "garbage\n", 8), WA_OK, &err,
			"a history that is none");
	ok(result.damage[0] != '\0', "damaged: %s", result.damage);
}

static void
refused(WaCode expected, const char *name, const void *data, size_t length,
		const char *what)
{
	is_code(push_bytes(name, data, length), expected, &err, "%s", what);
	is_int(count_names(in("archive/tmp")), 0, "nothing in tmp/: %s", what);
	is_int(count_names(in("archive/wal/0000000100000000")), 0,
		   "no object: %s", what);
}

static void
test_refused(void)
{
	static const char *const names[] = {
		"", "x", "../" SEG_NAME, SEG_NAME ".zst", "00000001000000000000000g",
		"000000010000000000001000"		/* beyond 4 GB with 1 MB segments */
	};
	static char text[1024 * 1024 + 1];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
	{
		fresh(SEG_1MB);
		refused(WA_INVALID, names[i], segment, SEG_1MB, names[i]);
		is_int(count_names(in("archive")), 0, "the archive was not touched");
	}
	fresh(SEG_1MB);
	refused(WA_INVALID, SEG_NAME, segment, SEG_1MB - 1, "a byte too few");
	refused(WA_INVALID, SEG_NAME, segment, 0, "an empty source");
	refused(WA_INVALID, SEG_NAME ".partial", segment, 8192, "a short .partial");
	refused(WA_INVALID, "00000002.history", "", 0, "an empty history");
	memset(text, '\n', sizeof(text));
	refused(WA_INVALID, "00000002.history", text, sizeof(text),
			"a history that is too large");
	make_segment(segment, SEG_1MB, SEG_NAME, SYSID + 1, 1);
	refused(WA_WRONG_CLUSTER, SEG_NAME, segment, SEG_1MB, "another cluster's");
	make_segment(segment, SEG_1MB, SEG_NAME, SYSID, 1);
	wa_put32(segment + 32, 16 * SEG_1MB);
	refused(WA_WRONG_CLUSTER, SEG_NAME, segment, SEG_1MB,
			"another segment size in its header");
	is_code(wa_push(archive, bench, NULL, 3, SEG_NAME, "no-such-source", 0,
					&result, &err), WA_NOT_FOUND, &err, "no such source");
	has_str(err.message, "no-such-source", "the message names it");

	fresh(SEG_1MB);
	must(rmdir(in("archive")) == 0);
	is_code(push_segment(SEG_NAME), WA_NO_DIRECTORY, &err, "no directory");
	write_file(in("archive"), "", 0);
	is_code(push_segment(SEG_NAME), WA_INVALID, &err, "a file in its place");
	must(unlink(in("archive")) == 0);
}

/* The mount point without its mount, between two files. */
static void
test_lost_mount(void)
{
	fresh(SEG_1MB);
	must(push_segment(SEG_NAME) == WA_OK);
	must(rename(in("archive"), in("elsewhere")) == 0);
	must(mkdir(in("archive"), 0700) == 0);
	is_code(push_segment(SEG_NAME), WA_NO_MARKER, &err,
			"the archive is gone, its directory is empty");
	is_int(count_names(in("archive")), 0, "nothing was written there");
	reopen(SEG_1MB);
	is_code(push_segment(SEG_NAME), WA_NO_MARKER, &err,
			"also for a new process");
	is_int(count_names(in("archive")), 0, "nothing was written there");
	must(rmdir(in("archive")) == 0);
	must(rename(in("elsewhere"), in("archive")) == 0);
	is_code(push_segment(SEG_NAME), WA_OK, &err, "when it is back");
	is_int(result.outcome, WA_PUSH_IDENTICAL, "all is there");
}

/* What an earlier archiver of this server left behind. */
static void
test_sweep(void)
{
	WaArchiveConfig config;

	fresh(SEG_1MB);
	must(push_segment(SEG_NAME) == WA_OK);
	write_file(in("archive/tmp/aaaaaaaaaaaaaaaa-0"), "x", 1);
	write_file(in("archive/tmp/bbbbbbbbbbbbbbbb-0"), "x", 1);
	write_file(in("archive/tmp/cccccccccccccccc-0"), "x", 1);
	wa_archive_close(archive);
	archive_config(&config, in("archive"), SEG_1MB);
	strcpy(config.last_tokens[0], "aaaaaaaaaaaaaaaa");
	strcpy(config.last_tokens[1], "cccccccccccccccc");
	archive = wa_archive_open(&config);
	is_code(push_segment(SEG_NAME), WA_OK, &err, "the first file");
	ok(result.visit.sweep_done, "sweeps");
	is_int(result.visit.swept, 2, "what its own earlier lives left");
	ok(access(in("archive/tmp/bbbbbbbbbbbbbbbb-0"), F_OK) == 0,
	   "not what is another's");
	is_code(push_segment(SEG_NAME), WA_OK, &err, "the second file");
	ok(!result.visit.sweep_done, "does not");
}

/* A segment too large to be held in memory. */
static void
test_streamed(void)
{
	const uint32_t bytes = 128 * SEG_1MB;
	unsigned char *large = malloc(bytes);
	struct stat st;

	must(large != NULL && bytes > WA_WHOLE_BYTES_MAX);
	fresh(bytes);
	make_segment(large, bytes, SEG_NAME, SYSID, 1);
	memset(large + 2 * SEG_1MB, 0, bytes - 3 * SEG_1MB);
	is_code(push_bytes(SEG_NAME, large, bytes), WA_OK, &err, "128 MB");
	is_int(result.outcome, WA_PUSH_STORED, "stored");
	ok(object_is(OBJECT, large, bytes), "libzstd gives the bytes");
	must(stat(in(OBJECT), &st) == 0);
	is_int(result.stored_bytes, st.st_size, "its stored size");
	ok(bench->raw_capacity <= WA_WHOLE_BYTES_MAX / 2,
	   "held in %zu bytes", bench->raw_capacity);
	is_code(push_bytes(SEG_NAME, large, bytes), WA_OK, &err, "once more");
	is_int(result.outcome, WA_PUSH_IDENTICAL, "identical");
	no_temporaries();
	large[bytes - 1] ^= 1;
	is_code(push_bytes(SEG_NAME, large, bytes), WA_CONFLICT, &err,
			"one bit differs");
	no_temporaries();
	large[bytes - 1] ^= 1;
	must(truncate(in(OBJECT), st.st_size / 2) == 0);
	is_code(push_bytes(SEG_NAME, large, bytes), WA_OK, &err,
			"over a truncated one");
	is_int(result.outcome, WA_PUSH_REPLACED, "replaced");
	ok(object_is(OBJECT, large, bytes), "libzstd gives the bytes");
	wa_put64(large + 24, SYSID + 1);
	is_code(push_bytes("000000010000000000000003", large, bytes),
			WA_WRONG_CLUSTER, &err, "another cluster's");
	no_temporaries();
	is_code(push_bytes(SEG_NAME, large, bytes - 1), WA_INVALID, &err,
			"a byte too few");
	memset(large, 0, 40);
	is_code(push_bytes("000000010000000000000004", large, bytes), WA_OK, &err,
			"a damaged source");
	ok(result.damage[0] != '\0', "is said to be: %s", result.damage);
	free(large);
	remove_tree(in("archive"));
	(void) unlink("source");
}

/* In steps, as look-ahead will use it: staged is invisible. */
static void
test_steps(void)
{
	WaPush	   *push;

	fresh(SEG_1MB);
	write_file("source", segment, sizeof(segment));
	must(wa_push_open(archive, bench, NULL, SEG_NAME, "source", 0, &result,
					  &push, &err) == WA_OK);
	is_code(wa_push_stage(push, 3, &err), WA_OK, &err, "stage");
	is_int(count_names(in("archive/tmp")), 1, "one temporary");
	is_int(count_names(in("archive/wal/0000000100000000")), 0, "no object");
	wa_push_close(push);
	no_temporaries();
	must(wa_push_open(archive, bench, NULL, SEG_NAME, "source", 0, &result,
					  &push, &err) == WA_OK);
	must(wa_push_stage(push, 3, &err) == WA_OK);
	is_code(wa_push_commit(push, 3, &err), WA_OK, &err, "commit");
	wa_push_close(push);
	ok(object_is(OBJECT, segment, SEG_1MB), "there");
	no_temporaries();
	wa_push_close(NULL);

	/* parted, then not wanted; its worker may have been told to give up */
	for (int given_up = 0; given_up <= 1; given_up++)
	{
		WaBeat		beat = {0};

		must(unlink(in(OBJECT)) == 0 || given_up);
		must(wa_push_open(archive, bench, &beat, SEG_NAME, "source", 0,
						  &result, &push, &err) == WA_OK);
		must(wa_push_stage(push, 3, &err) == WA_OK);
		wa_push_part(push);
		is_int(count_names(in("archive/tmp")), 1, "parted: a temporary");
		atomic_store(&beat.cancelled, given_up);
		wa_push_discard(push, &beat);
		no_temporaries();
	}
}

int
main(void)
{
	scratch();
	bench = wa_bench_open();
	must(bench != NULL);
	test_stored();
	test_identical();
	test_conflict();
	test_partial();
	test_damaged_object();
	test_not_damage();
	test_damaged_source();
	test_refused();
	test_lost_mount();
	test_sweep();
	test_steps();
	wa_bench_close(bench);
	bench = wa_bench_open();
	test_streamed();
	wa_archive_close(archive);
	wa_bench_close(bench);
	wa_bench_close(NULL);
	return done_testing();
}
