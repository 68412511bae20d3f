// SPDX-License-Identifier: MIT
#include "card/internal.h"

void card_fault_init(struct card_faults *faults)
{
	pthread_mutex_init(&faults->lock, NULL);
}

void card_fault_deinit(struct card_faults *faults)
{
	pthread_mutex_destroy(&faults->lock);
}

void card_fault_arm(struct card *card, enum card_fault fault, uint64_t count)
{
	atomic_store(&card->faults.armed[fault], count);
}

uint64_t card_fault_armed(const struct card *card, enum card_fault fault)
{
	return atomic_load(&card->faults.armed[fault]);
}

bool card_fault_take(struct card *card, enum card_fault fault)
{
	_Atomic uint64_t *armed = &card->faults.armed[fault];
	uint64_t left = atomic_load_explicit(armed, memory_order_relaxed);

	while (left && left != CARD_FAULT_ALL)
		if (atomic_compare_exchange_weak(armed, &left, left - 1))
			return true;
	return left;
}

bool card_vanished(const struct card *card)
{
	return atomic_load_explicit(&card->faults.vanished, memory_order_relaxed);
}
