/* SPDX-License-Identifier: MIT */
/*
 * "sim", "sim:N": a card in this process, a new one for each open.
 *
 * The card's bus is memcpy: an IOVA is an address of this process, but only inside ranges the card
 * has been given, so that a wrong descriptor is a refused access and not a crash.
 */
#include <errno.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "card/card.h"
#include "common/copy.h"
#include "runtime/device/pci.h"

#define REGION_CONFIG 7
#define PAGE_BYTES 4096ull
#define HUGE_BYTES (2ull << 20)

/* Host memory the card may reach. */
struct sim_range {
	uint64_t start;
	uint64_t bytes;
	bool readable;
	bool writable;
	bool mapped; /* by us, for buf_alloc */
};

/* Interrupts not yet waited for. One cache line each: waiters spin on it. */
struct sim_irq {
	_Alignas(64) atomic_uint count;
	atomic_uint waiters;
};

struct sim {
	struct axdev_pci pci;
	struct sim_irq irqs[METIS_IRQ_NR]; /* first, as they are aligned to a cache line */
	struct card *card;
	bool attached;
	/* Protects the ranges; held for reading while the card copies, so removal waits for copies. */
	pthread_rwlock_t lock;
	struct sim_range *ranges;
	size_t ranges_nr, ranges_max;
};

static struct sim *sim_of(struct axdev_pci *pci)
{
	return (struct sim *)pci;
}

/* --- the card's bus --- */

static bool reachable(const struct sim *sim, uint64_t iova, size_t len, bool write)
{
	const struct sim_range *range;
	size_t i;

	for (i = 0; i < sim->ranges_nr; i++) {
		range = &sim->ranges[i];
		if ((write ? range->writable : range->readable) && iova >= range->start &&
		    axdev_pci_range(iova - range->start, len, range->bytes))
			return true;
	}
	return false;
}

static int sim_dma_read(void *ctx, uint64_t iova, void *dst, size_t len)
{
	struct sim *sim = ctx;
	int err = -EFAULT;

	pthread_rwlock_rdlock(&sim->lock);
	if (reachable(sim, iova, len, false)) {
		copy_bulk(dst, (const void *)(uintptr_t)iova, len);
		err = 0;
	}
	pthread_rwlock_unlock(&sim->lock);
	return err;
}

static int sim_dma_write(void *ctx, uint64_t iova, const void *src, size_t len)
{
	struct sim *sim = ctx;
	int err = -EFAULT;

	pthread_rwlock_rdlock(&sim->lock);
	if (reachable(sim, iova, len, true)) {
		copy_bulk((void *)(uintptr_t)iova, src, len);
		err = 0;
	}
	pthread_rwlock_unlock(&sim->lock);
	return err;
}

static long futex(atomic_uint *word, int op, unsigned int value, const struct timespec *timeout)
{
	return syscall(SYS_futex, word, op | FUTEX_PRIVATE_FLAG, value, timeout, NULL, 0);
}

/* Sequentially consistent with sim_irq_wait(): either it sees the count or we see the waiter. */
static void sim_msi(void *ctx, unsigned int vector)
{
	struct sim *sim = ctx;
	struct sim_irq *irq = &sim->irqs[vector % METIS_IRQ_NR];

	atomic_fetch_add(&irq->count, 1);
	if (atomic_load(&irq->waiters))
		futex(&irq->count, FUTEX_WAKE, 1, NULL);
}

/* --- the backend --- */

static int card_error(int err, const char *what, struct reason *why)
{
	return err ? reason_add(why, err, "the card refuses %s: %s", what, strerror(-err)) : 0;
}

static int sim_config_read(struct axdev_pci *pci, uint32_t offset, void *buf, size_t len,
			   struct reason *why)
{
	return card_error(card_region_read(sim_of(pci)->card, REGION_CONFIG, offset, buf, len),
			  "a configuration read", why);
}

static int sim_config_write(struct axdev_pci *pci, uint32_t offset, const void *buf, size_t len,
			    struct reason *why)
{
	return card_error(card_region_write(sim_of(pci)->card, REGION_CONFIG, offset, buf, len),
			  "a configuration write", why);
}

static int sim_bar_read(struct axdev_pci *pci, unsigned int bar, uint64_t offset, void *buf,
			size_t len, struct reason *why)
{
	return card_error(card_region_read(sim_of(pci)->card, bar, offset, buf, len), "a BAR read",
			  why);
}

static int sim_bar_write(struct axdev_pci *pci, unsigned int bar, uint64_t offset, const void *buf,
			 size_t len, struct reason *why)
{
	return card_error(card_region_write(sim_of(pci)->card, bar, offset, buf, len),
			  "a BAR write", why);
}

