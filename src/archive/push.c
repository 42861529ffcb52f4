/*
 * push.c
 *	  One file into the archive.
 *
 * The same bytes that were checked and digested are compressed and stored:
 * the source is read once.  What lies in the archive under the name decides
 * at the end, when the name is taken without replacing.
 */
#include "archive/push.h"

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
#include "archive/object.h"
#include "core/history.h"
#include "core/sink_check.h"

#define TEXT_BYTES_MAX		(1024 * 1024)	/* of .history and .backup */
#define PIECE_BYTES			(1024 * 1024)	/* of a streamed source */
#define ROUNDS_MAX			8	/* of "somebody else was faster" */
#define ASIDE_MAX			1000

struct WaPush
{
	WaArchive  *archive;
	WaBench    *bench;
	WaBeat	   *beat;
	WaPushResult *result;
	WaStore    *store;
	WaWalName	name;
	char		key[WA_KEY_BYTES];
	char		source[WA_ARCHIVE_PATH_BYTES];
	int			fd;				/* of a source to be streamed, or -1 */
	WaEnvelope	envelope;
	bool		digest_known;
	WaPut	   *put;
	bool		staged;
};

/* pg_wal, too, can be on a disk that hangs. */
static ssize_t
read_some(WaPush *push, int fd, void *data, size_t length)
{
	ssize_t		got;

	do
		WA_BEAT(push->beat, got, read(fd, data, length));
	while (got < 0 && errno == EINTR);
	return got;
}

static uint64_t
clock_us(const WaPush *push)
{
	return wa_archive_config(push->archive)->now_us();
}

