/* SPDX-License-Identifier: MIT */
/*
 * The card behind a unix socket: a vfio-user server for QEMU and for our own client.
 *
 * One client at a time owns the card. Another one that connects meanwhile is told EBUSY; when the
 * owner leaves, however it does, the card gets a cold reset and the next one is served.
 */
#ifndef TETHYS_CARD_VFIO_USER_SERVER_H
#define TETHYS_CARD_VFIO_USER_SERVER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "card/card.h"
#include "common/reason.h"

struct vfio_user_server;

enum vfio_user_event {
	VFIO_USER_EVENT_CONNECTED,    /* a client has negotiated */
	VFIO_USER_EVENT_DISCONNECTED, /* and has left */
	VFIO_USER_EVENT_REFUSED,      /* a client came while another one has the card */
	VFIO_USER_EVENT_PROTOCOL,     /* a client broke the protocol; the text says how */
	VFIO_USER_EVENT_INDIRECT,     /* memory that can't be shared, DMA there goes by message */
	VFIO_USER_EVENT_NR,
};

struct vfio_user_server_config {
	const char *path; /* where to listen; NULL: on listen_fd */
	mode_t mode;	  /* permissions of the socket, the only authentication; 0: 0600 */
	/*
	 * With path NULL: a listening socket, or a connected one, which is served until it closes.
	 * -1: none, only vfio_user_server_serve(). Closed by vfio_user_server_destroy().
	 */
	int listen_fd;
	/*
	 * Never touch client memory directly, all DMA by message. For a QEMU whose memory backend
	 * is share=off: its descriptors show another memory than the guest's, with no sign of it.
	 */
	bool no_direct;
	/*
	 * Offer L2 for mapping to every client, not only to ours. QEMU then sends all
	 * register writes synchronously (measured), which costs more than it saves.
	 */
	bool share_l2;
	/* Offer it to nobody, so that the card counts each access (struct card_stats). */
	bool trap_l2;
	unsigned int stall_ms; /* patience with half a message or a full socket; 0: 5000 */
	/* Told from any of the server's threads, never twice at once; may be NULL. */
	void (*event)(void *ctx, enum vfio_user_event event, const char *text);
	void *event_ctx;
	/*
	 * Owners, their mappings and all accesses, in an order that lets an observer judge them:
	 * an access directly is told while its mapping is held, so between that one's MAP and
	 * UNMAP; one by message before it goes out and when its answer is in. May be NULL. From any
	 * thread, several at a time, with locks held: must not call back, and be quick.
	 */
	void (*trace)(void *ctx, const struct card_event *event);
	void *trace_ctx;
};

/* Counters since creation; a snapshot, each value read atomically. */
struct vfio_user_server_stats {
	uint64_t clients;
	uint64_t refused;	  /* clients told EBUSY */
	uint64_t messages;	  /* from clients, replies included */
	uint64_t protocol_errors; /* that ended a connection */
	uint64_t error_replies;	  /* sent */
	uint64_t maps;		  /* DMA_MAPs with a descriptor */
	uint64_t maps_indirect;	  /* of these, not usable directly */
	uint64_t direct_bytes;	  /* of DMA through mapped memory */
	uint64_t message_bytes;	  /* of DMA by message */
	uint64_t dma_messages;	  /* sent */
	uint64_t dma_refused;	  /* answered with an error */
	uint64_t replies_dropped; /* to DMA nobody waits for any more */
	uint64_t msi_signalled;
	uint64_t msi_unassigned; /* no eventfd when due; kept pending */
};

/**
 * vfio_user_server_create() - put a card behind a socket
 * @card: stays the caller's, must outlive the server
 * @config: copied
 * @ret_server: listens already, so a client that connects now waits for vfio_user_server_run()
 * @why: set on failure; may be NULL
 *
 * The socket file of a dead server is replaced.
 *
 * Return: 0; -EADDRINUSE a live server listens there; -EEXIST something else is there; -EINVAL
 * path empty or too long, listen_fd no stream socket; -ENOMEM; other negative errno of bind(2).
 */
int vfio_user_server_create(struct card *card, const struct vfio_user_server_config *config,
			    struct vfio_user_server **ret_server, struct reason *why);
/* NULL is fine; not while it runs. Removes the socket file. */
void vfio_user_server_destroy(struct vfio_user_server *server);

/**
 * vfio_user_server_run() - serve clients one after another
 *
 * Return: 0 when stopped, or when a connected listen_fd has closed; negative errno when the
 * listening socket fails.
 */
int vfio_user_server_run(struct vfio_user_server *server);

/**
 * vfio_user_server_stop() - end vfio_user_server_run() soon, disconnecting the client
 *
 * Context: any thread, signal handlers. Before vfio_user_server_run(): that returns at once.
 */
void vfio_user_server_stop(struct vfio_user_server *server);

/**
 * vfio_user_server_serve() - serve one connected client in the calling thread
 * @sock: connected unix stream socket; stays the caller's, is shut down on return
 *
 * Not while vfio_user_server_run() runs.
 *
 * Return: 0 the client left; -EBUSY the card is attached elsewhere; -EPROTO the client broke the
 * protocol; -ETIMEDOUT it stalled; -ENOMEM; other negative errno of the socket.
 */
int vfio_user_server_serve(struct vfio_user_server *server, int sock);

void vfio_user_server_stats(const struct vfio_user_server *server,
			    struct vfio_user_server_stats *ret_stats);

#endif
