/*
 * retention.c
 *	  Pins are written, read and refused; a plan is carried out in the order
 *	  that leaves no hole, and not at all in what is another archive by then.
 */
#include "archive/retention.h"

#include <sys/stat.h>
#include <unistd.h>

#include "archive/bases.h"
#include "archive/identity.h"
#include "archive/pins.h"
#include "faults.h"
#include "fixture.h"
#include "tap.h"
#include "walwriter.h"

#define SEGMENTS	8
#define NOON_US		INT64_C(1790000000000000)
#define DAY_US		(INT64_C(86400) * 1000000)

static WaArchive *archive;
static WaBench *bench;
static WaStore *store;
static WaZstd *zstd;
static WaMarker marker;
static WaRetention retention;
static WaPruned pruned;
static WaError err;

static const char *
in_archive(const char *key)
{
	return path_in_scratch("archive/%s", key);
}

static bool
there(const char *key)
{
	return access(in_archive(key), F_OK) == 0;
}

static const char *
segment_key(int n)
{
	static char keys[4][WA_KEY_BYTES];
	static int	turn;

	snprintf(keys[++turn % 4], WA_KEY_BYTES,
			 "wal/0000000100000000/0000000100000000%08X.zst", (unsigned) n);
	return keys[turn % 4];
}

static void
push(const char *name, const void *bytes, size_t length)
{
	WaPushResult result;

	write_file("source", bytes, length);
	must(wa_push(archive, bench, NULL, 1, name, "source", NOON_US, &result,
				 &err) == WA_OK);
}

static void
push_backup(int segno)
{
	char		name[WA_WALNAME_BYTES];
	char		text[512];
	size_t		length = backup_history((unsigned) segno, "UTC", name,
										text, sizeof(text));

	push(name, text, length);
}

static void
open_store(void)
{
	WaStoreOptions options;

	wa_store_close(store);
	store_options(&options);
	must(wa_store_dir_open(path_in_scratch("archive"), &options, &store,
						   &err) == WA_OK);
	must(wa_identity_read(store, "archive", &marker, &err) == WA_OK);
}

/*
 * Segments 2 to 9, a commit a day in each, backups in 3 and 6.  One of them may
 * be damaged before it is archived, another be of another history (0: none).
 */
static void
fresh_with(int damaged, int astray)
{
	WaArchiveConfig config;
	WalWriter	wal;
	WalWriter	other;

	wa_archive_close(archive);
	remove_tree(path_in_scratch("archive"));
	(void) unlink("walarch.known");
	must(mkdir(path_in_scratch("archive"), 0700) == 0);
	archive_config(&config, path_in_scratch("archive"), SEG_1MB);
	archive = wa_archive_open(&config);
	must(archive != NULL);
	wal_open(&wal, SEG_1MB, 2);
	wal_open(&other, SEG_1MB, 2);
	for (int i = 0; i < SEGMENTS; i++)
	{
		wal_commit(&wal, NOON_US + i * DAY_US);
		wal_switch(&wal);
		wal_filler(&other, 100);
		wal_commit(&other, NOON_US + i * DAY_US);
		wal_switch(&other);
	}
	if (damaged != 0)
		wal_segment(&wal, damaged - 2)[70] ^= 1;
	for (int i = 0; i < SEGMENTS; i++)
		push(wal_name(&wal, i),
			 wal_segment(i + 2 == astray ? &other : &wal, i), SEG_1MB);
	push_backup(3);
	push_backup(6);
	wal_close(&other);
	wal_close(&wal);
	open_store();
}

static void
fresh(void)
{
	fresh_with(0, 0);
}

static WaCode
plan(int days)
{
	WaPolicy	policy = {.window_us = days * DAY_US};

	wa_retention_free(&retention);
	return wa_retention_plan(store, &marker, zstd, policy,
							 NOON_US + 100 * DAY_US, &retention, &err);
}

/* Called after each deletion. */
static int	allowed;

static bool
go_on(void *arg, const WaPruned *so_far)
{
	return --allowed > 0;
}

static WaCode
prune(int most)
{
	allowed = most;
	return wa_retention_prune(store, "archive", &retention, go_on, NULL,
							  &pruned, &err);
}

