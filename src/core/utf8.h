/*
 * utf8.h
 *	  Characters that can be shown to people.
 */
#ifndef WA_UTF8_H
#define WA_UTF8_H

#include <stddef.h>

/*
 * The length in bytes of the character at `text`, if it is UTF-8 (RFC 3629)
 * and neither controls a terminal nor turns the direction of the text; 0 for
 * anything else, also for the end.
 */
extern size_t wa_utf8_character(const char *text);

#endif							/* WA_UTF8_H */
