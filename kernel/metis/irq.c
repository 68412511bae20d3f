// SPDX-License-Identifier: GPL-2.0-only
/*
 * Interrupts: vectors, the card's numbers, and the messages the eDMA sends itself.
 *
 * With 32 vectors, vector n is number n. A machine that can't give so many gives one (x86 without
 * interrupt remapping: every plain guest), and what it means has to be looked for: virtual MSIs
 * where the firmware knows our buffer, states of contexts where it doesn't, and running transfers.
 */
#include <linux/interrupt.h>

#include "metis.h"

/* --- numbers --- */

void metis_number_up(struct metis_dev *mdev, unsigned int number)
{
	struct metis_number *num = &mdev->number[number];
	struct metis_attach *attach;
	unsigned long flags;

	spin_lock_irqsave(&mdev->irq_lock, flags);
	if (num->count != U32_MAX)
		num->count++;
	num->seen++;
	list_for_each_entry(attach, &num->files, of_number)
		metis_file_event(attach->file);
	spin_unlock_irqrestore(&mdev->irq_lock, flags);
	wake_up(&num->wait);
}

static struct metis_chan *channel_of(struct metis_dev *mdev, unsigned int number)
{
	if (number < METIS_IRQ_DMA_READ(0) || number > METIS_IRQ_DMA_WRITE(METIS_EDMA_CHANNELS - 1))
		return NULL;
	return number < METIS_IRQ_DMA_WRITE(0)
		       ? &mdev->chan[true][number - METIS_IRQ_DMA_READ(0)]
		       : &mdev->chan[false][number - METIS_IRQ_DMA_WRITE(0)];
}

void metis_signal(struct metis_dev *mdev, unsigned int number)
{
	struct metis_chan *ch = channel_of(mdev, number);

	metis_number_up(mdev, number);
	if (ch)
		metis_chan_signal(ch);
}

static bool take(struct metis_dev *mdev, unsigned int number)
{
	struct metis_number *num = &mdev->number[number];
	unsigned long flags;
	bool taken;

	spin_lock_irqsave(&mdev->irq_lock, flags);
	taken = num->count;
	if (taken)
		num->count--;
	spin_unlock_irqrestore(&mdev->irq_lock, flags);
	return taken;
}

static bool take_or_gone(struct metis_dev *mdev, unsigned int number, bool *ret_taken)
{
	*ret_taken = take(mdev, number);
	return *ret_taken || metis_state(mdev) != METIS_UP;
}

int metis_number_wait(struct metis_dev *mdev, unsigned int number, long timeout)
{
	bool taken = false;
	long left;

	left = wait_event_interruptible_timeout(mdev->number[number].wait,
						take_or_gone(mdev, number, &taken), timeout);
	if (taken)
		return 0;
	if (left < 0)
		return left;
	return metis_state(mdev) == METIS_UP ? -ETIMEDOUT : -ENODEV;
}

void metis_number_clean(struct metis_dev *mdev, unsigned int number)
{
	unsigned long flags;

	spin_lock_irqsave(&mdev->irq_lock, flags);
	mdev->number[number].count = 0;
	spin_unlock_irqrestore(&mdev->irq_lock, flags);
}

void metis_number_attach(struct metis_dev *mdev, struct metis_attach *attach)
{
	unsigned long flags;

	spin_lock_irqsave(&mdev->irq_lock, flags);
	list_add_tail(&attach->of_number, &mdev->number[attach->number].files);
	spin_unlock_irqrestore(&mdev->irq_lock, flags);
}

void metis_number_detach(struct metis_dev *mdev, struct metis_attach *attach)
{
	unsigned long flags;

	spin_lock_irqsave(&mdev->irq_lock, flags);
	list_del_init(&attach->of_number);
	spin_unlock_irqrestore(&mdev->irq_lock, flags);
}

void metis_wake_all(struct metis_dev *mdev)
{
	struct metis_file *file;
	unsigned int i;

	for (i = 0; i < METIS_VMSI_WORDS; i++)
		wake_up_all(&mdev->number[i].wait);
	for (i = 0; i < METIS_CHANNELS; i++)
		wake_up_all(&metis_channel(mdev, i)->wait);
	wake_up_all(&mdev->msg_wait);
	mutex_lock(&mdev->files_lock);
	list_for_each_entry(file, &mdev->files, of_device)
		wake_up_all(&file->wait);
	mutex_unlock(&mdev->files_lock);
}

