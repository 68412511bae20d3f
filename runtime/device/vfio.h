/* SPDX-License-Identifier: MIT */
/*
 * "vfio:0000:86:00.0": a card that the kernel's VFIO hands to this process. Shared by the files
 * vfio*.c of this folder (vfio_user*.c are another way to reach a card).
 *
 * vfio.c        open, regions, the functions pci.c asks for
 * vfio_info.c   what the kernel describes in any number of bytes
 * vfio_sysfs.c  which cards there are, and what stands in the way of using one
 * vfio_group.c, vfio_iommufd.c  the two ways to get a device and an IOMMU from the kernel
 * vfio_iova.c   addresses for the card to see
 * vfio_memory.c buffers
 * vfio_irq.c    interrupts
 */
#ifndef TETHYS_RUNTIME_DEVICE_VFIO_H
#define TETHYS_RUNTIME_DEVICE_VFIO_H

#include <errno.h>
#include <linux/vfio.h>

#include "runtime/device/pci.h"

#define VFIO_PAGE_BYTES 4096ull
#define VFIO_HUGE_BYTES (2ull << 20)

/* --- vfio_sysfs.c: @root is the folder that /sys and /dev are in, "" outside of tests --- */

#define VFIO_ADDRESS_BYTES 20 /* "0000:86:00.0", the domain of up to 8 digits */

/* What the kernel has made of a card. */
struct vfio_place {
	char address[VFIO_ADDRESS_BYTES];
	char driver[64];  /* "": none */
	bool vfio_driver; /* one of VFIO's: vfio-pci or a variant of it */
	int group;	  /* IOMMU group; -1: none */
	bool no_iommu;	  /* the group is one of VFIO's unsafe no-IOMMU mode */
	char cdev[16];	  /* "vfio0", of the iommufd way; "": none */
};

/**
 * vfio_address_parse() - the address in a device name
 * @name: "vfio:0000:86:00.0", or "vfio" alone
 * @ret_address: in the spelling of sysfs; "" for "vfio" alone
 *
 * Return: 0; -EINVAL anything else, whatever it is.
 */
int vfio_address_parse(const char *name, char ret_address[VFIO_ADDRESS_BYTES], struct reason *why);

/**
 * vfio_place_find() - look at one PCI device
 *
 * Return: 0; -ENODEV there is no such device.
 */
int vfio_place_find(const char *root, const char *address, struct vfio_place *ret_place,
		    struct reason *why);

/**
 * vfio_place_check() - can the card be opened through VFIO, as far as one can see from outside?
 *
 * Return: 0; -ENODEV, with what to type; -EPROTO it is something else.
 */
int vfio_place_check(const char *root, const struct vfio_place *place, struct reason *why);

/**
 * vfio_each_card() - name all Metis cards that are bound to a driver of VFIO, in order
 */
void vfio_each_card(const char *root, void (*found)(void *ctx, const char *address), void *ctx);

/**
 * vfio_only_card() - the one card there is
 *
 * Return: 0; -ENODEV none; -EINVAL several, with their names.
 */
int vfio_only_card(const char *root, char ret_address[VFIO_ADDRESS_BYTES], struct reason *why);

/* Say which devices of @address's group keep it from being used. Return: @err. */
int vfio_group_explain(const char *root, const char *address, int err, struct reason *why);

/* --- vfio_iova.c --- */

#define VFIO_IOVA_RANGES_MAX 64

/* Addresses in use: what was asked for, and a gap after it that faults. */
struct vfio_span {
	struct vfio_span *next;
	uint64_t start;
	uint64_t bytes;
};

struct vfio_iova {
	struct vfio_iova_range ranges[VFIO_IOVA_RANGES_MAX]; /* usable, ascending; end included */
	unsigned int ranges_nr;
	struct vfio_span *spans;
	uint64_t next; /* where to look first */
};

/**
 * vfio_iova_init() - addresses of @ranges, which leave out what the platform reserves
 * @ranges: ends included, in any order; more than VFIO_IOVA_RANGES_MAX: the rest is not used
 *
 * Return: 0; -ENOSPC there is none.
 */
int vfio_iova_init(struct vfio_iova *iova, const struct vfio_iova_range *ranges,
		   unsigned int ranges_nr);

/**
 * vfio_iova_take() - addresses for @bytes bytes
 * @span: of the caller; start and size are filled in; stays in use until vfio_iova_give()
 *
 * From 4 GiB upwards, and only then again from below, so that a late write of the card does not hit
 * what somebody else has got since.
 *
 * Return: 0; -ENOSPC.
 */
int vfio_iova_take(struct vfio_iova *iova, struct vfio_span *span, uint64_t bytes);
void vfio_iova_give(struct vfio_iova *iova, struct vfio_span *span);

/* --- the device --- */

struct vfio_card;

/* One way to the device and its IOMMU. */
struct vfio_way {
	const char *name;
	/* Device and IOMMU; on failure vfio_way.close is called all the same. */
	int (*open)(struct vfio_card *card, struct reason *why);
	void (*close)(struct vfio_card *card);
	/* Fill @ranges (VFIO_IOVA_RANGES_MAX of them). */
	int (*ranges)(struct vfio_card *card, struct vfio_iova_range *ranges,
		      unsigned int *ret_count, struct reason *why);
	/* Return: 0; negative errno of the kernel. */
	int (*map)(struct vfio_card *card, void *ptr, uint64_t iova, uint64_t bytes);
	int (*unmap)(struct vfio_card *card, uint64_t iova, uint64_t bytes);
};

