/* SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <tethys/hw/edma.h>
#include <tethys/hw/pci.h>

#include "card/transport/tests/raw_client.h"

#define PATIENCE_S 10

static void on_event(void *ctx, enum vfio_user_event event, const char *text)
{
	struct raw *raw = ctx;
	size_t used = strlen(raw->events);

	(void)event;
	snprintf(raw->events + used, sizeof(raw->events) - used, "%s\n", text);
}

static void *serve_main(void *arg)
{
	struct raw *raw = arg;

	raw->served = vfio_user_server_serve(raw->server, raw->server_sock);
	return NULL;
}

static bool raw_connect(struct raw *raw)
{
	const struct timeval patience = {.tv_sec = PATIENCE_S};
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return false;
	raw->sock = pair[0];
	raw->server_sock = pair[1];
	raw->twin = -1;
	setsockopt(raw->sock, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	return !pthread_create(&raw->thread, NULL, serve_main, raw);
}

static void raw_disconnect(struct raw *raw)
{
	close(raw->sock);
	if (raw->twin >= 0)
		close(raw->twin);
	vfio_user_fds_close(&raw->fds);
	pthread_join(raw->thread, NULL);
	close(raw->server_sock);
}

bool raw_start(struct raw *raw, const struct vfio_user_server_config *config)
{
	struct vfio_user_server_config server = {.listen_fd = -1};
	struct card_config card = {.engine = "null", .keep_imwr = -1};
	struct reason why = {.text = ""};
	bool raw_imwr = raw->raw_imwr;

	memset(raw, 0, sizeof(*raw));
	card.raw_imwr = raw_imwr;
	if (config)
		server = *config;
	server.event = on_event;
	server.event_ctx = raw;
	if (card_create(&card, &raw->card, &why) ||
	    vfio_user_server_create(raw->card, &server, &raw->server, &why)) {
		printf("# %s\n", why.text);
		return false;
	}
	return raw_connect(raw);
}

bool raw_open(struct raw *raw, const struct vfio_user_server_config *config, const char *json)
{
	return raw_start(raw, config) && !raw_version(raw, json);
}

void raw_stop(struct raw *raw)
{
	raw_disconnect(raw);
	vfio_user_server_destroy(raw->server);
	card_destroy(raw->card);
}

bool raw_reconnect(struct raw *raw, const char *json)
{
	raw_disconnect(raw);
	return raw_connect(raw) && !raw_version(raw, json);
}

int raw_send(struct raw *raw, unsigned int command, uint32_t flags, const void *body, size_t len,
	     const int *fds, unsigned int fds_nr)
{
	struct vfio_user_header header = {
		.id = ++raw->id,
		.command = (uint16_t)command,
		.size = (uint32_t)(sizeof(header) + len),
		.flags = flags,
	};
	const struct iovec iov[2] = {
		{.iov_base = &header, .iov_len = sizeof(header)},
		{.iov_base = (void *)(uintptr_t)body, .iov_len = len},
	};
	int ret = vfio_user_send(raw->sock, iov, len ? 2 : 1, fds, fds_nr);

	return ret ? ret : raw->id;
}

int raw_recv(struct raw *raw, int sock)
{
	int ret;

	vfio_user_fds_close(&raw->fds);
	ret = vfio_user_recv(sock, &raw->header, sizeof(raw->header), &raw->fds, 0);
	if (ret)
		return ret;
	if (raw->header.size < sizeof(raw->header) || raw->header.size > VFIO_USER_MAX_MESSAGE)
		return -EPROTO;
	if (raw->header.size == sizeof(raw->header))
		return 0;
	return vfio_user_recv(sock, raw->body, raw->header.size - sizeof(raw->header), NULL, 0);
}

const struct vfio_user_dma_access *raw_dma_request(const struct raw *raw)
{
	return (const void *)raw->body;
}

void raw_dma_reply(struct raw *raw, int sock, int error, const void *data)
{
	const struct vfio_user_dma_access access = *raw_dma_request(raw);
	bool with_data = !error && raw->header.command == VFIO_USER_DMA_READ;
	struct vfio_user_header header = {
		.id = raw->header.id,
		.command = raw->header.command,
		.size = (uint32_t)(sizeof(header) + (error ? 0 : sizeof(access)) +
				   (with_data ? access.count : 0)),
		.flags = VFIO_USER_TYPE_REPLY | (error ? VFIO_USER_ERROR : 0),
		.error = (uint32_t)error,
	};
	const struct iovec iov[3] = {
		{.iov_base = &header, .iov_len = sizeof(header)},
		{.iov_base = (void *)(uintptr_t)&access, .iov_len = sizeof(access)},
		{.iov_base = (void *)(uintptr_t)data, .iov_len = access.count},
	};

	vfio_user_send(sock, iov, error ? 1 : with_data ? 3 : 2, NULL, 0);
}

int raw_call_fds(struct raw *raw, unsigned int command, const void *body, size_t len,
		 const int *fds, unsigned int fds_nr)
{
	int id = raw_send(raw, command, 0, body, len, fds, fds_nr), ret;

	if (id < 0)
		return id;
	for (;;) {
		ret = raw_recv(raw, raw->sock);
		if (ret)
			return ret;
		if ((raw->header.flags & VFIO_USER_TYPE_MASK) == VFIO_USER_TYPE_REPLY)
			break;
		if (raw->dma)
			raw->dma(raw, raw->dma_ctx);
		else
			raw_dma_reply(raw, raw->sock, ENODEV, NULL);
	}
	if (raw->header.id != id || raw->header.command != command)
		return -EBADMSG;
	return raw->header.flags & VFIO_USER_ERROR ? (int)raw->header.error : 0;
}

int raw_call(struct raw *raw, unsigned int command, const void *body, size_t len)
{
	return raw_call_fds(raw, command, body, len, NULL, 0);
}

int raw_version(struct raw *raw, const char *json)
{
	uint8_t body[VFIO_USER_MAX_JSON];
	struct vfio_user_version version = {.major = 0, .minor = 1};
	size_t len = json ? strlen(json) + 1 : 0;
	int ret;

	memcpy(body, &version, sizeof(version));
	if (len)
		memcpy(body + sizeof(version), json, len);
	ret = raw_call(raw, VFIO_USER_VERSION, body, sizeof(version) + len);
	if (!ret)
		raw->twin = vfio_user_fds_take(&raw->fds, 0);
	return ret;
}

int raw_read(struct raw *raw, unsigned int region, uint64_t offset, void *buf, uint32_t len)
{
	const struct vfio_user_region_access access = {
		.offset = offset, .region = region, .count = len};
	int ret = raw_call(raw, VFIO_USER_REGION_READ, &access, sizeof(access));

	if (ret)
		return ret;
	if (raw->header.size != sizeof(raw->header) + sizeof(access) + len ||
	    memcmp(raw->body, &access, sizeof(access)))
		return -EBADMSG;
	memcpy(buf, raw->body + sizeof(access), len);
	return 0;
}

int raw_write(struct raw *raw, unsigned int region, uint64_t offset, const void *buf, uint32_t len)
{
	const struct vfio_user_region_access access = {
		.offset = offset, .region = region, .count = len};
	uint8_t body[sizeof(access) + 4096];

	memcpy(body, &access, sizeof(access));
	memcpy(body + sizeof(access), buf, len);
	return raw_call(raw, VFIO_USER_REGION_WRITE, body, sizeof(access) + len);
}

uint32_t raw_get32(struct raw *raw, unsigned int region, uint64_t offset)
{
	uint32_t value = 0xdeadbeef;

	raw_read(raw, region, offset, &value, sizeof(value));
	return value;
}

void raw_put32(struct raw *raw, unsigned int region, uint64_t offset, uint32_t value)
{
	raw_write(raw, region, offset, &value, sizeof(value));
}

int raw_map(struct raw *raw, uint64_t iova, uint64_t size, uint32_t flags, int fd, uint64_t offset)
{
	const struct vfio_user_dma_map map = {
		.argsz = sizeof(map), .flags = flags, .offset = offset, .iova = iova, .size = size};

	return raw_call_fds(raw, VFIO_USER_DMA_MAP, &map, sizeof(map), &fd, fd >= 0);
}

int raw_unmap(struct raw *raw, uint64_t iova, uint64_t size)
{
	const struct vfio_user_dma_unmap unmap = {
		.argsz = sizeof(unmap), .iova = iova, .size = size};

	return raw_call(raw, VFIO_USER_DMA_UNMAP, &unmap, sizeof(unmap));
}

int raw_msi(struct raw *raw, unsigned int start, unsigned int count, const int *fds)
{
	const struct vfio_user_irq_set set = {
		.argsz = sizeof(set),
		.flags = VFIO_USER_IRQ_DATA_EVENTFD | VFIO_USER_IRQ_ACTION_TRIGGER,
		.index = VFIO_USER_IRQ_MSI,
		.start = start,
		.count = count,
	};

	return raw_call_fds(raw, VFIO_USER_DEVICE_SET_IRQS, &set, sizeof(set), fds,
			    fds ? count : 0);
}

void raw_enable(struct raw *raw)
{
	const uint16_t command = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	const uint16_t control = PCI_MSI_FLAGS_ENABLE | 5 << 4; /* 32 vectors */

	raw_write(raw, VFIO_USER_REGION_CONFIG, PCI_COMMAND, &command, sizeof(command));
	raw_put32(raw, VFIO_USER_REGION_CONFIG, METIS_CAP_MSI + METIS_MSI_ADDR_LO, 0xfee01000);
	raw_put32(raw, VFIO_USER_REGION_CONFIG, METIS_CAP_MSI + METIS_MSI_DATA, 0x20);
	raw_write(raw, VFIO_USER_REGION_CONFIG, METIS_CAP_MSI + METIS_MSI_CONTROL, &control,
		  sizeof(control));
}

