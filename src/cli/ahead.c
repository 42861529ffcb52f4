/*
 * ahead.c
 *	  Segments fetched ahead, from the side of `walarch get`.
 *
 * All of this is an attempt: whatever is missing or wrong, the file is
 * fetched from the archive, as if there were no spool.
 */
#include "cli/ahead.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/detach.h"

#define WINDOW_DEFAULT			8
#define WINDOW_BYTES_DEFAULT	(UINT32_C(128) << 20)

static int
window_of(const WaGetOptions *options, uint32_t segment_bytes)
{
	uint32_t	fit = WINDOW_BYTES_DEFAULT / segment_bytes;

	if (options->prefetch != WA_GET_PREFETCH_DEFAULT)
		return options->prefetch;
	return fit < 1 ? 1 : fit < WINDOW_DEFAULT ? (int) fit : WINDOW_DEFAULT;
}

/* Whatever decides what is in the spool, or how much of it. */
static void
make_key(const WaAhead *ahead, const WaPostmaster *postmaster, char *key)
{
	const WaGetOptions *options = ahead->options;
	const char *words[WA_GET_ALSO_MAX + 3];
	char		window[16];
	int			count = 0;

	snprintf(window, sizeof(window), "%d", ahead->window);
	words[count++] = window;
	words[count++] = options->until_given ? options->until.text : "";
	words[count++] = options->archive;
	for (int i = 0; i < options->also_count; i++)
		words[count++] = options->also[i];
	wa_spool_key(postmaster, ahead->control.system_identifier, words, count,
				 key);
}

static bool
in_recovery(void)
{
	return access("standby.signal", F_OK) == 0 ||
		access("recovery.signal", F_OK) == 0;
}

bool
wa_ahead_find(const WaGetOptions *options, WaAhead *ahead)
{
	char		directory[WA_DELIVERY_PATH_BYTES];
	const char *base = wa_get_split(options->destination, directory,
									sizeof(directory));
	WaError		ignored;

	memset(ahead, 0, sizeof(*ahead));
	ahead->options = options;
	if (options->prefetch == 0 || strcmp(base, "RECOVERYXLOG") != 0 ||
		wa_walname_parse(options->file, &ahead->name, &ignored) != WA_OK ||
		ahead->name.kind != WA_KIND_SEGMENT || !in_recovery() ||
		!wa_postmaster_read(&ahead->postmaster))
		return false;

	/*
	 * A postmaster that is process 1 becomes the prefetcher's parent, and
	 * takes it for one of its own if it is killed: only by request.
	 */
	if (ahead->postmaster.pid == 1 &&
		options->prefetch == WA_GET_PREFETCH_DEFAULT)
		return false;
	if (wa_cli_control(".", &ahead->control, &ignored) != WA_OK ||
		!ahead->control.known ||
		wa_walname_segno(&ahead->name, ahead->control.segment_bytes,
						 &ahead->segno, &ignored) != WA_OK)
		return false;
	ahead->window = window_of(options, ahead->control.segment_bytes);
	if (!options->until_given ||
		wa_walname_segno(&options->until, ahead->control.segment_bytes,
						 &ahead->last, &ignored) != WA_OK)
		ahead->last = UINT64_MAX;
	make_key(ahead, &ahead->postmaster, ahead->key);
	if (!wa_spool_place(options->spool, directory, ahead->place,
						&ahead->why_not))
		ahead->place[0] = '\0';
	ahead->useful = true;
	return true;
}

bool
wa_ahead_goes_on(const WaAhead *ahead)
{
	WaPostmaster postmaster;
	char		key[WA_SPOOL_KEY_BYTES];

	if (!in_recovery() || !wa_postmaster_read(&postmaster))
		return false;
	make_key(ahead, &postmaster, key);
	return strcmp(key, ahead->key) == 0;
}

static bool
take(WaAhead *ahead, const WaSpool *spool, const WaFetchConfig *config)
{
	WaWalExpect expect = {
		.name = &ahead->name,
		.system_identifier = ahead->control.system_identifier,
		.segment_bytes = ahead->control.segment_bytes
	};
	WaDestination destination = {
		.path = ahead->options->destination,
		.mode = config->mode,
		.still_wanted = config->still_wanted
	};
	WaSpoolTake taken = wa_spool_take(spool, &expect, &destination);

	if (taken == WA_SPOOL_MISSING &&
		wa_spool_wait(spool, &ahead->name, ahead->control.segment_bytes))
		taken = wa_spool_take(spool, &expect, &destination);
	if (taken == WA_SPOOL_ELSEWHERE)
		ahead->useless = true;
	return taken == WA_SPOOL_TAKEN;
}

bool
wa_ahead_deliver(WaAhead *ahead, WaFetchConfig *config)
{
	bool		delivered = false;
	bool		direct;
	WaSpool		spool;

	config->control = &ahead->control;
	direct = wa_fetch_direct(config, &ahead->name);
	config->control = NULL;

	/* not before each file, but whenever recovery begins somewhere */
	if (ahead->why_not != NULL && !direct)
		fprintf(stderr, "walarch get: \"%s\" cannot be the spool, and nothing "
				"is fetched ahead: %s\n", ahead->options->spool,
				ahead->why_not);
	if (ahead->place[0] == '\0' ||
		!wa_spool_open(ahead->place, ahead->key, &spool))
		return false;
	if (direct)
		delivered = take(ahead, &spool, config);
	ahead->kept = wa_spool_ask(&spool, ahead->useless ? WA_SPOOL_USELESS :
							   ahead->name.text);
	wa_spool_close(&spool);
	return delivered;
}

void
wa_ahead_start(const WaAhead *ahead)
{
	if (ahead->useful && ahead->place[0] != '\0' && !ahead->kept &&
		!ahead->useless && ahead->segno < ahead->last)
		wa_detach("prefetch");
}
