/* SPDX-License-Identifier: MIT */
/*
 * VMs from command lines of QEMU, Proxmox' configurations and libvirt's.
 */
#include "doctor/model/vm.h"
#include "tests/tap.h"

#define GIB (1ull << 30)

static struct snapshot snapshot;
static struct machine machine;

/* Without snapshot.c: the model is tested alone. */
static void begin(void)
{
	snapshot = (struct snapshot){0};
	machine = (struct machine){0};
	store_init(&snapshot.store, &snapshot.arena);
}

static void file(const char *path, const char *text)
{
	store_add(&snapshot.store, STORE_FILE, path, text, strlen(text), false);
}

/* Arguments parted by '|' instead of NUL. */
static void process(int pid, const char *line)
{
	char path[64], data[4096];
	size_t size = strlen(line) + 1;

	memcpy(data, line, size);
	for (size_t i = 0; i < size; i++)
		if (data[i] == '|')
			data[i] = '\0';
	snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
	store_add(&snapshot.store, STORE_FILE, path, data, size, false);
}

static const struct machine_vm *only(void)
{
	static const struct machine_vm none = {.name = "none", .source = ""};

	machine_read_vms(&machine, &snapshot);
	EXPECT_EQ(machine.vm_count, 1);
	return machine.vm_count ? &machine.vm[0] : &none;
}

static void end(void)
{
	arena_free(&snapshot.arena);
}

static void test_vm_bytes_reads_what_qemu_takes(void)
{
	uint64_t bytes = 0;

	EXPECT(vm_bytes("4096", 'M', &bytes));
	EXPECT_EQ(bytes, 4 * GIB);
	EXPECT(vm_bytes("1.5G", 'M', &bytes));
	EXPECT_EQ(bytes, GIB + GIB / 2);
	EXPECT(vm_bytes("33554432k", 'M', &bytes));
	EXPECT_EQ(bytes, 32 * GIB);
	EXPECT(vm_bytes("8GiB", 'M', &bytes));
	EXPECT_EQ(bytes, 8 * GIB);
	EXPECT(!vm_bytes("99999999999999999999999", 'T', &bytes));
	EXPECT(!vm_bytes("9999999999999T", 'M', &bytes));
	EXPECT(!vm_bytes("lots", 'M', &bytes));
	EXPECT(!vm_bytes("", 'M', &bytes));
	EXPECT_EQ(bytes, 8 * GIB);
}

static void test_vm_option_takes_the_last_and_knows_doubled_commas(void)
{
	char value[VM_VALUE_BYTES];

	EXPECT(vm_option("q35,kernel_irqchip=on,kernel-irqchip=split", "kernel-irqchip", false,
			 value));
	EXPECT_STR(value, "split");
	EXPECT(vm_option("guest=a,,b,debug-threads=on", "guest", true, value));
	EXPECT_STR(value, "a,b");
	EXPECT(vm_option("q35,accel=kvm", "type", true, value));
	EXPECT_STR(value, "q35");
	EXPECT(!vm_option("accel=kvm", "type", true, value));
}

static void test_vm_option_of_a_huge_word_stays_within_its_bytes(void)
{
	char list[4 * VM_VALUE_BYTES], value[VM_VALUE_BYTES];

	memset(list, 'x', sizeof(list) - 1);
	list[sizeof(list) - 1] = '\0';
	memcpy(list, "size=", 5);
	EXPECT(vm_option(list, "size", true, value));
	EXPECT(strlen(value) < VM_VALUE_BYTES);
}

