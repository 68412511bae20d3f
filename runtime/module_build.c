/* SPDX-License-Identifier: MIT */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <xxhash.h>

#include "runtime/internal.h"
#include "runtime/onnx_info.h"

#define HASH_CHUNK_BYTES (256u << 10) /* stays in the cache between reading and hashing */

/* Exactly @len bytes of a file. */
static int read_at(int fd, uint64_t offset, void *buf, size_t len)
{
	ssize_t n;

	while (len) {
		n = pread(fd, buf, len, (off_t)offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			return -ENODATA;
		buf = (char *)buf + n;
		offset += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

static int source_read(void *ctx, uint64_t offset, void *buf, size_t len)
{
	return read_at(*(int *)ctx, offset, buf, len);
}

static int payload_open(const char *path, int *ret_fd, uint64_t *ret_bytes, struct reason *why)
{
	/* O_NONBLOCK: a fifo must not make us wait; no effect on a regular file. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	int r = 0;

	if (fd < 0)
		return reason_add(why, -errno, "%s: %s", path, strerror(errno));
	if (fstat(fd, &st))
		r = reason_add(why, -errno, "%s: %s", path, strerror(errno));
	else if (!S_ISREG(st.st_mode))
		r = reason_add(why, -EINVAL, "%s: not a regular file", path);
	else if (!st.st_size)
		r = reason_add(why, -EINVAL, "%s: empty file", path);
	else if ((uint64_t)st.st_size > METIS_FW_MODULE_BYTES_MAX - MODULE_PREFIX_MAX)
		r = reason_add(why, -EFBIG, "%s: larger than a module may be (2 GiB)", path);
	if (r) {
		close(fd);
		return r;
	}
	*ret_fd = fd;
	*ret_bytes = (uint64_t)st.st_size;
	return 0;
}

static void tensor_to_le(struct metis_module_tensor *tensor)
{
	unsigned int i;

	for (i = 0; i < METIS_MODULE_DIMS_MAX; i++)
		tensor->dims[i] = htole64(tensor->dims[i]);
	tensor->dtype = htole32(tensor->dtype);
	tensor->ndims = htole32(tensor->ndims);
	tensor->bytes = htole64(tensor->bytes);
}

/* Header and table into module->prefix, all but the checksum. */
static void prefix_fill(struct module *module, const struct onnx_info *info, uint64_t payload_bytes,
			const char *path)
{
	struct metis_module *header = (struct metis_module *)module->prefix;
	struct metis_module_tensor *table = (struct metis_module_tensor *)(header + 1);
	unsigned int i, count = info->inputs + info->outputs;
	const char *slash = strrchr(path, '/');
	size_t used = sizeof(*header) + count * sizeof(*table);

	memset(module->prefix, 0, sizeof(module->prefix));
	module->prefix_bytes = (used + METIS_MODULE_ALIGN - 1) & ~(size_t)(METIS_MODULE_ALIGN - 1);
	module->bytes = module->prefix_bytes + payload_bytes;
	module->inputs = info->inputs;
	module->outputs = info->outputs;
	module->tensors = table;
	header->magic = htole32(METIS_MODULE_MAGIC);
	header->version = htole16(METIS_MODULE_VERSION);
	header->kind = htole16(METIS_MODULE_ONNX);
	header->bytes = htole64(module->bytes);
	header->inputs = htole32(info->inputs);
	header->outputs = htole32(info->outputs);
	header->payload_offset = htole64(module->prefix_bytes);
	header->payload_bytes = htole64(payload_bytes);
	strncpy(header->name, slash ? slash + 1 : path, sizeof(header->name) - 1);
	memcpy(table, info->tensors, count * sizeof(*table));
	for (i = 0; i < count; i++)
		tensor_to_le(&table[i]);
}

static int checksum_fill(struct module *module, struct reason *why)
{
	struct metis_module *header = (struct metis_module *)module->prefix;
	XXH3_state_t *state = XXH3_createState();
	unsigned char *chunk = malloc(HASH_CHUNK_BYTES);
	uint64_t at = module->prefix_bytes, len;
	int r = 0;

	if (!state || !chunk)
		r = reason_add(why, -ENOMEM, "out of memory");
	if (!r) {
		XXH3_64bits_reset(state);
		XXH3_64bits_update(state, module->prefix, module->prefix_bytes);
	}
	for (; at < module->bytes && !r; at += len) {
		len = module->bytes - at < HASH_CHUNK_BYTES ? module->bytes - at : HASH_CHUNK_BYTES;
		r = module_read(module, at, chunk, (size_t)len, why);
		if (!r)
			XXH3_64bits_update(state, chunk, (size_t)len);
	}
	if (!r)
		header->checksum = htole64(XXH3_64bits_digest(state));
	XXH3_freeState(state);
	free(chunk);
	return r;
}

int module_open(struct module *module, const char *path, struct reason *why)
{
	struct onnx_source source = {.ctx = &module->fd, .read = source_read};
	struct onnx_info *info = malloc(sizeof(*info));
	uint64_t start = axr_now_ns();
	int r;

	module->fd = -1;
	if (!info)
		return reason_add(why, -ENOMEM, "out of memory");
	r = payload_open(path, &module->fd, &source.bytes, why);
	if (!r) {
		r = onnx_info_read(&source, info, why);
		if (r)
			reason_add(why, r, "%s: can't be used", path);
	}
	if (!r) {
		prefix_fill(module, info, source.bytes, path);
		module->scan_ns = axr_now_ns() - start;
		r = checksum_fill(module, why);
		module->hash_ns = axr_now_ns() - start - module->scan_ns;
	}
	free(info);
	if (r)
		module_close(module);
	return r;
}

void module_close(struct module *module)
{
	if (module->fd >= 0)
		close(module->fd);
	module->fd = -1;
}

int module_read(const struct module *module, uint64_t offset, void *buf, size_t len,
		struct reason *why)
{
	size_t part = 0;
	int r;

	if (offset > module->bytes || len > module->bytes - offset)
		return reason_add(why, -EINVAL, "read beyond the module");
	if (offset < module->prefix_bytes) {
		part = module->prefix_bytes - (size_t)offset;
		part = part < len ? part : len;
		memcpy(buf, module->prefix + offset, part);
	}
	if (part == len)
		return 0;
	r = read_at(module->fd, offset + part - module->prefix_bytes, (char *)buf + part,
		    len - part);
	if (r)
		return reason_add(why, r, "reading the model's file: %s",
				  r == -ENODATA ? "it got shorter" : strerror(-r));
	return 0;
}
