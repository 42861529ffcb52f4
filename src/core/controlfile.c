/*
 * controlfile.c
 *	  What walarch needs from pg_control.
 */
#include "core/controlfile.h"

#include <string.h>

#include "core/bytes.h"
#include "core/crc32c.h"
#include "core/walname.h"

/* The same in every version (the comment in pg_control.h promises it). */
#define AT_SYSTEM_IDENTIFIER	0
#define AT_VERSION				8
#define HEAD_BYTES				12

/*
 * Offsets on machines with 8-byte alignment, by pg_control_version.  Where a
 * row should be wrong for some build, the checksum at its own offset tells.
 */
typedef struct Layout
{
	uint32_t	version;
	uint16_t	min_recovery_lsn;
	uint16_t	min_recovery_tli;
	uint16_t	segment_bytes;
	uint16_t	crc;			/* CRC-32C of all before it */
} Layout;

static const Layout layouts[] = {
	{1300, 136, 144, 228, 288},	/* PostgreSQL 15, 16 */
	{1700, 136, 144, 228, 288}, /* PostgreSQL 17 */
	{1800, 136, 144, 228, 292}, /* PostgreSQL 18 */
	{1902, 144, 152, 240, 304}, /* PostgreSQL 19 beta 1 to 3 */
	{1903, 144, 152, 240, 308}, /* PostgreSQL 19, August 2026 */
	{1905, 144, 152, 240, 308}, /* PostgreSQL 19 beta 4 and later */
};

WaCode
wa_controlfile_parse(const unsigned char *bytes, size_t length,
					 const char *what, WaControlFile *control, WaError *err)
{
	memset(control, 0, sizeof(*control));
	if (length < HEAD_BYTES)
		return wa_fail(err, WA_DAMAGED, "\"%s\" is truncated", what);
	control->system_identifier = wa_get64(bytes + AT_SYSTEM_IDENTIFIER);
	control->version = wa_get32(bytes + AT_VERSION);
	if (control->system_identifier == 0)
		return wa_fail(err, WA_DAMAGED, "\"%s\" has no system identifier",
					   what);

	for (size_t i = 0; i < sizeof(layouts) / sizeof(layouts[0]); i++)
	{
		const Layout *layout = &layouts[i];

		if (layout->version != control->version)
			continue;
		if (length < (size_t) layout->crc + 4 ||
			wa_crc32c(0, bytes, layout->crc) != wa_get32(bytes + layout->crc))
			return wa_fail(err, WA_DAMAGED, "\"%s\" fails its checksum",
						   what);
		control->segment_bytes = wa_get32(bytes + layout->segment_bytes);
		control->min_recovery_lsn = wa_get64(bytes + layout->min_recovery_lsn);
		control->min_recovery_tli = wa_get32(bytes + layout->min_recovery_tli);
		if (!wa_segment_bytes_valid(control->segment_bytes))
			return wa_fail(err, WA_DAMAGED,
						   "\"%s\" has an impossible segment size", what);
		control->known = true;
	}
	return WA_OK;
}
