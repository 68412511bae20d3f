/* SPDX-License-Identifier: MIT */
/* GET_INFO, GET_REGION_INFO, GET_IRQ_INFO. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <tethys/hw/fwproto.h>
#include <tethys/hw/pci.h>

#include "card/transport/tests/raw_client.h"
#include "tests/tap.h"

static struct raw raw;

static int region_info(uint32_t index, uint32_t argsz, struct vfio_user_region_info *ret_info)
{
	const struct vfio_user_region_info request = {.argsz = argsz, .index = index};
	int ret = raw_call(&raw, VFIO_USER_DEVICE_GET_REGION_INFO, &request, sizeof(request));

	memcpy(ret_info, raw.body, sizeof(*ret_info));
	return ret;
}

static void test_info_device_is_pci_with_reset(void)
{
	const struct vfio_user_device_info request = {.argsz = sizeof(request)};
	const struct vfio_user_device_info *info = (const void *)raw.body;

	ASSERT(raw_open(&raw, NULL, RAW_NO_TWIN));
	EXPECT_EQ(raw_call(&raw, VFIO_USER_DEVICE_GET_INFO, &request, sizeof(request)), 0);
	EXPECT_EQ(raw.header.size, 32);
	EXPECT_EQ(info->argsz, 16);
	EXPECT_EQ(info->flags, VFIO_USER_DEVICE_PCI | VFIO_USER_DEVICE_RESETTABLE);
	EXPECT_EQ(info->regions, 9);
	EXPECT_EQ(info->irqs, 5);
	raw_stop(&raw);
}

static void test_info_small_argsz_is_refused(void)
{
	const struct vfio_user_device_info device = {.argsz = 15};
	const struct vfio_user_irq_info irq = {.argsz = 15};
	struct vfio_user_region_info region;

	ASSERT(raw_open(&raw, NULL, RAW_NO_TWIN));
	EXPECT_EQ(raw_call(&raw, VFIO_USER_DEVICE_GET_INFO, &device, sizeof(device)), EINVAL);
	EXPECT_EQ(raw_call(&raw, VFIO_USER_DEVICE_GET_IRQ_INFO, &irq, sizeof(irq)), EINVAL);
	EXPECT_EQ(region_info(0, 31, &region), EINVAL);
	raw_stop(&raw);
}

static void test_info_regions_are_the_cards(void)
{
	static const uint64_t sizes[9] = {METIS_BAR_EDMA_BYTES, 0, METIS_BAR_L2_BYTES, 0, 0, 0, 0,
					  METIS_PCI_CFG_BYTES,	0};
	struct vfio_user_region_info info;
	uint32_t i;

	ASSERT(raw_open(&raw, NULL, RAW_NO_TWIN));
	for (i = 0; i < 9; i++) {
		EXPECT_EQ(region_info(i, 32, &info), 0);
		EXPECT_EQ(raw.header.size, 48);
		EXPECT_EQ(info.argsz, 32);
		EXPECT_EQ(info.index, i);
		EXPECT_EQ(info.size, sizes[i]);
		EXPECT_EQ(info.flags, sizes[i] ? 3 : 0);
		EXPECT_EQ(info.cap_offset, 0);
	}
	EXPECT_EQ(region_info(9, 32, &info), EINVAL);
	EXPECT_EQ(region_info(UINT32_MAX, 32, &info), EINVAL);
	raw_stop(&raw);
}

static void check_l2_capability(const struct vfio_user_region_info *info)
{
	const struct vfio_user_cap_sparse *sparse = (const void *)(raw.body + info->cap_offset);

	ASSERT_EQ(info->cap_offset, 32);
	EXPECT_EQ(sparse->header.id, VFIO_USER_CAP_SPARSE_MMAP);
	EXPECT_EQ(sparse->header.version, 1);
	EXPECT_EQ(sparse->header.next, 0);
	EXPECT_EQ(sparse->areas_nr, 1);
	EXPECT_EQ(sparse->areas[0].offset, METIS_FW_TRAPPED_BYTES);
	EXPECT_EQ(sparse->areas[0].offset + sparse->areas[0].size, METIS_BAR_L2_BYTES);
	EXPECT_EQ(info->offset, 0);
}

static void test_info_l2_is_mapped_by_our_client(void)
{
	const uint64_t at = METIS_BAR_L2_BYTES - 8;
	struct vfio_user_region_info info;
	uint32_t value = 0;
	uint8_t *l2;

	ASSERT(raw_open(&raw, NULL, RAW_TWIN));
	EXPECT_EQ(region_info(METIS_BAR_L2, 32, &info), 0);
	EXPECT_EQ(raw.header.size, 48);
	EXPECT_EQ(info.argsz, 64);
	EXPECT_EQ(info.flags, 7); /* no capability without its offset: QEMU minds */
	EXPECT_EQ(info.cap_offset, 0);
	EXPECT_EQ(raw.fds.count, 0); /* it comes with what it belongs to */
	EXPECT_EQ(region_info(METIS_BAR_L2, 4096, &info), 0);
	EXPECT_EQ(raw.header.size, 80);
	EXPECT_EQ(raw.fds.count, 1);
	EXPECT_EQ(info.flags, 0xf);
	check_l2_capability(&info);
	l2 = mmap(NULL, METIS_BAR_L2_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, raw.fds.fd[0], 0);
	ASSERT(l2 != MAP_FAILED);
	EXPECT(ftruncate(raw.fds.fd[0], 0) < 0); /* the client can't pull it from under the card */
	memcpy(l2 + at, &(uint32_t){0x12345678}, 4);
	EXPECT_EQ(raw_read(&raw, METIS_BAR_L2, at, &value, 4), 0);
	EXPECT_EQ(value, 0x12345678);
	munmap(l2, METIS_BAR_L2_BYTES);
	raw_stop(&raw);
}

