/*
 * exitcode.h
 *	  Exit status of `walarch get`: the only place that decides it.
 *
 * PostgreSQL takes 1 to 125 as "the file is not in the archive" and then
 * ends recovery or tries elsewhere; anything above stops the server.
 */
#ifndef WA_EXITCODE_H
#define WA_EXITCODE_H

#include <stdbool.h>

#include "core/error.h"

#define WA_EXIT_GET_DELIVERED	0
#define WA_EXIT_GET_ABSENT		1
#define WA_EXIT_GET_STOP		200

/* Who asks, as far as it matters. */
typedef struct WaAsker
{
	bool		strict;			/* an unknown answer must stop it */
	bool		beyond_until;	/* wants a segment past --until */
	bool		promoting;		/* has left recovery all but for this file */
} WaAsker;

extern int	wa_exit_get(WaCode code, const WaAsker *asker);

/*
 * Exit status of a command line that names no subcommand: it may be a
 * mistyped restore_command, for which 2 would mean "absent".  So 200 where
 * recovery.signal lies in the working directory, 1 where standby.signal
 * does, 2 elsewhere.
 */
extern int	wa_exit_misuse(void);

/* Does the working directory belong to a standby? */
extern bool wa_exit_on_standby(void);

#endif							/* WA_EXITCODE_H */
