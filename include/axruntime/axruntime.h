/* SPDX-License-Identifier: MIT */
/*
 * axruntime: run networks on Metis cards.
 *
 * Source-compatible with programs written for the vendor's runtime; the layouts below are the
 * LP64 layouts those programs rely on. What Tethys adds is in <axruntime/tethys.h>.
 *
 *	ctx = axr_create_context();
 *	conn = axr_device_connect(ctx, NULL, 1, NULL);
 *	model = axr_load_model(ctx, "resnet18.onnx");
 *	inst = axr_load_model_instance(conn, model, NULL);
 *	axr_run_model_instance(inst, inputs, n_inputs, outputs, n_outputs);
 *	axr_destroy(AXR_OBJECT(ctx));
 *
 * Failures: a function that returns a pointer returns NULL, one that returns axrResult returns
 * the kind; axr_last_error_string() says what happened, one line a layer, innermost first.
 *
 * Ownership: whatever a function returns as axrSomething * belongs to the caller until
 * axr_destroy(). Destroying an object destroys what was made from it, so destroying the context
 * is enough.
 *
 * Context: all functions may be called from any thread. A properties object and an instance are
 * to be used by one thread at a time; different instances run side by side.
 */
#ifndef AXRUNTIME_AXRUNTIME_H
#define AXRUNTIME_AXRUNTIME_H

#include <stddef.h>

#ifndef AXR_EXPORT
#define AXR_EXPORT __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* (major << 16) | minor: minor grows with additions, major with what breaks programs. */
#define AXR_API_VERSION_MAJOR 1
#define AXR_API_VERSION_MINOR 0
#define AXR_API_VERSION ((AXR_API_VERSION_MAJOR << 16) | AXR_API_VERSION_MINOR)

#define AXR_MAX_TENSOR_DIMS 8

typedef struct axrObject axrObject; /* what all of the following are */
typedef struct axrContext axrContext;
typedef struct axrConnection axrConnection;
typedef struct axrModel axrModel;
typedef struct axrModelInstance axrModelInstance;
typedef struct axrProperties axrProperties;

/* Any object as an axrObject; takes const pointers too. */
#define AXR_OBJECT(x) ((axrObject *)(x))

typedef enum axrResult {
	AXR_SUCCESS = 0,
	AXR_ERROR_RUNTIME_ERROR = 1,	     /* a load or a run failed */
	AXR_ERROR_VALUE_ERROR = 2,	     /* a property or a file holds what it may not */
	AXR_ERROR_INVALID_ARGUMENT = 3,	     /* of a call */
	AXR_ERROR_CONNECTION_ERROR = 4,	     /* no such card, or it is gone */
	AXR_ERROR_DEVICE_IN_USE = 5,	     /* no free cores */
	AXR_ERROR_INCOMPATIBLE_DEVICE = 6,   /* a card, but not one we can drive */
	AXR_ERROR_INVALID_CONFIGURATION = 7, /* unknown property, or properties that contradict */
	AXR_ERROR_NOT_IMPLEMENTED = 8,
	AXR_ERROR_INTERNAL_ERROR = 9, /* out of memory, or a defect */
	AXR_ERROR_PENDING_ERROR = 10, /* not now: ask again */
	AXR_ERROR_UNKNOWN_ERROR = 11,
} axrResult;

typedef enum axrLogLevel {
	AXR_LOG_TRACE = 0,
	AXR_LOG_LOG = 1,
	AXR_LOG_DEBUG = 2,
	AXR_LOG_INFO = 3,
	AXR_LOG_FIXME = 4,
	AXR_LOG_WARNING = 5,
	AXR_LOG_ERROR = 6,
} axrLogLevel;

typedef enum axrBoardType {
	AXR_BOARD_METIS_UNUSED1 = 0,
	AXR_BOARD_METIS_UNUSED2 = 1,
	AXR_BOARD_METIS_OMEGA_PCIE = 2,
	AXR_BOARD_METIS_OMEGA_M2 = 3,
	AXR_BOARD_METIS_UNUSED3 = 4,
	AXR_BOARD_METIS_UNUSED4 = 5,
	AXR_BOARD_METIS_MAX = 6,
} axrBoardType;

