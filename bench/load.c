/* SPDX-License-Identifier: MIT */
/*
 * Loading a 45 MB module: how fast it gets into card memory (against memcpy of the same bytes in
 * the same run), and what loading costs beside the engine's own opening of the network.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <axruntime/tethys.h>

#include "bench/bench.h"
#include "tasks/models.h"

enum { ROUNDS = 7 };

struct sample {
	double transfer_ms, rest_ms, engine_ms, memcpy_ms;
};

static double memcpy_ms(size_t bytes)
{
	char *from = malloc(bytes), *to = malloc(bytes);
	double start, took;

	if (!from || !to)
		abort();
	memset(from, 1, bytes);
	start = bench_now_us();
	memcpy(to, from, bytes); /* into fresh memory, as a module goes into fresh card memory */
	__asm__ volatile("" : : "r"(to) : "memory"); /* or the copy is nobody's and goes away */
	took = bench_now_us() - start;
	free(from);
	free(to);
	return took / 1e3;
}

/* Everything from the file's name to a runnable instance, once. */
static int load_once(axrContext *context, axrConnection *connection, const char *path,
		     struct sample *ret_sample, uint64_t *ret_bytes)
{
	struct tethys_instance_stats stats;
	double start = bench_now_us(), total_ms;
	axrModelInstance *instance;
	axrModel *model = axr_load_model(context, path);

	instance = model ? axr_load_model_instance(connection, model, NULL) : NULL;
	total_ms = (bench_now_us() - start) / 1e3;
	if (!instance || tethys_instance_stats(instance, &stats, sizeof(stats))) {
		fprintf(stderr, "%s\n", axr_last_error_string(AXR_OBJECT(context)));
		axr_destroy(AXR_OBJECT(model));
		return -EIO;
	}
	ret_sample->transfer_ms = (double)stats.load.transfer_ns / 1e6;
	ret_sample->engine_ms = (double)stats.load.engine_ns / 1e6;
	ret_sample->rest_ms = total_ms - ret_sample->engine_ms;
	ret_sample->memcpy_ms = memcpy_ms(stats.load.module_bytes);
	*ret_bytes = stats.load.module_bytes;
	axr_destroy(AXR_OBJECT(instance));
	axr_destroy(AXR_OBJECT(model));
	return 0;
}

static void print_row(const char *label, const struct sample *samples, uint64_t bytes)
{
	double transfer[ROUNDS], rest[ROUNDS], engine[ROUNDS], copy[ROUNDS];
	double t, c;

	for (int i = 0; i < ROUNDS; i++) {
		transfer[i] = samples[i].transfer_ms;
		rest[i] = samples[i].rest_ms;
		engine[i] = samples[i].engine_ms;
		copy[i] = samples[i].memcpy_ms;
	}
	t = bench_median(transfer, ROUNDS);
	c = bench_median(copy, ROUNDS);
	printf("%-10s %8.1f %11.2f %7.2f %10.2f %7.2f %9.1f %10.1f\n", label, (double)bytes / 1e6,
	       t, (double)bytes / t / 1e6, c, t / c, bench_median(rest, ROUNDS),
	       bench_median(engine, ROUNDS));
}

static int measure_device(const char *name, const char *label, const char *path)
{
	axrContext *context = axr_create_context();
	struct sample samples[ROUNDS + 1];
	axrDeviceInfo device = {0};
	axrConnection *connection;
	uint64_t bytes = 0;
	int ret = 0;

	snprintf(device.name, sizeof(device.name), "%s", name);
	connection = axr_device_connect(context, &device, 1, NULL);
	if (!connection) {
		fprintf(stderr, "%s\n", axr_last_error_string(AXR_OBJECT(context)));
		ret = -ENODEV;
	}
	/* The first load also loads ONNX Runtime itself; it isn't counted. */
	for (int i = 0; !ret && i <= ROUNDS; i++)
		ret = load_once(context, connection, path, &samples[i], &bytes);
	if (!ret)
		print_row(label, samples + 1, bytes);
	axr_destroy(AXR_OBJECT(context));
	return ret;
}

int main(void)
{
	char path[] = "/tmp/tethys-bench-load-XXXXXX.onnx";
	struct bench_card card;
	struct reason why = {0};
	int fd = mkstemps(path, 5), ret;

	if (fd < 0)
		return 1;
	close(fd);
	ret = resnet18_make(path, RESNET18_SEED, &why);
	printf("%-10s %8s %11s %7s %10s %7s %9s %10s\n", "device", "MB", "transfer ms", "GB/s",
	       "memcpy ms", "ratio", "rest ms", "engine ms");
	if (!ret)
		ret = measure_device("sim", "sim", path);
	if (!ret)
		ret = bench_card_start(&card, "onnx", &why);
	if (!ret) {
		ret = measure_device(card.device, "vfio-user", path);
		bench_card_stop(&card);
	}
	unlink(path);
	if (ret)
		fprintf(stderr, "load: failed%s%s\n", why.text[0] ? ": " : "", why.text);
	return ret ? 1 : 0;
}
