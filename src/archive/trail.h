/*
 * trail.h
 *	  What the server in recovery asked for last.
 *
 * Each restore command is a new process, yet some answers depend on the
 * question before.  Recovery asks for a segment on the newest timeline it
 * follows first and, told that it is not there, for the parent's of the same
 * number immediately after (XLogFileReadAnyTLI): so the question before tells
 * whether recovery comes by way of a child timeline.  And a timeline history
 * whose lookup failed must be settled before a standby replays on, or it may
 * follow the wrong timeline past a fork for good.
 *
 * The file lies in $PGDATA/pg_stat_tmp; losing it costs only knowledge.
 */
#ifndef WA_TRAIL_H
#define WA_TRAIL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/walname.h"

#define WA_TRAIL_FILE	"pg_stat_tmp/walarch.trail"

typedef struct WaTrail
{
	/* the last segment asked for; tli 0: none, or not known */
	uint32_t	tli;
	uint32_t	log;
	uint32_t	seg;

	/* it was asked for right after its predecessor on the same timeline */
	bool		direct;

	/* histories were asked for since: recovery has begun a new round */
	bool		new_round;

	/* timeline whose history could not be looked up; 0: none */
	uint32_t	unresolved_tli;
} WaTrail;

/* How a request relates to the one before. */
typedef enum WaApproach
{
	WA_APPROACH_UNKNOWN,
	WA_APPROACH_DIRECT,			/* along its own timeline */
	WA_APPROACH_CHILD			/* a younger timeline was asked first */
} WaApproach;

/* The judgement of one request, kept while it is tried again and again. */
typedef struct WaTrailStep
{
	bool		taken;
	WaApproach	approach;
} WaTrailStep;

/* Read it; unreadable is as good as none. */
extern void wa_trail_read(const char *file, WaTrail *trail);

/* Write it.  When that fails it is removed: an old one would mislead. */
extern void wa_trail_write(const char *file, const WaTrail *trail,
						   mode_t mode);

/* Judge a request for a segment and make it the last one. */
extern WaApproach wa_trail_step(WaTrail *trail, const WaWalName *asked,
								uint32_t segment_bytes);

/*
 * A history was asked for.  A segment of a child asked for before that says
 * nothing about the next one.
 */
extern void wa_trail_begin_round(WaTrail *trail);

#endif							/* WA_TRAIL_H */
