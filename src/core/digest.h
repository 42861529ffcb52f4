/*
 * digest.h
 *	  XXH3-128 of the bytes of a file: the identity of its content.
 *
 * Not cryptographic: it answers "the same bytes?", not "who wrote them?".
 */
#ifndef WA_DIGEST_H
#define WA_DIGEST_H

#include <stdbool.h>
#include <stddef.h>

#define WA_DIGEST_BYTES			16
#define WA_DIGEST_TEXT_BYTES	(2 * WA_DIGEST_BYTES + 1)

/* The canonical (big-endian) form, as xxh128sum prints it. */
typedef struct WaDigest
{
	unsigned char bytes[WA_DIGEST_BYTES];
} WaDigest;

typedef struct WaDigestState WaDigestState;

extern void wa_digest_of(const void *data, size_t length, WaDigest *digest);

/* In pieces: open (NULL when out of memory), update ..., result, close. */
extern WaDigestState *wa_digest_open(void);
extern void wa_digest_update(WaDigestState *state, const void *data,
							 size_t length);
extern void wa_digest_result(const WaDigestState *state, WaDigest *digest);
extern void wa_digest_close(WaDigestState *state);

extern bool wa_digest_equal(const WaDigest *a, const WaDigest *b);

/* 32 lower-case hexadecimal digits and a NUL. */
extern void wa_digest_text(const WaDigest *digest, char *text);

/* The reverse; false for anything else. */
extern bool wa_digest_parse(const char *text, WaDigest *digest);

#endif							/* WA_DIGEST_H */
