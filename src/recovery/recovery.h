/*
 * recovery.h
 *	  The subcommands of the second program; argv[0] is the subcommand.
 */
#ifndef WA_RECOVERY_H
#define WA_RECOVERY_H

#include "recovery/server.h"

extern int	wa_cmd_backup(int argc, char **argv);
extern int	wa_cmd_drill(int argc, char **argv);
extern int	wa_cmd_restore(int argc, char **argv);

/* walarch prune by the rules of a server; `more` options, and NULL. */
extern int	wa_prune_by_server(const WaServer *server, const char *archive,
							   char *const *more);

#endif							/* WA_RECOVERY_H */
