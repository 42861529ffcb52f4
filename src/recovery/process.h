/*
 * process.h
 *	  Processes of ours, and other people's programs.
 *
 * They end when we do, however that happens.
 */
#ifndef WA_RECOVERY_PROCESS_H
#define WA_RECOVERY_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/error.h"

/* ---- being told to end ---- */

/*
 * From here on SIGINT, SIGTERM and SIGHUP are noted instead of ending us, so
 * that what has been begun can be cleared away.
 */
extern void wa_process_heed(void);

/* WA_CANCELLED when one of them came. */
extern WaCode wa_process_told(WaError *err);

/* ---- a part of our own work in another process ---- */

/* It tells its error through a pipe, which is read when it has ended. */
typedef struct WaProcess
{
	pid_t		pid;			/* 0 in the process itself, and after its end */
	int			report;
} WaProcess;

/*
 * Returns twice: in the new process with process->pid 0.  That one ends with
 * wa_process_end.
 */
extern WaCode wa_process_fork(WaProcess *process, WaError *err);
extern void wa_process_end(const WaProcess *process, WaCode code,
						   const WaError *err) __attribute__((noreturn));

/* Has it ended?  Then what it told becomes *err, with the result in *code. */
extern bool wa_process_ended(WaProcess *process, WaCode *code, WaError *err);

/* End it; what it tells does not matter. */
extern void wa_process_stop(WaProcess *process);

/* ---- programs ---- */

/*
 * Start a program by its path, without a shell, with nothing on its standard
 * input and both outputs on a descriptor.  Signal `last` is what it gets when
 * we die.
 */
extern WaCode wa_program_start(const char *path, const char *const *argv,
							   int output, int last, pid_t *pid,
							   WaError *err);

/*
 * Run one to its end, with the first `bytes` - 1 of what it says in a text.
 * *status is its exit status, 127 when it could not be run, 128 and its
 * number for a signal.  When we are told to end, or after `most_ms` (0: no
 * limit), it is ended: WA_CANCELLED or WA_STUCK.
 */
extern WaCode wa_program_run(const char *path, const char *const *argv,
							 uint64_t most_ms, char *text, size_t bytes,
							 int *status, WaError *err);

/* Make one line of what a program has said. */
extern void wa_program_line(char *text);

#endif							/* WA_RECOVERY_PROCESS_H */
