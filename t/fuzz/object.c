/*
 * object.c
 *	  A whole object: hostile bytes, a hostile frame in a right envelope, and a
 *	  good object of which a byte is changed or the end is missing.  Bytes that
 *	  are not those it was made of are never proven.
 */
#include "archive/object.h"

#include <zstd.h>

#include "archive/layout.h"
#include "core/history.h"
#include "core/walheader.h"
#include "fixture.h"
#include "fuzz.h"
#include "memstore.h"

/*
 * A frame may ask for a window of 128 MB, libzstd's own limit, which
 * `zstd --long` makes use of; twice that is a bomb.
 *
 * libFuzzer: -max_len=8192 -malloc_limit_mb=140 -rss_limit_mb=512
 */

#define NAME		"00000002.history"
#define RAW_MAX		(4 * 1024 * 1024)

typedef struct Steer
{
	uint8_t		mode;
	uint8_t		change;
	uint16_t	place;
	uint16_t	cut;
} Steer;

static WaZstd *zstd;
static unsigned char raw[RAW_MAX];
static unsigned char object[64 * 1024];

/* All a reader does; *length is that of the bytes in raw. */
static WaCode
read_object(size_t object_bytes, const WaWalName *name, size_t *length)
{
	MemStore	memory;
	WaStore    *store = memstore(&memory, object, object_bytes);
	WaBufferSink buffer;
	WaEnvelope	envelope;
	WaStat		stat;
	WaError		err;
	char		key[WA_KEY_BYTES];
	WaCode		code;

	wa_layout_key(name, key);
	code = wa_object_envelope(store, key, &stat, &envelope, &err);
	if (code == WA_OK)
		code = wa_object_check_name(store, key, &envelope, name, SYSID,
									SEG_1MB, &err);
	if (code == WA_OK)
		code = wa_object_read(store, key, &stat, &envelope, zstd,
							  wa_sink_buffer(&buffer, raw, sizeof(raw), "raw"),
							  &err);
	if (code == WA_OK)
	{
		*length = buffer.length;
		hold(*length == envelope.raw_bytes);
	}
	return code;
}

/* And what readers of small files do. */
static void
read_text(size_t object_bytes, const WaWalName *name, const void *text,
		  size_t length, WaCode expected)
{
	MemStore	memory;
	WaStore    *store = memstore(&memory, object, object_bytes);
	WaEnvelope	envelope;
	WaError		err;
	char	   *found;
	size_t		found_length;

	hold(wa_object_text(store, "wal/" NAME ".zst", name, SYSID, SEG_1MB, zstd,
						&envelope, &found, &found_length, &err) == expected);
	if (expected == WA_OK)
		hold(found_length == length && memcmp(found, text, length) == 0 &&
			 found[length] == '\0');
	else
		hold(found == NULL);
	free(found);
}

static size_t
add_envelope(const WaWalName *name, const void *bytes, size_t length,
			 size_t body_bytes, uint8_t digest_change)
{
	WaEnvelope	envelope = {
		.kind = name->kind,
		.system_identifier = SYSID,
		.tli = name->tli,
		.segment_bytes = SEG_1MB,
		.raw_bytes = length,
		.body_bytes = body_bytes
	};

	memcpy(envelope.name, name->text, sizeof(envelope.name));
	if (name->kind == WA_KIND_SEGMENT)
		envelope.wal_magic = WAL_MAGIC;
	wa_digest_of(bytes, length, &envelope.digest);
	envelope.digest.bytes[digest_change % WA_DIGEST_BYTES] ^= digest_change;
	return body_bytes + wa_envelope_encode(&envelope, object + body_bytes);
}

/*
 * The frame is hostile, the envelope is right as far as it can be, or tells
 * of other bytes.
 */
