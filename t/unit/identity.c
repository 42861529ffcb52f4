/*
 * identity.c
 *	  A directory becomes an archive by itself only when it is empty and was
 *	  never used before; another cluster's is refused, always; a marker that
 *	  is gone is not made anew; of two that race one marker holds, and the
 *	  memory of what was used has the lines of both.
 */
#include "archive/identity.h"

#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive/known.h"
#include "archive/layout.h"
#include "fixture.h"
#include "tap.h"

#define ID1		"11111111111111111111111111111111"
#define ID2		"22222222222222222222222222222222"

static char path[512];
static WaStore *store;
static WaIdentity identity;

static void
open_store(void)
{
	WaStoreOptions options;
	WaError		err;

	wa_store_close(store);
	store_options(&options);
	must(wa_store_dir_open(path, &options, &store, &err) == WA_OK);
}

/* An empty directory and a cluster that has used none. */
static void
fresh(void)
{
	snprintf(path, sizeof(path), "%s", path_in_scratch("archive"));
	remove_tree(path);
	must(mkdir(path, 0700) == 0);
	(void) unlink(path_in_scratch(WA_KNOWN_FILE));
	memset(&identity, 0, sizeof(identity));
	identity.path = path;
	identity.system_identifier = SYSID;
	identity.segment_bytes = SEG_1MB;
	identity.known_file = WA_KNOWN_FILE;
	identity.known_mode = 0600;
	memcpy(identity.new_archive_id, ID1, sizeof(ID1));
	open_store();
}

static const char *
in_archive(const char *key)
{
	return path_in_scratch("archive/%s", key);
}

static bool
exists(const char *file)
{
	return access(file, F_OK) == 0;
}

static void
known(const char *id, bool *path_known, bool *id_known)
{
	WaError		err;

	must(wa_known_find(WA_KNOWN_FILE, path, id, path_known, id_known,
					   &err) == WA_OK);
}

static void
put_marker(const char *id, uint64_t sysid, uint32_t segment_bytes)
{
	WaMarker	marker = {.system_identifier = sysid, .segment_bytes = segment_bytes};
	char		text[WA_MARKER_BYTES_MAX];

	memcpy(marker.archive_id, id, sizeof(marker.archive_id));
	write_file(in_archive(WA_KEY_MARKER), text,
			   wa_marker_format(&marker, text));
}

static void
test_created(void)
{
	WaAttached	attached;
	WaMarker	marker;
	WaError		err;
	bool		path_known;
	bool		id_known;
	struct stat st;

	fresh();
	is_code(wa_identity_read(store, path, &marker, &err), WA_NO_MARKER, &err,
			"an empty directory has no marker");
	has_str(err.hint, "walarch init", "the hint says what to do");
	is_code(wa_identity_attach(store, &identity, &attached, &err), WA_OK, &err,
			"empty and new: taken");
	ok(attached.created && !attached.new_id, "it was made");
	is_str(attached.marker.archive_id, ID1, "with our id");
	is_code(wa_identity_read(store, path, &marker, &err), WA_OK, &err,
			"its marker");
	is_int(marker.system_identifier, SYSID, "says whose it is");
	is_int(marker.segment_bytes, SEG_1MB, "and of what size");
	known(ID1, &path_known, &id_known);
	ok(path_known && id_known, "the cluster has noted it");
	must(stat(WA_KNOWN_FILE, &st) == 0);
	is_int(st.st_mode & 0777, 0600, "mode of the note");
	ok(!exists(WA_KNOWN_FILE ".tmp"), "no temporary of it is left");
	is_int(count_names(in_archive("tmp")), 0, "none in the archive either");

	memcpy(identity.new_archive_id, ID2, sizeof(ID2));
	is_code(wa_identity_attach(store, &identity, &attached, &err), WA_OK, &err,
			"a second time");
	ok(!attached.created && !attached.new_id, "nothing new");
	is_str(attached.marker.archive_id, ID1, "the same id");

	/* the mount is gone, and what lies below it is empty */
	must(unlink(in_archive(WA_KEY_MARKER)) == 0);
	is_code(wa_identity_attach(store, &identity, &attached, &err),
			WA_NO_MARKER, &err, "the marker is gone, the path was used");
	ok(!exists(in_archive(WA_KEY_MARKER)), "none was made");
	has_str(err.hint, "mounted", "the hint says what it may be");
}

