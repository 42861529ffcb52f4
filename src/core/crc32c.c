/*
 * crc32c.c
 *	  CRC-32C, with the processor's instruction where it has one.
 *
 * Otherwise by a table of sixteen entries: slow, but every processor of the
 * last fifteen years has the instruction, and a small constant table needs
 * no initialisation that threads could race for.
 */
#include "core/crc32c.h"

#include <string.h>

#if defined(__x86_64__)
#include <nmmintrin.h>
#elif defined(__aarch64__)
#include <arm_acle.h>
#include <sys/auxv.h>
#include <asm/hwcap.h>
#endif

/* The reflected polynomial, four bits at a time. */
#define POLYNOMIAL	0x82F63B78

static const uint32_t nibble_table[16] = {
	0x00000000, 0x105EC76F, 0x20BD8EDE, 0x30E349B1,
	0x417B1DBC, 0x5125DAD3, 0x61C69362, 0x7198540D,
	POLYNOMIAL, 0x92A8FC17, 0xA24BB5A6, 0xB21572C9,
	0xC38D26C4, 0xD3D3E1AB, 0xE330A81A, 0xF36E6F75
};

uint32_t
wa_crc32c_by_table(uint32_t crc, const void *data, size_t length)
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

/*
 * Bits of a CRC are coefficients of a polynomial, the highest bit that of
 * x^0.  The product of two, modulo the generator.
 */
static uint32_t
multiply(uint32_t a, uint32_t b)
{
	uint32_t	product = 0;

	/* masks instead of branches, which would be guessed wrongly half of the
	 * time */
	for (int bit = 31; bit >= 0; bit--)
	{
		product ^= b & -(a >> bit & 1);
		b = b >> 1 ^ (POLYNOMIAL & -(b & 1));
	}
	return product;
}

#if defined(__x86_64__)

#define HAVE_INSTRUCTION
#define WITH_INSTRUCTION	__attribute__((target("sse4.2")))
#define STEP_8(crc, value)	((uint32_t) _mm_crc32_u64(crc, value))
#define STEP_1(crc, value)	_mm_crc32_u8(crc, value)

static bool
has_instruction(void)
{
	return __builtin_cpu_supports("sse4.2");
}

#elif defined(__aarch64__)

#define HAVE_INSTRUCTION
#define WITH_INSTRUCTION	__attribute__((target("+crc")))
#define STEP_8(crc, value)	__crc32cd(crc, value)
#define STEP_1(crc, value)	__crc32cb(crc, value)

static bool
has_instruction(void)
{
	return (getauxval(AT_HWCAP) & HWCAP_CRC32) != 0;
}

#endif

#ifdef HAVE_INSTRUCTION

/*
 * The instruction takes three cycles but can start in each, so three parts
 * are checksummed at a time where there is enough.
 */
#define PART_BYTES			1024
#define SHIFT_PART			0xE4172B16	/* x^(8 * 1024) */
#define SHIFT_TWO_PARTS		0x0D65762A	/* x^(8 * 2048) */

static WITH_INSTRUCTION uint32_t
three_parts(uint32_t crc, const unsigned char *bytes)
{
	uint32_t	second = 0;
	uint32_t	third = 0;

	for (size_t i = 0; i < PART_BYTES; i += 8)
	{
		uint64_t	value[3];

		memcpy(&value[0], bytes + i, 8);
		memcpy(&value[1], bytes + PART_BYTES + i, 8);
		memcpy(&value[2], bytes + 2 * PART_BYTES + i, 8);
		crc = STEP_8(crc, value[0]);
		second = STEP_8(second, value[1]);
		third = STEP_8(third, value[2]);
	}
	return multiply(SHIFT_TWO_PARTS, crc) ^ multiply(SHIFT_PART, second) ^
		third;
}

static WITH_INSTRUCTION uint32_t
by_instruction(uint32_t crc, const unsigned char *bytes, size_t length)
{
	crc = ~crc;
	for (; length >= 3 * PART_BYTES; bytes += 3 * PART_BYTES,
		 length -= 3 * PART_BYTES)
		crc = three_parts(crc, bytes);
	for (; length >= 8; bytes += 8, length -= 8)
	{
		uint64_t	value;

		memcpy(&value, bytes, sizeof(value));
		crc = STEP_8(crc, value);
	}
	for (; length > 0; bytes++, length--)
		crc = STEP_1(crc, *bytes);
	return ~crc;
}

uint32_t
wa_crc32c(uint32_t crc, const void *data, size_t length)
{
	return has_instruction() ? by_instruction(crc, data, length) :
		wa_crc32c_by_table(crc, data, length);	/* not reached: old processors */
}

#else

uint32_t
wa_crc32c(uint32_t crc, const void *data, size_t length)
{
	return wa_crc32c_by_table(crc, data, length);
}

#endif

/*
 * Appending so many bytes multiplies what is known of the first part by
 * x^(8 * length); the second part's own checksum is then added.
 */
uint32_t
wa_crc32c_combine(uint32_t first, uint32_t second, uint64_t second_length)
{
	uint32_t	power = UINT32_C(1) << 23;	/* x^8 */
	uint32_t	shift = UINT32_C(1) << 31;	/* x^0 */

	for (; second_length != 0; second_length >>= 1)
	{
		if ((second_length & 1) != 0)
			shift = multiply(shift, power);
		power = multiply(power, power);
	}
	return multiply(shift, first) ^ second;
}