static void test_vm_process_plain_command_line_is_read(void)
{
	begin();
	process(4711,
		"/usr/bin/qemu-system-x86_64|-M|q35,accel=kvm,kernel-irqchip=split|-m|"
		"size=6144,slots=2,maxmem=8G|-cpu|host,guest-phys-bits=39|"
		"-device|intel-iommu,intremap=on,caching-mode=on,aw-bits=48|"
		"-device|vfio-pci,host=43:00.1,id=dev0|-overcommit|mem-lock=on|"
		"-drive|if=pflash,format=raw,file=/usr/share/OVMF/OVMF_CODE.fd|-mem-prealloc");
	file("/proc/4711/limits",
	     "Limit    Soft Limit  Hard Limit  Units\n"
	     "Max locked memory         8388608              unlimited  bytes\n");
	file("/proc/4711/status",
	     "Name:\tqemu\nUid:\t64055\t64055\t64055\t64055\nVmLck:\t    2048 kB\n");
	const struct machine_vm *vm = only();

	EXPECT_EQ(vm->kind, VM_QEMU);
	EXPECT(vm->running);
	EXPECT_EQ(vm->pid, 4711);
	EXPECT_STR(vm->name, "4711");
	EXPECT_EQ(vm->ram, 6 * GIB);
	EXPECT_EQ(vm->board, BOARD_Q35);
	EXPECT_EQ(vm->viommu, VIOMMU_INTEL);
	EXPECT_EQ(vm->intremap, YES);
	EXPECT_EQ(vm->caching_mode, YES);
	EXPECT_EQ(vm->aw_bits, 48);
	EXPECT_EQ(vm->guest_phys_bits, 39);
	EXPECT_STR(vm->irqchip ? vm->irqchip : "", "split");
	EXPECT(vm->ovmf && vm->prealloc && vm->memory_locked_fully);
	EXPECT_EQ(vm->memlock_limit, 8388608);
	EXPECT_EQ(vm->locked, 2048 * 1024);
	EXPECT_EQ(vm->uid, 64055);
	ASSERT_EQ(vm->device_count, 1);
	EXPECT_EQ(vm->device[0].bus, 0x43);
	EXPECT_EQ(vm->device[0].function, 1);
	end();
}

static void test_vm_process_of_libvirt_with_json_is_read(void)
{
	begin();
	process(99,
		"/usr/bin/qemu-system-x86_64|-name|guest=render,debug-threads=on|"
		"-machine|pc-i440fx-8.2,usb=off,memory-backend=pc.ram|-accel|kvm|-m|size=4194304k|"
		"-object|{\"qom-type\":\"memory-backend-file\",\"id\":\"pc.ram\",\"mem-path\":"
		"\"/dev/hugepages/libvirt/qemu\",\"prealloc\":true,\"size\":4294967296}|"
		"-device|{\"driver\":\"vfio-pci\",\"host\":\"0001:02:00.0\",\"id\":\"hostdev0\"}");
	const struct machine_vm *vm = only();

	EXPECT_STR(vm->name, "render");
	EXPECT_EQ(vm->board, BOARD_I440FX);
	EXPECT_EQ(vm->ram, 4 * GIB);
	EXPECT(vm->hugepages && vm->prealloc);
	EXPECT_EQ(vm->viommu, VIOMMU_NONE);
	EXPECT_EQ(vm->intremap, NO);
	ASSERT_EQ(vm->device_count, 1);
	EXPECT_EQ(vm->device[0].domain, 1);
	end();
}

static void test_vm_process_viommu_default_follows_the_irqchip(void)
{
	begin();
	process(5, "kvm|-machine|q35|-device|intel-iommu");
	EXPECT_EQ(only()->intremap, NO);
	end();
	begin();
	process(5, "kvm|-machine|q35,kernel-irqchip=split|-device|intel-iommu");
	EXPECT_EQ(only()->intremap, YES);
	end();
	begin();
	process(5, "qemu-system-x86_64|-machine|q35|-device|intel-iommu");
	EXPECT_EQ(only()->intremap, YES);
	end();
	begin();
	process(5, "kvm|-machine|q35|-device|virtio-iommu-pci");
	EXPECT_EQ(only()->viommu, VIOMMU_VIRTIO);
	EXPECT_EQ(machine.vm[0].intremap, NO);
	end();
}

