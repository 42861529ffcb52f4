/*
 * envelope.c
 *	  An envelope comes back as it was written; truncated, changed in any
 *	  byte, or with bytes behind it, it is damage and never believed; a later
 *	  format is no damage, and an optional field nobody knows is skipped.
 */
#include "core/envelope.h"

#include "core/bytes.h"
#include "core/crc32c.h"
#include "fixture.h"
#include "tap.h"

#define BODY	1000			/* bytes of the frame before it */

static void
example(WaEnvelope *envelope)
{
	memset(envelope, 0, sizeof(*envelope));
	envelope->kind = WA_KIND_SEGMENT;
	strcpy(envelope->name, SEG_NAME);
	envelope->system_identifier = SYSID;
	envelope->tli = 1;
	envelope->segment_bytes = SEG_1MB;
	envelope->raw_bytes = SEG_1MB;
	envelope->body_bytes = BODY;
	wa_digest_of("x", 1, &envelope->digest);
	envelope->wal_magic = WAL_MAGIC;
	envelope->archived_at_us = INT64_C(-5);
	strcpy(envelope->damage, "its page said so");
}

/* As a reader does: length first, then all of it. */
static WaCode
read_back(const unsigned char *bytes, size_t bytes_count, uint64_t object_bytes,
		  WaEnvelope *envelope, WaError *err)
{
	size_t		length;

	if (wa_envelope_length(bytes, bytes_count, object_bytes, "the object",
						   &length, err) != WA_OK)
		return err->code;
	if (length > bytes_count)
		return wa_fail(err, WA_DAMAGED, "longer than what is there");
	return wa_envelope_decode(bytes + bytes_count - length, length,
							  object_bytes, "the object", envelope, err);
}

/* Put length and checksum right after a change. */
static void
seal(unsigned char *bytes, size_t length)
{
	wa_put32(bytes + 4, (uint32_t) length - 8);
	wa_put32(bytes + length - 16, (uint32_t) length);
	wa_put32(bytes + length - 12, wa_crc32c(0, bytes, length - 12));
	memcpy(bytes + length - 8, "walarch\n", 8);
}

static void
test_round_trip(void)
{
	unsigned char bytes[WA_ENVELOPE_TAIL_BYTES];
	WaEnvelope	in;
	WaEnvelope	out;
	WaError		err;
	size_t		length;

	example(&in);
	length = wa_envelope_encode(&in, bytes);
	is_code(read_back(bytes, length, BODY + length, &out, &err), WA_OK, &err,
			"comes back");
	is_int(out.kind, in.kind, "kind");
	is_str(out.name, in.name, "name");
	is_int(out.system_identifier, in.system_identifier, "system identifier");
	is_int(out.tli, in.tli, "timeline");
	is_int(out.segment_bytes, in.segment_bytes, "segment size");
	is_int(out.raw_bytes, in.raw_bytes, "raw size");
	is_int(out.body_bytes, in.body_bytes, "stored size");
	ok(wa_digest_equal(&out.digest, &in.digest), "digest");
	is_int(out.wal_magic, in.wal_magic, "page magic");
	is_int(out.archived_at_us, in.archived_at_us, "time, even before 1970");
	is_str(out.damage, in.damage, "damage");

	in.damage[0] = '\0';
	length = wa_envelope_encode(&in, bytes);
	is_int(length, WA_ENVELOPE_FIXED_BYTES + WA_ENVELOPE_TRAILER_BYTES,
		   "no field for what is not known");
	is_code(read_back(bytes, length, BODY + length, &out, &err), WA_OK, &err,
			"without damage");
	is_str(out.damage, "", "none was seen");
	is_int(wa_get32(bytes) & 0xFFFFFFF0, 0x184D2A50, "a skippable zstd frame");
	is_int(wa_get32(bytes + 4), length - 8, "which zstd can skip");

	memset(in.damage, 'd', sizeof(in.damage) - 1);
	in.damage[sizeof(in.damage) - 1] = '\0';
	length = wa_envelope_encode(&in, bytes);
	is_code(read_back(bytes, length, BODY + length, &out, &err), WA_OK, &err,
			"the longest text");
	is_str(out.damage, in.damage, "all of it");
}

