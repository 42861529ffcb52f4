/*
 * prefetch.h
 *	  Fetches the segments that come after the one asked for last.
 *
 * Every one passes wa_fetch, with all its proofs, and is synced before it is
 * handed out.  What cannot be had is never remembered for longer than until
 * the next question.
 */
#ifndef WA_PREFETCH_H
#define WA_PREFETCH_H

#include "archive/fetch.h"
#include "archive/window.h"

typedef struct WaPrefetch WaPrefetch;

typedef struct WaPrefetchConfig
{
	WaFetchConfig fetch;		/* without pg_wal, trail, beat and unnamed;
								 * control is known; outlives the threads */
	int			dir_fd;			/* where the files are made, without names */
	int			window;			/* segments */
	int			threads;
	uint64_t	last;			/* nothing after this segment; UINT64_MAX */
} WaPrefetchConfig;

/* NULL when out of memory or descriptors. */
extern WaPrefetch *wa_prefetch_open(const WaPrefetchConfig *config);

typedef enum WaPrefetchTake
{
	WA_PREFETCH_TAKEN,			/* *fd is the caller's */
	WA_PREFETCH_WORKING,		/* ask again when something is done */
	WA_PREFETCH_MISSING
} WaPrefetchTake;

extern WaPrefetchTake wa_prefetch_take(WaPrefetch *prefetch,
									   const WaWalName *name, int *fd);

/* A segment was asked for, and taken or about to be fetched by others. */
extern void wa_prefetch_move(WaPrefetch *prefetch, const WaWalName *name);

/*
 * Take in what is done, begin what is next.  To be called after a move, when
 * the event descriptor is readable, and now and then.
 */
extern void wa_prefetch_work(WaPrefetch *prefetch, uint64_t now_ms);

/* How many segments it holds or is working on. */
extern int	wa_prefetch_holds(const WaPrefetch *prefetch);

/* Is an operation on the archive not coming back? */
extern bool wa_prefetch_stuck(WaPrefetch *prefetch, uint64_t now_ms,
							  uint64_t timeout_ms);

extern int	wa_prefetch_event_fd(WaPrefetch *prefetch);

/* End; waits for the threads.  Safe on NULL. */
extern void wa_prefetch_close(WaPrefetch *prefetch);

#endif							/* WA_PREFETCH_H */
