/* SPDX-License-Identifier: MIT */
#ifndef TETHYS_RUNTIME_MODEL_PATH_H
#define TETHYS_RUNTIME_MODEL_PATH_H

#include "common/reason.h"
#include "runtime/properties.h"

/**
 * model_path_resolve() - from what the application names to the .onnx it means
 * @path: .onnx, .json, or a directory
 * @ret_onnx: to be freed by the caller
 * @properties: gains those of the .json
 *
 * Return: 0; -ENOENT, -EACCES, ...; -EINVAL neither, or a .json that isn't sound; -ENOTSUP made
 * for the silicon; -ENOMEM.
 */
int model_path_resolve(const char *path, char **ret_onnx, struct propset *properties,
		       struct reason *why);

#endif
