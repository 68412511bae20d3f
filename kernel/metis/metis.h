/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * tethys_metis: what its files know of each other.
 *
 *	pci.c		binding, power, resets, removal
 *	fwarea.c	the firmware's areas in L2, the host's buffer it is told of
 *	irq.c		vectors, interrupt numbers, the eDMA's own messages
 *	edma.c		transfers
 *	pieces.c	their memory, cut into elements
 *	usermem.c	memory of a program, dma-bufs
 *	chardev.c	the node: open, close, mmap, poll, read
 *	ioctl.c		requests
 *	jobs.c		transfers that a file asks for, and may have running
 *	sysfs.c, debugfs.c, trace.h, fwtrace.c
 *
 * Lifetime: a device lives as long as it is bound or a file is open (@ref). What touches the card
 * runs between metis_enter() and metis_leave(); after metis_shut() returned nobody is in there any
 * more, and everybody who comes is told -ENODEV. What sleeps in there wakes up when @state changes.
 */
#ifndef TETHYS_KERNEL_METIS_H
#define TETHYS_KERNEL_METIS_H

#include <linux/cdev.h>
#include <linux/dma-mapping.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/msi.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/scatterlist.h>
#include <linux/spinlock.h>
#include <linux/srcu.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include <tethys/hw/edma.h>
#include <tethys/hw/fwarea.h>
#include <tethys/hw/irq.h>
#include <tethys/hw/memory.h>
#include <tethys/hw/pci.h>
#include <uapi/metis.h>

#define METIS_NAME "tethys_metis" /* of module and PCI driver */
#define METIS_CLASS "metis"	  /* ABI */

/* One format for all lines; dev_* puts driver and device before it. */
#define metis_err(mdev, ...) dev_err(&(mdev)->pdev->dev, __VA_ARGS__)
#define metis_warn(mdev, ...) dev_warn(&(mdev)->pdev->dev, __VA_ARGS__)
#define metis_info(mdev, ...) dev_info(&(mdev)->pdev->dev, __VA_ARGS__)

struct metis_dev;

/* --- module parameters (pci.c); names of the vendor's driver where it has them --- */

enum metis_healing {
	METIS_HEAL_OFF,	 /* a lost interrupt is a timeout, as the vendor's driver since 1.4.16 */
	METIS_HEAL_LATE, /* the channel is looked at when the time is over, as its 1.4.4 */
	METIS_HEAL_ON,	 /* looked at early, then polled until interrupts come back */
};

struct metis_params {
	bool dma_poll;		  /* never ask for an interrupt */
	unsigned int dma_timeout; /* seconds of a DMA request without progress */
	unsigned int irq_timeout; /* seconds to wait for an interrupt */
	bool single_msi;	  /* one vector, whatever there is */
	unsigned int healing;	  /* enum metis_healing */
	bool check_done;   /* one vector: look which channel is done; off as the vendor's 1.4.16 */
	bool clean_remove; /* clear messages, lists and the host's buffer when letting go */
	bool user_registers; /* mmap of BAR0 and peer-to-peer DMA without CAP_SYS_RAWIO */
};

extern struct metis_params metis_params;

/* Are lost interrupts healed at once? The parameter may change at any time, and to anything. */
static inline bool metis_heals(void)
{
	return READ_ONCE(metis_params.healing) >= METIS_HEAL_ON;
}

/* --- firmware areas (fwarea.c) --- */

/* What was read, and checked to lie within BAR2. An offset of 0: the area isn't there. */
struct metis_fw {
	bool dma_vm;	 /* the card raises 4-11 itself and owns the messages */
	u32 host_driver; /* offsets in BAR2 */
	u32 contexts;
	u32 datastream;
	u32 datastream_bytes;
	u32 board;
	u64 lists;	      /* card address of the list buffer */
	u32 lists_offset;     /* the same in BAR2 */
	u64 l2_base;	      /* card address of BAR2's first byte */
	unsigned int numbers; /* of interrupts, virtual ones included: 32-1024 */
};

/* --- interrupts (irq.c) --- */

/* One number's signals; protected by irq_lock. */
struct metis_number {
	u32 count; /* signals nobody has taken */
	u64 seen;  /* signals ever; debugfs clears it */
	wait_queue_head_t wait;
	struct list_head files; /* struct metis_attach.of_number */
};

/* A file that wants a number's signals as poll events. */
struct metis_attach {
	struct metis_file *file;
	struct list_head of_number, of_file;
	unsigned int number;
};

/* --- channels (edma.c) --- */

