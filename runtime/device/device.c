/* SPDX-License-Identifier: MIT */
/*
 * Names to backends.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/device/device.h"

/* In the order axdev_list() names them. */
static const struct axdev_backend *const backends[] = {
	&axdev_chardev,
	&axdev_vfio,
	&axdev_vfio_user,
	&axdev_sim,
};

static const struct axdev_backend *backend_of(const char *name)
{
	size_t i, n;

	for (i = 0; i < sizeof(backends) / sizeof(backends[0]); i++) {
		n = strlen(backends[i]->scheme);
		if (!strncmp(name, backends[i]->scheme, n) && (!name[n] || name[n] == ':'))
			return backends[i];
		if (backends[i]->owns && backends[i]->owns(name))
			return backends[i];
	}
	return NULL;
}

int axdev_open(const char *name, const struct axdev_options *options, struct axdev **ret_dev,
	       struct reason *why)
{
	static const struct axdev_options defaults;
	const struct axdev_backend *backend;

	if (!name || !*name)
		return reason_add(why, -EINVAL, "no device name given");
	backend = backend_of(name);
	if (!backend)
		return reason_add(why, -EINVAL,
				  "device \"%.100s\" is of no known kind: use metis-ADDRESS, "
				  "vfio:ADDRESS, sim or vfio-user:PATH",
				  name);
	return backend->open(name, options ? options : &defaults, ret_dev, why);
}

void axdev_close(struct axdev *dev)
{
	if (dev)
		dev->ops->close(dev);
}

#define LIST_MAX 64

/* The names given so far, so that the environment repeats none. */
struct list {
	void (*found)(void *ctx, const char *name);
	void *ctx;
	unsigned int count;
	char *names[LIST_MAX];
};

static void list_add(void *ctx, const char *name)
{
	struct list *list = ctx;
	unsigned int i;

	for (i = 0; i < list->count; i++)
		if (!strcmp(list->names[i], name))
			return;
	if (!*name || list->count == LIST_MAX)
		return;
	list->names[list->count] = strdup(name);
	if (!list->names[list->count])
		return;
	list->count++;
	list->found(list->ctx, name);
}

void axdev_list(void (*found)(void *ctx, const char *name), void *ctx)
{
	struct list list = {.found = found, .ctx = ctx};
	const char *env = getenv("TETHYS_DEVICES");
	char *copy = env ? strdup(env) : NULL;
	char *save = NULL, *name;
	size_t i;

	for (i = 0; i < sizeof(backends) / sizeof(backends[0]); i++)
		if (backends[i]->list)
			backends[i]->list(list_add, &list);
	for (name = copy ? strtok_r(copy, ",", &save) : NULL; name;
	     name = strtok_r(NULL, ",", &save))
		list_add(&list, name);
	while (list.count)
		free(list.names[--list.count]);
	free(copy);
}

void axdev_deinit(struct axdev *dev)
{
	free((char *)dev->options.personality);
	free((char *)dev->options.engine);
	free((char *)dev->options.dma);
	dev->options.personality = NULL;
	dev->options.engine = NULL;
	dev->options.dma = NULL;
}

/* Return: false: no memory. */
static bool copy_text(const char *text, const char **ret_copy)
{
	*ret_copy = text ? strdup(text) : NULL;
	return !text || *ret_copy;
}

int axdev_init(struct axdev *dev, const struct axdev_ops *ops, const char *name,
	       const struct axdev_options *options, struct reason *why)
{
	if (strlen(name) >= sizeof(dev->name))
		return reason_add(why, -EINVAL, "device name is longer than %zu bytes",
				  sizeof(dev->name) - 1);
	strcpy(dev->name, name);
	dev->ops = ops;
	dev->options = *options;
	dev->options.personality = NULL;
	dev->options.engine = NULL;
	dev->options.dma = NULL;
	if (!copy_text(options->personality, &dev->options.personality) ||
	    !copy_text(options->engine, &dev->options.engine) ||
	    !copy_text(options->dma, &dev->options.dma)) {
		axdev_deinit(dev);
		return reason_add(why, -ENOMEM, "out of memory");
	}
	return 0;
}
