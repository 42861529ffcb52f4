/*
 * status.h
 *	  The counters of archiving, kept by the archiver in a small file.
 *
 * Only the archiver writes the status file, anybody may read it; a reset
 * writes the baseline, which readers subtract.  All of it is local and none
 * of it needs shared memory, so nothing has to be preloaded.
 */
#ifndef WALARCH_STATUS_H
#define WALARCH_STATUS_H

#include "postgres.h"

#include "core/statusfile.h"

/*
 * Read the status file.  False when there is none or it is damaged; then
 * the status is zeroed and *damaged tells which.
 */
extern bool walarch_status_read(WaStatus *status, bool *damaged);

/* Subtract what the last reset saw. */
extern void walarch_status_apply_baseline(WaStatus *status);

/*
 * Write it, replacing the old one at once.  Failures are logged once per
 * process and otherwise ignored: archiving matters more.  Never throws.
 */
extern void walarch_status_write(const WaStatus *status);

/* Write the baseline; ERROR on failure. */
extern void walarch_status_write_baseline(const WaStatus *status);

#endif							/* WALARCH_STATUS_H */
