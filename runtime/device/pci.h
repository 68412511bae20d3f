/* SPDX-License-Identifier: MIT */
/*
 * A card whose configuration space, BARs and interrupts we hold ourselves.
 *
 * A backend embeds struct axdev_pci, gives the few functions of struct axdev_pci_ops, and calls
 * axdev_pci_start(); pci.c turns them into struct axdev_ops, edma.c does the transfers.
 */
#ifndef TETHYS_RUNTIME_DEVICE_PCI_H
#define TETHYS_RUNTIME_DEVICE_PCI_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <tethys/hw/edma.h>
#include <tethys/hw/irq.h>
#include <tethys/hw/pci.h>

#include "runtime/device/device.h"

struct axdev_pci;

/* One 32-bit store to BAR0. */
struct axdev_reg {
	uint32_t offset;
	uint32_t value;
};

/* A part of BAR2 this process can reach by plain loads and stores. */
struct axdev_l2_area {
	uint64_t offset; /* in BAR2, bytes */
	uint64_t bytes;
	uint8_t *ptr;
};
#define AXDEV_L2_AREAS_MAX 8

/*
 * What a backend must do. Every function may be called from any thread; errors are as in
 * struct axdev_ops. BAR offsets and lengths have been checked against the region's size.
 */
struct axdev_pci_ops {
	void (*destroy)(struct axdev_pci *pci); /* free everything; no transfer runs any more */
	int (*config_read)(struct axdev_pci *pci, uint32_t offset, void *buf, size_t len,
			   struct reason *why);
	int (*config_write)(struct axdev_pci *pci, uint32_t offset, const void *buf, size_t len,
			    struct reason *why);
	int (*bar_read)(struct axdev_pci *pci, unsigned int bar, uint64_t offset, void *buf,
			size_t len, struct reason *why);
	/* May be posted: an error can show up later or never. Never overtaken by later accesses. */
	int (*bar_write)(struct axdev_pci *pci, unsigned int bar, uint64_t offset, const void *buf,
			 size_t len, struct reason *why);
	/* Stores to BAR0, in order, as one message where there are messages. */
	int (*regs_write)(struct axdev_pci *pci, const struct axdev_reg *regs, unsigned int count,
			  struct reason *why);
	int (*mem_alloc)(struct axdev_pci *pci, size_t bytes, struct axdev_buf *ret_buf,
			 struct reason *why);
	void (*mem_free)(struct axdev_pci *pci, struct axdev_buf *buf);
	/*
	 * Let the card reach memory of the caller until user_end(), after which it surely does not
	 * any more. Both NULL where that is not possible.
	 */
	int (*user_begin)(struct axdev_pci *pci, enum axdev_dir dir, void *ptr, size_t len,
			  uint64_t *ret_iova, struct reason *why);
	void (*user_end)(struct axdev_pci *pci, enum axdev_dir dir, void *ptr, size_t len);
	/*
	 * Interrupts 0-31 arrive from here on; the MSI capability has been enabled, or with
	 * no_msi_message is enabled by this. Called again after each reset.
	 */
	int (*irq_setup)(struct axdev_pci *pci, struct reason *why);
	int (*irq_wait)(struct axdev_pci *pci, unsigned int number, uint64_t timeout_us,
			struct reason *why);
	/* Consume one count, if there is one. */
	bool (*irq_take)(struct axdev_pci *pci, unsigned int number);
	void (*irq_clear)(struct axdev_pci *pci, unsigned int number);
	int (*reset)(struct axdev_pci *pci, struct reason *why);
	/*
	 * May transfers begin and go on? NULL: always. The card still answers when this says
	 * -ENODEV, so that it can be stopped before it is given back.
	 */
	int (*check)(struct axdev_pci *pci, struct reason *why);
};

/* One eDMA channel. */
struct axdev_channel {
	pthread_mutex_t lock; /* held for a whole transfer: list memory, registers, the below */
	bool distrusted; /* something odd happened: never take its interrupt alone as success */
	bool stuck;	 /* would not stop after a timeout */
	/* Watching for completions: how often in a row it was in vain, and how often not to. */
	unsigned int in_vain, skip;
};

