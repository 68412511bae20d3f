/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/settings.h"

#define TIMEOUT_MS_MAX 3600000u

struct connect_properties {
	bool device_firmware_check;
	const char *engine;
	const char *personality;
	const char *dma;
	bool healing;
	bool dma_poll;
	unsigned int dma_timeout_ms;
	unsigned int timeout_ms;
	unsigned int load_timeout_ms;
};

#define AT(field) offsetof(struct connect_properties, field)
static const struct prop_spec specs[] = {
	{"device_firmware_check", PROP_BOOL, AT(device_firmware_check), 0, 0},
	{"tethys.engine", PROP_TEXT, AT(engine), 0, 0},
	{"tethys.personality", PROP_TEXT, AT(personality), 0, 0},
	{"tethys.dma", PROP_TEXT, AT(dma), 0, 0},
	{"tethys.healing", PROP_BOOL, AT(healing), 0, 0},
	{"tethys.dma_poll", PROP_BOOL, AT(dma_poll), 0, 0},
	{"tethys.dma_timeout_ms", PROP_UINT, AT(dma_timeout_ms), 0, TIMEOUT_MS_MAX},
	{"tethys.timeout_ms", PROP_UINT, AT(timeout_ms), 1, TIMEOUT_MS_MAX},
	{"tethys.load_timeout_ms", PROP_UINT, AT(load_timeout_ms), 1, TIMEOUT_MS_MAX},
};

/* An empty variable is as good as none. */
static const char *environment(const char *name)
{
	const char *value = getenv(name);

	return value && *value ? value : NULL;
}

int settings_read(const struct propset *properties, struct settings *ret_settings,
		  struct reason *why)
{
	const char *healing = environment("TETHYS_HEALING");
	struct connect_properties p = {
		.engine = environment("TETHYS_SIM_ENGINE"),
		.personality = environment("TETHYS_SIM_PERSONALITY"),
		.healing = !healing || strcmp(healing, "0") != 0,
		.timeout_ms = 30000,
		.load_timeout_ms = 120000,
	};
	int r;

	r = propset_fill(properties, specs, sizeof(specs) / sizeof(specs[0]), &p, why);
	if (r)
		return r;
	*ret_settings = (struct settings){
		.device =
			{
				.engine = p.engine,
				.personality = p.personality,
				.dma = p.dma,
				.dma_timeout_ms = p.dma_timeout_ms,
				.dma_poll = p.dma_poll,
				.no_healing = !p.healing,
			},
		.timeout_ms = p.timeout_ms,
		.load_timeout_ms = p.load_timeout_ms,
	};
	return 0;
}
