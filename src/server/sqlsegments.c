/*
 * sqlsegments.c
 *	  Single segments of the archive, and what is wrong with them, in SQL.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "archive/verify.h"
#include "core/array.h"
#include "core/walname.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "portability/instr_time.h"
#include "server/inquiry.h"
#include "server/row.h"
#include "server/settings.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(walarch_segments);
PG_FUNCTION_INFO_V1(walarch_verify);

/* ---- segments --------------------------------------------------------------- */

/* Rows are fetched so many at a time, so that memory stays bounded. */
#define SEGMENTS_AT_A_TIME	1000

typedef struct SegmentRow
{
	char		name[WA_WALNAME_BYTES];
	uint32		tli;
	uint64		start_lsn;
	uint64		raw_bytes;
	uint64		stored_bytes;
	WaMoment	archived;
	WaMoment	earliest;
	WaMoment	latest;
	int			points_count;
	char		points[WA_SCAN_POINTS_MAX + 1][WA_RECORD_NAME_BYTES];
	char		fault[WA_DAMAGE_TEXT_BYTES];
} SegmentRow;

typedef struct SegmentsState
{
	bool		listed;			/* the catalogue serves all parts */
	WaCatalogue catalogue;
	uint32		tli;			/* 0: any */
	WaPlace		next;			/* in: where to begin; out: where to go on */
	WaPlace		last;			/* where to end, inclusive */
	bool		more;
	size_t		count;
	SegmentRow	rows[SEGMENTS_AT_A_TIME];
} SegmentsState;

static void
release_segments(void *state)
{
	SegmentsState *self = state;

	wa_catalogue_free(&self->catalogue);
	free(self);
}

/* In the thread, where PostgreSQL's own functions are not for us. */
static void
copy_fault(SegmentRow *row, const char *text)
{
	size_t		length = strnlen(text, sizeof(row->fault) - 1);

	memcpy(row->fault, text, length);
	row->fault[length] = '\0';
}

static WaCode
take_segment(void *arg, const WaSegmentRow *found, WaError *err)
{
	SegmentsState *self = arg;
	SegmentRow *row;
	WaRestorePoint point;

	if (self->count == SEGMENTS_AT_A_TIME)
	{
		self->more = true;
		self->next = found->place;
		return wa_fail(err, WA_CANCELLED, "enough");
	}
	row = &self->rows[self->count++];
	memset(row, 0, offsetof(SegmentRow, points));
	row->fault[0] = '\0';
	memcpy(row->name, found->name, sizeof(row->name));
	row->tli = found->place.tli;
	row->stored_bytes = found->stat.bytes;
	if (found->envelope == NULL)
	{
		copy_fault(row, found->error->message);
		return WA_OK;
	}
	row->start_lsn = found->place.segno * found->envelope->segment_bytes;
	row->raw_bytes = found->envelope->raw_bytes;
	row->archived.known = true;
	row->archived.us = found->envelope->archived_at_us;
	if (found->envelope->scanned && found->envelope->scan.transactions > 0)
	{
		row->earliest.known = row->latest.known = true;
		row->earliest.us = found->envelope->scan.earliest_us;
		row->latest.us = found->envelope->scan.latest_us;
	}
	while (row->points_count <= WA_SCAN_POINTS_MAX &&
		   wa_segment_point(found, (size_t) row->points_count, &point))
		memcpy(row->points[row->points_count++], point.name,
			   sizeof(point.name));
	if (found->envelope->damage[0] != '\0')
		copy_fault(row, found->envelope->damage);
	else if (found->joint == WA_JOINT_BROKEN)
		copy_fault(row, found->joint_reason);
	return WA_OK;
}

static WaCode
read_segments(const WaInquiry *inquiry, void *state, WaError *err)
{
	SegmentsState *self = state;
	const WaCatalogue *catalogue = &self->catalogue;
	WaCode		code = WA_OK;

	self->count = 0;
	self->more = false;
	if (!self->listed &&
		wa_catalogue_read(inquiry->store, inquiry->marker,
						  WA_CATALOGUE_NAMES, inquiry->zstd,
						  &self->catalogue, err) != WA_OK)
		return err->code;
	self->listed = true;
	for (size_t i = 0; i < catalogue->timelines_count && code == WA_OK; i++)
	{
		const WaTimeline *timeline = &catalogue->timelines[i];

		if (timeline->tli < self->next.tli ||
			timeline->tli > self->last.tli ||
			(self->tli != 0 && timeline->tli != self->tli))
			continue;
		code = wa_segments_each(inquiry->store, catalogue, timeline,
								timeline->tli == self->next.tli ?
								self->next.segno : 0,
								timeline->tli == self->last.tli ?
								self->last.segno : UINT64_MAX - 1,
								take_segment, self, err);
	}
	return self->more ? WA_OK : code;
}

static void
emit_segments(ReturnSetInfo *result, const SegmentsState *state)
{
	for (size_t i = 0; i < state->count; i++)
	{
		const SegmentRow *segment = &state->rows[i];
		const char *points[WA_SCAN_POINTS_MAX + 1];
		Row			row = {0};

		for (int j = 0; j < segment->points_count; j++)
			points[j] = segment->points[j];
		walarch_put_text(&row, segment->name);
		walarch_put_text(&row, "segment");
		walarch_put(&row, Int64GetDatum(segment->tli));
		walarch_put_lsn(&row, segment->start_lsn);
		walarch_put_int8(&row, segment->raw_bytes);
		walarch_put_int8(&row, segment->stored_bytes);
		walarch_put_time(&row, segment->archived.known, segment->archived.us);
		walarch_put_time(&row, segment->earliest.known, segment->earliest.us);
		walarch_put_time(&row, segment->latest.known, segment->latest.us);
		walarch_put_texts(&row, points, segment->points_count);
		walarch_put_text(&row, segment->fault);
		walarch_emit(result, &row);
	}
}

