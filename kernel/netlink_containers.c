// SPDX-License-Identifier: GPL-2.0-only
/*
 * netlink_containers: the dump of containers.
 */
#include <linux/iommu.h>
#include <linux/jiffies.h>
#include <linux/ktime.h>
#include <linux/pid.h>
#include <linux/sched/signal.h>
#include <linux/vfio.h>

#include "dma.h"
#include "netlink.h"

/*
 * How long one call of a dump waits for containers that somebody unpins gigabytes in: in its
 * first call it holds up all of generic netlink if a family is registered then.
 */
#define PREREG_DUMP_PATIENCE	(HZ / 10)

/* Of a container: what surely fits into a message. */
#define PREREG_SHARES_MAX	32
#define PREREG_GROUPS_MAX	128

/* The claims of a container, in turn; NULL: the first. container->lock held. */
static struct prereg_claim *claim_next(struct prereg_container *container,
				       struct prereg_claim *claim)
{
	struct list_head *claims;

	if (!container->type1)
		return claim || !container->claim.owner ? NULL :
							  &container->claim;
	claims = &container->type1->claims;
	if (!claim)
		return list_first_entry_or_null(claims, struct prereg_claim,
						container_entry);
	return list_is_last(&claim->container_entry, claims) ? NULL :
	       list_next_entry(claim, container_entry);
}

/* What an owner has in a container that may have several. */
static void share_count(struct prereg_container *container,
			const struct prereg_owner *owner, u64 *mappings,
			u64 *mapped_bytes)
{
	struct prereg_mapping *mapping;

	*mappings = container->nmappings;
	*mapped_bytes = container->mapped_bytes;
	if (!container->type1 || list_is_singular(&container->type1->claims))
		return;
	*mappings = 0;
	*mapped_bytes = 0;
	prereg_for_each_mapping(mapping, container, 0, U64_MAX) {
		cond_resched();
		if (mapping->registration->owner != owner)
			continue;
		++*mappings;
		*mapped_bytes += prereg_mapping_bytes(mapping);
	}
}

static int put_share_u64(struct sk_buff *skb, int attribute, u64 value)
{
	return nla_put_u64_64bit(skb, attribute, value, PREREG_A_SHARE_PAD);
}

static int share_fill(struct sk_buff *skb, struct prereg_container *container,
		      const struct prereg_owner *owner)
{
	struct nlattr *nest = nla_nest_start(skb, PREREG_A_CONTAINER_SHARE);
	u64 mappings, mapped_bytes;

	if (!nest)
		return -EMSGSIZE;
	share_count(container, owner, &mappings, &mapped_bytes);
	if (put_share_u64(skb, PREREG_A_SHARE_OWNER_ID,
			  prereg_owner_id(owner)) ||
	    put_share_u64(skb, PREREG_A_SHARE_MAPPINGS, mappings) ||
	    put_share_u64(skb, PREREG_A_SHARE_MAPPED_BYTES, mapped_bytes))
		return -EMSGSIZE;
	nla_nest_end(skb, nest);
	return 0;
}

static int shares_fill(struct sk_buff *skb, struct prereg_container *container,
		       const struct prereg_viewer *viewer)
{
	struct prereg_claim *claim = NULL;
	unsigned int n = 0;
	int ret;

	while ((claim = claim_next(container, claim)) &&
	       n < PREREG_SHARES_MAX) {
		if (!prereg_who_visible(&claim->owner->who, viewer))
			continue;
		ret = share_fill(skb, container, claim->owner);
		if (ret)
			return ret;
		n++;
	}
	return 0;
}

static int put_window_u64(struct sk_buff *skb, int attribute, u64 value)
{
	return nla_put_u64_64bit(skb, attribute, value, PREREG_A_WINDOW_PAD);
}

static int window_fill(struct sk_buff *skb, const struct prereg_window *window)
{
	struct nlattr *nest = nla_nest_start(skb, PREREG_A_CONTAINER_WINDOW);

	if (!nest)
		return -EMSGSIZE;
	if (put_window_u64(skb, PREREG_A_WINDOW_START, window->start) ||
	    put_window_u64(skb, PREREG_A_WINDOW_BYTES,
			   window->last - window->start + 1) ||
	    nla_put_u32(skb, PREREG_A_WINDOW_PAGE_SHIFT, window->page_shift) ||
	    nla_put_u32(skb, PREREG_A_WINDOW_LEVELS, window->levels))
		return -EMSGSIZE;
	nla_nest_end(skb, nest);
	return 0;
}

static int windows_fill(struct sk_buff *skb,
			const struct prereg_container *container)
{
	unsigned int i;
	int ret = 0;

	if (!container->hw || container->type1)
		return 0;
	for (i = 0; !ret && i < PREREG_WINDOWS_MAX; i++)
		if (container->windows[i].page_shift)
			ret = window_fill(skb, &container->windows[i]);
	return ret;
}

/**
 * struct group_filler - see group_fill()
 * @skb: where the groups go
 * @n: how many did
 */
struct group_filler {
	struct sk_buff	*skb;
	unsigned int	n;
};

static int group_fill(struct iommu_group *group, void *data)
{
	struct group_filler *filler = data;

	if (filler->n++ >= PREREG_GROUPS_MAX)
		return 0;
	return nla_put_u32(filler->skb, PREREG_A_CONTAINER_GROUP,
			   iommu_group_id(group));
}

static int groups_fill(struct sk_buff *skb,
		       const struct prereg_container *container)
{
	struct group_filler filler = { .skb = skb };

	if (!container->hw)
		return 0;
	return container->hw->ops->walk_groups(container->hw, group_fill,
						  &filler);
}

