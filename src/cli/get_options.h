/*
 * get_options.h
 *	  The command line of `walarch get`, and of the prefetcher it starts.
 */
#ifndef WA_GET_OPTIONS_H
#define WA_GET_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "core/error.h"
#include "cli/tablespaces.h"
#include "core/walname.h"

#define WA_GET_ALSO_MAX			16
#define WA_GET_PREFETCH_DEFAULT	(-1)	/* --prefetch was not given */

typedef struct WaGetOptions
{
	const char *archive;
	const char *also[WA_GET_ALSO_MAX];
	int			also_count;
	bool		until_given;
	WaWalName	until;
	bool		standby;
	bool		strict;
	long		retry_s;
	long		timeout_s;
	int			prefetch;		/* segments; 0: off */
	const char *spool;			/* NULL: pg_wal itself */
	WaTablespaces tablespaces;
	const char *file;
	const char *destination;
} WaGetOptions;

extern const char *const wa_get_usage;

/* What holds for the working directory where nothing is given. */
extern void wa_get_defaults(WaGetOptions *options);

/* WA_OK, WA_INVALID with a message, or WA_CANCELLED for --help. */
extern WaCode wa_get_options(int argc, char **argv, WaGetOptions *options,
							 WaError *err);

/* The last part of a path, and the directory before it. */
extern const char *wa_get_split(const char *path, char *directory,
								size_t directory_bytes);

#endif							/* WA_GET_OPTIONS_H */
