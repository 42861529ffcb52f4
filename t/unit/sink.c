/*
 * sink.c
 *	  What is compressed comes back exactly, however it is cut into pieces;
 *	  truncated, changed, too long or with garbage behind it, it is never
 *	  taken for whole; and what walarch compresses is plain zstd.
 */
#include <lz4frame.h>
#include <zlib.h>
#include <zstd.h>

#include "core/sink_check.h"
#include "core/sink_gzip.h"
#include "core/sink_lz4.h"
#include "core/sink_zstd.h"
#include "fixture.h"
#include "tap.h"

#define RAW_BYTES	300000		/* more than any sink's buffer */
#define SMALL_BYTES	700

static WaZstd *zstd;
static unsigned char raw[RAW_BYTES];
static unsigned char packed[5 * RAW_BYTES];
static unsigned char unpacked[4 * RAW_BYTES];

static size_t
pack_zstd(const void *data, size_t length, void *to, size_t room)
{
	size_t		result;
	WaError		err;

	must(wa_zstd_compress(zstd, 3, data, length, to, room, &result,
						  &err) == WA_OK);
	return result;
}

static size_t
pack_gzip(const void *data, size_t length, void *to, size_t room)
{
	z_stream	stream = {0};
	size_t		result;

	must(deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8,
					  Z_DEFAULT_STRATEGY) == Z_OK);
	stream.next_in = (unsigned char *) data;
	stream.avail_in = (uInt) length;
	stream.next_out = to;
	stream.avail_out = (uInt) room;
	must(deflate(&stream, Z_FINISH) == Z_STREAM_END);
	result = stream.total_out;
	deflateEnd(&stream);
	return result;
}

/* With the checksum that the lz4 command writes. */
static size_t
pack_lz4(const void *data, size_t length, void *to, size_t room)
{
	LZ4F_preferences_t preferences = {
		.frameInfo.contentChecksumFlag = LZ4F_contentChecksumEnabled
	};
	size_t		result = LZ4F_compressFrame(to, room, data, length,
											&preferences);

	must(!LZ4F_isError(result));
	return result;
}

static WaSink *
unpack_zstd(uint64_t max, WaSink *next)
{
	return wa_sink_zstd_decompress(zstd, max, WA_ZSTD_ANY, "the file", next);
}

static WaSink *
unpack_gzip(uint64_t max, WaSink *next)
{
	return wa_sink_gzip_decompress(max, "the file", next);
}

static WaSink *
unpack_lz4(uint64_t max, WaSink *next)
{
	return wa_sink_lz4_decompress(max, "the file", next);
}

typedef struct Codec
{
	const char *name;
	size_t		(*pack) (const void *data, size_t length, void *to,
						 size_t room);
	WaSink	   *(*unpack) (uint64_t max, WaSink *next);
} Codec;

static const Codec codecs[] = {
	{"zstd", pack_zstd, unpack_zstd},
	{"gzip", pack_gzip, unpack_gzip},
	{"lz4", pack_lz4, unpack_lz4},
};

/* Feed `data` in pieces; *length is what came out. */
static WaCode
feed(WaSink *(*unpack) (uint64_t max, WaSink *next), uint64_t max,
	 const unsigned char *data, size_t data_bytes, size_t piece,
	 size_t *length, WaError *err)
{
	WaBufferSink buffer;
	WaSink	   *sink = unpack(max, wa_sink_buffer(&buffer, unpacked,
												  sizeof(unpacked), "buffer"));
	WaCode		code = WA_OK;

	must(sink != NULL);
	for (size_t at = 0; at < data_bytes && code == WA_OK; at += piece)
	{
		size_t		some = data_bytes - at < piece ? data_bytes - at : piece;
		unsigned char *copy = malloc(some);		/* exactly so long */

		memcpy(copy, data + at, some);
		code = wa_sink_write(sink, copy, some, err);
		free(copy);
	}
	if (code == WA_OK)
		code = wa_sink_finish(sink, err);
	wa_sink_close(sink);
	*length = buffer.length;
	return code;
}

