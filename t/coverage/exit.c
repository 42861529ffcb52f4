/*
 * exit.c
 *	  Processes write their counters from a child that nobody traces or kills.
 *
 * Tests let system calls fail and kill by strace: in libgcov's own reads and
 * writes that would lose what all processes before have counted.  So each
 * leaves its counters to a child in a session of its own, when it ends by
 * exit() or _exit().
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE_S	60

/* Of libgcov, which is linked into each program and module. */
struct gcov_root
{
	void	   *list;
	unsigned	dumped:1;
};
extern struct gcov_root __gcov_root;
extern void __gcov_dump(void);
extern void __gcov_reset(void);

static void __attribute__((destructor))
dump(void)
{
	long		child;

	if (__gcov_root.dumped)
		return;
	child = syscall(SYS_clone, CLONE_UNTRACED, NULL, NULL, NULL, NULL);
	if (child == 0)
	{
		sigset_t	set;

		(void) signal(SIGALRM, SIG_DFL);
		sigfillset(&set);
		sigdelset(&set, SIGALRM);
		(void) sigprocmask(SIG_SETMASK, &set, NULL);
		(void) alarm(PATIENCE_S);
		(void) setsid();		/* whole groups are killed, too */
		__gcov_dump();
		syscall(SYS_exit_group, 0);
	}
	if (child > 0)
		while (waitpid((pid_t) child, NULL, __WALL) < 0 && errno == EINTR)
			;
	__gcov_root.dumped = 1;
}

void
_exit(int status)
{
	void		(*real) (int) = (void (*) (int)) dlsym(RTLD_NEXT, "_exit");

	dump();
	real(status);
	__builtin_unreachable();
}

/* The compiler calls this in place of execv(), so that counters are written. */
int
__gcov_execv(const char *path, char *const argv[])
{
	int			result;

	dump();
	result = execv(path, argv);
	__gcov_reset();
	__gcov_root.dumped = 0;
	return result;
}
