/* SPDX-License-Identifier: MIT */
/*
 * A machine as rules think of it, made from what a snapshot's store holds. Every parser here takes
 * its input from the store, bounds-checks it, and leaves out what it can't understand.
 */
#ifndef TETHYS_DOCTOR_MODEL_MACHINE_H
#define TETHYS_DOCTOR_MODEL_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "doctor/bdf.h"
#include "doctor/snapshot.h"

/* Where a file that would tell is missing, the answer is UNKNOWN, never NO. */
enum tristate { UNKNOWN, NO, YES };

enum machine_arch { ARCH_UNKNOWN, ARCH_INTEL, ARCH_AMD, ARCH_ARM, ARCH_OTHER };

/* Addresses, first and last byte. */
struct machine_range {
	uint64_t start, end;
	const char *type; /* of a reserved region: "direct", "reserved", "msi"; else NULL */
};

struct machine_bar {
	uint64_t start, size; /* bytes; size 0: not there or not assigned */
	uint32_t flags;	      /* IORESOURCE_* as sysfs prints them */
	bool unassigned;      /* has a size in config space but no address */
};

struct machine_msi {
	bool present, enabled, is_64bit, maskable;
	unsigned int capable, vectors; /* what it can, what is switched on */
	uint64_t address;	       /* as config space shows it to this machine */
	uint16_t data;
};

struct machine_msix {
	bool present, enabled;
	unsigned int vectors;
	unsigned int table_bar, pba_bar;
	uint32_t table_offset, pba_offset;
};

struct machine_device {
	struct bdf bdf;
	uint16_t vendor, device;
	uint32_t class_code; /* 24 bits */
	uint8_t revision, header_type;
	bool is_bridge;
	bool gone;		   /* configuration space reads all ones */
	bool config_short;	   /* fewer bytes than capabilities need (not root) */
	bool config_malformed;	   /* a capability list that loops or leaves the space */
	const char *driver;	   /* "vfio-pci"; NULL: none */
	const char *override;	   /* driver_override; NULL: none */
	int group;		   /* -1: none */
	struct machine_bar bar[7]; /* 6: option ROM */
	struct machine_msi msi;
	struct machine_msix msix;
	bool has_express, has_flr, has_ats, ats_on, has_acs;
	uint16_t acs_control;
	unsigned int link_speed, link_speed_max; /* code of the specification: 1 = 2.5 GT/s ... */
	unsigned int link_width, link_width_max;
	uint32_t aer_uncorrectable, aer_correctable; /* status registers; 0 without AER */
	uint8_t pm_state;			     /* 0..3, D0..D3hot */
	const char *power_state;		     /* "D0", "D3cold"; NULL: not known */
	const char *reset_method;		     /* "flr bus"; "" : none; NULL: not known */
	enum tristate has_reset;		     /* the file "reset" */
	bool boot_vga, memory_enabled, bus_master;
	unsigned int sriov_numvfs;
	uint64_t interrupts; /* sum of /proc/interrupts for it; 0 also when none is listed */
	bool has_interrupts; /* it is listed there */
	const char *label;   /* "Vendor Device [1f9d:1100]" */
};

struct machine_group {
	int number;
	const char *type; /* "DMA", "DMA-FQ", "identity", "blocked"...; NULL: not known */
	struct machine_range *reserved;
	size_t reserved_count;
};

/* Memory that firmware tables declare: RMRR of DMAR, IVMD of IVRS. */
struct machine_firmware_range {
	struct machine_range range;
	bool all_devices; /* IVMD type 20h; an RMRR always names devices */
	struct bdf device[8];
	size_t device_count;
};

struct machine_acpi {
	enum tristate dmar, ivrs; /* the table is there */
	bool damaged; /* truncated or inconsistent: what follows is what could be read */
	unsigned int
		address_width; /* DMAR host address width, or IVRS physical address size; 0 = unknown */
	bool interrupt_remapping; /* DMAR flag bit 0 */
	bool x2apic_opt_out;	  /* DMAR flag bit 1 */
	bool preboot_protection;  /* DMAR flag bit 2, IVRS DMA remap support */
	unsigned int units;
	struct machine_firmware_range *range;
	size_t range_count;
};