static void test_vm_process_memory_of_backends_counts_when_m_is_missing(void)
{
	begin();
	process(5, "qemu-system-aarch64|-machine|virt,iommu=smmuv3,memory-backend=ram|-object|"
		   "memory-backend-memfd,id=ram,size=2G,hugetlb=on,prealloc=on");
	const struct machine_vm *vm = only();

	EXPECT_EQ(vm->ram, 2 * GIB);
	EXPECT_EQ(vm->board, BOARD_VIRT);
	EXPECT_EQ(vm->viommu, VIOMMU_SMMU);
	EXPECT(vm->hugepages && vm->prealloc);
	end();
}

static void test_vm_process_that_is_no_qemu_is_left_alone(void)
{
	begin();
	process(5, "/usr/bin/vim|qemu-system-x86_64|-device|vfio-pci,host=01:00.0");
	process(6, "");
	machine_read_vms(&machine, &snapshot);
	EXPECT_EQ(machine.vm_count, 0);
	end();
}

static void test_vm_process_with_readconfig_has_unknown_memory_and_viommu(void)
{
	begin();
	process(5, "qemu-system-x86_64|-readconfig|/etc/vm.cfg");
	EXPECT_EQ(only()->ram, 0);
	EXPECT_EQ(machine.vm[0].viommu, VIOMMU_UNKNOWN);
	EXPECT_EQ(machine.vm[0].board, BOARD_UNKNOWN);
	end();
}

static void test_vm_process_broken_json_and_missing_values_are_left_out(void)
{
	begin();
	process(5, "kvm|-device|{\"driver\":\"vfio-pci\",\"host\":|-device|{\"driver\":{}}|"
		   "-device|vfio-pci,host=zz:00.0|-global|intel-iommu|-m");
	/* A name that is no address is kept as one of a mediated device or the like. */
	EXPECT_EQ(only()->device_count, 0);
	end();
}

static void test_vm_proxmox_present_config_is_read_and_snapshots_are_not(void)
{
	begin();
	file("/etc/pve/qemu-server/101.conf",
	     "# machine%3A i440fx\nbios: ovmf\ncores: 8\ncpu: host,guest-phys-bits=39\n"
	     "hostpci0: 0000:43:00.0,pcie=1\nhostpci1: 44:00,rombar=0\nhugepages: 2\n"
	     "machine: q35,viommu=intel\nmemory: 16384\nname: vision\nnuma: 1\n\n"
	     "[before]\nmachine: pc\nmemory: 1024\nhostpci2: 0000:45:00.0\n");
	const struct machine_vm *vm = only();

	EXPECT_EQ(vm->kind, VM_PROXMOX);
	EXPECT_STR(vm->name, "101");
	EXPECT(!vm->running);
	EXPECT_EQ(vm->ram, 16 * GIB);
	EXPECT_EQ(vm->board, BOARD_Q35);
	EXPECT_EQ(vm->viommu, VIOMMU_INTEL);
	EXPECT_EQ(vm->intremap, YES);
	EXPECT_EQ(vm->guest_phys_bits, 39);
	EXPECT(vm->pcie && vm->hugepages && vm->ovmf);
	ASSERT_EQ(vm->device_count, 2);
	EXPECT(!vm->all_functions[0] && vm->all_functions[1]);
	EXPECT(machine_find_vm(&machine, (struct bdf){.bus = 0x44, .function = 1}) == vm);
	EXPECT(!machine_find_vm(&machine, (struct bdf){.bus = 0x43, .function = 1}));
	EXPECT(!machine_find_vm(&machine, (struct bdf){.bus = 0x45}));
	end();
}

