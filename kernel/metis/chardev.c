// SPDX-License-Identifier: GPL-2.0-only
/*
 * The node /dev/metis-D:B:S: open, close, mmap, poll, read.
 *
 * An open file outlives the device: it holds references of struct metis_dev and of the cdev, and
 * finds the gate closed. Nothing here waits inside the gate for a program's memory, which its owner
 * may keep away for as long as he likes.
 *
 * Lock order: mmap_lock, then nothing of ours (mmap and faults take no mutex); files_lock, then the
 * page cache's i_mmap_rwsem.
 */
#include <linux/cdev.h>
#include <linux/device.h>
#include <linux/fs.h>
#include <linux/idr.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/poll.h>
#include <linux/slab.h>

#include "kcompat.h"
#include "metis.h"

#define METIS_MINORS 256
/* The vendor's PCI driver, whose class has the name that is ours too. */
#define METIS_VENDOR_DRIVER "axl"

static dev_t metis_first;
/* Which device has which minor. */
static DEFINE_IDR(metis_minors);
static DEFINE_MUTEX(metis_minors_lock);

static struct class metis_class = {
	.name = METIS_CLASS,
	.class_groups = metis_class_groups,
};

struct metis_dev *metis_dev_find(int minor)
{
	struct metis_dev *mdev;

	mutex_lock(&metis_minors_lock);
	mdev = idr_find(&metis_minors, minor);
	if (mdev)
		metis_dev_get(mdev);
	mutex_unlock(&metis_minors_lock);
	return mdev;
}

/* --- open and close --- */

static void metis_file_free(struct kref *ref)
{
	struct metis_file *file = container_of(ref, struct metis_file, ref);

	if (file->dummy)
		__free_page(file->dummy);
	mutex_destroy(&file->attach_lock);
	kfree(file->requests);
	metis_dev_put(file->mdev);
	kfree(file);
}

void metis_file_put(struct metis_file *file)
{
	kref_put(&file->ref, metis_file_free);
}

/* Inside the gate: no file comes after the gate was shut for good. */
static int metis_file_create(struct metis_dev *mdev, struct file *filp)
{
	struct metis_file *file = kzalloc(sizeof(*file), GFP_KERNEL_ACCOUNT);
	int err;

	if (!file)
		return -ENOMEM;
	kref_init(&file->ref);
	file->mdev = metis_dev_get(mdev);
	file->mapping = filp->f_mapping;
	init_waitqueue_head(&file->wait);
	INIT_LIST_HEAD(&file->attached);
	mutex_init(&file->attach_lock);
	err = metis_requests_init(file);
	if (err) {
		metis_file_put(file);
		return err;
	}
	mutex_lock(&mdev->files_lock);
	list_add_tail(&file->of_device, &mdev->files);
	mutex_unlock(&mdev->files_lock);
	filp->private_data = file;
	return nonseekable_open(file_inode(filp), filp);
}

static int metis_open(struct inode *inode, struct file *filp)
{
	struct metis_dev *mdev = metis_dev_find(iminor(inode));
	int idx, err;

	if (!mdev)
		return -ENODEV;
	err = metis_enter(mdev, &idx);
	if (!err) {
		err = metis_file_create(mdev, filp);
		metis_leave(mdev, idx);
	}
	metis_dev_put(mdev);
	return err;
}

static int metis_release(struct inode *inode, struct file *filp)
{
	struct metis_file *file = filp->private_data;
	struct metis_dev *mdev = file->mdev;

	metis_fwtrace_release(file);
	metis_requests_deinit(file);
	/* Not before: who abandons requests waits only for files of the list. */
	mutex_lock(&mdev->files_lock);
	list_del(&file->of_device);
	mutex_unlock(&mdev->files_lock);
	metis_file_put(file);
	return 0;
}

/* --- poll and read --- */

void metis_file_event(struct metis_file *file)
{
	/* Nobody may ever take them. */
	atomic_add_unless(&file->events, 1, INT_MAX);
	wake_up_all(&file->wait);
}

static __poll_t metis_poll(struct file *filp, poll_table *table)
{
	struct metis_file *file = filp->private_data;

	poll_wait(filp, &file->wait, table);
	if (metis_state(file->mdev) != METIS_UP)
		return EPOLLHUP | EPOLLERR;
	if (READ_ONCE(file->reader))
		return metis_fwtrace_poll(file);
	return atomic_read(&file->events) > 0 ? EPOLLIN : 0;
}

/* Goes through the gate by itself, where it needs to. */
static ssize_t metis_read(struct file *filp, char __user *buf, size_t len, loff_t *pos)
{
	struct metis_file *file = filp->private_data;

	if (!READ_ONCE(file->reader))
		return -EINVAL;
	if (metis_state(file->mdev) != METIS_UP)
		return -ENODEV;
	return metis_fwtrace_read(file, buf, len, filp->f_flags & O_NONBLOCK);
}

/* --- mmap --- */

