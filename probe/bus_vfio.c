/* SPDX-License-Identifier: MIT */
/*
 * Any PCI device that the kernel's VFIO hands out, in an IOMMU domain of its own.
 *
 * Regions are read and written by system calls, not mapped: the kernel then refuses an access to a
 * device that is asleep or has its memory decoding off, where a mapping would end in SIGBUS.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/pci_regs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "probe/bus.h"
#include "runtime/device/vfio.h"

#define DEVICES "/sys/bus/pci/devices"
#define RESET_TRIES 20
#define RESET_PAUSE_NS 10000000

struct vfio_bus {
	struct probe_bus bus;  /* first */
	struct vfio_card card; /* what the ways of the runtime to open one fill in */
	const char *root;
	struct vfio_region config, bars[PROBE_BARS_NR];
	int irq_index; /* of what is on; -1: nothing */
};

static struct vfio_bus *vfio_of(struct probe_bus *bus)
{
	return (struct vfio_bus *)bus;
}

/* --- regions --- */

static int region_read(struct vfio_bus *vfio, const struct vfio_region *region, uint64_t offset,
		       void *buf, size_t len, struct reason *why)
{
	ssize_t got = pread(vfio->card.device, buf, len, (off_t)(region->offset + offset));

	if (got == (ssize_t)len)
		return 0;
	if (got < 0)
		return reason_add(why, vfio_errno(), "VFIO refuses the read: %s", strerror(errno));
	return reason_add(why, -EIO, "VFIO cuts a read of %zu bytes short at %zd", len, got);
}

static int region_write(struct vfio_bus *vfio, const struct vfio_region *region, uint64_t offset,
			const void *buf, size_t len, struct reason *why)
{
	ssize_t got = pwrite(vfio->card.device, buf, len, (off_t)(region->offset + offset));

	if (got == (ssize_t)len)
		return 0;
	if (got < 0)
		return reason_add(why, vfio_errno(), "VFIO refuses the write: %s", strerror(errno));
	return reason_add(why, -EIO, "VFIO cuts a write of %zu bytes short at %zd", len, got);
}

static int vfio_config_read(struct probe_bus *bus, uint32_t offset, void *buf, size_t len,
			    struct reason *why)
{
	return region_read(vfio_of(bus), &vfio_of(bus)->config, offset, buf, len, why);
}

static int vfio_config_write(struct probe_bus *bus, uint32_t offset, const void *buf, size_t len,
			     struct reason *why)
{
	return region_write(vfio_of(bus), &vfio_of(bus)->config, offset, buf, len, why);
}

static int vfio_bar_read(struct probe_bus *bus, unsigned int bar, uint64_t offset, void *buf,
			 size_t len, struct reason *why)
{
	return region_read(vfio_of(bus), &vfio_of(bus)->bars[bar], offset, buf, len, why);
}

static int vfio_bar_write(struct probe_bus *bus, unsigned int bar, uint64_t offset, const void *buf,
			  size_t len, struct reason *why)
{
	return region_write(vfio_of(bus), &vfio_of(bus)->bars[bar], offset, buf, len, why);
}

static int find_region(struct vfio_bus *vfio, unsigned int index, struct vfio_region *ret_region,
		       struct reason *why)
{
	struct vfio_region_info info = {.argsz = sizeof(info), .index = index};

	if (ioctl(vfio->card.device, VFIO_DEVICE_GET_REGION_INFO, &info))
		return reason_add(why, vfio_errno(), "VFIO does not describe region %u: %s", index,
				  strerror(errno));
	*ret_region = (struct vfio_region){info.offset, info.size, info.flags};
	return 0;
}

static int find_regions(struct vfio_bus *vfio, struct reason *why)
{
	unsigned int bar;
	int err = find_region(vfio, VFIO_PCI_CONFIG_REGION_INDEX, &vfio->config, why);

	for (bar = 0; !err && bar < PROBE_BARS_NR; bar++) {
		err = find_region(vfio, bar, &vfio->bars[bar], why);
		if (!err && vfio->bars[bar].flags & VFIO_REGION_INFO_FLAG_READ)
			vfio->bus.bar_bytes[bar] = vfio->bars[bar].bytes;
	}
	if (!err && vfio->config.bytes < PCI_CFG_SPACE_SIZE)
		err = reason_add(why, -EPROTO, "configuration space has %llu bytes",
				 (unsigned long long)vfio->config.bytes);
	return err;
}

