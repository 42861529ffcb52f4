/*
 * postmaster.c
 *	  Which running server a working directory belongs to.
 *
 * Lines of postmaster.pid: src/include/utils/pidfile.h.  The first three
 * never change while the server runs; the eighth says how it does.
 */
#include "archive/postmaster.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PID_FILE		"postmaster.pid"
#define TEXT_BYTES		4096
#define LINE_STARTED	3
#define LINE_STATUS		8

/* Up to TEXT_BYTES - 1 bytes of a file; false when there is none. */
static bool
read_text(const char *path, char *text, struct stat *st)
{
	int			fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ssize_t		length;

	if (fd < 0)
		return false;
	length = fstat(fd, st) == 0 ? read(fd, text, TEXT_BYTES - 1) : -1;
	close(fd);
	if (length <= 0)
		return false;
	text[length] = '\0';
	return true;
}

/* The n-th line, counted from 1, or NULL. */
static const char *
line_of(const char *text, int number)
{
	while (--number > 0 && text != NULL)
	{
		text = strchr(text, '\n');
		if (text != NULL)
			text++;
	}
	return text;
}

/* Field 22 of /proc/PID/stat; the second may hold blanks and parentheses. */
static uint64_t
start_ticks(pid_t pid)
{
	char		path[64];
	char		text[TEXT_BYTES];
	struct stat st;
	uint64_t	ticks;
	const char *at;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int) pid);
	if (!read_text(path, text, &st) || (at = strrchr(text, ')')) == NULL)
		return 0;
	if (sscanf(at + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u"
			   " %*d %*d %*d %*d %*d %*d %" SCNu64, &ticks) != 1)
		return 0;
	return ticks;
}

bool
wa_postmaster_read(WaPostmaster *postmaster)
{
	char		text[TEXT_BYTES];
	struct stat st;
	const char *started;
	const char *status;
	int			pid;

	memset(postmaster, 0, sizeof(*postmaster));

	/* a server in single-user mode has a negative number */
	if (!read_text(PID_FILE, text, &st) ||
		sscanf(text, "%d", &pid) != 1 || pid <= 0 ||
		(started = line_of(text, LINE_STARTED)) == NULL ||
		sscanf(started, "%" SCNu64, &postmaster->started) != 1)
		return false;
	status = line_of(text, LINE_STATUS);
	if (status != NULL && strncmp(status, "stopping", 8) == 0)
		return false;
	if (kill(pid, 0) != 0 && errno != EPERM)
		return false;
	postmaster->pid = pid;
	postmaster->ticks = start_ticks(pid);
	postmaster->device = st.st_dev;
	postmaster->inode = st.st_ino;
	return true;
}
