// SPDX-License-Identifier: GPL-2.0-only
/*
 * netlink_owners: dumps of owners and of an owner's regions.
 */
#include <linux/err.h>
#include <linux/ktime.h>
#include <linux/sched.h>

#include "compat/netlink.h"
#include "netlink.h"

/* ---- owners ----------------------------------------------------------- */

static u32 owner_containers(const struct prereg_owner *owner)
{
	const struct prereg_claim *claim;
	u32 n = 0;

	list_for_each_entry(claim, &owner->claims, owner_entry)
		n++;
	return n;
}

static int put_owner_u64(struct sk_buff *skb, int attribute, u64 value)
{
	return nla_put_u64_64bit(skb, attribute, value, PREREG_A_OWNER_PAD);
}

static int owner_fill(struct sk_buff *skb, struct prereg_owner *owner,
		      const struct prereg_viewer *viewer)
{
	const struct prereg_who *who = &owner->who;
	unsigned long regions, kept;
	u32 containers;
	u64 stale;

	spin_lock(&owner->lock);
	regions = owner->nregions;
	kept = owner->kept_pages;
	stale = owner->stale.count;
	containers = owner_containers(owner);
	spin_unlock(&owner->lock);

	return put_owner_u64(skb, PREREG_A_OWNER_ID, prereg_owner_id(owner)) ?:
	       nla_put_u32(skb, PREREG_A_OWNER_PID, prereg_who_pid(who, viewer)) ?:
	       nla_put_u32(skb, PREREG_A_OWNER_UID, prereg_who_uid(who, viewer)) ?:
	       nla_put_string(skb, PREREG_A_OWNER_COMM, who->comm) ?:
	       put_owner_u64(skb, PREREG_A_OWNER_AGE_MS, prereg_age_ms(who->since)) ?:
	       put_owner_u64(skb, PREREG_A_OWNER_REGIONS, regions) ?:
	       put_owner_u64(skb, PREREG_A_OWNER_REGISTERED_BYTES,
			     prereg_pages_bytes(atomic_long_read(&owner->registered_pages))) ?:
	       put_owner_u64(skb, PREREG_A_OWNER_CHARGED_BYTES,
			     prereg_pages_bytes(READ_ONCE(owner->charged_pages))) ?:
	       put_owner_u64(skb, PREREG_A_OWNER_KEPT_BYTES,
			     prereg_pages_bytes(kept)) ?:
	       put_owner_u64(skb, PREREG_A_OWNER_STALE_MAPPINGS, stale) ?:
	       nla_put_u32(skb, PREREG_A_OWNER_CONTAINERS, containers);
}

static int owner_tell(struct sk_buff *skb, struct netlink_callback *cb,
		      struct prereg_owner *owner)
{
	const struct prereg_viewer *viewer = &prereg_dump_of(cb)->viewer;
	void *head;

	if (!prereg_who_visible(&owner->who, viewer))
		return 0;
	head = prereg_dump_begin(skb, cb, PREREG_CMD_OWNER_GET);
	return prereg_dump_end(skb, head, !head ? -EMSGSIZE :
				owner_fill(skb, owner, viewer));
}

int prereg_owners_dump(struct sk_buff *skb, struct netlink_callback *cb)
{
	struct prereg_dump *dump = prereg_dump_of(cb);
	struct prereg_owner *owner;
	int ret;

	cb->seq = prereg_dump_seq(prereg_owners_changes());
	while ((owner = prereg_owner_find(dump->next, U64_MAX))) {
		ret = owner_tell(skb, cb, owner);
		if (!ret)
			dump->next = prereg_owner_id(owner) + 1;
		prereg_owner_drop(owner);
		if (ret)
			return ret;
		cond_resched();
	}
	return skb->len;
}

/* ---- regions ---------------------------------------------------------- */

const struct nla_policy prereg_regions_policy[PREREG_A_REGION_OWNER_ID + 1] = {
	[PREREG_A_REGION_OWNER_ID] = { .type = NLA_U64 },
};

/*
 * The owner whose regions are dumped, with a struct reference; or ERR_PTR: -ENOENT the viewer
 * sees no such owner, -EPERM it may not be traced: its addresses are not for its user then,
 * as in /proc/PID/maps.
 */
static struct prereg_owner *owner_to_look_at(const struct prereg_dump *dump)
{
	const struct prereg_viewer *viewer = &dump->viewer;
	struct prereg_owner *owner = prereg_owner_find(dump->owner_id,
						       dump->owner_id);
	int ret = 0;

	if (!owner)
		return ERR_PTR(-ENOENT);
	if (!prereg_who_visible(&owner->who, viewer))
		ret = -ENOENT;
	else if (!viewer->all &&
		 !prereg_compat_traceable(owner->who.pid, owner->mm))
		ret = -EPERM;
	if (!ret)
		return owner;
	prereg_owner_drop(owner);
	return ERR_PTR(ret);
}

