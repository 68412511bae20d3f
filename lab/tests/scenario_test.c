// SPDX-License-Identifier: MIT
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "doctor/rules/rule.h"
#include "lab/dir.h"
#include "lab/scenario.h"
#include "tests/tap.h"

#define STEP "[step a]\nrun = true\n"
#define GUEST_STEP "[step a]\nin = guest\nrun = true\n"

static struct lab_scenario *parse(const char *text)
{
	struct lab_scenario *scenario = NULL;
	struct reason why = {0};

	if (lab_scenario_parse("dir/some-name.scenario", text, strlen(text), &scenario, &why))
		TAP_FAIL("refused: %s", why.text);
	return scenario;
}

/* The message is @words behind file and @line. */
static void expect_refused(const char *text, unsigned int line, const char *words)
{
	struct lab_scenario *scenario = NULL;
	struct reason why = {0};
	char start[64];

	EXPECT_EQ(lab_scenario_parse("t.scenario", text, strlen(text), &scenario, &why), -EINVAL);
	EXPECT(!scenario);
	snprintf(start, sizeof(start), "t.scenario:%u: ", line);
	EXPECT_HAS(why.text, start);
	EXPECT_HAS(why.text, words);
	EXPECT(!strchr(why.text, '\n'));
}

/* One line of [host] or another section, in line 3. */
static void expect_key_refused(const char *section, const char *key, const char *words)
{
	char text[1024];

	snprintf(text, sizeof(text), "title = t\n[%s]\n%s\n" STEP, section, key);
	expect_refused(text, 3, words);
}

/* A step beside which is nothing. */
static void expect_step_refused(const char *keys, unsigned int line, const char *words)
{
	char text[2048];

	snprintf(text, sizeof(text), "title = t\n[step a]\n%s\n", keys);
	expect_refused(text, line, words);
}

static void test_scenario_least_has_all_defaults(void)
{
	struct lab_scenario *s = parse("title = t\n" STEP);

	ASSERT(s);
	EXPECT_STR(s->name, "some-name");
	EXPECT_STR(s->path, "dir/some-name.scenario");
	EXPECT_STR(s->title, "t");
	EXPECT_STR(s->about, "");
	EXPECT(!s->card.personality && !s->card.engine && !s->card.raw_imwr && s->card.direct);
	EXPECT_EQ(s->card.keep_imwr, -1);
	EXPECT(!s->card.mirror_dma && !s->card.latch_target && !s->card.count_accesses);
	EXPECT_EQ(s->card.seed.count, 0);
	EXPECT_STR(s->host.cmdline, "intel_iommu=on iommu=pt");
	EXPECT_STR(s->host.driver, "vfio-pci");
	EXPECT_EQ(s->host.memory_mib, 1536);
	EXPECT_EQ(s->host.cpus, 2);
	EXPECT_EQ(s->host.hugepages, 0);
	EXPECT_EQ(s->host.occupied, 0);
	EXPECT(!s->host.driver_parameters);
	EXPECT(s->host.iommu && s->host.intremap && !s->host.lab_vfio);
	EXPECT(!s->guest[0].present && !s->guest[1].present);
	ASSERT_EQ(s->steps, 1);
	EXPECT_STR(s->step[0].title, "a");
	EXPECT_EQ(s->step[0].line, 2);
	EXPECT_EQ(s->step[0].action, LAB_DO_RUN);
	EXPECT_EQ(s->step[0].where, LAB_IN_HOST);
	EXPECT_STR(s->step[0].command, "true");
	EXPECT_EQ(s->step[0].within_ms, 60000);
	EXPECT_EQ(s->step[0].exit, 0);
	EXPECT_EQ(s->step[0].at_most_ms, 0);
	EXPECT(!s->step[0].background);
	EXPECT_EQ(s->expects, 0);
	EXPECT(s->isolation);
	lab_scenario_destroy(s);
}

