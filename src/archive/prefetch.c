/*
 * prefetch.c
 *	  Fetches the segments that come after the one asked for last.
 */
#include "archive/prefetch.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "archive/pool.h"

#define THREADS_MAX			2
#define FILES_MAX			(WA_WINDOW_MAX + THREADS_MAX)
#define FULL_PAUSE_MS		30000

typedef struct PrefetchTask
{
	WaTask		task;
	WaFetchConfig config;
	WaUnnamed	file;
	WaWalName	name;
	uint64_t	segno;
	bool		awaited;		/* somebody waits for it */
	WaCode		code;
} PrefetchTask;

typedef struct File
{
	int			fd;				/* -1: free */
	uint32_t	tli;
	uint64_t	segno;
	bool		awaited;		/* until the next question */
} File;

struct WaPrefetch
{
	WaPrefetchConfig config;
	uint32_t	segment_bytes;
	WaPool	   *pool;
	WaWindow	window;
	PrefetchTask *tasks[THREADS_MAX];	/* NULL: free */
	File		files[FILES_MAX];
	uint64_t	full_until_ms;	/* the disk was full: leave it alone */
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
	WaError		err;

	unblock_faults();
	self->config.store.beat = &worker->beat;
	self->config.unnamed = &self->file;
	if (worker->workspace == NULL)
	{
		worker->workspace = wa_zstd_open();
		worker->workspace_close = close_zstd;
	}
	self->code = worker->workspace == NULL ? WA_NO_MEMORY :
		wa_fetch(&self->config, worker->workspace, self->name.text,
				 self->name.text, &err);
}

/* not reached: wa_prefetch_close waits for each task, and gives none up */
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
	self->segment_bytes = config->fetch.control->segment_bytes;
	for (int i = 0; i < FILES_MAX; i++)
		self->files[i].fd = -1;
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
segno_of(const WaPrefetch *self, const WaWalName *name, uint64_t *segno)
{
	WaError		ignored;

	return wa_walname_segno(name, self->segment_bytes, segno,
							&ignored) == WA_OK;
}

/* Let go of the files that the window does not hold. */
static void
prune(WaPrefetch *self, bool also_awaited)
{
	for (int i = 0; i < FILES_MAX; i++)
	{
		File	   *file = &self->files[i];

		if (file->fd < 0 || (file->awaited && !also_awaited) ||
			wa_window_holds(&self->window, file->tli, file->segno))
			continue;
		close(file->fd);
		file->fd = -1;
	}
}

WaPrefetchTake
wa_prefetch_take(WaPrefetch *prefetch, const WaWalName *name, int *fd)
{
	uint64_t	segno;

	if (!segno_of(prefetch, name, &segno))
		return WA_PREFETCH_MISSING;
	for (int i = 0; i < FILES_MAX; i++)
	{
		File	   *file = &prefetch->files[i];

		if (file->fd < 0 || file->tli != name->tli || file->segno != segno)
			continue;
		*fd = file->fd;
		file->fd = -1;
		return WA_PREFETCH_TAKEN;
	}
	for (int i = 0; i < THREADS_MAX; i++)
	{
		PrefetchTask *task = prefetch->tasks[i];

		if (task == NULL || task->name.tli != name->tli ||
			task->segno != segno)
			continue;
		task->awaited = true;
		return WA_PREFETCH_WORKING;
	}
	return WA_PREFETCH_MISSING;
}

void
wa_prefetch_move(WaPrefetch *prefetch, const WaWalName *name)
{
	uint64_t	segno;

	if (!segno_of(prefetch, name, &segno))
		return;
	wa_window_move(&prefetch->window, name->tli, segno);
	prune(prefetch, true);
}