int prereg_regions_start(struct netlink_callback *cb)
{
	struct nlattr *attrs[PREREG_A_REGION_OWNER_ID + 1];
	struct prereg_dump *dump = prereg_dump_of(cb);
	struct prereg_owner *owner;
	int ret;

	ret = genlmsg_parse(cb->nlh, &prereg_family, attrs,
			    ARRAY_SIZE(attrs) - 1, prereg_regions_policy,
			    cb->extack);
	if (ret)
		return ret;
	if (NL_REQ_ATTR_CHECK(cb->extack, NULL, attrs,
			      PREREG_A_REGION_OWNER_ID)) {
		NL_SET_ERR_MSG(cb->extack,
			       "whose regions? The attribute owner-id is missing");
		return -EINVAL;
	}
	dump->owner_id = nla_get_u64(attrs[PREREG_A_REGION_OWNER_ID]);

	prereg_dump_start(cb);
	owner = owner_to_look_at(dump);
	if (!IS_ERR(owner)) {
		prereg_owner_drop(owner);
		return 0;
	}
	prereg_dump_done(cb);
	if (PTR_ERR(owner) == -ENOENT)
		NL_SET_ERR_MSG(cb->extack,
			       "no owner with this id that you may see");
	else
		NL_SET_ERR_MSG(cb->extack,
			       "this process may not be traced by its user: CAP_SYS_ADMIN is needed");
	return PTR_ERR(owner);
}

static u32 region_flags(const struct prereg_region *region)
{
	return (region->implicit ? PREREG_REGION_FLAGS_IMPLICIT : 0) |
	       (region->users ? 0 : PREREG_REGION_FLAGS_KEPT) |
	       (region->writable ? PREREG_REGION_FLAGS_WRITABLE : 0) |
	       (region->pfnmap ? PREREG_REGION_FLAGS_DEVICE : 0) |
	       (region->stale ? PREREG_REGION_FLAGS_STALE : 0) |
	       (region->state == PREREG_REGION_READY ? 0 :
		PREREG_REGION_FLAGS_PINNING);
}

static int put_region_u64(struct sk_buff *skb, int attribute, u64 value)
{
	return nla_put_u64_64bit(skb, attribute, value, PREREG_A_REGION_PAD);
}

/* owner->lock held: it keeps the region, and nothing here sleeps. */
static int region_fill(struct sk_buff *skb, const struct prereg_region *region)
{
	int ret;

	ret = put_region_u64(skb, PREREG_A_REGION_OWNER_ID,
			     prereg_owner_id(region->owner)) ?:
	      put_region_u64(skb, PREREG_A_REGION_VADDR, region->range.first) ?:
	      put_region_u64(skb, PREREG_A_REGION_BYTES,
			     prereg_pages_bytes(region->npages)) ?:
	      nla_put_u32(skb, PREREG_A_REGION_USERS, region->users) ?:
	      nla_put_u32(skb, PREREG_A_REGION_FLAGS, region_flags(region));
	/* What its pages are is not known while they are being pinned; a BAR has none. */
	if (ret || region->state != PREREG_REGION_READY || region->pfnmap)
		return ret;
	return put_region_u64(skb, PREREG_A_REGION_RUNS, region->nruns) ?:
	       put_region_u64(skb, PREREG_A_REGION_LARGEST_RUN_BYTES,
			      prereg_pages_bytes(region->largest_run)) ?:
	       put_region_u64(skb, PREREG_A_REGION_PAGE_SIZES,
			      region->page_sizes);
}

int prereg_regions_dump(struct sk_buff *skb, struct netlink_callback *cb)
{
	struct prereg_dump *dump = prereg_dump_of(cb);
	struct prereg_range *range;
	struct prereg_owner *owner;
	int ret = 0;
	void *head;

	if (dump->done)
		return 0;
	owner = owner_to_look_at(dump);
	if (IS_ERR(owner)) {
		/* It ended meanwhile: not all was told. */
		cb->seq = 0;
		return 0;
	}
	spin_lock(&owner->lock);
	cb->seq = prereg_dump_seq(owner->serial);
	for (range = prereg_range_find(&owner->regions, dump->next, U64_MAX);
	     range; range = prereg_range_next(range)) {
		head = prereg_dump_begin(skb, cb, PREREG_CMD_REGION_GET);
		ret = prereg_dump_end(skb, head, !head ? -EMSGSIZE :
				       region_fill(skb, container_of(range,
						   struct prereg_region, range)));
		if (ret)
			break;
		dump->next = range->last + 1;
	}
	spin_unlock(&owner->lock);
	prereg_owner_drop(owner);
	dump->done = !range;
	return ret ?: skb->len;
}
