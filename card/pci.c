// SPDX-License-Identifier: MIT
/*
 * Configuration space: bytes with a write mask, and the few writes that have effects.
 */
#include <errno.h>
#include <linux/pci_regs.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <tethys/hw/pci.h>

#include "card/bus.h"
#include "card/internal.h"

#define MSI_BYTES 0x18
#define EXP_FLR_BYTE (METIS_CAP_EXP + PCI_EXP_DEVCTL + 1)
#define EXP_FLR_BIT (PCI_EXP_DEVCTL_BCR_FLR >> 8)

struct card_pci {
	pthread_mutex_t lock; /* protects all below but @bus_master */
	uint8_t config[METIS_PCI_CFG_BYTES];
	uint8_t rw[METIS_PCI_CFG_BYTES];  /* bits the host may store */
	uint8_t w1c[METIS_PCI_CFG_BYTES]; /* bits the host clears with a 1 */
	uint32_t pending;		  /* MSIs held back by their mask */
	/* Set under @lock; read by every DMA and interrupt without it. */
	_Atomic bool bus_master;
};

/* One register: reset value, bits the host may store, bits it clears with a 1. */
struct pci_reg {
	uint16_t offset;
	uint8_t bytes;
	uint32_t value;
	uint32_t rw;
	uint32_t w1c;
};

#define EXP(reg) (METIS_CAP_EXP + (reg))
#define AER(reg) (METIS_ECAP_AER + (reg))
#define MSI(reg) (METIS_CAP_MSI + (reg))

#define COMMAND_BITS                                                                       \
	(PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_PARITY | PCI_COMMAND_SERR | \
	 PCI_COMMAND_INTX_DISABLE)
#define STATUS_CLEARABLE                                                                 \
	(PCI_STATUS_PARITY | PCI_STATUS_SIG_TARGET_ABORT | PCI_STATUS_REC_TARGET_ABORT | \
	 PCI_STATUS_REC_MASTER_ABORT | PCI_STATUS_SIG_SYSTEM_ERROR | PCI_STATUS_DETECTED_PARITY)
#define MSI_CONTROL \
	(5 << METIS_SHIFT(PCI_MSI_FLAGS_QMASK) | PCI_MSI_FLAGS_64BIT | PCI_MSI_FLAGS_MASKBIT)
#define EXP_FLAGS (2 | PCI_EXP_TYPE_ENDPOINT << METIS_SHIFT(PCI_EXP_FLAGS_TYPE))
#define EXP_DEVCAP (1 | PCI_EXP_DEVCAP_EXT_TAG | PCI_EXP_DEVCAP_RBER | PCI_EXP_DEVCAP_FLR)
#define EXP_DEVCTL \
	(PCI_EXP_DEVCTL_RELAX_EN | PCI_EXP_DEVCTL_NOSNOOP_EN | PCI_EXP_DEVCTL_READRQ_512B)
#define EXP_DEVCTL_BITS                                                          \
	(METIS_BITS(7, 0) | PCI_EXP_DEVCTL_EXT_TAG | PCI_EXP_DEVCTL_NOSNOOP_EN | \
	 PCI_EXP_DEVCTL_READRQ)
#define EXP_LNKCAP                                                                        \
	(PCI_EXP_LNKCAP_SLS_8_0GB | METIS_LINK_LANES << METIS_SHIFT(PCI_EXP_LNKCAP_MLW) | \
	 METIS_BIT(22)) /* ASPM optionality: required from 3.0 on */
#define EXP_LNKSTA                                                                 \
	(PCI_EXP_LNKSTA_CLS_8_0GB | METIS_LINK_LANES << PCI_EXP_LNKSTA_NLW_SHIFT | \
	 PCI_EXP_LNKSTA_SLC)
#define EXP_LNKCTL_BITS \
	(PCI_EXP_LNKCTL_ASPMC | PCI_EXP_LNKCTL_RCB | PCI_EXP_LNKCTL_CCC | PCI_EXP_LNKCTL_ES)
/* Equalization and its three phases have succeeded, as after any training to 8 GT/s. */
#define EXP_LNKSTA2 METIS_BITS(4, 1)
#define AER_UNCOR_BITS (METIS_BITS(26, 12) | METIS_BITS(5, 4))
#define AER_COR_BITS (METIS_BITS(15, 12) | METIS_BITS(8, 6) | METIS_BIT(0))

