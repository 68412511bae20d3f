// SPDX-License-Identifier: GPL-2.0-only
/*
 * Transfers that programs ask for, requests 5 to 10 and 18: by a dma-buf, to a peer, by memory of
 * their own.
 *
 * The attached dma-buf is counted: who starts a transfer takes a reference under requests.lock, and
 * detaching, attaching another one or closing only drops the file's. The card's mappings are there
 * until the last transfer is over.
 */
#include <linux/dma-buf.h>
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/sched/signal.h>
#include <linux/uaccess.h>

#include "requests.h"

/* --- transfers --- */

/* Exactly one of two flags. */
static bool one_of(u32 flags, u32 a, u32 b)
{
	return !(flags & a) != !(flags & b);
}

/* Return: 0; -EINVAL. @how: it says whether to wait. */
static int check_flags(u32 flags, bool how, bool p2p)
{
	if (!one_of(flags, METIS_XFER_READ, METIS_XFER_WRITE) ||
	    (how && !one_of(flags, METIS_XFER_SYNC, METIS_XFER_ASYNC)) ||
	    p2p != !!(flags & METIS_XFER_P2P))
		return -EINVAL;
	return 0;
}

/* Return: 0; -EINVAL: no such range, or one from which the driver or the firmware is steered. */
static int check_card_range(struct metis_dev *mdev, u64 card, u64 size)
{
	u64 end;

	if (!size || check_add_overflow(card, size, &end))
		return -EINVAL;
	if (metis_card_range_reserved(mdev, card, size) && !capable(CAP_SYS_RAWIO))
		return -EINVAL;
	return 0;
}

/* A transfer with what its memory needs around it. Inside the gate. */
static int run_xfer(struct metis_dev *mdev, struct metis_xfer *x, struct metis_dmabuf *buffer)
{
	int err = 0;

	if (buffer && x->to_card)
		err = metis_dmabuf_sync(buffer, DMA_TO_DEVICE);
	if (!err)
		err = metis_xfer(mdev, x);
	if (!err && buffer && !x->to_card)
		err = metis_dmabuf_sync(buffer, DMA_FROM_DEVICE);
	return err;
}

/* --- jobs --- */

static enum metis_async async_state(int result)
{
	switch (result) {
	case 0:
		return METIS_ASYNC_DONE;
	case -ETIMEDOUT:
		return METIS_ASYNC_TIMED_OUT;
	default:
		return METIS_ASYNC_FAILED;
	}
}

/* Nothing of the job may be touched afterwards: the next one may have begun. */
static void job_end(struct metis_job *job, int result)
{
	struct metis_file *file = job->file;
	struct metis_requests *req = file->requests;

	mutex_lock(&req->lock);
	metis_dmabuf_put(job->buffer);
	job->buffer = NULL;
	req->result = result;
	WRITE_ONCE(req->state, async_state(result));
	mutex_unlock(&req->lock);
	metis_file_event(file);
	wake_up_all(&req->done);
}

static void job_run(struct work_struct *work)
{
	struct metis_job *job = container_of(work, struct metis_job, work);
	struct metis_dev *mdev = job->file->mdev;
	int idx, err;

	err = metis_enter(mdev, &idx);
	if (!err) {
		err = run_xfer(mdev, &job->xfer, job->buffer);
		metis_leave(mdev, idx);
	}
	job_end(job, err);
}

/* requests.lock is held, and no job pending. @buffer: the job takes a reference of its own. */
static void job_start(struct metis_file *file, const struct metis_xfer *x,
		      struct metis_dmabuf *buffer)
{
	struct metis_requests *req = file->requests;

	req->job.xfer = *x;
	req->job.buffer = buffer;
	if (buffer)
		kref_get(&buffer->ref);
	/* Before the job may be over. */
	WRITE_ONCE(req->state, METIS_ASYNC_PENDING);
	queue_work(file->mdev->jobs, &req->job.work);
}

/* What 7 and 18 have in common. @x: checked; @buffer: counted, taken over. */
static int sync_xfer(struct metis_file *file, struct metis_xfer *x, struct metis_dmabuf *buffer)
{
	int err;

	x->killable = true;
	err = run_xfer(file->mdev, x, buffer);
	metis_dmabuf_put(buffer);
	metis_file_event(file);
	return err;
}

