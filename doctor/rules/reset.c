/* SPDX-License-Identifier: MIT */
/*
 * Reset, power and link: what the card itself does, or no longer does.
 */
#include <inttypes.h>
#include <string.h>
#include <strings.h>

#include "doctor/rules/dma_address.h"
#include "doctor/rules/judge.h"
#include "doctor/rules/state.h"

enum { RESET_MISSING, FLR, STUCK_D3, GUEST_RESET, GONE, LINK, ATS, OPTION_ROM, RULES };
static const struct doctor_rule rules[RULES];

/* --- reset-missing --- */

static bool vendor_failed(const struct doctor_case *seen, const struct doctor_fact *fact)
{
	(void)seen;
	return !strcmp(fact->name, "failed");
}

static const struct doctor_signal reset_missing_confirm[] = {
	{DOCTOR_RESET_NONE, 85, NULL, "QEMU found no way to reset the device."},
	{DOCTOR_RESET_METHOD_BAD, 70, NULL, "The reset method that was asked for is refused."},
	{DOCTOR_RESET_VENDOR, 65, vendor_failed,
	 "The reset made for this card (vendor-reset) failed: the card does not listen."},
	{DOCTOR_RESET_ENOTTY, 55, NULL,
	 "The device has a reset file, and none of its methods works (ENOTTY)."},
	{DOCTOR_RESET_PVE_WARNING, 45, NULL, "Proxmox could not reset the device."},
	{DOCTOR_FACT_NONE, 0, NULL, NULL},
};

/* Whether another device on the bus, not of the same VM, keeps a bus reset from being used. */
static bool bus_is_shared(const struct machine *host, const struct state_want *want)
{
	for (size_t i = 0; i < host->device_count; i++) {
		const struct machine_device *other = &host->device[i];

		if (other->bdf.domain != want->device->bdf.domain ||
		    other->bdf.bus != want->device->bdf.bus ||
		    bdf_equal(other->bdf, want->device->bdf))
			continue;
		if (!state_is_vfio_driver(other->driver) &&
		    machine_find_vm(host, other->bdf) != want->vm)
			return true;
	}
	return false;
}

static void reset_of_machine(struct doctor_judge *judge, const struct doctor_rule *rule)
{
	const struct machine *host = state_host(judge_case(judge));
	struct state_want want;
	size_t index = 0;

	while (host && state_next_wanted(host, &index, &want)) {
		struct doctor_finding *finding;

		if (!want.vm || want.device->gone || want.device->has_flr ||
		    !want.device->reset_method || *want.device->reset_method)
			continue;
		finding = judge_find_on(judge, rule->id, host, &want.device->bdf);
		/* A VM that runs needed none; a function without a method is reset with its bus. */
		if (!finding &&
		    (want.running || (want.device->bdf.bus && !bus_is_shared(host, &want))))
			continue;
		if (!finding) {
			finding = judge_add_on(judge, rule, host, &want.device->bdf, 50);
			finding->severity = DOCTOR_WARNING;
		} else {
			judge_confirm(finding, 60);
		}
		judge_state(judge, finding, "/sys/bus/pci/devices",
			    "reset_method of the device is empty.");
		judge_why(
			judge, finding,
			"Nothing can reset the device alone. It meets the next guest in the state "
			"in which the last one left it.");
	}
}

static bool only_warned(const struct doctor_case *seen, struct bdf device)
{
	const struct doctor_fact *fact = NULL;

	if (doctor_facts_have_device(seen->facts, DOCTOR_RESET_NONE, device) ||
	    doctor_facts_have_device(seen->facts, DOCTOR_RESET_METHOD_BAD, device))
		return true; /* QEMU goes on, too */
	while ((fact = doctor_fact_next(seen->facts, DOCTOR_RESET_PVE_WARNING, fact)))
		if (fact->has_device && bdf_equal(fact->device, device))
			return fact->has_reason && fact->reason;
	return true;
}

