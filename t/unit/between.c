/*
 * between.c
 *	  What comes in between: another command, another archive, a caller that
 *	  has had enough, memory that runs out, and paths that cannot be.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "archive/ahead_task.h"
#include "archive/basefile.h"
#include "archive/bases.h"
#include "archive/delivery.h"
#include "archive/drills.h"
#include "archive/identity.h"
#include "archive/layout.h"
#include "archive/lookahead.h"
#include "archive/object.h"
#include "archive/pins.h"
#include "archive/postmaster.h"
#include "archive/probe.h"
#include "archive/source.h"
#include "archive/verify.h"
#include "archive/xids.h"
#include "core/bytes.h"
#include "core/crc32c.h"
#include "faults.h"
#include "fixture.h"
#include "memory.h"
#include "tap.h"
#include "walwriter.h"

#define NOON_US		INT64_C(1790000000000000)
#define MB			(UINT64_C(1) << 20)

static char archive_path[512];
static WaStoreOptions options;
static WaStore *store;
static WaMarker marker;
static WaZstd *zstd;
static WaError err;

static void
push(const char *name, const void *bytes, size_t length)
{
	archive_bytes(archive_path, name, bytes, length, NOON_US);
}

/* Segments 2 to 4; a commit begins in 2 and ends in 3, where no other is. */
static void
fresh(void)
{
	WalWriter	wal;

	wa_store_close(store);
	store = NULL;
	remove_tree("archive");
	(void) unlink("walarch.known");
	must(mkdir("archive", 0700) == 0);
	wal_open(&wal, SEG_1MB, 2);
	wal_fill_until(&wal, 16);
	wal_commit(&wal, NOON_US);
	wal_switch(&wal);
	wal_filler(&wal, 100);
	wal_switch(&wal);
	for (int i = 0; i < 3; i++)
		push(wal_name(&wal, i), wal_segment(&wal, i), SEG_1MB);
	wal_close(&wal);
	must(wa_store_dir_open(archive_path, &options, &store, &err) == WA_OK);
	must(wa_identity_read(store, archive_path, &marker, &err) == WA_OK);
}

static void
test_delivery(void)
{
	WaDestination destination = {.path = "delivered",.mode = 0600};
	WaUnnamed	unnamed = {.fd = -1};
	WaDelivery *delivery;
	int			other = open("delivered.walarch", O_WRONLY | O_CREAT, 0600);

	must(other >= 0 && flock(other, LOCK_EX) == 0);
	is_code(wa_delivery_open(&destination, NULL, &delivery, &err), WA_CHANGED,
			&err, "while another command writes the file");
	has_str(err.message, "another restore command", "which is said");
	close(other);
	fault.refuse = "fstat";
	fault_begin(0, 0);
	is_code(wa_delivery_open(&destination, NULL, &delivery, &err), WA_CHANGED,
			&err, "one that is never ours");
	fault_end();
	fault.refuse = NULL;
	has_str(err.message, "could not take over", "is not taken");
	wa_delivery_close(NULL);
	must(unlink("delivered.walarch") == 0);

	unnamed.dir_fd = open(".", O_RDONLY | O_DIRECTORY);
	destination.unnamed = &unnamed;
	must(wa_delivery_open(&destination, NULL, &delivery, &err) == WA_OK);
	fault.refuse = "fsync";
	fault_begin(0, 0);
	is_code(wa_delivery_commit(delivery, &err), WA_IO, &err,
			"a file without a name that cannot be synced");
	fault_end();
	fault.refuse = NULL;
	wa_delivery_close(delivery);
	is_int(unnamed.fd, -1, "is not handed over");
	close(unnamed.dir_fd);
}

/* ---- backups ---- */

static WaBaseBackup
begin_backup(void)
{
	WaBaseBackup backup = {
		.label = "l",.token = "00000000000000aa",.server_version = 150000,
		.start_tli = 1,.start_lsn = 3 * MB + 0x28,.start_us = NOON_US
	};

	must(wa_base_begin(store, SEG_1MB, &backup, &err) == WA_OK);
	return backup;
}

static bool
enough(void *arg, uint64_t bytes)
{
	return false;
}

