/*
 * fixture.h
 *	  Files, WAL segments and archives for the unit tests.
 */
#ifndef FIXTURE_H
#define FIXTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "archive/push.h"
#include "store/store.h"

#define SYSID		UINT64_C(7234567890123456789)
#define SEG_1MB		(UINT32_C(1) << 20)
#define WAL_MAGIC	0xD110
#define TOKEN		"00112233445566aa"
#define SEG_NAME	"000000010000000000000002"	/* of what make_segment makes */

/*
 * A temporary directory of the process, made and entered by the first call
 * and removed, with all that is in it, when the process ends.
 */
extern const char *scratch(void);

/* An absolute path below it; static storage, eight at a time. */
extern const char *path_in_scratch(const char *format,...)
			__attribute__((format(printf, 1, 2)));

extern void write_file(const char *path, const void *data, size_t length);

/* malloc'ed, with a NUL behind; NULL when there is no such file. */
extern unsigned char *read_file(const char *path, size_t *length);
extern bool file_is(const char *path, const void *data, size_t length);

/* How many names a directory holds; 0 when there is none of that name. */
extern int	count_names(const char *directory);
extern void remove_tree(const char *path);

/* How many threads this process has, those of a sanitizer among them. */
extern int	count_threads(void);

/* Contents that compress about as well as WAL, the same for the same seed. */
extern void fill(unsigned char *data, size_t length, uint32_t seed);

/*
 * A segment in the middle of one long record: pages with their headers, and
 * fill() between them.
 */
extern void make_segment(unsigned char *data, uint32_t segment_bytes,
						 const char *name, uint64_t system_identifier,
						 uint32_t seed);

/* A clock and options as most tests want them. */
extern uint64_t test_clock_us(void);
extern void store_options(WaStoreOptions *options);
extern void archive_config(WaArchiveConfig *config, const char *path,
						   uint32_t segment_bytes);

/* Archive these bytes under a name, by way of a file "source"; 1 MB segments. */
extern void archive_bytes(const char *archive, const char *name,
						  const void *bytes, size_t length, int64_t now_us);

/*
 * The backup history file of a backup that began and ended in that segment of
 * timeline 1; its name, of WA_WALNAME_BYTES.  Returns the length of the text.
 */
extern size_t backup_history(unsigned segno, const char *time_zone,
							 char *name, char *text, size_t bytes);

/* Does this call fail for the user we are?  root may do everything. */
extern bool am_root(void);

#endif							/* FIXTURE_H */
