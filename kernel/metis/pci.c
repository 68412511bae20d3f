// SPDX-License-Identifier: GPL-2.0-only
/*
 * The PCI side: binding, what powers and resets do to the card, letting go of it.
 */
#include <linux/module.h>
#include <linux/slab.h>

#include "metis.h"

struct metis_params metis_params = {
	.dma_timeout = 2,
	.irq_timeout = 1,
	.healing = METIS_HEAL_ON,
	.check_done = true,
	.clean_remove = true,
};

module_param_named(dma_poll, metis_params.dma_poll, bool, 0644);
MODULE_PARM_DESC(dma_poll, "poll for the end of DMA, never ask for an interrupt (default: no)");
module_param_named(dma_timeout, metis_params.dma_timeout, uint, 0644);
MODULE_PARM_DESC(dma_timeout, "seconds without progress after which DMA is given up (default: 2)");
module_param_named(irq_timeout, metis_params.irq_timeout, uint, 0644);
MODULE_PARM_DESC(irq_timeout, "seconds to wait for a DMA interrupt (default: 1)");
module_param_named(single_msi, metis_params.single_msi, bool, 0444);
MODULE_PARM_DESC(single_msi, "use one interrupt vector, whatever the machine offers (default: no)");
module_param_named(healing, metis_params.healing, uint, 0644);
MODULE_PARM_DESC(healing,
		 "lost DMA interrupts: 2 look early and poll (default), 1 look late, 0 give up");
module_param_named(check_done, metis_params.check_done, bool, 0644);
MODULE_PARM_DESC(check_done,
		 "with one vector, look which DMA is done (default: yes; no as 1.4.16)");
module_param_named(clean_remove, metis_params.clean_remove, bool, 0644);
MODULE_PARM_DESC(clean_remove, "leave no addresses in the card (default: yes; no as the vendor's)");
module_param_named(user_registers, metis_params.user_registers, bool, 0644);
MODULE_PARM_DESC(user_registers,
		 "registers and peer-to-peer DMA for all who may open (default: no)");

/* --- lifetime --- */

static void free_device(struct kref *ref)
{
	struct metis_dev *mdev = container_of(ref, struct metis_dev, ref);

	cleanup_srcu_struct(&mdev->gate);
	pci_dev_put(mdev->pdev);
	kvfree(mdev);
}

void metis_dev_put(struct metis_dev *mdev)
{
	kref_put(&mdev->ref, free_device);
}

static struct metis_dev *alloc_device(struct pci_dev *pdev)
{
	struct metis_dev *mdev = kvzalloc(sizeof(*mdev), GFP_KERNEL);
	unsigned int i;

	if (!mdev)
		return NULL;
	if (init_srcu_struct(&mdev->gate)) {
		kvfree(mdev);
		return NULL;
	}
	kref_init(&mdev->ref);
	mdev->pdev = pci_dev_get(pdev);
	atomic_set(&mdev->state, METIS_STARTING);
	mutex_init(&mdev->power);
	spin_lock_init(&mdev->irq_lock);
	spin_lock_init(&mdev->stats_lock);
	mutex_init(&mdev->files_lock);
	INIT_LIST_HEAD(&mdev->files);
	mutex_init(&mdev->cores_lock);
	init_waitqueue_head(&mdev->msg_wait);
	for (i = 0; i < METIS_VMSI_WORDS; i++) {
		init_waitqueue_head(&mdev->number[i].wait);
		INIT_LIST_HEAD(&mdev->number[i].files);
	}
	return mdev;
}

/* --- up and down --- */

/* power is held. Nobody is inside the gate afterwards, and no program sees the BARs. */
static void shut(struct metis_dev *mdev, enum metis_state state)
{
	atomic_set_release(&mdev->state, state);
	metis_wake_all(mdev);
	synchronize_srcu(&mdev->gate);
	metis_chardev_zap(mdev);
}

/* power is held. All that the card forgets, and what firmware may have changed. */
static void set_up(struct metis_dev *mdev)
{
	pci_set_master(mdev->pdev);
	metis_fw_read(mdev);
	metis_host_tell(mdev);
	metis_edma_forget(mdev);
	metis_irq_tell(mdev);
	metis_edma_start(mdev);
}

static bool is_there(const struct metis_dev *mdev)
{
	return readl(mdev->edma + METIS_EDMA_CTRL) != U32_MAX;
}

static void go_down(struct metis_dev *mdev)
{
	mutex_lock(&mdev->power);
	if (metis_state(mdev) != METIS_GONE) {
		shut(mdev, METIS_DOWN);
		metis_edma_stop(mdev);
	}
	mutex_unlock(&mdev->power);
}

static int come_up(struct metis_dev *mdev)
{
	int err = -ENODEV;

	mutex_lock(&mdev->power);
	if (metis_state(mdev) == METIS_DOWN && is_there(mdev)) {
		set_up(mdev);
		atomic_set_release(&mdev->state, METIS_UP);
		err = 0;
	}
	mutex_unlock(&mdev->power);
	return err;
}

