/*
 * bases.c
 *	  Base backups below base/: the states that one goes through, and what a
 *	  crash between any two steps leaves.
 */
#include "archive/bases.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive/layout.h"
#include "faults.h"
#include "fixture.h"
#include "tap.h"

#define MB	(1024 * 1024)

static WaStore *store;
static WaStoreOptions options;
static WaError err;
static const WaMarker marker = {
	.system_identifier = 4711,
	.segment_bytes = MB,
	.archive_id = "0123456789abcdef0123456789abcdef"
};

static const char *
in(const char *key)
{
	return path_in_scratch("store/%s", key);
}

static bool
there(const char *key)
{
	return access(in(key), F_OK) == 0;
}

static void
reopen(void)
{
	static char path[512];

	wa_store_close(store);
	snprintf(path, sizeof(path), "%s", path_in_scratch("store"));
	must(wa_store_dir_open(path, &options, &store, &err) == WA_OK);
}

static void
fresh(void)
{
	wa_store_close(store);
	store = NULL;
	remove_tree(path_in_scratch("store"));
	must(mkdir(path_in_scratch("store"), 0700) == 0);
	store_options(&options);
	reopen();
}

static WaBaseBackup
new_backup(void)
{
	return (WaBaseBackup) {
		.label = "l",
		.token = "00000000000000aa",
		.server_version = 150000,
		.start_tli = 1,
		.start_lsn = 3 * MB + 0x28,
		.start_us = INT64_C(1700000000) * 1000000
	};
}

/* As far as a step: 1 begun, 2 with files, 3 whole. */
static WaBaseBackup
take(int step)
{
	static WaBaseFile files[2];
	WaBaseBackup backup = new_backup();
	char		key[WA_KEY_BYTES];

	is_code(wa_base_begin(store, MB, &backup, &err), WA_OK, &err, "begun");
	if (step < 2)
		return backup;
	strcpy(files[0].name, WA_BASE_MAIN);
	strcpy(files[1].name, WA_BASE_MANIFEST);
	for (int i = 0; i < 2; i++)
	{
		wa_layout_base_key(backup.id, files[i].name, key);
		must(wa_store_put(store, key, "data", 4, &err) == WA_OK);
		files[i].stored_bytes = 4;
	}
	if (step < 3)
		return backup;
	backup.files = files;
	backup.files_count = 2;
	backup.stop_tli = 1;
	backup.stop_lsn = backup.start_lsn + 100;
	backup.stop_us = backup.start_us;
	backup.token[0] = '\0';
	is_code(wa_base_advertise(store, &backup, &err), WA_OK, &err, "advertised");
	return backup;
}

/* The state of the n-th. */
static int
state(size_t n)
{
	WaBases		bases;
	int			result = 0;

	if (wa_bases_read(store, &bases, &err) != WA_OK)
		return -1;
	if (n < bases.count)
		result = (int) bases.bases[n].state;
	wa_bases_free(&bases);
	return result;
}

static void
test_life(void)
{
	WaBaseBackup backup;
	WaBaseBackup read;
	WaBases		bases;
	uint32_t	swept;

	fresh();
	is_int(state(0), 0, "an empty archive has none");
	is_code(wa_bases_lock(store, &marker, &err), WA_OK, &err, "the first lock");
	ok(there("base/base.id") && there("base.lock"), "makes base/ what it is");
	backup = take(1);
	is_str(backup.id, "000000010000000000000003.00000028", "its id");
	is_int(state(0), WA_BASE_UNFINISHED, "it has begun");
	is_code(wa_base_read(store, backup.id, &read, &err), WA_NOT_FOUND, &err,
			"and is not whole");
	is_code(wa_bases_sweep(store, &swept, &err), WA_OK, &err, "a sweep");
	is_int(swept, 1, "removes it");
	ok(!there("base/000000010000000000000003.00000028"), "all of it");

	backup = take(3);
	is_int(state(0), WA_BASE_WHOLE, "it is whole");
	ok(!there("base/000000010000000000000003.00000028/begun"), "no more begun");
	is_code(wa_base_read(store, backup.id, &read, &err), WA_OK, &err, "read");
	is_int(read.files_count, 2, "with its files");
	wa_base_free(&read);
	is_code(wa_bases_sweep(store, &swept, &err), WA_OK, &err, "a sweep");
	is_int(swept, 0, "leaves it");

	/* one that begins at the same place */
	backup = take(3);
	is_str(backup.id, "000000010000000000000003.00000028-2", "another id");
	must(wa_bases_read(store, &bases, &err) == WA_OK);
	is_int(bases.count, 2, "there are two");
	wa_bases_free(&bases);
	is_code(wa_base_withdraw(store, backup.id, &err), WA_OK, &err, "withdrawn");
	is_int(state(1), WA_BASE_LEFT, "it is none");
	is_code(wa_base_withdraw(store, backup.id, &err), WA_OK, &err, "again");
	is_code(wa_base_remove(store, backup.id, NULL, NULL, &err), WA_OK, &err,
			"removed");
	is_int(state(1), 0, "it is gone");
	is_code(wa_base_remove(store, backup.id, NULL, NULL, &err), WA_OK, &err,
			"again");
}

