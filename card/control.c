// SPDX-License-Identifier: MIT
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tethys/hw/pci.h>

#include "card/bus.h"
#include "card/control.h"

#define WORDS_MAX 4 /* one more than any command has */
#define FILL 0xa5
#define ARRAY_NR(array) (sizeof(array) / sizeof((array)[0]))

/* One command line, in words; and where the answer goes. */
struct request {
	struct card *card;
	char line[CARD_CONTROL_LINE_MAX];
	const char *word[WORDS_MAX];
	unsigned int words;
	char *reply;
};

struct command {
	const char *name;
	const char *args; /* as the user is told of them */
	int (*run)(struct request *request, int detail);
	unsigned int words;
	int detail;
};

/* --- words and numbers --- */

/* @text is ours: no byte of a stranger may end up in the JSON. */
static int refuse(struct request *request, int err, const char *text)
{
	snprintf(request->reply, CARD_CONTROL_REPLY_MAX, "{\"ok\":false,\"error\":\"%s\"}", text);
	return err;
}

static int done(struct request *request)
{
	snprintf(request->reply, CARD_CONTROL_REPLY_MAX, "{\"ok\":true}");
	return 0;
}

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return 16;
}

/* Digits and nothing else, as a number of at most @max. */
static bool parse(const char *word, uint64_t max, uint64_t *ret_value)
{
	int base = word[0] == '0' && word[1] == 'x' ? 16 : 10;
	const char *at = word + (base == 16 ? 2 : 0);
	uint64_t value = 0;

	if (!*at)
		return false;
	for (; *at; at++) {
		if (digit(*at) >= base || __builtin_mul_overflow(value, base, &value) ||
		    __builtin_add_overflow(value, digit(*at), &value))
			return false;
	}
	if (value > max)
		return false;
	*ret_value = value;
	return true;
}

static void split(struct request *request)
{
	char *rest, *word = strtok_r(request->line, " \t", &rest);

	while (word && request->words < WORDS_MAX) {
		request->word[request->words++] = word;
		word = strtok_r(NULL, " \t", &rest);
	}
}

/* --- commands --- */

/* The bus has said @ret. */
static int answer_result(struct request *request, int ret)
{
	const char *name = strerrorname_np(-ret);

	if (ret)
		snprintf(request->reply, CARD_CONTROL_REPLY_MAX,
			 "{\"ok\":true,\"result\":%d,\"name\":\"%s\"}", -ret, name ? name : "?");
	else
		snprintf(request->reply, CARD_CONTROL_REPLY_MAX, "{\"ok\":true,\"result\":0}");
	return ret;
}

/* A buffer of its own: what is in card memory is somebody's. */
static int run_dma(struct request *request, int write)
{
	uint64_t addr, bytes;
	void *mem;
	int ret;

	if (!parse(request->word[1], UINT64_MAX, &addr))
		return refuse(request, -EINVAL, "ADDR is not a number");
	if (!parse(request->word[2], CARD_CONTROL_DMA_MAX, &bytes) || !bytes)
		return refuse(request, -EINVAL, "BYTES is not a number from 1 to 16777216");
	mem = malloc(bytes);
	if (!mem)
		return refuse(request, -ENOMEM, "no memory");
	memset(mem, FILL, bytes);
	ret = card_bus_copy(request->card, write, addr, mem, bytes, NULL, NULL);
	free(mem);
	return answer_result(request, ret);
}

static int run_imwr(struct request *request, int detail)
{
	uint64_t addr, data;

	(void)detail;
	if (!parse(request->word[1], UINT64_MAX, &addr) || addr % 4)
		return refuse(request, -EINVAL, "ADDR is not a multiple of 4");
	if (!parse(request->word[2], UINT32_MAX, &data))
		return refuse(request, -EINVAL, "DATA is not a number of 32 bits");
	return answer_result(request, card_inject_imwr(request->card, addr, (uint32_t)data));
}

static bool parse_offset(const struct request *request, uint64_t *ret_offset)
{
	return parse(request->word[1], METIS_BAR_EDMA_BYTES - 4, ret_offset) &&
	       *ret_offset % 4 == 0;
}

static int run_poke(struct request *request, int detail)
{
	uint64_t offset, value;

	(void)detail;
	if (!parse_offset(request, &offset))
		return refuse(request, -EINVAL, "OFFSET is not a multiple of 4 in BAR0");
	if (!parse(request->word[2], UINT32_MAX, &value))
		return refuse(request, -EINVAL, "VALUE is not a number of 32 bits");
	/* Not through its region: it is no access of the host, and not counted as one. */
	if (!card_vanished(request->card))
		card_edma_write(request->card, offset, (uint32_t)value);
	return done(request);
}

static int run_peek(struct request *request, int detail)
{
	uint32_t value = UINT32_MAX;
	uint64_t offset;

	(void)detail;
	if (!parse_offset(request, &offset))
		return refuse(request, -EINVAL, "OFFSET is not a multiple of 4 in BAR0");
	if (!card_vanished(request->card))
		value = card_edma_read(request->card, offset);
	snprintf(request->reply, CARD_CONTROL_REPLY_MAX,
		 "{\"ok\":true,\"value\":\"0x%08" PRIx32 "\"}", value);
	return 0;
}

