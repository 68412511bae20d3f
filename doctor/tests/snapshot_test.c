/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "doctor/snapshot.h"
#include "tests/tap.h"

#define HEAD "{\"format\": \"tethys-doctor-snapshot\", \"version\": 1"

static const char binary[] = "\xff\x00\x80 abc\r\n\xfe";
static char path[64];

static void put(struct snapshot *snapshot, const char *at, const char *text)
{
	store_add(&snapshot->store, STORE_FILE, at, text, strlen(text), false);
}

static void save(const struct snapshot *snapshot, bool redact)
{
	struct reason why = {0};

	snprintf(path, sizeof(path), "/tmp/doctor-snapshot-%d.json", (int)getpid());
	EXPECT_EQ(snapshot_write(snapshot, path, redact, &why), 0);
	EXPECT_STR(why.text, "");
}

/* @snapshot is begun, filled from what was saved. */
static void load(struct snapshot *snapshot)
{
	struct reason why = {0};

	snapshot_init(snapshot);
	EXPECT_EQ(snapshot_read(snapshot, path, &why), 0);
	EXPECT_STR(why.text, "");
	unlink(path);
}

static void test_snapshot_comes_back_as_it_was(void)
{
	struct snapshot out, in;
	const struct store_entry *entry;
	struct stat stat_buf;

	snapshot_init(&out);
	out.name = "box";
	out.side = DOCTOR_SIDE_GUEST;
	out.time_s = 1234567890123;
	for (size_t size = 0; size < sizeof(binary); size++) {
		char at[32];

		snprintf(at, sizeof(at), "/b/%zu", size);
		store_add(&out.store, STORE_FILE, at, binary, size, size & 1);
	}
	store_add(&out.store, STORE_FILE, "/cmdline", "a\0b\0", 4, false);
	put(&out, "/utf8", "gr\xc3\xbc\xc3\x9f \"quoted\" \\ \x1b[31m\n");
	store_add(&out.store, STORE_LINK, "/link", "../x", 4, false);
	store_add(&out.store, STORE_DIR, "/dir", "", 0, false);
	store_add_error(&out.store, "/error", EACCES);
	snapshot_log_begin(&out, "kernel log");
	snapshot_log_keep(&out, 17, "first");
	snapshot_log_keep(&out, 1ull << 40, "second \"line\"");
	out.log[0].dropped = 3;
	snapshot_note(&out, "/what", "run as root", "why %d", 5);
	save(&out, false);
	EXPECT(!stat(path, &stat_buf) && (stat_buf.st_mode & 07777) == 0600);
	load(&in);
	EXPECT_STR(in.name, "box");
	EXPECT_EQ(in.side, DOCTOR_SIDE_GUEST);
	EXPECT_EQ(in.time_s, 1234567890123);
	EXPECT_EQ(in.store.count, out.store.count);
	for (size_t i = 0; i < out.store.count; i++) {
		const struct store_entry *was = &out.store.entry[i];

		entry = store_find(&in.store, was->path);
		ASSERT(entry);
		EXPECT_EQ(entry->kind, was->kind);
		EXPECT_EQ(entry->err, was->err);
		EXPECT_EQ(entry->cut, was->cut);
		ASSERT_EQ(entry->size, was->size);
		EXPECT(!memcmp(entry->data, was->data, was->size));
	}
	ASSERT_EQ(in.log_count, 1);
	ASSERT_EQ(in.log[0].count, 2);
	EXPECT_EQ(in.log[0].line[1].number, 1ll << 40);
	EXPECT_STR(in.log[0].line[1].text, "second \"line\"");
	EXPECT_EQ(in.log[0].dropped, 3);
	ASSERT_EQ(in.note_count, 1);
	EXPECT_STR(in.note[0].why, "why 5");
	snapshot_deinit(&in);
	snapshot_deinit(&out);
}

