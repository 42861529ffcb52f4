/*
 * sink_scan.h
 *	  Passes the bytes of a WAL segment on and walks its records.
 */
#ifndef WA_SINK_SCAN_H
#define WA_SINK_SCAN_H

#include "core/sink.h"
#include "core/walscan.h"

/* Lives where the caller wants it; next may be NULL: only look. */
typedef struct WaScanSink
{
	WaSink		sink;
	WaScan	   *scan;			/* the caller's, who finishes and closes it */
} WaScanSink;

extern WaSink *wa_sink_scan(WaScanSink *sink, WaScan *scan, WaSink *next);

#endif							/* WA_SINK_SCAN_H */