static void
test_bases(void)
{
	WaBaseBackup backup;
	WaBaseFile	file = {.name = WA_BASE_MAIN,.raw_bytes = 4};
	WaBufferSink buffer;
	WaBases		bases;
	char		key[WA_KEY_BYTES];
	char		frame[200];
	char		data[100];
	static char large[WA_BASE_TEXT_BYTES_MAX + 1];

	fresh();
	must(wa_bases_lock(store, &marker, &err) == WA_OK);
	backup = begin_backup();
	file.stored_bytes = ZSTD_compress(frame, sizeof(frame), "data", 4, 1);
	wa_digest_of("Data", 4, &file.digest);
	wa_layout_base_key(backup.id, WA_BASE_MAIN, key);
	must(wa_store_put(store, key, frame, file.stored_bytes, &err) == WA_OK);
	is_code(wa_basefile_read(store, &backup, &file,
							 wa_sink_buffer(&buffer, data, sizeof(data), "x"),
							 &err), WA_DAMAGED, &err, "other bytes than those");
	file.stored_bytes++;
	is_code(wa_basefile_read(store, &backup, &file,
							 wa_sink_buffer(&buffer, data, sizeof(data), "x"),
							 &err), WA_DAMAGED, &err, "or another size");
	is_code(wa_base_withdraw(store, backup.id, &err), WA_OK, &err, "withdrawn");
	is_code(wa_base_remove(store, backup.id, enough, NULL, &err), WA_CANCELLED,
			&err, "removing is ended");
	ok(access(path_in_scratch("archive/%s", key), F_OK) != 0,
	   "after the first file");

	memset(large, 'x', sizeof(large));
	must(mkdir("archive/base/large", 0700) == 0 &&
		 mkdir("archive/base/other", 0700) == 0);
	write_file("archive/base/large/backup", large, sizeof(large));
	backup = begin_backup();
	must(rename(path_in_scratch("archive/base/%s/begun", backup.id),
				"archive/base/other/begun") == 0);
	must(wa_bases_read(store, &bases, &err) == WA_OK);
	for (size_t i = 0; i < bases.count; i++)
		if (strcmp(bases.bases[i].id, "large") == 0)
			has_str(bases.bases[i].reason, "too large", "a text that is too large");
		else if (strcmp(bases.bases[i].id, "other") == 0)
			has_str(bases.bases[i].reason, "that of another backup",
					"and that of another backup");
	wa_bases_free(&bases);

	for (int n = 1; n <= 1000; n++)
	{
		char		id[WA_BASE_ID_BYTES] = "000000010000000000000003.00000028";

		if (n > 1)
			snprintf(id + strlen(id), sizeof(id) - strlen(id), "-%d", n);
		(void) mkdir(path_in_scratch("archive/base/%s", id), 0700);
		write_file(path_in_scratch("archive/base/%s/x", id), "x", 1);
	}
	is_code(wa_base_begin(store, SEG_1MB, &backup, &err), WA_EXISTS, &err,
			"as many backups as there can be names");
	remove_tree("archive/base");
}

/* ---- drills ---- */

static void
test_drills(void)
{
	static const char passed[] = "walarch-drill: 1\nresult: passed\n";
	WaDrillsSeen seen;
	char		name[WA_DRILL_NAME_BYTES];
	char		text[WA_DRILLS_TEXT_BYTES];

	fresh();
	wa_drill_name(NOON_US, 2, name);
	is_str(name, "20260921T141320Z-2", "the second drill of a second");
	must(wa_drills_put(store, name, "txt", passed, strlen(passed),
					   &err) == WA_OK);
	must(wa_drills_put(store, "20270101T000000Z", "txt", passed,
					   strlen(passed), &err) == WA_OK);
	must(wa_drills_put(store, "20260101T000000Z", "txt", "nothing", 7,
					   &err) == WA_OK);
	is_code(wa_drills_look(store, NOON_US + 60 * INT64_C(1000000), &seen, &err),
			WA_OK, &err, "drills");
	is_int(seen.count, 1, "one from the future and one that is none do not count");
	is_str(wa_drills_text(&seen, text), "passed, 0 h ago", "the newest");
	ok(wa_drills_fine(&seen), "is fine");
	seen.now_us += 100 * 86400 * INT64_C(1000000);
	ok(!wa_drills_fine(&seen), "for a quarter");
	seen.last_passed = false;
	is_str(wa_drills_text(&seen, text), "the last one failed; the last that "
		   "passed was 100 days ago", "a failure");
	seen = (WaDrillsSeen) {.unreadable = 3};
	is_str(wa_drills_text(&seen, text), "3 reports, and none can be read",
		   "none that can be read");
	seen.unreadable = 0;
	is_str(wa_drills_text(&seen, text), "", "none at all");
}

