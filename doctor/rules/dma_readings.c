/* SPDX-License-Identifier: MIT */
/*
 * Which classes could explain a stream of DMA faults, and how well: questions 4 to 10 of an expert,
 * for every class that knows an answer. dma_address.c has answered where and when.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "doctor/rules/dma_stream.h"

#define MIB (1024ull * 1024)
#define STORM_LINES 100u
#define STOLEN_SLACK (16 * MIB) /* around what the guest names of the host's stolen memory */
#define BENIGN_LINES 20u
#define BOOT_LINES_MAX 4u
#define EARLY_US 6000000

void dma_propose(struct dma_readings *readings, const char *id, unsigned int percent,
		 const char *fmt, ...)
{
	struct dma_reading *reading = NULL;
	va_list args;

	for (size_t i = 0; i < readings->count; i++) {
		if (!strcmp(readings->reading[i].id, id))
			reading = &readings->reading[i];
	}
	if (reading && reading->percent >= percent)
		return;
	if (!reading) {
		if (readings->count == DMA_READINGS_MAX)
			return;
		reading = &readings->reading[readings->count++];
	}
	reading->id = id;
	reading->percent = percent;
	va_start(args, fmt);
	reading->why = arena_vprintf(readings->arena, fmt, args);
	va_end(args);
}

const struct dma_reading *dma_best(const struct dma_readings *readings)
{
	const struct dma_reading *best = NULL;

	for (size_t i = 0; i < readings->count; i++) {
		if (!best || readings->reading[i].percent > best->percent)
			best = &readings->reading[i];
	}
	return best;
}

/* A class that the rule replaces anyway is no other reading. */
static bool is_part_of(const struct doctor_rule *rule, const char *id)
{
	for (const char *const *at = rule->swallows; at && *at; at++) {
		if (!strcmp(*at, id))
			return true;
	}
	return false;
}

struct doctor_finding *dma_add_best(struct doctor_judge *judge, const struct dma_readings *readings,
				    bool guest, const struct bdf *device)
{
	const struct dma_reading *best = dma_best(readings);
	const struct doctor_rule *rule = best ? doctor_rule_find(best->id) : NULL;
	struct doctor_finding *finding;

	if (!rule)
		return NULL;
	finding = judge_add_of(judge, rule, guest, device, best->percent);
	if (finding->confidence < best->percent)
		judge_set(finding, best->percent);
	judge_why(judge, finding, "%s", best->why);
	for (size_t i = 0; i < readings->count; i++) {
		const struct dma_reading *other = &readings->reading[i];

		if (other == best || !doctor_rule_find(other->id) ||
		    (other->percent >= 25 && is_part_of(rule, other->id)))
			continue;
		if (other->percent >= 25)
			judge_why(judge, finding, "Less likely, but not excluded: %s (%u %%). %s",
				  other->id, other->percent, other->why);
		else
			judge_rule_out(judge, finding, other->id, "%s", other->why);
	}
	return finding;
}

const char *dma_unmapped(const struct dma_stream *stream)
{
	return stream->write ? "dma-unmapped-write" : "dma-unmapped-read";
}

bool dma_is_storm(const struct dma_stream *stream)
{
	return stream->suppressed >= STORM_LINES || stream->lines >= STORM_LINES;
}

static bool fits_stolen(const struct doctor_case *seen, const struct dma_stream *stream,
			const struct doctor_fact **ret_fact)
{
	const struct doctor_fact *fact = NULL;
	bool near = false;

	while ((fact = doctor_fact_next(seen->facts, DOCTOR_IGD_STOLEN_OUTSIDE, fact))) {
		uint64_t start = fact->address, end;

		*ret_fact = fact;
		if (!fact->has_address)
			continue;
		end = start + (fact->has_size ? fact->size : 0);
		for (size_t i = 0; i < stream->facts; i++) {
			uint64_t address = stream->fact[i]->address;

			near |= address + STOLEN_SLACK >= start && address <= end + STOLEN_SLACK &&
				end >= start;
		}
	}
	return near;
}

static void consider_stolen(const struct doctor_case *seen, const struct dma_stream *stream,
			    struct dma_readings *readings)
{
	const struct doctor_fact *stolen = NULL;
	const struct machine_iomem *iomem = stream->place.iomem;

