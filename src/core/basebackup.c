/*
 * basebackup.c
 *	  The text that advertises a base backup whose data is in the archive.
 */
#include "core/basebackup.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/array.h"
#include "core/backuphistory.h"
#include "core/keyvalue.h"
#include "core/lsn.h"

#define BASE_VERSION	1

bool
wa_base_id_valid(const char *id)
{
	return wa_keyvalue_name_valid(id, WA_BASE_ID_BYTES);
}

bool
wa_base_file_valid(const char *name, uint32_t *oid)
{
	unsigned	number;
	int			end = 0;

	*oid = 0;
	if (strcmp(name, WA_BASE_MAIN) == 0 || strcmp(name, WA_BASE_MANIFEST) == 0)
		return true;
	if (strlen(name) >= WA_BASE_FILE_BYTES || name[0] < '1' || name[0] > '9' ||
		sscanf(name, "%10u.tar.zst%n", &number, &end) != 1 || end == 0 ||
		name[end] != '\0')
		return false;
	*oid = number;
	return true;
}

static bool
no_controls(const char *text)
{
	for (const char *c = text; *c != '\0'; c++)
		if ((unsigned char) *c < ' ' || *c == 0x7f)
			return false;
	return true;
}

bool
wa_base_label_valid(const char *label)
{
	return no_controls(label) && strlen(label) < WA_BASE_LABEL_BYTES;
}

bool
wa_base_path_valid(const char *path)
{
	size_t		length = strlen(path);

	/* blanks at the end of a line do not count */
	return no_controls(path) && length < WA_BASE_PATH_BYTES &&
		(length == 0 || path[length - 1] != ' ');
}

const WaBaseFile *
wa_base_file(const WaBaseBackup *backup, const char *name)
{
	for (size_t i = 0; i < backup->files_count; i++)
		if (strcmp(backup->files[i].name, name) == 0)
			return &backup->files[i];
	return NULL;
}

/* ---- writing ---------------------------------------------------------------- */

/* A text that grows. */
typedef struct Text
{
	char	   *bytes;
	size_t		length;
	bool		failed;
} Text;

static void add(Text *text, const char *format,...)
			__attribute__((format(printf, 2, 3)));

static void
add(Text *text, const char *format,...)
{
	char		line[WA_BASE_PATH_BYTES + 200];
	char	   *larger;
	va_list		args;
	int			length;

	va_start(args, format);
	length = vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	larger = length >= 0 && (size_t) length < sizeof(line) ?
		realloc(text->bytes, text->length + (size_t) length + 1) : NULL;
	if (larger == NULL)
	{
		text->failed = true;
		return;
	}
	text->bytes = larger;
	memcpy(larger + text->length, line, (size_t) length + 1);
	text->length += (size_t) length;
}

static void
add_end(Text *text, const WaBaseBackup *backup)
{
	char		time[WA_KEYVALUE_TIME_BYTES];

	add(text, "stop-timeline: %" PRIu32 "\nstop-lsn: " WA_LSN_FORMAT
		"\nstop-time: %s\nchecksum-failures: %s\n", backup->stop_tli,
		WA_LSN_ARGS(backup->stop_lsn),
		wa_keyvalue_time_text(backup->stop_us, time),
		backup->checksum_failures ? "yes" : "no");
	for (size_t i = 0; i < backup->files_count; i++)
	{
		const WaBaseFile *file = &backup->files[i];
		char		digest[WA_DIGEST_TEXT_BYTES];

		wa_digest_text(&file->digest, digest);
		add(text, "file: %s %" PRIu64 " %" PRIu64 " %s%s%s\n", file->name,
			file->raw_bytes, file->stored_bytes, digest,
			file->location[0] != '\0' ? " " : "", file->location);
	}
}

