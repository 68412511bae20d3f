/* SPDX-License-Identifier: MIT */
/*
 * Firmware shared memory: the first 0x800 bytes of BAR2 ("sysctl") and what its references
 * point to. Little-endian. Source: the vendor's public driver, layouts computed for 1.6.2, whose
 * names are used; older drivers see padding where a field is newer.
 */
#ifndef TETHYS_HW_FWAREA_H
#define TETHYS_HW_FWAREA_H

#include <tethys/hw/bits.h>

#define METIS_SYSCTL_OFFSET 0x000u /* in BAR2 */
#define METIS_SYSCTL_BYTES 0x800u

#define METIS_MAGIC_HEADER 0xfd1f
#define METIS_MAGIC_DATASTREAM 0xf0f0
#define METIS_MAGIC_HOST_DRIVER 0xbac1
#define METIS_MAGIC_DMA_LIST 0xd4d4
#define METIS_MAGIC_VMSI_CONFIG 0xb5b5
#define METIS_MAGIC_CONTEXT 0xc0c0 /* guess: the driver never checks it */
#define METIS_MAGIC_BOARD 0xb0a2   /* guess */
#define METIS_MAGIC_LOG 0x106f     /* guess */
#define METIS_MAGIC_TETHYS 0x7e75  /* ours: struct metis_fw_ext, see fwproto.h */

/* dma_vm: the card raises MSI 4-11 itself and owns the IMWr registers. Any other value is "no". */
#define METIS_DMA_VM_MAGIC 0xc1a0c1a0u

/* Reference to an area: where it is, and by its magic whether it is there at all. */
struct metis_memref {
	__le16 magic;
	__u8 major;
	__u8 minor;
	__le32 size;   /* bytes */
	__le64 offset; /* from the start of BAR2 */
	__le16 memory_area;
	__u8 reserved[6];
} METIS_PACKED;
METIS_ASSERT_SIZE(struct metis_memref, 24);

struct metis_sysctl {
	struct {
		__le16 magic;
		__u8 reserved[6];
		__le64 base; /* card address of BAR2 offset 0 */
		__le64 size;
	} METIS_PACKED header;
	__u8 pad0[0xb0 - 0x18];
	struct {
		__le32 opcode;
		__le32 size;
		char text[256];
	} METIS_PACKED command;
	struct metis_memref tethys; /* ours, in the vendor's padding at 0x1b8 */
	__u8 pad1[0x200 - 0x1d0];
	__u8 version_major; /* master version */
	__u8 version_minor;
	__u8 pad2[6];
	__le64 memory_map[2]; /* card addresses of memory areas 0 (L2) and 1 (DDR) */
	__le32 dma_vm;
	__u8 pad3[0x238 - 0x21c];
	__le64 firmware_load_address;
	struct metis_memref datastream; /* 1.4.4 to 1.4.16: log/trace */
	struct metis_memref board;
	struct metis_memref axe_message;
	struct metis_memref context;
	struct metis_memref virtual_memory;
	struct metis_memref host_driver;
	struct metis_memref dma_list;
	struct metis_memref vmsi_config;
	__u8 pad4[0x400 - 0x300];
	__u8 bootloader[0x400];
} METIS_PACKED;
METIS_ASSERT_SIZE(struct metis_sysctl, METIS_SYSCTL_BYTES);
METIS_ASSERT_AT(struct metis_sysctl, command, 0x0b0);
METIS_ASSERT_AT(struct metis_sysctl, tethys, 0x1b8);
METIS_ASSERT_AT(struct metis_sysctl, version_major, 0x200);
METIS_ASSERT_AT(struct metis_sysctl, memory_map, 0x208);
METIS_ASSERT_AT(struct metis_sysctl, dma_vm, 0x218);
METIS_ASSERT_AT(struct metis_sysctl, firmware_load_address, 0x238);
METIS_ASSERT_AT(struct metis_sysctl, datastream, 0x240);
METIS_ASSERT_AT(struct metis_sysctl, board, 0x258);
METIS_ASSERT_AT(struct metis_sysctl, axe_message, 0x270);
METIS_ASSERT_AT(struct metis_sysctl, context, 0x288);
METIS_ASSERT_AT(struct metis_sysctl, virtual_memory, 0x2a0);
METIS_ASSERT_AT(struct metis_sysctl, host_driver, 0x2b8);
METIS_ASSERT_AT(struct metis_sysctl, dma_list, 0x2d0);
METIS_ASSERT_AT(struct metis_sysctl, vmsi_config, 0x2e8);
METIS_ASSERT_AT(struct metis_sysctl, bootloader, 0x400);

