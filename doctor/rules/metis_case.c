/* SPDX-License-Identifier: MIT */
/*
 * What is known of a Metis card: lines of the host's log, of the application and of the driver, and
 * machines, each of which may be missing.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <tethys/hw/irq.h>
#include <tethys/hw/pci.h>

#include "doctor/rules/dma_rules.h"
#include "doctor/rules/metis_case.h"

#define MIB (1024ull * 1024)
#define GIB ((uint64_t)1 << 30)

/* Versions of the vendor's driver that were read; what lies between them is inference. */
#define CHECKS_LATE_LAST "1.4.4"
#define NO_CHECK "1.4.16"
#define CHECKS_FIRST "1.5.6"
/* Firmware that offers the host-driver area, by the report and the drivers. */
#define AREA_FIRST "1.6.0"

int metis_version_compare(const char *a, const char *b)
{
	for (int part = 0; part < 3; part++) {
		char *end_a, *end_b;
		unsigned long left = strtoul(a, &end_a, 10), right = strtoul(b, &end_b, 10);

		if (left != right)
			return left < right ? -1 : 1;
		if (*end_a != '.' || *end_b != '.')
			return 0;
		a = end_a + 1;
		b = end_b + 1;
	}
	return 0;
}

const char *metis_number_text(unsigned int number)
{
	static const char *const texts[] = {
		"DMA read channel 0",  "DMA read channel 1",  "DMA read channel 2",
		"DMA read channel 3",  "DMA write channel 0", "DMA write channel 1",
		"DMA write channel 2", "DMA write channel 3",
	};

	if (number < METIS_IRQ_DMA_READ(0) || number > METIS_IRQ_DMA_WRITE(3))
		return NULL;
	return texts[number - METIS_IRQ_DMA_READ(0)];
}

bool metis_message_index(uint64_t address, uint16_t data, unsigned int *ret_index)
{
	if (address >> 20 != METIS_MSI_WINDOW_BASE >> 20 || !(address & 0x10))
		return false;
	*ret_index = (unsigned int)((address >> 5) & 0x7fff) | (unsigned int)((address >> 2) & 1)
								       << 15;
	/* Bit 3: the data is to be added. */
	if (address & 8)
		*ret_index = (*ret_index + data) & 0xffff;
	return true;
}

bool metis_fits_index(uint64_t index)
{
	return index <= UINT16_MAX && metis_number_text(index % METIS_IRQ_NR) != NULL;
}

bool metis_fits_target(uint64_t address)
{
	return address && !(address % (2 * MIB));
}

static enum metis_waiting waiting_of(const char *version)
{
	if (!version)
		return WAITING_UNKNOWN;
	if (metis_version_compare(version, CHECKS_FIRST) >= 0)
		return WAITING_CHECKS;
	if (metis_version_compare(version, CHECKS_LATE_LAST) <= 0)
		return WAITING_CHECKS_LATE;
	return metis_version_compare(version, NO_CHECK) ? WAITING_MAYBE_NOT : WAITING_NO_CHECK;
}

/* The guest's card before any other: that is where the driver fails. */
static void find_user(struct metis_case *c)
{
	for (size_t i = 0; i < c->seen->machine_count; i++) {
		const struct machine *machine = &c->seen->machine[i];

		for (size_t j = 0; j < machine->metis_count; j++) {
			if (!machine->metis[j].driver || (c->user && machine != c->guest))
				continue;
			c->user = &machine->metis[j];
			c->user_machine = machine;
			break;
		}
	}
}

/* A log of unknown side that also has vfio at work on the device is the host's. */
static bool is_of_host(const struct metis_case *c, const struct doctor_fact *fact)
{
	const struct doctor_fact *opened = NULL;

	while (fact->side == DOCTOR_SIDE_UNKNOWN && fact->has_device &&
	       (opened = doctor_fact_next(c->seen->facts, DOCTOR_VFIO_OPENED, opened)))
		if (opened->log == fact->log && opened->has_device &&
		    bdf_equal(opened->device, fact->device))
			return true;
	return fact->side == DOCTOR_SIDE_HOST;
}

