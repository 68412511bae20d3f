// SPDX-License-Identifier: MIT
/*
 * eDMA: the register file, doorbells, status and interrupts.
 *
 * What the IP does where no source says so is marked as a guess.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <tethys/hw/irq.h>

#include "card/edma.h"

#define PWR_CHANNELS 8

enum edma_access { EDMA_NONE, EDMA_RO, EDMA_RW, EDMA_WO, EDMA_W1C };

struct edma_reg {
	uint16_t offset;
	uint8_t access;
	uint32_t reset;
};

static const struct edma_reg table[] = {
#define EDMA_REG(name, off, access, reset, confidence) {off, EDMA_##access, reset},
	METIS_EDMA_REGS(EDMA_REG)
#undef EDMA_REG
};

/* Where one direction has what the other has as well. */
struct edma_side {
	uint16_t engine_en, doorbell, status, mask, clear, err_lo, err_hi, ll_err_en;
	uint16_t done_lo, abort_lo, data;
	uint32_t err_card, err_fetch; /* fields of err_lo */
};

static const struct edma_side sides[2] = {
	{METIS_EDMA_RD_ENGINE_EN, METIS_EDMA_RD_DOORBELL, METIS_EDMA_RD_INT_STATUS,
	 METIS_EDMA_RD_INT_MASK, METIS_EDMA_RD_INT_CLEAR, METIS_EDMA_RD_ERR_STATUS_LO,
	 METIS_EDMA_RD_ERR_STATUS_HI, METIS_EDMA_RD_LL_ERR_EN, METIS_EDMA_RD_DONE_IMWR_LO,
	 METIS_EDMA_RD_ABORT_IMWR_LO, METIS_EDMA_RD_CH01_IMWR_DATA, METIS_EDMA_RD_ERR_APP_WRITE,
	 METIS_EDMA_RD_ERR_LL_FETCH},
	/* One error status register only. */
	{METIS_EDMA_WR_ENGINE_EN, METIS_EDMA_WR_DOORBELL, METIS_EDMA_WR_INT_STATUS,
	 METIS_EDMA_WR_INT_MASK, METIS_EDMA_WR_INT_CLEAR, METIS_EDMA_WR_ERR_STATUS,
	 METIS_EDMA_WR_ERR_STATUS, METIS_EDMA_WR_LL_ERR_EN, METIS_EDMA_WR_DONE_IMWR_LO,
	 METIS_EDMA_WR_ABORT_IMWR_LO, METIS_EDMA_WR_CH01_IMWR_DATA, METIS_EDMA_WR_ERR_APP_READ,
	 METIS_EDMA_WR_ERR_LL_FETCH},
};

static uint32_t get(struct card_edma *edma, uint32_t offset)
{
	return atomic_load_explicit(&edma->regs[offset / 4], memory_order_acquire);
}

/* edma->lock is held. */
static void put(struct card_edma *edma, uint32_t offset, uint32_t value)
{
	atomic_store_explicit(&edma->regs[offset / 4], value, memory_order_release);
}

/* edma->lock is held. */
static void set_bits(struct card_edma *edma, uint32_t offset, uint32_t bits)
{
	put(edma, offset, get(edma, offset) | bits);
}

/* edma->lock is held. */
static void clear_bits(struct card_edma *edma, uint32_t offset, uint32_t bits)
{
	put(edma, offset, get(edma, offset) & ~bits);
}

static uint64_t get64(struct card_edma *edma, uint32_t low)
{
	return get(edma, low) | (uint64_t)get(edma, low + 4) << 32;
}

/* edma->lock is held. */
static void put64(struct card_edma *edma, uint32_t low, uint64_t value)
{
	put(edma, low, value);
	put(edma, low + 4, value >> 32);
}

/* Offset of a channel's register. */
static uint32_t channel_reg(const struct edma_channel *channel, uint32_t reg)
{
	return reg + (channel->write ? METIS_EDMA_WR_CH(channel->index)
				     : METIS_EDMA_RD_CH(channel->index));
}

