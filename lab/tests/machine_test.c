/* SPDX-License-Identifier: MIT */
/* What must be on the command lines of QEMU, not their whole text. */
#include <errno.h>
#include <stdarg.h>

#include "lab/machine.h"
#include "tests/tap.h"

static struct lab_host_machine host_machine(void)
{
	struct lab_host_machine m = {
		.accel = LAB_ACCEL_TCG,
		.kernel = "/c/vmlinux",
		.initrd = "/c/initrd",
		.base = "/c/base.erofs",
		.payload = "/c/payload.erofs",
		.socket_dir = "/s",
		.log_dir = "/l",
		.cmdline = "intel_iommu=on iommu=pt",
		.card_socket = "/s/card",
		.memory_mib = 1536,
		.cpus = 2,
		.iommu = true,
		.intremap = true,
		.guests = 1,
	};

	return m;
}

static struct lab_guest_machine guest_machine(void)
{
	struct lab_guest_machine m = {
		.number = 1,
		.pass = LAB_PASS_GROUP,
		.memory_mib = 256,
		.cpus = 1,
		.console_port = "/dev/vport4p5",
	};

	return m;
}

/* Where item @text is, or @argv->count. */
static size_t find(const struct lab_argv *argv, const char *text)
{
	size_t i;

	for (i = 0; i < argv->count; i++)
		if (!strcmp(argv->item[i], text))
			break;
	return i;
}

/* The first value of @option that has @part in it, or "". */
static const char *value_with(const struct lab_argv *argv, const char *option, const char *part)
{
	size_t i;

	for (i = 0; i + 1 < argv->count; i++)
		if (!strcmp(argv->item[i], option) && strstr(argv->item[i + 1], part))
			return argv->item[i + 1];
	return "";
}

static const char *value_of(const struct lab_argv *argv, const char *option)
{
	return value_with(argv, option, "");
}

static bool has_item(const struct lab_argv *argv, const char *text)
{
	return find(argv, text) < argv->count;
}

static bool has_anywhere(const struct lab_argv *argv, const char *part)
{
	size_t i;

	for (i = 0; i < argv->count; i++)
		if (strstr(argv->item[i], part))
			return true;
	return false;
}

static void test_argv_add_keeps_null_at_the_end(void)
{
	struct lab_argv argv = {0};

	EXPECT_EQ(lab_argv_add(&argv, "%s-%d", "a", 1), 0);
	EXPECT_EQ(lab_argv_add(&argv, "b"), 0);
	ASSERT_EQ(argv.count, 2);
	EXPECT_STR(argv.item[0], "a-1");
	EXPECT_STR(argv.item[1], "b");
	EXPECT(!argv.item[2]);
	lab_argv_deinit(&argv);
	EXPECT_EQ(argv.count, 0);
	lab_argv_deinit(&argv);
}

static void test_host_under_tcg_has_all_of_the_cpu_and_no_irqchip(void)
{
	struct lab_host_machine m = host_machine();
	struct lab_argv argv = {0};

	ASSERT_EQ(lab_host_argv(&m, &argv, NULL), 0);
	EXPECT_STR(argv.item[0], "qemu-system-x86_64");
	EXPECT_STR(value_of(&argv, "-accel"), "tcg,thread=multi");
	EXPECT_HAS(value_of(&argv, "-cpu"), "max");
	EXPECT_HAS(value_of(&argv, "-machine"), "q35,");
	EXPECT_HAS(value_of(&argv, "-machine"), "kernel-irqchip=off");
	EXPECT_STR(value_of(&argv, "-smp"), "2");
	EXPECT_STR(value_of(&argv, "-m"), "1536M");
	EXPECT(!argv.item[argv.count]);
	lab_argv_deinit(&argv);
}

