/*
 * basebackup.h
 *	  The text that advertises a base backup whose data is in the archive.
 *
 * The same text, without what is known only at the end, is there while a
 * backup is being taken.
 */
#ifndef WA_BASEBACKUP_H
#define WA_BASEBACKUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/digest.h"
#include "core/error.h"

#define WA_BASE_ID_BYTES		64	/* with its NUL */
#define WA_BASE_LABEL_BYTES		256
#define WA_BASE_PATH_BYTES		1025	/* PostgreSQL's MAXPGPATH, and a NUL */
#define WA_BASE_FILE_BYTES		40
#define WA_BASE_TOKEN_BYTES		17
#define WA_BASE_TEXT_BYTES_MAX	(1024 * 1024)

/* One object of a backup: a tar archive or the manifest, compressed. */
typedef struct WaBaseFile
{
	char		name[WA_BASE_FILE_BYTES];	/* below the backup's prefix */
	uint64_t	raw_bytes;
	uint64_t	stored_bytes;
	WaDigest	digest;			/* of the raw bytes */
	char		location[WA_BASE_PATH_BYTES];	/* of a tablespace, else empty */
} WaBaseFile;

typedef struct WaBaseBackup
{
	char		id[WA_BASE_ID_BYTES];
	char		label[WA_BASE_LABEL_BYTES];
	char		parent[WA_BASE_ID_BYTES];	/* of an incremental one, else empty */
	char		token[WA_BASE_TOKEN_BYTES]; /* of the temporaries it was made of */
	bool		from_standby;
	uint32_t	server_version; /* as PG_VERSION_NUM */
	uint32_t	start_tli;
	uint32_t	stop_tli;
	uint64_t	start_lsn;
	uint64_t	stop_lsn;		/* 0: it has not ended */
	int64_t		start_us;		/* microseconds since 1970, whole seconds, by the
								 * clock of whoever took it */
	int64_t		stop_us;
	bool		checksum_failures;	/* the server saw damaged pages */
	size_t		files_count;
	WaBaseFile *files;			/* malloc'ed */
} WaBaseBackup;

/* Can it be the id of a backup? */
extern bool wa_base_id_valid(const char *id);

/*
 * "base.tar.zst", "16384.tar.zst", "backup_manifest.zst": can it be a file of
 * a backup?  *oid is that of a tablespace, 0 otherwise.
 */
#define WA_BASE_MAIN		"base.tar.zst"
#define WA_BASE_MANIFEST	"backup_manifest.zst"
extern bool wa_base_file_valid(const char *name, uint32_t *oid);

/* Can a label stand in it?  Text without control characters, not too long. */
extern bool wa_base_label_valid(const char *label);

/* And the location of a tablespace? */
extern bool wa_base_path_valid(const char *path);

/*
 * The text, malloc'ed, with a NUL behind it; NULL when out of memory.  Label
 * and locations must be valid.
 */
extern char *wa_base_format(const WaBaseBackup *backup);

/*
 * Parse it.  Unknown keys are ignored; a later version, or an unknown key
 * "requires-...", is WA_UNSUPPORTED, missing or bad values WA_DAMAGED.  With
 * `ended` it must tell how the backup ended.  The caller frees, also after an
 * error.
 */
extern WaCode wa_base_parse(const char *text, size_t length, const char *what,
							bool ended, WaBaseBackup *backup, WaError *err);

/* Its file of that name, or NULL. */
extern const WaBaseFile *wa_base_file(const WaBaseBackup *backup,
									  const char *name);

/* Safe on a zeroed one. */
extern void wa_base_free(WaBaseBackup *backup);

/* What it takes in the archive, in bytes. */
extern uint64_t wa_base_stored_bytes(const WaBaseBackup *backup);

#endif							/* WA_BASEBACKUP_H */
