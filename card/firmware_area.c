/* SPDX-License-Identifier: MIT */
/*
 * What a boot leaves in L2 for the host to find.
 */
#include <endian.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <tethys/hw/edma.h>
#include <tethys/hw/irq.h>

#include "card/firmware.h"

#define L2_SHARE_ALIGN 0x1000ull

static void *l2_at(struct card_firmware *fw, size_t offset)
{
	return (char *)fw->l2 + offset;
}

/* Words the host polls while we write them: stored as one, after all they speak of. */
static uint64_t *context_word(struct card_firmware *fw, unsigned int context, size_t member)
{
	return l2_at(fw, FW_CONTEXT_OFFSET(context) + member);
}

void fw_set_sts(struct card_firmware *fw, unsigned int context, uint64_t sts)
{
	__atomic_store_n(context_word(fw, context, offsetof(struct metis_context, sts)),
			 htole64(sts), __ATOMIC_RELEASE);
}

void fw_read_cmd(struct card_firmware *fw, unsigned int context, uint64_t *ret_cmd,
		 uint64_t *ret_arg)
{
	*ret_cmd = le64toh(__atomic_load_n(
		context_word(fw, context, offsetof(struct metis_context, cmd)), __ATOMIC_ACQUIRE));
	*ret_arg = le64toh(__atomic_load_n(
		context_word(fw, context, offsetof(struct metis_context, arg)), __ATOMIC_ACQUIRE));
}

void fw_set_ignored(struct card_firmware *fw)
{
	struct metis_fw_ext *ext = l2_at(fw, METIS_FW_EXT_OFFSET);

	ext->commands_ignored = htole64(fw->commands_ignored);
}

static void write_contexts(struct card_firmware *fw)
{
	const uint64_t l2_first = METIS_L2_BASE + METIS_FW_L2_FREE_OFFSET;
	const uint64_t l2_share =
		(METIS_EDMA_LISTS_BASE - l2_first) / METIS_CORES / L2_SHARE_ALIGN * L2_SHARE_ALIGN;
	const uint64_t ddr_share = METIS_DDR_BYTES / METIS_CORES;
	unsigned int n;

	for (n = 0; n < METIS_CORES; n++) {
		struct metis_context *c = l2_at(fw, FW_CONTEXT_OFFSET(n));

		*c = (struct metis_context){
			.core_mask = htole64(1ull << n),
			.l2_base = htole64(l2_first + n * l2_share),
			.l2_bytes = htole64(l2_share),
			.ddr_base = htole64(METIS_DDR_BASE + n * ddr_share),
			.ddr_bytes = htole64(ddr_share),
			.msi = htole64(METIS_IRQ_CONTEXT(n)),
		};
	}
}

static void copy_text(char *dst, size_t bytes, const char *src)
{
	memset(dst, 0, bytes);
	memcpy(dst, src, strnlen(src, bytes - 1));
}

static void write_board(struct card_firmware *fw)
{
	const struct card_personality *p = fw->card->personality;
	struct metis_board *board = l2_at(fw, FW_BOARD_OFFSET);

	memset(board, 0, sizeof(*board));
	board->board_type = htole32(2);
	board->board_revision = htole32(1); /* guess */
	board->clock_mhz = htole32(800);    /* guess */
	copy_text(board->firmware_version, sizeof(board->firmware_version), p->name);
	copy_text(board->flashed_firmware_version, sizeof(board->flashed_firmware_version),
		  p->name);
	copy_text(board->controller_version, sizeof(board->controller_version),
		  p->controller_version);
	copy_text(board->controller_board_type, sizeof(board->controller_board_type),
		  "tethys-virtual");
	/* Guess, and all cards of a machine the same. */
	copy_text(board->serial, sizeof(board->serial), "VIRTUAL-0000");
}

