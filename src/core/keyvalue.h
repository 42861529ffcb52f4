/*
 * keyvalue.h
 *	  Lines "key: value", as in archive.id, in pins and in backups.
 */
#ifndef WA_KEYVALUE_H
#define WA_KEYVALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Split a line in place: it becomes the key, *value points behind the colon,
 * without the space around it.  False for a line that is none.
 */
extern bool wa_keyvalue_split(char *line, char **value);

/* Copy a value with its NUL; false when there is no room for it. */
extern bool wa_keyvalue_copy(char *to, size_t bytes, const char *value);

/*
 * Microseconds since 1970 as whole seconds in UTC, as in backup history files;
 * wa_backuphistory_time reads it.  Returns text, of these bytes.
 */
#define WA_KEYVALUE_TIME_BYTES	40
extern const char *wa_keyvalue_time_text(int64_t unix_us, char *text);

/*
 * Can it be the name of something that lies in a file of that name?  Letters,
 * digits, ".", "-" and "_", no dot first, in `bytes` with its NUL.
 */
extern bool wa_keyvalue_name_valid(const char *name, size_t bytes);

#endif							/* WA_KEYVALUE_H */
