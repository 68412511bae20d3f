/* SPDX-License-Identifier: MIT */
/*
 * A client of QEMU's monitor (QMP). It waits by itself, not in a lab_loop: what it is for takes a
 * moment or goes wrong.
 */
#ifndef TETHYS_LAB_QMP_H
#define TETHYS_LAB_QMP_H

#include <json-c/json.h>

#include "common/reason.h"

struct lab_qmp;

/**
 * lab_qmp_connect() - connect, and leave the phase of negotiation
 * @socket_path: QEMU listens there already; 2 s for its greeting
 *
 * Return: 0; -ENOENT, -ECONNREFUSED no QEMU; -ENAMETOOLONG; -ETIMEDOUT; -EPROTO no QMP; -EPIPE it
 * went away; -ENOMEM.
 */
int lab_qmp_connect(const char *socket_path, struct lab_qmp **ret_qmp, struct reason *why);
void lab_qmp_destroy(struct lab_qmp *qmp); /* NULL is fine */

/**
 * lab_qmp_execute() - run a command to its end
 * @arguments: owned by the call from now on; may be NULL
 * @ret_result: what it returned, to be put; may be NULL
 *
 * Return: 0; -EREMOTEIO QEMU refused, with its words as the reason; -ENODEV the same, for want of
 * such a device; -ETIMEDOUT, -EPIPE, -EPROTO, -ENOMEM.
 */
int lab_qmp_execute(struct lab_qmp *qmp, const char *command, struct json_object *arguments,
		    int timeout_ms, struct json_object **ret_result, struct reason *why);

/**
 * lab_qmp_wait() - wait for an event
 * @event: as DEVICE_DELETED
 * @device: of which it must tell; NULL: any
 *
 * One that came since the connection was made and nobody waited for yet counts. The last 64 are
 * kept.
 *
 * Return: 0; -ETIMEDOUT, -EPIPE, -EPROTO, -ENOMEM.
 */
int lab_qmp_wait(struct lab_qmp *qmp, const char *event, const char *device, int timeout_ms,
		 struct reason *why);

/**
 * lab_qmp_unplug_card() - take the card out of the host VM, dead or alive
 *
 * Its kernel is asked by the slot's button, and answers after the five seconds it leaves to a
 * human for a second thought. It takes the card for a sound one then: who has a dead card open
 * waits for its resets to end, up to 65 s for each way to reset. Where that matters, first pull
 * the card in the host VM, by one 16-bit write of 0x07d1 to the Slot Control register of
 * LAB_HOST_PORT (PCIe capability + 0x18), and one of 0x01f1 after it: power off with the interrupt
 * masked, then on with the interrupt, which the kernel takes for a card that is gone.
 *
 * Return: 0, also when no card is in; as lab_qmp_execute().
 */
int lab_qmp_unplug_card(struct lab_qmp *qmp, int timeout_ms, struct reason *why);
/**
 * lab_qmp_plug_card() - put a card in
 *
 * Takes 1.5 s: so long it must have stayed in.
 *
 * Return: 0; -ETIMEDOUT it does not stay in; as lab_qmp_execute().
 */
int lab_qmp_plug_card(struct lab_qmp *qmp, const char *card_socket, int timeout_ms,
		      struct reason *why);

/* lab_qmp_replace_card() - unplug the card, plug another. Return: as above. */
int lab_qmp_replace_card(struct lab_qmp *qmp, const char *card_socket, int timeout_ms,
			 struct reason *why);

#endif
