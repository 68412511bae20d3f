/* SPDX-License-Identifier: MIT */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "doctor/metrics_server.h"
#include "doctor/tests/report_fixture.h"
#include "tests/tap.h"

#define ANSWER_BYTES 4096

static void test_metrics_samples_are_there_once(void)
{
	struct fixture f;
	char *text;

	fixture_init(&f);
	f.finding[1].rule = f.finding[0].rule; /* the same, seen on another machine */
	text = fixture_print(&f, doctor_report_metrics);
	EXPECT_HAS(text, "\ntethys_doctor_findings{id=\"raw-msi-in-bar\",severity=\"error\","
			 "device=\"0000:5e:00.0\"} 2\n");
	EXPECT_HAS(text, "severity=\"info\",device=\"0000:00:02.0\"} 1\n");
	EXPECT_HAS(text, "\ntethys_doctor_fault_lines_total{kind=\"vtd_ir_fault\","
			 "device=\"0000:5e:00.0\"} 14\n");
	EXPECT(!strstr(text, "kernel_boot"));
	EXPECT_HAS(text, "\ntethys_doctor_verdict 1\n");
	EXPECT_HAS(text, "\n# TYPE tethys_doctor_fault_lines counter\n");
	EXPECT_HAS(text, "\ntethys_doctor_last_run_timestamp_seconds ");
	EXPECT(!strcmp(text + strlen(text) - 6, "# EOF\n"));
	free(text);
	fixture_deinit(&f);
}

/* What each line may be, as both Prometheus' text format and OpenMetrics want it. */
static void test_metrics_lines_are_well_formed(void)
{
	struct doctor_rule rule = {.id = "a\"b\\c\nd\033"};
	char *text, *line, *save = NULL;
	struct fixture f;

	fixture_init(&f);
	f.finding[0].rule = &rule;
	text = fixture_print(&f, doctor_report_metrics);
	EXPECT_HAS(text, "id=\"a\\\"b\\\\c\\nd\xef\xbf\xbd\"");
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		bool comment = !strncmp(line, "# HELP tethys_doctor_", 21) ||
			       !strncmp(line, "# TYPE tethys_doctor_", 21) ||
			       !strcmp(line, "# EOF");
		const char *value = strrchr(line, ' ');

		EXPECT(comment || (!strncmp(line, "tethys_doctor_", 14) && value &&
				   value[1] >= '0' && value[1] <= '9'));
	}
	free(text);
	fixture_deinit(&f);
}

static void test_server_addresses_are_told_from_files(void)
{
	EXPECT(metrics_server_is_address(":9101"));
	EXPECT(metrics_server_is_address("[::1]:9101"));
	EXPECT(metrics_server_is_address("10.0.0.7:9101"));
	EXPECT(!metrics_server_is_address("/var/lib/node_exporter/doctor.prom"));
	EXPECT(!metrics_server_is_address("doctor.prom"));
	EXPECT(!metrics_server_is_address("a:b"));
}

static void test_server_bad_addresses_are_refused(void)
{
	static const char *const bad[] = {":",	   ":x",   ":99999", ":-1",
					  "[::1]", "[]:1", "[x]:1",  ":123456"};
	struct metrics_server *server;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct reason why = {0};

		EXPECT_EQ(metrics_server_create(bad[i], &server, &why), -EINVAL);
		EXPECT_HAS(why.text, bad[i]);
	}
}

static struct metrics_server *serve(const char *text)
{
	struct metrics_server *server = NULL;
	struct reason why = {0};

	if (metrics_server_create(":0", &server, &why))
		return NULL;
	metrics_server_publish(server, text, strlen(text));
	return server;
}

static int dial(const struct metrics_server *server)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t)metrics_server_port(server)),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	connect(fd, (struct sockaddr *)&address, sizeof(address));
	return fd;
}

