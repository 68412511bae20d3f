/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "doctor/log/join.h"

static void set_name(struct doctor_fact *fact, const char *name)
{
	snprintf(fact->name, sizeof(fact->name), "%s", name);
}

static void hold(struct joiner_held *held, const struct doctor_fact *fact, const char *text)
{
	held->used = true;
	held->fact = *fact;
	snprintf(held->text, sizeof(held->text), "%s", text);
}

static void release(struct joiner *joiner, struct joiner_held *held)
{
	if (!held->used)
		return;
	held->used = false;
	joiner->emit(joiner->context, &held->fact, held->text);
}

/* A fault whose wrapped line was never finished says too little. */
static void release_fault(struct joiner *joiner)
{
	const struct doctor_fact *fact = &joiner->fault.fact;

	if (fact->kind != DOCTOR_VTD_IR_FAULT && !fact->has_address)
		joiner->fault.used = false;
	release(joiner, &joiner->fault);
}

/* SMMUv3's events by the names that 6.14 and later print. */
static const struct {
	const char *name;
	uint32_t code;
} smmu_events[] = {
	{"C_BAD_STREAMID", 0x02}, {"F_STE_FETCH", 0x03},       {"C_BAD_STE", 0x04},
	{"F_STREAM_DISABLED", 6}, {"C_BAD_SUBSTREAMID", 0x08}, {"F_CD_FETCH", 0x09},
	{"C_BAD_CD", 0x0a},	  {"F_TRANSLATION", 0x10},     {"F_ADDR_SIZE", 0x11},
	{"F_ACCESS", 0x12},	  {"F_PERMISSION", 0x13},      {"F_VMS_FETCH", 0x25},
};

/* Stream ids of PCI devices are requester ids nearly everywhere; on bus 0 they may be others'. */
static void device_of_stream(struct doctor_fact *fact)
{
	if (fact->has_device || !fact->has_number || fact->number < 0x100 || fact->number > 0xffff)
		return;
	fact->has_device = true;
	fact->device = (struct bdf){
		.bus = (uint8_t)(fact->number >> 8),
		.slot = fact->number >> 3 & 0x1f,
		.function = fact->number & 7,
	};
}

static void smmu_release(struct joiner *joiner, struct joiner_smmu *smmu)
{
	if (smmu->held.used) {
		device_of_stream(&smmu->held.fact);
		smmu->held.fact.name[0] = '\0';
		release(joiner, &smmu->held);
	}
	smmu->words = 0;
}

static uint64_t node_of(const struct message *message)
{
	static const char *const before[] = {"arm-smmu-v3 ", "SMMUv3: "};
	const char *at = NULL;
	uint64_t hash = 1;

	for (size_t i = 0; !at && i < sizeof(before) / sizeof(*before); i++) {
		at = memmem(message->text, message->size, before[i], strlen(before[i]));
		at = at ? at + strlen(before[i]) : NULL;
	}
	if (!at)
		return 0;
	for (; *at && *at != ':' && *at != ' '; at++)
		hash = (hash ^ (unsigned char)*at) * 0x100000001b3u;
	return hash;
}

/* The event of this node that is being told; a line without a node belongs to the latest. */
static struct joiner_smmu *smmu_find(struct joiner *joiner, const struct message *message)
{
	uint64_t node = node_of(message);
	struct joiner_smmu *found = NULL;

	for (size_t i = 0; i < JOIN_SMMUS; i++) {
		struct joiner_smmu *smmu = &joiner->smmu[i];

		if (!smmu->held.used || (node && smmu->node != node))
			continue;
		if (!found || smmu->last_line > found->last_line)
			found = smmu;
	}
	return found;
}

static struct joiner_smmu *smmu_begin(struct joiner *joiner, const struct message *message,
				      const struct doctor_fact *fact, const char *text)
{
	struct joiner_smmu *smmu = smmu_find(joiner, message);

	if (!smmu) {
		smmu = &joiner->smmu[0];
		for (size_t i = 1; i < JOIN_SMMUS && smmu->held.used; i++)
			if (!joiner->smmu[i].held.used ||
			    joiner->smmu[i].last_line < smmu->last_line)
				smmu = &joiner->smmu[i];
	}
	smmu_release(joiner, smmu);
	hold(&smmu->held, fact, text);
	smmu->node = node_of(message);
	return smmu;
}

