/* SPDX-License-Identifier: MIT */
/*
 * The command as a user meets it: help, wrong use, bad input, pipes, signals.
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <pty.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/e2e/e2e.h"
#include "tests/e2e/onnx_bytes.h"
#include "tests/tap.h"

#define QUICK_MS 20000

static char dir[PATH_MAX];    /* of this program's run; made in main() */
static char relu[PATH_MAX];   /* a network that works */
static char tensor[PATH_MAX]; /* its input */

static void run(struct e2e_result *ret_result, ...) __attribute__((sentinel));

static void run(struct e2e_result *ret_result, ...)
{
	const char *argv[E2E_ARGS_MAX] = {"tethys"};
	size_t n = 1;
	va_list ap;

	va_start(ap, ret_result);
	while (n + 1 < E2E_ARGS_MAX && (argv[n] = va_arg(ap, const char *)))
		n++;
	va_end(ap);
	e2e_run(argv, QUICK_MS, ret_result);
}

#define EXPECT_RUN(want_code, err_part, ...)              \
	do {                                              \
		struct e2e_result expect_result;          \
		run(&expect_result, __VA_ARGS__, NULL);   \
		EXPECT_EQ(expect_result.code, want_code); \
		EXPECT_HAS(expect_result.err, err_part);  \
		e2e_result_deinit(&expect_result);        \
	} while (0)

/* Success has nothing to say on stderr. */
#define EXPECT_OK(...)                                  \
	do {                                            \
		struct e2e_result expect_result;        \
		run(&expect_result, __VA_ARGS__, NULL); \
		EXPECT_EQ(expect_result.code, 0);       \
		EXPECT_STR(expect_result.err, "");      \
		e2e_result_deinit(&expect_result);      \
	} while (0)

/* --- help --- */

static const char *const commands[] = {"demo", "devices", "run", "bench", "dma", "card", "version"};
static const char *const model_commands[] = {"make", "convert-tiny-face", "info"};
static const char *const lab_commands[] = {"run", "list", "shell", "logs", "build"};

/* Each option that help lists is in the man page, too. @options: the lines from "Options:" on. */
static void expect_documented(const char *options, const char *page)
{
	const char *end = strstr(options, "\nExamples:\n");
	char path[PATH_MAX], macro[80], *text;

	snprintf(path, sizeof(path), "%s/docs/man/%s.1", TETHYS_SOURCE, page);
	text = e2e_read(path, NULL);
	ASSERT(text);
	for (const char *p = options; (p = strstr(p, " --")) && p < end; p += 3) {
		size_t len = strcspn(p + 3, " =,\n'");

		snprintf(macro, sizeof(macro), "Fl Fl %.*s", (int)len, p + 3);
		EXPECT_HAS(text, macro);
	}
	free(text);
}

static void expect_help(const struct e2e_result *result, const char *page)
{
	const char *options = strstr(result->out, "\nOptions:\n");

	EXPECT_EQ(result->code, 0);
	EXPECT_STR(result->err, "");
	EXPECT_HAS(result->out, "Usage: tethys ");
	EXPECT_HAS(result->out, "\nExamples:\n");
	ASSERT(options);
	expect_documented(options, page);
}

static void test_help_of_each_command_is_complete_and_in_its_page(void)
{
	struct e2e_result result;
	char page[64];

	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		run(&result, commands[i], "--help", NULL);
		snprintf(page, sizeof(page), "tethys-%s", commands[i]);
		expect_help(&result, page);
		e2e_result_deinit(&result);
	}
	for (size_t i = 0; i < sizeof(model_commands) / sizeof(model_commands[0]); i++) {
		run(&result, "model", model_commands[i], "--help", NULL);
		expect_help(&result, "tethys-model");
		e2e_result_deinit(&result);
	}
	for (size_t i = 0; i < sizeof(lab_commands) / sizeof(lab_commands[0]); i++) {
		run(&result, "lab", lab_commands[i], "--help", NULL);
		expect_help(&result, "tethys-lab");
		e2e_result_deinit(&result);
	}
}

