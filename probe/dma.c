/* SPDX-License-Identifier: MIT */
/*
 * Memory for the device, and whether it reaches it.
 *
 * The card's side of a transfer is the memory of the DMA lists: it belongs to the host by protocol,
 * so no network that is loaded is hurt, and BAR2 shows it, so that each direction is judged alone.
 * Channels are asked, not waited for: no interrupt is needed, and none is asked for.
 */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <tethys/hw/pci.h>

#include "probe/internal.h"

#define LOW_FROM 0x100000ull
#define HIGH_FROM 0x100000000ull
#define STOP_MS 100
#define PAUSE_NS 50000
#define LIST_WORDS_BYTES (2 * sizeof(struct metis_edma_element) + sizeof(__le32))

/* --- memory --- */

static int map_at(struct probe *p, uint64_t from, struct probe_mem **ret_mem, struct reason *why)
{
	uint64_t iova;

	if (probe_bus_find_iova(p->bus, from, PROBE_PAGE_BYTES, &iova))
		return -ENOSPC;
	return probe_map(p->bus, iova, PROBE_PAGE_BYTES, PROBE_MAP_READ | PROBE_MAP_WRITE, ret_mem,
			 why);
}

static int map_both(struct probe *p, struct reason *why)
{
	int err = map_at(p, HIGH_FROM, &p->high, why);

	if (err == -ENOSPC && !why->text[0])
		err = 0;
	return err ? err : map_at(p, LOW_FROM, &p->low, why);
}

int probe_hop_map(struct probe *p, struct reason *why)
{
	int err;

	if (p->bus->no_iommu)
		err = probe_map(p->bus, 0, PROBE_PAGE_BYTES, PROBE_MAP_READ | PROBE_MAP_WRITE,
				&p->low, why);
	else
		err = map_both(p, why);
	if (err == -ENOMEM)
		probe_suggest(p, "memlock");
	else if (err == -ENOSPC)
		probe_suggest(p, "dma-mappings-exhausted");
	if (err)
		return why->text[0] ? err
				    : reason_add(why, err, "the IOMMU has no address to give");
	if (p->high)
		probe_note(p, "a page at 0x%llx", (unsigned long long)p->high->iova);
	probe_note(p, "a page at 0x%llx%s", (unsigned long long)p->low->iova,
		   p->bus->no_iommu ? ", its physical address: there is no IOMMU"
		   : p->high	    ? ""
				    : " (the IOMMU has no address above 4 GiB)");
	return 0;
}

/* --- channels --- */

static bool is_busy(const struct probe *p, enum probe_dir dir, unsigned int n)
{
	return p->metis.busy & METIS_BIT(n + (dir == PROBE_OUT ? METIS_EDMA_CHANNELS : 0));
}

int probe_channel(const struct probe *p, enum probe_dir dir, unsigned int *ret_n,
		  struct reason *why)
{
	unsigned int n;

	for (n = METIS_EDMA_CHANNELS; n--;) {
		if (is_busy(p, dir, n))
			continue;
		*ret_n = n;
		return 0;
	}
	return reason_add(why, -EBUSY,
			  "all channels run a former owner's transfers: reset the card");
}

/* Both lists of a channel, as memory for data. */
static int find_area(const struct probe *p, unsigned int but, uint64_t *ret_offset,
		     struct reason *why)
{
	unsigned int n;

	for (n = 0; n < METIS_EDMA_CHANNELS; n++) {
		if (n == but || is_busy(p, PROBE_IN, n) || is_busy(p, PROBE_OUT, n))
			continue;
		/* On a boundary that a channel may ask for. */
		*ret_offset = (METIS_EDMA_RD_LIST(p->metis.lists_offset, n) + 63) & ~63ull;
		return 0;
	}
	return reason_add(why, -EBUSY,
			  "all channels run a former owner's transfers: reset the card");
}

static uint32_t channel_reg(enum probe_dir dir, unsigned int n, uint32_t reg)
{
	return reg + (dir == PROBE_IN ? METIS_EDMA_RD_CH(n) : METIS_EDMA_WR_CH(n));
}

static uint32_t doorbell(enum probe_dir dir)
{
	return dir == PROBE_IN ? METIS_EDMA_RD_DOORBELL : METIS_EDMA_WR_DOORBELL;
}

static int read_cs(struct probe *p, enum probe_dir dir, unsigned int n, enum metis_edma_cs *ret_cs,
		   struct reason *why)
{
	uint32_t control;
	int err = probe_reg_read(p, channel_reg(dir, n, METIS_EDMA_CH_CONTROL1), &control, why);

