/* SPDX-License-Identifier: MIT */
/*
 * Transfers through the card's eDMA: list into L2, doorbell, interrupt.
 *
 * When is a transfer known to be done?
 *
 * - Where a register read is cheap, after every interrupt the channel must read STOPPED, and aborts
 *   raise the interrupt too (linked-list error enable), so that they are noticed at once.
 * - Where a register read is a message to another process (reads_are_slow), that read would cost as
 *   much as the whole rest of a small transfer. There the abort interrupt is left disabled, so an
 *   interrupt can mean nothing but "done", and every number has its own vector. An abort is noticed
 *   by a look at the channel after a few milliseconds of silence. A stale interrupt of an earlier
 *   transfer is thrown away before the doorbell; a channel that ever timed out or lost an
 *   interrupt, so that one can still be on its way, is distrusted and read back every time.
 *
 * - Where the MSI message is hidden from us (no_msi_message) and the firmware does not send the
 *   interrupts itself, none can come: the channel is polled from the start, which is no loss.
 */
#include <endian.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <tethys/hw/fwarea.h>

#include "runtime/device/pci.h"

/* First look at a silent channel, plus a 1 GB/s copy's time; then twice as long, and so on. */
#define LOOK_FIRST_US 5000
#define LOOK_MAX_US 100000
/* A channel done for so long whose interrupt has not come: it is lost. */
#define LOST_AFTER_US 250000
#define STOP_WITHIN_US 100000
#define POLL_EAGER 16 /* polls before the first sleep */
#define POLL_PAUSE_MIN_US 10
#define POLL_PAUSE_MAX_US 1000
/* Watching for a completion: time of waking the card's threads, speed of its copies, the most. */
#define WAKE_US 50
#define COPY_BYTES_PER_US 4000
#define WATCH_DEFAULT_US 320
#define IN_VAIN_MAX 8
#define ELEMENT_MAX_BYTES 0x40000000u

/* One transfer on one channel, its lock held. */
struct job {
	struct axdev_pci *pci;
	struct axdev_channel *ch;
	enum axdev_dir dir;
	unsigned int n; /* channel */
	uint64_t card_addr;
	const struct axdev_buf *buf;
	uint64_t offset; /* in @buf */
	uint64_t len;
	uint64_t deadline_us;
};

#define CHANNELS_ALL (2 * METIS_EDMA_CHANNELS)

static struct axdev_channel *channel_at(struct axdev_pci *pci, unsigned int i)
{
	return &pci->edma.channels[i / METIS_EDMA_CHANNELS][i % METIS_EDMA_CHANNELS];
}

static bool to_card(const struct job *job)
{
	return job->dir == AXDEV_TO_CARD;
}

/* As in the lines of the vendor's driver, which name the engine's view. */
static const char *engine_name(const struct job *job)
{
	return to_card(job) ? "RD" : "WR";
}

static unsigned int irq_of(const struct job *job)
{
	return to_card(job) ? METIS_IRQ_DMA_READ(job->n) : METIS_IRQ_DMA_WRITE(job->n);
}

static uint32_t channel_reg(const struct job *job, uint32_t reg)
{
	return (to_card(job) ? METIS_EDMA_RD_CH(job->n) : METIS_EDMA_WR_CH(job->n)) + reg;
}

static uint32_t doorbell_reg(const struct job *job)
{
	return to_card(job) ? METIS_EDMA_RD_DOORBELL : METIS_EDMA_WR_DOORBELL;
}

static int reg_read(struct axdev_pci *pci, uint32_t offset, uint32_t *ret_value, struct reason *why)
{
	return pci->bus->bar_read(pci, METIS_BAR_EDMA, offset, ret_value, 4, why);
}

