/*
 * list.h
 *	  What walarch list answers, one function a question.
 */
#ifndef WA_LIST_H
#define WA_LIST_H

#include "archive/segments.h"

typedef struct WaListOptions
{
	bool		json;
	bool		segments;
	const char *restore_point;	/* or NULL */
	bool		at_given;
	int64_t		at_us;
	uint32_t	tli;			/* 0: any */
} WaListOptions;

/*
 * Print the answer.  *good: it was found, or nothing is missing or in doubt.
 */
extern WaCode wa_list_summary(const WaListOptions *options, WaStore *store,
							  const WaCatalogue *catalogue, bool *good,
							  WaError *err);
extern WaCode wa_list_segments(const WaListOptions *options, WaStore *store,
							   const WaCatalogue *catalogue, bool *good,
							   WaError *err);
extern WaCode wa_list_point(const WaListOptions *options, WaStore *store,
							const WaCatalogue *catalogue, bool *good,
							WaError *err);
extern WaCode wa_list_moment(const WaListOptions *options, WaStore *store,
							 const WaCatalogue *catalogue, bool *good,
							 WaError *err);

/* A bar for each timeline, as wide as the terminal. */
extern void wa_list_draw(const WaCatalogue *catalogue, const WaGap *gaps,
						 size_t gaps_count);

#endif							/* WA_LIST_H */
