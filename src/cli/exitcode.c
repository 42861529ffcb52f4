/*
 * exitcode.c
 *	  Exit status of `walarch get`.
 */
#include "cli/exitcode.h"

#include <unistd.h>

int
wa_exit_get(WaCode code, const WaAsker *asker)
{
	switch (code)
	{
		case WA_OK:
			return WA_EXIT_GET_DELIVERED;
		case WA_NOT_FOUND:
			/* proven: the marker was read, the lookup said "no such file" */
			return WA_EXIT_GET_ABSENT;
		default:

			/*
			 * Not known.  "Absent" would end recovery early and open the
			 * database on a new timeline, so it stops.  A standby asks again
			 * and must outlive this; so must a recovery that looks past its
			 * target.
			 */
			if (asker->beyond_until || asker->promoting || !asker->strict)
				return WA_EXIT_GET_ABSENT;
			return WA_EXIT_GET_STOP;
	}
}

bool
wa_exit_on_standby(void)
{
	return access("standby.signal", F_OK) == 0;
}

int
wa_exit_misuse(void)
{
	if (wa_exit_on_standby())
		return WA_EXIT_GET_ABSENT;
	return access("recovery.signal", F_OK) == 0 ? WA_EXIT_GET_STOP : 2;
}
