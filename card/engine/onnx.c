/* SPDX-License-Identifier: MIT */
/*
 * The onnx engine: networks by ONNX Runtime, in the card's own memory.
 *
 * The host may change its tensors while a network runs. Elements of large float inputs only ever
 * become other elements, so those are read where they are. Integers can be indices, and small
 * tensors sizes, scales or bounds of an operator, which checks them before it uses them: these
 * the network gets to see as private copies. Outputs are computed in private, since an operator
 * that is still at work when the card changes hands can't be kept from writing.
 */
#include <endian.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <tethys/hw/fwproto.h>

#include "card/engine/engine.h"
#include "card/engine/onnx_scan.h"
#include "common/ort.h"

#define IN_PLACE_BYTES (64u << 10) /* from here on; below, copying costs nothing that shows */
#define BUFFER_ALIGN 64u
/* Of private memory for the tensors of a session: for all modules together what the DDR has. */
#define COPIES_BYTES_MAX (METIS_DDR_BYTES / METIS_FW_MODULES_MAX)

struct onnx_tensor {
	const struct metis_module_tensor *spec;
	int64_t dims[METIS_MODULE_DIMS_MAX];
	size_t bytes;
	void *copy;	 /* NULL: an input used in place */
	OrtValue *value; /* over @data; NULL before the first run */
	void *data;
	const struct onnx_tensor *source; /* an output that is an input by name; else NULL */
};

struct engine_session {
	const OrtApi *api;
	OrtSession *session;
	OrtRunOptions *options;
	OrtMemoryInfo *memory_info;
	struct engine_gate gate;
	uint32_t inputs, outputs;
	size_t copies_bytes;
	struct onnx_tensor *tensors; /* [inputs + outputs] */
	/* The same order, as Run() wants them. */
	const char **names;
	OrtValue **values;
};

/* --- is the module's table true? --- */

static int check_shape(const OrtApi *api, const OrtTensorTypeAndShapeInfo *info,
		       const struct metis_module_tensor *spec, struct reason *why)
{
	static const char what[] = "shape";
	enum ONNXTensorElementDataType type;
	int64_t dims[METIS_MODULE_DIMS_MAX];
	size_t ndims, i;
	int err;

	err = ort_status(api, api->GetTensorElementType(info, &type), -EIO, what, why);
	if (!err)
		err = ort_status(api, api->GetDimensionsCount(info, &ndims), -EIO, what, why);
	if (err)
		return err;
	/* enum metis_dtype counts like ONNX, and so does ONNX Runtime. */
	if ((uint32_t)type != le32toh(spec->dtype))
		return reason_add(why, -EINVAL, "element type is %u, the network's %d",
				  le32toh(spec->dtype), type);
	if (ndims != le32toh(spec->ndims))
		return reason_add(why, -EINVAL, "%u dimensions, the network's has %zu",
				  le32toh(spec->ndims), ndims);
	err = ort_status(api, api->GetDimensions(info, dims, ndims), -EIO, what, why);
	for (i = 0; !err && i < ndims; i++) {
		/* Negative: the network takes any. */
		if (dims[i] >= 0 && (uint64_t)dims[i] != le64toh(spec->dims[i]))
			err = reason_add(why, -EINVAL, "dimension %zu is %llu, the network's %lld",
					 i, (unsigned long long)le64toh(spec->dims[i]),
					 (long long)dims[i]);
	}
	return err;
}

static int check_type(const OrtApi *api, const OrtTypeInfo *type,
		      const struct metis_module_tensor *spec, struct reason *why)
{
	const OrtTensorTypeAndShapeInfo *info = NULL;
	int err;

	err = ort_status(api, api->CastTypeInfoToTensorInfo(type, &info), -EIO, "type", why);
	if (err)
		return err;
	if (!info)
		return reason_add(why, -ENOTSUP, "not a tensor");
	return check_shape(api, info, spec, why);
}

static int check_name(struct engine_session *s, bool input, uint32_t index,
		      const struct metis_module_tensor *spec, struct reason *why)
{
	OrtAllocator *allocator = NULL;
	char *name = NULL;
	int err;

	err = ort_status(s->api, s->api->GetAllocatorWithDefaultOptions(&allocator), -EIO,
			 "allocator", why);
	if (err)
		return err;
	err = ort_status(s->api,
			 input ? s->api->SessionGetInputName(s->session, index, allocator, &name)
			       : s->api->SessionGetOutputName(s->session, index, allocator, &name),
			 -EIO, "name", why);
	if (err)
		return err;
	if (strcmp(name, spec->name))
		err = reason_add(why, -EINVAL, "the network calls it \"%s\"", name);
	return ort_status(s->api, s->api->AllocatorFree(allocator, name), -EIO, "name", why) ?: err;
}

