/*
 * settings.h
 *	  The settings walarch.*
 */
#ifndef WALARCH_SETTINGS_H
#define WALARCH_SETTINGS_H

#include "postgres.h"

#include "archive/lookahead.h"
#include "archive/retain.h"

extern char *walarch_archive;
extern int	walarch_compression_level;
extern int	walarch_catchup_level;
extern int	walarch_workers;
extern int	walarch_timeout;	/* ms */
extern bool walarch_auto_prune;

/* Define them; from _PG_init. */
extern void walarch_settings_define(void);

/* What retention is to keep. */
extern WaPolicy walarch_settings_policy(void);

/* walarch.archive in its shortest spelling; false when it is not set. */
extern bool walarch_settings_archive(char path[WA_ARCHIVE_PATH_BYTES]);

/*
 * Look for values in the configuration files that PostgreSQL has rejected
 * without a word, as it does for settings of a library that only the
 * archiver has loaded, and report each at elevel (below ERROR).  Returns how
 * many there are.
 */
extern int	walarch_settings_report_rejected(int elevel);

#endif							/* WALARCH_SETTINGS_H */
