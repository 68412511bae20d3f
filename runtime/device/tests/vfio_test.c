/* SPDX-License-Identifier: MIT */
/*
 * What the vfio backend does without a card: names, sysfs, addresses, buffers, interrupts.
 */
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <tethys/hw/memory.h>

#include "runtime/device/tests/fixture.h"
#include "runtime/device/vfio.h"
#include "tests/tap.h"

/* --- names --- */

static void test_name_well_formed_is_taken(void)
{
	char address[VFIO_ADDRESS_BYTES] = "x";

	EXPECT_EQ(vfio_address_parse("vfio", address, NULL), 0);
	EXPECT_STR(address, "");
	EXPECT_EQ(vfio_address_parse("vfio:0000:86:00.0", address, NULL), 0);
	EXPECT_STR(address, "0000:86:00.0");
	EXPECT_EQ(vfio_address_parse("vfio:00AB:C6:1f.7", address, NULL), 0);
	EXPECT_STR(address, "00ab:c6:1f.7");
	EXPECT_EQ(vfio_address_parse("vfio:10000abc:01:00.0", address, NULL), 0);
	EXPECT_STR(address, "10000abc:01:00.0");
}

static void test_name_garbage_is_einval(void)
{
	static const char *const names[] = {
		"vfio:",
		"vfio:../../x",
		"vfio:0000:86:00.0/..",
		"vfio:0000:86:00.0 ",
		"vfio:0000:86:00.8",
		"vfio:0000:86:00",
		"vfio:86:00.0",
		"vfio:000:86:00.0",
		"vfio:000000000:86:00.0",
		"vfio:0000:86:0.0",
		"vfio:0000:8:00.0",
		"vfio:0000:g6:00.0",
		"vfio:0000.86:00.0",
		"vfio:-000:86:00.0",
		"vfio:0000:86:00.",
		"vfio::86:00.0",
	};
	char address[VFIO_ADDRESS_BYTES] = "x";
	struct reason why = {""};
	struct axdev *dev;
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		EXPECT_EQ(vfio_address_parse(names[i], address, NULL), -EINVAL);
		EXPECT_EQ(axdev_open(names[i], NULL, &dev, NULL), -EINVAL);
	}
	EXPECT_STR(address, "x");
	EXPECT_EQ(axdev_open("vfio:../../x", NULL, &dev, &why), -EINVAL);
	EXPECT_HAS(why.text, "vfio:0000:86:00.0");
}

/* --- a machine in a folder --- */

struct machine {
	char root[64];
};

static void make_dirs(char *path)
{
	char *slash;

	for (slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(path, 0755);
		*slash = '/';
	}
}

static void put_file(const struct machine *m, const char *path, const char *text)
{
	char full[512];
	FILE *file;

	snprintf(full, sizeof(full), "%s%s", m->root, path);
	make_dirs(full);
	file = fopen(full, "w");
	if (!file || fputs(text, file) < 0 || fclose(file))
		TAP_FAIL("%s: %s", full, strerror(errno));
}

static void put_link(const struct machine *m, const char *path, const char *target)
{
	char full[512];

	snprintf(full, sizeof(full), "%s%s", m->root, path);
	make_dirs(full);
	if (symlink(target, full))
		TAP_FAIL("%s: %s", full, strerror(errno));
}

/* A PCI device; @driver may be NULL, @group negative. */
static void put_device(const struct machine *m, const char *address, const char *ids,
		       const char *driver, int group)
{
	char path[128], text[64];

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/vendor", address);
	snprintf(text, sizeof(text), "0x%.4s\n", ids);
	put_file(m, path, text);
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/device", address);
	snprintf(text, sizeof(text), "0x%.4s\n", ids + 5);
	put_file(m, path, text);
	if (driver) {
		snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/driver", address);
		snprintf(text, sizeof(text), "../../../bus/pci/drivers/%s", driver);
		put_link(m, path, text);
	}
	if (group < 0)
		return;
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu_group", address);
	snprintf(text, sizeof(text), "../../../../kernel/iommu_groups/%d", group);
	put_link(m, path, text);
	snprintf(path, sizeof(path), "/sys/kernel/iommu_groups/%d/devices/%s", group, address);
	put_file(m, path, "");
}

