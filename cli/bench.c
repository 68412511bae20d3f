/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "cli/bench.h"
#include "cli/compare.h"
#include "cli/json.h"
#include "cli/pattern.h"
#include "cli/term.h"

static void print_json(const struct bench_options *options, const struct job *job,
		       const struct compare_result *result)
{
	struct json_object *root = json_object_new_object();

	json_object_object_add(root, "model", json_object_new_string(options->job.model));
	json_object_object_add(root, "device", json_object_new_string(job->device));
	json_object_object_add(root, "cores", json_object_new_int64(options->job.cores));
	json_object_object_add(root, "runs", json_object_new_int64(result->runs));
	json_object_object_add(root, "load_ms", json_rounded(job->load_ms));
	json_object_object_add(root, "card_ms", json_rounded(result->card_ms));
	json_object_object_add(root, "direct_ms", json_rounded(result->direct_ms));
	json_object_object_add(root, "ratio", json_rounded(result->ratio));
	json_object_object_add(root, "identical", json_object_new_boolean(result->identical));
	json_print(root);
}

static void print_text(const struct bench_options *options, const struct job *job,
		       const struct compare_result *result)
{
	printf("%s%s%s on %s, %u core%s, median of %u runs in turns\n", term_on(stdout, TERM_BOLD),
	       options->job.model, term_off(stdout), job->device, options->job.cores,
	       options->job.cores == 1 ? "" : "s", result->runs);
	printf("  load               %9.2f ms\n", job->load_ms);
	printf("  through the card   %9.3f ms\n", result->card_ms);
	printf("  ONNX Runtime alone %9.3f ms\n", result->direct_ms);
	printf("  ratio              %9.3f\n", result->ratio);
	printf("  outputs            %s\n", result->identical ? "identical to the byte" : "DIFFER");
}

static int measure(const struct bench_options *options, struct job *job, struct direct *direct,
		   struct reason *why)
{
	struct compare_result result;
	int rc = job_open(&options->job, job, why);

	if (rc != CLI_OK)
		return rc;
	for (size_t i = 0; i < job->inputs; i++)
		pattern_fill(&job->input[i]);
	if (direct_open(options->job.model, options->job.cores, job, direct, why))
		return CLI_FAILED;
	rc = compare_run(job, direct, options->runs, 0, &result, why);
	if (rc != CLI_OK)
		return rc;
	if (options->json)
		print_json(options, job, &result);
	else
		print_text(options, job, &result);
	if (result.identical)
		return CLI_OK;
	reason_add(why, 0, "The card's outputs differ from those of ONNX Runtime alone.");
	return CLI_FAILED;
}

int bench_main(const struct bench_options *options)
{
	struct direct direct = {0};
	struct reason why = {0};
	struct job job = {0};
	int rc;

	rc = measure(options, &job, &direct, &why);
	if (rc != CLI_OK) {
		term_error("%s", why.text);
		term_hint("%s", rc == CLI_DEVICE ? "'tethys devices' lists the cards."
						 : "'tethys model info' checks a model.");
	}
	direct_close(&direct);
	job_close(&job);
	return rc;
}