struct axdev_edma {
	struct axdev_channel channels[2][METIS_EDMA_CHANNELS]; /* by enum axdev_dir */
	uint64_t lists;					       /* card address of the list buffer */
	uint64_t lists_offset;				       /* the same in BAR2 */
	uint32_t element_max_bytes; /* of one element; a test may lower it */
	bool owns_imwr;		    /* dma_vm: the card sends the interrupts, IMWr is not ours */
	atomic_bool polling;	    /* interrupts asked away by option, or one was lost */
	atomic_uint next;	    /* channel to queue on when all are taken */
};

struct axdev_pci {
	struct axdev dev; /* first: backends are known by it */
	const struct axdev_pci_ops *bus;
	struct axdev_l2_area l2[AXDEV_L2_AREAS_MAX];
	unsigned int l2_areas;
	unsigned int msi_cap; /* offset in configuration space */
	/*
	 * A register read is a message to another process here, so success is taken from the
	 * interrupt alone; see edma.c for what makes that safe.
	 */
	bool reads_are_slow;
	/*
	 * Numbers share vectors: an interrupt means "something happened" to all who wait, and each
	 * must look at the card. Never together with reads_are_slow, which trusts interrupts.
	 */
	bool shared_vectors;
	/*
	 * The MSI message belongs to the kernel, which doesn't show it: irq_setup() enables MSI,
	 * and the IMWr registers can't be programmed. Unless the firmware owns those, transfers are
	 * polled.
	 */
	bool no_msi_message;
	/* BAR2 is mapped from a device, not from memory: aligned accesses of at most 8 bytes. */
	bool l2_is_device;
	struct axdev_edma edma;
};

/**
 * axdev_pci_init() - fill the common part of a backend's struct
 *
 * Return: 0; -ENOMEM; -EINVAL name too long.
 */
int axdev_pci_init(struct axdev_pci *pci, const struct axdev_pci_ops *bus, const char *name,
		   const struct axdev_options *options, struct reason *why);
void axdev_pci_deinit(struct axdev_pci *pci);

/**
 * axdev_pci_start() - bring the card up: bus master, MSI, engine
 *
 * Return: 0; -EPROTO no Metis card; what the bus says.
 */
int axdev_pci_start(struct axdev_pci *pci, struct reason *why);

/**
 * axdev_pci_range() - is [@offset, @offset + @len) inside @size?
 */
static inline bool axdev_pci_range(uint64_t offset, uint64_t len, uint64_t size)
{
	return offset <= size && len <= size - offset;
}

/* --- edma.c --- */
void axdev_edma_init(struct axdev_pci *pci);
void axdev_edma_deinit(struct axdev_pci *pci);
/* Find the lists, program interrupts, enable the engines: after open and after each reset. */
int axdev_edma_start(struct axdev_pci *pci, uint64_t msi_addr, uint16_t msi_data,
		     struct reason *why);
void axdev_edma_stop(struct axdev_pci *pci);
/* No transfer runs between these two. */
void axdev_edma_lock_all(struct axdev_pci *pci);
void axdev_edma_unlock_all(struct axdev_pci *pci);
int axdev_edma_xfer(struct axdev_pci *pci, enum axdev_dir dir, int channel, uint64_t card_addr,
		    const struct axdev_buf *buf, uint64_t offset, uint64_t len, struct reason *why);

/* --- helpers --- */
uint64_t axdev_now_us(void);
/* Is it a transfer any card could do? Return: 0; -EINVAL. */
int axdev_pci_check_xfer(int channel, uint64_t card_addr, size_t len, struct reason *why);
/*
 * Aligned accesses of at most 8 bytes. memcpy() may use wide, overlapping or repeated ones: fine
 * for memory, but a bus splits them as it likes, and a hypervisor that traps them can't decode all.
 */
void axdev_mmio_read(void *buf, const volatile uint8_t *at, size_t len);
void axdev_mmio_write(volatile uint8_t *at, const void *buf, size_t len);
/* BAR2 through memory where mapped, else through the bus. */
int axdev_pci_l2_read(struct axdev_pci *pci, uint64_t offset, void *buf, size_t len,
		      struct reason *why);
int axdev_pci_l2_write(struct axdev_pci *pci, uint64_t offset, const void *buf, size_t len,
		       struct reason *why);

#endif