/* ---- what can be seen from outside ---- */

static void
test_postmaster(void)
{
	WaPostmaster postmaster = {.pid = getpid()};

	write_file("postmaster.pid", "", 0);
	ok(!wa_postmaster_read(AT_FDCWD, &postmaster), "an empty postmaster.pid");
	postmaster = (WaPostmaster) {.pid = getpid()};
	ok(!wa_postmaster_lives(&postmaster), "a process that started at another time");
	must(unlink("postmaster.pid") == 0);
}

static void
test_probe(void)
{
	WaProbe		probe;
	static char path[4000];

	remove_tree("empty");
	must(mkdir("empty", 0700) == 0);
	wa_probe(path_in_scratch("empty"), SYSID, SEG_1MB, NOON_US, NULL, &probe);
	ok(probe.empty && !probe.marked, "an empty directory");
	is_int(probe.error.code, WA_NO_MARKER, "is no archive yet");
	if (am_root())
		skip("root may write everywhere", 1);
	else
	{
		must(chmod("empty", 0500) == 0);
		wa_probe(path_in_scratch("empty"), SYSID, SEG_1MB, NOON_US, NULL,
				 &probe);
		ok(!probe.writable && probe.error.errno_value == EACCES,
		   "and cannot be one");
	}
	memset(path, 'x', sizeof(path) - 1);
	path[0] = '/';
	ok(!wa_source_due(path, NULL), "a path that is too long is not due");
}

static bool
no_more(void *arg, uint64_t segments)
{
	return false;
}

static bool
go_on(void *arg, uint64_t segments)
{
	return true;
}

static uint64_t
now_ms(void)
{
	return test_clock_us() / 1000;
}

static uint64_t
fast_clock(void)
{
	static uint64_t ms;

	return ms += 10000;
}

static void
no_finding(void *arg, const WaFinding *finding)
{
}

static void
no_progress(void *arg, const WaVerifyProgress *progress)
{
}

static bool
never(void *arg)
{
	return false;
}

static void
test_reading(void)
{
	WaVerifyOptions verify = {
		.path = archive_path,.full = true,.workers = 1,.timeout_ms = 60000,
		.now_ms = now_ms,.found = no_finding,.progress = no_progress,
		.stop = never
	};
	WaVerifyProgress progress;
	WaCatalogue catalogue;
	WaLineage	lineage;
	WaXidFound	found = {0};
	WaPin		pin = {0};
	WaBeat		beat = {0};

	fresh();
	must(wa_catalogue_read(store, &marker, WA_CATALOGUE_SIZES, zstd, &catalogue,
						   &err) == WA_OK);
	must(wa_lineage_of(&catalogue, wa_catalogue_timeline(&catalogue, 1),
					   &lineage));
	is_code(wa_xid_find(store, &catalogue, &lineage, (WaPlace) {1, 4},
						(WaPlace) {1, 2}, 7, no_more, NULL, &found, &err),
			WA_CANCELLED, &err, "a search that is ended");
	is_code(wa_xid_find(store, &catalogue, &lineage, (WaPlace) {1, 4},
						(WaPlace) {1, 2}, 0, go_on, NULL, &found, &err),
			WA_OK, &err, "a commit that begins in one segment");
	ok(found.place.segno == 3 && found.time_us == NOON_US,
	   "ends in the next: %d", (int) found.place.segno);
	wa_lineage_free(&lineage);
	is_code(wa_pin_resolve(store, &catalogue, &pin, 0, &err), WA_INVALID, &err,
			"a pin of no kind");

	/* reading takes its time, and the clock runs fast */
	verify.now_ms = fast_clock;
	verify.timeout_ms = 1000;
	fault.slow = "pread";
	fault_begin(0, 0);
	is_code(wa_verify(&verify, &catalogue, &progress, &err), WA_STUCK, &err,
			"verify, of an archive that hangs");
	fault_end();
	fault.slow = NULL;
	verify.now_ms = now_ms;
	verify.timeout_ms = 60000;

	/* what the caller's thread does by itself is under its beat */
	verify.beat = &beat;
	is_code(wa_verify(&verify, &catalogue, &progress, &err), WA_OK, &err,
			"verify, watched");
	ok(atomic_load(&beat.count) > 0 && atomic_load(&beat.count) % 2 == 0,
	   "is seen to move: %d", (int) atomic_load(&beat.count));
	atomic_store(&beat.cancelled, true);
	is_code(wa_verify(&verify, &catalogue, &progress, &err), WA_CANCELLED,
			&err, "verify, for which nobody waits any more");
	verify.beat = NULL;

	memset(catalogue.marker.archive_id, '0', 32);
	is_code(wa_verify(&verify, &catalogue, &progress, &err), WA_INVALID, &err,
			"verify, of another archive by now");
	has_str(err.message, "is another archive by now", "says so");
	wa_catalogue_free(&catalogue);
}

