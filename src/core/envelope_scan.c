/*
 * envelope_scan.c
 *	  The optional fields of an envelope that tell what the walk over a
 *	  segment's records found.
 */
#include "core/envelope_scan.h"

#include <string.h>

#include "core/bytes.h"

/* Types of the fields. */
enum
{
	FIELD_SCAN = 2,
	FIELD_HEAD = 3,
	FIELD_TAIL = 4,
	FIELD_POINT = 5
};

#define FIELD_HEADER	4		/* uint16 type, uint16 length */

/* Offsets in FIELD_SCAN. */
enum
{
	SCAN_END = 0,
	SCAN_FLAGS = 1,
	SCAN_USED_BYTES = 4,
	SCAN_END_LSN = 8,
	SCAN_STOP_LSN = 16,
	SCAN_RECORDS = 24,
	SCAN_FIRST_LSN = 32,
	SCAN_FIRST_PREV = 40,
	SCAN_LAST_LSN = 48,
	SCAN_TRANSACTIONS = 56,
	SCAN_EARLIEST = 64,
	SCAN_LATEST = 72,
	SCAN_POINTS_COUNT = 80,
	SCAN_BYTES = 88
};

#define SCAN_UNUSED_ZERO		1
#define SCAN_HEAD_OVERWRITTEN	2

/* In FIELD_HEAD, then the bytes the record's part begins with. */
enum
{
	HEAD_DUE_BYTES = 0,
	HEAD_BYTES = 4,
	HEAD_END_LSN = 8,
	HEAD_CRC = 16,
	HEAD_START = 20
};

/* In FIELD_TAIL, then the bytes the record begins with. */
enum
{
	TAIL_LSN = 0,
	TAIL_TOTAL_BYTES = 8,
	TAIL_BYTES = 12,
	TAIL_CRC = 16,
	TAIL_START = 20
};

/* In FIELD_POINT, then the name without a NUL. */
enum
{
	POINT_LSN = 0,
	POINT_TIME = 8,
	POINT_NAME = 16
};

_Static_assert(4 * FIELD_HEADER + SCAN_BYTES + HEAD_START + TAIL_START +
			   2 * WA_RECORD_START_BYTES + WA_SCAN_POINTS_MAX *
			   (FIELD_HEADER + POINT_NAME + WA_RECORD_NAME_BYTES - 1) <=
			   WA_ENVELOPE_SCAN_BYTES_MAX, "room for every field");

static unsigned char *
put_field(unsigned char *buffer, size_t *at, unsigned type, size_t length)
{
	unsigned char *data = buffer + *at + FIELD_HEADER;

	wa_put16(buffer + *at, (uint16_t) type);
	wa_put16(buffer + *at + 2, (uint16_t) length);
	memset(data, 0, length);
	*at += FIELD_HEADER + length;
	return data;
}

static size_t
start_bytes(uint32_t bytes)
{
	return bytes < WA_RECORD_START_BYTES ? bytes : WA_RECORD_START_BYTES;
}

size_t
wa_envelope_scan_encode(const WaScanResult *scan, unsigned char *buffer)
{
	size_t		length = 0;
	unsigned char *data = put_field(buffer, &length, FIELD_SCAN, SCAN_BYTES);

	data[SCAN_END] = (unsigned char) scan->end;
	data[SCAN_FLAGS] = (scan->unused_zero ? SCAN_UNUSED_ZERO : 0) |
		(scan->head.overwritten ? SCAN_HEAD_OVERWRITTEN : 0);
	wa_put32(data + SCAN_USED_BYTES, scan->used_bytes);
	wa_put64(data + SCAN_END_LSN, scan->end_lsn);
	wa_put64(data + SCAN_STOP_LSN, scan->stop_lsn);
	wa_put64(data + SCAN_RECORDS, scan->records);
	wa_put64(data + SCAN_FIRST_LSN, scan->first_lsn);
	wa_put64(data + SCAN_FIRST_PREV, scan->first_prev);
	wa_put64(data + SCAN_LAST_LSN, scan->last_lsn);
	wa_put64(data + SCAN_TRANSACTIONS, scan->transactions);
	wa_put64(data + SCAN_EARLIEST, (uint64_t) scan->earliest_us);
	wa_put64(data + SCAN_LATEST, (uint64_t) scan->latest_us);
	wa_put32(data + SCAN_POINTS_COUNT, scan->points_count);

	if (scan->head.due_bytes > 0)
	{
		size_t		start = start_bytes(scan->head.bytes);

		data = put_field(buffer, &length, FIELD_HEAD, HEAD_START + start);
		wa_put32(data + HEAD_DUE_BYTES, scan->head.due_bytes);
		wa_put32(data + HEAD_BYTES, scan->head.bytes);
		wa_put64(data + HEAD_END_LSN, scan->head.end_lsn);
		wa_put32(data + HEAD_CRC, scan->head.crc);
		memcpy(data + HEAD_START, scan->head.start, start);
	}
	if (scan->tail.lsn != 0)
	{
		size_t		start = start_bytes(scan->tail.bytes);

		data = put_field(buffer, &length, FIELD_TAIL, TAIL_START + start);
		wa_put64(data + TAIL_LSN, scan->tail.lsn);
		wa_put32(data + TAIL_TOTAL_BYTES, scan->tail.total_bytes);
		wa_put32(data + TAIL_BYTES, scan->tail.bytes);
		wa_put32(data + TAIL_CRC, scan->tail.crc);
		memcpy(data + TAIL_START, scan->tail.start, start);
	}
	for (uint32_t i = 0; i < scan->points_count && i < WA_SCAN_POINTS_MAX; i++)
	{
		const WaRestorePoint *point = &scan->points[i];
		size_t		name = strlen(point->name);

		data = put_field(buffer, &length, FIELD_POINT, POINT_NAME + name);
		wa_put64(data + POINT_LSN, point->lsn);
		wa_put64(data + POINT_TIME, (uint64_t) point->time_us);
		memcpy(data + POINT_NAME, point->name, name);
	}
	return length;
}

