/*
 * statusfile.h
 *	  The counters of archiving as bytes: written by the archiver, read by
 *	  SQL and by `walarch status`, also when the server is down.
 *
 * Two files of the same form in $PGDATA/pg_stat_tmp, which base backups and
 * pg_rewind leave out: the counters, and the baseline that reset_status()
 * writes and readers subtract.
 */
#ifndef WA_STATUSFILE_H
#define WA_STATUSFILE_H

#include <stdint.h>

#include "core/error.h"
#include "core/walname.h"

#define WA_STATUS_FILE		"pg_stat_tmp/walarch.status"
#define WA_BASELINE_FILE	"pg_stat_tmp/walarch.baseline"

#define WA_STATUS_TOKEN_BYTES	24
#define WA_STATUS_KEY_BYTES		160
#define WA_STATUS_SUSPECTS_MAX	24
#define WA_STATUS_PATH_BYTES	1024
#define WA_STATUS_ERROR_BYTES	1024
#define WA_STATUS_DAMAGE_BYTES	256
#define WA_STATUS_SQLSTATE_BYTES	8

/* Times are microseconds since 1970-01-01 UTC, 0: never. */
typedef struct WaStatus
{
	/* which life of the counters this is; a baseline of another is void */
	uint64_t	epoch;
	int64_t		since_us;

	/* names of temporaries: of this archiver, and of one not yet swept */
	char		token[WA_STATUS_TOKEN_BYTES];
	char		unswept_token[WA_STATUS_TOKEN_BYTES];

	uint64_t	archived_count;
	uint64_t	identical_count;
	uint64_t	conflict_count;
	uint64_t	replaced_count;
	uint64_t	damaged_source_count;
	uint64_t	failed_count;
	uint64_t	raw_bytes;
	uint64_t	stored_bytes;
	uint64_t	read_us;
	uint64_t	compress_us;
	uint64_t	store_us;

	/* what follows is a state, not a sum; a baseline does not touch it */
	uint64_t	consecutive_failures;
	int64_t		last_archived_us;
	int64_t		last_failed_us;
	int64_t		last_damaged_us;
	uint64_t	free_bytes;
	int64_t		free_bytes_us;	/* when they were seen */
	int32_t		archiver_pid;
	int32_t		compression_level;	/* of what was archived last */
	int32_t		workers;
	int32_t		suspects_count; /* more than are listed: all are suspect */
	char		last_archived_wal[WA_WALNAME_BYTES];
	char		last_failed_wal[WA_WALNAME_BYTES];
	char		last_damaged_wal[WA_WALNAME_BYTES];
	char		archive_id[40];
	char		last_error_sqlstate[WA_STATUS_SQLSTATE_BYTES];
	char		suspect_keys[WA_STATUS_SUSPECTS_MAX][WA_STATUS_KEY_BYTES];	/* an fsync failed */
	char		archive[WA_STATUS_PATH_BYTES];
	char		last_error[WA_STATUS_ERROR_BYTES];
	char		last_damage[WA_STATUS_DAMAGE_BYTES];
} WaStatus;

#define WA_STATUSFILE_BYTES		(16 + sizeof(WaStatus))

/* Into buffer (WA_STATUSFILE_BYTES): magic, version, CRC-32C, contents. */
extern void wa_statusfile_encode(const WaStatus *status,
								 unsigned char *buffer);

/*
 * WA_DAMAGED when the bytes are no status file of this version: then the
 * counters begin anew.
 */
extern WaCode wa_statusfile_decode(const unsigned char *buffer, size_t length,
								   const char *what, WaStatus *status,
								   WaError *err);

/* Subtract a baseline of the same life; since_us becomes the baseline's. */
extern void wa_status_subtract(WaStatus *status, const WaStatus *baseline);

#endif							/* WA_STATUSFILE_H */
