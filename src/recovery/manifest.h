/*
 * manifest.h
 *	  The manifest of a base backup, where PostgreSQL's own program that
 *	  compares it is not at hand.
 *
 * Source of the form: "Backup Manifest Format" in the documentation of
 * PostgreSQL.
 */
#ifndef WA_RECOVERY_MANIFEST_H
#define WA_RECOVERY_MANIFEST_H

#include "core/error.h"

/*
 * Compare the files of a data directory with its backup_manifest: all are
 * there, no others, with the sizes and the checksums (CRC-32C; of other kinds
 * the size alone counts) that it says.  WA_DAMAGED when not.  pg_control may
 * have the name under which it is held back.  With `only`, just that file.
 */
extern WaCode wa_manifest_check(const char *directory, const char *only,
								WaError *err);

#endif							/* WA_RECOVERY_MANIFEST_H */