static bool says_ours(const struct doctor_fact *fact)
{
	return !strcmp(fact->driver, "tethys_metis") ||
	       (fact->text && strstr(fact->text, "tethys_metis"));
}

/* A wait for another interrupt than those of DMA: of a context, or of the device as a whole. */
static bool is_other_wait(const struct doctor_fact *fact)
{
	return !strcmp(fact->name, "MSI") || !strcmp(fact->name, "device");
}

/* Our runtime prints the same calls, but not from these files. */
static bool is_vendors_library(const struct doctor_fact *fact)
{
	return fact->text && (strstr(fact->text, "[libaxl") || strstr(fact->text, "[Axelera"));
}

/* A line of the application, of the driver, or of what somebody asked: versions and vectors. */
static void read_line(struct metis_case *c, const struct doctor_fact *fact)
{
	switch (fact->kind) {
	case DOCTOR_METIS_APP_TIMEOUT:
	case DOCTOR_METIS_APP_LOAD_FAILED:
		if (is_other_wait(fact))
			break;
		c->app_paths++;
		if (fact->kind == DOCTOR_METIS_APP_TIMEOUT && is_vendors_library(fact))
			c->library_paths++;
		if (!c->app)
			c->app = fact;
		break;
	case DOCTOR_METIS_DRIVER_TIMEOUT:
		if (!c->gave_up && !is_other_wait(fact))
			c->gave_up = fact;
		break;
	case DOCTOR_METIS_DRIVER_LOST_IRQ:
		if (!c->healed)
			c->healed = fact;
		break;
	case DOCTOR_METIS_FIRMWARE:
		if (*fact->name && !c->firmware)
			c->firmware = fact->name;
		break;
	case DOCTOR_METIS_DRIVER:
		if (*fact->name >= '0' && *fact->name <= '9' && !is_of_host(c, fact)) {
			c->version = fact->name;
			c->version_fact = fact;
		}
		break;
	case DOCTOR_METIS_VECTORS:
		if (fact->has_number && !is_of_host(c, fact)) {
			c->vectors = (unsigned int)fact->number;
			c->vectors_fact = fact;
		}
		break;
	default:
		return;
	}
	if (c->driver == DRIVER_UNKNOWN && !is_of_host(c, fact) && says_ours(fact))
		c->driver = DRIVER_OURS;
	c->known = true;
}

static void read_lines(struct metis_case *c)
{
	for (size_t i = 0; i < c->seen->facts->count; i++) {
		const struct doctor_fact *fact = &c->seen->facts->fact[i];

		if (!judge_is_past(c->seen, fact))
			read_line(c, fact);
	}
}

/* What a machine shows beats what lines say: lines may be older. */
static void read_user(struct metis_case *c)
{
	const struct machine_metis *user = c->user;
	char bdf[BDF_TEXT_BYTES];

	if (!user)
		return;
	c->known = true;
	c->driver = strcmp(user->driver, "metis") ? DRIVER_OURS : DRIVER_VENDORS;
	if (user->driver_version) {
		c->version = user->driver_version;
		c->version_source = "/sys/class/metis/version";
		c->version_fact = NULL;
	}
	if (user->vectors || user->single_msi == YES) {
		c->vectors = user->vectors ? user->vectors : 1;
		c->vectors_source = arena_printf(c->seen->arena, "/sys/bus/pci/devices/%s/msi_irqs",
						 bdf_text(user->device->bdf, bdf));
		c->vectors_fact = NULL;
	}
	if (user->firmware)
		c->firmware = user->firmware;
	c->host_area = user->host_driver_area;
	c->dma_poll = user->dma_poll;
}

/* The message's fault, not one of the IOMMU's own table (0x23, 0x24). */
static bool is_blocked_interrupt(const struct doctor_fact *fact)
{
	if (!fact->has_device || !interrupt_is_fault(fact))
		return false;
	return fact->kind != DOCTOR_VTD_IR_FAULT || (fact->reason != 0x23 && fact->reason != 0x24);
}

