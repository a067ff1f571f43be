// SPDX-License-Identifier: LGPL-2.1-or-later
/* What happens, as the module tells it. */
#include <errno.h>
#include <linux/genetlink.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "netlink.h"

/* Events come in bursts: a kill is one, and each of its regions another. Most kernels give less to whom is not root. */
#define RECEIVE_BYTES (8 << 20)

/* For who listens to families: the one group of the family that describes families has its number. */
#define FAMILIES GENL_ID_CTRL

static int join(struct prereg_view *view, int group)
{
	return mnl_socket_setsockopt(view->nl, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group));
}

/* From a group that it is not in: nothing. */
static void leave(struct prereg_view *view, int group)
{
	mnl_socket_setsockopt(view->nl, NETLINK_DROP_MEMBERSHIP, &group, sizeof(group));
}

/* Of which process 1 is not: what is told there does not come here. */
static bool in_other_network(void)
{
	struct stat own, first;

	return !stat("/proc/thread-self/ns/net", &own) && !stat("/proc/1/ns/net", &first) && own.st_ino != first.st_ino;
}

/*
 * The first time: the kernel lets anybody join groups of a network namespace of his own, and groups that are nobody's; an answer
 * tells that the family is there, and says it when it goes, and that the caller is who may hear it.
 */
static int begin(struct prereg_view *view)
{
	if (view->listening)
		return 0;
	if (join(view, FAMILIES))
		return -1;
	if (prereg_view_counters(view))
		return 0;
	if (errno == ENODEV)
		errno = ENOENT;
	return -1;
}

static int not_joined(struct prereg_view *view, int error)
{
	switch (error) {
	case EPERM:
	case EACCES:
		return prereg__fail(&view->failure, EPERM,
				    "events need CAP_SYS_ADMIN in the initial user namespace: be root on the host");
	case ENOENT:
		return prereg__fail(&view->failure, error,
				    "the module vfio_prereg was unloaded, or does not send such events: load it (modprobe vfio_prereg) and open a new view");
	default:
		return prereg__fail(&view->failure, error, "cannot get events: %m");
	}
}

int prereg_view_listen(struct prereg_view *view, unsigned int which)
{
	const int room = RECEIVE_BYTES;
	int fd, error;

	if (!view->nl) {
		errno = EBADF;
		return -1;
	}
	if (!which || which & ~(PREREG_EVENTS_OWNERS | PREREG_EVENTS_REGIONS))
		return prereg__fail(&view->failure, EINVAL,
				    "0x%x names no events: give PREREG_EVENTS_OWNERS, PREREG_EVENTS_REGIONS or both", which);
	if (in_other_network())
		return prereg__fail(&view->failure, EPERM,
				    "events are told in the initial network namespace only: enter it (nsenter --net=/proc/1/ns/net)");
	if ((which & PREREG_EVENTS_OWNERS && !view->owners) || (which & PREREG_EVENTS_REGIONS && !view->regions))
		return not_joined(view, ENOENT);
	fd = mnl_socket_get_fd(view->nl);
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)))
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
	if (begin(view) || (which & PREREG_EVENTS_OWNERS && join(view, view->owners)) ||
	    (which & PREREG_EVENTS_REGIONS && join(view, view->regions))) {
		error = errno;
		/* What it got already it goes on with. */
		if (!view->listening) {
			leave(view, FAMILIES);
			leave(view, view->owners);
			leave(view, view->regions);
		}
		return not_joined(view, error);
	}
	view->listening = true;
	return 0;
}

int prereg_view_fd(const struct prereg_view *view)
{
	return view->nl ? mnl_socket_get_fd(view->nl) : -1;
}

/* What a command of the family is as an event; false: not one that this library knows. */
static bool type_of(uint8_t command, enum prereg_event_type *type)
{
	switch (command) {
	case PREREG_CMD_REGISTERED_NTF:
		*type = PREREG_EVENT_REGISTERED;
		return true;
	case PREREG_CMD_RELEASE_NTF:
		*type = PREREG_EVENT_RELEASED;
		return true;
	case PREREG_CMD_ADOPTED_NTF:
		*type = PREREG_EVENT_ADOPTED;
		return true;
	case PREREG_CMD_REFUSED_NTF:
		*type = PREREG_EVENT_REFUSED;
		return true;
	case PREREG_CMD_REGION_PUT_NTF:
		*type = PREREG_EVENT_PUT;
		return true;
	default:
		return false;
	}
}