static void
test_prune(void)
{
	fresh();
	is_code(plan(2), WA_OK, &err, "a plan of two days");
	is_code(prune(100), WA_OK, &err, "is carried out");
	is_int(pruned.objects, 5, "four segments and a backup");
	ok(pruned.bytes > 0, "so many bytes: %d", (int) pruned.bytes);
	ok(!there(segment_key(5)) && there(segment_key(6)), "up to the backup");
	ok(!there("wal/0000000100000000/000000010000000000000003.00000028.backup.zst"),
	   "its history, too");
	is_code(prune(100), WA_OK, &err, "once more");
	is_int(pruned.objects, 0, "there is nothing more");

	/* told to end */
	for (int most = 1; most <= 4; most++)
	{
		fresh();
		must(plan(2) == WA_OK);
		is_code(prune(most), WA_CANCELLED, &err, "ended after %d", most);
		is_int(pruned.objects, most, "so many");
		ok(!there("wal/0000000100000000/000000010000000000000003.00000028.backup.zst"),
		   "the backup is the first to go");
		for (int n = 2; n <= 6; n++)
			ok(there(segment_key(n)) == (n >= 2 + most - 1),
			   "segment %d, from the oldest on", n);
	}

	/* somebody else was faster */
	fresh();
	must(plan(2) == WA_OK);
	must(unlink(in_archive(segment_key(3))) == 0);
	is_code(prune(100), WA_OK, &err, "one that has gone meanwhile");
	is_int(pruned.objects, 4, "does not count");
}

/* What no recovery can pass is known from what is stored with it. */
static void
test_obstacles(void)
{
	fresh_with(6, 0);
	must(plan(2) == WA_OK);
	ok(retention.plan.doubt, "a damaged segment that the newest backup needs");
	has_str(retention.plan.doubt_reason, "WAL that it needs is damaged, "
			"or ends early: 000000010000000000000006", "is a doubt");
	fresh_with(8, 0);
	must(plan(2) == WA_OK);
	must(prune(100) == WA_OK);
	ok(!there(segment_key(2)) && there(segment_key(3)), "behind a damaged one "
	   "nothing is recoverable: the window begins before the older backup");
	fresh_with(0, 8);
	must(plan(2) == WA_OK);
	must(prune(100) == WA_OK);
	ok(!there(segment_key(2)) && there(segment_key(3)), "nor behind one of "
	   "another history");
}

/* What deletions left goes with the rest, whatever their number. */
static void
test_left(void)
{
	static const char *const ids[] = {
		"000000010000000000000003.00000028", "000000010000000000000004.00000028",
		"000000010000000000000005.00000028"
	};
	char		key[WA_KEY_BYTES];

	fresh();
	must(wa_bases_lock(store, &marker, &err) == WA_OK);
	open_store();
	for (int i = 0; i < 3; i++)
	{
		snprintf(key, sizeof(key), "base/%s", ids[i]);
		must(mkdir(in_archive(key), 0700) == 0);
		snprintf(key, sizeof(key), "base/%s/withdrawn", ids[i]);
		write_file(in_archive(key), "x", 1);
	}
	must(plan(0) == WA_OK);
	is_code(wa_retention_lock(store, &err), WA_OK, &err, "the lock of a prune");
	is_code(prune(100), WA_OK, &err, "removes what three deletions left");
	is_int(pruned.objects, 3, "all");
	for (int i = 0; i < 3; i++)
	{
		snprintf(key, sizeof(key), "base/%s", ids[i]);
		ok(!there(key), "%s has gone", ids[i]);
	}

	/* a plan may be old: by its turn another backup has begun there */
	snprintf(key, sizeof(key), "base/%s", ids[0]);
	must(mkdir(in_archive(key), 0700) == 0);
	must(plan(0) == WA_OK);
	snprintf(key, sizeof(key), "base/%s/begun", ids[0]);
	write_file(in_archive(key), "x", 1);
	is_code(prune(100), WA_OK, &err, "what has become something else");
	is_int(pruned.objects, 0, "is left alone");
	ok(there(key), "as it is");
}

static void
test_other_archive(void)
{
	static const char other[] =
		"walarch-archive: 1\nsystem-identifier: 7234567890123456789\n"
		"archive-id: 00000000000000000000000000000000\nsegment-size: 1048576\n";

	fresh();
	must(plan(2) == WA_OK);
	must(rename(in_archive("archive.id"), in_archive("hidden")) == 0);
	is_code(prune(100), WA_NO_MARKER, &err, "the marker has gone meanwhile");
	write_file(in_archive("archive.id"), other, sizeof(other) - 1);
	is_code(prune(100), WA_CHANGED, &err, "it is another archive's meanwhile");
	has_str(err.message, "has become another archive", "says so");
	is_int(pruned.objects, 0, "nothing was deleted");
	ok(there(segment_key(2)), "nothing at all");
}