/* Everything else is 0 and stays so: no I/O, no expansion ROM, no INTx, no MSI-X. */
static const struct pci_reg regs[] = {
	{PCI_VENDOR_ID, 2, METIS_PCI_VENDOR, 0, 0},
	{PCI_DEVICE_ID, 2, METIS_PCI_DEVICE_OMEGA, 0, 0},
	{PCI_COMMAND, 2, 0, COMMAND_BITS, 0},
	{PCI_STATUS, 2, PCI_STATUS_CAP_LIST, 0, STATUS_CLEARABLE},
	{PCI_CLASS_REVISION, 4, METIS_PCI_CLASS << 8 | METIS_PCI_REVISION, 0, 0},
	{PCI_CACHE_LINE_SIZE, 1, 0, 0xff, 0},
	{PCI_BASE_ADDRESS_0, 4, PCI_BASE_ADDRESS_MEM_TYPE_64, ~(METIS_BAR_EDMA_BYTES - 1), 0},
	{PCI_BASE_ADDRESS_1, 4, 0, 0xffffffff, 0},
	{PCI_BASE_ADDRESS_2, 4, 0, ~(METIS_BAR_L2_BYTES - 1), 0},
	/* Guess: the ids once more; no driver looks at them. */
	{PCI_SUBSYSTEM_VENDOR_ID, 2, METIS_PCI_VENDOR, 0, 0},
	{PCI_SUBSYSTEM_ID, 2, METIS_PCI_DEVICE_OMEGA, 0, 0},
	{PCI_CAPABILITY_LIST, 1, METIS_CAP_PM, 0, 0},
	{PCI_INTERRUPT_LINE, 1, 0, 0xff, 0},

	{METIS_CAP_PM, 2, METIS_CAP_MSI << 8 | PCI_CAP_ID_PM, 0, 0},
	{METIS_CAP_PM + PCI_PM_PMC, 2, 3, 0, 0},
	{METIS_CAP_PM + PCI_PM_CTRL, 2, PCI_PM_CTRL_NO_SOFT_RESET, PCI_PM_CTRL_STATE_MASK, 0},

	{METIS_CAP_MSI, 2, METIS_CAP_EXP << 8 | PCI_CAP_ID_MSI, 0, 0},
	{MSI(METIS_MSI_CONTROL), 2, MSI_CONTROL, PCI_MSI_FLAGS_ENABLE | PCI_MSI_FLAGS_QSIZE, 0},
	{MSI(METIS_MSI_ADDR_LO), 4, 0, 0xfffffffc, 0},
	{MSI(METIS_MSI_ADDR_HI), 4, 0, 0xffffffff, 0},
	{MSI(METIS_MSI_DATA), 2, 0, 0xffff, 0},
	{MSI(METIS_MSI_MASK), 4, 0, 0xffffffff, 0},

	{METIS_CAP_EXP, 2, PCI_CAP_ID_EXP, 0, 0},
	{EXP(PCI_EXP_FLAGS), 2, EXP_FLAGS, 0, 0},
	{EXP(PCI_EXP_DEVCAP), 4, EXP_DEVCAP, 0, 0},
	{EXP(PCI_EXP_DEVCTL), 2, EXP_DEVCTL, EXP_DEVCTL_BITS, 0},
	{EXP(PCI_EXP_DEVSTA), 2, 0, 0, METIS_BITS(3, 0)},
	{EXP(PCI_EXP_LNKCAP), 4, EXP_LNKCAP, 0, 0},
	{EXP(PCI_EXP_LNKCTL), 2, 0, EXP_LNKCTL_BITS, 0},
	{EXP(PCI_EXP_LNKSTA), 2, EXP_LNKSTA, 0, 0},
	{EXP(PCI_EXP_DEVCAP2), 4, PCI_EXP_DEVCAP2_COMP_TMOUT_DIS, 0, 0},
	{EXP(PCI_EXP_DEVCTL2), 2, 0, PCI_EXP_DEVCTL2_COMP_TMOUT_DIS, 0},
	{EXP(PCI_EXP_LNKCAP2), 4, METIS_BITS(3, 1), 0, 0}, /* 2.5, 5, 8 GT/s */
	{EXP(PCI_EXP_LNKCTL2), 2, PCI_EXP_LNKCTL2_TLS_8_0GT, PCI_EXP_LNKCTL2_TLS, 0},
	{EXP(PCI_EXP_LNKSTA2), 2, EXP_LNKSTA2, 0, 0},

	{METIS_ECAP_AER, 4, 2 << 16 | PCI_EXT_CAP_ID_ERR, 0, 0},
	{AER(PCI_ERR_UNCOR_STATUS), 4, 0, 0, AER_UNCOR_BITS},
	{AER(PCI_ERR_UNCOR_MASK), 4, 0, AER_UNCOR_BITS, 0},
	{AER(PCI_ERR_UNCOR_SEVER), 4, 0x00462030, AER_UNCOR_BITS, 0},
	{AER(PCI_ERR_COR_STATUS), 4, 0, 0, AER_COR_BITS},
	{AER(PCI_ERR_COR_MASK), 4, PCI_ERR_COR_ADV_NFAT, AER_COR_BITS, 0},
};

