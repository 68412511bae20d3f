/* SPDX-License-Identifier: MIT */
/*
 * A Metis card in a guest: three causes that overlap, and curing one alone is not enough.
 *
 *  1. The driver does not look which transfer is done (metis-no-completion-check).
 *  2. The eDMA sends the guest's own interrupt message, or one that the host's driver left there
 *     (raw-msi-in-bar, irte-not-present).
 *  3. The firmware writes to a buffer of the host's driver (stale-dma-no-reset).
 *
 * Causes 2 and 3 are findings of the general rules, which judged before; here they get what only
 * the card's registers, versions and experiments tell.
 */
#include <inttypes.h>
#include <string.h>

#include <tethys/hw/irq.h>

#include "doctor/rules/judge.h"
#include "doctor/rules/metis_case.h"

#define GIB ((uint64_t)1 << 30)

/* Cause 1. */

/*
 * The application's lines as the vendor's library prints them, one below the other: then it is most
 * likely the vendor's driver whose DMA calls time out, on every way that the library tries. Short
 * of something that excludes it, that is this cause.
 */
#define LIBRARY_PATHS 3u

static bool all_ways_time_out(const struct metis_case *c)
{
	return c->library_paths >= LIBRARY_PATHS && c->driver != DRIVER_OURS;
}

static unsigned int percent_of_no_check(const struct metis_case *c)
{
	bool failed = c->app || c->gave_up;

	if (c->dma_poll == YES || c->host_area == NO || c->vectors > 1)
		return 0;
	if (c->driver == DRIVER_OURS)
		return c->user && c->user->check_done == NO && c->user->healing == NO &&
				       c->vectors == 1
			       ? 97
			       : 0;
	if (c->waiting == WAITING_CHECKS || c->waiting == WAITING_CHECKS_LATE)
		return 0;
	if (!c->vectors && c->guest_remaps == YES)
		return failed ? 15 : 0;
	if (c->waiting == WAITING_UNKNOWN) {
		if (!failed)
			return 0;
		if (all_ways_time_out(c))
			return c->vectors == 1 || c->guest_remaps == NO ? 95 : 92;
		if (c->vectors == 1 || c->guest_remaps == NO)
			return 85;
		return c->app_paths > 2 ? 75 : 65;
	}
	if (c->vectors == 1 && c->waiting == WAITING_NO_CHECK)
		return c->host_area == YES || all_ways_time_out(c) ? 99 : failed ? 97 : 90;
	if (all_ways_time_out(c) && c->waiting == WAITING_NO_CHECK)
		return c->guest_remaps == NO ? 97 : 94;
	if (all_ways_time_out(c))
		return c->vectors == 1 || c->guest_remaps == NO ? 95 : 92;
	if (c->vectors == 1)
		return failed ? 88 : 70;
	if (c->guest_remaps == NO && c->guest)
		return failed ? 93 : 80;
	if (c->guest_remaps == NO)
		return failed ? 93 : 0;
	return failed ? 80 : 0;
}

