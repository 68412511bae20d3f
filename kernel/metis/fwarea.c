// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the firmware offers in L2, and the buffer of ours that it is told of.
 *
 * Every offset and size here comes from the card, so none is used before it was seen to lie
 * within BAR2. A card without firmware shows zeros; then there is nothing, and the driver binds all
 * the same.
 */
#include <linux/io-64-nonatomic-lo-hi.h>

#include "metis.h"

#define HOST_BYTES SZ_4M
#define TARGET_BYTES SZ_2M /* the part the firmware is told of; aligned to its size */

#define SYSCTL(member) offsetof(struct metis_sysctl, member)
#define SYSCTL_SIZEOF(member) sizeof_field(struct metis_sysctl, member)

/* What was in BAR2 at one moment; @bytes a multiple of 4. */
static void copy_from_l2(struct metis_dev *mdev, u32 offset, void *to, size_t bytes)
{
	__le32 *word = to;

	for (; bytes; bytes -= sizeof(*word), offset += sizeof(*word))
		*word++ = cpu_to_le32(readl(mdev->l2 + offset));
}

static bool is_within(const struct metis_dev *mdev, u64 offset, u64 bytes)
{
	return offset && offset % sizeof(u32) == 0 && offset < mdev->l2_bytes &&
	       bytes <= mdev->l2_bytes - offset;
}

/* Offset of the area that the reference at @at names, at least @bytes long; 0: it isn't there. */
static u32 find_area(struct metis_dev *mdev, u32 at, u16 magic, u32 bytes)
{
	struct metis_memref ref;
	u64 offset;

	copy_from_l2(mdev, at, &ref, sizeof(ref));
	offset = le64_to_cpu(ref.offset);
	if ((magic && le16_to_cpu(ref.magic) != magic) || !is_within(mdev, offset, bytes))
		return 0;
	return offset;
}

/*
 * Programs can write to L2, so what stands there must not decide from where else the engine fetches
 * its lists: only L2's own address, a constant of the hardware, turns an offset into one of the
 * card's. A card that names no place gets the one that the vendor's first driver used.
 */
static void find_lists(struct metis_dev *mdev, struct metis_fw *fw)
{
	struct metis_dma_list_area area;
	u64 offset;
	u32 at;

	fw->lists = METIS_EDMA_LISTS_BASE;
	fw->lists_offset = METIS_EDMA_LISTS_BASE - METIS_L2_BASE;
	at = find_area(mdev, SYSCTL(dma_list), METIS_MAGIC_DMA_LIST, sizeof(area));
	if (!at)
		return;
	copy_from_l2(mdev, at, &area, sizeof(area));
	offset = le64_to_cpu(area.base) - METIS_L2_BASE;
	if (offset < METIS_SYSCTL_BYTES || offset % sizeof(u64) ||
	    !is_within(mdev, offset, METIS_EDMA_LISTS_BYTES)) {
		metis_warn(mdev, "firmware offers a list buffer at 0x%llx, which is not in L2\n",
			   le64_to_cpu(area.base));
		return;
	}
	fw->lists = METIS_L2_BASE + offset;
	fw->lists_offset = offset;
}

static unsigned int count_numbers(struct metis_dev *mdev)
{
	u32 at = find_area(mdev, SYSCTL(vmsi_config), METIS_MAGIC_VMSI_CONFIG, sizeof(u32));

	if (!at)
		return METIS_IRQ_NR;
	/* num_vmsi is the first of the area's fields. */
	return clamp_t(unsigned int, readl(mdev->l2 + at) & U16_MAX, METIS_IRQ_NR,
		       METIS_VMSI_WORDS);
}

static void find_datastream(struct metis_dev *mdev, struct metis_fw *fw)
{
	struct metis_memref ref;

	fw->datastream = find_area(mdev, SYSCTL(datastream), METIS_MAGIC_DATASTREAM,
				   sizeof(struct metis_datastream_area));
	copy_from_l2(mdev, SYSCTL(datastream), &ref, sizeof(ref));
	fw->datastream_bytes = fw->datastream ? le32_to_cpu(ref.size) : 0;
	if (!is_within(mdev, fw->datastream, fw->datastream_bytes))
		fw->datastream = 0;
}

void metis_fw_read(struct metis_dev *mdev)
{
	struct metis_fw fw = {};
	u64 base;

	base = readl(mdev->l2 + SYSCTL(memory_map)) |
	       (u64)readl(mdev->l2 + SYSCTL(memory_map) + sizeof(u32)) << 32;
	fw.l2_base = base && base <= U64_MAX - mdev->l2_bytes ? base : METIS_L2_BASE;
	fw.dma_vm = readl(mdev->l2 + SYSCTL(dma_vm)) == METIS_DMA_VM_MAGIC;
	fw.host_driver = find_area(mdev, SYSCTL(host_driver), METIS_MAGIC_HOST_DRIVER,
				   sizeof(struct metis_host_driver));
	fw.contexts =
		find_area(mdev, SYSCTL(context), 0, METIS_CORES * sizeof(struct metis_context));
	fw.board = find_area(mdev, SYSCTL(board), METIS_MAGIC_BOARD, sizeof(struct metis_board));
	find_datastream(mdev, &fw);
	find_lists(mdev, &fw);
	fw.numbers = count_numbers(mdev);
	mdev->fw = fw;
}

