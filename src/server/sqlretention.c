/*
 * sqlretention.c
 *	  What may go and what must stay, in SQL.
 */
#include "postgres.h"

#include "archive/pins.h"
#include "core/lsn.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "server/clock.h"
#include "server/inquiry.h"
#include "server/prune.h"
#include "server/row.h"
#include "server/settings.h"
#include "utils/builtins.h"
#include "utils/pg_lsn.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(walarch_retention_plan);
PG_FUNCTION_INFO_V1(walarch_prune);
PG_FUNCTION_INFO_V1(walarch_pin);
PG_FUNCTION_INFO_V1(walarch_unpin);
PG_FUNCTION_INFO_V1(walarch_pins);

/* ---- the plan --------------------------------------------------------------- */

static void
emit_plan(ReturnSetInfo *result, const WaRetention *retention)
{
	for (size_t i = 0; i < retention->plan.count; i++)
	{
		const WaGroup *group = &retention->plan.groups[i];
		char		name[WA_GROUP_NAME_BYTES];
		Row			row = {0};

		walarch_put_text(&row, wa_group_name(retention, group, name));
		walarch_put_text(&row, wa_group_kind_name(group->kind));
		walarch_put_int8(&row, group->bytes);
		walarch_put_text(&row, group->goes ? "delete" : "keep");
		walarch_put_text(&row, group->reason);
		walarch_emit(result, &row);
	}
}

static void
tell(const WaPruneState *state)
{
	const WaPlan *plan = &state->retention.plan;

	if (plan->doubt)
		ereport(WARNING,
				(errmsg("nothing is deleted in doubt: %s",
						plan->doubt_reason)));
	if (plan->warning[0] != '\0')
		ereport(WARNING, (errmsg("%s", plan->warning)));
	walarch_prune_report(state, true, "walarch.prune");
}

static Datum
prune(FunctionCallInfo fcinfo, bool apply)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	WaPruneState *state;

	InitMaterializedSRF(fcinfo, 0);
	if (walarch_settings_report_rejected(WARNING) > 0 && apply)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("nothing is deleted while a setting of walarch is not "
						"valid")));
	state = walarch_prune_state();
	if (state == NULL)
	{
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY),
						errmsg("out of memory")));
		return (Datum) 0;		/* never, but cppcheck does not know */
	}
	state->apply = apply;
	walarch_inquire(walarch_prune_run, state, walarch_prune_release);
	PG_TRY();
	{
		emit_plan(result, &state->retention);
		tell(state);
	}
	PG_FINALLY();
	{
		walarch_prune_release(state);
	}
	PG_END_TRY();
	return (Datum) 0;
}

Datum
walarch_retention_plan(PG_FUNCTION_ARGS)
{
	return prune(fcinfo, false);
}

Datum
walarch_prune(PG_FUNCTION_ARGS)
{
	return prune(fcinfo, PG_GETARG_BOOL(0));
}

/* ---- pins ------------------------------------------------------------------- */

typedef struct PinState
{
	WaPin		pin;
	int64		at_us;
	WaPin	   *pins;			/* of a list */
	size_t		pins_count;
} PinState;

static void
release_pin(void *state)
{
	PinState   *self = state;

	free(self->pins);
	free(self);
}

static WaCode
make_pin(const WaInquiry *inquiry, void *state, WaError *err)
{
	PinState   *self = state;
	WaCatalogue catalogue;
	WaCode		code;

	/* a prune at work could be deleting what is to be held */
	if (wa_retention_lock(inquiry->store, err) != WA_OK ||
		wa_catalogue_read(inquiry->store, inquiry->marker, WA_CATALOGUE_NAMES,
						  inquiry->zstd, &catalogue, err) != WA_OK)
		return err->code;
	code = wa_pin_resolve(inquiry->store, &catalogue, &self->pin, self->at_us,
						  err);
	if (code == WA_OK)
		code = wa_pin_put(inquiry->store, &self->pin, err);
	wa_catalogue_free(&catalogue);
	return code;
}

static WaCode
remove_pin(const WaInquiry *inquiry, void *state, WaError *err)
{
	PinState   *self = state;

	return wa_pin_remove(inquiry->store, self->pin.name, err);
}

static WaCode
list_pins(const WaInquiry *inquiry, void *state, WaError *err)
{
	PinState   *self = state;

	return wa_pins_read(inquiry->store, &self->pins, &self->pins_count, err);
}