void raw_dma_start(struct raw *raw, bool write, unsigned int channel, uint64_t iova,
		   uint64_t card_addr, uint32_t len)
{
	uint32_t base = write ? METIS_EDMA_WR_CH(channel) : METIS_EDMA_RD_CH(channel);
	uint64_t sar = write ? card_addr : iova, dar = write ? iova : card_addr;

	raw_put32(raw, METIS_BAR_EDMA, write ? METIS_EDMA_WR_ENGINE_EN : METIS_EDMA_RD_ENGINE_EN,
		  1);
	raw_put32(raw, METIS_BAR_EDMA, base + METIS_EDMA_CH_CONTROL1,
		  METIS_EDMA_LIE | METIS_EDMA_RIE);
	raw_put32(raw, METIS_BAR_EDMA, base + METIS_EDMA_CH_SIZE, len);
	raw_put32(raw, METIS_BAR_EDMA, base + METIS_EDMA_CH_SAR_LO, (uint32_t)sar);
	raw_put32(raw, METIS_BAR_EDMA, base + METIS_EDMA_CH_SAR_HI, (uint32_t)(sar >> 32));
	raw_put32(raw, METIS_BAR_EDMA, base + METIS_EDMA_CH_DAR_LO, (uint32_t)dar);
	raw_put32(raw, METIS_BAR_EDMA, base + METIS_EDMA_CH_DAR_HI, (uint32_t)(dar >> 32));
	raw_put32(raw, METIS_BAR_EDMA, write ? METIS_EDMA_WR_DOORBELL : METIS_EDMA_RD_DOORBELL,
		  channel);
}

