/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "runtime/internal.h"

static void object_link(struct axrObject *object, struct axrObject *parent)
{
	pthread_mutex_lock(&object->context->tree_lock);
	object->next = parent->children;
	parent->children = object;
	pthread_mutex_unlock(&object->context->tree_lock);
}

/* Take @object out of its parent's list, if it is still in there; tree_lock is held. */
static void object_unlink(struct axrObject *object)
{
	struct axrObject **at;

	if (!object->parent)
		return;
	for (at = &object->parent->children; *at; at = &(*at)->next) {
		if (*at == object) {
			*at = object->next;
			object->next = NULL;
			return;
		}
	}
}

void *object_create(const struct object_kind *kind, struct axrObject *parent)
{
	struct axrObject *object = calloc(1, kind->bytes);

	if (!object)
		return NULL;
	object->kind = kind;
	atomic_init(&object->references, 1);
	if (!parent) {
		object->context = (struct axrContext *)object;
		return object;
	}
	object->context = parent->context;
	object->parent = object_get(parent);
	object_link(object, parent);
	return object;
}

struct axrObject *object_get(struct axrObject *object)
{
	atomic_fetch_add_explicit(&object->references, 1, memory_order_relaxed);
	return object;
}

void object_put(struct axrObject *object)
{
	struct axrObject *parent;

	while (object && atomic_fetch_sub(&object->references, 1) == 1) {
		parent = object->parent;
		if (object->kind->release)
			object->kind->release(object);
		free(object);
		object = parent;
	}
}

void *object_as(const struct object_kind *kind, const void *object)
{
	const struct axrObject *base = object;

	return base && base->kind == kind ? (void *)base : NULL;
}

/* Take one child out of the tree; NULL when there is none left. */
static struct axrObject *object_pop_child(struct axrObject *object)
{
	struct axrObject *child;

	pthread_mutex_lock(&object->context->tree_lock);
	child = object->children;
	if (child) {
		object->children = child->next;
		child->next = NULL;
	}
	pthread_mutex_unlock(&object->context->tree_lock);
	return child;
}

/* The tree is as deep as context, connection, instance. */
static void object_destroy(struct axrObject *object)
{
	struct axrObject *child;

	if (object->kind->stop)
		object->kind->stop(object);
	while ((child = object_pop_child(object)))
		object_destroy(child);
	object_put(object);
}

void axr_destroy(const axrObject *object)
{
	struct axrObject *victim = (struct axrObject *)object;

	if (!victim)
		return;
	pthread_mutex_lock(&victim->context->tree_lock);
	object_unlink(victim);
	pthread_mutex_unlock(&victim->context->tree_lock);
	object_destroy(victim);
}

axrContext *axr_get_context(axrObject *object)
{
	return object ? object->context : NULL;
}