	if (!err && control == UINT32_MAX)
		err = reason_add(why, -ENODEV, "BAR0 reads as all ones by now");
	if (!err)
		*ret_cs = METIS_GET(METIS_EDMA_CS, control);
	return err;
}

/* --- one transfer --- */

/* Once, before it is written to. */
static int keep(struct probe *p, uint64_t offset, size_t bytes, struct reason *why)
{
	struct probe_kept *kept = p->metis.kept;
	unsigned int i;
	int err;

	for (i = 0; i < p->metis.kept_nr; i++)
		if (kept[i].offset == offset)
			return 0;
	if (i == PROBE_KEPT_MAX)
		return reason_add(why, -ENOSPC, "too much to put back");
	kept[i].offset = offset;
	kept[i].bytes = bytes;
	err = p->bus->ops->bar_read(p->bus, METIS_BAR_L2, offset, kept[i].data, bytes, why);
	p->metis.kept_nr += !err;
	return err;
}

static int write_list(struct probe *p, const struct probe_xfer *xfer, uint64_t list, uint64_t card,
		      struct reason *why)
{
	struct metis_edma_element elements[3] = {
		{.control = htole32(METIS_EDMA_CB | (xfer->interrupt ? METIS_EDMA_RIE : 0)),
		 .size = htole32(PROBE_BYTES),
		 .sar = htole64(xfer->dir == PROBE_IN ? xfer->host->iova : card),
		 .dar = htole64(xfer->dir == PROBE_IN ? card : xfer->host->iova)},
		{.control = htole32(METIS_EDMA_TCB)},
	};

	return p->bus->ops->bar_write(p->bus, METIS_BAR_L2, list, elements, LIST_WORDS_BYTES, why);
}

static int start(struct probe *p, enum probe_dir dir, unsigned int n, uint64_t llp,
		 struct reason *why)
{
	const struct {
		uint32_t offset, value;
	} stores[] = {
		/* Aborts are seen by asking; their messages are another hop's business. */
		{dir == PROBE_IN ? METIS_EDMA_RD_LL_ERR_EN : METIS_EDMA_WR_LL_ERR_EN, 0},
		{channel_reg(dir, n, METIS_EDMA_CH_CONTROL1), METIS_EDMA_LLE | METIS_EDMA_CCS},
		{channel_reg(dir, n, METIS_EDMA_CH_LLP_LO), (uint32_t)llp},
		{channel_reg(dir, n, METIS_EDMA_CH_LLP_HI), (uint32_t)(llp >> 32)},
	};
	unsigned int i;
	/* Not noted: it is left off. */
	int err = probe_reg_write(
		p, dir == PROBE_IN ? METIS_EDMA_RD_ENGINE_EN : METIS_EDMA_WR_ENGINE_EN, 1, why);

	for (i = 0; !err && i < sizeof(stores) / sizeof(stores[0]); i++)
		err = probe_store(p, METIS_BAR_EDMA, stores[i].offset, 4, stores[i].value, why);
	return err ? err
		   : probe_reg_write(p, doorbell(dir), METIS_PREP(METIS_EDMA_DOORBELL_CH, n), why);
}

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void pause_between(void)
{
	const struct timespec pause = {.tv_nsec = PAUSE_NS};

	nanosleep(&pause, NULL);
}

/* So that nothing of it happens later. */
static void stop(struct probe *p, enum probe_dir dir, unsigned int n)
{
	uint64_t end = now_ms() + STOP_MS;
	enum metis_edma_cs cs = METIS_EDMA_CS_RUNNING;
	int err = probe_reg_write(p, doorbell(dir),
				  METIS_PREP(METIS_EDMA_DOORBELL_CH, n) | METIS_EDMA_DOORBELL_STOP,
				  NULL);

	while (!err && cs == METIS_EDMA_CS_RUNNING && now_ms() < end) {
		pause_between();
		err = read_cs(p, dir, n, &cs, NULL);
	}
	p->stuck = p->stuck || (!err && cs == METIS_EDMA_CS_RUNNING);
}

static bool has_bit(uint32_t mask, uint32_t status, unsigned int n)
{
	return METIS_GET(mask, status) & METIS_BIT(n);
}

