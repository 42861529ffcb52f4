/*
 * envelope.h
 *	  What an object of the archive says of itself: the skippable zstd frame
 *	  behind the compressed bytes.  FORMAT.md is the specification.
 */
#ifndef WA_ENVELOPE_H
#define WA_ENVELOPE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/digest.h"
#include "core/error.h"
#include "core/walname.h"
#include "core/walscan.h"

#define WA_FORMAT_VERSION			1
#define WA_ENVELOPE_FIXED_BYTES		120
#define WA_ENVELOPE_TRAILER_BYTES	16
#define WA_ENVELOPE_BYTES_MAX		65536	/* what a reader must accept */
#define WA_ENVELOPE_TAIL_BYTES		4096	/* read this first: mostly enough */
#define WA_DAMAGE_TEXT_BYTES		256

typedef struct WaEnvelope
{
	WaKind		kind;
	char		name[WA_WALNAME_BYTES];
	uint64_t	system_identifier;
	uint32_t	tli;
	uint32_t	segment_bytes;	/* of the cluster, for every kind */
	uint64_t	raw_bytes;
	uint64_t	body_bytes;		/* the compressed frame before the envelope */
	WaDigest	digest;			/* of the raw bytes */
	uint16_t	wal_magic;		/* of segments and .partial, else 0 */
	int64_t		archived_at_us;	/* microseconds since 1970-01-01 UTC */
	char		damage[WA_DAMAGE_TEXT_BYTES];	/* empty: none was seen */
	bool		scanned;		/* its records were walked: */
	WaScanResult scan;			/* without the reason of an early end */
} WaEnvelope;

/*
 * Write the envelope into buffer (at least WA_ENVELOPE_TAIL_BYTES) and
 * return its length.
 */
extern size_t wa_envelope_encode(const WaEnvelope *envelope,
								 unsigned char *buffer);

/*
 * How long is the envelope at the end of these bytes?  tail holds the last
 * tail_bytes of an object of object_bytes.  WA_DAMAGED when it has none.
 */
extern WaCode wa_envelope_length(const unsigned char *tail, size_t tail_bytes,
								 uint64_t object_bytes, const char *what,
								 size_t *length, WaError *err);

/*
 * Read the envelope that begins at bytes and has the length that
 * wa_envelope_length gave.  WA_DAMAGED, or WA_UNSUPPORTED for a later
 * format version (never damage: the object may be perfectly good).
 */
extern WaCode wa_envelope_decode(const unsigned char *bytes, size_t length,
								 uint64_t object_bytes, const char *what,
								 WaEnvelope *envelope, WaError *err);

#endif							/* WA_ENVELOPE_H */
