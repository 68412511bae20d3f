/* SPDX-License-Identifier: MIT */

#include <stdio.h>
#include <string.h>

#include "doctor/rules/dma_address.h"

#define KIB 1024ull
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)

#define BOOT_US 2000000ll	/* the display engine is done by then */
#define GONE_WELL_US 60000000ll /* a start that ran for this long without a fault was good */

/* Where Linux' allocator begins for 32-bit devices, downwards. */
#define HOST_IOVA_FIRST 0xf0000000ull
#define MSI_X86_FIRST 0xfee00000ull
#define MSI_X86_LAST 0xfeefffffull
/* AMD's internal range, as 40-bit address and as kernels sign-extend it. */
#define MSI_AMD_FIRST 0xfdf8000000ull
#define MSI_AMD_LAST 0xfdffffffffull
#define MSI_AMD_WIDE_FIRST 0xfffffffdf8000000ull
#define MSI_AMD_WIDE_LAST 0xfffffffdffffffffull
#define ITS_TRANSLATER 0x40u
/* QEMU's board "virt": its ITS is at 0x08080000, the doorbell in the second 64 KiB. */
#define QEMU_VIRT_DOORBELL 0x08090040ull
/* A mask of n bits that was ignored shows as an address this close below 2^n. */
#define TRUNCATED_BELOW (64 * MIB)

bool dma_is_fault(enum doctor_fact_kind kind)
{
	switch (kind) {
	case DOCTOR_VTD_DMA_FAULT:
	case DOCTOR_VTD_IR_FAULT:
	case DOCTOR_AMD_PAGE_FAULT:
	case DOCTOR_AMD_ILLEGAL_DTE:
	case DOCTOR_AMD_INVALID_REQUEST:
	case DOCTOR_SMMU_FAULT:
		return true;
	default:
		return false;
	}
}

/* Words in front of an address that are no driver. */
static bool is_no_driver(const char *name)
{
	static const char *const none[] = {"pci", "pcieport", "iommu", "AMD-Vi", "DMAR", "kernel"};

	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
		if (!strcmp(name, none[i]))
			return true;
	}
	return !*name || !strncmp(name, "iommu ", 6) || !strncmp(name, "ivhd", 4) ||
	       !strncmp(name, "arm-smmu", 8);
}

const char *dma_fact_driver(const struct doctor_fact *fact)
{
	if (!is_no_driver(fact->driver))
		return fact->driver;
	if (fact->kind == DOCTOR_AMD_PAGE_FAULT && !is_no_driver(fact->name))
		return fact->name;
	return NULL;
}

static bool is_vfio(const char *driver)
{
	return driver && !strncmp(driver, "vfio", 4);
}

static bool is_vm_fact(const struct doctor_fact *fact)
{
	switch (fact->kind) {
	case DOCTOR_VFIO_OPENED:
	case DOCTOR_VFIO_RESETTING:
	case DOCTOR_VFIO_VGA_CHANGED:
	case DOCTOR_START_OK:
	case DOCTOR_START_FAILED:
	case DOCTOR_VM_EXIT:
	case DOCTOR_P2P_UNSUPPORTED:
	case DOCTOR_MAP_FAILED:
	case DOCTOR_RESET_PVE_WARNING:
		return true;
	default:
		return is_vfio(dma_fact_driver(fact));
	}
}

bool dma_has_vm_context(const struct doctor_case *seen)
{
	for (size_t i = 0; i < seen->machine_count; i++) {
		if (seen->machine[i].vm_count || seen->machine[i].is_vm == YES)
			return true;
	}
	for (size_t i = 0; i < seen->facts->count; i++) {
		const struct doctor_fact *fact = &seen->facts->fact[i];

		if (is_vm_fact(fact) || fact->side == DOCTOR_SIDE_GUEST)
			return true;
	}
	return false;
}

bool dma_other_assigned(const struct doctor_case *seen, struct bdf device)
{
	for (size_t i = 0; i < seen->machine_count; i++) {
		const struct machine *machine = &seen->machine[i];

		for (size_t vm = 0; vm < machine->vm_count; vm++) {
			if (machine->vm[vm].device_count)
				return true;
		}
	}
	for (size_t i = 0; i < seen->facts->count; i++) {
		const struct doctor_fact *fact = &seen->facts->fact[i];

		if (fact->has_device && !bdf_equal(fact->device, device) && is_vm_fact(fact))
			return true;
	}
	return false;
}

/* The device of the guest with the same ids, when there is only one. */
static const struct machine_device *find_twin(const struct machine *guest,
					      const struct machine_device *device)
{
	const struct machine_device *twin = NULL;

	for (size_t i = 0; i < guest->device_count; i++) {
		const struct machine_device *other = &guest->device[i];

		if (other->vendor != device->vendor || other->device != device->device)
			continue;
		if (twin)
			return NULL;
		twin = other;
	}
	return twin;
}

