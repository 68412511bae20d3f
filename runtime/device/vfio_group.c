/* SPDX-License-Identifier: MIT */
/*
 * The older way: an IOMMU group put into a container. Also the only one without an IOMMU.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "runtime/device/vfio.h"

#define CONTAINER "/dev/vfio/vfio"

static int open_container(struct vfio_card *card, struct reason *why)
{
	card->container = vfio_open_file(CONTAINER, why);
	if (card->container == -ENOENT)
		return reason_add(why, -ENODEV, "type: modprobe vfio");
	if (card->container < 0)
		return card->container;
	if (ioctl(card->container, VFIO_GET_API_VERSION) != VFIO_API_VERSION)
		return reason_add(why, -ENOTSUP, CONTAINER " is of another version of VFIO");
	return 0;
}

static int open_group(struct vfio_card *card, struct reason *why)
{
	struct vfio_group_status status = {.argsz = sizeof(status)};
	char path[64];

	snprintf(path, sizeof(path), "/dev/vfio/%s%d", card->place.no_iommu ? "noiommu-" : "",
		 card->place.group);
	card->group = vfio_open_file(path, why);
	if (card->group == -EPERM && card->place.no_iommu)
		return reason_add(why, -EPERM,
				  "VFIO without an IOMMU needs CAP_SYS_RAWIO: be root");
	if (card->group == -ENOENT)
		return -ENODEV;
	if (card->group < 0)
		return card->group;
	if (ioctl(card->group, VFIO_GROUP_GET_STATUS, &status))
		return reason_add(why, -errno, "IOMMU group %d: %s", card->place.group,
				  strerror(errno));
	if (!(status.flags & VFIO_GROUP_FLAGS_VIABLE))
		return vfio_group_explain("", card->place.address, -EBUSY, why);
	return 0;
}

/* Why the kernel would not set up the IOMMU. */
static int iommu_refused(int err, struct reason *why)
{
	if (err == -EPERM)
		return reason_add(
			why, err,
			"this machine's interrupt remapping is off, and VFIO refuses "
			"devices without it; if you trust the card: echo 1 > "
			"/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts");
	return reason_add(why, err, "VFIO does not set up the IOMMU: %s", strerror(-err));
}

static int join(struct vfio_card *card, struct reason *why)
{
	int type = card->place.no_iommu ? VFIO_NOIOMMU_IOMMU : VFIO_TYPE1v2_IOMMU;

	if (ioctl(card->group, VFIO_GROUP_SET_CONTAINER, &card->container))
		return reason_add(why, -errno, "IOMMU group %d does not join a container: %s",
				  card->place.group, strerror(errno));
	if (ioctl(card->container, VFIO_CHECK_EXTENSION, type) <= 0)
		return reason_add(why, -ENOTSUP, "VFIO lacks its IOMMU driver; type: %s",
				  card->place.no_iommu ? "modprobe vfio "
							 "enable_unsafe_noiommu_mode=1"
						       : "modprobe vfio_iommu_type1");
	if (ioctl(card->container, VFIO_SET_IOMMU, type))
		return iommu_refused(-errno, why);
	return 0;
}

static int group_open(struct vfio_card *card, struct reason *why)
{
	int err = open_container(card, why);

	if (!err)
		err = open_group(card, why);
	if (!err)
		err = join(card, why);
	if (err)
		return err;
	card->device = ioctl(card->group, VFIO_GROUP_GET_DEVICE_FD, card->place.address);
	if (card->device < 0)
		return reason_add(why, -errno, "VFIO does not hand out %s: %s", card->place.address,
				  strerror(errno));
	return 0;
}

/* The device first: the kernel resets it then, and it must not write any more. */
static void group_close(struct vfio_card *card)
{
	if (card->device >= 0)
		close(card->device);
	if (card->group >= 0)
		close(card->group);
	if (card->container >= 0)
		close(card->container);
}

/* Find the capability; NULL: not there, or not all of it. */
static const struct vfio_iommu_type1_info_cap_iova_range *
find_ranges(const struct vfio_iommu_type1_info *info, uint32_t bytes)
{
	const struct vfio_iommu_type1_info_cap_iova_range *cap;
	uint32_t first = info->flags & VFIO_IOMMU_INFO_CAPS ? info->cap_offset : 0;

	cap = vfio_find_cap(info, bytes, first, VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, sizeof(*cap));
	return cap && cap->nr_iovas <= vfio_cap_room(info, bytes, cap, sizeof(*cap),
						     sizeof(cap->iova_ranges[0]))
		       ? cap
		       : NULL;
}

static int group_ranges(struct vfio_card *card, struct vfio_iova_range *ranges,
			unsigned int *ret_count, struct reason *why)
{
	const struct vfio_iommu_type1_info_cap_iova_range *cap;
	const struct vfio_iommu_type1_info question = {0};
	unsigned int i;
	uint32_t bytes;
	void *info;
	int err;

	err = vfio_get_info(card->container, VFIO_IOMMU_GET_INFO, &question, sizeof(question),
			    &info, &bytes);
	if (err)
		return reason_add(why, err, "VFIO does not describe the IOMMU: %s", strerror(-err));
	cap = find_ranges(info, bytes);
	for (i = 0; cap && i < cap->nr_iovas && i < VFIO_IOVA_RANGES_MAX; i++)
		ranges[i] = cap->iova_ranges[i];
	*ret_count = i;
	if (!cap)
		err = reason_add(why, -ENOTSUP,
				 "VFIO does not say which addresses the IOMMU takes: this needs "
				 "Linux 5.4 or later");
	free(info);
	return err;
}

static int group_map(struct vfio_card *card, void *ptr, uint64_t iova, uint64_t bytes)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
		.vaddr = (uintptr_t)ptr,
		.iova = iova,
		.size = bytes,
	};

	return ioctl(card->container, VFIO_IOMMU_MAP_DMA, &map) ? -errno : 0;
}

static int group_unmap(struct vfio_card *card, uint64_t iova, uint64_t bytes)
{
	struct vfio_iommu_type1_dma_unmap unmap = {
		.argsz = sizeof(unmap),
		.iova = iova,
		.size = bytes,
	};

	return ioctl(card->container, VFIO_IOMMU_UNMAP_DMA, &unmap) ? -errno : 0;
}

const struct vfio_way vfio_way_group = {
	.name = "group",
	.open = group_open,
	.close = group_close,
	.ranges = group_ranges,
	.map = group_map,
	.unmap = group_unmap,
};
