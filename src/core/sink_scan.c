/*
 * sink_scan.c
 *	  Passes the bytes of a WAL segment on and walks its records.
 */
#include "core/sink_scan.h"

static WaCode
scan_write(WaSink *sink, const void *data, size_t length, WaError *err)
{
	WaScanSink *self = (WaScanSink *) sink;

	wa_scan_feed(self->scan, data, length);
	return sink->next != NULL ?
		wa_sink_write(sink->next, data, length, err) : WA_OK;
}

static void
scan_close(WaSink *sink)
{
	wa_sink_close(sink->next);
}

static const WaSinkOps scan_ops = {
	.write = scan_write,
	.finish = wa_sink_forward_finish,
	.close = scan_close
};

WaSink *
wa_sink_scan(WaScanSink *sink, WaScan *scan, WaSink *next)
{
	sink->sink.ops = &scan_ops;
	sink->sink.next = next;
	sink->scan = scan;
	return &sink->sink;
}
