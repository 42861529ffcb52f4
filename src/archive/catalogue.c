/*
 * catalogue.c
 *	  What an archive holds, from its listing.
 */
#include "archive/catalogue.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "archive/bases.h"
#include "archive/layout.h"
#include "archive/object.h"
#include "core/array.h"
#include "core/keyvalue.h"

/* The segments of one directory below wal/, before they become runs. */
typedef struct Found
{
	uint32_t	tli;
	uint64_t	segno;
	uint64_t	stored_bytes;
} Found;

typedef struct Builder
{
	WaCatalogue *catalogue;
	WaStore    *store;
	WaZstd	   *zstd;
	WaCatalogueDepth depth;
	char		directory[WA_KEY_BYTES];	/* being listed */
	Found	   *found;
	size_t		found_count;
	char	  (*directories)[WA_KEY_BYTES]; /* below wal/ */
	size_t		directories_count;
} Builder;

static WaCode
no_memory(WaError *err)
{
	return wa_fail(err, WA_NO_MEMORY, "out of memory listing the archive");
}

static WaCode
add_doubt(Builder *builder, const char *object, const char *reason,
		  WaError *err)
{
	WaCatalogue *catalogue = builder->catalogue;
	WaDoubt    *doubt = wa_array_room(catalogue->doubts,
									  catalogue->doubts_count,
									  sizeof(*doubt));

	if (doubt == NULL)
		return no_memory(err);
	catalogue->doubts = doubt;
	doubt = &catalogue->doubts[catalogue->doubts_count++];
	snprintf(doubt->object, sizeof(doubt->object), "%s", object);
	snprintf(doubt->reason, sizeof(doubt->reason), "%.*s",
			 (int) sizeof(doubt->reason) - 1, reason);
	return WA_OK;
}

/* The timeline of that number, made if it is new; NULL: out of memory. */
static WaTimeline *
timeline_of(WaCatalogue *catalogue, uint32_t tli)
{
	size_t		at = 0;
	WaTimeline *timeline;

	while (at < catalogue->timelines_count &&
		   catalogue->timelines[at].tli < tli)
		at++;
	timeline = &catalogue->timelines[at];
	if (at < catalogue->timelines_count && timeline->tli == tli)
		return timeline;
	timeline = wa_array_room(catalogue->timelines, catalogue->timelines_count,
							 sizeof(*timeline));
	if (timeline == NULL)
		return NULL;
	catalogue->timelines = timeline;
	timeline = &catalogue->timelines[at];
	memmove(timeline + 1, timeline,
			(catalogue->timelines_count - at) * sizeof(*timeline));
	memset(timeline, 0, sizeof(*timeline));
	timeline->tli = tli;
	timeline->history_known = tli == 1;
	catalogue->timelines_count++;
	return timeline;
}

static WaCode
read_text(Builder *builder, const char *key, const WaWalName *name,
		  WaEnvelope *envelope, char **text, size_t *length, WaError *err)
{
	const WaMarker *marker = &builder->catalogue->marker;

	return wa_object_text(builder->store, key, name,
						  marker->system_identifier, marker->segment_bytes,
						  builder->zstd, envelope, text, length, err);
}

/* What stands for something else being wrong than what was read. */
static bool
fatal(WaCode code)
{
	return code == WA_NO_MEMORY || code == WA_CANCELLED || code == WA_STUCK;
}

static WaCode
add_history(Builder *builder, const WaWalName *name, const char *key,
			WaError *err)
{
	WaTimeline *timeline = timeline_of(builder->catalogue, name->tli);
	WaEnvelope	envelope;
	char	   *text;
	size_t		length;
	WaCode		code;

	if (timeline == NULL)
		return no_memory(err);
	code = read_text(builder, key, name, &envelope, &text, &length, err);
	if (code == WA_OK)
		code = wa_history_parse(text, length, name->tli, key,
								&timeline->history, err);
	free(text);
	timeline->history_known = code == WA_OK;
	if (code == WA_OK)
		timeline->history_at_us = envelope.archived_at_us;
	if (code == WA_OK || fatal(code))
		return code;
	return add_doubt(builder, key, err->message, err);
}

