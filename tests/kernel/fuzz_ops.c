// SPDX-License-Identifier: MIT
/*
 * metis-fuzz: one process. Its threads share a few open files and dma-bufs by slot and do to them
 * what their numbers say: first an operation is made up (that is what a dry run prints), then it is
 * done. User memory is an arena at a fixed address, with guards around, so that no transfer can
 * reach what this process lives on.
 */
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/dma-heap.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <tethys/hw/edma.h>
#include <tethys/hw/fwproto.h>
#include <tethys/hw/memory.h>
#include <uapi/metis.h>

#include "fuzz.h"

#define NR(a) (sizeof(a) / sizeof((a)[0]))
#define PAGE 4096ull
#define MIB 0x100000ull
#define FILES 6
#define BUFFERS 3
#define BUFFER_BYTES (2 * MIB)

/* The arena, reserved without access: parts are put into it, guards stay between them. */
#define ARENA 0x600000000000ull
#define ARENA_BYTES (512 * MIB)
#define PART_PLAIN (ARENA + 16 * MIB)	  /* 48 MiB, anonymous */
#define PART_READ_ONLY (ARENA + 96 * MIB) /* 1 MiB */
#define PART_FILE (ARENA + 128 * MIB)	  /* 1 MiB, shared */
#define PART_HOLES (ARENA + 160 * MIB)	  /* 1 MiB, every fourth page missing */
#define PART_DEVICE (ARENA + 192 * MIB)	  /* 1 MiB of L2 */
#define PART_HUGE (ARENA + 256 * MIB)	  /* 4 MiB */
#define PART_PROGRAM (ARENA + 320 * MIB)  /* pages of the program's file */
#define PART_CHANGING (ARENA + 352 * MIB) /* 2 MiB, mapped and unmapped meanwhile */

enum kind {
	OP_OPEN,
	OP_CLOSE,
	OP_IOCTL,
	OP_MMAP,
	OP_POLL,
	OP_READ,
	OP_ATTACH,
	OP_NEW_BUFFER,
	OP_REMAP,
	OP_NR,
};

static const char *const kind_names[OP_NR] = {"open", "close",	"ioctl",      "mmap", "poll",
					      "read", "attach", "new buffer", "remap"};

struct op {
	enum kind kind;
	unsigned int slot, buffer;
	unsigned long request;
	uint64_t arg; /* the ioctl's; 0xffff...: the address of @words */
	uint64_t words[4];
};
#define ARG_WORDS UINT64_MAX

/* --- values --- */

static const uint64_t users[] = {
	PART_PLAIN,
	PART_PLAIN + 1,
	PART_PLAIN + 4095,
	PART_PLAIN + 7 * MIB,
	PART_PLAIN,
	PART_PLAIN + 64,
	PART_READ_ONLY,
	PART_READ_ONLY + 100,
	PART_FILE,
	PART_FILE + 5000,
	PART_HOLES,
	PART_HOLES + 3 * PAGE - 1,
	PART_DEVICE,
	PART_HUGE,
	PART_HUGE + 12345,
	PART_PROGRAM,
	PART_CHANGING,
	PART_CHANGING + 99,
	ARENA,
	PART_PLAIN + 48 * MIB - 10,
	0,
	1,
	0xffff888000000000,
	0x8000000000000000,
	UINT64_MAX - 4095,
	UINT64_MAX,
	0x7ffffffff000,
	0xffffffffff600000,
};

/* The last five may be refused without CAP_SYS_RAWIO, and left out with it. */
static const uint64_t cards[] = {
	METIS_DDR_BASE + 0x40000000,
	METIS_DDR_BASE + 0x40000000,
	METIS_DDR_BASE + 0x40000001,
	METIS_DDR_BASE + 0x44000fff,
	METIS_DDR_BASE + 0x48000000,
	METIS_DDR_BASE + METIS_DDR_BYTES - 4096,
	METIS_DDR_BASE + METIS_DDR_BYTES,
	METIS_DDR_BASE - 1,
	METIS_L2_BASE + METIS_L2_BYTES,
	0,
	0xfee00000,
	1ull << 40,
	1ull << 63,
	UINT64_MAX - 4095,
	UINT64_MAX,
	METIS_L2_BASE + 0x400000, /* with a large size */
	METIS_L2_BASE,
	METIS_L2_BASE + METIS_FW_AREAS_OFFSET,
	METIS_EDMA_LISTS_BASE,
	METIS_EDMA_LISTS_BASE - 1,
};
#define CARDS_RESERVED 5

