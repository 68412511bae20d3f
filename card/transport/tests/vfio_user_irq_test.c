/* SPDX-License-Identifier: MIT */
/* SET_IRQS and what it leads to. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <tethys/hw/irq.h>

#include "card/internal.h"
#include "card/transport/tests/raw_client.h"
#include "tests/tap.h"

#define NONE (VFIO_USER_IRQ_DATA_NONE | VFIO_USER_IRQ_ACTION_TRIGGER)
#define BOOL (VFIO_USER_IRQ_DATA_BOOL | VFIO_USER_IRQ_ACTION_TRIGGER)
#define EVENT (VFIO_USER_IRQ_DATA_EVENTFD | VFIO_USER_IRQ_ACTION_TRIGGER)
#define MSI VFIO_USER_IRQ_MSI

static struct raw raw;
static int events[METIS_IRQ_NR];

static void events_open(void)
{
	unsigned int i;

	for (i = 0; i < METIS_IRQ_NR; i++)
		events[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

static void events_close(void)
{
	unsigned int i;

	for (i = 0; i < METIS_IRQ_NR; i++)
		close(events[i]);
}

/* How often @fd was signalled since last asked. */
static uint64_t events_taken(int fd)
{
	uint64_t count = 0;

	return read(fd, &count, sizeof(count)) == sizeof(count) ? count : 0;
}

static int set(uint32_t flags, uint32_t index, uint32_t start, uint32_t count, const int *fds,
	       unsigned int fds_nr)
{
	const struct vfio_user_irq_set body = {.argsz = sizeof(body),
					       .flags = flags,
					       .index = index,
					       .start = start,
					       .count = count};

	return raw_call_fds(&raw, VFIO_USER_DEVICE_SET_IRQS, &body, sizeof(body), fds, fds_nr);
}

static bool irq_open(void)
{
	events_open();
	if (!raw_open(&raw, NULL, RAW_NO_TWIN))
		return false;
	raw_enable(&raw);
	return true;
}

static void irq_close(void)
{
	raw_stop(&raw);
	events_close();
}

static void expect_all_vectors_in_chunks_of(unsigned int chunk)
{
	unsigned int i;

	ASSERT(irq_open());
	for (i = 0; i < METIS_IRQ_NR; i += chunk)
		EXPECT_EQ(raw_msi(&raw, i, chunk, events + i), 0);
	for (i = 0; i < METIS_IRQ_NR; i++)
		card_msi(raw.card, i);
	for (i = 0; i < METIS_IRQ_NR; i++)
		EXPECT_EQ(events_taken(events[i]), 1);
	irq_close();
}

static void test_irq_vectors_come_in_chunks(void)
{
	expect_all_vectors_in_chunks_of(1);
	expect_all_vectors_in_chunks_of(8);
	expect_all_vectors_in_chunks_of(16);
}

static void test_irq_triggers_of_the_client_fire(void)
{
	uint8_t body[sizeof(struct vfio_user_irq_set) + 4] = {0};
	struct vfio_user_irq_set *bools = (void *)body;

	*bools = (struct vfio_user_irq_set){
		.argsz = sizeof(body), .flags = BOOL, .index = MSI, .start = 4, .count = 4};
	bools->bools[0] = bools->bools[2] = 1;
	ASSERT(irq_open());
	EXPECT_EQ(raw_msi(&raw, 0, 16, events), 0);
	EXPECT_EQ(set(NONE, MSI, 2, 1, NULL, 0), 0);
	EXPECT_EQ(events_taken(events[2]), 1);
	EXPECT_EQ(raw_call(&raw, VFIO_USER_DEVICE_SET_IRQS, body, sizeof(body)), 0);
	EXPECT_EQ(events_taken(events[4]), 1);
	EXPECT_EQ(events_taken(events[5]), 0);
	EXPECT_EQ(events_taken(events[6]), 1);
	irq_close();
}

