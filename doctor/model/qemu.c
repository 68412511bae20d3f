/* SPDX-License-Identifier: MIT */
/*
 * QEMU's command line: of running processes, and what configurations add to it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "doctor/model/vm.h"

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static bool is_qemu_name(const char *name)
{
	return !strncmp(name, "qemu-system-", strlen("qemu-system-")) ||
	       !strcmp(name, "qemu-kvm") || !strcmp(name, "kvm") || !strcmp(name, "qemu");
}

bool machine_vm_is_qemu(const char *cmdline, size_t size)
{
	char first[256];
	size_t length = strnlen(cmdline, size);

	if (!length || length >= sizeof(first))
		return false;
	memcpy(first, cmdline, length);
	first[length] = '\0';
	return is_qemu_name(base_name(first));
}

/*
 * -device and -object may be JSON; then its members are asked for by the same names.
 */
struct qemu_list {
	const char *text;
	struct json_object *json; /* NULL: a list of key=value */
	const char *first;	  /* key of the first word */
};

#define JSON_BYTES_MAX 65536

static struct qemu_list list_open(const char *text, const char *first, const char *json_first)
{
	struct qemu_list list = {.text = text, .first = first};
	struct json_tokener *tokener;
	size_t size = strlen(text);

	if (*text != '{' || size > JSON_BYTES_MAX)
		return list;
	tokener = json_tokener_new_ex(16);
	if (!tokener)
		return list;
	list.json = json_tokener_parse_ex(tokener, text, (int)size);
	json_tokener_free(tokener);
	list.first = json_first;
	if (list.json && !json_object_is_type(list.json, json_type_object)) {
		json_object_put(list.json);
		list.json = NULL;
	}
	return list;
}

static void list_close(struct qemu_list *list)
{
	json_object_put(list->json);
}

static bool list_get(const struct qemu_list *list, const char *key, char ret_value[VM_VALUE_BYTES])
{
	struct json_object *member;

	if (!list->json)
		return vm_option(list->text, key, !strcmp(key, list->first), ret_value);
	if (!json_object_object_get_ex(list->json, key, &member) ||
	    json_object_is_type(member, json_type_object) ||
	    json_object_is_type(member, json_type_array))
		return false;
	if (json_object_is_type(member, json_type_boolean))
		snprintf(ret_value, VM_VALUE_BYTES, "%s",
			 json_object_get_boolean(member) ? "on" : "off");
	else
		snprintf(ret_value, VM_VALUE_BYTES, "%s", json_object_get_string(member));
	return true;
}

static unsigned int bits_of(const char *value)
{
	unsigned long bits = strtoul(value, NULL, 10);

	return bits <= 64 ? (unsigned int)bits : 0;
}

/* What the sources of one VM add up to. */
struct qemu_args {
	struct machine_vm *vm;
	struct arena *arena;
	bool memory_said, kvm;
	uint64_t backends; /* bytes of all memory-backend objects */
};

static void read_memory(struct qemu_args *args, const char *list)
{
	char value[VM_VALUE_BYTES];
	uint64_t bytes;

	if (vm_option(list, "size", true, value) && vm_bytes(value, 'M', &bytes)) {
		args->vm->ram = bytes;
		args->memory_said = true;
	}
}

static void set_irqchip(struct qemu_args *args, const char *value)
{
	enum tristate is = vm_switch(value);

	if (is == YES)
		args->vm->irqchip = "on";
	else if (is == NO)
		args->vm->irqchip = "off";
	else if (!strcmp(value, "split"))
		args->vm->irqchip = "split";
}

static void read_machine(struct qemu_args *args, const char *list)
{
	char value[VM_VALUE_BYTES];
	enum vm_board board;

	/* A first word with '=' isn't the type. */
	if (vm_option(list, "type", true, value)) {
		board = vm_board_of(value);
		if (board != BOARD_UNKNOWN)
			args->vm->board = board;
	}
	if (vm_option(list, "kernel-irqchip", false, value))
		set_irqchip(args, value);
	if (vm_option(list, "accel", false, value) && !strncmp(value, "kvm", 3))
		args->kvm = true;
	if (vm_option(list, "iommu", false, value) && !strcmp(value, "smmuv3"))
		args->vm->viommu = VIOMMU_SMMU;
	if (vm_option(list, "pflash0", false, value))
		args->vm->ovmf = true;
}

