/* SPDX-License-Identifier: MIT */
/*
 * "vfio-user:PATH": a card in another process, behind a unix socket.
 *
 * DMA buffers are sealed memfds the server maps, so data moves without messages. Each buffer has a
 * file of its own: a server that ignores an unmap can only reach memory nobody uses any more. IOVAs
 * are not reused either, so a stale one hits nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/device/vfio_user_client.h"
#include "runtime/device/pci.h"

#define PAGE_BYTES 4096ull
#define REQUEST_TIMEOUT_MS 5000
/* Above everything 32-bit, the interrupt window included; far more than is ever used. */
#define IOVA_FIRST 0x100000000ull
#define IOVA_END 0x10000000000000ull
/* So that the server can use huge pages if the system has them for shared memory. */
#define IOVA_ALIGN 0x200000ull
#define REGIONS_MAX 100 /* what a server may claim */
#define IRQS_MAX 50
#define REGION_INFO_MAX 4096 /* bytes, with capabilities */

/* A buffer the server knows of. */
struct vu_memory {
	struct vu_memory *next;
	uint64_t iova;
	uint64_t bytes; /* whole pages */
	uint8_t *ptr;
};

struct vu_device {
	struct axdev_pci pci;
	struct vfio_user_client client;
	int irqs[METIS_IRQ_NR]; /* eventfds, -1: none yet */
	/* Protects the list; held for reading while the server's messages are copied. */
	pthread_rwlock_t lock;
	struct vu_memory *memory;
	uint64_t next_iova;
};

static struct vu_device *vu_of(struct axdev_pci *pci)
{
	return (struct vu_device *)pci;
}

/* --- DMA by message --- */

static int vu_dma(void *ctx, bool write, uint64_t iova, void *data, uint64_t len)
{
	struct vu_device *dev = ctx;
	const struct vu_memory *mem;
	int err = -ENODEV;

	pthread_rwlock_rdlock(&dev->lock);
	for (mem = dev->memory; mem; mem = mem->next)
		if (iova >= mem->iova && axdev_pci_range(iova - mem->iova, len, mem->bytes))
			break;
	if (mem) {
		if (write)
			memcpy(mem->ptr + (iova - mem->iova), data, len);
		else
			memcpy(data, mem->ptr + (iova - mem->iova), len);
		err = 0;
	}
	pthread_rwlock_unlock(&dev->lock);
	return err;
}

/* --- regions --- */

static int region_read(struct vu_device *dev, unsigned int region, uint64_t offset, void *buf,
		       size_t len, struct reason *why)
{
	struct vfio_user_region_access access = {.offset = offset, .region = region, .count = len};
	uint8_t small[sizeof(access) + 8], *reply = small;
	struct vfio_user_request request = {
		.command = VFIO_USER_REGION_READ,
		.body = {{&access, sizeof(access)}},
		.reply_bytes = sizeof(access) + len,
	};
	int err;

	if (len > 8)
		reply = malloc(sizeof(access) + len);
	if (!reply)
		return reason_add(why, -ENOMEM, "out of memory");
	request.reply = reply;
	err = vfio_user_client_call(&dev->client, &request, why);
	if (!err && request.reply_bytes != sizeof(access) + len)
		err = reason_add(why, -EIO, "the card process answers a read of %zu bytes with %zu",
				 len, request.reply_bytes);
	if (!err)
		memcpy(buf, reply + sizeof(access), len);
	if (reply != small)
		free(reply);
	return err;
}

static int vu_bar_read(struct axdev_pci *pci, unsigned int bar, uint64_t offset, void *buf,
		       size_t len, struct reason *why)
{
	struct vu_device *dev = vu_of(pci);
	size_t done, n;
	int err = 0;

	for (done = 0; !err && done < len; done += n) {
		n = len - done < VFIO_USER_MAX_DATA ? len - done : VFIO_USER_MAX_DATA;
		if (n > dev->client.peer.max_data_xfer_size)
			n = dev->client.peer.max_data_xfer_size;
		err = region_read(dev, bar, offset + done, (uint8_t *)buf + done, n, why);
	}
	return err;
}

