/*
 * wal.c
 *	  WAL that a walk gets through, whatever bytes it was made of.
 */
#include "wal.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "core/crc32c.h"
#include "core/walheader.h"
#include "core/walrecord.h"
#include "fuzz.h"

typedef struct Pages
{
	uint8_t    *bytes;
	size_t		size;
	size_t		block_bytes;
	uint64_t	lsn;
} Pages;

static size_t
header_bytes(size_t at)
{
	return at == 0 ? WA_WALHEADER_BYTES : WA_WALHEADER_SHORT_BYTES;
}

/* The header of the page at that place; due: of a record that goes on. */
static bool
begin_page(const Pages *pages, size_t at, size_t due)
{
	uint8_t    *page = pages->bytes + at;

	if (pages->size - at < pages->block_bytes)
		return false;
	wa_put16(page + WA_WALHEADER_MAGIC, wa_get16(pages->bytes));
	wa_put16(page + WA_WALHEADER_INFO, due > 0 ? WA_XLP_CONTRECORD : 0);
	wa_put32(page + WA_WALHEADER_TLI, wa_get32(pages->bytes + WA_WALHEADER_TLI));
	wa_put64(page + WA_WALHEADER_PAGEADDR, pages->lsn + at);
	wa_put32(page + WA_WALHEADER_REM_LEN, (uint32_t) due);
	return true;
}

/*
 * Copy between the pages and a record in one piece.  Returns where the record
 * ends; 0 when the pages do.
 */
static size_t
copy_record(const Pages *pages, size_t at, uint8_t *record, size_t length,
			bool back)
{
	while (length > 0)
	{
		size_t		room = pages->block_bytes - at % pages->block_bytes;
		size_t		some = length < room ? length : room;

		if (back)
			memcpy(pages->bytes + at, record, some);
		else
			memcpy(record, pages->bytes + at, some);
		record += some;
		length -= some;
		at += some;
		if (length > 0)
		{
			if (at >= pages->size || !begin_page(pages, at, length))
				return 0;
			at += WA_WALHEADER_SHORT_BYTES;
		}
	}
	return at;
}

static size_t
seal_record(const Pages *pages, size_t at, size_t length, uint64_t *prev)
{
	uint8_t    *record = malloc(length);
	size_t		end;
	uint32_t	crc;

	hold(record != NULL);
	end = copy_record(pages, at, record, length, false);
	if (end != 0)
	{
		if (*prev != 0)
			wa_put64(record + 8, *prev);
		*prev = pages->lsn + at;
		crc = wa_crc32c(0, record + WA_RECORD_HEADER_BYTES,
						length - WA_RECORD_HEADER_BYTES);
		wa_put32(record + WA_RECORD_CRC_AT,
				 wa_crc32c(crc, record, WA_RECORD_CRC_AT));
		copy_record(pages, at, record, length, true);
		end = (end + 7) & ~(size_t) 7;
	}
	free(record);
	return end;
}

void
wal_seal(uint8_t *bytes, size_t size, uint64_t lsn)
{
	Pages		pages = {.bytes = bytes, .size = size, .lsn = lsn};
	size_t		at = WA_WALHEADER_BYTES;
	uint64_t	prev = 0;
	WaWalHeader header;

	if (size < WA_WALHEADER_BYTES)
		return;
	wa_walheader_read(bytes, &header);
	pages.block_bytes = header.block_bytes >= 1024 &&
		header.block_bytes <= 65536 &&
		(header.block_bytes & (header.block_bytes - 1)) == 0 ?
		header.block_bytes : 8192;
	wa_put64(bytes + WA_WALHEADER_PAGEADDR, lsn);
	if ((header.info & WA_XLP_CONTRECORD) != 0)
	{
		uint32_t	due = wa_get32(bytes + WA_WALHEADER_REM_LEN);

		if (due > pages.block_bytes - at)
			return;
		at = (at + due + 7) & ~(size_t) 7;
	}
	while (at < size && size - at >= 4)
	{
		uint32_t	length;

		if (at % pages.block_bytes == 0)
		{
			if (!begin_page(&pages, at, 0))
				return;
			at += header_bytes(at);
		}
		length = wa_get32(bytes + at);
		if (length < WA_RECORD_HEADER_BYTES || length > size - at)
			return;
		at = seal_record(&pages, at, length, &prev);
		if (at == 0)
			return;
	}
}
