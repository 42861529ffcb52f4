/*
 * walrecord.c
 *	  One WAL record: its header, and what some kinds of record tell.
 */
#include "core/walrecord.h"

#include <string.h>

#include "core/bytes.h"

/* Offsets of XLogRecord. */
enum
{
	AT_TOTAL_BYTES = 0,
	AT_XID = 4,
	AT_PREV = 8,
	AT_INFO = 16,
	AT_MANAGER = 17,
	AT_CRC = WA_RECORD_CRC_AT
};

/*
 * Resource managers: src/include/access/rmgrlist.h has 22 of its own in
 * PostgreSQL 15 to 18 and 23 in 19, extensions number theirs from 128 on.
 * One more or less is no proof of damage, so some room is left.
 */
#define MANAGER_XLOG		0
#define MANAGER_TRANSACTION	1
#define MANAGER_TABLESPACE	5
#define MANAGER_OWN_MAX		31
#define MANAGER_CUSTOM_MIN	128

/* The high bits of xl_info; catalog/pg_control.h and access/xact.h. */
#define XLOG_INFO_MASK			0xF0
#define XLOG_SWITCH				0x40
#define XLOG_RESTORE_POINT		0x70
#define XACT_INFO_MASK			0x70
#define XACT_COMMIT				0x00
#define XACT_ABORT				0x20
#define XACT_COMMIT_PREPARED	0x30
#define XACT_ABORT_PREPARED		0x40
#define XLOG_TBLSPC_CREATE		0x00	/* commands/tablespace.h */

/* What stands before the data of a record without pages. */
#define ID_DATA_SHORT		255	/* length: 1 byte */
#define ID_DATA_LONG		254	/* length: 4 bytes */
#define ID_ORIGIN			253	/* 2 bytes follow */
#define ID_TOPLEVEL_XID		252	/* 4 bytes follow */

/* PostgreSQL counts from 2000-01-01. */
#define EPOCH_DIFFERENCE_US	INT64_C(946684800000000)

void
wa_record_header_read(const void *bytes, WaRecordHeader *header)
{
	const unsigned char *at = bytes;

	header->total_bytes = wa_get32(at + AT_TOTAL_BYTES);
	header->prev = wa_get64(at + AT_PREV);
	header->info = at[AT_INFO];
	header->resource_manager = at[AT_MANAGER];
	header->crc = wa_get32(at + AT_CRC);
}

bool
wa_record_length_valid(uint32_t total_bytes)
{
	return total_bytes >= WA_RECORD_HEADER_BYTES &&
		total_bytes <= WA_RECORD_BYTES_MAX;
}

bool
wa_record_manager_valid(uint8_t resource_manager)
{
	return resource_manager <= MANAGER_OWN_MAX ||
		resource_manager >= MANAGER_CUSTOM_MIN;
}

WaRecordKind
wa_record_kind(const WaRecordHeader *header)
{
	if (header->resource_manager == MANAGER_XLOG)
		switch (header->info & XLOG_INFO_MASK)
		{
			case XLOG_SWITCH:
				return WA_RECORD_SWITCH;
			case XLOG_RESTORE_POINT:
				return WA_RECORD_RESTORE_POINT;
			default:
				return WA_RECORD_OTHER;
		}
	if (header->resource_manager == MANAGER_TRANSACTION)
		switch (header->info & XACT_INFO_MASK)
		{
			case XACT_COMMIT:
			case XACT_ABORT:
			case XACT_COMMIT_PREPARED:
			case XACT_ABORT_PREPARED:
				return WA_RECORD_END_OF_TRANSACTION;
			default:
				return WA_RECORD_OTHER;
		}
	if (header->resource_manager == MANAGER_TABLESPACE &&
		(header->info & XLOG_INFO_MASK) == XLOG_TBLSPC_CREATE)
		return WA_RECORD_TABLESPACE;
	return WA_RECORD_OTHER;
}

size_t
wa_record_data(const void *start, size_t length)
{
	const unsigned char *bytes = start;
	size_t		at = WA_RECORD_HEADER_BYTES;

	while (at < length)
		switch (bytes[at])
		{
			case ID_ORIGIN:
				at += 1 + 2;
				break;
			case ID_TOPLEVEL_XID:
				at += 1 + 4;
				break;
			case ID_DATA_SHORT:
				return at + 1 + 1;
			case ID_DATA_LONG:
				return at + 1 + 4;
			default:
				return 0;
		}
	return 0;
}

void
wa_record_read(const void *bytes, size_t length, WaRecord *record)
{
	const unsigned char *start = bytes;
	WaRecordHeader header;
	size_t		data;
	size_t		needed = sizeof(int64_t);
	uint64_t	time;

	memset(record, 0, sizeof(*record));
	if (length < WA_RECORD_HEADER_BYTES)
		return;
	wa_record_header_read(start, &header);
	record->kind = wa_record_kind(&header);
	if (record->kind != WA_RECORD_END_OF_TRANSACTION &&
		record->kind != WA_RECORD_RESTORE_POINT)
		return;

	if (record->kind == WA_RECORD_END_OF_TRANSACTION &&
		((header.info & XACT_INFO_MASK) == XACT_COMMIT ||
		 (header.info & XACT_INFO_MASK) == XACT_ABORT))
		record->xid = wa_get32(start + AT_XID);
	data = wa_record_data(start, length);
	if (record->kind == WA_RECORD_RESTORE_POINT)
		needed += WA_RECORD_NAME_BYTES;
	if (data == 0 || data > length || length - data < needed)
	{
		record->kind = WA_RECORD_OTHER;
		return;
	}
	time = wa_get64(start + data);
	record->time_us = (int64_t) (time + (uint64_t) EPOCH_DIFFERENCE_US);
	if (record->kind == WA_RECORD_RESTORE_POINT)
	{
		const char *name = (const char *) start + data + sizeof(time);

		/* PostgreSQL leaves behind the NUL what happened to be there */
		memcpy(record->name, name, strnlen(name, sizeof(record->name) - 1));
	}
}
