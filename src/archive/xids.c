/*
 * xids.c
 *	  Where a transaction ended, by looking at every record.
 */
#include "archive/xids.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "archive/layout.h"
#include "archive/object.h"
#include "archive/windows.h"
#include "core/sink_scan.h"
#include "core/walchain.h"

typedef struct Search
{
	uint32_t	xid;
	bool		hit;
	WaXidFound *found;
} Search;

/* The last one counts. */
static void
take_record(void *arg, const WaRecord *record, uint64_t lsn, uint64_t end_lsn)
{
	Search	   *self = arg;

	if (record->kind != WA_RECORD_END_OF_TRANSACTION ||
		record->xid != self->xid)
		return;
	self->hit = true;
	self->found->end_lsn = end_lsn;
	self->found->time_us = record->time_us;
}

/* Walk one segment; *result is what the walk found. */
static WaCode
walk(WaStore *store, const WaCatalogue *catalogue, WaPlace place,
	 WaZstd *zstd, Search *search, WaScanResult *result, WaError *err)
{
	const WaMarker *marker = &catalogue->marker;
	char		key[WA_KEY_BYTES];
	WaWalName	name;
	WaEnvelope	envelope;
	WaScanSink	sink;
	WaScan	   *scan;
	WaStat		stat;
	WaCode		code;

	wa_layout_segment(place.tli, place.segno, marker->segment_bytes, &name,
					  key);
	if (wa_segment_envelope(store, marker, place, &stat, &envelope,
							err) != WA_OK)
		return err->code;
	scan = wa_scan_open(&name, marker->segment_bytes, envelope.wal_magic);
	if (scan == NULL)
		return wa_fail(err, WA_NO_MEMORY, "out of memory");
	wa_scan_watch(scan, take_record, search);
	code = wa_object_read(store, key, &stat, &envelope, zstd,
						  wa_sink_scan(&sink, scan, NULL), err);
	*result = *wa_scan_finish(scan);
	wa_scan_close(scan);
	return code;
}

/* The record that goes on from one segment into the next. */
static void
look_between(const WaScanResult *first, const WaScanResult *second,
			 Search *search)
{
	WaChain		chain;
	WaCrossed	crossed;

	wa_chain_begin(&chain);
	(void) wa_chain_add(&chain, first, &crossed);
	if (wa_chain_add(&chain, second, &crossed) == WA_JOINT_GOOD &&
		crossed.record.kind == WA_RECORD_END_OF_TRANSACTION)
		take_record(search, &crossed.record, 0, crossed.end_lsn);
}

WaCode
wa_xid_find(WaStore *store, const WaCatalogue *catalogue,
			const WaLineage *lineage, WaPlace from, WaPlace to, uint32_t xid,
			WaXidProgressFn progress, void *arg, WaXidFound *found,
			WaError *err)
{
	Search		search = {.xid = xid, .found = found};
	WaScanResult *results = calloc(2, sizeof(WaScanResult));
	WaZstd	   *zstd = wa_zstd_open();
	WaPlace		at = from;
	WaPlace		after = from;
	uint64_t	count = 0;
	WaCode		code = WA_OK;

	if (results == NULL || zstd == NULL)
		code = wa_fail(err, WA_NO_MEMORY, "out of memory");
	while (code == WA_OK)
	{
		code = walk(store, catalogue, at, zstd, &search, &results[0], err);
		found->place = at;
		/* what crosses comes behind all that lies whole in this one */
		if (code == WA_OK && count > 0 && !search.hit)
		{
			look_between(&results[0], &results[1], &search);
			if (search.hit)
				found->place = after;
		}
		count++;
		if (code != WA_OK || search.hit)
			break;
		if (!progress(arg, count))
			code = wa_fail(err, WA_CANCELLED, "the search was ended early");
		else if ((at.tli == to.tli && at.segno == to.segno) ||
				 at.segno <= to.segno ||
				 !wa_lineage_previous(lineage, &at))
			code = wa_fail(err, WA_NOT_FOUND, "transaction %" PRIu32 " did not "
						   "end in the %" PRIu64 " segments that can be "
						   "recovered", xid, count);
		results[1] = results[0];
		after = found->place;
	}
	free(results);
	wa_zstd_close(zstd);
	return code;
}
