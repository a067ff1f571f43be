/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * netlink: what the files of the netlink family share.
 *
 *	netlink.c		the family, and what all dumps have in common
 *	netlink_owners.c	dumps of owners and regions
 *	netlink_containers.c	dumps of containers
 *	netlink_counters.c	the host's counters
 *	events.c		notifications
 */
#ifndef PREREG_NETLINK_H
#define PREREG_NETLINK_H

#include <linux/pid_namespace.h>
#include <linux/uidgid.h>
#include <net/genetlink.h>

#include "../include/uapi/linux/vfio_prereg_netlink.h"
#include "prereg.h"

/* Indices in the family's multicast groups. */
enum prereg_group {
	PREREG_GROUP_OWNERS,
	PREREG_GROUP_REGIONS,
	PREREG_GROUPS
};

extern struct genl_family prereg_family;

/**
 * struct prereg_viewer - who asked
 * @pids: reference to his pid namespace
 * @users: his socket's user namespace, which lives as long as the socket
 * @uid: his effective user, if he opened the socket, too
 * @all: he may see everything
 */
struct prereg_viewer {
	struct pid_namespace	*pids;
	struct user_namespace	*users;
	kuid_t			uid;
	bool			all;
};

/**
 * struct prereg_dump - a dump, in struct netlink_callback.ctx
 * @viewer: who asked for it
 * @owner_id: whose regions
 * @next: the first id, slot or address that was not told yet
 * @done: there is nothing behind
 */
struct prereg_dump {
	struct prereg_viewer	viewer;
	u64			owner_id;
	u64			next;
	bool			done;
};

static inline struct prereg_dump *prereg_dump_of(struct netlink_callback *cb)
{
	BUILD_BUG_ON(sizeof(struct prereg_dump) > sizeof(cb->ctx));
	return (struct prereg_dump *)cb->ctx;
}

/* May who sent the request see everything? While it is being sent. */
bool prereg_may_see_all(const struct sk_buff *request);

/* May he see that process, and what it has? */
bool prereg_who_visible(const struct prereg_who *who,
			const struct prereg_viewer *viewer);

/*
 * The process's id for the viewer; 0: it is gone, or he cannot know it. The number of one that
 * is gone may be another's by now.
 */
u32 prereg_who_pid(const struct prereg_who *who,
		   const struct prereg_viewer *viewer);
u32 prereg_who_uid(const struct prereg_who *who,
		   const struct prereg_viewer *viewer);

static inline u64 prereg_age_ms(u64 since)
{
	return div_u64(ktime_get_boottime_ns() - since, NSEC_PER_MSEC);
}

static inline u64 prereg_pages_bytes(unsigned long npages)
{
	return (u64)npages << PAGE_SHIFT;
}

/* Notes who asked. For struct genl_ops. */
int prereg_dump_start(struct netlink_callback *cb);
int prereg_dump_done(struct netlink_callback *cb);

/* A number for netlink_callback.seq, where 0 means that none was noted. */
static inline unsigned int prereg_dump_seq(unsigned int changes)
{
	return changes + 1 ?: 1;
}

/* Begin the message about one thing; NULL: no room. */
void *prereg_dump_begin(struct sk_buff *skb, struct netlink_callback *cb,
			u8 command);

/*
 * End it: it is complete if ret is 0, else there was no room for it. Return: 0 go on; else
 * what the dump returns: there will be room in the next buffer.
 */
int prereg_dump_end(struct sk_buff *skb, void *head, int ret);

/* The dumps, for struct genl_ops. */
int prereg_owners_dump(struct sk_buff *skb, struct netlink_callback *cb);
extern const struct nla_policy prereg_regions_policy[PREREG_A_REGION_OWNER_ID + 1];
int prereg_regions_start(struct netlink_callback *cb);
int prereg_regions_dump(struct sk_buff *skb, struct netlink_callback *cb);
int prereg_containers_dump(struct sk_buff *skb, struct netlink_callback *cb);
int prereg_counters_get(struct sk_buff *request, struct genl_info *info);

#endif
