/*
 * controlfile.h
 *	  What walarch needs from pg_control.
 *
 * Layout: ControlFileData in src/include/catalog/pg_control.h of each major.
 */
#ifndef WA_CONTROLFILE_H
#define WA_CONTROLFILE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/error.h"

#define WA_CONTROLFILE_BYTES	8192	/* size of the file */

typedef struct WaControlFile
{
	uint64_t	system_identifier;
	uint32_t	version;		/* pg_control_version */
	bool		known;			/* the rest is known for this version */
	uint32_t	segment_bytes;
	uint64_t	min_recovery_lsn;	/* 0: none */
	uint32_t	min_recovery_tli;
} WaControlFile;

/*
 * Read the bytes of global/pg_control.  The system identifier stands first
 * in every version; the rest is taken, and the checksum verified, for the
 * versions of PostgreSQL 15 to 19.  WA_DAMAGED when the checksum fails.
 */
extern WaCode wa_controlfile_parse(const unsigned char *bytes, size_t length,
								   const char *what, WaControlFile *control,
								   WaError *err);

#endif							/* WA_CONTROLFILE_H */
