/*
 * identity.c
 *	  Is this directory the archive of this cluster?
 */
#include "archive/identity.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "archive/known.h"
#include "archive/layout.h"

WaCode
wa_identity_read(WaStore *store, const char *path, WaMarker *marker,
				 WaError *err)
{
	char		text[WA_MARKER_BYTES_MAX];
	char		what[WA_MESSAGE_BYTES / 2];
	WaBufferSink buffer;
	WaSink	   *sink;

	snprintf(what, sizeof(what), "%.400s/" WA_KEY_MARKER, path);
	sink = wa_sink_buffer(&buffer, text, sizeof(text), what);

	switch (wa_store_get(store, WA_KEY_MARKER, NULL, 0, UINT64_MAX, sink,
						 err))
	{
		case WA_OK:
			return wa_marker_parse(text, buffer.length, what, marker, err);
		case WA_NOT_FOUND:
			wa_fail(err, WA_NO_MARKER,
					"archive directory \"%s\" has no marker \"%s\"", path,
					WA_KEY_MARKER);
			wa_hint(err, "If the archive lies on a file system of its own, "
					"is that mounted? If this really is to be the archive, "
					"run \"walarch init --archive '%.400s' -D DATADIR\".",
					path);
			return err->code;
		default:
			return err->code;
	}
}

WaCode
wa_identity_check(const WaMarker *marker, const char *path,
				  uint64_t system_identifier, uint32_t segment_bytes,
				  WaError *err)
{
	if (system_identifier != 0 &&
		marker->system_identifier != system_identifier)
		wa_fail(err, WA_WRONG_CLUSTER,
				"\"%s\" is the archive of the cluster with system identifier "
				"%" PRIu64 "; this cluster has %" PRIu64, path,
				marker->system_identifier, system_identifier);
	else if (segment_bytes != 0 && marker->segment_bytes != segment_bytes)
		wa_fail(err, WA_WRONG_CLUSTER,
				"\"%s\" is the archive of a cluster with segments of %" PRIu32
				" bytes; this cluster has %" PRIu32, path,
				marker->segment_bytes, segment_bytes);
	else
		return WA_OK;
	wa_hint(err, "Each cluster needs an archive directory of its own. After "
			"pg_upgrade or pg_createsubscriber the system identifier is a new "
			"one: use a new, empty directory.");
	return err->code;
}

static WaCode
count_foreign(void *arg, const char *name, bool is_prefix, WaError *err)
{
	int		   *foreign = arg;

	(void) err;
	(void) is_prefix;
	if (strcmp(name, "lost+found") != 0 && strcmp(name, "tmp") != 0 &&
		strcmp(name, WA_PREFIX_WAL) != 0)
		(*foreign)++;
	return WA_OK;
}

typedef struct Others
{
	const char *own_token;		/* "": every name counts */
	int			count;
} Others;

static WaCode
count_others(void *arg, const char *name, bool is_prefix, WaError *err)
{
	Others	   *others = arg;

	(void) is_prefix;
	(void) err;
	if (*others->own_token == '\0' ||
		strncmp(name, others->own_token, WA_TOKEN_BYTES - 1) != 0)
		others->count++;
	return WA_OK;
}

/* What lies there that is not ours, and what does in tmp/. */
static WaCode
count_contents(WaStore *store, const char *own_token, int *foreign,
			   int *temporaries, WaError *err)
{
	Others		objects = {.own_token = ""};
	Others		others = {.own_token = own_token != NULL ? own_token : ""};

	*foreign = 0;
	*temporaries = 0;
	if (wa_store_list(store, "", count_foreign, foreign, err) != WA_OK ||
		wa_store_list(store, WA_PREFIX_WAL, count_others, &objects,
					  err) != WA_OK ||
		wa_store_list(store, "tmp", count_others, &others, err) != WA_OK)
		return err->code;
	*foreign += objects.count;
	*temporaries = others.count;
	return WA_OK;
}

WaCode
wa_identity_empty(WaStore *store, bool *empty, WaError *err)
{
	int			foreign;
	int			temporaries;

	if (count_contents(store, NULL, &foreign, &temporaries, err) != WA_OK)
		return err->code;
	*empty = foreign == 0 && temporaries == 0;
	return WA_OK;
}

/*
 * The same for the archiver, whose predecessor may have died making the
 * marker: what that left behind is removed.
 */
