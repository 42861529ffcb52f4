/*
 * choose.h
 *	  Which backup a recovery to a target begins with, and whether all WAL from
 *	  there to the target is in the archive.
 */
#ifndef WA_RECOVERY_CHOOSE_H
#define WA_RECOVERY_CHOOSE_H

#include "archive/lineage.h"

typedef enum WaTargetKind
{
	WA_TARGET_LATEST = 0,		/* all that the archive has */
	WA_TARGET_IMMEDIATE,		/* the end of the backup */
	WA_TARGET_TIME,
	WA_TARGET_LSN,
	WA_TARGET_NAME,				/* a restore point */
	WA_TARGET_XID
} WaTargetKind;

typedef struct WaTarget
{
	WaTargetKind kind;
	int64_t		time_us;		/* microseconds since 1970-01-01 UTC */
	uint64_t	lsn;
	const char *name;
	uint32_t	xid;
	uint32_t	tli;			/* 0: the latest */
	const char *backup;			/* id; NULL: the newest that serves */
} WaTarget;

typedef struct WaChoice
{
	const WaBackup *backup;		/* of the catalogue */
	bool		sound;			/* else with damaged pages, for want of another */
	const WaBackup *passed_over;	/* a newer one that would serve, but cannot be
									 * restored; NULL: none */
	char		passed_reason[WA_BACKUP_REASON_BYTES];
	uint32_t	tli;
	bool		history_known;	/* else the backup is of that timeline, too */
	WaPlace		until;			/* segment of the target, or the last one */
	uint64_t	segments;		/* that will be replayed */
	uint64_t	latest_lsn;		/* where the WAL in the archive ends; 0: unknown */
	bool		latest_known;
	int64_t		latest_us;		/* the last commit up to there */
	uint64_t	target_lsn;		/* of a restore point, or a transaction */
	int64_t		target_us;
} WaChoice;

/*
 * Choose, and prove by the envelopes that every segment is there, is whole
 * and follows its predecessor.  WA_NOT_FOUND or WA_HOLE with a message that
 * says what can be reached instead.
 */
extern WaCode wa_choose(WaStore *store, const WaCatalogue *catalogue,
						const WaTarget *target, WaChoice *choice,
						WaError *err);

#endif							/* WA_RECOVERY_CHOOSE_H */