/* edma->lock is held. */
static void set_cs(struct edma_channel *channel, enum metis_edma_cs cs)
{
	uint32_t control1 = channel_reg(channel, METIS_EDMA_CH_CONTROL1);
	uint32_t control = get(channel->edma, control1) & ~METIS_EDMA_CS;

	put(channel->edma, control1, control | METIS_PREP(METIS_EDMA_CS, cs));
}

static void channels_init(struct card_edma *edma)
{
	unsigned int i;
	uint32_t reg;

	for (i = 0; i < EDMA_CHANNELS_NR; i++) {
		struct edma_channel *channel = &edma->channels[i];

		channel->edma = edma;
		channel->index = i % METIS_EDMA_CHANNELS;
		channel->write = i >= METIS_EDMA_CHANNELS;
		for (reg = 0; reg < METIS_EDMA_CH_BYTES; reg += 4)
			edma->access[channel_reg(channel, reg) / 4] = EDMA_RW;
	}
}

static struct edma_channel *channel_at(struct card_edma *edma, bool write, unsigned int index)
{
	return &edma->channels[write * METIS_EDMA_CHANNELS + index];
}

static void table_init(struct card_edma *edma)
{
	size_t i;

	for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		edma->access[table[i].offset / 4] = table[i].access;
		edma->reset[table[i].offset / 4] = table[i].reset;
	}
	for (i = 0; i < PWR_CHANNELS; i++) {
		edma->access[METIS_EDMA_WR_CH_PWR(i) / 4] = EDMA_RW;
		edma->access[METIS_EDMA_RD_CH_PWR(i) / 4] = EDMA_RW;
	}
}

/*
 * Adaptive: all sections are shorter than going to sleep, and being woken costs up to 100 us.
 */
static void lock_init(pthread_mutex_t *lock)
{
	pthread_mutexattr_t attr;

	pthread_mutexattr_init(&attr);
	pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ADAPTIVE_NP);
	pthread_mutex_init(lock, &attr);
	pthread_mutexattr_destroy(&attr);
}

int card_edma_create(struct card *card, struct card_edma **ret_edma)
{
	struct card_edma *edma = calloc(1, sizeof(*edma));

	if (!edma)
		return -ENOMEM;
	edma->card = card;
	lock_init(&edma->lock);
	table_init(edma);
	channels_init(edma);
	card_edma_workers_init(edma);
	card_edma_reset(edma, false, true);
	*ret_edma = edma;
	return 0;
}

void card_edma_destroy(struct card_edma *edma)
{
	if (!edma)
		return;
	card_edma_reset(edma, false, true);
	card_edma_workers_deinit(edma);
	pthread_mutex_destroy(&edma->lock);
	free(edma);
}

/* What a reset leaves alone; nothing does when the power goes. */
static bool survives(uint32_t offset, bool keep_imwr)
{
	uint32_t in_channel = offset & 0xff;

	/* Drivers enable the engines at probe, and not again when a link comes back from a reset. */
	if (offset == METIS_EDMA_WR_ENGINE_EN || offset == METIS_EDMA_RD_ENGINE_EN)
		return true;
	if (!keep_imwr)
		return false;

	if (offset >= METIS_EDMA_WR_CH(0))
		return in_channel == METIS_EDMA_CH_LLP_LO || in_channel == METIS_EDMA_CH_LLP_HI;
	return (offset >= METIS_EDMA_WR_DONE_IMWR_LO && offset <= METIS_EDMA_WR_CH67_IMWR_DATA) ||
	       (offset >= METIS_EDMA_RD_DONE_IMWR_LO && offset <= METIS_EDMA_RD_CH67_IMWR_DATA);
}

/* edma->lock is held. The job is forgotten: whatever its worker still does has no effect. */
static void channel_forget(struct edma_channel *channel)
{
	atomic_fetch_add(&channel->calls_off, 1);
	atomic_store(&channel->live, 0);
	channel->job = 0;
	channel->stopping = false;
	channel->spent = false;
	channel->stalled = false;
}

