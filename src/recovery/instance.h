/*
 * instance.h
 *	  A server on a restored copy, that nobody but us can reach and that
 *	  reaches nobody.
 *
 * It has a configuration of its own: no TCP, no archiving, no preloaded
 * libraries, no replication, no autovacuum.  Nor does what is set for a role
 * or a database count: our sessions, and those of programs that we run, bring
 * settings of their own, by the environment.
 */
#ifndef WA_RECOVERY_INSTANCE_H
#define WA_RECOVERY_INSTANCE_H

#include <stdint.h>
#include <sys/types.h>

#include "recovery/binaries.h"
#include "recovery/server.h"

/* When what happened, in milliseconds since 1970; 0: not yet, or never. */
typedef struct WaInstanceTimes
{
	int64_t		started;
	int64_t		consistent;
	int64_t		redo_done;
	int64_t		ready;
} WaInstanceTimes;

typedef struct WaInstance
{
	const WaBinaries *binaries;
	char		data[PATH_MAX]; /* data directory */
	char		place[PATH_MAX];	/* private directory: socket, log, settings */
	uint32_t	version;		/* as PG_VERSION_NUM */
	pid_t		pid;			/* of the postmaster; 0: it does not run */
	char		user[64];		/* a superuser of it; empty: find one */

	/* what its log has told so far */
	WaInstanceTimes times;
	long		log_read;		/* in bytes */
	char		said[300];		/* the last word of restore_command */
	char		fatal[800];		/* why it ended */
} WaInstance;

typedef struct WaSetting
{
	const char *name;
	const char *value;
} WaSetting;

/*
 * Write its configuration.  The settings count less than those that keep it
 * by itself.
 */
extern WaCode wa_instance_configure(const WaInstance *instance, size_t count,
									const WaSetting *settings, WaError *err);

/* Start it; it goes when we do. */
extern WaCode wa_instance_start(WaInstance *instance, WaError *err);

/*
 * Look after it: `times` is what its log tells so far.  WA_DAMAGED when it has
 * ended, with the reason from its log.
 */
extern WaCode wa_instance_look(WaInstance *instance, WaError *err);

/*
 * From here on the environment leads to this server, and nowhere else.  Event
 * triggers, which could reach anything, do not fire.
 */
extern WaCode wa_instance_open(WaInstance *instance, const char *dbname,
							   WaError *err);

/* Connect; WA_CHANGED when it is not this server that answers. */
extern WaCode wa_instance_connect(WaInstance *instance, const char *dbname,
								  PGconn **connection, WaError *err);

/* Shut it down, checkpointed, or at once; returns when it has ended. */
extern void wa_instance_stop(WaInstance *instance, bool at_once);

#endif							/* WA_RECOVERY_INSTANCE_H */
