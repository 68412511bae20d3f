/* SPDX-License-Identifier: MIT */
/* REGION_READ, REGION_WRITE, REGION_WRITE_MULTI, RESET. */
#include <errno.h>
#include <linux/pci_regs.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <tethys/hw/edma.h>
#include <tethys/hw/pci.h>

#include "card/transport/tests/raw_client.h"
#include "tests/tap.h"

#define CONFIG VFIO_USER_REGION_CONFIG
#define L2_FREE 0x100000u /* offset in BAR2 nobody uses */

static struct raw raw;

static void test_region_config_reads_in_any_size(void)
{
	uint8_t whole[METIS_PCI_CFG_BYTES], part[8];
	uint32_t at, len;

	ASSERT(raw_open(&raw, NULL, RAW_NO_TWIN));
	EXPECT_EQ(raw_read(&raw, CONFIG, 0, whole, sizeof(whole)), 0);
	EXPECT_EQ(whole[0] | whole[1] << 8, METIS_PCI_VENDOR);
	EXPECT_EQ(whole[2] | whole[3] << 8, METIS_PCI_DEVICE_OMEGA);
	for (len = 1; len <= 4; len *= 2)
		for (at = 0; at + len <= 256; at++)
			if (raw_read(&raw, CONFIG, at, part, len) || memcmp(part, whole + at, len))
				TAP_FAIL("%u bytes at 0x%x", len, at);
	raw_stop(&raw);
}

static void test_region_config_writes_to_fixed_fields_succeed(void)
{
	ASSERT(raw_open(&raw, NULL, RAW_NO_TWIN));
	EXPECT_EQ(raw_write(&raw, CONFIG, PCI_VENDOR_ID, "\xff\xff\xff\xff", 4), 0);
	EXPECT_EQ(raw_get32(&raw, CONFIG, PCI_VENDOR_ID),
		  METIS_PCI_DEVICE_OMEGA << 16 | METIS_PCI_VENDOR);
	raw_put32(&raw, CONFIG, PCI_ROM_ADDRESS, 0xfffff800); /* as QEMU probes for a ROM */
	EXPECT_EQ(raw_get32(&raw, CONFIG, PCI_ROM_ADDRESS), 0);
	raw_stop(&raw);
}

static void test_region_accesses_that_leave_are_refused(void)
{
	static const struct {
		unsigned int region;
		uint64_t offset;
		uint32_t len;
	} bad[] = {
		{CONFIG, METIS_PCI_CFG_BYTES, 1},
		{CONFIG, METIS_PCI_CFG_BYTES - 3, 4},
		{CONFIG, UINT64_MAX, 1},
		{CONFIG, UINT64_MAX - 3, 4},
		{CONFIG, 0, 0},
		{METIS_BAR_EDMA, METIS_BAR_EDMA_BYTES, 4},
		{METIS_BAR_L2, METIS_BAR_L2_BYTES - 4, 8},
		{METIS_BAR_L2, 1ull << 63, 4},
		{1, 0, 4},
		{VFIO_USER_REGION_ROM, 0, 4},
		{VFIO_USER_REGION_VGA, 0, 4},
		{9, 0, 4},
		{UINT32_MAX, 0, 4},
	};
	uint8_t buf[8] = {0};
	size_t i;

	ASSERT(raw_open(&raw, NULL, RAW_NO_TWIN));
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (raw_read(&raw, bad[i].region, bad[i].offset, buf, bad[i].len) != EINVAL)
			TAP_FAIL("read %zu", i);
		if (raw_write(&raw, bad[i].region, bad[i].offset, buf, bad[i].len) != EINVAL)
			TAP_FAIL("write %zu", i);
	}
	raw_stop(&raw);
}

static void test_region_read_larger_than_a_message_is_refused(void)
{
	struct vfio_user_region_access access = {.region = METIS_BAR_L2,
						 .count = VFIO_USER_MAX_DATA};

	ASSERT(raw_open(&raw, NULL, RAW_NO_TWIN));
	EXPECT_EQ(raw_call(&raw, VFIO_USER_REGION_READ, &access, sizeof(access)), 0);
	EXPECT_EQ(raw.header.size, 32 + VFIO_USER_MAX_DATA);
	access.count++;
	EXPECT_EQ(raw_call(&raw, VFIO_USER_REGION_READ, &access, sizeof(access)), EINVAL);
	access.count = UINT32_MAX;
	EXPECT_EQ(raw_call(&raw, VFIO_USER_REGION_READ, &access, sizeof(access)), EINVAL);
	raw_stop(&raw);
}

