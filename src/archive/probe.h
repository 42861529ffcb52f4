/*
 * probe.h
 *	  A look at an archive directory without writing to it.
 */
#ifndef WA_PROBE_H
#define WA_PROBE_H

#include "archive/drills.h"
#include "core/marker.h"
#include "store/store.h"

typedef struct WaProbe
{
	bool		reachable;		/* a directory that can be opened */
	bool		writable;		/* by the asking process */
	bool		marked;			/* has a readable marker */
	bool		ours;			/* of this cluster */
	bool		empty;			/* nothing there yet */
	bool		free_bytes_known;
	uint64_t	free_bytes;
	WaMarker	marker;
	WaDrillsSeen drills;		/* count 0: none, or not to be read */
	WaError		error;			/* why not, where one of them is false */
} WaProbe;

/* Never fails; now_us is the clock's time.  What could not be found out is false, with the reason. */
extern void wa_probe(const char *path, uint64_t system_identifier,
					 uint32_t segment_bytes, int64_t now_us,
					 WaBeat *beat, WaProbe *probe);

#endif							/* WA_PROBE_H */
