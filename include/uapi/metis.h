/* SPDX-License-Identifier: MIT */
/*
 * The ioctl ABI of /dev/metis-*: the vendor's, so that programs written for its driver run on ours.
 *
 * Source: the vendor's public driver, 1.4.4 to 1.6.2 (requests, values, layouts; names are ours).
 * Layouts are those of 64-bit programs; the driver converts for 32-bit ones. Quirk kept: requests
 * 7 to 12 encode the size of a pointer, not of what it points to.
 */
#ifndef TETHYS_UAPI_METIS_H
#define TETHYS_UAPI_METIS_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define METIS_IOC_TYPE 'U'
#define METIS_IOC_(nr, bytes) _IOC(_IOC_READ | _IOC_WRITE, METIS_IOC_TYPE, nr, bytes)
#define METIS_IOC_POINTER 8 /* bytes, see above; 4 in 32-bit programs */

/* Argument: value; 0 unlocks, any other locks. One lock for each device, let go at close. */
#define METIS_IOC_MSG_LOCK METIS_IOC_(0, 4)
/* __s32 *: number of adjacent cores, 1-4. Returns the context: the lowest core's number. */
#define METIS_IOC_CTX_ALLOC METIS_IOC_(1, 4)
/* No argument. */
#define METIS_IOC_CTX_FREE METIS_IOC_(2, 4)
/* __u64 *: in enum metis_property, out its value. */
#define METIS_IOC_GET_PROPERTY METIS_IOC_(3, 8)
/* __s32 *: file descriptor of a dma-buf. One for each open file. */
#define METIS_IOC_DMA_ATTACH METIS_IOC_(5, 4)
#define METIS_IOC_DMA_DETACH METIS_IOC_(6, 4)
/* struct metis_dmabuf_xfer * */
#define METIS_IOC_DMA_XFER METIS_IOC_(7, METIS_IOC_POINTER)
/* No argument. Returns enum metis_async. */
#define METIS_IOC_DMA_ASYNC_STATUS METIS_IOC_(8, METIS_IOC_POINTER)
/* struct metis_dmabuf_xfer *, of which only flags counts: SYNC. Waits for the last transfer. */
#define METIS_IOC_DMA_SYNC_STATUS METIS_IOC_(9, METIS_IOC_POINTER)
/* struct metis_user_xfer *: memory of the caller. Always synchronous. */
#define METIS_IOC_USER_XFER METIS_IOC_(10, METIS_IOC_POINTER)
/* struct metis_msi_wait *: takes one count of that number, waits for it. */
#define METIS_IOC_MSI_WAIT METIS_IOC_(11, METIS_IOC_POINTER)
/* struct metis_msi_wait *, of which only number counts. */
#define METIS_IOC_MSI_CLEAN METIS_IOC_(12, METIS_IOC_POINTER)
/* __s32 *: number whose signals are poll events of this file as well. */
#define METIS_IOC_MSI_ATTACH METIS_IOC_(13, 4)
/* __u64 *: mask of the context's cores, 0 without one. */
#define METIS_IOC_CTX_CORES METIS_IOC_(14, 8)
/* No argument. Returns 1 if an event was taken, 0 if there was none. */
#define METIS_IOC_CLEAR_POLL_EVENT METIS_IOC_(15, 4)
#define METIS_IOC_GET_RESOURCES _IOR(METIS_IOC_TYPE, 16, struct metis_resources)
#define METIS_IOC_GET_WINDOWS _IOR(METIS_IOC_TYPE, 17, struct metis_windows)
#define METIS_IOC_P2P_XFER _IOWR(METIS_IOC_TYPE, 18, struct metis_p2p_xfer)
/* Reads the firmware's areas anew, for firmware that was loaded after the driver. */
#define METIS_IOC_FIRMWARE_LOADED _IO(METIS_IOC_TYPE, 19)
/* __u32 *: source. The file becomes a reader of that log stream. */
#define METIS_IOC_FWTRACE_OPEN _IOW(METIS_IOC_TYPE, 20, __u32)
#define METIS_IOC_FWTRACE_CLOSE _IO(METIS_IOC_TYPE, 21)
#define METIS_IOC_FWTRACE_STATS _IOR(METIS_IOC_TYPE, 22, struct metis_fwtrace_stats)
#define METIS_IOC_FWTRACE_ENABLE _IOW(METIS_IOC_TYPE, 23, __u32)
#define METIS_IOC_FWTRACE_DISABLE _IOW(METIS_IOC_TYPE, 24, __u32)
#define METIS_IOC_FWTRACE_CLEAR _IOW(METIS_IOC_TYPE, 25, __u32)
#define METIS_IOC_GET_DMA_STATS _IOR(METIS_IOC_TYPE, 32, struct metis_dma_stats)
/* Physical address of a page of the caller; ours wants CAP_SYS_RAWIO. */
#define METIS_IOC_GET_USER_PA _IOWR(METIS_IOC_TYPE, 50, struct metis_user_pa)

