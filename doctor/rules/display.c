/* SPDX-License-Identifier: MIT */
/*
 * Display memory, and starts and drivers that fail for reasons of their own. These rules come last:
 * some of them only speak when no other did.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "doctor/rules/judge.h"
#include "doctor/rules/state.h"

enum { IGD_STOLEN, EFIFB, START_TIMEOUT, GUEST_DRIVER, WRONG_DRIVER, NOT_PASSTHROUGH, RULES };
static const struct doctor_rule rules[RULES];

#define MIB ((uint64_t)1 << 20)

static bool is_between(uint64_t start, uint64_t first, uint64_t last)
{
	return start >= first && start <= last;
}

static struct doctor_finding *finding_of(struct doctor_judge *judge, const struct doctor_rule *rule,
					 const struct doctor_fact *fact)
{
	struct doctor_finding *finding = NULL;

	if (fact->has_device)
		finding = judge_find_fact(judge, rule->id, fact);
	return finding ? finding : judge_find(judge, rule->id, NULL);
}

/* --- igd-stolen-mismatch --- */

static const struct doctor_signal igd_confirm[] = {
	{DOCTOR_IGD_STOLEN_OUTSIDE, 85, NULL,
	 "The guest's driver finds that the graphics' reserved memory is not where the guest put "
	 "it."},
	{DOCTOR_FACT_NONE, 0, NULL, NULL},
};

static bool is_dma_fault(const struct doctor_fact *fact)
{
	return fact->kind == DOCTOR_VTD_DMA_FAULT && fact->has_device && fact->has_address &&
	       !fact->device.bus && fact->device.slot == 2;
}

static void igd_judge(struct doctor_judge *judge, const struct doctor_rule *rule)
{
	const struct doctor_case *seen = judge_case(judge);
	const struct machine *host = state_host(seen);
	const struct doctor_fact *outside;
	struct doctor_finding *finding;

	outside = doctor_fact_next(seen->facts, DOCTOR_IGD_STOLEN_OUTSIDE, NULL);
	finding = outside ? finding_of(judge, rule, outside) : NULL;
	for (size_t i = 0; i < seen->facts->count; i++) {
		const struct doctor_fact *fact = &seen->facts->fact[i];
		const struct machine_iomem *iomem;

		if (!is_dma_fault(fact))
			continue;
		/* Around the reserved piece lies the rest of the host's stolen memory. */
		if (finding && outside && outside->has_address &&
		    is_between(fact->address, outside->address & ~(256 * MIB - 1),
			       outside->address + 256 * MIB)) {
			judge_confirm(finding, 80);
			judge_evidence(judge, finding, fact);
			judge_why(judge, finding,
				  "The host's fault 0x%" PRIx64
				  " lies where the host's firmware keeps that memory.",
				  fact->address);
			continue;
		}
		iomem = host && machine_find_vm(host, fact->device)
				? machine_iomem_at(host, fact->address)
				: NULL;
		if (!iomem || !iomem->name || !strstr(iomem->name, "Stolen") ||
		    judge_is_past(seen, fact))
			continue;
		finding = judge_add_fact(judge, rule, fact, 85);
		judge_evidence(judge, finding, fact);
		judge_state(judge, finding, "/proc/iomem", "0x%" PRIx64 " is the host's \"%s\".",
			    fact->address, iomem->name);
	}
}

static const struct doctor_fix igd_fixes[] = {
	{FOR_PROXMOX,
	 "Use the legacy mode of integrated graphics, which keeps the layout that the card knows.",
	 "qm set {vmid} -machine pc -vga none -hostpci0 00:02.0,legacy-igd=1", ""},
	{FOR_QEMU,
	 "Or use a QEMU and OVMF that place the guest's stolen memory at the host's address.",
	 "dmesg | grep -i stolen\ngrep -i stolen /proc/iomem", ""},
	{0},
};

/* --- bar-busy-efifb --- */

static bool by_vfio(const struct doctor_case *seen, const struct doctor_fact *fact)
{
	(void)seen;
	return state_is_vfio_driver(fact->driver);
}

/* Two drivers of the host can be at odds, too. */
static bool by_unknown(const struct doctor_case *seen, const struct doctor_fact *fact)
{
	(void)seen;
	return !*fact->driver || !strcmp(fact->driver, "pci");
}

