// SPDX-License-Identifier: GPL-2.0-only
/*
 * Requests: dispatch, and those that are no transfers (jobs.c).
 *
 * The table says of each request what is copied in and out. Both happens outside the gate, which a
 * program whose memory doesn't come must not keep open.
 *
 * Lock order: files_lock and requests.lock are never held together. Under requests.lock: the
 * dma-buf's reservation, when the last reference goes. No lock is held over an access to the
 * program's memory, or over a transfer.
 */
#include <linux/compat.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "compat_ioctl.h"
#include "requests.h"

/* --- message lock (0) --- */

static bool msg_may_go_on(struct metis_file *file, bool *ret_locked)
{
	*ret_locked = !cmpxchg(&file->mdev->msg_holder, NULL, file);
	return *ret_locked || metis_state(file->mdev) != METIS_UP;
}

/*
 * The owner is the file, so that any thread may unlock what another has locked, and close lets go.
 * Other threads of the holder wait, as they do in the vendor's driver. A thread that has locked and
 * locks again would wait for itself; -EDEADLK tells it, while 0 would let go at the first of two
 * unlocks.
 */
static int msg_lock(struct metis_file *file)
{
	struct metis_requests *req = file->requests;
	struct metis_dev *mdev = file->mdev;
	bool locked = false;
	int err;

	if (READ_ONCE(mdev->msg_holder) == file && READ_ONCE(req->msg_locker) == current)
		return -EDEADLK;
	err = wait_event_interruptible(mdev->msg_wait, msg_may_go_on(file, &locked));
	if (err)
		return err;
	if (!locked)
		return -ENODEV;
	WRITE_ONCE(req->msg_locker, current);
	return 0;
}

/* Return: 0; -EPERM: another file holds it, or none does. */
static int msg_unlock(struct metis_file *file)
{
	struct metis_dev *mdev = file->mdev;

	if (READ_ONCE(mdev->msg_holder) != file)
		return -EPERM;
	WRITE_ONCE(file->requests->msg_locker, NULL);
	/* Another thread of the file may have been faster. */
	if (cmpxchg(&mdev->msg_holder, file, NULL) != file)
		return -EPERM;
	wake_up_all(&mdev->msg_wait);
	return 0;
}

static long req_msg_lock(struct metis_file *file, union metis_arg *arg)
{
	return arg->value ? msg_lock(file) : msg_unlock(file);
}

/* --- contexts (1, 2, 14) --- */

static long req_ctx_alloc(struct metis_file *file, union metis_arg *arg)
{
	struct metis_dev *mdev = file->mdev;
	s32 count = arg->number;
	long ret = -EINVAL;
	int first;

	if (count <= 0 || count > METIS_CORES)
		return -EINVAL;
	mutex_lock(&mdev->cores_lock);
	for (first = 0; !file->requests->cores && first + count <= METIS_CORES; first++) {
		u32 cores = GENMASK(first + count - 1, first);

		if (mdev->cores & cores)
			continue;
		mdev->cores |= cores;
		file->requests->cores = cores;
		ret = first;
	}
	mutex_unlock(&mdev->cores_lock);
	return ret;
}

static long req_ctx_free(struct metis_file *file, union metis_arg *arg)
{
	struct metis_dev *mdev = file->mdev;

	mutex_lock(&mdev->cores_lock);
	mdev->cores &= ~file->requests->cores;
	file->requests->cores = 0;
	mutex_unlock(&mdev->cores_lock);
	return 0;
}

static long req_ctx_cores(struct metis_file *file, union metis_arg *arg)
{
	arg->word = READ_ONCE(file->requests->cores);
	return 0;
}

/* --- what the card is (3, 16, 17, 19, 32, 50) --- */

#define METIS_SWITCH_VENDOR 0x11f8 /* Microsemi's, on cards with several chips */
#define METIS_SWITCH_DEVICE 0x8562

/* Cards behind the same switch have the same number. */
static u64 switch_group(struct metis_dev *mdev)
{
	struct pci_dev *port = pci_upstream_bridge(mdev->pdev);

	if (!port)
		return 0;
	if (port->vendor != METIS_SWITCH_VENDOR || port->device != METIS_SWITCH_DEVICE)
		return U64_MAX;
	return port->bus->number;
}

