/*
 * spool.h
 *	  A directory of proven segments, fetched ahead of the recovery that will
 *	  ask for them.
 *
 * PLACE/KEY/ belongs to one recovery of one server: the key is made of all
 * that could make a segment another's.  In it: segments, each complete and
 * proven from the moment it has its name; "NAME.walarch", one that is being
 * fetched; "ask", a FIFO that tells the keeper (the one process that fills
 * the spool) what was asked for; "lock", which the keeper holds.
 *
 * wa_spool_open and what follows it is for the command that asks,
 * wa_spool_claim (spool_keep.c) for the keeper.
 */
#ifndef WA_SPOOL_H
#define WA_SPOOL_H

#include <stdbool.h>
#include <stdint.h>

#include "archive/delivery.h"
#include "archive/postmaster.h"
#include "core/error.h"
#include "core/walheader.h"
#include "core/walname.h"

#define WA_SPOOL_KEY_BYTES	17	/* sixteen hexadecimal digits and a NUL */
#define WA_SPOOL_USELESS	"useless"	/* an ask: stop, nobody can use it */

typedef struct WaSpool
{
	int			dir_fd;
	int			lock_fd;		/* the keeper's; else -1 */
	int			ask_fd;			/* the keeper's; else -1 */
	char		directory[WA_DELIVERY_PATH_BYTES];	/* PLACE/KEY */
} WaSpool;

typedef enum WaSpoolTake
{
	WA_SPOOL_TAKEN,
	WA_SPOOL_MISSING,			/* not there, or not what it should be */
	WA_SPOOL_ELSEWHERE			/* cannot be renamed to the destination */
} WaSpoolTake;

/*
 * Where the spool of a server goes: `given`, or a place of our own choice
 * when that is NULL.  pg_wal is the directory files are delivered to, and a
 * rename from the place to it must be possible.  False: there is no such
 * place; *why is then NULL or what is wrong with the given one.
 */
extern bool wa_spool_place(const char *given, const char *pg_wal,
						   char *place, const char **why);

/* words: whatever else decides what is fetched, such as the archive's path. */
extern void wa_spool_key(const WaPostmaster *postmaster,
						 uint64_t system_identifier,
						 const char *const *words, int count, char *key);

/* False when there is none, or one that others could write to. */
extern bool wa_spool_open(const char *place, const char *key, WaSpool *spool);

/*
 * Deliver a segment by a rename.  Its digest was compared when it was put
 * here; size and first page are looked at again.
 */
extern WaSpoolTake wa_spool_take(const WaSpool *spool,
								 const WaWalExpect *expect,
								 const WaDestination *destination);

/*
 * Wait while a living keeper is fetching this segment, and until it comes
 * to an end or to a standstill.  False if it was not being fetched.
 */
extern bool wa_spool_wait(const WaSpool *spool, const WaWalName *name,
						  uint32_t segment_bytes);

/* Tell the keeper; false when there is none. */
extern bool wa_spool_ask(const WaSpool *spool, const char *what);

/* Safe twice, and on a zeroed one that was never opened. */
extern void wa_spool_close(WaSpool *spool);

/*
 * Become the keeper of PLACE/KEY, empty.  False when there is one already or
 * it cannot be made.
 */
extern bool wa_spool_claim(const char *place, const char *key,
						   WaSpool *spool);

/* What was asked last, if anything was: a name, or useless. */
extern bool wa_spool_asked(const WaSpool *spool, WaWalName *name,
						   bool *useless);

/* Remove every segment, complete or not, that `keep` (NULL: none) denies. */
extern void wa_spool_prune(const WaSpool *spool,
						   bool (*keep) (void *arg, const WaWalName *name),
						   void *arg);

/* Has the file system this many bytes left? */
extern bool wa_spool_room(const WaSpool *spool, uint64_t bytes);

/* Remove what dead keepers of other keys left in the place. */
extern void wa_spool_sweep(const char *place, const char *own_key);

/* Remove it and all that is in it; the place, too, if `also_place`. */
extern void wa_spool_release(WaSpool *spool, const char *place,
							 bool also_place);

#endif							/* WA_SPOOL_H */