static bool is_unmapped_write(const struct doctor_fact *fact)
{
	if (!fact->has_device || !fact->has_address || interrupt_is_fault(fact))
		return false;
	if (fact->kind == DOCTOR_VTD_DMA_FAULT)
		return fact->has_write && fact->write && fact->has_reason &&
		       (fact->reason == 0x05 || fact->reason == 0x79 || fact->reason == 0x85);
	if (fact->kind == DOCTOR_AMD_PAGE_FAULT)
		return fact->has_reason && (fact->reason & 0x20);
	return fact->kind == DOCTOR_SMMU_FAULT && fact->has_write && fact->write;
}

static bool is_card(const struct machine *machine, struct bdf bdf)
{
	for (size_t i = 0; machine && i < machine->metis_count; i++)
		if (bdf_equal(machine->metis[i].device->bdf, bdf))
			return true;
	return false;
}

/* Requester 0xffff is nobody's: an emulated IOMMU writes it for messages without one. */
static bool is_anonymous(const struct metis_case *c, struct bdf bdf)
{
	return bdf_requester(bdf) == 0xffff && !(c->host && machine_find_device(c->host, bdf));
}

static void read_faults_of(struct metis_case *c, struct bdf device)
{
	bool all = true;

	c->irq = NULL;
	c->dma = NULL;
	c->irq_anonymous = false;
	for (size_t i = 0; i < c->seen->facts->count; i++) {
		const struct doctor_fact *fact = &c->seen->facts->fact[i];
		bool same;

		if (fact->side == DOCTOR_SIDE_GUEST || judge_is_past(c->seen, fact))
			continue;
		same = fact->has_device && bdf_equal(fact->device, device);
		/* One that fits a DMA channel says more than one that doesn't. */
		if (is_blocked_interrupt(fact) && (same || is_anonymous(c, fact->device)) &&
		    (!c->irq ||
		     (!metis_fits_index(c->irq->number) && metis_fits_index(fact->number)))) {
			c->irq = fact;
			c->irq_anonymous = !same;
		} else if (same && is_unmapped_write(fact)) {
			if (!c->dma && metis_fits_target(fact->address))
				c->dma = fact;
			all &= metis_fits_target(fact->address);
		}
	}
	c->dma_alone = c->dma && all;
}

/* Both lines of the case on one device: an index that fits by chance is one in four, an address
 * one in five hundred. */
static bool fits_pattern(const struct metis_case *c)
{
	return c->irq && c->dma && !c->irq_anonymous && c->irq->kind == DOCTOR_VTD_IR_FAULT &&
	       (c->irq->reason == 0x25 || (c->irq->has_number && metis_fits_index(c->irq->number)));
}

/* The host is known, and what it has at this address is something else. */
static bool is_other(const struct metis_case *c, struct bdf bdf)
{
	return c->host && machine_find_device(c->host, bdf) && !is_card(c->host, bdf);
}

static bool is_candidate(const struct metis_case *c, const struct doctor_fact *fact)
{
	if (fact->side == DOCTOR_SIDE_GUEST || judge_is_past(c->seen, fact))
		return false;
	if (!is_blocked_interrupt(fact) && !is_unmapped_write(fact))
		return false;
	return !is_anonymous(c, fact->device) && !is_other(c, fact->device);
}

/* The device on the host: one that is a Metis card there, else the one whose faults fit. */
static void find_device(struct metis_case *c)
{
	size_t candidates = 0;
	struct bdf only = {0};

	for (size_t i = 0; i < c->seen->facts->count; i++) {
		const struct doctor_fact *fact = &c->seen->facts->fact[i];

		if (!is_candidate(c, fact))
			continue;
		read_faults_of(c, fact->device);
		if (is_card(c->host, fact->device) || fits_pattern(c)) {
			c->likely = !c->known;
			c->has_device = true;
			c->device = fact->device;
			return;
		}
		if (!candidates || !bdf_equal(only, fact->device))
			candidates++;
		only = fact->device;
	}
	/* Application or driver name a Metis card, and one device only has faults. */
	c->has_device = c->known && candidates == 1;
	c->device = only;
	if (c->has_device) {
		read_faults_of(c, only);
	} else {
		c->irq = NULL;
		c->dma = NULL;
	}
}

