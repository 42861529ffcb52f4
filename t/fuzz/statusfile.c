/*
 * statusfile.c
 *	  The status file, as it is and with its checksum made right: strings end
 *	  within their fields, and it comes back when written again.
 */
#include "core/statusfile.h"

#include "core/bytes.h"
#include "core/crc32c.h"
#include "fuzz.h"

/* libFuzzer: -max_len=7000 */

#define HEADER	16

static void
check_status(const unsigned char *bytes, size_t size)
{
	unsigned char buffer[WA_STATUSFILE_BYTES];
	WaStatus	status;
	WaStatus	again;
	WaError		err;

	if (wa_statusfile_decode(bytes, size, "fuzzed", &status, &err) != WA_OK)
		return;
	hold(size == WA_STATUSFILE_BYTES);
	hold(strlen(status.last_error) < sizeof(status.last_error));
	hold(strlen(status.archive) < sizeof(status.archive));
	hold(strlen(status.archive_id) < sizeof(status.archive_id));
	hold(strlen(status.last_damage) < sizeof(status.last_damage));
	hold(strlen(status.token) < sizeof(status.token));
	for (int i = 0; i < WA_STATUS_SUSPECTS_MAX; i++)
		hold(strlen(status.suspect_keys[i]) < WA_STATUS_KEY_BYTES);
	wa_statusfile_encode(&status, buffer);
	hold(wa_statusfile_decode(buffer, sizeof(buffer), "again", &again,
							  &err) == WA_OK);
	hold(memcmp(&again, &status, sizeof(status)) == 0);
	wa_status_subtract(&again, &status);
	hold(again.archived_count == 0 && again.store_us == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned char *bytes = (unsigned char *) fuzz_text(data, size);
	unsigned char whole[WA_STATUSFILE_BYTES];
	WaStatus	empty = {0};

	check_status(bytes, size);
	free(bytes);

	/* what is there becomes the contents of a right one */
	wa_statusfile_encode(&empty, whole);
	fuzz_take(&data, &size, whole + HEADER, sizeof(whole) - HEADER);
	wa_put32(whole + 12, wa_crc32c(0, whole + HEADER, sizeof(whole) - HEADER));
	check_status(whole, sizeof(whole));
	return 0;
}