static void read_accelerator(struct qemu_args *args, const char *list)
{
	char value[VM_VALUE_BYTES];

	if (vm_option(list, "accel", true, value) && !strncmp(value, "kvm", 3))
		args->kvm = true;
	if (vm_option(list, "kernel-irqchip", false, value))
		set_irqchip(args, value);
}

/* "host,phys-bits=40,guest-phys-bits=39". */
static void read_cpu(struct qemu_args *args, const char *list)
{
	static const char *const keys[] = {"phys-bits", "host-phys-bits-limit", "guest-phys-bits"};
	char value[VM_VALUE_BYTES];

	args->vm->cpu = arena_strdup(args->arena, list);
	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++)
		if (vm_option(list, keys[i], false, value) && bits_of(value))
			args->vm->guest_phys_bits = bits_of(value);
}

static void read_assigned(struct qemu_args *args, const struct qemu_list *list)
{
	char value[VM_VALUE_BYTES];
	const char *name = NULL;
	struct bdf bdf;

	if (list_get(list, "host", value))
		name = value;
	else if (list_get(list, "sysfsdev", value))
		name = base_name(value);
	if (!name)
		return;
	if (bdf_parse(name, strlen(name), &bdf, NULL))
		vm_add_device(args->vm, args->arena, bdf, false);
	else if (*name)
		vm_add_mdev(args->vm, args->arena, name);
}

static void read_iommu_options(struct machine_vm *vm, const struct qemu_list *list)
{
	char value[VM_VALUE_BYTES];

	if (list_get(list, "intremap", value) && vm_switch(value) != UNKNOWN)
		vm->intremap = vm_switch(value);
	if (list_get(list, "caching-mode", value) && vm_switch(value) != UNKNOWN)
		vm->caching_mode = vm_switch(value);
	if (list_get(list, "aw-bits", value) || list_get(list, "x-aw-bits", value))
		vm->aw_bits = bits_of(value);
}

static void read_device(struct qemu_args *args, const char *text)
{
	struct qemu_list list = list_open(text, "driver", "driver");
	char driver[VM_VALUE_BYTES];

	if (!list_get(&list, "driver", driver))
		driver[0] = '\0';
	if (!strncmp(driver, "vfio-pci", 8)) {
		read_assigned(args, &list);
	} else if (!strcmp(driver, "intel-iommu") || !strcmp(driver, "amd-iommu")) {
		args->vm->viommu = driver[0] == 'i' ? VIOMMU_INTEL : VIOMMU_AMD;
		read_iommu_options(args->vm, &list);
	} else if (!strncmp(driver, "virtio-iommu", 12)) {
		args->vm->viommu = VIOMMU_VIRTIO;
	} else if (!strcmp(driver, "arm-smmuv3")) {
		args->vm->viommu = VIOMMU_SMMU;
	}
	list_close(&list);
}

/* "-global intel-iommu.intremap=on". */
static void read_global(struct qemu_args *args, const char *text)
{
	const char *dot = strchr(text, '.');

	if (!strncmp(text, "intel-iommu.", 12) || !strncmp(text, "amd-iommu.", 10)) {
		struct qemu_list list = {.text = dot + 1, .first = ""};

		read_iommu_options(args->vm, &list);
	}
}

static bool is_huge(const char *path)
{
	return strstr(path, "huge") != NULL;
}

static void read_object(struct qemu_args *args, const char *text)
{
	struct qemu_list list = list_open(text, "qom-type", "qom-type");
	char value[VM_VALUE_BYTES];
	uint64_t bytes;

	if (!list_get(&list, "qom-type", value) || strncmp(value, "memory-backend-", 15) != 0) {
		list_close(&list);
		return;
	}
	/* In JSON a plain number, of bytes; on the command line too, when without suffix. */
	if (list_get(&list, "size", value) && vm_bytes(value, 'B', &bytes) &&
	    args->backends < UINT64_MAX / 2 && bytes < UINT64_MAX / 2)
		args->backends += bytes;
	if (list_get(&list, "prealloc", value) && vm_switch(value) == YES)
		args->vm->prealloc = true;
	if (list_get(&list, "mem-path", value) && is_huge(value))
		args->vm->hugepages = true;
	if (list_get(&list, "hugetlb", value) && vm_switch(value) == YES)
		args->vm->hugepages = true;
	list_close(&list);
}

