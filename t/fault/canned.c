/*
 * canned.c
 *	  A server that sends one base backup, in place of libpq.
 */
#include "canned.h"

#include <archive.h>
#include <archive_entry.h>
#include <libpq-fe.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/crc32c.h"
#include "fixture.h"
#include "tap.h"

#define TAR_BYTES		(512 * 1024)
#define PIECE_BYTES		(32 * 1024)
#define MESSAGES		64

/* ---- the cluster ------------------------------------------------------------ */

typedef struct CannedFile
{
	const char *path;
	size_t		bytes;			/* 0: a directory */
	bool		below;			/* in the tablespace */
} CannedFile;

static const CannedFile files[] = {
	{"backup_label", 200, false},
	{"tablespace_map", 40, false},
	{"PG_VERSION", 3, false},
	{"base", 0, false},
	{"base/1", 0, false},
	{"base/1/1259", 90000, false},
	{"base/1/2619", 8192, false},
	{"pg_tblspc", 0, false},
	{"pg_wal", 0, false},
	{"postgresql.auto.conf", 88, false},
	{"global", 0, false},
	{"global/1262", 8192, false},
	{"global/pg_control", 8192, false},
	{"PG_15_202209061", 0, true},
	{"PG_15_202209061/5", 0, true},
	{"PG_15_202209061/5/16385", 40000, true},
};
#define FILES	(sizeof(files) / sizeof(files[0]))

static char location[512];

static void
contents(size_t n, unsigned char *bytes)
{
	fill(bytes, files[n].bytes, (uint32_t) n);
	if (strcmp(files[n].path, "tablespace_map") == 0)
		snprintf((char *) bytes, files[n].bytes, "16384 /was/there%*s\n", 22, "");
}

/* The tar archive of one half; its size. */
static size_t
make_tar(bool below, char *tar)
{
	struct archive *to = archive_write_new();
	unsigned char *bytes = malloc(128 * 1024);
	size_t		used;

	must(to != NULL && bytes != NULL);
	must(archive_write_set_format_ustar(to) == ARCHIVE_OK);
	must(archive_write_open_memory(to, tar, TAR_BYTES, &used) == ARCHIVE_OK);
	for (size_t i = 0; i < FILES; i++)
	{
		struct archive_entry *entry = archive_entry_new();

		if (files[i].below != below)
		{
			archive_entry_free(entry);
			continue;
		}
		contents(i, bytes);
		archive_entry_set_pathname(entry, files[i].path);
		archive_entry_set_filetype(entry, files[i].bytes > 0 ? AE_IFREG :
								   AE_IFDIR);
		archive_entry_set_perm(entry, files[i].bytes > 0 ? 0600 : 0700);
		archive_entry_set_size(entry, (la_int64_t) files[i].bytes);
		must(archive_write_header(to, entry) == ARCHIVE_OK);
		must(archive_write_data(to, bytes, files[i].bytes) ==
			 (la_ssize_t) files[i].bytes);
		archive_entry_free(entry);
	}
	must(archive_write_close(to) == ARCHIVE_OK);
	archive_write_free(to);
	free(bytes);
	return used;
}

static char *
make_manifest(void)
{
	char	   *text = NULL;
	size_t		length;
	FILE	   *to = open_memstream(&text, &length);
	unsigned char *bytes = malloc(128 * 1024);
	const char *comma = "";

	must(to != NULL && bytes != NULL);
	fprintf(to, "{ \"PostgreSQL-Backup-Manifest-Version\": 1,\n\"Files\": [");
	for (size_t i = 0; i < FILES; i++)
	{
		uint32_t	crc;

		if (files[i].bytes == 0)
			continue;
		contents(i, bytes);
		crc = __builtin_bswap32(wa_crc32c(0, bytes, files[i].bytes));
		fprintf(to, "%s\n{ \"Path\": \"%s%s\", \"Size\": %zu, "
				"\"Checksum-Algorithm\": \"CRC32C\", \"Checksum\": \"%08x\" }",
				comma, files[i].below ? "pg_tblspc/16384/" : "",
				files[i].path, files[i].bytes, crc);
		comma = ",";
	}
	fprintf(to, "\n]\n}\n");
	must(fclose(to) == 0);
	free(bytes);
	return text;
}

/* What recovery settings are written behind is there before. */
static bool
begins_with(const char *path, const unsigned char *bytes, size_t length,
			bool exactly)
{
	size_t		there;
	unsigned char *now = read_file(path, &there);
	bool		good = now != NULL && memcmp(now, bytes, length) == 0 &&
		(exactly ? there == length : there > length);

	free(now);
	return good;
}

