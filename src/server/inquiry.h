/*
 * inquiry.h
 *	  Questions of a session to the archive, asked from a thread: a hung mount
 *	  costs the session a time-out, and it can be cancelled.
 */
#ifndef WALARCH_INQUIRY_H
#define WALARCH_INQUIRY_H

#include "postgres.h"

#include "archive/pool.h"
#include "core/marker.h"
#include "core/sink_zstd.h"

/*
 * Run a task in a thread and wait for it.  False, with *err, when it has not
 * come back from one operation for so long, or there is no thread.  The task
 * is the caller's again only when true is returned; otherwise, also by an
 * error of the session, it is released by its thread.
 */
extern bool walarch_in_thread(WaTask *task, uint64 timeout_ms, WaError *err);

/*
 * What an inquiry does: in a thread, with the archive of this cluster open.
 * No function of PostgreSQL may be called.
 */
typedef struct WaInquiry
{
	WaStore    *store;
	const WaMarker *marker;
	WaZstd	   *zstd;
	WaBeat	   *beat;			/* its `cancelled` says that nobody waits */
	const char *path;
} WaInquiry;

/* Zeroed memory for a `state`, never NULL. */
extern void *walarch_inquiry_state(size_t bytes);

typedef WaCode (*WaInquiryFn) (const WaInquiry *inquiry, void *state,
							   WaError *err);

/*
 * Ask the archive of the setting walarch.archive.  ereport(ERROR) when it
 * cannot be asked or the function fails; then and when cancelled, `state` is
 * released by release_state.  On return the caller releases it.
 */
extern void walarch_inquire(WaInquiryFn run, void *state,
							void (*release_state) (void *state));

/*
 * The same for a given directory, and for whom an answer is no matter of
 * life: below ERROR, false, and the state has been released.
 */
extern bool walarch_inquire_at(int elevel, const char *path, WaInquiryFn run,
							   void *state,
							   void (*release_state) (void *state));

/*
 * The task by itself, for a thread that nobody waits for.  NULL when out of
 * memory or randomness; then the state is still the caller's, otherwise the
 * task's.  Never throws.
 */
extern WaTask *walarch_inquiry_task(const char *path, WaInquiryFn run,
									void *state,
									void (*release_state) (void *state));

/* What became of it, once it is done; the state stays the task's. */
extern WaCode walarch_inquiry_outcome(WaTask *task, void **state,
									  WaError *err);

#endif							/* WALARCH_INQUIRY_H */
