/* SPDX-License-Identifier: MIT */
/*
 * ONNX Runtime at arm's length: loaded by dlopen(), so that a card nobody uses stays small.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/ort.h"

/* The process's one ONNX Runtime: its environment can't exist twice. */
static struct {
	pthread_mutex_t lock; /* protects the rest; the pointers never change once @ready */
	const OrtApi *api;
	OrtEnv *env;
	bool ready;
} ort = {.lock = PTHREAD_MUTEX_INITIALIZER};

int ort_status(const OrtApi *api, OrtStatus *status, int err, const char *what, struct reason *why)
{
	char line[512];
	char *c;

	if (!status)
		return 0;
	snprintf(line, sizeof(line), "%s", api->GetErrorMessage(status));
	line[strcspn(line, "\r\n")] = '\0';
	for (c = line; *c; c++) {
		if (*c < ' ' || *c > '~')
			*c = '?';
	}
	api->ReleaseStatus(status);
	return reason_add(why, err, "%s: %s", what, line);
}

/* --- the noise of the first session --- */

/*
 * Debian builds libonnx with its static registration of operator schemas on, and ONNX Runtime
 * registers the same schemas once more by itself when its environment is made. libonnx does its
 * registration at the first look-up of a schema, which is inside the first session, finds each
 * schema there already, and tells std::cerr so, over a thousand times. No setting avoids it: the
 * switch is a compile-time one of libonnx. So the first session is one of our own, of a network
 * of a single node, in a thread whose descriptor table is its own and has something else at 2.
 * No other thread, child or message of this process is touched, and no user's network is inside.
 */
static const char noise[] = "Schema error: Trying to register schema with name ";

/* ONNX ModelProto, IR 8, opset 13: float scalar x -> Identity -> y. */
static const unsigned char identity_model[] = {
	0x08, 0x08,						  /* ir_version */
	0x42, 0x02, 0x10, 0x0d,					  /* opset_import.version */
	0x3a, 0x2f,						  /* graph */
	0x0a, 0x10, 0x0a, 0x01, 'x', 0x12, 0x01, 'y',		  /* node: input, output, */
	0x22, 0x08, 'I',  'd',	'e', 'n',  't',	 'i',  't',  'y', /* op_type */
	0x12, 0x01, 'g',					  /* name */
	0x5a, 0x0b, 0x0a, 0x01, 'x', 0x12, 0x06, 0x0a, 0x04, /* input: name, type.tensor_type: */
	0x08, 0x01, 0x12, 0x00,				     /* float, no dimensions */
	0x62, 0x0b, 0x0a, 0x01, 'y', 0x12, 0x06, 0x0a, 0x04, /* output: the same */
	0x08, 0x01, 0x12, 0x00,
};

static int open_session(const OrtApi *api, OrtEnv *env, const void *model, size_t bytes,
			unsigned int threads, OrtSession **ret_session, struct reason *why);

/*
 * Give the calling thread a descriptor table of its own with nothing but 0-2 in it: a copy of the
 * whole would keep other threads' closed files and sockets open. Where close_range() is refused
 * the table is copied; where that is refused too it stays shared, and for a moment lines of other
 * threads take the detour through the memfd as well.
 */
static void own_descriptors(void)
{
	if (close_range(3, UINT_MAX, CLOSE_RANGE_UNSHARE))
		unshare(CLONE_FILES);
}

/* All lines of @text but the noise and the empty line after each, to @fd. */
static void forward_lines(int fd, const char *text, size_t bytes)
{
	const char *end = text + bytes;
	bool after_noise = false;
	const char *line, *next;

	for (line = text; line < end; line = next) {
		size_t len;

		next = memchr(line, '\n', (size_t)(end - line));
		next = next ? next + 1 : end;
		len = (size_t)(next - line);
		if (len >= sizeof(noise) - 1 && !memcmp(line, noise, sizeof(noise) - 1))
			after_noise = true;
		else if (!after_noise || *line != '\n') {
			after_noise = false;
			if (write(fd, line, len) < 0)
				return; /* stderr is gone: nobody to tell */
		}
	}
}

static void forward_memfd(int from, int to)
{
	off_t bytes = lseek(from, 0, SEEK_END);
	char *text;

	if (bytes <= 0)
		return;
	text = mmap(NULL, (size_t)bytes, PROT_READ, MAP_SHARED, from, 0);
	if (text == MAP_FAILED)
		return;
	forward_lines(to, text, (size_t)bytes);
	munmap(text, (size_t)bytes);
}

struct first_session {
	const OrtApi *api;
	OrtEnv *env;
	struct reason *why;
	int err;
};

static void *first_session_thread(void *arg)
{
	struct first_session *first = arg;
	OrtSession *session = NULL;
	int real, sink;

	own_descriptors();
	real = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3); /* fails when stderr is closed: fine */
	sink = memfd_create("ort-stderr", MFD_CLOEXEC);
	if (sink < 0 || dup2(sink, STDERR_FILENO) < 0) {
		first->err =
			reason_add(first->why, -EIO, "no memory for messages: %s", strerror(errno));
	} else {
		first->err = open_session(first->api, first->env, identity_model,
					  sizeof(identity_model), 1, &session, first->why);
		if (!first->err)
			first->api->ReleaseSession(session);
		if (real >= 0)
			dup2(real, STDERR_FILENO);
		else
			close(STDERR_FILENO);
		forward_memfd(sink, real);
	}
	if (sink >= 0)
		close(sink);
	if (real >= 0)
		close(real);
	return NULL;
}