void card_edma_reset(struct card_edma *edma, bool keep_imwr, bool cold)
{
	uint32_t offset;
	unsigned int i;

	pthread_mutex_lock(&edma->lock);
	atomic_fetch_add(&edma->resets, 1);
	card_edma_unqueue(edma);
	for (i = 0; i < EDMA_CHANNELS_NR; i++)
		channel_forget(&edma->channels[i]);
	for (offset = 0; offset < METIS_EDMA_END; offset += 4)
		if (cold || !survives(offset, keep_imwr))
			put(edma, offset, edma->reset[offset / 4]);
	pthread_mutex_unlock(&edma->lock);
}

bool card_edma_idle(const struct card_edma *edma)
{
	/* The lock is no part of what const promises. */
	struct card_edma *writable = (struct card_edma *)(uintptr_t)edma;
	unsigned int i;
	bool idle;

	pthread_mutex_lock(&writable->lock);
	idle = !edma->workers.busy;
	for (i = 0; i < EDMA_CHANNELS_NR; i++)
		idle = idle && !edma->channels[i].job;
	pthread_mutex_unlock(&writable->lock);
	return idle;
}

/* The channel whose block @offset, from METIS_EDMA_WR_CH(0) on, is in. */
static struct edma_channel *channel_of(struct card_edma *edma, uint32_t offset)
{
	/* Read channel n comes after write channel n. */
	bool write = !(offset & (METIS_EDMA_RD_CH(0) - METIS_EDMA_WR_CH(0)));
	uint32_t stride = METIS_EDMA_WR_CH(1) - METIS_EDMA_WR_CH(0);

	return channel_at(edma, write, (offset - METIS_EDMA_WR_CH(0)) / stride);
}

/* LLP of a running list. Return: false when the register has it. */
static bool read_live(struct card_edma *edma, uint32_t offset, uint32_t *ret_value)
{
	const struct edma_channel *channel;
	uint64_t live;

	if (offset < METIS_EDMA_WR_CH(0))
		return false;
	channel = channel_of(edma, offset);
	live = atomic_load(&channel->live);
	if (live && offset == channel_reg(channel, METIS_EDMA_CH_LLP_LO))
		*ret_value = (uint32_t)live;
	else if (live && offset == channel_reg(channel, METIS_EDMA_CH_LLP_HI))
		*ret_value = (live & ((1ull << EDMA_LIVE_BITS) - 1)) >> 32;
	else
		return false;
	return true;
}

uint32_t card_edma_read(struct card *card, uint32_t offset)
{
	uint32_t value;

	/* Nothing is ever stored to a register that reads as zeros. */
	if (offset >= METIS_EDMA_END)
		return 0;
	return read_live(card->edma, offset, &value) ? value : get(card->edma, offset);
}

/* edma->lock is held. */
static void fail(struct edma_channel *channel, enum edma_end end)
{
	const struct edma_side *side = &sides[channel->write];
	struct card_edma *edma = channel->edma;
	uint32_t bit = METIS_BIT(channel->index);

	set_cs(channel, METIS_EDMA_CS_HALTED);
	set_bits(edma, side->status, METIS_PREP(METIS_EDMA_INT_ABORT, bit));
	CARD_COUNT(edma->card, dma_aborts);
	if (end == EDMA_END_FETCH)
		set_bits(edma, side->err_lo, METIS_PREP(side->err_fetch, bit));
	else if (end == EDMA_END_CARD)
		set_bits(edma, side->err_lo, METIS_PREP(side->err_card, bit));
	else if (!channel->write && end == EDMA_END_BUS)
		set_bits(edma, side->err_hi, METIS_PREP(METIS_EDMA_RD_ERR_UR, bit));
	else if (!channel->write)
		set_bits(edma, side->err_hi, METIS_PREP(METIS_EDMA_RD_ERR_CA, bit));
	/* A write to the host is posted: the IP has no register that could name the reason. */
}

