/* SPDX-License-Identifier: MIT */
/*
 * libvirt's configurations, /etc/libvirt/qemu/NAME.xml.
 *
 * A small reader of our own for the few elements that matter, so that the static program needs no
 * XML library. It knows tags, attributes, text, comments and CDATA, expands no entities, and goes
 * on behind what it can't understand.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "doctor/model/vm.h"

#define XML_DEPTH_MAX 24
#define XML_NAME_BYTES 40
#define XML_ATTRIBUTES_MAX 12

struct xml_attribute {
	char name[XML_NAME_BYTES];
	char value[256];
};

/* Where the reader is. */
struct xml {
	const char *at, *end;
	char path[XML_DEPTH_MAX][XML_NAME_BYTES]; /* open elements, outermost first */
	unsigned int depth;			  /* may exceed XML_DEPTH_MAX */
	struct xml_attribute attribute[XML_ATTRIBUTES_MAX];
	unsigned int attribute_count;
	bool empty; /* the tag just read closes itself */
};

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool starts(const struct xml *xml, const char *text)
{
	size_t size = strlen(text);

	return (size_t)(xml->end - xml->at) >= size && !memcmp(xml->at, text, size);
}

static void skip_past(struct xml *xml, const char *text)
{
	const char *found = memmem(xml->at, (size_t)(xml->end - xml->at), text, strlen(text));

	xml->at = found ? found + strlen(text) : xml->end;
}

static bool ends_name(char c)
{
	return is_space(c) || c == '=' || c == '/' || c == '>' || c == '<';
}

static void read_name(struct xml *xml, char ret_name[XML_NAME_BYTES])
{
	size_t used = 0;

	for (; xml->at < xml->end && !ends_name(*xml->at); xml->at++)
		if (used < XML_NAME_BYTES - 1)
			ret_name[used++] = *xml->at;
	ret_name[used] = '\0';
}

static void skip_space(struct xml *xml)
{
	while (xml->at < xml->end && is_space(*xml->at))
		xml->at++;
}

static void read_value(struct xml *xml, char *ret_value, size_t bytes)
{
	char quote = *xml->at++;
	size_t used = 0;

	for (; xml->at < xml->end && *xml->at != quote; xml->at++)
		if (used < bytes - 1)
			ret_value[used++] = *xml->at;
	ret_value[used] = '\0';
	if (xml->at < xml->end)
		xml->at++;
}

static void read_attributes(struct xml *xml)
{
	xml->attribute_count = 0;
	xml->empty = false;
	for (;;) {
		struct xml_attribute scratch, *to = &scratch;

		skip_space(xml);
		if (xml->at >= xml->end)
			return;
		if (*xml->at == '>' || *xml->at == '<') {
			xml->at += *xml->at == '>';
			return;
		}
		if (*xml->at == '/' || *xml->at == '=') {
			xml->empty = *xml->at++ == '/';
			continue;
		}
		if (xml->attribute_count < XML_ATTRIBUTES_MAX)
			to = &xml->attribute[xml->attribute_count++];
		read_name(xml, to->name);
		to->value[0] = '\0';
		skip_space(xml);
		if (xml->at >= xml->end || *xml->at != '=')
			continue;
		xml->at++;
		skip_space(xml);
		if (xml->at < xml->end && (*xml->at == '"' || *xml->at == '\''))
			read_value(xml, to->value, sizeof(to->value));
	}
}

static const char *attribute(const struct xml *xml, const char *name)
{
	for (unsigned int i = 0; i < xml->attribute_count; i++)
		if (!strcmp(xml->attribute[i].name, name))
			return xml->attribute[i].value;
	return "";
}

/* Closes the innermost open element of this name, and what was left open within it. */
static void close_element(struct xml *xml, const char *name)
{
	unsigned int depth = xml->depth;

	if (depth > XML_DEPTH_MAX) {
		xml->depth--;
		return;
	}
	while (depth && strcmp(xml->path[depth - 1], name) != 0)
		depth--;
	if (depth)
		xml->depth = depth - 1;
}

/* Whether the open elements end in @path: "memtune/hard_limit". Only full names match. */
static bool is_in(const struct xml *xml, const char *path)
{
	const char *end = path + strlen(path);
	unsigned int depth = xml->depth;

	if (depth > XML_DEPTH_MAX)
		return false;
	while (end > path) {
		const char *name = end;

		while (name > path && name[-1] != '/')
			name--;
		if (!depth || strlen(xml->path[depth - 1]) != (size_t)(end - name) ||
		    memcmp(xml->path[depth - 1], name, (size_t)(end - name)) != 0)
			return false;
		depth--;
		end = name > path ? name - 1 : path;
	}
	return true;
}

