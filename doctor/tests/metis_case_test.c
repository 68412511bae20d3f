/* SPDX-License-Identifier: MIT */
/*
 * A Metis card in a guest: what is said on the host's two lines alone, with the application's, with
 * the VM's configuration, with the guest, and on healthy machines.
 */
#include <unistd.h>

#include "doctor/log/log.h"
#include "doctor/rules/metis_case.h"
#include "tests/tap.h"

#define GIB (1ull << 30)

static const struct bdf card_bdf = {.bus = 0x86};
static const struct bdf guest_bdf = {.bus = 0x01};

static struct arena arena;
static struct doctor_facts facts;
static struct doctor_log one_log;
static struct machine machines[2], *host, *guest;
static struct machine_device host_device, guest_device;
static struct machine_metis host_card, guest_card;
static struct machine_vm vm;
static struct bdf vm_device;
static bool vm_all;
static struct doctor_report report;

static void begin(void)
{
	arena = (struct arena){0};
	facts = (struct doctor_facts){.arena = &arena, .log = &one_log, .log_count = 1};
	one_log = (struct doctor_log){.name = "host.log", .lines = 1};
	host = guest = NULL;
	memset(machines, 0, sizeof(machines));
}

static struct doctor_fact *line(enum doctor_fact_kind kind, const char *text)
{
	struct doctor_fact *fact = arena_grow(&arena, &facts.fact, facts.count, sizeof(*fact));

	facts.count++;
	fact->kind = kind;
	fact->text = text;
	fact->line = fact->last_line = facts.count;
	fact->count = 1;
	fact->time_us = fact->last_time_us = DOCTOR_TIME_NONE;
	return fact;
}

static void dma_write(struct bdf device, uint64_t address)
{
	struct doctor_fact *fact = line(DOCTOR_VTD_DMA_FAULT, "DMAR: [DMA Write NO_PASID] ...");

	fact->has_device = fact->has_address = fact->has_reason = true;
	fact->has_write = fact->write = true;
	fact->device = device;
	fact->address = address;
	fact->reason = 0x05;
}

static void interrupt(struct bdf device, uint32_t reason, uint64_t index)
{
	struct doctor_fact *fact = line(DOCTOR_VTD_IR_FAULT, "DMAR: [INTR-REMAP] ...");

	fact->has_device = fact->has_reason = fact->has_number = true;
	fact->device = device;
	fact->reason = reason;
	fact->number = index;
}

/* A log of the fixtures, through the parser. */
static void fixture(const char *name, enum doctor_side side)
{
	struct doctor_parser *parser;
	struct reason why = {{0}};
	char path[512];

	snprintf(path, sizeof(path), "%s/fixtures/case/%s", DOCTOR_TESTS, name);
	parser = doctor_parser_create(&facts, name, side, NULL, NULL);
	if (doctor_log_file(parser, path, &why))
		TAP_FAIL("%s", why.text);
	doctor_parser_finish(parser);
	doctor_parser_destroy(parser);
}

static void begin_logs(void)
{
	begin();
	doctor_facts_init(&facts, &arena);
}

static void two_lines(void)
{
	dma_write(card_bdf, 0x149800000);
	interrupt(card_bdf, 0x22, 0x28);
}

static void application(void)
{
	static const char *const calls[] = {"DMA_GET_XFER_SYNC_STATUS", "DMABUF_METIS_WAIT",
					    "USR_DMA_XFER", "axl_dma_xfer"};

	for (size_t i = 0; i < 4; i++) {
		struct doctor_fact *fact = line(DOCTOR_METIS_APP_TIMEOUT, calls[i]);

		snprintf(fact->name, sizeof(fact->name), "%s", calls[i]);
	}
	line(DOCTOR_METIS_APP_LOAD_FAILED, "[ERROR][load]: Failed to write module binary");
}

static void add_host(void)
{
	host = &machines[guest ? 1 : 0];
	host_device = (struct machine_device){.bdf = card_bdf,
					      .vendor = 0x1f9d,
					      .device = 0x1100,
					      .driver = "vfio-pci",
					      .group = 22,
					      .label = "Metis"};
	host_card = (struct machine_metis){.device = &host_device};
	*host = (struct machine){.name = "host",
				 .side = DOCTOR_SIDE_HOST,
				 .arch = ARCH_INTEL,
				 .intremap = YES,
				 .iommu = YES,
				 .device = &host_device,
				 .device_count = 1,
				 .metis = &host_card,
				 .metis_count = 1,
				 .uptime_s = -1};
}

