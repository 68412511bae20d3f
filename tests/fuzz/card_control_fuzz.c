/* SPDX-License-Identifier: MIT */
/*
 * What anybody may write to the control socket: lines, to a card with a bus of 64 KiB. Each answer
 * must be one line of JSON that json-c can read.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "card/control.h"

#define BASE 0x1000ull
#define LINES_MAX 32 /* an input: resets and copies take their time */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static uint8_t memory[64 << 10];

static bool within(uint64_t iova, size_t len)
{
	return iova >= BASE && iova - BASE <= sizeof(memory) &&
	       len <= sizeof(memory) - (iova - BASE);
}

static int dma_read(void *ctx, uint64_t iova, void *dst, size_t len)
{
	(void)ctx;
	if (!within(iova, len))
		return -EFAULT;
	memcpy(dst, memory + (iova - BASE), len);
	return 0;
}

static int dma_write(void *ctx, uint64_t iova, const void *src, size_t len)
{
	(void)ctx;
	if (!within(iova, len))
		return -EFAULT;
	memcpy(memory + (iova - BASE), src, len);
	return 0;
}

static void msi(void *ctx, unsigned int vector)
{
	(void)ctx;
	if (vector > 31)
		abort();
}

/* One card for all inputs, with a host as a driver leaves it. */
static struct card *the_card(void)
{
	const struct card_bus bus = {.dma_read = dma_read, .dma_write = dma_write, .msi = msi};
	static struct card *card;

	if (card)
		return card;
	if (card_create(&(struct card_config){.engine = "null", .keep_imwr = -1}, &card, NULL) ||
	    card_attach(card, &bus))
		abort();
	return card;
}

static void command(struct card *card, const char *line)
{
	char reply[CARD_CONTROL_REPLY_MAX];
	struct json_object *object, *ok;
	int ret;

	memset(reply, '{', sizeof(reply));
	ret = card_control(card, line, reply);
	if (!memchr(reply, '\0', sizeof(reply)) || strchr(reply, '\n') || ret > 0)
		abort();
	object = json_tokener_parse(reply);
	if (!object || !json_object_object_get_ex(object, "ok", &ok))
		abort();
	if (!ret && !json_object_get_boolean(ok))
		abort();
	json_object_put(object);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	static const uint8_t master[2] = {6};
	struct card *card = the_card();
	char reply[CARD_CONTROL_REPLY_MAX];
	char *text = malloc(bytes + 1), *line, *rest;
	unsigned int lines = 0;

	if (!text)
		return 0;
	if (bytes)
		memcpy(text, data, bytes);
	text[bytes] = '\0';
	card_region_write(card, 7, 4, master, sizeof(master));
	for (line = strtok_r(text, "\n", &rest); line && lines < LINES_MAX; lines++) {
		command(card, line);
		line = strtok_r(NULL, "\n", &rest);
	}
	free(text);
	/* The next input finds a sound card. */
	card_control(card, "return", reply);
	card_control(card, "stall none", reply);
	card_control(card, "abort none", reply);
	card_control(card, "lose-interrupts none", reply);
	card_control(card, "reset flr", reply); /* a cold one takes 50 times as long */
	return 0;
}
