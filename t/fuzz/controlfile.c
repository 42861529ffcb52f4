/*
 * controlfile.c
 *	  pg_control, as it is and with its checksum made right for the version it
 *	  names: what is known has a segment size that can be.
 */
#include "core/controlfile.h"

#include "core/bytes.h"
#include "core/crc32c.h"
#include "core/walname.h"
#include "fuzz.h"

/* libFuzzer: -max_len=1024 */

static bool
check_control(const unsigned char *bytes, size_t size)
{
	WaControlFile control;
	WaError		err;

	if (wa_controlfile_parse(bytes, size, "fuzzed", &control, &err) != WA_OK)
		return false;
	hold(control.system_identifier != 0);
	if (control.known)
		hold(wa_segment_bytes_valid(control.segment_bytes));
	return control.known;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* where some version has its checksum */
	static const size_t places[] = {288, 292, 304, 308};
	unsigned char *bytes = (unsigned char *) fuzz_text(data, size);

	(void) check_control(bytes, size);
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		if (size >= places[i] + 4)
		{
			bool		known = check_control(bytes, size);

			wa_put32(bytes + places[i], wa_crc32c(0, bytes, places[i]));
			/* then it is this place that counts */
			if (!known && check_control(bytes, size))
			{
				bytes[places[i]] ^= 1;
				hold(!check_control(bytes, size));
				bytes[places[i]] ^= 1;
			}
		}
	free(bytes);
	return 0;
}
