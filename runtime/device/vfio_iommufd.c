/* SPDX-License-Identifier: MIT */
/*
 * The newer way: the device has a file of its own and is bound to an address space of /dev/iommu.
 */
#include <errno.h>
#include <linux/iommufd.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "runtime/device/vfio.h"

#define IOMMU "/dev/iommu"

static int open_files(struct vfio_card *card, struct reason *why)
{
	char path[64];

	if (!card->place.cdev[0])
		return reason_add(why, -ENODEV,
				  "the card has no file in /dev/vfio/devices: this kernel lacks "
				  "CONFIG_VFIO_DEVICE_CDEV, or the card is in no-IOMMU mode; set "
				  "TETHYS_VFIO=group");
	card->container = vfio_open_file(IOMMU, why);
	if (card->container == -ENOENT)
		return reason_add(why, -ENODEV, "type: modprobe iommufd; or set TETHYS_VFIO=group");
	if (card->container < 0)
		return card->container;
	snprintf(path, sizeof(path), "/dev/vfio/devices/%s", card->place.cdev);
	card->device = vfio_open_file(path, why);
	return card->device < 0 ? card->device : 0;
}

static int bind(struct vfio_card *card, struct reason *why)
{
	struct vfio_device_bind_iommufd bind = {
		.argsz = sizeof(bind),
		.iommufd = card->container,
	};

	if (!ioctl(card->device, VFIO_DEVICE_BIND_IOMMUFD, &bind))
		return 0;
	/* -EINVAL is how it says that the device is open already. */
	if (errno == EBUSY || errno == EINVAL)
		return vfio_group_explain("", card->place.address, -EBUSY, why);
	if (errno == EPERM)
		return reason_add(why, -EPERM,
				  "this machine's interrupt remapping is off, and iommufd refuses "
				  "devices without it; if you trust the card: echo 1 > "
				  "/sys/module/iommufd/parameters/allow_unsafe_interrupts");
	return reason_add(why, -errno, "iommufd does not take %s: %s", card->place.address,
			  strerror(errno));
}

static int attach(struct vfio_card *card, struct reason *why)
{
	struct iommu_ioas_alloc alloc = {.size = sizeof(alloc)};
	struct vfio_device_attach_iommufd_pt attach = {.argsz = sizeof(attach)};

	if (ioctl(card->container, IOMMU_IOAS_ALLOC, &alloc))
		return reason_add(why, -errno, "iommufd gives no address space: %s",
				  strerror(errno));
	card->ioas = alloc.out_ioas_id;
	attach.pt_id = card->ioas;
	if (!ioctl(card->device, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach))
		return 0;
	return reason_add(why, -errno, "iommufd does not attach %s: %s", card->place.address,
			  strerror(errno));
}

static int iommufd_open(struct vfio_card *card, struct reason *why)
{
	int err = open_files(card, why);

	if (!err)
		err = bind(card, why);
	return err ? err : attach(card, why);
}

static void iommufd_close(struct vfio_card *card)
{
	if (card->device >= 0)
		close(card->device);
	if (card->container >= 0)
		close(card->container);
}

static int iommufd_ranges(struct vfio_card *card, struct vfio_iova_range *ranges,
			  unsigned int *ret_count, struct reason *why)
{
	struct iommu_iova_range allowed[VFIO_IOVA_RANGES_MAX];
	struct iommu_ioas_iova_ranges get = {
		.size = sizeof(get),
		.ioas_id = card->ioas,
		.num_iovas = VFIO_IOVA_RANGES_MAX,
		.allowed_iovas = (uintptr_t)allowed,
	};
	unsigned int i;

	/* -EMSGSIZE: there are more, and as many as fit are here. */
	if (ioctl(card->container, IOMMU_IOAS_IOVA_RANGES, &get) && errno != EMSGSIZE)
		return reason_add(why, -errno, "iommufd does not describe the IOMMU: %s",
				  strerror(errno));
	for (i = 0; i < get.num_iovas && i < VFIO_IOVA_RANGES_MAX; i++)
		ranges[i] = (struct vfio_iova_range){allowed[i].start, allowed[i].last};
	*ret_count = i;
	return 0;
}

static int iommufd_map(struct vfio_card *card, void *ptr, uint64_t iova, uint64_t bytes)
{
	struct iommu_ioas_map map = {
		.size = sizeof(map),
		.flags = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_WRITEABLE |
			 IOMMU_IOAS_MAP_READABLE,
		.ioas_id = card->ioas,
		.user_va = (uintptr_t)ptr,
		.length = bytes,
		.iova = iova,
	};

	return ioctl(card->container, IOMMU_IOAS_MAP, &map) ? -errno : 0;
}

static int iommufd_unmap(struct vfio_card *card, uint64_t iova, uint64_t bytes)
{
	struct iommu_ioas_unmap unmap = {
		.size = sizeof(unmap),
		.ioas_id = card->ioas,
		.iova = iova,
		.length = bytes,
	};

	return ioctl(card->container, IOMMU_IOAS_UNMAP, &unmap) ? -errno : 0;
}

const struct vfio_way vfio_way_iommufd = {
	.name = "iommufd",
	.open = iommufd_open,
	.close = iommufd_close,
	.ranges = iommufd_ranges,
	.map = iommufd_map,
	.unmap = iommufd_unmap,
};
