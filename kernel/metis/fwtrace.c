// SPDX-License-Identifier: GPL-2.0-only
/*
 * Log streams of the firmware, requests 20 to 25: rings in L2 that a file reads like a pipe.
 *
 * What the card says of a ring is looked up and checked at each use: the area may move when the
 * firmware is loaded anew, and a card that lies must get at no byte outside BAR2. The reader copies
 * by itself, a page at a time. While a session is open a work looks for new data ten times a
 * second: the streams' own interrupts may be lost, and no log line is awaited to the millisecond.
 *
 * Lock: sessions_lock, over all of it and never held across an access to the program's memory.
 */
#include <linux/io.h>
#include <linux/minmax.h>
#include <linux/poll.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "metis.h"

#define FWTRACE_LOOK_MS 100
#define FWTRACE_BUFFER_BYTES PAGE_SIZE

/* A session: one file that reads one source. */
struct metis_fwtrace_reader {
	struct kref ref; /* the file's, and of each call that is under way */
	struct metis_file *file;
	unsigned int source;
	struct list_head of_sessions;
	struct delayed_work look;
	/* Below: under sessions_lock, where nothing else is said. */
	bool closed;
	bool ready; /* there may be data: set by the work, read without the lock */
	u64 total, overruns;
	struct mutex reading; /* head, left, buffer; one program's thread at a time */
	/* Out of the ring, not yet in the program: @left bytes from @head. */
	unsigned int head, left;
	u8 *buffer;
};

/* Sessions of all devices, the rings' read positions, metis_file.reader. */
static DEFINE_MUTEX(sessions_lock);
static LIST_HEAD(sessions);

/* A ring as the card described it a moment ago: within BAR2, positions within the ring. */
struct ring {
	void __iomem *stream; /* struct metis_datastream */
	void __iomem *data;
	u32 capacity, read_pos, write_pos;
};

static u32 stream_read(const void __iomem *stream, size_t member)
{
	return readl(stream + member);
}

#define STREAM_READ(stream, member) stream_read(stream, offsetof(struct metis_datastream, member))

static u64 stream_read64(const void __iomem *stream, size_t member)
{
	return readl(stream + member) | (u64)readl(stream + member + 4) << 32;
}

#define STREAM_READ64(stream, member) \
	stream_read64(stream, offsetof(struct metis_datastream, member))

static bool in_l2(const struct metis_dev *mdev, u64 offset, u64 bytes)
{
	return bytes <= mdev->l2_bytes && offset <= mdev->l2_bytes - bytes;
}

/* Return: 0; -ENODEV: the card has no area, or this source isn't in it. */
static int stream_find(struct metis_dev *mdev, unsigned int source, void __iomem **ret_stream)
{
	u32 area = READ_ONCE(mdev->fw.datastream), bytes = READ_ONCE(mdev->fw.datastream_bytes);
	void __iomem *base = mdev->l2 + area;
	u64 offset;
	u8 index;

	if (!area || area % 4 || bytes < sizeof(struct metis_datastream_area) ||
	    !in_l2(mdev, area, bytes))
		return -ENODEV;
	index = readb(base + offsetof(struct metis_datastream_area, index) + source);
	if (index == METIS_DATASTREAM_ABSENT ||
	    index >= readl(base + offsetof(struct metis_datastream_area, count)))
		return -ENODEV;
	offset = sizeof(struct metis_datastream_area) + index * sizeof(struct metis_datastream);
	if (offset + sizeof(struct metis_datastream) > bytes)
		return -ENODEV;
	*ret_stream = base + offset;
	return 0;
}

