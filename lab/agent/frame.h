/* SPDX-License-Identifier: MIT */
/*
 * Frames in and out of a descriptor that does not block, the same on both ends. In a header, as the
 * agent is a program of its own that shares no library with the runner.
 */
#ifndef TETHYS_LAB_FRAME_H
#define TETHYS_LAB_FRAME_H

#include <endian.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lab/agent/proto.h"

#define LAB_FRAME_SPACE (sizeof(struct lab_frame) + LAB_FRAME_BYTES_MAX)

/* What came and was not consumed yet: room for the longest frame. */
struct lab_frame_in {
	unsigned char *data;
	size_t start, end;
};

/* A frame in place: valid until the next lab_frame_in_read(). */
struct lab_frame_view {
	unsigned int type;
	__u32 id;
	const unsigned char *body;
	size_t bytes;
};

/* What the other end has not taken yet. Grows: who fills it asks for its length first. */
struct lab_frame_out {
	unsigned char *data;
	size_t start, end, room;
};

static inline int lab_frame_in_init(struct lab_frame_in *in)
{
	memset(in, 0, sizeof(*in));
	in->data = malloc(LAB_FRAME_SPACE);
	return in->data ? 0 : -ENOMEM;
}

static inline void lab_frame_in_deinit(struct lab_frame_in *in)
{
	free(in->data);
	memset(in, 0, sizeof(*in));
}

static inline void lab_frame_in_reset(struct lab_frame_in *in)
{
	in->start = in->end = 0;
}

static inline size_t lab_frame_in_free(const struct lab_frame_in *in)
{
	return LAB_FRAME_SPACE - (in->end - in->start);
}

/* Return: bytes read; 0 end of file; negative errno, -ENOBUFS: full. */
static inline ssize_t lab_frame_in_read(struct lab_frame_in *in, int fd)
{
	ssize_t got;

	if (in->start) {
		memmove(in->data, in->data + in->start, in->end - in->start);
		in->end -= in->start;
		in->start = 0;
	}
	if (in->end == LAB_FRAME_SPACE)
		return -ENOBUFS;
	do {
		got = read(fd, in->data + in->end, LAB_FRAME_SPACE - in->end);
	} while (got < 0 && errno == EINTR);
	if (got < 0)
		return -errno;
	in->end += (size_t)got;
	return got;
}

/* Return: 1 with a frame, consumed; 0 not all of it is there; -EPROTO its header is nonsense. */
static inline int lab_frame_in_next(struct lab_frame_in *in, struct lab_frame_view *ret_view)
{
	struct lab_frame header;
	size_t bytes;

	if (in->end - in->start < sizeof(header))
		return 0;
	memcpy(&header, in->data + in->start, sizeof(header));
	bytes = le32toh(header.bytes);
	if (bytes > LAB_FRAME_BYTES_MAX || header.reserved)
		return -EPROTO;
	if (in->end - in->start - sizeof(header) < bytes)
		return 0;
	ret_view->type = le16toh(header.type);
	ret_view->id = le32toh(header.id);
	ret_view->body = in->data + in->start + sizeof(header);
	ret_view->bytes = bytes;
	in->start += sizeof(header) + bytes;
	return 1;
}

/*
 * Skip to a hello: a new connection may begin in the middle of what was meant for the one before.
 * Return: true when all of the hello's header and magic are there.
 */
static inline bool lab_frame_in_find_hello(struct lab_frame_in *in)
{
	struct {
		struct lab_frame frame;
		struct lab_hello hello;
	} __attribute__((packed)) head;

	for (; in->end - in->start >= sizeof(head); in->start++) {
		memcpy(&head, in->data + in->start, sizeof(head));
		if (head.hello.magic == htole64(LAB_HELLO_MAGIC) &&
		    head.frame.type == htole16(LAB_FRAME_HELLO) && !head.frame.reserved &&
		    !head.frame.id && le32toh(head.frame.bytes) <= LAB_FRAME_BYTES_MAX)
			return true;
	}
	return false;
}

static inline void lab_frame_out_deinit(struct lab_frame_out *out)
{
	free(out->data);
	memset(out, 0, sizeof(*out));
}

static inline size_t lab_frame_out_queued(const struct lab_frame_out *out)
{
	return out->end - out->start;
}

static inline int lab_frame_out_reserve(struct lab_frame_out *out, size_t more)
{
	size_t used = out->end - out->start, room = out->room ? out->room : 4096;
	unsigned char *data;

	if (out->start) {
		memmove(out->data, out->data + out->start, used);
		out->start = 0;
		out->end = used;
	}
	while (room - used < more)
		room *= 2;
	if (room == out->room)
		return 0;
	data = realloc(out->data, room);
	if (!data)
		return -ENOMEM;
	out->data = data;
	out->room = room;
	return 0;
}

/* A frame of up to two parts. Return: 0; -ENOMEM; -E2BIG. */
static inline int lab_frame_out_add(struct lab_frame_out *out, unsigned int type, __u32 id,
				    const void *head, size_t head_bytes, const void *tail,
				    size_t tail_bytes)
{
	struct lab_frame header = {.type = htole16((__u16)type), .id = htole32(id)};
	unsigned char *at;

	if (head_bytes > LAB_FRAME_BYTES_MAX || tail_bytes > LAB_FRAME_BYTES_MAX - head_bytes)
		return -E2BIG;
	if (out->room - out->end < sizeof(header) + head_bytes + tail_bytes &&
	    lab_frame_out_reserve(out, sizeof(header) + head_bytes + tail_bytes))
		return -ENOMEM;
	header.bytes = htole32((__u32)(head_bytes + tail_bytes));
	at = out->data + out->end;
	memcpy(at, &header, sizeof(header));
	at += sizeof(header);
	if (head_bytes)
		memcpy(at, head, head_bytes);
	if (tail_bytes)
		memcpy(at + head_bytes, tail, tail_bytes);
	out->end += sizeof(header) + head_bytes + tail_bytes;
	return 0;
}

/* Write until all is gone or @fd is full. Return: 0; negative errno but -EAGAIN. */
static inline int lab_frame_out_write(struct lab_frame_out *out, int fd)
{
	ssize_t done;

	while (out->start < out->end) {
		done = write(fd, out->data + out->start, out->end - out->start);
		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return errno == EAGAIN ? 0 : -errno;
		out->start += (size_t)done;
	}
	out->start = out->end = 0;
	return 0;
}

#endif
