/* SPDX-License-Identifier: MIT */
/*
 * Between the lab's runner and the agent, which is process 1 in host VM and guest.
 *
 * A stream of frames over a virtio-serial port: header, then header.bytes bytes. All numbers are
 * little-endian. A port that gets a frame it doesn't understand answers LAB_FRAME_ERROR and goes
 * on; one whose lengths make no sense is closed.
 *
 * Ports by name: LAB_PORT_AGENT belongs to the runner and carries the kernel log as well;
 * LAB_PORT_SHELL is for "tethys lab shell", at any time beside it.
 *
 * When the runner's end of a port closes, commands it started are killed. Who opens it anew sends
 * LAB_FRAME_PING and skips what comes before LAB_FRAME_HELLO: it was for the one before.
 *
 * A guest's ports end in its QEMU, which must learn whether the runner is there. So in the host VM
 * the agent joins the port tethys.guestN.shell to the socket LAB_RELAY_DIR/guestN.shell (agent and
 * likewise), on which that QEMU listens: "-chardev socket,path=...,server=on,wait=off". A pipe
 * chardev on the port itself would end for good at the first moment without a runner.
 */
#ifndef TETHYS_LAB_PROTO_H
#define TETHYS_LAB_PROTO_H

#include <linux/types.h>

#define LAB_PORT_AGENT "tethys.agent"
#define LAB_PORT_SHELL "tethys.shell"
/* In the host VM: where its guest N (1, 2) has its ports, joined to the guest's as plain bytes. */
#define LAB_PORT_GUEST_AGENT "tethys.guest%u.agent"
#define LAB_PORT_GUEST_SHELL "tethys.guest%u.shell"
#define LAB_PORT_GUEST_CONSOLE "tethys.guest%u.console"
/* In the host VM: where the QEMU of guest N listens for LAB_PORT_GUEST_AGENT and _SHELL. */
#define LAB_RELAY_DIR "/run/tethys"
#define LAB_RELAY_AGENT LAB_RELAY_DIR "/guest%u.agent"
#define LAB_RELAY_SHELL LAB_RELAY_DIR "/guest%u.shell"

/* Kernel command line, read by the agent. */
#define LAB_ARG_ROLE "tethys.role=" /* host, guest */

#define LAB_FRAME_BYTES_MAX 65536u

enum lab_frame_type {
	/* agent to runner, once per connection and after LAB_FRAME_PING: struct lab_hello + text */
	LAB_FRAME_HELLO = 1,
	LAB_FRAME_PING = 2, /* runner to agent: say HELLO again */
	/* runner to agent: struct lab_exec, then argc strings, then envc strings "NAME=VALUE" */
	LAB_FRAME_EXEC = 3,
	LAB_FRAME_STDIN = 4,   /* runner to agent: bytes; none: end of file */
	LAB_FRAME_SIGNAL = 5,  /* runner to agent: __le32, to the whole process group */
	LAB_FRAME_WINSIZE = 6, /* runner to agent: __le16 rows, __le16 columns */
	LAB_FRAME_STDOUT = 7,
	LAB_FRAME_STDERR = 8,
	/*
	 * struct lab_exit; the last frame of this id. All that the command wrote until its own end
	 * came before it, whoever still has its output open.
	 */
	LAB_FRAME_EXIT = 9,
	LAB_FRAME_KMSG = 10,  /* struct lab_kmsg, then the line without '\n'; from the first on */
	LAB_FRAME_ERROR = 11, /* text; with an id: that command did not start, nothing follows */
	LAB_FRAME_POWEROFF = 12, /* runner to agent: sync, power off at once */
	LAB_FRAME_GONE = 13,	 /* relay to runner: the guest's QEMU ended, or is not there */
};

struct lab_frame {
	__le32 bytes; /* of what follows this header */
	__le16 type;
	__le16 reserved; /* zero */
	__le32 id;	 /* of a command, chosen by the runner, unique per port; else 0 */
};

#define LAB_HELLO_MAGIC 0x6f6c6c6568207961ull /* no accident in other bytes */

struct lab_hello {
	__le64 magic;
	__le64 uptime_us; /* since the kernel started */
};

#define LAB_EXEC_PTY 1u /* on a terminal of its own; stderr comes as stdout */

struct lab_exec {
	__le32 flags;
	__le32 timeout_ms; /* then SIGKILL to its process group; 0: none */
	__le16 argc;
	__le16 envc;
	__le16 rows, columns; /* with LAB_EXEC_PTY */
};

struct lab_exit {
	__le32 status; /* exit code, or 128 + signal */
	__le32 timed_out;
	__le64 elapsed_us; /* on the machine's own clock */
};

struct lab_kmsg {
	__le64 time_us; /* of the kernel's log */
	__le32 level;	/* 0 emergency .. 7 debug */
	__le32 reserved;
};

#endif
