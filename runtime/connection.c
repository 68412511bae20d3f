/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/connection.h"
#include "runtime/devices.h"

/* --- placing instances --- */

/* Instances on the busiest of these cores; -1 when others with another lowest core are there. */
static int load_of(const struct axrConnection *connection, unsigned int lead, unsigned int cores)
{
	const struct core_use *use;
	unsigned int n, most = 0;

	for (n = lead; n < lead + cores; n++) {
		use = &connection->use[n];
		if (use->instances && use->lead != lead)
			return -1;
		if (use->instances > most)
			most = use->instances;
	}
	return (int)most;
}

/* Return: lowest core of the least used run of @cores; METIS_CORES when there is none. */
static unsigned int least_used(const struct axrConnection *connection, unsigned int cores)
{
	unsigned int lead, best = METIS_CORES;
	int load, best_load = -1;

	for (lead = connection->first; lead + cores <= connection->first + connection->cores;
	     lead++) {
		load = load_of(connection, lead, cores);
		if (load < 0 || (best_load >= 0 && load >= best_load))
			continue;
		best = lead;
		best_load = load;
	}
	return best;
}

unsigned int connection_place(struct axrConnection *connection, unsigned int *ret_cores)
{
	unsigned int cores = *ret_cores, lead, n;

	pthread_mutex_lock(&connection->lock);
	while ((lead = least_used(connection, cores)) == METIS_CORES && cores > 1)
		cores--;
	for (n = lead; n < lead + cores; n++) {
		connection->use[n].instances++;
		connection->use[n].lead = lead;
	}
	pthread_mutex_unlock(&connection->lock);
	*ret_cores = cores;
	return lead;
}

void connection_unplace(struct axrConnection *connection, unsigned int lead, unsigned int cores)
{
	unsigned int n;

	pthread_mutex_lock(&connection->lock);
	for (n = lead; n < lead + cores; n++)
		connection->use[n].instances--;
	pthread_mutex_unlock(&connection->lock);
}

/* --- life --- */

static bool any_stuck(struct axrConnection *connection)
{
	unsigned int n;

	for (n = connection->first; n < connection->first + connection->cores; n++)
		if (fw_client_stuck(&connection->card->fw, n))
			return true;
	return false;
}

static void connection_release(struct axrObject *object)
{
	struct axrConnection *connection = (struct axrConnection *)object;

	if (!connection->card)
		return;
	/* Firmware that still writes to these cores' memory must not write to a next user's. */
	if (!any_stuck(connection))
		cards_give_cores(connection->card, connection->first, connection->cores);
	shared_memory_deinit(&connection->memory, connection->card->dev);
	cards_close(connection->card);
	ddr_deinit(&connection->ddr);
	pthread_mutex_destroy(&connection->lock);
}

const struct object_kind object_connection = {
	.name = "connection",
	.bytes = sizeof(struct axrConnection),
	.release = connection_release,
};

/* The windows of all cores as one, as far as they are adjacent. */
static void memory_init(struct axrConnection *connection)
{
	const struct fw_context *contexts = connection->card->fw.contexts;
	uint64_t base = contexts[connection->first].ddr_base;
	uint64_t bytes = contexts[connection->first].ddr_bytes;
	unsigned int n;

	for (n = connection->first + 1; n < connection->first + connection->cores; n++) {
		if (contexts[n].ddr_base != base + bytes)
			break;
		bytes += contexts[n].ddr_bytes;
	}
	ddr_init(&connection->ddr, base, bytes);
}

/* Open one card and take its cores. */
static int connect_to(struct axrConnection *connection, const char *name, unsigned int cores,
		      const struct settings *settings, struct reason *why)
{
	struct card_handle *card;
	int r;

	r = cards_open(name, &settings->device, &card, why);
	if (r)
		return reason_add(why, r, "Failed to initialise device: %s", name);
	r = cards_take_cores(card, cores, &connection->first, why);
	if (r) {
		cards_close(card);
		return reason_add(why, r, "Failed to allocate AI cores: %s", strerror(-r));
	}
	connection->card = card;
	connection->cores = cores;
	connection->timeout_ms = settings->timeout_ms;
	connection->load_timeout_ms = settings->load_timeout_ms;
	pthread_mutex_init(&connection->lock, NULL);
	shared_memory_init(&connection->memory);
	memory_init(connection);
	return 0;
}

/*
 * The first card that has the cores. A simulated one only where there is no other: whoever has a
 * card and finds it busy does not mean "then pretend".
 */
