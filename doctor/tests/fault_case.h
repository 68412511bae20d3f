/* SPDX-License-Identifier: MIT */
/*
 * Cases made by hand for the rules about faults: facts as the parser would make them, machines as
 * the model would.
 */
#ifndef TETHYS_DOCTOR_TESTS_FAULT_CASE_H
#define TETHYS_DOCTOR_TESTS_FAULT_CASE_H

#include <stdio.h>

#include "doctor/rules/rule.h"
#include "tests/tap.h"

#define FAULT_MACHINES 2

struct fault_case {
	struct arena arena;
	struct doctor_facts facts;
	struct machine machine[FAULT_MACHINES];
	struct doctor_case seen;
	struct doctor_report report;
	uint64_t line;
};

static inline void fault_begin(struct fault_case *made)
{
	memset(made, 0, sizeof(*made));
	doctor_facts_init(&made->facts, &made->arena);
	made->seen = (struct doctor_case){
		.arena = &made->arena,
		.machine = made->machine,
		.facts = &made->facts,
	};
	made->facts.log = arena_grow(&made->arena, &made->facts.log, 0, sizeof(*made->facts.log));
	made->facts.log->name = "host.log";
	made->facts.log->lines = 1;
	made->facts.log_count = 1;
}

static inline void fault_end(struct fault_case *made)
{
	doctor_facts_deinit(&made->facts);
	arena_free(&made->arena);
}

static inline struct bdf fault_bdf(const char *text)
{
	struct bdf bdf = {0};

	if (!bdf_parse(text, strlen(text), &bdf, NULL))
		printf("# not an address: %s\n", text);
	return bdf;
}

/* A fact on the next line, at @seconds since boot (negative: no time). @device may be NULL. */
static inline struct doctor_fact *fault_fact(struct fault_case *made, enum doctor_fact_kind kind,
					     const char *device, double seconds)
{
	struct doctor_fact *fact =
		arena_grow(&made->arena, &made->facts.fact, made->facts.count, sizeof(*fact));

	made->facts.count++;
	fact->kind = kind;
	fact->has_device = device;
	if (device)
		fact->device = fault_bdf(device);
	fact->time_us = seconds < 0 ? DOCTOR_TIME_NONE : (int64_t)(seconds * 1000000);
	fact->last_time_us = fact->time_us;
	fact->line = fact->last_line = ++made->line;
	fact->count = 1;
	fact->text = arena_printf(&made->arena, "line %u of the test", (unsigned int)made->line);
	return fact;
}

static inline struct doctor_fact *fault_dma(struct fault_case *made, const char *device,
					    double seconds, uint64_t address, uint32_t reason,
					    bool write)
{
	struct doctor_fact *fact = fault_fact(made, DOCTOR_VTD_DMA_FAULT, device, seconds);

	fact->has_address = fact->has_reason = fact->has_write = true;
	fact->address = address;
	fact->reason = reason;
	fact->write = write;
	return fact;
}

static inline struct doctor_fact *fault_amd(struct fault_case *made, const char *device,
					    const char *driver, double seconds, uint64_t address,
					    uint32_t flags)
{
	struct doctor_fact *fact = fault_fact(made, DOCTOR_AMD_PAGE_FAULT, device, seconds);

	fact->has_address = fact->has_reason = fact->has_write = true;
	fact->address = address;
	fact->reason = flags;
	fact->write = flags & 0x20;
	snprintf(fact->driver, sizeof(fact->driver), "%s", driver);
	return fact;
}

static inline struct doctor_fact *fault_smmu(struct fault_case *made, const char *device,
					     uint64_t address, uint32_t event, bool write)
{
	struct doctor_fact *fact = fault_fact(made, DOCTOR_SMMU_FAULT, device, 100);

	fact->has_address = fact->has_reason = fact->has_write = true;
	fact->address = address;
	fact->reason = event;
	fact->write = write;
	return fact;
}

static inline struct doctor_fact *fault_ir(struct fault_case *made, const char *device,
					   double seconds, uint64_t index, uint32_t reason)
{
	struct doctor_fact *fact = fault_fact(made, DOCTOR_VTD_IR_FAULT, device, seconds);

	fact->has_number = fact->has_reason = true;
	fact->number = index;
	fact->reason = reason;
	return fact;
}

/* A line that a driver prints about a device. */
static inline struct doctor_fact *fault_driver(struct fault_case *made, enum doctor_fact_kind kind,
					       const char *device, const char *driver,
					       double seconds)
{
	struct doctor_fact *fact = fault_fact(made, kind, device, seconds);

	snprintf(fact->driver, sizeof(fact->driver), "%s", driver);
	snprintf(fact->name, sizeof(fact->name), "%s", driver);
	return fact;
}

/* A machine with one device; @driver may be NULL. */
static inline struct machine_device *fault_machine(struct fault_case *made, enum doctor_side side,
						   const char *device, const char *driver)
{
	struct machine *machine = &made->machine[made->seen.machine_count++];
	struct machine_device *one = arena_alloc(&made->arena, sizeof(*one));

	machine->name = side == DOCTOR_SIDE_GUEST ? "guest" : "host";
	machine->side = side;
	machine->device = one;
	machine->device_count = 1;
	one->bdf = fault_bdf(device);
	one->vendor = 0x1234;
	one->device = 0x5678;
	one->driver = driver;
	one->group = -1;
	one->label = "Example card";
	return one;
}

/* A VM on the first machine that has @device. */
static inline struct machine_vm *fault_vm(struct fault_case *made, const char *device)
{
	struct machine_vm *vm = arena_alloc(&made->arena, sizeof(*vm));

	vm->kind = VM_PROXMOX;
	vm->name = "101";
	vm->source = "/etc/pve/qemu-server/101.conf";
	vm->running = true;
	vm->device = arena_alloc(&made->arena, sizeof(*vm->device));
	vm->all_functions = arena_alloc(&made->arena, sizeof(*vm->all_functions));
	vm->device[0] = fault_bdf(device);
	vm->device_count = 1;
	made->machine[0].vm = vm;
	made->machine[0].vm_count = 1;
	return vm;
}

static inline void fault_judge(struct fault_case *made)
{
	doctor_judge_case(&made->seen, &made->report);
}

/* Id of the first finding, "none" without one. */
static inline const char *fault_first(const struct fault_case *made)
{
	return made->report.count ? made->report.finding[0].rule->id : "none";
}

static inline const struct doctor_finding *fault_finding(const struct fault_case *made,
							 const char *id)
{
	for (size_t i = 0; i < made->report.count; i++) {
		if (!strcmp(made->report.finding[i].rule->id, id))
			return &made->report.finding[i];
	}
	return NULL;
}

/* Whether a sentence of the finding, or its evidence, has @part. */
static inline bool fault_says(const struct doctor_finding *finding, const char *part)
{
	for (size_t i = 0; finding && i < finding->why_count; i++) {
		if (strstr(finding->why[i], part))
			return true;
	}
	for (size_t i = 0; finding && i < finding->evidence_count; i++) {
		if (strstr(finding->evidence[i].text, part))
			return true;
	}
	return false;
}

static inline bool fault_rules_out(const struct doctor_finding *finding, const char *what)
{
	for (size_t i = 0; finding && i < finding->ruled_out_count; i++) {
		if (!strcmp(finding->ruled_out[i].what, what))
			return true;
	}
	return false;
}

#endif
