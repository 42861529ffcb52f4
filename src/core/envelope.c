/*
 * envelope.c
 *	  The skippable frame behind the compressed bytes.
 *
 * It stands last so that a writer never goes back and a truncated object is
 * known by its missing trailer.
 */
#include "core/envelope.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "core/bytes.h"
#include "core/crc32c.h"
#include "core/envelope_scan.h"

/* Skippable frames are 0x184D2A50 to 0x184D2A5F (RFC 8878, 3.1.2). */
#define SKIPPABLE_MAGIC		UINT32_C(0x184D2A57)
#define SKIPPABLE_HEADER	8

_Static_assert(WA_ENVELOPE_FIXED_BYTES + 4 + WA_DAMAGE_TEXT_BYTES +
			   WA_ENVELOPE_SCAN_BYTES_MAX + WA_ENVELOPE_TRAILER_BYTES <=
			   WA_ENVELOPE_TAIL_BYTES, "what we write is read at once");

static const char trailer_magic[8] = {'w', 'a', 'l', 'a', 'r', 'c', 'h', '\n'};

/* Offsets in the fixed part. */
enum
{
	AT_FRAME_MAGIC = 0,
	AT_FRAME_LENGTH = 4,
	AT_VERSION = 8,
	AT_FIXED_LENGTH = 10,
	AT_KIND = 12,
	AT_WAL_MAGIC = 14,
	AT_NAME = 16,
	AT_SYSTEM_IDENTIFIER = 64,
	AT_TLI = 72,
	AT_SEGMENT_BYTES = 76,
	AT_RAW_BYTES = 80,
	AT_BODY_BYTES = 88,
	AT_DIGEST = 96,
	AT_ARCHIVED_AT = 112
};

/* Types of optional fields; those of envelope_scan.c follow. */
enum
{
	FIELD_DAMAGE = 1
};

#define FIELD_HEADER	4		/* uint16 type, uint16 length */

size_t
wa_envelope_encode(const WaEnvelope *envelope, unsigned char *buffer)
{
	size_t		length = WA_ENVELOPE_FIXED_BYTES;
	size_t		damage_length = strlen(envelope->damage);

	memset(buffer, 0, WA_ENVELOPE_FIXED_BYTES);
	wa_put32(buffer + AT_FRAME_MAGIC, SKIPPABLE_MAGIC);
	wa_put16(buffer + AT_VERSION, WA_FORMAT_VERSION);
	wa_put16(buffer + AT_FIXED_LENGTH, WA_ENVELOPE_FIXED_BYTES);
	buffer[AT_KIND] = (unsigned char) envelope->kind;
	wa_put16(buffer + AT_WAL_MAGIC, envelope->wal_magic);
	memcpy(buffer + AT_NAME, envelope->name,
		   strnlen(envelope->name, WA_WALNAME_BYTES - 1));
	wa_put64(buffer + AT_SYSTEM_IDENTIFIER, envelope->system_identifier);
	wa_put32(buffer + AT_TLI, envelope->tli);
	wa_put32(buffer + AT_SEGMENT_BYTES, envelope->segment_bytes);
	wa_put64(buffer + AT_RAW_BYTES, envelope->raw_bytes);
	wa_put64(buffer + AT_BODY_BYTES, envelope->body_bytes);
	memcpy(buffer + AT_DIGEST, envelope->digest.bytes, WA_DIGEST_BYTES);
	wa_put64(buffer + AT_ARCHIVED_AT, (uint64_t) envelope->archived_at_us);

	if (damage_length > 0)
	{
		wa_put16(buffer + length, FIELD_DAMAGE);
		wa_put16(buffer + length + 2, (uint16_t) damage_length);
		memcpy(buffer + length + FIELD_HEADER, envelope->damage,
			   damage_length);
		length += FIELD_HEADER + damage_length;
	}
	if (envelope->scanned)
		length += wa_envelope_scan_encode(&envelope->scan, buffer + length);

	length += WA_ENVELOPE_TRAILER_BYTES;
	wa_put32(buffer + AT_FRAME_LENGTH, (uint32_t) (length - SKIPPABLE_HEADER));
	wa_put32(buffer + length - 16, (uint32_t) length);
	wa_put32(buffer + length - 12, wa_crc32c(0, buffer, length - 12));
	memcpy(buffer + length - 8, trailer_magic, sizeof(trailer_magic));
	assert(length <= WA_ENVELOPE_TAIL_BYTES);
	return length;
}

