/*
 * fetch.c
 *	  One file out of the archive, proven before it gets its name.
 */
#include "archive/fetch.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "archive/ancestry.h"
#include "archive/delivery.h"
#include "archive/hole.h"
#include "archive/identity.h"
#include "archive/known.h"
#include "archive/layout.h"
#include "archive/object.h"

typedef struct Fetch
{
	const WaFetchConfig *config;
	WaZstd	   *zstd;
	WaStore    *store;			/* NULL: no archive yet, then there is `also` */
	WaForeign	also;			/* with what the marker added */
	uint64_t	system_identifier;	/* 0: not known */
	uint32_t	segment_bytes;	/* 0: not known */
	WaApproach	approach;
} Fetch;

/* Open the archive and prove that it is the asking cluster's. */
static WaCode
open_archive(Fetch *fetch, WaError *err)
{
	const WaFetchConfig *config = fetch->config;
	WaMarker	marker;
	bool		empty;
	bool		path_known;
	bool		id_known;

	if (config->control != NULL)
	{
		fetch->system_identifier = config->control->system_identifier;
		fetch->segment_bytes = config->control->segment_bytes;
	}
	if (wa_store_dir_open(config->archive, &config->store, &fetch->store,
						  err) != WA_OK)
		return err->code;
	switch (wa_identity_read(fetch->store, config->archive, &marker, err))
	{
		case WA_OK:
			break;
		case WA_NO_MARKER:
			{
				WaError		missing = *err;

				/* before the first archived file, an old archive serves */
				if (fetch->also.count > 0 &&
					(config->known_file == NULL ||
					 (wa_known_find(config->known_file, config->archive, "",
									&path_known, &id_known, err) == WA_OK &&
					  !path_known)) &&
					wa_identity_empty(fetch->store, &empty, err) == WA_OK &&
					empty)
				{
					wa_store_close(fetch->store);
					fetch->store = NULL;
					return WA_OK;
				}
				*err = missing;
				return err->code;
			}
		default:
			return err->code;
	}
	if (wa_identity_check(&marker, config->archive, fetch->system_identifier,
						  fetch->segment_bytes, err) != WA_OK)
		return err->code;
	fetch->system_identifier = marker.system_identifier;
	fetch->segment_bytes = marker.segment_bytes;
	return WA_OK;
}

/* WA_OK: some copy is there; WA_NOT_FOUND: proven that none is. */
static WaCode
find(Fetch *fetch, const WaWalName *name, WaError *err)
{
	char		key[WA_KEY_BYTES];
	WaStat		stat;
	WaCode		code = WA_NOT_FOUND;

	if (fetch->store != NULL)
	{
		wa_layout_key(name, key);
		code = wa_store_stat(fetch->store, key, &stat, err);
	}
	if (code == WA_NOT_FOUND && fetch->also.count > 0)
		code = wa_foreign_find(&fetch->also, name,
							   fetch->config->store.beat, err);
	return code;
}

/*
 * Refuse a parent timeline's segment unless each child that should have
 * been asked for it is proven not to have it.
 */
static WaCode
check_children(Fetch *fetch, const WaWalName *name, WaError *err)
{
	WaHistory	history;
	uint64_t	segno;
	bool		younger = false;
	WaCode		code = WA_OK;

	if (fetch->config->pg_wal == NULL || name->kind != WA_KIND_SEGMENT ||
		fetch->segment_bytes == 0 || fetch->approach == WA_APPROACH_DIRECT)
		return WA_OK;
	if (fetch->approach == WA_APPROACH_CHILD)
	{
		wa_fail(err, WA_REFUSED,
				"recovery follows a timeline that left timeline %" PRIu32
				" in or before this segment, and has just been told that the "
				"younger timeline's segment is not there: \"%s\" may hold "
				"another history", name->tli, name->text);
		wa_hint(err, "It will be delivered to a recovery along timeline %"
				PRIu32 " alone: set recovery_target_timeline = '%" PRIu32
				"' if the target lies before the fork or the younger timeline "
				"was given up.", name->tli, name->tli);
		return err->code;
	}
	if (wa_ancestry_load(fetch->config->pg_wal, name, fetch->segment_bytes,
						 fetch->config->control, fetch->config->store.beat,
						 &history, err) != WA_OK ||
		wa_walname_segno(name, fetch->segment_bytes, &segno, err) != WA_OK)
		return err->code;

	for (uint32_t i = 0; i < history.count && code == WA_OK; i++)
	{
		const WaHistoryEntry *entry = &history.entries[i];
		WaWalName	child = *name;

		if (!younger)
		{
			younger = entry->tli == name->tli;
			continue;
		}
		if (entry->begin / fetch->segment_bytes > segno)
			break;				/* it begins in a later segment */
		child.tli = entry->tli;
		wa_segment_name(child.text, entry->tli, segno, fetch->segment_bytes);
		switch (find(fetch, &child, err))
		{
			case WA_NOT_FOUND:
				break;
			case WA_OK:
				code = wa_fail(err, WA_REFUSED,
							   "timeline %" PRIu32 " left timeline %" PRIu32
							   " in or before this segment, and \"%s\" is "
							   "there: \"%s\" holds another history",
							   entry->tli, name->tli, child.text, name->text);
				wa_hint(err, "If this server has replayed timeline %" PRIu32
						" past that point and is to stay on it, run CHECKPOINT "
						"on it: walarch sees that only in pg_control.",
						name->tli);
				break;
			default:
				code = WA_REFUSED;
				err->code = code;
		}
	}
	wa_history_free(&history);
	return code;
}

