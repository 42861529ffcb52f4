/*
 * drills.h
 *	  The reports of drills, below drills/.
 */
#ifndef WA_DRILLS_H
#define WA_DRILLS_H

#include "store/store.h"

#define WA_DRILL_NAME_BYTES		32	/* "20261123T021500Z-2.txt", at most */

/* The name of the reports of the n-th drill that began in that second. */
extern void wa_drill_name(int64_t begun_us, int n, char *name);

/*
 * Keep a report: extension "txt", "json" or "html".  The text begins with
 * lines "walarch-drill: 1" and "result: passed", or FAILED.  WA_EXISTS when
 * there is one of that name.
 */
extern WaCode wa_drills_put(WaStore *store, const char *name,
							const char *extension, const void *data,
							size_t length, WaError *err);

typedef struct WaDrillsSeen
{
	uint64_t	count;			/* reports that can be read, and count */
	uint64_t	unreadable;
	bool		any_passed;
	int64_t		passed_us;		/* when the newest of those began */
	bool		last_passed;	/* the newest of all */
	int64_t		last_us;
	int64_t		now_us;			/* when they were looked at */
} WaDrillsSeen;

/*
 * What the reports tell; now_us is the clock's time.  One from the future, of
 * a clock that went wrong, does not count: it would hide all that follow.
 */
extern WaCode wa_drills_look(WaStore *store, int64_t now_us,
							 WaDrillsSeen *seen, WaError *err);

/* Has the last one passed, and is it not older than a quarter? */
extern bool wa_drills_fine(const WaDrillsSeen *seen);

/*
 * That as one line: "passed, 3 days ago".  An empty line when there are no
 * reports.
 */
#define WA_DRILLS_TEXT_BYTES	100
extern const char *wa_drills_text(const WaDrillsSeen *seen, char *text);

#endif							/* WA_DRILLS_H */
