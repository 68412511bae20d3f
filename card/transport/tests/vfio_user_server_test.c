/* SPDX-License-Identifier: MIT */
/* The listener: socket file, clients one after another, stopping. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <tethys/hw/edma.h>
#include <tethys/hw/pci.h>

#include "card/transport/tests/raw_client.h"
#include "tests/tap.h"

static char dir[] = "/tmp/vfio-user-server-test-XXXXXX";
static char path[108];

static struct listener {
	struct card *card;
	struct vfio_user_server *server;
	pthread_t thread;
	int ret;
	struct reason why;
} one;

static struct raw first, second;

static void *run_main(void *arg)
{
	struct listener *listener = arg;

	listener->ret = vfio_user_server_run(listener->server);
	return NULL;
}

static int listener_create(struct listener *listener, const struct vfio_user_server_config *config)
{
	const struct card_config card = {.engine = "null", .keep_imwr = -1};
	int ret;

	memset(listener, 0, sizeof(*listener));
	ret = card_create(&card, &listener->card, &listener->why);
	return ret ? ret
		   : vfio_user_server_create(listener->card, config, &listener->server,
					     &listener->why);
}

static bool listener_start(struct listener *listener)
{
	const struct vfio_user_server_config config = {.path = path};

	if (listener_create(listener, &config)) {
		printf("# %s\n", listener->why.text);
		return false;
	}
	return !pthread_create(&listener->thread, NULL, run_main, listener);
}

static void listener_destroy(struct listener *listener)
{
	vfio_user_server_destroy(listener->server);
	card_destroy(listener->card);
}

static void listener_stop(struct listener *listener)
{
	vfio_user_server_stop(listener->server);
	pthread_join(listener->thread, NULL);
	EXPECT_EQ(listener->ret, 0);
	listener_destroy(listener);
}

/* A client at the path. */
static bool client_connect(struct raw *client)
{
	const struct timeval patience = {.tv_sec = 10};
	struct sockaddr_un addr = {.sun_family = AF_UNIX};

	memset(client, 0, sizeof(*client));
	strcpy(addr.sun_path, path);
	client->sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(client->sock, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	return !connect(client->sock, (struct sockaddr *)&addr, sizeof(addr));
}

static void client_close(struct raw *client)
{
	vfio_user_fds_close(&client->fds);
	close(client->sock);
}

static bool client_open(struct raw *client)
{
	return client_connect(client) && !raw_version(client, RAW_NO_TWIN);
}

static bool client_alive(struct raw *client)
{
	return raw_get32(client, METIS_BAR_EDMA, METIS_EDMA_CTRL) == 0x40004;
}

static void test_server_serves_clients_one_after_another(void)
{
	unsigned int before = raw_fd_count(), i;

	ASSERT(listener_start(&one));
	for (i = 0; i < 20; i++) {
		ASSERT(client_open(&first));
		EXPECT(client_alive(&first));
		client_close(&first);
	}
	listener_stop(&one);
	EXPECT_EQ(raw_fd_count(), before);
	EXPECT(access(path, F_OK));
}

static void test_server_socket_is_private(void)
{
	struct stat st;

	ASSERT(listener_start(&one));
	EXPECT(!stat(path, &st));
	EXPECT_EQ(st.st_mode & 0777, 0600);
	listener_stop(&one);
}

static void test_server_second_client_is_told_busy(void)
{
	uint64_t start;

	ASSERT(listener_start(&one));
	ASSERT(client_open(&first));
	raw_put32(&first, METIS_BAR_L2, 0x100000, 42);
	ASSERT(client_connect(&second));
	start = raw_now_ms();
	EXPECT_EQ(raw_version(&second, RAW_NO_TWIN), EBUSY);
	EXPECT(raw_now_ms() - start < 500);
	EXPECT_EQ(raw_recv(&second, second.sock), -ENODATA);
	client_close(&second);
	EXPECT(client_alive(&first));
	EXPECT_EQ(raw_get32(&first, METIS_BAR_L2, 0x100000), 42);
	client_close(&first);
	ASSERT(client_open(&second)); /* its turn now */
	client_close(&second);
	listener_stop(&one);
}

static void test_server_silent_clients_keep_nobody_out(void)
{
	static struct raw silent[20];
	unsigned int i;

	ASSERT(listener_start(&one));
	ASSERT(client_open(&first));
	for (i = 0; i < 20; i++)
		EXPECT(client_connect(&silent[i]));
	EXPECT(client_connect(&second));
	EXPECT_EQ(raw_version(&second, RAW_NO_TWIN), EBUSY);
	EXPECT(client_alive(&first));
	client_close(&second);
	for (i = 0; i < 20; i++)
		client_close(&silent[i]);
	client_close(&first);
	listener_stop(&one);
}

static void test_server_early_bird_is_served_when_the_first_leaves(void)
{
	ASSERT(listener_start(&one));
	ASSERT(client_open(&first));
	ASSERT(client_connect(&second)); /* has said nothing yet */
	usleep(50000);
	client_close(&first);
	usleep(50000);
	EXPECT_EQ(raw_version(&second, RAW_NO_TWIN), 0);
	EXPECT(client_alive(&second));
	client_close(&second);
	listener_stop(&one);
}

/* A child that starts a DMA nobody answers, then waits to be killed. */
static void victim(int tell)
{
	if (!client_open(&second))
		_exit(1);
	raw_enable(&second);
	raw_dma_start(&second, false, 0, 0x10000, 0x80000000, 1 << 20);
	if (write(tell, "x", 1) != 1)
		_exit(1);
	for (;;)
		pause();
}

/* Kill a client in mid-DMA and be the next one. Return: milliseconds from its death to service. */
static uint64_t replace_killed_client(void)
{
	uint64_t start, took;
	int tell[2];
	char byte;
	pid_t pid;

	if (pipe(tell))
		return UINT64_MAX;
	pid = fork();
	if (!pid)
		victim(tell[1]);
	EXPECT_EQ(read(tell[0], &byte, 1), 1);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	start = raw_now_ms();
	EXPECT(client_open(&first));
	EXPECT(client_alive(&first));
	took = raw_now_ms() - start;
	EXPECT(raw_card_rests(one.card));
	client_close(&first);
	close(tell[0]);
	close(tell[1]);
	return took;
}

static void test_server_killed_client_makes_room_at_once(void)
{
	uint64_t took, shortest = UINT64_MAX;
	unsigned int i;

	ASSERT(listener_start(&one));
	for (i = 0; i < 5; i++) {
		took = replace_killed_client();
		if (took < shortest)
			shortest = took;
	}
	EXPECT(shortest < 100); /* once is enough: the machine may be busy with other things */
	printf("# a killed client is replaced in %" PRIu64 " ms\n", shortest);
	listener_stop(&one);
}

static void test_server_owner_that_is_just_leaving_is_waited_for(void)
{
	const struct vfio_user_version version = {.major = 0};

	ASSERT(listener_start(&one));
	ASSERT(client_open(&first));
	ASSERT(client_connect(&second));
	EXPECT(raw_send(&second, VFIO_USER_VERSION, 0, &version, sizeof(version), NULL, 0) >= 0);
	usleep(10000);
	client_close(&first);
	EXPECT_EQ(raw_recv(&second, second.sock), 0);
	EXPECT_EQ(second.header.flags, VFIO_USER_TYPE_REPLY);
	EXPECT(client_alive(&second));
	client_close(&second);
	listener_stop(&one);
}

static void test_server_stop_disconnects(void)
{
	ASSERT(listener_start(&one));
	ASSERT(client_open(&first));
	listener_stop(&one);
	EXPECT_EQ(raw_recv(&first, first.sock), -ENODATA);
	client_close(&first);
}

static void test_server_stop_before_run_ends_it(void)
{
	const struct vfio_user_server_config config = {.path = path};

	ASSERT_EQ(listener_create(&one, &config), 0);
	vfio_user_server_stop(one.server);
	EXPECT_EQ(vfio_user_server_run(one.server), 0);
	listener_destroy(&one);
}

static void test_server_live_socket_is_not_taken(void)
{
	const struct vfio_user_server_config config = {.path = path};
	struct listener two;

	ASSERT(listener_start(&one));
	EXPECT_EQ(listener_create(&two, &config), -EADDRINUSE);
	EXPECT_HAS(two.why.text, "another server listens at");
	listener_destroy(&two);
	ASSERT(client_open(&first));
	client_close(&first);
	listener_stop(&one);
}

static void test_server_dead_socket_is_replaced(void)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	strcpy(addr.sun_path, path);
	ASSERT(!bind(fd, (struct sockaddr *)&addr, sizeof(addr)));
	close(fd); /* the file stays */
	ASSERT(listener_start(&one));
	ASSERT(client_open(&first));
	client_close(&first);
	listener_stop(&one);
}

