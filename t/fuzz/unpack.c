/*
 * unpack.c
 *	  A hostile tar archive in a base backup: nothing is written outside of the
 *	  directory, and nothing but files and directories in it.
 *
 * Unpacking is done by a process of its own, in which a fuzzer sees nothing;
 * so its source is taken in here, to call what that process calls.
 */
#include <archive.h>
#include <archive_entry.h>

#include "fuzz.h"

static int	check_header(struct archive *to, struct archive_entry *entry);

#define archive_write_header check_header
#include "recovery/unpack.c"
#undef archive_write_header

#include <ftw.h>

#include "fixture.h"
#include "memstore.h"

/* libFuzzer: -max_len=8192 -malloc_limit_mb=8 -rss_limit_mb=512 */

static const char *jail;
static unsigned found_below;
static bool of_tablespace;		/* whose global/pg_control means nothing */

/* Judged anew, in other words than the code under test has. */
static int
check_header(struct archive *to, struct archive_entry *entry)
{
	const char *path = archive_entry_pathname(entry);
	char	   *slashed = malloc(strlen(path) + 3);

	hold(slashed != NULL);
	sprintf(slashed, "/%s/", path);
	hold(path[0] != '/' && path[0] != '\0');
	hold(strstr(slashed, "/../") == NULL);
	hold(archive_entry_filetype(entry) == AE_IFREG ||
		 archive_entry_filetype(entry) == AE_IFDIR);
	hold(archive_entry_hardlink(entry) == NULL);
	hold((archive_entry_perm(entry) & ~0750) == 0);
	free(slashed);
	return archive_write_header(to, entry);
}

static int
look(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	hold(S_ISREG(st->st_mode) || S_ISDIR(st->st_mode));
	hold((st->st_mode & 07000) == 0);
	hold(!S_ISREG(st->st_mode) || st->st_nlink == 1);
	hold(of_tablespace || strcmp(path + ftw->base, "pg_control") != 0 ||
		 strcmp(path + strlen(path) - strlen(WA_CONTROL_FILE),
				WA_CONTROL_FILE) != 0 || ftw->level != 2);
	found_below++;
	return 0;
}

/* Beside the directory lies one file, and it is what it was. */
static void
check_jail(void)
{
	hold(count_names(jail) == 2);
	hold(file_is(path_in_scratch("jail/beside"), "beside", 6));
	found_below = 0;
	hold(nftw(path_in_scratch("jail/out"), look, 16, FTW_PHYS) == 0);
	hold(found_below >= 1);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static WaZstd *zstd;
	unsigned char frame[16 * 1024];
	MemStore	memory;
	WaBaseFile	file = {.name = WA_BASE_MAIN};
	WaBaseBackup backup = {.id = "fuzzed", .files_count = 1, .files = &file};
	WaUnpackJob job = {.backup = &backup, .file = &file};
	size_t		frame_bytes;
	uint8_t		steer;
	WaError		err;
	WaCode		code;

	if (zstd == NULL)
	{
		zstd = wa_zstd_open();
		jail = strdup(path_in_scratch("jail"));
		hold(mkdir(jail, 0700) == 0);
		write_file(path_in_scratch("jail/beside"), "beside", 6);
	}
	hold(mkdir(path_in_scratch("jail/out"), 0700) == 0);
	snprintf(job.directory, sizeof(job.directory), "%s/out", jail);

	fuzz_take(&data, &size, &steer, 1);
	of_tablespace = (steer & 1) != 0;
	if (of_tablespace)
		strcpy(file.name, "16384.tar.zst");
	hold(wa_zstd_compress(zstd, 1, data, size, frame, sizeof(frame),
						  &frame_bytes, &err) == WA_OK);
	file.raw_bytes = size;
	file.stored_bytes = frame_bytes;
	wa_digest_of(data, size, &file.digest);
	/* told by its digest only, when everything has been written */
	if ((steer & 2) != 0)
		file.digest.bytes[0] ^= 1;
	code = unpack_one(memstore(&memory, frame, frame_bytes), &job, -1, &err);
	hold(code != WA_OK || (steer & 2) == 0);
	hold(chdir(scratch()) == 0);
	check_jail();
	remove_tree(path_in_scratch("jail/out"));
	return 0;
}
