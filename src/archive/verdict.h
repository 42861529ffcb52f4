/*
 * verdict.h
 *	  What lies in the archive under a name, compared with what should.
 */
#ifndef WA_VERDICT_H
#define WA_VERDICT_H

#include "archive/archive.h"
#include "archive/overlap.h"
#include "core/envelope.h"
#include "core/sink_zstd.h"
#include "store/store.h"

typedef enum WaVerdict
{
	WA_VERDICT_ERROR,			/* not known: err says why */
	WA_VERDICT_ABSENT,
	WA_VERDICT_IDENTICAL,
	WA_VERDICT_EQUIVALENT,		/* holds all of its records, or more */
	WA_VERDICT_INCOMPLETE,		/* holds the first of its records only */
	WA_VERDICT_DIFFERENT,
	WA_VERDICT_DAMAGED			/* or not to be relied on */
} WaVerdict;

/*
 * Ours is the envelope of what should lie under `key`; name and cluster,
 * size, digest and the walk over its records are looked at, and our_prefix
 * asked when the bytes differ.  *stat says which object was judged, *theirs
 * is its envelope unless it is absent, damaged or unknown.
 */
extern WaVerdict wa_verdict(WaArchive *archive, WaStore *store,
							const char *key, const WaEnvelope *ours,
							WaPrefixFn our_prefix, void *arg, WaZstd *zstd,
							WaStat *stat, WaEnvelope *theirs, WaError *err);

/*
 * The error of a WA_VERDICT_DIFFERENT; `damage` says what is wrong with ours,
 * or is empty.
 */
extern WaCode wa_verdict_fail_conflict(WaArchive *archive, const char *key,
									   const WaEnvelope *ours,
									   const char *damage,
									   const WaEnvelope *theirs, WaError *err);

#endif							/* WA_VERDICT_H */
