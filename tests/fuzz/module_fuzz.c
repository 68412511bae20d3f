/* SPDX-License-Identifier: MIT */
/*
 * What a stranger puts into card memory: modules, networks inside them, requests about them.
 *
 * Byte 0 of the input: 1 make the module's checksum true, so that the checks behind it are
 * reached; 2 go through a whole command of a card with the null engine, the input being a request
 * and then its module (and tensor table).
 */
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include <tethys/hw/fwarea.h>
#include <tethys/hw/fwproto.h>
#include <tethys/hw/pci.h>

#include "card/engine/onnx_scan.h"
#include "card/internal.h"
#include "card/module.h"

#define SEAL 1
#define COMMAND 2

#define REQUEST_ADDR (METIS_L2_BASE + METIS_FW_MAILBOX_OFFSET(0))
#define MODULE_ADDR METIS_DDR_BASE

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void seal(void *module, size_t bytes)
{
	struct metis_module *m = module;

	if (bytes < sizeof(*m))
		return;
	m->checksum = 0;
	m->checksum = XXH3_64bits(module, bytes);
}

static void fuzz_check(void *module, size_t bytes)
{
	struct reason why = {0};
	struct engine_module view;

	if (!card_module_check(module, bytes, &view, &why))
		onnx_scan(view.payload, view.payload_bytes, &why);
	onnx_scan(module, bytes, &why);
}

/* One card for all inputs: the next user must not suffer from the last one. */
static struct card *the_card(void)
{
	static struct card *card;

	if (!card && card_create(&(struct card_config){.engine = "null"}, &card, NULL))
		abort();
	return card;
}

static int32_t run_command(struct card *card, uint64_t cmd)
{
	const struct metis_sysctl *sysctl = card_l2(card, NULL, NULL);
	uint64_t context = sysctl->context.offset, arg = REQUEST_ADDR, sts;

	card_region_write(card, METIS_BAR_L2, context + offsetof(struct metis_context, arg), &arg,
			  8);
	card_region_write(card, METIS_BAR_L2, context + offsetof(struct metis_context, cmd), &cmd,
			  8);
	do {
		sched_yield();
		card_region_read(card, METIS_BAR_L2, context + offsetof(struct metis_context, sts),
				 &sts, 8);
	} while (METIS_FW_STS_STATE(sts) > 0);
	return METIS_FW_STS_STATE(sts);
}

static void fuzz_command(void *input, size_t bytes)
{
	struct metis_fw_request *r = input, *mailbox;
	struct card *card = the_card();
	size_t module_bytes;

	if (bytes < sizeof(*r))
		return;
	module_bytes = bytes - sizeof(*r);
	/* The fields that no fuzzer guesses; all others are its own. */
	r->magic = METIS_FW_REQUEST_MAGIC;
	if (r->op == METIS_FW_OP_CANCEL || !r->op)
		r->op = METIS_FW_OP_LOAD;
	if (r->op == METIS_FW_OP_LOAD && r->module_bytes < 16) {
		r->module_addr = MODULE_ADDR;
		r->module_bytes = module_bytes;
	}
	mailbox = card_memory_at(card, REQUEST_ADDR, sizeof(*r));
	memcpy(mailbox, r, sizeof(*r));
	if (module_bytes)
		memcpy(card_memory_at(card, MODULE_ADDR, module_bytes), r + 1, module_bytes);
	if (run_command(card, METIS_FW_CMD(r->op, r->seq)) || r->op != METIS_FW_OP_LOAD)
		return;
	mailbox->op = METIS_FW_OP_UNLOAD;
	mailbox->module = mailbox->reply.module;
	if (run_command(card, METIS_FW_CMD(METIS_FW_OP_UNLOAD, r->seq)))
		abort(); /* what was loaded can be unloaded */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	size_t head = bytes && data[0] & COMMAND ? sizeof(struct metis_fw_request) : 0;
	void *copy;

	if (bytes < 2 || bytes > 1 << 20)
		return 0;
	/* Of its own size, so that a sanitizer sees a read past the end. */
	copy = malloc(bytes - 1);
	memcpy(copy, data + 1, bytes - 1);
	if (data[0] & SEAL && bytes - 1 > head)
		seal((char *)copy + head, bytes - 1 - head);
	if (data[0] & COMMAND)
		fuzz_command(copy, bytes - 1);
	else
		fuzz_check(copy, bytes - 1);
	free(copy);
	return 0;
}
