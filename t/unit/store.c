/*
 * store.c
 *	  What every store must keep to, shown on a directory: staged is
 *	  invisible, commit never replaces, set_aside loses no bytes and never
 *	  leaves the key without an object, absence is told from failure, and the
 *	  sweep removes only what is abandoned.
 */
#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "fixture.h"
#include "tap.h"

static const char *top;			/* of the store */
static WaStore *store;
static WaStoreOptions options;

static void
open_store(void)
{
	WaError		err;
	static char path[512];

	wa_store_close(store);
	snprintf(path, sizeof(path), "%s", path_in_scratch("store"));
	top = path;
	remove_tree(top);
	must(mkdir(top, 0700) == 0);
	store_options(&options);
	must(wa_store_dir_open(top, &options, &store, &err) == WA_OK);
}

static const char *
in_store(const char *key)
{
	return path_in_scratch("store/%s", key);
}

static bool
holds(const char *key, const char *text)
{
	return file_is(in_store(key), text, strlen(text));
}

/* A staged object. */
static WaPut *
staged(const char *key, const char *text)
{
	WaPut	   *put;
	WaError		err;

	must(wa_put_begin(store, key, &put, &err) == WA_OK);
	must(wa_put_write(put, text, strlen(text), &err) == WA_OK);
	must(wa_put_stage(put, &err) == WA_OK);
	return put;
}

static void
store_text(const char *key, const char *text)
{
	WaPut	   *put = staged(key, text);
	WaError		err;

	must(wa_put_commit(put, &err) == WA_OK);
	wa_put_close(put);
	must(wa_store_sync(store, &err) == WA_OK);
}

static void
test_keys(void)
{
	static const char *const good[] = {
		"a", "a/b", "wal/0000000100000000/x.zst", "A-b_c.d", "a..b", "a."
	};
	static const char *const bad[] = {
		"", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a/.b",
		".hidden", "a b", "a\nb", "a\\b", "a*", "\xc3\xa4", "a:b"
	};
	char		longest[WA_KEY_BYTES + 1];
	WaPut	   *put = NULL;
	WaError		err;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		ok(wa_key_valid(good[i]), "a key: %s", good[i]);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ok(!wa_key_valid(bad[i]), "no key, number %zu", i);
	memset(longest, 'k', sizeof(longest));
	longest[WA_KEY_BYTES - 1] = '\0';
	ok(wa_key_valid(longest), "the longest key");
	longest[WA_KEY_BYTES - 1] = 'k';
	longest[WA_KEY_BYTES] = '\0';
	ok(!wa_key_valid(longest), "one byte longer");
	open_store();
	is_code(wa_put_begin(store, "../out", &put, &err), WA_INVALID, &err,
			"put refuses a key that leads out");
	ok(put == NULL && count_names(top) == 0, "and makes nothing");
}

static WaCode
refuse_name(void *arg, const char *name, bool is_prefix, WaError *err)
{
	return wa_fail(err, WA_CONFLICT, "\"%s\" was listed", name);
}

/* A name that was listed may be anything; asking for it is an error, no more. */
static void
test_no_key(void)
{
	static const char none[] = "wal/lost+found";
	WaPut	   *put = staged("one", "text");
	WaStat		stat;
	WaError		err;

	is_code(wa_store_stat(store, none, &stat, &err), WA_INVALID, &err, "stat");
	has_str(err.message, "lost+found\" is not a valid key", "says so");
	is_code(wa_store_get(store, none, NULL, 0, 1, NULL, &err), WA_INVALID,
			&err, "get");
	is_code(wa_store_list(store, none, refuse_name, NULL, &err), WA_INVALID,
			&err, "list");
	is_code(wa_store_persist(store, none, &err), WA_INVALID, &err, "persist");
	is_code(wa_store_make_prefix(store, none, &err), WA_INVALID, &err,
			"make a directory");
	is_code(wa_store_remove(store, none, &err), WA_INVALID, &err, "remove");
	is_code(wa_store_remove_prefix(store, none, &err), WA_INVALID, &err,
			"remove a directory");
	is_code(wa_store_lock(store, none, &err), WA_INVALID, &err, "lock");
	is_code(wa_put_set_aside(put, &stat, none, &err), WA_INVALID, &err,
			"set aside");
	wa_put_close(put);
}