static int first_session(const OrtApi *api, OrtEnv *env, struct reason *why)
{
	struct first_session first = {.api = api, .env = env, .why = why};
	pthread_t thread;
	int err;

	err = pthread_create(&thread, NULL, first_session_thread, &first);
	if (err)
		return reason_add(why, -EIO, "no thread for ONNX Runtime: %s", strerror(err));
	pthread_join(thread, NULL);
	return first.err;
}

/* --- loading --- */

static int load_library(const OrtApi **ret_api, struct reason *why)
{
	const OrtApiBase *(*base)(void);
	const OrtApi *api;
	void *lib;

	lib = dlopen(TETHYS_ORT_SONAME, RTLD_NOW | RTLD_LOCAL);
	if (!lib)
		return reason_add(why, -ENOENT, "ONNX Runtime is not installed: %s", dlerror());
	/* POSIX's way round ISO C, which has no cast from object to function pointer. */
	*(void **)&base = dlsym(lib, "OrtGetApiBase");
	if (!base)
		return reason_add(why, -ENOTSUP, "%s has no OrtGetApiBase", TETHYS_ORT_SONAME);
	api = base()->GetApi(ORT_API_VERSION);
	if (!api)
		return reason_add(why, -ENOTSUP, "ONNX Runtime %s is older than 1.%d",
				  base()->GetVersionString(), ORT_API_VERSION);
	*ret_api = api;
	return 0;
}

/* What fails comes back as an OrtStatus, so the log would only say it twice. */
static void ORT_API_CALL drop_log(void *param, OrtLoggingLevel severity, const char *category,
				  const char *logid, const char *location, const char *message)
{
	(void)param, (void)severity, (void)category, (void)logid, (void)location, (void)message;
}

static int start(const OrtApi **ret_api, OrtEnv **ret_env, struct reason *why)
{
	const OrtApi *api = NULL;
	OrtEnv *env = NULL;
	int err;

	err = load_library(&api, why);
	if (err)
		return err;
	err = ort_status(api,
			 api->CreateEnvWithCustomLogger(drop_log, NULL, ORT_LOGGING_LEVEL_FATAL,
							"tethys", &env),
			 -EIO, "ONNX Runtime does not start", why);
	if (err)
		return err;
	err = first_session(api, env, why);
	if (err) {
		api->ReleaseEnv(env);
		return err;
	}
	*ret_api = api;
	*ret_env = env;
	return 0;
}

int ort_get(const OrtApi **ret_api, OrtEnv **ret_env, struct reason *why)
{
	int err = 0;

	pthread_mutex_lock(&ort.lock);
	if (!ort.ready) {
		err = start(&ort.api, &ort.env, why);
		ort.ready = !err;
	}
	if (!err) {
		*ret_api = ort.api;
		*ret_env = ort.env;
	}
	pthread_mutex_unlock(&ort.lock);
	return err;
}

/* --- sessions --- */

static int make_options(const OrtApi *api, unsigned int threads, OrtSessionOptions **ret_options,
			struct reason *why)
{
	static const char what[] = "session options";
	OrtSessionOptions *options;
	int err;

	err = ort_status(api, api->CreateSessionOptions(&options), -EIO, what, why);
	if (err)
		return err;
	err = ort_status(api, api->SetIntraOpNumThreads(options, (int)threads), -EIO, what, why);
	if (!err)
		err = ort_status(api, api->SetInterOpNumThreads(options, 1), -EIO, what, why);
	if (!err)
		err = ort_status(api, api->SetSessionExecutionMode(options, ORT_SEQUENTIAL), -EIO,
				 what, why);
	if (err) {
		api->ReleaseSessionOptions(options);
		return err;
	}
	*ret_options = options;
	return 0;
}

int ort_session_options(unsigned int threads, OrtSessionOptions **ret_options, struct reason *why)
{
	const OrtApi *api = NULL;
	OrtEnv *env = NULL;
	int err = ort_get(&api, &env, why);

	return err ? err : make_options(api, threads, ret_options, why);
}

static int open_session(const OrtApi *api, OrtEnv *env, const void *model, size_t bytes,
			unsigned int threads, OrtSession **ret_session, struct reason *why)
{
	OrtSessionOptions *options = NULL;
	OrtSession *session;
	int err;

	err = make_options(api, threads, &options, why);
	if (err)
		return err;
	err = ort_status(api, api->CreateSessionFromArray(env, model, bytes, options, &session),
			 -ENOTSUP, "ONNX Runtime refuses the network", why);
	api->ReleaseSessionOptions(options);
	if (!err)
		*ret_session = session;
	return err;
}

int ort_open_session(const void *model, size_t bytes, unsigned int threads,
		     OrtSession **ret_session, struct reason *why)
{
	const OrtApi *api = NULL;
	OrtEnv *env = NULL;
	int err = ort_get(&api, &env, why);

	return err ? err : open_session(api, env, model, bytes, threads, ret_session, why);
}