/* No faults: the card that a guest has, else the one with the driver. */
static void find_quiet_device(struct metis_case *c)
{
	if (c->has_device)
		return;
	if (c->host && c->host->metis_count == 1) {
		c->has_device = true;
		c->device = c->host->metis[0].device->bdf;
		read_faults_of(c, c->device);
	} else if (c->user) {
		c->has_device = true;
		c->device = c->user->device->bdf;
		c->of_guest = c->user_machine == c->guest;
	}
}

static void set_remaps(struct metis_case *c, enum tristate is, const char *why, const char *source)
{
	if (c->guest_remaps != UNKNOWN)
		return;
	c->guest_remaps = is;
	c->guest_remaps_why = why;
	c->guest_remaps_source = source;
}

/* A message as the guest composed it: of its capability, or a line of lspci's. */
static void read_message(struct metis_case *c, uint64_t address, uint16_t data, const char *source)
{
	if (address >> 20 != METIS_MSI_WINDOW_BASE >> 20)
		return;
	c->handle_source = source;
	c->has_handle = metis_message_index(address & ~8ull, 0, &c->handle);
	if (!c->has_handle) {
		set_remaps(c, NO, "the guest's own message carries no handle", source);
		return;
	}
	/* With 32 vectors the drivers write the numbers themselves as data. */
	if (c->vectors == METIS_MSI_VECTORS)
		c->has_sent =
			metis_message_index(address, (uint16_t)METIS_IRQ_DMA_WRITE(0), &c->sent);
	else if (c->vectors == 1)
		c->has_sent = metis_message_index(address, data, &c->sent);
}

/* What the card would send by the guest's message: its registers say it, else its capability. */
static void find_message(struct metis_case *c)
{
	const struct machine_metis *user = c->user;
	const struct machine_msi *msi = user ? &user->device->msi : NULL;
	const struct doctor_fact *fact = NULL;

	if (user && c->user_machine == c->host)
		return;
	if (user && user->has_imwr) {
		c->has_sent = metis_message_index(user->imwr_address, user->imwr_data, &c->sent);
		c->has_handle = metis_message_index(user->imwr_address & ~8ull, 0, &c->handle);
		c->handle_source = "guest: dma-regs of debugfs";
	} else if (msi && msi->present && msi->enabled) {
		read_message(c, msi->address, msi->data, "guest: config space");
	}
	while (!c->handle_source &&
	       (fact = doctor_fact_next(c->seen->facts, DOCTOR_MSI_WORD, fact)))
		if (fact->side == DOCTOR_SIDE_GUEST && fact->has_address)
			read_message(c, fact->address, (uint16_t)fact->number,
				     "guest: lspci in the log");
}

static void find_remapping(struct metis_case *c)
{
	const struct machine_vm *vm = c->vm;

	if (c->has_handle)
		set_remaps(c, YES, "the guest's own message carries a handle", c->handle_source);
	if (c->guest && c->guest->intremap != UNKNOWN)
		set_remaps(c, c->guest->intremap,
			   c->guest->intremap == YES ? "the guest remaps interrupts"
						     : "the guest does not remap interrupts",
			   "guest: /proc/interrupts");
	if (vm && vm->viommu != VIOMMU_UNKNOWN) {
		bool iommu = vm->viommu == VIOMMU_INTEL || vm->viommu == VIOMMU_AMD;

		if (iommu && vm->intremap == YES)
			set_remaps(c, YES,
				   arena_printf(c->seen->arena,
						"VM %s has a virtual IOMMU that remaps interrupts",
						vm->name),
				   vm->source);
		else if (!iommu || vm->intremap == NO)
			set_remaps(c, NO,
				   arena_printf(c->seen->arena,
						"VM %s has no virtual IOMMU that remaps interrupts",
						vm->name),
				   vm->source);
	}
	if (c->vectors == METIS_MSI_VECTORS && (c->guest || c->vectors_fact))
		set_remaps(c, YES,
			   "the guest has 32 vectors, which x86 Linux only gives with "
			   "interrupt remapping",
			   c->vectors_source ? c->vectors_source : "log");
}

