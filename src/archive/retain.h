/*
 * retain.h
 *	  What may go, what must stay, and why.  Pure: all it knows is passed in.
 *
 * A recovery replays the segments along the lineage of one timeline, from the
 * start of a base backup on.  So for each timeline that somebody might recover
 * to, roots say from which segment on its lineage stays.  What none of them
 * holds may go; what belongs to no such lineage was over before the window.
 * Nothing goes in doubt.
 */
#ifndef WA_RETAIN_H
#define WA_RETAIN_H

#include "archive/times.h"
#include "core/pin.h"

/* 0: says nothing.  All 0: nothing goes. */
typedef struct WaPolicy
{
	uint32_t	backups;		/* newest backups with their data in base/ */
	int64_t		window_us;		/* back from the newest recoverable point */
	uint64_t	bytes;			/* shrinks the window above this size */
	uint32_t	given_up;		/* timeline that nobody will recover to; 0: none.
								 * Not the latest one. */
} WaPolicy;

typedef struct WaRetainQuestion
{
	const WaCatalogue *catalogue;
	const WaTimes *times;
	const WaPin *pins;
	size_t		pins_count;
	WaPolicy	policy;
	int64_t		now_us;			/* for the expiry of pins, and to doubt commits
								 * of the future */
} WaRetainQuestion;

typedef enum WaGroupKind
{
	WA_GROUP_SEGMENTS = 1,
	WA_GROUP_PARTIAL,
	WA_GROUP_BACKUP_HISTORY,
	WA_GROUP_HISTORY,
	WA_GROUP_BASE				/* the data of a backup; its id is the key */
} WaGroupKind;

#define WA_REASON_BYTES		400

typedef struct WaGroup
{
	WaGroupKind kind;
	uint32_t	tli;
	uint64_t	first;			/* of segments; both inclusive */
	uint64_t	last;
	char		key[WA_KEY_BYTES];	/* of any other object */
	uint64_t	bytes;			/* stored; of segments and backups only */
	bool		goes;
	bool		left;			/* by a deletion that was interrupted: no backup */
	char		reason[WA_REASON_BYTES];
} WaGroup;

typedef struct WaPlan
{
	size_t		count;
	WaGroup    *groups;			/* in order of timelines and numbers */
	bool		doubt;			/* nothing goes, because of: */
	char		doubt_reason[WA_REASON_BYTES];
	char		warning[WA_REASON_BYTES];	/* what a setting cannot reach */
} WaPlan;

/* "segments", "partial", "backup", "history", "base" */
extern const char *wa_group_kind_name(WaGroupKind kind);

/* Note why nothing may go; the first reason is the one to act upon. */
extern void wa_plan_doubt(WaPlan *plan, const char *format,...)
			__attribute__((format(printf, 2, 3)));

/* WA_NO_MEMORY or WA_OK; then the caller frees. */
extern WaCode wa_retain_plan(const WaRetainQuestion *question, WaPlan *plan,
							 WaError *err);

/*
 * The plan of a private archive, whose one standby has replayed all before a
 * segment number: what lies before it goes, on every timeline, unless a pin
 * or a backup in the archive holds it.
 */
extern WaCode wa_retain_before(const WaCatalogue *catalogue,
							   const WaPin *pins, size_t pins_count,
							   int64_t now_us, uint64_t segno, WaPlan *plan,
							   WaError *err);

/* Safe on a zeroed plan. */
extern void wa_plan_free(WaPlan *plan);

/*
 * The newest sound backup along a lineage that stopped in a segment before
 * this number, or NULL.
 */
extern const WaBackup *wa_retain_backup_before(const WaCatalogue *catalogue,
											   const WaTimes *times,
											   const WaLineage *lineage,
											   uint64_t segno,
											   bool stored_only);

#endif							/* WA_RETAIN_H */
