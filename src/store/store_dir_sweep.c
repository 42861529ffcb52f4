/*
 * store_dir_sweep.c
 *	  A directory as a store: abandoned temporaries.
 */
#include "store/store_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define TEMPORARY_AGE_S		(24 * 60 * 60)

/* What the sweep needs to know while it walks tmp/. */
typedef struct Sweep
{
	DirStore   *self;
	const char *const *tokens;
	int			tokens_count;
	int64_t		now_s;			/* by the file system's own clock */
	WaSwept    *swept;
} Sweep;

/* "<16 hexadecimal digits>-<number>": nothing else in tmp/ is ours. */
static bool
temporary_name(const char *name)
{
	return strspn(name, "0123456789abcdef") == WA_TOKEN_BYTES - 1 &&
		name[WA_TOKEN_BYTES - 1] == '-' &&
		name[WA_TOKEN_BYTES] != '\0' &&
		name[WA_TOKEN_BYTES + strspn(name + WA_TOKEN_BYTES,
									 "0123456789")] == '\0';
}

static WaCode
sweep_one(void *arg, const char *name, bool is_prefix, WaError *err)
{
	Sweep	   *sweep = arg;
	DirStore   *self = sweep->self;
	char		key[WA_KEY_BYTES];
	struct stat st;
	bool		ours = false;

	(void) err;
	if (is_prefix || !temporary_name(name) ||
		strncmp(name, self->options.token, WA_TOKEN_BYTES - 1) == 0)
		return WA_OK;
	for (int i = 0; i < sweep->tokens_count && !ours; i++)
		ours = *sweep->tokens[i] != '\0' &&
			strncmp(name, sweep->tokens[i], WA_TOKEN_BYTES - 1) == 0;

	snprintf(key, sizeof(key), "tmp/%s", name);
	if (wa_dir_stat(self, key, &st) != 0 || !S_ISREG(st.st_mode))
		return WA_OK;
	if (!ours && (st.st_mtim.tv_sec + TEMPORARY_AGE_S > sweep->now_s ||
				  st.st_ctim.tv_sec + TEMPORARY_AGE_S > sweep->now_s))
		return WA_OK;
	if (wa_dir_unlink(self, key, 0) == 0)
		sweep->swept->removed++;
	else if (errno != ENOENT)
		sweep->swept->stayed++;
	return WA_OK;
}

WaCode
wa_dir_sweep(WaStore *store, const char *const *tokens, int tokens_count,
			 WaSwept *swept, WaError *err)
{
	DirStore   *self = (DirStore *) store;
	Sweep		sweep = {self, tokens, tokens_count, 0, swept};
	WaPut	   *probe;
	struct stat st;
	int			result;

	memset(swept, 0, sizeof(*swept));
	/* a file made now tells the time of the file system, maybe a server's */
	if (wa_put_begin(store, "tmp/clock", &probe, err) != WA_OK)
		return err->code;
	WA_DIR_IO(self, result, fstat(((DirPut *) probe)->fd, &st));
	if (result != 0)
		wa_dir_fail(err, errno, "stat", self, "tmp");
	wa_put_close(probe);
	if (result != 0)
		return err->code;

	sweep.now_s = st.st_mtim.tv_sec;
	if (wa_dir_list(store, "tmp", sweep_one, &sweep, err) != WA_OK)
		return err->code;
	return WA_OK;
}
