/* SPDX-License-Identifier: MIT */
/*
 * Interrupt faults: which class is each run of them?
 *
 * The reason tells which format the message had: 0x25 a plain one, 0x20 to 0x22 and 0x26 one with a
 * handle. Who composed it is the question: the host for this device, the host for an earlier owner,
 * or a guest whose message was copied into the device's registers, where VFIO can't translate it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "doctor/rules/dma_rules.h"

#define AMD_INTERRUPT 0x008u
#define EVIDENCE_MAX 6u
#define PER_STREAM 64u
#define NO_SPACE 28u /* ENOSPC */

#define MSI_HANDLE_FORMAT 0x10u

struct interrupt_stream {
	enum doctor_fact_kind kind;
	uint32_t reason; /* as VT-d numbers them; AMD's one is 0x22 */
	enum doctor_side side;
	struct dma_requester who;
	struct dma_span span;
	const struct doctor_fact *fact[PER_STREAM];
	size_t facts;
	uint64_t lines;
	uint64_t index; /* of the first */
	bool has_index;
};

/* What the guest's side says, in logs or as a machine. */
struct guest_signs {
	const struct doctor_fact
		*crash; /* the device's firmware, or a driver of a copying family */
	const struct doctor_fact *timeout; /* a driver waits for an event of another address */
	const struct doctor_fact *own;	   /* a driver of the host waits for this very device */
	enum tristate handle_format;	   /* of the guest's message */
	unsigned int handle;
	bool vm;	/* anything tells of one */
	bool is_copier; /* the family is known to copy messages into its device */
};

/* Drivers that read the composed message and give it to firmware or a DMA engine. */
static bool copies_message(const char *driver)
{
	static const char *const family[] = {"ath11k", "ath12k",  "mhi",     "metis",
					     "axl",    "dw-edma", "dw_edma", "qaic"};

	for (size_t i = 0; i < sizeof(family) / sizeof(family[0]); i++) {
		if (!strncmp(driver, family[i], strlen(family[i])))
			return true;
	}
	return false;
}

bool interrupt_is_fault(const struct doctor_fact *fact)
{
	if (fact->kind == DOCTOR_VTD_IR_FAULT)
		return true;
	if (fact->kind != DOCTOR_AMD_PAGE_FAULT)
		return false;
	if (fact->has_reason && (fact->reason & AMD_INTERRUPT))
		return true;
	return fact->address >> 27 == 0xfffffffdf8000000ull >> 27 ||
	       fact->address >> 27 == 0xfdf8000000ull >> 27;
}

static uint32_t reason_of(const struct doctor_fact *fact)
{
	return fact->kind == DOCTOR_VTD_IR_FAULT ? fact->reason : 0x22;
}

static struct interrupt_stream *find_streams(const struct doctor_case *seen, size_t *ret_count)
{
	struct interrupt_stream *streams = NULL, *stream;
	size_t count = 0;

	for (size_t i = 0; i < seen->facts->count; i++) {
		const struct doctor_fact *fact = &seen->facts->fact[i];

		if (!interrupt_is_fault(fact) || judge_is_past(seen, fact))
			continue;
		stream = NULL;
		for (size_t at = 0; at < count && !stream; at++) {
			if (streams[at].kind == fact->kind &&
			    streams[at].reason == reason_of(fact) &&
			    streams[at].side == fact->side && streams[at].span.log == fact->log &&
			    streams[at].span.boot == fact->boot &&
			    streams[at].who.has_device == fact->has_device &&
			    (!fact->has_device || bdf_equal(streams[at].who.device, fact->device)))
				stream = &streams[at];
		}
		if (!stream) {
			stream = arena_grow(seen->arena, &streams, count, sizeof(*stream));
			count++;
			stream->kind = fact->kind;
			stream->side = fact->side;
			stream->reason = reason_of(fact);
			stream->has_index = fact->kind == DOCTOR_VTD_IR_FAULT && fact->has_number;
			stream->index = fact->number;
			stream->span = (struct dma_span){fact->log,	   fact->boot,
							 fact->line,	   fact->last_line,
							 DOCTOR_TIME_NONE, DOCTOR_TIME_NONE};
			stream->span.first_us = dma_since_boot(seen, fact, false);
			dma_requester_find(seen, fact, &stream->who);
		}
		if (stream->facts < PER_STREAM)
			stream->fact[stream->facts++] = fact;
		stream->lines += fact->count ? fact->count : 1;
		if (fact->last_line > stream->span.last_line)
			stream->span.last_line = fact->last_line;
		if (dma_since_boot(seen, fact, true) > stream->span.last_us)
			stream->span.last_us = dma_since_boot(seen, fact, true);
	}
	*ret_count = count;
	return streams;
}