static void look_at_machines(const struct doctor_case *seen, const struct doctor_fact *fault,
			     struct dma_requester *who)
{
	const struct machine *host = judge_machine(seen, DOCTOR_SIDE_HOST);

	who->guest = judge_machine(seen, DOCTOR_SIDE_GUEST);
	if (fault->side == DOCTOR_SIDE_GUEST) {
		/* A guest with an IOMMU of its own: what it sees is its own machine. */
		host = who->guest;
		who->guest = NULL;
	}
	who->host = host;
	if (!host || !host->device_count)
		return;
	who->in_host = machine_find_device(host, who->device);
	who->exists = who->in_host ? YES : NO;
	who->vm = machine_find_vm(host, who->device);
	if (who->vm) {
		who->assigned = YES;
		who->assigned_by = arena_printf(seen->arena, "VM %s has it (%s)", who->vm->name,
						who->vm->source);
	}
	if (!who->in_host)
		return;
	if (is_vfio(who->in_host->driver)) {
		who->assigned = YES;
		if (!who->assigned_by)
			who->assigned_by = "vfio-pci holds it";
	} else if (who->in_host->driver) {
		who->driver = who->in_host->driver;
		if (who->assigned != YES)
			who->assigned = NO;
	}
	if (who->guest)
		who->in_guest = find_twin(who->guest, who->in_host);
}

static bool says_failed(const struct doctor_fact *fact)
{
	return fact->kind == DOCTOR_DRIVER_TIMEOUT || fact->kind == DOCTOR_DRIVER_FAILED ||
	       fact->kind == DOCTOR_FIRMWARE_CRASHED;
}

static void look_at_sibling(const struct doctor_fact *fact, struct dma_requester *who)
{
	who->sibling_named = true;
	if (is_vfio(dma_fact_driver(fact)) || fact->kind == DOCTOR_VFIO_OPENED)
		who->sibling_assigned = true;
}

static void look_at_line(const struct doctor_fact *fact, struct dma_requester *who)
{
	const char *driver = dma_fact_driver(fact);

	if (!dma_is_fault(fact->kind))
		who->named = true;
	if (says_failed(fact))
		who->failed = true;
	/* What a guest's driver says in a log of both must not make it a driver of the host. */
	if (fact->kind == DOCTOR_IGD_STOLEN_OUTSIDE || fact->side == DOCTOR_SIDE_GUEST)
		return;
	if (is_vfio(driver) || fact->kind == DOCTOR_VFIO_OPENED ||
	    fact->kind == DOCTOR_VFIO_RESETTING || fact->kind == DOCTOR_P2P_UNSUPPORTED ||
	    (fact->kind == DOCTOR_DRIVER_BOUND && is_vfio(fact->name))) {
		who->assigned = YES;
		if (!who->assigned_by)
			who->assigned_by = "the log shows vfio-pci at work on it";
	} else if (driver) {
		who->named = true;
		if (!who->driver)
			who->driver = driver;
	}
}

/* IOAPICs and timers sit at 00:1e.x, 00:1f.0 and 00:1f.7; 00:1f.2 to 00:1f.6 are real devices. */
static bool is_chipset_slot(struct bdf device)
{
	if (!device.slot || device.slot == 0x1e)
		return true;
	return device.slot == 0x1f && (!device.function || device.function == 7);
}

void dma_requester_find(const struct doctor_case *seen, const struct doctor_fact *fault,
			struct dma_requester *ret_requester)
{
	struct dma_requester who = {.has_device = fault->has_device, .device = fault->device};

	if (!who.has_device) {
		*ret_requester = who;
		return;
	}
	who.display = !who.device.bus && who.device.slot == 2 && !who.device.function;
	who.nobody = bdf_requester(who.device) == 0xffff;
	who.chipset = !who.nobody &&
		      (who.device.bus >= 0xf0 || (!who.device.bus && is_chipset_slot(who.device)));
	look_at_machines(seen, fault, &who);
	for (size_t i = 0; i < seen->facts->count; i++) {
		const struct doctor_fact *fact = &seen->facts->fact[i];

		if (!fact->has_device)
			continue;
		if (bdf_equal(fact->device, who.device))
			look_at_line(fact, &who);
		else if (fact->device.domain == who.device.domain &&
			 fact->device.bus == who.device.bus && fact->device.slot == who.device.slot)
			look_at_sibling(fact, &who);
	}
	if (who.assigned == UNKNOWN && who.driver)
		who.assigned = NO;
	*ret_requester = who;
}

