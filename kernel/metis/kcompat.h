/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What differs between the kernels this module is built for (6.1 to 7.3), one wrapper each.
 *
 * Kbuild looks into the kernel's headers whether a function is there and defines METIS_HAS_*: what
 * a distribution has taken over early, or dropped, is seen too. Differences that can be written
 * around are not here: the class is static (class_create() lost an argument in 6.4), the name space
 * is imported by MODULE_INFO() (MODULE_IMPORT_NS() takes a string since 6.13).
 */
#ifndef TETHYS_KERNEL_KCOMPAT_H
#define TETHYS_KERNEL_KCOMPAT_H

#include <linux/dma-buf.h>
#include <linux/mm.h>

/* bc292ab00f6c ("mm: introduce vma->vm_flags wrapper functions"), 6.3 */
static inline void metis_vm_flags(struct vm_area_struct *vma, unsigned long set,
				  unsigned long clear)
{
#ifdef METIS_HAS_VM_FLAGS_SET
	vm_flags_set(vma, set);
	vm_flags_clear(vma, clear);
#else
	vma->vm_flags = (vma->vm_flags | set) & ~clear;
#endif
}

/*
 * 28743e25fa1c ("dma-buf: Add unlocked variant of attachment-mapping functions"), 6.2. Before it
 * importers that can't move called the plain functions without the lock of the reservation.
 */
static inline struct sg_table *metis_dma_buf_map(struct dma_buf_attachment *attachment,
						 enum dma_data_direction dir)
{
#ifdef METIS_HAS_DMA_BUF_UNLOCKED
	return dma_buf_map_attachment_unlocked(attachment, dir);
#else
	return dma_buf_map_attachment(attachment, dir);
#endif
}

static inline void metis_dma_buf_unmap(struct dma_buf_attachment *attachment, struct sg_table *sgt,
				       enum dma_data_direction dir)
{
#ifdef METIS_HAS_DMA_BUF_UNLOCKED
	dma_buf_unmap_attachment_unlocked(attachment, sgt, dir);
#else
	dma_buf_unmap_attachment(attachment, sgt, dir);
#endif
}

#endif
