/* SPDX-License-Identifier: MIT */
#include <endian.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <tethys/hw/fwarea.h>
#include <tethys/hw/fwproto.h>
#include <tethys/hw/irq.h>
#include <tethys/hw/module.h>
#include <tethys/hw/pci.h>

#include "runtime/tests/fake_card.h"

#define CONTEXTS_OFFSET METIS_FW_AREAS_OFFSET
#define BOARD_OFFSET 0xc00u
#define DDR_WINDOW (64ull << 20)

struct fake_card fake;
const struct axdev_options fake_defaults;

struct fake_dev {
	struct axdev dev; /* first */
	char *l2;
	char *ddr;
	pthread_mutex_t lock; /* the below */
	pthread_cond_t changed;
	unsigned int irqs[METIS_IRQ_NR];
	bool busy[METIS_CORES];
	bool cancel[METIS_CORES];
	bool closing;
	unsigned int threads;
	uint32_t last_module;
};

struct fake_command {
	struct fake_dev *dev;
	unsigned int context;
	uint64_t cmd;
};

void fake_reset(void)
{
	memset(&fake, 0, sizeof(fake));
}

static void sleep_ms(unsigned int ms)
{
	struct timespec ts = {ms / 1000, (ms % 1000) * 1000000l};

	nanosleep(&ts, NULL);
}

static struct metis_context *context_of(struct fake_dev *dev, unsigned int n)
{
	return (struct metis_context *)(dev->l2 + CONTEXTS_OFFSET) + n;
}

/* By address: members of a packed struct may lie anywhere as far as the compiler knows. */
static uint64_t *sts_of(struct fake_dev *dev, unsigned int n)
{
	return (uint64_t *)(dev->l2 + CONTEXTS_OFFSET + n * sizeof(struct metis_context) +
			    offsetof(struct metis_context, sts));
}

static void *memory_at(struct fake_dev *dev, uint64_t addr, uint64_t len)
{
	const uint64_t ddr = METIS_CORES * DDR_WINDOW;

	if (addr >= METIS_L2_BASE && addr - METIS_L2_BASE + len <= METIS_L2_BYTES)
		return dev->l2 + (addr - METIS_L2_BASE);
	if (addr >= METIS_DDR_BASE && addr - METIS_DDR_BASE <= ddr &&
	    len <= ddr - (addr - METIS_DDR_BASE))
		return dev->ddr + (addr - METIS_DDR_BASE);
	return NULL;
}

/* --- firmware --- */

static int copy_tensors(struct fake_dev *dev, const struct metis_fw_request *request)
{
	const struct metis_fw_tensor *t;
	uint32_t in = le32toh(request->inputs), out = le32toh(request->outputs), i;

	t = memory_at(dev, le64toh(request->tensors_addr), (in + out) * sizeof(*t));
	if (!t || !in)
		return -EINVAL;
	for (i = 0; i < out; i++) {
		const struct metis_fw_tensor *from = &t[i % in], *to = &t[in + i];
		uint64_t bytes = le64toh(to->bytes) < le64toh(from->bytes) ? le64toh(to->bytes)
									   : le64toh(from->bytes);
		void *src = memory_at(dev, le64toh(from->addr), le64toh(from->bytes));
		void *dst = memory_at(dev, le64toh(to->addr), le64toh(to->bytes));

		if (!src || !dst || le64toh(from->addr) % 64 || le64toh(to->addr) % 64)
			return -EINVAL;
		memmove(dst, src, bytes);
	}
	return 0;
}

static int load(struct fake_dev *dev, unsigned int context, struct metis_fw_request *request)
{
	uint64_t bytes = le64toh(request->module_bytes);
	const struct metis_module *m = memory_at(dev, le64toh(request->module_addr), bytes);

	atomic_fetch_add(&fake.loads, 1);
	fake.last_cores = le32toh(request->cores);
	fake.last_context = context;
	if (!m || bytes < sizeof(*m) || le32toh(m->magic) != METIS_MODULE_MAGIC ||
	    le64toh(m->bytes) != bytes)
		return -EINVAL;
	request->reply.module = htole32(++dev->last_module);
	atomic_fetch_add(&fake.modules, 1);
	return 0;
}

