/*
 * verdict.c
 *	  What lies in the archive under a name, compared with what should.
 */
#include "archive/verdict.h"

#include <inttypes.h>
#include <stdio.h>

#include "archive/object.h"

/* Valid and not the same bytes: are they the same WAL? */
static WaVerdict
compare_records(WaStore *store, const char *key, const WaStat *stat,
				const WaEnvelope *ours, const WaEnvelope *theirs,
				WaPrefixFn our_prefix, void *arg, WaZstd *zstd, WaError *err)
{
	WaOverlap	overlap;

	if (wa_overlap(store, key, stat, ours, theirs, our_prefix, arg, zstd,
				   &overlap, err) != WA_OK)
		return WA_VERDICT_ERROR;
	switch (overlap)
	{
		case WA_OVERLAP_SAME:
			return WA_VERDICT_EQUIVALENT;
		case WA_OVERLAP_THEIRS_LONGER:
			/* two .partial of different length stand side by side */
			return ours->kind == WA_KIND_SEGMENT ?
				WA_VERDICT_EQUIVALENT : WA_VERDICT_DIFFERENT;
		case WA_OVERLAP_OURS_LONGER:
			return ours->kind == WA_KIND_SEGMENT ?
				WA_VERDICT_INCOMPLETE : WA_VERDICT_DIFFERENT;
		default:
			return WA_VERDICT_DIFFERENT;
	}
}

WaVerdict
wa_verdict(WaArchive *archive, WaStore *store, const char *key,
		   const WaEnvelope *ours, WaPrefixFn our_prefix, void *arg,
		   WaZstd *zstd, WaStat *stat, WaEnvelope *theirs, WaError *err)
{
	const WaArchiveConfig *config = wa_archive_config(archive);
	WaVerdict	verdict = WA_VERDICT_IDENTICAL;
	WaWalName	name;
	WaCode		code;

	code = wa_walname_parse(ours->name, &name, err);
	if (code == WA_OK)
		code = wa_object_envelope(store, key, stat, theirs, err);
	if (code == WA_OK)
		code = wa_object_check_name(store, key, theirs, &name,
									config->system_identifier,
									config->segment_bytes, err);
	/* its body is proven before a word of the envelope is believed */
	if (code == WA_OK)
		code = wa_object_read(store, key, stat, theirs, zstd, NULL, err);
	switch (code)
	{
		case WA_OK:
			break;
		case WA_NOT_FOUND:
			return WA_VERDICT_ABSENT;
		case WA_DAMAGED:
			return WA_VERDICT_DAMAGED;
		case WA_WRONG_CLUSTER:
			return WA_VERDICT_DIFFERENT;
		default:
			return WA_VERDICT_ERROR;
	}
	if (!wa_digest_equal(&theirs->digest, &ours->digest) ||
		theirs->raw_bytes != ours->raw_bytes)
		verdict = compare_records(store, key, stat, ours, theirs, our_prefix,
								  arg, zstd, err);
	/* ours takes the place of what may not be durable, but never of more */
	if ((verdict == WA_VERDICT_IDENTICAL ||
		 (verdict == WA_VERDICT_EQUIVALENT && theirs->scanned &&
		  theirs->scan.used_bytes <= ours->scan.used_bytes)) &&
		wa_archive_suspects(archive, key))
	{
		wa_fail(err, WA_DAMAGED,
				"\"%s\" may not be durable: an fsync of it failed", key);
		return WA_VERDICT_DAMAGED;
	}
	return verdict;
}

/* What the conflict's message says of a damage of ours, and where it is. */
static void
describe_damage(const WaEnvelope *ours, const char *damage, char *text,
				size_t bytes)
{
	char		place[40] = "";

	text[0] = '\0';
	if (damage[0] == '\0')
		return;
	if (ours->scanned && ours->scan.end == WA_SCAN_DAMAGED &&
		ours->segment_bytes > 0)
		snprintf(place, sizeof(place), " at byte %" PRIu64,
				 ours->scan.stop_lsn % ours->segment_bytes);
	snprintf(text, bytes, ", where the file is damaged%s: %s", place, damage);
}

/* With all of its records: an incomplete one is no substitute for ours. */
static bool
is_whole(const WaEnvelope *theirs)
{
	if (theirs->damage[0] != '\0')
		return false;
	if (theirs->kind != WA_KIND_SEGMENT && theirs->kind != WA_KIND_PARTIAL)
		return true;
	return theirs->scanned && (theirs->scan.end == WA_SCAN_FULL ||
							   theirs->scan.end == WA_SCAN_SWITCHED);
}

WaCode
wa_verdict_fail_conflict(WaArchive *archive, const char *key,
						 const WaEnvelope *ours, const char *damage,
						 const WaEnvelope *theirs, WaError *err)
{
	char		ours_text[WA_DIGEST_TEXT_BYTES];
	char		theirs_text[WA_DIGEST_TEXT_BYTES];
	char		damage_text[WA_DAMAGE_TEXT_BYTES + 80];

	wa_digest_text(&ours->digest, ours_text);
	wa_digest_text(&theirs->digest, theirs_text);
	describe_damage(ours, damage, damage_text, sizeof(damage_text));
	wa_fail(err, WA_CONFLICT,
			"\"%s\" is in the archive with different content: digest %s there "
			"(\"%.300s/%s\"), %s here%s", ours->name, theirs_text,
			wa_archive_config(archive)->path, key, ours_text, damage_text);
	if (damage[0] != '\0' && is_whole(theirs) &&
		theirs->system_identifier == ours->system_identifier)
		wa_hint(err, "The file in pg_wal is damaged, the archive's copy is "
				"whole. Nothing was overwritten. If only this server writes "
				"that timeline, have \"walarch get\" put the archive's copy in "
				"the place of the damaged file, and look at the disk below "
				"pg_wal; see \"A conflict\" in the README of walarch.");
	else
		wa_hint(err, "Two servers archive as the same timeline, or the archive "
				"is that of an earlier life of this one. Nothing was "
				"overwritten. Stop the wrong server, or give this one an "
				"empty archive directory; see \"A conflict\" in the README of "
				"walarch.");
	return err->code;
}