/* --- handlers --- */

/* Did the firmware set the flag? Taken in one piece, so that one set meanwhile isn't lost. */
static bool take_virtual(struct metis_dev *mdev, unsigned int number)
{
	return READ_ONCE(mdev->vmsi[number]) && (xchg(&mdev->vmsi[number], 0) & METIS_VMSI_SET);
}

/* Return: there were some. */
static bool signal_virtual(struct metis_dev *mdev, unsigned int first)
{
	bool any = false;
	unsigned int i;

	if (!mdev->vmsi)
		return false;
	for (i = first; i < mdev->fw.numbers; i++) {
		if (!take_virtual(mdev, i))
			continue;
		metis_signal(mdev, i);
		any = true;
	}
	return any;
}

static irqreturn_t handle_one_of_32(int irq, void *data)
{
	struct metis_dev *mdev = data;
	unsigned int number = irq - mdev->irq;

	if (mdev->vmsi)
		take_virtual(mdev, number);
	metis_signal(mdev, number);
	signal_virtual(mdev, METIS_IRQ_NR);
	return IRQ_HANDLED;
}

static bool is_awaited(struct metis_dev *mdev, unsigned int number)
{
	struct metis_number *num = &mdev->number[number];

	return wq_has_sleeper(&num->wait) || !list_empty_careful(&num->files);
}

static bool is_over(u64 state)
{
	return (s32)lower_32_bits(state) <= 0;
}

/* What the flags told of needn't be told again. */
static void note_contexts(struct metis_dev *mdev)
{
	unsigned int n;

	for (n = 0; n < METIS_CORES; n++)
		mdev->told[n] = metis_context_state(mdev, n);
}

/*
 * @news: only of state words that have changed since the last time, as of firmware that counts its
 * commands there. Else an interrupt may be of any context that isn't busy.
 */
static void signal_contexts(struct metis_dev *mdev, bool news)
{
	unsigned int n;
	u64 state;

	for (n = 0; n < METIS_CORES; n++) {
		if (!is_awaited(mdev, METIS_IRQ_CONTEXT(n)))
			continue;
		state = metis_context_state(mdev, n);
		if (!is_over(state) || (news && state == mdev->told[n]))
			continue;
		mdev->told[n] = state;
		metis_signal(mdev, METIS_IRQ_CONTEXT(n));
	}
}

static void signal_channels(struct metis_dev *mdev)
{
	struct metis_chan *ch;
	unsigned int i;

	for (i = 0; i < METIS_CHANNELS; i++) {
		ch = metis_channel(mdev, i);
		if (READ_ONCE(ch->awaited))
			metis_chan_signal(ch);
	}
}

static irqreturn_t handle_the_only_one(int irq, void *data)
{
	struct metis_dev *mdev = data;
	bool flags = mdev->vmsi && mdev->fw.host_driver;

	if (!flags) {
		metis_signal(mdev, METIS_IRQ_MESSAGE);
		metis_signal(mdev, METIS_IRQ_AXE_MESSAGE);
		signal_contexts(mdev, false);
	} else if (signal_virtual(mdev, 0)) {
		note_contexts(mdev);
	} else if (metis_heals()) {
		/* The flags may land elsewhere: at an older owner's address that firmware kept. */
		signal_contexts(mdev, true);
	}
	if (!flags || metis_params.check_done)
		signal_channels(mdev);
	return IRQ_HANDLED;
}

static int request_vectors(struct metis_dev *mdev)
{
	irq_handler_t handler = mdev->vectors == 1 ? handle_the_only_one : handle_one_of_32;
	int i, err;

	for (i = 0; i < mdev->vectors; i++) {
		err = request_irq(mdev->irq + i, handler, 0, METIS_NAME, mdev);
		if (!err)
			continue;
		metis_err(mdev, "interrupt %d can't be had: %d\n", mdev->irq + i, err);
		while (i--)
			free_irq(mdev->irq + i, mdev);
		return err;
	}
	return 0;
}

