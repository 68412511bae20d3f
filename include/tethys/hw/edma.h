/* SPDX-License-Identifier: MIT */
/*
 * BAR0: DesignWare eDMA v0, unrolled register map, 4 write and 4 read channels.
 *
 * "Write" is the engine's view: a write channel moves card memory to the host, a read channel
 * host memory to the card. 32-bit accesses only. Sources: the vendor's public driver (driver),
 * Linux drivers/dma/dw-edma (spec: the IP's layout).
 */
#ifndef TETHYS_HW_EDMA_H
#define TETHYS_HW_EDMA_H

#include <tethys/hw/bits.h>
#include <tethys/hw/memory.h>

#define METIS_EDMA_CHANNELS 4 /* per direction */

/*
 * X(name, offset, access, reset, confidence). Access: RO, RW, WO, W1C. Reset values are the IP's
 * where the driver could see them, else 0 (guess).
 */
#define METIS_EDMA_REGS(X)                                 \
	X(ARB_PRIORITY, 0x000, RW, 0x00000000, driver)     \
	X(CTRL, 0x008, RO, 0x00040004, spec)               \
	X(WR_ENGINE_EN, 0x00c, RW, 0x00000000, driver)     \
	X(WR_DOORBELL, 0x010, WO, 0x00000000, driver)      \
	X(WR_ARB_WEIGHT_LO, 0x018, RW, 0x00008421, spec)   \
	X(WR_ARB_WEIGHT_HI, 0x01c, RW, 0x00008421, spec)   \
	X(RD_ENGINE_EN, 0x02c, RW, 0x00000000, driver)     \
	X(RD_DOORBELL, 0x030, WO, 0x00000000, driver)      \
	X(RD_ARB_WEIGHT_LO, 0x038, RW, 0x00008421, spec)   \
	X(RD_ARB_WEIGHT_HI, 0x03c, RW, 0x00008421, spec)   \
	X(WR_INT_STATUS, 0x04c, RO, 0x00000000, spec)      \
	X(WR_INT_MASK, 0x054, RW, 0x00000000, spec)        \
	X(WR_INT_CLEAR, 0x058, W1C, 0x00000000, spec)      \
	X(WR_ERR_STATUS, 0x05c, RO, 0x00000000, spec)      \
	X(WR_DONE_IMWR_LO, 0x060, RW, 0x00000000, driver)  \
	X(WR_DONE_IMWR_HI, 0x064, RW, 0x00000000, driver)  \
	X(WR_ABORT_IMWR_LO, 0x068, RW, 0x00000000, driver) \
	X(WR_ABORT_IMWR_HI, 0x06c, RW, 0x00000000, driver) \
	X(WR_CH01_IMWR_DATA, 0x070, RW, 0x00000000, driver) \
	X(WR_CH23_IMWR_DATA, 0x074, RW, 0x00000000, driver) \
	X(WR_CH45_IMWR_DATA, 0x078, RW, 0x00000000, spec)  \
	X(WR_CH67_IMWR_DATA, 0x07c, RW, 0x00000000, spec)  \
	X(WR_LL_ERR_EN, 0x090, RW, 0x00000000, driver)     \
	X(RD_INT_STATUS, 0x0a0, RO, 0x00000000, spec)      \
	X(RD_INT_MASK, 0x0a8, RW, 0x00000000, spec)        \
	X(RD_INT_CLEAR, 0x0ac, W1C, 0x00000000, spec)      \
	X(RD_ERR_STATUS_LO, 0x0b4, RO, 0x00000000, spec)   \
	X(RD_ERR_STATUS_HI, 0x0b8, RO, 0x00000000, spec)   \
	X(RD_LL_ERR_EN, 0x0c4, RW, 0x00000000, driver)     \
	X(RD_DONE_IMWR_LO, 0x0cc, RW, 0x00000000, driver)  \
	X(RD_DONE_IMWR_HI, 0x0d0, RW, 0x00000000, driver)  \
	X(RD_ABORT_IMWR_LO, 0x0d4, RW, 0x00000000, driver) \
	X(RD_ABORT_IMWR_HI, 0x0d8, RW, 0x00000000, driver) \
	X(RD_CH01_IMWR_DATA, 0x0dc, RW, 0x00000000, driver) \
	X(RD_CH23_IMWR_DATA, 0x0e0, RW, 0x00000000, driver) \
	X(RD_CH45_IMWR_DATA, 0x0e4, RW, 0x00000000, spec)  \
	X(RD_CH67_IMWR_DATA, 0x0e8, RW, 0x00000000, spec)

enum metis_edma_reg {
#define METIS_EDMA_REG_ENUM(name, off, access, reset, confidence) METIS_EDMA_##name = (off),
	METIS_EDMA_REGS(METIS_EDMA_REG_ENUM)
#undef METIS_EDMA_REG_ENUM
};

/* Power enable of channel n, debug only (driver). */
#define METIS_EDMA_WR_CH_PWR(n) (0x128u + 4u * (n))
#define METIS_EDMA_RD_CH_PWR(n) (0x168u + 4u * (n))

