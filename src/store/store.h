/*
 * store.h
 *	  Places: opaque keys and opaque bytes.
 *
 * A key is a relative path of one or more parts joined by '/', each of
 * letters, digits, '.', '-' and '_', none of them beginning with a dot.
 * A store knows nothing of WAL or compression.
 *
 * Writing has two phases, so that what is durable can stay invisible until
 * its turn comes:
 *
 *	put_begin, write ..., stage		the bytes are on stable storage
 *	commit							visible under the key; never replaces
 *	sync							every commit so far is durable, name and all
 *
 * A store and everything opened from it belong to one thread at a time; a
 * WaStoreMemo may be shared.
 */
#ifndef WA_STORE_H
#define WA_STORE_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>

#include "core/error.h"
#include "core/sink.h"
#include "store/beat.h"

#define WA_KEY_BYTES	160		/* longest key, with its NUL */
#define WA_TOKEN_BYTES	17		/* 16 hexadecimal digits and a NUL */

typedef struct WaStore WaStore;
typedef struct WaPut WaPut;
typedef struct WaStoreMemo WaStoreMemo;

/* Identity and size of an object at one moment. */
typedef struct WaStat
{
	uint64_t	bytes;
	uint64_t	identity[4];	/* compared, not interpreted */
} WaStat;

/* Are both the same object, unchanged? */
static inline bool
wa_stat_equal(const WaStat *a, const WaStat *b)
{
	return a->bytes == b->bytes &&
		memcmp(a->identity, b->identity, sizeof(a->identity)) == 0;
}

/* What became of abandoned temporaries. */
typedef struct WaSwept
{
	uint64_t	removed;
	uint64_t	stayed;			/* could not be removed */
} WaSwept;

typedef struct WaStoreOptions
{
	char		token[WA_TOKEN_BYTES];	/* part of the names of temporaries */
	mode_t		file_mode;
	mode_t		dir_mode;
	WaStoreMemo *memo;			/* may be NULL: remember nothing */
	WaBeat	   *beat;			/* may be NULL: nobody watches */
} WaStoreOptions;

/* Called for each key of a listing; anything but WA_OK ends it. */
typedef WaCode (*WaListFn) (void *arg, const char *key, bool is_prefix,
							WaError *err);

typedef struct WaStoreOps
{
	WaCode		(*put_begin) (WaStore *store, const char *key, WaPut **put,
							  WaError *err);
	WaCode		(*put_write) (WaPut *put, const void *data, size_t length,
							  WaError *err);
	WaCode		(*put_stage) (WaPut *put, WaError *err);
	WaCode		(*put_commit) (WaPut *put, WaError *err);
	WaCode		(*put_set_aside) (WaPut *put, const WaStat *judged,
								  const char *aside_key, WaError *err);
	void		(*put_close) (WaPut *put);
	WaCode		(*sync) (WaStore *store, WaError *err);
	WaCode		(*persist) (WaStore *store, const char *key, WaError *err);
	WaCode		(*get) (WaStore *store, const char *key, const WaStat *expected,
						uint64_t offset, uint64_t limit, WaSink *to,
						WaError *err);
	WaCode		(*stat) (WaStore *store, const char *key, WaStat *stat,
						 WaError *err);
	WaCode		(*make_prefix) (WaStore *store, const char *prefix,
								WaError *err);
	WaCode		(*list) (WaStore *store, const char *prefix, WaListFn each,
						 void *arg, WaError *err);
	WaCode		(*remove) (WaStore *store, const char *key, WaError *err);
	WaCode		(*remove_prefix) (WaStore *store, const char *prefix,
								  WaError *err);
	WaCode		(*lock) (WaStore *store, const char *key, WaError *err);
	WaCode		(*sweep) (WaStore *store, const char *const *tokens,
						  int tokens_count, WaSwept *swept, WaError *err);
	WaCode		(*free_bytes) (WaStore *store, uint64_t *bytes, WaError *err);
	void		(*close) (WaStore *store);
} WaStoreOps;

struct WaStore
{
	const WaStoreOps *ops;
	const char *place;			/* for messages, such as the path */
};

struct WaPut
{
	const WaStoreOps *ops;
	WaStore    *store;			/* NULL while detached */
	char		key[WA_KEY_BYTES];
};

/*
 * Open a directory.  WA_NO_DIRECTORY when it is not there, WA_INVALID when
 * the path is not absolute or not a directory.  The handle stays on that
 * directory whatever becomes of the path.
 */
extern WaCode wa_store_dir_open(const char *path,
								const WaStoreOptions *options,
								WaStore **store, WaError *err);

/*
 * What one process remembers of a directory between openings: which parents
 * are known to be durable, and which objects a failed fsync made suspect.
 * Threads may share it.  NULL when out of memory.
 */
extern WaStoreMemo *wa_store_memo_open(void);
extern void wa_store_memo_close(WaStoreMemo *memo);	/* safe on NULL */

/* An fsync failed, or may yet fail, after the object had become visible. */
extern void wa_store_memo_suspect_add(WaStoreMemo *memo, const char *key);

/* So many, or nobody knows which: from now on every object is suspect. */
extern void wa_store_memo_suspect_all(WaStoreMemo *memo);

