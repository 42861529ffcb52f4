/*
 * verify_task.h
 *	  The look at one segment, in a worker.
 */
#ifndef WA_VERIFY_TASK_H
#define WA_VERIFY_TASK_H

#include "archive/archive.h"
#include "archive/verify.h"

typedef struct WaVerifyTask
{
	WaTask		task;			/* first: the pool knows nothing else */
	char		path[WA_ARCHIVE_PATH_BYTES];
	int64_t		since_us;
	WaMarker	marker;
	WaPlace		place;
	bool		unpack;			/* in: wanted; out: was done */

	/* out */
	WaCode		code;
	WaError		error;
	WaStat		stat;
	WaEnvelope	envelope;
	bool		scanned;		/* by us, or by its envelope: */
	WaScanResult scan;
} WaVerifyTask;

/* A task for that place, owned by the caller until submitted; NULL: memory. */
extern WaVerifyTask *wa_verify_task(const WaVerifyOptions *options,
									const WaMarker *marker, WaPlace place,
									bool unpack);

#endif							/* WA_VERIFY_TASK_H */
