/* SPDX-License-Identifier: MIT */
/*
 * Interrupts by eventfd.
 *
 * With 32 vectors each number has its own and its eventfd counts. With fewer (without interrupt
 * remapping Linux gives one) the card sends number modulo vectors, so an event says that something
 * happened to one of the numbers that share it. Whoever drains such an eventfd marks all of them
 * pending and wakes those who wait for one; a count would mean nothing, so there is none. No event
 * is lost: a number is marked after its waiter has cleared the mark and started what it waits for,
 * since the event came after that too. A waiter that announces itself and a drainer that marks do
 * both in an order in which at least one sees the other.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "runtime/device/vfio.h"

/* --- life --- */

void vfio_irq_init(struct vfio_irqs *irqs)
{
	unsigned int i;

	memset(irqs, 0, sizeof(*irqs));
	irqs->request = -1;
	irqs->error = -1;
	for (i = 0; i < METIS_IRQ_NR; i++) {
		irqs->fds[i] = -1;
		irqs->wakes[i] = -1;
	}
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void vfio_irq_deinit(struct vfio_irqs *irqs)
{
	unsigned int i;

	for (i = 0; i < METIS_IRQ_NR; i++) {
		close_fd(&irqs->fds[i]);
		close_fd(&irqs->wakes[i]);
	}
	close_fd(&irqs->request);
	close_fd(&irqs->error);
	irqs->vectors = 0;
}

static int create_event(int *ret_fd, int flags, struct reason *why)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK | flags);

	if (fd < 0)
		return reason_add(why, -errno, "no eventfd to be had: %s", strerror(errno));
	*ret_fd = fd;
	return 0;
}

int vfio_irq_create(struct vfio_irqs *irqs, unsigned int vectors, struct reason *why)
{
	bool shared = vectors < METIS_IRQ_NR;
	unsigned int i;
	int err = 0;

	for (i = 0; !err && i < vectors; i++)
		err = create_event(&irqs->fds[i], shared ? 0 : EFD_SEMAPHORE, why);
	for (i = 0; !err && shared && i < METIS_IRQ_NR; i++)
		err = create_event(&irqs->wakes[i], 0, why);
	irqs->vectors = err ? 0 : vectors;
	return err;
}

/* --- the kernel's side --- */

/* @fds may be NULL with @count 0: disable. Return: as the ioctl, or negative errno. */
static int set_irqs(int device, uint32_t index, const int *fds, uint32_t count)
{
	_Alignas(struct vfio_irq_set)
		uint8_t space[sizeof(struct vfio_irq_set) + METIS_IRQ_NR * sizeof(int)];
	struct vfio_irq_set *set = (struct vfio_irq_set *)space;
	int got;

	*set = (struct vfio_irq_set){
		.argsz = (uint32_t)(sizeof(*set) + count * sizeof(int)),
		.flags = VFIO_IRQ_SET_ACTION_TRIGGER |
			 (count ? VFIO_IRQ_SET_DATA_EVENTFD : VFIO_IRQ_SET_DATA_NONE),
		.index = index,
		.count = count,
	};
	if (count)
		memcpy(set->data, fds, count * sizeof(int));
	got = ioctl(device, VFIO_DEVICE_SET_IRQS, set);
	return got < 0 ? -errno : got;
}

static unsigned int power_of_two_below(unsigned int n)
{
	unsigned int power = 1;

	while (power * 2 <= n)
		power *= 2;
	return power;
}

/* As many vectors as the kernel grants: it says how many it has when those are fewer. */
static int setup_msi(struct vfio_card *card, struct reason *why)
{
	struct vfio_irqs *irqs = &card->irqs;
	unsigned int count = METIS_IRQ_NR;
	int err, got;

	err = vfio_irq_create(irqs, count, why);
	while (!err) {
		got = set_irqs(card->device, VFIO_PCI_MSI_IRQ_INDEX, irqs->fds, count);
		if (!got)
			break;
		if (got < 0 || (unsigned int)got >= count) {
			vfio_irq_deinit(irqs);
			return reason_add(why, got < 0 ? got : -EPROTO,
					  "VFIO gives the card no interrupts: %s",
					  got < 0 ? strerror(-got) : "impossible answer");
		}
		count = power_of_two_below((unsigned int)got);
		vfio_irq_deinit(irqs);
		err = vfio_irq_create(irqs, count, why);
	}
	card->pci.shared_vectors = !err && count < METIS_IRQ_NR;
	return err;
}

/* Kernels and devices without it have nothing to tell: no failure. */
static int setup_single(struct vfio_card *card, uint32_t index, int *fd, struct reason *why)
{
	struct vfio_irq_info info = {.argsz = sizeof(info), .index = index};
	int err;

	if (ioctl(card->device, VFIO_DEVICE_GET_IRQ_INFO, &info) || info.count != 1)
		return 0;
	err = create_event(fd, 0, why);
	if (!err && set_irqs(card->device, index, fd, 1))
		close_fd(fd);
	return err;
}

