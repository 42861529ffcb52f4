/*
 * drill_checks.c
 *	  Is what was recovered a database that works?
 */
#include "recovery/drill.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "recovery/process.h"

#define OUTPUT_BYTES	400

void
wa_drill_check(WaDrill *drill, const char *name, WaCheckResult result,
			   const char *format,...)
{
	WaCheck    *check = &drill->checks[drill->checks_count];
	va_list		args;

	if (result == WA_CHECK_FAILED)
		drill->passed = false;
	if (drill->checks_count == WA_CHECKS_MAX)
		return;
	drill->checks_count++;
	check->name = name;
	check->result = result;
	va_start(args, format);
	vsnprintf(check->detail, sizeof(check->detail), format, args);
	va_end(args);
	for (char *c = check->detail; *c != '\0'; c++)
		if (*c == '\n')
			*c = c[1] == '\0' ? '\0' : ' ';
}

/* The judgement of a program of PostgreSQL. */
static void
run_program(WaDrill *drill, const char *name, const WaInstance *instance,
			const char *const *argv, const char *good)
{
	char		output[OUTPUT_BYTES];
	int			status;
	WaError		err;

	if (!wa_binaries_have(instance->binaries, argv[0]))
		wa_drill_check(drill, name, WA_CHECK_SKIPPED, "%s is not here",
					   argv[0]);
	else if (wa_binaries_ask(instance->binaries, argv, output, sizeof(output),
							 &status, &err) != WA_OK)
		wa_drill_check(drill, name, WA_CHECK_FAILED, "%s", err.message);
	else if (status == 0)
		wa_drill_check(drill, name, WA_CHECK_PASSED, "%s", good);
	else
		wa_drill_check(drill, name, WA_CHECK_FAILED, "%s, exit status %d: %s",
					   argv[0], status, output);
}

/* Can amcheck be had?  It is part of PostgreSQL's contrib modules. */
static bool
has_amcheck(PGconn *connection)
{
	PGresult   *result = PQexec(connection, "SELECT 1 FROM "
								"pg_catalog.pg_available_extensions "
								"WHERE name = 'amcheck'");
	bool		has = PQresultStatus(result) == PGRES_TUPLES_OK &&
		PQntuples(result) == 1;

	PQclear(result);
	return has;
}

static void
look_inside(WaDrill *drill, PGconn *connection)
{
	PGresult   *result = PQexec(connection, "SELECT count(*), "
								"pg_catalog.pg_size_pretty(sum(pg_catalog."
								"pg_database_size(oid))) "
								"FROM pg_catalog.pg_database "
								"WHERE datallowconn");

	if (PQresultStatus(result) != PGRES_TUPLES_OK || PQntuples(result) != 1)
		wa_drill_check(drill, "opens", WA_CHECK_FAILED, "%s",
					   PQerrorMessage(connection));
	else
		wa_drill_check(drill, "opens", WA_CHECK_PASSED, "%s databases, %s",
					   PQgetvalue(result, 0, 0), PQgetvalue(result, 0, 1));
	PQclear(result);
}

/* A program of the user's, told by the environment where the server is. */
static void
run_command(WaDrill *drill, const char *command)
{
	const char *const argv[] = {command, NULL};
	char		output[OUTPUT_BYTES];
	int			status;
	WaError		err;

	if (wa_program_run(command, argv, output, sizeof(output), &status,
					   &err) != WA_OK)
		wa_drill_check(drill, "check command", WA_CHECK_FAILED, "%s",
					   err.message);
	else if (status == 0)
		wa_drill_check(drill, "check command", WA_CHECK_PASSED, "%s", command);
	else
		wa_drill_check(drill, "check command", WA_CHECK_FAILED,
					   "%s: exit status %d%s%s", command, status,
					   output[0] != '\0' ? ": " : "", output);
}

void
wa_drill_check_open(WaDrill *drill, WaInstance *instance,
					const WaDrillChecks *checks)
{
	PGconn	   *connection;
	bool		amcheck;
	WaError		err;

	if (wa_instance_connect(instance, checks->dbname, &connection,
							&err) != WA_OK)
	{
		wa_drill_check(drill, "opens", WA_CHECK_FAILED, "%s", err.message);
		return;
	}
	look_inside(drill, connection);
	amcheck = has_amcheck(connection);
	PQfinish(connection);

	/* what our children connect to */
	setenv("PGHOST", instance->place, 1);
	setenv("PGPORT", "5432", 1);
	setenv("PGUSER", instance->user, 1);
	setenv("PGDATABASE", checks->dbname, 1);
	if (amcheck)
	{
		const char *const argv[] = {
			"pg_amcheck", "--all", "--install-missing", NULL
		};

		run_program(drill, "pg_amcheck", instance, argv, "no finding");
	}
	else
		wa_drill_check(drill, "pg_amcheck", WA_CHECK_SKIPPED,
					   "the extension amcheck is not installed here");
	for (size_t i = 0; i < checks->sql_count; i++)
	{
		const char *const argv[] = {
			"psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-f",
			checks->sql[i], NULL
		};

		run_program(drill, "check SQL", instance, argv, checks->sql[i]);
	}
	for (size_t i = 0; i < checks->commands_count; i++)
		run_command(drill, checks->commands[i]);
}

void
wa_drill_check_files(WaDrill *drill, const WaInstance *instance)
{
	const char *const ask[] = {"pg_controldata", instance->data, NULL};
	const char *const argv[] = {
		"pg_checksums", "--check", "-D", instance->data, NULL
	};
	const char *label = "Data page checksum version:";
	const char *at;
	char		text[8192];
	int			status;
	WaError		err;

	if (wa_binaries_ask(instance->binaries, ask, text, sizeof(text), &status,
						&err) == WA_OK && status == 0 &&
		(at = strstr(text, label)) != NULL && strtol(at + strlen(label), NULL, 10) == 0)
		wa_drill_check(drill, "data checksums", WA_CHECK_SKIPPED,
					   "they are not enabled in this cluster");
	else
		run_program(drill, "data checksums", instance, argv, "all pages");
}
