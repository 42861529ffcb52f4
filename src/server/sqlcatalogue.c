/*
 * sqlcatalogue.c
 *	  What the archive holds and lacks, in SQL.
 */
#include "postgres.h"

#include <dirent.h>

#include "access/xlog_internal.h"
#include "archive/windows.h"
#include "core/walname.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "server/compat.h"
#include "server/inquiry.h"
#include "server/row.h"
#include "storage/fd.h"

PG_FUNCTION_INFO_V1(walarch_ranges);
PG_FUNCTION_INFO_V1(walarch_gaps);
PG_FUNCTION_INFO_V1(walarch_backups);
PG_FUNCTION_INFO_V1(walarch_recovery_window);

/* ---- the catalogue, and what is found with it in the thread ----------------- */

typedef struct RangeRow
{
	uint32		tli;
	WaRange		range;
	WaMoment	earliest;
	WaMoment	latest;
} RangeRow;

typedef struct CatalogueState
{
	WaCatalogueDepth depth;
	bool		with_ranges;
	bool		with_gaps;
	bool		with_windows;
	WaCatalogue catalogue;
	RangeRow   *ranges;
	size_t		ranges_count;
	WaGap	   *gaps;
	size_t		gaps_count;
	WaWindow   *windows;
	size_t		windows_count;
} CatalogueState;

static void
release_catalogue(void *state)
{
	CatalogueState *self = state;

	wa_catalogue_free(&self->catalogue);
	free(self->ranges);
	free(self->gaps);
	free(self->windows);
	free(self);
}

static WaCode
find_ranges(const WaInquiry *inquiry, CatalogueState *self, WaError *err)
{
	const WaCatalogue *catalogue = &self->catalogue;
	size_t		most = 0;

	for (size_t i = 0; i < catalogue->timelines_count; i++)
		most += catalogue->timelines[i].ranges_count;
	self->ranges = calloc(most + 1, sizeof(RangeRow));
	if (self->ranges == NULL)
		return wa_fail(err, WA_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < catalogue->timelines_count; i++)
	{
		const WaTimeline *timeline = &catalogue->timelines[i];

		for (size_t j = 0; j < timeline->ranges_count; j++)
		{
			RangeRow   *row = &self->ranges[self->ranges_count++];

			row->tli = timeline->tli;
			row->range = timeline->ranges[j];
			if (wa_range_times(inquiry->store, catalogue, row->tli,
							   &row->range, &row->earliest, &row->latest,
							   err) != WA_OK)
				return err->code;
		}
	}
	return WA_OK;
}

static WaCode
read_catalogue(const WaInquiry *inquiry, void *state, WaError *err)
{
	CatalogueState *self = state;

	if (wa_catalogue_read(inquiry->store, inquiry->marker, self->depth,
						  inquiry->zstd, &self->catalogue, err) != WA_OK)
		return err->code;
	if (self->with_gaps &&
		!wa_gaps_find(&self->catalogue, &self->gaps, &self->gaps_count))
		return wa_fail(err, WA_NO_MEMORY, "out of memory");
	if (self->with_ranges && find_ranges(inquiry, self, err) != WA_OK)
		return err->code;
	if (self->with_windows)
		return wa_windows_find(inquiry->store, &self->catalogue,
							   &self->windows, &self->windows_count, err);
	return WA_OK;
}

/* Ask, then let `emit` make rows of the answer. */
static Datum
answer(FunctionCallInfo fcinfo, CatalogueState wanted,
	   void (*emit) (ReturnSetInfo *result, const CatalogueState *state))
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	CatalogueState *state;

	InitMaterializedSRF(fcinfo, 0);
	state = walarch_inquiry_state(sizeof(*state));
	*state = wanted;
	walarch_inquire(read_catalogue, state, release_catalogue);
	PG_TRY();
	{
		emit(result, state);
	}
	PG_FINALLY();
	{
		release_catalogue(state);
	}
	PG_END_TRY();
	return (Datum) 0;
}

static const char *
segment_name(const WaCatalogue *catalogue, uint32 tli, uint64 segno)
{
	char	   *name = palloc(WA_WALNAME_BYTES);

	wa_segment_name(name, tli, segno, catalogue->marker.segment_bytes);
	return name;
}

static uint64
segment_lsn(const WaCatalogue *catalogue, uint64 segno)
{
	return segno * catalogue->marker.segment_bytes;
}

