/*
 * push_commit.c
 *	  One file into the archive: made visible.
 *
 * What lies in the archive under the name decides at the end, when the name
 * is taken without replacing.
 */
#include "archive/push_internal.h"

#include <assert.h>
#include <string.h>

#include "archive/layout.h"
#include "archive/verdict.h"

#define ROUNDS_MAX			8	/* of "somebody else was faster" */
#define ASIDE_MAX			1000

/* What lies there?  Looked into once, as long as it is the same object. */
static WaVerdict
look(WaPush *push, WaStat *stat, WaEnvelope *theirs, WaError *err)
{
	WaVerdict	verdict;

	if (push->found && !wa_archive_suspects(push->archive, push->key) &&
		wa_store_stat(push->store, push->key, stat, err) == WA_OK &&
		wa_stat_equal(stat, &push->found_stat))
		return WA_VERDICT_IDENTICAL;
	verdict = wa_verdict(push->archive, push->store, push->key,
						 &push->envelope, wa_push_prefix, push,
						 push->bench->zstd, stat, theirs, err);
	push->found = verdict == WA_VERDICT_IDENTICAL ||
		verdict == WA_VERDICT_EQUIVALENT;
	if (push->found)
		push->found_stat = *stat;
	return verdict;
}

/* Replace an object by ours, keeping its bytes under a name that says why. */
static WaCode
replace(WaPush *push, const WaStat *judged, const char *why, WaError *err)
{
	WaCode		code = WA_EXISTS;

	for (int n = 1; code == WA_EXISTS && n <= ASIDE_MAX; n++)
	{
		wa_layout_aside_key(push->key, why, n, push->result->aside_key);
		code = wa_put_set_aside(push->put, judged, push->result->aside_key,
								err);
	}
	return code;
}

/*
 * A second, different .partial of this cluster gets a name of its own.  False
 * when that is not what was found.
 */
static bool
name_second_partial(WaPush *push, const WaEnvelope *theirs)
{
	char		second[WA_KEY_BYTES];

	if (push->name.kind != WA_KIND_PARTIAL ||
		theirs->system_identifier != push->envelope.system_identifier)
		return false;
	wa_layout_second_partial_key(&push->name, &push->envelope.digest, second);
	/* not reached: the key of the second one is that of its bytes */
	if (strcmp(second, push->key) == 0)
		return false;
	memcpy(push->key, second, sizeof(push->key));
	if (push->put != NULL)
		wa_put_rekey(push->put, push->key); /* not reached: came meanwhile */
	return true;
}

/* A torn end is no damage: what comes next may have the rest. */
static WaCode
fail_conflict(WaPush *push, const WaEnvelope *theirs, WaError *err)
{
	return wa_verdict_fail_conflict(push->archive, push->key, &push->envelope,
									push->result->torn ? "" :
									push->result->damage, theirs, err);
}

/*
 * One look at the name and one act upon it, visible but not yet synced.
 * *again: somebody else changed what lies there in between.
 */
static WaCode
settle(WaPush *push, int level, bool *again, WaError *err)
{
	WaStat		stat;
	WaEnvelope	theirs = {0};
	WaCode		code;

	*again = false;
	switch (look(push, &stat, &theirs, err))
	{
		case WA_VERDICT_ABSENT:
			code = wa_push_write(push, level, err);
			if (code == WA_OK)
				code = wa_put_commit(push->put, err);
			push->result->outcome = WA_PUSH_STORED;
			break;
		case WA_VERDICT_IDENTICAL:
		case WA_VERDICT_EQUIVALENT:
			code = wa_store_persist(push->store, push->key, err);
			push->result->outcome = WA_PUSH_IDENTICAL;
			push->result->stored_bytes = 0;
			break;
		case WA_VERDICT_DAMAGED:
			code = wa_push_write(push, level, err);
			if (code == WA_OK)
				code = replace(push, &stat, "", err);
			push->result->outcome = WA_PUSH_REPLACED;
			break;
		case WA_VERDICT_INCOMPLETE:
			code = wa_push_write(push, level, err);
			if (code == WA_OK)
				code = replace(push, &stat, ".incomplete", err);
			push->result->outcome = WA_PUSH_COMPLETED;
			break;
		case WA_VERDICT_DIFFERENT:
			*again = name_second_partial(push, &theirs);
			return *again ? WA_OK :
				fail_conflict(push, &theirs, err);
		default:
			code = err->code;
	}
	*again = code == WA_EXISTS || code == WA_CHANGED || code == WA_NOT_FOUND;
	return code;
}