static WaCode
add_backup(Builder *builder, const WaWalName *name, const char *key,
		   WaError *err)
{
	WaCatalogue *catalogue = builder->catalogue;
	uint32_t	segment_bytes = catalogue->marker.segment_bytes;
	WaBackup   *backup;
	WaEnvelope	envelope;
	char	   *text;
	size_t		length;
	WaCode		code;

	backup = wa_array_room(catalogue->backups, catalogue->backups_count,
						   sizeof(*backup));
	if (backup == NULL)
		return no_memory(err);
	catalogue->backups = backup;
	backup = &catalogue->backups[catalogue->backups_count++];
	memset(backup, 0, sizeof(*backup));
	snprintf(backup->id, sizeof(backup->id), "%.*s",
			 (int) (strlen(name->text) - strlen(".backup")), name->text);
	snprintf(backup->key, sizeof(backup->key), "%s", key);
	backup->tli = name->tli;
	(void) wa_walname_segno(name, segment_bytes, &backup->start_segno, err);
	backup->stop_segno = backup->start_segno;

	code = read_text(builder, key, name, &envelope, &text, &length, err);
	if (code == WA_OK)
		code = wa_backuphistory_parse(text, length, key, &backup->history,
									  err);
	free(text);
	if (code == WA_OK)
	{
		backup->readable = true;
		backup->stop_segno = (backup->history.stop_lsn - 1) / segment_bytes;
		return WA_OK;
	}
	snprintf(backup->reason, sizeof(backup->reason), "%.*s",
			 (int) sizeof(backup->reason) - 1, err->message);
	return fatal(code) ? code : add_doubt(builder, key, err->message, err);
}

/* The backup of which there is a history file, too, or a new one. */
static WaBackup *
stored_backup(WaCatalogue *catalogue, const WaBaseBackup *base)
{
	WaBackup   *backup;

	for (size_t i = 0; i < catalogue->backups_count; i++)
	{
		backup = &catalogue->backups[i];
		if (backup->readable && !backup->stored &&
			strcmp(backup->id, base->id) == 0 &&
			backup->history.stop_lsn == base->stop_lsn)
			return backup;
	}
	backup = wa_array_room(catalogue->backups, catalogue->backups_count,
						   sizeof(*backup));
	if (backup == NULL)
		return NULL;
	catalogue->backups = backup;
	backup = &catalogue->backups[catalogue->backups_count++];
	memset(backup, 0, sizeof(*backup));
	snprintf(backup->id, sizeof(backup->id), "%s", base->id);
	return backup;
}

/*
 * A backup whose data is here.  What its history file says of time stays, if
 * that has a meaning: it was written by the server.
 */
static WaCode
add_stored(Builder *builder, const WaBaseBackup *base, const char *damage,
		   WaError *err)
{
	WaCatalogue *catalogue = builder->catalogue;
	uint32_t	segment_bytes = catalogue->marker.segment_bytes;
	WaBackup   *backup = stored_backup(catalogue, base);
	WaBackupHistory *history;
	int64_t		ignored;

	if (backup == NULL)
		return no_memory(err);
	history = &backup->history;
	backup->stored = true;
	backup->readable = true;
	backup->stored_bytes = wa_base_stored_bytes(base);
	snprintf(backup->damage, sizeof(backup->damage), "%s", damage);
	backup->checksum_failures = base->checksum_failures;
	snprintf(backup->parent, sizeof(backup->parent), "%s", base->parent);
	backup->tli = base->start_tli;
	backup->start_segno = base->start_lsn / segment_bytes;
	backup->stop_segno = (base->stop_lsn - 1) / segment_bytes;
	history->start_lsn = base->start_lsn;
	history->stop_lsn = base->stop_lsn;
	history->start_tli = base->start_tli;
	history->stop_tli = base->stop_tli;
	history->from_standby = base->from_standby;
	snprintf(history->label, sizeof(history->label), "%s", base->label);
	if (!wa_backuphistory_time(history->start_time, &ignored))
		wa_keyvalue_time_text(base->start_us, history->start_time);
	if (!wa_backuphistory_time(history->stop_time, &ignored))
		wa_keyvalue_time_text(base->stop_us, history->stop_time);
	return WA_OK;
}

