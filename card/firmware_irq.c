/* SPDX-License-Identifier: MIT */
/*
 * Interrupts the firmware sends itself.
 */
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include <tethys/hw/irq.h>

#include "card/firmware.h"

/*
 * The host's flag for @number. The area is read anew each time: the host's driver fills it with
 * plain stores in no certain order, so there is no moment to latch it at.
 */
static void set_virtual_msi(struct card *card, unsigned int number)
{
	const uint64_t offset = 4ull * number;
	const uint32_t set = htole32(METIS_VMSI_SET);
	struct metis_host_driver hdrv;
	uint64_t target;
	int err;

	memcpy(&hdrv, (char *)card->firmware->l2 + FW_HOST_DRIVER_OFFSET, sizeof(hdrv));
	target = le64toh(hdrv.target);
	if (le32toh(hdrv.ctrl) != 1 || !target || target % sizeof(set) ||
	    le32toh(hdrv.size) < offset + sizeof(set) || target > UINT64_MAX - offset - sizeof(set))
		return;
	err = card_bus_write(card, target + offset, &set, sizeof(set));
	if (err)
		fw_log(card->firmware, "virtual MSI %u: write to 0x%" PRIx64 " failed: %s", number,
		       target + offset, strerrorname_np(-err));
}

void card_firmware_raise(struct card *card, unsigned int number)
{
	if (card->personality->host_driver)
		set_virtual_msi(card, number);
	card_msi(card, number);
}

bool card_firmware_dma_done(struct card *card, unsigned int number)
{
	if (!card->personality->dma_vm)
		return false;
	card_firmware_raise(card, number);
	return true;
}
