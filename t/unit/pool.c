/*
 * pool.c
 *	  Every task that was handed over is run or released exactly once; one
 *	  that is stuck can be given up, is known by its beat, and holds up
 *	  neither the others nor the end.
 */
#include "archive/pool.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

#include "fixture.h"
#include "tap.h"

typedef struct Job
{
	WaTask		task;			/* first: the pool knows no other part */
	int			gate[2];		/* read before the end, if gated */
	bool		gated;
	bool		in_call;		/* hold the gate as an operation on storage */
	atomic_int	begun;
	atomic_int	ended;
	bool		saw_cancel;
} Job;

static atomic_int released;
static atomic_int workspaces;
static atomic_int signals_open;

static void
close_workspace(void *workspace)
{
	free(workspace);
	atomic_fetch_sub(&workspaces, 1);
}

static void
run(WaTask *task, WaWorker *worker)
{
	Job		   *job = (Job *) task;
	sigset_t	set;
	char		c;

	if (worker->workspace == NULL)
	{
		worker->workspace = malloc(1);
		worker->workspace_close = close_workspace;
		atomic_fetch_add(&workspaces, 1);
	}
	pthread_sigmask(SIG_SETMASK, NULL, &set);
	if (!sigismember(&set, SIGTERM) || !sigismember(&set, SIGHUP) ||
		!sigismember(&set, SIGUSR1) || !sigismember(&set, SIGALRM))
		atomic_fetch_add(&signals_open, 1);

	if (job->gated && job->in_call)
		must(wa_beat_begin(&worker->beat));
	atomic_store(&job->begun, 1);
	if (job->gated)
		must(read(job->gate[0], &c, 1) == 1);
	if (job->gated && job->in_call)
		wa_beat_end(&worker->beat);
	job->saw_cancel = atomic_load(&worker->beat.cancelled);
	atomic_fetch_add(&job->ended, 1);
}

static void
release(WaTask *task)
{
	(void) task;				/* the test owns the memory */
	atomic_fetch_add(&released, 1);
}

static void
job_init(Job *job, bool gated, bool in_call)
{
	memset(job, 0, sizeof(*job));
	job->task.run = run;
	job->task.release = release;
	job->gated = gated;
	job->in_call = in_call;
	if (gated)
		must(pipe(job->gate) == 0);
}

static void
open_gate(Job *job)
{
	must(write(job->gate[1], "x", 1) == 1);
}

static void
job_done(Job *job)
{
	if (job->gated)
	{
		close(job->gate[0]);
		close(job->gate[1]);
	}
}

static uint64_t
now_ms(void)
{
	return test_clock_us() / 1000;
}

/* Wait for an atomic to get a value, 20 s at most. */
static bool
becomes(atomic_int *value, int wanted)
{
	for (int i = 0; i < 20000 && atomic_load(value) != wanted; i++)
		usleep(1000);
	return atomic_load(value) == wanted;
}

/* Wait as the archiver does: on the event, with a bound. */
static bool
wait_done(WaPool *pool, Job *job)
{
	uint64_t	end = now_ms() + 20000;

	while (now_ms() < end)
	{
		struct pollfd fd = {wa_pool_event_fd(pool), POLLIN, 0};

		if (wa_pool_watch(pool, &job->task, now_ms(), 60000) == WA_TASK_DONE)
			return true;
		poll(&fd, 1, 1000);
		wa_pool_drain_events(pool);
	}
	return false;
}

static bool
stuck_becomes(WaPool *pool, int wanted)
{
	for (int i = 0; i < 20000 && wa_pool_stuck(pool) != wanted; i++)
		usleep(1000);
	return wa_pool_stuck(pool) == wanted;
}

static void
test_simple(void)
{
	WaPool	   *pool = wa_pool_open(2);
	struct pollfd fd;
	Job			job;
	WaError		err;

	must(pool != NULL);
	is_int(wa_pool_threads(pool), 0, "an idle pool has no threads");
	job_init(&job, false, false);
	is_code(wa_pool_submit(pool, &job.task, &err), WA_OK, &err, "submit");
	ok(wait_done(pool, &job), "done");
	is_int(job.ended, 1, "run once");
	is_int(wa_pool_threads(pool), 1, "one thread was enough");
	ok(!wa_pool_abandon(pool, &job.task), "what is done cannot be given up");
	is_int(atomic_load(&released), 0, "it is the opener's again");
	is_code(wa_pool_submit(pool, &job.task, &err), WA_OK, &err, "once more");
	ok(wait_done(pool, &job), "done");
	is_int(job.ended, 2, "run twice");
	wa_pool_drain_events(pool);
	fd = (struct pollfd) {wa_pool_event_fd(pool), POLLIN, 0};
	is_int(poll(&fd, 1, 0), 0, "drained, the event is quiet");
	wa_pool_close(pool, 0);
	is_int(atomic_load(&workspaces), 0, "workspaces are closed");
	is_int(atomic_load(&signals_open), 0, "signals are blocked in threads");
	wa_pool_close(NULL, 0);
}

