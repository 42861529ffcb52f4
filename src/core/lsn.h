/*
 * lsn.h
 *	  Log sequence numbers as PostgreSQL prints them.
 */
#ifndef WA_LSN_H
#define WA_LSN_H

#include <stdint.h>

#define WA_LSN_FORMAT		"%X/%X"
#define WA_LSN_ARGS(lsn)	(unsigned) ((lsn) >> 32), (unsigned) (lsn)

#define WA_LSN_TEXT_BYTES	18	/* FFFFFFFF/FFFFFFFF and a NUL */

/* Records begin at multiples of eight. */
static inline uint64_t
wa_lsn_align(uint64_t lsn)
{
	return (lsn + 7) & ~UINT64_C(7);
}

#endif							/* WA_LSN_H */
