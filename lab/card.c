/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/unix_socket.h"
#include "lab/card.h"
#include "lab/process.h"

#define READY_MS 20000
#define END_MS 5000
#define SEED_MS 5000
#define REPLY_MAX 4096u

struct lab_card {
	struct lab_loop *loop;
	struct lab_process *process;
	char socket[PATH_MAX], control[PATH_MAX], record[PATH_MAX], log[PATH_MAX];
	int fd; /* to the control socket; -1: not yet */
};

/* --- control --- */

/* One line; the card answers each command with exactly one. */
static int read_reply(int fd, int64_t deadline_ms, char *ret_reply, size_t size)
{
	struct pollfd poller = {.fd = fd, .events = POLLIN};
	size_t len = 0;
	int64_t left;
	ssize_t n;

	for (;;) {
		left = deadline_ms - lab_now_ms();
		if (left <= 0 || poll(&poller, 1, (int)left) == 0)
			return -ETIMEDOUT;
		n = recv(fd, ret_reply + len, size - 1 - len, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -EPIPE;
		len += (size_t)n;
		ret_reply[len] = '\0';
		if (ret_reply[len - 1] == '\n') {
			ret_reply[len - 1] = '\0';
			return 0;
		}
		if (len == size - 1)
			return -EPROTO;
	}
}

static int exchange(struct lab_card *card, const char *command, unsigned int timeout_ms,
		    char *ret_reply, size_t size)
{
	char line[512];
	int len = snprintf(line, sizeof(line), "%s\n", command);

	if (len < 0 || (size_t)len >= sizeof(line))
		return -E2BIG;
	if (card->fd < 0)
		card->fd = unix_socket_connect(card->control, 0, 0);
	if (card->fd < 0)
		return card->fd;
	if (send(card->fd, line, (size_t)len, MSG_NOSIGNAL) != len)
		return -EPIPE;
	return read_reply(card->fd, lab_now_ms() + timeout_ms, ret_reply, size);
}

int lab_card_control(struct lab_card *card, const char *command, unsigned int timeout_ms,
		     char *ret_reply, size_t size, struct reason *why)
{
	int err = exchange(card, command, timeout_ms, ret_reply, size);

	if (err)
		return reason_add(why, err, "the card does not answer to \"%s\": %s", command,
				  strerror(-err));
	if (strstr(ret_reply, "\"ok\":true"))
		return 0;
	return reason_add(why, -EREMOTEIO, "the card refuses \"%s\": %s", command, ret_reply);
}

/* --- life --- */

static int add_options(struct lab_argv *argv, const struct lab_scenario_card *config)
{
	int err = 0;

	if (config->personality)
		err = lab_argv_add(argv, "--personality=%s", config->personality);
	if (!err && config->engine)
		err = lab_argv_add(argv, "--engine=%s", config->engine);
	if (!err && config->raw_imwr)
		err = lab_argv_add(argv, "--raw-imwr");
	if (!err && config->keep_imwr >= 0)
		err = lab_argv_add(argv, "--keep-imwr=%s", config->keep_imwr ? "yes" : "no");
	if (!err && config->mirror_dma)
		err = lab_argv_add(argv, "--mirror-dma");
	if (!err && config->latch_target)
		err = lab_argv_add(argv, "--latch-target");
	if (!err && config->count_accesses)
		err = lab_argv_add(argv, "--count-accesses");
	if (!err && !config->direct)
		err = lab_argv_add(argv, "--no-direct");
	return err;
}

static int start_process(struct lab_card *card, const char *command,
			 const struct lab_scenario_card *config, struct reason *why)
{
	struct lab_argv argv = {0};
	int err;

	err = lab_argv_add(&argv, "%s", command);
	if (!err)
		err = lab_argv_add(&argv, "card");
	if (!err)
		err = lab_argv_add(&argv, "--verbose");
	if (!err)
		err = lab_argv_add(&argv, "--socket=%s", card->socket);
	if (!err)
		err = lab_argv_add(&argv, "--control=%s", card->control);
	if (!err)
		err = lab_argv_add(&argv, "--record=%s", card->record);
	if (!err)
		err = add_options(&argv, config);
	if (err)
		reason_add(why, err, "out of memory");
	else
		err = lab_process_start(card->loop, (const char *const *)argv.item, card->log,
					&card->process, why);
	lab_argv_deinit(&argv);
	return err;
}

static bool listens_or_dead(void *ctx)
{
	struct lab_card *card = ctx;

	/* The control socket is the last to listen. */
	card->fd = unix_socket_connect(card->control, 0, 0);
	return card->fd >= 0 || !lab_process_running(card->process);
}

static int sow(struct lab_card *card, const struct lab_strings *seeds, struct reason *why)
{
	char reply[REPLY_MAX];
	size_t i;
	int err = 0;

	for (i = 0; !err && i < seeds->count; i++)
		err = lab_card_control(card, seeds->item[i], SEED_MS, reply, sizeof(reply), why);
	return err == -EREMOTEIO ? -EINVAL : err;
}

static int wait_ready(struct lab_card *card, struct reason *why)
{
	int err = lab_loop_run(card->loop, listens_or_dead, card, READY_MS);

	if (!err && !lab_process_running(card->process))
		err = -ECHILD;
	return err ? reason_add(why, err, "the card did not start: see %s", card->log) : 0;
}

static int name_files(struct lab_card *card, const char *socket_dir, const char *log_dir,
		      const char *name)
{
	if (snprintf(card->socket, PATH_MAX, "%s/%s.sock", socket_dir, name) >= PATH_MAX ||
	    snprintf(card->control, PATH_MAX, "%s/%s.ctl", socket_dir, name) >= PATH_MAX ||
	    snprintf(card->record, PATH_MAX, "%s/%s.record", log_dir, name) >= PATH_MAX ||
	    snprintf(card->log, PATH_MAX, "%s/%s.log", log_dir, name) >= PATH_MAX)
		return -ENAMETOOLONG;
	return 0;
}

int lab_card_start(struct lab_loop *loop, const char *command,
		   const struct lab_scenario_card *config, const char *socket_dir,
		   const char *log_dir, const char *name, struct lab_card **ret_card,
		   struct reason *why)
{
	struct lab_card *card = calloc(1, sizeof(*card));
	int err;

	if (!card)
		return reason_add(why, -ENOMEM, "out of memory");
	card->loop = loop;
	card->fd = -1;
	err = name_files(card, socket_dir, log_dir, name);
	if (!err)
		err = start_process(card, command, config, why);
	if (!err)
		err = wait_ready(card, why);
	if (!err)
		err = sow(card, &config->seed, why);
	if (err)
		lab_card_destroy(card);
	else
		*ret_card = card;
	return err;
}

void lab_card_destroy(struct lab_card *card)
{
	if (!card)
		return;
	if (card->fd >= 0)
		close(card->fd);
	if (card->process)
		lab_process_stop(card->process, END_MS);
	lab_process_destroy(card->process);
	free(card);
}

const char *lab_card_socket(const struct lab_card *card)
{
	return card->socket;
}

const char *lab_card_record(const struct lab_card *card)
{
	return card->record;
}

const char *lab_card_log(const struct lab_card *card)
{
	return card->log;
}
