// SPDX-License-Identifier: GPL-2.0-only
/* Can netlink messages be kept from some of those who joined a group? */
#include <linux/netlink.h>

int probe(struct sock *sk, struct sk_buff *skb)
{
#ifdef PREREG_PROBE_QUESTION
	return netlink_broadcast_filtered(sk, skb, 0, 1, GFP_KERNEL, NULL, NULL);
#else
	return 0;
#endif
}
