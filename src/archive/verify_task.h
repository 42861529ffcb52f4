/*
 * verify_task.h
 *	  The look at one segment, or at the data of one base backup, in a worker.
 */
#ifndef WA_VERIFY_TASK_H
#define WA_VERIFY_TASK_H

#include <stdatomic.h>

#include "archive/archive.h"
#include "archive/verify.h"

typedef struct WaVerifyTask
{
	WaTask		task;			/* first: the pool knows nothing else */
	char		path[WA_ARCHIVE_PATH_BYTES];
	int64_t		since_us;
	WaMarker	marker;
	char		base[WA_BACKUP_ID_BYTES];	/* id; empty: a segment, */
	WaPlace		place;			/* this one */
	bool		unpack;			/* in: wanted; out: was done */

	/* out */
	WaCode		code;
	WaError		error;
	WaStat		stat;
	WaEnvelope	envelope;
	bool		scanned;		/* by us, or by its envelope: */
	WaScanResult scan;
	atomic_uint_fast64_t done_bytes;	/* of a base backup, stored; grows */
	uint64_t	raw_bytes;		/* ... unpacked */
} WaVerifyTask;

/* A task for that place, owned by the caller until submitted; NULL: memory. */
extern WaVerifyTask *wa_verify_task(const WaVerifyOptions *options,
									const WaMarker *marker, WaPlace place,
									bool unpack);

/* The same for the data of a base backup: WA_NOT_FOUND when it is none now. */
extern WaVerifyTask *wa_verify_base_task(const WaVerifyOptions *options,
										 const WaMarker *marker,
										 const char *id);

#endif							/* WA_VERIFY_TASK_H */