/* 15 bits of an address in handle format, and the one that lies apart. */
static unsigned int handle_of(const struct machine_msi *msi)
{
	return (unsigned int)((msi->address >> 5) & 0x7fff) |
	       (unsigned int)((msi->address >> 2) & 1) << 15;
}

static void look_at_words(const struct dma_requester *who, struct guest_signs *signs)
{
	const struct machine_msi *msi;

	if (!who->in_guest || !who->in_guest->msi.enabled)
		return;
	msi = &who->in_guest->msi;
	if (msi->address >> 20 != 0xfee)
		return;
	signs->handle_format = msi->address & MSI_HANDLE_FORMAT ? YES : NO;
	signs->handle = handle_of(msi);
}

static void look_for_signs(const struct doctor_case *seen, const struct dma_requester *who,
			   struct guest_signs *signs)
{
	signs->vm = dma_has_vm_context(seen);
	for (size_t i = 0; i < seen->facts->count; i++) {
		const struct doctor_fact *fact = &seen->facts->fact[i];
		const char *driver = *fact->driver ? fact->driver : fact->name;
		bool same =
			fact->has_device && who->has_device && bdf_equal(fact->device, who->device);

		if (fact->kind != DOCTOR_DRIVER_TIMEOUT && fact->kind != DOCTOR_DRIVER_FAILED &&
		    fact->kind != DOCTOR_FIRMWARE_CRASHED &&
		    fact->kind != DOCTOR_METIS_DRIVER_TIMEOUT &&
		    fact->kind != DOCTOR_METIS_APP_TIMEOUT)
			continue;
		if (copies_message(driver) || fact->kind == DOCTOR_METIS_DRIVER_TIMEOUT ||
		    fact->kind == DOCTOR_METIS_APP_TIMEOUT) {
			signs->is_copier = true;
			signs->crash = signs->crash ? signs->crash : fact;
		} else if (fact->kind == DOCTOR_FIRMWARE_CRASHED) {
			signs->crash = signs->crash ? signs->crash : fact;
		} else if (same && fact->side != DOCTOR_SIDE_GUEST) {
			signs->own = signs->own ? signs->own : fact;
		} else if (signs->vm) {
			/* A guest shows the device at another address than the host. */
			signs->timeout = signs->timeout ? signs->timeout : fact;
		}
	}
	look_at_words(who, signs);
}

static bool is_guests(const struct interrupt_stream *stream, const struct guest_signs *signs)
{
	return stream->who.assigned == YES || stream->who.sibling_assigned || signs->crash ||
	       signs->timeout || (signs->vm && stream->who.assigned == UNKNOWN && !signs->own);
}

