/*
 * bench.c
 *	  Buffers and contexts of one worker, reused from file to file.
 */
#include "archive/bench.h"

#include <stdlib.h>

WaBench *
wa_bench_open(void)
{
	WaBench    *bench = calloc(1, sizeof(*bench));

	if (bench != NULL && (bench->zstd = wa_zstd_open()) == NULL)
	{
		free(bench);
		return NULL;
	}
	return bench;
}

void
wa_bench_close(void *bench_arg)
{
	WaBench    *bench = bench_arg;

	if (bench == NULL)
		return;
	wa_zstd_close(bench->zstd);
	free(bench->raw);
	free(bench->frame);
	free(bench);
}

static bool
grow(unsigned char **buffer, size_t *capacity, size_t wanted)
{
	if (*capacity >= wanted)
		return true;
	free(*buffer);
	*capacity = 0;
	*buffer = malloc(wanted);
	if (*buffer == NULL)
		return false;
	*capacity = wanted;
	return true;
}

bool
wa_bench_raw(WaBench *bench, size_t bytes)
{
	return grow(&bench->raw, &bench->raw_capacity, bytes);
}

bool
wa_bench_frame(WaBench *bench, size_t bytes)
{
	return grow(&bench->frame, &bench->frame_capacity, bytes);
}
