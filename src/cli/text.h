/*
 * text.h
 *	  Text as people type and read it.
 *
 * A restore point, the label of a backup, a file's name: whoever made it
 * chose the bytes.  A terminal gets only characters from us.
 */
#ifndef WA_TEXT_H
#define WA_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Print text with "?" in place of every byte that is not part of one. */
extern void wa_text_print(FILE *file, const char *text);

/* A whole number between two others, decimal digits only. */
extern bool wa_text_number(const char *text, uint64_t least, uint64_t most,
						   uint64_t *value);

/*
 * A length of time as PostgreSQL's settings take it, in microseconds: a whole
 * number and s, min, h or d; seconds without a unit.
 */
extern bool wa_text_duration(const char *text, int64_t *us);

/* An amount of memory likewise: kB, MB, GB or TB; megabytes without one. */
extern bool wa_text_size(const char *text, uint64_t *bytes);

/* "42 MB", or "512 kB" where that says more. */
#define WA_SIZE_TEXT_BYTES	32
extern const char *wa_text_of_size(uint64_t bytes, char *text);

#endif							/* WA_TEXT_H */