static void test_help_of_all_names_each_command(void)
{
	struct e2e_result result;

	run(&result, "--help", NULL);
	EXPECT_EQ(result.code, 0);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		EXPECT_HAS(result.out, commands[i]);
	EXPECT_HAS(result.out, "Exit codes");
	e2e_result_deinit(&result);
}

/* --- wrong use --- */

static void test_wrong_use_exits_2_and_says_why(void)
{
	EXPECT_RUN(2, "which command", NULL);
	EXPECT_RUN(2, "no command 'flarb'", "flarb");
	EXPECT_RUN(2, "no option '--flarb'", "run", "--flarb");
	EXPECT_RUN(2, "expected MODEL", "run");
	EXPECT_RUN(2, "no --input", "run", "model.onnx");
	EXPECT_RUN(2, "name scenarios, or say --all", "lab", "run");
	EXPECT_RUN(2, "there is no machine 'moon'", "lab", "shell", "moon", "bare-metal");
	EXPECT_RUN(1, "There is no scenario 'flarb'", "lab", "run", "flarb");
	EXPECT_RUN(2, "needs an argument", "run", "model.onnx", "--input");
	EXPECT_RUN(2, "is not a number from 1 to 4", "run", "m", "--input", "x", "--cores", "5");
	EXPECT_RUN(2, "is not a number from 1 to 4", "run", "m", "--input", "x", "--cores", "-1");
	EXPECT_RUN(2, "is not a number", "bench", "m", "--runs", "12x");
	EXPECT_RUN(2, "none of classify|detect|raw", "run", "m", "-i", "x", "--task", "guess");
	EXPECT_RUN(2, "--socket", "card");
	EXPECT_RUN(2, "not expected here", "version", "now");
	EXPECT_RUN(2, "can't be made", "model", "make", "resnet50");
	EXPECT_RUN(2, "no command 'burn'", "model", "burn");
}

/* --- bad input --- */

static void test_run_model_absent_fails(void)
{
	EXPECT_RUN(1, "No such file", "run", "/nonexistent/net.onnx", "--input", tensor);
}

static void test_run_model_truncated_fails(void)
{
	struct onnx_bytes model;
	char path[PATH_MAX];

	onnx_one_node("Relu", &model);
	for (size_t bytes = 0; bytes < model.bytes; bytes += 7) {
		ASSERT_EQ(e2e_write(dir, "short.onnx", model.data, bytes, path), 0);
		EXPECT_RUN(1, "error:", "run", path, "--input", tensor);
		if (tap_this_failed)
			printf("# at %zu bytes\n", bytes);
	}
}

static void test_run_op_unknown_fails_with_its_name(void)
{
	struct onnx_bytes model;
	char path[PATH_MAX];

	onnx_one_node("NoSuchOp", &model);
	ASSERT_EQ(e2e_write(dir, "op.onnx", model.data, model.bytes, path), 0);
	EXPECT_RUN(1, "NoSuchOp", "run", path, "--input", tensor);
}

static void test_run_input_of_wrong_size_fails_with_both_sizes(void)
{
	char path[PATH_MAX];

	ASSERT_EQ(e2e_write(dir, "short.bin", "0123456789", 10, path), 0);
	EXPECT_RUN(1, "16 bytes", "run", relu, "--input", path);
	EXPECT_RUN(1, "10 bytes", "run", relu, "--input", path);
	EXPECT_RUN(1, "No such file", "run", relu, "--input", "/nonexistent.bin");
}

static void test_run_photo_that_is_none_fails(void)
{
	EXPECT_RUN(1, "error:", "run", relu, "--input", relu, "--task", "classify");
	EXPECT_RUN(1, "error:", "run", relu, "--input", relu, "--task", "detect");
}

