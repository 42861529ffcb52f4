/*
 * walheader.c
 *	  A first page is accepted only under its own name, and what contradicts
 *	  is told apart: another cluster (to be refused), or damage.
 */
#include "core/walheader.h"

#include "core/bytes.h"
#include "fixture.h"
#include "tap.h"

static unsigned char page[8192];
static WaWalName name;

/* Judge the page; the magic 0 means any. */
static WaCode
check(uint16_t magic, uint64_t sysid, WaError *err)
{
	WaWalHeader header;
	WaWalExpect expect = {&name, magic, sysid, SEG_1MB};

	wa_walheader_read(page, &header);
	return wa_walheader_check(&header, &expect, "the file", err);
}

static void
fresh(void)
{
	static unsigned char segment[SEG_1MB];

	make_segment(segment, SEG_1MB, SEG_NAME, SYSID, 1);
	memcpy(page, segment, sizeof(page));
}

int
main(void)
{
	WaError		err;
	WaWalHeader header;

	must(wa_walname_parse(SEG_NAME, &name, &err) == WA_OK);
	fresh();
	wa_walheader_read(page, &header);
	is_int(header.magic, WAL_MAGIC, "magic");
	is_int(header.info, WA_XLP_LONG_HEADER | WA_XLP_CONTRECORD, "flags");
	is_int(header.tli, 1, "timeline");
	is_int(header.pageaddr, 2 * (uint64_t) SEG_1MB, "page address");
	is_int(header.system_identifier, SYSID, "system identifier");
	is_int(header.segment_bytes, SEG_1MB, "segment size");
	is_int(header.block_bytes, 8192, "block size");
	is_code(check(WAL_MAGIC, SYSID, &err), WA_OK, &err, "a good page");
	is_code(check(0, 0, &err), WA_OK, &err, "with nothing known of the cluster");

	wa_put16(page + WA_WALHEADER_MAGIC, 0xD113);
	is_code(check(WAL_MAGIC, SYSID, &err), WA_DAMAGED, &err, "another magic");
	has_str(err.message, "the file", "the message names the file");
	is_code(check(0, SYSID, &err), WA_OK, &err,
			"another magic of that family where any is expected");
	wa_put16(page + WA_WALHEADER_MAGIC, 0xD010);
	is_code(check(0, SYSID, &err), WA_DAMAGED, &err, "no magic of the family");

	fresh();
	wa_put16(page + WA_WALHEADER_INFO, 0x0001);
	is_code(check(WAL_MAGIC, SYSID, &err), WA_DAMAGED, &err, "a short header");
	wa_put16(page + WA_WALHEADER_INFO, 0x0007);
	is_code(check(WAL_MAGIC, SYSID, &err), WA_OK, &err, "further flags");

	fresh();
	wa_put64(page + WA_WALHEADER_SYSID, SYSID + 1);
	is_code(check(WAL_MAGIC, SYSID, &err), WA_WRONG_CLUSTER, &err,
			"another system identifier");
	is_code(check(WAL_MAGIC, 0, &err), WA_OK, &err, "which nobody knows");
	/* garbage is not a foreign cluster */
	wa_put16(page + WA_WALHEADER_MAGIC, 0);
	is_code(check(WAL_MAGIC, SYSID, &err), WA_DAMAGED, &err,
			"another system identifier behind a wrong magic");
	fresh();
	wa_put64(page + WA_WALHEADER_SYSID, SYSID + 1);
	wa_put16(page + WA_WALHEADER_INFO, 0);
	is_code(check(WAL_MAGIC, SYSID, &err), WA_DAMAGED, &err,
			"another system identifier without the flag");

	fresh();
	wa_put32(page + WA_WALHEADER_SEG_SIZE, 2 * SEG_1MB);
	is_code(check(WAL_MAGIC, SYSID, &err), WA_WRONG_CLUSTER, &err,
			"another segment size");

	fresh();
	wa_put64(page + WA_WALHEADER_PAGEADDR, 3 * (uint64_t) SEG_1MB);
	is_code(check(WAL_MAGIC, SYSID, &err), WA_DAMAGED, &err,
			"the page address of another segment");
	has_str(err.message, SEG_NAME, "the message names the segment");
	wa_put64(page + WA_WALHEADER_PAGEADDR, 2 * (uint64_t) SEG_1MB + 8192);
	is_code(check(WAL_MAGIC, SYSID, &err), WA_DAMAGED, &err,
			"a page from its middle");

	fresh();
	wa_put32(page + WA_WALHEADER_TLI, 2);
	is_code(check(WAL_MAGIC, SYSID, &err), WA_DAMAGED, &err,
			"a later timeline than the name's");
	wa_put32(page + WA_WALHEADER_TLI, 0);
	is_code(check(WAL_MAGIC, SYSID, &err), WA_DAMAGED, &err, "timeline 0");
	fresh();
	must(wa_walname_parse("000000050000000000000002", &name, &err) == WA_OK);
	is_code(check(WAL_MAGIC, SYSID, &err), WA_OK, &err,
			"an earlier timeline: the first segment after a fork");

	memset(page, 0, sizeof(page));
	is_code(check(WAL_MAGIC, SYSID, &err), WA_DAMAGED, &err, "zeros");
	is_code(check(0, 0, &err), WA_DAMAGED, &err, "zeros where any will do");
	return done_testing();
}
