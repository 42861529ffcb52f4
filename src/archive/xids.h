/*
 * xids.h
 *	  Where a transaction ended, by looking at every record: envelopes do not
 *	  tell.
 */
#ifndef WA_XIDS_H
#define WA_XIDS_H

#include "archive/lineage.h"

typedef struct WaXidFound
{
	WaPlace		place;			/* segment in which the record ends */
	uint64_t	end_lsn;
	int64_t		time_us;		/* microseconds since 1970-01-01 UTC */
} WaXidFound;

/* So many segments were looked at; false ends the search. */
typedef bool (*WaXidProgressFn) (void *arg, uint64_t segments);

/*
 * The last commit or abort of a transaction along a lineage, searched from a
 * place back to another.  WA_NOT_FOUND when there is none; prepared
 * transactions are not found.  A segment that cannot be read is an error.
 */
extern WaCode wa_xid_find(WaStore *store, const WaCatalogue *catalogue,
						  const WaLineage *lineage, WaPlace from, WaPlace to,
						  uint32_t xid, WaXidProgressFn progress, void *arg,
						  WaXidFound *found, WaError *err);

#endif							/* WA_XIDS_H */