WaCode
wa_envelope_length(const unsigned char *tail, size_t tail_bytes,
				   uint64_t object_bytes, const char *what, size_t *length,
				   WaError *err)
{
	uint32_t	value;

	if (tail_bytes < WA_ENVELOPE_TRAILER_BYTES ||
		memcmp(tail + tail_bytes - 8, trailer_magic,
			   sizeof(trailer_magic)) != 0)
		return wa_fail(err, WA_DAMAGED,
					   "\"%s\" is truncated or not an object of walarch: it "
					   "does not end with an envelope", what);
	value = wa_get32(tail + tail_bytes - 16);
	if (value < WA_ENVELOPE_FIXED_BYTES + WA_ENVELOPE_TRAILER_BYTES ||
		value > WA_ENVELOPE_BYTES_MAX || value > object_bytes)
		return wa_fail(err, WA_DAMAGED,
					   "\"%s\" has an envelope of impossible length %u",
					   what, value);
	*length = value;
	return WA_OK;
}

static void
take_field(WaEnvelope *envelope, unsigned type, const unsigned char *data,
		   size_t length)
{
	if (type == FIELD_DAMAGE && length > 0)
	{
		if (length >= WA_DAMAGE_TEXT_BYTES)
			length = WA_DAMAGE_TEXT_BYTES - 1;
		memcpy(envelope->damage, data, length);
		envelope->damage[length] = '\0';
	}
	else if (wa_envelope_scan_take(type, data, length, &envelope->scan))
		envelope->scanned = true;
}

WaCode
wa_envelope_decode(const unsigned char *bytes, size_t length,
				   uint64_t object_bytes, const char *what,
				   WaEnvelope *envelope, WaError *err)
{
	size_t		end = length - WA_ENVELOPE_TRAILER_BYTES;
	size_t		at;

	memset(envelope, 0, sizeof(*envelope));
	if (wa_get32(bytes + AT_FRAME_MAGIC) != SKIPPABLE_MAGIC ||
		wa_get32(bytes + AT_FRAME_LENGTH) != length - SKIPPABLE_HEADER ||
		wa_crc32c(0, bytes, length - 12) != wa_get32(bytes + length - 12))
		return wa_fail(err, WA_DAMAGED,
					   "the envelope of \"%s\" fails its checksum", what);
	if (wa_get16(bytes + AT_VERSION) != WA_FORMAT_VERSION)
	{
		wa_fail(err, WA_UNSUPPORTED,
				"\"%s\" has format version %u; this walarch knows version %d",
				what, wa_get16(bytes + AT_VERSION), WA_FORMAT_VERSION);
		wa_hint(err, "Use the version of walarch that wrote it, or a later "
				"one.");
		return err->code;
	}

	at = wa_get16(bytes + AT_FIXED_LENGTH);
	envelope->kind = (WaKind) bytes[AT_KIND];
	envelope->wal_magic = wa_get16(bytes + AT_WAL_MAGIC);
	memcpy(envelope->name, bytes + AT_NAME, WA_WALNAME_BYTES);
	envelope->system_identifier = wa_get64(bytes + AT_SYSTEM_IDENTIFIER);
	envelope->tli = wa_get32(bytes + AT_TLI);
	envelope->segment_bytes = wa_get32(bytes + AT_SEGMENT_BYTES);
	envelope->raw_bytes = wa_get64(bytes + AT_RAW_BYTES);
	envelope->body_bytes = wa_get64(bytes + AT_BODY_BYTES);
	memcpy(envelope->digest.bytes, bytes + AT_DIGEST, WA_DIGEST_BYTES);
	envelope->archived_at_us = (int64_t) wa_get64(bytes + AT_ARCHIVED_AT);

	if (envelope->name[WA_WALNAME_BYTES - 1] != '\0' ||
		at < WA_ENVELOPE_FIXED_BYTES || at > end ||
		envelope->body_bytes != object_bytes - length ||
		!wa_segment_bytes_valid(envelope->segment_bytes) ||
		envelope->raw_bytes > WA_SEGMENT_BYTES_MAX)
		goto contradiction;

	while (at < end)
	{
		size_t		field_length;

		if (end - at < FIELD_HEADER)
			goto contradiction;
		field_length = wa_get16(bytes + at + 2);
		if (end - at - FIELD_HEADER < field_length)
			goto contradiction;
		take_field(envelope, wa_get16(bytes + at),
				   bytes + at + FIELD_HEADER, field_length);
		at += FIELD_HEADER + field_length;
	}
	return WA_OK;

contradiction:
	return wa_fail(err, WA_DAMAGED,
				   "the envelope of \"%s\" contradicts itself or the size of "
				   "the file", what);
}
