/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the netlink family needs and kernels have in different ways.
 *
 * Multicast to those only who may listen:
 * A group's flag is looked at when somebody joins; but the kernel lets anybody join the number of
 * a group that is nobody's yet. Newer kernels can look at each listener when something is
 * sent. Older ones cannot; there prereg_netlink_init() puts out who came before us.
 */
#ifndef PREREG_COMPAT_NETLINK_H
#define PREREG_COMPAT_NETLINK_H

#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/pid.h>
#include <linux/sched.h>
#include <linux/user_namespace.h>
#include <net/genetlink.h>
#include <net/sock.h>

#include "answers.h"
#ifdef PREREG_HAS_TASK_EXEC_STATE
#include <linux/sched/exec_state.h>
#else
#include <linux/sched/coredump.h>
#endif

#ifdef PREREG_HAS_NETLINK_BROADCAST_FILTERED
/* Return: may not listen. The socket may be closed at this moment. */
static inline int prereg_compat_keep_from(struct sock *sk, struct sk_buff *skb,
					  void *unused)
{
	bool may;

	read_lock_bh(&sk->sk_callback_lock);
	may = sk->sk_socket && sk->sk_socket->file &&
	      file_ns_capable(sk->sk_socket->file, &init_user_ns,
			      CAP_SYS_ADMIN);
	read_unlock_bh(&sk->sk_callback_lock);
	return !may;
}

static inline void prereg_compat_multicast(const struct genl_family *family,
					   struct net *net,
					   struct sk_buff *skb,
					   unsigned int group)
{
	nlmsg_multicast_filtered(net->genl_sock, skb, 0,
				 family->mcgrp_offset + group, GFP_KERNEL,
				 prereg_compat_keep_from, NULL);
}
#else
static inline void prereg_compat_multicast(const struct genl_family *family,
					   struct net *net,
					   struct sk_buff *skb,
					   unsigned int group)
{
	genlmsg_multicast_netns(family, net, skb, 0, group, GFP_KERNEL);
}
#endif

/*
 * May its own user trace the process of that pid, whose mm it is, as far as it lets him
 * (prctl(PR_SET_DUMPABLE), execve() of a program that gave it rights)?
 */
static inline bool prereg_compat_traceable(struct pid *pid,
					   struct mm_struct *mm)
{
#ifdef PREREG_HAS_TASK_EXEC_STATE
	struct task_struct *task;
	bool traceable;

	rcu_read_lock();
	task = pid_task(pid, PIDTYPE_TGID);
	traceable = task && rcu_dereference(task->exec_state)->dumpable ==
			    TASK_DUMPABLE_OWNER;
	rcu_read_unlock();
	return traceable;
#else
	return get_dumpable(mm) == SUID_DUMP_USER;
#endif
}

#endif
