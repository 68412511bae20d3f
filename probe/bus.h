/* SPDX-License-Identifier: MIT */
/*
 * A way to a device for probing: as thin as can be, so that a hop that fails is known by its name.
 * The backends of the runtime bring a card up when they open it; here each step is one of its own.
 */
#ifndef TETHYS_PROBE_BUS_H
#define TETHYS_PROBE_BUS_H

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/reason.h"
#include "probe/probe.h"

#define PROBE_BARS_NR 6
#define PROBE_VECTORS_MAX 32u
#define PROBE_RANGES_MAX 64u
#define PROBE_PAGE_BYTES 4096u

#define PROBE_MAP_READ 1u /* by the device */
#define PROBE_MAP_WRITE 2u

struct probe_bus;

/* Host memory the device can reach; stays until the bus is closed. */
struct probe_mem {
	struct probe_mem *next;
	uint8_t *ptr;
	uint64_t iova;
	size_t bytes;
	unsigned int prot;
	int fd;	       /* it is mapped from; -1: none */
	bool borrowed; /* the bus frees it */
};

/* Ends included. */
struct probe_range {
	uint64_t start, last;
};

enum probe_irq_kind {
	PROBE_IRQ_INTX,
	PROBE_IRQ_MSI,
	PROBE_IRQ_MSIX,
};

/* All return 0 or negative errno, with @why. Lengths and offsets are in the region. */
struct probe_bus_ops {
	/* Interrupts off, device closed, then memory freed. Takes half-built ones. */
	void (*close)(struct probe_bus *bus);
	int (*config_read)(struct probe_bus *bus, uint32_t offset, void *buf, size_t len,
			   struct reason *why);
	int (*config_write)(struct probe_bus *bus, uint32_t offset, const void *buf, size_t len,
			    struct reason *why);
	int (*bar_read)(struct probe_bus *bus, unsigned int bar, uint64_t offset, void *buf,
			size_t len, struct reason *why);
	int (*bar_write)(struct probe_bus *bus, unsigned int bar, uint64_t offset, const void *buf,
			 size_t len, struct reason *why);
	/*
	 * Zeroed memory at @iova; @mem is made by probe_map(). Without an IOMMU the bus says where it
	 * is, and may give other memory.
	 */
	int (*map)(struct probe_bus *bus, struct probe_mem *mem, struct reason *why);
	/*
	 * Interrupts as bus->events[0, bus->vectors), at most @want vectors.
	 * @cap: of the kind in configuration space.
	 */
	int (*irq_on)(struct probe_bus *bus, enum probe_irq_kind kind, unsigned int cap,
		      unsigned int want, struct reason *why);
	void (*irq_off)(struct probe_bus *bus);
	/* Have the other side signal @vector without the device; NULL: can't. */
	int (*irq_loop)(struct probe_bus *bus, unsigned int vector, struct reason *why);
	/*
	 * The message that the MSI capability at @cap really holds. -EACCES it is hidden; -ENODATA
	 * MSI is off.
	 */
	int (*msi_message)(struct probe_bus *bus, unsigned int cap, uint64_t *ret_addr,
			   uint32_t *ret_data, struct reason *why);
	/* -EOPNOTSUPP there is none. */
	int (*reset)(struct probe_bus *bus, struct reason *why);
};

struct probe_bus {
	const struct probe_bus_ops *ops;
	uint64_t bar_bytes[PROBE_BARS_NR];	     /* 0: none, or no memory BAR */
	struct probe_range ranges[PROBE_RANGES_MAX]; /* of addresses; ascending */
	unsigned int ranges_nr;
	bool no_iommu;		       /* the device sees physical addresses: there are no ranges */
	int events[PROBE_VECTORS_MAX]; /* eventfds, -1: none */
	unsigned int vectors;
	pthread_mutex_t lock; /* protects the list; held while a device of ours copies */
	struct probe_mem *memory;
};

/* --- opening --- */

int probe_bus_open_sim(const char *personality, struct probe_bus **ret_bus, struct reason *why);
int probe_bus_open_vfio_user(const char *path, unsigned int timeout_ms, struct probe_bus **ret_bus,
			     struct reason *why);
/*
 * @report: gets commands and suggestions.
 * Return: 0; -EINVAL no PCI address; -ENXIO it is off the bus: its configuration space reads as
 * ones; other negative errno.
 */
int probe_bus_open_vfio(const char *root, const char *address, struct probe_bus **ret_bus,
			struct probe_report *report, struct reason *why);
void probe_bus_close(struct probe_bus *bus); /* NULL is fine */

/**
 * probe_run() - the hops of a bus that is open, and everything put back
 *
 * Return: 0; -EIO one failed; -ECANCELED.
 */
int probe_run(struct probe_bus *bus, const struct probe_options *options,
	      struct probe_report *report);

/* --- for the ways --- */

void probe_bus_init(struct probe_bus *bus, const struct probe_bus_ops *ops);
/* Frees memory, closes events: after the device is closed. */
void probe_bus_deinit(struct probe_bus *bus);
/* Everything but zero and the interrupt window: for cards of ours. */
void probe_bus_all_addresses(struct probe_bus *bus);
int probe_bus_events(struct probe_bus *bus, unsigned int vectors, struct reason *why);
void probe_bus_events_close(struct probe_bus *bus);
/* An access of a device of ours. -EFAULT: not mapped for it. */
int probe_bus_copy(struct probe_bus *bus, bool write, uint64_t iova, void *data, size_t len);
/* A message of our own choice, for ways where nobody else gives one. */
int probe_bus_msi_program(struct probe_bus *bus, unsigned int cap, unsigned int vectors,
			  struct reason *why);
void probe_bus_msi_off(struct probe_bus *bus, unsigned int cap);
int probe_bus_msi_message(struct probe_bus *bus, unsigned int cap, uint64_t *ret_addr,
			  uint32_t *ret_data, struct reason *why);
/* The message in a capability of 64-bit or 32-bit addresses. -ENODATA: MSI is off. */
int probe_msi_decode(const uint8_t cap[16], uint64_t *ret_addr, uint32_t *ret_data);

/* --- for the hops --- */

int probe_map(struct probe_bus *bus, uint64_t iova, size_t bytes, unsigned int prot,
	      struct probe_mem **ret_mem, struct reason *why);
/* The lowest address at or above @from where @bytes bytes are free. -ENOSPC. */
int probe_bus_find_iova(const struct probe_bus *bus, uint64_t from, uint64_t bytes,
			uint64_t *ret_iova);
/* Forget what came. */
void probe_bus_drain(struct probe_bus *bus);
/* Wait for @vector. 0; -ETIMEDOUT; -ECANCELED. */
int probe_bus_wait(struct probe_bus *bus, unsigned int vector, unsigned int timeout_ms,
		   const volatile sig_atomic_t *cancel);

#endif
