/*
 * walscan.c
 *	  A walk over every page and record of a WAL segment.
 */
#include "core/walscan.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "core/crc32c.h"
#include "core/lsn.h"
#include "core/walheader.h"

#define BLOCK_BYTES_MIN		1024	/* what PostgreSQL can be built with */
#define BLOCK_BYTES_MAX		65536
#define BLOCK_BYTES_USUAL	8192

#define MAGIC_FAMILY		0xD1

/* A record of which a part has been seen. */
typedef struct OpenRecord
{
	bool		open;
	uint64_t	lsn;
	uint32_t	total_bytes;
	uint32_t	bytes;
	uint32_t	crc;			/* of the data so far */
	WaRecordHeader header;		/* once so many bytes are there */
	unsigned char start[WA_RECORD_START_BYTES];
} OpenRecord;

struct WaScan
{
	WaScanResult result;
	uint64_t	segment_lsn;
	uint32_t	segment_bytes;
	uint32_t	tli_max;		/* of the name */

	uint32_t	block_bytes;	/* 0: first page not seen */
	uint32_t	offset;			/* of the page in work */
	uint16_t	magic;
	uint32_t	tli;			/* of the last page */

	uint32_t	head_left;		/* of an earlier segment's record */
	OpenRecord	record;

	bool		switched;
	bool		stopped;
	bool		torn;			/* a real record is cut there */
	bool		alive;			/* there is WAL of this segment behind it */
	bool		unused_nonzero;

	WaScanFn	each;			/* NULL: nobody watches */
	void	   *each_arg;

	uint32_t	carried;
	unsigned char carry[BLOCK_BYTES_MAX];
};

static void stop(WaScan *scan, uint64_t lsn, const char *format,...)
			__attribute__((format(printf, 3, 4)));

static void
stop(WaScan *scan, uint64_t lsn, const char *format,...)
{
	va_list		args;

	scan->stopped = true;
	scan->result.stop_lsn = lsn;
	va_start(args, format);
	vsnprintf(scan->result.reason, sizeof(scan->result.reason), format, args);
	va_end(args);
}

static bool
all_zero(const unsigned char *bytes, size_t length)
{
	return length == 0 ||
		(bytes[0] == 0 && memcmp(bytes, bytes + 1, length - 1) == 0);
}

static uint32_t
page_header_bytes(const WaScan *scan)
{
	return scan->offset == 0 ? WA_WALHEADER_BYTES : WA_WALHEADER_SHORT_BYTES;
}

/* What is wrong with the header of the page in work?  NULL: nothing. */
static const char *
page_fault(const WaScan *scan, const unsigned char *page)
{
	unsigned	magic = wa_get16(page + WA_WALHEADER_MAGIC);
	unsigned	info = wa_get16(page + WA_WALHEADER_INFO);
	uint32_t	tli = wa_get32(page + WA_WALHEADER_TLI);

	if (scan->magic != 0 ? magic != scan->magic : magic >> 8 != MAGIC_FAMILY)
		return "no WAL page";
	if (wa_get64(page + WA_WALHEADER_PAGEADDR) !=
		scan->segment_lsn + scan->offset)
		return "a page of another place";
	if ((info & ~WA_XLP_ALL_FLAGS(scan->magic)) != 0 ||
		((info & WA_XLP_LONG_HEADER) != 0) != (scan->offset == 0))
		return "a page with wrong flags";
	if (tli < scan->tli || tli > scan->tli_max)
		return "a page of another timeline";
	return NULL;
}

