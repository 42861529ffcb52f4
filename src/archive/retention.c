/*
 * retention.c
 *	  What may go from an archive, looked up and carried out.
 */
#include "archive/retention.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "archive/bases.h"
#include "archive/identity.h"
#include "archive/layout.h"
#include "archive/pins.h"

/* ---- the plan --------------------------------------------------------------- */

/* What single objects take; one that has gone takes nothing. */
static WaCode
fill_bytes(WaStore *store, WaPlan *plan, WaError *err)
{
	for (size_t i = 0; i < plan->count; i++)
	{
		WaGroup    *group = &plan->groups[i];
		WaStat		stat;
		WaCode		code;

		if (group->kind == WA_GROUP_SEGMENTS || group->kind == WA_GROUP_BASE)
			continue;
		code = wa_store_stat(store, group->key, &stat, err);
		if (code == WA_OK)
			group->bytes = stat.bytes;
		else if (code != WA_NOT_FOUND)
			return code;
	}
	return WA_OK;
}

WaCode
wa_retention_plan(WaStore *store, const WaMarker *marker, WaZstd *zstd,
				  WaPolicy policy, int64_t now_us, WaRetention *retention,
				  WaError *err)
{
	WaRetainQuestion question = {
		.catalogue = &retention->catalogue,
		.times = &retention->times,
		.policy = policy,
		.now_us = now_us
	};
	WaCode		code;

	memset(retention, 0, sizeof(*retention));
	code = wa_catalogue_read(store, marker, WA_CATALOGUE_NAMES, zstd,
							 &retention->catalogue, err);
	if (code == WA_OK)
		code = wa_times_read(store, &retention->catalogue, &retention->times,
							 err);
	/* last: what was pinned while we looked counts */
	if (code == WA_OK)
		code = wa_pins_read(store, &retention->pins, &retention->pins_count,
							err);
	if (code == WA_OK)
	{
		question.pins = retention->pins;
		question.pins_count = retention->pins_count;
		code = wa_retain_plan(&question, &retention->plan, err);
	}
	if (code == WA_OK)
		code = fill_bytes(store, &retention->plan, err);
	if (code != WA_OK)
		wa_retention_free(retention);
	return code;
}

WaCode
wa_retention_before(WaStore *store, const WaMarker *marker, WaZstd *zstd,
					uint64_t segno, int64_t now_us, WaRetention *retention,
					WaError *err)
{
	WaCode		code;

	memset(retention, 0, sizeof(*retention));
	code = wa_catalogue_read(store, marker, WA_CATALOGUE_NAMES, zstd,
							 &retention->catalogue, err);
	if (code == WA_OK)
		code = wa_pins_read(store, &retention->pins, &retention->pins_count,
							err);
	if (code == WA_OK)
		code = wa_retain_before(&retention->catalogue, retention->pins,
								retention->pins_count, now_us, segno,
								&retention->plan, err);
	if (code != WA_OK)
		wa_retention_free(retention);
	return code;
}

void
wa_retention_free(WaRetention *retention)
{
	wa_catalogue_free(&retention->catalogue);
	wa_times_free(&retention->times);
	free(retention->pins);
	wa_plan_free(&retention->plan);
	memset(retention, 0, sizeof(*retention));
}

const char *
wa_group_name(const WaRetention *retention, const WaGroup *group, char *name)
{
	uint32_t	segment_bytes = retention->catalogue.marker.segment_bytes;
	char		first[WA_WALNAME_BYTES];
	char		last[WA_WALNAME_BYTES];
	const char *slash = strrchr(group->key, '/');

	if (group->kind == WA_GROUP_BASE)
		snprintf(name, WA_GROUP_NAME_BYTES, "%s", group->key);
	else if (group->kind != WA_GROUP_SEGMENTS)
	{
		const char *file = slash != NULL ? slash + 1 : group->key;

		snprintf(name, WA_GROUP_NAME_BYTES, "%.*s",
				 (int) (strlen(file) - strlen(".zst")), file);
	}
	else
	{
		wa_segment_name(first, group->tli, group->first, segment_bytes);
		wa_segment_name(last, group->tli, group->last, segment_bytes);
		if (group->first == group->last)
			snprintf(name, WA_GROUP_NAME_BYTES, "%s", first);
		else
			snprintf(name, WA_GROUP_NAME_BYTES, "%s to %s", first, last);
	}
	return name;
}

/* ---- deleting --------------------------------------------------------------- */

typedef struct Prune
{
	WaStore    *store;
	const char *path;
	const WaRetention *retention;
	WaPruneProgressFn progress;
	void	   *arg;
	WaPruned   *pruned;
	char		directory[WA_KEY_BYTES];	/* the last one deleted from */
} Prune;

WaCode
wa_retention_lock(WaStore *store, WaError *err)
{
	WaCode		code = wa_pins_prepare(store, err);

	if (code == WA_OK)
		code = wa_store_lock(store, WA_KEY_LOCK, err);

	if (code == WA_EXISTS)
	{
		wa_fail(err, WA_EXISTS, "another process prunes or pins in \"%s\"",
				store->place);
		wa_hint(err, "Try again when it has ended.");
	}
	return code;
}