	if (!stream->who.display)
		return;
	if (fits_stolen(seen, stream, &stolen))
		dma_propose(readings, "igd-stolen-mismatch", 92,
			    "The guest's driver names a reserved area that its own stolen memory "
			    "does not contain, and the address of the fault lies at that area: "
			    "the graphics unit still uses the host's place.");
	else if (stolen)
		dma_propose(
			readings, "igd-stolen-mismatch", 75,
			"The guest's driver found the reserved area outside its stolen memory.");
	if (iomem && strstr(iomem->name, "Stolen") && stream->who.assigned == YES)
		dma_propose(readings, "igd-stolen-mismatch", 88,
			    "The host's /proc/iomem has \"%s\" at this address.", iomem->name);
	else if (stream->place.reserved && stream->who.assigned == YES)
		dma_propose(readings, "igd-stolen-mismatch", 80,
			    "The address lies in a range that the host's firmware reserves (%s).",
			    stream->place.reserved_by);
}

/* Whether the log tells of the start of a kernel around the faults; for logs without times. */
static bool starts_here(const struct doctor_case *seen, const struct dma_stream *stream)
{
	static const enum doctor_fact_kind boot[] = {
		DOCTOR_KERNEL_BOOT, DOCTOR_IOMMU_WORKING, DOCTOR_IR_ENABLED,
		DOCTOR_IOMMU_COMMAND_LINE_ON, DOCTOR_IOMMU_ADDED_TO_GROUP};

	for (size_t i = 0; i < sizeof(boot) / sizeof(boot[0]); i++) {
		const struct doctor_fact *fact = NULL;

		while ((fact = doctor_fact_next(seen->facts, boot[i], fact))) {
			if (fact->log == stream->span.log)
				return true;
		}
	}
	return false;
}

static void consider_boot(const struct doctor_case *seen, const struct dma_stream *stream,
			  struct dma_readings *readings)
{
	const struct dma_requester *who = &stream->who;

	if (who->failed)
		return;
	if (stream->when == DMA_WHEN_BOOT)
		dma_propose(
			readings, "boot-fault-benign", 95,
			"All of these lines are from the first two seconds of the kernel: "
			"firmware left the device running while translation was switched on. No "
			"guest had it.");
	else if (who->display && who->assigned != YES && stream->lines <= BOOT_LINES_MAX &&
		 stream->span.last_us != DOCTOR_TIME_NONE && stream->span.last_us < EARLY_US)
		dma_propose(
			readings, "boot-fault-benign", 68,
			"A few faults of the display engine in the first seconds: its driver had "
			"not taken over from the firmware yet.");
	else if (stream->when == DMA_WHEN_BEFORE && stream->lines <= BOOT_LINES_MAX &&
		 !who->driver && stream->span.last_us != DOCTOR_TIME_NONE &&
		 stream->span.last_us < 20000000)
		dma_propose(readings, "boot-fault-benign", 70,
			    "These lines are from the start of the machine, before vfio opened "
			    "the device.");
	else if (stream->span.last_us == DOCTOR_TIME_NONE && who->display && who->assigned != YES &&
		 stream->lines <= BOOT_LINES_MAX && !stream->suppressed &&
		 !dma_has_vm_context(seen) && starts_here(seen, stream))
		dma_propose(readings, "boot-fault-benign", 75,
			    "A few faults of the display engine among the lines of a starting "
			    "kernel: it still scans firmware memory when translation is switched "
			    "on.");
}

static bool other_device_fails(const struct doctor_case *seen, struct bdf device)
{
	for (size_t i = 0; i < seen->facts->count; i++) {
		const struct doctor_fact *fact = &seen->facts->fact[i];

		if (!fact->has_device || bdf_equal(fact->device, device))
			continue;
		if (fact->kind == DOCTOR_DRIVER_FAILED || fact->kind == DOCTOR_DRIVER_TIMEOUT ||
		    fact->kind == DOCTOR_DEVICE_GONE || fact->kind == DOCTOR_LINK_DOWN)
			return true;
	}
	return false;
}

/* Stream ids are requester ids, except where a table of the firmware makes others of them. */
static void consider_stream_map(const struct doctor_case *seen, const struct dma_stream *stream,
				struct dma_readings *readings)
{
	const struct doctor_fact *fact = stream->fact[0];
	bool fails;

