/*
 * walrecord.c
 *	  One WAL record: its header, and what some kinds of record tell.
 */
#include "core/walrecord.h"

#include <string.h>

#include "core/bytes.h"

void
wa_record_header_read(const void *bytes, WaRecordHeader *header)
{
	const unsigned char *at = bytes;

	header->total_bytes = wa_get32(at + WA_RECORD_LENGTH_AT);
	header->prev = wa_get64(at + WA_RECORD_PREV_AT);
	header->info = at[WA_RECORD_INFO_AT];
	header->resource_manager = at[WA_RECORD_MANAGER_AT];
	header->crc = wa_get32(at + WA_RECORD_CRC_AT);
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
	return resource_manager <= WA_MANAGER_OWN_MAX ||
		resource_manager >= WA_MANAGER_CUSTOM_MIN;
}

WaRecordKind
wa_record_kind(const WaRecordHeader *header)
{
	if (header->resource_manager == WA_MANAGER_XLOG)
		switch (header->info & WA_XLOG_INFO_MASK)
		{
			case WA_XLOG_SWITCH:
				return WA_RECORD_SWITCH;
			case WA_XLOG_RESTORE_POINT:
				return WA_RECORD_RESTORE_POINT;
			default:
				return WA_RECORD_OTHER;
		}
	if (header->resource_manager == WA_MANAGER_TRANSACTION)
		switch (header->info & WA_XACT_INFO_MASK)
		{
			case WA_XACT_COMMIT:
			case WA_XACT_ABORT:
			case WA_XACT_COMMIT_PREPARED:
			case WA_XACT_ABORT_PREPARED:
				return WA_RECORD_END_OF_TRANSACTION;
			default:
				return WA_RECORD_OTHER;
		}
	if (header->resource_manager == WA_MANAGER_TABLESPACE &&
		(header->info & WA_XLOG_INFO_MASK) == WA_XLOG_TBLSPC_CREATE)
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
			case WA_ID_ORIGIN:
				at += 1 + 2;
				break;
			case WA_ID_TOPLEVEL_XID:
				at += 1 + 4;
				break;
			case WA_ID_DATA_SHORT:
				return at + 1 + 1;
			case WA_ID_DATA_LONG:
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
		((header.info & WA_XACT_INFO_MASK) == WA_XACT_COMMIT ||
		 (header.info & WA_XACT_INFO_MASK) == WA_XACT_ABORT))
		record->xid = wa_get32(start + WA_RECORD_XID_AT);
	data = wa_record_data(start, length);
	if (record->kind == WA_RECORD_RESTORE_POINT)
		needed += WA_RECORD_NAME_BYTES;
	if (data == 0 || data > length || length - data < needed)
	{
		record->kind = WA_RECORD_OTHER;
		return;
	}
	time = wa_get64(start + data);
	record->time_us = (int64_t) (time + (uint64_t) WA_EPOCH_DIFFERENCE_US);
	if (record->kind == WA_RECORD_RESTORE_POINT)
	{
		const char *name = (const char *) start + data + sizeof(time);

		/* PostgreSQL leaves behind the NUL what happened to be there */
		memcpy(record->name, name, strnlen(name, sizeof(record->name) - 1));
	}
}