static void
test_pieces(const Codec *codec)
{
	static const size_t pieces[] = {1, 3, 1000, 131071, 131072, 1 << 30};
	size_t		bytes = codec->pack(raw, RAW_BYTES, packed, sizeof(packed));
	size_t		length;
	WaError		err;

	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++)
	{
		is_code(feed(codec->unpack, RAW_BYTES, packed, bytes, pieces[i],
					 &length, &err), WA_OK, &err, "%s in pieces of %zu",
				codec->name, pieces[i]);
		ok(length == RAW_BYTES && memcmp(raw, unpacked, length) == 0,
		   "%s in pieces of %zu: the same bytes", codec->name, pieces[i]);
	}
}

/* A small input that makes much output: the sink's buffer fills many times. */
static void
test_expansion(const Codec *codec)
{
	static unsigned char zeros[4 * RAW_BYTES];
	size_t		bytes = codec->pack(zeros, sizeof(zeros), packed,
									sizeof(packed));
	size_t		length;
	WaError		err;

	memset(unpacked, 1, sizeof(unpacked));
	is_code(feed(codec->unpack, sizeof(zeros), packed, bytes, 1 << 20, &length,
				 &err), WA_OK, &err, "%s: %zu bytes of zeros out of %zu",
			codec->name, sizeof(zeros), bytes);
	ok(length == sizeof(zeros) && memcmp(zeros, unpacked, length) == 0,
	   "%s: all of them", codec->name);
	is_code(feed(codec->unpack, sizeof(zeros) - 1, packed, bytes, 1 << 20,
				 &length, &err), WA_DAMAGED, &err,
			"%s: one byte more than allowed", codec->name);
	ok(length < sizeof(zeros), "%s: and it was not let through", codec->name);
	is_code(feed(codec->unpack, 0, packed, bytes, 1, &length, &err),
			WA_DAMAGED, &err, "%s: nothing is allowed", codec->name);
	is_int(length, 0, "%s: nothing came", codec->name);
}

static void
test_damage(const Codec *codec)
{
	size_t		bytes = codec->pack(raw, SMALL_BYTES, packed, sizeof(packed));
	static const size_t pieces[] = {1, 1 << 20};
	size_t		length;
	WaError		err;
	int			wrong = 0;

	for (size_t cut = 0; cut < bytes; cut++)
		for (int p = 0; p < 2; p++)
		{
			WaCode		code = feed(codec->unpack, SMALL_BYTES, packed, cut,
									pieces[p], &length, &err);

			if (code != WA_DAMAGED && wrong++ == 0)
				diag("cut at %zu of %zu, pieces of %zu: %s", cut, bytes,
					 pieces[p], wa_code_name(code));
		}
	is_int(wrong, 0, "%s truncated at every length: damage", codec->name);

	wrong = 0;
	for (size_t at = 0; at < bytes; at++)
	{
		WaCode		code;

		packed[at] ^= 0x10;
		code = feed(codec->unpack, SMALL_BYTES, packed, bytes, 1 << 20,
					&length, &err);
		packed[at] ^= 0x10;
		/* bits that mean nothing (a time, a name) may change; bytes may not */
		if (code == WA_OK ? length != SMALL_BYTES ||
			memcmp(raw, unpacked, length) != 0 : code != WA_DAMAGED)
		{
			if (wrong++ == 0)
				diag("byte %zu of %zu: %s, %zu bytes", at, bytes,
					 wa_code_name(code), length);
		}
	}
	is_int(wrong, 0, "%s, any byte changed: damage, or the same bytes",
		   codec->name);

	is_code(feed(codec->unpack, SMALL_BYTES, raw, SMALL_BYTES, 100, &length,
				 &err), WA_DAMAGED, &err, "%s: something else", codec->name);
	has_str(err.message, "the file", "%s: the message names the file",
			codec->name);
}

