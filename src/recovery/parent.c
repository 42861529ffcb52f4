/*
 * parent.c
 *	  The backup that an incremental one is taken against.
 */
#include "recovery/parent.h"

#include <inttypes.h>

#include "archive/bases.h"
#include "archive/lineage.h"
#include "cli/cli.h"
#include "recovery/hold.h"

#define VERSION_MIN		170000	/* older ones take no incremental backups */

static const WaBackup *
find(const WaCatalogue *catalogue, const WaLineage *lineage)
{
	const WaBackup *newest = NULL;

	for (size_t i = 0; i < catalogue->backups_count; i++)
	{
		const WaBackup *backup = &catalogue->backups[i];
		WaPlace		stop = {backup->tli, backup->stop_segno};

		/* a restore reads all of the chain: damage in one spoils the others */
		if (backup->stored && wa_backup_sound(catalogue, backup) &&
			wa_lineage_holds(lineage, wa_backup_start(backup)) &&
			wa_lineage_holds(lineage, stop))
			newest = backup;	/* they are in order of their starts */
	}
	return newest;
}

static WaCode
choose(WaStore *store, const WaCatalogue *catalogue, uint32_t tli,
	   WaBaseBackup *parent, WaError *err)
{
	const WaTimeline *timeline = wa_catalogue_timeline(catalogue, tli);
	const WaBackup *found;
	WaLineage	lineage;

	if (timeline == NULL || !timeline->history_known)
	{
		wa_fail(err, WA_NOT_FOUND, "the server is on timeline %" PRIu32 ", "
				"which is not in the archive", tli);
		wa_hint(err, "Its history file has to be archived first: see "
				"walarch.status on the server.");
		return err->code;
	}
	if (!wa_lineage_of(catalogue, timeline, &lineage))
		return wa_fail(err, WA_NO_MEMORY, "out of memory");
	found = find(catalogue, &lineage);
	wa_lineage_free(&lineage);
	if (found != NULL)
		return wa_base_read(store, found->id, parent, err);
	wa_fail(err, WA_NOT_FOUND, "there is no backup in the archive that another "
			"one could be incremental to");
	wa_hint(err, "It must be whole, without damaged pages, and on the way to "
			"timeline %" PRIu32 ". Take a full one first.", tli);
	return err->code;
}

WaCode
wa_parent_choose(const char *archive, const WaStreamServer *server,
				 WaBaseBackup *parent, char *pin, WaError *err)
{
	WaCatalogue catalogue;
	WaStore    *store;
	WaBaseBackup again = {0};
	WaCode		code;

	pin[0] = '\0';
	if (server->version < VERSION_MIN)
		return wa_fail(err, WA_UNSUPPORTED, "the server is PostgreSQL %"
					   PRIu32 "; incremental backups are taken from PostgreSQL "
					   "17 on", server->version / 10000);
	if (wa_cli_catalogue(archive, &store, &catalogue, err) != WA_OK)
		return err->code;
	code = choose(store, &catalogue, server->tli, parent, err);
	if (code == WA_OK)
		code = wa_hold_put(archive, "backup", parent, pin, err);
	/* until it was pinned it could go */
	if (code == WA_OK)
		code = wa_base_read(store, parent->id, &again, err);
	if (code != WA_OK)
	{
		wa_base_free(parent);
		wa_hold_end(archive, pin);
		pin[0] = '\0';
	}
	wa_base_free(&again);
	wa_catalogue_free(&catalogue);
	wa_store_close(store);
	return code;
}