/* ---- ranges ----------------------------------------------------------------- */

static void
emit_ranges(ReturnSetInfo *result, const CatalogueState *state)
{
	const WaCatalogue *catalogue = &state->catalogue;

	for (size_t i = 0; i < state->ranges_count; i++)
	{
		const RangeRow *range = &state->ranges[i];
		uint64		count = range->range.last - range->range.first + 1;
		Row			row = {0};

		walarch_put(&row, Int64GetDatum(range->tli));
		walarch_put_text(&row, segment_name(catalogue, range->tli,
											range->range.first));
		walarch_put_text(&row, segment_name(catalogue, range->tli,
											range->range.last));
		walarch_put_int8(&row, count);
		walarch_put_lsn(&row, segment_lsn(catalogue, range->range.first));
		walarch_put_lsn(&row, segment_lsn(catalogue, range->range.last + 1));
		walarch_put_time(&row, range->earliest.known, range->earliest.us);
		walarch_put_time(&row, range->latest.known, range->latest.us);
		walarch_put_int8(&row, segment_lsn(catalogue, count));
		walarch_put_int8(&row, range->range.stored_bytes);
		walarch_emit(result, &row);
	}
}

Datum
walarch_ranges(PG_FUNCTION_ARGS)
{
	CatalogueState wanted = {
		.depth = WA_CATALOGUE_SIZES,
		.with_ranges = true
	};

	return answer(fcinfo, wanted, emit_ranges);
}

/* ---- gaps ------------------------------------------------------------------- */

static int
compare_places(const void *a, const void *b)
{
	const WaPlace *left = a;
	const WaPlace *right = b;

	if (left->tli != right->tli)
		return left->tli < right->tli ? -1 : 1;
	return left->segno < right->segno ? -1 : left->segno > right->segno;
}

/* The segments that still wait in pg_wal, in order. */
static WaPlace *
read_waiting(uint32 segment_bytes, size_t *count)
{
	DIR		   *dir = AllocateDir(XLOGDIR "/archive_status");
	struct dirent *entry;
	size_t		capacity = 64;
	WaPlace    *places = palloc(capacity * sizeof(WaPlace));
	WaError		ignored;

	*count = 0;
	while ((entry = ReadDir(dir, XLOGDIR "/archive_status")) != NULL)
	{
		WaWalName	name;
		uint64_t	segno;

		if (!wa_walname_ready(entry->d_name, &name) ||
			name.kind != WA_KIND_SEGMENT ||
			wa_walname_segno(&name, segment_bytes, &segno, &ignored) != WA_OK)
			continue;
		if (*count == capacity)
		{
			capacity *= 2;
			places = repalloc(places, capacity * sizeof(WaPlace));
		}
		places[*count].tli = name.tli;
		places[(*count)++].segno = segno;
	}
	FreeDir(dir);
	qsort(places, *count, sizeof(WaPlace), compare_places);
	return places;
}

static void
emit_gap(ReturnSetInfo *result, const CatalogueState *state,
		 const WaGap *gap, bool waiting)
{
	const WaCatalogue *catalogue = &state->catalogue;
	const char **affected = palloc((catalogue->backups_count + 1) *
								   sizeof(char *));
	int			affected_count = 0;
	Row			row = {0};

	for (size_t i = 0; i < catalogue->backups_count; i++)
		if (wa_gap_affects(catalogue, gap, &catalogue->backups[i]))
			affected[affected_count++] = catalogue->backups[i].id;
	walarch_put(&row, Int64GetDatum(gap->tli));
	walarch_put_text(&row, segment_name(catalogue, gap->tli, gap->first));
	walarch_put_text(&row, segment_name(catalogue, gap->tli, gap->last));
	walarch_put_int8(&row, gap->last - gap->first + 1);
	walarch_put_lsn(&row, segment_lsn(catalogue, gap->first));
	walarch_put_lsn(&row, segment_lsn(catalogue, gap->last + 1));
	walarch_put_bool(&row, waiting);
	walarch_put_texts(&row, affected, affected_count);
	walarch_emit(result, &row);
}

