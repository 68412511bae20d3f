/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>

#include "card/firmware.h"
#include "card/tests/firmware_host.h"

/* --- boot --- */

static void test_boot_sysctl_follows_the_personality(void)
{
	static const struct {
		const char *name;
		uint16_t header, host_driver, list, datastream;
		uint32_t dma_vm;
		uint8_t minor;
	} want[] = {
		{"1.3.2", 0, 0, 0, 0, 0, 3},
		{"1.6.0", METIS_MAGIC_HEADER, METIS_MAGIC_HOST_DRIVER, METIS_MAGIC_DMA_LIST,
		 METIS_MAGIC_DATASTREAM, 0, 6},
		{"1.8.0", METIS_MAGIC_HEADER, METIS_MAGIC_HOST_DRIVER, METIS_MAGIC_DMA_LIST,
		 METIS_MAGIC_DATASTREAM, METIS_DMA_VM_MAGIC, 8},
	};
	size_t i;

	for (i = 0; i < 3; i++) {
		struct metis_sysctl *s;
		struct host host;

		ASSERT(up(&host, want[i].name, "null"));
		s = sysctl(&host);
		EXPECT_EQ(s->header.magic, want[i].header);
		EXPECT_EQ(s->header.base, want[i].header ? METIS_L2_BASE : 0);
		EXPECT_EQ(s->host_driver.magic, want[i].host_driver);
		EXPECT_EQ(s->dma_list.magic, want[i].list);
		EXPECT_EQ(s->datastream.magic, want[i].datastream);
		EXPECT_EQ(s->dma_vm, want[i].dma_vm);
		EXPECT_EQ(s->vmsi_config.magic, 0);
		EXPECT_EQ(s->version_major, 1);
		EXPECT_EQ(s->version_minor, want[i].minor);
		EXPECT_EQ(s->memory_map[0], METIS_L2_BASE);
		EXPECT_EQ(s->memory_map[1], METIS_DDR_BASE);
		EXPECT_STR(ext(&host)->personality, want[i].name);
		EXPECT_STR(((struct metis_board *)area(&host, &s->board))->firmware_version,
			   want[i].name);
		host_down(&host);
	}
}

static void test_boot_areas_hold_what_drivers_look_for(void)
{
	struct metis_datastream_area *streams;
	struct metis_dma_list_area *lists;
	struct metis_sysctl *s;
	struct host host;
	int i;

	ASSERT(up(&host, "1.6.0", "null"));
	s = sysctl(&host);
	lists = area(&host, &s->dma_list);
	streams = area(&host, &s->datastream);
	EXPECT_EQ(lists->base, METIS_EDMA_LISTS_BASE);
	EXPECT_EQ(lists->bytes, METIS_EDMA_LISTS_BYTES);
	EXPECT_EQ(s->datastream.size, sizeof(*streams));
	EXPECT_EQ(streams->count, 0);
	for (i = 0; i < 256; i++)
		EXPECT_EQ(streams->index[i], 0xff);
	EXPECT_STR(((struct metis_board *)area(&host, &s->board))->controller_version, "7.4");
	EXPECT_EQ(ext(&host)->magic, METIS_FW_EXT_MAGIC);
	EXPECT_EQ(ext(&host)->mailbox_offset, METIS_FW_MAILBOX_OFFSET(0));
	EXPECT_EQ(ext(&host)->boots, 1);
	EXPECT_STR(ext(&host)->engine, "null");
	expect_log(&host, "boot 1: Tethys firmware 1.6.0, engine null");
	host_down(&host);
}

static void test_boot_contexts_share_the_memory_without_overlap(void)
{
	uint64_t l2_end = METIS_L2_BASE + METIS_FW_L2_FREE_OFFSET, ddr_end = METIS_DDR_BASE;
	struct host host;
	unsigned int n;

	ASSERT(up(&host, "1.8.0", "null"));
	for (n = 0; n < METIS_CORES; n++) {
		const struct metis_context *c = context(&host, n);

		EXPECT_EQ(c->core_mask, 1 << n);
		EXPECT_EQ(c->msi, n);
		EXPECT(c->l2_base >= l2_end && c->ddr_base >= ddr_end);
		EXPECT(c->l2_bytes >= 4 << 20 && c->ddr_bytes == METIS_DDR_BYTES / 4);
		l2_end = c->l2_base + c->l2_bytes;
		ddr_end = c->ddr_base + c->ddr_bytes;
	}
	EXPECT(l2_end <= METIS_EDMA_LISTS_BASE);
	EXPECT_EQ(ddr_end, METIS_DDR_BASE + METIS_DDR_BYTES);
	host_down(&host);
}

