/*
 * faults.h
 *	  The n-th system call fails: for tests that run the same work with
 *	  n = 1, 2, 3 ... until nothing failed.
 *
 * The calls of the C library that touch files are defined here in front of
 * it, in whatever program is linked with this, for its libraries as well.  They
 * do as always until fault.active.  Processes that the program forks count along.
 */
#ifndef FAULTS_H
#define FAULTS_H

#include <stdatomic.h>
#include <stdbool.h>

#include "store/beat.h"

/* Not an errno: a read or write does half of what was asked, and says so. */
#define FAULT_SHORT		(-1)
#define FAULT_END		(-2)	/* a read finds the end of the file */

typedef struct Fault
{
	bool		active;			/* count and trace */
	atomic_int	countdown;		/* the operation to fail; 0: none */
	bool		and_all_later;	/* the disk is gone from then on */
	int			fail_with;		/* an errno, or FAULT_SHORT */
	bool		closes;			/* count what closes files, too */
	WaBeat	   *cancel_at;		/* instead of failing: the waiter gives up */
	const char *slow;			/* a call that takes a second */
	const char *refuse;			/* calls this file system does not have */
	bool		no_types;		/* it does not tell types in listings either */
	atomic_bool fired;
	atomic_bool cut;			/* a transfer was cut short */
	char		failed_call[32];
	atomic_size_t trace_bytes;
	char		trace[40000];	/* "call:path" in order, a line each */
} Fault;

/* In memory that forked processes share. */
extern Fault *fault_shared;
#define fault	(*fault_shared)

/* What calls fail with. */
#define FAULT_KINDS		7

typedef struct FaultKind
{
	const char *name;
	int			fail_with;
} FaultKind;

extern const FaultKind fault_kinds[FAULT_KINDS];

/* Begin to count, with an empty trace; n = 0: nothing fails. */
extern void fault_begin(int n, int fail_with);
extern void fault_end(void);

#endif							/* FAULTS_H */