static void
test_lock(void)
{
	WaStore    *first;
	struct stat st;

	fresh();
	is_code(wa_retention_lock(store, &err), WA_OK, &err, "a lock");
	first = store;
	store = NULL;
	open_store();
	is_code(wa_retention_lock(store, &err), WA_EXISTS, &err, "is had once");
	has_str(err.message, "another process prunes or pins", "says so");
	wa_store_close(first);
	is_code(wa_retention_lock(store, &err), WA_OK, &err,
			"until it is let go of");
	must(stat(in_archive("prune.lock"), &st) == 0);
	is_int(st.st_mode & 0777, 0600, "its mode");

	fresh();
	must(symlink("nowhere", in_archive("prune.lock")) == 0);
	is_code(wa_retention_lock(store, &err), WA_INVALID, &err,
			"a symbolic link is none");
	ok(!there("nowhere"), "and is not followed");
}

static void
test_prefix(void)
{
	fresh();
	must(mkdir(in_archive("wal/0000000300000000"), 0700) == 0);
	is_code(wa_store_remove_prefix(store, "wal/0000000300000000", &err), WA_OK,
			&err, "an empty directory");
	ok(!there("wal/0000000300000000"), "is removed");
	is_code(wa_store_remove_prefix(store, "wal/0000000300000000", &err), WA_OK,
			&err, "one that is not there");
	is_code(wa_store_remove_prefix(store, "wal/0000000100000000", &err), WA_OK,
			&err, "and one that is not empty");
	ok(there(segment_key(2)), "stays");
}

static WaPin
pin_of(const char *name, uint64_t keep_from)
{
	WaPin		pin = {.kind = WA_PIN_LSN, .keep_from = keep_from};

	snprintf(pin.name, sizeof(pin.name), "%s", name);
	snprintf(pin.value, sizeof(pin.value), "0/%X", (unsigned) keep_from);
	snprintf(pin.by, sizeof(pin.by), "me");
	pin.created_us = NOON_US;
	return pin;
}

