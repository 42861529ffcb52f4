/*
 * postmaster.h
 *	  Which running server a working directory belongs to.
 */
#ifndef WA_POSTMASTER_H
#define WA_POSTMASTER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Two servers, or two starts of one, never have all of it the same.
 */
typedef struct WaPostmaster
{
	pid_t		pid;
	uint64_t	started;		/* seconds, as postmaster.pid says */
	uint64_t	ticks;			/* the same as the kernel counts */
	uint64_t	device;			/* of postmaster.pid, which each start makes */
	uint64_t	inode;			/* anew */
} WaPostmaster;

/*
 * Read postmaster.pid of a directory, AT_FDCWD for the current one.  False
 * unless it names a process that lives and is not about to stop.
 */
extern bool wa_postmaster_read(int dir_fd, WaPostmaster *postmaster);

/*
 * Lock one of many places of that file: a descriptor to keep, or -1 when
 * another process has this place, or there is no such file.
 */
extern int	wa_postmaster_lock(int dir_fd, uint64_t place);

/* Does it live?  A zombie does not. */
extern bool wa_postmaster_lives(const WaPostmaster *postmaster);

#endif							/* WA_POSTMASTER_H */
