/*
 * beat.h
 *	  How a waiting thread sees whether an operation on storage moves.
 */
#ifndef WA_BEAT_H
#define WA_BEAT_H

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <unistd.h>

/*
 * The count is odd while the owner is inside a call that may block, and
 * different after each.  Whoever gives up waiting sets cancelled; then no
 * further call is begun.
 */
typedef struct WaBeat
{
	atomic_uint_fast64_t count;
	atomic_bool cancelled;
} WaBeat;

/* False, with errno ECANCELED, when given up.  beat may be NULL. */
static inline bool
wa_beat_begin(WaBeat *beat)
{
	if (beat == NULL)
		return true;
	if (atomic_load(&beat->cancelled))
	{
		errno = ECANCELED;
		return false;
	}
	atomic_fetch_add(&beat->count, 1);
	return true;
}

/* Keeps errno. */
static inline void
wa_beat_end(WaBeat *beat)
{
	int			save_errno = errno;

	if (beat != NULL)
		atomic_fetch_add(&beat->count, 1);
	errno = save_errno;
}

/* Run one system call under the beat; -1 and ECANCELED when given up. */
#define WA_BEAT(beat, result, call) \
	do { \
		if (!wa_beat_begin(beat)) \
			(result) = -1; \
		else \
		{ \
			(result) = (call); \
			wa_beat_end(beat); \
		} \
	} while (0)

/*
 * The same for what cleans up, which must be done also when given up, yet
 * may hang like everything else.
 */
#define WA_BEAT_ALWAYS(beat, result, call) \
	do { \
		if ((beat) != NULL) \
			atomic_fetch_add(&(beat)->count, 1); \
		(result) = (call); \
		wa_beat_end(beat); \
	} while (0)

static inline int
wa_beat_close(WaBeat *beat, int fd)
{
	int			result;

	WA_BEAT_ALWAYS(beat, result, close(fd));
	return result;
}

static inline void
wa_beat_unlink(WaBeat *beat, int dir_fd, const char *path)
{
	int			result;

	WA_BEAT_ALWAYS(beat, result, unlinkat(dir_fd, path, 0));
	(void) result;
}

#endif							/* WA_BEAT_H */
