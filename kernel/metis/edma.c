// SPDX-License-Identifier: GPL-2.0-only
/*
 * Transfers through the eDMA.
 *
 * A channel's list is a ring of RING elements and a link back. A short transfer is written into it
 * and started. Of a long one the ring is refilled while the engine goes on: what was consumed is
 * told by the channel's list pointer, what is valid by the cycle bit, whose meaning changes with
 * every lap. Only an engine that came to an element that wasn't there yet is started again.
 *
 * Register accesses are what a transfer costs the CPU, and in a guest each may be an exit. So a
 * longer part of a list is not stored word by word: read channel 3 fetches it from host memory.
 *
 * Interrupts may get lost, above all those of a guest whose host doesn't translate the eDMA's
 * message. So a transfer without one is looked at early; if it is done it counts as done, and from
 * then on channels are polled, with ever rarer trials whether interrupts have come back.
 */
#include <linux/delay.h>
#include <linux/io-64-nonatomic-lo-hi.h>
#include <linux/sched/signal.h>

#include "metis.h"
#include "pieces.h"
#include "trace.h"

#define RING 168u
#define FIRST_MAX (RING - 1) /* never full, or all and nothing consumed would look the same */
#define WATERMARK (RING / 2)
#define STORE_MAX 4u /* elements that are stored rather than fetched */
#define FETCH_CHANNEL 3
#define SPIN_US 20
#define PAUSE_MAX_US 1000
#define STOP_WITHIN_US 2000000 /* far more than silicon takes: a virtual machine may stand still */
#define FETCH_WITHIN_US 2000000
#define LOOKS_IN_TIMEOUT 20 /* the first look at a silent channel is after that part of it */
#define GRACE_MS 10	    /* an interrupt may be on its way */
#define PROBE_MIN (1ul * HZ)
#define PROBE_MAX (64ul * HZ)
#define UNKNOWN U32_MAX
#define LOST "DMA %s CH%u: done, but its interrupt (number %u) got lost"
#define ASK "'tethys doctor' finds out why"

struct run {
	struct metis_dev *mdev;
	struct metis_chan *ch;
	struct metis_xfer *x;
	struct metis_cursor cursor;
	u64 card;		      /* of the next element */
	unsigned int total, put, got; /* elements: of the transfer, produced, consumed */
	bool ask, poll;		      /* for interrupts; look without them */
	bool silent;		      /* the last look came without an interrupt */
	bool due;		      /* an element was passed that should have sent one */
	int signals;
	ktime_t start;
	ktime_t progress;  /* when there was some last */
	unsigned int look; /* jiffies until the next look */
};

/* --- registers --- */

static u32 bar_read(const struct metis_dev *mdev, u32 reg)
{
	return readl(mdev->edma + reg);
}

static void bar_write(const struct metis_dev *mdev, u32 reg, u32 value)
{
	writel(value, mdev->edma + reg);
}

static u32 reg_of(const struct metis_chan *ch, u32 reg)
{
	return reg + (ch->to_card ? METIS_EDMA_RD_CH(ch->n) : METIS_EDMA_WR_CH(ch->n));
}

static u32 ch_read(const struct metis_chan *ch, u32 reg)
{
	return bar_read(ch->mdev, reg_of(ch, reg));
}

static void ch_write(struct metis_chan *ch, u32 reg, u32 value)
{
	bar_write(ch->mdev, reg_of(ch, reg), value);
}

/*
 * The list pointer's upper half is the only address that the engine itself never changes: lists are
 * in L2, while SAR and DAR are those of the last element.
 */
static void set_llp_hi(struct metis_chan *ch, u32 value)
{
	if (ch->llp_hi == value && value != UNKNOWN)
		return;
	ch_write(ch, METIS_EDMA_CH_LLP_HI, value);
	ch->llp_hi = value;
}

static void doorbell(const struct metis_chan *ch, u32 bits)
{
	u32 reg = ch->to_card ? METIS_EDMA_RD_DOORBELL : METIS_EDMA_WR_DOORBELL;

	bar_write(ch->mdev, reg, METIS_PREP(METIS_EDMA_DOORBELL_CH, ch->n) | bits);
}

static void stat_start(struct metis_chan *ch)
{
	spin_lock(&ch->mdev->stats_lock);
	ch->stats.count++;
	spin_unlock(&ch->mdev->stats_lock);
}

