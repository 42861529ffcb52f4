/*
 * foreign.c
 *	  Directories of WAL that walarch did not write.
 */
#include "archive/foreign.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/history.h"
#include "core/sink_check.h"
#include "core/sink_gzip.h"
#include "core/sink_lz4.h"

#define PATH_BYTES		2048
#define READ_BYTES		(128 * 1024)
#define TEXT_BYTES_MAX	WA_HISTORY_BYTES_MAX

/* How a file is packed, by the end of its name; tried in this order. */
typedef enum Packing
{
	PACKING_PLAIN,
	PACKING_ZSTD,
	PACKING_GZIP,
	PACKING_LZ4,
	PACKING_COUNT
} Packing;

static const char *const suffixes[PACKING_COUNT] = {"", ".zst", ".gz", ".lz4"};

/* Call for each candidate that exists, until it says WA_OK. */
typedef WaCode (*CandidateFn) (void *arg, int fd, const char *path,
							   Packing packing, WaError *err);

/* A link that leads nowhere proves nothing.  Keeps errno. */
static bool
is_link(int dir_fd, const char *file)
{
	int			save_errno = errno;
	struct stat st;
	bool		result = fstatat(dir_fd, file, &st,
								 AT_SYMLINK_NOFOLLOW) == 0;

	errno = save_errno;
	return result;
}

/*
 * Walk the candidates.  WA_NOT_FOUND: each lookup was answered "no such
 * file" in a directory that could be opened.  Otherwise WA_OK from the first
 * that passed, or the error of the first that did not.
 */
static WaCode
walk_candidates(const WaForeign *foreign, const WaWalName *name,
				WaBeat *beat, CandidateFn each, void *arg, WaError *err)
{
	WaError		first;
	char		path[PATH_BYTES];

	first.code = WA_OK;
	for (int i = 0; i < foreign->count * PACKING_COUNT; i++)
	{
		const char *directory = foreign->directories[i / PACKING_COUNT];
		Packing		packing = (Packing) (i % PACKING_COUNT);
		int			dir_fd;
		int			fd = -1;
		char		file[WA_WALNAME_BYTES + 8];

		snprintf(file, sizeof(file), "%s%s", name->text, suffixes[packing]);
		snprintf(path, sizeof(path), "%s/%s", directory, file);
		err->code = WA_OK;
		WA_BEAT(beat, dir_fd, open(directory,
								   O_RDONLY | O_DIRECTORY | O_CLOEXEC));
		if (dir_fd < 0)
			wa_fail_errno(err, errno, "could not open directory \"%s\"",
						  directory);
		else
		{
			WA_BEAT(beat, fd, openat(dir_fd, file, O_RDONLY | O_CLOEXEC |
									 O_NONBLOCK));
			if (fd < 0 && (errno != ENOENT || is_link(dir_fd, file)))
				wa_fail_errno(err, errno, "could not open \"%s\"", path);
			(void) wa_beat_close(beat, dir_fd);
		}
		if (fd >= 0)
		{
			WaCode		code = each(arg, fd, path, packing, err);

			(void) wa_beat_close(beat, fd);
			if (code == WA_OK)
				return WA_OK;
		}
		if (err->code != WA_OK && first.code == WA_OK)
			first = *err;
	}
	if (first.code != WA_OK)
	{
		*err = first;
		return err->code;
	}
	return wa_fail(err, WA_NOT_FOUND, "\"%s\" is in none of the further "
				   "directories", name->text);
}

static WaCode
candidate_exists(void *arg, int fd, const char *path, Packing packing,
				 WaError *err)
{
	(void) arg;
	(void) fd;
	(void) path;
	(void) packing;
	(void) err;
	return WA_OK;
}

WaCode
wa_foreign_find(const WaForeign *foreign, const WaWalName *name, WaBeat *beat,
				WaError *err)
{
	return walk_candidates(foreign, name, beat, candidate_exists, NULL, err);
}

typedef struct Fetch
{
	const WaForeign *foreign;
	const WaWalName *name;
	WaZstd	   *zstd;
	const WaDestination *destination;
	WaBeat	   *beat;
} Fetch;

/* Put the unpacking sink for a candidate in front of `next`. */
static WaSink *
unpacker(Packing packing, WaZstd *zstd, uint64_t bytes_max, const char *path,
		 WaSink *next)
{
	switch (packing)
	{
		case PACKING_ZSTD:
			return wa_sink_zstd_decompress(zstd, bytes_max, WA_ZSTD_ANY, path,
										   next);
		case PACKING_GZIP:
			return wa_sink_gzip_decompress(bytes_max, path, next);
		case PACKING_LZ4:
			return wa_sink_lz4_decompress(bytes_max, path, next);
		default:
			return next;
	}
}

static WaCode
pump(int fd, const char *path, WaBeat *beat, WaSink *to, WaError *err)
{
	unsigned char *buffer = malloc(READ_BYTES);
	ssize_t		got = 1;

	if (buffer == NULL)
		return wa_fail(err, WA_NO_MEMORY, "out of memory reading \"%s\"",
					   path);
	err->code = WA_OK;
	while (got > 0 && err->code == WA_OK)
	{
		WA_BEAT(beat, got, read(fd, buffer, READ_BYTES));
		if (got < 0 && errno == EINTR)
			got = 1;
		else if (got < 0)
			wa_fail_errno(err, errno, "could not read \"%s\"", path);
		else if (got > 0)
			err->code = wa_sink_write(to, buffer, (size_t) got, err);
	}
	free(buffer);
	return err->code;
}

