/* SPDX-License-Identifier: MIT */
/*
 * The virtual Metis card, seen from a transport.
 *
 * The card knows a bus of a few functions and nothing of who is behind it: QEMU, a socket client
 * or the same process. All functions may be called from any thread; register accesses never wait
 * for DMA or for an engine.
 */
#ifndef TETHYS_CARD_CARD_H
#define TETHYS_CARD_CARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/reason.h"

struct card;

/*
 * The outside world. The card calls these from its own threads, never with a lock held that a
 * register access takes. dma_read and dma_write return 0 when every byte has been moved and is
 * visible to the host, else -EFAULT (no mapping, no permission), -ENODEV (bus master off or the
 * link is gone), -EPERM, -EIO.
 */
struct card_bus {
	void *ctx;
	int (*dma_read)(void *ctx, uint64_t iova, void *dst, size_t len);	 /* host to card */
	int (*dma_write)(void *ctx, uint64_t iova, const void *src, size_t len); /* card to host */
	/* Raise MSI @vector (0-31, already reduced to what the host enabled). Never blocks. */
	void (*msi)(void *ctx, unsigned int vector);
	/*
	 * Put a 32-bit write into the interrupt window that is no MSI of ours. Called only when
	 * card_config.raw_imwr is set. May be NULL: refused.
	 */
	int (*raw_write32)(void *ctx, uint64_t addr, uint32_t data);
};

enum card_reset {
	CARD_RESET_FLR,	 /* function-level reset, by config write */
	CARD_RESET_BUS,	 /* secondary bus reset, vfio-user RESET */
	CARD_RESET_COLD, /* power: nothing survives */
};

/* What an observer is told of: the card's accesses, and by a transport what they may go to. */
enum card_event_kind {
	CARD_EVENT_READ,  /* DMA, host to card */
	CARD_EVENT_WRITE, /* DMA, card to host */
	CARD_EVENT_MSI,	  /* at its message's address */
	CARD_EVENT_IMWR,  /* one that is no MSI */
	CARD_EVENT_RESET, /* over */
	/* From transports: */
	CARD_EVENT_OWNER, /* a client has the card from now on */
	CARD_EVENT_LEFT,  /* nothing of the card reaches it any more */
	CARD_EVENT_MAP,	  /* before anything goes there directly */
	CARD_EVENT_UNMAP, /* after the last direct access, before the client is told */
	/* An access by message is about to go out; a READ or WRITE of that number says its end. */
	CARD_EVENT_SENT,
	CARD_EVENT_NR,
};

/* How an access went. */
enum card_way {
	CARD_WAY_NONE,	  /* refused before it left the card or its transport */
	CARD_WAY_BUS,	  /* through a function of struct card_bus; a transport says more of it */
	CARD_WAY_DIRECT,  /* in memory that the client has shared */
	CARD_WAY_MESSAGE, /* carried out, or refused, by the client */
	CARD_WAY_NR,
};

/* Result of a message that was given up: it may have been carried out. */
#define CARD_RESULT_UNKNOWN 1

struct card_event {
	enum card_event_kind kind;
	enum card_way way; /* READ, WRITE; MAP: how the range will be used */
	bool write;	   /* SENT: card to host; MAP: may be written to */
	bool read;	   /* MAP: may be read */
	uint16_t number;   /* SENT; READ, WRITE by message */
	int result;	   /* READ, WRITE, MSI, IMWR: 0, negative errno, CARD_RESULT_UNKNOWN */
	uint64_t addr;
	uint64_t len; /* bytes; UNMAP: 0 is everything */
	enum card_reset reset;
};

struct card_config {
	const char *personality; /* "1.3.2", "1.6.0", "1.8.0"; NULL: the newest */
	const char *engine;	 /* "onnx", "null"; NULL: "onnx" */
	bool raw_imwr;		 /* send IMWr messages that are not ours, instead of refusing */
	int keep_imwr;		 /* over resets: -1 as the personality says, 0 no, 1 yes */
	bool mirror_dma;	 /* virtual MSIs for channels too; false: as the personality says */
	bool latch_target;	 /* the host-driver target until power-off; false: the same */
	/*
	 * Every host access the card makes, refused ones as well, and its resets; may be NULL.
	 * From any thread, several at a time.
	 */
	void (*trace)(void *ctx, const struct card_event *event);
	void *trace_ctx;
};

