/*
 * layout.h
 *	  Where things lie in an archive; the only file that knows.
 */
#ifndef WA_LAYOUT_H
#define WA_LAYOUT_H

#include "core/digest.h"
#include "core/walname.h"
#include "store/store.h"

#define WA_KEY_MARKER	"archive.id"
#define WA_KEY_LOCK		"prune.lock"	/* of whoever deletes or pins */
#define WA_PREFIX_WAL	"wal"
#define WA_PREFIX_PINS	"pins"
#define WA_PREFIX_BASE	"base"
#define WA_PREFIX_DRILLS	"drills"
#define WA_KEY_BASE_LOCK	"base.lock" /* of whoever takes a backup, or removes
										 * leftovers; from the first backup on
										 * it is there */
#define WA_KEY_BASE_MARK	"base/base.id"	/* there before base.lock is */
#define WA_BASE_ADVERTISED	"backup"	/* last file of a backup that is whole */
#define WA_BASE_BEGUN		"begun" /* first file of one that is being taken */
#define WA_BASE_WITHDRAWN	"withdrawn" /* of one that is being deleted */

/* Key of the object of a WAL file (key: WA_KEY_BYTES). */
extern void wa_layout_key(const WaWalName *name, char *key);

/* Name and key of a segment of a timeline, which counts from 1. */
extern void wa_layout_segment(uint32_t tli, uint64_t segno,
							  uint32_t segment_bytes, WaWalName *name,
							  char *key);

/* Key of a second, different .partial of the same name. */
extern void wa_layout_second_partial_key(const WaWalName *name,
										 const WaDigest *digest, char *key);

/*
 * The reverse: the name of the WAL file whose object a key below wal/ is, a
 * second .partial too.  WA_INVALID for anything else.
 */
extern WaCode wa_layout_parse(const char *key, WaWalName *name, WaError *err);

/*
 * The same for a file as it stands in the listing of a prefix; false for
 * anything else.
 */
extern bool wa_layout_parse_listed(const char *prefix, const char *file,
								   char *key, WaWalName *name);

/* Is that the name of a directory of segments? */
extern bool wa_layout_is_directory(const char *file);

/* Key of a file of a base backup. */
extern void wa_layout_base_key(const char *id, const char *file, char *key);

/*
 * The n-th name (1, 2, ...) under which what was replaced is kept; why is ""
 * for a damaged object, or ".incomplete".
 */
extern void wa_layout_aside_key(const char *key, const char *why, int n,
								char *aside_key);

#endif							/* WA_LAYOUT_H */