static void test_scenario_machines_take_all_keys(void)
{
	struct lab_scenario *s = parse(
		"title = t\n"
		"[card]\npersonality = 1.6.0\nengine = null\nraw imwr = yes\nkeep imwr = no\n"
		"mirror dma = yes\nlatch target = yes\ncount accesses = yes\n"
		"direct = no\nseed = poke 0x60 0xfee00418\nseed = stall 1\n"
		"[host]\nkernel = intel_iommu=on\nmodule = kvm_amd nested=1 npt=0\nmodule = loop\n"
		"driver = none\nmemory = 2G\nhugepages = 512M\ncpus = 4\niommu = yes\n"
		"interrupt remapping = no\nvfio = lab\noccupied interrupts = 8\n"
		"[guest]\npass = iommufd\nkernel = quiet\nirqchip = split\ndriver = vfio-pci\n"
		"module = a\nmemory = 512M\ncpus = 2\nhugepages = yes\nprealloc = yes\n"
		"numa = yes\nviommu = yes\n"
		"[guest 2]\npass = none\n" GUEST_STEP "[step b]\nin = guest 2\nrun = true\n");
	const struct lab_scenario_guest *g;

	ASSERT(s);
	EXPECT_STR(s->card.personality, "1.6.0");
	EXPECT_STR(s->card.engine, "null");
	EXPECT(s->card.raw_imwr && !s->card.direct);
	EXPECT(s->card.mirror_dma && s->card.latch_target && s->card.count_accesses);
	EXPECT_EQ(s->card.keep_imwr, 0);
	ASSERT_EQ(s->card.seed.count, 2);
	EXPECT_STR(s->card.seed.item[0], "poke 0x60 0xfee00418");
	EXPECT_STR(s->card.seed.item[1], "stall 1");
	EXPECT_STR(s->host.cmdline, "intel_iommu=on");
	ASSERT_EQ(s->host.modules.count, 2);
	EXPECT_STR(s->host.modules.item[0], "kvm_amd nested=1 npt=0");
	EXPECT_STR(s->host.driver, "none");
	EXPECT_EQ(s->host.memory_mib, 2048);
	EXPECT_EQ(s->host.hugepages, 256);
	EXPECT_EQ(s->host.cpus, 4);
	EXPECT(s->host.iommu && !s->host.intremap && s->host.lab_vfio);
	EXPECT_EQ(s->host.occupied, 8);
	g = &s->guest[0];
	EXPECT(g->present && g->hugepages && g->prealloc && g->numa && g->viommu);
	EXPECT_EQ(g->pass, LAB_PASS_IOMMUFD);
	EXPECT_STR(g->cmdline, "quiet");
	EXPECT_STR(g->irqchip, "split");
	EXPECT_STR(g->driver, "vfio-pci");
	EXPECT_EQ(g->modules.count, 1);
	EXPECT_EQ(g->memory_mib, 512);
	EXPECT_EQ(g->cpus, 2);
	g = &s->guest[1];
	EXPECT(g->present && !g->hugepages && !g->viommu && !g->irqchip);
	EXPECT_EQ(g->pass, LAB_PASS_NONE);
	EXPECT_STR(g->driver, "none");
	EXPECT_STR(g->cmdline, "");
	EXPECT_EQ(g->memory_mib, 384);
	EXPECT_EQ(g->cpus, 1);
	lab_scenario_destroy(s);
}

static void test_scenario_guest_defaults_follow_its_iommu(void)
{
	struct lab_scenario *s = parse("title = t\n[guest]\n" GUEST_STEP);

	ASSERT(s);
	EXPECT_STR(s->guest[0].driver, "vfio-noiommu");
	EXPECT_STR(s->guest[0].cmdline, "");
	EXPECT_EQ(s->guest[0].pass, LAB_PASS_GROUP);
	lab_scenario_destroy(s);
	s = parse("title = t\n[host]\niommu = no\n[guest]\nviommu = yes\n" GUEST_STEP);
	ASSERT(s);
	EXPECT_STR(s->guest[0].driver, "vfio-pci");
	EXPECT_STR(s->guest[0].cmdline, "intel_iommu=on iommu=pt");
	EXPECT(!s->host.iommu && !s->host.intremap);
	lab_scenario_destroy(s);
}

static void test_scenario_own_driver_takes_parameters(void)
{
	struct lab_scenario *s =
		parse("title = t\n[host]\ndriver = tethys_metis\n"
		      "driver parameters = healing=0  dma_poll=1\n"
		      "[guest]\ndriver = tethys_metis\ndriver parameters = irq_timeout=500\n"
		      "[guest 2]\ndriver = tethys_metis\nviommu = yes\n" GUEST_STEP
		      "[step b]\nin = guest 2\nrun = true\n");

	ASSERT(s);
	EXPECT_STR(s->host.driver, LAB_DRIVER_METIS);
	EXPECT_STR(s->host.driver_parameters, "healing=0  dma_poll=1");
	EXPECT_STR(s->guest[0].driver, LAB_DRIVER_METIS);
	EXPECT_STR(s->guest[0].driver_parameters, "irq_timeout=500");
	EXPECT_STR(s->guest[1].driver, LAB_DRIVER_METIS);
	EXPECT(!s->guest[1].driver_parameters && s->guest[1].viommu);
	lab_scenario_destroy(s);
}

static void test_scenario_each_action_is_understood(void)
{
	struct lab_scenario *s =
		parse("title = t\n[guest]\n[guest 2]\n"
		      "[step 1]\ndo = start guest\nwithin = 3 min\n"
		      "[step 2]\ndo = start guest 2\nexit = 1\nprints = /busy/\n"
		      "[step 3]\nin = guest\nrun = job\nbackground = yes\nexit = any\n"
		      "[step 4]\ndo = wait for host log /a\\/b/\n"
		      "[step 5]\ndo = wait for guest 2 qemu /x/\n"
		      "[step 6]\ndo = kill card\n"
		      "[step 6b]\ndo = pull card\n"
		      "[step 7]\ndo = new card\n"
		      "[step 8]\ndo = card dma-write 0x149800000 4\nprints = /result/\n"
		      "[step 9]\ndo = wait for step 3\n"
		      "[step 10]\ndo = stop guest\n"
		      "[step 11]\ndo = start guest\n"
		      "[step 12]\ndo = kill guest\n");
	const struct lab_step *step;

	ASSERT(s);
	ASSERT_EQ(s->steps, 13);
	step = s->step;
	EXPECT_EQ(step[0].action, LAB_DO_START_GUEST);
	EXPECT_EQ(step[0].where, LAB_IN_GUEST1);
	EXPECT_EQ(step[0].within_ms, 180000);
	EXPECT_EQ(step[1].where, LAB_IN_GUEST2);
	EXPECT_EQ(step[1].exit, 1);
	EXPECT_EQ(step[1].within_ms, 120000);
	ASSERT_EQ(step[1].prints.count, 1);
	EXPECT_STR(step[1].prints.item[0].source, "busy");
	EXPECT(step[2].background);
	EXPECT_EQ(step[2].exit, -1);
	EXPECT_EQ(step[3].action, LAB_DO_WAIT_LOG);
	EXPECT_EQ(step[3].log, LAB_LOG_HOST);
	EXPECT_STR(step[3].pattern.source, "a/b");
	EXPECT_EQ(step[4].log, LAB_LOG_GUEST2_QEMU);
	EXPECT_EQ(step[5].action, LAB_DO_KILL_CARD);
	EXPECT_EQ(step[6].action, LAB_DO_PULL_CARD);
	EXPECT_EQ(step[7].action, LAB_DO_NEW_CARD);
	EXPECT_EQ(step[8].action, LAB_DO_CARD);
	EXPECT_STR(step[8].command, "dma-write 0x149800000 4");
	EXPECT_EQ(step[8].within_ms, 10000);
	EXPECT_EQ(step[9].action, LAB_DO_WAIT_STEP);
	EXPECT_STR(step[9].command, "3");
	EXPECT_EQ(step[10].action, LAB_DO_STOP_GUEST);
	EXPECT_EQ(step[12].action, LAB_DO_KILL_GUEST);
	lab_scenario_destroy(s);
}

