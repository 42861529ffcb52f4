/*
 * controlfile.c
 *	  pg_control: what is known of its layout is checked by its checksum; of
 *	  other versions only the system identifier is taken.
 */
#include "core/controlfile.h"

#include "core/bytes.h"
#include "core/crc32c.h"
#include "fixture.h"
#include "tap.h"

/* PostgreSQL 15 to 17, src/include/catalog/pg_control.h. */
#define CRC_AT	288

static unsigned char bytes[WA_CONTROLFILE_BYTES];

static void
fresh(void)
{
	memset(bytes, 0, sizeof(bytes));
	wa_put64(bytes, SYSID);
	wa_put32(bytes + 8, 1300);
	wa_put64(bytes + 136, UINT64_C(0x1200000028));
	wa_put32(bytes + 144, 3);
	wa_put32(bytes + 228, 16 * 1024 * 1024);
	wa_put32(bytes + CRC_AT, wa_crc32c(0, bytes, CRC_AT));
}

static WaCode
parse(size_t length, WaControlFile *control, WaError *err)
{
	return wa_controlfile_parse(bytes, length, "the file", control, err);
}

int
main(void)
{
	WaControlFile control;
	WaError		err;
	int			wrong = 0;

	fresh();
	is_code(parse(sizeof(bytes), &control, &err), WA_OK, &err, "a good one");
	is_int(control.system_identifier, SYSID, "system identifier");
	is_int(control.version, 1300, "version");
	ok(control.known, "its layout is known");
	is_int(control.segment_bytes, 16 * 1024 * 1024, "segment size");
	is_int(control.min_recovery_lsn, UINT64_C(0x1200000028),
		   "minimum recovery point");
	is_int(control.min_recovery_tli, 3, "its timeline");

	for (size_t at = 0; at < CRC_AT + 4; at++)
	{
		WaCode		code;

		if (at >= 8 && at < 12)
			continue;			/* the version: see below */
		bytes[at] ^= 0x40;
		code = parse(sizeof(bytes), &control, &err);
		if (code != WA_DAMAGED && wrong++ == 0)
			diag("byte %zu: %s", at, wa_code_name(code));
		bytes[at] ^= 0x40;
	}
	is_int(wrong, 0, "any byte changed: damage");
	has_str(err.message, "the file", "the message names the file");

	is_code(parse(CRC_AT + 4, &control, &err), WA_OK, &err,
			"cut behind the checksum");
	for (size_t length = 0; length < CRC_AT + 4; length++)
	{
		unsigned char *copy = malloc(length + 1);
		WaCode		code;

		memcpy(copy, bytes, length);
		code = wa_controlfile_parse(copy, length, "it", &control, &err);
		if (code != WA_DAMAGED && wrong++ == 0)
			diag("truncated to %zu: %s", length, wa_code_name(code));
		free(copy);
	}
	is_int(wrong, 0, "truncated before: damage at every length");

	wa_put32(bytes + 228, 12345);
	wa_put32(bytes + CRC_AT, wa_crc32c(0, bytes, CRC_AT));
	is_code(parse(sizeof(bytes), &control, &err), WA_DAMAGED, &err,
			"an impossible segment size");

	fresh();
	wa_put32(bytes + 8, 1700);
	wa_put32(bytes + CRC_AT, wa_crc32c(0, bytes, CRC_AT));
	is_code(parse(sizeof(bytes), &control, &err), WA_OK, &err,
			"the version of PostgreSQL 17");
	ok(control.known && control.min_recovery_tli == 3, "is known too");
	bytes[140] ^= 1;
	is_code(parse(sizeof(bytes), &control, &err), WA_DAMAGED, &err,
			"with its checksum");

	fresh();
	wa_put32(bytes + 8, 9999);
	is_code(parse(sizeof(bytes), &control, &err), WA_OK, &err,
			"a version nobody knows");
	ok(!control.known, "says so");
	is_int(control.system_identifier, SYSID, "its system identifier is taken");
	is_int(control.segment_bytes, 0, "its segment size is not known");

	memset(bytes, 0, sizeof(bytes));
	is_code(parse(sizeof(bytes), &control, &err), WA_DAMAGED, &err,
			"zeros are no pg_control");
	return done_testing();
}