/* --- dma-buf and peer-to-peer (5 to 9, 18) --- */

long metis_req_dma_attach(struct metis_file *file, union metis_arg *arg)
{
	struct metis_requests *req = file->requests;
	struct metis_dmabuf *buffer;
	int err;

	err = metis_dmabuf_attach(file->mdev, arg->number, &buffer);
	if (err)
		return err;
	mutex_lock(&req->lock);
	if (req->state == METIS_ASYNC_PENDING)
		err = -EBUSY;
	else
		swap(req->buffer, buffer);
	mutex_unlock(&req->lock);
	/* The one that was attached before, or that couldn't be. */
	metis_dmabuf_put(buffer);
	return err;
}

long metis_req_dma_detach(struct metis_file *file, union metis_arg *arg)
{
	struct metis_requests *req = file->requests;
	struct metis_dmabuf *buffer = NULL;
	int err = 0;

	mutex_lock(&req->lock);
	if (req->state == METIS_ASYNC_PENDING)
		err = -EBUSY;
	else
		swap(req->buffer, buffer);
	mutex_unlock(&req->lock);
	metis_dmabuf_put(buffer);
	return err;
}

static int check_dmabuf_xfer(struct metis_file *file, const struct metis_dmabuf_xfer *a)
{
	struct metis_dmabuf *buffer = file->requests->buffer;
	u64 end;
	int err;

	err = check_flags(a->flags, true, false);
	if (!err)
		err = check_card_range(file->mdev, a->card, a->size);
	if (err)
		return err;
	if (a->channel >= METIS_EDMA_CHANNELS || !buffer ||
	    check_add_overflow(a->size, (u64)a->offset, &end) || end > buffer->buf->size)
		return -EINVAL;
	return 0;
}

long metis_req_dma_xfer(struct metis_file *file, union metis_arg *arg)
{
	const struct metis_dmabuf_xfer *a = &arg->dmabuf_xfer;
	struct metis_requests *req = file->requests;
	struct metis_xfer x = {
		.to_card = a->flags & METIS_XFER_WRITE,
		.channel = a->channel,
		.card = a->card,
		.len = a->size,
		.offset = a->offset,
	};
	struct metis_dmabuf *buffer = NULL;
	int err;

	mutex_lock(&req->lock);
	err = req->state == METIS_ASYNC_PENDING ? -EBUSY : check_dmabuf_xfer(file, a);
	if (!err) {
		buffer = req->buffer;
		x.sgt = buffer->sgt;
		if (a->flags & METIS_XFER_ASYNC)
			job_start(file, &x, buffer);
		else
			kref_get(&buffer->ref);
	}
	mutex_unlock(&req->lock);
	if (err || a->flags & METIS_XFER_ASYNC)
		return err;
	return sync_xfer(file, &x, buffer);
}

static int check_p2p_xfer(struct metis_dev *mdev, const struct metis_p2p_xfer *a)
{
	u64 end;
	int err;

	err = check_flags(a->flags, true, true);
	if (!err)
		err = check_card_range(mdev, a->card, a->size);
	if (!err &&
	    (a->channel >= METIS_EDMA_CHANNELS || check_add_overflow(a->bus, a->size, &end)))
		err = -EINVAL;
	return err;
}

long metis_req_p2p_xfer(struct metis_file *file, union metis_arg *arg)
{
	const struct metis_p2p_xfer *a = &arg->p2p_xfer;
	struct metis_requests *req = file->requests;
	struct metis_xfer x = {
		.to_card = a->flags & METIS_XFER_WRITE,
		.channel = a->channel,
		.card = a->card,
		.len = a->size,
		.bus = a->bus,
	};
	int err;

	/* The bus address is as good as any memory of the machine. */
	if (!READ_ONCE(metis_params.user_registers) && !capable(CAP_SYS_RAWIO))
		return -EPERM;
	mutex_lock(&req->lock);
	err = req->state == METIS_ASYNC_PENDING ? -EBUSY : check_p2p_xfer(file->mdev, a);
	if (!err && a->flags & METIS_XFER_ASYNC)
		job_start(file, &x, NULL);
	mutex_unlock(&req->lock);
	if (err || a->flags & METIS_XFER_ASYNC)
		return err;
	return sync_xfer(file, &x, NULL);
}