/* 0x25: a message without a handle. */
static void read_compatibility(const struct interrupt_stream *stream,
			       const struct guest_signs *signs, struct dma_readings *readings)
{
	const struct dma_requester *who = &stream->who;
	unsigned int percent;

	if (who->assigned != YES && !signs->crash && stream->span.last_us != DOCTOR_TIME_NONE &&
	    stream->span.last_us < 2000000 && stream->lines <= 2) {
		dma_propose(
			readings, "other-device-benign", 70,
			"The device fired while remapping was being switched on, in the first two "
			"seconds, before any guest.");
	}
	if (is_guests(stream, signs)) {
		percent = who->assigned == YES ? 78 : 64;
		if (signs->crash)
			percent = percent < 80 ? 85 : percent;
		if (signs->is_copier || signs->handle_format == NO)
			percent = 92;
		dma_propose(readings, "raw-msi-in-bar", percent,
			    "The message had no handle. The host gives its devices messages with "
			    "a handle, so this one was composed by somebody else: a guest without "
			    "interrupt remapping composes exactly such messages, and its driver "
			    "copied one into the device's own registers, where VFIO does not "
			    "translate it.");
	}
	dma_propose(readings, "compat-msi-blocked", signs->own && !signs->is_copier ? 75 : 60,
		    "A device of the host sent a message without a handle while remapping was on: "
		    "its driver, its bridge or the firmware was left out of interrupt remapping.");
}

static bool guest_remaps(const struct interrupt_stream *stream, const struct guest_signs *signs)
{
	const struct machine_vm *vm = stream->who.vm;

	if (signs->handle_format != UNKNOWN)
		return signs->handle_format == YES;
	return vm && (vm->viommu == VIOMMU_INTEL || vm->viommu == VIOMMU_AMD) &&
	       vm->intremap == YES;
}

static bool guest_does_not_remap(const struct interrupt_stream *stream,
				 const struct guest_signs *signs)
{
	const struct machine_vm *vm = stream->who.vm;

	if (signs->handle_format != UNKNOWN)
		return signs->handle_format == NO;
	return vm && (vm->viommu == VIOMMU_NONE || vm->intremap == NO);
}

static void read_guests_handle(const struct interrupt_stream *stream,
			       const struct guest_signs *signs, struct dma_readings *readings)
{
	if (signs->handle_format == YES && stream->has_index && stream->index >= signs->handle &&
	    stream->index - signs->handle < 32)
		dma_propose(readings, "raw-msi-in-bar", 95,
			    "The guest's message carries handle 0x%x, and the host blocked index "
			    "0x%" PRIx64 " = 0x%x + %u: the device sends the guest's own message.",
			    signs->handle, stream->index, signs->handle,
			    (unsigned int)(stream->index - signs->handle));
	else if (stream->who.assigned == YES && guest_remaps(stream, signs))
		dma_propose(
			readings, "raw-msi-in-bar", 82,
			"The guest has an IOMMU of its own that remaps interrupts, so its driver "
			"composes messages with a handle. One copied into the device's registers "
			"carries the guest's handle, which means nothing to the host.");
	else if (guest_does_not_remap(stream, signs) && stream->kind == DOCTOR_VTD_IR_FAULT)
		dma_propose(readings, "raw-msi-in-bar", 8,
			    "The guest has no interrupt remapping, so its own messages have no "
			    "handle. They would be blocked with reason 0x25.");
	else if (signs->crash && signs->is_copier)
		dma_propose(readings, "raw-msi-in-bar", 68,
			    "The guest's driver belongs to a family that copies the interrupt "
			    "message into the device, and it waits in vain.");
	else if (stream->who.assigned == YES)
		dma_propose(
			readings, "raw-msi-in-bar", stream->reason == 0x22 ? 42 : 60,
			"If the guest has an IOMMU that remaps interrupts, the handle may be its "
			"own, copied into the device's registers.");
	else if (signs->crash || signs->timeout)
		dma_propose(readings, "raw-msi-in-bar", 45,
			    "A driver elsewhere waits in vain; if that is the guest's, the handle "
			    "may be the guest's own.");
}

/* A trace of vectors shows that one was given back before the fault. */
static const struct doctor_fact *find_deactivated(const struct doctor_case *seen,
						  const struct interrupt_stream *stream)
{
	const struct doctor_fact *fact = NULL;

	while ((fact = doctor_fact_next(seen->facts, DOCTOR_IRQ_LIFECYCLE, fact))) {
		if (fact->log == stream->span.log && fact->line < stream->span.last_line &&
		    strstr(fact->name, "deactivate"))
			return fact;
	}
	return NULL;
}