static void test_server_leaves_other_files_alone(void)
{
	const struct vfio_user_server_config config = {.path = path};
	FILE *file = fopen(path, "w");
	struct listener two;

	ASSERT(file);
	fclose(file);
	EXPECT_EQ(listener_create(&two, &config), -EEXIST);
	listener_destroy(&two);
	EXPECT(!access(path, F_OK));
	unlink(path);
}

static void expect_path_refused(const char *bad, int error)
{
	const struct vfio_user_server_config config = {.path = bad};
	struct listener two;

	EXPECT_EQ(listener_create(&two, &config), error);
	EXPECT(two.why.text[0]);
	listener_destroy(&two);
}

static void test_server_bad_paths_have_reasons(void)
{
	char longest[200];

	memset(longest, 'x', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	expect_path_refused("", -EINVAL);
	expect_path_refused(longest, -EINVAL);
	expect_path_refused("/nonexistent/socket", -ENOENT);
}

static void test_server_bad_descriptor_is_refused(void)
{
	const struct vfio_user_server_config config = {.listen_fd = raw_memfd(1, false)};
	struct listener two;

	EXPECT_EQ(listener_create(&two, &config), -EINVAL);
	listener_destroy(&two);
	close(config.listen_fd);
}

static void test_server_connected_descriptor_is_served_to_its_end(void)
{
	struct vfio_user_server_config config = {.path = NULL};
	int pair[2];

	ASSERT(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
	ASSERT(!fcntl(pair[1], F_SETFL, O_NONBLOCK)); /* whatever the giver used it for */
	config.listen_fd = pair[1];
	ASSERT_EQ(listener_create(&one, &config), 0);
	ASSERT(!pthread_create(&one.thread, NULL, run_main, &one));
	memset(&first, 0, sizeof(first));
	first.sock = pair[0];
	EXPECT_EQ(raw_version(&first, RAW_NO_TWIN), 0);
	EXPECT(client_alive(&first));
	client_close(&first);
	pthread_join(one.thread, NULL);
	EXPECT_EQ(one.ret, 0);
	listener_destroy(&one);
}

int main(void)
{
	if (!mkdtemp(dir))
		return 1;
	snprintf(path, sizeof(path), "%s/socket", dir);
	RUN(test_server_serves_clients_one_after_another);
	RUN(test_server_socket_is_private);
	RUN(test_server_second_client_is_told_busy);
	RUN(test_server_silent_clients_keep_nobody_out);
	RUN(test_server_early_bird_is_served_when_the_first_leaves);
	RUN(test_server_killed_client_makes_room_at_once);
	RUN(test_server_owner_that_is_just_leaving_is_waited_for);
	RUN(test_server_stop_disconnects);
	RUN(test_server_stop_before_run_ends_it);
	RUN(test_server_live_socket_is_not_taken);
	RUN(test_server_dead_socket_is_replaced);
	RUN(test_server_leaves_other_files_alone);
	RUN(test_server_bad_paths_have_reasons);
	RUN(test_server_bad_descriptor_is_refused);
	RUN(test_server_connected_descriptor_is_served_to_its_end);
	rmdir(dir);
	return tap_done();
}