static int run(struct fake_dev *dev, const struct metis_fw_request *request)
{
	unsigned int now = atomic_fetch_add(&fake.running, 1) + 1, most;

	most = atomic_load(&fake.most_running);
	while (now > most && !atomic_compare_exchange_weak(&fake.most_running, &most, now))
		;
	atomic_fetch_add(&fake.runs, 1);
	if (fake.run_ms)
		sleep_ms(fake.run_ms);
	atomic_fetch_sub(&fake.running, 1);
	return copy_tensors(dev, request);
}

static int execute(struct fake_dev *dev, unsigned int context, struct metis_fw_request *request)
{
	if (fake.refuse_status)
		return fake.refuse_status;
	switch (le16toh(request->op)) {
	case METIS_FW_OP_LOAD:
		return load(dev, context, request);
	case METIS_FW_OP_RUN:
		return run(dev, request);
	case METIS_FW_OP_UNLOAD:
		atomic_fetch_add(&fake.unloads, 1);
		atomic_fetch_sub(&fake.modules, 1);
		return 0;
	default:
		return -EINVAL;
	}
}

/* Return: false when the card is being closed. */
static bool wait_for_cancel(struct fake_dev *dev, unsigned int context)
{
	bool go;

	pthread_mutex_lock(&dev->lock);
	while (!dev->closing && fake.hang && !(dev->cancel[context] && !fake.deaf))
		pthread_cond_wait(&dev->changed, &dev->lock);
	go = !dev->closing;
	pthread_mutex_unlock(&dev->lock);
	return go;
}

static void complete(struct fake_dev *dev, const struct fake_command *command,
		     struct metis_fw_request *request, int status)
{
	uint32_t seq = METIS_FW_CMD_SEQ(command->cmd);

	request->reply.seq = htole32(seq);
	request->reply.status = htole32((uint32_t)status);
	request->reply.reason = htole32(fake.refuse_reason);
	request->reply.device_ns = htole64(1234);
	if (status && fake.refuse_text)
		memcpy(request->reply.text, fake.refuse_text,
		       strnlen(fake.refuse_text, sizeof(request->reply.text)));
	pthread_mutex_lock(&dev->lock);
	dev->busy[command->context] = false;
	__atomic_store_n(sts_of(dev, command->context), htole64(METIS_FW_STS(seq, status)),
			 __ATOMIC_RELEASE);
	if (!fake.lose_irqs)
		dev->irqs[METIS_IRQ_CONTEXT(command->context)]++;
	pthread_cond_broadcast(&dev->changed);
	pthread_mutex_unlock(&dev->lock);
}

static void *command_main(void *arg)
{
	struct fake_command *command = arg;
	struct fake_dev *dev = command->dev;
	struct metis_fw_request *request;
	int status;

	request = memory_at(dev, le64toh(context_of(dev, command->context)->arg), sizeof(*request));
	if (fake.hang && le16toh(request->op) != METIS_FW_OP_UNLOAD) {
		if (wait_for_cancel(dev, command->context))
			complete(dev, command, request, -ECANCELED);
	} else {
		status = request ? execute(dev, command->context, request) : -EINVAL;
		if (request)
			complete(dev, command, request, status);
	}
	pthread_mutex_lock(&dev->lock);
	dev->threads--;
	pthread_cond_broadcast(&dev->changed);
	pthread_mutex_unlock(&dev->lock);
	free(command);
	return NULL;
}

