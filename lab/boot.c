/* SPDX-License-Identifier: MIT */
/*
 * Powering on: the card, the host VM and what it needs, guests in it.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lab/agent/proto.h"
#include "lab/qmp.h"
#include "lab/run_internal.h"

#define BOOT_MS 120000 /* far more than any machine should need */
#define SCRIPT_MS 60000
#define SCRIPT_BYTES 4096

/* --- card --- */

int lab_card_new(struct lab_run *run, struct reason *why)
{
	char name[16] = "card";

	lab_card_destroy(run->card);
	run->card = NULL;
	if (run->cards++)
		snprintf(name, sizeof(name), "card%u", run->cards);
	return lab_card_start(run->loop, run->options->command, &run->scenario->card,
			      run->socket_dir, run->result->dir, name, &run->card, why);
}

/* --- host VM --- */

static unsigned int guests_of(const struct lab_scenario *scenario)
{
	unsigned int i, count = 0;

	for (i = 0; i < LAB_GUESTS_MAX; i++)
		if (scenario->guest[i].present)
			count = i + 1;
	return count;
}

static int host_argv(struct lab_run *run, struct lab_argv *ret_argv, struct reason *why)
{
	const struct lab_images *images = run->options->images;
	const struct lab_scenario_host *host = &run->scenario->host;
	struct lab_host_machine machine = {
		.accel = run->options->accel,
		.kernel = images->kernel,
		.initrd = images->initrd,
		.base = images->base,
		.payload = images->payload,
		.socket_dir = run->socket_dir,
		.log_dir = run->result->dir,
		.cmdline = host->cmdline,
		.card_socket = lab_card_socket(run->card),
		.memory_mib = host->memory_mib,
		.cpus = host->cpus,
		.iommu = host->iommu,
		.intremap = host->intremap,
		.guests = guests_of(run->scenario),
		.occupied = host->occupied,
	};
	int err;

	err = lab_argv_add(ret_argv, "%s", images->enter);
	if (!err)
		err = lab_argv_add(ret_argv, "%s", images->root);
	return err ? err : lab_host_argv(&machine, ret_argv, why);
}

int lab_boot_host(struct lab_run *run, struct reason *why)
{
	struct lab_vm *vm = &run->vm[LAB_IN_HOST];
	struct lab_argv argv = {0};
	char log[PATH_MAX];
	int err;

	err = lab_path(log, run->result->dir, "host.qemu");
	if (!err)
		err = host_argv(run, &argv, why);
	if (!err)
		err = lab_process_start(run->loop, (const char *const *)argv.item, log,
					&vm->process, why);
	lab_argv_deinit(&argv);
	if (!err)
		err = lab_vm_connect(vm, why);
	if (!err)
		err = lab_vm_wait_hello(vm, BOOT_MS, why);
	if (err && err != -EINTR) {
		lab_add_tail(run->result->dir, "host.console", why);
		lab_add_tail(run->result->dir, "host.qemu", why);
	}
	return err;
}

static int find_consoles(struct lab_run *run, struct reason *why)
{
	static const char script[] = "cd /sys/class/virtio-ports && for p in *; do\n"
				     "echo \"$(cat \"$p/name\") /dev/$p\"; done";
	char output[1024], name[64], *at, *line, *save;
	unsigned int guest;
	int err;

	err = lab_vm_script(&run->vm[LAB_IN_HOST], script, SCRIPT_MS, output, sizeof(output), why);
	for (line = err ? NULL : strtok_r(output, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save)) {
		at = strchr(line, ' ');
		if (!at)
			continue;
		*at++ = '\0';
		for (guest = 0; guest < LAB_GUESTS_MAX; guest++) {
			snprintf(name, sizeof(name), LAB_PORT_GUEST_CONSOLE, guest + 1);
			if (!strcmp(line, name))
				snprintf(run->console[guest], sizeof(run->console[guest]), "%s",
					 at);
		}
	}
	return err;
}

/* @name is checked by the scenario's parser: no character that a shell would take for more. */
static int load_modules(struct lab_vm *vm, const struct lab_strings *modules, struct reason *why)
{
	char script[SCRIPT_BYTES];
	size_t i;
	int err = 0;

	for (i = 0; !err && i < modules->count; i++) {
		int over = snprintf(script, sizeof(script), "modprobe -v %s", modules->item[i]) +
			   1 - (int)sizeof(script);

		if (over > 0)
			return reason_add(why, -E2BIG, "module = %.40s...: too long by %d bytes",
					  modules->item[i], over);
		err = lab_vm_script(vm, script, SCRIPT_MS, NULL, 0, why);
	}
	return err;
}