/* Turns of the server until the answer is complete; at most some seconds. */
static void pump(struct metrics_server *server, int fd, char answer[ANSWER_BYTES])
{
	size_t got = 0;
	ssize_t n;

	answer[0] = '\0';
	for (int turn = 0; turn < 200; turn++) {
		struct pollfd fds[METRICS_POLL_MAX + 1];
		size_t count = metrics_server_poll(server, fds);

		fds[count++] = (struct pollfd){.fd = fd, .events = POLLIN};
		poll(fds, count, 20);
		metrics_server_serve(server);
		n = read(fd, answer + got, ANSWER_BYTES - 1 - got);
		if (!n)
			return;
		if (n > 0)
			got += (size_t)n;
		answer[got] = '\0';
	}
}

static void ask(struct metrics_server *server, const char *request, char answer[ANSWER_BYTES])
{
	int fd = dial(server);

	send(fd, request, strlen(request), MSG_NOSIGNAL);
	pump(server, fd, answer);
	close(fd);
}

static void test_server_answers_what_it_has(void)
{
	struct metrics_server *server = serve("x 1\n# EOF\n");
	char answer[ANSWER_BYTES];

	ASSERT(server);
	ask(server, "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n", answer);
	EXPECT(!strncmp(answer, "HTTP/1.1 200 OK\r\n", 17));
	EXPECT_HAS(answer, "Content-Type: application/openmetrics-text; version=1.0.0");
	EXPECT_HAS(answer, "Content-Length: 10\r\n");
	EXPECT_HAS(answer, "\r\n\r\nx 1\n# EOF\n");
	ask(server, "HEAD /metrics?x=y HTTP/1.0\r\n\r\n", answer);
	EXPECT_HAS(answer, "Content-Length: 10\r\n");
	EXPECT(!strstr(answer, "# EOF"));
	ask(server, "GET / HTTP/1.1\r\n\r\n", answer);
	EXPECT_HAS(answer, "see /metrics");
	metrics_server_publish(server, "y 2\n", 4);
	ask(server, "GET /metrics HTTP/1.1\r\n\r\n", answer);
	EXPECT_HAS(answer, "\r\n\r\ny 2\n");
	metrics_server_destroy(server);
}

static void test_server_refuses_what_it_does_not_know(void)
{
	struct metrics_server *server = serve("x 1\n");
	char answer[ANSWER_BYTES], big[6000];

	ASSERT(server);
	ask(server, "GET /etc/passwd HTTP/1.1\r\n\r\n", answer);
	EXPECT_HAS(answer, "HTTP/1.1 404 ");
	ask(server, "POST /metrics HTTP/1.1\r\n\r\n", answer);
	EXPECT_HAS(answer, "HTTP/1.1 405 ");
	ask(server, "nonsense\r\n\r\n", answer);
	EXPECT_HAS(answer, "HTTP/1.1 400 ");
	memset(big, 'a', sizeof(big));
	big[sizeof(big) - 1] = '\0';
	ask(server, big, answer);
	EXPECT(!*answer || strstr(answer, "HTTP/1.1 431 "));
	metrics_server_destroy(server);
}

/* More clients than there is room for, all silent: the next one is served when one has left. */
static void test_server_silent_clients_keep_nobody_out_for_long(void)
{
	struct metrics_server *server = serve("x 1\n");
	int silent[METRICS_CLIENTS_MAX];
	char answer[ANSWER_BYTES];

	ASSERT(server);
	for (size_t i = 0; i < METRICS_CLIENTS_MAX; i++)
		silent[i] = dial(server);
	for (int turn = 0; turn < 5; turn++)
		metrics_server_serve(server);
	close(silent[3]);
	ask(server, "GET /metrics HTTP/1.1\r\n\r\n", answer);
	EXPECT_HAS(answer, "x 1\n");
	for (size_t i = 0; i < METRICS_CLIENTS_MAX; i++)
		if (i != 3)
			close(silent[i]);
	metrics_server_destroy(server);
}

int main(void)
{
	RUN(test_metrics_samples_are_there_once);
	RUN(test_metrics_lines_are_well_formed);
	RUN(test_server_addresses_are_told_from_files);
	RUN(test_server_bad_addresses_are_refused);
	RUN(test_server_answers_what_it_has);
	RUN(test_server_refuses_what_it_does_not_know);
	RUN(test_server_silent_clients_keep_nobody_out_for_long);
	return tap_done();
}
