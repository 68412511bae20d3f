// SPDX-License-Identifier: MIT
/*
 * Card memory: L2 can be shared with another process, DDR is private and sparse.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <tethys/hw/memory.h>
#include <tethys/hw/pci.h>

#include "card/internal.h"

_Static_assert(METIS_L2_BYTES == METIS_BAR_L2_BYTES, "BAR2 shows all of L2");

struct card_memory {
	int l2_fd;
	uint8_t *l2;
	uint8_t *ddr;
};

/*
 * Sealed, so that whoever got the descriptor can't shrink it under us or another user: that
 * would be SIGBUS in their or our next access.
 */
static int l2_open(void)
{
	int fd = memfd_create("tethys-l2", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int ret;

	if (fd < 0)
		return -errno;
	if (!ftruncate(fd, METIS_L2_BYTES) &&
	    !fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		return fd;
	ret = -errno;
	close(fd);
	return ret;
}

/*
 * A new L2, in place of the one there is: the kernel swaps the pages in one step, so that readers
 * find the old bytes or the new ones, never a hole.
 */
int card_memory_renew_l2(struct card_memory *memory)
{
	int fd = l2_open(), ret;
	void *l2;

	if (fd < 0)
		return fd;
	l2 = mmap(memory->l2, METIS_L2_BYTES, PROT_READ | PROT_WRITE,
		  MAP_SHARED | (memory->l2 ? MAP_FIXED : 0), fd, 0);
	if (l2 == MAP_FAILED) {
		ret = -errno;
		close(fd);
		return ret;
	}
	if (memory->l2_fd >= 0)
		close(memory->l2_fd);
	memory->l2_fd = fd;
	memory->l2 = l2;
	return 0;
}

static int ddr_create(struct card_memory *memory)
{
	void *ddr = mmap(NULL, METIS_DDR_BYTES, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (ddr == MAP_FAILED)
		return -errno;
	memory->ddr = ddr;
	/* Hints: first touch a module's 45 MB in 23 faults, and keep 16 GiB out of core files. */
	madvise(ddr, METIS_DDR_BYTES, MADV_HUGEPAGE);
	madvise(ddr, METIS_DDR_BYTES, MADV_DONTDUMP);
	return 0;
}

int card_memory_create(struct card *card, struct card_memory **ret_memory)
{
	struct card_memory *memory = calloc(1, sizeof(*memory));
	int ret;

	(void)card;
	if (!memory)
		return -ENOMEM;
	memory->l2_fd = -1;
	ret = card_memory_renew_l2(memory);
	if (!ret)
		ret = ddr_create(memory);
	if (ret) {
		card_memory_destroy(memory);
		return ret;
	}
	*ret_memory = memory;
	return 0;
}

void card_memory_destroy(struct card_memory *memory)
{
	if (!memory)
		return;
	if (memory->ddr)
		munmap(memory->ddr, METIS_DDR_BYTES);
	if (memory->l2)
		munmap(memory->l2, METIS_L2_BYTES);
	if (memory->l2_fd >= 0)
		close(memory->l2_fd);
	free(memory);
}

/* Is [@addr, @addr + @len) in the @bytes from @base on? No sum can wrap. */
static bool within(uint64_t addr, uint64_t len, uint64_t base, uint64_t bytes)
{
	return addr >= base && addr - base < bytes && len <= bytes - (addr - base);
}

void *card_memory_at(struct card *card, uint64_t addr, uint64_t len)
{
	struct card_memory *memory = card->memory;

	if (!len)
		return NULL;
	if (within(addr, len, METIS_L2_BASE, METIS_L2_BYTES))
		return memory->l2 + (addr - METIS_L2_BASE);
	if (within(addr, len, METIS_DDR_BASE, METIS_DDR_BYTES))
		return memory->ddr + (addr - METIS_DDR_BASE);
	return NULL;
}

void *card_memory_l2(struct card_memory *memory, int *ret_fd)
{
	*ret_fd = memory->l2_fd;
	return memory->l2;
}

void card_memory_clear(struct card_memory *memory)
{
	/* Both return pages to the system; where that is refused, zeros must do. */
	if (madvise(memory->ddr, METIS_DDR_BYTES, MADV_DONTNEED))
		memset(memory->ddr, 0, METIS_DDR_BYTES);
	if (fallocate(memory->l2_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, METIS_L2_BYTES))
		memset(memory->l2, 0, METIS_L2_BYTES);
}