/* Lines of a log that only a starting kernel prints. */
static bool is_boot_line(enum doctor_fact_kind kind)
{
	return kind == DOCTOR_KERNEL_BOOT || kind == DOCTOR_IOMMU_WORKING ||
	       kind == DOCTOR_IR_ENABLED || kind == DOCTOR_IOMMU_COMMAND_LINE_ON ||
	       kind == DOCTOR_IOMMU_ADDRESS_WIDTH || kind == DOCTOR_RMRR_DECLARED;
}

int64_t dma_since_boot(const struct doctor_case *seen, const struct doctor_fact *fact, bool last)
{
	int64_t time = last ? fact->last_time_us : fact->time_us, start = DOCTOR_TIME_NONE;

	if (time == DOCTOR_TIME_NONE || !fact->wall_clock)
		return time;
	for (size_t i = 0; i < seen->facts->count; i++) {
		const struct doctor_fact *other = &seen->facts->fact[i];

		if (other->log != fact->log || other->boot != fact->boot || !other->wall_clock ||
		    other->time_us == DOCTOR_TIME_NONE || !is_boot_line(other->kind))
			continue;
		if (start == DOCTOR_TIME_NONE || other->time_us < start)
			start = other->time_us;
	}
	return start == DOCTOR_TIME_NONE || time < start ? DOCTOR_TIME_NONE : time - start;
}

static bool is_open(const struct doctor_fact *fact)
{
	return fact->kind == DOCTOR_VFIO_OPENED || fact->kind == DOCTOR_VFIO_RESETTING;
}

static bool is_end(const struct doctor_fact *fact)
{
	return fact->kind == DOCTOR_VM_EXIT || fact->kind == DOCTOR_DRIVER_UNBOUND;
}

static bool is_about(const struct doctor_fact *fact, const struct dma_requester *who)
{
	return !fact->has_device || !who->has_device || bdf_equal(fact->device, who->device);
}

enum dma_when dma_when(const struct doctor_case *seen, const struct dma_requester *requester,
		       const struct dma_span *span)
{
	bool before = false, within = false, after = false, end = false;

	if (span->last_us != DOCTOR_TIME_NONE && span->last_us < BOOT_US)
		return DMA_WHEN_BOOT;
	for (size_t i = 0; i < seen->facts->count; i++) {
		const struct doctor_fact *fact = &seen->facts->fact[i];

		if (fact->log != span->log || fact->boot != span->boot ||
		    !is_about(fact, requester))
			continue;
		if (is_end(fact) && fact->line < span->first_line)
			end = true;
		if (!is_open(fact) || !fact->has_device)
			continue;
		before |= fact->line < span->first_line;
		within |= fact->last_line > span->first_line && fact->line < span->last_line;
		after |= fact->last_line > span->last_line;
	}
	if (within)
		return DMA_WHEN_ACROSS;
	if (end && !before)
		return DMA_WHEN_AFTER;
	if (before)
		return end ? DMA_WHEN_AFTER : DMA_WHEN_GUEST;
	if (after)
		return DMA_WHEN_BEFORE;
	return DMA_WHEN_UNKNOWN;
}

/* The last moment that a log tells of. */
static int64_t log_end(const struct doctor_case *seen, const struct dma_span *span)
{
	int64_t end = DOCTOR_TIME_NONE;

	for (size_t i = 0; i < seen->facts->count; i++) {
		const struct doctor_fact *fact = &seen->facts->fact[i];

		if (fact->log == span->log && fact->boot == span->boot && fact->last_time_us > end)
			end = fact->last_time_us;
	}
	return end;
}

bool dma_superseded(const struct doctor_case *seen, const struct dma_requester *requester,
		    const struct dma_span *span)
{
	int64_t end = log_end(seen, span);

	for (size_t i = 0; i < seen->facts->count; i++) {
		const struct doctor_fact *fact = &seen->facts->fact[i];

		if (fact->log != span->log || fact->last_line <= span->last_line)
			continue;
		if (!is_open(fact) || !fact->has_device || !is_about(fact, requester))
			continue;
		if (fact->last_time_us != DOCTOR_TIME_NONE && end != DOCTOR_TIME_NONE &&
		    end - fact->last_time_us >= GONE_WELL_US)
			return true;
	}
	return false;
}

static void look_at_reserved(const struct dma_requester *who, struct dma_place *place)
{
	const struct machine *host = who->host;
	const struct machine_group *group;

	for (size_t i = 0; i < host->acpi.range_count; i++) {
		const struct machine_range *range = &host->acpi.range[i].range;

		if (place->address >= range->start && place->address <= range->end) {
			place->reserved = range;
			place->reserved_by = host->arch == ARCH_AMD ? "IVMD" : "RMRR";
			return;
		}
	}
	group = who->in_host ? machine_find_group(host, who->in_host->group) : NULL;
	for (size_t i = 0; group && i < group->reserved_count; i++) {
		const struct machine_range *range = &group->reserved[i];

		if (place->address >= range->start && place->address <= range->end) {
			place->reserved = range;
			place->reserved_by = "reserved_regions";
			return;
		}
	}
}