static void
test_put(void)
{
	WaPut	   *put;
	WaPut	   *second;
	WaStat		stat;
	WaError		err;
	struct stat st;

	open_store();
	is_code(wa_store_make_prefix(store, "a", &err), WA_OK, &err,
			"a prefix from the beginning");
	is_code(wa_store_make_prefix(store, "a", &err), WA_OK, &err, "twice");
	must(wa_put_begin(store, "a/b/one", &put, &err) == WA_OK);
	is_code(wa_put_write(put, "hello ", 6, &err), WA_OK, &err, "write");
	is_code(wa_put_write(put, "", 0, &err), WA_OK, &err, "write nothing");
	is_code(wa_put_write(put, "world", 5, &err), WA_OK, &err, "write more");
	is_code(wa_put_stage(put, &err), WA_OK, &err, "stage");
	is_code(wa_store_stat(store, "a/b/one", &stat, &err), WA_NOT_FOUND, &err,
			"staged is not there yet");
	is_code(wa_put_commit(put, &err), WA_OK, &err, "commit");
	wa_put_close(put);
	ok(holds("a/b/one", "hello world"), "its bytes");
	is_int(count_names(in_store("tmp")), 0, "no temporary is left");
	is_code(wa_store_stat(store, "a/b/one", &stat, &err), WA_OK, &err, "stat");
	is_int(stat.bytes, 11, "its size");
	must(lstat(in_store("a/b/one"), &st) == 0);
	is_int(st.st_mode & 0777, 0600, "mode of the file");
	must(lstat(in_store("a/b"), &st) == 0);
	is_int(st.st_mode & 0777, 0700, "mode of its directory");

	put = staged("a/b/one", "another");
	is_code(wa_put_commit(put, &err), WA_EXISTS, &err,
			"a second one of that name");
	ok(holds("a/b/one", "hello world"), "does not replace the first");
	is_code(wa_put_commit(put, &err), WA_EXISTS, &err, "not even asked twice");
	is_int(count_names(in_store("tmp")), 1, "it is still staged");
	wa_put_rekey(put, "a/b/two");
	is_code(wa_put_commit(put, &err), WA_OK, &err, "under another key");
	wa_put_close(put);
	ok(holds("a/b/two", "another"), "it is taken");
	is_int(count_names(in_store("tmp")), 0, "no temporary is left");

	put = staged("x", "from one");
	second = staged("x", "from the other");
	is_code(wa_put_commit(second, &err), WA_OK, &err, "the faster of two");
	is_code(wa_put_commit(put, &err), WA_EXISTS, &err, "the slower");
	wa_put_close(put);
	wa_put_close(second);
	ok(holds("x", "from the other"), "the faster one's bytes");

	/* a name that is taken by something that is no object */
	must(symlink("nowhere", in_store("link")) == 0);
	put = staged("link", "text");
	is_code(wa_put_commit(put, &err), WA_EXISTS, &err,
			"a symbolic link to nowhere has the name too");
	wa_put_close(put);
}

static void
test_abandoned_puts(void)
{
	WaPut	   *put;
	WaError		err;

	open_store();
	must(wa_put_begin(store, "one", &put, &err) == WA_OK);
	is_int(count_names(in_store("tmp")), 1, "begun: a temporary");
	wa_put_close(put);
	must(wa_put_begin(store, "one", &put, &err) == WA_OK);
	must(wa_put_write(put, "text", 4, &err) == WA_OK);
	wa_put_close(put);
	put = staged("one", "text");
	wa_put_close(put);
	wa_put_close(NULL);
	is_int(count_names(in_store("tmp")), 0,
		   "begun, written or staged, but not committed: nothing is left");
	is_int(count_names(top), 1, "nothing but the place of temporaries");

	/* a store of the same token that did not clean up behind itself */
	write_file(in_store("tmp/" TOKEN "-3"), "other", 5);
	for (int i = 0; i < 6; i++)
	{
		must(wa_put_begin(store, "one", &put, &err) == WA_OK);
		wa_put_close(put);
	}
	ok(holds("tmp/" TOKEN "-3", "other"), "its temporary is not touched");
}

