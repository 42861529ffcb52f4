/*
 * walscan.h
 *	  A walk over every page and record of a WAL segment.
 *
 * What a page and a record must look like: XLogReaderValidatePageHeader()
 * and XLogDecodeNextRecord() in src/backend/access/transam/xlogreader.c.
 *
 *	wa_scan_open, wa_scan_feed ..., wa_scan_finish, wa_scan_close
 *
 * Nothing is believed and nothing can make it fail: whatever the bytes are,
 * there is a result.
 */
#ifndef WA_WALSCAN_H
#define WA_WALSCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/walname.h"
#include "core/walrecord.h"

#define WA_SCAN_REASON_BYTES	120
#define WA_SCAN_POINTS_MAX		24	/* restore points kept of one segment */

/* How the WAL in a segment ends. */
typedef enum WaScanEnd
{
	WA_SCAN_FULL = 1,			/* values are part of the object format */
	WA_SCAN_SWITCHED,			/* by a segment switch; the rest is unused */
	WA_SCAN_EARLY,				/* the rest is zeros, or older WAL */
	WA_SCAN_TORN,				/* the same, in the middle of a record */
	WA_SCAN_DAMAGED				/* there is more of it behind the place */
} WaScanEnd;

typedef struct WaRestorePoint
{
	uint64_t	lsn;			/* its end, as PostgreSQL gives it */
	int64_t		time_us;		/* microseconds since 1970-01-01 UTC */
	char		name[WA_RECORD_NAME_BYTES];
} WaRestorePoint;

/* The first part of a record that goes on behind the segment. */
typedef struct WaScanTail
{
	uint64_t	lsn;			/* where the record begins; 0: there is none */
	uint32_t	total_bytes;
	uint32_t	bytes;			/* of it that are here */
	uint32_t	crc;			/* of its data that are here */
	unsigned char start[WA_RECORD_START_BYTES];
} WaScanTail;

/* The part of an earlier segment's record that lies in this one. */
#define WA_SCAN_HEAD_APART		16

typedef struct WaScanHead
{
	uint32_t	due_bytes;		/* by the first page; 0: there is none */
	uint32_t	bytes;			/* of them that are here */
	uint32_t	crc;			/* of those behind WA_SCAN_HEAD_APART */
	uint64_t	end_lsn;		/* of the record, aligned; 0: it goes on */
	bool		overwritten;	/* that record was given up by a crash */
	unsigned char start[WA_RECORD_START_BYTES];
} WaScanHead;

typedef struct WaScanResult
{
	WaScanEnd	end;
	uint64_t	end_lsn;		/* of the last whole record, aligned */
	uint32_t	used_bytes;		/* up to there, or to where a record that
								 * began earlier is cut; all when it is full */
	bool		unused_zero;	/* what follows is nothing but zeros */

	uint64_t	records;		/* that begin and end here */
	uint64_t	first_lsn;		/* of the first record that begins here, or 0 */
	uint64_t	first_prev;		/* its link to the record before */
	uint64_t	last_lsn;		/* of the last whole one that does, or 0 */

	uint64_t	transactions;	/* commits and aborts */
	int64_t		earliest_us;	/* of them; 0 when there is none */
	int64_t		latest_us;
	uint32_t	points_count;	/* may be more than are kept */
	WaRestorePoint points[WA_SCAN_POINTS_MAX];

	WaScanHead	head;
	WaScanTail	tail;

	uint64_t	stop_lsn;		/* of an early end: the first place not WAL */
	char		reason[WA_SCAN_REASON_BYTES];	/* and what is wrong there */
} WaScanResult;

/*
 * It may have been a segment switch that began in the segment before: a
 * record that is only a header leaves nothing here but its rest and zeros.
 */
extern bool wa_scan_perhaps_switched(const WaScanResult *result);

/* WAL that ends before the segment does, and by no switch. */
extern bool wa_scan_ends_early(const WaScanResult *result);

typedef struct WaScan WaScan;

/*
 * A segment or .partial of this name; magic is that of its pages, 0 when it
 * is not known.  NULL when out of memory, or for another kind of file.
 */
extern WaScan *wa_scan_open(const WaWalName *name, uint32_t segment_bytes,
							uint16_t magic);

/*
 * Have each commit, abort and new tablespace told that lies whole in the
 * segment, with the LSNs of its start and end, in order.  Before the first
 * byte.
 */
typedef void (*WaScanFn) (void *arg, const WaRecord *record, uint64_t lsn,
						  uint64_t end_lsn);
extern void wa_scan_watch(WaScan *scan, WaScanFn each, void *arg);

/* The next bytes of it, in pieces of any size. */
extern void wa_scan_feed(WaScan *scan, const void *data, size_t length);

/* After the last byte.  The result belongs to the scan. */
extern const WaScanResult *wa_scan_finish(WaScan *scan);

/* Safe on NULL. */
extern void wa_scan_close(WaScan *scan);

#endif							/* WA_WALSCAN_H */
