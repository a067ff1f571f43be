// SPDX-License-Identifier: GPL-2.0-only
/*
 * netlink_counters: what there is on the host, and what happened.
 */
#include "netlink.h"

static int put_counter(struct sk_buff *skb, int attribute, u64 value)
{
	return nla_put_u64_64bit(skb, attribute, value, PREREG_A_COUNTERS_PAD);
}

static const struct {
	u8			attribute;
	const atomic_long_t	*value;
	bool			pages;
} prereg_counters[] = {
	{ PREREG_A_COUNTERS_CONTAINERS, &prereg_stats[PREREG_STAT_CONTAINERS] },
	{ PREREG_A_COUNTERS_OWNERS, &prereg_stats[PREREG_STAT_OWNERS] },
	{ PREREG_A_COUNTERS_REGIONS, &prereg_stats[PREREG_STAT_REGIONS] },
	{ PREREG_A_COUNTERS_PINNED_BYTES,
	  &prereg_stats[PREREG_STAT_PINNED_PAGES], true },
	{ PREREG_A_COUNTERS_CHARGED_BYTES,
	  &prereg_stats[PREREG_STAT_CHARGED_PAGES], true },
	{ PREREG_A_COUNTERS_KEPT_BYTES,
	  &prereg_stats[PREREG_STAT_KEPT_PAGES], true },
	{ PREREG_A_COUNTERS_BOOKKEEPING_BYTES,
	  &prereg_stats[PREREG_STAT_BOOKKEEPING_BYTES] },
	{ PREREG_A_COUNTERS_STALE_MAPPINGS,
	  &prereg_stats[PREREG_STAT_STALE_MAPPINGS] },
	{ PREREG_A_COUNTERS_RELEASES, &prereg_totals[PREREG_TOTAL_RELEASES] },
	{ PREREG_A_COUNTERS_RELEASED_BYTES,
	  &prereg_totals[PREREG_TOTAL_RELEASED_PAGES], true },
	{ PREREG_A_COUNTERS_REVOKED_MAPPINGS,
	  &prereg_totals[PREREG_TOTAL_REVOKED_MAPPINGS] },
	{ PREREG_A_COUNTERS_REFUSED_MEMLOCK,
	  &prereg_totals[PREREG_TOTAL_REFUSED_MEMLOCK] },
	{ PREREG_A_COUNTERS_EVENTS_LOST,
	  &prereg_totals[PREREG_TOTAL_EVENTS_LOST] },
};

/* Room for all of them, and for each errno. */
#define PREREG_COUNTERS_BYTES	(1024 + PREREG_ERRNO_MAX * \
				 (2 * nla_total_size(0) + nla_total_size(4) + \
				  nla_total_size_64bit(8)))

static int refused_fill(struct sk_buff *skb)
{
	struct nlattr *nest;
	u64 count;
	u32 error;

	for (error = 1; error <= PREREG_ERRNO_MAX; error++) {
		count = atomic_long_read(&prereg_refused[error]);
		if (!count)
			continue;
		nest = nla_nest_start(skb, PREREG_A_COUNTERS_REFUSED);
		if (!nest || nla_put_u32(skb, PREREG_A_REFUSED_ERRNO, error) ||
		    nla_put_u64_64bit(skb, PREREG_A_REFUSED_COUNT, count,
				      PREREG_A_REFUSED_PAD))
			return -EMSGSIZE;
		nla_nest_end(skb, nest);
	}
	return 0;
}

/* Without waiting for anybody: of different moments. */
static int mappings_fill(struct sk_buff *skb)
{
	const struct prereg_container *container;
	u64 nmappings = 0, mapped_bytes = 0;
	unsigned long i;

	for (i = 0; (container = prereg_container_at(i)); i++) {
		nmappings += READ_ONCE(container->nmappings);
		mapped_bytes += READ_ONCE(container->mapped_bytes);
	}
	return put_counter(skb, PREREG_A_COUNTERS_MAPPINGS, nmappings) ?:
	       put_counter(skb, PREREG_A_COUNTERS_MAPPED_BYTES, mapped_bytes);
}

static int counters_fill(struct sk_buff *skb)
{
	int i, ret = mappings_fill(skb);
	u64 value;

	for (i = 0; !ret && i < ARRAY_SIZE(prereg_counters); i++) {
		value = atomic_long_read(prereg_counters[i].value);
		if (prereg_counters[i].pages)
			value = prereg_pages_bytes(value);
		ret = put_counter(skb, prereg_counters[i].attribute, value);
	}
	return ret ?: refused_fill(skb);
}

int prereg_counters_get(struct sk_buff *request, struct genl_info *info)
{
	struct sk_buff *skb;
	void *head;
	int ret;

	if (!prereg_may_see_all(request)) {
		GENL_SET_ERR_MSG(info, "the host's counters need CAP_SYS_ADMIN in the initial user namespace");
		return -EPERM;
	}
	skb = genlmsg_new(PREREG_COUNTERS_BYTES, GFP_KERNEL);
	if (!skb)
		return -ENOMEM;
	head = genlmsg_put_reply(skb, info, &prereg_family, 0,
				 PREREG_CMD_COUNTERS_GET);
	ret = head ? counters_fill(skb) : -EMSGSIZE;
	if (ret) {
		nlmsg_free(skb);
		return ret;
	}
	genlmsg_end(skb, head);
	return genlmsg_reply(skb, info);
}