static void add_vm(enum vm_viommu viommu, uint64_t ram)
{
	if (!host)
		add_host();
	vm_device = card_bdf;
	vm_all = false;
	vm = (struct machine_vm){.kind = VM_PROXMOX,
				 .name = "101",
				 .source = "/etc/pve/qemu-server/101.conf",
				 .ram = ram,
				 .board = BOARD_Q35,
				 .viommu = viommu,
				 .intremap = viommu == VIOMMU_INTEL ? YES : NO,
				 .device = &vm_device,
				 .all_functions = &vm_all,
				 .device_count = 1};
	host->vm = &vm;
	host->vm_count = 1;
}

static void add_guest(const char *driver, const char *version, unsigned int vectors)
{
	guest = &machines[host ? 1 : 0];
	guest_device = (struct machine_device){.bdf = guest_bdf,
					       .vendor = 0x1f9d,
					       .device = 0x1100,
					       .driver = driver,
					       .group = -1,
					       .label = "Metis"};
	guest_card = (struct machine_metis){.device = &guest_device,
					    .driver = driver,
					    .driver_version = version,
					    .vectors = vectors,
					    .host_driver_area = YES,
					    .dma_poll = NO};
	*guest = (struct machine){.name = "guest",
				  .side = DOCTOR_SIDE_GUEST,
				  .is_vm = YES,
				  .arch = ARCH_INTEL,
				  .device = &guest_device,
				  .device_count = 1,
				  .metis = &guest_card,
				  .metis_count = 1,
				  .uptime_s = -1};
}

static void judge(void)
{
	struct doctor_case seen = {.arena = &arena,
				   .machine = machines,
				   .machine_count = (host ? 1 : 0) + (guest ? 1 : 0),
				   .facts = &facts};

	doctor_judge_case(&seen, &report);
}

static void end(void)
{
	if (facts.index)
		doctor_facts_deinit(&facts);
	arena_free(&arena);
}

static const struct doctor_finding *find(const char *id)
{
	for (size_t i = 0; i < report.count; i++)
		if (!strcmp(report.finding[i].rule->id, id))
			return &report.finding[i];
	return NULL;
}

static const char *id_at(size_t at)
{
	return at < report.count ? report.finding[at].rule->id : "none";
}

static unsigned int percent(const char *id)
{
	const struct doctor_finding *finding = find(id);

	return finding ? finding->confidence : 0;
}

static bool says(const struct doctor_finding *finding, const char *part)
{
	for (size_t i = 0; finding && i < finding->why_count; i++)
		if (strstr(finding->why[i], part))
			return true;
	return false;
}

static bool asks(const struct doctor_finding *finding, const char *part)
{
	for (size_t i = 0; finding && i < finding->next_count; i++)
		if (strstr(finding->next[i].text, part) || strstr(finding->next[i].commands, part))
			return true;
	return false;
}

static const char *ruled_out(const struct doctor_finding *finding, const char *what)
{
	for (size_t i = 0; finding && i < finding->ruled_out_count; i++)
		if (!strcmp(finding->ruled_out[i].what, what))
			return finding->ruled_out[i].why;
	return "";
}

static void test_case_versions_compare_as_numbers(void)
{
	EXPECT(metis_version_compare("1.4.16", "1.4.4") > 0);
	EXPECT(metis_version_compare("1.4.16", "1.5.6") < 0);
	EXPECT(metis_version_compare("1.10.0", "1.9.9") > 0);
	EXPECT(metis_version_compare("1.5.6-rc1", "1.5.6") == 0);
	EXPECT(metis_version_compare("2", "1.9.9") > 0);
}

