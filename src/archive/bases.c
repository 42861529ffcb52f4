/*
 * bases.c
 *	  The base backups whose data is in the archive, below base/.
 */
#include "archive/bases.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "archive/layout.h"
#include "core/array.h"
#include "core/walname.h"

#define IDS_TRIED		1000	/* of backups that begin at the same LSN */

/* ---- names below a prefix --------------------------------------------------- */

typedef struct Names
{
	size_t		count;
	char	  (*names)[WA_KEY_BYTES];
	WaStore    *store;
	bool		prefixes;		/* or files */
} Names;

/*
 * What is in the place of a backup must not hide it: a link, say.  One of any
 * other name ("latest") hides nothing, and is none of ours.
 */
static WaCode
check_file(WaStore *store, const char *name, WaError *err)
{
	char		key[WA_KEY_BYTES];
	WaStat		ignored;
	WaCode		code;

	if (strspn(name, "0123456789ABCDEF") != 24 || name[24] != '.')
		return WA_OK;
	snprintf(key, sizeof(key), WA_PREFIX_BASE "/%.63s", name);
	code = wa_store_stat(store, key, &ignored, err);
	return code == WA_NOT_FOUND ? WA_OK : code;
}

static WaCode
take_name(void *arg, const char *name, bool is_prefix, WaError *err)
{
	Names	   *self = arg;
	void	   *larger;

	/* hidden files are an editor's, or a file system's */
	if (!wa_base_id_valid(name))
		return WA_OK;
	if (is_prefix != self->prefixes)
		return self->prefixes ? check_file(self->store, name, err) : WA_OK;
	larger = wa_array_room(self->names, self->count, WA_KEY_BYTES);
	if (larger == NULL)
		return wa_fail(err, WA_NO_MEMORY, "out of memory");
	self->names = larger;
	snprintf(self->names[self->count++], WA_KEY_BYTES, "%.63s", name);
	return WA_OK;
}

static int
compare_names(const void *a, const void *b)
{
	return strcmp(a, b);
}

static WaCode
list_names(WaStore *store, const char *prefix, bool prefixes, Names *names,
		   WaError *err)
{
	memset(names, 0, sizeof(*names));
	names->store = store;
	names->prefixes = prefixes;
	if (wa_store_list(store, prefix, take_name, names, err) != WA_OK)
	{
		free(names->names);
		names->names = NULL;
		return err->code;
	}
	if (names->count > 0)
		qsort(names->names, names->count, WA_KEY_BYTES, compare_names);
	return WA_OK;
}

/* ---- reading ---------------------------------------------------------------- */

static WaCode
read_text(WaStore *store, const char *id, const char *file, bool ended,
		  WaBaseBackup *backup, WaError *err)
{
	char		key[WA_KEY_BYTES];
	char	   *text;
	WaBufferSink buffer;
	WaStat		stat;
	size_t		capacity;
	WaCode		code;

	memset(backup, 0, sizeof(*backup));
	wa_layout_base_key(id, file, key);
	if (wa_store_stat(store, key, &stat, err) != WA_OK)
		return err->code;
	if (stat.bytes > WA_BASE_TEXT_BYTES_MAX)
		return wa_fail(err, WA_DAMAGED, "\"%s\" is too large", key);
	capacity = (size_t) stat.bytes;
	text = malloc(capacity + 1);
	if (text == NULL)
		return wa_fail(err, WA_NO_MEMORY, "out of memory");
	code = wa_store_get(store, key, &stat, 0, UINT64_MAX,
						wa_sink_buffer(&buffer, text, capacity, key), err);
	if (code == WA_OK)
		code = wa_base_parse(text, buffer.length, key, ended, backup, err);
	/* "ID-2" begins like ID: what it says of itself decides */
	if (code == WA_OK && strcmp(backup->id, id) != 0)
		code = wa_fail(err, WA_DAMAGED, "\"%s\" is that of another backup, %s",
					   key, backup->id);
	if (code != WA_OK)
		wa_base_free(backup);
	free(text);
	return code;
}

WaCode
wa_base_read(WaStore *store, const char *id, WaBaseBackup *backup,
			 WaError *err)
{
	return read_text(store, id, WA_BASE_ADVERTISED, true, backup, err);
}

