/*
 * canned.h
 *	  A server that sends one base backup, in place of libpq.
 *
 * A cluster with a tablespace, as PostgreSQL 15 sends it.  All that is asked of
 * libpq is defined here.
 */
#ifndef CANNED_H
#define CANNED_H

#include <stdbool.h>

#define CANNED_START	UINT64_C(0x200028)	/* segments 2 and 3 are needed */
#define CANNED_STOP		UINT64_C(0x300100)

/* Before the first backup: with the tablespace there. */
extern void canned_make(const char *tablespace);
extern void canned_free(void);

/*
 * Is that the cluster, complete, with its tablespace there?  NULL, or what is
 * wrong.
 */
extern const char *canned_flaw(const char *directory, const char *tablespace);

#endif							/* CANNED_H */
