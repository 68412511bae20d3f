/* SPDX-License-Identifier: MIT */
/*
 * Tensors and sizes in words.
 */
#ifndef TETHYS_CLI_TEXT_H
#define TETHYS_CLI_TEXT_H

#include <stddef.h>
#include <stdint.h>

#include "tasks/tensor.h"

#define TEXT_SHAPE_BYTES 192
#define TEXT_BYTES_BYTES 32

/* "float32"; "unknown" for numbers that are no type. */
const char *text_dtype(unsigned int dtype);
/* "1x3x224x224"; "scalar" without dimensions. */
const char *text_shape(const struct task_tensor *tensor, char ret_text[TEXT_SHAPE_BYTES]);
/* "4 KiB", "16 GiB"; bytes where no unit fits. */
const char *text_bytes(uint64_t bytes, char ret_text[TEXT_BYTES_BYTES]);
/* Last part of a path, and the same without its ending. */
const char *text_basename(const char *path);
void text_stem(const char *path, char *ret_stem, size_t size);

#endif
