/* SPDX-License-Identifier: MIT */
#ifndef TETHYS_CARD_ENGINE_ONNX_SCAN_H
#define TETHYS_CARD_ENGINE_ONNX_SCAN_H

#include <stddef.h>

#include "common/reason.h"

/**
 * onnx_scan() - may ONNX Runtime see this network of a stranger?
 * @data: an ONNX ModelProto of @bytes bytes
 *
 * A network can name other files of this machine as the place of its weights, or even an address
 * in this process. Both are refused here, wherever in the graph they hide, and so is anything
 * that ONNX Runtime would not read as an ONNX file but as a format of its own.
 *
 * Return: 0; -EINVAL not a well-formed ModelProto; -ENOTSUP weights outside the file.
 */
int onnx_scan(const void *data, size_t bytes, struct reason *why);

#endif