static void look_at_memory(const struct dma_requester *who, struct dma_place *place)
{
	const struct machine *host = who->host;

	if (who->vm)
		place->guest_ram = machine_vm_ram(who->vm, place->address);
	if (who->guest) {
		place->bar_device = machine_bar_at(who->guest, place->address, &place->bar);
		place->bar_machine = place->bar_device ? who->guest : NULL;
	}
	if (!host)
		return;
	if (!place->bar_device) {
		place->bar_device = machine_bar_at(host, place->address, &place->bar);
		place->bar_machine = place->bar_device ? host : NULL;
	}
	look_at_reserved(who, place);
	if (host->iomem_count && !host->iomem_hidden) {
		const struct machine_iomem *ram = NULL;

		place->iomem = machine_iomem_at(host, place->address);
		/* The innermost line may be "Kernel code" within System RAM. */
		for (size_t i = 0; i < host->iomem_count; i++) {
			const struct machine_iomem *line = &host->iomem[i];

			if (place->address >= line->range.start &&
			    place->address <= line->range.end && !strcmp(line->name, "System RAM"))
				ram = line;
		}
		place->host_ram = ram ? YES : NO;
	}
	if (host->acpi.address_width >= 32 && host->acpi.address_width < 64) {
		place->width = host->acpi.address_width;
		place->too_wide = (place->address >> place->width) ? YES : NO;
	}
}

static unsigned int truncated_bits(uint64_t address)
{
	for (unsigned int bits = 33; bits <= 47; bits++) {
		uint64_t end = 1ull << bits;
		/* Eight ones above bit 31 are no chance. */
		uint64_t below = bits >= 40 ? 4 * GIB : TRUNCATED_BELOW;

		if (address < end && end - address <= below)
			return bits;
	}
	return 0;
}

void dma_place_find(const struct dma_requester *requester, uint64_t address,
		    struct dma_place *ret_place)
{
	struct dma_place place = {.address = address};

	place.zero = !address;
	place.tiny = address < 64 * KIB;
	place.above_4g = address >= 4 * GIB;
	place.interrupt = (address >= MSI_X86_FIRST && address <= MSI_X86_LAST) ||
			  (address >= MSI_AMD_FIRST && address <= MSI_AMD_LAST) ||
			  (address >= MSI_AMD_WIDE_FIRST && address <= MSI_AMD_WIDE_LAST);
	place.doorbell = (address & (4 * KIB - 1)) == ITS_TRANSLATER;
	place.guest_doorbell = address == QEMU_VIRT_DOORBELL;
	place.host_iova = address >= HOST_IOVA_FIRST && !place.above_4g && !place.interrupt;
	place.truncated_bits = truncated_bits(address);
	place.absurd = address >= 1ull << 52 && !place.interrupt;
	place.align = address ? address & -address : 0;
	look_at_memory(requester, &place);
	*ret_place = place;
}

const char *dma_size_text(const struct doctor_case *seen, uint64_t bytes)
{
	if (bytes >= GIB && !(bytes % GIB))
		return arena_printf(seen->arena, "%llu GiB", (unsigned long long)(bytes / GIB));
	if (bytes >= MIB && !(bytes % MIB))
		return arena_printf(seen->arena, "%llu MiB", (unsigned long long)(bytes / MIB));
	if (bytes >= KIB && !(bytes % KIB))
		return arena_printf(seen->arena, "%llu KiB", (unsigned long long)(bytes / KIB));
	return arena_printf(seen->arena, "%llu bytes", (unsigned long long)bytes);
}

const char *dma_place_text(const struct doctor_case *seen, const struct dma_place *place)
{
	const char *sum = "", *align = "";

	if (place->zero)
		return "0x0, an address that nobody hands out";
	if (place->above_4g && place->address < 64 * GIB)
		sum = arena_printf(seen->arena, " = 4 GiB + 0x%llx",
				   (unsigned long long)(place->address - 4 * GIB));
	else if (place->truncated_bits)
		sum = arena_printf(
			seen->arena, " = 2^%u - 0x%llx", place->truncated_bits,
			(unsigned long long)((1ull << place->truncated_bits) - place->address));
	if (place->align >= 64 * KIB)
		align = arena_printf(seen->arena, ", %s aligned",
				     dma_size_text(seen, place->align));
	return arena_printf(seen->arena, "0x%llx%s%s", (unsigned long long)place->address, sum,
			    align);
}