/* The engine's view, as in the lines of the vendor's driver. */
static const char *engine(const struct metis_chan *ch)
{
	return ch->to_card ? "RD" : "WR";
}

static unsigned int number_of(const struct metis_chan *ch)
{
	return ch->to_card ? METIS_IRQ_DMA_READ(ch->n) : METIS_IRQ_DMA_WRITE(ch->n);
}

/* Of the channel's list: the offset in BAR2, or with the list buffer's address the card's. */
static u64 list_at(const struct metis_chan *ch, u64 base)
{
	return ch->to_card ? METIS_EDMA_RD_LIST(base, ch->n) : METIS_EDMA_WR_LIST(base, ch->n);
}

static void __iomem *slot_at(const struct metis_chan *ch, unsigned int slot)
{
	return ch->mdev->l2 + list_at(ch, ch->mdev->fw.lists_offset) +
	       slot * sizeof(struct metis_edma_element);
}

/* Return: enum metis_edma_cs; -ENODEV the card is gone. */
static int read_cs(const struct metis_chan *ch)
{
	u32 control = ch_read(ch, METIS_EDMA_CH_CONTROL1);

	return control == U32_MAX ? -ENODEV : (int)METIS_GET(METIS_EDMA_CS, control);
}

/*
 * Asked before the register is read that decides: between the two this thread, or the machine it is
 * in, may have been kept waiting for longer than that.
 */
static bool is_over(ktime_t since, u64 us)
{
	return ktime_us_delta(ktime_get(), since) > us;
}

/* Longer the longer it takes already, so that little time is added and few reads are needed. */
static void pause_after(ktime_t since)
{
	u64 us = ktime_us_delta(ktime_get(), since);

	if (us < SPIN_US) {
		cpu_relax();
		return;
	}
	us = min_t(u64, us / 8, PAUSE_MAX_US);
	usleep_range(us, us + us / 4 + 1);
}

/* Return: 0 it no longer runs; -EIO it can't be stopped: then the whole card is kept from DMA. */
static int stop_channel(struct metis_chan *ch)
{
	ktime_t start = ktime_get();
	bool over;
	int cs;

	doorbell(ch, METIS_EDMA_DOORBELL_STOP);
	for (;;) {
		over = is_over(start, STOP_WITHIN_US);
		cs = read_cs(ch);
		if (cs >= 0 && cs != METIS_EDMA_CS_RUNNING)
			return 0;
		if (cs < 0 || over)
			break;
		pause_after(start);
	}
	metis_quarantine(ch->mdev, cs < 0 ? "its registers read as all ones"
					  : "a DMA channel can't be stopped");
	return -EIO;
}

/* --- the list --- */

/* The cycle bit that makes position @pos valid. */
static u32 cycle(unsigned int pos)
{
	return pos / RING % 2 ? 0 : METIS_EDMA_CB;
}

static void build_element(struct run *r, bool last_of_part)
{
	struct metis_edma_element *element = &r->ch->list[r->put % RING];
	u32 control = cycle(r->put);
	dma_addr_t bus;
	u32 size;

	size = metis_cursor_take(&r->cursor, &bus);
	/* At the end of each part, as the engine may stop there before the next one is in place. */
	if (r->ask && (last_of_part || r->put == WATERMARK - 1))
		control |= METIS_EDMA_RIE;
	element->control = cpu_to_le32(control);
	element->size = cpu_to_le32(size);
	element->sar = cpu_to_le64(r->x->to_card ? bus : r->card);
	element->dar = cpu_to_le64(r->x->to_card ? r->card : bus);
	r->card += size;
	r->put++;
}

/* Backwards: what makes the part valid is stored last. */
static void store_list(const struct metis_chan *ch, unsigned int slot, unsigned int count)
{
	const struct metis_edma_element *element;
	void __iomem *at;

	while (count--) {
		element = &ch->list[slot + count];
		at = slot_at(ch, slot + count);
		if (le32_to_cpu(element->size) || le64_to_cpu(element->sar)) {
			writeq(le64_to_cpu(element->sar), at + 8);
			writeq(le64_to_cpu(element->dar), at + 16);
		}
		writeq(le32_to_cpu(element->control) | (u64)le32_to_cpu(element->size) << 32, at);
	}
}

