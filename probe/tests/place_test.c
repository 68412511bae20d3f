/* SPDX-License-Identifier: MIT */
/*
 * Devices that must not be opened, in a made-up /sys.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "probe/tests/faulty.h"

#define ADDRESS "0000:3b:00.0"
#define DEVICE "/sys/bus/pci/devices/" ADDRESS

static char root[64];

/* The folders of @path but its last part. */
static void make_folders(const char *path)
{
	char copy[PATH_MAX];
	char *slash;

	snprintf(copy, sizeof(copy), "%s", path);
	for (slash = strchr(copy + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(copy, 0755);
		*slash = '/';
	}
}

static void put_file(const char *path, const void *bytes, size_t len)
{
	char full[PATH_MAX];
	int fd;

	snprintf(full, sizeof(full), "%s%s", root, path);
	make_folders(full);
	fd = open(full, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	if (fd < 0 || write(fd, bytes, len) != (ssize_t)len)
		TAP_FAIL("%s can't be written", full);
	if (fd >= 0)
		close(fd);
}

static void put_link(const char *path, const char *target)
{
	char full[PATH_MAX];

	snprintf(full, sizeof(full), "%s%s", root, path);
	make_folders(full);
	if (symlink(target, full))
		TAP_FAIL("%s can't be made", full);
}

/* A device with the first 64 bytes of its configuration space. */
static void put_device(uint8_t header, bool ones, const char *driver, const char *group)
{
	uint8_t head[64] = {0x9d, 0x1f, 0x00, 0x11, [14] = header};
	char target[128];

	strcpy(root, "/tmp/tethys-probe-XXXXXX");
	if (!mkdtemp(root))
		TAP_FAIL("no folder %s", root);
	if (ones)
		memset(head, 0xff, sizeof(head));
	put_file(DEVICE "/config", head, sizeof(head));
	snprintf(target, sizeof(target), "../drivers/%s", driver ? driver : "");
	if (driver)
		put_link(DEVICE "/driver", target);
	snprintf(target, sizeof(target), "../groups/%s", group ? group : "");
	if (group)
		put_link(DEVICE "/iommu_group", target);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

static int probe(const char *address, struct probe_report *ret_report)
{
	const struct probe_options options = {.timeout_ms = TEST_TIMEOUT_MS, .root = root};
	int err = probe_device(address, &options, ret_report);

	nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	return err;
}

static void test_place_of_a_host_driver_is_left_alone(void)
{
	struct probe_report report;

	put_device(0, false, "nvme", "12");
	EXPECT_EQ(probe(ADDRESS, &report), -EBUSY);
	EXPECT_FIRST(&report, PROBE_OPEN);
	EXPECT_HAS(report.step[PROBE_OPEN].detail, "in use by the host's driver nvme");
	EXPECT_HAS(report.commands, "echo vfio-pci > " DEVICE "/driver_override\n");
	EXPECT_HAS(report.commands, "echo " ADDRESS " > " DEVICE "/driver/unbind\n");
	EXPECT_STR(suggested(&report, 0), "host-driver-bound");
	EXPECT_EQ(report.suggests_nr, 1);
}

static void test_place_without_a_driver_says_how_to_get_vfio(void)
{
	struct probe_report report;

	put_device(0, false, NULL, "12");
	EXPECT_EQ(probe("3b:00.0", &report), -ENODEV);
	EXPECT_HAS(report.step[PROBE_OPEN].detail, "has no driver");
	EXPECT_HAS(report.commands, "drivers_probe");
	EXPECT(!strstr(report.commands, "unbind"));
}

static void test_place_without_a_group_is_iommu_off(void)
{
	struct probe_report report;

	put_device(0, false, NULL, NULL);
	EXPECT_EQ(probe("vfio:" ADDRESS, &report), -ENODEV);
	EXPECT_FIRST(&report, PROBE_OPEN);
	EXPECT_STR(suggested(&report, 0), "iommu-off");
	EXPECT_EQ(report.commands[0], '\0');
}

static void test_place_of_a_bridge_is_refused(void)
{
	struct probe_report report;

	put_device(0x81, false, "pcieport", "3");
	EXPECT(probe(ADDRESS, &report) < 0);
	EXPECT_FIRST(&report, PROBE_OPEN);
	EXPECT_STR(suggested(&report, 0), "bridge-in-group");
}

static void test_place_of_a_dead_device_is_config_without_opening(void)
{
	struct probe_report report;

	put_device(0, true, "vfio-pci", "12");
	EXPECT_EQ(probe(ADDRESS, &report), -EIO);
	EXPECT_FIRST(&report, PROBE_CONFIG);
	EXPECT_STEP(&report, PROBE_OPEN, PROBE_NOT_TRIED);
	EXPECT_STR(suggested(&report, 0), "device-gone");
}

static void test_place_that_is_not_there_is_no_finding(void)
{
	struct probe_report report;

	put_device(0, false, NULL, NULL);
	EXPECT_EQ(probe("0000:3b:00.1", &report), -ENODEV);
	EXPECT_FIRST(&report, PROBE_OPEN);
	EXPECT_EQ(report.suggests_nr, 0);
}

int main(void)
{
	RUN(test_place_of_a_host_driver_is_left_alone);
	RUN(test_place_without_a_driver_says_how_to_get_vfio);
	RUN(test_place_without_a_group_is_iommu_off);
	RUN(test_place_of_a_bridge_is_refused);
	RUN(test_place_of_a_dead_device_is_config_without_opening);
	RUN(test_place_that_is_not_there_is_no_finding);
	return tap_done();
}
