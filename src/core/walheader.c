/*
 * walheader.c
 *	  The long page header at the start of every WAL segment.
 */
#include "core/walheader.h"

#include <inttypes.h>

#include "core/bytes.h"

void
wa_walheader_read(const void *page, WaWalHeader *header)
{
	const unsigned char *bytes = page;

	header->magic = wa_get16(bytes + WA_WALHEADER_MAGIC);
	header->info = wa_get16(bytes + WA_WALHEADER_INFO);
	header->tli = wa_get32(bytes + WA_WALHEADER_TLI);
	header->pageaddr = wa_get64(bytes + WA_WALHEADER_PAGEADDR);
	header->system_identifier = wa_get64(bytes + WA_WALHEADER_SYSID);
	header->segment_bytes = wa_get32(bytes + WA_WALHEADER_SEG_SIZE);
	header->block_bytes = wa_get32(bytes + WA_WALHEADER_BLCKSZ);
}

WaCode
wa_walheader_check(const WaWalHeader *header, const WaWalExpect *expect,
				   const char *what, WaError *err)
{
	uint64_t	segno;
	uint64_t	pageaddr;

	/* 0xD1 has been the high byte since 9.6; the low one counts formats */
	if (expect->magic != 0 ? header->magic != expect->magic
		: (header->magic >> 8) != 0xD1)
		return wa_fail(err, WA_DAMAGED,
					   "\"%s\" does not begin with a WAL page: magic number "
					   "%04X instead of %04X", what, header->magic,
					   expect->magic != 0 ? expect->magic : 0xD100);
	if ((header->info & WA_XLP_LONG_HEADER) == 0)
		return wa_fail(err, WA_DAMAGED,
					   "\"%s\" does not begin with a long WAL page header "
					   "(flags %04X)", what, header->info);

	/* From here on it is a page of some cluster: is it ours? */
	if (expect->system_identifier != 0 &&
		header->system_identifier != expect->system_identifier)
	{
		wa_fail(err, WA_WRONG_CLUSTER,
				"\"%s\" is WAL of the cluster with system identifier %" PRIu64
				", not of %" PRIu64, what, header->system_identifier,
				expect->system_identifier);
		wa_hint(err, "Find out how a file of another cluster came here; "
				"it must not be archived or replayed.");
		return err->code;
	}
	if (header->segment_bytes != expect->segment_bytes)
		return wa_fail(err, WA_WRONG_CLUSTER,
					   "\"%s\" is WAL with segments of %" PRIu32 " bytes, "
					   "not of %" PRIu32, what, header->segment_bytes,
					   expect->segment_bytes);

	if (wa_walname_segno(expect->name, expect->segment_bytes, &segno,
						 err) != WA_OK)
		return err->code;
	pageaddr = segno * expect->segment_bytes;
	if (header->pageaddr != pageaddr)
		return wa_fail(err, WA_DAMAGED,
					   "\"%s\" begins with the page of %X/%X, but %s begins "
					   "at %X/%X", what,
					   (unsigned) (header->pageaddr >> 32),
					   (unsigned) header->pageaddr, expect->name->text,
					   (unsigned) (pageaddr >> 32), (unsigned) pageaddr);

	/* the first segment of a timeline still carries its parent's number */
	if (header->tli == 0 || header->tli > expect->name->tli)
		return wa_fail(err, WA_DAMAGED,
					   "\"%s\" has pages of timeline %" PRIu32
					   ", later than its name says", what, header->tli);
	return WA_OK;
}