/* One transfer without a list; its channel is held. */
static int fetch_by(struct metis_chan *by, dma_addr_t from, u64 to, u32 bytes)
{
	ktime_t start = ktime_get();
	bool over;
	int cs;

	ch_write(by, METIS_EDMA_CH_CONTROL1, 0);
	ch_write(by, METIS_EDMA_CH_SIZE, bytes);
	ch_write(by, METIS_EDMA_CH_SAR_LO, lower_32_bits(from));
	ch_write(by, METIS_EDMA_CH_SAR_HI, upper_32_bits(from));
	ch_write(by, METIS_EDMA_CH_DAR_LO, lower_32_bits(to));
	ch_write(by, METIS_EDMA_CH_DAR_HI, upper_32_bits(to));
	/* The list is in memory before the engine looks: writel() orders it. */
	doorbell(by, 0);
	stat_start(by);
	for (;;) {
		over = is_over(start, FETCH_WITHIN_US);
		cs = read_cs(by);
		if (cs == METIS_EDMA_CS_STOPPED)
			return 0;
		if (cs < 0)
			return cs;
		if (cs == METIS_EDMA_CS_HALTED)
			return -EIO;
		if (over)
			return -ETIMEDOUT;
		pause_after(start);
	}
}

/* Return: 0; else it has to be stored. The first element comes in as not valid. */
static int fetch_list(struct run *r, unsigned int slot, unsigned int count)
{
	struct metis_chan *by = &r->mdev->chan[true][FETCH_CHANNEL];
	struct metis_edma_element *first = &r->ch->list[slot];
	u32 offset = slot * sizeof(*first), control = le32_to_cpu(first->control);
	int err;

	if (count <= STORE_MAX || r->ch == by || READ_ONCE(r->mdev->no_fetch) ||
	    !mutex_trylock(&by->busy))
		return -EBUSY;
	first->control = cpu_to_le32(control ^ METIS_EDMA_CB);
	err = fetch_by(by, r->ch->list_dma + offset, list_at(r->ch, r->mdev->fw.lists) + offset,
		       count * sizeof(*first));
	first->control = cpu_to_le32(control);
	if (err)
		stop_channel(by);
	if (err && err != -ENODEV) {
		WRITE_ONCE(r->mdev->no_fetch, true);
		metis_warn(r->mdev, "DMA lists can't be fetched (%d): storing them from now on\n",
			   err);
	}
	mutex_unlock(&by->busy);
	if (!err)
		writel(control, slot_at(r->ch, slot));
	return err;
}

static void link_back(struct run *r)
{
	r->ch->list[RING] = (struct metis_edma_element){
		.control = cpu_to_le32(cycle(r->put - 1) | METIS_EDMA_TCB | METIS_EDMA_LLP),
		.sar = cpu_to_le64(list_at(r->ch, r->mdev->fw.lists)),
	};
}

/* The next elements, as many as go in one piece. */
static void produce(struct run *r)
{
	unsigned int slot = r->put % RING;
	unsigned int space = FIRST_MAX - (r->put - r->got);
	unsigned int count = min3(space, r->total - r->put, RING - slot), i;
	bool first = !r->put;

	for (i = 0; i < count; i++)
		build_element(r, i == count - 1);
	/* What follows the first part takes the end's place. */
	if (!first)
		r->ch->end = 0;
	if (slot + count == RING) {
		link_back(r);
		count++;
	} else if (first && r->ch->end != count) {
		/* In the first lap nobody knows what is left there. */
		r->ch->list[count] = (struct metis_edma_element){
			.control = cpu_to_le32(METIS_EDMA_TCB),
		};
		r->ch->end = count++;
	}
	if (fetch_list(r, slot, count))
		store_list(r->ch, slot, count);
}

static bool streams(const struct run *r)
{
	return r->total > FIRST_MAX;
}

static bool wants_more(const struct run *r)
{
	return r->put < r->total && FIRST_MAX - (r->put - r->got) >= WATERMARK;
}

static void start(struct run *r)
{
	u64 list = list_at(r->ch, r->mdev->fw.lists);

	ch_write(r->ch, METIS_EDMA_CH_CONTROL1, METIS_EDMA_LLE | METIS_EDMA_CCS);
	ch_write(r->ch, METIS_EDMA_CH_LLP_LO, lower_32_bits(list));
	set_llp_hi(r->ch, upper_32_bits(list));
	trace_metis_start(r->mdev, r->x->to_card, r->ch->n, r->put);
	doorbell(r->ch, 0);
	stat_start(r->ch);
}