static void reset_missing_judge(struct doctor_judge *judge, const struct doctor_rule *rule)
{
	const struct doctor_case *seen = judge_case(judge);

	reset_of_machine(judge, rule);
	for (size_t i = 0; i < judge->count; i++) {
		struct doctor_finding *finding = &judge->entry[i]->finding;

		if (finding->rule != rule || !finding->has_device)
			continue;
		if (only_warned(seen, finding->device) &&
		    !doctor_facts_have(seen->facts, DOCTOR_START_FAILED)) {
			finding->severity = DOCTOR_WARNING;
			judge_why(
				judge, finding,
				"The start goes on without a reset. If the VM runs well, this was "
				"not its failure; a second start is where it bites.");
		}
		judge_next(
			judge, finding, "See which methods the kernel knows for the device.",
			"cat /sys/bus/pci/devices/{device}/reset_method",
			"Empty: there is none. \"bus\": works only if all devices of the bus go to "
			"the same VM. A kernel update that emptied it is a regression.");
	}
}

static const struct doctor_fix reset_missing_fixes[] = {
	{FOR_PROXMOX, "Hand over all functions of the card, so that its bus can be reset.",
	 "qm config {vmid} | grep hostpci\nqm set {vmid} -hostpci0 BB:DD", ""},
	{FOR_ANY, "Choose a method that works, where several are listed.",
	 "cat /sys/bus/pci/devices/{device}/reset_method\n"
	 "echo bus > /sys/bus/pci/devices/{device}/reset_method",
	 ""},
	{FOR_ANY,
	 "AMD graphics: the vendor-reset module (kernel 5.15 and newer: set its method through a "
	 "udev rule).",
	 "echo device_specific > /sys/bus/pci/devices/{device}/reset_method", ""},
	{FOR_ANY,
	 "If it worked before a kernel update (6.14.2 and 6.12.23 lost bus resets), take a newer "
	 "kernel. Until then, power the host off between two starts.",
	 "uname -r", ""},
	{0},
};

/* --- flr-broken --- */

static bool after(const struct doctor_fact *fact, const char *word)
{
	size_t size = strlen(word);

	for (const char *at = fact->name; *at; at++)
		if (!strncasecmp(at, word, size))
			return true;
	return false;
}

/* "after resume" and "after PM D3hot->D0" are power changes, the rest are resets. */
static bool is_power(const struct doctor_fact *fact)
{
	return after(fact, "resume") || after(fact, "D3");
}

static bool gave_up(const struct doctor_fact *fact)
{
	return (fact->has_reason && fact->reason) || state_line_has(fact, "giving up");
}

/* Seconds of waiting are normal for large cards. */
static bool long_wait(const struct doctor_fact *fact)
{
	return !gave_up(fact) && fact->has_number && fact->number >= 8000;
}

static bool reset_gave_up(const struct doctor_case *seen, const struct doctor_fact *fact)
{
	(void)seen;
	return !is_power(fact) && gave_up(fact);
}

static bool reset_long(const struct doctor_case *seen, const struct doctor_fact *fact)
{
	(void)seen;
	return !is_power(fact) && long_wait(fact);
}

/* Whether anything shows that the device answered later. */
static bool came_back(const struct doctor_case *seen, const struct doctor_fact *fact)
{
	static const enum doctor_fact_kind signs[] = {DOCTOR_RESET_READY,    DOCTOR_VFIO_OPENED,
						      DOCTOR_VFIO_RESETTING, DOCTOR_DRIVER_BOUND,
						      DOCTOR_VM_EXIT,	     DOCTOR_START_OK};

	for (size_t i = 0; i < sizeof(signs) / sizeof(*signs); i++) {
		const struct doctor_fact *sign = NULL;

		while ((sign = doctor_fact_next(seen->facts, signs[i], sign)))
			if (sign->log == fact->log && sign->last_line > fact->last_line &&
			    (!sign->has_device || !fact->has_device ||
			     bdf_equal(sign->device, fact->device)))
				return true;
	}
	return false;
}

/* The log ends with the waiting: a host that hangs writes no more. */
static bool reset_unfinished(const struct doctor_case *seen, const struct doctor_fact *fact)
{
	return !is_power(fact) && !gave_up(fact) && !long_wait(fact) && !came_back(seen, fact);
}

