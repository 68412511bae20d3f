/* SPDX-License-Identifier: MIT */
/*
 * The command "tethys card" from outside: its control socket, its seeds, its record.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "lab/isolation.h"
#include "tests/e2e/e2e.h"
#include "tests/tap.h"

#define REPLY_MS 5000

static char dir[PATH_MAX]; /* of this program's run; made in main() */
static char ctl[PATH_MAX + 16], record[PATH_MAX + 16];

/* --- control --- */

static int control_connect(void)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (strlen(ctl) >= sizeof(addr.sun_path))
		return -1;
	strcpy(addr.sun_path, ctl);
	if (fd < 0 || !connect(fd, (struct sockaddr *)&addr, sizeof(addr)))
		return fd;
	close(fd);
	return -1;
}

/* One line, without its '\n'; "" when the other side has closed. */
static const char *control_line(int fd)
{
	static char line[4096];
	struct pollfd pfd = {.fd = fd, .events = POLLIN};
	size_t len = 0;

	while (len < sizeof(line) - 1 && poll(&pfd, 1, REPLY_MS) > 0 &&
	       recv(fd, line + len, 1, 0) == 1 && line[len] != '\n')
		len++;
	line[len] = '\0';
	return line;
}

static const char *control(int fd, const char *command)
{
	char line[512];
	int len = snprintf(line, sizeof(line), "%s\n", command);

	EXPECT_EQ(send(fd, line, (size_t)len, MSG_NOSIGNAL), len);
	return control_line(fd);
}

static bool card_up(struct e2e_card *card, const char *a, const char *b, const char *c)
{
	const char *const extra[] = {
		"--control",	 ctl,	  "--record", record, "--engine", "null",
		"--personality", "1.6.0", a,	      b,      c,	  NULL};

	return !e2e_card_start(card, dir, extra);
}

static void test_card_control_socket_is_its_owners_and_goes_with_the_card(void)
{
	struct e2e_card card;
	struct stat st;
	int fd;

	ASSERT(card_up(&card, NULL, NULL, NULL));
	EXPECT_EQ(stat(ctl, &st), 0);
	EXPECT_EQ(st.st_mode, S_IFSOCK | 0600);
	fd = control_connect();
	ASSERT(fd >= 0);
	EXPECT_HAS(control(fd, "stats"), "{\"ok\":true,\"dma_read_bytes\":0,");
	EXPECT_HAS(control(fd, "frob"), "{\"ok\":false,");
	EXPECT_EQ(e2e_card_stop(&card), 0);
	EXPECT_STR(control_line(fd), "");
	close(fd);
	EXPECT(stat(ctl, &st) && errno == ENOENT);
}

static void test_card_control_socket_of_a_dead_card_is_replaced(void)
{
	struct e2e_card card;
	int fd;

	ASSERT(card_up(&card, NULL, NULL, NULL));
	kill(card.process.pid, SIGKILL);
	EXPECT_EQ(e2e_wait(card.process.pid, 1000), -SIGKILL);
	close(card.process.out);
	close(card.process.err);
	ASSERT(card_up(&card, NULL, NULL, NULL));
	fd = control_connect();
	EXPECT(fd >= 0);
	close(fd);
	EXPECT_EQ(e2e_card_stop(&card), 0);
}

static void test_card_control_socket_of_a_live_card_is_not(void)
{
	char other[PATH_MAX + 16];
	const char *const argv[] = {"tethys", "card", "--socket", other, "--control", ctl, NULL};
	struct e2e_result result;
	struct e2e_card card;
	struct stat st;

	snprintf(other, sizeof(other), "%s/other.sock", dir);
	ASSERT(card_up(&card, NULL, NULL, NULL));
	e2e_run(argv, 10000, &result);
	EXPECT_EQ(result.code, 1);
	EXPECT_HAS(result.err, "another server listens");
	EXPECT_HAS(result.err, "control socket");
	e2e_result_deinit(&result);
	EXPECT(stat(other, &st) && errno == ENOENT);
	EXPECT_EQ(e2e_card_stop(&card), 0);
}

