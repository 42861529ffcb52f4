/*
 * stream.h
 *	  A base backup as a server sends it: BASE_BACKUP of the replication
 *	  protocol, as PostgreSQL speaks it from 15 on.
 *
 * Source of the form: "Streaming Replication Protocol" in the documentation
 * of PostgreSQL, and src/backend/backup/basebackup_copy.c.
 */
#ifndef WA_RECOVERY_STREAM_H
#define WA_RECOVERY_STREAM_H

#include <stdint.h>

#include "core/sink.h"
#include "recovery/server.h"

typedef struct WaStreamOptions
{
	const char *label;			/* wa_base_label_valid */
	bool		fast;			/* checkpoint at once */
	uint32_t	max_rate;		/* kB/s; 0: no limit */
} WaStreamOptions;

/* Who is at the other end. */
typedef struct WaStreamServer
{
	uint64_t	system_identifier;
	uint32_t	version;		/* as PG_VERSION_NUM */
	uint32_t	tli;
	bool		standby;
	bool		archives;		/* archive_mode is not off */
} WaStreamServer;

/* What the taker of a backup is told, in this order; errors end it. */
typedef struct WaStreamTaker
{
	/*
	 * for an incremental backup, from PostgreSQL 17 on: writes the manifest of
	 * its parent into a sink, which it closes.  NULL: the backup is a full one
	 */
	WaCode		(*manifest) (void *arg, WaSink *to, WaError *err);

	/* where its WAL begins, and the estimate of all it will send */
	WaCode		(*begin) (void *arg, uint64_t start_lsn, uint32_t tli,
						  uint64_t total_bytes, WaError *err);

	/*
	 * a file: "base.tar", "16384.tar", "backup_manifest"; the location of a
	 * tablespace, or ""
	 */
	WaCode		(*file) (void *arg, const char *name, const char *location,
						 WaError *err);
	WaCode		(*data) (void *arg, const char *data, size_t length,
						 WaError *err);
	void		(*progress) (void *arg, uint64_t done_bytes);
	void	   *arg;
} WaStreamTaker;

typedef struct WaStreamEnd
{
	uint64_t	stop_lsn;
	uint32_t	stop_tli;
	bool		checksum_failures;	/* the server warned of each */
} WaStreamEnd;

/* Ask over a replication connection; the caller closes it in any case. */
extern WaCode wa_stream_ask(PGconn *connection, WaStreamServer *server,
							WaError *err);

/*
 * Take a backup.  Returns when all is sent and the server has ended it; the
 * WAL up to stop_lsn may still be on its way into the archive.
 */
extern WaCode wa_stream_backup(PGconn *connection,
							   const WaStreamOptions *options,
							   const WaStreamTaker *taker, WaStreamEnd *end,
							   WaError *err);

#endif							/* WA_RECOVERY_STREAM_H */
