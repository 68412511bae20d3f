/* SPDX-License-Identifier: MIT */
/* Configuration spaces made here, byte by byte. */
#include "doctor/model/machine.h"
#include "tests/tap.h"

static uint8_t space[4096];

static void put16(size_t at, uint16_t value)
{
	space[at] = (uint8_t)value;
	space[at + 1] = (uint8_t)(value >> 8);
}

static void put32(size_t at, uint32_t value)
{
	put16(at, (uint16_t)value);
	put16(at + 2, (uint16_t)(value >> 16));
}

/* An endpoint with PM, MSI of 32 vectors (4 on), Express, MSI-X, and four extended capabilities. */
static void make_space(void)
{
	memset(space, 0, sizeof(space));
	put32(0x00, 0x11001f9d);
	put16(0x04, 0x0406);
	put16(0x06, 0x0010);
	put32(0x08, 0x12000002);
	put32(0x10, 0x0000000c); /* 64 bits, prefetchable, no address */
	put32(0x18, 0xe0000000);
	space[0x34] = 0x40;
	put16(0x40, 0x5001);
	put16(0x44, 0x0003); /* D3hot */
	put16(0x50, 0x7005);
	put16(0x52, 0x01ab); /* on, 32 capable, 4 on, 64 bits, maskable */
	put32(0x54, 0xfee00718);
	put32(0x58, 1);
	put16(0x5c, 0x4021);
	put16(0x70, 0xb010);
	put32(0x74, 1u << 28);
	put32(0x7c, 0x104); /* 16 GT/s... */
	put16(0x82, 0x43);
	put16(0xb0, 0x0011);
	put16(0xb2, 0x801f);
	put32(0xb4, 0x2002);
	put32(0xb8, 0x3004);
	put32(0x100, 0x14020001);
	put32(0x104, 0x100000);
	put32(0x110, 0x2000);
	put32(0x140, 0x1500000d);
	put16(0x146, 0x1d);
	put32(0x150, 0x1600000f);
	put16(0x156, 0x8000);
	put32(0x160, 0x00010010);
	put16(0x170, 3);
}

static void parse(struct machine_device *device, size_t size)
{
	memset(device, 0, sizeof(*device));
	machine_parse_config(device, space, size);
}

static void test_config_endpoint_tells_all(void)
{
	struct machine_device device;

	make_space();
	parse(&device, sizeof(space));
	EXPECT_EQ(device.vendor, 0x1f9d);
	EXPECT_EQ(device.class_code, 0x120000);
	EXPECT_EQ(device.revision, 2);
	EXPECT(device.memory_enabled && device.bus_master && !device.is_bridge);
	EXPECT_EQ(device.pm_state, 3);
	EXPECT(device.msi.present && device.msi.enabled && device.msi.is_64bit &&
	       device.msi.maskable);
	EXPECT_EQ(device.msi.capable, 32);
	EXPECT_EQ(device.msi.vectors, 4);
	EXPECT_EQ(device.msi.address, 0x1fee00718);
	EXPECT_EQ(device.msi.data, 0x4021);
	EXPECT(device.has_express && device.has_flr);
	EXPECT_EQ(device.link_speed_max, 4);
	EXPECT_EQ(device.link_width_max, 16);
	EXPECT_EQ(device.link_speed, 3);
	EXPECT_EQ(device.link_width, 4);
	EXPECT(device.msix.present && device.msix.enabled);
	EXPECT_EQ(device.msix.vectors, 32);
	EXPECT_EQ(device.msix.table_bar, 2);
	EXPECT_EQ(device.msix.table_offset, 0x2000);
	EXPECT_EQ(device.msix.pba_bar, 4);
	EXPECT_EQ(device.aer_uncorrectable, 0x100000);
	EXPECT_EQ(device.aer_correctable, 0x2000);
	EXPECT(device.has_acs && device.has_ats && device.ats_on);
	EXPECT_EQ(device.acs_control, 0x1d);
	EXPECT_EQ(device.sriov_numvfs, 3);
	EXPECT(device.bar[0].unassigned && !device.bar[1].unassigned && !device.bar[2].unassigned);
	EXPECT_EQ(device.bar[2].start, 0xe0000000);
	EXPECT(!device.config_short && !device.config_malformed && !device.gone);
}

static void test_config_all_ones_is_gone(void)
{
	struct machine_device device;

	memset(space, 0xff, sizeof(space));
	parse(&device, sizeof(space));
	EXPECT(device.gone && !device.msi.present && !device.config_malformed);
	/* A virtual function's identity reads all ones; the rest doesn't. */
	make_space();
	put32(0, UINT32_MAX);
	parse(&device, sizeof(space));
	EXPECT(!device.gone && device.msi.present);
}

static void test_config_of_ordinary_user_is_short(void)
{
	struct machine_device device;

	make_space();
	parse(&device, 64);
	EXPECT(device.config_short && !device.config_malformed && !device.msi.present);
	EXPECT_EQ(device.device, 0x1100);
	/* Conventional devices have 256 bytes, and nothing is lacking. */
	parse(&device, 256);
	EXPECT(!device.config_short && device.msi.present && !device.has_acs);
	parse(&device, 10);
	EXPECT(device.config_short);
}

static void test_config_lists_that_loop_or_leave_end(void)
{
	struct machine_device device;

	make_space();
	space[0x71] = 0x40; /* Express -> PM */
	parse(&device, sizeof(space));
	EXPECT(device.config_malformed && device.msi.present && device.has_acs);
	make_space();
	space[0x71] = 0x10;
	parse(&device, sizeof(space));
	EXPECT(device.config_malformed);
	make_space();
	space[0x41] = 0xfc; /* an MSI that doesn't fit */
	put16(0xfc, 0x0005);
	parse(&device, sizeof(space));
	EXPECT(device.config_malformed && !device.msi.present);
	make_space();
	put32(0x160, 0x10010010); /* SR-IOV -> AER */
	parse(&device, sizeof(space));
	EXPECT(device.config_malformed && device.sriov_numvfs == 3);
	make_space();
	put32(0x100, 0xffc20001);
	put32(0xffc, 0x00000010);
	parse(&device, sizeof(space));
	EXPECT(device.config_malformed && device.aer_correctable == 0x2000);
	make_space();
	put32(0x100, 0x04020001); /* back into the conventional half */
	parse(&device, sizeof(space));
	EXPECT(device.config_malformed);
}

static void test_config_every_length_is_safe(void)
{
	struct machine_device device;

	make_space();
	for (size_t size = 0; size <= sizeof(space); size++) {
		uint8_t *copy = malloc(size ? size : 1);

		ASSERT(copy);
		memcpy(copy, space, size);
		memset(&device, 0, sizeof(device));
		machine_parse_config(&device, copy, size);
		EXPECT(!device.config_malformed);
		free(copy);
	}
}

static void test_config_bridge_has_two_bars(void)
{
	struct machine_device device;

	make_space();
	space[0x0e] = 0x81;
	put32(0x10, 0);
	put32(0x18, 0x00020100); /* bus numbers, not a BAR */
	parse(&device, sizeof(space));
	EXPECT(device.is_bridge);
	EXPECT_EQ(device.header_type, 1);
	EXPECT(!device.bar[2].start && !device.bar[2].unassigned);
}

int main(void)
{
	RUN(test_config_endpoint_tells_all);
	RUN(test_config_all_ones_is_gone);
	RUN(test_config_of_ordinary_user_is_short);
	RUN(test_config_lists_that_loop_or_leave_end);
	RUN(test_config_every_length_is_safe);
	RUN(test_config_bridge_has_two_bars);
	return tap_done();
}