static void test_boot_unknown_engine_is_refused(void)
{
	struct reason why = {0};
	struct card *card;

	EXPECT_EQ(card_create(&(struct card_config){.engine = "steam"}, &card, &why), -EINVAL);
	EXPECT_HAS(why.text, "no engine \"steam\"");
}

/* --- resets --- */

/* Do all commands that resets have cut off belong to the past? */
static bool nobody_left_behind(struct host *host, uint64_t arg)
{
	struct card_firmware *fw = host->card->firmware;
	bool nobody = true;
	struct fw_worker *worker;

	(void)arg;
	pthread_mutex_lock(&fw->lock);
	for (worker = fw->retired; worker; worker = worker->next)
		nobody = nobody && worker->left;
	pthread_mutex_unlock(&fw->lock);
	return nobody;
}

static void reset_by_kind(struct host *host, enum card_reset kind)
{
	if (kind == CARD_RESET_FLR)
		host_cfg_set(host, METIS_CAP_EXP + PCI_EXP_DEVCTL, PCI_EXP_DEVCTL_BCR_FLR, 2);
	else
		card_reset(host->card, kind);
}

static void reset_while_running(const struct tiny_network *net, enum card_reset kind)
{
	struct host host;
	uint64_t begin, took, over;
	uint32_t handle, total;

	ASSERT(up(&host, "1.8.0", "onnx"));
	handle = start_slow(&host, 0, net);
	host_sleep_us(30000);
	total = host.msi_total;
	begin = host_now_ms();
	reset_by_kind(&host, kind);
	took = host_now_ms() - begin;
	printf("# reset in mid-run within %u ms\n", (unsigned int)took);
	EXPECT(took < 40); /* of a busy machine; it waits for nothing */
	EXPECT_EQ(sts_of(&host, 0), 0);
	EXPECT(card_idle(host.card));
	if (kind != CARD_RESET_COLD)
		expect_log(&host, "context 0: command cut off by a reset");
	EXPECT_EQ(ext(&host)->boots, kind == CARD_RESET_COLD ? 1 : 2);
	host_bus_master(&host, true);
	host_enable_msi(&host, 5, 0);
	prepare_run(&host, 0, net, handle);
	EXPECT_EQ(finish(&host, 0), METIS_FW_NO_MODULE);
	expect_works(&host, 0);
	EXPECT(host_wait(host_is_idle, &host, 0));
	over = sts_of(&host, 0);
	EXPECT(host_wait(nobody_left_behind, &host, 0));
	EXPECT_EQ(sts_of(&host, 0), over);
	EXPECT_EQ(host.msi_total, total + 4); /* and none of the run that was cut off */
	host_down(&host);
}

static void test_reset_of_a_running_card_leaves_it_clean(void)
{
	reset_while_running(&slow_net, CARD_RESET_FLR);
	reset_while_running(&slow_net, CARD_RESET_BUS);
	reset_while_running(&slow_net, CARD_RESET_COLD);
}

static void test_reset_goes_on_without_a_deaf_engine(void)
{
	reset_while_running(&deaf_net, CARD_RESET_FLR);
}

static void test_detach_while_running_and_a_new_owner(void)
{
	struct card_bus bus;
	struct host host;

	ASSERT(up(&host, "1.8.0", "onnx"));
	start_slow(&host, 0, &slow_net);
	start_slow(&host, 1, &slow_net);
	card_detach(host.card);
	EXPECT_EQ(sts_of(&host, 0), 0);
	bus = host_bus(&host);
	EXPECT_EQ(card_attach(host.card, &bus), 0);
	host_bus_master(&host, true);
	host_enable_msi(&host, 5, 0);
	expect_works(&host, 0);
	expect_works(&host, 1);
	host_down(&host);
}

