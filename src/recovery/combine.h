/*
 * combine.h
 *	  A data directory out of a full backup and those that are incremental to
 *	  it, by pg_combinebackup.
 *
 * All of them are unpacked below the data directory that is to be made, so
 * that what is left of a failure lies in one place.
 */
#ifndef WA_RECOVERY_COMBINE_H
#define WA_RECOVERY_COMBINE_H

#include "recovery/binaries.h"
#include "recovery/restore.h"

/* Is pg_combinebackup here? */
extern WaCode wa_combine_can(const WaBinaries *binaries, WaError *err);

/*
 * Where the data directory (OID 0), or a tablespace, of the n-th backup of a
 * chain is unpacked; in WA_BASE_PATH_BYTES.
 */
extern WaCode wa_combine_part(const char *directory, size_t n, uint32_t oid,
							  char *part, WaError *err);

/* Make these directories, in the data directory, which is there and empty. */
extern WaCode wa_combine_prepare(const char *directory,
								 const WaRestorePlan *plan, WaError *err);

/* All is unpacked: make of each what pg_basebackup makes. */
extern WaCode wa_combine_link(const char *directory,
							  const WaRestorePlan *plan, WaError *err);

/*
 * Combine them.  Afterwards the directory is as if a full backup had been
 * unpacked there, pg_control under its other name, tablespaces in place.
 */
extern WaCode wa_combine(const char *directory, const WaRestorePlan *plan,
						 const WaBinaries *binaries, WaError *err);

#endif							/* WA_RECOVERY_COMBINE_H */
