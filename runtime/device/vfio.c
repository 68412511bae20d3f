/* SPDX-License-Identifier: MIT */
/*
 * "vfio:DOMAIN:BUS:SLOT.FUNCTION": a user-space driver over /dev/vfio.
 *
 * The kernel emulates part of configuration space and owns the MSI message: it is never shown, so
 * nothing here can fill the eDMA's IMWr registers (see no_msi_message in pci.h).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "runtime/device/vfio.h"

#define RESET_TRIES 20
#define RESET_PAUSE_US 10000

int vfio_open_file(const char *path, struct reason *why)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	if (fd >= 0)
		return fd;
	if (errno == EBUSY)
		return reason_add(why, -EBUSY,
				  "%s is in use: another program or a guest has the card", path);
	if (errno == EACCES)
		return reason_add(why, -EACCES,
				  "%s is not yours to open: be root, or as root: chown NAME %s",
				  path, path);
	return reason_add(why, -errno, "%s: %s", path, strerror(errno));
}

/* --- regions --- */

static int region_failed(ssize_t got, size_t len, const char *what, struct reason *why)
{
	if (got < 0)
		return reason_add(why, -errno, "VFIO refuses a %s: %s", what, strerror(errno));
	return reason_add(why, -EIO, "VFIO cuts a %s of %zu bytes short at %zd", what, len, got);
}

static int region_read(struct vfio_card *card, const struct vfio_region *region, uint64_t offset,
		       void *buf, size_t len, struct reason *why)
{
	ssize_t got = pread(card->device, buf, len, (off_t)(region->offset + offset));

	return got == (ssize_t)len ? 0 : region_failed(got, len, "read", why);
}

static int region_write(struct vfio_card *card, const struct vfio_region *region, uint64_t offset,
			const void *buf, size_t len, struct reason *why)
{
	ssize_t got = pwrite(card->device, buf, len, (off_t)(region->offset + offset));

	return got == (ssize_t)len ? 0 : region_failed(got, len, "write", why);
}

static int config_read(struct axdev_pci *pci, uint32_t offset, void *buf, size_t len,
		       struct reason *why)
{
	return region_read(vfio_card_of(pci), &vfio_card_of(pci)->config, offset, buf, len, why);
}

static int config_write(struct axdev_pci *pci, uint32_t offset, const void *buf, size_t len,
			struct reason *why)
{
	return region_write(vfio_card_of(pci), &vfio_card_of(pci)->config, offset, buf, len, why);
}

static volatile uint32_t *reg_at(struct vfio_card *card, uint64_t offset)
{
	return (volatile uint32_t *)(card->regs + offset);
}

static int bar_read(struct axdev_pci *pci, unsigned int bar, uint64_t offset, void *buf, size_t len,
		    struct reason *why)
{
	struct vfio_card *card = vfio_card_of(pci);
	uint32_t value;

	if (bar != METIS_BAR_EDMA || !card->regs || len != 4)
		return region_read(card, &card->bars[bar], offset, buf, len, why);
	value = *reg_at(card, offset);
	memcpy(buf, &value, 4);
	return 0;
}

static int bar_write(struct axdev_pci *pci, unsigned int bar, uint64_t offset, const void *buf,
		     size_t len, struct reason *why)
{
	struct vfio_card *card = vfio_card_of(pci);
	uint32_t value;

	if (bar != METIS_BAR_EDMA || !card->regs || len != 4)
		return region_write(card, &card->bars[bar], offset, buf, len, why);
	memcpy(&value, buf, 4);
	*reg_at(card, offset) = value;
	return 0;
}

static int regs_write(struct axdev_pci *pci, const struct axdev_reg *regs, unsigned int count,
		      struct reason *why)
{
	unsigned int i;
	int err = 0;

	for (i = 0; !err && i < count; i++)
		err = bar_write(pci, METIS_BAR_EDMA, regs[i].offset, &regs[i].value, 4, why);
	return err;
}

static void *map_region(struct vfio_card *card, const struct vfio_region *region, uint64_t offset,
			uint64_t bytes)
{
	void *ptr = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, card->device,
			 (off_t)(region->offset + offset));

	return ptr == MAP_FAILED ? NULL : ptr;
}

static int add_l2_area(struct vfio_card *card, uint64_t offset, uint64_t bytes, struct reason *why)
{
	struct axdev_pci *pci = &card->pci;
	void *ptr;

	if (pci->l2_areas == AXDEV_L2_AREAS_MAX || !bytes ||
	    !axdev_pci_range(offset, bytes, card->bars[METIS_BAR_L2].bytes))
		return 0;
	ptr = map_region(card, &card->bars[METIS_BAR_L2], offset, bytes);
	if (!ptr)
		return reason_add(why, -errno, "VFIO does not map BAR2: %s", strerror(errno));
	pci->l2[pci->l2_areas++] = (struct axdev_l2_area){offset, bytes, ptr};
	return 0;
}

