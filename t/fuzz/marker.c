/*
 * marker.c
 *	  archive.id: what is accepted comes back when written again.
 */
#include "core/marker.h"

#include "core/walname.h"
#include "fuzz.h"

/* libFuzzer: -max_len=8300 */

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char	   *text = fuzz_text(data, size);
	char		buffer[WA_MARKER_BYTES_MAX];
	WaMarker	marker;
	WaMarker	again;
	WaError		err;
	size_t		length;

	if (wa_marker_parse(text, size, "fuzzed", &marker, &err) == WA_OK)
	{
		hold(marker.system_identifier != 0);
		hold(wa_segment_bytes_valid(marker.segment_bytes));
		length = wa_marker_format(&marker, buffer);
		hold(length < sizeof(buffer));
		hold(wa_marker_parse(buffer, length, "again", &again, &err) == WA_OK);
		hold(memcmp(&again, &marker, sizeof(marker)) == 0);
	}
	free(text);
	return 0;
}
