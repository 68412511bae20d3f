/* SPDX-License-Identifier: MIT */
/*
 * The log ring: text for whoever looks into the card, also after it has failed.
 */
#include <endian.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "card/firmware.h"

#define RING_BYTES (METIS_FW_LOG_BYTES - sizeof(struct metis_fw_log))

static struct metis_fw_log *ring_header(struct card_firmware *fw)
{
	return (void *)((char *)fw->l2 + METIS_FW_LOG_OFFSET);
}

/* Names and messages come from networks and guests: a log must not drive a terminal. */
static void sanitise(char *text)
{
	for (; *text; text++) {
		if (*text < ' ' || *text > '~')
			*text = '?';
	}
}

void fw_log_reset(struct card_firmware *fw, bool clear)
{
	struct metis_fw_log *log = ring_header(fw);

	pthread_mutex_lock(&fw->log_lock);
	if (clear) {
		memset(log, 0, METIS_FW_LOG_BYTES);
		fw->log_written = 0;
	}
	log->magic = htole32(METIS_FW_LOG_MAGIC);
	log->bytes = htole32(RING_BYTES);
	log->written = htole64(fw->log_written);
	pthread_mutex_unlock(&fw->log_lock);
}

void fw_log(struct card_firmware *fw, const char *fmt, ...)
{
	struct metis_fw_log *log = ring_header(fw);
	char *ring = (char *)(log + 1);
	char line[256];
	size_t len, i;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line) - 1, fmt, ap);
	va_end(ap);
	sanitise(line);
	len = strlen(line);
	line[len++] = '\n';

	pthread_mutex_lock(&fw->log_lock);
	for (i = 0; i < len; i++)
		ring[(fw->log_written + i) % RING_BYTES] = line[i];
	fw->log_written += len;
	/* Our own count, not the header's: the host can write there. */
	__atomic_store_n((uint64_t *)((char *)log + offsetof(struct metis_fw_log, written)),
			 htole64(fw->log_written), __ATOMIC_RELEASE);
	pthread_mutex_unlock(&fw->log_lock);
}

void fw_reason_line(const struct reason *why, char *ret_line, size_t bytes)
{
	const char *end = why->text + strnlen(why->text, sizeof(why->text));
	size_t used = 0;

	ret_line[0] = '\0';
	while (end > why->text) {
		const char *newline = memrchr(why->text, '\n', (size_t)(end - why->text));
		const char *start = newline ? newline + 1 : why->text;
		int n = snprintf(ret_line + used, bytes - used, "%s%.*s", used ? ": " : "",
				 (int)(end - start), start);

		used += (size_t)n;
		if (used >= bytes)
			break;
		end = newline ? newline : why->text;
	}
	sanitise(ret_line);
}