static int vu_bar_write(struct axdev_pci *pci, unsigned int bar, uint64_t offset, const void *buf,
			size_t len, struct reason *why)
{
	struct vu_device *dev = vu_of(pci);
	struct vfio_user_region_access access = {.region = bar};
	struct iovec body[2];
	size_t done, n;
	int err = 0;

	for (done = 0; !err && done < len; done += n) {
		n = len - done < VFIO_USER_MAX_DATA ? len - done : VFIO_USER_MAX_DATA;
		if (n > dev->client.peer.max_data_xfer_size)
			n = dev->client.peer.max_data_xfer_size;
		access.offset = offset + done;
		access.count = n;
		body[0] = (struct iovec){&access, sizeof(access)};
		body[1] = (struct iovec){(uint8_t *)buf + done, n};
		err = vfio_user_client_post(&dev->client, VFIO_USER_REGION_WRITE, body, why);
	}
	return err;
}

/* One message for all stores of a transfer's start: each message wakes the server. */
static int vu_regs_write(struct axdev_pci *pci, const struct axdev_reg *regs, unsigned int count,
			 struct reason *why)
{
	struct vfio_user_write_record records[16];
	struct vfio_user_write_multi multi = {.count = count};
	struct iovec body[2] = {{&multi, sizeof(multi)}, {records, count * sizeof(records[0])}};
	unsigned int i;
	int err = 0;

	if (!vu_of(pci)->client.peer.write_multiple || count == 1 || count > 16) {
		for (i = 0; !err && i < count; i++)
			err = vu_bar_write(pci, METIS_BAR_EDMA, regs[i].offset, &regs[i].value, 4,
					   why);
		return err;
	}
	memset(records, 0, sizeof(records));
	for (i = 0; i < count; i++) {
		records[i].offset = regs[i].offset;
		records[i].region = METIS_BAR_EDMA;
		records[i].count = 4;
		memcpy(records[i].data, &regs[i].value, 4);
	}
	return vfio_user_client_post(&vu_of(pci)->client, VFIO_USER_REGION_WRITE_MULTI, body, why);
}

static int vu_config_read(struct axdev_pci *pci, uint32_t offset, void *buf, size_t len,
			  struct reason *why)
{
	return region_read(vu_of(pci), VFIO_USER_REGION_CONFIG, offset, buf, len, why);
}

/* Not posted: what follows may depend on it, and it is rare. */
static int vu_config_write(struct axdev_pci *pci, uint32_t offset, const void *buf, size_t len,
			   struct reason *why)
{
	struct vfio_user_region_access access = {
		.offset = offset,
		.region = VFIO_USER_REGION_CONFIG,
		.count = len,
	};
	struct vfio_user_region_access reply;
	struct vfio_user_request request = {
		.command = VFIO_USER_REGION_WRITE,
		.body = {{&access, sizeof(access)}, {(void *)buf, len}},
		.reply = &reply,
		.reply_bytes = sizeof(reply),
	};

	return vfio_user_client_call(&vu_of(pci)->client, &request, why);
}

/* --- memory --- */

static int dma_map(struct vu_device *dev, const struct vu_memory *mem, int fd, struct reason *why)
{
	struct vfio_user_dma_map map = {
		.argsz = sizeof(map),
		.flags = VFIO_USER_DMA_READABLE | VFIO_USER_DMA_WRITABLE,
		.iova = mem->iova,
		.size = mem->bytes,
	};
	struct vfio_user_request request = {
		.command = VFIO_USER_DMA_MAP,
		.body = {{&map, sizeof(map)}},
		.fds = &fd,
		.fds_nr = 1,
	};

	return vfio_user_client_call(&dev->client, &request, why);
}

static int dma_unmap(struct vu_device *dev, const struct vu_memory *mem)
{
	struct vfio_user_dma_unmap unmap = {
		.argsz = sizeof(unmap),
		.iova = mem->iova,
		.size = mem->bytes,
	};
	struct vfio_user_dma_unmap reply;
	struct vfio_user_request request = {
		.command = VFIO_USER_DMA_UNMAP,
		.body = {{&unmap, sizeof(unmap)}},
		.reply = &reply,
		.reply_bytes = sizeof(reply),
	};

	return vfio_user_client_call(&dev->client, &request, NULL);
}

/* A file the server may map without fear that we shrink it under its hands. */
static int sealed_file(uint64_t bytes, int *ret_fd)
{
	int fd = memfd_create("tethys-dma", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, bytes) ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)) {
		close(fd);
		return -ENOMEM;
	}
	*ret_fd = fd;
	return 0;
}

