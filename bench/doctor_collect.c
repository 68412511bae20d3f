/* SPDX-License-Identifier: MIT */
/*
 * Collecting and understanding a host of 100 devices, from a generated tree: against `find TREE
 * -type f -exec cat {} +` on the same tree in the same run, in turns. Exit code 1 when ours takes
 * 1 s or longer.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench/bench.h"
#include "doctor/model/machine.h"

enum { DEVICES = 100, CPUS = 64, PROCESSES = 400, ROUNDS = 7 };

#define GOAL_MS 1000.0

static char root[64];

static void put_bytes(const char *path, const void *data, size_t size)
{
	char full[PATH_MAX];
	FILE *file;

	snprintf(full, sizeof(full), "%s%s", root, path);
	for (char *slash = full + strlen(root) + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = '\0';
		mkdir(full, 0755);
		*slash = '/';
	}
	file = fopen(full, "we");
	if (!file || fwrite(data, 1, size, file) != size || fclose(file)) {
		fprintf(stderr, "doctor_collect: %s: %s\n", full, strerror(errno));
		exit(1);
	}
}

static void put(const char *path, const char *text)
{
	put_bytes(path, text, strlen(text));
}

static void put_link(const char *path, const char *target)
{
	char full[PATH_MAX];

	/* Its folder is made by a file beside it, or by this one, which goes again. */
	put(path, "");
	snprintf(full, sizeof(full), "%s%s", root, path);
	if (unlink(full) || symlink(target, full)) {
		fprintf(stderr, "doctor_collect: %s: %s\n", full, strerror(errno));
		exit(1);
	}
}

/* A configuration space with MSI, MSI-X, Express and AER, as 4096 bytes. */
static void put_config(const char *path, int index)
{
	static const uint8_t head[] = {0x9d, 0x1f, 0x00, 0x11, 0x06, 0x04, 0x10, 0x00, 0x02};
	static const uint8_t msi[] = {0x05, 0x70, 0xab, 0x01, 0x18, 0x07, 0xe0, 0xfe};
	static const uint8_t express[] = {0x10, 0xb0, 0x02, 0x00, 0x00, 0x00, 0x00, 0x10};
	static const uint8_t msix[] = {0x11, 0x00, 0x1f, 0x80, 0x02, 0x20, 0x00, 0x00};
	static const uint8_t aer[] = {0x01, 0x00, 0x01, 0x00};
	uint8_t config[4096] = {0};

	memcpy(config, head, sizeof(head));
	config[0x34] = 0x50;
	memcpy(config + 0x50, msi, sizeof(msi));
	memcpy(config + 0x70, express, sizeof(express));
	memcpy(config + 0xb0, msix, sizeof(msix));
	memcpy(config + 0x100, aer, sizeof(aer));
	config[0x200] = (uint8_t)index;
	put_bytes(path, config, sizeof(config));
}

static void put_device(int index)
{
	static const struct {
		const char *name, *text;
	} files[] = {
		{"vendor", "0x1f9d\n"},
		{"device", "0x1100\n"},
		{"class", "0x120000\n"},
		{"revision", "0x02\n"},
		{"subsystem_vendor", "0x1f9d\n"},
		{"subsystem_device", "0x0001\n"},
		{"driver_override", "(null)\n"},
		{"reset", ""},
		{"reset_method", "flr bus\n"},
		{"power_state", "D0\n"},
		{"d3cold_allowed", "1\n"},
		{"power/control", "on\n"},
		{"power/runtime_status", "active\n"},
		{"current_link_speed", "16.0 GT/s PCIe\n"},
		{"current_link_width", "4\n"},
		{"max_link_speed", "16.0 GT/s PCIe\n"},
		{"max_link_width", "4\n"},
		{"enable", "1\n"},
		{"numa_node", "0\n"},
		{"irq", "16\n"},
		{"msi_bus", "1\n"},
		{"ari_enabled", "0\n"},
		{"broken_parity_status", "0\n"},
		{"modalias", "pci:v1\n"},
		{"local_cpus", "ff\n"},
		{"dma_mask_bits", "64\n"},
	};
	char dir[96], path[160], target[96], text[1024] = "";

	snprintf(dir, sizeof(dir), "/sys/devices/pci0000:00/0000:%02x:00.0", index + 1);
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, files[i].name);
		put(path, files[i].text);
	}
	for (int i = 0; i < 13; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text),
			 "0x%016x 0x%016x 0x000000000014220c\n", i ? 0 : (index + 1) << 24,
			 i ? 0 : ((index + 1) << 24) + 0xffffff);
	snprintf(path, sizeof(path), "%s/resource", dir);
	put(path, text);
	snprintf(path, sizeof(path), "%s/config", dir);
	put_config(path, index);
	for (int i = 0; i < 8; i++) {
		snprintf(path, sizeof(path), "%s/msi_irqs/%d", dir, 100 + 8 * index + i);
		put(path, "msi\n");
	}
	snprintf(path, sizeof(path), "%s/driver", dir);
	put_link(path, "../../../bus/pci/drivers/vfio-pci");
	snprintf(path, sizeof(path), "%s/iommu_group", dir);
	snprintf(target, sizeof(target), "../../../kernel/iommu_groups/%d", index);
	put_link(path, target);
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/0000:%02x:00.0", index + 1);
	snprintf(target, sizeof(target), "../../../devices/pci0000:00/0000:%02x:00.0", index + 1);
	put_link(path, target);
	snprintf(path, sizeof(path), "/sys/kernel/iommu_groups/%d/type", index);
	put(path, "DMA-FQ\n");
	snprintf(path, sizeof(path), "/sys/kernel/iommu_groups/%d/reserved_regions", index);
	put(path, "0x00000000fee00000 0x00000000feefffff msi\n");
}