const char *
canned_flaw(const char *directory, const char *tablespace)
{
	static char flaw[700];
	char		path[600];
	char		to[600];
	unsigned char *bytes = malloc(128 * 1024);
	size_t		there;
	ssize_t		length;
	struct stat st;

	must(bytes != NULL);
	flaw[0] = '\0';
	for (size_t i = 0; i < FILES && flaw[0] == '\0'; i++)
	{
		bool		settings = strcmp(files[i].path,
									  "postgresql.auto.conf") == 0;

		snprintf(path, sizeof(path), "%s/%s", files[i].below ? tablespace :
				 directory, files[i].path);
		contents(i, bytes);
		if (files[i].bytes == 0 ? stat(path, &st) != 0 ||
			!S_ISDIR(st.st_mode) :
			strcmp(files[i].path, "tablespace_map") != 0 &&
			!begins_with(path, bytes, files[i].bytes, !settings))
			snprintf(flaw, sizeof(flaw), "%s", path);
	}
	free(bytes);
	if (flaw[0] != '\0')
		return flaw;
	snprintf(path, sizeof(path), "%s/pg_tblspc/16384", directory);
	length = readlink(path, to, sizeof(to) - 1);
	to[length > 0 ? length : 0] = '\0';
	if (strcmp(to, tablespace) != 0)
		return "the link to the tablespace";
	snprintf(to, sizeof(to), "16384 %s\n", tablespace);
	snprintf(path, sizeof(path), "%s/tablespace_map", directory);
	if (!file_is(path, to, strlen(to)))
		return "tablespace_map";
	snprintf(path, sizeof(path), "%s/recovery.signal", directory);
	if (!file_is(path, "", 0))
		return "recovery.signal";
	snprintf(path, sizeof(path), "%s/postgresql.auto.conf", directory);
	bytes = read_file(path, &there);
	if (strstr((char *) bytes + 88, "restore_command = ") == NULL ||
		strstr((char *) bytes + 88, "primary_slot_name = ''\n") == NULL)
		snprintf(flaw, sizeof(flaw), "the settings");
	free(bytes);
	return flaw[0] != '\0' ? flaw : NULL;
}

/* ---- what is sent ----------------------------------------------------------- */

static struct
{
	int			length;
	char	   *bytes;
}			messages[MESSAGES];
static int	messages_count;
static int	messages_sent;

static void
message(char kind, const char *data, size_t length)
{
	char	   *bytes = malloc(length + 1);

	must(bytes != NULL && messages_count < MESSAGES);
	bytes[0] = kind;
	memcpy(bytes + 1, data, length);
	messages[messages_count].bytes = bytes;
	messages[messages_count++].length = (int) length + 1;
}

static void
message_file(const char *name, const char *place, const char *data,
			 size_t length)
{
	char		names[600];
	int			bytes = snprintf(names, sizeof(names), "%s%c%s", name, '\0',
								 place) + 1;

	if (strcmp(name, "backup_manifest") == 0)
		message('m', "", 0);
	else
		message('n', names, (size_t) bytes);
	for (size_t at = 0; at < length; at += PIECE_BYTES)
		message('d', data + at, length - at < PIECE_BYTES ? length - at :
				PIECE_BYTES);
	message('p', "\0\0\0\0\0\1\0\0", 8);
}

void
canned_make(const char *tablespace)
{
	char	   *tar = malloc(TAR_BYTES);
	char	   *manifest;

	must(tar != NULL);
	snprintf(location, sizeof(location), "%s", tablespace);
	message_file("16384.tar", location, tar, make_tar(true, tar));
	message_file("base.tar", "", tar, make_tar(false, tar));
	manifest = make_manifest();
	message_file("backup_manifest", "", manifest, strlen(manifest));
	free(manifest);
	free(tar);
}

void
canned_free(void)
{
	while (messages_count > 0)
		free(messages[--messages_count].bytes);
}

/* ---- libpq ------------------------------------------------------------------ */

struct pg_conn
{
	int			next;			/* result of a backup */
	char		places[2][32];
};

struct pg_result
{
	ExecStatusType status;
	int			fields;			/* of its only row */
	const char *values[4];
};