static void smmu_decode(struct joiner_smmu *smmu)
{
	struct doctor_fact *fact = &smmu->held.fact;

	fact->has_reason = true;
	fact->reason = smmu->word[0] & 0xff;
	fact->has_number = true;
	fact->number = smmu->word[0] >> 32;
	/* Others are about tables: they carry no direction, and not the device's address. */
	if (fact->reason < 0x10 || fact->reason > 0x13)
		return;
	fact->has_write = true;
	fact->write = !(smmu->word[1] >> 35 & 1);
	fact->has_address = true;
	fact->address = smmu->word[2];
}

static void smmu_line(struct joiner *joiner, enum pattern_act act, const struct message *message,
		      const struct doctor_fact *fact, const char *text)
{
	struct joiner_smmu *smmu = smmu_find(joiner, message);
	struct doctor_fact *told;

	if (act == ACT_SMMU_EVENT || (act == ACT_SMMU_TEXT && !smmu))
		smmu = smmu_begin(joiner, message, fact, text);
	if (!smmu)
		return;
	told = &smmu->held.fact;
	told->last_line = fact->line;
	smmu->last_line = fact->line;
	joiner->follow = 3;
	if (act == ACT_SMMU_WORD && smmu->words < 4) {
		/* A pasted line without a node is "address" as well: the form took it there. */
		smmu->word[smmu->words++] = fact->address;
		if (smmu->words == 4)
			smmu_decode(smmu);
	} else if (act == ACT_SMMU_TEXT) {
		if (fact->has_device) {
			told->has_device = true;
			told->device = fact->device;
		}
		if (fact->has_address && !told->has_address) {
			told->has_address = true;
			told->address = fact->address;
		}
		told->has_number = fact->has_number;
		told->number = fact->number;
		for (size_t i = 0; i < sizeof(smmu_events) / sizeof(*smmu_events); i++)
			if (!strcmp(fact->name, smmu_events[i].name)) {
				told->has_reason = true;
				told->reason = smmu_events[i].code;
			}
	} else if (act == ACT_SMMU_HOW) {
		told->has_write = true;
		told->write = fact->write;
		smmu_release(joiner, smmu);
		joiner->follow = 0;
	}
}

/* fsr: 1 translation, 2 access flag, 3 permission. fsynr bit 4: write. */
static void smmu2(struct doctor_fact *fact)
{
	uint32_t fsr = fact->reason;

	fact->reason = fsr & 2 ? 0x10 : fsr & 4 ? 0x12 : fsr & 8 ? 0x13 : 0x10;
	fact->has_write = true;
	fact->write = fact->size >> 4 & 1;
	fact->has_size = false;
	fact->size = 0;
	if (fact->has_number)
		fact->number &= 0xffff;
	device_of_stream(fact);
}

/* Words of the command line that matter here, as the name. */
static void command_line(struct doctor_fact *fact, const struct message *message)
{
	static const char *const wanted[] = {"intel_iommu=",  "amd_iommu=", "iommu=",
					     "intremap=",     "nointremap", "iommu.",
					     "vfio-pci.ids=", "pci=no",	    "pcie_acs",
					     "video=efifb",   "initcall_b", "vfio_pci.ids="};
	const char *at = message->text;
	size_t used = 0;

	fact->name[0] = '\0';
	while (*at) {
		size_t size = strcspn(at, " \"'");

		for (size_t i = 0; i < sizeof(wanted) / sizeof(*wanted); i++)
			if (!strncmp(at, wanted[i], strlen(wanted[i])) &&
			    used + size + 2 < sizeof(fact->name)) {
				if (used)
					fact->name[used++] = ' ';
				memcpy(fact->name + used, at, size);
				used += size;
				fact->name[used] = '\0';
				break;
			}
		at += size;
		at += strspn(at, " \"'");
	}
}