static void read_bios(struct qemu_args *args, const char *text)
{
	if (strcasestr(text, "ovmf") || strcasestr(text, "edk2") || strstr(text, "if=pflash"))
		args->vm->ovmf = true;
}

static void read_name(struct qemu_args *args, const char *list)
{
	char value[VM_VALUE_BYTES];

	if (vm_option(list, "guest", true, value) && !*args->vm->name)
		args->vm->name = arena_strdup(args->arena, value);
}

static void read_id(struct qemu_args *args, const char *text)
{
	args->vm->name = arena_strdup(args->arena, text);
}

static void read_lock(struct qemu_args *args, const char *list)
{
	char value[VM_VALUE_BYTES];

	if ((vm_option(list, "mem-lock", false, value) || vm_option(list, "mlock", false, value)) &&
	    strcmp(value, "off") != 0)
		args->vm->memory_locked_fully = true;
}

static void read_mem_path(struct qemu_args *args, const char *text)
{
	if (is_huge(text))
		args->vm->hugepages = true;
}

static const struct {
	const char *option;
	void (*read)(struct qemu_args *args, const char *text);
} readers[] = {
	{"m", read_memory},	 {"machine", read_machine},
	{"M", read_machine},	 {"accel", read_accelerator},
	{"cpu", read_cpu},	 {"device", read_device},
	{"global", read_global}, {"object", read_object},
	{"bios", read_bios},	 {"drive", read_bios},
	{"blockdev", read_bios}, {"name", read_name},
	{"id", read_id},	 {"overcommit", read_lock},
	{"realtime", read_lock}, {"mem-path", read_mem_path},
};

/* Options whose name alone says something. Return: whether it was one. */
static bool read_flag(struct qemu_args *args, const char *option)
{
	if (!strcmp(option, "mem-prealloc"))
		args->vm->prealloc = true;
	else if (!strcmp(option, "enable-kvm"))
		args->kvm = true;
	else
		return false;
	return true;
}

static void read_words(struct qemu_args *args, const struct vm_words *words, size_t from)
{
	for (size_t i = from; i < words->count; i++) {
		const char *option = words->word[i];

		if (*option != '-')
			continue;
		option += option[1] == '-' ? 2 : 1;
		if (read_flag(args, option) || i + 1 >= words->count)
			continue;
		for (size_t j = 0; j < sizeof(readers) / sizeof(*readers); j++) {
			if (strcmp(option, readers[j].option) != 0)
				continue;
			readers[j].read(args, words->word[++i]);
			break;
		}
	}
}

void vm_read_arguments(struct machine_vm *vm, struct arena *arena, const struct vm_words *words,
		       size_t from)
{
	struct qemu_args args = {.vm = vm, .arena = arena};

	read_words(&args, words, from);
}

void vm_split(struct arena *arena, const char *line, struct vm_words *ret_words)
{
	char *word = arena_alloc(arena, strlen(line) + 1);
	char quote = '\0';
	size_t used = 0;
	bool begun = false;

	*ret_words = (struct vm_words){0};
	for (;; line++) {
		bool ends = !*line || (!quote && (*line == ' ' || *line == '\t'));

		if (ends && begun && ret_words->count < VM_WORDS_MAX) {
			const char **slot = arena_grow(arena, &ret_words->word, ret_words->count,
						       sizeof(*slot));

			*slot = arena_strndup(arena, word, used);
			ret_words->count++;
			used = 0;
			begun = false;
		}
		if (!*line)
			return;
		if (ends)
			continue;
		begun = true;
		if (quote ? *line == quote : *line == '\'' || *line == '"')
			quote = quote ? '\0' : *line;
		else if (*line == '\\' && quote != '\'' && line[1])
			word[used++] = *++line;
		else
			word[used++] = *line;
	}
}

