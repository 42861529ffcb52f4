/*
 * push.c
 *	  One file into the archive: read, checked, compressed, made durable.
 *
 * The same bytes that were checked and digested are compressed and stored:
 * the source is read once.
 */
#include "archive/push_internal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive/layout.h"
#include "core/history.h"
#include "core/lsn.h"
#include "core/sink_check.h"

#define TEXT_BYTES_MAX		(1024 * 1024)	/* of .history and .backup */
#define PIECE_BYTES			(1024 * 1024)	/* of a streamed source */
#define CACHED_BYTES		(256 * 1024)	/* fits into a processor's cache */

/*
 * Some of what is still to come of the source, at least a byte of it.  pg_wal,
 * too, can be on a disk that hangs.
 */
static WaCode
read_some(WaPush *push, int fd, void *data, uint64_t length, size_t *got,
		  WaError *err)
{
	ssize_t		result;

	do
		WA_BEAT(push->beat, result, read(fd, data, (size_t) length));
	while (result < 0 && errno == EINTR);
	if (result < 0)
		return wa_fail_errno(err, errno, "could not read \"%s\"",
							 push->source);
	if (result == 0)
		return wa_fail(err, WA_INVALID, "\"%s\" shrank while it was read",
					   push->source);
	*got = (size_t) result;
	return WA_OK;
}

/* The time since the last lap belongs to *us. */
void
wa_push_lap(WaPush *push, uint64_t *us)
{
	uint64_t	now_us = wa_archive_config(push->archive)->now_us();

	if (us != NULL)
		*us += now_us - push->lap_us;
	push->lap_us = now_us;
}

/* The source is archived all the same; this says what is wrong with it. */
static void
note_damage(WaPush *push, const WaError *err)
{
	snprintf(push->result->damage, sizeof(push->result->damage), "%.*s",
			 (int) sizeof(push->result->damage) - 1, err->message);
}

/* What the walk over the records found. */
static void
note_scan(WaPush *push, WaScan *scan)
{
	const WaScanResult *result = wa_scan_finish(scan);
	bool		torn = result->end == WA_SCAN_TORN &&
		push->name.kind == WA_KIND_SEGMENT;

	push->envelope.scan = *result;
	push->envelope.scanned = true;
	if (push->result->damage[0] != '\0' ||
		(result->end != WA_SCAN_DAMAGED && !torn))
		return;
	push->result->torn = torn;
	snprintf(push->result->damage, sizeof(push->result->damage),
			 torn ? "its WAL ends in the middle of a record at "
			 WA_LSN_FORMAT ": %s" : "WAL is damaged at " WA_LSN_FORMAT ": %s",
			 WA_LSN_ARGS(result->stop_lsn), result->reason);
}

/* What kind of damage the first page shows, or a refusal. */
static WaCode
check_header(WaPush *push, const void *page, WaError *err)
{
	WaWalHeader header;
	WaWalExpect expect = {
		.name = &push->name,
		.magic = wa_archive_config(push->archive)->wal_magic,
		.system_identifier = wa_archive_config(push->archive)->system_identifier,
		.segment_bytes = wa_archive_config(push->archive)->segment_bytes
	};

	wa_walheader_read(page, &header);
	push->envelope.wal_magic = header.magic;
	switch (wa_walheader_check(&header, &expect, push->source, err))
	{
		case WA_OK:
			return WA_OK;
		case WA_DAMAGED:
			note_damage(push, err);
			return WA_OK;
		default:
			return err->code;
	}
}

/* A timeline history that nobody can read is noted like a damaged page. */
static void
check_history(WaPush *push, WaError *err)
{
	WaHistory	history;

	if (push->name.kind != WA_KIND_HISTORY)
		return;
	if (wa_history_parse((const char *) push->bench->raw,
						 (size_t) push->envelope.raw_bytes, push->name.tli,
						 push->source, &history, err) == WA_OK)
		wa_history_free(&history);
	else if (err->code == WA_DAMAGED)
		note_damage(push, err);
}

static bool
is_wal(const WaWalName *name)
{
	return name->kind == WA_KIND_SEGMENT || name->kind == WA_KIND_PARTIAL;
}

static WaCode
check_source_size(WaPush *push, uint64_t size, WaError *err)
{
	uint32_t	segment_bytes = wa_archive_config(push->archive)->segment_bytes;

	if (is_wal(&push->name) && size != segment_bytes)
	{
		wa_fail(err, WA_INVALID,
				"\"%s\" has %" PRIu64 " bytes instead of %" PRIu32,
				push->source, size, segment_bytes);
		wa_hint(err, "A WAL segment of another size is truncated or of "
				"another cluster; it was not archived.");
		return err->code;
	}
	if (!is_wal(&push->name) && (size == 0 || size > TEXT_BYTES_MAX))
	{
		wa_fail(err, WA_INVALID,
				"\"%s\" has %" PRIu64 " bytes: not a history file",
				push->source, size);
		wa_hint(err, "It was not archived. Compare it with the copies of "
				"other servers of this cluster.");
		return err->code;
	}
	return WA_OK;
}

