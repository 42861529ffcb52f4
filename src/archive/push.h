/*
 * push.h
 *	  One file into the archive.
 *
 *	wa_push_open	read the source once, check it
 *	wa_push_stage	compress and store it, durable but invisible
 *	wa_push_commit	make it visible, unless the archive has it already
 *	wa_push_close
 *
 * WA_OK from wa_push_commit means that the archive durably holds exactly
 * these bytes under this name.
 */
#ifndef WA_PUSH_H
#define WA_PUSH_H

#include "archive/archive.h"
#include "archive/bench.h"
#include "core/envelope.h"
#include "store/store.h"

/* Larger sources are streamed instead of being held in memory. */
#define WA_WHOLE_BYTES_MAX		(UINT64_C(64) * 1024 * 1024)

typedef enum WaPushOutcome
{
	WA_PUSH_STORED = 1,
	WA_PUSH_IDENTICAL,			/* was there already */
	WA_PUSH_REPLACED			/* a damaged object was set aside for it */
} WaPushOutcome;

typedef struct WaPushResult
{
	WaPushOutcome outcome;
	uint64_t	raw_bytes;
	uint64_t	stored_bytes;	/* 0 when nothing was written */
	uint64_t	read_us;
	uint64_t	compress_us;
	uint64_t	store_us;
	char		damage[WA_DAMAGE_TEXT_BYTES];	/* of the source; or empty */
	char		key[WA_KEY_BYTES];	/* under which it is in the archive */
	char		aside_key[WA_KEY_BYTES];	/* where a damaged object went */
	char		suspect_key[WA_KEY_BYTES];	/* visible, but an fsync of it
											 * failed; or empty */
	WaVisit		visit;
} WaPushResult;

typedef struct WaPush WaPush;

/*
 * Refused: WA_INVALID (name, size), WA_WRONG_CLUSTER, WA_NOT_FOUND (no such
 * source).  A source damaged in any other way is taken, and result->damage
 * says so.
 */
extern WaCode wa_push_open(WaArchive *archive, WaBench *bench, WaBeat *beat,
						   const char *name, const char *source,
						   int64_t archived_at_us, WaPushResult *result,
						   WaPush **push, WaError *err);
extern WaCode wa_push_stage(WaPush *push, int level, WaError *err);
extern WaCode wa_push_commit(WaPush *push, int level, WaError *err);
extern void wa_push_close(WaPush *push);	/* safe on NULL */

/* The whole way. */
extern WaCode wa_push(WaArchive *archive, WaBench *bench, WaBeat *beat,
					  int level, const char *name, const char *source,
					  int64_t archived_at_us, WaPushResult *result,
					  WaError *err);

#endif							/* WA_PUSH_H */