/* It is inside one long operator when its owner goes, and ends with the next one there. */
static void test_detach_keeps_a_deaf_engine_out_of_the_next_owners_memory(void)
{
	const uint64_t bytes = product_bytes(&deaf_net.outputs[0]);
	struct card_bus bus;
	struct host host;
	uint8_t *output;
	uint64_t i, wrong = 0;

	ASSERT(up(&host, "1.8.0", "onnx"));
	start_slow(&host, 0, &deaf_net);
	host_sleep_us(30000);
	card_detach(host.card);
	EXPECT(!nobody_left_behind(&host, 0));
	bus = host_bus(&host);
	EXPECT_EQ(card_attach(host.card, &bus), 0);
	output = card_mem(&host, TENSOR_ADDR(0, 1), bytes);
	memset(output, 0x5a, bytes);
	EXPECT(host_wait(nobody_left_behind, &host, 0));
	for (i = 0; i < bytes; i++)
		wrong += output[i] != 0x5a;
	EXPECT_EQ(wrong, 0);
	host_down(&host);
}

static void again(struct host *host, enum card_reset kind)
{
	reset_by_kind(host, kind);
	host_bus_master(host, true);
	host_enable_msi(host, 5, 0);
}

static void set_host_driver(struct host *host, uint32_t ctrl, uint64_t target, uint32_t size)
{
	struct metis_host_driver hdrv = {.ctrl = ctrl, .target = target, .size = size};

	EXPECT_EQ(card_region_write(host->card, METIS_BAR_L2, sysctl(host)->host_driver.offset,
				    &hdrv, sizeof(hdrv)),
		  0);
}

static void stick_in_the_flag(struct host *host)
{
	uint32_t calls = host->calls;

	fresh_request(host, 0, METIS_FW_OP_UNLOAD)->module = 4711;
	start(host, 0);
	EXPECT(host_wait(host_calls_are, host, calls + 1));
}

/* A guest that starts and resets in a loop must not fill the host with threads. */
static void test_reset_leaves_only_so_many_commands_behind(void)
{
	struct host host;
	unsigned int i;

	ASSERT(up(&host, "1.6.0", "null"));
	set_host_driver(&host, 1, HOST_BASE, 4096);
	host.hold = true;
	for (i = 0; i < FW_RETIRED_MAX; i++) {
		stick_in_the_flag(&host);
		reset_by_kind(&host, CARD_RESET_FLR);
		host_bus_master(&host, true);
		host_enable_msi(&host, 5, 0);
	}
	fresh_request(&host, 0, METIS_FW_OP_UNLOAD);
	start(&host, 0);
	EXPECT_EQ(state_of(&host, 0), -EAGAIN);
	host.hold = false;
	EXPECT(host_wait(nobody_left_behind, &host, 0));
	EXPECT_EQ(host.msi_total, 0);
	EXPECT_EQ(unload(&host, 0, 4711), METIS_FW_NO_MODULE);
	EXPECT(host_wait(host_msi_is, &host, 1));
	host_down(&host);
}

static void test_destroy_while_running_waits_for_the_engine(void)
{
	struct host host;

	ASSERT(up(&host, "1.8.0", "onnx"));
	start_slow(&host, 0, &deaf_net);
	host_down(&host); /* a sanitizer sees what would be left over */
}

static void test_reset_keeps_the_host_driver_where_the_personality_does(void)
{
	static const struct {
		const char *name;
		int keep_imwr;
		enum card_reset kind;
		bool keeps;
	} cases[] = {
		{"1.6.0", -1, CARD_RESET_FLR, true},   {"1.6.0", -1, CARD_RESET_BUS, true},
		{"1.6.0", -1, CARD_RESET_COLD, false}, {"1.8.0", -1, CARD_RESET_FLR, false},
		{"1.8.0", -1, CARD_RESET_BUS, false},  {"1.6.0", 0, CARD_RESET_FLR, false},
		{"1.6.0", 0, CARD_RESET_BUS, false},   {"1.8.0", 1, CARD_RESET_FLR, true},
		{"1.8.0", 1, CARD_RESET_COLD, false},
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct card_config config = {.personality = cases[i].name,
						   .engine = "null",
						   .keep_imwr = cases[i].keep_imwr};
		struct metis_host_driver *hdrv;
		struct host host;

		ASSERT(host_up(&host, &config));
		hdrv = area(&host, &sysctl(&host)->host_driver);
		hdrv->target = 0x149800000;
		hdrv->ctrl = 1;
		card_reset(host.card, cases[i].kind);
		EXPECT_EQ(hdrv->target, cases[i].keeps ? 0x149800000 : 0);
		EXPECT_EQ(sysctl(&host)->host_driver.magic, METIS_MAGIC_HOST_DRIVER);
		host_down(&host);
	}
}