static int memory_link(struct vu_device *dev, struct vu_memory *mem)
{
	uint64_t span = (mem->bytes + IOVA_ALIGN - 1) & ~(IOVA_ALIGN - 1);
	int err = -ENOMEM;

	pthread_rwlock_wrlock(&dev->lock);
	/* A gap after each buffer, so that running off its end is refused. */
	if (span < IOVA_END - dev->next_iova) {
		mem->iova = dev->next_iova;
		dev->next_iova += span + (span == mem->bytes ? IOVA_ALIGN : 0);
		mem->next = dev->memory;
		dev->memory = mem;
		err = 0;
	}
	pthread_rwlock_unlock(&dev->lock);
	return err;
}

static void memory_unlink(struct vu_device *dev, const struct vu_memory *mem)
{
	struct vu_memory **at;

	pthread_rwlock_wrlock(&dev->lock);
	for (at = &dev->memory; *at && *at != mem; at = &(*at)->next)
		;
	if (*at)
		*at = mem->next;
	pthread_rwlock_unlock(&dev->lock);
}

static void memory_destroy(struct vu_memory *mem)
{
	if (mem->ptr)
		munmap(mem->ptr, mem->bytes);
	free(mem);
}

static int memory_create(struct vu_device *dev, size_t bytes, struct vu_memory **ret_mem,
			 struct reason *why)
{
	struct vu_memory *mem = calloc(1, sizeof(*mem));
	int err, fd = -1;

	if (!mem)
		return -ENOMEM;
	mem->bytes = (bytes + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1);
	err = sealed_file(mem->bytes, &fd);
	if (!err) {
		mem->ptr = mmap(NULL, mem->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (mem->ptr == MAP_FAILED) {
			mem->ptr = NULL;
			err = -ENOMEM;
		}
	}
	/* Where the system lets shared memory have huge pages on request. */
	if (!err && mem->bytes >= IOVA_ALIGN)
		madvise(mem->ptr, mem->bytes, MADV_HUGEPAGE);
	if (!err)
		err = memory_link(dev, mem);
	if (!err) {
		err = dma_map(dev, mem, fd, why);
		if (err)
			memory_unlink(dev, mem);
	}
	if (fd >= 0)
		close(fd);
	if (err)
		memory_destroy(mem);
	else
		*ret_mem = mem;
	return err;
}

static int vu_mem_alloc(struct axdev_pci *pci, size_t bytes, struct axdev_buf *ret_buf,
			struct reason *why)
{
	struct vu_memory *mem;
	int err = memory_create(vu_of(pci), bytes, &mem, why);

	if (err)
		return reason_add(why, err, "no DMA buffer of %zu bytes: %s", bytes,
				  strerror(-err));
	*ret_buf = (struct axdev_buf){
		.ptr = mem->ptr,
		.iova = mem->iova,
		.bytes = bytes,
		.priv = mem,
	};
	return 0;
}

static void vu_mem_free(struct axdev_pci *pci, struct axdev_buf *buf)
{
	struct vu_memory *mem = buf->priv;

	memory_unlink(vu_of(pci), mem);
	dma_unmap(vu_of(pci), mem);
	memory_destroy(mem);
}

/* --- interrupts --- */

static int assign_irqs(struct vu_device *dev, unsigned int start, unsigned int count,
		       struct reason *why)
{
	struct vfio_user_irq_set set = {
		.argsz = sizeof(set),
		.flags = VFIO_USER_IRQ_DATA_EVENTFD | VFIO_USER_IRQ_ACTION_TRIGGER,
		.index = VFIO_USER_IRQ_MSI,
		.start = start,
		.count = count,
	};
	struct vfio_user_request request = {
		.command = VFIO_USER_DEVICE_SET_IRQS,
		.body = {{&set, sizeof(set)}},
		.fds = dev->irqs + start,
		.fds_nr = count,
	};

	return vfio_user_client_call(&dev->client, &request, why);
}

static int vu_irq_setup(struct axdev_pci *pci, struct reason *why)
{
	struct vu_device *dev = vu_of(pci);
	unsigned int start, count, most = dev->client.peer.max_msg_fds;
	int err = 0;

	if (most > VFIO_USER_MAX_FDS)
		most = VFIO_USER_MAX_FDS;
	for (start = 0; !err && start < METIS_IRQ_NR; start += count) {
		count = METIS_IRQ_NR - start < most ? METIS_IRQ_NR - start : most;
		err = assign_irqs(dev, start, count, why);
	}
	return err;
}

static bool vu_irq_take(struct axdev_pci *pci, unsigned int number)
{
	eventfd_t one;

	return !eventfd_read(vu_of(pci)->irqs[number], &one);
}

/* The socket is watched as well: it hangs up when the server dies, and when we cut it off. */
static int vu_irq_wait(struct axdev_pci *pci, unsigned int number, uint64_t timeout_us,
		       struct reason *why)
{
	struct vu_device *dev = vu_of(pci);
	struct pollfd fds[] = {
		{.fd = dev->irqs[number], .events = POLLIN},
		{.fd = dev->client.sock, .events = POLLRDHUP},
	};
	uint64_t now = axdev_now_us(), end = now + timeout_us;
	struct timespec ts;
	bool taken;