void metis_quarantine(struct metis_dev *mdev, const char *why)
{
	pci_clear_master(mdev->pdev);
	if (atomic_cmpxchg(&mdev->state, METIS_UP, METIS_DOWN) != METIS_UP)
		return;
	metis_wake_all(mdev);
	metis_err(mdev, "%s: no DMA until a reset: echo 1 >/sys/bus/pci/devices/%s/reset\n", why,
		  pci_name(mdev->pdev));
}

static void lock_channels(struct metis_dev *mdev)
{
	unsigned int i;

	for (i = 0; i < METIS_CHANNELS; i++)
		mutex_lock_nested(&metis_channel(mdev, i)->busy, i);
}

static void unlock_channels(struct metis_dev *mdev)
{
	unsigned int i;

	for (i = 0; i < METIS_CHANNELS; i++)
		mutex_unlock(&metis_channel(mdev, i)->busy);
}

/* Inside the gate, so without power. */
void metis_fw_reload(struct metis_dev *mdev)
{
	lock_channels(mdev);
	metis_fw_read(mdev);
	metis_host_tell(mdev);
	metis_irq_tell(mdev);
	unlock_channels(mdev);
}

int metis_restore(struct metis_dev *mdev)
{
	go_down(mdev);
	pci_restore_state(mdev->pdev);
	/* Restoring used it up. */
	pci_save_state(mdev->pdev);
	return come_up(mdev);
}

/* --- binding --- */

static void release_regions(void *pdev)
{
	pci_release_selected_regions(pdev, BIT(METIS_BAR_EDMA) | BIT(METIS_BAR_L2));
}

static int map_bar(struct metis_dev *mdev, unsigned int bar, u64 bytes, void __iomem **ret_at)
{
	struct pci_dev *pdev = mdev->pdev;

	if (!(pci_resource_flags(pdev, bar) & IORESOURCE_MEM) ||
	    pci_resource_len(pdev, bar) < bytes) {
		metis_err(mdev, "BAR%u is no memory of at least 0x%llx bytes\n", bar, bytes);
		return -ENODEV;
	}
	*ret_at = devm_ioremap(&pdev->dev, pci_resource_start(pdev, bar),
			       pci_resource_len(pdev, bar));
	return *ret_at ? 0 : -ENOMEM;
}

static int map_bars(struct metis_dev *mdev)
{
	struct pci_dev *pdev = mdev->pdev;
	int err;

	err = pci_request_selected_regions(pdev, BIT(METIS_BAR_EDMA) | BIT(METIS_BAR_L2),
					   METIS_NAME);
	if (!err)
		err = devm_add_action_or_reset(&pdev->dev, release_regions, pdev);
	if (!err)
		err = map_bar(mdev, METIS_BAR_EDMA, METIS_EDMA_END, &mdev->edma);
	if (!err)
		err = map_bar(mdev, METIS_BAR_L2, METIS_BAR_L2_BYTES, &mdev->l2);
	mdev->l2_bytes = pci_resource_len(pdev, METIS_BAR_L2);
	return err;
}

static int enable(struct metis_dev *mdev)
{
	struct pci_dev *pdev = mdev->pdev;
	int err;

	err = pcim_enable_device(pdev);
	if (!err)
		err = dma_set_mask_and_coherent(&pdev->dev, DMA_BIT_MASK(64));
	if (err)
		return err;
	/* A piece may be as long as an element can say. */
	dma_set_max_seg_size(&pdev->dev, SZ_1G);
	return map_bars(mdev);
}

/* All but the node. Errors unwind in remove's order, so it can be told how far it came. */
static int start(struct metis_dev *mdev)
{
	int err;

	mdev->jobs = alloc_workqueue("%s", WQ_UNBOUND | WQ_HIGHPRI, 0, METIS_NAME);
	if (!mdev->jobs)
		return -ENOMEM;
	err = metis_edma_init(mdev);
	if (err)
		goto free_jobs;
	metis_fw_read(mdev);
	if (metis_host_alloc(mdev))
		metis_warn(mdev, "no buffer for virtual MSIs: going on without\n");
	err = metis_irq_init(mdev);
	if (err)
		goto free_host;
	set_up(mdev);
	pci_save_state(mdev->pdev);
	return 0;

free_host:
	metis_host_free(mdev);
free_jobs:
	destroy_workqueue(mdev->jobs);
	return err;
}

/* Nothing of ours is left in the card, unless it is to be as the vendor's driver leaves it. */
static void stop(struct metis_dev *mdev)
{
	metis_host_untell(mdev);
	if (metis_params.clean_remove) {
		metis_edma_stop(mdev);
		metis_edma_clear(mdev);
		metis_irq_untell(mdev);
	}
	pci_clear_master(mdev->pdev);
	destroy_workqueue(mdev->jobs);
	metis_irq_deinit(mdev);
	metis_host_free(mdev);
}