/* The text up to the next tag, in the arena, without white space around it. */
static const char *text_here(const struct xml *xml, struct arena *arena)
{
	const char *from = xml->at;
	const char *to = memchr(from, '<', (size_t)(xml->end - from));

	if (!to)
		to = xml->end;
	while (from < to && is_space(*from))
		from++;
	while (to > from && is_space(to[-1]))
		to--;
	return arena_strndup(arena, from, (size_t)(to - from));
}

/* What one domain adds up to. */
struct libvirt_domain {
	struct machine_vm *vm;
	struct arena *arena;
	struct vm_words words; /* of qemu:commandline */
	bool hostdev_pci;
	bool tcg;
};

static bool read_bytes(const struct xml *xml, struct arena *arena, uint64_t *ret_bytes)
{
	const char *unit = attribute(xml, "unit");
	char text[64];
	bool bytes = !strcmp(unit, "bytes") || !strcmp(unit, "b");

	/* libvirt's default is KiB. */
	snprintf(text, sizeof(text), "%.40s%c", text_here(xml, arena),
		 bytes	 ? 'B'
		 : *unit ? *unit
			 : 'K');
	return vm_bytes(text, 'K', ret_bytes);
}

static bool read_hex(const struct xml *xml, const char *name, unsigned long max,
		     unsigned long *ret_number)
{
	const char *text = attribute(xml, name);
	char *end;

	*ret_number = strtoul(text, &end, 0);
	return *text && !*end && *ret_number <= max;
}

static void read_address(struct libvirt_domain *domain, const struct xml *xml)
{
	unsigned long segment, bus, slot, function;
	struct bdf bdf;

	if (*attribute(xml, "uuid")) {
		vm_add_mdev(domain->vm, domain->arena, attribute(xml, "uuid"));
		return;
	}
	if (!domain->hostdev_pci || !read_hex(xml, "bus", 0xff, &bus) ||
	    !read_hex(xml, "slot", 0x1f, &slot) || !read_hex(xml, "function", 7, &function))
		return;
	if (!read_hex(xml, "domain", 0xffffffff, &segment))
		segment = 0;
	bdf = (struct bdf){.domain = (uint32_t)segment,
			   .bus = (uint8_t)bus,
			   .slot = (uint8_t)slot,
			   .function = (uint8_t)function};
	vm_add_device(domain->vm, domain->arena, bdf, false);
}

static void read_iommu_model(struct machine_vm *vm, const char *model)
{
	static const struct {
		const char *name;
		enum vm_viommu viommu;
	} models[] = {{"intel", VIOMMU_INTEL},
		      {"amd", VIOMMU_AMD},
		      {"virtio", VIOMMU_VIRTIO},
		      {"smmuv3", VIOMMU_SMMU}};

	for (size_t i = 0; i < sizeof(models) / sizeof(*models); i++)
		if (!strcmp(model, models[i].name))
			vm->viommu = models[i].viommu;
}

static void read_iommu_driver(struct machine_vm *vm, const struct xml *xml)
{
	if (vm_switch(attribute(xml, "intremap")) != UNKNOWN)
		vm->intremap = vm_switch(attribute(xml, "intremap"));
	if (vm_switch(attribute(xml, "caching_mode")) != UNKNOWN)
		vm->caching_mode = vm_switch(attribute(xml, "caching_mode"));
	if (*attribute(xml, "aw_bits"))
		vm->aw_bits = (unsigned int)strtoul(attribute(xml, "aw_bits"), NULL, 10) & 0x7f;
}

static void read_devices(struct libvirt_domain *domain, const struct xml *xml)
{
	if (is_in(xml, "devices/hostdev") || is_in(xml, "devices/interface"))
		domain->hostdev_pci = !strcmp(attribute(xml, "type"), "pci") ||
				      !strcmp(attribute(xml, "type"), "hostdev");
	else if (is_in(xml, "hostdev/source/address") || is_in(xml, "interface/source/address"))
		read_address(domain, xml);
	else if (is_in(xml, "devices/iommu"))
		read_iommu_model(domain->vm, attribute(xml, "model"));
	else if (is_in(xml, "iommu/driver"))
		read_iommu_driver(domain->vm, xml);
}

static void read_memory(struct libvirt_domain *domain, const struct xml *xml)
{
	struct machine_vm *vm = domain->vm;
	uint64_t bytes;

	if (is_in(xml, "domain/memory") && read_bytes(xml, domain->arena, &bytes))
		vm->ram = bytes;
	else if (is_in(xml, "memtune/hard_limit") && read_bytes(xml, domain->arena, &bytes))
		vm->memlock_limit = bytes;
	else if (is_in(xml, "memoryBacking/hugepages"))
		vm->hugepages = true;
	else if (is_in(xml, "memoryBacking/locked"))
		vm->memory_locked_fully = true;
	else if (is_in(xml, "memoryBacking/allocation"))
		vm->prealloc |= !strcmp(attribute(xml, "mode"), "immediate");
}

