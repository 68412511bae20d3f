/* SPDX-License-Identifier: MIT */
/*
 * A tensor as the tasks see it: a description with borrowed memory.
 */
#ifndef TETHYS_TASKS_TENSOR_H
#define TETHYS_TASKS_TENSOR_H

#include <stddef.h>
#include <stdint.h>

#include <tethys/hw/module.h>

struct task_tensor {
	const char *name;		      /* as in the network; may be "" */
	unsigned int dtype;		      /* enum metis_dtype */
	unsigned int ndims;		      /* 0-METIS_MODULE_DIMS_MAX */
	uint64_t dims[METIS_MODULE_DIMS_MAX]; /* row-major, dense */
	void *data; /* the caller's; NULL where only the description matters */
};

/**
 * task_tensor_bytes() - size of the elements
 * @tensor: any description, also a hostile one; @data isn't looked at
 *
 * Return: bytes; 0 when a size is 0, does not fit in 2^40, or the type has no known size.
 */
size_t task_tensor_bytes(const struct task_tensor *tensor);

#endif
