/*
 * walchain.c
 *	  Segments one after the other, as envelopes that may lie tell of them: no
 *	  record crosses where a joint is broken, and a chain can be gone on with.
 *
 * The input is fields as in an envelope; the one that says that a segment was
 * walked begins the next.
 */
#include "core/walchain.h"

#include "core/bytes.h"
#include "core/envelope_scan.h"
#include "fuzz.h"

/* libFuzzer: -max_len=2048 */

#define FIELD_HEADER	4

static void
add(WaChain *chain, const WaScanResult *result)
{
	bool		begun = chain->begun;
	WaCrossed	crossed;
	WaJoint		joint = wa_chain_add(chain, result, &crossed);

	hold((joint == WA_JOINT_FIRST) == !begun);
	hold(chain->begun);
	hold(joint == WA_JOINT_GOOD || crossed.end_lsn == 0);
	hold(joint != WA_JOINT_BROKEN || chain->reason[0] != '\0');
	hold(strnlen(chain->reason, sizeof(chain->reason)) < sizeof(chain->reason));
	hold(crossed.end_lsn == 0 || crossed.end_lsn == result->head.end_lsn);
	if (crossed.record.kind == WA_RECORD_RESTORE_POINT)
		hold(strnlen(crossed.record.name, WA_RECORD_NAME_BYTES) <
			 WA_RECORD_NAME_BYTES);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	WaScanResult result = {0};
	WaChain		chain;
	bool		walked = false;

	wa_chain_begin(&chain);
	while (size >= FIELD_HEADER)
	{
		size_t		length = wa_get16(data + 2);
		uint8_t    *exact;
		unsigned	type = wa_get16(data);

		data += FIELD_HEADER;
		size -= FIELD_HEADER;
		if (length > size)
			length = size;
		exact = (uint8_t *) fuzz_text(data, length);
		/* the first field of each is the one that tells of the walk */
		if (walked && type == 2)
		{
			add(&chain, &result);
			memset(&result, 0, sizeof(result));
			walked = false;
		}
		walked |= wa_envelope_scan_take(type, exact, length, &result);
		free(exact);
		data += length;
		size -= length;
	}
	add(&chain, &result);
	return 0;
}
