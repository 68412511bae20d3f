/* SPDX-License-Identifier: MIT */
/*
 * What sysfs says about cards and VFIO.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/device/vfio.h"

#define DEVICES "/sys/bus/pci/devices"
#define SCHEME "vfio"
#define CARDS_NAMED_MAX 8 /* in an error message */

/* --- names --- */

static bool is_hex(const char *text, size_t digits)
{
	return strspn(text, "0123456789abcdefABCDEF") >= digits;
}

/* "0000:86:00.0", the domain of 4 to 8 digits. */
static bool is_address(const char *text)
{
	size_t domain = strspn(text, "0123456789abcdefABCDEF");
	const char *rest = text + domain;

	return domain >= 4 && domain <= 8 && rest[0] == ':' && is_hex(rest + 1, 2) &&
	       rest[3] == ':' && is_hex(rest + 4, 2) && rest[6] == '.' && rest[7] >= '0' &&
	       rest[7] <= '7' && !rest[8];
}

int vfio_address_parse(const char *name, char ret_address[VFIO_ADDRESS_BYTES], struct reason *why)
{
	const char *at = name + strlen(SCHEME);
	size_t i;

	if (!*at) {
		ret_address[0] = '\0';
		return 0;
	}
	if (*at != ':' || !is_address(at + 1))
		return reason_add(why, -EINVAL,
				  "device \"%.100s\": write vfio:DOMAIN:BUS:SLOT.FUNCTION as in "
				  "vfio:0000:86:00.0, or vfio for the only card",
				  name);
	at++;
	for (i = 0; at[i]; i++)
		ret_address[i] = at[i] >= 'A' && at[i] <= 'F' ? (char)(at[i] | 0x20) : at[i];
	ret_address[i] = '\0';
	return 0;
}

/* --- reading --- */

/* The first line of a file below the device's folder; "": there is none. */
static void read_line(const char *root, const char *address, const char *file, char *line,
		      size_t bytes)
{
	char path[PATH_MAX];
	ssize_t got = -1;
	int fd;

	snprintf(path, sizeof(path), "%s" DEVICES "/%s/%s", root, address, file);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		got = read(fd, line, bytes - 1);
		close(fd);
	}
	line[got > 0 ? got : 0] = '\0';
	line[strcspn(line, "\n")] = '\0';
}

/* The last part of where a link leads; "": there is none. */
static void read_link(const char *root, const char *address, const char *file, char *name,
		      size_t bytes)
{
	char path[PATH_MAX], target[PATH_MAX];
	const char *last;
	ssize_t got;
	size_t len;

	snprintf(path, sizeof(path), "%s" DEVICES "/%s/%s", root, address, file);
	got = readlink(path, target, sizeof(target) - 1);
	target[got > 0 ? got : 0] = '\0';
	last = strrchr(target, '/');
	last = last ? last + 1 : target;
	len = strlen(last);
	/* Longer than any name that means something to us. */
	if (len >= bytes)
		len = 0;
	memcpy(name, last, len);
	name[len] = '\0';
}

static bool is_card(const char *root, const char *address)
{
	char vendor[16], device[16];
	unsigned long id;

	read_line(root, address, "vendor", vendor, sizeof(vendor));
	read_line(root, address, "device", device, sizeof(device));
	id = strtoul(device, NULL, 16);
	return strtoul(vendor, NULL, 16) == METIS_PCI_VENDOR &&
	       (id == METIS_PCI_DEVICE_OMEGA || id == METIS_PCI_DEVICE_ALPHA);
}

