/* SPDX-License-Identifier: MIT */
/*
 * What the chardev backend does with a driver's node: names, both ways of DMA, what it says when
 * they fail, interrupts, a card that goes away.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/device/pci.h"
#include "runtime/device/tests/fake_node.h"
#include "tests/tap.h"

#define BYTES ((size_t)20000)

static struct axdev *open_card(const char *dma, bool no_healing)
{
	struct axdev_options options = {.dma = dma, .no_healing = no_healing};
	struct reason why = {""};
	struct axdev *dev = NULL;

	if (fake_init() || chardev_open(&fake_sys, "chardev", &options, &dev, &why))
		TAP_FAIL("no card: %s", why.text);
	return dev;
}

static void close_card(struct axdev *dev)
{
	axdev_close(dev);
	EXPECT_EQ(fake_open_nr(), 0);
	fake_deinit();
}

static void fill(uint8_t *data, size_t len, unsigned int seed)
{
	size_t i;

	for (i = 0; i < len; i++)
		data[i] = (uint8_t)(i * 7 + i / 251 + seed);
}

/* --- names --- */

static void test_name_both_forms_are_one_card(void)
{
	static const char *const bad[] = {
		"metis",	 "metis-0:86",	  "metis-0:86-0",	 "metis-0:86:0.0",
		"metis-0:186:0", "metis-0::0",	  "metis-0:86:0/../",	 "metis-g:86:0",
		"triton-0:86:0", "metis-0:86:0 ", "metis-123456789:86:0"};
	char name[CHARDEV_NAME_BYTES] = "x";
	size_t i;

	EXPECT(chardev_parse("metis-0:86:0", name));
	EXPECT_STR(name, "metis-0:86:0");
	EXPECT(chardev_parse("metis-10000-C6-1f", name));
	EXPECT_STR(name, "metis-10000:c6:1f");
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (chardev_parse(bad[i], name))
			TAP_FAIL("\"%s\" is taken", bad[i]);
}

static void collect(void *ctx, const char *name)
{
	char *all = ctx;

	snprintf(all + strlen(all), 256 - strlen(all), "%s ", name);
}

static void test_list_names_each_node_once_in_order(void)
{
	char all[256] = "", name[CHARDEV_NAME_BYTES] = "", link[256];
	struct reason why = {""};

	ASSERT_EQ(fake_init(), 0);
	fake_put("/dev/metis-0:3:0", "");
	fake_put("/dev/metis-0:86:0", "");
	fake_put("/dev/metis-junk", "");
	chardev_list(&fake_sys, collect, all);
	EXPECT_STR(all, "metis-0:3:0 metis-0:86:0 ");
	EXPECT_EQ(chardev_resolve(&fake_sys, "chardev", name, NULL), 0);
	EXPECT_STR(name, "metis-0:3:0");
	EXPECT_EQ(chardev_resolve(&fake_sys, "/dev/metis-0-86-0", name, NULL), 0);
	EXPECT_STR(name, "metis-0:86:0");
	snprintf(link, sizeof(link), "%s/dev/metis0", fake.root);
	EXPECT_EQ(symlink("metis-0:3:0", link), 0);
	EXPECT_EQ(chardev_resolve(&fake_sys, "/dev/metis0", name, NULL), 0);
	EXPECT_STR(name, "metis-0:3:0");
	EXPECT_EQ(chardev_resolve(&fake_sys, "/dev/metis1", name, NULL), -ENODEV);
	EXPECT_EQ(chardev_resolve(&fake_sys, "metis-x", name, &why), -EINVAL);
	EXPECT_HAS(why.text, "metis-DOMAIN:BUS:SLOT");
	fake_deinit();
}

static void expect_no_open(const char *name, int err, const char *words)
{
	static const struct axdev_options options;
	struct reason why = {""};
	struct axdev *dev;

	EXPECT_EQ(chardev_open(&fake_sys, name, &options, &dev, &why), err);
	EXPECT_HAS(why.text, words);
	EXPECT_EQ(fake_open_nr(), 0);
}

