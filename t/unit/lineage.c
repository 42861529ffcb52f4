/*
 * lineage.c
 *	  Which segments belong to which recovery, how far they reach, and what is
 *	  missing: only what lies between segments of one lineage.
 */
#include "archive/lineage.h"

#include "fixture.h"
#include "tap.h"

#define MB	(UINT64_C(1) << 20)

static WaCatalogue catalogue;
static WaTimeline timelines[8];
static WaRange ranges[8][16];
static WaHistoryEntry entries[8][8];
static WaBackup backups[8];

static void
fresh(void)
{
	memset(&catalogue, 0, sizeof(catalogue));
	memset(timelines, 0, sizeof(timelines));
	memset(backups, 0, sizeof(backups));
	catalogue.marker.segment_bytes = SEG_1MB;
	catalogue.timelines = timelines;
	catalogue.backups = backups;
}

/* A timeline with segments such as "1-5 7 9-12". */
static WaTimeline *
timeline(uint32_t tli, const char *segments)
{
	WaTimeline *self = &timelines[catalogue.timelines_count];

	self->tli = tli;
	self->history_known = true;
	self->ranges = ranges[catalogue.timelines_count];
	catalogue.timelines_count++;
	while (*segments != '\0')
	{
		WaRange    *range = &self->ranges[self->ranges_count++];
		char	   *end;

		range->first = strtoul(segments, &end, 10);
		range->last = *end == '-' ? strtoul(end + 1, &end, 10) : range->first;
		segments = *end == ' ' ? end + 1 : end;
	}
	return self;
}

/* It left `parent` at so many hundredths of a segment. */
static void
branch(WaTimeline *self, const WaTimeline *parent, unsigned hundredths)
{
	size_t		at = (size_t) (self - timelines);
	uint64_t	lsn = hundredths * MB / 100;
	uint32_t	count = parent->history.count > 0 ? parent->history.count : 1;

	if (parent->history.count > 0)
		memcpy(entries[at], parent->history.entries,
			   count * sizeof(WaHistoryEntry));
	else
	{
		entries[at][0].tli = parent->tli;
		entries[at][0].begin = 0;
	}
	entries[at][count - 1].end = lsn;
	entries[at][count].tli = self->tli;
	entries[at][count].begin = lsn;
	entries[at][count].end = UINT64_MAX;
	self->history.count = count + 1;
	self->history.entries = entries[at];
}

static WaBackup *
backup(uint32_t tli, uint64_t start, uint64_t stop)
{
	WaBackup   *self = &backups[catalogue.backups_count++];

	self->readable = true;
	self->tli = tli;
	self->start_segno = start;
	self->stop_segno = stop;
	return self;
}

/* All gaps as "TLI:first-last ...". */
static const char *
gaps(void)
{
	static char text[512];
	WaGap	   *found;
	size_t		count;
	size_t		length = 0;

	must(wa_gaps_find(&catalogue, &found, &count));
	text[0] = '\0';
	for (size_t i = 0; i < count; i++)
		length += (size_t) snprintf(text + length, sizeof(text) - length,
									"%s%u:%u-%u", i > 0 ? " " : "",
									found[i].tli, (unsigned) found[i].first,
									(unsigned) found[i].last);
	free(found);
	return text;
}

/* How far from there along that timeline, as "TLI:segno". */
static const char *
reach(uint32_t along, uint32_t tli, uint64_t segno)
{
	static char text[64];
	WaLineage	lineage;
	WaPlace		from = {tli, segno};
	WaPlace		reached;

	must(wa_lineage_of(&catalogue, wa_catalogue_timeline(&catalogue, along),
					   &lineage));
	if (wa_lineage_reach(&catalogue, &lineage, from, &reached))
		snprintf(text, sizeof(text), "%u:%u", reached.tli,
				 (unsigned) reached.segno);
	else
		snprintf(text, sizeof(text), "nowhere");
	wa_lineage_free(&lineage);
	return text;
}

static bool
affects(uint32_t tli, uint64_t first, uint64_t last, const WaBackup *which)
{
	WaGap		gap = {tli, first, last};

	return wa_gap_affects(&catalogue, &gap, which);
}

static void
test_one_timeline(void)
{
	fresh();
	is_str(gaps(), "", "an empty archive lacks nothing");
	timeline(1, "");
	is_str(gaps(), "", "nor does a timeline without segments");

	fresh();
	timeline(1, "5-9");
	is_str(gaps(), "", "what was before the first is not missing");
	is_str(reach(1, 1, 6), "1:9", "reached from the middle");
	is_str(reach(1, 1, 4), "nowhere", "not from before it");
	is_str(reach(1, 1, 10), "nowhere", "nor from behind it");

	fresh();
	timeline(1, "1-5 7 10-20");
	is_str(gaps(), "1:6-6 1:8-9", "what lies between");
	is_str(reach(1, 1, 1), "1:5", "up to the first of them");
	is_str(reach(1, 1, 7), "1:7", "or the next");
}