static void say_version(struct doctor_judge *judge, struct doctor_finding *finding,
			const struct metis_case *c)
{
	if (c->version_fact)
		judge_evidence(judge, finding, c->version_fact);
	else if (c->version)
		judge_state(judge, finding, c->version_source, "The driver's version is %s.",
			    c->version);
	if (c->vectors_fact)
		judge_evidence(judge, finding, c->vectors_fact);
	else if (c->vectors)
		judge_state(judge, finding, c->vectors_source, "The card has %u vector%s.",
			    c->vectors, c->vectors == 1 ? "" : "s");
	if (c->user && c->user->host_driver_area == YES)
		judge_state(judge, finding, "debugfs: info",
			    "The firmware offers the host-driver area.");
	else if (c->host_area == YES)
		judge_why(judge, finding,
			  "Firmware %s offers the host-driver area, as 1.6.0 and later do.",
			  c->firmware);
	if (c->waiting == WAITING_NO_CHECK)
		judge_why(
			judge, finding,
			"Driver 1.4.16 with one vector and the host-driver area installs no check for "
			"interrupts 4 to 11, those of DMA, and looks at no channel when time is over. Every "
			"DMA call ends in a time-out, even when every interrupt arrives.");
	else if (c->driver == DRIVER_OURS)
		judge_why(judge, finding,
			  "tethys_metis was told to do as the vendor's 1.4.16 "
			  "(check_done=0, healing=0): with one vector it does not look which "
			  "transfer is done.");
	else if (c->waiting == WAITING_MAYBE_NOT)
		judge_why(
			judge, finding,
			"Driver %s lies between 1.4.4, which looks which transfer is done, and 1.5.6, "
			"which does so again. 1.4.16 does not; of the others between it is likely.",
			c->version);
	else
		judge_why(
			judge, finding,
			"Some versions of the vendor's driver (1.4.16; before 1.5.6) do not look which "
			"transfer is done when they have one vector, which a guest without interrupt "
			"remapping gives them. Every DMA call then ends in a time-out.");
}

static void say_arrivals(struct doctor_judge *judge, struct doctor_finding *finding,
			 const struct metis_case *c)
{
	if (c->arrive == NO)
		judge_state(judge, finding, "/proc/interrupts",
			    "None of the card's DMA interrupts has ever arrived.");
	else if (c->arrive == YES)
		judge_state(judge, finding, "/proc/interrupts",
			    "%" PRIu64 " interrupts of the card have arrived%s.", c->arrived,
			    c->vectors == 1 ? ", all on one vector" : " for DMA");
}

/* What is told as certain says what would show that it is wrong. */
static void say_exclusions(struct doctor_judge *judge, struct doctor_finding *finding,
			   const struct metis_case *c)
{
	judge_why(
		judge, finding,
		"The application's lines are those of the vendor's library: DMA calls time out on "
		"every way to the card that it tried, as they do with such a driver and one vector.");
	if (c->vectors == 1 && c->waiting == WAITING_NO_CHECK)
		return;
	judge_why(judge, finding, "What would exclude it:%s%s%s dma_poll=1 in the driver.",
		  c->waiting == WAITING_NO_CHECK
			  ? ""
			  : " version 1.5.6 or newer of the guest's driver (or 1.4.4 or older);",
		  c->vectors ? "" : " 32 vectors for the card in the guest;",
		  c->guest_remaps != UNKNOWN || c->vectors
			  ? ""
			  : " a virtual IOMMU that remaps the guest's interrupts;");
}