static void
test_many(void)
{
	enum
	{
		MANY = 500
	};
	WaPool	   *pool = wa_pool_open(8);
	Job		   *jobs = calloc(MANY, sizeof(Job));
	WaError		err;
	int			done = 0;
	int			once = 0;

	for (int i = 0; i < MANY; i++)
	{
		job_init(&jobs[i], false, false);
		must(wa_pool_submit(pool, &jobs[i].task, &err) == WA_OK);
	}
	for (int i = 0; i < MANY; i++)
		done += wait_done(pool, &jobs[i]);
	is_int(done, MANY, "all done");
	for (int i = 0; i < MANY; i++)
		once += jobs[i].ended == 1;
	is_int(once, MANY, "each once");
	ok(wa_pool_threads(pool) <= 8, "by no more threads than allowed");
	wa_pool_close(pool, 0);
	is_int(atomic_load(&workspaces), 0, "workspaces are closed");
	free(jobs);
}

/* All workers of a pool work at the same time. */
static void
test_parallel(void)
{
	WaPool	   *pool = wa_pool_open(3);
	Job			jobs[4];
	WaError		err;

	for (int i = 0; i < 4; i++)
	{
		job_init(&jobs[i], true, false);
		must(wa_pool_submit(pool, &jobs[i].task, &err) == WA_OK);
	}
	ok(becomes(&jobs[0].begun, 1) && becomes(&jobs[1].begun, 1) &&
	   becomes(&jobs[2].begun, 1), "three workers, three at a time");
	is_int(atomic_load(&jobs[3].begun), 0, "the fourth waits");
	is_int(wa_pool_threads(pool), 3, "three threads");
	ok(wa_pool_watch(pool, &jobs[3].task, now_ms(), 0) == WA_TASK_RUNNING,
	   "what waits is not stuck, whatever the timeout");
	open_gate(&jobs[1]);
	ok(becomes(&jobs[3].begun, 1), "its turn comes when another ends");
	for (int i = 0; i < 4; i++)
		if (i != 1)
			open_gate(&jobs[i]);
	for (int i = 0; i < 4; i++)
		must(wait_done(pool, &jobs[i]));
	wa_pool_close(pool, 0);
	for (int i = 0; i < 4; i++)
		job_done(&jobs[i]);
}

static void
test_abandon_queued(void)
{
	WaPool	   *pool = wa_pool_open(1);
	Job			first;
	Job			queued[4];
	WaError		err;

	atomic_store(&released, 0);
	job_init(&first, true, false);
	must(wa_pool_submit(pool, &first.task, &err) == WA_OK);
	must(becomes(&first.begun, 1));
	for (int i = 0; i < 3; i++)
	{
		job_init(&queued[i], false, false);
		must(wa_pool_submit(pool, &queued[i].task, &err) == WA_OK);
	}
	ok(wa_pool_abandon(pool, &queued[2].task), "give up the last that waits");
	ok(wa_pool_abandon(pool, &queued[0].task), "give up the first that waits");
	is_int(atomic_load(&released), 0, "not released by the opener");
	is_int(wa_pool_stuck(pool), 0, "no worker is held by them");
	job_init(&queued[3], false, false);
	must(wa_pool_submit(pool, &queued[3].task, &err) == WA_OK);
	open_gate(&first);
	ok(wait_done(pool, &first) && wait_done(pool, &queued[1]) &&
	   wait_done(pool, &queued[3]), "the others run");
	is_int(atomic_load(&released), 2, "a worker has released both");
	is_int(atomic_load(&queued[0].begun) + atomic_load(&queued[2].begun), 0,
		   "what was given up never ran");
	wa_pool_close(pool, 0);
	is_int(atomic_load(&released), 2, "nothing else was released");
	job_done(&first);
}