static void machine_create(struct machine *m)
{
	char path[128];

	strcpy(m->root, "/tmp/tethys-vfio-XXXXXX");
	if (!mkdtemp(m->root))
		TAP_FAIL("no folder: %s", strerror(errno));
	snprintf(path, sizeof(path), "%s/sys/bus/pci/devices/", m->root);
	make_dirs(path);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void machine_destroy(struct machine *m)
{
	nftw(m->root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void collect(void *ctx, const char *address)
{
	char *all = ctx;

	snprintf(all + strlen(all), 256 - strlen(all), "%s ", address);
}

static void test_list_names_cards_of_vfio_only_in_order(void)
{
	char address[VFIO_ADDRESS_BYTES] = "", all[256] = "";
	struct reason why = {""};
	struct machine m;

	machine_create(&m);
	vfio_each_card(m.root, collect, all);
	EXPECT_STR(all, "");
	EXPECT_EQ(vfio_only_card(m.root, address, &why), -ENODEV);
	EXPECT_HAS(why.text, "no Metis card");
	put_device(&m, "0000:86:00.0", "1f9d:1100", "vfio-pci", 6);
	put_device(&m, "0000:03:00.0", "1f9d:1100", "metis", 3);
	put_device(&m, "0000:04:00.0", "1f9d:1100", NULL, 4);
	put_device(&m, "0000:05:00.0", "8086:1100", "vfio-pci", 5);
	vfio_each_card(m.root, collect, all);
	EXPECT_STR(all, "0000:86:00.0 ");
	EXPECT_EQ(vfio_only_card(m.root, address, NULL), 0);
	EXPECT_STR(address, "0000:86:00.0");
	/* A variant driver by another name shows by its folder. */
	put_device(&m, "0000:07:00.0", "1f9d:11aa", "metis-vfio", 7);
	put_file(&m, "/sys/bus/pci/devices/0000:07:00.0/vfio-dev/vfio3/dev", "511:3\n");
	all[0] = '\0';
	vfio_each_card(m.root, collect, all);
	EXPECT_STR(all, "0000:07:00.0 0000:86:00.0 ");
	why.text[0] = '\0';
	EXPECT_EQ(vfio_only_card(m.root, address, &why), -EINVAL);
	EXPECT_HAS(why.text, "2 cards, say which: vfio:0000:07:00.0, vfio:0000:86:00.0");
	machine_destroy(&m);
}

static void test_place_tells_group_cdev_and_no_iommu(void)
{
	struct vfio_place place;
	struct machine m;

	machine_create(&m);
	put_device(&m, "0000:86:00.0", "1f9d:1100", "vfio-pci", 6);
	EXPECT_EQ(vfio_place_find(m.root, "0000:87:00.0", &place, NULL), -ENODEV);
	EXPECT_EQ(vfio_place_find(m.root, "0000:86:00.0", &place, NULL), 0);
	EXPECT_EQ(place.group, 6);
	EXPECT(place.vfio_driver && !place.no_iommu);
	EXPECT_STR(place.cdev, "");
	EXPECT_EQ(vfio_place_check(m.root, &place, NULL), 0);
	/* In sysfs alone it is no file to open. */
	put_file(&m, "/sys/bus/pci/devices/0000:86:00.0/vfio-dev/vfio0/uevent", "");
	EXPECT_EQ(vfio_place_find(m.root, "0000:86:00.0", &place, NULL), 0);
	EXPECT_STR(place.cdev, "");
	put_file(&m, "/dev/vfio/devices/vfio0", "");
	EXPECT_EQ(vfio_place_find(m.root, "0000:86:00.0", &place, NULL), 0);
	EXPECT_STR(place.cdev, "vfio0");
	put_device(&m, "0000:01:00.0", "1f9d:1100", "vfio-pci", 0);
	put_file(&m, "/sys/kernel/iommu_groups/0/name", "vfio-noiommu\n");
	EXPECT_EQ(vfio_place_find(m.root, "0000:01:00.0", &place, NULL), 0);
	EXPECT(place.no_iommu);
	EXPECT_EQ(place.group, 0);
	machine_destroy(&m);
}

static void expect_check(const struct machine *m, const char *address, int err, const char *part)
{
	struct vfio_place place;
	struct reason why = {""};

	EXPECT_EQ(vfio_place_find(m->root, address, &place, NULL), 0);
	EXPECT_EQ(vfio_place_check(m->root, &place, &why), err);
	EXPECT_HAS(why.text, part);
}

static void test_place_unusable_says_what_to_type(void)
{
	struct reason why = {""};
	char address[VFIO_ADDRESS_BYTES];
	struct machine m;

	machine_create(&m);
	put_device(&m, "0000:01:00.0", "1f9d:1100", NULL, 1);
	expect_check(&m, "0000:01:00.0", -ENODEV,
		     "echo vfio-pci > /sys/bus/pci/devices/0000:01:00.0/driver_override");
	put_device(&m, "0000:02:00.0", "1f9d:1100", "metis", 2);
	expect_check(&m, "0000:02:00.0", -ENODEV, "belongs to the driver metis");
	expect_check(&m, "0000:02:00.0", -ENODEV, "echo 0000:02:00.0 > driver/unbind");
	EXPECT_EQ(vfio_only_card(m.root, address, &why), -ENODEV);
	EXPECT_HAS(why.text, "driver_override");
	put_device(&m, "0000:03:00.0", "8086:100e", "vfio-pci", 3);
	expect_check(&m, "0000:03:00.0", -EPROTO, "no Metis card");
	/* No IOMMU: vfio-pci doesn't bind, and why depends on the kernel. */
	put_device(&m, "0000:04:00.0", "1f9d:1100", NULL, -1);
	expect_check(&m, "0000:04:00.0", -ENODEV, "behind no IOMMU");
	expect_check(&m, "0000:04:00.0", -ENODEV, "modprobe vfio enable_unsafe_noiommu_mode=1");
	put_file(&m, "/sys/module/vfio/refcnt", "0\n");
	expect_check(&m, "0000:04:00.0", -ENODEV, "built without VFIO's no-IOMMU mode");
	put_file(&m, "/sys/module/vfio/parameters/enable_unsafe_noiommu_mode", "N\n");
	expect_check(&m, "0000:04:00.0", -ENODEV, "or, unsafe, go without: echo 1 >");
	put_file(&m, "/sys/module/vfio/parameters/enable_unsafe_noiommu_mode", "Y\n");
	expect_check(&m, "0000:04:00.0", -ENODEV, "0000:04:00.0 has no driver");
	machine_destroy(&m);
}

static void test_group_shared_with_others_names_them(void)
{
	struct reason why = {""};
	struct machine m;

	machine_create(&m);
	put_device(&m, "0000:86:00.0", "1f9d:1100", "vfio-pci", 6);
	put_device(&m, "0000:85:00.0", "1b36:000c", "pcieport", 6);
	put_device(&m, "0000:86:00.2", "8086:0001", NULL, 6);
	EXPECT_EQ(vfio_group_explain(m.root, "0000:86:00.0", -EBUSY, &why), -EBUSY);
	EXPECT_HAS(why.text, "in use by another program");
	put_device(&m, "0000:86:00.1", "8086:100e", "e1000e", 6);
	why.text[0] = '\0';
	EXPECT_EQ(vfio_group_explain(m.root, "0000:86:00.0", -EBUSY, &why), -EBUSY);
	EXPECT_HAS(why.text, "0000:86:00.1 (e1000e); bind");
	machine_destroy(&m);
}

/* --- addresses --- */

#define MIB (1ull << 20)
#define GIB (1ull << 30)

/* What Linux says on x86: all but the interrupt window, of 48 bits. */
static const struct vfio_iova_range x86[] = {
	{0xfef00000, (1ull << 48) - 1},
	{0, 0xfedfffff},
};

static void test_iova_starts_above_4g_aligned_with_gaps(void)
{
	struct vfio_span a, b, c;
	struct vfio_iova iova;

	EXPECT_EQ(vfio_iova_init(&iova, x86, 2), 0);
	EXPECT_EQ(vfio_iova_take(&iova, &a, 4096), 0);
	EXPECT_EQ(a.start, 4 * GIB);
	EXPECT_EQ(vfio_iova_take(&iova, &b, 4096), 0);
	EXPECT_EQ(b.start, 4 * GIB + 8192);
	EXPECT_EQ(vfio_iova_take(&iova, &c, 4 * MIB), 0);
	EXPECT_EQ(c.start, 4 * GIB + 2 * MIB);
	/* Not used again while there are others. */
	vfio_iova_give(&iova, &a);
	EXPECT_EQ(vfio_iova_take(&iova, &a, 4096), 0);
	EXPECT_EQ(a.start, 4 * GIB + 6 * MIB + 4096);
}

/* Fill everything with spans of @bytes; each must be inside a range and meet no other. */
static unsigned int fill(struct vfio_iova *iova, struct vfio_span *spans, unsigned int max,
			 uint64_t bytes)
{
	const struct vfio_iova_range *range;
	unsigned int count, i;
	bool inside;

	for (count = 0; count < max && !vfio_iova_take(iova, &spans[count], bytes); count++) {
		const struct vfio_span *span = &spans[count];

		inside = false;
		for (i = 0; i < iova->ranges_nr; i++) {
			range = &iova->ranges[i];
			inside |= span->start >= range->start &&
				  span->start + span->bytes - 1 <= range->end;
		}
		if (!inside || !span->start || span->bytes < bytes + 4096)
			TAP_FAIL("0x%llx is nowhere", (unsigned long long)span->start);
		for (i = 0; i < count; i++)
			if (span->start < spans[i].start + spans[i].bytes &&
			    spans[i].start < span->start + span->bytes)
				TAP_FAIL("spans %u and %u overlap", count, i);
	}
	return count;
}

static void test_iova_wraps_into_what_is_free_around_reserved_ranges(void)
{
	/* Four pages at 4 GiB, four around the interrupt window, and the very first. */
	static const struct vfio_iova_range small[] = {
		{4 * GIB, 4 * GIB + 4 * 4096 - 1},
		{0, 0xfff},
		{0xfedfe000, 0xfedfffff},
		{0xfef00000, 0xfef01fff},
	};
	struct vfio_span spans[16];
	struct vfio_iova iova;

	EXPECT_EQ(vfio_iova_init(&iova, small, 4), 0);
	EXPECT_EQ(fill(&iova, spans, 16, 4096), 4);
	EXPECT_EQ(spans[0].start, 4 * GIB);
	EXPECT_EQ(spans[1].start, 4 * GIB + 8192);
	EXPECT_EQ(spans[2].start, 0xfedfe000);
	EXPECT_EQ(spans[3].start, 0xfef00000);
	EXPECT_EQ(vfio_iova_take(&iova, &spans[4], 4096), -ENOSPC);
	vfio_iova_give(&iova, &spans[1]);
	EXPECT_EQ(vfio_iova_take(&iova, &spans[4], 8192), -ENOSPC);
	EXPECT_EQ(vfio_iova_take(&iova, &spans[4], 4096), 0);
	EXPECT_EQ(spans[4].start, 4 * GIB + 8192);
	EXPECT_EQ(vfio_iova_take(&iova, &spans[5], UINT64_MAX - 100), -ENOSPC);
}

static void test_iova_ranges_odd_are_harmless(void)
{
	static const struct vfio_iova_range none[] = {{0, 0xfff}, {7, 3}};
	static const struct vfio_iova_range top[] = {{UINT64_MAX - 8191, UINT64_MAX}};
	struct vfio_span span = {0};
	struct vfio_iova iova;

	EXPECT_EQ(vfio_iova_init(&iova, none, 2), -ENOSPC);
	EXPECT_EQ(vfio_iova_init(&iova, NULL, 0), -ENOSPC);
	EXPECT_EQ(vfio_iova_init(&iova, top, 1), 0);
	EXPECT_EQ(vfio_iova_take(&iova, &span, 8192), -ENOSPC);
	EXPECT_EQ(vfio_iova_take(&iova, &span, 4 * MIB), -ENOSPC);
}

/* --- scattered buffers --- */

#define PRESENT (1ull << 63)

/* --- vfio_info.c --- */

struct chain {
	uint32_t head[8];
	struct vfio_info_cap_header first, second; /* at 32, 40 */
	uint32_t elements[4];			   /* of the second */
};

static void test_cap_is_found_behind_others_if_all_of_it_is_there(void)
{
	struct chain chain = {.first = {.id = 7, .next = 40}, .second = {.id = 9}};
	const uint32_t bytes = sizeof(chain);

	EXPECT(vfio_find_cap(&chain, bytes, 32, 7, 8) == &chain.first);
	EXPECT(vfio_find_cap(&chain, bytes, 32, 9, 24) == &chain.second);
	EXPECT(!vfio_find_cap(&chain, bytes, 32, 9, 25));
	EXPECT(!vfio_find_cap(&chain, 47, 32, 9, 8));
	EXPECT(!vfio_find_cap(&chain, bytes, 32, 8, 8));
	EXPECT(!vfio_find_cap(&chain, bytes, 0, 9, 8));
	EXPECT_EQ(vfio_cap_room(&chain, bytes, &chain.second, 8, 4), 4);
	EXPECT_EQ(vfio_cap_room(&chain, bytes, &chain.second, 24, 4), 0);
}

static void test_cap_chain_that_goes_back_or_astray_ends(void)
{
	struct chain chain = {.first = {.id = 7, .next = 32}, .second = {.id = 9}};
	static const uint32_t nexts[] = {32, 8, 0, sizeof(chain) - 7, sizeof(chain), UINT32_MAX};
	size_t i;

	for (i = 0; i < sizeof(nexts) / sizeof(nexts[0]); i++) {
		chain.first.next = nexts[i];
		EXPECT(!vfio_find_cap(&chain, sizeof(chain), 32, 9, 8));
	}
	EXPECT(!vfio_find_cap(&chain, sizeof(chain), UINT32_MAX, 7, 8));
}

static void test_info_refused_is_told(void)
{
	const struct vfio_region_info question = {.index = 1};
	uint32_t bytes = 5;
	void *info = NULL;
	int fd = eventfd(0, EFD_CLOEXEC);

	EXPECT_EQ(vfio_get_info(fd, VFIO_DEVICE_GET_REGION_INFO, &question, sizeof(question), &info,
				&bytes),
		  -ENOTTY);
	EXPECT(!info);
	EXPECT_EQ(bytes, 5);
	close(fd);
}

static void test_runs_join_pages_that_follow(void)
{
	static const uint64_t entries[] = {PRESENT | 0x100, PRESENT | 0x101, PRESENT | 0x99,
					   PRESENT | 1ull << 55 | 0x9a, PRESENT | 0x9c};
	static const uint64_t away[] = {PRESENT | 5, 6}, hidden[] = {PRESENT, PRESENT};
	struct axdev_run *runs = NULL;
	size_t count = 0;

	EXPECT_EQ(vfio_runs_of_pages(away, 2, &runs, &count), -EFAULT);
	EXPECT_EQ(vfio_runs_of_pages(hidden, 2, &runs, &count), -EPERM);
	EXPECT(!runs);
	ASSERT_EQ(vfio_runs_of_pages(entries, 5, &runs, &count), 0);
	EXPECT_EQ(count, 3);
	EXPECT_EQ(runs[0].offset, 0);
	EXPECT_EQ(runs[0].iova, 0x100000);
	EXPECT_EQ(runs[1].offset, 0x2000);
	EXPECT_EQ(runs[1].iova, 0x99000);
	EXPECT_EQ(runs[2].offset, 0x4000);
	EXPECT_EQ(runs[2].iova, 0x9c000);
	free(runs);
}

/* More pages than a list has elements. */
#define PAGES (2 * METIS_EDMA_LIST_DATA_MAX + 3)

/* Page i of the scattered buffer: all backwards. */
static size_t page_of(size_t i)
{
	return PAGES - 1 - i;
}

static void expect_scattered(struct fixture *fx, size_t offset, size_t len)
{
	struct axdev_buf linear = {0}, scattered;
	struct axdev_run runs[PAGES];
	struct reason why = {""};
	uint8_t *from;
	size_t i, at, bad = 0;

	if (fx->dev->ops->buf_alloc(fx->dev, PAGES * 4096, &linear, NULL)) {
		EXPECT(!"memory");
		return;
	}
	from = linear.ptr;
	for (i = 0; i < PAGES * 4096; i++)
		from[i] = (uint8_t)(i * 7 + i / 4096 * 13);
	for (i = 0; i < PAGES; i++)
		runs[i] = (struct axdev_run){i * 4096, linear.iova + page_of(i) * 4096};
	scattered = linear;
	scattered.runs = runs;
	scattered.runs_nr = PAGES;
	EXPECT_EQ(fx->dev->ops->xfer(fx->dev, AXDEV_TO_CARD, -1, METIS_DDR_BASE, &scattered, offset,
				     len, &why),
		  0);
	memset(from, 0, PAGES * 4096);
	EXPECT_EQ(fx->dev->ops->xfer(fx->dev, AXDEV_FROM_CARD, -1, METIS_DDR_BASE, &linear, 0, len,
				     &why),
		  0);
	for (i = 0; i < len; i++) {
		at = page_of((offset + i) / 4096) * 4096 + (offset + i) % 4096;
		bad += from[i] != (uint8_t)(at * 7 + at / 4096 * 13);
	}
	EXPECT_EQ(bad, 0);
	EXPECT_STR(why.text, "");
	fx->dev->ops->buf_free(fx->dev, &linear);
}

static void test_dma_scattered_buffer_moves_every_byte(void)
{
	struct fixture fx;

	if (fixture_open(&fx, FIXTURE_SIM, "1.8.0", NULL, NULL)) {
		EXPECT(!"open");
	} else {
		expect_scattered(&fx, 0, PAGES * 4096);
		expect_scattered(&fx, 4095, 2);
		expect_scattered(&fx, 4096, 4096);
		expect_scattered(&fx, 5, PAGES * 4096 - 9);
		expect_scattered(&fx, PAGES * 4096 - 1, 1);
		((struct axdev_pci *)fx.dev)->edma.element_max_bytes = 1000;
		expect_scattered(&fx, 4000, 3 * 4096);
	}
	fixture_close(&fx);
}

/* --- what is different without the MSI message --- */

static void test_start_without_msi_message_polls_unless_firmware_tells(void)
{
	static const char *const personalities[] = {"1.3.2", "1.6.0", "1.8.0"};
	struct axdev_pci *pci;
	struct fixture fx;
	uint32_t reg = 1;
	bool own;
	int i;

	for (i = 0; i < 3; i++) {
		if (fixture_open(&fx, FIXTURE_SIM, personalities[i], NULL, NULL)) {
			EXPECT(!"open");
			continue;
		}
		pci = (struct axdev_pci *)fx.dev;
		pci->no_msi_message = true;
		EXPECT_EQ(axdev_edma_start(pci, 0, 0, NULL), 0);
		own = i < 2;
		EXPECT_EQ(pci->edma.owns_imwr, own);
		EXPECT_EQ(atomic_load(&pci->edma.polling), own);
		EXPECT_EQ(
			fx.dev->ops->bar_read(fx.dev, 0, METIS_EDMA_WR_DONE_IMWR_LO, &reg, 4, NULL),
			0);
		EXPECT_EQ(reg, 0);
		expect_scattered(&fx, 0, 8192);
		EXPECT_EQ(fx.dev->lost_irqs, 0);
		fixture_close(&fx);
	}
}

static void test_l2_as_device_copies_the_same_bytes(void)
{
	uint8_t out[64], in[64];
	struct fixture fx;
	size_t from, len, i;

	if (fixture_open(&fx, FIXTURE_SIM, "1.8.0", NULL, NULL)) {
		EXPECT(!"open");
		fixture_close(&fx);
		return;
	}
	((struct axdev_pci *)fx.dev)->l2_is_device = true;
	for (i = 0; i < sizeof(out); i++)
		out[i] = (uint8_t)(i * 37 + 1);
	for (from = 0; from < 9; from++) {
		for (len = 1; len + from < sizeof(out); len++) {
			memset(in, 0, sizeof(in));
			EXPECT_EQ(fx.dev->ops->bar_write(fx.dev, 2, 0x10000 + from, out + from, len,
							 NULL),
				  0);
			EXPECT_EQ(fx.dev->ops->bar_read(fx.dev, 2, 0x10000 + from, in + from, len,
							NULL),
				  0);
			EXPECT(!memcmp(in + from, out + from, len));
			EXPECT_EQ(in[from + len], 0);
		}
	}
	fixture_close(&fx);
}

/* --- interrupts --- */

static void card_with_vectors(struct vfio_card *card, unsigned int vectors)
{
	memset(card, 0, sizeof(*card));
	vfio_irq_init(&card->irqs);
	EXPECT_EQ(vfio_irq_create(&card->irqs, vectors, NULL), 0);
	card->pci.shared_vectors = vectors < METIS_IRQ_NR;
}

static void test_irq_own_vectors_count_each(void)
{
	struct vfio_card card;

	card_with_vectors(&card, METIS_IRQ_NR);
	eventfd_write(card.irqs.fds[5], 2);
	EXPECT_EQ(vfio_irq_wait(&card.pci, 4, 1000, NULL), -ETIMEDOUT);
	EXPECT_EQ(vfio_irq_wait(&card.pci, 5, 1000, NULL), 0);
	EXPECT(vfio_irq_take(&card.pci, 5));
	EXPECT(!vfio_irq_take(&card.pci, 5));
	eventfd_write(card.irqs.fds[5], 3);
	vfio_irq_clear(&card.pci, 5);
	EXPECT(!vfio_irq_take(&card.pci, 5));
	vfio_irq_deinit(&card.irqs);
}

static void test_irq_shared_vector_tells_all_its_numbers(void)
{
	struct vfio_card card;
	unsigned int i;

	card_with_vectors(&card, 4);
	eventfd_write(card.irqs.fds[1], 1);
	for (i = 0; i < METIS_IRQ_NR; i++)
		EXPECT_EQ(vfio_irq_take(&card.pci, i), i > 0 && i % 4 == 1);
	/* Clearing is for one number alone. */
	eventfd_write(card.irqs.fds[1], 1);
	vfio_irq_clear(&card.pci, 5);
	EXPECT(!vfio_irq_take(&card.pci, 5));
	EXPECT(vfio_irq_take(&card.pci, 9));
	vfio_irq_deinit(&card.irqs);
}

struct waiter {
	pthread_t thread;
	struct vfio_card *card;
	unsigned int number;
	int err;
};

static void *wait_long(void *arg)
{
	struct waiter *waiter = arg;

	waiter->err = vfio_irq_wait(&waiter->card->pci, waiter->number, 10000000, NULL);
	return NULL;
}

static void start_waiters(struct vfio_card *card, struct waiter *waiters, unsigned int count)
{
	unsigned int i;

	for (i = 0; i < count; i++) {
		waiters[i] = (struct waiter){.card = card, .number = i, .err = 1};
		pthread_create(&waiters[i].thread, NULL, wait_long, &waiters[i]);
	}
}

static void expect_waiters(struct waiter *waiters, unsigned int count, int err)
{
	unsigned int i;

	for (i = 0; i < count; i++) {
		pthread_join(waiters[i].thread, NULL);
		EXPECT_EQ(waiters[i].err, err);
	}
}

static void test_irq_shared_event_wakes_every_waiter_every_time(void)
{
	struct waiter waiters[12];
	uint64_t start = axdev_now_us();
	struct vfio_card card;
	unsigned int round;

	card_with_vectors(&card, 1);
	/* Sooner or later than the waiters. */
	for (round = 0; round < 200; round++) {
		start_waiters(&card, waiters, 12);
		if (round % 4)
			usleep(round % 4 * 100);
		eventfd_write(card.irqs.fds[0], 1);
		expect_waiters(waiters, 12, 0);
	}
	/* A wake-up that is lost costs ten seconds. */
	EXPECT(axdev_now_us() - start < 9000000);
	vfio_irq_deinit(&card.irqs);
}

static void test_irq_request_ends_waits_with_enodev(void)
{
	struct reason why = {""};
	struct waiter waiters[3];
	struct vfio_card card;

	card_with_vectors(&card, METIS_IRQ_NR);
	card.irqs.request = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	EXPECT_EQ(vfio_irq_check(&card.irqs, NULL), 0);
	start_waiters(&card, waiters, 3);
	usleep(1000);
	eventfd_write(card.irqs.request, 1);
	expect_waiters(waiters, 3, -ENODEV);
	/* For good. What came before counts. */
	EXPECT_EQ(vfio_irq_wait(&card.pci, 1, 1000, &why), -ENODEV);
	EXPECT_HAS(why.text, "wants the card back");
	eventfd_write(card.irqs.fds[1], 1);
	EXPECT_EQ(vfio_irq_wait(&card.pci, 1, 1000, NULL), 0);
	vfio_irq_deinit(&card.irqs);
}

int main(void)
{
	RUN(test_name_well_formed_is_taken);
	RUN(test_name_garbage_is_einval);
	RUN(test_list_names_cards_of_vfio_only_in_order);
	RUN(test_place_tells_group_cdev_and_no_iommu);
	RUN(test_place_unusable_says_what_to_type);
	RUN(test_group_shared_with_others_names_them);
	RUN(test_iova_starts_above_4g_aligned_with_gaps);
	RUN(test_iova_wraps_into_what_is_free_around_reserved_ranges);
	RUN(test_iova_ranges_odd_are_harmless);
	RUN(test_cap_is_found_behind_others_if_all_of_it_is_there);
	RUN(test_cap_chain_that_goes_back_or_astray_ends);
	RUN(test_info_refused_is_told);
	RUN(test_runs_join_pages_that_follow);
	RUN(test_dma_scattered_buffer_moves_every_byte);
	RUN(test_start_without_msi_message_polls_unless_firmware_tells);
	RUN(test_l2_as_device_copies_the_same_bytes);
	RUN(test_irq_own_vectors_count_each);
	RUN(test_irq_shared_vector_tells_all_its_numbers);
	RUN(test_irq_shared_event_wakes_every_waiter_every_time);
	RUN(test_irq_request_ends_waits_with_enodev);
	return tap_done();
}