static int parse(struct snapshot *snapshot, const char *text)
{
	snapshot_init(snapshot);
	return snapshot_parse(snapshot, text, strlen(text), NULL);
}

static void test_snapshot_other_documents_are_none(void)
{
	static const char *const texts[] = {
		"",
		"{",
		"[]",
		"17",
		"\"x\"",
		"null",
		"{}",
		"{\"format\": 5}",
		"x" HEAD "}",
		"{\"format\": \"tethys-doctor-report/1\", \"version\": 1}",
		"{\"format\": \"tethys-doctor-snapshot\"}",
		"{\"format\": \"tethys-doctor-snapshot\", \"version\": \"1\"}",
		"{\"format\": \"tethys-doctor-snapshot\", \"version\": 0}",
		HEAD,
		HEAD "} trailing",
		HEAD ", \"name\": \"\xff\"}",
	};
	struct snapshot snapshot;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		if (parse(&snapshot, texts[i]) != -EPROTO)
			TAP_FAIL("\"%s\" was read", texts[i]);
		snapshot_deinit(&snapshot);
	}
}

static void test_snapshot_nonsense_within_is_left_out(void)
{
	struct snapshot snapshot;

	EXPECT_EQ(parse(&snapshot,
			HEAD ", \"side\": 7, \"name\": [], \"time\": \"x\", \"notes\": [1, {}],"
			     "\"logs\": [5, {\"lines\": [[1], [\"a\", 2], 3, [4, \"good\"]]}],"
			     "\"entries\": [1, {}, {\"path\": \"/nothing\"},"
			     "{\"path\": \"relative\", \"text\": \"\"},"
			     "{\"path\": \"/a/../b\", \"text\": \"\"},"
			     "{\"path\": \"/a//b\", \"text\": \"\"},"
			     "{\"path\": \"/a/\", \"text\": \"\"},"
			     "{\"path\": \"/a\\u0000b\", \"text\": \"\"},"
			     "{\"path\": \"/a\\u001b[31m\", \"text\": \"\"},"
			     "{\"path\": \"/64\", \"base64\": \"abc\"},"
			     "{\"path\": \"/64\", \"base64\": \"a=bc\"},"
			     "{\"path\": \"/x\", \"text\": \"old\"},"
			     "{\"path\": \"/x\", \"text\": \"new\"},"
			     "{\"path\": \"/e\", \"error\": -5},"
			     "{\"path\": \"/..a/b..\", \"text\": \"fine\"}]}\n"),
		  0);
	EXPECT_STR(store_text(&snapshot.store, "/x"), "new");
	EXPECT_STR(store_text(&snapshot.store, "/..a/b.."), "fine");
	EXPECT_EQ(store_find(&snapshot.store, "/e")->err, EIO);
	EXPECT_EQ(snapshot.store.count, 3);
	ASSERT_EQ(snapshot.log_count, 1);
	ASSERT_EQ(snapshot.log[0].count, 1);
	EXPECT_STR(snapshot.log[0].line[0].text, "good");
	ASSERT(snapshot.note_count);
	EXPECT_HAS(snapshot.note[snapshot.note_count - 1].why, "make no sense");
	EXPECT_EQ(snapshot.side, DOCTOR_SIDE_UNKNOWN);
	snapshot_deinit(&snapshot);
}

static void test_snapshot_newer_is_read_and_noted(void)
{
	struct snapshot snapshot;

	EXPECT_EQ(parse(&snapshot, "{\"format\": \"tethys-doctor-snapshot\", \"version\": 99,"
				   "\"more\": {\"a\": [1]}, \"entries\": ["
				   "{\"path\": \"/x\", \"text\": \"t\", \"new\": 1}]}"),
		  0);
	EXPECT_STR(store_text(&snapshot.store, "/x"), "t");
	ASSERT_EQ(snapshot.note_count, 1);
	EXPECT_HAS(snapshot.note[0].why, "newer");
	EXPECT_HAS(snapshot.note[0].why, "1 of its parts");
	snapshot_deinit(&snapshot);
}