static const uint64_t sizes[] = {
	0,
	1,
	2,
	63,
	4095,
	4096,
	4097,
	65536,
	150528,
	MIB - 1,
	MIB,
	2 * MIB,
	8 * MIB,
	45000000,
	64 * MIB,
	0x7fffffff,
	0x80000000,
	0xffffffff,
	0x100000000,
	0x100000001,
	1ull << 47,
	1ull << 63,
	UINT64_MAX - 4095,
	UINT64_MAX - 1,
	UINT64_MAX,
};

static const uint64_t flags[] = {
	METIS_XFER_READ | METIS_XFER_SYNC,
	METIS_XFER_WRITE | METIS_XFER_SYNC,
	METIS_XFER_READ | METIS_XFER_ASYNC,
	METIS_XFER_WRITE | METIS_XFER_ASYNC,
	METIS_XFER_READ | METIS_XFER_SYNC,
	METIS_XFER_WRITE | METIS_XFER_ASYNC,
	METIS_XFER_READ,
	METIS_XFER_WRITE,
	METIS_XFER_READ | METIS_XFER_WRITE,
	METIS_XFER_SYNC,
	15,
	0,
	METIS_XFER_P2P | METIS_XFER_READ | METIS_XFER_SYNC,
	METIS_XFER_P2P | METIS_XFER_WRITE | METIS_XFER_ASYNC,
	UINT32_MAX,
	0x10 | METIS_XFER_READ | METIS_XFER_SYNC,
};

static const uint64_t small[] = {
	0,  1,	2,    3,    4,		5,	    12,		17,	      31,
	32, 64, 1023, 1024, 0x7fffffff, 0x80000000, 0xffffffff, (uint32_t)-2, 255};

static const uint64_t offsets[] = {0,	0,	     0,	      1,	  4095,	     4096,
				   MIB, 2 * MIB - 1, 2 * MIB, 0x80000000, 0xffffffff};

#define PICK(rng, table) ((table)[rng_below(rng, NR(table))])

/* Small ones mostly, so that much gets done; now and then any bits at all. */
static uint64_t pick_size(struct rng *rng)
{
	switch (rng_below(rng, 8)) {
	case 0:
		return rng_next(rng) >> rng_below(rng, 64);
	case 1:
	case 2:
		return PICK(rng, sizes);
	default:
		return 1 + rng_below(rng, 300000);
	}
}

static uint64_t pick_card(struct rng *rng, const struct fuzz_worker *worker)
{
	return cards[rng_below(rng, NR(cards) - (worker->p2p ? CARDS_RESERVED : 0))];
}

/* --- operations, made up --- */

static const unsigned long plain_requests[] = {
	METIS_IOC_CTX_ALLOC,	    METIS_IOC_CTX_FREE,	      METIS_IOC_GET_PROPERTY,
	METIS_IOC_DMA_ATTACH,	    METIS_IOC_DMA_DETACH,     METIS_IOC_DMA_ASYNC_STATUS,
	METIS_IOC_MSI_CLEAN,	    METIS_IOC_MSI_ATTACH,     METIS_IOC_CTX_CORES,
	METIS_IOC_CLEAR_POLL_EVENT, METIS_IOC_GET_RESOURCES,  METIS_IOC_GET_WINDOWS,
	METIS_IOC_FIRMWARE_LOADED,  METIS_IOC_FWTRACE_OPEN,   METIS_IOC_FWTRACE_CLOSE,
	METIS_IOC_FWTRACE_STATS,    METIS_IOC_FWTRACE_ENABLE, METIS_IOC_FWTRACE_DISABLE,
	METIS_IOC_FWTRACE_CLEAR,    METIS_IOC_GET_DMA_STATS,  METIS_IOC_GET_USER_PA,
	METIS_IOC_MSG_LOCK,	    METIS_IOC_DMA_DETACH,     METIS_IOC_DMA_ASYNC_STATUS,
};

static void make_user_xfer(struct op *op, struct rng *rng, const struct fuzz_worker *worker)
{
	struct metis_user_xfer x = {
		.card = pick_card(rng, worker),
		.user = PICK(rng, users),
		.size = pick_size(rng),
		.offset = (uint32_t)PICK(rng, small),
		.flags = (uint32_t)PICK(rng, flags),
	};

	op->request = METIS_IOC_USER_XFER;
	memcpy(op->words, &x, sizeof(x));
}

