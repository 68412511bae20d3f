/* SPDX-License-Identifier: MIT */
/*
 * Interrupts the firmware sends itself, and those of others that it mirrors.
 */
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

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
	if (!card->personality->dma_vm)
		return false;
	card_firmware_raise(card, number, ticket);
	return true;
}

/* --- mirrored interrupts of channels --- */

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ull + now.tv_nsec;
}

void card_firmware_dma_told(struct card *card, unsigned int number,
			    const struct card_ticket *ticket)
{
	struct card_firmware *fw = card->firmware;
	struct fw_mirror *mirror = &fw->mirror;

	if (!mirror->started)
		return;
	pthread_mutex_lock(&fw->lock);
	/*
	 * A reset voids the channels' tickets before it comes to the firmware: one that is good here
	 * is of no reset, or of one that is still to make the firmware forget.
	 */
	if (!card_ticket_void(ticket) && !mirror->due_ns[number]) {
		mirror->due_ns[number] = now_ns() + FW_MIRROR_MS * 1000000ull;
		pthread_cond_signal(&mirror->wake);
	}
	pthread_mutex_unlock(&fw->lock);
}

/* Needs fw->lock. Return: false when no word is due, now or later. */
static bool mirror_next(const struct fw_mirror *mirror, unsigned int *ret_number)
{
	uint64_t first = UINT64_MAX;
	unsigned int n;

	for (n = 0; n < METIS_MSI_VECTORS; n++) {
		if (!mirror->due_ns[n] || mirror->due_ns[n] >= first)
			continue;
		first = mirror->due_ns[n];
		*ret_number = n;
	}
	return first != UINT64_MAX;
}

/* Needs fw->lock, which it drops while waiting. Return: false when the card goes. */
static bool mirror_wait(struct card_firmware *fw, unsigned int *ret_number)
{
	struct fw_mirror *mirror = &fw->mirror;

	while (!mirror->quit) {
		struct timespec until;
		uint64_t due;

		if (!mirror_next(mirror, ret_number)) {
			pthread_cond_wait(&mirror->wake, &fw->lock);
			continue;
		}
		due = mirror->due_ns[*ret_number];
		if (due <= now_ns())
			return true;
		until.tv_sec = due / 1000000000;
		until.tv_nsec = due % 1000000000;
		pthread_cond_clockwait(&mirror->wake, &fw->lock, CLOCK_MONOTONIC, &until);
	}
	return false;
}

static void *mirror_main(void *arg)
{
	struct card_firmware *fw = arg;
	struct fw_mirror *mirror = &fw->mirror;
	struct card_ticket ticket = {.word = &fw->resets};
	unsigned int number;

	pthread_mutex_lock(&fw->lock);
	while (mirror_wait(fw, &number)) {
		/* First, so that what is done from here on gets a word of its own. */
		mirror->due_ns[number] = 0;
		mirror->active = true;
		/* The firmware's own: the channels go before it does. */
		ticket.value = atomic_load(&fw->resets);
		pthread_mutex_unlock(&fw->lock);
		set_virtual_msi(fw->card, number, &ticket);
		pthread_mutex_lock(&fw->lock);
		mirror->active = false;
	}
	pthread_mutex_unlock(&fw->lock);
	return NULL;
}

int fw_mirror_start(struct card_firmware *fw)
{
	const struct card_personality *personality = fw->card->personality;
	struct fw_mirror *mirror = &fw->mirror;
	int err;

	if (!fw->card->config.mirror_dma || !personality->host_driver || personality->dma_vm)
		return 0;
	pthread_cond_init(&mirror->wake, NULL);
	err = card_thread_create(&mirror->thread, 0, mirror_main, fw);
	if (err)
		pthread_cond_destroy(&mirror->wake);
	mirror->started = !err;
	return err;
}

void fw_mirror_stop(struct card_firmware *fw)
{
	struct fw_mirror *mirror = &fw->mirror;

	if (!mirror->started)
		return;
	pthread_mutex_lock(&fw->lock);
	mirror->quit = true;
	pthread_cond_signal(&mirror->wake);
	pthread_mutex_unlock(&fw->lock);
	pthread_join(mirror->thread, NULL);
	pthread_cond_destroy(&mirror->wake);
	mirror->started = false;
}

void fw_mirror_forget(struct card_firmware *fw)
{
	memset(fw->mirror.due_ns, 0, sizeof(fw->mirror.due_ns));
}

bool fw_mirror_idle(const struct card_firmware *fw)
{
	unsigned int number;

	return !fw->mirror.active && !mirror_next(&fw->mirror, &number);
}