static int probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct metis_dev *mdev = alloc_device(pdev);
	char version[64];
	int err;

	if (!mdev)
		return -ENOMEM;
	pci_set_drvdata(pdev, mdev);
	err = enable(mdev);
	if (!err)
		err = start(mdev);
	if (err)
		goto put;
	atomic_set_release(&mdev->state, METIS_UP);
	err = metis_chardev_add(mdev);
	if (err)
		goto stop;
	metis_debugfs_add(mdev);
	metis_fw_version(mdev, version, sizeof(version));
	metis_info(mdev, "%s: firmware %s, %d MSI vector%s%s\n", mdev->name,
		   *version ? version : "not running", mdev->vectors, mdev->vectors == 1 ? "" : "s",
		   mdev->fw.dma_vm ? ", DMA interrupts by the firmware" : "");
	return 0;

stop:
	mutex_lock(&mdev->power);
	shut(mdev, METIS_GONE);
	mutex_unlock(&mdev->power);
	metis_requests_abandon(mdev);
	stop(mdev);
put:
	pci_set_drvdata(pdev, NULL);
	metis_dev_put(mdev);
	return err;
}

static void remove(struct pci_dev *pdev)
{
	struct metis_dev *mdev = pci_get_drvdata(pdev);

	metis_debugfs_del(mdev);
	metis_chardev_del(mdev);
	mutex_lock(&mdev->power);
	shut(mdev, METIS_GONE);
	mutex_unlock(&mdev->power);
	metis_requests_abandon(mdev);
	stop(mdev);
	metis_dev_put(mdev);
}

static void shutdown(struct pci_dev *pdev)
{
	go_down(pci_get_drvdata(pdev));
	pci_clear_master(pdev);
}

/* --- errors, resets, power --- */

static pci_ers_result_t error_detected(struct pci_dev *pdev, pci_channel_state_t state)
{
	struct metis_dev *mdev = pci_get_drvdata(pdev);

	go_down(mdev);
	return state == pci_channel_io_perm_failure ? PCI_ERS_RESULT_DISCONNECT
						    : PCI_ERS_RESULT_NEED_RESET;
}

static pci_ers_result_t slot_reset(struct pci_dev *pdev)
{
	pci_restore_state(pdev);
	pci_save_state(pdev);
	return is_there(pci_get_drvdata(pdev)) ? PCI_ERS_RESULT_RECOVERED
					       : PCI_ERS_RESULT_DISCONNECT;
}

static void error_resume(struct pci_dev *pdev)
{
	come_up(pci_get_drvdata(pdev));
}

static void reset_prepare(struct pci_dev *pdev)
{
	go_down(pci_get_drvdata(pdev));
}

static void reset_done(struct pci_dev *pdev)
{
	struct metis_dev *mdev = pci_get_drvdata(pdev);

	if (come_up(mdev))
		metis_err(mdev, "no card after the reset\n");
}

static const struct pci_error_handlers error_handlers = {
	.error_detected = error_detected,
	.slot_reset = slot_reset,
	.resume = error_resume,
	.reset_prepare = reset_prepare,
	.reset_done = reset_done,
};

static int suspend(struct device *dev)
{
	go_down(dev_get_drvdata(dev));
	return 0;
}

static int resume(struct device *dev)
{
	return come_up(dev_get_drvdata(dev));
}

static DEFINE_SIMPLE_DEV_PM_OPS(pm_ops, suspend, resume);

static const struct pci_device_id ids[] = {
	{PCI_DEVICE(METIS_PCI_VENDOR, METIS_PCI_DEVICE_OMEGA)},
	{PCI_DEVICE(METIS_PCI_VENDOR, METIS_PCI_DEVICE_ALPHA)},
	{PCI_DEVICE(METIS_PCI_VENDOR_MODEL, METIS_PCI_DEVICE_MODEL_1)},
	{PCI_DEVICE(METIS_PCI_VENDOR_MODEL, METIS_PCI_DEVICE_MODEL_2)},
	{}};
MODULE_DEVICE_TABLE(pci, ids);

static struct pci_driver driver = {
	.name = METIS_NAME,
	.id_table = ids,
	.probe = probe,
	.remove = remove,
	.shutdown = shutdown,
	.err_handler = &error_handlers,
	.dev_groups = metis_groups,
	.driver.pm = pm_sleep_ptr(&pm_ops),
};

static int __init init(void)
{
	int err = metis_chardev_init();

	if (err)
		return err;
	metis_debugfs_init();
	err = pci_register_driver(&driver);
	if (!err)
		return 0;
	metis_debugfs_exit();
	metis_chardev_exit();
	return err;
}
module_init(init);

static void __exit leave(void)
{
	pci_unregister_driver(&driver);
	metis_debugfs_exit();
	metis_chardev_exit();
}
module_exit(leave);

MODULE_DESCRIPTION("Metis AI accelerator: /dev/metis-*, also where interrupts get lost");
MODULE_AUTHOR("The Tethys authors");
MODULE_LICENSE("GPL");