static void test_host_under_kvm_splits_the_irqchip(void)
{
	struct lab_host_machine m = host_machine();
	struct lab_argv argv = {0};

	m.accel = LAB_ACCEL_KVM;
	ASSERT_EQ(lab_host_argv(&m, &argv, NULL), 0);
	EXPECT_STR(value_of(&argv, "-accel"), "kvm");
	EXPECT_STR(value_of(&argv, "-cpu"), "host");
	EXPECT_HAS(value_of(&argv, "-machine"), "kernel-irqchip=split");
	lab_argv_deinit(&argv);
}

static void test_host_memory_is_shared_with_the_card(void)
{
	struct lab_host_machine m = host_machine();
	struct lab_argv argv = {0};

	ASSERT_EQ(lab_host_argv(&m, &argv, NULL), 0);
	EXPECT_HAS(value_of(&argv, "-object"), "memory-backend-memfd,id=ram,size=1536M,share=on");
	EXPECT_HAS(value_of(&argv, "-machine"), "memory-backend=ram");
	EXPECT(!has_anywhere(&argv, "-numa"));
	lab_argv_deinit(&argv);
}

static void test_guest_memory_as_a_node_and_taken_at_start(void)
{
	struct lab_guest_machine m = guest_machine();
	struct lab_argv argv = {0};

	m.numa = true;
	m.prealloc = true;
	ASSERT_EQ(lab_guest_argv(&m, &argv, NULL), 0);
	EXPECT_HAS(value_of(&argv, "-numa"), "node,memdev=ram");
	EXPECT_HAS(value_of(&argv, "-object"), "memory-backend-ram,id=ram,size=256M");
	EXPECT(has_anywhere(&argv, "-mem-prealloc"));
	EXPECT(!has_anywhere(&argv, "memory-backend=ram"));
	lab_argv_deinit(&argv);
}

static void test_host_has_nothing_of_qemus_defaults(void)
{
	struct lab_host_machine m = host_machine();
	struct lab_argv argv = {0};

	ASSERT_EQ(lab_host_argv(&m, &argv, NULL), 0);
	EXPECT(has_item(&argv, "-nodefaults"));
	EXPECT(has_item(&argv, "-no-reboot"));
	EXPECT_STR(value_of(&argv, "-nic"), "none");
	EXPECT_STR(value_of(&argv, "-display"), "none");
	lab_argv_deinit(&argv);
}

static void test_host_iommu_comes_before_the_devices_behind_it(void)
{
	struct lab_host_machine m = host_machine();
	struct lab_argv argv = {0};
	const char *iommu, *port;

	ASSERT_EQ(lab_host_argv(&m, &argv, NULL), 0);
	iommu = value_with(&argv, "-device", "intel-iommu");
	port = value_with(&argv, "-device", "pxb-pcie");
	EXPECT_HAS(iommu, "intremap=on");
	EXPECT_HAS(iommu, "caching-mode=on");
	EXPECT(find(&argv, iommu) < find(&argv, port));
	EXPECT(find(&argv, iommu) < find(&argv, value_with(&argv, "-device", "virtio-blk-pci")));
	EXPECT(find(&argv, port) < find(&argv, value_with(&argv, "-device", "vfio-user-pci")));
	lab_argv_deinit(&argv);
}

static void test_host_without_intremap_keeps_caching_mode(void)
{
	struct lab_host_machine m = host_machine();
	struct lab_argv argv = {0};

	m.intremap = false;
	ASSERT_EQ(lab_host_argv(&m, &argv, NULL), 0);
	EXPECT_STR(value_with(&argv, "-device", "intel-iommu"),
		   "intel-iommu,intremap=off,caching-mode=on");
	lab_argv_deinit(&argv);
}

static void test_host_without_iommu_has_none(void)
{
	struct lab_host_machine m = host_machine();
	struct lab_argv argv = {0};

	m.iommu = false;
	ASSERT_EQ(lab_host_argv(&m, &argv, NULL), 0);
	EXPECT(!has_anywhere(&argv, "intel-iommu,"));
	EXPECT(has_anywhere(&argv, "vfio-user-pci"));
	lab_argv_deinit(&argv);
}

