/*
 * envelope.c
 *	  Envelopes, as they are and with checksum and length made right: what is
 *	  accepted agrees with the size of its object, and comes back when written
 *	  again.
 */
#include "core/envelope.h"

#include "core/bytes.h"
#include "core/crc32c.h"
#include "fuzz.h"

/* libFuzzer: -max_len=4300 */

#define MAGIC_AT_END	8

/* Fields that no walk has made need not be the same when written again. */
static bool
points_in_order(const WaEnvelope *envelope)
{
	for (uint32_t i = 0; i < WA_SCAN_POINTS_MAX; i++)
		if ((i < envelope->scan.points_count) !=
			(envelope->scan.points[i].lsn != 0))
			return false;
	return true;
}

static void
check_again(const WaEnvelope *envelope)
{
	unsigned char first[WA_ENVELOPE_TAIL_BYTES];
	unsigned char second[WA_ENVELOPE_TAIL_BYTES];
	size_t		length = wa_envelope_encode(envelope, first);
	size_t		found;
	WaEnvelope	again;
	WaError		err;

	hold(length <= sizeof(first));
	hold(wa_envelope_length(first, length, envelope->body_bytes + length,
							"again", &found, &err) == WA_OK);
	hold(found == length);
	hold(wa_envelope_decode(first, length, envelope->body_bytes + length,
							"again", &again, &err) == WA_OK);
	hold(strcmp(again.name, envelope->name) == 0);
	hold(again.raw_bytes == envelope->raw_bytes);
	hold(wa_digest_equal(&again.digest, &envelope->digest));
	hold(strcmp(again.damage, envelope->damage) == 0);
	hold(again.scanned == envelope->scanned);
	hold(wa_envelope_encode(&again, second) == length);
	hold(memcmp(first, second, length) == 0);
}

static void
check_tail(const unsigned char *tail, size_t size, uint64_t object_bytes)
{
	WaEnvelope	envelope;
	WaError		err;
	size_t		length;

	if (wa_envelope_length(tail, size, object_bytes, "fuzzed", &length,
						   &err) != WA_OK || length > size)
		return;
	if (wa_envelope_decode(tail + size - length, length, object_bytes,
						   "fuzzed", &envelope, &err) != WA_OK)
		return;
	hold(envelope.body_bytes + length == object_bytes);
	hold(envelope.raw_bytes <= WA_SEGMENT_BYTES_MAX);
	hold(strnlen(envelope.name, WA_WALNAME_BYTES) < WA_WALNAME_BYTES);
	hold(strnlen(envelope.damage, WA_DAMAGE_TEXT_BYTES) < WA_DAMAGE_TEXT_BYTES);
	for (int i = 0; i < WA_SCAN_POINTS_MAX; i++)
		hold(strnlen(envelope.scan.points[i].name, WA_RECORD_NAME_BYTES) <
			 WA_RECORD_NAME_BYTES);
	if (points_in_order(&envelope))
		check_again(&envelope);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint16_t	body_bytes;
	unsigned char *tail;

	fuzz_take(&data, &size, &body_bytes, sizeof(body_bytes));
	tail = (unsigned char *) fuzz_text(data, size);
	check_tail(tail, size, size + body_bytes);
	if (size >= WA_ENVELOPE_FIXED_BYTES + WA_ENVELOPE_TRAILER_BYTES)
	{
		wa_put32(tail, 0x184D2A57);
		memcpy(tail + size - MAGIC_AT_END, "walarch\n", MAGIC_AT_END);
		wa_put32(tail + 4, (uint32_t) size - 8);
		wa_put32(tail + size - 16, (uint32_t) size);
		wa_put64(tail + 88, body_bytes);
		wa_put32(tail + size - 12, wa_crc32c(0, tail, size - 12));
		check_tail(tail, size, size + body_bytes);
	}
	free(tail);
	return 0;
}
