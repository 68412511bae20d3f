/* SPDX-License-Identifier: MIT */
/*
 * A stream of DMA faults in words: what its lines prove and what not, the arithmetic on the
 * address, beliefs that don't hold, and the observation that would decide.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "doctor/rules/dma_stream.h"

#define GIB ((uint64_t)1 << 30)
#define EVIDENCE_MAX 6u

static void say_reason_vtd(struct doctor_judge *judge, struct doctor_finding *finding,
			   const struct dma_stream *stream)
{
	const char *verb = stream->write ? "write" : "read";

	judge_why(judge, finding,
		  "Reason 0x%02x (decimal %u). Kernels up to 5.13 print it in decimal, without 0x.",
		  stream->reason, stream->reason);
	switch (stream->reason) {
	case 0x05:
	case 0x06:
	case 0x79:
		judge_why(judge, finding,
			  "The line proves that the device wanted to %s and that no translation "
			  "allowed it. It does not prove that a translation without that "
			  "permission exists: entries of this table have no present bit, so a "
			  "missing one is reported in the same words.",
			  verb);
		judge_rule_out(judge, finding, "the page is mapped read-only",
			       "A missing entry reads as \"access is not set\" as well. The usual "
			       "meaning is: this address is not mapped at all.");
		break;
	case 0x71:
		judge_why(judge, finding,
			  "0x71 is about the first level, which has a present bit: the address, "
			  "one of the host's own DMA addresses, is not mapped.");
		break;
	case 0x01:
	case 0x02:
	case 0x39:
	case 0x41:
		judge_why(judge, finding,
			  "The line proves that the IOMMU knew no domain for this requester id. "
			  "It says nothing about the address: no table was looked at.");
		break;
	case 0x04:
		judge_why(judge, finding,
			  "The address has more bits than the IOMMU's tables cover.");
		break;
	default:
		break;
	}
	if (stream->shape == SHAPE_UNMAPPED)
		judge_why(judge, finding,
			  "VT-d reports the page only: the low 12 bits of the address are lost.");
}

static void say_reason_amd(struct doctor_judge *judge, struct doctor_finding *finding,
			   const struct dma_stream *stream)
{
	if (!stream->has_reason)
		return;
	judge_why(judge, finding, "Flags 0x%04x: a %s, %s.", stream->reason,
		  stream->reason & DMA_AMD_WRITE ? "write" : "read",
		  stream->reason & DMA_AMD_PRESENT
			  ? "of an address that has an entry, which forbids it"
			  : "of an address that has no entry");
	if (stream->reason & DMA_AMD_PERMISSION && !(stream->reason & DMA_AMD_PRESENT))
		judge_why(judge, finding, "The flag for a permission (0x40) is set as well.");
}

static void say_reason_smmu(struct doctor_judge *judge, struct doctor_finding *finding,
			    const struct dma_stream *stream)
{
	const char *name = NULL;

	switch (stream->reason) {
	case 0x02:
		name = "C_BAD_STREAMID, the id is in no table";
		break;
	case 0x04:
		name = "C_BAD_STE, the entry of the id is not valid";
		break;
	case 0x06:
		name = "F_STREAM_DISABLED, the stream is switched off";
		break;
	case 0x10:
		name = "F_TRANSLATION, the address is not mapped";
		break;
	case 0x11:
		name = "F_ADDR_SIZE, the address is too wide";
		break;
	case 0x12:
		name = "F_ACCESS, the page was never marked as used";
		break;
	case 0x13:
		name = "F_PERMISSION, the page is mapped and forbids it";
		break;
	default:
		break;
	}
	if (stream->has_reason && name)
		judge_why(judge, finding,
			  "Event 0x%02x is %s. The device wanted to %s. The SMMU prints the whole "
			  "address.",
			  stream->reason, name, stream->write ? "write" : "read");
}

/* Where a VM's memory ends, as machine_vm_ram() lays it out. */
static void say_guest_memory(struct doctor_judge *judge, struct doctor_finding *finding,
			     const struct dma_stream *stream)
{
	const struct doctor_case *seen = judge_case(judge);
	const struct machine_vm *vm = stream->who.vm;
	const char *board = NULL, *answer;
	uint64_t low = 0;

	if (!vm || !vm->ram)
		return;
	if (vm->board == BOARD_Q35) {
		board = "q35";
		low = vm->ram <= 11 * GIB / 4 ? vm->ram : 2 * GIB;
	} else if (vm->board == BOARD_I440FX) {
		board = "i440fx";
		low = vm->ram <= 7 * GIB / 2 ? vm->ram : 3 * GIB;
	}
	answer = stream->place.guest_ram == YES	 ? "The address is inside"
		 : stream->place.guest_ram == NO ? "The address is outside"
						 : "Whether the address is inside is not known";
	if (!board)
		judge_state(judge, finding, vm->source, "VM %s has %s of memory. %s.", vm->name,
			    dma_size_text(seen, vm->ram), answer);
	else if (low == vm->ram)
		judge_state(judge, finding, vm->source,
			    "VM %s has %s of memory (%s), all of it below 0x%" PRIx64 ". %s.",
			    vm->name, dma_size_text(seen, vm->ram), board, low, answer);
	else
		judge_state(judge, finding, vm->source,
			    "VM %s has %s of memory (%s): up to 0x%" PRIx64
			    ", and from 0x100000000 (4 GiB) to 0x%" PRIx64 ". %s.",
			    vm->name, dma_size_text(seen, vm->ram), board, low,
			    4 * GIB + (vm->ram - low), answer);
}