static int connect_to_any(struct axrConnection *connection, unsigned int cores,
			  const struct settings *settings, struct reason *why)
{
	struct axrContext *context = connection->base.context;
	struct device_names names;
	size_t i;
	int r, result = -ENODEV;

	device_names_init(&names);
	for (i = 0; i < names.count; i++) {
		struct reason inner = {0};

		if (device_simulated(names.items[i]) && !device_simulated(names.items[0]))
			break;
		r = connect_to(connection, names.items[i], cores, settings, &inner);
		/* Of several failures "in use" says most: there is a card. */
		if (!r || r == -EBUSY || !i)
			result = r;
		if (!r)
			break;
		axr_log(context, AXR_LOG_DEBUG, "%s: not taken: %s", names.items[i], inner.text);
		reason_add(why, r, "%s", inner.text);
	}
	device_names_deinit(&names);
	return result;
}

static axrResult check_connect(struct axrContext *context, const axrDeviceInfo *device,
			       size_t cores)
{
	if (!object_as(&object_context, context))
		return axr_error_set(NULL, AXR_ERROR_INVALID_ARGUMENT, NULL,
				     "axr_device_connect: no context given");
	if (device && (!device->name[0] || !memchr(device->name, 0, sizeof(device->name))))
		return axr_error_set(context, AXR_ERROR_INVALID_ARGUMENT, NULL,
				     "axr_device_connect: the device has no name");
	if (!cores || cores > METIS_CORES)
		return axr_error_set(context, AXR_ERROR_INVALID_ARGUMENT, NULL,
				     "a card has %u cores, not %zu\n"
				     "Failed to allocate AI cores: Invalid argument",
				     METIS_CORES, cores);
	return AXR_SUCCESS;
}

axrConnection *axr_device_connect(axrContext *context, const axrDeviceInfo *device,
				  size_t num_sub_devices, const axrProperties *properties)
{
	const struct axrProperties *given = object_as(&object_properties, properties);
	struct axrConnection *connection;
	struct settings settings;
	struct reason why = {0};
	int r;

	axr_error_clear();
	if (check_connect(context, device, num_sub_devices))
		return NULL;
	if (settings_read(given ? &given->set : NULL, &settings, &why)) {
		axr_error_set(context, AXR_ERROR_VALUE_ERROR, &why, NULL);
		return NULL;
	}
	connection = object_create(&object_connection, &context->base);
	if (!connection) {
		axr_error_set(context, AXR_ERROR_INTERNAL_ERROR, NULL, "out of memory");
		return NULL;
	}
	if (device)
		r = connect_to(connection, device->name, (unsigned int)num_sub_devices, &settings,
			       &why);
	else
		r = connect_to_any(connection, (unsigned int)num_sub_devices, &settings, &why);
	if (!r) {
		axr_log(context, AXR_LOG_INFO, "%s: cores %u to %u", connection->card->name,
			connection->first, connection->first + connection->cores - 1);
		return connection;
	}
	axr_destroy(&connection->base);
	axr_error_set(
		context, axr_result_of(r), &why,
		"[ERROR][axeDeviceAllocateContext]: Fail to alloc ctx associate to %zu device.",
		num_sub_devices);
	return NULL;
}

/* --- what Tethys adds --- */

const char *tethys_connection_device(const axrConnection *connection)
{
	return connection ? connection->card->name : NULL;
}

unsigned int tethys_connection_core(const axrConnection *connection)
{
	return connection ? connection->first : 0;
}

unsigned int tethys_connection_cores(const axrConnection *connection)
{
	return connection ? connection->cores : 0;
}

void *tethys_alloc(axrConnection *connection, size_t bytes)
{
	struct reason why = {0};
	void *ptr = NULL;
	int r;

	axr_error_clear();
	if (!object_as(&object_connection, connection)) {
		axr_error_set(NULL, AXR_ERROR_INVALID_ARGUMENT, NULL,
			      "tethys_alloc: no connection given");
		return NULL;
	}
	r = shared_memory_alloc(&connection->memory, connection->card->dev, bytes, &ptr, &why);
	if (r)
		axr_error_set(connection->base.context, axr_result_of(r), &why,
			      "[ERROR][alloc]: Failed to allocate memory for the card.");
	return r ? NULL : ptr;
}

void tethys_free(axrConnection *connection, void *ptr)
{
	axr_error_clear();
	if (!ptr)
		return;
	if (!object_as(&object_connection, connection) ||
	    !shared_memory_free(&connection->memory, connection->card->dev, ptr))
		axr_error_set(NULL, AXR_ERROR_INVALID_ARGUMENT, NULL,
			      "tethys_free: no memory of this connection");
}

const char *tethys_connection_engine(const axrConnection *connection)
{
	return connection ? connection->card->fw.engine : NULL;
}

const char *tethys_connection_personality(const axrConnection *connection)
{
	return connection ? connection->card->fw.personality : NULL;
}
