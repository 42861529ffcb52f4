/*
 * clock.c
 *	  The clock of a test's servers, which can be stepped while they run.
 *
 * Preloaded (LD_PRELOAD) into whatever the test starts. The file named by
 * SOAK_CLOCK holds one 64-bit number: the microseconds by which the clock of
 * the day differs from that of the machine. It is mapped, so that a step takes
 * effect at once, in the middle of whatever a server does, as when somebody sets
 * the clock of a machine. Other clocks go on as they are.
 *
 * No lock, no allocation, no state but the mapping: a process can be killed
 * anywhere in here, and leaves nothing behind. (libfaketime keeps a semaphore and
 * shared memory that have names.)
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <dlfcn.h>

typedef int (*GetTime) (clockid_t clock, struct timespec *now);

static const volatile int64_t *offset_us;
static GetTime machine_clock;

__attribute__((constructor)) static void
attach(void)
{
	const char *path = getenv("SOAK_CLOCK");
	int			fd;
	void	   *map;

	machine_clock = (GetTime) dlsym(RTLD_NEXT, "clock_gettime");
	if (path == NULL || (fd = open(path, O_RDONLY | O_CLOEXEC)) < 0)
		return;
	map = mmap(NULL, sizeof(*offset_us), PROT_READ, MAP_SHARED, fd, 0);
	if (map != MAP_FAILED)
		offset_us = map;
	close(fd);
}

__attribute__((visibility("default"))) int
clock_gettime(clockid_t clock, struct timespec *now)
{
	int			result = machine_clock != NULL ? machine_clock(clock, now) :
		(int) syscall(SYS_clock_gettime, clock, now);

	if (result == 0 && offset_us != NULL &&
		(clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
	{
		int64_t		ns = now->tv_nsec + *offset_us % 1000000 * 1000;

		now->tv_sec += *offset_us / 1000000;
		if (ns >= 1000000000)
		{
			now->tv_sec++;
			ns -= 1000000000;
		}
		else if (ns < 0)
		{
			now->tv_sec--;
			ns += 1000000000;
		}
		now->tv_nsec = ns;
	}
	return result;
}

__attribute__((visibility("default"))) int
gettimeofday(struct timeval *restrict now, void *restrict zone)
{
	struct timespec ts;

	(void) zone;
	if (clock_gettime(CLOCK_REALTIME, &ts) != 0)
		return -1;
	now->tv_sec = ts.tv_sec;
	now->tv_usec = ts.tv_nsec / 1000;
	return 0;
}

__attribute__((visibility("default"))) time_t
time(time_t *result)
{
	struct timespec ts;

	if (clock_gettime(CLOCK_REALTIME, &ts) != 0)
		return (time_t) -1;
	if (result != NULL)
		*result = ts.tv_sec;
	return ts.tv_sec;
}
