/*
 * configure.h
 *	  What tells a restored server how to recover: settings and signal files.
 */
#ifndef WA_RECOVERY_CONFIGURE_H
#define WA_RECOVERY_CONFIGURE_H

#include "recovery/restore.h"

/*
 * Append to postgresql.auto.conf, which overrides postgresql.conf wherever
 * that lies, and make the signal file.
 */
extern WaCode wa_configure(const WaCatalogue *catalogue,
						   const WaRestore *restore,
						   const WaRestorePlan *plan,
						   const WaBinaries *binaries, WaError *err);

#endif							/* WA_RECOVERY_CONFIGURE_H */
