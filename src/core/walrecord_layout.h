/*
 * walrecord_layout.h
 *	  Where things stand in a WAL record, and PostgreSQL's numbers for them.
 *
 * The pure layers cannot see a header of the server; where one can be seen,
 * all of these are compared with it, and a difference does not compile.
 */
#ifndef WA_WALRECORD_LAYOUT_H
#define WA_WALRECORD_LAYOUT_H

/* Offsets of XLogRecord. */
#define WA_RECORD_LENGTH_AT		0
#define WA_RECORD_XID_AT		4
#define WA_RECORD_PREV_AT		8
#define WA_RECORD_INFO_AT		16
#define WA_RECORD_MANAGER_AT	17
#define WA_RECORD_CRC_AT		20	/* the header is checksummed up to here */

/*
 * Resource managers: PostgreSQL 15 to 18 have 22 of their own and 19 has 23,
 * extensions number theirs from 128 on.  One more or less is no proof of
 * damage, so some room is left.
 */
#define WA_MANAGER_XLOG			0
#define WA_MANAGER_TRANSACTION	1
#define WA_MANAGER_TABLESPACE	5
#define WA_MANAGER_OWN_MAX		31
#define WA_MANAGER_CUSTOM_MIN	128

/* The high bits of xl_info. */
#define WA_XLOG_INFO_MASK		0xF0
#define WA_XLOG_SWITCH			0x40
#define WA_XLOG_RESTORE_POINT	0x70
#define WA_XACT_INFO_MASK		0x70
#define WA_XACT_COMMIT			0x00
#define WA_XACT_ABORT			0x20
#define WA_XACT_COMMIT_PREPARED 0x30
#define WA_XACT_ABORT_PREPARED	0x40
#define WA_XLOG_TBLSPC_CREATE	0x00

/* What stands before the data of a record without pages. */
#define WA_ID_DATA_SHORT		255 /* length: 1 byte */
#define WA_ID_DATA_LONG			254 /* length: 4 bytes */
#define WA_ID_ORIGIN			253 /* 2 bytes follow */
#define WA_ID_TOPLEVEL_XID		252 /* 4 bytes follow */

/* PostgreSQL counts microseconds from 2000-01-01. */
#define WA_EPOCH_DIFFERENCE_US	INT64_C(946684800000000)

#endif							/* WA_WALRECORD_LAYOUT_H */
