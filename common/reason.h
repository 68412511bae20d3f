/* SPDX-License-Identifier: MIT */
/*
 * A failure in words: lines, innermost first, each added by the layer that gave up.
 */
#ifndef TETHYS_COMMON_REASON_H
#define TETHYS_COMMON_REASON_H

#define REASON_BYTES 1024

struct reason {
	char text[REASON_BYTES]; /* lines joined by '\n', none at the end; "" = no reason yet */
};

/**
 * reason_add() - add an outer line to a chain of reasons
 * @why: the chain; may be NULL, then nothing is kept
 * @err: negative errno to hand on
 * @fmt: printf format of one line, without '\n'
 *
 * When the chain is full the innermost lines stay: they say most.
 *
 * Return: @err, so that "return reason_add(why, -EINVAL, ...)" reads as one step.
 */
int reason_add(struct reason *why, int err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* In sight of compiler and analysers, which else take a failure for a possible 0. */
#define reason_add(why, err, ...)                           \
	({                                                  \
		int reason_err = (err);                     \
		(reason_add)(why, reason_err, __VA_ARGS__); \
		reason_err;                                 \
	})

#endif
