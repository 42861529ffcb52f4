/*
 * memstore.h
 *	  A store of one object, in memory: whatever key is asked for.
 */
#ifndef FUZZ_MEMSTORE_H
#define FUZZ_MEMSTORE_H

#include "store/store.h"

typedef struct MemStore
{
	WaStore		store;
	const void *data;
	size_t		length;
	const char *listed;			/* the one name of every listing */
} MemStore;

extern WaStore *memstore(MemStore *self, const void *data, size_t length);

#endif							/* FUZZ_MEMSTORE_H */