static void command_written(struct fake_dev *dev, unsigned int context)
{
	uint64_t cmd = le64toh(context_of(dev, context)->cmd);
	struct fake_command *command;
	pthread_t thread;

	pthread_mutex_lock(&dev->lock);
	if (METIS_FW_CMD_OP(cmd) == METIS_FW_OP_CANCEL) {
		atomic_fetch_add(&fake.cancels, 1);
		dev->cancel[context] = true;
		pthread_cond_broadcast(&dev->changed);
	} else if (dev->busy[context]) {
		atomic_fetch_add(&fake.overlaps, 1);
	} else {
		dev->busy[context] = true;
		dev->cancel[context] = false;
		context_of(dev, context)->sts =
			htole64(METIS_FW_STS(METIS_FW_CMD_SEQ(cmd), METIS_FW_STS_BUSY));
		command = malloc(sizeof(*command));
		if (!command)
			abort();
		*command = (struct fake_command){dev, context, cmd};
		dev->threads++;
		pthread_create(&thread, NULL, command_main, command);
		pthread_detach(thread);
	}
	pthread_mutex_unlock(&dev->lock);
}

static void boot(struct fake_dev *dev)
{
	struct metis_sysctl *sysctl = (struct metis_sysctl *)dev->l2;
	struct metis_fw_ext *ext = (struct metis_fw_ext *)(dev->l2 + METIS_FW_EXT_OFFSET);
	struct metis_board *board = (struct metis_board *)(dev->l2 + BOARD_OFFSET);
	unsigned int n;

	sysctl->context = (struct metis_memref){
		.magic = htole16(METIS_MAGIC_CONTEXT),
		.size = htole32(METIS_CORES * sizeof(struct metis_context)),
		.offset = htole64(CONTEXTS_OFFSET),
	};
	sysctl->board = (struct metis_memref){
		.magic = htole16(METIS_MAGIC_BOARD),
		.size = htole32(sizeof(*board)),
		.offset = htole64(BOARD_OFFSET),
	};
	sysctl->tethys = (struct metis_memref){
		.magic = htole16(fake.no_protocol ? 0 : METIS_MAGIC_TETHYS),
		.size = htole32(sizeof(*ext)),
		.offset = htole64(METIS_FW_EXT_OFFSET),
	};
	*ext = (struct metis_fw_ext){
		.magic = htole32(METIS_FW_EXT_MAGIC),
		.major = htole16(METIS_FW_EXT_MAJOR),
		.mailbox_offset = htole32(METIS_FW_MAILBOX_OFFSET(0)),
		.mailbox_stride = htole32(METIS_FW_MAILBOX_BYTES),
		.ddr_base = htole64(METIS_DDR_BASE),
		.ddr_bytes = htole64(METIS_CORES * DDR_WINDOW),
		.engine = "null",
		.personality = "1.8.0",
	};
	for (n = 0; n < METIS_CORES; n++) {
		context_of(dev, n)->ddr_base = htole64(METIS_DDR_BASE + n * DDR_WINDOW);
		context_of(dev, n)->ddr_bytes = htole64(DDR_WINDOW);
	}
	board->board_type = htole32(2);
	board->board_revision = htole32(7);
	board->clock_mhz = htole32(800);
	strcpy(board->firmware_version, "v9.9.9");
	strcpy(board->controller_version, "7.4");
}

/* --- device --- */

static struct fake_dev *fake_of(struct axdev *dev)
{
	return (struct fake_dev *)dev;
}

static void fake_close(struct axdev *axdev)
{
	struct fake_dev *dev = fake_of(axdev);

	pthread_mutex_lock(&dev->lock);
	dev->closing = true;
	pthread_cond_broadcast(&dev->changed);
	while (dev->threads)
		pthread_cond_wait(&dev->changed, &dev->lock);
	pthread_mutex_unlock(&dev->lock);
	munmap(dev->l2, METIS_BAR_L2_BYTES);
	munmap(dev->ddr, METIS_CORES * DDR_WINDOW);
	pthread_mutex_destroy(&dev->lock);
	pthread_cond_destroy(&dev->changed);
	free(dev);
	atomic_fetch_add(&fake.closes, 1);
}

static int check_gone(struct reason *why)
{
	return atomic_load(&fake.gone) ? reason_add(why, -ENODEV, "fake: unplugged") : 0;
}

