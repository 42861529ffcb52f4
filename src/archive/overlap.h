/*
 * overlap.h
 *	  Two different files of one segment: do they hold the same WAL?
 *
 * Behind the last record of a segment lies what nobody replays: zeros, or
 * what the file held before it was recycled.  Two servers' copies may differ
 * there.  A standby that archives may also store a segment under its full
 * name before all of its records are there.
 */
#ifndef WA_OVERLAP_H
#define WA_OVERLAP_H

#include "core/envelope.h"
#include "core/sink_zstd.h"
#include "store/store.h"

typedef enum WaOverlap
{
	WA_OVERLAP_NONE = 1,		/* their records differ, or ours are damaged */
	WA_OVERLAP_SAME,			/* the same records */
	WA_OVERLAP_THEIRS_LONGER,	/* ours are the first of theirs */
	WA_OVERLAP_OURS_LONGER		/* theirs are the first of ours; or those of
								 * them before a damage are */
} WaOverlap;

/* The digest of the first bytes of ours. */
typedef WaCode (*WaPrefixFn) (void *arg, uint32_t bytes, WaDigest *digest,
							  WaError *err);

/*
 * Ours is the envelope of what should be stored, with its walk over the
 * records; theirs that of the proven object under `key`, which is read once
 * or twice more.
 */
extern WaCode wa_overlap(WaStore *store, const char *key, const WaStat *stat,
						 const WaEnvelope *ours, const WaEnvelope *theirs,
						 WaPrefixFn our_prefix, void *arg, WaZstd *zstd,
						 WaOverlap *overlap, WaError *err);

#endif							/* WA_OVERLAP_H */