static void test_case_message_gives_the_index_of_the_report(void)
{
	unsigned int index = 0;

	EXPECT(metis_message_index(0xfee00418, 8, &index));
	EXPECT_EQ(index, 0x28);
	EXPECT(metis_message_index(0xfee00410, 8, &index));
	EXPECT_EQ(index, 0x20);
	EXPECT(metis_message_index(0xfee0001c, 0, &index));
	EXPECT_EQ(index, 0x8000);
	EXPECT(!metis_message_index(0xfee01000, 0x4021, &index));
	EXPECT(!metis_message_index(0x149800010, 0, &index));
	EXPECT(metis_fits_index(0x28) && metis_fits_index(0x64) && metis_fits_index(0xb));
	EXPECT(!metis_fits_index(0x20) && !metis_fits_index(0x2c) && !metis_fits_index(0x10008));
}

static void test_case_two_lines_alone_name_the_message_first(void)
{
	begin();
	two_lines();
	judge();
	EXPECT_EQ(report.count, 2);
	EXPECT_STR(id_at(0), "raw-msi-in-bar");
	EXPECT_STR(id_at(1), "stale-dma-no-reset");
	const struct doctor_finding *raw = &report.finding[0], *stale = find("stale-dma-no-reset");

	ASSERT(report.count == 2 && stale);
	EXPECT(raw->confidence < 80);
	EXPECT(raw->has_device && bdf_equal(raw->device, card_bdf));
	EXPECT(says(raw, "0x28 = 0x20 + 8"));
	EXPECT(says(raw, "DMA write channel 0"));
	EXPECT(says(raw, "stale message of the host's driver"));
	EXPECT(says(raw, "80 % sure"));
	EXPECT(asks(raw, "interrupt count"));
	EXPECT(asks(raw, "qm config VMID"));
	EXPECT(says(stale, "multiple of 4 MiB"));
	EXPECT_HAS(ruled_out(stale, "the page is mapped read-only"), "no present bit");
	EXPECT(!find("metis-no-completion-check"));
	end();
}

static void test_case_two_lines_ask_for_the_memory_that_decides(void)
{
	begin();
	two_lines();
	judge();
	const struct doctor_finding *stale = find("stale-dma-no-reset");
	bool told = false;

	ASSERT(stale != NULL);
	for (size_t i = 0; i < stale->next_count; i++)
		told |= strstr(stale->next[i].decides, "beyond 3.14 GiB on q35 (4.14 GiB") != NULL;
	EXPECT(told);
	end();
}

static void test_case_each_attempt_of_the_report_is_ruled_out(void)
{
	static const char *const attempts[][2] = {
		{"allow_unsafe_interrupts=1", "unsafe-interrupts"},
		{"-mem-prealloc", "mem-prealloc"},
		{"2 MB hugepages with NUMA", "hugepages-numa"},
		{"-machine q35,kernel-irqchip=split", "irqchip-split"},
		{"unloading the host's driver before the VM starts", "host-driver-unloaded"},
		{"mem=3G on the guest's kernel command line", "mem3g"},
	};

	begin();
	two_lines();
	application();
	judge();
	ASSERT(report.count);
	for (size_t i = 0; i < 6; i++)
		EXPECT_HAS(ruled_out(&report.finding[0], attempts[i][0]), attempts[i][1]);
	end();
}

/* Neither number nor alignment fits: a device like any other. */
static void test_case_other_devices_are_left_to_the_general_rules(void)
{
	begin();
	dma_write(card_bdf, 0x149801000);
	interrupt(card_bdf, 0x22, 0x28);
	judge();
	EXPECT(!says(find("irte-not-present"), "Metis"));
	EXPECT(!find("raw-msi-in-bar"));
	end();
	begin();
	dma_write(card_bdf, 0x149800000);
	interrupt(card_bdf, 0x22, 0x2d);
	judge();
	EXPECT(!find("raw-msi-in-bar"));
	end();
	begin();
	dma_write(card_bdf, 0x149800000);
	interrupt((struct bdf){.bus = 3}, 0x22, 0x28);
	judge();
	EXPECT(!find("raw-msi-in-bar"));
	end();
}

/* The host says what the device is: not a Metis card, whatever the numbers. */
static void test_case_numbers_do_not_outweigh_what_the_host_lists(void)
{
	begin();
	add_host();
	host_device.vendor = 0x8086;
	host->metis_count = 0;
	two_lines();
	judge();
	for (size_t i = 0; i < report.count; i++)
		EXPECT(!says(&report.finding[i], "Metis"));
	end();
}

