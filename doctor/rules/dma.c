/* SPDX-License-Identifier: MIT */
/*
 * DMA faults: which class is each run of them?
 *
 * Faults of one requester, direction and reason are one stream. For each the address is placed and
 * the moment is named (dma_address.c); then every class that could explain it is proposed with a
 * percentage (dma_readings.c), and the best becomes the finding. The others are told in it.
 */
#include <inttypes.h>
#include <string.h>

#include "doctor/rules/dma_stream.h"

static enum dma_shape shape_of(const struct doctor_fact *fact)
{
	if (fact->kind == DOCTOR_AMD_INVALID_REQUEST)
		return SHAPE_BAD_REQUEST;
	if (!fact->has_reason)
		return SHAPE_UNMAPPED;
	if (fact->kind == DOCTOR_SMMU_FAULT) {
		switch (fact->reason) {
		case 0x02: /* C_BAD_STREAMID */
		case 0x03:
		case 0x04:
		case 0x06:
			return SHAPE_NO_CONTEXT;
		case 0x11:
			return SHAPE_TOO_WIDE;
		case 0x08:
		case 0x09:
		case 0x0a:
		case 0x25:
			return SHAPE_TABLE;
		default:
			return SHAPE_UNMAPPED;
		}
	}
	if (fact->kind != DOCTOR_VTD_DMA_FAULT)
		return SHAPE_UNMAPPED;
	switch (fact->reason) {
	case 0x01:
	case 0x02:
	case 0x39:
	case 0x41:
		return SHAPE_NO_CONTEXT;
	case 0x04:
	case 0x80:
	case 0x83:
	case 0x84:
		return SHAPE_TOO_WIDE;
	case 0x05:
	case 0x06:
	case 0x71:
	case 0x79:
	case 0x85:
	case 0x86:
		return SHAPE_UNMAPPED;
	default:
		return SHAPE_TABLE;
	}
}

static bool is_write(const struct doctor_fact *fact)
{
	if (fact->has_write)
		return fact->write;
	if (fact->kind == DOCTOR_AMD_PAGE_FAULT && fact->has_reason)
		return fact->reason & DMA_AMD_WRITE;
	/* A doorbell is only ever written. */
	return fact->kind == DOCTOR_SMMU_FAULT && (fact->address & 0xfff) == 0x40;
}

static bool is_dma_fault(const struct doctor_fact *fact)
{
	if (fact->kind == DOCTOR_VTD_DMA_FAULT || fact->kind == DOCTOR_SMMU_FAULT ||
	    fact->kind == DOCTOR_AMD_INVALID_REQUEST)
		return true;
	return fact->kind == DOCTOR_AMD_PAGE_FAULT && !interrupt_is_fault(fact);
}

static bool joins(const struct dma_stream *stream, const struct doctor_fact *fact)
{
	return stream->kind == fact->kind && stream->who.has_device == fact->has_device &&
	       (!fact->has_device || bdf_equal(stream->who.device, fact->device)) &&
	       stream->write == is_write(fact) && stream->shape == shape_of(fact) &&
	       stream->side == fact->side && stream->span.log == fact->log &&
	       stream->span.boot == fact->boot &&
	       (stream->shape != SHAPE_NO_CONTEXT || stream->reason == fact->reason);
}

static void join(const struct doctor_case *seen, struct dma_stream *stream,
		 const struct doctor_fact *fact)
{
	int64_t last = dma_since_boot(seen, fact, true);

	if (stream->facts < DMA_PAGES_MAX)
		stream->fact[stream->facts++] = fact;
	stream->lines += fact->count ? fact->count : 1;
	if (fact->line < stream->span.first_line)
		stream->span.first_line = fact->line;
	if (fact->last_line > stream->span.last_line)
		stream->span.last_line = fact->last_line;
	if (last > stream->span.last_us)
		stream->span.last_us = last;
}

static struct dma_stream *begin(const struct doctor_case *seen, struct dma_stream *stream,
				const struct doctor_fact *fact)
{
	stream->kind = fact->kind;
	stream->side = fact->side;
	stream->write = is_write(fact);
	stream->has_reason = fact->has_reason;
	stream->reason = fact->reason;
	stream->shape = shape_of(fact);
	stream->span = (struct dma_span){.log = fact->log,
					 .boot = fact->boot,
					 .first_line = fact->line,
					 .last_line = fact->last_line,
					 .first_us = dma_since_boot(seen, fact, false),
					 .last_us = DOCTOR_TIME_NONE};
	dma_requester_find(seen, fact, &stream->who);
	dma_place_find(&stream->who, fact->address, &stream->place);
	return stream;
}

static struct dma_stream *find_streams(const struct doctor_case *seen, size_t *ret_count)
{
	struct dma_stream *streams = NULL;
	size_t count = 0;

	for (size_t i = 0; i < seen->facts->count; i++) {
		const struct doctor_fact *fact = &seen->facts->fact[i];
		struct dma_stream *stream = NULL;

		if (!is_dma_fault(fact) || judge_is_past(seen, fact))
			continue;
		for (size_t at = 0; at < count && !stream; at++)
			stream = joins(&streams[at], fact) ? &streams[at] : NULL;
		if (!stream) {
			stream = arena_grow(seen->arena, &streams, count, sizeof(*stream));
			count++;
			begin(seen, stream, fact);
		}
		join(seen, stream, fact);
	}
	for (size_t at = 0; at < count; at++)
		streams[at].when = dma_when(seen, &streams[at].who, &streams[at].span);
	*ret_count = count;
	return streams;
}