static PGresult *
result(ExecStatusType status, int fields, const char *a, const char *b,
	   const char *c)
{
	PGresult   *made = malloc(sizeof(*made));

	must(made != NULL);
	*made = (PGresult) {status, fields, {a, b, c, ""}};
	return made;
}

PGconn *
PQconnectdbParams(const char *const *keywords, const char *const *values,
				  int expand_dbname)
{
	PGconn	   *made = calloc(1, sizeof(*made));

	must(made != NULL);
	snprintf(made->places[0], sizeof(made->places[0]), "0/%X",
			 (unsigned) CANNED_START);
	snprintf(made->places[1], sizeof(made->places[1]), "0/%X",
			 (unsigned) CANNED_STOP);
	return made;
}

ConnStatusType
PQstatus(const PGconn *conn)
{
	return CONNECTION_OK;
}

int
PQconnectionNeedsPassword(const PGconn *conn)
{
	return 0;
}

char *
PQerrorMessage(const PGconn *conn)
{
	return (char *) "";
}

const char *
PQparameterStatus(const PGconn *conn, const char *name)
{
	return strcmp(name, "in_hot_standby") == 0 ? "off" : "15.0";
}

int
PQserverVersion(const PGconn *conn)
{
	return 150000;
}

PQconninfoOption *
PQconninfoParse(const char *conninfo, char **errmsg)
{
	return calloc(1, sizeof(PQconninfoOption));
}

void
PQconninfoFree(PQconninfoOption *options)
{
	free(options);
}

void
PQfinish(PGconn *conn)
{
	free(conn);
}

PGresult *
PQexec(PGconn *conn, const char *query)
{
	static char system_identifier[24];

	snprintf(system_identifier, sizeof(system_identifier), "%llu",
			 (unsigned long long) SYSID);
	if (strcmp(query, "IDENTIFY_SYSTEM") == 0)
		return result(PGRES_TUPLES_OK, 4, system_identifier, "1", "0/0");
	if (strncmp(query, "SHOW ", 5) == 0)
		return result(PGRES_TUPLES_OK, 1, "on", "", "");
	return result(PGRES_TUPLES_OK, 1, "f", "", "");
}

int
PQsendQuery(PGconn *conn, const char *query)
{
	must(strncmp(query, "BASE_BACKUP ", 12) == 0);
	conn->next = 1;
	messages_sent = 0;
	return 1;
}

PGresult *
PQgetResult(PGconn *conn)
{
	switch (conn->next++)
	{
		case 1:
			return result(PGRES_TUPLES_OK, 2, conn->places[0], "1", "");
		case 2:
			return result(PGRES_TUPLES_OK, 3, "", "", "300");
		case 3:
			return result(PGRES_COPY_OUT, 0, "", "", "");
		case 4:
			return result(PGRES_TUPLES_OK, 2, conn->places[1], "1", "");
		case 5:
			return result(PGRES_COMMAND_OK, 0, "", "", "");
	}
	return NULL;
}

int
PQgetCopyData(PGconn *conn, char **buffer, int async)
{
	int			length;

	if (messages_sent == messages_count)
		return -1;
	length = messages[messages_sent].length;
	*buffer = malloc((size_t) length);
	must(*buffer != NULL);
	memcpy(*buffer, messages[messages_sent++].bytes, (size_t) length);
	return length;
}

void
PQfreemem(void *ptr)
{
	free(ptr);
}

ExecStatusType
PQresultStatus(const PGresult *res)
{
	return res != NULL ? res->status : PGRES_FATAL_ERROR;
}

int
PQntuples(const PGresult *res)
{
	return res->status == PGRES_TUPLES_OK;
}

int
PQnfields(const PGresult *res)
{
	return res->fields;
}

char *
PQgetvalue(const PGresult *res, int row, int column)
{
	return (char *) res->values[column];
}

char *
PQresultErrorField(const PGresult *res, int field)
{
	return NULL;
}

void
PQclear(PGresult *res)
{
	free(res);
}

/* ---- what no backup asks for ------------------------------------------------ */

int
PQputCopyData(PGconn *conn, const char *buffer, int bytes)
{
	return -1;
}

int
PQputCopyEnd(PGconn *conn, const char *message_)
{
	return -1;
}

int
PQgetisnull(const PGresult *res, int row, int column)
{
	return 1;
}

int
PQisBusy(PGconn *conn)
{
	return 0;
}

int
PQconsumeInput(PGconn *conn)
{
	return 0;
}

int
PQsocket(const PGconn *conn)
{
	return -1;
}
