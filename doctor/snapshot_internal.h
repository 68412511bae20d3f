/* SPDX-License-Identifier: MIT */
/*
 * What the parts of the snapshot's file share.
 */
#ifndef TETHYS_DOCTOR_SNAPSHOT_INTERNAL_H
#define TETHYS_DOCTOR_SNAPSHOT_INTERNAL_H

#include "doctor/snapshot.h"

#define SNAPSHOT_FILE_MAX ((size_t)256 << 20)

/* Whether JSON can hold it as text: UTF-8, shortest forms, no surrogates. NUL is fine: the command
 * line of a process has some. */
bool snapshot_is_text(const char *data, size_t size);

/* Names for names: the same for the same thing. */
struct redact;

/* Learns the names that @snapshot's own files tell: of the host, of VMs, of users. */
struct redact *redact_create(const struct snapshot *snapshot);
/* NULL is accepted. */
void redact_destroy(struct redact *redact);

enum redact_what {
	REDACT_PATH,
	REDACT_LOG,
	REDACT_TEXT, /* the content of a file */
	REDACT_HOST, /* a host's name and nothing else */
};

/**
 * redact_text() - what may be shown of a text
 * @path: of the file whose content it is; "" for others
 * @ret_size: bytes of the result
 *
 * Return: belongs to @redact, valid until the next call.
 */
const char *redact_text(struct redact *redact, enum redact_what what, const char *path,
			const char *text, size_t size, size_t *ret_size);

/* Takes the Device Serial Number out of a configuration space. */
void redact_config(uint8_t *config, size_t size);

#endif
