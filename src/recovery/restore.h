/*
 * restore.h
 *	  A data directory made from a backup of the archive, ready to recover to a
 *	  target.
 */
#ifndef WA_RECOVERY_RESTORE_H
#define WA_RECOVERY_RESTORE_H

#include "recovery/binaries.h"
#include "recovery/choose.h"
#include "recovery/unpack.h"

/* A tablespace that is to lie elsewhere. */
typedef struct WaMapping
{
	const char *from;
	const char *to;
} WaMapping;

typedef struct WaRestore
{
	const char *archive;
	const char *directory;		/* absolute */
	WaTarget	target;
	size_t		mappings_count;
	const WaMapping *mappings;	/* all tablespaces below one, if "*" */
	bool		standby;
	const char *primary_conninfo;	/* of a standby; NULL: none */
	const char *slot;
	const char *action;			/* recovery_target_action; NULL: none */
	bool		archiving;		/* leave archive_mode as it was */
	int			processes;
	const char *tablespaces;	/* all of them below this directory, by their
								 * OIDs; NULL: where they were */
	bool		bare;			/* put what ALTER SYSTEM had set aside, into
								 * postgresql.auto.conf.original */
} WaRestore;

/* What a restore is made of, once it has been chosen. */
typedef struct WaRestorePlan
{
	WaChoice	choice;
	WaBaseBackup backup;
	size_t		jobs_count;
	WaUnpackJob *jobs;			/* one a tar archive */
	uint64_t	raw_bytes;
} WaRestorePlan;

/*
 * Choose, and look whether it can be done: directories empty, room enough,
 * the server's version.  Nothing is written.  The caller frees the plan.
 */
extern WaCode wa_restore_plan(WaStore *store, const WaCatalogue *catalogue,
							  const WaRestore *restore,
							  const WaBinaries *binaries,
							  WaRestorePlan *plan, WaError *err);
extern void wa_restore_plan_free(WaRestorePlan *plan);

/*
 * Do it: unpack, check, configure, sync.  After a failure what is there can
 * not be started, and says so.
 */
extern WaCode wa_restore_run(WaStore *store, const WaCatalogue *catalogue,
							 const WaRestore *restore,
							 const WaRestorePlan *plan,
							 const WaBinaries *binaries,
							 WaUnpackProgressFn progress, void *arg,
							 WaError *err);

#endif							/* WA_RECOVERY_RESTORE_H */
