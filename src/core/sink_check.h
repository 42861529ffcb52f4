/*
 * sink_check.h
 *	  Passes bytes on and remembers what is needed to judge them: how many,
 *	  their digest, and the first page header.
 */
#ifndef WA_SINK_CHECK_H
#define WA_SINK_CHECK_H

#include "core/digest.h"
#include "core/sink.h"
#include "core/walheader.h"

/* Lives where the caller wants it; next may be NULL: only look. */
typedef struct WaCheckSink
{
	WaSink		sink;
	uint64_t	bytes;
	unsigned char first[WA_WALHEADER_BYTES];
	WaDigestState *digest;
} WaCheckSink;

/* NULL when out of memory; then `next` has been closed. */
extern WaSink *wa_sink_check(WaCheckSink *check, WaSink *next);

/* After the last byte and before close. */
extern void wa_sink_check_digest(const WaCheckSink *check, WaDigest *digest);

/* False when fewer bytes than a long page header came. */
extern bool wa_sink_check_header(const WaCheckSink *check,
								 WaWalHeader *header);

#endif							/* WA_SINK_CHECK_H */
