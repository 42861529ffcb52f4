/*
 * walwriter.h
 *	  Writes WAL as PostgreSQL does, for the unit tests.
 */
#ifndef WALWRITER_H
#define WALWRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WAL_SEGMENTS_MAX	16

typedef struct WalWriter
{
	uint32_t	segment_bytes;
	uint32_t	block_bytes;
	uint16_t	magic;
	uint32_t	tli;
	uint64_t	start;			/* LSN of the first byte */
	uint64_t	at;				/* where the next record will begin */
	uint64_t	prev;			/* begin of the last record */
	unsigned char *bytes;		/* of all segments */
	size_t		capacity;
} WalWriter;

/* Room for WAL_SEGMENTS_MAX segments from segno on; zeros to begin with. */
extern void wal_open(WalWriter *wal, uint32_t segment_bytes, uint64_t segno);
extern void wal_close(WalWriter *wal);

/* One record; returns its begin.  wal->at is its end, aligned. */
extern uint64_t wal_record(WalWriter *wal, uint8_t manager, uint8_t info,
						   const void *data, size_t length);

/* Records of PostgreSQL; times in microseconds since 1970. */
extern uint64_t wal_commit(WalWriter *wal, int64_t time_us);
extern uint64_t wal_restore_point(WalWriter *wal, const char *name,
								  int64_t time_us);
extern uint64_t wal_switch(WalWriter *wal);

/* Filler of so many bytes of data. */
extern uint64_t wal_filler(WalWriter *wal, size_t length);

/* Fillers until so many bytes are left in the segment (a multiple of 8, up to 4000). */
extern void wal_fill_until(WalWriter *wal, uint32_t bytes_left);

/*
 * A crash has cut the last record at the page that begins at `lsn`, which is
 * written anew with the flag for it.
 */
extern void wal_crash(WalWriter *wal, uint64_t lsn);

/* The n-th segment, and its name in static storage. */
extern unsigned char *wal_segment(WalWriter *wal, int n);
extern const char *wal_name(WalWriter *wal, int n);

#endif							/* WALWRITER_H */
