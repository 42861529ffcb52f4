/*
 * parent.h
 *	  The backup that an incremental one is taken against.
 */
#ifndef WA_RECOVERY_PARENT_H
#define WA_RECOVERY_PARENT_H

#include "core/basebackup.h"
#include "core/pin.h"
#include "recovery/stream.h"

/*
 * The newest backup in the archive, whole and without damage, on the way that
 * the server has come; pinned, so that it stays.  WA_NOT_FOUND: there is none.
 * On success the caller frees it, and ends the pin.
 */
extern WaCode wa_parent_choose(const char *archive,
							   const WaStreamServer *server,
							   WaBaseBackup *parent, char *pin, WaError *err);

#endif							/* WA_RECOVERY_PARENT_H */