static void read_platform(struct libvirt_domain *domain, const struct xml *xml)
{
	struct machine_vm *vm = domain->vm;
	const char *driver = attribute(xml, "driver");

	if (is_in(xml, "os/type"))
		vm->board = vm_board_of(attribute(xml, "machine"));
	else if (is_in(xml, "domain/os"))
		vm->ovmf |= !strcmp(attribute(xml, "firmware"), "efi");
	else if (is_in(xml, "os/loader"))
		vm->ovmf |= !strcmp(attribute(xml, "type"), "pflash");
	else if (is_in(xml, "features/ioapic"))
		vm->irqchip = !strcmp(driver, "qemu") ? "split" : *driver ? "on" : NULL;
	else if (is_in(xml, "domain/cpu"))
		vm->cpu = arena_strdup(domain->arena, attribute(xml, "mode"));
	else if (is_in(xml, "cpu/maxphysaddr"))
		vm->guest_phys_bits =
			(unsigned int)strtoul(*attribute(xml, "bits") ? attribute(xml, "bits")
								      : attribute(xml, "limit"),
					      NULL, 10) &
			0x7f;
}

static void read_element(struct libvirt_domain *domain, const struct xml *xml)
{
	struct arena *arena = domain->arena;
	const char **word;

	if (is_in(xml, "qemu:commandline/qemu:arg")) {
		if (domain->words.count >= VM_WORDS_MAX)
			return;
		word = arena_grow(arena, &domain->words.word, domain->words.count, sizeof(*word));
		*word = arena_strdup(arena, attribute(xml, "value"));
		domain->words.count++;
	} else if (xml->depth == 1 && is_in(xml, "domain")) {
		domain->tcg = !strcmp(attribute(xml, "type"), "qemu");
	} else if (xml->depth == 2 && is_in(xml, "domain/name")) {
		domain->vm->name = text_here(xml, arena);
	} else {
		read_memory(domain, xml);
		read_platform(domain, xml);
		read_devices(domain, xml);
	}
}

/* From behind '<' to behind '>'. */
static void read_tag(struct libvirt_domain *domain, struct xml *xml)
{
	char name[XML_NAME_BYTES];

	if (starts(xml, "!--")) {
		skip_past(xml, "-->");
	} else if (starts(xml, "![CDATA[")) {
		skip_past(xml, "]]>");
	} else if (starts(xml, "?") || starts(xml, "!")) {
		skip_past(xml, ">");
	} else if (starts(xml, "/")) {
		xml->at++;
		read_name(xml, name);
		skip_past(xml, ">");
		close_element(xml, name);
	} else {
		read_name(xml, name);
		if (xml->depth < XML_DEPTH_MAX)
			memcpy(xml->path[xml->depth], name, sizeof(name));
		xml->depth++;
		read_attributes(xml);
		read_element(domain, xml);
		if (xml->empty)
			xml->depth--;
	}
}

static void read_xml(struct libvirt_domain *domain, const struct store_entry *entry)
{
	struct xml xml = {.at = entry->data, .end = entry->data + entry->size};

	while (xml.at < xml.end) {
		if (*xml.at++ == '<')
			read_tag(domain, &xml);
	}
}

static void settle(struct libvirt_domain *domain)
{
	struct machine_vm *vm = domain->vm;

	vm_read_arguments(vm, domain->arena, &domain->words, 0);
	if (vm->viommu == VIOMMU_UNKNOWN)
		vm->viommu = VIOMMU_NONE;
	vm_settle_viommu(vm, !domain->tcg);
}

#define XML_DIR "/etc/libvirt/qemu"

void vm_read_libvirt(struct machine *machine, struct snapshot *snapshot)
{
	struct arena *arena = &snapshot->arena;
	const char *name;
	size_t index = 0;

	while ((name = store_children(&snapshot->store, XML_DIR, &index))) {
		struct libvirt_domain domain = {.arena = arena};
		const struct store_entry *entry;
		size_t size = strlen(name);
		const char *path;

		if (size < 5 || strcmp(name + size - 4, ".xml") != 0)
			continue;
		path = arena_printf(arena, XML_DIR "/%s", name);
		entry = store_find(&snapshot->store, path);
		if (!entry || entry->kind != STORE_FILE || !entry->size)
			continue;
		domain.vm = vm_add(machine, arena, VM_LIBVIRT);
		if (!domain.vm)
			return;
		domain.vm->source = path;
		domain.vm->name = arena_strndup(arena, name, size - 4);
		read_xml(&domain, entry);
		settle(&domain);
	}
}
