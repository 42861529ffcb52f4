/*
 * unpack.h
 *	  The files of a base backup, from the archive into directories.
 *
 * Each tar archive is unpacked by a process of its own, in which one thread
 * reads, decompresses and checks, and another writes files.  What stands in it is not
 * trusted: only files and directories below the directory are made.
 */
#ifndef WA_RECOVERY_UNPACK_H
#define WA_RECOVERY_UNPACK_H

#include "core/basebackup.h"
#include "store/store.h"

/*
 * Until everything is there and durable, pg_control has another name: no
 * server starts on what is half restored.
 */
#define WA_CONTROL_FILE		"global/pg_control"
#define WA_CONTROL_HELD		"global/pg_control.restoring"

typedef struct WaUnpackJob
{
	const WaBaseBackup *backup;
	const WaBaseFile *file;
	char		directory[WA_BASE_PATH_BYTES];	/* there, and empty */
} WaUnpackJob;

/* So many raw bytes are done. */
typedef void (*WaUnpackProgressFn) (void *arg, uint64_t done_bytes);

/*
 * Unpack tar archives, at most so many at a time.  WA_DAMAGED when one is
 * not what its backup says, WA_REFUSED when it holds what no backup does.
 */
extern WaCode wa_unpack(WaStore *store, const WaUnpackJob *jobs, size_t count,
						int most, WaUnpackProgressFn progress, void *arg,
						WaError *err);

/* Write one object of the backup into a file that is not there yet. */
extern WaCode wa_unpack_file(WaStore *store, const WaBaseBackup *backup,
							 const WaBaseFile *file, const char *path,
							 WaError *err);

/* Give pg_control of a data directory that other name, or its own again. */
extern WaCode wa_unpack_name_control(const char *directory, bool held,
									 WaError *err);

/* In a data directory, the link to a tablespace. */
extern WaCode wa_unpack_link(const char *data, uint32_t oid, const char *to,
							 WaError *err);

#endif							/* WA_RECOVERY_UNPACK_H */