struct metis_chan {
	struct metis_dev *mdev;
	bool to_card;	   /* a read channel of the engine */
	unsigned int n;	   /* 0-3 */
	struct mutex busy; /* by whose transfer runs */
	wait_queue_head_t wait;
	atomic_t signals;		 /* interrupts seen */
	bool awaited;			 /* a transfer of which an interrupt may come runs */
	struct metis_edma_element *list; /* host memory of a list's size, coherent */
	dma_addr_t list_dma;
	u32 llp_hi;	  /* in the register; all ones: unknown */
	unsigned int end; /* element of the list in L2 that is known to end it; 0: none */
	struct metis_channel_stats stats; /* under stats_lock */
	u64 lost;			  /* interrupts; under stats_lock */
};

/* One transfer. Memory must stay mapped for the card until metis_xfer() returns. */
struct metis_xfer {
	bool to_card;
	int channel;	      /* 0-3; negative: an idle one, else waits for channel 0 */
	bool killable;	      /* a fatal signal of the caller ends it */
	u64 card;	      /* card address */
	u64 len;	      /* bytes, > 0 */
	struct sg_table *sgt; /* mapped for the card; NULL: @bus is one piece */
	u64 offset;	      /* into @sgt */
	dma_addr_t bus;
	bool canceled; /* by metis_xfer_cancel() */
	/* edma.c's */
	struct metis_chan *ch;
};

/**
 * metis_xfer() - move the bytes and wait; between metis_enter() and metis_leave()
 *
 * When it returns the card doesn't touch the memory any more, whatever it returns.
 *
 * Return: 0; -ETIMEDOUT; -EIO the card or the bus refused; -ENODEV; -EINVAL address, length or
 * channel; -EINTR killed or canceled.
 */
int metis_xfer(struct metis_dev *mdev, struct metis_xfer *x);
void metis_xfer_cancel(struct metis_xfer *x);
/* An interrupt that may be the channel's; any context. */
void metis_chan_signal(struct metis_chan *ch);

int metis_edma_init(struct metis_dev *mdev);	/* once; memory and locks */
void metis_edma_start(struct metis_dev *mdev);	/* engines on; also after a reset */
void metis_edma_stop(struct metis_dev *mdev);	/* engines off, nothing in flight afterwards */
void metis_edma_clear(struct metis_dev *mdev);	/* no addresses are left in the channels */
void metis_edma_forget(struct metis_dev *mdev); /* registers are unknown: after a reset */

/* --- the device --- */

enum metis_state {
	METIS_STARTING,
	METIS_UP,
	METIS_DOWN, /* reset, suspended, or given up; comes back */
	METIS_GONE, /* unbound or unplugged */
};

struct metis_dev {
	struct kref ref;
	struct pci_dev *pdev; /* own reference */
	struct device *node;  /* /dev/metis-0:86:0; NULL before and after */
	struct cdev *cdev;
	int minor;
	char name[24]; /* "metis-0:86:0" */
	struct srcu_struct gate;
	atomic_t state;	    /* enum metis_state; woken: all wait queues (metis_wake_all()) */
	struct mutex power; /* changes of state */

	void __iomem *edma; /* BAR0 */
	void __iomem *l2;   /* BAR2 */
	u64 l2_bytes;
	struct metis_fw fw;
	/* The host's buffer as the firmware is told of it; its first page has the virtual MSIs. */
	void *host;
	dma_addr_t host_dma;
	u32 *vmsi; /* NULL: none */
	dma_addr_t target;

	int vectors;		/* 32 or 1 */
	int irq;		/* of vector 0 */
	u64 told[METIS_CORES];	/* state words of contexts that were signalled; handler's */
	struct msi_msg message; /* as the eDMA was told; under irq_lock */
	struct metis_number number[METIS_VMSI_WORDS];
	spinlock_t irq_lock; /* numbers, message */

	struct metis_chan chan[2][METIS_EDMA_CHANNELS]; /* [to_card][n] */
	bool no_fetch;		   /* lists can't be fetched by read channel 3: it failed once */
	bool polling;		   /* interrupts got lost */
	unsigned long probe_at;	   /* jiffies: the next transfer then asks for an interrupt again */
	unsigned long probe_after; /* jiffies */
	spinlock_t stats_lock;	   /* counters, here and of the channels; probe_* */
	u64 lost_irqs, polled, timeouts, aborts;
	struct workqueue_struct *jobs; /* asynchronous transfers */

	struct mutex files_lock; /* files */
	struct list_head files;	 /* struct metis_file.of_device */
	struct mutex cores_lock;
	u32 cores;		       /* in use; under cores_lock */
	struct metis_file *msg_holder; /* of MSG_LOCK; taken and let go by cmpxchg() */
	wait_queue_head_t msg_wait;

