/*
 * prune.h
 *	  Retention by the settings of the server, as an inquiry.
 */
#ifndef WALARCH_PRUNE_H
#define WALARCH_PRUNE_H

#include "postgres.h"

#include "archive/retention.h"
#include "server/inquiry.h"

/* What a prune is to do, and what became of it. */
typedef struct WaPruneState
{
	WaPolicy	policy;
	int64		now_us;
	bool		apply;
	bool		unless_stored;	/* not when the archive has backups of its own */
	bool		skipped;		/* it has */
	WaRetention retention;
	WaPruned	pruned;
} WaPruneState;

/* By the settings and the clock; NULL when out of memory.  Never throws. */
extern WaPruneState *walarch_prune_state(void);

/* A WaInquiryFn: plan, and delete if that is to be. */
extern WaCode walarch_prune_run(const WaInquiry *inquiry, void *state,
								WaError *err);

/*
 * What was deleted, and why, into the log: a line for each object or run of
 * segments, and one for all.  When deleting was cut short they "were to go":
 * nobody knows then which are left.  May throw.
 */
extern void walarch_prune_report(const WaPruneState *state, bool complete,
								 const char *who);

/* Frees the state, too. */
extern void walarch_prune_release(void *state);

#endif							/* WALARCH_PRUNE_H */