/* A REGION_WRITE that says @count and has @len bytes of data. */
static int write_of(uint32_t count, size_t len, uint32_t flags)
{
	static uint8_t body[sizeof(struct vfio_user_region_access) + 64];
	struct vfio_user_region_access *access = (void *)body;

	*access = (struct vfio_user_region_access){
		.region = METIS_BAR_L2, .offset = L2_FREE, .count = count};
	memset(access->data, (int)len, len);
	if (flags)
		return raw_send(&raw, VFIO_USER_REGION_WRITE, flags, body, sizeof(*access) + len,
				NULL, 0);
	return raw_call(&raw, VFIO_USER_REGION_WRITE, body, sizeof(*access) + len);
}

static void test_region_write_must_have_the_bytes_it_names(void)
{
	const struct vfio_user_region_access *echo = (const void *)raw.body;

	ASSERT(raw_open(&raw, NULL, RAW_NO_TWIN));
	EXPECT_EQ(write_of(7, 8, 0), EINVAL);
	EXPECT_EQ(write_of(9, 8, 0), EINVAL);
	EXPECT_EQ(write_of(UINT32_MAX, 8, 0), EINVAL);
	EXPECT_EQ(write_of(0, 8, 0), EINVAL);
	EXPECT_EQ(write_of(8, 8, 0), 0);
	EXPECT_EQ(raw.header.size, 32);
	EXPECT_EQ(echo->region, METIS_BAR_L2);
	EXPECT_EQ(echo->offset, L2_FREE);
	EXPECT_EQ(echo->count, 8);
	raw_stop(&raw);
}

static void test_region_l2_keeps_writes_of_each_width(void)
{
	uint8_t in[8] = {1, 2, 3, 4, 5, 6, 7, 8}, out[8];
	uint32_t len;

	ASSERT(raw_open(&raw, NULL, RAW_NO_TWIN));
	for (len = 1; len <= 8; len *= 2) {
		in[0]++;
		EXPECT_EQ(raw_write(&raw, METIS_BAR_L2, L2_FREE, in, len), 0);
		EXPECT_EQ(raw_read(&raw, METIS_BAR_L2, L2_FREE, out, len), 0);
		EXPECT(!memcmp(in, out, len));
	}
	raw_stop(&raw);
}

static void test_region_read_sees_all_posted_writes_before(void)
{
	unsigned int i;

	ASSERT(raw_open(&raw, NULL, RAW_NO_TWIN));
	for (i = 0; i < 5000; i++)
		if (write_of(1 + i % 7, 1 + i % 7, VFIO_USER_NO_REPLY) < 0)
			TAP_FAIL("write %u", i);
	EXPECT(write_of(4, 4, VFIO_USER_NO_REPLY) >= 0);
	EXPECT_EQ(raw_get32(&raw, METIS_BAR_L2, L2_FREE), 0x04040404);
	raw_stop(&raw);
}

/* A WRITE_MULTI that says @count and has @records of them, of @bytes each. */
static int write_multi(uint64_t count, size_t records, uint32_t bytes, size_t extra)
{
	static uint8_t body[sizeof(struct vfio_user_write_multi) +
			    300 * sizeof(struct vfio_user_write_record)];
	struct vfio_user_write_multi *multi = (void *)body;
	size_t i;

	memset(body, 0, sizeof(body));
	multi->count = count;
	for (i = 0; i < records; i++) {
		multi->records[i] = (struct vfio_user_write_record){
			.offset = L2_FREE + 8 * i, .region = METIS_BAR_L2, .count = bytes};
		memcpy(multi->records[i].data, &i, sizeof(i));
	}
	return raw_call(&raw, VFIO_USER_REGION_WRITE_MULTI, body,
			sizeof(*multi) + records * sizeof(multi->records[0]) + extra);
}

static void test_region_write_multi_stores_all(void)
{
	uint32_t i;

	ASSERT(raw_open(&raw, NULL, RAW_NO_TWIN));
	EXPECT_EQ(write_multi(1, 1, 8, 0), 0);
	EXPECT_EQ(raw.header.size, 24);
	EXPECT_EQ(write_multi(VFIO_USER_MAX_WRITES, VFIO_USER_MAX_WRITES, 4, 0), 0);
	for (i = 0; i < VFIO_USER_MAX_WRITES; i++)
		EXPECT_EQ(raw_get32(&raw, METIS_BAR_L2, L2_FREE + 8 * i), i);
	raw_stop(&raw);
}