static int check_tensor(struct engine_session *s, bool input, uint32_t index,
			const struct metis_module_tensor *spec, struct reason *why)
{
	OrtTypeInfo *type = NULL;
	int err;

	err = check_name(s, input, index, spec, why);
	if (!err)
		err = ort_status(s->api,
				 input ? s->api->SessionGetInputTypeInfo(s->session, index, &type)
				       : s->api->SessionGetOutputTypeInfo(s->session, index, &type),
				 -EIO, "type", why);
	if (!err) {
		err = check_type(s->api, type, spec, why);
		s->api->ReleaseTypeInfo(type);
	}
	if (err)
		return reason_add(why, err, "%s %u (\"%s\") of the module's table",
				  input ? "input" : "output", index, spec->name);
	return 0;
}

static int check_table(struct engine_session *s, const struct engine_module *module,
		       struct reason *why)
{
	size_t inputs = 0, outputs = 0;
	uint32_t i;
	int err;

	err = ort_status(s->api, s->api->SessionGetInputCount(s->session, &inputs), -EIO, "inputs",
			 why);
	if (!err)
		err = ort_status(s->api, s->api->SessionGetOutputCount(s->session, &outputs), -EIO,
				 "outputs", why);
	if (err)
		return err;
	if (inputs != s->inputs || outputs != s->outputs)
		return reason_add(
			why, -EINVAL,
			"module's table has %u inputs and %u outputs, the network %zu and %zu",
			s->inputs, s->outputs, inputs, outputs);
	for (i = 0; !err && i < s->inputs; i++)
		err = check_tensor(s, true, i, &module->inputs[i], why);
	for (i = 0; !err && i < s->outputs; i++)
		err = check_tensor(s, false, i, &module->outputs[i], why);
	return err;
}

/* --- sessions --- */

static bool in_place(const struct metis_module_tensor *spec)
{
	switch (le32toh(spec->dtype)) {
	case METIS_F16:
	case METIS_F32:
	case METIS_F64:
		return le64toh(spec->bytes) >= IN_PLACE_BYTES;
	default:
		return false;
	}
}

static int copy_alloc(struct engine_session *s, struct onnx_tensor *tensor, struct reason *why)
{
	if (tensor->bytes > COPIES_BYTES_MAX - s->copies_bytes)
		return reason_add(why, -ENOMEM, "tensors of more than %llu MiB",
				  COPIES_BYTES_MAX >> 20);
	if (posix_memalign(&tensor->copy, BUFFER_ALIGN, tensor->bytes)) {
		tensor->copy = NULL;
		return reason_add(why, -ENOMEM, "no memory for the module's tensors");
	}
	s->copies_bytes += tensor->bytes;
	/* Whatever happens, the host sees nothing of ours. */
	memset(tensor->copy, 0, tensor->bytes);
	return 0;
}

static int tensor_init(struct engine_session *s, uint32_t index,
		       const struct metis_module_tensor *spec, struct reason *why)
{
	struct onnx_tensor *tensor = &s->tensors[index];
	uint32_t i;

	tensor->spec = spec;
	tensor->bytes = le64toh(spec->bytes);
	for (i = 0; i < le32toh(spec->ndims); i++)
		tensor->dims[i] = (int64_t)le64toh(spec->dims[i]);
	return index < s->inputs && in_place(spec) ? 0 : copy_alloc(s, tensor, why);
}

/*
 * A network may list one of its inputs as an output. ONNX Runtime then leaves the output it was
 * given alone, and says so to nobody.
 */
static void find_source(struct engine_session *s, struct onnx_tensor *output)
{
	uint32_t i;

	for (i = 0; i < s->inputs; i++) {
		if (!strcmp(s->tensors[i].spec->name, output->spec->name) &&
		    s->tensors[i].bytes == output->bytes)
			output->source = &s->tensors[i];
	}
}

static int init_tensors(struct engine_session *s, const struct engine_module *module,
			struct reason *why)
{
	uint32_t i, n = s->inputs + s->outputs;
	int err = 0;

	s->tensors = calloc(n, sizeof(*s->tensors));
	s->names = calloc(n, sizeof(*s->names));
	s->values = calloc(n, sizeof(*s->values));
	if (!s->tensors || !s->names || !s->values)
		return reason_add(why, -ENOMEM, "no memory for the module's tensors");
	for (i = 0; !err && i < n; i++) {
		const struct metis_module_tensor *spec =
			i < s->inputs ? &module->inputs[i] : &module->outputs[i - s->inputs];

		s->names[i] = spec->name;
		err = tensor_init(s, i, spec, why);
		if (i >= s->inputs)
			find_source(s, &s->tensors[i]);
	}
	return err;
}

static int init_ort(struct engine_session *s, struct reason *why)
{
	int err;

	err = ort_status(s->api, s->api->CreateRunOptions(&s->options), -EIO, "run options", why);
	if (err)
		return err;
	return ort_status(
		s->api,
		s->api->CreateCpuMemoryInfo(OrtDeviceAllocator, OrtMemTypeDefault, &s->memory_info),
		-EIO, "memory info", why);
}