static void test_host_card_is_on_bus_86(void)
{
	struct lab_host_machine m = host_machine();
	struct lab_argv argv = {0};

	ASSERT_EQ(lab_host_argv(&m, &argv, NULL), 0);
	EXPECT_HAS(value_with(&argv, "-device", "pxb-pcie"), "bus_nr=0x85");
	EXPECT_HAS(value_with(&argv, "-device", "pcie-root-port"), "bus=cardroot");
	EXPECT_STR(value_with(&argv, "-device", "vfio-user-pci"),
		   "{\"driver\":\"vfio-user-pci\",\"id\":\"card\",\"bus\":\"cardport\","
		   "\"socket\":{\"type\":\"unix\",\"path\":\"/s/card\"}}");
	EXPECT_STR(value_of(&argv, "-global"), "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off");
	lab_argv_deinit(&argv);
}

static void test_host_without_card_keeps_its_port(void)
{
	struct lab_host_machine m = host_machine();
	struct lab_argv argv = {0};

	m.card_socket = NULL;
	ASSERT_EQ(lab_host_argv(&m, &argv, NULL), 0);
	EXPECT(!has_anywhere(&argv, "vfio-user-pci"));
	EXPECT(has_anywhere(&argv, "pcie-root-port"));
	lab_argv_deinit(&argv);
}

static void test_host_card_socket_is_quoted_for_json(void)
{
	struct lab_host_machine m = host_machine();
	struct lab_argv argv = {0};

	m.card_socket = "/s/a,\"b\"";
	ASSERT_EQ(lab_host_argv(&m, &argv, NULL), 0);
	EXPECT_HAS(value_with(&argv, "-device", "vfio-user-pci"), "\"path\":\"/s/a,\\\"b\\\"\"");
	lab_argv_deinit(&argv);
}

static void test_host_disks_are_read_only_and_in_order(void)
{
	struct lab_host_machine m = host_machine();
	struct lab_argv argv = {0};

	ASSERT_EQ(lab_host_argv(&m, &argv, NULL), 0);
	EXPECT_HAS(value_with(&argv, "-drive", "/c/base.erofs"), "id=base,format=raw,readonly=on");
	EXPECT_HAS(value_with(&argv, "-drive", "/c/payload.erofs"),
		   "id=payload,format=raw,readonly=on");
	EXPECT_HAS(value_with(&argv, "-device", "drive=base"), "bus=pcie.0,addr=2");
	EXPECT_HAS(value_with(&argv, "-device", "drive=payload"), "bus=pcie.0,addr=3");
	lab_argv_deinit(&argv);
}

static void test_host_cmdline_is_ours_and_then_the_scenarios(void)
{
	struct lab_host_machine m = host_machine();
	struct lab_argv argv = {0};
	const char *line;

	ASSERT_EQ(lab_host_argv(&m, &argv, NULL), 0);
	line = value_of(&argv, "-append");
	EXPECT_HAS(line, "console=ttyS0");
	EXPECT_HAS(line, " tethys.role=host");
	ASSERT(strlen(line) > strlen(m.cmdline));
	EXPECT_STR(line + strlen(line) - strlen(" intel_iommu=on iommu=pt"),
		   " intel_iommu=on iommu=pt");
	EXPECT_STR(value_of(&argv, "-kernel"), "/c/vmlinux");
	EXPECT_STR(value_of(&argv, "-initrd"), "/c/initrd");
	lab_argv_deinit(&argv);
}