extern const struct vfio_way vfio_way_group;
extern const struct vfio_way vfio_way_iommufd;

struct vfio_region {
	uint64_t offset; /* in the device's file */
	uint64_t bytes;
	uint32_t flags;
};

struct vfio_irqs {
	unsigned int vectors;  /* granted: a power of two; 0: not set up */
	int fds[METIS_IRQ_NR]; /* eventfd of each vector, -1: none yet */
	int request;	       /* readable: the kernel wants the device back */
	int error;	       /* readable: the device reported a fatal error */
	/* With shared vectors only: see the top of vfio_irq.c. */
	atomic_bool pending[METIS_IRQ_NR];
	atomic_uint waiters[METIS_IRQ_NR];
	int wakes[METIS_IRQ_NR]; /* eventfds, -1: none yet */
};

struct vfio_memory;

struct vfio_card {
	struct axdev_pci pci;
	struct vfio_place place;
	const struct vfio_way *way;
	int device;    /* fds; -1: not open */
	int container; /* of the IOMMU: /dev/vfio/vfio, or /dev/iommu */
	int group;
	uint32_t ioas; /* iommufd: the address space; 0: none yet */
	struct vfio_region config, bars[3];
	volatile uint8_t *regs; /* BAR0, if it can be mapped */
	struct vfio_irqs irqs;
	pthread_mutex_t lock; /* protects the IOVAs and the list of memory */
	struct vfio_iova iova;
	struct vfio_memory *memory;
};

static inline struct vfio_card *vfio_card_of(struct axdev_pci *pci)
{
	return (struct vfio_card *)pci;
}

/* What a system call has just failed with; never 0, as compiler and analysers can't know. */
static inline int vfio_errno(void)
{
	return errno > 0 ? -errno : -EIO;
}

/* Return: an open file or negative errno, with what to do about it. */
int vfio_open_file(const char *path, struct reason *why);

/* --- vfio_info.c --- */

/**
 * vfio_get_info() - ask for a description with all that belongs to it
 * @question: [@question_bytes] the fixed part, which starts with argsz, filled in but for that
 * @ret_info: the caller frees
 * @ret_bytes: of @ret_info, at least @question_bytes
 *
 * Return: 0; -EPROTO a size that can't be; -ENOMEM; negative errno of the kernel.
 */
int vfio_get_info(int fd, unsigned long request, const void *question, size_t question_bytes,
		  void **ret_info, uint32_t *ret_bytes);

/**
 * vfio_find_cap() - find a capability
 * @first: where the chain starts in the @bytes bytes of @info; 0: there is none
 * @cap_bytes: of the capability without the array at its end
 *
 * Return: a struct that starts with struct vfio_info_cap_header, all of @cap_bytes inside @info;
 * NULL: not there, or not all of it.
 */
const void *vfio_find_cap(const void *info, uint32_t bytes, uint32_t first, uint16_t id,
			  size_t cap_bytes);

/* How many elements of @element_bytes have room in @info behind @cap, a capability of it. */
static inline size_t vfio_cap_room(const void *info, uint32_t bytes, const void *cap,
				   size_t cap_bytes, size_t element_bytes)
{
	size_t at = (size_t)((const uint8_t *)cap - (const uint8_t *)info);

	return (bytes - at - cap_bytes) / element_bytes;
}

/* --- vfio_memory.c --- */

int vfio_memory_alloc(struct axdev_pci *pci, size_t bytes, struct axdev_buf *ret_buf,
		      struct reason *why);
void vfio_memory_free(struct axdev_pci *pci, struct axdev_buf *buf);
/* All that is left; the device is closed. */
void vfio_memory_free_all(struct vfio_card *card);

/**
 * vfio_runs_of_pages() - physical addresses of pages as runs
 * @entries: [pages], as in /proc/PID/pagemap
 * @ret_runs: the caller frees
 *
 * Return: 0; -ENOMEM; -EFAULT a page is not in memory; -EPERM its address is hidden.
 */
int vfio_runs_of_pages(const uint64_t *entries, size_t pages, struct axdev_run **ret_runs,
		       size_t *ret_runs_nr);

/* --- vfio_irq.c --- */

void vfio_irq_init(struct vfio_irqs *irqs);
void vfio_irq_deinit(struct vfio_irqs *irqs);
int vfio_irq_setup(struct axdev_pci *pci, struct reason *why);
/* Disable all; the device is about to be closed. */
void vfio_irq_stop(struct vfio_card *card);
int vfio_irq_wait(struct axdev_pci *pci, unsigned int number, uint64_t timeout_us,
		  struct reason *why);
bool vfio_irq_take(struct axdev_pci *pci, unsigned int number);
void vfio_irq_clear(struct axdev_pci *pci, unsigned int number);
/* Return: 0; -ENODEV the device has to be given back, or has failed. */
int vfio_irq_check(const struct vfio_irqs *irqs, struct reason *why);
/* For irq_setup and tests: @vectors of the kernel's; makes what sharing them needs. */
int vfio_irq_create(struct vfio_irqs *irqs, unsigned int vectors, struct reason *why);

#endif