static void
test_behind(const Codec *codec)
{
	static const size_t pieces[] = {1, 1 << 20};
	size_t		first = codec->pack(raw, SMALL_BYTES, packed, sizeof(packed));
	size_t		both = first + codec->pack(raw + SMALL_BYTES, SMALL_BYTES,
										   packed + first,
										   sizeof(packed) - first);
	size_t		length;
	WaError		err;

	for (int p = 0; p < 2; p++)
	{
		is_code(feed(codec->unpack, RAW_BYTES, packed, both, pieces[p],
					 &length, &err), WA_OK, &err,
				"%s: two frames, pieces of %zu", codec->name, pieces[p]);
		ok(length == 2 * SMALL_BYTES && memcmp(raw, unpacked, length) == 0,
		   "%s: both", codec->name);
		is_code(feed(codec->unpack, 2 * SMALL_BYTES - 1, packed, both,
					 pieces[p], &length, &err), WA_DAMAGED, &err,
				"%s: the limit is for both together", codec->name);
		is_code(feed(codec->unpack, RAW_BYTES, packed, both - 1, pieces[p],
					 &length, &err), WA_DAMAGED, &err,
				"%s: the second cut off", codec->name);
		memset(packed + first, 'g', 20);
		is_code(feed(codec->unpack, RAW_BYTES, packed, first + 20, pieces[p],
					 &length, &err), WA_DAMAGED, &err,
				"%s: garbage behind", codec->name);
		is_code(feed(codec->unpack, RAW_BYTES, packed, first + 1, pieces[p],
					 &length, &err), WA_DAMAGED, &err,
				"%s: one byte of garbage behind", codec->name);
		both = first + codec->pack(raw + SMALL_BYTES, SMALL_BYTES,
								   packed + first, sizeof(packed) - first);
	}
}

static WaSink *
unpack_one_frame(uint64_t max, WaSink *next)
{
	return wa_sink_zstd_decompress(zstd, max, WA_ZSTD_ONE, "the file", next);
}

static void
test_one_frame(void)
{
	static const size_t pieces[] = {1, 1 << 20};
	size_t		first = pack_zstd(raw, SMALL_BYTES, packed, sizeof(packed));
	size_t		both = first + pack_zstd(raw, SMALL_BYTES, packed + first,
										 sizeof(packed) - first);
	size_t		length;
	WaError		err;

	for (int p = 0; p < 2; p++)
	{
		is_code(feed(unpack_one_frame, RAW_BYTES, packed, first, pieces[p],
					 &length, &err), WA_OK, &err, "one frame");
		is_int(length, SMALL_BYTES, "its bytes");
		is_code(feed(unpack_one_frame, RAW_BYTES, packed, both, pieces[p],
					 &length, &err), WA_DAMAGED, &err,
				"two where one is allowed");
	}
	first = pack_zstd("", 0, packed, sizeof(packed));
	is_code(feed(unpack_one_frame, RAW_BYTES, packed, first, 1, &length, &err),
			WA_OK, &err, "an empty frame");
	is_int(length, 0, "is empty");
}

static WaSink *
unpack_sized(uint64_t max, WaSink *next)
{
	return wa_sink_zstd_decompress(zstd, max, WA_ZSTD_SIZED, "the file", next);
}

/* A frame asks for its window before it shows a byte: RFC 8878, 3.1.1.1.2. */
static void
test_window(void)
{
	static const struct
	{
		unsigned	log;
		uint64_t	max;
		WaCode		sized;
		WaCode		one;
	}			cases[] = {
		{23, 100, WA_OK, WA_OK},
		{24, 100, WA_DAMAGED, WA_OK},
		{24, 16 << 20, WA_OK, WA_OK},
		{24, (8 << 20) + 1, WA_OK, WA_OK},
		{25, 16 << 20, WA_DAMAGED, WA_OK},
		{27, 16 << 20, WA_DAMAGED, WA_OK},
		{27, 1 << 30, WA_OK, WA_OK},
		{28, 1 << 30, WA_DAMAGED, WA_DAMAGED}
	};
	unsigned char frame[] = {
		0x28, 0xB5, 0x2F, 0xFD, 0,	/* no content size, no checksum */
		0,						/* the window */
		0x09, 0, 0, 'x'			/* the last block, one byte as it is */
	};
	size_t		length;
	WaError		err;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		frame[5] = (unsigned char) ((cases[i].log - 10) << 3);
		is_code(feed(unpack_sized, cases[i].max, frame, sizeof(frame),
					 sizeof(frame), &length, &err), cases[i].sized, &err,
				"a window of 2^%u where %llu bytes are to come", cases[i].log,
				(unsigned long long) cases[i].max);
		is_code(feed(unpack_one_frame, cases[i].max, frame, sizeof(frame),
					 sizeof(frame), &length, &err), cases[i].one, &err,
				"and where no size was said");
	}
}