/* --- memory --- */

/* A page that stays where it is, by the runtime's means. */
static int map_physical(struct vfio_bus *vfio, struct probe_mem *mem, struct reason *why)
{
	struct axdev_buf buf;
	int err = vfio_memory_alloc(&vfio->card.pci, mem->bytes, &buf, why);

	if (err)
		return err;
	munmap(mem->ptr, mem->bytes);
	mem->borrowed = true;
	mem->ptr = buf.ptr;
	mem->iova = buf.iova;
	return buf.runs ? reason_add(why, -ENOMEM, "a page is no piece of memory") : 0;
}

static int vfio_map(struct probe_bus *bus, struct probe_mem *mem, struct reason *why)
{
	struct vfio_bus *vfio = vfio_of(bus);
	int err;

	if (bus->no_iommu)
		return map_physical(vfio, mem, why);
	err = vfio->card.way->map(&vfio->card, mem->ptr, mem->iova, mem->bytes);
	if (!err)
		return 0;
	return reason_add(why, err, "VFIO does not map %zu bytes at 0x%llx: %s", mem->bytes,
			  (unsigned long long)mem->iova, strerror(-err));
}

/* --- interrupts --- */

/* @count 0: switch off. Return: as the ioctl, or negative errno. */
static int set_irqs(struct vfio_bus *vfio, int index, const int *fds, unsigned int count)
{
	_Alignas(struct vfio_irq_set)
		uint8_t space[sizeof(struct vfio_irq_set) + PROBE_VECTORS_MAX * sizeof(int)];
	struct vfio_irq_set *set = (struct vfio_irq_set *)space;
	int got;

	*set = (struct vfio_irq_set){
		.argsz = (uint32_t)(sizeof(*set) + count * sizeof(int)),
		.flags = VFIO_IRQ_SET_ACTION_TRIGGER |
			 (count ? VFIO_IRQ_SET_DATA_EVENTFD : VFIO_IRQ_SET_DATA_NONE),
		.index = (uint32_t)index,
		.count = count,
	};
	if (count)
		memcpy(set->data, fds, count * sizeof(int));
	got = ioctl(vfio->card.device, VFIO_DEVICE_SET_IRQS, set);
	return got < 0 ? vfio_errno() : got;
}

static int index_of(enum probe_irq_kind kind)
{
	static const int indexes[] = {
		[PROBE_IRQ_INTX] = VFIO_PCI_INTX_IRQ_INDEX,
		[PROBE_IRQ_MSI] = VFIO_PCI_MSI_IRQ_INDEX,
		[PROBE_IRQ_MSIX] = VFIO_PCI_MSIX_IRQ_INDEX,
	};

	return indexes[kind];
}

static unsigned int power_of_two_below(unsigned int n)
{
	unsigned int power = 1;

	while (power * 2 <= n)
		power *= 2;
	return power;
}

/* The kernel says how many it has when those are fewer; MSI comes in powers of two. */
static int vfio_irq_on(struct probe_bus *bus, enum probe_irq_kind kind, unsigned int cap,
		       unsigned int want, struct reason *why)
{
	struct vfio_bus *vfio = vfio_of(bus);
	struct vfio_irq_info info = {.argsz = sizeof(info), .index = (uint32_t)index_of(kind)};
	unsigned int count;
	int err, got;

	(void)cap;
	if (ioctl(vfio->card.device, VFIO_DEVICE_GET_IRQ_INFO, &info))
		return reason_add(why, vfio_errno(), "VFIO does not describe the interrupts: %s",
				  strerror(errno));
	count = info.count < want ? info.count : want;
	if (!count)
		return reason_add(why, -EOPNOTSUPP, "VFIO offers no vector of this kind");
	if (kind == PROBE_IRQ_MSI)
		count = power_of_two_below(count);
	for (;;) {
		err = probe_bus_events(bus, count, why);
		if (err)
			return err;
		got = set_irqs(vfio, index_of(kind), bus->events, count);
		if (!got)
			break;
		if (got < 0 || (unsigned int)got >= count)
			return reason_add(why, got < 0 ? got : -EPROTO,
					  "VFIO switches no interrupts on: %s",
					  got < 0 ? strerror(-got) : "impossible answer");
		count = power_of_two_below((unsigned int)got);
	}
	vfio->irq_index = index_of(kind);
	return 0;
}

