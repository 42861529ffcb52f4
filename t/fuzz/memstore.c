/*
 * memstore.c
 *	  A store of one object, in memory.
 */
#include "memstore.h"

/* In pieces, as a real store reads. */
#define PIECE_BYTES	4096

static WaCode
mem_get(WaStore *store, const char *key, const WaStat *expected,
		uint64_t offset, uint64_t limit, WaSink *to, WaError *err)
{
	MemStore   *self = (MemStore *) store;
	const char *at = self->data;
	uint64_t	left = offset < self->length ? self->length - offset : 0;

	at += self->length - left;
	left = left < limit ? left : limit;
	while (left > 0)
	{
		size_t		some = left < PIECE_BYTES ? (size_t) left : PIECE_BYTES;

		if (wa_sink_write(to, at, some, err) != WA_OK)
			return err->code;
		at += some;
		left -= some;
	}
	return WA_OK;
}

static WaCode
mem_stat(WaStore *store, const char *key, WaStat *stat, WaError *err)
{
	memset(stat, 0, sizeof(*stat));
	stat->bytes = ((MemStore *) store)->length;
	return WA_OK;
}

static WaCode
mem_list(WaStore *store, const char *prefix, WaListFn each, void *arg,
		 WaError *err)
{
	return each(arg, ((MemStore *) store)->listed, false, err);
}

static const WaStoreOps ops = {
	.get = mem_get,
	.stat = mem_stat,
	.list = mem_list
};

WaStore *
memstore(MemStore *self, const void *data, size_t length)
{
	self->store.ops = &ops;
	self->store.place = "memory";
	self->data = data;
	self->length = length;
	return &self->store;
}
