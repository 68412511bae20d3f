/* SPDX-License-Identifier: MIT */
/*
 * A Metis card in a guest, by lines: what the vendor's library and the drivers print, together with
 * what else somebody pasted, and with the counts of the guest's interrupts.
 */
#include "doctor/rules/judge.h"
#include "doctor/tests/judging.h"
#include "tests/tap.h"

#define CHECK "metis-no-completion-check"
#define LIBRARY                                                                           \
	"[libaxldev_linux.c:601] DMA_GET_XFER_SYNC_STATUS failed: Connection timed out\n" \
	"[AxeleraDmaBuf.cpp:201] DMABUF_METIS_WAIT failed: Connection timed out\n"        \
	"[libaxldev_linux.c:644] USR_DMA_XFER failed: Connection timed out\n"             \
	"[AxeleraDevice.cpp:590] axl_dma_xfer failed: Connection timed out\n"             \
	"[ERROR][load]: Failed to write module binary to device memory.\n"

static struct judging judging;

static void judge(const char *text)
{
	judging_init(&judging);
	judging_text(&judging, text);
	judging_judge(&judging);
}

static void end(void)
{
	judging_deinit(&judging);
}

static unsigned int percent(void)
{
	const struct doctor_finding *finding = judging_find(&judging, CHECK);

	return finding ? finding->confidence : 0;
}

static bool says(const char *part)
{
	const struct doctor_finding *finding = judging_find(&judging, CHECK);

	for (size_t i = 0; finding && i < finding->why_count; i++)
		if (strstr(finding->why[i], part))
			return true;
	return false;
}

static void test_library_alone_is_certain_and_says_what_would_exclude_it(void)
{
	judge(LIBRARY);
	EXPECT_STR(judging_first(&judging), CHECK);
	EXPECT(percent() >= 90 && percent() < 97);
	EXPECT(says("version 1.5.6 or newer"));
	EXPECT(says("32 vectors"));
	EXPECT(says("virtual IOMMU that remaps"));
	EXPECT(says("dma_poll=1"));
	end();
}

static void test_library_with_the_hosts_lines_is_fixed_first(void)
{
	judge(LIBRARY
	      "DMAR: [DMA Write NO_PASID] Request device [3b:00.0] fault addr 0x1c6400000 [fault "
	      "reason 0x05] PTE Write access is not set\n"
	      "DMAR: [INTR-REMAP] Request device [3b:00.0] fault index 0x49 [fault reason 0x22] "
	      "Present field in the IRTE entry is clear\n");
	EXPECT_STR(judging_first(&judging), CHECK);
	EXPECT(percent() >= 90);
	EXPECT(judging_find(&judging, "raw-msi-in-bar"));
	EXPECT(judging_find(&judging, "stale-dma-no-reset"));
	end();
}

static void test_one_line_or_another_programs_are_less(void)
{
	judge("[libaxldev_linux.c:601] USR_DMA_XFER failed: Connection timed out\n");
	EXPECT(percent() >= 60 && percent() < 90);
	end();
	judge("[runtime.c:1] DMA_GET_XFER_SYNC_STATUS failed: Connection timed out\n"
	      "[runtime.c:2] DMABUF_METIS_WAIT failed: Connection timed out\n"
	      "[runtime.c:3] USR_DMA_XFER failed: Connection timed out\n");
	EXPECT(percent() >= 60 && percent() < 90);
	end();
}

static void test_version_and_vectors_make_it_surer(void)
{
	judge(LIBRARY "metis/1.4.16, 6.8.0-100-generic, x86_64: installed\n");
	EXPECT(percent() >= 94);
	EXPECT(!says("version 1.5.6 or newer"));
	EXPECT(says("32 vectors"));
	end();
	judge(LIBRARY "filename: /lib/modules/6.8.0-9/updates/dkms/metis.ko\nversion: 1.4.16\n"
		      "axl 0000:01:00.0: metis-0:1:0: firmware 1.6.0, 1 MSI vector\n");
	EXPECT_EQ(percent(), 99);
	end();
}

static void test_what_excludes_it_does(void)
{
	judge(LIBRARY "metis/1.5.6, 6.8.0-100-generic, x86_64: installed\n");
	EXPECT_EQ(percent(), 0);
	EXPECT_STR(judging_first(&judging), "raw-msi-in-bar");
	end();
	judge(LIBRARY "axl 0000:01:00.0: metis-0:1:0: firmware 1.6.0, 32 MSI vectors\n");
	EXPECT_EQ(percent(), 0);
	end();
}

