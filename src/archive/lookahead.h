/*
 * lookahead.h
 *	  PostgreSQL asks for one file at a time; workers are ahead of it.
 *
 * While the asked file is being archived, workers stage the segments that
 * follow it: names by arithmetic, as long as each has its `.ready`.  What is
 * staged is invisible.  When PostgreSQL asks for a staged segment, it is
 * committed together with those behind it, as one run of one worker, and the
 * next calls are answered at once.
 *
 * All of this is a cache: a wrong guess costs work, nothing else.  One thread,
 * always the same, calls these functions; it does no I/O on the archive.
 */
#ifndef WA_LOOKAHEAD_H
#define WA_LOOKAHEAD_H

#include "archive/archive.h"
#include "archive/pool.h"
#include "archive/push.h"

typedef struct WaLookahead WaLookahead;

typedef struct WaAheadRequest
{
	const char *file;			/* what PostgreSQL calls it */
	const char *path;			/* PG_WAL/FILE */
	int			level;			/* of compression while keeping up */
	int			catchup_level;	/* from a full window on, down to half of it */
	int64_t		archived_at_us; /* now, since 1970-01-01 UTC */
} WaAheadRequest;

/* Segments looked at, the asked one included, for this many workers. */
#define WA_AHEAD_PER_WORKER		4
#define WA_AHEAD_MAX			(WA_AHEAD_PER_WORKER * WA_POOL_WORKERS_MAX)

/* NULL when out of memory or descriptors.  Holds the archive. */
extern WaLookahead *wa_lookahead_open(WaArchive *archive, int workers);

/*
 * Have a file archived.  Fails only when nobody can work on it: WA_STUCK
 * while an operation given up has not come back, WA_NO_MEMORY.
 */
extern WaCode wa_lookahead_ask(WaLookahead *ahead,
							   const WaAheadRequest *request, WaError *err);

/*
 * Is there an answer?  To be called whenever the descriptor is readable and
 * now and then.  now_ms is any clock that only goes forward.
 */
extern bool wa_lookahead_answered(WaLookahead *ahead, uint64_t now_ms,
								  uint64_t timeout_ms);
extern int	wa_lookahead_event_fd(WaLookahead *ahead);
extern void wa_lookahead_drain_events(WaLookahead *ahead);

/*
 * The answer: WA_OK when the archive durably holds the file.  WA_STUCK when
 * an operation made no progress for the time-out.
 */
extern WaCode wa_lookahead_answer(WaLookahead *ahead, WaPushResult *result,
								  WaError *err);

/*
 * Stop waiting for the asked file, if one is.  Until the operation has come
 * back, asking fails.
 */
extern void wa_lookahead_give_up(WaLookahead *ahead);

/*
 * Nobody asks for a while: what was archived or staged ahead is not
 * remembered, since the archive may meanwhile become another one.
 */
extern void wa_lookahead_forget(WaLookahead *ahead);

/*
 * End, whatever is going on; waits for what does not come back no longer than
 * patience_ms.  Safe on NULL.
 */
extern void wa_lookahead_close(WaLookahead *ahead, int patience_ms);

#endif							/* WA_LOOKAHEAD_H */