static void test_reset_repairs_areas_a_host_has_scribbled_on(void)
{
	uint8_t *before = malloc(METIS_FW_EXT_OFFSET);
	struct host host;

	ASSERT(up(&host, "1.8.0", "null"));
	memcpy(before, host_l2(&host), METIS_FW_EXT_OFFSET);
	memset(host_l2(&host), 0xa5, METIS_FW_TRAPPED_BYTES);
	card_reset(host.card, CARD_RESET_FLR);
	EXPECT(!memcmp(before, host_l2(&host), METIS_FW_EXT_OFFSET));
	expect_log(&host, "boot 2: ");
	free(before);
	host_down(&host);
}

/* --- interrupts --- */

static uint32_t vmsi_word(struct host *host, unsigned int number)
{
	uint32_t word;

	memcpy(&word, host->mem + 4 * number, 4);
	return word;
}

static void see_flag(struct host *host, unsigned int vector)
{
	host->seen = vmsi_word(host, vector);
}

static void test_irq_flag_is_set_before_the_message(void)
{
	struct host host;

	ASSERT(up(&host, "1.6.0", "null"));
	memset(host.mem, 0, 4096);
	host.on_msi = see_flag;
	set_host_driver(&host, 1, HOST_BASE, 0x200000);
	EXPECT_EQ(unload(&host, 3, 1), METIS_FW_NO_MODULE);
	EXPECT(host_wait(host_msi_is, &host, 1));
	EXPECT_EQ(host.msi[METIS_IRQ_CONTEXT(3)], 1);
	EXPECT_EQ(host.seen, 1);
	EXPECT_EQ(vmsi_word(&host, 2), 0);
	EXPECT_EQ(vmsi_word(&host, 4), 0);
	host_down(&host);
}

static void test_irq_without_a_sound_host_driver_area_is_only_a_message(void)
{
	static const struct {
		uint32_t ctrl;
		uint64_t target;
		uint32_t size;
	} unsound[] = {
		{0, HOST_BASE, 4096},	  {2, HOST_BASE, 4096}, {1, 0, 4096},
		{1, HOST_BASE, 0},	  {1, HOST_BASE, 15},	{1, UINT64_MAX - 3, 4096},
		{1, HOST_BASE + 2, 4096},
	};
	struct host host;
	size_t i;

	ASSERT(up(&host, "1.6.0", "null"));
	memset(host.mem, 0, 4096);
	for (i = 0; i < sizeof(unsound) / sizeof(unsound[0]); i++) {
		set_host_driver(&host, unsound[i].ctrl, unsound[i].target, unsound[i].size);
		unload(&host, 3, 1);
		EXPECT(host_wait(host_msi_is, &host, i + 1));
		EXPECT_EQ(host.calls, 0);
	}
	host_down(&host);
	ASSERT(up(&host, "1.3.2", "null"));
	set_host_driver(&host, 1, HOST_BASE, 4096); /* no area, no effect */
	unload(&host, 3, 1);
	EXPECT(host_wait(host_msi_is, &host, 1));
	EXPECT_EQ(host.calls, 0);
	host_down(&host);
}

static void test_irq_refused_flag_is_logged_and_the_message_sent(void)
{
	struct host host;

	ASSERT(up(&host, "1.6.0", "null"));
	set_host_driver(&host, 1, 0x7000, 4096);
	unload(&host, 0, 1);
	EXPECT(host_wait(host_msi_is, &host, 1));
	expect_log(&host, "virtual MSI 0: write to 0x7000 failed: EFAULT");
	host_down(&host);
}

static void test_irq_dma_done_is_the_firmwares_with_dma_vm_only(void)
{
	struct host host;

	ASSERT(up(&host, "1.6.0", "null"));
	EXPECT(!card_firmware_dma_done(host.card, METIS_IRQ_DMA_READ(1), NULL));
	EXPECT_EQ(host.msi_total, 0);
	host_down(&host);
	ASSERT(up(&host, "1.8.0", "null"));
	memset(host.mem, 0, 4096);
	set_host_driver(&host, 1, HOST_BASE, 4096);
	EXPECT(card_firmware_dma_done(host.card, METIS_IRQ_DMA_READ(1), NULL));
	EXPECT_EQ(host.msi[METIS_IRQ_DMA_READ(1)], 1);
	EXPECT_EQ(vmsi_word(&host, METIS_IRQ_DMA_READ(1)), 1);
	host_down(&host);
}