/* What a crash leaves: its own temporaries, and no others. */
static void
test_sweep(void)
{
	uint32_t	swept;

	fresh();
	must(wa_bases_lock(store, &marker, &err) == WA_OK);
	(void) take(2);
	must(mkdir(in("tmp"), 0700) == 0 || there("tmp"));
	write_file(in("tmp/00000000000000aa-5"), "x", 1);
	write_file(in("tmp/00000000000000bb-5"), "x", 1);
	is_code(wa_bases_sweep(store, &swept, &err), WA_OK, &err, "a sweep");
	is_int(swept, 1, "removes it");
	ok(!there("tmp/00000000000000aa-5"), "with what it was writing");
	ok(there("tmp/00000000000000bb-5"), "not what another is writing");

	/* both signs: it had just been advertised */
	(void) take(3);
	must(wa_store_put(store, "base/000000010000000000000003.00000028/begun",
					  "walarch-backup: 1\n", 18, &err) == WA_OK);
	is_int(state(0), WA_BASE_WHOLE, "advertised is what counts");
	is_code(wa_base_withdraw(store, "000000010000000000000003.00000028", &err),
			WA_OK, &err, "withdrawn");
	is_int(state(0), WA_BASE_LEFT, "no sign is left that it had begun");
}

/* What is below base/ and says nothing of itself is not ours to remove. */
static void
test_foreign(void)
{
	WaBaseBackup backup;
	uint32_t	swept;

	fresh();
	must(wa_bases_lock(store, &marker, &err) == WA_OK);
	(void) take(3);
	must(unlink(in("base/000000010000000000000003.00000028/backup")) == 0);
	is_int(state(0), WA_BASE_UNREADABLE, "a backup that has lost its sign");
	must(mkdir(in("base/mine"), 0700) == 0);
	write_file(in("base/mine/file"), "x", 1);
	is_int(state(1), WA_BASE_UNREADABLE, "a directory of somebody's");
	must(mkdir(in("base/nothing"), 0700) == 0);
	is_int(state(2), WA_BASE_LEFT, "an empty one");
	is_code(wa_bases_sweep(store, &swept, &err), WA_OK, &err, "a sweep");
	is_int(swept, 1, "removes the empty one");
	ok(there("base/mine/file") &&
	   there("base/000000010000000000000003.00000028/base.tar.zst"),
	   "and nothing else");

	/* another backup keeps away from it; killed after it was withdrawn */
	backup = take(3);
	is_str(backup.id, "000000010000000000000003.00000028-2", "another id");
	is_code(wa_base_withdraw(store, backup.id, &err), WA_OK, &err,
			"withdrawn");
	is_code(wa_bases_sweep(store, &swept, &err), WA_OK, &err, "a sweep");
	is_int(swept, 1, "removes what was withdrawn");
	ok(!there("base/000000010000000000000003.00000028-2"), "all of it");
}

static void
test_trouble(void)
{
	WaStore    *other;
	char		path[512];

	fresh();
	must(wa_bases_lock(store, &marker, &err) == WA_OK);
	(void) take(3);
	snprintf(path, sizeof(path), "%s", path_in_scratch("store"));
	must(wa_store_dir_open(path, &options, &other, &err) == WA_OK);
	is_code(wa_bases_lock(other, &marker, &err), WA_EXISTS, &err, "one at a time");
	has_str(err.message, "another backup is being taken", "which is said");
	wa_store_close(other);

	/* what advertises it is damaged, or another's */
	write_file(in("base/000000010000000000000003.00000028/backup"), "x", 1);
	is_int(state(0), WA_BASE_UNREADABLE, "damaged");
	is_code(wa_base_read(store, "000000010000000000000003.00000028",
						 &(WaBaseBackup) {0}, &err), WA_DAMAGED, &err, "read");
	must(rename(in("base/000000010000000000000003.00000028"), in("base/x")) == 0);
	is_int(state(0), WA_BASE_UNREADABLE, "under another name, too");

	/* what is not there must not look like an archive without backups */
	must(rename(in("base"), in("away")) == 0);
	reopen();
	is_int(state(0), -1, "base/ is away: %s", err.message);
	must(mkdir(in("base"), 0700) == 0);
	is_int(state(0), -1, "an empty base/");
	is_int(err.code, WA_IO, "is an error");
	has_str(err.message, "base.id\" is missing", "that says why");
	is_code(wa_bases_lock(store, &marker, &err), WA_IO, &err, "no backup either");
	must(rmdir(in("base")) == 0 && rename(in("away"), in("base")) == 0);
	is_int(state(0), WA_BASE_UNREADABLE, "it is back");

	/* without base.lock, as after a power cut, what is there is looked at */
	must(unlink(in("base.lock")) == 0);
	is_int(state(0), WA_BASE_UNREADABLE, "a lost base.lock hides nothing");
	wa_store_close(store);
	store = NULL;
}