	while (!(taken = vu_irq_take(pci, number)) && now < end && !fds[1].revents) {
		ts.tv_sec = (end - now) / 1000000;
		ts.tv_nsec = (end - now) % 1000000 * 1000;
		if (ppoll(fds, 2, &ts, NULL) < 0)
			fds[1].revents = 0;
		now = axdev_now_us();
	}
	/* What came before its end counts. */
	if (!taken && fds[1].revents)
		return reason_add(why, -ENODEV, "the card process is gone");
	return taken ? 0 : -ETIMEDOUT;
}

static void vu_irq_clear(struct axdev_pci *pci, unsigned int number)
{
	unsigned int i;

	/* Bounded: a server can count as fast as we do. */
	for (i = 0; i < 1000 && vu_irq_take(pci, number); i++)
		;
}

static int vu_reset(struct axdev_pci *pci, struct reason *why)
{
	struct vfio_user_request request = {.command = VFIO_USER_DEVICE_RESET};

	return vfio_user_client_call(&vu_of(pci)->client, &request, why);
}

/* --- what the server has --- */

static int check_device(struct vu_device *dev, struct reason *why)
{
	struct vfio_user_device_info info = {.argsz = sizeof(info)}, reply;
	struct vfio_user_request request = {
		.command = VFIO_USER_DEVICE_GET_INFO,
		.body = {{&info, sizeof(info)}},
		.reply = &reply,
		.reply_bytes = sizeof(reply),
	};
	int err = vfio_user_client_call(&dev->client, &request, why);

	if (err)
		return err;
	if (request.reply_bytes != sizeof(reply) || !(reply.flags & VFIO_USER_DEVICE_PCI) ||
	    reply.regions <= VFIO_USER_REGION_CONFIG || reply.regions > REGIONS_MAX ||
	    reply.irqs <= VFIO_USER_IRQ_MSI || reply.irqs > IRQS_MAX)
		return reason_add(why, -EPROTO, "the server offers no PCI device");
	return 0;
}

static int check_irqs(struct vu_device *dev, struct reason *why)
{
	struct vfio_user_irq_info info = {.argsz = sizeof(info), .index = VFIO_USER_IRQ_MSI}, reply;
	struct vfio_user_request request = {
		.command = VFIO_USER_DEVICE_GET_IRQ_INFO,
		.body = {{&info, sizeof(info)}},
		.reply = &reply,
		.reply_bytes = sizeof(reply),
	};
	int err = vfio_user_client_call(&dev->client, &request, why);

	if (err)
		return err;
	if (request.reply_bytes != sizeof(reply) || reply.index != info.index ||
	    !(reply.flags & VFIO_USER_IRQ_FLAG_EVENTFD) || reply.count < METIS_IRQ_NR)
		return reason_add(why, -EPROTO, "the server offers no 32 MSI vectors");
	return 0;
}

/* @info has room for REGION_INFO_MAX bytes and is filled with @ret_bytes. */
static int region_info(struct vu_device *dev, unsigned int region, uint32_t argsz,
		       struct vfio_user_region_info *info, size_t *ret_bytes,
		       struct vfio_user_fds *fds, struct reason *why)
{
	struct vfio_user_region_info ask = {.argsz = argsz, .index = region};
	struct vfio_user_request request = {
		.command = VFIO_USER_DEVICE_GET_REGION_INFO,
		.body = {{&ask, sizeof(ask)}},
		.reply = info,
		.reply_bytes = argsz,
		.reply_fds = fds,
	};
	int err = vfio_user_client_call(&dev->client, &request, why);

