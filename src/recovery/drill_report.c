/*
 * drill_report.c
 *	  The report of a drill: text, JSON, and a page with a picture.
 */
#include "recovery/drill.h"

#include <inttypes.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/json.h"
#include "cli/text.h"
#include "core/lsn.h"
#include "core/utf8.h"

static const char *const results[] = {
	[WA_CHECK_PASSED] = "passed",
	[WA_CHECK_FAILED] = "FAILED",
	[WA_CHECK_SKIPPED] = "skipped"
};

typedef struct Part
{
	const char *name;
	int64_t		ms;
	const char *color;
} Part;

#define PARTS	4

static void
parts_of(const WaDrill *drill, Part *parts)
{
	parts[0] = (Part) {"choose", drill->choose_ms, "#8da0cb"};
	parts[1] = (Part) {"copy", drill->copy_ms, "#66c2a5"};
	parts[2] = (Part) {"replay", drill->replay_ms, "#fc8d62"};
	parts[3] = (Part) {"open", drill->open_ms, "#e78ac3"};
}

/* -1: it did not come to the end. */
static int64_t
recovery_ms(const WaDrill *drill)
{
	Part		parts[PARTS];
	int64_t		sum = 0;

	parts_of(drill, parts);
	for (int i = 0; i < PARTS; i++)
	{
		if (parts[i].ms < 0)
			return -1;
		sum += parts[i].ms;
	}
	return sum;
}

/*
 * How long before the drill the last transaction in the archive was; -1:
 * unknown, or it was not meant to come that far.
 */
static int64_t
behind_ms(const WaDrill *drill)
{
	if (!drill->latest || !drill->archived_known)
		return -1;
	return drill->archived_us < drill->begun_us ?
		(drill->begun_us - drill->archived_us) / 1000 : 0;
}

static bool
behind_bytes(const WaDrill *drill, uint64_t *bytes)
{
	*bytes = drill->primary_lsn > drill->archived_lsn ?
		drill->primary_lsn - drill->archived_lsn : 0;
	return drill->primary_known;
}

/* ---- text ------------------------------------------------------------------- */

static void
print_line(FILE *to, const char *name, const char *value)
{
	fprintf(to, "%s: ", name);
	wa_text_print(to, value);
	fprintf(to, "\n");
}

void
wa_drill_print_text(const WaDrill *drill, FILE *to)
{
	Part		parts[PARTS];
	char		text[WA_TIME_TEXT_BYTES];
	char		size[WA_SIZE_TEXT_BYTES];
	uint64_t	bytes;

	parts_of(drill, parts);
	/* these two are read again: archive/drills.c */
	fprintf(to, "walarch-drill: 1\nresult: %s\n",
			drill->passed ? "passed" : "FAILED");
	print_line(to, "archive", drill->archive);
	print_line(to, "begun", wa_cli_time_text(drill->begun_us, true, text));
	if (drill->backup_id[0] != '\0')
	{
		fprintf(to, "backup: %s, ended %s, PostgreSQL %" PRIu32 "\n",
				drill->backup_id, drill->backup_time,
				drill->server_version / 10000);
		print_line(to, "target", drill->target);
		fprintf(to, "timeline: %" PRIu32 "\nsegments: %" PRIu64
				"\nsize: %s\n", drill->tli, drill->segments,
				wa_text_of_size(drill->raw_bytes, size));
	}
	if (drill->preloads[0] != '\0')
		print_line(to, "not loaded", drill->preloads);

	fprintf(to, "\nRecovery time\n");
	for (int i = 0; i < PARTS; i++)
		if (parts[i].ms >= 0)
			fprintf(to, "  %-8s %9.1f s\n", parts[i].name,
					(double) parts[i].ms / 1000);
	if (recovery_ms(drill) >= 0)
		fprintf(to, "  %-8s %9.1f s\n", "RTO",
				(double) recovery_ms(drill) / 1000);
	else
		fprintf(to, "  it did not come to the end\n");

	fprintf(to, "\nRecovery point\n");
	if (drill->recovered_lsn != 0)
		fprintf(to, "  recovered to " WA_LSN_FORMAT "\n",
				WA_LSN_ARGS(drill->recovered_lsn));
	if (drill->commit_known)
		fprintf(to, "  last transaction %s\n",
				wa_cli_time_text(drill->commit_us, true, text));
	if (behind_ms(drill) >= 0)
		fprintf(to, "  when the drill began, the last transaction in the "
				"archive was %.1f s old (RPO, if the server is not idle)\n",
				(double) behind_ms(drill) / 1000);
	if (behind_bytes(drill, &bytes))
		fprintf(to, "  the archive was %s of WAL behind the primary, at "
				WA_LSN_FORMAT " (RPO)\n", wa_text_of_size(bytes, size),
				WA_LSN_ARGS(drill->primary_lsn));

	fprintf(to, "\nChecks\n");
	for (size_t i = 0; i < drill->checks_count; i++)
	{
		fprintf(to, "  %-8s %-16s ", results[drill->checks[i].result],
				drill->checks[i].name);
		wa_text_print(to, drill->checks[i].detail);
		fprintf(to, "\n");
	}
	fprintf(to, "\nThe drill %s.\n", drill->passed ? "passed" : "FAILED");
}

