/*
 * progress.h
 *	  How far long work has come, on stderr, when that is a terminal.
 */
#ifndef WA_PROGRESS_H
#define WA_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

/* May be called as often as one likes; draws a few times a second. */
extern void wa_progress_show(uint64_t done_bytes, uint64_t total_bytes);

/* Wipe the line, before anything else is printed. */
extern void wa_progress_wipe(void);

#endif							/* WA_PROGRESS_H */