/* The name of a pin, as the first argument. */
static const char *
name_argument(FunctionCallInfo fcinfo)
{
	char	   *name = PG_ARGISNULL(0) ? pstrdup("") :
		text_to_cstring(PG_GETARG_TEXT_PP(0));

	if (!wa_pin_name_valid(name))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" is not a name for a pin", name),
				 errhint("Up to 63 letters, digits, \".\", \"-\" and \"_\", not "
						 "beginning with \".\".")));
	return name;
}

static void
set_value(WaPin *pin, WaPinKind kind, const char *value)
{
	if (pin->kind != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a pin holds one thing only")));
	if (value[0] == '\0' || strlen(value) >= sizeof(pin->value) ||
		strpbrk(value, "\r\n") != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" is not a value for a pin", value)));
	pin->kind = kind;
	strlcpy(pin->value, value, sizeof(pin->value));
}

static int64
time_argument(FunctionCallInfo fcinfo, int argument)
{
	TimestampTz time = PG_GETARG_TIMESTAMPTZ(argument);

	if (TIMESTAMP_NOT_FINITE(time) || walarch_unix_us(time) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("timestamp out of range")));
	return walarch_unix_us(time);
}

Datum
walarch_pin(PG_FUNCTION_ARGS)
{
	WaPin		pin = {0};
	int64		at_us = 0;
	PinState   *state;
	XLogRecPtr	keep_from;

	strlcpy(pin.name, name_argument(fcinfo), sizeof(pin.name));
	if (!PG_ARGISNULL(1))
	{
		pin.keep_from = PG_GETARG_LSN(1);
		set_value(&pin, WA_PIN_LSN,
				  psprintf(WA_LSN_FORMAT, WA_LSN_ARGS(pin.keep_from)));
	}
	if (!PG_ARGISNULL(2))
		set_value(&pin, WA_PIN_BACKUP,
				  text_to_cstring(PG_GETARG_TEXT_PP(2)));
	if (!PG_ARGISNULL(3))
	{
		at_us = time_argument(fcinfo, 3);
		set_value(&pin, WA_PIN_TIME,
				  timestamptz_to_str(PG_GETARG_TIMESTAMPTZ(3)));
	}
	if (!PG_ARGISNULL(4))
		set_value(&pin, WA_PIN_RESTORE_POINT,
				  text_to_cstring(PG_GETARG_TEXT_PP(4)));
	if (pin.kind == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("nothing to hold was given"),
				 errhint("Give one of lsn, backup, at and restore_point.")));
	if (!PG_ARGISNULL(5))
	{
		pin.expires = true;
		pin.expires_us = time_argument(fcinfo, 5);
	}
	pin.created_us = walarch_now_unix_us();
	strlcpy(pin.by, GetUserNameFromId(GetUserId(), false), sizeof(pin.by));
	for (char *c = pin.by; *c != '\0'; c++)
		if (*c == '\n' || *c == '\r')
			*c = ' ';

	state = walarch_inquiry_state(sizeof(*state));
	state->pin = pin;
	state->at_us = at_us;
	walarch_inquire(make_pin, state, release_pin);
	keep_from = state->pin.keep_from;
	release_pin(state);
	PG_RETURN_LSN(keep_from);
}

Datum
walarch_unpin(PG_FUNCTION_ARGS)
{
	const char *name = name_argument(fcinfo);
	PinState   *state = walarch_inquiry_state(sizeof(*state));

	strlcpy(state->pin.name, name, sizeof(state->pin.name));
	walarch_inquire(remove_pin, state, release_pin);
	release_pin(state);
	PG_RETURN_VOID();
}

Datum
walarch_pins(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	int64		now = walarch_now_unix_us();
	PinState   *state;

	InitMaterializedSRF(fcinfo, 0);
	state = walarch_inquiry_state(sizeof(*state));
	walarch_inquire(list_pins, state, release_pin);
	PG_TRY();
	{
		for (size_t i = 0; i < state->pins_count; i++)
		{
			const WaPin *pin = &state->pins[i];
			Row			row = {0};

			walarch_put_text(&row, pin->name);
			walarch_put_text(&row, wa_pin_kind_name(pin->kind));
			walarch_put_text(&row, pin->value);
			walarch_put(&row, LSNGetDatum(pin->keep_from));
			walarch_put_time(&row, true, pin->created_us);
			walarch_put_time(&row, pin->expires, pin->expires_us);
			walarch_put_bool(&row, pin->expires && pin->expires_us <= now);
			walarch_put_text(&row, pin->by);
			walarch_emit(result, &row);
		}
	}
	PG_FINALLY();
	{
		release_pin(state);
	}
	PG_END_TRY();
	return (Datum) 0;
}
