/*
 * push.h
 *	  One file into the archive.
 *
 *	wa_push_open	read the source once, check it
 *	wa_push_stage	compress and store it, durable but invisible
 *	wa_push_commit	make it visible, unless the archive has it already
 *	wa_push_close
 *
 * WA_OK from wa_push_commit means that the archive durably holds exactly
 * these bytes under this name.
 */
#ifndef WA_PUSH_H
#define WA_PUSH_H

#include "archive/identity.h"
#include "core/envelope.h"
#include "core/sink_zstd.h"
#include "store/store.h"

#define WA_ARCHIVE_PATH_BYTES	1024	/* PostgreSQL's MAXPGPATH */

/* Larger sources are streamed instead of being held in memory. */
#define WA_WHOLE_BYTES_MAX		(UINT64_C(64) * 1024 * 1024)

/* Buffers and contexts of one worker, reused from file to file. */
typedef struct WaBench
{
	unsigned char *raw;
	size_t		raw_capacity;
	unsigned char *frame;
	size_t		frame_capacity;
	WaZstd	   *zstd;
} WaBench;

extern WaBench *wa_bench_open(void);	/* NULL when out of memory */
extern void wa_bench_close(void *bench);	/* safe on NULL */

/*
 * An archive as one archiving process sees it.  Shared by its workers;
 * everything that changes is behind its own lock.
 */
typedef struct WaArchive WaArchive;

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
	char		suspect_key[WA_KEY_BYTES];	/* an fsync of it failed in an
											 * earlier process; or empty */
	char		new_archive_id[WA_ARCHIVE_ID_TEXT_BYTES];
	uint64_t	(*now_us) (void);	/* a clock that only goes forward */
} WaArchiveConfig;

extern WaArchive *wa_archive_open(const WaArchiveConfig *config);
extern void wa_archive_hold(WaArchive *archive);	/* one close more is due */
extern void wa_archive_close(WaArchive *archive);	/* safe on NULL */

typedef enum WaPushOutcome
{
	WA_PUSH_STORED = 1,
	WA_PUSH_IDENTICAL,			/* was there already */
	WA_PUSH_REPLACED			/* a damaged object was set aside for it */
} WaPushOutcome;

typedef struct WaPushResult
{
	WaPushOutcome outcome;
	uint64_t	raw_bytes;
	uint64_t	stored_bytes;	/* 0 when nothing was written */
	uint64_t	read_us;
	uint64_t	compress_us;
	uint64_t	store_us;
	uint64_t	free_bytes;
	bool		free_bytes_known;
	char		damage[WA_DAMAGE_TEXT_BYTES];	/* of the source; or empty */
	char		aside_key[WA_KEY_BYTES];	/* where a damaged object went */
	char		suspect_key[WA_KEY_BYTES];	/* visible, but an fsync of it
											 * failed; or empty */
	WaAttached	attached;
	bool		sweep_done;		/* by this call */
	uint64_t	swept;
} WaPushResult;

typedef struct WaPush WaPush;

/*
 * Refused: WA_INVALID (name, size), WA_WRONG_CLUSTER, WA_NOT_FOUND (no such
 * source).  A source damaged in any other way is taken, and result->damage
 * says so.
 */
extern WaCode wa_push_open(WaArchive *archive, WaBench *bench, WaBeat *beat,
						   const char *name, const char *source,
						   int64_t archived_at_us, WaPushResult *result,
						   WaPush **push, WaError *err);
extern WaCode wa_push_stage(WaPush *push, int level, WaError *err);
extern WaCode wa_push_commit(WaPush *push, int level, WaError *err);
extern void wa_push_close(WaPush *push);	/* safe on NULL */

/* The whole way. */
extern WaCode wa_push(WaArchive *archive, WaBench *bench, WaBeat *beat,
					  int level, const char *name, const char *source,
					  int64_t archived_at_us, WaPushResult *result,
					  WaError *err);

#endif							/* WA_PUSH_H */
