/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/term.h"
#include "doctor/metrics_server.h"
#include "doctor/output.h"
#include "doctor/report/escape.h"
#include "doctor/text.h"
#include "doctor/watch.h"

/* Faults come in crowds: they are judged together. */
#define JUDGE_EVERY_MS 1000
/* In containers /dev/kmsg may be /dev/null, which is always ready and has nothing. */
#define EMPTY_MAX 8u

/* --- what is new --- */

static uint64_t evidence_lines(const struct doctor_finding *finding)
{
	uint64_t lines = 0;

	for (size_t i = 0; i < finding->evidence_count; i++)
		lines += finding->evidence[i].count;
	return lines;
}

static struct watch_entry *find(struct watch_tracker *tracker, const struct doctor_finding *finding)
{
	for (size_t i = 0; i < tracker->count; i++) {
		struct watch_entry *entry = &tracker->entry[i];

		if (entry->rule == finding->rule && entry->has_device == finding->has_device &&
		    (!entry->has_device || bdf_equal(entry->device, finding->device)))
			return entry;
	}
	return NULL;
}

/* Return: NULL when there is no room. */
static struct watch_entry *add(struct watch_tracker *tracker, const struct doctor_finding *finding,
			       int64_t now_ms)
{
	struct watch_entry *entry;

	if (tracker->count == WATCH_FINDINGS_MAX) {
		tracker->left_out++;
		return NULL;
	}
	entry = &tracker->entry[tracker->count++];
	*entry = (struct watch_entry){
		.rule = finding->rule,
		.has_device = finding->has_device,
		.device = finding->device,
		.lines = evidence_lines(finding),
		.seen = evidence_lines(finding),
		.spoken_ms = now_ms,
		.there = true,
	};
	snprintf(entry->title, sizeof(entry->title), "%s", finding->title);
	return entry;
}

void watch_remember(struct watch_tracker *tracker, const struct doctor_report *report,
		    int64_t now_ms)
{
	for (size_t i = 0; i < report->count; i++)
		if (!find(tracker, &report->finding[i]))
			add(tracker, &report->finding[i], now_ms);
}

struct voice {
	const struct doctor_report *report;
	const struct doctor_style *style;
	const char *clock;
	FILE *out;
};

static const char *safe(const struct voice *voice, const char *text)
{
	return escape_line(voice->report->arena, text, voice->style->utf8);
}

static void say_new(const struct voice *voice, const struct doctor_finding *finding)
{
	const struct doctor_style *style = voice->style;
	const char *device = doctor_device_text(voice->report, finding);
	bool error = finding->severity == DOCTOR_ERROR;

	fprintf(voice->out, "%s %s%s%s %s%s%s", voice->clock, error ? style->bad : style->warn,
		error ? "ERROR" : "WARNING", style->off, safe(voice, device), *device ? ": " : "",
		safe(voice, finding->title));
	fprintf(voice->out, " (%s, %u %%)\n", finding->rule->id, finding->confidence);
	if (finding->evidence_count)
		fprintf(voice->out, "    %s%s%s\n", style->dim,
			safe(voice, finding->evidence[finding->evidence_count - 1].text),
			style->off);
	if (finding->fix_count) {
		size_t *order =
			arena_alloc(voice->report->arena, finding->fix_count * sizeof(*order));

		doctor_fix_order(voice->report, finding, order);
		fprintf(voice->out, "    What to do: %s\n",
			safe(voice, finding->fix[order[0]].text));
	}
}

static void say_again(const struct voice *voice, const struct doctor_finding *finding,
		      uint64_t lines)
{
	const char *device = doctor_device_text(voice->report, finding);

	fprintf(voice->out, "%s again: %s%s%s (%s), %" PRIu64 " more %s\n", voice->clock,
		safe(voice, device), *device ? ": " : "", safe(voice, finding->title),
		finding->rule->id, lines, lines == 1 ? "line" : "lines");
}