static bool decode(struct prereg_view *view, const struct nlmsghdr *nlh)
{
	const struct genlmsghdr *genl = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *a[PREREG_A_EVENT_MAX + 1];
	enum prereg_event_type type;

	if (!type_of(genl->cmd, &type))
		return false;
	prereg__attributes(nlh, a, PREREG_A_EVENT_MAX);
	view->event = (struct prereg_event) {
		.type = type,
		.time_ns = prereg__u64(a[PREREG_A_EVENT_TIME_NS]),
		.owner_id = prereg__u64(a[PREREG_A_EVENT_OWNER_ID]),
		.pid = prereg__u32(a[PREREG_A_EVENT_PID]),
		.uid = prereg__u32(a[PREREG_A_EVENT_UID]),
		.comm = prereg__string(a[PREREG_A_EVENT_COMM]),
		.vaddr = prereg__u64(a[PREREG_A_EVENT_VADDR]),
		.bytes = prereg__u64(a[PREREG_A_EVENT_BYTES]),
		.mappings = prereg__u64(a[PREREG_A_EVENT_MAPPINGS]),
		.duration_ns = prereg__u64(a[PREREG_A_EVENT_DURATION_NS]),
		.container_id = prereg__u64(a[PREREG_A_EVENT_CONTAINER_ID]),
		.orphan_pid = prereg__u32(a[PREREG_A_EVENT_ORPHAN_PID]),
		.limit = prereg__u64(a[PREREG_A_EVENT_LIMIT_BYTES]),
		.locked = prereg__u64(a[PREREG_A_EVENT_LOCKED_BYTES]),
		.lost = prereg__u64(a[PREREG_A_EVENT_LOST]),
	};
	return true;
}

/* Does the message say that our family went? Its number is not given to another one soon. */
static bool went(const struct prereg_view *view, const struct nlmsghdr *nlh)
{
	const struct genlmsghdr *genl = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *a[CTRL_ATTR_FAMILY_ID + 1];

	if (nlh->nlmsg_type != GENL_ID_CTRL || genl->cmd != CTRL_CMD_DELFAMILY)
		return false;
	prereg__attributes(nlh, a, CTRL_ATTR_FAMILY_ID);
	return a[CTRL_ATTR_FAMILY_ID] && mnl_attr_get_u16(a[CTRL_ATTR_FAMILY_ID]) == view->family;
}

/* The next message that came: 1, 0 for a datagram without (another) one, or -1. */
static int next_message(struct prereg_view *view, const struct nlmsghdr **nlh)
{
	const struct nlmsghdr *first = (const void *)(view->datagram + view->at);
	ssize_t got;

	if (mnl_nlmsg_ok(first, view->left)) {
		*nlh = first;
		view->at += MNL_ALIGN(first->nlmsg_len);
		view->left -= MNL_ALIGN(first->nlmsg_len);
		return 1;
	}
	got = recv(mnl_socket_get_fd(view->nl), view->datagram, PREREG_DATAGRAM, MSG_DONTWAIT);
	view->at = 0;
	view->left = got > 0 ? got : 0;
	return got < 0 && errno != EINTR ? -1 : 0;
}

const struct prereg_event *prereg_view_next_event(struct prereg_view *view)
{
	const struct nlmsghdr *nlh;

	if (!view->nl) {
		errno = EBADF;
		return NULL;
	}
	if (!view->listening) {
		prereg__fail(&view->failure, EINVAL, "this view gets no events: call prereg_view_listen() first");
		return NULL;
	}
	for (;;) {
		switch (next_message(view, &nlh)) {
		case 0:
			continue;
		case 1:
			break;
		default:
			if (errno == EAGAIN)
				prereg__fail(&view->failure, errno, "no event came yet: poll() prereg_view_fd() for POLLIN");
			else if (errno == ENOBUFS)
				prereg__fail(&view->failure, errno, "events were lost, as they were not read quickly enough: go on");
			else
				prereg__fail(&view->failure, errno, "the netlink socket says: %m");
			return NULL;
		}
		if (mnl_nlmsg_get_payload_len(nlh) < sizeof(struct genlmsghdr))
			continue;
		if (went(view, nlh)) {
			prereg__fail(&view->failure, ENODEV,
				     "the module vfio_prereg was unloaded: load it (modprobe vfio_prereg) and open a new view");
			return NULL;
		}
		if (nlh->nlmsg_type == view->family && decode(view, nlh))
			return &view->event;
	}
}
