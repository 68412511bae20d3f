/* SPDX-License-Identifier: MIT */
/*
 * Reading a big kernel log: doctor's parser against `grep -cF DMAR` on the same file, in turns.
 *
 *	bench-doctor_log [--mib MIB] [--json]
 *
 * The log is made up, the same in each run: ordinary lines, and some faults, also in storms:
 * 2.5 % of the lines. It lies in TMPDIR (or /tmp) and is removed at the end.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/bench.h"
#include "doctor/log/log.h"

enum { ROUNDS = 5 };

static const char *const ordinary[] = {
	"usb 1-4: new high-speed USB device number 7 using xhci_hcd",
	"audit: type=1400 audit(1714989000.123:88): apparmor=\"STATUS\" operation=\"profile_load\"",
	"EXT4-fs (nvme0n1p2): mounted filesystem with ordered data mode. Quota mode: none.",
	"br0: port 2(tap100i0) entered forwarding state",
	"systemd[1]: Started Session 14 of User operator.",
	"pci 0000:00:1c.4: PCI bridge to [bus 05-07]",
	"igb 0000:05:00.0 enp5s0: igb: enp5s0 NIC Link is Up 1000 Mbps Full Duplex, Flow Control: RX",
	"perf: interrupt took too long (2501 > 2500), lowering kernel.perf_event_max_sample_rate",
	"ACPI: PCI: Interrupt link LNKA configured for IRQ 11",
	"kvm [4312]: vcpu0, guest rIP: 0xffffffff8106b2a4 ignored rdmsr: 0x611",
	"docker0: port 1(veth1a2b3c4) entered blocking state",
	"CPU3: Core temperature above threshold, cpu clock throttled (total events = 91)",
};

static const char *const faults[] = {
	"DMAR: DRHD: handling fault status reg 3",
	"DMAR: [DMA Write NO_PASID] Request device [41:00.0] fault addr 0x7f210000 "
	"[fault reason 0x05] PTE Write access is not set",
	"DMAR: [INTR-REMAP] Request device [41:00.0] fault index 0x48 [fault reason 0x22] "
	"Present field in the IRTE entry is clear",
	"vfio-pci 0000:41:00.0: vfio_ecap_init: hiding ecap 0x19@0x900",
	"dmar_fault: 4112 callbacks suppressed",
};

static int write_log(const char *path, size_t bytes)
{
	FILE *log = fopen(path, "w");
	uint64_t random = 1, us = 0;
	size_t done = 0, storm = 0;

	if (!log)
		return -errno;
	while (done < bytes) {
		const char *text;
		int wrote;

		random = random * 6364136223846793005u + 1442695040888963407u;
		us += random >> 50;
		if (!storm && (random >> 33) % 4000 == 0)
			storm = 100;
		if (storm || (random >> 33) % 400 == 0)
			text = faults[(random >> 40) % (sizeof(faults) / sizeof(*faults))];
		else
			text = ordinary[(random >> 40) % (sizeof(ordinary) / sizeof(*ordinary))];
		storm -= storm > 0;
		wrote = fprintf(log, "[%5llu.%06llu] %s\n", (unsigned long long)us / 1000000,
				(unsigned long long)us % 1000000, text);
		if (wrote < 0)
			break;
		done += (size_t)wrote;
	}
	return fclose(log) || done < bytes ? -EIO : 0;
}

/* In a process of its own, so that its memory is known. */
static void parse(const char *path)
{
	struct arena arena = {0};
	struct doctor_facts facts;
	struct doctor_parser *parser;
	int ret;

	doctor_facts_init(&facts, &arena);
	parser = doctor_parser_create(&facts, path, DOCTOR_SIDE_HOST, NULL, NULL);
	ret = doctor_log_file(parser, path, NULL);
	doctor_parser_finish(parser);
	_exit(ret || !doctor_facts_have(&facts, DOCTOR_VTD_DMA_FAULT));
}

/* Return: seconds; negative when it failed. */
static double run(const char *path, bool grep, long *ret_rss_kib)
{
	double start = bench_now_us();
	struct rusage usage;
	int status, out[2];
	char count[32];
	pid_t pid;

	if (pipe(out))
		return -1;
	pid = fork();
	if (pid < 0)
		return -1;
	if (!pid && grep) {
		/* Into a pipe: grep stops at the first hit where it sees /dev/null. */
		close(out[0]);
		dup2(out[1], STDOUT_FILENO);
		setenv("LC_ALL", "C", 1);
		execlp("grep", "grep", "-cF", "DMAR", path, (char *)NULL);
		_exit(127);
	}
	if (!pid)
		parse(path);
	close(out[1]);
	while (read(out[0], count, sizeof(count)) > 0)
		;
	close(out[0]);
	if (wait4(pid, &status, 0, &usage) != pid || status)
		return -1;
	*ret_rss_kib = usage.ru_maxrss;
	return (bench_now_us() - start) / 1e6;
}

static int measure(const char *path, size_t mib, bool json)
{
	double ours[ROUNDS], grep[ROUNDS], o, g;
	long rss_kib = 0, ignored;

	for (int i = 0; i < ROUNDS; i++) {
		grep[i] = run(path, true, &ignored);
		ours[i] = run(path, false, &rss_kib);
		if (grep[i] < 0 || ours[i] < 0)
			return -EIO;
	}
	o = (double)mib / bench_median(ours, ROUNDS);
	g = (double)mib / bench_median(grep, ROUNDS);
	if (json)
		printf("{\"mib\": %zu, \"doctor_mib_s\": %.0f, \"grep_mib_s\": %.0f, "
		       "\"ratio\": %.2f, \"peak_rss_mib\": %.1f}\n",
		       mib, o, g, o / g, (double)rss_kib / 1024);
	else
		printf("%8s %14s %14s %7s %13s\n%8zu %14.0f %14.0f %7.2f %13.1f\n", "MiB",
		       "doctor MiB/s", "grep MiB/s", "ratio", "peak RSS MiB", mib, o, g, o / g,
		       (double)rss_kib / 1024);
	return 0;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"mib", required_argument, NULL, 'm'},
		{"json", no_argument, NULL, 'j'},
		{0},
	};
	const char *tmp = getenv("TMPDIR");
	char dir[512], path[544];
	long mib = 1024;
	bool json = false;
	int ret, option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'm')
			mib = strtol(optarg, NULL, 10);
		else if (option == 'j')
			json = true;
		else
			return 2;
	}
	snprintf(dir, sizeof(dir), "%s/tethys-bench-log-XXXXXX", tmp && *tmp ? tmp : "/tmp");
	if (mib < 1 || mib > 1 << 20 || !mkdtemp(dir)) {
		fprintf(stderr, "doctor_log: needs a size in MiB and a folder for its log\n");
		return 1;
	}
	snprintf(path, sizeof(path), "%s/kernel.log", dir);
	ret = write_log(path, (size_t)mib << 20);
	if (!ret)
		ret = measure(path, (size_t)mib, json);
	unlink(path);
	rmdir(dir);
	if (ret)
		fprintf(stderr, "doctor_log: failed: %s\n", strerror(-ret));
	return ret ? 1 : 0;
}