/* Which side refused; the IOMMU's refusals arrive as the host's. */
static const char *who_refused(struct probe *p, enum probe_dir dir, unsigned int n)
{
	uint32_t low = 0, high = 0;

	if (dir == PROBE_OUT) {
		if (probe_reg_read(p, METIS_EDMA_WR_ERR_STATUS, &low, NULL))
			return "the card does not say why";
		if (has_bit(METIS_EDMA_WR_ERR_LL_FETCH, low, n))
			return "a list element could not be read";
		return has_bit(METIS_EDMA_WR_ERR_APP_READ, low, n)
			       ? "the card refuses to read its own memory"
			       : "the host's side refuses the write";
	}
	if (probe_reg_read(p, METIS_EDMA_RD_ERR_STATUS_LO, &low, NULL) ||
	    probe_reg_read(p, METIS_EDMA_RD_ERR_STATUS_HI, &high, NULL))
		return "the card does not say why";
	if (has_bit(METIS_EDMA_RD_ERR_LL_FETCH, low, n))
		return "a list element could not be read";
	if (has_bit(METIS_EDMA_RD_ERR_APP_WRITE, low, n))
		return "the card refuses to write its own memory";
	return has_bit(METIS_EDMA_RD_ERR_CA, high, n)
		       ? "the host's side aborts the read"
		       : "the host's side refuses the read (unsupported request)";
}

static int halted(struct probe *p, enum probe_dir dir, unsigned int n, struct reason *why)
{
	reason_add(why, -EIO, "%s channel %u aborted: %s", dir == PROBE_IN ? "read" : "write", n,
		   who_refused(p, dir, n));
	probe_reg_write(p, dir == PROBE_IN ? METIS_EDMA_RD_INT_CLEAR : METIS_EDMA_WR_INT_CLEAR,
			METIS_PREP(METIS_EDMA_INT_DONE, METIS_BIT(n)) |
				METIS_PREP(METIS_EDMA_INT_ABORT, METIS_BIT(n)),
			NULL);
	return -EIO;
}

static int wait(struct probe *p, enum probe_dir dir, unsigned int n, struct reason *why)
{
	static const char *const words[] = {
		[METIS_EDMA_CS_IDLE] = "never started",
		[METIS_EDMA_CS_RUNNING] = "still runs",
	};
	uint64_t end = now_ms() + p->options.timeout_ms;
	enum metis_edma_cs cs;
	int err;

	for (;;) {
		err = read_cs(p, dir, n, &cs, why);
		if (err || cs == METIS_EDMA_CS_STOPPED)
			return err;
		if (cs == METIS_EDMA_CS_HALTED)
			return halted(p, dir, n, why);
		if (probe_canceled(p) || now_ms() >= end)
			break;
		pause_between();
	}
	stop(p, dir, n);
	if (probe_canceled(p))
		return -ECANCELED;
	return reason_add(why, -ETIMEDOUT, "%s channel %u %s after %u ms",
			  dir == PROBE_IN ? "read" : "write", n, words[cs], p->options.timeout_ms);
}

static void fill(uint8_t *data, size_t bytes, uint64_t seed)
{
	size_t i;

	for (i = 0; i < bytes; i++) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		data[i] = (uint8_t)(seed >> 56);
	}
}

static int compare(const uint8_t *got, const uint8_t *want, struct reason *why)
{
	size_t i = 0;

	while (i < PROBE_BYTES && got[i] == want[i])
		i++;
	if (i == PROBE_BYTES)
		return 0;
	return reason_add(why, -EIO, "the transfer ends, but byte %zu is 0x%02x and not 0x%02x", i,
			  got[i], want[i]);
}

/* What is to arrive, and its opposite at the other end: what is equal afterwards has arrived. */
static int prepare(struct probe *p, const struct probe_xfer *xfer, uint64_t area,
		   const uint8_t *sent, struct reason *why)
{
	uint8_t opposite[PROBE_BYTES];
	unsigned int i;

	for (i = 0; i < PROBE_BYTES; i++)
		opposite[i] = (uint8_t)~sent[i];
	memcpy(xfer->host->ptr, xfer->dir == PROBE_IN ? sent : opposite, PROBE_BYTES);
	return p->bus->ops->bar_write(p->bus, METIS_BAR_L2, area,
				      xfer->dir == PROBE_IN ? opposite : sent, PROBE_BYTES, why);
}

static int check_arrived(struct probe *p, const struct probe_xfer *xfer, uint64_t area,
			 const uint8_t *sent, struct reason *why)
{
	uint8_t arrived[PROBE_BYTES];
	int err = 0;

	if (xfer->dir == PROBE_IN)
		err = p->bus->ops->bar_read(p->bus, METIS_BAR_L2, area, arrived, PROBE_BYTES, why);
	else
		memcpy(arrived, xfer->host->ptr, PROBE_BYTES);
	return err ? err : compare(arrived, sent, why);
}

