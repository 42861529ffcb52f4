/*
 * clock.c
 *	  Points in time as walarch has them.
 */
#include "server/clock.h"

#include "utils/timestamp.h"

#define EPOCHS_APART_US \
	((int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY)

int64
walarch_unix_us(TimestampTz time)
{
	return time + EPOCHS_APART_US;
}

TimestampTz
walarch_timestamp(int64 unix_us)
{
	return unix_us - EPOCHS_APART_US;
}

int64
walarch_now_unix_us(void)
{
	return walarch_unix_us(GetCurrentTimestamp());
}
