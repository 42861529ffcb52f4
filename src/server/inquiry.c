/*
 * inquiry.c
 *	  Questions of a session to the archive, asked from a thread.
 */
#include "server/inquiry.h"

#include "access/xlog.h"
#include "archive/identity.h"
#include "common/file_perm.h"
#include "miscadmin.h"
#include "portability/instr_time.h"
#include "server/compat.h"
#include "server/report.h"
#include "server/settings.h"
#include "server/token.h"
#include "storage/latch.h"

bool
walarch_in_thread(WaTask *task, uint64 timeout_ms, WaError *err)
{
	WaPool	   *pool = wa_pool_open(1);
	volatile WaTaskState state = WA_TASK_RUNNING;
	instr_time	begun;

	if (pool == NULL)
	{
		task->release(task);
		wa_fail(err, WA_NO_MEMORY, "out of memory");
		return false;
	}
	if (wa_pool_submit(pool, task, err) != WA_OK)
	{
		task->release(task);
		wa_pool_close(pool, 0);
		return false;
	}

	INSTR_TIME_SET_CURRENT(begun);
	PG_TRY();
	{
		for (;;)
		{
			instr_time	now;

			INSTR_TIME_SET_CURRENT(now);
			INSTR_TIME_SUBTRACT(now, begun);
			state = wa_pool_watch(pool, task,
								  (uint64) INSTR_TIME_GET_MILLISEC(now) + 1,
								  timeout_ms);
			if (state != WA_TASK_RUNNING)
				break;
			(void) WaitLatchOrSocket(MyLatch,
									 WL_LATCH_SET | WL_SOCKET_READABLE |
									 WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
									 wa_pool_event_fd(pool), 100,
									 walarch_wait_event());
			ResetLatch(MyLatch);
			wa_pool_drain_events(pool);
			CHECK_FOR_INTERRUPTS();
		}
	}
	PG_FINALLY();
	{
		/* cancelled by the user, or stuck: the thread cleans up by itself */
		if (state != WA_TASK_DONE && !wa_pool_abandon(pool, task))
			task->release(task);
		wa_pool_close(pool, 0);
	}
	PG_END_TRY();
	if (state != WA_TASK_DONE)
	{
		wa_fail(err, WA_STUCK, "storage has not answered for " UINT64_FORMAT
				" s", timeout_ms / 1000);
		return false;
	}
	return true;
}

typedef struct InquiryTask
{
	WaTask		task;
	char		path[WA_ARCHIVE_PATH_BYTES];
	uint64		system_identifier;
	uint32		segment_bytes;
	WaStoreOptions options;
	WaInquiryFn run;
	void	   *state;
	void		(*release_state) (void *state);
	WaCode		code;
	WaError		error;
} InquiryTask;

/* In a worker. */
static WaCode
ask(InquiryTask *self, WaBeat *beat, WaError *err)
{
	WaStoreOptions options = self->options;
	WaStore    *store = NULL;
	WaZstd	   *zstd = wa_zstd_open();
	WaMarker	marker;
	WaCode		code;

	options.beat = beat;
	if (zstd == NULL)
		code = wa_fail(err, WA_NO_MEMORY, "out of memory");
	else
		code = wa_store_dir_open(self->path, &options, &store, err);
	if (code == WA_OK)
		code = wa_identity_read(store, self->path, &marker, err);
	if (code == WA_OK)
		code = wa_identity_check(&marker, self->path, self->system_identifier,
								 self->segment_bytes, err);
	if (code == WA_OK)
	{
		WaInquiry	inquiry = {
			.store = store,
			.marker = &marker,
			.zstd = zstd,
			.beat = beat,
			.path = self->path
		};

		code = self->run(&inquiry, self->state, err);
	}
	wa_store_close(store);
	wa_zstd_close(zstd);
	return code;
}

static void
inquiry_run(WaTask *task, WaWorker *worker)
{
	InquiryTask *self = (InquiryTask *) task;

	self->code = ask(self, &worker->beat, &self->error);
}

static void
inquiry_release(WaTask *task)
{
	InquiryTask *self = (InquiryTask *) task;

	self->release_state(self->state);
	free(self);
}

static void
report(int elevel, const char *path, const WaError *err)
{
	ereport(elevel,
			(errcode(walarch_sqlstate(err)),
			 errmsg("could not look into the archive \"%s\": %s", path,
					err->message),
			 err->hint[0] != '\0' ? errhint("%s", err->hint) : 0));
}

void *
walarch_inquiry_state(size_t bytes)
{
	void	   *state = calloc(1, bytes);

	if (state == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY),
						errmsg("out of memory")));
	return state;
}

WaTask *
walarch_inquiry_task(const char *path, WaInquiryFn run, void *state,
					 void (*release_state) (void *state))
{
	InquiryTask *task = calloc(1, sizeof(*task));

	if (task == NULL)
		return NULL;
	task->task.run = inquiry_run;
	task->task.release = inquiry_release;
	strlcpy(task->path, path, sizeof(task->path));
	task->system_identifier = GetSystemIdentifier();
	task->segment_bytes = (uint32) wal_segment_size;
	task->options.file_mode = pg_file_create_mode;
	task->options.dir_mode = pg_dir_create_mode;
	task->run = run;
	task->state = state;
	task->release_state = release_state;
	if (walarch_random_text(task->options.token, WA_TOKEN_BYTES - 1))
		return &task->task;
	free(task);
	return NULL;
}

WaCode
walarch_inquiry_outcome(WaTask *task, void **state, WaError *err)
{
	InquiryTask *self = (InquiryTask *) task;

	*state = self->state;
	*err = self->error;
	return self->code;
}

bool
walarch_inquire_at(int elevel, const char *path, WaInquiryFn run,
				   void *state, void (*release_state) (void *state))
{
	WaTask	   *task = walarch_inquiry_task(path, run, state, release_state);
	WaError		err;

	if (task == NULL)
	{
		release_state(state);
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY),
						errmsg("out of memory")));
		return false;			/* never, but cppcheck does not know */
	}
	if (!walarch_in_thread(task, (uint64) walarch_timeout, &err))
	{
		report(elevel, path, &err);
		return false;
	}
	if (walarch_inquiry_outcome(task, &state, &err) != WA_OK)
	{
		inquiry_release(task);
		report(elevel, path, &err);
		return false;
	}
	free(task);
	return true;
}

void
walarch_inquire(WaInquiryFn run, void *state,
				void (*release_state) (void *state))
{
	char		path[WA_ARCHIVE_PATH_BYTES];

	if (!walarch_settings_archive(path))
	{
		release_state(state);
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("walarch.archive is not set"),
				 errhint("Set it to the absolute path of the archive "
						 "directory and reload.")));
	}
	(void) walarch_inquire_at(ERROR, path, run, state, release_state);
}