	if (err)
		return err;
	if (request.reply_bytes < sizeof(*info) || info->index != region ||
	    info->argsz < sizeof(*info) || info->argsz > REGION_INFO_MAX)
		return reason_add(why, -EPROTO, "the server describes region %u wrongly", region);
	*ret_bytes = request.reply_bytes;
	return 0;
}

static int bad_area(struct reason *why)
{
	return reason_add(why, -EPROTO, "the server offers an impossible mapping of BAR2");
}

/* [@offset, @offset + @bytes) of BAR2, @fd_bytes being the size of the file it is mapped from. */
static int map_area(struct vu_device *dev, const struct vfio_user_region_info *info,
		    uint64_t offset, uint64_t bytes, int fd, uint64_t fd_bytes, struct reason *why)
{
	struct axdev_l2_area *area = &dev->pci.l2[dev->pci.l2_areas];
	void *ptr;

	if (!bytes || (offset | bytes | info->offset) % PAGE_BYTES ||
	    !axdev_pci_range(offset, bytes, info->size) || info->offset > fd_bytes ||
	    !axdev_pci_range(offset, bytes, fd_bytes - info->offset))
		return bad_area(why);
	if (dev->pci.l2_areas == AXDEV_L2_AREAS_MAX)
		return 0;
	ptr = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, info->offset + offset);
	if (ptr == MAP_FAILED)
		return reason_add(why, -ENOMEM, "can't map BAR2: %s", strerror(errno));
	*area = (struct axdev_l2_area){.offset = offset, .bytes = bytes, .ptr = ptr};
	dev->pci.l2_areas++;
	return 0;
}

/* The capability that names the mappable parts; NULL: the whole region is. */
static int find_sparse(const struct vfio_user_region_info *info, size_t bytes,
		       const struct vfio_user_cap_sparse **ret_sparse, struct reason *why)
{
	const struct vfio_user_cap *cap;
	uint32_t at = info->flags & VFIO_USER_REGION_FLAG_CAPS ? info->cap_offset : 0;

	*ret_sparse = NULL;
	/* Only forwards, so the walk ends. */
	for (uint32_t last = sizeof(*info) - 1; at; last = at, at = cap->next) {
		if (at <= last || at % 8 || !axdev_pci_range(at, sizeof(*cap), bytes))
			return bad_area(why);
		cap = (const void *)((const uint8_t *)info + at);
		if (cap->id != VFIO_USER_CAP_SPARSE_MMAP)
			continue;
		*ret_sparse = (const void *)cap;
		if (!axdev_pci_range(at, sizeof(**ret_sparse), bytes) ||
		    (*ret_sparse)->areas_nr >
			    (bytes - at - sizeof(**ret_sparse)) / sizeof((*ret_sparse)->areas[0]))
			return bad_area(why);
		return 0;
	}
	return 0;
}

static int map_l2(struct vu_device *dev, const struct vfio_user_region_info *info, size_t bytes,
		  int fd, struct reason *why)
{
	const struct vfio_user_cap_sparse *sparse;
	struct stat st;
	unsigned int i;
	int seals, err;

	seals = fcntl(fd, F_GET_SEALS);
	/* A server that can shrink it could kill us with SIGBUS: use messages instead. */
	if (fstat(fd, &st) || seals < 0 || !(seals & F_SEAL_SHRINK))
		return 0;
	err = find_sparse(info, bytes, &sparse, why);
	if (err)
		return err;
	if (!sparse)
		return map_area(dev, info, 0, info->size, fd, st.st_size, why);
	for (i = 0; !err && i < sparse->areas_nr; i++)
		err = map_area(dev, info, sparse->areas[i].offset, sparse->areas[i].size, fd,
			       st.st_size, why);
	return err;
}

static int check_region(struct vu_device *dev, unsigned int region, uint64_t bytes,
			struct reason *why)
{
	_Alignas(8) uint8_t space[REGION_INFO_MAX];
	struct vfio_user_region_info *info = (struct vfio_user_region_info *)space;
	struct vfio_user_fds fds = {.count = 0};
	size_t got;
	int err;

	err = region_info(dev, region, sizeof(*info), info, &got, &fds, why);
	if (!err && info->argsz > sizeof(*info)) {
		vfio_user_fds_close(&fds);
		err = region_info(dev, region, info->argsz, info, &got, &fds, why);
	}
	if (!err && (info->size < bytes || !(info->flags & VFIO_USER_REGION_FLAG_READ) ||
		     !(info->flags & VFIO_USER_REGION_FLAG_WRITE)))
		err = reason_add(why, -EPROTO,
				 "region %u of the server's device is not a Metis card's", region);
	if (!err && region == METIS_BAR_L2 && (info->flags & VFIO_USER_REGION_FLAG_MMAP) &&
	    fds.count == 1)
		err = map_l2(dev, info, got, fds.fd[0], why);
	vfio_user_fds_close(&fds);
	return err;
}

