/*
 * store_memo.h
 *	  What one process remembers of a place between openings: the side that
 *	  only stores use.
 */
#ifndef WA_STORE_MEMO_H
#define WA_STORE_MEMO_H

#include "store/store.h"

/* Do we know that this directory's own name is durable?  memo may be NULL. */
extern bool wa_memo_knows(WaStoreMemo *memo, uint64_t device, uint64_t inode);
extern void wa_memo_learn(WaStoreMemo *memo, uint64_t device, uint64_t inode);
extern void wa_memo_forget(WaStoreMemo *memo, uint64_t device, uint64_t inode);

/* A number never given before; 0 without a memo. */
extern uint64_t wa_memo_next_number(WaStoreMemo *memo);

/* The object was replaced by one written anew, or its fsync has succeeded. */
extern void wa_memo_suspect_clear(WaStoreMemo *memo, const char *key);

#endif							/* WA_STORE_MEMO_H */