static bool up_with(struct host *host, bool mirror_dma, bool latch_target)
{
	bool good = host_up(host, &(struct card_config){.personality = "1.6.0",
							.engine = "null",
							.keep_imwr = -1,
							.mirror_dma = mirror_dma,
							.latch_target = latch_target});

	if (good)
		memset(host->mem, 0, 3 * 4096);
	return good;
}

/* How long after the message the word came, and only after it. */
static void see_the_message(struct host *host, unsigned int vector)
{
	/* However long the message takes. */
	host_sleep_us(2 * FW_MIRROR_MS * 1000);
	EXPECT_EQ(vmsi_word(host, vector), 0);
	host->seen = host_now_ms();
}

static void see_the_word(struct host *host, uint64_t iova)
{
	if (iova >= HOST_BASE + 4096)
		return;
	EXPECT(host_now_ms() - host->seen >= FW_MIRROR_MS);
	host->seen = 0;
}

static void test_irq_mirrored_dma_sets_its_flag_a_while_after_the_imwr(void)
{
	struct host host;

	ASSERT(up_with(&host, true, false));
	host.on_msi = see_the_message;
	host.on_dma = see_the_word;
	set_host_driver(&host, 1, HOST_BASE, 4096);
	host_start_single(&host, true, 2, METIS_EDMA_RIE, 8, HOST_BASE + 4096, METIS_DDR_BASE);
	EXPECT(host_wait(host_msi_is, &host, 1));
	EXPECT(host_wait(host_is_idle, &host, 0));
	EXPECT_EQ(host.msi[METIS_IRQ_DMA_WRITE(2)], 1);
	EXPECT_EQ(vmsi_word(&host, METIS_IRQ_DMA_WRITE(2)), METIS_VMSI_SET);
	EXPECT_EQ(host.calls, 2);
	host_start_single(&host, false, 3, METIS_EDMA_RIE, 8, HOST_BASE + 4096, METIS_DDR_BASE);
	EXPECT(host_wait(host_msi_is, &host, 2));
	EXPECT(host_wait(host_is_idle, &host, 0));
	EXPECT_EQ(vmsi_word(&host, METIS_IRQ_DMA_READ(3)), METIS_VMSI_SET);
	EXPECT_EQ(host.calls, 4);
	EXPECT_EQ(host.seen, 0);
	/* Who asks for nothing is told nothing. */
	host_start_single(&host, false, 0, METIS_EDMA_LIE, 8, HOST_BASE + 4096, METIS_DDR_BASE);
	EXPECT_EQ(host_finish(&host, false, 0), METIS_EDMA_CS_STOPPED);
	EXPECT(host_wait(host_is_idle, &host, 0));
	EXPECT_EQ(vmsi_word(&host, METIS_IRQ_DMA_READ(0)), 0);
	EXPECT_EQ(host.msi_total, 2);
	host_down(&host);
}

/* Moves nothing, so that the only DMA is that of the word. */
static void tell_of_nothing(struct host *host, bool write, unsigned int index)
{
	uint32_t total = host->msi_total;

	host_start_single(host, write, index, METIS_EDMA_RIE, 0, HOST_BASE, METIS_DDR_BASE);
	EXPECT(host_wait(host_msi_is, host, total + 1));
	EXPECT_EQ(host_finish(host, write, index), METIS_EDMA_CS_STOPPED);
}

static void see_offset(struct host *host, uint64_t iova)
{
	host->seen |= 1ull << (iova - HOST_BASE) / 4;
}

/* A card that mirrors, with the word of write channel 0 stuck on its way to the host. */
static bool up_with_a_word_on_its_way(struct host *host)
{
	if (!up_with(host, true, false))
		return false;
	set_host_driver(host, 1, HOST_BASE, 4096);
	host->on_dma = see_offset;
	host->hold = true;
	tell_of_nothing(host, true, 0);
	EXPECT(!card_idle(host->card));
	EXPECT(host_wait(host_calls_are, host, 1));
	EXPECT(!card_idle(host->card));
	return true;
}

static void test_irq_mirrored_dma_done_meanwhile_shares_a_flag(void)
{
	struct host host;

	ASSERT(up_with_a_word_on_its_way(&host));
	/* Not with the one on its way: the host may have taken that already. */
	tell_of_nothing(&host, true, 0);
	tell_of_nothing(&host, true, 0);
	tell_of_nothing(&host, true, 0);
	tell_of_nothing(&host, false, 1);
	tell_of_nothing(&host, false, 1);
	EXPECT_EQ(host.calls, 1);
	host.hold = false;
	EXPECT(host_wait(host_is_idle, &host, 0));
	EXPECT_EQ(host.calls, 3);
	EXPECT_EQ(host.seen, 1ull << METIS_IRQ_DMA_WRITE(0) | 1ull << METIS_IRQ_DMA_READ(1));
	host_down(&host);
}