static void test_host_ports_have_sockets_and_the_protocols_names(void)
{
	static const char *const sockets[] = {"host.agent",   "host.shell",   "host.qmp",
					      "guest1.agent", "guest1.shell", NULL};
	static const char *const ports[] = {"tethys.agent",	     "tethys.shell",
					    "tethys.guest1.agent",   "tethys.guest1.shell",
					    "tethys.guest1.console", NULL};
	struct lab_host_machine m = host_machine();
	struct lab_argv argv = {0};
	char part[64];
	int i;

	ASSERT_EQ(lab_host_argv(&m, &argv, NULL), 0);
	for (i = 0; sockets[i]; i++) {
		snprintf(part, sizeof(part), "path=/s/%s,", sockets[i]);
		EXPECT_HAS(value_with(&argv, "-chardev", part), "server=on,wait=off");
	}
	for (i = 0; ports[i]; i++) {
		snprintf(part, sizeof(part), ",name=%s", ports[i]);
		EXPECT_HAS(value_with(&argv, "-device", part), "virtserialport");
	}
	EXPECT_STR(value_of(&argv, "-qmp"), "chardev:host.qmp");
	EXPECT_HAS(value_with(&argv, "-chardev", "/l/guest1.console"), "file,");
	EXPECT_HAS(value_with(&argv, "-chardev", "/l/host.console"), "file,id=console");
	EXPECT_STR(value_of(&argv, "-serial"), "chardev:console");
	EXPECT(!has_anywhere(&argv, "guest2"));
	lab_argv_deinit(&argv);
}

static void test_host_with_two_guests_has_ports_for_both(void)
{
	struct lab_host_machine m = host_machine();
	struct lab_argv argv = {0};

	m.guests = 2;
	ASSERT_EQ(lab_host_argv(&m, &argv, NULL), 0);
	EXPECT(has_anywhere(&argv, "name=tethys.guest1.console"));
	EXPECT(has_anywhere(&argv, "name=tethys.guest2.console"));
	lab_argv_deinit(&argv);
}

static void test_host_occupied_interrupts_are_a_device_of_their_own(void)
{
	struct lab_host_machine m = host_machine();
	struct lab_argv argv = {0};

	ASSERT_EQ(lab_host_argv(&m, &argv, NULL), 0);
	EXPECT(!has_anywhere(&argv, "id=occupied"));
	lab_argv_deinit(&argv);
	m.occupied = 8;
	ASSERT_EQ(lab_host_argv(&m, &argv, NULL), 0);
	EXPECT_HAS(value_with(&argv, "-device", "id=occupied"), ",max_ports=3,vectors=8");
	/* The agent's ports are those of the other one. */
	EXPECT(find(&argv, "virtio-serial-pci,bus=pcie.0,addr=4") < argv.count);
	EXPECT_STR(argv.item[argv.count - 1], value_with(&argv, "-device", "id=occupied"));
	lab_argv_deinit(&argv);
}

static void test_host_occupied_interrupts_that_linux_would_not_take_are_refused(void)
{
	static const unsigned int wrong[] = {1, 2, 5, 9, LAB_OCCUPIED_MAX + 2};
	struct lab_host_machine m = host_machine();
	struct lab_argv argv = {0};
	struct reason why = {0};
	size_t i;

	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		m.occupied = wrong[i];
		EXPECT_EQ(lab_host_argv(&m, &argv, &why), -EINVAL);
	}
	EXPECT_EQ(argv.count, 0);
	EXPECT_HAS(why.text, "130 occupied interrupts can't be had");
}

static void test_host_with_three_guests_is_refused(void)
{
	struct lab_host_machine m = host_machine();
	struct lab_argv argv = {0};

	m.guests = 3;
	EXPECT_EQ(lab_host_argv(&m, &argv, NULL), -EINVAL);
	EXPECT_EQ(argv.count, 0);
	lab_argv_deinit(&argv);
}

static void test_host_paths_with_commas_are_quoted(void)
{
	struct lab_host_machine m = host_machine();
	struct lab_argv argv = {0};

	m.base = "/c/a,b";
	m.socket_dir = "/s,t";
	m.log_dir = "/l,m";
	m.kernel = "/c/k,l";
	ASSERT_EQ(lab_host_argv(&m, &argv, NULL), 0);
	EXPECT_HAS(value_with(&argv, "-drive", "id=base"), "file=/c/a,,b,if=none");
	EXPECT_HAS(value_with(&argv, "-chardev", "id=host.agent,"), "path=/s,,t/host.agent,");
	EXPECT_HAS(value_with(&argv, "-chardev", "id=console,"), "path=/l,,m/host.console");
	EXPECT_STR(value_of(&argv, "-kernel"), "/c/k,l"); /* a value of its own */
	lab_argv_deinit(&argv);
}