/* Rows for any driver don't take what the core and vfio say: that has rows of its own. */
static bool is_a_driver(const char *name)
{
	static const char *const others[] = {"",    "vfio-pci", "vfio",	    "pci",   "pcieport",
					     "PCI", "iommu",	"vfio_pci", "shpchp"};

	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++)
		if (!strcmp(name, others[i]))
			return false;
	return true;
}

static bool node(struct doctor_fact *fact)
{
	switch (fact->reason) {
	case ENOENT:
		fact->kind = DOCTOR_VFIO_NODE_MISSING;
		return true;
	case EBUSY:
		fact->kind = DOCTOR_VFIO_NODE_BUSY;
		return true;
	case EPERM:
	case EACCES:
		return true;
	default:
		return false;
	}
}

static void probe(struct doctor_fact *fact, const struct message *message)
{
	size_t size = strcspn(message->text, ": ");

	if (size && size < sizeof(fact->name))
		snprintf(fact->name, sizeof(fact->name), "%.*s", (int)size, message->text);
	if (fact->reason == ETIMEDOUT)
		fact->kind = DOCTOR_DRIVER_TIMEOUT;
}

static bool reason(struct joiner *joiner, const struct doctor_fact *fact)
{
	struct doctor_fact *fault = &joiner->fault.fact;
	bool address = fact->has_address && !fault->has_address;

	/* A wrapped line brings the address, too; one that has none waits for no bare reason. */
	if (!joiner->fault.used ||
	    (fault->kind == DOCTOR_AMD_PAGE_FAULT) != (fact->kind == DOCTOR_AMD_PAGE_FAULT))
		return false;
	if (address) {
		fault->has_address = true;
		fault->address = fact->address;
	}
	fault->has_reason = true;
	fault->reason = fact->reason;
	if (fault->kind == DOCTOR_AMD_PAGE_FAULT) {
		fault->has_write = true;
		fault->write = fact->reason >> 5 & 1;
	}
	fault->last_line = fact->line;
	release_fault(joiner);
	return false;
}

static bool member(struct joiner *joiner, struct doctor_fact *fact)
{
	if (!fact->has_number) {
		if (!joiner->in_group)
			return false;
		fact->has_number = true;
		fact->number = joiner->group;
		joiner->follow = 1;
	}
	return true;
}

static bool lspci(struct joiner *joiner, struct doctor_fact *fact)
{
	if (fact->kind == DOCTOR_MSI_WORD &&
	    (!joiner->msi_line || fact->line - joiner->msi_line > 3))
		return false;
	if (joiner->has_lspci) {
		fact->has_device = true;
		fact->device = joiner->lspci;
	}
	return true;
}

static bool aer_name(struct joiner *joiner, struct doctor_fact *fact)
{
	if (joiner->aer == DOCTOR_FACT_NONE || fact->line - joiner->aer_line > JOIN_LINES)
		return false;
	fact->kind = joiner->aer;
	joiner->follow = 2;
	return true;
}

/* The next "('0000:bb:dd.f', 'driver')". Return: what is behind it, NULL when there is none. */
static const char *next_pair(const char *at, struct doctor_fact *fact)
{
	size_t used, size;

	while ((at = strstr(at, "('"))) {
		at += 2;
		if (!bdf_parse(at, strlen(at), &fact->device, &used))
			continue;
		at += used;
		if (strncmp(at, "', '", 4) != 0)
			continue;
		at += 4;
		size = strcspn(at, "'");
		if (!size || at[size] != '\'' || size >= sizeof(fact->driver))
			continue;
		memset(fact->driver, 0, sizeof(fact->driver));
		memcpy(fact->driver, at, size);
		fact->has_device = true;
		return at + size;
	}
	return NULL;
}

/* Each device that a program counts as in the way is a member, with its driver. */
static bool wrong_drivers(struct joiner *joiner, const struct message *message,
			  struct doctor_fact *fact, const char *text)
{
	struct doctor_fact member = *fact;
	const char *at = message->text;
	bool any = false;

