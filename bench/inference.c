/* SPDX-License-Identifier: MIT */
/*
 * A network through the card against the same ONNX Runtime session called directly: same threads,
 * same inputs, in turns, medians.
 *
 *	inference [MODEL.onnx ...]
 *
 * Without arguments: an untrained ResNet-18 made on the spot and, where TETHYS_MODELS names a
 * folder that has it, RetinaFace at 640x640.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <axruntime/tethys.h>

#include "bench/bench.h"
#include "cli/compare.h"
#include "cli/pattern.h"
#include "tasks/models.h"

enum { RUNS = 100 };

static unsigned int threads(void)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	return cpus < 1 ? 1 : cpus > 4 ? 4 : (unsigned int)cpus;
}

/* The last three: where the last run through the card spent its time. */
static void print_row(const char *model, const char *label, const struct job_options *options,
		      const struct job *job, const struct compare_result *result)
{
	struct tethys_instance_stats stats = {0};

	tethys_instance_stats(job->instance, &stats, sizeof(stats));
	printf("%-36s %-10s %7u %9.3f %9.3f %7.3f %7.3f %7.3f %7.3f\n", model, label,
	       options->cores, result->card_ms, result->direct_ms, result->ratio,
	       (double)stats.input_ns / 1e6, (double)(stats.command_ns - stats.device_ns) / 1e6,
	       (double)stats.output_ns / 1e6);
}

static int measure(const char *model, const char *device, const char *label, struct reason *why)
{
	struct job_options options = {.model = model, .device = device, .cores = threads()};
	const char *base = strrchr(model, '/');
	struct compare_result result;
	struct direct direct = {0};
	struct job job = {0};
	int ret = job_open(&options, &job, why);

	for (size_t i = 0; !ret && i < job.inputs; i++)
		pattern_fill(&job.input[i]);
	if (!ret)
		ret = direct_open(model, options.cores, &job, &direct, why);
	if (!ret)
		ret = compare_run(&job, &direct, RUNS, 0, &result, why);
	if (!ret && !result.identical)
		ret = reason_add(why, -1, "%s on %s: outputs differ", model, label);
	if (!ret)
		print_row(base ? base + 1 : model, label, &options, &job, &result);
	fflush(stdout);
	direct_close(&direct);
	job_close(&job);
	return ret;
}

static int measure_both(const char *model, const char *card, struct reason *why)
{
	int ret = measure(model, "sim", "sim", why);

	return ret ? ret : measure(model, card, "vfio-user", why);
}

static int measure_default(const char *card, struct reason *why)
{
	char path[] = "/tmp/tethys-resnet18-XXXXXX.onnx", face[512];
	const char *models = getenv("TETHYS_MODELS");
	int fd = mkstemps(path, 5), ret;

	if (fd < 0)
		return reason_add(why, -1, "cannot write to /tmp");
	close(fd);
	ret = resnet18_make(path, RESNET18_SEED, why);
	if (!ret)
		ret = measure_both(path, card, why);
	unlink(path);
	snprintf(face, sizeof(face), "%s/retinaface-mobilenet025-640.onnx", models ? models : ".");
	if (!ret && !access(face, R_OK))
		ret = measure_both(face, card, why);
	else if (!ret)
		printf("retinaface-mobilenet025-640.onnx: not measured, TETHYS_MODELS has none\n");
	return ret;
}

int main(int argc, char **argv)
{
	struct bench_card card;
	struct reason why = {0};
	int ret = bench_card_start(&card, "onnx", &why);

	if (ret) {
		fprintf(stderr, "inference: %s\n", why.text);
		return 1;
	}
	printf("%-36s %-10s %7s %9s %9s %7s %7s %7s %7s\n", "model", "device", "threads", "card ms",
	       "direct ms", "ratio", "in ms", "cmd ms", "out ms");
	if (argc < 2)
		ret = measure_default(card.device, &why);
	for (int i = 1; !ret && i < argc; i++)
		ret = measure_both(argv[i], card.device, &why);
	bench_card_stop(&card);
	if (ret)
		fprintf(stderr, "inference: %s\n", why.text);
	return ret ? 1 : 0;
}
