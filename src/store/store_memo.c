/*
 * store_memo.c
 *	  What one process remembers of a place between openings.
 *
 * Both lists are bounded.  Forgetting a durable parent costs an fsync;
 * forgetting a suspect could cost data, so when that list is full every
 * object counts as suspect.
 */
#include "store/store_memo.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define DIRECTORIES_MAX	64
#define SUSPECTS_MAX	64

struct WaStoreMemo
{
	pthread_mutex_t mutex;		/* guards everything below */
	uint64_t	last_number;
	int			directories_count;
	int			directories_next;	/* the oldest is overwritten */
	uint64_t	directories[DIRECTORIES_MAX][2];
	int			suspects_count;
	bool		suspects_overflow;
	char		suspects[SUSPECTS_MAX][WA_KEY_BYTES];
};

WaStoreMemo *
wa_store_memo_open(void)
{
	WaStoreMemo *memo = calloc(1, sizeof(*memo));

	if (memo != NULL)
		pthread_mutex_init(&memo->mutex, NULL);
	return memo;
}

void
wa_store_memo_close(WaStoreMemo *memo)
{
	if (memo == NULL)
		return;
	pthread_mutex_destroy(&memo->mutex);
	free(memo);
}

static int
find_suspect(const WaStoreMemo *memo, const char *key)
{
	for (int i = 0; i < memo->suspects_count; i++)
		if (strcmp(memo->suspects[i], key) == 0)
			return i;
	return -1;
}

bool
wa_store_memo_suspect(WaStoreMemo *memo, const char *key)
{
	bool		result;

	if (memo == NULL)
		return false;
	pthread_mutex_lock(&memo->mutex);
	result = memo->suspects_overflow || find_suspect(memo, key) >= 0;
	pthread_mutex_unlock(&memo->mutex);
	return result;
}

void
wa_store_memo_suspect_add(WaStoreMemo *memo, const char *key)
{
	if (memo == NULL)
		return;
	pthread_mutex_lock(&memo->mutex);
	if (find_suspect(memo, key) < 0)
	{
		if (memo->suspects_count < SUSPECTS_MAX)
			memccpy(memo->suspects[memo->suspects_count++], key, '\0',
					WA_KEY_BYTES);
		else
			memo->suspects_overflow = true;
	}
	pthread_mutex_unlock(&memo->mutex);
}

void
wa_store_memo_suspect_all(WaStoreMemo *memo)
{
	pthread_mutex_lock(&memo->mutex);
	memo->suspects_overflow = true;
	pthread_mutex_unlock(&memo->mutex);
}

int
wa_store_memo_suspects(WaStoreMemo *memo, char (*keys)[WA_KEY_BYTES],
					   int keys_max)
{
	int			count;

	pthread_mutex_lock(&memo->mutex);
	count = memo->suspects_count;
	for (int i = 0; i < count && i < keys_max; i++)
		memcpy(keys[i], memo->suspects[i], WA_KEY_BYTES);
	if (memo->suspects_overflow && count <= keys_max)
		count = keys_max + 1;
	pthread_mutex_unlock(&memo->mutex);
	return count;
}

void
wa_memo_suspect_clear(WaStoreMemo *memo, const char *key)
{
	int			at;

	if (memo == NULL)
		return;
	pthread_mutex_lock(&memo->mutex);
	at = find_suspect(memo, key);
	if (at >= 0)
		memmove(memo->suspects[at], memo->suspects[--memo->suspects_count],
				WA_KEY_BYTES);
	pthread_mutex_unlock(&memo->mutex);
}

bool
wa_memo_knows(WaStoreMemo *memo, uint64_t device, uint64_t inode)
{
	bool		result = false;

	if (memo == NULL)
		return false;
	pthread_mutex_lock(&memo->mutex);
	for (int i = 0; i < memo->directories_count && !result; i++)
		result = memo->directories[i][0] == device &&
			memo->directories[i][1] == inode;
	pthread_mutex_unlock(&memo->mutex);
	return result;
}

void
wa_memo_learn(WaStoreMemo *memo, uint64_t device, uint64_t inode)
{
	if (memo == NULL)
		return;
	pthread_mutex_lock(&memo->mutex);
	memo->directories[memo->directories_next][0] = device;
	memo->directories[memo->directories_next][1] = inode;
	memo->directories_next = (memo->directories_next + 1) % DIRECTORIES_MAX;
	if (memo->directories_count < DIRECTORIES_MAX)
		memo->directories_count++;
	pthread_mutex_unlock(&memo->mutex);
}

void
wa_memo_forget(WaStoreMemo *memo, uint64_t device, uint64_t inode)
{
	if (memo == NULL)
		return;
	pthread_mutex_lock(&memo->mutex);
	for (int i = 0; i < memo->directories_count; i++)
		if (memo->directories[i][0] == device &&
			memo->directories[i][1] == inode)
			memset(memo->directories[i], 0, sizeof(memo->directories[i]));
	pthread_mutex_unlock(&memo->mutex);
}

uint64_t
wa_memo_next_number(WaStoreMemo *memo)
{
	uint64_t	result;

	if (memo == NULL)
		return 0;
	pthread_mutex_lock(&memo->mutex);
	result = ++memo->last_number;
	pthread_mutex_unlock(&memo->mutex);
	return result;
}