static void test_run_device_unknown_exits_3(void)
{
	EXPECT_RUN(3, "flarb", "run", relu, "--input", tensor, "--device", "flarb");
	EXPECT_RUN(3, "/nonexistent.sock", "run", relu, "--input", tensor, "--device",
		   "vfio-user:/nonexistent.sock");
	EXPECT_RUN(3, "flarb", "bench", relu, "--device", "flarb");
	EXPECT_RUN(3, "flarb", "dma", "--device", "flarb");
}

static void test_run_good_input_answers(void)
{
	struct e2e_result result;
	char out[PATH_MAX + 8], *written;
	size_t bytes = 0;

	snprintf(out, sizeof(out), "%s/out", dir);
	run(&result, "run", relu, "--input", tensor, "--output", out, "--json", NULL);
	EXPECT_EQ(result.code, 0);
	EXPECT_STR(result.err, "");
	EXPECT_HAS(result.out, "\"task\": \"raw\"");
	e2e_result_deinit(&result);
	strcat(out, "/y.bin");
	written = e2e_read(out, &bytes);
	ASSERT(written);
	EXPECT_EQ(bytes, 16);
	/* Input -1 2 -3 4 */
	EXPECT(!memcmp(written, (float[]){0, 2, 0, 4}, 16));
	free(written);
}

/* --- output --- */

static void test_pipe_closed_is_no_crash(void)
{
	int fds[2], status;
	pid_t pid;

	ASSERT(!pipe(fds));
	close(fds[0]);
	pid = fork();
	if (pid == 0) {
		dup2(fds[1], STDOUT_FILENO);
		signal(SIGPIPE, SIG_DFL);
		execlp(e2e_tethys(), "tethys", "devices", NULL);
		_exit(127);
	}
	close(fds[1]);
	status = e2e_wait(pid, QUICK_MS);
	EXPECT_EQ(status, 0);
}

static int run_onto(const char *path)
{
	pid_t pid = fork();

	if (pid == 0) {
		int fd = open(path, O_WRONLY);

		dup2(fd, STDOUT_FILENO);
		fd = open("/dev/null", O_WRONLY);
		dup2(fd, STDERR_FILENO);
		execlp(e2e_tethys(), "tethys", "version", NULL);
		_exit(127);
	}
	return e2e_wait(pid, QUICK_MS);
}

static void test_disk_full_is_an_error(void)
{
	EXPECT_EQ(run_onto("/dev/null"), 0);
	EXPECT_EQ(run_onto("/dev/full"), 1);
}

static void on_terminal(const char *no_color, char *ret_text, size_t size)
{
	size_t used = 0;
	ssize_t n;
	int fd;
	pid_t pid = forkpty(&fd, NULL, NULL, NULL);

	if (pid == 0) {
		setenv("TERM", "xterm", 1);
		if (no_color)
			setenv("NO_COLOR", no_color, 1);
		else
			unsetenv("NO_COLOR");
		execlp(e2e_tethys(), "tethys", "devices", NULL);
		_exit(127);
	}
	while (used + 1 < size && (n = read(fd, ret_text + used, size - used - 1)) > 0)
		used += (size_t)n;
	ret_text[used] = '\0';
	EXPECT_EQ(e2e_wait(pid, QUICK_MS), 0);
	close(fd);
}

static void test_colours_only_on_a_terminal_that_wants_them(void)
{
	struct e2e_result result;
	char text[8192];

	on_terminal(NULL, text, sizeof(text));
	EXPECT_HAS(text, "\033[");
	on_terminal("", text, sizeof(text)); /* empty counts as not set */
	EXPECT_HAS(text, "\033[");
	on_terminal("1", text, sizeof(text));
	EXPECT(!strstr(text, "\033["));
	EXPECT_HAS(text, "sim");
	run(&result, "devices", NULL);
	EXPECT(!strstr(result.out, "\033["));
	e2e_result_deinit(&result);
}