static void make_dmabuf_xfer(struct op *op, struct rng *rng, const struct fuzz_worker *worker)
{
	struct metis_dmabuf_xfer x = {
		.card = pick_card(rng, worker),
		.size = pick_size(rng),
		.offset = (uint32_t)PICK(rng, offsets),
		.handle = (int32_t)PICK(rng, small),
		.flags = (uint32_t)PICK(rng, flags),
		.channel = (int32_t)rng_below(rng, 6) - 1,
	};

	op->request = rng_below(rng, 4) ? METIS_IOC_DMA_XFER : METIS_IOC_DMA_SYNC_STATUS;
	memcpy(op->words, &x, sizeof(x));
}

/* Without the right to it any address may be tried. */
static void make_p2p_xfer(struct op *op, struct rng *rng, const struct fuzz_worker *worker)
{
	struct metis_p2p_xfer x = {
		.card = pick_card(rng, worker),
		.bus = worker->p2p ? 0 : PICK(rng, users), /* 0: of L2, set when it is done */
		.size = pick_size(rng),
		.channel = (int32_t)rng_below(rng, 6) - 1,
		.flags = (uint32_t)PICK(rng, flags),
	};

	if (worker->p2p)
		x.size &= MIB - 1;
	op->request = METIS_IOC_P2P_XFER;
	memcpy(op->words, &x, sizeof(x));
}

static void make_msi_wait(struct op *op, struct rng *rng)
{
	struct metis_msi_wait x = {
		.number = (int32_t)PICK(rng, small),
		.timeout = rng_below(rng, 3) ? 1 : -(int32_t)rng_below(rng, 5) - 1,
	};

	op->request = METIS_IOC_MSI_WAIT;
	memcpy(op->words, &x, sizeof(x));
}

static void make_ioctl(struct op *op, struct rng *rng, const struct fuzz_worker *worker)
{
	op->arg = ARG_WORDS;
	switch (rng_below(rng, 12)) {
	case 0 ... 3:
		make_user_xfer(op, rng, worker);
		break;
	case 4 ... 6:
		make_dmabuf_xfer(op, rng, worker);
		break;
	case 7:
		make_p2p_xfer(op, rng, worker);
		break;
	case 8:
		if (!rng_below(rng, 8))
			make_msi_wait(op, rng);
		else
			op->request = METIS_IOC_CLEAR_POLL_EVENT;
		break;
	case 9:
		op->request = METIS_IOC_(rng_below(rng, 64), rng_below(rng, 3) * 4);
		op->arg = PICK(rng, users);
		break;
	default:
		op->request = PICK(rng, plain_requests);
		op->words[0] = PICK(rng, small);
		op->words[1] = PICK(rng, users);
	}
	if (!rng_below(rng, 12))
		op->arg = PICK(rng, users);
	if (op->request == METIS_IOC_MSG_LOCK)
		op->arg = rng_below(rng, 2);
}

static struct op make_op(struct rng *rng, const struct fuzz_worker *worker)
{
	static const enum kind kinds[] = {
		OP_OPEN,   OP_CLOSE, OP_MMAP,  OP_POLL,	      OP_READ,	OP_ATTACH,
		OP_ATTACH, OP_IOCTL, OP_REMAP, OP_NEW_BUFFER, OP_IOCTL,
	};
	struct op op = {
		.kind = rng_below(rng, 3) ? OP_IOCTL : PICK(rng, kinds),
		.slot = rng_below(rng, FILES),
		.buffer = rng_below(rng, BUFFERS),
	};

	if (op.kind == OP_IOCTL) {
		make_ioctl(&op, rng, worker);
	} else if (op.kind != OP_ATTACH) {
		op.words[0] = PICK(rng, small);
		op.words[1] = PICK(rng, sizes);
	}
	return op;
}

static void print_op(unsigned int thread, const struct op *op)
{
	printf("# thread %u: %s slot %u", thread, kind_names[op->kind], op->slot);
	if (op->kind == OP_IOCTL)
		printf(" request 0x%lx arg 0x%llx", op->request, (unsigned long long)op->arg);
	for (unsigned int i = 0; i < 4; i++)
		printf(" 0x%llx", (unsigned long long)op->words[i]);
	printf("\n");
}