/* Return: 0; -ENODEV; -EIO: what the card says can't be. */
static int ring_find(struct metis_dev *mdev, unsigned int source, struct ring *ret_ring)
{
	u64 l2_base = READ_ONCE(mdev->fw.l2_base), buffer;
	void __iomem *stream;
	struct ring ring;
	int err;

	err = stream_find(mdev, source, &stream);
	if (err)
		return err;
	ring.stream = stream;
	ring.capacity = STREAM_READ(stream, capacity);
	ring.read_pos = STREAM_READ(stream, read_pos);
	ring.write_pos = STREAM_READ(stream, write_pos);
	buffer = STREAM_READ64(stream, buffer);
	if (ring.capacity > STREAM_READ64(stream, bytes) || ring.read_pos >= ring.capacity ||
	    ring.write_pos >= ring.capacity || buffer < l2_base ||
	    !in_l2(mdev, buffer - l2_base, ring.capacity))
		return -EIO;
	ring.data = mdev->l2 + (buffer - l2_base);
	*ret_ring = ring;
	return 0;
}

static u32 ring_bytes(const struct ring *ring)
{
	if (ring->write_pos >= ring->read_pos)
		return ring->write_pos - ring->read_pos;
	return ring->capacity - ring->read_pos + ring->write_pos;
}

/* Moves @len bytes, no more than there are, out of the ring. */
static void ring_take(struct ring *ring, u8 *to, u32 len)
{
	u32 first = min(len, ring->capacity - ring->read_pos);

	/* The data was written before the position that says so. */
	rmb();
	memcpy_fromio(to, ring->data + ring->read_pos, first);
	memcpy_fromio(to + first, ring->data, len - first);
	ring->read_pos += len;
	if (ring->read_pos >= ring->capacity)
		ring->read_pos -= ring->capacity;
	/* Read before the firmware may write over it. */
	mb();
	writel(ring->read_pos, ring->stream + offsetof(struct metis_datastream, read_pos));
}

/* --- the life of a session --- */

static void reader_free(struct kref *ref)
{
	struct metis_fwtrace_reader *r = container_of(ref, struct metis_fwtrace_reader, ref);

	mutex_destroy(&r->reading);
	kfree(r->buffer);
	kfree(r);
}

/* With a reference; NULL: the file has no session. */
static struct metis_fwtrace_reader *reader_get(struct metis_file *file)
{
	struct metis_fwtrace_reader *r;

	mutex_lock(&sessions_lock);
	r = file->reader;
	if (r)
		kref_get(&r->ref);
	mutex_unlock(&sessions_lock);
	return r;
}

static void reader_put(struct metis_fwtrace_reader *r)
{
	kref_put(&r->ref, reader_free);
}

/* Bytes in the ring; -ENODEV; -EIO. */
static int reader_pending(struct metis_fwtrace_reader *r)
{
	struct metis_dev *mdev = r->file->mdev;
	struct ring ring;
	int idx, ret;

	ret = metis_enter(mdev, &idx);
	if (ret)
		return ret;
	mutex_lock(&sessions_lock);
	ret = ring_find(mdev, r->source, &ring);
	if (!ret)
		ret = min_t(u32, ring_bytes(&ring), INT_MAX);
	mutex_unlock(&sessions_lock);
	metis_leave(mdev, idx);
	return ret;
}

/* Wakes who waits for data, or is to learn that there will be none. */
static void reader_look(struct work_struct *work)
{
	struct metis_fwtrace_reader *r =
		container_of(to_delayed_work(work), struct metis_fwtrace_reader, look);

	if (reader_pending(r)) {
		WRITE_ONCE(r->ready, true);
		wake_up_all(&r->file->wait);
	}
	if (metis_state(r->file->mdev) != METIS_GONE)
		schedule_delayed_work(&r->look, msecs_to_jiffies(FWTRACE_LOOK_MS));
}

static struct metis_fwtrace_reader *reader_create(struct metis_file *file, unsigned int source)
{
	struct metis_fwtrace_reader *r = kzalloc(sizeof(*r), GFP_KERNEL_ACCOUNT);

	if (!r)
		return NULL;
	r->buffer = kmalloc(FWTRACE_BUFFER_BYTES, GFP_KERNEL_ACCOUNT);
	if (!r->buffer) {
		kfree(r);
		return NULL;
	}
	kref_init(&r->ref);
	mutex_init(&r->reading);
	INIT_DELAYED_WORK(&r->look, reader_look);
	r->file = file;
	r->source = source;
	return r;
}

