/*
 * walrecord.c
 *	  What records tell is read where it stands, and nowhere else.
 */
#include "core/walrecord.h"

#include "core/bytes.h"
#include "tap.h"

#define NOON_US		INT64_C(1790000000000000)
#define NOON_PG		(NOON_US - INT64_C(946684800000000))

static unsigned char bytes[WA_RECORD_START_BYTES];

#define XID		UINT32_C(4711)

/* A record of that kind with this before its data. */
static WaRecord
read_record(unsigned manager, unsigned info, const char *before,
			size_t before_length, size_t length)
{
	WaRecord	record;

	memset(bytes, 0, sizeof(bytes));
	bytes[16] = (unsigned char) info;
	bytes[17] = (unsigned char) manager;
	wa_put32(bytes + 4, XID);
	memcpy(bytes + 24, before, before_length);
	wa_put64(bytes + 24 + before_length, (uint64_t) NOON_PG);
	memcpy(bytes + 24 + before_length + 8, "a name", 6);
	wa_record_read(bytes, length, &record);
	return record;
}

#define READ(manager, info, before, length) \
	read_record(manager, info, before, sizeof(before) - 1, length)

static const struct
{
	unsigned	manager;
	unsigned	info;
	WaRecordKind kind;
	const char *what;
}			kinds[] = {
	{1, 0x00, WA_RECORD_END_OF_TRANSACTION, "commit"},
	{1, 0x80, WA_RECORD_END_OF_TRANSACTION, "commit with more"},
	{1, 0x10, WA_RECORD_OTHER, "prepare"},
	{1, 0x20, WA_RECORD_END_OF_TRANSACTION, "abort"},
	{1, 0x30, WA_RECORD_END_OF_TRANSACTION, "commit prepared"},
	{1, 0x40, WA_RECORD_END_OF_TRANSACTION, "abort prepared"},
	{1, 0x50, WA_RECORD_OTHER, "assignment"},
	{1, 0x60, WA_RECORD_OTHER, "invalidations"},
	{0, 0x70, WA_RECORD_RESTORE_POINT, "restore point"},
	{0, 0x40, WA_RECORD_SWITCH, "switch"},
	{0, 0x00, WA_RECORD_OTHER, "checkpoint"},
	{2, 0x70, WA_RECORD_OTHER, "another resource manager"},
	{128, 0x00, WA_RECORD_OTHER, "of an extension"},
};

int
main(void)
{
	WaRecord	record;
	WaRecordHeader header;

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
	{
		record = READ(kinds[i].manager, kinds[i].info, "\377\110",
					  sizeof(bytes));
		is_int(record.kind, kinds[i].kind, "%s", kinds[i].what);
		if (record.kind == WA_RECORD_END_OF_TRANSACTION)
		{
			is_int(record.time_us, NOON_US, "its time");
			is_int(record.xid, (kinds[i].info & 0x70) >= 0x30 ? 0 : XID,
				   "its xid, unless it was prepared");
		}
		else
			is_int(record.xid, 0, "no xid of anything else");
	}
	record = READ(0, 0x70, "\377\110", sizeof(bytes));
	is_str(record.name, "a name", "name");
	is_int(record.time_us, NOON_US, "time");

	record = READ(1, 0, "\375ab\377\010", sizeof(bytes));
	is_int(record.time_us, NOON_US, "behind a replication origin");
	record = READ(1, 0, "\374abcd\377\010", sizeof(bytes));
	is_int(record.time_us, NOON_US, "behind a top-level transaction");
	record = READ(1, 0, "\375ab\374abcd\376\010\0\0\0", sizeof(bytes));
	is_int(record.time_us, NOON_US, "behind both, long form");
	record = READ(0, 0x70, "\375ab\374abcd\376\110\0\0\0", sizeof(bytes));
	is_str(record.name, "a name", "the longest start is kept whole");
	is_int(record.kind, WA_RECORD_RESTORE_POINT, "a restore point");

	record = READ(1, 0, "\003", sizeof(bytes));
	is_int(record.kind, WA_RECORD_OTHER, "a commit with a page is none");
	record = READ(1, 0, "\377\010", 24 + 2 + 7);
	is_int(record.kind, WA_RECORD_OTHER, "cut before the end of its time");
	record = READ(1, 0, "\377\010", 24 + 2 + 8);
	is_int(record.time_us, NOON_US, "not cut");
	record = READ(0, 0x70, "\377\110", 24 + 2 + 71);
	is_int(record.kind, WA_RECORD_OTHER, "cut in its name");
	for (size_t length = 0; length < 24 + 2 + 8; length++)
		if (READ(1, 0, "\377\010", length).kind != WA_RECORD_OTHER)
			ok(false, "cut at %zu", length);
	record = READ(1, 0, "\375", 25);
	is_int(record.kind, WA_RECORD_OTHER, "cut in what stands before the data");

	/* behind the NUL stands whatever the server's memory held */
	READ(0, 0x70, "\377\110", sizeof(bytes));
	memset(bytes + 24 + 2 + 8 + 7, 'g', 50);
	wa_record_read(bytes, sizeof(bytes), &record);
	is_str(record.name, "a name", "a name with garbage behind it");
	is_int(record.name[7] | record.name[30], 0, "which is not kept");

	memset(bytes, 'x', sizeof(bytes));
	bytes[16] = 0x70;
	bytes[17] = 0;
	bytes[24] = 255;
	wa_record_read(bytes, sizeof(bytes), &record);
	is_int(strlen(record.name), WA_RECORD_NAME_BYTES - 1,
		   "a name without an end has one");

	wa_put32(bytes, 1234);
	wa_put64(bytes + 8, 0x123456789);
	wa_put32(bytes + 20, 0xCAFE);
	wa_record_header_read(bytes, &header);
	is_int(header.total_bytes, 1234, "length");
	is_int(header.prev, 0x123456789, "link");
	is_int(header.crc, 0xCAFE, "checksum");

	ok(!wa_record_length_valid(23) && wa_record_length_valid(24) &&
	   wa_record_length_valid(1020 * 1024 * 1024) &&
	   !wa_record_length_valid(1020 * 1024 * 1024 + 1), "lengths");
	ok(wa_record_manager_valid(22) && !wa_record_manager_valid(32) &&
	   !wa_record_manager_valid(127) && wa_record_manager_valid(128) &&
	   wa_record_manager_valid(255), "resource managers");
	return done_testing();
}