static int put_container_u64(struct sk_buff *skb, int attribute, u64 value)
{
	return nla_put_u64_64bit(skb, attribute, value, PREREG_A_CONTAINER_PAD);
}

static int orphan_fill(struct sk_buff *skb, const struct prereg_orphan *orphan,
		       const struct prereg_viewer *viewer)
{
	int ret;

	if (!orphan->who.pid)
		return 0;
	ret = put_container_u64(skb, PREREG_A_CONTAINER_ORPHAN_MS,
				prereg_age_ms(orphan->since));
	if (ret || !prereg_who_visible(&orphan->who, viewer))
		return ret;
	return nla_put_u32(skb, PREREG_A_CONTAINER_ORPHAN_PID,
			   pid_nr_ns(orphan->who.pid, viewer->pids)) ?:
	       nla_put_string(skb, PREREG_A_CONTAINER_ORPHAN_COMM,
			      orphan->who.comm);
}

static u32 container_type(const struct prereg_container *container)
{
	if (!container->type1)
		return VFIO_SPAPR_TCE_v2_IOMMU;
	return container->type1->v2 ? VFIO_TYPE1v2_IOMMU : VFIO_TYPE1_IOMMU;
}

static int container_fill(struct sk_buff *skb,
			  struct prereg_container *container,
			  const struct prereg_viewer *viewer)
{
	const struct prereg_who *who = &container->who;

	return put_container_u64(skb, PREREG_A_CONTAINER_ID, container->id) ?:
	       nla_put_u32(skb, PREREG_A_CONTAINER_TYPE,
			   container_type(container)) ?:
	       nla_put_u32(skb, PREREG_A_CONTAINER_PID,
			   prereg_who_pid(who, viewer)) ?:
	       nla_put_u32(skb, PREREG_A_CONTAINER_UID,
			   prereg_who_uid(who, viewer)) ?:
	       put_container_u64(skb, PREREG_A_CONTAINER_AGE_MS,
				 prereg_age_ms(who->since)) ?:
	       groups_fill(skb, container) ?:
	       nla_put_u32(skb, PREREG_A_CONTAINER_EMULATED_DEVICES,
			   container->ndevices) ?:
	       put_container_u64(skb, PREREG_A_CONTAINER_MAPPINGS,
				 container->nmappings) ?:
	       put_container_u64(skb, PREREG_A_CONTAINER_MAPPED_BYTES,
				 container->mapped_bytes) ?:
	       shares_fill(skb, container, viewer) ?:
	       windows_fill(skb, container) ?:
	       orphan_fill(skb, &container->orphan, viewer);
}

static bool container_visible(struct prereg_container *container,
			      const struct prereg_viewer *viewer)
{
	struct prereg_claim *claim = NULL;

	if (viewer->all || prereg_who_visible(&container->who, viewer))
		return true;
	while ((claim = claim_next(container, claim)))
		if (prereg_who_visible(&claim->owner->who, viewer))
			return true;
	return false;
}

/* container->lock held. */
static int container_tell(struct sk_buff *skb, struct netlink_callback *cb,
			  struct prereg_container *container)
{
	const struct prereg_viewer *viewer = &prereg_dump_of(cb)->viewer;
	void *head;

	if (!container->who.pid || !container_visible(container, viewer))
		return 0;
	head = prereg_dump_begin(skb, cb, PREREG_CMD_CONTAINER_GET);
	return prereg_dump_end(skb, head, !head ? -EMSGSIZE :
				container_fill(skb, container, viewer));
}

/* Without the lock: what may be read so. Whose it is may not, so only who sees all is told. */
static int container_tell_busy(struct sk_buff *skb, struct netlink_callback *cb,
			       const struct prereg_container *container)
{
	void *head;

	if (!prereg_dump_of(cb)->viewer.all)
		return 0;
	head = prereg_dump_begin(skb, cb, PREREG_CMD_CONTAINER_GET);
	return prereg_dump_end(skb, head, !head ? -EMSGSIZE :
		put_container_u64(skb, PREREG_A_CONTAINER_ID,
				  READ_ONCE(container->id)) ?:
		put_container_u64(skb, PREREG_A_CONTAINER_MAPPINGS,
				  READ_ONCE(container->nmappings)) ?:
		put_container_u64(skb, PREREG_A_CONTAINER_MAPPED_BYTES,
				  READ_ONCE(container->mapped_bytes)) ?:
		nla_put_flag(skb, PREREG_A_CONTAINER_BUSY));
}

/* Return: 0 locked; -EBUSY not by then; -EINTR fatal signal. */
static int container_lock_until(struct prereg_container *container,
				unsigned long deadline)
{
	while (!mutex_trylock(&container->lock)) {
		if (fatal_signal_pending(current))
			return -EINTR;
		if (time_after(jiffies, deadline))
			return -EBUSY;
		schedule_timeout_killable(1);
	}
	return 0;
}

int prereg_containers_dump(struct sk_buff *skb, struct netlink_callback *cb)
{
	unsigned long deadline = jiffies + PREREG_DUMP_PATIENCE;
	struct prereg_dump *dump = prereg_dump_of(cb);
	struct prereg_container *container;
	int ret;

	cb->seq = prereg_dump_seq(prereg_containers_changes());
	while ((container = prereg_container_at(dump->next))) {
		ret = container_lock_until(container, deadline);
		if (!ret) {
			ret = container_tell(skb, cb, container);
			prereg_container_unlock(container);
		} else if (ret == -EBUSY) {
			ret = container_tell_busy(skb, cb, container);
		}
		if (ret)
			return ret;
		dump->next++;
	}
	return skb->len;
}
