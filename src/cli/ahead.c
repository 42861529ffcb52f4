/*
 * ahead.c
 *	  Segments fetched ahead, from the side of `walarch get`.
 *
 * All of this is an attempt: whatever is missing or wrong, the file is
 * fetched from the archive, as if nothing had been fetched ahead.
 */
#include "cli/ahead.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "archive/unnamed.h"
#include "cli/cli.h"
#include "cli/detach.h"

#define WINDOW_DEFAULT			8
#define WINDOW_BYTES_DEFAULT	(UINT32_C(128) << 20)
#define PATIENCE_MS				1000	/* for one that is being fetched */

static int
window_of(const WaGetOptions *options, uint32_t segment_bytes)
{
	uint32_t	fit = WINDOW_BYTES_DEFAULT / segment_bytes;

	if (options->prefetch != WA_GET_PREFETCH_DEFAULT)
		return options->prefetch;
	return fit < 1 ? 1 : fit < WINDOW_DEFAULT ? (int) fit : WINDOW_DEFAULT;
}

/* Whatever decides what is fetched, where to, and how much of it. */
static bool
make_key(const WaAhead *ahead, const WaPostmaster *postmaster, char *key)
{
	const WaGetOptions *options = ahead->options;
	const char *words[WA_GET_ALSO_MAX + 4];
	char		window[16];
	int			count = 0;

	snprintf(window, sizeof(window), "%d", ahead->window);
	words[count++] = window;
	words[count++] = options->until_given ? options->until.text : "";
	words[count++] = options->spool != NULL ? options->spool : "";
	words[count++] = options->archive;
	for (int i = 0; i < options->also_count; i++)
		words[count++] = options->also[i];
	return wa_handover_key(postmaster, ahead->control.system_identifier, words,
						   count, key);
}

static bool
in_recovery(int dir_fd)
{
	return faccessat(dir_fd, "standby.signal", F_OK, 0) == 0 ||
		faccessat(dir_fd, "recovery.signal", F_OK, 0) == 0;
}

bool
wa_ahead_find(const WaGetOptions *options, WaAhead *ahead)
{
	const char *base;
	WaError		ignored;

	memset(ahead, 0, sizeof(*ahead));
	base = wa_get_split(options->destination, ahead->directory,
						sizeof(ahead->directory));
	ahead->options = options;
	if (options->prefetch == 0 || strcmp(base, "RECOVERYXLOG") != 0 ||
		wa_walname_parse(options->file, &ahead->name, &ignored) != WA_OK ||
		ahead->name.kind != WA_KIND_SEGMENT ||
		!in_recovery(AT_FDCWD) ||
		!wa_postmaster_read(AT_FDCWD, &ahead->postmaster))
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
	ahead->useful = make_key(ahead, &ahead->postmaster, ahead->key);
	return ahead->useful;
}

bool
wa_ahead_goes_on(const WaAhead *ahead, int datadir_fd)
{
	WaPostmaster postmaster;
	char		key[WA_HANDOVER_KEY_BYTES];

	return in_recovery(datadir_fd) &&
		wa_postmaster_read(datadir_fd, &postmaster) &&
		make_key(ahead, &postmaster, key) && strcmp(key, ahead->key) == 0;
}

const char *
wa_ahead_directory(const WaAhead *ahead)
{
	return ahead->options->spool != NULL ?
		ahead->options->spool : ahead->directory;
}

static bool
take(WaAhead *ahead, const WaFetchConfig *config)
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
	bool		delivered;
	int			fd;

	ahead->kept = wa_handover_take(ahead->key, &ahead->name, PATIENCE_MS, &fd);
	if (fd < 0)
		return false;
	delivered = wa_unnamed_deliver(fd, &expect, &destination);
	close(fd);
	return delivered;
}

bool
wa_ahead_deliver(WaAhead *ahead, WaFetchConfig *config)
{
	config->control = &ahead->control;
	ahead->direct = wa_fetch_direct(config, &ahead->name);
	config->control = NULL;
	if (ahead->direct)
		return take(ahead, config);
	ahead->kept = wa_handover_tell(ahead->key, &ahead->name);
	return false;
}

void
wa_ahead_start(const WaAhead *ahead)
{
	const WaGetOptions *options = ahead->options;
	const char *why;

	if (!ahead->useful || ahead->kept || ahead->segno >= ahead->last)
		return;
	if (wa_unnamed_serves(wa_ahead_directory(ahead), ahead->directory, &why))
		wa_detach("prefetch");

	/* who asked for it is told, not with each file, but where recovery begins */
	else if (!ahead->direct && (options->spool != NULL ||
								options->prefetch != WA_GET_PREFETCH_DEFAULT))
		fprintf(stderr, "walarch get: nothing is fetched ahead, because "
				"\"%s\" cannot hold it: %s\n", wa_ahead_directory(ahead), why);
}