/*
 * base.lock says that base/ was there with its mark.  *used: there is a
 * base.lock.
 */
static WaCode
check_mark(WaStore *store, bool *used, WaError *err)
{
	Names		names;
	bool		marked = false;
	WaStat		stat;
	WaCode		code = wa_store_stat(store, WA_KEY_BASE_LOCK, &stat, err);

	*used = code == WA_OK;
	if (code == WA_NOT_FOUND)
		return WA_OK;
	if (code == WA_OK)
		code = list_names(store, WA_PREFIX_BASE, false, &names, err);
	if (code != WA_OK)
		return code;
	for (size_t i = 0; i < names.count; i++)
		marked |= strcmp(names.names[i],
						 strrchr(WA_KEY_BASE_MARK, '/') + 1) == 0;
	free(names.names);
	if (!marked)
	{
		wa_fail(err, WA_IO, "\"" WA_KEY_BASE_MARK "\" is missing in an archive "
				"that held base backups");
		wa_hint(err, "Is the file system of base/ not mounted? If the backups "
				"are gone for good, remove \"" WA_KEY_BASE_LOCK "\".");
		return err->code;
	}
	return WA_OK;
}

static bool
fatal(WaCode code)
{
	return code != WA_DAMAGED && code != WA_UNSUPPORTED;
}

/*
 * It has neither sign.  Only what a deletion has left may be removed: anything
 * else is somebody's, or a backup that has lost its sign.
 */
static WaCode
look_at_rest(WaStore *store, const char *id, WaBase *base, WaError *err)
{
	char		prefix[WA_KEY_BYTES];
	Names		names;
	bool		ours;

	snprintf(prefix, sizeof(prefix), WA_PREFIX_BASE "/%.63s", id);
	if (list_names(store, prefix, false, &names, err) != WA_OK)
		return err->code;
	ours = names.count == 0;
	for (size_t i = 0; i < names.count; i++)
		ours |= strcmp(names.names[i], WA_BASE_WITHDRAWN) == 0;
	free(names.names);
	base->state = ours ? WA_BASE_LEFT : WA_BASE_UNREADABLE;
	if (!ours)
		snprintf(base->reason, sizeof(base->reason), "there are files in base/"
				 "%.63s, and nothing says that they are a backup: move them "
				 "away if they are none", id);
	return WA_OK;
}

/* One backup whose file is a link, or cannot be looked at, hides no other. */
static bool
concerns_all(WaCode code)
{
	return code == WA_NO_MEMORY || code == WA_NO_DIRECTORY ||
		code == WA_STUCK || code == WA_CANCELLED;
}

/* Are its files there, and of the size that it tells?  Else the reason. */
static WaCode
check_files(WaStore *store, WaBase *base, WaError *err)
{
	const WaBaseBackup *backup = &base->backup;
	size_t		bytes = sizeof(base->reason);

	base->unknown = false;
	base->reason[0] = '\0';
	for (size_t i = 0; i < backup->files_count && base->reason[0] == '\0'; i++)
	{
		const WaBaseFile *file = &backup->files[i];
		char		key[WA_KEY_BYTES];
		WaStat		stat;
		WaCode		code;

		wa_layout_base_key(backup->id, file->name, key);
		code = wa_store_stat(store, key, &stat, err);
		if (concerns_all(code))
			return code;
		if (code == WA_NOT_FOUND)
			snprintf(base->reason, bytes, "\"%s\" is missing", key);
		else if (code != WA_OK)
		{
			snprintf(base->reason, bytes, "%.*s", (int) bytes - 1,
					 err->message);
			base->unknown = true;
		}
		else if (stat.bytes != file->stored_bytes)
			snprintf(base->reason, bytes, "\"%s\" has %" PRIu64 " bytes, not %"
					 PRIu64, key, stat.bytes, file->stored_bytes);
	}
	return WA_OK;
}

