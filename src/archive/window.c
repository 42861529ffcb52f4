/*
 * window.c
 *	  Which segments to fetch ahead of a recovery.
 */
#include "archive/window.h"

#include <assert.h>
#include <string.h>

void
wa_window_begin(WaWindow *window, int size, uint64_t last)
{
	assert(size >= 1 && size <= WA_WINDOW_MAX);
	memset(window, 0, sizeof(*window));
	window->size = size;
	window->last = last;
	window->missing = UINT64_MAX;
}

void
wa_window_move(WaWindow *window, uint32_t tli, uint64_t segno)
{
	WaWindow	before = *window;

	window->tli = tli;
	window->position = segno;
	window->missing = UINT64_MAX;
	for (int i = 0; i < window->size; i++)
	{
		uint64_t	at = segno + (uint64_t) i - before.position;

		window->states[i] = tli == before.tli &&
			segno + (uint64_t) i >= before.position &&
			at < (uint64_t) window->size ?
			before.states[at] : WA_WINDOW_OPEN;
	}
}

bool
wa_window_next(WaWindow *window, uint64_t *segno)
{
	for (int i = 0; i < window->size && window->tli != 0; i++)
	{
		uint64_t	at = window->position + 1 + (uint64_t) i;

		if (at >= window->missing || at > window->last)
			return false;
		if (window->states[i] == WA_WINDOW_OPEN)
		{
			window->states[i] = WA_WINDOW_WORKING;
			*segno = at;
			return true;
		}
	}
	return false;
}

/* Its index, or -1. */
static int
index_of(const WaWindow *window, uint32_t tli, uint64_t segno)
{
	if (tli != window->tli || segno <= window->position ||
		segno - window->position > (uint64_t) window->size)
		return -1;
	return (int) (segno - window->position - 1);
}

void
wa_window_done(WaWindow *window, uint32_t tli, uint64_t segno, bool fetched)
{
	int			i = index_of(window, tli, segno);

	if (i < 0 || window->states[i] != WA_WINDOW_WORKING)
		return;
	window->states[i] = WA_WINDOW_OPEN;
	if (fetched && segno < window->missing)
		window->states[i] = WA_WINDOW_READY;
	else if (!fetched && segno < window->missing)
	{
		/* what lies beyond a hole is of no use before the hole is filled */
		window->missing = segno;
		for (i = i + 1; i < window->size; i++)
			if (window->states[i] == WA_WINDOW_READY)
				window->states[i] = WA_WINDOW_OPEN;
	}
}

bool
wa_window_holds(const WaWindow *window, uint32_t tli, uint64_t segno)
{
	int			i = index_of(window, tli, segno);

	return i >= 0 && window->states[i] != WA_WINDOW_OPEN;
}

int
wa_window_ready(const WaWindow *window)
{
	int			ready = 0;

	for (int i = 0; i < window->size; i++)
		if (window->states[i] == WA_WINDOW_READY)
			ready++;
	return ready;
}

void
wa_window_drop(WaWindow *window)
{
	for (int i = 0; i < window->size; i++)
		if (window->states[i] == WA_WINDOW_READY)
			window->states[i] = WA_WINDOW_OPEN;
}