static WaCode
make_empty(WaStore *store, const WaIdentity *identity, bool *empty,
		   WaError *err)
{
	int			foreign;
	int			temporaries;
	WaSwept		swept;

	if (count_contents(store, identity->own_token, &foreign, &temporaries,
					   err) != WA_OK)
		return err->code;
	if (foreign == 0 && temporaries > 0 &&
		(wa_store_sweep(store, identity->last_tokens,
						identity->last_tokens_count, &swept, err) != WA_OK ||
		 count_contents(store, identity->own_token, &foreign, &temporaries,
						err) != WA_OK))
		return err->code;
	*empty = foreign == 0 && temporaries == 0;
	return WA_OK;
}

/* Write our marker; when somebody else was faster, theirs holds. */
static WaCode
create_marker(WaStore *store, const WaIdentity *identity, WaMarker *marker,
			  bool *created, WaError *err)
{
	char		text[WA_MARKER_BYTES_MAX];
	size_t		length;

	memset(marker, 0, sizeof(*marker));
	marker->system_identifier = identity->system_identifier;
	marker->segment_bytes = identity->segment_bytes;
	marker->is_private = identity->is_private;
	memcpy(marker->archive_id, identity->new_archive_id,
		   sizeof(marker->archive_id));
	length = wa_marker_format(marker, text);

	*created = false;
	if (wa_store_make_prefix(store, WA_PREFIX_WAL, err) != WA_OK)
		return err->code;
	*created = wa_store_put(store, WA_KEY_MARKER, text, length, err) == WA_OK;
	if (*created)
		return WA_OK;
	if (err->code != WA_EXISTS)
		return err->code;
	if (wa_identity_read(store, identity->path, marker, err) != WA_OK)
		return err->code;		/* not reached: two markers within two calls */
	return wa_store_persist(store, WA_KEY_MARKER, err);
}

WaCode
wa_identity_attach(WaStore *store, const WaIdentity *identity,
				   WaAttached *attached, WaError *err)
{
	bool		path_known;
	bool		id_known;

	memset(attached, 0, sizeof(*attached));
	if (wa_identity_read(store, identity->path, &attached->marker,
						 err) != WA_OK)
	{
		WaError		lost = *err;
		bool		empty;

		if (lost.code != WA_NO_MARKER)
			return lost.code;
		if (wa_known_find(identity->known_file, identity->path, "",
						  &path_known, &id_known, err) != WA_OK)
			return err->code;
		empty = false;
		if (!path_known &&
			make_empty(store, identity, &empty, err) != WA_OK)
			return err->code;
		if (!empty)
		{
			*err = lost;
			if (!path_known)
			{
				wa_fail(err, WA_NO_MARKER,
						"directory \"%s\" is not empty and has no marker "
						"\"%s\": not taken for an archive", identity->path,
						WA_KEY_MARKER);
				memcpy(err->hint, lost.hint, sizeof(err->hint));
			}
			return err->code;
		}
		if (create_marker(store, identity, &attached->marker,
						  &attached->created, err) != WA_OK)
			return err->code;
	}

	if (wa_identity_check(&attached->marker, identity->path,
						  identity->system_identifier,
						  identity->segment_bytes, err) != WA_OK)
		return err->code;
	if (wa_known_find(identity->known_file, identity->path,
					  attached->marker.archive_id, &path_known, &id_known,
					  err) != WA_OK)
		return err->code;
	if (id_known)
		return WA_OK;
	attached->new_id = path_known;

	/* it may have been made a moment ago by somebody who then lost power */
	if (!attached->created &&
		wa_store_persist(store, WA_KEY_MARKER, err) != WA_OK)
		return err->code;
	return wa_known_add(identity->known_file, identity->path,
						attached->marker.archive_id, identity->known_mode,
						err);
}

WaCode
wa_identity_init(WaStore *store, const WaIdentity *identity, WaMarker *marker,
				 WaError *err)
{
	bool		created = false;

	switch (wa_identity_read(store, identity->path, marker, err))
	{
		case WA_OK:
			break;
		case WA_NO_MARKER:
			if (create_marker(store, identity, marker, &created, err) != WA_OK)
				return err->code;
			break;
		default:
			return err->code;
	}
	if (wa_identity_check(marker, identity->path,
						  identity->system_identifier,
						  identity->segment_bytes, err) != WA_OK)
		return err->code;
	if (!created)
		return wa_fail(err, WA_EXISTS,
					   "\"%s\" is the archive of this cluster already",
					   identity->path);
	return WA_OK;
}