/*
 * Digest what was read, and walk its records, in pieces that stay in the
 * processor's cache for both.
 */
static WaCode
examine(WaPush *push, WaScan *scan, WaError *err)
{
	WaDigestState *digest = wa_digest_open();
	size_t		size = (size_t) push->envelope.raw_bytes;

	if (digest == NULL)
		return wa_fail(err, WA_NO_MEMORY, "out of memory reading \"%s\"",
					   push->source);
	for (size_t at = 0; at < size; at += CACHED_BYTES)
	{
		size_t		some = size - at < CACHED_BYTES ? size - at : CACHED_BYTES;

		wa_digest_update(digest, push->bench->raw + at, some);
		if (scan != NULL)
			wa_scan_feed(scan, push->bench->raw + at, some);
	}
	wa_digest_result(digest, &push->envelope.digest);
	wa_digest_close(digest);
	push->digest_known = true;
	return WA_OK;
}

static WaCode
open_scan(WaPush *push, WaScan **scan, WaError *err)
{
	*scan = NULL;
	if (!is_wal(&push->name))
		return WA_OK;
	*scan = wa_scan_open(&push->name,
						 wa_archive_config(push->archive)->segment_bytes,
						 wa_archive_config(push->archive)->wal_magic);
	return *scan != NULL ? WA_OK :
		wa_fail(err, WA_NO_MEMORY, "out of memory reading \"%s\"",
				push->source);
}

/* Read a source of up to WA_WHOLE_BYTES_MAX into the bench and judge it. */
static WaCode
read_whole(WaPush *push, int fd, size_t size, WaError *err)
{
	size_t		length = 0;
	WaScan	   *scan;
	WaCode		code;

	if (!wa_bench_raw(push->bench, size))
		return wa_fail(err, WA_NO_MEMORY, "out of memory reading \"%s\"",
					   push->source);
	while (length < size)
	{
		size_t		got;

		if (read_some(push, fd, push->bench->raw + length, size - length,
					  &got, err) != WA_OK)
			return err->code;
		length += got;
	}
	push->raw_held = true;
	if (open_scan(push, &scan, err) != WA_OK)
		return err->code;
	code = examine(push, scan, err);
	if (code == WA_OK && scan != NULL)
		code = check_header(push, push->bench->raw, err);
	if (code == WA_OK && scan != NULL)
		note_scan(push, scan);
	wa_scan_close(scan);
	return code;
}

static WaCode
open_source(WaPush *push, WaError *err)
{
	struct stat st;
	int			fd;
	int			result;

	WA_BEAT(push->beat, fd, open(push->source,
							  O_RDONLY | O_CLOEXEC | O_NONBLOCK));
	if (fd < 0 && errno == ENOENT)
		return wa_fail(err, WA_NOT_FOUND, "\"%s\" does not exist",
					   push->source);
	result = fd >= 0 ? fstat(fd, &st) : -1;
	if (result != 0)
	{
		wa_fail_errno(err, errno, "could not open \"%s\"", push->source);
		goto fail;
	}
	if (!S_ISREG(st.st_mode))
	{
		wa_fail(err, WA_INVALID, "\"%s\" is not a regular file",
				push->source);
		goto fail;
	}
	if (check_source_size(push, (uint64_t) st.st_size, err) != WA_OK)
		goto fail;
	wa_source_of(&st, &push->result->source);
	push->envelope.raw_bytes = (uint64_t) st.st_size;
	push->result->raw_bytes = (uint64_t) st.st_size;

	if (push->envelope.raw_bytes > WA_WHOLE_BYTES_MAX)
	{
		push->fd = fd;			/* its first page is checked when it comes */
		return WA_OK;
	}
	if (read_whole(push, fd, (size_t) st.st_size, err) != WA_OK)
		goto fail;
	close(fd);
	check_history(push, err);
	return WA_OK;

fail:
	if (fd >= 0)
		close(fd);
	return err->code;
}

