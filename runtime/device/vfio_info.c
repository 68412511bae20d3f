/* SPDX-License-Identifier: MIT */
/*
 * What the kernel describes in as many bytes as it takes: a struct that starts with argsz, and a
 * chain of capabilities behind it.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "runtime/device/vfio.h"

#define INFO_BYTES_MAX 65536

/* @ret_info is the caller's in any case, NULL: out of memory. */
static int ask(int fd, unsigned long request, const void *question, size_t question_bytes,
	       uint32_t bytes, void **ret_info)
{
	void *info = calloc(1, bytes);

	*ret_info = info;
	if (!info)
		return -ENOMEM;
	memcpy(info, question, question_bytes);
	memcpy(info, &bytes, sizeof(bytes));
	return ioctl(fd, request, info) ? vfio_errno() : 0;
}

int vfio_get_info(int fd, unsigned long request, const void *question, size_t question_bytes,
		  void **ret_info, uint32_t *ret_bytes)
{
	uint32_t bytes = 0;
	void *info;
	int err;

	err = ask(fd, request, question, question_bytes, (uint32_t)question_bytes, &info);
	if (!err)
		memcpy(&bytes, info, sizeof(bytes));
	free(info);
	if (err)
		return err;
	if (bytes < question_bytes || bytes > INFO_BYTES_MAX)
		return -EPROTO;
	err = ask(fd, request, question, question_bytes, bytes, &info);
	if (err) {
		free(info);
		return err;
	}
	*ret_info = info;
	*ret_bytes = bytes;
	return 0;
}

const void *vfio_find_cap(const void *info, uint32_t bytes, uint32_t first, uint16_t id,
			  size_t cap_bytes)
{
	const struct vfio_info_cap_header *cap;
	uint32_t at = first;

	/* Only forwards, so the walk ends. */
	for (uint32_t last = 0; at > last && axdev_pci_range(at, sizeof(*cap), bytes);
	     last = at, at = cap->next) {
		cap = (const void *)((const uint8_t *)info + at);
		if (cap->id == id && axdev_pci_range(at, cap_bytes, bytes))
			return cap;
	}
	return NULL;
}
