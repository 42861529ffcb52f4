/*
 * walwriter.c
 *	  Writes WAL as PostgreSQL does, for the unit tests.
 *
 * Independent of what it tests but for the checksum.
 */
#include "walwriter.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/crc32c.h"
#include "core/walname.h"
#include "fixture.h"

#define SHORT_HEADER	24
#define LONG_HEADER		40
#define RECORD_HEADER	24
#define EPOCH_2000_US	INT64_C(946684800000000)

void
wal_open(WalWriter *wal, uint32_t segment_bytes, uint64_t segno)
{
	memset(wal, 0, sizeof(*wal));
	wal->segment_bytes = segment_bytes;
	wal->block_bytes = 8192;
	wal->magic = WAL_MAGIC;
	wal->tli = 1;
	wal->start = segno * segment_bytes;
	wal->at = wal->start;
	wal->capacity = (size_t) segment_bytes * WAL_SEGMENTS_MAX;
	wal->bytes = calloc(1, wal->capacity);
	if (wal->bytes == NULL)
		abort();
}

void
wal_close(WalWriter *wal)
{
	free(wal->bytes);
	wal->bytes = NULL;
}

static unsigned char *
place(WalWriter *wal, uint64_t lsn)
{
	if (lsn - wal->start + wal->block_bytes > wal->capacity)
		abort();				/* the test writes too much */
	return wal->bytes + (lsn - wal->start);
}

static void
put(unsigned char *at, uint64_t value, size_t bytes)
{
	memcpy(at, &value, bytes);	/* little-endian, as the formats are */
}

/* Header of the page at an LSN; returns where its contents begin. */
static uint64_t
begin_page(WalWriter *wal, uint64_t lsn, uint32_t remaining, unsigned flags)
{
	unsigned char *page = place(wal, lsn);
	bool		first = lsn % wal->segment_bytes == 0;

	put(page, wal->magic, 2);
	put(page + 2, flags | (remaining > 0 ? 1 : 0) | (first ? 2 : 0), 2);
	put(page + 4, wal->tli, 4);
	put(page + 8, lsn, 8);
	put(page + 16, remaining, 4);
	if (!first)
		return lsn + SHORT_HEADER;
	put(page + 24, SYSID, 8);
	put(page + 32, wal->segment_bytes, 4);
	put(page + 36, wal->block_bytes, 4);
	return lsn + LONG_HEADER;
}

static void
store_record(WalWriter *wal, const unsigned char *record, uint32_t length)
{
	uint64_t	at = wal->at;

	for (uint32_t done = 0; done < length;)
	{
		uint32_t	room;
		uint32_t	part = length - done;

		if (at % wal->block_bytes == 0)
			at = begin_page(wal, at, done > 0 ? length - done : 0, 0);
		room = wal->block_bytes - (uint32_t) (at % wal->block_bytes);
		if (part > room)
			part = room;
		memcpy(place(wal, at - at % wal->block_bytes) + at % wal->block_bytes,
			   record + done, part);
		at += part;
		done += part;
	}
	wal->at = (at + 7) / 8 * 8;
}

uint64_t
wal_record(WalWriter *wal, uint8_t manager, uint8_t info, const void *data,
		   size_t length)
{
	uint32_t	total = (uint32_t) (RECORD_HEADER + length);
	unsigned char *record = calloc(1, total);
	uint64_t	lsn;
	uint32_t	crc;

	if (record == NULL)
		abort();
	if (wal->at % wal->block_bytes == 0)
		wal->at = begin_page(wal, wal->at, 0, 0);
	lsn = wal->at;
	put(record, total, 4);
	put(record + 8, wal->prev, 8);
	record[16] = info;
	record[17] = manager;
	memcpy(record + RECORD_HEADER, data, length);
	crc = wa_crc32c(0, record + RECORD_HEADER, length);
	put(record + 20, wa_crc32c(crc, record, 20), 4);
	store_record(wal, record, total);
	free(record);
	wal->prev = lsn;
	return lsn;
}

uint64_t
wal_commit(WalWriter *wal, int64_t time_us)
{
	unsigned char data[2 + 8] = {255, 8};

	put(data + 2, (uint64_t) (time_us - EPOCH_2000_US), 8);
	return wal_record(wal, 1, 0x00, data, sizeof(data));
}

uint64_t
wal_restore_point(WalWriter *wal, const char *name, int64_t time_us)
{
	unsigned char data[2 + 8 + 64] = {255, 72};

	put(data + 2, (uint64_t) (time_us - EPOCH_2000_US), 8);
	snprintf((char *) data + 10, 64, "%s", name);
	return wal_record(wal, 0, 0x70, data, sizeof(data));
}

uint64_t
wal_switch(WalWriter *wal)
{
	uint64_t	lsn = wal_record(wal, 0, 0x40, "", 0);

	if (wal->at % wal->segment_bytes != 0)
		wal->at += wal->segment_bytes - wal->at % wal->segment_bytes;
	return lsn;
}

uint64_t
wal_filler(WalWriter *wal, size_t length)
{
	unsigned char *data = malloc(length + 1);
	uint64_t	lsn;

	if (data == NULL)
		abort();
	fill(data, length, (uint32_t) wal->at);
	lsn = wal_record(wal, 10, 0x30, data, length);
	free(data);
	return lsn;
}

static uint32_t
bytes_left_here(const WalWriter *wal)
{
	return wal->segment_bytes - (uint32_t) (wal->at % wal->segment_bytes);
}

void
wal_fill_until(WalWriter *wal, uint32_t bytes_left)
{
	if (bytes_left > 4000)
		abort();				/* the last record stays on the last page */
	while (bytes_left_here(wal) > bytes_left + 4096)
		wal_filler(wal, 100 + wal->at / 8 % 800);
	wal_filler(wal, bytes_left_here(wal) - bytes_left - RECORD_HEADER);
}

void
wal_crash(WalWriter *wal, uint64_t lsn)
{
	unsigned	flag = wal->magic >= 0xD11C ? 0x0004 : 0x0008;
	uint64_t	aborted = wal->prev;
	unsigned char data[2 + 16] = {255, 16};

	memcpy(&wal->prev, place(wal, aborted - aborted % wal->block_bytes) +
		   aborted % wal->block_bytes + 8, 8);
	memset(place(wal, lsn), 0, wal->capacity - (size_t) (lsn - wal->start));
	wal->at = begin_page(wal, lsn, 0, flag);
	put(data + 2, aborted, 8);
	wal_record(wal, 0, 0xD0, data, sizeof(data));
}

unsigned char *
wal_segment(WalWriter *wal, int n)
{
	return wal->bytes + (size_t) n * wal->segment_bytes;
}

const char *
wal_name(WalWriter *wal, int n)
{
	static char name[WA_WALNAME_BYTES];

	wa_segment_name(name, wal->tli, wal->start / wal->segment_bytes +
					(uint64_t) n, wal->segment_bytes);
	return name;
}