static void vfio_irq_off(struct probe_bus *bus)
{
	struct vfio_bus *vfio = vfio_of(bus);

	if (vfio->irq_index >= 0)
		set_irqs(vfio, vfio->irq_index, NULL, 0);
	vfio->irq_index = -1;
}

static int vfio_irq_loop(struct probe_bus *bus, unsigned int vector, struct reason *why)
{
	struct vfio_irq_set set = {
		.argsz = sizeof(set),
		.flags = VFIO_IRQ_SET_ACTION_TRIGGER | VFIO_IRQ_SET_DATA_NONE,
		.index = (uint32_t)vfio_of(bus)->irq_index,
		.start = vector,
		.count = 1,
	};

	if (ioctl(vfio_of(bus)->card.device, VFIO_DEVICE_SET_IRQS, &set) < 0)
		return reason_add(why, vfio_errno(), "VFIO does not signal vector %u: %s", vector,
				  strerror(errno));
	return 0;
}

/* As the device has it: what VFIO shows of the capability is made up for its user. */
static int sysfs_config(const char *root, const char *address, unsigned int offset, void *buf,
			size_t len)
{
	char path[PATH_MAX];
	ssize_t got;
	int fd, err = 0;

	snprintf(path, sizeof(path), "%s" DEVICES "/%s/config", root, address);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return vfio_errno();
	got = pread(fd, buf, len, offset);
	if (got < 0)
		err = vfio_errno();
	else if ((size_t)got < len)
		err = -EACCES; /* the rest is root's */
	close(fd);
	return err;
}

static int vfio_msi_message(struct probe_bus *bus, unsigned int cap, uint64_t *ret_addr,
			    uint32_t *ret_data, struct reason *why)
{
	const struct vfio_bus *vfio = vfio_of(bus);
	uint8_t bytes[16];
	int err = sysfs_config(vfio->root, vfio->card.place.address, cap, bytes, sizeof(bytes));

	if (err)
		return reason_add(why, -EACCES,
				  "the message in " DEVICES "/%s/config is hidden: %s",
				  vfio->card.place.address, "be root");
	return probe_msi_decode(bytes, ret_addr, ret_data);
}

/* --- reset --- */

static int vfio_reset(struct probe_bus *bus, struct reason *why)
{
	const struct vfio_card *card = &vfio_of(bus)->card;
	struct vfio_device_info info = {.argsz = sizeof(info)};
	const struct timespec pause = {.tv_nsec = RESET_PAUSE_NS};
	unsigned int i;

	if (ioctl(card->device, VFIO_DEVICE_GET_INFO, &info))
		return reason_add(why, vfio_errno(), "VFIO does not describe the device: %s",
				  strerror(errno));
	if (!(info.flags & VFIO_DEVICE_FLAGS_RESET))
		return reason_add(why, -EOPNOTSUPP,
				  "the kernel knows no way to reset it alone: see " DEVICES
				  "/%s/reset_method",
				  card->place.address);
	for (i = 0; i < RESET_TRIES; i++) {
		if (!ioctl(card->device, VFIO_DEVICE_RESET))
			return 0;
		/* Somebody else has the device or its bus locked at the moment. */
		if (errno != EAGAIN)
			break;
		nanosleep(&pause, NULL);
	}
	return reason_add(why, vfio_errno(), "VFIO could not reset it: %s", strerror(errno));
}

/* --- may it be opened? --- */

static void suggest(struct probe_report *report, const char *id)
{
	if (report->suggests_nr < PROBE_SUGGESTS_MAX)
		report->suggests[report->suggests_nr++] = id;
}

