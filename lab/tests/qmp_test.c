/* SPDX-License-Identifier: MIT */
/* The client of QEMU's monitor against a server that follows a script. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lab/qmp.h"
#include "tests/tap.h"

/*
 * "< TEXT": must come next in what the client sends; "> TEXT": send; "sleep": longer than patience;
 * "stay": until the client goes.
 */
struct server {
	const char *const *script;
	int listener;
	pthread_t thread;
	char dir[64], path[80];
	char heard[8192];
	size_t heard_len, heard_seen;
	bool failed;
};

static bool hear(struct server *s, int fd, const char *text)
{
	const char *at;
	ssize_t n;

	for (;;) {
		at = strstr(s->heard + s->heard_seen, text);
		if (at) {
			s->heard_seen = (size_t)(at - s->heard) + strlen(text);
			return true;
		}
		n = recv(fd, s->heard + s->heard_len, sizeof(s->heard) - 1 - s->heard_len, 0);
		if (n <= 0)
			return false;
		s->heard_len += (size_t)n;
		s->heard[s->heard_len] = '\0';
	}
}

static void *serve(void *ctx)
{
	struct timeval patience = {.tv_sec = 4};
	struct server *s = ctx;
	const char *const *step;
	int fd = accept(s->listener, NULL, NULL);

	if (fd < 0)
		return NULL;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	for (step = s->script; *step && !s->failed; step++)
		if (**step == '<')
			s->failed = !hear(s, fd, *step + 2);
		else if (**step == '>')
			s->failed = send(fd, *step + 2, strlen(*step + 2), MSG_NOSIGNAL) < 0;
		else if (!strcmp(*step, "stay"))
			s->failed = hear(s, fd, "\n"); /* a command that nobody foresaw */
		else
			usleep(300000);
	close(fd);
	return NULL;
}

static void server_start(struct server *s, const char *const *script)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};

	memset(s, 0, sizeof(*s));
	s->script = script;
	strcpy(s->dir, "/tmp/qmp-test-XXXXXX");
	if (!mkdtemp(s->dir))
		abort();
	snprintf(s->path, sizeof(s->path), "%s/qmp", s->dir);
	strcpy(addr.sun_path, s->path);
	s->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(s->listener, (struct sockaddr *)&addr, sizeof(addr)) || listen(s->listener, 1) ||
	    pthread_create(&s->thread, NULL, serve, s))
		abort();
}

/* Did the client do all that the script says? */
static bool server_end(struct server *s)
{
	shutdown(s->listener, SHUT_RDWR);
	pthread_join(s->thread, NULL);
	close(s->listener);
	unlink(s->path);
	rmdir(s->dir);
	return !s->failed;
}

/* NOLINTBEGIN(bugprone-suspicious-missing-comma): long lines in pieces */
static const char greeting[] =
	"> {\"QMP\": {\"version\": {\"qemu\": {\"micro\": 3, \"minor\": 1, \"major\": 11}}, "
	"\"capabilities\": []}}\r\n";
static const char negotiation[] = "< {\"execute\":\"qmp_capabilities\",\"id\":1}\n";
static const char negotiated[] = "> {\"return\": {}, \"id\": 1}\r\n";
#define HANDSHAKE greeting, negotiation, negotiated

static void test_qmp_connect_answers_the_greeting(void)
{
	static const char *const script[] = {HANDSHAKE, NULL};
	struct lab_qmp *qmp = NULL;
	struct server s;

	server_start(&s, script);
	EXPECT_EQ(lab_qmp_connect(s.path, &qmp, NULL), 0);
	lab_qmp_destroy(qmp);
	EXPECT(server_end(&s));
}

static void test_qmp_connect_without_a_server_says_where(void)
{
	struct lab_qmp *qmp = NULL;
	struct reason why = {0};

	EXPECT_EQ(lab_qmp_connect("/tmp/no-such-dir/qmp", &qmp, &why), -ENOENT);
	EXPECT_HAS(why.text, "/tmp/no-such-dir/qmp");
	EXPECT(!qmp);
}

static void test_qmp_connect_to_a_long_path_is_refused(void)
{
	struct lab_qmp *qmp = NULL;
	char path[128];

	memset(path, 'x', sizeof(path));
	path[0] = '/';
	path[108] = '\0';
	EXPECT_EQ(lab_qmp_connect(path, &qmp, NULL), -ENAMETOOLONG);
	path[107] = '\0';
	EXPECT_EQ(lab_qmp_connect(path, &qmp, NULL), -ENOENT);
}

