/*
 * target.h
 *	  The options that say what to recover to.
 */
#ifndef WA_RECOVERY_TARGET_H
#define WA_RECOVERY_TARGET_H

#include "recovery/choose.h"

/* For getopt_long, of subcommands that have no other use for the letters. */
#define WA_TARGET_OPTIONS \
	{"latest", no_argument, NULL, 'l'}, \
	{"immediate", no_argument, NULL, 'i'}, \
	{"target-time", required_argument, NULL, 't'}, \
	{"target-lsn", required_argument, NULL, 'L'}, \
	{"target-name", required_argument, NULL, 'n'}, \
	{"target-xid", required_argument, NULL, 'x'}, \
	{"timeline", required_argument, NULL, 'T'}, \
	{"backup", required_argument, NULL, 'b'}

typedef enum WaOptionTaken
{
	WA_OPTION_OTHER = 0,		/* none of these */
	WA_OPTION_GOOD,
	WA_OPTION_BAD,				/* a value that cannot be */
	WA_OPTION_SECOND			/* there was a target already */
} WaOptionTaken;

/* Take such an option; *given: there was a target. */
extern WaOptionTaken wa_target_option(WaTarget *target, bool *given,
									  int letter, const char *value);

/* What else to say of a value that is bad, or "". */
extern const char *wa_target_explain(int letter);

#endif							/* WA_RECOVERY_TARGET_H */
