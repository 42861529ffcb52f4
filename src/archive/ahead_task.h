/*
 * ahead_task.h
 *	  What look-ahead hands to the pool: a file, or a run of staged ones.
 *
 * An entry belongs to a worker while its task, or that of its run, is with
 * the pool, and to the asking thread otherwise.
 */
#ifndef WA_AHEAD_TASK_H
#define WA_AHEAD_TASK_H

#include "archive/pool.h"
#include "archive/push.h"

typedef enum WaAheadJob
{
	WA_AHEAD_WHOLE,				/* read, store, commit */
	WA_AHEAD_STAGE,				/* read, store invisibly */
	WA_AHEAD_DISCARD			/* remove what was staged */
} WaAheadJob;

/* Of the asking thread alone. */
typedef enum WaAheadState
{
	WA_AHEAD_NEW,				/* not with the pool yet */
	WA_AHEAD_WORKING,			/* its task is with the pool */
	WA_AHEAD_COMMITTING,		/* its run is with the pool */
	WA_AHEAD_STAGED,
	WA_AHEAD_COMMITTED,
	WA_AHEAD_FAILED
} WaAheadState;

/* One file. */
typedef struct WaAheadEntry
{
	WaTask		task;			/* first: the pool knows only this */
	WaArchive  *archive;		/* held */
	WaAheadJob	job;
	int			level;
	int64_t		archived_at_us;
	atomic_bool unwanted;		/* what has not begun need not begin */
	WaPush	   *push;			/* what was staged */
	WaCode		code;
	WaPushResult result;
	WaError		err;
	WaAheadState state;
	struct WaAheadEntry *next;	/* in a list of the asking thread */
	char		file[WA_WALNAME_BYTES];
	char		path[WA_ARCHIVE_PATH_BYTES];
} WaAheadEntry;

/* NULL when out of memory. */
extern WaAheadEntry *wa_ahead_entry(WaArchive *archive, WaAheadJob job,
									const char *file, const char *path,
									int64_t archived_at_us);

/* Does no I/O on the archive: a temporary it may have is left to a sweep. */
extern void wa_ahead_entry_free(WaAheadEntry *entry);

/* Staged segments on their way to be visible. */
typedef struct WaAheadRun
{
	WaTask		task;			/* first */
	WaArchive  *archive;		/* held */
	int			count;
	WaAheadEntry *entries[WA_PUSH_RUN_MAX];
	int			done;			/* of them, in order */
	WaError		err;			/* of the next one */
} WaAheadRun;

extern WaAheadRun *wa_ahead_run(WaArchive *archive);	/* NULL: no memory */
extern void wa_ahead_run_free(WaAheadRun *run);	/* not its entries */

#endif							/* WA_AHEAD_TASK_H */