/* Findings about a state can end; those from a log stay in it. */
static void say_gone(struct watch_tracker *tracker, const struct voice *voice)
{
	char device[BDF_TEXT_BYTES];
	size_t kept = 0;

	for (size_t i = 0; i < tracker->count; i++) {
		const struct watch_entry *entry = &tracker->entry[i];

		if (entry->there) {
			tracker->entry[kept++] = *entry;
			continue;
		}
		if (entry->rule->severity == DOCTOR_INFO)
			continue;
		fprintf(voice->out, "%s gone: %s%s%s (%s)\n", voice->clock,
			entry->has_device ? bdf_text(entry->device, device) : "",
			entry->has_device ? ": " : "", safe(voice, entry->title), entry->rule->id);
	}
	tracker->count = kept;
}

bool watch_changes(struct watch_tracker *tracker, const struct doctor_report *report,
		   const struct doctor_style *style, int64_t now_ms, const char *clock, FILE *out)
{
	const struct voice voice = {report, style, clock, out};
	bool waits = false;

	for (size_t i = 0; i < tracker->count; i++)
		tracker->entry[i].there = false;
	for (size_t i = 0; i < report->count; i++) {
		const struct doctor_finding *finding = &report->finding[i];
		struct watch_entry *entry = find(tracker, finding);

		if (!entry) {
			if (add(tracker, finding, now_ms) && finding->severity != DOCTOR_INFO)
				say_new(&voice, finding);
			continue;
		}
		entry->there = true;
		entry->seen = evidence_lines(finding);
		if (finding->severity == DOCTOR_INFO || entry->seen <= entry->lines)
			continue;
		if (now_ms - entry->spoken_ms < WATCH_QUIET_MS) {
			waits = true;
			continue;
		}
		say_again(&voice, finding, entry->seen - entry->lines);
		entry->lines = entry->seen;
		entry->spoken_ms = now_ms;
	}
	say_gone(tracker, &voice);
	return waits;
}

/* --- the loop --- */

struct watch {
	struct doctor_look *look;
	struct doctor_style style;
	struct watch_tracker tracker;
	struct metrics_server *server; /* NULL: none */
	int code;
	bool news;	    /* of the log, not judged yet */
	bool waits;	    /* for its minute */
	unsigned int empty; /* reads of the log in a row that brought nothing */
	int64_t judged_ms, looked_ms;
};

static volatile sig_atomic_t asked_to_stop;