/* "86:00.0" or "0000:86:00.0", in the spelling of sysfs. */
static int parse_address(const char *text, char ret_address[VFIO_ADDRESS_BYTES], struct reason *why)
{
	char name[VFIO_ADDRESS_BYTES + 16];
	bool is_short = strlen(text) == strlen("86:00.0") && text[2] == ':' && text[5] == '.';

	if (strlen(text) >= VFIO_ADDRESS_BYTES)
		return reason_add(why, -EINVAL, "that is no PCI address");
	snprintf(name, sizeof(name), "vfio:%s%s", is_short ? "0000:" : "", text);
	return vfio_address_parse(name, ret_address, why);
}

static void say_commands(struct probe_report *report, const struct vfio_place *place)
{
	const char *a = place->address;
	int used = snprintf(report->commands, sizeof(report->commands),
			    "modprobe vfio-pci\n"
			    "echo vfio-pci > " DEVICES "/%s/driver_override\n",
			    a);

	if (place->driver[0])
		used += snprintf(report->commands + used, sizeof(report->commands) - (size_t)used,
				 "echo %s > " DEVICES "/%s/driver/unbind\n", a, a);
	snprintf(report->commands + used, sizeof(report->commands) - (size_t)used,
		 "echo %s > /sys/bus/pci/drivers_probe\n", a);
}

/* Return: 0; -ENODEV, -EBUSY, with what to do. */
static int check_place(const struct vfio_place *place, uint8_t header, struct probe_report *report,
		       struct reason *why)
{
	const char *a = place->address;

	if (header) {
		suggest(report, "bridge-in-group");
		return reason_add(why, -ENODEV, "%s is a bridge: VFIO hands out none", a);
	}
	if (place->vfio_driver && place->group >= 0)
		return 0;
	if (place->group < 0) {
		suggest(report, "iommu-off");
		return reason_add(why, -ENODEV,
				  "%s is in no IOMMU group: the IOMMU is off, or there is none", a);
	}
	say_commands(report, place);
	if (!place->driver[0])
		return reason_add(why, -ENODEV, "%s has no driver: give it to VFIO", a);
	suggest(report, "host-driver-bound");
	return reason_add(why, -EBUSY,
			  "%s is in use by the host's driver %s: when nothing needs it any "
			  "more, give it to VFIO",
			  a, place->driver);
}

/* The kernel's answer to classes. */
static void suggest_open(int err, const struct reason *why, struct probe_report *report)
{
	if (strstr(why->text, "shares its IOMMU group"))
		suggest(report, "group-not-viable");
	else if (strstr(why->text, "interrupt remapping is off"))
		suggest(report, "no-intremap");
	else if (err == -EACCES || err == -EPERM)
		suggest(report, "vfio-node-permission");
	/* The same errors, with another line in the kernel's log. */
	if (err == -EPERM || err == -EINVAL)
		suggest(report, "rmrr");
	if (err == -EIO)
		suggest(report, "stuck-d3");
}

/* --- open and close --- */

static void vfio_close(struct probe_bus *bus)
{
	struct vfio_bus *vfio = vfio_of(bus);

	if (vfio->card.device >= 0)
		vfio_irq_off(bus);
	/* The kernel resets the device; then its memory can go. */
	vfio->card.way->close(&vfio->card);
	vfio_memory_free_all(&vfio->card);
	pthread_mutex_destroy(&vfio->card.lock);
	probe_bus_deinit(bus);
	free(vfio);
}

static const struct probe_bus_ops vfio_ops = {
	.close = vfio_close,
	.config_read = vfio_config_read,
	.config_write = vfio_config_write,
	.bar_read = vfio_bar_read,
	.bar_write = vfio_bar_write,
	.map = vfio_map,
	.irq_on = vfio_irq_on,
	.irq_off = vfio_irq_off,
	.irq_loop = vfio_irq_loop,
	.msi_message = vfio_msi_message,
	.reset = vfio_reset,
};

