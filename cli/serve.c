/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "card/control.h"
#include "card/personality.h"
#include "card/record.h"
#include "cli/cli.h"
#include "cli/control_socket.h"
#include "cli/serve.h"
#include "cli/term.h"

static void show_event(void *ctx, enum vfio_user_event event, const char *text)
{
	const struct serve_options *options = ctx;
	bool routine = event == VFIO_USER_EVENT_CONNECTED || event == VFIO_USER_EVENT_DISCONNECTED;

	if (!routine || options->verbose)
		fprintf(stderr, "tethys card: %s\n", text);
}

static void stop_signals(sigset_t *ret_set)
{
	sigemptyset(ret_set);
	sigaddset(ret_set, SIGINT);
	sigaddset(ret_set, SIGTERM);
	sigaddset(ret_set, SIGHUP);
}

static void *stop_main(void *arg)
{
	sigset_t set;
	int sig;

	stop_signals(&set);
	if (!sigwait(&set, &sig))
		vfio_user_server_stop(arg);
	/*
	 * A second Ctrl-C finds its default action: somebody has lost patience. Not a second SIGTERM:
	 * the kernel sends the one for a dead parent again for each of its threads that the card is
	 * handed to, and the socket would stay behind.
	 */
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	return NULL;
}

static void announce(const struct serve_options *options)
{
	const struct card_personality *row = card_personality_find(options->card.personality);
	const char *engine = options->card.engine ? options->card.engine : "onnx";

	if (options->server.path)
		printf("card ready: vfio-user:%s", options->server.path);
	else
		printf("card ready: fd %d", options->server.listen_fd);
	printf(" (firmware %s, engine %s)\n", row ? row->name : "?", engine);
	fflush(stdout);
}

static int run_server(const struct serve_options *options, struct vfio_user_server *server)
{
	pthread_t thread;
	int rc;

	rc = -pthread_create(&thread, NULL, stop_main, server);
	if (rc) {
		term_error("No thread for signals: %s", strerror(-rc));
		return CLI_FAILED;
	}
	announce(options);
	rc = vfio_user_server_run(server);
	if (rc)
		term_error("The socket failed: %s", strerror(-rc));
	/* It must not touch a server that is gone; where it sits, in sigwait(), it can be cancelled. */
	pthread_cancel(thread);
	pthread_join(thread, NULL);
	return rc ? CLI_FAILED : CLI_OK;
}

/* With the control socket, which is to be there when the card says that it is ready. */
static int run_controlled(const struct serve_options *options, struct card *card,
			  struct vfio_user_server *server)
{
	struct control_socket *control = NULL;
	struct reason why = {0};
	int rc;

	if (options->control && control_socket_create(card, options->control, &control, &why)) {
		term_error("%s", why.text);
		return CLI_FAILED;
	}
	rc = run_server(options, server);
	/* The server is at rest, so no command waits for a client any more. */
	control_socket_destroy(control);
	return rc;
}

static int serve_on(const struct serve_options *options, struct card *card,
		    struct card_record *record)
{
	struct vfio_user_server_config config = options->server;
	struct vfio_user_server *server;
	struct reason why = {0};
	int rc;

	config.event = show_event;
	config.event_ctx = (void *)options;
	config.trace = record ? card_record_event : NULL;
	config.trace_ctx = record;
	if (vfio_user_server_create(card, &config, &server, &why)) {
		term_error("%s", why.text);
		if (config.path)
			term_hint("choose another --socket, or end the card that listens there.");
		return CLI_FAILED;
	}
	rc = run_controlled(options, card, server);
	vfio_user_server_destroy(server);
	return rc;
}

static int seed(const struct serve_options *options, struct card *card)
{
	char reply[CARD_CONTROL_REPLY_MAX];
	size_t i;

	for (i = 0; i < options->seeds.count; i++) {
		if (!card_control(card, options->seeds.item[i], reply))
			continue;
		term_error("--seed '%s': %s", options->seeds.item[i], reply);
		return CLI_FAILED;
	}
	return CLI_OK;
}

static int serve_recorded(const struct serve_options *options, struct card_record *record)
{
	struct card_config config = options->card;
	struct reason why = {0};
	struct card *card;
	int rc;

	config.trace = record ? card_record_event : NULL;
	config.trace_ctx = record;
	if (card_create(&config, &card, &why)) {
		term_error("%s", why.text);
		return CLI_FAILED;
	}
	rc = seed(options, card);
	if (rc == CLI_OK)
		rc = serve_on(options, card, record);
	card_destroy(card);
	return rc;
}

int serve_card(const struct serve_options *options)
{
	struct card_record *record = NULL;
	struct reason why = {0};
	sigset_t set;
	int rc, err;

	/* Before any thread: all of them inherit it, so that only stop_main() sees these. */
	stop_signals(&set);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	if (options->record && card_record_create(options->record, &record, &why)) {
		term_error("%s", why.text);
		return CLI_FAILED;
	}
	rc = serve_recorded(options, record);
	err = card_record_destroy(record);
	if (err) {
		term_error("'%s' could not be written: %s", options->record, strerror(-err));
		rc = CLI_FAILED;
	}
	return rc;
}