static long req_get_property(struct metis_file *file, union metis_arg *arg)
{
	switch (arg->word) {
	case METIS_PROPERTY_GENERATION:
		arg->word = 0;
		return 0;
	case METIS_PROPERTY_AI_CORES:
		arg->word = METIS_CORES;
		return 0;
	case METIS_PROPERTY_PVE_CORES:
		arg->word = 0;
		return 0;
	case METIS_PROPERTY_SWITCH_GROUP:
		arg->word = switch_group(file->mdev);
		return 0;
	default:
		return -EINVAL;
	}
}

static long req_get_resources(struct metis_file *file, union metis_arg *arg)
{
	struct pci_dev *pdev = file->mdev->pdev;

	memset(&arg->resources, 0, sizeof(arg->resources));
	arg->resources.l2_base = pci_resource_start(pdev, METIS_BAR_L2);
	arg->resources.l2_size = pci_resource_len(pdev, METIS_BAR_L2);
	return 0;
}

static void get_window(const struct resource *r, u64 *base, u64 *size)
{
	if (!(r->flags & IORESOURCE_MEM) || r->flags & (IORESOURCE_UNSET | IORESOURCE_DISABLED))
		return;
	*base = r->start;
	*size = resource_size(r);
}

static long req_get_windows(struct metis_file *file, union metis_arg *arg)
{
	struct metis_windows *w = &arg->windows;
	struct pci_dev *pdev = file->mdev->pdev;
	struct pci_dev *bridge = pci_upstream_bridge(pdev);
	unsigned int i;

	memset(w, 0, sizeof(*w));
	if (bridge) {
		get_window(&bridge->resource[PCI_BRIDGE_MEM_WINDOW], &w->np_base, &w->np_size);
		get_window(&bridge->resource[PCI_BRIDGE_PREF_MEM_WINDOW], &w->p_base, &w->p_size);
	}
	for (i = 0; i < ARRAY_SIZE(w->base); i++) {
		w->base[i] = pci_resource_start(pdev, i);
		w->size[i] = pci_resource_len(pdev, i);
	}
	return 0;
}

static long req_firmware_loaded(struct metis_file *file, union metis_arg *arg)
{
	metis_fw_reload(file->mdev);
	/* The lists may be elsewhere: programs may see the old place again, and not the new one. */
	smp_mb();
	metis_chardev_zap(file->mdev);
	return 0;
}

static long req_get_dma_stats(struct metis_file *file, union metis_arg *arg)
{
	struct metis_dev *mdev = file->mdev;
	unsigned long flags;
	unsigned int n;

	/* Bytes, for what is between the members. */
	spin_lock_irqsave(&mdev->stats_lock, flags);
	for (n = 0; n < METIS_EDMA_CHANNELS; n++) {
		memcpy(&arg->stats.read[n], &mdev->chan[false][n].stats,
		       sizeof(arg->stats.read[n]));
		memcpy(&arg->stats.write[n], &mdev->chan[true][n].stats,
		       sizeof(arg->stats.write[n]));
	}
	spin_unlock_irqrestore(&mdev->stats_lock, flags);
	return 0;
}

/*
 * The page isn't held: the address is worth something only if the program keeps it from moving. And
 * it is worth something only to who may aim DMA, or attack the kernel.
 */
static long req_get_user_pa(struct metis_file *file, union metis_arg *arg)
{
	u64 user = arg->user_pa.virt;
	struct page *page;
	int got;

	if (!capable(CAP_SYS_RAWIO))
		return -EPERM;
	if (user > ULONG_MAX)
		return -EFAULT;
	got = get_user_pages_fast(user & PAGE_MASK, 1, 0, &page);
	if (got != 1)
		return got < 0 ? got : -EFAULT;
	arg->user_pa.pa = page_to_phys(page) + offset_in_page(user);
	put_page(page);
	return 0;
}

/* --- interrupt numbers (11, 12, 13, 15) --- */

static bool number_is_valid(const struct metis_dev *mdev, s32 number)
{
	return number >= 0 && number < READ_ONCE(mdev->fw.numbers) && number < METIS_VMSI_WORDS;
}

static long req_msi_wait(struct metis_file *file, union metis_arg *arg)
{
	long timeout = MAX_SCHEDULE_TIMEOUT;
	int err;

	if (!number_is_valid(file->mdev, arg->msi.number) || arg->msi.timeout < 0)
		return -EFAULT;
	if (arg->msi.timeout)
		timeout = min_t(u64, (u64)arg->msi.timeout * HZ, MAX_SCHEDULE_TIMEOUT - 1);
	err = metis_number_wait(file->mdev, arg->msi.number, timeout);
	/* Not begun anew after a signal: the time would begin anew as well. */
	return err == -ERESTARTSYS ? -EINTR : err;
}

