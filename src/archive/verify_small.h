/*
 * verify_small.h
 *	  The look at everything that is no full segment: histories, backup
 *	  history files, .partial segments.
 */
#ifndef WA_VERIFY_SMALL_H
#define WA_VERIFY_SMALL_H

#include "archive/verify.h"

extern WaCode wa_verify_small(const WaVerifyOptions *options,
							  const WaCatalogue *catalogue, WaError *err);

/* What it means that the data of a base backup is damaged, and what to do. */
extern const char wa_verify_base_lost[];
extern const char wa_verify_base_hint[];

#endif							/* WA_VERIFY_SMALL_H */
