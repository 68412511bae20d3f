/* SPDX-License-Identifier: MIT */
/*
 * The card in configuration space: identity, BARs, capability offsets.
 *
 * Sources: the vendor's public GPL driver (ids, BAR use), field reports (class, revision, BAR
 * sizes, MSI at 0x50), PCI Express Base Specification (register layouts, via <linux/pci_regs.h>).
 */
#ifndef TETHYS_HW_PCI_H
#define TETHYS_HW_PCI_H

#include <tethys/hw/bits.h>

#define METIS_PCI_VENDOR 0x1f9d	     /* driver */
#define METIS_PCI_DEVICE_OMEGA 0x1100 /* driver; the shipping card */
#define METIS_PCI_DEVICE_ALPHA 0x11aa /* driver */
#define METIS_PCI_VENDOR_MODEL 0x1234 /* driver; QEMU's own id, of the vendor's models in it */
#define METIS_PCI_DEVICE_MODEL_1 0x2023 /* driver */
#define METIS_PCI_DEVICE_MODEL_2 0x2024 /* driver */
#define METIS_PCI_CLASS 0x120000      /* measured: processing accelerator, 24-bit class code */
#define METIS_PCI_REVISION 0x02	      /* measured */

#define METIS_PCI_CFG_BYTES 4096

/* BARs. 0: eDMA registers, 64-bit, 1: its upper half, 2: L2 window, 32-bit, non-prefetchable. */
#define METIS_BAR_EDMA 0
#define METIS_BAR_EDMA_BYTES 0x1000u	/* measured */
#define METIS_BAR_L2 2
#define METIS_BAR_L2_BYTES 0x02000000u	/* measured, driver */

/* Capabilities. MSI's place is measured, the others' are ours (guess). */
#define METIS_CAP_PM 0x40
#define METIS_CAP_MSI 0x50 /* 64-bit, per-vector masks: 0x18 bytes */
#define METIS_CAP_EXP 0x70 /* v2 endpoint: 0x3c bytes */
#define METIS_ECAP_AER 0x100

/* Offsets in the MSI capability with 64-bit addresses and per-vector masks (PCI 3.0, 6.8.1). */
#define METIS_MSI_CONTROL 0x02
#define METIS_MSI_ADDR_LO 0x04
#define METIS_MSI_ADDR_HI 0x08
#define METIS_MSI_DATA 0x0c
#define METIS_MSI_MASK 0x10
#define METIS_MSI_PENDING 0x14

#define METIS_MSI_VECTORS 32 /* driver: 1.4.4 refuses any other count */

/* The link of the card (driver: below 8 GT/s it retrains; measured: x4). */
#define METIS_LINK_GTS 8
#define METIS_LINK_LANES 4

#endif