/* --- looking at the channel --- */

static int bad_position(struct run *r, u32 llp)
{
	metis_err(r->mdev, "DMA %s CH%u: the card shows 0x%x as its place in the list\n",
		  engine(r->ch), r->ch->n, llp);
	return -EIO;
}

/* How far the engine has got, of a list that is refilled. */
static int read_position(struct run *r)
{
	u32 llp = ch_read(r->ch, METIS_EDMA_CH_LLP_LO);
	u32 offset = llp - lower_32_bits(list_at(r->ch, r->mdev->fw.lists));
	unsigned int slot = offset / sizeof(struct metis_edma_element);
	unsigned int passed;

	if (offset % sizeof(struct metis_edma_element) || slot > RING)
		return bad_position(r, llp);
	passed = (slot % RING + RING - r->got % RING) % RING;
	if (passed > r->put - r->got)
		return bad_position(r, llp);
	if (passed)
		r->progress = ktime_get();
	for (; passed; passed--, r->got++)
		r->due |= le32_to_cpu(r->ch->list[r->got % RING].control) & METIS_EDMA_RIE;
	return 0;
}

/* Seconds of a parameter, which may have been set to anything. */
static unsigned int seconds(unsigned int value)
{
	return clamp(value, 1u, 3600u);
}

static u64 timeout_us(void)
{
	return (u64)seconds(READ_ONCE(metis_params.dma_timeout)) * USEC_PER_SEC;
}

/* Return: enum metis_edma_cs; -ENODEV; -EIO. */
static int look(struct run *r)
{
	int cs = read_cs(r->ch), err;

	if (cs < 0 || cs == METIS_EDMA_CS_HALTED)
		return cs;
	if (cs == METIS_EDMA_CS_STOPPED && !streams(r)) {
		r->got = r->put;
	} else if (streams(r) || is_over(r->progress, timeout_us() / 2)) {
		err = read_position(r);
		if (err)
			return err;
	}
	return cs;
}

/* --- the ends --- */

static const char *const cs_words[] = {
	[METIS_EDMA_CS_IDLE] = "it never started",
	[METIS_EDMA_CS_RUNNING] = "it still runs",
	[METIS_EDMA_CS_HALTED] = "it is halted",
	[METIS_EDMA_CS_STOPPED] = "it is done, but no interrupt told so",
};

static int timed_out(struct run *r, int cs)
{
	metis_err(r->mdev, "DMA %s CH%u timed out (number %u, element %u of %u): %s; " ASK "\n",
		  engine(r->ch), r->ch->n, number_of(r->ch), r->got, r->total, cs_words[cs]);
	spin_lock(&r->mdev->stats_lock);
	r->mdev->timeouts++;
	spin_unlock(&r->mdev->stats_lock);
	if (cs != METIS_EDMA_CS_STOPPED)
		stop_channel(r->ch);
	return -ETIMEDOUT;
}

static bool names_channel(u32 field, u32 status, unsigned int n)
{
	return METIS_GET(field, status) & BIT(n);
}

static const char *who_refused(const struct metis_chan *ch)
{
	u32 low;

	if (!ch->to_card) {
		low = bar_read(ch->mdev, METIS_EDMA_WR_ERR_STATUS);
		if (names_channel(METIS_EDMA_WR_ERR_LL_FETCH, low, ch->n))
			return "a list element can't be read";
		return names_channel(METIS_EDMA_WR_ERR_APP_READ, low, ch->n)
			       ? "the card refuses to read its address"
			       : "the host refuses the write to its address";
	}
	low = bar_read(ch->mdev, METIS_EDMA_RD_ERR_STATUS_LO);
	if (names_channel(METIS_EDMA_RD_ERR_LL_FETCH, low, ch->n))
		return "a list element can't be read";
	return names_channel(METIS_EDMA_RD_ERR_APP_WRITE, low, ch->n)
		       ? "the card refuses the write to its address"
		       : "the host refuses the read of its address";
}

