/* SPDX-License-Identifier: MIT */
/*
 * Connections to sockets that have a path.
 */
#ifndef TETHYS_COMMON_UNIX_SOCKET_H
#define TETHYS_COMMON_UNIX_SOCKET_H

/**
 * unix_socket_connect() - connect a stream socket
 * @path: of the listener's socket; 1 to 107 bytes
 * @flags: SOCK_NONBLOCK or 0
 * @timeout_ms: how long a listener that has enough to do is waited for, and every later send; 0:
 *              without end
 *
 * Return: the socket, closed on exec; -EINVAL no path; -ENAMETOOLONG; -ENOENT or -ECONNREFUSED
 * nobody listens there; -EAGAIN nobody took it in time; other negative errno of socket(2) and
 * connect(2).
 */
int unix_socket_connect(const char *path, int flags, unsigned int timeout_ms);

#endif