/* The kernel keeps vectors across a reset. */
int vfio_irq_setup(struct axdev_pci *pci, struct reason *why)
{
	struct vfio_card *card = vfio_card_of(pci);
	eventfd_t count;
	int err;

	if (card->irqs.vectors) {
		if (card->irqs.error >= 0)
			eventfd_read(card->irqs.error, &count);
		return 0;
	}
	err = setup_msi(card, why);
	if (!err)
		err = setup_single(card, VFIO_PCI_REQ_IRQ_INDEX, &card->irqs.request, why);
	return err ? err : setup_single(card, VFIO_PCI_ERR_IRQ_INDEX, &card->irqs.error, why);
}

void vfio_irq_stop(struct vfio_card *card)
{
	if (card->irqs.vectors)
		set_irqs(card->device, VFIO_PCI_MSI_IRQ_INDEX, NULL, 0);
}

/* --- our side --- */

/* Tell all numbers that share @vector but @number itself. */
static void spread(struct vfio_irqs *irqs, unsigned int vector, unsigned int number)
{
	unsigned int i;

	for (i = vector; i < METIS_IRQ_NR; i += irqs->vectors) {
		atomic_store(&irqs->pending[i], true);
		if (i != number && atomic_load(&irqs->waiters[i]))
			eventfd_write(irqs->wakes[i], 1);
	}
}

bool vfio_irq_take(struct axdev_pci *pci, unsigned int number)
{
	struct vfio_irqs *irqs = &vfio_card_of(pci)->irqs;
	unsigned int vector = number & (irqs->vectors - 1);
	eventfd_t count;
	bool came = !eventfd_read(irqs->fds[vector], &count);

	if (!pci->shared_vectors)
		return came;
	if (came)
		spread(irqs, vector, number);
	return atomic_exchange(&irqs->pending[number], false);
}

void vfio_irq_clear(struct axdev_pci *pci, unsigned int number)
{
	unsigned int i;

	/* Bounded: a card can count as fast as we do. */
	for (i = 0; i < 1000 && vfio_irq_take(pci, number); i++)
		;
}

static bool is_readable(int fd)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

	return fd >= 0 && poll(&poll_fd, 1, 0) > 0;
}

int vfio_irq_check(const struct vfio_irqs *irqs, struct reason *why)
{
	if (is_readable(irqs->request))
		return reason_add(why, -ENODEV,
				  "the system wants the card back: it is being unplugged or "
				  "unbound");
	if (is_readable(irqs->error))
		return reason_add(why, -ENODEV,
				  "the card reported a fatal PCI Express error; reset it");
	return 0;
}

/* Return: 0; -ETIMEDOUT; what vfio_irq_check() says. */
static int wait_until(struct axdev_pci *pci, unsigned int number, uint64_t timeout_us,
		      struct reason *why)
{
	struct vfio_irqs *irqs = &vfio_card_of(pci)->irqs;
	struct pollfd fds[] = {
		{.fd = irqs->fds[number & (irqs->vectors - 1)], .events = POLLIN},
		{.fd = irqs->wakes[number], .events = POLLIN},
		{.fd = irqs->request, .events = POLLIN},
		{.fd = irqs->error, .events = POLLIN},
	};
	uint64_t now = axdev_now_us(), end = now + timeout_us;
	struct timespec ts;
	eventfd_t count;
	bool taken;
	int err;

	while (!(taken = vfio_irq_take(pci, number)) && now < end && !fds[2].revents &&
	       !fds[3].revents) {
		ts.tv_sec = (time_t)((end - now) / 1000000);
		ts.tv_nsec = (long)((end - now) % 1000000 * 1000);
		if (ppoll(fds, sizeof(fds) / sizeof(fds[0]), &ts, NULL) < 0)
			fds[1].revents = fds[2].revents = fds[3].revents = 0;
		if (fds[1].revents)
			eventfd_read(irqs->wakes[number], &count);
		now = axdev_now_us();
	}
	/* What came before the end counts. */
	err = taken ? 0 : vfio_irq_check(irqs, why);
	return taken || err ? err : -ETIMEDOUT;
}

int vfio_irq_wait(struct axdev_pci *pci, unsigned int number, uint64_t timeout_us,
		  struct reason *why)
{
	struct vfio_irqs *irqs = &vfio_card_of(pci)->irqs;
	int err;

	atomic_fetch_add(&irqs->waiters[number], 1);
	err = wait_until(pci, number, timeout_us, why);
	atomic_fetch_sub(&irqs->waiters[number], 1);
	return err;
}
