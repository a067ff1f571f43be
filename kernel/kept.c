// SPDX-License-Identifier: GPL-2.0-only
/*
 * kept: registrations that outlive their UNMAP.
 *
 * A program that maps and unmaps the same memory again and again pays for pinning it
 * each time. Where it is allowed (module parameter keep_mib, VFIO_PREREG_KEEP) an
 * implicit region that lost its last user stays pinned and charged, and the next
 * MAP of anything in it pins nothing. It goes
 *  - when what is at its addresses changes (munmap, MADV_DONTNEED, a hole punched into
 *    the file, ...), before that happens: prereg_regions_invalidate();
 *  - when more is kept than is allowed, or RLIMIT_MEMLOCK has no room: the oldest
 *    first, or all;
 *  - when memory is short: the shrinker, the oldest of all owners first;
 *  - when the owner has no container any more, and at its last mmput().
 *
 * Whoever drops one may hold page locks, rmap locks or mmap_lock, so nothing here waits
 * for anything; the charge is given back by a work item.
 */
#include <linux/mm.h>
#include <linux/shrinker.h>

#include "compat/compat.h"
#include "prereg.h"

/* Everything kept, oldest first. Inside owner->lock. */
static LIST_HEAD(prereg_kept_lru);
static DEFINE_SPINLOCK(prereg_kept_lock);

static struct shrinker *prereg_kept_shrinker;

static void kept_count(struct prereg_region *region, long npages)
{
	region->owner->kept_pages += npages;
	prereg_stat_add(PREREG_STAT_KEPT_PAGES, npages);
}

/* Out of the lists. owner->lock and prereg_kept_lock held, as for the next one. */
static void kept_remove_locked(struct prereg_region *region)
{
	list_del(&region->kept_entry);
	list_del(&region->lru_entry);
	kept_count(region, -(long)region->npages);
}

static void kept_drop_locked(struct prereg_region *region,
			     struct list_head *dropped)
{
	kept_remove_locked(region);
	prereg_region_unlist(region);
	list_add_tail(&region->kept_entry, dropped);
	/* The owner's release() waits for it. */
	region->owner->dropping++;
}

void prereg_kept_remove(struct prereg_region *region)
{
	lockdep_assert_held(&region->owner->lock);

	spin_lock(&prereg_kept_lock);
	kept_remove_locked(region);
	spin_unlock(&prereg_kept_lock);
}

void prereg_kept_drop(struct prereg_region *region, struct list_head *dropped)
{
	lockdep_assert_held(&region->owner->lock);

	spin_lock(&prereg_kept_lock);
	kept_drop_locked(region, dropped);
	spin_unlock(&prereg_kept_lock);
}

/*
 * Drop what is beyond target, the oldest first; no more than PREREG_REGIONS_AT_ONCE.
 * owner->lock held.
 */
static void kept_drop_some(struct prereg_owner *owner, unsigned long target,
			   struct list_head *dropped)
{
	unsigned int n;

	for (n = 0; owner->kept_pages > target && n < PREREG_REGIONS_AT_ONCE; n++)
		prereg_kept_drop(list_first_entry(&owner->kept,
						  struct prereg_region,
						  kept_entry), dropped);
}

bool prereg_kept_add(struct prereg_region *region, unsigned long keep_pages,
		     struct list_head *dropped)
{
	struct prereg_owner *owner = region->owner;

	lockdep_assert_held(&owner->lock);

	/* Without a claim nobody would tell us of changes, or of the end. */
	if (!region->implicit || !region->listed || region->doubts != region->sure ||
	    region->stuck || region->npages > keep_pages ||
	    list_empty(&owner->claims))
		return false;
	/* A BAR costs no pin. What is kept must be dropped without a page lock. */
	if (region->pfnmap || region->written)
		return false;

	kept_drop_some(owner, keep_pages - region->npages, dropped);
	/* Next time, then. */
	if (owner->kept_pages > keep_pages - region->npages)
		return false;
	list_add_tail(&region->kept_entry, &owner->kept);
	spin_lock(&prereg_kept_lock);
	list_add_tail(&region->lru_entry, &prereg_kept_lru);
	spin_unlock(&prereg_kept_lock);
	kept_count(region, region->npages);
	return true;
}

void prereg_kept_free(struct list_head *dropped)
{
	struct prereg_region *region, *next;
	struct prereg_owner *owner;

	list_for_each_entry_safe(region, next, dropped, kept_entry) {
		list_del(&region->kept_entry);
		owner = region->owner;
		prereg_owner_hold(owner);
		prereg_region_destroy(region);

		spin_lock(&owner->lock);
		owner->dropping--;
		spin_unlock(&owner->lock);
		wake_up_all(&owner->pinned);
		prereg_owner_pay_later(owner);
		prereg_owner_drop(owner);
	}
}

bool prereg_kept_trim(struct prereg_owner *owner, unsigned long keep_pages)
{
	unsigned long todo = ULONG_MAX, before, gone;
	LIST_HEAD(dropped);
	bool any = false;

	/* What others add meanwhile is not waited for. */
	do {
		spin_lock(&owner->lock);
		before = owner->kept_pages;
		todo = min(todo, before - min(before, keep_pages));
		kept_drop_some(owner, before - todo, &dropped);
		gone = before - owner->kept_pages;
		spin_unlock(&owner->lock);
		any |= gone > 0;
		todo -= min(todo, gone);
		prereg_kept_free(&dropped);
		cond_resched();
	} while (todo);
	return any;
}

static unsigned long kept_shrink_count(struct shrinker *shrinker,
				       struct shrink_control *control)
{
	return atomic_long_read(&prereg_stats[PREREG_STAT_KEPT_PAGES]);
}

/*
 * The owner's lock is inside out here, and its holder may be waiting for memory on another
 * CPU: it is only tried. Return: pages.
 */
static unsigned long kept_shrink_one(struct prereg_region *region,
				     struct list_head *dropped)
{
	struct prereg_owner *owner = region->owner;

	if (!spin_trylock(&owner->lock))
		return 0;
	kept_drop_locked(region, dropped);
	spin_unlock(&owner->lock);
	return region->npages;
}

static unsigned long kept_shrink_scan(struct shrinker *shrinker,
				      struct shrink_control *control)
{
	struct prereg_region *region, *next;
	unsigned long npages = 0;
	unsigned int n = 0;
	LIST_HEAD(dropped);

	spin_lock(&prereg_kept_lock);
	list_for_each_entry_safe(region, next, &prereg_kept_lru, lru_entry) {
		/* Those of an owner whose lock is taken are passed over, which may be all. */
		if (npages >= control->nr_to_scan ||
		    n++ == PREREG_REGIONS_AT_ONCE)
			break;
		npages += kept_shrink_one(region, &dropped);
	}
	spin_unlock(&prereg_kept_lock);
	prereg_kept_free(&dropped);
	return npages ? npages : SHRINK_STOP;
}

int prereg_kept_init(void)
{
	prereg_kept_shrinker = prereg_compat_shrinker_add(kept_shrink_count,
							  kept_shrink_scan);
	return prereg_kept_shrinker ? 0 : -ENOMEM;
}

void prereg_kept_exit(void)
{
	prereg_compat_shrinker_remove(prereg_kept_shrinker);
}