static const struct doctor_signal efifb_confirm[] = {
	{DOCTOR_BAR_RESERVE_FAILED, 82, by_vfio,
	 "vfio can't reserve the BAR: something of the host still owns a part of it."},
	{DOCTOR_BAR_RESERVE_FAILED, 45, by_unknown,
	 "Something of the host owns a part of the BAR."},
	{DOCTOR_BAR_WRITE_BUSY, 75, NULL,
	 "The guest's access to the BAR was refused, because the host still owns it."},
	{DOCTOR_FACT_NONE, 0, NULL, NULL},
};

static bool is_framebuffer(const char *name)
{
	static const char *const known[] = {
		"efifb", "vesafb", "BOOTFB", "simplefb", "simple-framebuffer", "simpledrm"};

	for (size_t i = 0; name && i < sizeof(known) / sizeof(*known); i++)
		if (strstr(name, known[i]))
			return true;
	return false;
}

/* The device of the machine in whose BAR a boot framebuffer still lies, although vfio has it. */
static void efifb_of_machine(struct doctor_judge *judge, const struct doctor_rule *rule)
{
	const struct machine *host = state_host(judge_case(judge));

	for (size_t i = 0; host && i < host->iomem_count; i++) {
		const struct machine_iomem *line = &host->iomem[i];
		const struct machine_device *device;
		struct doctor_finding *finding;
		unsigned int bar;

		if (!is_framebuffer(line->name) || !line->range.start)
			continue;
		device = machine_bar_at(host, line->range.start, &bar);
		if (!device || !state_is_vfio_driver(device->driver))
			continue;
		finding = judge_find_on(judge, rule->id, host, &device->bdf);
		if (finding)
			judge_confirm(finding, 80);
		else
			finding = judge_add_on(judge, rule, host, &device->bdf, 80);
		judge_state(judge, finding, "/proc/iomem", "\"%s\" lies in BAR %u of the device.",
			    line->name, bar);
	}
}

static void efifb_judge(struct doctor_judge *judge, const struct doctor_rule *rule)
{
	const struct doctor_facts *facts = judge_case(judge)->facts;
	const struct doctor_fact *taken = NULL, *screen = NULL;
	struct doctor_finding *finding;

	efifb_of_machine(judge, rule);
	while ((screen = doctor_fact_next(facts, DOCTOR_FRAMEBUFFER_IN_BAR, screen))) {
		while ((taken = doctor_fact_next(facts, DOCTOR_BAR_RESERVE_FAILED, taken))) {
			if (screen->has_address && taken->has_address &&
			    !is_between(screen->address, taken->address,
					taken->address + (taken->has_size ? taken->size - 1 : 0)))
				continue;
			finding = finding_of(judge, rule, taken);
			if (!finding)
				continue;
			judge_confirm(finding, 80);
			judge_evidence(judge, finding, screen);
			judge_why(judge, finding,
				  "/proc/iomem shows the boot framebuffer in that very BAR.");
		}
	}
}

static const struct doctor_fix efifb_fixes[] = {
	{FOR_PROXMOX, "Keep the boot framebuffer off the card (kernels from 5.15 on); reboot.",
	 "# add to the kernel command line\ninitcall_blacklist=sysfb_init", ""},
	{FOR_ANY, "On older kernels.",
	 "# add to the kernel command line\nvideo=efifb:off,vesafb:off", ""},
	{FOR_ANY,
	 "Without a reboot, and where simpledrm is built in: take the framebuffer away by hand, or "
	 "boot from another card.",
	 "grep -E 'efifb|vesafb|BOOTFB|simple' /proc/iomem\n"
	 "for c in /sys/class/vtconsole/vtcon*/bind; do echo 0 > $c; done\n"
	 "echo efi-framebuffer.0 > /sys/bus/platform/drivers/efi-framebuffer/unbind\n"
	 "echo simple-framebuffer.0 > /sys/bus/platform/drivers/simple-framebuffer/unbind",
	 ""},
	{0},
};

/* --- start-timeout --- */

static const struct doctor_signal timeout_confirm[] = {
	{DOCTOR_START_TIMEOUT, 82, NULL,
	 "The tool gave up waiting. With a device, all memory of the guest is pinned first, which "
	 "takes long for large guests."},
	{DOCTOR_FACT_NONE, 0, NULL, NULL},
};

