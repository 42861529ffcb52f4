/*
 * walchain.c
 *	  Segments one after the other: does each begin where the one before it
 *	  ended?
 */
#include "core/walchain.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/crc32c.h"
#include "core/lsn.h"

static bool broken(WaChain *chain, const char *format,...)
			__attribute__((format(printf, 2, 3)));

static bool
broken(WaChain *chain, const char *format,...)
{
	va_list		args;

	va_start(args, format);
	vsnprintf(chain->reason, sizeof(chain->reason), format, args);
	va_end(args);
	return false;
}

void
wa_chain_begin(WaChain *chain)
{
	memset(chain, 0, sizeof(*chain));
}

/* Put the part of the record that lies in the next segment behind the rest. */
static void
extend_tail(WaScanTail *tail, const WaScanHead *head)
{
	uint32_t	kept = head->bytes < sizeof(head->start) ?
		head->bytes : (uint32_t) sizeof(head->start);
	uint32_t	apart = head->bytes < WA_SCAN_HEAD_APART ?
		head->bytes : WA_SCAN_HEAD_APART;
	uint32_t	of_header = 0;

	if (tail->bytes < sizeof(tail->start))
	{
		uint32_t	room = (uint32_t) sizeof(tail->start) - tail->bytes;

		memcpy(tail->start + tail->bytes, head->start,
			   kept < room ? kept : room);
	}
	if (tail->bytes < WA_RECORD_HEADER_BYTES)
		of_header = WA_RECORD_HEADER_BYTES - tail->bytes;
	if (of_header > apart)
		of_header = apart;
	tail->crc = wa_crc32c(tail->crc, head->start + of_header,
						  apart - of_header);
	tail->crc = wa_crc32c_combine(tail->crc, head->crc, head->bytes - apart);
	tail->bytes += head->bytes;
}

/* The record that crosses is there: is it what it should be? */
static bool
check_crossed(WaChain *chain, WaRecord *crossed)
{
	const WaScanTail *tail = &chain->tail;
	WaRecordHeader header;

	wa_record_header_read(tail->start, &header);
	if (!wa_record_manager_valid(header.resource_manager) ||
		(chain->last_lsn != 0 ? header.prev != chain->last_lsn :
		 header.prev >= tail->lsn) ||
		wa_crc32c(tail->crc, tail->start, WA_RECORD_CRC_AT) != header.crc)
		return broken(chain, "the record at " WA_LSN_FORMAT ", which goes on "
					  "from the segment before, fails its checksum",
					  WA_LSN_ARGS(tail->lsn));
	wa_record_read(tail->start,
				   tail->bytes < sizeof(tail->start) ?
				   tail->bytes : sizeof(tail->start), crossed);
	return true;
}

/*
 * Does `next` go on where the chain ends?  The chain is moved past the record
 * that crosses.
 */
static bool
check_joint(WaChain *chain, const WaScanResult *next, WaCrossed *crossed)
{
	const WaScanHead *head = &next->head;

	if (chain->stop_lsn != 0)
		return broken(chain, "the segment before it ends at " WA_LSN_FORMAT,
					  WA_LSN_ARGS(chain->stop_lsn));
	if (chain->tail.lsn != 0 && !(head->overwritten && head->due_bytes == 0))
	{
		uint32_t	due = chain->tail.total_bytes - chain->tail.bytes;

		if (head->due_bytes != due)
			return broken(chain, "the segment begins with %u bytes of a "
						  "record of which %u are missing",
						  head->due_bytes, due);
	}
	else if (head->due_bytes != 0)
		return broken(chain, "the segment begins with %u bytes of a record, "
					  "but the one before it ends with a whole one",
					  head->due_bytes);
	if (chain->tail.lsn != 0 && !head->overwritten)
	{
		extend_tail(&chain->tail, head);
		if (head->end_lsn == 0)
			return true;		/* and into the next one */
		if (!check_crossed(chain, &crossed->record))
			return false;
		crossed->end_lsn = head->end_lsn;
		chain->last_lsn = chain->tail.lsn;
	}
	chain->tail.lsn = 0;
	if (chain->last_lsn != 0 && next->first_prev != 0 &&
		next->first_prev != chain->last_lsn)
		return broken(chain, "the first record follows one at " WA_LSN_FORMAT
					  ", but the last one before it is at " WA_LSN_FORMAT,
					  WA_LSN_ARGS(next->first_prev),
					  WA_LSN_ARGS(chain->last_lsn));
	return true;
}

WaJoint
wa_chain_add(WaChain *chain, const WaScanResult *next, WaCrossed *crossed)
{
	WaJoint		joint = WA_JOINT_FIRST;
	bool		switched;
	bool		perhaps_switched;

	memset(crossed, 0, sizeof(*crossed));
	if (chain->begun)
		joint = check_joint(chain, next, crossed) ?
			WA_JOINT_GOOD : WA_JOINT_BROKEN;
	if (joint == WA_JOINT_BROKEN)
	{
		memset(crossed, 0, sizeof(*crossed));
		chain->tail.lsn = 0;
		chain->last_lsn = 0;
	}
	chain->begun = true;

	/* a segment switch can cross, too, and leaves nothing but zeros */
	switched = crossed->record.kind == WA_RECORD_SWITCH && next->records == 0;
	perhaps_switched = joint != WA_JOINT_GOOD &&
		wa_scan_perhaps_switched(next);
	chain->stop_lsn = next->end == WA_SCAN_FULL ||
		next->end == WA_SCAN_SWITCHED || switched || perhaps_switched ?
		0 : next->stop_lsn;
	if (next->last_lsn != 0)
		chain->last_lsn = next->last_lsn;
	if (next->tail.lsn != 0)
		chain->tail = next->tail;
	return joint;
}
