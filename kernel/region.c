// SPDX-License-Identifier: GPL-2.0-only
/*
 * region: one registered range of an owner, pinned and charged once, whoever
 * shares it; who may share it, and from when on nobody may.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "../include/uapi/linux/vfio_prereg_netlink.h"
#include "prereg.h"
#include "trace.h"

static struct kmem_cache *prereg_region_cache;

/* Spares clearing each (init_on_alloc): region_alloc() sets every field. */
static void region_construct(void *region)
{
	memset(region, 0, sizeof(struct prereg_region));
}

int prereg_region_init(void)
{
	prereg_region_cache = kmem_cache_create("prereg_region",
						sizeof(struct prereg_region), 0,
						SLAB_ACCOUNT, region_construct);
	return prereg_region_cache ? 0 : -ENOMEM;
}

void prereg_region_exit(void)
{
	kmem_cache_destroy(prereg_region_cache);
}

/* Struct only: nothing pinned, nothing charged. */
static struct prereg_region *region_alloc(struct prereg_owner *owner,
					  unsigned long vaddr,
					  unsigned long bytes, bool implicit,
					  bool write)
{
	struct prereg_region *region;

	region = kmem_cache_alloc(prereg_region_cache, GFP_KERNEL);
	if (!region)
		return NULL;

	*region = (struct prereg_region) {
		.range.first	= vaddr,
		.range.last	= vaddr + bytes - 1,
		.owner		= owner,
		.users		= 1,
		.state		= PREREG_REGION_PINNING,
		.implicit	= implicit,
		.writable	= write,
		.npages		= bytes >> PAGE_SHIFT,
		.segments	= &region->first,
	};
	prereg_owner_hold(owner);
	return region;
}

/* Who calls this holds the owner: module exit waits for owners, then ends the cache. */
static void prereg_region_free(struct prereg_region *region)
{
	if (region->segments != &region->first)
		kvfree(region->segments);
	prereg_owner_drop(region->owner);
	kmem_cache_free(prereg_region_cache, region);
}

void prereg_region_unlist(struct prereg_region *region)
{
	if (!region->listed)
		return;
	prereg_range_remove(&region->range, &region->owner->regions);
	region->owner->nregions--;
	region->owner->serial++;
	region->listed = false;
}

/* Charge and pin; what has no pages to be pinned (-EFAULT) costs nothing either. */
static int prereg_region_fill(struct prereg_region *region,
			      const struct prereg_payer *payer)
{
	struct prereg_owner *owner = region->owner;
	bool charged = false, refused;
	int ret;

	ret = prereg_owner_charge(owner, region->npages, payer);
	if (!ret) {
		charged = true;
		ret = prereg_region_pin(region);
		if (!ret)
			return 0;
		prereg_owner_owe(owner, region->npages);
		prereg_owner_pay(owner);
	}
	refused = ret == -ENOMEM && !charged;
	if (region->implicit && (ret == -EFAULT || ret == -ENOMEM)) {
		region->pfnmap = true;
		if (!prereg_region_pin(region))
			return 0;
	}
	if (refused)
		prereg_owner_refused(owner, region->npages, payer);
	return ret;
}

/* Fill a region that others wait for as PINNING, then let them see it. */
static int prereg_region_populate(struct prereg_region *region,
				  const struct prereg_payer *payer)
{
	struct prereg_owner *owner = region->owner;
	int ret;

	WRITE_ONCE(region->pinner, current);
	ret = prereg_region_fill(region, payer);
	WRITE_ONCE(region->pinner, NULL);
	trace_prereg_pin(prereg_owner_id(owner), region->range.first,
			 region->npages << PAGE_SHIFT, region->implicit,
			 region->writable, ret);
	if (!ret) {
		if (!region->pfnmap)
			atomic_long_add(region->npages,
					&owner->registered_pages);
		prereg_stat_add(PREREG_STAT_REGIONS, 1);
		prereg_stat_add(PREREG_STAT_BOOKKEEPING_BYTES,
				prereg_region_footprint(region));
	}

	spin_lock(&owner->lock);
	if (ret)
		prereg_region_unlist(region);
	/* Pairs with prereg_region_state(): the segments are filled. */
	smp_store_release(&region->state, ret ? PREREG_REGION_FAILED :
						PREREG_REGION_READY);
	spin_unlock(&owner->lock);
	if (wq_has_sleeper(&owner->pinned))
		wake_up_all(&owner->pinned);
	return ret;
}

