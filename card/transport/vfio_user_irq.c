/* SPDX-License-Identifier: MIT */
/*
 * Interrupts: a table of the client's eventfds.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "card/transport/vfio_user_internal.h"

int vus_irq_init(struct vus_irqs *irqs)
{
	unsigned int i;

	memset(irqs, 0, sizeof(*irqs));
	for (i = 0; i < METIS_IRQ_NR; i++)
		irqs->msi[i] = -1;
	irqs->err = -1;
	irqs->req = -1;
	return -pthread_mutex_init(&irqs->lock, NULL);
}

static void slot_set(int *slot, int fd)
{
	if (*slot >= 0)
		close(*slot);
	*slot = fd;
}

void vus_irq_deinit(struct vus_irqs *irqs)
{
	unsigned int i;

	for (i = 0; i < METIS_IRQ_NR; i++)
		slot_set(&irqs->msi[i], -1);
	slot_set(&irqs->err, -1);
	slot_set(&irqs->req, -1);
	pthread_mutex_destroy(&irqs->lock);
}

uint32_t vus_irq_count(unsigned int index)
{
	switch (index) {
	case VFIO_USER_IRQ_MSI:
		return METIS_IRQ_NR;
	case VFIO_USER_IRQ_ERR:
	case VFIO_USER_IRQ_REQ:
		return 1;
	default:
		return 0;
	}
}

/* Signal vector @n, or remember it: the guest switches MSI on before the client gives eventfds. */
static void msi_fire(struct vus_conn *conn, unsigned int n)
{
	struct vus_irqs *irqs = &conn->irqs;
	const uint64_t one = 1;
	ssize_t ret;

	if (irqs->msi[n] < 0) {
		irqs->pending |= 1u << n;
		VUS_COUNT(conn->server, msi_unassigned);
		return;
	}
	/* EAGAIN: the counter is full, so the client has yet to see an earlier one: delivered. */
	do {
		ret = write(irqs->msi[n], &one, sizeof(one));
	} while (ret < 0 && errno == EINTR);
	VUS_COUNT(conn->server, msi_signalled);
}

void vus_irq_msi(void *ctx, unsigned int vector)
{
	struct vus_conn *conn = ctx;

	if (vector >= METIS_IRQ_NR)
		return;
	pthread_mutex_lock(&conn->irqs.lock);
	msi_fire(conn, vector);
	pthread_mutex_unlock(&conn->irqs.lock);
}

static bool fd_is_eventfd(int fd)
{
	char path[64], name[64];
	ssize_t len;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	len = readlink(path, name, sizeof(name) - 1);
	if (len < 0)
		return false;
	name[len] = '\0';
	return !strcmp(name, "anon_inode:[eventfd]");
}

/*
 * Nothing but eventfds that never block: the card's threads write them with the lock held. The
 * flag is the client's too, whose own reads then don't block either.
 */
static int fds_check(const struct vfio_user_fds *fds)
{
	unsigned int i;
	int flags;

	for (i = 0; i < fds->count; i++) {
		if (!fd_is_eventfd(fds->fd[i]))
			return -EINVAL;
		flags = fcntl(fds->fd[i], F_GETFL);
		if (flags < 0 ||
		    (!(flags & O_NONBLOCK) && fcntl(fds->fd[i], F_SETFL, flags | O_NONBLOCK)))
			return -EINVAL;
	}
	return 0;
}

/* Is @set something this device can be asked for? @fds_nr and @bools came with it. */
static int set_check(const struct vfio_user_irq_set *set, size_t bools, unsigned int fds_nr)
{
	uint32_t data = set->flags & VFIO_USER_IRQ_DATA_MASK;
	uint32_t action = set->flags & VFIO_USER_IRQ_ACTIONS;
	uint32_t count = set->index < VFIO_USER_IRQ_NR ? vus_irq_count(set->index) : 0;

	if (set->flags & ~(VFIO_USER_IRQ_DATA_MASK | VFIO_USER_IRQ_ACTIONS) ||
	    __builtin_popcount(data) != 1 || __builtin_popcount(action) != 1)
		return -EINVAL;
	if (set->index >= VFIO_USER_IRQ_NR || (uint64_t)set->start + set->count > count)
		return -EINVAL;
	/* Messages have no mask of their own here: that is in configuration space. */
	if (action != VFIO_USER_IRQ_ACTION_TRIGGER)
		return -EINVAL;
	if (bools != (data == VFIO_USER_IRQ_DATA_BOOL ? set->count : 0))
		return -EINVAL;
	if (fds_nr && (data != VFIO_USER_IRQ_DATA_EVENTFD || fds_nr != set->count))
		return -EINVAL;
	if (!set->count && (data != VFIO_USER_IRQ_DATA_NONE || set->start))
		return -EINVAL;
	return 0;
}

/* Assign the descriptors, or take away what is assigned when there are none. */
static void set_eventfds(struct vus_conn *conn, const struct vfio_user_irq_set *set,
			 struct vfio_user_fds *fds)
{
	struct vus_irqs *irqs = &conn->irqs;
	uint32_t i, n;

	if (set->index != VFIO_USER_IRQ_MSI) {
		slot_set(set->index == VFIO_USER_IRQ_ERR ? &irqs->err : &irqs->req,
			 vfio_user_fds_take(fds, 0));
		return;
	}
	for (i = 0; i < set->count; i++) {
		n = set->start + i;
		slot_set(&irqs->msi[n], vfio_user_fds_take(fds, i));
		if (irqs->msi[n] < 0 || !(irqs->pending & (1u << n)))
			continue;
		irqs->pending &= ~(1u << n);
		msi_fire(conn, n);
	}
}

/* Count 0 with no data: the whole index is switched off. */
static void index_disable(struct vus_irqs *irqs, uint32_t index)
{
	unsigned int i;

	if (index == VFIO_USER_IRQ_ERR)
		slot_set(&irqs->err, -1);
	if (index == VFIO_USER_IRQ_REQ)
		slot_set(&irqs->req, -1);
	if (index != VFIO_USER_IRQ_MSI)
		return;
	for (i = 0; i < METIS_IRQ_NR; i++)
		slot_set(&irqs->msi[i], -1);
	irqs->pending = 0;
}

/* The client asks for interrupts as if the card had raised them. */
static void set_trigger(struct vus_conn *conn, const struct vfio_user_irq_set *set)
{
	const uint64_t one = 1;
	uint32_t i;
	int fd;

	for (i = 0; i < set->count; i++) {
		if ((set->flags & VFIO_USER_IRQ_DATA_BOOL) && !set->bools[i])
			continue;
		if (set->index == VFIO_USER_IRQ_MSI) {
			msi_fire(conn, set->start + i);
			continue;
		}
		fd = set->index == VFIO_USER_IRQ_ERR ? conn->irqs.err : conn->irqs.req;
		if (fd >= 0 && write(fd, &one, sizeof(one)) < 0)
			continue; /* full: delivered */
	}
}

int vus_irq_set(struct vus_conn *conn, const struct vfio_user_irq_set *set, size_t bools,
		struct vfio_user_fds *fds)
{
	struct vus_irqs *irqs = &conn->irqs;

	if (set_check(set, bools, fds->count) || fds_check(fds))
		return -EINVAL;
	pthread_mutex_lock(&irqs->lock);
	if (set->flags & VFIO_USER_IRQ_DATA_EVENTFD)
		set_eventfds(conn, set, fds);
	else if (!set->count)
		index_disable(irqs, set->index);
	else
		set_trigger(conn, set);
	pthread_mutex_unlock(&irqs->lock);
	return 0;
}