static void onnx_unload(struct engine_session *s)
{
	uint32_t i;

	for (i = 0; s->tensors && i < s->inputs + s->outputs; i++) {
		if (s->tensors[i].value)
			s->api->ReleaseValue(s->tensors[i].value);
		free(s->tensors[i].copy);
	}
	if (s->memory_info)
		s->api->ReleaseMemoryInfo(s->memory_info);
	if (s->options)
		s->api->ReleaseRunOptions(s->options);
	if (s->session)
		s->api->ReleaseSession(s->session);
	engine_gate_deinit(&s->gate);
	free(s->values);
	free(s->names);
	free(s->tensors);
	free(s);
}

static int build_session(struct engine_session *s, const struct engine_module *module,
			 unsigned int cores, struct reason *why)
{
	OrtEnv *env;
	int err;

	err = onnx_scan(module->payload, module->payload_bytes, why);
	if (!err)
		err = ort_get(&s->api, &env, why);
	if (!err)
		err = ort_open_session(module->payload, module->payload_bytes, cores, &s->session,
				       why);
	if (!err)
		err = check_table(s, module, why);
	if (!err)
		err = init_ort(s, why);
	if (!err)
		err = init_tensors(s, module, why);
	return err;
}

static int onnx_load(struct engine *engine, const struct engine_module *module, unsigned int cores,
		     struct engine_session **ret_session, struct reason *why)
{
	struct engine_session *s = calloc(1, sizeof(*s));
	int err;

	(void)engine;
	if (!s)
		return reason_add(why, -ENOMEM, "no memory for the session");
	engine_gate_init(&s->gate);
	s->inputs = le32toh(module->header->inputs);
	s->outputs = le32toh(module->header->outputs);
	err = build_session(s, module, cores, why);
	if (err) {
		onnx_unload(s);
		return err;
	}
	*ret_session = s;
	return 0;
}

/* --- runs --- */

/* Have tensor @i's value lie over @buffer, or over its private copy. */
static int bind(struct engine_session *s, uint32_t i, const struct engine_buffer *buffer,
		struct reason *why)
{
	struct onnx_tensor *tensor = &s->tensors[i];
	void *data = tensor->copy ? tensor->copy : buffer->data;
	int err;

	if (!tensor->value || tensor->data != data) {
		if (tensor->value)
			s->api->ReleaseValue(tensor->value);
		tensor->value = NULL;
		err = ort_status(s->api,
				 s->api->CreateTensorWithDataAsOrtValue(
					 s->memory_info, data, tensor->bytes, tensor->dims,
					 le32toh(tensor->spec->ndims),
					 (ONNXTensorElementDataType)le32toh(tensor->spec->dtype),
					 &tensor->value),
				 -EIO, tensor->spec->name, why);
		if (err)
			return err;
		tensor->data = data;
	}
	s->values[i] = tensor->value;
	return 0;
}

static int deliver(struct engine_session *s, const struct onnx_tensor *tensor,
		   const struct engine_buffer *buffer, struct reason *why)
{
	const void *data = tensor->source ? tensor->source->data : tensor->data;

	if (engine_gate_put(&s->gate, buffer->data, data, tensor->bytes))
		return reason_add(why, -ECANCELED, "canceled");
	return 0;
}

static int run_bound(struct engine_session *s, struct reason *why)
{
	OrtStatus *status;

	status = s->api->Run(s->session, s->options, s->names, (const OrtValue *const *)s->values,
			     s->inputs, s->names + s->inputs, s->outputs, s->values + s->inputs);
	if (!status)
		return 0;
	if (engine_gate_is_shut(&s->gate)) {
		s->api->ReleaseStatus(status);
		return reason_add(why, -ECANCELED, "canceled");
	}
	return ort_status(s->api, status, -EIO, "ONNX Runtime failed", why);
}

static int onnx_run(struct engine_session *s, const struct engine_buffer *inputs,
		    const struct engine_buffer *outputs, struct reason *why)
{
	uint32_t i;
	int err = 0;

	for (i = 0; !err && i < s->inputs; i++) {
		if (s->tensors[i].copy)
			memcpy(s->tensors[i].copy, inputs[i].data, s->tensors[i].bytes);
		err = bind(s, i, &inputs[i], why);
	}
	for (i = 0; !err && i < s->outputs; i++)
		err = bind(s, s->inputs + i, &outputs[i], why);
	if (!err)
		err = run_bound(s, why);
	for (i = 0; !err && i < s->outputs; i++)
		err = deliver(s, &s->tensors[s->inputs + i], &outputs[i], why);
	return err;
}

static void onnx_arm(struct engine_session *s)
{
	engine_gate_set(&s->gate, false);
	/* Can only fail for want of options. */
	s->api->ReleaseStatus(s->api->RunOptionsUnsetTerminate(s->options));
}

static void onnx_cancel(struct engine_session *s)
{
	engine_gate_set(&s->gate, true);
	s->api->ReleaseStatus(s->api->RunOptionsSetTerminate(s->options));
}

const struct engine_ops engine_onnx = {
	.name = "onnx",
	.load = onnx_load,
	.unload = onnx_unload,
	.arm = onnx_arm,
	.run = onnx_run,
	.cancel = onnx_cancel,
};
