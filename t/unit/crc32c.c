/*
 * crc32c.c
 *	  The checksum is CRC-32C, whole or in pieces.
 */
#include "core/crc32c.h"

#include <stdint.h>

#include "tap.h"

int
main(void)
{
	unsigned char bytes[32];
	const char *text = "123456789";
	uint32_t	crc;

	is_int(wa_crc32c(0, "", 0), 0, "of nothing");
	is_int(wa_crc32c(0, text, 9), 0xE3069283, "the check value");

	/* RFC 3720, B.4 */
	memset(bytes, 0, sizeof(bytes));
	is_int(wa_crc32c(0, bytes, 32), 0x8A9136AA, "32 zeros");
	memset(bytes, 0xFF, sizeof(bytes));
	is_int(wa_crc32c(0, bytes, 32), 0x62A8AB43, "32 ones");
	for (int i = 0; i < 32; i++)
		bytes[i] = (unsigned char) i;
	is_int(wa_crc32c(0, bytes, 32), 0x46DD794E, "increasing");

	for (size_t cut = 0; cut <= 9; cut++)
	{
		crc = wa_crc32c(0, text, cut);
		crc = wa_crc32c(crc, text + cut, 9 - cut);
		is_int(crc, 0xE3069283, "in two pieces, cut at %zu", cut);
	}
	return done_testing();
}
