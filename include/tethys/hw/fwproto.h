/* SPDX-License-Identifier: MIT */
/*
 * The open command protocol between a runtime and Tethys firmware (docs/firmware-protocol.md).
 *
 * It lives beside the vendor's areas: sysctl.tethys (magic METIS_MAGIC_TETHYS) refers to a
 * struct metis_fw_ext. Without it the card speaks another protocol.
 *
 * One command: the host writes a struct metis_fw_request anywhere in card memory (each context
 * has a mailbox page for it), stores its card address in context.arg and METIS_FW_CMD(op, seq) in
 * context.cmd. The store that covers the low 32 bits of cmd starts it; with 4-byte stores write
 * the high half first. Firmware sets sts to busy, copies the request once, works on the copy,
 * writes the reply into the request, then sts, then raises METIS_IRQ_CONTEXT(n), by virtual MSI
 * as well where it has them. A context runs one command at a time: cmd stored while busy is
 * ignored and counted, but for CANCEL, which ends the running command with -ECANCELED and has no
 * completion of its own.
 */
#ifndef TETHYS_HW_FWPROTO_H
#define TETHYS_HW_FWPROTO_H

#include <tethys/hw/bits.h>
#include <tethys/hw/memory.h>

#define METIS_FW_EXT_MAJOR 1
#define METIS_FW_EXT_MINOR 0

/* Where Tethys firmware puts things in BAR2. Below METIS_FW_TRAPPED_BYTES stores have effects. */
#define METIS_FW_AREAS_OFFSET 0x0800u	/* contexts, host driver, lists, board, ... */
#define METIS_FW_EXT_OFFSET 0x1000u
#define METIS_FW_LOG_OFFSET 0x2000u
#define METIS_FW_LOG_BYTES 0x2000u
#define METIS_FW_TRAPPED_BYTES 0x4000u
#define METIS_FW_MAILBOX_OFFSET(ctx) (0x4000u + 0x1000u * (ctx))
#define METIS_FW_MAILBOX_BYTES 0x1000u
#define METIS_FW_L2_FREE_OFFSET 0x10000u /* first byte the contexts share, up to the lists */

struct metis_fw_ext {
	__le32 magic; /* METIS_FW_EXT_MAGIC */
	__le16 major;
	__le16 minor;
	__le32 mailbox_offset; /* in BAR2, of context 0 */
	__le32 mailbox_stride; /* bytes */
	__le32 log_offset;     /* in BAR2, struct metis_fw_log */
	__le32 log_bytes;
	__le64 ddr_base; /* card address */
	__le64 ddr_bytes;
	char engine[16];      /* "onnx", "null"; NUL-terminated */
	char personality[16]; /* "1.8.0" */
	__le64 boots;	      /* boots since power-on, for tests of what a reset keeps */
	__le64 commands_ignored;
	__u8 reserved[168];
} METIS_PACKED;
METIS_ASSERT_SIZE(struct metis_fw_ext, 256);
#define METIS_FW_EXT_MAGIC 0x48544554u /* "TETH" */

/* Log ring: text lines, each ended by \n; @written counts every byte ever written. */
struct metis_fw_log {
	__le32 magic; /* METIS_FW_LOG_MAGIC */
	__le32 bytes; /* of the ring, after this header */
	__le64 written;
	__u8 reserved[48];
} METIS_PACKED;
METIS_ASSERT_SIZE(struct metis_fw_log, 64);
#define METIS_FW_LOG_MAGIC 0x474f4c54u /* "TLOG" */

enum metis_fw_op {
	METIS_FW_OP_LOAD = 1,	/* module_addr, module_bytes, cores -> module */
	METIS_FW_OP_RUN = 2,	/* module, tensors -> device_ns */
	METIS_FW_OP_UNLOAD = 3, /* module */
	METIS_FW_OP_CANCEL = 4, /* no request */
};

#define METIS_FW_CMD(op, seq) (((__u64)(seq) << 32) | (__u16)(op))
#define METIS_FW_CMD_OP(cmd) ((__u16)(cmd))
#define METIS_FW_CMD_SEQ(cmd) ((__u32)((__u64)(cmd) >> 32))

/* sts: high half the sequence it speaks of, low half the state (signed). */
#define METIS_FW_STS(seq, state) (((__u64)(seq) << 32) | (__u32)(__s32)(state))
#define METIS_FW_STS_STATE(sts) ((__s32)(__u32)(sts))
#define METIS_FW_STS_SEQ(sts) ((__u32)((__u64)(sts) >> 32))
#define METIS_FW_STS_BUSY 1
#define METIS_FW_STS_DONE 0

/* Why firmware refused; 0 none. Text in the reply says it in words. */
enum metis_fw_reason {
	METIS_FW_OK = 0,
	METIS_FW_BAD_REQUEST = 1,   /* magic, version, opcode, counts */
	METIS_FW_BAD_ADDRESS = 2,   /* not card memory */
	METIS_FW_BAD_MODULE = 3,    /* container: magic, version, sizes, checksum, table */
	METIS_FW_UNSUPPORTED = 4,   /* the engine can't execute this network */
	METIS_FW_NO_MODULE = 5,	    /* handle unknown */
	METIS_FW_BAD_TENSOR = 6,    /* count or size differs from the module's table */
	METIS_FW_NO_MEMORY = 7,
	METIS_FW_ENGINE_FAILED = 8, /* failed while running */
	METIS_FW_CANCELED = 9,
	METIS_FW_NO_CORES = 10,	    /* cores taken or not a valid run of cores */
};

#define METIS_FW_TENSORS_MAX 64u
#define METIS_FW_MODULES_MAX 64u /* loaded at a time, all contexts together */
#define METIS_FW_MODULE_BYTES_MAX 0x80000000ull

struct metis_fw_tensor {
	__le64 addr; /* card address; 64-byte aligned */
	__le64 bytes;
} METIS_PACKED;
METIS_ASSERT_SIZE(struct metis_fw_tensor, 16);

struct metis_fw_reply {
	__le32 seq;
	__le32 status; /* 0 or a negative errno, as in sts */
	__le32 reason; /* enum metis_fw_reason */
	__le32 module; /* LOAD: handle, > 0 */
	__le64 device_ns; /* time the engine took */
	char text[136];   /* NUL-terminated; empty on success */
} METIS_PACKED;
METIS_ASSERT_SIZE(struct metis_fw_reply, 160);

struct metis_fw_request {
	__le32 magic; /* METIS_FW_REQUEST_MAGIC */
	__le16 version; /* METIS_FW_EXT_MAJOR */
	__le16 op;
	__le32 seq;
	__le32 module; /* RUN, UNLOAD */
	__le64 module_addr; /* LOAD: card address of a struct metis_module */
	__le64 module_bytes;
	__le64 tensors_addr; /* RUN: array of metis_fw_tensor, inputs then outputs */
	__le32 inputs;
	__le32 outputs;
	__le32 cores;		/* LOAD: 1-4, adjacent from this context's core on */
	__u8 reserved[44];	/* zero */
	struct metis_fw_reply reply;
} METIS_PACKED;
METIS_ASSERT_SIZE(struct metis_fw_request, 256);
METIS_ASSERT_AT(struct metis_fw_request, reply, 96);
#define METIS_FW_REQUEST_MAGIC 0x51524654u /* "TFRQ" */

#endif
