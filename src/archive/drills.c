/*
 * drills.c
 *	  The reports of drills, below drills/.
 */
#include "archive/drills.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "archive/layout.h"
#include "core/array.h"

#define HEAD_BYTES	200			/* the first lines are in them */
#define CLOCK_US	(INT64_C(3600) * 1000000)	/* by which clocks may differ */
#define QUARTER_US	(INT64_C(92) * 86400 * 1000000)

void
wa_drill_name(int64_t begun_us, int n, char *name)
{
	time_t		seconds = (time_t) (begun_us / 1000000);
	struct tm	parts;

	if (gmtime_r(&seconds, &parts) == NULL ||
		strftime(name, WA_DRILL_NAME_BYTES, "%Y%m%dT%H%M%SZ", &parts) == 0)
		snprintf(name, WA_DRILL_NAME_BYTES, "unknown"); /* not reached: as in keyvalue.c */
	if (n > 1)
		snprintf(name + strlen(name), WA_DRILL_NAME_BYTES - strlen(name), "-%d",
				 n);
}

WaCode
wa_drills_put(WaStore *store, const char *name, const char *extension,
			  const void *data, size_t length, WaError *err)
{
	char		key[WA_KEY_BYTES];

	snprintf(key, sizeof(key), WA_PREFIX_DRILLS "/%.24s.%.4s", name,
			 extension);
	return wa_store_put(store, key, data, length, err);
}

/* ---- reading them again ----------------------------------------------------- */

typedef struct Names
{
	size_t		count;
	char	  (*names)[WA_DRILL_NAME_BYTES];
} Names;

/*
 * Anybody may have put a file there: sscanf takes blanks and signs for
 * numbers, and no store takes them for a key.
 */
static bool
parse_name(const char *name, int64_t *us)
{
	static const char digits[] = "0123456789";
	struct tm	parts = {0};
	const char *rest;

	if (strlen(name) >= WA_DRILL_NAME_BYTES || strspn(name, digits) != 8 ||
		name[8] != 'T' || strspn(name + 9, digits) != 6 || name[15] != 'Z' ||
		sscanf(name, "%4d%2d%2dT%2d%2d%2d", &parts.tm_year, &parts.tm_mon,
			   &parts.tm_mday, &parts.tm_hour, &parts.tm_min,
			   &parts.tm_sec) != 6)
		return false;
	/* the n-th of that second */
	rest = name + 16;
	if (*rest == '-')
		rest += 1 + strspn(rest + 1, "0123456789");
	if (strcmp(rest, ".txt") != 0)
		return false;
	parts.tm_year -= 1900;
	parts.tm_mon -= 1;
	*us = (int64_t) timegm(&parts) * 1000000;
	return true;
}

static WaCode
take_name(void *arg, const char *name, bool is_prefix, WaError *err)
{
	Names	   *self = arg;
	int64_t		ignored;
	void	   *larger;

	if (is_prefix || !parse_name(name, &ignored))
		return WA_OK;
	larger = wa_array_room(self->names, self->count, WA_DRILL_NAME_BYTES);
	if (larger == NULL)
		return wa_fail(err, WA_NO_MEMORY, "out of memory");
	self->names = larger;
	snprintf(self->names[self->count++], WA_DRILL_NAME_BYTES, "%s", name);
	return WA_OK;
}

static WaCode
look_at(WaStore *store, const char *name, WaDrillsSeen *seen, WaError *err)
{
	char		key[WA_KEY_BYTES];
	char		head[HEAD_BYTES + 1];
	WaBufferSink buffer;
	bool		passed;
	int64_t		us = 0;
	WaCode		code;

	snprintf(key, sizeof(key), WA_PREFIX_DRILLS "/%.31s", name);
	code = wa_store_get(store, key, NULL, 0, HEAD_BYTES,
						wa_sink_buffer(&buffer, head, HEAD_BYTES, key), err);
	if (code == WA_NOT_FOUND)
		return WA_OK;
	/* it must not hide the others */
	if (code == WA_IO || code == WA_INVALID)
		seen->unreadable++;
	if (code != WA_OK)
		return code == WA_CANCELLED ? code : WA_OK;
	head[buffer.length] = '\0';
	passed = strncmp(head, "walarch-drill: 1\nresult: passed\n", 32) == 0;
	if (!passed && strncmp(head, "walarch-drill: 1\nresult: FAILED\n", 32) != 0)
		return WA_OK;
	if (!parse_name(name, &us) || us > seen->now_us + CLOCK_US)
		return WA_OK;
	seen->count++;
	if (us >= seen->last_us)
	{
		seen->last_us = us;
		seen->last_passed = passed;
	}
	if (passed && us >= seen->passed_us)
	{
		seen->any_passed = true;
		seen->passed_us = us;
	}
	return WA_OK;
}

WaCode
wa_drills_look(WaStore *store, int64_t now_us, WaDrillsSeen *seen,
			   WaError *err)
{
	Names		names = {0};
	WaCode		code = wa_store_list(store, WA_PREFIX_DRILLS, take_name, &names,
									 err);

	memset(seen, 0, sizeof(*seen));
	seen->now_us = now_us;
	for (size_t i = 0; i < names.count && code == WA_OK; i++)
		code = look_at(store, names.names[i], seen, err);
	free(names.names);
	return code;
}

bool
wa_drills_fine(const WaDrillsSeen *seen)
{
	return seen->count > 0 && seen->last_passed &&
		seen->now_us - seen->passed_us <= QUARTER_US;
}

const char *
wa_drills_text(const WaDrillsSeen *seen, char *text)
{
	int64_t		age_s = (seen->now_us - seen->passed_us) / 1000000;
	char		age[40];

	if (age_s < 2 * 86400)
		snprintf(age, sizeof(age), "%lld h ago",
				 (long long) (age_s > 0 ? age_s : 0) / 3600);
	else
		snprintf(age, sizeof(age), "%lld days ago", (long long) age_s / 86400);
	text[0] = '\0';
	if (seen->count == 0 && seen->unreadable > 0)
		snprintf(text, WA_DRILLS_TEXT_BYTES, "%llu reports, and none can be "
				 "read", (unsigned long long) seen->unreadable);
	else if (seen->count == 0)
		return text;
	else if (!seen->any_passed)
		snprintf(text, WA_DRILLS_TEXT_BYTES, "none of %llu has passed",
				 (unsigned long long) seen->count);
	else if (seen->last_passed)
		snprintf(text, WA_DRILLS_TEXT_BYTES, "passed, %s", age);
	else
		snprintf(text, WA_DRILLS_TEXT_BYTES, "the last one failed; the last "
				 "that passed was %s", age);
	return text;
}