/* edma->lock is held. */
static void job_load(struct edma_channel *channel, struct edma_job *ret_job)
{
	struct card_edma *edma = channel->edma;
	uint32_t control = get(edma, channel_reg(channel, METIS_EDMA_CH_CONTROL1));

	/* 0 is no job. */
	if (!++edma->jobs)
		edma->jobs++;
	*ret_job = (struct edma_job){
		.channel = channel,
		.id = edma->jobs,
		.run = {&channel->calls_off, atomic_load(&channel->calls_off)},
		.tell = {&edma->resets, atomic_load(&edma->resets)},
		.list = control & METIS_EDMA_LLE,
		.control = control,
		.ccs = control & METIS_EDMA_CCS ? METIS_EDMA_CB : 0,
		.size = get(edma, channel_reg(channel, METIS_EDMA_CH_SIZE)),
		.sar = get64(edma, channel_reg(channel, METIS_EDMA_CH_SAR_LO)),
		.dar = get64(edma, channel_reg(channel, METIS_EDMA_CH_DAR_LO)),
		.llp = get64(edma, channel_reg(channel, METIS_EDMA_CH_LLP_LO)),
	};
}

/* What edma_channel.live is when @job is at its LLP. */
static uint64_t live_of(const struct edma_job *job)
{
	if (!job->list || job->llp >> EDMA_LIVE_BITS)
		return 0;
	return (uint64_t)job->id << EDMA_LIVE_BITS | job->llp;
}

/*
 * Without the lock, for each element pays. Another job's value stays: this one no longer counts.
 */
void card_edma_follow(struct edma_job *job)
{
	uint64_t live = live_of(job);

	if (job->live && live &&
	    atomic_compare_exchange_strong(&job->channel->live, &job->live, live))
		job->live = live;
	else
		job->live = 0;
}

/* edma->lock is held. Return: a worker is to be woken. */
static bool channel_start(struct edma_channel *channel)
{
	struct card_edma *edma = channel->edma;
	struct edma_job job;
	int ret;

	job_load(channel, &job);
	if (!job.list && channel->spent) {
		/*
		 * The driver may ring twice for one job. A list then starts at its terminator; a
		 * single transfer has counted its size down to 0: no data and no interrupt.
		 */
		set_cs(channel, METIS_EDMA_CS_STOPPED);
		return false;
	}
	job.live = live_of(&job);
	ret = card_edma_queue(edma, &job);
	if (ret < 0) {
		fail(channel, EDMA_END_FETCH);
		return false;
	}
	channel->job = job.id;
	channel->stopping = false;
	atomic_store(&channel->live, job.live);
	set_cs(channel, METIS_EDMA_CS_RUNNING);
	CARD_COUNT(edma->card, dma_jobs);
	return ret;
}

/* edma->lock is held. The worker, if there is one, ends the job at its next chunk or element. */
static void channel_stop(struct edma_channel *channel)
{
	if (!channel->job || channel->stopping)
		return;
	if (channel->stalled) {
		channel->stalled = false;
		channel->job = 0;
		set_cs(channel, METIS_EDMA_CS_STOPPED);
		return;
	}
	channel->stopping = true;
	atomic_fetch_add(&channel->calls_off, 1);
}

/* edma->lock is held. Return: a worker is to be woken. */
static bool doorbell(struct card_edma *edma, bool write, uint32_t value)
{
	uint32_t number = METIS_GET(METIS_EDMA_DOORBELL_CH, value);
	struct edma_channel *channel;

	if (number >= METIS_EDMA_CHANNELS) {
		CARD_COUNT(edma->card, doorbells_ignored);
		return false;
	}
	channel = channel_at(edma, write, number);
	if (value & METIS_EDMA_DOORBELL_STOP) {
		channel_stop(channel);
		return false;
	}
	if (channel->job || !(get(edma, sides[write].engine_en) & 1)) {
		CARD_COUNT(edma->card, doorbells_ignored);
		return false;
	}
	return channel_start(channel);
}

