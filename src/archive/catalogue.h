/*
 * catalogue.h
 *	  What an archive holds, from its listing: nothing is remembered anywhere.
 *
 * Segments are kept as runs of numbers, so that an archive of a million
 * objects takes no more memory than its holes.
 */
#ifndef WA_CATALOGUE_H
#define WA_CATALOGUE_H

#include "core/backuphistory.h"
#include "core/history.h"
#include "core/marker.h"
#include "core/sink_zstd.h"
#include "core/walname.h"
#include "store/store.h"

/* Segment numbers, both inclusive. */
typedef struct WaRange
{
	uint64_t	first;
	uint64_t	last;
	uint64_t	stored_bytes;	/* of all of them; 0 unless asked for */
} WaRange;

typedef struct WaPartial
{
	uint64_t	segno;
	char		key[WA_KEY_BYTES];
} WaPartial;

typedef struct WaTimeline
{
	uint32_t	tli;
	bool		history_known;	/* timeline 1 has none and needs none */
	WaHistory	history;		/* count 0 when not known */
	int64_t		history_at_us;	/* when that was archived; 0: not known */
	size_t		ranges_count;	/* in order, none touching the next */
	WaRange    *ranges;
	size_t		partials_count;
	WaPartial  *partials;
} WaTimeline;

#define WA_BACKUP_ID_BYTES		64
#define WA_BACKUP_REASON_BYTES	200

/* What to say of a backup with checksum_failures that can be restored. */
#define WA_BACKUP_CHECKSUMS		"the server reported damaged data pages when " \
	"it was taken"

/* A base backup: known by its backup history file, or its data is here. */
typedef struct WaBackup
{
	char		id[WA_BACKUP_ID_BYTES];
	char		key[WA_KEY_BYTES];	/* of its history file; empty: none is here */
	bool		stored;			/* its data is in the archive, below base/ */
	char		parent[WA_BACKUP_ID_BYTES]; /* of such an incremental one */
	uint64_t	stored_bytes;	/* of that data */
	char		damage[WA_BACKUP_REASON_BYTES]; /* of that data, by names and
												 * sizes of its files; or empty */
	bool		checksum_failures;	/* the server saw damaged pages in it */
	bool		readable;		/* else `reason` says why, and the rest is void
								 * but for what the name says: */
	uint32_t	tli;
	uint64_t	start_segno;
	uint64_t	stop_segno;
	WaBackupHistory history;
	char		reason[WA_BACKUP_REASON_BYTES];
} WaBackup;

/* What is below base/ and no backup: not yet, or not any more. */
typedef struct WaUnfinished
{
	char		id[WA_BACKUP_ID_BYTES];
	bool		begun;			/* then it holds WAL: */
	uint64_t	start_segno;
} WaUnfinished;

/* What makes it unwise to delete anything. */
typedef struct WaDoubt
{
	char		object[WA_KEY_BYTES];
	char		reason[200];
} WaDoubt;

typedef struct WaCatalogue
{
	WaMarker	marker;
	size_t		timelines_count;	/* in order of their numbers */
	WaTimeline *timelines;
	size_t		backups_count;	/* in order of their start LSN */
	WaBackup   *backups;
	size_t		unfinished_count;
	WaUnfinished *unfinished;
	size_t		doubts_count;
	WaDoubt    *doubts;
	uint64_t	objects;		/* of WAL, of all kinds */
	uint64_t	stored_bytes;	/* of them; 0 unless asked for */
	uint64_t	aside;			/* files in damaged/ */
	uint64_t	foreign;		/* names below wal/ that are not ours */
} WaCatalogue;

typedef enum WaCatalogueDepth
{
	WA_CATALOGUE_NAMES = 1,		/* names, and the small files */
	WA_CATALOGUE_SIZES			/* and what each object takes */
} WaCatalogueDepth;

/*
 * List the archive whose marker was read through this store.  Fails only
 * when the listing itself does; an unreadable history or backup history file
 * is a doubt.  On success the caller frees with wa_catalogue_free.
 */
extern WaCode wa_catalogue_read(WaStore *store, const WaMarker *marker,
								WaCatalogueDepth depth, WaZstd *zstd,
								WaCatalogue *catalogue, WaError *err);

/* Safe on a zeroed catalogue. */
extern void wa_catalogue_free(WaCatalogue *catalogue);

/* Does the archive hold the data of any base backup? */
extern bool wa_catalogue_stores_backups(const WaCatalogue *catalogue);

/* The backup of that id whose data is in the archive, or NULL. */
extern const WaBackup *wa_catalogue_stored(const WaCatalogue *catalogue,
										   const char *id);

/* NULL when the archive has nothing of it. */
extern const WaTimeline *wa_catalogue_timeline(const WaCatalogue *catalogue,
											   uint32_t tli);

/* The run that a segment lies in, or NULL: it is not there. */
extern const WaRange *wa_timeline_range(const WaTimeline *timeline,
										uint64_t segno);

#endif							/* WA_CATALOGUE_H */
