/*
 * crc32c.c
 *	  The checksum is CRC-32C, whole or in pieces.
 */
#include "core/crc32c.h"

#include <stdint.h>

#include "tap.h"

/* Both ways agree for all lengths and alignments, and so do two parts. */
static void
test_lengths(void)
{
	static unsigned char data[8192];
	int			wrong = 0;
	int			wrong_combined = 0;

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (unsigned char) (i * 2654435761u >> 13);
	for (size_t length = 0; length < sizeof(data) - 8; length += 1 + length / 50)
		for (size_t from = 0; from < 8; from++)
		{
			uint32_t	crc = wa_crc32c(7, data + from, length);
			size_t		cut = length / 3;

			if (crc != wa_crc32c_by_table(7, data + from, length))
				wrong++;
			if (crc != wa_crc32c_combine(wa_crc32c(7, data + from, cut),
										 wa_crc32c(0, data + from + cut,
												   length - cut),
										 length - cut))
				wrong_combined++;
		}
	is_int(wrong, 0, "with the instruction as by table");
	is_int(wrong_combined, 0, "two parts combined");
}

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
	test_lengths();
	return done_testing();
}
