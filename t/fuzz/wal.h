/*
 * wal.h
 *	  WAL that a walk gets through, whatever bytes it was made of.
 */
#ifndef FUZZ_WAL_H
#define FUZZ_WAL_H

#include <stddef.h>
#include <stdint.h>

/*
 * Give the pages their addresses and the records their links and checksums, so
 * that what stands in them is looked at.  The first page says how large pages
 * are; a length that cannot be ends it.
 */
extern void wal_seal(uint8_t *bytes, size_t size, uint64_t lsn);

#endif							/* FUZZ_WAL_H */
