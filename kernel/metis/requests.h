/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a file holds because of its requests, between ioctl.c and jobs.c.
 */
#ifndef TETHYS_KERNEL_REQUESTS_H
#define TETHYS_KERNEL_REQUESTS_H

#include <linux/mutex.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "metis.h"

/* The asynchronous transfer of a file: there is one at most. */
struct metis_job {
	struct work_struct work;
	struct metis_file *file;
	struct metis_xfer xfer;
	struct metis_dmabuf *buffer; /* own reference; NULL: to a peer */
};

struct metis_requests {
	u32 cores;			/* of the context; under cores_lock of the device */
	struct task_struct *msg_locker; /* only to compare with */
	struct mutex lock;		/* protects all below */
	struct metis_dmabuf *buffer;	/* attached; NULL: none */
	struct metis_job job;
	enum metis_async state; /* of the last job; PENDING: job belongs to the work queue */
	int result;		/* of the last job */
	wait_queue_head_t done; /* state is no longer PENDING */
};

union metis_arg {
	unsigned long value; /* requests that have no structure: as it came */
	s32 number;
	u64 word;
	struct metis_dmabuf_xfer dmabuf_xfer;
	struct metis_user_xfer user_xfer;
	struct metis_p2p_xfer p2p_xfer;
	struct metis_msi_wait msi;
	struct metis_resources resources;
	struct metis_windows windows;
	struct metis_dma_stats stats;
	struct metis_user_pa user_pa;
};

/* --- jobs.c: each returns what its request does; inside the gate, but for the last --- */

long metis_req_dma_attach(struct metis_file *file, union metis_arg *arg);
long metis_req_dma_detach(struct metis_file *file, union metis_arg *arg);
long metis_req_dma_xfer(struct metis_file *file, union metis_arg *arg);
long metis_req_p2p_xfer(struct metis_file *file, union metis_arg *arg);
long metis_req_async_status(struct metis_file *file, union metis_arg *arg);
long metis_req_sync_status(struct metis_file *file, union metis_arg *arg);
long metis_req_user_xfer(struct metis_file *file, union metis_arg *arg);

void metis_jobs_init(struct metis_file *file);
/* No job runs afterwards, and the dma-buf is let go. Nobody may be able to begin a new one. */
void metis_jobs_deinit(struct metis_file *file);

#endif