static void test_snapshot_bombs_are_refused(void)
{
	struct snapshot snapshot;
	char *text = malloc(8 << 20);
	size_t size;

	ASSERT(text);
	size = (size_t)sprintf(text, HEAD ", \"entries\": ");
	memset(text + size, '[', 100);
	text[size + 100] = '\0';
	EXPECT_EQ(parse(&snapshot, text), -EPROTO);
	snapshot_deinit(&snapshot);
	text[size++] = '[';
	for (size_t i = 0; i < 3 << 20; i++, size += 2)
		memcpy(text + size, "1,", 2);
	strcpy(text + size, "1]}");
	EXPECT_EQ(parse(&snapshot, text), -EPROTO);
	snapshot_deinit(&snapshot);
	free(text);
	snapshot_init(&snapshot);
	EXPECT_EQ(snapshot_parse(&snapshot, "", ((size_t)256 << 20) + 1, NULL), -EFBIG);
	EXPECT_EQ(snapshot_read(&snapshot, "/nonexistent", NULL), -ENOENT);
	EXPECT_EQ(snapshot_read(&snapshot, "/", NULL), -EISDIR);
	snapshot_deinit(&snapshot);
}

static void test_snapshot_failed_write_leaves_the_old_one(void)
{
	struct snapshot snapshot;
	struct reason why = {0};

	snapshot_init(&snapshot);
	EXPECT(snapshot_write(&snapshot, "/nonexistent/x.json", false, &why) < 0);
	EXPECT_HAS(why.text, "/nonexistent/x.json");
	snapshot_deinit(&snapshot);
}

static void make_private(struct snapshot *out)
{
	static const char cmdline[] =
		"/usr/bin/kvm\0-id\000101\0-name\0secretvm,debug-threads=on\0-device\0"
		"vfio-pci,host=0000:86:00.0,id=hostpci0\0-smbios\0"
		"type=1,uuid=0b1c2d3e-1111-2222-3333-444455556666\0-drive\0"
		"file=/srv/alice/d.raw,serial=WD-77XYZ\0-device\0virtio-net,mac=BC:24:11:0a:0B:0c\0"
		"-object\0secret,id=s0,data=aGVsbG8K";

	uint8_t config[0x400] = {0xff};

	snapshot_init(out);
	out->name = "pve";
	put(out, "/proc/sys/kernel/hostname", "pve\n");
	put(out, "/proc/version", "Linux version 6.8.12-4-pve (x) #1\n");
	put(out, "/sys/module/x/version", "1.2.3.4\n");
	store_add(&out->store, STORE_FILE, "/proc/77/cmdline", cmdline, sizeof(cmdline), false);
	put(out, "/etc/pve/qemu-server/101.conf",
	    "# belongs to Alice\nname: secretvm\nhostpci0: 0000:86:00.0,pcie=1\n"
	    "ciuser: alice\ncipassword: hunter2\nnet0: virtio=bc:24:11:0a:0b:0c,bridge=vmbr0\n"
	    "ipconfig0: ip=192.168.17.23/24,gw=192.168.17.1,ip6=fd00:17::23/64\n"
	    "vmgenid: 0b1c2d3e-1111-2222-3333-444455556666\n");
	/* A serial number behind another capability. */
	config[0x100] = 1;
	config[0x102] = 0x01;
	config[0x103] = 0x20;
	config[0x200] = 3;
	config[0x204] = 0xab;
	config[0x20b] = 0xcd;
	config[0x20c] = 0xef;
	store_add(&out->store, STORE_FILE, "/sys/bus/pci/devices/0000:86:00.0/config", config,
		  sizeof(config), false);
	put(out, "/etc/pve/nodes/pve/qemu-server/102.conf", "name: metis\nmemory: 1\n");
	put(out, "/etc/libvirt/qemu/otherguest.xml", "<name>otherguest</name><uuid>x</uuid>\xff");
	snapshot_log_begin(out, "journal");
	snapshot_log_keep(out, 1, "May 01 10:11:12 pve kernel: metis 0000:86:00.0: driver metis");
	snapshot_log_keep(out, 2, "May 01 pve QEMU[77]: secretvm at 192.168.17.23 by alice");
	snapshot_log_keep(out, 3, "fault addr 0x149800000 [86:00.0] in /etc/pve 10:11:12");
}