static long req_msi_clean(struct metis_file *file, union metis_arg *arg)
{
	if (!number_is_valid(file->mdev, arg->msi.number))
		return -EFAULT;
	metis_number_clean(file->mdev, arg->msi.number);
	return 0;
}

static bool is_attached(struct metis_file *file, unsigned int number)
{
	struct metis_attach *attach;

	list_for_each_entry(attach, &file->attached, of_file) {
		if (attach->number == number)
			return true;
	}
	return false;
}

static int attach_number(struct metis_file *file, unsigned int number)
{
	struct metis_attach *attach;

	if (is_attached(file, number))
		return 0;
	attach = kzalloc(sizeof(*attach), GFP_KERNEL_ACCOUNT);
	if (!attach)
		return -ENOMEM;
	attach->file = file;
	attach->number = number;
	INIT_LIST_HEAD(&attach->of_number);
	list_add_tail(&attach->of_file, &file->attached);
	metis_number_attach(file->mdev, attach);
	return 0;
}

static long req_msi_attach(struct metis_file *file, union metis_arg *arg)
{
	int err;

	if (!number_is_valid(file->mdev, arg->number))
		return -EFAULT;
	mutex_lock(&file->attach_lock);
	err = attach_number(file, arg->number);
	mutex_unlock(&file->attach_lock);
	return err;
}

static void detach_numbers(struct metis_file *file)
{
	struct metis_attach *attach, *next;

	mutex_lock(&file->attach_lock);
	list_for_each_entry_safe(attach, next, &file->attached, of_file) {
		metis_number_detach(file->mdev, attach);
		list_del(&attach->of_file);
		kfree(attach);
	}
	mutex_unlock(&file->attach_lock);
}

static long req_clear_poll_event(struct metis_file *file, union metis_arg *arg)
{
	return atomic_dec_if_positive(&file->events) >= 0;
}

/* --- dispatch --- */

struct metis_request {
	unsigned int cmd;
	unsigned short in, out; /* bytes of the argument that are copied */
	/* It goes through the gate by itself, after it got hold of the program's memory. */
	bool outside;
	long (*run)(struct metis_file *file, union metis_arg *arg);
};

#define BYTES(member) sizeof_field(union metis_arg, member)

static const struct metis_request metis_requests[] = {
	{METIS_IOC_USER_XFER, BYTES(user_xfer), 0, true, metis_req_user_xfer},
	{METIS_IOC_DMA_XFER, BYTES(dmabuf_xfer), 0, false, metis_req_dma_xfer},
	{METIS_IOC_MSI_WAIT, BYTES(msi), 0, false, req_msi_wait},
	{METIS_IOC_MSI_CLEAN, BYTES(msi), 0, false, req_msi_clean},
	{METIS_IOC_DMA_SYNC_STATUS, BYTES(dmabuf_xfer), 0, false, metis_req_sync_status},
	{METIS_IOC_DMA_ASYNC_STATUS, 0, 0, false, metis_req_async_status},
	{METIS_IOC_CLEAR_POLL_EVENT, 0, 0, false, req_clear_poll_event},
	{METIS_IOC_MSG_LOCK, 0, 0, false, req_msg_lock},
	{METIS_IOC_CTX_ALLOC, BYTES(number), 0, false, req_ctx_alloc},
	{METIS_IOC_CTX_FREE, 0, 0, false, req_ctx_free},
	{METIS_IOC_CTX_CORES, 0, BYTES(word), false, req_ctx_cores},
	{METIS_IOC_GET_PROPERTY, BYTES(word), BYTES(word), false, req_get_property},
	{METIS_IOC_DMA_ATTACH, BYTES(number), 0, false, metis_req_dma_attach},
	{METIS_IOC_DMA_DETACH, 0, 0, false, metis_req_dma_detach},
	{METIS_IOC_MSI_ATTACH, BYTES(number), 0, false, req_msi_attach},
	{METIS_IOC_GET_RESOURCES, 0, BYTES(resources), false, req_get_resources},
	{METIS_IOC_GET_WINDOWS, 0, BYTES(windows), false, req_get_windows},
	{METIS_IOC_P2P_XFER, BYTES(p2p_xfer), 0, false, metis_req_p2p_xfer},
	{METIS_IOC_FIRMWARE_LOADED, 0, 0, false, req_firmware_loaded},
	{METIS_IOC_GET_DMA_STATS, 0, BYTES(stats), false, req_get_dma_stats},
	{METIS_IOC_GET_USER_PA, BYTES(user_pa), BYTES(user_pa), true, req_get_user_pa},
};

