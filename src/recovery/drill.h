/*
 * drill.h
 *	  What a drill found out: a recovery that was really done, and measured.
 */
#ifndef WA_RECOVERY_DRILL_H
#define WA_RECOVERY_DRILL_H

#include <stdio.h>

#include "recovery/instance.h"
#include "recovery/restore.h"

typedef enum WaCheckResult
{
	WA_CHECK_PASSED = 1,
	WA_CHECK_FAILED,
	WA_CHECK_SKIPPED
} WaCheckResult;

#define WA_CHECK_DETAIL_BYTES	500

typedef struct WaCheck
{
	const char *name;
	WaCheckResult result;
	char		detail[WA_CHECK_DETAIL_BYTES];
} WaCheck;

typedef struct WaDrill
{
	const char *archive;
	int64_t		begun_us;		/* microseconds since 1970-01-01 UTC */
	bool		passed;

	/* what was recovered; backup_id empty: nothing could be chosen */
	char		backup_id[WA_BASE_ID_BYTES];
	char		backup_time[WA_BACKUP_TIME_BYTES];
	char		target[200];	/* for people */
	bool		latest;			/* all that there is: else nothing was lost */
	uint32_t	server_version;
	uint32_t	tli;
	uint64_t	segments;
	uint64_t	raw_bytes;
	char		preloads[300];	/* libraries that were not loaded */
	const char *kept;			/* the directory that is left; NULL: none */

	/* recovery time: its parts in milliseconds, -1: did not come to it */
	int64_t		choose_ms;
	int64_t		copy_ms;
	int64_t		replay_ms;		/* until redo is done */
	int64_t		open_ms;		/* until it accepts connections */

	/* recovery point */
	uint64_t	recovered_lsn;	/* 0: not known */
	bool		commit_known;
	int64_t		commit_us;		/* of the last transaction that was replayed */

	/*
	 * what the archive had when the drill began: what it got meanwhile, and
	 * was replayed, too, would have been lost
	 */
	uint64_t	archived_lsn;	/* the end of its last segment; 0: not known */
	uint64_t	record_lsn;		/* the end of its last record; likewise */
	bool		archived_known;
	int64_t		archived_us;	/* its last transaction */
	bool		primary_known;
	uint64_t	primary_lsn;	/* where the primary was then */

	size_t		checks_count;
	WaCheck    *checks;			/* malloc'ed */
} WaDrill;

/* Note a check; `format` is its detail. */
extern void wa_drill_check(WaDrill *drill, const char *name,
						   WaCheckResult result, const char *format,...)
			__attribute__((format(printf, 4, 5)));

/* What users want checked besides. */
typedef struct WaDrillChecks
{
	size_t		sql_count;
	const char *const *sql;		/* files for psql */
	size_t		commands_count;
	const char *const *commands;	/* programs */
	const char *dbname;
	uint64_t	until_ms;		/* of wa_cli_now_ms: what takes longer fails */
} WaDrillChecks;

/* What is to be drilled. */
typedef struct WaDrillWanted
{
	WaRestore	restore;		/* but for its directories */
	WaDrillChecks checks;		/* but for their time */
	size_t		settings_count;
	const WaSetting *settings;
	const char *user;			/* a superuser of the cluster; NULL: as usual */
	const char *primary;		/* connection string; NULL: none is asked */
	bool		behind_given;
	uint64_t	most_behind;	/* bytes of WAL that may be missing */
	int64_t		timeout_us;		/* of the recovery, and of the checks */
	bool		talks;			/* show progress */
} WaDrillWanted;

/*
 * Do it, in a private directory.  Everything that goes wrong is a failed
 * check; the server has ended on return, the files are still there.
 */
extern void wa_drill_run(const WaDrillWanted *wanted, const char *scratch,
						 const WaBinaries *binaries, WaDrill *drill);

/* Check a server that has opened; it still runs then. */
extern void wa_drill_check_open(WaDrill *drill, WaInstance *instance,
								const WaDrillChecks *checks);

/* Check the files of one that was shut down. */
extern void wa_drill_check_files(WaDrill *drill, const WaInstance *instance,
								 const WaDrillChecks *checks);

/* The report, for people, for programs, and to look at. */
extern void wa_drill_print_text(const WaDrill *drill, FILE *to);
extern void wa_drill_print_json(const WaDrill *drill, FILE *to);
extern void wa_drill_print_html(const WaDrill *drill, FILE *to);

#endif							/* WA_RECOVERY_DRILL_H */
