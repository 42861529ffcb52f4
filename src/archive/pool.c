/*
 * pool.c
 *	  A bounded pool of threads.
 *
 * The pool is counted: the opener and each thread hold it, so that a thread
 * that comes back from a hung mount after the pool was closed still finds
 * it.
 */
#include "archive/pool.h"

#include <assert.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define STACK_BYTES		(1024 * 1024)
#define CLOSE_SLICE_MS	10		/* of waiting for the end of threads */

enum
{
	TASK_QUEUED,
	TASK_UNWANTED,				/* given up while it was queued */
	TASK_TAKEN,
	TASK_FINISHED,
	TASK_ABANDONED
};

struct WaPool
{
	pthread_mutex_t mutex;		/* guards everything below */
	pthread_cond_t work;		/* a task is queued, or the end has come */
	int			holders;		/* the opener and the threads */
	int			threads;
	int			threads_max;
	int			busy;			/* threads that run a task */
	int			stuck;			/* threads that nobody can rely on: with an
								 * abandoned task, or releasing one */
	bool		ending;
	WaTask	   *first;
	WaTask	   *last;
	WaTask	   *abandoned;		/* given up, not yet back */
	int			event_fd;
};

/* One thread and what its tasks see of it. */
typedef struct Thread
{
	WaWorker	worker;
	WaPool	   *pool;
} Thread;

WaPool *
wa_pool_open(int workers_max)
{
	WaPool	   *pool = calloc(1, sizeof(*pool));

	assert(workers_max >= 1 && workers_max <= WA_POOL_WORKERS_MAX);
	if (pool == NULL)
		return NULL;
	pool->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (pool->event_fd < 0)
	{
		free(pool);
		return NULL;
	}
	pthread_mutex_init(&pool->mutex, NULL);
	pthread_cond_init(&pool->work, NULL);
	pool->holders = 1;
	pool->threads_max = workers_max;
	return pool;
}

/* Called with the mutex held; releases it. */
static void
drop_and_unlock(WaPool *pool)
{
	bool		last = --pool->holders == 0;

	pthread_mutex_unlock(&pool->mutex);
	if (!last)
		return;
	close(pool->event_fd);
	pthread_cond_destroy(&pool->work);
	pthread_mutex_destroy(&pool->mutex);
	free(pool);
}

static void
signal_event(WaPool *pool)
{
	uint64_t	one = 1;
	ssize_t		written = write(pool->event_fd, &one, sizeof(one));

	(void) written;				/* EAGAIN: it is readable already */
}

/* Wait for a task; NULL when the end has come and none is left.  Mutex held. */
static WaTask *
take_task(WaPool *pool)
{
	WaTask	   *task;

	while (pool->first == NULL && !pool->ending)
		pthread_cond_wait(&pool->work, &pool->mutex);
	task = pool->first;
	if (task != NULL)
	{
		pool->first = task->next;
		if (pool->first == NULL)
			pool->last = NULL;
	}
	return task;
}

/* Mutex held. */
static void
unlink_abandoned(WaPool *pool, WaTask *task)
{
	WaTask	  **at = &pool->abandoned;

	while (*at != task)
		at = &(*at)->next;
	*at = task->next;
}

/*
 * Have a task released that nobody waits for.  That may touch storage and
 * hang like everything else, so until it is done the thread counts as held.
 * Called with the mutex held, the thread counted.
 */
static void
release_counted(WaPool *pool, WaTask *task)
{
	pthread_mutex_unlock(&pool->mutex);
	task->release(task);
	pthread_mutex_lock(&pool->mutex);
	pool->busy--;
	pool->stuck--;
}

static void *
worker_main(void *arg)
{
	Thread	   *self = arg;
	WaPool	   *pool = self->pool;
	WaWorker   *worker = &self->worker;
	WaTask	   *task;

	pthread_mutex_lock(&pool->mutex);
	while ((task = take_task(pool)) != NULL)
	{
		if (pool->ending || task->state == TASK_UNWANTED)
		{
			pool->busy++;
			pool->stuck++;
			release_counted(pool, task);
			signal_event(pool);
			continue;
		}
		atomic_store(&worker->beat.cancelled, false);
		task->worker = worker;
		task->state = TASK_TAKEN;
		pool->busy++;
		pthread_mutex_unlock(&pool->mutex);

		task->run(task, worker);

		pthread_mutex_lock(&pool->mutex);
		if (task->state == TASK_ABANDONED)
		{
			unlink_abandoned(pool, task);
			release_counted(pool, task);
		}
		else
		{
			pool->busy--;
			task->state = TASK_FINISHED;
		}
		signal_event(pool);
	}
	pthread_mutex_unlock(&pool->mutex);

	if (worker->workspace != NULL)
		worker->workspace_close(worker->workspace);
	free(self);

	pthread_mutex_lock(&pool->mutex);
	pool->threads--;
	signal_event(pool);
	drop_and_unlock(pool);
	return NULL;
}