/* --- card --- */

static void test_card_ends_on_signals_without_its_socket(void)
{
	static const int signals[] = {SIGTERM, SIGINT};
	struct e2e_card card;

	for (size_t i = 0; i < 2; i++) {
		ASSERT_EQ(e2e_card_start(&card, dir, NULL), 0);
		EXPECT(!access(card.socket, F_OK));
		kill(card.process.pid, signals[i]);
		EXPECT_EQ(e2e_wait(card.process.pid, 2000), 0);
		EXPECT(access(card.socket, F_OK) && errno == ENOENT);
		close(card.process.out);
		close(card.process.err);
	}
}

static void test_card_socket_taken_is_refused(void)
{
	struct e2e_card card;

	ASSERT_EQ(e2e_card_start(&card, dir, NULL), 0);
	EXPECT_RUN(1, "error:", "card", "--socket", card.socket);
	/* ... and the first one still works. */
	EXPECT_OK("run", relu, "--input", tensor, "--device", card.device);
	EXPECT_EQ(e2e_card_stop(&card), 0);
}

static void test_card_options_wrong_are_refused(void)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%.4000s/no.sock", dir);
	EXPECT_RUN(1, "9.9.9", "card", "--socket", path, "--personality", "9.9.9");
	EXPECT_RUN(2, "onnx|null", "card", "--socket", path, "--engine", "steam");
	EXPECT_RUN(1, "error:", "card", "--socket", "/nonexistent/dir/card.sock");
	EXPECT_RUN(1, "error:", "card", "--socket", path, "--record", "/nonexistent/record");
	EXPECT(access(path, F_OK) && errno == ENOENT);
}

static void test_card_personalities_and_record_serve(void)
{
	static const char *const versions[] = {"1.3.2", "1.6.0", "1.8.0"};
	char record[PATH_MAX], *text;
	struct e2e_result result;
	struct e2e_card card;

	snprintf(record, sizeof(record), "%.4000s/record", dir);
	for (size_t i = 0; i < 3; i++) {
		const char *const extra[] = {"--personality", versions[i], "--record", record,
					     NULL};

		ASSERT_EQ(e2e_card_start(&card, dir, extra), 0);
		run(&result, "run", relu, "-i", tensor, "-d", card.device, "--json", NULL);
		EXPECT_EQ(result.code, 0);
		EXPECT_STR(result.err, "");
		e2e_result_deinit(&result);
		EXPECT_EQ(e2e_card_stop(&card), 0);
		text = e2e_read(record, NULL);
		ASSERT(text);
		EXPECT_HAS(text, " 0x"); /* the module at least came by DMA */
		free(text);
	}
}

static int listen_on(const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) || listen(fd, 1))
		return -1;
	return fd;
}

static void test_card_on_inherited_socket_serves(void)
{
	struct e2e_process process;
	char path[100], device[128], number[16];
	const char *argv[] = {"tethys", "card", "--fd", number, NULL};
	int fd;

	snprintf(path, sizeof(path), "%.80s/fd.sock", dir);
	snprintf(device, sizeof(device), "vfio-user:%s", path);
	fd = listen_on(path);
	ASSERT(fd >= 0);
	snprintf(number, sizeof(number), "%d", fd);
	ASSERT_EQ(e2e_start(argv, &process), 0);
	close(fd);
	EXPECT(e2e_wait_text(process.out, "card ready", 5000));
	EXPECT_OK("run", relu, "--input", tensor, "--device", device);
	kill(process.pid, SIGTERM);
	EXPECT_EQ(e2e_wait(process.pid, 2000), 0);
}

/* --- devices, dma --- */

