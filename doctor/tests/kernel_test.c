/* SPDX-License-Identifier: MIT */
/* Records of the kernel's log: a socket and files play /dev/kmsg. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "doctor/log/kernel.h"
#include "tests/tap.h"

static char lines[KERNEL_LINES_BYTES + 1];

static const char *lines_of(const char *record)
{
	lines[kernel_record_lines(record, strlen(record), lines)] = '\0';
	return lines;
}

static void test_record_becomes_a_line_of_dmesg(void)
{
	EXPECT_STR(lines_of("4,9,1234567,-;foo 0000:3a:00.0: bar\n SUBSYSTEM=pci\n DEVICE=+pci\n"),
		   "[    1.234567] foo 0000:3a:00.0: bar\n");
	EXPECT_STR(lines_of("30,123456,98765000042,c,caller=T12;a;b"), "[98765.000042] a;b\n");
	EXPECT_STR(lines_of("6,1,0,-;\n"), "[    0.000000] \n");
}

static void test_record_is_unescaped(void)
{
	EXPECT_STR(lines_of("4,9,1000000,-;a\\x09b\\x5cx41\\xg1\\x4"),
		   "[    1.000000] a\tb\\x41\\xg1\\x4\n");
	EXPECT_STR(lines_of("4,9,1000000,-;one\\x0atwo"),
		   "[    1.000000] one\n[    1.000000] two\n");
}

static void test_record_without_a_head_stays(void)
{
	EXPECT_STR(lines_of("hello, world;\n"), "hello, world;\n");
	EXPECT_STR(lines_of("4,9,;x"), "4,9,;x\n");
	EXPECT_STR(lines_of("4,9,12345678901234567890123,-;x"),
		   "4,9,12345678901234567890123,-;x\n");
	EXPECT_STR(lines_of("4,9,1,-"), "4,9,1,-\n");
	EXPECT_STR(lines_of(""), "\n");
}

static void test_record_of_newlines_stays_in_its_room(void)
{
	char record[KERNEL_RECORD_BYTES];
	size_t used = (size_t)snprintf(record, sizeof(record), "4,9,18446744073709551,-;"), size;

	while (used + 4 <= sizeof(record)) {
		memcpy(record + used, "\\x0a", 4);
		used += 4;
	}
	size = kernel_record_lines(record, used, lines);
	EXPECT(size > KERNEL_RECORD_BYTES && size <= KERNEL_LINES_BYTES);
	EXPECT_EQ(lines[size - 1], '\n');
}

static struct arena arena;
static struct doctor_facts facts;
static struct doctor_parser *parser;
static char kept[1024];

static void keep(void *context, uint64_t number, const char *line)
{
	size_t used = strlen(kept);

	(void)context;
	(void)number;
	snprintf(kept + used, sizeof(kept) - used, "%s\n", line);
}

static void begin(void)
{
	arena = (struct arena){0};
	kept[0] = '\0';
	doctor_facts_init(&facts, &arena);
	parser = doctor_parser_create(&facts, "kernel log", DOCTOR_SIDE_HOST, keep, NULL);
}

static void end(void)
{
	doctor_parser_destroy(parser);
	doctor_facts_deinit(&facts);
	arena_free(&arena);
}

#define FAULT                                                                                   \
	"3,7,5000001,-;DMAR: [DMA Write NO_PASID] Request device [3a:00.1] fault addr 0x7c000 " \
	"[fault reason 0x05] x\n"

static void test_following_gives_facts_with_time_and_plain_text(void)
{
	struct reason why = {{0}};
	int fd[2];

	begin();
	ASSERT(!socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, fd));
	EXPECT_EQ(doctor_log_follow(fd[0], parser, &why), 0);
	EXPECT(write(fd[1], FAULT, strlen(FAULT)) > 0);
	EXPECT(write(fd[1], "6,8,5000002,-;nothing\n", 22) > 0);
	EXPECT_EQ(doctor_log_follow(fd[0], parser, &why), 2);
	EXPECT_EQ(doctor_log_follow(fd[0], parser, &why), 0);
	ASSERT_EQ(facts.count, 1);
	EXPECT_EQ(facts.fact[0].time_us, 5000001);
	EXPECT(!strncmp(facts.fact[0].text, "[    5.000001] DMAR: [DMA", 25));
	EXPECT(!strncmp(kept, "[    5.000001] DMAR: [DMA", 25));
	EXPECT(!strstr(kept, "3,7,"));
	close(fd[0]);
	close(fd[1]);
	end();
}

static void test_smmu_words_are_found_behind_their_escaped_tab(void)
{
	static const char *const records[] = {
		"4,1,7000000,-;arm-smmu-v3 fe0.iommu: event 0x10 received:\n",
		"4,2,7000001,-;arm-smmu-v3 fe0.iommu: \\x090x0000021000000010\n",
		"4,3,7000002,-;arm-smmu-v3 fe0.iommu: \\x090x0000020800000000\n",
		"4,4,7000003,-;arm-smmu-v3 fe0.iommu: \\x090x00000000fff02040\n",
		"4,5,7000004,-;arm-smmu-v3 fe0.iommu: \\x090x0000000000000000\n",
	};
	struct reason why = {{0}};
	int fd[2];

	begin();
	ASSERT(!socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, fd));
	for (size_t i = 0; i < sizeof(records) / sizeof(*records); i++)
		EXPECT(write(fd[1], records[i], strlen(records[i])) > 0);
	EXPECT_EQ(doctor_log_follow(fd[0], parser, &why), 5);
	doctor_parser_finish(parser);
	ASSERT_EQ(facts.count, 1);
	EXPECT_EQ(facts.fact[0].address, 0xfff02040);
	close(fd[0]);
	close(fd[1]);
	end();
}

static void test_files_are_read_and_followed(void)
{
	char path[] = "/tmp/kernel-test-XXXXXX";
	struct reason why = {{0}};
	int file = mkstemp(path), fd = -1;

	begin();
	ASSERT(file >= 0);
	EXPECT(write(file, FAULT, strlen(FAULT)) > 0);
	EXPECT_EQ(kernel_read_records(path, parser), 0);
	EXPECT_EQ(facts.count, 1);
	/* What is there already isn't news. */
	ASSERT_EQ(kernel_follow_open(path, &fd, &why), 0);
	EXPECT_EQ(doctor_log_follow(fd, parser, &why), 0);
	EXPECT(write(file, FAULT, strlen(FAULT)) > 0);
	EXPECT_EQ(doctor_log_follow(fd, parser, &why), 1);
	EXPECT_EQ(facts.count ? facts.fact[0].count : 0, 2);
	close(fd);
	close(file);
	unlink(path);
	end();
}

static void test_log_that_is_not_there_is_an_error_with_its_name(void)
{
	struct reason why = {{0}};
	int fd = -1;

	begin();
	EXPECT_EQ(kernel_read_records("/nonexistent/kmsg", parser), -ENOENT);
	EXPECT_EQ(kernel_follow_open("/nonexistent/kmsg", &fd, &why), -ENOENT);
	EXPECT_HAS(why.text, "/nonexistent/kmsg");
	end();
}

int main(void)
{
	RUN(test_record_becomes_a_line_of_dmesg);
	RUN(test_record_is_unescaped);
	RUN(test_record_without_a_head_stays);
	RUN(test_record_of_newlines_stays_in_its_room);
	RUN(test_following_gives_facts_with_time_and_plain_text);
	RUN(test_smmu_words_are_found_behind_their_escaped_tab);
	RUN(test_files_are_read_and_followed);
	RUN(test_log_that_is_not_there_is_an_error_with_its_name);
	return tap_done();
}