/* What a record tells is noted when all of it is proven. */
static void
note_record(WaScan *scan, const unsigned char *start, size_t length,
			uint64_t lsn, uint64_t end_lsn)
{
	WaScanResult *result = &scan->result;
	WaRecord	record;

	wa_record_read(start, length, &record);
	switch (record.kind)
	{
		/* not reached: nobody notes them */
		case WA_RECORD_OTHER:
			break;
		case WA_RECORD_SWITCH:
			scan->switched = true;
			break;
		case WA_RECORD_END_OF_TRANSACTION:
			if (result->transactions == 0 ||
				record.time_us < result->earliest_us)
				result->earliest_us = record.time_us;
			if (result->transactions == 0 ||
				record.time_us > result->latest_us)
				result->latest_us = record.time_us;
			result->transactions++;
			if (scan->each != NULL)
				scan->each(scan->each_arg, &record, lsn, end_lsn);
			break;
		case WA_RECORD_RESTORE_POINT:
			if (result->points_count < WA_SCAN_POINTS_MAX)
			{
				WaRestorePoint *point = &result->points[result->points_count];

				point->lsn = end_lsn;
				point->time_us = record.time_us;
				memcpy(point->name, record.name, sizeof(point->name));
			}
			result->points_count++;
			break;
		case WA_RECORD_TABLESPACE:
			if (scan->each != NULL)
				scan->each(scan->each_arg, &record, lsn, end_lsn);
			break;
	}
}

static void
reach(WaScan *scan, uint32_t offset)
{
	scan->result.used_bytes = offset;
	scan->result.end_lsn = scan->segment_lsn + offset;
}

/*
 * A whole record, its data checksummed: is it what it should be?  `offset`
 * is where the next one begins.
 */
static bool
end_record(WaScan *scan, uint64_t lsn, const WaRecordHeader *header,
		   uint32_t data_crc, const unsigned char *start, size_t length,
		   uint32_t offset)
{
	if (wa_crc32c(data_crc, start, WA_RECORD_CRC_AT) != header->crc)
	{
		scan->torn = true;
		stop(scan, lsn, "the record there fails its checksum");
		return false;
	}
	scan->result.records++;
	scan->result.last_lsn = lsn;
	reach(scan, offset);
	if (wa_record_kind(header) != WA_RECORD_OTHER)
		note_record(scan, start, length, lsn, scan->segment_lsn + offset);
	return true;
}

/* Is this the header of a record at that place? */
static bool
check_header(WaScan *scan, uint64_t lsn, const WaRecordHeader *header)
{
	if (!wa_record_manager_valid(header->resource_manager))
	{
		stop(scan, lsn, "no record is there: resource manager %u",
			 header->resource_manager);
		return false;
	}
	if (scan->result.last_lsn != 0 ?
		header->prev != scan->result.last_lsn : header->prev >= lsn)
	{
		stop(scan, lsn, "no record is there: it would follow one at "
			 WA_LSN_FORMAT, WA_LSN_ARGS(header->prev));
		return false;
	}
	return true;
}

static void
note_begin(WaScan *scan, uint64_t lsn, uint64_t prev)
{
	if (scan->result.first_lsn == 0)
	{
		scan->result.first_lsn = lsn;
		scan->result.first_prev = prev;
	}
}

/* Take the next part of the record that goes on. */
static bool
add_part(WaScan *scan, const unsigned char *part, uint32_t length)
{
	OpenRecord *record = &scan->record;
	uint32_t	header_part = 0;

	if (record->bytes < sizeof(record->start))
	{
		uint32_t	room = (uint32_t) sizeof(record->start) - record->bytes;

		memcpy(record->start + record->bytes, part,
			   length < room ? length : room);
	}
	if (record->bytes < WA_RECORD_HEADER_BYTES)
	{
		header_part = WA_RECORD_HEADER_BYTES - record->bytes;
		if (header_part > length)
			header_part = length;
	}
	record->bytes += length;
	record->crc = wa_crc32c(record->crc, part + header_part,
							length - header_part);
	if (header_part > 0 && record->bytes >= WA_RECORD_HEADER_BYTES)
	{
		wa_record_header_read(record->start, &record->header);
		if (!check_header(scan, record->lsn, &record->header))
			return false;
		note_begin(scan, record->lsn, record->header.prev);
	}
	return true;
}

/*
 * The page in work begins inside a record.  Returns where the records that
 * begin on it stand; the end of the page when none does.
 */