static WaCode
add_unfinished(Builder *builder, const WaBase *base, WaError *err)
{
	WaCatalogue *catalogue = builder->catalogue;
	WaUnfinished *unfinished = wa_array_room(catalogue->unfinished,
											 catalogue->unfinished_count,
											 sizeof(*unfinished));

	if (unfinished == NULL)
		return no_memory(err);
	catalogue->unfinished = unfinished;
	unfinished = &catalogue->unfinished[catalogue->unfinished_count++];
	memset(unfinished, 0, sizeof(*unfinished));
	snprintf(unfinished->id, sizeof(unfinished->id), "%s", base->id);
	unfinished->begun = base->state == WA_BASE_UNFINISHED;
	unfinished->start_segno = base->backup.start_lsn /
		catalogue->marker.segment_bytes;
	return WA_OK;
}

static WaCode
add_bases(Builder *builder, WaError *err)
{
	WaBases		bases;
	WaCode		code = wa_bases_read(builder->store, &bases, err);

	if (code != WA_OK)
		return code;
	for (size_t i = 0; i < bases.count && code == WA_OK; i++)
	{
		const WaBase *base = &bases.bases[i];
		char		key[WA_KEY_BYTES];

		if (base->state == WA_BASE_WHOLE)
		{
			code = add_stored(builder, &base->backup, base->reason, err);
			snprintf(key, sizeof(key), WA_PREFIX_BASE "/%.63s", base->id);
			if (code == WA_OK && base->unknown)
				code = add_doubt(builder, key, base->reason, err);
		}
		else if (base->state == WA_BASE_UNREADABLE)
		{
			wa_layout_base_key(base->id, WA_BASE_ADVERTISED, key);
			code = add_doubt(builder, key, base->reason, err);
		}
		else
			code = add_unfinished(builder, base, err);
	}
	wa_bases_free(&bases);
	return code;
}

static WaCode
add_partial(Builder *builder, const WaWalName *name, uint64_t segno,
			const char *key, WaError *err)
{
	WaTimeline *timeline = timeline_of(builder->catalogue, name->tli);
	WaPartial  *partial = NULL;

	if (timeline != NULL)
		partial = wa_array_room(timeline->partials, timeline->partials_count,
								sizeof(*partial));
	if (partial == NULL)
		return no_memory(err);
	timeline->partials = partial;
	partial = &timeline->partials[timeline->partials_count++];
	partial->segno = segno;
	snprintf(partial->key, sizeof(partial->key), "%s", key);
	return WA_OK;
}

static WaCode
add_segment(Builder *builder, const WaWalName *name, uint64_t segno,
			const char *key, WaError *err)
{
	Found	   *found;
	WaStat		stat = {0};

	if (builder->depth >= WA_CATALOGUE_SIZES)
	{
		WaCode		code = wa_store_stat(builder->store, key, &stat, err);

		if (code == WA_NOT_FOUND)
			return WA_OK;		/* removed while we look */
		if (code != WA_OK)
			return code;
		builder->catalogue->stored_bytes += stat.bytes;
	}
	found = wa_array_room(builder->found, builder->found_count,
						  sizeof(*found));
	if (found == NULL)
		return no_memory(err);
	builder->found = found;
	found = &builder->found[builder->found_count++];
	found->tli = name->tli;
	found->segno = segno;
	found->stored_bytes = stat.bytes;
	return WA_OK;
}