static void test_vm_proxmox_defaults_and_args_are_known(void)
{
	begin();
	file("/etc/pve/qemu-server/7.conf", "args: -machine q35,kernel-irqchip=split -mem-prealloc "
					    "-device 'vfio-pci,host=0000:43:00.0'\n");
	const struct machine_vm *vm = only();

	EXPECT_EQ(vm->ram, 512ull << 20);
	EXPECT_EQ(vm->board, BOARD_Q35);
	EXPECT_EQ(vm->viommu, VIOMMU_NONE);
	EXPECT_EQ(vm->intremap, NO);
	EXPECT(vm->prealloc);
	EXPECT_EQ(vm->device_count, 1);
	end();
}

static void mapping(const char *map)
{
	begin();
	file("/etc/pve/mapping/pci.cfg", map);
	file("/proc/sys/kernel/hostname", "pve1\n");
	file("/etc/pve/qemu-server/7.conf", "hostpci0: mapping=npu,pcie=1\n");
	machine_read_vms(&machine, &snapshot);
}

static void test_vm_proxmox_mapping_of_this_node_is_resolved(void)
{
	mapping("pci: other\n\tmap id=1:1,node=pve1,path=0000:01:00.0\n\npci: npu\n"
		"\tmap id=1f9d:1100,iommugroup=3,node=pve2,path=0000:05:00.0\n"
		"\tmap id=1f9d:1100,iommugroup=9,node=pve1,path=0000:43:00.0\n");
	ASSERT_EQ(machine.vm_count, 1);
	ASSERT_EQ(machine.vm[0].device_count, 1);
	EXPECT_EQ(machine.vm[0].device[0].bus, 0x43);
	end();
}

static void test_vm_proxmox_mapping_of_several_is_kept_by_name(void)
{
	mapping("pci: npu\n\tmap id=1f9d:1100,node=pve1,path=0000:05:00.0\n"
		"\tmap id=1f9d:1100,node=pve1,path=0000:43:00.0\n");
	ASSERT_EQ(machine.vm_count, 1);
	EXPECT_EQ(machine.vm[0].device_count, 0);
	ASSERT_EQ(machine.vm[0].mdev_count, 1);
	EXPECT_STR(machine.vm[0].mdev[0], "npu");
	end();
}

static void test_vm_proxmox_config_joins_its_process(void)
{
	begin();
	file("/etc/pve/qemu-server/101.conf", "memory: 4096\nmachine: q35,viommu=intel\n"
					      "hostpci0: 0000:43:00.0,pcie=1\n");
	file("/etc/pve/qemu-server/100.conf", "hostpci0: 0000:43:00.0\n");
	process(812, "/usr/bin/kvm|-id|101|-name|vision,debug-threads=on|-machine|type=q35+pve0|-m|"
		     "8192|-device|vfio-pci,host=0000:43:00.0,id=hostpci0");
	machine_read_vms(&machine, &snapshot);
	ASSERT_EQ(machine.vm_count, 2);

	const struct machine_vm *vm = machine_find_vm(&machine, (struct bdf){.bus = 0x43});

	ASSERT(vm != NULL);
	EXPECT(vm->running);
	EXPECT_EQ(vm->kind, VM_PROXMOX);
	EXPECT_STR(vm->name, "101");
	EXPECT_EQ(vm->pid, 812);
	/* Started before the configuration was changed: the process is what counts. */
	EXPECT_EQ(vm->ram, 8 * GIB);
	EXPECT_EQ(vm->viommu, VIOMMU_NONE);
	EXPECT(vm->pcie);
	end();
}

