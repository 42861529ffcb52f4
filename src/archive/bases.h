/*
 * bases.h
 *	  The base backups whose data is in the archive, below base/.
 *
 * The first file of a backup says that it has begun, the last one that it is
 * whole: only then is it one.  A deletion says so before it takes that away;
 * what has none of these signs is somebody else's, and is not touched.
 */
#ifndef WA_BASES_H
#define WA_BASES_H

#include "core/basebackup.h"
#include "core/marker.h"
#include "store/store.h"

typedef enum WaBaseState
{
	WA_BASE_WHOLE = 1,
	WA_BASE_UNFINISHED,			/* being taken, or interrupted */
	WA_BASE_LEFT,				/* of a deletion that was interrupted */
	WA_BASE_UNREADABLE			/* `reason` says why; all but id is void */
} WaBaseState;

typedef struct WaBase
{
	WaBaseState state;
	char		id[WA_BASE_ID_BYTES];
	WaBaseBackup backup;
	char		reason[200];	/* also of a whole one: what is wrong with its
								 * files, by their names and sizes; or empty */
	bool		unknown;		/* because one could not be looked at */
} WaBase;

typedef struct WaBases
{
	size_t		count;			/* in order of their ids */
	WaBase	   *bases;
} WaBases;

/*
 * What is below base/; names that are none of ours are passed over.  WA_IO
 * when there were backups once and base/ is not what it was: an unmounted
 * file system must not be taken for an archive without backups.  On success
 * the caller frees.
 */
extern WaCode wa_bases_read(WaStore *store, WaBases *bases, WaError *err);

/* Safe on zeroed bases. */
extern void wa_bases_free(WaBases *bases);

/* Read what one backup says of itself; WA_NOT_FOUND when it is not whole. */
extern WaCode wa_base_read(WaStore *store, const char *id,
						   WaBaseBackup *backup, WaError *err);

/*
 * Be the only one that takes a backup, until the store is closed.  Makes
 * base/ what it must be when it is the first.  WA_EXISTS when another one is
 * being taken.
 */
extern WaCode wa_bases_lock(WaStore *store, const WaMarker *marker,
							WaError *err);

/* Under the lock: remove what interrupted backups and deletions left. */
extern WaCode wa_bases_sweep(WaStore *store, uint32_t *removed, WaError *err);

/*
 * Under the lock: say that a backup has begun.  Gives it its id: that of its
 * backup history file, and a number when another one has that.
 */
extern WaCode wa_base_begin(WaStore *store, uint32_t segment_bytes,
							WaBaseBackup *backup, WaError *err);

/*
 * All of it is durable: say so.  Durable on return.  WA_CHANGED when its files
 * are not there as it says.
 */
extern WaCode wa_base_advertise(WaStore *store, const WaBaseBackup *backup,
								WaError *err);

/*
 * Stop advertising a backup, durably.  From then on it is none.  WA_OK when
 * it was none.
 */
extern WaCode wa_base_withdraw(WaStore *store, const char *id, WaError *err);

typedef bool (*WaBaseRemovedFn) (void *arg, uint64_t bytes);

/*
 * Remove the files of what is not, or no longer, advertised.  `removed` is
 * called after each (may be NULL); WA_CANCELLED when it says false.
 */
extern WaCode wa_base_remove(WaStore *store, const char *id,
							 WaBaseRemovedFn removed, void *arg,
							 WaError *err);

/*
 * The same for what an interrupted deletion left.  It is looked at again, under
 * the lock of those who take backups, and passed over when it is something else
 * by now or a backup is being taken, which removes such things itself.  The
 * lock is kept until the store is closed.
 */
extern WaCode wa_base_remove_left(WaStore *store, const char *id,
								  WaBaseRemovedFn removed, void *arg,
								  WaError *err);

#endif							/* WA_BASES_H */