/* None of ours asks for more than its bytes need. */
static void
test_own_windows(void)
{
	static const size_t sizes[] = {0, 1, 1000, SMALL_BYTES, RAW_BYTES};
	int			failed = 0;
	WaError		err;

	for (int level = WA_ZSTD_LEVEL_MIN; level <= WA_ZSTD_LEVEL_MAX; level++)
		for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		{
			size_t		packed_bytes;
			size_t		length;

			must(wa_zstd_compress(zstd, level, raw, sizes[i], packed,
								  sizeof(packed), &packed_bytes,
								  &err) == WA_OK);
			if (feed(unpack_sized, sizes[i], packed, packed_bytes,
					 packed_bytes, &length, &err) != WA_OK ||
				length != sizes[i])
			{
				diag("level %d, %zu bytes: %s", level, sizes[i], err.message);
				failed++;
			}
		}
	is_int(failed, 0, "frames of every level and size come back");
}

/* What libzstd takes for an empty frame of version 0.6. */
static void
test_legacy_frame(void)
{
	static const unsigned char legacy[] = {
		0x26, 0xB5, 0x2F, 0xFD, 0x04, 0xCC, 0xEB, 0x2F
	};
	static const size_t pieces[] = {1, 2, 1 << 20};
	size_t		first = pack_zstd(raw, SMALL_BYTES, packed, sizeof(packed));
	size_t		length;
	WaError		err;

	memcpy(packed + first, legacy, sizeof(legacy));
	for (int p = 0; p < 3; p++)
	{
		is_code(feed(unpack_one_frame, RAW_BYTES, legacy, sizeof(legacy),
					 pieces[p], &length, &err), WA_DAMAGED, &err,
				"a frame of an early version, pieces of %zu", pieces[p]);
		has_str(err.message, "no frame of zstd begins", "the message");
		is_code(feed(codecs[0].unpack, RAW_BYTES, packed,
					 first + sizeof(legacy), pieces[p], &length, &err),
				WA_DAMAGED, &err, "behind another one, pieces of %zu",
				pieces[p]);
	}
}

/* Streamed in pieces; the frame's length. */
static size_t
pack_streamed(int level, size_t length, uint64_t promised, size_t piece,
			  WaCode *code, WaError *err)
{
	WaBufferSink buffer;
	WaSink	   *sink = wa_sink_zstd_compress(zstd, level, promised,
											 wa_sink_buffer(&buffer, packed,
															sizeof(packed),
															"buffer"));

	must(sink != NULL);
	*code = WA_OK;
	for (size_t at = 0; at < length && *code == WA_OK; at += piece)
		*code = wa_sink_write(sink, raw + at,
							  length - at < piece ? length - at : piece, err);
	if (*code == WA_OK)
		*code = wa_sink_finish(sink, err);
	wa_sink_close(sink);
	return buffer.length;
}

static void
is_plain_zstd(size_t bytes, const char *what)
{
	size_t		length;

	is_int(ZSTD_getFrameContentSize(packed, bytes), RAW_BYTES,
		   "%s: the frame tells its content's size", what);
	is_int(packed[4] & 4, 4, "%s: and has a checksum", what);
	is_int(ZSTD_findFrameCompressedSize(packed, bytes), bytes,
		   "%s: one frame", what);
	length = ZSTD_decompress(unpacked, sizeof(unpacked), packed, bytes);
	ok(length == RAW_BYTES && memcmp(raw, unpacked, length) == 0,
	   "%s: libzstd gives the bytes", what);
}

static void
test_compress(void)
{
	static const int levels[] = {WA_ZSTD_LEVEL_MIN, 1, 3, WA_ZSTD_LEVEL_MAX};
	size_t		bytes;
	WaCode		code;
	WaError		err;

	for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++)
	{
		char		what[64];

		snprintf(what, sizeof(what), "level %d in one call", levels[i]);
		is_code(wa_zstd_compress(zstd, levels[i], raw, RAW_BYTES, packed,
								 wa_zstd_bound(RAW_BYTES), &bytes, &err),
				WA_OK, &err, "%s", what);
		is_plain_zstd(bytes, what);

		snprintf(what, sizeof(what), "level %d streamed", levels[i]);
		bytes = pack_streamed(levels[i], RAW_BYTES, RAW_BYTES, 9999, &code,
							  &err);
		is_code(code, WA_OK, &err, "%s", what);
		is_plain_zstd(bytes, what);
	}
	is_code(wa_zstd_compress(zstd, 3, raw, RAW_BYTES, packed, 100, &bytes,
							 &err), WA_INVALID, &err, "no room for the frame");
	pack_streamed(3, RAW_BYTES - 1, RAW_BYTES, 9999, &code, &err);
	is_code(code, WA_INVALID, &err, "a byte fewer than promised");
	pack_streamed(3, RAW_BYTES, RAW_BYTES - 1, 9999, &code, &err);
	is_code(code, WA_INVALID, &err, "a byte more than promised");
	bytes = pack_streamed(3, RAW_BYTES, RAW_BYTES, 1, &code, &err);
	is_plain_zstd(bytes, "after a frame that failed, byte by byte");
}

