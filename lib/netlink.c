// SPDX-License-Identifier: LGPL-2.1-or-later
#include <errno.h>
#include <linux/genetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "netlink.h"

#define TRIES 3

uint32_t prereg__u32(const struct nlattr *attr)
{
	return attr && mnl_attr_get_payload_len(attr) == sizeof(uint32_t) ? mnl_attr_get_u32(attr) : 0;
}

uint64_t prereg__u64(const struct nlattr *attr)
{
	return attr && mnl_attr_get_payload_len(attr) == sizeof(uint64_t) ? mnl_attr_get_u64(attr) : 0;
}

const char *prereg__string(const struct nlattr *attr)
{
	return attr && mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) >= 0 ? mnl_attr_get_str(attr) : "";
}

static void note(const struct nlattr *attr, const struct nlattr **table, unsigned int max)
{
	const unsigned int type = mnl_attr_get_type(attr);

	/* A newer module may have more. */
	if (type <= max)
		table[type] = attr;
}

void prereg__attributes(const struct nlmsghdr *nlh, const struct nlattr **table, unsigned int max)
{
	const struct nlattr *attr;

	memset(table, 0, (max + 1) * sizeof(*table));
	mnl_attr_for_each(attr, nlh, sizeof(struct genlmsghdr))
		note(attr, table, max);
}

void prereg__nested(const struct nlattr *nest, const struct nlattr **table, unsigned int max)
{
	const struct nlattr *attr;

	memset(table, 0, (max + 1) * sizeof(*table));
	mnl_attr_for_each_nested(attr, nest)
		note(attr, table, max);
}

static struct nlmsghdr *request_to(uint16_t type, void *buffer, uint8_t command, uint16_t flags)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buffer);
	struct genlmsghdr *genl;

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | flags;
	genl = mnl_nlmsg_put_extra_header(nlh, sizeof(*genl));
	genl->cmd = command;
	genl->version = PREREG_FAMILY_VERSION;
	return nlh;
}

struct nlmsghdr *prereg__request(struct prereg_view *view, void *buffer, uint8_t command, uint16_t flags)
{
	return request_to(view->family, buffer, command, flags);
}

static int keep(struct prereg_view *view, struct prereg_messages *messages, const struct nlmsghdr *nlh)
{
	const size_t bytes = MNL_ALIGN(nlh->nlmsg_len);

	if (messages->length + bytes > messages->room) {
		const size_t room = 2 * messages->room + bytes;
		char *more = realloc(messages->bytes, room);

		if (!more)
			return prereg__fail(&view->failure, ENOMEM, "out of memory");
		messages->bytes = more;
		messages->room = room;
	}
	memcpy(messages->bytes + messages->length, nlh, nlh->nlmsg_len);
	messages->length += bytes;
	return 0;
}

/* What the kernel says about an error, behind @offset of the message; "" if nothing. */
static const char *kernels_words(const struct nlmsghdr *nlh, size_t offset)
{
	const char *words = "";
	const struct nlattr *attr;

	if (!(nlh->nlmsg_flags & NLM_F_ACK_TLVS))
		return words;
	mnl_attr_for_each(attr, nlh, offset)
		if (mnl_attr_get_type(attr) == NLMSGERR_ATTR_MSG)
			words = prereg__string(attr);
	return words;
}

static int refused(struct prereg_view *view, int error, const char *words)
{
	const char *colon = *words ? ": " : "";

	switch (error) {
	case EPERM:
	case EACCES:
		return prereg__fail(&view->failure, error,
				    "%s%sthis needs CAP_SYS_ADMIN in the initial user namespace: be root on the host", words,
				    colon);
	case ENODEV:
		return prereg__fail(&view->failure, error,
				    "the module vfio_prereg was unloaded: load it (modprobe vfio_prereg) and open a new view");
	}
	if (*words)
		return prereg__fail(&view->failure, error, "the module says: %s (%s)", words, strerror(error));
	return prereg__fail(&view->failure, error, "the module refuses: %m");
}

/* The error that @nlh ends an answer with, 0: success. */
static int status_of(const struct nlmsghdr *nlh, const char **words)
{
	size_t offset = sizeof(int);
	int error = 0;

	*words = "";
	if (nlh->nlmsg_type == NLMSG_ERROR) {
		const struct nlmsgerr *err = mnl_nlmsg_get_payload(nlh);

		if (mnl_nlmsg_get_payload_len(nlh) < sizeof(*err))
			return EBADMSG;
		error = -err->error;
		offset = sizeof(*err);
		if (!(nlh->nlmsg_flags & NLM_F_CAPPED))
			offset += err->msg.nlmsg_len - sizeof(err->msg);
	} else if (mnl_nlmsg_get_payload_len(nlh) >= sizeof(int)) {
		error = -*(const int *)mnl_nlmsg_get_payload(nlh);
	}
	if (error)
		*words = kernels_words(nlh, offset);
	return error;
}

enum { MORE, DONE };