static int alloc_vectors(struct metis_dev *mdev)
{
	int wanted = metis_params.single_msi ? 1 : METIS_IRQ_NR, got;

	got = pci_alloc_irq_vectors(mdev->pdev, 1, wanted, PCI_IRQ_MSI);
	if (got == 1 || got == METIS_IRQ_NR)
		return got;
	if (got < 0) {
		metis_err(mdev, "no MSI to be had: %d\n", got);
		return got;
	}
	/* With fewer the card would fold its numbers in a way that nobody documents. */
	pci_free_irq_vectors(mdev->pdev);
	return pci_alloc_irq_vectors(mdev->pdev, 1, 1, PCI_IRQ_MSI);
}

int metis_irq_init(struct metis_dev *mdev)
{
	int err;

	mdev->vectors = alloc_vectors(mdev);
	if (mdev->vectors < 0)
		return mdev->vectors;
	mdev->irq = pci_irq_vector(mdev->pdev, 0);
	err = request_vectors(mdev);
	if (err)
		pci_free_irq_vectors(mdev->pdev);
	return err;
}

void metis_irq_deinit(struct metis_dev *mdev)
{
	int i;

	for (i = 0; i < mdev->vectors; i++)
		free_irq(mdev->irq + i, mdev);
	pci_free_irq_vectors(mdev->pdev);
}

/* --- the eDMA's own messages --- */

/*
 * The engine doesn't use the MSI capability: it writes a word wherever it was told to. What the
 * kernel put into the capability is what it has to be told, in a guest the guest's message, which
 * only the host could translate. Channel data is 16 bits, as MSI data is.
 */
static u32 channel_data(struct metis_dev *mdev, const struct msi_msg *message, unsigned int number)
{
	/* No message at all is all zeroes. */
	if (!message->address_lo)
		return 0;
	/* The card numbers its vectors in the low bits of the data (PCI 3.0, 6.8.1.6). */
	return (message->data | (mdev->vectors == 1 ? 0 : number)) & U16_MAX;
}

/* irq_lock is held. */
static void write_messages(struct metis_dev *mdev, const struct msi_msg *message)
{
	static const u32 address[] = {METIS_EDMA_WR_DONE_IMWR_LO, METIS_EDMA_WR_ABORT_IMWR_LO,
				      METIS_EDMA_RD_DONE_IMWR_LO, METIS_EDMA_RD_ABORT_IMWR_LO};
	unsigned int i;
	u32 pair;

	for (i = 0; i < ARRAY_SIZE(address); i++) {
		writel(message->address_lo, mdev->edma + address[i]);
		writel(message->address_hi, mdev->edma + address[i] + 4);
	}
	for (i = 0; i < METIS_EDMA_CHANNELS; i += 2) {
		pair = channel_data(mdev, message, METIS_IRQ_DMA_WRITE(i)) |
		       channel_data(mdev, message, METIS_IRQ_DMA_WRITE(i + 1)) << 16;
		writel(pair, mdev->edma + METIS_EDMA_WR_CH01_IMWR_DATA + i / 2 * 4);
		pair = channel_data(mdev, message, METIS_IRQ_DMA_READ(i)) |
		       channel_data(mdev, message, METIS_IRQ_DMA_READ(i + 1)) << 16;
		writel(pair, mdev->edma + METIS_EDMA_RD_CH01_IMWR_DATA + i / 2 * 4);
	}
	mdev->message = *message;
}

static void tell(struct metis_dev *mdev, bool only_changes)
{
	struct msi_msg message = {};
	unsigned long flags;

	/* Firmware that sends the interrupts itself owns these registers. */
	if (mdev->fw.dma_vm)
		return;
	get_cached_msi_msg(mdev->irq, &message);
	spin_lock_irqsave(&mdev->irq_lock, flags);
	if (!only_changes || memcmp(&message, &mdev->message, sizeof(message)))
		write_messages(mdev, &message);
	spin_unlock_irqrestore(&mdev->irq_lock, flags);
}

void metis_irq_tell(struct metis_dev *mdev)
{
	tell(mdev, false);
}

void metis_irq_refresh(struct metis_dev *mdev)
{
	tell(mdev, true);
}

void metis_irq_untell(struct metis_dev *mdev)
{
	static const struct msi_msg nothing;
	unsigned long flags;

	if (mdev->fw.dma_vm)
		return;
	spin_lock_irqsave(&mdev->irq_lock, flags);
	write_messages(mdev, &nothing);
	spin_unlock_irqrestore(&mdev->irq_lock, flags);
}