/*
 * A standby whose last lookup of a timeline history failed may be about to
 * replay past a fork it does not know of.  WA_OK when that is settled.
 */
static WaCode
check_unresolved(Fetch *fetch, WaTrail *trail, WaError *err)
{
	WaWalName	history = {.kind = WA_KIND_HISTORY};

	if (!fetch->config->standby || trail->unresolved_tli == 0)
		return WA_OK;			/* and so without a trail */
	history.tli = trail->unresolved_tli;
	wa_history_name(history.text, history.tli);
	switch (find(fetch, &history, err))
	{
		case WA_NOT_FOUND:
			trail->unresolved_tli = 0;
			wa_trail_write(fetch->config->trail_file, trail,
						   fetch->config->mode);
			return WA_OK;
		case WA_OK:
			wa_fail(err, WA_REFUSED,
					"\"%s\" could not be read when the server asked for it, "
					"and it has to know it before it replays on",
					history.text);
			wa_hint(err, "It will ask again by itself; with another "
					"recovery_target_timeline than 'latest' restart it.");
			return err->code;
		default:
			err->code = WA_REFUSED;
			return err->code;
	}
}

/*
 * What to think of this request in the light of the one before; written down
 * before the archive is touched, so that a lookup that hangs is remembered,
 * too.
 */
static WaApproach
follow_trail(const WaFetchConfig *config, const WaWalName *name,
			 WaTrail *trail)
{
	WaApproach	approach = WA_APPROACH_UNKNOWN;

	wa_trail_read(config->trail_file, trail);
	if (config->step != NULL && config->step->taken)
		return config->step->approach;
	if (name->kind == WA_KIND_HISTORY)
		wa_trail_begin_round(trail);
	else if (name->kind == WA_KIND_SEGMENT && config->control != NULL &&
			 config->control->known)
		approach = wa_trail_step(trail, name, config->control->segment_bytes);
	wa_trail_write(config->trail_file, trail, config->mode);
	if (config->step != NULL)
	{
		config->step->taken = true;
		config->step->approach = approach;
	}
	return approach;
}

bool
wa_fetch_direct(const WaFetchConfig *config, const WaWalName *name)
{
	WaTrail		trail;

	return follow_trail(config, name, &trail) == WA_APPROACH_DIRECT &&
		!(config->standby && trail.unresolved_tli != 0);
}

/*
 * Remember a history that could not be looked up, unless the server has a
 * copy of its own, which it then uses.
 */
static void
note_history(const Fetch *fetch, const WaWalName *name, WaTrail *trail,
			 WaCode code)
{
	const WaFetchConfig *config = fetch->config;
	char		own[2048];

	if (name->kind != WA_KIND_HISTORY)
		return;
	snprintf(own, sizeof(own), "%s/%s", config->pg_wal, name->text);
	if (code == WA_OK || code == WA_NOT_FOUND || access(own, F_OK) == 0)
	{
		if (trail->unresolved_tli == name->tli)
			trail->unresolved_tli = 0;
	}
	else if (trail->unresolved_tli == 0 || name->tli < trail->unresolved_tli)
		trail->unresolved_tli = name->tli;
	wa_trail_write(config->trail_file, trail, config->mode);
}

/* Only a server in recovery takes a missing segment for the end of WAL. */
static bool
asks_for_holes(const Fetch *fetch, const WaWalName *name,
			   WaHoleQuestion *question)
{
	*question = (WaHoleQuestion) {
		.store = fetch->store,
		.zstd = fetch->zstd,
		.beat = fetch->config->store.beat,
		.pg_wal = fetch->config->pg_wal,
		.system_identifier = fetch->system_identifier,
		.segment_bytes = fetch->segment_bytes
	};
	return fetch->store != NULL && question->pg_wal != NULL &&
		name->kind == WA_KIND_SEGMENT;
}

/*
 * The same end, within a segment: what is delivered would be replayed up to
 * it, and the database opened there.
 */
