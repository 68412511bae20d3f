/* SPDX-License-Identifier: MIT */
#include "doctor/model/machine.h"
#include "tests/tap.h"

static struct arena arena;

struct table {
	uint8_t byte[1024];
	size_t size;
};

static void put(struct table *table, uint64_t value, int bytes)
{
	for (; bytes; bytes--, value >>= 8)
		table->byte[table->size++] = (uint8_t)value;
}

static void begin(struct table *table, const char *signature)
{
	memset(table, 0, sizeof(*table));
	memcpy(table->byte, signature, 4);
	table->size = 36;
}

static void end(struct table *table)
{
	table->byte[4] = (uint8_t)table->size;
	table->byte[5] = (uint8_t)(table->size >> 8);
}

static void make_dmar(struct table *table)
{
	begin(table, "DMAR");
	put(table, 45, 1); /* 46 bits */
	put(table, 5, 1);
	table->size = 48;
	put(table, 0, 2); /* DRHD */
	put(table, 16, 2);
	put(table, 1, 4);
	put(table, 0xfed90000, 8);
	put(table, 1, 2); /* RMRR with an endpoint, and one behind a bridge */
	put(table, 24 + 8 + 10, 2);
	put(table, 0, 2);
	put(table, 3, 2);
	put(table, 0x7b800000, 8);
	put(table, 0x7fffffff, 8);
	put(table, 0x0801, 2);
	put(table, 0, 2);
	put(table, 0x0200, 2);
	put(table, 0x0114, 2);
	put(table, 0x0a01, 2);
	put(table, 0, 2);
	put(table, 0x0000, 2);
	put(table, 0x0001001c, 4);
	put(table, 2, 2); /* ATSR */
	put(table, 8, 2);
	put(table, 0, 4);
	end(table);
}

static void test_acpi_dmar_units_flags_and_ranges(void)
{
	struct machine_acpi acpi = {0};
	struct table table;
	char text[BDF_TEXT_BYTES];

	make_dmar(&table);
	machine_parse_dmar(&acpi, &arena, table.byte, table.size);
	EXPECT(!acpi.damaged);
	EXPECT_EQ(acpi.address_width, 46);
	EXPECT(acpi.interrupt_remapping && !acpi.x2apic_opt_out && acpi.preboot_protection);
	EXPECT_EQ(acpi.units, 1);
	ASSERT_EQ(acpi.range_count, 1);
	EXPECT_EQ(acpi.range[0].range.start, 0x7b800000);
	EXPECT_EQ(acpi.range[0].range.end, 0x7fffffff);
	ASSERT_EQ(acpi.range[0].device_count, 1);
	EXPECT_STR(bdf_text(acpi.range[0].device[0], text), "0003:02:14.1");
}

static void test_acpi_dmar_cut_short_keeps_what_came_before(void)
{
	struct table table;

	make_dmar(&table);
	for (size_t size = 0; size < table.size; size++) {
		struct machine_acpi acpi = {0};
		uint8_t *copy = malloc(size ? size : 1);

		ASSERT(copy);
		memcpy(copy, table.byte, size);
		machine_parse_dmar(&acpi, &arena, copy, size);
		EXPECT(acpi.damaged);
		EXPECT_EQ(acpi.units, size >= 64);
		EXPECT_EQ(acpi.range_count, size >= 64 + 42);
		free(copy);
	}
}

static void test_acpi_dmar_of_zeros_and_nonsense_end(void)
{
	struct machine_acpi acpi = {0};
	struct table table;

	make_dmar(&table);
	memset(table.byte + 64, 0, 20);
	machine_parse_dmar(&acpi, &arena, table.byte, table.size);
	EXPECT(acpi.damaged);
	EXPECT_EQ(acpi.units, 1);
	make_dmar(&table);
	/* An end before the start. */
	memset(table.byte + 64 + 16, 0, 8);
	acpi = (struct machine_acpi){0};
	machine_parse_dmar(&acpi, &arena, table.byte, table.size);
	EXPECT(acpi.damaged);
	EXPECT_EQ(acpi.range_count, 0);
	acpi = (struct machine_acpi){0};
	machine_parse_ivrs(&acpi, &arena, table.byte, table.size);
	EXPECT(acpi.damaged && !acpi.units);
}