/* A task is done: keep its file, if anybody may want it. */
static void
take_in(WaPrefetch *self, PrefetchTask *task, uint64_t now_ms)
{
	wa_window_done(&self->window, task->name.tli, task->segno,
				   task->code == WA_OK);
	if (task->code == WA_NO_SPACE)
	{
		/* the server needs it more */
		self->full_until_ms = now_ms + FULL_PAUSE_MS;
		wa_window_drop(&self->window);
	}
	prune(self, false);
	for (int i = 0; task->file.fd >= 0 && i < FILES_MAX; i++)
	{
		if (self->files[i].fd >= 0 ||
			!(task->awaited || wa_window_holds(&self->window, task->name.tli,
											   task->segno)))
			continue;
		self->files[i] = (File) {
			task->file.fd, task->name.tli, task->segno, task->awaited
		};
		task->file.fd = -1;
	}
	if (task->file.fd >= 0)
		close(task->file.fd);
	free(task);
}

/* Has the file system room for the window so many times? */
static bool
room_for(const WaPrefetch *self, int times)
{
	struct statvfs space;

	return fstatvfs(self->config.dir_fd, &space) == 0 &&
		(uint64_t) space.f_bavail * space.f_frsize >=
		(uint64_t) times * (uint64_t) self->config.window *
		self->segment_bytes;
}

/* How many threads may work now?  Replay needs the processors more. */
static int
threads_now(WaPrefetch *self, uint64_t now_ms)
{
	if (now_ms < self->full_until_ms)
		return 0;
	if (!room_for(self, 2))
	{
		if (!room_for(self, 1))
		{
			wa_window_drop(&self->window);
			prune(self, false);
		}
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
	task->config = self->config.fetch;
	task->file = (WaUnnamed) {
		.dir_fd = self->config.dir_fd,.fd = -1
	};
	task->segno = segno;
	task->name.kind = WA_KIND_SEGMENT;
	task->name.tli = self->window.tli;
	wa_segment_name(task->name.text, self->window.tli, segno,
					self->segment_bytes);
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
	for (int i = 0; i < THREADS_MAX; i++)
	{
		PrefetchTask *task = prefetch->tasks[i];

		if (task == NULL)
			continue;
		if (wa_pool_watch(prefetch->pool, &task->task, now_ms,
						  UINT64_MAX) == WA_TASK_DONE)
		{
			prefetch->tasks[i] = NULL;
			take_in(prefetch, task, now_ms);
		}
		else
			running++;
	}
	threads = threads_now(prefetch, now_ms);
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

int
wa_prefetch_holds(const WaPrefetch *prefetch)
{
	int			count = 0;

	for (int i = 0; i < FILES_MAX; i++)
		if (prefetch->files[i].fd >= 0)
			count++;
	for (int i = 0; i < THREADS_MAX; i++)
		if (prefetch->tasks[i] != NULL)
			count++;
	return count;
}

bool
wa_prefetch_stuck(WaPrefetch *prefetch, uint64_t now_ms, uint64_t timeout_ms)
{
	for (int i = 0; i < THREADS_MAX; i++)
		if (prefetch->tasks[i] != NULL &&
			wa_pool_watch(prefetch->pool, &prefetch->tasks[i]->task, now_ms,
						  timeout_ms) == WA_TASK_STUCK)
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

	if (prefetch == NULL)
		return;
	event.fd = wa_pool_event_fd(prefetch->pool);
	for (int i = 0; i < THREADS_MAX; i++)
	{
		PrefetchTask *task = prefetch->tasks[i];

		if (task == NULL)
			continue;
		while (wa_pool_watch(prefetch->pool, &task->task, 1,
							 UINT64_MAX) != WA_TASK_DONE)
		{
			(void) poll(&event, 1, 100);
			wa_pool_drain_events(prefetch->pool);
		}
		if (task->file.fd >= 0)
			close(task->file.fd);
		free(task);
	}
	wa_pool_close(prefetch->pool, 0);
	for (int i = 0; i < FILES_MAX; i++)
		if (prefetch->files[i].fd >= 0)
			close(prefetch->files[i].fd);
	free(prefetch);
}