/* WA_NOT_FOUND also when it stopped being one while we looked. */
static WaCode
look_at_whole(WaStore *store, const char *id, WaBase *base, WaError *err)
{
	char		key[WA_KEY_BYTES];
	WaStat		ignored;
	WaCode		code;

	base->state = WA_BASE_WHOLE;
	code = read_text(store, id, WA_BASE_ADVERTISED, true, &base->backup, err);
	if (code != WA_OK)
		return code;
	code = check_files(store, base, err);
	if (code == WA_OK && base->reason[0] != '\0')
	{
		/* whoever deletes it takes its sign away first */
		wa_layout_base_key(id, WA_BASE_ADVERTISED, key);
		code = wa_store_stat(store, key, &ignored, err);
	}
	if (code != WA_OK)
	{
		wa_base_free(&base->backup);
		base->reason[0] = '\0';
	}
	return code;
}

/* One prefix below base/, which may vanish meanwhile. */
static WaCode
look_at(WaStore *store, const char *id, WaBase *base, WaError *err)
{
	WaCode		code;

	memset(base, 0, sizeof(*base));
	snprintf(base->id, sizeof(base->id), "%.63s", id);
	code = look_at_whole(store, id, base, err);
	if (code == WA_NOT_FOUND)
	{
		base->state = WA_BASE_UNFINISHED;
		code = read_text(store, id, WA_BASE_BEGUN, false, &base->backup, err);
	}
	if (code == WA_NOT_FOUND)
	{
		/* it may have been advertised between the two looks */
		code = look_at_whole(store, id, base, err);
	}
	if (code == WA_NOT_FOUND)
		return look_at_rest(store, id, base, err);
	if (code == WA_OK || fatal(code))
		return code;
	base->state = WA_BASE_UNREADABLE;
	snprintf(base->reason, sizeof(base->reason), "%.*s",
			 (int) sizeof(base->reason) - 1, err->message);
	return WA_OK;
}

WaCode
wa_bases_read(WaStore *store, WaBases *bases, WaError *err)
{
	Names		names;
	bool		used;
	WaCode		code;

	memset(bases, 0, sizeof(*bases));
	if (check_mark(store, &used, err) != WA_OK ||
		list_names(store, WA_PREFIX_BASE, true, &names, err) != WA_OK)
		return err->code;
	bases->bases = calloc(names.count + 1, sizeof(WaBase));
	code = bases->bases != NULL ? WA_OK :
		wa_fail(err, WA_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < names.count && code == WA_OK; i++)
	{
		code = look_at(store, names.names[i], &bases->bases[bases->count],
					   err);
		bases->count += code == WA_OK;
	}
	free(names.names);
	if (code != WA_OK)
		wa_bases_free(bases);
	return code;
}

void
wa_bases_free(WaBases *bases)
{
	for (size_t i = 0; i < bases->count; i++)
		wa_base_free(&bases->bases[i].backup);
	free(bases->bases);
	memset(bases, 0, sizeof(*bases));
}

/* ---- taking one ------------------------------------------------------------- */

WaCode
wa_bases_lock(WaStore *store, const WaMarker *marker, WaError *err)
{
	char		text[WA_MARKER_BYTES_MAX];
	bool		used;
	WaCode		code;

	if (check_mark(store, &used, err) != WA_OK)
		return err->code;
	if (!used)
	{
		code = wa_store_put(store, WA_KEY_BASE_MARK, text,
							wa_marker_format(marker, text), err);
		/* somebody else was as fast; a crash may have been faster */
		if (code == WA_EXISTS)
			code = wa_store_persist(store, WA_KEY_BASE_MARK, err);
		if (code != WA_OK)
			return code;
	}
	code = wa_store_lock(store, WA_KEY_BASE_LOCK, err);
	if (code == WA_EXISTS)
	{
		wa_fail(err, WA_EXISTS, "another backup is being taken into \"%s\", or a "
				"prune removes what one has left", store->place);
		wa_hint(err, "Try again when it has ended.");
	}
	return code == WA_OK ?
		wa_store_persist(store, WA_KEY_BASE_LOCK, err) : code;
}