static void test_host_socket_of_107_bytes_fits_and_of_108_does_not(void)
{
	struct lab_host_machine m = host_machine();
	struct lab_argv argv = {0};
	struct reason why = {0};
	char dir[108];

	/* The longest name is guest1.agent: with its slash 13 bytes. */
	memset(dir, 'x', sizeof(dir));
	dir[0] = '/';
	dir[107 - 13] = '\0';
	m.socket_dir = dir;
	EXPECT_EQ(lab_host_argv(&m, &argv, NULL), 0);
	lab_argv_deinit(&argv);
	dir[107 - 13] = 'x';
	dir[107 - 12] = '\0';
	EXPECT_EQ(lab_host_argv(&m, &argv, &why), -ENAMETOOLONG);
	EXPECT_HAS(why.text, "guest1.agent");
	EXPECT_HAS(why.text, "107");
	lab_argv_deinit(&argv);
}

static void test_host_is_appended_and_taken_back_on_failure(void)
{
	struct lab_host_machine m = host_machine();
	struct lab_argv argv = {0};
	char dir[256];

	ASSERT_EQ(lab_argv_add(&argv, "enter"), 0);
	ASSERT_EQ(lab_host_argv(&m, &argv, NULL), 0);
	EXPECT_STR(argv.item[0], "enter");
	EXPECT_STR(argv.item[1], "qemu-system-x86_64");
	lab_argv_deinit(&argv);

	memset(dir, 'x', sizeof(dir));
	dir[255] = '\0';
	m.socket_dir = dir;
	ASSERT_EQ(lab_argv_add(&argv, "enter"), 0);
	EXPECT_EQ(lab_host_argv(&m, &argv, NULL), -ENAMETOOLONG);
	EXPECT_EQ(argv.count, 1);
	EXPECT(!argv.item[1]);
	lab_argv_deinit(&argv);
}

static void test_guest_is_a_kvm_guest_with_the_hosts_cpu(void)
{
	struct lab_guest_machine m = guest_machine();
	struct lab_argv argv = {0};

	ASSERT_EQ(lab_guest_argv(&m, &argv, NULL), 0);
	EXPECT_STR(value_of(&argv, "-accel"), "kvm");
	EXPECT_STR(value_of(&argv, "-cpu"), "host");
	EXPECT_HAS(value_of(&argv, "-machine"), "kernel-irqchip=split");
	EXPECT(has_item(&argv, "-nodefaults"));
	EXPECT(has_item(&argv, "-no-reboot"));
	EXPECT_STR(value_of(&argv, "-m"), "256M");
	EXPECT_HAS(value_of(&argv, "-append"), " tethys.role=guest");
	EXPECT_STR(value_of(&argv, "-kernel"), LAB_VM_KERNEL);
	EXPECT_STR(value_of(&argv, "-initrd"), LAB_VM_INITRD);
	lab_argv_deinit(&argv);
}

static void test_guest_card_by_group_is_behind_the_first_port(void)
{
	struct lab_guest_machine m = guest_machine();
	struct lab_argv argv = {0};

	ASSERT_EQ(lab_guest_argv(&m, &argv, NULL), 0);
	EXPECT_STR(value_with(&argv, "-device", "vfio-pci"),
		   "vfio-pci,id=card,host=0000:86:00.0,bus=cardport");
	EXPECT_HAS(value_with(&argv, "-device", "pcie-root-port"), "id=cardport,bus=pcie.0");
	EXPECT(!has_anywhere(&argv, "iommufd"));
	lab_argv_deinit(&argv);
}