	if (joiner->unbound_line && fact->line - joiner->unbound_line <= JOIN_LINES) {
		member.has_number = true;
		member.number = joiner->unbound;
	}
	while ((at = next_pair(at, &member))) {
		if (any)
			joiner->emit(joiner->context, fact, text);
		*fact = member;
		any = true;
	}
	return any;
}

/* "tethys_metis 0000:bb:dd.f: metis-0:1:0: firmware 1.6.0, 1 MSI vector" is two facts. */
static bool metis_ready(struct joiner *joiner, struct doctor_fact *fact, const char *text)
{
	struct doctor_fact firmware = *fact;

	firmware.kind = DOCTOR_METIS_FIRMWARE;
	firmware.has_number = false;
	firmware.number = 0;
	joiner->emit(joiner->context, &firmware, text);
	fact->name[0] = '\0';
	return true;
}

static bool is_version(const char *text)
{
	size_t digits = strspn(text, "0123456789");

	return digits && text[digits] == '.' && text[digits + 1] >= '0' && text[digits + 1] <= '9';
}

/* "version: 1.4.16" below the name of the module. */
static bool metis_version(struct joiner *joiner, enum pattern_act act,
			  const struct message *message, struct doctor_fact *fact)
{
	uint64_t behind = fact->line - joiner->module_line;

	if (act == ACT_METIS_MODULE) {
		joiner->module_line = fact->line;
		joiner->follow = JOIN_LINES;
		return false;
	}
	/* A word alone is the answer only as the first line. */
	if (!joiner->module_line || behind > JOIN_LINES || !is_version(fact->name) ||
	    (act == ACT_METIS_ONE_WORD && (behind != 1 || message->has_device))) {
		join_nothing_followed(joiner);
		return false;
	}
	joiner->module_line = 0;
	joiner->follow = 0;
	return true;
}

/* "echo DEVICE > .../vfio-pci/bind" and, one or two lines on, what the shell says about it. */
static bool bind_line(struct joiner *joiner, enum pattern_act act, struct doctor_fact *fact)
{
	uint64_t tried = joiner->bind_line;

	joiner->bind_line = 0;
	if (act == ACT_BIND_TRIED) {
		joiner->bind_line = fact->line;
		joiner->bind = *fact;
		joiner->follow = 2;
		return false;
	}
	if (!tried || fact->line - tried > 2)
		return false;
	fact->has_device = joiner->bind.has_device;
	fact->device = joiner->bind.device;
	return true;
}

static void complete(struct doctor_fact *fact, const struct message *message)
{
	memcpy(fact->driver, message->driver, sizeof(fact->driver));
	if (!fact->has_device) {
		fact->has_device = message->has_device;
		fact->device = message->device;
		if (!fact->has_device)
			fact->has_device = message_find_device(message, &fact->device);
	}
	if (fact->kind == DOCTOR_AMD_PAGE_FAULT) {
		set_name(fact, message->driver);
		if (fact->has_reason) {
			fact->has_write = true;
			fact->write = fact->reason >> 5 & 1;
		}
	}
	if ((fact->kind == DOCTOR_DRIVER_TIMEOUT || fact->kind == DOCTOR_DRIVER_FAILED ||
	     fact->kind == DOCTOR_FIRMWARE_CRASHED || fact->kind == DOCTOR_MSIX_INIT_TIMEOUT) &&
	    !fact->name[0])
		set_name(fact, message->driver);
}

static bool apply_lspci(struct joiner *joiner, enum pattern_act act, struct doctor_fact *fact)
{
	if (act == ACT_LSPCI_DEVICE) {
		joiner->has_lspci = true;
		joiner->lspci = fact->device;
		joiner->msi_line = 0;
	} else if (act == ACT_MSI_CAPABILITY) {
		joiner->msi_line = fact->line;
	} else {
		return lspci(joiner, fact);
	}
	return false;
}