static int sim_regs_write(struct axdev_pci *pci, const struct axdev_reg *regs, unsigned int count,
			  struct reason *why)
{
	unsigned int i;
	int err = 0;

	for (i = 0; !err && i < count; i++)
		err = sim_bar_write(pci, METIS_BAR_EDMA, regs[i].offset, &regs[i].value, 4, why);
	return err;
}

static int range_add(struct sim *sim, const struct sim_range *range, struct reason *why)
{
	struct sim_range *grown;
	int err = 0;

	pthread_rwlock_wrlock(&sim->lock);
	if (sim->ranges_nr == sim->ranges_max) {
		grown = realloc(sim->ranges, (sim->ranges_max + 64) * sizeof(*grown));
		if (grown) {
			sim->ranges = grown;
			sim->ranges_max += 64;
		} else {
			err = reason_add(why, -ENOMEM, "out of memory");
		}
	}
	if (!err)
		sim->ranges[sim->ranges_nr++] = *range;
	pthread_rwlock_unlock(&sim->lock);
	return err;
}

/* After return the card doesn't touch it. Equal ranges may be there more than once. */
static void range_remove(struct sim *sim, const struct sim_range *range)
{
	struct sim_range *at;
	size_t i;

	pthread_rwlock_wrlock(&sim->lock);
	for (i = 0; i < sim->ranges_nr; i++) {
		at = &sim->ranges[i];
		if (at->start != range->start || at->bytes != range->bytes ||
		    at->writable != range->writable || at->readable != range->readable)
			continue;
		*at = sim->ranges[--sim->ranges_nr];
		break;
	}
	pthread_rwlock_unlock(&sim->lock);
}

static struct sim_range buf_range(const void *ptr, size_t bytes)
{
	return (struct sim_range){
		.start = (uintptr_t)ptr,
		.bytes = bytes,
		.readable = true,
		.writable = true,
		.mapped = true,
	};
}

static int sim_mem_alloc(struct axdev_pci *pci, size_t bytes, struct axdev_buf *ret_buf,
			 struct reason *why)
{
	size_t mapped = (bytes + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1);
	struct sim_range range;
	void *ptr;
	int err;

	ptr = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (ptr == MAP_FAILED)
		return reason_add(why, -ENOMEM, "no memory for a buffer of %zu bytes", bytes);
	if (mapped >= HUGE_BYTES)
		madvise(ptr, mapped, MADV_HUGEPAGE);
	range = buf_range(ptr, mapped);
	err = range_add(sim_of(pci), &range, why);
	if (err) {
		munmap(ptr, mapped);
		return err;
	}
	*ret_buf = (struct axdev_buf){.ptr = ptr, .iova = (uintptr_t)ptr, .bytes = bytes};
	return 0;
}

static void sim_mem_free(struct axdev_pci *pci, struct axdev_buf *buf)
{
	size_t mapped = (buf->bytes + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1);
	struct sim_range range = buf_range(buf->ptr, mapped);

	range_remove(sim_of(pci), &range);
	munmap(buf->ptr, mapped);
}

static struct sim_range user_range(enum axdev_dir dir, const void *ptr, size_t len)
{
	return (struct sim_range){
		.start = (uintptr_t)ptr,
		.bytes = len,
		.readable = dir == AXDEV_TO_CARD,
		.writable = dir == AXDEV_FROM_CARD,
	};
}

static int sim_user_begin(struct axdev_pci *pci, enum axdev_dir dir, void *ptr, size_t len,
			  uint64_t *ret_iova, struct reason *why)
{
	struct sim_range range = user_range(dir, ptr, len);
	int err = range_add(sim_of(pci), &range, why);

	if (!err)
		*ret_iova = (uintptr_t)ptr;
	return err;
}

static void sim_user_end(struct axdev_pci *pci, enum axdev_dir dir, void *ptr, size_t len)
{
	struct sim_range range = user_range(dir, ptr, len);

	range_remove(sim_of(pci), &range);
}

/* Interrupts are on from the start. */
static int sim_irq_setup(struct axdev_pci *pci, struct reason *why)
{
	(void)pci;
	(void)why;
	return 0;
}

static bool sim_irq_take(struct axdev_pci *pci, unsigned int number)
{
	struct sim_irq *irq = &sim_of(pci)->irqs[number];
	unsigned int count = atomic_load(&irq->count);

	while (count)
		if (atomic_compare_exchange_weak(&irq->count, &count, count - 1))
			return true;
	return false;
}

static int sim_irq_wait(struct axdev_pci *pci, unsigned int number, uint64_t timeout_us,
			struct reason *why)
{
	uint64_t now = axdev_now_us(), end = now + timeout_us;
	struct sim_irq *irq = &sim_of(pci)->irqs[number];
	struct timespec ts;
	bool taken;

