/*
 * json.c
 *	  JSON on stdout, one member after the other.
 */
#include "cli/json.h"

#include <inttypes.h>
#include <stdio.h>

#include "cli/cli.h"
#include "cli/text.h"
#include "core/lsn.h"

#define DEPTH_MAX	8

static struct
{
	bool		array;
	bool		empty;
}			open_parts[DEPTH_MAX];
static int	depth;

static void
new_line(void)
{
	printf("\n%*s", 2 * depth, "");
}

static void
begin_member(const char *name)
{
	if (depth == 0)
		return;
	if (!open_parts[depth - 1].empty)
		putchar(',');
	open_parts[depth - 1].empty = false;
	new_line();
	if (name != NULL)
		printf("\"%s\": ", name);
}

static void
open_part(const char *name, bool array)
{
	begin_member(name);
	putchar(array ? '[' : '{');
	open_parts[depth].array = array;
	open_parts[depth].empty = true;
	depth++;
}

void
wa_json_object(const char *name)
{
	open_part(name, false);
}

void
wa_json_array(const char *name)
{
	open_part(name, true);
}

void
wa_json_end(void)
{
	depth--;
	if (!open_parts[depth].empty)
		new_line();
	putchar(open_parts[depth].array ? ']' : '}');
	if (depth == 0)
		putchar('\n');
}

void
wa_json_string(const char *name, const char *text)
{
	begin_member(name);
	if (text == NULL || text[0] == '\0')
	{
		fputs("null", stdout);
		return;
	}
	putchar('"');
	while (*text != '\0')
	{
		unsigned char c = (unsigned char) *text;
		size_t		length = wa_text_character(text);

		if (c == '"' || c == '\\')
			printf("\\%c", c);
		else if (length > 0)
			fwrite(text, 1, length, stdout);
		else
			printf("\\u%04x", c < 0x80 ? c : 0xFFFD);
		text += length > 0 ? length : 1;
	}
	putchar('"');
}

void
wa_json_number(const char *name, int64_t value)
{
	begin_member(name);
	printf("%" PRId64, value);
}

void
wa_json_bool(const char *name, bool value)
{
	begin_member(name);
	fputs(value ? "true" : "false", stdout);
}

void
wa_json_lsn(const char *name, uint64_t lsn)
{
	char		text[WA_LSN_TEXT_BYTES];

	if (lsn != 0)
		snprintf(text, sizeof(text), WA_LSN_FORMAT, WA_LSN_ARGS(lsn));
	wa_json_string(name, lsn != 0 ? text : NULL);
}

void
wa_json_time(const char *name, bool known, int64_t unix_us)
{
	char		text[WA_TIME_TEXT_BYTES];

	wa_json_string(name, known ?
				   wa_cli_time_text(unix_us, true, text) : NULL);
}
