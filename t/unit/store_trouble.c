/*
 * store_trouble.c
 *	  File systems that lack something, and what a store remembers when an
 *	  fsync fails: it says so, never guesses, and trusts nothing that is in
 *	  doubt.
 */
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/array.h"
#include "faults.h"
#include "fixture.h"
#include "store/store_dir.h"
#include "store/store_memo.h"
#include "tap.h"

#define DIRECTORIES		40		/* more than are remembered without an fsync */

static WaStore *store;
static WaStoreMemo *memo;
static WaStoreOptions options;
static WaError err;

static void
reopen(void)
{
	wa_store_close(store);
	store = NULL;
	must(wa_store_dir_open(path_in_scratch("store"), &options, &store,
						   &err) == WA_OK);
}

static void
fresh(void)
{
	remove_tree("store");
	must(mkdir("store", 0700) == 0);
	wa_store_memo_close(memo);
	memo = wa_store_memo_open();
	store_options(&options);
	options.memo = memo;
	reopen();
}

/* Stage and commit, without a sync. */
static WaCode
put(const char *key)
{
	WaPut	   *one = NULL;
	WaCode		code = wa_put_begin(store, key, &one, &err);

	if (code == WA_OK)
		code = wa_put_write(one, "data", 4, &err);
	if (code == WA_OK)
		code = wa_put_stage(one, &err);
	if (code == WA_OK)
		code = wa_put_commit(one, &err);
	wa_put_close(one);
	return code;
}

static WaCode
count_directories(void *arg, const char *key, bool is_prefix, WaError *list_err)
{
	*(int *) arg += is_prefix;
	return WA_OK;
}

/* A file system that tells no types, and has neither locks nor links. */
static void
test_poor_file_system(void)
{
	int			directories = 0;
	char		path[5000];
	WaStore    *other;

	fresh();
	must(put("a/b") == WA_OK && put("c") == WA_OK);
	fault.no_types = true;
	is_code(wa_store_list(store, "", count_directories, &directories, &err),
			WA_OK, &err, "a listing without types");
	fault.no_types = false;
	is_int(directories, 2, "knows directories, tmp/ among them");

	fault.refuse = "renameat2 linkat";
	fault_begin(0, 0);
	is_code(put("d"), WA_UNSUPPORTED, &err, "neither rename nor link");
	fault_end();
	fault.refuse = NULL;
	has_str(err.message, "can neither rename without", "says so");
	has_str(err.hint, "could be overwritten", "and why that matters");
	ok(access("store/d", F_OK) != 0, "nothing was made");

	/* the calls of a lock: lookups of directories, the file, the lock */
	for (int n = 1; n < 50; n++)
	{
		WaCode		code;

		reopen();
		fault_begin(n, ENOLCK);
		code = wa_store_lock(store, "a.lock", &err);
		fault_end();
		if (strcmp(fault.failed_call, "flock") == 0)
		{
			is_code(code, WA_UNSUPPORTED, &err, "no locks");
			has_str(err.message, "has no locks", "says so");
			break;
		}
		must(fault.fired);
	}

	memset(path, 'x', sizeof(path));
	path[0] = '/';
	path[sizeof(path) - 1] = '\0';
	is_code(wa_store_dir_open(path, &options, &other, &err), WA_INVALID, &err,
			"a path that is too long");
}

/* A part of an archive on a file system of its own. */
static void
test_two_file_systems(void)
{
	bool		met = false;

	for (int n = 1; n < 50 && !met; n++)
	{
		WaCode		code;

		fresh();
		fault_begin(n, EXDEV);
		code = put("a");
		fault_end();
		must(fault.fired);
		met = strcmp(fault.failed_call, "linkat") == 0 ||
			strcmp(fault.failed_call, "renameat2") == 0;
		if (met)
			is_code(code, WA_IO, &err, "%s to another file system",
					fault.failed_call);
	}
	ok(met, "what gives an object its name");
	has_str(err.hint, "one file system", "the hint says what to do");
	is_code(put("a"), WA_OK, &err, "the next try");
}

/* What the sweep of temporaries passes over. */
static void
test_sweep(void)
{
	const char *tokens[] = {TOKEN};
	WaSwept		swept;

	fresh();
	must(put("a") == WA_OK);
	must(mkdir("store/tmp/" TOKEN "-9", 0700) == 0);
	is_code(wa_store_sweep(store, tokens, 1, &swept, &err), WA_OK, &err,
			"a sweep");
	ok(access("store/tmp/" TOKEN "-9", F_OK) == 0,
	   "passes over what is no temporary of ours");
}

/*
 * More directories than are remembered, and the fsync that makes room fails:
 * each object is suspect, and the sync at the end does not say that all is
 * well.
 */
