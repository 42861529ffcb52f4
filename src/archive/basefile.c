/*
 * basefile.c
 *	  One object of a base backup, out of the archive.
 */
#include "archive/basefile.h"

#include "archive/layout.h"
#include "core/sink_check.h"
#include "core/sink_zstd.h"

WaCode
wa_basefile_read(WaStore *store, const WaBaseBackup *backup,
				 const WaBaseFile *file, WaSink *to, WaError *err)
{
	char		key[WA_KEY_BYTES];
	WaZstd	   *zstd = wa_zstd_open();
	WaCheckSink check;
	WaSink	   *sink = to;			/* the first of the chain; NULL: closed */
	WaStat		stat;
	WaDigest	digest;
	WaCode		code;

	wa_layout_base_key(backup->id, file->name, key);
	code = wa_store_stat(store, key, &stat, err);
	if (code == WA_OK && stat.bytes != file->stored_bytes)
		code = wa_fail(err, WA_DAMAGED, "\"%s/%s\" is damaged: it has another "
					   "size than the backup says", store->place, key);
	if (code == WA_OK && zstd == NULL)
		code = wa_fail(err, WA_NO_MEMORY, "out of memory");
	if (code == WA_OK)
	{
		sink = wa_sink_check(&check, to);
		if (sink != NULL)
			sink = wa_sink_zstd_decompress(zstd, file->raw_bytes, WA_ZSTD_ONE,
										   key, sink);
		if (sink == NULL)
			code = wa_fail(err, WA_NO_MEMORY, "out of memory");
	}
	if (code == WA_OK)
		code = wa_store_get(store, key, &stat, 0, UINT64_MAX, sink, err);
	if (code == WA_OK)
		code = wa_sink_finish(sink, err);
	if (code == WA_OK)
	{
		wa_sink_check_digest(&check, &digest);
		if (check.bytes != file->raw_bytes ||
			!wa_digest_equal(&digest, &file->digest))
			code = wa_fail(err, WA_DAMAGED, "\"%s/%s\" is damaged: its bytes "
						   "are not those that were backed up", store->place,
						   key);
	}
	wa_sink_close(sink);
	wa_zstd_close(zstd);
	return code;
}
