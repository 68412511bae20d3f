/* SPDX-License-Identifier: MIT */
/*
 * Module: a network as it is written into card memory (docs/firmware-protocol.md).
 *
 *	struct metis_module | struct metis_module_tensor[inputs + outputs] | pad to 64 | payload
 *
 * @checksum is XXH3-64 (seed 0) of all @bytes with the field itself as zero. Firmware copies the
 * module once, checks the copy, and executes nothing that fails a check.
 */
#ifndef TETHYS_HW_MODULE_H
#define TETHYS_HW_MODULE_H

#include <tethys/hw/bits.h>

#define METIS_MODULE_MAGIC 0x444f4d54u /* "TMOD" */
#define METIS_MODULE_VERSION 1
#define METIS_MODULE_ALIGN 64u
#define METIS_MODULE_DIMS_MAX 8u
#define METIS_MODULE_NAME_BYTES 128u

enum metis_module_kind {
	METIS_MODULE_ONNX = 1, /* payload: an ONNX ModelProto */
};

/* Element types, numbered as in ONNX TensorProto.DataType. */
enum metis_dtype {
	METIS_F32 = 1,
	METIS_U8 = 2,
	METIS_I8 = 3,
	METIS_U16 = 4,
	METIS_I16 = 5,
	METIS_I32 = 6,
	METIS_I64 = 7,
	METIS_BOOL = 9,
	METIS_F16 = 10,
	METIS_F64 = 11,
	METIS_U32 = 12,
	METIS_U64 = 13,
};

/* Bytes of an element; 0 for a number that is none of ours. */
static inline __u32 metis_dtype_bytes(__u32 dtype)
{
	switch (dtype) {
	case METIS_U8:
	case METIS_I8:
	case METIS_BOOL:
		return 1;
	case METIS_U16:
	case METIS_I16:
	case METIS_F16:
		return 2;
	case METIS_F32:
	case METIS_I32:
	case METIS_U32:
		return 4;
	case METIS_F64:
	case METIS_I64:
	case METIS_U64:
		return 8;
	default:
		return 0;
	}
}

struct metis_module_tensor {
	char name[METIS_MODULE_NAME_BYTES]; /* NUL-terminated */
	__le32 dtype;
	__le32 ndims; /* 0-8 */
	__le64 dims[METIS_MODULE_DIMS_MAX]; /* each > 0; row-major, dense; unused ones 0 */
	__le64 bytes; /* product of dims times element size */
} METIS_PACKED;
METIS_ASSERT_SIZE(struct metis_module_tensor, 208);

struct metis_module {
	__le32 magic;
	__le16 version;
	__le16 kind;
	__le64 bytes; /* whole module */
	__le64 checksum;
	__le32 inputs;
	__le32 outputs; /* inputs + outputs <= METIS_FW_TENSORS_MAX */
	__le64 payload_offset; /* multiple of METIS_MODULE_ALIGN */
	__le64 payload_bytes;
	char name[64]; /* for logs; NUL-terminated */
	__u8 reserved[16]; /* zero */
} METIS_PACKED;
METIS_ASSERT_SIZE(struct metis_module, 128);

#endif