static const char libvirt_xml[] =
	"<!-- made by hand: <memory>1</memory> -->\n"
	"<domain type='kvm' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>\n"
	"  <name>render</name>\n  <memory unit='GiB'>12</memory>\n"
	"  <currentMemory unit='KiB'>1</currentMemory>\n"
	"  <memoryBacking><hugepages/><locked/><allocation mode=\"immediate\"/></memoryBacking>\n"
	"  <memtune><hard_limit unit='G'>14</hard_limit></memtune>\n"
	"  <os firmware='efi'><type arch='x86_64' machine='pc-q35-9.0'>hvm</type></os>\n"
	"  <features><acpi/><ioapic driver='qemu'/></features>\n"
	"  <cpu mode='host-passthrough'><maxphysaddr mode='passthrough' limit='39'/></cpu>\n"
	"  <devices>\n    <hostdev mode='subsystem' type='pci' managed='yes'>\n"
	"      <source><address domain='0x0000' bus='0x43' slot='0x00' function='0x0'/></source>\n"
	"      <address type='pci' domain='0x0000' bus='0x05' slot='0x00' function='0x0'/>\n"
	"    </hostdev>\n    <hostdev mode='subsystem' type='mdev' model='vfio-pci'>\n"
	"      <source><address uuid='11111111-2222-3333-4444-555555555555'/></source></hostdev>\n"
	"    <iommu model='intel'><driver intremap='on' caching_mode='on' aw_bits='48'/></iommu>\n"
	"  </devices>\n  <qemu:commandline><qemu:arg value='-mem-prealloc'/></qemu:commandline>\n"
	"</domain>\n";

static void test_vm_libvirt_domain_is_read(void)
{
	begin();
	file("/etc/libvirt/qemu/render.xml", libvirt_xml);
	const struct machine_vm *vm = only();

	EXPECT_EQ(vm->kind, VM_LIBVIRT);
	EXPECT_STR(vm->name, "render");
	EXPECT_EQ(vm->ram, 12 * GIB);
	EXPECT_EQ(vm->memlock_limit, 14 * GIB);
	EXPECT_EQ(vm->board, BOARD_Q35);
	EXPECT_EQ(vm->viommu, VIOMMU_INTEL);
	EXPECT_EQ(vm->intremap, YES);
	EXPECT_EQ(vm->caching_mode, YES);
	EXPECT_EQ(vm->aw_bits, 48);
	EXPECT_EQ(vm->guest_phys_bits, 39);
	EXPECT(vm->hugepages && vm->memory_locked_fully && vm->prealloc && vm->ovmf);
	ASSERT_EQ(vm->device_count, 1);
	EXPECT_EQ(vm->device[0].bus, 0x43);
	EXPECT_EQ(vm->mdev_count, 1);
	end();
}

/* Each beginning of it, and bytes that no XML has, must be survived. */
static void test_vm_libvirt_damaged_files_are_survived(void)
{
	static const char *const junk[] = {
		"<",
		"<a",
		"<a b",
		"<a b=",
		"<a b='",
		"</",
		"<!--",
		"<![CDATA[<",
		"<?",
		"<a/<b/<c",
		"<a =/=/= ==>",
		"</a></b></c>",
		"<domain><memory unit=''>x</memory>",
	};

	for (size_t size = 1; size < sizeof(libvirt_xml); size += 7) {
		begin();
		store_add(&snapshot.store, STORE_FILE, "/etc/libvirt/qemu/x.xml", libvirt_xml, size,
			  true);
		EXPECT_EQ(only()->kind, VM_LIBVIRT);
		end();
	}
	for (size_t i = 0; i < sizeof(junk) / sizeof(*junk); i++) {
		begin();
		file("/etc/libvirt/qemu/x.xml", junk[i]);
		EXPECT_EQ(only()->device_count, 0);
		end();
	}
	begin();
	store_add(&snapshot.store, STORE_FILE, "/etc/libvirt/qemu/x.xml", "<a \0b\0 \0c='\0'>\0<d",
		  17, false);
	EXPECT_EQ(only()->ram, 0);
	end();
}

static void test_vm_libvirt_deep_nesting_does_not_count_as_the_path(void)
{
	char xml[4096] = "<domain>";
	size_t used = strlen(xml);

	for (int i = 0; i < 100; i++)
		used += (size_t)snprintf(xml + used, sizeof(xml) - used, "<memtune>");
	snprintf(xml + used, sizeof(xml) - used, "<hard_limit>9</hard_limit>");
	begin();
	file("/etc/libvirt/qemu/x.xml", xml);
	EXPECT_EQ(only()->memlock_limit, 0);
	end();
}