/* A sink that fails, at the end of each chain. */
static WaCode
failing_write(WaSink *sink, const void *data, size_t length, WaError *err)
{
	(void) sink;
	(void) data;
	(void) length;
	return wa_fail(err, WA_NO_SPACE, "full");
}

static int	closed;

static void
failing_close(WaSink *sink)
{
	(void) sink;
	closed++;
}

static const WaSinkOps failing_ops = {
	failing_write, wa_sink_forward_finish, failing_close
};

static void
test_errors_pass_through(const Codec *codec)
{
	size_t		bytes = codec->pack(raw, RAW_BYTES, packed, sizeof(packed));
	WaSink		failing = {&failing_ops, NULL};
	WaSink	   *sink = codec->unpack(RAW_BYTES, &failing);
	WaError		err;

	closed = 0;
	is_code(wa_sink_write(sink, packed, bytes, &err), WA_NO_SPACE, &err,
			"%s: the next sink's error comes back", codec->name);
	wa_sink_close(sink);
	is_int(closed, 1, "%s: close reaches the end of the chain, once",
		   codec->name);
}

static void
test_buffer_and_check(void)
{
	WaBufferSink buffer;
	WaCheckSink check;
	WaWalHeader header;
	WaDigest	digest;
	WaDigest	expected;
	WaError		err;
	unsigned char room[100];
	WaSink	   *sink = wa_sink_buffer(&buffer, room, 100, "small");

	is_code(wa_sink_write(sink, raw, 60, &err), WA_OK, &err, "it fits");
	is_code(wa_sink_write(sink, raw, 40, &err), WA_OK, &err, "to the brim");
	is_code(wa_sink_write(sink, raw, 1, &err), WA_DAMAGED, &err, "one more");
	is_int(buffer.length, 100, "is not taken");
	is_code(wa_sink_finish(sink, &err), WA_OK, &err, "finish");

	make_segment(unpacked, SEG_1MB, SEG_NAME, SYSID, 1);
	wa_digest_of(unpacked, 5000, &expected);
	sink = wa_sink_check(&check, NULL);
	for (size_t at = 0; at < 39; at++)
		must(wa_sink_write(sink, unpacked + at, 1, &err) == WA_OK);
	ok(!wa_sink_check_header(&check, &header), "39 bytes are no page header");
	must(wa_sink_write(sink, unpacked + 39, 5000 - 39, &err) == WA_OK);
	ok(wa_sink_check_header(&check, &header), "40 are");
	is_int(header.system_identifier, SYSID, "its system identifier");
	is_int(header.block_bytes, 8192, "its last number");
	is_int(check.bytes, 5000, "bytes are counted");
	wa_sink_check_digest(&check, &digest);
	ok(wa_digest_equal(&digest, &expected), "and digested");
	wa_sink_close(sink);
}

int
main(void)
{
	zstd = wa_zstd_open();
	must(zstd != NULL);
	fill(raw, sizeof(raw), 3);
	for (size_t i = 0; i < sizeof(codecs) / sizeof(codecs[0]); i++)
	{
		test_pieces(&codecs[i]);
		test_expansion(&codecs[i]);
		test_damage(&codecs[i]);
		test_behind(&codecs[i]);
		test_errors_pass_through(&codecs[i]);
	}
	test_one_frame();
	test_window();
	test_own_windows();
	test_legacy_frame();
	test_compress();
	test_buffer_and_check();
	wa_zstd_close(zstd);
	wa_zstd_close(NULL);
	return done_testing();
}