int probe_transfer(struct probe *p, const struct probe_xfer *xfer, struct reason *why)
{
	uint8_t sent[PROBE_BYTES];
	uint64_t area = 0, list;
	unsigned int n = 0;
	int err = p->stuck ? reason_add(why, -EBUSY, "a channel does not stop") : 0;

	if (!err)
		err = probe_channel(p, xfer->dir, &n, why);
	if (!err)
		err = find_area(p, n, &area, why);
	list = xfer->dir == PROBE_IN ? METIS_EDMA_RD_LIST(p->metis.lists_offset, n)
				     : METIS_EDMA_WR_LIST(p->metis.lists_offset, n);
	if (!err)
		err = keep(p, area, PROBE_BYTES, why);
	if (!err)
		err = keep(p, list, LIST_WORDS_BYTES, why);
	fill(sent, PROBE_BYTES, xfer->host->iova + xfer->dir);
	if (!err)
		err = prepare(p, xfer, area, sent, why);
	if (!err)
		err = write_list(p, xfer, list, p->metis.l2_base + area, why);
	if (!err)
		err = start(p, xfer->dir, n, p->metis.l2_base + list, why);
	if (!err)
		err = wait(p, xfer->dir, n, why);
	return err ? err : check_arrived(p, xfer, area, sent, why);
}

/* --- the hops --- */

/* One address and then the other: what only one of them can do says more than either. */
static int try_both(struct probe *p, enum probe_dir dir, struct reason *why)
{
	struct probe_xfer high = {.dir = dir, .host = p->high};
	struct probe_xfer low = {.dir = dir, .host = p->low};
	struct reason other = {""};
	int err = 0, low_err;

	if (p->high)
		err = probe_transfer(p, &high, why);
	if (err == -ENODEV || err == -ECANCELED || p->stuck)
		return err;
	low_err = probe_transfer(p, &low, err ? &other : why);
	if (!err && !low_err) {
		probe_note(p, "%u bytes at 0x%llx%s", PROBE_BYTES,
			   (unsigned long long)low.host->iova, p->high ? " and above 4 GiB" : "");
		return 0;
	}
	if (err && !low_err)
		probe_suggest(p, "dma-mask-truncated");
	if (err)
		return reason_add(
			why, err, "at 0x%llx; at 0x%llx %s", (unsigned long long)high.host->iova,
			(unsigned long long)low.host->iova, low_err ? "as well" : "it works");
	if (low_err == -ECANCELED)
		return low_err;
	return reason_add(why, low_err, "at 0x%llx%s", (unsigned long long)low.host->iova,
			  p->high ? "; above 4 GiB it works" : "");
}

static int dma(struct probe *p, enum probe_dir dir, struct reason *why)
{
	if (!p->is_metis) {
		probe_note(p, "only for devices whose DMA engine is known");
		return PROBE_SKIP;
	}
	if (p->metis.busy)
		probe_suggest(p, "stale-dma-no-reset");
	return try_both(p, dir, why);
}

int probe_hop_dma_in(struct probe *p, struct reason *why)
{
	return dma(p, PROBE_IN, why);
}

int probe_hop_dma_out(struct probe *p, struct reason *why)
{
	return dma(p, PROBE_OUT, why);
}

/* --- afterwards --- */

static void clear_imwr(struct probe *p)
{
	static const uint16_t regs[] = {
		METIS_EDMA_WR_DONE_IMWR_LO,   METIS_EDMA_WR_DONE_IMWR_HI,
		METIS_EDMA_WR_ABORT_IMWR_LO,  METIS_EDMA_WR_ABORT_IMWR_HI,
		METIS_EDMA_RD_DONE_IMWR_LO,   METIS_EDMA_RD_DONE_IMWR_HI,
		METIS_EDMA_RD_ABORT_IMWR_LO,  METIS_EDMA_RD_ABORT_IMWR_HI,
		METIS_EDMA_WR_CH01_IMWR_DATA, METIS_EDMA_WR_CH23_IMWR_DATA,
		METIS_EDMA_RD_CH01_IMWR_DATA, METIS_EDMA_RD_CH23_IMWR_DATA,
	};
	size_t i;

	for (i = 0; i < sizeof(regs) / sizeof(regs[0]); i++)
		probe_reg_write(p, regs[i], 0, NULL);
}

void probe_metis_quiet(struct probe *p)
{
	if (p->metis.seen) {
		if (!p->metis.owns_imwr)
			clear_imwr(p);
		probe_reg_write(p, METIS_EDMA_WR_ENGINE_EN, 0, NULL);
		probe_reg_write(p, METIS_EDMA_RD_ENGINE_EN, 0, NULL);
	}
	while (p->metis.kept_nr) {
		const struct probe_kept *kept = &p->metis.kept[--p->metis.kept_nr];

		if (!p->stuck && !p->no_restore)
			p->bus->ops->bar_write(p->bus, METIS_BAR_L2, kept->offset, kept->data,
					       kept->bytes, NULL);
	}
}
