/*
 * identity.h
 *	  Is this directory the archive of this cluster?
 *
 * Writing into the archive of another cluster, or into the empty directory
 * under a file system that is not mounted, loses data.  So every use of an
 * archive begins by reading its marker through the very handle that the
 * rest will go through.
 */
#ifndef WA_IDENTITY_H
#define WA_IDENTITY_H

#include "core/marker.h"
#include "store/store.h"

/*
 * Read the marker.  WA_NO_MARKER when there is none; `path` is for
 * messages.
 */
extern WaCode wa_identity_read(WaStore *store, const char *path,
							   WaMarker *marker, WaError *err);

/* WA_WRONG_CLUSTER unless the marker names this cluster. */
extern WaCode wa_identity_check(const WaMarker *marker, const char *path,
								uint64_t system_identifier,
								uint32_t segment_bytes, WaError *err);

/* What an archiving server knows of itself. */
typedef struct WaIdentity
{
	const char *path;			/* of the archive */
	uint64_t	system_identifier;
	uint32_t	segment_bytes;
	char		new_archive_id[WA_ARCHIVE_ID_TEXT_BYTES];	/* random */
	bool		is_private;		/* a new archive is */
	const char *known_file;
	mode_t		known_mode;

	/*
	 * Of earlier processes of this server: what they left in tmp/ does not
	 * make a directory less empty.
	 */
	const char *const *last_tokens;
	int			last_tokens_count;

	/*
	 * Ours, or NULL: nor does what we ourselves could not remove, which the
	 * next process sweeps.
	 */
	const char *own_token;
} WaIdentity;

typedef struct WaAttached
{
	WaMarker	marker;
	bool		created;		/* the directory has just become an archive */
	bool		new_id;			/* the path is known with another archive id */
} WaAttached;

/*
 * Attach an archiving server: accept its own archive, turn an empty,
 * never used directory into one, refuse everything else.  The marker and
 * the line in walarch.known are durable on return.  Threads of a process
 * must take turns.
 */
extern WaCode wa_identity_attach(WaStore *store, const WaIdentity *identity,
								 WaAttached *attached, WaError *err);

/*
 * Write a marker into a directory that has none, whatever else lies there;
 * WA_EXISTS (and *marker) when it has one of the same cluster.
 */
extern WaCode wa_identity_init(WaStore *store, const WaIdentity *identity,
							   WaMarker *marker, WaError *err);

/*
 * Nothing there but lost+found and our own tmp/ and wal/, both empty?  Those
 * are made before the marker, and a crash can come between.
 */
extern WaCode wa_identity_empty(WaStore *store, bool *empty, WaError *err);

#endif							/* WA_IDENTITY_H */