/* 0x20, 0x21, 0x22, 0x26 and AMD's: a message with a handle that isn't good here. */
static void read_handle(const struct doctor_case *seen, const struct interrupt_stream *stream,
			const struct guest_signs *signs, struct dma_readings *readings)
{
	const struct dma_requester *who = &stream->who;

	read_guests_handle(stream, signs, readings);
	switch (stream->reason) {
	case 0x26:
		dma_propose(
			readings, "irte-sid-mismatch", 80,
			"The entry is live, but was made for another requester id: the device "
			"sends under an alias or through a bridge, or uses a handle that belongs "
			"to another device.");
		break;
	case 0x20:
	case 0x21:
		dma_propose(readings, "irte-not-present", 50,
			    "%s: the handle is not one that this host gave out.",
			    stream->reason == 0x21 ? "The index is beyond the table"
						   : "The message has bits set that must be 0");
		break;
	default:
		dma_propose(readings, "irte-not-present", who->assigned == YES ? 60 : 72,
			    "The message carried a handle whose entry was not live at that "
			    "moment: the vector was freed or not yet activated while the device "
			    "fired, or the device still holds a message from an earlier owner.");
		break;
	}
	if (stream->reason == 0x22 && find_deactivated(seen, stream))
		dma_propose(
			readings, "irte-not-present", 84,
			"The trace shows that a vector was deactivated before the device fired: "
			"its entry was gone, the device did not know.");
	if (guest_does_not_remap(stream, signs) && who->assigned == YES && stream->reason == 0x22)
		dma_propose(
			readings, "irte-not-present", 80,
			"The guest composes no handles, so this one is from the host: the device "
			"still holds the message of the host's own driver, whose entry was freed.");
}

static void say_message(struct doctor_judge *judge, struct doctor_finding *finding,
			const struct interrupt_stream *stream)
{
	if (stream->kind != DOCTOR_VTD_IR_FAULT) {
		judge_why(judge, finding,
			  "On AMD a refused interrupt is logged as a page fault: flag 0x008 and "
			  "the range 0xfffffffdf8000000 say that it was an interrupt, not memory.");
		return;
	}
	judge_why(judge, finding,
		  "Reason 0x%02x (decimal %u; kernels up to 5.13 print decimal without 0x).",
		  stream->reason, stream->reason);
	if (stream->reason == 0x25)
		judge_why(judge, finding,
			  "The line proves a message in compatibility format: bit 4 of its "
			  "address was 0. The index in such a line has no meaning.");
	else if (stream->has_index)
		judge_why(judge, finding,
			  "The line proves a message in handle format with index 0x%" PRIx64
			  ". It cannot tell who composed it. A message without a handle would "
			  "have been 0x25.",
			  stream->index);
	if (stream->facts > 1)
		judge_why(judge, finding, "%zu different indexes were seen.", stream->facts);
}

static void say_words(struct doctor_judge *judge, struct doctor_finding *finding,
		      const struct interrupt_stream *stream)
{
	const struct dma_requester *who = &stream->who;

	if (who->in_guest && who->in_guest->msi.present)
		judge_state(judge, finding, "guest: config space",
			    "The guest sees MSI address 0x%" PRIx64 ", data 0x%04x: %s format.",
			    who->in_guest->msi.address, who->in_guest->msi.data,
			    who->in_guest->msi.address & MSI_HANDLE_FORMAT ? "handle"
									   : "compatibility");
	if (who->in_host && who->in_host->msi.present && who->in_host->msi.address)
		judge_state(judge, finding, "host: config space",
			    "The host gave MSI address 0x%" PRIx64 ", data 0x%04x: handle 0x%x.",
			    who->in_host->msi.address, who->in_host->msi.data,
			    handle_of(&who->in_host->msi));
	if (who->vm && who->vm->viommu != VIOMMU_UNKNOWN)
		judge_state(judge, finding, who->vm->source, "VM %s: %s virtual IOMMU%s.",
			    who->vm->name, who->vm->viommu == VIOMMU_NONE ? "no" : "has a",
			    who->vm->intremap == YES ? " that remaps interrupts" : "");
	if (who->in_host && who->in_host->has_interrupts)
		judge_state(judge, finding, "/proc/interrupts",
			    "The host counted %" PRIu64 " interrupts of the device so far.",
			    who->in_host->interrupts);
}