static void test_guest_card_by_iommufd_names_its_object(void)
{
	struct lab_guest_machine m = guest_machine();
	struct lab_argv argv = {0};

	m.pass = LAB_PASS_IOMMUFD;
	ASSERT_EQ(lab_guest_argv(&m, &argv, NULL), 0);
	EXPECT_STR(value_with(&argv, "-object", "iommufd"), "iommufd,id=iommufd");
	EXPECT_HAS(value_with(&argv, "-device", "vfio-pci"), ",iommufd=iommufd");
	EXPECT(find(&argv, "iommufd,id=iommufd") <
	       find(&argv, value_with(&argv, "-device", "vfio-pci")));
	lab_argv_deinit(&argv);
}

static void test_guest_without_card_keeps_its_port(void)
{
	struct lab_guest_machine m = guest_machine();
	struct lab_argv argv = {0};

	m.pass = LAB_PASS_NONE;
	ASSERT_EQ(lab_guest_argv(&m, &argv, NULL), 0);
	EXPECT(!has_anywhere(&argv, "vfio-pci"));
	EXPECT(has_anywhere(&argv, "pcie-root-port"));
	lab_argv_deinit(&argv);
}

static void test_guest_on_hugepages_takes_all_of_them_at_start(void)
{
	struct lab_guest_machine m = guest_machine();
	struct lab_argv argv = {0};

	m.hugepages = true;
	ASSERT_EQ(lab_guest_argv(&m, &argv, NULL), 0);
	EXPECT_HAS(value_of(&argv, "-object"), "mem-path=/dev/hugepages");
	EXPECT_HAS(value_of(&argv, "-object"), "size=256M");
	EXPECT_HAS(value_of(&argv, "-object"), "prealloc=on");
	EXPECT_HAS(value_of(&argv, "-machine"), "memory-backend=ram");
	lab_argv_deinit(&argv);
}

static void test_guest_viommu_comes_before_the_card(void)
{
	struct lab_guest_machine m = guest_machine();
	struct lab_argv argv = {0};
	const char *iommu;

	m.viommu = true;
	ASSERT_EQ(lab_guest_argv(&m, &argv, NULL), 0);
	iommu = value_with(&argv, "-device", "intel-iommu");
	EXPECT_HAS(iommu, "intremap=on");
	EXPECT_HAS(iommu, "caching-mode=on");
	EXPECT_HAS(value_of(&argv, "-machine"), "kernel-irqchip=split");
	EXPECT(find(&argv, iommu) < find(&argv, value_with(&argv, "-device", "vfio-pci")));
	EXPECT(find(&argv, iommu) < find(&argv, value_with(&argv, "-device", "pcie-root-port")));
	lab_argv_deinit(&argv);
}

static void test_guest_irqchip_is_as_told(void)
{
	static const char *const chips[] = {"on", "split", NULL};
	struct lab_guest_machine m = guest_machine();
	char part[64];
	int i;

	for (i = 0; chips[i]; i++) {
		struct lab_argv argv = {0};

		m.irqchip = chips[i];
		ASSERT_EQ(lab_guest_argv(&m, &argv, NULL), 0);
		snprintf(part, sizeof(part), "kernel-irqchip=%s", chips[i]);
		EXPECT_HAS(value_of(&argv, "-machine"), part);
		lab_argv_deinit(&argv);
	}
}

static void test_guest_with_nonsense_is_refused(void)
{
	struct lab_guest_machine m = guest_machine();
	struct lab_argv argv = {0};
	struct reason why = {0};

	m.irqchip = "on,dumpdtb=/x";
	EXPECT_EQ(lab_guest_argv(&m, &argv, &why), -EINVAL);
	EXPECT_HAS(why.text, "dumpdtb");
	m.irqchip = NULL;
	m.number = 3;
	EXPECT_EQ(lab_guest_argv(&m, &argv, NULL), -EINVAL);
	m.number = 0;
	EXPECT_EQ(lab_guest_argv(&m, &argv, NULL), -EINVAL);
	EXPECT_EQ(argv.count, 0);
	lab_argv_deinit(&argv);
}