/* Is it still the archive of which the plan was made? */
static WaCode
look_again(Prune *self, WaError *err)
{
	WaMarker	marker;

	if (wa_identity_read(self->store, self->path, &marker, err) != WA_OK)
		return err->code;
	if (strcmp(marker.archive_id,
			   self->retention->catalogue.marker.archive_id) != 0)
		return wa_fail(err, WA_CHANGED, "\"%s\" has become another archive",
					   self->path);
	return WA_OK;
}

/* A directory is done with: it may be empty now. */
static WaCode
leave_directory(Prune *self, WaError *err)
{
	/* of wal/ itself nothing that is empty is ever ours to remove */
	if (strchr(self->directory, '/') == NULL)
		return WA_OK;
	/* what is synced must still be there */
	if (wa_store_sync(self->store, err) != WA_OK)
		return err->code;
	return wa_store_remove_prefix(self->store, self->directory, err);
}

static WaCode
remove_key(Prune *self, const char *key, WaError *err)
{
	const char *slash = strrchr(key, '/');
	size_t		length = slash != NULL ? (size_t) (slash - key) : 0;
	WaStat		stat;
	WaCode		code;

	if (strlen(self->directory) != length ||
		strncmp(self->directory, key, length) != 0)
	{
		if (look_again(self, err) != WA_OK ||
			leave_directory(self, err) != WA_OK)
			return err->code;
		memcpy(self->directory, key, length);
		self->directory[length] = '\0';
	}
	code = wa_store_stat(self->store, key, &stat, err);
	if (code == WA_OK)
		code = wa_store_remove(self->store, key, err);
	if (code == WA_NOT_FOUND)
		return WA_OK;			/* somebody else was first */
	if (code != WA_OK)
		return code;
	self->pruned->objects++;
	self->pruned->bytes += stat.bytes;
	if (!self->progress(self->arg, self->pruned))
		return wa_fail(err, WA_CANCELLED, "deleting was ended early");
	return WA_OK;
}

static bool
count_base_file(void *arg, uint64_t bytes)
{
	Prune	   *self = arg;

	self->pruned->objects++;
	self->pruned->bytes += bytes;
	return self->progress(self->arg, self->pruned);
}

/* What offers a backup; without it, what is left of it is none. */
static WaCode
stop_offering(Prune *self, const WaGroup *group, WaError *err)
{
	if (group->kind == WA_GROUP_BACKUP_HISTORY)
		return remove_key(self, group->key, err);
	if (group->kind != WA_GROUP_BASE || group->left)
		return WA_OK;
	if (look_again(self, err) != WA_OK)
		return err->code;
	return wa_base_withdraw(self->store, group->key, err);
}

static WaCode
remove_group(Prune *self, const WaGroup *group, WaError *err)
{
	WaCode		code = WA_OK;

	if (group->kind == WA_GROUP_BACKUP_HISTORY)
		return WA_OK;			/* went first */
	if (group->kind == WA_GROUP_BASE && group->left)
		return wa_base_remove_left(self->store, group->key, count_base_file,
								   self, err);
	if (group->kind == WA_GROUP_BASE)
		return wa_base_remove(self->store, group->key, count_base_file, self,
							  err);
	if (group->kind != WA_GROUP_SEGMENTS)
		return remove_key(self, group->key, err);
	for (uint64_t segno = group->first;
		 segno <= group->last && code == WA_OK; segno++)
	{
		WaWalName	name;
		char		key[WA_KEY_BYTES];

		wa_layout_segment(group->tli, segno,
						  self->retention->catalogue.marker.segment_bytes,
						  &name, key);
		code = remove_key(self, key, err);
	}
	return code;
}

WaCode
wa_retention_prune(WaStore *store, const char *path,
				   const WaRetention *retention, WaPruneProgressFn progress,
				   void *arg, WaPruned *pruned, WaError *err)
{
	Prune		self = {
		.store = store,
		.path = path,
		.retention = retention,
		.progress = progress,
		.arg = arg,
		.pruned = pruned
	};
	const WaPlan *plan = &retention->plan;
	WaError		sync_err;
	WaCode		code = WA_OK;

	memset(pruned, 0, sizeof(*pruned));
	for (size_t i = 0; i < plan->count && code == WA_OK; i++)
		if (plan->groups[i].goes)
			code = stop_offering(&self, &plan->groups[i], err);
	/* a backup must not be offered when its WAL has begun to go */
	if (code == WA_OK && pruned->objects > 0)
		code = wa_store_sync(store, err);
	for (size_t i = 0; i < plan->count && code == WA_OK; i++)
		if (plan->groups[i].goes)
			code = remove_group(&self, &plan->groups[i], err);
	if (code == WA_OK && pruned->objects > 0)
		code = leave_directory(&self, err);
	if (pruned->objects > 0 && wa_store_sync(store, &sync_err) != WA_OK &&
		code == WA_OK)
	{
		*err = sync_err;		/* not reached: what went well is synced by now */
		code = err->code;		/* not reached: as above */
	}
	return code;
}