/* What waits here and what does not are rows of their own. */
static void
emit_gaps(ReturnSetInfo *result, const CatalogueState *state)
{
	size_t		waiting_count;
	WaPlace    *waiting = read_waiting(state->catalogue.marker.segment_bytes,
									   &waiting_count);
	size_t		at = 0;

	for (size_t i = 0; i < state->gaps_count; i++)
	{
		const WaGap *gap = &state->gaps[i];
		WaGap		part = {gap->tli, gap->first, gap->first};
		WaPlace		begin = {gap->tli, gap->first};

		while (at < waiting_count && compare_places(&waiting[at], &begin) < 0)
			at++;
		while (part.first <= gap->last)
		{
			bool		waits = at < waiting_count &&
				waiting[at].tli == gap->tli &&
				waiting[at].segno == part.first;

			part.last = part.first;
			if (waits)
				while (part.last < gap->last && at + 1 < waiting_count &&
					   waiting[at + 1].tli == gap->tli &&
					   waiting[at + 1].segno == part.last + 1)
				{
					part.last++;
					at++;
				}
			else
				part.last = at < waiting_count &&
					waiting[at].tli == gap->tli &&
					waiting[at].segno <= gap->last ?
					waiting[at].segno - 1 : gap->last;
			at += waits;
			emit_gap(result, state, &part, waits);
			part.first = part.last + 1;
		}
	}
}

Datum
walarch_gaps(PG_FUNCTION_ARGS)
{
	CatalogueState wanted = {
		.depth = WA_CATALOGUE_NAMES,
		.with_gaps = true
	};

	return answer(fcinfo, wanted, emit_gaps);
}

/* ---- backups ---------------------------------------------------------------- */

static void
put_time_text(Row *row, const char *text)
{
	int64		us;
	bool		known = wa_backuphistory_time(text, &us);

	walarch_put_time(row, known, us);
}

static void
emit_backups(ReturnSetInfo *result, const CatalogueState *state)
{
	const WaCatalogue *catalogue = &state->catalogue;

	for (size_t i = 0; i < catalogue->backups_count; i++)
	{
		const WaBackup *backup = &catalogue->backups[i];
		Row			row = {0};
		char		reason[WA_BACKUP_REASON_BYTES];
		bool		usable = wa_backup_usable(catalogue, backup, reason);

		walarch_put_text(&row, backup->id);
		walarch_put_text(&row, backup->stored ? "base" : "history");
		walarch_put_text(&row, backup->history.label);
		walarch_put(&row, Int64GetDatum(backup->tli));
		walarch_put_lsn(&row, backup->history.start_lsn);
		walarch_put_lsn(&row, backup->history.stop_lsn);
		put_time_text(&row, backup->history.start_time);
		put_time_text(&row, backup->history.stop_time);
		walarch_put_text(&row, segment_name(catalogue, backup->tli,
											backup->start_segno));
		walarch_put_text(&row, backup->parent);
		if (backup->stored)
			walarch_put(&row, Int64GetDatum((int64) backup->stored_bytes));
		else
			walarch_put_null(&row); /* its data lies elsewhere */
		walarch_put_bool(&row, usable);
		walarch_put_text(&row, usable && backup->checksum_failures ?
						 WA_BACKUP_CHECKSUMS : reason);
		walarch_emit(result, &row);
	}
}

Datum
walarch_backups(PG_FUNCTION_ARGS)
{
	CatalogueState wanted = {.depth = WA_CATALOGUE_NAMES};

	return answer(fcinfo, wanted, emit_backups);
}

/* ---- recovery_window -------------------------------------------------------- */

static void
emit_windows(ReturnSetInfo *result, const CatalogueState *state)
{
	for (size_t i = 0; i < state->windows_count; i++)
	{
		const WaWindow *window = &state->windows[i];
		Row			row = {0};

		walarch_put(&row, Int64GetDatum(window->tli));
		walarch_put_text(&row, window->backup->id);
		walarch_put_lsn(&row, window->earliest_lsn);
		walarch_put_time(&row, window->earliest.known, window->earliest.us);
		walarch_put_lsn(&row, window->latest_lsn);
		walarch_put_time(&row, window->latest.known, window->latest.us);
		walarch_emit(result, &row);
	}
}

Datum
walarch_recovery_window(PG_FUNCTION_ARGS)
{
	CatalogueState wanted = {
		.depth = WA_CATALOGUE_NAMES,
		.with_windows = true
	};

	return answer(fcinfo, wanted, emit_windows);
}
