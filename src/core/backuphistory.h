/*
 * backuphistory.h
 *	  Backup history files: what a base backup needs, and when it was taken.
 *
 * Source of the form: build_backup_content() in
 * src/backend/access/transam/xlogbackup.c (xlog.c in 15).
 */
#ifndef WA_BACKUPHISTORY_H
#define WA_BACKUPHISTORY_H

#include <stdbool.h>
#include <stdint.h>

#include "core/error.h"

#define WA_BACKUP_LABEL_BYTES	1025	/* PostgreSQL's MAXPGPATH, and a NUL */
#define WA_BACKUP_TIME_BYTES	64

typedef struct WaBackupHistory
{
	uint64_t	start_lsn;
	uint64_t	stop_lsn;
	uint32_t	start_tli;
	uint32_t	stop_tli;
	uint64_t	incremental_from;	/* LSN; 0: a full backup */
	bool		from_standby;
	char		label[WA_BACKUP_LABEL_BYTES];

	/* as the server wrote them, in its log_timezone; empty when missing */
	char		start_time[WA_BACKUP_TIME_BYTES];
	char		stop_time[WA_BACKUP_TIME_BYTES];
} WaBackupHistory;

/* WA_DAMAGED when LSNs or timeline are missing; `what` names the file. */
extern WaCode wa_backuphistory_parse(const char *text, size_t length,
									 const char *what,
									 WaBackupHistory *backup, WaError *err);

/*
 * "2026-11-23 02:11:00 UTC" as microseconds since 1970-01-01 UTC.  False for
 * any other time zone but UTC, GMT and numeric offsets: abbreviations have
 * no one meaning.
 */
extern bool wa_backuphistory_time(const char *text, int64_t *time_us);

#endif							/* WA_BACKUPHISTORY_H */