static void say_place(struct doctor_judge *judge, struct doctor_finding *finding,
		      const struct dma_stream *stream)
{
	const struct doctor_case *seen = judge_case(judge);
	const struct dma_place *place = &stream->place;

	if (stream->shape == SHAPE_NO_CONTEXT)
		return;
	judge_why(judge, finding, "The address: %s.%s", dma_place_text(seen, place),
		  stream->facts > 1 ? " It is the first of several." : "");
	say_guest_memory(judge, finding, stream);
	if (place->iomem)
		judge_state(judge, finding, "/proc/iomem",
			    "On the host 0x%" PRIx64 " belongs to \"%s\" (0x%" PRIx64 "-0x%" PRIx64
			    ").",
			    place->address, place->iomem->name, place->iomem->range.start,
			    place->iomem->range.end);
	if (place->reserved)
		judge_state(judge, finding, place->reserved_by,
			    "0x%" PRIx64 "-0x%" PRIx64 " is reserved%s%s.", place->reserved->start,
			    place->reserved->end, place->reserved->type ? ", type " : "",
			    place->reserved->type ? place->reserved->type : "");
	if (place->too_wide == YES)
		judge_why(judge, finding, "The IOMMU translates %u bits: the address needs more.",
			  place->width);
}

static void say_moment(struct doctor_judge *judge, struct doctor_finding *finding,
		       const struct dma_stream *stream)
{
	static const char *const moment[] = {
		[DMA_WHEN_BOOT] = "When: in the first two seconds of the kernel.",
		[DMA_WHEN_BEFORE] = "When: before vfio opened the device in this log.",
		[DMA_WHEN_GUEST] = "When: after vfio opened the device for a guest.",
		[DMA_WHEN_ACROSS] = "When: on both sides of a reset or a new opening by vfio.",
		[DMA_WHEN_AFTER] = "When: after a VM ended or a driver left the device.",
	};

	if (moment[stream->when])
		judge_why(judge, finding, "%s", moment[stream->when]);
	if (stream->who.assigned_by && finding->severity != DOCTOR_INFO)
		judge_why(judge, finding, "The requester is a guest's device: %s.",
			  stream->who.assigned_by);
	else if (stream->who.assigned == NO && stream->who.driver)
		judge_why(judge, finding, "The requester is the host's own: driver %s has it.",
			  stream->who.driver);
	if (stream->suppressed)
		judge_why(judge, finding,
			  "The kernel suppressed %" PRIu64
			  " more lines: count no faults by counting lines.",
			  stream->suppressed);
}

static void say_evidence(struct doctor_judge *judge, struct doctor_finding *finding,
			 const struct dma_stream *stream)
{
	const struct doctor_fact *fact = NULL;

	for (size_t i = 0; i < stream->facts && i < EVIDENCE_MAX; i++)
		judge_evidence(judge, finding, stream->fact[i]);
	if (stream->facts > EVIDENCE_MAX)
		judge_state(judge, finding, "kernel log", "%zu more addresses of the same device.",
			    stream->facts - EVIDENCE_MAX);
	if (!strcmp(finding->rule->id, "igd-stolen-mismatch")) {
		while ((fact = doctor_fact_next(judge_case(judge)->facts, DOCTOR_IGD_STOLEN_OUTSIDE,
						fact)))
			judge_evidence(judge, finding, fact);
	} else if (!strcmp(finding->rule->id, "msi-unprogrammed")) {
		while ((fact = doctor_fact_next(judge_case(judge)->facts, DOCTOR_MSI_WORD, fact))) {
			if (fact->has_address && !fact->address)
				judge_evidence(judge, finding, fact);
		}
	}
}

/* What to ask of a fault that the general class is all we know of. */
static void say_next_general(struct doctor_judge *judge, struct doctor_finding *finding,
			     const struct dma_stream *stream)
{
	const struct dma_requester *who = &stream->who;

	if (who->assigned == NO)
		return;
	if (!who->vm)
		judge_next(
			judge, finding, "Look at the VM's memory, machine type and virtual IOMMU.",
			"qm config {vmid} | grep -E '^(memory|machine|args|hostpci)'\n"
			"virsh dumpxml DOMAIN | grep -E '<memory|machine=|<iommu'",
			"Inside guest memory and no virtual IOMMU: QEMU was starting or gone, or "
			"the host has a bug. Inside, with a virtual IOMMU: the guest has not "
			"mapped it (viommu-remap). Outside: the address is from the device's "
			"previous owner (stale-dma-no-reset) or made up by the device.");
	if (who->vm && who->vm->viommu == VIOMMU_UNKNOWN)
		judge_next(judge, finding, "Has the VM a virtual IOMMU?",
			   "qm config {vmid} | grep -E 'viommu|intel-iommu|virtio-iommu'",
			   "With one, only what the guest maps is mapped: viommu-remap. Without, "
			   "all of the guest's memory is.");
	judge_next(judge, finding,
		   "Does it happen after a cold boot, with the host's driver never loaded?",
		   "cat /sys/bus/pci/devices/{device}/reset_method\n"
		   "lspci -nnk -s {device}",
		   "Gone: the device still worked for its previous owner (stale-dma-no-reset). "
		   "Still there: the guest's driver or the device's firmware makes the address.");
}