static bool metis_page_holds_lists(const struct metis_dev *mdev, unsigned long page)
{
	u64 first = READ_ONCE(mdev->fw.lists_offset);

	return page >= first >> PAGE_SHIFT &&
	       page <= (first + METIS_EDMA_LISTS_BYTES - 1) >> PAGE_SHIFT;
}

/*
 * A page of the BAR into the caller's page table. Inside the gate: who shuts it takes all mappings
 * away afterwards, so none is left over.
 */
static vm_fault_t metis_insert(struct vm_fault *vmf, unsigned int bar, unsigned long page)
{
	struct metis_file *file = vmf->vma->vm_file->private_data;
	struct pci_dev *pdev = file->mdev->pdev;

	if (page >= pci_resource_len(pdev, bar) >> PAGE_SHIFT)
		return VM_FAULT_SIGBUS;
	return vmf_insert_pfn(vmf->vma, vmf->address,
			      (pci_resource_start(pdev, bar) >> PAGE_SHIFT) + page);
}

static vm_fault_t metis_insert_l2(struct vm_fault *vmf, unsigned long page)
{
	struct vm_area_struct *vma = vmf->vma;
	struct metis_file *file = vma->vm_file->private_data;
	struct page *dummy = vma->vm_private_data;
	vm_fault_t ret;

	if (!dummy)
		return metis_insert(vmf, METIS_BAR_L2, page);
	/* Cached as all memory is: two views that differ would let old contents through. */
	if (metis_page_holds_lists(file->mdev, page))
		return vmf_insert_pfn_prot(vma, vmf->address, page_to_pfn(dummy),
					   vm_get_page_prot(vma->vm_flags));
	ret = metis_insert(vmf, METIS_BAR_L2, page);
	/* The lists may have moved here meanwhile, and the old mappings been taken away before. */
	smp_mb();
	if (metis_page_holds_lists(file->mdev, page))
		unmap_mapping_range(file->mapping, (loff_t)vmf->pgoff << PAGE_SHIFT, PAGE_SIZE, 1);
	return ret;
}

static vm_fault_t metis_fault_l2(struct vm_fault *vmf)
{
	struct metis_file *file = vmf->vma->vm_file->private_data;
	vm_fault_t ret;
	int idx;

	if (metis_enter(file->mdev, &idx))
		return VM_FAULT_SIGBUS;
	ret = metis_insert_l2(vmf, vmf->pgoff - METIS_MMAP_L2);
	metis_leave(file->mdev, idx);
	return ret;
}

static vm_fault_t metis_fault_edma(struct vm_fault *vmf)
{
	struct metis_file *file = vmf->vma->vm_file->private_data;
	vm_fault_t ret;
	int idx;

	if (metis_enter(file->mdev, &idx))
		return VM_FAULT_SIGBUS;
	ret = metis_insert(vmf, METIS_BAR_EDMA, vmf->pgoff - METIS_MMAP_EDMA);
	metis_leave(file->mdev, idx);
	return ret;
}

static const struct vm_operations_struct metis_vm_l2 = {.fault = metis_fault_l2};
static const struct vm_operations_struct metis_vm_edma = {.fault = metis_fault_edma};

/* Who may aim DMA at any memory of the machine, which is what registers and lists are for. */
static bool metis_may_aim_dma(void)
{
	return READ_ONCE(metis_params.user_registers) || capable(CAP_SYS_RAWIO);
}

/* The page seen in place of the lists; lives as long as the file, so longer than all mappings. */
static struct page *metis_file_dummy(struct metis_file *file)
{
	struct page *page = READ_ONCE(file->dummy), *other;

	if (page)
		return page;
	page = alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	if (!page)
		return NULL;
	other = cmpxchg(&file->dummy, NULL, page);
	if (!other)
		return page;
	__free_page(page);
	return other;
}

static int metis_mmap_bar(struct vm_area_struct *vma, struct pci_dev *pdev, unsigned int bar)
{
	unsigned long clear = VM_EXEC | VM_MAYEXEC;

	/* The second is for pages larger than the BAR: what follows it is somebody else's. */
	if (vma->vm_end - vma->vm_start > pci_resource_len(pdev, bar) ||
	    !PAGE_ALIGNED(pci_resource_start(pdev, bar)))
		return -EINVAL;
	/* There are no private copies of a device, but reading one's private mapping is fine. */
	if (!(vma->vm_flags & VM_SHARED)) {
		if (vma->vm_flags & VM_WRITE)
			return -EINVAL;
		clear |= VM_MAYWRITE;
	}
	metis_vm_flags(vma, VM_PFNMAP | VM_IO | VM_DONTEXPAND | VM_DONTDUMP, clear);
	vma->vm_page_prot = pgprot_decrypted(pgprot_noncached(vm_get_page_prot(vma->vm_flags)));
	return 0;
}

static int metis_mmap_l2(struct metis_file *file, struct vm_area_struct *vma)
{
	int err = metis_mmap_bar(vma, file->mdev->pdev, METIS_BAR_L2);

	if (err)
		return err;
	if (!metis_may_aim_dma()) {
		vma->vm_private_data = metis_file_dummy(file);
		if (!vma->vm_private_data)
			return -ENOMEM;
	}
	vma->vm_ops = &metis_vm_l2;
	return 0;
}