static struct doctor_finding *judge_no_check(struct doctor_judge *judge,
					     const struct doctor_rule *rule,
					     const struct metis_case *c)
{
	unsigned int percent = percent_of_no_check(c);
	struct doctor_finding *finding;
	const struct doctor_fact *fact = NULL;

	if (!percent)
		return NULL;
	finding =
		judge_add_of(judge, rule, c->of_guest, c->has_device ? &c->device : NULL, percent);
	judge_set(finding, percent);
	while ((fact = doctor_fact_next(c->seen->facts, DOCTOR_METIS_APP_TIMEOUT, fact)))
		judge_evidence(judge, finding, fact);
	while ((fact = doctor_fact_next(c->seen->facts, DOCTOR_METIS_APP_LOAD_FAILED, fact)))
		judge_evidence(judge, finding, fact);
	if (c->gave_up)
		judge_evidence(judge, finding, c->gave_up);
	say_version(judge, finding, c);
	if (c->vectors == 1)
		say_arrivals(judge, finding, c);
	if (c->app && percent >= 90 && all_ways_time_out(c))
		say_exclusions(judge, finding, c);
	else if (c->app)
		judge_why(
			judge, finding,
			"The application's lines say that DMA calls timed out. They cannot tell whether "
			"the interrupt was lost or arrived and nobody looked.");
	if (c->guest_remaps == NO && !c->vectors)
		judge_why(judge, finding, "%s: Linux then gives the card one vector.",
			  c->guest_remaps_why);
	if (c->guest_remaps == YES && !c->vectors)
		judge_why(judge, finding, "Against it: %s, so the card should have 32 vectors.",
			  c->guest_remaps_why);
	if (c->irq)
		judge_why(judge, finding,
			  "Fix this first: while it is there, curing the interrupts on the "
			  "host changes nothing. Then see the other findings.");
	if (percent < 95) {
		metis_ask_version(judge, finding, c);
		metis_ask_count(judge, finding);
		metis_ask_viommu(judge, finding, c);
	}
	if (c->driver == DRIVER_OURS) {
		judge_clear_fixes(finding);
		judge_fix(judge, finding,
			  &(struct doctor_fix){
				  .where = FOR_GUEST,
				  .text = "Let the driver look again.",
				  .commands = "echo Y | sudo tee "
					      "/sys/module/tethys_metis/parameters/check_done\n"
					      "echo 2 | sudo tee "
					      "/sys/module/tethys_metis/parameters/healing",
				  .proved = "in the lab: scenario cause-no-check, its last step"});
	} else {
		metis_add_fixes(judge, finding, METIS_CAUSE_CHECK);
	}
	return finding;
}

/* Cause 2. */

static bool fits_message(const struct metis_case *c)
{
	unsigned int block = c->handle & ~(METIS_IRQ_NR - 1);
	uint64_t index = c->irq->number;

	if (c->has_sent && index == c->sent)
		return true;
	return c->has_handle && metis_fits_index(index) && c->vectors != 1 &&
	       (index & ~(uint64_t)(METIS_IRQ_NR - 1)) == block;
}

static unsigned int percent_of_raw(const struct metis_case *c)
{
	bool fits = c->irq->has_number && metis_fits_index(c->irq->number);

	/* AMD's form has no index, and no format either. */
	if (c->irq->kind != DOCTOR_VTD_IR_FAULT)
		return c->known ? 70 : 0;
	if (c->irq->reason == 0x25)
		return c->known ? 93 : 75;
	if (c->has_handle || c->has_sent)
		return fits_message(c) ? 98 : 25;
	switch (c->guest_remaps) {
	case YES:
		return fits ? 94 : 85;
	case NO:
		return 12;
	default:
		/* Below cause 1 while nothing but time-outs speaks for that. */
		return !c->known ? 66 : fits ? 72 : 62;
	}
}

static void say_index(struct doctor_judge *judge, struct doctor_finding *finding,
		      const struct metis_case *c)
{
	uint64_t index = c->irq->number;
	unsigned int number = (unsigned int)(index % METIS_IRQ_NR);

	if (c->irq->kind != DOCTOR_VTD_IR_FAULT || !c->irq->has_number)
		return;
	if (c->irq->reason == 0x25) {
		judge_why(
			judge, finding,
			"Reason 0x25: a message without a handle, as a guest without interrupt remapping "
			"composes it. The vendor's drivers write the guest's message into the eDMA's IMWr "
			"registers in BAR0, where VFIO does not translate it.");
		return;
	}
	judge_why(
		judge, finding,
		"What the interrupt line proves: the card sent a message in remappable format, with a "
		"handle, and the host has no live entry for it. A guest without interrupt remapping "
		"would have caused reason 0x25.%s",
		c->guest_remaps != UNKNOWN
			? ""
			: " So it is the guest's own handle (a guest with an IOMMU that remaps interrupts), "
			  "or a stale message of the host's driver. The line alone cannot tell which.");
	if (metis_number_text(number))
		judge_why(judge, finding,
			  "Index 0x%" PRIx64 " = 0x%" PRIx64
			  " + %u: a block of 32 vectors, and Metis' interrupt %u, %s.",
			  index, index - number, number, number, metis_number_text(number));
	if (index == 0x28)
		judge_why(
			judge, finding,
			"0x28 is the very index that the vendor's drivers make a card send in a small VM "
			"with intel-iommu,intremap=on (measured). A busy host would have given a higher "
			"block: that speaks for the guest's handle.");
}