static int reserve_hugepages(struct lab_vm *vm, unsigned int count, struct reason *why)
{
	char script[SCRIPT_BYTES];

	if (!count)
		return 0;
	snprintf(script, sizeof(script),
		 "echo %u >/proc/sys/vm/nr_hugepages\n"
		 "got=$(cat /proc/sys/vm/nr_hugepages)\n"
		 "[ $got = %u ] || { echo \"only $got of %u huge pages to be had\"; exit 1; }",
		 count, count, count);
	return lab_vm_script(vm, script, SCRIPT_MS, NULL, 0, why);
}

/*
 * Drivers come in as the scenario wants them, so that the kernel log shows it. @parameters: checked
 * by the scenario's parser as names of modules are.
 */
static int load_driver(struct lab_vm *vm, bool lab_vfio, const char *driver, const char *parameters,
		       struct reason *why)
{
	char metis[SCRIPT_BYTES];
	const char *script = "modprobe vfio_iommu_type1 && modprobe vfio-pci";

	if (!strcmp(driver, "none"))
		return 0;
	if (snprintf(metis, sizeof(metis), "lab-metis %s", parameters ? parameters : "") >=
	    (int)sizeof(metis))
		return reason_add(why, -EINVAL, "driver parameters: longer than %zu bytes",
				  sizeof(metis));
	if (!strcmp(driver, LAB_DRIVER_METIS))
		script = metis;
	else if (lab_vfio)
		script = "lab-vfio";
	return lab_vm_script(vm, script, SCRIPT_MS, NULL, 0, why);
}

static const char *driver_of(const struct lab_run *run, enum lab_where where)
{
	return where == LAB_IN_HOST ? run->scenario->host.driver
				    : run->scenario->guest[where - LAB_IN_GUEST1].driver;
}

int lab_bind_card(struct lab_run *run, enum lab_where where, struct reason *why)
{
	const char *driver = driver_of(run, where);
	char script[SCRIPT_BYTES];

	if (!strcmp(driver, "none"))
		return 0;
	/* no-IOMMU is a mode of the same driver. */
	if (!strcmp(driver, "vfio-noiommu"))
		driver = "vfio-pci";
	snprintf(script, sizeof(script),
		 "card=%s driver=%s\n"
		 "d=/sys/bus/pci/devices/$card\n"
		 "for i in $(seq 50); do [ ! -e $d ] || break; sleep 0.1; done\n"
		 "[ -e $d ] || { echo \"there is no PCI device $card\"; exit 1; }\n"
		 "bound() { [ \"$(basename \"$(readlink $d/driver)\")\" = $driver ]; }\n"
		 "echo $driver >$d/driver_override\n"
		 /* One that knows the card's id has it already: twice would be another story. */
		 "bound && exit\n"
		 "[ ! -e $d/driver ] || echo $card >$d/driver/unbind\n"
		 "echo $card >/sys/bus/pci/drivers_probe\n"
		 "bound || {\n"
		 "dmesg | tail -n 3; echo \"$driver does not take $card\"; exit 1; }",
		 where == LAB_IN_HOST ? LAB_HOST_CARD : LAB_GUEST_CARD, driver);
	return lab_vm_script(&run->vm[where], script, SCRIPT_MS, NULL, 0, why);
}

int lab_setup_host(struct lab_run *run, struct reason *why)
{
	const struct lab_scenario_host *host = &run->scenario->host;
	struct lab_vm *vm = &run->vm[LAB_IN_HOST];
	bool guests = guests_of(run->scenario);
	int err;

	err = guests ? find_consoles(run, why) : 0;
	if (!err)
		err = load_modules(vm, &host->modules, why);
	if (!err && guests)
		err = lab_vm_script(vm,
				    "modprobe kvm_amd 2>/dev/null || modprobe kvm_intel\n"
				    "[ -e /dev/kvm ] || { echo 'no KVM in the host VM'; exit 1; }",
				    SCRIPT_MS, NULL, 0, why);
	if (!err)
		err = reserve_hugepages(vm, host->hugepages, why);
	if (!err)
		err = load_driver(vm, host->lab_vfio, host->driver, host->driver_parameters, why);
	return err ? err : lab_bind_card(run, LAB_IN_HOST, why);
}

/* --- guests --- */