static int fake_bar_read(struct axdev *axdev, unsigned int bar, uint64_t offset, void *buf,
			 size_t len, struct reason *why)
{
	if (atomic_load(&fake.ones)) {
		memset(buf, 0xff, len);
		return 0;
	}
	if (bar != METIS_BAR_L2 || offset + len > METIS_BAR_L2_BYTES)
		return reason_add(why, -EINVAL, "fake: bad read");
	if (len == 8) /* sts: written by another thread */
		*(uint64_t *)buf = __atomic_load_n((uint64_t *)(fake_of(axdev)->l2 + offset),
						   __ATOMIC_ACQUIRE);
	else
		memcpy(buf, fake_of(axdev)->l2 + offset, len);
	return check_gone(why);
}

static int fake_bar_write(struct axdev *axdev, unsigned int bar, uint64_t offset, const void *buf,
			  size_t len, struct reason *why)
{
	struct fake_dev *dev = fake_of(axdev);
	unsigned int n;
	int r = check_gone(why);

	if (r)
		return r;
	if (bar != METIS_BAR_L2 || offset + len > METIS_BAR_L2_BYTES)
		return reason_add(why, -EINVAL, "fake: bad write");
	memcpy(dev->l2 + offset, buf, len);
	for (n = 0; n < METIS_CORES; n++)
		if (dev->l2 + offset == (char *)&context_of(dev, n)->cmd)
			command_written(dev, n);
	return 0;
}

static int fake_buf_alloc(struct axdev *axdev, size_t bytes, struct axdev_buf *ret_buf,
			  struct reason *why)
{
	void *ptr = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)axdev;
	if (ptr == MAP_FAILED)
		return reason_add(why, -ENOMEM, "fake: out of memory");
	*ret_buf = (struct axdev_buf){.ptr = ptr, .bytes = bytes};
	return 0;
}

static void fake_buf_free(struct axdev *axdev, struct axdev_buf *buf)
{
	(void)axdev;
	munmap(buf->ptr, buf->bytes);
}

static int move(struct axdev *axdev, enum axdev_dir dir, uint64_t card_addr, void *ptr, size_t len,
		struct reason *why)
{
	void *card = memory_at(fake_of(axdev), card_addr, len);
	int r = check_gone(why);

	if (r)
		return r;
	if (!card || !len)
		return reason_add(why, -EIO, "fake: no such card memory");
	if (fake.xfer_err && fake.xfer_good-- <= 0)
		return reason_add(why, fake.xfer_err, "fake: DMA RD CH0 status -110");
	if (dir == AXDEV_TO_CARD)
		memcpy(card, ptr, len);
	else
		memcpy(ptr, card, len);
	if (dir == AXDEV_TO_CARD)
		atomic_fetch_add(&fake.uploaded, len);
	return 0;
}

static int fake_xfer(struct axdev *axdev, enum axdev_dir dir, int channel, uint64_t card_addr,
		     const struct axdev_buf *buf, size_t offset, size_t len, struct reason *why)
{
	(void)channel;
	atomic_fetch_add(&fake.transfers, 1);
	if (offset > buf->bytes || len > buf->bytes - offset)
		return reason_add(why, -EINVAL, "fake: transfer leaves its buffer");
	return move(axdev, dir, card_addr, (char *)buf->ptr + offset, len, why);
}

static int fake_xfer_user(struct axdev *axdev, enum axdev_dir dir, int channel, uint64_t card_addr,
			  void *ptr, size_t len, struct reason *why)
{
	(void)channel;
	if (fake.no_user_memory)
		return -ENOTSUP;
	atomic_fetch_add(&fake.user_transfers, 1);
	return move(axdev, dir, card_addr, ptr, len, why);
}

static int fake_irq_wait(struct axdev *axdev, unsigned int number, unsigned int timeout_ms,
			 struct reason *why)
{
	struct fake_dev *dev = fake_of(axdev);
	struct timespec until;
	int r = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += timeout_ms % 1000 * 1000000l;
	until.tv_sec += timeout_ms / 1000 + until.tv_nsec / 1000000000l;
	until.tv_nsec %= 1000000000l;
	pthread_mutex_lock(&dev->lock);
	while (!dev->irqs[number] && !r && !atomic_load(&fake.gone))
		r = pthread_cond_clockwait(&dev->changed, &dev->lock, CLOCK_MONOTONIC, &until);
	if (dev->irqs[number])
		dev->irqs[number]--;
	pthread_mutex_unlock(&dev->lock);
	if (atomic_load(&fake.gone))
		return check_gone(why);
	return -r;
}