/* An envelope that says of a history that it is a segment. */
static void
test_object(void)
{
	static const char history[] = "1\t0/800000\tx\n";
	const char *key = "wal/00000002.history.zst";
	WaEnvelope	envelope;
	WaStat		stat;
	unsigned char *object;
	unsigned char *large;
	unsigned char *begin;
	size_t		length;
	int			n = 0;
	int			failures = 0;

	fresh();
	push("00000002.history", history, strlen(history));
	must(wa_object_envelope(store, key, &stat, &envelope, &err) == WA_OK);
	envelope.kind = WA_KIND_SEGMENT;
	is_code(wa_object_read(store, key, &stat, &envelope, zstd, NULL, &err),
			WA_DAMAGED, &err, "a segment of a few bytes");
	has_str(err.message, "holds no WAL segment", "is none");

	/* an envelope with more than is read at first */
	must(wa_object_envelope(store, key, &stat, &envelope, &err) == WA_OK);
	object = read_file("archive/wal/00000002.history.zst", &length);
	large = malloc(envelope.body_bytes + 10000);
	must(object != NULL && large != NULL);
	memcpy(large, object, envelope.body_bytes);
	begin = large + envelope.body_bytes;
	length = wa_envelope_encode(&envelope, begin) - WA_ENVELOPE_TRAILER_BYTES;
	wa_put16(begin + length, 0x7777);
	wa_put16(begin + length + 2, 6000);
	memset(begin + length + 4, 'x', 6000);
	length += 4 + 6000 + WA_ENVELOPE_TRAILER_BYTES;
	wa_put32(begin + 4, (uint32_t) length - 8);
	wa_put32(begin + length - 16, (uint32_t) length);
	wa_put32(begin + length - 12, wa_crc32c(0, begin, length - 12));
	memcpy(begin + length - 8, "walarch\n", 8);
	write_file("archive/wal/00000002.history.zst", large,
			   envelope.body_bytes + length);
	is_code(wa_object_envelope(store, key, &stat, &envelope, &err), WA_OK, &err,
			"an envelope that is not in the last 4096 bytes as a whole");
	is_str(envelope.name, "00000002.history", "is read");
	for (fault.fired = true; fault.fired && n < 100;)
	{
		WaCode		code;

		fault_begin(++n, EIO);
		code = wa_object_envelope(store, key, &stat, &envelope, &err);
		fault_end();
		failures += fault.fired &&
			(code == WA_IO || strcmp(fault.failed_call, "close") == 0);
	}
	is_int(failures, n - 1, "or an error, if any of %d calls fails but a close", n - 1);
	free(object);
	free(large);
}