static int guest_argv(struct lab_run *run, enum lab_where where, struct lab_argv *ret_argv,
		      struct reason *why)
{
	unsigned int n = where - LAB_IN_GUEST1;
	const struct lab_scenario_guest *guest = &run->scenario->guest[n];
	struct lab_guest_machine machine = {
		.number = n + 1,
		.pass = guest->pass,
		.cmdline = guest->cmdline,
		.irqchip = guest->irqchip,
		.memory_mib = guest->memory_mib,
		.cpus = guest->cpus,
		.hugepages = guest->hugepages,
		.prealloc = guest->prealloc,
		.numa = guest->numa,
		.viommu = guest->viommu,
		.console_port = run->console[n],
	};

	return lab_guest_argv(&machine, ret_argv, why);
}

static int start_qemu(struct lab_run *run, enum lab_where where, struct reason *why)
{
	struct lab_vm *vm = &run->vm[where];
	struct lab_argv argv = {0};
	char log[PATH_MAX];
	int err;

	err = lab_path(log, run->result->dir, "guest%d.qemu", (int)where);
	if (!err)
		err = guest_argv(run, where, &argv, why);
	if (!err)
		err = lab_job_start(&vm->qemu, &run->vm[LAB_IN_HOST],
				    (const char *const *)argv.item, 0, log, why);
	lab_argv_deinit(&argv);
	return err;
}

/* In a guest the first thing after the boot: its own driver for the card. */
static int setup_guest(struct lab_run *run, enum lab_where where, struct reason *why)
{
	const struct lab_scenario_guest *guest = &run->scenario->guest[where - LAB_IN_GUEST1];
	struct lab_vm *vm = &run->vm[where];
	int err;

	err = load_modules(vm, &guest->modules, why);
	if (err || guest->pass == LAB_PASS_NONE)
		return err;
	err = load_driver(vm, !strcmp(guest->driver, "vfio-noiommu"), guest->driver,
			  guest->driver_parameters, why);
	return err ? err : lab_bind_card(run, where, why);
}

int lab_start_guest(struct lab_run *run, enum lab_where where, int64_t patience_ms,
		    struct reason *why)
{
	struct lab_vm *vm = &run->vm[where];
	int64_t deadline_ms = lab_now_ms() + patience_ms;
	char console[32];
	int err;

	/* First the link: what the last guest left in the port goes to nobody. */
	lab_vm_disconnect(vm);
	err = lab_vm_alive(vm) ? reason_add(why, -EBUSY, "the guest runs already") : 0;
	if (!err)
		err = start_qemu(run, where, why);
	if (!err)
		err = lab_vm_connect(vm, why);
	if (!err)
		err = lab_vm_wait_hello(vm, deadline_ms - lab_now_ms(), why);
	if (err == -ETIMEDOUT || err == -ECHILD) {
		snprintf(console, sizeof(console), "guest%d.console", (int)where);
		lab_add_tail(run->result->dir, console, why);
	}
	return err ? err : setup_guest(run, where, why);
}

/* --- another card --- */

/*
 * A write to the slot's control register, from the host VM, takes its power away: QEMU then takes
 * the card out at once, and the port reports a card that is gone, which nobody had announced. (Of
 * QEMU's root port: capability at 0x54, slot control at 0x6c; the value is "power off" with all
 * notifications left on, then "power on" again for the next card.)
 */
int lab_pull_card(struct lab_run *run, int64_t timeout_ms, struct reason *why)
{
	static const char script[] =
		"c=/sys/bus/pci/devices/" LAB_HOST_PORT "/config\n"
		"[ \"$(dd if=$c bs=1 skip=84 count=1 2>/dev/null | od -An -tx1)\" = ' 10' ] || {\n"
		"echo 'no PCI Express capability at 0x54 of " LAB_HOST_PORT "'; exit 1; }\n"
		"printf '\\321\\007' | dd of=$c bs=2 seek=54 conv=notrunc 2>/dev/null\n"
		"printf '\\361\\001' | dd of=$c bs=2 seek=54 conv=notrunc 2>/dev/null";

	return lab_vm_script(&run->vm[LAB_IN_HOST], script, timeout_ms, NULL, 0, why);
}

/* The slot's button is pressed, the kernel lets go, the new card comes in. */
int lab_replug_card(struct lab_run *run, int64_t timeout_ms, struct reason *why)
{
	struct lab_qmp *qmp;
	char path[PATH_MAX];
	int err;

	err = lab_path(path, run->socket_dir, "host.qmp");
	if (!err)
		err = lab_qmp_connect(path, &qmp, why);
	if (err)
		return err;
	err = lab_qmp_replace_card(qmp, lab_card_socket(run->card), (int)timeout_ms, why);
	lab_qmp_destroy(qmp);
	return err ? err : lab_bind_card(run, LAB_IN_HOST, why);
}
