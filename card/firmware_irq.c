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
 * The area is read anew each time: the host's driver fills it with plain stores in no certain
 * order, so there is no good moment to latch it at. A firmware with latch_target does, at its first
 * use: then whatever a later owner stores there, and every reset but that by power, comes too late.
 */
static bool host_driver_area(struct card *card, const struct card_ticket *ticket,
			     struct metis_host_driver *ret_hdrv)
{
	struct card_firmware *fw = card->firmware;
	bool sound;

	/* Under the lock of resets: what one has put an end to must latch nothing after it. */
	pthread_mutex_lock(&fw->lock);
	memcpy(ret_hdrv, (char *)fw->l2 + FW_HOST_DRIVER_OFFSET, sizeof(*ret_hdrv));
	if (fw->latched.ctrl)
		*ret_hdrv = fw->latched;
	sound = le32toh(ret_hdrv->ctrl) == 1 && ret_hdrv->target;
	if (sound && card->config.latch_target && !card_ticket_void(ticket))
		fw->latched = *ret_hdrv;
	pthread_mutex_unlock(&fw->lock);
	return sound;
}

/* The host's flag for @number. */
static void set_virtual_msi(struct card *card, unsigned int number,
			    const struct card_ticket *ticket)
{
	const uint64_t offset = 4ull * number;
	uint32_t set = htole32(METIS_VMSI_SET);
	struct metis_host_driver hdrv;
	uint64_t target;
	int err;

	if (!host_driver_area(card, ticket, &hdrv))
		return;
	target = le64toh(hdrv.target);
	if (target % sizeof(set) || le32toh(hdrv.size) < offset + sizeof(set) ||
	    target > UINT64_MAX - offset - sizeof(set))
		return;
	err = card_bus_copy(card, true, target + offset, &set, sizeof(set), ticket, NULL);
	if (!err)
		return;
	/* Under the lock that resets take: the next owner must not read of this one's addresses. */
	pthread_mutex_lock(&card->firmware->lock);
	if (!card_ticket_void(ticket))
		fw_log(card->firmware, "virtual MSI %u: write to 0x%" PRIx64 " failed: %s", number,
		       target + offset, strerrorname_np(-err));
	pthread_mutex_unlock(&card->firmware->lock);
}

void card_firmware_raise(struct card *card, unsigned int number, const struct card_ticket *ticket)
{
	if (card->personality->host_driver)
		set_virtual_msi(card, number, ticket);
	card_msi_ticket(card, number, ticket);
}

bool card_firmware_dma_done(struct card *card, unsigned int number,
			    const struct card_ticket *ticket)
{
	if (card->personality->dma_vm) {
		card_firmware_raise(card, number, ticket);
		return true;
	}
	if (card->config.mirror_dma && card->personality->host_driver)
		set_virtual_msi(card, number, ticket);
	return false;
}
