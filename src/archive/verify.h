/*
 * verify.h
 *	  Is every byte of the archive what it should be, and does each segment
 *	  begin where the one before it ended?
 */
#ifndef WA_VERIFY_H
#define WA_VERIFY_H

#include "archive/pool.h"
#include "archive/segments.h"

typedef enum WaSeverity
{
	WA_SEVERITY_NOTICE = 1,		/* worth knowing, nothing is lost by it */
	WA_SEVERITY_WARNING,		/* something is not as it should be */
	WA_SEVERITY_ERROR			/* a recovery that needs it will fail */
} WaSeverity;

#define WA_FINDING_TEXT_BYTES	512

typedef struct WaFinding
{
	char		object[WA_KEY_BYTES];	/* key, or name of a missing segment */
	WaSeverity	severity;
	char		finding[WA_FINDING_TEXT_BYTES];
	char		consequence[WA_FINDING_TEXT_BYTES];
	char		hint[WA_FINDING_TEXT_BYTES];
} WaFinding;

typedef struct WaVerifyProgress
{
	uint64_t	done_bytes;		/* of stored bytes */
	uint64_t	total_bytes;
	uint64_t	segments;		/* looked at */
	uint64_t	unpacked;		/* of these, read whole */
	uint64_t	raw_bytes;		/* of those */
	uint64_t	records;		/* of those, whole in their segment */
	uint64_t	backups;		/* whose data was read */
	uint64_t	backup_bytes;	/* of those, unpacked */
	WaPlace		place;			/* the last one done; to resume behind it */
} WaVerifyProgress;

typedef struct WaVerifyOptions
{
	const char *path;			/* of the archive */
	WaBeat	   *beat;			/* of the caller's own thread; may be NULL */
	bool		full;			/* unpack, base backups too unless only a sample
								 * is wanted; otherwise names and envelopes only */
	unsigned	sample_percent; /* of segments to unpack; 0 or 100: all */
	uint64_t	seed;			/* which ones */
	int64_t		since_us;		/* unpack what was archived since; 0: all */
	uint32_t	tli;			/* 0: all */
	WaPlace		resume;			/* begin behind it; tli 0: at the beginning */
	int			workers;
	uint64_t	timeout_ms;		/* of an operation that makes no progress */
	uint64_t	(*now_ms) (void);	/* a clock that only goes forward */
	void		(*found) (void *arg, const WaFinding *finding);
	void		(*progress) (void *arg, const WaVerifyProgress *progress);
	bool		(*stop) (void *arg);	/* may end early */
	void	   *arg;
} WaVerifyOptions;

/*
 * Look at everything the catalogue has (read with sizes).  WA_OK when all
 * was looked at, whatever was found; WA_CANCELLED when told to stop.  Any
 * other failure is one of the way there: what is wrong with an object is a
 * finding.
 */
extern WaCode wa_verify(const WaVerifyOptions *options,
						const WaCatalogue *catalogue,
						WaVerifyProgress *progress, WaError *err);

/* A short stable word: "notice", "warning", "error". */
extern const char *wa_severity_name(WaSeverity severity);

#endif							/* WA_VERIFY_H */