/* Timeline 2 left timeline 1 in the middle of segment 8. */
static void
test_switch(const char *parent, const char *child, const char *missing,
			const char *reached, const char *what)
{
	WaTimeline *first;

	fresh();
	first = timeline(1, parent);
	branch(timeline(2, child), first, 850);
	is_str(gaps(), missing, "%s: what is missing", what);
	is_str(reach(2, 1, 3), reached, "%s: reached from segment 3", what);
}

static void
test_switches(void)
{
	test_switch("1-7", "8-12", "", "2:12", "a switch");
	test_switch("1-8", "8-12", "", "2:12", "the old one complete");
	test_switch("1-12", "8-9", "", "2:9", "the old one went on");
	test_switch("1-7", "", "", "1:7", "nothing of the new one");
	test_switch("1-5", "", "1:6-7", "1:5",
				"nothing of the new one, and too little of the old");
	test_switch("1-6", "8-12", "1:7-7", "1:6", "a failover gap");
	test_switch("1-7", "9-12", "2:8-8", "1:7", "the child's first is missing");
	test_switch("1-5", "10-12", "1:6-7 2:8-9", "1:5", "both sides");
	test_switch("", "9-12", "", "nowhere", "the parent was pruned");
	test_switch("9-12", "8-12", "", "nowhere", "only what the parent wrote on");
	test_switch("1-7 10-12", "8-9", "1:8-9", "2:9",
				"a gap of the old one behind the switch");
	test_switch("1-4 6-7", "8-12", "1:5-5", "1:4", "a gap of the parent");
}

static void
test_three_timelines(void)
{
	WaTimeline *first;
	WaTimeline *second;
	WaTimeline *third;
	WaBackup   *on_first;
	WaBackup   *on_second;
	WaBackup   *late;
	WaLineage	lineage;
	WaPlace		place = {1, 7};

	/* both switches in the same segment */
	fresh();
	first = timeline(1, "1-7");
	second = timeline(2, "");
	branch(second, first, 810);
	third = timeline(3, "8-9");
	branch(third, second, 850);
	is_str(gaps(), "", "a timeline that lived within a segment");
	is_str(reach(3, 1, 1), "3:9", "is stepped over");
	must(wa_lineage_of(&catalogue, third, &lineage));
	ok(wa_lineage_next(&lineage, &place) && place.tli == 3 && place.segno == 8,
	   "the next place");
	ok(wa_lineage_previous(&lineage, &place) && place.tli == 1 &&
	   place.segno == 7, "and back");
	place.segno = 0;
	ok(!wa_lineage_previous(&lineage, &place), "nothing before the first");
	wa_lineage_free(&lineage);

	/* exactly at a segment's begin */
	fresh();
	first = timeline(1, "1-7");
	branch(timeline(2, "8-9"), first, 800);
	is_str(gaps(), "", "a switch at the begin of a segment");
	is_str(reach(2, 1, 1), "2:9", "is no gap");

	/* siblings */
	fresh();
	first = timeline(1, "1-6");
	second = timeline(2, "8-12");
	branch(second, first, 850);
	third = timeline(3, "5-6 8");
	branch(third, first, 550);
	on_first = backup(1, 3, 3);
	on_second = backup(2, 10, 10);
	late = backup(1, 6, 6);
	is_str(gaps(), "1:7-7 3:7-7", "siblings lack what each needs");
	ok(affects(1, 7, 7, on_first), "the parent's gap affects its backup");
	ok(!affects(1, 7, 7, on_second), "not one behind it");
	ok(affects(3, 7, 7, on_first), "a sibling's gap, if it leads there");
	ok(!affects(3, 7, 7, late), "not a backup behind that fork");
	ok(!affects(3, 7, 7, on_second), "not one of the other sibling");
	ok(affects(1, 7, 7, late), "but on its own timeline");
	ok(!affects(1, 2, 2, on_first), "not what lies before the backup");

	/* nobody knows where it comes from */
	fresh();
	timeline(1, "1-5");
	second = timeline(2, "8-9 11");
	second->history_known = false;
	is_str(gaps(), "2:10-10", "a timeline of unknown history stands alone");
}

static void
test_backups(void)
{
	WaPlace		missing;
	WaBackup   *which;

	fresh();
	timeline(1, "1-5 7-9");
	which = backup(1, 2, 4);
	ok(wa_backup_complete(&catalogue, which, &missing), "complete");
	which = backup(1, 5, 8);
	ok(!wa_backup_complete(&catalogue, which, &missing) &&
	   missing.segno == 6, "a gap within");
	which = backup(1, 0, 1);
	ok(!wa_backup_complete(&catalogue, which, &missing) &&
	   missing.segno == 0, "its begin is missing");
	which = backup(1, 9, 10);
	ok(!wa_backup_complete(&catalogue, which, &missing) &&
	   missing.segno == 10, "its end is missing");
	which = backup(4, 2, 2);
	ok(!wa_backup_complete(&catalogue, which, &missing),
	   "of a timeline that is not there");
}

int
main(void)
{
	test_one_timeline();
	test_switches();
	test_three_timelines();
	test_backups();
	return done_testing();
}
