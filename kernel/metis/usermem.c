// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory that transfers move from and to: a program's own, and dma-bufs.
 */
#include <linux/dma-buf.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/overflow.h>
#include <linux/slab.h>

#include "kcompat.h"
#include "metis.h"

/* Not MODULE_IMPORT_NS(), see kcompat.h. */
MODULE_INFO(import_ns, "DMA_BUF");

/* --- memory of a program --- */

static int metis_pin_pages(unsigned long user, unsigned int pages_nr, struct metis_pinned *pin)
{
	/*
	 * Not FOLL_LONGTERM: transfers are bounded in time, and it would refuse files and move
	 * pages away from where they are. FOLL_WRITE is for memory that the card fills; what it
	 * reads may be read-only.
	 */
	unsigned int gup = pin->dir == DMA_FROM_DEVICE ? FOLL_WRITE : 0;

	while (pin->pages_nr < pages_nr) {
		int got = pin_user_pages_fast(user + ((unsigned long)pin->pages_nr << PAGE_SHIFT),
					      pages_nr - pin->pages_nr, gup,
					      pin->pages + pin->pages_nr);

		if (got <= 0)
			return got ? got : -EFAULT;
		pin->pages_nr += got;
	}
	return 0;
}

/* One element for each physically contiguous run, as long as the device can take it. */
static int metis_pin_table(struct metis_dev *mdev, unsigned long offset, unsigned long len,
			   struct metis_pinned *pin)
{
	struct device *dev = &mdev->pdev->dev;
	size_t most = min_t(size_t, dma_get_max_seg_size(dev), dma_max_mapping_size(dev));
	unsigned int segment = min_t(size_t, most, UINT_MAX);

	return sg_alloc_table_from_pages_segment(&pin->sgt, pin->pages, pin->pages_nr, offset, len,
						 segment, GFP_KERNEL);
}

int metis_pin(struct metis_dev *mdev, u64 user, u64 len, bool to_card, struct metis_pinned *ret_pin)
{
	struct metis_pinned pin = {.dir = to_card ? DMA_TO_DEVICE : DMA_FROM_DEVICE};
	unsigned int pages_nr;
	u64 end;
	int err;

	if (!len || len > METIS_PIN_BYTES)
		return -EINVAL;
	if (check_add_overflow(user, len, &end) || end > ULONG_MAX)
		return -EFAULT;

	pages_nr = ((end - 1) >> PAGE_SHIFT) - (user >> PAGE_SHIFT) + 1;
	pin.pages = kvmalloc_array(pages_nr, sizeof(*pin.pages), GFP_KERNEL);
	if (!pin.pages)
		return -ENOMEM;
	err = metis_pin_pages(user & PAGE_MASK, pages_nr, &pin);
	if (err)
		goto err_pages;
	err = metis_pin_table(mdev, offset_in_page(user), len, &pin);
	if (err)
		goto err_pages;
	*ret_pin = pin;
	return 0;

err_pages:
	unpin_user_pages(pin.pages, pin.pages_nr);
	kvfree(pin.pages);
	return err;
}

void metis_unpin(struct metis_pinned *pin)
{
	if (!pin->pages)
		return;
	WARN_ON_ONCE(pin->mapped);
	sg_free_table(&pin->sgt);
	unpin_user_pages_dirty_lock(pin->pages, pin->pages_nr,
				    pin->written && pin->dir == DMA_FROM_DEVICE);
	kvfree(pin->pages);
	memset(pin, 0, sizeof(*pin));
}

int metis_pin_map(struct metis_dev *mdev, struct metis_pinned *pin)
{
	int err = dma_map_sgtable(&mdev->pdev->dev, &pin->sgt, pin->dir, 0);

	pin->mapped = !err;
	/* Also a transfer that fails may have written. */
	pin->written |= pin->mapped;
	return err;
}

