/* SPDX-License-Identifier: MIT */
/*
 * What the card's parts know of each other. Nothing outside card/ includes this.
 *
 * Locks, in this order: faults.lock, firmware.lock, edma.lock, pci.lock. Leaves below
 * firmware.lock: its log_lock, and an engine's gate. No bus function is called with one held.
 */
#ifndef TETHYS_CARD_INTERNAL_H
#define TETHYS_CARD_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "card/card.h"
#include "card/fault.h"
#include "card/personality.h"

struct card_pci;
struct card_edma;
struct card_memory;
struct card_firmware;
struct card_ticket; /* bus.h */

struct card {
	struct card_config config;
	const struct card_personality *personality;
	struct card_pci *pci;
	struct card_memory *memory;
	struct card_edma *edma;
	struct card_firmware *firmware;
	/* The bus and who is using it: card_bus_*() in bus.c. */
	struct card_bus_gate *gate;
	struct card_faults faults;
	/* L2 could not be replaced when the last owner left, who may still have it mapped. */
	_Atomic bool l2_stale;
	_Atomic uint64_t stats[sizeof(struct card_stats) / sizeof(uint64_t)];
};

#define CARD_COUNT_BY(card, field, n)                                                          \
	atomic_fetch_add_explicit(&(card)->stats[offsetof(struct card_stats, field) / 8], (n), \
				  memory_order_relaxed)
#define CARD_COUNT(card, field) CARD_COUNT_BY(card, field, 1)

/* --- bus.c: interrupts --- */
/* MSI @number through the MSI capability (all numbers on vector 0 while the host gave only one). */
void card_msi(struct card *card, unsigned int number);
/*
 * An IMWr: @data to @addr. Equal to a message of the MSI capability: that MSI. Any other: refused
 * and counted, or sent as it is when the configuration asks for it.
 */
int card_imwr(struct card *card, uint64_t addr, uint32_t data);

/* --- memory.c --- */
int card_memory_create(struct card *card, struct card_memory **ret_memory);
void card_memory_destroy(struct card_memory *memory);
/* Card memory [@addr, @addr + @len): NULL when it is empty or not wholly in L2 or in DDR. */
void *card_memory_at(struct card *card, uint64_t addr, uint64_t len);
void *card_memory_l2(struct card_memory *memory, int *ret_fd);
/* Give all of DDR and L2 back to the system: they read as zeros. */
void card_memory_clear(struct card_memory *memory);
/*
 * Another L2, all zeros, at the same address. Whoever has the old descriptor keeps the old one.
 * Return: 0; negative errno, nothing has changed.
 */
int card_memory_renew_l2(struct card_memory *memory);

/* --- pci.c: configuration space --- */
int card_pci_create(struct card *card, struct card_pci **ret_pci);
void card_pci_destroy(struct card_pci *pci);
void card_pci_read(struct card *card, uint32_t offset, void *buf, size_t len);
void card_pci_write(struct card *card, uint32_t offset, const void *buf, size_t len);
void card_pci_reset(struct card_pci *pci);
bool card_pci_bus_master(const struct card_pci *pci);
/* The MSI message in force. False: MSI is off. @ret_vectors is a power of two, 1-32. */
bool card_pci_msi_message(const struct card_pci *pci, uint64_t *ret_addr, uint32_t *ret_data,
			  unsigned int *ret_vectors);
/* True when @vector may be sent now; else its pending bit is set (cleared and sent on unmask). */
bool card_pci_msi_admit(struct card_pci *pci, unsigned int vector);

/* --- edma.c --- */
int card_edma_create(struct card *card, struct card_edma **ret_edma);
void card_edma_destroy(struct card_edma *edma);
uint32_t card_edma_read(struct card *card, uint32_t offset);
void card_edma_write(struct card *card, uint32_t offset, uint32_t value);
/*
 * Stop all channels, registers to reset values; IMWr and list pointers stay when @keep_imwr, engine
 * enables unless @cold. Does not wait: a worker may still be in the bus with its chunk, and changes
 * nothing and calls nobody after it.
 */
void card_edma_reset(struct card_edma *edma, bool keep_imwr, bool cold);
bool card_edma_idle(const struct card_edma *edma);

/* --- firmware.c --- */
int card_firmware_create(struct card *card, struct card_firmware **ret_firmware,
			 struct reason *why);
void card_firmware_destroy(struct card_firmware *firmware);
/* The host stored to L2 below METIS_FW_TRAPPED_BYTES; the bytes are already in memory. */
void card_firmware_l2_written(struct card *card, uint32_t offset, size_t len);
/*
 * Forget all commands and modules, boot again; @keep_host_driver keeps that area's content. Does
 * not wait: engines may be at work for a while, but what they do has no effect any more.
 */
void card_firmware_reset(struct card_firmware *firmware, bool keep_host_driver, bool cold);
bool card_firmware_idle(const struct card_firmware *firmware);
/*
 * Interrupt @number the firmware's way: its virtual-MSI word in host memory where host-driver area
 * and personality have it, then the MSI, each unless @ticket is void. May do DMA: never from a
 * register access.
 */
void card_firmware_raise(struct card *card, unsigned int number, const struct card_ticket *ticket);
/*
 * An eDMA channel is done with a remote interrupt asked for. True: the firmware has raised the
 * interrupt itself (dma_vm), no IMWr is to be sent.
 */
bool card_firmware_dma_done(struct card *card, unsigned int number,
			    const struct card_ticket *ticket);
/*
 * Else, after the IMWr: some milliseconds later the firmware sets the virtual-MSI word, where it
 * mirrors channels. Does not wait.
 */
void card_firmware_dma_told(struct card *card, unsigned int number,
			    const struct card_ticket *ticket);

/* --- thread.c --- */
/*
 * A thread that gets none of the process's signals. @stack_bytes 0: the system's default.
 * Return: 0; negative errno.
 */
int card_thread_create(pthread_t *ret_thread, size_t stack_bytes, void *(*run)(void *), void *arg);

#endif