static void
test_set_aside(void)
{
	WaPut	   *put;
	WaStat		judged;
	WaStat		good;
	WaError		err;

	open_store();
	store_text("wal/one", "damaged");
	must(wa_store_stat(store, "wal/one", &judged, &err) == WA_OK);
	put = staged("wal/one", "good");
	is_code(wa_put_set_aside(put, &judged, "damaged/one.1", &err), WA_OK, &err,
			"set aside");
	ok(holds("wal/one", "good"), "the new bytes are there");
	ok(holds("damaged/one.1", "damaged"), "the old ones are kept");
	wa_put_close(put);
	ok(holds("wal/one", "good"), "also after close");
	is_code(wa_store_sync(store, &err), WA_OK, &err, "sync");
	is_int(count_names(in_store("tmp")), 0, "no temporary is left");

	/* the name to keep it under is taken */
	must(wa_store_stat(store, "wal/one", &good, &err) == WA_OK);
	put = staged("wal/one", "third");
	is_code(wa_put_set_aside(put, &good, "damaged/one.1", &err), WA_EXISTS,
			&err, "kept under a name that is taken");
	ok(holds("damaged/one.1", "damaged") && holds("wal/one", "good"),
	   "nothing was done");

	/* somebody put a good object there since the judgement */
	is_code(wa_put_set_aside(put, &judged, "damaged/one.2", &err), WA_CHANGED,
			&err, "another object than the one judged");
	ok(holds("wal/one", "good"), "stays");
	ok(access(in_store("damaged/one.2"), F_OK) != 0, "and is not set aside");
	is_code(wa_put_set_aside(put, &good, "damaged/one.2", &err), WA_OK, &err,
			"the put can still be used");
	ok(holds("wal/one", "third") && holds("damaged/one.2", "good"),
	   "and does it");
	wa_put_close(put);
	is_int(count_names(in_store("tmp")), 0, "no temporary is left");

	/* nothing there at all */
	must(wa_store_stat(store, "wal/one", &judged, &err) == WA_OK);
	must(unlink(in_store("wal/one")) == 0);
	put = staged("wal/one", "fourth");
	ok(wa_put_set_aside(put, &judged, "damaged/one.3", &err) != WA_OK,
	   "what is gone cannot be set aside");
	wa_put_close(put);
	ok(access(in_store("wal/one"), F_OK) != 0 &&
	   access(in_store("damaged/one.3"), F_OK) != 0, "nothing was made");
}

static size_t
get(const char *key, const WaStat *expected, uint64_t offset, uint64_t limit,
	char *text, WaCode *code, WaError *err)
{
	WaBufferSink buffer;

	*code = wa_store_get(store, key, expected, offset, limit,
						 wa_sink_buffer(&buffer, text, 1000, key), err);
	text[buffer.length] = '\0';
	return buffer.length;
}

static void
test_get(void)
{
	char		text[1001];
	WaStat		stat;
	WaCode		code;
	WaError		err;

	open_store();
	store_text("wal/one", "0123456789");
	get("wal/one", NULL, 0, UINT64_MAX, text, &code, &err);
	is_code(code, WA_OK, &err, "get all");
	is_str(text, "0123456789", "all");
	get("wal/one", NULL, 4, 3, text, &code, &err);
	is_str(text, "456", "offset and limit");
	get("wal/one", NULL, 7, 100, text, &code, &err);
	is_str(text, "789", "a limit beyond the end");
	get("wal/one", NULL, 10, 100, text, &code, &err);
	is_code(code, WA_OK, &err, "an offset at the end");
	is_str(text, "", "gives nothing");
	get("wal/one", NULL, 3, 0, text, &code, &err);
	is_str(text, "", "a limit of 0 too");
	must(wa_store_stat(store, "wal/one", &stat, &err) == WA_OK);
	get("wal/one", &stat, 0, UINT64_MAX, text, &code, &err);
	is_code(code, WA_OK, &err, "the expected object");

	must(unlink(in_store("wal/one")) == 0);
	get("wal/one", &stat, 0, UINT64_MAX, text, &code, &err);
	is_code(code, WA_NOT_FOUND, &err, "one that was removed");
	store_text("wal/one", "abcdefghij");
	text[0] = '\0';
	is_int(get("wal/one", &stat, 0, UINT64_MAX, text, &code, &err), 0,
		   "another of the same size: no byte of it");
	is_code(code, WA_CHANGED, &err, "another of the same size");
}