static void say_likely(struct doctor_judge *judge, struct doctor_finding *finding,
		       const struct metis_case *c)
{
	char bdf[BDF_TEXT_BYTES];

	if (c->known)
		return;
	judge_why(
		judge, finding,
		"The lines do not name the card. The number of a Metis DMA channel in the index, and a "
		"write to a multiple of %s by the same device, are the pattern of a Metis card (about "
		"80 %% sure; lspci -nn -s %s tells).",
		c->dma->address % (4ull << 20) ? "2 MiB" : "4 MiB", bdf_text(c->device, bdf));
	judge_next(
		judge, finding, "Is the device a Metis card?", "lspci -nn -s {device}",
		"1f9d:1100 or 1f9d:11aa: yes, and what is said here holds. Anything else: take the "
		"general meaning of this finding, and not the fixes for Metis.");
}

static bool has_source(const struct doctor_finding *finding, const char *source)
{
	for (size_t i = 0; i < finding->evidence_count; i++)
		if (!strcmp(finding->evidence[i].source, source))
			return true;
	return false;
}

static void say_message(struct doctor_judge *judge, struct doctor_finding *finding,
			const struct metis_case *c)
{
	if (c->has_sent && c->irq->has_number && c->irq->number == c->sent)
		judge_state(
			judge, finding, c->handle_source,
			"By the guest's message the card sends index 0x%x for DMA write channel 0: the "
			"one that the host blocked.",
			c->sent);
	else if (c->has_handle && c->irq->has_number)
		judge_state(
			judge, finding, c->handle_source,
			"The guest's message has handle 0x%x, so DMA interrupts come as 0x%x to 0x%x. "
			"The host blocked 0x%" PRIx64 ".",
			c->handle, c->handle + METIS_IRQ_DMA_READ(0),
			c->handle + METIS_IRQ_DMA_WRITE(3), c->irq->number);
	if (c->guest_remaps != UNKNOWN && !c->has_handle &&
	    !has_source(finding, c->guest_remaps_source))
		judge_state(judge, finding, c->guest_remaps_source, "%s.", c->guest_remaps_why);
	if (c->irq_anonymous)
		judge_why(judge, finding,
			  "The line names requester ff:1f.7, which is nobody: an emulated "
			  "IOMMU (QEMU's) is not told who wrote the message. Real hardware "
			  "names the card.");
}

/* One finding of the host becomes another, with all its lines. */
static struct doctor_finding *turn_into(struct doctor_judge *judge, const char *from,
					const struct bdf *from_device, const char *to,
					const struct bdf *device, unsigned int percent)
{
	const struct doctor_rule *rule = doctor_rule_find(to);
	struct doctor_finding *old = judge_find_of(judge, from, false, from_device), *finding;

	if (!rule)
		return NULL;
	finding = judge_add_of(judge, rule, false, device, percent);
	judge_set(finding, percent);
	if (old && old != finding) {
		judge_take_evidence(judge, finding, old);
		judge_drop(judge, old);
	}
	return finding;
}

static struct doctor_finding *one_of(struct doctor_judge *judge, const struct metis_case *c,
				     const char *id, unsigned int percent)
{
	static const char *const others[] = {"irte-not-present", "raw-msi-in-bar",
					     "irte-sid-mismatch", "compat-msi-blocked",
					     "requester-alias"};
	const struct bdf *from = c->irq_anonymous ? &c->irq->device : &c->device;
	struct doctor_finding *finding = NULL;

	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++)
		if (c->irq_anonymous || i + 1 < sizeof(others) / sizeof(*others))
			finding = turn_into(judge, others[i], from, id, &c->device, percent);
	return finding;
}

