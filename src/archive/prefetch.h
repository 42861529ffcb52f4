/*
 * prefetch.h
 *	  Fills a spool with the segments that come after the one asked for last.
 *
 * Every segment passes wa_fetch, with all its proofs, and is synced before
 * it gets its name.  What cannot be had is never remembered for longer than
 * until the next question.
 */
#ifndef WA_PREFETCH_H
#define WA_PREFETCH_H

#include "archive/fetch.h"
#include "archive/spool.h"
#include "archive/window.h"

typedef struct WaPrefetch WaPrefetch;

typedef struct WaPrefetchConfig
{
	WaFetchConfig fetch;		/* without pg_wal, trail and beat; control is
								 * known; outlives the threads */
	const WaSpool *spool;
	int			window;			/* segments */
	int			threads;
	uint64_t	last;			/* nothing after this segment; UINT64_MAX */
} WaPrefetchConfig;

/* NULL when out of memory or descriptors. */
extern WaPrefetch *wa_prefetch_open(const WaPrefetchConfig *config);

/* A segment was asked for, and is being delivered by others. */
extern void wa_prefetch_move(WaPrefetch *prefetch, const WaWalName *name);

/* Nobody can use the spool: empty it, and fetch nothing any more. */
extern void wa_prefetch_stop(WaPrefetch *prefetch);

/*
 * Take what is done, remove what is of no use any more, begin what is next.
 * To be called after a move and when the event descriptor is readable.
 */
extern void wa_prefetch_work(WaPrefetch *prefetch, uint64_t now_ms);

/* Is a segment being fetched, by an operation that comes to an end? */
extern bool wa_prefetch_busy(WaPrefetch *prefetch, uint64_t now_ms);

extern int	wa_prefetch_event_fd(WaPrefetch *prefetch);

/*
 * End.  Waits for the threads, but not for one that hangs; such a one gives
 * up by itself.  Safe on NULL.
 */
extern void wa_prefetch_close(WaPrefetch *prefetch);

#endif							/* WA_PREFETCH_H */