static void test_case_application_alone_likely_has_no_check(void)
{
	begin();
	application();
	judge();
	EXPECT_STR(id_at(0), "metis-no-completion-check");
	EXPECT(percent("metis-no-completion-check") >= 60);
	EXPECT(percent("metis-no-completion-check") < 90);
	EXPECT(asks(find("metis-no-completion-check"), "modinfo metis"));
	EXPECT(asks(find("metis-no-completion-check"), "vectors"));
	end();
}

static void test_case_application_with_both_lines_fixes_the_check_first(void)
{
	begin();
	two_lines();
	application();
	judge();
	EXPECT_STR(id_at(0), "metis-no-completion-check");
	EXPECT_STR(id_at(1), "raw-msi-in-bar");
	EXPECT_STR(id_at(2), "stale-dma-no-reset");
	EXPECT_EQ(report.count, 3);
	end();
}

static void test_case_version_and_vectors_in_lines_are_certain(void)
{
	struct doctor_fact *fact;

	begin();
	application();
	fact = line(DOCTOR_METIS_DRIVER, "version: 1.4.16");
	snprintf(fact->name, sizeof(fact->name), "1.4.16");
	fact = line(DOCTOR_METIS_VECTORS, "MSI: Enable+ Count=1/32");
	fact->has_number = true;
	fact->number = 1;
	judge();
	EXPECT_STR(id_at(0), "metis-no-completion-check");
	EXPECT(percent("metis-no-completion-check") >= 95);
	EXPECT_EQ(report.count, 1);
	EXPECT(!report.count || !report.finding[0].next_count);
	end();
}

static void test_case_guest_alone_is_certain_and_has_the_fixes_in_order(void)
{
	begin();
	add_guest("metis", "1.4.16", 1);
	judge();
	ASSERT_EQ(report.count, 1);
	const struct doctor_finding *finding = &report.finding[0];

	EXPECT_STR(finding->rule->id, "metis-no-completion-check");
	EXPECT_EQ(finding->confidence, 99);
	EXPECT(bdf_equal(finding->device, guest_bdf));
	ASSERT_EQ(finding->fix_count, 3);
	EXPECT_HAS(finding->fix[0].text, "1.5.6");
	EXPECT_HAS(finding->fix[0].proved, "by experiment");
	EXPECT_HAS(finding->fix[1].commands, "dma_poll=1");
	EXPECT_HAS(finding->fix[2].commands, "modprobe tethys_metis");
	EXPECT_HAS(finding->fix[2].proved, "in the lab: scenario cause-no-check");
	end();
}

static void healthy_guest(const char *driver, const char *version, unsigned int vectors)
{
	begin();
	add_guest(driver, version, vectors);
	judge();
	EXPECT_EQ(report.count, 0);
	EXPECT_EQ(report.verdict, DOCTOR_HEALTHY);
	end();
}

static void test_case_healthy_cards_have_no_finding(void)
{
	healthy_guest("metis", "1.4.16", 32);
	healthy_guest("metis", "1.5.6", 1);
	healthy_guest("metis", "1.6.2", 32);
	healthy_guest("metis", "1.4.4", 1);
	healthy_guest("metis", NULL, 1);
	healthy_guest("metis", NULL, 0);
	healthy_guest("tethys_metis", "0.3.0", 1);
	begin();
	add_guest("metis", "1.4.16", 1);
	guest_card.dma_poll = YES;
	judge();
	EXPECT_EQ(report.count, 0);
	end();
	begin();
	add_guest("metis", "1.4.16", 1);
	guest_card.host_driver_area = NO;
	judge();
	EXPECT_EQ(report.count, 0);
	end();
	begin();
	add_vm(VIOMMU_INTEL, 8 * GIB);
	judge();
	EXPECT_EQ(report.count, 0);
	end();
}

static void test_case_vm_with_viommu_has_the_guests_handle(void)
{
	begin();
	add_vm(VIOMMU_INTEL, 2 * GIB);
	two_lines();
	application();
	judge();
	EXPECT_STR(id_at(0), "raw-msi-in-bar");
	EXPECT(percent("raw-msi-in-bar") >= 90);
	EXPECT(percent("metis-no-completion-check") < 30);
	EXPECT(percent("stale-dma-no-reset") >= 80);
	EXPECT(!asks(find("raw-msi-in-bar"), "virtual IOMMU"));
	EXPECT_STR(id_at(1), "stale-dma-no-reset");
	end();
}

