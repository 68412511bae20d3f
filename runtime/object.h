/* SPDX-License-Identifier: MIT */
/*
 * What all axr* objects have in common: kind, owner, children, references.
 *
 * The application's handle is one reference, each child holds one on its parent. axr_destroy()
 * takes an object and all below it out of the tree and drops the handles; what an object holds is
 * released with the last reference, so a child that is being torn down on another thread still
 * finds its parent.
 */
#ifndef TETHYS_RUNTIME_OBJECT_H
#define TETHYS_RUNTIME_OBJECT_H

#include <stdatomic.h>
#include <stddef.h>

#include <axruntime/axruntime.h>

struct axrObject;

struct object_kind {
	const char *name;
	size_t bytes;
	/* Stop what runs; called when the handle is destroyed, before the children's. May be NULL. */
	void (*stop)(struct axrObject *object);
	/* Give back what the object holds; the memory itself is freed by the caller. */
	void (*release)(struct axrObject *object);
};

struct axrObject {
	const struct object_kind *kind;
	struct axrContext *context;
	struct axrObject *parent;   /* NULL: a context */
	struct axrObject *children; /* the context's tree_lock */
	struct axrObject *next;	    /* sibling; the context's tree_lock */
	atomic_uint references;
};

/**
 * object_create() - a zeroed object in the tree, with one reference: the handle
 * @parent: gains a reference; NULL: for contexts only
 *
 * Return: NULL when out of memory.
 */
void *object_create(const struct object_kind *kind, struct axrObject *parent);

struct axrObject *object_get(struct axrObject *object);
void object_put(struct axrObject *object); /* NULL is fine */

/* An axrObject from outside as @kind's struct; NULL when it is NULL or something else. */
void *object_as(const struct object_kind *kind, const void *object);

#endif
