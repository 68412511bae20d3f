/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tethys/hw/memory.h>

#include "runtime/cards.h"

/*
 * A process has one set of cards, however many contexts it makes. The lock protects the list and
 * each card's references and cores; it is held while a card is opened or closed, so that two
 * threads never open the same one.
 */
static struct {
	pthread_mutex_t lock;
	struct card_handle *first;
} cards = {.lock = PTHREAD_MUTEX_INITIALIZER};

static bool differs(const char *asked, const char *has)
{
	return asked && strcmp(asked, has) != 0;
}

/* @card is open: does it do for somebody who asks for @options? */
static int check_options(const struct card_handle *card, const struct axdev_options *options,
			 struct reason *why)
{
	if (differs(options->engine, card->fw.engine))
		return reason_add(why, -ENOTUNIQ,
				  "%s is open in this process with engine %s, not %s", card->name,
				  card->fw.engine, options->engine);
	if (differs(options->personality, card->fw.personality))
		return reason_add(why, -ENOTUNIQ,
				  "%s is open in this process with personality %s, not %s",
				  card->name, card->fw.personality, options->personality);
	return 0;
}

/* A card that is gone is left to those who have it; a new open may find it back. */
static struct card_handle *find(const char *name)
{
	struct card_handle *card;

	for (card = cards.first; card; card = card->next)
		if (!strcmp(card->name, name) && !atomic_load(&card->fw.gone))
			return card;
	return NULL;
}

static int open_new(const char *name, const struct axdev_options *options,
		    struct card_handle **ret_card, struct reason *why)
{
	struct card_handle *card = calloc(1, sizeof(*card));
	int r;

	if (!card)
		return reason_add(why, -ENOMEM, "out of memory");
	snprintf(card->name, sizeof(card->name), "%s", name);
	r = axdev_open(name, options, &card->dev, why);
	if (!r) {
		r = fw_client_init(&card->fw, card->dev, why);
		if (r)
			axdev_close(card->dev);
	}
	if (r) {
		free(card);
		return r;
	}
	card->references = 1;
	card->next = cards.first;
	cards.first = card;
	*ret_card = card;
	return 0;
}

int cards_open(const char *name, const struct axdev_options *options, struct card_handle **ret_card,
	       struct reason *why)
{
	struct card_handle *card;
	int r;

	pthread_mutex_lock(&cards.lock);
	card = find(name);
	if (!card) {
		r = open_new(name, options, ret_card, why);
	} else {
		r = check_options(card, options, why);
		if (!r) {
			card->references++;
			*ret_card = card;
		}
	}
	pthread_mutex_unlock(&cards.lock);
	return r;
}

void cards_close(struct card_handle *card)
{
	struct card_handle **link;

	if (!card)
		return;
	pthread_mutex_lock(&cards.lock);
	if (!--card->references) {
		for (link = &cards.first; *link != card; link = &(*link)->next)
			;
		*link = card->next;
		fw_client_deinit(&card->fw);
		axdev_close(card->dev);
		free(card);
	}
	pthread_mutex_unlock(&cards.lock);
}

static uint32_t mask_of(unsigned int first, unsigned int count)
{
	return ((1u << count) - 1) << first;
}

/* Of a card that no other program shares. */
static int find_cores(const struct card_handle *card, unsigned int count, unsigned int *ret_first,
		      struct reason *why)
{
	unsigned int first;

	for (first = 0; first + count <= METIS_CORES; first++) {
		if (card->cores & mask_of(first, count))
			continue;
		*ret_first = first;
		return 0;
	}
	return reason_add(why, -EBUSY,
			  "%s: no %u adjacent cores are free: other connections of this process "
			  "have the rest",
			  card->name, count);
}

/* Cores that the driver shares out; another program may have left something behind. */
static int take_shared(struct card_handle *card, unsigned int count, unsigned int *ret_first,
		       struct reason *why)
{
	const struct axdev_ops *ops = card->dev->ops;
	unsigned int first, n;
	int r = ops->cores_take(card->dev, count, &first, why);

	if (r)
		return r;
	for (n = first; n < first + count && !r; n++)
		r = fw_client_adopt(&card->fw, n, why);
	if (r)
		ops->cores_give(card->dev, first);
	else
		*ret_first = first;
	return r;
}

int cards_take_cores(struct card_handle *card, unsigned int count, unsigned int *ret_first,
		     struct reason *why)
{
	unsigned int first;
	int r;

	pthread_mutex_lock(&cards.lock);
	r = card->dev->ops->cores_take ? take_shared(card, count, &first, why)
				       : find_cores(card, count, &first, why);
	if (!r) {
		card->cores |= mask_of(first, count);
		*ret_first = first;
	}
	pthread_mutex_unlock(&cards.lock);
	return r;
}

void cards_give_cores(struct card_handle *card, unsigned int first, unsigned int count)
{
	pthread_mutex_lock(&cards.lock);
	card->cores &= ~mask_of(first, count);
	if (card->dev->ops->cores_give)
		card->dev->ops->cores_give(card->dev, first);
	pthread_mutex_unlock(&cards.lock);
}

static void fill_look(struct card_look *look, const struct fw_client *fw, uint32_t cores)
{
	look->taken = (unsigned int)__builtin_popcount(cores);
	look->ddr_bytes = fw->ddr_bytes;
	memcpy(look->personality, fw->personality, sizeof(look->personality));
	look->has_board = fw->has_board;
	look->board = fw->board;
}

/*
 * Not entered into the list: nobody is to get a card opened like this. A simulated one is opened
 * without its usual engine, which takes long to start.
 */
static int look_inside(const char *name, struct card_look *ret_look, struct reason *why)
{
	const char *personality = getenv("TETHYS_SIM_PERSONALITY");
	const struct axdev_options options = {
		.engine = "null",
		.personality = personality && *personality ? personality : NULL,
	};
	struct fw_client *fw = calloc(1, sizeof(*fw));
	struct axdev *dev;
	int r;

	if (!fw)
		return reason_add(why, -ENOMEM, "out of memory");
	r = axdev_open(name, &options, &dev, why);
	if (!r) {
		r = fw_client_init(fw, dev, why);
		if (!r) {
			fill_look(ret_look, fw, 0);
			fw_client_deinit(fw);
		}
		axdev_close(dev);
	}
	free(fw);
	return r;
}

int cards_look(const char *name, struct card_look *ret_look, struct reason *why)
{
	struct card_handle *card;
	int r = 0;

	pthread_mutex_lock(&cards.lock);
	card = find(name);
	if (card)
		fill_look(ret_look, &card->fw, card->cores);
	else
		r = look_inside(name, ret_look, why);
	pthread_mutex_unlock(&cards.lock);
	return r;
}
