/*
 * walname.c
 *	  Names of the files PostgreSQL archives, and the numbers in them.
 */
#include "core/walname.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Exactly eight upper-case hexadecimal digits, as PostgreSQL prints them. */
static bool
parse_hex8(const char *text, uint32_t *value)
{
	uint32_t	result = 0;

	for (int i = 0; i < 8; i++)
	{
		char		c = text[i];

		if (c >= '0' && c <= '9')
			result = result << 4 | (uint32_t) (c - '0');
		else if (c >= 'A' && c <= 'F')
			result = result << 4 | (uint32_t) (c - 'A' + 10);
		else
			return false;
	}
	*value = result;
	return true;
}

static bool
parse_name(const char *text, WaWalName *name)
{
	size_t		length = strlen(text);

	if (length >= sizeof(name->text) || length < 8)
		return false;
	memcpy(name->text, text, length + 1);

	if (!parse_hex8(text, &name->tli) || name->tli == 0)
		return false;
	if (strcmp(text + 8, ".history") == 0)
	{
		name->kind = WA_KIND_HISTORY;
		return true;
	}

	if (length < WA_SEGMENT_NAME_LENGTH ||
		!parse_hex8(text + 8, &name->log) ||
		!parse_hex8(text + 16, &name->seg))
		return false;
	if (length == WA_SEGMENT_NAME_LENGTH)
	{
		name->kind = WA_KIND_SEGMENT;
		return true;
	}
	if (strcmp(text + WA_SEGMENT_NAME_LENGTH, ".partial") == 0)
	{
		name->kind = WA_KIND_PARTIAL;
		return true;
	}
	if (length == WA_SEGMENT_NAME_LENGTH + 1 + 8 + 7 &&
		text[WA_SEGMENT_NAME_LENGTH] == '.' &&
		parse_hex8(text + WA_SEGMENT_NAME_LENGTH + 1, &name->backup_offset) &&
		strcmp(text + WA_SEGMENT_NAME_LENGTH + 9, ".backup") == 0)
	{
		name->kind = WA_KIND_BACKUP;
		return true;
	}
	return false;
}

WaCode
wa_walname_parse(const char *text, WaWalName *name, WaError *err)
{
	memset(name, 0, sizeof(*name));
	if (!parse_name(text, name))
		return wa_fail(err, WA_INVALID,
					   "\"%.100s\" is not the name of a WAL, timeline history "
					   "or backup history file", text);
	return WA_OK;
}

bool
wa_walname_ready(const char *status_file, WaWalName *name)
{
	size_t		length = strlen(status_file);
	char		text[WA_WALNAME_BYTES];
	WaError		ignored;

	if (length <= 6 || length - 6 >= sizeof(text) ||
		strcmp(status_file + length - 6, ".ready") != 0)
		return false;
	memcpy(text, status_file, length - 6);
	text[length - 6] = '\0';
	return wa_walname_parse(text, name, &ignored) == WA_OK;
}

bool
wa_walname_archived_before(const WaWalName *name, const WaWalName *other)
{
	bool		history = name->kind == WA_KIND_HISTORY;
	bool		other_history = other->kind == WA_KIND_HISTORY;

	if (history != other_history)
		return history;
	return strcmp(name->text, other->text) < 0;
}

bool
wa_segment_bytes_valid(uint64_t segment_bytes)
{
	return segment_bytes >= WA_SEGMENT_BYTES_MIN &&
		segment_bytes <= WA_SEGMENT_BYTES_MAX &&
		(segment_bytes & (segment_bytes - 1)) == 0;
}

WaCode
wa_walname_segno(const WaWalName *name, uint32_t segment_bytes,
				 uint64_t *segno, WaError *err)
{
	uint64_t	per_log = (UINT64_C(1) << 32) / segment_bytes;

	if (name->kind == WA_KIND_HISTORY || name->seg >= per_log)
		return wa_fail(err, WA_INVALID,
					   "\"%s\" cannot be a WAL file of a cluster with segments "
					   "of %" PRIu32 " bytes", name->text, segment_bytes);
	*segno = name->log * per_log + name->seg;
	return WA_OK;
}

void
wa_segment_name(char *text, uint32_t tli, uint64_t segno,
				uint32_t segment_bytes)
{
	uint64_t	per_log = (UINT64_C(1) << 32) / segment_bytes;

	snprintf(text, WA_WALNAME_BYTES, "%08" PRIX32 "%08" PRIX32 "%08" PRIX32,
			 tli, (uint32_t) (segno / per_log), (uint32_t) (segno % per_log));
}

void
wa_history_name(char *text, uint32_t tli)
{
	snprintf(text, WA_WALNAME_BYTES, "%08" PRIX32 ".history", tli);
}