static const struct doctor_signal flr_confirm[] = {
	{DOCTOR_RESET_NOT_READY, 94, reset_gave_up,
	 "The kernel reset the device, waited a minute, and it never answered again."},
	{DOCTOR_RESET_NOT_READY, 45, reset_long,
	 "The device does not answer for many seconds after its reset."},
	{DOCTOR_RESET_NOT_READY, 25, reset_unfinished,
	 "The device was not ready after its reset, and nothing later shows that it came back."},
	{DOCTOR_FACT_NONE, 0, NULL, NULL},
};

static void flr_judge(struct doctor_judge *judge, const struct doctor_rule *rule)
{
	const struct doctor_case *seen = judge_case(judge);
	const struct doctor_fact *fact;
	struct doctor_finding *finding = judge_find_any(judge, rule->id);

	if (!finding)
		return;
	if (finding->confidence < 50)
		finding->severity = DOCTOR_WARNING;
	fact = doctor_fact_next(seen->facts, DOCTOR_SOFT_LOCKUP, NULL);
	if (fact) {
		judge_confirm(finding, 30);
		judge_evidence(judge, finding, fact);
		judge_why(judge, finding, "The host's processors hang while they wait for it.");
	}
	fact = doctor_fact_next(seen->facts, DOCTOR_RESET_PENDING, NULL);
	if (fact) {
		judge_confirm(finding, 20);
		judge_evidence(judge, finding, fact);
	}
}

static const struct doctor_fix flr_fixes[] = {
	{FOR_ANY, "Cold boot the host to get the device back: power off, not reboot.", "", ""},
	{FOR_ANY, "Then keep the broken method from being used, if there is another.",
	 "cat /sys/bus/pci/devices/{device}/reset_method\n"
	 "echo bus > /sys/bus/pci/devices/{device}/reset_method",
	 ""},
	{FOR_ANY,
	 "Take a newer kernel: it knows many of these devices and leaves their reset alone. For a "
	 "card with firmware of its own, ask its vendor for a newer one.",
	 "lspci -nnvs {device} | grep -i -E 'FLReset|\\['", ""},
	{0},
};

/* --- stuck-d3 --- */

static bool power_gave_up(const struct doctor_case *seen, const struct doctor_fact *fact)
{
	(void)seen;
	return is_power(fact) && gave_up(fact);
}

static bool power_long(const struct doctor_case *seen, const struct doctor_fact *fact)
{
	(void)seen;
	return is_power(fact) && long_wait(fact);
}

static bool power_unfinished(const struct doctor_case *seen, const struct doctor_fact *fact)
{
	return is_power(fact) && !gave_up(fact) && !long_wait(fact) && !came_back(seen, fact);
}

/* Not the ports of a dock that went away: no port is ever passed through. */
static bool not_unplugged(const struct doctor_case *seen, const struct doctor_fact *fact)
{
	if (!dma_has_vm_context(seen) &&
	    (!strcmp(fact->driver, "pcieport") || !strcmp(fact->driver, "thunderbolt")))
		return false;
	return !state_was_unplugged(seen);
}

static const struct doctor_signal stuck_confirm[] = {
	{DOCTOR_D3_STUCK, 92, not_unplugged,
	 "The device does not come back from its power-saving state."},
	{DOCTOR_RESET_NOT_READY, 90, power_gave_up,
	 "The device was woken, the kernel waited a minute, and it never answered."},
	{DOCTOR_RESET_NOT_READY, 45, power_long,
	 "The device does not answer for many seconds after it was woken."},
	{DOCTOR_RESET_NOT_READY, 25, power_unfinished,
	 "The device was not ready after it was woken, and nothing later shows that it came back."},
	{DOCTOR_FACT_NONE, 0, NULL, NULL},
};

static void stuck_judge(struct doctor_judge *judge, const struct doctor_rule *rule)
{
	const struct machine *host = state_host(judge_case(judge));
	struct state_want want;
	size_t index = 0;

	while (host && state_next_wanted(host, &index, &want)) {
		const char *power = want.device->power_state;
		struct doctor_finding *finding;

		/* Reading config space wakes a device that can be woken. */
		if (!want.device->gone || !power || strncmp(power, "D3", 2))
			continue;
		finding = judge_find_on(judge, rule->id, host, &want.device->bdf);
		if (!finding)
			finding = judge_add_on(judge, rule, host, &want.device->bdf, 80);
		judge_state(judge, finding, "/sys/bus/pci/devices",
			    "power_state is %s, and configuration space reads all ones.", power);
	}
}