/* The source is archived all the same; this says what is wrong with it. */
static void
note_damage(WaPush *push, const WaError *err)
{
	snprintf(push->result->damage, sizeof(push->result->damage), "%.*s",
			 (int) sizeof(push->result->damage) - 1, err->message);
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

/* Read a source of up to WA_WHOLE_BYTES_MAX into the bench. */
static WaCode
read_whole(WaPush *push, int fd, size_t size, WaError *err)
{
	size_t		length = 0;

	if (!wa_bench_raw(push->bench, size))
		return wa_fail(err, WA_NO_MEMORY, "out of memory reading \"%s\"",
					   push->source);
	while (length < size)
	{
		ssize_t		got = read_some(push, fd, push->bench->raw + length,
									size - length);

		if (got < 0)
			return wa_fail_errno(err, errno, "could not read \"%s\"",
								 push->source);
		if (got == 0)
			return wa_fail(err, WA_INVALID,
						   "\"%s\" shrank while it was read", push->source);
		length += (size_t) got;
	}
	wa_digest_of(push->bench->raw, size, &push->envelope.digest);
	push->digest_known = true;
	return WA_OK;
}

static WaCode
open_source(WaPush *push, WaError *err)
{
	struct stat st;
	int			fd;
	int			result;

	WA_BEAT(push->beat, fd, open(push->source, O_RDONLY | O_CLOEXEC));
	if (fd < 0 && errno == ENOENT)
		return wa_fail(err, WA_NOT_FOUND, "\"%s\" does not exist",
					   push->source);
	result = fd >= 0 ? fstat(fd, &st) : -1;
	if (result != 0)
	{
		wa_fail_errno(err, errno, "could not open \"%s\"", push->source);
		goto fail;
	}
	if (check_source_size(push, (uint64_t) st.st_size, err) != WA_OK)
		goto fail;
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
	if (is_wal(&push->name))
		return check_header(push, push->bench->raw, err);
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
	uint64_t	begun;
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

	begun = clock_us(self);
	if (open_source(self, err) != WA_OK)
		goto fail;
	result->read_us += clock_us(self) - begun;

	begun = clock_us(self);
	if (wa_archive_visit(archive, beat, &self->store, &result->visit,
						 err) != WA_OK)
		goto fail;
	result->store_us += clock_us(self) - begun;
	*push = self;
	return WA_OK;

fail:
	wa_push_close(self);
	return err->code;
}

/* Compress what lies in the bench and write it out. */
static WaCode
write_whole(WaPush *push, int level, WaError *err)
{
	WaBench    *bench = push->bench;
	size_t		raw_bytes = (size_t) push->envelope.raw_bytes;
	size_t		bound = wa_zstd_bound(raw_bytes);
	size_t		frame_bytes;
	uint64_t	begun = clock_us(push);

	if (!wa_bench_frame(bench, bound))
		return wa_fail(err, WA_NO_MEMORY, "out of memory compressing \"%s\"",
					   push->source);
	if (wa_zstd_compress(bench->zstd, level, bench->raw, raw_bytes,
						 bench->frame, bench->frame_capacity, &frame_bytes,
						 err) != WA_OK)
		return err->code;
	push->result->compress_us += clock_us(push) - begun;

	begun = clock_us(push);
	if (wa_put_write(push->put, bench->frame, frame_bytes, err) != WA_OK)
		return err->code;
	push->result->store_us += clock_us(push) - begun;
	push->envelope.body_bytes = frame_bytes;
	return WA_OK;
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
	WaCode		code = WA_OK;

	assert(!push->digest_known);	/* a streamed source is read once */
	if (!wa_bench_raw(bench, PIECE_BYTES))
		return wa_fail(err, WA_NO_MEMORY, "out of memory reading \"%s\"",
					   push->source);
	packer = wa_sink_zstd_compress(bench->zstd, level, left, put);
	chain = packer != NULL ? wa_sink_check(&check, packer) : NULL;
	if (chain == NULL)
		return wa_fail(err, WA_NO_MEMORY, "out of memory compressing \"%s\"",
					   push->source);

	while (left > 0 && code == WA_OK)
	{
		uint64_t	begun = clock_us(push);
		size_t		some = left < PIECE_BYTES ? (size_t) left : PIECE_BYTES;
		ssize_t		got = read_some(push, push->fd, bench->raw, some);

		push->result->read_us += clock_us(push) - begun;
		if (got < 0)
			code = wa_fail_errno(err, errno, "could not read \"%s\"",
								 push->source);
		else if (got == 0)
			code = wa_fail(err, WA_INVALID, "\"%s\" shrank while it was read",
						   push->source);
		else
		{
			begun = clock_us(push);
			code = wa_sink_write(chain, bench->raw, (size_t) got, err);
			push->result->compress_us += clock_us(push) - begun;
			left -= (uint64_t) got;
		}
	}
	if (code == WA_OK)
		code = check_header(push, check.first, err);
	if (code == WA_OK)
		code = wa_sink_finish(chain, err);
	if (code == WA_OK)
	{
		wa_sink_check_digest(&check, &push->envelope.digest);
		push->digest_known = true;
		push->envelope.body_bytes = put_sink.written;
	}
	wa_sink_close(chain);
	return code;
}

WaCode
wa_push_stage(WaPush *push, int level, WaError *err)
{
	unsigned char envelope[WA_ENVELOPE_TAIL_BYTES];
	size_t		envelope_bytes;
	uint64_t	begun;

	if (push->staged)
		return WA_OK;
	if (wa_put_begin(push->store, push->key, &push->put, err) != WA_OK)
		return err->code;
	if ((push->fd >= 0 ? write_streamed(push, level, err)
		 : write_whole(push, level, err)) != WA_OK)
		goto fail;

	memcpy(push->envelope.damage, push->result->damage,
		   sizeof(push->envelope.damage));
	envelope_bytes = wa_envelope_encode(&push->envelope, envelope);
	begun = clock_us(push);
	if (wa_put_write(push->put, envelope, envelope_bytes, err) != WA_OK ||
		wa_put_stage(push->put, err) != WA_OK)
		goto fail;
	push->result->store_us += clock_us(push) - begun;
	push->result->stored_bytes = push->envelope.body_bytes + envelope_bytes;
	push->staged = true;
	return WA_OK;

fail:
	wa_put_close(push->put);
	push->put = NULL;
	return err->code;
}

/* What lies in the archive under the name, compared with ours. */
typedef enum Verdict
{
	VERDICT_ABSENT,
	VERDICT_IDENTICAL,
	VERDICT_DIFFERENT,
	VERDICT_DAMAGED,			/* or not to be relied on */
	VERDICT_ERROR
} Verdict;

static Verdict
judge(WaPush *push, WaStat *stat, WaEnvelope *theirs, WaError *err)
{
	WaCode		code;

	code = wa_object_envelope(push->store, push->key, stat, theirs, err);
	if (code == WA_OK)
		code = wa_object_check_name(push->store, push->key, theirs, &push->name,
									wa_archive_config(push->archive)->system_identifier,
									wa_archive_config(push->archive)->segment_bytes, err);
	/* its body is proven before a word of the envelope is believed */
	if (code == WA_OK)
		code = wa_object_read(push->store, push->key, stat, theirs,
							  push->bench->zstd, NULL, err);
	switch (code)
	{
		case WA_OK:
			break;
		case WA_NOT_FOUND:
			return VERDICT_ABSENT;
		case WA_DAMAGED:
			return VERDICT_DAMAGED;
		case WA_WRONG_CLUSTER:
			return VERDICT_DIFFERENT;
		default:
			return VERDICT_ERROR;
	}
	if (!wa_digest_equal(&theirs->digest, &push->envelope.digest) ||
		theirs->raw_bytes != push->envelope.raw_bytes)
		return VERDICT_DIFFERENT;
	if (wa_archive_suspects(push->archive, push->key))
	{
		wa_fail(err, WA_DAMAGED,
				"\"%s\" may not be durable: an fsync of it failed", push->key);
		return VERDICT_DAMAGED;
	}
	return VERDICT_IDENTICAL;
}

static WaCode
fail_conflict(WaPush *push, const WaEnvelope *theirs, WaError *err)
{
	char		ours_text[WA_DIGEST_TEXT_BYTES];
	char		theirs_text[WA_DIGEST_TEXT_BYTES];

	wa_digest_text(&push->envelope.digest, ours_text);
	wa_digest_text(&theirs->digest, theirs_text);
	wa_fail(err, WA_CONFLICT,
			"\"%s\" is in the archive with different content: digest %s there "
			"(\"%.300s/%s\"), %s here", push->name.text, theirs_text,
			wa_archive_config(push->archive)->path, push->key, ours_text);
	wa_hint(err, "Two servers archive as the same timeline, or the archive is "
			"that of an earlier life of this one. Nothing was overwritten. "
			"Stop the wrong server, or give this one an empty archive "
			"directory; see \"A conflict\" in the README of walarch.");
	return err->code;
}

/* Replace a damaged object by ours, keeping the old bytes. */
static WaCode
replace_damaged(WaPush *push, const WaStat *judged, WaError *err)
{
	WaCode		code = WA_EXISTS;

	for (int n = 1; code == WA_EXISTS && n <= ASIDE_MAX; n++)
	{
		wa_layout_damaged_key(push->key, n, push->result->aside_key);
		code = wa_put_set_aside(push->put, judged, push->result->aside_key,
								err);
	}
	if (code == WA_OK)
		code = wa_store_sync(push->store, err);
	return code;
}

/*
 * One look at the name and one act upon it.  *again: somebody else changed
 * what lies there in between.
 */
static WaCode
settle(WaPush *push, int level, bool *again, WaError *err)
{
	WaStat		stat;
	WaEnvelope	theirs = {0};
	WaCode		code;

	*again = false;
	switch (judge(push, &stat, &theirs, err))
	{
		case VERDICT_ABSENT:
			code = wa_push_stage(push, level, err);
			if (code == WA_OK)
				code = wa_put_commit(push->put, err);
			if (code == WA_OK)
				code = wa_store_sync(push->store, err);
			push->result->outcome = WA_PUSH_STORED;
			break;
		case VERDICT_IDENTICAL:
			code = wa_store_persist(push->store, push->key, err);
			push->result->outcome = WA_PUSH_IDENTICAL;
			push->result->stored_bytes = 0;
			break;
		case VERDICT_DAMAGED:
			code = wa_push_stage(push, level, err);
			if (code == WA_OK)
				code = replace_damaged(push, &stat, err);
			push->result->outcome = WA_PUSH_REPLACED;
			break;
		case VERDICT_DIFFERENT:
			if (push->name.kind == WA_KIND_PARTIAL &&
				theirs.system_identifier == push->envelope.system_identifier)
			{
				char		second[WA_KEY_BYTES];

				wa_layout_second_partial_key(&push->name,
											 &push->envelope.digest, second);
				if (strcmp(second, push->key) != 0)
				{
					memcpy(push->key, second, sizeof(push->key));
					if (push->put != NULL)
						wa_put_rekey(push->put, push->key);
					*again = true;
					return WA_OK;
				}
			}
			return fail_conflict(push, &theirs, err);
		default:
			code = err->code;
	}
	*again = code == WA_EXISTS || code == WA_CHANGED ||
		code == WA_NOT_FOUND;
	return code;
}

WaCode
wa_push_commit(WaPush *push, int level, WaError *err)
{
	uint64_t	begun = clock_us(push);
	uint64_t	before = push->result->compress_us + push->result->read_us +
		push->result->store_us;
	bool		again = true;
	WaCode		code = WA_OK;

	/* a streamed source has no digest to compare before it was staged */
	if (!push->digest_known)
	{
		code = wa_push_stage(push, level, err);
		begun = clock_us(push);
		before = push->result->compress_us + push->result->read_us +
			push->result->store_us;
	}
	for (int round = 0; code == WA_OK && again && round < ROUNDS_MAX; round++)
	{
		code = settle(push, level, &again, err);
		if (again)
			code = WA_OK;
	}
	if (code == WA_OK && again)
		code = wa_fail(err, WA_CHANGED,
					   "\"%s\" keeps changing in the archive", push->key);

	memcpy(push->result->key, push->key, sizeof(push->result->key));
	if (code != WA_OK &&
		wa_archive_suspects(push->archive, push->key))
		memcpy(push->result->suspect_key, push->key,
			   sizeof(push->result->suspect_key));

	/* whatever was not counted on the way belongs to storing */
	push->result->store_us += clock_us(push) - begun -
		(push->result->compress_us + push->result->read_us +
		 push->result->store_us - before);
	return code;
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
