/*
 * status.c
 *	  The counters of archiving, kept by the archiver in a small file.
 *
 * pg_stat_tmp: PostgreSQL itself no longer writes there, keeps it for
 * extensions, and leaves it out of base backups and pg_rewind.
 */
#include "server/status.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/file_perm.h"
#include "miscadmin.h"
#include "utils/timestamp.h"

static bool
read_file(const char *path, WaStatus *status, bool *damaged)
{
	unsigned char buffer[WA_STATUSFILE_BYTES + 1];
	int			fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t		length;
	WaError		err;

	memset(status, 0, sizeof(*status));
	*damaged = false;
	if (fd < 0)
	{
		*damaged = errno != ENOENT;
		return false;
	}
	length = read(fd, buffer, sizeof(buffer));
	close(fd);
	if (length < 0 ||
		wa_statusfile_decode(buffer, (size_t) length, path, status,
							 &err) != WA_OK)
	{
		*damaged = true;
		return false;
	}
	return true;
}

bool
walarch_status_read(WaStatus *status, bool *damaged)
{
	return read_file(WA_STATUS_FILE, status, damaged);
}

void
walarch_status_apply_baseline(WaStatus *status)
{
	WaStatus	baseline;
	bool		damaged;

	if (read_file(WA_BASELINE_FILE, &baseline, &damaged))
		wa_status_subtract(status, &baseline);
}

/*
 * Temporary, then rename: readers see the old or the new.  No fsync; what a
 * power cut takes away are counters.
 */
static bool
write_file(const char *path, const WaStatus *status)
{
	unsigned char buffer[WA_STATUSFILE_BYTES];
	char		temporary[MAXPGPATH];
	int			fd;
	bool		ok;

	wa_statusfile_encode(status, buffer);

	/* the archiver is the only one of its kind, backends are many */
	if (AmArchiverProcess())
		snprintf(temporary, sizeof(temporary), "%s.tmp", path);
	else
		snprintf(temporary, sizeof(temporary), "%s.%d", path, MyProcPid);
	fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
			  pg_file_create_mode);
	if (fd < 0 && errno == ENOENT)
	{
		/* somebody has removed the directory: PostgreSQL does not need it */
		if (mkdir("pg_stat_tmp", pg_dir_create_mode) != 0 && errno != EEXIST)
			return false;
		fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
				  pg_file_create_mode);
	}
	if (fd < 0)
		return false;
	errno = 0;
	ok = write(fd, buffer, sizeof(buffer)) == (ssize_t) sizeof(buffer);
	if (!ok && errno == 0)
		errno = ENOSPC;
	if (close(fd) != 0)
		ok = false;
	if (ok && rename(temporary, path) == 0)
		return true;
	unlink(temporary);
	return false;
}

void
walarch_status_write(const WaStatus *status)
{
	static bool complained = false;

	if (write_file(WA_STATUS_FILE, status))
		complained = false;
	else if (!complained)
	{
		complained = true;
		ereport(LOG,
				(errcode_for_file_access(),
				 errmsg("could not write status file \"%s\": %m",
						WA_STATUS_FILE),
				 errdetail("Archiving goes on, walarch.status does not.")));
	}
}

void
walarch_status_write_baseline(const WaStatus *status)
{
	if (!write_file(WA_BASELINE_FILE, status))
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not write file \"%s\": %m",
						WA_BASELINE_FILE)));
}