typedef enum AXR_TENSOR_DATA_TYPE {
	AXR_UNSIGNED = 0,
	AXR_SIGNED = 1,
	AXR_FLOAT = 2,
} AXR_TENSOR_DATA_TYPE;

/* One tensor of a run. */
typedef struct axrArgument {
	void *ptr;     /* dense, row-major, the tensor's padded shape; NULL with a dmabuf */
	int fd;	       /* dmabuf; 0 or -1: none */
	size_t offset; /* must be 0 */
	size_t size;   /* bytes at ptr; 0: not checked, else axr_tensor_size() */
} axrArgument;

typedef struct axrTensorInfo {
	size_t dims[AXR_MAX_TENSOR_DIMS];	/* padded shape, dims[0..ndims); the rest 0 */
	size_t ndims;				/* 1-8; 0: there is no such tensor */
	size_t bits;				/* of an element: 8, 16, 32 or 64 */
	size_t type;				/* AXR_TENSOR_DATA_TYPE */
	char name[256];				/* as in the network; NUL-terminated */
	size_t padding[AXR_MAX_TENSOR_DIMS][2]; /* elements before and after, each dimension */
	double scale; /* real = (stored - zero_point) * scale; 1.0: not quantised */
	int zero_point;
} axrTensorInfo;

typedef struct axrDeviceInfo {
	char name[256];		/* what axr_device_connect() goes by; it looks at nothing else */
	size_t subdevice_count; /* cores */
	size_t max_memory;	/* bytes of card memory */
	int in_use;		/* cores taken, as far as known */
	char in_use_by[256];	/* user and process, as far as known */
	axrBoardType board_type;
	char firmware_version[256];
	int board_revision;
	char flashed_firmware_version[256];
	char board_controller_firmware_version[256];
	char board_controller_board_type[256];
} axrDeviceInfo;

typedef void (*axr_logger_fn)(void *arg, axrLogLevel level, const char *msg);
typedef void (*axr_async_fn)(void *arg, axrResult result);

/**
 * axr_api_version() - version of the interface, as AXR_API_VERSION
 */
AXR_EXPORT unsigned int axr_api_version(void);

/**
 * axr_error_string() - name of a result
 *
 * Return: static text, never NULL, for unknown values too.
 */
AXR_EXPORT const char *axr_error_string(axrResult result);

/**
 * axr_board_type_string() - name of a board type
 *
 * Return: static text, never NULL, for unknown values too.
 */
AXR_EXPORT const char *axr_board_type_string(axrBoardType type);

/**
 * axr_create_context() - what everything else is made from
 *
 * Return: never NULL; to be destroyed by the caller. Ends the process when memory is out.
 */
AXR_EXPORT axrContext *axr_create_context(void);

/**
 * axr_destroy() - give an object back, and all that was made from it
 * @object: any object; NULL: nothing happens. Not to be used again, nor what was made from it
 *
 * A run in progress on another thread is cancelled and waited for.
 * Leaves the last error as it is.
 */
AXR_EXPORT void axr_destroy(const axrObject *object);

/**
 * axr_get_context() - the context an object was made from
 *
 * Return: not to be destroyed in place of the context; NULL for NULL.
 */
AXR_EXPORT axrContext *axr_get_context(axrObject *object);

/**
 * axr_last_error() - kind of the last failure on this thread
 * @object: any object, or NULL; makes no difference
 *
 * Each call that can fail sets it, to AXR_SUCCESS when it succeeds. Calls on properties and
 * axr_destroy() leave it, so it may be asked for after clean-up.
 */
AXR_EXPORT axrResult axr_last_error(const axrObject *object);

/**
 * axr_last_error_string() - the last failure on this thread in words
 * @object: any object, or NULL; makes no difference
 *
 * Return: lines joined by '\n', innermost layer first; "" after success. Valid until the next
 * call on this thread that can fail.
 */
AXR_EXPORT const char *axr_last_error_string(const axrObject *object);

