/*
 * handover.c
 *	  How segments fetched ahead change hands.
 *
 * A message is one letter and a name: "T" takes, "A" only tells; the answer
 * is one letter, "Y" with a descriptor or "N", after any number of "W", which
 * say that work goes on.  The command must never hang on the keeper: nothing
 * but these is waited for, and each not for long.
 */
#include "archive/handover.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/digest.h"

#define KEY_FORMAT			2	/* another one for another protocol */
#define BACKLOG				8
#define REQUEST_WAIT_MS		200	/* a busy machine may keep it from sending */
#define REQUEST_BYTES		(1 + WA_SEGMENT_NAME_LENGTH)

bool
wa_handover_key(const WaPostmaster *postmaster, uint64_t system_identifier,
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

	if (state == NULL)
		return false;
	wa_digest_update(state, numbers, sizeof(numbers));
	for (int i = 0; i < count; i++)
		wa_digest_update(state, words[i], strlen(words[i]) + 1);
	wa_digest_result(state, &digest);
	wa_digest_close(state);
	wa_digest_text(&digest, text);
	snprintf(key, WA_HANDOVER_KEY_BYTES, "%.*s", WA_HANDOVER_KEY_BYTES - 1,
			 text);
	return true;
}

/* The socket's address; an abstract name begins with a NUL. */
static socklen_t
address_of(const char *key, struct sockaddr_un *address)
{
	int			length;

	memset(address, 0, sizeof(*address));
	address->sun_family = AF_UNIX;
	length = snprintf(address->sun_path + 1, sizeof(address->sun_path) - 1,
					  "walarch-%s", key);
	return (socklen_t) (offsetof(struct sockaddr_un, sun_path) + 1 +
						(size_t) length);
}

static int
new_socket(void)
{
	return socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

/* Anybody can bind or connect to an abstract name. */
static bool
is_ours(int fd)
{
	struct ucred peer;
	socklen_t	length = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 &&
		length == sizeof(peer) && peer.uid == geteuid();
}

/* Connect and send; *reached: somebody listens.  -1 when that was all. */
static int
ask(const char *key, char what, const WaWalName *name, bool *reached)
{
	struct sockaddr_un address;
	socklen_t	length = address_of(key, &address);
	char		request[REQUEST_BYTES + 1];
	int			fd = new_socket();

	*reached = false;
	if (fd < 0)
		return -1;
	if (connect(fd, (struct sockaddr *) &address, length) != 0)
		*reached = errno == EAGAIN; /* it is there, and busy */
	else
	{
		*reached = true;
		snprintf(request, sizeof(request), "%c%.*s", what,
				 WA_SEGMENT_NAME_LENGTH, name->text);
		if (is_ours(fd) &&
			send(fd, request, REQUEST_BYTES, MSG_NOSIGNAL) == REQUEST_BYTES)
			return fd;
	}
	close(fd);
	return -1;
}

bool
wa_handover_tell(const char *key, const WaWalName *name)
{
	bool		reached;
	int			fd = ask(key, 'A', name, &reached);

	if (fd >= 0)
		close(fd);
	return reached;
}

/* The descriptor of an answer, or -1; *again: another one will come. */
static int
receive(int from, bool *again)
{
	union
	{
		struct cmsghdr align;
		char		bytes[CMSG_SPACE(sizeof(int))];
	}			control;
	char		letter = 0;
	struct iovec data = {.iov_base = &letter,.iov_len = 1};
	struct msghdr message = {
		.msg_iov = &data,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control)
	};
	struct cmsghdr *header;
	int			fd;

	memset(&control, 0, sizeof(control));
	*again = false;
	if (recvmsg(from, &message, MSG_CMSG_CLOEXEC) != 1)
		return -1;
	*again = letter == 'W';
	header = CMSG_FIRSTHDR(&message);
	if (header == NULL || header->cmsg_level != SOL_SOCKET ||
		header->cmsg_type != SCM_RIGHTS ||
		header->cmsg_len != CMSG_LEN(sizeof(int)))
		return -1;
	memcpy(&fd, CMSG_DATA(header), sizeof(fd));
	if (letter == 'Y')
		return fd;
	close(fd);
	return -1;
}

bool
wa_handover_take(const char *key, const WaWalName *name, int patience_ms,
				 int *fd)
{
	bool		reached;
	bool		again = true;
	struct pollfd answer = {.events = POLLIN};

	*fd = -1;
	answer.fd = ask(key, 'T', name, &reached);
	if (answer.fd < 0)
		return reached;
	while (again && poll(&answer, 1, patience_ms) > 0)
		*fd = receive(answer.fd, &again);
	close(answer.fd);
	return true;
}

int
wa_handover_listen(const char *key)
{
	struct sockaddr_un address;
	socklen_t	length = address_of(key, &address);
	int			fd = new_socket();

	if (fd >= 0 &&
		bind(fd, (struct sockaddr *) &address, length) == 0 &&
		listen(fd, BACKLOG) == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

bool
wa_handover_request(int listener, WaWalName *name, int *client)
{
	char		request[REQUEST_BYTES + 1];
	WaError		ignored;
	int			fd;

	*client = -1;
	while ((fd = accept4(listener, NULL, NULL,
						 SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0)
	{
		struct pollfd ready = {.fd = fd,.events = POLLIN};

		/* who connects sends at once */
		if (is_ours(fd) && poll(&ready, 1, REQUEST_WAIT_MS) > 0 &&
			recv(fd, request, REQUEST_BYTES, 0) == REQUEST_BYTES)
		{
			request[REQUEST_BYTES] = '\0';
			if (wa_walname_parse(request + 1, name, &ignored) == WA_OK &&
				name->kind == WA_KIND_SEGMENT)
			{
				if (request[0] == 'T')
					*client = fd;
				else
					close(fd);
				return true;
			}
		}
		close(fd);
	}
	return false;
}

void
wa_handover_hold_on(int client)
{
	ssize_t		sent = send(client, "W", 1, MSG_NOSIGNAL);

	(void) sent;				/* it has given up, or has enough of them */
}

void
wa_handover_answer(int client, int fd)
{
	union
	{
		struct cmsghdr align;
		char		bytes[CMSG_SPACE(sizeof(int))];
	}			control;
	char		letter = fd >= 0 ? 'Y' : 'N';
	struct iovec data = {.iov_base = &letter,.iov_len = 1};
	struct msghdr message = {.msg_iov = &data,.msg_iovlen = 1};
	ssize_t		sent;

	memset(&control, 0, sizeof(control));
	if (fd >= 0)
	{
		struct cmsghdr *header;

		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
		header = CMSG_FIRSTHDR(&message);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(header), &fd, sizeof(fd));
	}
	sent = sendmsg(client, &message, MSG_NOSIGNAL);
	(void) sent;				/* it has given up: then it fetches itself */
	if (fd >= 0)
		close(fd);
	close(client);
}
