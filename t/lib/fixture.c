/*
 * fixture.c
 *	  Files, WAL segments and archives for the unit tests.
 */
#include "fixture.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "archive/push.h"
#include "core/bytes.h"
#include "core/walheader.h"

static char scratch_path[512];

static void
die(const char *what, const char *path)
{
	printf("Bail out! could not %s \"%s\"\n", what, path);
	perror(path);
	exit(255);
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void) st;
	(void) type;
	(void) ftw;
	(void) chmod(path, 0700);
	return remove(path);
}

/* Directories closed by a test are opened again on the way in. */
static int
open_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void) ftw;
	if (type == FTW_D || type == FTW_DNR)
		(void) chmod(path, st->st_mode | 0700);
	return 0;
}

void
remove_tree(const char *path)
{
	(void) nftw(path, open_one, 16, FTW_PHYS);
	(void) nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void
remove_scratch(void)
{
	if (chdir("/") == 0)
		remove_tree(scratch_path);
}

const char *
scratch(void)
{
	const char *base = getenv("TMPDIR");

	if (scratch_path[0] != '\0')
		return scratch_path;
	snprintf(scratch_path, sizeof(scratch_path), "%s/walarch-unit.XXXXXX",
			 base != NULL ? base : "/tmp");
	if (mkdtemp(scratch_path) == NULL || chdir(scratch_path) != 0)
		die("make directory", scratch_path);
	atexit(remove_scratch);
	return scratch_path;
}

const char *
path_in_scratch(const char *format,...)
{
	static char paths[8][1024];
	static int	next;
	char	   *path = paths[next++ % 8];
	int			length = snprintf(path, 1024, "%s/", scratch());
	va_list		args;

	va_start(args, format);
	vsnprintf(path + length, (size_t) (1024 - length), format, args);
	va_end(args);
	return path;
}

void
write_file(const char *path, const void *data, size_t length)
{
	const char *at = data;
	int			fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	if (fd < 0)
		die("create", path);
	while (length > 0)
	{
		ssize_t		written = write(fd, at, length);

		if (written <= 0)
			die("write", path);
		at += written;
		length -= (size_t) written;
	}
	close(fd);
}

unsigned char *
read_file(const char *path, size_t *length)
{
	int			fd = open(path, O_RDONLY);
	struct stat st;
	unsigned char *data;

	*length = 0;
	if (fd < 0)
		return NULL;
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		die("stat", path);
	data = malloc((size_t) st.st_size + 1);
	while (*length < (size_t) st.st_size)
	{
		ssize_t		got = read(fd, data + *length,
							   (size_t) st.st_size - *length);

		if (got <= 0)
			die("read", path);
		*length += (size_t) got;
	}
	data[*length] = '\0';
	close(fd);
	return data;
}

bool
file_is(const char *path, const void *data, size_t length)
{
	size_t		there;
	unsigned char *bytes = read_file(path, &there);
	bool		result = bytes != NULL && there == length &&
		memcmp(bytes, data, length) == 0;

	free(bytes);
	return result;
}

int
count_names(const char *directory)
{
	DIR		   *dir = opendir(directory);
	int			count = 0;

	if (dir == NULL)
		return 0;
	while (readdir(dir) != NULL)
		count++;
	closedir(dir);
	return count - 2;
}

/* One line, since a listing of the threads is cut short when one ends. */
int
count_threads(void)
{
	FILE	   *status = fopen("/proc/self/status", "r");
	char		line[200];
	int			count = 0;

	while (status != NULL && count == 0 &&
		   fgets(line, sizeof(line), status) != NULL)
		(void) sscanf(line, "Threads: %d", &count);
	if (status == NULL || count == 0)
		die("count the threads in", "/proc/self/status");
	fclose(status);
	return count;
}

void
fill(unsigned char *data, size_t length, uint32_t seed)
{
	uint64_t	state = seed * UINT64_C(2654435761) + 1;

	for (size_t i = 0; i < length; i++)
	{
		/* runs of text with some noise between */
		state = state * UINT64_C(6364136223846793005) + 1442695040888963407;
		data[i] = (i / 64) % 4 == 0 ? (unsigned char) (state >> 56)
			: (unsigned char) ("record of a heap page "[i % 22]);
	}
}

#define PAGE_BYTES	8192

void
make_segment(unsigned char *data, uint32_t segment_bytes, const char *name,
			 uint64_t system_identifier, uint32_t seed)
{
	WaWalName	parsed;
	WaError		err;
	uint64_t	segno = 0;
	uint32_t	left = segment_bytes;	/* more than there is room for */

	if (wa_walname_parse(name, &parsed, &err) != WA_OK ||
		wa_walname_segno(&parsed, segment_bytes, &segno, &err) != WA_OK)
		die("make segment", name);
	fill(data, segment_bytes, seed);
	for (uint32_t at = 0; at < segment_bytes; at += PAGE_BYTES)
	{
		uint32_t	header = at == 0 ? WA_WALHEADER_BYTES :
			WA_WALHEADER_SHORT_BYTES;

		memset(data + at, 0, header);
		wa_put16(data + at + WA_WALHEADER_MAGIC, WAL_MAGIC);
		wa_put16(data + at + WA_WALHEADER_INFO, WA_XLP_CONTRECORD |
				 (at == 0 ? WA_XLP_LONG_HEADER : 0));
		wa_put32(data + at + WA_WALHEADER_TLI, parsed.tli);
		wa_put64(data + at + WA_WALHEADER_PAGEADDR,
				 segno * segment_bytes + at);
		wa_put32(data + at + WA_WALHEADER_REM_LEN, left);
		left -= PAGE_BYTES - header;
	}
	wa_put64(data + WA_WALHEADER_SYSID, system_identifier);
	wa_put32(data + WA_WALHEADER_SEG_SIZE, segment_bytes);
	wa_put32(data + WA_WALHEADER_BLCKSZ, PAGE_BYTES);
}

uint64_t
test_clock_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t) now.tv_sec * 1000000 + (uint64_t) now.tv_nsec / 1000;
}

