/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "doctor/log/ahead.h"

#define THREADS_MAX 4u
#define BLOCKS_MAX (2 * THREADS_MAX + 2)

struct block {
	bool ready; /* filled and searched, the reader's to look at; under lock */
	bool taken; /* by a thread; under lock */
	off_t at;   /* in the file */
	ssize_t size;
	size_t hits, searched;
	uint32_t hit[AHEAD_HITS_MAX];
	char data[AHEAD_BLOCK_BYTES];
};

struct ahead {
	int fd;
	const struct prefilter *filter;
	off_t start;
	pthread_mutex_t lock; /* the fields below, and those of blocks that say so */
	pthread_cond_t moved;
	uint64_t next; /* number of the block that is read next */
	uint64_t out;  /* of the one that the caller has, or has yet to get */
	bool has_out;
	bool last;  /* the caller has had the one with the file's end; the caller's own */
	bool ended; /* no more to be read */
	bool stop;
	unsigned int threads;
	pthread_t thread[THREADS_MAX];
	unsigned int blocks;
	struct block *block[BLOCKS_MAX];
};

static void search(const struct ahead *ahead, struct block *block)
{
	size_t size = (size_t)block->size, at = 0;

	block->hits = 0;
	while (at < size && block->hits < AHEAD_HITS_MAX) {
		const char *newline;
		size_t hit = prefilter_next(ahead->filter, block->data, size, at);

		if (hit == PREFILTER_NONE) {
			at = size;
			break;
		}
		block->hit[block->hits++] = (uint32_t)hit;
		newline = memchr(block->data + hit, '\n', size - hit);
		at = newline ? (size_t)(newline - block->data) + 1 : size;
	}
	block->searched = at;
}

/* Return: the block to fill, NULL when there is nothing more to do. */
static struct block *take(struct ahead *ahead)
{
	struct block *block;

	pthread_mutex_lock(&ahead->lock);
	for (;;) {
		block = ahead->block[ahead->next % ahead->blocks];
		if (ahead->stop || ahead->ended || (!block->taken && !block->ready))
			break;
		pthread_cond_wait(&ahead->moved, &ahead->lock);
	}
	if (ahead->stop || ahead->ended) {
		block = NULL;
	} else {
		block->taken = true;
		block->at = ahead->start + (off_t)(ahead->next++ * AHEAD_BLOCK_BYTES);
	}
	pthread_mutex_unlock(&ahead->lock);
	return block;
}

/* Less than a block's bytes: the file ends there. Return: bytes, or a negative errno. */
static ssize_t read_block(int fd, char *data, off_t at)
{
	size_t have = 0;
	ssize_t got;

	while (have < AHEAD_BLOCK_BYTES) {
		got = pread(fd, data + have, AHEAD_BLOCK_BYTES - have, at + (off_t)have);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (!got)
			break;
		have += (size_t)got;
	}
	return (ssize_t)have;
}

static void *work(void *arg)
{
	struct ahead *ahead = arg;
	struct block *block;

	while ((block = take(ahead))) {
		block->size = read_block(ahead->fd, block->data, block->at);
		if (block->size > 0)
			search(ahead, block);
		pthread_mutex_lock(&ahead->lock);
		ahead->ended |= block->size < (ssize_t)AHEAD_BLOCK_BYTES;
		block->taken = false;
		block->ready = true;
		pthread_cond_broadcast(&ahead->moved);
		pthread_mutex_unlock(&ahead->lock);
	}
	return NULL;
}

static unsigned int processors(void)
{
	long count = sysconf(_SC_NPROCESSORS_ONLN);

	return count<1 ? 1 : count>(long) THREADS_MAX ? THREADS_MAX : (unsigned int)count;
}

static bool make_blocks(struct ahead *ahead, unsigned int count)
{
	for (ahead->blocks = 0; ahead->blocks < count; ahead->blocks++) {
		ahead->block[ahead->blocks] = malloc(sizeof(struct block));
		if (!ahead->block[ahead->blocks])
			return false;
		ahead->block[ahead->blocks]->taken = ahead->block[ahead->blocks]->ready = false;
	}
	return true;
}

/* Signals are for the thread that reads commands. */
static void start_threads(struct ahead *ahead, unsigned int count)
{
	sigset_t all, before;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	while (ahead->threads < count &&
	       !pthread_create(&ahead->thread[ahead->threads], NULL, work, ahead))
		ahead->threads++;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

struct ahead *ahead_create(int fd, const struct prefilter *filter)
{
	unsigned int threads = processors();
	off_t start = lseek(fd, 0, SEEK_CUR);
	struct ahead *ahead;

	if (threads < 2 || start < 0)
		return NULL;
	ahead = calloc(1, sizeof(*ahead));
	if (!ahead)
		return NULL;
	ahead->fd = fd;
	ahead->start = start;
	ahead->filter = filter;
	pthread_mutex_init(&ahead->lock, NULL);
	pthread_cond_init(&ahead->moved, NULL);
	if (make_blocks(ahead, 2 * threads + 2))
		start_threads(ahead, threads);
	if (ahead->threads)
		return ahead;
	ahead_destroy(ahead);
	return NULL;
}

void ahead_destroy(struct ahead *ahead)
{
	if (!ahead)
		return;
	pthread_mutex_lock(&ahead->lock);
	ahead->stop = true;
	pthread_cond_broadcast(&ahead->moved);
	pthread_mutex_unlock(&ahead->lock);
	while (ahead->threads)
		pthread_join(ahead->thread[--ahead->threads], NULL);
	while (ahead->blocks)
		free(ahead->block[--ahead->blocks]);
	pthread_cond_destroy(&ahead->moved);
	pthread_mutex_destroy(&ahead->lock);
	free(ahead);
}

struct ahead_block ahead_next(struct ahead *ahead)
{
	struct block *block;

	if (ahead->last)
		return (struct ahead_block){.data = ""};
	pthread_mutex_lock(&ahead->lock);
	if (ahead->has_out) {
		ahead->block[ahead->out++ % ahead->blocks]->ready = false;
		pthread_cond_broadcast(&ahead->moved);
	}
	ahead->has_out = true;
	block = ahead->block[ahead->out % ahead->blocks];
	while (!block->ready)
		pthread_cond_wait(&ahead->moved, &ahead->lock);
	pthread_mutex_unlock(&ahead->lock);
	ahead->last = block->size < (ssize_t)AHEAD_BLOCK_BYTES;
	return (struct ahead_block){block->data, block->size, block->hit, block->hits,
				    block->searched};
}