static void test_qmp_connect_to_something_else_is_refused(void)
{
	static const char *const banners[] = {"> SSH-2.0\r\n", "> {\"hello\": 1}\r\n", "> []\n",
					      NULL};
	struct lab_qmp *qmp = NULL;
	struct server s;
	int i;

	for (i = 0; banners[i]; i++) {
		const char *script[] = {banners[i], NULL};

		server_start(&s, script);
		EXPECT_EQ(lab_qmp_connect(s.path, &qmp, NULL), -EPROTO);
		EXPECT(server_end(&s));
	}
}

static void test_qmp_connect_to_one_that_hangs_up_is_a_broken_pipe(void)
{
	static const char *const script[] = {NULL};
	struct lab_qmp *qmp = NULL;
	struct server s;

	server_start(&s, script);
	EXPECT_EQ(lab_qmp_connect(s.path, &qmp, NULL), -EPIPE);
	EXPECT(server_end(&s));
}

/* Connect, run "device_del card" with 200 ms of patience, and say what it gave. */
static int run_command(const char *const *script, struct json_object **ret_result,
		       struct reason *why)
{
	struct json_object *arguments = json_object_new_object();
	struct lab_qmp *qmp = NULL;
	struct server s;
	int err;

	json_object_object_add(arguments, "id", json_object_new_string("card"));
	server_start(&s, script);
	err = lab_qmp_connect(s.path, &qmp, why);
	EXPECT_EQ(err, 0);
	if (err)
		json_object_put(arguments);
	else
		err = lab_qmp_execute(qmp, "device_del", arguments, 200, ret_result, why);
	lab_qmp_destroy(qmp);
	EXPECT(server_end(&s));
	return err;
}

#define COMMAND "< {\"execute\":\"device_del\",\"id\":2,\"arguments\":{\"id\":\"card\"}}\n"

static void test_qmp_execute_gives_the_result(void)
{
	static const char *const script[] = {
		HANDSHAKE, COMMAND, "> {\"return\": {\"status\": \"running\"}, \"id\": 2}\r\n",
		NULL};
	struct json_object *result = NULL, *status = NULL;

	ASSERT_EQ(run_command(script, &result, NULL), 0);
	EXPECT(json_object_object_get_ex(result, "status", &status));
	EXPECT_STR(json_object_get_string(status), "running");
	json_object_put(result);
}

static void test_qmp_execute_in_small_pieces_gives_the_result(void)
{
	static const char *const script[] = {HANDSHAKE,		 COMMAND, "> {\"retu", "> rn\": {}",
					     "> , \"id\": 2}\r", "> \n",  NULL};

	EXPECT_EQ(run_command(script, NULL, NULL), 0);
}

static void test_qmp_execute_refused_gives_qemus_words(void)
{
	static const char *const script[] = {
		HANDSHAKE, COMMAND,
		"> {\"id\": 2, \"error\": {\"class\": \"GenericError\", \"desc\": \"guest is busy\"}}\r\n",
		NULL};
	struct json_object *result = NULL;
	struct reason why = {0};

	EXPECT_EQ(run_command(script, &result, &why), -EREMOTEIO);
	EXPECT_HAS(why.text, "guest is busy");
	EXPECT(!result);
}

static void test_qmp_execute_skips_events_and_late_replies(void)
{
	static const char *const script[] = {
		HANDSHAKE, COMMAND, "> {\"event\": \"STOP\"}\r\n{\"return\": {}, \"id\": 1}\r\n",
		"> {\"id\": 2, \"error\": {\"desc\": \"the second\"}}\r\n", NULL};
	struct reason why = {0};

	EXPECT_EQ(run_command(script, NULL, &why), -EREMOTEIO);
	EXPECT_HAS(why.text, "the second");
}

static void test_qmp_execute_without_an_answer_times_out(void)
{
	static const char *const script[] = {HANDSHAKE, COMMAND, "sleep", NULL};

	EXPECT_EQ(run_command(script, NULL, NULL), -ETIMEDOUT);
}

static void test_qmp_execute_when_qemu_ends_is_a_broken_pipe(void)
{
	static const char *const script[] = {HANDSHAKE, COMMAND, NULL};

	EXPECT_EQ(run_command(script, NULL, NULL), -EPIPE);
}