static WaCode
check_end(Fetch *fetch, const WaWalName *name, const WaEnvelope *envelope,
		  WaError *err)
{
	WaHoleQuestion question;

	if (!envelope->scanned || !wa_scan_ends_early(&envelope->scan))
		return WA_OK;

	/* fetched ahead it would be delivered without a look at what is behind */
	if (fetch->config->unnamed != NULL)
		return wa_fail(err, WA_REFUSED, "\"%s\" ends early", name->text);
	if (fetch->config->standby || !asks_for_holes(fetch, name, &question))
		return WA_OK;
	return wa_hole_check_behind(&question, name, envelope->scan.stop_lsn, err);
}

/* Our own object. */
static WaCode
deliver_object(Fetch *fetch, const WaWalName *name,
			   const WaDestination *destination, WaError *err)
{
	char		key[WA_KEY_BYTES];
	WaStat		stat;
	WaEnvelope	envelope;
	WaDelivery *delivery;
	WaCode		code;

	wa_layout_key(name, key);
	if (wa_object_envelope(fetch->store, key, &stat, &envelope,
						   err) != WA_OK ||
		wa_object_check_name(fetch->store, key, &envelope, name,
							 fetch->system_identifier, fetch->segment_bytes,
							 err) != WA_OK)
		return err->code;
	if (envelope.damage[0] != '\0')
	{
		wa_fail(err, WA_DAMAGED_SOURCE,
				"\"%s\" was already damaged when it was archived: %s",
				name->text, envelope.damage);
		wa_hint(err, "The damage happened on the server, before archiving. "
				"Look for another copy, and take a new base backup: recovery "
				"cannot pass this file.");
		return err->code;
	}
	if (check_children(fetch, name, err) != WA_OK ||
		check_end(fetch, name, &envelope, err) != WA_OK ||
		wa_delivery_open(destination, fetch->config->store.beat, &delivery,
						 err) != WA_OK)
		return err->code;
	code = wa_object_read(fetch->store, key, &stat, &envelope, fetch->zstd,
						  wa_delivery_sink(delivery), err);
	if (code == WA_OK)
		code = wa_delivery_commit(delivery, err);
	wa_delivery_close(delivery);
	return code;
}

/* Somebody else's copy. */
static WaCode
deliver_foreign(Fetch *fetch, const WaWalName *name,
				const WaDestination *destination, WaError *err)
{
	WaCode		code;

	code = wa_foreign_find(&fetch->also, name, fetch->config->store.beat, err);
	if (code == WA_OK)
		code = check_children(fetch, name, err);
	if (code == WA_OK)
		code = wa_foreign_fetch(&fetch->also, name, fetch->zstd, destination,
								fetch->config->store.beat, err);
	return code;
}

static WaCode
deliver(Fetch *fetch, const WaWalName *name, const WaDestination *destination,
		WaError *err)
{
	WaHoleQuestion question;
	WaError		hole;
	WaCode		code = WA_NOT_FOUND;

	wa_fail(err, WA_NOT_FOUND, "\"%s\" is not there", name->text);
	if (fetch->store != NULL)
		code = deliver_object(fetch, name, destination, err);
	if (code != WA_NOT_FOUND)
		return code;
	if (fetch->also.count > 0)
		code = deliver_foreign(fetch, name, destination, err);
	if (code != WA_NOT_FOUND || !asks_for_holes(fetch, name, &question) ||
		wa_hole_check(&question, name, &hole) == WA_OK)
		return code;
	*err = hole;
	return err->code;
}

WaCode
wa_fetch(const WaFetchConfig *config, WaZstd *zstd, const char *file,
		 const char *path, WaError *err)
{
	Fetch		fetch = {.config = config, .zstd = zstd, .also = config->also};
	WaDestination destination = {
		.path = path,
		.mode = config->mode,
		.unnamed = config->unnamed,
		.still_wanted = config->still_wanted
	};
	WaTrail		trail = {0};
	WaWalName	name;
	WaCode		code;

	if (wa_walname_parse(file, &name, err) != WA_OK)
		return err->code;

	/* timeline 1 has no history, and every recovery asks for it */
	if (name.kind == WA_KIND_HISTORY && name.tli == 1)
		return wa_fail(err, WA_NOT_FOUND, "timeline 1 has no history");

	if (config->trail_file != NULL)
		fetch.approach = follow_trail(config, &name, &trail);
	code = open_archive(&fetch, err);
	fetch.also.system_identifier = fetch.system_identifier;
	fetch.also.segment_bytes = fetch.segment_bytes;
	if (config->also_alone != NULL)
		*config->also_alone = code == WA_OK && fetch.store == NULL;
	if (code == WA_OK && name.kind == WA_KIND_SEGMENT)
		code = check_unresolved(&fetch, &trail, err);
	if (code == WA_OK)
		code = deliver(&fetch, &name, &destination, err);
	if (config->trail_file != NULL)
		note_history(&fetch, &name, &trail, code);
	wa_store_close(fetch.store);
	return code;
}