static void
test_pins(void)
{
	WaPin		pin = pin_of("b", 4 * SEG_1MB + 8);
	WaPin	   *pins;
	size_t		count;
	char		text[WA_PIN_TEXT_BYTES + 100];

	fresh();
	is_code(wa_pins_read(store, &pins, &count, &err), WA_OK, &err, "no pins");
	is_int(count, 0, "none");
	free(pins);
	is_code(wa_pin_put(store, &pin, &err), WA_OK, &err, "a pin");
	is_code(wa_pin_put(store, &pin, &err), WA_EXISTS, &err, "is made once");
	pin = pin_of("a", 5 * SEG_1MB);
	pin.expires = true;
	pin.expires_us = NOON_US + 7 * 1000000;
	must(wa_pin_put(store, &pin, &err) == WA_OK);
	is_code(wa_pins_read(store, &pins, &count, &err), WA_OK, &err, "two");
	is_int(count, 2, "in order of names");
	is_str(pins[0].name, "a", "one");
	ok(pins[0].expires && pins[0].expires_us == pin.expires_us &&
	   pins[0].keep_from == pin.keep_from && pins[0].kind == WA_PIN_LSN &&
	   pins[0].created_us == NOON_US, "what was written is read");
	is_str(pins[0].value, pin.value, "its value");
	is_str(pins[0].by, "me", "and who made it");
	ok(!pins[1].expires, "the other");
	free(pins);
	must(plan(2) == WA_OK);
	is_code(prune(100), WA_OK, &err, "with pins");
	ok(!there(segment_key(3)) && there(segment_key(4)),
	   "what is pinned stays");
	is_code(wa_pin_remove(store, "a", &err), WA_OK, &err, "one is removed");
	is_code(wa_pin_remove(store, "a", &err), WA_NOT_FOUND, &err, "once");
	is_code(wa_pin_remove(store, "../archive.id", &err), WA_INVALID, &err,
			"and nothing that is none");

	/* what cannot be read: nothing is planned */
	for (int i = 0; i < 9; i++)
	{
		static const char *const bad[] = {
			"walarch-pin: 1\nkeep-from: -1/+5\nkind: lsn\n",
			"walarch-pin: 1\nkeep-from: 0/ 5\nkind: lsn\n",
			"walarch-pin: 1\nkeep-from: 0/1\nkind: lsn\nkeep-from: 9/1\n",
			"", "walarch-pin: 1\nkind: lsn\n",
			"walarch-pin: 1\nkeep-from: 0/1\nvalue: x\n",
			"walarch-pin: 1\nkeep-from: 0/1x\nkind: lsn\n",
			"walarch-pin: 1\nkeep-from: 0/1\nkind: lsn\nexpires: soon\n",
			"walarch-pin: 1\nkeep-from: 0/1\nkind: other\n"
		};

		write_file(in_archive("pins/bad"), bad[i], strlen(bad[i]));
		is_code(plan(2), WA_DAMAGED, &err, "a bad pin");
		has_str(err.message, "\"bad\" is not a pin", "is named");
	}
	write_file(in_archive("pins/bad"), "walarch-pin: 2\nkeep: x\n", 23);
	is_code(plan(2), WA_UNSUPPORTED, &err, "one of a later version");
	memset(text, 'x', sizeof(text));
	write_file(in_archive("pins/bad"), text, sizeof(text));
	ok(plan(2) != WA_OK, "one that is too long: %s", err.message);
	must(unlink(in_archive("pins/bad")) == 0);
	write_file(in_archive("pins/with space"), "x", 1);
	is_code(plan(2), WA_DAMAGED, &err, "a name that is none");
	must(unlink(in_archive("pins/with space")) == 0);
	write_file(in_archive("pins/.swp"), "x", 1);
	is_code(plan(2), WA_OK, &err, "what is hidden is no pin");
	must(mkdir(in_archive("pins/directory"), 0700) == 0);
	is_code(plan(2), WA_DAMAGED, &err, "a directory is none of ours");
	must(rmdir(in_archive("pins/directory")) == 0);

	/* pins that are gone, for whatever reason, may have held something */
	is_code(wa_retention_lock(store, &err), WA_OK, &err, "locked once");
	must(rename(in_archive("pins"), in_archive("hidden")) == 0);
	is_code(plan(2), WA_IO, &err, "pins/ has vanished");
	has_str(err.hint, "make an empty one", "and the hint says what to do");
	must(rename(in_archive("hidden"), in_archive("pins")) == 0);

	/* a pin that could not be read again, or that holds nothing */
	pins = calloc(1, sizeof(WaPin));
	must(pins != NULL);
	strcpy(pins->name, "far");
	strcpy(pins->value, "0/1");
	pins->kind = WA_PIN_LSN;
	pins->created_us = NOON_US;
	pins->expires = true;
	pins->expires_us = INT64_C(253402300800) * 1000000;	/* the year 10000 */
	is_code(wa_pin_put(store, pins, &err), WA_INVALID, &err,
			"a pin that expires in the year 10000");
	pins->expires_us -= 1000000;
	is_code(wa_pin_put(store, pins, &err), WA_OK, &err, "a second before");
	must(wa_pin_remove(store, "far", &err) == WA_OK);
	pins->expires_us = NOON_US;
	is_code(wa_pin_put(store, pins, &err), WA_INVALID, &err,
			"a pin that has expired");
	has_str(err.message, "would have expired already", "which is said");
	free(pins);
}

