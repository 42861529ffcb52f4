/*
 * every_call.c
 *	  What reads and changes an archive, with one system call or one
 *	  allocation failing, for each of them in turn: what is said to have been
 *	  done, and what is said to be absent, is so; whatever else comes of it is
 *	  an error or a doubt; nothing is leaked, and the next try succeeds.
 */
#include <errno.h>
#include <ftw.h>
#include <inttypes.h>
#include <lz4frame.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "archive/basefile.h"
#include "archive/bases.h"
#include "archive/drills.h"
#include "archive/fetch.h"
#include "archive/identity.h"
#include "archive/known.h"
#include "archive/layout.h"
#include "archive/object.h"
#include "archive/pins.h"
#include "archive/probe.h"
#include "archive/retention.h"
#include "archive/segments.h"
#include "archive/verify.h"
#include "archive/xids.h"
#include "core/bytes.h"
#include "core/sink_zstd.h"
#include "core/walheader.h"
#include "faults.h"
#include "fixture.h"
#include "memory.h"
#include "tap.h"
#include "walwriter.h"

#define NOON_US		INT64_C(1790000000000000)
#define DAY_US		(INT64_C(86400) * 1000000)
#define HISTORY		"1\t0/600000\tno recovery target specified\n"
#define WAL			"archive/wal/0000000100000000/"
#define BACKUP_ID	"000000010000000000000003.00000028"
#define LEFT_ID		"000000010000000000000004.00000028"
#define CALLS_MAX	3000
#define LARGE_BYTES	(UINT32_C(128) << 20)
#define LARGE_NAME	"000000010000000000000002"

static char archive_path[512];
static WaStoreOptions options;
static WaMarker marker;
static WaControlFile control;
static unsigned char segment[SEG_1MB];
static unsigned char longer[SEG_1MB];
static unsigned char large[2][8192];
static WaError err;

/* What the running operation has answered; `doubts` that it does not know. */
static char answer[4000];
static int	doubts;

static void __attribute__((format(printf, 1, 2)))
say(const char *format,...)
{
	size_t		length = strlen(answer);
	va_list		args;

	va_start(args, format);
	vsnprintf(answer + length, sizeof(answer) - length, format, args);
	va_end(args);
}

/* ---- the archive ---- */

static void
push(const char *name, const void *bytes, size_t length)
{
	archive_bytes(archive_path, name, bytes, length, NOON_US);
}

static void
push_backup(unsigned segno)
{
	char		name[WA_WALNAME_BYTES];
	char		text[512];
	size_t		length = backup_history(segno, segno == 3 ? "UTC" : "XYZ", name,
										text, sizeof(text));

	push(name, text, length);
}

static WaStore *
open_store(void)
{
	WaStore    *store = NULL;

	must(wa_store_dir_open(archive_path, &options, &store, &err) == WA_OK);
	return store;
}

static WaBaseBackup
new_backup(unsigned segno)
{
	return (WaBaseBackup) {
		.label = "l",
		.token = "00000000000000aa",
		.server_version = 150000,
		.start_tli = 1,
		.start_lsn = segno * SEG_1MB + 0x28,
		.start_us = NOON_US
	};
}

static WaBaseFile base_files[2];

static char base_frame[200];
static size_t base_frame_bytes;

static void
put_base_file(WaStore *store, const char *id, const char *name,
			  WaBaseFile *file)
{
	char		key[WA_KEY_BYTES];

	base_frame_bytes = ZSTD_compress(base_frame, sizeof(base_frame), "data", 4,
									 1);
	snprintf(file->name, sizeof(file->name), "%s", name);
	file->raw_bytes = 4;
	file->stored_bytes = base_frame_bytes;
	wa_digest_of("data", 4, &file->digest);
	wa_layout_base_key(id, name, key);
	must(wa_store_put(store, key, base_frame, base_frame_bytes,
					  &err) == WA_OK);
}

static void
end_backup(WaBaseBackup *backup)
{
	backup->files = base_files;
	backup->files_count = 2;
	backup->stop_tli = 1;
	backup->stop_lsn = backup->start_lsn + 0x100;
	backup->stop_us = backup->start_us;
	backup->token[0] = '\0';
}

/* One whole, one begun, one that a deletion has left. */
static void
put_backups(void)
{
	WaStore    *store = open_store();
	WaBaseBackup backup = new_backup(3);
	char		key[WA_KEY_BYTES];

	must(wa_bases_lock(store, &marker, &err) == WA_OK);
	must(wa_base_begin(store, SEG_1MB, &backup, &err) == WA_OK);
	must(strcmp(backup.id, BACKUP_ID) == 0);
	put_base_file(store, backup.id, WA_BASE_MAIN, &base_files[0]);
	put_base_file(store, backup.id, WA_BASE_MANIFEST, &base_files[1]);
	end_backup(&backup);
	must(wa_base_advertise(store, &backup, &err) == WA_OK);

	backup = new_backup(4);
	must(wa_base_begin(store, SEG_1MB, &backup, &err) == WA_OK);
	wa_layout_base_key(backup.id, "16384.tar.zst", key);
	must(wa_store_put(store, key, "x", 1, &err) == WA_OK);
	must(wa_base_withdraw(store, backup.id, &err) == WA_OK);

	/* another of which there is no history file */
	backup = new_backup(5);
	must(wa_base_begin(store, SEG_1MB, &backup, &err) == WA_OK);
	put_base_file(store, backup.id, WA_BASE_MAIN, &base_files[0]);
	put_base_file(store, backup.id, WA_BASE_MANIFEST, &base_files[1]);
	end_backup(&backup);
	must(wa_base_advertise(store, &backup, &err) == WA_OK);

	backup = new_backup(9);
	must(wa_base_begin(store, SEG_1MB, &backup, &err) == WA_OK);
	wa_store_close(store);
}

static void
put_small(void)
{
	static const char passed[] = "walarch-drill: 1\nresult: passed\n";
	static const char failed[] = "walarch-drill: 1\nresult: FAILED\n";
	WaStore    *store = open_store();
	WaPin		pin = {
		.name = "p",.kind = WA_PIN_LSN,.value = "0/400000",
		.keep_from = 4 * SEG_1MB,.created_us = NOON_US,.by = "me"
	};

	must(wa_retention_lock(store, &err) == WA_OK);
	must(wa_pin_put(store, &pin, &err) == WA_OK);
	must(wa_drills_put(store, "20260101T000000Z", "txt", failed,
					   strlen(failed), &err) == WA_OK);
	must(wa_drills_put(store, "20260102T000000Z", "txt", passed,
					   strlen(passed), &err) == WA_OK);
	wa_store_close(store);
	must(mkdir("archive/damaged", 0700) == 0);
	write_file("archive/damaged/x", "x", 1);
}

static void
put_frame(const char *name, unsigned char *frame, size_t bytes)
{
	must(!ZSTD_isError(bytes) && !LZ4F_isError(bytes));
	write_file(path_in_scratch("also/%s", name), frame, bytes);
	free(frame);
}

