/*
 * foreign.c
 *	  gzip, lz4 and zstd files of others: never more bytes than their reader
 *	  expects, the same result however they come in, and a bound on memory.
 */
#include "core/sink_gzip.h"

#include "core/digest.h"
#include "core/sink_check.h"
#include "core/sink_lz4.h"
#include "core/sink_zstd.h"
#include "fuzz.h"

/*
 * A frame may ask for a window of 128 MB, libzstd's own limit, which
 * `zstd --long` makes use of; twice that is a bomb.
 *
 * libFuzzer: -max_len=8192 -malloc_limit_mb=140 -rss_limit_mb=512
 */

#define RAW_MAX	(1024 * 1024)

static WaZstd *zstd;

static WaSink *
open_sink(uint8_t kind, WaSink *next)
{
	switch (kind % 4)
	{
		case 0:
			return wa_sink_gzip_decompress(RAW_MAX, "fuzzed", next);
		case 1:
			return wa_sink_lz4_decompress(RAW_MAX, "fuzzed", next);
		default:
			return wa_sink_zstd_decompress(zstd, RAW_MAX, kind % 4 == 3 ?
										   WA_ZSTD_SIZED : WA_ZSTD_ANY,
										   "fuzzed", next);
	}
}

static WaCode
decompress(uint8_t kind, const uint8_t *data, size_t size, size_t piece,
		   uint64_t *bytes, WaDigest *digest)
{
	WaCheckSink check;
	WaSink	   *sink = wa_sink_check(&check, NULL);
	WaError		err;
	WaCode		code = WA_OK;

	hold(sink != NULL);
	sink = open_sink(kind, sink);
	hold(sink != NULL);
	for (size_t at = 0; at < size && code == WA_OK; at += piece)
		code = wa_sink_write(sink, data + at,
							 size - at < piece ? size - at : piece, &err);
	if (code == WA_OK)
		code = wa_sink_finish(sink, &err);
	hold(check.bytes <= RAW_MAX);
	hold(code == WA_OK || code == WA_DAMAGED || code == WA_NO_MEMORY);
	*bytes = check.bytes;
	wa_sink_check_digest(&check, digest);
	wa_sink_close(sink);
	return code;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t		steer[2];
	uint64_t	bytes;
	uint64_t	bytes_again;
	WaDigest	digest;
	WaDigest	digest_again;
	WaCode		code;
	WaCode		code_again;

	if (zstd == NULL)
		zstd = wa_zstd_open();
	hold(zstd != NULL);
	fuzz_take(&data, &size, steer, sizeof(steer));
	code = decompress(steer[0], data, size, size + 1, &bytes, &digest);
	code_again = decompress(steer[0], data, size, (size_t) steer[1] + 1,
							&bytes_again, &digest_again);
	hold((code == WA_OK) == (code_again == WA_OK));
	if (code == WA_OK)
		hold(bytes == bytes_again && wa_digest_equal(&digest, &digest_again));
	return 0;
}
