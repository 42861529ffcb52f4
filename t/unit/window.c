/*
 * window.c
 *	  What is fetched ahead: in order, within bounds, never past what could not
 *	  be had, and nothing of another timeline.
 */
#include "archive/window.h"

#include "tap.h"

static WaWindow window;

/* The next one, or 0. */
static uint64_t
next(void)
{
	uint64_t	segno = 0;

	return wa_window_next(&window, &segno) ? segno : 0;
}

static void
test_order(void)
{
	wa_window_begin(&window, 3, UINT64_MAX);
	is_int(next(), 0, "without a position: nothing");
	wa_window_move(&window, 1, 10);
	is_int(next(), 11, "the one after the position");
	is_int(next(), 12, "the next");
	wa_window_done(&window, 1, 11, true);
	is_int(wa_window_ready(&window), 1, "one is ready");
	is_int(next(), 13, "the third");
	is_int(next(), 0, "no more than three");
	wa_window_move(&window, 1, 11);
	is_int(wa_window_ready(&window), 0, "the ready one was passed");
	ok(!wa_window_holds(&window, 1, 11), "and is not held");
	ok(wa_window_holds(&window, 1, 12), "one in work is");
	is_int(next(), 14, "moved on: one more");
	wa_window_done(&window, 1, 12, true);
	wa_window_done(&window, 1, 14, true);
	wa_window_move(&window, 1, 11);
	is_int(wa_window_ready(&window), 2, "the same question: all stay");
	wa_window_move(&window, 1, 10);
	ok(wa_window_holds(&window, 1, 12) && !wa_window_holds(&window, 1, 14),
	   "a step back: what lies in the window stays");
	is_int(next(), 11, "and what is missing is fetched again");
	wa_window_drop(&window);
	is_int(wa_window_ready(&window), 0, "dropped");
	ok(wa_window_holds(&window, 1, 11), "but not what is in work");
}

static void
test_jumps(void)
{
	wa_window_begin(&window, 4, UINT64_MAX);
	wa_window_move(&window, 1, 10);
	is_int(next(), 11, "one in work");
	wa_window_move(&window, 2, 10);
	ok(!wa_window_holds(&window, 1, 11) && !wa_window_holds(&window, 2, 11),
	   "another timeline: nothing is held");
	wa_window_done(&window, 1, 11, true);
	is_int(wa_window_ready(&window), 0, "what comes late is not of it");
	is_int(next(), 11, "its own is fetched");
	wa_window_move(&window, 2, 100);
	ok(!wa_window_holds(&window, 2, 11), "a leap: nothing is held");
	is_int(next(), 101, "and it goes on there");
	wa_window_move(&window, 2, 3);
	is_int(next(), 4, "back, too");
	wa_window_done(&window, 2, 101, false);
	is_int(next(), 5, "a failure elsewhere is no matter");
}

static void
test_holes(void)
{
	wa_window_begin(&window, 4, 14);
	wa_window_move(&window, 1, 9);
	is_int(next(), 10, "in work");
	is_int(next(), 11, "in work");
	wa_window_done(&window, 1, 11, true);
	wa_window_done(&window, 1, 10, false);
	is_int(next(), 0, "nothing beyond a hole");
	is_int(wa_window_ready(&window), 0, "what was ready beyond it goes");
	wa_window_move(&window, 1, 9);
	is_int(next(), 10, "asked again: looks again");
	is_int(next(), 11, "and the one after it");
	wa_window_done(&window, 1, 10, false);
	wa_window_done(&window, 1, 11, true);
	is_int(wa_window_ready(&window), 0, "what comes late beyond it is not kept");
	wa_window_move(&window, 1, 12);
	is_int(next(), 13, "up to the last");
	is_int(next(), 14, "the last");
	is_int(next(), 0, "and no further");
	wa_window_move(&window, 1, UINT64_MAX - 1);
	is_int(next(), 0, "at the end of all numbers, too");
}

int
main(void)
{
	test_order();
	test_jumps();
	test_holes();
	return done_testing();
}
