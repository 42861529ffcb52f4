/*
 * array.c
 *	  Arrays that only grow.
 */
#include "core/array.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#define FIRST	16				/* a power of two, as all capacities are */

void *
wa_array_room(void *array, size_t count, size_t item_bytes)
{
	bool		full = count == 0 ||
		(count >= FIRST && (count & (count - 1)) == 0);
	size_t		capacity = count < FIRST ? FIRST : 2 * count;

	if (!full)
		return array;
	if (capacity < count || capacity > SIZE_MAX / item_bytes)
		return NULL;
	return realloc(array, capacity * item_bytes);
}
