/* SPDX-License-Identifier: MIT */
/* The lab's runner against a hostile agent, and what the agent takes apart. First byte: which. */
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lab/agent/frame.h"
#include "lab/agent/parse.h"
#include "lab/link.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t bytes);

/* --- the runner --- */

struct runner {
	unsigned int running, closes;
};

static void check_text(const char *text)
{
	for (; *text; text++)
		if ((*text > 0 && *text < ' ' && *text != '\t') || *text == 127)
			abort();
}

static void on_hello(void *ctx, uint64_t uptime_us, const char *text)
{
	(void)ctx;
	(void)uptime_us;
	check_text(text);
}

static void on_kmsg(void *ctx, uint64_t time_us, unsigned int level, const char *line)
{
	(void)ctx;
	(void)time_us;
	if (level > 7)
		abort();
	check_text(line);
}

static void on_error(void *ctx, const char *text)
{
	(void)ctx;
	check_text(text);
}

static void on_closed(void *ctx, int err)
{
	struct runner *runner = ctx;

	(void)err;
	runner->closes++;
}

static void on_output(void *ctx, bool is_stderr, const char *data, size_t len)
{
	volatile char last;

	(void)ctx;
	(void)is_stderr;
	last = data[len - 1]; /* for the sanitizer */
	(void)last;
}

static void on_ended(void *ctx, int status, bool timed_out, uint64_t elapsed_us, const char *error)
{
	struct runner *runner = ctx;

	(void)timed_out;
	(void)elapsed_us;
	if (!runner->running-- || status < -1 || status > 255 || (status < 0) != !!error)
		abort();
	if (error)
		check_text(error);
}

static bool is_closed(void *ctx)
{
	return ((struct runner *)ctx)->closes > 0;
}

static void send_all(int fd, const unsigned char *data, size_t bytes)
{
	struct {
		struct lab_frame frame;
		struct lab_hello hello;
	} __attribute__((packed)) hello = {
		.frame = {htole32(sizeof(hello.hello)), htole16(LAB_FRAME_HELLO), 0, 0},
		.hello = {htole64(LAB_HELLO_MAGIC), htole64(1)},
	};

	/* One input in two greets properly: else all would hang on finding the magic. */
	if (bytes && data[0] & 1 && write(fd, &hello, sizeof(hello)) != sizeof(hello))
		abort();
	if (bytes > 1 && write(fd, data + 1, bytes - 1) != (ssize_t)bytes - 1)
		abort();
	shutdown(fd, SHUT_WR);
}

static void fuzz_runner(const unsigned char *data, size_t bytes)
{
	static const struct lab_link_events events = {on_hello, on_kmsg, on_error, on_closed};
	static const struct lab_command_events command_events = {on_output, on_ended};
	static const char *const argv[] = {"true", NULL};
	const struct lab_command command = {.argv = argv};
	struct runner runner = {0};
	struct lab_link *link;
	struct lab_loop *loop;
	uint32_t id;
	int pair[2];

	if (bytes > 100000 || socketpair(AF_UNIX, SOCK_STREAM, 0, pair) || lab_loop_create(&loop) ||
	    lab_link_create(loop, pair[0], &events, &runner, &link))
		return;
	for (runner.running = 0; runner.running < 3; runner.running++)
		if (lab_link_exec(link, &command, &command_events, &runner, &id))
			abort();
	send_all(pair[1], data, bytes);
	if (lab_loop_run(loop, is_closed, &runner, 5000) || runner.closes != 1 || runner.running)
		abort();
	lab_link_destroy(link);
	lab_loop_destroy(loop);
	close(pair[1]);
}

/* --- the agent --- */

static void fuzz_exec(const unsigned char *data, size_t bytes)
{
	struct lab_exec_parsed exec;
	size_t strings = 0, text = 0;
	char **at;

	if (lab_exec_parse(data, bytes, &exec))
		return;
	for (at = exec.argv; *at; at++, strings++)
		text += strlen(*at) + 1;
	if (!strings || at + 1 != exec.env)
		abort();
	for (at = exec.env; *at; at++)
		text += strlen(*at) + 1;
	if (text + sizeof(struct lab_exec) != bytes)
		abort();
	lab_exec_parsed_deinit(&exec);
}

static void fuzz_kmsg(const unsigned char *data, size_t bytes)
{
	char *line = malloc(bytes + 1), *text;
	unsigned int level;
	uint64_t time_us;

	if (!line)
		return;
	memcpy(line, data, bytes);
	line[bytes] = 0;
	if (!lab_kmsg_parse(line, &time_us, &level, &text) &&
	    (level > 7 || text < line || strlen(text) > bytes))
		abort();
	free(line);
}

static void fuzz_frames(const unsigned char *data, size_t bytes)
{
	struct lab_frame_view view;
	struct lab_frame_in in;
	volatile unsigned char last;
	int pair[2];

	if (bytes > 60000 || pipe(pair))
		return;
	if (!lab_frame_in_init(&in)) {
		if (write(pair[1], data, bytes) != (ssize_t)bytes)
			abort();
		close(pair[1]);
		while (lab_frame_in_read(&in, pair[0]) > 0)
			while (lab_frame_in_next(&in, &view) > 0) {
				last = view.bytes ? view.body[view.bytes - 1] : 0;
				(void)last;
			}
		lab_frame_in_deinit(&in);
	}
	close(pair[0]);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t bytes)
{
	if (!bytes)
		return 0;
	switch (data[0] % 4) {
	case 0:
		fuzz_runner(data + 1, bytes - 1);
		break;
	case 1:
		fuzz_exec(data + 1, bytes - 1);
		break;
	case 2:
		fuzz_kmsg(data + 1, bytes - 1);
		break;
	default:
		fuzz_frames(data + 1, bytes - 1);
	}
	return 0;
}