/* One reader for each source of a device, one source for each file. */
static int session_add(struct metis_fwtrace_reader *r)
{
	struct metis_fwtrace_reader *other;
	int err = r->file->reader ? -EBUSY : 0;

	list_for_each_entry(other, &sessions, of_sessions) {
		if (other->file->mdev == r->file->mdev && other->source == r->source)
			err = -EBUSY;
	}
	if (err)
		return err;
	list_add(&r->of_sessions, &sessions);
	r->file->reader = r;
	schedule_delayed_work(&r->look, 0);
	return 0;
}

static int session_open(struct metis_file *file, unsigned int source)
{
	struct metis_fwtrace_reader *r;
	void __iomem *stream;
	int idx, err;

	r = reader_create(file, source);
	if (!r)
		return -ENOMEM;
	err = metis_enter(file->mdev, &idx);
	if (err)
		goto put;
	mutex_lock(&sessions_lock);
	err = stream_find(file->mdev, source, &stream);
	if (!err)
		err = session_add(r);
	mutex_unlock(&sessions_lock);
	metis_leave(file->mdev, idx);
put:
	if (err)
		reader_put(r);
	return err;
}

/* Return: 0; -EINVAL: there is no session. */
static int session_close(struct metis_file *file)
{
	struct metis_fwtrace_reader *r;

	mutex_lock(&sessions_lock);
	r = file->reader;
	if (r) {
		file->reader = NULL;
		list_del(&r->of_sessions);
		WRITE_ONCE(r->closed, true);
	}
	mutex_unlock(&sessions_lock);
	if (!r)
		return -EINVAL;
	cancel_delayed_work_sync(&r->look);
	wake_up_all(&file->wait);
	reader_put(r);
	return 0;
}

void metis_fwtrace_release(struct metis_file *file)
{
	session_close(file);
}

/* --- requests --- */

static int session_stats(struct metis_file *file, struct metis_fwtrace_stats __user *to)
{
	struct metis_fwtrace_reader *r = reader_get(file);
	struct metis_fwtrace_stats stats;
	int pending;

	if (!r)
		return -EINVAL;
	pending = reader_pending(r);
	mutex_lock(&sessions_lock);
	stats.total_bytes = r->total;
	stats.overruns = r->overruns;
	stats.available_bytes = READ_ONCE(r->left) + max(pending, 0);
	mutex_unlock(&sessions_lock);
	reader_put(r);
	return copy_to_user(to, &stats, sizeof(stats)) ? -EFAULT : 0;
}

static int stream_enable(struct metis_dev *mdev, unsigned int source, bool enable)
{
	void __iomem *stream;
	u32 reg;
	int err;

	err = stream_find(mdev, source, &stream);
	if (err)
		return err;
	reg = STREAM_READ(stream, reg) & ~METIS_DATASTREAM_ENABLE;
	if (enable)
		reg |= METIS_DATASTREAM_ENABLE;
	writel(reg, stream + offsetof(struct metis_datastream, reg));
	return 0;
}

/* The ring is empty afterwards. What a reader has taken out of it is his. */
static int stream_clear(struct metis_dev *mdev, unsigned int source)
{
	struct ring ring;
	int err;

	err = ring_find(mdev, source, &ring);
	if (!err)
		writel(ring.write_pos, ring.stream + offsetof(struct metis_datastream, read_pos));
	return err;
}

/* Requests that need no session. */
static int stream_request(struct metis_dev *mdev, unsigned int cmd, unsigned int source)
{
	int idx, err;

	err = metis_enter(mdev, &idx);
	if (err)
		return err;
	mutex_lock(&sessions_lock);
	if (cmd == METIS_IOC_FWTRACE_CLEAR)
		err = stream_clear(mdev, source);
	else
		err = stream_enable(mdev, source, cmd == METIS_IOC_FWTRACE_ENABLE);
	mutex_unlock(&sessions_lock);
	metis_leave(mdev, idx);
	return err;
}