static const struct metis_request *find_request(unsigned int cmd)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(metis_requests); i++) {
		if (metis_requests[i].cmd == cmd)
			return &metis_requests[i];
	}
	return NULL;
}

static long run_request(struct metis_file *file, const struct metis_request *r,
			union metis_arg *arg)
{
	long ret;
	int idx;

	if (r->outside)
		return r->run(file, arg);
	ret = metis_enter(file->mdev, &idx);
	if (ret)
		return ret;
	ret = r->run(file, arg);
	metis_leave(file->mdev, idx);
	return ret;
}

static bool is_fwtrace(unsigned int cmd)
{
	return _IOC_TYPE(cmd) == METIS_IOC_TYPE &&
	       _IOC_NR(cmd) >= _IOC_NR(METIS_IOC_FWTRACE_OPEN) &&
	       _IOC_NR(cmd) <= _IOC_NR(METIS_IOC_FWTRACE_CLEAR);
}

long metis_ioctl(struct file *filp, unsigned int cmd, unsigned long value)
{
	const struct metis_request *r = find_request(cmd);
	struct metis_file *file = filp->private_data;
	void __user *user = (void __user *)value;
	union metis_arg arg;
	long ret;

	if (!r && !is_fwtrace(cmd))
		return -ENOTTY;
	if (metis_state(file->mdev) != METIS_UP)
		return -ENODEV;
	if (!r)
		return metis_fwtrace_ioctl(file, cmd, value);
	memset(&arg, 0, sizeof(arg));
	if (!r->in)
		arg.value = value;
	else if (copy_from_user(&arg, user, r->in))
		return -EFAULT;
	ret = run_request(file, r, &arg);
	if (ret >= 0 && r->out && copy_to_user(user, &arg, r->out))
		return -EFAULT;
	return ret;
}

/* --- 32-bit programs --- */

#ifdef CONFIG_COMPAT

static int get_dmabuf_xfer32(union metis_arg *arg, const void __user *user)
{
	struct metis_dmabuf_xfer32 a;

	if (copy_from_user(&a, user, sizeof(a)))
		return -EFAULT;
	arg->dmabuf_xfer = (struct metis_dmabuf_xfer){
		.card = a.card,
		.size = a.size,
		.offset = a.offset,
		.flags = a.flags,
		.channel = a.channel,
	};
	return 0;
}

static int get_user_xfer32(union metis_arg *arg, const void __user *user)
{
	struct metis_user_xfer32 a;

	if (copy_from_user(&a, user, sizeof(a)))
		return -EFAULT;
	arg->user_xfer = (struct metis_user_xfer){
		.card = a.card,
		.user = a.user,
		.size = a.size,
		.flags = a.flags,
	};
	return 0;
}

static int get_p2p_xfer32(union metis_arg *arg, const void __user *user)
{
	struct metis_p2p_xfer32 a;

	if (copy_from_user(&a, user, sizeof(a)))
		return -EFAULT;
	arg->p2p_xfer = (struct metis_p2p_xfer){
		.card = a.card,
		.bus = a.bus,
		.size = a.size,
		.channel = a.channel,
		.flags = a.flags,
	};
	return 0;
}

static int get_msi32(union metis_arg *arg, const void __user *user)
{
	return copy_from_user(&arg->msi, user, sizeof(arg->msi)) ? -EFAULT : 0;
}

static void channel_stats32(struct metis_channel_stats32 *to,
			    const struct metis_channel_stats *from)
{
	to->count = from->count;
	to->num_xfer = from->num_xfer;
	to->num_err = from->num_err;
	to->bytes_xfer = from->bytes_xfer;
	to->max_sgt = from->max_sgt;
	to->max_duration_us = from->max_duration_us;
	to->duration_us = from->duration_us;
	to->size = min_t(u64, from->size, U32_MAX);
	to->speed_mbps = from->speed_mbps;
}