static void test_card_control_takes_any_bytes_in_any_pieces(void)
{
	struct e2e_card card;
	char lots[2048];
	int fd, other;

	ASSERT(card_up(&card, NULL, NULL, NULL));
	fd = control_connect();
	/* Half a line now, the rest with the next one. */
	EXPECT_EQ(send(fd, "peek 0", 6, MSG_NOSIGNAL), 6);
	e2e_sleep_ms(20);
	EXPECT_EQ(send(fd, "\npeek 4\npe", 10, MSG_NOSIGNAL), 10);
	EXPECT_HAS(control_line(fd), "\"value\"");
	EXPECT_HAS(control_line(fd), "\"value\"");
	EXPECT_HAS(control(fd, "ek 8"), "\"value\"");
	EXPECT_EQ(send(fd, "stats\0x\n", 8, MSG_NOSIGNAL), 8);
	EXPECT_HAS(control_line(fd), "a command is text");
	/* A line without an end is no command. */
	other = control_connect();
	EXPECT_EQ(send(other, "vanish", 6, MSG_NOSIGNAL), 6);
	shutdown(other, SHUT_WR);
	EXPECT_STR(control_line(other), "");
	close(other);
	EXPECT_HAS(control(fd, "stats"), "\"gone\":false");
	/* One that is too long ends the client, and nobody else. */
	other = control_connect();
	memset(lots, 'a', sizeof(lots));
	EXPECT_EQ(send(other, lots, sizeof(lots), MSG_NOSIGNAL), sizeof(lots));
	EXPECT_HAS(control_line(other), "too long");
	EXPECT_STR(control_line(other), "");
	close(other);
	EXPECT_HAS(control(fd, "stats"), "\"ok\":true");
	close(fd);
	EXPECT_EQ(e2e_card_stop(&card), 0);
}

static void test_card_control_has_eight_clients_at_a_time(void)
{
	struct e2e_card card;
	int fd[8], ninth, i;

	ASSERT(card_up(&card, NULL, NULL, NULL));
	for (i = 0; i < 8; i++) {
		fd[i] = control_connect();
		EXPECT_HAS(control(fd[i], "peek 0"), "\"ok\":true");
	}
	ninth = control_connect();
	EXPECT_HAS(control_line(ninth), "too many clients");
	EXPECT_STR(control_line(ninth), "");
	close(ninth);
	for (i = 7; i >= 0; i--)
		EXPECT_HAS(control(fd[i], "peek 0"), "\"ok\":true");
	close(fd[3]);
	e2e_sleep_ms(50);
	ninth = control_connect();
	EXPECT_HAS(control(ninth, "peek 0"), "\"ok\":true");
	close(ninth);
	for (i = 0; i < 8; i++)
		if (i != 3)
			close(fd[i]);
	EXPECT_EQ(e2e_card_stop(&card), 0);
}

/* --- seeds --- */

static void test_card_seeds_are_there_before_anybody_connects(void)
{
	struct e2e_card card;
	int fd;

	ASSERT(card_up(&card, "--seed", "poke 0x60 0xfee00418", "lose-interrupts 2"));
	fd = control_connect();
	EXPECT_HAS(control(fd, "peek 0x60"), "0xfee00418");
	EXPECT_HAS(control(fd, "stats"), "\"lose-interrupts\":2");
	close(fd);
	EXPECT_EQ(e2e_card_stop(&card), 0);
}

static void test_card_bad_seed_ends_the_start(void)
{
	char path[PATH_MAX + 16];
	const char *const argv[] = {"tethys", "card",	"--socket", path, "--seed",
				    "stats",  "--seed", "poke 3 4", NULL};
	struct e2e_result result;
	struct stat st;

	snprintf(path, sizeof(path), "%s/seed.sock", dir);
	e2e_run(argv, 10000, &result);
	EXPECT_EQ(result.code, 1);
	EXPECT_HAS(result.err, "poke 3 4");
	EXPECT_HAS(result.err, "multiple of 4");
	e2e_result_deinit(&result);
	EXPECT(stat(path, &st) && errno == ENOENT);
}

/* --- record --- */

static struct lab_isolation verdict;

static void expect_check(const char *path)
{
	struct reason why = {.text = ""};

	memset(&verdict, 0, sizeof(verdict));
	if (lab_isolation_check(path, &verdict, &why))
		TAP_FAIL("%s", why.text);
}

static void run_dma(const struct e2e_card *card, int expected)
{
	const char *const argv[] = {"tethys", "dma", "--device", card->device, "--max", "4M", NULL};
	struct e2e_result result;

	e2e_run(argv, 60000, &result);
	if (result.code != expected)
		TAP_FAIL("exit code %d, not %d: %s", result.code, expected, result.err);
	e2e_result_deinit(&result);
}

static void expect_clean_record(const char *option, const char *way)
{
	struct e2e_card card;
	char *text;

	ASSERT(card_up(&card, option, NULL, NULL));
	run_dma(&card, 0);
	run_dma(&card, 0);
	EXPECT_EQ(e2e_card_stop(&card), 0);
	expect_check(record);
	EXPECT_STR(verdict.first, "");
	EXPECT_EQ(verdict.violations, 0);
	EXPECT_EQ(verdict.owners, 2);
	EXPECT(verdict.accesses > 20);
	EXPECT(verdict.maps >= 2);
	EXPECT_EQ(verdict.maps, verdict.unmaps);
	EXPECT(verdict.messages > 10);
	text = e2e_read(record, NULL);
	ASSERT(text);
	EXPECT_HAS(text, way);
	free(text);
}