static const struct doctor_fix stuck_fixes[] = {
	{FOR_ANY, "Cold boot the host to get the device back: power off, not reboot.", "", ""},
	{FOR_ANY, "Keep vfio-pci from putting idle devices to sleep.",
	 "echo 'options vfio-pci disable_idle_d3=1' > /etc/modprobe.d/vfio-d3.conf\n"
	 "update-initramfs -u -k all && reboot",
	 ""},
	{FOR_ANY, "And keep this device out of D3cold until the next boot.",
	 "echo 0 > /sys/bus/pci/devices/{device}/d3cold_allowed\n"
	 "echo on > /sys/bus/pci/devices/{device}/power/control",
	 ""},
	{0},
};

/* --- guest-triggered-reset --- */

static const struct doctor_signal guest_reset_confirm[] = {
	{DOCTOR_GUEST_RESET_LINK_DOWN, 92, NULL,
	 "The driver reset the whole chip, and the link did not come back as it was."},
	{DOCTOR_FACT_NONE, 0, NULL, NULL},
};

static const struct doctor_fix guest_reset_fixes[] = {
	{FOR_GUEST,
	 "Use a driver version or option that leaves out its global reset; the vendor's notes on "
	 "virtual machines name it.",
	 "modinfo {driver} | grep -i -E 'parm|version'", ""},
	{FOR_ANY,
	 "On the host, blacklist the card's driver instead of only overriding it: the override is "
	 "lost when the card comes back as a new device.",
	 "echo 'blacklist {driver}' > /etc/modprobe.d/vfio-guest-reset.conf\n"
	 "echo 'options vfio-pci ids={ids}' >> /etc/modprobe.d/vfio-guest-reset.conf\n"
	 "update-initramfs -u -k all",
	 ""},
	{0},
};

/* --- device-gone --- */

/* Drives and hot-plug slots lose devices on desktops, too: no word of a VM, no finding. */
static bool gone_counts(const struct doctor_case *seen, const struct doctor_fact *fact)
{
	if (state_was_unplugged(seen))
		return false;
	return (strcmp(fact->name, "nvme") && !state_line_has(fact, "Card not present")) ||
	       dma_has_vm_context(seen);
}

static const struct doctor_signal gone_confirm[] = {
	{DOCTOR_HEADER_TYPE_127, 88, NULL,
	 "Header type 127 is what all ones look like: nobody answers at this address."},
	{DOCTOR_DEVICE_GONE, 85, gone_counts, "Nobody answers at the device's address any more."},
	{DOCTOR_IRQ_PIN_ASSERT, 75, NULL,
	 "QEMU read an interrupt pin of 0xff: configuration space reads all ones."},
	{DOCTOR_FACT_NONE, 0, NULL, NULL},
};

static void gone_judge(struct doctor_judge *judge, const struct doctor_rule *rule)
{
	const struct doctor_case *seen = judge_case(judge);
	struct doctor_finding *finding;

	for (size_t i = 0; i < seen->machine_count; i++) {
		struct state_want want;
		size_t index = 0;

		while (state_next_wanted(&seen->machine[i], &index, &want)) {
			if (!want.device->gone)
				continue;
			finding =
				judge_add_on(judge, rule, &seen->machine[i], &want.device->bdf, 88);
			judge_state(judge, finding, "/sys/bus/pci/devices",
				    "Configuration space of the device reads all ones.");
		}
	}
	finding = judge_find_any(judge, rule->id);
	if (finding)
		judge_next(judge, finding, "Look at what happened before it in the kernel log.",
			   "dmesg | grep -E '{device}|pciehp|AER'",
			   "A power change: stuck-d3. A reset: flr-broken. Link errors: "
			   "link-down-aer. "
			   "A driver of the host that would not let go: host-driver-bound.");
}