static void
make_socket(const char *key)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int			fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%.100s",
			 in_store(key));
	must(bind(fd, (struct sockaddr *) &address, sizeof(address)) == 0);
	close(fd);
}

/* Absence is a proof; a failure is none. */
static void
test_absence(void)
{
	char		text[1001];
	WaStat		stat;
	WaCode		code;
	WaError		err;
	WaPut	   *put;

	open_store();
	is_code(wa_store_stat(store, "one", &stat, &err), WA_NOT_FOUND, &err,
			"no such name");
	is_code(wa_store_stat(store, "no/such/one", &stat, &err), WA_IO, &err,
			"a first part that is missing proves nothing");
	is_int(err.errno_value, ENOENT, "which failure");
	has_str(err.hint, "mounted", "the hint says what it may be");
	get("no/one", NULL, 0, 1, text, &code, &err);
	is_code(code, WA_IO, &err, "also for get");
	must(wa_store_make_prefix(store, "wal", &err) == WA_OK);
	is_code(wa_store_stat(store, "wal/such/one", &stat, &err), WA_NOT_FOUND,
			&err, "no such directory below one that is there");
	get("wal/one", NULL, 0, 1, text, &code, &err);
	is_code(code, WA_NOT_FOUND, &err, "also for get");
	must(symlink("nowhere", in_store("away")) == 0);
	is_code(wa_store_stat(store, "away/one", &stat, &err), WA_INVALID, &err,
			"a first part that leads nowhere proves nothing");
	must(symlink("/no/where", in_store("wal/away")) == 0);
	is_code(wa_store_stat(store, "wal/away/one", &stat, &err), WA_INVALID,
			&err, "nor does a later part");
	is_code(wa_store_stat(store, "wal/away", &stat, &err), WA_INVALID, &err,
			"nor does a link in the place of the object");
	get("wal/away", NULL, 0, 1, text, &code, &err);
	is_code(code, WA_INVALID, &err, "also for get");
	must(unlink(in_store("wal/away")) == 0);
	is_code(wa_store_remove(store, "one", &err), WA_NOT_FOUND, &err,
			"nothing to remove");
	is_code(wa_store_persist(store, "one", &err), WA_NOT_FOUND, &err,
			"nothing to persist");

	store_text("file", "text");
	is_code(wa_store_stat(store, "file/one", &stat, &err), WA_IO, &err,
			"a file where a directory should be is a failure");
	is_int(err.errno_value, ENOTDIR, "which one");
	get("file/one", NULL, 0, 1, text, &code, &err);
	is_code(code, WA_IO, &err, "also for get");
	is_code(wa_store_remove(store, "file/one", &err), WA_IO, &err,
			"also for remove");
	must(wa_put_begin(store, "file/one", &put, &err) == WA_OK);
	must(wa_put_stage(put, &err) == WA_OK);
	is_code(wa_put_commit(put, &err), WA_IO, &err, "also for commit");
	wa_put_close(put);

	must(symlink("loop", in_store("loop")) == 0);
	is_code(wa_store_stat(store, "loop", &stat, &err), WA_INVALID, &err,
			"a link to itself is a failure");
	must(mkdir(in_store("dir"), 0700) == 0);
	is_code(wa_store_stat(store, "dir", &stat, &err), WA_INVALID, &err,
			"a directory is no object");
	get("dir", NULL, 0, 1, text, &code, &err);
	is_code(code, WA_INVALID, &err, "also for get");
	must(mkfifo(in_store("fifo"), 0600) == 0);
	get("fifo", NULL, 0, 1, text, &code, &err);
	is_code(code, WA_INVALID, &err, "neither is a FIFO, and nobody waits");
	make_socket("socket");
	get("socket", NULL, 0, 1, text, &code, &err);
	is_code(code, WA_INVALID, &err, "nor a socket, which nobody can open");
	has_str(err.message, "socket\"", "which is named");

	if (am_root())
		skip("root may do everything", 4);
	else
	{
		store_text("closed/one", "text");
		must(chmod(in_store("closed"), 0) == 0);
		is_code(wa_store_stat(store, "closed/one", &stat, &err), WA_IO, &err,
				"a closed directory is a failure");
		is_code(wa_store_stat(store, "closed/two", &stat, &err), WA_IO, &err,
				"and no proof that something is not there");
		is_int(err.errno_value, EACCES, "which one");
		has_str(err.hint, "permission", "the hint says what to do");
		must(chmod(in_store("closed"), 0700) == 0);
	}
}