static WaCode
take_object(void *arg, const char *text, bool is_prefix, WaError *err)
{
	Builder    *builder = arg;
	char		key[WA_KEY_BYTES];
	WaWalName	name;
	uint64_t	segno = 0;

	if (!wa_layout_parse_listed(builder->directory, text, key, &name) ||
		(name.kind != WA_KIND_HISTORY &&
		 wa_walname_segno(&name, builder->catalogue->marker.segment_bytes,
						  &segno, err) != WA_OK))
	{
		builder->catalogue->foreign++;
		return WA_OK;
	}
	/* without it there would seem to be a gap */
	if (is_prefix)
	{
		WaStat		ignored;

		return wa_store_stat(builder->store, key, &ignored, err);
	}
	builder->catalogue->objects++;
	switch (name.kind)
	{
		case WA_KIND_HISTORY:
			return add_history(builder, &name, key, err);
		case WA_KIND_BACKUP:
			return add_backup(builder, &name, key, err);
		case WA_KIND_PARTIAL:
			return add_partial(builder, &name, segno, key, err);
		case WA_KIND_SEGMENT:
			return add_segment(builder, &name, segno, key, err);
	}
	return WA_OK;				/* not reached: a name has one of these kinds */
}

static WaCode
take_top(void *arg, const char *text, bool is_prefix, WaError *err)
{
	Builder    *builder = arg;
	char	  (*directories)[WA_KEY_BYTES];

	/* what is in the place of a directory must not hide what was in it */
	if (!wa_layout_is_directory(text))
	{
		if (!is_prefix)
			return take_object(arg, text, is_prefix, err);
		/* of a file system (lost+found), of snapshots, of whoever copies */
		builder->catalogue->foreign++;
		return WA_OK;
	}
	directories = wa_array_room(builder->directories,
								builder->directories_count, WA_KEY_BYTES);
	if (directories == NULL)
		return no_memory(err);
	builder->directories = directories;
	snprintf(builder->directories[builder->directories_count++],
			 WA_KEY_BYTES, "%.20s/%.100s", builder->directory, text);
	return WA_OK;
}

/* Those of one directory are of one timeline. */
static int
compare_found(const void *a, const void *b)
{
	const Found *left = a;
	const Found *right = b;

	return left->segno < right->segno ? -1 : left->segno > right->segno;
}

/* Runs come in order, since directories are visited in order of names. */
static WaCode
make_runs(Builder *builder, WaError *err)
{
	if (builder->found_count > 0)
		qsort(builder->found, builder->found_count, sizeof(Found),
			  compare_found);
	for (size_t i = 0; i < builder->found_count; i++)
	{
		const Found *found = &builder->found[i];
		WaTimeline *timeline = timeline_of(builder->catalogue, found->tli);
		WaRange    *range;

		if (timeline == NULL)
			return no_memory(err);
		range = timeline->ranges_count > 0 ?
			&timeline->ranges[timeline->ranges_count - 1] : NULL;
		if (range == NULL || found->segno > range->last + 1)
		{
			range = wa_array_room(timeline->ranges, timeline->ranges_count,
								  sizeof(*range));
			if (range == NULL)
				return no_memory(err);
			timeline->ranges = range;
			range = &timeline->ranges[timeline->ranges_count++];
			range->first = found->segno;
			range->stored_bytes = 0;
		}
		range->last = found->segno;
		range->stored_bytes += found->stored_bytes;
	}
	builder->found_count = 0;
	return WA_OK;
}

static int
compare_keys(const void *a, const void *b)
{
	return strcmp(a, b);
}

static int
compare_backups(const void *a, const void *b)
{
	const WaBackup *left = a;
	const WaBackup *right = b;

	if (left->start_segno != right->start_segno)
		return left->start_segno < right->start_segno ? -1 : 1;
	return strcmp(left->id, right->id);
}

static WaCode
count_one(void *arg, const char *text, bool is_prefix, WaError *err)
{
	uint64_t   *count = arg;

	(*count)++;
	return WA_OK;
}

