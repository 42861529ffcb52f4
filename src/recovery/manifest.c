/*
 * manifest.c
 *	  The manifest of a base backup.
 */
#include "recovery/manifest.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/crc32c.h"
#include "recovery/process.h"
#include "recovery/unpack.h"

#define READ_BYTES		(256 * 1024)
#define OPEN_MAX_HERE	32
#define NAME			"backup_manifest"

/* What a manifest says nothing of: pg_verifybackup passes over these, too. */
static const char *const unlisted[] = {
	NAME, "pg_wal/", "postgresql.auto.conf", "recovery.signal",
	"standby.signal"
};

/* The paths that the manifest names, in order. */
typedef struct Paths
{
	size_t		count;
	char	  **paths;
} Paths;

static int
compare_paths(const void *a, const void *b)
{
	return strcmp(*(char *const *) a, *(char *const *) b);
}

static void
free_paths(Paths *paths)
{
	for (size_t i = 0; i < paths->count; i++)
		free(paths->paths[i]);
	free(paths->paths);
}

/* ---- one file --------------------------------------------------------------- */

static bool
hex_digit(char c, unsigned *value)
{
	const char *digits = "0123456789abcdef";
	const char *at = c != '\0' ? strchr(digits, c) : NULL;

	if (at != NULL)
		*value = (unsigned) (at - digits);
	return at != NULL;
}

/* Two digits a byte; *length is that of the bytes.  NULL: it is none. */
static char *
from_hex(const char *text, size_t *length)
{
	size_t		digits = strlen(text);
	char	   *bytes = digits % 2 == 0 ? malloc(digits / 2 + 1) : NULL;
	unsigned	high;
	unsigned	low;

	if (bytes == NULL)
		return NULL;
	*length = digits / 2;
	for (size_t i = 0; i < *length; i++)
	{
		if (!hex_digit(text[2 * i], &high) || !hex_digit(text[2 * i + 1], &low))
		{
			free(bytes);
			return NULL;
		}
		bytes[i] = (char) (high << 4 | low);
	}
	bytes[*length] = '\0';
	return bytes;
}

static WaCode
check_sum(int fd, const char *path, const char *wanted, char *buffer,
		  WaError *err)
{
	uint32_t	crc = 0;
	size_t		length;
	char	   *bytes = from_hex(wanted, &length);
	bool		same;
	ssize_t		got;

	while ((got = read(fd, buffer, READ_BYTES)) > 0)
		crc = wa_crc32c(crc, buffer, (size_t) got);
	/* as it lies in the memory of the usual machines */
	same = bytes != NULL && length == 4;
	for (size_t i = 0; i < 4 && same; i++)
		same = (unsigned char) bytes[i] == (crc >> (8 * i) & 0xFF);
	free(bytes);
	if (got < 0)
		return wa_fail_errno(err, errno, "could not read \"%s\"", path);
	return same ? WA_OK : wa_fail(err, WA_DAMAGED, "the backup is not what its "
								  "manifest says: \"%s\" has another checksum",
								  path);
}