/* Channel contexts. */
#define METIS_EDMA_WR_CH(n) (0x200u + 0x200u * (n))
#define METIS_EDMA_RD_CH(n) (0x300u + 0x200u * (n))
#define METIS_EDMA_CH_CONTROL1 0x00u
#define METIS_EDMA_CH_CONTROL2 0x04u
#define METIS_EDMA_CH_SIZE 0x08u
#define METIS_EDMA_CH_SAR_LO 0x0cu
#define METIS_EDMA_CH_SAR_HI 0x10u
#define METIS_EDMA_CH_DAR_LO 0x14u
#define METIS_EDMA_CH_DAR_HI 0x18u
#define METIS_EDMA_CH_LLP_LO 0x1cu
#define METIS_EDMA_CH_LLP_HI 0x20u
#define METIS_EDMA_CH_BYTES 0x24u
#define METIS_EDMA_END 0xa00u /* first byte after read channel 3's block */

/* Doorbell: a channel number, not a mask. */
#define METIS_EDMA_DOORBELL_CH METIS_BITS(2, 0)
#define METIS_EDMA_DOORBELL_STOP METIS_BIT(31)

/* Interrupt status, mask, clear: one bit a channel in each half. */
#define METIS_EDMA_INT_DONE METIS_BITS(7, 0)
#define METIS_EDMA_INT_ABORT METIS_BITS(23, 16)

/* Linked-list error enable: remote (IMWr) and local abort interrupts, one bit a channel. */
#define METIS_EDMA_LL_ERR_REMOTE METIS_BITS(7, 0)
#define METIS_EDMA_LL_ERR_LOCAL METIS_BITS(23, 16)

/* Write error status and read error status low/high: bits a channel (spec). */
#define METIS_EDMA_WR_ERR_APP_READ METIS_BITS(7, 0)	/* source (card memory) refused */
#define METIS_EDMA_WR_ERR_LL_FETCH METIS_BITS(23, 16)	/* element could not be read */
#define METIS_EDMA_RD_ERR_APP_WRITE METIS_BITS(7, 0)	/* low: destination (card memory) refused */
#define METIS_EDMA_RD_ERR_LL_FETCH METIS_BITS(23, 16)	/* low: element could not be read */
#define METIS_EDMA_RD_ERR_UR METIS_BITS(7, 0)		/* high: unsupported request */
#define METIS_EDMA_RD_ERR_CA METIS_BITS(15, 8)		/* high: completer abort */

/* ch_control1 and the control word of an element. */
#define METIS_EDMA_CB METIS_BIT(0)   /* cycle bit */
#define METIS_EDMA_TCB METIS_BIT(1)  /* toggle cycle bit */
#define METIS_EDMA_LLP METIS_BIT(2)  /* element is a link */
#define METIS_EDMA_LIE METIS_BIT(3)  /* local interrupt enable */
#define METIS_EDMA_RIE METIS_BIT(4)  /* remote interrupt enable */
#define METIS_EDMA_CS METIS_BITS(6, 5)
#define METIS_EDMA_CCS METIS_BIT(8)  /* consumer cycle state */
#define METIS_EDMA_LLE METIS_BIT(9)  /* linked-list enable */

enum metis_edma_cs {
	METIS_EDMA_CS_IDLE = 0,
	METIS_EDMA_CS_RUNNING = 1,
	METIS_EDMA_CS_HALTED = 2,
	METIS_EDMA_CS_STOPPED = 3, /* done */
};

/* Linked list element. A link (LLP set) has its target in @sar. Little-endian. */
struct metis_edma_element {
	__le32 control;
	__le32 size; /* bytes */
	__le64 sar;
	__le64 dar;
} METIS_PACKED;
METIS_ASSERT_SIZE(struct metis_edma_element, 24);
METIS_ASSERT_AT(struct metis_edma_element, sar, 8);
METIS_ASSERT_AT(struct metis_edma_element, dar, 16);

/*
 * The driver's list buffer: per channel 170 read elements, then 170 write elements; at the top of
 * L2 unless firmware names another place (source: driver; 1.4.4 knows only this one).
 */
#define METIS_EDMA_LIST_ELEMENTS 170u
#define METIS_EDMA_LIST_DATA_MAX 167u /* the driver's limit of data elements a start */
#define METIS_EDMA_LIST_BYTES (METIS_EDMA_LIST_ELEMENTS * 24u)
#define METIS_EDMA_LISTS_BYTES (2u * METIS_EDMA_CHANNELS * METIS_EDMA_LIST_BYTES)
#define METIS_EDMA_LISTS_BASE (METIS_L2_BASE + 0x1ff8080ull)
#define METIS_EDMA_RD_LIST(base, n) ((base) + 2ull * METIS_EDMA_LIST_BYTES * (n))
#define METIS_EDMA_WR_LIST(base, n) (METIS_EDMA_RD_LIST(base, n) + METIS_EDMA_LIST_BYTES)
_Static_assert(METIS_EDMA_LISTS_BYTES == 0x7f80, "list buffer");
_Static_assert(METIS_EDMA_WR_LIST(METIS_EDMA_LISTS_BASE, 3) == 0x09fff010, "write list 3");

#endif