static void say_next(struct doctor_judge *judge, struct doctor_finding *finding,
		     const struct interrupt_stream *stream)
{
	const char *id = finding->rule->id;

	if (finding->severity == DOCTOR_INFO)
		return;
	if (!strcmp(id, "compat-msi-blocked")) {
		judge_next(judge, finding, "Who has the device, and do its interrupts arrive?",
			   "lspci -nnk -s {device}\ngrep -E 'IR-|{device}' /proc/interrupts",
			   "vfio-pci: the guest's message was copied into the device "
			   "(raw-msi-in-bar). A host's driver whose chip is not named IR-...: it "
			   "was left out of remapping.");
		return;
	}
	if (!stream->who.in_guest || !stream->who.in_host)
		judge_next(judge, finding,
			   "Compare the message that the guest sees with the host's.",
			   "lspci -vv -s {device} | grep -A2 'MSI: Enable+'   # on the host, then "
			   "in the guest with the guest's address",
			   "Bit 4 of the guest's address clear: its messages have no handle "
			   "(blocked as 0x25). Set: handle = address bits 19:5; equal to the "
			   "index of the fault, or a little below it, and the device sends the "
			   "guest's message (raw-msi-in-bar). Else the handle is from an earlier "
			   "owner (irte-not-present).");
	if (stream->who.assigned != NO && !stream->who.vm)
		judge_next(judge, finding, "Has the guest an IOMMU that remaps interrupts?",
			   "qm config VMID | grep -E 'machine|args'\n"
			   "dmesg | grep -i 'IRQ remapping'   # in the guest",
			   "Yes: the index may be the guest's own handle. No: it is the host's.");
	judge_next(
		judge, finding,
		"Does the device's interrupt count rise in the guest during the call that fails?",
		"grep -i msi /proc/interrupts   # in the guest, before and after",
		"It rises: the interrupt that matters arrives, look at the driver. It stays: that "
		"interrupt is the one that is blocked.");
}

static void say_beliefs(struct doctor_judge *judge, struct doctor_finding *finding)
{
	if (finding->severity == DOCTOR_INFO)
		return;
	judge_rule_out(
		judge, finding, "allow_unsafe_interrupts=1",
		"It only lets vfio work on hosts without interrupt remapping. Here remapping is "
		"on: it refused this message.");
	judge_rule_out(
		judge, finding, "intremap=off",
		"It removes the messenger. The raw message then hits whatever vector of the host "
		"has that number.");
	if (!strcmp(finding->rule->id, "irte-sid-mismatch"))
		judge_rule_out(
			judge, finding, "intremap=nosid",
			"It switches the check off for all devices, guests' ones included. The "
			"wrong id stays.");
	judge_rule_out(judge, finding, "iommu=pt",
		       "It is about memory of devices that the host keeps, not about interrupts.");
	judge_rule_out(
		judge, finding, "interrupt remapping is broken",
		"It did what it is for: it blocked a message that the host never gave to this "
		"device.");
}