static void test_scenario_end_is_understood(void)
{
	struct lab_scenario *s = parse("title = t\n[guest]\n" GUEST_STEP "[at the end]\n"
				       "host log = 1 x /a/\nhost log = no /b/\nguest log = /c/\n"
				       "host qemu = /d/\nguest qemu = /e/\ncard log = no /f/\n"
				       "isolation = no\n");

	ASSERT(s);
	ASSERT_EQ(s->expects, 6);
	EXPECT_EQ(s->expect[0].log, LAB_LOG_HOST);
	EXPECT_EQ(s->expect[0].line, 7);
	EXPECT_EQ(s->expect[0].pattern.min, 1);
	EXPECT_EQ(s->expect[0].pattern.max, 1);
	EXPECT_EQ(s->expect[1].pattern.max, 0);
	EXPECT_EQ(s->expect[2].log, LAB_LOG_GUEST1);
	EXPECT_EQ(s->expect[3].log, LAB_LOG_HOST_QEMU);
	EXPECT_EQ(s->expect[4].log, LAB_LOG_GUEST1_QEMU);
	EXPECT_EQ(s->expect[5].log, LAB_LOG_CARD);
	EXPECT(!s->isolation);
	EXPECT_STR(lab_log_name(LAB_LOG_GUEST2), "guest 2 log");
	lab_scenario_destroy(s);
}

static void test_scenario_guest_nobody_starts_is_started_before_its_first_step(void)
{
	struct lab_scenario *s = parse("title = t\n[guest]\n[guest 2]\npass = none\n"
				       "[step h]\nin = host\nrun = true\n"
				       "[step g]\nin = guest\nrun = true\n"
				       "[step g2]\nin = guest 2\nrun = true\n"
				       "[step g3]\nin = guest\nrun = true\n");

	ASSERT(s);
	ASSERT_EQ(s->steps, 6);
	EXPECT_STR(s->step[0].title, "h");
	EXPECT_STR(s->step[1].title, "guest");
	EXPECT_EQ(s->step[1].line, 2);
	EXPECT_EQ(s->step[1].action, LAB_DO_START_GUEST);
	EXPECT_EQ(s->step[1].where, LAB_IN_GUEST1);
	EXPECT_EQ(s->step[1].within_ms, 120000);
	EXPECT_STR(s->step[2].title, "g");
	EXPECT_STR(s->step[3].title, "guest 2");
	EXPECT_EQ(s->step[3].line, 3);
	EXPECT_EQ(s->step[3].where, LAB_IN_GUEST2);
	EXPECT_STR(s->step[4].title, "g2");
	EXPECT_STR(s->step[5].title, "g3");
	lab_scenario_destroy(s);
}

static void test_scenario_values_go_on_in_lines_with_a_blank(void)
{
	struct lab_scenario *s = parse("# Comment.\n"
				       "title = a  b\n"
				       "about = One\n"
				       "\ttwo = 2\n"
				       "  # Comment.\n"
				       "  three.\n"
				       "\n"
				       "[step a]\n"
				       "run = one &&\n"
				       "# Comment.\n"
				       "      two\n"
				       "within =\n"
				       "\t3 s\n");

	ASSERT(s);
	EXPECT_STR(s->title, "a  b");
	EXPECT_STR(s->about, "One\ntwo = 2\nthree.");
	EXPECT_STR(s->step[0].command, "one && two");
	EXPECT_EQ(s->step[0].within_ms, 3000);
	lab_scenario_destroy(s);
}

static void test_scenario_line_ends_and_utf8_do_not_matter(void)
{
	struct lab_scenario *s = parse("\xef\xbb\xbftitle = Gr\xc3\xbc\xc3\x9f"
				       "e\r\n\r\n[ step  a ]\r\nrun=true \t\r\nwithin = 1 s");

	ASSERT(s);
	EXPECT_STR(s->title, "Gr\xc3\xbc\xc3\x9f"
			     "e");
	EXPECT_STR(s->step[0].title, "a");
	EXPECT_STR(s->step[0].command, "true");
	EXPECT_EQ(s->step[0].within_ms, 1000);
	lab_scenario_destroy(s);
}