void metis_pin_unmap(struct metis_dev *mdev, struct metis_pinned *pin)
{
	if (pin->mapped)
		dma_unmap_sgtable(&mdev->pdev->dev, &pin->sgt, pin->dir, 0);
	pin->mapped = false;
}

/* --- dma-bufs --- */

static bool metis_dmabuf_needs_sync(struct metis_dmabuf *dmabuf)
{
	struct scatterlist *sg;
	unsigned int i;

	for_each_sgtable_dma_sg(dmabuf->sgt, sg, i) {
		if (dma_need_sync(&dmabuf->mdev->pdev->dev, sg_dma_address(sg)))
			return true;
	}
	return false;
}

static int metis_dmabuf_map(struct metis_dmabuf *dmabuf, int fd)
{
	int err;

	dmabuf->buf = dma_buf_get(fd);
	if (IS_ERR(dmabuf->buf))
		return PTR_ERR(dmabuf->buf);
	dmabuf->attachment = dma_buf_attach(dmabuf->buf, &dmabuf->mdev->pdev->dev);
	if (IS_ERR(dmabuf->attachment)) {
		err = PTR_ERR(dmabuf->attachment);
		goto err_buf;
	}
	/* Which way transfers go isn't known before they come. */
	dmabuf->sgt = metis_dma_buf_map(dmabuf->attachment, DMA_BIDIRECTIONAL);
	if (IS_ERR(dmabuf->sgt)) {
		err = PTR_ERR(dmabuf->sgt);
		goto err_attachment;
	}
	dmabuf->needs_sync = metis_dmabuf_needs_sync(dmabuf);
	return 0;

err_attachment:
	dma_buf_detach(dmabuf->buf, dmabuf->attachment);
err_buf:
	dma_buf_put(dmabuf->buf);
	return err;
}

int metis_dmabuf_attach(struct metis_dev *mdev, int fd, struct metis_dmabuf **ret_dmabuf)
{
	struct metis_dmabuf *dmabuf = kzalloc(sizeof(*dmabuf), GFP_KERNEL);
	int err;

	if (!dmabuf)
		return -ENOMEM;
	kref_init(&dmabuf->ref);
	dmabuf->mdev = metis_dev_get(mdev);
	err = metis_dmabuf_map(dmabuf, fd);
	if (err) {
		metis_dev_put(mdev);
		kfree(dmabuf);
		return err;
	}
	*ret_dmabuf = dmabuf;
	return 0;
}

static void metis_dmabuf_release(struct kref *ref)
{
	struct metis_dmabuf *dmabuf = container_of(ref, struct metis_dmabuf, ref);

	metis_dma_buf_unmap(dmabuf->attachment, dmabuf->sgt, DMA_BIDIRECTIONAL);
	dma_buf_detach(dmabuf->buf, dmabuf->attachment);
	dma_buf_put(dmabuf->buf);
	metis_dev_put(dmabuf->mdev);
	kfree(dmabuf);
}

void metis_dmabuf_put(struct metis_dmabuf *dmabuf)
{
	if (dmabuf)
		kref_put(&dmabuf->ref, metis_dmabuf_release);
}

/*
 * By the rules of dma-buf it's the program that says when it touches the memory
 * (DMA_BUF_IOCTL_SYNC), and no importer may sync the table: it's the exporter's, who may not even
 * have pages behind it. But programs for the vendor's driver rely on the driver here. The only way
 * open to an importer is to have the exporter do it: an access of the CPU's that begins and ends
 * moves the data over, in the direction it's told. Where the card sees what the CPU sees (x86
 * without bounce buffers) there is nothing to move, and it isn't called: it costs a walk over the
 * whole buffer, and waits for other devices' fences.
 */
int metis_dmabuf_sync(struct metis_dmabuf *dmabuf, enum dma_data_direction dir)
{
	int err;

	if (!dmabuf->needs_sync)
		return 0;
	err = dma_buf_begin_cpu_access(dmabuf->buf, dir);
	if (err)
		return err;
	return dma_buf_end_cpu_access(dmabuf->buf, dir);
}