static void timeout_judge(struct doctor_judge *judge, const struct doctor_rule *rule)
{
	const struct machine *host = state_host(judge_case(judge));
	struct doctor_finding *finding = judge_find(judge, rule->id, NULL);

	for (size_t i = 0; finding && host && i < host->vm_count; i++) {
		const struct machine_vm *vm = &host->vm[i];

		if (vm->device_count && vm->ram >= 64 * 1024 * MIB)
			judge_state(judge, finding, vm->source,
				    "VM %s has %" PRIu64 " GiB of memory%s.", vm->name,
				    vm->ram / MIB / 1024, vm->hugepages ? "" : " and no hugepages");
	}
	if (finding)
		judge_next(
			judge, finding, "Start it with more time and watch its memory grow.",
			"qm start {vmid} --timeout 900 & watch -n 5 \"grep -E 'VmLck|VmPin|VmRSS' "
			"/proc/\\$(cat /run/qemu-server/{vmid}.pid)/status\"",
			"If it grows steadily, time is all that lacks. If it stands still, look "
			"for "
			"a reset or power line in the kernel log.");
}

static const struct doctor_fix timeout_fixes[] = {
	{FOR_PROXMOX, "Give the start more time, and let hugepages make pinning quick.",
	 "qm start {vmid} --timeout 900\nqm set {vmid} -hugepages 1024", ""},
	{FOR_LIBVIRT, "Back the memory with hugepages.",
	 "virsh edit {vmid}   # <memoryBacking><hugepages/></memoryBacking>", ""},
	{0},
};

/* --- guest-driver --- */

/* A finding that explains a driver's failure better than the driver itself. */
static bool explained(struct doctor_judge *judge)
{
	const struct doctor_rule *rule = NULL;

	while ((rule = doctor_rule_next(rule))) {
		const struct doctor_finding *finding;

		if (rule == &rules[GUEST_DRIVER] || rule == &rules[WRONG_DRIVER] ||
		    rule == &rules[NOT_PASSTHROUGH])
			continue;
		finding = judge_find_any(judge, rule->id);
		if (finding && finding->severity != DOCTOR_INFO && finding->confidence >= 20)
			return true;
	}
	return false;
}

/*
 * Drivers of what people hand to guests: accelerators and graphics. Any other driver's failure in a
 * log is that machine's own affair.
 */
static bool is_card_driver(const struct doctor_fact *fact)
{
	static const char *const known[] = {"apex",   "gasket", "hailo",      "metis",	    "axl",
					    "nvidia", "NVRM",	"iomemory",   "habanalabs", "qaic",
					    "xdma",   "rngd",	"tenstorrent"};

	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (!strncmp(fact->name, known[i], strlen(known[i])) ||
		    !strncmp(fact->driver, known[i], strlen(known[i])))
			return true;
	return false;
}

/* The driver met a chip or a kernel that it was not made for. */
static bool is_mismatch(const struct doctor_fact *fact)
{
	return state_line_has(fact, "naligned DMA addr") ||
	       state_line_has(fact, "init pcie resources") ||
	       state_line_has(fact, "version of symbol") ||
	       state_line_has(fact, "Invalid module format") ||
	       state_line_has(fact, "Exec format error");
}

/* Which lines of drivers speak of a card that could not be used, and how clearly. 0: not this. */
static unsigned int driver_percent(const struct doctor_case *seen, const struct doctor_fact *fact)
{
	switch (fact->kind) {
	case DOCTOR_DRIVER_REFUSED:
		if (state_line_has(fact, "in use"))
			return 0;
		/* Of a whole boot's log, other modules than those of cards are not meant. */
		return is_card_driver(fact)				    ? 75
		       : doctor_facts_have(seen->facts, DOCTOR_KERNEL_BOOT) ? 0
									    : 40;
	case DOCTOR_DRIVER_FAILED:
		/* A firmware file that isn't installed (ENOENT) is looked for under other names. */
		if (fact->has_reason && fact->reason == ENOENT)
			return 0;
		return is_mismatch(fact) ? 65 : is_card_driver(fact) ? 55 : 0;
	default:
		return 0;
	}
}

static void driver_finding(struct doctor_judge *judge, const struct doctor_rule *rule,
			   const struct doctor_fact *fact, unsigned int percent)
{
	struct doctor_finding *finding = judge_find_any(judge, rule->id);

	if (finding)
		judge_confirm(finding, 20);
	else
		finding = judge_add_fact(judge, rule, fact, percent);
	judge_evidence(judge, finding, fact);
	judge_why(judge, finding,
		  "The driver met the device and failed, and nothing here speaks of the IOMMU, of "
		  "interrupts or of a reset.");
	judge_next(judge, finding, "Try the same driver with the card on bare metal.", "",
		   "The same message there: the driver, its version or its signature. Another "
		   "outcome: passthrough has a part in it.");
}