static void test_scenario_bad_line_is_named(void)
{
	expect_refused("", 1, "starts with title =");
	expect_refused("title = t\n", 1, "at least one [step TITLE]");
	expect_refused(STEP, 1, "starts with title =");
	expect_refused("title\n", 1, "\"title\" is neither [SECTION] nor KEY = VALUE");
	expect_refused("= t\n", 1, "before the = stands a key");
	expect_refused("\n  title = t\n", 2, "there is no KEY = VALUE");
	expect_refused("title = t\n\n\tgoes on\n", 3, "there is no KEY = VALUE");
	expect_refused("title = t\ntitle = u\n", 2, "title is there twice in the first lines");
	expect_refused("title =\n", 1, "title has no value");
	expect_refused("title = a\033[31mb\n", 1, "byte 0x1b is no text");
	expect_refused("title = t\n[host\n", 2, "ends with ]");
	expect_refused("title = t\n[hots]\n", 2, "is [host] meant?");
	expect_refused("title = t\n[zebra]\n", 2, "there are [card], [host], [guest]");
	expect_refused("title = t\n[host]\n[card]\n[host]\n", 4, "was there in line 2");
	expect_refused("title = t\n[guest]\n[guest]\n", 3, "was there in line 2");
	expect_refused("title = t\n[step]\n", 2, "a step has a title");
}

static void test_scenario_nul_is_refused(void)
{
	static const char text[] = "title = t\nabout = a\0b\n" STEP;
	struct lab_scenario *scenario = NULL;
	struct reason why = {0};

	EXPECT_EQ(lab_scenario_parse("t", text, sizeof(text) - 1, &scenario, &why), -EINVAL);
	EXPECT_STR(why.text, "t:2: byte 0x00 is no text");
}

static void test_scenario_unknown_key_gets_a_suggestion(void)
{
	expect_key_refused("host", "memroy = 1G",
			   "[host] has no key \"memroy\"; is \"memory\" meant?");
	expect_key_refused("host", "kernal = x", "is \"kernel\" meant?");
	expect_key_refused("host", "Driver = none", "is \"driver\" meant?");
	expect_key_refused("host", "interrupt-remapping = no", "is \"interrupt remapping\" meant?");
	expect_key_refused("host", "viommu = yes", "\"viommu\" belongs in [guest], not in [host]");
	expect_key_refused("card", "xyzzy = 1",
			   "it has personality, engine, raw imwr, keep imwr, mirror dma, "
			   "latch target, count accesses, direct or seed");
	expect_step_refused("runs = true", 3, "is \"run\" meant?");
	expect_step_refused("print = /x/", 3, "is \"prints\" meant?");
	expect_step_refused("host log = /x/", 3, "\"host log\" belongs in [at the end]");
}

static void test_scenario_bad_value_says_what_is_right(void)
{
	expect_key_refused("card", "raw imwr = true", "raw imwr = true: must be yes or no");
	expect_key_refused("card", "keep imwr = maybe", "must be yes or no");
	expect_key_refused("card", "personality = --x", "must be one word");
	expect_key_refused("host", "memory = 1024", "must be a number with M or G, 512M to 64G");
	expect_key_refused("host", "memory = 65G", "512M to 64G");
	expect_key_refused("host", "memory = 99999999999999999999G", "512M to 64G");
	expect_key_refused("host", "memory = -1G", "512M to 64G");
	expect_key_refused("host", "cpus = 0", "must be a number from 1 to 16");
	expect_key_refused("host", "cpus = 2 or so", "must be a number from 1 to 16");
	expect_key_refused("host", "driver = vfio", "must be vfio-pci, tethys_metis or none");
	expect_key_refused("host", "driver parameters = healing", "must be PARAMETER=VALUE");
	expect_key_refused("host", "driver parameters = a=1; reboot", "without quotes");
	expect_key_refused("guest", "driver parameters = a=$(reboot)", "without quotes");
	expect_key_refused("guest", "driver parameters = a=1\n b=`x`", "without quotes");
	expect_key_refused("host", "occupied interrupts = 7", "must be even");
	expect_key_refused("host", "occupied interrupts = 2", "must be a number from 4 to 128");
	expect_key_refused("host", "occupied interrupts = 130", "must be a number from 4 to 128");
	expect_key_refused("host", "vfio = mine", "must be debian or lab");
	expect_key_refused("host", "module = a $(reboot)", "must be NAME or NAME PARAMETER=VALUE");
	expect_key_refused("host", "module = a b=$(reboot)", "without quotes");
	expect_key_refused("host", "module = a;reboot", "must be NAME");
	expect_key_refused("host", "module = -r a=1", "must be NAME");
	expect_key_refused("guest", "pass = all", "must be group, iommufd or none");
	expect_key_refused("guest", "irqchip = yes", "must be on or split");
	expect_key_refused("guest", "memory = 63M", "64M to 64G");
	expect_key_refused("at the end", "host log = DMAR", "a pattern is /REGEX/");
	expect_key_refused("at the end", "host log = 1 x /[/", "no regular expression");
	expect_key_refused("at the end", "isolation = 1", "must be yes or no");
	expect_step_refused("run = true\nwithin = 5", 4, "must be a number with ms, s or min");
	expect_step_refused("run = true\nwithin = 61 min", 4, "up to 60 min");
	expect_step_refused("run = true\nwithin = 0 s", 4, "must be a number");
	expect_step_refused("run = true\nexit = 256", 4, "must be a number up to 255, or any");
	expect_step_refused("run = true\nexit = -1", 4, "must be a number up to 255, or any");
	expect_step_refused("in = guest 3\nrun = true", 3, "must be host, guest or guest 2");
	expect_step_refused("run = true\nprints = /a{1000}{1000}/", 4, "written out");
}