static void test_devices_lists_sim_and_named_cards(void)
{
	struct e2e_result result;
	struct e2e_card card;

	ASSERT_EQ(e2e_card_start(&card, dir, NULL), 0);
	setenv("TETHYS_DEVICES", card.device, 1);
	run(&result, "devices", "--json", NULL);
	unsetenv("TETHYS_DEVICES");
	EXPECT_EQ(result.code, 0);
	EXPECT_HAS(result.out, "\"sim\"");
	EXPECT_HAS(result.out, card.device);
	e2e_result_deinit(&result);
	EXPECT_EQ(e2e_card_stop(&card), 0);
}

static void test_dma_on_both_devices_is_good(void)
{
	struct e2e_result result;
	struct e2e_card card;

	run(&result, "dma", "--max", "64K", "--size", "256K", "--json", NULL);
	EXPECT_EQ(result.code, 0);
	EXPECT_HAS(result.out, "\"good\": true");
	EXPECT(!strstr(result.out, "false"));
	e2e_result_deinit(&result);
	ASSERT_EQ(e2e_card_start(&card, dir, NULL), 0);
	run(&result, "dma", "-d", card.device, "--max", "64K", "--size", "256K", NULL);
	EXPECT_EQ(result.code, 0);
	EXPECT_STR(result.err, "");
	EXPECT_HAS(result.out, "channel 3");
	EXPECT_HAS(result.out, "all channels at once ok");
	e2e_result_deinit(&result);
	EXPECT_EQ(e2e_card_stop(&card), 0);
}

/* --- models --- */

static void test_model_made_is_the_same_each_time_and_benches(void)
{
	char a[PATH_MAX + 8], b[PATH_MAX + 8], *first, *second;
	size_t first_bytes = 0, second_bytes = 0;
	struct e2e_result result;

	snprintf(a, sizeof(a), "%s/a.onnx", dir);
	snprintf(b, sizeof(b), "%s/b.onnx", dir);
	EXPECT_OK("model", "make", "resnet18", "-o", a);
	EXPECT_OK("model", "make", "resnet18", "--output", b, "--seed", "18");
	first = e2e_read(a, &first_bytes);
	second = e2e_read(b, &second_bytes);
	EXPECT(first && second && first_bytes == second_bytes && first_bytes > 40000000);
	EXPECT(first && second && !memcmp(first, second, first_bytes));
	free(first);
	free(second);
	run(&result, "model", "info", a, "--json", NULL);
	EXPECT_EQ(result.code, 0);
	EXPECT_HAS(result.out, "\"logits\"");
	e2e_result_deinit(&result);
	run(&result, "bench", a, "--runs", "3", "--json", NULL);
	EXPECT_EQ(result.code, 0);
	EXPECT_HAS(result.out, "\"identical\": true");
	e2e_result_deinit(&result);
	EXPECT_RUN(1, "error:", "model", "make", "resnet18", "-o", "/nonexistent/x.onnx");
	EXPECT_RUN(1, "error:", "model", "convert-tiny-face", dir);
}

/* --- demo --- */

/* Where scripts/fetch-face-model puts things, or TETHYS_ASSETS. */
static bool find_assets(char ret_assets[PATH_MAX])
{
	const char *named = getenv("TETHYS_ASSETS"), *cache = getenv("XDG_CACHE_HOME");
	const char *home = getenv("HOME");
	char pattern[PATH_MAX + 64];
	glob_t found;
	bool good;

	if (named && *named)
		snprintf(ret_assets, PATH_MAX, "%s", named);
	else if (cache && *cache)
		snprintf(ret_assets, PATH_MAX, "%s/tethys/assets", cache);
	else
		snprintf(ret_assets, PATH_MAX, "%s/.cache/tethys/assets", home ? home : "");
	snprintf(pattern, sizeof(pattern), "%s/face-api-*/tiny-face.onnx", ret_assets);
	good = !glob(pattern, 0, NULL, &found);
	globfree(&found);
	return good;
}