/* The name of the file in /dev/vfio/devices, which in no-IOMMU mode is not there. */
static bool find_cdev(const char *root, const char *address, char *cdev, size_t bytes)
{
	char path[PATH_MAX];
	const struct dirent *entry;
	bool vfio = false;
	DIR *dir;

	cdev[0] = '\0';
	snprintf(path, sizeof(path), "%s" DEVICES "/%s/vfio-dev", root, address);
	dir = opendir(path);
	if (!dir)
		return false;
	while ((entry = readdir(dir))) {
		if (strncmp(entry->d_name, "vfio", 4) || strlen(entry->d_name) >= bytes)
			continue;
		vfio = true;
		snprintf(path, sizeof(path), "%s/dev/vfio/devices/%s", root, entry->d_name);
		if (!access(path, F_OK))
			strcpy(cdev, entry->d_name);
	}
	closedir(dir);
	return vfio;
}

int vfio_place_find(const char *root, const char *address, struct vfio_place *ret_place,
		    struct reason *why)
{
	struct vfio_place place = {.group = -1};
	char path[PATH_MAX], text[32];
	char *end;
	long group;

	snprintf(path, sizeof(path), "%s" DEVICES "/%s", root, address);
	if (access(path, F_OK))
		return reason_add(why, -ENODEV, "there is no PCI device %s", address);
	snprintf(place.address, sizeof(place.address), "%s", address);
	read_link(root, address, "driver", place.driver, sizeof(place.driver));
	place.vfio_driver = find_cdev(root, address, place.cdev, sizeof(place.cdev)) ||
			    !strncmp(place.driver, "vfio", 4);
	read_link(root, address, "iommu_group", text, sizeof(text));
	group = strtol(text, &end, 10);
	if (text[0] && !*end && group >= 0 && group <= INT_MAX)
		place.group = (int)group;
	read_line(root, address, "iommu_group/name", text, sizeof(text));
	place.no_iommu = !strcmp(text, "vfio-noiommu");
	*ret_place = place;
	return 0;
}

/* --- what stands in the way --- */

/* Return: 0 it does without one, once it is bound; -ENODEV. */
static int no_group(const char *root, const struct vfio_place *place, struct reason *why)
{
	static const char mode[] = "/sys/module/vfio/parameters/enable_unsafe_noiommu_mode";
	char path[PATH_MAX], value = 'N';
	bool loaded;
	int fd;

	snprintf(path, sizeof(path), "%s/sys/module/vfio", root);
	loaded = !access(path, F_OK);
	snprintf(path, sizeof(path), "%s%s", root, mode);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		if (read(fd, &value, 1) != 1)
			value = 'N';
		close(fd);
	}
	if (value == 'Y')
		return 0;
	reason_add(why, -ENODEV,
		   "%s is behind no IOMMU: enable it in the firmware's set-up and on the kernel's "
		   "command line (intel_iommu=on); in a guest give the guest one",
		   place->address);
	if (!loaded)
		return reason_add(why, -ENODEV,
				  "or, unsafe, go without: modprobe vfio "
				  "enable_unsafe_noiommu_mode=1, if the kernel has it");
	if (fd < 0)
		return reason_add(why, -ENODEV,
				  "this kernel was built without VFIO's no-IOMMU mode");
	return reason_add(why, -ENODEV, "or, unsafe, go without: echo 1 > %s", mode);
}

int vfio_place_check(const char *root, const struct vfio_place *place, struct reason *why)
{
	const char *a = place->address;
	int err = 0;

	if (!is_card(root, a))
		return reason_add(why, -EPROTO, "%s is no Metis card", a);
	if (place->group < 0)
		err = no_group(root, place, why);
	if (err || (place->vfio_driver && place->group >= 0))
		return err;
	if (place->driver[0])
		return reason_add(why, -ENODEV,
				  "%s belongs to the driver %s; give it to VFIO, as root: modprobe "
				  "vfio-pci; cd " DEVICES "/%s; echo vfio-pci > driver_override; "
				  "echo %s > driver/unbind; echo %s > /sys/bus/pci/drivers_probe",
				  a, place->driver, a, a, a);
	return reason_add(why, -ENODEV,
			  "%s has no driver; give it to VFIO, as root: modprobe vfio-pci; echo "
			  "vfio-pci > " DEVICES "/%s/driver_override; echo %s > "
			  "/sys/bus/pci/drivers_probe",
			  a, a, a);
}