static void on_signal(int number)
{
	(void)number;
	asked_to_stop = 1;
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void publish(struct watch *watch, const struct doctor_report *report)
{
	const char *path = watch->look->options->metrics;
	struct reason why = {0};
	char *text = NULL;
	size_t size = 0;
	FILE *out;

	if (path && !watch->server) {
		if (output_file(path, report, doctor_report_metrics, &why))
			term_warning("%s", why.text);
		return;
	}
	out = watch->server ? open_memstream(&text, &size) : NULL;
	if (!out)
		return;
	doctor_report_metrics(report, out);
	if (!fclose(out))
		metrics_server_publish(watch->server, text, size);
	free(text);
}

static void judge(struct watch *watch, bool first)
{
	struct doctor_report report;
	struct doctor_case seen;
	struct arena arena = {0};
	char clock[16] = "";
	time_t wall = time(NULL);
	struct tm local;

	look_judge(watch->look, &seen, &arena, &report);
	watch->judged_ms = now_ms();
	watch->code = (int)report.verdict;
	watch->news = false;
	if (localtime_r(&wall, &local))
		strftime(clock, sizeof(clock), "%H:%M:%S", &local);
	if (first) {
		doctor_report_text(&report, &watch->style, stdout);
		watch_remember(&watch->tracker, &report, watch->judged_ms);
	} else {
		watch->waits = watch_changes(&watch->tracker, &report, &watch->style,
					     watch->judged_ms, clock, stdout);
	}
	fflush(stdout);
	publish(watch, &report);
	arena_free(&arena);
}

static void look_anew(struct watch *watch)
{
	struct reason why = {0};

	if (look_again(watch->look, &why))
		term_warning("%s", why.text);
	watch->looked_ms = now_ms();
	judge(watch, false);
}

/* Until something has to be done without anybody calling. */
static int64_t next_ms(const struct watch *watch)
{
	int64_t next = watch->looked_ms + (int64_t)watch->look->options->interval_s * 1000;

	if ((watch->news || watch->waits) && watch->judged_ms + JUDGE_EVERY_MS < next)
		next = watch->judged_ms + JUDGE_EVERY_MS;
	return next;
}

static void read_log(struct watch *watch)
{
	struct reason why = {0};
	int got;

	got = doctor_log_follow(watch->look->follow_fd, watch->look->kernel, &why);
	watch->empty = got ? 0 : watch->empty + 1;
	watch->news |= got > 0;
	if (got > 0 || (!got && watch->empty < EMPTY_MAX))
		return;
	term_warning("The kernel log can't be followed any more: %s",
		     got ? why.text : "/dev/kmsg is none here");
	close(watch->look->follow_fd);
	watch->look->follow_fd = -1;
}

/* One turn: sleep until the log, a client of the metrics, the clock or a signal calls. */
static void turn(struct watch *watch, const sigset_t *mask)
{
	struct pollfd fds[METRICS_POLL_MAX + 1];
	int64_t now = now_ms(), left = next_ms(watch) - now;
	struct timespec timeout;
	sigset_t blocked;
	size_t count = 0;
	int ready;

	left = left < 0 ? 0 : left;
	timeout = (struct timespec){left / 1000, left % 1000 * 1000000};
	/* poll() passes over a descriptor of -1. */
	fds[count++] = (struct pollfd){.fd = watch->look->follow_fd, .events = POLLIN};
	if (watch->server)
		count += metrics_server_poll(watch->server, fds + count);
	ready = ppoll(fds, count, &timeout, mask);
	/* With something always ready it never lets a signal in. */
	sigprocmask(SIG_SETMASK, mask, &blocked);
	sigprocmask(SIG_SETMASK, &blocked, NULL);
	if (asked_to_stop)
		return;
	if (ready > 0 && fds[0].revents)
		read_log(watch);
	now = now_ms();
	if (now >= watch->looked_ms + (int64_t)watch->look->options->interval_s * 1000)
		look_anew(watch);
	else if ((watch->news || watch->waits) && now >= watch->judged_ms + JUDGE_EVERY_MS)
		judge(watch, false);
	if (watch->server)
		metrics_server_serve(watch->server);
}

/* Signals come in only while the loop sleeps. @ret_mask is the one to sleep with. */
static void catch_signals(sigset_t *ret_mask)
{
	static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
	struct sigaction action = {.sa_handler = on_signal};
	sigset_t blocked;

	sigemptyset(&blocked);
	sigemptyset(&action.sa_mask);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		sigaddset(&blocked, numbers[i]);
		sigaction(numbers[i], &action, NULL);
	}
	sigprocmask(SIG_BLOCK, &blocked, ret_mask);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		sigdelset(ret_mask, numbers[i]);
}

static int open_server(struct watch *watch)
{
	const struct doctor_options *options = watch->look->options;
	struct reason why = {0};

	if (!options->metrics_served)
		return 0;
	if (metrics_server_create(options->metrics, &watch->server, &why)) {
		term_error("%s", why.text);
		return -1;
	}
	printf("Metrics are served on port %u.\n", metrics_server_port(watch->server));
	return 0;
}

int doctor_watch(struct doctor_look *look)
{
	struct watch *watch = calloc(1, sizeof(*watch));
	sigset_t mask;
	int code = DOCTOR_CANNOT_LOOK;

	if (!watch)
		return code;
	watch->look = look;
	output_style(look->options->verbose, &watch->style);
	catch_signals(&mask);
	if (!open_server(watch)) {
		watch->looked_ms = now_ms();
		judge(watch, true);
		puts(look->follow_fd >= 0 ? "Following the kernel log; ^C ends it."
					  : "The kernel log can't be followed, only the machine; "
					    "^C ends it.");
		fflush(stdout);
		while (!asked_to_stop && !ferror(stdout))
			turn(watch, &mask);
		code = watch->code;
	}
	metrics_server_destroy(watch->server);
	free(watch);
	return code;
}