_Static_assert(METIS_LINK_GTS == 8, "the link registers above say 8 GT/s");
_Static_assert(METIS_MSI_VECTORS == 1 << 5, "MSI_CONTROL says 32 vectors");
_Static_assert(METIS_CAP_MSI + MSI_BYTES <= METIS_CAP_EXP, "capabilities do not overlap");

static void put(uint8_t *at, uint32_t value, unsigned int bytes)
{
	unsigned int i;

	for (i = 0; i < bytes; i++)
		at[i] = value >> 8 * i;
}

static uint32_t get(const uint8_t *at, unsigned int bytes)
{
	uint32_t value = 0;

	while (bytes--)
		value = value << 8 | at[bytes];
	return value;
}

/* @pci->lock is held, or nobody else knows of @pci. */
static void config_init(struct card_pci *pci)
{
	size_t i;

	memset(pci->config, 0, sizeof(pci->config));
	for (i = 0; i < sizeof(regs) / sizeof(regs[0]); i++) {
		put(pci->config + regs[i].offset, regs[i].value, regs[i].bytes);
		put(pci->rw + regs[i].offset, regs[i].rw, regs[i].bytes);
		put(pci->w1c + regs[i].offset, regs[i].w1c, regs[i].bytes);
	}
	pci->pending = 0;
	atomic_store(&pci->bus_master, false);
}

int card_pci_create(struct card *card, struct card_pci **ret_pci)
{
	struct card_pci *pci = calloc(1, sizeof(*pci));

	(void)card;
	if (!pci)
		return -ENOMEM;
	pthread_mutex_init(&pci->lock, NULL);
	config_init(pci);
	*ret_pci = pci;
	return 0;
}

void card_pci_destroy(struct card_pci *pci)
{
	if (!pci)
		return;
	pthread_mutex_destroy(&pci->lock);
	free(pci);
}

/*
 * All to power-on values. The specification lets some bits of AER and of the link outlive an FLR;
 * hosts save and restore them, nothing tells the difference.
 */
void card_pci_reset(struct card_pci *pci)
{
	pthread_mutex_lock(&pci->lock);
	config_init(pci);
	pthread_mutex_unlock(&pci->lock);
}

/* @pci->lock is held. */
static bool msi_enabled(const struct card_pci *pci)
{
	return pci->config[MSI(METIS_MSI_CONTROL)] & PCI_MSI_FLAGS_ENABLE;
}

/* @pci->lock is held. Return: vectors the host gave; 6 and 7 are reserved codes. */
static unsigned int msi_vectors(const struct card_pci *pci)
{
	uint32_t code = METIS_GET(PCI_MSI_FLAGS_QSIZE, pci->config[MSI(METIS_MSI_CONTROL)]);

	return code > 5 ? METIS_MSI_VECTORS : 1u << code;
}

/* @pci->lock is held. Return: pending vectors that may go now; they are not pending any more. */
static uint32_t msi_release(struct card_pci *pci)
{
	uint32_t mask = get(pci->config + MSI(METIS_MSI_MASK), 4);
	uint32_t due;

	if (!msi_enabled(pci)) {
		/* Whoever enables MSI next must not get an interrupt of before. */
		pci->pending = 0;
		return 0;
	}
	if (!pci->bus_master)
		return 0;
	due = pci->pending & ~mask & METIS_BITS(msi_vectors(pci) - 1, 0);
	pci->pending &= ~due;
	return due;
}