/* What cannot wait goes before what can. */
static void
test_first(void)
{
	WaPool	   *pool = wa_pool_open(1);
	Job			running;
	Job			later;
	Job			urgent;
	WaError		err;

	job_init(&running, true, false);
	job_init(&later, true, false);
	job_init(&urgent, true, false);
	must(wa_pool_submit(pool, &running.task, &err) == WA_OK);
	must(becomes(&running.begun, 1));
	must(wa_pool_submit(pool, &later.task, &err) == WA_OK);
	must(wa_pool_submit_first(pool, &urgent.task, &err) == WA_OK);
	open_gate(&running);
	ok(becomes(&urgent.begun, 1), "submitted last, begun first");
	is_int(atomic_load(&later.begun), 0, "before what waited");
	open_gate(&urgent);
	open_gate(&later);
	ok(wait_done(pool, &later), "which comes next");
	wa_pool_close(pool, 0);
	job_done(&running);
	job_done(&later);
	job_done(&urgent);
}

static void *
open_gate_later(void *job)
{
	usleep(50 * 1000);
	open_gate(job);
	return NULL;
}

/* Given up, but neither stuck: close can wait for it to clean up. */
static void
test_patience(void)
{
	WaPool	   *pool = wa_pool_open(1);
	Job			job;
	pthread_t	thread;
	WaError		err;

	atomic_store(&released, 0);
	job_init(&job, true, true);
	must(wa_pool_submit(pool, &job.task, &err) == WA_OK);
	must(becomes(&job.begun, 1));
	must(wa_pool_abandon(pool, &job.task));
	must(pthread_create(&thread, NULL, open_gate_later, &job) == 0);
	wa_pool_close(pool, 20000);
	is_int(atomic_load(&released), 1, "close has waited for its release");
	ok(job.saw_cancel, "it was told to give up");
	must(pthread_join(thread, NULL) == 0);
	job_done(&job);
}

static void
test_stuck(void)
{
	WaPool	   *pool = wa_pool_open(2);
	Job			stuck;
	Job			busy;
	Job			other;
	WaError		err;
	uint64_t	now = 1000;

	atomic_store(&released, 0);
	job_init(&stuck, true, true);
	job_init(&busy, true, false);
	must(wa_pool_submit(pool, &stuck.task, &err) == WA_OK);
	must(wa_pool_submit(pool, &busy.task, &err) == WA_OK);
	must(becomes(&stuck.begun, 1) && becomes(&busy.begun, 1));
	is_int(wa_pool_watch(pool, &stuck.task, now, 100), WA_TASK_RUNNING,
		   "first seen: running");
	is_int(wa_pool_watch(pool, &busy.task, now, 100), WA_TASK_RUNNING,
		   "the other too");
	is_int(wa_pool_watch(pool, &stuck.task, now + 99, 100), WA_TASK_RUNNING,
		   "not yet for the timeout");
	is_int(wa_pool_watch(pool, &stuck.task, now + 100, 100), WA_TASK_STUCK,
		   "in one operation for the timeout: stuck");
	is_int(wa_pool_watch(pool, &busy.task, now + 10000, 100), WA_TASK_RUNNING,
		   "work of its own is not stuck, however long");

	/* the operation comes back and another begins: that counts as progress */
	must(wa_beat_begin(NULL));
	atomic_fetch_add(&stuck.task.worker->beat.count, 2);
	is_int(wa_pool_watch(pool, &stuck.task, now + 200, 100), WA_TASK_RUNNING,
		   "another operation since: running");
	is_int(wa_pool_watch(pool, &stuck.task, now + 300, 100), WA_TASK_STUCK,
		   "until that one takes too long as well");

	ok(wa_pool_abandon(pool, &stuck.task), "given up");
	is_int(wa_pool_stuck(pool), 1, "it holds a worker");
	is_int(atomic_load(&released), 0, "and is not released while it runs");
	open_gate(&busy);
	ok(wait_done(pool, &busy), "the other worker goes on");
	ok(!busy.saw_cancel, "nobody told it to give up");
	job_init(&other, false, false);
	is_code(wa_pool_submit(pool, &other.task, &err), WA_OK, &err,
			"and takes further tasks");
	ok(wait_done(pool, &other), "done");

	open_gate(&stuck);
	ok(stuck_becomes(pool, 0), "it comes back");
	ok(becomes(&released, 1), "and is released, once");
	ok(!stuck.saw_cancel, "an operation that was only slow goes to its end");
	for (int i = 0; i < 3; i++)
	{
		job_init(&other, false, false);
		must(wa_pool_submit(pool, &other.task, &err) == WA_OK);
		must(wait_done(pool, &other));
		ok(!other.saw_cancel, "the next task is not told so");
	}
	wa_pool_close(pool, 0);
	job_done(&stuck);
	job_done(&busy);
}