static WaCode
list_all(Builder *builder, WaError *err)
{
	WaStat		stat;
	WaCode		code;

	/* a "wal" that has been taken away is no empty archive */
	code = wa_store_stat(builder->store, WA_PREFIX_WAL "/0", &stat, err);
	if (code != WA_NOT_FOUND && code != WA_OK)
		return code;
	snprintf(builder->directory, sizeof(builder->directory), "%s",
			 WA_PREFIX_WAL);
	if (wa_store_list(builder->store, WA_PREFIX_WAL, take_top, builder,
					  err) != WA_OK)
		return err->code;
	if (builder->directories_count > 0)
		qsort(builder->directories, builder->directories_count, WA_KEY_BYTES,
			  compare_keys);
	for (size_t i = 0; i < builder->directories_count; i++)
	{
		memcpy(builder->directory, builder->directories[i], WA_KEY_BYTES);
		if (wa_store_list(builder->store, builder->directory, take_object,
						  builder, err) != WA_OK ||
			make_runs(builder, err) != WA_OK)
			return err->code;
	}
	return wa_store_list(builder->store, "damaged", count_one,
						 &builder->catalogue->aside, err);
}

WaCode
wa_catalogue_read(WaStore *store, const WaMarker *marker,
				  WaCatalogueDepth depth, WaZstd *zstd,
				  WaCatalogue *catalogue, WaError *err)
{
	Builder		builder = {
		.catalogue = catalogue,
		.store = store,
		.zstd = zstd,
		.depth = depth
	};
	WaCode		code;

	memset(catalogue, 0, sizeof(*catalogue));
	catalogue->marker = *marker;
	code = list_all(&builder, err);
	if (code == WA_OK)
		code = add_bases(&builder, err);
	free(builder.found);
	free(builder.directories);
	if (code != WA_OK)
	{
		wa_catalogue_free(catalogue);
		return code;
	}
	if (catalogue->backups_count > 0)
		qsort(catalogue->backups, catalogue->backups_count, sizeof(WaBackup),
			  compare_backups);
	return WA_OK;
}

void
wa_catalogue_free(WaCatalogue *catalogue)
{
	for (size_t i = 0; i < catalogue->timelines_count; i++)
	{
		wa_history_free(&catalogue->timelines[i].history);
		free(catalogue->timelines[i].ranges);
		free(catalogue->timelines[i].partials);
	}
	free(catalogue->timelines);
	free(catalogue->backups);
	free(catalogue->unfinished);
	free(catalogue->doubts);
	memset(catalogue, 0, sizeof(*catalogue));
}

bool
wa_catalogue_stores_backups(const WaCatalogue *catalogue)
{
	for (size_t i = 0; i < catalogue->backups_count; i++)
		if (catalogue->backups[i].stored)
			return true;
	return false;
}

const WaBackup *
wa_catalogue_stored(const WaCatalogue *catalogue, const char *id)
{
	for (size_t i = 0; i < catalogue->backups_count; i++)
		if (catalogue->backups[i].stored &&
			strcmp(catalogue->backups[i].id, id) == 0)
			return &catalogue->backups[i];
	return NULL;
}

const WaTimeline *
wa_catalogue_timeline(const WaCatalogue *catalogue, uint32_t tli)
{
	for (size_t i = 0; i < catalogue->timelines_count; i++)
		if (catalogue->timelines[i].tli == tli)
			return &catalogue->timelines[i];
	return NULL;
}

const WaRange *
wa_timeline_range(const WaTimeline *timeline, uint64_t segno)
{
	size_t		low = 0;
	size_t		high = timeline->ranges_count;

	while (low < high)
	{
		size_t		middle = low + (high - low) / 2;

		if (timeline->ranges[middle].last < segno)
			low = middle + 1;
		else
			high = middle;
	}
	if (low < timeline->ranges_count && timeline->ranges[low].first <= segno)
		return &timeline->ranges[low];
	return NULL;
}