static struct doctor_finding *judge_message(struct doctor_judge *judge, const struct metis_case *c)
{
	unsigned int percent;
	struct doctor_finding *finding;
	bool stale;

	if (!c->irq)
		return NULL;
	percent = percent_of_raw(c);
	if (!percent)
		return NULL;
	stale = percent < 30;
	finding = one_of(judge, c, stale ? "irte-not-present" : "raw-msi-in-bar",
			 stale ? 82 : percent);
	if (!finding)
		return NULL;
	judge_evidence(judge, finding, c->irq);
	if (stale)
		judge_title(judge, finding,
			    "The card's DMA engine sends an interrupt message that the "
			    "host's driver left in it");
	else if (percent >= 85)
		judge_title(judge, finding,
			    "The card's DMA engine sends the guest's own interrupt message");
	else
		judge_title(
			judge, finding,
			"The card's DMA engine sends an interrupt message that the host has no entry "
			"for, most likely the guest's own");
	say_index(judge, finding, c);
	say_message(judge, finding, c);
	if (stale)
		judge_why(
			judge, finding,
			"The guest's driver did not write it, so it is stale: the host's driver wrote it "
			"into BAR0 (IMWr), and unloading it clears nothing there.");
	/* The general rule's questions are asked here more exactly. */
	finding->next = NULL;
	finding->next_count = 0;
	say_likely(judge, finding, c);
	if (percent < 90)
		metis_ask_count(judge, finding);
	metis_ask_viommu(judge, finding, c);
	metis_add_fixes(judge, finding, METIS_CAUSE_MESSAGE);
	if (stale || percent < 90)
		metis_add_stale_fix(judge, finding);
	return finding;
}

/*
 * How sure it is that interrupts get lost where only the guest was looked at. One vector serves the
 * firmware's interrupts as well; our driver says which way it waits, and its time-outs may be from
 * before it was told to look.
 */
static unsigned int percent_of_silence(const struct metis_case *c)
{
	if (c->arrive != YES)
		return c->arrive == NO ? 78 : 70;
	return c->vectors == 1 && c->driver != DRIVER_OURS ? 45 : 0;
}

/* The driver in the guest says itself that interrupts get lost; the host wasn't looked at. */
static struct doctor_finding *judge_silence(struct doctor_judge *judge, const struct metis_case *c,
					    unsigned int no_check)
{
	const struct doctor_rule *rule = doctor_rule_find("raw-msi-in-bar");
	struct doctor_finding *finding;
	bool healing = c->user && c->user->healing == YES;
	unsigned int percent = percent_of_silence(c);

	/* On a machine of its own no message needs a translation that is missing. */
	if (c->user && c->user_machine != c->guest)
		return NULL;
	if (!percent || c->irq || c->dma_poll == YES || no_check >= 50 || healing || !rule ||
	    (!c->app && !c->gave_up))
		return NULL;
	finding =
		judge_add_of(judge, rule, c->of_guest, c->has_device ? &c->device : NULL, percent);
	judge_set(finding, percent);
	judge_title(judge, finding, "The card's DMA interrupts do not reach the guest");
	judge_evidence(judge, finding, c->gave_up ? c->gave_up : c->app);
	say_arrivals(judge, finding, c);
	judge_why(
		judge, finding,
		"DMA calls time out, and the driver's lack of a check does not explain it%s. What is left "
		"is that the interrupts get lost: the card's DMA engine sends the guest's message, which "
		"means nothing on the host.",
		c->version ? arena_printf(c->seen->arena, " (driver %s, %u vectors)", c->version,
					  c->vectors)
			   : "");
	judge_next(
		judge, finding, "What does the host's kernel log say of the card?",
		"journalctl -k | grep -E 'DMAR|AMD-Vi'   # on the host",
		"[INTR-REMAP] with the card's address: this is it. Nothing at all: the card sent no "
		"message, look at its firmware.");
	metis_ask_count(judge, finding);
	metis_add_fixes(judge, finding, METIS_CAUSE_MESSAGE);
	return finding;
}