static void test_open_failure_says_what_to_do(void)
{
	ASSERT_EQ(fake_init(), 0);
	expect_no_open("metis-0:87:0", -ENODEV, "tethys devices");
	fake.open_err = -EACCES;
	expect_no_open("metis-0:86:0", -EACCES, "be root, or in the group");
	fake.open_err = -ENODEV;
	expect_no_open("metis-0:86:0", -ENODEV, "see dmesg");
	fake.open_err = 0;
	fake.ioctl_err = -ENOTTY;
	expect_no_open("metis-0:86:0", -EPROTO, "not of a Metis driver");
	fake.ioctl_err = 0;
	fake.l2_bytes = METIS_BAR_L2_BYTES / 2;
	expect_no_open("metis-0:86:0", -EPROTO, "bytes of L2");
	fake_deinit();
	EXPECT_EQ(axdev_open("metis-1:2", NULL, NULL, NULL), -EINVAL);
}

static void test_chardev_without_a_node_names_the_module(void)
{
	ASSERT_EQ(fake_init(), 0);
	fake_deinit(); /* its folder is gone too */
	expect_no_open("chardev", -ENODEV, "modprobe tethys_metis");
}

/* --- transfers --- */

static void expect_there_and_back(struct axdev *dev)
{
	struct axdev_buf buf = {0};
	struct reason why = {""};
	uint8_t *out, *back;

	ASSERT_EQ(dev->ops->buf_alloc(dev, 2 * BYTES, &buf, &why), 0);
	out = buf.ptr;
	back = out + BYTES;
	fill(out, BYTES, 3);
	EXPECT_EQ(dev->ops->xfer(dev, AXDEV_TO_CARD, 2, METIS_DDR_BASE + 64, &buf, 1, BYTES - 1,
				 &why),
		  0);
	EXPECT_EQ(dev->ops->xfer(dev, AXDEV_FROM_CARD, -1, METIS_DDR_BASE + 64, &buf, BYTES,
				 BYTES - 1, &why),
		  0);
	EXPECT(!memcmp(out + 1, back, BYTES - 1));
	EXPECT_STR(why.text, "");
	EXPECT_EQ(dev->ops->xfer(dev, AXDEV_TO_CARD, 4, METIS_DDR_BASE, &buf, 0, 1, NULL), -EINVAL);
	EXPECT_EQ(dev->ops->xfer(dev, AXDEV_TO_CARD, 0, METIS_DDR_BASE, &buf, 1, 2 * BYTES, NULL),
		  -EINVAL);
	EXPECT_EQ(dev->ops->xfer(dev, AXDEV_TO_CARD, 0, UINT64_MAX, &buf, 0, 2, NULL), -EINVAL);
	dev->ops->buf_free(dev, &buf);
	EXPECT(!buf.ptr);
}

static void test_user_memory_is_moved_in_chunks(void)
{
	struct axdev *dev = open_card(NULL, false);

	ASSERT(dev);
	chardev_of(dev)->chunk_bytes = 8192;
	expect_there_and_back(dev);
	EXPECT_EQ(fake.user_nr, 6);
	EXPECT_EQ(fake.sizes[0], 8192);
	EXPECT_EQ(fake.sizes[2], BYTES - 1 - 2 * 8192);
	EXPECT_EQ(fake.attach_nr, 0);
	close_card(dev);
}

static void test_dmabuf_is_attached_once_and_awaited(void)
{
	struct axdev *dev = open_card("dmabuf", false);
	uint8_t byte = 0;

	ASSERT(dev);
	chardev_of(dev)->chunk_bytes = 8192;
	expect_there_and_back(dev);
	EXPECT_EQ(fake.dmabuf_nr, 6);
	EXPECT_EQ(fake.status_nr, 6);
	EXPECT_EQ(fake.user_nr, 0);
	EXPECT_EQ(fake.attach_nr, 1);
	EXPECT_EQ(fake.syncs_nr, 6);
	EXPECT_EQ(dev->ops->xfer_user(dev, AXDEV_TO_CARD, -1, METIS_DDR_BASE, &byte, 1, NULL),
		  -ENOTSUP);
	close_card(dev);
}