/* Of both rules: one line that speaks of a mismatch makes it that. */
static void driver_judge(struct doctor_judge *judge, const struct doctor_rule *rule)
{
	const struct doctor_case *seen = judge_case(judge);
	bool mismatch = false;

	if (explained(judge))
		return;
	for (size_t i = 0; i < seen->facts->count; i++)
		mismatch |= is_mismatch(&seen->facts->fact[i]) &&
			    driver_percent(seen, &seen->facts->fact[i]);
	if (mismatch != (rule == &rules[WRONG_DRIVER]))
		return;
	for (size_t i = 0; i < seen->facts->count; i++) {
		const struct doctor_fact *fact = &seen->facts->fact[i];
		unsigned int percent = driver_percent(seen, fact);

		if (percent && !judge_is_past(seen, fact))
			driver_finding(judge, rule, fact, percent);
	}
}

static const struct doctor_fix driver_fixes[] = {
	{FOR_GUEST,
	 "Check that the module fits the card and the kernel, and that it may be loaded.",
	 "lspci -nnk\nmodinfo MODULE | grep -E 'vermagic|alias|signer'\n"
	 "mokutil --sb-state\ndmesg | grep -iE 'signature|lockdown|taint'",
	 ""},
	{0},
};

/* --- not-passthrough --- */

/* Words like "Address already in use" count only where a VM was to start. */
static bool of_a_start(const struct doctor_case *seen, const struct doctor_fact *fact)
{
	static const char *const words[] = {"TASK ERROR", "kvm", "qemu", "libvirt", "VM ", "vmbr"};

	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (state_line_has(fact, words[i]))
			return true;
	return doctor_facts_have(seen->facts, DOCTOR_START_FAILED) ||
	       doctor_facts_have(seen->facts, DOCTOR_START_TIMEOUT);
}

static const struct doctor_signal unrelated_confirm[] = {
	{DOCTOR_START_UNRELATED, 88, of_a_start,
	 "The line above the last one names a reason that has nothing to do with the device."},
	{DOCTOR_FACT_NONE, 0, NULL, NULL},
};

/* A start failed, and no other rule knows why: nothing points to the device. */
static void unrelated_judge(struct doctor_judge *judge, const struct doctor_rule *rule)
{
	const struct doctor_case *seen = judge_case(judge);
	const struct doctor_fact *fact = NULL;
	struct doctor_finding *finding;

	if (explained(judge) || judge_find_any(judge, rule->id) ||
	    judge_find_any(judge, rules[GUEST_DRIVER].id) ||
	    judge_find_any(judge, rules[WRONG_DRIVER].id))
		return;
	while ((fact = doctor_fact_next(seen->facts, DOCTOR_START_FAILED, fact))) {
		/* Other tasks of Proxmox end with the same words. */
		if (judge_is_past(seen, fact) || !state_line_has(fact, "start"))
			continue;
		finding = judge_add_fact(judge, rule, fact, 35);
		judge_title(judge, finding,
			    "A start failed, and nothing here points to the device");
		judge_evidence(judge, finding, fact);
		judge_why(judge, finding,
			  "This last line is the same for every failure. The one above says why.");
		judge_next(judge, finding, "Start the VM by hand and read what QEMU prints first.",
			   "qm start VMID\njournalctl -b | grep -iE 'qemu|kvm|vfio' | tail -50",
			   "A line that names vfio or the device: judge that log again. Anything "
			   "else: "
			   "it is not passthrough.");
	}
}

static const struct doctor_fix unrelated_fixes[] = {
	{FOR_PROXMOX,
	 "Cure what the line names (bridge, lock, storage, CPU type), then start again.",
	 "qm config {vmid}\nqm unlock {vmid}\nip link show type bridge", ""},
	{0},
};

static const char *const igd_swallows[] = {"dma-unmapped-read",
					   "dma-unmapped-write",
					   "stale-dma-no-reset",
					   "dma-after-guest-reset",
					   "boot-fault-benign",
					   "other-device-benign",
					   "driver-bypasses-dma-api",
					   "device-window-address",
					   "guest-driver",
					   "wrong-driver",
					   NULL};
static const char *const efifb_swallows[] = {"guest-driver", "wrong-driver", "not-passthrough",
					     NULL};
static const char *const timeout_swallows[] = {"not-passthrough", NULL};

