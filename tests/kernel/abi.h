/* SPDX-License-Identifier: MIT */
/*
 * What the tests of the driver's ABI share. Each test runs in a process of its own, so that it may
 * drop privileges, crash, or hang in the driver without taking the others along.
 *
 * Nothing of the project but include/ is used: the program is one file to carry to any machine.
 */
#ifndef TETHYS_TESTS_KERNEL_ABI_H
#define TETHYS_TESTS_KERNEL_ABI_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>

#include <uapi/metis.h>

#define ARRAY_NR(a) (sizeof(a) / sizeof((a)[0]))
#define ABI_PAGE 4096u
#define ABI_MIB 0x100000u
/* Card memory of test number n (or thread n of a test): 64 MiB that nobody else uses. */
#define ABI_SLOT_BYTES 0x4000000ull
#define ABI_CARD(n) (abi_card + ABI_SLOT_BYTES * (n))

struct abi_test {
	const char *name;
	void (*run)(void);
	const char *vendor; /* defect for which the vendor's driver isn't asked; NULL: it is */
};

/* Each ended by an entry without a name. */
extern const struct abi_test abi_node_tests[], abi_mmap_tests[], abi_memory_tests[],
	abi_dmabuf_tests[], abi_flags_tests[], abi_irq_tests[], abi_race_tests[],
	abi_compat_tests[];

extern const char *abi_device; /* path of the node */
extern uint64_t abi_card;      /* first card address the tests may overwrite */
extern bool abi_vendor;	       /* the driver is the vendor's */

/* --- verdicts; from any thread of the test's process --- */

void abi_fail(const char *file, int line, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void abi_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* The test is over here. Only for what this machine truly can't do. Doesn't return. */
void abi_skip(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));
bool abi_expect_ret(const char *file, int line, const char *what, long got, const long *want,
		    unsigned int nr);
bool abi_has_failed(void);

#define EXPECT(cond) ((cond) ? true : (abi_fail(__FILE__, __LINE__, "%s", #cond), false))
#define EXPECT_EQ(a, b)                                                                            \
	do {                                                                                       \
		long long abi_a = (long long)(a), abi_b = (long long)(b);                          \
		if (abi_a != abi_b)                                                                \
			abi_fail(__FILE__, __LINE__, "%s is %#llx, not %s = %#llx", #a, abi_a, #b, \
				 abi_b);                                                           \
	} while (0)
#define ASSERT(cond)               \
	do {                       \
		if (!EXPECT(cond)) \
			return;    \
	} while (0)
/* The call returns one of these; errors are negative errno. */
#define EXPECT_RET(call, ...)                                                          \
	abi_expect_ret(__FILE__, __LINE__, #call, (call), (const long[]){__VA_ARGS__}, \
		       sizeof((const long[]){__VA_ARGS__}) / sizeof(long))
#define ASSERT_RET(call, ...)                       \
	do {                                        \
		if (!EXPECT_RET(call, __VA_ARGS__)) \
			return;                     \
	} while (0)

/* --- the node --- */

int abi_open(void); /* ends the test when it can't */
/* Return: what the request returned, or a negative errno. @arg: address, or value of MSG_LOCK. */
long abi_call(int fd, unsigned long request, void *arg);
/* Directory of the card in sysfs; ends the test when there is none. */
void abi_sysfs(int fd, char *ret_path, size_t bytes);

/* Card address of the lists: where firmware says, else where they always were. */
uint64_t abi_lists_base(int fd);

/* --- memory --- */

void abi_fill(void *to, size_t len, uint64_t seed);
/* Offset of the first byte that is not abi_fill()'s, or -1. */
long abi_differs(const void *from, size_t len, uint64_t seed);
void *abi_memory(size_t len); /* anonymous; ends the test when there is none */
long abi_transfer(int fd, unsigned int flags, uint64_t card, const void *user, uint64_t size);
/* @from to the card and back into @to, which may be the same; data is checked. */
bool abi_round_trip(int fd, uint64_t card, void *from, void *to, size_t len);

/* A buffer of the system heap. */
struct abi_buf {
	int fd;
	uint8_t *map;
	size_t size;
};

void abi_buf_create(size_t size, struct abi_buf *ret_buf); /* ends the test without a heap */
void abi_buf_destroy(struct abi_buf *buf);
long abi_attach(int fd, int dmabuf);
long abi_dma(int fd, unsigned int flags, uint64_t card, uint32_t offset, uint64_t size,
	     int channel);

/* --- processes, rights, time --- */

bool abi_can_rawio(void);
/* CAP_SYS_RAWIO is gone for good; ends the test when the driver gives everybody everything. */
void abi_drop_rawio(void);
uint64_t abi_now_ms(void);
void abi_sleep_ms(unsigned int ms);
/* SIGALRM in so many ms, which interrupts a system call. 0: no more. */
void abi_alarm_ms(unsigned int ms);
/* Waits for a child. Return: its wait status, or -ETIMEDOUT (it is still there). */
int abi_wait(int pid, unsigned int timeout_ms);
bool abi_poll_in(int fd, int timeout_ms);

#endif