/* Nothing is done through a link, whoever made it and wherever it leads. */
static void
test_links(void)
{
	char		elsewhere[600];
	char		text[1001];
	WaStat		stat;
	WaCode		code;
	WaSwept		swept;
	WaError		err;
	WaPut	   *put;
	WaPut	   *other;

	open_store();
	store_text("dir/one", "text");
	store_text("dir/two", "text");
	snprintf(elsewhere, sizeof(elsewhere), "%s.elsewhere", top);
	remove_tree(elsewhere);
	put = staged("dir/new", "text");
	must(wa_store_stat(store, "dir/two", &stat, &err) == WA_OK);
	must(rename(in_store("dir"), elsewhere) == 0);
	must(symlink(elsewhere, in_store("dir")) == 0);

	is_code(wa_store_stat(store, "dir/one", &stat, &err), WA_INVALID, &err,
			"stat through a link to what was there");
	has_str(err.message, "/dir\" is a symbolic link", "names the link");
	has_str(err.hint, "the archive directory itself may be a link", "and the way out");
	ok(!wa_error_transient(&err), "waiting does not help");
	get("dir/one", NULL, 0, 1, text, &code, &err);
	is_code(code, WA_INVALID, &err, "get");
	is_code(wa_store_list(store, "dir", refuse_name, NULL, &err), WA_INVALID,
			&err, "list");
	is_code(wa_store_persist(store, "dir/one", &err), WA_INVALID, &err,
			"persist");
	is_code(wa_store_remove(store, "dir/one", &err), WA_INVALID, &err,
			"remove");
	is_code(wa_store_remove_prefix(store, "dir", &err), WA_INVALID, &err,
			"remove a prefix");
	is_code(wa_store_lock(store, "dir/lock", &err), WA_INVALID, &err, "lock");
	is_code(wa_put_commit(put, &err), WA_INVALID, &err, "commit");
	is_code(wa_put_set_aside(put, &stat, "aside/two", &err), WA_INVALID,
			&err, "set aside, from there");
	wa_put_rekey(put, "two");
	other = staged("two", "old");
	must(wa_put_commit(other, &err) == WA_OK);
	wa_put_close(other);
	must(wa_store_stat(store, "two", &stat, &err) == WA_OK);
	is_code(wa_put_set_aside(put, &stat, "dir/aside", &err), WA_INVALID,
			&err, "set aside, to there");
	ok(holds("two", "old"), "which leaves the old one");
	wa_put_close(put);
	is_int(count_names(elsewhere), 2, "nothing was made or removed there");

	must(rename(in_store("tmp"), in_store("was")) == 0);
	must(symlink(elsewhere, in_store("tmp")) == 0);
	is_code(wa_put_begin(store, "new", &put, &err), WA_INVALID, &err,
			"begin, with a link for tmp/");
	is_code(wa_store_sweep(store, NULL, 0, &swept, &err), WA_INVALID, &err,
			"sweep");
	is_int(count_names(elsewhere), 2, "nothing was made or removed there");

	must(symlink(elsewhere, in_store("lock")) == 0);
	is_code(wa_store_lock(store, "lock", &err), WA_INVALID, &err,
			"a link for a lock");
	must(mkfifo(in_store("fifo"), 0600) == 0);
	is_code(wa_store_lock(store, "fifo", &err), WA_INVALID, &err,
			"a FIFO for a lock");
	must(symlink(elsewhere, in_store("prefix")) == 0);
	is_code(wa_store_make_prefix(store, "prefix", &err), WA_INVALID, &err,
			"a link for a prefix");
}

