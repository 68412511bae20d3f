/* SPDX-License-Identifier: MIT */
/*
 * vfio-user on the wire: what server and client share.
 *
 * A stream of messages over a unix socket, host byte order. Every message is a header and a body;
 * the structs below are bodies, offsets counted from the end of the header. Source: the vfio-user
 * specification, and the behaviour of QEMU 11.1 where noted (measured).
 */
#ifndef TETHYS_COMMON_VFIO_USER_H
#define TETHYS_COMMON_VFIO_USER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "common/reason.h"

#define VFIO_USER_MAJOR 0
#define VFIO_USER_MINOR 1 /* the newest we speak; a reply names the smaller of both sides' */

enum vfio_user_command {
	VFIO_USER_VERSION = 1,
	VFIO_USER_DMA_MAP = 2,
	VFIO_USER_DMA_UNMAP = 3,
	VFIO_USER_DEVICE_GET_INFO = 4,
	VFIO_USER_DEVICE_GET_REGION_INFO = 5,
	VFIO_USER_DEVICE_GET_REGION_IO_FDS = 6,
	VFIO_USER_DEVICE_GET_IRQ_INFO = 7,
	VFIO_USER_DEVICE_SET_IRQS = 8,
	VFIO_USER_REGION_READ = 9,
	VFIO_USER_REGION_WRITE = 10,
	VFIO_USER_DMA_READ = 11,  /* server to client */
	VFIO_USER_DMA_WRITE = 12, /* server to client */
	VFIO_USER_DEVICE_RESET = 13,
	VFIO_USER_REGION_WRITE_MULTI = 15,
	VFIO_USER_DEVICE_FEATURE = 16,
	VFIO_USER_MIG_DATA_READ = 17,
	VFIO_USER_MIG_DATA_WRITE = 18,
};

/* --- limits --- */
#define VFIO_USER_MAX_FDS 16u		    /* with one message, either way */
#define VFIO_USER_MAX_DATA (1024u * 1024u)  /* bytes of data in one message */
#define VFIO_USER_MAX_DATA_PEER (64u << 20) /* what a peer may claim (QEMU's limit) */
#define VFIO_USER_MAX_DMA_MAPS 65535u
#define VFIO_USER_PGSIZES 4096u
#define VFIO_USER_MAX_MESSAGE (VFIO_USER_MAX_DATA + 32u) /* header and longest data prefix */
#define VFIO_USER_MAX_WRITES 200u			 /* records in a WRITE_MULTI (QEMU) */
#define VFIO_USER_MAX_JSON 4096u			 /* with its NUL, as received */
/*
 * A VERSION reply longer than the request kills the connection of QEMU 11.1, whose request has
 * 214 bytes (measured).
 */
#define VFIO_USER_MAX_VERSION_REPLY 214u
/*
 * QEMU writes replies without waiting and ignores a short write, so a long reply is cut when the
 * reader lags (measured: 36,000 bytes always survived).
 */
#define VFIO_USER_MAX_DMA_READ (32u * 1024u)

/* --- header --- */
#define VFIO_USER_TYPE_MASK 0xfu
#define VFIO_USER_TYPE_COMMAND 0x0u
#define VFIO_USER_TYPE_REPLY 0x1u
#define VFIO_USER_NO_REPLY 0x10u
#define VFIO_USER_ERROR 0x20u

