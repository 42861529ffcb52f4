/*
 * walscan.c
 *	  The walk over a segment, and the joint of two: the same result in pieces
 *	  of any size, within the segment, and the same after an envelope kept it.
 */
#include "core/walscan.h"

#include "core/envelope_scan.h"
#include "core/bytes.h"
#include "core/walchain.h"
#include "core/walheader.h"
#include "fuzz.h"
#include "wal.h"

/* libFuzzer: -max_len=20000 */

#define SEGMENT_BYTES	(UINT32_C(1) << 20)
#define NAME			"000000030000000000000005"
#define LSN				(UINT64_C(5) * SEGMENT_BYTES)

static uint64_t told;

static void
count(void *arg, const WaRecord *record, uint64_t lsn, uint64_t end_lsn)
{
	hold(lsn < end_lsn);
	hold(lsn >= LSN && end_lsn <= LSN + SEGMENT_BYTES);
	told++;
}

static WaScanResult
scan_bytes(const uint8_t *bytes, size_t size, size_t piece, uint16_t magic)
{
	WaWalName	name;
	WaScan	   *scan;
	WaScanResult result;
	WaError		err;

	hold(wa_walname_parse(NAME, &name, &err) == WA_OK);
	scan = wa_scan_open(&name, SEGMENT_BYTES, magic);
	hold(scan != NULL);
	told = 0;
	wa_scan_watch(scan, count, NULL);
	for (size_t at = 0; at < size; at += piece)
		wa_scan_feed(scan, bytes + at, size - at < piece ? size - at : piece);
	result = *wa_scan_finish(scan);
	wa_scan_close(scan);
	return result;
}

static void
check_result(const WaScanResult *result)
{
	hold(result->end >= WA_SCAN_FULL && result->end <= WA_SCAN_DAMAGED);
	hold(result->used_bytes <= SEGMENT_BYTES);
	hold(result->records * 24 <= SEGMENT_BYTES);
	hold(result->transactions <= told);
	hold(result->transactions == 0 || result->earliest_us <= result->latest_us);
	hold(result->first_lsn == 0 ||
		 (result->first_lsn >= LSN && result->first_lsn < LSN + SEGMENT_BYTES));
	hold(result->last_lsn == 0 ||
		 (result->last_lsn >= LSN && result->last_lsn < LSN + SEGMENT_BYTES));
	hold(strlen(result->reason) < sizeof(result->reason));
	for (uint32_t i = 0; i < result->points_count && i < WA_SCAN_POINTS_MAX; i++)
		hold(strlen(result->points[i].name) < WA_RECORD_NAME_BYTES &&
			 result->points[i].lsn > LSN);
}

/* Written into fields and read from them, and written once more. */
static void
check_envelope(const WaScanResult *result)
{
	unsigned char first[WA_ENVELOPE_SCAN_BYTES_MAX];
	unsigned char second[WA_ENVELOPE_SCAN_BYTES_MAX];
	size_t		length = wa_envelope_scan_encode(result, first);
	WaScanResult again = {0};
	bool		walked = false;

	hold(length <= sizeof(first));
	for (size_t at = 0; at < length; at += 4 + wa_get16(first + at + 2))
		walked |= wa_envelope_scan_take(wa_get16(first + at), first + at + 4,
										wa_get16(first + at + 2), &again);
	hold(walked);
	hold(wa_envelope_scan_encode(&again, second) == length);
	hold(memcmp(first, second, length) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct
	{
		uint8_t		flags;
		uint8_t		piece;
		uint16_t	cut;
	}			steer;
	uint8_t    *bytes;
	uint16_t	magic;
	WaScanResult whole;
	WaScanResult again;
	WaChain		chain;
	WaCrossed	crossed;

	fuzz_take(&data, &size, &steer, sizeof(steer));
	bytes = (uint8_t *) fuzz_text(data, size);
	if ((steer.flags & 1) != 0)
		wal_seal(bytes, size, LSN);
	/* one byte may be wrong again */
	if ((steer.flags & 2) != 0 && steer.cut < size)
		bytes[steer.cut] ^= 0x10;
	magic = (steer.flags & 4) != 0 && size >= 2 ?
		(uint16_t) wa_get16(bytes) : 0;

	whole = scan_bytes(bytes, size, size + 1, magic);
	check_result(&whole);
	check_envelope(&whole);
	again = scan_bytes(bytes, size, (size_t) steer.piece * 37 + 1, magic);
	hold(memcmp(&again, &whole, sizeof(whole)) == 0);

	wa_chain_begin(&chain);
	hold(wa_chain_add(&chain, &whole, &crossed) == WA_JOINT_FIRST);
	/* what is cut there goes on in the other part */
	if (steer.cut < size)
	{
		again = scan_bytes(bytes + steer.cut, size - steer.cut, size, magic);
		check_result(&again);
		(void) wa_chain_add(&chain, &again, &crossed);
		(void) wa_chain_add(&chain, &whole, &crossed);
	}
	hold(strlen(chain.reason) < sizeof(chain.reason));
	(void) wa_scan_ends_early(&whole);
	(void) wa_scan_perhaps_switched(&whole);
	free(bytes);
	return 0;
}