/* Each lock is held until the store is closed, whatever else it locks. */
static void
test_locks(void)
{
	WaStore    *other;
	WaError		err;

	open_store();
	must(wa_store_dir_open(top, &options, &other, &err) == WA_OK);
	is_code(wa_store_lock(other, "one.lock", &err), WA_OK, &err, "a lock");
	is_code(wa_store_lock(other, "two.lock", &err), WA_OK, &err, "another");
	is_code(wa_store_lock(store, "one.lock", &err), WA_EXISTS, &err,
			"the first is held");
	is_code(wa_store_lock(store, "two.lock", &err), WA_EXISTS, &err,
			"so is the second");
	is_code(wa_store_lock(other, "one.lock", &err), WA_OK, &err,
			"which its holder may ask for again");
	is_code(wa_store_lock(other, "three.lock", &err), WA_INVALID, &err,
			"there is no room for a third");
	wa_store_close(other);
	is_code(wa_store_lock(store, "one.lock", &err), WA_OK, &err, "free again");
	is_code(wa_store_lock(store, "two.lock", &err), WA_OK, &err, "both");
}

/* The handle stays on the directory; the path may become another. */
static void
test_handle(void)
{
	WaStat		stat;
	WaStore    *other;
	WaError		err;
	char		moved[600];

	open_store();
	store_text("one", "text");
	snprintf(moved, sizeof(moved), "%s.moved", top);
	remove_tree(moved);
	must(rename(top, moved) == 0);
	must(mkdir(top, 0700) == 0);
	is_code(wa_store_stat(store, "one", &stat, &err), WA_OK, &err,
			"an open store stays on its directory");
	is_code(wa_store_dir_open(top, &options, &other, &err), WA_OK, &err,
			"opened anew");
	is_code(wa_store_stat(other, "one", &stat, &err), WA_NOT_FOUND, &err,
			"it is the other directory");
	wa_store_close(other);

	is_code(wa_store_dir_open(in_store("none"), &options, &other, &err),
			WA_NO_DIRECTORY, &err, "no such directory");
	ok(other == NULL, "no store");
	is_code(wa_store_dir_open("store", &options, &other, &err), WA_INVALID,
			&err, "a relative path");
	is_code(wa_store_dir_open("", &options, &other, &err), WA_INVALID, &err,
			"an empty path");
	write_file(in_store("file"), "x", 1);
	is_code(wa_store_dir_open(in_store("file"), &options, &other, &err),
			WA_INVALID, &err, "a file");
	is_code(wa_store_dir_open(in_store("file/x"), &options, &other, &err),
			WA_INVALID, &err, "something below a file");
	wa_store_close(NULL);
}

typedef struct Names
{
	int			count;
	int			prefixes;
	char		text[1000];
	WaCode		answer;
} Names;

static WaCode
note_name(void *arg, const char *name, bool is_prefix, WaError *err)
{
	Names	   *names = arg;

	names->count++;
	names->prefixes += is_prefix;
	snprintf(names->text + strlen(names->text),
			 sizeof(names->text) - strlen(names->text), "<%s>", name);
	return names->answer == WA_OK ? WA_OK
		: wa_fail(err, names->answer, "stop");
}