static void test_qmp_execute_with_a_reply_of_no_kind_is_refused(void)
{
	static const char *const script[] = {HANDSHAKE, COMMAND, "> {\"id\": 2}\r\n", NULL};

	EXPECT_EQ(run_command(script, NULL, NULL), -EPROTO);
}

static void test_qmp_execute_with_an_endless_line_is_refused(void)
{
	static char line[(1 << 20) + 4096];
	const char *script[] = {HANDSHAKE, COMMAND, line, NULL};
	struct json_object *arguments = json_object_new_object();
	struct lab_qmp *qmp = NULL;
	struct server s;

	memset(line, ' ', sizeof(line) - 1);
	line[0] = '>';
	json_object_object_add(arguments, "id", json_object_new_string("card"));
	server_start(&s, script);
	ASSERT_EQ(lab_qmp_connect(s.path, &qmp, NULL), 0);
	EXPECT_EQ(lab_qmp_execute(qmp, "device_del", arguments, 2000, NULL, NULL), -EPROTO);
	lab_qmp_destroy(qmp);
	server_end(&s); /* its last bytes may have found nobody */
}

#define DELETED(device) \
	"> {\"event\": \"DEVICE_DELETED\", \"data\": {\"device\": \"" device "\"}}\r\n"
#define REFUSED \
	"> {\"id\": 2, \"error\": {\"class\": \"DeviceNotFound\", \"desc\": \"no card\"}}\r\n"

static void test_qmp_wait_takes_the_event_of_the_device(void)
{
	static const char *const script[] = {HANDSHAKE,
					     DELETED("disk"),
					     "> {\"event\": \"DEVICE_DELETED\", \"data\": 3}\r\n",
					     DELETED("card"),
					     "sleep",
					     NULL};
	struct lab_qmp *qmp = NULL;
	struct server s;

	server_start(&s, script);
	ASSERT_EQ(lab_qmp_connect(s.path, &qmp, NULL), 0);
	EXPECT_EQ(lab_qmp_wait(qmp, "DEVICE_DELETED", "card", 200, NULL), 0);
	EXPECT_EQ(lab_qmp_wait(qmp, "DEVICE_DELETED", "card", 50, NULL), -ETIMEDOUT);
	EXPECT_EQ(lab_qmp_wait(qmp, "DEVICE_DELETED", "disk", 50, NULL), 0);
	lab_qmp_destroy(qmp);
	EXPECT(server_end(&s));
}

static int unplug(const char *const *script, struct reason *why)
{
	struct lab_qmp *qmp = NULL;
	struct server s;
	int err;

	server_start(&s, script);
	err = lab_qmp_connect(s.path, &qmp, why);
	EXPECT_EQ(err, 0);
	if (!err)
		err = lab_qmp_unplug_card(qmp, 200, why);
	lab_qmp_destroy(qmp);
	EXPECT(server_end(&s));
	return err;
}

static void test_qmp_unplug_waits_until_the_card_is_out(void)
{
	static const char *const script[] = {
		HANDSHAKE, COMMAND, "> {\"return\": {}, \"id\": 2}\r\n", DELETED("card"), NULL};

	EXPECT_EQ(unplug(script, NULL), 0);
}

static void test_qmp_unplug_with_an_event_before_the_reply_is_done(void)
{
	static const char *const script[] = {HANDSHAKE, COMMAND, DELETED("card"),
					     "> {\"return\": {}, \"id\": 2}\r\n", NULL};

	EXPECT_EQ(unplug(script, NULL), 0);
}

static void test_qmp_unplug_of_no_card_is_done(void)
{
	static const char *const script[] = {HANDSHAKE, COMMAND, REFUSED, NULL};
	struct reason why = {0};

	EXPECT_EQ(unplug(script, &why), 0);
	EXPECT_STR(why.text, "");
}

static void test_qmp_unplug_that_the_kernel_ignores_times_out(void)
{
	static const char *const script[] = {HANDSHAKE, COMMAND,
					     "> {\"return\": {}, \"id\": 2}\r\n", "sleep", NULL};
	struct reason why = {0};

	EXPECT_EQ(unplug(script, &why), -ETIMEDOUT);
	EXPECT_HAS(why.text, "does not let go");
}

