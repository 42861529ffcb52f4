/*
 * policy.c
 *	  What a running server wants kept of its archive.
 */
#include "recovery/policy.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "archive/identity.h"

/*
 * Where the extension is not, anybody who may create a schema could have one
 * of its name, with a function that we would run.
 */
static const char installed[] =
"SELECT 1 FROM pg_catalog.pg_extension AS e "
"JOIN pg_catalog.pg_depend AS d ON d.refobjid = e.oid "
"WHERE e.extname = 'walarch' AND d.deptype = 'e' "
"AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass "
"AND d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass "
"AND d.objid = pg_catalog.to_regprocedure('walarch.check_setup()')";

/*
 * This loads the library, too: a session that has not shows what its role or
 * its user has set, and not what the archiver goes by.  A value that was
 * rejected would count as "says nothing", which another rule could act upon.
 */
static const char rejected[] =
"SELECT detail FROM walarch.check_setup() "
"WHERE check_name = 'settings' AND NOT ok";

static const char query[] =
"SELECT (SELECT system_identifier FROM pg_catalog.pg_control_system()), "
"coalesce(pg_catalog.current_setting('walarch.retention_backups', true), '0'), "
"coalesce(pg_catalog.current_setting('walarch.retention_window', true), '0'), "
"coalesce(pg_catalog.current_setting('walarch.retention_size', true), '0')";

WaCode
wa_policy_same_cluster(const char *archive, uint64_t system_identifier,
					   WaError *err)
{
	WaStoreOptions options = {0};
	WaStore    *store;
	WaMarker	marker;
	WaCode		code;

	if (wa_store_dir_open(archive, &options, &store, err) != WA_OK)
		return err->code;
	code = wa_identity_read(store, archive, &marker, err);
	if (code == WA_OK)
		code = wa_identity_check(&marker, archive, system_identifier,
								 marker.segment_bytes, err);
	wa_store_close(store);
	return code;
}

/* The row of settings; the caller clears the result in any case. */
static WaCode
ask_rules(PGconn *connection, PGresult **result, WaError *err)
{
	static const char what[] =
	"the server could not be asked for its settings";

	*result = PQexec(connection, installed);
	if (PQresultStatus(*result) != PGRES_TUPLES_OK)
		return wa_server_fail(err, what, PQerrorMessage(connection));
	if (PQntuples(*result) == 0)
		return wa_server_fail(err, what, "the extension walarch is not "
							  "installed in that database");
	PQclear(*result);
	*result = PQexec(connection, rejected);
	if (PQresultStatus(*result) != PGRES_TUPLES_OK)
		return wa_server_fail(err, what, PQerrorMessage(connection));
	if (PQntuples(*result) > 0)
		return wa_server_fail(err, "a setting of the server is not valid",
							  PQgetvalue(*result, 0, 0));
	PQclear(*result);
	*result = PQexec(connection, query);
	if (PQresultStatus(*result) != PGRES_TUPLES_OK || PQntuples(*result) != 1)
		return wa_server_fail(err, what, PQerrorMessage(connection));
	return WA_OK;
}

WaCode
wa_policy_ask(const WaServer *server, const char *archive,
			  WaServerPolicy *policy, WaError *err)
{
	PGconn	   *connection;
	PGresult   *result = NULL;
	WaCode		code;

	memset(policy, 0, sizeof(*policy));
	code = wa_server_connect(server, false, &connection, err);
	if (code != WA_OK)
	{
		WaError		why = *err;

		code = wa_fail(err, code, "no rule was given, and no server could be "
					   "asked: %.700s", why.message);
	}
	else
		code = ask_rules(connection, &result, err);
	if (code == WA_OK)
	{
		policy->system_identifier = strtoull(PQgetvalue(result, 0, 0), NULL, 10);
		snprintf(policy->backups, WA_SETTING_BYTES, "%.60s",
				 PQgetvalue(result, 0, 1));
		snprintf(policy->window, WA_SETTING_BYTES, "%.60s",
				 PQgetvalue(result, 0, 2));
		snprintf(policy->size, WA_SETTING_BYTES, "%.60s",
				 PQgetvalue(result, 0, 3));
	}
	PQclear(result);
	PQfinish(connection);
	if (code != WA_OK)
		wa_hint(err, "Correct that, or give a rule, such as "
				"--retention-window; --dbname, --host, --port and --username "
				"say where to find a database with the extension walarch.");
	return code != WA_OK ? code :
		wa_policy_same_cluster(archive, policy->system_identifier, err);
}

WaCode
wa_policy_auto_prune(const WaServer *server, bool *wanted, WaError *err)
{
	PGconn	   *connection;
	PGresult   *result;
	WaCode		code = wa_server_connect(server, false, &connection, err);

	*wanted = false;
	if (code != WA_OK)
		return code;
	/* what is no boolean was rejected by the archiver, too */
	result = PQexec(connection, "SELECT pg_catalog.lower(coalesce("
					"pg_catalog.current_setting('walarch.auto_prune', true), "
					"'')) IN ('on', 'true', 'yes', '1', 't', 'y')");
	if (PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1)
		*wanted = PQgetvalue(result, 0, 0)[0] == 't';
	else
		code = wa_server_fail(err, "walarch.auto_prune could not be asked for",
							  PQerrorMessage(connection));
	PQclear(result);
	PQfinish(connection);
	return code;
}