void fuzz_dry_run(const struct fuzz_worker *worker, uint64_t seed, unsigned int nr)
{
	for (unsigned int t = 0; t < worker->threads; t++) {
		struct rng rng = rng_of(seed, t);

		for (unsigned int i = 0; i < nr; i++) {
			struct op op = make_op(&rng, worker);

			print_op(t, &op);
		}
	}
}

/* --- operations, done --- */

static const struct fuzz_worker *me;
static atomic_int files[FILES], buffers[BUFFERS];
static uint64_t l2_bus;
static _Thread_local sigjmp_buf on_fault;
static _Thread_local volatile sig_atomic_t fault_expected;

/* A mapping of the card is taken away by a reset. */
static void fault(int signum)
{
	if (fault_expected)
		siglongjmp(on_fault, 1);
	signal(signum, SIG_DFL);
	raise(signum);
}

static void replace(atomic_int *slot, int fd)
{
	int old = atomic_exchange(slot, fd);

	if (old >= 0)
		close(old);
}

static void new_buffer(unsigned int slot)
{
	struct dma_heap_allocation_data alloc = {.len = BUFFER_BYTES,
						 .fd_flags = O_RDWR | O_CLOEXEC};
	int heap = open("/dev/dma_heap/system", O_RDONLY | O_CLOEXEC);

	if (heap >= 0 && !ioctl(heap, DMA_HEAP_IOCTL_ALLOC, &alloc))
		replace(&buffers[slot], (int)alloc.fd);
	if (heap >= 0)
		close(heap);
}

static void do_mmap(int fd, const struct op *op)
{
	static const size_t lens[] = {PAGE,    2 * PAGE, MIB, METIS_L2_BYTES, METIS_L2_BYTES + PAGE,
				      64 * MIB};
	const size_t len = lens[op->words[1] % NR(lens)];
	const size_t off = op->words[0] % 4 == 0 ? 0 : op->words[0] * PAGE;
	/* The registers stay out of it, and L2 is only read: a program can break its firmware. */
	volatile uint32_t *at =
		me->p2p && off == PAGE
			? MAP_FAILED
			: mmap(NULL, len, op->words[1] % 3 ? PROT_READ : PROT_READ | PROT_EXEC,
			       MAP_SHARED, fd, (off_t)off);

	if (at == MAP_FAILED)
		return;
	fault_expected = 1;
	if (!sigsetjmp(on_fault, 1))
		(void)at[len / 4 - 1];
	fault_expected = 0;
	munmap((void *)at, len);
}

/* Parts change while others transfer from and to them. */
static void remap(const struct op *op)
{
	void *at = (void *)PART_CHANGING;

	switch (op->words[0] % 4) {
	case 0:
		mmap(at, 2 * MIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
		break;
	case 1:
		mprotect(at, 2 * MIB, PROT_READ);
		break;
	case 2:
		madvise(at, 2 * MIB, MADV_DONTNEED);
		break;
	default:
		mmap(at, 2 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
		     -1, 0);
	}
}

static void do_ioctl(int fd, struct op *op)
{
	/* Room for the longest answer: what comes must not run over what is ours. */
	uint64_t room[128];

	memcpy(room, op->words, sizeof(op->words));
	if (op->request == METIS_IOC_P2P_XFER && me->p2p)
		room[1] = l2_bus + METIS_L2_BYTES / 2;
	ioctl(fd, op->request, op->arg == ARG_WORDS ? (uint64_t)(uintptr_t)room : op->arg);
}

static void do_op(struct op *op)
{
	int fd = atomic_load(&files[op->slot]);
	struct pollfd pfd = {.fd = fd, .events = (short)op->words[1]};
	char bytes[256];
	__s32 buffer;

	switch (op->kind) {
	case OP_OPEN:
		replace(&files[op->slot], open(me->device, O_RDWR | O_CLOEXEC | O_NONBLOCK));
		break;
	case OP_CLOSE:
		replace(&files[op->slot], -1);
		break;
	case OP_IOCTL:
		do_ioctl(fd, op);
		break;
	case OP_MMAP:
		do_mmap(fd, op);
		break;
	case OP_POLL:
		poll(&pfd, 1, (int)(op->words[0] % 8));
		break;
	case OP_READ:
		if (read(fd, bytes, op->words[1] % sizeof(bytes)) < 0)
			break;
		break;
	case OP_ATTACH:
		buffer = atomic_load(&buffers[op->buffer]);
		ioctl(fd, METIS_IOC_DMA_ATTACH, &buffer);
		break;
	case OP_NEW_BUFFER:
		new_buffer(op->buffer);
		break;
	case OP_REMAP:
		remap(op);
		break;
	case OP_NR:
		break;
	}
}

struct thread {
	pthread_t id;
	uint64_t seed;
	unsigned int n;
};

/* For those who wait (for the lock, say) when the time is over. */
static void interrupt(int signum)
{
	(void)signum;
}

static void *thread_main(void *arg)
{
	struct thread *thread = arg;
	struct rng rng = rng_of(thread->seed, thread->n);

	while (fuzz_now_ms() < me->end_ms) {
		struct op op = make_op(&rng, me);

		do_op(&op);
	}
	return NULL;
}

/* --- the process --- */

static void drop_rawio(void)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &head, data))
		_exit(1);
	data[0].effective &= ~(1u << CAP_SYS_RAWIO);
	data[0].permitted &= ~(1u << CAP_SYS_RAWIO);
	data[0].inheritable &= ~(1u << CAP_SYS_RAWIO);
	if (syscall(SYS_capset, &head, data))
		_exit(1);
}

