/* SPDX-License-Identifier: MIT */
/*
 * What Tethys adds to axruntime.
 *
 * Properties of axr_device_connect(), beside the compatible ones:
 *
 *	tethys.engine		sim only: "onnx", "null"; else the environment's TETHYS_SIM_ENGINE
 *	tethys.personality	sim only: "1.3.2", "1.6.0", "1.8.0"; else TETHYS_SIM_PERSONALITY
 *	tethys.healing		1 (default): a command or transfer that is done although its interrupt
 *				never came succeeds, and the loss is counted; 0: it is an error;
 *				else TETHYS_HEALING
 *	tethys.dma		metis-ADDRESS only: "user" (default): transfers of any memory;
 *				"dmabuf": through buffers of the dma-heap; "auto": these where there
 *				is a dma-heap; else TETHYS_DMA
 *	tethys.dma_timeout_ms	of each transfer; 0 (default): 1000 and 1 for each MiB; not of
 *				metis-ADDRESS, whose driver has a parameter for it
 *	tethys.dma_poll		1: never rely on interrupts for transfers; the same
 *	tethys.timeout_ms	of a run, default 30000
 *	tethys.load_timeout_ms	of a load, default 120000
 *
 * model.json, beside keys of others, which are skipped:
 *
 *	{
 *		"tethys": {
 *			"onnx": "resnet18.onnx",
 *			"properties": { "input_tensor_layout": "NCHW" }
 *		}
 *	}
 *
 * "onnx" is relative to the folder of the .json and may not leave it. "properties" (optional) is
 * what axr_get_model_properties() gives.
 */
#ifndef AXRUNTIME_TETHYS_H
#define AXRUNTIME_TETHYS_H

#include <stddef.h>
#include <stdint.h>

#include <axruntime/axruntime.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Where the time of loading went. Nanoseconds, monotonic clock. */
struct tethys_load_times {
	uint64_t scan_ns;     /* axr_load_model(): the network's inputs and outputs */
	uint64_t hash_ns;     /* axr_load_model(): reading the file for its checksum */
	uint64_t transfer_ns; /* the module into card memory */
	uint64_t command_ns;  /* the LOAD command: the card's checks and its engine */
	uint64_t engine_ns;   /* of these, the engine's own */
	uint64_t total_ns;    /* axr_load_model_instance() as a whole */
	uint64_t module_bytes;
};

struct tethys_instance_stats {
	struct tethys_load_times load;
	uint64_t runs;		  /* that succeeded */
	uint64_t device_ns;	  /* last run: what the card's engine took */
	uint64_t input_ns;	  /* last run: inputs into card memory */
	uint64_t command_ns;	  /* last run: the RUN command, engine included */
	uint64_t output_ns;	  /* last run: outputs out of card memory */
	uint64_t bytes_to_card;	  /* by all runs */
	uint64_t bytes_from_card; /* by all runs */
	uint64_t transfers;	  /* DMA transfers of all runs */
	uint64_t lost_irqs;	  /* of the card, since it was opened here; healed ones included */
	uint32_t core;		  /* lowest core in use, 0-3 */
	uint32_t cores;		  /* how many, 1-4 */
};

/**
 * tethys_instance_stats() - figures of an instance
 * @bytes: sizeof(*ret_stats) of the caller; grows with the library, the rest is zeroed
 *
 * Return: AXR_SUCCESS; AXR_ERROR_INVALID_ARGUMENT.
 */
AXR_EXPORT axrResult tethys_instance_stats(axrModelInstance *instance,
					   struct tethys_instance_stats *ret_stats, size_t bytes);

/**
 * tethys_connection_device() - name of the card behind a connection
 *
 * Return: lives as long as the connection; NULL for NULL.
 */
AXR_EXPORT const char *tethys_connection_device(const axrConnection *connection);
/* Lowest core of a connection, 0-3, and how many it has, 1-4; 0 for NULL. */
AXR_EXPORT unsigned int tethys_connection_core(const axrConnection *connection);
AXR_EXPORT unsigned int tethys_connection_cores(const axrConnection *connection);
/* What executes networks on the card ("onnx", "null"), and the firmware it plays ("1.8.0"). */
AXR_EXPORT const char *tethys_connection_engine(const axrConnection *connection);
AXR_EXPORT const char *tethys_connection_personality(const axrConnection *connection);

/**
 * tethys_alloc() - memory that the card reaches directly
 * @connection: to the card; its destruction frees the memory
 *
 * Zeroed, page-aligned. Tensors of 64 KiB and more that lie in it, anywhere, are moved between it
 * and the card without a copy in between; elsewhere that depends on the device (sim reaches all
 * memory, vfio-user only this). For instances on the same connection; plain memory to others.
 *
 * Return: NULL: axr_last_error_string() says why.
 */
AXR_EXPORT void *tethys_alloc(axrConnection *connection, size_t bytes);
/* Not while a run uses it. NULL is fine. */
AXR_EXPORT void tethys_free(axrConnection *connection, void *ptr);

/**
 * tethys_module_build() - the bytes a model is written into card memory as
 * @path: as for axr_load_model()
 * @ret_data: to be freed with free() by the caller
 * @ret_bytes: their count
 *
 * Return: AXR_SUCCESS, or as axr_load_model(); axr_last_error_string() says why.
 */
AXR_EXPORT axrResult tethys_module_build(const char *path, void **ret_data, size_t *ret_bytes);

/* "0.1.0" */
AXR_EXPORT const char *tethys_version_string(void);

#ifdef __cplusplus
}
#endif

#endif
