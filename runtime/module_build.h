/* SPDX-License-Identifier: MIT */
/*
 * Modules: an ONNX file behind the header and tensor table the firmware wants (tethys/hw/module.h).
 *
 * The payload stays in its file; header and table are a few KiB. The file is read, not mapped: a
 * file that somebody truncates then gives an error instead of SIGBUS, and reading straight into a
 * DMA buffer costs one copy, as going through a mapping would.
 */
#ifndef TETHYS_RUNTIME_MODULE_BUILD_H
#define TETHYS_RUNTIME_MODULE_BUILD_H

#include <stddef.h>
#include <stdint.h>

#include <tethys/hw/fwproto.h>
#include <tethys/hw/module.h>

#include "common/reason.h"

#define MODULE_PREFIX_MAX \
	(sizeof(struct metis_module) + METIS_FW_TENSORS_MAX * sizeof(struct metis_module_tensor))

struct module {
	int fd;		     /* the payload's file */
	uint64_t bytes;	     /* of the whole module */
	size_t prefix_bytes; /* header, table, padding: payload_offset */
	unsigned char prefix[MODULE_PREFIX_MAX] __attribute__((aligned(8)));
	unsigned int inputs;
	unsigned int outputs;
	const struct metis_module_tensor *tensors; /* in @prefix, inputs then outputs */
	uint64_t scan_ns;
	uint64_t hash_ns;
};

/**
 * module_open() - make a module of an .onnx file
 * @module: not to be moved afterwards
 *
 * Return: 0; -ENOENT, -EACCES, ... the file can't be read; -EFBIG; as onnx_info_read().
 */
int module_open(struct module *module, const char *path, struct reason *why);
void module_close(struct module *module); /* fd -1: nothing to close; failed opens leave that */

/**
 * module_read() - bytes of the module as a whole
 *
 * Thread safe. Return: 0; -EIO, -ENODATA the file got shorter; -EINVAL beyond the end.
 */
int module_read(const struct module *module, uint64_t offset, void *buf, size_t len,
		struct reason *why);

#endif
