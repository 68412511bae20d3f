/* SPDX-License-Identifier: MIT */
/*
 * What the parts of the vfio-user server know of each other.
 *
 * Threads: the listener accepts; the I/O thread of the one connection owns its socket's receiving
 * side, answers everything from state and never waits for DMA; with a twin socket a reader takes
 * the replies there; the card's own threads call the bus functions and may wait.
 *
 * There is no order of locks: none is taken while another one of the server's is held, and none is
 * held while the card is called. An observer's lock would be a leaf below all of them.
 */
#ifndef TETHYS_CARD_VFIO_USER_INTERNAL_H
#define TETHYS_CARD_VFIO_USER_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tethys/hw/irq.h>

#include "card/transport/unix_listener.h"
#include "card/transport/vfio_user_server.h"
#include "common/copy.h"
#include "common/vfio_user.h"

/* --- vfio_user_map.c: client memory we can touch --- */

#define VUS_MAX_BACKINGS 4096u	       /* files mapped at a time */
#define VUS_COPY_BYTES COPY_BULK_BYTES /* under the lock at a time: an unmap waits half a ms */

struct vus_backing;

struct vus_map_table {
	struct vfio_user_server *server; /* whose observer is told; may be NULL */
	pthread_rwlock_t lock; /* root, count; held for reading by copies, so no unmap races them */
	void *root;	       /* tsearch(3) tree of struct vus_mapping, disjoint, by IOVA */
	unsigned int count;
	struct vus_backing *backings; /* I/O thread only */
	unsigned int backings_nr;
};

int vus_map_init(struct vus_map_table *table);
void vus_map_deinit(struct vus_map_table *table);
/*
 * @fd: taken, or -1. Whatever overlaps is replaced.
 * Return: 0 the range is mapped directly; 1 it is not, *ret_why says why (NULL: nothing to say);
 * -EINVAL range or file don't fit.
 */
int vus_map_add(struct vus_map_table *table, const struct vfio_user_dma_map *map, int fd,
		bool no_direct, const char **ret_why);
/* Remove all that overlaps [@first, @last], both included, and wait for copies there. */
void vus_map_remove(struct vus_map_table *table, uint64_t first, uint64_t last);
/*
 * Copy between @buf and client memory from @iova on, as far as it is mapped with the permission,
 * at most @len and a bounded number of bytes.
 * Return: bytes copied; 0 when @iova is not mapped so, and *ret_gap is how many bytes from there
 * are not.
 */
size_t vus_map_copy(struct vus_map_table *table, bool write, uint64_t iova, void *buf, size_t len,
		    size_t *ret_gap);

/* --- vfio_user_dma.c: DMA, direct and by message --- */

#define VUS_DMA_SLOTS 64u /* messages in flight */
#define VUS_DMA_PIECE (128u * 1024u)

struct vus_dma_job;

struct vus_dma_slot {
	struct vus_dma_job *job; /* NULL: free, a reply is dropped */
	uint16_t id;		 /* of the last use; the low bits are the slot's number */
	uint16_t command;
	uint32_t count;
	uint64_t iova;
	void *dst; /* DMA_READ: where the data goes */
};

struct vus_dma {
	struct vfio_user_server *server; /* whose observer is told */
	pthread_mutex_t lock;		 /* all below, and the jobs */
	pthread_cond_t room;		 /* a slot got free, or the gate closed */
	struct vus_dma_slot slots[VUS_DMA_SLOTS];
	unsigned int busy;
	unsigned int closed; /* how many have closed the gate: messages fail at once */
};

struct vus_conn;

int vus_dma_init(struct vus_dma *dma);
void vus_dma_deinit(struct vus_dma *dma);
/* Fail all who wait for a message, and all who come; until opened again. */
void vus_dma_close(struct vus_dma *dma);
void vus_dma_open(struct vus_dma *dma);
/*
 * A reply has come. @body: header.size - 16 bytes.
 * Return: 0, also for replies nobody waits for; -EPROTO its size fits no request.
 */
int vus_dma_reply(struct vus_conn *conn, const struct vfio_user_header *header, const void *body);
/* struct card_bus; @ctx is the connection. */
int vus_dma_read(void *ctx, uint64_t iova, void *dst, size_t len);
int vus_dma_write(void *ctx, uint64_t iova, const void *src, size_t len);
int vus_dma_raw_write32(void *ctx, uint64_t addr, uint32_t data);

