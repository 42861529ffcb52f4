/*
 * binaries.h
 *	  PostgreSQL's own programs: where they are, of which version, and running
 *	  them.
 */
#ifndef WA_RECOVERY_BINARIES_H
#define WA_RECOVERY_BINARIES_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/error.h"

typedef struct WaBinaries
{
	char		walarch[PATH_MAX];	/* the command itself */
	char		directory[PATH_MAX];	/* of PostgreSQL's programs */
	bool		server;			/* the server is there, of this version: */
	uint32_t	major;
} WaBinaries;

/* Look beside this program, or in a directory that was given (or NULL). */
extern WaCode wa_binaries_find(const char *directory, WaBinaries *binaries,
							   WaError *err);

/* Is there such a program? */
extern bool wa_binaries_have(const WaBinaries *binaries, const char *program);

/*
 * Run a program of that directory, argv[0] its name, the last one NULL; see
 * wa_program_run.
 */
extern WaCode wa_binaries_ask(const WaBinaries *binaries,
							  const char *const *argv, uint64_t most_ms,
							  char *text, size_t bytes, int *status,
							  WaError *err);

#endif							/* WA_RECOVERY_BINARIES_H */