static int check_card(struct vu_device *dev, struct reason *why)
{
	int err = check_device(dev, why);

	if (!err)
		err = check_region(dev, VFIO_USER_REGION_CONFIG, METIS_PCI_CFG_BYTES, why);
	if (!err)
		err = check_region(dev, METIS_BAR_EDMA, METIS_BAR_EDMA_BYTES, why);
	if (!err)
		err = check_region(dev, METIS_BAR_L2, METIS_BAR_L2_BYTES, why);
	if (!err)
		err = check_irqs(dev, why);
	return err;
}

/* --- open and close --- */

/* Takes half-built ones too; buffers never freed go with it. */
static void vu_destroy(struct axdev_pci *pci)
{
	struct vu_device *dev = vu_of(pci);
	struct vu_memory *mem;
	unsigned int i;

	vfio_user_client_deinit(&dev->client);
	for (i = 0; i < METIS_IRQ_NR; i++)
		if (dev->irqs[i] >= 0)
			close(dev->irqs[i]);
	for (i = 0; i < pci->l2_areas; i++)
		munmap(pci->l2[i].ptr, pci->l2[i].bytes);
	while (dev->memory) {
		mem = dev->memory;
		dev->memory = mem->next;
		memory_destroy(mem);
	}
	pthread_rwlock_destroy(&dev->lock);
	axdev_pci_deinit(pci);
	free(dev);
}

static const struct axdev_pci_ops vu_ops = {
	.destroy = vu_destroy,
	.config_read = vu_config_read,
	.config_write = vu_config_write,
	.bar_read = vu_bar_read,
	.bar_write = vu_bar_write,
	.regs_write = vu_regs_write,
	.mem_alloc = vu_mem_alloc,
	.mem_free = vu_mem_free,
	.irq_setup = vu_irq_setup,
	.irq_wait = vu_irq_wait,
	.irq_take = vu_irq_take,
	.irq_clear = vu_irq_clear,
	.reset = vu_reset,
};

static int create_irqs(struct vu_device *dev, struct reason *why)
{
	unsigned int i;

	for (i = 0; i < METIS_IRQ_NR; i++) {
		dev->irqs[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE);
		if (dev->irqs[i] < 0)
			return reason_add(why, -ENOMEM, "no eventfd to be had: %s",
					  strerror(errno));
	}
	return 0;
}

static int start(struct vu_device *dev, const char *path, struct reason *why)
{
	int err = vfio_user_client_connect(&dev->client, path, why);

	if (!err)
		err = create_irqs(dev, why);
	if (!err)
		err = check_card(dev, why);
	return err ? err : axdev_pci_start(&dev->pci, why);
}

static int vu_open(const char *name, const struct axdev_options *options, struct axdev **ret_dev,
		   struct reason *why)
{
	const char *path = name + strlen("vfio-user");
	unsigned int timeout_ms = options->request_timeout_ms, i;
	struct vu_device *dev;
	int err;

	if (path[0] != ':' || !path[1])
		return reason_add(why, -EINVAL, "device \"%.100s\": write vfio-user:PATH", name);
	dev = calloc(1, sizeof(*dev));
	if (!dev)
		return reason_add(why, -ENOMEM, "out of memory");
	err = axdev_pci_init(&dev->pci, &vu_ops, name, options, why);
	if (err) {
		free(dev);
		return err;
	}
	pthread_rwlock_init(&dev->lock, NULL);
	vfio_user_client_init(&dev->client, timeout_ms ? timeout_ms : REQUEST_TIMEOUT_MS,
			      !options->one_socket, vu_dma, dev);
	dev->next_iova = IOVA_FIRST;
	dev->pci.reads_are_slow = true;
	for (i = 0; i < METIS_IRQ_NR; i++)
		dev->irqs[i] = -1;
	err = start(dev, path + 1, why);
	if (err) {
		vu_destroy(&dev->pci);
		return err;
	}
	*ret_dev = &dev->pci.dev;
	return 0;
}

const struct axdev_backend axdev_vfio_user = {
	.scheme = "vfio-user",
	.open = vu_open,
};