	if (stream->kind != DOCTOR_SMMU_FAULT || !fact->has_number || !stream->who.has_device ||
	    (uint16_t)fact->number == bdf_requester(stream->who.device))
		return;
	fails = other_device_fails(seen, stream->who.device);
	dma_propose(readings, "requester-alias", fails ? 66 : 55,
		    "Stream id 0x%" PRIx64
		    " is not the requester id of the client that the SMMU's driver names%s: the "
		    "firmware's map of stream ids may give one device's id to another.",
		    fact->number, fails ? ", and another device fails" : "");
}

static void consider_alias(const struct dma_stream *stream, struct dma_readings *readings)
{
	const struct dma_requester *who = &stream->who;
	bool context = stream->shape == SHAPE_NO_CONTEXT;
	char text[BDF_TEXT_BYTES];

	if (!who->has_device || who->assigned == YES)
		return;
	bdf_text(who->device, text);
	if (who->exists == NO)
		dma_propose(readings, "requester-alias", context ? 93 : 85,
			    "The host has no PCI function %s, yet requests carry that id: a "
			    "device uses another function's number, or a bridge puts its own.",
			    text);
	else if (who->exists == YES && who->in_host->is_bridge)
		dma_propose(readings, "requester-alias", 80,
			    "%s is a bridge: it puts its own id on requests of a device behind it.",
			    text);
	else if (who->exists == UNKNOWN && who->device.function && !who->named && context)
		dma_propose(readings, "requester-alias", who->sibling_named ? 85 : 75,
			    "No line but the faults ever names function %s, and no context entry "
			    "exists for it: the device at this slot sends requests with a number "
			    "that is not its.",
			    text);
	else if (who->exists == UNKNOWN && who->device.function && !who->named &&
		 stream->kind != DOCTOR_SMMU_FAULT)
		dma_propose(readings, "requester-alias",
			    who->device.function == 7 ? 65
			    : who->sibling_named      ? 40
						      : 20,
			    "No line but the faults ever names function %s%s.", text,
			    who->sibling_named ? ", while another function of its slot is in use"
					       : "");
	else if (stream->kind == DOCTOR_SMMU_FAULT && stream->reason == 0x02 && context)
		dma_propose(
			readings, "requester-alias", 70,
			"C_BAD_STREAMID: the SMMU has no entry for this stream id, so the id on "
			"the wire is not the one that firmware tables give for the device.");
}

static void judge_no_context(const struct dma_stream *stream, struct dma_readings *readings)
{
	const struct dma_requester *who = &stream->who;

	consider_alias(stream, readings);
	if (who->assigned == YES && stream->lines <= 2)
		dma_propose(readings, "context-absent", 70,
			    "The requester id had no domain at that instant. The device was being "
			    "handed over, and it happened %s.",
			    stream->lines == 1 ? "once" : "twice");
	else
		dma_propose(
			readings, "context-absent", who->named || who->exists == YES ? 75 : 65,
			"The requester id had no domain at that instant: the device was attached "
			"to none (hand-over between drivers, a crash kernel, a driver that left "
			"it running).");
}

/* Widths that drivers ask for: there the top is where the host's allocator begins. */
static bool is_usual_mask(unsigned int bits)
{
	return bits == 36 || bits == 39 || bits == 40 || bits == 44;
}

static void consider_truncated(const struct dma_stream *stream, struct dma_readings *readings)
{
	const struct dma_requester *who = &stream->who;
	const struct dma_place *place = &stream->place;
	unsigned int bits = place->truncated_bits;

	if (!bits || place->guest_ram == YES)
		return;
	/* These units translate by themselves (ATS), and some boards do it wrong. */
	if (who->driver && !strcmp(who->driver, "amdgpu") && is_usual_mask(bits) &&
	    (!who->in_host || who->in_host->ats_on))
		dma_propose(readings, "ats-invalidation-timeout", who->failed ? 66 : 56,
			    "0x%" PRIx64
			    " is an address as the host hands out to a device of %u bits, and an "
			    "AMD graphics unit lost it: its own cache of translations (ATS) is "
			    "broken on some boards. pci=noats shows whether it is that.",
			    place->address, bits);
	dma_propose(readings, "dma-mask-truncated",
		    is_usual_mask(bits)	   ? 50
		    : who->assigned == YES ? 82
					   : 80,
		    "0x%" PRIx64
		    " lies just below 2^%u: all address bits from there up are gone. A device "
		    "that claims more bits than it keeps turns the top of the address space into "
		    "that.",
		    place->address, bits);
}