	struct dentry *debugfs;
};

/* Of all channels the one numbered @i. */
static inline struct metis_chan *metis_channel(struct metis_dev *mdev, unsigned int i)
{
	return &mdev->chan[i / METIS_EDMA_CHANNELS][i % METIS_EDMA_CHANNELS];
}

#define METIS_CHANNELS (2 * METIS_EDMA_CHANNELS)

struct metis_dev *metis_dev_find(int minor); /* with a reference; NULL */
void metis_dev_put(struct metis_dev *mdev);

static inline struct metis_dev *metis_dev_get(struct metis_dev *mdev)
{
	kref_get(&mdev->ref);
	return mdev;
}

static inline enum metis_state metis_state(const struct metis_dev *mdev)
{
	return atomic_read_acquire(&mdev->state);
}

/* Return: 0 and *ret_idx for metis_leave(); -ENODEV. May be nested. */
static inline int metis_enter(struct metis_dev *mdev, int *ret_idx)
{
	*ret_idx = srcu_read_lock(&mdev->gate);
	if (metis_state(mdev) == METIS_UP)
		return 0;
	srcu_read_unlock(&mdev->gate, *ret_idx);
	return -ENODEV;
}

static inline void metis_leave(struct metis_dev *mdev, int idx)
{
	srcu_read_unlock(&mdev->gate, idx);
}

/* Everybody who waits looks at the state again (irq.c). */
void metis_wake_all(struct metis_dev *mdev);
/* Firmware was loaded after us: its areas are read anew, nothing running meanwhile (pci.c). */
void metis_fw_reload(struct metis_dev *mdev);
/* Configuration space as it was at probe, and all set up again (pci.c). */
int metis_restore(struct metis_dev *mdev);
/* The card does something it mustn't and can't be stopped: bus master off, state down (pci.c). */
void metis_quarantine(struct metis_dev *mdev, const char *why);

/* --- fwarea.c --- */

void metis_fw_read(struct metis_dev *mdev); /* areas anew; tolerates a card without firmware */
int metis_host_alloc(struct metis_dev *mdev);
void metis_host_free(struct metis_dev *mdev);
void metis_host_tell(struct metis_dev *mdev);	/* firmware: here is our buffer */
void metis_host_untell(struct metis_dev *mdev); /* it no longer is */
/* Text of the board's area: "1.6.0"; "" where there is none. */
void metis_fw_version(struct metis_dev *mdev, char *buf, size_t bytes);
void metis_board_name(struct metis_dev *mdev, char *buf, size_t bytes);
/* Is this range of card memory one that DMA of a program mustn't touch (lists, firmware)? */
bool metis_card_range_reserved(const struct metis_dev *mdev, u64 card, u64 len);
/* State word of context @n; lower half > 0: busy, 0 done, < 0 failed. 1 when there is none. */
u64 metis_context_state(struct metis_dev *mdev, unsigned int n);

/* --- irq.c --- */

int metis_irq_init(struct metis_dev *mdev); /* vectors and handlers */
void metis_irq_deinit(struct metis_dev *mdev);
void metis_irq_tell(struct metis_dev *mdev); /* writes the messages into the eDMA, unless dma_vm */
void metis_irq_untell(struct metis_dev *mdev); /* zeroes them */
/* Tells again if the interrupt has moved; before each transfer that asks for one. */
void metis_irq_refresh(struct metis_dev *mdev);
/* Number @number came in: its waiters, its files, its channel. Any context. */
void metis_signal(struct metis_dev *mdev, unsigned int number);
/* The same without the channel. */
void metis_number_up(struct metis_dev *mdev, unsigned int number);

/**
 * metis_number_wait() - take one count of a number, waiting for it; inside the gate
 * @timeout: jiffies, MAX_SCHEDULE_TIMEOUT: for ever
 *
 * Return: 0; -ETIMEDOUT; -ERESTARTSYS; -ENODEV.
 */
int metis_number_wait(struct metis_dev *mdev, unsigned int number, long timeout);
void metis_number_clean(struct metis_dev *mdev, unsigned int number);
/* Attach links: @attach filled in by the caller; idempotent removal. */
void metis_number_attach(struct metis_dev *mdev, struct metis_attach *attach);
void metis_number_detach(struct metis_dev *mdev, struct metis_attach *attach);

/* --- chardev.c --- */

