/* SPDX-License-Identifier: MIT */
/*
 * One run: what the hops know of each other, and what has to be put back.
 */
#ifndef TETHYS_PROBE_INTERNAL_H
#define TETHYS_PROBE_INTERNAL_H

#include <tethys/hw/edma.h>
#include <tethys/hw/fwarea.h>

#include "probe/bus.h"

/* What a hop's function says beside 0 and negative errno: it makes no sense here. */
#define PROBE_SKIP 1

#define PROBE_CONFIG_SPACE (-1)
#define PROBE_JOURNAL_MAX 64
#define PROBE_BYTES 1024u /* of each transfer: register reads cost much where they are trapped */
#define PROBE_KEPT_MAX 4  /* two lists and their data */

/* A value to put back. */
struct probe_saved {
	int space; /* PROBE_CONFIG_SPACE or a BAR */
	uint32_t offset;
	uint32_t bytes; /* 2 or 4 */
	uint32_t value;
};

/* A piece of L2 to put back. */
struct probe_kept {
	uint64_t offset;
	size_t bytes;
	uint8_t data[PROBE_BYTES];
};

struct probe_imwr {
	uint64_t done, abort; /* addresses */
	uint32_t data[2];     /* of channels 0 and 1, 2 and 3 */
};

struct probe_metis {
	bool seen;	  /* the device is one, and its registers answer */
	bool firmware;	  /* its area is there */
	bool owns_imwr;	  /* dma_vm: firmware sends the interrupts of transfers */
	bool commands;	  /* it speaks Tethys' protocol: a command can ask for an interrupt */
	uint64_t l2_base; /* card address of BAR2's first byte */
	uint64_t lists;	  /* where the lists are: card address, and in BAR2 */
	uint64_t lists_offset;
	uint64_t context;			/* context 0 in BAR2 */
	struct probe_imwr imwr[2];		/* as found; by enum probe_dir */
	unsigned int busy;			/* channels that ran when we came */
	struct probe_kept kept[PROBE_KEPT_MAX]; /* of the lists' memory, what is written to */
	unsigned int kept_nr;
};

enum probe_dir {
	PROBE_IN,  /* read channels: host to card */
	PROBE_OUT, /* write channels */
};

struct probe {
	struct probe_bus *bus;
	struct probe_options options;
	struct probe_report *report;
	struct reason note; /* the detail of a hop that is good or not tried */
	bool is_metis;
	unsigned int cap_pm, cap_msi, cap_msix, cap_exp; /* 0: none */
	uint8_t pin;
	struct probe_metis metis;
	struct probe_mem *high, *low; /* above and below 4 GiB; NULL: not mapped */
	bool stuck;	 /* a channel does not stop: its memory and lists are its own */
	bool no_restore; /* a reset has done it */
	struct probe_saved saved[PROBE_JOURNAL_MAX];
	unsigned int saved_nr;
};

static inline bool probe_canceled(const struct probe *p)
{
	return p->options.cancel && *p->options.cancel;
}

static inline bool probe_good(const struct probe *p, enum probe_hop hop)
{
	return p->report->step[hop].result == PROBE_OK;
}

/* The detail of a hop that does not fail; said once. */
void probe_note(struct probe *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A class of doctor's that would explain a failure. */
void probe_suggest(struct probe *p, const char *id);
/* Note what is there, once, then store. @space, @bytes: as in struct probe_saved. */
int probe_store(struct probe *p, int space, uint32_t offset, uint32_t bytes, uint32_t value,
		struct reason *why);
int probe_reg_read(struct probe *p, uint32_t offset, uint32_t *ret_value, struct reason *why);
int probe_reg_write(struct probe *p, uint32_t offset, uint32_t value, struct reason *why);

/* Each: 0; PROBE_SKIP with a note; -ECANCELED; negative errno with @why. */
int probe_hop_config(struct probe *p, struct reason *why);
int probe_hop_power(struct probe *p, struct reason *why);
int probe_hop_bar_read(struct probe *p, struct reason *why);
int probe_hop_bar_write(struct probe *p, struct reason *why);
int probe_hop_map(struct probe *p, struct reason *why);
int probe_hop_dma_in(struct probe *p, struct reason *why);
int probe_hop_dma_out(struct probe *p, struct reason *why);
int probe_hop_msi(struct probe *p, struct reason *why);
int probe_hop_imwr(struct probe *p, struct reason *why);
int probe_hop_reset(struct probe *p, struct reason *why);

/* --- transfers, dma.c --- */

struct probe_xfer {
	enum probe_dir dir;
	const struct probe_mem *host;
	bool interrupt;
};

/* The channel that transfers of @dir take: one that was idle when we came. -EBUSY: none. */
int probe_channel(const struct probe *p, enum probe_dir dir, unsigned int *ret_n,
		  struct reason *why);
/*
 * Move PROBE_BYTES between @xfer->host and card memory that is the host's, wait for the channel,
 * and compare.
 * Return: 0; -EIO the channel aborted; -ETIMEDOUT; -ENODEV; -ECANCELED.
 */
int probe_transfer(struct probe *p, const struct probe_xfer *xfer, struct reason *why);
/* Engines off, messages gone, lists as they were. Errors change nothing any more. */
void probe_metis_quiet(struct probe *p);

#endif
