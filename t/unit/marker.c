/*
 * marker.c
 *	  The marker of an archive: what is not known is ignored, what is
 *	  required and not known is refused, and no half of one is believed.
 */
#include "core/marker.h"

#include "fixture.h"
#include "tap.h"

#define ID "0123456789abcdef0123456789abcdef"
#define V "walarch-archive: 1\n"
#define S "system-identifier: 7234567890123456789\n"
#define I "archive-id: " ID "\n"
#define Z "segment-size: 16777216\n"

static const struct
{
	WaCode		code;
	const char *text;
	const char *what;
}			table[] = {
	{WA_OK, V S I Z, "as written"},
	{WA_OK, Z I S V, "in another order"},
	{WA_OK, V S I "segment-size: 16777216", "without the last line end"},
	{WA_OK, "walarch-archive: 1\r\nsystem-identifier: 7234567890123456789\r\n"
	"archive-id: " ID "\r\nsegment-size: 16777216\r\n", "other line ends"},
	{WA_OK, "walarch-archive:1\nsystem-identifier:\t7234567890123456789 \n"
	"archive-id:  " ID "\nsegment-size:16777216\n", "other blanks"},
	{WA_OK, V S I Z "note: kept by Anna\n", "an unknown key"},
	{WA_OK, "# a comment\n\n" V S I Z "no colon here\n", "lines of no form"},
	{WA_UNSUPPORTED, V S I Z "requires-encryption: yes\n",
	"an unknown requirement"},
	{WA_UNSUPPORTED, V "requires-x:\n" S I Z, "one without a value"},
	{WA_UNSUPPORTED, "walarch-archive: 2\n" S I Z, "a later version"},
	{WA_UNSUPPORTED, "walarch-archive: 2\nsystem-identifier: {x}\n",
	"a later version that writes its values otherwise"},
	{WA_DAMAGED, "", "nothing"},
	{WA_DAMAGED, "\n", "an empty line"},
	{WA_DAMAGED, S I Z, "no version"},
	{WA_DAMAGED, V I Z, "no system identifier"},
	{WA_DAMAGED, V S Z, "no archive id"},
	{WA_DAMAGED, V S I, "no segment size"},
	{WA_DAMAGED, "walarch-archive: 0\n" S I Z, "version 0"},
	{WA_DAMAGED, "walarch-archive: x\n" S I Z, "a version that is none"},
	{WA_DAMAGED, "walarch-archive: -1\n" S I Z, "a negative version"},
	{WA_DAMAGED, "walarch-archive: 1x\n" S I Z, "garbage behind a version"},
	{WA_DAMAGED, V "system-identifier: 0\n" I Z, "system identifier 0"},
	{WA_DAMAGED, V "system-identifier: \n" I Z, "an empty one"},
	{WA_DAMAGED, V "system-identifier: 18446744073709551616\n" I Z,
	"one beyond 64 bits"},
	{WA_DAMAGED, V "system-identifier: 0x12\n" I Z, "a hexadecimal one"},
	{WA_DAMAGED, V S I "segment-size: 0\n", "segment size 0"},
	{WA_DAMAGED, V S I "segment-size: 16777217\n", "an odd segment size"},
	{WA_DAMAGED, V S I "segment-size: 4311744512\n",
	"a segment size beyond 32 bits"},
	{WA_DAMAGED, V S "archive-id: 0123\n" Z, "a short archive id"},
	{WA_DAMAGED, V S "archive-id: " ID "0\n" Z, "a long one"},
	{WA_DAMAGED, V S "archive-id: 0123456789ABCDEF0123456789ABCDEF\n" Z,
	"one in upper case"},
	{WA_DAMAGED, V S "archive-id: ../3456789abcdef0123456789abcdef00\n" Z,
	"one with other characters"},
	{WA_DAMAGED, "walarch-archive : 1\n" S I Z, "a blank before the colon"},
};

int
main(void)
{
	WaMarker	marker = {SYSID, SEG_1MB, ID, false};
	WaMarker	back;
	WaError		err;
	char		text[WA_MARKER_BYTES_MAX];
	char		large[WA_MARKER_BYTES_MAX + 1];
	size_t		length = wa_marker_format(&marker, text);
	int			wrong = 0;

	is_int(length, strlen(text), "the length of the text");
	is_code(wa_marker_parse(text, length, "it", &back, &err), WA_OK, &err,
			"a marker comes back");
	is_int(back.system_identifier, SYSID, "system identifier");
	is_int(back.segment_bytes, SEG_1MB, "segment size");
	is_str(back.archive_id, ID, "archive id");
	marker.system_identifier = UINT64_MAX;
	length = wa_marker_format(&marker, text);
	is_code(wa_marker_parse(text, length, "it", &back, &err), WA_OK, &err,
			"the highest system identifier");
	is_int(back.system_identifier, UINT64_MAX, "its value");

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
	{
		err.message[0] = '\0';
		is_code(wa_marker_parse(table[i].text, strlen(table[i].text),
								"the file", &back, &err), table[i].code, &err,
				"%s", table[i].what);
		if (table[i].code != WA_OK && strstr(err.message, "the file") == NULL)
			ok(false, "the message names the file: %s", err.message);
	}

	/* but for the last line end */
	for (size_t cut = 0; cut + 1 < length; cut++)
	{
		WaCode		code = wa_marker_parse(text, cut, "it", &back, &err);

		if (code != WA_DAMAGED && wrong++ == 0)
			diag("truncated to %zu: %s", cut, wa_code_name(code));
	}
	is_int(wrong, 0, "truncated at every length: damage");

	memcpy(large, text, length);
	large[length] = '\0';
	is_code(wa_marker_parse(large, length + 1, "it", &back, &err), WA_DAMAGED,
			&err, "with a zero byte");
	memset(large + length, '\n', sizeof(large) - length);
	is_code(wa_marker_parse(large, sizeof(large) - 1, "it", &back, &err),
			WA_OK, &err, "as large as it may be");
	is_code(wa_marker_parse(large, sizeof(large), "it", &back, &err),
			WA_DAMAGED, &err, "larger");
	return done_testing();
}
