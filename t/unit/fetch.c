/*
 * fetch.c
 *	  A file is delivered when all of it is proven, said to be absent when
 *	  that is proven, and otherwise neither: the destination is never touched
 *	  by anything else.
 */
#include "archive/fetch.h"

#include <lz4frame.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "archive/delivery.h"
#include "archive/push.h"
#include "core/bytes.h"
#include "faults.h"
#include "fixture.h"
#include "tap.h"

#define OBJECT	"archive/wal/0000000100000000/" SEG_NAME ".zst"
#define NEXT	"000000010000000000000003"
#define NEXT_OBJECT	"archive/wal/0000000100000000/" NEXT ".zst"
#define HISTORY	"1\t0/2000000\tno recovery target specified\n"

static unsigned char segment[SEG_1MB];
static WaFetchConfig config;
static WaControlFile control;
static const char *also[1];
static WaZstd *zstd;
static WaError err;

static const char *
in(const char *key)
{
	return path_in_scratch("%s", key);
}

static void
push(const char *name, const void *data, size_t length)
{
	WaArchiveConfig archive_settings;
	WaArchive  *archive;
	WaBench    *bench = wa_bench_open();
	WaPushResult result;

	archive_config(&archive_settings, in("archive"), SEG_1MB);
	archive = wa_archive_open(&archive_settings);
	write_file("source", data, length);
	must(wa_push(archive, bench, NULL, 3, name, "source", 0, &result,
				 &err) == WA_OK);
	wa_archive_close(archive);
	wa_bench_close(bench);
}

/* An archive with one segment and one history, and an empty further place. */
static void
fresh(void)
{
	static char path[512];

	remove_tree(in("archive"));
	remove_tree(in("also"));
	(void) unlink("walarch.known");
	(void) unlink("delivered");
	must(mkdir("archive", 0700) == 0);
	must(mkdir("also", 0700) == 0);
	make_segment(segment, SEG_1MB, SEG_NAME, SYSID, 1);
	push(SEG_NAME, segment, SEG_1MB);
	push("00000002.history", HISTORY, strlen(HISTORY));

	memset(&config, 0, sizeof(config));
	snprintf(path, sizeof(path), "%s", in("archive"));
	config.archive = path;
	config.mode = 0600;
	config.known_file = "walarch.known";
	control = (WaControlFile) {
		.system_identifier = SYSID, .version = 1300, .known = true,
		.segment_bytes = SEG_1MB
	};
	config.control = &control;
	store_options(&config.store);
	also[0] = "also";
}

static void
with_also(void)
{
	config.also.directories = also;
	config.also.count = 1;
}

/* Fetch, and look that nothing is there unless it was delivered. */
static void
expect(WaCode code, const char *file, const void *data, size_t length,
	   const char *what)
{
	(void) unlink("delivered");
	is_code(wa_fetch(&config, zstd, file, "delivered", &err), code, &err, "%s",
			what);
	if (code == WA_OK)
		ok(file_is("delivered", data, length), "its bytes: %s", what);
	else
		ok(access("delivered", F_OK) != 0, "nothing delivered: %s", what);
	ok(access("delivered.walarch", F_OK) != 0, "no temporary left: %s", what);
}

static void
test_archive(void)
{
	struct stat st;

	fresh();
	expect(WA_OK, SEG_NAME, segment, SEG_1MB, "a segment");
	must(stat("delivered", &st) == 0);
	is_int(st.st_mode & 0777, 0600, "its mode");
	expect(WA_OK, "00000002.history", HISTORY, strlen(HISTORY), "a history");
	expect(WA_NOT_FOUND, NEXT, NULL, 0, "an absent segment");
	expect(WA_NOT_FOUND, "000000010000000900000003", NULL, 0,
		   "one whose directory is absent too");
	expect(WA_NOT_FOUND, "00000003.history", NULL, 0, "an absent history");
	expect(WA_INVALID, "../" SEG_NAME, NULL, 0, "a name with a slash");
	expect(WA_INVALID, "postgresql.conf", NULL, 0, "no name of a WAL file");
	config.control = NULL;
	expect(WA_OK, SEG_NAME, segment, SEG_1MB, "with nothing known of the server");

	write_file("delivered", "old", 3);
	is_code(wa_fetch(&config, zstd, NEXT, "delivered", &err), WA_NOT_FOUND,
			&err, "absent, and something is at the destination");
	ok(file_is("delivered", "old", 3), "which stays");
	write_file("delivered.walarch", "left by a crash", 15);
	is_code(wa_fetch(&config, zstd, SEG_NAME, "delivered", &err), WA_OK, &err,
			"over an old temporary and an old file");
	ok(file_is("delivered", segment, SEG_1MB), "its bytes");
	is_code(wa_fetch(&config, zstd, SEG_NAME, "no/such/place", &err), WA_IO,
			&err, "a destination in a missing directory");
	has_str(err.message, "no/such/place", "the message names it");
}