/* Drivers that VFIO doesn't mind in a group: those of ports do no DMA of their own. */
static bool is_harmless(const struct vfio_place *place)
{
	return !place->driver[0] || place->vfio_driver || !strcmp(place->driver, "pcieport") ||
	       !strcmp(place->driver, "pci-stub");
}

int vfio_group_explain(const char *root, const char *address, int err, struct reason *why)
{
	char path[PATH_MAX], names[256] = "";
	const struct dirent *entry;
	struct vfio_place place;
	size_t used = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "%s" DEVICES "/%s/iommu_group/devices", root, address);
	dir = opendir(path);
	while (dir && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.' || used >= sizeof(names) ||
		    vfio_place_find(root, entry->d_name, &place, NULL) || is_harmless(&place))
			continue;
		used += (size_t)snprintf(names + used, sizeof(names) - used, "%s%s (%s)",
					 used ? ", " : "", entry->d_name, place.driver);
	}
	if (dir)
		closedir(dir);
	if (!used)
		return reason_add(why, err, "%s is in use by another program, or a guest has it",
				  address);
	return reason_add(why, err,
			  "%s shares its IOMMU group with devices that other drivers use: %s; bind "
			  "those to vfio-pci as well, or unbind them",
			  address, names);
}

/* --- all cards --- */

static int only_addresses(const struct dirent *entry)
{
	return is_address(entry->d_name);
}

static void each_place(const char *root, void (*found)(void *ctx, const struct vfio_place *place),
		       void *ctx)
{
	struct dirent **entries;
	struct vfio_place place;
	char path[PATH_MAX];
	int i, count;

	snprintf(path, sizeof(path), "%s" DEVICES, root);
	count = scandir(path, &entries, only_addresses, alphasort);
	for (i = 0; i < count; i++) {
		if (is_card(root, entries[i]->d_name) &&
		    !vfio_place_find(root, entries[i]->d_name, &place, NULL))
			found(ctx, &place);
		free(entries[i]);
	}
	if (count >= 0)
		free(entries);
}

struct each {
	void (*found)(void *ctx, const char *address);
	void *ctx;
};

static void each_found(void *ctx, const struct vfio_place *place)
{
	const struct each *each = ctx;

	if (place->vfio_driver)
		each->found(each->ctx, place->address);
}

void vfio_each_card(const char *root, void (*found)(void *ctx, const char *address), void *ctx)
{
	struct each each = {.found = found, .ctx = ctx};

	each_place(root, each_found, &each);
}

struct only {
	struct vfio_place first; /* with a driver of VFIO's */
	struct vfio_place other; /* with another one or none */
	unsigned int count;
	char names[CARDS_NAMED_MAX * (VFIO_ADDRESS_BYTES + 8)];
};

static void only_found(void *ctx, const struct vfio_place *place)
{
	struct only *only = ctx;
	size_t used = strlen(only->names);

	if (!place->vfio_driver) {
		only->other = *place;
		return;
	}
	if (!only->count)
		only->first = *place;
	if (only->count < CARDS_NAMED_MAX)
		snprintf(only->names + used, sizeof(only->names) - used, "%s" SCHEME ":%s",
			 used ? ", " : "", place->address);
	only->count++;
}

int vfio_only_card(const char *root, char ret_address[VFIO_ADDRESS_BYTES], struct reason *why)
{
	struct only only = {.count = 0};

	each_place(root, only_found, &only);
	if (only.count > 1)
		return reason_add(why, -EINVAL, "VFIO has %u cards, say which: %s", only.count,
				  only.names);
	if (!only.count && only.other.address[0])
		return vfio_place_check(root, &only.other, why);
	if (!only.count)
		return reason_add(why, -ENODEV, "this machine has no Metis card");
	memcpy(ret_address, only.first.address, VFIO_ADDRESS_BYTES);
	return 0;
}