static void region_tell_put(const struct prereg_region *region)
{
	trace_prereg_put(prereg_owner_id(region->owner), region->range.first,
			 region->npages << PAGE_SHIFT);
	/* Where each MAP and UNMAP makes and puts one, tracing is for that. */
	if (!region->implicit && prereg_event_wanted(PREREG_CMD_REGION_PUT_NTF))
		prereg_event_post(region->owner, &(struct prereg_event) {
			.command	= PREREG_CMD_REGION_PUT_NTF,
			.vaddr		= region->range.first,
			.bytes		= (u64)region->npages << PAGE_SHIFT,
		});
}

void prereg_region_destroy(struct prereg_region *region)
{
	const bool stuck = region->stuck && !region->pfnmap;

	prereg_stat_add(PREREG_STAT_REGIONS, -1);
	prereg_stat_add(PREREG_STAT_BOOKKEEPING_BYTES,
			-(long)prereg_region_footprint(region));
	if (stuck)
		pr_err("%lu pages stay pinned: the IOMMU did not let go of them\n",
		       region->npages);
	prereg_region_unpin(region);
	if (!region->pfnmap) {
		atomic_long_sub(region->npages,
				&region->owner->registered_pages);
		prereg_owner_owe(region->owner, region->npages);
	}
	if (stuck)
		atomic_long_add(region->npages, &region->owner->stuck_pages);
	else if (!region->pfnmap)
		region_tell_put(region);
	prereg_region_free(region);
}

static void region_put(struct prereg_region *region, unsigned long keep_pages)
{
	struct prereg_owner *owner = region->owner;
	bool last, ready, kept = false;
	LIST_HEAD(dropped);

	/* Our use of the region may be all that keeps its owner alive. */
	prereg_owner_hold(owner);
	spin_lock(&owner->lock);
	last = !--region->users;
	ready = region->state == PREREG_REGION_READY;
	if (last && ready && keep_pages)
		kept = prereg_kept_add(region, keep_pages, &dropped);
	if (last && !kept)
		prereg_region_unlist(region);
	spin_unlock(&owner->lock);
	if (!list_empty(&dropped))
		prereg_kept_free(&dropped);

	/*
	 * Out of the tree, so a REGISTER of the same range pins anew while this
	 * unpins; both pins are counted, both are charged. A release() that
	 * comes now waits for our container->lock where we are a tear-down, and
	 * cannot come where we are a call of the owner's.
	 */
	if (last && !kept) {
		if (ready)
			prereg_region_destroy(region);
		else
			prereg_region_free(region);
	}
	prereg_owner_drop(owner);
}

void prereg_region_put(struct prereg_region *region)
{
	region_put(region, 0);
}

void prereg_region_put_kept(struct prereg_region *region,
			    unsigned long keep_pages)
{
	/*
	 * What is kept is dropped where a page lock may be held, so its pages are
	 * dirtied here. They stay dirty: nobody writes a pinned page back, see
	 * folio_is_pinnable(). Somebody who maps it at this moment is not missed for
	 * the same reason.
	 */
	if (region->npages <= keep_pages && READ_ONCE(region->users) == 1 &&
	    READ_ONCE(region->written) && !region->pfnmap) {
		WRITE_ONCE(region->written, false);
		prereg_region_dirty(region);
	}
	region_put(region, keep_pages);
}

