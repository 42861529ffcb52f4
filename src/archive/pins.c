/*
 * pins.c
 *	  The pins of an archive.
 */
#include "archive/pins.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "archive/layout.h"
#include "archive/retain.h"
#include "archive/segments.h"
#include "core/array.h"
#include "core/lsn.h"

/* ---- reading and writing ---------------------------------------------------- */

typedef struct Names
{
	size_t		count;
	char	  (*names)[WA_PIN_NAME_BYTES];
} Names;

static WaCode
take_name(void *arg, const char *name, bool is_prefix, WaError *err)
{
	Names	   *self = arg;
	void	   *larger;

	/* hidden files are an editor's, or a file system's */
	if (name[0] == '.')
		return WA_OK;
	if (is_prefix || !wa_pin_name_valid(name))
	{
		wa_fail(err, WA_DAMAGED, "\"" WA_PREFIX_PINS "/%.100s\" is not a pin",
				name);
		wa_hint(err, "Nothing is deleted while it is there. Remove it if it "
				"does not belong there.");
		return err->code;
	}
	larger = wa_array_room(self->names, self->count, WA_PIN_NAME_BYTES);
	if (larger == NULL)
		return wa_fail(err, WA_NO_MEMORY, "out of memory");
	self->names = larger;
	snprintf(self->names[self->count++], WA_PIN_NAME_BYTES, "%.63s", name);
	return WA_OK;
}

static int
compare_names(const void *a, const void *b)
{
	return strcmp(a, b);
}

static void
key_of(const char *name, char *key)
{
	snprintf(key, WA_KEY_BYTES, WA_PREFIX_PINS "/%.63s", name);
}

static WaCode
read_pin(WaStore *store, const char *name, WaPin *pin, WaError *err)
{
	char		key[WA_KEY_BYTES];
	char		text[WA_PIN_TEXT_BYTES];
	WaBufferSink buffer;

	key_of(name, key);
	if (wa_store_get(store, key, NULL, 0, UINT64_MAX,
					 wa_sink_buffer(&buffer, text, sizeof(text), key),
					 err) != WA_OK)
		return err->code;
	return wa_pin_parse(text, buffer.length, name, pin, err);
}

/* Whoever locked first has made pins/: see wa_pins_prepare. */
static WaCode
check_prefix(WaStore *store, WaError *err)
{
	WaStat		stat;
	WaCode		code = wa_store_stat(store, WA_KEY_LOCK, &stat, err);

	if (code == WA_NOT_FOUND)
		return WA_OK;
	if (code == WA_OK)
		code = wa_store_stat(store, WA_PREFIX_PINS "/0", &stat, err);
	if (code == WA_OK || code == WA_NOT_FOUND)
		return WA_OK;
	wa_hint(err, "Nothing is deleted while \"" WA_PREFIX_PINS "\" is missing. "
			"If nothing is to be pinned, make an empty one.");
	return err->code;
}

WaCode
wa_pins_prepare(WaStore *store, WaError *err)
{
	WaStat		stat;
	WaCode		code = wa_store_stat(store, WA_KEY_LOCK, &stat, err);

	return code == WA_NOT_FOUND ?
		wa_store_make_prefix(store, WA_PREFIX_PINS, err) : code;
}

WaCode
wa_pins_read(WaStore *store, WaPin **pins, size_t *count, WaError *err)
{
	Names		names = {0};
	WaCode		code;

	*count = 0;
	*pins = NULL;
	if (check_prefix(store, err) != WA_OK)
		return err->code;
	code = wa_store_list(store, WA_PREFIX_PINS, take_name, &names, err);
	if (code == WA_OK)
	{
		*pins = calloc(names.count + 1, sizeof(WaPin));
		if (*pins == NULL)
			code = wa_fail(err, WA_NO_MEMORY, "out of memory");
	}
	if (names.count > 0)
		qsort(names.names, names.count, WA_PIN_NAME_BYTES, compare_names);
	for (size_t i = 0; i < names.count && code == WA_OK; i++)
	{
		code = read_pin(store, names.names[i], &(*pins)[*count], err);
		if (code == WA_OK)
			(*count)++;
		else if (code == WA_NOT_FOUND)
			code = WA_OK;		/* unpinned meanwhile */
	}
	free(names.names);
	if (code != WA_OK)
	{
		free(*pins);
		*pins = NULL;
		*count = 0;
	}
	return code;
}