/* The host's log has the vectors that its own driver had before vfio-pci took the card. */
static void test_vectors_of_the_hosts_driver_are_not_the_guests(void)
{
	judge("[ 4.1] tethys_metis 0000:3b:00.0: metis-0:1:0: firmware 1.6.0, 32 MSI vectors\n"
	      "[ 9.2] vfio-pci 0000:3b:00.0: enabling device (0000 -> 0002)\n" LIBRARY);
	EXPECT(percent() >= 90);
	end();
}

static void test_our_driver_that_gives_up_lost_the_interrupt(void)
{
	judge("tethys_metis 0000:01:00.0: metis-0:1:0: firmware 1.6.0, 32 MSI vectors\n"
	      "tethys_metis 0000:01:00.0: DMA RD CH0 timed out (number 4, element 0 of 3): it is done, "
	      "but no interrupt told so; 'tethys doctor' finds out why\n");
	EXPECT_EQ(judging.report.count, 1);
	EXPECT_STR(judging_first(&judging), "raw-msi-in-bar");
	end();
}

static struct machine_device card;
static struct machine_metis metis;
static struct machine_irq irq[32];

/* A guest with a card of @vectors; @count interrupts have come on vector @at. */
static void judge_guest(const char *driver, const char *version, unsigned int vectors,
			unsigned int at, uint64_t count)
{
	judging_init(&judging);
	judging_text(&judging, LIBRARY);
	card = (struct machine_device){.bdf = judging_bdf("0000:01:00.0"),
				       .vendor = 0x1f9d,
				       .device = 0x1100,
				       .driver = driver,
				       .group = -1};
	metis = (struct machine_metis){.device = &card,
				       .driver = driver,
				       .driver_version = version,
				       .vectors = vectors,
				       .check_done = YES,
				       .healing = NO,
				       .host_driver_area = YES};
	for (unsigned int i = 0; i < vectors; i++)
		irq[i] = (struct machine_irq){.number = "40",
					      .chip = "PCI-MSI-0000:01:00.0",
					      .name = driver,
					      .device = card.bdf,
					      .has_device = true,
					      .count = i == at ? count : 0};
	judging.machine[0] = (struct machine){.name = "guest",
					      .side = DOCTOR_SIDE_GUEST,
					      .is_vm = YES,
					      .device = &card,
					      .device_count = 1,
					      .metis = &metis,
					      .metis_count = 1,
					      .irq = irq,
					      .irq_count = vectors,
					      .uptime_s = -1};
	judging.machine_count = 1;
	judging_judge(&judging);
}

static void raw_is(unsigned int percent)
{
	const struct doctor_finding *finding = judging_find(&judging, "raw-msi-in-bar");

	EXPECT_EQ(finding ? finding->confidence : 0, percent);
	if (finding) {
		EXPECT(finding->guest);
		EXPECT_STR(finding->machine, "guest");
	}
	end();
}

static void test_counts_of_dma_interrupts_decide_whether_they_get_lost(void)
{
	/* The firmware's, number 0, and the last that is no DMA channel's prove nothing. */
	judge_guest("metis", "1.6.2", 32, 0, 5);
	raw_is(78);
	judge_guest("metis", "1.6.2", 32, 12, 5);
	raw_is(78);
	judge_guest("metis", "1.6.2", 32, 4, 5);
	raw_is(0);
	judge_guest("metis", "1.6.2", 32, 11, 1);
	raw_is(0);
	judge_guest("metis", "1.6.2", 1, 0, 0);
	raw_is(78);
	judge_guest("metis", "1.6.2", 1, 0, 7);
	raw_is(45);
	judge_guest("tethys_metis", "0.3.0", 1, 0, 7);
	raw_is(0);
}

static void test_counts_are_evidence_for_the_missing_check(void)
{
	const struct doctor_finding *finding;
	bool told = false;

	judge_guest("metis", "1.4.16", 1, 0, 8);
	EXPECT_EQ(percent(), 99);
	finding = judging_find(&judging, CHECK);
	for (size_t i = 0; finding && i < finding->evidence_count; i++)
		told |= !strncmp(finding->evidence[i].text, "8 interrupts", 12);
	EXPECT(told);
	end();
}

int main(void)
{
	RUN(test_library_alone_is_certain_and_says_what_would_exclude_it);
	RUN(test_library_with_the_hosts_lines_is_fixed_first);
	RUN(test_one_line_or_another_programs_are_less);
	RUN(test_version_and_vectors_make_it_surer);
	RUN(test_what_excludes_it_does);
	RUN(test_vectors_of_the_hosts_driver_are_not_the_guests);
	RUN(test_our_driver_that_gives_up_lost_the_interrupt);
	RUN(test_counts_of_dma_interrupts_decide_whether_they_get_lost);
	RUN(test_counts_are_evidence_for_the_missing_check);
	return tap_done();
}
