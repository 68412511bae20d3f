/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/vfio_user.h"

/* --- capabilities --- */

#define CAPS_DEPTH 8 /* of nested JSON */

void vfio_user_caps_default(struct vfio_user_caps *ret_caps)
{
	*ret_caps = (struct vfio_user_caps){
		.max_msg_fds = 1,
		.max_dma_maps = VFIO_USER_MAX_DMA_MAPS,
		.max_data_xfer_size = VFIO_USER_MAX_DATA,
		.pgsizes = VFIO_USER_PGSIZES,
		.twin_fd_index = -1,
	};
}

/* Member @key of @object as an integer of @low to @high; absent leaves *ret_value alone. */
static int caps_int(json_object *object, const char *key, int64_t low, int64_t high,
		    int64_t *ret_value, struct reason *why)
{
	json_object *value;
	int64_t number;

	if (!json_object_object_get_ex(object, key, &value))
		return 0;
	if (!json_object_is_type(value, json_type_int))
		return reason_add(why, -EINVAL, "capability %s is not a whole number", key);
	number = json_object_get_int64(value);
	if (number < low || number > high)
		return reason_add(why, -EINVAL, "capability %s is out of range", key);
	*ret_value = number;
	return 0;
}

static int caps_bool(json_object *object, const char *key, bool *ret_value, struct reason *why)
{
	json_object *value;

	if (!json_object_object_get_ex(object, key, &value))
		return 0;
	if (!json_object_is_type(value, json_type_boolean))
		return reason_add(why, -EINVAL, "capability %s is neither true nor false", key);
	*ret_value = json_object_get_boolean(value);
	return 0;
}

/* Member @key as an object; *ret_value is NULL when absent. */
static int caps_object(json_object *object, const char *key, json_object **ret_value,
		       struct reason *why)
{
	json_object *value = NULL;

	if (json_object_object_get_ex(object, key, &value) &&
	    !json_object_is_type(value, json_type_object))
		return reason_add(why, -EINVAL, "capability %s is not an object", key);
	*ret_value = value;
	return 0;
}

static int caps_read(json_object *root, struct vfio_user_caps *caps, struct reason *why)
{
	int64_t fds = caps->max_msg_fds, maps = caps->max_dma_maps, twin_fd = -1;
	int64_t data = (int64_t)caps->max_data_xfer_size, pgsizes = (int64_t)caps->pgsizes;
	json_object *object = NULL, *twin = NULL, *migration = NULL;

	if (!json_object_is_type(root, json_type_object))
		return reason_add(why, -EINVAL, "the capabilities are not a JSON object");
	if (caps_object(root, "capabilities", &object, why))
		return -EINVAL;
	if (!object)
		return 0;
	if (caps_int(object, "max_msg_fds", 0, INT32_MAX, &fds, why) ||
	    caps_int(object, "max_dma_maps", 0, INT32_MAX, &maps, why) ||
	    caps_int(object, "max_data_xfer_size", 1, VFIO_USER_MAX_DATA_PEER, &data, why) ||
	    caps_int(object, "pgsizes", VFIO_USER_PGSIZES, INT64_MAX, &pgsizes, why) ||
	    caps_bool(object, "write_multiple", &caps->write_multiple, why) ||
	    caps_object(object, "migration", &migration, why) ||
	    caps_object(object, "twin_socket", &twin, why))
		return -EINVAL;
	if (pgsizes & (VFIO_USER_PGSIZES - 1))
		return reason_add(why, -EINVAL, "capability pgsizes is out of range");
	if (twin && (caps_bool(twin, "supported", &caps->twin_socket, why) ||
		     caps_int(twin, "fd_index", 0, VFIO_USER_MAX_FDS - 1, &twin_fd, why)))
		return -EINVAL;
	caps->max_msg_fds = (uint32_t)fds;
	caps->max_dma_maps = (uint32_t)maps;
	caps->max_data_xfer_size = (uint64_t)data;
	caps->pgsizes = (uint64_t)pgsizes;
	caps->twin_fd_index = (int)twin_fd;
	return 0;
}