/* Cause 3. */

static unsigned int percent_of_target(const struct metis_case *c, enum tristate guest_ram)
{
	const struct machine_iomem *iomem =
		c->host ? machine_iomem_at(c->host, c->dma->address) : NULL;

	switch (guest_ram) {
	case YES:
		return 35;
	case NO:
		return iomem && !strcmp(iomem->name, "System RAM") ? 92 : 85;
	default:
		return (c->dma->address % (4ull << 20)) ? 50 : 58;
	}
}

static void correct_reading(struct doctor_judge *judge, struct doctor_finding *finding)
{
	judge_rule_out(
		judge, finding, "the page is mapped read-only",
		"An entry without write permission need not exist: VT-d's second-level entries have "
		"no present bit, so an address that is not mapped at all reads as \"PTE Write access "
		"is not set\", too.");
}

static void say_target(struct doctor_judge *judge, struct doctor_finding *finding,
		       const struct metis_case *c, enum tristate guest_ram)
{
	judge_why(
		judge, finding,
		"What the DMA line proves: the card wrote to an address for which its IOMMU domain has no "
		"mapping that allows it. It does not say who gave the card this address.");
	judge_why(
		judge, finding,
		"0x%" PRIx64
		" is a multiple of %s, as is the buffer whose address a Metis driver gives "
		"the firmware for its flags (virtual MSIs). The firmware goes on writing to the one that "
		"the host's driver named.",
		c->dma->address, c->dma->address % (4ull << 20) ? "2 MiB" : "4 MiB");
	if (guest_ram == YES)
		judge_why(
			judge, finding,
			"But the address is in the memory of VM %s, all of which VFIO maps while it runs. "
			"Unless the VM was not running then, or its own IOMMU translates for the card, this "
			"is not the cause.",
			c->vm->name);
	else if (guest_ram == NO)
		judge_why(judge, finding,
			  "VM %s has no memory there, so the guest's driver cannot have named it.",
			  c->vm->name);
	judge_why(judge, finding,
		  "In the lab this fault alone broke nothing (scenario "
		  "cause-stale-target): with working DMA interrupts nobody needs these flags. "
		  "Cure the other causes first.");
	if (c->dma->kind == DOCTOR_VTD_DMA_FAULT)
		correct_reading(judge, finding);
}

/* What general rules said of the same writes, and less surely. Others of the card remain. */
static void replace_general(struct doctor_judge *judge, struct doctor_finding *finding,
			    const struct metis_case *c)
{
	static const char *const ids[] = {"dma-unmapped-write", "viommu-remap"};

	for (size_t i = 0; i < sizeof(ids) / sizeof(*ids); i++) {
		struct doctor_finding *general = judge_find_of(judge, ids[i], false, &c->device);

		if (!general || !c->dma_alone || general->confidence > finding->confidence)
			continue;
		judge_take_evidence(judge, finding, general);
		judge_drop(judge, general);
		if (i && c->dma->address >= 4 * GIB)
			judge_rule_out(
				judge, finding, ids[i],
				"A guest's kernel hands out addresses from 4 GiB downwards, and "
				"this one is above and no memory of the guest.");
	}
}

/*
 * No buffer was ever there: no VM has memory at all, the host has none at the address, and what a
 * host that translates hands out lies below 4 GiB.
 */
static bool is_no_buffer(const struct metis_case *c)
{
	const struct machine *host = c->host;
	const struct machine_iomem *iomem;

	if (!host || c->vm || c->guest || host->vm_count || host->iomem_hidden ||
	    !host->iomem_count || c->dma->address < 4 * GIB)
		return false;
	iomem = machine_iomem_at(host, c->dma->address);
	return !iomem || strcmp(iomem->name, "System RAM") != 0;
}

