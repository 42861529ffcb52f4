/*
 * walheader.h
 *	  The long page header at the start of every WAL segment.
 *
 * Layout: XLogLongPageHeaderData in src/include/access/xlog_internal.h,
 * equal from PostgreSQL 15 to 19 and compared with the headers of the server
 * that the module is compiled for.
 */
#ifndef WA_WALHEADER_H
#define WA_WALHEADER_H

#include <stdint.h>

#include "core/error.h"
#include "core/walname.h"

#define WA_WALHEADER_BYTES		40	/* of the first page of a segment */
#define WA_WALHEADER_SHORT_BYTES	24	/* of every other */
#define WA_WALHEADER_MAGIC		0	/* uint16 xlp_magic */
#define WA_WALHEADER_INFO		2	/* uint16 xlp_info */
#define WA_WALHEADER_TLI		4	/* uint32 xlp_tli */
#define WA_WALHEADER_PAGEADDR	8	/* uint64 xlp_pageaddr */
#define WA_WALHEADER_REM_LEN	16	/* uint32 xlp_rem_len */
#define WA_WALHEADER_SYSID		24	/* uint64 xlp_sysid */
#define WA_WALHEADER_SEG_SIZE	32	/* uint32 xlp_seg_size */
#define WA_WALHEADER_BLCKSZ		36	/* uint32 xlp_xlog_blcksz */
#define WA_XLP_CONTRECORD		0x0001	/* begins in the middle of a record */
#define WA_XLP_LONG_HEADER		0x0002

/*
 * The other page flags were renumbered in the development of PostgreSQL 19
 * (commit f68d7e7483 of PostgreSQL, which made the magic number 0xD11C).
 */
#define WA_XLP_OVERWRITE(magic) ((magic) >= 0xD11C ? 0x0004 : 0x0008)
#define WA_XLP_ALL_FLAGS(magic) ((magic) >= 0xD11C ? 0x0007 : 0x000F)

typedef struct WaWalHeader
{
	uint16_t	magic;
	uint16_t	info;
	uint32_t	tli;
	uint64_t	pageaddr;
	uint64_t	system_identifier;
	uint32_t	segment_bytes;
	uint32_t	block_bytes;
} WaWalHeader;

/* Read the first WA_WALHEADER_BYTES of a segment; never fails. */
extern void wa_walheader_read(const void *page, WaWalHeader *header);

/* What the first page of a file of that name should say. */
typedef struct WaWalExpect
{
	const WaWalName *name;
	uint16_t	magic;			/* 0: any magic of PostgreSQL 15 to 19 */
	uint64_t	system_identifier;	/* 0: not known, any */
	uint32_t	segment_bytes;
} WaWalExpect;

/*
 * Does a first page agree with the name it goes by?
 *
 * WA_WRONG_CLUSTER: a real header (magic and flag) of another cluster or of
 * another segment size.  WA_DAMAGED: no WAL page, or one that contradicts
 * the name.  `what` names the file in messages.
 */
extern WaCode wa_walheader_check(const WaWalHeader *header,
								 const WaWalExpect *expect,
								 const char *what, WaError *err);

#endif							/* WA_WALHEADER_H */
