/*
 * object.c
 *	  Reading an object of the archive and proving that it is what it says.
 */
#include "archive/object.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/history.h"
#include "core/sink_check.h"

#define WHAT_BYTES	(WA_MESSAGE_BYTES / 2)

/* "PLACE/KEY" for messages. */
static const char *
describe(const WaStore *store, const char *key, char *what)
{
	snprintf(what, WHAT_BYTES, "%.300s/%s", store->place, key);
	return what;
}

/* Read the last `length` bytes of an object. */
static WaCode
read_tail(WaStore *store, const char *key, const WaStat *stat, size_t length,
		  unsigned char *tail, WaError *err)
{
	WaBufferSink buffer;
	WaSink	   *sink = wa_sink_buffer(&buffer, tail, length, key);

	if (wa_store_get(store, key, stat, stat->bytes - length, length, sink,
					 err) != WA_OK)
		return err->code;
	if (buffer.length != length)
		return wa_fail(err, WA_CHANGED, "\"%s\" shrank while it was read",
					   key);
	return WA_OK;
}

WaCode
wa_object_envelope(WaStore *store, const char *key, WaStat *stat,
				   WaEnvelope *envelope, WaError *err)
{
	unsigned char tail[WA_ENVELOPE_BYTES_MAX];
	size_t		tail_bytes = WA_ENVELOPE_TAIL_BYTES;
	size_t		length;
	char		what[WHAT_BYTES];

	if (wa_store_stat(store, key, stat, err) != WA_OK)
		return err->code;
	if (stat->bytes < tail_bytes)
		tail_bytes = (size_t) stat->bytes;
	if (read_tail(store, key, stat, tail_bytes, tail, err) != WA_OK ||
		wa_envelope_length(tail, tail_bytes, stat->bytes,
						   describe(store, key, what), &length, err) != WA_OK)
		return err->code;
	if (length > tail_bytes)
	{
		tail_bytes = length;
		if (read_tail(store, key, stat, tail_bytes, tail, err) != WA_OK)
			return err->code;
	}
	return wa_envelope_decode(tail + tail_bytes - length, length, stat->bytes,
							  what, envelope, err);
}

/* The page checks of archiving once more, against the envelope's magic. */
static WaCode
check_first_page(const WaEnvelope *envelope, const WaCheckSink *check,
				 const char *what, WaError *err)
{
	WaWalName	name;
	WaWalHeader header;
	WaWalExpect expect = {
		.name = &name,
		.magic = envelope->wal_magic,
		.system_identifier = envelope->system_identifier,
		.segment_bytes = envelope->segment_bytes
	};

	if ((envelope->kind != WA_KIND_SEGMENT &&
		 envelope->kind != WA_KIND_PARTIAL) || envelope->damage[0] != '\0')
		return WA_OK;
	if (wa_walname_parse(envelope->name, &name, err) != WA_OK ||
		!wa_sink_check_header(check, &header) ||
		check->bytes != envelope->segment_bytes)
		return wa_fail(err, WA_DAMAGED, "\"%s\" holds no WAL segment", what);
	return wa_walheader_check(&header, &expect, what, err);
}

/* What the envelope promises against what came out. */
static WaCode
check_promises(const WaEnvelope *envelope, const WaCheckSink *check,
			   const char *what, WaError *err)
{
	WaDigest	digest;

	if (check->bytes != envelope->raw_bytes)
		return wa_fail(err, WA_DAMAGED,
					   "\"%s\" holds %" PRIu64 " bytes instead of %" PRIu64,
					   what, check->bytes, envelope->raw_bytes);
	wa_sink_check_digest(check, &digest);
	if (!wa_digest_equal(&digest, &envelope->digest))
	{
		char		expected[WA_DIGEST_TEXT_BYTES];
		char		found[WA_DIGEST_TEXT_BYTES];

		wa_digest_text(&envelope->digest, expected);
		wa_digest_text(&digest, found);
		return wa_fail(err, WA_DAMAGED,
					   "\"%s\" has digest %s instead of %s", what, found,
					   expected);
	}
	return check_first_page(envelope, check, what, err);
}

WaCode
wa_object_read(WaStore *store, const char *key, const WaStat *stat,
			   const WaEnvelope *envelope, WaZstd *zstd, WaSink *next,
			   WaError *err)
{
	WaCheckSink check;
	WaSink	   *chain;
	WaCode		code;
	char		what[WHAT_BYTES];

	describe(store, key, what);
	chain = wa_sink_check(&check, next);
	if (chain != NULL)
		chain = wa_sink_zstd_decompress(zstd, envelope->raw_bytes,
										WA_ZSTD_SIZED, what, chain);
	if (chain == NULL)
		return wa_fail(err, WA_NO_MEMORY, "out of memory reading \"%s\"",
					   what);

	code = wa_store_get(store, key, stat, 0, envelope->body_bytes, chain,
						err);
	if (code == WA_OK)
		code = check_promises(envelope, &check, what, err);
	if (code == WA_OK)
		code = wa_sink_finish(chain, err);
	wa_sink_close(chain);
	return code;
}

WaCode
wa_object_check_name(WaStore *store, const char *key,
					 const WaEnvelope *envelope, const WaWalName *name, uint64_t system_identifier,
					 uint32_t segment_bytes, WaError *err)
{
	char		what[WHAT_BYTES];

	describe(store, key, what);
	if (strcmp(envelope->name, name->text) != 0 ||
		envelope->kind != name->kind)
		return wa_fail(err, WA_DAMAGED,
					   "\"%s\" holds the object of \"%s\"", what,
					   envelope->name);
	if ((system_identifier != 0 &&
		 envelope->system_identifier != system_identifier) ||
		(segment_bytes != 0 && envelope->segment_bytes != segment_bytes))
		return wa_fail(err, WA_WRONG_CLUSTER,
					   "\"%s\" belongs to the cluster with system identifier "
					   "%" PRIu64 " and segments of %" PRIu32 " bytes", what,
					   envelope->system_identifier, envelope->segment_bytes);
	if (name->kind == WA_KIND_SEGMENT || name->kind == WA_KIND_PARTIAL ?
		envelope->raw_bytes != envelope->segment_bytes :
		envelope->raw_bytes > WA_HISTORY_BYTES_MAX)
		return wa_fail(err, WA_DAMAGED,
					   "\"%s\" claims to hold %" PRIu64 " bytes", what,
					   envelope->raw_bytes);
	return WA_OK;
}

WaCode
wa_object_text(WaStore *store, const char *key, const WaWalName *name,
			   uint64_t system_identifier, uint32_t segment_bytes,
			   WaZstd *zstd, WaEnvelope *envelope, char **text,
			   size_t *length, WaError *err)
{
	WaStat		stat;
	WaBufferSink buffer;

	*text = NULL;
	if (wa_object_envelope(store, key, &stat, envelope, err) != WA_OK ||
		wa_object_check_name(store, key, envelope, name, system_identifier,
							 segment_bytes, err) != WA_OK)
		return err->code;
	*text = malloc((size_t) envelope->raw_bytes + 1);
	if (*text == NULL)
		return wa_fail(err, WA_NO_MEMORY, "out of memory reading \"%s\"",
					   key);
	if (wa_object_read(store, key, &stat, envelope, zstd,
					   wa_sink_buffer(&buffer, *text,
									  (size_t) envelope->raw_bytes, key),
					   err) != WA_OK)
	{
		free(*text);
		*text = NULL;
		return err->code;
	}
	*length = buffer.length;
	(*text)[*length] = '\0';
	return WA_OK;
}