static void put_part(uint64_t at, size_t len, int prot, int flags_, int fd)
{
	/* Where it can't be had (no huge pages), the guard stays. */
	mmap((void *)at, len, prot, flags_ | MAP_FIXED, fd, 0);
}

static void arena_create(void)
{
	const int rw = PROT_READ | PROT_WRITE, anon = MAP_PRIVATE | MAP_ANONYMOUS;
	int file = memfd_create("metis-fuzz", MFD_CLOEXEC);
	int program = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	int fd = atomic_load(&files[0]);

	if (mmap((void *)ARENA, ARENA_BYTES, PROT_NONE, anon | MAP_NORESERVE | MAP_FIXED_NOREPLACE,
		 -1, 0) == MAP_FAILED)
		_exit(1);
	put_part(PART_PLAIN, 48 * MIB, rw, anon, -1);
	put_part(PART_READ_ONLY, MIB, PROT_READ, anon, -1);
	if (!ftruncate(file, MIB))
		put_part(PART_FILE, MIB, rw, MAP_SHARED, file);
	put_part(PART_HOLES, MIB, rw, anon, -1);
	for (uint64_t off = 3 * PAGE; off < MIB; off += 4 * PAGE)
		put_part(PART_HOLES + off, PAGE, PROT_NONE, anon, -1);
	put_part(PART_DEVICE, MIB, PROT_READ, MAP_SHARED, fd);
	put_part(PART_HUGE, 4 * MIB, rw, anon | MAP_HUGETLB, -1);
	put_part(PART_PROGRAM, 4 * PAGE, PROT_READ, MAP_PRIVATE, program);
	put_part(PART_CHANGING, 2 * MIB, rw, anon, -1);
	close(file);
	close(program);
}

static void files_create(void)
{
	struct metis_resources res = {.l2_base = 0};
	unsigned int i;

	for (i = 0; i < FILES; i++)
		atomic_store(&files[i], open(me->device, O_RDWR | O_CLOEXEC | O_NONBLOCK));
	for (i = 0; i < BUFFERS; i++) {
		atomic_store(&buffers[i], -1);
		new_buffer(i);
	}
	ioctl(atomic_load(&files[0]), METIS_IOC_GET_RESOURCES, &res);
	l2_bus = res.l2_base;
}

static void join(struct thread *thread)
{
	struct timespec until;

	for (;;) {
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_sec++;
		if (pthread_timedjoin_np(thread->id, NULL, &until) != ETIMEDOUT)
			return;
		if (fuzz_now_ms() > me->end_ms)
			pthread_kill(thread->id, SIGUSR1);
	}
}

void fuzz_work(const struct fuzz_worker *worker, uint64_t seed)
{
	struct thread threads[FUZZ_THREADS_MAX];
	unsigned int i;

	me = worker;
	if (!me->p2p)
		drop_rawio();
	sigaction(SIGUSR1, &(struct sigaction){.sa_handler = interrupt}, NULL);
	signal(SIGBUS, fault);
	signal(SIGSEGV, fault);
	files_create();
	arena_create();
	for (i = 0; i < me->threads; i++) {
		threads[i].seed = seed;
		threads[i].n = i;
		if (pthread_create(&threads[i].id, NULL, thread_main, &threads[i]))
			_exit(1);
	}
	for (i = 0; i < me->threads; i++)
		join(&threads[i]);
}