/* A buffer's physical address instead of one that the DMA API gave. */
static void consider_bypass(const struct doctor_case *seen, const struct dma_stream *stream,
			    struct dma_readings *readings)
{
	const struct dma_requester *who = &stream->who;
	const struct dma_place *place = &stream->place;
	bool exact = stream->kind != DOCTOR_VTD_DMA_FAULT;

	if (!place->above_4g || place->truncated_bits || place->absurd)
		return;
	if (!who->driver) {
		if (exact && place->align >= MIB && !dma_has_vm_context(seen))
			dma_propose(
				readings, "driver-bypasses-dma-api", 56,
				"Nothing tells of a guest, and the address is above 4 GiB and %s "
				"aligned: it looks like a buffer's physical address.",
				dma_size_text(seen, place->align));
		return;
	}
	if (place->align >= MIB)
		dma_propose(readings, "driver-bypasses-dma-api", stream->facts > 1 ? 80 : 72,
			    "Driver %s uses the device on the host, and 0x%" PRIx64
			    " is above 4 GiB and %s aligned: a buffer's physical address, not one "
			    "that the DMA API gave.",
			    who->driver, place->address, dma_size_text(seen, place->align));
	else if (!exact || place->align >= 4096)
		dma_propose(readings, "driver-bypasses-dma-api", stream->facts > 2 ? 66 : 58,
			    "Driver %s uses the device on the host, and the address is above 4 "
			    "GiB and page aligned, as physical addresses of buffers are.",
			    who->driver);
	if (place->host_ram == YES)
		dma_propose(readings, "driver-bypasses-dma-api", 85,
			    "0x%" PRIx64
			    " is host memory (\"System RAM\" in /proc/iomem): the driver gave the "
			    "device a physical address.",
			    place->address);
}

/* A device that stays with the host: its own driver has it, or nobody would pass it through. */
static void consider_host_device(const struct doctor_case *seen, const struct dma_stream *stream,
				 struct dma_readings *readings)
{
	const struct dma_requester *who = &stream->who;
	const struct dma_place *place = &stream->place;

	if (who->assigned == YES)
		return;
	consider_bypass(seen, stream, readings);
	if (!who->has_device)
		return;
	if (who->failed && who->driver && !place->above_4g && !place->host_iova && !place->tiny)
		dma_propose(readings, "dma-mask-truncated", 68,
			    "Driver %s gave up on the device, and 0x%" PRIx64
			    " fits in 32 bits but is not near the top of them, where the host's "
			    "allocator hands out: it looks like half of a longer address.",
			    who->driver, place->address);
	if (who->failed || stream->lines + stream->suppressed > BENIGN_LINES)
		return;
	if (who->assigned == NO && who->exists == YES)
		dma_propose(readings, "other-device-benign", 62,
			    "The device belongs to the host's driver %s, no VM has it, and "
			    "nothing in the log says that it fails.",
			    who->driver);
	else if (dma_other_assigned(seen, who->device) && !who->display && !who->device.bus)
		dma_propose(
			readings, "other-device-benign", 65,
			"The requester is a device of the chipset, another device was handed to "
			"the guest, and nothing says that this one fails.");
	else if (dma_other_assigned(seen, who->device) && who->assigned == NO)
		dma_propose(readings, "other-device-benign", 62,
			    "The requester stays with the host's driver %s, another device was "
			    "handed to the guest, and nothing says that this one fails.",
			    who->driver);
}