static int halted(struct run *r)
{
	u32 clear = r->ch->to_card ? METIS_EDMA_RD_INT_CLEAR : METIS_EDMA_WR_INT_CLEAR;

	metis_err(r->mdev, "DMA %s CH%u aborted (card address 0x%llx, %llu bytes): %s\n",
		  engine(r->ch), r->ch->n, r->x->card, r->x->len, who_refused(r->ch));
	spin_lock(&r->mdev->stats_lock);
	r->mdev->aborts++;
	spin_unlock(&r->mdev->stats_lock);
	bar_write(r->mdev, clear,
		  METIS_PREP(METIS_EDMA_INT_DONE, BIT(r->ch->n)) |
			  METIS_PREP(METIS_EDMA_INT_ABORT, BIT(r->ch->n)));
	return -EIO;
}

static int given_up(struct run *r, int err)
{
	stop_channel(r->ch);
	return err;
}

/* stats_lock is held. Trials whether interrupts are back become rarer. */
static void probe_later(struct metis_dev *mdev)
{
	mdev->probe_after = clamp(2 * mdev->probe_after, PROBE_MIN, PROBE_MAX);
	mdev->probe_at = jiffies + mdev->probe_after;
}

/* Interrupts get lost: from now on without. */
static void interrupt_lost(struct run *r)
{
	struct metis_dev *mdev = r->mdev;
	bool first;

	trace_metis_lost(mdev, r->x->to_card, r->ch->n, ktime_us_delta(ktime_get(), r->start),
			 metis_heals());
	spin_lock(&mdev->stats_lock);
	mdev->lost_irqs++;
	r->ch->lost++;
	first = !mdev->polling;
	if (metis_heals()) {
		probe_later(mdev);
		mdev->polling = true;
	}
	spin_unlock(&mdev->stats_lock);
	r->poll = metis_heals();
	if (first)
		dev_warn_ratelimited(&mdev->pdev->dev, LOST "%s\n", engine(r->ch), r->ch->n,
				     number_of(r->ch),
				     r->poll ? "; polling until interrupts come back" : "");
}

/* --- waiting --- */

static bool has_news(const struct run *r)
{
	return atomic_read(&r->ch->signals) != r->signals || READ_ONCE(r->x->canceled) ||
	       metis_state(r->mdev) != METIS_UP;
}

static int interrupted(const struct run *r)
{
	if (metis_state(r->mdev) != METIS_UP)
		return -ENODEV;
	if (READ_ONCE(r->x->canceled) || (r->x->killable && fatal_signal_pending(current)))
		return -EINTR;
	return 0;
}

/* Until there is reason to look at the channel. Return: 0; -ENODEV; -EINTR. */
static int wait_for_news(struct run *r)
{
	long left;

	r->silent = false;
	if (r->poll) {
		pause_after(r->progress);
		return interrupted(r);
	}
	left = wait_event_killable_timeout(r->ch->wait, has_news(r), r->look);
	if (left == -ERESTARTSYS && !r->x->killable)
		left = wait_event_timeout(r->ch->wait, has_news(r), r->look);
	r->silent = !left;
	r->signals = atomic_read(&r->ch->signals);
	return interrupted(r);
}

/* It is done, and nobody told us: is the interrupt only late? */
static bool comes_late(struct run *r)
{
	return wait_event_timeout(r->ch->wait, has_news(r), msecs_to_jiffies(GRACE_MS)) &&
	       atomic_read(&r->ch->signals) != r->signals;
}

static void finished(struct run *r)
{
	struct metis_dev *mdev = r->mdev;

	if (r->silent && !comes_late(r)) {
		interrupt_lost(r);
		return;
	}
	spin_lock(&mdev->stats_lock);
	if (r->poll)
		mdev->polled++;
	else
		mdev->probe_after = 0;
	spin_unlock(&mdev->stats_lock);
	/* With one vector the handler can't know whose it is. */
	if (!r->poll && mdev->vectors == 1)
		metis_number_up(mdev, number_of(r->ch));
}

/* One look. Return: 0 done; -EAGAIN it goes on; else how it failed. */
static int step(struct run *r)
{
	ktime_t progress = r->progress;
	bool over = is_over(progress, timeout_us());
	int cs = look(r);

	if (cs < 0)
		return given_up(r, cs);
	if (cs == METIS_EDMA_CS_HALTED)
		return halted(r);
	if (cs == METIS_EDMA_CS_STOPPED && r->got == r->total)
		return 0;
	if (r->silent && r->due)
		interrupt_lost(r);
	r->due = false;
	while (wants_more(r))
		produce(r);
	if (cs == METIS_EDMA_CS_STOPPED) {
		/* It came to an element that wasn't there yet; it knows where it is. */
		doorbell(r->ch, 0);
		stat_start(r->ch);
	}
	if (over && r->progress == progress)
		return timed_out(r, cs);
	return -EAGAIN;
}