static bool apply_joined(struct joiner *joiner, enum pattern_act act, const struct message *message,
			 struct doctor_fact *fact, const char *text)
{
	switch (act) {
	case ACT_REASON_FOLLOWS:
		release_fault(joiner);
		hold(&joiner->fault, fact, text);
		return false;
	case ACT_REASON:
		return reason(joiner, fact);
	case ACT_SMMU_EVENT:
	case ACT_SMMU_WORD:
	case ACT_SMMU_TEXT:
	case ACT_SMMU_HOW:
		smmu_line(joiner, act, message, fact, text);
		return false;
	case ACT_GROUP:
		joiner->in_group = true;
		joiner->group = fact->number;
		joiner->follow = 1;
		return false;
	case ACT_MEMBER:
		return member(joiner, fact);
	case ACT_AER_BEGIN:
		joiner->aer = fact->kind;
		joiner->aer_line = fact->line;
		return true;
	case ACT_NOTHING:
		joiner->follow = 2; /* "error status/mask": the names are next */
		/* A quotation may begin here. Names that matter then are those of corrected errors. */
		if (!joiner->aer_line || fact->line - joiner->aer_line > JOIN_LINES) {
			joiner->aer = DOCTOR_AER_CORRECTABLE;
			joiner->aer_line = fact->line;
		}
		return false;
	case ACT_AER_NAME:
		return aer_name(joiner, fact);
	case ACT_UNBOUND:
		joiner->unbound_line = fact->line;
		joiner->unbound = fact->number;
		return true;
	case ACT_BIND_TRIED:
	case ACT_BIND_REFUSED:
		return bind_line(joiner, act, fact);
	case ACT_WRONG_DRIVERS:
		return wrong_drivers(joiner, message, fact, text);
	case ACT_METIS_READY:
		return metis_ready(joiner, fact, text);
	case ACT_METIS_MODULE:
	case ACT_METIS_VERSION:
	case ACT_METIS_ONE_WORD:
		return metis_version(joiner, act, message, fact);
	default:
		return apply_lspci(joiner, act, fact);
	}
}

bool join_apply(struct joiner *joiner, const struct doctor_pattern *row,
		const struct message *message, struct doctor_fact *fact, const char *text)
{
	if (row->act != ACT_SMMU_WORD)
		complete(fact, message);
	switch (row->act) {
	case ACT_FACT:
	case ACT_BOOT:
		return true;
	case ACT_NEEDS_DEVICE:
		set_name(fact, message->driver);
		if (fact->kind == DOCTOR_DRIVER_FAILED && fact->reason == ETIMEDOUT)
			fact->kind = DOCTOR_DRIVER_TIMEOUT;
		return message->has_device && is_a_driver(message->driver);
	case ACT_NEEDS_ADDRESS:
		return fact->has_device;
	case ACT_OF_DRIVER:
		set_name(fact, message->driver);
		return true;
	case ACT_PROBE:
		probe(fact, message);
		return true;
	case ACT_NODE:
		return node(fact);
	case ACT_COMMAND_LINE:
		command_line(fact, message);
		fact->has_device = false;
		return true;
	case ACT_SMMU2:
		smmu2(fact);
		return true;
	default:
		return apply_joined(joiner, row->act, message, fact, text);
	}
}

void join_line(struct joiner *joiner, uint64_t line)
{
	if (joiner->fault.used && line - joiner->fault.fact.line > JOIN_LINES)
		release_fault(joiner);
	for (size_t i = 0; i < JOIN_SMMUS; i++)
		if (joiner->smmu[i].held.used && line - joiner->smmu[i].last_line > JOIN_LINES)
			smmu_release(joiner, &joiner->smmu[i]);
}

void join_nothing_followed(struct joiner *joiner)
{
	joiner->in_group = false;
}

void join_finish(struct joiner *joiner)
{
	release_fault(joiner);
	for (size_t i = 0; i < JOIN_SMMUS; i++)
		smmu_release(joiner, &joiner->smmu[i]);
}

bool join_is_stateless(enum pattern_act act)
{
	return act == ACT_FACT || act == ACT_NEEDS_DEVICE || act == ACT_NEEDS_ADDRESS ||
	       act == ACT_OF_DRIVER || act == ACT_PROBE || act == ACT_NODE || act == ACT_SMMU2;
}
