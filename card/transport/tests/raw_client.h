/* SPDX-License-Identifier: MIT */
/*
 * A client for tests: says what it is told to, right or wrong, and sees every byte that comes
 * back. The server runs in a thread of the test.
 */
#ifndef TETHYS_CARD_RAW_CLIENT_H
#define TETHYS_CARD_RAW_CLIENT_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "card/transport/vfio_user_server.h"
#include "common/vfio_user.h"

#define RAW_NO_TWIN "{\"capabilities\":{\"max_msg_fds\":8}}"
#define RAW_TWIN "{\"capabilities\":{\"max_msg_fds\":8,\"twin_socket\":{\"supported\":true}}}"

struct raw {
	struct card *card;
	struct vfio_user_server *server;
	pthread_t thread;
	int served; /* what vfio_user_server_serve() returned, after raw_stop() */
	int sock, server_sock;
	int twin; /* -1: none */
	uint16_t id;
	/* The last message that came. */
	struct vfio_user_header header;
	uint8_t body[VFIO_USER_MAX_MESSAGE];
	struct vfio_user_fds fds;
	/* A DMA command came while a reply was waited for: NULL: it is answered with ENODEV. */
	void (*dma)(struct raw *raw, void *ctx);
	void *dma_ctx;
	bool raw_imwr;	   /* set before raw_start(): the card's configuration */
	char events[4096]; /* texts of the server's events, a line each */
};

/* Start card and server, connect over a socket pair; no VERSION yet. False: failed. */
bool raw_start(struct raw *raw, const struct vfio_user_server_config *config);
/* raw_start() and VERSION with @json. */
bool raw_open(struct raw *raw, const struct vfio_user_server_config *config, const char *json);
/* Close, wait for the server, destroy all. */
void raw_stop(struct raw *raw);
/* Close and connect anew: the same card gets another client. */
bool raw_reconnect(struct raw *raw, const char *json);

/* Return: the message's id, or a negative errno. */
int raw_send(struct raw *raw, unsigned int command, uint32_t flags, const void *body, size_t len,
	     const int *fds, unsigned int fds_nr);
/* Receive a message of any kind. Return: 0 or negative errno, -ENODATA at the end. */
int raw_recv(struct raw *raw, int sock);
/* Send a command and wait for its reply. Return: 0; the errno of an error reply; negative errno. */
int raw_call(struct raw *raw, unsigned int command, const void *body, size_t len);
int raw_call_fds(struct raw *raw, unsigned int command, const void *body, size_t len,
		 const int *fds, unsigned int fds_nr);
/* The last message is a DMA command: answer it, from or to @data. */
void raw_dma_reply(struct raw *raw, int sock, int error, const void *data);
const struct vfio_user_dma_access *raw_dma_request(const struct raw *raw);

int raw_version(struct raw *raw, const char *json);
int raw_read(struct raw *raw, unsigned int region, uint64_t offset, void *buf, uint32_t len);
int raw_write(struct raw *raw, unsigned int region, uint64_t offset, const void *buf, uint32_t len);
uint32_t raw_get32(struct raw *raw, unsigned int region, uint64_t offset);
void raw_put32(struct raw *raw, unsigned int region, uint64_t offset, uint32_t value);
int raw_map(struct raw *raw, uint64_t iova, uint64_t size, uint32_t flags, int fd, uint64_t offset);
int raw_unmap(struct raw *raw, uint64_t iova, uint64_t size);
/* Assign @count MSI eventfds from @start on. */
int raw_msi(struct raw *raw, unsigned int start, unsigned int count, const int *fds);
/* Memory space, bus master, MSI with 32 vectors. */
void raw_enable(struct raw *raw);

/* Start a single transfer: @write is card to host. */
void raw_dma_start(struct raw *raw, bool write, unsigned int channel, uint64_t iova,
		   uint64_t card_addr, uint32_t len);
/* Poll until it ended. Return: 0 done; -EIO aborted; -ETIMEDOUT. */
int raw_dma_wait(struct raw *raw, bool write, unsigned int channel);
int raw_dma(struct raw *raw, bool write, uint64_t iova, uint64_t card_addr, uint32_t len);

/* A memfd; sealed: F_SEAL_SHRINK. */
int raw_memfd(uint64_t bytes, bool sealed);
/* Descriptors of this process that are open. */
unsigned int raw_fd_count(void);
uint64_t raw_now_ms(void);
/* The card has nothing left to do: within 50 ms, as its threads may need a moment to see it. */
bool raw_card_rests(const struct card *card);
struct vfio_user_server_stats raw_stats(const struct raw *raw);

#endif