/* Where and when the device of a guest faults tells of the owner before. */
static void consider_previous_owner(const struct dma_stream *stream, struct dma_readings *readings)
{
	const struct dma_requester *who = &stream->who;
	const struct dma_place *place = &stream->place;

	if (who->driver && who->assigned == YES &&
	    (place->host_iova || place->host_ram == YES || stream->when == DMA_WHEN_BEFORE))
		dma_propose(readings, "stale-dma-no-reset", place->guest_ram == NO ? 80 : 68,
			    "The host's driver %s had the device before, and 0x%" PRIx64
			    " looks like what it would have used%s.",
			    who->driver, place->address,
			    place->host_iova ? " (the host hands out 32-bit addresses from the top)"
					     : "");
	else if (place->guest_ram == NO && place->host_ram == YES)
		dma_propose(readings, "stale-dma-no-reset", 70,
			    "0x%" PRIx64
			    " is host memory and no memory of the guest: an address from when the "
			    "host's driver had the device.",
			    place->address);
	else if (stream->when == DMA_WHEN_AFTER)
		dma_propose(readings, "stale-dma-no-reset", 70,
			    "The faults come after a VM ended or a driver left: the device goes "
			    "on with work of its previous owner.");
	else if (stream->when == DMA_WHEN_BEFORE && !who->display)
		dma_propose(readings, "stale-dma-no-reset", 55,
			    "The faults come before vfio opened the device for the guest.");
	else if (place->guest_ram == NO)
		dma_propose(readings, "stale-dma-no-reset", 45,
			    "The address is not in the guest's memory, so the guest's driver is "
			    "an unlikely source.");
	if (who->in_host && who->in_host->reset_method && !*who->in_host->reset_method)
		dma_propose(readings, "stale-dma-no-reset", 58,
			    "The device has no reset method, so it keeps what its last owner "
			    "programmed.");
}

/* A device of a guest whose faults look like those of somebody else's work. */
static void consider_stale(const struct doctor_case *seen, const struct dma_stream *stream,
			   struct dma_readings *readings)
{
	const struct dma_requester *who = &stream->who;
	const struct dma_place *place = &stream->place;
	bool present = stream->kind == DOCTOR_AMD_PAGE_FAULT && stream->has_reason &&
		       (stream->reason & DMA_AMD_PRESENT);
	bool vm = who->assigned == YES || (who->assigned == UNKNOWN && dma_has_vm_context(seen));

	if (place->absurd) {
		dma_propose(readings, dma_unmapped(stream), 72,
			    "No memory has an address of 0x%" PRIx64
			    ": a driver or the device made it up.",
			    place->address);
		return;
	}
	if (present && who->assigned != NO)
		dma_propose(readings, "stale-dma-no-reset",
			    who->assigned == YES ? 80
			    : vm		 ? 62
						 : 45,
			    "Flags 0x%04x have PR set: the entry was there but forbids the "
			    "access, as it is while a device sits in a blocking domain between "
			    "two owners. The device still works for the one before.",
			    stream->reason);
	/* Devices of the chipset have no owner before, unless a VM is in play. */
	if (who->assigned == UNKNOWN && place->host_iova)
		dma_propose(readings, "stale-dma-no-reset",
			    who->failed || (!vm && who->has_device && !who->device.bus) ? 50 : 58,
			    "0x%" PRIx64
			    " is where Linux hands out addresses to a device of its own (from 4 "
			    "GiB downwards). It was mapped once: the device went on after its "
			    "driver took the mapping away.",
			    place->address);
	if (vm)
		consider_previous_owner(stream, readings);
}

static void consider_reset(const struct dma_stream *stream, struct dma_readings *readings)
{
	const struct dma_requester *who = &stream->who;

	if (stream->write || (who->assigned == NO && !who->display))
		return;
	if (stream->when == DMA_WHEN_ACROSS)
		dma_propose(
			readings, "dma-after-guest-reset", dma_is_storm(stream) ? 85 : 72,
			"The device reads on while vfio resets or opens it again: an engine, most "
			"often a display, scans memory that the new guest has not mapped.");
	else if (who->display && dma_is_storm(stream) && stream->when != DMA_WHEN_BOOT)
		dma_propose(readings, "dma-after-guest-reset", who->assigned == YES ? 75 : 58,
			    "A steady stream of reads by the display engine: it still scans out a "
			    "picture whose memory is gone.");
}

static bool guest_passes_through(const struct dma_requester *who)
{
	const struct machine_group *group = NULL;

	if (who->guest && who->in_guest)
		group = machine_find_group(who->guest, who->in_guest->group);
	return group && group->type && !strcmp(group->type, "identity");
}