static unsigned int irq_timeout(void)
{
	return seconds(READ_ONCE(metis_params.irq_timeout)) * HZ;
}

/* Jiffies. */
static unsigned int first_look(void)
{
	return metis_heals() ? max(irq_timeout() / LOOKS_IN_TIMEOUT, 1u) : irq_timeout();
}

/* Without healing nobody looks before the interrupt is there, or after its time. */
static int unhealed(struct run *r)
{
	int cs = read_cs(r->ch);

	if (cs < 0)
		return given_up(r, cs);
	if (metis_params.healing == METIS_HEAL_LATE)
		return 0;
	return timed_out(r, cs);
}

static int drive(struct run *r)
{
	int err;

	produce(r);
	start(r);
	do {
		err = wait_for_news(r);
		if (err)
			return given_up(r, err);
		if (r->silent && !metis_heals()) {
			err = unhealed(r);
			if (err)
				return err;
		}
		r->look = r->silent ? min(2 * r->look, irq_timeout()) : first_look();
		err = step(r);
	} while (err == -EAGAIN);
	if (!err)
		finished(r);
	return err;
}

/* --- one transfer --- */

static void stat_end(const struct run *r, int err)
{
	struct metis_channel_stats *stats = &r->ch->stats;
	u64 us = ktime_us_delta(ktime_get(), r->start);

	trace_metis_done(r->mdev, r->x->to_card, r->ch->n, r->x->len, err, us);
	spin_lock(&r->mdev->stats_lock);
	stats->num_xfer++;
	stats->max_sgt = max_t(s32, stats->max_sgt, r->total);
	if (err) {
		stats->num_err++;
	} else {
		stats->bytes_xfer += r->x->len;
		stats->size = r->x->len;
		stats->duration_us = us;
		stats->max_duration_us = max_t(u64, stats->max_duration_us, us);
		stats->speed_mbps = div64_u64(r->x->len, us ?: 1);
	}
	spin_unlock(&r->mdev->stats_lock);
}

static void choose_how_to_wait(struct run *r)
{
	struct metis_dev *mdev = r->mdev;

	spin_lock(&mdev->stats_lock);
	r->poll = metis_params.dma_poll || mdev->polling;
	r->ask = !r->poll;
	if (mdev->polling && !metis_params.dma_poll && time_after(jiffies, mdev->probe_at)) {
		r->ask = true;
		probe_later(mdev);
	}
	spin_unlock(&mdev->stats_lock);
	r->look = first_look();
}

/* The channel is held. */
static int transfer(struct metis_dev *mdev, struct metis_xfer *x)
{
	struct run r = {.mdev = mdev, .ch = x->ch, .x = x, .card = x->card};
	int err;

	err = metis_cursor_init(&r.cursor, x);
	if (err)
		return err;
	r.total = metis_cursor_count(r.cursor);
	choose_how_to_wait(&r);
	trace_metis_submit(mdev, x->to_card, x->ch->n, x->card, x->len);
	if (r.ask) {
		metis_irq_refresh(mdev);
		r.signals = atomic_read(&x->ch->signals);
		WRITE_ONCE(x->ch->awaited, true);
	}
	r.start = ktime_get();
	r.progress = r.start;
	err = drive(&r);
	WRITE_ONCE(x->ch->awaited, false);
	stat_end(&r, err);
	return err;
}

/* Takes @x->ch. Channel 3 last: it has lists to fetch. */
static int choose_channel(struct metis_dev *mdev, struct metis_xfer *x)
{
	struct metis_chan *chans = mdev->chan[x->to_card];
	unsigned int i;

	if (x->channel >= METIS_EDMA_CHANNELS)
		return -EINVAL;
	for (i = 0; x->channel < 0 && i < METIS_EDMA_CHANNELS; i++) {
		if (mutex_trylock(&chans[i].busy)) {
			WRITE_ONCE(x->ch, &chans[i]);
			return 0;
		}
	}
	i = max(x->channel, 0);
	if (!x->killable)
		mutex_lock(&chans[i].busy);
	else if (mutex_lock_killable(&chans[i].busy))
		return -EINTR;
	WRITE_ONCE(x->ch, &chans[i]);
	return 0;
}