static void test_irq_error_and_request_take_one_eventfd(void)
{
	ASSERT(irq_open());
	EXPECT_EQ(set(EVENT, VFIO_USER_IRQ_ERR, 0, 1, events, 1), 0);
	EXPECT_EQ(set(EVENT, VFIO_USER_IRQ_REQ, 0, 1, events + 1, 1), 0);
	EXPECT_EQ(set(NONE, VFIO_USER_IRQ_ERR, 0, 1, NULL, 0), 0);
	EXPECT_EQ(events_taken(events[0]), 1);
	EXPECT_EQ(set(EVENT, VFIO_USER_IRQ_ERR, 0, 1, NULL, 0), 0); /* as QEMU unplugs */
	EXPECT_EQ(set(NONE, VFIO_USER_IRQ_ERR, 0, 1, NULL, 0), 0);
	EXPECT_EQ(events_taken(events[0]), 0);
	EXPECT_EQ(set(EVENT, VFIO_USER_IRQ_ERR, 0, 2, events, 2), EINVAL);
	irq_close();
}

static void test_irq_nonsense_is_refused(void)
{
	int same[17], i;

	ASSERT(irq_open());
	for (i = 0; i < 17; i++)
		same[i] = events[0];
	EXPECT_EQ(set(EVENT, MSI, 0, 2, events, 1), EINVAL);
	EXPECT_EQ(set(EVENT, MSI, 0, 1, events, 2), EINVAL);
	EXPECT_EQ(set(NONE, MSI, 0, 1, events, 1), EINVAL);
	EXPECT_EQ(set(EVENT, MSI, 0, 33, NULL, 0), EINVAL);
	EXPECT_EQ(set(EVENT, MSI, 32, 1, events, 1), EINVAL);
	EXPECT_EQ(set(EVENT, MSI, UINT32_MAX, 1, events, 1), EINVAL);
	EXPECT_EQ(set(EVENT, MSI, 1, UINT32_MAX, NULL, 0), EINVAL);
	EXPECT_EQ(set(EVENT, MSI, 0, 0, NULL, 0), EINVAL);
	EXPECT_EQ(set(NONE, MSI, 1, 0, NULL, 0), EINVAL);
	EXPECT_EQ(set(BOOL, MSI, 0, 1, NULL, 0), EINVAL); /* no bools */
	EXPECT_EQ(set(0, MSI, 0, 1, NULL, 0), EINVAL);
	EXPECT_EQ(set(NONE | VFIO_USER_IRQ_DATA_BOOL, MSI, 0, 1, NULL, 0), EINVAL);
	EXPECT_EQ(set(NONE | VFIO_USER_IRQ_ACTION_MASK, MSI, 0, 1, NULL, 0), EINVAL);
	EXPECT_EQ(set(VFIO_USER_IRQ_DATA_NONE | VFIO_USER_IRQ_ACTION_MASK, MSI, 0, 1, NULL, 0),
		  EINVAL);
	EXPECT_EQ(set(NONE | 0x40, MSI, 0, 1, NULL, 0), EINVAL);
	EXPECT_EQ(set(EVENT, VFIO_USER_IRQ_INTX, 0, 1, events, 1), EINVAL);
	EXPECT_EQ(set(EVENT, VFIO_USER_IRQ_MSIX, 0, 1, events, 1), EINVAL);
	EXPECT_EQ(set(EVENT, 5, 0, 1, events, 1), EINVAL);
	EXPECT_EQ(set(EVENT, UINT32_MAX, 0, 1, events, 1), EINVAL);
	EXPECT_EQ(set(EVENT, MSI, 0, 16, same, 16), 0); /* one fd for all is no nonsense */
	irq_close();
}

static void test_irq_files_and_pipes_are_refused(void)
{
	unsigned int before = raw_fd_count();
	int pipes[2], file = raw_memfd(8, true);

	ASSERT(!pipe(pipes));
	ASSERT(irq_open());
	EXPECT_EQ(set(EVENT, MSI, 0, 1, pipes + 1, 1), EINVAL);
	EXPECT_EQ(set(EVENT, MSI, 0, 1, &file, 1), EINVAL);
	EXPECT_EQ(set(EVENT, MSI, 0, 1, &raw.sock, 1), EINVAL);
	irq_close();
	close(pipes[0]);
	close(pipes[1]);
	close(file);
	EXPECT_EQ(raw_fd_count(), before);
}