/* What is wrong with a backup that is whole by its sign. */
static const char *
damage(void)
{
	static char reason[200];
	WaBases		bases;

	must(wa_bases_read(store, &bases, &err) == WA_OK);
	must(bases.count == 1 && bases.bases[0].state == WA_BASE_WHOLE);
	snprintf(reason, sizeof(reason), "%s", bases.bases[0].reason);
	wa_bases_free(&bases);
	return reason;
}

static void
test_damage(void)
{
	static const char main_file[] =
		"base/000000010000000000000003.00000028/" WA_BASE_MAIN;
	WaBaseBackup backup;

	fresh();
	must(wa_bases_lock(store, &marker, &err) == WA_OK);
	backup = take(3);
	is_str(damage(), "", "nothing is wrong with it");
	write_file(in(main_file), "dat", 3);
	is_str(damage(), "\"base/000000010000000000000003.00000028/base.tar.zst\" "
		   "has 3 bytes, not 4", "a file that was cut");
	must(unlink(in(main_file)) == 0);
	is_str(damage(), "\"base/000000010000000000000003.00000028/base.tar.zst\" "
		   "is missing", "one that is gone");

	/* gone before it is advertised */
	must(unlink(in("base/000000010000000000000003.00000028/backup")) == 0);
	is_code(wa_base_advertise(store, &backup, &err), WA_CHANGED, &err,
			"such a one is not advertised");
	has_str(err.message, "what was written of backup "
			"000000010000000000000003.00000028 is not there any more: ", "why");
	ok(!there("base/000000010000000000000003.00000028/backup"), "it is none");
}

/* One that is deleted while somebody looks is none, not a damaged one. */
static void
test_vanishing(void)
{
	int			damaged = 0;
	int			n = 0;
	bool		fired = true;

	fresh();
	must(wa_bases_lock(store, &marker, &err) == WA_OK);
	(void) take(3);
	while (fired && n++ < 200)
	{
		WaBases		bases;
		WaCode		code;

		fault_begin(n, ENOENT);
		fault.and_all_later = true;
		code = wa_bases_read(store, &bases, &err);
		fired = fault.fired;
		fault_end();
		for (size_t i = 0; code == WA_OK && i < bases.count; i++)
			damaged += bases.bases[i].state == WA_BASE_WHOLE &&
				bases.bases[i].reason[0] != '\0';
		if (code == WA_OK)
			wa_bases_free(&bases);
	}
	ok(n > 5 && !fired, "all gone from each of %d calls on", n - 1);
	is_int(damaged, 0, "never a damaged backup");
}

/* What a plan says was left may be a backup when its turn comes. */
static void
test_left(void)
{
	static const char id[] = "000000010000000000000003.00000028";
	static const char withdrawn[] =
		"base/000000010000000000000003.00000028/withdrawn";
	WaBaseBackup backup;
	WaStore    *other;
	char		path[512];

	fresh();
	must(wa_bases_lock(store, &marker, &err) == WA_OK);
	backup = take(3);
	reopen();
	is_code(wa_base_remove_left(store, id, NULL, NULL, &err), WA_OK, &err,
			"a whole backup, by now");
	is_int(state(0), WA_BASE_WHOLE, "stays");
	must(wa_base_withdraw(store, backup.id, &err) == WA_OK);
	snprintf(path, sizeof(path), "%s", path_in_scratch("store"));
	must(wa_store_dir_open(path, &options, &other, &err) == WA_OK);
	must(wa_bases_lock(other, &marker, &err) == WA_EXISTS);
	reopen();
	must(wa_bases_lock(other, &marker, &err) == WA_OK);
	is_code(wa_base_remove_left(store, id, NULL, NULL, &err), WA_OK, &err,
			"while a backup is being taken");
	ok(there(withdrawn), "all is left to that");
	wa_store_close(other);
	is_code(wa_base_remove_left(store, id, NULL, NULL, &err), WA_OK, &err,
			"what a deletion left");
	is_int(state(0), 0, "goes");

	reopen();
	must(wa_bases_lock(store, &marker, &err) == WA_OK);
	(void) take(2);
	reopen();
	is_code(wa_base_remove_left(store, id, NULL, NULL, &err), WA_OK, &err,
			"one that has begun");
	is_int(state(0), WA_BASE_UNFINISHED, "stays");

	must(wa_base_withdraw(store, id, &err) == WA_OK);
	must(unlink(in("base.lock")) == 0);
	is_code(wa_base_remove_left(store, id, NULL, NULL, &err), WA_OK, &err,
			"without base.lock");
	is_int(state(0), 0, "it goes");
	ok(!there("base.lock"), "and none is made");
	is_code(wa_base_remove_left(store, id, NULL, NULL, &err), WA_OK, &err,
			"and again");
}

int
main(void)
{
	scratch();
	test_life();
	test_damage();
	test_vanishing();
	test_left();
	test_sweep();
	test_foreign();
	test_trouble();
	return done_testing();
}
