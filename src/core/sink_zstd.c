/*
 * sink_zstd.c
 *	  zstd by libzstd; the only file that includes it.
 */
#include "core/sink_zstd.h"

#include <stdlib.h>
#include <string.h>
#include <zstd.h>
#include <zstd_errors.h>

#define WINDOW_LOG_OF_LEVELS	23	/* 8 MB */
#define WINDOW_LOG_MAX			27	/* 128 MB: libzstd's own limit */

struct WaZstd
{
	ZSTD_CCtx  *compress;		/* created when first needed */
	ZSTD_DCtx  *decompress;
	int			threads;
};

WaZstd *
wa_zstd_open(void)
{
	return calloc(1, sizeof(WaZstd));
}

void
wa_zstd_close(WaZstd *zstd)
{
	if (zstd == NULL)
		return;
	ZSTD_freeCCtx(zstd->compress);
	ZSTD_freeDCtx(zstd->decompress);
	free(zstd);
}

void
wa_zstd_threads(WaZstd *zstd, int threads)
{
	zstd->threads = threads;
}

size_t
wa_zstd_bound(size_t raw_bytes)
{
	return ZSTD_compressBound(raw_bytes);
}

/* A compression context ready for a new frame, or an error. */
static WaCode
begin_frame(WaZstd *zstd, int level, uint64_t raw_bytes, WaError *err)
{
	size_t		result;

	if (zstd->compress == NULL)
		zstd->compress = ZSTD_createCCtx();
	if (zstd->compress == NULL)
		return wa_fail(err, WA_NO_MEMORY, "out of memory for zstd");

	ZSTD_CCtx_reset(zstd->compress, ZSTD_reset_session_and_parameters);
	result = ZSTD_CCtx_setParameter(zstd->compress, ZSTD_c_compressionLevel,
									level);
	if (!ZSTD_isError(result))
		result = ZSTD_CCtx_setParameter(zstd->compress, ZSTD_c_checksumFlag,
										1);
	/* a libzstd that was built without threads does without */
	if (zstd->threads > 0)
		(void) ZSTD_CCtx_setParameter(zstd->compress, ZSTD_c_nbWorkers,
									  zstd->threads);
	if (!ZSTD_isError(result))
		result = ZSTD_CCtx_setPledgedSrcSize(zstd->compress, raw_bytes);
	/* not reached: levels and thread counts out of range are clamped */
	if (ZSTD_isError(result))
		return wa_fail(err, WA_INVALID, "zstd level %d: %s", level,
					   ZSTD_getErrorName(result));
	return WA_OK;
}

static WaCode
fail_compress(size_t result, WaError *err)
{
	if (ZSTD_getErrorCode(result) == ZSTD_error_memory_allocation)
		return wa_fail(err, WA_NO_MEMORY, "out of memory for zstd");
	return wa_fail(err, WA_INVALID, "zstd could not compress: %s",
				   ZSTD_getErrorName(result));
}

WaCode
wa_zstd_compress(WaZstd *zstd, int level, const void *raw, size_t raw_bytes,
				 void *frame, size_t frame_capacity, size_t *frame_bytes,
				 WaError *err)
{
	size_t		result;

	if (begin_frame(zstd, level, raw_bytes, err) != WA_OK)
		return err->code;
	result = ZSTD_compress2(zstd->compress, frame, frame_capacity,
							raw, raw_bytes);
	if (ZSTD_isError(result))
		return fail_compress(result, err);
	*frame_bytes = result;
	return WA_OK;
}

/* One struct for both directions: a context, a buffer and where it goes. */
typedef struct ZstdSink
{
	WaSink		sink;
	WaZstd	   *zstd;
	const char *what;
	uint64_t	raw_bytes_left;
	WaZstdFrames frames;
	bool		frame_open;		/* in the middle of a frame */
	bool		any_frame;		/* at least one frame has ended */
	size_t		buffer_bytes;
	unsigned char buffer[];
} ZstdSink;

static WaSink *
zstd_sink_new(const WaSinkOps *ops, WaZstd *zstd, size_t buffer_bytes,
			  WaSink *next)
{
	ZstdSink   *self = calloc(1, sizeof(*self) + buffer_bytes);

	if (self == NULL)
	{
		wa_sink_close(next);
		return NULL;
	}
	self->sink.ops = ops;
	self->sink.next = next;
	self->zstd = zstd;
	self->buffer_bytes = buffer_bytes;
	return &self->sink;
}

static void
zstd_sink_close(WaSink *sink)
{
	wa_sink_close(sink->next);
	free(sink);
}

static WaCode
compress_some(ZstdSink *self, ZSTD_inBuffer *in, ZSTD_EndDirective mode,
			  WaError *err)
{
	size_t		left;

	do
	{
		ZSTD_outBuffer out = {self->buffer, self->buffer_bytes, 0};

		left = ZSTD_compressStream2(self->zstd->compress, &out, in, mode);
		if (ZSTD_isError(left))
			return fail_compress(left, err);
		if (out.pos > 0 && wa_sink_write(self->sink.next, self->buffer,
										 out.pos, err) != WA_OK)
			return err->code;
	} while (in->pos < in->size || (mode == ZSTD_e_end && left > 0));
	return WA_OK;
}

static WaCode
compress_write(WaSink *sink, const void *data, size_t length, WaError *err)
{
	ZSTD_inBuffer in = {data, length, 0};

	return compress_some((ZstdSink *) sink, &in, ZSTD_e_continue, err);
}