WaCode
wa_pin_put(WaStore *store, const WaPin *pin, WaError *err)
{
	char		key[WA_KEY_BYTES];
	char		text[WA_PIN_TEXT_BYTES];
	size_t		length = wa_pin_format(pin, text);
	WaPin		back;
	WaCode		code;

	if (pin->expires && pin->expires_us <= pin->created_us)
	{
		wa_fail(err, WA_INVALID, "the pin \"%s\" would have expired already",
				pin->name);
		wa_hint(err, "Give a time to come.");
		return err->code;
	}
	/* what nobody could read again would hold up every deletion */
	if (wa_pin_parse(text, length, pin->name, &back, err) != WA_OK ||
		back.expires != pin->expires ||
		back.expires_us / 1000000 != pin->expires_us / 1000000)
		return wa_fail(err, WA_INVALID, "the pin \"%s\" cannot be noted: what "
					   "it holds, or when it expires, is out of range",
					   pin->name);
	key_of(pin->name, key);
	code = wa_store_put(store, key, text, length, err);
	if (code == WA_EXISTS)
	{
		wa_fail(err, WA_EXISTS, "there is a pin \"%s\" already", pin->name);
		wa_hint(err, "Take another name, or unpin that one first.");
	}
	return code;
}

WaCode
wa_pin_remove(WaStore *store, const char *name, WaError *err)
{
	char		key[WA_KEY_BYTES];

	if (!wa_pin_name_valid(name))
		return wa_fail(err, WA_INVALID, "\"%.100s\" is not the name of a pin",
					   name);
	key_of(name, key);
	if (wa_store_remove(store, key, err) == WA_OK)
		return wa_store_sync(store, err);
	if (err->code == WA_NOT_FOUND)
		wa_fail(err, WA_NOT_FOUND, "there is no pin \"%s\"", name);
	return err->code;
}

/* ---- what a pin holds ------------------------------------------------------- */

static WaCode
resolve_lsn(const WaCatalogue *catalogue, const WaPin *pin, WaError *err)
{
	uint64_t	segno = pin->keep_from / catalogue->marker.segment_bytes;

	for (size_t i = 0; i < catalogue->timelines_count; i++)
	{
		const WaTimeline *timeline = &catalogue->timelines[i];

		/* what has not been written yet can be held, too */
		if (wa_timeline_range(timeline, segno) != NULL ||
			(i + 1 == catalogue->timelines_count &&
			 (timeline->ranges_count == 0 ||
			  timeline->ranges[timeline->ranges_count - 1].last < segno)))
			return WA_OK;
	}
	return wa_fail(err, WA_NOT_FOUND, "WAL at " WA_LSN_FORMAT
				   " is not in the archive", WA_LSN_ARGS(pin->keep_from));
}

static WaCode
resolve_backup(const WaCatalogue *catalogue, WaPin *pin, WaError *err)
{
	for (size_t i = 0; i < catalogue->backups_count; i++)
	{
		const WaBackup *backup = &catalogue->backups[i];
		char		reason[WA_BACKUP_REASON_BYTES];

		if (strcmp(backup->id, pin->value) != 0)
			continue;
		if (!wa_backup_usable(catalogue, backup, reason))
			return wa_fail(err, WA_NOT_FOUND,
						   "backup %s cannot be restored: %s", backup->id,
						   reason);
		pin->keep_from = backup->history.start_lsn;
		return WA_OK;
	}
	return wa_fail(err, WA_NOT_FOUND, "no backup \"%s\" is known", pin->value);
}

/* The newest backup before a place, along one lineage, if it is older. */
static void
hold_before(const WaCatalogue *catalogue, const WaTimes *times,
			const WaLineage *lineage, uint64_t segno, WaPin *pin, bool *held)
{
	const WaBackup *backup = wa_retain_backup_before(catalogue, times,
													 lineage, segno, false);

	if (backup == NULL)
		return;
	if (!*held || backup->history.start_lsn < pin->keep_from)
		pin->keep_from = backup->history.start_lsn;
	*held = true;
}