WaCode
wa_push_open(WaArchive *archive, WaBench *bench, WaBeat *beat,
			 const char *name, const char *source, int64_t archived_at_us,
			 WaPushResult *result, WaPush **push, WaError *err)
{
	const WaArchiveConfig *config = wa_archive_config(archive);
	WaPush	   *self = calloc(1, sizeof(*self));
	uint64_t	segno;

	*push = NULL;
	memset(result, 0, sizeof(*result));
	if (self == NULL)
		return wa_fail(err, WA_NO_MEMORY, "out of memory archiving \"%s\"",
					   name);
	self->archive = archive;
	self->bench = bench;
	self->beat = beat;
	self->result = result;
	self->fd = -1;
	snprintf(self->source, sizeof(self->source), "%s", source);

	if (wa_walname_parse(name, &self->name, err) != WA_OK ||
		(self->name.kind != WA_KIND_HISTORY &&
		 wa_walname_segno(&self->name, config->segment_bytes, &segno,
						  err) != WA_OK))
		goto fail;
	wa_layout_key(&self->name, self->key);
	self->envelope.kind = self->name.kind;
	memcpy(self->envelope.name, self->name.text, WA_WALNAME_BYTES);
	self->envelope.system_identifier = config->system_identifier;
	self->envelope.tli = self->name.tli;
	self->envelope.segment_bytes = config->segment_bytes;
	self->envelope.archived_at_us = archived_at_us;

	wa_push_lap(self, NULL);
	if (open_source(self, err) != WA_OK)
		goto fail;
	wa_push_lap(self, &result->read_us);
	if (wa_archive_visit(archive, beat, &self->store, &result->visit,
						 err) != WA_OK)
		goto fail;
	wa_push_lap(self, &result->store_us);
	*push = self;
	return WA_OK;

fail:
	wa_push_close(self);
	return err->code;
}

/* The envelope, once body and damage of the source are known. */
static size_t
seal(WaPush *push, unsigned char *buffer)
{
	size_t		bytes;

	if (!push->result->torn)
		memcpy(push->envelope.damage, push->result->damage,
			   sizeof(push->envelope.damage));
	bytes = wa_envelope_encode(&push->envelope, buffer);
	push->result->stored_bytes = push->envelope.body_bytes + bytes;
	return bytes;
}

/*
 * Compress what lies in the bench and write it out, the envelope behind it,
 * in one piece.
 */
static WaCode
write_whole(WaPush *push, int level, WaError *err)
{
	WaBench    *bench = push->bench;
	size_t		raw_bytes = (size_t) push->envelope.raw_bytes;
	size_t		bound = wa_zstd_bound(raw_bytes);
	size_t		bytes;

	if (!wa_bench_frame(bench, bound + WA_ENVELOPE_TAIL_BYTES))
		return wa_fail(err, WA_NO_MEMORY, "out of memory compressing \"%s\"",
					   push->source);
	if (wa_zstd_compress(bench->zstd, level, bench->raw, raw_bytes,
						 bench->frame, bound, &bytes, err) != WA_OK)
		return err->code;
	push->envelope.body_bytes = bytes;
	bytes += seal(push, bench->frame + bytes);
	wa_push_lap(push, &push->result->compress_us);
	return wa_put_write(push->put, bench->frame, bytes, err);
}

/* Read, check, digest, compress and write piece by piece. */
static WaCode
write_streamed(WaPush *push, int level, WaError *err)
{
	WaBench    *bench = push->bench;
	uint64_t	left = push->envelope.raw_bytes;
	WaPutSink	put_sink;
	WaSink	   *put = wa_put_sink(&put_sink, push->put);
	WaSink	   *packer;
	WaCheckSink check;
	WaSink	   *chain;
	WaScan	   *scan;
	unsigned char envelope[WA_ENVELOPE_TAIL_BYTES];
	WaCode		code = WA_OK;

	assert(!push->digest_known);	/* a streamed source is read once */
	if (!wa_bench_raw(bench, PIECE_BYTES))
		return wa_fail(err, WA_NO_MEMORY, "out of memory reading \"%s\"",
					   push->source);
	if (open_scan(push, &scan, err) != WA_OK)
		return err->code;
	packer = wa_sink_zstd_compress(bench->zstd, level, left, put);
	chain = packer != NULL ? wa_sink_check(&check, packer) : NULL;
	if (chain == NULL)
	{
		wa_scan_close(scan);
		return wa_fail(err, WA_NO_MEMORY, "out of memory compressing \"%s\"",
					   push->source);
	}

	while (left > 0 && code == WA_OK)
	{
		size_t		got;

		code = read_some(push, push->fd, bench->raw,
						 left < PIECE_BYTES ? left : PIECE_BYTES, &got, err);
		wa_push_lap(push, &push->result->read_us);
		if (code != WA_OK)
			break;
		wa_scan_feed(scan, bench->raw, got);
		code = wa_sink_write(chain, bench->raw, got, err);
		left -= got;
		wa_push_lap(push, &push->result->compress_us);
	}
	if (code == WA_OK)
		code = check_header(push, check.first, err);
	if (code == WA_OK)
	{
		note_scan(push, scan);
		code = wa_sink_finish(chain, err);
	}
	if (code == WA_OK)
	{
		wa_sink_check_digest(&check, &push->envelope.digest);
		push->digest_known = true;
		push->envelope.body_bytes = put_sink.written;
	}
	wa_sink_close(chain);
	wa_scan_close(scan);
	if (code == WA_OK)
		code = wa_put_write(push->put, envelope, seal(push, envelope), err);
	return code;
}

