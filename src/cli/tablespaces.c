/*
 * tablespaces.c
 *	  Tablespaces that replaying a segment would make.
 */
#include "cli/tablespaces.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/bytes.h"
#include "core/walheader.h"
#include "core/walscan.h"

#define READ_BYTES		(256 * 1024)
#define LOCATION_BYTES	1025	/* PostgreSQL's MAXPGPATH, and a NUL */

/* Header, headers of the data, an OID, the location with its NUL. */
#define RECORD_BYTES	(WA_RECORD_HEADER_BYTES + 13 + 4 + LOCATION_BYTES)

typedef struct Look
{
	int			fd;
	const char *path;
	uint64_t	segment_lsn;
	uint32_t	block_bytes;
	WaTablespaces rule;
	WaError    *err;			/* of the first one that must not be made */
	WaCode		code;
} Look;

/*
 * A record as it stands in the file, without the page headers in between, as
 * far as this segment has it.
 */
static size_t
read_record(const Look *look, uint64_t lsn, unsigned char *record,
			size_t bytes)
{
	off_t		at = (off_t) (lsn - look->segment_lsn);
	size_t		length = 0;

	while (length < bytes)
	{
		size_t		room = look->block_bytes - (size_t) at % look->block_bytes;
		size_t		wanted = bytes - length < room ? bytes - length : room;
		ssize_t		got = pread(look->fd, record + length, wanted, at);

		if (got <= 0)
			break;
		length += (size_t) got;
		at += got;
		/* every page but the first has a short header */
		if (at % look->block_bytes == 0)
			at += WA_WALHEADER_SHORT_BYTES;
	}
	return length;
}

static bool
is_empty(const char *location)
{
	DIR		   *dir = opendir(location);
	struct dirent *entry;
	bool		empty = true;

	/* the server says what it thinks of one that is not there */
	if (dir == NULL)
		return errno == ENOENT;
	while (empty && (entry = readdir(dir)) != NULL)
		empty = strcmp(entry->d_name, ".") == 0 ||
			strcmp(entry->d_name, "..") == 0;
	closedir(dir);
	return empty;
}

/* Has this server made it, in an earlier attempt? */
static bool
is_ours(uint32_t oid, const char *location)
{
	char		link[40];
	char		target[LOCATION_BYTES + 1];
	ssize_t		length;

	snprintf(link, sizeof(link), "pg_tblspc/%" PRIu32, oid);
	length = readlink(link, target, sizeof(target) - 1);
	if (length <= 0)
		return false;
	target[length] = '\0';
	return strcmp(target, location) == 0;
}

static void
judge(Look *look, uint64_t lsn)
{
	unsigned char record[RECORD_BYTES];
	size_t		length = read_record(look, lsn, record, sizeof(record));
	size_t		total = wa_get32(record);
	size_t		data = wa_record_data(record, length);
	const char *location;

	/* the location goes on in the next segment: there is no telling */
	if (length < total || data == 0 || data + 4 >= length ||
		memchr(record + data + 4, '\0', length - data - 4) == NULL)
		look->code = wa_fail(look->err, WA_REFUSED, "it makes a tablespace, and "
							 "does not say where");
	else
	{
		location = (const char *) record + data + 4;
		/* in place: below the data directory */
		if (location[0] == '\0' ||
			(look->rule == WA_TABLESPACES_EMPTY &&
			 (is_empty(location) ||
			  is_ours(wa_get32(record + data), location))))
			return;
		look->code = wa_fail(look->err, WA_REFUSED, "it makes a tablespace in "
							 "\"%.300s\"%s", location,
							 look->rule == WA_TABLESPACES_EMPTY ?
							 ", which is not empty: what is there would be "
							 "overwritten" : "");
	}
	wa_hint(look->err, "Recover on another machine, or from a backup that was "
			"taken after the tablespace had been made. With "
			"--new-tablespaces any in restore_command it is made all the "
			"same");
}

static void
take_record(void *arg, const WaRecord *record, uint64_t lsn, uint64_t end_lsn)
{
	Look	   *look = arg;

	if (record->kind == WA_RECORD_TABLESPACE && look->code == WA_OK)
		judge(look, lsn);
}

/* The size of its pages, and its place, as its first page says. */
static bool
read_place(Look *look)
{
	unsigned char page[WA_WALHEADER_BYTES];
	WaWalHeader header;

	if (pread(look->fd, page, sizeof(page), 0) != sizeof(page))
		return false;
	wa_walheader_read(page, &header);
	look->block_bytes = header.block_bytes;
	look->segment_lsn = header.pageaddr;
	return look->block_bytes > WA_WALHEADER_BYTES;
}

static WaCode
walk(Look *look, const WaWalName *name, uint32_t segment_bytes, char *buffer)
{
	WaScan	   *scan = wa_scan_open(name, segment_bytes, 0);
	const WaScanResult *result;
	WaRecordHeader header;
	ssize_t		got;

	if (scan == NULL)
		return wa_fail(look->err, WA_NO_MEMORY, "out of memory");
	wa_scan_watch(scan, take_record, look);
	while ((got = read(look->fd, buffer, READ_BYTES)) > 0)
		wa_scan_feed(scan, buffer, (size_t) got);
	if (got < 0)
		look->code = wa_fail_errno(look->err, errno, "could not read \"%s\"",
								   look->path);
	result = wa_scan_finish(scan);
	if (look->code == WA_OK && result->tail.lsn != 0 &&
		result->tail.bytes >= WA_RECORD_HEADER_BYTES)
	{
		wa_record_header_read(result->tail.start, &header);
		if (wa_record_kind(&header) == WA_RECORD_TABLESPACE)
			judge(look, result->tail.lsn);
	}
	wa_scan_close(scan);
	return look->code;
}

WaCode
wa_tablespaces_check(const char *path, const char *name, WaTablespaces rule,
					 WaError *err)
{
	Look		look = {.path = path, .rule = rule, .err = err};
	WaWalName	parsed;
	WaError		ignored;
	struct stat st;
	char	   *buffer;
	WaCode		code;

	if (rule == WA_TABLESPACES_ANY ||
		wa_walname_parse(name, &parsed, &ignored) != WA_OK ||
		parsed.kind != WA_KIND_SEGMENT)
		return WA_OK;
	buffer = malloc(READ_BYTES);
	if (buffer == NULL)
		return wa_fail(err, WA_NO_MEMORY, "out of memory");
	look.fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (look.fd < 0 || fstat(look.fd, &st) != 0)
		code = wa_fail_errno(err, errno, "could not open \"%s\"", path);
	else if (!read_place(&look))
		code = wa_fail(err, WA_DAMAGED, "\"%s\" does not begin with a page of "
					   "WAL", path);
	else
		code = walk(&look, &parsed, (uint32_t) st.st_size, buffer);
	if (look.fd >= 0)
		close(look.fd);
	free(buffer);
	return code;
}