static uint32_t
continue_record(WaScan *scan, const unsigned char *page, uint32_t due)
{
	OpenRecord *record = &scan->record;
	uint32_t	at = page_header_bytes(scan);
	uint32_t	room = scan->block_bytes - at;
	uint32_t	part = due < room ? due : room;
	uint32_t	next;

	if (record->open)
	{
		if (!add_part(scan, page + at, part))
			return scan->block_bytes;
	}
	else
	{
		WaScanHead *head = &scan->result.head;
		uint32_t	apart = 0;

		if (head->bytes < sizeof(head->start))
		{
			uint32_t	start_room = (uint32_t) sizeof(head->start) - head->bytes;

			memcpy(head->start + head->bytes, page + at,
				   part < start_room ? part : start_room);
		}
		if (head->bytes < WA_SCAN_HEAD_APART)
			apart = WA_SCAN_HEAD_APART - head->bytes;
		if (apart > part)
			apart = part;
		head->crc = wa_crc32c(head->crc, page + at + apart, part - apart);
		head->bytes += part;
	}
	if (part < due)
	{
		scan->head_left = record->open ? 0 : due - part;
		return scan->block_bytes;
	}

	next = (uint32_t) wa_lsn_align(at + part);
	if (!record->open)
	{
		scan->head_left = 0;
		reach(scan, scan->offset + next);
		scan->result.head.end_lsn = scan->result.end_lsn;
		return next;
	}
	record->open = false;
	if (!end_record(scan, record->lsn, &record->header, record->crc,
					record->start,
					record->bytes < sizeof(record->start) ?
					record->bytes : sizeof(record->start),
					scan->offset + next))
		return scan->block_bytes;
	return next;
}

/*
 * How much of a record is due on the page in work by its header, against
 * what is due by the pages before it.  False: they do not fit together.
 */
static bool
check_continuation(WaScan *scan, const unsigned char *page, uint32_t *due)
{
	unsigned	info = wa_get16(page + WA_WALHEADER_INFO);
	uint32_t	left = scan->record.open ?
		scan->record.total_bytes - scan->record.bytes : scan->head_left;

	*due = 0;
	if ((info & WA_XLP_CONTRECORD) != 0)
	{
		*due = wa_get32(page + WA_WALHEADER_REM_LEN);
		if (*due == 0 || *due > WA_RECORD_BYTES_MAX)
			return false;
	}
	else if ((info & WA_XLP_OVERWRITE(scan->magic)) != 0)
	{
		/* a crash cut the record, and another was written in its place */
		if (scan->record.open)
		{
			scan->record.open = false;
			if (scan->result.first_lsn == scan->record.lsn)
				scan->result.first_lsn = 0;
		}
		else if (scan->offset == 0 || scan->head_left > 0)
			scan->result.head.overwritten = true;
		scan->head_left = 0;
		return true;
	}
	if (scan->offset == 0)
	{
		scan->result.head.due_bytes = *due;
		return true;
	}
	return *due == left;
}

/* Walk the records that begin on the page in work, from `at` on. */
static void
walk_records(WaScan *scan, const unsigned char *page, uint32_t at)
{
	while (at < scan->block_bytes && !scan->switched && !scan->stopped)
	{
		uint32_t	room = scan->block_bytes - at;
		uint64_t	lsn = scan->segment_lsn + scan->offset + at;
		uint32_t	total_bytes = wa_get32(page + at);
		WaRecordHeader header;

		if (!wa_record_length_valid(total_bytes))
		{
			stop(scan, lsn, "no record is there: length %u", total_bytes);
			return;
		}
		if (total_bytes > room)
		{
			memset(&scan->record, 0, sizeof(scan->record));
			scan->record.open = true;
			scan->record.lsn = lsn;
			scan->record.total_bytes = total_bytes;
			add_part(scan, page + at, room);
			return;
		}
		wa_record_header_read(page + at, &header);
		if (!check_header(scan, lsn, &header))
			return;
		note_begin(scan, lsn, header.prev);
		if (!end_record(scan, lsn, &header,
						wa_crc32c(0, page + at + WA_RECORD_HEADER_BYTES,
								  total_bytes - WA_RECORD_HEADER_BYTES),
						page + at, total_bytes,
						scan->offset + (uint32_t) wa_lsn_align(at + total_bytes)))
			return;
		at = (uint32_t) wa_lsn_align(at + total_bytes);
	}
}