static int read_cs(const struct job *job, enum metis_edma_cs *ret_cs, struct reason *why)
{
	uint32_t control;
	int err;

	err = reg_read(job->pci, channel_reg(job, METIS_EDMA_CH_CONTROL1), &control, why);
	if (err)
		return err;
	if (control == UINT32_MAX)
		return reason_add(why, -ENODEV, "the card is gone: its registers read as all ones");
	*ret_cs = METIS_GET(METIS_EDMA_CS, control);
	return 0;
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* --- list and doorbell --- */

static struct metis_edma_element element(uint32_t control, uint32_t size, uint64_t sar,
					 uint64_t dar)
{
	return (struct metis_edma_element){
		.control = htole32(control),
		.size = htole32(size),
		.sar = htole64(sar),
		.dar = htole64(dar),
	};
}

/* Where the card sees byte @done of the transfer; @ret_bytes: as far as that is one piece. */
static uint64_t host_at(const struct job *job, uint64_t done, uint64_t *ret_bytes)
{
	const struct axdev_buf *buf = job->buf;
	uint64_t offset = job->offset + done;
	size_t low = 0, high = buf->runs_nr, middle;

	*ret_bytes = job->len - done;
	if (!buf->runs)
		return buf->iova + offset;
	/* runs[low] begins at or before @offset, runs[high] after it. */
	while (high - low > 1) {
		middle = low + (high - low) / 2;
		if (buf->runs[middle].offset <= offset)
			low = middle;
		else
			high = middle;
	}
	if (high < buf->runs_nr)
		*ret_bytes = least(*ret_bytes, buf->runs[high].offset - offset);
	return buf->runs[low].iova + (offset - buf->runs[low].offset);
}

/*
 * Write the list of the next bytes from @done on: data elements, the terminator, one cleared
 * control word. @ret_bytes: how many bytes it moves.
 */
static int write_list(const struct job *job, uint64_t done, bool poll, uint64_t *ret_bytes,
		      struct reason *why)
{
	struct metis_edma_element list[METIS_EDMA_LIST_DATA_MAX + 2];
	const struct axdev_edma *edma = &job->pci->edma;
	uint64_t host, card, offset, run, start = done;
	uint32_t size, control;
	unsigned int count = 0;

	while (done < job->len && count < METIS_EDMA_LIST_DATA_MAX) {
		host = host_at(job, done, &run);
		size = (uint32_t)least(run, edma->element_max_bytes);
		card = job->card_addr + done;
		list[count++] = to_card(job) ? element(METIS_EDMA_CB, size, host, card)
					     : element(METIS_EDMA_CB, size, card, host);
		done += size;
	}
	control = METIS_EDMA_CB | (poll ? 0 : METIS_EDMA_RIE);
	list[count - 1].control = htole32(control);
	list[count] = element(METIS_EDMA_TCB, 0, 0, 0);
	list[count + 1] = element(0, 0, 0, 0);
	*ret_bytes = done - start;
	offset = to_card(job) ? METIS_EDMA_RD_LIST(edma->lists_offset, job->n)
			      : METIS_EDMA_WR_LIST(edma->lists_offset, job->n);
	return axdev_pci_l2_write(job->pci, offset, list,
				  (count + 1) * sizeof(list[0]) + sizeof(list[0].control), why);
}

static int ring(const struct job *job, struct reason *why)
{
	uint64_t lists = job->pci->edma.lists;
	uint64_t llp = to_card(job) ? METIS_EDMA_RD_LIST(lists, job->n)
				    : METIS_EDMA_WR_LIST(lists, job->n);
	struct axdev_reg regs[] = {
		{channel_reg(job, METIS_EDMA_CH_CONTROL1), METIS_EDMA_LLE | METIS_EDMA_CCS},
		{channel_reg(job, METIS_EDMA_CH_LLP_LO), (uint32_t)llp},
		{channel_reg(job, METIS_EDMA_CH_LLP_HI), (uint32_t)(llp >> 32)},
		{doorbell_reg(job), METIS_PREP(METIS_EDMA_DOORBELL_CH, job->n)},
	};

	return job->pci->bus->regs_write(job->pci, regs, 4, why);
}

/* --- the bad ends --- */

/* Stop a channel that should have ended by itself, so that its memory can be used again. */
static void stop_channel(const struct job *job)
{
	struct axdev_reg stop = {doorbell_reg(job), METIS_PREP(METIS_EDMA_DOORBELL_CH, job->n) |
							    METIS_EDMA_DOORBELL_STOP};
	uint64_t end = axdev_now_us() + STOP_WITHIN_US;
	enum metis_edma_cs cs;

	job->ch->stuck = true;
	if (job->pci->bus->regs_write(job->pci, &stop, 1, NULL))
		return;
	for (;;) {
		if (read_cs(job, &cs, NULL))
			return;
		if (cs != METIS_EDMA_CS_RUNNING)
			break;
		if (axdev_now_us() >= end)
			return;
		usleep(POLL_PAUSE_MAX_US);
	}
	job->ch->stuck = false;
}

static int timed_out(const struct job *job, enum metis_edma_cs cs, struct reason *why)
{
	static const char *const words[] = {
		[METIS_EDMA_CS_IDLE] = "the channel never started",
		[METIS_EDMA_CS_RUNNING] = "the channel still runs",
		[METIS_EDMA_CS_HALTED] = "the channel is halted",
		[METIS_EDMA_CS_STOPPED] = "the channel is done, its interrupt never came",
	};

	job->ch->distrusted = true;
	if (cs != METIS_EDMA_CS_STOPPED)
		stop_channel(job);
	reason_add(why, -ETIMEDOUT, "DMA %s CH%u timeout (irq %u): %s", engine_name(job), job->n,
		   irq_of(job), words[cs]);
	return reason_add(why, -ETIMEDOUT, "[edma.c:%d] DMA_XFER failed: %s", __LINE__,
			  strerror(ETIMEDOUT));
}

static int interrupt_lost(const struct job *job)
{
	job->ch->distrusted = true;
	atomic_store(&job->pci->edma.polling, true);
	__atomic_fetch_add(&job->pci->dev.lost_irqs, 1, __ATOMIC_RELAXED);
	return 0;
}

static bool has_bit(uint32_t mask, uint32_t status, unsigned int n)
{
	return METIS_GET(mask, status) & METIS_BIT(n);
}

/* Which side refused, from the error status registers. */
static const char *who_refused(const struct job *job)
{
	uint32_t low = 0, high = 0;

	if (!to_card(job)) {
		if (reg_read(job->pci, METIS_EDMA_WR_ERR_STATUS, &low, NULL))
			return "the card does not say why";
		if (has_bit(METIS_EDMA_WR_ERR_LL_FETCH, low, job->n))
			return "a list element could not be read";
		return has_bit(METIS_EDMA_WR_ERR_APP_READ, low, job->n)
			       ? "the card refuses to read its address"
			       : "the host refuses the write to its address";
	}
	if (reg_read(job->pci, METIS_EDMA_RD_ERR_STATUS_LO, &low, NULL) ||
	    reg_read(job->pci, METIS_EDMA_RD_ERR_STATUS_HI, &high, NULL))
		return "the card does not say why";
	if (has_bit(METIS_EDMA_RD_ERR_LL_FETCH, low, job->n))
		return "a list element could not be read";
	if (has_bit(METIS_EDMA_RD_ERR_APP_WRITE, low, job->n))
		return "the card refuses the write to its address";
	if (has_bit(METIS_EDMA_RD_ERR_CA, high, job->n))
		return "the host aborts the read of its address";
	return "the host refuses the read of its address";
}

/* Say why, and leave the channel as the next transfer wants it. */
static int halted(const struct job *job, struct reason *why)
{
	uint64_t run;
	struct axdev_reg regs[] = {
		{to_card(job) ? METIS_EDMA_RD_INT_CLEAR : METIS_EDMA_WR_INT_CLEAR,
		 METIS_PREP(METIS_EDMA_INT_DONE, METIS_BIT(job->n)) |
			 METIS_PREP(METIS_EDMA_INT_ABORT, METIS_BIT(job->n))},
		{channel_reg(job, METIS_EDMA_CH_CONTROL1), 0},
	};

	reason_add(why, -EIO, "DMA %s CH%u aborted: %s (host 0x%llx, card 0x%llx, %llu bytes)",
		   engine_name(job), job->n, who_refused(job),
		   (unsigned long long)host_at(job, 0, &run), (unsigned long long)job->card_addr,
		   (unsigned long long)job->len);
	job->pci->bus->regs_write(job->pci, regs, 2, NULL);
	return -EIO;
}

/*
 * The transfer is given up because the card is gone or has to be given back. If it still listens
 * it must stop: its memory may be unmapped or somebody else's next.
 */
static int give_up(const struct job *job, int err, struct reason *why)
{
	stop_channel(job);
	return reason_add(why, err, "the card is gone in the middle of a transfer");
}

static int check(const struct job *job, struct reason *why)
{
	return job->pci->bus->check ? job->pci->bus->check(job->pci, why) : 0;
}

/* --- waiting --- */

static int wait_polling(const struct job *job, struct reason *why)
{
	unsigned int tries = 0, pause = POLL_PAUSE_MIN_US;
	enum metis_edma_cs cs;
	int err;

	for (;;) {
		err = read_cs(job, &cs, why);
		if (err || cs == METIS_EDMA_CS_STOPPED)
			return err;
		if (cs == METIS_EDMA_CS_HALTED)
			return halted(job, why);
		if (axdev_now_us() >= job->deadline_us)
			return timed_out(job, cs, why);
		err = check(job, why);
		if (err)
			return give_up(job, err, why);
		if (tries++ < POLL_EAGER) {
			sched_yield();
		} else {
			usleep(pause);
			pause = least(pause * 2, POLL_PAUSE_MAX_US);
		}
	}
}

/*
 * Look for the interrupt for about as long as the transfer takes, if that is short. In vain it only
 * took a processor away, perhaps from the card itself: then leave it for ever more transfers.
 */
static bool watch_irq(const struct job *job)
{
	uint64_t expected = WAKE_US + job->len / COPY_BYTES_PER_US, end;
	int limit = job->pci->dev.options.spin_us;

	if (limit < 0 || expected > (limit ? (uint64_t)limit : WATCH_DEFAULT_US))
		return false;
	if (job->ch->skip) {
		job->ch->skip--;
		return false;
	}
	end = axdev_now_us() + expected;
	do {
		if (job->pci->bus->irq_take(job->pci, irq_of(job))) {
			job->ch->in_vain = 0;
			return true;
		}
	} while (axdev_now_us() < end);
	if (job->ch->in_vain < IN_VAIN_MAX)
		job->ch->in_vain++;
	job->ch->skip = METIS_BIT(job->ch->in_vain) - 1;
	return false;
}

static int wait_irq(const struct job *job, struct reason *why)
{
	struct axdev_pci *pci = job->pci;
	uint64_t look = LOOK_FIRST_US + job->len / 1000, now, left, done_since = 0;
	bool trusted = pci->reads_are_slow && !job->ch->distrusted;
	bool seen = false, heal = !pci->dev.options.no_healing, watched = watch_irq(job);
	enum metis_edma_cs cs;
	int err;

	now = axdev_now_us();
	for (;;) {
		left = now < job->deadline_us ? job->deadline_us - now : 0;
		err = watched ? 0 : pci->bus->irq_wait(pci, irq_of(job), least(look, left), why);
		watched = false;
		if (!err && trusted)
			return 0;
		seen |= !err;
		if (err && err != -ETIMEDOUT)
			return give_up(job, err, why);
		err = read_cs(job, &cs, why);
		if (err || (cs == METIS_EDMA_CS_STOPPED && seen))
			return err;
		if (cs == METIS_EDMA_CS_HALTED)
			return halted(job, why);
		now = axdev_now_us();
		if (cs == METIS_EDMA_CS_STOPPED && !done_since)
			done_since = now;
		if (done_since && heal &&
		    now >= least(done_since + LOST_AFTER_US, job->deadline_us))
			return interrupt_lost(job);
		if (now >= job->deadline_us)
			return timed_out(job, cs, why);
		look = least(look * 2, LOOK_MAX_US);
	}
}

static int run_batches(const struct job *job, struct reason *why)
{
	uint64_t done = 0, bytes = 0;
	bool poll;
	int err = check(job, why);

	for (; !err && done < job->len; done += bytes) {
		/* Taken once: another channel may lose an interrupt in between. */
		poll = atomic_load(&job->pci->edma.polling);
		err = write_list(job, done, poll, &bytes, why);
		if (!err && !poll)
			job->pci->bus->irq_clear(job->pci, irq_of(job));
		if (!err)
			err = ring(job, why);
		if (!err)
			err = poll ? wait_polling(job, why) : wait_irq(job, why);
	}
	return err;
}

/* --- channels --- */

static int lock_until(pthread_mutex_t *lock, uint64_t deadline_us)
{
	struct timespec ts = {.tv_sec = deadline_us / 1000000,
			      .tv_nsec = deadline_us % 1000000 * 1000};

	return pthread_mutex_clocklock(lock, CLOCK_MONOTONIC, &ts);
}

static bool usable(const struct job *job)
{
	if (job->ch->stuck)
		stop_channel(job);
	return !job->ch->stuck;
}

/* Any free channel, lowest first: its worker in the card is the one most likely awake. */
static bool take_free(struct job *job)
{
	struct axdev_channel *channels = job->pci->edma.channels[job->dir];

	for (job->n = 0; job->n < METIS_EDMA_CHANNELS; job->n++) {
		job->ch = &channels[job->n];
		if (pthread_mutex_trylock(&job->ch->lock))
			continue;
		if (usable(job))
			return true;
		pthread_mutex_unlock(&job->ch->lock);
	}
	return false;
}

static int take_channel(struct job *job, int channel, struct reason *why)
{
	struct axdev_edma *edma = &job->pci->edma;

	if (channel < 0 && take_free(job))
		return 0;
	job->n = channel < 0 ? atomic_fetch_add(&edma->next, 1) % METIS_EDMA_CHANNELS
			     : (unsigned int)channel;
	job->ch = &edma->channels[job->dir][job->n];
	if (lock_until(&job->ch->lock, job->deadline_us))
		return reason_add(why, -ETIMEDOUT, "DMA %s CH%u stayed busy", engine_name(job),
				  job->n);
	if (usable(job))
		return 0;
	pthread_mutex_unlock(&job->ch->lock);
	return reason_add(why, -EIO, "DMA %s CH%u does not stop since a timeout; reset the card",
			  engine_name(job), job->n);
}

int axdev_edma_xfer(struct axdev_pci *pci, enum axdev_dir dir, int channel, uint64_t card_addr,
		    const struct axdev_buf *buf, uint64_t offset, uint64_t len, struct reason *why)
{
	struct job job = {
		.pci = pci,
		.dir = dir,
		.card_addr = card_addr,
		.buf = buf,
		.offset = offset,
		.len = len,
	};
	uint64_t timeout_ms = pci->dev.options.dma_timeout_ms;
	int err;

	if (!timeout_ms)
		timeout_ms = 1000 + (len >> 20) * 10;
	job.deadline_us = axdev_now_us() + timeout_ms * 1000;
	err = take_channel(&job, channel, why);
	if (err)
		return err;
	/* Time spent queueing is not the card's. */
	job.deadline_us = axdev_now_us() + timeout_ms * 1000;
	err = run_batches(&job, why);
	pthread_mutex_unlock(&job.ch->lock);
	return err;
}

/* --- life --- */

void axdev_edma_lock_all(struct axdev_pci *pci)
{
	unsigned int i;

	for (i = 0; i < CHANNELS_ALL; i++)
		pthread_mutex_lock(&channel_at(pci, i)->lock);
}

void axdev_edma_unlock_all(struct axdev_pci *pci)
{
	unsigned int i;

	for (i = CHANNELS_ALL; i--;)
		pthread_mutex_unlock(&channel_at(pci, i)->lock);
}

/* Where firmware wants the lists, or the top of L2, which every driver knows. */
static int find_lists(struct axdev_pci *pci, const struct metis_sysctl *sysctl, struct reason *why)
{
	uint64_t l2_base = le64toh(sysctl->memory_map[0]), ref = le64toh(sysctl->dma_list.offset);
	struct metis_dma_list_area area = {.base = htole64(METIS_EDMA_LISTS_BASE)};
	struct axdev_edma *edma = &pci->edma;
	int err;

	if (!l2_base)
		l2_base = METIS_L2_BASE;
	if (le16toh(sysctl->dma_list.magic) == METIS_MAGIC_DMA_LIST) {
		if (!axdev_pci_range(ref, sizeof(area), METIS_BAR_L2_BYTES))
			return reason_add(why, -EPROTO,
					  "firmware puts its DMA list area outside BAR2 (0x%llx)",
					  (unsigned long long)ref);
		err = axdev_pci_l2_read(pci, ref, &area, sizeof(area), why);
		if (err)
			return err;
	}
	edma->lists = le64toh(area.base);
	edma->lists_offset = edma->lists - l2_base;
	if (edma->lists % 8 ||
	    !axdev_pci_range(edma->lists_offset, METIS_EDMA_LISTS_BYTES, METIS_BAR_L2_BYTES))
		return reason_add(why, -EPROTO,
				  "firmware puts the DMA lists at 0x%llx, not in BAR2",
				  (unsigned long long)edma->lists);
	return 0;
}

static uint32_t imwr_data(uint16_t msi_data, unsigned int number)
{
	return (uint32_t)(msi_data | number) | (uint32_t)(msi_data | (number + 1)) << 16;
}

static int program_imwr(struct axdev_pci *pci, uint64_t addr, uint16_t data, struct reason *why)
{
	uint32_t lo = (uint32_t)addr, hi = (uint32_t)(addr >> 32);
	struct axdev_reg regs[] = {
		{METIS_EDMA_WR_DONE_IMWR_LO, lo},
		{METIS_EDMA_WR_DONE_IMWR_HI, hi},
		{METIS_EDMA_WR_ABORT_IMWR_LO, lo},
		{METIS_EDMA_WR_ABORT_IMWR_HI, hi},
		{METIS_EDMA_RD_DONE_IMWR_LO, lo},
		{METIS_EDMA_RD_DONE_IMWR_HI, hi},
		{METIS_EDMA_RD_ABORT_IMWR_LO, lo},
		{METIS_EDMA_RD_ABORT_IMWR_HI, hi},
		{METIS_EDMA_WR_CH01_IMWR_DATA, imwr_data(data, METIS_IRQ_DMA_WRITE(0))},
		{METIS_EDMA_WR_CH23_IMWR_DATA, imwr_data(data, METIS_IRQ_DMA_WRITE(2))},
		{METIS_EDMA_RD_CH01_IMWR_DATA, imwr_data(data, METIS_IRQ_DMA_READ(0))},
		{METIS_EDMA_RD_CH23_IMWR_DATA, imwr_data(data, METIS_IRQ_DMA_READ(2))},
	};

	return pci->bus->regs_write(pci, regs, sizeof(regs) / sizeof(regs[0]), why);
}

/*
 * Firmware may still have the virtual-MSI page of whoever drove the card before us, and would write
 * to memory that is somebody else's now.
 */
static int forget_host_driver(struct axdev_pci *pci, const struct metis_sysctl *sysctl,
			      struct reason *why)
{
	uint64_t ref = le64toh(sysctl->host_driver.offset);
	uint32_t ctrl = 0;

	if (le16toh(sysctl->host_driver.magic) != METIS_MAGIC_HOST_DRIVER ||
	    !axdev_pci_range(ref, sizeof(struct metis_host_driver), METIS_BAR_L2_BYTES))
		return 0;
	return axdev_pci_l2_write(pci, ref + offsetof(struct metis_host_driver, ctrl), &ctrl,
				  sizeof(ctrl), why);
}

/* Interrupts of transfers that nobody takes must not be sent: not of their ends, not of aborts. */
static int enable_engines(struct axdev_pci *pci, bool abort_irqs, struct reason *why)
{
	uint32_t all = abort_irqs ? METIS_BIT(METIS_EDMA_CHANNELS) - 1 : 0;
	struct axdev_reg regs[] = {
		{METIS_EDMA_WR_LL_ERR_EN, METIS_PREP(METIS_EDMA_LL_ERR_REMOTE, all)},
		{METIS_EDMA_RD_LL_ERR_EN, METIS_PREP(METIS_EDMA_LL_ERR_REMOTE, all)},
		{METIS_EDMA_WR_ENGINE_EN, 1},
		{METIS_EDMA_RD_ENGINE_EN, 1},
	};

	return pci->bus->regs_write(pci, regs, 4, why);
}

int axdev_edma_start(struct axdev_pci *pci, uint64_t msi_addr, uint16_t msi_data,
		     struct reason *why)
{
	struct axdev_edma *edma = &pci->edma;
	struct metis_sysctl sysctl;
	bool mute;
	unsigned int i;
	int err;

	err = axdev_pci_l2_read(pci, METIS_SYSCTL_OFFSET, &sysctl, sizeof(sysctl), why);
	if (!err)
		err = find_lists(pci, &sysctl, why);
	if (!err)
		err = forget_host_driver(pci, &sysctl, why);
	if (err)
		return err;
	for (i = 0; i < CHANNELS_ALL; i++) {
		channel_at(pci, i)->stuck = false;
		channel_at(pci, i)->distrusted = false;
	}
	edma->owns_imwr = le32toh(sysctl.dma_vm) != METIS_DMA_VM_MAGIC;
	mute = edma->owns_imwr && pci->no_msi_message;
	atomic_store(&edma->polling, mute || pci->dev.options.dma_poll);
	if (edma->owns_imwr)
		err = program_imwr(pci, mute ? 0 : msi_addr, mute ? 0 : msi_data, why);
	/* See the top of this file for why aborts are silent over slow registers. */
	return err ? err : enable_engines(pci, !mute && !pci->reads_are_slow, why);
}

void axdev_edma_stop(struct axdev_pci *pci)
{
	static const struct axdev_reg off[] = {
		{METIS_EDMA_WR_ENGINE_EN, 0},
		{METIS_EDMA_RD_ENGINE_EN, 0},
	};

	if (pci->edma.owns_imwr)
		program_imwr(pci, 0, 0, NULL);
	pci->bus->regs_write(pci, off, 2, NULL);
}

void axdev_edma_init(struct axdev_pci *pci)
{
	struct axdev_edma *edma = &pci->edma;
	unsigned int i;

	for (i = 0; i < CHANNELS_ALL; i++)
		pthread_mutex_init(&channel_at(pci, i)->lock, NULL);
	edma->element_max_bytes = ELEMENT_MAX_BYTES;
}

void axdev_edma_deinit(struct axdev_pci *pci)
{
	unsigned int i;

	for (i = 0; i < CHANNELS_ALL; i++)
		pthread_mutex_destroy(&channel_at(pci, i)->lock);
}