/* A bound given as the name of a segment; its timeline counts, too. */
static void
parse_bound(FunctionCallInfo fcinfo, int argument, WaWalName *name,
			uint64_t *segno)
{
	char	   *value = text_to_cstring(PG_GETARG_TEXT_PP(argument));
	WaError		err;

	if (wa_walname_parse(value, name, &err) != WA_OK ||
		name->kind != WA_KIND_SEGMENT ||
		wa_walname_segno(name, (uint32) wal_segment_size, segno,
						 &err) != WA_OK)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" is not the name of a WAL segment", value)));
}

Datum
walarch_segments(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	WaPlace		first = {0};
	uint32		tli = 0;
	WaPlace		last = {PG_UINT32_MAX, PG_UINT64_MAX - 1};
	WaWalName	name;
	SegmentsState *state;

	InitMaterializedSRF(fcinfo, 0);
	if (!PG_ARGISNULL(0))
	{
		int64		wanted = PG_GETARG_INT64(0);

		if (wanted < 1 || wanted > PG_UINT32_MAX)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("timeline " INT64_FORMAT " is out of range",
							wanted)));
		tli = (uint32) wanted;
	}
	if (!PG_ARGISNULL(1))
	{
		parse_bound(fcinfo, 1, &name, &first.segno);
		first.tli = name.tli;
	}
	if (!PG_ARGISNULL(2))
	{
		parse_bound(fcinfo, 2, &name, &last.segno);
		last.tli = name.tli;
	}

	state = walarch_inquiry_state(sizeof(*state));
	state->tli = tli;
	state->next = first;
	state->last = last;
	do
	{
		walarch_inquire(read_segments, state, release_segments);
		PG_TRY();
		{
			emit_segments(result, state);
			CHECK_FOR_INTERRUPTS();
		}
		PG_CATCH();
		{
			release_segments(state);
			PG_RE_THROW();
		}
		PG_END_TRY();
	} while (state->more);
	release_segments(state);
	return (Datum) 0;
}

/* ---- verify ----------------------------------------------------------------- */

typedef struct VerifyState
{
	WaBeat	   *beat;
	uint64		timeout_ms;
	size_t		count;
	WaFinding  *findings;
	bool		lost;			/* one could not be kept */
} VerifyState;

static void
release_verify(void *state)
{
	VerifyState *self = state;

	free(self->findings);
	free(self);
}

static void
keep_finding(void *arg, const WaFinding *finding)
{
	VerifyState *self = arg;
	WaFinding  *larger = wa_array_room(self->findings, self->count,
									   sizeof(WaFinding));

	if (larger == NULL)
	{
		self->lost = true;
		return;
	}
	self->findings = larger;
	self->findings[self->count++] = *finding;
}

static void
no_progress(void *arg, const WaVerifyProgress *progress)
{
}

static bool
nobody_waits(void *arg)
{
	VerifyState *self = arg;

	return atomic_load(&self->beat->cancelled) != 0;
}

static uint64_t
verify_clock_ms(void)
{
	instr_time	now;

	INSTR_TIME_SET_CURRENT(now);
	return (uint64_t) INSTR_TIME_GET_MILLISEC(now);
}

static WaCode
run_verify(const WaInquiry *inquiry, void *state, WaError *err)
{
	VerifyState *self = state;
	WaVerifyOptions options = {
		.path = inquiry->path,
		.beat = inquiry->beat,
		.workers = 1,
		.timeout_ms = self->timeout_ms,
		.now_ms = verify_clock_ms,
		.found = keep_finding,
		.progress = no_progress,
		.stop = nobody_waits,
		.arg = self
	};
	WaVerifyProgress progress;
	WaCatalogue catalogue;
	WaCode		code;

	self->beat = inquiry->beat;
	code = wa_catalogue_read(inquiry->store, inquiry->marker,
							 WA_CATALOGUE_SIZES, inquiry->zstd, &catalogue,
							 err);
	if (code != WA_OK)
		return code;
	code = wa_verify(&options, &catalogue, &progress, err);
	wa_catalogue_free(&catalogue);
	if (code == WA_OK && self->lost)
		code = wa_fail(err, WA_NO_MEMORY, "out of memory");
	return code;
}

Datum
walarch_verify(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	VerifyState *state;

	InitMaterializedSRF(fcinfo, 0);
	state = walarch_inquiry_state(sizeof(*state));
	state->timeout_ms = (uint64) walarch_timeout;
	walarch_inquire(run_verify, state, release_verify);
	PG_TRY();
	{
		for (size_t i = 0; i < state->count; i++)
		{
			const WaFinding *finding = &state->findings[i];
			Row			row = {0};

			walarch_put_text(&row, finding->object);
			walarch_put_text(&row, wa_severity_name(finding->severity));
			walarch_put_text(&row, finding->finding);
			walarch_put_text(&row, finding->consequence);
			walarch_put_text(&row, finding->hint);
			walarch_emit(result, &row);
		}
	}
	PG_FINALLY();
	{
		release_verify(state);
	}
	PG_END_TRY();
	return (Datum) 0;
}