/* Without owner->lock, for a user of the region. */
static enum prereg_region_state
prereg_region_state(const struct prereg_region *region)
{
	/* Pairs with prereg_region_populate(). */
	return smp_load_acquire(&region->state);
}

static struct prereg_region *region_first(struct prereg_owner *owner,
					  unsigned long first,
					  unsigned long last)
{
	struct prereg_range *range =
		prereg_range_find(&owner->regions, first, last);

	return range ? container_of(range, struct prereg_region, range) : NULL;
}

/* The region that a new one can share, or NULL. owner->lock held. */
static struct prereg_region *region_to_share(struct prereg_owner *owner,
					     unsigned long vaddr,
					     unsigned long last, bool implicit,
					     bool write)
{
	struct prereg_region *region = region_first(owner, vaddr, last);

	if (!region || (write && !region->writable))
		return NULL;
	if (region->range.first > vaddr || region->range.last < last)
		return NULL;
	if (implicit)
		return region;
	return region->npages == (last - vaddr + 1) >> PAGE_SHIFT &&
	       !region->pfnmap ? region : NULL;
}

/* One user more. owner->lock held. */
static void region_use(struct prereg_region *region)
{
	if (!region->users++ && region->state == PREREG_REGION_READY)
		prereg_kept_remove(region);
}

/* Is an invalidation under way that may be about the region? owner->lock held. */
static bool region_is_going(const struct prereg_region *region)
{
	const struct prereg_owner *owner = region->owner;

	return owner->invalidations &&
	       region->range.first <= owner->invalid_last &&
	       region->range.last >= owner->invalid_first;
}

/* Let others find a new region. Return: false: it overlaps another. owner->lock held. */
static bool region_list(struct prereg_region *new)
{
	if (!prereg_range_insert(&new->range, &new->owner->regions))
		return false;
	new->listed = true;
	new->owner->nregions++;
	new->serial = ++new->owner->serial;
	/* What is going to be pinned may be what is just going. */
	new->doubts = region_is_going(new);
	return true;
}

/*
 * The same for one that overlaps others. What MAPs made gives way to what a REGISTER made,
 * and of two that MAPs made the shorter one; a new one that would have to give way
 * stays private. owner->lock held.
 * Return: 0; -EAGAIN: there is more to give way; -EINVAL: overlaps another region that a
 * REGISTER made.
 */
static int region_displace(struct prereg_region *new, struct list_head *dropped)
{
	struct prereg_owner *owner = new->owner;
	unsigned long first = new->range.first, last = new->range.last;
	struct prereg_region *region;
	struct prereg_range *range;
	unsigned int n = 0;

	for (range = prereg_range_find(&owner->regions, first, last);
	     range && range->first <= last && n < PREREG_REGIONS_AT_ONCE;
	     range = prereg_range_next(range), n++) {
		region = container_of(range, struct prereg_region, range);
		if (!new->implicit && !region->implicit)
			return -EINVAL;
		if (new->implicit && (!region->implicit ||
				      region->npages > new->npages))
			return 0;
	}
	while (n-- && (region = region_first(owner, first, last))) {
		if (region->users)
			prereg_region_unlist(region);
		else
			prereg_kept_drop(region, dropped);
	}
	return region_list(new) ? 0 : -EAGAIN;
}

/*
 * What is there may have changed, from *first on. Return: true: not all was looked at, *first
 * is where to go on. owner->lock held.
 */
static bool regions_doubt(struct prereg_owner *owner, unsigned long *first,
			  unsigned long last, bool may_sleep,
			  struct list_head *dropped)
{
	struct prereg_range *range, *next;
	struct prereg_region *region;
	unsigned int n = 0;

