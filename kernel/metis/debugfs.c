// SPDX-License-Identifier: GPL-2.0-only
/*
 * debugfs: <debugfs>/metis/version and, for each device, metis/metis-<PCI name>/.
 *
 * Files with bus or card addresses are for root only. Taking the directory away waits for who is
 * in a file, so the device is there in all of them; what reads the card goes through the gate.
 * Channels have the engine's names, as the vendor's files: a "wr" channel moves data to the host.
 */
#include <linux/debugfs.h>
#include <linux/io.h>
#include <linux/seq_file.h>
#include <linux/string.h>

#include "metis.h"

static struct dentry *root;

static int version_show(struct seq_file *m, void *unused)
{
	seq_puts(m, TETHYS_VERSION "\n");
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(version);

static void info_firmware(struct seq_file *m, const struct metis_dev *mdev)
{
	const struct metis_fw *fw = &mdev->fw;

	seq_printf(m, "dma_vm: %d\nnumbers: %u\nl2_base: 0x%llx\n", fw->dma_vm, fw->numbers,
		   fw->l2_base);
	seq_printf(m, "host_driver: 0x%x\ncontexts: 0x%x\nboard: 0x%x\n", fw->host_driver,
		   fw->contexts, fw->board);
	seq_printf(m, "datastream: 0x%x %u\n", fw->datastream, fw->datastream_bytes);
	seq_printf(m, "lists: 0x%llx 0x%x\n", fw->lists, fw->lists_offset);
	seq_printf(m, "target: %pad\n", &mdev->target);
}

static int info_show(struct seq_file *m, void *unused)
{
	struct metis_dev *mdev = m->private;
	const struct pci_dev *pdev = mdev->pdev;

	seq_printf(m, "name: %s\n", mdev->name);
	seq_printf(m, "id: %04x:%04x %04x:%04x rev %02x\n", pdev->vendor, pdev->device,
		   pdev->subsystem_vendor, pdev->subsystem_device, pdev->revision);
	seq_printf(m, "state: %d\nvectors: %d\npolling: %d\n", metis_state(mdev), mdev->vectors,
		   READ_ONCE(mdev->polling));
	mutex_lock(&mdev->cores_lock);
	seq_printf(m, "cores: 0x%x\n", mdev->cores);
	mutex_unlock(&mdev->cores_lock);
	info_firmware(m, mdev);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(info);

struct debugfs_reg {
	const char *name;
	u32 offset;
	bool readable;
};

#define READABLE_RO true
#define READABLE_RW true
#define READABLE_WO false
#define READABLE_W1C false

static const struct debugfs_reg regs[] = {
#define DEBUGFS_REG(reg, off, access, ...) {#reg, off, READABLE_##access},
	METIS_EDMA_REGS(DEBUGFS_REG)
#undef DEBUGFS_REG
};

static const struct debugfs_reg channel_regs[] = {
	{"CONTROL1", METIS_EDMA_CH_CONTROL1, true}, {"CONTROL2", METIS_EDMA_CH_CONTROL2, true},
	{"SIZE", METIS_EDMA_CH_SIZE, true},	    {"SAR_LO", METIS_EDMA_CH_SAR_LO, true},
	{"SAR_HI", METIS_EDMA_CH_SAR_HI, true},	    {"DAR_LO", METIS_EDMA_CH_DAR_LO, true},
	{"DAR_HI", METIS_EDMA_CH_DAR_HI, true},	    {"LLP_LO", METIS_EDMA_CH_LLP_LO, true},
	{"LLP_HI", METIS_EDMA_CH_LLP_HI, true},
};

static u32 channel_base(const struct metis_chan *ch)
{
	return ch->to_card ? METIS_EDMA_RD_CH(ch->n) : METIS_EDMA_WR_CH(ch->n);
}

static const char *channel_side(const struct metis_chan *ch)
{
	return ch->to_card ? "rd" : "wr";
}

static int dma_regs_show(struct seq_file *m, void *unused)
{
	struct metis_dev *mdev = m->private;
	int idx, err;

	err = metis_enter(mdev, &idx);
	if (err)
		return err;
	for (size_t i = 0; i < ARRAY_SIZE(regs); i++) {
		if (regs[i].readable)
			seq_printf(m, "%-18s 0x%03x 0x%08x\n", regs[i].name, regs[i].offset,
				   readl(mdev->edma + regs[i].offset));
		else
			seq_printf(m, "%-18s 0x%03x -\n", regs[i].name, regs[i].offset);
	}
	metis_leave(mdev, idx);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(dma_regs);

static void show_channel_regs(struct seq_file *m, const struct metis_chan *ch)
{
	u32 base = channel_base(ch);

	for (size_t i = 0; i < ARRAY_SIZE(channel_regs); i++) {
		u32 offset = base + channel_regs[i].offset;

		seq_printf(m, "%s%u_%-14s 0x%03x 0x%08x\n", channel_side(ch), ch->n,
			   channel_regs[i].name, offset, readl(ch->mdev->edma + offset));
	}
}

static int dma_ch_regs_show(struct seq_file *m, void *unused)
{
	struct metis_dev *mdev = m->private;
	int idx, err;

	err = metis_enter(mdev, &idx);
	if (err)
		return err;
	for (unsigned int to_card = 0; to_card < 2; to_card++)
		for (unsigned int n = 0; n < METIS_EDMA_CHANNELS; n++)
			show_channel_regs(m, &mdev->chan[to_card][n]);
	metis_leave(mdev, idx);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(dma_ch_regs);

/* Where the channel's list is in BAR2; 0: nowhere. The area may be read anew at any time. */
static u64 list_offset(const struct metis_chan *ch)
{
	u64 base = READ_ONCE(ch->mdev->fw.lists_offset);
	u64 offset =
		ch->to_card ? METIS_EDMA_RD_LIST(base, ch->n) : METIS_EDMA_WR_LIST(base, ch->n);

	if (!base || offset + METIS_EDMA_LIST_BYTES > ch->mdev->l2_bytes)
		return 0;
	return offset;
}

/* '>': the list pointer is here. '*': the element is the engine's, by its cycle bit. */
static void show_element(struct seq_file *m, unsigned int i, const char *marks,
			 const struct metis_edma_element *e)
{
	seq_printf(m, "%s%3u control=0x%08x size=0x%08x sar=0x%016llx dar=0x%016llx\n", marks, i,
		   le32_to_cpu(e->control), le32_to_cpu(e->size), le64_to_cpu(e->sar),
		   le64_to_cpu(e->dar));
}

/* Up to the first that was never written. All, as in a ring the engine's may start anywhere. */
static void show_list(struct seq_file *m, const struct metis_chan *ch, u64 offset)
{
	void __iomem *block = ch->mdev->edma + channel_base(ch);
	u32 control1 = readl(block + METIS_EDMA_CH_CONTROL1);
	u64 llp_high = readl(block + METIS_EDMA_CH_LLP_HI);
	u64 llp = llp_high << 32 | readl(block + METIS_EDMA_CH_LLP_LO);
	u64 card = METIS_L2_BASE + offset;
	struct metis_edma_element e;
	char marks[3] = "  ";
	bool cycle;

	seq_printf(m, "control1=0x%08x llp=0x%llx list=0x%llx\n", control1, llp, card);
	for (unsigned int i = 0; i < METIS_EDMA_LIST_ELEMENTS; i++) {
		memcpy_fromio(&e, ch->mdev->l2 + offset + i * sizeof(e), sizeof(e));
		if (!e.control && !e.size)
			break;
		marks[0] = llp == card + i * sizeof(e) ? '>' : ' ';
		cycle = le32_to_cpu(e.control) & METIS_EDMA_CB;
		marks[1] = cycle == !!(control1 & METIS_EDMA_CCS) ? '*' : ' ';
		show_element(m, i, marks, &e);
	}
}

static int list_show(struct seq_file *m, void *unused)
{
	const struct metis_chan *ch = m->private;
	u64 offset;
	int idx, err;

	err = metis_enter(ch->mdev, &idx);
	if (err)
		return err;
	offset = list_offset(ch);
	if (offset)
		show_list(m, ch, offset);
	metis_leave(ch->mdev, idx);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(list);

static void show_stats(struct seq_file *m, const struct metis_chan *ch)
{
	struct metis_channel_stats s;
	u64 lost;

	spin_lock_irq(&ch->mdev->stats_lock);
	s = ch->stats;
	lost = ch->lost;
	spin_unlock_irq(&ch->mdev->stats_lock);

	seq_printf(m, "%s%u: starts=%d transfers=%d errors=%d lost=%llu bytes=%llu",
		   channel_side(ch), ch->n, s.count, s.num_xfer, s.num_err, lost, s.bytes_xfer);
	seq_printf(m, " elements_max=%d us_max=%llu us_last=%llu bytes_last=%llu mbps_last=%u\n",
		   s.max_sgt, s.max_duration_us, s.duration_us, s.size, s.speed_mbps);
}

static int dma_statistics_show(struct seq_file *m, void *unused)
{
	struct metis_dev *mdev = m->private;

	for (unsigned int to_card = 0; to_card < 2; to_card++)
		for (unsigned int n = 0; n < METIS_EDMA_CHANNELS; n++)
			show_stats(m, &mdev->chan[to_card][n]);
	return 0;
}

static int dma_statistics_open(struct inode *inode, struct file *filp)
{
	return single_open(filp, dma_statistics_show, inode->i_private);
}

/* What was lost stays: sysfs' count of the device is the sum. */
static void reset_stats(struct metis_chan *ch, bool all)
{
	spin_lock_irq(&ch->mdev->stats_lock);
	if (all)
		memset(&ch->stats, 0, sizeof(ch->stats));
	ch->stats.duration_us = 0;
	ch->stats.max_duration_us = 0;
	spin_unlock_irq(&ch->mdev->stats_lock);
}

static ssize_t dma_statistics_write(struct file *filp, const char __user *buf, size_t len,
				    loff_t *pos)
{
	struct metis_dev *mdev = ((struct seq_file *)filp->private_data)->private;
	unsigned int what;
	int err;

	err = kstrtouint_from_user(buf, len, 0, &what);
	if (err)
		return err;
	if (what != 1 && what != 2)
		return -EINVAL;
	for (unsigned int to_card = 0; to_card < 2; to_card++)
		for (unsigned int n = 0; n < METIS_EDMA_CHANNELS; n++)
			reset_stats(&mdev->chan[to_card][n], what == 1);
	return len;
}

static const struct file_operations dma_statistics_fops = {
	.owner = THIS_MODULE,
	.open = dma_statistics_open,
	.read = seq_read,
	.write = dma_statistics_write,
	.llseek = seq_lseek,
	.release = single_release,
};

/* Numbers that ever signalled: how often, and how many signals nobody has taken. */
static int vmsi_show(struct seq_file *m, void *unused)
{
	struct metis_dev *mdev = m->private;
	u64 seen;
	u32 count;

	for (unsigned int n = 0; n < ARRAY_SIZE(mdev->number); n++) {
		spin_lock_irq(&mdev->irq_lock);
		seen = mdev->number[n].seen;
		count = mdev->number[n].count;
		spin_unlock_irq(&mdev->irq_lock);
		if (seen || count)
			seq_printf(m, "%u: %llu %u\n", n, seen, count);
	}
	return 0;
}

static int vmsi_open(struct inode *inode, struct file *filp)
{
	return single_open(filp, vmsi_show, inode->i_private);
}

/* Whatever is written. Signals that wait for their taker stay: programs wait for them. */
static ssize_t vmsi_write(struct file *filp, const char __user *buf, size_t len, loff_t *pos)
{
	struct metis_dev *mdev = ((struct seq_file *)filp->private_data)->private;

	spin_lock_irq(&mdev->irq_lock);
	for (unsigned int n = 0; n < ARRAY_SIZE(mdev->number); n++)
		mdev->number[n].seen = 0;
	spin_unlock_irq(&mdev->irq_lock);
	return len;
}

static const struct file_operations vmsi_fops = {
	.owner = THIS_MODULE,
	.open = vmsi_open,
	.read = seq_read,
	.write = vmsi_write,
	.llseek = seq_lseek,
	.release = single_release,
};

static void add_lists(struct metis_dev *mdev)
{
	char name[24];

	for (unsigned int to_card = 0; to_card < 2; to_card++) {
		for (unsigned int n = 0; n < METIS_EDMA_CHANNELS; n++) {
			struct metis_chan *ch = &mdev->chan[to_card][n];

			snprintf(name, sizeof(name), "dma-%s-ch%u-ll", channel_side(ch), n);
			debugfs_create_file(name, 0400, mdev->debugfs, ch, &list_fops);
		}
	}
}

/* Nothing of debugfs may fail: what couldn't be made is missing. */
void metis_debugfs_add(struct metis_dev *mdev)
{
	char name[32];

	snprintf(name, sizeof(name), "metis-%s", pci_name(mdev->pdev));
	mdev->debugfs = debugfs_create_dir(name, root);
	debugfs_create_file("info", 0400, mdev->debugfs, mdev, &info_fops);
	debugfs_create_file("dma-regs", 0400, mdev->debugfs, mdev, &dma_regs_fops);
	debugfs_create_file("dma-ch-regs", 0400, mdev->debugfs, mdev, &dma_ch_regs_fops);
	add_lists(mdev);
	debugfs_create_file("dma-statistics", 0644, mdev->debugfs, mdev, &dma_statistics_fops);
	debugfs_create_file("vmsi", 0644, mdev->debugfs, mdev, &vmsi_fops);
}

void metis_debugfs_del(struct metis_dev *mdev)
{
	debugfs_remove_recursive(mdev->debugfs);
	mdev->debugfs = NULL;
}

void metis_debugfs_init(void)
{
	root = debugfs_create_dir(METIS_CLASS, NULL);
	debugfs_create_file("version", 0444, root, NULL, &version_fops);
}

void metis_debugfs_exit(void)
{
	debugfs_remove_recursive(root);
	root = NULL;
}