static void fake_irq_clear(struct axdev *axdev, unsigned int number)
{
	struct fake_dev *dev = fake_of(axdev);

	pthread_mutex_lock(&dev->lock);
	dev->irqs[number] = 0;
	pthread_mutex_unlock(&dev->lock);
}

static const struct axdev_ops fake_ops = {
	.close = fake_close,
	.bar_read = fake_bar_read,
	.bar_write = fake_bar_write,
	.buf_alloc = fake_buf_alloc,
	.buf_free = fake_buf_free,
	.xfer = fake_xfer,
	.xfer_user = fake_xfer_user,
	.irq_wait = fake_irq_wait,
	.irq_clear = fake_irq_clear,
};

/* --- what a driver adds --- */

static int fake_cores_take(struct axdev *dev, unsigned int count, unsigned int *ret_first,
			   struct reason *why)
{
	unsigned int first, n;

	for (first = 0; first + count <= METIS_CORES; first++)
		if (!(fake.others & ((1u << count) - 1) << first))
			break;
	if (first + count > METIS_CORES)
		return reason_add(why, -EBUSY, "fake: no cores");
	for (n = first; fake.left_sts && n < first + count; n++)
		*sts_of((struct fake_dev *)dev, n) = htole64(fake.left_sts);
	*ret_first = first;
	return 0;
}

static void fake_cores_give(struct axdev *dev, unsigned int first)
{
	(void)dev;
	(void)first;
	atomic_fetch_add(&fake.given, 1);
}

static void fake_losses(struct axdev *dev, bool now)
{
	(void)now;
	dev->lost_irqs = atomic_load(&fake.driver_losses);
}

/* Registers are the driver's. */
static int shared_bar_read(struct axdev *dev, unsigned int bar, uint64_t offset, void *buf,
			   size_t len, struct reason *why)
{
	if (bar == METIS_BAR_EDMA)
		return reason_add(why, -EPERM, "fake: no registers");
	return fake_bar_read(dev, bar, offset, buf, len, why);
}

static const struct axdev_ops shared_ops = {
	.close = fake_close,
	.bar_read = shared_bar_read,
	.bar_write = fake_bar_write,
	.buf_alloc = fake_buf_alloc,
	.buf_free = fake_buf_free,
	.xfer = fake_xfer,
	.xfer_user = fake_xfer_user,
	.irq_wait = fake_irq_wait,
	.irq_clear = fake_irq_clear,
	.cores_take = fake_cores_take,
	.cores_give = fake_cores_give,
	.losses = fake_losses,
};

int axdev_open(const char *name, const struct axdev_options *options, struct axdev **ret_dev,
	       struct reason *why)
{
	struct fake_dev *dev;

	if (strncmp(name, "sim", 3) && strncmp(name, "vfio-user:", 10))
		return reason_add(why, -EINVAL, "fake: no such kind of device");
	if (fake.open_err)
		return reason_add(why, fake.open_err, "fake: can't be opened");
	dev = calloc(1, sizeof(*dev));
	dev->dev.ops = fake.shared ? &shared_ops : &fake_ops;
	dev->dev.options = *options;
	strcpy(dev->dev.name, name);
	dev->l2 = mmap(NULL, METIS_BAR_L2_BYTES, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	dev->ddr = mmap(NULL, METIS_CORES * DDR_WINDOW, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	pthread_mutex_init(&dev->lock, NULL);
	pthread_cond_init(&dev->changed, NULL);
	boot(dev);
	atomic_fetch_add(&fake.opens, 1);
	*ret_dev = &dev->dev;
	return 0;
}

void axdev_close(struct axdev *dev)
{
	if (dev)
		dev->ops->close(dev);
}

void axdev_list(void (*found)(void *ctx, const char *name), void *ctx)
{
	found(ctx, "sim");
	if (fake.two_cards)
		found(ctx, "vfio-user:/fake");
}