/* Takes one datagram of an answer: MORE or DONE, or -1. *@changed: something came or went during a dump. */
static int take(struct prereg_view *view, struct prereg_messages *messages, bool *changed)
{
	ssize_t got = mnl_socket_recvfrom(view->nl, view->datagram, PREREG_DATAGRAM);
	const struct nlmsghdr *nlh;
	const char *words;
	int left, error;

	if (got < 0)
		return errno == EINTR ? MORE : prereg__fail(&view->failure, errno, "the netlink socket says: %m");
	left = got;
	for (nlh = (const void *)view->datagram; mnl_nlmsg_ok(nlh, left); nlh = mnl_nlmsg_next(nlh, &left)) {
		/* What an answer left that memory was missing for. */
		if (nlh->nlmsg_seq != view->seq)
			continue;
		if (nlh->nlmsg_flags & NLM_F_DUMP_INTR)
			*changed = true;
		if (nlh->nlmsg_type == NLMSG_ERROR || nlh->nlmsg_type == NLMSG_DONE) {
			error = status_of(nlh, &words);
			return error ? refused(view, error, words) : DONE;
		}
		if (nlh->nlmsg_type >= NLMSG_MIN_TYPE && keep(view, messages, nlh))
			return -1;
	}
	return MORE;
}

static int ask_once(struct prereg_view *view, struct nlmsghdr *request, struct prereg_messages *messages, bool *changed)
{
	int state;

	messages->length = 0;
	*changed = false;
	request->nlmsg_seq = ++view->seq;
	if (mnl_socket_sendto(view->nl, request, request->nlmsg_len) < 0)
		return prereg__fail(&view->failure, errno, "the netlink socket says: %m");
	do {
		state = take(view, messages, changed);
	} while (state == MORE);
	return state == DONE ? 0 : -1;
}

/* What a family's description says. */
static void learn(struct prereg_view *view, const struct nlmsghdr *nlh)
{
	const struct nlattr *table[CTRL_ATTR_MCAST_GROUPS + 1], *group[CTRL_ATTR_MCAST_GRP_ID + 1], *attr;

	prereg__attributes(nlh, table, CTRL_ATTR_MCAST_GROUPS);
	if (table[CTRL_ATTR_FAMILY_ID])
		view->family = mnl_attr_get_u16(table[CTRL_ATTR_FAMILY_ID]);
	if (!table[CTRL_ATTR_MCAST_GROUPS])
		return;
	mnl_attr_for_each_nested(attr, table[CTRL_ATTR_MCAST_GROUPS]) {
		const char *name;

		prereg__nested(attr, group, CTRL_ATTR_MCAST_GRP_ID);
		name = prereg__string(group[CTRL_ATTR_MCAST_GRP_NAME]);
		if (!strcmp(name, PREREG_MCGRP_OWNERS))
			view->owners = prereg__u32(group[CTRL_ATTR_MCAST_GRP_ID]);
		else if (!strcmp(name, PREREG_MCGRP_REGIONS))
			view->regions = prereg__u32(group[CTRL_ATTR_MCAST_GRP_ID]);
	}
}

/* Asks the kernel for the family; 0, or -1 with ENOENT if it is not there. */
static int resolve(struct prereg_view *view)
{
	struct prereg_messages answer = { 0 };
	char buffer[PREREG_REQUEST];
	struct nlmsghdr *request;
	bool changed;
	int ret, error;

	request = request_to(GENL_ID_CTRL, buffer, CTRL_CMD_GETFAMILY, NLM_F_ACK);
	mnl_attr_put_strz(request, CTRL_ATTR_FAMILY_NAME, PREREG_FAMILY_NAME);
	ret = ask_once(view, request, &answer, &changed);
	error = errno;
	if (!ret && answer.length)
		learn(view, (const void *)answer.bytes);
	free(answer.bytes);
	errno = error;
	if (ret && errno == ENOENT)
		return prereg__fail(&view->failure, ENOENT,
				    "the module vfio_prereg is not loaded, or is one without a netlink family: load it (modprobe vfio_prereg)");
	return ret;
}

int prereg__connect(struct prereg_view *view)
{
	int one = 1;

	view->nl = mnl_socket_open2(NETLINK_GENERIC, SOCK_CLOEXEC);
	if (!view->nl)
		return prereg__fail(&view->failure, errno, "cannot open a netlink socket: %m");
	if (mnl_socket_bind(view->nl, 0, MNL_SOCKET_AUTOPID) < 0)
		return prereg__fail(&view->failure, errno, "cannot bind a netlink socket: %m");
	/* The kernel's words, without our own back; attributes that it does not know are errors. */
	mnl_socket_setsockopt(view->nl, NETLINK_EXT_ACK, &one, sizeof(one));
	mnl_socket_setsockopt(view->nl, NETLINK_CAP_ACK, &one, sizeof(one));
	mnl_socket_setsockopt(view->nl, NETLINK_GET_STRICT_CHK, &one, sizeof(one));
	return resolve(view);
}

/* The family's number is unknown: it went, or never comes back under that number. */
static int gone(struct prereg_view *view)
{
	const uint16_t family = view->family;
	int ret = resolve(view);

	if (!ret && view->family == family)
		return 0;
	if (ret && errno != ENOENT)
		return 0;
	view->family = family;
	return refused(view, ENODEV, "");
}

int prereg__ask(struct prereg_view *view, struct nlmsghdr *request, struct prereg_messages *messages)
{
	struct prereg_failure said;
	unsigned int tries = 0;
	bool changed;

	do {
		if (!ask_once(view, request, messages, &changed))
			continue;
		/* The kernel answers ENOENT where there is no family, the family where there is no owner. */
		if (errno != ENOENT)
			return -1;
		said = view->failure;
		if (gone(view))
			return -1;
		view->failure = said;
		errno = ENOENT;
		return -1;
	} while (changed && ++tries < TRIES);
	return 0;
}