static void test_scenario_bad_action_says_what_is_right(void)
{
	expect_step_refused("do = kil card", 3, "is \"kill card\" meant?");
	expect_step_refused("do = dance", 3, "must be start, stop or kill guest");
	expect_step_refused("do = wait for rain", 3, "\"step TITLE\" or a log and /REGEX/");
	expect_step_refused("do = wait for host log 1 x /a/", 3, "is followed by /REGEX/");
	expect_step_refused("do = wait for host log /(/", 3, "no regular expression");
}

static void test_scenario_step_keys_must_fit_together(void)
{
	expect_step_refused("within = 1 s", 2, "must have either run = or do =");
	expect_step_refused("run = true\ndo = kill card", 2, "must have either run = or do =");
	expect_step_refused("run = true\ndo = card stats", 2, "must have either run = or do =");
	expect_step_refused("do = card stats\nrun = true", 2, "must have either run = or do =");
	expect_step_refused("do = kill card\nexit = 1", 2, "exit has no sense beside its do =");
	expect_step_refused("do = kill card\nin = host", 2, "in has no sense");
	expect_step_refused("do = kill card\nbackground = yes", 2, "background has no sense");
	expect_step_refused("do = card stats\nat most = 1 s", 2, "at most has no sense");
	expect_step_refused("run = true\nwithin = 1 s\nat most = 2 s", 2, "must be less");
	expect_refused("title = t\n[guest]\n[step a]\ndo = start guest\nexit = any\n", 3,
		       "exit of a start must be 0");
	expect_refused("title = t\n[guest]\n" STEP, 3, "must say where: in = host or in = guest");
}

static void test_scenario_machines_must_fit_together(void)
{
	expect_refused("title = t\n[host]\nhugepages = 1400M\n" STEP, 2,
		       "[host] needs 256M beside");
	expect_refused("title = t\n[guest 2]\n[step a]\nin = guest 2\nrun = true\n", 2,
		       "[guest 2] without [guest]");
	expect_refused("title = t\n[guest]\nmemory = 2G\n" GUEST_STEP, 2,
		       "doesn't fit into a host");
	expect_refused("title = t\n[guest]\nhugepages = yes\n" GUEST_STEP, 2,
		       "needs hugepages = 384M or more in [host]");
	expect_refused("title = t\n[guest]\ndriver = vfio-pci\n" GUEST_STEP, 2,
		       "needs viommu = yes");
	expect_refused("title = t\n[guest]\ndriver = vfio-noiommu\nviommu = yes\n" GUEST_STEP, 2,
		       "with viommu = yes the driver is vfio-pci");
	expect_refused("title = t\n[guest]\npass = none\ndriver = vfio-noiommu\n" GUEST_STEP, 2,
		       "needs a card, but pass = none");
	expect_refused("title = t\n[guest]\npass = none\ndriver = tethys_metis\n" GUEST_STEP, 2,
		       "needs a card, but pass = none");
	expect_refused("title = t\n[guest]\ndriver parameters = a=1\n" GUEST_STEP, 2,
		       "driver parameters are for driver = tethys_metis");
	expect_refused("title = t\n[host]\ndriver = vfio-pci\ndriver parameters = a=1\n" STEP, 2,
		       "driver parameters are for driver = tethys_metis");
	expect_refused("title = t\n[guest]\npass = iommufd\n" GUEST_STEP, 2,
		       "needs vfio = lab in [host]");
	expect_refused("title = t\n[guest]\nviommu = yes\nirqchip = on\n" GUEST_STEP, 2,
		       "needs irqchip = split");
}

static void test_scenario_steps_must_make_sense_in_their_order(void)
{
	expect_refused("title = t\n" GUEST_STEP, 2, "there is no [guest]");
	expect_refused("title = t\n" STEP STEP, 4,
		       "two steps have the title \"a\", the other in "
		       "line 2");
	expect_refused("title = t\n[guest]\n[step guest]\nin = guest\nrun = true\n", 3,
		       "the title \"guest\"");
	expect_refused("title = t\n[guest]\n[step a]\nin = host\nrun = true\n", 2,
		       "no step is in the guest or starts it");
	expect_refused("title = t\n[guest]\n[step a]\ndo = start guest\n"
		       "[step b]\ndo = start guest\n",
		       5, "the guest runs already");
	expect_refused("title = t\n[guest]\n[step a]\ndo = start guest\nexit = 1\n"
		       "[step b]\nin = guest\nrun = true\n",
		       6, "the guest isn't running at this point");
	expect_refused("title = t\n[guest]\n[step a]\ndo = start guest\n[step b]\ndo = kill guest\n"
		       "[step c]\nin = guest\nrun = true\n",
		       7, "the guest isn't running at this point");
	expect_refused("title = t\n[guest]\n[step a]\ndo = stop guest\n", 3, "isn't running");
	expect_refused("title = t\n[step a]\ndo = new card\n", 2, "the card is alive");
	expect_refused("title = t\n[step a]\ndo = pull card\n", 2, "the card is alive");
	expect_refused("title = t\n[step a]\ndo = kill card\n[step b]\ndo = card stats\n", 4,
		       "the card is dead");
	expect_refused("title = t\n[step a]\ndo = kill card\n[step b]\ndo = kill card\n", 4,
		       "the card is dead");
	expect_refused("title = t\n[step a]\ndo = wait for guest log /x/\n", 2,
		       "there is no [guest]");
	expect_refused("title = t\n" STEP "[at the end]\nguest 2 log = /x/\n", 5,
		       "there is no [guest 2]");
	expect_refused("title = t\n" STEP "[step b]\ndo = wait for step a\n", 4,
		       "no background = yes");
	expect_refused("title = t\n[step b]\ndo = wait for step a\n" STEP, 2,
		       "no step before it has this title");
	expect_refused("title = t\n" STEP "background = yes\n[step b]\ndo = wait for step a\n"
		       "[step c]\ndo = wait for step a\n",
		       7, "was waited for before");
}

