/*
 * arrival.h
 *	  Is the WAL that a base backup needs in the archive yet?
 */
#ifndef WA_RECOVERY_ARRIVAL_H
#define WA_RECOVERY_ARRIVAL_H

#include "core/basebackup.h"
#include "core/marker.h"
#include "core/walname.h"
#include "store/store.h"

/*
 * Look from segment *segno on, which is moved to the first one that is missing;
 * `name` is its name then.  What is there is durable on return: whoever
 * archived it may not have synced its name yet, and what the backup says of
 * itself must not be durable before.  WA_DAMAGED when a segment was damaged
 * when it was archived, or its WAL ends too early: nothing can be restored with
 * it.
 */
extern WaCode wa_arrival_look(WaStore *store, const WaMarker *marker,
							  const WaBaseBackup *backup, uint64_t *segno,
							  WaWalName *name, bool *missing, WaError *err);

#endif							/* WA_RECOVERY_ARRIVAL_H */