	(void)why;
	atomic_fetch_add(&irq->waiters, 1);
	while (!(taken = sim_irq_take(pci, number)) && now < end) {
		ts.tv_sec = (end - now) / 1000000;
		ts.tv_nsec = (end - now) % 1000000 * 1000;
		futex(&irq->count, FUTEX_WAIT, 0, &ts);
		now = axdev_now_us();
	}
	atomic_fetch_sub(&irq->waiters, 1);
	return taken ? 0 : -ETIMEDOUT;
}

static void sim_irq_clear(struct axdev_pci *pci, unsigned int number)
{
	atomic_store(&sim_of(pci)->irqs[number].count, 0);
}

static int sim_reset(struct axdev_pci *pci, struct reason *why)
{
	(void)why;
	card_reset(sim_of(pci)->card, CARD_RESET_BUS);
	return 0;
}

/* --- open and close --- */

/* Takes half-built ones too; buffers never freed go with it. */
static void sim_destroy(struct axdev_pci *pci)
{
	struct sim *sim = sim_of(pci);
	size_t i;

	if (sim->attached)
		card_detach(sim->card);
	card_destroy(sim->card);
	for (i = 0; i < sim->ranges_nr; i++)
		if (sim->ranges[i].mapped)
			munmap((void *)(uintptr_t)sim->ranges[i].start, sim->ranges[i].bytes);
	free(sim->ranges);
	pthread_rwlock_destroy(&sim->lock);
	axdev_pci_deinit(pci);
	free(sim);
}

static const struct axdev_pci_ops sim_ops = {
	.destroy = sim_destroy,
	.config_read = sim_config_read,
	.config_write = sim_config_write,
	.bar_read = sim_bar_read,
	.bar_write = sim_bar_write,
	.regs_write = sim_regs_write,
	.mem_alloc = sim_mem_alloc,
	.mem_free = sim_mem_free,
	.user_begin = sim_user_begin,
	.user_end = sim_user_end,
	.irq_setup = sim_irq_setup,
	.irq_wait = sim_irq_wait,
	.irq_take = sim_irq_take,
	.irq_clear = sim_irq_clear,
	.reset = sim_reset,
};

static int create_card(struct sim *sim, struct reason *why)
{
	const struct card_config config = {
		.personality = sim->pci.dev.options.personality,
		.engine = sim->pci.dev.options.engine,
		.keep_imwr = -1,
	};
	const struct card_bus bus = {
		.ctx = sim,
		.dma_read = sim_dma_read,
		.dma_write = sim_dma_write,
		.msi = sim_msi,
	};
	size_t trapped;
	uint8_t *l2;
	int err, fd;

	err = card_create(&config, &sim->card, why);
	if (err)
		return err;
	err = card_attach(sim->card, &bus);
	if (err)
		return reason_add(why, err, "the card does not attach: %s", strerror(-err));
	sim->attached = true;
	l2 = card_l2(sim->card, &fd, &trapped);
	sim->pci.l2[0] = (struct axdev_l2_area){
		.offset = trapped,
		.bytes = METIS_BAR_L2_BYTES - trapped,
		.ptr = l2 + trapped,
	};
	sim->pci.l2_areas = 1;
	return axdev_pci_start(&sim->pci, why);
}

/* A writer must not wait for ever behind eight channels that keep copying. */
static void lock_init(pthread_rwlock_t *lock)
{
	pthread_rwlockattr_t attr;

	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(lock, &attr);
	pthread_rwlockattr_destroy(&attr);
}

static int check_name(const char *name, struct reason *why)
{
	const char *number = name + strlen("sim");

	if (!*number)
		return 0;
	number++;
	if (*number && strlen(number) <= 4 && strspn(number, "0123456789") == strlen(number))
		return 0;
	return reason_add(why, -EINVAL, "device \"%.100s\": write sim or sim:NUMBER", name);
}

static int sim_open(const char *name, const struct axdev_options *options, struct axdev **ret_dev,
		    struct reason *why)
{
	struct sim *sim;
	int err;

	err = check_name(name, why);
	if (err)
		return err;
	sim = aligned_alloc(64, sizeof(*sim));
	if (!sim)
		return reason_add(why, -ENOMEM, "out of memory");
	memset(sim, 0, sizeof(*sim));
	err = axdev_pci_init(&sim->pci, &sim_ops, name, options, why);
	if (err) {
		free(sim);
		return err;
	}
	lock_init(&sim->lock);
	err = create_card(sim, why);
	if (err) {
		sim_destroy(&sim->pci);
		return err;
	}
	*ret_dev = &sim->pci.dev;
	return 0;
}

static void sim_list(void (*found)(void *ctx, const char *name), void *ctx)
{
	found(ctx, "sim");
}

const struct axdev_backend axdev_sim = {
	.scheme = "sim",
	.open = sim_open,
	.list = sim_list,
};