/* Make it visible, whoever else is at work there. */
static WaCode
publish(WaPush *push, int level, WaError *err)
{
	bool		again = true;
	WaCode		code = WA_OK;

	for (int round = 0; code == WA_OK && again && round < ROUNDS_MAX; round++)
	{
		code = settle(push, level, &again, err);
		if (again)
			code = WA_OK;
	}
	if (code == WA_OK && again)
		code = wa_fail(err, WA_CHANGED,
					   "\"%s\" keeps changing in the archive", push->key);
	return code;
}

/* What the caller should know of it in the end. */
static void
conclude(WaPush *push)
{
	memcpy(push->result->key, push->key, sizeof(push->result->key));
	wa_push_lap(push, &push->result->store_us);
}

WaCode
wa_push_commit(WaPush *push, int level, WaError *err)
{
	WaCode		code = WA_OK;

	/* a streamed source has no digest to compare before it was staged */
	if (!push->digest_known)
		code = wa_push_write(push, level, err);
	if (code == WA_OK)
		code = publish(push, level, err);
	if (code == WA_OK)
		code = wa_store_sync(push->store, err);
	conclude(push);
	return code;
}

WaCode
wa_push_stage(WaPush *push, int level, WaError *err)
{
	WaStat		stat;
	WaEnvelope	theirs;

	if (push->digest_known)
		switch (look(push, &stat, &theirs, err))
		{
			case WA_VERDICT_IDENTICAL:
			case WA_VERDICT_EQUIVALENT:
				return WA_OK;
			case WA_VERDICT_DIFFERENT:
				return fail_conflict(push, &theirs, err);
			case WA_VERDICT_ERROR:
				return err->code;
			default:
				break;
		}
	return wa_push_write(push, level, err);
}

static void
join(WaPush *push, WaStore *store, WaBench *bench, WaBeat *beat)
{
	push->store = store;
	push->bench = bench;
	push->beat = beat;
	if (push->put != NULL)
		wa_put_attach(push->put, store);
	wa_push_lap(push, NULL);
}

/* The reverse of join: the store is the caller's. */
static void
leave(WaPush *push, WaCode code)
{
	conclude(push);
	if (code == WA_OK)
	{
		wa_put_close(push->put);
		push->put = NULL;
	}
	push->store = NULL;
	wa_push_part(push);
}

/* Is this file of a run still what PostgreSQL is going to ask for? */
static bool
still_due(WaPush *push, bool asked, WaError *err)
{
	if ((asked || wa_source_due(push->source, push->beat)) &&
		wa_source_unchanged(push->source, &push->result->source, push->beat))
		return true;
	wa_fail(err, WA_CHANGED, "\"%s\" is not what it was when it was read",
			push->source);
	return false;
}

int
wa_push_commit_run(WaArchive *archive, WaBench *bench, WaBeat *beat,
				   WaPush *const *pushes, int count, WaError *err)
{
	WaStore    *store;
	WaVisit		visit;
	WaError		sync_err;
	int			done = 0;
	WaCode		code = WA_OK;

	assert(count <= WA_PUSH_RUN_MAX);
	memset(&visit, 0, sizeof(visit));
	if (wa_archive_visit(archive, beat, &store, &visit, err) != WA_OK)
		return 0;
	while (done < count && code == WA_OK)
	{
		WaPush	   *push = pushes[done];

		join(push, store, bench, beat);
		code = still_due(push, done == 0, err) ? publish(push, 0, err) :
			err->code;
		if (code == WA_OK)
			done++;
		else
			leave(push, code);
	}
	code = WA_OK;
	if (done > 0 && wa_store_sync(store, &sync_err) != WA_OK)
	{
		*err = sync_err;
		code = err->code;
	}
	for (int i = 0; i < done; i++)
		leave(pushes[i], code);
	wa_store_close(store);
	return code == WA_OK ? done : 0;
}