static const struct doctor_fix gone_fixes[] = {
	{FOR_ANY, "Try to bring it back without a reboot.",
	 "echo 1 > /sys/bus/pci/devices/{device}/remove\necho 1 > /sys/bus/pci/rescan", ""},
	{FOR_ANY, "If it stays away: power the host off, not only reboot it.", "", ""},
	{FOR_LIBVIRT,
	 "Stop what uses the device on the host before it is detached (display manager, "
	 "persistence daemon).",
	 "systemctl stop display-manager nvidia-persistenced", ""},
	{0},
};

/* --- link-down-aer --- */

/* Errors of the link's own protocol; RxErr alone is common on machines that work. */
static bool is_replay(const struct doctor_case *seen, const struct doctor_fact *fact)
{
	static const char *const kinds[] = {"BadTLP", "BadDLLP", "Rollover", "Timeout", "Replay"};

	(void)seen;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		if (strstr(fact->name, kinds[i]))
			return true;
	return false;
}

static bool is_storm(const struct doctor_case *seen, const struct doctor_fact *fact)
{
	return !is_replay(seen, fact) && fact->count >= 100;
}

/* Not the link of a network cable. */
static bool is_slot(const struct doctor_case *seen, const struct doctor_fact *fact)
{
	return !state_line_has(fact, "NIC Link") && !state_line_has(fact, "eth") &&
	       !state_was_unplugged(seen);
}

static const struct doctor_signal link_confirm[] = {
	{DOCTOR_FELL_OFF_BUS, 88, NULL, "The driver lost its card: it fell off the bus."},
	{DOCTOR_AER_FATAL, 80, NULL, "The port reports a fatal error of the link."},
	{DOCTOR_LINK_DOWN, 65, is_slot, "The PCIe link went down."},
	{DOCTOR_AER_NONFATAL, 50, NULL, "A request on the link was lost or refused."},
	{DOCTOR_AER_CORRECTABLE, 40, is_replay,
	 "Packets arrive damaged and are sent again: signal quality or power."},
	{DOCTOR_AER_CORRECTABLE, 30, is_storm, "The link corrects errors without end."},
	{DOCTOR_FACT_NONE, 0, NULL, NULL},
};

/* Port and card of one link both report: one finding, on the card, which has the higher bus. */
static void link_merge(struct doctor_judge *judge, const struct doctor_rule *rule)
{
	for (size_t i = 0; i < judge->count; i++) {
		struct doctor_finding *port = &judge->entry[i]->finding;

		for (size_t j = 0; j < judge->count && !judge->entry[i]->dropped; j++) {
			struct doctor_finding *card = &judge->entry[j]->finding;

			if (i == j || port->rule != rule || card->rule != rule ||
			    judge->entry[j]->dropped || !card->has_device ||
			    (port->has_device && bdf_compare(port->device, card->device) >= 0))
				continue;
			/* Of two cards with trouble of their own, each is told. */
			if (port->line > card->line + 50 || card->line > port->line + 50)
				continue;
			judge_confirm(card, port->confidence);
			if (port->severity > card->severity)
				card->severity = port->severity;
			for (size_t k = 0; k < port->why_count; k++)
				judge_why(judge, card, "%s", port->why[k]);
			judge_take_evidence(judge, card, port);
			judge_drop(judge, port);
		}
	}
}

static void link_judge(struct doctor_judge *judge, const struct doctor_rule *rule)
{
	const struct doctor_facts *facts = judge_case(judge)->facts;

	for (size_t i = 0; i < judge->count; i++) {
		struct doctor_finding *finding = &judge->entry[i]->finding;

		if (finding->rule != rule || !finding->has_device ||
		    doctor_facts_have_device(facts, DOCTOR_FELL_OFF_BUS, finding->device) ||
		    doctor_facts_have_device(facts, DOCTOR_AER_FATAL, finding->device) ||
		    doctor_facts_have_device(facts, DOCTOR_LINK_DOWN, finding->device))
			continue;
		finding->severity = DOCTOR_WARNING;
	}
	link_merge(judge, rule);
}

