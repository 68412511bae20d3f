/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <time.h>

#include <tethys/hw/fwproto.h>

#include "card/module.h"
#include "card/tests/tiny_onnx.h"
#include "tests/tap.h"

static const char payload[] = "not a network, but nobody looks at this level";

/* @change is done to a sound module, which is sealed again afterwards and then refused as @says. */
static void expect_refused(void (*change)(struct metis_module *, struct metis_module_tensor *),
			   const char *says)
{
	struct engine_module view;
	struct reason why = {0};
	size_t bytes;
	struct metis_module *module = tiny_module(&tiny_add_relu, payload, sizeof(payload), &bytes);

	change(module, (void *)(module + 1));
	tiny_module_seal(module, bytes);
	EXPECT_EQ(card_module_check(module, bytes, &view, &why), -EINVAL);
	EXPECT_HAS(why.text, says);
	free(module);
}

static void test_module_sound_is_taken_apart(void)
{
	struct engine_module view;
	struct reason why = {0};
	size_t bytes;
	struct metis_module *module = tiny_module(&tiny_add_relu, payload, sizeof(payload), &bytes);

	EXPECT_EQ(card_module_check(module, bytes, &view, &why), 0);
	EXPECT_STR(why.text, "");
	EXPECT(view.header == module);
	EXPECT_STR(view.inputs[0].name, "a");
	EXPECT_STR(view.inputs[1].name, "b");
	EXPECT_STR(view.outputs[0].name, "y");
	EXPECT_EQ(view.payload_bytes, sizeof(payload));
	EXPECT(!memcmp(view.payload, payload, sizeof(payload)));
	free(module);
}

static void test_module_every_cut_is_refused(void)
{
	size_t bytes, cut;
	struct metis_module *module = tiny_module(&tiny_add_relu, payload, sizeof(payload), &bytes);
	struct engine_module view;

	for (cut = 0; cut < bytes; cut++) {
		/* Of its own size, so that a sanitizer sees a read past the end. */
		void *part = malloc(cut ? cut : 1);

		memcpy(part, module, cut);
		EXPECT_EQ(card_module_check(part, cut, &view, NULL), -EINVAL);
		free(part);
	}
	free(module);
}

