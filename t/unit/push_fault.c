/*
 * push_fault.c
 *	  Archiving in which the n-th system call fails, for every n: the archive
 *	  holds the old object or the new one, never half of one, under no name a
 *	  wrong one, with nothing in tmp/; the bytes of a damaged object are never
 *	  lost; and the next try succeeds.  Also the order of the calls: data is
 *	  synced before it gets its name, its name before it is acknowledged.
 * */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include <zstd.h>

#include "archive/push.h"
#include "faults.h"
#include "fixture.h"
#include "tap.h"

#define OBJECT	"archive/wal/0000000100000000/" SEG_NAME ".zst"
#define ASIDE	"archive/damaged/" SEG_NAME ".zst."

/* The start: what lies in the archive before. */
typedef enum Scene
{
	SCENE_NEW,					/* an empty directory, never used */
	SCENE_ABSENT,				/* an archive without the object */
	SCENE_IDENTICAL,
	SCENE_DAMAGED,
	SCENE_CONFLICT,
	SCENE_COUNT
} Scene;

static const char *const scene_names[SCENE_COUNT] = {
	"new archive", "absent", "identical", "damaged", "conflict"
};

static unsigned char segment[SEG_1MB];
static unsigned char other[SEG_1MB];
static unsigned char *damaged;
static size_t damaged_bytes;
static WaBench *bench;
static WaArchive *archive;
static WaPushResult result;
static WaError err;

static bool unremoved;			/* removing a file failed */

static const char *
in(const char *key)
{
	return path_in_scratch("%s", key);
}

static void
reopen(void)
{
	WaArchiveConfig config;

	wa_archive_close(archive);
	archive_config(&config, in("archive"), SEG_1MB);
	archive = wa_archive_open(&config);
	must(archive != NULL);
}

static WaCode
push(WaBeat *beat)
{
	return wa_push(archive, bench, beat, 1, SEG_NAME, "source", 0, &result,
				   &err);
}

static void
set_scene(Scene scene)
{
	fault_end();
	remove_tree(in("archive"));
	(void) unlink("walarch.known");
	(void) unlink("walarch.known.tmp");
	must(mkdir(in("archive"), 0700) == 0);
	reopen();
	if (scene == SCENE_NEW)
		goto done;
	write_file("source", scene == SCENE_CONFLICT ? other : segment, SEG_1MB);
	must(push(NULL) == WA_OK);
	if (scene == SCENE_ABSENT)
		must(unlink(in(OBJECT)) == 0);
	else if (scene == SCENE_DAMAGED)
	{
		free(damaged);
		damaged = read_file(in(OBJECT), &damaged_bytes);
		damaged[damaged_bytes / 2] ^= 1;
		write_file(in(OBJECT), damaged, damaged_bytes);
	}
	reopen();
done:
	write_file("source", segment, SEG_1MB);
}

static bool
object_is(const unsigned char *data)
{
	size_t		bytes;
	unsigned char *object = read_file(in(OBJECT), &bytes);
	static unsigned char raw[SEG_1MB + 1];
	bool		good = object != NULL &&
		ZSTD_decompress(raw, sizeof(raw), object, bytes) == SEG_1MB &&
		memcmp(raw, data, SEG_1MB) == 0;

	free(object);
	return good;
}

static bool
damaged_is_kept(void)
{
	for (int n = 1; n < 4; n++)
		if (file_is(path_in_scratch(ASIDE "%d", n), damaged, damaged_bytes))
			return true;
	return file_is(in(OBJECT), damaged, damaged_bytes);
}

/* What is wrong with the archive after a push that returned `code`? */
static const char *
verdict(Scene scene, WaCode code)
{
	bool		ours = object_is(segment);
	bool		absent = access(in(OBJECT), F_OK) != 0;

	/* one that could not be removed waits for the next process */
	if (count_names(in("archive/tmp")) != 0 && !unremoved)
		return "something is left in tmp/";
	if (access("walarch.known.tmp", F_OK) == 0 && !unremoved)
		return "something is left in the data directory";
	if (scene == SCENE_CONFLICT)
		return code == WA_OK ? "a conflict was acknowledged" :
			object_is(other) ? NULL : "the other object was touched";
	if (code == WA_OK && !ours)
		return "acknowledged, and not there";
	if (code == WA_OK && access("walarch.known", F_OK) != 0)
		return "acknowledged, and the archive not noted";
	if (ours)
		return scene == SCENE_DAMAGED && !damaged_is_kept() ?
			"the damaged bytes are lost" : NULL;
	switch (scene)
	{
		case SCENE_NEW:
		case SCENE_ABSENT:
			return absent ? NULL : "half an object";
		case SCENE_DAMAGED:
			return absent ? "the key is without an object" :
				file_is(in(OBJECT), damaged, damaged_bytes) ? NULL :
				"neither the old object nor ours";
		default:
			return "the identical object was touched";
	}
}