static void test_dmabuf_in_use_is_attached_to_another_file(void)
{
	struct axdev *dev = open_card("dmabuf", false);
	struct chardev_port *a, *b;
	struct axdev_buf buf;

	ASSERT(dev);
	ASSERT_EQ(dev->ops->buf_alloc(dev, 1, &buf, NULL), 0);
	EXPECT_EQ(chardev_port_take(chardev_of(dev), &buf, &a, NULL), 0);
	EXPECT_EQ(chardev_port_take(chardev_of(dev), &buf, &b, NULL), 0);
	EXPECT(a != b);
	EXPECT_EQ(fake.attach_nr, 2);
	chardev_port_give(chardev_of(dev), a, false);
	chardev_port_give(chardev_of(dev), b, false);
	dev->ops->buf_free(dev, &buf);
	close_card(dev);
}

static void expect_choice(const char *option, const char *env, bool heap, int err,
			  enum chardev_dma dma)
{
	struct axdev_options options = {.dma = option};
	struct reason why = {""};
	struct axdev *dev = NULL;

	ASSERT_EQ(fake_init(), 0);
	fake.no_heap = !heap;
	if (env)
		setenv("TETHYS_DMA", env, 1);
	EXPECT_EQ(chardev_open(&fake_sys, "chardev", &options, &dev, &why), err);
	unsetenv("TETHYS_DMA");
	if (dev)
		EXPECT_EQ(chardev_of(dev)->dma, dma);
	else
		EXPECT_HAS(why.text,
			   err == -EINVAL ? "use user, dmabuf or auto" : "TETHYS_DMA=user");
	axdev_close(dev);
	EXPECT_EQ(fake_open_nr(), 0);
	fake_deinit();
}

static void test_path_is_chosen_by_option_then_environment(void)
{
	expect_choice(NULL, NULL, true, 0, CHARDEV_USER);
	expect_choice(NULL, "", true, 0, CHARDEV_USER);
	expect_choice(NULL, "dmabuf", true, 0, CHARDEV_DMABUF);
	expect_choice("user", "dmabuf", true, 0, CHARDEV_USER);
	expect_choice("auto", NULL, true, 0, CHARDEV_DMABUF);
	expect_choice("auto", NULL, false, 0, CHARDEV_USER);
	expect_choice("dmabuf", NULL, false, -ENOENT, CHARDEV_USER);
	expect_choice(NULL, "both", true, -EINVAL, CHARDEV_USER);
}

/* --- failures --- */

/* @lines, in this order; "[chardev.c:" and a number before those that begin with ']'. */
static void expect_lines(const char *text, const char *const *lines, size_t count)
{
	const char *at = text, *end;
	size_t i, n;

	for (i = 0; i < count; i++) {
		if (lines[i][0] == ']') {
			if (strncmp(at, "[chardev.c:", 11) != 0)
				TAP_FAIL("line %zu of \"%s\" names no source", i, text);
			at += 11;
			at += strspn(at, "0123456789");
		}
		end = strchrnul(at, '\n');
		n = (size_t)(end - at);
		if (n != strlen(lines[i]) || strncmp(at, lines[i], n) != 0)
			TAP_FAIL("line %zu of \"%s\" is not \"%s\"", i, text, lines[i]);
		at = *end ? end + 1 : end;
	}
	if (*at)
		TAP_FAIL("more lines: \"%s\"", at);
}

static void write_fails(struct axdev *dev, int err, struct reason *why)
{
	struct axdev_buf buf;

	ASSERT_EQ(dev->ops->buf_alloc(dev, BYTES, &buf, NULL), 0);
	fill(buf.ptr, BYTES, 9);
	EXPECT_EQ(dev->ops->xfer(dev, AXDEV_TO_CARD, 0, METIS_DDR_BASE, &buf, 0, BYTES, why), err);
	dev->ops->buf_free(dev, &buf);
}

#define TIMED_OUT " failed: Connection timed out"

static void test_timeout_of_both_paths_is_told_in_the_known_lines(void)
{
	static const char *const lines[] = {
		"] DMA_GET_XFER_SYNC_STATUS" TIMED_OUT,
		"] DMABUF_METIS_WAIT" TIMED_OUT,
		"] USR_DMA_XFER" TIMED_OUT,
		"] axl_dma_xfer" TIMED_OUT,
	};
	struct axdev *dev = open_card("dmabuf", false);
	struct reason why = {""};

	ASSERT(dev);
	fake.dmabuf_err = fake.user_err = -ETIMEDOUT;
	write_fails(dev, -ETIMEDOUT, &why);
	expect_lines(why.text, lines, 4);
	EXPECT_EQ(fake.user_nr, 1);
	close_card(dev);
}

