/*
 * keyvalue.h
 *	  Lines "key: value", as in archive.id and in pins.
 */
#ifndef WA_KEYVALUE_H
#define WA_KEYVALUE_H

#include <stdbool.h>

/*
 * Split a line in place: it becomes the key, *value points behind the colon,
 * without the space around it.  False for a line that is none.
 */
extern bool wa_keyvalue_split(char *line, char **value);

#endif							/* WA_KEYVALUE_H */