/* @count steps in a buffer of the caller's. */
static void put_steps(char *text, unsigned int count)
{
	unsigned int i;

	text += sprintf(text, "title = t\n");
	for (i = 0; i < count; i++)
		text += sprintf(text, "[step %u]\nrun = true\nin = host\n", i);
}

static void test_scenario_counts_are_bounded(void)
{
	static char text[512 * 1024];
	struct lab_scenario *scenario;
	struct reason why = {0};
	size_t len, i;

	put_steps(text, LAB_STEPS_MAX);
	scenario = parse(text);
	EXPECT_EQ(scenario ? scenario->steps : 0, LAB_STEPS_MAX);
	lab_scenario_destroy(scenario);
	put_steps(text, LAB_STEPS_MAX + 1);
	expect_refused(text, 2 + LAB_STEPS_MAX * 3, "over 64 steps");
	len = (size_t)sprintf(text, "title = t\n[card]\n");
	for (i = 0; i < 100; i++)
		len += (size_t)sprintf(text + len, "seed = stats\n");
	expect_refused(text, 3 + 64, "seed is there over 64 times");
	len = (size_t)sprintf(text, "title = t\nabout = ");
	memset(text + len, 'a', 9000);
	text[len + 9000] = '\0';
	expect_refused(text, 2, "about has over 8192 bytes");
	memset(text, '\n', sizeof(text));
	EXPECT_EQ(lab_scenario_parse("t", text, 256 * 1024 + 1, &scenario, &why), -EFBIG);
	EXPECT_STR(why.text, "t: over 256 KiB");
}

static void test_scenario_inserted_start_counts_as_step(void)
{
	static char text[16 * 1024];

	put_steps(text, LAB_STEPS_MAX - 1);
	strcat(text, "[step g]\nin = guest\nrun = true\n[guest]\n");
	expect_refused(text, 2 + (LAB_STEPS_MAX - 1) * 3 + 3, "over 64 steps");
}

static void expect_load_refused(const char *path, int err, const char *words)
{
	struct lab_scenario *scenario = NULL;
	struct reason why = {0};

	EXPECT_EQ(lab_scenario_load(path, &scenario, &why), err);
	EXPECT_HAS(why.text, words);
	EXPECT(!scenario);
}

