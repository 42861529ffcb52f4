/*
 * autoprune.c
 *	  walarch.auto_prune: the archiver has a thread delete what retention lets
 *	  go of.
 */
#include "server/autoprune.h"

#include "access/xlog.h"
#include "archive/pool.h"
#include "portability/instr_time.h"
#include "server/prune.h"
#include "server/report.h"
#include "server/settings.h"

static WaPool *pool = NULL;
static WaTask *task = NULL;		/* one at a time */

static uint64
now_ms(void)
{
	instr_time	now;

	INSTR_TIME_SET_CURRENT(now);
	return (uint64) INSTR_TIME_GET_MILLISEC(now);
}

static void
report_failure(const WaError *err)
{
	ereport(WARNING,
			(errcode(walarch_sqlstate(err)),
			 errmsg("walarch.auto_prune could not prune the archive: %s",
					err->message),
			 err->hint[0] != '\0' ? errhint("%s", err->hint) : 0));
}

static void
report(WaTask *done)
{
	WaPruneState *state;
	WaError		err;
	bool		complete;

	complete = walarch_inquiry_outcome(done, (void **) &state, &err) == WA_OK;
	if (!complete)
		report_failure(&err);
	if (state->retention.plan.doubt)
		ereport(WARNING,
				(errmsg("walarch.auto_prune deletes nothing in doubt: %s",
						state->retention.plan.doubt_reason)));
	if (state->retention.plan.warning[0] != '\0')
		ereport(WARNING,
				(errmsg("walarch.auto_prune: %s",
						state->retention.plan.warning)));
	walarch_prune_report(state, complete, "walarch.auto_prune");
}

void
walarch_autoprune_begin(const char *file, const char *archive)
{
	WaPruneState *state;
	WaWalName	name;
	WaError		err;

	if (!walarch_auto_prune || task != NULL ||
		wa_walname_parse(file, &name, &err) != WA_OK ||
		name.kind != WA_KIND_BACKUP)
		return;
	if (walarch_settings_report_rejected(WARNING) > 0)
	{
		ereport(WARNING,
				(errmsg("walarch.auto_prune deletes nothing while a setting "
						"of walarch is not valid")));
		return;
	}
	if (pool == NULL)
		pool = wa_pool_open(1);
	state = walarch_prune_state();
	if (state != NULL)
	{
		state->apply = true;
		state->unless_stored = true;
		task = walarch_inquiry_task(archive, walarch_prune_run, state,
									walarch_prune_release);
		if (task == NULL)
			walarch_prune_release(state);
	}
	if (pool == NULL || task == NULL)
		wa_fail(&err, WA_NO_MEMORY, "out of memory");
	else if (wa_pool_submit(pool, task, &err) == WA_OK)
		return;
	if (task != NULL)
		task->release(task);
	task = NULL;
	report_failure(&err);
}

void
walarch_autoprune_look(void)
{
	if (task == NULL)
		return;
	switch (wa_pool_watch(pool, task, now_ms(), (uint64) walarch_timeout))
	{
		case WA_TASK_RUNNING:
			return;
		case WA_TASK_DONE:
			report(task);
			task->release(task);
			break;
		case WA_TASK_STUCK:
			/* it goes on by itself when storage does */
			if (!wa_pool_abandon(pool, task))
				task->release(task);
			ereport(WARNING,
					(errcode(ERRCODE_SYSTEM_ERROR),
					 errmsg("walarch.auto_prune: storage has not answered for "
							"%d s", walarch_timeout / 1000)));
			break;
	}
	task = NULL;
}

void
walarch_autoprune_end(void)
{
	if (task != NULL && !wa_pool_abandon(pool, task))
		task->release(task);
	task = NULL;
	wa_pool_close(pool, 1000);
	pool = NULL;
}