/* /proc/iomem. */
struct machine_iomem {
	struct machine_range range;
	const char *name;
	unsigned int depth;
};

struct machine_irq {
	const char *number; /* "123", "NMI" */
	uint64_t count;	    /* over all CPUs */
	const char *chip;   /* "IR-PCI-MSI-0000:86:00.0", "" = none */
	const char *name;   /* "metis0", "vfio-msi[0](0000:86:00.0)" */
	bool remapped;	    /* chip begins with "IR-" */
	struct bdf device;  /* when the line names one */
	bool has_device;
};

enum vm_kind { VM_QEMU, VM_PROXMOX, VM_LIBVIRT };
enum vm_board { BOARD_UNKNOWN, BOARD_Q35, BOARD_I440FX, BOARD_VIRT };
enum vm_viommu {
	VIOMMU_UNKNOWN,
	VIOMMU_NONE,
	VIOMMU_INTEL,
	VIOMMU_AMD,
	VIOMMU_VIRTIO,
	VIOMMU_SMMU
};

struct machine_vm {
	enum vm_kind kind;
	const char *name;   /* VMID, domain name, or the pid as text */
	const char *source; /* "/etc/pve/qemu-server/101.conf", "/proc/4711/cmdline" */
	bool running;	    /* true for VM_QEMU */
	int pid;	    /* 0: not known */
	uint64_t ram;	    /* bytes; 0 = not known */
	enum vm_board board;
	enum vm_viommu viommu;
	enum tristate intremap, caching_mode; /* of the virtual IOMMU */
	unsigned int aw_bits;		      /* of the virtual IOMMU; 0 = not said */
	unsigned int guest_phys_bits;	      /* 0 = not said */
	const char *irqchip;		      /* "split", "on", "off"; NULL = not said */
	const char *cpu;		      /* NULL = not said */
	bool prealloc, hugepages, memory_locked_fully;
	uint64_t memlock_limit,
		locked; /* bytes, of the process; UINT64_MAX = unlimited; 0 = not known */
	uint32_t uid;
	struct bdf *device; /* passed through; function 0 stands for all with @all_functions */
	bool *all_functions;
	size_t device_count;
	const char **mdev; /* UUIDs, and resource mappings of Proxmox by name */
	size_t mdev_count;
	bool ovmf, pcie; /* firmware OVMF; Proxmox: pcie=1 of any device */
};

/* A Metis card as its driver and firmware show it. */
struct machine_metis {
	const struct machine_device *device;
	const char *driver; /* "metis" (vendor's), "tethys_metis" (ours), NULL: none or other */
	const char *driver_version; /* "1.4.16"; NULL = not known */
	const char *firmware;	    /* "1.6.0"; NULL = not known */
	unsigned int vectors;	    /* 1 or 32 as the driver uses them; 0 = not known */
	enum tristate host_driver_area, dma_vm, dma_poll, single_msi;
	enum tristate healing, check_done; /* parameters of ours */
	uint64_t irqs_lost, transfers_timed_out,
		transfers_polled; /* of ours; 0 = none or not known */
	const char *mode; /* of ours: "interrupts", "polling", "polling: interrupts got lost" */
	/* The message of write channel 0 as the eDMA holds it (debugfs, either driver). */
	bool has_imwr;
	uint64_t imwr_address;
	uint16_t imwr_data;
};

