/*
 * push_internal.h
 *	  What push.c and push_commit.c share.
 */
#ifndef WA_PUSH_INTERNAL_H
#define WA_PUSH_INTERNAL_H

#include "archive/push.h"

struct WaPush
{
	WaArchive  *archive;
	WaPushResult *result;
	uint64_t	lap_us;			/* when the last lap began */

	/* of the worker, none of it once parted */
	WaBench    *bench;
	WaBeat	   *beat;
	WaStore    *store;
	int			fd;				/* of a source to be streamed, or -1 */

	WaWalName	name;
	char		key[WA_KEY_BYTES];
	char		source[WA_ARCHIVE_PATH_BYTES];
	WaEnvelope	envelope;
	bool		digest_known;
	bool		raw_held;		/* the bench holds its bytes */
	WaPut	   *put;
	bool		staged;
	bool		found;			/* the archive has it, as this object: */
	WaStat		found_stat;
};

/* The time since the last lap belongs to *us (NULL: to nobody). */
extern void wa_push_lap(WaPush *push, uint64_t *us);

/*
 * Make the bytes durable under a temporary name, if they are not already.
 * WA_CHANGED when the worker no longer holds them.
 */
extern WaCode wa_push_write(WaPush *push, int level, WaError *err);

/* A WaPrefixFn on a push: WA_CHANGED when the worker no longer holds it. */
extern WaCode wa_push_prefix(void *push, uint32_t bytes, WaDigest *digest,
							 WaError *err);

#endif							/* WA_PUSH_INTERNAL_H */
