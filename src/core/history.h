/*
 * history.h
 *	  Timeline history files: which timelines led here, and where each ended.
 *
 * Source of the form: writeTimeLineHistory() in
 * src/backend/access/transam/timeline.c; LSNs as "%X/%X" (15 to 18) or
 * "%X/%08X" (19).
 */
#ifndef WA_HISTORY_H
#define WA_HISTORY_H

#include <stdint.h>

#include "core/error.h"

#define WA_HISTORY_BYTES_MAX	(1024 * 1024)	/* larger is not a history */

typedef struct WaHistoryEntry
{
	uint32_t	tli;
	uint64_t	begin;			/* LSN of the switch to it; 0 for the first */
	uint64_t	end;			/* LSN of the switch away; UINT64_MAX: none */
} WaHistoryEntry;

/* Ancestors from the oldest on; the last entry is the timeline itself. */
typedef struct WaHistory
{
	uint32_t	count;
	WaHistoryEntry *entries;	/* malloc'ed */
} WaHistory;

/*
 * Parse the text of timeline tli's history.  WA_DAMAGED when it is none;
 * `what` names the file.  On success the caller frees with wa_history_free.
 */
extern WaCode wa_history_parse(const char *text, size_t length, uint32_t tli,
							   const char *what, WaHistory *history,
							   WaError *err);

/* Safe on a zeroed history, and twice. */
extern void wa_history_free(WaHistory *history);

/* The entry of a timeline in this ancestry, or NULL. */
extern const WaHistoryEntry *wa_history_find(const WaHistory *history,
											 uint32_t tli);

#endif							/* WA_HISTORY_H */