/* ---- JSON ------------------------------------------------------------------- */

void
wa_drill_print_json(const WaDrill *drill, FILE *to)
{
	Part		parts[PARTS];
	uint64_t	bytes;

	parts_of(drill, parts);
	wa_json_to(to);
	wa_json_object(NULL);
	wa_json_bool("passed", drill->passed);
	wa_json_string("archive", drill->archive);
	wa_json_time("begun", true, drill->begun_us);
	wa_json_string("backup_id", drill->backup_id);
	wa_json_string("target", drill->target);
	wa_json_number("timeline", drill->tli);
	wa_json_number("server_version", drill->server_version);
	wa_json_number("segments", (int64_t) drill->segments);
	wa_json_number("raw_bytes", (int64_t) drill->raw_bytes);
	wa_json_string("not_loaded", drill->preloads);
	wa_json_string("kept", drill->kept);
	wa_json_object("recovery_time_ms");
	for (int i = 0; i < PARTS; i++)
		if (parts[i].ms >= 0)
			wa_json_number(parts[i].name, parts[i].ms);
		else
			wa_json_string(parts[i].name, NULL);
	if (recovery_ms(drill) >= 0)
		wa_json_number("rto", recovery_ms(drill));
	else
		wa_json_string("rto", NULL);
	wa_json_end();
	wa_json_object("recovery_point");
	wa_json_lsn("lsn", drill->recovered_lsn);
	wa_json_time("last_transaction", drill->commit_known, drill->commit_us);
	if (behind_ms(drill) >= 0)
		wa_json_number("behind_ms", behind_ms(drill));
	else
		wa_json_string("behind_ms", NULL);
	wa_json_lsn("primary_lsn", drill->primary_known ? drill->primary_lsn : 0);
	if (behind_bytes(drill, &bytes))
		wa_json_number("behind_bytes", (int64_t) bytes);
	else
		wa_json_string("behind_bytes", NULL);
	wa_json_end();
	wa_json_array("checks");
	for (size_t i = 0; i < drill->checks_count; i++)
	{
		wa_json_object(NULL);
		wa_json_string("name", drill->checks[i].name);
		wa_json_string("result",
					   drill->checks[i].result == WA_CHECK_FAILED ? "failed" :
					   results[drill->checks[i].result]);
		wa_json_string("detail", drill->checks[i].detail);
		wa_json_end();
	}
	wa_json_end();
	wa_json_end();
	wa_json_to(NULL);
}

/* ---- a page ----------------------------------------------------------------- */

static void
print_escaped(FILE *to, const char *text)
{
	while (*text != '\0')
	{
		size_t		length = wa_utf8_character(text);

		if (*text == '<')
			fputs("&lt;", to);
		else if (*text == '>')
			fputs("&gt;", to);
		else if (*text == '&')
			fputs("&amp;", to);
		else if (*text == '"')
			fputs("&quot;", to);
		else if (length == 0)
			fputc('?', to);
		else
			fwrite(text, 1, length, to);
		text += length > 0 ? length : 1;
	}
}

static void
print_row(FILE *to, const char *name, const char *value)
{
	fprintf(to, "<tr><th>%s</th><td>", name);
	print_escaped(to, value);
	fprintf(to, "</td></tr>\n");
}

#define WIDTH	700

/* Where the time went, to scale. */
static void
draw_time(const WaDrill *drill, FILE *to)
{
	Part		parts[PARTS];
	int64_t		total = recovery_ms(drill);
	double		x = 0;

	if (total <= 0)
		return;
	parts_of(drill, parts);
	fprintf(to, "<svg width=\"%d\" height=\"70\" role=\"img\">\n", WIDTH);
	for (int i = 0; i < PARTS; i++)
	{
		double		width = (double) parts[i].ms * WIDTH / (double) total;

		fprintf(to, "<rect x=\"%.1f\" y=\"10\" width=\"%.1f\" height=\"30\" "
				"fill=\"%s\"><title>%s %.1f s</title></rect>\n", x, width,
				parts[i].color, parts[i].name, (double) parts[i].ms / 1000);
		if (width > 60)
			fprintf(to, "<text x=\"%.1f\" y=\"58\">%s %.1f s</text>\n", x,
					parts[i].name, (double) parts[i].ms / 1000);
		x += width;
	}
	fprintf(to, "</svg>\n");
}