static void consider_viommu(const struct dma_stream *stream, struct dma_readings *readings)
{
	const struct dma_requester *who = &stream->who;
	const struct dma_place *place = &stream->place;
	enum vm_viommu viommu = who->vm ? who->vm->viommu : VIOMMU_UNKNOWN;

	if (who->assigned != YES || stream->side == DOCTOR_SIDE_GUEST)
		return;
	if (viommu == VIOMMU_NONE) {
		dma_propose(readings, "viommu-remap", 2, "VM %s has no virtual IOMMU (%s).",
			    who->vm->name, who->vm->source);
		return;
	}
	if (guest_passes_through(who)) {
		dma_propose(readings, "viommu-remap", 3,
			    "The guest has an IOMMU of its own, but passes the device's addresses "
			    "through (identity).");
		return;
	}
	if (viommu != VIOMMU_UNKNOWN && (place->host_iova || place->guest_ram == YES))
		dma_propose(
			readings, "viommu-remap", place->host_iova ? 85 : 65,
			"VM %s has a virtual IOMMU (%s), so only what the guest maps is mapped, "
			"and 0x%" PRIx64 " is %s.",
			who->vm->name, who->vm->source, place->address,
			place->host_iova
				? "where a guest's kernel hands out DMA addresses: from 4 GiB "
				  "downwards"
				: "guest memory that it has not mapped for the device");
	else if (viommu == VIOMMU_UNKNOWN && place->host_iova && !who->driver)
		dma_propose(readings, "viommu-remap", 58,
			    "0x%" PRIx64
			    " lies where kernels hand out DMA addresses (from 4 GiB downwards) "
			    "and a guest without an IOMMU of its own never uses it: the guest "
			    "most likely has a virtual IOMMU that translates the device.",
			    place->address);
}

static void consider_doorbell(const struct dma_stream *stream, struct dma_readings *readings)
{
	const struct dma_place *place = &stream->place;

	if (stream->kind != DOCTOR_SMMU_FAULT || !stream->write || !place->doorbell)
		return;
	if (place->guest_doorbell && stream->who.assigned == YES)
		dma_propose(readings, "raw-msi-in-bar", 80,
			    "The write goes to 0x8090040, the interrupt doorbell of QEMU's board "
			    "\"virt\": the device sends the guest's own message.");
	else if (place->above_4g)
		dma_propose(readings, "device-window-address", 82,
			    "The write ends in 0x040 as an interrupt message does, but the page "
			    "is above 4 GiB, where no doorbell is mapped: it is the window that "
			    "the endpoint itself uses for its interrupts.");
	else
		dma_propose(readings, "msi-doorbell-unmapped", 88,
			    "The write ends in 0x040, the offset of GITS_TRANSLATER: this is the "
			    "interrupt message itself, and the page of the doorbell is not mapped "
			    "for the device.");
}

static bool message_is_zero(const struct doctor_case *seen, const struct dma_stream *stream)
{
	const struct doctor_fact *fact = NULL;

	while ((fact = doctor_fact_next(seen->facts, DOCTOR_MSI_WORD, fact))) {
		if (fact->has_address && !fact->address &&
		    (!fact->has_device || !stream->who.has_device ||
		     bdf_equal(fact->device, stream->who.device)))
			return true;
	}
	return false;
}

static void consider_zero(const struct doctor_case *seen, const struct dma_stream *stream,
			  struct dma_readings *readings)
{
	const struct machine_device *device = stream->who.in_host;
	bool one_page = stream->facts == 1;

	if (!stream->place.tiny)
		return;
	if (stream->place.zero && stream->write && one_page) {
		dma_propose(readings, "msi-unprogrammed", 68,
			    "A write to address 0 and to nothing else: an interrupt message whose "
			    "address register was never set goes out as a plain memory write to "
			    "0.");
		if (message_is_zero(seen, stream) ||
		    (device && device->msi.enabled && !device->msi.address))
			dma_propose(readings, "msi-unprogrammed", 93,
				    "The device's MSI is switched on with address 0, and the "
				    "write that faults goes to 0: it is the interrupt.");
	}
	dma_propose(readings, dma_unmapped(stream), 57,
		    "The address is below 64 KiB: a descriptor or a buffer pointer that was never "
		    "programmed, or was cleared while the engine still ran.");
}

