/*
 * walname.h
 *	  Names of the files PostgreSQL archives, and the numbers in them.
 *
 * Source of the forms: src/include/access/xlog_internal.h.
 */
#ifndef WA_WALNAME_H
#define WA_WALNAME_H

#include <stdbool.h>
#include <stdint.h>

#include "core/error.h"

#define WA_SEGMENT_NAME_LENGTH	24	/* TTTTTTTTLLLLLLLLSSSSSSSS */
#define WA_WALNAME_BYTES		48	/* longest name is 40, plus NUL, padded */
#define WA_SEGMENT_BYTES_MIN	(UINT32_C(1) << 20)
#define WA_SEGMENT_BYTES_MAX	(UINT32_C(1) << 30)

typedef enum WaKind
{
	WA_KIND_SEGMENT = 1,		/* values are part of the object format */
	WA_KIND_PARTIAL = 2,
	WA_KIND_HISTORY = 3,
	WA_KIND_BACKUP = 4
} WaKind;

typedef struct WaWalName
{
	WaKind		kind;
	uint32_t	tli;
	uint32_t	log;			/* middle eight digits; 0 for .history */
	uint32_t	seg;			/* last eight digits; 0 for .history */
	uint32_t	backup_offset;	/* of .backup only */
	char		text[WA_WALNAME_BYTES];
} WaWalName;

/*
 * Take a name apart.  WA_INVALID for anything PostgreSQL would not archive:
 * lower-case digits, slashes, other suffixes, timeline 0.
 */
extern WaCode wa_walname_parse(const char *text, WaWalName *name,
							   WaError *err);

/*
 * The WAL file that a file of pg_wal/archive_status says is to be archived
 * ("NAME.ready"); false for any other.
 */
extern bool wa_walname_ready(const char *status_file, WaWalName *name);

/* PostgreSQL's order of archiving: histories first, then by name. */
extern bool wa_walname_archived_before(const WaWalName *name,
									   const WaWalName *other);

/* A power of two from 1 MB to 1 GB. */
extern bool wa_segment_bytes_valid(uint64_t segment_bytes);

/*
 * Segment number of a segment, .partial or .backup name.  WA_INVALID when
 * the last eight digits cannot occur with segments of that size.
 */
extern WaCode wa_walname_segno(const WaWalName *name, uint32_t segment_bytes,
							   uint64_t *segno, WaError *err);

/* Write the 24 digits and a NUL into text (WA_WALNAME_BYTES). */
extern void wa_segment_name(char *text, uint32_t tli, uint64_t segno,
							uint32_t segment_bytes);

/* Write "TTTTTTTT.history". */
extern void wa_history_name(char *text, uint32_t tli);

#endif							/* WA_WALNAME_H */