static void test_timeout_of_dmabuf_alone_falls_back_to_user_memory(void)
{
	struct axdev *dev = open_card("dmabuf", false);

	ASSERT(dev);
	fake.dmabuf_err = -ETIMEDOUT;
	fake.lose_data = true;
	expect_there_and_back(dev);
	EXPECT_EQ(fake.dmabuf_nr, 2);
	EXPECT_EQ(fake.user_nr, 2);
	/* The file whose transfer hung was closed, and another attached. */
	EXPECT_EQ(fake.attach_nr, 2);
	close_card(dev);
}

static void test_refused_dmabuf_does_not_fall_back(void)
{
	struct axdev *dev = open_card("dmabuf", false);
	struct reason why = {""};

	ASSERT(dev);
	fake.dmabuf_err = -EIO;
	write_fails(dev, -EIO, &why);
	EXPECT_HAS(why.text, "see dmesg\n[chardev.c:");
	EXPECT_EQ(fake.user_nr, 0);
	close_card(dev);
}

static void expect_evidence(bool lose_data, int read_err, const char *first)
{
	const char *const lines[] = {first, "] USR_DMA_XFER" TIMED_OUT, "] axl_dma_xfer" TIMED_OUT};
	struct axdev *dev = open_card("user", true);
	struct reason why = {""};

	ASSERT(dev);
	fake.user_err = -ETIMEDOUT;
	fake.read_err = read_err;
	fake.lose_data = lose_data;
	write_fails(dev, -ETIMEDOUT, &why);
	expect_lines(why.text, lines, 3);
	EXPECT_EQ(fake.sizes[fake.sizes_nr - 1], 4096);
	close_card(dev);
}

static void test_timeout_without_healing_tells_whether_data_arrived(void)
{
	/* The completion of the read is lost too; its bytes are not. */
	expect_evidence(false, -ETIMEDOUT,
			"the data did arrive: card memory holds its last 4096 bytes; only "
			"completions get lost, healing would go on");
	expect_evidence(true, 0, "the data did not arrive: card memory holds other bytes");
	expect_evidence(true, -EIO,
			"whether the data arrived is unknown: reading it back fails: Input/output "
			"error");
}

static void test_gone_card_is_told_by_transfers_and_user_memory_may_be_refused(void)
{
	struct axdev *dev = open_card(NULL, false);
	struct reason why = {""};
	uint8_t byte = 1;

	ASSERT(dev);
	fake.user_err = -EFAULT;
	EXPECT_EQ(dev->ops->xfer_user(dev, AXDEV_TO_CARD, -1, METIS_DDR_BASE, &byte, 1, &why),
		  -ENOTSUP);
	EXPECT_STR(why.text, "");
	fake.user_err = 0;
	EXPECT_EQ(dev->ops->xfer_user(dev, AXDEV_TO_CARD, -1, METIS_DDR_BASE, &byte, 1, &why), 0);
	EXPECT_EQ(fake.ddr[0], 1);
	fake.user_err = -ENODEV;
	EXPECT_EQ(dev->ops->xfer_user(dev, AXDEV_TO_CARD, -1, METIS_DDR_BASE, &byte, 1, &why),
		  -ENODEV);
	EXPECT_HAS(why.text, "metis-0:86:0 is gone");
	close_card(dev);
}

/* --- interrupts --- */

static void test_irq_each_signal_is_one_wait(void)
{
	struct axdev *dev = open_card(NULL, false);
	struct reason why = {""};
	uint64_t start;

	ASSERT(dev);
	dev->ops->irq_clear(dev, 1);
	fake_signal(1);
	fake_signal(1);
	fake_signal(2);
	EXPECT_EQ(dev->ops->irq_wait(dev, 1, 1000, &why), 0);
	EXPECT_EQ(dev->ops->irq_wait(dev, 1, 0, &why), 0);
	start = axdev_now_us();
	EXPECT_EQ(dev->ops->irq_wait(dev, 1, 30, &why), -ETIMEDOUT);
	EXPECT(axdev_now_us() - start >= 30000);
	EXPECT_HAS(why.text, "Failed to wait for MSI 1: Connection timed out");
	fake_signal(1);
	fake_signal(1);
	dev->ops->irq_clear(dev, 1);
	EXPECT_EQ(dev->ops->irq_wait(dev, 1, 0, NULL), -ETIMEDOUT);
	EXPECT_EQ(dev->ops->irq_wait(dev, METIS_IRQ_NR, 0, NULL), -EINVAL);
	fake.ioctl_err = -ENODEV;
	EXPECT_EQ(dev->ops->irq_wait(dev, 1, 1000, NULL), -ENODEV);
	fake.ioctl_err = 0;
	close_card(dev);
}

