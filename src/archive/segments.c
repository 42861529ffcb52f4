/*
 * segments.c
 *	  One segment of the archive after the other, by their envelopes.
 */
#include "archive/segments.h"

#include <string.h>

/* What is wrong with the object itself, and no reason to stop. */
static bool
of_object(WaCode code)
{
	return code == WA_DAMAGED || code == WA_UNSUPPORTED ||
		code == WA_WRONG_CLUSTER;
}

WaCode
wa_segments_each(WaStore *store, const WaCatalogue *catalogue,
				 const WaTimeline *timeline, uint64_t from, uint64_t to,
				 WaSegmentFn each, void *arg, WaError *err)
{
	WaChain		chain;

	for (size_t i = 0; i < timeline->ranges_count; i++)
	{
		const WaRange *range = &timeline->ranges[i];
		uint64_t	first = range->first > from ? range->first : from;
		uint64_t	last = range->last < to ? range->last : to;

		wa_chain_begin(&chain);
		for (uint64_t segno = first; segno <= last && first <= last; segno++)
		{
			WaEnvelope	envelope;
			WaError		object_error;
			WaSegmentRow row = {
				.place = {timeline->tli, segno},
				.joint = WA_JOINT_FIRST,
				.error = &object_error
			};

			row.code = wa_segment_envelope(store, &catalogue->marker,
										   row.place, &row.stat, &envelope,
										   &object_error);
			if (row.code == WA_NOT_FOUND)
			{
				wa_chain_begin(&chain);
				continue;
			}
			if (row.code != WA_OK && !of_object(row.code))
			{
				*err = object_error;
				return err->code;
			}
			wa_segment_name(row.name, timeline->tli, segno,
							catalogue->marker.segment_bytes);
			if (row.code == WA_OK)
				row.envelope = &envelope;
			if (row.code == WA_OK && envelope.scanned)
			{
				row.joint = wa_chain_add(&chain, &envelope.scan, &row.crossed);
				row.joint_reason = chain.reason;
			}
			else
				wa_chain_begin(&chain);
			if (each(arg, &row, err) != WA_OK)
				return err->code;
		}
	}
	return WA_OK;
}

bool
wa_segment_point(const WaSegmentRow *row, size_t n, WaRestorePoint *point)
{
	size_t		kept = 0;

	if (row->envelope != NULL && row->envelope->scanned)
		kept = row->envelope->scan.points_count;
	if (kept > WA_SCAN_POINTS_MAX)
		kept = WA_SCAN_POINTS_MAX;
	if (n < kept)
	{
		*point = row->envelope->scan.points[n];
		return true;
	}
	if (n > kept || row->crossed.record.kind != WA_RECORD_RESTORE_POINT)
		return false;
	point->lsn = row->crossed.end_lsn;
	point->time_us = row->crossed.record.time_us;
	memcpy(point->name, row->crossed.record.name, sizeof(point->name));
	return true;
}