static void
test_not_empty(void)
{
	static const struct
	{
		const char *name;
		bool		directory;
		bool		taken;
	}			table[] = {
		{"lost+found", true, true}, {"tmp", true, true},
		{"lost+found/x", false, true},
		{"tmp/" TOKEN "-0", false, false}, {"tmp/x", false, false},
		{"file", false, false}, {".hidden", false, false},
		{"wal", true, true}, {"wal/x", false, false}, {"wal/y", true, false},
		{"base", true, false}, {"lost+found2", true, false}
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
	{
		WaAttached	attached;
		WaError		err;
		bool		empty = !table[i].taken;

		fresh();
		must(mkdir(in_archive("lost+found"), 0700) == 0);
		must(mkdir(in_archive("tmp"), 0700) == 0);
		must(mkdir(in_archive("wal"), 0700) == 0);
		if (table[i].directory)
			(void) mkdir(in_archive(table[i].name), 0700);
		else
			write_file(in_archive(table[i].name), "x", 1);
		is_code(wa_identity_empty(store, &empty, &err), WA_OK, &err,
				"\"%s\": can be told", table[i].name);
		is_int(empty, table[i].taken, "\"%s\": %s", table[i].name,
			   table[i].taken ? "empty" : "not empty");
		is_code(wa_identity_attach(store, &identity, &attached, &err),
				table[i].taken ? WA_OK : WA_NO_MARKER, &err, "\"%s\": %s",
				table[i].name, table[i].taken ? "taken" : "refused");
		is_int(exists(in_archive(WA_KEY_MARKER)), table[i].taken,
			   "\"%s\": marker", table[i].name);
		is_int(exists(WA_KNOWN_FILE), table[i].taken, "\"%s\": note",
			   table[i].name);
	}
}

static void
test_foreign(void)
{
	WaAttached	attached;
	WaMarker	marker;
	WaError		err;

	fresh();
	put_marker(ID2, SYSID + 1, SEG_1MB);
	is_code(wa_identity_attach(store, &identity, &attached, &err),
			WA_WRONG_CLUSTER, &err, "another cluster's archive");
	has_str(err.message, path, "the message names it");
	is_code(wa_identity_init(store, &identity, &marker, &err),
			WA_WRONG_CLUSTER, &err, "also for init");
	put_marker(ID2, SYSID, 2 * SEG_1MB);
	is_code(wa_identity_attach(store, &identity, &attached, &err),
			WA_WRONG_CLUSTER, &err, "another segment size");
	ok(!exists(WA_KNOWN_FILE), "nothing was noted");

	must(wa_known_add(WA_KNOWN_FILE, path, ID2, 0600, &err) == WA_OK);
	put_marker(ID2, SYSID + 1, SEG_1MB);
	is_code(wa_identity_attach(store, &identity, &attached, &err),
			WA_WRONG_CLUSTER, &err, "also when its id was noted once");

	write_file(in_archive(WA_KEY_MARKER), "garbage", 7);
	is_code(wa_identity_attach(store, &identity, &attached, &err), WA_DAMAGED,
			&err, "a marker that is none");
	ok(file_is(in_archive(WA_KEY_MARKER), "garbage", 7), "is not replaced");
	is_code(wa_identity_init(store, &identity, &marker, &err), WA_DAMAGED,
			&err, "also for init");
	write_file(in_archive(WA_KEY_MARKER), "", 0);
	is_code(wa_identity_attach(store, &identity, &attached, &err), WA_DAMAGED,
			&err, "an empty one");
	must(unlink(in_archive(WA_KEY_MARKER)) == 0);
	must(mkdir(in_archive(WA_KEY_MARKER), 0700) == 0);
	is_code(wa_identity_attach(store, &identity, &attached, &err), WA_INVALID,
			&err, "a directory of that name");
	if (am_root())
		skip("root may read everything", 1);
	else
	{
		must(rmdir(in_archive(WA_KEY_MARKER)) == 0);
		put_marker(ID2, SYSID, SEG_1MB);
		must(chmod(in_archive(WA_KEY_MARKER), 0) == 0);
		is_code(wa_identity_attach(store, &identity, &attached, &err), WA_IO,
				&err, "one that cannot be read");
	}
}

/* A marker that was there first, of our own cluster. */
static void
test_adopted(void)
{
	WaAttached	attached;
	WaError		err;
	bool		path_known;
	bool		id_known;

	fresh();
	put_marker(ID2, SYSID, SEG_1MB);
	write_file(in_archive("other"), "x", 1);
	is_code(wa_identity_attach(store, &identity, &attached, &err), WA_OK, &err,
			"our own cluster's archive");
	ok(!attached.created && !attached.new_id, "found, and new to nobody");
	is_str(attached.marker.archive_id, ID2, "its id");
	known(ID2, &path_known, &id_known);
	ok(path_known && id_known, "noted");

	put_marker(ID1, SYSID, SEG_1MB);
	is_code(wa_identity_attach(store, &identity, &attached, &err), WA_OK, &err,
			"another archive of ours at the same path");
	ok(attached.new_id, "is told");
	known(ID1, &path_known, &id_known);
	ok(id_known, "and noted");
	known(ID2, &path_known, &id_known);
	ok(id_known, "beside the first");
	is_code(wa_identity_attach(store, &identity, &attached, &err), WA_OK, &err,
			"once more");
	ok(!attached.new_id, "no news");
}

static const WaStoreOps *real_ops;
static WaStoreOps racing_ops;

/* Somebody else is faster just before our marker would get its name. */
static WaCode
racing_commit(WaPut *put, WaError *err)
{
	put_marker(ID2, identity.system_identifier, identity.segment_bytes);
	return real_ops->put_commit(put, err);
}

static WaCode
racing_commit_foreign(WaPut *put, WaError *err)
{
	put_marker(ID2, identity.system_identifier + 1, identity.segment_bytes);
	return real_ops->put_commit(put, err);
}

static void
test_race(void)
{
	WaAttached	attached;
	WaMarker	marker;
	WaError		err;
	bool		path_known;
	bool		id_known;

	fresh();
	real_ops = store->ops;
	racing_ops = *real_ops;
	racing_ops.put_commit = racing_commit;
	store->ops = &racing_ops;
	is_code(wa_identity_attach(store, &identity, &attached, &err), WA_OK, &err,
			"the loser of a race");
	is_str(attached.marker.archive_id, ID2, "takes the winner's id");
	ok(!attached.created, "and does not say it was his");
	known(ID2, &path_known, &id_known);
	ok(id_known, "and notes it");
	is_int(count_names(in_archive("tmp")), 0, "and leaves nothing behind");

	fresh();
	racing_ops.put_commit = racing_commit_foreign;
	store->ops = &racing_ops;
	is_code(wa_identity_attach(store, &identity, &attached, &err),
			WA_WRONG_CLUSTER, &err, "a race lost to another cluster");
	ok(!exists(WA_KNOWN_FILE), "nothing was noted");
	fresh();
	store->ops = &racing_ops;
	is_code(wa_identity_init(store, &identity, &marker, &err),
			WA_WRONG_CLUSTER, &err, "also for init");
}

static void
test_init(void)
{
	WaAttached	attached;
	WaMarker	marker;
	WaError		err;

	fresh();
	write_file(in_archive("something"), "x", 1);
	must(wa_known_add(WA_KNOWN_FILE, path, ID2, 0600, &err) == WA_OK);
	is_code(wa_identity_attach(store, &identity, &attached, &err),
			WA_NO_MARKER, &err, "refused");
	is_code(wa_identity_init(store, &identity, &marker, &err), WA_OK, &err,
			"until a person says so");
	is_str(marker.archive_id, ID1, "a new id");
	is_code(wa_identity_attach(store, &identity, &attached, &err), WA_OK, &err,
			"then it is taken");
	ok(attached.new_id, "with news of its id");
	is_code(wa_identity_init(store, &identity, &marker, &err), WA_EXISTS, &err,
			"a second init");
	is_str(marker.archive_id, ID1, "shows what is there");
}

static void
test_known(void)
{
	WaError		err;
	bool		path_known;
	bool		id_known;
	char	   *large;

	fresh();
	known(ID1, &path_known, &id_known);
	ok(!path_known && !id_known, "no file knows nothing");
	must(wa_known_add(WA_KNOWN_FILE, "/a b/c", ID1, 0600, &err) == WA_OK);
	must(wa_known_add(WA_KNOWN_FILE, "/other", ID2, 0600, &err) == WA_OK);
	must(wa_known_find(WA_KNOWN_FILE, "/a b/c", ID1, &path_known, &id_known,
					   &err) == WA_OK);
	ok(path_known && id_known, "a path with a blank");
	must(wa_known_find(WA_KNOWN_FILE, "/a b/c", ID2, &path_known, &id_known,
					   &err) == WA_OK);
	ok(path_known && !id_known, "the id of another path");
	must(wa_known_find(WA_KNOWN_FILE, "/a b", ID1, &path_known, &id_known,
					   &err) == WA_OK);
	ok(!path_known, "half a path");
	must(wa_known_find(WA_KNOWN_FILE, "", "", &path_known, &id_known,
					   &err) == WA_OK);
	ok(!path_known, "comments name no path");

	/* a person has edited it and left out the last line end */
	write_file(WA_KNOWN_FILE, ID1 " /one", strlen(ID1 " /one"));
	must(wa_known_add(WA_KNOWN_FILE, "/two", ID2, 0600, &err) == WA_OK);
	must(wa_known_find(WA_KNOWN_FILE, "/one", ID1, &path_known, &id_known,
					   &err) == WA_OK);
	ok(path_known && id_known, "a last line without its end is kept");
	must(wa_known_find(WA_KNOWN_FILE, "/two", ID2, &path_known, &id_known,
					   &err) == WA_OK);
	ok(path_known && id_known, "and so is the one added");

	/* what a crash in the middle left */
	write_file(WA_KNOWN_FILE ".tmp", "half", 4);
	is_code(wa_known_add(WA_KNOWN_FILE, "/three", ID1, 0600, &err), WA_OK,
			&err, "over an old temporary");
	ok(!exists(WA_KNOWN_FILE ".tmp"), "which is gone");

	(void) unlink(WA_KNOWN_FILE);
	must(mkdir(WA_KNOWN_FILE, 0700) == 0);
	ok(wa_known_find(WA_KNOWN_FILE, path, ID1, &path_known, &id_known,
					 &err) != WA_OK, "what cannot be read is an error");
	must(rmdir(WA_KNOWN_FILE) == 0);
	large = calloc(1, 1024 * 1024 + 1);
	write_file(WA_KNOWN_FILE, large, 1024 * 1024 + 1);
	free(large);
	is_code(wa_known_find(WA_KNOWN_FILE, path, ID1, &path_known, &id_known,
						  &err), WA_DAMAGED, &err, "too large");
	must(unlink(WA_KNOWN_FILE) == 0);
}

#define ADDERS		2
#define LINES		50

/* As the threads of two archives, with a reload between them, may do. */
static void *
add_lines(void *arg)
{
	const char *prefix = arg;

	for (int i = 0; i < LINES; i++)
	{
		char		line[40];
		WaError		err;

		snprintf(line, sizeof(line), "%s/%d", prefix, i);
		if (wa_known_add(WA_KNOWN_FILE, line, ID1, 0600, &err) != WA_OK)
		{
			diag("%s: %s", line, err.message);
			return arg;
		}
	}
	return NULL;
}

static void
test_known_together(void)
{
	static char prefixes[ADDERS][8] = {"/old", "/new"};
	pthread_t	threads[ADDERS];
	int			failed = 0;
	int			lost = 0;

	fresh();
	for (int i = 0; i < ADDERS; i++)
		must(pthread_create(&threads[i], NULL, add_lines, prefixes[i]) == 0);
	for (int i = 0; i < ADDERS; i++)
	{
		void	   *result;

		must(pthread_join(threads[i], &result) == 0);
		failed += result != NULL;
	}
	for (int i = 0; i < ADDERS * LINES; i++)
	{
		char		line[40];
		bool		path_known;
		bool		id_known;
		WaError		err;

		snprintf(line, sizeof(line), "%s/%d", prefixes[i % ADDERS],
				 i / ADDERS);
		must(wa_known_find(WA_KNOWN_FILE, line, ID1, &path_known, &id_known,
						   &err) == WA_OK);
		lost += !id_known;
	}
	is_int(failed, 0, "threads that add at the same time all succeed");
	is_int(lost, 0, "and no line of theirs is lost");
}

/* A damaged memory must not look like none. */
static void
test_known_damaged(void)
{
	static const struct
	{
		const char *text;
		size_t		length;
		const char *what;
	}			cases[] = {
		{"\0\0\0\0", 4, "zeros"},
		{"# head\nnonsense\n", 16, "a line without a path"},
		{"0123 /archive\n", 14, "an id that is too short"},
		{"00000000000000000000000000000000 archive\n", 41,
		"a path that is not absolute"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		FILE	   *file = fopen("known.damaged", "w");
		bool		path_known;
		bool		id_known;
		WaError		err;

		must(file != NULL);
		must(fwrite(cases[i].text, 1, cases[i].length, file) ==
			 cases[i].length);
		must(fclose(file) == 0);
		is_code(wa_known_find("known.damaged", "/archive", "", &path_known,
							  &id_known, &err), WA_DAMAGED, &err, "%s",
				cases[i].what);
	}
	must(unlink("known.damaged") == 0);
}

int
main(void)
{
	scratch();
	test_created();
	test_not_empty();
	test_foreign();
	test_adopted();
	test_race();
	test_init();
	test_known();
	test_known_together();
	test_known_damaged();
	wa_store_close(store);
	return done_testing();
}