/* A WAL segment or .partial of the right size and with the right header? */
static WaCode
check_wal(const Fetch *fetch, const WaCheckSink *check, const char *path,
		  WaError *err)
{
	WaWalHeader header;
	WaWalExpect expect = {
		.name = fetch->name,
		.system_identifier = fetch->foreign->system_identifier,
		.segment_bytes = fetch->foreign->segment_bytes
	};

	if (!wa_sink_check_header(check, &header))
		return wa_fail(err, WA_DAMAGED, "\"%s\" is truncated", path);
	if (expect.segment_bytes == 0 &&
		wa_segment_bytes_valid(header.segment_bytes))
		expect.segment_bytes = header.segment_bytes;
	if (expect.segment_bytes == 0 || check->bytes != expect.segment_bytes)
	{
		wa_fail(err, WA_DAMAGED, "\"%s\" holds %" PRIu64 " bytes, which is "
				"not a whole WAL segment", path, check->bytes);
		wa_hint(err, "Perhaps it was being copied when the copy was cut "
				"off. Look for another copy of it.");
		return err->code;
	}
	return wa_walheader_check(&header, &expect, path, err);
}

/* Unpack into memory first: a text must be whole before it is delivered. */
static WaCode
fetch_text(const Fetch *fetch, int fd, const char *path, Packing packing,
		   WaDelivery *delivery, WaError *err)
{
	unsigned char *text = malloc(TEXT_BYTES_MAX);
	WaBufferSink buffer;
	WaSink	   *chain;
	WaHistory	history;
	WaCode		code;

	if (text == NULL)
		return wa_fail(err, WA_NO_MEMORY, "out of memory reading \"%s\"",
					   path);
	chain = unpacker(packing, fetch->zstd, TEXT_BYTES_MAX, path,
					 wa_sink_buffer(&buffer, text, TEXT_BYTES_MAX, path));
	if (chain == NULL)
		code = wa_fail(err, WA_NO_MEMORY, "out of memory reading \"%s\"",
					   path);
	else
		code = pump(fd, path, fetch->beat, chain, err);
	if (code == WA_OK)
		code = wa_sink_finish(chain, err);
	wa_sink_close(chain);
	if (code == WA_OK && buffer.length == 0)
		code = wa_fail(err, WA_DAMAGED, "\"%s\" is empty", path);
	if (code == WA_OK && fetch->name->kind == WA_KIND_HISTORY)
	{
		code = wa_history_parse((char *) text, buffer.length,
								fetch->name->tli, path, &history, err);
		if (code == WA_OK)
			wa_history_free(&history);
	}
	if (code == WA_OK)
		code = wa_sink_write(wa_delivery_sink(delivery), text, buffer.length,
							 err);
	free(text);
	return code;
}

static WaCode
fetch_wal(const Fetch *fetch, int fd, const char *path, Packing packing,
		  WaDelivery *delivery, WaError *err)
{
	WaCheckSink check;
	WaSink	   *chain = wa_sink_check(&check, wa_delivery_sink(delivery));
	WaCode		code;

	if (chain != NULL)
		chain = unpacker(packing, fetch->zstd, WA_SEGMENT_BYTES_MAX, path,
						 chain);
	if (chain == NULL)
		return wa_fail(err, WA_NO_MEMORY, "out of memory reading \"%s\"",
					   path);
	code = pump(fd, path, fetch->beat, chain, err);
	if (code == WA_OK)
		code = wa_sink_finish(chain, err);
	if (code == WA_OK)
		code = check_wal(fetch, &check, path, err);
	wa_sink_close(chain);
	return code;
}

static WaCode
fetch_candidate(void *arg, int fd, const char *path, Packing packing,
				WaError *err)
{
	const Fetch *fetch = arg;
	WaDelivery *delivery;
	struct stat st;
	WaCode		code;

	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		return wa_fail(err, WA_INVALID, "\"%s\" is not a regular file", path);
	if (wa_delivery_open(fetch->destination, fetch->beat, &delivery,
						 err) != WA_OK)
		return err->code;
	if (fetch->name->kind == WA_KIND_SEGMENT ||
		fetch->name->kind == WA_KIND_PARTIAL)
		code = fetch_wal(fetch, fd, path, packing, delivery, err);
	else
		code = fetch_text(fetch, fd, path, packing, delivery, err);
	if (code == WA_OK)
		code = wa_delivery_commit(delivery, err);
	wa_delivery_close(delivery);
	return code;
}

WaCode
wa_foreign_fetch(const WaForeign *foreign, const WaWalName *name,
				 WaZstd *zstd, const WaDestination *destination, WaBeat *beat,
				 WaError *err)
{
	Fetch		fetch = {foreign, name, zstd, destination, beat};

	return walk_candidates(foreign, name, beat, fetch_candidate, &fetch, err);
}