struct machine {
	const struct snapshot *snapshot;
	const char *name;
	enum doctor_side side; /* decided from the store where the snapshot doesn't say */
	enum machine_arch arch;
	enum tristate is_vm;	/* runs under a hypervisor */
	const char *hypervisor; /* "kvm", NULL */
	const char *kernel, *command_line, *cpu, *board_vendor, *board, *firmware_version;
	unsigned int physical_bits; /* 0 = not known */
	uint64_t ram;		    /* MemTotal in bytes; 0 = not known */
	int64_t uptime_s;	    /* -1 = not known */
	bool is_proxmox;
	const char *proxmox_version;
	enum tristate iommu;		 /* a working one: /sys/class/iommu not empty */
	enum tristate intremap;		 /* interrupts are remapped (chips named IR-, or the log) */
	enum tristate unsafe_interrupts; /* vfio_iommu_type1 allow_unsafe_interrupts */
	struct machine_acpi acpi;
	struct machine_device *device; /* sorted by bdf */
	size_t device_count;
	struct machine_group *group; /* sorted by number */
	size_t group_count;
	struct machine_iomem *iomem;
	size_t iomem_count;
	bool iomem_hidden; /* all zero: not root */
	struct machine_irq *irq;
	size_t irq_count;
	struct machine_vm *vm;
	size_t vm_count;
	struct machine_metis *metis;
	size_t metis_count;
};

/**
 * machine_build() - read the store of a snapshot
 * @snapshot: gets notes about what could not be understood; must outlive the machine, whose texts
 *	are in its arena
 */
void machine_build(struct machine *machine, struct snapshot *snapshot);

/* Parts of machine_build(), one file each, for tests and fuzzing. */
void machine_read_basics(struct machine *machine, struct snapshot *snapshot);
void machine_read_pci(struct machine *machine, struct snapshot *snapshot);
void machine_read_iommu(struct machine *machine, struct snapshot *snapshot);
void machine_read_acpi(struct machine *machine, struct snapshot *snapshot);
void machine_read_memory(struct machine *machine, struct snapshot *snapshot); /* iomem, irqs */
void machine_read_vms(struct machine *machine, struct snapshot *snapshot);
void machine_read_metis(struct machine *machine, struct snapshot *snapshot);

/* Config space alone; sets everything of @device that comes from it. Any bytes. */
void machine_parse_config(struct machine_device *device, const uint8_t *config, size_t size);
/* A DMAR or IVRS table. Any bytes. */
void machine_parse_dmar(struct machine_acpi *acpi, struct arena *arena, const uint8_t *table,
			size_t size);
void machine_parse_ivrs(struct machine_acpi *acpi, struct arena *arena, const uint8_t *table,
			size_t size);

/* What else is to be collected: patterns as of glob(3), end with NULL. */
extern const char *const machine_metis_paths[];
extern const char *const machine_vm_paths[];
/**
 * machine_vm_is_qemu() - is a process one of QEMU's?
 * @cmdline: content of /proc/PID/cmdline
 *
 * Of these, and no other processes, cmdline, limits and status belong in a snapshot.
 */
bool machine_vm_is_qemu(const char *cmdline, size_t size);

/* NULL when there is none. */
const struct machine_device *machine_find_device(const struct machine *machine, struct bdf bdf);
const struct machine_group *machine_find_group(const struct machine *machine, int number);
/* The VM, running ones first, to which @bdf is passed through; NULL for none. */
const struct machine_vm *machine_find_vm(const struct machine *machine, struct bdf bdf);
/* The device in one of whose BARs @address lies, with the BAR's number; NULL for none. */
const struct machine_device *machine_bar_at(const struct machine *machine, uint64_t address,
					    unsigned int *ret_bar);
/* Innermost line of /proc/iomem around @address; NULL for none or when hidden. */
const struct machine_iomem *machine_iomem_at(const struct machine *machine, uint64_t address);

/**
 * machine_vm_ram() - is an address in a VM's memory?
 *
 * From RAM size and board: q35 keeps all below 2.75 GiB low, else 2 GiB low and the rest from 4
 * GiB; i440fx keeps up to 3.5 GiB low, else 3 GiB and the rest from 4 GiB; virt starts at 1 GiB.
 *
 * Return: UNKNOWN when size or board isn't known and it decides.
 */
enum tristate machine_vm_ram(const struct machine_vm *vm, uint64_t address);

/* A parameter on the kernel's command line. NULL: not there; "" without a value. In the arena. */
const char *machine_parameter(const struct machine *machine, const char *name);

#endif