/* What others left: a segment each, packed in another way, and a history. */
static void
put_also(void)
{
	static const char *const names[] = {
		"0000000100000000000000AA", "0000000100000000000000AB",
		"0000000100000000000000AC", "0000000100000000000000AD"
	};
	size_t		room = LZ4F_compressFrameBound(SEG_1MB, NULL) +
		ZSTD_compressBound(SEG_1MB);
	gzFile		file;

	must(mkdir("also", 0700) == 0);
	for (int i = 0; i < 4; i++)
	{
		unsigned char *frame = malloc(room);
		char		name[64];

		must(frame != NULL);
		snprintf(name, sizeof(name), "%s%s", names[i], i == 0 ? "" :
				 i == 1 ? ".zst" : ".lz4");
		make_segment(segment, SEG_1MB, names[i], SYSID, 1);
		memcpy(frame, segment, SEG_1MB);
		if (i == 3)
		{
			file = gzopen(path_in_scratch("also/%s.gz", names[i]), "wb1");
			must(file != NULL && gzwrite(file, segment, SEG_1MB) == SEG_1MB &&
				 gzclose(file) == Z_OK);
			free(frame);
			continue;
		}
		put_frame(name, frame, i == 0 ? SEG_1MB : i == 1 ?
				  ZSTD_compress(frame, room, segment, SEG_1MB, 1) :
				  LZ4F_compressFrame(frame, room, segment, SEG_1MB, NULL));
	}
	write_file("also/00000005.history", HISTORY, strlen(HISTORY));
	file = gzopen(path_in_scratch("also/00000006.history.gz"), "wb1");
	must(file != NULL && gzwrite(file, HISTORY, strlen(HISTORY)) > 0 &&
		 gzclose(file) == Z_OK);
}

/*
 * Segments 2 to 9 of timeline 1 without 8, 6 and 7 of timeline 2, which left
 * it there, a .partial, backups and what else there can be.
 */
static void
make_archive(void)
{
	WalWriter	wal;
	WaStore    *store;

	snprintf(archive_path, sizeof(archive_path), "%s",
			 path_in_scratch("archive"));
	must(mkdir("archive", 0700) == 0);
	wal_open(&wal, SEG_1MB, 2);
	for (int i = 0; i < 8; i++)
	{
		wal_commit(&wal, NOON_US + i * DAY_US);
		wal_restore_point(&wal, i == 3 ? "here" : "there",
						  NOON_US + i * DAY_US);
		/* more than an envelope keeps, which is a large one */
		for (int j = 0; i == 7 && j < WA_SCAN_POINTS_MAX + 2; j++)
			wal_restore_point(&wal, "a name that is about as long as one can "
							  "be of a restore point", NOON_US);
		if (i == 1 || i == 2)
		{
			/* a record that goes on in the next segment */
			wal_fill_until(&wal, 16);
			if (i == 1)
				wal_commit(&wal, NOON_US + i * DAY_US + 1);
			else
				wal_restore_point(&wal, "between", NOON_US + i * DAY_US + 1);
			continue;
		}
		wal_switch(&wal);
	}
	for (int i = 0; i < 8; i++)
		if (i != 6)
			push(wal_name(&wal, i), wal_segment(&wal, i), SEG_1MB);
	push("000000010000000000000006.partial", wal_segment(&wal, 4), SEG_1MB);
	write_file("own", wal_segment(&wal, 6), SEG_1MB);
	wal_close(&wal);
	push("00000002.history", HISTORY, strlen(HISTORY));
	wal_open(&wal, SEG_1MB, 6);
	wal.tli = 2;
	for (int i = 0; i < 2; i++)
	{
		wal_commit(&wal, NOON_US + (5 + i) * DAY_US);
		wal_switch(&wal);
		push(wal_name(&wal, i), wal_segment(&wal, i), SEG_1MB);
	}
	wal_close(&wal);
	push_backup(3);
	push_backup(6);
	store = open_store();
	must(wa_identity_read(store, archive_path, &marker, &err) == WA_OK);
	wa_store_close(store);
	put_backups();
	put_small();
	must(rename("archive", "template") == 0);

	/* the data directory of a server in recovery */
	must(mkdir("pg_wal", 0700) == 0 && mkdir("pg_stat_tmp", 0700) == 0);
	control = (WaControlFile) {
		.system_identifier = SYSID,.version = 1300,.known = true,
		.segment_bytes = SEG_1MB
	};

	put_also();

	/* and a large one */
	wal_open(&wal, LARGE_BYTES, 2);
	for (int i = 0; i < 2; i++)
	{
		wal_commit(&wal, NOON_US);
		memcpy(large[i], wal_segment(&wal, 0), sizeof(large[i]));
	}
	wal_close(&wal);

	/* a segment, of which the second copy has more */
	wal_open(&wal, SEG_1MB, 20);
	wal_commit(&wal, NOON_US);
	memcpy(segment, wal_segment(&wal, 0), SEG_1MB);
	wal_commit(&wal, NOON_US);
	memcpy(longer, wal_segment(&wal, 0), SEG_1MB);
	wal_close(&wal);
}

static int
copy_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	const char *copy = path_in_scratch("archive%s", path + strlen("template"));
	unsigned char *data;
	size_t		length;

	if (type == FTW_D)
		return mkdir(copy, 0700);
	data = read_file(path, &length);
	write_file(copy, data, length);
	free(data);
	return 0;
}

/* The server that asks, as it was. */
static void
fresh_server(void)
{
	write_file("pg_wal/00000002.history", HISTORY, strlen(HISTORY));
	(void) unlink("walarch.known");
	(void) unlink("pg_stat_tmp/walarch.trail");
	(void) unlink("pg_wal/000000010000000000000008");
}

/* And the archive. */
static void
fresh(void)
{
	fresh_server();
	remove_tree("archive");
	must(nftw("template", copy_one, 16, FTW_PHYS) == 0);
}

/* Some of it is damaged, and a key is too long to be one. */
static void
before_damage(void)
{
	char		name[200];

	fresh();
	write_file("archive/wal/00000002.history.zst", "x", 1);
	write_file(WAL "000000010000000000000006.00000028.backup.zst", "x", 1);
	write_file("archive/wal/0000000100000000/000000010000000000000005.zst",
			   "x", 1);
	write_file("archive/base/" BACKUP_ID "/backup", "x", 1);
	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	must(mkdir(path_in_scratch("archive/wal/%s", name), 0700) == 0);
}

/*
 * Write an object anew: as one who knows nothing of records, or tells
 * something else of them, and nothing of damage.
 */
static void
forge(const char *key, bool scanned)
{
	unsigned char envelope[WA_ENVELOPE_BYTES_MAX];
	const char *path = path_in_scratch("archive/%s", key);
	WaStore    *store = open_store();
	WaEnvelope	decoded;
	WaStat		stat;
	unsigned char *object;
	size_t		length;

	must(wa_object_envelope(store, key, &stat, &decoded, &err) == WA_OK);
	wa_store_close(store);
	object = read_file(path, &length);
	decoded.scanned = scanned;
	decoded.scan.records++;
	decoded.damage[0] = '\0';
	length = wa_envelope_encode(&decoded, envelope);
	object = realloc(object, decoded.body_bytes + length);
	must(object != NULL);
	memcpy(object + decoded.body_bytes, envelope, length);
	write_file(path, object, decoded.body_bytes + length);
	free(object);
}

/* The last segment of timeline 1 ends early, and timeline 2 goes on behind it. */
static void
before_early_fork(void)
{
	WalWriter	wal;

	fresh();
	for (int i = 5; i < 10; i++)
		(void) unlink(path_in_scratch(WAL "00000001000000000000000%d.zst", i));
	wal_open(&wal, SEG_1MB, 5);
	wal_commit(&wal, NOON_US);
	push(wal_name(&wal, 0), wal_segment(&wal, 0), SEG_1MB);
	wal_close(&wal);
}

