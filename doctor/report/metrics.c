/* SPDX-License-Identifier: MIT */
/*
 * OpenMetrics text. Types are those that Prometheus' older text format knows as well, because the
 * node exporter reads files in that one.
 */
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "doctor/report/escape.h"
#include "doctor/report/report.h"
#include "doctor/text.h"

static void label(const char *name, const char *value, const char *after, FILE *out)
{
	fprintf(out, "%s=\"", name);
	escape_label(value, out);
	fprintf(out, "\"%s", after);
}

static const char *device_text(bool has_device, struct bdf device, char text[BDF_TEXT_BYTES])
{
	return has_device ? bdf_text(device, text) : "";
}

/* A sample must be there once: the same finding may be made on two machines. */
static bool same_finding(const struct doctor_finding *a, const struct doctor_finding *b)
{
	return a->rule == b->rule && a->severity == b->severity && a->has_device == b->has_device &&
	       (!a->has_device || bdf_equal(a->device, b->device));
}

static void print_findings(const struct doctor_report *report, FILE *out)
{
	char device[BDF_TEXT_BYTES];

	fputs("# HELP tethys_doctor_findings What doctor found, by class and device.\n"
	      "# TYPE tethys_doctor_findings gauge\n",
	      out);
	for (size_t i = 0; i < report->count; i++) {
		const struct doctor_finding *finding = &report->finding[i];
		size_t same = 0, before = 0;

		for (size_t j = 0; j < report->count; j++) {
			bool equal = same_finding(finding, &report->finding[j]);

			same += equal;
			before += equal && j < i;
		}
		if (before)
			continue;
		fputs("tethys_doctor_findings{", out);
		label("id", finding->rule->id, ",", out);
		label("severity", doctor_severity_name(finding->severity), ",", out);
		label("device", device_text(finding->has_device, finding->device, device), "} ",
		      out);
		fprintf(out, "%zu\n", same);
	}
}

/* What the counter counts: trouble as it happens, not what is said at boot. */
static bool is_fault(enum doctor_fact_kind kind)
{
	switch (kind) {
	case DOCTOR_VTD_DMA_FAULT:
	case DOCTOR_VTD_IR_FAULT:
	case DOCTOR_VTD_INVALIDATION:
	case DOCTOR_AMD_PAGE_FAULT:
	case DOCTOR_AMD_ILLEGAL_DTE:
	case DOCTOR_AMD_INVALID_REQUEST:
	case DOCTOR_AMD_IOTLB_TIMEOUT:
	case DOCTOR_AMD_COMPLETION_WAIT:
	case DOCTOR_AMD_OTHER_EVENT:
	case DOCTOR_SMMU_FAULT:
	case DOCTOR_RESET_NOT_READY:
	case DOCTOR_D3_STUCK:
	case DOCTOR_DEVICE_GONE:
	case DOCTOR_AER_CORRECTABLE:
	case DOCTOR_AER_NONFATAL:
	case DOCTOR_AER_FATAL:
	case DOCTOR_LINK_DOWN:
	case DOCTOR_FELL_OFF_BUS:
	case DOCTOR_METIS_DRIVER_TIMEOUT:
	case DOCTOR_METIS_DRIVER_LOST_IRQ:
		return true;
	default:
		return false;
	}
}

static bool same_counter(const struct doctor_fact *a, const struct doctor_fact *b)
{
	return a->kind == b->kind && a->has_device == b->has_device &&
	       (!a->has_device || bdf_equal(a->device, b->device));
}

/* "vtd_dma_fault" of VTD_DMA_FAULT. */
static const char *kind_text(enum doctor_fact_kind kind, char text[64])
{
	const char *name = doctor_fact_name(kind);
	size_t i;

	for (i = 0; i < 63 && name[i]; i++)
		text[i] = name[i] >= 'A' && name[i] <= 'Z' ? (char)(name[i] | 0x20) : name[i];
	text[i] = '\0';
	return text;
}

static void print_faults(const struct doctor_facts *facts, FILE *out)
{
	char device[BDF_TEXT_BYTES], kind[64];

	fputs("# HELP tethys_doctor_fault_lines Lines of the logs that tell of a fault. "
	      "The kernel prints only some of many.\n"
	      "# TYPE tethys_doctor_fault_lines counter\n",
	      out);
	for (size_t i = 0; i < facts->count; i++) {
		const struct doctor_fact *fact = &facts->fact[i];
		uint64_t lines = 0;
		bool before = false;

		for (size_t j = 0; j < facts->count && is_fault(fact->kind) && !before; j++) {
			if (!same_counter(fact, &facts->fact[j]))
				continue;
			before = j < i;
			lines += facts->fact[j].count;
		}
		if (before || !is_fault(fact->kind))
			continue;
		fputs("tethys_doctor_fault_lines_total{", out);
		label("kind", kind_text(fact->kind, kind), ",", out);
		label("device", device_text(fact->has_device, fact->device, device), "} ", out);
		fprintf(out, "%" PRIu64 "\n", lines);
	}
}

static void print_gauge(const char *name, const char *help, double value, FILE *out)
{
	fprintf(out, "# HELP %s %s\n# TYPE %s gauge\n%s %.15g\n", name, help, name, name, value);
}

void doctor_report_metrics(const struct doctor_report *report, FILE *out)
{
	print_findings(report, out);
	if (report->looked_at)
		print_faults(report->looked_at->facts, out);
	print_gauge("tethys_doctor_verdict", "0 healthy, 1 findings, 2 could not look.",
		    report->verdict, out);
	print_gauge("tethys_doctor_last_run_timestamp_seconds", "When doctor looked last.",
		    (double)time(NULL), out);
	fprintf(out,
		"# HELP tethys_doctor_build_info Which doctor looked.\n"
		"# TYPE tethys_doctor_build_info gauge\n"
		"tethys_doctor_build_info{version=\"%s\"} 1\n"
		"# EOF\n",
		TETHYS_VERSION);
}