/* When all workers are held, a further task is refused at once. */
static void
test_all_stuck(void)
{
	WaPool	   *pool = wa_pool_open(1);
	Job			stuck;
	Job			other;
	WaError		err;

	atomic_store(&released, 0);
	job_init(&stuck, true, true);
	job_init(&other, false, false);
	must(wa_pool_submit(pool, &stuck.task, &err) == WA_OK);
	must(becomes(&stuck.begun, 1));
	must(wa_pool_abandon(pool, &stuck.task));
	is_code(wa_pool_submit(pool, &other.task, &err), WA_STUCK, &err,
			"every worker is held");
	open_gate(&stuck);
	must(stuck_becomes(pool, 0));
	is_code(wa_pool_submit(pool, &other.task, &err), WA_OK, &err,
			"until it comes back");
	ok(wait_done(pool, &other), "done");
	wa_pool_close(pool, 0);
	job_done(&stuck);
}

static void
test_close(void)
{
	WaPool	   *pool = wa_pool_open(2);
	Job			stuck;
	Job			running;
	Job			queued;
	WaError		err;
	uint64_t	begun;

	atomic_store(&released, 0);
	atomic_store(&workspaces, 0);
	job_init(&stuck, true, true);
	job_init(&running, true, false);
	job_init(&queued, false, false);
	must(wa_pool_submit(pool, &stuck.task, &err) == WA_OK);
	must(wa_pool_submit(pool, &running.task, &err) == WA_OK);
	must(becomes(&stuck.begun, 1) && becomes(&running.begun, 1));
	must(wa_pool_abandon(pool, &stuck.task));
	must(wa_pool_submit(pool, &queued.task, &err) == WA_OK);
	open_gate(&running);
	must(wait_done(pool, &running));
	must(wait_done(pool, &queued));

	begun = now_ms();
	wa_pool_close(pool, 0);
	ok(now_ms() - begun < 5000, "close does not wait for what is stuck");
	is_int(atomic_load(&released), 0, "which is not released yet");
	is_int(atomic_load(&stuck.ended), 0, "nor ended");
	open_gate(&stuck);
	ok(becomes(&released, 1), "it cleans up behind itself when it comes back");
	ok(stuck.saw_cancel, "told to give up, since the pool is closed");
	ok(becomes(&workspaces, 0), "and so do the workers");

	/* tasks that were never begun are released, by a worker, and not run */
	atomic_store(&released, 0);
	pool = wa_pool_open(1);
	job_done(&stuck);
	job_init(&stuck, true, true);
	must(wa_pool_submit(pool, &stuck.task, &err) == WA_OK);
	must(becomes(&stuck.begun, 1));
	job_init(&queued, false, false);
	must(wa_pool_submit(pool, &queued.task, &err) == WA_OK);
	must(wa_pool_abandon(pool, &stuck.task));
	wa_pool_close(pool, 0);
	is_int(atomic_load(&released), 0,
		   "while no worker can, what waited is not released");
	open_gate(&stuck);
	ok(becomes(&released, 2), "then it is, after what was stuck");
	is_int(atomic_load(&queued.begun), 0, "and never run");
	ok(becomes(&workspaces, 0), "and its worker ends");
	job_done(&stuck);
	job_done(&running);
}

static int	release_gate[2];

static void
release_slowly(WaTask *task)
{
	char		c;

	must(read(release_gate[0], &c, 1) == 1);
	release(task);
}

