/*
 * policy.h
 *	  What a running server wants kept of its archive.
 */
#ifndef WA_RECOVERY_POLICY_H
#define WA_RECOVERY_POLICY_H

#include <stdint.h>

#include "recovery/server.h"

#define WA_SETTING_BYTES	64

/* The settings as the server shows them; "0" where none is set. */
typedef struct WaServerPolicy
{
	uint64_t	system_identifier;
	char		backups[WA_SETTING_BYTES];
	char		window[WA_SETTING_BYTES];
	char		size[WA_SETTING_BYTES];
} WaServerPolicy;

/* Is the archive that of this cluster?  WA_WRONG_CLUSTER when it is not. */
extern WaCode wa_policy_same_cluster(const char *archive,
									 uint64_t system_identifier, WaError *err);

/*
 * Ask it.  WA_INVALID when it cannot be reached or asked; WA_WRONG_CLUSTER
 * when the archive is that of another cluster.
 */
extern WaCode wa_policy_ask(const WaServer *server, const char *archive,
							WaServerPolicy *policy, WaError *err);

/* Is walarch.auto_prune on?  WA_INVALID when it cannot be asked. */
extern WaCode wa_policy_auto_prune(const WaServer *server, bool *wanted,
								   WaError *err);

#endif							/* WA_RECOVERY_POLICY_H */
