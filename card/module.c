/* SPDX-License-Identifier: MIT */
#define XXH_INLINE_ALL /* header only: the card needs one function of the library */
#include <xxhash.h>

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include <tethys/hw/fwproto.h>
#include <tethys/hw/memory.h>
#include <tethys/hw/module.h>

#include "card/module.h"

static bool all_zero(const void *data, size_t bytes)
{
	const unsigned char *p = data;
	size_t i;

	for (i = 0; i < bytes; i++) {
		if (p[i])
			return false;
	}
	return true;
}

static int check_identity(const struct metis_module *m, size_t bytes, struct reason *why)
{
	if (le32toh(m->magic) != METIS_MODULE_MAGIC)
		return reason_add(why, -EINVAL, "no module: magic is 0x%08" PRIx32 ", not 0x%08x",
				  le32toh(m->magic), METIS_MODULE_MAGIC);
	if (le16toh(m->version) != METIS_MODULE_VERSION)
		return reason_add(why, -EINVAL, "module version %u, this firmware reads %u",
				  le16toh(m->version), METIS_MODULE_VERSION);
	if (le16toh(m->kind) != METIS_MODULE_ONNX)
		return reason_add(why, -EINVAL, "module kind %u is unknown", le16toh(m->kind));
	if (le64toh(m->bytes) != bytes)
		return reason_add(why, -EINVAL, "module says it has %" PRIu64 " bytes, got %zu",
				  (uint64_t)le64toh(m->bytes), bytes);
	if (!memchr(m->name, '\0', sizeof(m->name)))
		return reason_add(why, -EINVAL, "module name has no end");
	if (!all_zero(m->reserved, sizeof(m->reserved)))
		return reason_add(why, -EINVAL, "reserved bytes of the module are not zero");
	return 0;
}

/* Table and payload lie inside, in order, and leave nothing over. */
static int check_layout(const struct metis_module *m, size_t bytes, struct reason *why)
{
	uint64_t tensors = (uint64_t)le32toh(m->inputs) + le32toh(m->outputs);
	uint64_t offset = le64toh(m->payload_offset);
	uint64_t payload = le64toh(m->payload_bytes);
	uint64_t table_end;

	if (!m->inputs || !m->outputs)
		return reason_add(why, -EINVAL, "module has no %s", m->inputs ? "output" : "input");
	if (tensors > METIS_FW_TENSORS_MAX)
		return reason_add(why, -EINVAL, "module has %" PRIu64 " tensors, at most %u",
				  tensors, METIS_FW_TENSORS_MAX);
	table_end = sizeof(*m) + tensors * sizeof(struct metis_module_tensor);
	if (offset % METIS_MODULE_ALIGN)
		return reason_add(why, -EINVAL, "payload offset 0x%" PRIx64 " is not aligned to %u",
				  offset, METIS_MODULE_ALIGN);
	if (offset < table_end || offset >= bytes)
		return reason_add(why, -EINVAL,
				  "payload offset 0x%" PRIx64 " is outside 0x%" PRIx64 "..0x%zx",
				  offset, table_end, bytes);
	if (payload != bytes - offset)
		return reason_add(why, -EINVAL,
				  "payload has %" PRIu64 " bytes, the module has room for %" PRIu64,
				  payload, (uint64_t)bytes - offset);
	return 0;
}

/* In three strokes, so that a module of many megabytes is neither changed nor copied. */
static uint64_t checksum_of(const struct metis_module *m, size_t bytes)
{
	static const unsigned char zero[sizeof(m->checksum)];
	const size_t before = offsetof(struct metis_module, checksum);
	const size_t after = before + sizeof(m->checksum);
	XXH3_state_t state;

	XXH3_64bits_reset(&state);
	XXH3_64bits_update(&state, m, before);
	XXH3_64bits_update(&state, zero, sizeof(zero));
	XXH3_64bits_update(&state, (const char *)m + after, bytes - after);
	return XXH3_64bits_digest(&state);
}

static int check_checksum(const struct metis_module *m, size_t bytes, struct reason *why)
{
	uint64_t says = le64toh(m->checksum), is = checksum_of(m, bytes);

	if (says == is)
		return 0;
	return reason_add(why, -EINVAL,
			  "module checksum differs: card memory holds %016" PRIx64
			  ", the header says %016" PRIx64,
			  is, says);
}

static int check_dims(const struct metis_module_tensor *t, struct reason *why)
{
	uint32_t i, ndims = le32toh(t->ndims);
	uint64_t bytes = metis_dtype_bytes(le32toh(t->dtype));

	if (!bytes)
		return reason_add(why, -EINVAL, "element type %" PRIu32 " is unknown",
				  le32toh(t->dtype));
	if (ndims > METIS_MODULE_DIMS_MAX)
		return reason_add(why, -EINVAL, "%" PRIu32 " dimensions, at most %u", ndims,
				  METIS_MODULE_DIMS_MAX);
	for (i = 0; i < ndims; i++) {
		if (!t->dims[i])
			return reason_add(why, -EINVAL, "dimension %" PRIu32 " is 0", i);
		if (__builtin_mul_overflow(bytes, (uint64_t)le64toh(t->dims[i]), &bytes) ||
		    bytes > METIS_DDR_BYTES)
			return reason_add(why, -EINVAL, "larger than the card's memory");
	}
	if (!all_zero(&t->dims[ndims], sizeof(t->dims) - ndims * sizeof(t->dims[0])))
		return reason_add(why, -EINVAL, "unused dimensions are not zero");
	if (le64toh(t->bytes) != bytes)
		return reason_add(why, -EINVAL, "says %" PRIu64 " bytes, shape needs %" PRIu64,
				  (uint64_t)le64toh(t->bytes), bytes);
	return 0;
}

static int check_tensor(const struct metis_module_tensor *t, uint32_t index, struct reason *why)
{
	if (!t->name[0] || !memchr(t->name, '\0', sizeof(t->name)))
		return reason_add(why, -EINVAL, "tensor %" PRIu32 " has no proper name", index);
	if (check_dims(t, why))
		return reason_add(why, -EINVAL, "tensor %" PRIu32 " (\"%s\") is malformed", index,
				  t->name);
	return 0;
}

int card_module_check(const void *data, size_t bytes, struct engine_module *ret_module,
		      struct reason *why)
{
	const struct metis_module *m = data;
	const struct metis_module_tensor *table = (const void *)(m + 1);
	uint32_t i;
	int err;

	if (bytes < sizeof(*m))
		return reason_add(why, -EINVAL, "module of %zu bytes is shorter than its header",
				  bytes);
	err = check_identity(m, bytes, why);
	if (!err)
		err = check_layout(m, bytes, why);
	if (!err)
		err = check_checksum(m, bytes, why);
	for (i = 0; !err && i < le32toh(m->inputs) + le32toh(m->outputs); i++)
		err = check_tensor(&table[i], i, why);
	if (err)
		return err;
	*ret_module = (struct engine_module){
		.header = m,
		.inputs = table,
		.outputs = table + le32toh(m->inputs),
		.payload = (const char *)data + le64toh(m->payload_offset),
		.payload_bytes = le64toh(m->payload_bytes),
	};
	return 0;
}