typedef struct Mode
{
	const char *name;
	int			errno_value;
	bool		and_all_later;
	bool		cancel;
	bool		new_process;	/* the next try is another process's */
	bool		writing_only;	/* only where something is to be written */
} Mode;

static const Mode modes[] = {
	{"EIO", EIO, false, false, false, false},
	{"EIO from then on", EIO, true, false, false, false},
	{"given up", 0, false, true, false, false},
	{"EIO, then another process", EIO, false, false, true, true},
};

static void
run_scene(Scene scene, const Mode *mode)
{
	int			n = 0;
	int			wrong = 0;
	int			lied = 0;
	int			unhealed = 0;
	int			kept_suspect = 0;

	for (fault.fired = true; fault.fired && n < 1000;)
	{
		WaBeat		beat = {0};
		WaCode		code;
		const char *complaint;
		bool		visible;

		n++;
		set_scene(scene);
		fault.and_all_later = mode->and_all_later;
		fault.cancel_at = mode->cancel ? &beat : NULL;
		fault_begin(n, mode->errno_value);
		code = push(&beat);
		fault_end();
		unremoved = fault.fired && !mode->cancel &&
			(mode->and_all_later ||
			 strncmp(fault.failed_call, "unlink", 6) == 0);
		if (fault.fired && !mode->cancel && mode->errno_value == ENOSPC &&
			code == WA_NO_MEMORY)
			lied++;

		complaint = verdict(scene, code);
		if (complaint != NULL && wrong++ == 0)
			diag("operation %d (%s) failed, push said \"%s\": %s", n,
				 fault.failed_call, wa_code_name(code), complaint);
		if (code == WA_OK && atomic_load(&beat.count) % 2 != 0)
			lied++;
		visible = code != WA_OK && object_is(segment);

		/* and once more, with nothing in the way */
		if (mode->new_process)
			reopen();
		code = push(NULL);
		complaint = verdict(scene, code);
		if ((scene == SCENE_CONFLICT ? code != WA_CONFLICT : code != WA_OK) ||
			complaint != NULL)
		{
			if (unhealed++ == 0)
				diag("after operation %d (%s): the next try said \"%s\" (%s),"
					 " %s", n, fault.failed_call, wa_code_name(code), err.message,
					 complaint != NULL ? complaint : "");
		}

		/*
		 * The kernel reports a failed fsync once, and the next one of the
		 * same file shows nothing: such an object must be written anew.
		 */
		if (visible && fault.fired && !mode->new_process && !mode->cancel &&
			strcmp(fault.failed_call, "fsync") == 0 &&
			result.outcome == WA_PUSH_IDENTICAL && kept_suspect++ == 0)
			diag("operation %d: an fsync failed after the object was visible,"
				 " and the next try trusted it", n);
	}
	ok(n > 10 && n < 1000, "%s, %s: %d operations", scene_names[scene],
	   mode->name, n - 1);
	is_int(wrong, 0, "%s, %s: old or new, never half", scene_names[scene],
		   mode->name);
	is_int(unhealed, 0, "%s, %s: the next try succeeds", scene_names[scene],
		   mode->name);
	is_int(kept_suspect, 0, "%s, %s: what an fsync failed on is not trusted",
		   scene_names[scene], mode->name);
	is_int(lied, 0, "%s, %s: no beat is left open", scene_names[scene],
		   mode->name);
}

/* Where is a line that begins so in the trace?  -1: nowhere. */
static long
at(const char *line, long from)
{
	const char *found = from < 0 ? NULL : strstr(fault.trace + from, line);

	return found != NULL ? found - fault.trace : -1;
}

static void
traced_push(Scene scene, const char *refused)
{
	set_scene(scene);
	fault.refuse = refused;
	fault_begin(0, 0);
	is_code(push(NULL), WA_OK, &err, "%s%s%s", scene_names[scene],
			refused != NULL ? ", without " : "",
			refused != NULL ? refused : "");
	fault_end();
	fault.refuse = NULL;
}

static bool
in_order(long a, long b)
{
	bool		good = a >= 0 && b > a;

	if (!good)
		diag("the trace:\n%s", fault.trace);
	return good;
}