/* --- vfio_user_irq.c --- */

struct vus_irqs {
	pthread_mutex_t lock;  /* all below */
	int msi[METIS_IRQ_NR]; /* eventfds, -1: none */
	uint32_t pending;      /* MSIs raised while there was no eventfd */
	int err, req;
};

int vus_irq_init(struct vus_irqs *irqs);
void vus_irq_deinit(struct vus_irqs *irqs);
uint32_t vus_irq_count(unsigned int index);
/*
 * SET_IRQS. @set has its bools; @fds are taken on success.
 * Return: 0; -EINVAL.
 */
int vus_irq_set(struct vus_conn *conn, const struct vfio_user_irq_set *set, size_t bools,
		struct vfio_user_fds *fds);
/* struct card_bus. */
void vus_irq_msi(void *ctx, unsigned int vector);

/* --- vfio_user_conn.c: one client --- */

struct vus_conn {
	struct vfio_user_server *server;
	struct card *card;
	int sock;
	int twin; /* -1: none */
	pthread_t twin_thread;
	pthread_mutex_t send_lock; /* sending on sock, one message at a time */
	pthread_mutex_t twin_lock; /* sending on twin */
	atomic_bool broken;	   /* the stream can't be used any more */
	bool negotiated;	   /* I/O thread, as is all below */
	struct vfio_user_caps peer;
	struct vus_map_table maps;
	struct vus_dma dma;
	struct vus_irqs irqs;
	/* The message being handled: header and body; the reply being made. */
	uint8_t *request, *reply;
	struct vfio_user_fds fds;
	/* Read too far: the first bytes of the next message, and its descriptors. */
	uint8_t next[sizeof(struct vfio_user_header)];
	size_t next_len;
	struct vfio_user_fds next_fds;
};

/* True when the client may map L2. */
bool vus_conn_shares_l2(const struct vus_conn *conn);
/* Send a command of ours, header and @data, on the right socket. A failure ends the connection. */
int vus_conn_send_dma(struct vus_conn *conn, const void *head, size_t head_len, const void *data,
		      size_t data_len);
/* End the connection: no send or receive waits any more. */
void vus_conn_break(struct vus_conn *conn);

/* What a command is answered with. */
struct vus_answer {
	size_t len; /* of the body, which is in conn->reply behind the header */
	int fd;	    /* goes along, stays the giver's; -1: none */
};

/*
 * VERSION: agree, and plug the card in.
 * Return: 0; -EINVAL; -EBUSY the card is attached elsewhere; negative errno.
 */
int vus_conn_version(struct vus_conn *conn, const struct vfio_user_version *request, size_t len,
		     struct vus_answer *answer);

/* --- vfio_user_msg.c: commands of a client --- */

/*
 * Handle the command in conn->request, @len bytes of body, descriptors in conn->fds.
 * Return: 0; negative errno for an error reply.
 */
int vus_msg_handle(struct vus_conn *conn, const struct vfio_user_header *header, size_t len,
		   struct vus_answer *ret_answer);

/* --- vfio_user_server.c --- */

struct vfio_user_server {
	struct card *card;
	struct vfio_user_server_config config;
	struct unix_listener listener;
	bool connected;		    /* the listener's descriptor is the one client */
	int stop_fd;		    /* eventfd: end vfio_user_server_run() */
	int done_fd;		    /* eventfd: the I/O thread has ended */
	pthread_mutex_t event_lock; /* config.event is called with it */
	_Atomic uint64_t stats[sizeof(struct vfio_user_server_stats) / sizeof(uint64_t)];
};

#define VUS_COUNT_BY(server, field, n)                                                     \
	atomic_fetch_add_explicit(                                                         \
		&(server)->stats[offsetof(struct vfio_user_server_stats, field) / 8], (n), \
		memory_order_relaxed)
#define VUS_COUNT(server, field) VUS_COUNT_BY(server, field, 1)

void vus_event(struct vfio_user_server *server, enum vfio_user_event event, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Is there an observer? Worth asking before work that only he needs. */
static inline bool vus_traced(const struct vfio_user_server *server)
{
	return server && server->config.trace;
}

/* Tell config.trace. @server may be NULL. */
void vus_trace(const struct vfio_user_server *server, const struct card_event *event);

#endif