static void
test_list_and_remove(void)
{
	Names		names = {0};
	uint64_t	bytes = 0;
	WaError		err;

	open_store();
	is_code(wa_store_list(store, "", note_name, &names, &err), WA_OK, &err,
			"an empty place");
	is_int(names.count, 0, "has no names");
	is_code(wa_store_list(store, "wal", note_name, &names, &err), WA_OK, &err,
			"a prefix nobody used");
	is_int(names.count, 0, "has no names");
	store_text("wal/one", "1");
	store_text("wal/sub/two", "2");
	write_file(in_store("wal/.hidden"), "h", 1);
	is_code(wa_store_list(store, "wal", note_name, &names, &err), WA_OK, &err,
			"list");
	is_int(names.count, 3, "names");
	is_int(names.prefixes, 1, "one has names below it");
	ok(strstr(names.text, "<one>") && strstr(names.text, "<sub>") &&
	   strstr(names.text, "<.hidden>"), "all of them: %s", names.text);
	memset(&names, 0, sizeof(names));
	names.answer = WA_CHANGED;
	is_code(wa_store_list(store, "wal", note_name, &names, &err), WA_CHANGED,
			&err, "the caller can end a listing");
	is_int(names.count, 1, "at once");
	ok(wa_store_list(store, "wal/one", note_name, &names, &err) != WA_OK,
	   "an object is no prefix");

	is_code(wa_store_remove(store, "wal/one", &err), WA_OK, &err, "remove");
	ok(access(in_store("wal/one"), F_OK) != 0, "it is gone");
	is_code(wa_store_sync(store, &err), WA_OK, &err, "sync");
	ok(wa_store_remove(store, "wal/sub", &err) != WA_OK,
	   "a directory is not removed");
	is_code(wa_store_persist(store, "wal/sub/two", &err), WA_OK, &err,
			"persist");
	is_code(wa_store_free_bytes(store, &bytes, &err), WA_OK, &err,
			"free space");
	ok(bytes > 0, "is some: %llu", (unsigned long long) bytes);
}

/* More commits than a store remembers between two syncs. */
static void
test_many_commits(void)
{
	WaError		err;
	int			there = 0;

	open_store();
	for (int i = 0; i < 100; i++)
	{
		char		key[40];
		WaPut	   *put;

		snprintf(key, sizeof(key), "d%d/k%d", i % 40, i);
		put = staged(key, "x");
		must(wa_put_commit(put, &err) == WA_OK);
		wa_put_close(put);
	}
	is_code(wa_store_sync(store, &err), WA_OK, &err, "one sync for all");
	for (int i = 0; i < 100; i++)
		there += access(path_in_scratch("store/d%d/k%d", i % 40, i),
						F_OK) == 0;
	is_int(there, 100, "all are there");
}

static void
temporary(const char *name, int days_old)
{
	const char *path = path_in_scratch("store/tmp/%s", name);
	struct timespec times[2];

	write_file(path, "t", 1);
	clock_gettime(CLOCK_REALTIME, &times[0]);
	times[0].tv_sec -= (time_t) days_old * 24 * 60 * 60;
	times[1] = times[0];
	must(utimensat(AT_FDCWD, path, times, 0) == 0);
}

/*
 * Nobody can set the time of a file's last change of state, so the age of a
 * day itself cannot be shown here: only that an old time of its contents
 * alone, as cp -p or a backup sets it, does not make a file abandoned.
 */
