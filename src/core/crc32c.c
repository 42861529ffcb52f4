/*
 * crc32c.c
 *	  CRC-32C by a table of sixteen entries: what is checksummed here is a few
 *	  hundred bytes, and a small constant table needs no initialisation that
 *	  threads could race for.
 */
#include "core/crc32c.h"

/* The reflected polynomial 0x82F63B78, four bits at a time. */
static const uint32_t nibble_table[16] = {
	0x00000000, 0x105EC76F, 0x20BD8EDE, 0x30E349B1,
	0x417B1DBC, 0x5125DAD3, 0x61C69362, 0x7198540D,
	0x82F63B78, 0x92A8FC17, 0xA24BB5A6, 0xB21572C9,
	0xC38D26C4, 0xD3D3E1AB, 0xE330A81A, 0xF36E6F75
};

uint32_t
wa_crc32c(uint32_t crc, const void *data, size_t length)
{
	const unsigned char *bytes = data;

	crc = ~crc;
	for (size_t i = 0; i < length; i++)
	{
		crc ^= bytes[i];
		crc = crc >> 4 ^ nibble_table[crc & 15];
		crc = crc >> 4 ^ nibble_table[crc & 15];
	}
	return ~crc;
}
