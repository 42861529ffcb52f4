/*
 * hold.h
 *	  Keep retention away from what is being recovered, by a pin.
 */
#ifndef WA_RECOVERY_HOLD_H
#define WA_RECOVERY_HOLD_H

#include "core/basebackup.h"
#include "core/pin.h"

/*
 * Pin the WAL from the start of a backup on, and the backup, for two days:
 * "restore-1f3a8c22".  WA_EXISTS when somebody prunes all the while.
 */
extern WaCode wa_hold_put(const char *archive, const char *who,
						  const WaBaseBackup *backup, char *name, WaError *err);

/*
 * The same, where it is not a must: when it cannot be done the name stays
 * empty, with a message.
 */
extern void wa_hold(const char *archive, const char *who,
					const WaBaseBackup *backup, char *name);

/* End it; nothing is done for an empty name. */
extern void wa_hold_end(const char *archive, const char *name);

#endif							/* WA_RECOVERY_HOLD_H */