/* iommufd where its files can be opened, else the group; as TETHYS_VFIO says, for the runtime. */
static const struct vfio_way *choose_way(const struct vfio_place *place)
{
	const char *forced = getenv("TETHYS_VFIO");
	char path[64];

	snprintf(path, sizeof(path), "/dev/vfio/devices/%s", place->cdev);
	if (forced && !strcmp(forced, vfio_way_iommufd.name))
		return &vfio_way_iommufd;
	if ((forced && *forced) || !place->cdev[0] || access("/dev/iommu", R_OK | W_OK) ||
	    access(path, R_OK | W_OK))
		return &vfio_way_group;
	return &vfio_way_iommufd;
}

static int compare_ranges(const void *a, const void *b)
{
	const struct probe_range *x = a, *y = b;

	return (x->start > y->start) - (x->start < y->start);
}

static int find_ranges(struct vfio_bus *vfio, struct reason *why)
{
	struct vfio_iova_range ranges[VFIO_IOVA_RANGES_MAX];
	unsigned int count = 0, i;
	int err;

	if (vfio->card.place.no_iommu)
		return 0;
	err = vfio->card.way->ranges(&vfio->card, ranges, &count, why);
	for (i = 0; !err && i < count && i < PROBE_RANGES_MAX; i++) {
		vfio->bus.ranges[i] = (struct probe_range){ranges[i].start, ranges[i].end};
		/* 0 stands for no address. */
		if (vfio->bus.ranges[i].start < PROBE_PAGE_BYTES)
			vfio->bus.ranges[i].start = PROBE_PAGE_BYTES;
		vfio->bus.ranges_nr = i + 1;
	}
	qsort(vfio->bus.ranges, vfio->bus.ranges_nr, sizeof(vfio->bus.ranges[0]), compare_ranges);
	return err;
}

static int open_place(const char *root, const struct vfio_place *place, struct probe_bus **ret_bus,
		      struct reason *why)
{
	struct vfio_bus *vfio = calloc(1, sizeof(*vfio));
	int err;

	if (!vfio)
		return reason_add(why, -ENOMEM, "out of memory");
	probe_bus_init(&vfio->bus, &vfio_ops);
	vfio->root = root;
	vfio->irq_index = -1;
	vfio->card.place = *place;
	vfio->card.device = vfio->card.container = vfio->card.group = -1;
	vfio->card.way = choose_way(place);
	pthread_mutex_init(&vfio->card.lock, NULL);
	vfio->bus.no_iommu = place->no_iommu;
	err = vfio->card.way->open(&vfio->card, why);
	if (!err)
		err = find_ranges(vfio, why);
	if (!err)
		err = find_regions(vfio, why);
	if (err) {
		vfio_close(&vfio->bus);
		return err;
	}
	*ret_bus = &vfio->bus;
	return 0;
}

int probe_bus_open_vfio(const char *root, const char *address, struct probe_bus **ret_bus,
			struct probe_report *report, struct reason *why)
{
	uint8_t head[PCI_STD_HEADER_SIZEOF];
	char canonical[VFIO_ADDRESS_BYTES];
	struct reason own = {""};
	struct vfio_place place;
	uint16_t vendor;
	int err = parse_address(address, canonical, why);

	if (!err)
		err = vfio_place_find(root, canonical, &place, why);
	if (err)
		return err;
	err = sysfs_config(root, canonical, 0, head, sizeof(head));
	if (err)
		return reason_add(why, err, "%s: configuration space can't be read: %s", canonical,
				  strerror(-err));
	memcpy(&vendor, head, 2);
	/* VFIO would wait a minute for such a device. */
	if (vendor == 0xffff)
		return reason_add(why, -ENXIO, "%s is off the bus: it reads as all ones",
				  canonical);
	err = check_place(&place, head[PCI_HEADER_TYPE] & PCI_HEADER_TYPE_MASK, report, why);
	if (err)
		return err;
	err = open_place(root, &place, ret_bus, &own);
	if (err) {
		suggest_open(err, &own, report);
		/* Of the kernel it is no matter of the name. */
		return reason_add(why, err == -EINVAL ? -ENODEV : err, "%s", own.text);
	}
	return 0;
}