static void test_scenario_load_takes_only_well_named_files(void)
{
	char dir[] = "/tmp/scenario_test.XXXXXX", path[64];
	struct lab_scenario *scenario = NULL;
	FILE *file;

	expect_load_refused("x.txt", -EINVAL, "NAME.scenario");
	expect_load_refused(".scenario", -EINVAL, "NAME.scenario");
	expect_load_refused("/x/a b.scenario", -EINVAL, "letters, digits");
	expect_load_refused("/x/-b.scenario", -EINVAL, "letters, digits");
	expect_load_refused("/nowhere/a.scenario", -ENOENT, "/nowhere/a.scenario: No such file");
	ASSERT(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/good-1.scenario", dir);
	file = fopen(path, "w");
	ASSERT(file);
	fputs("title = t\n" STEP, file);
	fclose(file);
	EXPECT_EQ(lab_scenario_load(path, &scenario, NULL), 0);
	if (scenario)
		EXPECT_STR(scenario->name, "good-1");
	lab_scenario_destroy(scenario);
	unlink(path);
	rmdir(dir);
}

static void test_scenario_doctor_is_understood(void)
{
	struct lab_scenario *s = parse("title = t\n[guest]\n" GUEST_STEP "[at the end]\n"
				       "doctor = raw-msi-in-bar , stale-dma-no-reset\n"
				       "guest doctor = healthy\ndoctor together = a\n"
				       "doctor also = b,c\n");

	ASSERT(s);
	ASSERT_EQ(s->doctor.ids.count, 2);
	EXPECT_STR(s->doctor.ids.item[0], "raw-msi-in-bar");
	EXPECT_STR(s->doctor.ids.item[1], "stale-dma-no-reset");
	EXPECT(s->guest_doctor.asked);
	EXPECT_EQ(s->guest_doctor.ids.count, 0);
	EXPECT(s->doctor_together.asked);
	ASSERT_EQ(s->doctor_also.count, 2);
	EXPECT_STR(s->doctor_also.item[1], "c");
	lab_scenario_destroy(s);
	s = parse("title = t\n" STEP);
	ASSERT(s);
	EXPECT(!s->doctor.asked && !s->guest_doctor.asked && !s->doctor_together.asked);
	lab_scenario_destroy(s);
}

static void test_scenario_doctor_must_make_sense(void)
{
	static const struct {
		const char *text;
		unsigned int line;
		const char *words;
	} cases[] = {
		{"title = t\n" STEP "[at the end]\ndoctor =\n", 5, "doctor has no value"},
		{"title = t\n" STEP "[at the end]\ndoctor = a b\n", 5, "must be the ids"},
		{"title = t\n" STEP "[at the end]\ndoctor = a,\n", 5, "must be the ids"},
		{"title = t\n" STEP "[at the end]\ndoctor = a, healthy\n", 5, "must be the ids"},
		{"title = t\n" STEP "[at the end]\ndoctor = Iommu-Off\n", 5, "must be the ids"},
		{"title = t\n" STEP "[at the end]\ndoctor = a, b, a\n", 5, "doctor has a twice"},
		{"title = t\n" STEP "[at the end]\ndoctor = a\ndoctor = b\n", 6, "there twice"},
		{"title = t\n" STEP "[at the end]\ndoctor also = a\n", 4, "beside no doctor"},
		{"title = t\n" STEP "[at the end]\nguest doctor = a\n", 4, "there is no [guest]"},
		{"title = t\n[guest]\n" GUEST_STEP "[step b]\ndo = kill guest\n"
		 "[at the end]\ndoctor together = a\n",
		 8, "it isn't running at the end"},
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		expect_refused(cases[i].text, cases[i].line, cases[i].words);
}

/* Files of a folder of their own; parse() and expect_refused() find them beside their own path. */
static void write_original(const char *name, const char *text)
{
	static const char *const dirs[] = {".", "dir"};
	char path[64];
	FILE *file;
	size_t i;

	for (i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/%s", dirs[i], name);
		file = fopen(path, "w");
		if (!file || fputs(text, file) < 0 || fclose(file))
			TAP_FAIL("%s: %s", path, strerror(errno));
	}
}

static char like_dir[] = "/tmp/tethys-like-XXXXXX";

static const char original[] = "title = The original\nabout = Of it\n"
			       "[card]\npersonality = 1.6.0\nraw imwr = yes\nseed = stats\n"
			       "[host]\nmodule = a\nmodule = b\nmemory = 6G\n"
			       "occupied interrupts = 8\n"
			       "[guest]\nviommu = yes\ndriver = tethys_metis\n"
			       "[step One]\nin = host\nrun = one\n"
			       "[step Two]\nin = guest\nrun = two\n"
			       "[at the end]\nhost log = /a/\nhost log = /b/\nguest log = /c/\n"
			       "doctor = a, b\ndoctor also = c\n";

static void test_scenario_like_takes_over_what_is_not_said(void)
{
	struct lab_scenario *s;

	write_original("t-original.scenario", original);
	s = parse("like = t-original\ntitle = t\n");
	ASSERT(s);
	EXPECT_STR(s->name, "some-name");
	EXPECT_STR(s->title, "t");
	EXPECT_STR(s->about, "");
	EXPECT_STR(s->card.personality, "1.6.0");
	EXPECT_EQ(s->card.seed.count, 1);
	EXPECT_EQ(s->host.modules.count, 2);
	EXPECT_EQ(s->host.memory_mib, 6144);
	EXPECT(s->guest[0].present && s->guest[0].viommu);
	ASSERT_EQ(s->steps, 3); /* with the start of the guest, once */
	EXPECT_STR(s->step[1].title, "guest");
	EXPECT_EQ(s->step[2].line, 1);
	EXPECT_EQ(s->expects, 3);
	EXPECT_EQ(s->doctor.ids.count, 2);
	lab_scenario_destroy(s);
}

static void test_scenario_like_gives_way_to_what_is_said(void)
{
	struct lab_scenario *s;

	write_original("t-original.scenario", original);
	s = parse("like = t-original\ntitle = t\nabout = x\n"
		  "[card]\nraw imwr = no\nseed = peek 0\nseed = peek 4\n"
		  "[host]\nmodule = c\noccupied interrupts = none\n"
		  "[guest]\nmemory = 512M\n"
		  "[step Other]\nrun = other\nin = host\n[step Guest]\ndo = start guest\n"
		  "[at the end]\nhost log = /d/\ndoctor = healthy\ndoctor also = d\n");
	ASSERT(s);
	EXPECT_STR(s->about, "x");
	EXPECT_STR(s->card.personality, "1.6.0");
	EXPECT(!s->card.raw_imwr);
	ASSERT_EQ(s->card.seed.count, 2);
	EXPECT_STR(s->card.seed.item[0], "peek 0");
	ASSERT_EQ(s->host.modules.count, 1);
	EXPECT_STR(s->host.modules.item[0], "c");
	EXPECT_EQ(s->host.occupied, 0);
	EXPECT_EQ(s->host.memory_mib, 6144);
	EXPECT(s->guest[0].viommu);
	EXPECT_EQ(s->guest[0].memory_mib, 512);
	ASSERT_EQ(s->steps, 2);
	EXPECT_STR(s->step[0].title, "Other");
	ASSERT_EQ(s->expects, 2); /* the guest's and the new one */
	EXPECT_STR(s->expect[0].pattern.text, "/c/");
	EXPECT_STR(s->expect[1].pattern.text, "/d/");
	EXPECT(s->doctor.asked);
	EXPECT_EQ(s->doctor.ids.count, 0);
	ASSERT_EQ(s->doctor_also.count, 1);
	EXPECT_STR(s->doctor_also.item[0], "d");
	lab_scenario_destroy(s);
}

static void test_scenario_like_must_make_sense(void)
{
	write_original("t-original.scenario", original);
	write_original("t-second.scenario", "like = t-original\ntitle = t\n");
	write_original("t-bad.scenario", "title = t\n[card]\nno = thing\n");
	expect_refused("title = t\nlike = t-original\n", 2, "like = comes first");
	expect_refused("like = t-original\n", 1, "a scenario starts with title");
	expect_refused("like = none-such\ntitle = t\n", 1, "No such file");
	expect_refused("like = ../t-original\ntitle = t\n", 1, "must be the name of a scenario");
	expect_refused("like = t-original\nlike = t-original\n", 2, "there twice");
	/* One that isn't said here is wrong together with what is. */
	expect_refused("like = t-original\ntitle = t\n[guest]\ndriver = vfio-noiommu\n", 3,
		       "with viommu = yes the driver is vfio-pci");
	expect_refused("like = t-original\ntitle = t\n[host]\nmemory = 512M\n", 1,
		       "doesn't fit into a host");
}

/* The mistake is in the other file, so that one is named. */
static void test_scenario_like_names_a_mistake_of_the_original(void)
{
	static const struct {
		const char *text, *words;
	} cases[] = {
		{"like = t-bad\ntitle = t\n", "t-bad.scenario:3: [card] has no key \"no\""},
		{"like = t-second\ntitle = t\n", "t-second.scenario:1: another scenario is like"},
	};
	struct lab_scenario *scenario = NULL;
	struct reason why;
	size_t i;

	write_original("t-original.scenario", original);
	write_original("t-second.scenario", "like = t-original\ntitle = t\n");
	write_original("t-bad.scenario", "title = t\n[card]\nno = thing\n");
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		memset(&why, 0, sizeof(why));
		EXPECT_EQ(lab_scenario_parse("t.scenario", cases[i].text, strlen(cases[i].text),
					     &scenario, &why),
			  -EINVAL);
		EXPECT_HAS(why.text, cases[i].words);
	}
}

static void test_scenario_like_finds_what_is_shipped(void)
{
	struct lab_scenario *s;

	setenv("TETHYS_LAB_SCENARIOS", SCENARIO_DIR, 1);
	s = parse("like = passthrough-clean\ntitle = t\n");
	ASSERT(s);
	EXPECT_STR(s->card.personality, "1.8.0");
	lab_scenario_destroy(s);
}

static int only_scenarios(const struct dirent *entry)
{
	return strstr(entry->d_name, LAB_SCENARIO_SUFFIX) != NULL;
}

static void expect_known(const struct lab_strings *ids)
{
	size_t i;

	for (i = 0; i < ids->count; i++)
		if (!doctor_rule_find(ids->item[i]))
			TAP_FAIL("doctor has no finding %s", ids->item[i]);
}

/* What is shipped can be read; whether it holds is for the machines to say. */
static void test_scenario_all_shipped_are_good(void)
{
	struct lab_scenario *scenario;
	struct dirent **entries;
	struct reason why;
	char path[PATH_MAX];
	int i, count = scandir(SCENARIO_DIR, &entries, only_scenarios, alphasort);

	EXPECT(count >= 14);
	for (i = 0; i < count; i++) {
		why.text[0] = '\0';
		snprintf(path, sizeof(path), "%s/%s", SCENARIO_DIR, entries[i]->d_name);
		if (lab_scenario_load(path, &scenario, &why)) {
			TAP_FAIL("%s", why.text);
		} else {
			EXPECT(*scenario->about);
			EXPECT(strlen(scenario->title) <= 72);
			if (!scenario->doctor.asked)
				TAP_FAIL("%s: no doctor = ... [at the end]", scenario->name);
			expect_known(&scenario->doctor.ids);
			expect_known(&scenario->guest_doctor.ids);
			expect_known(&scenario->doctor_together.ids);
			expect_known(&scenario->doctor_also);
			lab_scenario_destroy(scenario);
		}
		free(entries[i]);
	}
	if (count >= 0)
		free(entries);
}

int main(void)
{
	RUN(test_scenario_least_has_all_defaults);
	RUN(test_scenario_machines_take_all_keys);
	RUN(test_scenario_guest_defaults_follow_its_iommu);
	RUN(test_scenario_own_driver_takes_parameters);
	RUN(test_scenario_each_action_is_understood);
	RUN(test_scenario_end_is_understood);
	RUN(test_scenario_guest_nobody_starts_is_started_before_its_first_step);
	RUN(test_scenario_values_go_on_in_lines_with_a_blank);
	RUN(test_scenario_line_ends_and_utf8_do_not_matter);
	RUN(test_scenario_bad_line_is_named);
	RUN(test_scenario_nul_is_refused);
	RUN(test_scenario_unknown_key_gets_a_suggestion);
	RUN(test_scenario_bad_value_says_what_is_right);
	RUN(test_scenario_bad_action_says_what_is_right);
	RUN(test_scenario_step_keys_must_fit_together);
	RUN(test_scenario_machines_must_fit_together);
	RUN(test_scenario_steps_must_make_sense_in_their_order);
	RUN(test_scenario_counts_are_bounded);
	RUN(test_scenario_inserted_start_counts_as_step);
	RUN(test_scenario_load_takes_only_well_named_files);
	RUN(test_scenario_doctor_is_understood);
	RUN(test_scenario_doctor_must_make_sense);
	RUN(test_scenario_all_shipped_are_good);
	/* parse() says its text is of "dir/". */
	if (!mkdtemp(like_dir) || chdir(like_dir) || mkdir("dir", 0700))
		return 1;
	RUN(test_scenario_like_takes_over_what_is_not_said);
	RUN(test_scenario_like_gives_way_to_what_is_said);
	RUN(test_scenario_like_must_make_sense);
	RUN(test_scenario_like_names_a_mistake_of_the_original);
	RUN(test_scenario_like_finds_what_is_shipped);
	lab_dir_remove("dir");
	lab_dir_remove(like_dir);
	return tap_done();
}