static void
test_before(void)
{
	WaPin		pin = pin_of("held", 5 * SEG_1MB);

	fresh();
	wa_retention_free(&retention);
	is_code(wa_retention_before(store, &marker, zstd, 6, NOON_US, &retention,
								&err), WA_OK, &err, "all before a segment");
	is_code(prune(100), WA_OK, &err, "goes");
	ok(!there(segment_key(5)) && there(segment_key(6)), "and no more");
	is_int(pruned.objects, 4 + 1, "segments and the backup before it");

	fresh();
	must(rename(in_archive(segment_key(3)), in_archive("wal/0000000100000000/"
				"000000010000000000000003.partial.zst")) == 0);
	must(rename(in_archive(segment_key(9)), in_archive("wal/0000000100000000/"
				"000000010000000000000009.partial.zst")) == 0);
	wa_retention_free(&retention);
	must(wa_retention_before(store, &marker, zstd, 9, NOON_US, &retention,
							 &err) == WA_OK && prune(100) == WA_OK);
	ok(!there("wal/0000000100000000/000000010000000000000003.partial.zst") &&
	   there("wal/0000000100000000/000000010000000000000009.partial.zst"),
	   "a .partial goes with its number");

	fresh();
	must(wa_pin_put(store, &pin, &err) == WA_OK);
	wa_retention_free(&retention);
	must(wa_retention_before(store, &marker, zstd, 7, NOON_US, &retention,
							 &err) == WA_OK);
	has_str(retention.plan.warning, "pin \"held\" holds 2 of the segments",
			"what a pin holds is said");
	must(prune(100) == WA_OK);
	ok(!there(segment_key(4)) && there(segment_key(5)), "and stays");
	ok(there("wal/0000000100000000/000000010000000000000006.00000028.backup.zst"),
	   "with its backup");
	must(wa_pin_remove(store, "held", &err) == WA_OK);
	pin.expires = true;
	pin.expires_us = NOON_US;
	pin.created_us = NOON_US - 1000000;
	must(wa_pin_put(store, &pin, &err) == WA_OK);
	wa_retention_free(&retention);
	must(wa_retention_before(store, &marker, zstd, 7, NOON_US, &retention,
							 &err) == WA_OK && prune(100) == WA_OK);
	ok(!there(segment_key(6)), "an expired one holds nothing");
}

#define OLD_BACKUP	"wal/0000000100000000/000000010000000000000003.00000028.backup.zst"

/* Everything a prune may delete, under a second name; and back. */
static void
keep(bool back)
{
	for (int n = 2; n <= 6; n++)
	{
		char		kept[WA_KEY_BYTES];
		const char *key = n < 6 ? segment_key(n) : OLD_BACKUP;

		snprintf(kept, sizeof(kept), "kept.%d", n);
		if (!back)
			must(link(in_archive(key), path_in_scratch("%s", kept)) == 0);
		else if (!there(key))
			must(link(path_in_scratch("%s", kept), in_archive(key)) == 0);
	}
}

/* Where is there what has to be there, and nothing that goes before it? */
static bool
kept_in_order(void)
{
	bool		offered = there(OLD_BACKUP);
	bool		begun = false;

	for (int n = 2; n < 2 + SEGMENTS; n++)
	{
		begun = begun || there(segment_key(n));
		if ((begun || offered || n >= 6) && !there(segment_key(n)))
			return false;
	}
	return there("archive.id") &&
		there("wal/0000000100000000/000000010000000000000006.00000028.backup.zst");
}

/* The n-th operation fails: what stays is what a longer plan would keep. */
static void
test_faults(const FaultKind *kind)
{
	int			n = 0;
	int			lost = 0;
	int			lied = 0;
	int			unhealed = 0;

	for (fault.fired = true; fault.fired && n < 1000;)
	{
		WaCode		code;

		keep(true);
		open_store();
		fault_begin(++n, kind->fail_with);
		code = plan(2);
		if (code == WA_OK)
			code = prune(100);
		fault_end();
		if (!kept_in_order() && lost++ == 0)
			diag("operation %d (%s): something is lost", n, fault.failed_call);
		if (code == WA_OK && there(segment_key(5)) &&
			!retention.plan.doubt && lied++ == 0)
			diag("operation %d (%s): not done, and said so", n,
				 fault.failed_call);
		open_store();
		if (plan(2) != WA_OK || prune(100) != WA_OK || there(segment_key(5)) ||
			!kept_in_order())
			unhealed++;
	}
	ok(n > 10 && n < 1000, "prune, %s: %d operations", kind->name, n - 1);
	is_int(lost, 0, "prune, %s: nothing is lost", kind->name);
	is_int(lied, 0, "prune, %s: no lie", kind->name);
	is_int(unhealed, 0, "prune, %s: the next try succeeds", kind->name);
}

int
main(void)
{
	scratch();
	bench = wa_bench_open();
	zstd = wa_zstd_open();
	must(bench != NULL && zstd != NULL);
	test_prune();
	test_obstacles();
	test_left();
	test_other_archive();
	test_lock();
	test_prefix();
	test_pins();
	test_before();
	fresh();
	keep(false);
	for (int i = 0; i < FAULT_KINDS; i++)
		test_faults(&fault_kinds[i]);
	wa_retention_free(&retention);
	wa_zstd_close(zstd);
	wa_store_close(store);
	wa_archive_close(archive);
	wa_bench_close(bench);
	return done_testing();
}