/* Start one more thread, all signals blocked in it.  Mutex held. */
static bool
start_thread(WaPool *pool)
{
	pthread_attr_t attr;
	pthread_t	thread;
	sigset_t	all;
	sigset_t	before;
	Thread	   *self = calloc(1, sizeof(*self));
	bool		started;

	if (self == NULL || pthread_attr_init(&attr) != 0)
	{
		free(self);
		return false;
	}
	self->pool = pool;
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	started = pthread_create(&thread, &attr, worker_main, self) == 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	if (started)
	{
		pool->threads++;
		pool->holders++;
	}
	else
		free(self);
	return started;
}

static WaCode
submit(WaPool *pool, WaTask *task, bool first, bool can_wait, WaError *err)
{
	int			waiting = 0;
	WaCode		code = WA_OK;

	task->state = TASK_QUEUED;
	task->worker = NULL;
	task->seen_count = 0;
	task->seen_at_ms = 0;
	task->next = NULL;

	pthread_mutex_lock(&pool->mutex);
	for (WaTask *other = pool->first; other != NULL; other = other->next)
		waiting++;
	if (pool->threads - pool->busy <= waiting &&
		pool->threads < pool->threads_max)
		(void) start_thread(pool);
	if (pool->threads == 0)
		code = wa_fail(err, WA_NO_MEMORY,
					   "could not start a thread to work on the archive");
	else if (!can_wait && pool->stuck >= pool->threads)
		code = wa_fail(err, WA_STUCK,
					   "every worker is held by an operation on the archive "
					   "that has not come back");
	else
	{
		if (pool->first == NULL)
			pool->first = pool->last = task;
		else if (first)
		{
			task->next = pool->first;
			pool->first = task;
		}
		else
		{
			pool->last->next = task;
			pool->last = task;
		}
		pthread_cond_signal(&pool->work);
	}
	pthread_mutex_unlock(&pool->mutex);
	return code;
}

WaCode
wa_pool_submit(WaPool *pool, WaTask *task, WaError *err)
{
	return submit(pool, task, false, false, err);
}

WaCode
wa_pool_submit_first(WaPool *pool, WaTask *task, WaError *err)
{
	return submit(pool, task, true, false, err);
}

WaCode
wa_pool_submit_patient(WaPool *pool, WaTask *task, WaError *err)
{
	return submit(pool, task, false, true, err);
}

WaTaskState
wa_pool_watch(WaPool *pool, WaTask *task, uint64_t now_ms,
			  uint64_t timeout_ms)
{
	WaTaskState result = WA_TASK_RUNNING;

	pthread_mutex_lock(&pool->mutex);
	if (task->state == TASK_FINISHED)
		result = WA_TASK_DONE;
	else if (task->state == TASK_TAKEN)
	{
		uint64_t	count = atomic_load(&task->worker->beat.count);

		/* an even count is work of our own, which always comes to an end */
		if (count != task->seen_count || count % 2 == 0 ||
			task->seen_at_ms == 0)
		{
			task->seen_count = count;
			task->seen_at_ms = now_ms;
		}
		else if (now_ms - task->seen_at_ms >= timeout_ms)
			result = WA_TASK_STUCK;
	}
	pthread_mutex_unlock(&pool->mutex);
	return result;
}

bool
wa_pool_abandon(WaPool *pool, WaTask *task)
{
	bool		done = false;

	pthread_mutex_lock(&pool->mutex);
	switch (task->state)
	{
		case TASK_FINISHED:
			done = true;
			break;
		case TASK_QUEUED:
			task->state = TASK_UNWANTED;
			break;
		default:
			task->state = TASK_ABANDONED;
			task->next = pool->abandoned;
			pool->abandoned = task;
			pool->stuck++;
	}
	pthread_mutex_unlock(&pool->mutex);
	return !done;
}

int
wa_pool_stuck(WaPool *pool)
{
	int			result;

	pthread_mutex_lock(&pool->mutex);
	result = pool->stuck;
	pthread_mutex_unlock(&pool->mutex);
	return result;
}

int
wa_pool_threads(WaPool *pool)
{
	int			result;

	pthread_mutex_lock(&pool->mutex);
	result = pool->threads;
	pthread_mutex_unlock(&pool->mutex);
	return result;
}

int
wa_pool_event_fd(WaPool *pool)
{
	return pool->event_fd;
}

void
wa_pool_drain_events(WaPool *pool)
{
	uint64_t	count;
	ssize_t		got = read(pool->event_fd, &count, sizeof(count));

	(void) got;
}

void
wa_pool_close(WaPool *pool, int patience_ms)
{
	struct pollfd event;
	int			waited_ms = 0;

	if (pool == NULL)
		return;
	event.fd = pool->event_fd;
	event.events = POLLIN;
	pthread_mutex_lock(&pool->mutex);
	pool->ending = true;
	for (WaTask *task = pool->abandoned; task != NULL; task = task->next)
		atomic_store(&task->worker->beat.cancelled, true);
	pthread_cond_broadcast(&pool->work);
	while (pool->threads > pool->stuck ||
		   (pool->threads > 0 && waited_ms < patience_ms))
	{
		pthread_mutex_unlock(&pool->mutex);
		if (poll(&event, 1, CLOSE_SLICE_MS) == 0)
			waited_ms += CLOSE_SLICE_MS;
		wa_pool_drain_events(pool);
		pthread_mutex_lock(&pool->mutex);
	}
	drop_and_unlock(pool);
}