static void test_losses_of_the_driver_are_counted_from_open_on(void)
{
	static const char path[] = "/sys/class/metis/metis-0:86:0/device/lost_interrupts";
	struct axdev_options options = {0};
	struct axdev *dev;

	ASSERT_EQ(fake_init(), 0);
	fake_put(path, "7\n");
	ASSERT_EQ(chardev_open(&fake_sys, "metis-0:86:0", &options, &dev, NULL), 0);
	EXPECT_EQ(axdev_lost_irqs(dev, true), 0);
	fake_put(path, "9\n");
	EXPECT_EQ(axdev_lost_irqs(dev, false), 0); /* not so soon again */
	EXPECT_EQ(axdev_lost_irqs(dev, true), 2);
	dev->lost_irqs++; /* by the firmware's word */
	fake_put(path, "10\n");
	EXPECT_EQ(axdev_lost_irqs(dev, true), 4);
	close_card(dev);
}

/* --- cores --- */

static void test_cores_are_shared_out_by_the_driver(void)
{
	struct axdev *dev = open_card(NULL, false), *other;
	struct axdev_options options = {0};
	struct reason why = {""};
	unsigned int first = 9;

	ASSERT(dev);
	ASSERT_EQ(chardev_open(&fake_sys, "chardev", &options, &other, NULL), 0);
	EXPECT_EQ(dev->ops->cores_take(dev, 2, &first, NULL), 0);
	EXPECT_EQ(first, 0);
	EXPECT_EQ(other->ops->cores_take(other, 1, &first, NULL), 0);
	EXPECT_EQ(first, 2);
	EXPECT_EQ(other->ops->cores_take(other, 2, &first, &why), -EBUSY);
	EXPECT_HAS(why.text, "fuser -v");
	EXPECT_EQ(first, 2);
	dev->ops->cores_give(dev, 0);
	EXPECT_EQ(other->ops->cores_take(other, 2, &first, NULL), 0);
	EXPECT_EQ(first, 0);
	axdev_close(other);
	EXPECT_EQ(fake.cores, 0);
	close_card(dev);
}

/* --- mappings --- */

static void test_l2_takes_any_length_and_registers_are_the_drivers(void)
{
	struct axdev *dev = open_card(NULL, false);
	struct reason why = {""};
	uint8_t data[100], back[100];
	uint32_t value = 7;

	ASSERT(dev);
	fill(data, 100, 1);
	EXPECT_EQ(dev->ops->bar_write(dev, METIS_BAR_L2, 0x4003, data, 100, NULL), 0);
	EXPECT_EQ(dev->ops->bar_read(dev, METIS_BAR_L2, 0x4003, back, 100, NULL), 0);
	EXPECT(!memcmp(data, back, 100));
	EXPECT_EQ(dev->ops->bar_read(dev, METIS_BAR_L2, METIS_BAR_L2_BYTES - 1, back, 2, NULL),
		  -EINVAL);
	EXPECT_EQ(dev->ops->bar_read(dev, METIS_BAR_EDMA, 0, &value, 4, &why), -EPERM);
	EXPECT_HAS(why.text, "user_registers=1");
	EXPECT_EQ(dev->ops->bar_write(dev, METIS_BAR_EDMA, 0, &value, 4, NULL), -EPERM);
	fake.show_regs = true;
	EXPECT_EQ(dev->ops->bar_read(dev, METIS_BAR_EDMA, 0, &value, 4, NULL), 0);
	EXPECT_EQ(value, 0);
	close_card(dev);
}

