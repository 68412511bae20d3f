/* SPDX-License-Identifier: MIT */
/*
 * DMAR and IVRS tables of any bytes: the parsers end, keep within limits, and what they found makes
 * sense.
 */
#include <stdlib.h>
#include <string.h>

#include "doctor/model/machine.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void check(const struct machine_acpi *acpi, size_t bytes)
{
	/* The shortest block of either kind has 4 bytes. */
	if (acpi->units > bytes / 4 || acpi->range_count > bytes / 4)
		abort();
	for (size_t i = 0; i < acpi->range_count; i++) {
		const struct machine_firmware_range *range = &acpi->range[i];

		if (range->range.end < range->range.start || range->device_count > 8)
			abort();
		for (size_t j = 0; j < range->device_count; j++)
			if (range->device[j].slot > 31 || range->device[j].function > 7)
				abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct machine_acpi dmar = {0}, ivrs = {0};
	struct arena arena = {0};

	machine_parse_dmar(&dmar, &arena, data, bytes);
	check(&dmar, bytes);
	machine_parse_ivrs(&ivrs, &arena, data, bytes);
	check(&ivrs, bytes);
	/* No table is both. */
	if (!dmar.damaged && !ivrs.damaged)
		abort();
	arena_free(&arena);
	return 0;
}