static void test_irq_mirrored_dma_of_before_a_reset_sets_no_flag_after_it(void)
{
	static const enum card_reset kinds[] = {CARD_RESET_FLR, CARD_RESET_BUS, CARD_RESET_COLD};
	_Atomic uint32_t resets = 1;
	const struct card_ticket late = {&resets, 0};
	struct host host;
	size_t i;

	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		ASSERT(up_with_a_word_on_its_way(&host));
		tell_of_nothing(&host, false, 1);
		again(&host, kinds[i]);
		/* The target is good, of old or anew. */
		set_host_driver(&host, 1, HOST_BASE, 4096);
		card_firmware_dma_told(host.card, METIS_IRQ_DMA_READ(2), &late);
		EXPECT(!card_idle(host.card));
		host.hold = false;
		EXPECT(host_wait(host_is_idle, &host, 0));
		host_sleep_us(2 * FW_MIRROR_MS * 1000);
		EXPECT_EQ(host.calls, 1);
		EXPECT_EQ(host.seen, 1ull << METIS_IRQ_DMA_WRITE(0));
		/* And the next one is as ever. */
		host_setup_edma(&host);
		tell_of_nothing(&host, false, 3);
		EXPECT(host_wait(host_is_idle, &host, 0));
		EXPECT_EQ(host.calls, 2);
		EXPECT_EQ(vmsi_word(&host, METIS_IRQ_DMA_READ(3)), METIS_VMSI_SET);
		host_down(&host);
	}
}

static void test_irq_mirrored_dma_is_dropped_by_a_detach_and_by_the_end(void)
{
	struct host host;

	ASSERT(up_with(&host, true, false));
	set_host_driver(&host, 1, HOST_BASE, 4096);
	tell_of_nothing(&host, true, 0);
	EXPECT_EQ(card_detach(host.card), 0);
	/* It may just have been at it. */
	EXPECT(host_wait(host_is_idle, &host, 0));
	/* Without a bus a channel still runs, and nobody resets it before the end. */
	host_reg_set(&host, METIS_EDMA_WR_ENGINE_EN, 1);
	host_start_single(&host, true, 0, METIS_EDMA_RIE, 0, HOST_BASE, METIS_DDR_BASE);
	EXPECT_EQ(host_finish(&host, true, 0), METIS_EDMA_CS_STOPPED);
	host_down(&host);
	ASSERT(up_with(&host, true, false));
	set_host_driver(&host, 1, HOST_BASE, 4096);
	tell_of_nothing(&host, true, 0);
	host_down(&host); /* a sanitizer sees what would be left over */
}

/* 1.8.0 raises these interrupts itself, word first; 1.3.2 has no area to find a word by. */
static void test_irq_mirrored_dma_needs_an_area_and_an_imwr(void)
{
	static const char *const names[] = {"1.3.2", "1.8.0"};
	struct host host;
	size_t i;

	for (i = 0; i < 2; i++) {
		ASSERT(host_up(&host, &(struct card_config){.personality = names[i],
							    .engine = "null",
							    .keep_imwr = -1,
							    .mirror_dma = true}));
		EXPECT(!host.card->firmware->mirror.started);
		memset(host.mem, 0, 4096);
		host.on_msi = see_flag;
		set_host_driver(&host, 1, HOST_BASE, 4096);
		tell_of_nothing(&host, true, 0);
		EXPECT(host_wait(host_is_idle, &host, 0));
		EXPECT_EQ(host.seen, i ? METIS_VMSI_SET : 0);
		EXPECT_EQ(host.calls, i);
		host_down(&host);
	}
}

static void test_irq_dma_is_mirrored_by_no_personality_itself(void)
{
	struct host host;

	ASSERT(up_with(&host, false, false));
	set_host_driver(&host, 1, HOST_BASE, 4096);
	host_start_single(&host, true, 2, METIS_EDMA_RIE, 8, HOST_BASE + 4096, METIS_DDR_BASE);
	EXPECT(host_wait(host_msi_is, &host, 1));
	EXPECT(host_wait(host_is_idle, &host, 0));
	EXPECT_EQ(vmsi_word(&host, METIS_IRQ_DMA_WRITE(2)), 0);
	EXPECT_EQ(host.calls, 1);
	host_down(&host);
}

