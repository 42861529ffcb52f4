/*
 * tablespaces.c
 *	  The look for new tablespaces in a segment that is to be replayed.
 */
#include "cli/tablespaces.h"

#include <unistd.h>

#include "fixture.h"
#include "fuzz.h"
#include "wal.h"

/* libFuzzer: -max_len=20000 */

#define NAME			"000000030000000000000005"
#define SEGMENT_BYTES	(1 << 20)

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t    *bytes;
	WaError		err;
	WaCode		none;
	WaCode		empty;

	scratch();
	bytes = (uint8_t *) fuzz_text(data, size);
	wal_seal(bytes, size, UINT64_C(5) * SEGMENT_BYTES);
	write_file("segment", bytes, size);
	/* the size of the file says where its pages belong */
	hold(truncate("segment", SEGMENT_BYTES) == 0);
	hold(wa_tablespaces_check("segment", NAME, WA_TABLESPACES_ANY,
							  &err) == WA_OK);
	empty = wa_tablespaces_check("segment", NAME, WA_TABLESPACES_EMPTY, &err);
	none = wa_tablespaces_check("segment", NAME, WA_TABLESPACES_NONE, &err);
	/* the stricter rule refuses what the other does */
	hold(empty != WA_REFUSED || none == WA_REFUSED);
	free(bytes);
	return 0;
}
