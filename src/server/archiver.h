/*
 * archiver.h
 *	  The archiver process: its workers, its counters, and the body of the
 *	  callbacks.
 */
#ifndef WALARCH_ARCHIVER_H
#define WALARCH_ARCHIVER_H

#include "postgres.h"

/* False only when walarch.archive is empty. */
extern bool walarch_archiver_configured(void);

/*
 * Archive one file.  True when the archive durably holds it; false, after
 * reporting why, when not.  Never throws, on any major.
 */
extern bool walarch_archiver_archive(const char *file, const char *path);

extern void walarch_archiver_shutdown(void);

#endif							/* WALARCH_ARCHIVER_H */
