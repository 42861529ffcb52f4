/*
 * retain_roots.h
 *	  From which places on must everything stay?
 */
#ifndef WA_RETAIN_ROOTS_H
#define WA_RETAIN_ROOTS_H

#include "archive/retain.h"

typedef struct WaRoot
{
	bool		any_timeline;	/* else that of the place, and what left it later */
	WaPlace		place;
	bool		releases;		/* what lies before it on the way there may go */
	bool		window;			/* of the window, which the size may shrink */
	size_t		lineage;		/* for which timeline of the catalogue, then */
	char		why[WA_REASON_BYTES / 2];
} WaRoot;

typedef struct WaRoots
{
	size_t		count;
	WaRoot	   *roots;
	WaLineage  *lineages;		/* of each timeline of the catalogue */
	bool		window_known;
	int64_t		window_us;		/* where the window begins */
} WaRoots;

/*
 * The roots that the policy and the pins ask for, before the size is looked
 * at; a doubt is noted in the plan.  The caller frees, also after an error.
 */
extern WaCode wa_roots_find(const WaRetainQuestion *question, WaPlan *plan,
							WaRoots *roots, WaError *err);

/*
 * Let the window begin at a newer backup: the oldest root of it moves on to
 * the next backup on its way.  False: there is none.
 */
extern bool wa_roots_shrink(const WaRetainQuestion *question, WaRoots *roots);

/*
 * From which number on does a root keep segments of a timeline?  UINT64_MAX:
 * none.
 */
extern uint64_t wa_root_floor(const WaRoot *root,
							  const WaRetainQuestion *question,
							  size_t timeline);

/* Safe on zeroed roots. */
extern void wa_roots_free(const WaRetainQuestion *question, WaRoots *roots);

#endif							/* WA_RETAIN_ROOTS_H */