WaCode
wa_bases_sweep(WaStore *store, uint32_t *removed, WaError *err)
{
	WaBases		bases;
	WaCode		code = wa_bases_read(store, &bases, err);

	*removed = 0;
	if (code != WA_OK)
		return code;
	for (size_t i = 0; i < bases.count && code == WA_OK; i++)
	{
		const WaBase *base = &bases.bases[i];
		const char *token = base->backup.token;
		char		key[WA_KEY_BYTES];
		WaSwept		swept;

		if (base->state == WA_BASE_WHOLE)
		{
			wa_layout_base_key(base->id, WA_BASE_BEGUN, key);
			code = wa_store_remove(store, key, err);
			if (code == WA_NOT_FOUND)
				code = WA_OK;
		}
		if (base->state == WA_BASE_WHOLE || base->state == WA_BASE_UNREADABLE)
			continue;
		if (token[0] != '\0')
			code = wa_store_sweep(store, &token, 1, &swept, err);
		if (code == WA_OK)
			code = wa_base_remove(store, base->id, NULL, NULL, err);
		*removed += code == WA_OK;
	}
	wa_bases_free(&bases);
	return code;
}

WaCode
wa_base_begin(WaStore *store, uint32_t segment_bytes, WaBaseBackup *backup,
			  WaError *err)
{
	char		segment[WA_WALNAME_BYTES];

	wa_segment_name(segment, backup->start_tli,
					backup->start_lsn / segment_bytes, segment_bytes);
	for (int n = 1; n <= IDS_TRIED; n++)
	{
		char		key[WA_KEY_BYTES];
		char	   *text;
		Names		names;
		WaCode		code;

		snprintf(backup->id, sizeof(backup->id), "%s.%08X", segment,
				 (unsigned) (backup->start_lsn % segment_bytes));
		if (n > 1)
			snprintf(backup->id + strlen(backup->id),
					 sizeof(backup->id) - strlen(backup->id), "-%d", n);
		/* whatever is there: it is not ours */
		snprintf(key, sizeof(key), WA_PREFIX_BASE "/%.63s", backup->id);
		code = list_names(store, key, false, &names, err);
		if (code != WA_OK)
			return code;
		free(names.names);
		if (names.count > 0)
			continue;
		text = wa_base_format(backup);
		if (text == NULL)
			return wa_fail(err, WA_NO_MEMORY, "out of memory");
		wa_layout_base_key(backup->id, WA_BASE_BEGUN, key);
		code = wa_store_put(store, key, text, strlen(text), err);
		free(text);
		if (code != WA_EXISTS)
			return code;
	}
	return wa_fail(err, WA_EXISTS, "too many backups begin with %s", segment);
}

WaCode
wa_base_advertise(WaStore *store, const WaBaseBackup *backup, WaError *err)
{
	WaBase		written = {.backup = *backup};
	char		key[WA_KEY_BYTES];
	char	   *text;
	WaError		ignored;
	WaCode		code;

	if (check_files(store, &written, err) != WA_OK || written.unknown)
		return err->code;
	if (written.reason[0] != '\0')
		return wa_fail(err, WA_CHANGED, "what was written of backup %s is not "
					   "there any more: %s", backup->id, written.reason);
	text = wa_base_format(backup);
	if (text == NULL)
		return wa_fail(err, WA_NO_MEMORY, "out of memory");
	wa_layout_base_key(backup->id, WA_BASE_ADVERTISED, key);
	code = wa_store_put(store, key, text, strlen(text), err);
	free(text);
	if (code != WA_OK)
		return code;
	/* it counts now; what is left of its beginning the next sweep removes */
	wa_layout_base_key(backup->id, WA_BASE_BEGUN, key);
	if (wa_store_remove(store, key, &ignored) == WA_OK)
		(void) wa_store_sync(store, &ignored);
	return WA_OK;
}

/* ---- deleting one ----------------------------------------------------------- */

/* Say that what is left is to be deleted, if anything is. */
static WaCode
mark_withdrawn(WaStore *store, const char *id, WaError *err)
{
	static const char *const files[] = {WA_BASE_BEGUN, WA_BASE_ADVERTISED};
	static const char text[] = "walarch-backup: 1\n";
	char		key[WA_KEY_BYTES];
	WaStat		stat;
	WaCode		code = WA_NOT_FOUND;

	for (size_t i = 0; i < 2 && code == WA_NOT_FOUND; i++)
	{
		wa_layout_base_key(id, files[i], key);
		code = wa_store_stat(store, key, &stat, err);
	}
	if (code != WA_OK)
		return code == WA_NOT_FOUND ? WA_OK : code;
	wa_layout_base_key(id, WA_BASE_WITHDRAWN, key);
	code = wa_store_put(store, key, text, strlen(text), err);
	return code == WA_EXISTS ? wa_store_persist(store, key, err) : code;
}