/* VFIO switches as many vectors on as the guest did. */
static void find_vectors_of_host(struct metis_case *c)
{
	const struct machine_device *device = c->in_host;

	if (c->vectors || !device || !device->driver || !device->msi.enabled ||
	    strncmp(device->driver, "vfio", 4) != 0)
		return;
	c->vectors = device->msi.vectors;
	c->vectors_source = "host: config space";
}

/* The driver takes its vectors in one go, so they are listed in the order of the card's numbers. */
static void count_interrupts(struct metis_case *c)
{
	const struct machine *machine = c->user_machine;
	unsigned int listed = 0;
	uint64_t count = 0;

	for (size_t i = 0; machine && i < machine->irq_count; i++) {
		const struct machine_irq *irq = &machine->irq[i];

		if (!irq->has_device || !bdf_equal(irq->device, c->user->device->bdf))
			continue;
		if (c->vectors == 1 || metis_number_text(listed))
			count += irq->count;
		listed++;
	}
	if (!listed || listed != c->vectors || (listed != 1 && listed != METIS_MSI_VECTORS))
		return;
	c->arrived = count;
	c->arrive = count ? YES : NO;
}

bool metis_case_find(const struct doctor_case *seen, struct metis_case *ret_case)
{
	struct metis_case c = {.seen = seen};

	c.host = judge_machine(seen, DOCTOR_SIDE_HOST);
	c.guest = judge_machine(seen, DOCTOR_SIDE_GUEST);
	find_user(&c);
	read_lines(&c);
	read_user(&c);
	count_interrupts(&c);
	c.known |= c.host && c.host->metis_count;
	find_device(&c);
	if (c.known)
		find_quiet_device(&c);
	if (!c.known && !c.likely)
		return false;
	if (!c.has_device)
		c.of_guest = c.guest && !c.host;
	if (c.host && c.has_device) {
		c.in_host = machine_find_device(c.host, c.device);
		c.vm = machine_find_vm(c.host, c.device);
	}
	find_vectors_of_host(&c);
	find_message(&c);
	find_remapping(&c);
	c.waiting = waiting_of(c.version);
	if (c.host_area == UNKNOWN && c.firmware)
		c.host_area = metis_version_compare(c.firmware, AREA_FIRST) >= 0 ? YES : UNKNOWN;
	*ret_case = c;
	return true;
}

/*
 * What helps, in the order in which to try it. A fix that only a later version of this project
 * brings (a driver of the host's that translates the message, a mediated card) is one more row,
 * once it is there and a scenario shows it.
 */