static void put_ivhd(struct table *table, int type, int id)
{
	put(table, (uint64_t)type, 2);
	put(table, 24, 2);
	put(table, (uint64_t)id, 2);
	put(table, 0x40, 2);
	put(table, 0xfeb80000, 8);
	put(table, 0, 8);
}

static void put_ivmd(struct table *table, int type, int first, int last, uint64_t start)
{
	put(table, (uint64_t)type, 1);
	put(table, 1, 1);
	put(table, 32, 2);
	put(table, (uint64_t)first, 2);
	put(table, (uint64_t)last, 2);
	put(table, 0, 8);
	put(table, start, 8);
	put(table, 0x10000, 8);
}

static void test_acpi_ivrs_units_once_and_ranges(void)
{
	struct machine_acpi acpi = {0};
	struct table table;
	char text[BDF_TEXT_BYTES];

	begin(&table, "IVRS");
	put(&table, 48 << 8 | 2, 4);
	table.size = 48;
	put_ivhd(&table, 0x10, 0x0002);
	put_ivhd(&table, 0x11, 0x0002);
	put_ivhd(&table, 0x40, 0x0002);
	put_ivhd(&table, 0x11, 0x2002);
	put_ivmd(&table, 0x20, 0, 0, 0x1000000);
	put_ivmd(&table, 0x21, 0x0310, 0, 0x2000000);
	put_ivmd(&table, 0x22, 0x0400, 0x0402, 0x3000000);
	end(&table);
	machine_parse_ivrs(&acpi, &arena, table.byte, table.size);
	EXPECT(!acpi.damaged && acpi.preboot_protection);
	EXPECT_EQ(acpi.address_width, 48);
	EXPECT_EQ(acpi.units, 2);
	ASSERT_EQ(acpi.range_count, 3);
	EXPECT(acpi.range[0].all_devices && !acpi.range[1].all_devices);
	EXPECT_EQ(acpi.range[0].range.end, 0x100ffff);
	ASSERT_EQ(acpi.range[1].device_count, 1);
	EXPECT_STR(bdf_text(acpi.range[1].device[0], text), "0000:03:02.0");
	EXPECT_EQ(acpi.range[2].device_count, 3);
	acpi = (struct machine_acpi){0};
	machine_parse_ivrs(&acpi, &arena, table.byte, table.size - 5);
	EXPECT(acpi.damaged);
	EXPECT_EQ(acpi.range_count, 2);
}

static void test_acpi_read_tells_absence_from_ignorance(void)
{
	struct snapshot snapshot;
	struct machine machine = {0};
	struct table table;

	snapshot_init(&snapshot);
	machine_read_acpi(&machine, &snapshot);
	EXPECT_EQ(machine.acpi.dmar, UNKNOWN);
	store_add(&snapshot.store, STORE_DIR, "/sys/firmware/acpi/tables", "", 0, false);
	machine_read_acpi(&machine, &snapshot);
	EXPECT_EQ(machine.acpi.dmar, NO);
	make_dmar(&table);
	store_add(&snapshot.store, STORE_FILE, "/sys/firmware/acpi/tables/DMAR", table.byte,
		  table.size - 3, true);
	machine_read_acpi(&machine, &snapshot);
	EXPECT_EQ(machine.acpi.dmar, YES);
	EXPECT_EQ(machine.acpi.ivrs, NO);
	EXPECT(machine.acpi.damaged && machine.acpi.units == 1);
	EXPECT_EQ(snapshot.note_count, 1);
	snapshot_deinit(&snapshot);
}

int main(void)
{
	RUN(test_acpi_dmar_units_flags_and_ranges);
	RUN(test_acpi_dmar_cut_short_keeps_what_came_before);
	RUN(test_acpi_dmar_of_zeros_and_nonsense_end);
	RUN(test_acpi_ivrs_units_once_and_ranges);
	RUN(test_acpi_read_tells_absence_from_ignorance);
	arena_free(&arena);
	return tap_done();
}