/* What must never be mistaken for "not there". */
static void
test_no_proof(void)
{
	fresh();
	control.system_identifier++;
	expect(WA_WRONG_CLUSTER, SEG_NAME, NULL, 0, "another cluster's archive");
	expect(WA_WRONG_CLUSTER, NEXT, NULL, 0, "also for what is absent");
	control.system_identifier--;
	control.segment_bytes *= 2;
	expect(WA_WRONG_CLUSTER, SEG_NAME, NULL, 0, "another segment size");

	fresh();
	must(rename("archive/archive.id", "archive/archive.id.away") == 0);
	expect(WA_NO_MARKER, SEG_NAME, NULL, 0, "no marker");
	expect(WA_NO_MARKER, NEXT, NULL, 0, "also for what is absent");
	write_file("archive/archive.id", "x", 1);
	expect(WA_DAMAGED, NEXT, NULL, 0, "a damaged marker");
	fresh();
	must(rename("archive/wal", "archive/wal.away") == 0);
	expect(WA_IO, SEG_NAME, NULL, 0, "the directory of all WAL is gone");
	fresh();
	remove_tree(in("archive"));
	expect(WA_NO_DIRECTORY, NEXT, NULL, 0, "no archive directory");
	must(mkdir("archive", 0700) == 0);
	expect(WA_NO_MARKER, NEXT, NULL, 0, "an empty mount point");
}

static void
test_damaged(void)
{
	static unsigned char zeros[SEG_1MB];
	size_t		length;
	unsigned char *object;
	static const size_t cuts[] = {0, 1, 15, 16, 100, 1000};

	fresh();
	object = read_file(OBJECT, &length);
	for (size_t i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++)
	{
		must(truncate(OBJECT, (off_t) (length - length * (i + 1) / 7)) == 0);
		expect(WA_DAMAGED, SEG_NAME, NULL, 0, "truncated in the middle");
		write_file(OBJECT, object, cuts[i]);
		expect(WA_DAMAGED, SEG_NAME, NULL, 0, "hardly there");
		write_file(OBJECT, object, length);
	}
	object[length / 3] ^= 0x80;
	write_file(OBJECT, object, length);
	expect(WA_DAMAGED, SEG_NAME, NULL, 0, "a bit flipped");
	has_str(err.message, SEG_NAME, "the message names the file");
	object[length / 3] ^= 0x80;
	write_file(OBJECT, object, length);
	expect(WA_OK, SEG_NAME, segment, SEG_1MB, "flipped back");
	free(object);

	make_segment(segment, SEG_1MB, NEXT, SYSID, 2);
	push(NEXT, segment, SEG_1MB);
	must(rename(OBJECT, "one") == 0 && rename(NEXT_OBJECT, OBJECT) == 0 &&
		 rename("one", NEXT_OBJECT) == 0);
	expect(WA_DAMAGED, SEG_NAME, NULL, 0, "two objects with swapped names");
	expect(WA_DAMAGED, NEXT, NULL, 0, "the other");
	(void) unlink(OBJECT);
	push(SEG_NAME, zeros, SEG_1MB);
	expect(WA_DAMAGED_SOURCE, SEG_NAME, NULL, 0,
		   "damaged before it was archived");
}

static void
also_zst(const void *data, size_t length)
{
	size_t		room = ZSTD_compressBound(length);
	void	   *frame = malloc(room);

	write_file("also/" SEG_NAME ".zst", frame,
			   ZSTD_compress(frame, room, data, length, 1));
	free(frame);
}

static void
also_gz(const void *data, size_t length)
{
	gzFile		file = gzopen("also/" SEG_NAME ".gz", "wb1");

	must(file != NULL && gzwrite(file, data, (unsigned) length) ==
		 (int) length && gzclose(file) == Z_OK);
}

static void
also_lz4(const void *data, size_t length)
{
	LZ4F_preferences_t preferences = {
		.frameInfo.contentChecksumFlag = LZ4F_contentChecksumEnabled
	};
	size_t		room = LZ4F_compressFrameBound(length, &preferences);
	void	   *frame = malloc(room);

	write_file("also/" SEG_NAME ".lz4", frame,
			   LZ4F_compressFrame(frame, room, data, length, &preferences));
	free(frame);
}

static void
also_plain(const void *data, size_t length)
{
	write_file("also/" SEG_NAME, data, length);
}

