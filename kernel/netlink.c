// SPDX-License-Identifier: GPL-2.0-only
/*
 * netlink: a read-only view of what there is; docs/netlink/prereg.yaml describes it.
 *
 * DUMPS
 *
 * A dump goes on in the reader's recvmsg() as long as the reader likes, and holds no lock or
 * object between two of these calls, only the number of the last thing it told: ids of
 * owners, slots of containers and addresses of regions. So what is there all the time
 * is told once, whatever comes and goes meanwhile, and NLM_F_DUMP_INTR says that
 * something did.
 *
 * WHO SEES WHAT
 *
 * is decided for who sent the request, when he did: the reader may be another process. And
 * who opened the socket must be the same user, or, to see all, have CAP_SYS_ADMIN in the initial
 * user namespace, too: it may be the standard output of a program with more rights.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/cred.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/net.h>
#include <linux/pid.h>
#include <linux/sched.h>
#include <linux/user_namespace.h>
#include <net/sock.h>

#include "netlink.h"

u32 prereg_who_pid(const struct prereg_who *who,
		   const struct prereg_viewer *viewer)
{
	u32 pid = 0;

	rcu_read_lock();
	if (pid_task(who->pid, PIDTYPE_TGID))
		pid = pid_nr_ns(who->pid, viewer->pids);
	rcu_read_unlock();
	return pid;
}

u32 prereg_who_uid(const struct prereg_who *who,
		   const struct prereg_viewer *viewer)
{
	return from_kuid_munged(viewer->users, who->uid);
}

bool prereg_who_visible(const struct prereg_who *who,
			const struct prereg_viewer *viewer)
{
	return (viewer->all || uid_eq(who->uid, viewer->uid)) &&
	       pid_nr_ns(who->pid, viewer->pids);
}

bool prereg_may_see_all(const struct sk_buff *request)
{
	const struct sock *sk = NETLINK_CB(request).sk;

	return netlink_capable(request, CAP_SYS_ADMIN) &&
	       file_ns_capable(sk->sk_socket->file, &init_user_ns,
			       CAP_SYS_ADMIN);
}

int prereg_dump_start(struct netlink_callback *cb)
{
	const struct file *file = NETLINK_CB(cb->skb).sk->sk_socket->file;
	struct prereg_viewer *viewer = &prereg_dump_of(cb)->viewer;

	viewer->pids = get_pid_ns(task_active_pid_ns(current));
	viewer->users = file->f_cred->user_ns;
	viewer->uid = INVALID_UID;
	if (uid_eq(file->f_cred->euid, current_euid()))
		viewer->uid = current_euid();
	viewer->all = prereg_may_see_all(cb->skb);
	return 0;
}

int prereg_dump_done(struct netlink_callback *cb)
{
	put_pid_ns(prereg_dump_of(cb)->viewer.pids);
	return 0;
}

void *prereg_dump_begin(struct sk_buff *skb, struct netlink_callback *cb,
			u8 command)
{
	void *head = genlmsg_put(skb, NETLINK_CB(cb->skb).portid,
				 cb->nlh->nlmsg_seq, &prereg_family,
				 NLM_F_MULTI, command);

	if (head)
		genl_dump_check_consistent(cb, head);
	return head;
}

int prereg_dump_end(struct sk_buff *skb, void *head, int ret)
{
	if (!ret) {
		genlmsg_end(skb, head);
		return 0;
	}
	genlmsg_cancel(skb, head);
	return skb->len ? skb->len : -EMSGSIZE;
}

/* For requests that have no attributes: any is an error. */
static const struct nla_policy prereg_no_attributes[] = {
	[1] = { .type = NLA_REJECT },
};

static const struct genl_ops prereg_ops[] = {
	{
		.cmd		= PREREG_CMD_OWNER_GET,
		.start		= prereg_dump_start,
		.dumpit		= prereg_owners_dump,
		.done		= prereg_dump_done,
		.policy		= prereg_no_attributes,
		.maxattr	= ARRAY_SIZE(prereg_no_attributes) - 1,
	},
	{
		.cmd		= PREREG_CMD_REGION_GET,
		.start		= prereg_regions_start,
		.dumpit		= prereg_regions_dump,
		.done		= prereg_dump_done,
		.policy		= prereg_regions_policy,
		.maxattr	= ARRAY_SIZE(prereg_regions_policy) - 1,
	},
	{
		.cmd		= PREREG_CMD_CONTAINER_GET,
		.start		= prereg_dump_start,
		.dumpit		= prereg_containers_dump,
		.done		= prereg_dump_done,
		.policy		= prereg_no_attributes,
		.maxattr	= ARRAY_SIZE(prereg_no_attributes) - 1,
	},
	{
		.cmd		= PREREG_CMD_COUNTERS_GET,
		.doit		= prereg_counters_get,
		.policy		= prereg_no_attributes,
		.maxattr	= ARRAY_SIZE(prereg_no_attributes) - 1,
	},
};

/* Events are of all owners. */
static const struct genl_multicast_group prereg_groups[PREREG_GROUPS] = {
	[PREREG_GROUP_OWNERS] = {
		.name	= PREREG_MCGRP_OWNERS,
		.flags	= GENL_MCAST_CAP_SYS_ADMIN,
	},
	[PREREG_GROUP_REGIONS] = {
		.name	= PREREG_MCGRP_REGIONS,
		.flags	= GENL_MCAST_CAP_SYS_ADMIN,
	},
};

struct genl_family prereg_family = {
	.name		= PREREG_FAMILY_NAME,
	.version	= PREREG_FAMILY_VERSION,
	.module		= THIS_MODULE,
	.netnsok	= true,
	.parallel_ops	= true,
	.ops		= prereg_ops,
	.n_ops		= ARRAY_SIZE(prereg_ops),
	/* All are new enough to have their headers checked. */
	.resv_start_op	= PREREG_CMD_OWNER_GET,
	.mcgrps		= prereg_groups,
	.n_mcgrps	= ARRAY_SIZE(prereg_groups),
};

static bool prereg_netlink_registered;

bool prereg_netlink_up(void)
{
	return READ_ONCE(prereg_netlink_registered);
}

/* Did somebody join our groups' numbers before they were ours, unchecked? */
static bool family_has_strangers(void)
{
	return genl_has_listeners(&prereg_family, &init_net,
				  PREREG_GROUP_OWNERS) ||
	       genl_has_listeners(&prereg_family, &init_net,
				  PREREG_GROUP_REGIONS);
}

/*
 * Nobody knows of us yet, so whoever listens has not been asked for his rights. Giving the groups
 * back puts him out. Where a message can be kept from those who may not listen that is all
 * the same; elsewhere he would have to come back in the moment between the two calls.
 */
void __init prereg_netlink_init(void)
{
	int tries = 10, ret;

	do {
		ret = genl_register_family(&prereg_family);
		if (ret) {
			pr_warn("no netlink family (error %d): \"prereg list\" and its like will not work\n",
				ret);
			return;
		}
		if (!family_has_strangers()) {
			WRITE_ONCE(prereg_netlink_registered, true);
			return;
		}
		genl_unregister_family(&prereg_family);
	} while (--tries);
	pr_warn("no netlink family: a process without CAP_SYS_ADMIN keeps joining its groups\n");
}

void prereg_netlink_exit(void)
{
	if (prereg_netlink_registered)
		genl_unregister_family(&prereg_family);
}