/* A release may touch storage, and hang there like everything else. */
static void
test_release_hangs(void)
{
	for (int begun = 0; begun <= 1; begun++)
	{
		WaPool	   *pool = wa_pool_open(1);
		Job			running;
		Job			given_up;
		Job			other;
		WaError		err;

		must(pipe(release_gate) == 0);
		atomic_store(&released, 0);
		atomic_store(&workspaces, 0);
		job_init(&running, true, false);
		job_init(&given_up, true, true);
		job_init(&other, false, false);
		given_up.task.release = release_slowly;
		if (!begun)
		{
			must(wa_pool_submit(pool, &running.task, &err) == WA_OK);
			must(becomes(&running.begun, 1));
		}
		must(wa_pool_submit(pool, &given_up.task, &err) == WA_OK);
		if (begun)
			must(becomes(&given_up.begun, 1));
		must(wa_pool_abandon(pool, &given_up.task));
		open_gate(begun ? &given_up : &running);
		if (!begun)
			must(wait_done(pool, &running));
		else
			must(becomes(&given_up.ended, 1));
		ok(stuck_becomes(pool, 1), "a release that hangs holds its worker");
		is_code(wa_pool_submit(pool, &other.task, &err), WA_STUCK, &err,
				"which is said at once");
		is_code(wa_pool_submit_patient(pool, &other.task, &err), WA_OK, &err,
				"what can wait is taken");
		wa_pool_close(pool, 0);
		ok(true, "and close does not wait for it");
		is_int(atomic_load(&released), 0, "it hangs still");
		must(write(release_gate[1], "x", 1) == 1);
		ok(becomes(&released, 2), "both are released when it comes back");
		is_int(atomic_load(&other.begun), 0, "the second was never run");
		ok(becomes(&workspaces, 0), "and the worker ends");
		job_done(&running);
		job_done(&given_up);
		close(release_gate[0]);
		close(release_gate[1]);
	}
}

/* Several archives, each with a pool that is closed under its tasks. */
static void
test_churn(void)
{
	int			done = 0;

	atomic_store(&released, 0);
	for (int round = 0; round < 50; round++)
	{
		WaPool	   *pool = wa_pool_open(1 + round % 4);
		Job			jobs[10];
		WaError		err;
		int			given_up = 0;
		int			before = atomic_load(&released);

		for (int i = 0; i < 10; i++)
		{
			job_init(&jobs[i], false, false);
			must(wa_pool_submit(pool, &jobs[i].task, &err) == WA_OK);
		}
		for (int i = 0; i < 10; i += 3)
			given_up += wa_pool_abandon(pool, &jobs[i].task);
		for (int i = 0; i < 10; i++)
			if (i % 3 != 0)
				must(wait_done(pool, &jobs[i]));
		/* jobs live on this stack: nothing may still use them */
		must(stuck_becomes(pool, 0));
		wa_pool_close(pool, 0);
		for (int i = 0; i < 2000 &&
			 atomic_load(&released) < before + given_up; i++)
			usleep(1000);
		done += atomic_load(&released) == before + given_up;
	}
	is_int(done, 50, "given up at any moment: released once, or done");
	ok(becomes(&workspaces, 0), "all workers are gone");
}

/* ---- a driver that does anything in any order ------------------------------- */

#define PLAYED		12

typedef struct Played
{
	WaTask		task;
	atomic_int	state;			/* 0 free, 1 handed over, 2 run, 3 released */
	atomic_int	runs;
	atomic_int	releases;
	bool		slow;
	bool		in_call;
	bool		given_up;
} Played;

static atomic_bool held;		/* what is slow stays until that is over */
static atomic_int broken;
static uint64_t random_state;

static int
random_to(int most)
{
	random_state = random_state * UINT64_C(6364136223846793005) +
		UINT64_C(1442695040888963407);
	return (int) (random_state >> 33) % most;
}

static void
played_run(WaTask *task, WaWorker *worker)
{
	Played	   *self = (Played *) task;

	if (worker->workspace == NULL)
	{
		worker->workspace = malloc(1);
		worker->workspace_close = close_workspace;
		atomic_fetch_add(&workspaces, 1);
	}
	if (self->in_call)
		(void) wa_beat_begin(&worker->beat);
	while (self->slow && atomic_load(&held))
		usleep(200);
	if (self->in_call)
		wa_beat_end(&worker->beat);
	atomic_fetch_add(&self->runs, 1);
}

static void
played_release(WaTask *task)
{
	Played	   *self = (Played *) task;

	if (atomic_fetch_add(&self->releases, 1) != 0)
		atomic_fetch_add(&broken, 1);
	/* from here on it may be used again */
	atomic_store(&self->state, 3);
}

/*
 * Hand over, watch, give up, hold what is slow, close and open: whatever the
 * order, each task is run once and the opener's again, or released once.
 */
