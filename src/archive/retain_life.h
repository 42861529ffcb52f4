/*
 * retain_life.h
 *	  Which timelines are alive, and from which moment on must each be
 *	  recoverable?  Pure, as retain.h is.
 */
#ifndef WA_RETAIN_LIFE_H
#define WA_RETAIN_LIFE_H

#include "archive/retain_roots.h"

typedef struct WaLifeWindow
{
	bool		known;
	int64_t		begin_us;		/* microseconds since 1970-01-01 UTC */
} WaLifeWindow;

/* The window of all timelines; a clock that cannot be is noted as a doubt. */
extern void wa_life_window(const WaRetainQuestion *question,
						   const WaRoots *roots, WaPlan *plan,
						   WaLifeWindow *window);

/*
 * That of one timeline, by its index: one that was written on beside a later
 * one has its own, which does not move while it is silent.
 */
extern WaLifeWindow wa_life_window_of(const WaRetainQuestion *question,
									  const WaRoots *roots, size_t i,
									  const WaLifeWindow *window);

/*
 * Might anybody still recover to this timeline?
 */
extern bool wa_life_goes_on(const WaRetainQuestion *question, size_t i,
							const WaLifeWindow *window);

/* The segment in which a window begins on the way to a timeline. */
extern uint64_t wa_life_begin(const WaRetainQuestion *question,
							  const WaLineage *lineage,
							  const WaLifeWindow *window);

/* Do the last commits that can be recovered lie in the future? */
extern bool wa_life_lies_ahead(const WaRetainQuestion *question,
							   const WaLineage *lineage);

#endif							/* WA_RETAIN_LIFE_H */