static WaCode
no_backup_before(WaError *err)
{
	wa_fail(err, WA_NOT_FOUND, "no usable backup is known that ended before "
			"that");
	wa_hint(err, "Pin the start LSN of the backup that you would restore.");
	return err->code;
}

/*
 * On every timeline that had commits then or later; when none had, the moment
 * is still to come, on the latest.
 */
static WaCode
resolve_time(WaStore *store, const WaCatalogue *catalogue, int64_t at_us,
			 WaPin *pin, WaError *err)
{
	WaTimes		times;
	bool		passed = false;
	bool		held = false;
	WaCode		code = wa_times_read(store, catalogue, &times, err);

	for (size_t i = 0; i < catalogue->timelines_count && code == WA_OK; i++)
	{
		WaLineage	lineage;
		WaPlace		place;

		if (!wa_lineage_of(catalogue, &catalogue->timelines[i], &lineage))
			code = wa_fail(err, WA_NO_MEMORY, "out of memory");
		else if (wa_times_first(&times, &lineage, at_us, INT64_MAX, &place))
		{
			passed = true;
			hold_before(catalogue, &times, &lineage, place.segno, pin,
						&held);
		}
		else if (i + 1 == catalogue->timelines_count && !passed)
			hold_before(catalogue, &times, &lineage, UINT64_MAX, pin, &held);
		wa_lineage_free(&lineage);
	}
	wa_times_free(&times);
	return code != WA_OK ? code : held ? WA_OK : no_backup_before(err);
}

typedef struct PointSearch
{
	const char *name;
	bool		found;
	WaPlace		place;
} PointSearch;

/* The last of that name. */
static WaCode
take_point(void *arg, const WaSegmentRow *row, WaError *err)
{
	PointSearch *search = arg;
	WaRestorePoint point;

	for (size_t i = 0; wa_segment_point(row, i, &point); i++)
		if (strcmp(point.name, search->name) == 0)
		{
			search->found = true;
			search->place = row->place;
		}
	return WA_OK;
}

static WaCode
resolve_point(WaStore *store, const WaCatalogue *catalogue, WaPin *pin,
			  WaError *err)
{
	PointSearch search = {.name = pin->value};
	WaLineage	lineage;
	WaTimes		times;
	bool		held = false;

	for (size_t i = 0; i < catalogue->timelines_count; i++)
		if (wa_segments_each(store, catalogue, &catalogue->timelines[i], 0,
							 UINT64_MAX - 1, take_point, &search, err) != WA_OK)
			return err->code;
	if (!search.found)
		return wa_fail(err, WA_NOT_FOUND, "no restore point \"%s\" is known "
					   "in the archive", pin->value);
	if (wa_times_read(store, catalogue, &times, err) != WA_OK)
		return err->code;
	if (!wa_lineage_of(catalogue,
					   wa_catalogue_timeline(catalogue, search.place.tli),
					   &lineage))
	{
		wa_times_free(&times);
		return wa_fail(err, WA_NO_MEMORY, "out of memory");
	}
	hold_before(catalogue, &times, &lineage, search.place.segno, pin, &held);
	wa_lineage_free(&lineage);
	wa_times_free(&times);
	return held ? WA_OK : no_backup_before(err);
}

WaCode
wa_pin_resolve(WaStore *store, const WaCatalogue *catalogue, WaPin *pin,
			   int64_t at_us, WaError *err)
{
	switch (pin->kind)
	{
		case WA_PIN_LSN:
			return resolve_lsn(catalogue, pin, err);
		case WA_PIN_BACKUP:
			return resolve_backup(catalogue, pin, err);
		case WA_PIN_TIME:
			return resolve_time(store, catalogue, at_us, pin, err);
		case WA_PIN_RESTORE_POINT:
			return resolve_point(store, catalogue, pin, err);
	}
	return wa_fail(err, WA_INVALID, "a pin of no kind");
}