static void test_card_record_of_shared_memory_is_clean(void)
{
	expect_clean_record(NULL, " 0 direct\n");
}

static void test_card_record_of_messages_is_clean(void)
{
	expect_clean_record("--no-direct", " 0 message ");
}

/* Copy the record without its lines that begin with @prefix. */
static void doctor(const char *text, const char *prefix, const char *path_name, char *ret_path)
{
	char *copy = malloc(strlen(text) + 1), *to = copy;
	const char *end;

	ASSERT(copy);
	for (; (end = strchr(text, '\n')); text = end + 1) {
		if (!strncmp(text, prefix, strlen(prefix)))
			continue;
		memcpy(to, text, (size_t)(end + 1 - text));
		to += end + 1 - text;
	}
	EXPECT_EQ(e2e_write(dir, path_name, copy, (size_t)(to - copy), ret_path), 0);
	free(copy);
}

/* The record of the test before this one, with things left out or changed. */
static void test_card_doctored_record_is_found_out(void)
{
	char path[PATH_MAX], *text, *at;
	size_t bytes;

	expect_clean_record(NULL, "map 0x");
	text = e2e_read(record, &bytes);
	ASSERT(text);
	doctor(text, "map ", "no-map", path);
	expect_check(path);
	EXPECT(verdict.violations > 20);
	EXPECT_HAS(verdict.first, "is not mapped");
	/* One single access, a MiB or so beside where it was. */
	at = strstr(text, "\nwrite 0x");
	ASSERT(at);
	at[9 + 3] = '7';
	EXPECT_EQ(e2e_write(dir, "moved", text, bytes, path), 0);
	expect_check(path);
	EXPECT_EQ(verdict.violations, 1);
	free(text);
}

static void test_card_killed_leaves_a_record_of_whole_lines(void)
{
	const char *argv[] = {"tethys", "dma", "--device", NULL, "--max", "64M", NULL};
	struct e2e_process process;
	struct e2e_result result;
	struct e2e_card card;
	size_t bytes = 0;
	char *text;

	ASSERT(card_up(&card, NULL, NULL, NULL));
	argv[3] = card.device;
	ASSERT_EQ(e2e_start(argv, &process), 0);
	e2e_sleep_ms(500);
	kill(card.process.pid, SIGKILL);
	e2e_finish(&process, 20000, &result);
	EXPECT(result.code != 0);
	e2e_result_deinit(&result);
	EXPECT_EQ(e2e_wait(card.process.pid, 1000), -SIGKILL);
	close(card.process.out);
	close(card.process.err);
	text = e2e_read(record, &bytes);
	ASSERT(text && bytes);
	EXPECT_EQ(text[bytes - 1], '\n');
	free(text);
	expect_check(record);
	EXPECT_EQ(verdict.violations, 0);
	EXPECT(verdict.accesses > 10);
}

static void test_card_stray_dma_is_in_the_record(void)
{
	struct e2e_card card;
	int fd;

	ASSERT(card_up(&card, NULL, NULL, NULL));
	fd = control_connect();
	/* Nobody is there to be hurt. */
	EXPECT_HAS(control(fd, "dma-write 0x149800000 4"), "\"name\":\"ENODEV\"");
	EXPECT_HAS(control(fd, "vanish"), "\"ok\":true");
	run_dma(&card, 3);
	EXPECT_HAS(control(fd, "return"), "\"ok\":true");
	run_dma(&card, 0);
	close(fd);
	EXPECT_EQ(e2e_card_stop(&card), 0);
	expect_check(record);
	EXPECT_EQ(verdict.violations, 0);
}

int main(void)
{
	if (e2e_dir_make(dir))
		return 1;
	snprintf(ctl, sizeof(ctl), "%s/ctl", dir);
	snprintf(record, sizeof(record), "%s/record", dir);
	RUN(test_card_control_socket_is_its_owners_and_goes_with_the_card);
	RUN(test_card_control_socket_of_a_dead_card_is_replaced);
	RUN(test_card_control_socket_of_a_live_card_is_not);
	RUN(test_card_control_takes_any_bytes_in_any_pieces);
	RUN(test_card_control_has_eight_clients_at_a_time);
	RUN(test_card_seeds_are_there_before_anybody_connects);
	RUN(test_card_bad_seed_ends_the_start);
	RUN(test_card_record_of_shared_memory_is_clean);
	RUN(test_card_record_of_messages_is_clean);
	RUN(test_card_doctored_record_is_found_out);
	RUN(test_card_killed_leaves_a_record_of_whole_lines);
	RUN(test_card_stray_dma_is_in_the_record);
	e2e_dir_remove(dir);
	return tap_done();
}
