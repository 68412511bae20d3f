/* SPDX-License-Identifier: MIT */
/*
 * /proc/iomem and /proc/interrupts.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "doctor/model/machine.h"

#define LINES_MAX 65536u
#define CPUS_MAX 8192u

/* A word of a line: not ended by NUL. */
struct word {
	const char *at;
	size_t size;
};

static struct word next_word(const char **line, const char *end)
{
	struct word word = {0};

	while (*line < end && (**line == ' ' || **line == '\t'))
		(*line)++;
	word.at = *line;
	while (*line < end && **line != ' ' && **line != '\t')
		(*line)++;
	word.size = (size_t)(*line - word.at);
	return word;
}

static bool word_is(struct word word, const char *text)
{
	return word.size == strlen(text) && !memcmp(word.at, text, word.size);
}

/* --- /proc/iomem --- */

/* "  80000000-8fffffff : PCI Bus 0000:00" */
static void parse_iomem_line(struct machine *machine, struct arena *arena, const char *line,
			     const char *end)
{
	struct machine_iomem *last;
	unsigned int depth = 0;
	uint64_t start, stop;
	char *next;

	for (; line < end && *line == ' '; line++)
		depth++;
	if (line == end || !isxdigit((unsigned char)*line))
		return;
	start = strtoull(line, &next, 16);
	if (*next != '-' || !isxdigit((unsigned char)next[1]))
		return;
	stop = strtoull(next + 1, &next, 16);
	if (next + 3 > end || strncmp(next, " : ", 3) != 0 || stop < start)
		return;
	last = arena_grow(arena, &machine->iomem, machine->iomem_count, sizeof(*last));
	machine->iomem_count++;
	*last = (struct machine_iomem){
		.range = {.start = start, .end = stop},
		.name = arena_strndup(arena, next + 3, (size_t)(end - next - 3)),
		.depth = depth / 2,
	};
}

static void read_iomem(struct machine *machine, struct snapshot *snapshot)
{
	const char *line = store_text(&snapshot->store, "/proc/iomem");
	bool hidden = true;

	while (line && *line && machine->iomem_count < LINES_MAX) {
		const char *end = strchrnul(line, '\n');

		parse_iomem_line(machine, &snapshot->arena, line, end);
		line = *end ? end + 1 : end;
	}
	for (size_t i = 0; i < machine->iomem_count && hidden; i++)
		hidden = !machine->iomem[i].range.end;
	machine->iomem_hidden = machine->iomem_count && hidden;
	if (machine->iomem_hidden)
		snapshot_note(snapshot, "/proc/iomem", "run as root",
			      "the kernel hides addresses from ordinary users");
}

const struct machine_iomem *machine_iomem_at(const struct machine *machine, uint64_t address)
{
	const struct machine_iomem *best = NULL;

	for (size_t i = 0; i < machine->iomem_count && !machine->iomem_hidden; i++) {
		const struct machine_iomem *at = &machine->iomem[i];

		if (address >= at->range.start && address <= at->range.end &&
		    (!best || at->depth >= best->depth))
			best = at;
	}
	return best;
}

/* --- /proc/interrupts --- */

/* The first address of a device in @text: "PCI-MSI-0000:86:00.0", "vfio-msi[0](0000:86:00.0)". */
static bool find_device(const char *text, struct bdf *ret_bdf)
{
	size_t size = strlen(text), used;

	for (size_t at = 0; at < size; at++) {
		if (at && isxdigit((unsigned char)text[at - 1]))
			continue;
		if (bdf_parse(text + at, size - at, ret_bdf, &used))
			return true;
	}
	return false;
}

/*
 * What follows the counts of a numbered line: the chip, what it calls the interrupt ("0-edge", or
 * "30 Level" on Arm), who asked for it.
 */
static void parse_irq_rest(struct machine_irq *irq, struct arena *arena, const char *line,
			   const char *end)
{
	struct word chip = next_word(&line, end), hardware = next_word(&line, end), trigger;
	const char *after = line;

	trigger = next_word(&after, end);
	if (!memchr(hardware.at, '-', hardware.size) &&
	    (word_is(trigger, "Level") || word_is(trigger, "Edge") || word_is(trigger, "None")))
		line = after;
	while (line < end && *line == ' ')
		line++;
	irq->chip = arena_strndup(arena, chip.at, chip.size);
	irq->name = arena_strndup(arena, line, (size_t)(end - line));
	irq->remapped = !strncmp(irq->chip, "IR-", 3);
	irq->has_device =
		find_device(irq->chip, &irq->device) || find_device(irq->name, &irq->device);
}

static void parse_irq_line(struct machine *machine, struct arena *arena, const char *line,
			   const char *end, unsigned int cpus)
{
	struct machine_irq irq = {.chip = "", .name = ""}, *last;
	struct word label = next_word(&line, end);

	if (label.size < 2 || label.at[label.size - 1] != ':')
		return;
	irq.number = arena_strndup(arena, label.at, label.size - 1);
	for (unsigned int i = 0; i < cpus; i++) {
		const char *before = line;
		struct word count = next_word(&line, end);
		uint64_t value = 0;

		/* "ERR:" and "MIS:" have one number however many processors there are. */
		if (!count.size || count.size > 20 || strspn(count.at, "0123456789") < count.size) {
			line = before;
			break;
		}
		for (size_t j = 0; j < count.size; j++)
			value = value * 10 + (uint64_t)(count.at[j] - '0');
		irq.count += value;
	}
	while (line < end && *line == ' ')
		line++;
	if (isdigit((unsigned char)*irq.number))
		parse_irq_rest(&irq, arena, line, end);
	else
		irq.name = arena_strndup(arena, line, (size_t)(end - line));
	last = arena_grow(arena, &machine->irq, machine->irq_count, sizeof(*last));
	*last = irq;
	machine->irq_count++;
}

static void read_irqs(struct machine *machine, struct snapshot *snapshot)
{
	const char *line = store_text(&snapshot->store, "/proc/interrupts"), *end;
	unsigned int cpus = 0;

	if (!line)
		return;
	end = strchrnul(line, '\n');
	while (line < end && cpus < CPUS_MAX) {
		struct word word = next_word(&line, end);

		if (word.size > 3 && !memcmp(word.at, "CPU", 3))
			cpus++;
	}
	line = *end ? end + 1 : end;
	while (*line && machine->irq_count < LINES_MAX) {
		end = strchrnul(line, '\n');
		parse_irq_line(machine, &snapshot->arena, line, end, cpus);
		line = *end ? end + 1 : end;
	}
}

void machine_read_memory(struct machine *machine, struct snapshot *snapshot)
{
	read_iomem(machine, snapshot);
	read_irqs(machine, snapshot);
}