int metis_xfer(struct metis_dev *mdev, struct metis_xfer *x)
{
	int err;

	if (!x->len || x->card + x->len < x->card)
		return -EINVAL;
	err = choose_channel(mdev, x);
	if (err)
		return err;
	err = metis_state(mdev) == METIS_UP ? transfer(mdev, x) : -ENODEV;
	mutex_unlock(&x->ch->busy);
	return err;
}

void metis_xfer_cancel(struct metis_xfer *x)
{
	struct metis_chan *ch;

	WRITE_ONCE(x->canceled, true);
	ch = READ_ONCE(x->ch);
	if (ch)
		wake_up_all(&ch->wait);
}

void metis_chan_signal(struct metis_chan *ch)
{
	atomic_inc(&ch->signals);
	/* Only transfers that try whether interrupts are back ask for one while polling. */
	if (READ_ONCE(ch->mdev->polling)) {
		WRITE_ONCE(ch->mdev->polling, false);
		dev_info_ratelimited(&ch->mdev->pdev->dev, "DMA interrupts are back\n");
	}
	wake_up_all(&ch->wait);
}

/* --- the engines --- */

static int channel_init(struct metis_dev *mdev, bool to_card, unsigned int n)
{
	struct metis_chan *ch = &mdev->chan[to_card][n];

	ch->mdev = mdev;
	ch->to_card = to_card;
	ch->n = n;
	mutex_init(&ch->busy);
	init_waitqueue_head(&ch->wait);
	ch->list = dmam_alloc_coherent(&mdev->pdev->dev, METIS_EDMA_LIST_BYTES, &ch->list_dma,
				       GFP_KERNEL);
	return ch->list ? 0 : -ENOMEM;
}

int metis_edma_init(struct metis_dev *mdev)
{
	unsigned int i;
	int err = 0;

	for (i = 0; !err && i < METIS_CHANNELS; i++)
		err = channel_init(mdev, i / METIS_EDMA_CHANNELS, i % METIS_EDMA_CHANNELS);
	metis_edma_forget(mdev);
	return err;
}

static void forget_channel(struct metis_chan *ch)
{
	ch->llp_hi = UNKNOWN;
	ch->end = 0;
}

void metis_edma_forget(struct metis_dev *mdev)
{
	unsigned int i;

	for (i = 0; i < METIS_CHANNELS; i++)
		forget_channel(metis_channel(mdev, i));
	WRITE_ONCE(mdev->no_fetch, false);
}

void metis_edma_start(struct metis_dev *mdev)
{
	u32 all = METIS_PREP(METIS_EDMA_LL_ERR_REMOTE, GENMASK(METIS_EDMA_CHANNELS - 1, 0));

	/* An abort of a list is told at once. */
	bar_write(mdev, METIS_EDMA_WR_LL_ERR_EN, all);
	bar_write(mdev, METIS_EDMA_RD_LL_ERR_EN, all);
	bar_write(mdev, METIS_EDMA_WR_ENGINE_EN, 1);
	bar_write(mdev, METIS_EDMA_RD_ENGINE_EN, 1);
}

void metis_edma_stop(struct metis_dev *mdev)
{
	bar_write(mdev, METIS_EDMA_WR_ENGINE_EN, 0);
	bar_write(mdev, METIS_EDMA_RD_ENGINE_EN, 0);
	/* Posted writes arrive before the read is answered. */
	bar_read(mdev, METIS_EDMA_RD_ENGINE_EN);
}

void metis_edma_clear(struct metis_dev *mdev)
{
	struct metis_chan *ch;
	unsigned int i;

	for (i = 0; i < METIS_CHANNELS; i++) {
		ch = metis_channel(mdev, i);
		ch_write(ch, METIS_EDMA_CH_LLP_LO, 0);
		ch_write(ch, METIS_EDMA_CH_LLP_HI, 0);
		ch_write(ch, METIS_EDMA_CH_SAR_LO, 0);
		ch_write(ch, METIS_EDMA_CH_SAR_HI, 0);
		ch_write(ch, METIS_EDMA_CH_DAR_LO, 0);
		ch_write(ch, METIS_EDMA_CH_DAR_HI, 0);
	}
	metis_edma_forget(mdev);
}
