/*
 * marker.c
 *	  The text of archive.id: lines "key: value".
 */
#include "core/marker.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/keyvalue.h"
#include "core/walname.h"

#define MARKER_VERSION	1

size_t
wa_marker_format(const WaMarker *marker, char *buffer)
{
	return (size_t) snprintf(buffer, WA_MARKER_BYTES_MAX,
							 "walarch-archive: %d\n"
							 "system-identifier: %" PRIu64 "\n"
							 "archive-id: %s\n"
							 "segment-size: %" PRIu32 "\n"
							 "%s",
							 MARKER_VERSION, marker->system_identifier,
							 marker->archive_id, marker->segment_bytes,
							 marker->is_private ? "private: yes\n" : "");
}

static bool
parse_unsigned(const char *text, uint64_t *value)
{
	char	   *end;

	if (!isdigit((unsigned char) *text))
		return false;
	errno = 0;
	*value = strtoull(text, &end, 10);
	return errno == 0 && *end == '\0';
}

static bool
archive_id_valid(const char *text)
{
	return strlen(text) == WA_ARCHIVE_ID_TEXT_BYTES - 1 &&
		strspn(text, "0123456789abcdef") == WA_ARCHIVE_ID_TEXT_BYTES - 1;
}

WaCode
wa_marker_parse(const char *text, size_t length, const char *what,
				WaMarker *marker, WaError *err)
{
	char		copy[WA_MARKER_BYTES_MAX + 1];
	uint64_t	version = 0;
	uint64_t	number;
	char	   *save;

	memset(marker, 0, sizeof(*marker));
	if (length > WA_MARKER_BYTES_MAX || memchr(text, '\0', length) != NULL)
		goto damaged;
	memcpy(copy, text, length);
	copy[length] = '\0';

	for (char *line = strtok_r(copy, "\n", &save); line != NULL;
		 line = strtok_r(NULL, "\n", &save))
	{
		char	   *value;

		if (!wa_keyvalue_split(line, &value))
			continue;
		if (strcmp(line, "walarch-archive") == 0)
		{
			if (!parse_unsigned(value, &version) || version == 0)
				goto damaged;
			if (version > MARKER_VERSION)
				break;			/* may write everything else otherwise */
		}
		else if (strcmp(line, "system-identifier") == 0)
		{
			if (!parse_unsigned(value, &marker->system_identifier))
				goto damaged;
		}
		else if (strcmp(line, "segment-size") == 0)
		{
			if (!parse_unsigned(value, &number) ||
				!wa_segment_bytes_valid(number))
				goto damaged;
			marker->segment_bytes = (uint32_t) number;
		}
		else if (strcmp(line, "archive-id") == 0)
		{
			if (!archive_id_valid(value))
				goto damaged;
			memcpy(marker->archive_id, value, WA_ARCHIVE_ID_TEXT_BYTES);
		}
		else if (strcmp(line, "private") == 0)
			marker->is_private = strcmp(value, "yes") == 0;
		else if (strncmp(line, "requires-", 9) == 0)
		{
			wa_fail(err, WA_UNSUPPORTED,
					"\"%s\" says \"%s\", which this walarch does not know",
					what, line);
			wa_hint(err, "Use the version of walarch that made the archive, "
					"or a later one.");
			return err->code;
		}
	}

	if (version > MARKER_VERSION)
		return wa_fail(err, WA_UNSUPPORTED,
					   "\"%s\" has format version %" PRIu64
					   "; this walarch knows version %d", what, version,
					   MARKER_VERSION);
	if (version == 0 || marker->system_identifier == 0 ||
		marker->segment_bytes == 0 || marker->archive_id[0] == '\0')
		goto damaged;
	return WA_OK;

damaged:
	wa_fail(err, WA_DAMAGED, "\"%s\" is not the marker of a walarch archive, "
			"or it is damaged", what);
	wa_hint(err, "If this is the right directory, move the file away and run "
			"\"walarch init --archive DIR -D DATADIR\".");
	return err->code;
}