static const struct doctor_fix link_fixes[] = {
	{FOR_ANY,
	 "Seat the card again, try another slot and without a riser, check its power cables.",
	 "lspci -vvs {device} | grep -E 'LnkCap|LnkSta|UESta|CESta'", ""},
	{FOR_ANY, "See whether link power saving or the highest speed is the trouble.",
	 "# one at a time on the kernel command line, then reboot\npcie_aspm=off\n"
	 "# or set the slot to a lower PCIe generation in the firmware's setup",
	 ""},
	{0},
};

/* --- ats-invalidation-timeout --- */

static bool queue_error(const struct doctor_case *seen, const struct doctor_fact *fact)
{
	(void)seen;
	return strstr(fact->name, "Queue");
}

static bool no_answer(const struct doctor_case *seen, const struct doctor_fact *fact)
{
	return !queue_error(seen, fact);
}

static const struct doctor_signal ats_confirm[] = {
	{DOCTOR_AMD_IOTLB_TIMEOUT, 92, NULL,
	 "The device did not answer when the IOMMU told it to forget a translation (ATS)."},
	{DOCTOR_VTD_INVALIDATION, 85, no_answer,
	 "VT-d waited for the device to confirm that it forgot a translation (ATS)."},
	{DOCTOR_VTD_INVALIDATION, 50, queue_error, "VT-d's command queue stopped."},
	{DOCTOR_AMD_COMPLETION_WAIT, 80, NULL,
	 "The IOMMU's command queue waits for an answer that does not come."},
	{DOCTOR_FACT_NONE, 0, NULL, NULL},
};

/* The lines of VT-d name no device; the reset before them does. */
static void ats_judge(struct doctor_judge *judge, const struct doctor_rule *rule)
{
	const struct doctor_facts *facts = judge_case(judge)->facts;
	struct doctor_finding *finding = judge_find_any(judge, rule->id);
	const struct doctor_fact *fact = NULL, *last = NULL;
	char text[BDF_TEXT_BYTES];

	if (!finding || finding->has_device)
		return;
	while ((fact = doctor_fact_next(facts, DOCTOR_RESET_VENDOR, fact)))
		if (fact->has_device && fact->line < finding->line)
			last = fact;
	while ((fact = doctor_fact_next(facts, DOCTOR_VFIO_RESETTING, fact)))
		if (fact->has_device && fact->line < finding->line)
			last = fact;
	if (!last)
		return;
	judge_evidence(judge, finding, last);
	judge_why(judge, finding, "It began right after a reset of %s.",
		  bdf_text(last->device, text));
}

static const struct doctor_fix ats_fixes[] = {
	{FOR_ANY, "Power the host off to get the device back.", "", ""},
	{FOR_ANY,
	 "Take ATS away from devices: the time-outs end. The device that does not survive its "
	 "reset stays what it is.",
	 "# add to the kernel command line, then reboot\npci=noats", ""},
	{FOR_ANY, "Then cure the reset: another method, all functions together, a newer kernel.",
	 "cat /sys/bus/pci/devices/{device}/reset_method", ""},
	{0},
};

/* --- option-rom-hang --- */

/* A guest that boots on has left the ROM behind. */
static bool rom_is_last(const struct doctor_case *seen, const struct doctor_fact *fact)
{
	const struct doctor_fact *boot = NULL;

	while ((boot = doctor_fact_next(seen->facts, DOCTOR_KERNEL_BOOT, boot)))
		if (boot->log == fact->log && boot->last_line > fact->last_line)
			return false;
	return true;
}

static bool rom_initialises(const struct doctor_case *seen, const struct doctor_fact *fact)
{
	return rom_is_last(seen, fact) && state_line_has(fact, "initializing");
}

static const struct doctor_signal rom_confirm[] = {
	{DOCTOR_OPTION_ROM_RUNS, 80, rom_initialises,
	 "The last thing that the guest's firmware shows is a card's option ROM at work."},
	{DOCTOR_FACT_NONE, 0, NULL, NULL},
};

static const struct doctor_fix rom_fixes[] = {
	{FOR_PROXMOX,
	 "Hide the ROM from the guest. Disks on the card still work under an OS driver.",
	 "qm config {vmid} | grep hostpci\nqm set {vmid} -hostpci0 BB:DD.F,rombar=0", ""},
	{FOR_LIBVIRT, "The same in the domain.",
	 "virsh edit {vmid}   # in the <hostdev>: <rom bar='off'/>", ""},
	{FOR_QEMU, "The same on QEMU's command line.", "-device vfio-pci,host={device},rombar=0",
	 ""},
	{0},
};

