/*
 * progress.c
 *	  How far long work has come, on stderr, when that is a terminal.
 */
#include "cli/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

#define EVERY_MS	250
#define BAR			30

static uint64_t begun_ms;
static uint64_t begun_bytes;
static uint64_t drawn_ms;
static bool drawn;

void
wa_progress_show(uint64_t done_bytes, uint64_t total_bytes)
{
	uint64_t	now = wa_cli_now_ms();
	double		part = total_bytes > 0 ?
		(double) done_bytes / (double) total_bytes : 1;
	double		rate = 0;
	char		bar[BAR + 1];
	char		left[32] = "";

	if (!isatty(STDERR_FILENO) || (drawn_ms != 0 && now - drawn_ms < EVERY_MS))
		return;
	if (begun_ms == 0)
	{
		begun_ms = now;
		begun_bytes = done_bytes;
	}
	drawn_ms = now;
	drawn = true;
	if (part > 1)
		part = 1;
	memset(bar, ' ', BAR);
	memset(bar, '=', (size_t) (part * BAR));
	bar[BAR] = '\0';
	if (now > begun_ms)
		rate = (double) (done_bytes - begun_bytes) * 1000 /
			(double) (now - begun_ms);
	if (rate > 0 && total_bytes > done_bytes)
		snprintf(left, sizeof(left), ", %.0f s left",
				 (double) (total_bytes - done_bytes) / rate);
	fprintf(stderr, "\r[%s] %3.0f %%  %" PRIu64 " of %" PRIu64 " MB, %.0f MB/s%s  ",
			bar, part * 100, done_bytes >> 20, total_bytes >> 20,
			rate / (1 << 20), left);
	fflush(stderr);
}

void
wa_progress_wipe(void)
{
	if (drawn)
		fprintf(stderr, "\r%78s\r", "");
	drawn = false;
	drawn_ms = 0;
}
