/*
 * store_dir.h
 *	  A directory as a store: what its files share.
 */
#ifndef WA_STORE_DIR_H
#define WA_STORE_DIR_H

#include <sys/stat.h>

#include "store/store.h"

#define WA_DIR_PATH_BYTES	1024
#define WA_DIR_DIRTY_MAX	16	/* directories awaiting their fsync */

typedef struct DirStore
{
	WaStore		store;
	WaStoreOptions options;
	int			fd;
	int			lock_fds[WA_STORE_LOCKS_MAX];	/* what is locked */
	int			locks_count;
	uint64_t	sequence;		/* numbers temporaries where no memo does */
	unsigned char *read_buffer; /* allocated when first needed */
	int			dirty_count;	/* keys whose directories await fsync */
	char		dirty[WA_DIR_DIRTY_MAX][WA_KEY_BYTES];
	bool		dirty_aside[WA_DIR_DIRTY_MAX];	/* what was set aside */
	bool		dirty_lost;		/* a fsync failed before the caller asked */
	char		path[WA_DIR_PATH_BYTES];	/* for messages */
} DirStore;

typedef struct DirPut
{
	WaPut		put;
	int			fd;				/* -1 once staged */
	bool		named;			/* the temporary still has its name */
	char		temporary[WA_KEY_BYTES];
} DirPut;

/* Every call that may wait for storage goes through this. */
#define WA_DIR_IO(self, result, call) \
	WA_BEAT((self)->options.beat, result, call)

/* An error of a system call on a key ("" for the directory itself). */
extern WaCode wa_dir_fail(WaError *err, int errno_value, const char *verb,
						  DirStore *self, const char *key);

/* Is this the very object that was seen before? */
extern bool wa_dir_same_stat(const struct stat *st, const WaStat *expected);

/* The directory part of a key; "" for the top. */
extern void wa_dir_parent_of(const char *key, char *parent);

/*
 * store_dir_at.c: the one door to what lies below the directory.  Each follows
 * no symbolic link, neither on the way nor at its end (ENOTDIR, ELOOP); -1 and
 * errno as the system call that it is named after.
 */
extern int	wa_dir_open(DirStore *self, const char *key, int flags);
extern int	wa_dir_open_prefix(DirStore *self, const char *prefix);
extern int	wa_dir_stat(DirStore *self, const char *key, struct stat *st);
extern int	wa_dir_mkdir(DirStore *self, const char *key);
extern int	wa_dir_unlink(DirStore *self, const char *key, int flags);
extern int	wa_dir_link(DirStore *self, const char *from, const char *to);
extern int	wa_dir_rename(DirStore *self, const char *from, const char *to,
						  unsigned flags);

/* What cleans up, and is done also when given up. */
extern void wa_dir_discard(DirStore *self, const char *key);
extern int	wa_dir_move_back(DirStore *self, const char *from,
							 const char *to);

/* The error of a part of a key that is a symbolic link. */
extern WaCode wa_dir_fail_link(WaError *err, DirStore *self,
							   const char *part);

/* Was it a symbolic link?  Then that is the error; otherwise false. */
extern bool wa_dir_blame_link(WaError *err, DirStore *self, const char *key);

/* store_dir_sync.c: names that last */
extern WaCode wa_dir_sync_name(DirStore *self, const char *key, WaError *err);
extern WaCode wa_dir_make_parents(DirStore *self, const char *key,
								  WaError *err);
extern WaCode wa_dir_note_dirty(DirStore *self, const char *key, bool aside,
								WaError *err);
extern WaCode wa_dir_sync(WaStore *store, WaError *err);

/* store_dir_put.c: writing an object */
extern WaCode wa_dir_put_begin(WaStore *store, const char *key, WaPut **put,
							   WaError *err);
extern WaCode wa_dir_put_write(WaPut *put, const void *data, size_t length,
							   WaError *err);
extern WaCode wa_dir_put_stage(WaPut *put, WaError *err);
extern WaCode wa_dir_put_commit(WaPut *put, WaError *err);
extern WaCode wa_dir_put_set_aside(WaPut *put, const WaStat *judged,
								   const char *aside_key, WaError *err);
extern void wa_dir_put_close(WaPut *put);

/* store_dir_sweep.c: abandoned temporaries */
extern WaCode wa_dir_sweep(WaStore *store, const char *const *tokens,
						   int tokens_count, WaSwept *swept, WaError *err);

/* store_dir.c */
extern WaCode wa_dir_list(WaStore *store, const char *prefix, WaListFn each,
						  void *arg, WaError *err);

#endif							/* WA_STORE_DIR_H */
