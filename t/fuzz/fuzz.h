/*
 * fuzz.h
 *	  What the fuzz targets share.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A property of the code; an input that breaks it is a finding. */
#define hold(property) \
	do { \
		if (!(property)) \
		{ \
			fprintf(stderr, "broken: %s (%s line %d)\n", #property, \
					__FILE__, __LINE__); \
			abort(); \
		} \
	} while (0)

/* A string of exactly these bytes, so that reading behind it is seen. */
static inline char *
fuzz_text(const uint8_t *data, size_t size)
{
	char	   *text = malloc(size + 1);

	hold(text != NULL);
	memcpy(text, data, size);
	text[size] = '\0';
	return text;
}

/* The first bytes steer a target; a short input steers it with zeros. */
static inline void
fuzz_take(const uint8_t **data, size_t *size, void *to, size_t bytes)
{
	size_t		some = *size < bytes ? *size : bytes;

	memset(to, 0, bytes);
	memcpy(to, *data, some);
	*data += some;
	*size -= some;
}

#endif							/* FUZZ_H */