static struct doctor_finding *judge_target(struct doctor_judge *judge, const struct metis_case *c)
{
	struct doctor_finding *finding;
	enum tristate guest_ram = UNKNOWN;
	const struct doctor_rule *rule = doctor_rule_find("stale-dma-no-reset");
	unsigned int percent;

	if (!c->dma || !rule || is_no_buffer(c))
		return NULL;
	if (c->vm)
		guest_ram = machine_vm_ram(c->vm, c->dma->address);
	percent = percent_of_target(c, guest_ram);
	finding = judge_add_of(judge, rule, false, &c->device, percent);
	judge_set(finding, percent);
	if (guest_ram != YES)
		replace_general(judge, finding, c);
	judge_evidence(judge, finding, c->dma);
	say_target(judge, finding, c, guest_ram);
	say_likely(judge, finding, c);
	metis_ask_memory(judge, finding, c);
	metis_add_fixes(judge, finding, METIS_CAUSE_TARGET);
	return finding;
}

/* All together. */

static bool heals(const struct metis_case *c)
{
	return c->user && c->driver == DRIVER_OURS && c->user->healing == YES &&
	       !c->user->transfers_timed_out;
}

static void judge_case_of_metis(struct doctor_judge *judge, const struct doctor_rule *rule)
{
	struct doctor_finding *finding[4], *best = NULL;
	struct metis_case c;

	if (!metis_case_find(judge_case(judge), &c))
		return;
	finding[0] = judge_no_check(judge, rule, &c);
	finding[1] = judge_message(judge, &c);
	finding[2] = judge_target(judge, &c);
	finding[3] = judge_silence(judge, &c, finding[0] ? finding[0]->confidence : 0);
	for (size_t i = 0; i < sizeof(finding) / sizeof(*finding); i++) {
		if (!finding[i])
			continue;
		if (i && heals(&c)) {
			finding[i]->severity = DOCTOR_WARNING;
			judge_why(judge, finding[i],
				  "The guest's driver tethys_metis heals it: transfers "
				  "are polled, and work.");
		}
		if (!best || finding[i]->confidence > best->confidence)
			best = finding[i];
	}
	if (best && c.dma && c.dma->kind == DOCTOR_VTD_DMA_FAULT)
		correct_reading(judge, best);
	/* A card that its own host uses was not passed through: nobody tried these. */
	if (best && (c.irq || c.dma || c.vm || c.app || (c.guest && c.user_machine == c.guest)))
		metis_add_attempts(judge, best);
}

static void say_healing(struct doctor_judge *judge, struct doctor_finding *finding,
			const struct machine_metis *card, bool guest)
{
	char bdf[BDF_TEXT_BYTES];
	const char *dir = arena_printf(judge_case(judge)->arena, "/sys/bus/pci/devices/%s",
				       bdf_text(card->device->bdf, bdf));

	judge_state(judge, finding, dir, "lost_interrupts is %" PRIu64 "%s%s.", card->irqs_lost,
		    card->mode ? ", mode is " : "", card->mode ? card->mode : "");
	judge_why(
		judge, finding,
		"A DMA transfer was done, but its interrupt did not come. The driver found it by looking "
		"at the channel, and polls since. Everything works, with more processor time.");
	if (guest)
		judge_why(
			judge, finding,
			"What is behind it: the card's DMA engine sends the guest's own message, which the "
			"host blocks (raw-msi-in-bar). The host's kernel log has a line for it.");
	judge_next(judge, finding, "Look at the host's kernel log.",
		   "journalctl -k | grep -E 'INTR-REMAP|AMD-Vi'   # on the host",
		   "0x22 or 0x25 with the card's address: the guest's message (raw-msi-in-bar).");
}

