/*
 * pool.h
 *	  A bounded pool of threads; knows nothing of what they do.
 *
 * The opener (one thread, always the same) submits tasks and watches them.
 * A worker runs with all signals blocked and touches only its task and its
 * worker's own workspace.  Threads are started when first needed, so that an
 * idle pool has none.
 *
 * A task that makes no progress can be abandoned: its opener no longer waits
 * for it.  When the operation comes back after all, the task goes on to its
 * end (an fsync slower than anybody's patience must not fail for ever) and
 * is released by its worker; once the pool is closed it gives up instead.
 */
#ifndef WA_POOL_H
#define WA_POOL_H

#include <stdbool.h>
#include <stdint.h>

#include "core/error.h"
#include "store/store.h"

#define WA_POOL_WORKERS_MAX		32

typedef struct WaPool WaPool;
typedef struct WaTask WaTask;

/* What a task sees of the thread it runs on. */
typedef struct WaWorker
{
	WaBeat		beat;			/* for stores: shows progress, carries "give
								 * up" */
	void	   *workspace;		/* NULL at first; kept from task to task */
	void		(*workspace_close) (void *workspace);
} WaWorker;

/*
 * First member of whatever a task is; zeroed but for the two functions.
 * `release` frees a task that nobody waits for any more; always in a worker,
 * so that it may touch storage.
 */
struct WaTask
{
	void		(*run) (WaTask *task, WaWorker *worker);
	void		(*release) (WaTask *task);
	/* the rest belongs to the pool */
	int			state;
	WaWorker   *worker;
	uint64_t	seen_count;
	uint64_t	seen_at_ms;
	WaTask	   *next;
};

typedef enum WaTaskState
{
	WA_TASK_RUNNING,			/* or waiting for its turn */
	WA_TASK_DONE,				/* the opener owns it again */
	WA_TASK_STUCK				/* inside one operation for too long */
} WaTaskState;

/* NULL when out of memory or descriptors. */
extern WaPool *wa_pool_open(int workers_max);

/*
 * Hand over a task.  Fails only when not a single thread can be had;
 * WA_STUCK when abandoned tasks hold every worker.
 */
extern WaCode wa_pool_submit(WaPool *pool, WaTask *task, WaError *err);

/* The same, but before all that wait for a worker. */
extern WaCode wa_pool_submit_first(WaPool *pool, WaTask *task, WaError *err);

/* What can wait until abandoned tasks have come back. */
extern WaCode wa_pool_submit_patient(WaPool *pool, WaTask *task,
									 WaError *err);

/*
 * How is it?  now_ms is any clock that only goes forward; a task is stuck
 * when it has been inside the same operation for timeout_ms.
 */
extern WaTaskState wa_pool_watch(WaPool *pool, WaTask *task, uint64_t now_ms,
								 uint64_t timeout_ms);

/*
 * Give a task up.  Returns false when it was done after all: then it is
 * the opener's again.  Otherwise the task must not be touched any more.
 */
extern bool wa_pool_abandon(WaPool *pool, WaTask *task);

/* Abandoned tasks that have not come back and been released. */
extern int	wa_pool_stuck(WaPool *pool);

/* Threads that live; fewer than asked for when some could not be had. */
extern int	wa_pool_threads(WaPool *pool);

/* Readable when a task may be done; wa_pool_drain_events quiets it. */
extern int	wa_pool_event_fd(WaPool *pool);
extern void wa_pool_drain_events(WaPool *pool);

/*
 * End.  Threads end after their task; tasks not begun are released by the
 * last of them instead of being run.  Waits for that, but for abandoned tasks
 * and for releases no longer than patience_ms: what is stuck cleans up behind
 * itself if it ever comes back.  Safe on NULL.
 */
extern void wa_pool_close(WaPool *pool, int patience_ms);

#endif							/* WA_POOL_H */