/*
 * Host-driver area: written by the host; the firmware looks when it needs it. Some may keep the
 * first target they find (guess).
 */
struct metis_host_driver {
	__le32 ctrl; /* 1: the fields below are valid */
	__le32 base;
	__le64 target; /* bus address of the host's buffer; its first 4 KiB are the virtual-MSI page */
	__le32 size;
	__le32 reserved;
} METIS_PACKED;
METIS_ASSERT_SIZE(struct metis_host_driver, 24);

/* Virtual-MSI page in host memory: 1024 words; the firmware sets bit 0 of word n, then raises. */
#define METIS_VMSI_WORDS 1024u
#define METIS_VMSI_SET METIS_BIT(0)

/* Context n: one for each AI core, the lowest core of a run of cores leads. */
struct metis_context {
	__le64 core_mask;
	__le64 l2_base;
	__le64 l2_bytes;
	__le64 ddr_base;
	__le64 ddr_bytes;
	__le64 msi;
	__le64 cmd; /* see fwproto.h */
	__le64 sts; /* low 32 bits, signed: > 0 busy, 0 done, < 0 failed */
	__le64 arg;
	__le64 elf_base;
} METIS_PACKED;
METIS_ASSERT_SIZE(struct metis_context, 80);
METIS_ASSERT_AT(struct metis_context, cmd, 0x30);
METIS_ASSERT_AT(struct metis_context, sts, 0x38);
METIS_ASSERT_AT(struct metis_context, arg, 0x40);

struct metis_dma_list_area {
	__le64 base; /* card address of the list buffer */
	__le64 bytes;
} METIS_PACKED;
METIS_ASSERT_SIZE(struct metis_dma_list_area, 16);

struct metis_datastream_area {
	__le32 count;
	__u8 index[256]; /* source to stream, 0xff absent */
	__le32 reserved;
} METIS_PACKED;
METIS_ASSERT_SIZE(struct metis_datastream_area, 264);

/*
 * Stream n, right after the area: a ring that the firmware fills and the host empties. Positions
 * are bytes from the start of the buffer, equal when the ring is empty. Source: driver (layout).
 */
struct metis_datastream {
	__le32 read_pos; /* the host's */
	__le32 capacity; /* bytes of the ring */
	__le32 write_pos;
	__le32 reg;
	__le64 buffer; /* card address */
	__le64 bytes;  /* of the buffer */
	__le32 type;   /* enum metis_datastream_type */
	__le32 opcode;
	__le32 core;
	char name[32];
	__le32 reserved;
} METIS_PACKED;
METIS_ASSERT_SIZE(struct metis_datastream, 80);
METIS_ASSERT_AT(struct metis_datastream, write_pos, 8);
METIS_ASSERT_AT(struct metis_datastream, reg, 12);
METIS_ASSERT_AT(struct metis_datastream, buffer, 16);
METIS_ASSERT_AT(struct metis_datastream, bytes, 24);
METIS_ASSERT_AT(struct metis_datastream, type, 32);
METIS_ASSERT_AT(struct metis_datastream, name, 44);

#define METIS_DATASTREAM_ABSENT 0xffu /* in index[]; so no source is above 254 */
#define METIS_DATASTREAM_MSI METIS_BITS(9, 0) /* reg: number signalled when there is data */
#define METIS_DATASTREAM_ENABLE METIS_BIT(31) /* reg */

enum metis_datastream_type {
	METIS_DATASTREAM_TEXT = 0,
	METIS_DATASTREAM_BINARY = 1,
};

/* Board information. The vendor's layout is not public: ours (guess), so only Tethys reads it. */
struct metis_board {
	__le32 board_type; /* axrBoardType: 2 PCIe card */
	__le32 board_revision;
	char firmware_version[64];	   /* running, NUL-terminated */
	char flashed_firmware_version[64];
	char controller_version[64];
	char controller_board_type[64];
	char serial[32];
	__le32 clock_mhz;
	__le32 reserved[5];
} METIS_PACKED;
METIS_ASSERT_SIZE(struct metis_board, 320);

#endif
