/*
 * sqlrecovery.c
 *	  How far a server in recovery has come, in SQL.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xlog.h"
#include "access/xlogrecovery.h"
#include "archive/windows.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "portability/instr_time.h"
#include "server/compat.h"
#include "server/inquiry.h"
#include "server/row.h"
#include "server/settings.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(walarch_recovery_progress);

#define SAMPLE_MS		500		/* to see a rate when there was no look before */
#define FORGET_MS		600000	/* a look so long ago says nothing */

/* ---- the archive that this server restores from ----------------------------- */

/*
 * The directory after --archive in a command line, quoted or not; false when
 * there is none.  The command is ours or nobody knows what it means.
 */
static bool
archive_of_command(const char *command, char *path, size_t size)
{
	const char *at = command != NULL ? strstr(command, "--archive") : NULL;
	size_t		length = 0;
	char		quote = '\0';

	if (at == NULL || strstr(command, "walarch") == NULL)
		return false;
	at += strlen("--archive");
	if (*at == '=')
		at++;
	else
		at += strspn(at, " \t");
	if (*at == '"' || *at == '\'')
		quote = *at++;
	while (*at != '\0' && (quote != '\0' ? *at != quote :
						   *at != ' ' && *at != '\t'))
	{
		if (length + 1 >= size)
			return false;
		path[length++] = *at++;
	}
	path[length] = '\0';
	return path[0] == '/';
}

/* ---- what the archive offers ------------------------------------------------ */

typedef struct OfferState
{
	uint32		tli;			/* to be recovered; 0: the latest */
	WaPlace		from;			/* where replay is */
	bool		found;
	uint64		end_lsn;
	WaMoment	end_time;
} OfferState;

static void
release_offer(void *state)
{
	free(state);
}

static WaCode
find_offer(const WaInquiry *inquiry, const WaCatalogue *catalogue,
		   const WaTimeline *timeline, OfferState *self, WaError *err)
{
	WaLineage	lineage;
	WaPlace		from = self->from;
	WaPlace		reached;
	WaStat		stat;
	WaEnvelope	envelope;
	WaCode		code = WA_OK;

	if (!wa_lineage_of(catalogue, timeline, &lineage))
		return wa_fail(err, WA_NO_MEMORY, "out of memory");

	/* the segment in replay may be the child's by now */
	self->found = wa_lineage_reach(catalogue, &lineage, from, &reached);
	if (!self->found && wa_lineage_previous(&lineage, &from))
		self->found = wa_lineage_reach(catalogue, &lineage, from, &reached);
	if (self->found)
	{
		WaRange		last = {reached.segno, reached.segno, 0};
		WaMoment	earliest;

		self->end_lsn = (reached.segno + 1) * catalogue->marker.segment_bytes;
		/* behind a segment switch the next record is the next segment's */
		if (wa_segment_envelope(inquiry->store, &catalogue->marker, reached,
								&stat, &envelope, err) == WA_OK &&
			envelope.scanned && envelope.scan.end != WA_SCAN_SWITCHED)
			self->end_lsn = envelope.scan.end_lsn;
		code = wa_range_times(inquiry->store, catalogue, reached.tli, &last,
							  &earliest, &self->end_time, err);
	}
	wa_lineage_free(&lineage);
	return code;
}

static WaCode
read_offer(const WaInquiry *inquiry, void *state, WaError *err)
{
	OfferState *self = state;
	WaCatalogue catalogue;
	const WaTimeline *timeline = NULL;
	WaCode		code;

	code = wa_catalogue_read(inquiry->store, inquiry->marker,
							 WA_CATALOGUE_NAMES, inquiry->zstd, &catalogue,
							 err);
	if (code != WA_OK)
		return code;
	if (self->tli != 0)
		timeline = wa_catalogue_timeline(&catalogue, self->tli);
	else if (catalogue.timelines_count > 0)
		timeline = &catalogue.timelines[catalogue.timelines_count - 1];
	if (timeline != NULL)
		code = find_offer(inquiry, &catalogue, timeline, self, err);
	wa_catalogue_free(&catalogue);
	return code;
}

/* ---- how fast replay is ------------------------------------------------------ */

typedef struct Look
{
	uint64		at_ms;
	XLogRecPtr	lsn;
} Look;

