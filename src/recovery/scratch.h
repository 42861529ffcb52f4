/*
 * scratch.h
 *	  A directory that is there for a while.
 */
#ifndef WA_RECOVERY_SCRATCH_H
#define WA_RECOVERY_SCRATCH_H

#include "core/error.h"

/*
 * Make a directory of a new name below an existing one, for nobody else to
 * enter.  It is locked for as long as this process lives; those of processes
 * that have been killed are removed.  *path is malloc'ed.
 */
extern WaCode wa_scratch_make(const char *below, char **path, WaError *err);

/* Have it stay for good: nobody but a person removes it. */
extern WaCode wa_scratch_keep(const char *path, WaError *err);

/* Remove it with all that is in it; links are removed, not followed. */
extern WaCode wa_scratch_remove(const char *path, WaError *err);

#endif							/* WA_RECOVERY_SCRATCH_H */
