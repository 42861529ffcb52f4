/*
 * overlap.c
 *	  Two different files of one segment: do they hold the same WAL?
 */
#include "archive/overlap.h"

#include "archive/object.h"
#include "core/sink_scan.h"

/* Digests the first bytes of what comes. */
typedef struct PrefixSink
{
	WaSink		sink;
	WaDigestState *digest;
	uint32_t	left;
} PrefixSink;

static WaCode
prefix_write(WaSink *sink, const void *data, size_t length, WaError *err)
{
	PrefixSink *self = (PrefixSink *) sink;

	if (length > self->left)
		length = self->left;
	wa_digest_update(self->digest, data, length);
	self->left -= (uint32_t) length;
	return WA_OK;
}

static WaCode
prefix_finish(WaSink *sink, WaError *err)
{
	return WA_OK;
}

static void
prefix_close(WaSink *sink)
{
}

static const WaSinkOps prefix_ops = {
	.write = prefix_write,
	.finish = prefix_finish,
	.close = prefix_close
};

static WaCode
their_prefix(WaStore *store, const char *key, const WaStat *stat,
			 const WaEnvelope *theirs, uint32_t bytes, WaZstd *zstd,
			 WaDigest *digest, WaError *err)
{
	PrefixSink	prefix = {
		.sink = {.ops = &prefix_ops},
		.digest = wa_digest_open(),
		.left = bytes
	};
	WaCode		code;

	if (prefix.digest == NULL)
		return wa_fail(err, WA_NO_MEMORY, "out of memory reading \"%s\"",
					   key);
	code = wa_object_read(store, key, stat, theirs, zstd, &prefix.sink, err);
	if (code == WA_OK)
		wa_digest_result(prefix.digest, digest);
	wa_digest_close(prefix.digest);
	return code;
}

/* What the walk over their records finds, unless their envelope says it. */
static WaCode
their_scan(WaStore *store, const char *key, const WaStat *stat,
		   const WaEnvelope *theirs, WaZstd *zstd, WaScanEnd *end,
		   uint32_t *used_bytes, WaError *err)
{
	WaWalName	name;
	WaScanSink	sink;
	WaScan	   *scan;
	WaCode		code;

	if (theirs->scanned)
	{
		*end = theirs->scan.end;
		*used_bytes = theirs->scan.used_bytes;
		return WA_OK;
	}
	if (wa_walname_parse(theirs->name, &name, err) != WA_OK)
		return err->code;		/* not reached: it is the name that was asked for */
	scan = wa_scan_open(&name, theirs->segment_bytes, theirs->wal_magic);
	if (scan == NULL)
		return wa_fail(err, WA_NO_MEMORY, "out of memory reading \"%s\"",
					   key);
	code = wa_object_read(store, key, stat, theirs, zstd,
						  wa_sink_scan(&sink, scan, NULL), err);
	if (code == WA_OK)
	{
		const WaScanResult *result = wa_scan_finish(scan);

		*end = result->end;
		*used_bytes = result->used_bytes;
	}
	wa_scan_close(scan);
	return code;
}

WaCode
wa_overlap(WaStore *store, const char *key, const WaStat *stat,
		   const WaEnvelope *ours, const WaEnvelope *theirs,
		   WaPrefixFn our_prefix, void *arg, WaZstd *zstd,
		   WaOverlap *overlap, WaError *err)
{
	WaScanEnd	their_end = WA_SCAN_DAMAGED;
	uint32_t	our_used = ours->scan.used_bytes;
	uint32_t	their_used = 0;
	uint32_t	common;
	WaDigest	our_digest;
	WaDigest	their_digest;

	*overlap = WA_OVERLAP_NONE;
	if (!ours->scanned || ours->kind != theirs->kind ||
		ours->damage[0] != '\0' || ours->scan.end == WA_SCAN_DAMAGED)
		return WA_OK;
	if (their_scan(store, key, stat, theirs, zstd, &their_end, &their_used,
				   err) != WA_OK)
		return err->code;
	/* what was damaged when it was archived can only be a part of a whole one */
	if ((theirs->damage[0] != '\0' || their_end == WA_SCAN_DAMAGED) &&
		((ours->scan.end != WA_SCAN_FULL &&
		  ours->scan.end != WA_SCAN_SWITCHED) || their_used >= our_used))
		return WA_OK;
	common = our_used < their_used ? our_used : their_used;
	if (common == 0)
		return WA_OK;

	if (our_prefix(arg, common, &our_digest, err) != WA_OK ||
		their_prefix(store, key, stat, theirs, common, zstd, &their_digest,
					 err) != WA_OK)
		return err->code;
	if (wa_digest_equal(&our_digest, &their_digest))
		*overlap = our_used == their_used ? WA_OVERLAP_SAME :
			our_used < their_used ? WA_OVERLAP_THEIRS_LONGER :
			WA_OVERLAP_OURS_LONGER;
	return WA_OK;
}
