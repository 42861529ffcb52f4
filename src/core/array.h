/*
 * array.h
 *	  Arrays that only grow.
 */
#ifndef WA_ARRAY_H
#define WA_ARRAY_H

#include <stddef.h>

/*
 * Room for one more than `count` items in a malloc'ed array that was made by
 * this function alone (NULL at first); its capacity follows from the count.
 * The array may move: the caller keeps what is returned.  NULL when out of
 * memory; then the array is what it was, and still the caller's.
 */
extern void *wa_array_room(void *array, size_t count, size_t item_bytes);

#endif							/* WA_ARRAY_H */