static const struct doctor_fix healed_fix = {
	.where = FOR_GUEST,
	.text = "Nothing has to be done: transfers work. Firmware that sets dma_vm brings the interrupts "
		"back (ask the vendor which does); the driver then shows 1 in dma_vm.",
	.commands = "cat /sys/bus/pci/drivers/tethys_metis/*/dma_vm",
	.proved =
		"in the lab: scenario forum-1346-healed (it works), scenario cure-dma-vm (no interrupt "
		"is lost)"};

/* Our driver at work where interrupts get lost. */
static void judge_healing(struct doctor_judge *judge, const struct doctor_rule *rule)
{
	const struct doctor_case *seen = judge_case(judge);
	const struct doctor_fact *fact = NULL;
	struct doctor_finding *finding = NULL;

	for (size_t i = 0; i < seen->machine_count; i++) {
		const struct machine *machine = &seen->machine[i];

		for (size_t j = 0; j < machine->metis_count; j++) {
			const struct machine_metis *card = &machine->metis[j];
			bool polls = card->mode && strstr(card->mode, "lost");

			if ((!card->irqs_lost && !polls) || card->healing == NO)
				continue;
			finding = judge_add_on(judge, rule, machine, &card->device->bdf, 95);
			say_healing(judge, finding, card,
				    machine->side == DOCTOR_SIDE_GUEST || machine->is_vm == YES);
		}
	}
	while ((fact = doctor_fact_next(seen->facts, DOCTOR_METIS_DRIVER_LOST_IRQ, fact))) {
		if (judge_is_past(seen, fact))
			continue;
		if (!finding)
			finding = judge_add_fact(judge, rule, fact, 90);
		judge_evidence(judge, finding, fact);
	}
	if (finding && !finding->fix_count)
		judge_fix(judge, finding, &healed_fix);
}

static const struct doctor_rule rules[] = {
	{.id = "metis-no-completion-check",
	 .title = "The Metis driver does not look which DMA transfer is done",
	 .severity = DOCTOR_ERROR,
	 .hop = HOP_GUEST,
	 .judge = judge_case_of_metis,
	 .cause =
		 "The vendor's driver 1.4.16, when it has one MSI vector and the firmware offers the "
		 "host-driver area, checks no DMA channel on an interrupt, nor when time is over. A plain "
		 "KVM guest has one vector: x86 Linux gives a device several only with interrupt remapping.",
	 .shows =
		 "In the guest every DMA call fails with \"Connection timed out\" after a second: "
		 "DMA_GET_XFER_SYNC_STATUS, DMABUF_METIS_WAIT, USR_DMA_XFER, axl_dma_xfer. The data is "
		 "right all the same. On the bare host, with 32 vectors, it works.",
	 .decides =
		 "The driver's version, the number of vectors in the guest, and whether the guest's "
		 "interrupt count for the card rises during the call that fails: if it does, it is this.",
	 .trap = "The host's log may have DMAR lines of the same card. They are other causes; curing them "
		 "alone leaves the time-outs."},
	{.id = "metis-interrupts-healed",
	 .title = "DMA interrupts of the Metis card get lost; the driver heals it by polling",
	 .severity = DOCTOR_WARNING,
	 .hop = HOP_INTERRUPT,
	 .judge = judge_healing,
	 .cause =
		 "The card's DMA engine sends an interrupt message that does not reach the driver. "
		 "tethys_metis looks at the channel, takes the transfer as done, and polls.",
	 .shows =
		 "\"its interrupt got lost; polling until interrupts come back\" in the kernel log; "
		 "lost_interrupts above 0, mode \"polling: interrupts got lost\".",
	 .decides = "The host's kernel log: an interrupt-remapping fault of the card.",
	 .trap = "Transfers work, so nothing seems wrong; it costs processor time."},
};

const struct doctor_rules doctor_rules_metis = {rules, sizeof(rules) / sizeof(*rules)};
