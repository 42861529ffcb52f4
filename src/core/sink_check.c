/*
 * sink_check.c
 *	  Passes bytes on and remembers what is needed to judge them.
 */
#include "core/sink_check.h"

#include <string.h>

static WaCode
check_write(WaSink *sink, const void *data, size_t length, WaError *err)
{
	WaCheckSink *self = (WaCheckSink *) sink;

	if (self->bytes < WA_WALHEADER_BYTES)
	{
		size_t		room = WA_WALHEADER_BYTES - (size_t) self->bytes;

		memcpy(self->first + self->bytes, data,
			   length < room ? length : room);
	}
	self->bytes += length;
	wa_digest_update(self->digest, data, length);
	return sink->next != NULL ?
		wa_sink_write(sink->next, data, length, err) : WA_OK;
}

static void
check_close(WaSink *sink)
{
	WaCheckSink *self = (WaCheckSink *) sink;

	wa_sink_close(sink->next);
	wa_digest_close(self->digest);
	self->digest = NULL;
}

static const WaSinkOps check_ops = {
	.write = check_write,
	.finish = wa_sink_forward_finish,
	.close = check_close
};

WaSink *
wa_sink_check(WaCheckSink *check, WaSink *next)
{
	memset(check, 0, sizeof(*check));
	check->digest = wa_digest_open();
	if (check->digest == NULL)
	{
		wa_sink_close(next);
		return NULL;
	}
	check->sink.ops = &check_ops;
	check->sink.next = next;
	return &check->sink;
}

void
wa_sink_check_digest(const WaCheckSink *check, WaDigest *digest)
{
	wa_digest_result(check->digest, digest);
}

bool
wa_sink_check_header(const WaCheckSink *check, WaWalHeader *header)
{
	if (check->bytes < WA_WALHEADER_BYTES)
		return false;
	wa_walheader_read(check->first, header);
	return true;
}
