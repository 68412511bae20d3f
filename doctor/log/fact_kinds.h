/* SPDX-License-Identifier: MIT */
/*
 * Kinds of facts that lines of a log become. One row each: name, short text for people.
 *
 * A fact says what a line says, not what it means: meaning is for the rules. Fields that a kind
 * uses are named in the comment behind it (see struct doctor_fact): d = device, a = address, s =
 * size, n = number, r = reason, w = write, t = name (a word from the line).
 */
#ifndef TETHYS_DOCTOR_LOG_FACT_KINDS_H
#define TETHYS_DOCTOR_LOG_FACT_KINDS_H

/* clang-format off */
#define DOCTOR_FACT_KINDS(X)                                                                     \
	/* Faults of DMA and interrupts */                                                       \
	X(VTD_DMA_FAULT, "VT-d DMA fault")	  /* d a r w; n = PASID if one */                  \
	X(VTD_IR_FAULT, "VT-d interrupt fault")	  /* d r; n = index */                             \
	X(VTD_SUPPRESSED, "faults not printed")	  /* n = lines */                                  \
	X(VTD_INVALIDATION, "VT-d invalidation error") /* t = which */                             \
	X(AMD_PAGE_FAULT, "AMD-Vi page fault")	  /* d a r = flags, n = domain, t = driver */      \
	X(AMD_ILLEGAL_DTE, "AMD-Vi illegal device table entry") /* d a r = flags */                \
	X(AMD_INVALID_REQUEST, "AMD-Vi invalid request") /* d a r = flags */                       \
	X(AMD_IOTLB_TIMEOUT, "AMD-Vi invalidation time-out") /* d a */                             \
	X(AMD_COMPLETION_WAIT, "AMD-Vi completion wait timed out")                                \
	X(AMD_OTHER_EVENT, "AMD-Vi event")	  /* t = name, d a r */                            \
	X(SMMU_FAULT, "SMMU fault")		  /* d a r = event, w, n = stream id */            \
	/* The IOMMU at boot */                                                                  \
	X(IOMMU_COMMAND_LINE_ON, "IOMMU asked for on the command line") /* "DMAR: IOMMU enabled" */ \
	X(IOMMU_WORKING, "IOMMU at work")	  /* VT-d's last line, AMD-Vi: Found IOMMU */      \
	X(IOMMU_ADDED_TO_GROUP, "device in a group") /* d n = group */                             \
	X(IOMMU_ABSENT, "no IOMMU")		  /* GUI, libvirt, Proxmox: not there; t = who */  \
	X(IOMMU_ADDRESS_WIDTH, "IOMMU address width") /* n = bits */                               \
	X(IR_ENABLED, "interrupt remapping on")                                                  \
	X(IR_UNSUPPORTED, "interrupt remapping missing") /* vfio: No interrupt remapping support */ \
	X(IR_X2APIC_OPT_OUT, "firmware opts out of x2APIC")                                      \
	X(RMRR_DECLARED, "reserved memory declared") /* a s */                                     \
	X(RMRR_REFUSED, "attach refused for reserved memory") /* d */                              \
	X(RMRR_RELAXED, "reserved memory ignored on request")                                    \
	X(IOMMU_HIDDEN, "IOMMU tables not visible here") /* access() ENOENT, virt-host-validate */ \
	X(IOMMU_VALIDATED, "virt-host-validate passed")                                          \
	X(KERNEL_BOOT, "kernel starts")		  /* "Linux version": a new boot */                \
	X(KERNEL_COMMAND_LINE, "kernel command line")                                            \
	X(BARE_METAL, "kernel runs on bare hardware") /* no guest's log */                         \
	/* Binding and groups */                                                                 \
	X(NO_IOMMU_GROUP, "device without group")  /* d */                                         \
	X(GROUP_NOT_VIABLE, "group not viable")	  /* d n = group */                                \
	X(GROUP_MEMBER, "member of a group")	  /* d n = group, t = class text or "" */          \
	X(VFIO_NODE_MISSING, "no /dev/vfio node")  /* n = group */                                 \
	X(VFIO_NODE_DENIED, "/dev/vfio node refused") /* n = group, r = errno */                   \
	X(VFIO_NODE_BUSY, "/dev/vfio node busy")   /* n = group */                                 \
	X(VFIO_BIND_EINVAL, "bind refused: invalid argument") /* d if named */                     \
	X(VFIO_NEW_ID_EXISTS, "id registered already")                                           \
	X(VFIO_PROBE_FAILED, "vfio-pci probe failed") /* d r = errno */                            \
	X(HOST_DRIVER_HOLDS, "host driver does not let go") /* d t = driver */                     \
	X(SET_IOMMU_EPERM, "container refused: EPERM")                                           \
	X(SET_CONTAINER_EINVAL, "container refused: EINVAL")                                     \
	X(SET_IOMMU_EIO, "container refused: EIO")                                               \
	X(PVE_CANNOT_BIND, "Proxmox can't bind")   /* d */                                         \
	X(PVE_IN_USE, "device in use by another VM") /* d n = VMID */                              \
	X(PVE_DEVICE_MISSING, "device address gone") /* d */                                       \
	X(PVE_CONFIG, "Proxmox configuration refused") /* t = which */                             \
	X(START_FAILED, "start of a VM failed")	  /* generic last line */                          \
	X(START_TIMEOUT, "start of a VM timed out")                                              \
	X(START_OK, "start of a VM succeeded")	  /* TASK OK */                                    \
	X(START_UNRELATED, "start failed for a reason outside passthrough") /* bridge, lock, CPU */ \
	X(MDEV_REGION_EIO, "mediated device refuses") /* t = uuid */                               \
	X(MDEV_MISSING, "mediated device not there") /* t = uuid */                                \
	X(INTX_BUSY, "INTx line busy")		  /* d */                                          \
	/* Mapping guest memory */                                                               \
	X(MEMLOCK_EXCEEDED, "locked memory limit")  /* n = bytes, t = task */                      \
	X(MAP_FAILED, "mapping failed")		  /* r = errno, a = IOVA, s, t = region or "" */   \
	X(MAPPINGS_RUNNING_OUT, "mappings running out")                                          \
	X(IOMMU_TOO_NARROW, "address wider than the IOMMU") /* n = bits, a */                      \
	X(P2P_UNSUPPORTED, "no peer-to-peer on BARs") /* d */                                      \
	X(BAR_NO_SPACE, "BAR does not fit")	  /* d n = BAR, s */                               \
	X(BAR_INVALID, "driver: BAR invalid")	  /* d n = BAR if one */                           \
	X(BAR_RESERVE_FAILED, "BAR taken")	  /* d n = BAR, a s */                             \
	X(BAR_WRITE_BUSY, "BAR access busy")	  /* d n = BAR */                                  \
	X(FRAMEBUFFER_IN_BAR, "boot framebuffer in memory map") /* a s t = vesafb ... */           \
	X(VIOMMU_NO_CACHING_MODE, "virtual IOMMU without caching mode")                          \
	X(VM_VIOMMU, "virtual IOMMU of a VM")	  /* t = which */                                  \
	X(KVM_BAD_ADDRESS, "kvm run failed: bad address")                                        \
	/* Interrupts */                                                                         \
	X(MSI_ENABLE_FAILED, "MSI could not be enabled") /* d r = errno */                         \
	X(MSI_WORD, "MSI address and data")	  /* d a n = data; lspci -vv */                    \
	X(MSIX_INIT_TIMEOUT, "MSI-X or page table init timed out") /* d t */                       \
	X(IRQ_LIFECYCLE, "vector activated or deactivated") /* n = irq, t = event */               \
	/* Reset, power, link */                                                                 \
	X(RESET_NOT_READY, "not ready after reset") /* d n = ms, r = 1: gave up, t = FLR, ... */   \
	X(RESET_READY, "ready again after reset")   /* d n = ms, t = FLR, ... */                    \
	X(RESET_PENDING, "pending transactions")    /* d */                                        \
	X(RESET_ENOTTY, "reset file without method") /* d */                                       \
	X(RESET_PVE_WARNING, "Proxmox: reset failed") /* d r = 1: it went on */                    \
	X(RESET_NONE, "no reset mechanism")	  /* d, n = group it depends on */                 \
	X(RESET_METHOD_BAD, "reset method refused") /* d t = method */                             \
	X(RESET_VENDOR, "device specific reset")  /* d t = step */                                 \
	X(D3_STUCK, "power state can't be changed") /* d t = from */                               \
	X(DEVICE_GONE, "configuration reads all ones") /* d */                                     \
	X(HEADER_TYPE_127, "header type 127")	  /* d */                                          \
	X(IRQ_PIN_ASSERT, "interrupt pin assertion of QEMU")                                     \
	X(AER_CORRECTABLE, "correctable link errors") /* d t = BadTLP ... */                       \
	X(AER_NONFATAL, "uncorrectable error")	  /* d t */                                        \
	X(AER_FATAL, "fatal link error")	  /* d t */                                        \
	X(LINK_DOWN, "link down")		  /* d */                                          \
	X(FELL_OFF_BUS, "fell off the bus")	  /* d */                                          \
	X(GUEST_RESET_LINK_DOWN, "link lost in the driver's own reset") /* d */                    \
	X(SOFT_LOCKUP, "processor stuck")                                                        \
	X(OPTION_ROM_RUNS, "option ROM runs")     /* SeaBIOS banner, "Initializing..." */          \
	X(ROM_HEADER_INVALID, "no ROM there")     /* d; harmless */                                \
	X(VFIO_RESETTING, "vfio resets the device") /* d */                                        \
	X(VFIO_OPENED, "vfio opens the device")	  /* d: vfio_ecap_init, enabling device */         \
	X(VFIO_VGA_CHANGED, "VGA decodes changed")  /* d */                                        \
	/* Drivers, both sides */                                                                \
	X(DRIVER_TIMEOUT, "driver gave up waiting") /* d if named, r = errno, t = driver */        \
	X(DRIVER_FAILED, "driver failed")	  /* d r = errno, t = driver */                    \
	X(DRIVER_REFUSED, "module refused")	  /* t = module; signature, in use */              \
	X(DRIVER_UNBOUND, "driver left the device") /* d t */                                      \
	X(DRIVER_BOUND, "driver took the device")   /* d t */                                      \
	X(FIRMWARE_CRASHED, "device firmware crashed") /* d t = driver */                          \
	X(FIRMWARE_MISSING, "firmware file not loaded")                                            \
	X(IGD_STOLEN_OUTSIDE, "stolen memory mismatch") /* d a s: reserved */                      \
	X(VM_EXIT, "a VM ended or was reset")	  /* t */                                          \
	/* Metis */                                                                              \
	X(METIS_APP_TIMEOUT, "Metis application: time-out") /* t = DMA_GET_XFER_SYNC_STATUS ... */ \
	X(METIS_APP_LOAD_FAILED, "Metis application: load failed")                               \
	X(METIS_DRIVER, "Metis driver")		  /* d t = version if one */                       \
	X(METIS_DRIVER_TIMEOUT, "Metis driver: transfer timed out") /* d t */                      \
	X(METIS_DRIVER_LOST_IRQ, "Metis driver: interrupt lost") /* d */                           \
	X(METIS_FIRMWARE, "Metis firmware")	  /* t = version */                                \
	X(METIS_VECTORS, "Metis MSI vectors")	  /* d n */
/* clang-format on */

enum doctor_fact_kind {
	DOCTOR_FACT_NONE,
#define DOCTOR_FACT_ENUM(name, text) DOCTOR_##name,
	DOCTOR_FACT_KINDS(DOCTOR_FACT_ENUM)
#undef DOCTOR_FACT_ENUM
		DOCTOR_FACT_NR
};

/* "VT-d DMA fault", and "VTD_DMA_FAULT" as tests and JSON name it. */
const char *doctor_fact_text(enum doctor_fact_kind kind);
const char *doctor_fact_name(enum doctor_fact_kind kind);

#endif
