/*
 * statusfile.c
 *	  The counters of archiving as bytes.
 */
#include "core/statusfile.h"

#include <string.h>

#include "core/bytes.h"
#include "core/crc32c.h"

#define MAGIC		UINT32_C(0x53415741)	/* "AWAS" */
#define VERSION		3
#define HEADER		16

/* Fixed widths and no padding: the struct is the format. */
_Static_assert(sizeof(WaStatus) == 6552, "the status file has changed: "
			   "give it another VERSION");

void
wa_statusfile_encode(const WaStatus *status, unsigned char *buffer)
{
	memcpy(buffer + HEADER, status, sizeof(*status));
	wa_put32(buffer, MAGIC);
	wa_put32(buffer + 4, VERSION);
	wa_put32(buffer + 8, (uint32_t) sizeof(*status));
	wa_put32(buffer + 12, wa_crc32c(0, buffer + HEADER, sizeof(*status)));
}

/* Strings end within their field, whatever the bytes say. */
static void
terminate(WaStatus *status)
{
	status->token[sizeof(status->token) - 1] = '\0';
	status->unswept_token[sizeof(status->unswept_token) - 1] = '\0';
	status->last_archived_wal[sizeof(status->last_archived_wal) - 1] = '\0';
	status->last_failed_wal[sizeof(status->last_failed_wal) - 1] = '\0';
	status->archive_id[sizeof(status->archive_id) - 1] = '\0';
	status->last_error_sqlstate[sizeof(status->last_error_sqlstate) - 1] = '\0';
	for (int i = 0; i < WA_STATUS_SUSPECTS_MAX; i++)
		status->suspect_keys[i][WA_STATUS_KEY_BYTES - 1] = '\0';
	status->archive[sizeof(status->archive) - 1] = '\0';
	status->last_error[sizeof(status->last_error) - 1] = '\0';
	status->last_damaged_wal[sizeof(status->last_damaged_wal) - 1] = '\0';
	status->last_damage[sizeof(status->last_damage) - 1] = '\0';
}

WaCode
wa_statusfile_decode(const unsigned char *buffer, size_t length,
					 const char *what, WaStatus *status, WaError *err)
{
	if (length != WA_STATUSFILE_BYTES ||
		wa_get32(buffer) != MAGIC ||
		wa_get32(buffer + 4) != VERSION ||
		wa_get32(buffer + 8) != sizeof(*status) ||
		wa_get32(buffer + 12) != wa_crc32c(0, buffer + HEADER,
										   sizeof(*status)))
	{
		memset(status, 0, sizeof(*status));
		return wa_fail(err, WA_DAMAGED,
					   "status file \"%s\" is damaged or of another version "
					   "of walarch", what);
	}
	memcpy(status, buffer + HEADER, sizeof(*status));
	terminate(status);
	return WA_OK;
}

/* A crash can bring back counters older than their baseline. */
static void
subtract(uint64_t *count, uint64_t baseline)
{
	*count = *count > baseline ? *count - baseline : 0;
}

void
wa_status_subtract(WaStatus *status, const WaStatus *baseline)
{
	if (baseline->epoch != status->epoch)
		return;
	subtract(&status->archived_count, baseline->archived_count);
	subtract(&status->identical_count, baseline->identical_count);
	subtract(&status->conflict_count, baseline->conflict_count);
	subtract(&status->replaced_count, baseline->replaced_count);
	subtract(&status->damaged_source_count, baseline->damaged_source_count);
	subtract(&status->failed_count, baseline->failed_count);
	subtract(&status->raw_bytes, baseline->raw_bytes);
	subtract(&status->stored_bytes, baseline->stored_bytes);
	subtract(&status->read_us, baseline->read_us);
	subtract(&status->compress_us, baseline->compress_us);
	subtract(&status->store_us, baseline->store_us);
	status->since_us = baseline->since_us;
}
