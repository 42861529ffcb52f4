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

/* Report what is wrong with the data of a base backup. */
extern void wa_verify_report_base(const WaVerifyOptions *options,
								  const char *id, const char *finding);

#endif							/* WA_VERIFY_SMALL_H */