static void board_text(struct metis_dev *mdev, size_t member, size_t member_bytes, char *buf,
		       size_t bytes)
{
	char text[64];
	size_t i;

	*buf = '\0';
	if (!mdev->fw.board || member_bytes > sizeof(text))
		return;
	copy_from_l2(mdev, mdev->fw.board + member, text, member_bytes);
	/* The card's, so it may be anything. */
	for (i = 0; i < member_bytes && i + 1 < bytes && text[i] > ' ' && text[i] < 0x7f; i++)
		buf[i] = text[i];
	buf[i] = '\0';
}

void metis_fw_version(struct metis_dev *mdev, char *buf, size_t bytes)
{
	board_text(mdev, offsetof(struct metis_board, firmware_version),
		   sizeof_field(struct metis_board, firmware_version), buf, bytes);
}

void metis_board_name(struct metis_dev *mdev, char *buf, size_t bytes)
{
	board_text(mdev, offsetof(struct metis_board, controller_board_type),
		   sizeof_field(struct metis_board, controller_board_type), buf, bytes);
}

u64 metis_context_state(struct metis_dev *mdev, unsigned int n)
{
	u32 at = mdev->fw.contexts;

	if (!at || n >= METIS_CORES)
		return 1;
	at += n * sizeof(struct metis_context) + offsetof(struct metis_context, sts);
	return readl(mdev->l2 + at) | (u64)readl(mdev->l2 + at + sizeof(u32)) << 32;
}

static bool overlaps(u64 a, u64 a_bytes, u64 b, u64 b_bytes)
{
	return a < b + b_bytes && b < a + a_bytes;
}

bool metis_card_range_reserved(const struct metis_dev *mdev, u64 card, u64 len)
{
	const struct metis_fw *fw = &mdev->fw;

	if (card + len < card)
		return true;
	return overlaps(card, len, METIS_L2_BASE + METIS_SYSCTL_OFFSET, METIS_SYSCTL_BYTES) ||
	       overlaps(card, len, fw->lists, METIS_EDMA_LISTS_BYTES) ||
	       (fw->host_driver && overlaps(card, len, METIS_L2_BASE + fw->host_driver,
					    sizeof(struct metis_host_driver)));
}

/* --- the host's buffer --- */

/* Without one there are no virtual MSIs, which 32 vectors don't need: no reason to fail. */
int metis_host_alloc(struct metis_dev *mdev)
{
	mdev->host = dma_alloc_coherent(&mdev->pdev->dev, HOST_BYTES, &mdev->host_dma, GFP_KERNEL);
	if (!mdev->host)
		return -ENOMEM;
	mdev->target = ALIGN(mdev->host_dma, TARGET_BYTES);
	mdev->vmsi = mdev->host + (mdev->target - mdev->host_dma);
	return 0;
}

void metis_host_free(struct metis_dev *mdev)
{
	if (!mdev->host)
		return;
	mdev->vmsi = NULL;
	dma_free_coherent(&mdev->pdev->dev, HOST_BYTES, mdev->host, mdev->host_dma);
	mdev->host = NULL;
}

static void write_host_area(struct metis_dev *mdev, u64 target, u32 size, u32 ctrl)
{
	void __iomem *area = mdev->l2 + mdev->fw.host_driver;

	/* Never valid while the address changes; stores to one device arrive in order. */
	writel(0, area + offsetof(struct metis_host_driver, ctrl));
	writel(lower_32_bits(target), area + offsetof(struct metis_host_driver, target));
	writel(upper_32_bits(target), area + offsetof(struct metis_host_driver, target) + 4);
	writel(0, area + offsetof(struct metis_host_driver, base));
	writel(size, area + offsetof(struct metis_host_driver, size));
	writel(ctrl, area + offsetof(struct metis_host_driver, ctrl));
}

void metis_host_tell(struct metis_dev *mdev)
{
	if (mdev->vmsi && mdev->fw.host_driver)
		write_host_area(mdev, mdev->target, TARGET_BYTES, 1);
}

void metis_host_untell(struct metis_dev *mdev)
{
	void __iomem *area = mdev->l2 + mdev->fw.host_driver;

	if (!mdev->fw.host_driver)
		return;
	if (metis_params.clean_remove)
		write_host_area(mdev, 0, 0, 0);
	else
		writel(0, area + offsetof(struct metis_host_driver, ctrl));
}
