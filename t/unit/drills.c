/*
 * drills.c
 *	  Which files below drills/ are reports, and what they tell; whatever else
 *	  lies there is passed over.
 */
#include "archive/drills.h"

#include <sys/stat.h>

#include "fixture.h"
#include "tap.h"

#define NOW_US	INT64_C(1790000000000000)	/* 2026-09-21 */
#define PASSED	"walarch-drill: 1\nresult: passed\n"
#define FAILED	"walarch-drill: 1\nresult: FAILED\n"

static WaStore *store;
static WaError err;

static void
put_file(const char *name, const char *text)
{
	write_file(path_in_scratch("archive/drills/%s", name), text, strlen(text));
}

static void
test_reports(void)
{
	WaDrillsSeen seen;

	put_file("20260901T021500Z.txt", PASSED);
	put_file("20260902T021500Z-2.txt", FAILED);
	is_code(wa_drills_look(store, NOW_US, &seen, &err), WA_OK, &err, "reports");
	is_int(seen.count, 2, "both count");
	ok(seen.any_passed && !seen.last_passed, "the newer one failed");
	is_int(seen.passed_us, INT64_C(1788228900000000), "the time of the other");
}

/* Each would be a report, or a key that cannot be, to a lenient reader. */
static void
test_others(void)
{
	static const char *const names[] = {
		"20260903T0215 0Z.txt", "2026 903T021500Z.txt", "2026+903T021500Z.txt",
		" 20260903T021500Z.txt", "20260903T02150Z.txt", "20260903T021500.txt",
		"20260903T021500Z-2x.txt", "20260903T021500Z.json", "notes"
	};
	WaDrillsSeen seen;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		put_file(names[i], PASSED);
	is_code(wa_drills_look(store, NOW_US, &seen, &err), WA_OK, &err,
			"other files beside them");
	is_int(seen.count, 2, "do not count");
	ok(!seen.last_passed, "and change nothing");
}

int
main(void)
{
	WaStoreOptions options;

	must(mkdir(path_in_scratch("archive"), 0700) == 0);
	must(mkdir(path_in_scratch("archive/drills"), 0700) == 0);
	store_options(&options);
	must(wa_store_dir_open(path_in_scratch("archive"), &options, &store,
						   &err) == WA_OK);
	test_reports();
	test_others();
	wa_store_close(store);
	return done_testing();
}
