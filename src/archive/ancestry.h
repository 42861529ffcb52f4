/*
 * ancestry.h
 *	  Which timeline a segment should come from.
 *
 * Recovery that asked for a child timeline's segment and was told that it is
 * not there asks for the parent's segment of the same number next
 * (XLogFileReadAnyTLI).  At or after the fork that one holds another
 * history.  What the server knows of the future lies in its pg_wal: the
 * histories it has restored.
 */
#ifndef WA_ANCESTRY_H
#define WA_ANCESTRY_H

#include "core/controlfile.h"
#include "core/history.h"
#include "core/walname.h"
#include "store/beat.h"

/*
 * Load the ancestry that forbids the asked segment without further proof:
 * that of the highest timeline whose history lies in pg_wal, if the asked
 * timeline is one of its ancestors and left at or before the segment's end.
 * history->count stays 0 where nothing speaks against the segment.
 * control may be NULL: minRecoveryPoint is not known.
 */
extern WaCode wa_ancestry_load(const char *pg_wal, const WaWalName *asked,
							   uint32_t segment_bytes,
							   const WaControlFile *control, WaBeat *beat,
							   WaHistory *history, WaError *err);

#endif							/* WA_ANCESTRY_H */