/* edma->lock is held. Clearing an abort clears what it was about. */
static void clear(struct card_edma *edma, bool write, uint32_t bits)
{
	uint32_t aborts = METIS_GET(METIS_EDMA_INT_ABORT, bits);

	clear_bits(edma, sides[write].status, bits & (METIS_EDMA_INT_DONE | METIS_EDMA_INT_ABORT));
	clear_bits(edma, sides[write].err_lo, aborts | aborts << 16);
	if (!write)
		clear_bits(edma, sides[write].err_hi, aborts | aborts << 8);
}

/* edma->lock is held. */
static void store_channel(struct card_edma *edma, uint32_t offset, uint32_t value)
{
	struct edma_channel *channel = channel_of(edma, offset);

	/* CS is the host's to set, but not to lie about a transfer in flight. */
	if (offset == channel_reg(channel, METIS_EDMA_CH_CONTROL1) && channel->job)
		value = (value & ~METIS_EDMA_CS) | METIS_PREP(METIS_EDMA_CS, METIS_EDMA_CS_RUNNING);
	if (offset == channel_reg(channel, METIS_EDMA_CH_SIZE))
		channel->spent = false;
	put(edma, offset, value);
}

/* edma->lock is held. */
static void store(struct card_edma *edma, uint32_t offset, uint32_t value)
{
	bool write = offset == METIS_EDMA_WR_ENGINE_EN;
	unsigned int i;

	if (offset >= METIS_EDMA_WR_CH(0)) {
		store_channel(edma, offset, value);
		return;
	}
	put(edma, offset, value);
	if ((!write && offset != METIS_EDMA_RD_ENGINE_EN) || value & 1)
		return;
	/* Guess: switching an engine off stops its channels as their stop bits would. */
	for (i = 0; i < METIS_EDMA_CHANNELS; i++)
		channel_stop(channel_at(edma, write, i));
}

void card_edma_write(struct card *card, uint32_t offset, uint32_t value)
{
	struct card_edma *edma = card->edma;
	bool wake = false;

	if (offset >= METIS_EDMA_END)
		return;
	pthread_mutex_lock(&edma->lock);
	switch ((enum edma_access)edma->access[offset / 4]) {
	case EDMA_NONE:
	case EDMA_RO:
		break;
	case EDMA_RW:
		store(edma, offset, value);
		break;
	case EDMA_WO:
		wake = doorbell(edma, offset == METIS_EDMA_WR_DOORBELL, value);
		break;
	case EDMA_W1C:
		clear(edma, offset == METIS_EDMA_WR_INT_CLEAR, value);
		break;
	}
	pthread_mutex_unlock(&edma->lock);
	/* Only now, or it would wake into the lock. */
	if (wake)
		card_edma_wake(edma);
}

/* An interrupt to the host: what to write where. */
struct edma_imwr {
	uint64_t addr;
	uint32_t data;
};

/* edma->lock is held. @low: METIS_EDMA_*_IMWR_LO of the address. */
static struct edma_imwr imwr(const struct edma_channel *channel, uint32_t low)
{
	struct card_edma *edma = channel->edma;
	uint32_t data = get(edma, sides[channel->write].data + channel->index / 2 * 4);
	struct edma_imwr message = {
		/* Doubleword addresses: the low two bits are not there. */
		.addr = get64(edma, low) & ~3ull,
		.data = channel->index % 2 ? data >> 16 : data & 0xffff,
	};

	return message;
}

static void tell(const struct edma_job *job, const struct edma_imwr *message)
{
	const struct edma_channel *channel = job->channel;
	struct card *card = channel->edma->card;
	unsigned int number = channel->write ? METIS_IRQ_DMA_WRITE(channel->index)
					     : METIS_IRQ_DMA_READ(channel->index);

	if (card_firmware_dma_done(card, number, &job->tell))
		return;
	/* A refused message is counted by who refuses it; the job is done all the same. */
	card_imwr_ticket(card, message->addr, message->data, &job->tell);
	card_firmware_dma_told(card, number, &job->tell);
}

/* edma->lock is held. */
static void set_done(const struct edma_channel *channel)
{
	set_bits(channel->edma, sides[channel->write].status,
		 METIS_PREP(METIS_EDMA_INT_DONE, METIS_BIT(channel->index)));
}