static WaCode
check_file(const char *directory, const char *path, int64_t bytes,
		   const char *crc, char *buffer, WaError *err)
{
	char		full[PATH_MAX];
	struct stat st;
	WaCode		code = WA_OK;
	int			fd;

	if (snprintf(full, sizeof(full), "%s/%s", directory,
				 strcmp(path, WA_CONTROL_FILE) == 0 ? WA_CONTROL_HELD : path) >=
		(int) sizeof(full))
		return wa_fail(err, WA_DAMAGED, "\"%s/" NAME "\" names a path that is "
					   "too long", directory);
	fd = open(full, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	/* of a part that is to be combined it has its own name */
	if (fd < 0 && errno == ENOENT && strcmp(path, WA_CONTROL_FILE) == 0 &&
		snprintf(full, sizeof(full), "%s/%s", directory, path) > 0)
		fd = open(full, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 && errno == ENOENT)
		return wa_fail(err, WA_DAMAGED, "the backup is not what its manifest "
					   "says: \"%s\" is missing", path);
	if (fd < 0 || fstat(fd, &st) != 0)
		code = wa_fail_errno(err, errno, "could not open \"%s\"", full);
	else if ((int64_t) st.st_size != bytes)
		code = wa_fail(err, WA_DAMAGED, "the backup is not what its manifest "
					   "says: \"%s\" has %" PRId64 " bytes instead of %" PRId64,
					   path, (int64_t) st.st_size, bytes);
	else if (crc != NULL)
		code = check_sum(fd, path, crc, buffer, err);
	if (fd >= 0)
		close(fd);
	return code;
}

/* ---- what it names ---------------------------------------------------------- */

static const char *
text_of(json_object *entry, const char *name)
{
	json_object *value;

	return json_object_object_get_ex(entry, name, &value) &&
		json_object_is_type(value, json_type_string) ?
		json_object_get_string(value) : NULL;
}

/* malloc'ed; NULL when it has none, or nothing that could be one. */
static char *
path_of(json_object *entry)
{
	const char *plain = text_of(entry, "Path");
	const char *encoded = text_of(entry, "Encoded-Path");
	size_t		length;

	if (plain != NULL)
		return strdup(plain);
	return encoded != NULL ? from_hex(encoded, &length) : NULL;
}

static WaCode
check_entry(const char *directory, json_object *entry, const char *only,
			char *buffer, char **path, WaError *err)
{
	const char *algorithm = text_of(entry, "Checksum-Algorithm");
	const char *sum = text_of(entry, "Checksum");
	json_object *bytes;

	*path = path_of(entry);
	if (*path == NULL ||
		!json_object_object_get_ex(entry, "Size", &bytes) ||
		!json_object_is_type(bytes, json_type_int))
		return wa_fail(err, WA_DAMAGED, "\"%s/" NAME "\" is damaged: a file in "
					   "it has no path, or no size", directory);
	if (only != NULL && strcmp(only, *path) != 0)
		return WA_OK;
	return check_file(directory, *path, json_object_get_int64(bytes),
					  algorithm != NULL && strcmp(algorithm, "CRC32C") == 0 ?
					  sum : NULL, buffer, err);
}

static WaCode
check_entries(const char *directory, json_object *files, const char *only,
			  Paths *paths, WaError *err)
{
	size_t		count = json_object_array_length(files);
	char	   *buffer = malloc(READ_BYTES);
	WaCode		code = WA_OK;

	paths->paths = calloc(count + 1, sizeof(char *));
	if (buffer == NULL || paths->paths == NULL)
		code = wa_fail(err, WA_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < count && code == WA_OK; i++)
	{
		code = wa_process_told(err);
		if (code == WA_OK)
			code = check_entry(directory, json_object_array_get_idx(files, i),
							   only, buffer, &paths->paths[i], err);
		paths->count = i + 1;
	}
	free(buffer);
	return code;
}

/* ---- what it does not name -------------------------------------------------- */

/* nftw passes nothing on. */
static const Paths *named;
static size_t prefix;
static char stranger[PATH_MAX];

static int
look_at(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	const char *below = path + prefix;

	if (kind == FTW_D || strcmp(below, WA_CONTROL_HELD) == 0)
		return 0;
	for (size_t i = 0; i < sizeof(unlisted) / sizeof(unlisted[0]); i++)
	{
		size_t		length = strlen(unlisted[i]);

		if (unlisted[i][length - 1] == '/' ?
			strncmp(below, unlisted[i], length) == 0 :
			strcmp(below, unlisted[i]) == 0)
			return 0;
	}
	if (bsearch(&below, named->paths, named->count, sizeof(char *),
				compare_paths) != NULL)
		return 0;
	snprintf(stranger, sizeof(stranger), "%s", below);
	return 1;
}

static WaCode
check_strangers(const char *directory, Paths *paths, WaError *err)
{
	int			result;

	qsort(paths->paths, paths->count, sizeof(char *), compare_paths);
	named = paths;
	prefix = strlen(directory) + 1;
	/* tablespaces are behind links */
	result = nftw(directory, look_at, OPEN_MAX_HERE, 0);
	if (result < 0)
		return wa_fail_errno(err, errno, "could not look through \"%s\"",
							 directory);
	return result == 0 ? WA_OK : wa_fail(err, WA_DAMAGED, "the backup is not "
										 "what its manifest says: \"%s\" is "
										 "not in it", stranger);
}

WaCode
wa_manifest_check(const char *directory, const char *only, WaError *err)
{
	char		path[PATH_MAX];
	json_object *manifest;
	json_object *files;
	Paths		paths = {0};
	WaCode		code;

	snprintf(path, sizeof(path), "%.2000s/" NAME, directory);
	manifest = json_object_from_file(path);
	if (manifest == NULL ||
		!json_object_object_get_ex(manifest, "Files", &files) ||
		!json_object_is_type(files, json_type_array))
		code = wa_fail(err, WA_DAMAGED, "\"%s\" is no manifest of a backup",
					   path);
	else
		code = check_entries(directory, files, only, &paths, err);
	if (code == WA_OK && only == NULL)
		code = check_strangers(directory, &paths, err);
	json_object_put(manifest);
	free_paths(&paths);
	return code;
}