/* Timelines that left others in their first segment, and places in none. */
static void
test_lineage(void)
{
	WaHistoryEntry entries[2] = {
		{.tli = 1,.begin = 0,.end = 8},{.tli = 2,.begin = 8,.end = UINT64_MAX}
	};
	WaHistoryEntry entries3[2] = {
		{.tli = 1,.begin = 0,.end = 8},{.tli = 3,.begin = 8,.end = UINT64_MAX}
	};
	WaRange		range = {.first = 5,.last = 6};
	WaTimeline	timelines[3] = {
		{.tli = 1,.history_known = true,.ranges_count = 1,.ranges = &range},
		{.tli = 2,.history_known = true,.history = {.count = 2,.entries = entries}},
		{.tli = 3,.history_known = true,.history = {.count = 2,.entries = entries3}}
	};
	WaCatalogue catalogue = {
		.marker = {.segment_bytes = SEG_1MB},.timelines_count = 2,
		.timelines = timelines
	};
	WaBackup	backup = {.tli = 9,.start_segno = 1};
	WaGap		gap = {.tli = 9,.first = 2,.last = 3};
	WaLineage	lineage;
	WaPlace		place = {1, 1};
	WaGap	   *gaps;
	size_t		count;

	must(wa_lineage_of(&catalogue, &timelines[1], &lineage));
	ok(!wa_lineage_holds(&lineage, place), "nothing of the parent is replayed");
	ok(!wa_lineage_next(&lineage, &place) &&
	   !wa_lineage_previous(&lineage, &place), "nor anything beside it");
	place = (WaPlace) {2, UINT64_MAX};
	ok(!wa_lineage_next(&lineage, &place), "there is an end");
	wa_lineage_free(&lineage);
	ok(wa_gap_affects(&catalogue, &gap, &backup),
	   "a gap of a timeline that is not known affects its backups");

	/* the parent ends with what is missing, on the way to the child */
	entries[0].end = 10 * MB;
	entries[1].begin = 10 * MB;
	must(wa_gaps_find(&catalogue, &gaps, &count));
	ok(count == 1 && gaps[0].tli == 1 && gaps[0].first == 7 &&
	   gaps[0].last == 9, "what is missing up to the fork");
	free(gaps);
	entries3[0].end = 12 * MB;
	entries3[1].begin = 12 * MB;
	catalogue.timelines_count = 3;
	must(wa_gaps_find(&catalogue, &gaps, &count));
	ok(count == 1 && gaps[0].first == 7 && gaps[0].last == 11,
	   "and up to the later one of two");
	free(gaps);
	memory_begin(2);
	ok(!wa_gaps_find(&catalogue, &gaps, &count), "without memory none is told");
	(void) memory_end();
	memory_begin(3);
	ok(!wa_gaps_find(&catalogue, &gaps, &count), "nor here");
	(void) memory_end();
}

/* ---- archiving ---- */

/*
 * What was staged is to be committed, and another, longer one is there by
 * now: what was read is not at hand any more.
 */
static void
test_parted(void)
{
	WaArchiveConfig config;
	WaBench    *bench = wa_bench_open();
	WaArchive  *archive;
	WaPushResult result;
	WaPush	   *staged;
	WalWriter	wal;
	char		name[WA_WALNAME_BYTES];

	fresh();
	archive_config(&config, archive_path, SEG_1MB);
	archive = wa_archive_open(&config);
	must(archive != NULL && bench != NULL);
	wal_open(&wal, SEG_1MB, 20);
	snprintf(name, sizeof(name), "%s", wal_name(&wal, 0));
	wal_commit(&wal, NOON_US);
	write_file("short", wal_segment(&wal, 0), SEG_1MB);
	wal_commit(&wal, NOON_US);
	must(wa_push_open(archive, bench, NULL, name, "short", NOON_US, &result,
					  &staged, &err) == WA_OK);
	must(wa_push_stage(staged, 1, &err) == WA_OK);
	wa_push_part(staged);
	push(name, wal_segment(&wal, 0), SEG_1MB);
	is_int(wa_push_commit_run(archive, bench, NULL, &staged, 1, &err), 0,
		   "another is there by now");
	is_int(err.code, WA_CHANGED, "archive it from the beginning: %s",
		   err.message);
	wa_push_discard(staged, NULL);
	wal_close(&wal);
	wa_archive_close(archive);
	wa_bench_close(bench);
}

/* Until the workers have done so many tasks in all, and allocate nothing. */
static void
wait_for_tasks(WaLookahead *ahead, uint64_t wanted)
{
	struct pollfd event = {
		.fd = wa_lookahead_event_fd(ahead),.events = POLLIN
	};
	uint64_t	done = 0;

	while (done < wanted)
	{
		uint64_t	more;

		must(poll(&event, 1, 60000) == 1);
		must(read(event.fd, &more, sizeof(more)) == sizeof(more));
		done += more;
	}
	must(done == wanted);
}

/* The answer for segment i; from the question on, the n-th allocation fails. */
static WaCode
ask_for(WaLookahead *ahead, WalWriter *wal, int i, int n)
{
	WaAheadRequest request = {.level = 1,.catchup_level = 1};
	WaPushResult result;
	char		path[100];

	request.file = wal_name(wal, i);
	snprintf(path, sizeof(path), "pg_wal/%s", request.file);
	request.path = path;
	must(wa_lookahead_ask(ahead, &request, &err) == WA_OK);
	memory_begin(n);
	for (int wait = 0; !wa_lookahead_answered(ahead, now_ms(), 60000); wait++)
	{
		must(wait < 60000);
		usleep(1000);
	}
	return wa_lookahead_answer(ahead, &result, &err);
}

/*
 * What was staged ahead does not serve, since the file has changed, and is
 * begun anew, with no memory for the n-th time: false when there was enough.
 */
