/* SPDX-License-Identifier: MIT */
/* metis-fuzz: what its files know of each other. */
#ifndef TETHYS_TESTS_KERNEL_FUZZ_H
#define TETHYS_TESTS_KERNEL_FUZZ_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

#define FUZZ_THREADS_MAX 16

/* splitmix64 */
struct rng {
	uint64_t state;
};

static inline uint64_t rng_next(struct rng *rng)
{
	uint64_t z = rng->state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static inline uint32_t rng_below(struct rng *rng, uint32_t n)
{
	return (uint32_t)((rng_next(rng) >> 32) * n >> 32);
}

static inline struct rng rng_of(uint64_t seed, uint64_t n)
{
	struct rng rng = {.state = seed ^ n * 0xd1342543de82ef95ull};

	rng_next(&rng);
	return rng;
}

/* --- what a process does (fuzz_ops.c) --- */

struct fuzz_worker {
	char device[256];
	unsigned int threads;
	bool p2p;
	uint64_t end_ms; /* of fuzz_now_ms() */
};

/* Until its time is over; never returns an error, whatever the driver says. */
void fuzz_work(const struct fuzz_worker *worker, uint64_t seed);
void fuzz_dry_run(const struct fuzz_worker *worker, uint64_t seed, unsigned int nr);

/* --- what the kernel and the card say (fuzz_watch.c) --- */

uint64_t fuzz_now_ms(void);
void fuzz_sleep_ms(unsigned int ms);
void fuzz_kernel_log_start(void); /* lines from here on */
bool fuzz_kernel_log_open(void);
void fuzz_kernel_mark(uint64_t seed, uint64_t round);
/* Reads on. Return: complaints since the start. */
unsigned int fuzz_kernel_log(void);
long long fuzz_pinned(void); /* pages, of the whole machine; -1 where they aren't counted */
/* Return: why it wasn't looked for, or NULL and *ret_ok. */
const char *fuzz_leaks(bool *ret_ok);
bool fuzz_card_works(const char *device);

#endif
