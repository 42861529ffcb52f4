/*
 * memory.c
 *	  Allocations that fail on demand, and how many have not been freed.
 */
#include "memory.h"

#include <errno.h>
#include <lz4frame.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

#define WAIT_MS		2000

static atomic_int countdown;
static atomic_int live;
static atomic_bool fired;

void
memory_begin(int n)
{
	atomic_store(&fired, false);
	atomic_store(&countdown, n);
}

bool
memory_end(void)
{
	atomic_store(&countdown, 0);
	return atomic_load(&fired);
}

int
memory_live(int wanted)
{
	for (int i = 0; i < WAIT_MS && atomic_load(&live) > wanted; i++)
		(void) poll(NULL, 0, 1);
	return atomic_load(&live);
}

/* False when this one is to fail. */
static bool
step(void)
{
	int			n = atomic_load(&countdown);

	while (n > 0)
	{
		if (!atomic_compare_exchange_weak(&countdown, &n, n - 1))
			continue;
		if (n > 1)
			return true;
		atomic_store(&fired, true);
		errno = ENOMEM;
		return false;
	}
	return true;
}

static void *
counted(void *block)
{
	if (block != NULL)
		atomic_fetch_add(&live, 1);
	return block;
}

extern void *__real_malloc(size_t bytes);
extern void *__real_calloc(size_t count, size_t bytes);
extern void *__real_realloc(void *block, size_t bytes);
extern void __real_free(void *block);
extern void *__real_wa_array_room(void *array, size_t count,
								  size_t item_bytes);
extern char *__real_strndup(const char *text, size_t length);
extern ZSTD_CCtx *__real_ZSTD_createCCtx(void);
extern ZSTD_DCtx *__real_ZSTD_createDCtx(void);
extern void *__real_XXH3_createState(void);
extern int	__real_inflateInit2_(z_streamp stream, int bits,
								 const char *version, int size);
extern LZ4F_errorCode_t
			__real_LZ4F_createDecompressionContext(LZ4F_dctx **context,
												   unsigned version);
extern int	__real_eventfd(unsigned count, int flags);
extern int	__real_pthread_create(pthread_t *thread, const pthread_attr_t *attr,
								  void *(*start) (void *), void *arg);

void *
__wrap_malloc(size_t bytes)
{
	return step() ? counted(__real_malloc(bytes)) : NULL;
}

void *
__wrap_calloc(size_t count, size_t bytes)
{
	return step() ? counted(__real_calloc(count, bytes)) : NULL;
}

void *
__wrap_realloc(void *block, size_t bytes)
{
	if (!step())
		return NULL;
	return block != NULL ? __real_realloc(block, bytes) :
		counted(__real_realloc(block, bytes));
}

void
__wrap_free(void *block)
{
	if (block != NULL)
		atomic_fetch_sub(&live, 1);
	__real_free(block);
}

/* An array may have to grow with each item; a short one otherwise never does. */
void *
__wrap_wa_array_room(void *array, size_t count, size_t item_bytes)
{
	return step() ? __real_wa_array_room(array, count, item_bytes) : NULL;
}

char *
__wrap_strndup(const char *text, size_t length)
{
	return step() ? counted(__real_strndup(text, length)) : NULL;
}

ZSTD_CCtx *
__wrap_ZSTD_createCCtx(void)
{
	return step() ? __real_ZSTD_createCCtx() : NULL;
}

ZSTD_DCtx *
__wrap_ZSTD_createDCtx(void)
{
	return step() ? __real_ZSTD_createDCtx() : NULL;
}

void *
__wrap_XXH3_createState(void)
{
	return step() ? __real_XXH3_createState() : NULL;
}

int
__wrap_inflateInit2_(z_streamp stream, int bits, const char *version, int size)
{
	return step() ? __real_inflateInit2_(stream, bits, version, size) :
		Z_MEM_ERROR;
}

LZ4F_errorCode_t
__wrap_LZ4F_createDecompressionContext(LZ4F_dctx **context, unsigned version)
{
	/* as LZ4F_ERROR_allocation_failed, which is not in the header */
	return step() ?
		__real_LZ4F_createDecompressionContext(context, version) :
		(LZ4F_errorCode_t) -9;
}

int
__wrap_eventfd(unsigned count, int flags)
{
	return step() ? __real_eventfd(count, flags) : -1;
}

int
__wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr,
					  void *(*start) (void *), void *arg)
{
	return step() ? __real_pthread_create(thread, attr, start, arg) : EAGAIN;
}