static uint64
now_ms(void)
{
	instr_time	now;

	INSTR_TIME_SET_CURRENT(now);
	return (uint64) INSTR_TIME_GET_MILLISEC(now);
}

static void
look_at_replay(Look *look, TimeLineID *tli)
{
	look->lsn = GetXLogReplayRecPtr(tli);
	look->at_ms = now_ms();
}

/* Bytes a second since this session's last look, or in half a second. */
static double
measure_rate(Look *now, TimeLineID *tli)
{
	static Look last;
	Look		before = last;

	look_at_replay(now, tli);
	if (before.at_ms == 0 || now->at_ms - before.at_ms > FORGET_MS ||
		now->at_ms - before.at_ms < 100 || now->lsn < before.lsn)
	{
		before = *now;
		while (now_ms() - before.at_ms < SAMPLE_MS)
		{
			(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT |
							 WL_EXIT_ON_PM_DEATH, SAMPLE_MS / 5,
							 walarch_wait_event());
			ResetLatch(MyLatch);
			CHECK_FOR_INTERRUPTS();
		}
		look_at_replay(now, tli);
	}
	last = *now;
	return now->at_ms > before.at_ms ?
		(double) (now->lsn - before.lsn) * 1000 /
		(double) (now->at_ms - before.at_ms) : 0;
}

/* ---- the row ------------------------------------------------------------------ */

/* The recovery target as a DBA would write it; NULL: none is set. */
static char *
target_text(void)
{
	static const char *const names[] = {
		"recovery_target", "recovery_target_lsn", "recovery_target_name",
		"recovery_target_time", "recovery_target_xid"
	};

	for (size_t i = 0; i < lengthof(names); i++)
	{
		const char *value = GetConfigOption(names[i], true, false);

		if (value != NULL && value[0] != '\0')
			return psprintf("%s = '%s'", names[i], value);
	}
	return NULL;
}

/* recovery_target_timeline as a number; 0: latest. */
static uint32
target_timeline(TimeLineID replay_tli)
{
	const char *value = GetConfigOption("recovery_target_timeline", true,
										false);

	if (value == NULL || strcmp(value, "latest") == 0 || value[0] == '\0')
		return 0;
	if (strcmp(value, "current") == 0)
		return replay_tli;
	return (uint32) strtoul(value, NULL, 0);
}

Datum
walarch_recovery_progress(PG_FUNCTION_ARGS)
{
	TupleDesc	descriptor;
	char		path[WA_ARCHIVE_PATH_BYTES];
	OfferState	offer = {0};
	Look		now = {0};
	TimeLineID	tli = 0;
	double		rate = 0;
	bool		in_recovery = RecoveryInProgress();
	TimestampTz replay_time = 0;
	Row			row = {0};

	if (get_call_result_type(fcinfo, NULL, &descriptor) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	walarch_put_bool(&row, in_recovery);
	if (in_recovery)
	{
		rate = measure_rate(&now, &tli);
		replay_time = GetLatestXTime();
		if (archive_of_command(GetConfigOption("restore_command", true, false),
							   path, sizeof(path)) ||
			walarch_settings_archive(path))
		{
			OfferState *state = walarch_inquiry_state(sizeof(*state));

			state->tli = target_timeline(tli);
			state->from.tli = tli;
			state->from.segno = (now.lsn > 0 ? now.lsn - 1 : 0) /
				(uint64) wal_segment_size;
			/* what replay does can be said without the archive */
			if (walarch_inquire_at(WARNING, path, read_offer, state,
								   release_offer))
			{
				offer = *state;
				release_offer(state);
			}
		}
	}
	walarch_put_lsn(&row, now.lsn);
	if (replay_time != 0)
		walarch_put(&row, TimestampTzGetDatum(replay_time));
	else
		walarch_put_null(&row);
	walarch_put_text(&row, in_recovery ? target_text() : NULL);
	walarch_put_lsn(&row, offer.found ? offer.end_lsn : 0);
	walarch_put_time(&row, offer.found && offer.end_time.known,
					 offer.end_time.us);
	if (!offer.found)
		walarch_put_null(&row);
	else
		walarch_put_int8(&row, offer.end_lsn > now.lsn ?
						 offer.end_lsn - now.lsn : 0);
	if (!in_recovery)
		walarch_put_null(&row);
	else
		walarch_put_int8(&row, (uint64) rate);

	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(descriptor),
													  row.values,
													  row.nulls)));
}