static void test_guest_ports_end_in_the_host_vm(void)
{
	struct lab_guest_machine m = guest_machine();
	struct lab_argv argv = {0};

	ASSERT_EQ(lab_guest_argv(&m, &argv, NULL), 0);
	EXPECT_STR(value_with(&argv, "-chardev", "id=agent"),
		   "socket,id=agent,path=/run/tethys/guest1.agent,server=on,wait=off");
	EXPECT_STR(value_with(&argv, "-chardev", "id=shell"),
		   "socket,id=shell,path=/run/tethys/guest1.shell,server=on,wait=off");
	EXPECT_STR(value_with(&argv, "-chardev", "id=console"),
		   "pipe,id=console,path=/dev/vport4p5");
	EXPECT_STR(value_with(&argv, "-device", "name=tethys.agent"),
		   "virtserialport,chardev=agent,name=tethys.agent");
	EXPECT_STR(value_with(&argv, "-device", "name=tethys.shell"),
		   "virtserialport,chardev=shell,name=tethys.shell");
	EXPECT_STR(value_of(&argv, "-serial"), "chardev:console");
	lab_argv_deinit(&argv);
}

static void test_guest_cmdline_ends_with_the_scenarios(void)
{
	struct lab_guest_machine m = guest_machine();
	struct lab_argv argv = {0};
	const char *line;

	m.cmdline = "swiotlb=force";
	ASSERT_EQ(lab_guest_argv(&m, &argv, NULL), 0);
	line = value_of(&argv, "-append");
	ASSERT(strlen(line) > 20);
	EXPECT_STR(line + strlen(line) - strlen(" swiotlb=force"), " swiotlb=force");
	lab_argv_deinit(&argv);
}

int main(void)
{
	RUN(test_argv_add_keeps_null_at_the_end);
	RUN(test_host_under_tcg_has_all_of_the_cpu_and_no_irqchip);
	RUN(test_host_under_kvm_splits_the_irqchip);
	RUN(test_host_memory_is_shared_with_the_card);
	RUN(test_host_has_nothing_of_qemus_defaults);
	RUN(test_host_iommu_comes_before_the_devices_behind_it);
	RUN(test_host_without_intremap_keeps_caching_mode);
	RUN(test_host_without_iommu_has_none);
	RUN(test_host_card_is_on_bus_86);
	RUN(test_host_without_card_keeps_its_port);
	RUN(test_host_card_socket_is_quoted_for_json);
	RUN(test_host_disks_are_read_only_and_in_order);
	RUN(test_host_cmdline_is_ours_and_then_the_scenarios);
	RUN(test_host_ports_have_sockets_and_the_protocols_names);
	RUN(test_host_with_two_guests_has_ports_for_both);
	RUN(test_host_occupied_interrupts_are_a_device_of_their_own);
	RUN(test_host_occupied_interrupts_that_linux_would_not_take_are_refused);
	RUN(test_host_with_three_guests_is_refused);
	RUN(test_host_paths_with_commas_are_quoted);
	RUN(test_host_socket_of_107_bytes_fits_and_of_108_does_not);
	RUN(test_host_is_appended_and_taken_back_on_failure);
	RUN(test_guest_is_a_kvm_guest_with_the_hosts_cpu);
	RUN(test_guest_card_by_group_is_behind_the_first_port);
	RUN(test_guest_card_by_iommufd_names_its_object);
	RUN(test_guest_without_card_keeps_its_port);
	RUN(test_guest_on_hugepages_takes_all_of_them_at_start);
	RUN(test_guest_memory_as_a_node_and_taken_at_start);
	RUN(test_guest_viommu_comes_before_the_card);
	RUN(test_guest_irqchip_is_as_told);
	RUN(test_guest_with_nonsense_is_refused);
	RUN(test_guest_ports_end_in_the_host_vm);
	RUN(test_guest_cmdline_ends_with_the_scenarios);
	return tap_done();
}
