/*
 * postmaster.c
 *	  Which running server a working directory belongs to.
 *
 * Lines of postmaster.pid: src/include/utils/pidfile.h.  The first three
 * never change while the server runs; the eighth says how it does.
 */
#include "archive/postmaster.h"

#include <fcntl.h>
#include <inttypes.h>
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
read_text(int dir_fd, const char *path, char *text, struct stat *st)
{
	int			fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
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

/*
 * Field 22 of /proc/PID/stat; the second may hold blanks and parentheses.
 * False when there is no such process any more.
 */
static bool
start_ticks(pid_t pid, uint64_t *ticks)
{
	char		path[64];
	char		text[TEXT_BYTES];
	struct stat st;
	const char *at;
	char		state;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int) pid);
	return read_text(AT_FDCWD, path, text, &st) &&
		(at = strrchr(text, ')')) != NULL &&
		sscanf(at + 1, " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u"
			   " %*d %*d %*d %*d %*d %*d %" SCNu64, &state, ticks) == 2 &&
		state != 'Z' && state != 'X';
}

bool
wa_postmaster_lives(const WaPostmaster *postmaster)
{
	uint64_t	ticks;

	return start_ticks(postmaster->pid, &ticks) && ticks == postmaster->ticks;
}

bool
wa_postmaster_read(int dir_fd, WaPostmaster *postmaster)
{
	char		text[TEXT_BYTES];
	struct stat st;
	const char *started;
	const char *status;
	int			pid;

	memset(postmaster, 0, sizeof(*postmaster));

	/* a server in single-user mode has a negative number */
	if (!read_text(dir_fd, PID_FILE, text, &st) ||
		sscanf(text, "%d", &pid) != 1 || pid <= 0 ||
		(started = line_of(text, LINE_STARTED)) == NULL ||
		sscanf(started, "%" SCNu64, &postmaster->started) != 1)
		return false;
	status = line_of(text, LINE_STATUS);
	if (status != NULL && strncmp(status, "stopping", 8) == 0)
		return false;
	if (!start_ticks(pid, &postmaster->ticks))
		return false;
	postmaster->pid = pid;
	postmaster->device = st.st_dev;
	postmaster->inode = st.st_ino;
	return true;
}

int
wa_postmaster_lock(int dir_fd, uint64_t place)
{
	struct flock lock = {
		.l_type = F_WRLCK,
		.l_whence = SEEK_SET,
		.l_start = (off_t) (place >> 1),	/* an offset has a sign */
		.l_len = 1
	};
	int			fd = openat(dir_fd, PID_FILE, O_RDWR | O_CLOEXEC);

	if (fd >= 0 && fcntl(fd, F_OFD_SETLK, &lock) == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}
