/*
 * retain_roots.h
 *	  From which places on must everything stay, on the way to each timeline?
 */
#ifndef WA_RETAIN_ROOTS_H
#define WA_RETAIN_ROOTS_H

#include "archive/retain.h"

/*
 * On the way to one timeline everything stays from a number on, and what lies
 * before it is needed by nothing on that way; a pin holds on every way.
 */
typedef struct WaRoot
{
	bool		any_timeline;
	size_t		timeline;		/* otherwise: its index in the catalogue */
	uint64_t	segno;
	const char *backup;			/* that begins there; NULL: none does */
	bool		window;			/* the size may move it on */
	char		why[WA_REASON_BYTES / 2];
} WaRoot;

typedef struct WaRoots
{
	size_t		count;
	WaRoot	   *roots;
	WaLineage  *lineages;		/* of each timeline of the catalogue */
	bool	   *living;			/* each of them: has roots, also if they hold
								 * nothing */
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

/* Is the segment on the way that a root is for, and from it on? */
extern bool wa_root_holds(const WaRoots *roots, const WaRoot *root,
						  WaPlace place);

/* ... or before it? */
extern bool wa_root_releases(const WaRoots *roots, const WaRoot *root,
							 WaPlace place);

/* Safe on zeroed roots. */
extern void wa_roots_free(const WaRetainQuestion *question, WaRoots *roots);

#endif							/* WA_RETAIN_ROOTS_H */
