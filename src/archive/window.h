/*
 * window.h
 *	  Which segments to fetch ahead of a recovery; decides, touches nothing.
 *
 * The position is the segment that was asked for last.  What lies right
 * after it on the same timeline is wanted, lowest first, and nothing beyond
 * a segment that could not be had.
 */
#ifndef WA_WINDOW_H
#define WA_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

#define WA_WINDOW_MAX	64		/* segments */

typedef struct WaWindow
{
	int			size;			/* segments after the position */
	uint64_t	last;			/* none after this one; UINT64_MAX: no end */
	uint32_t	tli;			/* 0: no position yet */
	uint64_t	position;
	uint64_t	missing;		/* could not be had; UINT64_MAX: none */

	/* of position + 1 + i */
	enum
	{
		WA_WINDOW_OPEN,
		WA_WINDOW_WORKING,
		WA_WINDOW_READY
	}			states[WA_WINDOW_MAX];
} WaWindow;

/* size: from 1 to WA_WINDOW_MAX. */
extern void wa_window_begin(WaWindow *window, int size, uint64_t last);

/* A segment was asked for.  Forgets what could not be had. */
extern void wa_window_move(WaWindow *window, uint32_t tli, uint64_t segno);

/* The next one to fetch, working from now on; false: none. */
extern bool wa_window_next(WaWindow *window, uint64_t *segno);

/*
 * One that was being worked on has come to an end; of no matter when the
 * window has moved past it.
 */
extern void wa_window_done(WaWindow *window, uint32_t tli, uint64_t segno,
						   bool fetched);

/* Is this one working or ready?  Everything else may go. */
extern bool wa_window_holds(const WaWindow *window, uint32_t tli,
							uint64_t segno);

extern int	wa_window_ready(const WaWindow *window);

/* What was ready is not there any more. */
extern void wa_window_drop(WaWindow *window);

#endif							/* WA_WINDOW_H */