static void
take_start(unsigned char *start, const unsigned char *data, size_t length)
{
	memcpy(start, data,
		   length < WA_RECORD_START_BYTES ? length : WA_RECORD_START_BYTES);
}

static void
take_point(const unsigned char *data, size_t length, WaScanResult *scan)
{
	WaRestorePoint *point = NULL;

	/* they stand in order; those kept are the first that have no LSN yet */
	for (int i = 0; i < WA_SCAN_POINTS_MAX && point == NULL; i++)
		if (scan->points[i].lsn == 0)
			point = &scan->points[i];
	if (point == NULL)
		return;
	point->lsn = wa_get64(data + POINT_LSN);
	point->time_us = (int64_t) wa_get64(data + POINT_TIME);
	length -= POINT_NAME;
	if (length >= sizeof(point->name))
		length = sizeof(point->name) - 1;
	memcpy(point->name, data + POINT_NAME, length);
	point->name[length] = '\0';
}

bool
wa_envelope_scan_take(unsigned type, const unsigned char *data, size_t length,
					  WaScanResult *scan)
{
	switch (type)
	{
		case FIELD_SCAN:
			if (length < SCAN_BYTES || data[SCAN_END] < WA_SCAN_FULL ||
				data[SCAN_END] > WA_SCAN_DAMAGED)
				return false;	/* not known, rather than half known */
			scan->end = (WaScanEnd) data[SCAN_END];
			scan->unused_zero = (data[SCAN_FLAGS] & SCAN_UNUSED_ZERO) != 0;
			scan->head.overwritten =
				(data[SCAN_FLAGS] & SCAN_HEAD_OVERWRITTEN) != 0;
			scan->used_bytes = wa_get32(data + SCAN_USED_BYTES);
			scan->end_lsn = wa_get64(data + SCAN_END_LSN);
			scan->stop_lsn = wa_get64(data + SCAN_STOP_LSN);
			scan->records = wa_get64(data + SCAN_RECORDS);
			scan->first_lsn = wa_get64(data + SCAN_FIRST_LSN);
			scan->first_prev = wa_get64(data + SCAN_FIRST_PREV);
			scan->last_lsn = wa_get64(data + SCAN_LAST_LSN);
			scan->transactions = wa_get64(data + SCAN_TRANSACTIONS);
			scan->earliest_us = (int64_t) wa_get64(data + SCAN_EARLIEST);
			scan->latest_us = (int64_t) wa_get64(data + SCAN_LATEST);
			scan->points_count = wa_get32(data + SCAN_POINTS_COUNT);
			return true;
		case FIELD_HEAD:
			if (length < HEAD_START)
				return false;
			scan->head.due_bytes = wa_get32(data + HEAD_DUE_BYTES);
			scan->head.bytes = wa_get32(data + HEAD_BYTES);
			scan->head.end_lsn = wa_get64(data + HEAD_END_LSN);
			scan->head.crc = wa_get32(data + HEAD_CRC);
			take_start(scan->head.start, data + HEAD_START,
					   length - HEAD_START);
			return false;
		case FIELD_TAIL:
			if (length < TAIL_START)
				return false;
			scan->tail.lsn = wa_get64(data + TAIL_LSN);
			scan->tail.total_bytes = wa_get32(data + TAIL_TOTAL_BYTES);
			scan->tail.bytes = wa_get32(data + TAIL_BYTES);
			scan->tail.crc = wa_get32(data + TAIL_CRC);
			take_start(scan->tail.start, data + TAIL_START,
					   length - TAIL_START);
			return false;
		case FIELD_POINT:
			if (length >= POINT_NAME)
				take_point(data, length, scan);
			return false;
		default:
			return false;
	}
}