static void test_module_every_flipped_bit_is_refused(void)
{
	size_t bytes, bit;
	struct metis_module *module = tiny_module(&tiny_add_relu, payload, sizeof(payload), &bytes);
	struct engine_module view;

	for (bit = 0; bit < bytes * 8; bit++) {
		((uint8_t *)module)[bit / 8] ^= (uint8_t)(1 << bit % 8);
		EXPECT_EQ(card_module_check(module, bytes, &view, NULL), -EINVAL);
		((uint8_t *)module)[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	EXPECT_EQ(card_module_check(module, bytes, &view, NULL), 0);
	free(module);
}

static void test_module_changed_payload_says_checksum(void)
{
	struct engine_module view;
	struct reason why = {0};
	size_t bytes;
	struct metis_module *module = tiny_module(&tiny_add_relu, payload, sizeof(payload), &bytes);

	((char *)module)[bytes - 1] ^= 1;
	EXPECT_EQ(card_module_check(module, bytes, &view, &why), -EINVAL);
	EXPECT_HAS(why.text, "module checksum differs: card memory holds ");
	free(module);
}

#define CHANGE(name, statement)                                                 \
	static void name(struct metis_module *m, struct metis_module_tensor *t) \
	{                                                                       \
		(void)m, (void)t;                                               \
		statement;                                                      \
	}

CHANGE(magic, m->magic ^= 1)
CHANGE(version, m->version = 2)
CHANGE(kind, m->kind = 7)
CHANGE(size_field, m->bytes++)
CHANGE(endless_name, memset(m->name, 'x', sizeof(m->name)))
CHANGE(reserved, m->reserved[15] = 1)
CHANGE(no_inputs, m->inputs = 0)
CHANGE(no_outputs, m->outputs = 0)
CHANGE(many_tensors, m->inputs = 64)
CHANGE(wrapping_tensors, m->inputs = m->outputs = 0x80000001u)
CHANGE(odd_offset, m->payload_offset++)
CHANGE(early_offset, m->payload_offset = 64)
CHANGE(late_offset, m->payload_offset = 1 << 20)
CHANGE(huge_offset, m->payload_offset = -64ull)
CHANGE(short_payload, m->payload_bytes--)
CHANGE(huge_payload, m->payload_bytes = UINT64_MAX)
CHANGE(no_tensor_name, t[1].name[0] = '\0')
CHANGE(endless_tensor_name, memset(t[1].name, 'x', sizeof(t[1].name)))
CHANGE(dtype_string, t[2].dtype = 8)
CHANGE(dtype_huge, t[2].dtype = UINT32_MAX)
CHANGE(many_dims, t[0].ndims = 9)
CHANGE(huge_dims, t[0].ndims = UINT32_MAX)
CHANGE(zero_dim, t[0].dims[1] = 0)
CHANGE(stray_dim, t[0].dims[7] = 1)
CHANGE(overflow_dims, t[0].dims[0] = 1ull << 62)
CHANGE(large_dims, t[0].dims[0] = 1ull << 34)
CHANGE(wrong_bytes, t[0].bytes = 33)

static void test_module_broken_header_is_refused_with_the_reason(void)
{
	expect_refused(magic, "no module: magic is 0x");
	expect_refused(version, "module version 2, this firmware reads 1");
	expect_refused(kind, "module kind 7 is unknown");
	expect_refused(size_field, "module says it has");
	expect_refused(endless_name, "module name has no end");
	expect_refused(reserved, "reserved bytes of the module");
}

static void test_module_broken_layout_is_refused_with_the_reason(void)
{
	expect_refused(no_inputs, "module has no input");
	expect_refused(no_outputs, "module has no output");
	expect_refused(many_tensors, "module has 65 tensors, at most 64");
	expect_refused(wrapping_tensors, "module has 4294967298 tensors");
	expect_refused(odd_offset, "is not aligned to 64");
	expect_refused(early_offset, "payload offset 0x40 is outside");
	expect_refused(late_offset, "payload offset 0x100000 is outside");
	expect_refused(huge_offset, "payload offset 0xffffffffffffffc0 is outside");
	expect_refused(short_payload, "payload has 45 bytes, the module has room for 46");
	expect_refused(huge_payload, "payload has 18446744073709551615 bytes");
}

static void test_module_broken_table_is_refused_with_the_reason(void)
{
	expect_refused(no_tensor_name, "tensor 1 has no proper name");
	expect_refused(endless_tensor_name, "tensor 1 has no proper name");
	expect_refused(dtype_string, "element type 8 is unknown\ntensor 2 (\"y\") is malformed");
	expect_refused(dtype_huge, "element type 4294967295 is unknown");
	expect_refused(many_dims, "9 dimensions, at most 8\ntensor 0 (\"a\") is malformed");
	expect_refused(huge_dims, "4294967295 dimensions");
	expect_refused(zero_dim, "dimension 1 is 0");
	expect_refused(stray_dim, "unused dimensions are not zero");
	expect_refused(overflow_dims, "larger than the card's memory");
	expect_refused(large_dims, "larger than the card's memory");
	expect_refused(wrong_bytes, "says 33 bytes, shape needs 32");
}

/* No limit is asserted: a busy machine is no fault. */
static void test_module_large_one_is_checked(void)
{
	const size_t payload_bytes = 45u << 20;
	char *large = calloc(1, payload_bytes);
	struct timespec start, end;
	struct engine_module view;
	size_t bytes;
	struct metis_module *module = tiny_module(&tiny_add_relu, large, payload_bytes, &bytes);

	clock_gettime(CLOCK_MONOTONIC, &start);
	EXPECT_EQ(card_module_check(module, bytes, &view, NULL), 0);
	clock_gettime(CLOCK_MONOTONIC, &end);
	printf("# 45 MiB checked in %.1f ms\n",
	       (double)(end.tv_sec - start.tv_sec) * 1e3 +
		       (double)(end.tv_nsec - start.tv_nsec) / 1e6);
	free(module);
	free(large);
}

int main(void)
{
	RUN(test_module_sound_is_taken_apart);
	RUN(test_module_every_cut_is_refused);
	RUN(test_module_every_flipped_bit_is_refused);
	RUN(test_module_changed_payload_says_checksum);
	RUN(test_module_broken_header_is_refused_with_the_reason);
	RUN(test_module_broken_layout_is_refused_with_the_reason);
	RUN(test_module_broken_table_is_refused_with_the_reason);
	RUN(test_module_large_one_is_checked);
	return tap_done();
}