/* The backup, the WAL behind it, and what is not in the archive. */
static void
draw_line(const WaDrill *drill, FILE *to)
{
	char		backup[WA_TIME_TEXT_BYTES];
	char		commit[WA_TIME_TEXT_BYTES];
	char		now[WA_TIME_TEXT_BYTES];
	int64_t		from;
	int64_t		end;
	double		at;

	if (!wa_backuphistory_time(drill->backup_time, &from) ||
		behind_ms(drill) < 0 || drill->begun_us <= from)
		return;
	end = drill->begun_us - behind_ms(drill) * 1000;
	at = end > from ? (double) (end - from) *
		(WIDTH - 20) / (double) (drill->begun_us - from) : 0;
	fprintf(to, "<svg width=\"%d\" height=\"90\" role=\"img\">\n"
			"<rect x=\"10\" y=\"30\" width=\"%.1f\" height=\"14\" "
			"fill=\"#66c2a5\"><title>recovered</title></rect>\n"
			"<rect x=\"%.1f\" y=\"30\" width=\"%.1f\" height=\"14\" "
			"fill=\"#d9534f\"><title>nothing of this was in the archive when the "
			"drill began</title></rect>\n",
			WIDTH, at, 10 + at, WIDTH - 20 - at);
	fprintf(to, "<text x=\"10\" y=\"22\">backup %s</text>\n"
			"<text x=\"%.1f\" y=\"62\" text-anchor=\"%s\">last transaction "
			"%s</text>\n"
			"<text x=\"%d\" y=\"82\" text-anchor=\"end\">drill %s</text>\n"
			"</svg>\n", wa_cli_time_text(from, true, backup), 10 + at,
			at > WIDTH / 2 ? "end" : "start",
			wa_cli_time_text(end, true, commit), WIDTH - 10,
			wa_cli_time_text(drill->begun_us, true, now));
}

void
wa_drill_print_html(const WaDrill *drill, FILE *to)
{
	char		text[200];
	char		time[WA_TIME_TEXT_BYTES];
	char		size[WA_SIZE_TEXT_BYTES];
	uint64_t	bytes;

	fprintf(to, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n"
			"<meta charset=\"utf-8\">\n<title>walarch drill</title>\n<style>\n"
			"body { font: 15px sans-serif; max-width: 760px; margin: 2em auto; }\n"
			"th { text-align: left; padding-right: 1.5em; font-weight: normal; "
			"color: #555; vertical-align: top; }\n"
			".passed { color: #2a7d4f; } .FAILED { color: #b02a2a; }\n"
			".skipped { color: #777; } svg text { font: 12px sans-serif; }\n"
			"</style>\n</head>\n<body>\n");
	fprintf(to, "<h1>Drill of %s: <span class=\"%s\">%s</span></h1>\n<table>\n",
			wa_cli_time_text(drill->begun_us, true, time),
			drill->passed ? "passed" : "FAILED",
			drill->passed ? "passed" : "FAILED");
	print_row(to, "Archive", drill->archive);
	if (drill->backup_id[0] != '\0')
	{
		print_row(to, "Backup", drill->backup_id);
		print_row(to, "Target", drill->target);
		snprintf(text, sizeof(text), "%" PRIu32, drill->tli);
		print_row(to, "Timeline", text);
		snprintf(text, sizeof(text), "%s, and %" PRIu64 " segments of WAL",
				 wa_text_of_size(drill->raw_bytes, size), drill->segments);
		print_row(to, "Size", text);
	}
	if (drill->preloads[0] != '\0')
		print_row(to, "Not loaded", drill->preloads);
	fprintf(to, "</table>\n<h2>Recovery time</h2>\n");
	if (recovery_ms(drill) >= 0)
		fprintf(to, "<p>%.1f s</p>\n", (double) recovery_ms(drill) / 1000);
	else
		fprintf(to, "<p>It did not come to the end.</p>\n");
	draw_time(drill, to);
	fprintf(to, "<h2>Recovery point</h2>\n<table>\n");
	snprintf(text, sizeof(text), WA_LSN_FORMAT,
			 WA_LSN_ARGS(drill->recovered_lsn));
	print_row(to, "Recovered to", drill->recovered_lsn != 0 ? text : "?");
	if (drill->commit_known)
		print_row(to, "Last transaction",
				  wa_cli_time_text(drill->commit_us, true, time));
	if (behind_ms(drill) >= 0)
	{
		snprintf(text, sizeof(text), "%.1f s old when the drill began",
				 (double) behind_ms(drill) / 1000);
		print_row(to, "The last one in the archive", text);
	}
	if (behind_bytes(drill, &bytes))
		print_row(to, "Behind the primary", wa_text_of_size(bytes, size));
	fprintf(to, "</table>\n");
	draw_line(drill, to);
	fprintf(to, "<h2>Checks</h2>\n<table>\n");
	for (size_t i = 0; i < drill->checks_count; i++)
	{
		const WaCheck *check = &drill->checks[i];

		fprintf(to, "<tr><td class=\"%s\">%s</td><th>%s</th><td>",
				results[check->result], results[check->result], check->name);
		print_escaped(to, check->detail);
		fprintf(to, "</td></tr>\n");
	}
	fprintf(to, "</table>\n</body>\n</html>\n");
}