int vfio_user_caps_parse(const char *json, size_t len, struct vfio_user_caps *ret_caps,
			 struct reason *why)
{
	struct vfio_user_caps caps;
	json_tokener *tokener;
	json_object *root;
	int ret = -EINVAL;

	if (!len || len > VFIO_USER_MAX_JSON || memchr(json, '\0', len) != json + len - 1)
		return reason_add(why, -EINVAL, "the capabilities are not one NUL-terminated text");
	tokener = json_tokener_new_ex(CAPS_DEPTH);
	if (!tokener)
		return reason_add(why, -ENOMEM, "no memory to read the capabilities");
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
	/* With the NUL, so that a number or an unfinished object at the end is judged. */
	root = json_tokener_parse_ex(tokener, json, (int)len);
	vfio_user_caps_default(&caps);
	if (json_tokener_get_error(tokener) != json_tokener_success)
		reason_add(why, -EINVAL, "the capabilities are not JSON");
	else
		ret = caps_read(root, &caps, why);
	json_object_put(root);
	json_tokener_free(tokener);
	if (!ret)
		*ret_caps = caps;
	return ret;
}

int vfio_user_caps_print(const struct vfio_user_caps *caps, char *buf, size_t bytes)
{
	char twin[64] = "", index[32] = "";
	int len;

	if (caps->twin_socket && caps->twin_fd_index >= 0)
		snprintf(index, sizeof(index), ",\"fd_index\":%d", caps->twin_fd_index);
	if (caps->twin_socket)
		snprintf(twin, sizeof(twin), ",\"twin_socket\":{\"supported\":true%s}", index);
	len = snprintf(buf, bytes,
		       "{\"capabilities\":{\"max_msg_fds\":%u,\"max_data_xfer_size\":%llu,"
		       "\"max_dma_maps\":%u,\"pgsizes\":%llu,\"write_multiple\":%s%s}}",
		       caps->max_msg_fds, (unsigned long long)caps->max_data_xfer_size,
		       caps->max_dma_maps, (unsigned long long)caps->pgsizes,
		       caps->write_multiple ? "true" : "false", twin);
	if (len < 0 || (size_t)len >= bytes)
		return -ENOSPC;
	return len + 1;
}

/* --- transport --- */

/* Control data for the most descriptors a message may have. */
union fds_control {
	char bytes[CMSG_SPACE(VFIO_USER_MAX_FDS * sizeof(int))];
	struct cmsghdr align;
};

void vfio_user_fds_close(struct vfio_user_fds *fds)
{
	unsigned int i;

	for (i = 0; i < fds->count; i++)
		if (fds->fd[i] >= 0)
			close(fds->fd[i]);
	fds->count = 0;
}

int vfio_user_fds_take(struct vfio_user_fds *fds, unsigned int index)
{
	int fd;

	if (index >= fds->count)
		return -1;
	fd = fds->fd[index];
	fds->fd[index] = -1;
	return fd;
}

/*
 * Put the descriptors of @msg into @fds. Those that do not fit are closed: a peer can send some
 * with each piece of a header.
 */
static int fds_collect(struct msghdr *msg, struct vfio_user_fds *fds)
{
	struct cmsghdr *cmsg;
	bool overflow = false;
	size_t i, nr;
	int fd;

	for (cmsg = CMSG_FIRSTHDR(msg); cmsg; cmsg = CMSG_NXTHDR(msg, cmsg)) {
		if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
			continue;
		nr = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (i = 0; i < nr; i++) {
			memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof(int), sizeof(fd));
			if (fds->count < VFIO_USER_MAX_FDS) {
				fds->fd[fds->count++] = fd;
			} else {
				close(fd);
				overflow = true;
			}
		}
	}
	return overflow || (msg->msg_flags & MSG_CTRUNC) ? -EPROTO : 0;
}

