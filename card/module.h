/* SPDX-License-Identifier: MIT */
#ifndef TETHYS_CARD_MODULE_H
#define TETHYS_CARD_MODULE_H

#include "card/engine/engine.h"

/**
 * card_module_check() - is this a whole, sound module?
 * @data: a private copy of @bytes bytes; nobody else writes to it
 * @ret_module: points into @data
 *
 * Every field is checked before it is used.
 *
 * Return: 0; -EINVAL with @why in words.
 */
int card_module_check(const void *data, size_t bytes, struct engine_module *ret_module,
		      struct reason *why);

#endif