static const char *const reset_swallows[] = {"not-passthrough", "device-gone", NULL};
static const char *const flr_swallows[] = {"stuck-d3",
					   "device-gone",
					   "reset-missing",
					   "ats-invalidation-timeout",
					   "link-down-aer",
					   "guest-driver",
					   "wrong-driver",
					   "start-timeout",
					   "bar-map-efault",
					   "not-passthrough",
					   NULL};
static const char *const stuck_swallows[] = {"flr-broken",
					     "device-gone",
					     "reset-missing",
					     "ats-invalidation-timeout",
					     "link-down-aer",
					     "guest-driver",
					     "wrong-driver",
					     "start-timeout",
					     "bar-map-efault",
					     "not-passthrough",
					     NULL};
static const char *const guest_reset_swallows[] = {"device-gone", "link-down-aer", "guest-driver",
						   "wrong-driver", NULL};
static const char *const gone_swallows[] = {"guest-driver",   "wrong-driver",	 "reset-missing",
					    "bar-map-efault", "not-passthrough", NULL};
static const char *const link_swallows[] = {"device-gone", "guest-driver", "wrong-driver",
					    "ats-invalidation-timeout", NULL};
static const char *const ats_swallows[] = {
	"device-gone", "guest-driver",	"wrong-driver",	 "stuck-d3",
	"flr-broken",  "reset-missing", "link-down-aer", NULL};
static const char *const rom_swallows[] = {"start-timeout", NULL};

