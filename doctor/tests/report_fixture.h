/* SPDX-License-Identifier: MIT */
/*
 * Reports made by hand, so that the forms are tested without logs, rules or machines.
 */
#ifndef TETHYS_DOCTOR_TESTS_REPORT_FIXTURE_H
#define TETHYS_DOCTOR_TESTS_REPORT_FIXTURE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "doctor/report/report.h"
#include "doctor/snapshot.h"

struct fixture {
	struct arena arena;
	struct snapshot snapshot;
	struct snapshot_note note[2];
	struct machine machine;
	struct machine_vm vm;
	struct doctor_log log[2];
	struct doctor_fact fact[3];
	struct doctor_facts facts;
	struct doctor_case seen;
	struct doctor_finding finding[4];
	struct doctor_report report;
};

static const struct doctor_rule fixture_rules[] = {
	{.id = "raw-msi-in-bar", .severity = DOCTOR_ERROR, .hop = HOP_INTERRUPT},
	{.id = "dma-unmapped", .severity = DOCTOR_ERROR, .hop = HOP_DMA},
	{.id = "reset-missing", .severity = DOCTOR_WARNING, .hop = HOP_DEVICE},
	{.id = "boot-fault-benign", .severity = DOCTOR_INFO, .hop = HOP_DMA},
};

static const char *fixture_why[] = {
	"The guest's driver copied its own MSI message into registers of the card. VFIO translates "
	"the MSI capability in configuration space, and does not see these registers, so the card "
	"sends a message that the host never gave out.",
	"Index 0x28 is 0x20 + 8: a block of 32 entries that begins at 0x20, and DMA write channel 0.",
};

static struct doctor_evidence fixture_evidence[] = {
	{"DMAR: [INTR-REMAP] Request device [5e:00.0] fault index 0x28 [fault reason 0x22] Present "
	 "field in the IRTE entry is clear",
	 "host.log:12", 14},
	{"the guest has a virtual IOMMU with interrupt remapping", "/etc/pve/qemu-server/101.conf",
	 1},
};

static struct doctor_ruled_out fixture_ruled_out[] = {
	{"allow_unsafe_interrupts=1", "It only matters on hosts without interrupt remapping; this "
				      "one has it."},
	{"irte-sid-mismatch", "That would be reason 0x26."},
};

static struct doctor_next fixture_next[] = {
	{"Does the guest's interrupt count rise during the failing call?",
	 "grep metis /proc/interrupts",
	 "If it rises, interrupts arrive and the driver is at fault."},
};

static struct doctor_fix fixture_fix[] = {
	{FOR_GUEST, "Install the vendor's driver 1.5.6 or newer.", "",
	 "the driver's public source"},
	{FOR_LIBVIRT, "Remove the virtual IOMMU.", "virsh edit VM", ""},
	{FOR_PROXMOX, "Remove the virtual IOMMU.", "qm set 101 --machine q35\nqm reboot 101",
	 "in the lab: scenario forum-1346-healed"},
};

static const char *fixture_follows[] = {"irte-not-present"};

static struct bdf fixture_bdf(uint8_t bus)
{
	return (struct bdf){.bus = bus};
}

static void fixture_findings(struct fixture *f)
{
	f->finding[0] = (struct doctor_finding){
		.rule = &fixture_rules[0],
		.has_device = true,
		.device = fixture_bdf(0x5e),
		.label = "Axelera AI Metis AIPU [1f9d:1100]",
		.machine = "pve1",
		.severity = DOCTOR_ERROR,
		.confidence = 87,
		.hop = HOP_INTERRUPT,
		.title = "The guest's MSI message was written raw into the device",
		.why = fixture_why,
		.why_count = 2,
		.evidence = fixture_evidence,
		.evidence_count = 2,
		.ruled_out = fixture_ruled_out,
		.ruled_out_count = 2,
		.next = fixture_next,
		.next_count = 1,
		.fix = fixture_fix,
		.fix_count = 3,
		.follows = fixture_follows,
		.follows_count = 1,
	};
	f->finding[1] = f->finding[0];
	f->finding[1].rule = &fixture_rules[1];
	f->finding[1].title = "The device writes to an address that is not mapped for it";
	f->finding[1].confidence = 55;
	f->finding[1].hop = HOP_DMA;
	f->finding[2] = (struct doctor_finding){
		.rule = &fixture_rules[2],
		.has_device = true,
		.device = fixture_bdf(0x5f),
		.severity = DOCTOR_WARNING,
		.confidence = 40,
		.hop = HOP_DEVICE,
		.title = "The device has no reset that works",
	};
	f->finding[3] = (struct doctor_finding){
		.rule = &fixture_rules[3],
		.has_device = true,
		.device = (struct bdf){.slot = 2},
		.severity = DOCTOR_INFO,
		.confidence = 90,
		.title = "A fault of the display engine while the host booted",
	};
}

static void fixture_seen(struct fixture *f)
{
	f->note[0] = (struct snapshot_note){"/proc/iomem", "addresses are hidden from users",
					    "run as root"};
	f->snapshot.note = f->note;
	f->snapshot.note_count = 1;
	f->vm.kind = VM_PROXMOX;
	f->machine = (struct machine){
		.snapshot = &f->snapshot,
		.name = "pve1",
		.side = DOCTOR_SIDE_HOST,
		.kernel = "6.14.8-2-pve",
		.cpu = "Intel(R) Xeon(R)",
		.is_proxmox = true,
		.proxmox_version = "9.1.9",
		.iommu = YES,
		.intremap = YES,
		.device_count = 0,
		.vm = &f->vm,
		.vm_count = 1,
	};
	f->log[0] = (struct doctor_log){.name = "host.log",
					.side = DOCTOR_SIDE_HOST,
					.bytes = 100000,
					.lines = 1234,
					.lines_cut = 1};
	f->fact[0] = (struct doctor_fact){.kind = DOCTOR_VTD_IR_FAULT,
					  .has_device = true,
					  .device = fixture_bdf(0x5e),
					  .count = 9,
					  .text = ""};
	f->fact[1] = (struct doctor_fact){.kind = DOCTOR_VTD_IR_FAULT,
					  .has_device = true,
					  .device = fixture_bdf(0x5e),
					  .number = 7,
					  .count = 5,
					  .text = ""};
	f->fact[2] = (struct doctor_fact){.kind = DOCTOR_KERNEL_BOOT, .count = 1, .text = ""};
	f->facts = (struct doctor_facts){
		.arena = &f->arena, .fact = f->fact, .count = 3, .log = f->log, .log_count = 1};
	f->seen = (struct doctor_case){
		.arena = &f->arena, .machine = &f->machine, .machine_count = 1, .facts = &f->facts};
}

/* Two errors, a warning, an info; fixture_deinit() is due. */
static void fixture_init(struct fixture *f)
{
	memset(f, 0, sizeof(*f));
	fixture_findings(f);
	fixture_seen(f);
	f->report = (struct doctor_report){
		.arena = &f->arena,
		.verdict = DOCTOR_FINDINGS,
		.finding = f->finding,
		.count = 4,
		.looked_at = &f->seen,
	};
}

static void fixture_deinit(struct fixture *f)
{
	arena_free(&f->arena);
}

/* What a form prints, for the caller to free. */
static inline char *fixture_print(const struct fixture *f,
				  void (*print)(const struct doctor_report *report, FILE *out))
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		abort();
	print(&f->report, out);
	fclose(out);
	return text;
}

#endif