void
store_options(WaStoreOptions *options)
{
	memset(options, 0, sizeof(*options));
	memcpy(options->token, TOKEN, sizeof(TOKEN));
	options->file_mode = 0600;
	options->dir_mode = 0700;
}

void
archive_config(WaArchiveConfig *config, const char *path,
			   uint32_t segment_bytes)
{
	memset(config, 0, sizeof(*config));
	snprintf(config->path, sizeof(config->path), "%s", path);
	config->system_identifier = SYSID;
	config->segment_bytes = segment_bytes;
	config->wal_magic = WAL_MAGIC;
	config->file_mode = 0600;
	config->dir_mode = 0700;
	memcpy(config->token, TOKEN, sizeof(TOKEN));
	memcpy(config->new_archive_id, "0123456789abcdef0123456789abcdef",
		   sizeof(config->new_archive_id));
	config->now_us = test_clock_us;
}

void
archive_bytes(const char *path, const char *name, const void *bytes,
			  size_t length, int64_t now_us)
{
	WaArchiveConfig config;
	WaBench    *bench = wa_bench_open();
	WaArchive  *archive;
	WaPushResult result;
	WaError		err;

	archive_config(&config, path, 1024 * 1024);
	archive = wa_archive_open(&config);
	write_file("source", bytes, length);
	if (archive == NULL || bench == NULL ||
		wa_push(archive, bench, NULL, 1, name, "source", now_us, &result,
				&err) != WA_OK)
		die("archive", name);
	wa_archive_close(archive);
	wa_bench_close(bench);
}

size_t
backup_history(unsigned segno, const char *time_zone, char *name, char *text,
			   size_t bytes)
{
	snprintf(name, WA_WALNAME_BYTES, "0000000100000000%08X.00000028.backup",
			 segno);
	return (size_t)
		snprintf(text, bytes,
				 "START WAL LOCATION: 0/%X (file 0000000100000000%08X)\n"
				 "STOP WAL LOCATION: 0/%X (file 0000000100000000%08X)\n"
				 "CHECKPOINT LOCATION: 0/%X\nBACKUP METHOD: streamed\n"
				 "BACKUP FROM: primary\nSTART TIME: 2026-11-23 01:00:00 UTC\n"
				 "LABEL: x\nSTART TIMELINE: 1\n"
				 "STOP TIME: 2026-11-23 01:00:01 %s\nSTOP TIMELINE: 1\n",
				 segno * SEG_1MB + 0x28, segno, segno * SEG_1MB + 0x100, segno,
				 segno * SEG_1MB + 0x60, time_zone);
}

bool
am_root(void)
{
	return geteuid() == 0;
}