#define VFIO_USER_PACKED __attribute__((packed))
#define VFIO_USER_ASSERT_SIZE(type, bytes) \
	_Static_assert(sizeof(type) == (bytes), #type " must be " #bytes " bytes")
#define VFIO_USER_ASSERT_AT(type, member, off) \
	_Static_assert(offsetof(type, member) == (off), #type "." #member " must be at " #off)

struct vfio_user_header {
	uint16_t id; /* the sender's choice, echoed in the reply; each direction has its own */
	uint16_t command;
	uint32_t size; /* of the whole message, header included */
	uint32_t flags;
	uint32_t error; /* errno number, in a reply with VFIO_USER_ERROR; may be 0 */
} VFIO_USER_PACKED;
VFIO_USER_ASSERT_SIZE(struct vfio_user_header, 16);

/* --- bodies --- */
struct vfio_user_version {
	uint16_t major;
	uint16_t minor;
	char json[]; /* optional, NUL-terminated */
} VFIO_USER_PACKED;
VFIO_USER_ASSERT_SIZE(struct vfio_user_version, 4);

#define VFIO_USER_DMA_READABLE 0x1u /* by the device */
#define VFIO_USER_DMA_WRITABLE 0x2u

struct vfio_user_dma_map {
	uint32_t argsz; /* 32 */
	uint32_t flags;
	uint64_t offset; /* in the file that comes along, if one does */
	uint64_t iova;
	uint64_t size;
} VFIO_USER_PACKED;
VFIO_USER_ASSERT_SIZE(struct vfio_user_dma_map, 32);
VFIO_USER_ASSERT_AT(struct vfio_user_dma_map, iova, 16);

#define VFIO_USER_UNMAP_ALL 0x2u

struct vfio_user_dma_unmap {
	uint32_t argsz; /* 24 */
	uint32_t flags;
	uint64_t iova;
	uint64_t size;
} VFIO_USER_PACKED;
VFIO_USER_ASSERT_SIZE(struct vfio_user_dma_unmap, 24);

#define VFIO_USER_DEVICE_RESETTABLE 0x1u
#define VFIO_USER_DEVICE_PCI 0x2u

struct vfio_user_device_info {
	uint32_t argsz; /* 16 */
	uint32_t flags;
	uint32_t regions;
	uint32_t irqs;
} VFIO_USER_PACKED;
VFIO_USER_ASSERT_SIZE(struct vfio_user_device_info, 16);

enum vfio_user_region {
	VFIO_USER_REGION_BAR0 = 0,
	VFIO_USER_REGION_BAR5 = 5,
	VFIO_USER_REGION_ROM = 6,
	VFIO_USER_REGION_CONFIG = 7,
	VFIO_USER_REGION_VGA = 8,
	VFIO_USER_REGION_NR = 9,
};

#define VFIO_USER_REGION_FLAG_READ 0x1u
#define VFIO_USER_REGION_FLAG_WRITE 0x2u
#define VFIO_USER_REGION_FLAG_MMAP 0x4u
#define VFIO_USER_REGION_FLAG_CAPS 0x8u

struct vfio_user_region_info {
	uint32_t argsz; /* 32 and the capabilities */
	uint32_t flags;
	uint32_t index;
	uint32_t cap_offset; /* of the first capability from the start of this body, 0: none */
	uint64_t size;
	uint64_t offset; /* of the region in the file that comes along */
} VFIO_USER_PACKED;
VFIO_USER_ASSERT_SIZE(struct vfio_user_region_info, 32);
VFIO_USER_ASSERT_AT(struct vfio_user_region_info, size, 16);

#define VFIO_USER_CAP_SPARSE_MMAP 1

struct vfio_user_cap {
	uint16_t id;
	uint16_t version;
	uint32_t next; /* from the start of the body, 0: last */
} VFIO_USER_PACKED;
VFIO_USER_ASSERT_SIZE(struct vfio_user_cap, 8);

struct vfio_user_sparse_area {
	uint64_t offset;
	uint64_t size;
} VFIO_USER_PACKED;
VFIO_USER_ASSERT_SIZE(struct vfio_user_sparse_area, 16);

struct vfio_user_cap_sparse {
	struct vfio_user_cap header;
	uint32_t areas_nr;
	uint32_t reserved;
	struct vfio_user_sparse_area areas[];
} VFIO_USER_PACKED;
VFIO_USER_ASSERT_SIZE(struct vfio_user_cap_sparse, 16);

enum vfio_user_irq {
	VFIO_USER_IRQ_INTX = 0,
	VFIO_USER_IRQ_MSI = 1,
	VFIO_USER_IRQ_MSIX = 2,
	VFIO_USER_IRQ_ERR = 3,
	VFIO_USER_IRQ_REQ = 4,
	VFIO_USER_IRQ_NR = 5,
};

#define VFIO_USER_IRQ_FLAG_EVENTFD 0x1u
#define VFIO_USER_IRQ_FLAG_MASKABLE 0x2u
#define VFIO_USER_IRQ_FLAG_AUTOMASKED 0x4u
#define VFIO_USER_IRQ_FLAG_NORESIZE 0x8u

struct vfio_user_irq_info {
	uint32_t argsz; /* 16 */
	uint32_t flags;
	uint32_t index;
	uint32_t count;
} VFIO_USER_PACKED;
VFIO_USER_ASSERT_SIZE(struct vfio_user_irq_info, 16);

/* Exactly one of DATA and one of ACTION. Eventfds come along as descriptors, one a vector. */
#define VFIO_USER_IRQ_DATA_NONE 0x1u
#define VFIO_USER_IRQ_DATA_BOOL 0x2u
#define VFIO_USER_IRQ_DATA_EVENTFD 0x4u
#define VFIO_USER_IRQ_DATA_MASK 0x7u
#define VFIO_USER_IRQ_ACTION_MASK 0x8u
#define VFIO_USER_IRQ_ACTION_UNMASK 0x10u
#define VFIO_USER_IRQ_ACTION_TRIGGER 0x20u
#define VFIO_USER_IRQ_ACTIONS 0x38u

struct vfio_user_irq_set {
	uint32_t argsz; /* 20 and the bools */
	uint32_t flags;
	uint32_t index;
	uint32_t start;
	uint32_t count;
	uint8_t bools[]; /* [count], with DATA_BOOL only */
} VFIO_USER_PACKED;
VFIO_USER_ASSERT_SIZE(struct vfio_user_irq_set, 20);

/* REGION_READ and REGION_WRITE, requests and replies. */
struct vfio_user_region_access {
	uint64_t offset;
	uint32_t region;
	uint32_t count; /* bytes */
	uint8_t data[];
} VFIO_USER_PACKED;
VFIO_USER_ASSERT_SIZE(struct vfio_user_region_access, 16);

/* DMA_READ and DMA_WRITE; QEMU before 11.1 disagrees on the width of count and is not supported. */
struct vfio_user_dma_access {
	uint64_t iova;
	uint64_t count; /* bytes */
	uint8_t data[];
} VFIO_USER_PACKED;
VFIO_USER_ASSERT_SIZE(struct vfio_user_dma_access, 16);

struct vfio_user_write_record {
	uint64_t offset;
	uint32_t region;
	uint32_t count; /* bytes, 1-8 */
	uint8_t data[8];
} VFIO_USER_PACKED;
VFIO_USER_ASSERT_SIZE(struct vfio_user_write_record, 24);

struct vfio_user_write_multi {
	uint64_t count; /* of records; alone in the reply */
	struct vfio_user_write_record records[];
} VFIO_USER_PACKED;
VFIO_USER_ASSERT_SIZE(struct vfio_user_write_multi, 8);

struct vfio_user_feature {
	uint32_t argsz;
	uint32_t flags; /* low 16 bits: the feature */
	uint8_t data[];
} VFIO_USER_PACKED;
VFIO_USER_ASSERT_SIZE(struct vfio_user_feature, 8);

/* --- capabilities: the JSON of VERSION --- */
struct vfio_user_caps {
	uint32_t max_msg_fds; /* descriptors the sender takes with one message */
	uint32_t max_dma_maps;
	uint64_t max_data_xfer_size; /* bytes */
	uint64_t pgsizes;	     /* bit map of sizes */
	bool write_multiple;
	/*
	 * A second socket for commands of the server, so that neither side ever waits for the other's
	 * reader. Our client offers it (supported), the server answers with which descriptor it is.
	 */
	bool twin_socket;
	int twin_fd_index; /* -1: not named */
};

/* What holds for a peer that does not say. */
void vfio_user_caps_default(struct vfio_user_caps *ret_caps);

/**
 * vfio_user_caps_parse() - read a peer's capabilities
 * @json: @len bytes as they came, the NUL included; need not be trusted
 * @ret_caps: defaults for what is absent; unknown keys are ignored
 * @why: set on failure; may be NULL. Never repeats the peer's text.
 *
 * Return: 0; -EINVAL no NUL at the end or one before it, too long or too deep, no JSON object, a
 * known key of the wrong type or out of range.
 */
int vfio_user_caps_parse(const char *json, size_t len, struct vfio_user_caps *ret_caps,
			 struct reason *why);

/**
 * vfio_user_caps_print() - write capabilities as JSON
 *
 * With twin_socket set, "supported" is true and fd_index is named unless it is -1.
 *
 * Return: bytes including the NUL; -ENOSPC.
 */
int vfio_user_caps_print(const struct vfio_user_caps *caps, char *buf, size_t bytes);

/* --- transport --- */
struct vfio_user_fds {
	int fd[VFIO_USER_MAX_FDS]; /* -1: taken by somebody */
	unsigned int count;
};

/* Close what nobody has taken, and forget all. */
void vfio_user_fds_close(struct vfio_user_fds *fds);
/* Take descriptor @index out of @fds: the caller owns it. -1 when there is none. */
int vfio_user_fds_take(struct vfio_user_fds *fds, unsigned int index);

/**
 * vfio_user_recv() - receive exactly @len bytes
 * @sock: blocking; SO_RCVTIMEO bounds each wait
 * @fds: the descriptors that came with these bytes are added, close-on-exec; on failure the caller
 *	 closes them. NULL: none may come.
 * @stall_ms: all bytes must come within this time of the first, 0: no such limit
 *
 * Never reads beyond @len, so descriptors are always those of this message.
 *
 * Return: 0; -ENODATA closed before the first byte; -EAGAIN no byte within SO_RCVTIMEO;
 * -ECONNRESET closed in the middle; -ETIMEDOUT stalled in the middle; -EPROTO descriptors that
 * may not come or more than VFIO_USER_MAX_FDS; other negative errno of recvmsg(2).
 */
int vfio_user_recv(int sock, void *buf, size_t len, struct vfio_user_fds *fds,
		   unsigned int stall_ms);

/**
 * vfio_user_recv_some() - receive what there is, up to @len bytes
 *
 * Descriptors are those of the last message that begins in these bytes, if that message came with
 * one sendmsg(2) as it should: the kernel ends a read after the bytes that carried some.
 *
 * Return: bytes, at least 1; 0 closed; -EAGAIN, -EPROTO and others as vfio_user_recv().
 */
ssize_t vfio_user_recv_some(int sock, void *buf, size_t len, struct vfio_user_fds *fds);

/**
 * vfio_user_send() - send one message
 * @sock: blocking; SO_SNDTIMEO bounds each wait
 * @iov: the message, header and body; @iov_nr at most 4. The first sendmsg(2) has all of it, so
 *	 that a peer gets header and descriptors at once.
 * @fds: [@fds_nr], stay the caller's; NULL with @fds_nr 0
 *
 * Callers serialize.
 *
 * Return: 0; -ETIMEDOUT the peer does not read, and the stream is broken; -EPIPE; other negative
 * errno.
 */
int vfio_user_send(int sock, const struct iovec *iov, unsigned int iov_nr, const int *fds,
		   unsigned int fds_nr);

#endif