static void test_region_write_multi_with_bad_counts_is_refused(void)
{
	ASSERT(raw_open(&raw, NULL, RAW_NO_TWIN));
	EXPECT_EQ(write_multi(0, 0, 8, 0), EINVAL);
	EXPECT_EQ(write_multi(0, 1, 8, 0), EINVAL);
	EXPECT_EQ(write_multi(2, 1, 8, 0), EINVAL);
	EXPECT_EQ(write_multi(1, 2, 8, 0), EINVAL);
	EXPECT_EQ(write_multi(1, 1, 8, 1), EINVAL);
	EXPECT_EQ(write_multi(1, 1, 0, 0), EINVAL);
	EXPECT_EQ(write_multi(1, 1, 9, 0), EINVAL);
	EXPECT_EQ(write_multi(1, 1, UINT32_MAX, 0), EINVAL);
	/* 24 * count wraps to 24 */
	EXPECT_EQ(write_multi((UINT64_MAX / 24 + 1) * 1 + 1, 1, 8, 0), EINVAL);
	EXPECT_EQ(raw_get32(&raw, METIS_BAR_L2, L2_FREE), 0);
	raw_stop(&raw);
}

static void expect_reset_by(void (*reset)(void), uint64_t count_before)
{
	struct card_stats stats;

	raw_enable(&raw);
	raw_put32(&raw, METIS_BAR_EDMA, METIS_EDMA_WR_CH(0) + METIS_EDMA_CH_SIZE, 1234);
	reset();
	EXPECT_EQ(raw_get32(&raw, CONFIG, PCI_COMMAND) & PCI_COMMAND_MASTER, 0);
	EXPECT_EQ(raw_get32(&raw, METIS_BAR_EDMA, METIS_EDMA_WR_CH(0) + METIS_EDMA_CH_SIZE), 0);
	card_stats(raw.card, &stats);
	EXPECT_EQ(stats.resets, count_before + 1);
}

static void reset_by_command(void)
{
	EXPECT_EQ(raw_call(&raw, VFIO_USER_DEVICE_RESET, NULL, 0), 0);
	EXPECT_EQ(raw.header.size, 16);
}

static void reset_by_flr(void)
{
	const uint16_t control = PCI_EXP_DEVCTL_BCR_FLR;

	EXPECT_EQ(raw_write(&raw, CONFIG, METIS_CAP_EXP + PCI_EXP_DEVCTL, &control, 2), 0);
}

static void test_region_resets_clear_registers(void)
{
	struct card_stats stats;

	ASSERT(raw_open(&raw, NULL, RAW_NO_TWIN));
	card_stats(raw.card, &stats);
	expect_reset_by(reset_by_command, stats.resets);
	expect_reset_by(reset_by_flr, stats.resets + 1);
	raw_stop(&raw);
}

static void test_region_next_client_finds_card_as_new(void)
{
	ASSERT(raw_open(&raw, NULL, RAW_NO_TWIN));
	raw_enable(&raw);
	raw_put32(&raw, METIS_BAR_L2, L2_FREE, 0x5ec2e700);
	EXPECT(raw_reconnect(&raw, RAW_NO_TWIN));
	EXPECT_EQ(raw_get32(&raw, METIS_BAR_L2, L2_FREE), 0);
	EXPECT_EQ(raw_get32(&raw, CONFIG, PCI_COMMAND) & 0xffff, 0);
	raw_stop(&raw);
}

int main(void)
{
	RUN(test_region_config_reads_in_any_size);
	RUN(test_region_config_writes_to_fixed_fields_succeed);
	RUN(test_region_accesses_that_leave_are_refused);
	RUN(test_region_read_larger_than_a_message_is_refused);
	RUN(test_region_write_must_have_the_bytes_it_names);
	RUN(test_region_l2_keeps_writes_of_each_width);
	RUN(test_region_read_sees_all_posted_writes_before);
	RUN(test_region_write_multi_stores_all);
	RUN(test_region_write_multi_with_bad_counts_is_refused);
	RUN(test_region_resets_clear_registers);
	RUN(test_region_next_client_finds_card_as_new);
	return tap_done();
}