static void
test_lost_sync(void)
{
	WaCode		code = WA_OK;
	char		key[WA_KEY_BYTES] = "";
	int			n;

	fresh();
	for (n = 0; n < DIRECTORIES && code == WA_OK; n++)
	{
		snprintf(key, sizeof(key), "d%d/o", n);
		must(mkdir(path_in_scratch("store/d%d", n), 0700) == 0);
		reopen();
	}
	for (n = 0; n < DIRECTORIES && code == WA_OK; n++)
	{
		WaPut	   *one = NULL;

		snprintf(key, sizeof(key), "d%d/o", n);
		must(wa_put_begin(store, key, &one, &err) == WA_OK &&
			 wa_put_write(one, "data", 4, &err) == WA_OK &&
			 wa_put_stage(one, &err) == WA_OK);
		fault.refuse = "fsync";
		fault_begin(0, 0);
		code = wa_put_commit(one, &err);
		fault_end();
		fault.refuse = NULL;
		wa_put_close(one);
	}
	ok(code != WA_OK && n > 2 && n < DIRECTORIES,
	   "a commit that cannot remember its directory fails: the %d-th", n);
	ok(wa_store_memo_suspect(memo, key), "it is suspect");
	ok(wa_store_memo_suspect(memo, "d0/o"), "as those are before it");
	is_code(wa_store_sync(store, &err), WA_IO, &err, "the next sync");
	has_str(err.message, "has failed", "does not say that all is well");
	is_code(wa_store_sync(store, &err), WA_OK, &err, "but the one after it");
}

/*
 * The same when an object is set aside: it is there, and an fsync that makes
 * room to remember that fails.
 */
static void
test_lost_aside(void)
{
	bool		found = false;

	for (int n = 1; n < 300 && !found; n++)
	{
		WaStat		stat;
		WaPut	   *one = NULL;
		WaCode		code;
		char		key[WA_KEY_BYTES];

		fresh();
		must(put("bad") == WA_OK && wa_store_sync(store, &err) == WA_OK);
		must(wa_store_stat(store, "bad", &stat, &err) == WA_OK);
		must(wa_put_begin(store, "bad", &one, &err) == WA_OK &&
			 wa_put_write(one, "good", 4, &err) == WA_OK &&
			 wa_put_stage(one, &err) == WA_OK);
		for (int i = 0; i < WA_DIR_DIRTY_MAX; i++)
		{
			snprintf(key, sizeof(key), "e%d/o", i);
			must(put(key) == WA_OK);
		}
		fault_begin(n, EIO);
		code = wa_put_set_aside(one, &stat, "damaged/bad", &err);
		fault_end();
		wa_put_close(one);
		found = code != WA_OK && strcmp(fault.failed_call, "fsync") == 0 &&
			file_is("store/bad", "good", 4);
		if (!fault.fired)
			break;
	}
	ok(found, "an object that was replaced and cannot be remembered");
	is_code(wa_store_sync(store, &err), WA_IO, &err, "is not said to be durable");
}

static void
test_memo(void)
{
	static char keys[WA_KEY_BYTES][WA_KEY_BYTES];
	char		key[WA_KEY_BYTES];
	int			n;

	fresh();
	ok(!wa_store_memo_suspect(memo, "a"), "nothing is suspect at first");
	for (n = 0; n < 1000 && !wa_store_memo_suspect(memo, "never"); n++)
	{
		snprintf(key, sizeof(key), "k%d", n);
		wa_store_memo_suspect_add(memo, key);
	}
	ok(n > 10 && n < 1000, "so many that everything is suspect: %d", n);
	is_int(wa_store_memo_suspects(memo, keys, 5), n - 1,
		   "which a list of some of them tells");
	is_int(wa_store_memo_suspects(memo, keys, WA_KEY_BYTES), WA_KEY_BYTES + 1,
		   "and one that is long enough, too");
	fresh();
	wa_store_memo_suspect_all(memo);
	ok(wa_store_memo_suspect(memo, "a"), "all are suspect when nobody knows");

	/* without a memory nothing is remembered */
	wa_store_memo_close(NULL);
	wa_store_memo_suspect_add(NULL, "a");
	ok(!wa_store_memo_suspect(NULL, "a"), "no memory: nothing is suspect");
	is_int(wa_memo_next_number(NULL), 0, "and no number was given before");

	/* a directory, and one that gets its inode */
	wa_memo_learn(memo, 7, 8);
	wa_memo_learn(memo, 7, 9);
	ok(wa_memo_knows(memo, 7, 8), "a directory whose name is durable");
	wa_memo_forget(memo, 7, 8);
	ok(!wa_memo_knows(memo, 7, 8), "another one of that inode is not known");
	ok(wa_memo_knows(memo, 7, 9) && !wa_memo_knows(memo, 8, 9),
	   "its neighbour still is");
}

static void
test_array(void)
{
	ok(wa_array_room(NULL, (size_t) 1 << 62, 16) == NULL,
	   "an array of more bytes than there can be");
	ok(wa_array_room(NULL, (size_t) 1 << 63, 1) == NULL,
	   "or more items");
}

int
main(void)
{
	scratch();
	fault.closes = true;
	test_poor_file_system();
	test_two_file_systems();
	test_sweep();
	test_lost_sync();
	test_lost_aside();
	test_memo();
	test_array();
	wa_store_close(store);
	wa_store_memo_close(memo);
	return done_testing();
}
