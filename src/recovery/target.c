/*
 * target.c
 *	  The options that say what to recover to.
 */
#include "recovery/target.h"

#include "cli/cli.h"
#include "cli/text.h"
#include "core/lsn.h"

static WaOptionTaken
take(WaTarget *target, bool *given, WaTargetKind kind, bool good)
{
	bool		second = *given;

	target->kind = kind;
	*given = true;
	return second ? WA_OPTION_SECOND : good ? WA_OPTION_GOOD : WA_OPTION_BAD;
}

WaOptionTaken
wa_target_option(WaTarget *target, bool *given, int letter,
				 const char *value)
{
	uint64_t	number = 0;
	bool		good;

	switch (letter)
	{
		case 'l':
			return take(target, given, WA_TARGET_LATEST, true);
		case 'i':
			return take(target, given, WA_TARGET_IMMEDIATE, true);
		case 't':
			return take(target, given, WA_TARGET_TIME,
						wa_cli_time_parse(value, &target->time_us));
		case 'L':
			return take(target, given, WA_TARGET_LSN,
						wa_lsn_parse_whole(value, &target->lsn));
		case 'n':
			target->name = value;
			return take(target, given, WA_TARGET_NAME, value[0] != '\0');
		case 'x':
			good = wa_text_number(value, 3, UINT32_MAX, &number);
			target->xid = (uint32_t) number;
			return take(target, given, WA_TARGET_XID, good);
		case 'T':
			good = wa_text_number(value, 1, UINT32_MAX, &number);
			target->tli = (uint32_t) number;
			return good ? WA_OPTION_GOOD : WA_OPTION_BAD;
		case 'b':
			target->backup = value;
			return WA_OPTION_GOOD;
		default:
			return WA_OPTION_OTHER;
	}
}

const char *
wa_target_explain(int letter)
{
	return letter != 't' ? "" : "; a local time that there was twice, or "
		"never, needs its zone, as in \"2026-10-25 02:30+02\"";
}
