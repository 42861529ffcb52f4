/*
 * stream.c
 *	  A base backup as a server sends it.
 */
#include "recovery/stream.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/basebackup.h"
#include "core/lsn.h"

#define VERSION_MIN		150000	/* older ones speak another protocol */
#define COMMAND_BYTES	1024
#define UPLOAD_BYTES	(64 * 1024)

WaCode
wa_stream_ask(PGconn *connection, WaStreamServer *server, WaError *err)
{
	PGresult   *result = PQexec(connection, "IDENTIFY_SYSTEM");
	const char *standby = PQparameterStatus(connection, "in_hot_standby");
	char		value[64];

	memset(server, 0, sizeof(*server));
	server->version = (uint32_t) PQserverVersion(connection);
	if (PQresultStatus(result) != PGRES_TUPLES_OK || PQntuples(result) != 1)
		wa_server_fail(err, "the server does not say which cluster it is",
					   PQerrorMessage(connection));
	else if (server->version < VERSION_MIN)
		wa_fail(err, WA_UNSUPPORTED, "the server is PostgreSQL %s; backups are "
				"taken from PostgreSQL 15 on",
				PQparameterStatus(connection, "server_version"));
	else
	{
		server->system_identifier = strtoull(PQgetvalue(result, 0, 0), NULL,
											 10);
		server->tli = (uint32_t) strtoul(PQgetvalue(result, 0, 1), NULL, 10);
		server->standby = standby != NULL && strcmp(standby, "on") == 0;
		server->archives = !wa_server_setting(connection, "archive_mode",
											  value, sizeof(value)) ||
			strcmp(value, "off") != 0;
	}
	PQclear(result);
	return server->system_identifier != 0 ? WA_OK : err->code;
}

static WaCode
unexpected(PGconn *connection, WaError *err)
{
	return wa_server_fail(err, "the server did not send what was expected",
						  PQerrorMessage(connection));
}

/* ---- the manifest of the parent --------------------------------------------- */

typedef struct UploadSink
{
	WaSink		sink;
	PGconn	   *connection;
} UploadSink;

static WaCode
upload_write(WaSink *sink, const void *data, size_t length, WaError *err)
{
	PGconn	   *connection = ((UploadSink *) sink)->connection;
	const char *at = data;

	while (length > 0)
	{
		int			some = length < UPLOAD_BYTES ? (int) length : UPLOAD_BYTES;

		if (PQputCopyData(connection, at, some) != 1)
			return wa_server_fail(err, "could not send the manifest of the "
								  "parent", PQerrorMessage(connection));
		at += some;
		length -= (size_t) some;
	}
	return WA_OK;
}

static void
upload_close(WaSink *sink)
{
}

static const WaSinkOps upload_ops = {
	.write = upload_write,
	.finish = wa_sink_forward_finish,
	.close = upload_close
};

/* One result of the command, and of its end. */
static WaCode
upload_result(PGconn *connection, ExecStatusType wanted, WaError *err)
{
	PGresult   *result = PQgetResult(connection);
	WaCode		code = WA_OK;

	if (PQresultStatus(result) != wanted)
		code = wa_server_fail(err, "the server does not take the manifest of "
							  "the parent", PQerrorMessage(connection));
	PQclear(result);
	return code;
}

/* After an error the connection is of no further use. */
static WaCode
upload_manifest(PGconn *connection, const WaStreamTaker *taker, WaError *err)
{
	UploadSink	upload = {
		.sink = {.ops = &upload_ops},
		.connection = connection
	};

	if (PQsendQuery(connection, "UPLOAD_MANIFEST") != 1)
		return wa_server_fail(err, "could not send the manifest of the parent",
							  PQerrorMessage(connection));
	if (upload_result(connection, PGRES_COPY_IN, err) != WA_OK ||
		taker->manifest(taker->arg, &upload.sink, err) != WA_OK)
		return err->code;
	if (PQputCopyEnd(connection, NULL) != 1)
		return wa_server_fail(err, "could not send the manifest of the parent",
							  PQerrorMessage(connection));
	if (upload_result(connection, PGRES_COMMAND_OK, err) != WA_OK)
		return err->code;
	/* no result is left, which libpq has to be asked for */
	PQclear(PQgetResult(connection));
	return WA_OK;
}

/* ---- the command ------------------------------------------------------------ */

static WaCode
send_command(PGconn *connection, const WaStreamOptions *options,
			 bool incremental, WaError *err)
{
	char		command[COMMAND_BYTES];
	char		rate[40] = "";
	char		label[2 * WA_BASE_LABEL_BYTES];
	size_t		length = 0;

	/* the grammar of replication commands knows no other escapes */
	for (const char *c = options->label; *c != '\0' &&
		 length + 2 < sizeof(label); c++)
	{
		if (*c == '\'')
			label[length++] = *c;
		label[length++] = *c;
	}
	label[length] = '\0';
	if (options->max_rate > 0)
		snprintf(rate, sizeof(rate), ", MAX_RATE %" PRIu32,
				 options->max_rate);

	/* the archive waits for WAL itself, so that it can say for which */
	snprintf(command, sizeof(command), "BASE_BACKUP (LABEL '%s', PROGRESS, "
			 "CHECKPOINT '%s', WAIT 0, TABLESPACE_MAP, MANIFEST 'yes', "
			 "TARGET 'client'%s%s)", label, options->fast ? "fast" : "spread",
			 rate, incremental ? ", INCREMENTAL" : "");
	if (PQsendQuery(connection, command) != 1)
		return wa_server_fail(err, "could not ask for a backup",
							  PQerrorMessage(connection));
	return WA_OK;
}