static WaCode
compress_finish(WaSink *sink, WaError *err)
{
	ZSTD_inBuffer in = {NULL, 0, 0};

	if (compress_some((ZstdSink *) sink, &in, ZSTD_e_end, err) != WA_OK)
		return err->code;
	return wa_sink_forward_finish(sink, err);
}

static const WaSinkOps compress_ops = {
	.write = compress_write,
	.finish = compress_finish,
	.close = zstd_sink_close
};

WaSink *
wa_sink_zstd_compress(WaZstd *zstd, int level, uint64_t raw_bytes,
					  WaSink *next)
{
	WaError		ignored;

	if (begin_frame(zstd, level, raw_bytes, &ignored) != WA_OK)
	{
		wa_sink_close(next);
		return NULL;
	}
	return zstd_sink_new(&compress_ops, zstd, ZSTD_CStreamOutSize(), next);
}

/*
 * libzstd may have been built to read what its versions before 0.8 wrote, as
 * Debian's is.  Nobody archives in these formats, and their decoders take
 * garbage for an empty frame.  The first byte tells: that of ZSTD_MAGICNUMBER,
 * or of a skippable frame (RFC 8878, sections 3.1.1 and 3.1.2).
 */
static bool
begins_frame(unsigned char first)
{
	return first == (ZSTD_MAGICNUMBER & 0xFF) ||
		(first & 0xF0) == (ZSTD_MAGIC_SKIPPABLE_START & 0xF0);
}

static WaCode
decompress_write(WaSink *sink, const void *data, size_t length, WaError *err)
{
	ZstdSink   *self = (ZstdSink *) sink;
	ZSTD_inBuffer in = {data, length, 0};
	bool		full = false;	/* the last call may hold back output */

	while (in.pos < in.size || full)
	{
		ZSTD_outBuffer out = {self->buffer, self->buffer_bytes, 0};
		size_t		left;

		if (self->frames != WA_ZSTD_ANY && self->any_frame && !self->frame_open)
			return wa_fail(err, WA_DAMAGED,
						   "\"%s\" has bytes behind its compressed data",
						   self->what);
		if (!self->frame_open &&
			!begins_frame(((const unsigned char *) in.src)[in.pos]))
			return wa_fail(err, WA_DAMAGED, "\"%s\" is damaged: no frame of "
						   "zstd begins where one must", self->what);
		left = ZSTD_decompressStream(self->zstd->decompress, &out, &in);
		if (ZSTD_isError(left))
		{
			/* not reached: nobody can make libzstd's own allocations fail */
			if (ZSTD_getErrorCode(left) == ZSTD_error_memory_allocation)
				return wa_fail(err, WA_NO_MEMORY, "out of memory for zstd");
			return wa_fail(err, WA_DAMAGED, "\"%s\" is damaged: %s",
						   self->what, ZSTD_getErrorName(left));
		}
		self->frame_open = left != 0;
		if (left == 0)
			self->any_frame = true;
		full = out.pos == out.size && left != 0;
		if (wa_sink_write_bounded(self->sink.next, self->buffer, out.pos,
								  &self->raw_bytes_left, self->what,
								  err) != WA_OK)
			return err->code;
	}
	return WA_OK;
}

static WaCode
decompress_finish(WaSink *sink, WaError *err)
{
	ZstdSink   *self = (ZstdSink *) sink;

	if (self->frame_open || !self->any_frame)
		return wa_fail(err, WA_DAMAGED,
					   "\"%s\" is damaged: its compressed data is truncated",
					   self->what);
	return wa_sink_forward_finish(sink, err);
}

static const WaSinkOps decompress_ops = {
	.write = decompress_write,
	.finish = decompress_finish,
	.close = zstd_sink_close
};

/*
 * A decoder allocates the window that a frame asks for before it sees any of
 * its bytes.  libzstd's writer, told the content size, asks for no more than
 * that at any level: a window as large becomes a frame of a single segment,
 * whose window is its content.  Other writers may use that of their level for
 * small contents, too, which is 8 MB at level 19.
 */
static int
window_log_max(WaZstdFrames frames, uint64_t raw_bytes)
{
	int			result = WINDOW_LOG_OF_LEVELS;

	if (frames != WA_ZSTD_SIZED)
		return WINDOW_LOG_MAX;
	while (result < WINDOW_LOG_MAX && (UINT64_C(1) << result) < raw_bytes)
		result++;
	return result;
}

WaSink *
wa_sink_zstd_decompress(WaZstd *zstd, uint64_t raw_bytes_max,
						WaZstdFrames frames, const char *what, WaSink *next)
{
	WaSink	   *sink;

	if (zstd->decompress == NULL)
		zstd->decompress = ZSTD_createDCtx();
	if (zstd->decompress == NULL)
	{
		wa_sink_close(next);
		return NULL;
	}
	ZSTD_DCtx_reset(zstd->decompress, ZSTD_reset_session_and_parameters);
	(void) ZSTD_DCtx_setParameter(zstd->decompress, ZSTD_d_windowLogMax,
								  window_log_max(frames, raw_bytes_max));

	sink = zstd_sink_new(&decompress_ops, zstd, ZSTD_DStreamOutSize(), next);
	if (sink != NULL)
	{
		ZstdSink   *self = (ZstdSink *) sink;

		self->raw_bytes_left = raw_bytes_max;
		self->frames = frames;
		self->what = what;
	}
	return sink;
}
