/*
 * known.h
 *	  walarch.known in the data directory: the archives this cluster has used.
 *
 * Lines "<archive id> <path>".  It travels with base backups and pg_rewind,
 * so that a clone, too, refuses a path whose archive has gone missing.
 */
#ifndef WA_KNOWN_H
#define WA_KNOWN_H

#include <stdbool.h>
#include <sys/types.h>

#include "core/error.h"

#define WA_KNOWN_FILE	"walarch.known"	/* in the data directory */

/*
 * Has this path been used, and with this archive id?  A missing file knows
 * nothing; an unreadable one is an error.
 */
extern WaCode wa_known_find(const char *file, const char *path,
							const char *archive_id, bool *path_known,
							bool *id_known, WaError *err);

/*
 * Add a line, durably: temporary, fsync, rename, fsync of the directory the
 * file is in (the current one).  Threads wait for each other.
 */
extern WaCode wa_known_add(const char *file, const char *path,
						   const char *archive_id, mode_t mode, WaError *err);

#endif							/* WA_KNOWN_H */
