/*
 * trail.c
 *	  From one question to the next: recovery along its own timeline is told
 *	  from one that comes by way of a child, and a damaged note is as good as
 *	  none.
 */
#include "archive/trail.h"

#include <sys/stat.h>
#include <unistd.h>

#include "fixture.h"
#include "tap.h"

static WaTrail trail;

static WaApproach
step(uint32_t tli, uint64_t segno)
{
	WaWalName	name;
	WaError		err;
	char		text[WA_WALNAME_BYTES];

	wa_segment_name(text, tli, segno, SEG_1MB);
	must(wa_walname_parse(text, &name, &err) == WA_OK);
	return wa_trail_step(&trail, &name, SEG_1MB);
}

static void
test_steps(void)
{
	is_int(step(1, 5), WA_APPROACH_UNKNOWN, "the first question");
	is_int(step(1, 6), WA_APPROACH_DIRECT, "the next segment");
	is_int(step(1, 6), WA_APPROACH_DIRECT, "again");
	is_int(step(1, 8), WA_APPROACH_UNKNOWN, "a leap");
	is_int(step(1, 8), WA_APPROACH_UNKNOWN, "again");
	is_int(step(1, 7), WA_APPROACH_UNKNOWN, "back");
	is_int(step(2, 8), WA_APPROACH_UNKNOWN, "a child's segment");
	is_int(step(1, 8), WA_APPROACH_CHILD, "then the parent's of that number");
	is_int(step(1, 9), WA_APPROACH_DIRECT, "and on along the parent");
	step(3, 10);
	is_int(step(2, 10), WA_APPROACH_CHILD, "grandchild, child");
	is_int(step(1, 10), WA_APPROACH_CHILD, "and parent");
	step(2, 4095);
	is_int(step(2, 4096), WA_APPROACH_DIRECT, "across the end of a log");
	wa_trail_begin_round(&trail);
	is_int(step(2, 4097), WA_APPROACH_DIRECT, "along the timeline into a new round");
	step(3, 4098);
	wa_trail_begin_round(&trail);
	is_int(step(2, 4098), WA_APPROACH_UNKNOWN, "a child asked for in an earlier round");
	step(3, 4099);
	is_int(step(2, 4099), WA_APPROACH_CHILD, "a child asked for in this one");
}

static void
test_file(void)
{
	WaTrail		back;
	size_t		length;
	unsigned char *text;
	int			wrong = 0;
	struct stat st;

	trail = (WaTrail) {UINT32_MAX, 7, 0xFFF, true, true, 9};
	wa_trail_write("trail", &trail, 0600);
	wa_trail_read("trail", &back);
	is_int(memcmp(&trail, &back, sizeof(back)), 0, "comes back");
	must(stat("trail", &st) == 0);
	is_int(st.st_mode & 0777, 0600, "its mode");
	ok(access("trail.tmp", F_OK) != 0, "no temporary is left");

	text = read_file("trail", &length);
	for (size_t at = 0; at + 1 < length; at++)
		for (int bit = 0; bit < 8; bit++)
		{
			text[at] ^= (unsigned char) (1 << bit);
			write_file("trail", text, length);
			wa_trail_read("trail", &back);
			/* blanks and letters of another case may read the same */
			if (memcmp(&back, &trail, sizeof(back)) != 0 &&
				(back.tli | back.log | back.seg | back.unresolved_tli |
				 back.direct) != 0 && wrong++ == 0)
				diag("bit %d of byte %zu: read as tli %u, seg %u", bit, at,
					 back.tli, back.seg);
			text[at] ^= (unsigned char) (1 << bit);
		}
	is_int(wrong, 0, "any bit flipped: the same, or nothing");
	for (size_t cut = 0; cut + 1 < length; cut++)
	{
		write_file("trail", text, cut);
		wa_trail_read("trail", &back);
		if (back.tli != 0 && wrong++ == 0)
			diag("truncated to %zu", cut);
	}
	is_int(wrong, 0, "truncated: nothing");
	free(text);

	memset(&back, 1, sizeof(back));
	wa_trail_read("no-such-file", &back);
	is_int(back.tli, 0, "no file: nothing");
	wa_trail_write("no-such-directory/trail", &trail, 0600);
	ok(true, "a place that cannot be written is no matter");
}

int
main(void)
{
	scratch();
	test_steps();
	test_file();
	return done_testing();
}