static void test_case_vm_without_viommu_has_a_stale_message(void)
{
	begin();
	add_vm(VIOMMU_NONE, 2 * GIB);
	two_lines();
	application();
	judge();
	EXPECT_STR(id_at(0), "stale-dma-no-reset");
	EXPECT(percent("metis-no-completion-check") >= 80);
	EXPECT(percent("irte-not-present") >= 80);
	EXPECT(!find("raw-msi-in-bar"));
	EXPECT(says(find("irte-not-present"), "it is stale"));
	end();
}

static void test_case_address_in_guest_memory_speaks_against_a_stale_target(void)
{
	begin();
	add_vm(VIOMMU_NONE, 8 * GIB);
	two_lines();
	judge();
	EXPECT(percent("stale-dma-no-reset") < 50);
	EXPECT(says(find("stale-dma-no-reset"), "is in the memory of VM 101"));
	end();
}

static void test_case_compatibility_message_is_a_plain_guests(void)
{
	begin();
	add_vm(VIOMMU_NONE, 2 * GIB);
	interrupt(card_bdf, 0x25, 0);
	judge();
	EXPECT_STR(id_at(0), "raw-msi-in-bar");
	EXPECT(percent("raw-msi-in-bar") >= 90);
	end();
}

static void test_case_host_and_guest_together_compute_the_index(void)
{
	begin();
	add_vm(VIOMMU_INTEL, 2 * GIB);
	add_guest("metis", "1.4.16", 32);
	guest_device.msi = (struct machine_msi){.present = true,
						.enabled = true,
						.capable = 32,
						.vectors = 32,
						.address = 0xfee00c18};
	interrupt(card_bdf, 0x22, 0x68);
	judge();
	EXPECT_STR(id_at(0), "raw-msi-in-bar");
	EXPECT_EQ(percent("raw-msi-in-bar"), 98);
	EXPECT(!find("metis-no-completion-check"));
	end();
	/* A guest whose message is another: the blocked one is not its own. */
	begin();
	add_vm(VIOMMU_INTEL, 2 * GIB);
	add_guest("metis", "1.4.16", 32);
	guest_device.msi.present = guest_device.msi.enabled = true;
	guest_device.msi.address = 0xfee00c18;
	interrupt(card_bdf, 0x22, 0x128);
	judge();
	EXPECT_STR(id_at(0), "irte-not-present");
	end();
}

static void msi_word(uint64_t address, uint64_t data)
{
	struct doctor_fact *fact = line(DOCTOR_MSI_WORD, "Address: ... Data: ...");

	fact->side = DOCTOR_SIDE_GUEST;
	fact->has_address = fact->has_number = true;
	fact->address = address;
	fact->number = data;
}

static void test_case_message_in_the_guests_log_is_compared(void)
{
	begin();
	two_lines();
	msi_word(0xfee00418, 0);
	judge();
	EXPECT_STR(id_at(0), "raw-msi-in-bar");
	EXPECT_EQ(percent("raw-msi-in-bar"), 98);
	end();
	begin();
	two_lines();
	msi_word(0xfee01000, 0x4021);
	judge();
	EXPECT_STR(id_at(0), "irte-not-present");
	EXPECT(!find("raw-msi-in-bar"));
	end();
}

static void test_case_registers_of_the_edma_beat_the_capability(void)
{
	begin();
	add_vm(VIOMMU_INTEL, 2 * GIB);
	add_guest("metis", "1.6.2", 32);
	guest_card.has_imwr = true;
	guest_card.imwr_address = 0xfee00418;
	guest_card.imwr_data = 8;
	interrupt(card_bdf, 0x22, 0x28);
	judge();
	EXPECT_EQ(percent("raw-msi-in-bar"), 98);
	end();
}

static void test_case_requester_of_nobody_is_the_cards_in_an_emulated_host(void)
{
	begin();
	add_vm(VIOMMU_INTEL, 2 * GIB);
	dma_write(card_bdf, 0x153c00000);
	interrupt((struct bdf){.bus = 0xff, .slot = 0x1f, .function = 7}, 0x22, 0x28);
	judge();
	EXPECT_EQ(report.count, 2);
	EXPECT_STR(id_at(0), "raw-msi-in-bar");
	EXPECT(report.count && bdf_equal(report.finding[0].device, card_bdf));
	EXPECT(says(find("raw-msi-in-bar"), "is nobody"));
	end();
}

