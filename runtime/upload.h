/* SPDX-License-Identifier: MIT */
#ifndef TETHYS_RUNTIME_UPLOAD_H
#define TETHYS_RUNTIME_UPLOAD_H

#include "runtime/device/device.h"
#include "runtime/module_build.h"

/**
 * upload_module() - write a module into card memory
 *
 * Return: 0; what the file or the device gave.
 */
int upload_module(struct axdev *dev, const struct module *module, uint64_t card_addr,
		  struct reason *why);

#endif