static void test_card_that_goes_away_is_an_error_until_its_reset(void)
{
	struct axdev *dev = open_card(NULL, false);
	struct reason why = {""};
	uint64_t word = 5, back = 0;
	uint8_t byte = 1;

	ASSERT(dev);
	EXPECT_EQ(dev->ops->bar_write(dev, METIS_BAR_L2, 0x5000, &word, 8, NULL), 0);
	/* A mapping without anything behind is SIGBUS. */
	ASSERT_EQ(ftruncate(fake.l2, 0), 0);
	EXPECT_EQ(dev->ops->bar_read(dev, METIS_BAR_L2, 0x5000, &back, 8, &why), -ENODEV);
	EXPECT_HAS(why.text, "metis-0:86:0 is gone");
	EXPECT_EQ(back, UINT64_MAX);
	EXPECT_EQ(dev->ops->bar_write(dev, METIS_BAR_L2, 0x9000, &word, 8, NULL), -ENODEV);
	EXPECT_EQ(dev->ops->xfer_user(dev, AXDEV_TO_CARD, -1, METIS_DDR_BASE, &byte, 1, NULL),
		  -ENODEV);
	EXPECT_EQ(dev->ops->reset(dev, NULL), -EOPNOTSUPP);
	fake_put("/sys/class/metis/metis-0:86:0/device/reset", "");
	ASSERT_EQ(ftruncate(fake.l2, METIS_BAR_L2_BYTES), 0);
	EXPECT_EQ(dev->ops->reset(dev, NULL), 0);
	EXPECT_EQ(dev->ops->bar_write(dev, METIS_BAR_L2, 0x5000, &word, 8, NULL), 0);
	EXPECT_EQ(dev->ops->bar_read(dev, METIS_BAR_L2, 0x5000, &back, 8, NULL), 0);
	EXPECT_EQ(back, 5);
	close_card(dev);
}

static volatile uint8_t *torn_page(void)
{
	int fd = memfd_create("torn", MFD_CLOEXEC);
	volatile uint8_t *page = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);

	return page;
}

/* In a process of its own: the first guard of a process remembers who handled SIGBUS before. */
static int in_child(void (*fn)(void))
{
	int status = 0;
	pid_t child = fork();

	if (!child) {
		fn();
		_exit(0);
	}
	waitpid(child, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void exit_42(int number)
{
	(void)number;
	_exit(42);
}

static void die_by_foreign_fault(void)
{
	static uint8_t ours[4096];

	signal(SIGBUS, SIG_DFL);
	chardev_guard_create(ours, sizeof(ours));
	(void)*torn_page();
}

static void call_foreign_handler(void)
{
	static uint8_t ours[4096];

	signal(SIGBUS, exit_42);
	chardev_guard_create(ours, sizeof(ours));
	(void)*torn_page();
}

static void test_guard_leaves_faults_of_others_alone(void)
{
	EXPECT_EQ(in_child(die_by_foreign_fault), 128 + SIGBUS);
	EXPECT_EQ(in_child(call_foreign_handler), 42);
}

int main(void)
{
	unsetenv("TETHYS_DMA");
	RUN(test_guard_leaves_faults_of_others_alone); /* first: before any guard */
	RUN(test_name_both_forms_are_one_card);
	RUN(test_list_names_each_node_once_in_order);
	RUN(test_open_failure_says_what_to_do);
	RUN(test_chardev_without_a_node_names_the_module);
	RUN(test_user_memory_is_moved_in_chunks);
	RUN(test_dmabuf_is_attached_once_and_awaited);
	RUN(test_dmabuf_in_use_is_attached_to_another_file);
	RUN(test_path_is_chosen_by_option_then_environment);
	RUN(test_timeout_of_both_paths_is_told_in_the_known_lines);
	RUN(test_timeout_of_dmabuf_alone_falls_back_to_user_memory);
	RUN(test_refused_dmabuf_does_not_fall_back);
	RUN(test_timeout_without_healing_tells_whether_data_arrived);
	RUN(test_gone_card_is_told_by_transfers_and_user_memory_may_be_refused);
	RUN(test_irq_each_signal_is_one_wait);
	RUN(test_losses_of_the_driver_are_counted_from_open_on);
	RUN(test_cores_are_shared_out_by_the_driver);
	RUN(test_l2_takes_any_length_and_registers_are_the_drivers);
	RUN(test_card_that_goes_away_is_an_error_until_its_reset);
	return tap_done();
}