static void words_of(struct arena *arena, const struct store_entry *entry,
		     struct vm_words *ret_words)
{
	*ret_words = (struct vm_words){0};
	for (size_t at = 0; at < entry->size && ret_words->count < VM_WORDS_MAX;) {
		const char **slot =
			arena_grow(arena, &ret_words->word, ret_words->count, sizeof(*slot));
		size_t size = strnlen(entry->data + at, entry->size - at);

		*slot = arena_strndup(arena, entry->data + at, size);
		ret_words->count++;
		at += size + 1;
	}
}

/* "Max locked memory  8388608  8388608  bytes": the first number counts. */
static uint64_t locked_limit(const char *limits)
{
	const char *line = limits ? strstr(limits, "Max locked memory") : NULL;

	if (!line)
		return 0;
	line += strlen("Max locked memory");
	line += strspn(line, " \t");
	if (!strncmp(line, "unlimited", 9))
		return UINT64_MAX;
	return strtoull(line, NULL, 10);
}

static bool status_number(const char *status, const char *key, uint64_t *ret_number)
{
	const char *at = status ? strstr(status, key) : NULL;

	if (!at || (at != status && at[-1] != '\n'))
		return false;
	*ret_number = strtoull(at + strlen(key), NULL, 10);
	return true;
}

static void read_limits(struct machine_vm *vm, struct store *store)
{
	const char *status = store_text(store, "/proc/%d/status", vm->pid);
	uint64_t number;

	vm->memlock_limit = locked_limit(store_text(store, "/proc/%d/limits", vm->pid));
	if (status_number(status, "VmLck:", &number) && number < UINT64_MAX / 1024)
		vm->locked = number * 1024;
	if (status_number(status, "Uid:", &number))
		vm->uid = (uint32_t)number;
}

/* What QEMU takes where the command line says nothing. */
static void settle(struct qemu_args *args, const char *program, bool whole)
{
	struct machine_vm *vm = args->vm;

	if (!args->memory_said)
		vm->ram = args->backends ? args->backends : whole ? 128ull << 20 : 0;
	if (!strcmp(program, "kvm") || !strcmp(program, "qemu-kvm"))
		args->kvm = true;
	if (vm->board == BOARD_UNKNOWN && whole &&
	    (!strcmp(program, "qemu-system-x86_64") || !strcmp(program, "qemu-system-i386") ||
	     !strcmp(program, "kvm")))
		vm->board = BOARD_I440FX;
	if (vm->viommu == VIOMMU_UNKNOWN && whole)
		vm->viommu = VIOMMU_NONE;
	vm_settle_viommu(vm, args->kvm);
}

static bool has_word(const struct vm_words *words, const char *word)
{
	for (size_t i = 0; i < words->count; i++)
		if (!strcmp(words->word[i], word))
			return true;
	return false;
}

static void read_process(struct machine *machine, struct snapshot *snapshot, int pid,
			 const struct store_entry *entry)
{
	struct arena *arena = &snapshot->arena;
	struct qemu_args args = {.arena = arena};
	struct vm_words words;
	bool whole;

	args.vm = vm_add(machine, arena, VM_QEMU);
	if (!args.vm)
		return;
	words_of(arena, entry, &words);
	args.vm->running = true;
	args.vm->pid = pid;
	args.vm->source = arena_strdup(arena, entry->path);
	read_words(&args, &words, 1);
	/* A file given by -readconfig may say more, and so may the rest of a line that was cut. */
	whole = !entry->cut && !has_word(&words, "-readconfig");
	settle(&args, base_name(words.word[0]), whole);
	if (!*args.vm->name)
		args.vm->name = arena_printf(arena, "%d", pid);
	read_limits(args.vm, &snapshot->store);
}

void vm_read_processes(struct machine *machine, struct snapshot *snapshot)
{
	struct store *store = &snapshot->store;
	const char *name;
	size_t index = 0;

	while ((name = store_children(store, "/proc", &index))) {
		const struct store_entry *entry;
		char path[64];
		char *end;
		long pid;

		if (*name < '1' || *name > '9')
			continue;
		pid = strtol(name, &end, 10);
		if (*end || pid > INT32_MAX)
			continue;
		snprintf(path, sizeof(path), "/proc/%ld/cmdline", pid);
		entry = store_find(store, path);
		if (entry && entry->kind == STORE_FILE &&
		    machine_vm_is_qemu(entry->data, entry->size))
			read_process(machine, snapshot, (int)pid, entry);
	}
}