struct metis_file {
	struct metis_dev *mdev; /* own reference */
	struct list_head of_device;
	atomic_t events; /* for poll */
	wait_queue_head_t wait;
	struct metis_requests *requests; /* ioctl.c's */
	struct list_head attached;	 /* struct metis_attach.of_file; under attach_lock */
	struct mutex attach_lock;
	struct metis_fwtrace_reader *reader; /* fwtrace.c's */
	struct kref ref;		     /* of the open file, and of who lets go of its DMA */
	struct address_space *mapping;	     /* where mmap()s are found, while the file is open */
	struct page *dummy; /* seen in place of the lists; NULL until it is needed */
	bool abandoned;	    /* by metis_requests_abandon(); under files_lock */
};

int metis_chardev_init(void); /* class, numbers */
void metis_chardev_exit(void);
/* The node appears: everything must be ready. */
int metis_chardev_add(struct metis_dev *mdev);
void metis_chardev_del(struct metis_dev *mdev);
/* Mappings of BARs in programs go away; touching one is SIGBUS until the card is up again. */
void metis_chardev_zap(struct metis_dev *mdev);
/* A poll event for the file; any context. */
void metis_file_event(struct metis_file *file);
void metis_file_put(struct metis_file *file);

/* --- ioctl.c --- */

long metis_ioctl(struct file *filp, unsigned int cmd, unsigned long arg);
long metis_compat_ioctl(struct file *filp, unsigned int cmd, unsigned long arg);
int metis_requests_init(struct metis_file *file);
/* At close: cancels and waits for jobs, gives back cores, lock, dma-buf. */
void metis_requests_deinit(struct metis_file *file);
/*
 * No file has memory mapped for the card any more, nor will have. At removal, after the gate was
 * shut for good: who is bound next mustn't find our mappings, and files may stay open for years.
 */
void metis_requests_abandon(struct metis_dev *mdev);

/* --- usermem.c --- */

/* Memory of a program, pinned. */
struct metis_pinned {
	struct sg_table sgt;
	struct page **pages;
	unsigned int pages_nr;
	enum dma_data_direction dir;
	bool mapped;  /* for the card */
	bool written; /* was mapped once */
};

#define METIS_PIN_BYTES SZ_64M /* at most at once: memory that can't be swapped out */

/*
 * Pinning may wait for who serves the program's page faults, so it's done outside the gate; mapping
 * needs a bound device, so it's done inside.
 *
 * Return: 0; -EFAULT; -ENOMEM; -EINVAL; -EINTR.
 */
int metis_pin(struct metis_dev *mdev, u64 user, u64 len, bool to_card,
	      struct metis_pinned *ret_pin);
void metis_unpin(struct metis_pinned *pin);
/* Return: 0; -ENOMEM, -EIO: no way to map it. */
int metis_pin_map(struct metis_dev *mdev, struct metis_pinned *pin);
void metis_pin_unmap(struct metis_dev *mdev, struct metis_pinned *pin);

/* A dma-buf attached to the card and mapped, counted: jobs keep it while they run. */
struct metis_dmabuf {
	struct kref ref;
	struct metis_dev *mdev;
	struct dma_buf *buf;
	struct dma_buf_attachment *attachment;
	struct sg_table *sgt;
	bool needs_sync; /* the card doesn't see what is in the CPU's caches */
};

/* Inside the gate. Return: 0; -EBADF, -EINVAL of no dma-buf; the exporter's error. */
int metis_dmabuf_attach(struct metis_dev *mdev, int fd, struct metis_dmabuf **ret_dmabuf);
void metis_dmabuf_put(struct metis_dmabuf *dmabuf); /* NULL: nothing */
/* Before the card reads (DMA_TO_DEVICE), or after it has written (DMA_FROM_DEVICE). */
int metis_dmabuf_sync(struct metis_dmabuf *dmabuf, enum dma_data_direction dir);

/* --- sysfs.c, debugfs.c, fwtrace.c --- */

extern const struct attribute_group *metis_groups[]; /* of the PCI device */
extern const struct attribute_group *metis_class_groups[];
void metis_debugfs_init(void);
void metis_debugfs_exit(void);
void metis_debugfs_add(struct metis_dev *mdev);
void metis_debugfs_del(struct metis_dev *mdev);

/* Log streams of the firmware. All bounds come from the card and are checked at each use. */
int metis_fwtrace_ioctl(struct metis_file *file, unsigned int cmd, unsigned long arg);
ssize_t metis_fwtrace_read(struct metis_file *file, char __user *buf, size_t len, bool nonblock);
__poll_t metis_fwtrace_poll(struct metis_file *file);
void metis_fwtrace_release(struct metis_file *file);

#endif