char *
wa_base_format(const WaBaseBackup *backup)
{
	Text		text = {0};
	char		time[WA_KEYVALUE_TIME_BYTES];

	add(&text, "walarch-backup: %d\nid: %s\nlabel: %s\n", BASE_VERSION,
		backup->id, backup->label);
	if (backup->parent[0] != '\0')
		add(&text, "parent: %s\n", backup->parent);
	add(&text, "from: %s\nserver-version: %" PRIu32 "\n",
		backup->from_standby ? "standby" : "primary", backup->server_version);
	add(&text, "timeline: %" PRIu32 "\nstart-lsn: " WA_LSN_FORMAT
		"\nstart-time: %s\n", backup->start_tli,
		WA_LSN_ARGS(backup->start_lsn),
		wa_keyvalue_time_text(backup->start_us, time));
	if (backup->token[0] != '\0')
		add(&text, "token: %s\n", backup->token);
	if (backup->stop_lsn != 0)
		add_end(&text, backup);
	if (!text.failed)
		return text.bytes;
	free(text.bytes);
	return NULL;
}

/* ---- reading ---------------------------------------------------------------- */

typedef struct Parser
{
	WaBaseBackup *backup;
	unsigned	version;
	bool		unsupported;
	bool		no_memory;
} Parser;

static bool
parse_number(const char *value, uint32_t *number)
{
	int			end = 0;

	return value[0] >= '0' && value[0] <= '9' && strlen(value) <= 10 &&
		sscanf(value, "%" SCNu32 "%n", number, &end) == 1 &&
		value[end] == '\0';
}

/* "NAME RAW STORED DIGEST", and the location of a tablespace. */
static bool
parse_file(Parser *parser, const char *value)
{
	WaBaseBackup *backup = parser->backup;
	WaBaseFile	file = {0};
	char		digest[WA_DIGEST_TEXT_BYTES];
	WaBaseFile *larger;
	uint32_t	oid;
	int			end = 0;

	if (sscanf(value, "%39s %" SCNu64 " %" SCNu64 " %32s%n", file.name,
			   &file.raw_bytes, &file.stored_bytes, digest, &end) != 4 ||
		!wa_digest_parse(digest, &file.digest) ||
		!wa_base_file_valid(file.name, &oid))
		return false;
	if (value[end] == ' ' &&
		!wa_keyvalue_copy(file.location, sizeof(file.location), value + end + 1))
		return false;
	if ((value[end] != ' ' && value[end] != '\0') ||
		(oid != 0) != (file.location[0] == '/'))
		return false;
	if (wa_base_file(backup, file.name) != NULL)
		return false;
	larger = wa_array_room(backup->files, backup->files_count, sizeof(file));
	if (larger == NULL)
	{
		parser->no_memory = true;
		return false;
	}
	backup->files = larger;
	backup->files[backup->files_count++] = file;
	return true;
}

