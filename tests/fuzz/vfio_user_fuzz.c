/* SPDX-License-Identifier: MIT */
/*
 * A hostile client: the input is what it sends, message by message, with descriptors of all kinds.
 *
 * A record is: kind of descriptor, how many, length of the bytes that follow (16 bits), bytes. They go out in
 * one piece, so headers can be cut and joined at will. An even length that fits is fixed up to a
 * message of that size, or hardly any input would get past the first check.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "card/transport/vfio_user_server.h"
#include "common/vfio_user.h"

#define FILE_BYTES 65536
#define RECORD_HEAD 4
/* All of it must fit the socket's buffer: nobody else sends while the server runs. */
#define INPUT_MAX 65536
#define RECORDS_MAX 128

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { KIND_NONE, KIND_MEMFD, KIND_UNSEALED, KIND_EVENTFD, KIND_PIPE, KIND_NR };

static struct card *card;
static struct vfio_user_server *server;
static int kinds[KIND_NR];

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	const struct card_config config = {.engine = "null", .keep_imwr = -1};
	/* Nobody reads the replies: a full socket is the end of this client. */
	const struct vfio_user_server_config server_config = {.listen_fd = -1, .stall_ms = 1};
	int pipes[2];

	(void)argc;
	(void)argv;
	kinds[KIND_MEMFD] = memfd_create("sealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	kinds[KIND_UNSEALED] = memfd_create("unsealed", MFD_CLOEXEC);
	kinds[KIND_EVENTFD] = eventfd(0, EFD_CLOEXEC);
	if (pipe2(pipes, O_CLOEXEC) || ftruncate(kinds[KIND_MEMFD], FILE_BYTES) ||
	    ftruncate(kinds[KIND_UNSEALED], FILE_BYTES) ||
	    fcntl(kinds[KIND_MEMFD], F_ADD_SEALS, F_SEAL_SHRINK))
		abort();
	kinds[KIND_PIPE] = pipes[1];
	if (card_create(&config, &card, NULL) ||
	    vfio_user_server_create(card, &server_config, &server, NULL))
		abort();
	return 0;
}

/* A VERSION that is fine, so that inputs need not find one; an odd first byte does without. */
static void send_version(int sock)
{
	static const char json[] = "{\"capabilities\":{\"max_msg_fds\":8}}";
	const struct vfio_user_version version = {.major = 0};
	const struct vfio_user_header header = {
		.command = VFIO_USER_VERSION,
		.size = sizeof(header) + sizeof(version) + sizeof(json),
	};
	const struct iovec iov[3] = {
		{.iov_base = (void *)(uintptr_t)&header, .iov_len = sizeof(header)},
		{.iov_base = (void *)(uintptr_t)&version, .iov_len = sizeof(version)},
		{.iov_base = (void *)(uintptr_t)json, .iov_len = sizeof(json)},
	};

	vfio_user_send(sock, iov, 3, NULL, 0);
}

static void send_record(int sock, const uint8_t *head, const uint8_t *bytes, size_t len)
{
	struct vfio_user_header header;
	struct iovec iov[2] = {{.iov_base = &header, .iov_len = sizeof(header)}};
	int fds[VFIO_USER_MAX_FDS], fd = kinds[head[0] % KIND_NR];
	unsigned int fds_nr = fd ? head[1] % (VFIO_USER_MAX_FDS + 1) : 0, i;

	for (i = 0; i < fds_nr; i++)
		fds[i] = fd;
	if (len % 2 || len < sizeof(header)) {
		iov[0] = (struct iovec){.iov_base = (void *)(uintptr_t)bytes, .iov_len = len};
		vfio_user_send(sock, iov, 1, fds, fds_nr);
		return;
	}
	memcpy(&header, bytes, sizeof(header));
	header.size = (uint32_t)len;
	header.command &= 0x1f;
	iov[1] = (struct iovec){.iov_base = (void *)(uintptr_t)(bytes + sizeof(header)),
				.iov_len = len - sizeof(header)};
	vfio_user_send(sock, iov, 2, fds, fds_nr);
}

static void send_all(int sock, const uint8_t *data, size_t size)
{
	unsigned int records = 0;
	size_t len;

	while (size > RECORD_HEAD && records++ < RECORDS_MAX) {
		len = data[2] | data[3] << 8;
		if (len > size - RECORD_HEAD)
			len = size - RECORD_HEAD;
		if (len)
			send_record(sock, data, data + RECORD_HEAD, len);
		data += RECORD_HEAD + len;
		size -= RECORD_HEAD + len;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int pair[2];

	if (!size || size > INPUT_MAX)
		return -1;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair))
		abort();
	fcntl(pair[1], F_SETFL, 0); /* ours fails when full, the server's blocks */
	if (!(data[0] & 1))
		send_version(pair[0]);
	send_all(pair[0], data + 1, size - 1);
	shutdown(pair[0], SHUT_WR);
	vfio_user_server_serve(server, pair[1]);
	close(pair[0]);
	close(pair[1]);
	return 0;
}
