/*
 * sink_gzip.c
 *	  gzip by zlib; the only file that includes it.
 */
#include "core/sink_gzip.h"

#include <stdlib.h>
#include <zlib.h>

#define BUFFER_BYTES	(128 * 1024)
#define GZIP_ONLY		(15 + 16)	/* largest window, gzip wrapper */

typedef struct GzipSink
{
	WaSink		sink;
	z_stream	stream;
	uint64_t	raw_bytes_left;
	const char *what;
	bool		member_open;
	bool		any_member;
	unsigned char buffer[BUFFER_BYTES];
} GzipSink;

static WaCode
gzip_write(WaSink *sink, const void *data, size_t length, WaError *err)
{
	GzipSink   *self = (GzipSink *) sink;
	bool		full = false;

	self->stream.next_in = (unsigned char *) data;
	self->stream.avail_in = (uInt) length;
	while (self->stream.avail_in > 0 || full)
	{
		size_t		produced;
		int			result;

		if (!self->member_open)
		{
			inflateReset(&self->stream);	/* a further member may follow */
			self->member_open = true;
		}
		self->stream.next_out = self->buffer;
		self->stream.avail_out = BUFFER_BYTES;
		result = inflate(&self->stream, Z_NO_FLUSH);
		if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR)
			return wa_fail(err, result == Z_MEM_ERROR ? WA_NO_MEMORY : WA_DAMAGED,
						   "\"%s\" is damaged: %s", self->what,
						   self->stream.msg != NULL ? self->stream.msg :
						   "not gzip data");
		if (result == Z_STREAM_END)
		{
			self->member_open = false;
			self->any_member = true;
		}
		produced = BUFFER_BYTES - self->stream.avail_out;
		full = self->stream.avail_out == 0 && self->member_open;
		if (wa_sink_write_bounded(self->sink.next, self->buffer, produced,
								  &self->raw_bytes_left, self->what,
								  err) != WA_OK)
			return err->code;
		if (result == Z_BUF_ERROR && produced == 0)
			break;				/* wants more input */
	}
	return WA_OK;
}

static WaCode
gzip_finish(WaSink *sink, WaError *err)
{
	GzipSink   *self = (GzipSink *) sink;

	if (self->member_open || !self->any_member)
		return wa_fail(err, WA_DAMAGED,
					   "\"%s\" is damaged: its compressed data is truncated",
					   self->what);
	return wa_sink_forward_finish(sink, err);
}

static void
gzip_close(WaSink *sink)
{
	GzipSink   *self = (GzipSink *) sink;

	wa_sink_close(sink->next);
	inflateEnd(&self->stream);
	free(self);
}

static const WaSinkOps gzip_ops = {
	.write = gzip_write,
	.finish = gzip_finish,
	.close = gzip_close
};

WaSink *
wa_sink_gzip_decompress(uint64_t raw_bytes_max, const char *what,
						WaSink *next)
{
	GzipSink   *self = calloc(1, sizeof(*self));

	if (self == NULL || inflateInit2(&self->stream, GZIP_ONLY) != Z_OK)
	{
		free(self);
		wa_sink_close(next);
		return NULL;
	}
	self->sink.ops = &gzip_ops;
	self->sink.next = next;
	self->raw_bytes_left = raw_bytes_max;
	self->what = what;
	self->member_open = true;
	return &self->sink;
}