static const struct metis_fix {
	unsigned int cures;
	enum doctor_where where;
	const char *text, *commands;
	const char *proved[3]; /* by cause, NULL where it doesn't cure */
} fixes[] = {
	{METIS_CAUSE_CHECK | METIS_CAUSE_MESSAGE,
	 FOR_GUEST,
	 "In the guest, use the vendor's driver 1.5.6 or newer, and firmware that sets dma_vm (ask the "
	 "vendor which does). The driver looks again which transfer is done; the firmware sends the "
	 "DMA interrupts through the MSI capability, which VFIO translates, and the driver then leaves "
	 "the eDMA's messages alone.",
	 "sudo apt update && sudo apt install --only-upgrade metis-dkms\n"
	 "modinfo metis | grep ^version\n"
	 "sudo modprobe -r metis && sudo modprobe metis",
	 {"by experiment with the vendor's drivers: one vector, 1.6.2, 8 of 8 transfers (1.4.16: 0 of 8)",
	  "in the lab: scenario cure-dma-vm (firmware that sets dma_vm, with our driver in the place of "
	  "the vendor's)",
	  NULL}},
	{METIS_CAUSE_CHECK | METIS_CAUSE_MESSAGE,
	 FOR_GUEST,
	 "In the guest, let the vendor's driver poll. No DMA transfer then asks for an interrupt. It "
	 "costs processor time, and other interrupts of the card stay as they are.",
	 "echo 1 | sudo tee /sys/module/metis/parameters/dma_poll\n"
	 "echo 'options metis dma_poll=1' | sudo tee /etc/modprobe.d/metis.conf",
	 {"by experiment with the vendor's drivers: one vector, 1.4.16, 8 of 8 transfers, also when set "
	  "at run time",
	  "in the lab: scenario cure-polling (with our driver in the place of the vendor's)",
	  NULL}},
	{METIS_CAUSE_CHECK | METIS_CAUSE_MESSAGE,
	 FOR_GUEST,
	 "In the guest, use this project's driver tethys_metis instead of the vendor's: a lost interrupt "
	 "costs it 50 ms once, then it polls. In the project's folder, in the guest:",
	 "sudo apt install dkms linux-headers-$(uname -r)\n"
	 "sudo scripts/dkms-tree /usr/src   # prints tethys-metis-VERSION\n"
	 "sudo dkms install tethys-metis/VERSION\n"
	 "sudo modprobe -r metis; sudo modprobe tethys_metis",
	 {"in the lab: scenario cause-no-check, its last step",
	  "in the lab: scenario forum-1346-healed", NULL}},
	{METIS_CAUSE_TARGET,
	 FOR_ANY,
	 "On the host, keep the host's driver away from the card from the start, and take its power once. "
	 "A reset, or unloading the driver, does not clear what the card keeps.",
	 "printf '%s\\n' 'options vfio-pci ids={ids}' 'softdep metis pre: vfio-pci' | sudo tee "
	 "/etc/modprobe.d/vfio-metis.conf\n"
	 "sudo update-initramfs -u -k all\n"
	 "sudo poweroff   # then switch it on again",
	 {NULL, NULL,
	  "in the lab: scenario cause-raw-msi-viommu (no host driver ever had the card: no such fault)"}},
};

/* The report's six attempts, in its order. */
static const struct {
	const char *what, *why;
} attempts[] = {
	{"allow_unsafe_interrupts=1",
	 "It lets VFIO assign devices on hosts that cannot remap interrupts. It does not change what the "
	 "card was told to send (in the lab: scenario unsafe-interrupts)."},
	{"-mem-prealloc",
	 "VFIO pins and maps all memory of the guest anyway, so it was there all along. An address "
	 "that is not mapped is none of it (in the lab: scenario mem-prealloc)."},
	{"2 MB hugepages with NUMA",
	 "Larger pages make the same guest addresses reachable, and no others (in the lab: scenario "
	 "hugepages-numa)."},
	{"-machine q35,kernel-irqchip=split",
	 "It moves the guest's interrupt controller into QEMU. The host's IOMMU judges the card's message "
	 "before either sees it (in the lab: scenario irqchip-split)."},
	{"unloading the host's driver before the VM starts",
	 "The driver is gone, but neither it nor VFIO clears the messages and addresses that it wrote "
	 "into the card (in the lab: scenario host-driver-unloaded)."},
	{"mem=3G on the guest's kernel command line",
	 "It moves the guest's own buffers. What the host's driver left in the card does not move, and a "
	 "message is not memory (in the lab: scenario mem3g)."},
};

void metis_add_fixes(struct doctor_judge *judge, struct doctor_finding *finding, unsigned int cause)
{
	unsigned int at = cause == METIS_CAUSE_CHECK ? 0 : cause == METIS_CAUSE_MESSAGE ? 1 : 2;

	judge_clear_fixes(finding);
	for (size_t i = 0; i < sizeof(fixes) / sizeof(*fixes); i++) {
		struct doctor_fix fix = {.where = fixes[i].where,
					 .text = fixes[i].text,
					 .commands = fixes[i].commands,
					 .proved = fixes[i].proved[at]};

		if (fixes[i].cures & cause)
			judge_fix(judge, finding, &fix);
	}
}

/* For a message that may be the host's: that, too, goes only with the card's power. */
void metis_add_stale_fix(struct doctor_judge *judge, struct doctor_finding *finding)
{
	for (size_t i = 0; i < sizeof(fixes) / sizeof(*fixes); i++)
		if (fixes[i].cures & METIS_CAUSE_TARGET)
			judge_fix(judge, finding,
				  &(struct doctor_fix){.where = fixes[i].where,
						       .text = fixes[i].text,
						       .commands = fixes[i].commands,
						       .proved = ""});
}

