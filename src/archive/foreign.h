/*
 * foreign.h
 *	  Directories of WAL that walarch did not write: plain files as cp left
 *	  them, or compressed by zstd, gzip or lz4.
 */
#ifndef WA_FOREIGN_H
#define WA_FOREIGN_H

#include <sys/types.h>

#include "archive/delivery.h"
#include "core/sink_zstd.h"
#include "core/walname.h"
#include "store/beat.h"

typedef struct WaForeign
{
	const char *const *directories;
	int			count;
	uint64_t	system_identifier;	/* 0: not known, any */
	uint32_t	segment_bytes;	/* 0: not known, as the file says */
} WaForeign;

/*
 * Is there any file that could be this one?  WA_NOT_FOUND proves that there
 * is none in any of the directories.
 */
extern WaCode wa_foreign_find(const WaForeign *foreign, const WaWalName *name,
							  WaBeat *beat, WaError *err);

/*
 * Deliver the first candidate that passes size and header checks to
 * `destination`.  WA_NOT_FOUND as above; another code when there were
 * candidates and none passed (that of the first one).
 */
extern WaCode wa_foreign_fetch(const WaForeign *foreign,
							   const WaWalName *name, WaZstd *zstd,
							   const WaDestination *destination,
							   WaBeat *beat, WaError *err);

#endif							/* WA_FOREIGN_H */