/**
 * axr_set_logger() - have messages of @min_level and above
 * @fn: called from any thread, without locks held; may itself use the API; NULL: silence (default)
 * @arg: handed to @fn
 *
 * A message under way on another thread may still arrive just after the return.
 */
AXR_EXPORT void axr_set_logger(axrContext *context, axrLogLevel min_level, axr_logger_fn fn,
			       void *arg);

/**
 * axr_create_properties() - a set of names and values
 * @initial: "key=value" pairs, separated by ';' or newlines, empty ones skipped; NULL: empty set
 *
 * Return: the set; NULL when @context is NULL.
 */
AXR_EXPORT axrProperties *axr_create_properties(axrContext *context, const char *initial);
AXR_EXPORT void axr_set_property(axrProperties *properties, const char *key, const char *value);
/* Return: valid until the key is set or deleted; NULL when absent. */
AXR_EXPORT const char *axr_get_property(axrProperties *properties, const char *key);
AXR_EXPORT void axr_del_property(axrProperties *properties, const char *key);
/* Return: keys joined by ';' in the order they were set; valid until the next call on the set. */
AXR_EXPORT const char *axr_list_properties(axrProperties *properties);

/**
 * axr_list_devices() - the cards there are
 * @devices: set to an array owned by the context, valid until the next list; NULL: count only
 *
 * A card that somebody else has open is listed with in_use set and little else.
 *
 * Return: count; 0: none, or an error (axr_last_error()).
 */
AXR_EXPORT size_t axr_list_devices(axrContext *context, axrDeviceInfo **devices);

/**
 * axr_configure_device() - clock and utilisation settings
 * @properties: clock_profile, clock_profile_core_N: 100, 200, 400, 600, 700, 800 MHz;
 *	mvm_utilisation_core_N: 1-100 percent; ddr_size; device_firmware: 0 or 1
 *
 * Return: AXR_SUCCESS: in force; AXR_ERROR_PENDING_ERROR: ask axr_device_ready();
 * AXR_ERROR_INVALID_CONFIGURATION: unknown name; AXR_ERROR_VALUE_ERROR;
 * AXR_ERROR_NOT_IMPLEMENTED: the firmware can't change this setting to that value.
 */
AXR_EXPORT axrResult axr_configure_device(axrContext *context, axrDeviceInfo *device,
					  axrProperties *properties);

/**
 * axr_device_ready() - is the last configuration in force?
 *
 * Return: AXR_SUCCESS; AXR_ERROR_PENDING_ERROR; AXR_ERROR_CONNECTION_ERROR no such card.
 */
AXR_EXPORT axrResult axr_device_ready(axrContext *context, axrDeviceInfo *device);

/**
 * axr_read_device_configuration() - settings in force, by the names of axr_configure_device()
 *
 * Return: a set to be destroyed by the caller; NULL: no such card.
 */
AXR_EXPORT axrProperties *axr_read_device_configuration(axrContext *context, axrDeviceInfo *device);

/**
 * axr_device_connect() - take cores of a card
 * @device: only its name is read: one from the list, or any name axr_list_devices() could give
 *	("sim", "sim:N", "vfio-user:PATH"); NULL: the first card with enough free cores, a
 *	simulated one only where there is no other
 * @num_sub_devices: 1-4, adjacent cores
 * @properties: see <axruntime/tethys.h>; unknown ones are skipped; may be NULL; copied
 *
 * The cores are this connection's until it is destroyed.
 *
 * Return: the connection; NULL: AXR_ERROR_INVALID_ARGUMENT, AXR_ERROR_CONNECTION_ERROR,
 * AXR_ERROR_DEVICE_IN_USE, AXR_ERROR_INCOMPATIBLE_DEVICE, AXR_ERROR_VALUE_ERROR (a property),
 * AXR_ERROR_INVALID_CONFIGURATION (the card is open with other settings).
 */
AXR_EXPORT axrConnection *axr_device_connect(axrContext *context, const axrDeviceInfo *device,
					     size_t num_sub_devices,
					     const axrProperties *properties);

