/* SPDX-License-Identifier: MIT */
/*
 * Inside the firmware: what its files know of each other. Nothing outside card/firmware*.c
 * includes this.
 *
 *	firmware.c		life, commands in and results out, resets, one worker a context
 *	firmware_area.c		what a boot leaves in L2
 *	firmware_command.c	what the commands do
 *	firmware_irq.c		interrupts to the host
 *	firmware_log.c		the log ring
 */
#ifndef TETHYS_CARD_FIRMWARE_H
#define TETHYS_CARD_FIRMWARE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tethys/hw/fwarea.h>
#include <tethys/hw/fwproto.h>
#include <tethys/hw/memory.h>
#include <tethys/hw/pci.h>

#include "card/bus.h"
#include "card/engine/engine.h"
#include "card/internal.h"

/*
 * Commands that resets have cut off and that still run: their engine is in one long operator, or
 * their interrupt stuck in the bus. With so many a context gets no new thread.
 */
#define FW_RETIRED_MAX 8

/*
 * How long after a channel's IMWr the firmware mirrors it, in milliseconds. A guess: the eDMA sends
 * its message at once by itself, and the firmware is a small core that polls. What matters is that
 * the two are apart: the VT-d that QEMU plays has one fault record, and of two faults in the same
 * instant the host hears of one.
 */
#define FW_MIRROR_MS 50

/* Where the areas are, from the start of L2. Ours to choose: hosts follow the references. */
#define FW_CONTEXT_OFFSET(n) (METIS_FW_AREAS_OFFSET + (n) * sizeof(struct metis_context))
#define FW_HOST_DRIVER_OFFSET FW_CONTEXT_OFFSET(METIS_CORES)
#define FW_DMA_LIST_OFFSET (FW_HOST_DRIVER_OFFSET + 0x20u)
#define FW_DATASTREAM_OFFSET (FW_DMA_LIST_OFFSET + 0x20u)
#define FW_BOARD_OFFSET (FW_DATASTREAM_OFFSET + 0x120u)

_Static_assert(METIS_SYSCTL_BYTES <= METIS_FW_AREAS_OFFSET, "contexts after sysctl");
_Static_assert(sizeof(struct metis_host_driver) <= 0x20, "list area after host driver");
_Static_assert(sizeof(struct metis_dma_list_area) <= 0x20, "datastreams after list area");
_Static_assert(sizeof(struct metis_datastream_area) <= 0x120, "board after datastreams");
_Static_assert(FW_BOARD_OFFSET + sizeof(struct metis_board) <= METIS_FW_EXT_OFFSET,
	       "ext after board");
_Static_assert(METIS_FW_EXT_OFFSET + sizeof(struct metis_fw_ext) <= METIS_FW_LOG_OFFSET,
	       "log after ext");
_Static_assert(METIS_FW_LOG_OFFSET + METIS_FW_LOG_BYTES <= METIS_FW_TRAPPED_BYTES,
	       "log is trapped");
_Static_assert(METIS_FW_TRAPPED_BYTES <= METIS_FW_MAILBOX_OFFSET(0), "mailboxes are plain memory");
_Static_assert(METIS_FW_MAILBOX_OFFSET(METIS_CORES) <= METIS_FW_L2_FREE_OFFSET, "L2 shares last");
_Static_assert(FW_CONTEXT_OFFSET(0) % 8 == 0 && sizeof(struct metis_context) % 8 == 0,
	       "cmd and sts are stored as one");

/* A network in the card. Lives while it is in the table, in a retired worker's list or in use. */
struct fw_module {
	unsigned int refs; /* firmware.lock */
	uint32_t handle;   /* 0: still loading */
	unsigned int context;
	unsigned int cores;	    /* owned: context, context + 1, ... */
	struct engine_module table; /* header and tables in @head; the payload is gone */
	void *head;
	struct engine_session *session; /* NULL while loading */
	struct fw_module *next;		/* in fw_worker.modules; firmware.lock */
};

struct fw_command {
	uint16_t op;
	uint32_t seq;
	uint64_t arg; /* card address of the request */
};

/*
 * Runs the commands of one context in a thread of its own, from the context's first command to the
 * next reset. A reset retires it, whatever it is doing: from then on it has no result and raises no
 * interrupt, and it takes the context's modules with it, which may take time to unload. All but
 * @thread, @fw, @context and @ticket is protected by firmware.lock.
 */