static void judge_stream(struct doctor_judge *judge, const struct interrupt_stream *stream)
{
	const struct doctor_case *seen = judge_case(judge);
	struct dma_readings readings = {.arena = seen->arena};
	bool guest = stream->side == DOCTOR_SIDE_GUEST;
	const struct bdf *device = stream->who.has_device ? &stream->who.device : NULL;
	struct guest_signs signs = {0};
	struct doctor_finding *finding;
	enum doctor_severity severity;
	bool known;

	look_for_signs(seen, &stream->who, &signs);
	if (stream->who.chipset && stream->who.assigned != YES && stream->reason != 0x26 &&
	    (!stream->has_index || !stream->index))
		dma_propose(&readings, "other-device-benign", 92,
			    "The requester is the chipset's own (an IOAPIC or a timer by its "
			    "address), the index is 0, and it was never handed to a guest: it "
			    "fired before its entry was programmed, at boot or after a suspend.");
	else if (stream->reason == 0x25)
		read_compatibility(stream, &signs, &readings);
	else if (stream->reason == 0x23 || stream->reason == 0x24)
		dma_propose(&readings, "irte-not-present", 50,
			    "The IOMMU could not use its own table: the host's kernel or the "
			    "hardware is at fault, not the device.");
	else
		read_handle(seen, stream, &signs, &readings);
	known = dma_best(&readings) && judge_find_of(judge, dma_best(&readings)->id, guest, device);
	finding = dma_add_best(judge, &readings, guest, device);
	if (!finding)
		return;
	severity = finding->rule->severity;
	for (size_t i = 0; i < stream->facts && i < EVIDENCE_MAX; i++)
		judge_evidence(judge, finding, stream->fact[i]);
	if (!strcmp(finding->rule->id, "irte-not-present") && find_deactivated(seen, stream))
		judge_evidence(judge, finding, find_deactivated(seen, stream));
	if (!strcmp(finding->rule->id, "raw-msi-in-bar") && signs.crash)
		judge_evidence(judge, finding, signs.crash);
	else if (!strcmp(finding->rule->id, "raw-msi-in-bar") && signs.timeout)
		judge_evidence(judge, finding, signs.timeout);
	if (severity != DOCTOR_INFO && dma_superseded(seen, &stream->who, &stream->span)) {
		severity = DOCTOR_INFO;
		judge_why(judge, finding,
			  "These lines are older than the last good start of the device.");
	}
	if (!known || severity > finding->severity)
		finding->severity = severity;
	say_message(judge, finding, stream);
	say_words(judge, finding, stream);
	say_next(judge, finding, stream);
	say_beliefs(judge, finding);
}

/* A guest's log never mentions the IOMMU: there the driver's despair is all there is. */
static void judge_guest_alone(struct doctor_judge *judge, const struct doctor_rule *rule)
{
	const struct doctor_case *seen = judge_case(judge);
	const struct doctor_fact *first = NULL, *crash = NULL;
	struct doctor_finding *finding;
	unsigned int lines = 0;

	/* On bare hardware the message is the right one; without firmware nobody answers. */
	if (doctor_facts_have(seen->facts, DOCTOR_BARE_METAL) ||
	    doctor_facts_have(seen->facts, DOCTOR_FIRMWARE_MISSING))
		return;
	if (doctor_facts_have(seen->facts, DOCTOR_GUEST_RESET_LINK_DOWN) ||
	    doctor_facts_have(seen->facts, DOCTOR_DEVICE_GONE) ||
	    doctor_facts_have(seen->facts, DOCTOR_AER_FATAL))
		return;
	for (size_t i = 0; i < seen->facts->count; i++) {
		const struct doctor_fact *fact = &seen->facts->fact[i];
		const char *driver = *fact->driver ? fact->driver : fact->name;

		if (judge_is_past(seen, fact))
			continue;
		/* Metis cards have rules of their own, which know the drivers' versions. */
		if (!copies_message(driver) || !strncmp(driver, "metis", 5) ||
		    !strncmp(driver, "axl", 3))
			continue;
		if (fact->kind == DOCTOR_FIRMWARE_CRASHED)
			crash = crash ? crash : fact;
		if (fact->kind == DOCTOR_FIRMWARE_CRASHED || fact->kind == DOCTOR_DRIVER_TIMEOUT) {
			lines += fact->count ? (unsigned int)fact->count : 1;
			first = first ? first : fact;
		}
	}
	/* An IOMMU at work and no word of a VM: that is a host, whose messages are its own. */
	if (!first ||
	    (doctor_facts_have(seen->facts, DOCTOR_IOMMU_WORKING) && !dma_has_vm_context(seen)))
		return;
	finding = judge_add_fact(judge, rule, first, crash || lines > 2 ? 62 : 52);
	judge_evidence(judge, finding, first);
	if (crash)
		judge_evidence(judge, finding, crash);
	judge_why(judge, finding,
		  "The driver waits in vain for an event of the device. Its family reads the "
		  "interrupt message and gives it to the device's firmware, and in a guest that "
		  "message is not the one that the host gave out.");
	judge_why(judge, finding, "A guest's log cannot show the refusal: it is in the host's.");
	judge_next(judge, finding, "Look at the host's log at the time of the failure.",
		   "dmesg | grep -E 'INTR-REMAP|IO_PAGE_FAULT'   # on the host",
		   "Reason 0x25 (or 37), 0x22, 0x21, 0x26, or AMD's flag 0x008: this is it. "
		   "Nothing: look at the firmware files and the power of the slot.");
	say_beliefs(judge, finding);
}