static void test_case_healing_in_the_guest_is_a_warning(void)
{
	begin();
	add_guest("tethys_metis", "0.3.0", 32);
	guest_card.healing = guest_card.check_done = YES;
	guest_card.irqs_lost = 1;
	guest_card.mode = "polling: interrupts got lost";
	judge();
	ASSERT_EQ(report.count, 1);
	EXPECT_STR(id_at(0), "metis-interrupts-healed");
	EXPECT_EQ(report.finding[0].severity, DOCTOR_WARNING);
	EXPECT(says(&report.finding[0], "raw-msi-in-bar"));
	ASSERT_EQ(report.finding[0].fix_count, 1);
	EXPECT_HAS(report.finding[0].fix[0].proved, "forum-1346-healed");
	end();
}

static void test_case_our_driver_told_not_to_check_has_cause_one(void)
{
	begin();
	add_guest("tethys_metis", "0.3.0", 1);
	guest_card.healing = guest_card.check_done = NO;
	judge();
	EXPECT_STR(id_at(0), "metis-no-completion-check");
	ASSERT(report.count && report.finding[0].fix_count == 1);
	EXPECT_HAS(report.finding[0].fix[0].commands, "check_done");
	end();
}

static void test_case_newer_driver_that_times_out_loses_interrupts(void)
{
	begin();
	add_guest("metis", "1.6.2", 1);
	application();
	judge();
	EXPECT_STR(id_at(0), "raw-msi-in-bar");
	EXPECT(!find("metis-no-completion-check"));
	EXPECT(asks(find("raw-msi-in-bar"), "host's kernel log"));
	end();
}

/* Every "scenario NAME" of a text is one that the lab has. */
static void scenarios_exist(const char *text)
{
	char name[64], path[512];

	while ((text = strstr(text, "scenario "))) {
		size_t size;

		text += strlen("scenario ");
		size = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-");
		snprintf(name, sizeof(name), "%.*s", (int)size, text);
		snprintf(path, sizeof(path), "%s/../../lab/scenarios/%s.scenario", DOCTOR_TESTS,
			 name);
		if (access(path, R_OK))
			TAP_FAIL("the lab has no scenario %s", name);
	}
}

static void test_case_scenarios_that_are_named_exist(void)
{
	begin();
	two_lines();
	application();
	judge();
	EXPECT(report.count);
	for (size_t i = 0; i < report.count; i++) {
		const struct doctor_finding *finding = &report.finding[i];

		for (size_t j = 0; j < finding->fix_count; j++)
			scenarios_exist(finding->fix[j].proved);
		for (size_t j = 0; j < finding->ruled_out_count; j++)
			scenarios_exist(finding->ruled_out[j].why);
		for (size_t j = 0; j < finding->why_count; j++)
			scenarios_exist(finding->why[j]);
	}
	end();
}

/* The same lines on the card's own host: no message needs a translation there. */
static void test_case_time_outs_on_a_host_of_its_own_blame_no_guest(void)
{
	begin();
	add_guest("metis", "1.6.2", 32);
	guest->side = DOCTOR_SIDE_HOST;
	guest->is_vm = NO;
	application();
	judge();
	EXPECT(!find("raw-msi-in-bar"));
	EXPECT(!find("metis-no-completion-check"));
	end();
	/* Cause 1 needs no guest: a host without interrupt remapping gives one vector, too. */
	begin();
	add_guest("metis", "1.4.16", 1);
	guest->side = DOCTOR_SIDE_HOST;
	guest->is_vm = NO;
	judge();
	EXPECT_STR(id_at(0), "metis-no-completion-check");
	EXPECT_STR(report.count ? ruled_out(&report.finding[0], "-mem-prealloc") : "", "");
	end();
}

/* What is not there is not recommended, and what is claimed to be proved names how. */
static void test_case_fixes_name_what_proved_them(void)
{
	begin();
	two_lines();
	application();
	judge();
	for (size_t i = 0; i < report.count; i++) {
		EXPECT(report.finding[i].fix_count);
		for (size_t j = 0; j < report.finding[i].fix_count; j++) {
			const struct doctor_fix *fix = &report.finding[i].fix[j];

			EXPECT(!strstr(fix->text, "mediated"));
			EXPECT(!strstr(fix->commands, "tethys_vfio"));
			EXPECT(!*fix->proved || strstr(fix->proved, "in the lab: scenario ") ||
			       strstr(fix->proved, "by experiment"));
		}
	}
	end();
}