struct fw_worker {
	struct card_firmware *fw;
	unsigned int context;
	pthread_t thread;
	struct card_ticket ticket; /* for interrupts; void when retired */
	pthread_cond_t wake;
	struct fw_command command;	/* the newest; copied by the thread when it starts on it */
	bool pending;			/* @command waits for the thread */
	bool active;			/* the thread works on a command, its interrupt included */
	bool busy;			/* as the host sees it: from cmd to sts */
	bool canceled;			/* the command is to end */
	bool retired;			/* a reset came */
	bool left;			/* the thread only needs to be joined */
	struct engine_session *running; /* for cancel() */
	struct fw_module *modules;	/* to be unloaded; when retired */
	struct fw_worker *next;
};

/*
 * Sets the virtual-MSI words of channels, with mirror_dma where the personality has a host-driver
 * area and leaves IMWr to the host. @thread and @started change with the card's life only; the
 * rest is protected by firmware.lock.
 */
struct fw_mirror {
	pthread_t thread;
	bool started;
	pthread_cond_t wake;
	bool quit;
	bool active; /* the thread is at a word that is no longer in @due_ns */
	/* When a number's word is to be set, CLOCK_MONOTONIC; 0: not. One for all done until then. */
	uint64_t due_ns[METIS_MSI_VECTORS];
};

struct card_firmware {
	struct card *card;
	const struct engine_ops *ops;
	struct engine *engine;
	void *l2;

	_Atomic uint32_t resets; /* the word of the threads' tickets; written under @lock */
	/* Protects all below, and cmd, sts and replies in card memory. Never held for long. */
	pthread_mutex_t lock;
	uint64_t boots; /* since power-on */
	uint64_t commands_ignored;
	uint32_t last_handle;			/* never reused, over resets as well */
	struct metis_host_driver latched;	/* with latch_target; ctrl 0: nothing yet */
	struct fw_worker *workers[METIS_CORES]; /* NULL before a context's first command */
	struct fw_worker *retired;
	struct fw_module *modules[METIS_FW_MODULES_MAX];
	struct fw_mirror mirror;

	/* Protects the log ring. A leaf. */
	pthread_mutex_t log_lock;
	uint64_t log_written;
};

/* What a command came to. */
struct fw_result {
	enum metis_fw_reason reason;
	struct reason why;
	uint32_t module;
	uint64_t device_ns;
};

/* --- firmware_area.c --- */
void fw_boot_areas(struct card_firmware *fw, bool keep_host_driver);
/* The context area's word for the host: METIS_FW_STS(). Needs fw->lock. */
void fw_set_sts(struct card_firmware *fw, unsigned int context, uint64_t sts);
void fw_read_cmd(struct card_firmware *fw, unsigned int context, uint64_t *ret_cmd,
		 uint64_t *ret_arg);
void fw_set_ignored(struct card_firmware *fw);

/* --- firmware_command.c --- */
/*
 * Do @command for @worker's context. @ret_reply: where the host wants the reply, NULL when there
 * is no request to reply to. Called without locks.
 */
void fw_command_execute(struct fw_worker *worker, const struct fw_command *command,
			struct fw_result *ret_result, struct metis_fw_reply **ret_reply);
/* 0 or the negative errno a reason stands for. */
int fw_reason_errno(enum metis_fw_reason reason);
/* Drop a reference; the last one unloads. Called without locks. */
void fw_module_put(struct card_firmware *fw, struct fw_module *module);

/* --- firmware_irq.c --- */
/* Return: 0, also when there is nothing to mirror; negative errno. */
int fw_mirror_start(struct card_firmware *fw);
/* Waits for a word that is on its way; what is due later is dropped. */
void fw_mirror_stop(struct card_firmware *fw);
/* Nothing is due any more. Needs fw->lock. */
void fw_mirror_forget(struct card_firmware *fw);
/* Needs fw->lock. */
bool fw_mirror_idle(const struct card_firmware *fw);

/* --- firmware_log.c --- */
void fw_log_reset(struct card_firmware *fw, bool clear);
/* A line for the log ring; no '\n'. */
void fw_log(struct card_firmware *fw, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* One printable ASCII line of less than @bytes from a chain of reasons, outermost first. */
void fw_reason_line(const struct reason *why, char *ret_line, size_t bytes);

#endif
