/*
 * pin.c
 *	  Pins: what is accepted holds the same LSN when written again.
 */
#include "core/pin.h"

#include "fuzz.h"

/* libFuzzer: -max_len=1100 */

/* Times that four digits of a year can tell. */
static bool
time_writable(int64_t time_us)
{
	return time_us >= 0 && time_us < INT64_C(253402300800) * 1000000;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char	   *text = fuzz_text(data, size);
	char		buffer[WA_PIN_TEXT_BYTES];
	WaPin		pin;
	WaPin		again;
	WaError		err;
	size_t		length;

	if (wa_pin_parse(text, size, "name", &pin, &err) == WA_OK)
	{
		hold(wa_pin_kind_name(pin.kind) != NULL);
		length = wa_pin_format(&pin, buffer);
		hold(length < sizeof(buffer));
		if (time_writable(pin.created_us) && time_writable(pin.expires_us))
		{
			hold(wa_pin_parse(buffer, length, "name", &again, &err) == WA_OK);
			hold(again.keep_from == pin.keep_from && again.kind == pin.kind);
			hold(strcmp(again.value, pin.value) == 0);
			hold(strcmp(again.by, pin.by) == 0);
			hold(again.created_us == pin.created_us);
			hold(again.expires == pin.expires &&
				 again.expires_us == pin.expires_us);
		}
	}
	(void) wa_pin_parse("", 0, text, &pin, &err);
	free(text);
	return 0;
}