/* mmap offsets, in pages of the machine. */
#define METIS_MMAP_L2 0	  /* BAR2 */
#define METIS_MMAP_EDMA 1 /* BAR0; ours wants CAP_SYS_RAWIO or a module parameter */

#define METIS_XFER_READ 0x1u  /* card to host */
#define METIS_XFER_WRITE 0x2u /* host to card */
#define METIS_XFER_SYNC 0x4u
#define METIS_XFER_ASYNC 0x8u
#define METIS_XFER_P2P 0x80000000u

enum metis_async {
	METIS_ASYNC_NONE = 0,
	METIS_ASYNC_DONE = 1,
	METIS_ASYNC_FAILED = 2,
	METIS_ASYNC_TIMED_OUT = 3,
	METIS_ASYNC_PENDING = 4,
};

enum metis_property {
	METIS_PROPERTY_GENERATION = 0, /* 0: Metis */
	METIS_PROPERTY_AI_CORES = 1,
	METIS_PROPERTY_PVE_CORES = 2,
	METIS_PROPERTY_SWITCH_GROUP = 3, /* upstream bus number, (__u64)-1 if none */
};

struct metis_dmabuf_xfer {
	__u64 card;   /* card address */
	__u64 size;   /* bytes */
	__u32 offset; /* into the dma-buf */
	__s32 handle; /* unused */
	__u32 flags;
	__s32 channel; /* 0-3, negative: any */
};

struct metis_user_xfer {
	__u64 card;
	__u64 user; /* address in the caller */
	__u64 size;
	__u32 offset; /* unused */
	__u32 flags;
};

struct metis_p2p_xfer {
	__u64 card;
	__u64 bus; /* bus address of the peer */
	__u64 size;
	__s32 channel;
	__u32 flags;
};

struct metis_msi_wait {
	__s32 number;
	__s32 timeout; /* seconds, 0: for ever */
};

struct metis_resources {
	__u64 sysmem_base;
	__u64 sysmem_size;
	__u64 l2_base; /* of BAR2 */
	__u64 l2_size;
	__u64 ddr_base[2];
	__u64 ddr_size[2];
};

struct metis_windows {
	__u64 np_base;
	__u64 np_size;
	__u64 p_base;
	__u64 p_size;
	__u64 base[6]; /* of BAR n */
	__u64 size[6];
};

struct metis_channel_stats {
	__s32 count; /* starts of the engine */
	__s32 num_xfer;
	__s32 num_err;
	__u64 bytes_xfer;
	__s32 max_sgt; /* most elements of one transfer */
	__u64 max_duration_us;
	__u64 duration_us; /* of the last one */
	__u64 size;	   /* bytes of the last one */
	__u32 speed_mbps;  /* megabytes a second, of the last one */
};

struct metis_dma_stats {
	struct metis_channel_stats read[4];  /* user READ: the engine's write channels */
	struct metis_channel_stats write[4]; /* user WRITE: the engine's read channels */
};

struct metis_fwtrace_stats {
	__u64 total_bytes;
	__u64 overruns;
	__u64 available_bytes;
};

struct metis_user_pa {
	__u64 virt;
	__u64 pa;
};

#endif