static char *whole_file(void)
{
	static char text[65536];
	FILE *file = fopen(path, "r");

	memset(text, 0, sizeof(text));
	if (!file || !fread(text, 1, sizeof(text) - 1, file))
		abort();
	fclose(file);
	return text;
}

static void test_snapshot_redacted_names_nobody(void)
{
	static const char *const gone[] = {
		"secretvm", "otherguest", "alice",   "Alice", "hunter2", "WD-77XYZ",  "aGVsbG8K",
		"0b1c2d3e", "192.168",	  "fd00:17", "BC:24", "bc:24",	 "nodes/pve", "\"pve",
	};
	static const char *const kept[] = {
		"6.8.12-4-pve",
		"1.2.3.4",
		"0000:86:00.0",
		"[86:00.0]",
		"0x149800000",
		"driver metis",
		"/etc/pve/qemu-server/101.conf",
		"10:11:12",
		"hostpci0",
		"May 01 10:11:12 host-1 kernel: metis",
		"May 01 host-1 QEMU[77]: vm-",
	};
	struct snapshot out, in;
	const char *text, *uuid;
	const struct store_entry *config;
	char *once;

	make_private(&out);
	save(&out, true);
	text = whole_file();
	for (size_t i = 0; i < sizeof(gone) / sizeof(gone[0]); i++)
		if (strstr(text, gone[i]))
			TAP_FAIL("\"%s\" is still there", gone[i]);
	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
		if (!strstr(text, kept[i]))
			TAP_FAIL("\"%s\" is gone", kept[i]);
	load(&in);
	EXPECT_STR(in.name, "host-1");
	config = store_find(&in.store, "/sys/bus/pci/devices/0000:86:00.0/config");
	ASSERT(config && config->size == 0x400);
	EXPECT(!config->data[0x204] && !config->data[0x20b] &&
	       (uint8_t)config->data[0x20c] == 0xef && config->data[0x200] == 3);
	text = store_text(&in.store, "/etc/pve/qemu-server/101.conf");
	ASSERT(text);
	uuid = strstr(text, "vmgenid: ");
	ASSERT(uuid);
	EXPECT_STR(uuid, "vmgenid: uuid-1");
	EXPECT(memmem(store_find(&in.store, "/proc/77/cmdline")->data,
		      store_find(&in.store, "/proc/77/cmdline")->size, "uuid=uuid-1", 11));
	EXPECT(store_find(&in.store, "/etc/pve/nodes/host-1/qemu-server/102.conf"));
	/* Once more changes nothing. */
	once = strdup(text);
	ASSERT(once);
	save(&in, true);
	snapshot_deinit(&in);
	load(&in);
	EXPECT_STR(store_text(&in.store, "/etc/pve/qemu-server/101.conf"), once);
	free(once);
	snapshot_deinit(&in);
	snapshot_deinit(&out);
}

int main(void)
{
	RUN(test_snapshot_comes_back_as_it_was);
	RUN(test_snapshot_other_documents_are_none);
	RUN(test_snapshot_nonsense_within_is_left_out);
	RUN(test_snapshot_newer_is_read_and_noted);
	RUN(test_snapshot_bombs_are_refused);
	RUN(test_snapshot_failed_write_leaves_the_old_one);
	RUN(test_snapshot_redacted_names_nobody);
	return tap_done();
}
