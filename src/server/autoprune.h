/*
 * autoprune.h
 *	  walarch.auto_prune: the archiver has a thread delete what retention lets
 *	  go of.
 */
#ifndef WALARCH_AUTOPRUNE_H
#define WALARCH_AUTOPRUNE_H

#include "postgres.h"

/*
 * A file has been archived.  If a backup ended with it, and the archive has
 * no backups of its own, pruning begins.  Never waits.
 */
extern void walarch_autoprune_begin(const char *file, const char *archive);

/* Report what has ended meanwhile.  Never waits. */
extern void walarch_autoprune_look(void);

/* Waits no longer than a moment. */
extern void walarch_autoprune_end(void);

#endif							/* WALARCH_AUTOPRUNE_H */
