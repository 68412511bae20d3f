/* SPDX-License-Identifier: MIT */
/*
 * What was read of a machine: files, links and folders by the path they had there, and why others
 * could not be read. Live collection, a folder of a fixture and a snapshot file all fill one of
 * these, so that everything after it has one way to look, and can't look at this machine by
 * mistake.
 */
#ifndef TETHYS_DOCTOR_STORE_H
#define TETHYS_DOCTOR_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "doctor/arena.h"

enum store_kind {
	STORE_FILE,
	STORE_LINK,  /* data is the target as readlink() gave it */
	STORE_DIR,   /* was there; its children are entries of their own */
	STORE_ERROR, /* could not be read: err */
};

struct store_entry {
	const char *path; /* absolute, "/sys/bus/pci/devices/0000:86:00.0/config" */
	enum store_kind kind;
	bool cut;	  /* the file went on after data */
	int err;	  /* positive errno, for STORE_ERROR */
	const char *data; /* any bytes; a NUL follows them */
	size_t size;
};

struct store {
	struct arena *arena; /* owns the texts; not owned */
	struct store_entry *entry;
	size_t count;
	bool sorted;
};

void store_init(struct store *store, struct arena *arena);

/* Copies @path and @data. A path that is there already gets the new content. */
void store_add(struct store *store, enum store_kind kind, const char *path, const void *data,
	       size_t size, bool cut);
void store_add_error(struct store *store, const char *path, int err);

/* NULL when nothing is known of @path. */
const struct store_entry *store_find(struct store *store, const char *path);

/**
 * store_text() - content of a small text file
 * @fmt: printf format of the path
 *
 * Return: the text without white space at its end, in the arena; NULL when it could not be read or
 * holds a NUL.
 */
const char *store_text(struct store *store, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* A number, decimal or 0x. Return: false when the file isn't there or holds something else. */
bool store_number(struct store *store, uint64_t *ret_number, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Last part of a link's target, "vfio-pci" for .../driver; NULL when there is no such link. */
const char *store_link_name(struct store *store, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/**
 * store_children() - what lies directly in a folder
 * @index: 0 at first, moved on by each call
 *
 * Return: the name of the next child (not its path), NULL after the last. A child that only shows
 * as part of deeper paths counts. Sorted.
 */
const char *store_children(struct store *store, const char *dir, size_t *index);

#endif
