/*
 * walchain.h
 *	  Segments one after the other: does each begin where the one before it
 *	  ended?
 *
 * A record that crosses from one segment into the next is checked here, when
 * the scans of both are at hand; it may cross several.
 */
#ifndef WA_WALCHAIN_H
#define WA_WALCHAIN_H

#include "core/walscan.h"

typedef struct WaChain
{
	bool		begun;
	uint64_t	stop_lsn;		/* WAL ends there, nothing can follow; or 0 */
	uint64_t	last_lsn;		/* the last whole record's begin; 0: not known */
	WaScanTail	tail;			/* the record that goes on; lsn 0: none */
	char		reason[WA_SCAN_REASON_BYTES];
} WaChain;

/* A record that began in an earlier segment. */
typedef struct WaCrossed
{
	WaRecord	record;
	uint64_t	end_lsn;		/* 0: none ends in this segment */
} WaCrossed;

typedef enum WaJoint
{
	WA_JOINT_FIRST = 1,			/* nothing to compare with */
	WA_JOINT_GOOD,
	WA_JOINT_BROKEN				/* chain->reason says how */
} WaJoint;

/* A zeroed chain is one that has not begun. */
extern void wa_chain_begin(WaChain *chain);

/*
 * The scan of the next segment of the same ancestry.  A broken chain begins
 * anew with it.
 */
extern WaJoint wa_chain_add(WaChain *chain, const WaScanResult *next,
							WaCrossed *crossed);

#endif							/* WA_WALCHAIN_H */