int metis_fwtrace_ioctl(struct metis_file *file, unsigned int cmd, unsigned long arg)
{
	u32 source;

	switch (cmd) {
	case METIS_IOC_FWTRACE_CLOSE:
		return session_close(file);
	case METIS_IOC_FWTRACE_STATS:
		return session_stats(file, (void __user *)arg);
	case METIS_IOC_FWTRACE_OPEN:
	case METIS_IOC_FWTRACE_ENABLE:
	case METIS_IOC_FWTRACE_DISABLE:
	case METIS_IOC_FWTRACE_CLEAR:
		break;
	default:
		return -ENOTTY;
	}
	if (get_user(source, (u32 __user *)arg))
		return -EFAULT;
	if (source >= METIS_DATASTREAM_ABSENT)
		return -EINVAL;
	if (cmd == METIS_IOC_FWTRACE_OPEN)
		return session_open(file, source);
	return stream_request(file->mdev, cmd, source);
}

/* --- reading --- */

/* A buffer full out of the ring; bytes, 0: it is empty. */
static int reader_fill(struct metis_fwtrace_reader *r)
{
	struct metis_dev *mdev = r->file->mdev;
	struct ring ring;
	int idx, ret;
	u32 len = 0;

	ret = metis_enter(mdev, &idx);
	if (ret)
		return ret;
	mutex_lock(&sessions_lock);
	WRITE_ONCE(r->ready, false);
	ret = ring_find(mdev, r->source, &ring);
	if (!ret && ring_bytes(&ring)) {
		/* Full: the firmware had to wait or to drop. */
		r->overruns += ring_bytes(&ring) == ring.capacity - 1;
		len = min_t(u32, ring_bytes(&ring), FWTRACE_BUFFER_BYTES);
		ring_take(&ring, r->buffer, len);
		r->total += len;
	}
	mutex_unlock(&sessions_lock);
	metis_leave(mdev, idx);
	r->head = 0;
	WRITE_ONCE(r->left, len);
	return ret ?: len;
}

/* Bytes that were there, 0: none. */
static ssize_t reader_copy(struct metis_fwtrace_reader *r, char __user *buf, size_t len)
{
	size_t done = 0;
	int ret = 0;

	if (mutex_lock_interruptible(&r->reading))
		return -ERESTARTSYS;
	while (done < len) {
		size_t part;

		if (!r->left) {
			ret = READ_ONCE(r->closed) ? -EINVAL : reader_fill(r);
			if (ret <= 0)
				break;
		}
		part = min_t(size_t, len - done, r->left);
		if (copy_to_user(buf + done, r->buffer + r->head, part)) {
			ret = -EFAULT;
			break;
		}
		r->head += part;
		WRITE_ONCE(r->left, r->left - part);
		done += part;
		if (signal_pending(current))
			break;
	}
	mutex_unlock(&r->reading);
	return done ?: min(ret, 0);
}

static bool reader_must_look(struct metis_fwtrace_reader *r)
{
	return READ_ONCE(r->ready) || READ_ONCE(r->closed) ||
	       metis_state(r->file->mdev) != METIS_UP;
}

ssize_t metis_fwtrace_read(struct metis_file *file, char __user *buf, size_t len, bool nonblock)
{
	struct metis_fwtrace_reader *r = reader_get(file);
	ssize_t ret;

	if (!r)
		return -EINVAL;
	do {
		ret = reader_copy(r, buf, len);
		if (ret || !len)
			break;
		if (nonblock)
			ret = -EAGAIN;
		else
			ret = wait_event_interruptible(file->wait, reader_must_look(r));
	} while (!ret);
	reader_put(r);
	return ret;
}

/* 0 without a session. The caller has put itself on the file's wait queue. */
__poll_t metis_fwtrace_poll(struct metis_file *file)
{
	struct metis_fwtrace_reader *r = reader_get(file);
	__poll_t mask = 0;
	int pending;

	if (!r)
		return 0;
	pending = reader_pending(r);
	if (pending > 0 || READ_ONCE(r->left))
		mask |= EPOLLIN | EPOLLRDNORM;
	if (pending < 0)
		mask |= EPOLLHUP | EPOLLERR;
	reader_put(r);
	return mask;
}
