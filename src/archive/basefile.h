/*
 * basefile.h
 *	  One object of a base backup, out of the archive.
 */
#ifndef WA_BASEFILE_H
#define WA_BASEFILE_H

#include "core/basebackup.h"
#include "core/sink.h"
#include "store/store.h"

/*
 * Decompress it into a sink, which is closed in any case.  WA_DAMAGED, maybe
 * after all bytes have been written, when they are not those that were backed
 * up.
 */
extern WaCode wa_basefile_read(WaStore *store, const WaBaseBackup *backup,
							   const WaBaseFile *file, WaSink *to,
							   WaError *err);

#endif							/* WA_BASEFILE_H */
