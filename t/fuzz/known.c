/*
 * known.c
 *	  walarch.known: a line that is added is found, and nothing is found in
 *	  what cannot be read.
 */
#include "archive/known.h"

#include <unistd.h>

#include "fixture.h"
#include "fuzz.h"

/* libFuzzer: -max_len=4096 */

#define ID	"0123456789abcdef0123456789abcdef"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	bool		path_known;
	bool		id_known;
	WaError		err;
	WaCode		code;

	scratch();
	write_file(WA_KNOWN_FILE, data, size);
	code = wa_known_find(WA_KNOWN_FILE, "/archive", ID, &path_known, &id_known,
						 &err);
	hold(!id_known || path_known);
	if (code == WA_OK &&
		wa_known_add(WA_KNOWN_FILE, "/archive", ID, 0600, &err) == WA_OK)
	{
		code = wa_known_find(WA_KNOWN_FILE, "/archive", ID, &path_known,
							 &id_known, &err);
		hold(code == WA_OK && path_known && id_known);
	}
	return 0;
}