static int put_dma_stats32(void __user *user, const union metis_arg *arg)
{
	struct metis_dma_stats32 stats;
	unsigned int n;

	memset(&stats, 0, sizeof(stats));
	for (n = 0; n < ARRAY_SIZE(stats.read); n++) {
		channel_stats32(&stats.read[n], &arg->stats.read[n]);
		channel_stats32(&stats.write[n], &arg->stats.write[n]);
	}
	return copy_to_user(user, &stats, sizeof(stats)) ? -EFAULT : 0;
}

struct metis_request32 {
	unsigned int cmd, native;
	int (*get)(union metis_arg *arg, const void __user *user);
	int (*put)(void __user *user, const union metis_arg *arg);
};

static const struct metis_request32 metis_requests32[] = {
	{METIS_IOC32_DMA_XFER, METIS_IOC_DMA_XFER, get_dmabuf_xfer32, NULL},
	{METIS_IOC32_DMA_ASYNC_STATUS, METIS_IOC_DMA_ASYNC_STATUS, NULL, NULL},
	{METIS_IOC32_DMA_SYNC_STATUS, METIS_IOC_DMA_SYNC_STATUS, get_dmabuf_xfer32, NULL},
	{METIS_IOC32_USER_XFER, METIS_IOC_USER_XFER, get_user_xfer32, NULL},
	{METIS_IOC32_MSI_WAIT, METIS_IOC_MSI_WAIT, get_msi32, NULL},
	{METIS_IOC32_MSI_CLEAN, METIS_IOC_MSI_CLEAN, get_msi32, NULL},
	{METIS_IOC32_P2P_XFER, METIS_IOC_P2P_XFER, get_p2p_xfer32, NULL},
	{METIS_IOC32_GET_DMA_STATS, METIS_IOC_GET_DMA_STATS, NULL, put_dma_stats32},
};

static const struct metis_request32 *find_request32(unsigned int cmd)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(metis_requests32); i++) {
		if (metis_requests32[i].cmd == cmd)
			return &metis_requests32[i];
	}
	return NULL;
}

/* Does the request look different in 32-bit programs? Then theirs has another number as well. */
static bool is_native_only(unsigned int cmd)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(metis_requests32); i++) {
		if (metis_requests32[i].native == cmd)
			return true;
	}
	return false;
}

/* What isn't in the table is the same for all programs, but that pointers are short. */
long metis_compat_ioctl(struct file *filp, unsigned int cmd, unsigned long value)
{
	const struct metis_request32 *r = find_request32(cmd);
	struct metis_file *file = filp->private_data;
	void __user *user = compat_ptr(value);
	union metis_arg arg;
	long ret = 0;

	if (!r)
		return is_native_only(cmd) ? -ENOTTY : metis_ioctl(filp, cmd, (unsigned long)user);
	if (metis_state(file->mdev) != METIS_UP)
		return -ENODEV;
	memset(&arg, 0, sizeof(arg));
	if (r->get)
		ret = r->get(&arg, user);
	if (!ret)
		ret = run_request(file, find_request(r->native), &arg);
	if (ret >= 0 && r->put && r->put(user, &arg))
		return -EFAULT;
	return ret;
}

#endif

/* --- with the file --- */

int metis_requests_init(struct metis_file *file)
{
	struct metis_requests *req = kzalloc(sizeof(*req), GFP_KERNEL_ACCOUNT);

	if (!req)
		return -ENOMEM;
	file->requests = req;
	metis_jobs_init(file);
	return 0;
}

/* What is freed with the file itself is left for it. */
void metis_requests_deinit(struct metis_file *file)
{
	metis_jobs_deinit(file);
	detach_numbers(file);
	req_ctx_free(file, NULL);
	msg_unlock(file);
}

static struct metis_file *next_to_abandon(struct metis_dev *mdev)
{
	struct metis_file *file;

	mutex_lock(&mdev->files_lock);
	list_for_each_entry(file, &mdev->files, of_device) {
		if (file->abandoned)
			continue;
		file->abandoned = true;
		kref_get(&file->ref);
		mutex_unlock(&mdev->files_lock);
		return file;
	}
	mutex_unlock(&mdev->files_lock);
	return NULL;
}

/* Not all under files_lock: a job that ends may want it. */
void metis_requests_abandon(struct metis_dev *mdev)
{
	struct metis_file *file;

	while ((file = next_to_abandon(mdev))) {
		metis_jobs_deinit(file);
		metis_file_put(file);
	}
}