static void
before_unscanned(void)
{
	fresh();
	forge("wal/0000000100000000/000000010000000000000003.zst", false);
	forge("wal/0000000100000000/000000010000000000000004.zst", false);
}

/* Timeline 3 is known, the one that it left is not, or says something else. */
static void
before_orphan(void)
{
	static const char text[] = "1\t0/600000\tx\n2\t0/700000\tx\n";

	fresh();
	push("00000003.history", text, strlen(text));
	must(unlink("archive/wal/00000002.history.zst") == 0);
}

static void
before_contradiction(void)
{
	static const char text[] = "2\t0/700000\tx\n";

	fresh();
	push("00000003.history", text, strlen(text));
}

/*
 * Behind the others: one of another history, one damaged before it was
 * archived, one of which the envelope does not say that, one whose envelope
 * tells something else, one that ends early in the middle, one at the end.
 */
static void
before_bad_wal(void)
{
	WalWriter	wal;
	WalWriter	other;

	fresh();
	wal_open(&wal, SEG_1MB, 10);
	wal_open(&other, SEG_1MB, 10);
	for (int i = 0; i < 7; i++)
	{
		wal_commit(&other, NOON_US);
		wal_filler(&other, 100);
		wal_switch(&other);
		wal_commit(&wal, NOON_US);
		if (i < 5)
			wal_switch(&wal);
		else					/* it ends early */
			wal.at = wal.start + (uint64_t) (i + 1) * SEG_1MB;
	}
	for (int i = 2; i < 4; i++)
	{
		memset(wal_segment(&wal, i) + 8192, 'x', 8192);
		wal_segment(&wal, i)[60] ^= 1;
	}
	push(wal_name(&wal, 0), wal_segment(&wal, 0), SEG_1MB);
	push(wal_name(&wal, 1), wal_segment(&other, 1), SEG_1MB);
	for (int i = 2; i < 7; i++)
		push(wal_name(&wal, i), wal_segment(&wal, i), SEG_1MB);
	forge("wal/0000000100000000/00000001000000000000000D.zst", false);
	forge("wal/0000000100000000/00000001000000000000000E.zst", true);
	wal_close(&wal);
	wal_close(&other);
	must(unlink("pg_wal/00000002.history") == 0);
	must(unlink("archive/wal/00000002.history.zst") == 0);
}

/* Segments of one timeline, and nothing else. */
static void
before_plain(void)
{
	fresh();
	must(unlink("archive/wal/00000002.history.zst") == 0 &&
		 unlink(WAL "000000010000000000000006.partial.zst") == 0 &&
		 unlink(WAL "000000010000000000000003.00000028.backup.zst") == 0 &&
		 unlink(WAL "000000010000000000000006.00000028.backup.zst") == 0);
	remove_tree("archive/wal/0000000200000000");
	remove_tree("archive/base");
	must(unlink("archive/base.lock") == 0);
}

/* ---- operations that read ---- */

/* Open it and read its marker, as everything does that reads. */
static WaCode
begin(WaStore **store, WaZstd **zstd, WaMarker *read)
{
	*store = NULL;
	*zstd = wa_zstd_open();
	if (*zstd == NULL)
		return wa_fail(&err, WA_NO_MEMORY, "out of memory");
	if (wa_store_dir_open(archive_path, &options, store, &err) == WA_OK)
		err.code = wa_identity_read(*store, archive_path, read, &err);
	return err.code;
}

static WaCode
end(WaStore *store, WaZstd *zstd, WaCode code)
{
	wa_store_close(store);
	wa_zstd_close(zstd);
	return code;
}

static WaCode
read_catalogue(WaStore *store, const WaMarker *read, WaZstd *zstd,
			   WaCatalogue *catalogue)
{
	WaCode		code = wa_catalogue_read(store, read, WA_CATALOGUE_SIZES, zstd,
										 catalogue, &err);

	if (code == WA_OK)
		doubts += (int) catalogue->doubts_count;
	return code;
}

static void
say_catalogue(const WaCatalogue *catalogue)
{
	for (size_t i = 0; i < catalogue->timelines_count; i++)
	{
		const WaTimeline *timeline = &catalogue->timelines[i];

		say("timeline %" PRIu32 " %d", timeline->tli, timeline->history_known);
		for (size_t j = 0; j < timeline->ranges_count; j++)
			say(" %" PRIu64 "-%" PRIu64, timeline->ranges[j].first,
				timeline->ranges[j].last);
		say(" %zu\n", timeline->partials_count);
	}
	for (size_t i = 0; i < catalogue->backups_count; i++)
		say("backup %s %d\n", catalogue->backups[i].id,
			catalogue->backups[i].stored);
	say("unfinished %zu, set aside %" PRIu64 "\n", catalogue->unfinished_count,
		catalogue->aside);
}

static WaCode
op_catalogue(void)
{
	WaCatalogue catalogue;
	WaMarker	read;
	WaStore    *store;
	WaZstd	   *zstd;
	WaCode		code = begin(&store, &zstd, &read);

	if (code == WA_OK)
		code = read_catalogue(store, &read, zstd, &catalogue);
	if (code == WA_OK)
	{
		say_catalogue(&catalogue);
		wa_catalogue_free(&catalogue);
	}
	return end(store, zstd, code);
}

static WaCode
say_row(void *arg, const WaSegmentRow *row, WaError *row_err)
{
	WaRestorePoint point;

	if (row->code == WA_NO_MEMORY)
	{
		*row_err = *row->error;
		return row_err->code;
	}
	for (size_t n = 0; wa_segment_point(row, n, &point); n++)
		say("%s ", point.name);
	doubts += row->code != WA_OK;
	say("%s %d %d\n", row->name, (int) row->code, (int) row->joint);
	return WA_OK;
}

/* Everything that is derived from segments one by one. */
static WaCode
op_segments(void)
{
	WaCatalogue catalogue;
	WaMarker	read;
	WaStore    *store;
	WaZstd	   *zstd;
	const WaTimeline *timeline;
	WaWindow   *windows;
	WaTimes		times;
	WaMoment	first;
	WaMoment	last;
	size_t		count;
	WaCode		code = begin(&store, &zstd, &read);

	if (code == WA_OK)
		code = read_catalogue(store, &read, zstd, &catalogue);
	if (code != WA_OK)
		return end(store, zstd, code);
	timeline = wa_catalogue_timeline(&catalogue, 1);
	if (timeline == NULL || timeline->ranges_count == 0)
		code = wa_fail(&err, WA_CHANGED, "all has gone");
	else
		code = wa_segments_each(store, &catalogue, timeline, 0, UINT64_MAX,
								say_row, NULL, &err);
	if (code == WA_OK)
		code = wa_times_read(store, &catalogue, &times, &err);
	if (code == WA_OK)
	{
		for (size_t i = 0; i < times.count; i++)
			say("%" PRIu64 " %" PRId64 "\n", times.segments[i].place.segno,
				times.segments[i].latest_us);
		for (size_t i = 0; i < times.count; i++)
			doubts += !times.segments[i].known;
		wa_times_free(&times);
	}
	if (code == WA_OK)
		code = wa_windows_find(store, &catalogue, &windows, &count, &err);
	if (code == WA_OK)
	{
		for (size_t i = 0; i < count; i++)
		{
			say("window %s %" PRIu32 " %" PRIu64 " %" PRId64 " %" PRId64 "\n",
				windows[i].backup->id, windows[i].tli,
				windows[i].reached.segno, windows[i].earliest.us,
				windows[i].latest.us);
			doubts += !windows[i].earliest.known + !windows[i].latest.known;
		}
		free(windows);
		code = wa_range_times(store, &catalogue, 1, &timeline->ranges[0],
							  &first, &last, &err);
	}
	if (code == WA_OK)
	{
		say("range %" PRId64 " %" PRId64 "\n", first.us, last.us);
		doubts += !first.known + !last.known;
	}
	wa_catalogue_free(&catalogue);
	return end(store, zstd, code);
}

