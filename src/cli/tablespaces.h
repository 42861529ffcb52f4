/*
 * tablespaces.h
 *	  Tablespaces that replaying a segment would make.
 *
 * Replay makes a tablespace where its original was made.  On a machine where
 * the original still lies there, that overwrites its files: see
 * create_tablespace_directories() in src/backend/commands/tablespace.c.
 */
#ifndef WA_CLI_TABLESPACES_H
#define WA_CLI_TABLESPACES_H

#include "core/error.h"

typedef enum WaTablespaces
{
	WA_TABLESPACES_ANY = 0,		/* as PostgreSQL does */
	WA_TABLESPACES_EMPTY,		/* where nothing is yet, or what is ours */
	WA_TABLESPACES_NONE			/* nowhere outside of the data directory */
} WaTablespaces;

/*
 * May a server whose data directory is the working directory replay this file,
 * which is called `name` in the archive?  WA_REFUSED when not; files other than
 * segments may be.
 */
extern WaCode wa_tablespaces_check(const char *path, const char *name,
								   WaTablespaces rule, WaError *err);

#endif							/* WA_CLI_TABLESPACES_H */
