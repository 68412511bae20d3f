/* SPDX-License-Identifier: MIT */
/*
 * A bus with something wrong: the functions of another one, of which a test replaces some.
 */
#ifndef TETHYS_PROBE_TESTS_FAULTY_H
#define TETHYS_PROBE_TESTS_FAULTY_H

#include "probe/bus.h"
#include "probe/internal.h"
#include "tests/tap.h"

#define TEST_TIMEOUT_MS 100

static const struct probe_bus_ops *real;
static struct probe_bus_ops faulty;

/* A card in this process; its functions can be replaced in @faulty. */
static inline struct probe_bus *faulty_open(const char *personality)
{
	struct probe_bus *bus = NULL;
	struct reason why = {""};

	if (probe_bus_open_sim(personality, &bus, &why))
		TAP_FAIL("no card: %s", why.text);
	else
		real = bus->ops;
	if (bus) {
		faulty = *real;
		bus->ops = &faulty;
	}
	return bus;
}

static inline void show(const struct probe_report *report)
{
	enum probe_hop hop;

	for (hop = 0; hop < PROBE_HOP_NR; hop++)
		printf("#   %-9s %-9s %s\n", probe_hop_name(hop),
		       probe_result_name(report->step[hop].result), report->step[hop].detail);
}

#define EXPECT_FIRST(report, hop)                                                      \
	do {                                                                           \
		enum probe_hop first_ = probe_first_failed(report);                    \
		if (first_ != (hop)) {                                                 \
			TAP_FAIL("first failed hop is %d, not %s", (int)first_, #hop); \
			show(report);                                                  \
		}                                                                      \
	} while (0)
#define EXPECT_STEP(report, hop, wanted)                                  \
	do {                                                              \
		EXPECT_STR(probe_result_name((report)->step[hop].result), \
			   probe_result_name(wanted));                    \
	} while (0)

static inline const char *suggested(const struct probe_report *report, unsigned int i)
{
	return i < report->suggests_nr ? report->suggests[i] : "";
}

static inline bool suggests(const struct probe_report *report, const char *id)
{
	unsigned int i;

	for (i = 0; i < report->suggests_nr; i++)
		if (!strcmp(report->suggests[i], id))
			return true;
	return false;
}

#endif
