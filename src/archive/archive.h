/*
 * archive.h
 *	  An archive as one archiving process sees it.
 */
#ifndef WA_ARCHIVE_H
#define WA_ARCHIVE_H

#include "archive/identity.h"
#include "store/store.h"

#define WA_ARCHIVE_PATH_BYTES	1024	/* PostgreSQL's MAXPGPATH */

/*
 * Shared by the workers of the process; everything that changes is behind
 * its own lock.
 */
typedef struct WaArchive WaArchive;

/* Objects that are visible although an fsync of them failed. */
#define WA_SUSPECTS_MAX		24

typedef struct WaSuspects
{
	int			count;			/* more than the most: all are suspect */
	char		keys[WA_SUSPECTS_MAX][WA_KEY_BYTES];
} WaSuspects;

typedef struct WaArchiveConfig
{
	char		path[WA_ARCHIVE_PATH_BYTES];
	uint64_t	system_identifier;
	uint32_t	segment_bytes;
	uint16_t	wal_magic;		/* of this server */
	mode_t		file_mode;
	mode_t		dir_mode;
	char		token[WA_TOKEN_BYTES];	/* of this process */
	char		last_tokens[2][WA_TOKEN_BYTES];	/* of earlier ones, to sweep */
	WaSuspects	suspects;		/* of an earlier process */
	char		new_archive_id[WA_ARCHIVE_ID_TEXT_BYTES];
	uint64_t	(*now_us) (void);	/* a clock that only goes forward */
} WaArchiveConfig;

extern WaArchive *wa_archive_open(const WaArchiveConfig *config);
extern void wa_archive_hold(WaArchive *archive);	/* one close more is due */
extern void wa_archive_close(WaArchive *archive);	/* safe on NULL */

extern const WaArchiveConfig *wa_archive_config(const WaArchive *archive);

/* What a visit found out besides the store itself. */
typedef struct WaVisit
{
	WaAttached	attached;
	bool		sweep_done;		/* by this visit, the first of the process, and
								 * nothing of earlier processes is left */
	uint64_t	swept;
	bool		free_bytes_known;
	uint64_t	free_bytes;
} WaVisit;

/*
 * Open the archive anew, so that a lost mount is noticed and the mount point
 * not held from file to file, prove that it is ours, and, the first time,
 * sweep what earlier archivers of this data directory left half-written.
 * The caller closes the store.
 */
extern WaCode wa_archive_visit(WaArchive *archive, WaBeat *beat,
							   WaStore **store, WaVisit *visit,
							   WaError *err);

/*
 * What visits have found new since the last call, whoever made them and
 * whatever became of them; the rest of *visit stays.  Never waits for
 * storage.
 */
extern void wa_archive_take_news(WaArchive *archive, WaVisit *visit);

/* Has an fsync of this visible object failed? */
extern bool wa_archive_suspects(WaArchive *archive, const char *key);

/* All such objects, to be handed to the next process. */
extern void wa_archive_list_suspects(WaArchive *archive,
									 WaSuspects *suspects);

#endif							/* WA_ARCHIVE_H */