static int run_arm(struct request *request, int fault)
{
	uint64_t count;

	if (!strcmp(request->word[1], "all"))
		count = CARD_FAULT_ALL;
	else if (!strcmp(request->word[1], "none"))
		count = 0;
	else if (!parse(request->word[1], UINT32_MAX, &count))
		return refuse(request, -EINVAL, "N is not a number, all or none");
	card_fault_arm(request->card, (enum card_fault)fault, count);
	return done(request);
}

static int run_vanish(struct request *request, int vanish)
{
	if (vanish)
		card_vanish(request->card);
	else
		card_return(request->card);
	return done(request);
}

static int run_reset(struct request *request, int detail)
{
	static const char *const kinds[] = {
		[CARD_RESET_FLR] = "flr",
		[CARD_RESET_BUS] = "bus",
		[CARD_RESET_COLD] = "cold",
	};
	size_t i;

	(void)detail;
	for (i = 0; i < ARRAY_NR(kinds); i++) {
		if (strcmp(request->word[1], kinds[i]))
			continue;
		card_reset(request->card, (enum card_reset)i);
		return done(request);
	}
	return refuse(request, -EINVAL, "a reset is flr, bus or cold");
}

#define STAT(field) {#field, offsetof(struct card_stats, field)}

static const struct {
	const char *name;
	size_t offset;
} stats[] = {
	STAT(dma_read_bytes),	 STAT(dma_write_bytes),	  STAT(dma_jobs),	   STAT(dma_aborts),
	STAT(msi_raised),	 STAT(msi_unsent),	  STAT(imwr_refused),	   STAT(imwr_raw),
	STAT(doorbells_ignored), STAT(commands),	  STAT(commands_failed),   STAT(resets),
	STAT(bar0_reads),	 STAT(bar0_writes),	  STAT(l2_reads),	   STAT(l2_writes),
	STAT(interrupts_lost),	 STAT(transfers_stalled), STAT(transfers_aborted), STAT(vanished),
};

_Static_assert(ARRAY_NR(stats) == sizeof(struct card_stats) / sizeof(uint64_t),
	       "every counter is told");

/* "all" is more than JSON's numbers hold. */
static int64_t armed(const struct card *card, enum card_fault fault)
{
	uint64_t count = card_fault_armed(card, fault);

	return count == CARD_FAULT_ALL ? -1 : (int64_t)count;
}

static int run_stats(struct request *request, int detail)
{
	const struct card *card = request->card;
	struct card_stats values;
	size_t len, i;
	uint64_t value;

	(void)detail;
	card_stats(card, &values);
	/* 20 names and numbers of 20 digits are far below CARD_CONTROL_REPLY_MAX. */
	len = (size_t)sprintf(request->reply, "{\"ok\":true");
	for (i = 0; i < ARRAY_NR(stats); i++) {
		memcpy(&value, (const char *)&values + stats[i].offset, sizeof(value));
		len += (size_t)snprintf(request->reply + len, CARD_CONTROL_REPLY_MAX - len,
					",\"%s\":%" PRIu64, stats[i].name, value);
	}
	snprintf(request->reply + len, CARD_CONTROL_REPLY_MAX - len,
		 ",\"armed\":{\"lose-interrupts\":%" PRId64 ",\"stall\":%" PRId64
		 ",\"abort\":%" PRId64 "},\"gone\":%s,\"idle\":%s}",
		 armed(card, CARD_FAULT_LOSE_INTERRUPT), armed(card, CARD_FAULT_STALL),
		 armed(card, CARD_FAULT_ABORT), card_vanished(card) ? "true" : "false",
		 card_idle(card) ? "true" : "false");
	return 0;
}

static const struct command commands[] = {
	{"dma-read", "ADDR BYTES", run_dma, 3, false},
	{"dma-write", "ADDR BYTES", run_dma, 3, true},
	{"imwr", "ADDR DATA", run_imwr, 3, 0},
	{"poke", "OFFSET VALUE", run_poke, 3, 0},
	{"peek", "OFFSET", run_peek, 2, 0},
	{"lose-interrupts", "N", run_arm, 2, CARD_FAULT_LOSE_INTERRUPT},
	{"stall", "N", run_arm, 2, CARD_FAULT_STALL},
	{"abort", "N", run_arm, 2, CARD_FAULT_ABORT},
	{"vanish", "no arguments", run_vanish, 1, true},
	{"return", "no arguments", run_vanish, 1, false},
	{"reset", "flr, bus or cold", run_reset, 2, 0},
	{"stats", "no arguments", run_stats, 1, 0},
};

static int run(struct request *request)
{
	const struct command *command;
	char text[64];

	for (command = commands; command < commands + ARRAY_NR(commands); command++) {
		if (strcmp(request->word[0], command->name))
			continue;
		if (request->words == command->words)
			return command->run(request, command->detail);
		snprintf(text, sizeof(text), "%s takes %s", command->name, command->args);
		return refuse(request, -EINVAL, text);
	}
	return refuse(request, -EINVAL, "there is no such command");
}

int card_control(struct card *card, const char *line, char ret_reply[CARD_CONTROL_REPLY_MAX])
{
	struct request request = {.card = card, .reply = ret_reply};
	size_t len = strnlen(line, sizeof(request.line));

	if (len == sizeof(request.line))
		return refuse(&request, -EINVAL, "the command is too long");
	memcpy(request.line, line, len + 1);
	split(&request);
	if (!request.words)
		return refuse(&request, -EINVAL, "there is no command");
	return run(&request);
}