/* Word 0 of the page at @target, cleared before, after a command of context 0. */
static bool flag_lands(struct host *host, uint64_t target)
{
	uint32_t total = host->msi_total, word;

	memset(host->mem, 0, 3 * 4096);
	unload(host, 0, 1);
	EXPECT(host_wait(host_msi_is, host, total + 1));
	memcpy(&word, host->mem + (target - HOST_BASE), sizeof(word));
	return word == METIS_VMSI_SET;
}

static void test_irq_latched_target_stays_until_the_power_goes(void)
{
	const uint64_t first = HOST_BASE, second = HOST_BASE + 4096;
	struct host host;

	ASSERT(up_with(&host, false, true));
	/* Not valid yet, so not latched. */
	set_host_driver(&host, 0, second, 4096);
	EXPECT(!flag_lands(&host, second));
	set_host_driver(&host, 1, first, 4096);
	EXPECT(flag_lands(&host, first));
	set_host_driver(&host, 1, second, 4096);
	EXPECT(flag_lands(&host, first));
	set_host_driver(&host, 0, 0, 0);
	EXPECT(flag_lands(&host, first));
	again(&host, CARD_RESET_FLR);
	EXPECT(flag_lands(&host, first));
	again(&host, CARD_RESET_BUS);
	set_host_driver(&host, 1, second, 8192);
	EXPECT(flag_lands(&host, first));
	again(&host, CARD_RESET_COLD);
	EXPECT(!flag_lands(&host, first));
	set_host_driver(&host, 1, second, 4096);
	EXPECT(flag_lands(&host, second));
	host_down(&host);
}

static void test_irq_target_is_latched_by_mirrored_dma_too(void)
{
	struct host host;

	ASSERT(up_with(&host, true, true));
	set_host_driver(&host, 1, HOST_BASE, 4096);
	host_start_single(&host, true, 0, METIS_EDMA_RIE, 8, HOST_BASE + 16384, METIS_DDR_BASE);
	EXPECT(host_wait(host_msi_is, &host, 1));
	EXPECT(host_wait(host_is_idle, &host, 0));
	set_host_driver(&host, 1, HOST_BASE + 4096, 4096);
	EXPECT(flag_lands(&host, HOST_BASE));
	/* One that the bus refuses is tried, said and survived. */
	again(&host, CARD_RESET_COLD);
	set_host_driver(&host, 1, 0x149800000, 4096);
	host_setup_edma(&host);
	host_start_single(&host, true, 0, METIS_EDMA_RIE, 8, HOST_BASE + 16384, METIS_DDR_BASE);
	EXPECT(host_wait(host_msi_is, &host, 3));
	EXPECT(host_wait(host_is_idle, &host, 0));
	EXPECT_EQ(host_cs(&host, true, 0), METIS_EDMA_CS_STOPPED);
	expect_log(&host, "virtual MSI 8: write to 0x149800020 failed: EFAULT");
	host_down(&host);
}

static void test_irq_next_owner_gets_a_target_of_its_own(void)
{
	struct card_bus bus;
	struct host host;

	ASSERT(up_with(&host, false, true));
	set_host_driver(&host, 1, HOST_BASE, 4096);
	EXPECT(flag_lands(&host, HOST_BASE));
	EXPECT_EQ(card_detach(host.card), 0);
	bus = host_bus(&host);
	EXPECT_EQ(card_attach(host.card, &bus), 0);
	host_bus_master(&host, true);
	host_enable_msi(&host, 5, 0);
	set_host_driver(&host, 1, HOST_BASE + 4096, 4096);
	EXPECT(flag_lands(&host, HOST_BASE + 4096));
	host_down(&host);
}

/* The job is done, its flag on the way to the host, when the host resets and sets up again. */
static void test_irq_of_before_a_reset_is_not_raised_after_it(void)
{
	struct host host;

	ASSERT(up(&host, "1.8.0", "null"));
	set_host_driver(&host, 1, HOST_BASE, 4096);
	host.hold = true;
	host_start_single(&host, true, 0, METIS_EDMA_RIE, 0, HOST_BASE, METIS_DDR_BASE);
	EXPECT(host_wait(host_calls_are, &host, 1));
	reset_by_kind(&host, CARD_RESET_FLR);
	host_bus_master(&host, true);
	host_enable_msi(&host, 5, 0);
	host.hold = false;
	EXPECT(host_wait(host_is_idle, &host, 0));
	EXPECT_EQ(host.msi_total, 0);
	host_down(&host);
}

