/*
 * crc32c.h
 *	  CRC-32C (Castagnoli), the checksum PostgreSQL uses for WAL records and
 *	  pg_control, and walarch for its envelope.
 *
 * Source: RFC 3720, appendix B.4 (polynomial 0x1EDC6F41, reflected).
 */
#ifndef WA_CRC32C_H
#define WA_CRC32C_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Checksum of one buffer; continue a running one by passing the last result,
 * 0 to start. */
extern uint32_t wa_crc32c(uint32_t crc, const void *data, size_t length);

/* The same without the processor's instruction. */
extern uint32_t wa_crc32c_by_table(uint32_t crc, const void *data,
								   size_t length);

/* The checksum of two parts as one, from those of each. */
extern uint32_t wa_crc32c_combine(uint32_t first, uint32_t second,
								  uint64_t second_length);

#endif							/* WA_CRC32C_H */
