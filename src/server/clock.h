/*
 * clock.h
 *	  Points in time as walarch has them: microseconds since 1970-01-01 UTC.
 */
#ifndef WALARCH_CLOCK_H
#define WALARCH_CLOCK_H

#include "postgres.h"

#include "datatype/timestamp.h"

extern int64 walarch_unix_us(TimestampTz time);
extern TimestampTz walarch_timestamp(int64 unix_us);
extern int64 walarch_now_unix_us(void);

#endif							/* WALARCH_CLOCK_H */
