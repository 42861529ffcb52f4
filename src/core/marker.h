/*
 * marker.h
 *	  The text of archive.id, which says whose archive a directory is.
 */
#ifndef WA_MARKER_H
#define WA_MARKER_H

#include <stdbool.h>
#include <stdint.h>

#include "core/error.h"

#define WA_ARCHIVE_ID_TEXT_BYTES	33	/* 32 hexadecimal digits and a NUL */
#define WA_MARKER_BYTES_MAX			8192

typedef struct WaMarker
{
	uint64_t	system_identifier;
	uint32_t	segment_bytes;
	char		archive_id[WA_ARCHIVE_ID_TEXT_BYTES];
	bool		is_private;		/* of one standby: it may remove what it has
								 * replayed */
} WaMarker;

/* Write the text into buffer (WA_MARKER_BYTES_MAX); returns its length. */
extern size_t wa_marker_format(const WaMarker *marker, char *buffer);

/*
 * Parse it.  Unknown keys are ignored, unknown keys "requires-..." and
 * later format versions are WA_UNSUPPORTED, missing or bad values
 * WA_DAMAGED.
 */
extern WaCode wa_marker_parse(const char *text, size_t length,
							  const char *what, WaMarker *marker,
							  WaError *err);

#endif							/* WA_MARKER_H */