static bool
begin_anew(int n, WaCode *code, WaCode *next)
{
	WaArchiveConfig config;
	WaArchive  *archive;
	WaLookahead *ahead;
	WalWriter	wal;
	bool		fired;

	fresh();
	remove_tree("pg_wal");
	must(mkdir("pg_wal", 0700) == 0 && mkdir("pg_wal/archive_status", 0700) == 0);
	archive_config(&config, archive_path, SEG_1MB);
	archive = wa_archive_open(&config);
	must(archive != NULL);
	ahead = wa_lookahead_open(archive, 1);
	must(ahead != NULL);
	wal_open(&wal, SEG_1MB, 10);
	for (int i = 0; i < 4; i++)
	{
		wal_commit(&wal, NOON_US);
		wal_switch(&wal);
		write_file(path_in_scratch("pg_wal/%s", wal_name(&wal, i)),
				   wal_segment(&wal, i), SEG_1MB);
		write_file(path_in_scratch("pg_wal/archive_status/%s.ready",
								   wal_name(&wal, i)), "", 0);
	}
	must(ask_for(ahead, &wal, 0, 0) == WA_OK);
	must(ask_for(ahead, &wal, 1, 0) == WA_OK);
	wait_for_tasks(ahead, 4);
	must(count_names("archive/tmp") == 2);
	/* it is known by its ctime */
	must(chmod(path_in_scratch("pg_wal/%s", wal_name(&wal, 2)), 0640) == 0);
	*code = ask_for(ahead, &wal, 2, n);
	fired = memory_end();
	*next = ask_for(ahead, &wal, 2, 0);
	wa_lookahead_close(ahead, 60000);
	wa_archive_close(archive);
	wal_close(&wal);
	return fired;
}

static void
test_no_second_try(void)
{
	WaCode		code;
	WaCode		next;
	int			n;
	int			failed = 0;
	int			other = 0;
	int			unhealed = 0;

	for (n = 1; n < 100 && begin_anew(n, &code, &next); n++)
	{
		failed += code == WA_NO_MEMORY;
		if (code != WA_OK && code != WA_NO_MEMORY && other++ == 0)
			diag("allocation %d: %s", n, wa_code_name(code));
		if (next != WA_OK && unhealed++ == 0)
			diag("after allocation %d: %s", n, err.message);
	}
	/* the run that finds it changed, the second try, and its parts */
	ok(failed > 2 && n < 100, "begun anew: %d allocations, of which %d matter",
	   n - 1, failed);
	is_int(other, 0, "no memory is the answer");
	is_int(unhealed, 0, "the next try succeeds");
	is_int(code, WA_OK, "as does one with memory");
}

static void
test_archive(void)
{
	static WaSuspects suspects;
	WaArchiveConfig config;
	WaArchive  *archive;
	WaAheadRun *run;
	WaAheadEntry *entry;
	WaWorker	worker = {0};

	fresh();
	archive_config(&config, archive_path, SEG_1MB);
	config.suspects.count = WA_SUSPECTS_MAX + 1;
	archive = wa_archive_open(&config);
	must(archive != NULL);
	ok(wa_archive_suspects(archive, "wal/any"),
	   "more suspects than can be named: all are");
	wa_archive_list_suspects(archive, &suspects);
	ok(suspects.count > WA_SUSPECTS_MAX, "also to the next process");

	run = wa_ahead_run(archive);
	entry = wa_ahead_entry(archive, WA_AHEAD_WHOLE, SEG_NAME, "source", 0);
	must(run != NULL && entry != NULL);
	run->entries[run->count++] = entry;
	memory_begin(1);
	run->task.run(&run->task, &worker);
	ok(memory_end(), "a worker without memory");
	ok(run->done == 0 && run->err.code == WA_NO_MEMORY,
	   "commits nothing: %s", run->err.message);
	wa_ahead_run_free(run);
	wa_ahead_entry_free(entry);
	wa_archive_close(archive);
}

int
main(void)
{
	scratch();
	fault.closes = true;
	snprintf(archive_path, sizeof(archive_path), "%s",
			 path_in_scratch("archive"));
	store_options(&options);
	zstd = wa_zstd_open();
	must(zstd != NULL);
	test_delivery();
	test_bases();
	test_drills();
	test_postmaster();
	test_probe();
	test_reading();
	test_object();
	test_lineage();
	test_parted();
	test_archive();
	test_no_second_try();
	wa_store_close(store);
	wa_zstd_close(zstd);
	return done_testing();
}
