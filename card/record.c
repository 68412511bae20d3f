// SPDX-License-Identifier: MIT
/*
 * One write(2) a line, without a lock and without a buffer: appending is atomic and has an order,
 * and what is in the file stays there when the card is killed. It costs little beside the copies
 * it tells of (docs/man/tethys-card.1).
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "card/record.h"

#define LINE_BYTES 160

struct card_record {
	int fd;
	_Atomic int error; /* of the first line that failed: the rest would follow a torn one */
};

static void put_line(struct card_record *record, const char *line, size_t len)
{
	int none = 0, error;
	ssize_t ret;

	if (atomic_load_explicit(&record->error, memory_order_relaxed))
		return;
	do {
		ret = write(record->fd, line, len);
	} while (ret < 0 && errno == EINTR);
	if (ret == (ssize_t)len)
		return;
	error = ret < 0 ? -errno : -ENOSPC;
	atomic_compare_exchange_strong(&record->error, &none, error);
}

int card_record_create(const char *path, struct card_record **ret_record, struct reason *why)
{
	struct card_record *record = calloc(1, sizeof(*record));
	int ret;

	if (!record)
		return reason_add(why, -ENOMEM, "no memory");
	record->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0666);
	if (record->fd < 0) {
		ret = -errno;
		free(record);
		return reason_add(why, ret, "'%s' can't be written: %s", path, strerror(-ret));
	}
	put_line(record, CARD_RECORD_HEADER "\n", strlen(CARD_RECORD_HEADER "\n"));
	ret = atomic_load(&record->error);
	if (ret) {
		card_record_destroy(record);
		return reason_add(why, ret, "'%s' can't be written: %s", path, strerror(-ret));
	}
	*ret_record = record;
	return 0;
}

int card_record_destroy(struct card_record *record)
{
	int ret;

	if (!record)
		return 0;
	ret = atomic_load(&record->error);
	if (close(record->fd) && !ret)
		ret = -errno;
	free(record);
	return ret;
}

static int print_access(char *line, const struct card_event *event)
{
	static const char *const ways[CARD_WAY_NR] = {
		[CARD_WAY_NONE] = "none",
		[CARD_WAY_BUS] = "none", /* is left to the transport to tell */
		[CARD_WAY_DIRECT] = "direct",
		[CARD_WAY_MESSAGE] = "message",
	};
	const char *kind = event->kind == CARD_EVENT_WRITE ? "write" : "read";
	char result[16] = "?", number[16] = "";

	if (event->result != CARD_RESULT_UNKNOWN)
		snprintf(result, sizeof(result), "%d", event->result);
	if (event->way == CARD_WAY_MESSAGE)
		snprintf(number, sizeof(number), " %u", event->number);
	return snprintf(line, LINE_BYTES, "%s 0x%016" PRIx64 " %" PRIu64 " %s %s%s\n", kind,
			event->addr, event->len, result, ways[event->way], number);
}

static int print_range(char *line, const struct card_event *event)
{
	if (event->kind == CARD_EVENT_SENT)
		return snprintf(line, LINE_BYTES, "sent %u %s 0x%016" PRIx64 " %" PRIu64 "\n",
				event->number, event->write ? "write" : "read", event->addr,
				event->len);
	if (event->kind == CARD_EVENT_MAP)
		return snprintf(line, LINE_BYTES, "map 0x%016" PRIx64 " %" PRIu64 " %c%c %s\n",
				event->addr, event->len, event->read ? 'r' : '-',
				event->write ? 'w' : '-',
				event->way == CARD_WAY_DIRECT ? "direct" : "message");
	if (!event->len)
		return snprintf(line, LINE_BYTES, "unmap all\n");
	return snprintf(line, LINE_BYTES, "unmap 0x%016" PRIx64 " %" PRIu64 "\n", event->addr,
			event->len);
}

static int print_message(char *line, const struct card_event *event)
{
	return snprintf(line, LINE_BYTES, "%s 0x%016" PRIx64 " %" PRIu64 " %d\n",
			event->kind == CARD_EVENT_MSI ? "msi" : "imwr", event->addr, event->len,
			event->result);
}

static int print_event(char *line, const struct card_event *event)
{
	static const char *const resets[] = {
		[CARD_RESET_FLR] = "flr",
		[CARD_RESET_BUS] = "bus",
		[CARD_RESET_COLD] = "cold",
	};

	switch (event->kind) {
	case CARD_EVENT_READ:
	case CARD_EVENT_WRITE:
		return event->way == CARD_WAY_BUS ? 0 : print_access(line, event);
	case CARD_EVENT_MSI:
	case CARD_EVENT_IMWR:
		return print_message(line, event);
	case CARD_EVENT_RESET:
		return snprintf(line, LINE_BYTES, "reset %s\n", resets[event->reset]);
	case CARD_EVENT_OWNER:
		return snprintf(line, LINE_BYTES, "owner\n");
	case CARD_EVENT_LEFT:
		return snprintf(line, LINE_BYTES, "left\n");
	case CARD_EVENT_MAP:
	case CARD_EVENT_UNMAP:
	case CARD_EVENT_SENT:
		return print_range(line, event);
	case CARD_EVENT_NR:
		break;
	}
	return 0;
}

void card_record_event(void *ctx, const struct card_event *event)
{
	char line[LINE_BYTES];
	int len = print_event(line, event);

	if (len > 0 && len < LINE_BYTES)
		put_line(ctx, line, (size_t)len);
}
