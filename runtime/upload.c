/* SPDX-License-Identifier: MIT */
/*
 * A module goes through a few DMA buffers, each with its own thread and channel: while the card
 * copies one buffer, the other thread reads the file into the next.
 */
#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "runtime/internal.h"
#include "runtime/upload.h"

#define UPLOAD_CHUNK_BYTES (2u << 20)
#define UPLOAD_WORKERS 2u /* one more gains nothing: reading and copying are the two stages */

struct upload {
	struct axdev *dev;
	const struct module *module;
	uint64_t card_addr;
	atomic_uint_least64_t next; /* offset of the first chunk nobody has taken */
	atomic_bool failed;
};

struct upload_worker {
	struct upload *upload;
	int channel;
	pthread_t thread;
	int err;
	struct reason why;
};

static int upload_chunk(struct upload_worker *worker, const struct axdev_buf *buf, uint64_t at)
{
	struct upload *upload = worker->upload;
	uint64_t left = upload->module->bytes - at;
	size_t len = left < buf->bytes ? (size_t)left : buf->bytes;
	int r;

	r = module_read(upload->module, at, buf->ptr, len, &worker->why);
	if (r)
		return r;
	return upload->dev->ops->xfer(upload->dev, AXDEV_TO_CARD, worker->channel,
				      upload->card_addr + at, buf, 0, len, &worker->why);
}

static void *upload_main(void *arg)
{
	struct upload_worker *worker = arg;
	struct upload *upload = worker->upload;
	const uint64_t bytes = upload->module->bytes;
	struct axdev_buf buf;
	uint64_t at;

	worker->err = upload->dev->ops->buf_alloc(
		upload->dev, bytes < UPLOAD_CHUNK_BYTES ? (size_t)bytes : UPLOAD_CHUNK_BYTES, &buf,
		&worker->why);
	if (worker->err) {
		atomic_store(&upload->failed, true);
		return NULL;
	}
	while (!worker->err && !atomic_load(&upload->failed)) {
		at = atomic_fetch_add(&upload->next, UPLOAD_CHUNK_BYTES);
		if (at >= bytes)
			break;
		worker->err = upload_chunk(worker, &buf, at);
	}
	if (worker->err)
		atomic_store(&upload->failed, true);
	upload->dev->ops->buf_free(upload->dev, &buf);
	return NULL;
}

int upload_module(struct axdev *dev, const struct module *module, uint64_t card_addr,
		  struct reason *why)
{
	struct upload upload = {.dev = dev, .module = module, .card_addr = card_addr};
	struct upload_worker workers[UPLOAD_WORKERS];
	unsigned int i, started = 1;
	int r = 0;

	memset(workers, 0, sizeof(workers));
	for (i = 0; i < UPLOAD_WORKERS; i++) {
		workers[i].upload = &upload;
		workers[i].channel = (int)i;
	}
	if (module->bytes > UPLOAD_CHUNK_BYTES) /* fewer threads are slower, not wrong */
		while (started < UPLOAD_WORKERS &&
		       !axr_thread_start(&workers[started].thread, upload_main, &workers[started]))
			started++;
	upload_main(&workers[0]);
	for (i = 1; i < started; i++)
		pthread_join(workers[i].thread, NULL);
	for (i = 0; i < started && !r; i++) {
		r = workers[i].err;
		if (r)
			reason_add(why, r, "%s",
				   workers[i].why.text[0] ? workers[i].why.text : strerror(-r));
	}
	return r;
}