int raw_dma_wait(struct raw *raw, bool write, unsigned int channel)
{
	uint32_t status = write ? METIS_EDMA_WR_INT_STATUS : METIS_EDMA_RD_INT_STATUS;
	uint32_t clear = write ? METIS_EDMA_WR_INT_CLEAR : METIS_EDMA_RD_INT_CLEAR;
	uint64_t deadline = raw_now_ms() + PATIENCE_S * 1000;
	uint32_t value;

	while (raw_now_ms() < deadline) {
		value = raw_get32(raw, METIS_BAR_EDMA, status) >> channel & 0x10001u;
		if (!value) {
			usleep(100);
			continue;
		}
		raw_put32(raw, METIS_BAR_EDMA, clear, value << channel);
		return value & 1 ? 0 : -EIO;
	}
	return -ETIMEDOUT;
}

int raw_dma(struct raw *raw, bool write, uint64_t iova, uint64_t card_addr, uint32_t len)
{
	raw_dma_start(raw, write, 0, iova, card_addr, len);
	return raw_dma_wait(raw, write, 0);
}

int raw_memfd(uint64_t bytes, bool sealed)
{
	int fd = memfd_create("raw", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, (off_t)bytes) ||
	    (sealed && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK)))
		return -1;
	return fd;
}

unsigned int raw_fd_count(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned int nr = 0;

	while (dir && readdir(dir))
		nr++;
	if (dir)
		closedir(dir);
	return nr;
}

uint64_t raw_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

bool raw_card_rests(const struct card *card)
{
	uint64_t deadline = raw_now_ms() + 50;

	while (!card_idle(card) && raw_now_ms() < deadline)
		usleep(1000);
	return card_idle(card);
}

struct vfio_user_server_stats raw_stats(const struct raw *raw)
{
	struct vfio_user_server_stats stats;

	vfio_user_server_stats(raw->server, &stats);
	return stats;
}