static const struct doctor_rule rules[RULES] = {
	[RESET_MISSING] =
		{
			.id = "reset-missing",
			.title = "The device has no reset that works",
			.severity = DOCTOR_ERROR,
			.hop = HOP_DEVICE,
			.confirm = reset_missing_confirm,
			.judge = reset_missing_judge,
			.swallows = reset_swallows,
			.cause = "The device knows no function-level reset, and its bus can't be "
				 "reset because another device on it belongs to somebody else, or "
				 "the kernel lost the method in an update.",
			.shows = "\"Inappropriate ioctl for device\" on the reset file, \"Cannot "
				 "reset device ..., no available reset mechanism\", \"depends on "
				 "group N which is not owned\", \"not doing bus reset\".",
			.decides = "The file reset_method; whether a second start fails where the "
				   "first worked; whether the kernel was just updated.",
			.trap = "Proxmox prints its warning on good starts, too. \"TASK OK\" "
				"after it means that it was not the failure.",
			.fixes = reset_missing_fixes,
		},
	[FLR] =
		{
			.id = "flr-broken",
			.title = "The device does not come back from its reset",
			.severity = DOCTOR_ERROR,
			.hop = HOP_DEVICE,
			.confirm = flr_confirm,
			.judge = flr_judge,
			.swallows = flr_swallows,
			.cause = "The device advertises a reset that it does not survive. The "
				 "host waits for it, sometimes with its processors stuck.",
			.shows = "\"not ready 65535ms after FLR; giving up\", soft lockups, "
				 "configuration space that reads all ones afterwards.",
			.decides = "\"giving up\". A wait of some seconds that ends is normal.",
			.trap = "Blaming the VM that was just started, or the processor that got "
				"stuck.",
			.fixes = flr_fixes,
		},
	[STUCK_D3] =
		{
			.id = "stuck-d3",
			.title = "The device does not wake from its power-saving state",
			.severity = DOCTOR_ERROR,
			.hop = HOP_DEVICE,
			.confirm = stuck_confirm,
			.judge = stuck_judge,
			.swallows = stuck_swallows,
			.cause = "Between two owners the device was put to sleep (D3hot or "
				 "D3cold) and does not answer when it is woken.",
			.shows = "\"Unable to change power state from D3cold to D0\", \"stuck in "
				 "D3\", \"not ready ... after resume\"; then all ones.",
			.decides = "That line comes before all others.",
			.trap = "QEMU's assertion about an interrupt pin, or a reset that times "
				"out, are what follows from it.",
			.fixes = stuck_fixes,
		},
	[GUEST_RESET] =
		{
			.id = "guest-triggered-reset",
			.title = "The guest's driver resets the chip and loses the link",
			.severity = DOCTOR_ERROR,
			.hop = HOP_DEVICE,
			.confirm = guest_reset_confirm,
			.swallows = guest_reset_swallows,
			.cause = "On bare metal the driver restores the device's configuration "
				 "after its own reset. In a guest it only writes a copy, and "
				 "nobody restores the real one.",
			.shows = "In the guest \"link down error during global reset\", \"link "
				 "failed to recover\", offsets of 0xffffffff; on the host the "
				 "device appears again.",
			.decides = "The driver works once its global reset is left out.",
			.trap = "A bad slot or cable: on bare metal the same card keeps its link.",
			.fixes = guest_reset_fixes,
		},
	[GONE] =
		{
			.id = "device-gone",
			.title = "The device no longer answers",
			.severity = DOCTOR_ERROR,
			.hop = HOP_LINK,
			.confirm = gone_confirm,
			.judge = gone_judge,
			.swallows = gone_swallows,
			.cause = "Reads of its configuration give all ones. That is a state; what "
				 "came before it is the cause: a power change, a reset, the link, "
				 "a driver of the host that was torn away.",
			.shows = "\"Unknown PCI header type '127'\", lspci with \"rev ff\" and "
				 "\"!!! Unknown header type 7f\", QEMU's interrupt-pin assertion.",
			.decides = "The lines before it.",
			.trap = "Taking header type 127 for a kind of device that is not "
				"supported.",
			.fixes = gone_fixes,
		},
	[LINK] =
		{
			.id = "link-down-aer",
			.title = "The PCIe link is in trouble",
			.severity = DOCTOR_ERROR,
			.hop = HOP_LINK,
			.confirm = link_confirm,
			.judge = link_judge,
			.swallows = link_swallows,
			.cause = "Power, riser, slot, or power saving of the link. Packets are "
				 "lost until the link goes down.",
			.shows = "\"AER: Uncorrected (Fatal)\", CmpltTO, SDES, storms of BadTLP, "
				 "Rollover and Timeout, \"Link Down\", \"fallen off the bus\".",
			.decides = "The counters of lspci -vv (UESta, CESta) and whether they grow "
				   "on bare metal.",
			.trap = "\"can't recover (no error_detected callback)\" only says that "
				"the driver has no such function. The IOMMU is not involved.",
			.fixes = link_fixes,
		},
	[ATS] =
		{
			.id = "ats-invalidation-timeout",
			.title = "The device stopped answering the IOMMU's invalidations",
			.severity = DOCTOR_ERROR,
			.hop = HOP_DEVICE,
			.confirm = ats_confirm,
			.judge = ats_judge,
			.swallows = ats_swallows,
			.cause = "A device with ATS keeps translations of its own and must "
				 "confirm when one is withdrawn. One that was reset, sleeps or is "
				 "gone can't, and the IOMMU waits.",
			.shows = "\"IOTLB_INV_TIMEOUT\", \"Completion-Wait loop timed out\", "
				 "\"VT-d detected Invalidation Time-out Error\".",
			.decides = "What happened to the device just before: a reset, a power "
				   "change, the end of a VM.",
			.trap = "pci=noats silences it. The reset that fails is the cause.",
			.fixes = ats_fixes,
		},
	[OPTION_ROM] =
		{
			.id = "option-rom-hang",
			.title = "The guest's firmware hangs in the card's option ROM",
			.severity = DOCTOR_ERROR,
			.hop = HOP_GUEST,
			.confirm = rom_confirm,
			.swallows = rom_swallows,
			.cause = "SeaBIOS runs the ROM of the card, and the ROM waits for "
				 "hardware that it does not find in a guest.",
			.shows = "The guest's screen stays at SeaBIOS and a banner of the card, "
				 "\"Initializing...\".",
			.decides = "The guest boots with rombar=0.",
			.trap = "Looking for a fault of the disks or of VFIO.",
			.fixes = rom_fixes,
		},
};

const struct doctor_rules doctor_rules_reset = {rules, RULES};
