/*
 * server.h
 *	  A connection to a PostgreSQL server, by libpq.
 */
#ifndef WA_RECOVERY_SERVER_H
#define WA_RECOVERY_SERVER_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/error.h"

/* How to reach the server; NULL: as libpq finds it. */
typedef struct WaServer
{
	const char *dbname;			/* or a connection string, unless `plain` */
	bool		plain;
	const char *host;
	const char *port;
	const char *user;
	const char *timeout;		/* seconds to connect in */
} WaServer;

/*
 * The options of these, for getopt_long: -d, -h, -p, -U and their long names,
 * as all tools of PostgreSQL have them.
 */
#define WA_SERVER_LETTERS	"d:h:p:U:"
#define WA_SERVER_OPTIONS \
	{"dbname", required_argument, NULL, 'd'}, \
	{"host", required_argument, NULL, 'h'}, \
	{"port", required_argument, NULL, 'p'}, \
	{"username", required_argument, NULL, 'U'}

/* Take such an option; false when the letter is none. */
extern bool wa_server_option(WaServer *server, int letter, const char *value);

/*
 * Connect, to a database or (replication) to send replication commands.
 * WA_INVALID when that fails.  On success the caller calls PQfinish.
 */
extern WaCode wa_server_connect(const WaServer *server, bool replication,
								PGconn **connection, WaError *err);

/*
 * From here on libpq, here and in programs that we run, finds nothing in the
 * environment: neither a host nor anything else that could lead elsewhere.
 */
extern void wa_server_forget_environment(void);

/*
 * Ask for one row.  WA_STUCK when no answer comes in so many milliseconds;
 * then the connection can only be closed.  On success the caller clears it.
 */
extern WaCode wa_server_ask(PGconn *connection, const char *question,
							uint64_t most_ms, PGresult **row, WaError *err);

/* WA_INVALID: "WHAT: MESSAGE", the message of libpq as one line. */
extern WaCode wa_server_fail(WaError *err, const char *what,
							 const char *message);

/*
 * A setting of the server as SHOW gives it, over any kind of connection; false
 * when there is no such setting, or no answer.
 */
extern bool wa_server_setting(PGconn *connection, const char *name,
							  char *value, size_t bytes);

#endif							/* WA_RECOVERY_SERVER_H */
