/*
 * compat.c
 *	  Functions with a body per major.
 */
#include "server/compat.h"

#if PG_VERSION_NUM >= 170000

uint32
walarch_wait_event(void)
{
	static uint32 event = 0;

	/* takes locks, so not before there is something to wait for */
	if (event == 0)
		event = WaitEventExtensionNew("WalarchStore");
	return event;
}

void
walarch_not_configured(const char *detail)
{
	arch_module_check_errdetail("%s", detail);
}

#else

uint32
walarch_wait_event(void)
{
	return PG_WAIT_EXTENSION;
}

void
walarch_not_configured(const char *detail)
{
	(void) detail;
}

#endif