static ssize_t recv_once(int sock, void *buf, size_t len, struct vfio_user_fds *fds, int flags)
{
	struct iovec iov = {.iov_base = buf, .iov_len = len};
	union fds_control control;
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = fds ? control.bytes : NULL,
		.msg_controllen = fds ? sizeof(control.bytes) : 0,
	};
	ssize_t got;
	int ret;

	do {
		got = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC | flags);
	} while (got < 0 && errno == EINTR);
	if (got < 0)
		return -errno;
	if (!fds)
		return msg.msg_flags & MSG_CTRUNC ? -EPROTO : got;
	ret = fds_collect(&msg, fds);
	return ret ? ret : got;
}

ssize_t vfio_user_recv_some(int sock, void *buf, size_t len, struct vfio_user_fds *fds)
{
	return recv_once(sock, buf, len, fds, 0);
}

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

int vfio_user_recv(int sock, void *buf, size_t len, struct vfio_user_fds *fds,
		   unsigned int stall_ms)
{
	uint64_t deadline = 0;
	size_t done = 0;
	ssize_t got;

	while (done < len) {
		got = recv_once(sock, (char *)buf + done, len - done, fds, MSG_WAITALL);
		if (got == 0)
			return done ? -ECONNRESET : -ENODATA;
		if (got == -EAGAIN || got == -EWOULDBLOCK)
			return done ? -ETIMEDOUT : -EAGAIN;
		if (got < 0)
			return (int)got;
		done += (size_t)got;
		if (done == len || !stall_ms)
			continue;
		/* The clock is read only for messages that come in pieces. */
		if (!deadline)
			deadline = now_ms() + stall_ms;
		else if (now_ms() > deadline)
			return -ETIMEDOUT;
	}
	return 0;
}

/* Drop the first @sent bytes of @iov. Return: how many entries became empty. */
static unsigned int iov_advance(struct iovec *iov, unsigned int iov_nr, size_t sent)
{
	unsigned int i;

	for (i = 0; i < iov_nr && sent >= iov[i].iov_len; i++)
		sent -= iov[i].iov_len;
	if (i < iov_nr) {
		iov[i].iov_base = (char *)iov[i].iov_base + sent;
		iov[i].iov_len -= sent;
	}
	return i;
}

static void fds_attach(struct msghdr *msg, union fds_control *control, const int *fds,
		       unsigned int fds_nr)
{
	struct cmsghdr *cmsg;

	memset(control, 0, sizeof(*control));
	msg->msg_control = control->bytes;
	msg->msg_controllen = CMSG_SPACE(fds_nr * sizeof(int));
	cmsg = CMSG_FIRSTHDR(msg);
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(fds_nr * sizeof(int));
	memcpy(CMSG_DATA(cmsg), fds, fds_nr * sizeof(int));
}

int vfio_user_send(int sock, const struct iovec *iov, unsigned int iov_nr, const int *fds,
		   unsigned int fds_nr)
{
	struct iovec rest[4];
	union fds_control control;
	struct msghdr msg = {.msg_iov = rest, .msg_iovlen = iov_nr};
	unsigned int used;
	ssize_t sent;

	if (iov_nr > sizeof(rest) / sizeof(rest[0]) || fds_nr > VFIO_USER_MAX_FDS ||
	    (fds_nr && !fds))
		return -EINVAL;
	memcpy(rest, iov, iov_nr * sizeof(*iov));
	if (fds_nr)
		fds_attach(&msg, &control, fds, fds_nr);
	for (;;) {
		sent = sendmsg(sock, &msg, MSG_NOSIGNAL);
		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0)
			return errno == EAGAIN || errno == EWOULDBLOCK ? -ETIMEDOUT : -errno;
		msg.msg_control = NULL; /* the descriptors went with the first bytes */
		msg.msg_controllen = 0;
		used = iov_advance(msg.msg_iov, (unsigned int)msg.msg_iovlen, (size_t)sent);
		msg.msg_iov += used;
		msg.msg_iovlen -= used;
		if (!msg.msg_iovlen)
			return 0;
	}
}