/* In the place of a sentence that a general rule said of the same attempt. */
void metis_add_attempts(struct doctor_judge *judge, struct doctor_finding *finding)
{
	for (size_t i = 0; i < sizeof(attempts) / sizeof(*attempts); i++) {
		bool told = false;

		for (size_t j = 0; j < finding->ruled_out_count; j++)
			if (!strcmp(finding->ruled_out[j].what, attempts[i].what)) {
				finding->ruled_out[j].why = attempts[i].why;
				told = true;
			}
		if (!told)
			judge_rule_out(judge, finding, attempts[i].what, "%s", attempts[i].why);
	}
}

/* Observations. */

void metis_ask_count(struct doctor_judge *judge, struct doctor_finding *finding)
{
	judge_next(
		judge, finding,
		"Does the guest's interrupt count for the card rise during the call that fails? In the "
		"guest:",
		"grep -iE 'metis|axl|msi' /proc/interrupts   # before and after the call",
		"It rises: the interrupts arrive, and the driver does not look which transfer is done "
		"(metis-no-completion-check). It stays: they are blocked on the host (raw-msi-in-bar).");
}

void metis_ask_viommu(struct doctor_judge *judge, struct doctor_finding *finding,
		      const struct metis_case *c)
{
	if (c->guest_remaps != UNKNOWN)
		return;
	judge_next(
		judge, finding,
		"Has the guest a virtual IOMMU that remaps interrupts? On the host:",
		"qm config {vmid} | grep -E '^(machine|args)'   # Proxmox\n"
		"virsh dumpxml DOMAIN | grep -A3 '<iommu'   # libvirt",
		"viommu=intel, or intel-iommu with intremap=on: the handle is the guest's own "
		"(raw-msi-in-bar), and the guest has 32 vectors, which excludes "
		"metis-no-completion-check. Nothing of that: a message with a handle is a stale one of "
		"the host's driver, and the guest has one vector.");
}

void metis_ask_version(struct doctor_judge *judge, struct doctor_finding *finding,
		       const struct metis_case *c)
{
	if (!c->version && c->driver != DRIVER_OURS)
		judge_next(
			judge, finding, "Which version has the guest's driver? In the guest:",
			"modinfo metis | grep ^version\ncat /sys/class/metis/version",
			"1.4.16: it does not look which transfer is done when it has one vector "
			"(metis-no-completion-check). 1.5.6 or newer, or 1.4.4: that cause is excluded.");
	if (!c->vectors)
		judge_next(
			judge, finding, "How many vectors has the card in the guest? In the guest:",
			"for d in /sys/bus/pci/drivers/axl/*:*; do ls $d/msi_irqs | wc -l; done",
			"1: metis-no-completion-check is possible. 32: it is excluded, and interrupts get "
			"lost (raw-msi-in-bar).");
}

void metis_ask_memory(struct doctor_judge *judge, struct doctor_finding *finding,
		      const struct metis_case *c)
{
	uint64_t address = c->dma->address, q35, i440fx;
	struct arena *arena = c->seen->arena;

	if ((c->vm && machine_vm_ram(c->vm, address) != UNKNOWN) || address < 4 * GIB)
		return;
	/* From 4 GiB on there is what doesn't fit below: all but 2 GiB on q35, 3 GiB on i440fx. */
	q35 = address - 2 * GIB;
	i440fx = address - GIB;
	judge_next(
		judge, finding, "How much memory has the VM, and is its machine type q35?",
		"qm config {vmid} | grep -E '^(memory|machine)'",
		arena_printf(
			arena,
			"0x%" PRIx64 " is guest memory only beyond %" PRIu64 ".%02" PRIu64
			" GiB on q35 (%" PRIu64 ".%02" PRIu64
			" GiB on i440fx). With less, it is from before the guest. With more, VFIO "
			"maps it, and the fault means that the VM was not running at that moment "
			"or that its own IOMMU had not mapped it.",
			address, q35 / GIB, q35 % GIB * 100 / GIB, i440fx / GIB,
			i440fx % GIB * 100 / GIB));
}