static void
test_sweep(void)
{
	static const char *const tokens[] = {"aaaaaaaaaaaaaaaa", "", TOKEN};
	static const char *const kept[] = {
		TOKEN "-1",				/* this process's own */
		"bbbbbbbbbbbbbbbb-1",	/* of another living host */
		"cccccccccccccccc-1",	/* old by its contents only */
		"aaaaaaaaaaaaaaaa",		/* no name of ours, all of them */
		"aaaaaaaaaaaaaaaa-", "aaaaaaaaaaaaaaaa-1x", "aaaaaaaaaaaaaaaa-1.bak",
		"xaaaaaaaaaaaaaaaa-1", "AAAAAAAAAAAAAAAA-1", "aaaaaaaaaaaaaaaa_1",
		"README", ".hidden"
	};
	WaSwept		swept = {99, 99};
	WaError		err;
	int			left = 0;

	open_store();
	is_code(wa_store_sweep(store, tokens, 2, &swept, &err), WA_OK, &err,
			"nothing to sweep");
	is_int(swept.removed + swept.stayed, 0, "nothing swept");

	temporary("aaaaaaaaaaaaaaaa-1", 0);
	temporary("aaaaaaaaaaaaaaaa-22", 2);
	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
		temporary(kept[i], kept[i][0] == 'c' ? 5 : 0);
	must(mkdir(in_store("tmp/aaaaaaaaaaaaaaaa-7"), 0700) == 0);
	store_text("wal/aaaaaaaaaaaaaaaa-1", "an object");

	/* its own token never counts as an earlier one */
	is_code(wa_store_sweep(store, tokens, 3, &swept, &err), WA_OK, &err,
			"sweep");
	is_int(swept.removed, 2, "two were abandoned");
	is_int(swept.stayed, 0, "and went");
	ok(access(in_store("tmp/aaaaaaaaaaaaaaaa-1"), F_OK) != 0,
	   "what carries the last token is gone, however young");
	ok(access(in_store("tmp/aaaaaaaaaaaaaaaa-22"), F_OK) != 0, "all of it");
	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
	{
		bool		there = access(path_in_scratch("store/tmp/%s", kept[i]),
								   F_OK) == 0;

		ok(there, "kept: %s", kept[i]);
		left += there;
	}
	is_int(count_names(in_store("tmp")), left + 1,
		   "the directory is left too, and nothing else");
	ok(holds("wal/aaaaaaaaaaaaaaaa-1", "an object"),
	   "nothing outside tmp/ is looked at");
	is_code(wa_store_sweep(store, NULL, 0, &swept, &err), WA_OK, &err,
			"without any token");
	is_int(swept.removed, 0, "nothing swept");
}

/* After whoever waited has given up, nothing more is begun. */
static void
test_cancelled(void)
{
	static WaBeat beat;
	WaStore    *other;
	WaPut	   *put;
	WaPut	   *late;
	WaStat		stat;
	WaError		err;
	Names		names = {0};
	char		text[1001];
	WaBufferSink buffer;

	open_store();
	store_text("one", "text");
	must(wa_store_stat(store, "one", &stat, &err) == WA_OK);
	options.beat = &beat;
	must(wa_store_dir_open(top, &options, &other, &err) == WA_OK);
	must(wa_put_begin(other, "two", &put, &err) == WA_OK);
	is_int(atomic_load(&beat.count) % 2, 0, "no operation is under way");
	ok(atomic_load(&beat.count) > 0, "but there have been some");

	atomic_store(&beat.cancelled, true);
	is_code(wa_put_write(put, "x", 1, &err), WA_CANCELLED, &err, "write");
	is_code(wa_put_begin(other, "three", &late, &err), WA_CANCELLED, &err,
			"put_begin");
	is_code(wa_store_stat(other, "one", &stat, &err), WA_CANCELLED, &err,
			"stat is no proof of absence");
	is_code(wa_store_get(other, "one", NULL, 0, 10,
						 wa_sink_buffer(&buffer, text, 1000, "one"), &err),
			WA_CANCELLED, &err, "get");
	is_code(wa_store_list(other, "", note_name, &names, &err), WA_CANCELLED,
			&err, "list");
	is_code(wa_store_remove(other, "one", &err), WA_CANCELLED, &err, "remove");
	is_code(wa_store_persist(other, "one", &err), WA_CANCELLED, &err,
			"persist");
	ok(!wa_error_transient(&err), "nobody tries again");
	wa_put_close(put);
	is_int(count_names(in_store("tmp")), 0, "the put cleans up all the same");
	is_int(atomic_load(&beat.count) % 2, 0, "no operation is under way");
	wa_store_close(other);
	ok(holds("one", "text"), "the object is untouched");

	atomic_store(&beat.cancelled, true);
	is_code(wa_store_dir_open(top, &options, &other, &err), WA_CANCELLED, &err,
			"open");
}

int
main(void)
{
	scratch();
	umask(022);
	test_keys();
	test_no_key();
	test_put();
	test_abandoned_puts();
	test_set_aside();
	test_get();
	test_absence();
	test_links();
	test_locks();
	test_handle();
	test_list_and_remove();
	test_many_commits();
	test_sweep();
	test_cancelled();
	wa_store_close(store);
	return done_testing();
}