/* Lines that rate limiting swallowed belong to nobody; they are told where one device faults. */
static void add_suppressed(const struct doctor_case *seen, struct dma_stream *streams, size_t count)
{
	const struct doctor_fact *fact = NULL;

	while ((fact = doctor_fact_next(seen->facts, DOCTOR_VTD_SUPPRESSED, fact))) {
		struct dma_stream *near = NULL;

		for (size_t i = 0; i < count; i++) {
			struct dma_stream *stream = &streams[i];

			if (stream->span.log == fact->log && stream->kind == DOCTOR_VTD_DMA_FAULT &&
			    (!near || stream->lines > near->lines))
				near = stream;
		}
		if (near)
			near->suppressed += fact->number; /* the sum of all such lines */
	}
}

/* A fault without a domain at hand-over is only the overture when others follow on the device. */
static bool is_overture(const struct dma_stream *streams, size_t count,
			const struct dma_stream *stream)
{
	if (stream->shape != SHAPE_NO_CONTEXT || stream->lines > 2)
		return false;
	for (size_t i = 0; i < count; i++) {
		const struct dma_stream *other = &streams[i];

		if (other != stream && other->shape != SHAPE_NO_CONTEXT && other->who.has_device &&
		    stream->who.has_device && bdf_equal(other->who.device, stream->who.device))
			return true;
	}
	return false;
}

/* The device failed as a whole: faults on its way down explain nothing. */
static const struct doctor_fact *find_death(const struct doctor_case *seen,
					    const struct dma_stream *stream)
{
	for (size_t i = 0; i < seen->facts->count; i++) {
		const struct doctor_fact *fact = &seen->facts->fact[i];

		if (fact->log != stream->span.log || fact->boot != stream->span.boot ||
		    !fact->has_device || !stream->who.has_device ||
		    !bdf_equal(fact->device, stream->who.device))
			continue;
		switch (fact->kind) {
		case DOCTOR_RESET_NOT_READY:
			if (fact->has_reason && fact->reason)
				return fact;
			break;
		case DOCTOR_DEVICE_GONE:
		case DOCTOR_HEADER_TYPE_127:
		case DOCTOR_D3_STUCK:
		case DOCTOR_AER_FATAL:
		case DOCTOR_FELL_OFF_BUS:
		case DOCTOR_LINK_DOWN:
		case DOCTOR_AMD_IOTLB_TIMEOUT:
		case DOCTOR_AMD_ILLEGAL_DTE:
			return fact;
		default:
			break;
		}
	}
	return NULL;
}

/* Of this stream alone; a finding has the worst of its streams. */
static enum doctor_severity severity_of(struct doctor_judge *judge, struct doctor_finding *finding,
					const struct dma_stream *stream, bool overture)
{
	const struct doctor_case *seen = judge_case(judge);
	enum doctor_severity severity = finding->rule->severity;

	if (severity == DOCTOR_ERROR && !strcmp(finding->rule->id, "context-absent"))
		severity = DOCTOR_WARNING;
	if (severity == DOCTOR_ERROR && find_death(seen, stream)) {
		severity = DOCTOR_WARNING;
		judge_why(judge, finding,
			  "The device also failed as a whole in this log. Its DMA faults are more "
			  "likely a consequence than the cause.");
		judge_evidence(judge, finding, find_death(seen, stream));
	}
	if (severity != DOCTOR_INFO && dma_superseded(seen, &stream->who, &stream->span)) {
		severity = DOCTOR_INFO;
		judge_why(judge, finding,
			  "Lines %" PRIu64 " to %" PRIu64
			  " are older than the last start of the device for a guest, which went "
			  "on without a fault. They blame nothing that runs now.",
			  stream->span.first_line, stream->span.last_line);
	}
	if (overture) {
		severity = DOCTOR_INFO;
		judge_why(judge, finding,
			  "Other faults of the device follow: this one is only the moment of the "
			  "hand-over.");
	}
	return severity;
}

static void judge_stream(struct doctor_judge *judge, const struct dma_stream *stream, bool overture)
{
	const struct doctor_case *seen = judge_case(judge);
	const struct bdf *device = stream->who.has_device ? &stream->who.device : NULL;
	bool guest = stream->side == DOCTOR_SIDE_GUEST;
	struct dma_readings readings = {.arena = seen->arena};
	struct doctor_finding *finding;
	enum doctor_severity severity;
	bool known;

	dma_read_stream(seen, stream, &readings);
	known = dma_best(&readings) && judge_find_of(judge, dma_best(&readings)->id, guest, device);
	finding = dma_add_best(judge, &readings, guest, device);
	if (!finding)
		return;
	severity = severity_of(judge, finding, stream, overture);
	if (!known || severity > finding->severity)
		finding->severity = severity;
	dma_say(judge, finding, stream);
}

void dma_judge(struct doctor_judge *judge, const struct doctor_rule *rule)
{
	const struct doctor_case *seen = judge_case(judge);
	struct dma_stream *streams;
	size_t count;

	(void)rule;
	streams = find_streams(seen, &count);
	add_suppressed(seen, streams, count);
	for (size_t i = 0; i < count; i++)
		judge_stream(judge, &streams[i], is_overture(streams, count, &streams[i]));
}