/* One line; false: a value that cannot be. */
static bool
parse_line(Parser *parser, const char *key, const char *value)
{
	WaBaseBackup *backup = parser->backup;
	int			end = 0;

	if (strcmp(key, "walarch-backup") == 0)
	{
		bool		good = sscanf(value, "%u%n", &parser->version, &end) == 1 &&
			value[end] == '\0' && parser->version > 0;

		parser->unsupported |= good && parser->version > BASE_VERSION;
		return good;
	}
	if (strcmp(key, "id") == 0)
		return wa_base_id_valid(value) &&
			wa_keyvalue_copy(backup->id, sizeof(backup->id), value);
	if (strcmp(key, "label") == 0)
		return wa_keyvalue_copy(backup->label, sizeof(backup->label), value);
	if (strcmp(key, "parent") == 0)
		return wa_base_id_valid(value) &&
			wa_keyvalue_copy(backup->parent, sizeof(backup->parent), value);
	if (strcmp(key, "token") == 0)
		return strlen(value) == WA_BASE_TOKEN_BYTES - 1 &&
			wa_keyvalue_copy(backup->token, sizeof(backup->token), value);
	if (strcmp(key, "from") == 0)
	{
		backup->from_standby = strcmp(value, "standby") == 0;
		return backup->from_standby || strcmp(value, "primary") == 0;
	}
	if (strcmp(key, "server-version") == 0)
		return parse_number(value, &backup->server_version);
	if (strcmp(key, "timeline") == 0)
		return backup->start_tli == 0 &&
			parse_number(value, &backup->start_tli);
	if (strcmp(key, "stop-timeline") == 0)
		return parse_number(value, &backup->stop_tli);
	if (strcmp(key, "start-lsn") == 0)
		return backup->start_lsn == 0 &&
			wa_lsn_parse_whole(value, &backup->start_lsn);
	if (strcmp(key, "stop-lsn") == 0)
		return backup->stop_lsn == 0 &&
			wa_lsn_parse_whole(value, &backup->stop_lsn);
	if (strcmp(key, "start-time") == 0)
		return wa_backuphistory_time(value, &backup->start_us);
	if (strcmp(key, "stop-time") == 0)
		return wa_backuphistory_time(value, &backup->stop_us);
	if (strcmp(key, "checksum-failures") == 0)
	{
		backup->checksum_failures = strcmp(value, "yes") == 0;
		return backup->checksum_failures || strcmp(value, "no") == 0;
	}
	if (strcmp(key, "file") == 0)
		return parse_file(parser, value);
	if (strncmp(key, "requires-", 9) == 0)
		parser->unsupported = true;
	return true;
}

/* Is all there that must be? */
static bool
is_complete(const WaBaseBackup *backup, bool ended)
{
	if (backup->id[0] == '\0' || backup->start_tli == 0 ||
		backup->start_lsn == 0 || backup->server_version == 0 ||
		backup->start_us == 0)
		return false;
	if (!ended)
		return true;
	return wa_base_file(backup, WA_BASE_MAIN) != NULL &&
		wa_base_file(backup, WA_BASE_MANIFEST) != NULL &&
		backup->stop_tli >= backup->start_tli &&
		backup->stop_lsn > backup->start_lsn && backup->stop_us != 0;
}

WaCode
wa_base_parse(const char *text, size_t length, const char *what, bool ended,
			  WaBaseBackup *backup, WaError *err)
{
	Parser		parser = {.backup = backup};
	char	   *copy = NULL;
	char	   *save;
	bool		good;

	memset(backup, 0, sizeof(*backup));
	good = length <= WA_BASE_TEXT_BYTES_MAX &&
		memchr(text, '\0', length) == NULL;
	if (good)
	{
		copy = strndup(text, length);
		if (copy == NULL)
			return wa_fail(err, WA_NO_MEMORY, "out of memory");
		for (char *line = strtok_r(copy, "\n", &save);
			 line != NULL && good && !parser.unsupported;
			 line = strtok_r(NULL, "\n", &save))
		{
			char	   *value;

			if (wa_keyvalue_split(line, &value))
				good = parse_line(&parser, line, value);
		}
		free(copy);
	}
	if (parser.no_memory)
		return wa_fail(err, WA_NO_MEMORY, "out of memory");
	if (parser.unsupported)
		return wa_fail(err, WA_UNSUPPORTED, "\"%s\" is of a later format than "
					   "this walarch knows", what);
	if (good && parser.version > 0 && is_complete(backup, ended))
		return WA_OK;
	return wa_fail(err, WA_DAMAGED, "\"%s\" does not describe a backup, or is "
				   "damaged", what);
}

void
wa_base_free(WaBaseBackup *backup)
{
	free(backup->files);
	memset(backup, 0, sizeof(*backup));
}

uint64_t
wa_base_stored_bytes(const WaBaseBackup *backup)
{
	uint64_t	bytes = 0;

	for (size_t i = 0; i < backup->files_count; i++)
		bytes += backup->files[i].stored_bytes;
	return bytes;
}
