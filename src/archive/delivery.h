/*
 * delivery.h
 *	  A restored file on its way to the name PostgreSQL asked for.
 *
 * It grows under one fixed temporary name beside its destination and is
 * renamed when all of it is proven.  No fsync for PostgreSQL: it does that
 * itself, and asks again after a crash.
 */
#ifndef WA_DELIVERY_H
#define WA_DELIVERY_H

#include <sys/types.h>

#include "core/sink.h"
#include "store/beat.h"

#define WA_DELIVERY_PATH_BYTES	2048

typedef struct WaDelivery WaDelivery;

/* A file without a name. */
typedef struct WaUnnamed
{
	int			dir_fd;			/* where to make it */
	int			fd;				/* set by a commit, else as it was */
} WaUnnamed;

typedef struct WaDestination
{
	const char *path;
	mode_t		mode;

	/*
	 * Not NULL: the file gets no name.  It is synced, so that whoever names it
	 * later finds its fsync done, and its descriptor is the caller's.  path is
	 * for messages then.
	 */
	WaUnnamed  *unnamed;

	/*
	 * Asked just before the rename; false: whoever asked for the file is
	 * gone, and another may be waiting for another file under this path.
	 * NULL: always wanted.
	 */
	bool		(*still_wanted) (void);
} WaDestination;

/* Name of the temporary (WA_DELIVERY_PATH_BYTES); false: path too long. */
extern bool wa_delivery_temporary(const char *destination, char *temporary);

/*
 * Begin.  The temporary is locked, so that a command that outlived its
 * server cannot meddle with that of the next one: WA_CHANGED while such a
 * one still runs.
 */
extern WaCode wa_delivery_open(const WaDestination *destination, WaBeat *beat,
							   WaDelivery **delivery, WaError *err);

/* The sink that writes to it; closing the sink does not end the delivery. */
extern WaSink *wa_delivery_sink(WaDelivery *delivery);

/* Rename to the destination.  WA_CANCELLED when it is no longer wanted. */
extern WaCode wa_delivery_commit(WaDelivery *delivery, WaError *err);

/* Release; removes what was not committed.  Safe on NULL. */
extern void wa_delivery_close(WaDelivery *delivery);

#endif							/* WA_DELIVERY_H */
