/*
 * push.h
 *	  One file into the archive.
 *
 *	wa_push_open	read the source once, check it
 *	wa_push_commit	store it and make it visible, unless it is there already
 *	wa_push_close
 *
 * Or in two parts, perhaps by two workers, the second for a run of files:
 *
 *	wa_push_open
 *	wa_push_stage	store it, durable but invisible
 *	wa_push_part	let go of the worker and of the archive
 *	wa_push_commit_run
 *	wa_push_close
 *
 * WA_OK from a commit means that the archive durably holds exactly these
 * bytes under this name.
 */
#ifndef WA_PUSH_H
#define WA_PUSH_H

#include "archive/archive.h"
#include "archive/bench.h"
#include "archive/source.h"
#include "core/envelope.h"
#include "store/store.h"

#define WA_PUSH_RUN_MAX			8	/* files of one run */

/* Larger sources are streamed instead of being held in memory. */
#define WA_WHOLE_BYTES_MAX		(UINT64_C(64) * 1024 * 1024)

typedef enum WaPushOutcome
{
	WA_PUSH_STORED = 1,
	WA_PUSH_IDENTICAL,			/* was there already, all its records at least */
	WA_PUSH_REPLACED,			/* a damaged object was set aside for it */
	WA_PUSH_COMPLETED			/* one with fewer of its records was */
} WaPushOutcome;

typedef struct WaPushResult
{
	WaPushOutcome outcome;
	WaSource	source;
	int			level;			/* of compression */
	uint64_t	raw_bytes;
	uint64_t	stored_bytes;	/* 0 when nothing was written */
	uint64_t	read_us;
	uint64_t	compress_us;
	uint64_t	store_us;
	char		damage[WA_DAMAGE_TEXT_BYTES];	/* of the source; or empty */
	bool		torn;			/* a segment that ends in the middle of a record,
								 * which `damage` describes; it is stored as good */
	char		key[WA_KEY_BYTES];	/* under which it is in the archive */
	char		aside_key[WA_KEY_BYTES];	/* where a damaged object went */
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

/* Store it and make it visible. */
extern WaCode wa_push_commit(WaPush *push, int level, WaError *err);

/*
 * Store it, invisible; not even that when the archive holds the same
 * already.  WA_CONFLICT when it holds another.
 */
extern WaCode wa_push_stage(WaPush *push, int level, WaError *err);

/* From here on it holds no memory of the worker and nothing open. */
extern void wa_push_part(WaPush *push);

/*
 * Make staged files visible in this order, under one fsync of their
 * directory, through a directory opened and proven anew.  Ends before the
 * first that fails, whose error *err is; WA_CHANGED when that one should be
 * archived from its beginning.  From the second on, a file is passed over in
 * the same way when its source has changed or is not due any more (its
 * `.ready` is gone).  Returns how many are durably there.
 */
extern int	wa_push_commit_run(WaArchive *archive, WaBench *bench,
							   WaBeat *beat, WaPush *const *pushes,
							   int count, WaError *err);

/* Release.  What was staged and then parted is left to a sweep.  Safe on NULL. */
extern void wa_push_close(WaPush *push);

/* Release a parted push and remove what it staged; touches the archive. */
extern void wa_push_discard(WaPush *push, WaBeat *beat);

/* The whole way. */
extern WaCode wa_push(WaArchive *archive, WaBench *bench, WaBeat *beat,
					  int level, const char *name, const char *source,
					  int64_t archived_at_us, WaPushResult *result,
					  WaError *err);

#endif							/* WA_PUSH_H */
