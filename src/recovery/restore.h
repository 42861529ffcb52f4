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

/* Where a tar archive of the backup, and what was since, will be. */
typedef struct WaRestorePlace
{
	const WaBaseFile *file;
	uint32_t	oid;			/* of the tablespace, or 0 */
	char		directory[WA_BASE_PATH_BYTES];
} WaRestorePlace;

/* What a restore is made of, once it has been chosen. */
typedef struct WaRestorePlan
{
	WaChoice	choice;
	size_t		chain_count;	/* 1, unless the backup is incremental */
	WaBaseBackup *chain;		/* from the full one to the chosen one */
	size_t		places_count;	/* of the chosen one, the data directory first */
	WaRestorePlace *places;
	size_t		jobs_count;
	WaUnpackJob *jobs;			/* one a tar archive */
	uint64_t	raw_bytes;		/* of all of them */
} WaRestorePlan;

/* The backup that was chosen. */
static inline const WaBaseBackup *
wa_restore_backup(const WaRestorePlan *plan)
{
	return &plan->chain[plan->chain_count - 1];
}

/* Take slashes off a path that mean nothing, so that equal ones look equal. */
extern void wa_restore_tidy(char *path);

/* An archive, what is in it, and what is to be made of it. */
typedef struct WaRestoreView
{
	WaStore    *store;
	WaCatalogue catalogue;
	WaRestorePlan plan;
} WaRestoreView;

/*
 * Choose, and look whether it can be done: directories empty, room enough,
 * the server's version.  Nothing is written.  On success the caller frees.
 */
extern WaCode wa_restore_look(const WaRestore *restore,
							  const WaBinaries *binaries, WaRestoreView *view,
							  WaError *err);
extern void wa_restore_view_free(WaRestoreView *view);

/*
 * Keep retention away from what was chosen, in the name of `who`, and look
 * again: until then it could go.  After an error nothing is pinned, and the
 * view is freed.
 */
extern WaCode wa_restore_hold(const WaRestore *restore,
							  const WaBinaries *binaries, const char *who,
							  WaRestoreView *view, char *pin, WaError *err);

/* Show progress of a plan, which is the argument, or do not. */
extern WaUnpackProgressFn wa_restore_progress(bool talks);

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

/*
 * Does the postgresql.conf that was restored name another data directory?
 * Then a server that is started here works there.
 */
extern bool wa_restore_leads_elsewhere(const WaRestore *restore,
									   const WaBinaries *binaries,
									   char *where, size_t bytes);

#endif							/* WA_RECOVERY_RESTORE_H */