static void test_info_l2_is_shared_with_all_when_asked(void)
{
	const struct vfio_user_server_config config = {.listen_fd = -1, .share_l2 = true};
	struct vfio_user_region_info info;

	ASSERT(raw_open(&raw, &config, RAW_NO_TWIN));
	EXPECT_EQ(region_info(METIS_BAR_L2, 64, &info), 0);
	EXPECT_EQ(raw.fds.count, 1);
	EXPECT_EQ(info.flags, 0xf);
	check_l2_capability(&info);
	raw_stop(&raw);
}

/* Our own client as well then sends a message for each access, which the card can count. */
static void test_info_l2_is_shared_with_nobody_when_trapped(void)
{
	const struct vfio_user_server_config config = {
		.listen_fd = -1, .share_l2 = true, .trap_l2 = true};
	struct vfio_user_region_info info;
	struct card_stats was, is;
	uint32_t value;

	ASSERT(raw_open(&raw, &config, RAW_TWIN));
	EXPECT_EQ(region_info(METIS_BAR_L2, 4096, &info), 0);
	EXPECT_EQ(raw.header.size, 48);
	EXPECT_EQ(raw.fds.count, 0);
	EXPECT_EQ(info.flags, 3);
	card_stats(raw.card, &was);
	EXPECT_EQ(raw_read(&raw, METIS_BAR_L2, METIS_FW_TRAPPED_BYTES, &value, 4), 0);
	EXPECT_EQ(raw_read(&raw, METIS_BAR_EDMA, 8, &value, 4), 0);
	card_stats(raw.card, &is);
	EXPECT_EQ(is.l2_reads - was.l2_reads, 1);
	EXPECT_EQ(is.bar0_reads - was.bar0_reads, 1);
	raw_stop(&raw);
}

static void test_info_irqs_are_the_cards(void)
{
	static const uint32_t counts[5] = {0, 32, 0, 1, 1};
	struct vfio_user_irq_info request = {.argsz = sizeof(request)};
	const struct vfio_user_irq_info *info = (const void *)raw.body;

	ASSERT(raw_open(&raw, NULL, RAW_NO_TWIN));
	for (request.index = 0; request.index < 5; request.index++) {
		EXPECT_EQ(raw_call(&raw, VFIO_USER_DEVICE_GET_IRQ_INFO, &request, sizeof(request)),
			  0);
		EXPECT_EQ(raw.header.size, 32);
		EXPECT_EQ(info->index, request.index);
		EXPECT_EQ(info->count, counts[request.index]);
		EXPECT_EQ(info->flags, counts[request.index] ? VFIO_USER_IRQ_FLAG_EVENTFD : 0);
	}
	EXPECT_EQ(raw_call(&raw, VFIO_USER_DEVICE_GET_IRQ_INFO, &request, sizeof(request)), EINVAL);
	raw_stop(&raw);
}

int main(void)
{
	RUN(test_info_device_is_pci_with_reset);
	RUN(test_info_small_argsz_is_refused);
	RUN(test_info_regions_are_the_cards);
	RUN(test_info_l2_is_mapped_by_our_client);
	RUN(test_info_l2_is_shared_with_all_when_asked);
	RUN(test_info_l2_is_shared_with_nobody_when_trapped);
	RUN(test_info_irqs_are_the_cards);
	return tap_done();
}