static const struct doctor_rule rules[RULES] = {
	[IGD_STOLEN] =
		{
			.id = "igd-stolen-mismatch",
			.title = "Integrated graphics uses the host's reserved memory",
			.severity = DOCTOR_ERROR,
			.hop = HOP_DMA,
			.confirm = igd_confirm,
			.judge = igd_judge,
			.swallows = igd_swallows,
			.cause = "Registers that the host's firmware locked hold the host address "
				 "of the graphics' stolen memory. The guest can't change them, "
				 "and its memory lies elsewhere.",
			.shows = "In the guest \"Stolen reserved area [mem ...] outside stolen "
				 "memory [mem ...]\", on the host read faults of 00:02.0 in the "
				 "host's range, Code 43 in Windows.",
			.decides = "Whether the fault's address lies in the host's stolen memory.",
			.trap = "\"PTE Read access is not set, so the ROM or OpRegion is "
				"missing\".",
			.fixes = igd_fixes,
		},
	[EFIFB] =
		{
			.id = "bar-busy-efifb",
			.title = "The host's boot framebuffer still owns the card's memory",
			.severity = DOCTOR_ERROR,
			.hop = HOP_BAR,
			.confirm = efifb_confirm,
			.judge = efifb_judge,
			.swallows = efifb_swallows,
			.cause = "The kernel draws its first screen through efifb, vesafb or "
				 "simpledrm in a BAR of this card and never gave it back, so vfio "
				 "can't reserve the BAR.",
			.shows = "\"BAR 1: can't reserve [mem ...]\", \"vfio_region_write(...) "
				 "failed: Device or resource busy\"; the guest's screen stays "
				 "black.",
			.decides =
				"/proc/iomem, as root: a framebuffer's line inside the card's BAR.",
			.trap = "ROM files and vendor resets: neither frees the BAR.",
			.fixes = efifb_fixes,
		},
	[START_TIMEOUT] =
		{
			.id = "start-timeout",
			.title = "The VM takes longer to start than it was given",
			.severity = DOCTOR_ERROR,
			.hop = HOP_MEMORY,
			.confirm = timeout_confirm,
			.judge = timeout_judge,
			.swallows = timeout_swallows,
			.cause = "QEMU does not answer while it pins and clears the guest's "
				 "memory. Large guests need minutes.",
			.shows = "\"start failed: ... got timeout\", a QMP socket that can't be "
				 "reached.",
			.decides = "Whether the memory of the QEMU process still grows at that "
				   "moment.",
			.trap = "The -22 lines of BARs that appear meanwhile are harmless.",
			.fixes = timeout_fixes,
		},
	[GUEST_DRIVER] =
		{
			.id = "guest-driver",
			.title = "The driver fails on a card that is there and mapped",
			.severity = DOCTOR_WARNING,
			.hop = HOP_GUEST,
			.judge = driver_judge,
			.cause = "A module without an accepted signature, for another chip "
				 "generation, or that does not fit the kernel.",
			.shows = "\"Operation not permitted\" at modprobe, \"Failed init pcie "
				 "resources\", a probe that fails with -22, and no IOMMU fault at "
				 "all.",
			.decides = "The same message on bare metal.",
			.trap = "Searching in VFIO: it did its part.",
			.fixes = driver_fixes,
		},
	[WRONG_DRIVER] =
		{
			.id = "wrong-driver",
			.title = "The driver is not made for this card or kernel",
			.severity = DOCTOR_WARNING,
			.hop = HOP_GUEST,
			.judge = driver_judge,
			.cause = "A driver for another generation of the chip, or one built for "
				 "another kernel.",
			.shows = "\"Failed init pcie resources\", \"Unaligned DMA addr\", "
				 "\"disagrees about version of symbol\", a probe that fails with "
				 "-22, and no IOMMU fault at all.",
			.decides = "The same message on bare metal; the ids that modinfo lists "
				   "against lspci -nn.",
			.trap = "Searching in VFIO: it did its part.",
			.fixes = driver_fixes,
		},
	[NOT_PASSTHROUGH] =
		{
			.id = "not-passthrough",
			.title = "The start failed for a reason outside passthrough",
			.severity = DOCTOR_WARNING,
			.hop = HOP_NONE,
			.confirm = unrelated_confirm,
			.judge = unrelated_judge,
			.cause = "A missing bridge, a lock, a disk, a CPU feature. The last line "
				 "is the same as for a failed device.",
			.shows = "\"start failed: QEMU exited with code 1\" below a line that "
				 "names another reason.",
			.decides = "The line above the last one.",
			.trap = "Changing IOMMU settings because the VM has a device.",
			.fixes = unrelated_fixes,
		},
};

const struct doctor_rules doctor_rules_display = {rules, RULES};
