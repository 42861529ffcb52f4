/*
 * list_draw.c
 *	  The timelines of an archive as bars, one above the other.
 */
#include "cli/list.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define WIDTH_USUAL	78
#define WIDTH_MIN	40
#define WIDTH_MAX	200
#define INDENT		6

typedef struct Canvas
{
	uint64_t	first;			/* segment numbers at the edges */
	uint64_t	last;
	int			columns;
} Canvas;

static int
terminal_columns(void)
{
	struct winsize size;
	int			columns = WIDTH_USUAL;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
		columns = size.ws_col;
	if (columns < WIDTH_MIN)
		columns = WIDTH_MIN;
	return columns > WIDTH_MAX ? WIDTH_MAX : columns;
}

static int
column_of(const Canvas *canvas, uint64_t segno)
{
	uint64_t	count = canvas->last - canvas->first + 1;

	return (int) ((double) (segno - canvas->first) * canvas->columns /
				  (double) count);
}

static void
fill_columns(const Canvas *canvas, char *bar, uint64_t first, uint64_t last,
			 char what)
{
	int			from = column_of(canvas, first);
	int			to = column_of(canvas, last + 1);

	bar[from] = what;			/* however small it is */
	for (int i = from + 1; i < to && i < canvas->columns; i++)
		bar[i] = what;
}

static bool
measure(const WaCatalogue *catalogue, Canvas *canvas)
{
	bool		any = false;

	for (size_t i = 0; i < catalogue->timelines_count; i++)
	{
		const WaTimeline *timeline = &catalogue->timelines[i];

		if (timeline->ranges_count == 0)
			continue;
		if (!any || timeline->ranges[0].first < canvas->first)
			canvas->first = timeline->ranges[0].first;
		if (!any ||
			timeline->ranges[timeline->ranges_count - 1].last > canvas->last)
			canvas->last = timeline->ranges[timeline->ranges_count - 1].last;
		any = true;
	}
	return any;
}

void
wa_list_draw(const WaCatalogue *catalogue, const WaGap *gaps,
			 size_t gaps_count)
{
	Canvas		canvas = {.columns = terminal_columns() - INDENT - 2};
	bool		backups = false;

	if (!measure(catalogue, &canvas))
		return;
	printf("\n");
	for (size_t i = 0; i < catalogue->timelines_count; i++)
	{
		const WaTimeline *timeline = &catalogue->timelines[i];
		char		bar[WIDTH_MAX + 1];

		memset(bar, ' ', sizeof(bar));
		for (size_t j = 0; j < timeline->ranges_count; j++)
			fill_columns(&canvas, bar, timeline->ranges[j].first,
						 timeline->ranges[j].last, '=');
		for (size_t j = 0; j < catalogue->backups_count; j++)
		{
			const WaBackup *backup = &catalogue->backups[j];

			if (backup->tli == timeline->tli &&
				backup->start_segno >= canvas.first &&
				backup->start_segno <= canvas.last)
			{
				bar[column_of(&canvas, backup->start_segno)] = 'B';
				backups = true;
			}
		}
		/* last, so that not even a small one is hidden */
		for (size_t j = 0; j < gaps_count; j++)
			if (gaps[j].tli == timeline->tli)
				fill_columns(&canvas, bar, gaps[j].first, gaps[j].last, 'x');
		printf("%4" PRIu32 " |%.*s|\n", timeline->tli, canvas.columns, bar);
	}
	printf("%*s= archived%s%s\n", INDENT, "",
		   backups ? "   B a backup begins" : "",
		   gaps_count > 0 ? "   x missing" : "");
}
