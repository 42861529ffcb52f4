/*
 * digest.c
 *	  XXH3-128 by libxxhash; the only file that includes it.
 */
#include "core/digest.h"

#include <stdio.h>
#include <string.h>
#include <xxhash.h>

_Static_assert(sizeof(XXH128_canonical_t) == WA_DIGEST_BYTES,
			   "XXH3-128 has 16 bytes");

static void
to_canonical(XXH128_hash_t hash, WaDigest *digest)
{
	XXH128_canonical_t canonical;

	XXH128_canonicalFromHash(&canonical, hash);
	memcpy(digest->bytes, canonical.digest, WA_DIGEST_BYTES);
}

void
wa_digest_of(const void *data, size_t length, WaDigest *digest)
{
	to_canonical(XXH3_128bits(data, length), digest);
}

WaDigestState *
wa_digest_open(void)
{
	XXH3_state_t *state = XXH3_createState();

	if (state != NULL)
		XXH3_128bits_reset(state);
	return (WaDigestState *) state;
}

void
wa_digest_update(WaDigestState *state, const void *data, size_t length)
{
	XXH3_128bits_update((XXH3_state_t *) state, data, length);
}

void
wa_digest_result(const WaDigestState *state, WaDigest *digest)
{
	to_canonical(XXH3_128bits_digest((const XXH3_state_t *) state), digest);
}

void
wa_digest_close(WaDigestState *state)
{
	XXH3_freeState((XXH3_state_t *) state);
}

bool
wa_digest_equal(const WaDigest *a, const WaDigest *b)
{
	return memcmp(a->bytes, b->bytes, WA_DIGEST_BYTES) == 0;
}

void
wa_digest_text(const WaDigest *digest, char *text)
{
	for (int i = 0; i < WA_DIGEST_BYTES; i++)
		snprintf(text + 2 * i, 3, "%02x", digest->bytes[i]);
}

bool
wa_digest_parse(const char *text, WaDigest *digest)
{
	if (strlen(text) != 2 * WA_DIGEST_BYTES ||
		strspn(text, "0123456789abcdef") != 2 * WA_DIGEST_BYTES)
		return false;
	for (int i = 0; i < WA_DIGEST_BYTES; i++)
		(void) sscanf(text + 2 * i, "%2hhx", &digest->bytes[i]);
	return true;
}
