/*
 * unnamed.h
 *	  Proven segments without a name, on their way to PostgreSQL.
 *
 * What is fetched ahead gets no name before it is delivered: nothing that
 * copies or empties the data directory ever meets it, and when its holder
 * ends, in whatever way, the file system takes it back.
 */
#ifndef WA_UNNAMED_H
#define WA_UNNAMED_H

#include <stdbool.h>

#include "archive/delivery.h"
#include "core/walheader.h"

/*
 * Can files made in the directory be given names in pg_wal?  If not, *why
 * says what is wrong.
 */
extern bool wa_unnamed_serves(const char *directory, const char *pg_wal,
							  const char **why);

/*
 * Give a segment the destination's name, which must be free.  Its digest was
 * compared when it was fetched; size and first page are looked at again.
 * False: nothing was done.
 */
extern bool wa_unnamed_deliver(int fd, const WaWalExpect *expect,
							   const WaDestination *destination);

#endif							/* WA_UNNAMED_H */
