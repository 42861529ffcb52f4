/*
 * lsn.h
 *	  Log sequence numbers as PostgreSQL prints them.
 */
#ifndef WA_LSN_H
#define WA_LSN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WA_LSN_FORMAT		"%X/%X"
#define WA_LSN_ARGS(lsn)	(unsigned) ((lsn) >> 32), (unsigned) (lsn)

#define WA_LSN_TEXT_BYTES	18	/* FFFFFFFF/FFFFFFFF and a NUL */

/*
 * Read "5/2A000028": up to eight hexadecimal digits on either side, nothing
 * else.  Returns its length, 0 when there is none; what follows it is not
 * looked at.
 */
extern size_t wa_lsn_parse(const char *text, uint64_t *lsn);

/* The same when nothing may follow. */
extern bool wa_lsn_parse_whole(const char *text, uint64_t *lsn);

/* Records begin at multiples of eight. */
static inline uint64_t
wa_lsn_align(uint64_t lsn)
{
	return (lsn + 7) & ~UINT64_C(7);
}

#endif							/* WA_LSN_H */
