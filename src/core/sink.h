/*
 * sink.h
 *	  Bytes pushed one way.
 *
 * A sink takes bytes by write, in pieces of any size; finish says that all
 * came (and is passed on to the next sink); close releases it and must
 * always be called, on the first sink of a chain only, since it closes the
 * next one too.  close before finish means that the bytes are abandoned.
 */
#ifndef WA_SINK_H
#define WA_SINK_H

#include <stddef.h>
#include <stdint.h>

#include "core/error.h"

typedef struct WaSink WaSink;

typedef struct WaSinkOps
{
	WaCode		(*write) (WaSink *sink, const void *data, size_t length,
						  WaError *err);
	WaCode		(*finish) (WaSink *sink, WaError *err);
	void		(*close) (WaSink *sink);
} WaSinkOps;

struct WaSink
{
	const WaSinkOps *ops;
	WaSink	   *next;			/* NULL at the end of a chain */
};

static inline WaCode
wa_sink_write(WaSink *sink, const void *data, size_t length, WaError *err)
{
	return sink->ops->write(sink, data, length, err);
}

static inline WaCode
wa_sink_finish(WaSink *sink, WaError *err)
{
	return sink->ops->finish(sink, err);
}

/* Safe on NULL. */
static inline void
wa_sink_close(WaSink *sink)
{
	if (sink != NULL)
		sink->ops->close(sink);
}

/*
 * Pass on unpacked bytes while *bytes_left allows; beyond that WA_DAMAGED,
 * so that no input makes more than its reader expects.
 */
extern WaCode wa_sink_write_bounded(WaSink *sink, const void *data,
									size_t length, uint64_t *bytes_left,
									const char *what, WaError *err);

/* For sinks that have nothing of their own to do at these points. */
extern WaCode wa_sink_forward_finish(WaSink *sink, WaError *err);

/*
 * A sink into memory that the caller owns; lives on the caller's stack.
 * More than `capacity` bytes are WA_DAMAGED: whoever reads a small file has
 * a bound for it.
 */
typedef struct WaBufferSink
{
	WaSink		sink;
	unsigned char *data;
	size_t		length;
	size_t		capacity;
	const char *what;			/* named in the error */
} WaBufferSink;

extern WaSink *wa_sink_buffer(WaBufferSink *buffer, void *data,
							  size_t capacity, const char *what);

#endif							/* WA_SINK_H */
