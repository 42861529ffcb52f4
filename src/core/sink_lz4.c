/*
 * sink_lz4.c
 *	  lz4 frames by liblz4; the only file that includes it.
 */
#include "core/sink_lz4.h"

#include <lz4frame.h>
#include <stdlib.h>

#define BUFFER_BYTES	(128 * 1024)

typedef struct Lz4Sink
{
	WaSink		sink;
	LZ4F_dctx  *context;
	uint64_t	raw_bytes_left;
	const char *what;
	bool		frame_open;
	bool		any_frame;
	unsigned char buffer[BUFFER_BYTES];
} Lz4Sink;

static WaCode
lz4_write(WaSink *sink, const void *data, size_t length, WaError *err)
{
	Lz4Sink    *self = (Lz4Sink *) sink;
	const unsigned char *at = data;
	bool		full = false;

	while (length > 0 || full)
	{
		size_t		consumed = length;
		size_t		produced = BUFFER_BYTES;
		size_t		left;

		left = LZ4F_decompress(self->context, self->buffer, &produced,
							   at, &consumed, NULL);
		if (LZ4F_isError(left))
			return wa_fail(err, WA_DAMAGED, "\"%s\" is damaged: %s",
						   self->what, LZ4F_getErrorName(left));
		at += consumed;
		length -= consumed;
		self->frame_open = left != 0;
		if (left == 0)
			self->any_frame = true;
		full = produced == BUFFER_BYTES && left != 0;
		if (wa_sink_write_bounded(self->sink.next, self->buffer, produced,
								  &self->raw_bytes_left, self->what,
								  err) != WA_OK)
			return err->code;
		if (consumed == 0 && produced == 0)
			break;				/* wants more input */
	}
	return WA_OK;
}

static WaCode
lz4_finish(WaSink *sink, WaError *err)
{
	Lz4Sink    *self = (Lz4Sink *) sink;

	if (self->frame_open || !self->any_frame)
		return wa_fail(err, WA_DAMAGED,
					   "\"%s\" is damaged: its compressed data is truncated",
					   self->what);
	return wa_sink_forward_finish(sink, err);
}

static void
lz4_close(WaSink *sink)
{
	Lz4Sink    *self = (Lz4Sink *) sink;

	wa_sink_close(sink->next);
	LZ4F_freeDecompressionContext(self->context);
	free(self);
}

static const WaSinkOps lz4_ops = {
	.write = lz4_write,
	.finish = lz4_finish,
	.close = lz4_close
};

WaSink *
wa_sink_lz4_decompress(uint64_t raw_bytes_max, const char *what, WaSink *next)
{
	Lz4Sink    *self = calloc(1, sizeof(*self));

	if (self == NULL ||
		LZ4F_isError(LZ4F_createDecompressionContext(&self->context,
													 LZ4F_VERSION)))
	{
		free(self);
		wa_sink_close(next);
		return NULL;
	}
	self->sink.ops = &lz4_ops;
	self->sink.next = next;
	self->raw_bytes_left = raw_bytes_max;
	self->what = what;
	return &self->sink;
}
