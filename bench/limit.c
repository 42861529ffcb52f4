/*
 * limit.c
 *	  What a program can reach that does nothing but the work: read, zstd in
 *	  one call with its checksum, write, fsync, rename, fsync of the directory.
 *
 *	limit PG_WAL DESTINATION THREADS LEVEL
 *
 * Archives every segment that has a .ready.  No check, no digest, no order.
 */
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#define THREADS_MAX		64
#define NAME_BYTES		25
#define PATH_BYTES		4096

static const char *source;
static const char *destination;
static int	level;
static char (*names)[NAME_BYTES];
static int	names_count;
static int	next_name;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static void
die(const char *what)
{
	perror(what);
	exit(1);
}

static int
by_name(const void *a, const void *b)
{
	return strcmp(a, b);
}

static void
find_names(void)
{
	char		path[PATH_BYTES];
	DIR		   *dir;
	struct dirent *entry;

	snprintf(path, sizeof(path), "%s/archive_status", source);
	dir = opendir(path);
	if (dir == NULL)
		die(path);
	while ((entry = readdir(dir)) != NULL)
	{
		if (strlen(entry->d_name) != 30 ||
			strcmp(entry->d_name + 24, ".ready") != 0)
			continue;
		names = realloc(names, sizeof(*names) * (size_t) (names_count + 1));
		if (names == NULL)
			die("realloc");
		snprintf(names[names_count++], NAME_BYTES, "%.24s", entry->d_name);
	}
	closedir(dir);
	qsort(names, (size_t) names_count, sizeof(*names), by_name);
}

static size_t
read_all(const char *name, char **raw, size_t *capacity)
{
	char		path[PATH_BYTES];
	struct stat st;
	size_t		length = 0;
	int			fd;

	snprintf(path, sizeof(path), "%s/%s", source, name);
	fd = open(path, O_RDONLY);
	if (fd < 0 || fstat(fd, &st) != 0)
		die(path);
	if ((size_t) st.st_size > *capacity)
	{
		*capacity = (size_t) st.st_size;
		*raw = realloc(*raw, *capacity);
		if (*raw == NULL)
			die("realloc");
	}
	while (length < (size_t) st.st_size)
	{
		ssize_t		got = read(fd, *raw + length,
							   (size_t) st.st_size - length);

		if (got <= 0)
			die(path);
		length += (size_t) got;
	}
	close(fd);
	return length;
}

static void
store(const char *name, const char *data, size_t length, int dir_fd)
{
	char		temporary[PATH_BYTES];
	char		path[PATH_BYTES];
	int			fd;

	snprintf(temporary, sizeof(temporary), "%s/%s.tmp", destination, name);
	snprintf(path, sizeof(path), "%s/%s.zst", destination, name);
	fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL, 0600);
	if (fd < 0 || write(fd, data, length) != (ssize_t) length ||
		fsync(fd) != 0 || close(fd) != 0 || rename(temporary, path) != 0 ||
		fsync(dir_fd) != 0)
		die(path);
}

static void *
work(void *unused)
{
	ZSTD_CCtx  *context = ZSTD_createCCtx();
	char	   *raw = NULL;
	char	   *frame = NULL;
	size_t		raw_capacity = 0;
	size_t		frame_capacity = 0;
	int			dir_fd = open(destination, O_RDONLY | O_DIRECTORY);

	(void) unused;
	if (context == NULL || dir_fd < 0)
		die(destination);
	ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, level);
	ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
	for (;;)
	{
		const char *name = NULL;
		size_t		raw_bytes;
		size_t		bytes;

		pthread_mutex_lock(&mutex);
		if (next_name < names_count)
			name = names[next_name++];
		pthread_mutex_unlock(&mutex);
		if (name == NULL)
			break;
		raw_bytes = read_all(name, &raw, &raw_capacity);
		if (frame_capacity < ZSTD_compressBound(raw_bytes))
		{
			frame_capacity = ZSTD_compressBound(raw_bytes);
			frame = realloc(frame, frame_capacity);
			if (frame == NULL)
				die("realloc");
		}
		bytes = ZSTD_compress2(context, frame, frame_capacity, raw, raw_bytes);
		if (ZSTD_isError(bytes))
			die("zstd");
		store(name, frame, bytes, dir_fd);
	}
	ZSTD_freeCCtx(context);
	free(raw);
	free(frame);
	close(dir_fd);
	return NULL;
}

int
main(int argc, char **argv)
{
	pthread_t	threads[THREADS_MAX];
	int			count;

	if (argc != 5 || (count = atoi(argv[3])) < 1 || count > THREADS_MAX)
	{
		fputs("usage: limit PG_WAL DESTINATION THREADS LEVEL\n", stderr);
		return 2;
	}
	source = argv[1];
	destination = argv[2];
	level = atoi(argv[4]);
	find_names();
	for (int i = 0; i < count; i++)
		if (pthread_create(&threads[i], NULL, work, NULL) != 0)
			die("pthread_create");
	for (int i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
	free(names);
	return 0;
}
