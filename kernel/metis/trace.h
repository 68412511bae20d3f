/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tracepoints of transfers, events/tethys_metis/: submitted by a caller, started on an engine, done
 * (or failed), and an interrupt that didn't come.
 *
 * The name is a fixed array, not __string(): __assign_str() lost an argument in 6.10 (2c92ca849fcc,
 * "tracing/treewide: Remove second parameter of __assign_str()").
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM tethys_metis

#if !defined(TETHYS_KERNEL_METIS_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define TETHYS_KERNEL_METIS_TRACE_H

#include <linux/tracepoint.h>
#include <linux/types.h>

#include "metis.h"

/* clang-format off */

/* A caller wants @len bytes moved to or from card address @card. */
TRACE_EVENT(metis_submit,
	    TP_PROTO(const struct metis_dev *mdev, bool to_card, unsigned int chan, u64 card,
		     u64 len),
	    TP_ARGS(mdev, to_card, chan, card, len),
	    TP_STRUCT__entry(__array(char, name, sizeof_field(struct metis_dev, name))
			     __field(u64, card)
			     __field(u64, len)
			     __field(unsigned int, chan)
			     __field(bool, to_card)),
	    TP_fast_assign(memcpy(__entry->name, mdev->name, sizeof(__entry->name));
			   __entry->card = card;
			   __entry->len = len;
			   __entry->chan = chan;
			   __entry->to_card = to_card;),
	    TP_printk("%s to_card=%d channel=%u card=0x%llx bytes=%llu", __entry->name,
		      __entry->to_card, __entry->chan, __entry->card, __entry->len)
);

/* The doorbell was rung for a list of @elements. */
TRACE_EVENT(metis_start,
	    TP_PROTO(const struct metis_dev *mdev, bool to_card, unsigned int chan,
		     unsigned int elements),
	    TP_ARGS(mdev, to_card, chan, elements),
	    TP_STRUCT__entry(__array(char, name, sizeof_field(struct metis_dev, name))
			     __field(unsigned int, chan)
			     __field(unsigned int, elements)
			     __field(bool, to_card)),
	    TP_fast_assign(memcpy(__entry->name, mdev->name, sizeof(__entry->name));
			   __entry->chan = chan;
			   __entry->elements = elements;
			   __entry->to_card = to_card;),
	    TP_printk("%s to_card=%d channel=%u elements=%u", __entry->name, __entry->to_card,
		      __entry->chan, __entry->elements)
);

/* The transfer is over, @us after it was submitted; @err is 0 or a negative errno. */
TRACE_EVENT(metis_done,
	    TP_PROTO(const struct metis_dev *mdev, bool to_card, unsigned int chan, u64 len,
		     int err, u64 us),
	    TP_ARGS(mdev, to_card, chan, len, err, us),
	    TP_STRUCT__entry(__array(char, name, sizeof_field(struct metis_dev, name))
			     __field(u64, len)
			     __field(u64, us)
			     __field(unsigned int, chan)
			     __field(int, err)
			     __field(bool, to_card)),
	    TP_fast_assign(memcpy(__entry->name, mdev->name, sizeof(__entry->name));
			   __entry->len = len;
			   __entry->us = us;
			   __entry->chan = chan;
			   __entry->err = err;
			   __entry->to_card = to_card;),
	    TP_printk("%s to_card=%d channel=%u bytes=%llu err=%d us=%llu", __entry->name,
		      __entry->to_card, __entry->chan, __entry->len, __entry->err, __entry->us)
);

/* The channel is done, its interrupt didn't come; @us since the start. */
TRACE_EVENT(metis_lost,
	    TP_PROTO(const struct metis_dev *mdev, bool to_card, unsigned int chan, u64 us,
		     bool polling),
	    TP_ARGS(mdev, to_card, chan, us, polling),
	    TP_STRUCT__entry(__array(char, name, sizeof_field(struct metis_dev, name))
			     __field(u64, us)
			     __field(unsigned int, chan)
			     __field(bool, to_card)
			     __field(bool, polling)),
	    TP_fast_assign(memcpy(__entry->name, mdev->name, sizeof(__entry->name));
			   __entry->us = us;
			   __entry->chan = chan;
			   __entry->to_card = to_card;
			   __entry->polling = polling;),
	    TP_printk("%s to_card=%d channel=%u us=%llu polling=%d", __entry->name,
		      __entry->to_card, __entry->chan, __entry->us, __entry->polling)
);

/* clang-format on */

#endif

/* Outside the guard: <trace/define_trace.h> reads this file several times. */
#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
