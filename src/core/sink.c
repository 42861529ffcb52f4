/*
 * sink.c
 *	  What all sinks share, and the sink into memory.
 */
#include "core/sink.h"

#include <string.h>

WaCode
wa_sink_forward_finish(WaSink *sink, WaError *err)
{
	return sink->next != NULL ? wa_sink_finish(sink->next, err) : WA_OK;
}

WaCode
wa_sink_write_bounded(WaSink *sink, const void *data, size_t length,
					  uint64_t *bytes_left, const char *what, WaError *err)
{
	if (length > *bytes_left)
		return wa_fail(err, WA_DAMAGED,
					   "\"%s\" holds more bytes than it may", what);
	*bytes_left -= length;
	return length > 0 ? wa_sink_write(sink, data, length, err) : WA_OK;
}

static WaCode
buffer_write(WaSink *sink, const void *data, size_t length, WaError *err)
{
	WaBufferSink *buffer = (WaBufferSink *) sink;

	if (length > buffer->capacity - buffer->length)
		return wa_fail(err, WA_DAMAGED, "\"%s\" is larger than %zu bytes",
					   buffer->what, buffer->capacity);
	memcpy(buffer->data + buffer->length, data, length);
	buffer->length += length;
	return WA_OK;
}

static void
buffer_close(WaSink *sink)
{
	(void) sink;				/* the caller owns everything */
}

static const WaSinkOps buffer_ops = {
	.write = buffer_write,
	.finish = wa_sink_forward_finish,
	.close = buffer_close
};

WaSink *
wa_sink_buffer(WaBufferSink *buffer, void *data, size_t capacity,
			   const char *what)
{
	buffer->sink.ops = &buffer_ops;
	buffer->sink.next = NULL;
	buffer->data = data;
	buffer->length = 0;
	buffer->capacity = capacity;
	buffer->what = what;
	return &buffer->sink;
}