static int metis_mmap_edma(struct metis_file *file, struct vm_area_struct *vma)
{
	int err;

	if (!metis_may_aim_dma())
		return -EPERM;
	err = metis_mmap_bar(vma, file->mdev->pdev, METIS_BAR_EDMA);
	if (!err)
		vma->vm_ops = &metis_vm_edma;
	return err;
}

static int metis_mmap(struct file *filp, struct vm_area_struct *vma)
{
	struct metis_file *file = filp->private_data;
	int idx, err;

	err = metis_enter(file->mdev, &idx);
	if (err)
		return err;
	if (vma->vm_pgoff == METIS_MMAP_L2)
		err = metis_mmap_l2(file, vma);
	else if (vma->vm_pgoff == METIS_MMAP_EDMA)
		err = metis_mmap_edma(file, vma);
	else
		err = -EINVAL;
	metis_leave(file->mdev, idx);
	return err;
}

void metis_chardev_zap(struct metis_dev *mdev)
{
	struct metis_file *file;

	mutex_lock(&mdev->files_lock);
	list_for_each_entry(file, &mdev->files, of_device)
		unmap_mapping_range(file->mapping, 0, 0, 1);
	mutex_unlock(&mdev->files_lock);
}

/* --- the node --- */

static const struct file_operations metis_fops = {
	.owner = THIS_MODULE,
	.open = metis_open,
	.release = metis_release,
	.read = metis_read,
	.poll = metis_poll,
	.mmap = metis_mmap,
	.unlocked_ioctl = metis_ioctl,
#ifdef CONFIG_COMPAT
	.compat_ioctl = metis_compat_ioctl,
#endif
};

static int metis_minor_take(struct metis_dev *mdev)
{
	int minor;

	mutex_lock(&metis_minors_lock);
	minor = idr_alloc(&metis_minors, mdev, 0, METIS_MINORS, GFP_KERNEL);
	mutex_unlock(&metis_minors_lock);
	return minor;
}

static void metis_minor_give(int minor)
{
	mutex_lock(&metis_minors_lock);
	idr_remove(&metis_minors, minor);
	mutex_unlock(&metis_minors_lock);
}

/* Allocated by itself, so that it can stay until the last file is closed. */
static int metis_cdev_add(struct metis_dev *mdev, dev_t devt)
{
	struct cdev *cdev = cdev_alloc();
	int err;

	if (!cdev)
		return -ENOMEM;
	cdev->owner = THIS_MODULE;
	cdev->ops = &metis_fops;
	err = cdev_add(cdev, devt, 1);
	if (err)
		kobject_put(&cdev->kobj);
	else
		mdev->cdev = cdev;
	return err;
}

int metis_chardev_add(struct metis_dev *mdev)
{
	struct pci_dev *pdev = mdev->pdev;
	struct device *node;
	dev_t devt;
	int err;

	snprintf(mdev->name, sizeof(mdev->name), "metis-%x:%x:%x", pci_domain_nr(pdev->bus),
		 pdev->bus->number, PCI_SLOT(pdev->devfn));
	err = metis_minor_take(mdev);
	if (err < 0)
		return err;
	mdev->minor = err;
	devt = MKDEV(MAJOR(metis_first), mdev->minor);
	err = metis_cdev_add(mdev, devt);
	if (err)
		goto err_minor;
	node = device_create(&metis_class, &pdev->dev, devt, mdev, "%s", mdev->name);
	if (IS_ERR(node)) {
		err = PTR_ERR(node);
		goto err_cdev;
	}
	mdev->node = node;
	return 0;

err_cdev:
	cdev_del(mdev->cdev);
	mdev->cdev = NULL;
err_minor:
	metis_minor_give(mdev->minor);
	return err;
}

void metis_chardev_del(struct metis_dev *mdev)
{
	if (!mdev->node)
		return;
	device_destroy(&metis_class, MKDEV(MAJOR(metis_first), mdev->minor));
	mdev->node = NULL;
	cdev_del(mdev->cdev);
	mdev->cdev = NULL;
	metis_minor_give(mdev->minor);
}

int metis_chardev_init(void)
{
	int err;

	/* Its class has our name: without this, the kernel would complain with a trace. */
	if (driver_find(METIS_VENDOR_DRIVER, &pci_bus_type)) {
		pr_err(METIS_NAME ": the vendor's driver is loaded: first rmmod metis\n");
		return -EBUSY;
	}
	err = alloc_chrdev_region(&metis_first, 0, METIS_MINORS, METIS_CLASS);
	if (err)
		return err;
	err = class_register(&metis_class);
	if (err)
		unregister_chrdev_region(metis_first, METIS_MINORS);
	return err;
}

void metis_chardev_exit(void)
{
	class_unregister(&metis_class);
	unregister_chrdev_region(metis_first, METIS_MINORS);
	idr_destroy(&metis_minors);
}
