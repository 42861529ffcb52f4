/*
 * json.h
 *	  JSON, one member after the other, on stdout unless told otherwise.
 */
#ifndef WA_JSON_H
#define WA_JSON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* Where the next document goes; NULL: stdout. */
extern void wa_json_to(FILE *file);

/* Objects and arrays nest; name is NULL inside an array and at the top. */
extern void wa_json_object(const char *name);
extern void wa_json_array(const char *name);
extern void wa_json_end(void);

/* NULL or empty is null; bytes that are not UTF-8 become U+FFFD. */
extern void wa_json_string(const char *name, const char *text);

extern void wa_json_number(const char *name, int64_t value);
extern void wa_json_bool(const char *name, bool value);

/* An LSN as PostgreSQL prints it; null for 0. */
extern void wa_json_lsn(const char *name, uint64_t lsn);

/* Microseconds since 1970 as ISO 8601 in UTC; null unless known. */
extern void wa_json_time(const char *name, bool known, int64_t unix_us);

#endif							/* WA_JSON_H */