static void
test_random(int steps, uint64_t seed)
{
	static Played jobs[PLAYED];
	WaPool	   *pool = NULL;
	WaError		err;
	uint64_t	clock = 1;
	int			done = 0;
	int			given_up = 0;
	int			refused = 0;

	random_state = seed;
	atomic_store(&workspaces, 0);
	for (int step = 0; step < steps; step++)
	{
		Played	   *job = &jobs[random_to(PLAYED)];
		int			what = random_to(100);

		if (pool == NULL)
		{
			pool = wa_pool_open(1 + random_to(4));
			must(pool != NULL);
		}
		clock += (uint64_t) random_to(30);
		if (atomic_load(&job->state) == 3)
		{
			/* what was given up is run at most once, and released once */
			if (atomic_load(&job->runs) > 1 || !job->given_up)
				atomic_fetch_add(&broken, 1);
			atomic_store(&job->state, 0);
		}
		if (what < 50 && atomic_load(&job->state) == 0)
		{
			WaCode		code;

			memset(&job->task, 0, sizeof(job->task));
			job->task.run = played_run;
			job->task.release = played_release;
			atomic_store(&job->runs, 0);
			atomic_store(&job->releases, 0);
			job->slow = random_to(6) == 0;
			job->in_call = random_to(3) > 0;
			job->given_up = false;
			atomic_store(&job->state, 1);
			code = what < 30 ? wa_pool_submit(pool, &job->task, &err) :
				what < 40 ? wa_pool_submit_first(pool, &job->task, &err) :
				wa_pool_submit_patient(pool, &job->task, &err);
			if (code != WA_OK)
			{
				refused++;
				atomic_store(&job->state, 0);
			}
		}
		else if (what < 85 && atomic_load(&job->state) == 1 &&
				 !job->given_up)
		{
			WaTaskState state = wa_pool_watch(pool, &job->task, clock, 50);

			if (state == WA_TASK_DONE)
			{
				if (atomic_load(&job->runs) != 1 ||
					atomic_load(&job->releases) != 0)
					atomic_fetch_add(&broken, 1);
				atomic_store(&job->state, 0);
				done++;
			}
			else if (state == WA_TASK_STUCK || random_to(20) == 0)
			{
				job->given_up = true;
				if (wa_pool_abandon(pool, &job->task))
					given_up++;
				else
				{
					job->given_up = false;
					done++;
					atomic_store(&job->state, 0);
				}
			}
		}
		else if (what < 90)
			atomic_store(&held, random_to(2) == 0);
		else if (what < 95)
			wa_pool_drain_events(pool);
		else if (what == 95)
		{
			/* nobody watches any more: all of them are given up */
			for (int i = 0; i < PLAYED; i++)
				if (atomic_load(&jobs[i].state) == 1 && !jobs[i].given_up)
				{
					jobs[i].given_up = true;
					if (!wa_pool_abandon(pool, &jobs[i].task))
						atomic_store(&jobs[i].state, 0);
				}
			wa_pool_close(pool, random_to(2) == 0 ? 0 : 20);
			pool = NULL;
		}
		if (random_to(50) == 0)
			usleep(500);
	}
	atomic_store(&held, false);
	for (int i = 0; i < PLAYED && pool != NULL; i++)
		if (atomic_load(&jobs[i].state) == 1 && !jobs[i].given_up &&
			!wa_pool_abandon(pool, &jobs[i].task))
			atomic_store(&jobs[i].state, 0);
	wa_pool_close(pool, 20000);
	for (int i = 0; i < PLAYED; i++)
		if (atomic_load(&jobs[i].state) != 0)
			ok(becomes(&jobs[i].state, 3), "what was given up is released");
	is_int(atomic_load(&broken), 0, "%d steps, seed %llu: %d done, %d given "
		   "up, %d refused: each run or released, once", steps,
		   (unsigned long long) seed, done, given_up, refused);
	ok(done > 0 && given_up > 0, "both happened");
	ok(becomes(&workspaces, 0), "all workers are gone");
}

/* Arguments: a seed for what is played at random, and how many steps. */
int
main(int argc, char **argv)
{
	test_simple();
	test_many();
	test_parallel();
	test_abandon_queued();
	test_first();
	test_patience();
	test_stuck();
	test_all_stuck();
	test_close();
	test_release_hangs();
	test_churn();
	test_random(argc > 2 ? atoi(argv[2]) : 20000,
				argc > 1 ? strtoull(argv[1], NULL, 10) : 4711);
	return done_testing();
}
