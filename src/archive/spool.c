/*
 * spool.c
 *	  Segments fetched ahead, as the command that asks for them sees them.
 *
 * It takes nothing on trust that a stranger could have put there, never
 * waits for an open, and never for long.
 */
#include "archive/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/digest.h"

#define KEY_FORMAT		1		/* another one for another layout */
#define WAIT_MS			5000
#define STANDSTILL_MS	1000

void
wa_spool_key(const WaPostmaster *postmaster, uint64_t system_identifier,
			 const char *const *words, int count, char *key)
{
	const uint64_t numbers[] = {
		KEY_FORMAT, system_identifier, (uint64_t) postmaster->pid,
		postmaster->started, postmaster->ticks, postmaster->device,
		postmaster->inode
	};
	WaDigestState *state = wa_digest_open();
	WaDigest	digest;
	char		text[WA_DIGEST_TEXT_BYTES];

	key[0] = '\0';				/* out of memory: no such spool */
	if (state == NULL)
		return;
	wa_digest_update(state, numbers, sizeof(numbers));
	for (int i = 0; i < count; i++)
		wa_digest_update(state, words[i], strlen(words[i]) + 1);
	wa_digest_result(state, &digest);
	wa_digest_close(state);
	wa_digest_text(&digest, text);
	snprintf(key, WA_SPOOL_KEY_BYTES, "%.*s", WA_SPOOL_KEY_BYTES - 1, text);
}

bool
wa_spool_open(const char *place, const char *key, WaSpool *spool)
{
	struct stat st;
	int			length;

	memset(spool, 0, sizeof(*spool));
	spool->dir_fd = spool->lock_fd = spool->ask_fd = -1;
	length = snprintf(spool->directory, sizeof(spool->directory), "%s/%s",
					  place, key);
	if (key[0] == '\0' || length >= (int) sizeof(spool->directory))
		return false;
	spool->dir_fd = open(spool->directory, O_RDONLY | O_DIRECTORY |
						 O_NOFOLLOW | O_CLOEXEC);
	if (spool->dir_fd < 0)
		return false;
	if (fstat(spool->dir_fd, &st) == 0 && st.st_uid == geteuid() &&
		(st.st_mode & (S_IRWXG | S_IRWXO)) == 0)
		return true;
	wa_spool_close(spool);
	return false;
}

/* Are these the size and the first page that the name promises? */
static bool
looks_right(const WaSpool *spool, const WaWalExpect *expect)
{
	unsigned char page[WA_WALHEADER_BYTES];
	WaWalHeader header;
	WaError		ignored;
	struct stat st;
	bool		right;
	int			fd = openat(spool->dir_fd, expect->name->text, O_RDONLY |
							O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return false;
	right = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
		st.st_size == (off_t) expect->segment_bytes &&
		pread(fd, page, sizeof(page), 0) == (ssize_t) sizeof(page);
	close(fd);
	if (!right)
		return false;
	wa_walheader_read(page, &header);
	return wa_walheader_check(&header, expect, expect->name->text,
							  &ignored) == WA_OK;
}

WaSpoolTake
wa_spool_take(const WaSpool *spool, const WaWalExpect *expect,
			  const WaDestination *destination)
{
	if (!looks_right(spool, expect) ||
		(destination->still_wanted != NULL && !destination->still_wanted()))
		return WA_SPOOL_MISSING;
	if (renameat(spool->dir_fd, expect->name->text, AT_FDCWD,
				 destination->path) == 0)
		return WA_SPOOL_TAKEN;
	return errno == EXDEV ? WA_SPOOL_ELSEWHERE : WA_SPOOL_MISSING;
}

/* The keeper's FIFO, for writing; -1 when nobody reads it. */
static int
reach_keeper(const WaSpool *spool)
{
	struct stat st;
	int			fd = openat(spool->dir_fd, "ask", O_WRONLY | O_NOFOLLOW |
							O_NONBLOCK | O_CLOEXEC);

	if (fd >= 0 && (fstat(fd, &st) != 0 || !S_ISFIFO(st.st_mode)))
	{
		close(fd);
		fd = -1;
	}
	return fd;
}

bool
wa_spool_wait(const WaSpool *spool, const WaWalName *name,
			  uint32_t segment_bytes)
{
	char		temporary[WA_DELIVERY_PATH_BYTES];
	struct pollfd keeper = {.events = 0};
	struct stat st;
	off_t		size = 0;
	int			still_ms = 0;
	bool		seen = false;

	if (!wa_delivery_temporary(name->text, temporary) ||
		fstatat(spool->dir_fd, temporary, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return false;
	keeper.fd = reach_keeper(spool);
	for (int ms = 0; keeper.fd >= 0 && ms < WAIT_MS; ms++)
	{
		if (fstatat(spool->dir_fd, temporary, &st, AT_SYMLINK_NOFOLLOW) != 0)
			break;
		seen = true;
		still_ms = st.st_size == size ? still_ms + 1 : 0;
		size = st.st_size;

		/* a complete one is being synced, which may take its time */
		if (still_ms > STANDSTILL_MS && size < (off_t) segment_bytes)
			break;

		/* a keeper that ends leaves a FIFO without a reader */
		if (poll(&keeper, 1, 1) > 0)
			break;
	}
	if (keeper.fd >= 0)
		close(keeper.fd);
	return seen;
}

bool
wa_spool_ask(const WaSpool *spool, const char *what)
{
	char		line[WA_WALNAME_BYTES + 1];
	int			length = snprintf(line, sizeof(line), "%s\n", what);
	int			fd = reach_keeper(spool);
	ssize_t		written;

	if (fd < 0)
		return false;
	written = write(fd, line, (size_t) length);
	(void) written;				/* a full FIFO: it will hear the next one */
	close(fd);
	return true;
}

void
wa_spool_close(WaSpool *spool)
{
	if (spool->directory[0] == '\0')
		return;
	if (spool->ask_fd >= 0)
		close(spool->ask_fd);
	if (spool->lock_fd >= 0)
		close(spool->lock_fd);
	if (spool->dir_fd >= 0)
		close(spool->dir_fd);
	spool->dir_fd = spool->lock_fd = spool->ask_fd = -1;
}