/* Counters since creation; a snapshot, each value read atomically. */
struct card_stats {
	uint64_t dma_read_bytes;  /* host to card */
	uint64_t dma_write_bytes; /* card to host */
	uint64_t dma_jobs;
	uint64_t dma_aborts;
	uint64_t msi_raised;
	uint64_t msi_unsent;   /* MSI disabled or bus master off when due */
	uint64_t imwr_refused; /* messages that are not the card's own MSI */
	uint64_t imwr_raw;     /* such messages sent on request */
	uint64_t doorbells_ignored;
	uint64_t commands;
	uint64_t commands_failed;
	uint64_t resets;
	/* What the host makes, whatever its width; not what it does where a BAR is mapped. */
	uint64_t bar0_reads;
	uint64_t bar0_writes;
	uint64_t l2_reads;
	uint64_t l2_writes;
	/* Faults on request: card/control.h. */
	uint64_t interrupts_lost;
	uint64_t transfers_stalled;
	uint64_t transfers_aborted; /* counted among dma_aborts too */
	uint64_t vanished;	    /* how often */
};

/**
 * card_create() - power a card on
 * @config: copied; NULL: all defaults
 * @ret_card: the card, owned by the caller, without a bus
 * @why: set on failure
 *
 * Return: 0; -EINVAL unknown personality or engine; -ENOMEM.
 */
int card_create(const struct card_config *config, struct card **ret_card, struct reason *why);
/* NULL is fine. Detaches first; waits for bus functions and engines for as long as they take. */
void card_destroy(struct card *card);

/**
 * card_attach() - plug the card into a bus
 * @bus: copied; its functions must stay callable until card_detach() returns
 *
 * Return: 0; -EBUSY another bus is attached; other negative errno: no memory for a fresh L2.
 */
int card_attach(struct card *card, const struct card_bus *bus);

/**
 * card_detach() - the other side is gone
 *
 * Stops all DMA and engines, then gives the card a cold reset, so that the next owner finds it as
 * new, with an L2 of its own: the descriptor of card_l2() is another one from now on. A running
 * copy ends at its next chunk; a running network ends by itself, without effect.
 *
 * Return: 0, no bus function is running or will be called; -ETIMEDOUT one has been running for a
 * second and is still: no other will be called, but the bus has to stay as it is, and the card
 * takes no other until a further card_detach() returns 0.
 */
int card_detach(struct card *card);

/**
 * card_region_read() / card_region_write() - an access of the host to a region
 * @region: VFIO PCI region index: 0-5 BARs, 7 configuration space
 * @offset: bytes from the region's start
 * @len: 1, 2, 4 or 8 for BARs, naturally aligned; configuration space and L2 take any length
 *
 * BAR0 is 32-bit only: other widths read as zeros and write nothing. Never waits.
 * The caller need not be trusted.
 *
 * Return: 0; -EINVAL no such region, or the access leaves it.
 */
int card_region_read(struct card *card, unsigned int region, uint64_t offset, void *buf,
		     size_t len);
int card_region_write(struct card *card, unsigned int region, uint64_t offset, const void *buf,
		      size_t len);

/**
 * card_region_size() - size of a region in bytes, 0 when absent
 */
uint64_t card_region_size(unsigned int region);

/**
 * card_l2() - L2 as memory, for transports that can share it
 * @ret_fd: sealed memfd of METIS_BAR_L2_BYTES, owned by the card
 * @ret_trapped: bytes at its start that must go through card_region_write(), page aligned
 *
 * Return: address of L2 in this process.
 */
void *card_l2(struct card *card, int *ret_fd, size_t *ret_trapped);

void card_reset(struct card *card, enum card_reset kind);
void card_stats(const struct card *card, struct card_stats *ret_stats);
/* True while no channel runs, no context is busy and no virtual MSI is due. */
bool card_idle(const struct card *card);

/* Put @data to @addr in the interrupt window, through the same door as an IMWr. */
int card_inject_imwr(struct card *card, uint64_t addr, uint32_t data);

#endif
