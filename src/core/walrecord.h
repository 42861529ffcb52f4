/*
 * walrecord.h
 *	  One WAL record: its header, and what some kinds of record tell.
 *
 * Layout: XLogRecord in src/include/access/xlogrecord.h, equal from
 * PostgreSQL 15 to 19.
 */
#ifndef WA_WALRECORD_H
#define WA_WALRECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/walrecord_layout.h"

#define WA_RECORD_HEADER_BYTES	24	/* SizeOfXLogRecord */
#define WA_RECORD_BYTES_MAX		(UINT32_C(1020) * 1024 * 1024)
#define WA_RECORD_NAME_BYTES	64	/* MAXFNAMELEN, with the NUL */

/*
 * As much of a record as wa_record_read needs: header, up to 13 bytes of
 * headers of the data, a time and a name.
 */
#define WA_RECORD_START_BYTES	112

typedef struct WaRecordHeader
{
	uint32_t	total_bytes;	/* without the padding behind it */
	uint64_t	prev;			/* LSN of the record before */
	uint8_t		info;
	uint8_t		resource_manager;
	uint32_t	crc;			/* of the data, then of the header before it */
} WaRecordHeader;

/* Read WA_RECORD_HEADER_BYTES; never fails. */
extern void wa_record_header_read(const void *bytes, WaRecordHeader *header);

/* Could a record be so long? */
extern bool wa_record_length_valid(uint32_t total_bytes);

/* Is it one of PostgreSQL's resource managers, or in the range of others'? */
extern bool wa_record_manager_valid(uint8_t resource_manager);

typedef enum WaRecordKind
{
	WA_RECORD_OTHER = 0,
	WA_RECORD_END_OF_TRANSACTION,	/* commit or abort, prepared ones too */
	WA_RECORD_RESTORE_POINT,
	WA_RECORD_SWITCH,			/* the rest of the segment is unused */
	WA_RECORD_TABLESPACE		/* makes one; data: its OID, and its location */
} WaRecordKind;

typedef struct WaRecord
{
	WaRecordKind kind;
	uint32_t	xid;			/* of a commit or abort; 0 for a prepared one, whose
								 * xid lies deeper */
	int64_t		time_us;		/* microseconds since 1970-01-01 UTC */
	char		name[WA_RECORD_NAME_BYTES];	/* of a restore point */
} WaRecord;

extern WaRecordKind wa_record_kind(const WaRecordHeader *header);

/*
 * Where the data of a record without pages begins, of which these are the
 * first bytes; 0: it is not such a one, or they do not go so far.
 */
extern size_t wa_record_data(const void *bytes, size_t length);

/*
 * What a record tells; bytes are its first ones, WA_RECORD_START_BYTES or
 * all of it.  WA_RECORD_OTHER when it contradicts its kind.
 */
extern void wa_record_read(const void *bytes, size_t length,
						   WaRecord *record);

#endif							/* WA_WALRECORD_H */
