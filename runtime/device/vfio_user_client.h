/* SPDX-License-Identifier: MIT */
/*
 * A connection to a vfio-user server: requests and replies, and the DMA the server asks us for.
 *
 * The server is not trusted: every reply is checked, every wait has an end. A peer that breaks the
 * protocol or misses a deadline is cut off for good: a late reply would be taken for another's.
 *
 * With a twin socket replies and the server's commands never meet: who sends a request reads its
 * reply, and one thread serves the twin. On one socket a thread does nothing but read, so that the
 * server's writes always go on however slowly our own do, hands replies to who waits for them and
 * commands to a second thread, which answers them.
 */
#ifndef TETHYS_RUNTIME_DEVICE_VFIO_USER_CLIENT_H
#define TETHYS_RUNTIME_DEVICE_VFIO_USER_CLIENT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "common/reason.h"
#include "common/vfio_user.h"

/*
 * Copy between @data and announced memory; @write: into it.
 * Return: 0; -ENODEV nothing announced there, or not for that.
 */
typedef int (*vfio_user_dma_fn)(void *ctx, bool write, uint64_t iova, void *data, uint64_t len);

struct vfio_user_request {
	enum vfio_user_command command;
	struct iovec body[2]; /* unused: length 0 */
	const int *fds;
	unsigned int fds_nr;
	void *reply;			 /* body of the reply */
	size_t reply_bytes;		 /* room; after success what came */
	struct vfio_user_fds *reply_fds; /* NULL: none may come */
};

/* A command of the server on its way from the reading to the answering thread. */
struct vfio_user_queued;

struct vfio_user_client {
	int sock;
	int twin; /* the server's commands come here; -1: on sock */
	struct vfio_user_caps peer;
	unsigned int timeout_ms; /* of a request */
	bool offer_twin;
	atomic_bool dead;
	vfio_user_dma_fn dma;
	void *dma_ctx;
	uint8_t *
		command; /* the command being answered; [VFIO_USER_MAX_MESSAGE], its thread's only */
	int stop;	 /* eventfd: the threads shall end; -1 */
	pthread_t reader, answerer;
	bool has_reader, has_answerer;
	/* Locks in this order. */
	pthread_mutex_t lock;	    /* one request with its reply at a time; next_id */
	pthread_mutex_t send_lock;  /* protects the writing side of sock, one message at a time */
	pthread_mutex_t queue_lock; /* protects all below; held for moments */
	pthread_cond_t queue_changed;
	struct vfio_user_request
		*pending; /* waits for the reader, which writes to it; NULL: none */
	struct vfio_user_header pending_sent;
	int pending_ret; /* 0; > 0 the server's error number; < 0 the stream is broken */
	bool reader_gone;
	struct vfio_user_queued *queue, **queue_end;
	size_t queue_bytes;
	uint16_t next_id;
};

/**
 * vfio_user_client_init() - no connection yet
 * @timeout_ms: of connecting and of each request
 * @offer_twin: have the server's commands come on a socket of their own, if it can
 * @dma: serves the server's DMA; from any thread
 */
void vfio_user_client_init(struct vfio_user_client *client, unsigned int timeout_ms,
			   bool offer_twin, vfio_user_dma_fn dma, void *dma_ctx);
/* Disconnects. */
void vfio_user_client_deinit(struct vfio_user_client *client);

/**
 * vfio_user_client_connect() - connect and agree on a version
 * @path: of the socket
 *
 * Return: 0; -ENODEV nobody listens or answers; -EBUSY the server has another client; -EPROTO;
 * -EINVAL path too long; -ENOMEM.
 */
int vfio_user_client_connect(struct vfio_user_client *client, const char *path, struct reason *why);

/**
 * vfio_user_client_call() - send a request and wait for its reply
 *
 * Return: 0; -ENODEV the server is gone, silent or broke the protocol; else the server's error.
 */
int vfio_user_client_call(struct vfio_user_client *client, struct vfio_user_request *request,
			  struct reason *why);

/**
 * vfio_user_client_post() - send a command that gets no reply
 * @body: [2], unused: length 0
 */
int vfio_user_client_post(struct vfio_user_client *client, enum vfio_user_command command,
			  const struct iovec *body, struct reason *why);

/* --- between the two files of the client --- */

/* Nothing more comes or goes; wakes everybody who polls or reads the sockets. */
void vfio_user_client_cut_off(struct vfio_user_client *client);

/**
 * vfio_user_client_take() - the reply to @sent, its header and @done bytes of body being read
 *
 * Return: 0; > 0 the server's error number; < 0 the stream is broken.
 */
int vfio_user_client_take(struct vfio_user_client *client, struct vfio_user_request *request,
			  const struct vfio_user_header *sent,
			  const struct vfio_user_header *header, size_t done);

/* --- vfio_user_serve.c --- */
int vfio_user_serve_start(struct vfio_user_client *client, struct reason *why);
void vfio_user_serve_stop(struct vfio_user_client *client);
/* Have the reader take the reply to @sent, before it is sent. False: there is no reader now. */
bool vfio_user_serve_expect(struct vfio_user_client *client, struct vfio_user_request *request,
			    const struct vfio_user_header *sent);
/* Wait for it. Return: as vfio_user_client_take(); -ETIMEDOUT after cutting off. */
int vfio_user_serve_await(struct vfio_user_client *client);

#endif
