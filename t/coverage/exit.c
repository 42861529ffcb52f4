/*
 * exit.c
 *	  Processes that end by _exit() count, too.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <unistd.h>

extern void __gcov_dump(void);

void
_exit(int status)
{
	void		(*real) (int) = (void (*) (int)) dlsym(RTLD_NEXT, "_exit");

	__gcov_dump();
	real(status);
	__builtin_unreachable();
}
