/*
 * verify_small.c
 *	  The look at everything that is no full segment.
 *
 * Histories and backup history files were read whole for the catalogue, with
 * all proofs: what is wrong with them is its doubts.
 */
#include "archive/verify_small.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "archive/identity.h"
#include "archive/layout.h"
#include "archive/object.h"
#include "core/lsn.h"
#include "core/sink_scan.h"

static void
report(const WaVerifyOptions *options, const char *object,
	   WaSeverity severity, const char *finding, const char *consequence,
	   const char *hint)
{
	WaFinding	row = {.severity = severity};

	snprintf(row.object, sizeof(row.object), "%s", object);
	snprintf(row.finding, sizeof(row.finding), "%.*s",
			 (int) sizeof(row.finding) - 1, finding);
	snprintf(row.consequence, sizeof(row.consequence), "%s", consequence);
	snprintf(row.hint, sizeof(row.hint), "%s", hint);
	options->found(options->arg, &row);
}

void
wa_verify_report_base(const WaVerifyOptions *options, const char *id,
					  const char *finding)
{
	char		object[WA_KEY_BYTES];

	snprintf(object, sizeof(object), WA_PREFIX_BASE "/%s", id);
	report(options, object, WA_SEVERITY_ERROR, finding,
		   "the backup cannot be restored, nor can any that is incremental to "
		   "it",
		   "look for another copy of the file; without one, take a full base "
		   "backup");
}

static void
report_doubt(const WaVerifyOptions *options, const WaCatalogue *catalogue,
			 const WaDoubt *doubt)
{
	bool		history = strstr(doubt->object, ".history") != NULL;
	const char *slash = strrchr(doubt->object, '/');

	/* of its data: reported with the backup */
	if (slash != NULL && wa_catalogue_stored(catalogue, slash + 1) != NULL)
		return;
	report(options, doubt->object,
		   history ? WA_SEVERITY_ERROR : WA_SEVERITY_WARNING, doubt->reason,
		   history ? "no recovery can follow that timeline" :
		   "nobody knows what WAL that base backup needs",
		   history ? "look for another copy: any server that has followed the "
		   "timeline has one in its pg_wal" :
		   "look for another copy, or delete that base backup where it is "
		   "kept");
}

static void
report_backup(const WaVerifyOptions *options, const WaCatalogue *catalogue,
			  const WaBackup *backup)
{
	WaPlace		missing;
	char		name[WA_WALNAME_BYTES];
	char		text[WA_FINDING_TEXT_BYTES];
	char		object[WA_KEY_BYTES];

	if (options->tli != 0 && options->tli != backup->tli)
		return;
	if (backup->damage[0] != '\0')
		wa_verify_report_base(options, backup->id, backup->damage);
	if (!backup->readable || wa_backup_complete(catalogue, backup, &missing))
		return;
	wa_segment_name(name, missing.tli, missing.segno,
					catalogue->marker.segment_bytes);
	snprintf(text, sizeof(text), "the base backup \"%.100s\" needs %s, which "
			 "is missing", backup->history.label, name);
	snprintf(object, sizeof(object), WA_PREFIX_BASE "/%s", backup->id);
	report(options, backup->key[0] != '\0' ? backup->key : object,
		   WA_SEVERITY_WARNING, text,
		   "it cannot be restored from this archive",
		   "if it is still to serve, look for another copy of the segment");
}

/* Segments of a timeline whose history was never archived. */
static void
report_unknown(const WaVerifyOptions *options, const WaCatalogue *catalogue,
			   const WaTimeline *timeline)
{
	WaWalName	name = {.kind = WA_KIND_HISTORY, .tli = timeline->tli};
	char		key[WA_KEY_BYTES];

	if (timeline->history_known || timeline->ranges_count == 0)
		return;
	wa_history_name(name.text, name.tli);
	wa_layout_key(&name, key);
	for (size_t i = 0; i < catalogue->doubts_count; i++)
		if (strcmp(catalogue->doubts[i].object, key) == 0)
			return;				/* it is there, and was reported */
	report(options, key, WA_SEVERITY_ERROR,
		   "it is missing, and the archive has segments of its timeline",
		   "no recovery can follow that timeline from an older one",
		   "look for it in pg_wal of a server that has followed the timeline, "
		   "and archive it");
}

/* A .partial is nobody's restore point, but it should be what it says. */
static WaCode
check_partial(const WaVerifyOptions *options, const WaCatalogue *catalogue,
			  WaStore *store, WaZstd *zstd, const WaPartial *partial,
			  WaError *err)
{
	const WaMarker *marker = &catalogue->marker;
	WaWalName	name;
	WaStat		stat;
	WaEnvelope	envelope;
	WaCode		code;

	code = wa_layout_parse(partial->key, &name, err);
	if (code == WA_OK)
		code = wa_object_envelope(store, partial->key, &stat, &envelope, err);
	if (code == WA_OK)
		code = wa_object_check_name(store, partial->key, &envelope, &name,
									marker->system_identifier,
									marker->segment_bytes, err);
	if (code == WA_OK && options->full)
		code = wa_object_read(store, partial->key, &stat, &envelope, zstd,
							  NULL, err);
	if (code == WA_OK || code == WA_NOT_FOUND)
		return WA_OK;
	if (code != WA_DAMAGED && code != WA_UNSUPPORTED &&
		code != WA_WRONG_CLUSTER && code != WA_IO)
		return code;
	report(options, partial->key, WA_SEVERITY_WARNING, err->message,
		   "no recovery asks for a .partial; what it held of the old timeline "
		   "is in the new one's first segment up to the switch", "");
	return WA_OK;
}

static WaCode
check_partials(const WaVerifyOptions *options, const WaCatalogue *catalogue,
			   WaStore *store, WaZstd *zstd, WaError *err)
{
	for (size_t i = 0; i < catalogue->timelines_count; i++)
	{
		const WaTimeline *timeline = &catalogue->timelines[i];

		if (options->tli != 0 && options->tli != timeline->tli)
			continue;
		for (size_t j = 0; j < timeline->partials_count; j++)
			if (check_partial(options, catalogue, store, zstd,
							  &timeline->partials[j], err) != WA_OK)
				return err->code;
	}
	return WA_OK;
}

WaCode
wa_verify_small(const WaVerifyOptions *options, const WaCatalogue *catalogue,
				WaError *err)
{
	WaStoreOptions store_options = {.beat = options->beat};
	WaStore    *store = NULL;
	WaZstd	   *zstd = wa_zstd_open();
	WaCode		code;
	char		text[WA_FINDING_TEXT_BYTES];

	for (size_t i = 0; i < catalogue->doubts_count; i++)
		report_doubt(options, catalogue, &catalogue->doubts[i]);
	for (size_t i = 0; i < catalogue->backups_count; i++)
		report_backup(options, catalogue, &catalogue->backups[i]);
	for (size_t i = 0; i < catalogue->timelines_count; i++)
		report_unknown(options, catalogue, &catalogue->timelines[i]);
	if (catalogue->aside > 0)
	{
		snprintf(text, sizeof(text), "%" PRIu64 " files were replaced and "
				 "set aside", catalogue->aside);
		report(options, "damaged", WA_SEVERITY_NOTICE, text, "none",
			   "look why, then delete them");
	}

	if (zstd == NULL)
		code = wa_fail(err, WA_NO_MEMORY, "out of memory");
	else
		code = wa_store_dir_open(options->path, &store_options, &store, err);
	if (code == WA_OK)
		code = check_partials(options, catalogue, store, zstd, err);
	wa_store_close(store);
	wa_zstd_close(zstd);
	return code;
}