/* @pci->lock is held. */
static void store(struct card_pci *pci, uint32_t offset, const uint8_t *bytes, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++) {
		uint8_t rw = pci->rw[offset + i];
		uint8_t *at = pci->config + offset + i;

		*at = (*at & ~rw) | (bytes[i] & rw);
		*at &= ~(bytes[i] & pci->w1c[offset + i]);
	}
}

/* @pci->lock is held. What a store means beyond its bits. */
static void settle(struct card_pci *pci, uint8_t power_before)
{
	uint8_t *power = pci->config + METIS_CAP_PM + PCI_PM_CTRL;
	uint8_t state = *power & PCI_PM_CTRL_STATE_MASK;

	/* D1 and D2 do not exist: asking for them changes nothing. */
	if (state == 1 || state == 2) {
		state = power_before & PCI_PM_CTRL_STATE_MASK;
		*power = (*power & ~PCI_PM_CTRL_STATE_MASK) | state;
	}
	/* A function in D3hot may not start anything on the bus either. */
	atomic_store(&pci->bus_master, pci->config[PCI_COMMAND] & PCI_COMMAND_MASTER && state == 0);
}

static bool asks_for_flr(uint32_t offset, const uint8_t *bytes, size_t len)
{
	return offset <= EXP_FLR_BYTE && EXP_FLR_BYTE - offset < len &&
	       bytes[EXP_FLR_BYTE - offset] & EXP_FLR_BIT;
}

void card_pci_write(struct card *card, uint32_t offset, const void *buf, size_t len)
{
	struct card_pci *pci = card->pci;
	unsigned int vector;
	uint32_t due;

	if (asks_for_flr(offset, buf, len)) {
		/* Done before the write is: nothing else tells the transport of it. */
		card_reset(card, CARD_RESET_FLR);
		return;
	}
	pthread_mutex_lock(&pci->lock);
	uint8_t power = pci->config[METIS_CAP_PM + PCI_PM_CTRL];
	store(pci, offset, buf, len);
	settle(pci, power);
	due = msi_release(pci);
	pthread_mutex_unlock(&pci->lock);

	for (vector = 0; due; vector++, due >>= 1)
		if (due & 1)
			card_msi_send(card, vector);
}

void card_pci_read(struct card *card, uint32_t offset, void *buf, size_t len)
{
	struct card_pci *pci = card->pci;

	pthread_mutex_lock(&pci->lock);
	put(pci->config + MSI(METIS_MSI_PENDING), pci->pending, 4);
	memcpy(buf, pci->config + offset, len);
	pthread_mutex_unlock(&pci->lock);
}

bool card_pci_bus_master(const struct card_pci *pci)
{
	return atomic_load(&pci->bus_master);
}

bool card_pci_msi_message(const struct card_pci *pci, uint64_t *ret_addr, uint32_t *ret_data,
			  unsigned int *ret_vectors)
{
	/* The lock is no part of what const promises. */
	struct card_pci *writable = (struct card_pci *)(uintptr_t)pci;
	bool enabled;

	pthread_mutex_lock(&writable->lock);
	enabled = msi_enabled(pci);
	if (enabled) {
		*ret_addr = (uint64_t)get(pci->config + MSI(METIS_MSI_ADDR_HI), 4) << 32 |
			    get(pci->config + MSI(METIS_MSI_ADDR_LO), 4);
		*ret_data = get(pci->config + MSI(METIS_MSI_DATA), 2);
		*ret_vectors = msi_vectors(pci);
	}
	pthread_mutex_unlock(&writable->lock);
	return enabled;
}

bool card_pci_msi_admit(struct card_pci *pci, unsigned int vector)
{
	bool admit = false;

	pthread_mutex_lock(&pci->lock);
	if (msi_enabled(pci)) {
		admit = !(get(pci->config + MSI(METIS_MSI_MASK), 4) & METIS_BIT(vector));
		if (!admit)
			pci->pending |= METIS_BIT(vector);
	}
	pthread_mutex_unlock(&pci->lock);
	return admit;
}