/* The capability that names the mappable parts; NULL: the whole region is. */
static const struct vfio_region_info_cap_sparse_mmap *
find_sparse(const struct vfio_region_info *info, uint32_t bytes)
{
	const struct vfio_region_info_cap_sparse_mmap *cap;
	uint32_t first = info->flags & VFIO_REGION_INFO_FLAG_CAPS ? info->cap_offset : 0;

	cap = vfio_find_cap(info, bytes, first, VFIO_REGION_INFO_CAP_SPARSE_MMAP, sizeof(*cap));
	return cap && cap->nr_areas <= vfio_cap_room(info, bytes, cap, sizeof(*cap),
						     sizeof(cap->areas[0]))
		       ? cap
		       : NULL;
}

static int map_bar(struct vfio_card *card, unsigned int bar, const struct vfio_region_info *info,
		   uint32_t bytes, struct reason *why)
{
	const struct vfio_region_info_cap_sparse_mmap *sparse = find_sparse(info, bytes);
	unsigned int i;
	int err = 0;

	if (!(info->flags & VFIO_REGION_INFO_FLAG_MMAP))
		return 0;
	if (bar == METIS_BAR_EDMA) {
		/* A driver that keeps a part for itself wants to see the accesses to it. */
		if (!sparse)
			card->regs = map_region(card, &card->bars[bar], 0, METIS_BAR_EDMA_BYTES);
		return 0;
	}
	if (!sparse)
		return add_l2_area(card, 0, METIS_BAR_L2_BYTES, why);
	for (i = 0; !err && i < sparse->nr_areas; i++)
		err = add_l2_area(card, sparse->areas[i].offset, sparse->areas[i].size, why);
	return err;
}

/* @bar: 0 or 2 or, for configuration space, -1. */
static int open_region(struct vfio_card *card, int bar, uint64_t bytes, struct reason *why)
{
	struct vfio_region *region = bar < 0 ? &card->config : &card->bars[bar];
	unsigned int index = bar < 0 ? VFIO_PCI_CONFIG_REGION_INDEX : (unsigned int)bar;
	const struct vfio_region_info question = {.index = index};
	struct vfio_region_info *info;
	uint32_t info_bytes;
	void *answer;
	int err;

	err = vfio_get_info(card->device, VFIO_DEVICE_GET_REGION_INFO, &question, sizeof(question),
			    &answer, &info_bytes);
	if (err)
		return reason_add(why, err, "VFIO does not describe region %u: %s", index,
				  strerror(-err));
	info = answer;
	if (info->size < bytes) {
		err = reason_add(why, -EPROTO, "region %u has %llu bytes, a Metis card's has %llu",
				 index, (unsigned long long)info->size, (unsigned long long)bytes);
	} else {
		*region = (struct vfio_region){info->offset, info->size, info->flags};
		if (bar >= 0)
			err = map_bar(card, (unsigned int)bar, info, info_bytes, why);
	}
	free(info);
	return err;
}

/* --- reset --- */

static int reset(struct axdev_pci *pci, struct reason *why)
{
	struct vfio_card *card = vfio_card_of(pci);
	struct vfio_device_info info = {.argsz = sizeof(info)};
	unsigned int i;

	if (ioctl(card->device, VFIO_DEVICE_GET_INFO, &info))
		return reason_add(why, -errno, "VFIO does not describe the card: %s",
				  strerror(errno));
	if (!(info.flags & VFIO_DEVICE_FLAGS_RESET))
		return reason_add(why, -EOPNOTSUPP,
				  "the kernel knows no way to reset %s alone: see "
				  "/sys/bus/pci/devices/%s/reset_method",
				  card->place.address, card->place.address);
	for (i = 0; i < RESET_TRIES; i++) {
		if (!ioctl(card->device, VFIO_DEVICE_RESET))
			return 0;
		/* Somebody else has the device or its bus locked at the moment. */
		if (errno != EAGAIN)
			break;
		usleep(RESET_PAUSE_US);
	}
	return reason_add(why, -errno, "%s could not be reset: %s", card->place.address,
			  strerror(errno));
}

static int check(struct axdev_pci *pci, struct reason *why)
{
	return vfio_irq_check(&vfio_card_of(pci)->irqs, why);
}

/* --- open and close --- */

/* Takes half-built ones too; buffers never freed go with it. */
static void destroy(struct axdev_pci *pci)
{
	struct vfio_card *card = vfio_card_of(pci);
	unsigned int i;

	vfio_irq_stop(card);
	for (i = 0; i < pci->l2_areas; i++)
		munmap(pci->l2[i].ptr, pci->l2[i].bytes);
	if (card->regs)
		munmap((void *)card->regs, METIS_BAR_EDMA_BYTES);
	/* The kernel resets the card and takes its mappings away; then its memory can go. */
	card->way->close(card);
	vfio_memory_free_all(card);
	vfio_irq_deinit(&card->irqs);
	pthread_mutex_destroy(&card->lock);
	axdev_pci_deinit(pci);
	free(card);
}