void card_edma_progress(struct edma_job *job)
{
	struct edma_channel *channel = job->channel;
	struct card_edma *edma = channel->edma;
	bool remote = job->due & METIS_EDMA_RIE;
	struct edma_imwr message = {0};

	job->due = 0;
	pthread_mutex_lock(&edma->lock);
	if (channel->job == job->id) {
		set_done(channel);
		message = imwr(channel, sides[channel->write].done_lo);
	} else {
		remote = false;
	}
	pthread_mutex_unlock(&edma->lock);
	if (remote)
		tell(job, &message);
}

/* edma->lock is held. The registers show where the job has got to. */
static void job_store(const struct edma_job *job)
{
	struct edma_channel *channel = job->channel;
	uint32_t control1 = channel_reg(channel, METIS_EDMA_CH_CONTROL1);
	struct card_edma *edma = channel->edma;

	put(edma, channel_reg(channel, METIS_EDMA_CH_SIZE), job->size);
	put64(edma, channel_reg(channel, METIS_EDMA_CH_SAR_LO), job->sar);
	put64(edma, channel_reg(channel, METIS_EDMA_CH_DAR_LO), job->dar);
	if (!job->list)
		return;
	put64(edma, channel_reg(channel, METIS_EDMA_CH_LLP_LO), job->llp);
	atomic_store(&channel->live, 0);
	if (job->ccs)
		set_bits(edma, control1, METIS_EDMA_CCS);
	else
		clear_bits(edma, control1, METIS_EDMA_CCS);
}

/* edma->lock is held. Return: the host asked to be told of an abort. */
static bool wants_abort(const struct edma_job *job)
{
	const struct edma_channel *channel = job->channel;
	uint32_t enabled = get(channel->edma, sides[channel->write].ll_err_en);

	if (!job->list)
		return job->control & METIS_EDMA_RIE;
	return METIS_GET(METIS_EDMA_LL_ERR_REMOTE, enabled) & METIS_BIT(channel->index);
}

/* edma->lock is held. Return: the host asked to be told, with @ret_message. */
static bool job_end(const struct edma_job *job, enum edma_end end, struct edma_imwr *ret_message)
{
	struct edma_channel *channel = job->channel;
	const struct edma_side *side = &sides[channel->write];

	job_store(job);
	if (end == EDMA_END_STALLED && !channel->stopping) {
		channel->stalled = true;
		return false;
	}
	channel->job = 0;
	if (end != EDMA_END_OK && end != EDMA_END_CANCELED && end != EDMA_END_STALLED) {
		fail(channel, end);
		*ret_message = imwr(channel, side->abort_lo);
		return wants_abort(job);
	}
	/* Guess: a stop raises nothing for the element it cut short. */
	if (job->due)
		set_done(channel);
	channel->spent = end == EDMA_END_OK && !job->list;
	set_cs(channel, METIS_EDMA_CS_STOPPED);
	*ret_message = imwr(channel, side->done_lo);
	return job->due & METIS_EDMA_RIE;
}

/*
 * Will telling be over in no time? A write to memory, the firmware's own virtual MSI among them,
 * may take a round trip to another process. One that it mirrors is on a thread of the firmware.
 */
static bool is_quick(const struct card_edma *edma, const struct edma_imwr *message)
{
	const struct card *card = edma->card;

	return !card->personality->dma_vm && message->addr >= METIS_MSI_WINDOW_BASE &&
	       message->addr <= METIS_MSI_WINDOW_LAST;
}

bool card_edma_finish(struct edma_job *job, enum edma_end end)
{
	struct card_edma *edma = job->channel->edma;
	struct edma_imwr message;
	bool remote = false, looks;

	pthread_mutex_lock(&edma->lock);
	/* Else a reset has come between, and the registers are no longer this job's. */
	if (job->channel->job == job->id)
		remote = job_end(job, end, &message);
	looks = !remote || is_quick(edma, &message);
	edma->workers.looking += looks;
	pthread_mutex_unlock(&edma->lock);
	if (remote)
		tell(job, &message);
	return looks;
}
