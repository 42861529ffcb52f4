/*
 * store.c
 *	  What all stores share: checked calls through the table, key rules, and
 *	  what a process remembers.
 */
#include "store/store.h"

#include <assert.h>
#include <string.h>

bool
wa_key_valid(const char *key)
{
	bool		part_begins = true;
	size_t		length = 0;

	for (const char *c = key; *c != '\0'; c++, length++)
	{
		if (*c == '/')
		{
			if (part_begins)
				return false;
			part_begins = true;
			continue;
		}
		if (part_begins && *c == '.')
			return false;
		if (!(*c >= 'A' && *c <= 'Z') && !(*c >= 'a' && *c <= 'z') &&
			!(*c >= '0' && *c <= '9') && strchr(".-_", *c) == NULL)
			return false;
		part_begins = false;
	}
	return length > 0 && length < WA_KEY_BYTES && !part_begins;
}

/*
 * Names that are listed may be anything, and a key made of one none: that is an
 * error, and no reason to take the server down.
 */
static WaCode
check_key(const char *key, WaError *err)
{
	return wa_key_valid(key) ? WA_OK :
		wa_fail(err, WA_INVALID, "\"%.100s\" is not a valid key", key);
}

WaCode
wa_put_begin(WaStore *store, const char *key, WaPut **put, WaError *err)
{
	*put = NULL;
	if (check_key(key, err) != WA_OK)
		return err->code;
	return store->ops->put_begin(store, key, put, err);
}

WaCode
wa_put_write(WaPut *put, const void *data, size_t length, WaError *err)
{
	return put->ops->put_write(put, data, length, err);
}

WaCode
wa_put_stage(WaPut *put, WaError *err)
{
	return put->ops->put_stage(put, err);
}

WaCode
wa_put_commit(WaPut *put, WaError *err)
{
	return put->ops->put_commit(put, err);
}

WaCode
wa_put_set_aside(WaPut *put, const WaStat *judged, const char *aside_key,
				 WaError *err)
{
	if (check_key(aside_key, err) != WA_OK)
		return err->code;
	return put->ops->put_set_aside(put, judged, aside_key, err);
}

WaCode
wa_store_put(WaStore *store, const char *key, const void *data, size_t length,
			 WaError *err)
{
	WaPut	   *put;
	WaCode		code = wa_put_begin(store, key, &put, err);

	if (code != WA_OK)
		return code;
	code = wa_put_write(put, data, length, err);
	if (code == WA_OK)
		code = wa_put_stage(put, err);
	if (code == WA_OK)
		code = wa_put_commit(put, err);
	if (code == WA_OK)
		code = wa_store_sync(store, err);
	wa_put_close(put);
	return code;
}

void
wa_put_rekey(WaPut *put, const char *key)
{
	assert(wa_key_valid(key));
	memccpy(put->key, key, '\0', WA_KEY_BYTES);
}

void
wa_put_detach(WaPut *put)
{
	put->store = NULL;
}

void
wa_put_attach(WaPut *put, WaStore *store)
{
	put->store = store;
}

void
wa_put_close(WaPut *put)
{
	if (put != NULL)
		put->ops->put_close(put);
}

WaCode
wa_store_sync(WaStore *store, WaError *err)
{
	return store->ops->sync(store, err);
}

WaCode
wa_store_persist(WaStore *store, const char *key, WaError *err)
{
	if (check_key(key, err) != WA_OK)
		return err->code;
	return store->ops->persist(store, key, err);
}

WaCode
wa_store_get(WaStore *store, const char *key, const WaStat *expected,
			 uint64_t offset, uint64_t limit, WaSink *to, WaError *err)
{
	if (check_key(key, err) != WA_OK)
		return err->code;
	return store->ops->get(store, key, expected, offset, limit, to, err);
}

WaCode
wa_store_stat(WaStore *store, const char *key, WaStat *stat, WaError *err)
{
	if (check_key(key, err) != WA_OK)
		return err->code;
	return store->ops->stat(store, key, stat, err);
}

WaCode
wa_store_make_prefix(WaStore *store, const char *prefix, WaError *err)
{
	if (check_key(prefix, err) != WA_OK)
		return err->code;
	return store->ops->make_prefix(store, prefix, err);
}

WaCode
wa_store_list(WaStore *store, const char *prefix, WaListFn each, void *arg,
			  WaError *err)
{
	if (*prefix != '\0' && check_key(prefix, err) != WA_OK)
		return err->code;
	return store->ops->list(store, prefix, each, arg, err);
}

WaCode
wa_store_remove(WaStore *store, const char *key, WaError *err)
{
	if (check_key(key, err) != WA_OK)
		return err->code;
	return store->ops->remove(store, key, err);
}

WaCode
wa_store_remove_prefix(WaStore *store, const char *prefix, WaError *err)
{
	if (check_key(prefix, err) != WA_OK)
		return err->code;
	return store->ops->remove_prefix(store, prefix, err);
}

WaCode
wa_store_lock(WaStore *store, const char *key, WaError *err)
{
	if (check_key(key, err) != WA_OK)
		return err->code;
	return store->ops->lock(store, key, err);
}

WaCode
wa_store_sweep(WaStore *store, const char *const *tokens, int tokens_count,
			   WaSwept *swept, WaError *err)
{
	return store->ops->sweep(store, tokens, tokens_count, swept, err);
}

WaCode
wa_store_free_bytes(WaStore *store, uint64_t *bytes, WaError *err)
{
	return store->ops->free_bytes(store, bytes, err);
}

void
wa_store_close(WaStore *store)
{
	if (store != NULL)
		store->ops->close(store);
}

static WaCode
put_sink_write(WaSink *sink, const void *data, size_t length, WaError *err)
{
	WaPutSink  *self = (WaPutSink *) sink;

	self->written += length;
	return wa_put_write(self->put, data, length, err);
}

static void
put_sink_close(WaSink *sink)
{
	(void) sink;				/* the put belongs to the caller */
}

static const WaSinkOps put_sink_ops = {
	.write = put_sink_write,
	.finish = wa_sink_forward_finish,
	.close = put_sink_close
};

WaSink *
wa_put_sink(WaPutSink *sink, WaPut *put)
{
	sink->sink.ops = &put_sink_ops;
	sink->sink.next = NULL;
	sink->put = put;
	sink->written = 0;
	return &sink->sink;
}