	for (range = prereg_range_find(&owner->regions, *first, last);
	     range && range->first <= last; range = next) {
		if (n++ == PREREG_REGIONS_AT_ONCE) {
			*first = range->first;
			return true;
		}
		next = prereg_range_next(range);
		region = container_of(range, struct prereg_region, range);
		/* Faults of who pins a region come before the page is pinned. */
		if (READ_ONCE(region->pinner) == current)
			continue;
		region->doubts++;
		if (!region->users && may_sleep)
			prereg_kept_drop(region, dropped);
	}
	return false;
}

/*
 * What is shared or listed while the lock is dropped is as if that had come before, or is met
 * further on, or sees owner->invalidations.
 */
void prereg_regions_invalidate(struct prereg_owner *owner,
			       unsigned long first, unsigned long last,
			       bool changes, bool may_sleep)
{
	LIST_HEAD(dropped);

	spin_lock(&owner->lock);
	if (!owner->invalidations++) {
		owner->invalid_first = first;
		owner->invalid_last = last;
	} else {
		owner->invalid_first = min(owner->invalid_first, first);
		owner->invalid_last = max(owner->invalid_last, last);
	}
	while (changes && regions_doubt(owner, &first, last, may_sleep,
					&dropped)) {
		spin_unlock(&owner->lock);
		prereg_kept_free(&dropped);
		if (may_sleep)
			cond_resched();
		spin_lock(&owner->lock);
	}
	spin_unlock(&owner->lock);
	prereg_kept_free(&dropped);
}

/*
 * The first page tells: what unmaps some of a region's pages unmaps it, a split none.
 * Return: true: not all was looked at, *first is where to go on. owner->lock held.
 */
static bool regions_judge(struct prereg_owner *owner, unsigned long *first,
			  unsigned long last, bool unmapped,
			  struct prereg_stale *stale)
{
	struct prereg_region *region;
	struct prereg_range *range;
	unsigned long from;
	unsigned int n = 0;

	for (range = prereg_range_find(&owner->regions, *first, last);
	     range && range->first <= last; range = prereg_range_next(range)) {
		if (n++ == PREREG_REGIONS_AT_ONCE) {
			*first = range->first;
			return true;
		}
		region = container_of(range, struct prereg_region, range);
		if (!region->implicit || !region->users || region->stale ||
		    region->pfnmap || region->state != PREREG_REGION_READY)
			continue;
		from = max_t(u64, *first, range->first);
		if (!prereg_region_page_gone(region, from, unmapped))
			continue;
		region->stale = true;
		stale->count = ++owner->stale.count;
		stale->vaddr = from;
		stale->bytes = min_t(u64, last, range->last) - from + 1;
		stale->pid = task_pid_vnr(current);
		owner->stale = *stale;
		prereg_stat_add(PREREG_STAT_STALE_MAPPINGS, 1);
	}
	return false;
}

void prereg_regions_judge(struct prereg_owner *owner, unsigned long first,
			  unsigned long last, bool unmapped, bool may_sleep)
{
	struct prereg_stale stale = {};
	bool more;

	do {
		spin_lock(&owner->lock);
		more = regions_judge(owner, &first, last, unmapped, &stale);
		spin_unlock(&owner->lock);
		if (may_sleep)
			cond_resched();
	} while (more);

	if (stale.count && !xchg(&owner->stale_told, true))
		pr_warn_ratelimited("%s[%d] unmapped memory at %#llx (%llu bytes) that devices still have mapped: they go on using the old pages\n",
				    current->comm, task_pid_nr(current),
				    stale.vaddr, stale.bytes);
}

struct prereg_region *prereg_region_find(struct prereg_owner *owner,
					 unsigned long vaddr,
					 unsigned long bytes, bool write)
{
	struct prereg_region *region;

	spin_lock(&owner->lock);
	region = region_to_share(owner, vaddr, vaddr + bytes - 1, true, write);
	if (region && region->state == PREREG_REGION_READY &&
	    region->doubts == region->sure)
		region_use(region);
	else
		region = NULL;
	spin_unlock(&owner->lock);
	return region;
}

