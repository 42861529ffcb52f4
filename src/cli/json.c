/*
 * json.c
 *	  JSON, one member after the other.
 */
#include "cli/json.h"

#include <inttypes.h>
#include <stdio.h>

#include "cli/cli.h"
#include "core/lsn.h"
#include "core/utf8.h"

#define DEPTH_MAX	8

static struct
{
	bool		array;
	bool		empty;
}			open_parts[DEPTH_MAX];
static int	depth;
static FILE *to;

static void
new_line(void)
{
	fprintf(to, "\n%*s", 2 * depth, "");
}

static void
begin_member(const char *name)
{
	if (depth == 0)
		return;
	if (!open_parts[depth - 1].empty)
		fputc(',', to);
	open_parts[depth - 1].empty = false;
	new_line();
	if (name != NULL)
		fprintf(to, "\"%s\": ", name);
}

static void
open_part(const char *name, bool array)
{
	if (to == NULL)
		to = stdout;
	begin_member(name);
	fputc(array ? '[' : '{', to);
	open_parts[depth].array = array;
	open_parts[depth].empty = true;
	depth++;
}

void
wa_json_to(FILE *file)
{
	to = file;
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
	fputc(open_parts[depth].array ? ']' : '}', to);
	if (depth == 0)
		fputc('\n', to);
}

void
wa_json_string(const char *name, const char *text)
{
	begin_member(name);
	if (text == NULL || text[0] == '\0')
	{
		fputs("null", to);
		return;
	}
	fputc('"', to);
	while (*text != '\0')
	{
		unsigned char c = (unsigned char) *text;
		size_t		length = wa_utf8_character(text);

		if (c == '"' || c == '\\')
			fprintf(to, "\\%c", c);
		else if (length > 0)
			fwrite(text, 1, length, to);
		else
			fprintf(to, "\\u%04x", c < 0x80 ? c : 0xFFFD);
		text += length > 0 ? length : 1;
	}
	fputc('"', to);
}

void
wa_json_number(const char *name, int64_t value)
{
	begin_member(name);
	fprintf(to, "%" PRId64, value);
}

void
wa_json_bool(const char *name, bool value)
{
	begin_member(name);
	fputs(value ? "true" : "false", to);
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