/*
 * The walk has stopped on this page.  A whole record behind that place, and
 * linked to one in this segment at or behind it, shows that WAL goes on: it
 * cannot be a remainder of what the file held before it was recycled.
 */
static bool
goes_on(const WaScan *scan, const unsigned char *page, uint64_t stop_lsn)
{
	uint32_t	at = page_header_bytes(scan);

	for (; at + WA_RECORD_HEADER_BYTES <= scan->block_bytes; at += 8)
	{
		uint64_t	lsn = scan->segment_lsn + scan->offset + at;
		WaRecordHeader header;

		if (lsn <= stop_lsn)
			continue;
		wa_record_header_read(page + at, &header);
		if (wa_record_length_valid(header.total_bytes) &&
			header.total_bytes <= scan->block_bytes - at &&
			wa_record_manager_valid(header.resource_manager) &&
			header.prev >= scan->result.last_lsn && header.prev < lsn &&
			header.prev >= scan->segment_lsn &&
			wa_crc32c(wa_crc32c(0, page + at + WA_RECORD_HEADER_BYTES,
								header.total_bytes - WA_RECORD_HEADER_BYTES),
					  page + at, WA_RECORD_CRC_AT) == header.crc)
			return true;
	}
	return false;
}

/* Walk the page in work. */
static void
walk_page(WaScan *scan, const unsigned char *page)
{
	const char *fault = page_fault(scan, page);
	uint32_t	at = page_header_bytes(scan);
	uint64_t	place = scan->record.open ? scan->record.lsn :
		scan->segment_lsn + scan->offset;
	uint32_t	due;

	if (fault != NULL)
	{
		/* what went on there was a record only if its header was whole */
		scan->torn = scan->head_left > 0 || (scan->record.open &&
			scan->record.bytes >= WA_RECORD_HEADER_BYTES);
		if (scan->head_left > 0)
			scan->result.used_bytes = scan->offset;
		stop(scan, place, "%s at " WA_LSN_FORMAT, fault,
			 WA_LSN_ARGS(scan->segment_lsn + scan->offset));
		return;
	}
	scan->magic = (uint16_t) wa_get16(page + WA_WALHEADER_MAGIC);
	scan->tli = wa_get32(page + WA_WALHEADER_TLI);
	if (!check_continuation(scan, page, &due))
	{
		scan->alive = true;		/* the page itself is in its place */
		stop(scan, place, "the page at " WA_LSN_FORMAT
			 " does not go on where the one before it ended",
			 WA_LSN_ARGS(scan->segment_lsn + scan->offset));
		return;
	}
	if (due > 0)
		at = continue_record(scan, page, due);
	if (!scan->stopped)
		walk_records(scan, page, at);
}

static void
take_page(WaScan *scan, const unsigned char *page)
{
	bool		was_stopped = scan->stopped;
	uint32_t	used = 0;

	if (scan->offset >= scan->segment_bytes)
		return;					/* longer than a segment: not ours to judge */
	if (!scan->stopped && !scan->switched)
		walk_page(scan, page);
	else if (!scan->switched && page_fault(scan, page) == NULL)
		scan->alive = true;
	if (scan->stopped && !was_stopped && !scan->alive)
		scan->alive = goes_on(scan, page, scan->result.stop_lsn);

	if (scan->stopped || scan->switched)
	{
		if (scan->result.used_bytes > scan->offset)
			used = scan->result.used_bytes - scan->offset;
		if (used < scan->block_bytes &&
			!all_zero(page + used, scan->block_bytes - used))
			scan->unused_nonzero = true;
	}
	scan->offset += scan->block_bytes;
}