/**
 * axr_load_model() - read a network
 * @path: an .onnx file with fixed shapes and its weights inside; a .json that names one (see
 *	<axruntime/tethys.h>); or a directory with a model.json or exactly one .onnx
 *
 * Return: the model; NULL: AXR_ERROR_INVALID_ARGUMENT the file can't be read,
 * AXR_ERROR_VALUE_ERROR its content isn't sound, AXR_ERROR_NOT_IMPLEMENTED it can't be executed
 * by any card of ours (networks compiled for the silicon).
 */
AXR_EXPORT axrModel *axr_load_model(axrContext *context, const char *path);
AXR_EXPORT size_t axr_num_model_inputs(axrModel *model);
AXR_EXPORT size_t axr_num_model_outputs(axrModel *model);
/* Return: ndims 0 and AXR_ERROR_INVALID_ARGUMENT when @n is out of range. */
AXR_EXPORT axrTensorInfo axr_get_model_input(axrModel *model, size_t n);
AXR_EXPORT axrTensorInfo axr_get_model_output(axrModel *model, size_t n);
/* Return: a new set, to be destroyed by the caller. */
AXR_EXPORT axrProperties *axr_get_model_properties(axrModel *model);
/* Return: bytes, padding included; 0 for NULL or no tensor. */
AXR_EXPORT size_t axr_tensor_size(const axrTensorInfo *info);

/**
 * axr_load_model_instance() - put a model on a connection's cores
 * @properties: aipu_cores, num_sub_devices: cores to use, 0 or absent: all of the connection's;
 *	double_buffer: 1: run N gives the outputs of run N - 2, those of the first two are zeros;
 *	async_mode: 1, with max_inflight and max_pending: axr_run_async_model_instance();
 *	input_dmabuf, output_dmabuf: only 0; device_profiling, host_profiling, elf_in_ddr.
 *	Unknown ones are an error. May be NULL; copied
 *
 * Any number of instances may live on a connection and run side by side.
 *
 * Return: the instance; NULL: AXR_ERROR_INVALID_CONFIGURATION, AXR_ERROR_VALUE_ERROR,
 * AXR_ERROR_NOT_IMPLEMENTED (properties); AXR_ERROR_RUNTIME_ERROR refused by the card or timed
 * out; AXR_ERROR_CONNECTION_ERROR the card is gone.
 */
AXR_EXPORT axrModelInstance *axr_load_model_instance(axrConnection *connection, axrModel *model,
						     axrProperties *properties);

/**
 * axr_run_model_instance() - run once and wait
 * @inputs: [n_inputs], in the model's order; read only
 * @outputs: [n_outputs], in the model's order; written
 *
 * Return: AXR_SUCCESS; AXR_ERROR_INVALID_ARGUMENT counts, sizes or pointers;
 * AXR_ERROR_RUNTIME_ERROR failed, timed out or cancelled; AXR_ERROR_CONNECTION_ERROR.
 */
AXR_EXPORT axrResult axr_run_model_instance(axrModelInstance *instance, axrArgument *inputs,
					    size_t n_inputs, axrArgument *outputs,
					    size_t n_outputs);

/**
 * axr_run_async_model_instance() - queue a run
 * @inputs, @outputs: the arrays are copied; the tensors must stay until @done was called
 * @done: called once from a thread of the runtime when this returned AXR_SUCCESS, else not at all.
 *	axr_last_error_string() there is about this run. Must not destroy the instance
 *
 * Needs the property async_mode=1. Runs of one instance end in the order they were queued.
 *
 * Return: AXR_SUCCESS; AXR_ERROR_PENDING_ERROR "queue full": try again;
 * AXR_ERROR_INVALID_ARGUMENT; AXR_ERROR_INVALID_CONFIGURATION without async_mode.
 */
AXR_EXPORT axrResult axr_run_async_model_instance(axrModelInstance *instance, axrArgument *inputs,
						  size_t n_inputs, axrArgument *outputs,
						  size_t n_outputs, axr_async_fn done, void *arg);

#ifdef __cplusplus
}
#endif

#endif
