/*
 * trail.c
 *	  What the server in recovery asked for last.
 */
#include "archive/trail.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/crc32c.h"

#define TEXT_BYTES		256
#define FLAG_DIRECT		1
#define FLAG_NEW_ROUND	2

/* "walarch-trail 1 TLI LOG SEG FLAGS UNRESOLVED", then its CRC-32C. */
#define TEXT_FORMAT	"walarch-trail 1 %" PRIu32 " %" PRIu32 " %" PRIu32 \
	" %d %" PRIu32

void
wa_trail_read(const char *file, WaTrail *trail)
{
	char		text[TEXT_BYTES];
	char		again[TEXT_BYTES];
	WaTrail		found = {0};
	uint32_t	crc = 0;
	int			flags = 0;
	int			fd = open(file, O_RDONLY | O_CLOEXEC);
	ssize_t		length;

	memset(trail, 0, sizeof(*trail));
	if (fd < 0)
		return;
	length = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (length <= 0)
		return;
	text[length] = '\0';
	if (sscanf(text, "walarch-trail 1 %" SCNu32 " %" SCNu32 " %" SCNu32
			   " %d %" SCNu32 " %" SCNx32, &found.tli, &found.log,
			   &found.seg, &flags, &found.unresolved_tli, &crc) != 6)
		return;
	length = snprintf(again, sizeof(again), TEXT_FORMAT, found.tli, found.log,
					  found.seg, flags, found.unresolved_tli);
	if (wa_crc32c(0, again, (size_t) length) != crc)
		return;
	found.direct = (flags & FLAG_DIRECT) != 0;
	found.new_round = (flags & FLAG_NEW_ROUND) != 0;
	*trail = found;
}

void
wa_trail_write(const char *file, const WaTrail *trail, mode_t mode)
{
	char		text[TEXT_BYTES];
	int			length;
	int			fd;
	bool		written;

	length = snprintf(text, sizeof(text), TEXT_FORMAT, trail->tli, trail->log,
					  trail->seg,
					  (trail->direct ? FLAG_DIRECT : 0) |
					  (trail->new_round ? FLAG_NEW_ROUND : 0),
					  trail->unresolved_tli);
	length += snprintf(text + length, sizeof(text) - (size_t) length,
					   " %08" PRIx32 "\n",
					   wa_crc32c(0, text, (size_t) length));

	/*
	 * In place: each request waits for this, and to replace a file makes some
	 * file systems flush it.  What is torn has a wrong checksum, what was
	 * longer before is behind the end of the line.
	 */
	fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, mode);
	written = fd >= 0 && write(fd, text, (size_t) length) == length;
	if (fd >= 0 && close(fd) != 0)
		written = false;
	if (!written)
		(void) unlink(file);
}

WaApproach
wa_trail_step(WaTrail *trail, const WaWalName *asked, uint32_t segment_bytes)
{
	WaApproach	approach = WA_APPROACH_UNKNOWN;
	uint64_t	per_log = (UINT64_C(1) << 32) / segment_bytes;
	uint64_t	before = trail->log * per_log + trail->seg;
	uint64_t	now = asked->log * per_log + asked->seg;

	if (trail->tli > asked->tli && before == now && !trail->new_round)
		approach = WA_APPROACH_CHILD;
	else if (trail->tli == asked->tli &&
			 (before + 1 == now || (before == now && trail->direct)))
		approach = WA_APPROACH_DIRECT;

	trail->tli = asked->tli;
	trail->log = asked->log;
	trail->seg = asked->seg;
	trail->direct = approach == WA_APPROACH_DIRECT;
	trail->new_round = false;
	return approach;
}

void
wa_trail_begin_round(WaTrail *trail)
{
	trail->new_round = true;
}
