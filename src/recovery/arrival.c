/*
 * arrival.c
 *	  Is the WAL that a base backup needs in the archive yet?
 */
#include "recovery/arrival.h"

#include "archive/layout.h"
#include "archive/windows.h"
#include "core/lsn.h"

static WaCode
check_damage(WaStore *store, const WaMarker *marker,
			 const WaBaseBackup *backup, WaPlace place, const char *name,
			 WaError *err)
{
	WaEnvelope	envelope;
	WaStat		stat;

	if (wa_segment_envelope(store, marker, place, &stat, &envelope,
							err) != WA_OK)
		return err->code;
	if (envelope.damage[0] != '\0')
		wa_fail(err, WA_DAMAGED, "WAL segment %s, which the backup needs, was "
				"damaged when it was archived: %s", name, envelope.damage);
	else if (envelope.scanned && wa_scan_ends_early(&envelope.scan) &&
			 envelope.scan.stop_lsn < backup->stop_lsn)
		wa_fail(err, WA_DAMAGED, "WAL segment %s, which the backup needs, ends "
				"at " WA_LSN_FORMAT ", before the backup does: %s", name,
				WA_LSN_ARGS(envelope.scan.stop_lsn), envelope.scan.reason);
	else
		return WA_OK;
	wa_hint(err, "Look after the storage below pg_wal of the server, then take "
			"another backup.");
	return err->code;
}

WaCode
wa_arrival_look(WaStore *store, const WaMarker *marker,
				const WaBaseBackup *backup, uint64_t *segno, WaWalName *name,
				bool *missing, WaError *err)
{
	uint32_t	segment_bytes = marker->segment_bytes;

	for (; *segno <= (backup->stop_lsn - 1) / segment_bytes; (*segno)++)
	{
		WaPlace		place = {backup->start_tli, *segno};
		char		key[WA_KEY_BYTES];
		WaCode		code;

		wa_layout_segment(place.tli, place.segno, segment_bytes, name, key);
		code = wa_store_persist(store, key, err);
		if (code == WA_OK)
			code = check_damage(store, marker, backup, place, name->text, err);
		/* changed: it is just being replaced */
		*missing = code == WA_NOT_FOUND || code == WA_CHANGED;
		if (code != WA_OK)
			return *missing ? WA_OK : code;
	}
	*missing = false;
	return WA_OK;
}
