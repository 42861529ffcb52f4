/*
 * memory.h
 *	  The n-th allocation fails: the same as faults.h for memory, contexts of
 *	  libraries and threads.
 *
 * The linker puts these in front of the calls of our own objects (--wrap in
 * the Makefile), so that sanitizers keep their allocator.
 */
#ifndef MEMORY_H
#define MEMORY_H

#include <stdbool.h>

/* The n-th one from now on fails, and no other; n = 0: none. */
extern void memory_begin(int n);

/* Has it?  From here on nothing fails. */
extern bool memory_end(void);

/*
 * Blocks and contexts that are allocated.  Threads of a pool may free theirs
 * a little later: waits a while for as few as that.
 */
extern int	memory_live(int wanted);

#endif							/* MEMORY_H */