static void test_qmp_replace_unplugs_and_plugs(void)
{
	static const char *const script[] = {
		HANDSHAKE,
		COMMAND,
		"> {\"return\": {}, \"id\": 2}\r\n",
		DELETED("card"),
		"< {\"execute\":\"device_add\",\"id\":3,\"arguments\":{\"driver\":\"vfio-user-pci\","
		"\"id\":\"card\",\"bus\":\"cardport\",\"socket\":{\"type\":\"unix\",\"path\":",
		"< card2.sock\"}}}\n",
		"> {\"return\": {}, \"id\": 3}\r\n",
		"stay",
		NULL};
	struct lab_qmp *qmp = NULL;
	struct server s;

	server_start(&s, script);
	ASSERT_EQ(lab_qmp_connect(s.path, &qmp, NULL), 0);
	EXPECT_EQ(lab_qmp_replace_card(qmp, "/tmp/card2.sock", 500, NULL), 0);
	lab_qmp_destroy(qmp);
	EXPECT(server_end(&s));
}

#define ADD(id) "< {\"execute\":\"device_add\",\"id\":" id ",", "< card2.sock\"}}}\n"

static void test_qmp_plug_of_a_card_that_is_thrown_out_is_repeated(void)
{
	static const char *const script[] = {
		HANDSHAKE,	 ADD("2"), "> {\"return\": {}, \"id\": 2}\r\n",
		DELETED("card"), ADD("3"), "> {\"return\": {}, \"id\": 3}\r\n",
		"stay",		 NULL};
	struct lab_qmp *qmp = NULL;
	struct server s;

	server_start(&s, script);
	ASSERT_EQ(lab_qmp_connect(s.path, &qmp, NULL), 0);
	EXPECT_EQ(lab_qmp_plug_card(qmp, "/tmp/card2.sock", 3000, NULL), 0);
	lab_qmp_destroy(qmp);
	EXPECT(server_end(&s));
}

static void test_qmp_plug_of_a_card_that_never_stays_times_out(void)
{
	static const char *const script[] = {
		HANDSHAKE, ADD("2"), "> {\"return\": {}, \"id\": 2}\r\n", "sleep", DELETED("card"),
		"stay",	   NULL};
	struct lab_qmp *qmp = NULL;
	struct reason why = {0};
	struct server s;

	server_start(&s, script);
	ASSERT_EQ(lab_qmp_connect(s.path, &qmp, NULL), 0);
	EXPECT_EQ(lab_qmp_plug_card(qmp, "/tmp/card2.sock", 200, &why), -ETIMEDOUT);
	EXPECT_HAS(why.text, "throws the card out");
	lab_qmp_destroy(qmp);
	EXPECT(server_end(&s));
}

/* NOLINTEND(bugprone-suspicious-missing-comma) */

int main(void)
{
	RUN(test_qmp_connect_answers_the_greeting);
	RUN(test_qmp_connect_without_a_server_says_where);
	RUN(test_qmp_connect_to_a_long_path_is_refused);
	RUN(test_qmp_connect_to_something_else_is_refused);
	RUN(test_qmp_connect_to_one_that_hangs_up_is_a_broken_pipe);
	RUN(test_qmp_execute_gives_the_result);
	RUN(test_qmp_execute_in_small_pieces_gives_the_result);
	RUN(test_qmp_execute_refused_gives_qemus_words);
	RUN(test_qmp_execute_skips_events_and_late_replies);
	RUN(test_qmp_execute_without_an_answer_times_out);
	RUN(test_qmp_execute_when_qemu_ends_is_a_broken_pipe);
	RUN(test_qmp_execute_with_a_reply_of_no_kind_is_refused);
	RUN(test_qmp_execute_with_an_endless_line_is_refused);
	RUN(test_qmp_wait_takes_the_event_of_the_device);
	RUN(test_qmp_unplug_waits_until_the_card_is_out);
	RUN(test_qmp_unplug_with_an_event_before_the_reply_is_done);
	RUN(test_qmp_unplug_of_no_card_is_done);
	RUN(test_qmp_unplug_that_the_kernel_ignores_times_out);
	RUN(test_qmp_replace_unplugs_and_plugs);
	RUN(test_qmp_plug_of_a_card_that_is_thrown_out_is_repeated);
	RUN(test_qmp_plug_of_a_card_that_never_stays_times_out);
	return tap_done();
}