static void test_case_logs_of_host_and_application_are_judged(void)
{
	begin_logs();
	fixture("two-lines.log", DOCTOR_SIDE_UNKNOWN);
	judge();
	EXPECT_STR(id_at(0), "raw-msi-in-bar");
	EXPECT_STR(id_at(1), "stale-dma-no-reset");
	EXPECT_EQ(report.count, 2);
	EXPECT(says(find("raw-msi-in-bar"), "0x49 = 0x40 + 9"));
	end();
	begin_logs();
	fixture("application.log", DOCTOR_SIDE_UNKNOWN);
	fixture("two-lines.log", DOCTOR_SIDE_UNKNOWN);
	judge();
	EXPECT_STR(id_at(0), "metis-no-completion-check");
	EXPECT(percent("metis-no-completion-check") >= 90);
	EXPECT_EQ(report.count, 3);
	end();
	begin_logs();
	fixture("application.log", DOCTOR_SIDE_UNKNOWN);
	fixture("version.log", DOCTOR_SIDE_UNKNOWN);
	judge();
	EXPECT_STR(id_at(0), "metis-no-completion-check");
	EXPECT(percent("metis-no-completion-check") >= 94);
	EXPECT(!asks(find("metis-no-completion-check"), "modinfo metis"));
	EXPECT(asks(find("metis-no-completion-check"), "vectors"));
	end();
}

static void test_case_logs_of_healed_and_healthy_machines_are_judged(void)
{
	begin_logs();
	fixture("healed.log", DOCTOR_SIDE_UNKNOWN);
	judge();
	EXPECT_EQ(report.count, 1);
	EXPECT_STR(id_at(0), "metis-interrupts-healed");
	end();
	begin_logs();
	fixture("healthy.log", DOCTOR_SIDE_UNKNOWN);
	judge();
	EXPECT_EQ(report.count, 0);
	end();
}

int main(void)
{
	RUN(test_case_versions_compare_as_numbers);
	RUN(test_case_message_gives_the_index_of_the_report);
	RUN(test_case_two_lines_alone_name_the_message_first);
	RUN(test_case_two_lines_ask_for_the_memory_that_decides);
	RUN(test_case_each_attempt_of_the_report_is_ruled_out);
	RUN(test_case_other_devices_are_left_to_the_general_rules);
	RUN(test_case_numbers_do_not_outweigh_what_the_host_lists);
	RUN(test_case_application_alone_likely_has_no_check);
	RUN(test_case_application_with_both_lines_fixes_the_check_first);
	RUN(test_case_version_and_vectors_in_lines_are_certain);
	RUN(test_case_guest_alone_is_certain_and_has_the_fixes_in_order);
	RUN(test_case_healthy_cards_have_no_finding);
	RUN(test_case_vm_with_viommu_has_the_guests_handle);
	RUN(test_case_vm_without_viommu_has_a_stale_message);
	RUN(test_case_address_in_guest_memory_speaks_against_a_stale_target);
	RUN(test_case_compatibility_message_is_a_plain_guests);
	RUN(test_case_host_and_guest_together_compute_the_index);
	RUN(test_case_message_in_the_guests_log_is_compared);
	RUN(test_case_registers_of_the_edma_beat_the_capability);
	RUN(test_case_requester_of_nobody_is_the_cards_in_an_emulated_host);
	RUN(test_case_healing_in_the_guest_is_a_warning);
	RUN(test_case_our_driver_told_not_to_check_has_cause_one);
	RUN(test_case_newer_driver_that_times_out_loses_interrupts);
	RUN(test_case_time_outs_on_a_host_of_its_own_blame_no_guest);
	RUN(test_case_scenarios_that_are_named_exist);
	RUN(test_case_fixes_name_what_proved_them);
	RUN(test_case_logs_of_host_and_application_are_judged);
	RUN(test_case_logs_of_healed_and_healthy_machines_are_judged);
	return tap_done();
}
