/* SPDX-License-Identifier: MIT */
#ifndef TETHYS_CLI_MODEL_INFO_H
#define TETHYS_CLI_MODEL_INFO_H

#include <stdbool.h>

#include "common/reason.h"

/* Print inputs and outputs of a model. Return: enum cli_exit; errors are printed. */
int model_info(const char *path, bool json);

/**
 * model_convert_tiny_face() - tiny_face_convert() on an unpacked package
 * @package: folder with model/tiny_face_detector_model.bin and its manifest
 *
 * Return: 0; -ENAMETOOLONG; as tiny_face_convert().
 */
int model_convert_tiny_face(const char *package, const char *path, unsigned int size,
			    struct reason *why);

#endif