static const struct axdev_pci_ops vfio_ops = {
	.destroy = destroy,
	.config_read = config_read,
	.config_write = config_write,
	.bar_read = bar_read,
	.bar_write = bar_write,
	.regs_write = regs_write,
	.mem_alloc = vfio_memory_alloc,
	.mem_free = vfio_memory_free,
	.irq_setup = vfio_irq_setup,
	.irq_wait = vfio_irq_wait,
	.irq_take = vfio_irq_take,
	.irq_clear = vfio_irq_clear,
	.reset = reset,
	.check = check,
};

/* iommufd where both of its files can be opened, else the group; TETHYS_VFIO decides otherwise. */
static int choose_way(const struct vfio_place *place, const struct vfio_way **ret_way,
		      struct reason *why)
{
	const char *forced = getenv("TETHYS_VFIO");
	char path[64];

	snprintf(path, sizeof(path), "/dev/vfio/devices/%s", place->cdev);
	if (forced && !strcmp(forced, vfio_way_iommufd.name))
		*ret_way = &vfio_way_iommufd;
	else if (forced && *forced && strcmp(forced, vfio_way_group.name) != 0)
		return reason_add(why, -EINVAL, "TETHYS_VFIO is \"%.40s\": use group or iommufd",
				  forced);
	else if ((forced && *forced) || !place->cdev[0] || access("/dev/iommu", R_OK | W_OK) ||
		 access(path, R_OK | W_OK))
		*ret_way = &vfio_way_group;
	else
		*ret_way = &vfio_way_iommufd;
	return 0;
}

static int init_iova(struct vfio_card *card, struct reason *why)
{
	struct vfio_iova_range ranges[VFIO_IOVA_RANGES_MAX];
	unsigned int count = 0;
	int err;

	if (card->place.no_iommu)
		return 0;
	err = card->way->ranges(card, ranges, &count, why);
	if (!err && vfio_iova_init(&card->iova, ranges, count))
		err = reason_add(why, -ENOSPC, "the IOMMU has no addresses at all");
	return err;
}

static int start(struct vfio_card *card, struct reason *why)
{
	int err = card->way->open(card, why);

	if (!err)
		err = init_iova(card, why);
	if (!err)
		err = open_region(card, -1, METIS_PCI_CFG_BYTES, why);
	if (!err)
		err = open_region(card, METIS_BAR_EDMA, METIS_BAR_EDMA_BYTES, why);
	if (!err)
		err = open_region(card, METIS_BAR_L2, METIS_BAR_L2_BYTES, why);
	return err ? err : axdev_pci_start(&card->pci, why);
}

static int create(const struct vfio_place *place, const struct vfio_way *way,
		  const struct axdev_options *options, struct vfio_card **ret_card,
		  struct reason *why)
{
	struct vfio_card *card = calloc(1, sizeof(*card));
	char name[VFIO_ADDRESS_BYTES + 8];
	int err;

	if (!card)
		return reason_add(why, -ENOMEM, "out of memory");
	snprintf(name, sizeof(name), "vfio:%s", place->address);
	err = axdev_pci_init(&card->pci, &vfio_ops, name, options, why);
	if (err) {
		free(card);
		return err;
	}
	card->place = *place;
	card->way = way;
	card->device = card->container = card->group = -1;
	card->pci.no_msi_message = true;
	card->pci.l2_is_device = true;
	vfio_irq_init(&card->irqs);
	pthread_mutex_init(&card->lock, NULL);
	*ret_card = card;
	return 0;
}

static int open_card(const char *name, const struct axdev_options *options, struct axdev **ret_dev,
		     struct reason *why)
{
	char address[VFIO_ADDRESS_BYTES];
	const struct vfio_way *way;
	struct vfio_place place;
	struct vfio_card *card;
	int err;

	err = vfio_address_parse(name, address, why);
	if (!err && !address[0])
		err = vfio_only_card("", address, why);
	if (!err)
		err = vfio_place_find("", address, &place, why);
	if (!err)
		err = vfio_place_check("", &place, why);
	if (!err)
		err = choose_way(&place, &way, why);
	if (!err)
		err = create(&place, way, options, &card, why);
	if (err)
		return err;
	err = start(card, why);
	if (err) {
		destroy(&card->pci);
		return err;
	}
	*ret_dev = &card->pci.dev;
	return 0;
}

struct listing {
	void (*found)(void *ctx, const char *name);
	void *ctx;
};

static void list_found(void *ctx, const char *address)
{
	const struct listing *listing = ctx;
	char name[VFIO_ADDRESS_BYTES + 8];

	snprintf(name, sizeof(name), "vfio:%s", address);
	listing->found(listing->ctx, name);
}

static void list_cards(void (*found)(void *ctx, const char *name), void *ctx)
{
	struct listing listing = {.found = found, .ctx = ctx};

	vfio_each_card("", list_found, &listing);
}

const struct axdev_backend axdev_vfio = {
	.scheme = "vfio",
	.open = open_card,
	.list = list_cards,
};
