/*
 * text.c
 *	  Numbers, durations, sizes, LSNs, times and targets as people type them:
 *	  what is accepted is within its bounds, and comes back when written again.
 */
#include "cli/text.h"
#include "core/utf8.h"

#include <inttypes.h>

#include "cli/cli.h"
#include "core/lsn.h"
#include "core/digest.h"
#include "fuzz.h"
#include "recovery/target.h"

/* libFuzzer: -max_len=128 */

static void
check_lsn(const char *text)
{
	char		written[WA_LSN_TEXT_BYTES];
	uint64_t	lsn;
	uint64_t	again;
	size_t		length = wa_lsn_parse(text, &lsn);

	hold(length <= strlen(text) && length < WA_LSN_TEXT_BYTES);
	if (length == 0)
		return;
	snprintf(written, sizeof(written), WA_LSN_FORMAT, WA_LSN_ARGS(lsn));
	hold(wa_lsn_parse_whole(written, &again) && again == lsn);
}

static void
check_numbers(const char *text)
{
	char		size_text[WA_SIZE_TEXT_BYTES];
	char		written[32];
	uint64_t	value;
	uint64_t	again;
	int64_t		us;

	if (wa_text_number(text, 5, 1000000, &value))
	{
		hold(value >= 5 && value <= 1000000);
		snprintf(written, sizeof(written), "%" PRIu64, value);
		hold(wa_text_number(written, value, value, &again));
	}
	if (wa_text_duration(text, &us))
		hold(us >= 0 && us <= INT64_MAX / 8);
	if (wa_text_size(text, &value))
	{
		hold(value <= INT64_MAX);
		wa_text_of_size(value, size_text);
		hold(strlen(size_text) < WA_SIZE_TEXT_BYTES - 1);
	}
}

static void
check_time(const char *text)
{
	char		written[WA_TIME_TEXT_BYTES];
	int64_t		us;
	int64_t		again;

	if (!wa_cli_time_parse(text, &us))
		return;
	wa_cli_time_text(us, true, written);
	hold(strlen(written) < sizeof(written));
	if (us >= 0 && us < INT64_C(253402300800) * 1000000)
	{
		hold(wa_cli_time_parse(written, &again));
		hold(again == us - us % 1000000);
	}
}

static void
check_characters(const char *text)
{
	size_t		length = strlen(text);

	for (size_t at = 0; at < length; at++)
		hold(wa_utf8_character(text + at) <= length - at);
	hold(wa_utf8_character(text + length) == 0);
}

static void
check_targets(const char *text)
{
	static const char letters[] = "litLnxTb?";

	for (const char *letter = letters; *letter != '\0'; letter++)
	{
		WaTarget	target = {0};
		bool		given = false;
		WaOptionTaken taken = wa_target_option(&target, &given, *letter, text);

		hold((taken == WA_OPTION_OTHER) == (*letter == '?'));
		hold(wa_target_explain(*letter) != NULL);
		if (given)
			hold(wa_target_option(&target, &given, 'l', NULL) ==
				 WA_OPTION_SECOND);
		if (taken == WA_OPTION_GOOD && *letter == 'x')
			hold(target.xid >= 3);
		if (taken == WA_OPTION_GOOD && *letter == 'T')
			hold(target.tli >= 1);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char	   *text = fuzz_text(data, size);
	char		written[WA_DIGEST_TEXT_BYTES];
	WaDigest	digest;

	check_lsn(text);
	check_numbers(text);
	check_time(text);
	check_characters(text);
	check_targets(text);
	if (wa_digest_parse(text, &digest))
	{
		wa_digest_text(&digest, written);
		hold(strcmp(written, text) == 0);
	}
	free(text);
	return 0;
}
