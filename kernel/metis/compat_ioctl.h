/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Requests of 32-bit programs where they differ: a pointer's size is in the value, a size_t is 4
 * bytes, and on x86 (what compat_u64 is about) 64-bit fields lie on 4-byte boundaries.
 */
#ifndef TETHYS_KERNEL_COMPAT_IOCTL_H
#define TETHYS_KERNEL_COMPAT_IOCTL_H

#include <linux/compat.h>

#include <uapi/metis.h>

struct metis_dmabuf_xfer32 {
	compat_u64 card;
	compat_size_t size;
	__u32 offset;
	__s32 handle;
	__u32 flags;
	__s32 channel;
};

struct metis_user_xfer32 {
	compat_u64 card;
	compat_u64 user;
	compat_size_t size;
	__u32 offset;
	__u32 flags;
};

struct metis_p2p_xfer32 {
	compat_u64 card;
	compat_u64 bus;
	compat_size_t size;
	__s32 channel;
	__u32 flags;
};

struct metis_channel_stats32 {
	__s32 count;
	__s32 num_xfer;
	__s32 num_err;
	compat_u64 bytes_xfer;
	__s32 max_sgt;
	compat_u64 max_duration_us;
	compat_u64 duration_us;
	compat_size_t size;
	__u32 speed_mbps;
};

struct metis_dma_stats32 {
	struct metis_channel_stats32 read[4];
	struct metis_channel_stats32 write[4];
};

#ifdef CONFIG_X86
static_assert(sizeof(struct metis_dmabuf_xfer32) == 28);
static_assert(sizeof(struct metis_user_xfer32) == 28);
static_assert(sizeof(struct metis_p2p_xfer32) == 28);
static_assert(sizeof(struct metis_channel_stats32) == 48);
#endif

#define METIS_IOC32_(native) METIS_IOC_(_IOC_NR(native), sizeof(compat_uptr_t))

#define METIS_IOC32_DMA_XFER METIS_IOC32_(METIS_IOC_DMA_XFER)
#define METIS_IOC32_DMA_ASYNC_STATUS METIS_IOC32_(METIS_IOC_DMA_ASYNC_STATUS)
#define METIS_IOC32_DMA_SYNC_STATUS METIS_IOC32_(METIS_IOC_DMA_SYNC_STATUS)
#define METIS_IOC32_USER_XFER METIS_IOC32_(METIS_IOC_USER_XFER)
#define METIS_IOC32_MSI_WAIT METIS_IOC32_(METIS_IOC_MSI_WAIT)
#define METIS_IOC32_MSI_CLEAN METIS_IOC32_(METIS_IOC_MSI_CLEAN)
#define METIS_IOC32_P2P_XFER _IOWR(METIS_IOC_TYPE, 18, struct metis_p2p_xfer32)
#define METIS_IOC32_GET_DMA_STATS _IOR(METIS_IOC_TYPE, 32, struct metis_dma_stats32)

#endif
