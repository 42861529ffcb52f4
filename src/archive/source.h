/*
 * source.h
 *	  A file of pg_wal that is to be archived, as far as it can be told apart
 *	  from another under the same path.
 */
#ifndef WA_SOURCE_H
#define WA_SOURCE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "store/beat.h"

/* The same file, unchanged, as long as all of this is the same. */
typedef struct WaSource
{
	uint64_t	device;
	uint64_t	inode;
	uint64_t	bytes;
	int64_t		changed_s;		/* its ctime */
	int64_t		changed_ns;
} WaSource;

extern void wa_source_of(const struct stat *st, WaSource *source);

/* Is what lies under this path that file, unchanged? */
extern bool wa_source_unchanged(const char *path, const WaSource *source,
								WaBeat *beat);

/*
 * Does PostgreSQL want the file under this path (PG_WAL/NAME) archived?  It
 * says so by PG_WAL/archive_status/NAME.ready.
 */
extern bool wa_source_due(const char *path, WaBeat *beat);

#endif							/* WA_SOURCE_H */
