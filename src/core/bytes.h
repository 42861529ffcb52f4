/*
 * bytes.h
 *	  Little-endian numbers of fixed width, in memory of any alignment.
 *
 * The formats of walarch are little-endian.  PostgreSQL writes WAL and
 * pg_control in the machine's order; walarch supports little-endian machines
 * only, which the compiler checks here.
 */
#ifndef WA_BYTES_H
#define WA_BYTES_H

#include <stdint.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
			   "walarch supports little-endian machines only");

static inline uint16_t
wa_get16(const void *from)
{
	uint16_t	value;

	memcpy(&value, from, sizeof(value));
	return value;
}

static inline uint32_t
wa_get32(const void *from)
{
	uint32_t	value;

	memcpy(&value, from, sizeof(value));
	return value;
}

static inline uint64_t
wa_get64(const void *from)
{
	uint64_t	value;

	memcpy(&value, from, sizeof(value));
	return value;
}

static inline void
wa_put16(void *to, uint16_t value)
{
	memcpy(to, &value, sizeof(value));
}

static inline void
wa_put32(void *to, uint32_t value)
{
	memcpy(to, &value, sizeof(value));
}

static inline void
wa_put64(void *to, uint64_t value)
{
	memcpy(to, &value, sizeof(value));
}

#endif							/* WA_BYTES_H */
