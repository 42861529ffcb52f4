/*
 * statusfile.c
 *	  The counters come back as written, nothing damaged is shown, and a
 *	  baseline takes away only what belongs to the same life of the counters.
 */
#include "core/statusfile.h"

#include "core/bytes.h"
#include "core/crc32c.h"
#include "tap.h"

static unsigned char bytes[WA_STATUSFILE_BYTES + 1];

static void
example(WaStatus *status)
{
	memset(status, 0, sizeof(*status));
	status->epoch = 77;
	status->since_us = 1000;
	status->archived_count = 10;
	status->identical_count = 9;
	status->conflict_count = 8;
	status->replaced_count = 7;
	status->damaged_source_count = 6;
	status->failed_count = 5;
	status->raw_bytes = 4000;
	status->stored_bytes = 3000;
	status->read_us = 30;
	status->compress_us = 20;
	status->store_us = 10;
	status->consecutive_failures = 2;
	status->last_archived_us = 5000;
	status->free_bytes = 123;
	strcpy(status->last_archived_wal, "000000010000000000000042");
	strcpy(status->archive, "/somewhere");
}

static void
test_file(void)
{
	WaStatus	status;
	WaStatus	back;
	WaError		err;
	int			wrong = 0;

	example(&status);
	wa_statusfile_encode(&status, bytes);
	is_code(wa_statusfile_decode(bytes, WA_STATUSFILE_BYTES, "the file", &back,
								 &err), WA_OK, &err, "comes back");
	is_int(memcmp(&status, &back, sizeof(status)), 0, "the same");

	for (size_t at = 0; at < WA_STATUSFILE_BYTES; at++)
	{
		bytes[at] ^= 4;
		memset(&back, 0xEE, sizeof(back));
		if (wa_statusfile_decode(bytes, WA_STATUSFILE_BYTES, "the file", &back,
								 &err) != WA_DAMAGED ||
			back.archived_count != 0)
			if (wrong++ == 0)
				diag("byte %zu changed: %d", at, (int) err.code);
		bytes[at] ^= 4;
	}
	is_int(wrong, 0, "any byte changed: damage, and no counters");
	has_str(err.message, "the file", "the message names the file");

	for (size_t length = 0; length <= WA_STATUSFILE_BYTES + 1; length++)
		if ((wa_statusfile_decode(bytes, length, "it", &back, &err) == WA_OK)
			!= (length == WA_STATUSFILE_BYTES) && wrong++ == 0)
			diag("length %zu: %d", length, (int) err.code);
	is_int(wrong, 0, "any other length: damage");

	/* texts that fill their field */
	memset(status.archive, 'a', sizeof(status.archive));
	memset(status.last_error, 'e', sizeof(status.last_error));
	memset(status.token, 't', sizeof(status.token));
	memset(status.last_error_sqlstate, 's', sizeof(status.last_error_sqlstate));
	wa_statusfile_encode(&status, bytes);
	is_code(wa_statusfile_decode(bytes, WA_STATUSFILE_BYTES, "it", &back,
								 &err), WA_OK, &err, "texts without an end");
	is_int(strlen(back.archive), sizeof(back.archive) - 1, "get one: archive");
	is_int(strlen(back.last_error), sizeof(back.last_error) - 1, "error");
	is_int(strlen(back.token), sizeof(back.token) - 1, "token");
	is_int(strlen(back.last_error_sqlstate),
		   sizeof(back.last_error_sqlstate) - 1, "sqlstate");
}

static void
test_subtract(void)
{
	WaStatus	status;
	WaStatus	baseline;
	WaStatus	before;

	example(&baseline);
	baseline.since_us = 2000;
	example(&status);
	status.archived_count += 3;
	status.raw_bytes += 500;
	status.failed_count += 1;
	wa_status_subtract(&status, &baseline);
	is_int(status.archived_count, 3, "files since the baseline");
	is_int(status.raw_bytes, 500, "bytes since then");
	is_int(status.failed_count, 1, "failures since then");
	is_int(status.identical_count + status.conflict_count +
		   status.replaced_count + status.damaged_source_count +
		   status.stored_bytes + status.read_us + status.compress_us +
		   status.store_us, 0, "of the rest nothing");
	is_int(status.since_us, 2000, "since the baseline");
	is_int(status.consecutive_failures, 2, "a state is no sum");
	is_int(status.free_bytes, 123, "another");
	is_str(status.last_archived_wal, "000000010000000000000042", "a name");

	example(&before);
	before.archived_count = 100;
	status = before;
	baseline.epoch = 78;
	wa_status_subtract(&status, &baseline);
	is_int(memcmp(&status, &before, sizeof(status)), 0,
		   "a baseline of another life takes nothing");

	/* a crash can bring back older counters than the baseline's */
	example(&status);
	example(&baseline);
	baseline.archived_count = 11;
	baseline.raw_bytes = 5000;
	wa_status_subtract(&status, &baseline);
	is_int(status.archived_count, 0, "never fewer than no files");
	is_int(status.raw_bytes, 0, "never fewer than no bytes");
}

int
main(void)
{
	test_file();
	test_subtract();
	return done_testing();
}