static bool has_faults(const struct doctor_case *seen)
{
	for (size_t i = 0; i < seen->facts->count; i++) {
		if (interrupt_is_fault(&seen->facts->fact[i]))
			return true;
	}
	return false;
}

void interrupt_judge(struct doctor_judge *judge, const struct doctor_rule *rule)
{
	const struct doctor_case *seen = judge_case(judge);
	struct interrupt_stream *streams;
	size_t count;

	streams = find_streams(seen, &count);
	for (size_t i = 0; i < count; i++)
		judge_stream(judge, &streams[i]);
	if (!count && !has_faults(seen))
		judge_guest_alone(judge, rule);
}

void interrupt_judge_vectors(struct doctor_judge *judge, const struct doctor_rule *rule)
{
	const struct doctor_case *seen = judge_case(judge);
	const struct doctor_fact *fact = NULL;

	while ((fact = doctor_fact_next(seen->facts, DOCTOR_MSI_ENABLE_FAILED, fact))) {
		bool space = fact->has_reason && fact->reason == NO_SPACE;
		struct doctor_finding *finding = judge_add_fact(judge, rule, fact, space ? 85 : 60);

		judge_evidence(judge, finding, fact);
		if (space)
			judge_why(judge, finding,
				  "Error 28 is ENOSPC: the interrupt controller, or the "
				  "capability that the machine shows, has fewer vectors than the "
				  "driver insists on.");
		else if (fact->has_reason)
			judge_why(judge, finding,
				  "The request for interrupt vectors failed with error %u.",
				  fact->reason);
	}
}

void interrupt_judge_pages(struct doctor_judge *judge, const struct doctor_rule *rule)
{
	const struct doctor_case *seen = judge_case(judge);
	const struct doctor_fact *fact = NULL;

	while ((fact = doctor_fact_next(seen->facts, DOCTOR_MSIX_INIT_TIMEOUT, fact))) {
		const struct machine *guest = judge_machine(seen, DOCTOR_SIDE_GUEST);
		const struct machine_device *device = NULL;
		/* Memory that does not wake up may be a broken card, where there is no VM. */
		bool weak = !strcmp(fact->name, "RAM") && !dma_has_vm_context(seen);
		struct doctor_finding *finding = judge_add_fact(judge, rule, fact, weak ? 40 : 75);

		judge_evidence(judge, finding, fact);
		judge_why(judge, finding,
			  "The driver wrote registers beside the MSI-X table and never saw them "
			  "change.");
		if (guest && fact->has_device)
			device = machine_find_device(guest, fact->device);
		if (device && device->msix.present && device->msix.table_bar < 6 &&
		    device->bar[device->msix.table_bar].size > 4096)
			judge_state(
				judge, finding, "guest: config space",
				"The MSI-X table is at 0x%x of BAR %u, which has other registers "
				"too.",
				device->msix.table_offset, device->msix.table_bar);
	}
}