/* --- log --- */

static void test_log_wraps_inside_its_ring(void)
{
	struct metis_fw_log *log;
	struct host host;
	char text[METIS_FW_LOG_BYTES];
	uint8_t *beyond;
	int i;

	ASSERT(up(&host, "1.6.0", "null"));
	log = (void *)(host_l2(&host) + METIS_FW_LOG_OFFSET);
	beyond = host_l2(&host) + METIS_FW_LOG_OFFSET + METIS_FW_LOG_BYTES;
	memset(beyond, 0x77, 64);
	for (i = 0; i < 2000; i++)
		fw_log(host.card->firmware, "line %d \033[31m\n%s", i, "\xff");
	EXPECT_EQ(log->magic, METIS_FW_LOG_MAGIC);
	EXPECT_EQ(log->bytes, METIS_FW_LOG_BYTES - sizeof(*log));
	for (i = 0; i < 64; i++)
		EXPECT_EQ(beyond[i], 0x77);
	log_text(&host, text, sizeof(text));
	EXPECT_HAS(text, "line 1998 ?[31m??\nline 1999 ?[31m??\n");
	log->written = UINT64_MAX; /* a host that lies to us */
	log->bytes = UINT32_MAX;
	fw_log(host.card->firmware, "%01000d", 5);
	for (i = 0; i < 64; i++)
		EXPECT_EQ(beyond[i], 0x77);
	EXPECT(log->written > 2000 && log->written < 1000000);
	host_down(&host);
}

static void test_log_survives_all_but_power(void)
{
	struct host host;
	char text[METIS_FW_LOG_BYTES];

	ASSERT(up(&host, "1.8.0", "null"));
	fw_log(host.card->firmware, "remember me");
	card_reset(host.card, CARD_RESET_FLR);
	expect_log(&host, "remember me\nboot 2: ");
	card_reset(host.card, CARD_RESET_COLD);
	log_text(&host, text, sizeof(text));
	EXPECT(!strstr(text, "remember me"));
	EXPECT_HAS(text, "boot 1: ");
	host_down(&host);
}

int main(void)
{
	RUN(test_boot_sysctl_follows_the_personality);
	RUN(test_boot_areas_hold_what_drivers_look_for);
	RUN(test_boot_contexts_share_the_memory_without_overlap);
	RUN(test_boot_unknown_engine_is_refused);
	RUN(test_reset_of_a_running_card_leaves_it_clean);
	RUN(test_reset_goes_on_without_a_deaf_engine);
	RUN(test_detach_while_running_and_a_new_owner);
	RUN(test_detach_keeps_a_deaf_engine_out_of_the_next_owners_memory);
	RUN(test_reset_leaves_only_so_many_commands_behind);
	RUN(test_destroy_while_running_waits_for_the_engine);
	RUN(test_reset_keeps_the_host_driver_where_the_personality_does);
	RUN(test_reset_repairs_areas_a_host_has_scribbled_on);
	RUN(test_irq_flag_is_set_before_the_message);
	RUN(test_irq_without_a_sound_host_driver_area_is_only_a_message);
	RUN(test_irq_refused_flag_is_logged_and_the_message_sent);
	RUN(test_irq_dma_done_is_the_firmwares_with_dma_vm_only);
	RUN(test_irq_mirrored_dma_sets_its_flag_a_while_after_the_imwr);
	RUN(test_irq_mirrored_dma_done_meanwhile_shares_a_flag);
	RUN(test_irq_mirrored_dma_of_before_a_reset_sets_no_flag_after_it);
	RUN(test_irq_mirrored_dma_is_dropped_by_a_detach_and_by_the_end);
	RUN(test_irq_mirrored_dma_needs_an_area_and_an_imwr);
	RUN(test_irq_dma_is_mirrored_by_no_personality_itself);
	RUN(test_irq_latched_target_stays_until_the_power_goes);
	RUN(test_irq_target_is_latched_by_mirrored_dma_too);
	RUN(test_irq_next_owner_gets_a_target_of_its_own);
	RUN(test_irq_of_before_a_reset_is_not_raised_after_it);
	RUN(test_log_wraps_inside_its_ring);
	RUN(test_log_survives_all_but_power);
	return tap_done();
}