static void write_ext(struct card_firmware *fw)
{
	struct metis_fw_ext *ext = l2_at(fw, METIS_FW_EXT_OFFSET);

	*ext = (struct metis_fw_ext){
		.magic = htole32(METIS_FW_EXT_MAGIC),
		.major = htole16(METIS_FW_EXT_MAJOR),
		.minor = htole16(METIS_FW_EXT_MINOR),
		.mailbox_offset = htole32(METIS_FW_MAILBOX_OFFSET(0)),
		.mailbox_stride = htole32(METIS_FW_MAILBOX_BYTES),
		.log_offset = htole32(METIS_FW_LOG_OFFSET),
		.log_bytes = htole32(METIS_FW_LOG_BYTES),
		.ddr_base = htole64(METIS_DDR_BASE),
		.ddr_bytes = htole64(METIS_DDR_BYTES),
		.boots = htole64(fw->boots),
		.commands_ignored = htole64(fw->commands_ignored),
	};
	copy_text(ext->engine, sizeof(ext->engine), fw->ops->name);
	copy_text(ext->personality, sizeof(ext->personality), fw->card->personality->name);
}

static void write_lists(struct card_firmware *fw)
{
	struct metis_dma_list_area *lists = l2_at(fw, FW_DMA_LIST_OFFSET);
	struct metis_datastream_area *streams = l2_at(fw, FW_DATASTREAM_OFFSET);

	if (fw->card->personality->list_area) {
		lists->base = htole64(METIS_EDMA_LISTS_BASE);
		lists->bytes = htole64(METIS_EDMA_LISTS_BYTES);
	}
	/* No streams, said in so many words: without the area drivers log a warning a second. */
	if (fw->card->personality->datastream) {
		streams->count = 0;
		memset(streams->index, 0xff, sizeof(streams->index));
	}
}

static struct metis_memref memref(uint16_t magic, size_t offset, size_t bytes)
{
	return (struct metis_memref){
		.magic = htole16(magic),
		.major = 1,
		.size = htole32((uint32_t)bytes),
		.offset = htole64(offset),
	};
}

static void write_references(struct metis_sysctl *s, const struct card_personality *p)
{
	s->tethys = memref(METIS_MAGIC_TETHYS, METIS_FW_EXT_OFFSET, sizeof(struct metis_fw_ext));
	s->board = memref(METIS_MAGIC_BOARD, FW_BOARD_OFFSET, sizeof(struct metis_board));
	s->context = memref(METIS_MAGIC_CONTEXT, FW_CONTEXT_OFFSET(0),
			    METIS_CORES * sizeof(struct metis_context));
	if (p->host_driver)
		s->host_driver = memref(METIS_MAGIC_HOST_DRIVER, FW_HOST_DRIVER_OFFSET,
					sizeof(struct metis_host_driver));
	if (p->list_area)
		s->dma_list = memref(METIS_MAGIC_DMA_LIST, FW_DMA_LIST_OFFSET,
				     sizeof(struct metis_dma_list_area));
	if (p->datastream)
		s->datastream = memref(METIS_MAGIC_DATASTREAM, FW_DATASTREAM_OFFSET,
				       sizeof(struct metis_datastream_area));
	/* No vmsi_config: hosts then count on 32 virtual MSIs, which is what we have. */
}

static void write_sysctl(struct card_firmware *fw)
{
	const struct card_personality *p = fw->card->personality;
	struct metis_sysctl *s = l2_at(fw, METIS_SYSCTL_OFFSET);

	if (p->sysctl_header) {
		s->header.magic = htole16(METIS_MAGIC_HEADER);
		s->header.base = htole64(METIS_L2_BASE);
		s->header.size = htole64(METIS_L2_BYTES);
	}
	if (sscanf(p->name, "%" SCNu8 ".%" SCNu8, &s->version_major, &s->version_minor) != 2)
		s->version_major = s->version_minor = 0;
	s->memory_map[0] = htole64(METIS_L2_BASE);
	s->memory_map[1] = htole64(METIS_DDR_BASE);
	s->dma_vm = htole32(p->dma_vm ? METIS_DMA_VM_MAGIC : 0);
	s->firmware_load_address = htole64(METIS_L2_BASE);
	write_references(s, p);
}

void fw_boot_areas(struct card_firmware *fw, bool keep_host_driver)
{
	struct metis_host_driver kept;

	memcpy(&kept, l2_at(fw, FW_HOST_DRIVER_OFFSET), sizeof(kept));
	memset(fw->l2, 0, METIS_FW_LOG_OFFSET);
	if (keep_host_driver && fw->card->personality->host_driver)
		memcpy(l2_at(fw, FW_HOST_DRIVER_OFFSET), &kept, sizeof(kept));
	write_contexts(fw);
	write_lists(fw);
	write_board(fw);
	write_ext(fw);
	write_sysctl(fw);
}