/* Is there an fsync of this object that failed or has not come back? */
extern bool wa_store_memo_suspect(WaStoreMemo *memo, const char *key);

/*
 * The suspects, up to keys_max of them; returns how many there are, which
 * is more than keys_max when not all are listed.
 */
extern int	wa_store_memo_suspects(WaStoreMemo *memo,
								   char (*keys)[WA_KEY_BYTES], int keys_max);

/* Is the key well-formed? */
extern bool wa_key_valid(const char *key);

/* Begin an object; nothing is visible yet. */
extern WaCode wa_put_begin(WaStore *store, const char *key, WaPut **put,
						   WaError *err);
extern WaCode wa_put_write(WaPut *put, const void *data, size_t length,
						   WaError *err);

/* Make the bytes durable, still invisible. */
extern WaCode wa_put_stage(WaPut *put, WaError *err);

/*
 * Make a staged object visible.  WA_EXISTS when the key has an object
 * already, which is never replaced.  WA_CHANGED when the staged bytes are
 * not there any more.  WA_UNSUPPORTED when the place can promise that by no
 * means.
 */
extern WaCode wa_put_commit(WaPut *put, WaError *err);

/*
 * Keep the old bytes under aside_key and put the staged object in their
 * place; the key is never absent.  `judged` says which object was found
 * wanting: WA_CHANGED when another is there by now, and nothing is done.
 * WA_EXISTS when aside_key is taken.
 */
extern WaCode wa_put_set_aside(WaPut *put, const WaStat *judged,
							   const char *aside_key, WaError *err);

/*
 * A small object in one call: durable on return, name and all.  WA_EXISTS as
 * for a commit.
 */
extern WaCode wa_store_put(WaStore *store, const char *key, const void *data,
						   size_t length, WaError *err);

/* Give a put that is not committed another key. */
extern void wa_put_rekey(WaPut *put, const char *key);

/*
 * Let go of the store, which may then be closed, and go on in another opening
 * of the same place.  Only for a staged put.
 */
extern void wa_put_detach(WaPut *put);
extern void wa_put_attach(WaPut *put, WaStore *store);

/*
 * Release; what was not committed is removed, or left to a sweep if the put
 * is detached.  Safe on NULL.
 */
extern void wa_put_close(WaPut *put);

/* A sink that writes to a put; closing it does not close the put. */
typedef struct WaPutSink
{
	WaSink		sink;
	WaPut	   *put;
	uint64_t	written;
} WaPutSink;

extern WaSink *wa_put_sink(WaPutSink *sink, WaPut *put);

/* Make every commit and set_aside since the last sync durable. */
extern WaCode wa_store_sync(WaStore *store, WaError *err);

/* Make an object that was there already durable, data and name. */
extern WaCode wa_store_persist(WaStore *store, const char *key, WaError *err);

/*
 * Push up to limit bytes from offset on into a sink (UINT64_MAX: all).
 * The sink is neither finished nor closed.  With `expected`, WA_CHANGED when
 * another object has the key by now.  WA_NOT_FOUND when absent.
 */
extern WaCode wa_store_get(WaStore *store, const char *key,
						   const WaStat *expected, uint64_t offset,
						   uint64_t limit, WaSink *to, WaError *err);

/* WA_NOT_FOUND is proof of absence in this very place. */
extern WaCode wa_store_stat(WaStore *store, const char *key, WaStat *stat,
							WaError *err);

/*
 * Make a prefix that is to exist from the beginning, durably.  From then on
 * "absent" is believed only below prefixes that exist: a lookup whose first
 * part is missing is WA_IO, since something has been taken away.
 */
extern WaCode wa_store_make_prefix(WaStore *store, const char *prefix,
								   WaError *err);

/*
 * The names directly below a prefix ("" for the top), unsorted, hidden ones
 * included; is_prefix tells those that have names below them.
 */
extern WaCode wa_store_list(WaStore *store, const char *prefix, WaListFn each,
							void *arg, WaError *err);

/* Durable with the next sync.  WA_NOT_FOUND when it is not there. */
extern WaCode wa_store_remove(WaStore *store, const char *key, WaError *err);

/* Remove a prefix that has no names below it; otherwise it stays, and WA_OK. */
extern WaCode wa_store_remove_prefix(WaStore *store, const char *prefix,
									 WaError *err);

/*
 * Keep everybody else from taking the same lock, until the store is closed or
 * the process ends.  An empty object of that key comes into being and stays.
 * WA_OK when this store has it already, WA_EXISTS when somebody else has;
 * WA_UNSUPPORTED when the place knows no locks; WA_INVALID beyond the most that
 * a store may hold.
 */
#define WA_STORE_LOCKS_MAX	2
extern WaCode wa_store_lock(WaStore *store, const char *key, WaError *err);

/*
 * Remove abandoned temporaries: those that carry one of the tokens, and
 * those nobody touched for a day by the clock of the place itself.  One that
 * cannot be removed is no failure.
 */
extern WaCode wa_store_sweep(WaStore *store, const char *const *tokens,
							 int tokens_count, WaSwept *swept, WaError *err);

/* Room left for us. */
extern WaCode wa_store_free_bytes(WaStore *store, uint64_t *bytes,
								  WaError *err);

/* Safe on NULL. */
extern void wa_store_close(WaStore *store);

#endif							/* WA_STORE_H */