static void
take_finding(void *arg, const WaFinding *finding)
{
	/* a notice or the bad joint of the timelines, or what a fault has done */
	if (finding->severity != WA_SEVERITY_NOTICE)
		doubts++;
	say("%s\n", finding->object);
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

static uint64_t
now_ms(void)
{
	return test_clock_us() / 1000;
}

static WaCode
verify(bool full, uint32_t tli)
{
	WaVerifyOptions verify = {
		.path = archive_path,.full = full,.tli = tli,.workers = 1,.timeout_ms = 60000,
		.now_ms = now_ms,.found = take_finding,.progress = no_progress,
		.stop = never
	};
	WaVerifyProgress progress;
	WaCatalogue catalogue;
	WaMarker	read;
	WaStore    *store;
	WaZstd	   *zstd;
	WaCode		code = begin(&store, &zstd, &read);

	if (code == WA_OK)
		code = read_catalogue(store, &read, zstd, &catalogue);
	if (code == WA_OK)
	{
		code = wa_verify(&verify, &catalogue, &progress, &err);
		wa_catalogue_free(&catalogue);
		say("%" PRIu64 " segments, %" PRIu64 " unpacked\n", progress.segments,
			progress.unpacked);
	}
	return end(store, zstd, code);
}

static WaCode
op_verify(void)
{
	return verify(true, 0);
}

static WaCode
op_verify_quick(void)
{
	return verify(false, 0);
}

static WaCode
op_verify_timeline(void)
{
	return verify(true, 2);
}

static WaCode
op_plan(void)
{
	WaPolicy	policy = {.window_us = DAY_US,.backups = 1};
	WaRetention retention;
	WaMarker	read;
	WaStore    *store;
	WaZstd	   *zstd;
	char		name[WA_GROUP_NAME_BYTES];
	WaCode		code = begin(&store, &zstd, &read);

	if (code == WA_OK)
		code = wa_retention_plan(store, &read, zstd, policy,
								 NOON_US + 100 * DAY_US, &retention, &err);
	if (code == WA_OK)
	{
		if (retention.plan.doubt)
			say("nothing goes\n");
		else
			for (size_t i = 0; i < retention.plan.count; i++)
				say("%s %s\n", wa_group_name(&retention, &retention.plan.groups[i],
											 name),
					retention.plan.groups[i].goes ? "goes" : "stays");
		doubts += retention.plan.doubt;
		wa_retention_free(&retention);
	}
	if (code == WA_OK)
		code = wa_retention_before(store, &read, zstd, 10, NOON_US,
								   &retention, &err);
	if (code == WA_OK)
	{
		for (size_t i = 0; i < retention.plan.count; i++)
			say("%d", retention.plan.groups[i].goes);
		doubts += retention.plan.doubt;
		wa_retention_free(&retention);
	}
	return end(store, zstd, code);
}

/* All before a segment, which nothing holds but a backup that has begun. */
static void
before_nothing_held(void)
{
	fresh();
	must(unlink("archive/pins/p") == 0);
	remove_tree("archive/base/" BACKUP_ID);
	remove_tree("archive/base/000000010000000000000005.00000028");
}

static WaCode
op_plan_before(void)
{
	WaRetention retention;
	WaMarker	read;
	WaStore    *store;
	WaZstd	   *zstd;
	char		name[WA_GROUP_NAME_BYTES];
	WaCode		code = begin(&store, &zstd, &read);

	if (code == WA_OK)
		code = wa_retention_before(store, &read, zstd, 10, NOON_US,
								   &retention, &err);
	if (code == WA_OK)
	{
		for (size_t i = 0; i < retention.plan.count; i++)
			say("%s %d\n", wa_group_name(&retention, &retention.plan.groups[i],
										 name), retention.plan.groups[i].goes);
		say("%s", retention.plan.warning);
		doubts += retention.plan.doubt;
		wa_retention_free(&retention);
	}
	return end(store, zstd, code);
}

static WaCode
resolve(WaStore *store, const WaCatalogue *catalogue, WaPinKind kind,
		const char *value, int64_t at_us, uint64_t keep_from)
{
	WaPin		pin = {.kind = kind,.keep_from = keep_from};
	WaCode		code;

	snprintf(pin.value, sizeof(pin.value), "%s", value);
	code = wa_pin_resolve(store, catalogue, &pin, at_us, &err);
	say("%d: %d %" PRIX64 "\n", kind, code, pin.keep_from);
	return code;
}

static WaCode
op_pins(void)
{
	WaCatalogue catalogue;
	WaMarker	read;
	WaStore    *store;
	WaZstd	   *zstd;
	WaPin	   *pins;
	size_t		count;
	WaCode		code = begin(&store, &zstd, &read);

	if (code == WA_OK)
		code = wa_pins_read(store, &pins, &count, &err);
	if (code == WA_OK)
	{
		say("%zu pins\n", count);
		free(pins);
		code = read_catalogue(store, &read, zstd, &catalogue);
	}
	if (code != WA_OK)
		return end(store, zstd, code);
	code = resolve(store, &catalogue, WA_PIN_LSN, "", 0, 4 * SEG_1MB);
	if (code == WA_OK)
		code = resolve(store, &catalogue, WA_PIN_BACKUP, BACKUP_ID, 0, 0);
	if (code == WA_OK)
		code = resolve(store, &catalogue, WA_PIN_TIME, "t",
					   NOON_US + 4 * DAY_US, 0);
	if (code == WA_OK)
		code = resolve(store, &catalogue, WA_PIN_RESTORE_POINT, "here", 0, 0);
	wa_catalogue_free(&catalogue);
	return end(store, zstd, code);
}

/* A sink whose owner frees it when it is closed: once, whatever fails. */
static int	closes;

static WaCode
take_bytes(WaSink *sink, const void *data, size_t length, WaError *write_err)
{
	say("%.*s", (int) length, (const char *) data);
	return WA_OK;
}

static void
count_close(WaSink *sink)
{
	closes++;
}

static const WaSinkOps counting_ops = {
	.write = take_bytes,
	.finish = wa_sink_forward_finish,
	.close = count_close
};

static WaCode
op_bases(void)
{
	WaSink		counting = {.ops = &counting_ops};
	WaBaseBackup backup = {0};
	WaBases		bases;
	WaMarker	read;
	WaStore    *store;
	WaZstd	   *zstd;
	WaCode		code = begin(&store, &zstd, &read);

	if (code == WA_OK)
		code = wa_bases_read(store, &bases, &err);
	if (code == WA_OK)
	{
		for (size_t i = 0; i < bases.count; i++)
		{
			say("%s %d\n", bases.bases[i].id, (int) bases.bases[i].state);
			doubts += bases.bases[i].state == WA_BASE_UNREADABLE;
		}
		wa_bases_free(&bases);
		code = wa_base_read(store, BACKUP_ID, &backup, &err);
	}
	if (code == WA_OK)
	{
		code = wa_basefile_read(store, &backup,
								wa_base_file(&backup, WA_BASE_MAIN),
								&counting, &err);
		wa_base_free(&backup);
		must(closes == 1);
	}
	return end(store, zstd, code);
}

static WaCode
op_drills(void)
{
	WaDrillsSeen seen;
	WaMarker	read;
	WaStore    *store;
	WaZstd	   *zstd;
	char		text[WA_DRILLS_TEXT_BYTES];
	WaCode		code = begin(&store, &zstd, &read);

	if (code == WA_OK)
		code = wa_drills_look(store, NOON_US, &seen, &err);
	if (code == WA_OK)
	{
		say("%s", wa_drills_text(&seen, text));
		doubts += (int) seen.unreadable;
	}
	return end(store, zstd, code);
}

static WaCode
op_probe(void)
{
	WaProbe		probe;

	wa_probe(archive_path, SYSID, SEG_1MB, NOON_US, NULL, &probe);
	say("%d %d %d %d %d", probe.reachable, probe.marked, probe.ours,
		probe.writable, (int) probe.drills.count);
	doubts += !probe.free_bytes_known + (probe.drills.count == 0) +
		(int) probe.drills.unreadable;
	if (!probe.reachable || !probe.marked || !probe.ours || !probe.writable)
	{
		err = probe.error;
		return err.code;
	}
	return WA_OK;
}

static bool
go_on(void *arg, uint64_t segments)
{
	return true;
}

static WaCode
op_xid(void)
{
	WaCatalogue catalogue;
	WaLineage	lineage;
	WaXidFound	found;
	WaMarker	read;
	WaStore    *store;
	WaZstd	   *zstd;
	WaCode		code = begin(&store, &zstd, &read);

	if (code == WA_OK)
		code = read_catalogue(store, &read, zstd, &catalogue);
	if (code != WA_OK)
		return end(store, zstd, code);
	if (wa_catalogue_timeline(&catalogue, 2) == NULL)
		code = wa_fail(&err, WA_CHANGED, "the timeline has gone");
	else if (wa_lineage_of(&catalogue, wa_catalogue_timeline(&catalogue, 2),
						   &lineage))
	{
		code = wa_xid_find(store, &catalogue, &lineage, (WaPlace) {2, 7},
						   (WaPlace) {1, 3}, 77, go_on, NULL, &found, &err);
		wa_lineage_free(&lineage);
	}
	else
		code = wa_fail(&err, WA_NO_MEMORY, "out of memory");
	wa_catalogue_free(&catalogue);
	return end(store, zstd, code);
}

static WaCode
op_gaps(void)
{
	WaCatalogue catalogue;
	WaGap	   *gaps;
	size_t		count;
	WaMarker	read;
	WaStore    *store;
	WaZstd	   *zstd;
	WaCode		code = begin(&store, &zstd, &read);

	if (code == WA_OK)
		code = read_catalogue(store, &read, zstd, &catalogue);
	if (code != WA_OK)
		return end(store, zstd, code);
	if (wa_gaps_find(&catalogue, &gaps, &count))
	{
		say("%zu gaps", count);
		free(gaps);
	}
	else
		code = wa_fail(&err, WA_NO_MEMORY, "out of memory");
	wa_catalogue_free(&catalogue);
	return end(store, zstd, code);
}

/* ---- fetching ---- */

static const char *const also[] = {"also"};

/* The server knows of no timeline but the first. */
static void
before_hole(void)
{
	fresh_server();
	must(unlink("pg_wal/00000002.history") == 0);
}

/* By a server in recovery, or standby, as far as it says so. */
static WaCode
fetch(const char *file, bool server, bool standby, bool with_also)
{
	WaFetchConfig config = {
		.archive = archive_path,.mode = 0600,.known_file = "walarch.known",
		.control = &control,.store = options
	};
	WaZstd	   *zstd = wa_zstd_open();
	WaTrailStep step = {0};
	struct stat st;
	WaCode		code;

	if (server)
	{
		config.pg_wal = "pg_wal";
		config.trail_file = "pg_stat_tmp/walarch.trail";
		config.step = &step;
	}
	config.standby = standby;
	config.also.directories = also;
	config.also.count = with_also ? 1 : 0;
	(void) unlink("delivered");
	if (zstd == NULL)
		code = wa_fail(&err, WA_NO_MEMORY, "out of memory");
	else
		code = wa_fetch(&config, zstd, file, "delivered", &err);
	wa_zstd_close(zstd);
	say("%s %d ", file, code == WA_OK && stat("delivered", &st) == 0 ?
		(int) st.st_size : -1);
	return code;
}

static WaCode
op_fetch_segment(void)
{
	return fetch("000000010000000000000003", true, false, false);
}

static WaCode
op_fetch_history(void)
{
	return fetch("00000002.history", true, true, false);
}

static WaCode
op_fetch_hole(void)
{
	return fetch("000000010000000000000008", true, false, false);
}

static WaCode
op_fetch_end(void)
{
	return fetch("000000020000000000000008", true, false, false);
}

static WaCode
op_fetch_parent(void)
{
	return fetch("000000010000000000000006", true, false, false);
}

/* A standby that could not look up a history. */
static WaCode
op_fetch_unresolved(void)
{
	WaTrail		trail = {.unresolved_tli = 3};

	wa_trail_write("pg_stat_tmp/walarch.trail", &trail, 0600);
	return fetch("000000020000000000000006", true, true, true);
}

static WaCode
op_fetch_also(void)
{
	WaCode		code = fetch("0000000100000000000000AA", false, false, true);

	if (code == WA_OK)
		code = fetch("0000000100000000000000AB", false, false, true);
	if (code == WA_OK)
		code = fetch("0000000100000000000000AC", false, false, true);
	if (code == WA_OK)
		code = fetch("0000000100000000000000AD", false, false, true);
	if (code == WA_OK)
		code = fetch("00000005.history", false, false, true);
	if (code == WA_OK)
		code = fetch("00000006.history", false, false, true);
	return code;
}

static WaCode
op_fetch_middle(void)
{
	return fetch("00000001000000000000000F", true, false, false);
}

static WaCode
op_fetch_last(void)
{
	return fetch("000000010000000000000010", true, false, false);
}

static WaCode
op_fetch_nothing(void)
{
	return fetch("0000000100000000FFFFFFFF", true, false, false);
}

/* A copy of the server's own is no hole. */
static void
before_own(void)
{
	unsigned char *own;
	size_t		length;

	before_hole();
	own = read_file("own", &length);
	write_file("pg_wal/000000010000000000000008", own, length);
	free(own);
}

static WaCode
op_fetch_own(void)
{
	WaCode		code = fetch("000000010000000000000008", true, false, false);

	/* who could not read it may take it for missing */
	doubts += code == WA_HOLE;
	return code;
}

/* A timeline with a damaged history proves nothing. */
static void
before_damaged_history(void)
{
	fresh();
	must(unlink("pg_wal/00000002.history") == 0);
	must(unlink(WAL "000000010000000000000009.zst") == 0);
	write_file("archive/wal/00000002.history.zst", "x", 1);
}

/* The first file of the archive has not come. */
static void
before_first_file(void)
{
	fresh_server();
	remove_tree("archive");
	must(mkdir("archive", 0700) == 0);
}

static WaCode
op_fetch_before(void)
{
	WaTrail		trail = {.unresolved_tli = 3};

	wa_trail_write("pg_stat_tmp/walarch.trail", &trail, 0600);
	return fetch("0000000100000000000000AA", true, true, true);
}

/* ---- operations that write ---- */

static WaCode
push_it(const char *name)
{
	WaArchiveConfig config;
	WaBench    *bench = wa_bench_open();
	WaArchive  *archive;
	WaPushResult result;
	WaCode		code;

	archive_config(&config, archive_path, SEG_1MB);
	archive = wa_archive_open(&config);
	if (archive == NULL || bench == NULL)
		code = wa_fail(&err, WA_NO_MEMORY, "out of memory");
	else
		code = wa_push(archive, bench, NULL, 1, name, "source", NOON_US,
					   &result, &err);
	wa_archive_close(archive);
	wa_bench_close(bench);
	return code;
}

static WaCode
op_push(void)
{
	return push_it("000000010000000000000014");
}

static void
before_push(void)
{
	fresh();
	write_file("source", segment, SEG_1MB);
}

/* The first records of what is pushed are there, or all of them and more. */
static void
before_push_longer(void)
{
	fresh();
	push("000000010000000000000014", segment, SEG_1MB);
	write_file("source", longer, SEG_1MB);
}

static void
before_push_shorter(void)
{
	fresh();
	push("000000010000000000000014", longer, SEG_1MB);
	write_file("source", segment, SEG_1MB);
}

static void
before_push_damaged(void)
{
	fresh();
	push("000000010000000000000014", segment, SEG_1MB);
	must(truncate(WAL "000000010000000000000014.zst", 100) == 0);
	write_file("source", segment, SEG_1MB);
}

/* They hold the same first records, but the envelope does not say so. */
static void
before_push_unscanned(void)
{
	fresh();
	push("000000010000000000000014", segment, SEG_1MB);
	forge("wal/0000000100000000/000000010000000000000014.zst", false);
	write_file("source", longer, SEG_1MB);
}

/* The object of another cluster lies under the key. */
static void
before_push_other(void)
{
	WaArchiveConfig config;
	WaBench    *bench = wa_bench_open();
	WaArchive  *archive;
	WaPushResult result;
	unsigned char *object;
	size_t		length;

	fresh();
	archive_config(&config, path_in_scratch("other"), SEG_1MB);
	config.system_identifier++;
	must(mkdir("other", 0700) == 0);
	archive = wa_archive_open(&config);
	must(archive != NULL && bench != NULL);
	write_file("source", segment, SEG_1MB);
	wa_put64(segment + WA_WALHEADER_SYSID, SYSID + 1);
	write_file("source", segment, SEG_1MB);
	wa_put64(segment + WA_WALHEADER_SYSID, SYSID);
	must(wa_push(archive, bench, NULL, 1, "000000010000000000000014", "source",
				 NOON_US, &result, &err) == WA_OK);
	wa_archive_close(archive);
	wa_bench_close(bench);
	object = read_file("other/wal/0000000100000000/"
					   "000000010000000000000014.zst", &length);
	write_file(WAL "000000010000000000000014.zst", object, length);
	free(object);
	remove_tree("other");
	fresh_server();
	write_file("source", segment, SEG_1MB);
}

/*
 * A segment that is too large to be held in memory, in an archive of its own;
 * the same records, or fewer, are there.
 */
static WaCode
push_large(void)
{
	WaArchiveConfig config;
	WaBench    *bench = wa_bench_open();
	WaArchive  *archive;
	WaPushResult result;
	WaCode		code;

	archive_config(&config, path_in_scratch("large"), LARGE_BYTES);
	archive = wa_archive_open(&config);
	if (archive == NULL || bench == NULL)
		code = wa_fail(&err, WA_NO_MEMORY, "out of memory");
	else
		code = wa_push(archive, bench, NULL, 1, LARGE_NAME, "source", NOON_US,
					   &result, &err);
	wa_archive_close(archive);
	wa_bench_close(bench);
	return code;
}

/* As a sparse file, of which the first page is written. */
static void
write_large(const unsigned char *page)
{
	write_file("source", page, 8192);
	must(truncate("source", LARGE_BYTES) == 0);
}

static void
before_large(void)
{
	remove_tree("large");
	(void) unlink("walarch.known");
	must(mkdir("large", 0700) == 0);
	write_large(large[0]);
}

static void
before_larger(void)
{
	before_large();
	must(push_large() == WA_OK);
	write_large(large[1]);
}

static WaCode
op_push_partial(void)
{
	return push_it("000000010000000000000006.partial");
}

static WaCode
op_push_history(void)
{
	return push_it("00000003.history");
}

static void
before_push_partial(void)
{
	static unsigned char other[SEG_1MB];

	fresh();
	make_segment(other, SEG_1MB, "000000010000000000000006", SYSID, 7);
	write_file("source", other, SEG_1MB);
}

static void
before_push_history(void)
{
	fresh();
	write_file("source", HISTORY, strlen(HISTORY));
}

static WaCode
op_pin(void)
{
	WaPin		pin = {
		.name = "q",.kind = WA_PIN_LSN,.value = "0/500000",
		.keep_from = 5 * SEG_1MB,.created_us = NOON_US,.by = "me"
	};
	WaMarker	read;
	WaStore    *store;
	WaZstd	   *zstd;
	WaCode		code = begin(&store, &zstd, &read);

	if (code == WA_OK)
		code = wa_retention_lock(store, &err);
	if (code == WA_OK)
		code = wa_pin_put(store, &pin, &err);
	/* that of a try of which the end could not be made durable */
	if (code == WA_EXISTS && strstr(err.message, "there is a pin") != NULL)
		code = WA_OK;
	say("%d", access("archive/pins/q", F_OK) == 0);
	return end(store, zstd, code);
}

static WaCode
op_unpin(void)
{
	WaMarker	read;
	WaStore    *store;
	WaZstd	   *zstd;
	WaCode		code = begin(&store, &zstd, &read);

	if (code == WA_OK)
		code = wa_pin_remove(store, "p", &err);
	if (code == WA_NOT_FOUND && access("archive/pins/p", F_OK) != 0)
		code = WA_OK;
	say("%d", access("archive/pins/p", F_OK) == 0);
	return end(store, zstd, code);
}

/* The first pin of an archive makes what pins lie in. */
static void
before_first(void)
{
	fresh();
	remove_tree("archive/pins");
	must(unlink("archive/prune.lock") == 0);
	remove_tree("archive/base");
	must(unlink("archive/base.lock") == 0);
}

static WaCode
op_backup(void)
{
	WaBaseBackup backup = new_backup(6);
	WaMarker	read;
	WaStore    *store;
	WaZstd	   *zstd;
	uint32_t	swept;
	WaCode		code = begin(&store, &zstd, &read);

	if (code == WA_OK)
		code = wa_bases_lock(store, &read, &err);
	if (code == WA_OK)
		code = wa_bases_sweep(store, &swept, &err);
	if (code == WA_OK)
		code = wa_base_begin(store, SEG_1MB, &backup, &err);
	for (size_t i = 0; i < 2 && code == WA_OK; i++)
	{
		char		key[WA_KEY_BYTES];

		wa_layout_base_key(backup.id, base_files[i].name, key);
		code = wa_store_put(store, key, base_frame, base_frame_bytes, &err);
	}
	if (code == WA_OK)
	{
		end_backup(&backup);
		code = wa_base_advertise(store, &backup, &err);
	}
	if (code == WA_OK)
		say("%d", access(path_in_scratch("archive/base/%s/backup", backup.id),
						 F_OK) == 0);
	say("%d", access("archive/base/" LEFT_ID, F_OK) == 0);
	return end(store, zstd, code);
}

static WaCode
op_delete_backup(void)
{
	WaMarker	read;
	WaStore    *store;
	WaZstd	   *zstd;
	WaCode		code = begin(&store, &zstd, &read);

	if (code == WA_OK)
		code = wa_base_withdraw(store, BACKUP_ID, &err);
	if (code == WA_OK)
		code = wa_base_remove(store, BACKUP_ID, NULL, NULL, &err);
	say("%d", access("archive/base/" BACKUP_ID, F_OK) == 0);
	return end(store, zstd, code);
}

static bool
prune_on(void *arg, const WaPruned *pruned)
{
	return true;
}

/* All of it goes, with the directories. */
static void
before_empty(void)
{
	fresh();
	must(unlink("archive/pins/p") == 0);
	remove_tree("archive/base");
	must(unlink("archive/base.lock") == 0);
}

static WaCode
prune(WaPolicy policy, uint64_t before)
{
	WaRetention retention;
	WaPruned	pruned;
	WaMarker	read;
	WaStore    *store;
	WaZstd	   *zstd;
	WaCode		code = begin(&store, &zstd, &read);

	if (code == WA_OK)
		code = wa_retention_lock(store, &err);
	if (code == WA_OK)
		code = before == 0 ?
			wa_retention_plan(store, &read, zstd, policy,
							  NOON_US + 100 * DAY_US, &retention, &err) :
			wa_retention_before(store, &read, zstd, before, NOON_US,
								&retention, &err);
	if (code == WA_OK)
	{
		doubts += retention.plan.doubt;
		code = wa_retention_prune(store, archive_path, &retention, prune_on,
								  NULL, &pruned, &err);
		wa_retention_free(&retention);
	}
	say("%d%d", access(WAL "000000010000000000000002.zst", F_OK) == 0,
		access(WAL "000000010000000000000007.zst", F_OK) == 0);
	return end(store, zstd, code);
}

static WaCode
op_prune(void)
{
	return prune((WaPolicy) {.window_us = DAY_US}, 0);
}

static WaCode
op_prune_all(void)
{
	return prune((WaPolicy) {0}, 10);
}

/* Nothing is pinned, and all but the last backup goes. */
static void
before_prune(void)
{
	fresh();
	must(unlink("archive/pins/p") == 0);
}

static WaCode
op_init(void)
{
	WaIdentity	identity = {
		.path = archive_path,.system_identifier = SYSID,
		.segment_bytes = SEG_1MB,.known_file = "walarch.known",
		.known_mode = 0600,
		.new_archive_id = "0123456789abcdef0123456789abcdef"
	};
	WaAttached	attached;
	WaMarker	read;
	WaStore    *store = NULL;
	bool		empty;
	WaCode		code = wa_store_dir_open(archive_path, &options, &store, &err);

	if (code == WA_OK)
		code = wa_identity_empty(store, &empty, &err);
	if (code == WA_OK)
		code = wa_identity_attach(store, &identity, &attached, &err);
	if (code == WA_OK)
	{
		code = wa_identity_init(store, &identity, &read, &err);
		if (code == WA_EXISTS)
			code = WA_OK;		/* of this very cluster */
	}
	say("%d", access("archive/archive.id", F_OK) == 0);
	wa_store_close(store);
	return code;
}

static WaCode
op_init_only(void)
{
	static const char *const tokens[] = {"00000000000000bb"};
	WaIdentity	identity = {
		.path = archive_path,.system_identifier = SYSID,
		.segment_bytes = SEG_1MB,.known_file = "walarch.known",
		.known_mode = 0600,
		.new_archive_id = "0123456789abcdef0123456789abcdef",
		.last_tokens = tokens,.last_tokens_count = 1,.own_token = TOKEN
	};
	WaAttached	attached;
	WaMarker	read;
	WaStore    *store = NULL;
	WaCode		code = wa_store_dir_open(archive_path, &options, &store, &err);

	if (code == WA_OK)
		code = wa_identity_init(store, &identity, &read, &err);
	if (code == WA_EXISTS)
		code = WA_OK;			/* of this very cluster */
	if (code == WA_OK)
		code = wa_identity_attach(store, &identity, &attached, &err);
	say("%d", access("archive/archive.id", F_OK) == 0);
	wa_store_close(store);
	return code;
}

static WaCode
op_attach(void)
{
	static const char *const tokens[] = {"00000000000000bb"};
	WaIdentity	identity = {
		.path = archive_path,.system_identifier = SYSID,
		.segment_bytes = SEG_1MB,.known_file = "walarch.known",
		.known_mode = 0600,
		.new_archive_id = "0123456789abcdef0123456789abcdef",
		.last_tokens = tokens,.last_tokens_count = 1,.own_token = TOKEN
	};
	WaAttached	attached;
	WaStore    *store = NULL;
	WaCode		code = wa_store_dir_open(archive_path, &options, &store, &err);

	if (code == WA_OK)
		code = wa_identity_attach(store, &identity, &attached, &err);
	say("%d", access("archive/archive.id", F_OK) == 0);
	wa_store_close(store);
	return code;
}

static void
before_init(void)
{
	fresh();
	remove_tree("archive");
	must(mkdir("archive", 0700) == 0);
}

/* With what an earlier process of this server has left. */
static void
before_attach(void)
{
	before_init();
	must(mkdir("archive/tmp", 0700) == 0 &&
		 mkdir("archive/tmp/00000000000000bb-9", 0700) == 0);
	write_file("archive/tmp/00000000000000bb-1", "x", 1);
	must(rmdir("archive/tmp/00000000000000bb-9") == 0);
}

/* ---- each of them, with each call failing ---- */

typedef struct Operation
{
	const char *name;
	WaCode		(*run) (void);
	void		(*before) (void);	/* NULL: nothing is changed */
	WaCode		expected;
	int			flags;
} Operation;

#define HARMLESS	1			/* with failures that are none, too */
#define ONCE		2			/* changes nothing of what was before */
#define LARGE		4			/* of the many calls, some fail */
#define FOUND		8			/* a failure is one more finding */

static const Operation operations[] = {
	{"the catalogue", op_catalogue, NULL, WA_OK, HARMLESS},
	{"the catalogue of a damaged archive", op_catalogue, before_damage, WA_OK, ONCE},
	{"the catalogue of segments alone", op_catalogue, before_plain, WA_OK, ONCE},
	{"verify a damaged archive", op_verify, before_damage, WA_OK, ONCE},
	{"plans for a damaged archive", op_plan, before_damage, WA_OK, ONCE},
	{"segments of which nothing is known", op_segments, before_unscanned, WA_OK, ONCE},
	{"verify such segments", op_verify, before_unscanned, WA_OK, ONCE},
	{"plans without a parent's history", op_plan, before_orphan, WA_OK, ONCE},
	{"plans with contradicting histories", op_plan, before_contradiction, WA_OK, ONCE},
	{"segments, times and windows", op_segments, NULL, WA_OK, HARMLESS},
	{"verify", op_verify, NULL, WA_OK, HARMLESS},
	{"verify an early end before a fork", op_verify, before_early_fork, WA_OK, ONCE | FOUND},
	{"verify such segments quickly", op_verify_quick, before_unscanned, WA_OK, ONCE},
	{"verify one timeline", op_verify_timeline, NULL, WA_OK, 0},
	{"verify bad WAL", op_verify, before_bad_wal, WA_OK, ONCE | FOUND},
	{"fetch what ends early in the middle", op_fetch_middle, before_bad_wal, WA_HOLE, ONCE},
	{"fetch what ends early at the end", op_fetch_last, before_bad_wal, WA_OK, ONCE},
	{"plans for all before a segment", op_plan_before, before_nothing_held, WA_OK, ONCE},
	{"plans", op_plan, NULL, WA_OK, HARMLESS},
	{"pins", op_pins, NULL, WA_OK, HARMLESS},
	{"gaps", op_gaps, NULL, WA_OK, 0},
	{"backups", op_bases, NULL, WA_OK, HARMLESS},
	{"drills", op_drills, NULL, WA_OK, HARMLESS},
	{"a probe", op_probe, NULL, WA_OK, HARMLESS},
	{"a transaction", op_xid, NULL, WA_NOT_FOUND, 0},
	{"fetch a segment", op_fetch_segment, fresh_server, WA_OK, HARMLESS},
	{"fetch a history", op_fetch_history, fresh_server, WA_OK, 0},
	{"fetch what is missing", op_fetch_hole, before_hole, WA_HOLE, HARMLESS},
	{"fetch behind the end", op_fetch_end, fresh_server, WA_NOT_FOUND, 0},
	{"fetch what only the server has", op_fetch_own, before_own, WA_NOT_FOUND, 0},
	{"fetch with a damaged history", op_fetch_hole, before_damaged_history, WA_NOT_FOUND, 0},
	{"fetch before the first file", op_fetch_before, before_first_file, WA_OK, 0},
	{"fetch what cannot be", op_fetch_nothing, fresh_server, WA_INVALID, 0},
	{"fetch a parent's segment", op_fetch_parent, fresh_server, WA_REFUSED, 0},
	{"fetch, a history unresolved", op_fetch_unresolved, fresh_server, WA_OK, 0},
	{"fetch others' files", op_fetch_also, fresh_server, WA_OK, HARMLESS},
	{"push", op_push, before_push, WA_OK, HARMLESS},
	{"push, there is less", op_push, before_push_longer, WA_OK, 0},
	{"push, there is more", op_push, before_push_shorter, WA_OK, 0},
	{"push, there is a damaged one", op_push, before_push_damaged, WA_OK, 0},
	{"push, nothing is known of what is there", op_push, before_push_unscanned, WA_OK, 0},
	{"push, another cluster's is there", op_push, before_push_other, WA_CONFLICT, 0},
	{"push a large segment", push_large, before_large, WA_OK, LARGE},
	{"push a large segment, there is less", push_large, before_larger, WA_OK, LARGE},
	{"push a second .partial", op_push_partial, before_push_partial, WA_OK, 0},
	{"push a history", op_push_history, before_push_history, WA_OK, 0},
	{"pin", op_pin, fresh, WA_OK, 0},
	{"the first pin", op_pin, before_first, WA_OK, 0},
	{"unpin", op_unpin, fresh, WA_OK, 0},
	{"a backup", op_backup, fresh, WA_OK, 0},
	{"the first backup", op_backup, before_first, WA_OK, 0},
	{"delete a backup", op_delete_backup, fresh, WA_OK, 0},
	{"prune", op_prune, before_prune, WA_OK, 0},
	{"prune all", op_prune_all, before_empty, WA_OK, 0},
	{"a new archive", op_init, before_init, WA_OK, 0},
	{"a new archive by command", op_init_only, before_init, WA_OK, 0},
	{"a new archive, once more", op_attach, before_attach, WA_OK, 0},
};

static WaCode
run(const Operation *operation)
{
	answer[0] = '\0';
	doubts = 0;
	closes = 0;
	memset(&err, 0, sizeof(err));
	return operation->run();
}

/* The n-th call of a kind fails, or none; false: there was no n-th. */
static bool
run_failing(const Operation *operation, const FaultKind *kind, int n,
			WaCode *code)
{
	bool		fired;

	if (kind == NULL)
		memory_begin(n);
	else
		fault_begin(n, kind->fail_with);
	*code = run(operation);
	fired = kind == NULL ? memory_end() : fault.fired;
	fault_end();
	return fired;
}

/* The kinds of failure; the last two may lawfully change what is answered. */
static const FaultKind io = {"EIO", EIO};
static const FaultKind again = {"EINTR", EINTR};
static const FaultKind shrunk = {"the end of a file", FAULT_END};
static const FaultKind gone = {"ENOENT", ENOENT};

static void
sweep(const Operation *operation, const FaultKind *kind)
{
	const char *what = kind == NULL ? "no memory" : kind->name;
	char		expected[sizeof(answer)];
	int			expected_doubts;
	int			live;
	int			n = 0;
	int			lied = 0;
	int			silent = 0;
	int			leaked = 0;
	int			unhealed = 0;
	bool		fired = true;

	fresh();
	if (operation->before != NULL)
		operation->before();
	is_code(run(operation), operation->expected, &err, "%s, %s", operation->name,
			what);
	memcpy(expected, answer, sizeof(expected));
	expected_doubts = doubts;
	live = memory_live(0x7fffffff);
	while (fired && n < CALLS_MAX)
	{
		WaCode		code;
		bool		same;

		if (operation->before != NULL && (operation->flags & ONCE) == 0)
			operation->before();
		n += (operation->flags & LARGE) != 0 && n > 40 ? n / 10 : 1;
		fired = run_failing(operation, kind, n, &code);
		same = strcmp(answer, expected) == 0;
		if ((code == WA_OK || code == WA_NOT_FOUND) && doubts <= expected_doubts
			&& (code != operation->expected || !same) && kind != &gone &&
			kind != &shrunk && (operation->flags & FOUND) == 0 && lied++ == 0)
			diag("call %d (%s): \"%s\", %s instead of %s", n,
				 fault.failed_call, wa_code_name(code), answer, expected);
		if (code != WA_OK && (err.message[0] == '\0' || err.code != code) &&
			silent++ == 0)
			diag("call %d (%s): \"%s\" without a message", n, fault.failed_call,
				 wa_code_name(code));
		if (memory_live(live) > live && leaked++ == 0)
			diag("call %d (%s): %d blocks more", n, fault.failed_call,
				 memory_live(live) - live);

		/* and once more, with nothing in the way */
		code = run(operation);
		if ((code != operation->expected || strcmp(answer, expected) != 0) &&
			unhealed++ == 0)
			diag("after call %d (%s): \"%s\" (%s), %s instead of %s", n,
				 fault.failed_call, wa_code_name(code), err.message, answer,
				 expected);
	}
	ok(n > 2 && n < CALLS_MAX, "%s, %s: %d calls", operation->name, what, n - 1);
	is_int(lied, 0, "%s, %s: no lie", operation->name, what);
	is_int(silent, 0, "%s, %s: errors have a message", operation->name, what);
	is_int(leaked, 0, "%s, %s: no leak", operation->name, what);
	is_int(unhealed, 0, "%s, %s: the next try succeeds", operation->name, what);
}

int
main(int argc, char **argv)
{
	/* some 60,000 files are made, each for a moment */
	if (access("/dev/shm", W_OK) == 0)
		must(setenv("TMPDIR", "/dev/shm", 1) == 0);
	scratch();
	fault.closes = true;
	store_options(&options);
	make_archive();
	for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++)
	{
		if (argc > 1 && strcmp(argv[1], operations[i].name) != 0)
			continue;
		sweep(&operations[i], &io);
		sweep(&operations[i], NULL);
		if ((operations[i].flags & HARMLESS) == 0)
			continue;
		sweep(&operations[i], &again);
		sweep(&operations[i], &shrunk);
		sweep(&operations[i], &gone);
	}
	return done_testing();
}
