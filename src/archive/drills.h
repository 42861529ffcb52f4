/*
 * drills.h
 *	  The reports of drills, below drills/.
 */
#ifndef WA_DRILLS_H
#define WA_DRILLS_H

#include "store/store.h"

#define WA_DRILL_NAME_BYTES		24	/* "20261123T021500Z" and a NUL */

/* The name of the reports of a drill that began then. */
extern void wa_drill_name(int64_t begun_us, char *name);

/*
 * Keep a report: extension "txt", "json" or "html".  The text begins with
 * lines "walarch-drill: 1" and "result: passed", or FAILED.
 */
extern WaCode wa_drills_put(WaStore *store, const char *name,
							const char *extension, const void *data,
							size_t length, WaError *err);

typedef struct WaDrillsSeen
{
	uint64_t	count;			/* reports that can be read */
	bool		any_passed;
	int64_t		passed_us;		/* when the newest of those began */
	bool		last_passed;	/* the newest of all */
	int64_t		last_us;
} WaDrillsSeen;

/* What the reports tell; those that cannot be read are passed over. */
extern WaCode wa_drills_look(WaStore *store, WaDrillsSeen *seen,
							 WaError *err);

/*
 * That as one line: "passed, 3 days ago"; now_us is the clock's time.  An
 * empty line when there are no reports.
 */
#define WA_DRILLS_TEXT_BYTES	100
extern const char *wa_drills_text(const WaDrillsSeen *seen, int64_t now_us,
								  char *text);

#endif							/* WA_DRILLS_H */
