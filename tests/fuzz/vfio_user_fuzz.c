/* SPDX-License-Identifier: MIT */
/*
 * A hostile client: the input is what it sends, message by message, with descriptors of all kinds.
 *
 * A record is: kind of descriptor, how many, length of the bytes that follow (16 bits), bytes. They
 * go out in one piece, so headers can be cut and joined at will. An even length that fits is fixed
 * up to a message of that size, or hardly any input would get past the first check.
 */
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <tethys/hw/edma.h>
#include <tethys/hw/pci.h>

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

static void send_message(int sock, unsigned int command, const void *body, size_t len,
			 const void *data, size_t data_len, int fd)
{
	const struct vfio_user_header header = {
		.command = (uint16_t)command,
		.size = (uint32_t)(sizeof(header) + len + data_len),
		.flags = command == VFIO_USER_VERSION ? 0 : VFIO_USER_NO_REPLY,
	};
	const struct iovec iov[3] = {
		{.iov_base = (void *)(uintptr_t)&header, .iov_len = sizeof(header)},
		{.iov_base = (void *)(uintptr_t)body, .iov_len = len},
		{.iov_base = (void *)(uintptr_t)data, .iov_len = data_len},
	};

	vfio_user_send(sock, iov, 3, &fd, fd >= 0);
}

/* A VERSION that is fine, so that inputs need not find one. */
static void send_version(int sock)
{
	static const char json[] = "{\"capabilities\":{\"max_msg_fds\":8}}";
	const struct vfio_user_version version = {.major = 0};

	send_message(sock, VFIO_USER_VERSION, &version, sizeof(version), json, sizeof(json), -1);
}

static void send_write32(int sock, unsigned int region, uint64_t offset, uint32_t value)
{
	const struct vfio_user_region_access access = {
		.region = region, .offset = offset, .count = sizeof(value)};

	send_message(sock, VFIO_USER_REGION_WRITE, &access, sizeof(access), &value, sizeof(value),
		     -1);
}

/* A card that may do DMA, with memory at address 0 to do it to. */
static void send_set_up(int sock)
{
	const struct vfio_user_dma_map map = {.argsz = sizeof(map), .flags = 3, .size = FILE_BYTES};

	send_write32(sock, VFIO_USER_REGION_CONFIG, PCI_COMMAND,
		     PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	send_write32(sock, METIS_BAR_EDMA, METIS_EDMA_RD_ENGINE_EN, 1);
	send_write32(sock, METIS_BAR_EDMA, METIS_EDMA_WR_ENGINE_EN, 1);
	send_message(sock, VFIO_USER_DMA_MAP, &map, sizeof(map), NULL, 0, kinds[KIND_MEMFD]);
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
	if (!(data[0] & 2))
		send_set_up(pair[0]);
	send_all(pair[0], data + 1, size - 1);
	shutdown(pair[0], SHUT_WR);
	vfio_user_server_serve(server, pair[1]);
	close(pair[0]);
	close(pair[1]);
	return 0;
}