/* A row of an LSN and a timeline, as the first and the last result have it. */
static WaCode
read_place(PGconn *connection, const char *what, uint64_t *lsn, uint32_t *tli,
		   WaError *err)
{
	PGresult   *result = PQgetResult(connection);
	WaCode		code = WA_OK;

	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		code = wa_server_fail(err, what, PQerrorMessage(connection));
	else if (PQntuples(result) != 1 || PQnfields(result) < 2 ||
			 !wa_lsn_parse_whole(PQgetvalue(result, 0, 0), lsn))
		code = unexpected(connection, err);
	else
		*tli = (uint32_t) strtoul(PQgetvalue(result, 0, 1), NULL, 10);
	PQclear(result);
	return code;
}

/* The tablespaces, with their sizes in kB. */
static WaCode
read_sizes(PGconn *connection, uint64_t *total_bytes, WaError *err)
{
	PGresult   *result = PQgetResult(connection);
	WaCode		code = WA_OK;

	*total_bytes = 0;
	if (PQresultStatus(result) != PGRES_TUPLES_OK || PQnfields(result) < 3)
		code = unexpected(connection, err);
	else
		for (int i = 0; i < PQntuples(result); i++)
			*total_bytes += strtoull(PQgetvalue(result, i, 2), NULL, 10) * 1024;
	PQclear(result);
	return code;
}

/* ---- the stream ------------------------------------------------------------- */

/* Two strings, each with its NUL, and nothing behind them. */
static bool
split_names(const char *message, size_t length, const char **name,
			const char **location)
{
	const char *end = memchr(message, '\0', length);

	if (end == NULL)
		return false;
	*name = message;
	*location = end + 1;
	end = memchr(*location, '\0', length - (size_t) (*location - message));
	return end != NULL && end + 1 == message + length;
}

static WaCode
take_message(PGconn *connection, const WaStreamTaker *taker,
			 const char *message, size_t length, WaError *err)
{
	const char *name;
	const char *location;
	uint64_t	done = 0;

	switch (length > 0 ? message[0] : '\0')
	{
		case 'n':
			if (!split_names(message + 1, length - 1, &name, &location))
				break;
			return taker->file(taker->arg, name, location, err);
		case 'm':
			return taker->file(taker->arg, "backup_manifest", "", err);
		case 'd':
			return taker->data(taker->arg, message + 1, length - 1, err);
		case 'p':
			if (length != 9)
				break;
			for (int i = 1; i < 9; i++)
				done = done << 8 | (unsigned char) message[i];
			taker->progress(taker->arg, done);
			return WA_OK;
	}
	return unexpected(connection, err);
}

static WaCode
take_copy(PGconn *connection, const WaStreamTaker *taker, WaError *err)
{
	PGresult   *result = PQgetResult(connection);
	WaCode		code = WA_OK;
	char	   *message;
	int			length = 0;

	if (PQresultStatus(result) != PGRES_COPY_OUT)
		code = unexpected(connection, err);
	PQclear(result);
	while (code == WA_OK &&
		   (length = PQgetCopyData(connection, &message, 0)) > 0)
	{
		code = take_message(connection, taker, message, (size_t) length, err);
		PQfreemem(message);
	}
	if (code == WA_OK && length == -2)
		code = wa_server_fail(err, "the server broke off",
							  PQerrorMessage(connection));
	return code;
}

/*
 * The server tells of damaged pages only when it has sent everything: then it
 * fails with this SQLSTATE.
 */
static WaCode
read_end(PGconn *connection, WaStreamEnd *end, WaError *err)
{
	PGresult   *result;
	const char *state;
	WaCode		code;

	code = read_place(connection, "the backup failed", &end->stop_lsn,
					  &end->stop_tli, err);
	if (code != WA_OK)
		return code;
	result = PQgetResult(connection);
	state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	if (PQresultStatus(result) == PGRES_FATAL_ERROR && state != NULL &&
		strcmp(state, "XX001") == 0)	/* data_corrupted */
		end->checksum_failures = true;
	else if (PQresultStatus(result) != PGRES_COMMAND_OK)
		code = wa_server_fail(err, "the backup failed",
							  PQerrorMessage(connection));
	PQclear(result);
	return code;
}

WaCode
wa_stream_backup(PGconn *connection, const WaStreamOptions *options,
				 const WaStreamTaker *taker, WaStreamEnd *end, WaError *err)
{
	uint64_t	start_lsn = 0;
	uint32_t	tli = 0;
	uint64_t	total_bytes;

	memset(end, 0, sizeof(*end));
	if ((taker->manifest != NULL &&
		 upload_manifest(connection, taker, err) != WA_OK) ||
		send_command(connection, options, taker->manifest != NULL,
					 err) != WA_OK ||
		read_place(connection, "the server does not begin a backup",
				   &start_lsn, &tli, err) != WA_OK ||
		read_sizes(connection, &total_bytes, err) != WA_OK ||
		taker->begin(taker->arg, start_lsn, tli, total_bytes, err) != WA_OK ||
		take_copy(connection, taker, err) != WA_OK)
		return err->code;
	return read_end(connection, end, err);
}