static void
test_also(void)
{
	static const struct
	{
		void		(*write) (const void *data, size_t length);
		const char *file;
	}			forms[] = {
		{also_plain, "also/" SEG_NAME}, {also_zst, "also/" SEG_NAME ".zst"},
		{also_gz, "also/" SEG_NAME ".gz"}, {also_lz4, "also/" SEG_NAME ".lz4"}
	};
	struct stat st;

	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++)
	{
		fresh();
		with_also();
		must(unlink(OBJECT) == 0);
		expect(WA_NOT_FOUND, SEG_NAME, NULL, 0, "in neither place");
		forms[i].write(segment, SEG_1MB);
		expect(WA_OK, SEG_NAME, segment, SEG_1MB, forms[i].file);
		must(stat(forms[i].file, &st) == 0);
		must(truncate(forms[i].file, st.st_size - 1) == 0);
		expect(WA_DAMAGED, SEG_NAME, NULL, 0, "a byte less of it");
		must(truncate(forms[i].file, st.st_size / 2) == 0);
		expect(WA_DAMAGED, SEG_NAME, NULL, 0, "half of it");
		must(truncate(forms[i].file, 0) == 0);
		expect(WA_DAMAGED, SEG_NAME, NULL, 0, "nothing of it");
		forms[i].write(segment, SEG_1MB - 8192);
		expect(WA_DAMAGED, SEG_NAME, NULL, 0, "a page too few");
		wa_put64(segment + 24, SYSID + 1);
		forms[i].write(segment, SEG_1MB);
		expect(WA_WRONG_CLUSTER, SEG_NAME, NULL, 0, "another cluster's");
		make_segment(segment, SEG_1MB, NEXT, SYSID, 1);
		forms[i].write(segment, SEG_1MB);
		expect(WA_DAMAGED, SEG_NAME, NULL, 0, "another segment's contents");
	}

	/* a bad one before a good one; ours before both */
	fresh();
	with_also();
	also_plain("x", 1);
	expect(WA_OK, SEG_NAME, segment, SEG_1MB, "ours comes first");
	must(unlink(OBJECT) == 0);
	also_gz(segment, SEG_1MB);
	expect(WA_OK, SEG_NAME, segment, SEG_1MB, "a good one after a bad one");

	/* histories */
	write_file("also/00000005.history", HISTORY, strlen(HISTORY));
	expect(WA_OK, "00000005.history", HISTORY, strlen(HISTORY), "a history");
	write_file("also/00000005.history", "", 0);
	expect(WA_DAMAGED, "00000005.history", NULL, 0, "an empty one");
	write_file("also/00000005.history", "7\t0/1\tx\n", 8);
	expect(WA_DAMAGED, "00000005.history", NULL, 0, "one that contradicts itself");

	remove_tree(in("also"));
	expect(WA_IO, NEXT, NULL, 0, "a missing further directory proves nothing");
	must(mkfifo("also", 0600) == 0);
	expect(WA_IO, NEXT, NULL, 0, "a FIFO in its place neither");
	(void) unlink("also");
}

/* Before the first archived file, an old archive serves alone. */
static void
test_before_the_first(void)
{
	bool		alone = false;

	fresh();
	remove_tree(in("archive"));
	must(mkdir("archive", 0700) == 0);
	(void) unlink("walarch.known");
	with_also();
	also_plain(segment, SEG_1MB);
	expect(WA_OK, SEG_NAME, segment, SEG_1MB, "out of the further directory");
	config.also_alone = &alone;
	expect(WA_NOT_FOUND, NEXT, NULL, 0, "absent there");
	ok(alone, "and nowhere else was asked");
	config.known_file = NULL;
	expect(WA_OK, SEG_NAME, segment, SEG_1MB, "no server that could know it");
	config.control = NULL;
	expect(WA_OK, SEG_NAME, segment, SEG_1MB,
		   "nothing known of its segments but what the file says");
	config.control = &control;
	config.known_file = "walarch.known";
	write_file("archive/file", "x", 1);
	expect(WA_NO_MARKER, SEG_NAME, NULL, 0, "not empty, and no marker");
	ok(!alone, "which is no answer of the further directory");
	must(unlink("archive/file") == 0);
	write_file("walarch.known", "", 0);
	{
		char		line[700];

		snprintf(line, sizeof(line), "%032d %s\n", 1, config.archive);
		write_file("walarch.known", line, strlen(line));
	}
	expect(WA_NO_MARKER, SEG_NAME, NULL, 0,
		   "a server that has used this archive");

	fresh();
	with_also();
	config.also_alone = &alone;
	alone = true;
	expect(WA_NOT_FOUND, NEXT, NULL, 0, "absent in both");
	ok(!alone, "both were asked");
}