/* What the walk over the records found, every field another value. */
static void
test_scan(void)
{
	unsigned char bytes[WA_ENVELOPE_TAIL_BYTES];
	static WaEnvelope in;
	static WaEnvelope out;
	WaError		err;
	size_t		length;

	example(&in);
	in.scanned = true;
	in.scan.end = WA_SCAN_TORN;
	in.scan.end_lsn = 0x123456789;
	in.scan.used_bytes = 12345;
	in.scan.unused_zero = true;
	in.scan.records = 17;
	in.scan.first_lsn = 101;
	in.scan.first_prev = 102;
	in.scan.last_lsn = 103;
	in.scan.transactions = 104;
	in.scan.earliest_us = -105;
	in.scan.latest_us = 106;
	in.scan.stop_lsn = 107;
	in.scan.points_count = 1000;
	for (int i = 0; i < WA_SCAN_POINTS_MAX; i++)
	{
		in.scan.points[i].lsn = 200 + (uint64_t) i;
		in.scan.points[i].time_us = 300 + i;
		memset(in.scan.points[i].name, 'a' + i, WA_RECORD_NAME_BYTES - 1);
	}
	in.scan.head.due_bytes = 400;
	in.scan.head.bytes = 399;
	in.scan.head.crc = 401;
	in.scan.head.end_lsn = 402;
	memset(in.scan.head.start, 'h', sizeof(in.scan.head.start));
	in.scan.tail.lsn = 500;
	in.scan.tail.total_bytes = 501;
	in.scan.tail.bytes = 502;
	in.scan.tail.crc = 503;
	memset(in.scan.tail.start, 't', sizeof(in.scan.tail.start));
	memset(in.damage, 'd', sizeof(in.damage) - 1);
	length = wa_envelope_encode(&in, bytes);
	is_code(read_back(bytes, length, BODY + length, &out, &err), WA_OK, &err,
			"all fields at once");
	ok(out.scanned, "the walk is there");
	ok(memcmp(&out.scan, &in.scan, sizeof(in.scan)) == 0,
	   "and comes back as it was");
	is_str(out.damage, in.damage, "so does the damage");

	/* a few bytes of a record only */
	memset(&in.scan, 0, sizeof(in.scan));
	in.scan.end = WA_SCAN_FULL;
	in.scan.head.overwritten = true;
	in.scan.tail.lsn = 1;
	in.scan.tail.bytes = 8;
	memset(in.scan.tail.start, 't', 8);
	length = wa_envelope_encode(&in, bytes);
	is_code(read_back(bytes, length, BODY + length, &out, &err), WA_OK, &err,
			"with few of them");
	ok(memcmp(&out.scan, &in.scan, sizeof(in.scan)) == 0, "as it was");

	/* what cannot be is not known, rather than half known */
	in.damage[0] = '\0';
	in.scanned = true;
	length = wa_envelope_encode(&in, bytes);
	bytes[WA_ENVELOPE_FIXED_BYTES + 4] = 99;
	seal(bytes, length);
	is_code(read_back(bytes, length, BODY + length, &out, &err), WA_OK, &err,
			"an end of a later version");
	ok(!out.scanned, "nothing is known");
	in.scanned = false;
	length = wa_envelope_encode(&in, bytes);
	is_code(read_back(bytes, length, BODY + length, &out, &err), WA_OK, &err,
			"a file that was not walked");
	ok(!out.scanned, "nothing is known");
}

static void
test_mutations(void)
{
	unsigned char bytes[WA_ENVELOPE_TAIL_BYTES];
	unsigned char changed[WA_ENVELOPE_TAIL_BYTES];
	WaEnvelope	in;
	WaEnvelope	out;
	WaError		err;
	int			wrong = 0;
	size_t		length;

	example(&in);
	length = wa_envelope_encode(&in, bytes);

	for (size_t cut = 0; cut < length; cut++)
	{
		/* malloc, so that a read beyond the end shows under a sanitizer */
		unsigned char *copy = malloc(cut + 1);
		WaCode		code;

		memcpy(copy, bytes, cut);
		code = read_back(copy, cut, BODY + cut, &out, &err);
		if (code != WA_DAMAGED && wrong++ == 0)
			diag("truncated to %zu: %s", cut, wa_code_name(code));
		free(copy);
	}
	is_int(wrong, 0, "truncated at every length: damage");

	wrong = 0;
	for (size_t at = 0; at < length; at++)
		for (int bit = 0; bit < 8; bit++)
		{
			WaCode		code;

			memcpy(changed, bytes, length);
			changed[at] ^= (unsigned char) (1 << bit);
			code = read_back(changed, length, BODY + length, &out, &err);
			if (code != WA_DAMAGED && wrong++ == 0)
				diag("bit %d of byte %zu flipped: %s", bit, at,
					 wa_code_name(code));
		}
	is_int(wrong, 0, "any bit flipped: damage");

	memcpy(changed, bytes, length);
	changed[length] = '\n';
	is_code(read_back(changed, length + 1, BODY + length + 1, &out, &err),
			WA_DAMAGED, &err, "a byte behind it: damage");
	is_code(read_back(bytes, length, BODY + length - 1, &out, &err),
			WA_DAMAGED, &err, "a byte of the body missing: damage");
	is_code(read_back(bytes, length, BODY + length + 1, &out, &err),
			WA_DAMAGED, &err, "a byte of the body too many: damage");
	is_code(read_back(bytes, length, length - 1, &out, &err),
			WA_DAMAGED, &err, "an object smaller than its envelope: damage");
}