WaScan *
wa_scan_open(const WaWalName *name, uint32_t segment_bytes, uint16_t magic)
{
	WaScan	   *scan;
	WaError		err;
	uint64_t	segno;

	if ((name->kind != WA_KIND_SEGMENT && name->kind != WA_KIND_PARTIAL) ||
		wa_walname_segno(name, segment_bytes, &segno, &err) != WA_OK)
		return NULL;
	scan = malloc(sizeof(*scan));
	if (scan == NULL)
		return NULL;
	memset(scan, 0, offsetof(WaScan, carry));
	scan->segment_lsn = segno * segment_bytes;
	scan->segment_bytes = segment_bytes;
	scan->tli_max = name->tli;
	scan->magic = magic;
	scan->tli = 1;
	return scan;
}

void
wa_scan_watch(WaScan *scan, WaScanFn each, void *arg)
{
	scan->each = each;
	scan->each_arg = arg;
}

void
wa_scan_feed(WaScan *scan, const void *data, size_t length)
{
	const unsigned char *bytes = data;

	while (length > 0)
	{
		uint32_t	wanted = scan->block_bytes != 0 ?
			scan->block_bytes : WA_WALHEADER_BYTES;

		if (scan->carried == 0 && scan->block_bytes != 0 && length >= wanted)
		{
			take_page(scan, bytes);
			bytes += wanted;
			length -= wanted;
			continue;
		}
		if (wanted - scan->carried > length)
			wanted = scan->carried + (uint32_t) length;
		memcpy(scan->carry + scan->carried, bytes, wanted - scan->carried);
		bytes += wanted - scan->carried;
		length -= wanted - scan->carried;
		scan->carried = wanted;

		if (scan->block_bytes == 0 && scan->carried == WA_WALHEADER_BYTES)
		{
			uint32_t	block = wa_get32(scan->carry + WA_WALHEADER_BLCKSZ);

			if (block < BLOCK_BYTES_MIN || block > BLOCK_BYTES_MAX ||
				(block & (block - 1)) != 0)
				block = BLOCK_BYTES_USUAL;
			scan->block_bytes = block;
		}
		else if (scan->carried == scan->block_bytes)
		{
			take_page(scan, scan->carry);
			scan->carried = 0;
		}
	}
}

/* The record that goes on behind the segment. */
static void
keep_tail(WaScan *scan)
{
	const OpenRecord *record = &scan->record;
	WaScanTail *tail = &scan->result.tail;

	tail->lsn = record->lsn;
	tail->total_bytes = record->total_bytes;
	tail->bytes = record->bytes;
	tail->crc = record->crc;
	memcpy(tail->start, record->start, sizeof(tail->start));
	if (scan->result.first_lsn == 0)
		scan->result.first_lsn = record->lsn;	/* its link is in the next */
}

const WaScanResult *
wa_scan_finish(WaScan *scan)
{
	WaScanResult *result = &scan->result;

	if (scan->offset < scan->segment_bytes && !scan->stopped)
		stop(scan, scan->segment_lsn + scan->offset, "the file ends");
	result->unused_zero = !scan->unused_nonzero;
	if (scan->stopped)
		result->end = scan->alive ? WA_SCAN_DAMAGED :
			scan->torn ? WA_SCAN_TORN : WA_SCAN_EARLY;
	else if (scan->switched)
		result->end = WA_SCAN_SWITCHED;
	else
	{
		result->end = WA_SCAN_FULL;
		result->used_bytes = scan->segment_bytes;
		if (scan->record.open)
			keep_tail(scan);
	}
	return result;
}

bool
wa_scan_perhaps_switched(const WaScanResult *result)
{
	return result->head.end_lsn != 0 && result->records == 0 &&
		result->head.due_bytes < WA_RECORD_HEADER_BYTES &&
		result->unused_zero;
}

bool
wa_scan_ends_early(const WaScanResult *result)
{
	return (result->end == WA_SCAN_EARLY || result->end == WA_SCAN_TORN) &&
		!wa_scan_perhaps_switched(result);
}

void
wa_scan_close(WaScan *scan)
{
	free(scan);
}
