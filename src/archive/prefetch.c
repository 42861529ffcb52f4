/*
 * prefetch.c
 *	  Fills a spool with the segments that come after the one asked for last.
 */
#include "archive/prefetch.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "archive/pool.h"

#define THREADS_MAX			2
#define STUCK_MS			5000
#define FULL_PAUSE_MS		30000
#define CLOSE_WAITS			25
#define CLOSE_WAIT_MS		20

typedef struct PrefetchTask
{
	WaTask		task;
	const WaPrefetchConfig *config;
	WaWalName	name;
	uint64_t	segno;
	_Atomic(WaBeat *) beat;		/* of the thread that runs it, once it does */
	WaCode		code;
} PrefetchTask;

struct WaPrefetch
{
	WaPrefetchConfig config;
	WaPool	   *pool;
	WaWindow	window;
	PrefetchTask *tasks[THREADS_MAX];	/* NULL: free */
	uint64_t	full_until_ms;	/* the disk was full: leave it alone */
	bool		stopped;
};

static void
close_zstd(void *zstd)
{
	wa_zstd_close(zstd);
}

/*
 * A fault of ours, blocked, would kill the process by its signal; it may have
 * a handler that ends it in a better way.
 */
static void
unblock_faults(void)
{
	static const int faults[] = {
		SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS
	};
	sigset_t	set;

	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
		sigaddset(&set, faults[i]);
	(void) pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

/* In a thread. */
static void
prefetch_run(WaTask *task, WaWorker *worker)
{
	PrefetchTask *self = (PrefetchTask *) task;
	WaFetchConfig config = self->config->fetch;
	char		path[WA_DELIVERY_PATH_BYTES];
	WaError		err;

	unblock_faults();
	config.store.beat = &worker->beat;
	atomic_store(&self->beat, &worker->beat);
	if (worker->workspace == NULL)
	{
		worker->workspace = wa_zstd_open();
		worker->workspace_close = close_zstd;
	}
	if (worker->workspace == NULL ||
		snprintf(path, sizeof(path), "%s/%s", self->config->spool->directory,
				 self->name.text) >= (int) sizeof(path))
		self->code = WA_NO_MEMORY;
	else
		self->code = wa_fetch(&config, worker->workspace, self->name.text,
							  path, &err);
}

static void
prefetch_release(WaTask *task)
{
	free(task);
}

WaPrefetch *
wa_prefetch_open(const WaPrefetchConfig *config)
{
	WaPrefetch *self = calloc(1, sizeof(*self));

	if (self == NULL)
		return NULL;
	self->config = *config;
	if (self->config.threads > THREADS_MAX)
		self->config.threads = THREADS_MAX;
	wa_window_begin(&self->window, config->window, config->last);
	self->pool = wa_pool_open(self->config.threads);
	if (self->pool == NULL)
	{
		free(self);
		return NULL;
	}
	return self;
}

static bool
keep(void *arg, const WaWalName *name)
{
	const WaPrefetch *self = arg;
	uint64_t	segno;
	WaError		ignored;

	return wa_walname_segno(name, self->config.fetch.control->segment_bytes,
							&segno, &ignored) == WA_OK &&
		wa_window_holds(&self->window, name->tli, segno);
}

static void
drop_all(WaPrefetch *self)
{
	wa_window_drop(&self->window);
	wa_spool_prune(self->config.spool, keep, self);
}

void
wa_prefetch_move(WaPrefetch *prefetch, const WaWalName *name)
{
	uint64_t	segno;
	WaError		ignored;

	if (wa_walname_segno(name, prefetch->config.fetch.control->segment_bytes,
						 &segno, &ignored) != WA_OK)
		return;
	wa_window_move(&prefetch->window, name->tli, segno);
	wa_spool_prune(prefetch->config.spool, keep, prefetch);
}

void
wa_prefetch_stop(WaPrefetch *prefetch)
{
	prefetch->stopped = true;
	drop_all(prefetch);
}

static void
collect(WaPrefetch *self, uint64_t now_ms)
{
	bool		pruned = false;

	for (int i = 0; i < THREADS_MAX; i++)
	{
		PrefetchTask *task = self->tasks[i];

		if (task == NULL ||
			wa_pool_watch(self->pool, &task->task, now_ms,
						  STUCK_MS) != WA_TASK_DONE)
			continue;
		self->tasks[i] = NULL;
		wa_window_done(&self->window, task->name.tli, task->segno,
					   task->code == WA_OK);
		if (task->code == WA_NO_SPACE)
		{
			self->full_until_ms = now_ms + FULL_PAUSE_MS;
			drop_all(self);
		}
		free(task);
		pruned = true;
	}
	if (pruned)
		wa_spool_prune(self->config.spool, keep, self);
}

/* How many threads may work now?  Replay needs the processors more. */
static int
threads_now(WaPrefetch *self, uint64_t now_ms)
{
	uint64_t	bytes = (uint64_t) self->config.window *
		self->config.fetch.control->segment_bytes;

	if (self->stopped || now_ms < self->full_until_ms)
		return 0;
	if (!wa_spool_room(self->config.spool, 2 * bytes))
	{
		/* the server needs it more */
		if (!wa_spool_room(self->config.spool, bytes))
			drop_all(self);
		return 0;
	}
	return 2 * wa_window_ready(&self->window) < self->config.window ?
		self->config.threads : 1;
}

static bool
begin(WaPrefetch *self, uint64_t segno, PrefetchTask **slot)
{
	PrefetchTask *task = calloc(1, sizeof(*task));
	WaError		err;

	if (task == NULL)
		return false;
	task->task.run = prefetch_run;
	task->task.release = prefetch_release;
	task->config = &self->config;
	task->segno = segno;
	task->name.kind = WA_KIND_SEGMENT;
	task->name.tli = self->window.tli;
	wa_segment_name(task->name.text, self->window.tli, segno,
					self->config.fetch.control->segment_bytes);
	if (wa_pool_submit(self->pool, &task->task, &err) != WA_OK)
	{
		free(task);
		return false;
	}
	*slot = task;
	return true;
}

void
wa_prefetch_work(WaPrefetch *prefetch, uint64_t now_ms)
{
	int			running = 0;
	int			threads;
	uint64_t	segno;

	wa_pool_drain_events(prefetch->pool);
	collect(prefetch, now_ms);
	threads = threads_now(prefetch, now_ms);
	for (int i = 0; i < THREADS_MAX; i++)
		if (prefetch->tasks[i] != NULL)
			running++;
	for (int i = 0; i < THREADS_MAX && running < threads; i++)
	{
		if (prefetch->tasks[i] != NULL)
			continue;
		if (!wa_window_next(&prefetch->window, &segno))
			return;
		if (!begin(prefetch, segno, &prefetch->tasks[i]))
		{
			wa_window_done(&prefetch->window, prefetch->window.tli, segno,
						   false);
			return;
		}
		running++;
	}
}

bool
wa_prefetch_busy(WaPrefetch *prefetch, uint64_t now_ms)
{
	for (int i = 0; i < THREADS_MAX; i++)
		if (prefetch->tasks[i] != NULL &&
			wa_pool_watch(prefetch->pool, &prefetch->tasks[i]->task, now_ms,
						  STUCK_MS) != WA_TASK_STUCK)
			return true;
	return false;
}

int
wa_prefetch_event_fd(WaPrefetch *prefetch)
{
	return wa_pool_event_fd(prefetch->pool);
}

void
wa_prefetch_close(WaPrefetch *prefetch)
{
	struct pollfd event = {.events = POLLIN};
	bool		hangs = false;

	if (prefetch == NULL)
		return;
	event.fd = wa_pool_event_fd(prefetch->pool);
	for (int wait = 0; wait <= CLOSE_WAITS; wait++)
	{
		bool		running = false;

		for (int i = 0; i < THREADS_MAX; i++)
		{
			PrefetchTask *task = prefetch->tasks[i];
			WaBeat	   *beat;

			if (task == NULL)
				continue;
			if (wa_pool_watch(prefetch->pool, &task->task, 1,
							  STUCK_MS) == WA_TASK_DONE)
			{
				prefetch->tasks[i] = NULL;
				free(task);
				continue;
			}
			running = true;
			beat = atomic_load(&task->beat);
			if (beat != NULL)
				atomic_store(&beat->cancelled, true);
		}
		if (!running)
			break;
		(void) poll(&event, 1, CLOSE_WAIT_MS);
		wa_pool_drain_events(prefetch->pool);
	}
	for (int i = 0; i < THREADS_MAX; i++)
		if (prefetch->tasks[i] != NULL &&
			wa_pool_abandon(prefetch->pool, &prefetch->tasks[i]->task))
			hangs = true;
		else
			free(prefetch->tasks[i]);
	wa_pool_close(prefetch->pool);
	if (!hangs)
		free(prefetch);			/* else the thread still reads its settings */
}
