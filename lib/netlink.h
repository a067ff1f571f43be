/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Talking to the module's generic netlink family, through libmnl. */
#ifndef PREREG_NETLINK_H
#define PREREG_NETLINK_H

#include <libmnl/libmnl.h>

#include "../include/uapi/linux/vfio_prereg_netlink.h"
#include "internal.h"

/* What one datagram may have: a dump's are no larger than the largest that the reader ever had room for. */
#define PREREG_DATAGRAM 65536

/* Messages one behind the other, as they came. */
struct prereg_messages {
	char	*bytes;
	size_t	length;
	size_t	room;
};

/**
 * struct prereg_view - a socket
 * @nl: NULL: prereg_view_open() failed, with @open_error
 * @family: the family's number
 * @owners, @regions: multicast groups
 * @seq: of the last request
 * @listening: is for events, of which @datagram has those from @at, @left bytes
 * @refused: what @counters point to
 */
struct prereg_view {
	struct mnl_socket	*nl;
	int			open_error;
	uint16_t		family;
	uint32_t		owners;
	uint32_t		regions;
	uint32_t		seq;
	bool			listening;
	char			*datagram;
	size_t			at;
	int			left;
	struct prereg_counters	counters;
	struct prereg_refused	*refused;
	struct prereg_messages	answer;
	struct prereg_event	event;
	struct prereg_failure	failure;
};

/* For prereg_view_open(): connects, asks for the family. 0 or -1. */
int prereg__connect(struct prereg_view *view);

/* A request in @buffer, which has PREREG_REQUEST bytes; attributes may follow. */
#define PREREG_REQUEST 256
struct nlmsghdr *prereg__request(struct prereg_view *view, void *buffer, uint8_t command, uint16_t flags);

/*
 * Sends @request and puts all that is answered into @messages, which is to be freed also after a failure.
 * A dump is asked for again when something changed meanwhile, up to three times. 0 or -1.
 */
int prereg__ask(struct prereg_view *view, struct nlmsghdr *request, struct prereg_messages *messages);

/* Puts attribute N of @nlh, or of the nest @attr, to @table[N], NULL where there is none; @max is the last one known. */
void prereg__attributes(const struct nlmsghdr *nlh, const struct nlattr **table, unsigned int max);
void prereg__nested(const struct nlattr *attr, const struct nlattr **table, unsigned int max);

/* An attribute's value; 0 or "" where it is missing or has another length. */
uint32_t prereg__u32(const struct nlattr *attr);
uint64_t prereg__u64(const struct nlattr *attr);
const char *prereg__string(const struct nlattr *attr);

#endif
