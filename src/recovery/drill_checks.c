/*
 * drill_checks.c
 *	  Is what was recovered a database that works?
 */
#include "recovery/drill.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/cli.h"
#include "core/array.h"
#include "recovery/process.h"

#define OUTPUT_BYTES	400
#define ANSWER_MS		60000
#define ROWS_BYTES		(256 * 1024)

void
wa_drill_check(WaDrill *drill, const char *name, WaCheckResult result,
			   const char *format,...)
{
	WaCheck    *check = wa_array_room(drill->checks, drill->checks_count,
									  sizeof(WaCheck));
	va_list		args;

	if (result == WA_CHECK_FAILED || check == NULL)
		drill->passed = false;
	if (check == NULL)
		return;
	drill->checks = check;
	check += drill->checks_count++;
	check->name = name;
	check->result = result;
	va_start(args, format);
	vsnprintf(check->detail, sizeof(check->detail), format, args);
	va_end(args);
	wa_program_line(check->detail);
}

/* What is left of the time; 1 when it is over. */
static uint64_t
time_left(const WaDrillChecks *checks)
{
	uint64_t	now_ms = wa_cli_now_ms();

	return now_ms < checks->until_ms ? checks->until_ms - now_ms : 1;
}

/* The judgement of a program of PostgreSQL. */
static void
run_program(WaDrill *drill, const char *name, const WaInstance *instance,
			const WaDrillChecks *checks, const char *const *argv,
			const char *good)
{
	char		output[OUTPUT_BYTES];
	int			status;
	WaError		err;

	if (!wa_binaries_have(instance->binaries, argv[0]))
		wa_drill_check(drill, name, WA_CHECK_SKIPPED, "%s is not here",
					   argv[0]);
	else if (wa_binaries_ask(instance->binaries, argv, time_left(checks),
							 output, sizeof(output), &status, &err) != WA_OK)
		wa_drill_check(drill, name, WA_CHECK_FAILED, "%s", err.message);
	else if (status == 0)
		wa_drill_check(drill, name, WA_CHECK_PASSED, "%s", good);
	else
		wa_drill_check(drill, name, WA_CHECK_FAILED, "%s, exit status %d: %s",
					   argv[0], status, output);
}

/* Can amcheck be had?  It is part of PostgreSQL's contrib modules. */
static void
run_amcheck(WaDrill *drill, const WaInstance *instance, PGconn *connection,
			const WaDrillChecks *checks)
{
	const char *const argv[] = {
		"pg_amcheck", "--all", "--install-missing", NULL
	};
	PGresult   *row;
	bool		there;
	WaError		err;

	if (wa_server_ask(connection, "SELECT count(*) FROM "
					  "pg_catalog.pg_available_extensions "
					  "WHERE name = 'amcheck'", ANSWER_MS, &row,
					  &err) != WA_OK)
	{
		wa_drill_check(drill, "pg_amcheck", WA_CHECK_FAILED, "%s",
					   err.message);
		return;
	}
	there = strcmp(PQgetvalue(row, 0, 0), "1") == 0;
	PQclear(row);
	if (there)
		run_program(drill, "pg_amcheck", instance, checks, argv,
					"no finding");
	else
		wa_drill_check(drill, "pg_amcheck", WA_CHECK_SKIPPED,
					   "the extension amcheck is not installed here");
}

static void
look_inside(WaDrill *drill, PGconn *connection)
{
	char		closed[200] = "";
	char		held[100] = "";
	PGresult   *row;
	WaError		err;

	if (wa_server_ask(connection, "SELECT "
					  "count(*) FILTER (WHERE datallowconn), "
					  "pg_catalog.pg_size_pretty(sum("
					  "pg_catalog.pg_database_size(oid))), "
					  "(SELECT count(*) FROM pg_catalog.pg_prepared_xacts), "
					  "string_agg(datname, ', ') FILTER "
					  "(WHERE NOT datallowconn AND datname <> 'template0') "
					  "FROM pg_catalog.pg_database",
					  ANSWER_MS, &row, &err) != WA_OK)
	{
		wa_drill_check(drill, "opens", WA_CHECK_FAILED, "%s", err.message);
		return;
	}
	if (strcmp(PQgetvalue(row, 0, 2), "0") != 0)
		snprintf(held, sizeof(held), "; %.20s prepared transactions hold "
				 "their locks", PQgetvalue(row, 0, 2));
	if (!PQgetisnull(row, 0, 3))
		snprintf(closed, sizeof(closed), "; not looked into, since they allow "
				 "no connections: %.100s", PQgetvalue(row, 0, 3));
	wa_drill_check(drill, "opens", WA_CHECK_PASSED, "%s databases, %s%s%s",
				   PQgetvalue(row, 0, 0), PQgetvalue(row, 0, 1), held, closed);
	PQclear(row);
}

