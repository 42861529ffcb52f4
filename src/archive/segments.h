/*
 * segments.h
 *	  One segment of the archive after the other, by their envelopes: nothing
 *	  is decompressed.
 */
#ifndef WA_SEGMENTS_H
#define WA_SEGMENTS_H

#include "archive/windows.h"
#include "core/walchain.h"

typedef struct WaSegmentRow
{
	WaPlace		place;
	char		name[WA_WALNAME_BYTES];
	WaStat		stat;
	WaCode		code;			/* WA_OK, or why there is no envelope: */
	const WaError *error;
	const WaEnvelope *envelope; /* NULL then */
	WaJoint		joint;			/* with the row before; FIRST without one */
	const char *joint_reason;	/* of a broken one */
	WaCrossed	crossed;		/* the record that ends in it */
} WaSegmentRow;

/* Anything but WA_OK ends the walk and is passed on. */
typedef WaCode (*WaSegmentFn) (void *arg, const WaSegmentRow *row,
							   WaError *err);

/*
 * The segments of a timeline that the catalogue has, from one number to
 * another.  A segment that vanished meanwhile is passed over.
 */
extern WaCode wa_segments_each(WaStore *store, const WaCatalogue *catalogue,
							   const WaTimeline *timeline, uint64_t from,
							   uint64_t to, WaSegmentFn each, void *arg,
							   WaError *err);

/* The n-th restore point of a row, the crossing one last; false: no more. */
extern bool wa_segment_point(const WaSegmentRow *row, size_t n,
							 WaRestorePoint *point);

#endif							/* WA_SEGMENTS_H */
