/*
 * handover.h
 *	  How segments fetched ahead change hands: a socket.
 *
 * Its name, in the abstract name space, is made of all that could make a
 * segment another's: server, start, cluster, archive.  Who has bound it is
 * the one that fetches ahead for this recovery ("the keeper"); each restore
 * command tells it in one message where recovery is, and may take a
 * descriptor.  Neither side deals with another user.
 */
#ifndef WA_HANDOVER_H
#define WA_HANDOVER_H

#include <stdbool.h>
#include <stdint.h>

#include "archive/postmaster.h"
#include "core/walname.h"

#define WA_HANDOVER_KEY_BYTES	17	/* sixteen hexadecimal digits and a NUL */

/*
 * words: whatever else decides what is fetched, such as the archive's path.
 * False when out of memory.
 */
extern bool wa_handover_key(const WaPostmaster *postmaster,
							uint64_t system_identifier,
							const char *const *words, int count, char *key);

/* --- the command that asks --- */

/* True: there is a keeper, which now knows that this segment was asked for. */
extern bool wa_handover_tell(const char *key, const WaWalName *name);

/*
 * The same, and its file, for which to wait at most so long after each sign
 * of life: it may be being fetched.  *fd is -1 when it has none.
 */
extern bool wa_handover_take(const char *key, const WaWalName *name,
							 int patience_ms, int *fd);

/* --- the keeper --- */

/* Become the keeper: a socket to poll, or -1 when there is one already. */
extern int	wa_handover_listen(const char *key);

/*
 * The next request that waits; false: none.  *client is -1, or a descriptor
 * that wants to be answered.
 */
extern bool wa_handover_request(int listener, WaWalName *name, int *client);

/*
 * Its file is being fetched, and that goes on: to begin anew would only take
 * longer.
 */
extern void wa_handover_hold_on(int client);

/* Answer with a file, or -1 for none; closes both. */
extern void wa_handover_answer(int client, int fd);

#endif							/* WA_HANDOVER_H */