/* The sign that it has begun first: what is withdrawn holds no WAL. */
WaCode
wa_base_withdraw(WaStore *store, const char *id, WaError *err)
{
	static const char *const files[] = {WA_BASE_BEGUN, WA_BASE_ADVERTISED};

	if (mark_withdrawn(store, id, err) != WA_OK)
		return err->code;
	for (size_t i = 0; i < 2; i++)
	{
		char		key[WA_KEY_BYTES];
		WaCode		code;

		wa_layout_base_key(id, files[i], key);
		code = wa_store_remove(store, key, err);
		if (code == WA_OK)
			code = wa_store_sync(store, err);
		if (code != WA_OK && code != WA_NOT_FOUND)
			return code;
	}
	return WA_OK;
}

static WaCode
remove_file(WaStore *store, const char *id, const char *file,
			WaBaseRemovedFn removed, void *arg, WaError *err)
{
	char		key[WA_KEY_BYTES];
	WaStat		stat;
	WaCode		code;

	wa_layout_base_key(id, file, key);
	code = wa_store_stat(store, key, &stat, err);
	if (code == WA_OK)
		code = wa_store_remove(store, key, err);
	if (code == WA_NOT_FOUND)
		return WA_OK;
	if (code == WA_OK && removed != NULL && !removed(arg, stat.bytes))
		return wa_fail(err, WA_CANCELLED, "deleting was ended early");
	return code;
}

WaCode
wa_base_remove(WaStore *store, const char *id, WaBaseRemovedFn removed,
			   void *arg, WaError *err)
{
	char		prefix[WA_KEY_BYTES];
	Names		names;
	WaCode		code = WA_OK;

	snprintf(prefix, sizeof(prefix), WA_PREFIX_BASE "/%.63s", id);
	if (list_names(store, prefix, false, &names, err) != WA_OK)
		return err->code;
	/* what says where temporaries are, and that it may go, goes last */
	for (size_t i = 0; i < names.count && code == WA_OK; i++)
		if (strcmp(names.names[i], WA_BASE_BEGUN) != 0 &&
			strcmp(names.names[i], WA_BASE_WITHDRAWN) != 0)
			code = remove_file(store, id, names.names[i], removed, arg, err);
	free(names.names);
	if (code == WA_OK)
		code = wa_store_sync(store, err);
	if (code == WA_OK)
		code = remove_file(store, id, WA_BASE_BEGUN, removed, arg, err);
	if (code == WA_OK)
		code = remove_file(store, id, WA_BASE_WITHDRAWN, removed, arg, err);
	if (code == WA_OK)
		code = wa_store_sync(store, err);
	if (code == WA_OK)
		code = wa_store_remove_prefix(store, prefix, err);
	return code;
}

/*
 * The lock cannot be taken before base.lock is there: that would say that
 * base/ has its mark.
 */
static WaCode
lock_if_used(WaStore *store, WaError *err)
{
	WaStat		ignored;
	WaCode		code = wa_store_stat(store, WA_KEY_BASE_LOCK, &ignored, err);

	if (code == WA_OK)
		return wa_store_lock(store, WA_KEY_BASE_LOCK, err);
	return code == WA_NOT_FOUND ? WA_OK : code;
}

WaCode
wa_base_remove_left(WaStore *store, const char *id, WaBaseRemovedFn removed,
					void *arg, WaError *err)
{
	WaBase		base;
	WaBaseState state;
	WaCode		code = lock_if_used(store, err);

	if (code == WA_EXISTS)
		return WA_OK;			/* who takes a backup sweeps */
	if (code == WA_OK)
		code = look_at(store, id, &base, err);
	if (code != WA_OK)
		return code;
	state = base.state;
	wa_base_free(&base.backup);
	return state == WA_BASE_LEFT ?
		wa_base_remove(store, id, removed, arg, err) : WA_OK;
}