static void
hostile_frame(const Steer *steer, const uint8_t *data, size_t size,
			  const WaWalName *name)
{
	static unsigned char plain[WA_HISTORY_BYTES_MAX];
	size_t		length = ZSTD_decompress(plain, sizeof(plain), data, size);
	size_t		found;
	size_t		object_bytes;

	if (ZSTD_isError(length))
		length = size > 0 ? data[0] : 0;
	memcpy(object, data, size);
	object_bytes = add_envelope(name, plain, length, size, steer->change);
	if (read_object(object_bytes, name, &found) == WA_OK)
	{
		hold(steer->change == 0);
		hold(found == length && memcmp(raw, plain, length) == 0);
		read_text(object_bytes, name, plain, length, WA_OK);
	}
}

/* A good object of these bytes, then one that is not. */
static void
hostile_change(const Steer *steer, const void *bytes, size_t length,
			   const WaWalName *name)
{
	size_t		frame_bytes;
	size_t		object_bytes;
	size_t		found;
	WaError		err;

	hold(wa_zstd_compress(zstd, 1, bytes, length, object,
						  sizeof(object) - WA_ENVELOPE_TAIL_BYTES,
						  &frame_bytes, &err) == WA_OK);
	object_bytes = add_envelope(name, bytes, length, frame_bytes, 0);
	hold(read_object(object_bytes, name, &found) == WA_OK);
	hold(found == length && memcmp(raw, bytes, length) == 0);
	if (name->kind == WA_KIND_HISTORY)
		read_text(object_bytes, name, bytes, length, WA_OK);

	if (steer->change != 0)
		object[steer->place % object_bytes] ^= steer->change;
	else
		object_bytes -= 1 + steer->cut % object_bytes;
	if (read_object(object_bytes, name, &found) == WA_OK)
	{
		hold(steer->change != 0);
		hold(found == length && memcmp(raw, bytes, length) == 0);
	}
}

/* The first page is fuzzed, the rest of the segment is zeros. */
static void
hostile_segment(const Steer *steer, const uint8_t *data, size_t size)
{
	static unsigned char segment[SEG_1MB];
	static unsigned char again[SEG_1MB];
	WaWalName	name;
	WaError		err;
	size_t		frame_bytes;
	size_t		found;

	hold(wa_walname_parse(SEG_NAME, &name, &err) == WA_OK);
	if (segment[0] == 0)
	{
		make_segment(segment, SEG_1MB, SEG_NAME, SYSID, 1);
		memset(segment + WA_WALHEADER_BYTES, 0, SEG_1MB - WA_WALHEADER_BYTES);
	}
	if (size < WA_WALHEADER_BYTES)
	{
		hostile_change(steer, segment, SEG_1MB, &name);
		return;
	}
	memcpy(again, data, size);
	memset(again + size, 0, sizeof(again) - size);
	hold(wa_zstd_compress(zstd, 1, again, sizeof(again), object,
						  sizeof(object) - WA_ENVELOPE_TAIL_BYTES,
						  &frame_bytes, &err) == WA_OK);
	if (read_object(add_envelope(&name, again, sizeof(again), frame_bytes,
								 0), &name, &found) == WA_OK)
		hold(memcmp(again + 4, segment + 4, 12) == 0 &&
			 memcmp(again + 24, segment + 24, 12) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Steer		steer;
	WaWalName	name;
	WaError		err;
	size_t		found;

	if (zstd == NULL)
		zstd = wa_zstd_open();
	hold(zstd != NULL && wa_walname_parse(NAME, &name, &err) == WA_OK);
	fuzz_take(&data, &size, &steer, sizeof(steer));
	switch (steer.mode % 4)
	{
		case 0:
			memcpy(object, data, size);
			(void) read_object(size, &name, &found);
			break;
		case 1:
			hostile_frame(&steer, data, size, &name);
			break;
		case 2:
			hostile_change(&steer, data, size, &name);
			break;
		case 3:
			hostile_segment(&steer, data, size);
			break;
	}
	return 0;
}
