/* SPDX-License-Identifier: MIT */
/*
 * Whose requester, when, and where does the address lie: the questions that an expert asks of every
 * fault, in the order in which he asks them. What isn't known stays UNKNOWN.
 */
#ifndef TETHYS_DOCTOR_RULES_DMA_ADDRESS_H
#define TETHYS_DOCTOR_RULES_DMA_ADDRESS_H

#include "doctor/rules/rule.h"

/* Who a requester id is, and who has the device. */
struct dma_requester {
	bool has_device;
	struct bdf device;
	enum tristate assigned;		    /* a guest has it */
	enum tristate exists;		    /* the host's PCI tree lists it */
	bool named;			    /* a line other than a fault names it */
	bool sibling_named;		    /* a line names another function of the slot */
	bool sibling_assigned;		    /* vfio has another function of the slot */
	bool failed;			    /* a driver gave up on it */
	bool display;			    /* the processor's own graphics */
	bool nobody;			    /* ff:1f.7: an emulated IOMMU was not told who it is */
	bool chipset;			    /* an IOAPIC, HPET or root complex by its address */
	const char *driver;		    /* the host's own; NULL: none seen */
	const char *assigned_by;	    /* a sentence; NULL unless assigned is YES */
	const struct machine *host, *guest; /* NULL: not given */
	const struct machine_device *in_host;  /* NULL: not given or not there */
	const struct machine_device *in_guest; /* the same device as the guest sees it */
	const struct machine_vm *vm;
};

void dma_requester_find(const struct doctor_case *seen, const struct doctor_fact *fault,
			struct dma_requester *ret_requester);

/* The driver that a line names in front of the device, NULL for none. "vfio-pci" is one. */
const char *dma_fact_driver(const struct doctor_fact *fact);
bool dma_is_fault(enum doctor_fact_kind kind);
/* Whether anything tells of a VM: vfio, QEMU, Proxmox, a machine with VMs. */
bool dma_has_vm_context(const struct doctor_case *seen);
/* Whether a device other than @device was handed to a guest. */
bool dma_other_assigned(const struct doctor_case *seen, struct bdf device);

enum dma_when {
	DMA_WHEN_UNKNOWN,
	DMA_WHEN_BOOT,	 /* first seconds of the kernel */
	DMA_WHEN_BEFORE, /* before vfio opened the device */
	DMA_WHEN_GUEST,	 /* after vfio opened it */
	DMA_WHEN_ACROSS, /* before and after vfio opened or reset it again */
	DMA_WHEN_AFTER,	 /* after a VM ended or a driver left */
};

/* A run of faults in one log. */
struct dma_span {
	unsigned int log, boot;
	uint64_t first_line, last_line;
	int64_t first_us, last_us; /* since boot, DOCTOR_TIME_NONE when not known */
};

/* Time of a fact since its kernel started, DOCTOR_TIME_NONE when its log doesn't tell. */
int64_t dma_since_boot(const struct doctor_case *seen, const struct doctor_fact *fact, bool last);
enum dma_when dma_when(const struct doctor_case *seen, const struct dma_requester *requester,
		       const struct dma_span *span);
/* The device was started again after the faults and went on without one. */
bool dma_superseded(const struct doctor_case *seen, const struct dma_requester *requester,
		    const struct dma_span *span);

/* Where an address lies. */
struct dma_place {
	uint64_t address;
	bool zero, tiny;	  /* 0; below 64 KiB */
	bool interrupt;		  /* x86: 0xfee00000 and up; AMD's internal range */
	bool doorbell;		  /* ends as an ITS doorbell does: offset 0x40 of a page */
	bool guest_doorbell;	  /* ... and is that of QEMU's board "virt" */
	bool above_4g, host_iova; /* host_iova: where the host's allocator hands out from the top */
	bool absurd;		  /* wider than any memory */
	unsigned int truncated_bits; /* just below 2^n; 0 = not */
	uint64_t align;		     /* largest power of two that divides it, 4 KiB at least */
	enum tristate guest_ram, host_ram, too_wide;
	unsigned int width; /* of the IOMMU; 0 = not known */
	const struct machine *bar_machine;
	const struct machine_device *bar_device; /* NULL: in no BAR that is known */
	unsigned int bar;
	const struct machine_range *reserved; /* NULL: in none that is known */
	const char *reserved_by;	      /* "RMRR", "reserved_regions" ... */
	const struct machine_iomem *iomem;
};

void dma_place_find(const struct dma_requester *requester, uint64_t address,
		    struct dma_place *ret_place);

/* "0x149800000 = 4 GiB + 0x49800000, 8 MiB aligned"; in the case's arena. */
const char *dma_place_text(const struct doctor_case *seen, const struct dma_place *place);
/* "16 GiB", "2816 MiB", "4 KiB"; in the case's arena. */
const char *dma_size_text(const struct doctor_case *seen, uint64_t bytes);

#endif