/* What was read is gone, and was not needed when it was there. */
static WaCode
fail_parted(WaPush *push, WaError *err)
{
	return wa_fail(err, WA_CHANGED,
				   "\"%s/%s\" is not what it was when \"%s\" was read",
				   wa_archive_config(push->archive)->path, push->key,
				   push->source);
}

WaCode
wa_push_prefix(void *arg, uint32_t bytes, WaDigest *digest, WaError *err)
{
	WaPush	   *push = arg;
	WaDigestState *state;
	WaCode		code = WA_OK;

	if (push->raw_held)
	{
		wa_digest_of(push->bench->raw, bytes, digest);
		return WA_OK;
	}
	if (push->fd < 0)
		return fail_parted(push, err);
	state = wa_digest_open();
	if (state == NULL || !wa_bench_raw(push->bench, PIECE_BYTES))
		code = wa_fail(err, WA_NO_MEMORY, "out of memory reading \"%s\"",
					   push->source);
	/* not reached: it is a regular file */
	if (code == WA_OK && lseek(push->fd, 0, SEEK_SET) != 0)
		code = wa_fail_errno(err, errno, "could not read \"%s\"",
							 push->source);
	for (uint32_t left = bytes; left > 0 && code == WA_OK;)
	{
		size_t		got;

		code = read_some(push, push->fd, push->bench->raw,
						 left < PIECE_BYTES ? left : PIECE_BYTES, &got, err);
		if (code != WA_OK)
			break;				/* not reached: one call of hundreds */
		wa_digest_update(state, push->bench->raw, got);
		left -= (uint32_t) got;
	}
	if (code == WA_OK)
		wa_digest_result(state, digest);
	wa_digest_close(state);
	return code;
}

/* Make the bytes durable under a temporary name. */
WaCode
wa_push_write(WaPush *push, int level, WaError *err)
{
	WaCode		code;

	if (push->staged)
		return WA_OK;
	if (!push->raw_held && push->fd < 0)
		return fail_parted(push, err);
	if (wa_put_begin(push->store, push->key, &push->put, err) != WA_OK)
		return err->code;
	push->result->level = level;
	wa_push_lap(push, &push->result->store_us);
	code = push->raw_held ? write_whole(push, level, err) :
		write_streamed(push, level, err);
	if (code == WA_OK)
		code = wa_put_stage(push->put, err);
	wa_push_lap(push, &push->result->store_us);
	push->staged = code == WA_OK;
	if (!push->staged)
	{
		wa_put_close(push->put);
		push->put = NULL;
	}
	return code;
}

void
wa_push_part(WaPush *push)
{
	if (push->put != NULL)
		wa_put_detach(push->put);
	wa_store_close(push->store);
	push->store = NULL;
	if (push->fd >= 0)
		close(push->fd);
	push->fd = -1;
	push->bench = NULL;
	push->beat = NULL;
	push->raw_held = false;
}

void
wa_push_close(WaPush *push)
{
	if (push == NULL)
		return;
	wa_put_close(push->put);
	wa_store_close(push->store);
	if (push->fd >= 0)
		close(push->fd);
	free(push);
}

void
wa_push_discard(WaPush *push, WaBeat *beat)
{
	const WaArchiveConfig *config = wa_archive_config(push->archive);
	WaStoreOptions options = {.beat = beat};
	WaStore    *store;
	WaError		err;
	WaCode		code = WA_NOT_FOUND;

	if (push->put != NULL)
		code = wa_store_dir_open(config->path, &options, &store, &err);
	if (code == WA_CANCELLED)
	{
		/* whoever gives up still cleans up */
		options.beat = NULL;
		code = wa_store_dir_open(config->path, &options, &store, &err);
	}
	if (code == WA_OK)
	{
		wa_put_attach(push->put, store);
		push->store = store;
	}
	wa_push_close(push);
}

WaCode
wa_push(WaArchive *archive, WaBench *bench, WaBeat *beat, int level,
		const char *name, const char *source, int64_t archived_at_us,
		WaPushResult *result, WaError *err)
{
	WaPush	   *push;
	WaCode		code;

	code = wa_push_open(archive, bench, beat, name, source, archived_at_us,
						result, &push, err);
	if (code == WA_OK)
		code = wa_push_commit(push, level, err);
	wa_push_close(push);
	return code;
}
