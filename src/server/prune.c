/*
 * prune.c
 *	  Retention by the settings of the server, as an inquiry.
 */
#include "server/prune.h"

#include "server/clock.h"
#include "server/settings.h"

WaPruneState *
walarch_prune_state(void)
{
	WaPruneState *state = calloc(1, sizeof(*state));

	if (state == NULL)
		return NULL;
	state->policy = walarch_settings_policy();
	state->now_us = walarch_now_unix_us();
	return state;
}

static bool
somebody_waits(void *arg, const WaPruned *pruned)
{
	WaBeat	   *beat = arg;

	return atomic_load(&beat->cancelled) == 0;
}

WaCode
walarch_prune_run(const WaInquiry *inquiry, void *state, WaError *err)
{
	WaPruneState *self = state;

	if (self->apply && wa_retention_lock(inquiry->store, err) != WA_OK)
		return err->code;
	if (wa_retention_plan(inquiry->store, inquiry->marker, inquiry->zstd,
						  self->policy, self->now_us, &self->retention,
						  err) != WA_OK)
		return err->code;
	self->skipped = self->unless_stored &&
		wa_catalogue_stores_backups(&self->retention.catalogue);
	if (!self->apply || self->retention.plan.doubt || self->skipped)
		return WA_OK;
	return wa_retention_prune(inquiry->store, inquiry->path, &self->retention,
							  somebody_waits, inquiry->beat, &self->pruned,
							  err);
}

void
walarch_prune_report(const WaPruneState *state, bool complete,
					 const char *who)
{
	const WaPlan *plan = &state->retention.plan;

	if (state->pruned.objects == 0)
		return;
	for (size_t i = 0; i < plan->count; i++)
	{
		const WaGroup *group = &plan->groups[i];
		char		name[WA_GROUP_NAME_BYTES];

		if (group->goes)
			ereport(LOG,
					(errmsg(complete ? "%s: %s goes: %s" :
							"%s: %s was to go: %s", who,
							wa_group_name(&state->retention, group, name),
							group->reason)));
	}
	ereport(LOG,
			(errmsg("%s deleted %llu objects from the archive, %llu MB", who,
					(unsigned long long) state->pruned.objects,
					(unsigned long long) (state->pruned.bytes >> 20))));
}

void
walarch_prune_release(void *state)
{
	WaPruneState *self = state;

	wa_retention_free(&self->retention);
	free(self);
}