static void say_next(struct doctor_judge *judge, struct doctor_finding *finding,
		     const struct dma_stream *stream)
{
	const char *id = finding->rule->id;

	if (!strcmp(id, "dma-unmapped-write") || !strcmp(id, "dma-unmapped-read") ||
	    !strcmp(id, "viommu-remap"))
		say_next_general(judge, finding, stream);
	else if (!strcmp(id, "stale-dma-no-reset"))
		judge_next(judge, finding,
			   "Switch the machine off, start it with the host's driver blocked, and "
			   "start the VM once.",
			   "cat /sys/bus/pci/devices/{device}/reset_method",
			   "No fault: it was a previous owner's work. The same address again: the "
			   "guest or the device makes it.");
	else if (!strcmp(id, "driver-bypasses-dma-api"))
		judge_next(judge, finding, "Is the address host memory?",
			   "grep 'System RAM' /proc/iomem   # as root\n"
			   "cat /sys/bus/pci/devices/{device}/iommu_group/type",
			   "In System RAM, and the type is DMA or DMA-FQ: the driver handed out a "
			   "physical address. Not in it: the device makes it up "
			   "(dma-mask-truncated).");
	else if (!strcmp(id, "dma-mask-truncated"))
		judge_next(judge, finding, "Compare with the addresses that the driver gave.",
			   "dmesg | grep -iE '{device}.*(dma|mask|64.?bit)'",
			   "Equal but for the top bits: the device drops them. A VM with little "
			   "memory (below the limit) then works, and one with much does not.");
	else if (!strcmp(id, "requester-alias"))
		judge_next(
			judge, finding,
			"List what is in the slot and which bridge is in front of it.",
			"lspci -tv\nlspci -s {device}",
			"No such function, or a bridge to conventional PCI: the id is an alias.");
	else if (!strcmp(id, "msi-unprogrammed"))
		judge_next(
			judge, finding, "Look at the device's interrupt message.",
			"lspci -vv -s {device} | grep -A2 'MSI:'",
			"Enable+ with address 0: it interrupts before anybody gave it a message. "
			"A real address: the write to 0 is data (dma-unmapped-write).");
}

/* The fixes of the general class are for a guest's device. */
static void fix_for_host(struct doctor_judge *judge, struct doctor_finding *finding,
			 const struct dma_stream *stream)
{
	static const struct doctor_fix fix = {
		FOR_ANY,
		"The host's own driver uses the device: update the kernel and the device's "
		"firmware, and report it to the driver's authors with these lines.",
		"uname -r\nlspci -nnk -s {device}", ""};
	const char *id = finding->rule->id;

	if (stream->who.assigned != NO ||
	    (strcmp(id, "dma-unmapped-write") && strcmp(id, "dma-unmapped-read")))
		return;
	judge_clear_fixes(finding);
	judge_fix(judge, finding, &fix);
}

static void say_beliefs(struct doctor_judge *judge, struct doctor_finding *finding)
{
	if (finding->severity == DOCTOR_INFO)
		return;
	judge_rule_out(judge, finding, "allow_unsafe_interrupts=1",
		       "It only lets vfio work without interrupt remapping. This is about memory.");
	judge_rule_out(
		judge, finding, "iommu=pt on the host",
		"It changes only devices that the host keeps, not one in a guest's domain%s.",
		!strcmp(finding->rule->id, "driver-bypasses-dma-api")
			? ". For a device of the host it hides this fault, it does not cure the "
			  "driver"
			: "");
	judge_rule_out(
		judge, finding, "intel_iommu=off or amd_iommu=off",
		"It removes the messenger: the device then reads or writes whatever memory is "
		"there.");
	judge_rule_out(judge, finding, "ACS override",
		       "It changes groups, not mappings: it cannot make an address mapped.");
}

void dma_say(struct doctor_judge *judge, struct doctor_finding *finding,
	     const struct dma_stream *stream)
{
	say_evidence(judge, finding, stream);
	say_place(judge, finding, stream);
	if (stream->kind == DOCTOR_VTD_DMA_FAULT && stream->has_reason)
		say_reason_vtd(judge, finding, stream);
	else if (stream->kind == DOCTOR_AMD_PAGE_FAULT)
		say_reason_amd(judge, finding, stream);
	else if (stream->kind == DOCTOR_SMMU_FAULT)
		say_reason_smmu(judge, finding, stream);
	say_moment(judge, finding, stream);
	say_next(judge, finding, stream);
	fix_for_host(judge, finding, stream);
	say_beliefs(judge, finding);
}