/* What a correct checksum cannot excuse. */
static void
test_contradictions(void)
{
	static const struct
	{
		size_t		at;
		size_t		bytes;
		uint64_t	value;
		WaCode		code;
		const char *what;
	}			table[] = {
		{8, 2, 2, WA_UNSUPPORTED, "a later version"},
		{8, 2, 0, WA_UNSUPPORTED, "version 0"},
		{8, 2, 0xFFFF, WA_UNSUPPORTED, "a much later version"},
		{10, 2, 0, WA_DAMAGED, "no fixed part"},
		{10, 2, 119, WA_DAMAGED, "a fixed part too short"},
		{10, 2, 0xFFFF, WA_DAMAGED, "a fixed part beyond the end"},
		{16 + 44, 4, 0x41414141, WA_DAMAGED, "a name without an end"},
		{76, 4, 0, WA_DAMAGED, "segment size 0"},
		{76, 4, 3 << 20, WA_DAMAGED, "segment size 3 MB"},
		{80, 8, (UINT64_C(1) << 30) + 1, WA_DAMAGED, "raw size above 1 GB"},
		{88, 8, BODY + 1, WA_DAMAGED, "another stored size"},
		{120 + 2, 2, 0xFFFF, WA_DAMAGED, "a field beyond the end"},
		{120 + 2, 2, 17, WA_DAMAGED, "a field into the trailer"},
		{120 + 2, 2, 13, WA_DAMAGED, "a rest too short for a field"},
	};
	unsigned char bytes[WA_ENVELOPE_TAIL_BYTES];
	WaEnvelope	in;
	WaEnvelope	out;
	WaError		err;

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
	{
		size_t		length;

		example(&in);
		length = wa_envelope_encode(&in, bytes);
		memcpy(bytes + table[i].at, &table[i].value, table[i].bytes);
		seal(bytes, length);
		is_code(read_back(bytes, length, BODY + length, &out, &err),
				table[i].code, &err, "%s", table[i].what);
	}

	example(&in);
	wa_envelope_encode(&in, bytes);
	wa_put32(bytes + 100, 10);
	memcpy(bytes + 108, "walarch\n", 8);
	is_code(read_back(bytes, 116, BODY + 116, &out, &err), WA_DAMAGED, &err,
			"a trailer with an impossible length");
}

/* What a later walarch of the same format may add. */
static void
test_extensions(void)
{
	unsigned char bytes[WA_ENVELOPE_TAIL_BYTES];
	unsigned char with[WA_ENVELOPE_TAIL_BYTES];
	unsigned char *large;
	WaEnvelope	in;
	WaEnvelope	out;
	WaError		err;
	size_t		length;
	size_t		got;

	example(&in);
	length = wa_envelope_encode(&in, bytes);

	/* an unknown field of 5 bytes before the known one, one of 0 behind it */
	memcpy(with, bytes, 120);
	wa_put16(with + 120, 0x7777);
	wa_put16(with + 122, 5);
	memcpy(with + 124, "later", 5);
	memcpy(with + 129, bytes + 120, length - 120 - 16);
	got = 129 + length - 120 - 16;
	wa_put16(with + got, 0x7778);
	wa_put16(with + got + 2, 0);
	got += 4 + 16;
	seal(with, got);
	is_code(read_back(with, got, BODY + got, &out, &err), WA_OK, &err,
			"unknown fields are skipped");
	is_str(out.damage, in.damage, "and the known one between them is read");
	is_int(out.raw_bytes, in.raw_bytes, "and the fixed part");

	/* a longer text of damage than is kept */
	memcpy(with, bytes, 120);
	wa_put16(with + 120, 1);
	wa_put16(with + 122, 2000);
	memset(with + 124, 'x', 2000);
	seal(with, 124 + 2000 + 16);
	is_code(read_back(with, 124 + 2000 + 16, BODY + 124 + 2000 + 16, &out,
					  &err), WA_OK, &err, "a long text of damage");
	is_int(strlen(out.damage), WA_DAMAGE_TEXT_BYTES - 1, "is cut");

	/* a longer fixed part */
	memcpy(with, bytes, 120);
	memset(with + 120, 0xEE, 8);
	wa_put16(with + 10, 128);
	memcpy(with + 128, bytes + 120, length - 120);
	seal(with, length + 8);
	is_code(read_back(with, length + 8, BODY + length + 8, &out, &err), WA_OK,
			&err, "a longer fixed part");
	is_str(out.damage, in.damage, "and the field behind it");

	/* as large as a reader must accept: its tail alone tells the length */
	large = calloc(1, WA_ENVELOPE_BYTES_MAX);
	must(large != NULL);
	memcpy(large, bytes, 120);
	wa_put16(large + 120, 0x7777);
	wa_put16(large + 122, (uint16_t) (WA_ENVELOPE_BYTES_MAX - 120 - 4 - 16));
	seal(large, WA_ENVELOPE_BYTES_MAX);
	is_code(wa_envelope_length(large + WA_ENVELOPE_BYTES_MAX - 16, 16,
							   BODY + WA_ENVELOPE_BYTES_MAX, "it", &length,
							   &err), WA_OK, &err, "the largest: its length");
	is_int(length, WA_ENVELOPE_BYTES_MAX, "known from its last 16 bytes");
	is_code(read_back(large, length, BODY + length, &out, &err), WA_OK, &err,
			"the largest: its contents");
	free(large);
}

int
main(void)
{
	test_round_trip();
	test_scan();
	test_mutations();
	test_contradictions();
	test_extensions();
	return done_testing();
}