static void test_irq_raised_before_assignment_is_not_lost(void)
{
	ASSERT(irq_open());
	card_msi(raw.card, 3);
	card_msi(raw.card, 3);
	EXPECT_EQ(raw_stats(&raw).msi_unassigned, 2);
	EXPECT_EQ(raw_msi(&raw, 0, 8, events), 0);
	EXPECT_EQ(events_taken(events[3]), 1);
	EXPECT_EQ(events_taken(events[2]), 0);
	irq_close();
}

static void test_irq_deassigned_vector_is_silent(void)
{
	ASSERT(irq_open());
	EXPECT_EQ(raw_msi(&raw, 0, 8, events), 0);
	EXPECT_EQ(raw_msi(&raw, 2, 2, NULL), 0);
	card_msi(raw.card, 2);
	card_msi(raw.card, 4);
	EXPECT_EQ(events_taken(events[2]), 0);
	EXPECT_EQ(events_taken(events[4]), 1);
	irq_close();
}

static void test_irq_disable_forgets_all(void)
{
	ASSERT(irq_open());
	EXPECT_EQ(raw_msi(&raw, 0, 8, events), 0);
	card_msi(raw.card, 20); /* pending */
	EXPECT_EQ(set(NONE, MSI, 0, 0, NULL, 0), 0);
	card_msi(raw.card, 1);
	EXPECT_EQ(events_taken(events[1]), 0);
	EXPECT_EQ(set(NONE, MSI, 0, 0, NULL, 0), 0);
	EXPECT_EQ(raw_msi(&raw, 16, 8, events + 16), 0);
	EXPECT_EQ(events_taken(events[20]), 0);
	irq_close();
}

static void test_irq_full_eventfd_blocks_nobody(void)
{
	const uint64_t nearly = UINT64_MAX - 1;
	int blocking = eventfd(0, EFD_CLOEXEC);

	ASSERT(irq_open());
	EXPECT_EQ(write(blocking, &nearly, sizeof(nearly)), 8);
	EXPECT_EQ(raw_msi(&raw, 0, 1, &blocking), 0);
	card_msi(raw.card, 0);
	EXPECT_EQ(set(NONE, MSI, 0, 1, NULL, 0), 0);
	close(blocking);
	irq_close();
}

static atomic_bool firing;

static void *fire_main(void *arg)
{
	unsigned long count = 0;

	while (atomic_load(&firing)) {
		card_msi(arg, 5);
		if (++count % 64 == 0)
			usleep(10);
	}
	return NULL;
}

static void test_irq_eventfds_are_replaced_while_firing(void)
{
	unsigned int before, i;
	pthread_t thread;

	ASSERT(irq_open());
	before = raw_fd_count();
	atomic_store(&firing, true);
	ASSERT(!pthread_create(&thread, NULL, fire_main, raw.card));
	for (i = 0; i < 500; i++) {
		EXPECT_EQ(raw_msi(&raw, 0, 8, events + i % 8), 0);
		if (i % 3 == 0)
			EXPECT_EQ(raw_msi(&raw, 0, 8, NULL), 0);
	}
	atomic_store(&firing, false);
	pthread_join(thread, NULL);
	EXPECT_EQ(set(NONE, MSI, 0, 0, NULL, 0), 0);
	EXPECT_EQ(raw_fd_count(), before);
	irq_close();
}

int main(void)
{
	RUN(test_irq_vectors_come_in_chunks);
	RUN(test_irq_triggers_of_the_client_fire);
	RUN(test_irq_error_and_request_take_one_eventfd);
	RUN(test_irq_nonsense_is_refused);
	RUN(test_irq_files_and_pipes_are_refused);
	RUN(test_irq_raised_before_assignment_is_not_lost);
	RUN(test_irq_deassigned_vector_is_silent);
	RUN(test_irq_disable_forgets_all);
	RUN(test_irq_full_eventfd_blocks_nobody);
	RUN(test_irq_eventfds_are_replaced_while_firing);
	return tap_done();
}