static void consider_bar(const struct dma_stream *stream, struct dma_readings *readings)
{
	const struct dma_place *place = &stream->place;
	char text[BDF_TEXT_BYTES];

	if (!place->bar_device)
		return;
	bdf_text(place->bar_device->bdf, text);
	if (stream->who.has_device && bdf_equal(place->bar_device->bdf, stream->who.device))
		dma_propose(readings, "driver-bypasses-dma-api", 50,
			    "0x%" PRIx64
			    " lies in the device's own BAR %u: it was told to reach itself over "
			    "the bus.",
			    place->address, place->bar);
	else
		dma_propose(readings, "acs-p2p", 85,
			    "0x%" PRIx64
			    " lies in BAR %u of %s: the device wants to reach another device, not "
			    "memory.",
			    place->address, place->bar, text);
}

static void judge_unmapped(const struct doctor_case *seen, const struct dma_stream *stream,
			   struct dma_readings *readings)
{
	const struct dma_requester *who = &stream->who;

	consider_doorbell(stream, readings);
	consider_zero(seen, stream, readings);
	consider_alias(stream, readings);
	consider_stream_map(seen, stream, readings);
	consider_stolen(seen, stream, readings);
	consider_bar(stream, readings);
	consider_viommu(stream, readings);
	consider_stale(seen, stream, readings);
	consider_reset(stream, readings);
	consider_host_device(seen, stream, readings);
	consider_truncated(stream, readings);
	if (stream->place.guest_ram == YES && who->vm)
		dma_propose(readings, dma_unmapped(stream), 60,
			    "The address is in the memory of VM %s, and VFIO maps all of that: "
			    "either QEMU was still starting or already gone, or a virtual IOMMU, "
			    "memory hot-unplug or a balloon took the page out.",
			    who->vm->name);
	else
		dma_propose(readings, dma_unmapped(stream), who->assigned == YES ? 56 : 52,
			    "The IOMMU had no mapping for this address when the device used it.");
}

static void judge_too_wide(const struct dma_stream *stream, struct dma_readings *readings)
{
	dma_propose(readings, "aperture-39bit", 70,
		    "The IOMMU refused 0x%" PRIx64 " because it is wider than it can translate%s.",
		    stream->place.address,
		    stream->place.width ? "; the firmware's table says how wide" : "");
	dma_propose(readings, "dma-mask-truncated", stream->place.truncated_bits ? 72 : 30,
		    "A device that makes up address bits shows the same.");
	dma_propose(readings, dma_unmapped(stream), 40,
		    "The IOMMU could not translate the address.");
}

static void judge_bad_request(const struct dma_stream *stream, struct dma_readings *readings)
{
	const struct dma_requester *who = &stream->who;

	if (who->assigned != YES)
		dma_propose(readings, "other-device-benign", !who->device.slot ? 90 : 75,
			    "INVALID_DEVICE_REQUEST of %s%s: no guest has this device.",
			    !who->device.slot ? "a root complex" : "a device of the host",
			    stream->place.interrupt ? " in the processor's interrupt range" : "");
	else if (stream->place.interrupt)
		dma_propose(
			readings, "raw-msi-in-bar", 55,
			"The guest's device sent a request into the processor's interrupt range "
			"that is no interrupt message of the host.");
	if (who->assigned == YES)
		dma_propose(readings, dma_unmapped(stream), 45,
			    "The IOMMU does not allow this kind of request for the device.");
}

void dma_read_stream(const struct doctor_case *seen, const struct dma_stream *stream,
		     struct dma_readings *readings)
{
	switch (stream->shape) {
	case SHAPE_NO_CONTEXT:
		judge_no_context(stream, readings);
		break;
	case SHAPE_TOO_WIDE:
		judge_too_wide(stream, readings);
		break;
	case SHAPE_TABLE:
		dma_propose(
			readings, dma_unmapped(stream), 50,
			"The IOMMU found its own tables unusable for this address: they were "
			"being taken down at that moment, or the host's kernel or the hardware is "
			"at fault.");
		break;
	case SHAPE_BAD_REQUEST:
		judge_bad_request(stream, readings);
		break;
	case SHAPE_UNMAPPED:
		judge_unmapped(seen, stream, readings);
		break;
	}
	if (stream->shape != SHAPE_BAD_REQUEST)
		consider_boot(seen, stream, readings);
}
