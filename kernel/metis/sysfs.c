// SPDX-License-Identifier: GPL-2.0-only
/*
 * sysfs: attributes of the PCI device and of the class.
 *
 * The driver core adds them after probe and removes them, waiting for readers, before remove: the
 * device is whole in all of them. What reads the card goes through the gate.
 */
#include <linux/device/class.h>
#include <linux/kernel.h>
#include <linux/string.h>
#include <linux/sysfs.h>

#include "metis.h"

#define SYSFS_TEXT_BYTES 64 /* as the board's area has them */

typedef void (*metis_text_fn)(struct metis_dev *mdev, char *buf, size_t bytes);

/* The card's text, escaped: it must stay one line whatever the firmware wrote. */
static ssize_t emit_text(struct device *dev, char *buf, metis_text_fn text)
{
	struct metis_dev *mdev = dev_get_drvdata(dev);
	char raw[SYSFS_TEXT_BYTES + 1] = "";
	int idx, err;

	err = metis_enter(mdev, &idx);
	if (err)
		return err;
	text(mdev, raw, sizeof(raw));
	metis_leave(mdev, idx);
	return sysfs_emit(buf, "%*pE\n", (int)strnlen(raw, sizeof(raw)), raw);
}

static ssize_t firmware_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return emit_text(dev, buf, metis_fw_version);
}
static DEVICE_ATTR_RO(firmware);

static ssize_t board_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return emit_text(dev, buf, metis_board_name);
}
static DEVICE_ATTR_RO(board);

static ssize_t dma_vm_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct metis_dev *mdev = dev_get_drvdata(dev);

	return sysfs_emit(buf, "%d\n", mdev->fw.dma_vm);
}
static DEVICE_ATTR_RO(dma_vm);

static ssize_t vectors_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct metis_dev *mdev = dev_get_drvdata(dev);

	return sysfs_emit(buf, "%d\n", mdev->vectors);
}
static DEVICE_ATTR_RO(vectors);

/* 64-bit counters are torn on 32-bit machines unless read under their lock. */
static ssize_t emit_counter(struct device *dev, char *buf, const u64 *counter)
{
	struct metis_dev *mdev = dev_get_drvdata(dev);
	u64 value;

	spin_lock_irq(&mdev->stats_lock);
	value = *counter;
	spin_unlock_irq(&mdev->stats_lock);
	return sysfs_emit(buf, "%llu\n", value);
}

static ssize_t lost_interrupts_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct metis_dev *mdev = dev_get_drvdata(dev);

	return emit_counter(dev, buf, &mdev->lost_irqs);
}
static DEVICE_ATTR_RO(lost_interrupts);

static ssize_t timeouts_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct metis_dev *mdev = dev_get_drvdata(dev);

	return emit_counter(dev, buf, &mdev->timeouts);
}
static DEVICE_ATTR_RO(timeouts);

static ssize_t aborts_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct metis_dev *mdev = dev_get_drvdata(dev);

	return emit_counter(dev, buf, &mdev->aborts);
}
static DEVICE_ATTR_RO(aborts);

/* How the end of a transfer is noticed. */
static ssize_t mode_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct metis_dev *mdev = dev_get_drvdata(dev);

	if (metis_params.dma_poll)
		return sysfs_emit(buf, "polling\n");
	if (READ_ONCE(mdev->polling))
		return sysfs_emit(buf, "polling: interrupts got lost\n");
	return sysfs_emit(buf, "interrupts\n");
}
static DEVICE_ATTR_RO(mode);

static ssize_t state_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	static const char *const names[] = {
		[METIS_STARTING] = "starting",
		[METIS_UP] = "up",
		[METIS_DOWN] = "down",
		[METIS_GONE] = "gone",
	};
	struct metis_dev *mdev = dev_get_drvdata(dev);

	return sysfs_emit(buf, "%s\n", names[metis_state(mdev)]);
}
static DEVICE_ATTR_RO(state);

/* Does the port above tell when the link goes: then the card's return can be noticed. */
static bool link_is_reported(struct pci_dev *pdev)
{
	struct pci_dev *port = pci_upstream_bridge(pdev);
	u32 cap;

	return port && !pcie_capability_read_dword(port, PCI_EXP_LNKCAP, &cap) &&
	       cap & PCI_EXP_LNKCAP_DLLLARC;
}

static ssize_t axl_aipu_restore_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%d\n", link_is_reported(to_pci_dev(dev)));
}

/* ABI: any number. */
static ssize_t axl_aipu_restore_store(struct device *dev, struct device_attribute *attr,
				      const char *buf, size_t count)
{
	long number;
	int err;

	err = kstrtol(buf, 0, &number);
	if (!err)
		err = metis_restore(dev_get_drvdata(dev));
	return err ?: count;
}

/* ABI: the mode too. */
static struct device_attribute dev_attr_axl_aipu_restore =
	__ATTR(axl_aipu_restore, 0664, axl_aipu_restore_show, axl_aipu_restore_store);

static struct attribute *metis_attrs[] = {
	&dev_attr_firmware.attr,
	&dev_attr_board.attr,
	&dev_attr_dma_vm.attr,
	&dev_attr_vectors.attr,
	&dev_attr_lost_interrupts.attr,
	&dev_attr_timeouts.attr,
	&dev_attr_aborts.attr,
	&dev_attr_mode.attr,
	&dev_attr_state.attr,
	&dev_attr_axl_aipu_restore.attr,
	NULL,
};

static const struct attribute_group metis_group = {
	.attrs = metis_attrs,
};

const struct attribute_group *metis_groups[] = {
	&metis_group,
	NULL,
};

static CLASS_ATTR_STRING(version, 0444, TETHYS_VERSION);

static struct attribute *metis_class_attrs[] = {
	&class_attr_version.attr.attr,
	NULL,
};

static const struct attribute_group metis_class_group = {
	.attrs = metis_class_attrs,
};

const struct attribute_group *metis_class_groups[] = {
	&metis_class_group,
	NULL,
};