static void
test_order(void)
{
	long		staged;
	long		published;
	long		named;

	traced_push(SCENE_ABSENT, NULL);
	staged = at("fsync:/archive/tmp/" TOKEN, 0);
	published = at("renameat2:/archive/wal/0000000100000000/" SEG_NAME, 0);
	named = at("fsync:/archive/wal/0000000100000000\n", published);
	ok(in_order(staged, published), "the data is synced before its name");
	ok(in_order(published, named), "then its directory");
	ok(in_order(published, at("fsync:/archive/wal\n", published)),
	   "the directory above, once");
	ok(in_order(published, at("fsync:/archive\n", published)),
	   "the archive itself, once");
	ok(in_order(0, at("fsync:\n", 1)), "and the directory it is in");
	ok(at("write:/archive/tmp", staged + 1) < 0,
	   "nothing is written after the sync");

	must(unlink(in(OBJECT)) == 0);
	fault_begin(0, 0);
	must(push(NULL) == WA_OK);
	fault_end();
	ok(at("fsync:/archive/wal/0000000100000000\n", 0) >= 0,
	   "the next file: its directory is synced");
	ok(at("fsync:/archive\n", 0) < 0 && at("fsync:/archive/wal\n", 0) < 0,
	   "those above are known by now");

	traced_push(SCENE_IDENTICAL, NULL);
	ok(in_order(at("fsync:/archive/wal/0000000100000000/" SEG_NAME, 0),
				at("fsync:/archive/wal/0000000100000000\n", 0)),
	   "what was there is synced too, data and name");
	ok(at("renameat2:/archive/wal", 0) < 0, "and gets no new name");

	traced_push(SCENE_DAMAGED, NULL);
	is_int(result.outcome, WA_PUSH_REPLACED, "replaced");
	published = at("renameat2:/archive/wal/0000000100000000/" SEG_NAME, 0);
	ok(in_order(at("fsync:/archive/damaged\n", 0), published),
	   "a name in damaged/ is durable before the exchange");
	ok(in_order(published, at("fsync:/archive/damaged\n", published)),
	   "and after it");
	ok(in_order(published, at("fsync:/archive/wal/0000000100000000\n",
							  published)), "and so is the key");

	traced_push(SCENE_NEW, NULL);
	published = at("renameat2:/archive/archive.id", 0);
	ok(in_order(at("fsync:/archive/tmp/" TOKEN, 0), published),
	   "a new archive: the marker is synced before its name");
	ok(in_order(at("fsync:/archive\n", published), at("rename:walarch.known",
													  0)),
	   "the marker is durable before the note of it");
	ok(in_order(at("rename:walarch.known", 0),
				at("renameat2:/archive/wal/0000000100000000/" SEG_NAME, 0)),
	   "and the note before the first object");
	ok(in_order(at("write:/walarch.known.tmp", 0),
				at("fsync:/walarch.known.tmp", 0)) &&
	   in_order(at("fsync:/walarch.known.tmp", 0),
				at("rename:walarch.known", 0)),
	   "the note is synced before its name");
	published = at("rename:walarch.known", 0);
	ok(in_order(published, at("fsync:\n", published)),
	   "and its directory after it");
}

/* A file system that cannot rename without replacing, or not even link. */
static void
test_old_file_system(void)
{
	traced_push(SCENE_NEW, "renameat2");
	ok(object_is(segment), "published by a link");
	is_int(count_names(in("archive/tmp")), 0, "nothing is left in tmp/");
	traced_push(SCENE_DAMAGED, "renameat2");
	is_int(result.outcome, WA_PUSH_REPLACED, "replaced by a plain rename");
	ok(object_is(segment) && damaged_is_kept(), "with the old bytes kept");
	is_int(count_names(in("archive/tmp")), 0, "nothing is left in tmp/");
	set_scene(SCENE_CONFLICT);
	fault.refuse = "renameat2";
	fault_begin(0, 0);
	is_code(push(NULL), WA_CONFLICT, &err, "a conflict is one there too");
	fault_end();
	fault.refuse = NULL;
	ok(object_is(other), "and nothing was replaced");
}

static void
test_every_kind_seen(void)
{
	static const char *const calls[] = {
		"open:", "openat:", "read:", "pread:", "write:", "fsync:",
		"renameat2:", "rename:", "mkdirat:", "fstat:", "fstatat:"
	};

	traced_push(SCENE_NEW, NULL);
	fault.active = true;
	must(push(NULL) == WA_OK);
	fault_end();
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		ok(at(calls[i], 0) >= 0, "calls of this kind are seen: %s", calls[i]);
}

int
main(void)
{
	scratch();
	bench = wa_bench_open();
	must(bench != NULL);
	make_segment(segment, SEG_1MB, SEG_NAME, SYSID, 1);
	make_segment(other, SEG_1MB, SEG_NAME, SYSID, 2);
	test_every_kind_seen();
	test_order();
	test_old_file_system();
	for (int scene = 0; scene < SCENE_COUNT; scene++)
		for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
			if (!modes[i].writing_only || scene == SCENE_ABSENT ||
				scene == SCENE_DAMAGED)
				run_scene((Scene) scene, &modes[i]);
	for (int i = 0; i < FAULT_KINDS; i++)
	{
		Mode		mode = {
			.name = fault_kinds[i].name,
			.errno_value = fault_kinds[i].fail_with
		};

		if (mode.errno_value == EIO)
			continue;
		run_scene(SCENE_ABSENT, &mode);
		run_scene(SCENE_DAMAGED, &mode);
	}

	/* once more where renameat2 is refused */
	fault.refuse = "renameat2";
	run_scene(SCENE_ABSENT, &modes[0]);
	run_scene(SCENE_DAMAGED, &modes[0]);
	fault.refuse = NULL;

	wa_archive_close(archive);
	wa_bench_close(bench);
	free(damaged);
	return done_testing();
}
