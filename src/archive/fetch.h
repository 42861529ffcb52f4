/*
 * fetch.h
 *	  One file out of the archive, proven before it gets its name.
 */
#ifndef WA_FETCH_H
#define WA_FETCH_H

#include "archive/foreign.h"
#include "archive/trail.h"
#include "core/controlfile.h"
#include "core/sink_zstd.h"
#include "store/store.h"

typedef struct WaFetchConfig
{
	const char *archive;		/* path of the archive directory */
	WaForeign	also;			/* further directories; count may be 0 */
	const WaControlFile *control;	/* of the server asking; NULL: unknown */
	const char *known_file;		/* walarch.known of that server, or NULL */

	/*
	 * Set when a server in recovery asks: the histories in its pg_wal tell
	 * which timelines it knows, the trail what it asked before.
	 */
	const char *pg_wal;
	const char *trail_file;
	WaTrailStep *step;			/* the same for all attempts; or NULL */
	bool		standby;

	mode_t		mode;			/* of the delivered file */
	bool	   *also_alone;		/* set to whether only `also` was asked; or NULL */
	WaUnnamed  *unnamed;		/* as in WaDestination */
	bool		(*still_wanted) (void); /* as in WaDestination */
	WaStoreOptions store;
} WaFetchConfig;

/*
 * Deliver the file to `destination`.
 *
 * WA_OK: all of it proven and renamed into place.  WA_NOT_FOUND: proven
 * absent: the marker was read and the lookup answered so through the same
 * directory handle, and in each further directory; or there are further ones,
 * and the archive is empty and was never used: then they alone were asked, and
 * nothing is known of holes.  WA_REFUSED: it is there
 * but a child timeline has, or may have, a segment of the same number that
 * should be replayed instead.  Anything else: not known.
 */
extern WaCode wa_fetch(const WaFetchConfig *config, WaZstd *zstd,
					   const char *file, const char *destination,
					   WaError *err);

/*
 * Take the trail's step for a request, which wa_fetch then does not take
 * again: config has a trail_file, a step and known control.  True when
 * neither the parent timeline's rule nor an unresolved history has a say, so
 * that a copy proven by an earlier wa_fetch is as good as a new one.
 */
extern bool wa_fetch_direct(const WaFetchConfig *config,
							const WaWalName *name);

#endif							/* WA_FETCH_H */