static void put_interrupts(void)
{
	size_t size = (size_t)DEVICES * 8 * (CPUS * 11 + 80) + 4096;
	char *text = malloc(size), *at = text;

	if (!text)
		abort();
	for (int cpu = 0; cpu < CPUS; cpu++)
		at += sprintf(at, "       CPU%-2d", cpu);
	*at++ = '\n';
	for (int i = 0; i < DEVICES * 8; i++) {
		at += sprintf(at, "%4d:", 100 + i);
		for (int cpu = 0; cpu < CPUS; cpu++)
			at += sprintf(at, " %10d", cpu == i % CPUS ? i : 0);
		at += sprintf(at, "  IR-PCI-MSI-0000:%02x:00.0 %d-edge  vfio-msi[%d]\n", i / 8 + 1,
			      i % 8, i % 8);
	}
	put_bytes("/proc/interrupts", text, (size_t)(at - text));
	free(text);
}

static void put_rest(void)
{
	char path[96], text[4096] = "";

	put_interrupts();
	put("/proc/cmdline", "intel_iommu=on iommu=pt\n");
	put("/proc/cpuinfo", "processor : 0\nvendor_id : GenuineIntel\nflags : fpu\n\n");
	put("/proc/meminfo", "MemTotal: 134217728 kB\n");
	put("/proc/sys/kernel/hostname", "bench\n");
	for (int i = 0; i < 60; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text),
			 "%08x-%08x : 0000:%02x:00.0\n", i << 24, (i << 24) + 0xffffff, i + 1);
	put("/proc/iomem", text);
	for (int i = 0; i < 16; i++) {
		snprintf(path, sizeof(path), "/sys/class/iommu/dmar%d/intel-iommu/cap", i);
		put(path, "8d2078c106f0466\n");
	}
	for (int i = 0; i < PROCESSES; i++) {
		snprintf(path, sizeof(path), "/proc/%d/cmdline", 1000 + i);
		put_bytes(path, "/usr/sbin/daemon\0--foreground", 30);
	}
}

static int remove_one(const char *path, const struct stat *stat, int flag, struct FTW *ftw)
{
	(void)stat;
	(void)flag;
	(void)ftw;
	return remove(path);
}

/* Return: milliseconds; negative with @why set. */
static double ours(struct reason *why)
{
	struct snapshot snapshot;
	struct machine machine;
	double start = bench_now_us(), took = -1;

	snapshot_init(&snapshot);
	if (!snapshot_collect(&snapshot, root, why)) {
		machine_build(&machine, &snapshot);
		took = (bench_now_us() - start) / 1e3;
		if (machine.device_count != DEVICES || machine.group_count != DEVICES ||
		    machine.irq_count != (size_t)DEVICES * 8 || machine.intremap != YES ||
		    !machine.device[DEVICES - 1].msix.present)
			took = reason_add(why, -EPROTO, "not the machine that was made");
	}
	snapshot_deinit(&snapshot);
	return took;
}

static double peer(struct reason *why)
{
	char command[160];
	double start = bench_now_us();

	snprintf(command, sizeof(command), "find %s -type f -exec cat {} + >/dev/null", root);
	if (system(command))
		return reason_add(why, -ECHILD, "%s: failed", command);
	return (bench_now_us() - start) / 1e3;
}

static int bench(struct reason *why)
{
	double our_ms[ROUNDS], peer_ms[ROUNDS], o, p;

	for (int i = 0; i < ROUNDS; i++) {
		our_ms[i] = ours(why);
		peer_ms[i] = peer(why);
		if (our_ms[i] < 0 || peer_ms[i] < 0)
			return -EIO;
	}
	o = bench_median(our_ms, ROUNDS);
	p = bench_median(peer_ms, ROUNDS);
	printf("%-34s %9s %13s %7s\n", "a host of 100 devices", "ours ms", "find+cat ms", "ratio");
	printf("%-34s %9.1f %13.1f %7.2f\n", "collect and understand", o, p, o / p);
	printf("goal: below %.0f ms; %s\n", GOAL_MS, o < GOAL_MS ? "met" : "missed");
	return o >= GOAL_MS;
}

int main(void)
{
	struct reason why = {0};
	int ret;

	snprintf(root, sizeof(root), "/tmp/bench-doctor-XXXXXX");
	if (!mkdtemp(root)) {
		perror("doctor_collect");
		return 1;
	}
	for (int i = 0; i < DEVICES; i++)
		put_device(i);
	put_rest();
	ret = bench(&why);
	if (ret < 0)
		fprintf(stderr, "doctor_collect: %s\n", why.text);
	nftw(root, remove_one, 32, FTW_DEPTH | FTW_PHYS);
	return ret ? 1 : 0;
}