static bool
not_wanted(void)
{
	return false;
}

static void
test_given_up(void)
{
	static WaBeat beat;

	fresh();
	config.still_wanted = not_wanted;
	expect(WA_CANCELLED, SEG_NAME, NULL, 0, "nobody wants it any more");
	config.still_wanted = NULL;
	config.store.beat = &beat;
	expect(WA_OK, SEG_NAME, segment, SEG_1MB, "under a beat");
	is_int(atomic_load(&beat.count) % 2, 0, "no operation is left open");
	ok(atomic_load(&beat.count) > 10, "each was counted");
	atomic_store(&beat.cancelled, true);
	expect(WA_CANCELLED, SEG_NAME, NULL, 0, "given up");
	expect(WA_CANCELLED, NEXT, NULL, 0, "is no proof of absence");
}

/* The n-th operation fails: what is there is never absent, and never other. */
static void
test_faults(const FaultKind *kind, const char *file, const char *what)
{
	bool		there = strcmp(file, NEXT) != 0;
	int			n = 0;
	int			lied = 0;
	int			left = 0;
	int			unhealed = 0;

	for (fault.fired = true; fault.fired && n < 1000;)
	{
		WaCode		code;
		WaCode		again;

		(void) unlink("delivered");
		fault_begin(++n, kind->fail_with);
		code = wa_fetch(&config, zstd, file, "delivered", &err);
		fault_end();
		if (there ? code == WA_NOT_FOUND : code == WA_OK)
			lied++;
		if (code == WA_OK ? !file_is("delivered", segment, SEG_1MB) :
			access("delivered", F_OK) == 0)
			lied++;
		if (strcmp(fault.failed_call, "unlink") != 0 &&
			access("delivered.walarch", F_OK) == 0)
			left++;
		if (lied + left == 1)
			diag("operation %d (%s), fetch said \"%s\"", n,
				 fault.failed_call, wa_code_name(code));
		again = wa_fetch(&config, zstd, file, "delivered", &err);
		if (again != (there ? WA_OK : WA_NOT_FOUND))
			unhealed++;
	}
	ok(n > 5 && n < 1000, "%s, %s: %d operations", what, kind->name, n - 1);
	is_int(lied, 0, "%s, %s: no lie", what, kind->name);
	is_int(left, 0, "%s, %s: nothing is left", what, kind->name);
	is_int(unhealed, 0, "%s, %s: the next try succeeds", what, kind->name);
}

/* What has the name of our temporary already is ours, or it is not written to. */
static void
test_temporary(void)
{
	const WaDestination to = {.path = "to/file", .mode = 0600};
	WaDelivery *delivery;
	WaError		error;

	must(mkdir("to", 0700) == 0);
	write_file("theirs", "theirs", 6);
	must(link("theirs", "to/file.walarch") == 0);
	must(chmod("to", 0500) == 0);
	if (!am_root())
	{
		is_code(wa_delivery_open(&to, NULL, &delivery, &error), WA_INVALID,
				&error, "a second name of another file, that stays");
		has_str(error.message, "file.walarch\" is not a file of ours alone",
				"which is said");
		ok(delivery == NULL, "and nothing is opened");
	}
	must(chmod("to", 0700) == 0);
	is_code(wa_delivery_open(&to, NULL, &delivery, &error), WA_OK, &error,
			"one that can be removed");
	wa_delivery_close(delivery);
	ok(file_is("theirs", "theirs", 6), "is not written to");
	write_file("to/file.walarch", "left", 4);
	is_code(wa_delivery_open(&to, NULL, &delivery, &error), WA_OK, &error,
			"what an earlier attempt has left is taken");
	wa_delivery_close(delivery);
	must(mkdir("to/file.walarch", 0700) == 0);
	is_code(wa_delivery_open(&to, NULL, &delivery, &error), WA_IO, &error,
			"a directory is no temporary");
	must(rmdir("to/file.walarch") == 0 && rmdir("to") == 0);
}

int
main(void)
{
	scratch();
	zstd = wa_zstd_open();
	must(zstd != NULL);
	test_archive();
	test_no_proof();
	test_damaged();
	test_also();
	test_before_the_first();
	test_given_up();
	test_temporary();
	fresh();
	for (int i = 0; i < FAULT_KINDS; i++)
	{
		test_faults(&fault_kinds[i], SEG_NAME, "a segment");
		test_faults(&fault_kinds[i], NEXT, "an absent segment");
	}
	wa_zstd_close(zstd);
	return done_testing();
}
