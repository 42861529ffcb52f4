/*
 * ahead.h
 *	  What `walarch get` has to do with segments fetched ahead: deliver them,
 *	  and keep one prefetcher at it.
 */
#ifndef WA_AHEAD_H
#define WA_AHEAD_H

#include <stdbool.h>
#include <stdint.h>

#include "archive/fetch.h"
#include "archive/handover.h"
#include "archive/postmaster.h"
#include "cli/get_options.h"
#include "core/controlfile.h"

typedef struct WaAhead
{
	bool		useful;			/* the rest is set */
	bool		kept;			/* a prefetcher was told what is asked */
	bool		direct;			/* recovery was here before */
	const WaGetOptions *options;
	WaWalName	name;
	uint64_t	segno;
	WaControlFile control;
	WaPostmaster postmaster;
	int			window;			/* segments */
	uint64_t	last;			/* of --until; UINT64_MAX: none */
	char		directory[WA_DELIVERY_PATH_BYTES];	/* pg_wal */
	char		key[WA_HANDOVER_KEY_BYTES];
} WaAhead;

/*
 * Is this a request that prefetching may have to do with: a segment for a
 * server in recovery, asked in its data directory while it runs?
 */
extern bool wa_ahead_find(const WaGetOptions *options, WaAhead *ahead);

/* Is the data directory still in the recovery it was found for? */
extern bool wa_ahead_goes_on(const WaAhead *ahead, int datadir_fd);

/* Where the files are made: --spool, or pg_wal itself. */
extern const char *wa_ahead_directory(const WaAhead *ahead);

/*
 * Deliver what was fetched ahead and needs no look at the archive, and tell
 * the prefetcher.  config is as for wa_fetch, whose step on the trail is taken;
 * its control is set meanwhile.  False: nothing was delivered.
 */
extern bool wa_ahead_deliver(WaAhead *ahead, WaFetchConfig *config);

/* After a delivery from the archive: have a prefetcher go on from there. */
extern void wa_ahead_start(const WaAhead *ahead);

#endif							/* WA_AHEAD_H */