static enum tristate ram(enum vm_board board, uint64_t bytes, uint64_t address)
{
	struct machine_vm vm = {.board = board, .ram = bytes};

	return machine_vm_ram(&vm, address);
}

static void test_vm_ram_follows_the_board(void)
{
	EXPECT_EQ(ram(BOARD_Q35, 2 * GIB, 2 * GIB - 1), YES);
	EXPECT_EQ(ram(BOARD_Q35, 2 * GIB, 2 * GIB), NO);
	EXPECT_EQ(ram(BOARD_Q35, 8 * GIB, 2 * GIB), NO);
	EXPECT_EQ(ram(BOARD_Q35, 8 * GIB, 4 * GIB), YES);
	EXPECT_EQ(ram(BOARD_Q35, 8 * GIB, 10 * GIB - 1), YES);
	EXPECT_EQ(ram(BOARD_Q35, 8 * GIB, 10 * GIB), NO);
	EXPECT_EQ(ram(BOARD_I440FX, 8 * GIB, 3 * GIB - 1), YES);
	EXPECT_EQ(ram(BOARD_I440FX, 8 * GIB, 9 * GIB), NO);
	EXPECT_EQ(ram(BOARD_VIRT, GIB, GIB - 1), NO);
	EXPECT_EQ(ram(BOARD_VIRT, GIB, 2 * GIB - 1), YES);
	/* The case's address: 4 GiB + 1.15 GiB. */
	EXPECT_EQ(ram(BOARD_Q35, 3 * GIB, 0x149800000), NO);
	EXPECT_EQ(ram(BOARD_Q35, 4 * GIB, 0x149800000), YES);
	EXPECT_EQ(ram(BOARD_I440FX, 4 * GIB, 0x149800000), NO);
}

static void test_vm_ram_unknown_where_the_board_decides(void)
{
	EXPECT_EQ(ram(BOARD_UNKNOWN, 4 * GIB, 0x149800000), UNKNOWN);
	EXPECT_EQ(ram(BOARD_UNKNOWN, 2 * GIB, 0x149800000), NO);
	EXPECT_EQ(ram(BOARD_UNKNOWN, 2 * GIB, GIB), YES);
	EXPECT_EQ(ram(BOARD_Q35, 0, GIB), UNKNOWN);
	EXPECT_EQ(ram(BOARD_Q35, UINT64_MAX, UINT64_MAX), YES);
}

int main(void)
{
	RUN(test_vm_bytes_reads_what_qemu_takes);
	RUN(test_vm_option_takes_the_last_and_knows_doubled_commas);
	RUN(test_vm_option_of_a_huge_word_stays_within_its_bytes);
	RUN(test_vm_process_plain_command_line_is_read);
	RUN(test_vm_process_of_libvirt_with_json_is_read);
	RUN(test_vm_process_viommu_default_follows_the_irqchip);
	RUN(test_vm_process_memory_of_backends_counts_when_m_is_missing);
	RUN(test_vm_process_that_is_no_qemu_is_left_alone);
	RUN(test_vm_process_with_readconfig_has_unknown_memory_and_viommu);
	RUN(test_vm_process_broken_json_and_missing_values_are_left_out);
	RUN(test_vm_proxmox_present_config_is_read_and_snapshots_are_not);
	RUN(test_vm_proxmox_defaults_and_args_are_known);
	RUN(test_vm_proxmox_mapping_of_this_node_is_resolved);
	RUN(test_vm_proxmox_mapping_of_several_is_kept_by_name);
	RUN(test_vm_proxmox_config_joins_its_process);
	RUN(test_vm_libvirt_domain_is_read);
	RUN(test_vm_libvirt_damaged_files_are_survived);
	RUN(test_vm_libvirt_deep_nesting_does_not_count_as_the_path);
	RUN(test_vm_ram_follows_the_board);
	RUN(test_vm_ram_unknown_where_the_board_decides);
	return tap_done();
}