/* Is there a row that is just "f"? */
static bool
says_false(const char *rows)
{
	return strncmp(rows, "f\n", 2) == 0 || strstr(rows, "\nf\n") != NULL;
}

/* SQL of the user's, which may ask as well as raise an error. */
static void
run_sql(WaDrill *drill, const WaInstance *instance,
		const WaDrillChecks *checks, const char *file)
{
	const char *const argv[] = {
		"psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-f", file,
		NULL
	};
	const char *name = "check SQL";
	char	   *rows = malloc(ROWS_BYTES);
	struct stat st;
	int			status;
	WaError		err;

	if (rows == NULL)
		wa_drill_check(drill, name, WA_CHECK_FAILED, "out of memory");
	else if (stat(file, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size == 0)
		wa_drill_check(drill, name, WA_CHECK_FAILED, "\"%s\" is not there, "
					   "empty, or not a file", file);
	else if (!wa_binaries_have(instance->binaries, argv[0]))
		wa_drill_check(drill, name, WA_CHECK_FAILED, "psql is not in \"%s\"",
					   instance->binaries->directory);
	else if (wa_binaries_ask(instance->binaries, argv, time_left(checks), rows,
							 ROWS_BYTES, &status, &err) != WA_OK)
		wa_drill_check(drill, name, WA_CHECK_FAILED, "%s", err.message);
	else if (status != 0)
		wa_drill_check(drill, name, WA_CHECK_FAILED,
					   "%s: psql, exit status %d: %s", file, status, rows);
	else if (strlen(rows) == ROWS_BYTES - 1)
		wa_drill_check(drill, name, WA_CHECK_FAILED,
					   "%s returns more than can be looked at", file);
	else if (says_false(rows))
		wa_drill_check(drill, name, WA_CHECK_FAILED, "%s says false", file);
	else
		wa_drill_check(drill, name, WA_CHECK_PASSED, "%s", file);
	free(rows);
}

/* A program of the user's, told by the environment where the server is. */
static void
run_command(WaDrill *drill, const WaDrillChecks *checks, const char *command)
{
	const char *const argv[] = {command, NULL};
	char		output[OUTPUT_BYTES];
	int			status;
	WaError		err;

	if (wa_program_run(command, argv, time_left(checks), output,
					   sizeof(output), &status, &err) != WA_OK)
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
	WaError		err;

	if (wa_instance_connect(instance, checks->dbname, &connection,
							&err) != WA_OK)
	{
		wa_drill_check(drill, "opens", WA_CHECK_FAILED, "%s", err.message);
		return;
	}
	look_inside(drill, connection);
	run_amcheck(drill, instance, connection, checks);
	PQfinish(connection);
	for (size_t i = 0; i < checks->sql_count; i++)
		run_sql(drill, instance, checks, checks->sql[i]);
	for (size_t i = 0; i < checks->commands_count; i++)
		run_command(drill, checks, checks->commands[i]);
}

void
wa_drill_check_files(WaDrill *drill, const WaInstance *instance,
					 const WaDrillChecks *checks)
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

	if (wa_binaries_ask(instance->binaries, ask, 0, text, sizeof(text),
						&status, &err) == WA_OK && status == 0 &&
		(at = strstr(text, label)) != NULL &&
		strtol(at + strlen(label), NULL, 10) == 0)
		wa_drill_check(drill, "data checksums", WA_CHECK_SKIPPED,
					   "they are not enabled in this cluster");
	else
		run_program(drill, "data checksums", instance, checks, argv,
					"all pages");
}
