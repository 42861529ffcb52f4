/*
 * server.c
 *	  A connection to a PostgreSQL server, by libpq.
 */
#include "recovery/server.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

extern char **environ;

#define NAME_BYTES	100

bool
wa_server_option(WaServer *server, int letter, const char *value)
{
	switch (letter)
	{
		case 'd':
			server->dbname = value;
			return true;
		case 'h':
			server->host = value;
			return true;
		case 'p':
			server->port = value;
			return true;
		case 'U':
			server->user = value;
			return true;
		default:
			return false;
	}
}

/* libpq ends its messages with a new line, and may give several. */
WaCode
wa_server_fail(WaError *err, const char *what, const char *message)
{
	char		line[WA_MESSAGE_BYTES / 2];
	size_t		length = strlen(message);

	while (length > 0 && message[length - 1] == '\n')
		length--;
	snprintf(line, sizeof(line), "%.*s", (int) length, message);
	for (char *c = line; *c != '\0'; c++)
		if (*c == '\n' || *c == '\t')
			*c = ' ';
	return wa_fail(err, WA_INVALID, "%s: %s", what, line);
}

/*
 * A role or a database may bring a search path, on which somebody else has put
 * functions and operators before those that we mean.
 */
static bool
trust_no_path(PGconn *connection)
{
	PGresult   *result = PQexec(connection, "SELECT pg_catalog.set_config("
								"'search_path', '', false)");
	bool		good = PQresultStatus(result) == PGRES_TUPLES_OK;

	PQclear(result);
	return good;
}

/* libpq repeats what it cannot parse, and there may be a password in it. */
static bool
can_be_parsed(const WaServer *server)
{
	PQconninfoOption *options;
	char	   *message = NULL;

	if (server->dbname == NULL || server->plain ||
		(strchr(server->dbname, '=') == NULL &&
		 strstr(server->dbname, "://") == NULL))
		return true;
	options = PQconninfoParse(server->dbname, &message);
	PQfreemem(message);
	PQconninfoFree(options);
	return options != NULL;
}

WaCode
wa_server_connect(const WaServer *server, bool replication,
				  PGconn **connection, WaError *err)
{
	const char *dbname = server->dbname;
	const char *const keywords[] = {
		/* what a connection string says of it counts more */
		"connect_timeout", "dbname", "host", "port", "user",
		"fallback_application_name", replication ? "replication" : NULL, NULL
	};

	*connection = NULL;
	if (!can_be_parsed(server))
	{
		wa_fail(err, WA_INVALID, "the connection string that was given is not "
				"one");
		wa_hint(err, "It is not repeated here, since it may hold a password. "
				"psql says where it is wrong.");
		return err->code;
	}
	/* like the tools of PostgreSQL that work for a whole cluster */
	if (dbname == NULL && !replication && getenv("PGDATABASE") == NULL &&
		getenv("PGSERVICE") == NULL)
		dbname = "postgres";
	{
		const char *const values[] = {
			server->timeout, dbname, server->host, server->port, server->user,
			"walarch", "true", NULL
		};

		*connection = PQconnectdbParams(keywords, values, !server->plain);
	}
	if (*connection == NULL)
		return wa_fail(err, WA_NO_MEMORY, "out of memory");
	if (PQstatus(*connection) == CONNECTION_OK &&
		(replication || trust_no_path(*connection)))
		return WA_OK;
	wa_server_fail(err, "could not connect", PQerrorMessage(*connection));
	if (PQconnectionNeedsPassword(*connection))
		wa_hint(err, "Put the password into a password file (~/.pgpass), or "
				"into PGPASSWORD.");
	PQfinish(*connection);
	*connection = NULL;
	return err->code;
}

bool
wa_server_setting(PGconn *connection, const char *name, char *value,
				  size_t bytes)
{
	char		command[128];
	PGresult   *result;
	bool		good;

	snprintf(command, sizeof(command), "SHOW %.100s", name);
	result = PQexec(connection, command);
	good = PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1;
	if (good)
		snprintf(value, bytes, "%s", PQgetvalue(result, 0, 0));
	PQclear(result);
	return good;
}

void
wa_server_forget_environment(void)
{
	char	  **at = environ;

	while (at != NULL && *at != NULL)
	{
		char		name[NAME_BYTES];
		size_t		length = strcspn(*at, "=");

		/* unsetenv moves up what follows */
		if (strncmp(*at, "PG", 2) != 0 || length >= sizeof(name))
			at++;
		else
		{
			snprintf(name, sizeof(name), "%.*s", (int) length, *at);
			unsetenv(name);
		}
	}
}

WaCode
wa_server_ask(PGconn *connection, const char *question, uint64_t most_ms,
			  PGresult **row, WaError *err)
{
	uint64_t	since = wa_cli_now_ms();
	PGresult   *more;

	*row = NULL;
	if (PQsendQuery(connection, question) != 1)
		return wa_server_fail(err, "the server could not be asked",
							  PQerrorMessage(connection));
	while (PQisBusy(connection))
	{
		struct pollfd answer = {.fd = PQsocket(connection), .events = POLLIN};
		uint64_t	spent = wa_cli_now_ms() - since;

		if (spent >= most_ms)
			return wa_fail(err, WA_STUCK, "the server does not answer");
		(void) poll(&answer, 1, (int) (most_ms - spent));
		if (PQconsumeInput(connection) != 1)
			break;
	}
	*row = PQgetResult(connection);
	/* its end has come with it */
	while ((more = PQgetResult(connection)) != NULL)
		PQclear(more);
	if (PQresultStatus(*row) == PGRES_TUPLES_OK && PQntuples(*row) == 1)
		return WA_OK;
	wa_server_fail(err, "the server could not be asked",
				   PQerrorMessage(connection));
	PQclear(*row);
	*row = NULL;
	return err->code;
}
