/*
 * manifest.c
 *	  The manifest of a base backup against a small directory.
 */
#include "recovery/manifest.h"

#include <sys/stat.h>

#include "fixture.h"
#include "fuzz.h"

/* libFuzzer: -max_len=4096 -malloc_limit_mb=4 */

static void
make_directory(void)
{
	hold(mkdir("data", 0700) == 0 && mkdir("data/global", 0700) == 0);
	write_file("data/PG_VERSION", "15\n", 3);
	write_file("data/global/pg_control", "control", 7);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool made;
	WaError		err;
	WaCode		all;
	WaCode		one;

	scratch();
	if (!made)
		make_directory();
	made = true;
	write_file("data/backup_manifest", data, size);
	all = wa_manifest_check(path_in_scratch("data"), NULL, &err);
	one = wa_manifest_check(path_in_scratch("data"), "PG_VERSION", &err);
	hold(all != WA_OK || one == WA_OK);
	/* a file that no manifest names makes it wrong */
	if (all == WA_OK)
	{
		write_file("data/a\nstranger", "", 0);
		hold(wa_manifest_check(path_in_scratch("data"), NULL, &err) == WA_DAMAGED);
		hold(remove("data/a\nstranger") == 0);
	}
	return 0;
}