/*
 * We use a region that somebody else made: is it, or will it be, what we want?
 * Return: 0; -EAGAIN it is not any more, or he failed, for a reason of his (a kill);
 * -ESTALE it holds something else than what is there; -ENOMEM, -EINTR.
 */
static int region_check(struct prereg_region *region, unsigned long vaddr,
			unsigned long bytes, bool implicit, bool write)
{
	struct prereg_owner *owner = region->owner;
	u32 doubts;
	int ret = 0;

	if (prereg_region_state(region) == PREREG_REGION_PINNING &&
	    wait_event_killable(owner->pinned, prereg_region_state(region) !=
				PREREG_REGION_PINNING))
		return -EINTR;
	if (prereg_region_state(region) != PREREG_REGION_READY)
		return -EAGAIN;

	spin_lock(&owner->lock);
	doubts = region->doubts;
	/* What a REGISTER made is shared by REGISTERs as it is. */
	if (doubts == region->sure || (!implicit && !region->implicit))
		goto shared;
	spin_unlock(&owner->lock);
	ret = prereg_region_compare(region, vaddr, bytes, write);
	spin_lock(&owner->lock);
	/* A reader's look does not tell whether a writer may have it. */
	if (!ret && bytes >> PAGE_SHIFT == region->npages &&
	    (write || !region->writable) &&
	    doubts == region->doubts && !region_is_going(region))
		region->sure = doubts;
shared:
	if (!ret && !implicit) {
		/* From now on a REGISTER made it, if others still find it. */
		ret = region->listed ? 0 : -EAGAIN;
		if (!ret)
			region->implicit = false;
	}
	spin_unlock(&owner->lock);
	return ret;
}

static struct prereg_region *region_get(struct prereg_owner *owner,
					unsigned long vaddr,
					unsigned long bytes, bool implicit,
					bool write,
					const struct prereg_payer *payer)
{
	unsigned long last = vaddr + bytes - 1;
	struct prereg_region *region, *new;
	LIST_HEAD(dropped);
	u64 stale = 0;
	int ret;

	/* Before a charge and an array are made for nonsense. */
	if (!access_ok((void __user *)vaddr, bytes))
		return ERR_PTR(-EFAULT);

	new = region_alloc(owner, vaddr, bytes, implicit, write);
	if (!new)
		return ERR_PTR(-ENOMEM);

	do {
		region = NULL;
		ret = 0;
		spin_lock(&owner->lock);
		if (!region_list(new)) {
			region = region_to_share(owner, vaddr, last, implicit,
						 write);
			if (region && region->serial == stale)
				region = NULL;
			if (region)
				region_use(region);
			else
				ret = region_displace(new, &dropped);
		}
		spin_unlock(&owner->lock);
		if (!region) {
			prereg_kept_free(&dropped);
			if (ret == -EAGAIN) {
				cond_resched();
				continue;
			}
			if (!ret)
				ret = prereg_region_populate(new, payer);
			if (!ret)
				return new;
			break;
		}

		ret = region_check(region, vaddr, bytes, implicit, write);
		if (!ret) {
			prereg_region_put(new);
			return region;
		}
		if (ret == -ESTALE)
			stale = region->serial;
		prereg_region_put(region);
	} while (ret == -EAGAIN || ret == -ESTALE);

	prereg_region_put(new);
	return ERR_PTR(ret);
}

struct prereg_region *prereg_region_get(struct prereg_owner *owner,
					unsigned long vaddr,
					unsigned long bytes)
{
	return region_get(owner, vaddr, bytes, false, true, NULL);
}

struct prereg_region *prereg_region_get_implicit(struct prereg_owner *owner,
						 unsigned long vaddr,
						 unsigned long bytes,
						 bool write,
						 const struct prereg_payer *payer)
{
	return region_get(owner, vaddr, bytes, true, write, payer);
}