/* Stays what it is until the next job, as in the vendor's driver. */
long metis_req_async_status(struct metis_file *file, union metis_arg *arg)
{
	return READ_ONCE(file->requests->state);
}

/* Without a time limit of its own: the job has one, and a job that is over isn't reported late. */
long metis_req_sync_status(struct metis_file *file, union metis_arg *arg)
{
	struct metis_requests *req = file->requests;
	int ret;

	if (!(arg->dmabuf_xfer.flags & METIS_XFER_SYNC))
		return -EINVAL;
	mutex_lock(&req->lock);
	while (req->state == METIS_ASYNC_PENDING) {
		mutex_unlock(&req->lock);
		ret = wait_event_interruptible(req->done,
					       READ_ONCE(req->state) != METIS_ASYNC_PENDING);
		if (ret)
			return ret;
		mutex_lock(&req->lock);
	}
	ret = req->state == METIS_ASYNC_NONE ? -EINVAL : req->result;
	mutex_unlock(&req->lock);
	return ret;
}

/* --- memory of the program (10) --- */

/* One piece of a request's memory. *ret_ran: the card had to do with it. */
static int user_xfer_piece(struct metis_dev *mdev, struct metis_xfer *x, u64 user, bool *ret_ran)
{
	struct metis_pinned pin;
	int idx, err;

	err = metis_pin(mdev, user, x->len, x->to_card, &pin);
	if (err)
		return err;
	err = metis_enter(mdev, &idx);
	if (err)
		goto unpin;
	/* Here, as the firmware's areas may move between two pieces. */
	err = check_card_range(mdev, x->card, x->len);
	if (!err)
		err = metis_pin_map(mdev, &pin);
	if (!err) {
		x->sgt = &pin.sgt;
		*ret_ran = true;
		err = metis_xfer(mdev, x);
		metis_pin_unmap(mdev, &pin);
	}
	metis_leave(mdev, idx);
unpin:
	metis_unpin(&pin);
	return err;
}

/*
 * In pieces, so that a request of gigabytes doesn't pin gigabytes. If a later piece fails, those
 * before it are transferred: programs learn that something failed, not where, as with any error of
 * DMA.
 */
long metis_req_user_xfer(struct metis_file *file, union metis_arg *arg)
{
	const struct metis_user_xfer *a = &arg->user_xfer;
	u64 done, len;
	bool ran = false;
	int err;

	err = check_flags(a->flags, false, false);
	if (!err)
		err = check_card_range(file->mdev, a->card, a->size);
	if (err)
		return err;
	/* What can't be the program's is told before the first piece. */
	if (!access_ok(u64_to_user_ptr(a->user), a->size))
		return -EFAULT;
	for (done = 0; !err && done < a->size; done += len) {
		struct metis_xfer x = {
			.to_card = a->flags & METIS_XFER_WRITE,
			.channel = -1,
			.killable = true,
			.card = a->card + done,
		};

		/* All pieces but the first begin with a page. */
		len = min_t(u64, a->size - done, METIS_PIN_BYTES - offset_in_page(a->user + done));
		x.len = len;
		err = user_xfer_piece(file->mdev, &x, a->user + done, &ran);
		if (!err && fatal_signal_pending(current))
			err = -EINTR;
	}
	if (ran)
		metis_file_event(file);
	return err;
}

/* --- with the file --- */

void metis_jobs_init(struct metis_file *file)
{
	struct metis_requests *req = file->requests;

	mutex_init(&req->lock);
	init_waitqueue_head(&req->done);
	INIT_WORK(&req->job.work, job_run);
	req->job.file = file;
}

void metis_jobs_deinit(struct metis_file *file)
{
	struct metis_requests *req = file->requests;

	if (READ_ONCE(req->state) == METIS_ASYNC_PENDING)
		metis_xfer_cancel(&req->job.xfer);
	if (cancel_work_sync(&req->job.work))
		job_end(&req->job, -ENODEV);
	/* Under the lock: who comes second must find it unmapped. */
	mutex_lock(&req->lock);
	metis_dmabuf_put(req->buffer);
	req->buffer = NULL;
	mutex_unlock(&req->lock);
}