static void test_demo_shows_both_devices_and_leaves_photos(void)
{
	char assets[PATH_MAX], out[PATH_MAX + 8], photo[PATH_MAX + 64], *data;
	struct e2e_result result;
	size_t bytes = 0;

	if (!find_assets(assets))
		SKIP("no face detector; 'make demo' fetches it, TETHYS_ASSETS names its folder");
	snprintf(out, sizeof(out), "%s/photos", dir);
	run(&result, "demo", "--no-lab", "--assets", assets, "--output", out, "--runs", "3", NULL);
	EXPECT_EQ(result.code, 0);
	EXPECT_STR(result.err, "");
	EXPECT_HAS(result.out, "ResNet18     sim");
	EXPECT_HAS(result.out, "ResNet18     vfio-user");
	EXPECT_HAS(result.out, "5 faces");
	EXPECT(!strstr(result.out, "DIFFERS"));
	EXPECT_HAS(result.out, "sample5-faces.jpg");
	e2e_result_deinit(&result);
	snprintf(photo, sizeof(photo), "%s/sample5-faces.jpg", out);
	data = e2e_read(photo, &bytes);
	ASSERT(data);
	EXPECT(bytes > 10000 && !memcmp(data, "\xff\xd8\xff", 3));
	free(data);
}

static void test_demo_without_assets_fails_and_says_what_to_do(void)
{
	EXPECT_RUN(1, "make demo", "demo", "--assets", "/nonexistent");
}

/* --- timeouts --- */

static void test_run_over_its_time_exits_3(void)
{
	static const char zeros[4 * 3 * 224 * 224];
	char model[PATH_MAX + 16], input[PATH_MAX];

	snprintf(model, sizeof(model), "%s/slow.onnx", dir);
	EXPECT_OK("model", "make", "resnet18", "-o", model);
	ASSERT_EQ(e2e_write(dir, "zeros.bin", zeros, sizeof(zeros), input), 0);
	EXPECT_RUN(3, "timed out", "run", model, "-i", input, "--timeout", "0.001");
}

static int prepare(void)
{
	struct onnx_bytes model;

	if (e2e_dir_make(dir))
		return -1;
	onnx_one_node("Relu", &model);
	if (e2e_write(dir, "relu.onnx", model.data, model.bytes, relu))
		return -1;
	return e2e_write(dir, "x.bin", (float[]){-1, 2, -3, 4}, 16, tensor);
}

int main(void)
{
	unsetenv("TETHYS_DEVICES");
	if (prepare()) {
		printf("Bail out! no temporary folder\n");
		return 1;
	}
	RUN(test_help_of_all_names_each_command);
	RUN(test_help_of_each_command_is_complete_and_in_its_page);
	RUN(test_wrong_use_exits_2_and_says_why);
	RUN(test_run_model_absent_fails);
	RUN(test_run_model_truncated_fails);
	RUN(test_run_op_unknown_fails_with_its_name);
	RUN(test_run_input_of_wrong_size_fails_with_both_sizes);
	RUN(test_run_photo_that_is_none_fails);
	RUN(test_run_device_unknown_exits_3);
	RUN(test_run_good_input_answers);
	RUN(test_pipe_closed_is_no_crash);
	RUN(test_disk_full_is_an_error);
	RUN(test_colours_only_on_a_terminal_that_wants_them);
	RUN(test_card_ends_on_signals_without_its_socket);
	RUN(test_card_socket_taken_is_refused);
	RUN(test_card_options_wrong_are_refused);
	RUN(test_card_personalities_and_record_serve);
	RUN(test_card_on_inherited_socket_serves);
	RUN(test_devices_lists_sim_and_named_cards);
	RUN(test_dma_on_both_devices_is_good);
	RUN(test_model_made_is_the_same_each_time_and_benches);
	RUN(test_demo_shows_both_devices_and_leaves_photos);
	RUN(test_demo_without_assets_fails_and_says_what_to_do);
	RUN(test_run_over_its_time_exits_3);
	e2e_dir_remove(dir);
	return tap_done();
}
