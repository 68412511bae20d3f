/* SPDX-License-Identifier: MIT */
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/term.h"

#define PROGRESS_AFTER_MS 2000
#define PROGRESS_EVERY_MS 200
#define PROGRESS_WIDTH 30

static bool colours_wanted(FILE *stream)
{
	const char *no = getenv("NO_COLOR");
	const char *term = getenv("TERM");

	if (no && *no)
		return false;
	if (term && !strcmp(term, "dumb"))
		return false;
	return isatty(fileno(stream));
}

const char *term_on(FILE *stream, enum term_style style)
{
	static const char *const codes[] = {
		[TERM_PLAIN] = "",	  [TERM_BOLD] = "\033[1m",  [TERM_DIM] = "\033[2m",
		[TERM_GOOD] = "\033[32m", [TERM_WARN] = "\033[33m", [TERM_BAD] = "\033[31m",
	};

	return colours_wanted(stream) ? codes[style] : "";
}

const char *term_off(FILE *stream)
{
	return colours_wanted(stream) ? "\033[0m" : "";
}

/* Asked of the variables, since setlocale() knows only what is installed where the command runs. */
bool term_utf8(void)
{
	static const char *const variables[] = {"LC_ALL", "LC_CTYPE", "LANG"};
	const char *value;
	size_t i;

	for (i = 0; i < sizeof(variables) / sizeof(variables[0]); i++) {
		value = getenv(variables[i]);
		if (value && *value)
			return strcasestr(value, "utf-8") || strcasestr(value, "utf8");
	}
	return false;
}

static void say(enum term_style style, const char *mark, const char *fmt, va_list ap)
{
	char text[4096];

	vsnprintf(text, sizeof(text), fmt, ap);
	fflush(stdout);
	fprintf(stderr, "%s%s:%s%s%s\n", term_on(stderr, style), mark, term_off(stderr),
		strchr(text, '\n') ? "\n" : " ", text);
}

void term_error(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(TERM_BAD, "error", fmt, ap);
	va_end(ap);
}

void term_warning(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(TERM_WARN, "warning", fmt, ap);
	va_end(ap);
}

void term_hint(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(TERM_BOLD, "next", fmt, ap);
	va_end(ap);
}

struct term_progress {
	const char *label;
	uint64_t total;
	atomic_uint_fast64_t done;
	struct timespec start;
	pthread_t thread;
	pthread_mutex_t lock; /* protects stop */
	pthread_cond_t wake;
	bool stop;
};

static double seconds_since(const struct timespec *start)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)(now.tv_sec - start->tv_sec) + (double)(now.tv_nsec - start->tv_nsec) / 1e9;
}

static void progress_draw(const struct term_progress *bar)
{
	uint64_t done = atomic_load(&bar->done);
	char cells[PROGRESS_WIDTH + 1];
	size_t full;

	if (!bar->total) {
		fprintf(stderr, "\r\033[K%s, %.0f s", bar->label, seconds_since(&bar->start));
		return;
	}
	if (done > bar->total)
		done = bar->total;
	full = (size_t)((double)done / (double)bar->total * PROGRESS_WIDTH);
	memset(cells, '.', PROGRESS_WIDTH);
	memset(cells, '#', full);
	cells[PROGRESS_WIDTH] = '\0';
	fprintf(stderr, "\r\033[K%s [%s] %3.0f%%", bar->label, cells,
		100.0 * (double)done / (double)bar->total);
}

/* Sleeps on the condition, so that a finished job never waits for its bar. */
static bool progress_sleep(struct term_progress *bar, unsigned int ms)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += (long)(ms % 1000) * 1000000;
	until.tv_sec += ms / 1000 + until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	while (!bar->stop)
		if (pthread_cond_timedwait(&bar->wake, &bar->lock, &until))
			break;
	return !bar->stop;
}

static void *progress_main(void *arg)
{
	struct term_progress *bar = arg;
	bool drawn = false;

	pthread_mutex_lock(&bar->lock);
	while (progress_sleep(bar, drawn ? PROGRESS_EVERY_MS : PROGRESS_AFTER_MS)) {
		progress_draw(bar);
		drawn = true;
	}
	pthread_mutex_unlock(&bar->lock);
	if (drawn)
		fputs("\r\033[K", stderr);
	return NULL;
}

struct term_progress *term_progress_start(const char *label, uint64_t total)
{
	struct term_progress *bar;
	pthread_condattr_t attr;

	if (!isatty(STDERR_FILENO))
		return NULL;
	bar = calloc(1, sizeof(*bar));
	if (!bar)
		return NULL; /* a bar is never worth failing for */
	bar->label = label;
	bar->total = total;
	clock_gettime(CLOCK_MONOTONIC, &bar->start);
	pthread_mutex_init(&bar->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&bar->wake, &attr);
	pthread_condattr_destroy(&attr);
	if (!pthread_create(&bar->thread, NULL, progress_main, bar))
		return bar;
	pthread_cond_destroy(&bar->wake);
	pthread_mutex_destroy(&bar->lock);
	free(bar);
	return NULL;
}

void term_progress_stop(struct term_progress *bar)
{
	if (!bar)
		return;
	pthread_mutex_lock(&bar->lock);
	bar->stop = true;
	pthread_cond_signal(&bar->wake);
	pthread_mutex_unlock(&bar->lock);
	pthread_join(bar->thread, NULL);
	pthread_cond_destroy(&bar->wake);
	pthread_mutex_destroy(&bar->lock);
	free(bar);
}

void term_progress_set(struct term_progress *bar, uint64_t done)
{
	if (bar)
		atomic_store(&bar->done, done);
}
