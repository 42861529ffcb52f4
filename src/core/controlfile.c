/*
 * controlfile.c
 *	  What walarch needs from pg_control.
 */
#include "core/controlfile.h"

#include <string.h>

#include "core/bytes.h"
#include "core/controlfile_layout.h"
#include "core/crc32c.h"
#include "core/walname.h"

#define HEAD_BYTES	12			/* system identifier and version */

typedef struct Layout
{
	uint32_t	version;
	uint16_t	min_recovery_lsn;
	uint16_t	min_recovery_tli;
	uint16_t	segment_bytes;
	uint16_t	crc;			/* CRC-32C of all before it */
} Layout;

#define LAYOUT(...) {__VA_ARGS__},
static const Layout layouts[] = {WA_CONTROLFILE_LAYOUTS(LAYOUT)};
#undef LAYOUT

WaCode
wa_controlfile_parse(const unsigned char *bytes, size_t length,
					 const char *what, WaControlFile *control, WaError *err)
{
	memset(control, 0, sizeof(*control));
	if (length < HEAD_BYTES)
		return wa_fail(err, WA_DAMAGED, "\"%s\" is truncated", what);
	control->system_identifier = wa_get64(bytes + WA_CONTROLFILE_SYSID);
	control->version = wa_get32(bytes + WA_CONTROLFILE_VERSION);
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
