/*
 * retention.h
 *	  What may go from an archive, looked up and carried out.
 */
#ifndef WA_RETENTION_H
#define WA_RETENTION_H

#include "archive/retain.h"

/* What a plan was made from, and the plan. */
typedef struct WaRetention
{
	WaCatalogue catalogue;
	WaTimes		times;
	size_t		pins_count;
	WaPin	   *pins;
	WaPlan		plan;
} WaRetention;

/*
 * Look and plan; nothing is changed.  now_us is the clock's time.  On success
 * the caller frees.
 */
extern WaCode wa_retention_plan(WaStore *store, const WaMarker *marker,
								WaZstd *zstd, WaPolicy policy, int64_t now_us,
								WaRetention *retention, WaError *err);

/* The same for a private archive: all before a segment number may go. */
extern WaCode wa_retention_before(WaStore *store, const WaMarker *marker,
								  WaZstd *zstd, uint64_t segno,
								  int64_t now_us, WaRetention *retention,
								  WaError *err);

/* Safe on a zeroed one. */
extern void wa_retention_free(WaRetention *retention);

/* The name of a group: of its object, or "FIRST to LAST". */
#define WA_GROUP_NAME_BYTES		WA_KEY_BYTES
extern const char *wa_group_name(const WaRetention *retention,
								 const WaGroup *group, char *name);

typedef struct WaPruned
{
	uint64_t	objects;
	uint64_t	bytes;			/* of segments and what could be told */
} WaPruned;

/* Called after each object; false ends it. */
typedef bool (*WaPruneProgressFn) (void *arg, const WaPruned *pruned);

/*
 * Delete what the plan lets go of: first what offers a backup, durably, then
 * its data, and segments from the oldest on, so that what a crash leaves is what a longer
 * plan would have left.  WA_CHANGED when the directory has become another
 * archive; WA_CANCELLED when told to end.  `path` is for messages.
 */
extern WaCode wa_retention_prune(WaStore *store, const char *path,
								 const WaRetention *retention,
								 WaPruneProgressFn progress, void *arg,
								 WaPruned *pruned, WaError *err);

/* Keep other prunes, and new pins, away until the store is closed. */
extern WaCode wa_retention_lock(WaStore *store, WaError *err);

#endif							/* WA_RETENTION_H */
