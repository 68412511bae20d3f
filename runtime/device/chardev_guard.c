/* SPDX-License-Identifier: MIT */
/*
 * SIGBUS on a mapping of the card.
 *
 * A driver takes its mappings away when the card is unplugged or reset, and whoever touches one
 * then gets SIGBUS; asking before each access would be late and slow. The handler replaces the page
 * that was touched by one of ones, so that the access goes on and its thread sees what any driver
 * sees on a dead bus. It uses nothing but atomics and mmap(), which is a plain system call here.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "runtime/device/chardev.h"

#define GUARDS_MAX 64

/* Never freed: a handler may look at it at any time. */
struct chardev_guard {
	atomic_bool used;
	_Atomic(uintptr_t) start; /* 0: nothing to guard */
	atomic_size_t bytes;
	atomic_bool hit;
};

static struct {
	pthread_once_t once;
	bool ready;
	int ones; /* a file with a page of ones, which can be put in place in one step */
	size_t page;
	struct sigaction before;
	struct chardev_guard guards[GUARDS_MAX];
} state = {.once = PTHREAD_ONCE_INIT, .ones = -1};

static struct chardev_guard *guard_at(uintptr_t addr)
{
	struct chardev_guard *guard;
	uintptr_t start;
	size_t i;

	for (i = 0; i < GUARDS_MAX; i++) {
		guard = &state.guards[i];
		start = atomic_load(&guard->start);
		if (start && addr >= start && addr - start < atomic_load(&guard->bytes))
			return guard;
	}
	return NULL;
}

static bool put_ones(struct chardev_guard *guard, uintptr_t addr)
{
	uintptr_t page = addr & ~(uintptr_t)(state.page - 1);

	atomic_store(&guard->hit, true);
	/* Two threads at once put the same twice. */
	return mmap((void *)page, state.page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED,
		    state.ones, 0) != MAP_FAILED;
}

/* As if we were not here. */
static void pass_on(int signal, siginfo_t *info, void *context)
{
	struct sigaction plain = {.sa_handler = SIG_DFL};

	if (state.before.sa_flags & SA_SIGINFO) {
		state.before.sa_sigaction(signal, info, context);
	} else if (state.before.sa_handler == SIG_IGN && info->si_code <= 0) {
		/* Sent by somebody, and to be ignored. */
	} else if (state.before.sa_handler == SIG_DFL || state.before.sa_handler == SIG_IGN) {
		sigaction(signal, &plain, NULL);
		raise(signal); /* taken when this handler returns */
	} else {
		state.before.sa_handler(signal);
	}
}

static void on_sigbus(int signal, siginfo_t *info, void *context)
{
	int saved = errno;
	struct chardev_guard *guard = NULL;

	if (info->si_code > 0)
		guard = guard_at((uintptr_t)info->si_addr);
	if (!guard || !put_ones(guard, (uintptr_t)info->si_addr))
		pass_on(signal, info, context);
	errno = saved;
}

static bool make_ones(void)
{
	void *page = malloc(state.page);
	bool written;

	state.ones = memfd_create("tethys-ones", MFD_CLOEXEC);
	if (page)
		memset(page, 0xff, state.page);
	written = page && state.ones >= 0 &&
		  pwrite(state.ones, page, state.page, 0) == (ssize_t)state.page;
	free(page);
	return written;
}

/* Once: were it put in again over a handler that passes on to it, they would call each other. */
static void set_up(void)
{
	struct sigaction ours = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO | SA_ONSTACK};

	state.page = (size_t)sysconf(_SC_PAGESIZE);
	sigemptyset(&ours.sa_mask);
	state.ready = make_ones() && !sigaction(SIGBUS, &ours, &state.before);
}

struct chardev_guard *chardev_guard_create(void *start, size_t bytes)
{
	struct chardev_guard *guard;
	bool used;
	size_t i;

	pthread_once(&state.once, set_up);
	for (i = 0; state.ready && i < GUARDS_MAX; i++) {
		guard = &state.guards[i];
		used = false;
		if (!atomic_compare_exchange_strong(&guard->used, &used, true))
			continue;
		atomic_store(&guard->hit, false);
		atomic_store(&guard->bytes, bytes);
		atomic_store(&guard->start, (uintptr_t)start);
		return guard;
	}
	return NULL;
}

void chardev_guard_destroy(struct chardev_guard *guard)
{
	if (!guard)
		return;
	atomic_store(&guard->start, 0);
	atomic_store(&guard->used, false);
}

bool chardev_guard_hit(const struct chardev_guard *guard)
{
	return atomic_load_explicit(&guard->hit, memory_order_relaxed);
}

void chardev_guard_renew(struct chardev_guard *guard)
{
	atomic_store(&guard->hit, false);
}
